//! Workloads: what keeps pods running, and whether all of them are the ones that are wanted. Pure.

use std::fmt;

use serde_json::Value;

use super::{Kind, text};

/// The annotation by which `kubectl rollout restart` makes a workload's pods new ones; the Prometheus operator (v0.85)
/// leaves annotations of `kubectl.kubernetes.io/` on the stateful sets it makes.
pub(super) const RESTARTED: &str = "kubectl.kubernetes.io/restartedAt";

/// What keeps a workload's pods running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Controller {
    /// A Deployment.
    Deployment,
    /// A `StatefulSet`.
    StatefulSet,
    /// A `DaemonSet`.
    DaemonSet,
}

impl Controller {
    /// Every controller.
    pub const ALL: [Self; 3] = [Self::Deployment, Self::StatefulSet, Self::DaemonSet];

    /// Its kind.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            Self::Deployment => Kind::DEPLOYMENT,
            Self::StatefulSet => Kind::STATEFUL_SET,
            Self::DaemonSet => Kind::DAEMON_SET,
        }
    }
}

/// A workload.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Workload {
    /// What keeps it running.
    pub controller: Controller,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Workload {
    /// The workload of this name.
    #[must_use]
    pub fn new(controller: Controller, namespace: &str, name: &str) -> Self {
        Self {
            controller,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.controller.kind().named(&self.namespace, &self.name))
    }
}

/// The labels by which a workload selects its pods, as a selector's text; empty where it has none.
pub(super) fn selector(workload: &Value) -> String {
    let labels = workload
        .pointer("/spec/selector/matchLabels")
        .and_then(Value::as_object);
    labels
        .into_iter()
        .flatten()
        .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()))
        .collect::<Vec<_>>()
        .join(",")
}

/// How many pods a workload wants.
pub(super) fn wanted(workload: &Value) -> usize {
    let number = |pointer: &str| workload.pointer(pointer).and_then(Value::as_u64);
    // A DaemonSet has a pod on each node that it is for; what names no number wants one.
    let number = number("/spec/replicas").or_else(|| number("/status/desiredNumberScheduled"));
    number.map_or(1, |number| usize::try_from(number).unwrap_or(usize::MAX))
}

/// What is missing until these pods are the wanted ones, all ready and none of `former`; none when nothing is. A status
/// tells of a lost pod only once its controller has seen the loss, so pods are counted.
pub(super) fn unsettled(pods: &[Value], wanted: usize, former: &[String]) -> Option<String> {
    if pods.len() < wanted.max(1) {
        return Some(format!("{} of {} pods are there", pods.len(), wanted.max(1)));
    }
    pods.iter().find_map(|pod| {
        let name = text(pod, "/metadata/name");
        if former.iter().any(|uid| uid == text(pod, "/metadata/uid")) {
            return Some(format!("the former pod {name} is still there"));
        }
        if pod.pointer("/metadata/deletionTimestamp").is_some() {
            return Some(format!("pod {name} is on its way out"));
        }
        (!is_ready(pod)).then(|| format!("pod {name} is not ready"))
    })
}

/// Whether a pod says that it is ready.
fn is_ready(pod: &Value) -> bool {
    pod.pointer("/status/conditions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .any(|c| text(c, "/type") == "Ready" && text(c, "/status") == "True")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn pod(uid: &str, ready: &str, leaving: bool) -> Value {
        let mut pod = json!({"metadata": {"name": "a-0", "uid": uid},
            "status": {"conditions": [{"type": "Ready", "status": ready}]}});
        if leaving {
            pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        }
        pod
    }

    #[rstest]
    #[case::none(&[], Some("0 of 1 pods are there"))]
    #[case::the_new_one(&[pod("new", "True", false)], None)]
    #[case::the_former_one(&[pod("old", "True", false)], Some("the former pod a-0 is still there"))]
    #[case::leaving(&[pod("new", "True", true)], Some("pod a-0 is on its way out"))]
    #[case::unready(&[pod("new", "False", false)], Some("pod a-0 is not ready"))]
    fn a_workload_is_settled_when_every_pod_is_new_and_ready(
        #[case] pods: &[Value],
        #[case] missing: Option<&str>,
    ) {
        assert_eq!(unsettled(pods, 1, &["old".to_owned()]).as_deref(), missing);
    }

    #[test]
    fn a_pod_that_has_no_successor_yet_is_missed_whatever_the_status_says() {
        let pods = [pod("a", "True", false), pod("b", "True", false)];
        assert_eq!(
            unsettled(&pods, 3, &["old".to_owned()]).as_deref(),
            Some("2 of 3 pods are there")
        );
        assert_eq!(wanted(&json!({"spec": {"replicas": 3}})), 3);
        assert_eq!(
            wanted(&json!({"spec": {}, "status": {"desiredNumberScheduled": 2}})),
            2
        );
        assert_eq!(wanted(&json!({})), 1);
    }

    #[test]
    fn pods_are_selected_by_every_label() {
        let workload = json!({"spec": {"selector": {"matchLabels": {"app": "a", "tier": "b"}}}});
        assert_eq!(selector(&workload), "app=a,tier=b");
        assert_eq!(selector(&json!({})), "");
    }
}
