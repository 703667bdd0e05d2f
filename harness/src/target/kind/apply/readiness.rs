//! Whether an applied object is what it was declared to be: running, served, reconciled. Pure.
//!
//! A status counts only once its controller has seen the object as it is (`observedGeneration`); before, it is
//! about an older one.

use serde_json::Value;

use super::cluster::{condition, number, text};

/// How far an object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// It is what it was declared to be.
    Ready,
    /// It is on its way; what is missing.
    Waiting(String),
    /// It has ended and will not become ready; why.
    Ended(String),
}

/// The kinds whose readiness is more than being there.
#[must_use]
pub fn is_watched(kind: &str) -> bool {
    matches!(
        kind,
        "CustomResourceDefinition"
            | "Deployment"
            | "StatefulSet"
            | "DaemonSet"
            | "Job"
            | "APIService"
            | "Prometheus"
            | "Alertmanager"
            | "OpenTelemetryCollector"
            | "Certificate"
    )
}

/// How far this object is, as it was last seen.
#[must_use]
pub fn readiness(object: &Value) -> Readiness {
    let kind = text(object, "/kind");
    if !is_watched(kind) {
        return Readiness::Ready;
    }
    match kind {
        "CustomResourceDefinition" => conditions(object, &["Established"]),
        "APIService" => conditions(object, &["Available"]),
        "Certificate" => conditions(object, &["Ready"]),
        // prometheus-operator v0.85, Documentation/api-reference: both carry the generation they are about.
        "Prometheus" | "Alertmanager" => conditions(object, &["Reconciled", "Available"]),
        "Deployment" => replicas(
            object,
            number_or(object, "/spec/replicas", 1),
            &["updatedReplicas", "availableReplicas"],
        ),
        "StatefulSet" => replicas(
            object,
            number_or(object, "/spec/replicas", 1),
            &["updatedReplicas", "readyReplicas"],
        ),
        "DaemonSet" => daemons(object),
        "Job" => job(object),
        _ => collector(object),
    }
}

fn number_or(value: &Value, pointer: &str, absent: i64) -> i64 {
    value.pointer(pointer).and_then(Value::as_i64).unwrap_or(absent)
}

/// Every condition of these types is true and about the object as it is.
fn conditions(object: &Value, wanted: &[&str]) -> Readiness {
    for kind in wanted {
        let Some(found) = condition(object, kind) else {
            return Readiness::Waiting(format!(
                "its controller has not said whether it is {}",
                kind.to_lowercase()
            ));
        };
        let generation = number(object, "/metadata/generation");
        if number_or(found, "/observedGeneration", generation) < generation {
            return Readiness::Waiting("its controller has not seen its newest form".to_owned());
        }
        if text(found, "/status") != "True" {
            let reason = [text(found, "/reason"), text(found, "/message")]
                .into_iter()
                .filter(|part| !part.is_empty())
                .collect::<Vec<_>>()
                .join(": ");
            return Readiness::Waiting(format!("not {} ({reason})", kind.to_lowercase()));
        }
    }
    Readiness::Ready
}

/// Every one of these counts has reached the wanted number.
fn replicas(object: &Value, wanted: i64, counts: &[&str]) -> Readiness {
    if number(object, "/status/observedGeneration") < number(object, "/metadata/generation") {
        return Readiness::Waiting("its controller has not seen its newest form".to_owned());
    }
    for count in counts {
        let have = number(object, &format!("/status/{count}"));
        if have < wanted {
            let word = count.trim_end_matches("Replicas");
            return Readiness::Waiting(format!("{have} of {wanted} replicas are {word}"));
        }
    }
    Readiness::Ready
}

fn daemons(object: &Value) -> Readiness {
    let wanted = number(object, "/status/desiredNumberScheduled");
    let seen = number(object, "/status/observedGeneration") >= number(object, "/metadata/generation");
    if !seen || wanted == 0 {
        return Readiness::Waiting("no node has been chosen for it".to_owned());
    }
    let have = number(object, "/status/numberReady").min(number(object, "/status/updatedNumberScheduled"));
    if have < wanted {
        return Readiness::Waiting(format!("{have} of {wanted} nodes have it ready"));
    }
    Readiness::Ready
}

fn job(object: &Value) -> Readiness {
    if let Some(failed) = condition(object, "Failed").filter(|c| text(c, "/status") == "True") {
        return Readiness::Ended(format!(
            "{}: {}",
            text(failed, "/reason"),
            text(failed, "/message")
        ));
    }
    if condition(object, "Complete").is_some_and(|c| text(c, "/status") == "True") {
        return Readiness::Ready;
    }
    Readiness::Waiting(format!(
        "has not ended ({} of its pods run, {} have failed)",
        number(object, "/status/active"),
        number(object, "/status/failed")
    ))
}

/// The OpenTelemetry operator's objects tell `ready/wanted` in one text (v0.140,
/// `status.scale.statusReplicas`).
fn collector(object: &Value) -> Readiness {
    let told = text(object, "/status/scale/statusReplicas");
    match told.split_once('/') {
        Some((ready, wanted)) if ready == wanted && wanted != "0" => Readiness::Ready,
        Some((ready, wanted)) => Readiness::Waiting(format!("{ready} of {wanted} replicas are ready")),
        None => Readiness::Waiting("its operator has not looked at it".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case::a_deployment_that_runs(
        json!({"kind": "Deployment", "metadata": {"generation": 2}, "spec": {"replicas": 1},
            "status": {"observedGeneration": 2, "updatedReplicas": 1, "availableReplicas": 1}}),
        "ready"
    )]
    #[case::a_status_of_an_older_form(
        json!({"kind": "Deployment", "metadata": {"generation": 3}, "spec": {"replicas": 1},
            "status": {"observedGeneration": 2, "updatedReplicas": 1, "availableReplicas": 1}}),
        "its controller has not seen its newest form"
    )]
    #[case::a_stateful_set_on_its_way(
        json!({"kind": "StatefulSet", "metadata": {"generation": 1}, "spec": {"replicas": 3},
            "status": {"observedGeneration": 1, "updatedReplicas": 3, "readyReplicas": 1}}),
        "1 of 3 replicas are ready"
    )]
    #[case::a_daemon_set_without_a_node(
        json!({"kind": "DaemonSet", "metadata": {"generation": 1}, "status": {"observedGeneration": 1}}),
        "no node has been chosen for it"
    )]
    #[case::a_job_that_failed(
        json!({"kind": "Job", "status": {"conditions": [
            {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "too often"}]}}),
        "ended: BackoffLimitExceeded: too often"
    )]
    #[case::a_prometheus_that_is_degraded(
        json!({"kind": "Prometheus", "metadata": {"generation": 1}, "status": {"conditions": [
            {"type": "Reconciled", "status": "True", "observedGeneration": 1},
            {"type": "Available", "status": "Degraded", "reason": "SomePodsNotReady", "observedGeneration": 1}]}}),
        "not available (SomePodsNotReady)"
    )]
    #[case::a_collector_that_is_ready(
        json!({"kind": "OpenTelemetryCollector", "status": {"scale": {"statusReplicas": "1/1"}}}),
        "ready"
    )]
    #[case::a_collector_nobody_looked_at(
        json!({"kind": "OpenTelemetryCollector", "status": {}}),
        "its operator has not looked at it"
    )]
    #[case::what_only_has_to_be_there(json!({"kind": "ConfigMap"}), "ready")]
    fn readiness_is_told(#[case] object: Value, #[case] expected: &str) {
        let told = match readiness(&object) {
            Readiness::Ready => "ready".to_owned(),
            Readiness::Waiting(what) => what,
            Readiness::Ended(why) => format!("ended: {why}"),
        };
        assert_eq!(told, expected);
    }
}
