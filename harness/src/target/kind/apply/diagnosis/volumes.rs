//! Claims that nothing serves, and pods that no node takes.

use serde_json::Value;

use super::super::cluster::{Cluster, ObjectName, condition, text, values};
use super::{Cause, Fault};

pub(super) fn look(cluster: &Cluster, causes: &mut Vec<Cause>) {
    for claim in cluster.of_kind("PersistentVolumeClaim") {
        if text(claim, "/status/phase") == "Pending"
            && let Some(what) = without_class(cluster, claim)
        {
            causes.push(Cause {
                fault: Fault::NoStorageClass,
                object: ObjectName::of(claim),
                what: match user(cluster, claim) {
                    Some(owner) => format!("{what}; {owner} waits for it"),
                    None => what,
                },
            });
        }
    }
    for pod in cluster.of_kind("Pod") {
        let Some(scheduled) = condition(pod, "PodScheduled") else {
            continue;
        };
        let message = text(scheduled, "/message");
        // The claim's own cause is told above.
        let other = message.contains("PersistentVolumeClaim") || message.contains("persistentvolumeclaim");
        if text(scheduled, "/reason") == "Unschedulable" && !other {
            causes.push(Cause {
                fault: Fault::Unschedulable,
                object: cluster.owner(pod),
                what: format!(
                    "no node takes pod {} ({message}); lower its requests, or correct what it asks of nodes",
                    text(pod, "/metadata/name")
                ),
            });
        }
    }
}

fn without_class(cluster: &Cluster, claim: &Value) -> Option<String> {
    let about = ObjectName::of(claim);
    let classes: Vec<&str> = cluster
        .of_kind("StorageClass")
        .map(|c| text(c, "/metadata/name"))
        .collect();
    let known = if classes.is_empty() {
        "the cluster has none".to_owned()
    } else {
        format!("the cluster has {}", classes.join(", "))
    };
    cluster.events(&about).find_map(|event| {
        let message = text(event, "/message");
        if message.contains("no storage class is set") {
            return Some(format!(
                "it names no storage class and the cluster has no default one; name one ({known})"
            ));
        }
        let name = message
            .strip_prefix("storageclass.storage.k8s.io \"")
            .and_then(|rest| rest.split_once("\" not found"))?
            .0;
        Some(format!(
            "there is no storage class `{name}`; name one that is there ({known})"
        ))
    })
}

/// Who mounts a claim.
fn user(cluster: &Cluster, claim: &Value) -> Option<ObjectName> {
    let about = ObjectName::of(claim);
    cluster
        .of_kind("Pod")
        .filter(|pod| text(pod, "/metadata/namespace") == about.namespace)
        .find(|pod| {
            values(pod, "/spec/volumes")
                .any(|volume| text(volume, "/persistentVolumeClaim/claimName") == about.name)
        })
        .map(|pod| cluster.owner(pod))
}
