//! Servers in containers of their images: in the tree's versions, in earlier ones, and where there is no engine.
//!
//! Those that need an engine are ignored unless asked for (`-- --ignored`, ci/versions does), and then fail where
//! there is none: none of them passes without having run.

use std::time::Duration;

use harness::catalog::Catalog;
use harness::target::containers::{CONTAINED, chosen};
use harness::verdict::{Exit, Verdict};
use rustix::process::{Pid, Signal, kill_process};

use super::ground::{Ended, Ground, LONG, SHORT};
use super::report::{case, read};

/// Longest that metrics, alerts and traces may take on a slow machine.
const RUN: Duration = Duration::from_mins(12);
/// What is asked of versions, by profile: the cases that have shown that no verdict differs from run to run.
const AREAS: [&str; 3] = ["metrics", "alerts", "traces"];
/// Where the versions before the tree's are.
const EARLIER: &str = "fixtures/earlier/catalog.yaml";

/// The cases of the areas that belong to the core profile.
fn cases() -> Vec<&'static str> {
    suites::cases()
        .iter()
        .filter(|case| case.profiles.contains(&"core") && AREAS.contains(&case.area()))
        .map(|case| case.id)
        .collect()
}

/// A run of these cases in containers, of images in place of the tree's where some are given.
fn run(ground: &Ground, images: &[String], cases: &[&str]) -> Ended {
    let mut arguments = vec!["run", "--target", "containers"];
    for image in images {
        arguments.extend(["--image", image]);
    }
    for case in cases {
        arguments.extend(["--case", case]);
    }
    ground.start(ground.conform(arguments)).ends(RUN)
}

/// Every case passed, and the servers ran in these images.
#[track_caller]
fn assert_passed(ground: &Ground, ended: &Ended, images: &[String]) {
    let report = read(&ground.report());
    for id in cases() {
        assert_eq!(case(&report, id).verdict, Verdict::Pass, "{id}: {ended}");
    }
    let origins: Vec<&str> = report
        .components
        .iter()
        .map(|component| component.origin.as_str())
        .collect();
    for image in images {
        let origin = format!("image {image}");
        assert!(
            origins.contains(&origin.as_str()),
            "{origin} is not among {origins:?}"
        );
    }
    let replay = &case(&report, SHORT).replay;
    assert!(replay.contains("--target containers"), "{replay}");
    ground.assert_clean();
}

fn catalog(path: &str) -> Catalog {
    Catalog::load(&suites::root().join(path)).expect("the catalog reads")
}

#[test]
#[ignore = "needs a container engine with images of the stack"]
fn the_cases_pass_in_the_images_of_the_tree() {
    let ground = Ground::new();
    let ended = run(&ground, &[], &cases());
    let images: Vec<String> = chosen(&catalog("fixtures/catalog.yaml"), &[])
        .expect("the catalog names images")
        .into_values()
        .collect();
    assert_eq!(images.len(), CONTAINED.len());
    assert_passed(&ground, &ended, &images);
}

#[test]
#[ignore = "needs a container engine with images of the stack and of earlier versions"]
fn the_cases_pass_in_earlier_images() {
    let images: Vec<String> = catalog(EARLIER)
        .components()
        .filter_map(|component| component.image.clone())
        .collect();
    assert!(!images.is_empty(), "{EARLIER} names images");
    let ground = Ground::new();
    let ended = run(&ground, &images, &cases());
    assert_passed(&ground, &ended, &images);
    let report = read(&ground.report());
    let replay = &case(&report, SHORT).replay;
    assert!(replay.contains(&images[0]), "{replay}");
}

#[test]
#[ignore = "needs a container engine with images of the stack"]
fn what_a_killed_run_leaves_is_removed() {
    let ground = Ground::new();
    let mut running = ground.start(ground.conform(["run", "--target", "containers", "--case", LONG]));
    running.said_within("watching", RUN);
    let pid = Pid::from_raw(running.pid()).expect("a process id");
    kill_process(pid, Signal::KILL).expect("it can be killed");
    let ended = running.ends(RUN);
    assert_eq!(ended.code, 137, "{ended}");
    let down = ground.run(["down", "--all"]);
    assert_eq!(down.code, 0, "{down}");
    let removed = down.stdout.matches("its run was killed").count();
    assert!(removed >= 3, "two containers and the run's folder: {down}");
    let again = ground.run(["down", "--all"]);
    assert!(!again.stdout.contains("its run was killed"), "{again}");
    ground.assert_clean();
}

#[test]
#[ignore = "needs a container engine"]
fn an_image_that_cannot_be_had_is_named_first() {
    let ground = Ground::new();
    let image = "quay.io/prometheus/prometheus:v0.0.0-none".to_owned();
    let ended = run(&ground, std::slice::from_ref(&image), &[SHORT]);
    assert_eq!(ended.code, i32::from(Exit::Environment.code()), "{ended}");
    let report = read(&ground.report());
    let reason = case(&report, SHORT).reason.clone().unwrap_or_default();
    assert!(
        reason.contains(&image) && reason.contains("cannot pull it"),
        "{reason}"
    );
    ground.assert_clean();
}

#[test]
fn without_an_engine_the_run_says_so_and_how_to_go_on() {
    let ground = Ground::new();
    let mut command = ground.conform(["run", "--target", "containers", "--case", SHORT]);
    command.env(
        "DOCKER_HOST",
        format!("unix://{}/no.sock", ground.path().display()),
    );
    let ended = ground.end(command);
    assert_eq!(ended.code, i32::from(Exit::Environment.code()), "{ended}");
    let reason = case(&read(&ground.report()), SHORT)
        .reason
        .clone()
        .unwrap_or_default();
    assert!(reason.contains("no container engine answers"), "{reason}");
    assert!(reason.contains("run without --target containers"), "{reason}");
    ground.assert_clean();
}

#[test]
fn containers_that_may_be_left_are_not_taken_for_none() {
    let ground = Ground::new();
    std::fs::write(ground.runs().join("containers"), "").expect("a file can be written");
    let mut command = ground.conform(["down", "--all"]);
    command.env(
        "DOCKER_HOST",
        format!("unix://{}/no.sock", ground.path().display()),
    );
    let ended = ground.end(command);
    assert_eq!(ended.code, i32::from(Exit::Environment.code()), "{ended}");
    assert!(
        ended.verdict_line().contains("no container engine answers"),
        "{ended}"
    );
}
