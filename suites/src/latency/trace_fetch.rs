//! Single traces by their ID: what a click on a search result or on a log line's trace asks for.

use std::time::Duration;

use harness::case::{Case, CaseError, Context, EVERYTHING};
use harness::finding::{Finding, Findings};
use harness::mutant::{Edit, Mutant};
use harness::stack::Capability;
use harness::verdict::Level;
use harness::wire::otlp::TraceId;
use serde_json::json;

use super::measure::{self, MACHINE, Plan, Question};
use super::traces::{self, BACKEND, JAEGER, Loaded};
use super::{logs, queries};

const PROMISE: &str = "query-latency-trace-fetch";

/// The case.
pub(super) fn case() -> Case {
    Case {
        id: "latency/trace-fetch",
        claim: "a single trace is fetched by its ID, whole, within its budget",
        level: Level::Should,
        promises: &[PROMISE, MACHINE],
        needs: &[Capability::Jaeger, Capability::Elasticsearch],
        profiles: &["perf"],
        excludes: &[EVERYTHING],
        disturbs: Some("writes spans into indices of its own, and deletes these"),
        bound: Duration::from_mins(3),
        run: |context| Box::pin(run(context)),
        mutants,
    }
}

fn mutants() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "stored-in-memory",
            "Jaeger keeps the newest traces in its own memory, and no others",
            Edit::set(
                JAEGER,
                "/spec/config/extensions/jaeger_storage/backends/elasticsearch",
                json!({"memory": {"max_traces": 1_000}}),
            ),
        ),
        Mutant::new(
            "more-than-the-store-gives",
            "Jaeger asks for more spans at once than its store gives",
            Edit::set(JAEGER, &format!("{BACKEND}/max_doc_count"), json!(20_000)),
        ),
        Mutant::new(
            "hundred-shards",
            "a day's spans are spread over a hundred shards, which each fetch asks",
            Edit::set(JAEGER, &format!("{BACKEND}/indices/spans/shards"), json!(100)),
        ),
        logs::few_searches(),
    ]
}

async fn run(context: Context) -> Result<Findings, CaseError> {
    let queries = queries(&context)?.traces;
    let machine = measure::machine(&context).await?;
    let mut findings = Findings::new();
    let loaded = traces::load(&context, &queries, &mut findings).await?;
    let ids = loaded.some(queries.fetch.traces);
    findings.push(whole(&loaded, &ids).await);
    let plan = Plan {
        what: "fetches of traces",
        promise: PROMISE,
        pace: queries.fetch.pace,
        questions: ids
            .iter()
            .map(|id| Question {
                name: format!("trace {id}"),
                holds_data: true,
            })
            .collect(),
    };
    let client = loaded.client().clone();
    let ask = |question: usize| {
        let (client, id) = (client.clone(), number(ids[question]));
        async move { client.trace_text(id).await.map_err(|error| error.to_string()) }
    };
    let measured = measure::measure(&context, plan, machine, ask, traces::spans).await?;
    loaded.end(&context).await?;
    measured.judge(&context, &mut findings).await?;
    Ok(findings)
}

/// An ID as clients take it.
fn number(id: TraceId) -> u128 {
    u128::from_be_bytes(id.0)
}

/// Whether each of the traces is there, whole.
async fn whole(loaded: &Loaded, ids: &[TraceId]) -> Finding {
    let mut wrong = Vec::new();
    for id in ids {
        match loaded.client().trace(number(*id)).await {
            Ok(Some(trace)) => wrong.extend(loaded.wrong(&trace)),
            Ok(None) => wrong.push(format!("{id} is not found")),
            Err(error) => wrong.push(format!("{id}: {error}")),
        }
    }
    Finding::of("traces that are fetched")
        .declared(format!("{} traces", ids.len()))
        .observed(format!("{} of them not whole", wrong.len()))
        .bound("all whole")
        .judge(wrong.is_empty(), || {
            format!(
                "{} are not whole, the first: {}",
                wrong.len(),
                wrong.first().map_or("", String::as_str)
            )
        })
}
