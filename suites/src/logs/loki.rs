//! Loki gives every acknowledged line back once, unaltered and in the order of its stream, and keeps lines as long as
//! promised.

use std::time::Duration;

use harness::case::{Case, CaseError, Context};
use harness::component::loki::{Direction, RangeQuery};
use harness::emit::logs::Destination;
use harness::emit::logs::records::{Record, reconcile};
use harness::finding::{Finding, Findings};
use harness::mutant::{Edit, Mutant};
use harness::render::loki::retention;
use harness::stack::Capability;
use harness::units::Span;
use harness::verdict::Level;
use serde_json::{Value, json};

use super::books;
use super::setup::shown;

/// The case.
pub(super) fn case() -> Case {
    Case {
        id: "logs/loki",
        claim: "every line that Loki acknowledged is found once, unaltered and in order, and the retention in force is \
                the promised one",
        level: Level::Should,
        promises: &["logs-loki"],
        needs: &[Capability::Loki],
        profiles: &["core"],
        excludes: &[],
        disturbs: Some("pushes lines, which stay as long as its retention says"),
        bound: Duration::from_mins(1),
        run: |context| Box::pin(run(context)),
        mutants,
    }
}

fn mutants() -> Vec<Mutant> {
    let set =
        |inside: &str, value: Value| Edit::set_embedded("ConfigMap/loki", "/data/loki.yaml", inside, value);
    vec![
        Mutant::new(
            "lines-cut-short",
            "lines longer than 256 bytes are refused",
            set("/limits_config/max_line_size", json!("256B")),
        ),
        Mutant::new(
            "rate-too-low",
            "no more than 50 kB a second are taken",
            set("/limits_config/ingestion_rate_mb", json!(0.05)),
        )
        .and(set("/limits_config/ingestion_burst_size_mb", json!(0.05))),
        Mutant::new(
            "kept-longer",
            "lines are kept twice as long",
            set("/limits_config/retention_period", json!("60d")),
        ),
        Mutant::new(
            "never-deleted",
            "the compactor deletes nothing",
            set("/compactor/retention_enabled", json!(false)),
        ),
    ]
}

/// Lines that are sent.
const COUNT: u64 = 6_000;
/// Lines of a page when all are read back.
const PAGE: usize = 2_000;

async fn run(context: Context) -> Result<Findings, CaseError> {
    let server = context.stack.loki()?;
    let mut findings = Findings::new();
    let promised = context.contract.duration("logs-loki-retention", "retention")?;
    let declared = retention(&context.tree).map_err(|error| CaseError::Failed(error.to_string()))?;
    let config = server.config().await?;
    let effective = shown(config.pointer("/limits_config/retention_period"));
    findings.push(
        Finding::of("retention of lines")
            .declared(declared)
            .effective(&effective)
            .bound(Span(promised))
            .judge(
                declared.0 == promised && effective.parse::<Span>().is_ok_and(|span| span.0 == promised),
                || {
                    format!(
                        "lines are kept for {effective} where {} is promised",
                        Span(promised)
                    )
                },
            ),
    );
    let deletes = shown(config.pointer("/compactor/retention_enabled"));
    findings.push(
        Finding::of("deletion of lines past the retention")
            .effective(&deletes)
            .bound("true")
            .judge(deletes == "true", || "the compactor deletes nothing".to_owned()),
    );

    context.progress.step("", "sending lines");
    let endpoint = server
        .base()
        .join("loki/api/v1/push")
        .map_err(|error| CaseError::Environment(error.to_string()))?;
    let outcome = books::send(&context, Destination::Loki(endpoint), "loki", COUNT).await?;
    findings.push(books::acknowledged("lines", &outcome, COUNT));
    let sent = outcome.sent.records();
    let (Some(first), Some(last)) = (
        sent.iter().map(|record| record.at).min(),
        sent.iter().map(|record| record.at).max(),
    ) else {
        return Ok(findings);
    };
    context.progress.step("", "reading them back");
    let query = RangeQuery {
        query: "{namespace=~\".+\"}".to_owned(),
        start: first,
        end: last + 1,
        limit: PAGE,
        direction: Direction::Forward,
    };
    let at_most = usize::try_from(4 * COUNT).unwrap_or(usize::MAX);
    let streams = server.all(&query, at_most).await?;
    let mut arrived = Vec::new();
    for stream in &streams {
        for entry in &stream.entries {
            let label = |name: &str| stream.labels.get(name).map(String::as_str);
            let record = Record::of_entry(label, entry.at, &entry.line)
                .map_err(|error| CaseError::Failed(format!("a line at {}: {error}", entry.at)))?;
            arrived.push(record);
        }
    }
    let found = reconcile(&outcome.sent, &arrived);
    findings.push(books::balanced("lines read back, stream by stream", &found, true));
    Ok(findings)
}
