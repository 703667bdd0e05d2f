//! The OpenTelemetry Collector: its health and its own counters.

use std::net::SocketAddr;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use url::Url;

use super::http::Server;
use super::{ClientError, own_metrics};

/// Where one Collector listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CollectorEndpoints {
    /// Health check.
    pub health: Url,
    /// Its own metrics (`/metrics`).
    pub metrics: Url,
    /// Where it takes OTLP over gRPC.
    pub otlp_grpc: SocketAddr,
    /// Where it takes OTLP over HTTP.
    pub otlp_http: SocketAddr,
}

/// A client of one Collector.
#[derive(Debug, Clone)]
pub struct Collector {
    endpoints: CollectorEndpoints,
    health: Server,
    metrics: Server,
}

/// A signal the counters are kept for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Spans.
    Spans,
    /// Log records.
    LogRecords,
    /// Metric points.
    MetricPoints,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Spans => "spans",
            Self::LogRecords => "log_records",
            Self::MetricPoints => "metric_points",
        }
    }
}

/// The Collector's own account of one signal, summed over its receivers and exporters. A counter that it
/// has not shown yet is zero.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Counters {
    /// Taken by receivers.
    pub accepted: f64,
    /// Refused by receivers, as when a later part pushes back.
    pub refused: f64,
    /// Failed in receivers by a later part's own fault.
    pub failed: f64,
    /// Sent by exporters.
    pub sent: f64,
    /// Given up by exporters.
    pub send_failed: f64,
    /// Not taken by an exporter's queue because it was full.
    pub enqueue_failed: f64,
}

/// What a Collector's probabilistic sampler counted.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct SamplerCounters {
    /// Kept.
    pub sampled: f64,
    /// Dropped.
    pub dropped: f64,
}

/// What waits in the exporters' queues.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Queue {
    /// Batches (or items, as the queue is sized) that wait.
    pub size: f64,
    /// As many as the queues hold.
    pub capacity: f64,
}

/// Families of the probabilistic sampler's counter: v0.149 and before, and from v0.161 on.
const SAMPLER: [&str; 2] = [
    "otelcol_processor_probabilistic_sampler_count_traces_sampled",
    "otelcol_processor_probabilistic_sampler_count_spans_processed",
];

impl Collector {
    /// A client of the Collector that listens there.
    pub fn new(endpoints: CollectorEndpoints) -> Result<Self, ClientError> {
        Ok(Self {
            health: Server::new("collector", endpoints.health.clone())?,
            metrics: Server::new("collector", endpoints.metrics.clone())?,
            endpoints,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn endpoints(&self) -> &CollectorEndpoints {
        &self.endpoints
    }

    /// Whether its health check says that its pipelines run and its own metrics are there.
    pub async fn ready(&self) -> Result<(), ClientError> {
        self.health.get(self.endpoints.health.path()).await?;
        self.metrics.get("/metrics").await.map(drop)
    }

    /// Its own metrics: series as printed, to value.
    pub async fn own_metrics(&self) -> Result<IndexMap<String, f64>, ClientError> {
        Ok(own_metrics::parse(&self.metrics.get("/metrics").await?.body))
    }

    /// Its account of a signal.
    pub async fn counters(&self, signal: Signal) -> Result<Counters, ClientError> {
        Ok(counters(&self.own_metrics().await?, signal))
    }

    /// What its probabilistic samplers counted.
    pub async fn sampler(&self) -> Result<SamplerCounters, ClientError> {
        Ok(sampler(&self.own_metrics().await?))
    }

    /// What waits in its exporters' queues.
    pub async fn queue(&self) -> Result<Queue, ClientError> {
        let metrics = self.own_metrics().await?;
        let family = |name| own_metrics::sum(&metrics, name, &[]).unwrap_or_default();
        Ok(Queue {
            size: family("otelcol_exporter_queue_size"),
            capacity: family("otelcol_exporter_queue_capacity"),
        })
    }
}

/// The sum over a family's series with these labels, found with and without `_total`, none where there
/// is no such series: for what the typed counters leave out.
#[must_use]
pub fn family(metrics: &IndexMap<String, f64>, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    own_metrics::sum(metrics, name, labels)
}

fn counters(metrics: &IndexMap<String, f64>, signal: Signal) -> Counters {
    let of = |what: &str| {
        let family = format!("otelcol_{what}_{}", signal.name());
        own_metrics::sum(metrics, &family, &[]).unwrap_or_default()
    };
    Counters {
        accepted: of("receiver_accepted"),
        refused: of("receiver_refused"),
        failed: of("receiver_failed"),
        sent: of("exporter_sent"),
        send_failed: of("exporter_send_failed"),
        enqueue_failed: of("exporter_enqueue_failed"),
    }
}

fn sampler(metrics: &IndexMap<String, f64>) -> SamplerCounters {
    let of = |sampled: &str| {
        SAMPLER
            .iter()
            .find_map(|family| own_metrics::sum(metrics, family, &[("sampled", sampled)]))
            .unwrap_or_default()
    };
    SamplerCounters {
        sampled: of("true"),
        dropped: of("false"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_summed_over_receivers_and_samplers() {
        let metrics = own_metrics::parse(concat!(
            "otelcol_receiver_accepted_spans{receiver=\"otlp\",transport=\"grpc\"} 16384\n",
            "otelcol_receiver_accepted_log_records{receiver=\"otlp\",transport=\"grpc\"} 5\n",
            "otelcol_exporter_sent_spans_total{exporter=\"otlp\"} 163\n",
            "otelcol_processor_probabilistic_sampler_count_traces_sampled{policy=\"trace_id_hash\",sampled=\"true\"} 163\n",
            "otelcol_processor_probabilistic_sampler_count_traces_sampled{policy=\"trace_id_hash\",sampled=\"false\"} 16221\n",
        ));
        let spans = counters(&metrics, Signal::Spans);
        assert_eq!(
            (spans.accepted, spans.sent, spans.refused),
            (16_384.0, 163.0, 0.0)
        );
        let expected = Counters {
            accepted: 5.0,
            ..Counters::default()
        };
        assert_eq!(counters(&metrics, Signal::LogRecords), expected);
        assert_eq!(
            sampler(&metrics),
            SamplerCounters {
                sampled: 163.0,
                dropped: 16_221.0
            }
        );
    }
}
