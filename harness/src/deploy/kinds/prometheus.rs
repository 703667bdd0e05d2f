//! `Prometheus` (monitoring.coreos.com/v1).

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::Value;

use super::service_monitor::{DiscoveryRole, Relabeling};
use super::{ClusterOnly, Spec, instead, without_effect};
use crate::deploy::selector::LabelSelector;
use crate::deploy::typed::IntOrString;
use crate::units::{Bytes, Span};

/// A Prometheus server.
#[expect(clippy::struct_excessive_bools, reason = "the fields are the operator's API")]
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PrometheusSpec {
    pub(crate) scrape_interval: Option<Span>,
    pub(crate) scrape_timeout: Option<Span>,
    pub(crate) evaluation_interval: Option<Span>,
    #[serde(default)]
    pub(crate) scrape_protocols: Vec<String>,
    #[serde(default)]
    pub(crate) external_labels: IndexMap<String, String>,
    pub(crate) prometheus_external_label_name: Option<String>,
    pub(crate) replica_external_label_name: Option<String>,
    pub(crate) service_monitor_selector: Option<LabelSelector>,
    pub(crate) service_monitor_namespace_selector: Option<LabelSelector>,
    pub(crate) rule_selector: Option<LabelSelector>,
    pub(crate) rule_namespace_selector: Option<LabelSelector>,
    pub(crate) pod_monitor_selector: Option<LabelSelector>,
    pub(crate) pod_monitor_namespace_selector: Option<LabelSelector>,
    pub(crate) probe_selector: Option<LabelSelector>,
    pub(crate) probe_namespace_selector: Option<LabelSelector>,
    pub(crate) scrape_config_selector: Option<LabelSelector>,
    pub(crate) scrape_config_namespace_selector: Option<LabelSelector>,
    pub(crate) service_discovery_role: Option<DiscoveryRole>,
    #[serde(default)]
    pub(crate) pod_target_labels: Vec<String>,
    #[serde(default)]
    pub(crate) override_honor_labels: bool,
    #[serde(default)]
    pub(crate) override_honor_timestamps: bool,
    #[serde(default)]
    pub(crate) alerting: Alerting,
    #[serde(default)]
    pub(crate) enable_features: Vec<String>,
    pub(crate) retention: Option<Span>,
    pub(crate) retention_size: Option<Bytes>,
    #[serde(default, rename = "enableAdminAPI")]
    pub(crate) enable_admin_api: bool,
    #[serde(default)]
    pub(crate) enable_remote_write_receiver: bool,
    pub(crate) wal_compression: Option<bool>,
    #[serde(default)]
    pub(crate) query: Query,
    #[serde(default)]
    pub(crate) rules: Rules,
    #[serde(default)]
    pub(crate) tsdb: Tsdb,
    #[serde(default)]
    pub(crate) exemplars: Exemplars,
    #[serde(default)]
    pub(crate) web: Web,
    pub(crate) external_url: Option<String>,
    pub(crate) route_prefix: Option<String>,
    pub(crate) reload_strategy: Option<ReloadStrategy>,
    pub(crate) log_level: Option<String>,
    pub(crate) log_format: Option<String>,
    #[serde(default)]
    pub(crate) additional_args: Vec<Argument>,
}

/// Where alerts go.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Alerting {
    #[serde(default)]
    pub(crate) alertmanagers: Vec<AlertmanagerEndpoints>,
}

/// The port of a Service of Alertmanagers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct AlertmanagerEndpoints {
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
    pub(crate) port: IntOrString,
    pub(crate) scheme: Option<String>,
    pub(crate) path_prefix: Option<String>,
    pub(crate) api_version: Option<String>,
    pub(crate) timeout: Option<Span>,
    #[serde(default)]
    pub(crate) relabelings: Vec<Relabeling>,
    #[serde(default)]
    pub(crate) alert_relabelings: Vec<Relabeling>,
    pub(crate) tls_config: Option<Value>,
    pub(crate) bearer_token_file: Option<Value>,
    pub(crate) authorization: Option<Value>,
    pub(crate) basic_auth: Option<Value>,
}

/// Limits of queries.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Query {
    pub(crate) lookback_delta: Option<Span>,
    pub(crate) max_concurrency: Option<u32>,
    pub(crate) max_samples: Option<u64>,
    pub(crate) timeout: Option<Span>,
}

/// How rules behave across restarts.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rules {
    #[serde(default)]
    pub(crate) alert: AlertRules,
}

/// How alerts behave across restarts.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct AlertRules {
    pub(crate) for_outage_tolerance: Option<Span>,
    pub(crate) for_grace_period: Option<Span>,
    pub(crate) resend_delay: Option<Span>,
}

/// The time series database.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Tsdb {
    pub(crate) out_of_order_time_window: Option<Span>,
}

/// The store of exemplars.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Exemplars {
    pub(crate) max_size: Option<u64>,
}

/// The web server.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Web {
    pub(crate) page_title: Option<String>,
    pub(crate) max_connections: Option<u32>,
    pub(crate) tls_config: Option<Value>,
    pub(crate) http_config: Option<Value>,
}

/// How the operator's reloader tells the server about a new configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum ReloadStrategy {
    #[serde(rename = "HTTP")]
    Http,
    ProcessSignal,
}

/// A command-line argument without its dashes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Argument {
    pub(crate) name: String,
    pub(crate) value: Option<String>,
}

impl Spec for PrometheusSpec {
    const KIND: &'static str = "Prometheus";
    const CLUSTER_ONLY: &'static [ClusterOnly] = &[
        instead(
            "replicas",
            "1",
            "a second replica is a copy that scrapes the same targets; one process shows what each does",
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
        without_effect("automountServiceAccountToken"),
        without_effect("containers"),
        without_effect("hostNetwork"),
        without_effect("imagePullPolicy"),
        without_effect("imagePullSecrets"),
        without_effect("initContainers"),
        without_effect("listenLocal"),
        without_effect("minReadySeconds"),
        without_effect("nodeSelector"),
        without_effect("paused"),
        without_effect("persistentVolumeClaimRetentionPolicy"),
        without_effect("podManagementPolicy"),
        without_effect("podMetadata"),
        without_effect("portName"),
        without_effect("priorityClassName"),
        without_effect("secrets"),
        without_effect("configMaps"),
        without_effect("securityContext"),
        without_effect("serviceAccountName"),
        without_effect("serviceName"),
        without_effect("terminationGracePeriodSeconds"),
        without_effect("tolerations"),
        without_effect("topologySpreadConstraints"),
        without_effect("updateStrategy"),
        without_effect("version"),
        without_effect("volumeMounts"),
        without_effect("volumes"),
    ];
}
