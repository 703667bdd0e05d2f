//! Every workload is restarted pod by pod, as an update does it, one after another, under load.

use std::time::Duration;

use harness::case::{Case, EVERYTHING};
use harness::mutant::{Edit, Mutant};
use harness::verdict::Level;
use serde_json::json;

use super::PROFILES;
use super::pod_kill::elasticsearch_forgets;
use super::survival::{Blow, NEEDS, run};

/// The case.
pub(super) fn case() -> Case {
    Case {
        id: "cluster/rolling-restart",
        claim: "every workload comes through a rolling restart within its bound, and nothing acknowledged is lost",
        level: Level::Must,
        promises: &["update-zero-downtime", "deploy-recovery", "metrics-recovery"],
        needs: NEEDS,
        profiles: PROFILES,
        excludes: &[EVERYTHING],
        disturbs: Some("restarts every workload and writes documents, lines and traces"),
        bound: Duration::from_secs(1800),
        run: |context| Box::pin(run(context, Blow::Restart)),
        mutants,
    }
}

fn mutants() -> Vec<Mutant> {
    vec![
        elasticsearch_forgets(),
        Mutant::new(
            "replaced-by-hand",
            "Loki's pods are replaced only when somebody deletes them",
            Edit::set(
                "StatefulSet/loki",
                "/spec/updateStrategy",
                json!({"type": "OnDelete"}),
            ),
        ),
    ]
}
