//! Sending logs, and holding what is found against what was acknowledged.

use std::sync::Arc;

use harness::case::{CaseError, Context};
use harness::component::elasticsearch::{Elasticsearch, Hit};
use harness::emit::ledger::Reconciliation;
use harness::emit::logs::records::{Key, Record};
use harness::emit::logs::{Destination, Load, Outcome, send as emit};
use harness::finding::Finding;
use harness::wire::bulk::Action;
use serde_json::json;

/// Records per second: far below what the generator and the servers are good for.
const RATE: f64 = 4_000.0;
/// Records of a request.
const BATCH: usize = 500;
/// Documents of a page when all are read back.
const PAGE: usize = 1_000;

/// Where documents go: indices that end in `suffix`, each request sent `repeats` times more.
pub(crate) fn bulk(server: &Elasticsearch, suffix: &str, repeats: u32) -> Result<Destination, CaseError> {
    Ok(Destination::Bulk {
        endpoint: server
            .base()
            .join("_bulk")
            .map_err(|error| CaseError::Environment(error.to_string()))?,
        action: Action::Index,
        suffix: Some(suffix.to_owned()),
        repeats,
    })
}

/// Sends so many records, drawn from a stream of the case's seed.
pub(super) async fn send(
    context: &Context,
    destination: Destination,
    stream: &str,
    count: u64,
) -> Result<Outcome, CaseError> {
    let load = Load {
        rate: RATE,
        count: Some(count),
        batch: BATCH,
        ..Load::new(
            destination,
            Arc::clone(&context.shapes),
            context.seed.derive(stream),
        )
    };
    emit(load, context.cancel.clone())
        .await
        .map_err(|error| CaseError::Environment(error.to_string()))
}

/// Whether everything was acknowledged.
pub(super) fn acknowledged(what: &str, outcome: &Outcome, count: u64) -> Finding {
    Finding::of(format!("{what}: acknowledged"))
        .observed(outcome.acknowledged)
        .bound(count)
        .judge(outcome.acknowledged == count, || {
            let why: Vec<String> = outcome
                .failures
                .iter()
                .take(3)
                .map(|failure| {
                    format!(
                        "{} of them: {}",
                        failure.records,
                        failure.words.chars().take(200).collect::<String>()
                    )
                })
                .collect();
            format!(
                "{} of {count} records were acknowledged; {}",
                outcome.acknowledged,
                why.join("; ")
            )
        })
}

/// All documents of the indices, each once.
pub(crate) async fn documents(
    server: &Elasticsearch,
    pattern: &str,
    at_most: u64,
) -> Result<Vec<Hit>, CaseError> {
    server.refresh(pattern).await?;
    Ok(server
        .all(
            pattern,
            &json!({ "match_all": {} }),
            &json!([{ "_shard_doc": "asc" }]),
            PAGE,
            usize::try_from(at_most).unwrap_or(usize::MAX),
        )
        .await?)
}

/// Documents as records; one that is none of ours is a failure of the store.
pub(crate) fn records(hits: &[Hit]) -> Result<Vec<Record>, CaseError> {
    hits.iter()
        .map(|hit| {
            Record::of_document(&hit.source)
                .map_err(|error| CaseError::Failed(format!("document {} of {}: {error}", hit.id, hit.index)))
        })
        .collect()
}

/// Whether everything is there once, as it was sent.
pub(super) fn balanced(what: &str, found: &Reconciliation<Key>, in_order: bool) -> Finding {
    let holds = if in_order { found.exact() } else { found.complete() };
    Finding::of(what)
        .observed(found)
        .bound("each once, unaltered")
        .judge(holds, || {
            let first = [
                ("lost", &found.lost),
                ("doubled", &found.duplicated),
                ("altered", &found.altered),
                ("never sent", &found.unexpected),
                ("out of order", &found.reordered),
            ]
            .into_iter()
            .filter_map(|(word, keys)| keys.first().map(|key| format!("{word}: {key}")))
            .collect::<Vec<_>>();
            format!("{found}; the first of each: {}", first.join(", "))
        })
}
