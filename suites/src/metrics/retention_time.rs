//! Retention by time, at its exact edge, with the production value.
//!
//! A block goes when the newest block's end is at least the retention after
//! its own end (`BeyondTimeRetention`, Prometheus 3.16, tsdb/db.go): the
//! reference is the newest block, not the clock. So a history with one block
//! ending exactly the promised retention before the newest, and one ending a
//! millisecond later, shows the edge at once.

use std::time::{Duration, Instant};

use harness::case::{Case, CaseError, Context};
use harness::component::prometheus::Prometheus;
use harness::drawing::{BlockMark, Drawing};
use harness::finding::{Figure, Finding, Findings};
use harness::mutant::{Edit, Mutant};
use harness::stack::{Capability, PrometheusClone};
use harness::units::Span;
use harness::verdict::Level;

use crate::history::{self, Line, milliseconds, seconds};

/// The case.
pub(super) fn case() -> Case {
    Case {
        id: "metrics/retention-time",
        claim: "samples are kept for exactly the promised time: a block that ends then goes, one that ends a \
                millisecond later stays",
        level: Level::Must,
        promises: &["metrics-retention-time"],
        needs: &[Capability::Prometheus, Capability::Promtool],
        profiles: &["core"],
        excludes: &[],
        disturbs: None,
        bound: Duration::from_secs(60),
        run: |context| Box::pin(run(context)),
        mutants,
    }
}

fn mutants() -> Vec<Mutant> {
    let retention = |id, change, value: &str| {
        Mutant::new(
            id,
            change,
            Edit::set("Prometheus/prometheus", "/spec/retention", value),
        )
    };
    let flag = |id, change, value| {
        Mutant::new(
            id,
            change,
            Edit::argument("prometheus", "--storage.tsdb.retention.time", value),
        )
    };
    vec![
        retention(
            "a-day-more",
            "the Prometheus object keeps a day more than promised",
            "31d",
        ),
        retention(
            "a-day-less",
            "the Prometheus object keeps a day less than promised",
            "29d",
        ),
        Mutant::new(
            "not-declared",
            "the Prometheus object says nothing of retention",
            Edit::remove("Prometheus/prometheus", "/spec/retention"),
        ),
        flag(
            "a-second-less",
            "the server runs with a second less than declared",
            Some("2591999s"),
        ),
        flag(
            "twice-as-long",
            "the server runs with twice the retention declared",
            Some("60d"),
        ),
    ]
}

/// A block of the history: what it is there for, and its last sample.
struct Planned {
    label: &'static str,
    last_ms: i64,
    kept: bool,
}

/// Blocks are aligned to this (default `--storage.tsdb.min-block-duration`).
const BLOCK: Duration = Duration::from_secs(2 * 3600);

/// The blocks around the edge of `retention`, given now; instants in unix milliseconds.
///
/// Every block lies in a window of its own, and the edge is the last millisecond of one.
fn plan(now_ms: i64, retention: Duration) -> Vec<Planned> {
    let (block, retention) = (milliseconds(BLOCK), milliseconds(retention));
    // The newest block ends well before the time that the head would cover.
    let newest_allowed = now_ms - 2 * block;
    // The last millisecond of a window, so that one later opens the next window.
    let edge = (newest_allowed - retention).div_euclid(block) * block - 1;
    vec![
        Planned {
            label: "a day past the edge",
            last_ms: edge - 12 * block,
            kept: false,
        },
        Planned {
            label: "ends at the edge",
            last_ms: edge,
            kept: false,
        },
        Planned {
            label: "ends a millisecond later",
            last_ms: edge + 1,
            kept: true,
        },
        Planned {
            label: "a day inside",
            last_ms: edge + 12 * block,
            kept: true,
        },
        Planned {
            label: "the newest",
            last_ms: edge + retention,
            kept: true,
        },
    ]
}

async fn run(context: Context) -> Result<Findings, CaseError> {
    let started = Instant::now();
    let promised = context.contract.duration("metrics-retention-time", "retention")?;
    let mut findings = Findings::new();

    context
        .progress
        .step("", "making a history with blocks on both sides of the edge");
    let planned = plan(history::now_ms(), promised);
    let lines: Vec<Line> = planned
        .iter()
        .map(|block| {
            Line::constant(
                format!("conform_retention{{block=\"{}\"}}", block.label),
                1.0,
                [block.last_ms - 60_000, block.last_ms].into_iter().filter(|ms| {
                    // All samples of a block lie in its own window.
                    ms.div_euclid(milliseconds(BLOCK)) == block.last_ms.div_euclid(milliseconds(BLOCK))
                }),
            )
        })
        .collect();
    let mut clone = PrometheusClone::named("retention");
    clone.data = Some(history::blocks(&context, "retention-time", &lines).await?);
    clone.arguments = vec![
        (
            "--storage.tsdb.block-reload-interval".to_owned(),
            Some("1s".to_owned()),
            "retention is applied at every reload of blocks; the default is a minute".to_owned(),
        ),
        (
            "--storage.tsdb.max-block-duration".to_owned(),
            Some(Span(BLOCK).to_string()),
            "compaction must not merge the blocks on both sides of the edge".to_owned(),
        ),
    ];

    context
        .progress
        .step("", "starting a Prometheus with the production retention on it");
    let instance = context.stack.workshop.prometheus(clone).await?;
    let server = instance.client();
    settings(&context, server, promised, &mut findings).await?;

    context.progress.step("", "waiting until retention was applied");
    let survivors: Vec<i64> = history::after_reloads(server)
        .await?
        .into_iter()
        .map(|block| block.max_time)
        .collect();
    let mut marks = Vec::new();
    for block in &planned {
        let kept = survivors.contains(&(block.last_ms + 1));
        let word = |kept: bool| if kept { "kept" } else { "deleted" };
        marks.push(BlockMark {
            from: seconds(block.last_ms.div_euclid(milliseconds(BLOCK)) * milliseconds(BLOCK)),
            to: seconds(block.last_ms + 1),
            label: block.label.to_owned(),
            expected_kept: block.kept,
            kept,
        });
        findings.push(
            Finding::of(format!("block: {}", block.label))
                .observed(word(kept))
                .bound(word(block.kept))
                .judge(kept == block.kept, || {
                    format!(
                        "a retention of {} means {}, but it was {}",
                        Span(promised),
                        word(block.kept),
                        word(kept)
                    )
                }),
        );
    }
    let edge = planned[1].last_ms;
    findings.draw(Drawing::BlockMap {
        title: format!("Blocks around the {} edge", Span(promised)),
        edge: seconds(edge + 1),
        blocks: marks,
    });
    queries(server, &planned, &mut findings).await?;
    findings.figures.push(Figure {
        what: "retention proof, time and edge".to_owned(),
        value: started.elapsed().as_secs_f64(),
        bound: context
            .contract
            .duration("harness-retention-proof", "at-most")?
            .as_secs_f64(),
        at_least: false,
        unit: "s".to_owned(),
    });
    Ok(findings)
}

/// What is declared, and what the server says it is configured to.
async fn settings(
    context: &Context,
    server: &Prometheus,
    promised: Duration,
    findings: &mut Findings,
) -> Result<(), CaseError> {
    let declared = context
        .tree
        .object("Prometheus/prometheus")?
        .text("/spec/retention")
        .to_owned();
    let limit = server
        .own_metrics()
        .await?
        .get("prometheus_tsdb_retention_limit_seconds")
        .copied();
    let flag = server
        .flags()
        .await?
        .get("storage.tsdb.retention.time")
        .cloned()
        .unwrap_or_default();
    let is_promised = |text: &str| text.parse::<Span>().is_ok_and(|span| span.0 == promised);
    let given = if declared.is_empty() { "nothing" } else { &declared };
    findings.push(
        Finding::of("retention of the Prometheus object")
            .declared(given)
            .bound(Span(promised))
            .judge(is_promised(&declared), || {
                format!("{given} is declared where {} is promised", Span(promised))
            }),
    );
    findings.push(
        Finding::of("retention flag of the server")
            .declared(given)
            .effective(&flag)
            .bound(Span(promised))
            .judge(is_promised(&flag), || {
                format!(
                    "the server runs with `{flag}` where {} is promised",
                    Span(promised)
                )
            }),
    );
    findings.push(
        Finding::of("retention limit in force")
            .effective(limit.map_or_else(|| "none".to_owned(), |limit| limit.to_string()))
            .bound(promised.as_secs_f64())
            .unit("s")
            .judge(
                limit.is_some_and(|limit| (limit - promised.as_secs_f64()).abs() < 1e-9),
                || "prometheus_tsdb_retention_limit_seconds is not what is promised".to_owned(),
            ),
    );
    Ok(())
}

/// Queries see what is kept and nothing older.
async fn queries(server: &Prometheus, planned: &[Planned], findings: &mut Findings) -> Result<(), CaseError> {
    for block in planned {
        let answer = server
            .query("conform_retention", Some(seconds(block.last_ms)))
            .await?;
        let found = answer.iter().any(|sample| {
            sample
                .labels
                .get("block")
                .is_some_and(|label| label == block.label)
        });
        let word = |found: bool| if found { "answers" } else { "is empty" };
        findings.push(
            Finding::of(format!("query at the block: {}", block.label))
                .observed(word(found))
                .bound(word(block.kept))
                .judge(found == block.kept, || {
                    format!(
                        "a query there {}, but what it asks for should {}",
                        word(found),
                        if block.kept { "be kept" } else { "be gone" }
                    )
                }),
        );
    }
    Ok(())
}
