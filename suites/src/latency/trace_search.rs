//! Searches for traces: what people ask who know a service and something about what went wrong.

use std::time::Duration;

use harness::case::{Case, CaseError, Context, EVERYTHING};
use harness::component::jaeger::TraceQuery;
use harness::finding::{Finding, Findings};
use harness::mutant::{Edit, Mutant};
use harness::queries::TraceSearch;
use harness::stack::Capability;
use harness::verdict::Level;
use serde_json::json;

use super::measure::{self, MACHINE, Plan, Question};
use super::traces::{self, BACKEND, JAEGER, Loaded};
use super::{logs, queries};

const PROMISE: &str = "query-latency-trace-search";

/// The case.
pub(super) fn case() -> Case {
    Case {
        id: "latency/trace-search",
        claim: "searches for traces by service, operation, tags and duration find what is there within their budget",
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
            "more-than-the-store-gives",
            "Jaeger asks for more spans at once than its store gives",
            Edit::rendered_text("jaeger.yaml", "max_doc_count: 10000", "max_doc_count: 20000"),
        ),
        Mutant::new(
            "no-mappings",
            "Jaeger leaves it to the store to guess what its fields are",
            Edit::set(JAEGER, &format!("{BACKEND}/create_mappings"), false),
        ),
        Mutant::new(
            "hundred-shards",
            "a day's spans are spread over a hundred shards, which each search asks once for every trace",
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
    let searches: Vec<(TraceQuery, usize)> = queries
        .search
        .queries
        .iter()
        .map(|search| (loaded.query(search), loaded.expected(search)))
        .collect();
    findings.push(found(&loaded, &queries.search.queries, &searches).await);
    let plan = Plan {
        what: "searches for traces",
        promise: PROMISE,
        pace: queries.search.pace,
        questions: queries
            .search
            .queries
            .iter()
            .zip(&searches)
            .map(|(search, (_, expected))| Question {
                name: format!("search {}", search.name),
                holds_data: *expected > 0,
            })
            .collect(),
    };
    let client = loaded.client().clone();
    let ask = |question: usize| {
        let (client, query) = (client.clone(), searches[question].0.clone());
        async move {
            client
                .search_text(&query)
                .await
                .map_err(|error| error.to_string())
        }
    };
    let measured = measure::measure(&context, plan, machine, ask, traces::spans).await?;
    loaded.end(&context).await?;
    measured.judge(&context, &mut findings).await?;
    Ok(findings)
}

/// Whether each search finds as many traces as it has to, each of them whole.
async fn found(loaded: &Loaded, names: &[TraceSearch], searches: &[(TraceQuery, usize)]) -> Finding {
    let (mut traces, mut wrong) = (0, Vec::new());
    for (search, (query, expected)) in names.iter().zip(searches) {
        match loaded.client().search(query).await {
            Ok(found) => {
                traces += found.len();
                if found.len() != *expected {
                    wrong.push(format!(
                        "search {} finds {} of {expected} traces",
                        search.name,
                        found.len()
                    ));
                }
                let first = found.iter().find_map(|trace| loaded.wrong(trace));
                wrong.extend(first.map(|why| format!("search {}: {why}", search.name)));
            }
            Err(error) => wrong.push(format!("search {}: {error}", search.name)),
        }
    }
    Finding::of("traces that searches find")
        .declared(format!(
            "{} traces match {} searches, up to their limits",
            searches.iter().map(|(_, expected)| expected).sum::<usize>(),
            searches.len()
        ))
        .observed(format!("{traces} traces found"))
        .bound("as many as match, each whole")
        .judge(wrong.is_empty(), || wrong.join("; "))
}
