//! `Service` (core/v1).

use indexmap::IndexMap;
use serde::Deserialize;

use super::{ClusterOnly, Spec, without_effect};
use crate::deploy::typed::IntOrString;

/// What a `ServiceMonitor` can see of a Service.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ServiceSpec {
    /// Its ports; none for an `ExternalName`.
    #[serde(default)]
    pub(crate) ports: Vec<Port>,
    /// Labels of its pods.
    #[serde(default)]
    #[expect(dead_code, reason = "known, so that it is not refused; pods are the target's")]
    pub(crate) selector: IndexMap<String, String>,
}

/// One port.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "some are known only so that they are not refused")]
#[expect(clippy::struct_field_names, reason = "the names are the Kubernetes API's")]
pub(crate) struct Port {
    /// Name, absent on a Service with a single port.
    #[serde(default)]
    pub(crate) name: String,
    /// Port of the Service.
    pub(crate) port: u16,
    /// Port of its pods, by name or number; the Service's own where absent.
    pub(crate) target_port: Option<IntOrString>,
    pub(crate) protocol: Option<String>,
    pub(crate) app_protocol: Option<String>,
    pub(crate) node_port: Option<u16>,
}

impl Spec for ServiceSpec {
    const KIND: &'static str = "Service";
    const CLUSTER_ONLY: &'static [ClusterOnly] = &[
        without_effect("allocateLoadBalancerNodePorts"),
        without_effect("clusterIP"),
        without_effect("clusterIPs"),
        without_effect("externalIPs"),
        without_effect("externalName"),
        without_effect("externalTrafficPolicy"),
        without_effect("healthCheckNodePort"),
        without_effect("internalTrafficPolicy"),
        without_effect("ipFamilies"),
        without_effect("ipFamilyPolicy"),
        without_effect("loadBalancerClass"),
        without_effect("loadBalancerIP"),
        without_effect("loadBalancerSourceRanges"),
        without_effect("publishNotReadyAddresses"),
        without_effect("sessionAffinity"),
        without_effect("sessionAffinityConfig"),
        without_effect("trafficDistribution"),
        without_effect("type"),
    ];
}
