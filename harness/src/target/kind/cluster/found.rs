//! What the engine has of clusters, and what is to become of one. Pure.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// Label of a node's container with its cluster's name (kind v0.33.0,
/// pkg/cluster/internal/providers/docker/constants.go).
pub(super) const LABEL: &str = "io.x-k8s.kind.cluster";

/// A container of a cluster, as `ps` tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Container {
    /// Name of its cluster.
    pub(super) cluster: String,
    /// Whether it runs.
    pub(super) running: bool,
    /// Whether the cluster's folder of ours is mounted in it.
    pub(super) ours: bool,
}

impl Container {
    /// What `ps` is to print for each: `docker ps` of 20.10 has these three.
    pub(super) fn format() -> String {
        format!("{{{{.Label \"{LABEL}\"}}}}\t{{{{.State}}}}\t{{{{.Mounts}}}}")
    }

    /// Reads what it prints. `clusters` is the folder of the clusters' folders.
    pub(super) fn read(printed: &str, clusters: &Path) -> Vec<Self> {
        let of = |line: &str| {
            let mut columns = line.splitn(3, '\t');
            let (cluster, state, mounts) = (columns.next()?, columns.next()?, columns.next()?);
            let folder = clusters.join(cluster);
            // Commas are between mounts, and may be in a folder's name as well.
            let ours = format!(",{mounts},").contains(&format!(",{},", folder.display()));
            Some(Self {
                cluster: cluster.to_owned(),
                running: state == "running",
                ours,
            })
        };
        printed.lines().filter_map(of).collect()
    }
}

/// What a cluster was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Recipe {
    /// Its configuration, as kind was given it.
    pub(super) config: String,
    /// The id of its nodes' image; none where the engine does not have that image (yet).
    pub(super) image: Option<String>,
}

/// What is to become of a cluster that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// There is none: it is made.
    Make,
    /// It is taken as it is.
    Take,
    /// It is ours, and another one than is wanted; the text says why.
    Replace(&'static str),
    /// It is not ours.
    Foreign,
}

/// Whether a cluster of these containers is ours. The load balancer of several control planes has no
/// mounts of a configuration, so not every container tells.
pub(super) fn is_ours(containers: &[Container]) -> bool {
    containers.iter().any(|container| container.ours)
}

/// What is to become of a cluster of these containers, made from `made`, when one of `wanted` is asked for.
pub(super) fn fate(containers: &[Container], made: Option<&Recipe>, wanted: &Recipe) -> Fate {
    if containers.is_empty() {
        return Fate::Make;
    }
    if !is_ours(containers) {
        return Fate::Foreign;
    }
    match made {
        None => Fate::Replace("the one that is there was not made to its end"),
        Some(made) if made.config != wanted.config => {
            Fate::Replace("the one that is there is of another configuration")
        }
        Some(made) if made.image.is_none() || made.image != wanted.image => {
            Fate::Replace("the one that is there is of another node image")
        }
        Some(_) if containers.iter().any(|container| !container.running) => {
            Fate::Replace("a node of the one that is there does not run")
        }
        Some(_) => Fate::Take,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn container(running: bool, ours: bool) -> Container {
        Container {
            cluster: "one".to_owned(),
            running,
            ours,
        }
    }

    fn recipe(config: &str, image: Option<&str>) -> Recipe {
        Recipe {
            config: config.to_owned(),
            image: image.map(str::to_owned),
        }
    }

    #[rstest]
    #[case::none(&[], None, "make")]
    #[case::left_over_folder(&[], Some(recipe("c", Some("i"))), "make")]
    #[case::foreign(&[container(true, false)], None, "foreign")]
    #[case::foreign_with_our_folder(&[container(true, false)], Some(recipe("c", Some("i"))), "foreign")]
    #[case::same(&[container(true, true)], Some(recipe("c", Some("i"))), "take")]
    #[case::with_load_balancer(&[container(true, true), container(true, false)], Some(recipe("c", Some("i"))), "take")]
    #[case::half_made(&[container(true, true)], None, "replace")]
    #[case::other_configuration(&[container(true, true)], Some(recipe("d", Some("i"))), "replace")]
    #[case::other_image(&[container(true, true)], Some(recipe("c", Some("j"))), "replace")]
    #[case::unknown_image(&[container(true, true)], Some(recipe("c", None)), "replace")]
    #[case::stopped(&[container(false, true)], Some(recipe("c", Some("i"))), "replace")]
    fn only_what_is_ours_is_touched(
        #[case] containers: &[Container],
        #[case] made: Option<Recipe>,
        #[case] expected: &str,
    ) {
        let fate = match fate(containers, made.as_ref(), &recipe("c", Some("i"))) {
            Fate::Make => "make",
            Fate::Take => "take",
            Fate::Replace(_) => "replace",
            Fate::Foreign => "foreign",
        };
        assert_eq!(fate, expected);
    }

    #[test]
    fn an_image_that_is_gone_takes_no_cluster() {
        let made = recipe("c", None);
        let fate = fate(&[container(true, true)], Some(&made), &recipe("c", None));
        assert!(matches!(fate, Fate::Replace(_)));
    }

    #[rstest]
    #[case::ours("one\trunning\t4f1c,/state/one,/lib/modules\n", vec![container(true, true)])]
    #[case::another_caches("one\trunning\t4f1c,/other/one\n", vec![container(true, false)])]
    #[case::another_clusters("one\trunning\t/state/one-more,/state/two\n", vec![container(true, false)])]
    #[case::stopped("one\texited\t/state/one\n", vec![container(false, true)])]
    #[case::no_mounts("one\tcreated\t\n", vec![container(false, false)])]
    #[case::nothing("", vec![])]
    #[case::strange("Emulate Docker CLI\n", vec![])]
    fn the_engines_answer_is_read(#[case] printed: &str, #[case] expected: Vec<Container>) {
        assert_eq!(Container::read(printed, Path::new("/state")), expected);
    }

    #[test]
    fn a_folder_may_have_a_comma() {
        let found = Container::read("one\trunning\ta,/st,ate/one,b\n", Path::new("/st,ate"));
        assert_eq!(found, [container(true, true)]);
    }
}
