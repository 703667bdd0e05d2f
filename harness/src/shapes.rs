//! What the services look like from outside: fixtures/shapes.yaml.
//!
//! The monitoring stack watches services that are not part of it (API
//! gateway, content service, ML service, ...) and exporters that a target may
//! not run. Their Kubernetes Services (labels and named ports, which the
//! `ServiceMonitor`s of the deploy tree select) and the metrics they expose are
//! described here once; emission plays them, rendering resolves selectors
//! against them. Values describe a healthy day.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_saphyr::Spanned;

use crate::files::{self, Misread};
use crate::units::Ratio;

/// All emitted shapes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Shapes {
    /// The services that are played.
    pub services: Vec<Service>,
}

/// One Kubernetes Service that the harness plays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Service name.
    pub name: String,
    /// Namespace.
    pub namespace: String,
    /// Labels of the Service object, which selectors match.
    pub labels: IndexMap<String, String>,
    /// Named ports.
    pub ports: IndexMap<String, u16>,
    /// How many instances (endpoints) it has.
    #[serde(default = "one")]
    pub instances: u32,
    /// What each instance exposes.
    pub metrics: Vec<Metric>,
    /// What it does in traces; nothing where it is not instrumented.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub traces: Vec<Operation>,
}

fn one() -> u32 {
    1
}

impl Service {
    /// `namespace/name`, the key under which targets refer to it.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// One operation of a service, as its spans show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Operation {
    /// Name of its spans.
    pub operation: String,
    /// What begins it.
    #[serde(default)]
    pub kind: OperationKind,
    /// How often traces start with it, in relation to the other operations that start some; 0 for none.
    #[serde(default)]
    pub starts: u32,
    /// Median of the time it spends by itself, without what it calls, in seconds (log-normal).
    pub median: f64,
    /// Standard deviation of the logarithm of that time.
    pub spread: f64,
    /// Share of its runs that fail by themselves; a failed call fails its caller too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errors: Option<Ratio>,
    /// Share of its runs that take the slow path, 20 times as long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow: Option<Ratio>,
    /// Attributes of its spans.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub attributes: IndexMap<String, String>,
    /// What it calls, one after the other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Call>,
}

/// What begins an operation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OperationKind {
    /// A request.
    #[default]
    Server,
    /// A message; its span links to the trace that the message may come from.
    Consumer,
    /// The service itself, for example on a schedule.
    Internal,
}

/// A call of an operation: of another service that is played, or of something that has no spans of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// Name of the called service, for a service that is played.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Its operation; without a service, the name of the caller's span.
    pub operation: String,
    /// Share of the caller's runs that make the call; all where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<Ratio>,
    /// Without a service: median of the call's time, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub median: Option<f64>,
    /// Attributes of the caller's span.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub attributes: IndexMap<String, String>,
}

/// One metric family.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Metric {
    /// Family name, for counters with its `_total`.
    pub name: String,
    /// Help text.
    pub help: String,
    /// Type of the family.
    pub kind: Kind,
    /// Whether the real server makes a series with its first count only, so that it has none of what has not happened
    /// yet. Players have them all from the start.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub from_first_count: bool,
    /// Upper bounds of a classic histogram's buckets, without `+Inf`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buckets: Vec<f64>,
    /// The series of one instance.
    pub series: Vec<Series>,
}

/// Type of a metric family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Classic histogram.
    Histogram,
    /// Native histogram, exposed over protobuf; in the text format it is a classic one with `buckets`.
    NativeHistogram,
}

/// One series of a family on a healthy day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Series {
    /// Its labels.
    #[serde(default)]
    pub labels: IndexMap<String, String>,
    /// Counters: increase per second. Histograms: observations per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Gauges: the level.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<f64>,
    /// Gauges that hold a unix timestamp: how many seconds ago it is, always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age: Option<f64>,
    /// Histograms: median of the observed values (log-normal), in the metric's unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub median: Option<f64>,
    /// Histograms: the standard deviation of the logarithm of the observed values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<f64>,
}

/// Why shapes could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ShapesError {
    /// The file cannot be read.
    #[error("{path}: {source}; shapes.yaml is one of the fixtures, give their folder with --root", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file does not parse.
    #[error("{path}:{line}:{column}: {why}", path = .path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Column, from 1.
        column: u64,
        /// What is wrong and what to write instead.
        why: String,
    },
    /// A value does not fit its kind.
    #[error("{path}:{line}:{column}: {place}: {why}", path = .path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// Line the metric starts on, from 1.
        line: u64,
        /// Column, from 1.
        column: u64,
        /// `service/metric`.
        place: String,
        /// What is wrong and what to write instead.
        why: String,
    },
}

impl Shapes {
    /// Reads and checks a shapes file.
    pub fn load(path: &Path) -> Result<Self, ShapesError> {
        let text = std::fs::read_to_string(path).map_err(|source| ShapesError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(path, &text)
    }

    /// Parses and checks the text of a shapes file.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ShapesError> {
        let shapes: Self = files::yaml(text).map_err(|Misread { line, column, why }| ShapesError::Parse {
            path: path.to_owned(),
            line,
            column,
            why,
        })?;
        for (service_at, service) in shapes.services.iter().enumerate() {
            for (metric_at, metric) in service.metrics.iter().enumerate() {
                metric.check().map_err(|why| {
                    let (line, column) = place(text, service_at, metric_at);
                    ShapesError::Value {
                        path: path.to_owned(),
                        line,
                        column,
                        place: format!("{}/{}", service.key(), metric.name),
                        why,
                    }
                })?;
            }
        }
        Ok(shapes)
    }

    /// The service with this `namespace/name`.
    #[must_use]
    pub fn service(&self, key: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.key() == key)
    }
}

/// Line and column of a metric in the text, read once more because only a mistake needs them.
fn place(text: &str, service: usize, metric: usize) -> (u64, u64) {
    #[derive(Deserialize)]
    struct Places {
        services: Vec<Metrics>,
    }
    #[derive(Deserialize)]
    struct Metrics {
        metrics: Vec<Spanned<IgnoredAny>>,
    }
    serde_saphyr::from_str::<Places>(text)
        .ok()
        .and_then(|places| {
            let at = places.services.get(service)?.metrics.get(metric)?.referenced;
            Some((at.line(), at.column()))
        })
        .unwrap_or((1, 1))
}

impl Metric {
    fn check(&self) -> Result<(), String> {
        let histogram = matches!(self.kind, Kind::Histogram | Kind::NativeHistogram);
        if histogram == self.buckets.is_empty() {
            return Err("`buckets` are for histograms, which need them".into());
        }
        if !self.buckets.is_sorted_by(|a, b| a < b) {
            return Err("`buckets` must grow from left to right".into());
        }
        if self.series.is_empty() {
            return Err("a metric without `series` exposes nothing; leave it out or add one".into());
        }
        let mut seen = Vec::new();
        for series in &self.series {
            if seen.contains(&&series.labels) {
                let labels: Vec<String> = series.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
                return Err(format!(
                    "two series have the labels {{{}}}; give one of them others, or leave it out",
                    labels.join(", ")
                ));
            }
            seen.push(&series.labels);
            let fits = match self.kind {
                Kind::Counter => series.rate.is_some() && series.level.is_none() && series.age.is_none(),
                Kind::Gauge => series.rate.is_none() && (series.level.is_some() != series.age.is_some()),
                Kind::Histogram | Kind::NativeHistogram => {
                    series.rate.is_some() && series.median.is_some() && series.spread.is_some()
                }
            };
            if !fits {
                return Err(match self.kind {
                    Kind::Counter => "a counter's series needs `rate` and nothing else".into(),
                    Kind::Gauge => "a gauge's series needs either `level` or `age`".into(),
                    Kind::Histogram | Kind::NativeHistogram => {
                        "a histogram's series needs `rate`, `median` and `spread`".into()
                    }
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const METRIC: &str = "services:
- name: a
  namespace: n
  labels: {}
  ports: {}
  metrics:
  - {name: ok, help: h, kind: gauge, series: [{level: 1}]}
";

    #[rstest]
    #[case::unknown_field("  - {nam: x}", "s.yaml:8:6: unknown field `nam`")]
    #[case::kind(
        "  - {name: x, help: h, kind: gouge, series: []}",
        "s.yaml:8:30: unknown variant `gouge`"
    )]
    #[case::no_rate(
        "  - {name: x_total, help: h, kind: counter, series: [{level: 1}]}",
        "s.yaml:8:5: n/a/x_total: a counter's series needs `rate`"
    )]
    #[case::twice(
        "  - {name: x, help: h, kind: gauge, series: [{labels: {a: b, c: d}, level: 1}, {labels: {c: d, a: b}, level: 2}]}",
        "s.yaml:8:5: n/a/x: two series have the labels {c=d, a=b}"
    )]
    fn a_mistake_is_named_with_its_place(#[case] line: &str, #[case] expected: &str) {
        let text = format!("{METRIC}{line}\n");
        let error = Shapes::parse(Path::new("s.yaml"), &text).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}
