//! What the kubelet says of containers: images, crashes, memory, probes.

use serde_json::Value;

use super::super::cluster::{Cluster, ObjectName, number, text, values};
use super::{Cause, Fault};

pub(super) fn look(cluster: &Cluster, causes: &mut Vec<Cause>) {
    for pod in cluster.of_kind("Pod") {
        // What is on its way out is not expected to come up.
        if pod.pointer("/metadata/deletionTimestamp").is_some() {
            continue;
        }
        let owner = cluster.owner(pod);
        for list in ["/status/initContainerStatuses", "/status/containerStatuses"] {
            for status in values(pod, list) {
                causes.extend(container(cluster, pod, &owner, status));
            }
        }
    }
}

fn container(cluster: &Cluster, pod: &Value, owner: &ObjectName, status: &Value) -> Option<Cause> {
    let name = text(status, "/name");
    let place = format!("container `{name}` of pod {}", text(pod, "/metadata/name"));
    let cause = |fault, what: String| {
        Some(Cause {
            fault,
            object: owner.clone(),
            what,
        })
    };
    let waiting = text(status, "/state/waiting/reason");
    let message = text(status, "/state/waiting/message");
    if matches!(
        waiting,
        "ErrImagePull" | "ImagePullBackOff" | "ErrImageNeverPull" | "InvalidImageName" | "ErrImageInspect"
    ) {
        let image = image(pod, name);
        let how = match waiting {
            "ErrImageNeverPull" => {
                "it is not on the node and its policy is never to pull it; load it into the cluster"
            }
            "InvalidImageName" => "that is no name of an image; correct it",
            _ => "check its name and tag, or load it into the cluster",
        };
        return cause(
            Fault::Image,
            format!(
                "the image {image} of {place} cannot be had: {how} ({})",
                pull_error(cluster, pod, message)
            ),
        );
    }
    let last = |field: &str| {
        ["/state/terminated", "/lastState/terminated"]
            .iter()
            .find_map(|state| status.pointer(&format!("{state}/{field}")))
    };
    if status.get("ready") == Some(&Value::Bool(true))
        || status.pointer("/state/terminated/exitCode") == Some(&0.into())
    {
        return None;
    }
    if last("reason").and_then(Value::as_str) == Some("OOMKilled") {
        let limit = limit(pod, name);
        return cause(
            Fault::OutOfMemory,
            format!(
                "{place} was killed for want of memory; its limit is {limit}: raise `resources.limits.memory`"
            ),
        );
    }
    if number(status, "/restartCount") == 0 {
        return None;
    }
    if let Some(probe) = killing_probe(cluster, pod, name) {
        return cause(
            Fault::Probe,
            format!(
                "the {} of {place} has it killed ({}); give it more time, or mend what it asks for",
                probe.0, probe.1
            ),
        );
    }
    let code = last("exitCode").and_then(Value::as_i64)?;
    let said = last("message")
        .and_then(Value::as_str)
        .or_else(|| cluster.log(text(pod, "/metadata/namespace"), text(pod, "/metadata/name")))
        .and_then(|lines| lines.lines().rev().find(|line| !line.trim().is_empty()))
        .unwrap_or("it says nothing");
    cause(
        Fault::Crash,
        format!("{place} ends with exit code {code}: {said}"),
    )
}

/// The image that a container of a pod declares.
fn image<'v>(pod: &'v Value, container: &str) -> &'v str {
    declared(pod, container).map_or("(unknown)", |c| text(c, "/image"))
}

fn limit<'v>(pod: &'v Value, container: &str) -> &'v str {
    match declared(pod, container).map(|c| text(c, "/resources/limits/memory")) {
        None | Some("") => "the node's memory",
        Some(limit) => limit,
    }
}

fn declared<'v>(pod: &'v Value, container: &str) -> Option<&'v Value> {
    ["/spec/containers", "/spec/initContainers"]
        .iter()
        .flat_map(|list| values(pod, list))
        .find(|c| text(c, "/name") == container)
}

/// The registry's own words, which a back-off hides.
fn pull_error<'v>(cluster: &'v Cluster, pod: &'v Value, message: &'v str) -> &'v str {
    let about = ObjectName::of(pod);
    let mut errors: Vec<&Value> = cluster
        .events(&about)
        .filter(|event| {
            text(event, "/reason") == "Failed" && text(event, "/message").starts_with("Failed to pull image")
        })
        .collect();
    errors.sort_by_key(|event| text(event, "/lastTimestamp"));
    errors.last().map_or(message, |event| text(event, "/message"))
}

/// The probe that had a container killed and what it found.
fn killing_probe<'v>(cluster: &'v Cluster, pod: &Value, container: &str) -> Option<(&'static str, &'v str)> {
    let about = ObjectName::of(pod);
    let field = format!("spec.containers{{{container}}}");
    let events: Vec<&Value> = cluster
        .of_kind("Event")
        .filter(|event| {
            text(event, "/involvedObject/name") == about.name
                && text(event, "/involvedObject/namespace") == about.namespace
                && text(event, "/involvedObject/fieldPath") == field
        })
        .collect();
    let killed = events
        .iter()
        .find(|e| text(e, "/reason") == "Killing" && text(e, "/message").contains("probe"))?;
    let (probe, told) = if text(killed, "/message").contains("startup probe") {
        ("startup probe", "Startup probe failed: ")
    } else {
        ("liveness probe", "Liveness probe failed: ")
    };
    let found = events
        .iter()
        .filter(|e| text(e, "/reason") == "Unhealthy")
        .find_map(|e| text(e, "/message").strip_prefix(told))
        .unwrap_or("it fails");
    Some((probe, found))
}
