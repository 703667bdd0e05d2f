//! Pods that controllers are not allowed to create: quotas, limit ranges, admission.

use super::super::cluster::{Cluster, ObjectName, text};
use super::{Cause, Fault};

pub(super) fn look(cluster: &Cluster, causes: &mut Vec<Cause>) {
    for event in cluster
        .of_kind("Event")
        .filter(|e| text(e, "/reason") == "FailedCreate")
    {
        let about = ObjectName {
            kind: text(event, "/involvedObject/kind").to_owned(),
            namespace: text(event, "/involvedObject/namespace").to_owned(),
            name: text(event, "/involvedObject/name").to_owned(),
        };
        // Its event outlives it.
        let Some(controller) = cluster.named(&about) else {
            continue;
        };
        // So does it outlive what it is about.
        if super::super::readiness::readiness(controller) == super::super::readiness::Readiness::Ready
            && about.kind != "ReplicaSet"
        {
            continue;
        }
        let wanted = super::super::cluster::number(controller, "/spec/replicas");
        if about.kind == "ReplicaSet"
            && super::super::cluster::number(controller, "/status/replicas") >= wanted
        {
            continue;
        }
        if let Some((fault, what)) = reading(text(event, "/message")) {
            causes.push(Cause {
                fault,
                object: cluster.owner(controller),
                what,
            });
        }
    }
}

fn reading(message: &str) -> Option<(Fault, String)> {
    if let Some((_, rest)) = message.split_once("exceeded quota: ") {
        return Some((
            Fault::Quota,
            format!(
                "its pod exceeds the quota {rest}; raise the ResourceQuota, or lower requests and limits"
            ),
        ));
    }
    if let Some((_, rest)) = message.split_once("failed quota: ") {
        return Some((
            Fault::Quota,
            format!("its pod lacks what the quota {rest}; give every container requests and limits"),
        ));
    }
    if message.contains("usage per") && message.contains("is forbidden") {
        return Some((
            Fault::Quota,
            format!("a LimitRange forbids its pod: {message}; keep requests and limits inside it"),
        ));
    }
    if let Some((_, rest)) = message.split_once("error looking up service account ") {
        return Some((
            Fault::MissingObject,
            format!("its pod has no service account: {rest}; create it"),
        ));
    }
    None
}
