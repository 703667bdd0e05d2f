//! Searches in a day of logs: the newest documents of a level, a service, some words or a status.

use std::time::Duration;

use harness::case::{Case, EVERYTHING};
use harness::mutant::{Edit, Mutant};
use harness::stack::Capability;
use harness::verdict::Level;
use serde_json::json;

use super::logs::{self, Asked, SETUP};
use super::measure::MACHINE;

const PROMISE: &str = "query-latency-log-search";

/// The case.
pub(super) fn case() -> Case {
    Case {
        id: "latency/log-search",
        claim: "searches in a day of logs by level, service, words and status are answered within their budget",
        level: Level::Should,
        promises: &[PROMISE, MACHINE],
        needs: &[Capability::Elasticsearch],
        profiles: &["perf"],
        excludes: &[EVERYTHING],
        disturbs: Some("writes documents into indices of its own, and deletes these"),
        bound: Duration::from_mins(3),
        run: |context| {
            Box::pin(logs::run(
                context,
                Asked {
                    what: "searches in logs",
                    promise: PROMISE,
                    which: |logs| &logs.search,
                },
            ))
        },
        mutants,
    }
}

fn mutants() -> Vec<Mutant> {
    vec![
        logs::field(
            "level-not-indexed",
            "levels are stored without being indexed",
            "level",
            json!({"type": "keyword", "index": false, "doc_values": false}),
        ),
        logs::field(
            "service-in-words",
            "services are indexed word by word, so that none is found by its name",
            "service",
            json!({"type": "text"}),
        ),
        Mutant::new(
            "fifty-are-too-many",
            "an index of the application's logs gives ten documents at most",
            Edit::set_embedded(
                SETUP,
                "/data/template-app.json",
                "/template/settings/index/max_result_window",
                json!(10),
            ),
        ),
        Mutant::new(
            "two-hundred-shards",
            "the application's logs are spread over two hundred shards",
            Edit::set_embedded(
                SETUP,
                "/data/template-app.json",
                "/template/settings/index/number_of_shards",
                json!(200),
            ),
        ),
        logs::few_searches(),
    ]
}
