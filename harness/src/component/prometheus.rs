//! Prometheus' HTTP API (v1).

use std::time::Duration;

use indexmap::IndexMap;
use serde_json::Value;
use url::Url;

use super::ClientError;

/// A client of one Prometheus server.
#[derive(Debug, Clone)]
pub struct Prometheus {
    base: Url,
    http: reqwest::Client,
}

/// A set of labels, in the server's order.
pub type Labels = IndexMap<String, String>;

/// One series of an instant query.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Labels, `__name__` included.
    pub labels: Labels,
    /// Unix seconds of the sample.
    pub at: f64,
    /// The value, as the server printed it (`+Inf`, `NaN` and all digits survive); empty for a native histogram.
    pub value: String,
    /// The native histogram, where the sample is one.
    pub histogram: Option<Value>,
}

/// One series with its samples (of a range query, or of an instant query of a range vector: there the raw samples).
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Labels, `__name__` included.
    pub labels: Labels,
    /// (unix seconds, value as printed).
    pub samples: Vec<(f64, String)>,
    /// (unix seconds, native histogram).
    pub histograms: Vec<(f64, Value)>,
}

/// A block of the TSDB, from `/api/v1/status/tsdb/blocks` (Prometheus 3.6.0 and newer).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Its id.
    pub ulid: String,
    /// First instant, unix milliseconds.
    pub min_time: i64,
    /// End instant (exclusive), unix milliseconds.
    pub max_time: i64,
    /// Samples in it.
    pub samples: u64,
    /// Series in it.
    pub series: u64,
}

/// An active target, from `/api/v1/targets`.
#[derive(Debug, Clone, PartialEq)]
pub struct ActiveTarget {
    /// Name of the scrape job in the configuration.
    pub scrape_pool: String,
    /// Final labels.
    pub labels: Labels,
    /// URL that is scraped.
    pub scrape_url: String,
    /// `up`, `down` or `unknown`.
    pub health: String,
    /// The last scrape's error, empty when well.
    pub last_error: String,
    /// Effective scrape interval, as printed.
    pub scrape_interval: String,
    /// Effective scrape timeout, as printed.
    pub scrape_timeout: String,
}

/// A loaded rule, from `/api/v1/rules`.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadedRule {
    /// Group name.
    pub group: String,
    /// Rule file.
    pub file: String,
    /// Group's effective interval, seconds.
    pub interval: f64,
    /// `alerting` or `recording`.
    pub kind: String,
    /// Name.
    pub name: String,
    /// Expression, as the server prints it.
    pub query: String,
    /// `for`, seconds.
    pub duration: f64,
    /// `keep_firing_for`, seconds.
    pub keep_firing_for: f64,
    /// Labels.
    pub labels: Labels,
    /// Annotations.
    pub annotations: Labels,
    /// `ok`, `err` or `unknown`.
    pub health: String,
    /// Last error, empty when well.
    pub last_error: String,
    /// Alert state (`inactive`, `pending`, `firing`), empty for recording rules.
    pub state: String,
}

/// An active alert, from `/api/v1/alerts`.
#[derive(Debug, Clone, PartialEq)]
pub struct ActiveAlert {
    /// Labels.
    pub labels: Labels,
    /// Annotations.
    pub annotations: Labels,
    /// `pending` or `firing`.
    pub state: String,
    /// Since when its expression is true, unix seconds.
    pub active_at: f64,
    /// Its value, as printed.
    pub value: String,
}

impl Prometheus {
    /// A client of the server at `base` (`http://host:port/`).
    pub fn new(base: Url) -> Result<Self, ClientError> {
        let _ = base;
        todo!()
    }

    /// Where it is.
    #[must_use]
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// Whether `/-/ready` says so; the error says what it said instead.
    pub async fn ready(&self) -> Result<(), ClientError> {
        todo!()
    }

    /// Version the server reports (`/api/v1/status/buildinfo`).
    pub async fn version(&self) -> Result<String, ClientError> {
        todo!()
    }

    /// Flags by name without dashes (`/api/v1/status/flags`).
    pub async fn flags(&self) -> Result<IndexMap<String, String>, ClientError> {
        todo!()
    }

    /// Runtime information (`/api/v1/status/runtimeinfo`), raw.
    pub async fn runtime_info(&self) -> Result<Value, ClientError> {
        todo!()
    }

    /// Loaded configuration as YAML (`/api/v1/status/config`).
    pub async fn config(&self) -> Result<String, ClientError> {
        todo!()
    }

    /// Blocks, oldest first.
    pub async fn blocks(&self) -> Result<Vec<Block>, ClientError> {
        todo!()
    }

    /// Head and cardinality statistics (`/api/v1/status/tsdb`), raw.
    pub async fn tsdb(&self) -> Result<Value, ClientError> {
        todo!()
    }

    /// Instant query that gives a vector or scalar; now when `at` (unix seconds) is none.
    pub async fn query(&self, expression: &str, at: Option<f64>) -> Result<Vec<Sample>, ClientError> {
        let _ = (expression, at);
        todo!()
    }

    /// Instant query of a range vector selector: the raw samples.
    pub async fn raw(&self, selector: &str, at: Option<f64>) -> Result<Vec<Series>, ClientError> {
        let _ = (selector, at);
        todo!()
    }

    /// Range query, instants in unix seconds.
    pub async fn query_range(
        &self,
        expression: &str,
        from: f64,
        to: f64,
        step: Duration,
    ) -> Result<Vec<Series>, ClientError> {
        let _ = (expression, from, to, step);
        todo!()
    }

    /// Label sets of the series that match, within the instants (unix seconds).
    pub async fn series(&self, selectors: &[&str], from: f64, to: f64) -> Result<Vec<Labels>, ClientError> {
        let _ = (selectors, from, to);
        todo!()
    }

    /// Active targets.
    pub async fn targets(&self) -> Result<Vec<ActiveTarget>, ClientError> {
        todo!()
    }

    /// Loaded rules of every group.
    pub async fn rules(&self) -> Result<Vec<LoadedRule>, ClientError> {
        todo!()
    }

    /// Active alerts.
    pub async fn alerts(&self) -> Result<Vec<ActiveAlert>, ClientError> {
        todo!()
    }

    /// URLs of the Alertmanagers it has found.
    pub async fn alertmanagers(&self) -> Result<Vec<String>, ClientError> {
        todo!()
    }

    /// Takes a snapshot (admin API); its folder name below `data/snapshots`.
    pub async fn snapshot(&self, skip_head: bool) -> Result<String, ClientError> {
        let _ = skip_head;
        todo!()
    }

    /// Reloads the configuration (`POST /-/reload`).
    pub async fn reload(&self) -> Result<(), ClientError> {
        todo!()
    }

    /// Its own metrics: family name with labels as printed, to value.
    pub async fn own_metrics(&self) -> Result<IndexMap<String, f64>, ClientError> {
        todo!()
    }
}
