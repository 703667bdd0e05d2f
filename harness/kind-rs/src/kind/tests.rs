//! The commands, on a shell script in the place of the CLI; tests/real.rs has the real one.

use std::fmt::Write as _;
use std::fs;

use tempfile::TempDir;

use super::*;
use crate::reason::Cause;

/// What a script in the place of the CLI is started by; it prints its arguments and its input unless it
/// does something else.
fn script(folder: &TempDir, text: &str) -> Kind {
    let path = folder.path().join("kind");
    fs::write(&path, text).unwrap();
    Kind::new(path).behind(["/bin/sh"])
}

fn name(text: &str) -> ClusterName {
    text.parse().unwrap()
}

#[tokio::test]
async fn each_command_is_what_one_would_type() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let text = format!(
        "echo \"${{KIND_EXPERIMENTAL_PROVIDER:-any}}: kind $*\" >>{log}; sed 's/^/    /' >>{log}; echo kind v1 x",
        log = log.display()
    );
    let kind = script(&folder, &text);
    let podman = kind.clone().provider(Provider::Podman);
    let demo = name("demo");
    let mut create = Create::new(demo.clone(), "own/kubeconfig");
    kind.create(&create).await.unwrap();
    create.wait = Duration::from_millis(1500);
    create.image = Some("kindest/node:v1.37.2".into());
    create.retain = true;
    create.config.feature_gates.insert("Gate".into(), false);
    podman.create(&create).await.unwrap();
    kind.load_images(&demo, ["a:1", "b:2"], &Nodes::All)
        .await
        .unwrap();
    let workers = Nodes::Named(vec!["demo-worker".into(), "demo-worker2".into()]);
    kind.load_archive(&demo, Path::new("-a b.tar"), &workers)
        .await
        .unwrap();
    kind.clusters().await.unwrap();
    kind.nodes(&demo).await.unwrap();
    kind.kubeconfig(&demo, Side::Host).await.unwrap();
    kind.export_kubeconfig(&demo, Path::new("own/kubeconfig"), Side::Containers)
        .await
        .unwrap();
    kind.export_logs(&demo, Path::new("logs")).await.unwrap();
    kind.delete(&demo, Path::new("own/kubeconfig")).await.unwrap();
    kind.version().await.unwrap();
    insta::assert_snapshot!(fs::read_to_string(log).unwrap());
}

#[tokio::test]
async fn lists_are_read_line_by_line() {
    let folder = tempfile::tempdir().unwrap();
    // Recorded from kind v0.33.0: what there is none of is said on standard error, with success.
    let none = script(&folder, "echo 'No kind clusters found.' >&2");
    assert_eq!(none.clusters().await.unwrap(), []);
    let two = script(&folder, "printf 'conform-1\\nof_the.user\\n'");
    let names: Vec<String> = two
        .clusters()
        .await
        .unwrap()
        .into_iter()
        .map(String::from)
        .collect();
    assert_eq!(names, ["conform-1", "of_the.user"]);
}

#[tokio::test]
async fn the_version_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let kind = script(&folder, "echo kind v0.33.0 go1.26.8 linux/amd64");
    assert_eq!(kind.version().await.unwrap(), "v0.33.0");
    let other = script(&folder, "echo unkind");
    let error = other.version().await.unwrap_err();
    assert!(matches!(error, KindError::Strange { .. }), "{error}");
}

#[tokio::test]
async fn steps_are_told_and_timed_and_a_late_node_is_not_ready() {
    // As kind v0.33.0 writes them (pkg/internal/cli/status.go).
    let folder = tempfile::tempdir().unwrap();
    let kind = script(
        &folder,
        &format!("cat >&2 <<'E'\n{}E\n", include_str!("create.txt")),
    );
    let mut create = Create::new(name("x"), "own");
    create.wait = Duration::from_secs(1);
    let mut told = String::new();
    let created = kind
        .create_watched(&create, |step| {
            writeln!(told, "{:?} {}", step.state, step.name).unwrap();
        })
        .await
        .unwrap();
    insta::assert_snapshot!(told);
    assert!(created.ready);
    let late = " • Waiting ≤ 1s for control-plane = Ready ⏳  ...\n ✗ Waiting ≤ 1s for control-plane = Ready ⏳\n • WARNING: Timed out waiting for Ready ⚠️\n";
    let kind = script(&folder, &format!("cat >&2 <<'E'\n{late}E\n"));
    assert!(!kind.create(&create).await.unwrap().ready);
}

#[tokio::test]
async fn a_failure_has_the_clis_own_reason() {
    let folder = tempfile::tempdir().unwrap();
    let recorded = include_str!("../reason/recorded/no-engine.txt");
    let kind = script(&folder, &format!("cat >&2 <<'E'\n{recorded}E\nexit 1\n"));
    let error = kind.clusters().await.unwrap_err();
    assert_eq!(error.reason().unwrap().cause, Cause::NoEngine);
    let text = error.to_string();
    assert!(
        text.starts_with("Cannot connect to the Docker daemon at unix:///nope. Is the docker daemon running?: failed to list clusters (`/bin/sh "),
        "{text}"
    );
}

#[tokio::test]
async fn who_is_not_there_does_not_start() {
    let error = Kind::new("/nowhere/kind").clusters().await.unwrap_err();
    assert!(matches!(error, KindError::Start { .. }), "{error}");
    assert!(
        error.to_string().starts_with("/nowhere/kind does not start: "),
        "{error}"
    );
}

/// A script that says which process its grandchild is, and never ends.
fn endless(folder: &TempDir) -> Kind {
    let pid = folder.path().join("pid");
    // Renamed when it is whole, since it is read as soon as it is there.
    let text = format!(
        "printf ' • Preparing nodes 📦  ...\\n' >&2; sleep 600 & echo $! >{pid}.tmp; mv {pid}.tmp {pid}; wait",
        pid = pid.display()
    );
    script(folder, &text)
}

/// Whether the grandchild is gone, or dead and waiting to be reaped.
fn grandchild_is_gone(folder: &TempDir) -> bool {
    let pid = fs::read_to_string(folder.path().join("pid")).unwrap();
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.is_empty() || stat.contains(") Z ")
}

#[tokio::test]
async fn a_bound_kills_what_the_cli_started_and_names_the_step() {
    let folder = tempfile::tempdir().unwrap();
    let kind = endless(&folder).bounds(Bounds {
        create: Duration::from_secs(1),
        ..Bounds::default()
    });
    let error = kind.create(&Create::new(name("x"), "own")).await.unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("was not done after 1 s and was killed at \"Preparing nodes\""),
        "{error}"
    );
    // Killed it is; under load the kernel takes a while to end it.
    wait_for(|| grandchild_is_gone(&folder)).await;
}

#[tokio::test]
async fn a_dropped_command_kills_what_the_cli_started() {
    let folder = tempfile::tempdir().unwrap();
    let kind = endless(&folder);
    let create = Create::new(name("x"), "own");
    let (begun, begins) = tokio::sync::oneshot::channel();
    let mut begun = Some(begun);
    let running = tokio::spawn(async move {
        kind.create_watched(&create, move |_| {
            if let Some(begun) = begun.take() {
                begun.send(()).unwrap();
            }
        })
        .await
    });
    begins.await.unwrap();
    wait_for(|| folder.path().join("pid").exists()).await;
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    wait_for(|| grandchild_is_gone(&folder)).await;
}

async fn wait_for(done: impl Fn() -> bool) {
    tokio::time::timeout(Duration::from_secs(60), async {
        while !done() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("it takes long");
}
