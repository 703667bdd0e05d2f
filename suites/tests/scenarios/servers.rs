//! Servers that cannot be had, are the wrong ones, or end before their time.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::catalog::DoctorLine;
use harness::verdict::{Exit, Verdict};
use rstest::rstest;
use rustix::process::Signal;

use super::ground::{Ground, LONG, Running, SHORT, names};
use super::process;
use super::report::{assert_environment, read};
use super::wait::{BOUND, wait};

/// What the longest case says when it is in its middle.
const MIDDLE: &str = "watching scrapes";

/// A run of [`LONG`] in its middle.
#[track_caller]
pub(super) fn in_the_middle(ground: &Ground) -> Running {
    let mut running = ground.start(ground.conform(["run", "--fresh", "--case", LONG]));
    running.said(MIDDLE);
    running
}

/// Writes an executable script.
pub(super) fn script(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).expect("a script can be written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it can be made executable");
}

/// A folder with a `prometheus` and a `promtool` of the catalog's version, which otherwise do as `does` says.
fn pretended(ground: &Ground, does: &str) -> PathBuf {
    let folder = ground.path().join("pretended");
    fs::create_dir(&folder).expect("a folder can be made");
    for name in ["prometheus", "promtool"] {
        let version = version("prometheus");
        let says = format!(
            "if [ \"$1\" = --version ]; then echo '{name}, version {version} (branch: HEAD, revision: 0)'; exit 0; fi"
        );
        script(&folder.join(name), &format!("{says}\n{does}"));
    }
    folder
}

/// The catalog's version of a component.
fn version(component: &str) -> String {
    let path = suites::root().join("fixtures/catalog.yaml");
    let catalog = harness::catalog::Catalog::load(&path).expect("the catalog can be read");
    let component = catalog.component(component).expect("the catalog has it");
    component.version.clone()
}

/// An executable of a component, as the doctor finds it.
pub(super) fn executable(ground: &Ground, component: &str, name: &str) -> PathBuf {
    let doctor = ground.run(["doctor", "--json"]);
    let lines: Vec<DoctorLine> = serde_json::from_str(&doctor.stdout).expect("the doctor prints JSON");
    lines
        .into_iter()
        .filter(|line| line.subject == component)
        .flat_map(|line| line.paths)
        .find(|path| path.file_name().is_some_and(|file| file == name))
        .unwrap_or_else(|| panic!("{name} is not ready: {}", doctor.stdout))
}

/// `conform` where nothing can be fetched, built or found: every way to have a server is shut.
fn shut_off<'a>(ground: &Ground, arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut conform = ground.conform(arguments);
    conform
        .env("CONFORM_CACHE", ground.path().join("cache"))
        .env("GOMODCACHE", ground.path().join("modules"))
        .env("GOPROXY", "off")
        // A port that nobody listens on, so that no request leaves the machine.
        .env("HTTPS_PROXY", "http://127.0.0.1:1")
        .env_remove("https_proxy")
        .env_remove("NO_PROXY")
        .env_remove("no_proxy");
    conform
}

#[rstest]
#[case::with_a_word(
    "echo 'ts=2026-01-01T00:00:00Z level=error msg=\"the flux capacitor is empty\"' >&2; exit 2",
    "prometheus: the flux capacitor is empty (exited with code 2; log: "
)]
#[case::killed("kill -KILL $$", "prometheus was killed from outside by signal 9")]
fn a_server_that_ends_at_its_start_is_the_machines_fault_in_its_own_words(
    #[case] does: &str,
    #[case] cause: &str,
) {
    let ground = Ground::with_servers();
    let mut conform = ground.conform(["run", "--fresh", "--case", LONG]);
    conform.env("CONFORM_PROMETHEUS_BIN", pretended(&ground, does));
    let ended = ground.end(conform);
    assert_environment(&ended, &ground.report(), LONG, cause);
    ground.assert_clean();
}

#[test]
fn a_server_that_is_killed_in_the_middle_ends_the_case_at_once() {
    let ground = Ground::with_servers();
    let running = in_the_middle(&ground);
    process::appears(&ground.runs(), "prometheus").signal(Signal::KILL);
    // The case alone would look for what no longer comes until its bound of 150 s.
    let ended = running.ends(BOUND);
    assert_environment(
        &ended,
        &ground.report(),
        LONG,
        "prometheus was killed from outside by signal 9",
    );
    ground.assert_clean();
}

#[rstest]
#[case::not_there("/nowhere/prometheus", "/nowhere/prometheus is not an executable file")]
#[case::not_executable("/etc/passwd", "/etc/passwd is not an executable file")]
#[case::another_program("/bin/true", "/bin/true says ")]
fn a_wrong_server_at_an_explicit_path_is_refused(#[case] path: &str, #[case] cause: &str) {
    let ground = Ground::with_servers();
    assert_wrong(
        &ground,
        path,
        cause,
        &["point CONFORM_PROMETHEUS_BIN at a prometheus"],
    );
}

#[test]
fn a_server_of_another_version_is_refused_with_both_versions() {
    let ground = Ground::with_servers();
    let folder = ground.path().join("other");
    fs::create_dir(&folder).expect("a folder can be made");
    for name in ["prometheus", "promtool"] {
        script(
            &folder.join(name),
            &format!("echo '{name}, version 2.1.0 (branch: HEAD, revision: 0)'"),
        );
    }
    let folder = folder.display().to_string();
    let expected = format!("expected prometheus {}", version("prometheus"));
    assert_wrong(
        &ground,
        &folder,
        &format!("{folder}/prometheus says "),
        &["2.1.0", &expected, "point CONFORM_PROMETHEUS_BIN at a prometheus"],
    );
}

/// With that path, a run and the doctor say the same.
#[track_caller]
fn assert_wrong(ground: &Ground, path: &str, cause: &str, says: &[&str]) {
    let with = |arguments: &[&str]| {
        let mut conform = ground.conform(arguments.iter().copied());
        conform.env("CONFORM_PROMETHEUS_BIN", path);
        ground.end(conform)
    };
    let ended = with(&["run", "--fresh", "--case", LONG]);
    let reason = assert_environment(&ended, &ground.report(), LONG, cause);
    let doctor = with(&["doctor"]);
    assert_eq!(doctor.code, i32::from(Exit::Environment.code()), "{doctor}");
    assert!(
        doctor.stdout.contains("unavailable") && doctor.stdout.contains(cause),
        "{doctor}"
    );
    for words in says {
        assert!(
            reason.contains(words),
            "the reason does not say `{words}`: {reason}"
        );
        assert!(
            doctor.stdout.contains(words),
            "the doctor does not say `{words}`: {doctor}"
        );
    }
    ground.assert_clean();
}

/// A PATH on which there is only what servers are started with.
fn bare_path(ground: &Ground) -> PathBuf {
    let folder = ground.path().join("bin");
    fs::create_dir(&folder).expect("a folder can be made");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let setpriv = std::env::split_paths(&path)
        .map(|folder| folder.join("setpriv"))
        .find(|file| file.is_file())
        .expect("setpriv is on PATH");
    symlink(setpriv, folder.join("setpriv")).expect("a link can be made");
    folder
}

#[rstest]
#[case::without_go(true, "there is no go on PATH", "put Go ")]
#[case::without_network(false, "GOPROXY=off", "set GOPROXY to a Go module proxy this machine reaches")]
fn servers_that_cannot_be_had_are_named_with_the_remedy_for_each_case(
    #[case] without_go: bool,
    #[case] why: &str,
    #[case] remedy: &str,
) {
    let ground = Ground::new();
    let path = bare_path(&ground);
    let shut = |arguments: &[&str]| {
        let mut conform = shut_off(&ground, arguments.iter().copied());
        if without_go {
            conform.env("PATH", &path);
        }
        ground.end(conform)
    };
    let doctor = shut(&["doctor"]);
    assert_eq!(doctor.code, i32::from(Exit::Environment.code()), "{doctor}");
    let ended = shut(&["run", "--fresh"]);
    let reason = assert_environment(&ended, &ground.report(), LONG, "go build: ");
    for words in [
        why,
        remedy,
        "does not answer",
        "nothing in",
        "or set CONFORM_PROMETHEUS_BIN",
    ] {
        assert!(
            reason.contains(words),
            "the reason does not say `{words}`: {reason}"
        );
        assert!(
            doctor.stdout.contains(words),
            "the doctor does not say `{words}`: {doctor}"
        );
    }
    // What the machine lacks is said of every case, not of the one that looked first.
    let report = read(&ground.report());
    let core = suites::cases()
        .iter()
        .filter(|case| case.profiles.contains(&"core"))
        .count();
    assert_eq!(report.cases.len(), core);
    for case in &report.cases {
        assert_eq!(
            (case.verdict, case.reason.as_deref()),
            (Verdict::Environment, Some(reason.as_str())),
            "{}",
            case.id
        );
    }
    ground.assert_clean();
}

/// A cache on the ground like the real one, but for one byte of alertmanager.
fn corrupt_cache(ground: &Ground) -> PathBuf {
    let real = harness::catalog::cache_folder().join("servers");
    let cache = ground.path().join("cache");
    for component in ["prometheus", "alertmanager"] {
        for entry in fs::read_dir(real.join(component))
            .expect("the cache can be read")
            .flatten()
        {
            if !entry.path().join("manifest.json").is_file() {
                continue;
            }
            let to = cache.join("servers").join(component).join(entry.file_name());
            fs::create_dir_all(to.join("bin")).expect("a folder can be made");
            fs::copy(entry.path().join("manifest.json"), to.join("manifest.json"))
                .expect("a file can be copied");
            for file in fs::read_dir(entry.path().join("bin"))
                .expect("the cache can be read")
                .flatten()
            {
                // The real entry is only read: what is to be changed is copied.
                let from = file.path();
                let to = to.join("bin").join(file.file_name());
                if file.file_name() != "alertmanager" && fs::hard_link(&from, &to).is_ok() {
                    continue;
                }
                fs::copy(&from, &to).expect("a file can be copied");
                if file.file_name() == "alertmanager" {
                    let mut bytes = fs::read(&to).expect("a file can be read");
                    let middle = bytes.len() / 2;
                    bytes[middle] ^= 0xff;
                    fs::write(&to, bytes).expect("a file can be written");
                }
            }
        }
    }
    cache
}

#[test]
fn a_corrupt_cache_entry_is_named_moved_away_and_not_run() {
    let ground = Ground::with_servers();
    let shelf = corrupt_cache(&ground).join("servers/alertmanager");
    let corrupt = "bin/alertmanager has SHA-256 ";

    let doctor = ground.end(shut_off(&ground, ["doctor"]));
    assert_eq!(doctor.code, i32::from(Exit::Environment.code()), "{doctor}");
    assert!(doctor.stdout.contains(corrupt), "{doctor}");

    let ended = ground.end(shut_off(&ground, ["run", "--fresh", "--case", LONG]));
    let reason = assert_environment(&ended, &ground.report(), LONG, "go build: ");
    assert!(reason.contains(corrupt), "{reason}");
    assert!(
        ended.stderr.contains("the cached copy is corrupt and made anew"),
        "{ended}"
    );
    let aside: Vec<String> = names(&shelf)
        .into_iter()
        .filter(|name| name.contains("corrupt"))
        .collect();
    assert_eq!(aside.len(), 1, "it was moved away, as it was said: {ended}");
    assert!(ended.stderr.contains(&aside[0]), "{ended}");
    ground.assert_clean();
}

#[test]
fn an_interrupted_start_is_the_machines_and_leaves_nothing() {
    let ground = Ground::with_servers();
    let mut conform = ground.conform(["run", "--fresh", "--case", LONG]);
    // It never gets ready.
    conform.env("CONFORM_PROMETHEUS_BIN", pretended(&ground, "exec sleep 1000"));
    let running = ground.start(conform);
    process::appears(&ground.runs(), "sleep");
    process::signal_to(running.pid(), Signal::INT);
    let ended = running.ends(BOUND);
    assert_environment(&ended, &ground.report(), LONG, "interrupted");
    ground.assert_clean();
}

#[test]
fn a_killed_run_takes_its_servers_with_it_and_the_next_run_sweeps_its_folder() {
    let ground = Ground::with_servers();
    let running = in_the_middle(&ground);
    process::signal_to(running.pid(), Signal::KILL);
    assert_eq!(running.ends(BOUND).code, 128 + Signal::KILL.as_raw());
    wait("the killed run's servers gone", BOUND, || {
        match process::of(&ground.runs()) {
            none if none.is_empty() => Ok(()),
            left => Err(format!("{left:?}")),
        }
    });
    let left = names(&ground.runs());
    assert_eq!(left.len(), 1, "a killed run cannot remove its folder: {left:?}");

    let next = ground.run(["run", "--fresh", "--case", SHORT]);
    assert_eq!(next.code, 0, "{next}");
    ground.assert_clean();
}
