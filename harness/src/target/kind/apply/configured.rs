//! What pods read at their start counts as part of them. Pure.
//!
//! Kubernetes starts no pod again because a `ConfigMap` that it mounts has changed, and most servers read theirs
//! once. So the pods of a workload carry a digest of the set's `ConfigMap`s that its template names: another
//! content is another template, and new pods. A job whose script or documents changed is run again for the
//! same reason.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::cluster::{ObjectName, text};

/// Annotation of the pods.
pub const CONFIGURED: &str = "conform.llmoptimizer.com/configured";

/// Puts the digest on every workload that reads `ConfigMap`s of the set.
pub fn mark(objects: &mut [Value]) {
    let contents: BTreeMap<ObjectName, Vec<u8>> = objects
        .iter()
        .filter(|object| text(object, "/kind") == "ConfigMap")
        .map(|object| (ObjectName::of(object), content(object)))
        .collect();
    for object in objects {
        let Some(place) = annotations(object) else {
            continue;
        };
        let namespace = text(object, "/metadata/namespace").to_owned();
        let mut names = Vec::new();
        read_by(object.get("spec").unwrap_or(&Value::Null), &mut names);
        names.sort_unstable();
        names.dedup();
        let mut digest = Sha256::new();
        let mut reads = false;
        for name in names {
            let name = ObjectName {
                kind: "ConfigMap".to_owned(),
                namespace: namespace.clone(),
                name,
            };
            if let Some(content) = contents.get(&name) {
                reads = true;
                digest.update(content);
            }
        }
        if reads {
            put(object, place, &hex::encode(&digest.finalize()[..8]));
        }
    }
}

/// Where annotations of a workload's pods stand; none for what is no workload.
fn annotations(object: &Value) -> Option<&'static [&'static str]> {
    match text(object, "/kind") {
        "Deployment" | "StatefulSet" | "DaemonSet" | "Job" => {
            Some(&["spec", "template", "metadata", "annotations"])
        }
        "OpenTelemetryCollector" => Some(&["spec", "podAnnotations"]),
        _ => None,
    }
}

/// The names of `ConfigMap`s in volumes and environments.
fn read_by(spec: &Value, names: &mut Vec<String>) {
    match spec {
        Value::Array(items) => items.iter().for_each(|item| read_by(item, names)),
        Value::Object(members) => {
            for (key, member) in members {
                if matches!(key.as_str(), "configMap" | "configMapRef" | "configMapKeyRef")
                    && let Some(name) = member.get("name").and_then(Value::as_str)
                {
                    names.push(name.to_owned());
                }
                read_by(member, names);
            }
        }
        _ => {}
    }
}

fn content(config: &Value) -> Vec<u8> {
    // Plain data: if it could not be written, nothing would be restarted for its sake.
    let parts = json!([config.get("data"), config.get("binaryData")]);
    serde_json::to_vec(&parts).unwrap_or_default()
}

fn put(object: &mut Value, place: &[&str], digest: &str) {
    let mut at = object;
    for part in place {
        let Value::Object(members) = at else { return };
        at = members
            .entry((*part).to_owned())
            .or_insert_with(|| Value::Object(serde_json::Map::new()));
    }
    if let Value::Object(members) = at {
        members.insert(CONFIGURED.to_owned(), json!(digest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(line: &str) -> Vec<Value> {
        let pods = json!({"spec": {"volumes": [{"name": "v", "configMap": {"name": "read"}}]}});
        let mut objects = vec![
            json!({"kind": "ConfigMap", "metadata": {"name": "read", "namespace": "n"}, "data": {"a": line}}),
            json!({"kind": "ConfigMap", "metadata": {"name": "read", "namespace": "m"}, "data": {"a": "other"}}),
            json!({"kind": "StatefulSet", "metadata": {"name": "s", "namespace": "n"}, "spec": {"template": pods}}),
            json!({"kind": "Job", "metadata": {"name": "j", "namespace": "n"}, "spec": {"template": {"spec": {}}}}),
            json!({
                "kind": "OpenTelemetryCollector",
                "metadata": {"name": "o", "namespace": "n"},
                "spec": {"env": [{"valueFrom": {"configMapKeyRef": {"name": "read", "key": "a"}}}]},
            }),
        ];
        mark(&mut objects);
        objects
    }

    fn digest(object: &Value) -> Option<&str> {
        let place = annotations(object)?.join("/");
        object.pointer(&format!("/{place}"))?.get(CONFIGURED)?.as_str()
    }

    #[test]
    fn pods_that_read_other_content_are_other_pods() {
        let (one, same, other) = (set("1"), set("1"), set("2"));
        for workload in [2, 4] {
            assert!(digest(&one[workload]).is_some());
            assert_eq!(digest(&one[workload]), digest(&same[workload]));
            assert_ne!(digest(&one[workload]), digest(&other[workload]));
        }
    }

    #[test]
    fn what_reads_nothing_of_the_set_stays_as_it_is() {
        assert_eq!(digest(&set("1")[3]), None);
        assert_eq!(set("1")[3]["spec"]["template"], json!({"spec": {}}));
    }
}
