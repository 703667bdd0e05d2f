//! What a clone of the cluster's Prometheus is made of. Pure.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::stack::{PrometheusClone, RuleSet, Scrapes};
use crate::units::Span;

/// Name of the clone's object; its namespace is its own.
pub(super) const NAME: &str = "clone";
/// The operator's name, in the tree and beside a clone.
pub(super) const OPERATOR: &str = "prometheus-operator";
/// The argument that says which namespaces it watches.
const WATCHES: &str = "--namespaces=";
/// The label of a namespace of clones.
pub(super) const CLONE: &str = "clone";

/// Flags that the operator itself gives, and the fields it takes them from (prometheus-operator v0.85).
const FIELDS: [(&str, &str); 2] = [
    ("--storage.tsdb.retention.size", "retentionSize"),
    ("--storage.tsdb.retention.time", "retention"),
];

/// Whether a clone can run in the cluster: what its case plays for it, and clones of Alertmanager, are on
/// loopback, where no pod finds them; and monitors are those of the stack's namespace, which its operator does not watch.
pub(super) fn fits(clone: &PrometheusClone) -> bool {
    clone.alertmanagers.is_empty() && clone.scrapes == Scrapes::Nothing
}

/// Where a clone is, and with what.
pub(super) struct Place<'a> {
    /// Its namespace.
    pub(super) namespace: &'a str,
    /// The folder of the node that becomes its volume.
    pub(super) volume: &'a Path,
    /// Label of everything that the harness adds.
    pub(super) added: &'a str,
}

/// The stack's operator, as the cluster has it.
pub(super) struct Operator {
    pub(super) deployment: Value,
    pub(super) role: Value,
}

/// Name of the cluster-wide binding of the operator in this namespace.
pub(super) fn operators(namespace: &str) -> String {
    format!("{namespace}-operator")
}

impl Operator {
    /// The same for another namespace, and no other.
    fn objects(&self, place: &Place<'_>) -> Vec<Value> {
        let Place { namespace, added, .. } = place;
        let labels = json!({(*added): CLONE});
        let metadata = json!({"name": OPERATOR, "namespace": namespace, "labels": labels});
        let subject = json!([{"kind": "ServiceAccount", "name": OPERATOR, "namespace": namespace}]);
        let binding = |kind: &str, metadata: Value, role: &str| {
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": kind,
                "metadata": metadata,
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": OPERATOR},
                "subjects": subject,
            })
        };
        let mut deployment = self.deployment.get("spec").cloned().unwrap_or_default();
        if let Some(container) = deployment.pointer_mut("/template/spec/containers/0") {
            let arguments = container.get_mut("args").and_then(Value::as_array_mut);
            for argument in arguments.into_iter().flatten() {
                if argument.as_str().is_some_and(|text| text.starts_with(WATCHES)) {
                    *argument = json!(format!("{WATCHES}{namespace}"));
                }
            }
            container["resources"] = json!({});
        }
        vec![
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}),
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "Role",
                "metadata": metadata,
                "rules": self.role.get("rules"),
            }),
            binding("RoleBinding", metadata.clone(), "Role"),
            binding(
                "ClusterRoleBinding",
                json!({"name": operators(namespace), "labels": labels}),
                "ClusterRole",
            ),
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": deployment}),
        ]
    }
}

/// The objects of a clone of `declared`, the object as the cluster has it. Rules are `PrometheusRule`s: of those of the
/// cluster the clone has copies, with their labels; a case's own have none.
pub(super) fn objects(
    declared: &Value,
    operator: &Operator,
    clone: &PrometheusClone,
    rules: &[Value],
    place: &Place<'_>,
) -> Vec<Value> {
    let Place {
        namespace,
        volume,
        added,
    } = place;
    let labels = json!({(*added): CLONE});
    let metadata = |name: &str| json!({"name": name, "namespace": namespace, "labels": labels});
    let account = declared
        .pointer("/spec/serviceAccountName")
        .and_then(Value::as_str)
        .unwrap_or("default");
    let mut objects = vec![
        json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            // The stack's own label is not on it: the shared Prometheus must not take up the clone's rules.
            "metadata": {"name": namespace, "labels": labels},
        }),
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(account)}),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": namespace, "labels": labels},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": account},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
        }),
        json!({
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": namespace, "labels": labels},
            "spec": {
                "capacity": {"storage": "1Gi"},
                "accessModes": ["ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Retain",
                "storageClassName": "",
                "hostPath": {"path": volume, "type": "Directory"},
                "claimRef": {"namespace": namespace, "name": format!("prometheus-{NAME}-db-prometheus-{NAME}-0")},
            },
        }),
    ];
    objects.extend(operator.objects(place));
    objects.extend(rules.iter().enumerate().map(|(number, rule)| {
        let mut metadata = metadata(&format!("{NAME}-{number}"));
        if let Some(labels) = rule.pointer("/metadata/labels").and_then(Value::as_object) {
            for (name, value) in labels {
                metadata["labels"][name] = value.clone();
            }
        }
        json!({
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": metadata,
            "spec": rule.get("spec"),
        })
    }));
    objects.push(json!({
        "apiVersion": declared.get("apiVersion"),
        "kind": "Prometheus",
        "metadata": metadata(NAME),
        "spec": spec(declared, clone, namespace),
    }));
    objects
}

fn spec(declared: &Value, clone: &PrometheusClone, namespace: &str) -> Value {
    let mut spec: Map<String, Value> = declared
        .get("spec")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    spec.insert("replicas".to_owned(), json!(1));
    // Alerts of a clone are nobody's; one that is to notify runs beside the cluster.
    spec.shift_remove("alerting");
    // It scrapes nothing: its operator watches its namespace alone, where no monitors are. The selectors stay, without
    // which the operator would leave the whole configuration to somebody else (prometheus-operator v0.85).
    // Its rules are beside it, whoever declared them: its operator watches no other namespace.
    let own = json!({"matchLabels": {"kubernetes.io/metadata.name": namespace}});
    spec.insert("ruleNamespaceSelector".to_owned(), own);
    match &clone.rules {
        RuleSet::Declared => {}
        RuleSet::Nothing => {
            spec.shift_remove("ruleSelector");
        }
        RuleSet::Own(_) => {
            spec.insert("ruleSelector".to_owned(), json!({}));
        }
    }
    if let Some(interval) = clone.evaluation_interval {
        spec.insert("evaluationInterval".to_owned(), json!(Span(interval).to_string()));
    }
    spec.insert(
        "storage".to_owned(),
        json!({"volumeClaimTemplate": {"spec": {
            "storageClassName": "",
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        }}}),
    );
    let mut further = Vec::new();
    for (flag, value, _) in &clone.arguments {
        if let Some((_, field)) = FIELDS.iter().find(|(known, _)| known == flag) {
            spec.insert((*field).to_owned(), json!(value));
            continue;
        }
        let name = flag.trim_start_matches('-');
        further.push(match value {
            Some(value) => json!({"name": name, "value": value}),
            None => json!({"name": name}),
        });
    }
    if !further.is_empty() {
        spec.insert("additionalArgs".to_owned(), json!(further));
    }
    // What a machine of one node has no room for twice.
    spec.insert("resources".to_owned(), json!({}));
    Value::Object(spec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn declared() -> Value {
        json!({
            "apiVersion": "monitoring.coreos.com/v1",
            "spec": {
                "replicas": 2,
                "retention": "30d",
                "retentionSize": "85GB",
                "serviceAccountName": "prometheus",
                "serviceMonitorSelector": {"matchLabels": {"a": "b"}},
                "ruleSelector": {"matchLabels": {"a": "b"}},
                "alerting": {"alertmanagers": []},
            },
        })
    }

    fn made(clone: &PrometheusClone, rules: &[Value]) -> Vec<Value> {
        let place = Place {
            namespace: "conform-1",
            volume: Path::new("/runs/1/clone"),
            added: "added",
        };
        objects(&declared(), &operator(), clone, rules, &place)
    }

    fn operator() -> Operator {
        Operator {
            deployment: json!({"spec": {"template": {"spec": {"containers": [{
                "args": ["--namespaces=monitoring", "--log-level=info"],
                "resources": {"requests": {"cpu": "1"}},
            }]}}}}),
            role: json!({"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]}),
        }
    }

    #[test]
    fn everything_that_is_not_named_is_as_declared() {
        let clone = PrometheusClone {
            arguments: vec![
                (
                    "--storage.tsdb.retention.size".into(),
                    Some("4096B".into()),
                    "why".into(),
                ),
                (
                    "--storage.tsdb.block-reload-interval".into(),
                    Some("1s".into()),
                    "why".into(),
                ),
            ],
            ..PrometheusClone::named("clone")
        };
        insta::assert_json_snapshot!(made(&clone, &[]));
    }

    #[test]
    fn a_case_may_bring_rules_of_its_own() {
        let clone = PrometheusClone {
            rules: RuleSet::Own(vec![]),
            evaluation_interval: Some(Duration::from_millis(500)),
            ..PrometheusClone::named("clone")
        };
        let rule = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"groups": []}});
        let objects = made(&clone, &[rule]);
        let of = |kind: &str| objects.iter().find(|object| object["kind"] == kind);
        let rule = of("PrometheusRule").expect("its rules");
        assert_eq!(rule["metadata"]["labels"], json!({"added": CLONE, "a": "b"}));
        let spec = &of("Prometheus").expect("the clone")["spec"];
        assert_eq!(spec["evaluationInterval"], "500ms");
        assert_eq!(
            spec["ruleNamespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"],
            "conform-1"
        );
    }

    #[test]
    fn its_operator_watches_its_namespace_alone() {
        let objects = made(&PrometheusClone::named("clone"), &[]);
        let deployment = objects.iter().find(|object| object["kind"] == "Deployment");
        let container = &deployment.expect("an operator")["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(
            container["args"],
            json!(["--namespaces=conform-1", "--log-level=info"])
        );
    }

    #[test]
    fn a_clone_that_needs_something_on_loopback_stays_beside_the_cluster() {
        let plain = PrometheusClone::named("clone");
        assert!(fits(&plain));
        let notifies = PrometheusClone {
            alertmanagers: vec!["http://127.0.0.1:1/".parse().unwrap()],
            ..plain.clone()
        };
        let scrapes = PrometheusClone {
            scrapes: Scrapes::Own(Vec::new()),
            ..plain
        };
        assert!(!fits(&notifies) && !fits(&scrapes));
    }
}
