//! Sample reports for the tests of the writers: one that passed, one that did not, one of nothing.
//!
//! To look at the pages, run the tests with `REPORT_SAMPLES` set to a folder.

use indexmap::IndexMap;

use crate::drawing::{BlockMark, Cell, DistributionRow, Drawing, Lane, Mark};
use crate::finding::{Figure, Finding};
use crate::seed::Seed;
use crate::stack::{Capability, ChangedValue, ComponentInfo, Missing};
use crate::verdict::{Level, Verdict};

use super::{
    CaseReport, Machine, MutantOutcome, MutantReport, MutationReport, PromiseReport, Report, RunInfo,
    profile_result,
};

/// A case that passed and found nothing worth telling.
pub(super) fn case(id: &str) -> CaseReport {
    CaseReport {
        id: id.into(),
        area: id.split('/').next().unwrap().into(),
        claim: "The claim holds.".into(),
        level: Level::Must,
        verdict: Verdict::Pass,
        reason: None,
        seconds: 1.5,
        promises: vec!["a-promise".into()],
        profiles: vec!["core".into()],
        findings: Vec::new(),
        drawings: Vec::new(),
        artifacts: Vec::new(),
        replay: format!("cargo conform run --case {id} --seed 00000000000004d2"),
    }
}

fn told(id: &str, level: Level, claim: &str, promise: &str, seconds: f64) -> CaseReport {
    CaseReport {
        claim: claim.into(),
        level,
        promises: vec![promise.into()],
        profiles: if level == Level::Must {
            vec!["core".into(), "extended".into()]
        } else {
            vec!["extended".into()]
        },
        seconds,
        ..case(id)
    }
}

/// No case at all.
pub(super) fn empty() -> Report {
    Report {
        run: RunInfo {
            id: "20251124-031500-04d2".into(),
            seed: Seed(1234),
            started: "2025-11-24T03:15:00Z".into(),
            target: "local".into(),
            machine: Machine {
                cores: 4,
                memory_bytes: 16 << 30,
                system: "Debian GNU/Linux 12 (bookworm)".into(),
                kernel: "6.1.0-41-amd64".into(),
            },
            calibration: [
                ("sha256_mib_per_second", 412.7),
                ("fsync_p99_milliseconds", 3.4),
                ("loopback_round_trip_microseconds", 38.0),
            ]
            .map(|(name, value)| (name.to_owned(), value))
            .into(),
            versions: [
                ("conform", "0.1.0"),
                ("prometheus", "3.16.0"),
                ("alertmanager", "0.31.1"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
            exit_code: 2,
            up_seconds: 0.0,
            seconds: 0.2,
            memory_bytes: 61 << 20,
            remarks: Vec::new(),
        },
        profiles: vec![profile_result("core", &[])],
        cases: Vec::new(),
        promises: Vec::new(),
        changed_values: Vec::new(),
        components: Vec::new(),
        figures: Vec::new(),
    }
}

const HOUR: f64 = 3600.0;
const DAY: f64 = 86_400.0;
const EDGE: f64 = 1_761_361_200.0;

fn blocks(wrong: bool) -> Drawing {
    let block = |label: &str, from: f64, hours: f64, stays: bool| BlockMark {
        from: EDGE + from,
        to: EDGE + from + hours * HOUR,
        label: label.into(),
        expected_kept: stays,
        kept: stays,
    };
    let mut blocks = vec![
        block("a day past the edge", -26.0 * HOUR, 2.0, false),
        block("twelve hours past the edge", -12.0 * HOUR, 2.0, false),
        block("just past the edge", -2.5 * HOUR, 2.0, false),
        block("straddles the edge", -HOUR, 2.0, true),
        block("just inside", 1.0 * HOUR, 2.0, true),
        block("a day inside", DAY, 2.0, true),
        block(
            "two weeks inside, compacted to the largest size",
            14.0 * DAY,
            54.0,
            true,
        ),
        block("head of today", 29.9 * DAY, 2.0, true),
    ];
    if wrong {
        blocks[1].kept = true;
        blocks[4].kept = false;
    }
    Drawing::BlockMap {
        title: "Blocks around the 30 d edge".into(),
        edge: EDGE,
        blocks,
    }
}

fn alert(late: bool) -> Drawing {
    let mark = |label: &str, at: f64, earliest: Option<f64>, latest: Option<f64>| Mark {
        label: label.into(),
        at,
        earliest,
        latest,
        holds: earliest.is_none_or(|e| at >= e) && latest.is_none_or(|l| at <= l),
    };
    let row = |label: &str, hold: f64, shift: f64| Lane {
        label: label.into(),
        marks: vec![
            mark("condition begins", 0.0, None, None),
            mark("pending", 0.8, None, Some(2.0)),
            mark("firing", hold + 0.9, Some(hold), Some(hold + 2.0)),
            mark("notified", hold + 1.6 + shift, Some(hold), Some(hold + 4.0)),
            mark(
                "resolved",
                hold + 9.4 + shift,
                Some(hold + 6.0),
                Some(hold + 14.0),
            ),
        ],
    };
    Drawing::Timeline {
        title: "From condition to notification".into(),
        lanes: vec![
            row("HighErrorRate (for: 5m, scaled to 10s)", 10.0, 0.0),
            row(
                "ServiceDown (for: 1m, scaled to 2s)",
                2.0,
                if late { 7.3 } else { 0.0 },
            ),
        ],
    }
}

fn rules(missing: usize) -> Drawing {
    let groups = [
        ("recording rules", 34),
        ("alerts: services", 18),
        ("alerts: machine learning", 9),
        ("alerts: infrastructure", 27),
    ];
    let mut cells = Vec::new();
    for (group, count) in groups {
        for n in 0..count {
            let covered = !(group == "alerts: infrastructure" && n < missing);
            cells.push(Cell {
                label: format!("{} {}", group.rsplit(' ').next().unwrap(), n + 1),
                group: group.into(),
                covered,
                note: (!covered).then(|| "nobody exposes kube_pod_container_status_restarts_total".into()),
            });
        }
    }
    Drawing::Coverage {
        title: "Rules that a test makes true and false".into(),
        cells,
    }
}

fn gaps(outliers: &[f64]) -> Drawing {
    let around = |target: f64, width: f64, count: u32| -> Vec<f64> {
        (0..count)
            .map(|n| {
                let turn = f64::from(n) * 0.618_033_988_749_895;
                target + width * ((turn.fract() - 0.5) + ((turn * 7.0).fract() - 0.5))
            })
            .collect()
    };
    let mut critical = around(15.0, 0.12, 120);
    critical.extend_from_slice(outliers);
    Drawing::Distribution {
        title: "Gaps between scrapes".into(),
        unit: "s".into(),
        rows: vec![
            DistributionRow {
                label: "default services".into(),
                target: 30.0,
                tolerance: 0.3,
                values: around(30.0, 0.2, 60),
            },
            DistributionRow {
                label: "critical services".into(),
                target: 15.0,
                tolerance: 0.15,
                values: critical,
            },
            DistributionRow {
                label: "played services, every scrape".into(),
                target: 1.0,
                tolerance: 0.05,
                values: around(1.0, 0.04, 5_000),
            },
        ],
    }
}

/// A run in which everything binding passed.
pub(super) fn passing() -> Report {
    let mut report = empty();
    report.run.exit_code = 0;
    report.run.up_seconds = 1.84;
    report.run.seconds = 96.3;
    let mut retention = told(
        "metrics/retention-time",
        Level::Must,
        "Blocks wholly older than 30 days are deleted and all others stay.",
        "metrics-retention-time",
        14.2,
    );
    retention.findings = vec![
        Finding::of("retention time")
            .declared("30d")
            .effective("30d")
            .observed("the 3 blocks past the edge were deleted, 5 stayed")
            .bound("30d"),
        Finding::of("deletions counted by the server")
            .observed(3)
            .bound(3)
            .unit("blocks"),
    ];
    retention.drawings = vec![blocks(false)];
    retention.artifacts = vec![
        "artifacts/metrics/retention-time/prometheus.yml".into(),
        "artifacts/metrics/retention-time/prometheus log.txt".into(),
    ];
    let mut scrape = told(
        "metrics/scrape-intervals",
        Level::Must,
        "Default services are scraped every 30 s and critical services every 15 s.",
        "metrics-scrape-interval",
        61.0,
    );
    scrape.findings = vec![
        Finding::of("default services")
            .declared("30s")
            .effective("30s")
            .observed("30.01 s")
            .bound("30 s ± 1 %"),
        Finding::of("critical services")
            .declared("15s")
            .effective("15s")
            .observed("15.00 s")
            .bound("15 s ± 1 %"),
    ];
    scrape.drawings = vec![gaps(&[])];
    let mut firing = told(
        "alerts/firing-latency",
        Level::Must,
        "An alert is pending, firing and notified no earlier and no later than its rule allows.",
        "alerts-proactive",
        23.7,
    );
    firing.findings = (1..=40)
        .map(|n| {
            Finding::of(format!("alert {n} is notified"))
                .declared("for: 10s")
                .effective("for: 10s")
                .observed("11.6 s after its condition began")
                .bound("10 s to 14 s")
        })
        .collect();
    firing.drawings = vec![alert(false)];
    let mut tested = told(
        "alerts/every-rule-tested",
        Level::Should,
        "Every rule is made true and made false once in virtual time.",
        "rules-precomputed",
        3.1,
    );
    tested.findings = vec![Finding::of("rules with both directions").observed(88).bound(88)];
    tested.drawings = vec![rules(0)];
    report.cases = vec![retention, scrape, firing, tested];
    for (n, name) in [
        "size-limit",
        "replicas",
        "remote-write-ledger",
        "target-discovery",
        "wal-recovery",
        "query-latency",
    ]
    .into_iter()
    .enumerate()
    {
        let mut more = told(
            &format!("metrics/{name}"),
            if n < 4 { Level::Must } else { Level::Should },
            &format!("The stack keeps its promise about {}.", name.replace('-', " ")),
            &format!("metrics-{name}"),
            2.0 + f64::from(u32::try_from(n).unwrap()) * 1.7,
        );
        more.findings = vec![
            Finding::of(name.replace('-', " "))
                .declared("as written")
                .observed("as written"),
        ];
        report.cases.push(more);
    }
    report.figures = vec![
        figure("alert detection to notification, p99", 3.42, 5.0, false, "s"),
        figure(
            "samples sent and found",
            1_200_000.0,
            1_200_000.0,
            true,
            "samples",
        ),
        figure("recording rule query, p99", 41.5, 200.0, false, "ms"),
        figure("emission rate", 182_000.0, 100_000.0, true, "samples/s"),
    ];
    report.changed_values = vec![
        ChangedValue {
            object: "Prometheus/monitoring".into(),
            field: "spec.storage.volumeClaimTemplate.spec.storageClassName".into(),
            from: "fast-ssd".into(),
            to: "a folder of the run".into(),
            why: "the local target has no storage classes".into(),
        },
        ChangedValue {
            object: "prometheus.yml".into(),
            field: "scrape_configs[3].kubernetes_sd_configs".into(),
            from: "role: endpoints".into(),
            to: "static_configs of 12 loopback addresses".into(),
            why: "there is no API server; the players stand for the endpoints".into(),
        },
    ];
    report.components = vec![
        ComponentInfo {
            name: "prometheus".into(),
            version: "3.16.0".into(),
            origin: "PATH".into(),
            capabilities: vec![Capability::Prometheus, Capability::Promtool],
            missing: Vec::new(),
            stand_ins: Vec::new(),
        },
        ComponentInfo {
            name: "alertmanager".into(),
            version: "0.31.1".into(),
            origin: "cache".into(),
            capabilities: vec![Capability::Alertmanager],
            missing: vec![Missing {
                capability: Capability::Amtool,
                reason: "the release archive was not at hand and the build has no `amtool`".into(),
            }],
            stand_ins: Vec::new(),
        },
    ];
    finish(&mut report);
    report
}

fn figure(what: &str, value: f64, bound: f64, at_least: bool, unit: &str) -> Figure {
    Figure {
        what: what.into(),
        value,
        bound,
        at_least,
        unit: unit.into(),
    }
}

/// Profiles and promises from the cases.
fn finish(report: &mut Report) {
    report.profiles = ["core", "extended"]
        .map(|name| profile_result(name, &report.cases))
        .into();
    let mut promises: IndexMap<String, PromiseReport> = IndexMap::new();
    for case in &report.cases {
        for id in &case.promises {
            let promise = promises.entry(id.clone()).or_insert_with(|| PromiseReport {
                id: id.clone(),
                level: case.level,
                says: case.claim.clone(),
                cases: Vec::new(),
                verdict: None,
            });
            promise.cases.push(case.id.clone());
            promise.verdict = Some(promise.verdict.map_or(case.verdict, |v| v.worse(case.verdict)));
        }
    }
    report.promises = promises.into_values().collect();
    for (id, says) in [
        (
            "traces-sampling",
            "Traces are sampled at 1 % by default and at 10 % for the ML service.",
        ),
        (
            "logs-lifecycle",
            "Log indices go hot (1 d), warm (2 d), cold (7 d) and are deleted after 30 d.",
        ),
        ("backup-elasticsearch", "Elasticsearch snapshots go to S3 daily."),
    ] {
        report.promises.push(PromiseReport {
            id: id.into(),
            level: Level::Must,
            says: says.into(),
            cases: Vec::new(),
            verdict: None,
        });
    }
}

/// A run with every verdict, hostile texts, long texts and many findings.
pub(super) fn failing() -> Report {
    let mut report = passing();
    report.run.exit_code = 1;
    let retention = &mut report.cases[0];
    retention.verdict = Verdict::Fail;
    retention.reason = Some(
        "retention time: the server runs with 45d where the deploy tree declares 30d (Prometheus/monitoring, \
         spec.retention)\nprometheus was started with --storage.tsdb.retention.time=45d; the block of 12 hours \
         past the edge stayed"
            .into(),
    );
    retention.findings[0] = Finding::of("retention time")
        .declared("30d")
        .effective("45d")
        .observed("2 of the 3 blocks past the edge were deleted, 4 of 5 stayed")
        .bound("30d")
        .judge(false, || {
            "the server runs with 45d where the deploy tree declares 30d".into()
        });
    retention.drawings = vec![blocks(true)];
    let scrape = &mut report.cases[1];
    scrape.verdict = Verdict::Insufficient;
    scrape.reason = Some("critical services: 12 gaps were seen where a verdict needs 59".into());
    scrape.findings[1] = Finding::of("critical services")
        .declared("15s")
        .effective("15s")
        .observed("12 gaps")
        .bound("59 gaps")
        .verdict(
            Verdict::Insufficient,
            "12 gaps were seen where a verdict needs 59",
        );
    scrape.drawings = vec![gaps(&[15.31, 15.2, 61.2])];
    let firing = &mut report.cases[2];
    firing.verdict = Verdict::Fail;
    firing.reason = Some(
        "ServiceDown: notified 4.9 s too late <script>alert(\"from a label\")</script> & \u{1b}[31mlevel=warn\u{1b}[0m \
         component=dispatcher receiver=https://hooks.example.invalid/services/a-very-long-path-without-any-blank-that-\
         must-wrap-somewhere-or-the-page-would-scroll-sideways-for-ever-and-ever"
            .into(),
    );
    firing.drawings = vec![alert(true)];
    firing.findings = (1..=300)
        .map(|n| {
            let finding = Finding::of(format!("alert {n} is notified"))
                .declared("for: 10s")
                .effective("for: 10s")
                .observed(format!("{} s after its condition began", 10 + n % 9))
                .bound("10 s to 17 s");
            let late = n % 9;
            finding.judge(n % 60 != 8, || format!("{late} s too late <i>& not slanted</i>"))
        })
        .collect();
    let tested = &mut report.cases[3];
    tested.verdict = Verdict::Fail;
    tested.reason =
        Some("7 rules ask for a metric that nobody exposes: kube_pod_container_status_restarts_total".into());
    tested.drawings = vec![rules(7)];
    report.cases[4].verdict = Verdict::Environment;
    report.cases[4].reason = Some(
        "the disk of the run has 212 MiB left where the case needs 2 GiB; free some or set TMPDIR".into(),
    );
    report.cases[5].verdict = Verdict::Skipped;
    report.cases[5].reason = Some("the stack lacks amtool: the release archive was not at hand".into());
    report.cases[9].verdict = Verdict::Skipped;
    report.cases[9].reason = Some("the stack lacks amtool: the release archive was not at hand".into());
    report.figures[2].value = 263.0;
    report.figures[1].value = 1_199_988.0;
    finish(&mut report);
    report
}

/// A mutation run with every outcome.
pub(super) fn mutation() -> MutationReport {
    let mutant = |id: &str, case: &str, change: &str, outcome| MutantReport {
        id: id.into(),
        case: case.into(),
        change: change.into(),
        outcome,
        by: None,
        reason: None,
        seconds: 6.25,
    };
    MutationReport {
        seed: Seed(1234),
        mutants: vec![
            MutantReport {
                by: Some("metrics/retention-time".into()),
                reason: Some("retention time: 45d is not 30d".into()),
                ..mutant(
                    "retention-45d",
                    "metrics/retention-time",
                    "The Prometheus object keeps blocks for 45 days.",
                    MutantOutcome::Killed,
                )
            },
            MutantReport {
                reason: Some(
                    "the case looks only at the declared value, and the drift came after rendering".into(),
                ),
                ..mutant(
                    "drifted-argument",
                    "metrics/retention-time",
                    "The server is started with another retention than the tree declares, so that what is declared \
                     and what is effective differ.",
                    MutantOutcome::Survived,
                )
            },
            MutantReport {
                by: Some("alerts/every-rule-tested".into()),
                ..mutant(
                    "for-doubled",
                    "alerts/firing-latency",
                    "ServiceDown waits twice as long.",
                    MutantOutcome::Killed,
                )
            },
            MutantReport {
                reason: Some("the group has one rule, so its order cannot be observed".into()),
                ..mutant(
                    "group-reordered",
                    "alerts/firing-latency",
                    "The rules of a group are evaluated in another order.",
                    MutantOutcome::Equivalent,
                )
            },
        ],
    }
}

/// What is wrong with the nesting of `markup`, none when every element is closed in order. HTML's
/// void elements need no end; attribute values must be quoted and `<` and `&` escaped.
pub(super) fn unclosed(markup: &str) -> Option<String> {
    const VOID: [&str; 4] = ["meta", "br", "link", "hr"];
    let mut open: Vec<String> = Vec::new();
    let mut rest = markup;
    while let Some(start) = rest.find('<') {
        let text = &rest[..start];
        if let Some(at) = text.find('&')
            && !text[at..]
                .split(';')
                .next()
                .unwrap()
                .chars()
                .skip(1)
                .all(|c| c.is_ascii_alphanumeric() || c == '#')
        {
            return Some(format!("a bare & in {text:?}"));
        }
        rest = &rest[start + 1..];
        if let Some(after) = rest.strip_prefix("!--") {
            rest = &after[after.find("-->")? + 3..];
            continue;
        }
        let (mut end, mut quoted) = (0, false);
        for (at, c) in rest.char_indices() {
            match c {
                '"' => quoted = !quoted,
                '<' if !quoted => return Some(format!("a bare < in {:?}", &rest[..at])),
                '>' if !quoted => {
                    end = at;
                    break;
                }
                _ => {}
            }
        }
        let tag = &rest[..end];
        rest = &rest[end + 1..];
        if tag.starts_with('!') {
            continue;
        }
        if let Some(name) = tag.strip_prefix('/') {
            let last = open.pop();
            if last.as_deref() != Some(name) {
                return Some(format!("</{name}> closes {last:?}"));
            }
            continue;
        }
        let name = tag.split([' ', '\n', '/']).next().unwrap().to_owned();
        if tag.ends_with('/') || VOID.contains(&name.as_str()) {
            continue;
        }
        // Scripts and styles hold text, not markup, up to their end tag.
        if name == "script" || name == "style" {
            let end = format!("</{name}>");
            let Some(at) = rest.find(&end) else {
                return Some(format!("<{name}> has no end"));
            };
            rest = &rest[at + end.len()..];
            continue;
        }
        open.push(name);
    }
    (!open.is_empty()).then(|| format!("{open:?} stay open"))
}
