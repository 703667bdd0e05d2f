//! Alertmanager's HTTP API (v2).

use indexmap::IndexMap;
use reqwest::Method;
use serde_json::{Map, Value, json};
use url::Url;

use super::http::{Answer, Server};
use super::{ClientError, instant, own_metrics};

/// A client of one Alertmanager.
#[derive(Debug, Clone)]
pub struct Alertmanager {
    server: Server,
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
        Ok(Self {
            server: Server::new("alertmanager", base)?,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn base(&self) -> &Url {
        self.server.base()
    }

    /// Whether `/-/ready` says so.
    pub async fn ready(&self) -> Result<(), ClientError> {
        self.server.get("/-/ready").await.map(drop)
    }

    /// `/api/v2/status`, raw: version, configuration, cluster.
    pub async fn status(&self) -> Result<Value, ClientError> {
        self.server.get("/api/v2/status").await?.json()
    }

    /// Version the server reports.
    pub async fn version(&self) -> Result<String, ClientError> {
        self.status_text("/versionInfo/version").await
    }

    /// Loaded configuration as YAML, defaults filled in and secrets hidden (`url: <secret>`).
    pub async fn config(&self) -> Result<String, ClientError> {
        self.status_text("/config/original").await
    }

    /// Alerts, raw, in every state (active, silenced, inhibited).
    pub async fn alerts(&self) -> Result<Vec<Value>, ClientError> {
        self.server.get("/api/v2/alerts").await?.json()
    }

    /// Pushes alerts.
    pub async fn post_alerts(&self, alerts: &[PostAlert]) -> Result<(), ClientError> {
        let body = alerts
            .iter()
            .map(wire)
            .collect::<Result<Vec<Value>, String>>()
            .map_err(|why| self.unreadable("/api/v2/alerts", why))?;
        self.server
            .ask(Method::POST, "/api/v2/alerts", |request| request.json(&body))
            .await
            .map(drop)
    }

    /// Creates a silence of the alerts whose labels equal these, until `ends_at` (unix seconds); its id.
    pub async fn silence(
        &self,
        labels: &[(&str, &str)],
        ends_at: f64,
        comment: &str,
    ) -> Result<String, ClientError> {
        let instant =
            |seconds| instant::rfc3339(seconds).map_err(|why| self.unreadable("/api/v2/silences", why));
        let matchers: Vec<Value> = labels
            .iter()
            .map(|(name, value)| json!({ "name": name, "value": value, "isRegex": false, "isEqual": true }))
            .collect();
        let body = json!({
            "matchers": matchers,
            "startsAt": jiff::Timestamp::now().to_string(),
            "endsAt": instant(ends_at)?,
            "createdBy": "conform",
            "comment": comment,
        });
        let answer = self
            .server
            .ask(Method::POST, "/api/v2/silences", |request| request.json(&body))
            .await?;
        silence_id(&answer)
    }

    /// Ends a silence.
    pub async fn expire_silence(&self, id: &str) -> Result<(), ClientError> {
        self.server
            .ask(Method::DELETE, &format!("/api/v2/silence/{id}"), |request| {
                request
            })
            .await
            .map(drop)
    }

    /// Its own metrics: family name with labels as printed, to value.
    pub async fn own_metrics(&self) -> Result<IndexMap<String, f64>, ClientError> {
        Ok(own_metrics::parse(&self.server.get("/metrics").await?.body))
    }

    async fn status_text(&self, pointer: &str) -> Result<String, ClientError> {
        let answer = self.server.get("/api/v2/status").await?;
        let status: Value = answer.json()?;
        status
            .pointer(pointer)
            .and_then(Value::as_str)
            .map(str::to_owned)
            .ok_or_else(|| answer.unreadable(format!("the status has no text at `{pointer}`")))
    }

    fn unreadable(&self, path: &str, why: String) -> ClientError {
        ClientError::Unreadable {
            server: "alertmanager",
            url: format!("{}{path}", self.base().as_str().trim_end_matches('/')),
            why,
        }
    }
}

fn silence_id(answer: &Answer) -> Result<String, ClientError> {
    let body: Value = answer.json()?;
    body.get("silenceID")
        .and_then(Value::as_str)
        .map(str::to_owned)
        .ok_or_else(|| answer.unreadable("the answer names no `silenceID`"))
}

/// An alert as the API takes it (`postableAlert` of Alertmanager 0.31's `OpenAPI` definition).
fn wire(alert: &PostAlert) -> Result<Value, String> {
    let mut object = Map::new();
    object.insert("labels".to_owned(), json!(alert.labels));
    object.insert("annotations".to_owned(), json!(alert.annotations));
    for (name, at) in [("startsAt", alert.starts_at), ("endsAt", alert.ends_at)] {
        if let Some(at) = at {
            object.insert(name.to_owned(), instant::rfc3339(at)?.into());
        }
    }
    Ok(Value::Object(object))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_is_written_as_the_api_takes_it() {
        let alert = PostAlert {
            labels: [("alertname".to_owned(), "Down".to_owned())]
                .into_iter()
                .collect(),
            annotations: IndexMap::new(),
            starts_at: Some(1_767_225_600.5),
            ends_at: None,
        };
        assert_eq!(
            wire(&alert).unwrap(),
            json!({ "labels": { "alertname": "Down" }, "annotations": {}, "startsAt": "2026-01-01T00:00:00.5Z" })
        );
    }

    #[test]
    fn an_instant_out_of_range_is_refused() {
        let alert = PostAlert {
            labels: IndexMap::new(),
            annotations: IndexMap::new(),
            starts_at: None,
            ends_at: Some(1e30),
        };
        assert!(wire(&alert).unwrap_err().contains("not an instant"));
    }
}
