//! Whether the operator makes of the tree what our rendering makes of it.
//!
//! The local target stands on that rendering, so a difference here is a difference of every verdict there. Read is
//! what the operator hands to Prometheus: its Secret and the rules beside it (prometheus-operator v0.85).

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use harness::case::{Case, CaseError, Context};
use harness::component::cluster::{Cluster, ClusterError, Kind};
use harness::finding::{Finding, Findings};
use harness::mutant::{Edit, Mutant};
use harness::render::operator::{
    Difference, Place, Reading, differences, operators, ours, place, rule_config_maps,
};
use harness::stack::Capability;
use harness::verdict::Level;
use harness::wait::Look;
use indexmap::IndexMap;

use super::PROFILES;

/// Longest the operator may be at its last change; it writes the Secret within a second of it.
const SETTLED: Duration = Duration::from_secs(30);

/// The case.
pub(super) fn case() -> Case {
    Case {
        id: "cluster/scrape-configuration",
        claim: "the operator's configuration of Prometheus is the one that the deploy tree is rendered to here",
        level: Level::Must,
        promises: &["metrics-operator", "metrics-rules-loaded", "alerts-loaded"],
        needs: &[Capability::Cluster],
        profiles: PROFILES,
        excludes: &["cluster/discovery"],
        disturbs: None,
        bound: Duration::from_secs(60),
        run: |context| Box::pin(run(context)),
        mutants,
    }
}

/// What the operator and our rendering take differently: the tree is the same for both.
fn mutants() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "monitor-refused",
            "a monitor names a Secret that is not there, so the operator leaves its job out",
            Edit::set(
                "ServiceMonitor/grafana",
                "/spec/endpoints/0/basicAuth",
                serde_json::json!({
                    "username": {"name": "absent", "key": "user"},
                    "password": {"name": "absent", "key": "password"},
                }),
            ),
        ),
        Mutant::new(
            "other-mechanism",
            "a monitor's services are selected by the API server and not by relabeling",
            Edit::set(
                "ServiceMonitor/node-exporter",
                "/spec/selectorMechanism",
                "RoleSelector",
            ),
        ),
        Mutant::new(
            "node-metadata",
            "a monitor asks discovery for the labels of nodes, which nothing here renders",
            Edit::set(
                "ServiceMonitor/node-exporter",
                "/spec/attachMetadata",
                serde_json::json!({"node": true}),
            ),
        ),
        Mutant::new(
            "rules-refused",
            "an alert's expression is none, so the operator leaves the rules of its object out",
            Edit::set_rule("Watchdog", "/expr", "vector(1"),
        ),
    ]
}

async fn run(context: Context) -> Result<Findings, CaseError> {
    let failed = |error: harness::render::RenderError| CaseError::Failed(error.to_string());
    let cluster = context.stack.cluster()?;
    let place = place(&context.tree, &context.shapes).map_err(failed)?;
    let ours = ours(&context.tree, &context.shapes).map_err(failed)?;
    let object = format!("Secret {}/{}", place.namespace, place.secret);

    let latest = Mutex::new(None);
    let settled = cluster
        .until("the operator's configuration settled", SETTLED, || async {
            let look = match read(cluster, &place).await {
                Ok(theirs) => {
                    let found = differences(&ours, &theirs);
                    let parts = found.values().filter(|of| !of.is_empty()).count();
                    let look = match parts {
                        0 => Look::Ready(()),
                        _ => Look::Missing(format!("{parts} parts differ")),
                    };
                    *latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
                    look
                }
                Err(Trouble::Absent(what)) => Look::Missing(what),
                Err(Trouble::Cluster(error)) => return Err(error),
            };
            Ok(look)
        })
        .await;
    let missing = match settled {
        Ok(()) => None,
        // What differs at the bound is judged part by part.
        Err(ClusterError::Late(late)) => Some(late.to_string()),
        Err(error) => return Err(error.into()),
    };
    let found = latest.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut findings = Findings::new();
    match found {
        None => findings.push(
            Finding::of("the operator's configuration")
                .declared("a Prometheus object")
                .observed("nothing to read")
                .judge(false, || {
                    format!("{}: {object} says nothing", missing.unwrap_or_default())
                }),
        ),
        Some(found) => judge(found, &object, &mut findings),
    }
    Ok(findings)
}

/// Why the operator's configuration is not read.
enum Trouble {
    /// It is not there, or is none; the operator's fault.
    Absent(String),
    /// The API server does not answer.
    Cluster(ClusterError),
}

impl From<ClusterError> for Trouble {
    fn from(error: ClusterError) -> Self {
        match error {
            ClusterError::Absent { .. } | ClusterError::Unreadable { .. } => Self::Absent(error.to_string()),
            other => Self::Cluster(other),
        }
    }
}

/// What the operator has written, in comparable form.
async fn read(cluster: &Cluster, place: &Place) -> Result<Reading, Trouble> {
    let absent = |error: harness::render::operator::Unreadable| Trouble::Absent(error.to_string());
    let config = cluster
        .secret_text(&place.namespace, &place.secret, &place.key)
        .await?;
    let mut rules = IndexMap::new();
    for name in rule_config_maps(&config).map_err(absent)? {
        let map = cluster.need(Kind::CONFIG_MAP, &place.namespace, &name).await?;
        let data = map.pointer("/data").and_then(serde_json::Value::as_object);
        for (key, text) in data.into_iter().flatten() {
            rules.insert(key.clone(), text.as_str().unwrap_or_default().to_owned());
        }
    }
    operators(&config, &rules, &place.pod).map_err(absent)
}

/// One finding a part.
fn judge(found: IndexMap<String, Vec<Difference>>, object: &str, findings: &mut Findings) {
    for (part, differences) in found {
        let said = |side: fn(&Difference) -> Option<&str>| match differences.first() {
            None => "the same".to_owned(),
            Some(first) => {
                format!("{}: {}", first.field, side(first).unwrap_or("nothing"))
            }
        };
        findings.push(
            Finding::of(part)
                .declared(said(|of| of.ours.as_deref()))
                .effective(said(|of| of.operators.as_deref()))
                .bound("no field differs")
                .judge(differences.is_empty(), || {
                    let told: Vec<String> = differences.iter().map(Difference::to_string).collect();
                    format!("{} ({object})", told.join("; "))
                }),
        );
    }
}
