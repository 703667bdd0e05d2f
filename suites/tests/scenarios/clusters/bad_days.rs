//! What goes wrong with a cluster under a run is its environment's, cause first, and the cluster is good again once
//! that is mended.

use std::time::Duration;

use harness::verdict::Exit;

use super::super::ground::{Ended, LONG, Running};
use super::{Clusters, STACK_UP, UP, docker};

/// How long a run may go on once its cluster is of no use: the node counts as lost after 50 s without its kubelet
/// (Kubernetes 1.37, `node-monitor-grace-period`), the API server after 20 s without an answer.
const NOTICED: Duration = Duration::from_mins(3);
const NAME: &str = "days";
const NODE: &str = "conform-days-control-plane";

fn long_run(clusters: &Clusters) -> Running {
    let mut running = clusters.start(&["run", "--target", "kind", "--name", NAME, "--case", LONG]);
    running.said_within(&format!("{LONG}: "), STACK_UP);
    running
}

#[track_caller]
fn assert_environment(ended: &Ended, cause: &str) {
    assert_eq!(ended.code, i32::from(Exit::Environment.code()), "{ended}");
    assert!(ended.verdict_line().contains(cause), "{cause}: {ended}");
}

#[test]
#[ignore = "needs kind, a container engine and the stack's images; run by ci/kind"]
fn what_happens_to_a_cluster_under_a_run_is_its_environments() {
    let clusters = Clusters::new();
    clusters.ok_within(UP + STACK_UP, &["up", "--target", "kind", "--name", NAME]);

    // Another one's run has it; that one goes on.
    let first = long_run(&clusters);
    let second = clusters
        .start(&["run", "--target", "kind", "--name", NAME, "--case", LONG])
        .ends(UP);
    assert_environment(&second, "another run has the cluster");

    // Its node is lost.
    docker(&["exec", NODE, "systemctl", "stop", "kubelet"]);
    let lost = first.ends(NOTICED);
    docker(&["exec", NODE, "systemctl", "start", "kubelet"]);
    assert_environment(&lost, &format!("node {NODE} is not ready"));

    // Nothing in it answers any more, as when the engine has died.
    let third = long_run(&clusters);
    docker(&["pause", NODE]);
    let silent = third.ends(NOTICED);
    docker(&["unpause", NODE]);
    assert_environment(&silent, "has not answered for");

    // It is stopped, and so are its ports.
    let fourth = long_run(&clusters);
    docker(&["kill", NODE]);
    let stopped = fourth.ends(NOTICED);
    assert_environment(&stopped, "has not answered for");
    let next = clusters.ok_within(UP + STACK_UP, &["up", "--target", "kind", "--name", NAME]);
    assert!(next.stderr.contains("the one that is there"), "{next}");
    clusters.ok(&["down", "--all"]);
    clusters.assert_clean();
}

#[test]
#[ignore = "needs kind, a container engine and the stack's images; run by ci/kind"]
fn a_disk_that_is_full_while_images_are_loaded_is_the_cause() {
    let clusters = Clusters::new();
    clusters.up(NAME);
    // Where containerd takes in what it is given.
    let inside = "/var/lib/containerd/io.containerd.content.v1.content/ingest";
    docker(&[
        "exec", NODE, "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", inside,
    ]);
    let ended = clusters
        .start(&["up", "--target", "kind", "--name", NAME])
        .ends(STACK_UP);
    assert_environment(&ended, "no space left on device");
    docker(&["exec", NODE, "umount", inside]);
    clusters.ok_within(STACK_UP, &["up", "--target", "kind", "--name", NAME]);
    clusters.ok(&["down", "--all"]);
    clusters.assert_clean();
}
