//! `ServiceMonitor` (monitoring.coreos.com/v1).

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ClusterOnly, Spec, without_effect};
use crate::deploy::selector::LabelSelector;
use crate::deploy::typed::IntOrString;
use crate::units::Span;

/// Which Services are scraped, and how.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ServiceMonitorSpec {
    pub(crate) selector: LabelSelector,
    #[serde(default)]
    pub(crate) namespace_selector: NamespaceSelector,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) job_label: Option<String>,
    #[serde(default)]
    pub(crate) target_labels: Vec<String>,
    #[serde(default)]
    pub(crate) pod_target_labels: Vec<String>,
    pub(crate) service_discovery_role: Option<DiscoveryRole>,
    #[serde(default)]
    pub(crate) scrape_protocols: Vec<String>,
    pub(crate) fallback_scrape_protocol: Option<String>,
    pub(crate) sample_limit: Option<u64>,
    pub(crate) target_limit: Option<u64>,
    pub(crate) label_limit: Option<u64>,
    pub(crate) label_name_length_limit: Option<u64>,
    pub(crate) label_value_length_limit: Option<u64>,
    pub(crate) keep_dropped_targets: Option<u64>,
    pub(crate) body_size_limit: Option<String>,
    pub(crate) scrape_classic_histograms: Option<bool>,
    pub(crate) native_histogram_bucket_limit: Option<u64>,
    pub(crate) native_histogram_min_bucket_factor: Option<IntOrString>,
    #[serde(rename = "convertClassicHistogramsToNHCB")]
    pub(crate) convert_classic_histograms: Option<bool>,
}

/// Namespaces to look for Services in; by default the monitor's own.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NamespaceSelector {
    /// All of them.
    #[serde(default)]
    pub(crate) any: bool,
    /// These.
    #[serde(default)]
    pub(crate) match_names: Vec<String>,
}

/// How Kubernetes discovery finds the endpoints of a Service; it decides the names of the meta labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum DiscoveryRole {
    Endpoints,
    EndpointSlice,
}

/// One endpoint: a port and how to scrape it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Endpoint {
    pub(crate) port: Option<String>,
    pub(crate) target_port: Option<IntOrString>,
    pub(crate) path: Option<String>,
    pub(crate) scheme: Option<String>,
    pub(crate) params: Option<IndexMap<String, Vec<String>>>,
    pub(crate) interval: Option<Span>,
    pub(crate) scrape_timeout: Option<Span>,
    #[serde(default)]
    pub(crate) honor_labels: bool,
    pub(crate) honor_timestamps: Option<bool>,
    pub(crate) track_timestamps_staleness: Option<bool>,
    pub(crate) follow_redirects: Option<bool>,
    #[serde(rename = "enableHttp2")]
    pub(crate) enable_http2: Option<bool>,
    pub(crate) filter_running: Option<bool>,
    #[serde(default)]
    pub(crate) relabelings: Vec<Relabeling>,
    #[serde(default)]
    pub(crate) metric_relabelings: Vec<Relabeling>,
    // How it proves who it is; a plain process on loopback has nobody to prove it to.
    pub(crate) tls_config: Option<Value>,
    pub(crate) bearer_token_file: Option<Value>,
    pub(crate) bearer_token_secret: Option<Value>,
    pub(crate) authorization: Option<Value>,
    pub(crate) basic_auth: Option<Value>,
    pub(crate) oauth2: Option<Value>,
    pub(crate) proxy_url: Option<Value>,
}

/// One relabeling. Read in the operator's notation, written in Prometheus'.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(
    rename_all(deserialize = "camelCase", serialize = "snake_case"),
    deny_unknown_fields
)]
pub(crate) struct Relabeling {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) source_labels: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) separator: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) regex: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) modulus: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) target_label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) replacement: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) action: Option<String>,
}

impl Spec for ServiceMonitorSpec {
    const KIND: &'static str = "ServiceMonitor";
    const CLUSTER_ONLY: &'static [ClusterOnly] = &[
        without_effect("attachMetadata"),
        without_effect("selectorMechanism"),
    ];
}
