//! The OpenTelemetry Collector: its configuration out of the tree's `OpenTelemetryCollector` object.
//!
//! What the OpenTelemetry operator does in a cluster (its v0.140 semantics): the object's `config` is the
//! file, as it stands.

use std::net::SocketAddr;

use serde_json::Value;

use super::changes::Changes;
use super::document::Document;
use super::pipelines::{self, one_file};
use super::{RenderError, Rendered, yaml};
use crate::deploy::kinds::named;
use crate::deploy::kinds::opentelemetry_collector::OpenTelemetryCollectorSpec;
use crate::deploy::{DeployError, DeployTree};

/// Name of the rendered file.
pub const FILE: &str = "collector.yaml";

/// What to render a Collector for.
#[derive(Debug, Clone)]
pub struct CollectorRequest<'a> {
    /// Name of the `OpenTelemetryCollector` object, for example `otel`.
    pub instance: &'a str,
    /// Where it takes OTLP over gRPC.
    pub otlp_grpc: SocketAddr,
    /// Where it takes OTLP over HTTP.
    pub otlp_http: SocketAddr,
    /// Where it answers for its health.
    pub health: SocketAddr,
    /// Where its own metrics are.
    pub telemetry: SocketAddr,
    /// Where its OTLP exporters send: Jaeger, or a sink of a case.
    pub exporter: SocketAddr,
    /// Percentages in place of the declared ones, by the sampler's ID (`probabilistic_sampler/ml`).
    pub sampling_percentages: &'a [(String, f64)],
}

/// Renders a Collector of the tree's object.
pub fn render(tree: &DeployTree, request: &CollectorRequest<'_>) -> Result<Rendered, RenderError> {
    let view = named::<OpenTelemetryCollectorSpec>(tree, request.instance, "to render a Collector")?;
    let mut changes = Changes::default();
    changes.cluster_only(&view);
    let mut document = pipelines::config(&view)?;
    pipelines::known(&document, "receivers", &["otlp"])?;
    pipelines::known(&document, "exporters", &["otlp", "debug"])?;
    pipelines::known(&document, "extensions", &["health_check"])?;
    for receiver in document.names(&["receivers"]) {
        for (protocol, address) in [("grpc", request.otlp_grpc), ("http", request.otlp_http)] {
            let path = ["receivers", &receiver, "protocols", protocol];
            pipelines::listen(&mut document, &path, address, &mut changes);
        }
    }
    pipelines::listen(
        &mut document,
        &["extensions", "health_check"],
        request.health,
        &mut changes,
    );
    pipelines::telemetry(&mut document, request.telemetry, &mut changes)?;
    for exporter in document.names(&["exporters"]) {
        if exporter.split('/').next() == Some("otlp") {
            redirect(&mut document, &exporter, request.exporter, &mut changes)?;
        }
    }
    for (sampler, percentage) in request.sampling_percentages {
        sample(&mut document, sampler, *percentage, &mut changes)?;
    }
    document.finished(&[])?;
    let arguments = pipelines::arguments(&view, FILE)?;
    let environment = pipelines::variables(&view, &mut changes);
    Ok(Rendered {
        files: one_file(FILE, yaml::write(FILE, &document.content)?),
        arguments,
        environment,
        changed_values: changes.0,
    })
}

fn redirect(
    document: &mut Document<'_>,
    exporter: &str,
    address: SocketAddr,
    changes: &mut Changes,
) -> Result<(), DeployError> {
    let endpoint = ["exporters", exporter, "endpoint"];
    document.text(&endpoint)?;
    document.set(
        &endpoint,
        address.to_string(),
        "not set",
        changes,
        "no Kubernetes Service answers a plain process; spans go to the server or sink named for it",
    );
    document.set(
        &["exporters", exporter, "tls", "insecure"],
        true,
        "false",
        changes,
        pipelines::PLAIN,
    );
    Ok(())
}

fn sample(
    document: &mut Document<'_>,
    sampler: &str,
    percentage: f64,
    changes: &mut Changes,
) -> Result<(), DeployError> {
    let path = ["processors", sampler, "sampling_percentage"];
    if document.get(&path).is_none() {
        return Err(document.wrong(
            &path,
            "there is no such sampler whose percentage could be replaced; name a `probabilistic_sampler` of the object",
        ));
    }
    document.set(
        &path,
        number(percentage),
        "0",
        changes,
        "a clone samples the share that its case asks for",
    );
    Ok(())
}

/// A whole number where it is one, as people write it.
fn number(value: f64) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and small")]
    if value.fract() == 0.0 && value.abs() < 1e15 {
        Value::from(value as i64)
    } else {
        Value::from(value)
    }
}

/// The declared share of a sampler in percent.
pub fn sampling_percentage(tree: &DeployTree, instance: &str, sampler: &str) -> Result<f64, RenderError> {
    let view = named::<OpenTelemetryCollectorSpec>(tree, instance, "to read its sampling")?;
    let document = pipelines::config(&view)?;
    let path = ["processors", sampler, "sampling_percentage"];
    Ok(document
        .get(&path)
        .and_then(Value::as_f64)
        .ok_or_else(|| document.wrong(&path, "missing or no number; a sampler has a percentage"))?)
}

#[cfg(test)]
mod tests;
