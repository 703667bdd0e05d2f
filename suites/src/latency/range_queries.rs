//! Range queries: what a dashboard's graphs ask, over the whole day they show.

use std::time::Duration;

use harness::case::{Case, CaseError, Context, EVERYTHING};
use harness::finding::Findings;
use harness::mutant::{Edit, Mutant};
use harness::queries::PanelKind;
use harness::stack::Capability;
use harness::verdict::Level;

use super::measure::{self, MACHINE, Plan};
use super::{metrics, queries};

const PROMISE: &str = "query-latency-range";

/// The case.
pub(super) fn case() -> Case {
    Case {
        id: "latency/range-queries",
        claim: "every rule's expression and every panel's graph over a day is answered within its budget",
        level: Level::Should,
        promises: &[PROMISE, MACHINE],
        needs: &[Capability::Prometheus],
        profiles: &["perf"],
        excludes: &[EVERYTHING],
        disturbs: None,
        bound: Duration::from_secs(120),
        run: |context| Box::pin(run(context)),
        mutants,
    }
}

fn mutants() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "timeout-too-short",
            "the declared query timeout is shorter than many queries take",
            Edit::set("Prometheus/prometheus", "/spec/query/timeout", "5ms"),
        ),
        Mutant::new(
            "few-samples",
            "the server refuses queries that read more than ten thousand samples at once",
            Edit::argument("prometheus", "--query.max-samples", Some("10000")),
        ),
        Mutant::new(
            "recording-rule-gone",
            "the server records under another name than a panel asks for",
            Edit::rendered_text(
                "monitoring-recording-services.yaml",
                "job:http_requests:rate5m",
                "job:requests:rate5m",
            ),
        ),
        Mutant::new(
            "one-at-a-time",
            "the server answers one query at a time",
            Edit::argument("prometheus", "--query.max-concurrency", Some("1")),
        ),
        Mutant::new(
            "expression-sorts-every-bucket",
            "an alert sorts an hour of every bucket of every histogram of requests",
            Edit::set_rule(
                "RedisDown",
                "/expr",
                "count(quantile_over_time(0.5, http_request_duration_seconds_bucket[1h])) < 0",
            ),
        ),
    ]
}

async fn run(context: Context) -> Result<Findings, CaseError> {
    let queries = queries(&context)?;
    let machine = measure::machine(&context).await?;
    let mut findings = Findings::new();
    let range = context.contract.duration(PROMISE, "range")?;
    let mut loaded = metrics::load(&context, &queries, PanelKind::Range, &mut findings).await?;
    let plan = Plan {
        what: "range queries",
        promise: PROMISE,
        pace: queries.metrics.range,
        questions: std::mem::take(&mut loaded.questions),
    };
    let (client, end) = (loaded.server.client(), loaded.end);
    let step = range / queries.metrics.points;
    let ask = |question: usize| {
        let (client, expression) = (client.clone(), loaded.expressions[question].clone());
        async move {
            client
                .query_range_text(&expression, end - range.as_secs_f64(), end, step)
                .await
                .map_err(|error| error.to_string())
        }
    };
    let measured = measure::measure(&context, plan, machine, ask, metrics::series).await?;
    loaded.server.stop().await?;
    measured.judge(&context, &mut findings).await?;
    Ok(findings)
}
