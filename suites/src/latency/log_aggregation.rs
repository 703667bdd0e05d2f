//! Aggregations over a day of logs: the histograms and counts of a dashboard, which read every document.

use std::time::Duration;

use harness::case::{Case, EVERYTHING};
use harness::mutant::{Edit, Mutant};
use harness::stack::Capability;
use harness::verdict::Level;
use serde_json::json;

use super::logs::{self, Asked, SETUP};
use super::measure::MACHINE;

const PROMISE: &str = "query-latency-log-aggregation";

/// The case.
pub(super) fn case() -> Case {
    Case {
        id: "latency/log-aggregation",
        claim: "histograms and counts over a day of logs are answered within their budget",
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
                    what: "aggregations over logs",
                    promise: PROMISE,
                    which: |logs| &logs.aggregation,
                },
            ))
        },
        mutants,
    }
}

fn mutants() -> Vec<Mutant> {
    vec![
        logs::field(
            "service-in-words",
            "services are indexed word by word, so that they cannot be counted",
            "service",
            json!({"type": "text"}),
        ),
        logs::field(
            "level-without-values",
            "levels can be found and not be counted",
            "level",
            json!({"type": "keyword", "doc_values": false}),
        ),
        Mutant::new(
            "duration-is-text",
            "the duration of requests is mapped as a text",
            Edit::set_embedded(
                SETUP,
                "/data/template-istio-access.json",
                "/template/mappings/properties/duration/type",
                json!("keyword"),
            ),
        ),
        Mutant::new(
            "few-buckets",
            "a node refuses answers of more than fifty buckets",
            few_buckets("hot"),
        )
        .and(few_buckets("warm"))
        .and(few_buckets("cold")),
        logs::few_searches(),
    ]
}

fn few_buckets(tier: &str) -> Edit {
    Edit::set_embedded(
        &format!("ConfigMap/elasticsearch-{tier}"),
        "/data/elasticsearch.yml",
        "/search.max_buckets",
        json!(50),
    )
}
