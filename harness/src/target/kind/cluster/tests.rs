//! What is done to clusters, on shell scripts in the place of engine and CLI; tests/cluster.rs has the real ones.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use kind_rs::Provider;
use kind_rs::config::Node;
use tempfile::TempDir;

use super::*;

/// Scripts that log what they are told. The engine says that it has what is in the file `containers`; the
/// CLI's `delete` empties it.
struct Machine {
    folder: TempDir,
    clusters: Clusters,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().display();
        let script = |name: &str, text: String| {
            let path = folder.path().join(name);
            fs::write(&path, format!("#!/bin/sh\necho \"{name} $*\" >>{at}/log\n{text}")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            path
        };
        let docker = script(
            "docker",
            format!("case $1 in ps) cat {at}/containers;; image) echo sha256:1;; esac\n"),
        );
        let kind = script(
            "kind",
            format!(
                "case $1 in\n\
                 delete) : >{at}/containers;;\n\
                 create) cat >/dev/null; test ! -e {at}/fails || {{ echo ERROR: no >&2; exit 1; }}\n\
                 printf 'conform-one\\trunning\\t{at}/clusters/conform-one\\n' >{at}/containers;;\n\
                 get) echo kubeconfig;;\nesac\n"
            ),
        );
        fs::write(folder.path().join("containers"), "").unwrap();
        let engine = Engine::new(Provider::Docker).client(docker);
        let clusters = Clusters::new(
            Kind::new(kind),
            engine,
            &folder.path().join("clusters"),
            &Environment::new([("PATH", "/nowhere")], 1),
        )
        .unwrap();
        Self { folder, clusters }
    }

    fn engine_has(&self, lines: &str) {
        fs::write(self.folder.path().join("containers"), lines).unwrap();
    }

    /// How often the CLI was told to do that.
    fn times(&self, what: &str) -> usize {
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        log.lines()
            .filter(|line| line.starts_with(&format!("kind {what} ")))
            .count()
    }

    async fn up(&self, wanted: &Wanted) -> Result<Held, ClusterError> {
        let cancel = CancellationToken::new();
        self.clusters.up(wanted, &Progress::silent(), &cancel).await
    }

    fn mark(&self) -> String {
        self.folder
            .path()
            .join("clusters/conform-one")
            .display()
            .to_string()
    }
}

fn wanted() -> Wanted {
    Wanted {
        name: name(),
        image: Some("node:1".to_owned()),
        config: Cluster::default(),
    }
}

fn name() -> ClusterName {
    "conform-one".parse().unwrap()
}

#[tokio::test]
async fn a_cluster_is_made_and_taken_and_another_one_takes_its_place() {
    let machine = Machine::new();
    let mut wanted = wanted();
    let first = machine.up(&wanted).await.unwrap();
    assert_eq!(first.made.as_deref(), Some("there is none"));
    drop(first);
    assert_eq!(machine.up(&wanted).await.unwrap().made, None);
    assert_eq!((machine.times("create"), machine.times("delete")), (1, 0));
    wanted.config.feature_gates.insert("Another".to_owned(), true);
    let other = machine.up(&wanted).await.unwrap();
    assert_eq!(
        other.made.as_deref(),
        Some("the one that is there is of another configuration")
    );
    assert_eq!((machine.times("create"), machine.times("delete")), (2, 1));
}

#[tokio::test]
async fn who_has_a_cluster_has_it_alone() {
    let machine = Machine::new();
    let held = machine.up(&wanted()).await.unwrap();
    let taken = |error: ClusterError| matches!(error, ClusterError::Taken { .. });
    assert!(taken(machine.up(&wanted()).await.unwrap_err()));
    assert!(taken(machine.clusters.down(&name()).await.unwrap_err()));
    assert!(machine.clusters.list().await.unwrap()[0].taken);
    drop(held);
    assert!(machine.clusters.down(&name()).await.unwrap());
    assert_eq!(machine.times("delete"), 1);
    assert_eq!(machine.clusters.list().await.unwrap(), []);
}

#[tokio::test]
async fn somebody_elses_cluster_of_that_name_is_left_alone() {
    let machine = Machine::new();
    machine.engine_has("conform-one\trunning\t/elsewhere/conform-one\n");
    let foreign = |error: ClusterError| matches!(error, ClusterError::Foreign { .. });
    assert!(foreign(machine.up(&wanted()).await.unwrap_err()));
    assert!(foreign(machine.clusters.down(&name()).await.unwrap_err()));
    assert!(machine.clusters.down_all().await.unwrap().removed.is_empty());
    assert_eq!((machine.times("create"), machine.times("delete")), (0, 0));
}

#[tokio::test]
async fn an_engine_that_does_not_answer_leaves_nothing_where_nothing_was() {
    let machine = Machine::new();
    fs::remove_file(machine.folder.path().join("containers")).unwrap();
    let engine = |error: ClusterError| matches!(error, ClusterError::Engine(_));
    let clusters = machine.folder.path().join("clusters");
    assert!(engine(machine.clusters.down(&name()).await.unwrap_err()));
    assert!(!machine.clusters.has_files() && !clusters.exists());

    let folder = machine.clusters.folder_of(&name());
    fs::create_dir_all(&folder).unwrap();
    assert!(engine(machine.clusters.down(&name()).await.unwrap_err()));
    assert!(machine.clusters.has_files() && folder.exists());
}

#[tokio::test]
async fn what_a_killed_run_left_is_replaced_or_removed() {
    let machine = Machine::new();
    let folder = machine.clusters.folder_of(&name());
    let left = || {
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(KUBECONFIG), "half a kubecon").unwrap();
        machine.engine_has(&format!("conform-one\trunning\t{}\n", machine.mark()));
    };
    left();
    assert_eq!(machine.clusters.list().await.unwrap()[0].state, State::HalfMade);
    let made = machine.up(&wanted()).await.unwrap().made;
    assert_eq!(
        made.as_deref(),
        Some("the one that is there was not made to its end")
    );
    fs::remove_file(folder.join(RECIPE)).unwrap();
    left();
    assert_eq!(machine.clusters.down_all().await.unwrap().removed, [name()]);
    assert!(!machine.clusters.folder.exists());
}

#[tokio::test]
async fn files_without_a_cluster_are_left_overs_too() {
    let machine = Machine::new();
    fs::create_dir_all(machine.clusters.folder_of(&name())).unwrap();
    assert_eq!(machine.clusters.list().await.unwrap()[0].state, State::Files);
    assert!(machine.clusters.down(&name()).await.unwrap());
    assert!(!machine.clusters.down(&name()).await.unwrap());
}

#[tokio::test]
async fn a_failed_creation_leaves_no_files() {
    let machine = Machine::new();
    fs::write(machine.folder.path().join("fails"), "").unwrap();
    let error = machine.up(&wanted()).await.unwrap_err();
    assert!(matches!(error, ClusterError::Kind(_)), "{error}");
    assert!(!machine.clusters.folder_of(&name()).exists());
}

#[tokio::test]
async fn an_interrupted_creation_leaves_no_files() {
    let machine = Machine::new();
    let cancel = CancellationToken::new();
    cancel.cancel();
    let progress = Progress::silent();
    let error = machine
        .clusters
        .up(&wanted(), &progress, &cancel)
        .await
        .unwrap_err();
    assert!(matches!(error, ClusterError::Interrupted), "{error}");
    assert!(!machine.clusters.folder_of(&name()).exists());
}

#[test]
fn every_node_is_marked() {
    let wanted = Cluster {
        nodes: vec![Node::control_plane(), Node::worker()],
        ..Cluster::default()
    };
    let marked_nodes = marked(wanted, Path::new("/state/one")).nodes;
    assert!(
        marked_nodes
            .iter()
            .all(|node| node.extra_mounts[0].container_path == Path::new(MARK))
    );
    let default = marked(Cluster::default(), Path::new("/state/one"));
    assert_eq!(default.nodes.len(), 1);
}

#[test]
fn each_folder_has_a_network_of_its_own() {
    assert_eq!(network(Path::new("/a")), network(Path::new("/a")));
    assert_ne!(network(Path::new("/a")), network(Path::new("/b")));
}
