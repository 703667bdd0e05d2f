//! The kinds of objects that cases ask for.

use kube::core::{ApiResource, GroupVersionKind};

/// A kind of object, with the group and version that it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind {
    /// Group, empty for the core one.
    pub group: &'static str,
    /// Version.
    pub version: &'static str,
    /// Kind.
    pub kind: &'static str,
    /// Its resource, the plural in paths.
    pub plural: &'static str,
}

impl Kind {
    /// Pods.
    pub const POD: Self = core("Pod", "pods");
    /// Services.
    pub const SERVICE: Self = core("Service", "services");
    /// Secrets.
    pub const SECRET: Self = core("Secret", "secrets");
    /// Service accounts.
    pub const SERVICE_ACCOUNT: Self = core("ServiceAccount", "serviceaccounts");
    /// Namespaces.
    pub const NAMESPACE: Self = core("Namespace", "namespaces");
    /// Nodes.
    pub const NODE: Self = core("Node", "nodes");
    /// Events.
    pub const EVENT: Self = core("Event", "events");
    /// Config maps.
    pub const CONFIG_MAP: Self = core("ConfigMap", "configmaps");
    /// Endpoint slices.
    pub const ENDPOINT_SLICE: Self = Self {
        group: "discovery.k8s.io",
        version: "v1",
        kind: "EndpointSlice",
        plural: "endpointslices",
    };
    /// Deployments.
    pub const DEPLOYMENT: Self = apps("Deployment", "deployments");
    /// Stateful sets.
    pub const STATEFUL_SET: Self = apps("StatefulSet", "statefulsets");
    /// Daemon sets.
    pub const DAEMON_SET: Self = apps("DaemonSet", "daemonsets");
    /// The Prometheus operator's servers.
    pub const PROMETHEUS: Self = monitoring("Prometheus", "prometheuses");
    /// The Prometheus operator's service monitors.
    pub const SERVICE_MONITOR: Self = monitoring("ServiceMonitor", "servicemonitors");
    /// The Prometheus operator's rules.
    pub const PROMETHEUS_RULE: Self = monitoring("PrometheusRule", "prometheusrules");

    /// `group/version`, or the version alone of the core group.
    #[must_use]
    pub fn api_version(self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// An object of this kind in words: `Pod monitoring/a`.
    #[must_use]
    pub fn named(self, namespace: &str, name: &str) -> String {
        if namespace.is_empty() {
            format!("{} {name}", self.kind)
        } else {
            format!("{} {namespace}/{name}", self.kind)
        }
    }

    /// The resource as the client below names it.
    #[must_use]
    pub fn resource(self) -> ApiResource {
        let gvk = GroupVersionKind::gvk(self.group, self.version, self.kind);
        ApiResource::from_gvk_with_plural(&gvk, self.plural)
    }
}

const fn core(kind: &'static str, plural: &'static str) -> Kind {
    Kind {
        group: "",
        version: "v1",
        kind,
        plural,
    }
}

const fn apps(kind: &'static str, plural: &'static str) -> Kind {
    Kind {
        group: "apps",
        version: "v1",
        kind,
        plural,
    }
}

const fn monitoring(kind: &'static str, plural: &'static str) -> Kind {
    Kind {
        group: "monitoring.coreos.com",
        version: "v1",
        kind,
        plural,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_named_as_its_paths_and_its_people_name_it() {
        assert_eq!(Kind::POD.api_version(), "v1");
        assert_eq!(Kind::STATEFUL_SET.api_version(), "apps/v1");
        assert_eq!(Kind::PROMETHEUS.resource().plural, "prometheuses");
        assert_eq!(Kind::POD.named("monitoring", "a"), "Pod monitoring/a");
        assert_eq!(Kind::NODE.named("", "a"), "Node a");
    }
}
