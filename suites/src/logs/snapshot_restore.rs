//! A snapshot is taken into the declared repository, and what is restored from it holds the same documents.

use std::time::Duration;

use harness::case::{Case, CaseError, Context};
use harness::component::elasticsearch::HealthStatus;
use harness::emit::logs::records::reconcile;
use harness::finding::{Finding, Findings};
use harness::mutant::{Edit, Mutant};
use harness::stack::Capability;
use harness::verdict::Level;
use serde_json::{Value, json};

use super::setup;
use super::{SETUP, books};

/// The case.
pub(super) fn case() -> Case {
    Case {
        id: "logs/snapshot-restore",
        claim: "indices that are snapshotted, deleted and restored hold the same documents, and the snapshots' policy \
                takes every log index",
        level: Level::Must,
        promises: &["backup-elasticsearch-restore"],
        needs: &[Capability::Elasticsearch, Capability::SnapshotRepository],
        profiles: &["core"],
        excludes: &[],
        disturbs: Some("takes a snapshot of indices of its own, deletes and restores them"),
        bound: Duration::from_mins(2),
        run: |context| Box::pin(run(context)),
        mutants,
    }
}

fn mutants() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "read-only",
            "the repository can only be read from",
            Edit::set_embedded(
                SETUP,
                "/data/snapshot-repository.json",
                "/settings/readonly",
                true,
            ),
        ),
        Mutant::new(
            "another-repository",
            "the repository has another name than the policy writes to",
            Edit::replace_text(
                SETUP,
                "/data/requests",
                "PUT /_snapshot/daily-backup ",
                "PUT /_snapshot/nightly-backup ",
            ),
        ),
        Mutant::new(
            "pattern-left-out",
            "the policy leaves the access logs out",
            Edit::set_embedded(
                SETUP,
                "/data/snapshot-policy.json",
                "/config/indices",
                json!(["logs-*", "app-*", "jaeger-*"]),
            ),
        ),
    ]
}

/// Records that are sent.
const COUNT: u64 = 2_000;
/// Longest until restored primaries are started.
const RECOVERY: Duration = Duration::from_secs(30);

async fn run(context: Context) -> Result<Findings, CaseError> {
    let server = context.stack.elasticsearch()?;
    let mut findings = Findings::new();
    let declared = setup::declared(&context.tree)?;
    let policy = declared
        .requests
        .iter()
        .find(|request| request.api() == Some("_slm"))
        .map(|request| request.body.clone())
        .unwrap_or_default();
    let taken: Vec<&str> = policy
        .pointer("/config/indices")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let patterns = setup::patterns(&context)?;
    let left_out: Vec<&str> = patterns
        .iter()
        .map(String::as_str)
        .filter(|pattern| !taken.contains(pattern))
        .collect();
    findings.push(
        Finding::of("indices that the snapshot policy takes")
            .declared(taken.join(", "))
            .bound(patterns.join(", "))
            .judge(left_out.is_empty(), || {
                format!("no snapshot of the policy has {}", left_out.join(", "))
            }),
    );
    let repository = setup::shown(policy.get("repository"));
    match server.repository(&repository).await {
        Ok(known) => findings.push(
            Finding::of("repository of the snapshot policy")
                .declared(&repository)
                .effective(setup::shown(known.pointer(&format!("/{repository}/type")))),
        ),
        Err(error) => {
            findings.push(
                Finding::of("repository of the snapshot policy")
                    .declared(&repository)
                    .judge(false, || error.to_string()),
            );
            return Ok(findings);
        }
    }

    context.progress.step("", "documents to snapshot");
    let suffix = setup::unique("snapshot");
    let pattern = format!("*-{suffix}");
    let outcome = books::send(&context, books::bulk(server, &suffix, 0)?, "snapshot", COUNT).await?;
    findings.push(books::acknowledged("documents to snapshot", &outcome, COUNT));
    let indices = server.indices(&pattern).await?;
    context.progress.step("", "taking the snapshot");
    let finding = Finding::of("snapshot").bound(format!("SUCCESS, {} indices", indices.len()));
    match server.take_snapshot(&repository, &suffix, &pattern).await {
        Ok(snapshot) => {
            let whole = snapshot.state == "SUCCESS" && snapshot.indices.len() == indices.len();
            findings.push(
                finding
                    .observed(format!("{}, {} indices", snapshot.state, snapshot.indices.len()))
                    .judge(whole, || format!("failures: {}", Value::from(snapshot.failures))),
            );
        }
        Err(error) => findings.push(finding.judge(false, || error.to_string())),
    }
    for index in &indices {
        server.delete_index(index).await?;
    }
    if findings.verdict() != harness::verdict::Verdict::Pass {
        return Ok(findings);
    }
    context.progress.step("", "restoring it");
    let body = json!({ "indices": pattern, "include_global_state": false });
    let finding = Finding::of("restored shards").bound("none failed");
    match server.restore(&repository, &suffix, &body).await {
        Ok(answer) => {
            let failed = answer.pointer("/snapshot/shards/failed").and_then(Value::as_u64);
            findings.push(
                finding
                    .observed(failed.map_or("nothing said".to_owned(), |failed| format!("{failed} failed")))
                    .judge(failed == Some(0), || answer.to_string()),
            );
        }
        Err(error) => findings.push(finding.judge(false, || error.to_string())),
    }
    let settled = server
        .settled(Some(&pattern), HealthStatus::Yellow, 1, RECOVERY)
        .await;
    if let Err(error) = settled {
        findings.push(Finding::of("primaries of the restored indices").judge(false, || error.to_string()));
        return Ok(findings);
    }
    let hits = books::documents(server, &pattern, 4 * COUNT).await?;
    let found = reconcile(&outcome.sent, &books::records(&hits)?);
    findings.push(books::balanced("restored documents", &found, false));
    server.delete_snapshot(&repository, &suffix).await?;
    for index in server.indices(&pattern).await? {
        server.delete_index(&index).await?;
    }
    Ok(findings)
}
