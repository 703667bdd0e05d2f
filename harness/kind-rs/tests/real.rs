//! The wrapper against the real CLI and engine. These tests are ignored unless asked for (`-- --ignored`,
//! ci/kind does), and then fail where there is no CLI or engine: none of them passes without having run.
//!
//! `KIND_BIN` names the CLI, `KIND_NODE_IMAGE` the node's image, `KIND_CONFIG` a file with what the host
//! needs of a cluster's configuration.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "every function here belongs to a test, whose end a panic is"
)]

use std::env;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;
use std::time::Duration;

use kind_rs::config::{Cluster, HostPort, Node, PortMapping};
use kind_rs::{Cause, ClusterName, Create, Kind, KindError, Nodes, Provider, Side, StepState};
use tempfile::TempDir;

/// The CLI, with a home of its own so that a kubeconfig written to the user's place would be seen.
fn kind(home: &TempDir) -> Kind {
    Kind::new(env::var_os("KIND_BIN").unwrap_or_else(|| "kind".into()))
        .provider(Provider::Docker)
        .variable("HOME", home.path())
        .variable("KUBECONFIG", "")
}

/// What this host needs of every cluster.
fn config() -> Cluster {
    match env::var_os("KIND_CONFIG") {
        Some(path) => Cluster::from_yaml(&fs::read_to_string(path).unwrap()).unwrap(),
        None => Cluster::default(),
    }
}

fn create(folder: &TempDir, name: &str) -> Create {
    let name: ClusterName = format!("kind-rs-{}-{name}", std::process::id()).parse().unwrap();
    let mut create = Create::new(name, folder.path().join("kubeconfig"));
    create.image = env::var("KIND_NODE_IMAGE").ok();
    create.config = config();
    create
}

/// Deletes a cluster when a test is over, however it ends.
struct Deleted<'a>(&'a Kind, &'a Create);

impl Drop for Deleted<'_> {
    fn drop(&mut self) {
        let (kind, create) = (self.0.clone(), self.1.clone());
        // The test's own runtime may be unwinding.
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime
                .block_on(kind.delete(&create.name, &create.kubeconfig))
                .map_err(std::io::Error::other)
        });
        let ended = thread.join();
        if !std::thread::panicking() {
            ended.unwrap().unwrap();
        }
    }
}

fn cause(result: Result<impl std::fmt::Debug, KindError>) -> Cause {
    let error = result.expect_err("it has to fail");
    error.reason().unwrap_or_else(|| panic!("{error}")).cause
}

#[tokio::test]
#[ignore = "needs kind; run by ci/kind"]
async fn the_cli_tells_its_version() {
    let home = tempfile::tempdir().unwrap();
    let version = kind(&home).version().await.unwrap();
    assert!(version.starts_with("v0."), "{version}");
}

#[tokio::test]
#[ignore = "needs kind and docker's client; run by ci/kind"]
async fn an_engine_that_is_not_there_is_the_cause() {
    let home = tempfile::tempdir().unwrap();
    let kind = kind(&home).variable("DOCKER_HOST", "unix:///nowhere/docker.sock");
    assert_eq!(cause(kind.clusters().await), Cause::NoEngine);
    assert_eq!(cause(kind.create(&create(&home, "none")).await), Cause::NoEngine);
}

#[tokio::test]
#[ignore = "needs kind and a container engine; run by ci/kind"]
async fn what_is_not_there_is_said_to_be_not_there() {
    let home = tempfile::tempdir().unwrap();
    let kind = kind(&home);
    let create = create(&home, "unknown");
    assert_eq!(kind.nodes(&create.name).await.unwrap(), Vec::<String>::new());
    kind.delete(&create.name, &create.kubeconfig).await.unwrap();
    assert_eq!(
        cause(kind.kubeconfig(&create.name, Side::Host).await),
        Cause::Unknown
    );
    assert_eq!(
        cause(kind.export_logs(&create.name, home.path()).await),
        Cause::Unknown
    );
    let load = kind.load_images(&create.name, ["kind-rs.test/none:1"], &Nodes::All);
    assert_eq!(cause(load.await), Cause::NoImage);
}

#[tokio::test]
#[ignore = "needs kind and a container engine; run by ci/kind"]
async fn a_refused_configuration_is_the_cause() {
    let home = tempfile::tempdir().unwrap();
    let mut create = create(&home, "refused");
    create.config.networking.pod_subnet = Some("nowhere".to_owned());
    assert_eq!(cause(kind(&home).create(&create).await), Cause::Config);
}

#[tokio::test]
#[ignore = "needs kind and a container engine; run by ci/kind"]
async fn a_taken_port_is_the_cause_and_nothing_is_left() {
    let home = tempfile::tempdir().unwrap();
    let kind = kind(&home);
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut create = create(&home, "port");
    create.config.nodes = vec![Node {
        extra_port_mappings: vec![PortMapping {
            host_port: HostPort::Fixed(taken.local_addr().unwrap().port()),
            listen_address: Some(Ipv4Addr::LOCALHOST.into()),
            ..PortMapping::new(30_000)
        }],
        ..Node::control_plane()
    }];
    let _deleted = Deleted(&kind, &create);
    assert_eq!(cause(kind.create(&create).await), Cause::Port);
    assert_eq!(kind.nodes(&create.name).await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
#[ignore = "needs kind and a container engine; run by ci/kind"]
async fn a_creation_that_is_dropped_can_be_deleted() {
    let home = tempfile::tempdir().unwrap();
    let kind = kind(&home);
    let create = create(&home, "dropped");
    let deleted = Deleted(&kind, &create);
    let (starting, starts) = tokio::sync::oneshot::channel();
    let mut starting = Some(starting);
    let creation = tokio::spawn({
        let (kind, create) = (kind.clone(), create.clone());
        async move {
            kind.create_watched(&create, |step| {
                if step.state == StepState::Done
                    && step.name == "Preparing nodes"
                    && let Some(starting) = starting.take()
                {
                    starting.send(()).unwrap();
                }
            })
            .await
        }
    });
    starts.await.unwrap();
    creation.abort();
    assert!(creation.await.unwrap_err().is_cancelled());
    assert!(kind.clusters().await.unwrap().contains(&create.name));
    drop(deleted);
    assert!(!kind.clusters().await.unwrap().contains(&create.name));
}

#[tokio::test]
#[ignore = "needs kind and a container engine; run by ci/kind"]
async fn a_cluster_lives_and_the_users_kubeconfig_is_left_alone() {
    let home = tempfile::tempdir().unwrap();
    let kind = kind(&home);
    let mut create = create(&home, "life");
    create.wait = Duration::from_secs(120);
    let deleted = Deleted(&kind, &create);

    let created = kind.create(&create).await.unwrap();
    println!("created in {:?}: {:#?}", created.took, created.steps);
    assert!(created.ready);
    assert!(kind.clusters().await.unwrap().contains(&create.name));
    let node = format!("{}-control-plane", create.name);
    assert_eq!(kind.nodes(&create.name).await.unwrap(), [node.as_str()]);
    assert_eq!(cause(kind.create(&create).await), Cause::Exists);

    let context = format!("current-context: {}", create.name.context());
    let written = fs::read_to_string(&create.kubeconfig).unwrap();
    assert!(written.contains(&context), "{written}");
    let host = kind.kubeconfig(&create.name, Side::Host).await.unwrap();
    assert!(host.contains("server: https://127.0.0.1:"), "{host}");
    let inside = home.path().join("inside");
    kind.export_kubeconfig(&create.name, &inside, Side::Containers)
        .await
        .unwrap();
    let inside = fs::read_to_string(inside).unwrap();
    assert!(
        inside.contains(&format!("server: https://{node}:6443")),
        "{inside}"
    );

    let image = format!("kind-rs.test/{}:1", create.name);
    let archive = home.path().join("image.tar");
    tiny_image(&home, &image, &archive);
    let named = Nodes::Named(vec![node.clone()]);
    kind.load_images(&create.name, [&image], &Nodes::All)
        .await
        .unwrap();
    kind.load_archive(&create.name, &archive, &named).await.unwrap();
    let listed = run(
        "docker",
        &["exec", &node, "ctr", "-n", "k8s.io", "images", "list", "-q"],
    );
    run("docker", &["rmi", &image]);
    assert!(listed.contains(&image), "{listed}");

    let logs = home.path().join("logs");
    kind.export_logs(&create.name, &logs).await.unwrap();
    assert!(logs.join(&node).join("kubelet.log").is_file());

    drop(deleted);
    assert!(!kind.clusters().await.unwrap().contains(&create.name));
    let written = fs::read_to_string(&create.kubeconfig).unwrap();
    assert!(!written.contains(&context), "{written}");
    assert!(!home.path().join(".kube").exists());
}

/// Makes an image of one file, in the engine and as an archive.
fn tiny_image(folder: &TempDir, image: &str, archive: &std::path::Path) {
    let layer = folder.path().join("layer.tar");
    let (layer, archive) = (layer.to_str().unwrap(), archive.to_str().unwrap());
    run("tar", &["-cf", layer, "-C", "/etc", "hostname"]);
    run("docker", &["import", layer, image]);
    run("docker", &["save", "-o", archive, image]);
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}
