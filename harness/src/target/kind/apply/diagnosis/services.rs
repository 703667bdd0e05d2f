//! Selectors that match nothing and ports that nothing has by their name: Services, `ServiceMonitor`s, and the
//! Prometheus that chooses among them.

use serde_json::Value;

use super::super::cluster::{Cluster, ObjectName, text, values};
use super::{Cause, Fault};
use crate::deploy::selector::LabelSelector;

type Labels = indexmap::IndexMap<String, String>;

/// What is wrong whatever else comes: a port's name that pods which are there do not have.
pub(super) fn look(cluster: &Cluster, causes: &mut Vec<Cause>) {
    for service in cluster.of_kind("Service") {
        let pods = selected_pods(cluster, service);
        if pods.is_empty() {
            continue;
        }
        for port in values(service, "/spec/ports") {
            let target = text(port, "/targetPort");
            let names = container_ports(&pods);
            if !target.is_empty() && !names.contains(&target) {
                causes.push(Cause {
                    fault: Fault::PortName,
                    object: ObjectName::of(service),
                    what: format!(
                        "its port `{}` goes to `{target}`, but pod {} has {}; use one of these names",
                        text(port, "/name"),
                        text(pods[0], "/metadata/name"),
                        listed(&names),
                    ),
                });
            }
        }
    }
    for monitor in cluster.of_kind("ServiceMonitor") {
        let services = monitored(cluster, monitor);
        if services.is_empty() {
            continue;
        }
        let names: Vec<&str> = services
            .iter()
            .flat_map(|service| values(service, "/spec/ports"))
            .map(|port| text(port, "/name"))
            .collect();
        for endpoint in values(monitor, "/spec/endpoints") {
            let port = text(endpoint, "/port");
            if !port.is_empty() && !names.contains(&port) {
                causes.push(Cause {
                    fault: Fault::PortName,
                    object: ObjectName::of(monitor),
                    what: format!(
                        "it scrapes the port `{port}`, but {} has {}; use one of these names",
                        ObjectName::of(services[0]),
                        listed(&names),
                    ),
                });
            }
        }
    }
}

/// Selectors that match nothing once everything that was to come is there.
pub(super) fn look_at_rest(cluster: &Cluster, causes: &mut Vec<Cause>) {
    for service in cluster.of_kind("Service") {
        let selector = labels(service, "/spec/selector");
        if selector.is_empty() || !selected_pods(cluster, service).is_empty() {
            continue;
        }
        let (namespace, name) = (
            text(service, "/metadata/namespace"),
            text(service, "/metadata/name"),
        );
        // A Service of what is not part of this cluster is no mistake; one of a workload with its name is.
        let pods = cluster
            .of_kind("Pod")
            .filter(|pod| text(pod, "/metadata/namespace") == namespace && cluster.owner(pod).name == name);
        if let Some((pod, differences)) = nearest(&selector, pods) {
            causes.push(Cause {
                fault: Fault::SelectsNothing,
                object: ObjectName::of(service),
                what: format!(
                    "its selector matches no pod; the nearest, {}, {differences}: make them equal",
                    ObjectName::of(pod)
                ),
            });
        }
    }
    for monitor in cluster.of_kind("ServiceMonitor") {
        if !monitored(cluster, monitor).is_empty() {
            continue;
        }
        let selector = labels(monitor, "/spec/selector/matchLabels");
        let name = text(monitor, "/metadata/name");
        let namespaces = namespaces(monitor);
        // Here too: nothing is wrong with a monitor of what is not part of this cluster.
        let namesakes = cluster.of_kind("Service").filter(|service| {
            text(service, "/metadata/name") == name
                && namespaces.contains(&text(service, "/metadata/namespace"))
        });
        if let Some((service, differences)) = nearest(&selector, namesakes) {
            causes.push(Cause {
                fault: Fault::SelectsNothing,
                object: ObjectName::of(monitor),
                what: format!(
                    "its selector matches no Service; {} {differences}: make them equal",
                    ObjectName::of(service)
                ),
            });
        }
    }
    for prometheus in cluster.of_kind("Prometheus") {
        for (field, kind) in [
            ("serviceMonitorSelector", "ServiceMonitor"),
            ("ruleSelector", "PrometheusRule"),
        ] {
            let selector = labels(prometheus, &format!("/spec/{field}/matchLabels"));
            let mut candidates = cluster.of_kind(kind).peekable();
            if selector.is_empty() || candidates.peek().is_none() {
                continue;
            }
            let matched = cluster
                .of_kind(kind)
                .any(|object| matches(&selector, &labels(object, "/metadata/labels")));
            if !matched && let Some((nearest, differences)) = nearest(&selector, candidates) {
                causes.push(Cause {
                    fault: Fault::SelectsNothing,
                    object: ObjectName::of(prometheus),
                    what: format!(
                        "its {field} matches no {kind}; the nearest, {}, {differences}: make them equal",
                        ObjectName::of(nearest)
                    ),
                });
            }
        }
    }
}

fn labels(object: &Value, pointer: &str) -> Labels {
    object
        .pointer(pointer)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

fn matches(selector: &Labels, labels: &Labels) -> bool {
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

fn selected_pods<'c>(cluster: &'c Cluster, service: &Value) -> Vec<&'c Value> {
    let selector = labels(service, "/spec/selector");
    if selector.is_empty() {
        return Vec::new();
    }
    let namespace = text(service, "/metadata/namespace");
    cluster
        .of_kind("Pod")
        .filter(|pod| {
            text(pod, "/metadata/namespace") == namespace
                && matches(&selector, &labels(pod, "/metadata/labels"))
        })
        .collect()
}

fn container_ports<'v>(pods: &[&'v Value]) -> Vec<&'v str> {
    let mut names: Vec<&str> = pods
        .iter()
        .flat_map(|pod| values(pod, "/spec/containers").chain(values(pod, "/spec/initContainers")))
        .flat_map(|container| values(container, "/ports"))
        .map(|port| text(port, "/name"))
        .filter(|name| !name.is_empty())
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The namespaces a monitor looks at: its own, unless it names others.
fn namespaces(monitor: &Value) -> Vec<&str> {
    let named: Vec<&str> = values(monitor, "/spec/namespaceSelector/matchNames")
        .filter_map(Value::as_str)
        .collect();
    if named.is_empty() {
        vec![text(monitor, "/metadata/namespace")]
    } else {
        named
    }
}

fn monitored<'c>(cluster: &'c Cluster, monitor: &Value) -> Vec<&'c Value> {
    let selector = monitor.pointer("/spec/selector").cloned().unwrap_or_default();
    let Ok(selector) = serde_json::from_value::<LabelSelector>(selector) else {
        return Vec::new();
    };
    let namespaces = namespaces(monitor);
    cluster
        .of_kind("Service")
        .filter(|service| {
            namespaces.contains(&text(service, "/metadata/namespace"))
                && selector.matches(&labels(service, "/metadata/labels"))
        })
        .collect()
}

/// Of the objects, the one whose labels differ least from what is asked for, and in what it differs.
fn nearest<'c>(selector: &Labels, objects: impl Iterator<Item = &'c Value>) -> Option<(&'c Value, String)> {
    objects
        .map(|object| {
            let have = labels(object, "/metadata/labels");
            let different: Vec<String> = selector
                .iter()
                .filter(|(key, value)| have.get(*key) != Some(*value))
                .map(|(key, value)| match have.get(key) {
                    Some(other) => format!("has `{key}: {other}` where `{value}` is asked for"),
                    None => format!("lacks `{key}: {value}`"),
                })
                .collect();
            (object, different)
        })
        .min_by_key(|(_, different)| different.len())
        .map(|(object, different)| (object, different.join(" and ")))
}

fn listed(names: &[&str]) -> String {
    match names {
        [] => "no named ports".to_owned(),
        names => names.join(", "),
    }
}
