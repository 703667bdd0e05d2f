//! The parts of prometheus.yml that rendering writes (Prometheus 3.16,
//! docs/configuration/configuration.md), in the order in which they are written.

use indexmap::IndexMap;
use serde::Serialize;

use crate::deploy::kinds::service_monitor::Relabeling;
use crate::units::Span;

#[derive(Debug, Serialize)]
pub(super) struct Config {
    pub(super) global: Global,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) rule_files: Vec<String>,
    #[serde(skip_serializing_if = "Storage::is_empty")]
    pub(super) storage: Storage,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) scrape_configs: Vec<ScrapeConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) alerting: Option<Alerting>,
}

#[derive(Debug, Serialize)]
pub(super) struct Global {
    pub(super) evaluation_interval: Span,
    pub(super) scrape_interval: Span,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) scrape_timeout: Option<Span>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) scrape_protocols: Vec<String>,
    pub(super) external_labels: IndexMap<String, String>,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct Storage {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tsdb: Option<Tsdb>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) exemplars: Option<Exemplars>,
}

impl Storage {
    fn is_empty(&self) -> bool {
        self.tsdb.is_none() && self.exemplars.is_none()
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Tsdb {
    pub(super) out_of_order_time_window: Span,
}

#[derive(Debug, Serialize)]
pub(super) struct Exemplars {
    pub(super) max_exemplars: u64,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct ScrapeConfig {
    pub(super) job_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) honor_labels: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) honor_timestamps: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) track_timestamps_staleness: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) scrape_interval: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) scrape_timeout: Option<Span>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) scrape_protocols: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fallback_scrape_protocol: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) scrape_native_histograms: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) always_scrape_classic_histograms: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) convert_classic_histograms_to_nhcb: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) native_histogram_bucket_limit: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) native_histogram_min_bucket_factor: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) metrics_path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) params: Option<IndexMap<String, Vec<String>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) scheme: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) follow_redirects: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) enable_http2: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sample_limit: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) target_limit: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) label_limit: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) label_name_length_limit: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) label_value_length_limit: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) keep_dropped_targets: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) body_size_limit: Option<String>,
    pub(super) static_configs: Vec<StaticConfig>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) relabel_configs: Vec<Relabeling>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) metric_relabel_configs: Vec<Relabeling>,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct StaticConfig {
    pub(super) targets: Vec<String>,
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub(super) labels: IndexMap<String, String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Alerting {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) alert_relabel_configs: Vec<Relabeling>,
    pub(super) alertmanagers: Vec<AlertmanagerConfig>,
}

#[derive(Debug, Serialize)]
pub(super) struct AlertmanagerConfig {
    pub(super) scheme: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) path_prefix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) timeout: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) api_version: Option<String>,
    pub(super) static_configs: Vec<StaticConfig>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) relabel_configs: Vec<Relabeling>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) alert_relabel_configs: Vec<Relabeling>,
}
