//! Jaeger's HTTP APIs (v2): querying, remote sampling, health and its own metrics.

use std::net::SocketAddr;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::http::{Answer, Server};
use super::trace::Span;
use super::{ClientError, own_metrics};

mod wire;

/// Where one Jaeger listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JaegerEndpoints {
    /// Query (`/api/...`); none where its object declares no query and another Jaeger on the same store answers.
    pub query: Option<Url>,
    /// Remote sampling over HTTP (`/api/sampling`).
    pub sampling: Url,
    /// Health check (`/status`).
    pub health: Url,
    /// Its own metrics (`/metrics`).
    pub metrics: Url,
    /// Where it takes OTLP over gRPC.
    pub otlp_grpc: SocketAddr,
    /// Where it takes OTLP over HTTP.
    pub otlp_http: SocketAddr,
}

/// A client of one Jaeger.
#[derive(Debug, Clone)]
pub struct Jaeger {
    endpoints: JaegerEndpoints,
    query: Option<Server>,
    sampling: Server,
    health: Server,
    metrics: Server,
}

/// What to look for (`/api/traces`).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TraceQuery {
    /// Service; the API asks for one.
    pub service: String,
    /// Operation.
    pub operation: Option<String>,
    /// Attributes (tags) that a span of the trace has.
    pub tags: IndexMap<String, String>,
    /// Earliest start, unix microseconds.
    pub start_micros: u64,
    /// Latest start, unix microseconds.
    pub end_micros: u64,
    /// Shortest duration as Jaeger takes it, for example `100ms`.
    pub at_least: Option<String>,
    /// Longest duration.
    pub at_most: Option<String>,
    /// Most traces that come back.
    pub limit: usize,
}

/// A trace with its spans, as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// Its id.
    pub trace_id: u128,
    /// Its spans.
    pub spans: Vec<Span>,
}

/// What remote sampling answers for a service.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// `PROBABILISTIC` or `RATE_LIMITING`; left out by the server for the first.
    pub kind: String,
    /// Probability, where the strategy is probabilistic. Per operation, the default of the operations.
    pub probability: Option<f64>,
    /// Traces a second, where it is rate limiting.
    pub traces_per_second: Option<f64>,
    /// Probability by operation, where the strategy has operations (adaptive, or listed in the file).
    pub operations: IndexMap<String, f64>,
    /// The whole answer.
    pub raw: Value,
}

impl Jaeger {
    /// A client of the Jaeger that listens there.
    pub fn new(endpoints: JaegerEndpoints) -> Result<Self, ClientError> {
        Ok(Self {
            query: endpoints
                .query
                .clone()
                .map(|base| Server::new("jaeger", base))
                .transpose()?,
            sampling: Server::new("jaeger", endpoints.sampling.clone())?,
            health: Server::new("jaeger", endpoints.health.clone())?,
            metrics: Server::new("jaeger", endpoints.metrics.clone())?,
            endpoints,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn endpoints(&self) -> &JaegerEndpoints {
        &self.endpoints
    }

    /// Whether its health check says that all its parts run.
    pub async fn ready(&self) -> Result<(), ClientError> {
        self.health.get("/status").await.map(drop)
    }

    /// Its health check, raw.
    pub async fn status(&self) -> Result<Value, ClientError> {
        self.health.get("/status").await?.json()
    }

    /// Services that have spans.
    pub async fn services(&self) -> Result<Vec<String>, ClientError> {
        self.get("/api/services", &[])
            .await
            .map(Option::unwrap_or_default)
    }

    /// Operations of a service.
    pub async fn operations(&self, service: &str) -> Result<Vec<String>, ClientError> {
        let found: Vec<wire::Operation> = self
            .get("/api/operations", &[("service", service.to_owned())])
            .await
            .map(Option::unwrap_or_default)?;
        Ok(found.into_iter().map(|operation| operation.name).collect())
    }

    /// A trace by its id, none where none is stored.
    pub async fn trace(&self, id: u128) -> Result<Option<Trace>, ClientError> {
        match self.traces(&format!("/api/traces/{id:032x}"), &[]).await {
            Ok(traces) => Ok(traces.into_iter().next()),
            Err(ClientError::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The traces that match.
    pub async fn search(&self, query: &TraceQuery) -> Result<Vec<Trace>, ClientError> {
        self.traces("/api/traces", &wire::query(query)).await
    }

    /// The answer to a search as it was sent, unread: for measuring the server and not the reading.
    pub async fn search_text(&self, query: &TraceQuery) -> Result<String, ClientError> {
        let answer = self.ask("/api/traces", &wire::query(query)).await?;
        Ok(answer.body)
    }

    /// The answer for a trace as it was sent, unread; where none is stored, Jaeger refuses.
    pub async fn trace_text(&self, id: u128) -> Result<String, ClientError> {
        let answer = self.ask(&format!("/api/traces/{id:032x}"), &[]).await?;
        Ok(answer.body)
    }

    /// What remote sampling says for a service.
    pub async fn sampling(&self, service: &str) -> Result<Sampling, ClientError> {
        let answer = self
            .sampling
            .ask(reqwest::Method::GET, "/api/sampling", |request| {
                request.query(&[("service", service)])
            })
            .await?;
        wire::sampling(answer.json()?).map_err(|why| answer.unreadable(why))
    }

    /// Its own metrics: series as printed, to value.
    pub async fn own_metrics(&self) -> Result<IndexMap<String, f64>, ClientError> {
        Ok(own_metrics::parse(&self.metrics.get("/metrics").await?.body))
    }

    async fn ask(&self, path: &str, parameters: &[(&str, String)]) -> Result<Answer, ClientError> {
        let query = self.query.as_ref().ok_or_else(|| ClientError::Unreachable {
            server: "jaeger",
            url: path.to_owned(),
            why: "it declares no query; ask another Jaeger on the same store".to_owned(),
        })?;
        query
            .ask(reqwest::Method::GET, path, |request| request.query(parameters))
            .await
    }

    async fn get<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        parameters: &[(&str, String)],
    ) -> Result<Option<T>, ClientError> {
        let answer = self.ask(path, parameters).await?;
        let envelope: wire::Envelope<T> = answer.json()?;
        match envelope.errors.as_deref() {
            Some([first, ..]) => Err(answer.unreadable(first.msg.clone())),
            _ => Ok(envelope.data),
        }
    }

    async fn traces(&self, path: &str, parameters: &[(&str, String)]) -> Result<Vec<Trace>, ClientError> {
        let found: Vec<wire::Trace> = self.get(path, parameters).await?.unwrap_or_default();
        found
            .into_iter()
            .map(wire::Trace::read)
            .collect::<Result<_, _>>()
            .map_err(|why| ClientError::Unreadable {
                server: "jaeger",
                url: path.to_owned(),
                why,
            })
    }
}
