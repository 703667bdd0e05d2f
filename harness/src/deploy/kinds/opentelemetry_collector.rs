//! `OpenTelemetryCollector` (opentelemetry.io/v1beta1), as of opentelemetry-operator v0.140.

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::Value;

use super::pod::{Variable, Volume, VolumeMount};
use super::{ClusterOnly, Spec, instead, without_effect};

/// A Collector, or a distribution of it such as Jaeger v2.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct OpenTelemetryCollectorSpec {
    /// Its configuration, which the Collector itself reads strictly.
    pub(crate) config: Value,
    /// Further arguments, names without dashes.
    #[serde(default)]
    pub(crate) args: IndexMap<String, String>,
    #[serde(default)]
    pub(crate) env: Vec<Variable>,
    #[serde(default)]
    pub(crate) volume_mounts: Vec<VolumeMount>,
    #[serde(default)]
    pub(crate) volumes: Vec<Volume>,
}

impl Spec for OpenTelemetryCollectorSpec {
    const KIND: &'static str = "OpenTelemetryCollector";
    const CLUSTER_ONLY: &'static [ClusterOnly] = &[
        instead(
            "autoscaler",
            "1",
            "an autoscaler needs a cluster's metrics; a further replica is a further process that a case asks for",
        ),
        instead(
            "replicas",
            "1",
            "one process stands for the replicas of an object",
        ),
        instead(
            "resources",
            "none",
            "requests and limits are the scheduler's and the container runtime's",
        ),
        instead("image", "the catalog's binary", "a plain process has no image"),
        without_effect("affinity"),
        without_effect("configVersions"),
        without_effect("deploymentUpdateStrategy"),
        without_effect("hostNetwork"),
        without_effect("imagePullPolicy"),
        without_effect("ingress"),
        without_effect("ipFamilies"),
        without_effect("ipFamilyPolicy"),
        without_effect("lifecycle"),
        without_effect("livenessProbe"),
        without_effect("managementState"),
        without_effect("mode"),
        without_effect("networkPolicy"),
        without_effect("nodeSelector"),
        without_effect("observability"),
        without_effect("podAnnotations"),
        without_effect("podDisruptionBudget"),
        without_effect("podSecurityContext"),
        without_effect("ports"),
        without_effect("priorityClassName"),
        without_effect("readinessProbe"),
        without_effect("securityContext"),
        without_effect("serviceAccount"),
        without_effect("serviceName"),
        without_effect("startupProbe"),
        without_effect("terminationGracePeriodSeconds"),
        without_effect("tolerations"),
        without_effect("topologySpreadConstraints"),
        without_effect("trafficDistribution"),
        without_effect("upgradeStrategy"),
    ];
}
