//! A pod of every workload is killed without grace, one after another, under load.

use std::time::Duration;

use harness::case::{Case, EVERYTHING};
use harness::mutant::{Edit, Mutant};
use harness::verdict::Level;
use serde_json::json;

use super::PROFILES;
use super::survival::{Blow, NEEDS, run};

/// The case.
pub(super) fn case() -> Case {
    Case {
        id: "cluster/pod-kill",
        claim: "a killed pod of any workload is replaced and ready within its bound, and nothing acknowledged is lost",
        level: Level::Must,
        promises: &["deploy-recovery", "metrics-recovery"],
        needs: NEEDS,
        profiles: PROFILES,
        excludes: &[EVERYTHING],
        disturbs: Some("kills a pod of every workload and writes documents, lines and traces"),
        bound: Duration::from_secs(1500),
        run: |context| Box::pin(run(context, Blow::Kill)),
        mutants,
    }
}

fn mutants() -> Vec<Mutant> {
    vec![
        elasticsearch_forgets(),
        Mutant::new(
            "prometheus-forgets",
            "Prometheus stores its samples in its pod",
            Edit::remove("Prometheus/prometheus", "/spec/storage"),
        ),
    ]
}

/// Documents in a folder of the pod.
pub(super) fn elasticsearch_forgets() -> Mutant {
    Mutant::new(
        "elasticsearch-forgets",
        "the hot tier of Elasticsearch stores documents in its pods",
        Edit::remove("StatefulSet/elasticsearch-hot", "/spec/volumeClaimTemplates"),
    )
    .and(Edit::set(
        "StatefulSet/elasticsearch-hot",
        "/spec/template/spec/volumes/4",
        json!({"name": "data", "emptyDir": {}}),
    ))
}
