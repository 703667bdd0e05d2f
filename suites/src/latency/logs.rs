//! The shared Elasticsearch with a day of logs of the played services in it, and the way that both cases about its
//! answers go.
//!
//! Its templates and nodes are what is asked as well as its indices, so that it is no clone; the indices are the
//! case's own and go with it.

use std::sync::Arc;

use harness::case::{CaseError, Context};
use harness::component::ClientError;
use harness::component::elasticsearch::Elasticsearch;
use harness::emit::logs::{Destination, Load, Outcome, send};
use harness::finding::{Finding, Findings};
use harness::mutant::{Edit, Mutant};
use harness::queries::{LogQueries, Logs};
use harness::units::Span;
use harness::wire::bulk::Action;
use serde_json::{Value, json};

use super::measure::{self, Plan, Question};
use super::queries;
use crate::history::{milliseconds, now_ms};

/// The object that holds what is set up in Elasticsearch, for mutants.
pub(super) const SETUP: &str = "ConfigMap/elasticsearch-setup";

/// Documents a second: more than the server takes, so that one request follows the other.
const RATE: f64 = 1e6;
/// Documents of a request, one request at a time: with more under way, the heap of the run's small nodes is full at
/// times, and they refuse.
const BATCH: usize = 500;

/// What one of the cases asks.
pub(super) struct Asked {
    /// What is measured, for example `searches in logs`.
    pub(super) what: &'static str,
    /// The promise with its range and its budgets.
    pub(super) promise: &'static str,
    /// Which of the questions.
    pub(super) which: fn(&Logs) -> &LogQueries,
}

/// A mutant of every node: searches of one shard at a time, and hardly any that wait.
pub(super) fn few_searches() -> Mutant {
    let set = |tier: &str, setting: &str, value: u32| {
        Edit::set_embedded(
            &format!("ConfigMap/elasticsearch-{tier}"),
            "/data/elasticsearch.yml",
            &format!("/thread_pool.search.{setting}"),
            json!(value),
        )
    };
    let mutant = Mutant::new(
        "few-searches",
        "a node searches one shard at a time and lets two wait",
        set("hot", "size", 1),
    )
    .and(set("hot", "queue_size", 2));
    ["warm", "cold"].into_iter().fold(mutant, |mutant, tier| {
        mutant.and(set(tier, "size", 1)).and(set(tier, "queue_size", 2))
    })
}

/// A mutant of a field that all logs have.
pub(super) fn field(id: &'static str, change: &'static str, name: &str, mapping: Value) -> Mutant {
    let inside = format!("/template/mappings/properties/{name}");
    Mutant::new(
        id,
        change,
        Edit::set_embedded(SETUP, "/data/log-fields.json", &inside, mapping),
    )
}

/// Loads the day, asks and judges.
pub(super) async fn run(context: Context, asked: Asked) -> Result<Findings, CaseError> {
    let queries = queries(&context)?.logs;
    let machine = measure::machine(&context).await?;
    let mut findings = Findings::new();
    let server = context.stack.elasticsearch()?;
    let range = context.contract.duration(asked.promise, "range")?;
    let suffix = format!("latency-{}", now_ms());
    load(
        &context,
        server,
        queries.loaded,
        Span(range),
        &suffix,
        &mut findings,
    )
    .await?;
    // Nothing comes later, so that answers do not change.
    let to = now_ms();
    let (from, to) = (Value::from(to - milliseconds(range)), Value::from(to));
    let questions = (asked.which)(&queries);
    let plan = Plan {
        what: asked.what,
        promise: asked.promise,
        pace: questions.pace,
        questions: questions
            .queries
            .iter()
            .map(|query| Question {
                name: query.name.clone(),
                holds_data: true,
            })
            .collect(),
    };
    let bodies: Vec<(String, Value)> = questions
        .queries
        .iter()
        .map(|query| (query.index.clone(), query.body_between(&from, &to)))
        .collect();
    let ask = |question: usize| {
        let (client, (index, body)) = (server.clone(), bodies[question].clone());
        async move {
            client
                .search_text(&index, &body)
                .await
                .map_err(|error| error.to_string())
        }
    };
    let measured = measure::measure(&context, plan, machine, ask, things).await?;
    for index in server.indices(&format!("*-{suffix}")).await? {
        server.delete_index(&index).await?;
    }
    measured.judge(&context, &mut findings).await?;
    Ok(findings)
}

/// Sends documents spread evenly over the range, and says what is there.
async fn load(
    context: &Context,
    server: &Elasticsearch,
    count: u64,
    range: Span,
    suffix: &str,
    findings: &mut Findings,
) -> Result<(), CaseError> {
    context
        .progress
        .step("", format!("sending {count} documents of {range}"));
    let destination = Destination::Bulk {
        endpoint: server
            .base()
            .join("_bulk")
            .map_err(|error| CaseError::Environment(error.to_string()))?,
        action: Action::Index,
        suffix: Some(suffix.to_owned()),
        repeats: 0,
    };
    let load = Load {
        rate: RATE,
        count: Some(count),
        batch: BATCH,
        history: Some(range.0),
        ..Load::new(destination, Arc::clone(&context.shapes), context.seed)
    };
    let outcome = send(load, context.cancel.clone())
        .await
        .map_err(|error| CaseError::Environment(error.to_string()))?;
    let pattern = format!("*-{suffix}");
    server.refresh(&pattern).await?;
    let found = server.count(&pattern, None).await;
    findings.push(there(&outcome, "documents", count, range, found));
    Ok(())
}

/// Whether everything that was to be loaded was taken and is found; a server that refuses to count it has failed.
pub(super) fn there(
    outcome: &Outcome,
    things: &str,
    count: u64,
    range: Span,
    found: Result<u64, ClientError>,
) -> Finding {
    let whole = outcome.acknowledged == count && found.as_ref().is_ok_and(|found| *found == count);
    Finding::of("data that is asked for")
        .declared(format!("{count} {things} over {range}"))
        .effective(format!("{} taken", outcome.acknowledged))
        .observed(match &found {
            Ok(found) => format!("{found} found"),
            Err(_) => "not counted".to_owned(),
        })
        .bound("all of it found")
        .judge(whole, || match (outcome.failures.first(), found) {
            (Some(failure), _) => format!(
                "{} of {count} {things} were taken: {}",
                outcome.acknowledged, failure.words
            ),
            (None, Err(error)) => error.to_string(),
            (None, Ok(found)) => format!("{found} of {count} {things} are found"),
        })
}

/// How many documents and buckets an answer of Elasticsearch holds, without reading it as a whole: each has a member
/// of its own name once, and no value can hold the same text unescaped.
fn things(answer: String) -> usize {
    let count = answer.matches("\"_index\":").count() + answer.matches("\"doc_count\":").count();
    drop(answer);
    count
}
