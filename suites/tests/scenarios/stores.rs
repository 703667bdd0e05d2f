//! Bad days of what stores logs and traces: Elasticsearch that dies, runs out of heap or out of disk,
//! and a machine with too little memory for three of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use harness::verdict::{Exit, Verdict};
use rustix::process::Signal;

use super::disk::{fill, in_own_mounts, on_small_disk};
use super::ground::{Ground, Running};
use super::input::changed;
use super::process;
use super::report::{assert_environment, case, read};
use super::servers::{executable, script};

/// The case that only asks the shared Elasticsearch what it was set up with.
const ASKS: &str = "logs/templates";
/// The case that writes to it.
const WRITES: &str = "logs/ledger";
/// The case whose traces end in it.
const TRACES: &str = "traces/nothing-lost";
/// Longest until three nodes are ready and a case is over, on a busy machine.
const LONG_BOUND: Duration = Duration::from_mins(4);
/// Longest that all of it is built.
const BUILT: Duration = Duration::from_mins(30);

/// All servers, obtained once.
static ALL: LazyLock<()> = LazyLock::new(|| {
    let ground = Ground::new();
    let ended = ground.start(ground.conform(["acquire"])).ends(BUILT);
    assert_eq!(ended.code, 0, "{ended}");
});

fn ground() -> Ground {
    LazyLock::force(&ALL);
    Ground::new()
}

/// A fresh run of one case of any profile.
fn run(id: &str) -> [&str; 4] {
    ["run", "--fresh", "--case", id]
}

/// The process of an Elasticsearch's node, or another server's by the folder that it is started for.
#[track_caller]
fn kill(ground: &Ground, what: &str) {
    let runs = ground.runs();
    let found = process::of(&runs)
        .into_iter()
        .find(|found| found.command.contains(what))
        .unwrap_or_else(|| {
            panic!(
                "no process has {what} on its command line: {:?}",
                process::of(&runs)
            )
        });
    found.signal(Signal::KILL);
}

/// A run of a case that has begun with the case.
#[track_caller]
fn begun(ground: &Ground, id: &str, says: &str) -> Running {
    let mut running = ground.start(ground.conform(run(id)));
    running.said_within(says, LONG_BOUND);
    running
}

#[test]
fn a_node_that_is_killed_while_it_is_written_to_is_the_cause_and_is_named() {
    let ground = ground();
    let running = begun(&ground, WRITES, "documents through a");
    kill(&ground, "elasticsearch-hot");
    let ended = running.ends(LONG_BOUND);
    assert_environment(
        &ended,
        &ground.report(),
        WRITES,
        "elasticsearch-hot was killed from outside by signal 9",
    );
    ground.assert_clean();
}

#[test]
fn a_store_that_dies_below_jaeger_is_the_cause_and_not_the_missing_traces() {
    let ground = ground();
    let running = begun(&ground, TRACES, "sending ");
    kill(&ground, "elasticsearch-hot");
    let ended = running.ends(LONG_BOUND);
    assert_environment(
        &ended,
        &ground.report(),
        TRACES,
        "elasticsearch-hot was killed from outside by signal 9",
    );
    ground.assert_clean();
}

/// A distribution like the real one whose nodes have a heap of their own size.
fn with_heap(ground: &Ground, heap: &str) -> PathBuf {
    let real = executable(ground, "elasticsearch", "elasticsearch");
    let home = real
        .parent()
        .and_then(Path::parent)
        .expect("the launcher is in bin/ of a distribution");
    let folder = ground.path().join("small-heap");
    fs::create_dir_all(folder.join("bin")).expect("a folder can be made");
    for entry in fs::read_dir(home)
        .expect("the distribution can be read")
        .flatten()
    {
        if entry.file_name() != "bin" {
            std::os::unix::fs::symlink(entry.path(), folder.join(entry.file_name()))
                .expect("a link can be made");
        }
    }
    script(
        &folder.join("bin/elasticsearch"),
        &format!(
            "export ES_JAVA_OPTS='-Xms{heap} -Xmx{heap}'\nexec {} \"$@\"",
            real.display()
        ),
    );
    folder
}

#[test]
fn a_store_without_heap_is_the_machines_fault_and_says_so() {
    let ground = ground();
    let mut conform = ground.conform(run(ASKS));
    conform.env("CONFORM_ELASTICSEARCH_BIN", with_heap(&ground, "24m"));
    let ended = ground.start(conform).ends(LONG_BOUND);
    let reason = assert_environment(&ended, &ground.report(), ASKS, "elasticsearch");
    // The JVM ends, or Elasticsearch refuses requests before that.
    let blamed = ["OutOfMemoryError", "Java heap space", "Data too large"];
    assert!(
        blamed.iter().any(|words| reason.contains(words)),
        "the heap is not blamed: {reason}"
    );
    ground.assert_clean();
}

#[test]
fn a_disk_that_fills_below_elasticsearch_is_the_cause_and_is_named() {
    let ground = ground();
    let Some(command) = on_small_disk(&ground, "runs", "1g", &run(WRITES)) else {
        return;
    };
    let mut running = ground.start(command);
    running.said_within("documents through a", LONG_BOUND);
    fill(&ground, &running);
    let ended = running.ends(LONG_BOUND);
    assert_environment(&ended, &ground.report(), WRITES, "no space left on device");
    ground.assert_clean();
}

#[test]
fn an_index_that_is_red_because_of_the_tree_fails_with_the_reason() {
    let ground = ground();
    let (conform, _) = changed(
        &ground,
        "deploy/elk/elasticsearch.yaml",
        "        \"app-*\"\n      ],\n      \"priority\": 500,\n      \"composed_of\": [\n        \"log-fields\"\n      ],\n      \
         \"template\": {\n        \"settings\": {\n          \"index\": {\n",
        "        \"app-*\"\n      ],\n      \"priority\": 500,\n      \"composed_of\": [\n        \"log-fields\"\n      ],\n      \
         \"template\": {\n        \"settings\": {\n          \"index\": {\n            \"routing.allocation.require.zone\": \"nowhere\",\n",
        &run(ASKS),
    );
    let ended = ground.start(conform).ends(LONG_BOUND);
    assert_eq!(ended.code, i32::from(Exit::Failed.code()), "{ended}");
    let one = case(&read(&ground.report()), ASKS).clone();
    assert_eq!(one.verdict, Verdict::Fail, "{one:#?}");
    let reason = one.reason.unwrap_or_default();
    assert!(
        reason.starts_with("no node may take the primaries of app-")
            && reason.contains("index.routing.allocation.require")
            && reason.contains("app.json"),
        "the cause is not told: {reason}"
    );
    ground.assert_clean();
}

#[test]
fn on_a_machine_with_little_memory_one_node_has_all_tiers() {
    let ground = ground();
    let told = ground.path().join("meminfo");
    let real = fs::read_to_string("/proc/meminfo").expect("the kernel tells of its memory");
    let less: String = real
        .lines()
        .map(|line| match line.split_once(':') {
            Some(("MemAvailable", _)) => "MemAvailable:    1800000 kB\n".to_owned(),
            _ => format!("{line}\n"),
        })
        .collect();
    fs::write(&told, less).expect("a file can be written");
    let mount = format!("mount --bind {} /proc/meminfo", told.display());
    let Some(command) = in_own_mounts(&ground, &mount, &run(ASKS)) else {
        return;
    };
    let ended = ground.start(command).ends(LONG_BOUND);
    assert!(
        ended.stderr.contains("one node with all tiers: 1757 MiB"),
        "{ended}"
    );
    let report = read(&ground.report());
    assert_eq!(
        case(&report, ASKS).verdict,
        Verdict::Pass,
        "templates need no tiers: {ended}"
    );
    let lacks = report
        .components
        .iter()
        .flat_map(|component| &component.missing)
        .any(|missing| missing.reason.contains("one node holds all tiers"));
    assert!(lacks, "the report does not say what one node lacks");
    ground.assert_clean();
}
