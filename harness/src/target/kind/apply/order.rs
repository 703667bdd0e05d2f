//! In which order objects are applied. Pure.
//!
//! What others need goes first: definitions before the objects they define, namespaces before what lies in
//! them, accounts and rights before the workloads that use them, and configuration before the pods that mount
//! it. Two kinds of object wait until the workloads before them are ready: jobs, whose scripts talk to those, and
//! objects that an admission webhook of the same set looks at, which cannot be created while nobody answers it.

use serde_json::Value;

use super::cluster::{text, values};

/// What is applied together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Custom resource definitions.
    Definitions,
    /// Namespaces.
    Namespaces,
    /// Service accounts, roles, their bindings, priority classes and limits.
    Access,
    /// What pods read, mount, and are reached through.
    Configuration,
    /// What runs for as long as the cluster does.
    Workloads,
    /// Admission webhooks and aggregated APIs, which pods of the workloads answer.
    Admission,
    /// Objects of operators that no webhook looks at.
    CustomResources,
    /// What runs to an end.
    Jobs,
    /// Objects of operators that a webhook of the same set looks at.
    Guarded,
}

impl Stage {
    /// Whether anything has to be ready first.
    #[must_use]
    pub fn waits(self) -> bool {
        matches!(self, Self::Namespaces | Self::Jobs | Self::Guarded)
    }

    /// Whether what was applied `earlier` has to be ready first.
    #[must_use]
    pub fn waits_for(self, earlier: Self) -> bool {
        match self {
            // Objects of a kind that is not served yet are refused.
            Self::Namespaces => earlier == Self::Definitions,
            // What operators make of their objects talks to no job, and the other way round.
            Self::Jobs | Self::Guarded => earlier != Self::CustomResources,
            _ => false,
        }
    }
}

/// The objects by stage, in the order of stages; inside a stage in the order given. Stages without objects are left
/// out.
#[must_use]
pub fn stages(objects: Vec<Value>) -> Vec<(Stage, Vec<Value>)> {
    let guarded: Vec<(String, String)> = objects.iter().flat_map(guarded_by).collect();
    let mut placed: Vec<(Stage, Value)> = objects
        .into_iter()
        .map(|object| (stage(&object, &guarded), object))
        .collect();
    // Stable: objects of a stage stay in their order.
    placed.sort_by_key(|(stage, _)| *stage);
    let mut stages: Vec<(Stage, Vec<Value>)> = Vec::new();
    for (stage, object) in placed {
        match stages.last_mut() {
            Some((last, objects)) if *last == stage => objects.push(object),
            _ => stages.push((stage, vec![object])),
        }
    }
    stages
}

/// The groups and resources (plural, lower case) that a webhook configuration looks at.
fn guarded_by(object: &Value) -> Vec<(String, String)> {
    if !text(object, "/kind").ends_with("WebhookConfiguration") {
        return Vec::new();
    }
    let texts = |rule: &Value, pointer: &str| -> Vec<String> {
        values(rule, pointer)
            .filter_map(|v| v.as_str().map(str::to_owned))
            .collect()
    };
    values(object, "/webhooks")
        .flat_map(|webhook| values(webhook, "/rules"))
        .flat_map(|rule| {
            let resources = texts(rule, "/resources");
            texts(rule, "/apiGroups")
                .into_iter()
                .flat_map(move |group| resources.clone().into_iter().map(move |r| (group.clone(), r)))
        })
        .collect()
}

fn stage(object: &Value, guarded: &[(String, String)]) -> Stage {
    let group = match text(object, "/apiVersion").split_once('/') {
        Some((group, _)) => group,
        None => "",
    };
    match (group, text(object, "/kind")) {
        ("apiextensions.k8s.io", _) => Stage::Definitions,
        ("", "Namespace") => Stage::Namespaces,
        ("", "ServiceAccount" | "ResourceQuota" | "LimitRange")
        | ("rbac.authorization.k8s.io" | "scheduling.k8s.io" | "storage.k8s.io", _) => Stage::Access,
        ("apps", _) | ("", "Pod" | "ReplicationController") => Stage::Workloads,
        ("admissionregistration.k8s.io" | "apiregistration.k8s.io", _) => Stage::Admission,
        ("batch", "Job") => Stage::Jobs,
        // A scheduled job runs at its time, not now.
        ("" | "batch" | "policy" | "autoscaling" | "networking.k8s.io" | "discovery.k8s.io", _) => {
            Stage::Configuration
        }
        (group, kind) => {
            let plural = format!("{}s", kind.to_lowercase());
            let looked_at = guarded
                .iter()
                .any(|(g, r)| (g == group || g == "*") && (r == &plural || r == "*"));
            if looked_at {
                Stage::Guarded
            } else {
                Stage::CustomResources
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn object(api: &str, kind: &str) -> Value {
        json!({"apiVersion": api, "kind": kind, "metadata": {"name": kind.to_lowercase()}})
    }

    #[rstest]
    #[case("apiextensions.k8s.io/v1", "CustomResourceDefinition", Stage::Definitions)]
    #[case("v1", "Namespace", Stage::Namespaces)]
    #[case("v1", "ServiceAccount", Stage::Access)]
    #[case("rbac.authorization.k8s.io/v1", "RoleBinding", Stage::Access)]
    #[case("v1", "ConfigMap", Stage::Configuration)]
    #[case("v1", "PersistentVolumeClaim", Stage::Configuration)]
    #[case("batch/v1", "CronJob", Stage::Configuration)]
    #[case("apps/v1", "StatefulSet", Stage::Workloads)]
    #[case("apiregistration.k8s.io/v1", "APIService", Stage::Admission)]
    #[case("monitoring.coreos.com/v1", "Prometheus", Stage::CustomResources)]
    #[case("batch/v1", "Job", Stage::Jobs)]
    fn an_object_has_its_stage(#[case] api: &str, #[case] kind: &str, #[case] expected: Stage) {
        assert_eq!(stage(&object(api, kind), &[]), expected);
    }

    #[test]
    fn what_a_webhook_of_the_set_looks_at_goes_last() {
        let mut webhook = object("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration");
        webhook["webhooks"] = json!([{"rules": [{"apiGroups": ["opentelemetry.io"], "resources": ["opentelemetrycollectors"]}]}]);
        let stages = stages(vec![
            object("opentelemetry.io/v1beta1", "OpenTelemetryCollector"),
            object("monitoring.coreos.com/v1", "Prometheus"),
            webhook,
            object("batch/v1", "Job"),
        ]);
        let order: Vec<Stage> = stages.iter().map(|(stage, _)| *stage).collect();
        assert_eq!(
            order,
            [
                Stage::Admission,
                Stage::CustomResources,
                Stage::Jobs,
                Stage::Guarded
            ]
        );
    }

    proptest! {
        /// forall objects: every object is in exactly one stage, stages ascend, and order inside a stage is kept
        #[test]
        fn ordering_loses_nothing(kinds in proptest::collection::vec(0_usize..6, 0..24)) {
            let known = [
                ("v1", "ConfigMap"), ("v1", "Namespace"), ("apps/v1", "Deployment"), ("batch/v1", "Job"),
                ("apiextensions.k8s.io/v1", "CustomResourceDefinition"), ("monitoring.coreos.com/v1", "Prometheus"),
            ];
            let objects: Vec<Value> = kinds
                .iter()
                .enumerate()
                .map(|(at, kind)| {
                    let mut made = object(known[*kind].0, known[*kind].1);
                    made["at"] = json!(at);
                    made
                })
                .collect();
            let stages = stages(objects.clone());
            prop_assert!(stages.windows(2).all(|pair| pair[0].0 < pair[1].0));
            for (_, members) in &stages {
                let places: Vec<u64> = members.iter().filter_map(|o| o["at"].as_u64()).collect();
                prop_assert!(places.windows(2).all(|pair| pair[0] < pair[1]));
            }
            prop_assert_eq!(stages.iter().map(|(_, members)| members.len()).sum::<usize>(), objects.len());
        }
    }
}
