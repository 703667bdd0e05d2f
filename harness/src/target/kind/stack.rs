//! The deploy tree in a cluster: the images that this machine prepared, the operators' definitions, and the tree's
//! objects as one machine has them, brought up and waited for.
//!
//! What can pull its images takes the overlay `kind`. Where `ci/airgap/prepare` made them, they are loaded into the
//! nodes under the tree's names, and the overlay is `airgap`.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use kind_rs::{ClusterName, Kind, KindError, Nodes};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::Value;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use super::apply::{self, DeployError};
use super::cluster::Held;
use super::reach;
use super::tools::Tools;
use crate::catalog::Environment;
use crate::deploy::{self, DeployTree};
use crate::files;
use crate::mutant::Edit;
use crate::progress::Progress;
use crate::seed::Seed;
use crate::units::format_duration;

/// How long kustomize may take over the tree, which it does in a second.
const RENDERED: Duration = Duration::from_mins(1);
/// How long the definitions may take: two modules of a proxy, the first time.
const DEFINED: Duration = Duration::from_mins(10);
/// Images loaded at a time: packing is the engine's work, unpacking the node's.
const AT_ONCE: usize = 2;
const SUBJECT: &str = "stack";

/// Why the tree is not up in a cluster.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StackError {
    /// There is no kubectl, which renders overlays.
    #[error(
        "kubectl is neither on PATH nor at {prepared}: install it, or let `ci/airgap/prepare` make it",
        prepared = .prepared.display()
    )]
    NoKubectl {
        /// Where `ci/airgap/prepare` puts it.
        prepared: PathBuf,
    },
    /// The list of prepared images cannot be read.
    #[error("{0}")]
    Images(String),
    /// A command fails.
    #[error("{why} (`{command}`)")]
    Command {
        /// The command, as one would type it.
        command: String,
        /// What it says.
        why: String,
    },
    /// A command does not end.
    #[error("`{command}` did not end within {}", format_duration(*.bound))]
    Late {
        /// The command, as one would type it.
        command: String,
        /// How long was waited.
        bound: Duration,
    },
    /// What was rendered is no set of objects.
    #[error(transparent)]
    Objects(#[from] deploy::DeployError),
    /// An image is not loaded.
    #[error(transparent)]
    Load(#[from] KindError),
    /// The cluster's kubeconfig cannot be used.
    #[error("{why}: the kubeconfig {path} cannot be used", path = .path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The objects do not come up.
    #[error(transparent)]
    Deploy(#[from] DeployError),
    /// The run was interrupted.
    #[error("interrupted")]
    Interrupted,
}

/// Brings the tree of the project at `root`, with these edits made, up in a cluster and waits until all of it is
/// ready. `seed` is that of the passwords that a cluster without them gets.
pub async fn bring_up(
    held: &Held,
    (root, edits): (&Path, &[Edit]),
    (tools, environment): (&Tools, &Environment),
    seed: Seed,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<(), StackError> {
    let cache = environment.cache_folder().join("airgap");
    let work = async {
        let prepared = prepared_images(&cache.join("images"))?;
        let overlay = if prepared.is_empty() { "kind" } else { "airgap" };
        let kind = tools.kind();
        let (loaded, objects) = tokio::join!(
            load(&kind, &held.name, &prepared, progress),
            objects((root, edits), overlay, &cache, environment, progress)
        );
        loaded?;
        let objects = objects?;
        let client = client(&held.kubeconfig).await?;
        progress.step(SUBJECT, "applying the tree");
        apply::inventory::settle(&client, &objects).await?;
        let objects = apply::completed(&client, objects, seed).await?;
        Ok(apply::deploy(client, objects, progress, cancel).await?)
    };
    tokio::select! {
        () = cancel.cancelled() => Err(StackError::Interrupted),
        ended = work => ended,
    }
}

/// The images that `ci/airgap/components` made, by their names; none where it never ran.
fn prepared_images(list: &Path) -> Result<Vec<String>, StackError> {
    match std::fs::read_to_string(list) {
        Ok(text) => Ok(text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(StackError::Images(files::words(
            &error,
            "reading the list of prepared images",
            list,
        ))),
    }
}

/// Loads images into the cluster's nodes; kind leaves out those that a node has under the same digest.
async fn load(
    kind: &Kind,
    cluster: &ClusterName,
    images: &[String],
    progress: &Progress,
) -> Result<(), StackError> {
    if images.is_empty() {
        return Ok(());
    }
    progress.step(SUBJECT, format!("loading {} images into the node", images.len()));
    futures::stream::iter(images)
        .map(|image| async move { kind.load_images(cluster, [image], &Nodes::All).await })
        .buffer_unordered(AT_ONCE)
        .try_collect::<Vec<()>>()
        .await?;
    progress.step(SUBJECT, "the node has all images");
    Ok(())
}

/// The operators' definitions and the tree's objects, as the overlay makes them.
async fn objects(
    (root, edits): (&Path, &[Edit]),
    overlay: &str,
    cache: &Path,
    environment: &Environment,
    progress: &Progress,
) -> Result<Vec<Value>, StackError> {
    let prepared = cache.join("bin").join("kubectl");
    let kubectl = environment
        .look_up("kubectl")
        .or_else(|| prepared.is_file().then(|| prepared.clone()))
        .ok_or(StackError::NoKubectl { prepared })?;
    progress.step(SUBJECT, format!("rendering the overlay {overlay}"));
    let folder = root.join("deploy").join("overlays").join(overlay);
    let script = root.join("ci").join("airgap").join("definitions");
    let (mut define, mut render) = (Command::new("bash"), Command::new(&kubectl));
    define.arg(&script);
    render.arg("kustomize").arg(&folder);
    let (definitions, rendered) =
        tokio::try_join!(printed(&mut define, DEFINED), printed(&mut render, RENDERED))?;
    let tree = DeployTree::parse(root, &[("definitions".into(), definitions), (folder, rendered)])?;
    let edited = tree.edited(edits)?;
    let declared = edited.objects().iter().map(|object| object.value.clone());
    let mut objects: Vec<Value> = declared.chain(reach::services(&edited)).collect();
    apply::configured::mark(&mut objects);
    Ok(objects)
}

/// What a command prints.
pub(super) async fn printed(command: &mut Command, bound: Duration) -> Result<String, StackError> {
    let shown = |command: &Command| {
        let command = command.as_std();
        std::iter::once(command.get_program())
            .chain(command.get_args())
            .map(|word| word.to_string_lossy().into_owned())
            .collect::<Vec<_>>()
            .join(" ")
    };
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let refused = |command: &Command, why: String| StackError::Command {
        command: shown(command),
        why,
    };
    match tokio::time::timeout(bound, output).await {
        Err(_) => Err(StackError::Late {
            command: shown(command),
            bound,
        }),
        Ok(Err(error)) => Err(refused(command, error.to_string())),
        Ok(Ok(output)) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        Ok(Ok(output)) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let why = said.lines().rev().map(str::trim).find(|line| !line.is_empty());
            Err(refused(
                command,
                why.unwrap_or("it fails without a word").to_owned(),
            ))
        }
    }
}

/// The client of a kubeconfig.
pub(super) async fn client(kubeconfig: &Path) -> Result<kube::Client, StackError> {
    let unusable = |why: String| StackError::Kubeconfig {
        path: kubeconfig.to_owned(),
        why,
    };
    let read = Kubeconfig::read_from(kubeconfig).map_err(|error| unusable(error.to_string()))?;
    connected(read, &KubeConfigOptions::default())
        .await
        .map_err(unusable)
}

/// A client of what a kubeconfig leads to.
pub(in crate::target) async fn connected(
    read: Kubeconfig,
    options: &KubeConfigOptions,
) -> Result<kube::Client, String> {
    let config = kube::Config::from_custom_kubeconfig(read, options)
        .await
        .map_err(|error| error.to_string())?;
    kube::Client::try_from(config).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prepared_images_are_listed_a_line_each_and_none_without_a_list() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let list = folder.path().join("images");
        assert_eq!(
            prepared_images(&list).expect("no list is no error"),
            Vec::<String>::new()
        );
        std::fs::write(&list, "a:1\n\n b/c:2 \n").expect("a file can be written");
        assert_eq!(
            prepared_images(&list).expect("the list can be read"),
            ["a:1", "b/c:2"]
        );
        let error = prepared_images(folder.path()).expect_err("a folder is no list");
        assert!(
            error.to_string().contains("reading the list of prepared images"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_command_that_fails_is_told_with_its_last_words() {
        let error = printed(
            Command::new("sh").args(["-c", "echo first >&2; echo last >&2; exit 1"]),
            RENDERED,
        )
        .await
        .expect_err("it fails");
        assert!(error.to_string().starts_with("last (`sh -c"), "{error}");
        let error = printed(Command::new("sleep").arg("60"), Duration::from_millis(1))
            .await
            .expect_err("it is too slow");
        assert!(
            error.to_string().starts_with("`sleep 60` did not end within"),
            "{error}"
        );
    }
}
