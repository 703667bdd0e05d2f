//! What Jaeger's answers look like (`internal/uimodel` of v2.13), and their reading into neutral spans.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::Value;

use super::{Sampling, TraceQuery};
use crate::component::trace::{Attribute, Span, SpanEvent, SpanKind};

#[derive(Debug, Deserialize)]
pub(super) struct Envelope<T> {
    pub(super) data: Option<T>,
    pub(super) errors: Option<Vec<Words>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Words {
    pub(super) msg: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Operation {
    pub(super) name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Trace {
    #[serde(rename = "traceID")]
    id: String,
    spans: Vec<WireSpan>,
    processes: IndexMap<String, Process>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireSpan {
    #[serde(rename = "traceID")]
    trace_id: String,
    #[serde(rename = "spanID")]
    span_id: String,
    operation_name: String,
    #[serde(default)]
    references: Vec<Reference>,
    start_time: u64,
    duration: u64,
    #[serde(default)]
    tags: Vec<Tag>,
    #[serde(default)]
    logs: Vec<Log>,
    #[serde(rename = "processID")]
    process_id: String,
}

#[derive(Debug, Deserialize)]
struct Reference {
    #[serde(rename = "refType")]
    kind: String,
    #[serde(rename = "traceID")]
    trace_id: String,
    #[serde(rename = "spanID")]
    span_id: String,
}

#[derive(Debug, Deserialize)]
struct Tag {
    key: String,
    #[serde(rename = "type")]
    kind: String,
    value: Value,
}

#[derive(Debug, Deserialize)]
struct Log {
    timestamp: u64,
    #[serde(default)]
    fields: Vec<Tag>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Process {
    service_name: String,
    #[serde(default)]
    tags: Vec<Tag>,
}

/// Tags into which Jaeger turns what OTLP has members of its own for (OpenTelemetry's mapping to
/// non-OTLP formats: `span.kind`, `error`, `otel.status_code`, and `event` of a log).
const KIND: &str = "span.kind";
const ERROR: &str = "error";
const STATUS: &str = "otel.status_code";
const EVENT: &str = "event";

impl Trace {
    pub(super) fn read(self) -> Result<super::Trace, String> {
        let Self { id, spans, processes } = self;
        Ok(super::Trace {
            trace_id: hexadecimal(&id)?,
            spans: spans
                .into_iter()
                .map(|span| span.read(&processes))
                .collect::<Result<_, _>>()?,
        })
    }
}

impl WireSpan {
    fn read(self, processes: &IndexMap<String, Process>) -> Result<Span, String> {
        let process = processes
            .get(&self.process_id)
            .ok_or_else(|| format!("span {} names no process of the trace", self.span_id))?;
        let trace_id = hexadecimal(&self.trace_id)?;
        let parent = self
            .references
            .iter()
            .find(|reference| {
                reference.kind == "CHILD_OF" && hexadecimal(&reference.trace_id) == Ok(trace_id)
            })
            .map(|reference| span_id(&reference.span_id))
            .transpose()?;
        let mut attributes = attributes(&self.tags);
        let kind = match attributes.remove(KIND) {
            Some(Attribute::Text(text)) => kind(&text),
            _ => SpanKind::Unspecified,
        };
        let error = attributes.remove(ERROR) == Some(Attribute::Boolean(true));
        attributes.remove(STATUS);
        Ok(Span {
            trace_id,
            span_id: span_id(&self.span_id)?,
            parent,
            service: process.service_name.clone(),
            name: self.operation_name,
            kind,
            start_micros: self.start_time,
            duration_micros: self.duration,
            error,
            attributes,
            resource: self::attributes(&process.tags),
            events: self.logs.iter().map(Log::read).collect(),
        })
    }
}

impl Log {
    fn read(&self) -> SpanEvent {
        let mut attributes = attributes(&self.fields);
        let name = match attributes.remove(EVENT) {
            Some(Attribute::Text(name)) => name,
            _ => String::new(),
        };
        SpanEvent {
            at_micros: self.timestamp,
            name,
            attributes,
        }
    }
}

fn attributes(tags: &[Tag]) -> BTreeMap<String, Attribute> {
    tags.iter().map(|tag| (tag.key.clone(), tag.read())).collect()
}

impl Tag {
    fn read(&self) -> Attribute {
        // Whole numbers come as numbers or, beyond what JavaScript holds, as text.
        let text = self
            .value
            .as_str()
            .map_or_else(|| self.value.to_string(), str::to_owned);
        match self.kind.as_str() {
            "string" => Attribute::Text(text),
            "bool" => text.parse().map_or(Attribute::Other(text), Attribute::Boolean),
            "int64" => text.parse().map_or(Attribute::Other(text), Attribute::Integer),
            "float64" => text.parse().map_or(Attribute::Other(text), Attribute::Float),
            _ => Attribute::Other(text),
        }
    }
}

fn kind(text: &str) -> SpanKind {
    match text {
        "internal" => SpanKind::Internal,
        "server" => SpanKind::Server,
        "client" => SpanKind::Client,
        "producer" => SpanKind::Producer,
        "consumer" => SpanKind::Consumer,
        _ => SpanKind::Unspecified,
    }
}

fn hexadecimal(text: &str) -> Result<u128, String> {
    u128::from_str_radix(text, 16).map_err(|_| format!("`{text}` is no trace id"))
}

fn span_id(text: &str) -> Result<u64, String> {
    u64::from_str_radix(text, 16).map_err(|_| format!("`{text}` is no span id"))
}

/// The parameters of a search.
pub(super) fn query(query: &TraceQuery) -> Vec<(&'static str, String)> {
    let mut parameters = vec![
        ("service", query.service.clone()),
        ("start", query.start_micros.to_string()),
        ("end", query.end_micros.to_string()),
        ("limit", query.limit.to_string()),
    ];
    let optional = [
        ("operation", &query.operation),
        ("minDuration", &query.at_least),
        ("maxDuration", &query.at_most),
    ];
    for (name, value) in optional {
        parameters.extend(value.iter().map(|value| (name, value.clone())));
    }
    if !query.tags.is_empty() {
        // A map of texts always can be written.
        parameters.push(("tags", serde_json::to_string(&query.tags).unwrap_or_default()));
    }
    parameters
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireSampling {
    /// Its name, or its number in the protocol's enumeration.
    strategy_type: Option<Value>,
    probabilistic_sampling: Option<Probabilistic>,
    rate_limiting_sampling: Option<RateLimiting>,
    operation_sampling: Option<PerOperation>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Probabilistic {
    /// Zero is left out.
    #[serde(default)]
    sampling_rate: f64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RateLimiting {
    #[serde(default)]
    max_traces_per_second: f64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PerOperation {
    #[serde(default)]
    default_sampling_probability: f64,
    #[serde(default)]
    per_operation_strategies: Vec<OneOperation>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OneOperation {
    operation: String,
    probabilistic_sampling: Option<Probabilistic>,
}

const PROBABILISTIC: &str = "PROBABILISTIC";

pub(super) fn sampling(raw: Value) -> Result<Sampling, String> {
    let wire = WireSampling::deserialize(&raw).map_err(|error| error.to_string())?;
    let operations = wire.operation_sampling;
    Ok(Sampling {
        kind: match wire.strategy_type {
            None => PROBABILISTIC.to_owned(),
            Some(Value::String(name)) => name,
            Some(Value::Number(number)) if number.as_u64() == Some(0) => PROBABILISTIC.to_owned(),
            Some(Value::Number(number)) if number.as_u64() == Some(1) => "RATE_LIMITING".to_owned(),
            Some(other) => return Err(format!("`{other}` is no type of strategy")),
        },
        probability: wire
            .probabilistic_sampling
            .map(|one| one.sampling_rate)
            .or(operations.as_ref().map(|all| all.default_sampling_probability)),
        traces_per_second: wire.rate_limiting_sampling.map(|one| one.max_traces_per_second),
        operations: operations
            .into_iter()
            .flat_map(|all| all.per_operation_strategies)
            .map(|one| {
                let probability = one.probabilistic_sampling.map_or(0.0, |one| one.sampling_rate);
                (one.operation, probability)
            })
            .collect(),
        raw,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_stored_trace_becomes_neutral_spans() {
        // Shape of Jaeger 2.13, /api/traces/{id}.
        let trace: Trace = serde_json::from_value(json!({
            "traceID": "0000000000000000000000000000002a",
            "spans": [{
                "traceID": "0000000000000000000000000000002a", "spanID": "00000000000000ff",
                "operationName": "predict", "startTime": 1_795_000_000_000_001_u64, "duration": 1500,
                "references": [{"refType": "CHILD_OF", "traceID": "0000000000000000000000000000002a", "spanID": "0000000000000001"}],
                "tags": [
                    {"key": "http.status_code", "type": "int64", "value": 500},
                    {"key": "span.kind", "type": "string", "value": "server"},
                    {"key": "otel.status_code", "type": "string", "value": "ERROR"},
                    {"key": "error", "type": "bool", "value": true},
                    {"key": "share", "type": "float64", "value": 0.5}],
                "logs": [{"timestamp": 1_795_000_000_000_002_u64, "fields": [
                    {"key": "event", "type": "string", "value": "exception"},
                    {"key": "exception.type", "type": "string", "value": "Timeout"}]}],
                "processID": "p1", "warnings": null}],
            "processes": {"p1": {"serviceName": "ml-service", "tags": [{"key": "k8s.pod.name", "type": "string", "value": "ml-0"}]}},
            "warnings": null
        }))
        .unwrap();
        let trace = trace.read().unwrap();
        let span = &trace.spans[0];
        assert_eq!((trace.trace_id, span.span_id, span.parent), (42, 255, Some(1)));
        assert_eq!((span.kind, span.error), (SpanKind::Server, true));
        assert_eq!(
            span.attributes.keys().collect::<Vec<_>>(),
            ["http.status_code", "share"]
        );
        assert_eq!(span.attributes["share"], Attribute::Float(0.5));
        assert_eq!(span.resource["k8s.pod.name"], Attribute::Text("ml-0".into()));
        assert_eq!(span.events[0].name, "exception");
        assert_eq!(span.events[0].attributes.len(), 1);
    }

    #[test]
    fn strategies_of_all_kinds_are_read() {
        // Jaeger 2.13, :5778/api/sampling; the names are those of Jaeger 1.
        let numbered =
            sampling(json!({"strategyType": 0, "probabilisticSampling": {"samplingRate": 0.1}})).unwrap();
        assert_eq!(numbered.kind, "PROBABILISTIC");
        let file = sampling(
            json!({"strategyType": "PROBABILISTIC", "probabilisticSampling": {"samplingRate": 0.1}}),
        )
        .unwrap();
        assert_eq!(
            (file.kind.as_str(), file.probability),
            ("PROBABILISTIC", Some(0.1))
        );
        let limited = sampling(
            json!({"strategyType": "RATE_LIMITING", "rateLimitingSampling": {"maxTracesPerSecond": 5}}),
        )
        .unwrap();
        assert_eq!(
            (limited.probability, limited.traces_per_second),
            (None, Some(5.0))
        );
        let adaptive = sampling(json!({"strategyType": "PROBABILISTIC", "operationSampling": {
            "defaultSamplingProbability": 0.001, "defaultLowerBoundTracesPerSecond": 0.016,
            "perOperationStrategies": [{"operation": "predict", "probabilisticSampling": {"samplingRate": 0.02}}]}}))
        .unwrap();
        assert_eq!(adaptive.probability, Some(0.001));
        assert_eq!(adaptive.operations.get("predict"), Some(&0.02));
    }
}
