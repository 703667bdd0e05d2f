//! `Alertmanager` (monitoring.coreos.com/v1).

use serde::Deserialize;
use serde_json::Value;

use super::{ClusterOnly, Spec, instead, without_effect};
use crate::deploy::selector::LabelSelector;

/// An Alertmanager.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct AlertmanagerSpec {
    pub(crate) config_secret: Option<String>,
    pub(crate) alertmanager_config_selector: Option<LabelSelector>,
    /// In Go's notation: hours, minutes, seconds, milliseconds.
    pub(crate) retention: Option<String>,
    /// How often it gossips, in Go's notation.
    pub(crate) cluster_gossip_interval: Option<String>,
    pub(crate) external_url: Option<String>,
    pub(crate) route_prefix: Option<String>,
    pub(crate) log_level: Option<String>,
    pub(crate) log_format: Option<String>,
    #[serde(default)]
    pub(crate) web: Web,
}

/// The web server.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Web {
    pub(crate) get_concurrency: Option<u32>,
    pub(crate) timeout: Option<u32>,
    pub(crate) tls_config: Option<Value>,
    pub(crate) http_config: Option<Value>,
}

impl Spec for AlertmanagerSpec {
    const KIND: &'static str = "Alertmanager";
    const CLUSTER_ONLY: &'static [ClusterOnly] = &[
        instead(
            "replicas",
            "1",
            "replicas agree by gossip who notifies; one process notifies by itself",
        ),
        instead(
            "storage",
            "a folder of the run, as large as its file system",
            "a plain process has no persistent volume claim",
        ),
        instead(
            "resources",
            "none",
            "requests and limits are the scheduler's and the container runtime's",
        ),
        instead("image", "the catalog's binary", "a plain process has no image"),
        without_effect("affinity"),
        without_effect("alertmanagerConfigNamespaceSelector"),
        without_effect("automountServiceAccountToken"),
        without_effect("clusterAdvertiseAddress"),
        without_effect("clusterLabel"),
        without_effect("clusterPeerTimeout"),
        without_effect("clusterPushpullInterval"),
        without_effect("configMaps"),
        without_effect("containers"),
        without_effect("forceEnableClusterMode"),
        without_effect("imagePullPolicy"),
        without_effect("imagePullSecrets"),
        without_effect("initContainers"),
        without_effect("listenLocal"),
        without_effect("minReadySeconds"),
        without_effect("nodeSelector"),
        without_effect("paused"),
        without_effect("persistentVolumeClaimRetentionPolicy"),
        without_effect("podMetadata"),
        without_effect("portName"),
        without_effect("priorityClassName"),
        without_effect("secrets"),
        without_effect("securityContext"),
        without_effect("serviceAccountName"),
        without_effect("serviceName"),
        without_effect("terminationGracePeriodSeconds"),
        without_effect("tolerations"),
        without_effect("topologySpreadConstraints"),
        without_effect("version"),
        without_effect("volumeMounts"),
        without_effect("volumes"),
    ];
}
