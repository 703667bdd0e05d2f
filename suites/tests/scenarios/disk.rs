//! A full disk: a small file system that only the command under test sees, so that it is gone with it
//! whatever happens.

use std::process::Command;

use rstest::rstest;

use harness::verdict::Exit;

use super::ground::{Ground, SHORT};
use super::process;
use super::report::assert_environment;

/// How this machine lets a process have file systems of its own; none where it does not.
fn unshare() -> Option<Vec<&'static str>> {
    [
        vec!["unshare", "--mount", "--"],
        vec!["unshare", "--user", "--map-root-user", "--mount", "--"],
    ]
    .into_iter()
    .find(|words| {
        let tried = Command::new(words[0])
            .args(&words[1..])
            .args(["mount", "-t", "tmpfs", "tmpfs", "/mnt"])
            .output();
        tried.is_ok_and(|tried| tried.status.success())
    })
}

/// `conform` that sees a file system of this size at `folder`; none where the machine lets nobody mount.
fn on_small_disk(ground: &Ground, folder: &str, size: &str, arguments: &[&str]) -> Option<Command> {
    let Some(unshare) = unshare() else {
        eprintln!("not checked: this machine lets nobody mount a file system, not even for himself");
        return None;
    };
    let conform = ground.conform(arguments.iter().copied());
    let mut command = Command::new(unshare[0]);
    command
        .args(&unshare[1..])
        .args([
            "sh",
            "-c",
            "mount -t tmpfs -o size=\"$1\" tmpfs \"$2\" && shift 2 && exec \"$@\"",
            "sh",
            size,
        ])
        .arg(ground.path().join(folder))
        .arg(conform.get_program())
        .args(conform.get_args());
    if let Some(folder) = conform.get_current_dir() {
        command.current_dir(folder);
    }
    for (name, value) in conform.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    Some(command)
}

#[rstest]
// Too small for the rendered configuration, and for what a server writes at its start.
#[case::for_anything("4k")]
#[case::for_a_servers_start("300k")]
fn a_full_disk_below_the_runs_is_the_cause_and_is_named(#[case] size: &str) {
    let ground = Ground::with_servers();
    let Some(command) = on_small_disk(&ground, "runs", size, &["run", "--fresh", "--case", SHORT]) else {
        return;
    };
    let ended = ground.end(command);
    let reason = assert_environment(&ended, &ground.report(), SHORT, "no space left on device");
    assert!(
        reason.contains(ground.path().to_str().expect("a folder's name is text")),
        "{reason}"
    );
    ground.assert_clean();
}

#[test]
fn a_full_disk_below_the_report_is_the_cause_and_is_named() {
    let ground = Ground::with_servers();
    std::fs::create_dir(ground.path().join("full")).expect("a folder can be made");
    let arguments = ["run", "--fresh", "--case", SHORT, "--report", "../full/report"];
    let Some(command) = on_small_disk(&ground, "full", "16k", &arguments) else {
        return;
    };
    let ended = ground.end(command);
    assert_eq!(ended.code, i32::from(Exit::Environment.code()), "{ended}");
    let line = ended.verdict_line();
    assert!(
        line.starts_with("no space left on device: writing the report's ../full/report/"),
        "{ended}"
    );
    assert!(
        ended.stdout.contains("environment"),
        "the table is shown all the same: {ended}"
    );
    process::gone(ground.path());
}
