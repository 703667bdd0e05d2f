//! Alertmanager's HTTP API (v2).

use indexmap::IndexMap;
use serde_json::Value;
use url::Url;

use super::ClientError;

/// A client of one Alertmanager.
#[derive(Debug, Clone)]
pub struct Alertmanager {
    base: Url,
    http: reqwest::Client,
}

/// An alert to push, as `POST /api/v2/alerts` takes it.
#[derive(Debug, Clone, PartialEq)]
pub struct PostAlert {
    /// Labels.
    pub labels: IndexMap<String, String>,
    /// Annotations.
    pub annotations: IndexMap<String, String>,
    /// Start, unix seconds.
    pub starts_at: Option<f64>,
    /// End, unix seconds; in the past it is a resolved alert.
    pub ends_at: Option<f64>,
}

impl Alertmanager {
    /// A client of the server at `base`.
    pub fn new(base: Url) -> Result<Self, ClientError> {
        let _ = base;
        todo!()
    }

    /// Where it is.
    #[must_use]
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// Whether `/-/ready` says so.
    pub async fn ready(&self) -> Result<(), ClientError> {
        todo!()
    }

    /// `/api/v2/status`, raw: version, configuration, cluster.
    pub async fn status(&self) -> Result<Value, ClientError> {
        todo!()
    }

    /// Version the server reports.
    pub async fn version(&self) -> Result<String, ClientError> {
        todo!()
    }

    /// Loaded configuration as YAML.
    pub async fn config(&self) -> Result<String, ClientError> {
        todo!()
    }

    /// Alerts, raw, in every state (active, silenced, inhibited).
    pub async fn alerts(&self) -> Result<Vec<Value>, ClientError> {
        todo!()
    }

    /// Pushes alerts.
    pub async fn post_alerts(&self, alerts: &[PostAlert]) -> Result<(), ClientError> {
        let _ = alerts;
        todo!()
    }

    /// Creates a silence of the alerts whose labels equal these, until `ends_at` (unix seconds); its id.
    pub async fn silence(
        &self,
        labels: &[(&str, &str)],
        ends_at: f64,
        comment: &str,
    ) -> Result<String, ClientError> {
        let _ = (labels, ends_at, comment);
        todo!()
    }

    /// Ends a silence.
    pub async fn expire_silence(&self, id: &str) -> Result<(), ClientError> {
        let _ = id;
        todo!()
    }

    /// Its own metrics: family name with labels as printed, to value.
    pub async fn own_metrics(&self) -> Result<IndexMap<String, f64>, ClientError> {
        todo!()
    }
}
