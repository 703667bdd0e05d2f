//! What pods refer to and is not there: keys, `ConfigMap`s, Secrets.

use serde_json::Value;

use super::super::cluster::{Cluster, ObjectName, text, values};
use super::{Cause, Fault};

pub(super) fn look(cluster: &Cluster, causes: &mut Vec<Cause>) {
    for pod in cluster.of_kind("Pod") {
        let ready =
            super::super::cluster::condition(pod, "Ready").is_some_and(|c| text(c, "/status") == "True");
        if ready || pod.pointer("/metadata/deletionTimestamp").is_some() {
            continue;
        }
        let owner = cluster.owner(pod);
        for message in messages(cluster, pod) {
            if let Some((fault, what)) = reading(message) {
                causes.push(Cause {
                    fault,
                    object: owner.clone(),
                    what: format!("{what} (pod {})", text(pod, "/metadata/name")),
                });
            }
        }
    }
}

/// What the kubelet says about a pod's configuration: of its containers, and of its volumes.
fn messages<'c>(cluster: &'c Cluster, pod: &'c Value) -> Vec<&'c str> {
    let about = ObjectName::of(pod);
    let of_containers = ["/status/initContainerStatuses", "/status/containerStatuses"]
        .into_iter()
        .flat_map(|list| values(pod, list))
        .filter(|status| text(status, "/state/waiting/reason") == "CreateContainerConfigError")
        .map(|status| text(status, "/state/waiting/message"));
    // Volumes are mounted before any container starts: a failure of before that is over.
    let started = values(pod, "/status/containerStatuses")
        .chain(values(pod, "/status/initContainerStatuses"))
        .any(|status| {
            status.pointer("/state/running").is_some() || status.pointer("/state/terminated").is_some()
        });
    let of_volumes: Vec<&str> = if started {
        Vec::new()
    } else {
        cluster
            .of_kind("Event")
            .filter(|event| {
                text(event, "/involvedObject/name") == about.name
                    && text(event, "/involvedObject/namespace") == about.namespace
                    && text(event, "/reason") == "FailedMount"
            })
            .map(|event| text(event, "/message"))
            .collect()
    };
    of_containers.chain(of_volumes).collect()
}

/// The cause in the kubelet's words, if they are about a reference.
fn reading(message: &str) -> Option<(Fault, String)> {
    // couldn't find key KEY in ConfigMap NAMESPACE/NAME
    if let Some(rest) = after(message, "couldn't find key ") {
        let (key, place) = rest.split_once(" in ")?;
        return Some((
            Fault::MissingKey,
            format!(
                "{} has no key `{key}`; add it, or correct the reference",
                first_line(place)
            ),
        ));
    }
    // ... references non-existent config key: KEY
    if let Some(key) = after(message, "references non-existent config key: ") {
        let volume = between(message, "volume \"", "\"").unwrap_or("a volume");
        return Some((
            Fault::MissingKey,
            format!(
                "the ConfigMap of volume `{volume}` has no key `{}`; add it, or correct the volume's items",
                first_line(key)
            ),
        ));
    }
    if let Some(key) = after(message, "references non-existent secret key: ") {
        let volume = between(message, "volume \"", "\"").unwrap_or("a volume");
        return Some((
            Fault::MissingKey,
            format!(
                "the Secret of volume `{volume}` has no key `{}`; add it, or correct the volume's items",
                first_line(key)
            ),
        ));
    }
    for kind in ["configmap", "secret"] {
        if let Some(name) = between(message, &format!("{kind} \""), "\" not found") {
            let kind = if kind == "secret" { "Secret" } else { "ConfigMap" };
            return Some((
                Fault::MissingObject,
                format!("there is no {kind} `{name}`; create it, or correct the reference"),
            ));
        }
    }
    None
}

fn after<'m>(message: &'m str, words: &str) -> Option<&'m str> {
    message.split_once(words).map(|(_, rest)| rest)
}

fn between<'m>(message: &'m str, start: &str, end: &str) -> Option<&'m str> {
    after(message, start)?.split_once(end).map(|(found, _)| found)
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or(text).trim()
}
