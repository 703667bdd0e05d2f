//! Instant queries: what alerts and single values ask, for the instant the newest data is of.

use std::time::Duration;

use harness::case::{Case, CaseError, Context, EVERYTHING};
use harness::finding::Findings;
use harness::mutant::{Edit, Mutant};
use harness::queries::PanelKind;
use harness::stack::Capability;
use harness::verdict::Level;

use super::measure::{self, MACHINE, Plan};
use super::{metrics, queries};

const PROMISE: &str = "query-latency-instant";

/// The case.
pub(super) fn case() -> Case {
    Case {
        id: "latency/instant-queries",
        claim: "every rule's expression and every panel's single value is answered within its budget, on a day of data",
        level: Level::Should,
        promises: &[PROMISE, MACHINE],
        needs: &[Capability::Prometheus],
        profiles: &["perf"],
        excludes: &[EVERYTHING],
        disturbs: None,
        bound: Duration::from_secs(90),
        run: |context| Box::pin(run(context)),
        mutants,
    }
}

fn mutants() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "timeout-too-short",
            "the declared query timeout is shorter than many queries take",
            Edit::set("Prometheus/prometheus", "/spec/query/timeout", "1ms"),
        ),
        Mutant::new(
            "few-samples",
            "the server refuses queries that read more than a thousand samples",
            Edit::argument("prometheus", "--query.max-samples", Some("1000")),
        ),
        Mutant::new(
            "recording-rule-gone",
            "a rule is gone that a panel rests on",
            Edit::remove_rule("job_route:http_requests:rate5m"),
        ),
        Mutant::new(
            "expression-reads-a-day",
            "an alert reads a day of every series whenever it is evaluated",
            Edit::set_rule(
                "RedisDown",
                "/expr",
                "count(last_over_time({__name__=~\".+\"}[1d])) < 0",
            ),
        ),
    ]
}

async fn run(context: Context) -> Result<Findings, CaseError> {
    let queries = queries(&context)?;
    let machine = measure::machine(&context).await?;
    let mut findings = Findings::new();
    let mut loaded = metrics::load(&context, &queries, PanelKind::Instant, &mut findings).await?;
    let plan = Plan {
        what: "instant queries",
        promise: PROMISE,
        pace: queries.metrics.instant,
        questions: std::mem::take(&mut loaded.questions),
    };
    let (client, end) = (loaded.server.client(), loaded.end);
    let ask = |question: usize| {
        let (client, expression) = (client.clone(), loaded.expressions[question].clone());
        async move {
            client
                .query_text(&expression, end)
                .await
                .map_err(|error| error.to_string())
        }
    };
    let measured = measure::measure(&context, plan, machine, ask, metrics::series).await?;
    loaded.server.stop().await?;
    measured.judge(&context, &mut findings).await?;
    Ok(findings)
}
