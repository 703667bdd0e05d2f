//! Jaeger v2: its configuration out of the tree's `OpenTelemetryCollector` object, the file of its sampling
//! strategies, and its index cleaner.
//!
//! Jaeger v2 is a distribution of the OpenTelemetry Collector and reads the same format. Semantics of the
//! operator: opentelemetry-operator v0.140; of the extensions: Jaeger v2.13.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use url::Url;

use super::changes::Changes;
use super::document::{Document, config_map_text};
use super::pipelines::{self, PLAIN, one_file};
use super::{RenderError, Rendered, yaml};
use crate::deploy::kinds::opentelemetry_collector::OpenTelemetryCollectorSpec;
use crate::deploy::kinds::pod::config_map_file;
use crate::deploy::kinds::{View, named};
use crate::deploy::{DeployError, DeployTree};
use crate::units::Span;

mod cleaner;

pub use cleaner::{
    IndexCleaner, IndexCleanerRequest, declared as index_cleaner, render as render_index_cleaner,
};

/// Name of the rendered file.
pub const FILE: &str = "jaeger.yaml";

/// Name of the rendered file of sampling strategies.
pub const STRATEGIES: &str = "sampling/strategies.json";

/// Where Jaeger stores traces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TraceStorage {
    /// The target's Elasticsearch.
    Elasticsearch(Url),
    /// Its own memory, for a case that needs no Elasticsearch.
    Memory {
        /// How many traces are kept at most.
        max_traces: u64,
    },
}

/// Where a Jaeger listens. What its object does not declare stays unused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JaegerAddresses {
    /// OTLP over gRPC.
    pub otlp_grpc: SocketAddr,
    /// OTLP over HTTP.
    pub otlp_http: SocketAddr,
    /// Interface and query API over HTTP.
    pub query_http: SocketAddr,
    /// Query API over gRPC.
    pub query_grpc: SocketAddr,
    /// Remote sampling over HTTP (`/api/sampling?service=`).
    pub sampling_http: SocketAddr,
    /// Remote sampling over gRPC.
    pub sampling_grpc: SocketAddr,
    /// Health (`/status`).
    pub health: SocketAddr,
    /// Its own metrics.
    pub telemetry: SocketAddr,
}

/// What to render a Jaeger for.
#[derive(Debug, Clone)]
pub struct JaegerRequest<'a> {
    /// Name of the `OpenTelemetryCollector` object: `jaeger` or `jaeger-adaptive`.
    pub instance: &'a str,
    /// Where it listens.
    pub listen: JaegerAddresses,
    /// Where it stores.
    pub storage: &'a TraceStorage,
    /// How often it reads the file of sampling strategies, in place of the tree's interval.
    pub strategies_reload: Option<Span>,
    /// Divides the timers of adaptive sampling; 1 leaves them as declared.
    pub divide_durations_by: u32,
}

/// Renders a Jaeger of the tree's object.
pub fn render(tree: &DeployTree, request: &JaegerRequest<'_>) -> Result<Rendered, RenderError> {
    let view = named::<OpenTelemetryCollectorSpec>(tree, request.instance, "to render a Jaeger")?;
    let mut changes = Changes::default();
    changes.cluster_only(&view);
    let mut document = pipelines::config(&view)?;
    pipelines::known(&document, "receivers", &["otlp"])?;
    pipelines::known(&document, "exporters", &["jaeger_storage_exporter"])?;
    pipelines::known(
        &document,
        "extensions",
        &[
            "healthcheckv2",
            "jaeger_storage",
            "jaeger_query",
            "remote_sampling",
        ],
    )?;
    listen(&mut document, &request.listen, &mut changes)?;
    store(&mut document, request.storage, &mut changes)?;
    let mut files = one_file(FILE, String::new());
    if let Some(text) = strategies(tree, &view, &mut document, request, &mut changes)? {
        files.insert(STRATEGIES.to_owned(), text);
    }
    divide(&mut document, request.divide_durations_by, &mut changes)?;
    document.finished(&[])?;
    files.insert(FILE.to_owned(), yaml::write(FILE, &document.content)?);
    let arguments = pipelines::arguments(&view, FILE)?;
    let environment = pipelines::variables(&view, &mut changes);
    Ok(Rendered {
        files,
        arguments,
        environment,
        changed_values: changes.0,
    })
}

fn listen(
    document: &mut Document<'_>,
    at: &JaegerAddresses,
    changes: &mut Changes,
) -> Result<(), DeployError> {
    for receiver in document.names(&["receivers"]) {
        for (protocol, address) in [("grpc", at.otlp_grpc), ("http", at.otlp_http)] {
            let path = ["receivers", &receiver, "protocols", protocol];
            pipelines::listen(document, &path, address, changes);
        }
    }
    pipelines::listen_of(document, "jaeger_query", "http", at.query_http, changes)?;
    pipelines::listen_of(document, "jaeger_query", "grpc", at.query_grpc, changes)?;
    pipelines::listen_of(document, "remote_sampling", "http", at.sampling_http, changes)?;
    pipelines::listen_of(document, "remote_sampling", "grpc", at.sampling_grpc, changes)?;
    pipelines::listen_of(document, "healthcheckv2", "http", at.health, changes)?;
    pipelines::telemetry(document, at.telemetry, changes)
}

const BACKENDS: [&str; 3] = ["extensions", "jaeger_storage", "backends"];

/// Points every Elasticsearch backend at the target's, or replaces it by memory.
fn store(
    document: &mut Document<'_>,
    storage: &TraceStorage,
    changes: &mut Changes,
) -> Result<(), DeployError> {
    let [a, b, c] = BACKENDS;
    for backend in document.names(&BACKENDS) {
        for kind in document.names(&[a, b, c, &backend]) {
            match (kind.as_str(), storage) {
                ("memory", _) => {}
                ("elasticsearch", TraceStorage::Elasticsearch(url)) => {
                    let address = url.as_str().trim_end_matches('/').to_owned();
                    document.set(
                        &[a, b, c, &backend, &kind, "server_urls"],
                        json!([address]),
                        "not set",
                        changes,
                        "no Kubernetes Service answers a plain process; traces go to the target's Elasticsearch",
                    );
                    for credential in ["auth", "tls"] {
                        document.remove(&[a, b, c, &backend, &kind, credential], "not set", changes, PLAIN);
                    }
                }
                ("elasticsearch", TraceStorage::Memory { max_traces }) => document.set(
                    &[a, b, c, &backend],
                    json!({"memory": {"max_traces": max_traces}}),
                    "not set",
                    changes,
                    "a clone keeps traces in memory because its case asks for no Elasticsearch",
                ),
                _ => {
                    return Err(document.wrong(
                        &[a, b, c, &backend, &kind],
                        format!(
                            "rendering does not know the storage `{kind}`; use `elasticsearch` or `memory`, or add it to the rendering"
                        ),
                    ));
                }
            }
        }
    }
    Ok(())
}

const STRATEGIES_PATH: [&str; 4] = ["extensions", "remote_sampling", "file", "path"];

/// The text of the strategies' file, which the object mounts from a `ConfigMap`; none when it declares none.
fn strategies(
    tree: &DeployTree,
    view: &View<'_, OpenTelemetryCollectorSpec>,
    document: &mut Document<'_>,
    request: &JaegerRequest<'_>,
    changes: &mut Changes,
) -> Result<Option<String>, DeployError> {
    if document.get(&["extensions", "remote_sampling", "file"]).is_none() {
        return Ok(None);
    }
    let declared = document.text(&STRATEGIES_PATH)?;
    let (name, key) =
        config_map_file(&view.spec.volume_mounts, &view.spec.volumes, declared).ok_or_else(|| {
            document.wrong(
                &STRATEGIES_PATH,
                format!("no ConfigMap is mounted at `{declared}`; mount the one of the strategies there (`volumes`, `volumeMounts`)"),
            )
        })?;
    let (object, place, text) = config_map_text(tree, name, &key)?;
    if let Err(error) = serde_json::from_str::<Value>(text) {
        return Err(object.wrong(
            place,
            format!("Jaeger reads JSON here: {error} (lines count from its own start)"),
        ));
    }
    let text = text.to_owned();
    document.set(
        &STRATEGIES_PATH,
        STRATEGIES,
        "not set",
        changes,
        "the file lies in the process's own folder",
    );
    if let Some(interval) = request.strategies_reload {
        document.set(
            &["extensions", "remote_sampling", "file", "reload_interval"],
            interval.to_string(),
            "0s",
            changes,
            "a changed file is to be seen soon",
        );
    }
    Ok(Some(text))
}

const ADAPTIVE: [&str; 3] = ["extensions", "remote_sampling", "adaptive"];

/// Timers of adaptive sampling and what holds where one is not declared (Jaeger v2.13,
/// internal/sampling/samplingstrategy/adaptive/options.go).
const TIMERS: [(&str, Span); 4] = [
    ("calculation_interval", Span(Duration::from_mins(1))),
    ("calculation_delay", Span(Duration::from_mins(2))),
    ("leader_lease_refresh_interval", Span(Duration::from_secs(5))),
    ("follower_lease_refresh_interval", Span(Duration::from_mins(1))),
];

fn divide(document: &mut Document<'_>, by: u32, changes: &mut Changes) -> Result<(), DeployError> {
    if by <= 1 || document.get(&ADAPTIVE).is_none() {
        return Ok(());
    }
    let [a, b, c] = ADAPTIVE;
    for (timer, default) in TIMERS {
        let path = [a, b, c, timer];
        let declared = match document.get(&path) {
            None => default,
            Some(value) => value
                .as_str()
                .and_then(|text| text.parse::<Span>().ok())
                .ok_or_else(|| {
                    document.wrong(
                        &path,
                        "not a duration; write it in h, m, s and ms, for example 1m",
                    )
                })?,
        };
        let divided = Span(Duration::from_millis(
            u64::try_from(declared.0.as_millis() / u128::from(by))
                .unwrap_or(u64::MAX)
                .max(1),
        ));
        document.set(
            &path,
            divided.to_string(),
            &default.to_string(),
            changes,
            "time is divided by a whole number so that adaptive sampling can be watched",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests;
