//! A full disk: a small file system that only the command under test sees, so that it is gone with it
//! whatever happens.

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::{fs, io};

use harness::verdict::Exit;
use rstest::rstest;

use super::ground::{Ended, Ground, LONG, Running, SHORT};
use super::process;
use super::report::assert_environment;
use super::wait::BOUND;

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
pub(super) fn on_small_disk(
    ground: &Ground,
    folder: &str,
    size: &str,
    arguments: &[&str],
) -> Option<Command> {
    let at = ground.path().join(folder);
    let mount = format!("mount -t tmpfs -o size={size} tmpfs '{}'", at.display());
    in_own_mounts(ground, &mount, arguments)
}

/// `conform` with mounts of its own, made by a line of shell; none where the machine lets nobody mount.
pub(super) fn in_own_mounts(ground: &Ground, mount: &str, arguments: &[&str]) -> Option<Command> {
    let Some(unshare) = unshare() else {
        eprintln!("not checked: this machine lets nobody mount a file system, not even for himself");
        return None;
    };
    let mut words = unshare;
    let line = format!("{mount} && exec \"$@\"");
    words.extend(["sh", "-c", &line, "sh"]);
    Some(wrapped(ground, &words, arguments))
}

/// `conform` started by other words, which end in starting it.
pub(super) fn wrapped(ground: &Ground, words: &[&str], arguments: &[&str]) -> Command {
    let conform = ground.conform(arguments.iter().copied());
    let mut command = Command::new(words[0]);
    command
        .args(&words[1..])
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
    command
}

/// Fills the small disk below the runs of a command.
#[track_caller]
pub(super) fn fill(ground: &Ground, running: &Running) {
    // The file system as the command sees it.
    let seen = PathBuf::from(format!("/proc/{}/root{}", running.pid(), ground.runs().display()));
    let mut file = fs::File::create(seen.join("fill")).expect("a file can be made");
    let block = vec![0; 1 << 20];
    let filled = (0..4096).try_for_each(|_| file.write_all(&block));
    assert_eq!(
        filled.map_err(|error| error.kind()),
        Err(io::ErrorKind::StorageFull),
        "the disk is full now"
    );
}

#[rstest]
#[case::for_anything("4k")]
#[case::for_what_a_server_makes_at_its_start("200k")]
fn a_disk_without_room_is_the_cause_and_is_named(#[case] size: &str) {
    let ground = Ground::with_servers();
    let Some(command) = on_small_disk(&ground, "runs", size, &["run", "--fresh", "--case", SHORT]) else {
        return;
    };
    assert_full(&ground, &ground.end(command), SHORT);
}

#[test]
fn a_disk_that_fills_in_the_middle_is_the_cause_and_is_named() {
    let ground = Ground::with_servers();
    // Room enough for all that a run writes up to here, the trial of the disk's speed included.
    let Some(command) = on_small_disk(&ground, "runs", "128m", &["run", "--fresh", "--case", LONG]) else {
        return;
    };
    let mut running = ground.start(command);
    running.said("watching scrapes");
    fill(&ground, &running);
    assert_full(&ground, &running.ends(BOUND), LONG);
}

/// The run blames the full disk and names a folder or file of the ground.
#[track_caller]
fn assert_full(ground: &Ground, ended: &Ended, case: &str) {
    let reason = assert_environment(ended, &ground.report(), case, "no space left on device");
    let folder = ground.path().to_str().expect("a folder's name is text");
    assert!(reason.contains(folder), "it does not name {folder}: {reason}");
    ground.assert_clean();
}

#[test]
fn a_full_disk_below_the_report_is_the_cause_and_is_named() {
    let ground = Ground::with_servers();
    fs::create_dir(ground.path().join("full")).expect("a folder can be made");
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
