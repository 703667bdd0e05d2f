//! Bad input: named with file, line, field and remedy, before anything is started.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::verdict::Exit;
use rstest::rstest;

use super::ground::{Ended, Ground};

const CONTRACT: &str = "fixtures/contract.yaml";
const CATALOG: &str = "fixtures/catalog.yaml";
const SHAPES: &str = "fixtures/shapes.yaml";
const OPERATOR: &str = "deploy/prometheus/prometheus-operator.yaml";
const MONITORS: &str = "deploy/prometheus/service-monitors.yaml";
const ALERTS: &str = "deploy/prometheus/alert-rules.yaml";

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder can be made");
    for entry in fs::read_dir(from).expect("the project can be read") {
        let entry = entry.expect("an entry can be read");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("its type is known").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a file can be copied");
        }
    }
}

/// A copy of the project's files on the ground, where `--root project` finds it.
pub(super) fn project(ground: &Ground) -> PathBuf {
    let root = ground.path().join("work/project");
    for name in ["fixtures", "deploy", "ci"] {
        copy(&suites::root().join(name), &root.join(name));
    }
    root
}

/// The line, from 1, that the first `find` of a text starts on.
fn line_of(text: &str, find: &str) -> usize {
    let (before, _) = text
        .split_once(find)
        .unwrap_or_else(|| panic!("there is no {find:?}"));
    before.matches('\n').count() + 1
}

/// Runs on a copy whose `file` has `instead` for the first `find`.
fn run_with(ground: &Ground, file: &str, find: &str, instead: &str, command: &[&str]) -> (Ended, usize) {
    let (conform, line) = changed(ground, file, find, instead, command);
    (ground.end(conform), line)
}

/// The command on a copy whose `file` has `instead` for the first `find`, and the line where that was.
pub(super) fn changed(
    ground: &Ground,
    file: &str,
    find: &str,
    instead: &str,
    command: &[&str],
) -> (Command, usize) {
    let root = project(ground);
    let path = root.join(file);
    let text = fs::read_to_string(&path).expect("the file can be read");
    let line = line_of(&text, find);
    fs::write(&path, text.replacen(find, instead, 1)).expect("the file can be written");
    let mut conform = ground.conform(command.iter().copied());
    conform.env_remove("CONFORM_ROOT").args(["--root", "project"]);
    (conform, line)
}

/// Runs nothing, ends as environment, and its first line is exactly about the bad input.
#[track_caller]
fn assert_refused(ground: &Ground, ended: &Ended, begins: &str, says: &[&str]) {
    assert_eq!(ended.code, i32::from(Exit::Environment.code()), "{ended}");
    let first = ended.stderr.lines().next().unwrap_or_default();
    let line = first.strip_prefix("conform: ").unwrap_or(first);
    assert!(
        line.starts_with(begins),
        "it does not begin with `{begins}`: {ended}"
    );
    for words in says {
        assert!(line.contains(words), "it does not say `{words}`: {ended}");
    }
    assert!(ended.stdout.is_empty(), "{ended}");
    assert!(!ground.report().exists(), "nothing ran, so nothing is reported");
    ground.assert_clean();
}

// Where the place is not the start of what was replaced, the column is that of the value or key.
#[rstest]
#[case::contract_unknown_field(CONTRACT, "    level: MUST", "    levl: MUST", 5, &["unknown field `levl`", "write `id`, `level`"])]
#[case::contract_unknown_level(CONTRACT, "    level: MUST", "    level: OUGHT", 12, &["unknown level `OUGHT`", "write `MUST`, `SHOULD` or `MAY`"])]
#[case::contract_unit(CONTRACT, "ready-within: {duration: 2m}", "ready-within: {duration: 2 fortnights}", 32, &["`2 fortnights` is not a duration", "for example 30d"])]
#[case::contract_twice(CONTRACT, "id: metrics-recovery", "id: metrics-collection", 9, &["`metrics-collection` is already on line", "give this one an id of its own"])]
#[case::catalog_unknown_field(CATALOG, "    image: ", "    picture: ", 5, &["unknown field `picture`", "expected one of image, further-images, version"])]
#[case::catalog_version(CATALOG, "    version: 3.16.0", "    version: latest", 14, &["component `prometheus`: version `latest`", "for example 3.16.0"])]
#[case::catalog_plain_http(CATALOG, "      checksums: https:", "      checksums: http:", 18, &["is not an https address"])]
#[case::catalog_capability(CATALOG, "      promtool: [promtool]", "      promtool: [promtol]", 18, &["unknown variant `promtol`", "expected one of prometheus, promtool"])]
#[case::shapes_unknown_field(SHAPES, "        kind: gauge", "        knd: gauge", 9, &["unknown field `knd`", "expected one of name, help, kind"])]
#[case::shapes_kind(SHAPES, "        kind: gauge", "        kind: gouge", 15, &["unknown variant `gouge`", "expected one of counter, gauge"])]
#[case::shapes_value(SHAPES, "      - name: http_requests_total\n        help: HTTP requests served.\n        kind: counter", "      - name: http_requests_total\n        help: HTTP requests served.\n        kind: gauge", 9, &["llmoptimizer/api-gateway/http_requests_total: a gauge's series needs either `level` or `age`"])]
#[case::manifest_tab(MONITORS, "  endpoints:", "\tendpoints:", 2, &["tabs"])]
fn bad_input_is_named_with_its_place_and_a_remedy(
    #[case] file: &str,
    #[case] find: &str,
    #[case] instead: &str,
    #[case] column: usize,
    #[case] says: &[&str],
) {
    let ground = Ground::new();
    let (ended, line) = run_with(&ground, file, find, instead, &["run", "--fresh"]);
    assert_refused(
        &ground,
        &ended,
        &format!("project/{file}:{line}:{column}: "),
        says,
    );
}

#[rstest]
#[case::manifest_duration(OPERATOR, "  retention: 30d", "  retention: 30 days", "Prometheus/prometheus: spec.retention: ", &["`30 days` is not a duration", "for example 30d"])]
#[case::manifest_interval(MONITORS, "interval: 15s", "interval: soon", "ServiceMonitor/api-gateway: spec.endpoints[0].interval: ", &["`soon` is not a duration"])]
#[case::manifest_unknown_field(ALERTS, "expr: ", "exprr: ", "PrometheusRule/alerts-meta: spec.groups[0].rules[0].exprr: ", &["unknown field", "the nearest known one is `expr`"])]
fn a_bad_field_of_a_manifest_is_named_with_its_object_and_a_remedy(
    #[values("check", "run")] command: &str,
    #[case] file: &str,
    #[case] find: &str,
    #[case] instead: &str,
    #[case] field: &str,
    #[case] says: &[&str],
) {
    let ground = Ground::new();
    let (ended, _) = run_with(&ground, file, find, instead, &[command]);
    assert_refused(&ground, &ended, &format!("project/{file}:"), says);
    assert!(ended.verdict_line().contains(field), "{ended}");
}

#[rstest]
#[case::contract(CONTRACT, "--contract")]
#[case::catalog(CATALOG, "--catalog")]
#[case::shapes(SHAPES, "--root")]
#[case::deploy_tree("deploy", "--deploy")]
fn a_file_that_is_not_there_is_named_with_the_option_that_gives_it(#[case] name: &str, #[case] option: &str) {
    let ground = Ground::new();
    let path = project(&ground).join(name);
    if path.is_dir() {
        fs::remove_dir_all(path).expect("a folder can be removed");
    } else {
        fs::remove_file(path).expect("a file can be removed");
    }
    let mut conform = ground.conform(["run", "--fresh", "--root", "project"]);
    conform.env_remove("CONFORM_ROOT");
    let ended = ground.end(conform);
    assert_refused(
        &ground,
        &ended,
        &format!("project/{name}: No such file or directory"),
        &[option],
    );
}

#[rstest]
#[case::empty(b"", "contract.yaml:1:1: the contract is empty; write `promises:`")]
#[case::binary(b"\xff\xfe\x00", "contract.yaml: stream did not contain valid UTF-8")]
fn a_contract_that_is_none_is_said_to_be_none(#[case] bytes: &[u8], #[case] begins: &str) {
    let ground = Ground::new();
    fs::write(ground.path().join("work/contract.yaml"), bytes).expect("a file can be written");
    let ended = ground.run(["run", "--fresh", "--contract", "contract.yaml"]);
    assert_refused(&ground, &ended, begins, &[]);
}

#[test]
fn no_project_anywhere_is_said_with_the_option_that_gives_it() {
    let ground = Ground::new();
    let ended = ground.run(["check", "--root", "nowhere"]);
    assert_refused(&ground, &ended, "nowhere holds no fixtures", &["--root"]);
}
