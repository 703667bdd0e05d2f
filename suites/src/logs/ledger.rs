//! Documents that were acknowledged are there, once, as they were sent, and are found by what people ask for.
//!
//! Method: seeded records over the bulk API, every request sent twice as by a shipper that lost the answer; all of
//! them read back and held against the ledger of what was acknowledged. The same with an Elasticsearch of the
//! declared configuration that is stopped in an orderly way, and killed right after its last acknowledgement.

use std::collections::BTreeMap;
use std::time::Duration;

use harness::case::{Case, CaseError, Context};
use harness::component::elasticsearch::{Elasticsearch, HealthStatus, Hit};
use harness::emit::logs::records::reconcile;
use harness::finding::{Finding, Findings};
use harness::mutant::{Edit, Mutant};
use harness::stack::{Capability, ElasticsearchClone};
use harness::verdict::Level;
use reqwest::Method;
use serde_json::{Value, json};

use super::setup::{self, shown};
use super::{SETUP, books};

/// Words that some messages of the emitted services have.
const WORDS: &str = "user signed in from Zürich";

/// The case.
pub(super) fn case() -> Case {
    Case {
        id: "logs/ledger",
        claim: "every acknowledged log document is stored once and unaltered, through an orderly restart and a kill, \
                and is found by service, level, time, words and trace",
        level: Level::Must,
        promises: &["logs-storage", "logs-filters"],
        needs: &[Capability::Elasticsearch],
        profiles: &["core"],
        excludes: &[],
        disturbs: Some("writes documents into indices of its own below every log pattern, and deletes these"),
        bound: Duration::from_mins(4),
        run: |context| Box::pin(run(context)),
        mutants,
    }
}

fn mutants() -> Vec<Mutant> {
    let embedded = |id, change, key: &str, inside: &str, value: Value| {
        Mutant::new(
            id,
            change,
            Edit::set_embedded(SETUP, &format!("/data/{key}"), inside, value),
        )
    };
    vec![
        embedded(
            "acknowledged-before-written",
            "documents are acknowledged before they are on disk",
            "template-app.json",
            "/template/settings/index/translog",
            json!({ "durability": "async", "sync_interval": "1h" }),
        ),
        embedded(
            "service-is-a-number",
            "the field of the service is mapped as a number",
            "log-fields.json",
            "/template/mappings/properties/service/type",
            json!("long"),
        ),
        embedded(
            "message-not-indexed",
            "messages are stored without being indexed",
            "log-fields.json",
            "/template/mappings/properties/message/index",
            json!(false),
        ),
        embedded(
            "level-not-indexed",
            "levels are stored without being indexed",
            "log-fields.json",
            "/template/mappings/properties/level",
            json!({ "type": "keyword", "index": false, "doc_values": false }),
        ),
        embedded(
            "pattern-mistyped",
            "the application's template has a letter less in its pattern",
            "template-app.json",
            "/index_patterns",
            json!(["ap-*"]),
        ),
    ]
}

/// Records of each load.
const COUNT: u64 = 3_000;
/// Longest until a restarted node has its primaries again.
const RECOVERY: Duration = Duration::from_mins(1);

async fn run(context: Context) -> Result<Findings, CaseError> {
    let (shared, restarted) = futures::try_join!(shared(&context), restarted(&context))?;
    let mut findings = Findings::new();
    for finding in shared.into_iter().chain(restarted) {
        findings.push(finding);
    }
    Ok(findings)
}

/// On the shared Elasticsearch.
async fn shared(context: &Context) -> Result<Vec<Finding>, CaseError> {
    let server = context.stack.elasticsearch()?;
    let suffix = setup::unique("ledger");
    let pattern = format!("*-{suffix}");
    let outcome = books::send(context, books::bulk(server, &suffix, 1)?, "shared", COUNT).await?;
    let mut findings = vec![books::acknowledged("documents sent twice", &outcome, COUNT)];
    findings.push(
        Finding::of("documents sent twice: the second sending")
            .observed(format!("{} met their first", outcome.replaced))
            .bound(COUNT)
            .judge(outcome.replaced == COUNT, || {
                format!(
                    "{} of {COUNT} met the document of the first sending",
                    outcome.replaced
                )
            }),
    );
    if server.indices(&pattern).await?.is_empty() {
        return Ok(findings);
    }
    let hits = books::documents(server, &pattern, 4 * COUNT).await?;
    let found = reconcile(&outcome.sent, &books::records(&hits)?);
    findings.push(books::balanced("documents sent twice: found", &found, false));
    let count = server.count(&pattern, None).await?;
    findings.push(
        Finding::of("documents sent twice: counted")
            .observed(count)
            .bound(COUNT)
            .judge(count == COUNT, || format!("{count} documents are counted")),
    );
    searched(server, &pattern, &hits, &mut findings).await;
    for index in server.indices(&pattern).await? {
        server.delete_index(&index).await?;
    }
    Ok(findings)
}

/// What people filter by gives the documents that have it, and no others.
async fn searched(server: &Elasticsearch, pattern: &str, hits: &[Hit], findings: &mut Vec<Finding>) {
    for field in ["service", "level"] {
        let mut expected: BTreeMap<String, u64> = BTreeMap::new();
        for hit in hits {
            *expected.entry(shown(hit.source.get(field))).or_default() += 1;
        }
        let mut wrong = Vec::new();
        for (value, count) in &expected {
            match server
                .count(pattern, Some(&json!({ "term": { field: value } })))
                .await
            {
                Ok(found) if found == *count => {}
                Ok(found) => wrong.push(format!("{found} of {count} documents of {value} are found")),
                Err(error) => wrong.push(error.to_string()),
            }
        }
        findings.push(
            Finding::of(format!("documents found by {field}"))
                .observed(format!(
                    "{} of {} values exact",
                    expected.len() - wrong.len(),
                    expected.len()
                ))
                .judge(wrong.is_empty() && !expected.is_empty(), || wrong.join("; ")),
        );
    }
    let mut times: Vec<String> = hits
        .iter()
        .map(|hit| shown(hit.source.get("@timestamp")))
        .collect();
    // All are in one notation, so that the order of the texts is that of the instants.
    times.sort_unstable();
    let from = times.get(times.len() / 3).cloned().unwrap_or_default();
    let to = times.get(2 * times.len() / 3).cloned().unwrap_or_default();
    // The server's dates have milliseconds: both ends are cut to them on both sides.
    let cut = |text: &str| {
        text.parse::<jiff::Timestamp>()
            .map_or(0, jiff::Timestamp::as_millisecond)
    };
    let (from, to) = (cut(&from), cut(&to));
    let within = times
        .iter()
        .filter(|time| (from..to).contains(&cut(time)))
        .count() as u64;
    let range = json!({ "range": { "@timestamp": { "gte": from, "lt": to, "format": "epoch_millis" } } });
    exactly(server, pattern, "time range", &range, within, findings).await;
    let with = hits
        .iter()
        .filter(|hit| shown(hit.source.get("message")).contains(WORDS))
        .count() as u64;
    let words = json!({ "match_phrase": { "message": WORDS } });
    exactly(server, pattern, "words of the message", &words, with, findings).await;
    if let Some(trace) = hits.iter().find_map(|hit| hit.source.get("trace_id")) {
        let of = hits
            .iter()
            .filter(|hit| hit.source.get("trace_id") == Some(trace))
            .count() as u64;
        let query = json!({ "term": { "trace_id": trace } });
        exactly(server, pattern, "trace", &query, of, findings).await;
    }
}

async fn exactly(
    server: &Elasticsearch,
    pattern: &str,
    by: &str,
    query: &Value,
    expected: u64,
    findings: &mut Vec<Finding>,
) {
    let finding = Finding::of(format!("documents found by {by}")).bound(expected);
    findings.push(match server.count(pattern, Some(query)).await {
        Ok(found) => finding
            .observed(found)
            .judge(found == expected && expected > 0, || {
                format!("{found} of {expected} documents are found")
            }),
        Err(error) => finding.judge(false, || error.to_string()),
    });
}

/// On an Elasticsearch that is stopped and killed.
async fn restarted(context: &Context) -> Result<Vec<Finding>, CaseError> {
    let mut clone = context
        .stack
        .workshop
        .elasticsearch(ElasticsearchClone::named("restarted"))
        .await?;
    prepare(context, clone.client()).await?;
    let mut findings = Vec::new();
    for (what, kill) in [("orderly restart", false), ("kill", true)] {
        context.progress.step("", format!("documents through a {what}"));
        let suffix = if kill { "killed" } else { "stopped" };
        let server = clone.client();
        let destination = books::bulk(server, suffix, 0)?;
        let outcome = books::send(context, destination, suffix, COUNT).await?;
        findings.push(books::acknowledged(
            &format!("documents before the {what}"),
            &outcome,
            COUNT,
        ));
        if kill {
            clone.kill().await?;
        } else {
            clone.stop().await?;
        }
        clone.start().await?;
        let server = clone.client();
        let pattern = format!("*-{suffix}");
        let finding = Finding::of(format!("primaries after the {what}")).bound("all started");
        match server
            .settled(Some(&pattern), HealthStatus::Yellow, 1, RECOVERY)
            .await
        {
            Ok(health) => findings.push(finding.observed(format!("{} shards", health.active_shards))),
            Err(error) => {
                findings.push(finding.judge(false, || error.to_string()));
                continue;
            }
        }
        let hits = books::documents(server, &pattern, 4 * COUNT).await?;
        let found = reconcile(&outcome.sent, &books::records(&hits)?);
        findings.push(books::balanced(
            &format!("documents after the {what}"),
            &found,
            false,
        ));
    }
    Ok(findings)
}

/// Puts the tree's templates into a clone. Its indices have no lifecycle to walk and no node for a copy.
async fn prepare(context: &Context, server: &Elasticsearch) -> Result<(), CaseError> {
    let setup = setup::rendered(&context.tree, Some(0))?;
    for request in setup.requests {
        if matches!(request.api(), Some("_component_template" | "_index_template")) {
            let mut body = request.body;
            if let Some(index) = body
                .pointer_mut("/template/settings/index")
                .and_then(Value::as_object_mut)
            {
                index.shift_remove("lifecycle");
            }
            server
                .raw(Method::PUT, &request.path, Some(&body))
                .await
                .map_err(|error| CaseError::Failed(error.to_string()))?;
        }
    }
    Ok(())
}
