//! What the service accounts of the stack may do, asked of the API server for each of them: what its component needs,
//! and what nobody should be able to.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use harness::case::{Case, CaseError, Context};
use harness::component::cluster::{Answer, Cluster, ClusterError, Kind};
use harness::finding::{Finding, Findings};
use harness::judge::access::{AccessTable, Question};
use harness::mutant::{Edit, Mutant};
use harness::stack::Capability;
use harness::verdict::Level;
use serde_json::json;

use super::PROFILES;

/// Questions asked at once: each is one small request.
const AT_ONCE: usize = 8;

/// The case.
pub(super) fn case() -> Case {
    Case {
        id: "cluster/access",
        claim: "every service account may do what its component needs, and none may do what it has no use for",
        level: Level::Must,
        promises: &["security-rbac"],
        needs: &[Capability::Cluster],
        profiles: PROFILES,
        excludes: &[],
        disturbs: None,
        bound: Duration::from_secs(120),
        run: |context| Box::pin(run(context)),
        mutants,
    }
}

fn mutants() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "discovery-lost",
            "Prometheus may not watch the endpoints of services",
            Edit::set("ClusterRole/prometheus", "/rules/1/verbs", json!(["get", "list"])),
        ),
        Mutant::new(
            "reads-secrets",
            "Prometheus may read every Secret of the cluster",
            Edit::set(
                "ClusterRole/prometheus",
                "/rules/0/resources",
                json!(["services", "pods", "secrets"]),
            ),
        ),
        Mutant::new(
            "operator-of-everything",
            "the Prometheus operator may do in its namespace whatever there is",
            Edit::set(
                "Role/prometheus-operator",
                "/rules/0",
                json!({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}),
            ),
        ),
        Mutant::new(
            "grants-itself",
            "the OpenTelemetry operator may grant itself any role of the cluster",
            Edit::set(
                "ClusterRole/opentelemetry-operator",
                "/rules/0",
                json!({
                    "apiGroups": ["", "rbac.authorization.k8s.io"],
                    "resources": ["namespaces", "clusterroles"],
                    "verbs": ["get", "list", "watch", "bind"],
                }),
            ),
        ),
        Mutant::new(
            "wrong-subject",
            "what is granted to the Prometheus operator is granted to Loki as well",
            Edit::set(
                "RoleBinding/prometheus-operator",
                "/subjects",
                json!([
                    {"kind": "ServiceAccount", "name": "prometheus-operator", "namespace": "monitoring"},
                    {"kind": "ServiceAccount", "name": "loki", "namespace": "monitoring"},
                ]),
            ),
        ),
    ]
}

async fn run(context: Context) -> Result<Findings, CaseError> {
    let cluster = context.stack.cluster()?;
    let table = AccessTable::load(&context.fixtures.join("access.yaml"))
        .map_err(|error| CaseError::Failed(error.to_string()))?;
    let mut findings = Findings::new();
    let declared: BTreeSet<String> = context
        .tree
        .of_kind("ServiceAccount")
        .map(|object| format!("{}/{}", object.namespace(), object.name()))
        .collect();
    for account in &declared {
        if !table.accounts.iter().any(|row| row.account == *account) {
            findings.push(
                Finding::of(format!("rights of {account}"))
                    .declared("an account of the deploy tree")
                    .judge(false, || {
                        "fixtures/access.yaml has no row for it, so nobody has said what it may: add one"
                            .to_owned()
                    }),
            );
        }
    }
    for row in &table.accounts {
        let questions = table.questions(row);
        let Some(account) = row.account() else { continue };
        let there = cluster
            .get(Kind::SERVICE_ACCOUNT, &account.namespace, &account.name)
            .await?
            .is_some();
        if !there {
            // What other clusters have from others is no account of theirs.
            let ours = declared.contains(&row.account);
            findings.push(
                Finding::of(format!("account {}", row.account))
                    .declared(if ours {
                        "of the deploy tree"
                    } else {
                        "of the overlay for one machine"
                    })
                    .observed("not in the cluster")
                    .judge(!ours, || {
                        "the cluster has no such account, so its pods cannot start".to_owned()
                    }),
            );
            continue;
        }
        context
            .progress
            .step("", format!("{} questions about {}", questions.len(), row.account));
        let answers = asked(cluster, questions).await?;
        judge(&row.account, &answers, &mut findings);
    }
    Ok(findings)
}

/// Every question with its answer, in their order.
async fn asked(cluster: &Cluster, questions: Vec<Question>) -> Result<Vec<(Question, Answer)>, ClusterError> {
    futures::stream::iter(questions)
        .map(|question| async move {
            let answer = cluster.may(&question.account, &question.access).await?;
            Ok((question, answer))
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await
}

/// One finding for what is wanted and one for what is not; what is not as it should be gets one each.
fn judge(account: &str, answers: &[(Question, Answer)], findings: &mut Findings) {
    for wanted in [true, false] {
        let (asked, wrong): (Vec<_>, Vec<_>) = answers
            .iter()
            .filter(|(question, _)| question.wanted == wanted)
            .partition(|(question, answer)| answer.allowed == question.wanted);
        let (what, bound) = if wanted {
            ("what it needs", "allowed")
        } else {
            ("what it has no use for", "refused")
        };
        if !asked.is_empty() {
            findings.push(
                Finding::of(format!("{account}: {what}"))
                    .observed(format!(
                        "{bound}: {} of {}",
                        asked.len(),
                        asked.len() + wrong.len()
                    ))
                    .bound(format!("all {bound}")),
            );
        }
        for (question, answer) in wrong {
            findings.push(
                Finding::of(format!("{account}: {}", question.access))
                    .observed(if answer.allowed { "allowed" } else { "refused" })
                    .bound(bound)
                    .judge(false, || match (wanted, answer.reason.as_str()) {
                        (true, _) => {
                            "the API server refuses it, and the component does not work without: grant it by a role"
                                .to_owned()
                        }
                        (false, "") => "the API server allows it: take it out of the role".to_owned(),
                        (false, reason) => format!("the API server allows it ({reason}): take it out of the role"),
                    }),
            );
        }
    }
}
