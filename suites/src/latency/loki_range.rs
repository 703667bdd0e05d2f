//! Range queries of Loki: the newest lines of some streams, and counts of lines over time, over the hour that Grafana
//! shows at first.
//!
//! The Loki is a clone: lines of other cases would be read by every query, and no line can be taken out again.

use std::sync::Arc;
use std::time::Duration;

use harness::case::{Case, CaseError, Context, EVERYTHING};
use harness::component::loki::{Direction, Loki, RangeQuery};
use harness::emit::logs::{Destination, Load, send};
use harness::finding::Findings;
use harness::mutant::{Edit, Mutant};
use harness::stack::{Capability, LokiClone};
use harness::units::Span;
use harness::verdict::Level;
use serde_json::{Value, json};

use super::measure::{self, MACHINE, Plan, Question};
use super::{logs, queries};

const PROMISE: &str = "query-latency-loki-range";
/// Lines a second that are loaded: half of what the limits of ingestion let in, at some 400 bytes a line.
const RATE: f64 = 20_000.0;
/// Lines of a request.
const BATCH: usize = 1_000;

/// The case.
pub(super) fn case() -> Case {
    Case {
        id: "latency/loki-range",
        claim: "the newest lines and the counts of lines over an hour are answered within their budget",
        level: Level::Should,
        promises: &[PROMISE, MACHINE],
        needs: &[Capability::Loki],
        profiles: &["perf"],
        excludes: &[EVERYTHING],
        disturbs: None,
        bound: Duration::from_mins(8),
        run: |context| Box::pin(run(context)),
        mutants,
    }
}

fn mutants() -> Vec<Mutant> {
    let limit = |id, change, name: &str, value: Value| {
        let inside = format!("/limits_config/{name}");
        Mutant::new(
            id,
            change,
            Edit::set_embedded("ConfigMap/loki", "/data/loki.yaml", &inside, value),
        )
    };
    vec![
        limit(
            "few-lines",
            "no query gets more than fifty lines",
            "max_entries_limit_per_query",
            json!(50),
        ),
        limit(
            "timeout-too-short",
            "a query is given up sooner than lines can be counted",
            "query_timeout",
            json!("20ms"),
        ),
        limit(
            "half-an-hour-at-most",
            "a query may not ask for more than half an hour",
            "max_query_length",
            json!("30m"),
        ),
        limit(
            "looks-back-ten-minutes",
            "what is older than ten minutes is not looked at",
            "max_query_lookback",
            json!("10m"),
        ),
        limit(
            "split-small",
            "every query is split into sixty small ones",
            "split_queries_by_interval",
            json!("1m"),
        ),
    ]
}

async fn run(context: Context) -> Result<Findings, CaseError> {
    let queries = queries(&context)?.loki;
    let machine = measure::machine(&context).await?;
    let range = context.contract.duration(PROMISE, "range")?;
    let mut findings = Findings::new();
    let mut server = context.stack.workshop.loki(LokiClone::named("latency")).await?;
    load(
        &context,
        server.client(),
        queries.loaded,
        Span(range),
        &mut findings,
    )
    .await?;
    // Nothing comes later, so that answers do not change.
    let end = i64::try_from(harness::clock::unix_nanoseconds()).unwrap_or(i64::MAX);
    let start = end.saturating_sub(i64::try_from(range.as_nanos()).unwrap_or(i64::MAX));
    let plan = Plan {
        what: "range queries of Loki",
        promise: PROMISE,
        pace: queries.pace,
        questions: queries
            .queries
            .iter()
            .map(|query| Question {
                name: query.name.clone(),
                holds_data: true,
            })
            .collect(),
    };
    let step = range / queries.points;
    let client = server.client().clone();
    let ask = |question: usize| {
        let (client, query) = (client.clone(), queries.queries[question].clone());
        async move {
            let answer = match query.limit {
                Some(limit) => {
                    let query = RangeQuery {
                        query: query.expr,
                        start,
                        end,
                        limit: usize::try_from(limit).unwrap_or(usize::MAX),
                        direction: Direction::Backward,
                    };
                    client.query_range_text(&query).await
                }
                None => client.metric_range_text(&query.expr, start, end, step).await,
            };
            answer.map_err(|error| error.to_string())
        }
    };
    let measured = measure::measure(&context, plan, machine, ask, things).await?;
    server.stop().await?;
    measured.judge(&context, &mut findings).await?;
    Ok(findings)
}

/// Pushes lines spread evenly over the range, and says what is there.
async fn load(
    context: &Context,
    server: &Loki,
    count: u64,
    range: Span,
    findings: &mut Findings,
) -> Result<(), CaseError> {
    context
        .progress
        .step("", format!("pushing {count} lines of {range}"));
    let endpoint = server
        .base()
        .join("loki/api/v1/push")
        .map_err(|error| CaseError::Environment(error.to_string()))?;
    let load = Load {
        rate: RATE,
        count: Some(count),
        batch: BATCH,
        history: Some(range.0),
        ..Load::new(
            Destination::Loki(endpoint),
            Arc::clone(&context.shapes),
            context.seed,
        )
    };
    let outcome = send(load, context.cancel.clone())
        .await
        .map_err(|error| CaseError::Environment(error.to_string()))?;
    // Twice the range: the first lines are of its beginning, which by now lies further back.
    let seconds = range.0.as_secs() * 2;
    let all = format!("sum(count_over_time({{namespace=~\".+\"}}[{seconds}s]))");
    let found = server.instant(&all, None).await.map(|found| {
        let sample = found.first().and_then(|series| series.samples.first());
        sample.and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
    });
    findings.push(logs::there(&outcome, "lines", count, range, found));
    Ok(())
}

/// How many lines or values an answer of Loki holds.
fn things(answer: String) -> usize {
    let read: Value = serde_json::from_str(&answer).unwrap_or_default();
    drop(answer);
    read.pointer("/data/result")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|one| one.get("values").and_then(Value::as_array))
        .map(Vec::len)
        .sum()
}
