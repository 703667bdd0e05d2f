//! OTLP: the parts that traces and logs share, and what they have in common on the wire.
//!
//! Field numbers from opentelemetry-proto 1.10 (`common/v1/common.proto`,
//! `resource/v1/resource.proto`, `collector/*/v1/*_service.proto`). What a
//! signal has of its own is in its file; [`scan`] reads encoded requests of
//! any signal without decoding them.

use prost::Message;
use serde::{Deserialize, Serialize};

pub mod batch;
pub mod scan;
pub mod traces;

/// `Content-Type` of a request and its answer over HTTP.
pub const CONTENT_TYPE: &str = "application/x-protobuf";

/// `AnyValue`.
#[derive(Clone, PartialEq, Message)]
pub struct AnyValue {
    /// The value; none is the empty value.
    #[prost(oneof = "Value", tags = "1, 2, 3, 4, 5, 6, 7")]
    pub value: Option<Value>,
}

/// The kinds of [`AnyValue`].
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Value {
    /// Text.
    #[prost(string, tag = "1")]
    Text(String),
    /// True or false.
    #[prost(bool, tag = "2")]
    Bool(bool),
    /// Whole number.
    #[prost(int64, tag = "3")]
    Int(i64),
    /// Floating-point number.
    #[prost(double, tag = "4")]
    Double(f64),
    /// Values in order.
    #[prost(message, tag = "5")]
    Array(ArrayValue),
    /// Values by key.
    #[prost(message, tag = "6")]
    KeyValues(KeyValueList),
    /// Bytes.
    #[prost(bytes, tag = "7")]
    Bytes(Vec<u8>),
}

/// `ArrayValue`.
#[derive(Clone, PartialEq, Message)]
pub struct ArrayValue {
    /// The values.
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<AnyValue>,
}

/// `KeyValueList`.
#[derive(Clone, PartialEq, Message)]
pub struct KeyValueList {
    /// The pairs; keys are distinct.
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<KeyValue>,
}

/// `KeyValue`: an attribute.
#[derive(Clone, PartialEq, Message)]
pub struct KeyValue {
    /// Key.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Value.
    #[prost(message, optional, tag = "2")]
    pub value: Option<AnyValue>,
}

/// `Resource`: what emitted.
#[derive(Clone, PartialEq, Message)]
pub struct Resource {
    /// Attributes, `service.name` among them.
    #[prost(message, repeated, tag = "1")]
    pub attributes: Vec<KeyValue>,
}

/// `InstrumentationScope`: which library emitted.
#[derive(Clone, PartialEq, Message)]
pub struct InstrumentationScope {
    /// Name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Version.
    #[prost(string, tag = "2")]
    pub version: String,
}

/// `Export*ServiceResponse`, equal for all signals.
#[derive(Clone, PartialEq, Message)]
pub struct ExportResponse {
    /// What of the request was not taken, where something was not.
    #[prost(message, optional, tag = "1")]
    pub partial_success: Option<PartialSuccess>,
}

/// `Export*PartialSuccess`, equal for all signals.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct PartialSuccess {
    /// Items (spans, log records) that were rejected.
    #[prost(int64, tag = "1")]
    pub rejected: i64,
    /// Why; with nothing rejected it is a warning.
    #[prost(string, tag = "2")]
    pub error_message: String,
}

/// `google.rpc.Status`, the body of a refusal over HTTP.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct RpcStatus {
    /// gRPC status code.
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// Words.
    #[prost(string, tag = "2")]
    pub message: String,
}

/// ID of a trace, written as 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TraceId(pub [u8; 16]);

/// Why a text or bytes are not a trace ID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a trace ID: give 32 hexadecimal digits, not all of them 0")]
pub struct TraceIdError(String);

impl std::fmt::Display for TraceId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl std::str::FromStr for TraceId {
    type Err = TraceIdError;

    fn from_str(text: &str) -> Result<Self, TraceIdError> {
        let mut id = [0; 16];
        match hex::decode_to_slice(text, &mut id) {
            // W3C Trace Context, 3.2.2.3: all zeros is not a valid ID.
            Ok(()) if id != [0; 16] => Ok(Self(id)),
            _ => Err(TraceIdError(text.to_owned())),
        }
    }
}

impl TryFrom<String> for TraceId {
    type Error = TraceIdError;

    fn try_from(text: String) -> Result<Self, TraceIdError> {
        text.parse()
    }
}

impl TryFrom<&[u8]> for TraceId {
    type Error = TraceIdError;

    fn try_from(bytes: &[u8]) -> Result<Self, TraceIdError> {
        bytes
            .try_into()
            .map(Self)
            .map_err(|_| TraceIdError(hex::encode(bytes)))
    }
}

impl From<TraceId> for String {
    fn from(id: TraceId) -> Self {
        id.to_string()
    }
}

/// What kind of telemetry a request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Log records.
    Logs,
}

impl Signal {
    /// Path of the gRPC method.
    #[must_use]
    pub fn grpc_path(self) -> &'static str {
        match self {
            Self::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Self::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        }
    }

    /// Path over HTTP.
    #[must_use]
    pub fn http_path(self) -> &'static str {
        match self {
            Self::Traces => "/v1/traces",
            Self::Logs => "/v1/logs",
        }
    }

    /// Name of its items, in the plural.
    #[must_use]
    pub fn items(self) -> &'static str {
        match self {
            Self::Traces => "spans",
            Self::Logs => "log records",
        }
    }
}

impl From<&str> for AnyValue {
    fn from(text: &str) -> Self {
        Self {
            value: Some(Value::Text(text.to_owned())),
        }
    }
}

impl From<String> for AnyValue {
    fn from(text: String) -> Self {
        Self {
            value: Some(Value::Text(text)),
        }
    }
}

impl From<i64> for AnyValue {
    fn from(number: i64) -> Self {
        Self {
            value: Some(Value::Int(number)),
        }
    }
}

impl From<f64> for AnyValue {
    fn from(number: f64) -> Self {
        Self {
            value: Some(Value::Double(number)),
        }
    }
}

impl From<bool> for AnyValue {
    fn from(value: bool) -> Self {
        Self {
            value: Some(Value::Bool(value)),
        }
    }
}

impl KeyValue {
    /// An attribute.
    #[must_use]
    pub fn of(key: impl Into<String>, value: impl Into<AnyValue>) -> Self {
        Self {
            key: key.into(),
            value: Some(value.into()),
        }
    }
}

impl AnyValue {
    /// The text, where it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }
}

/// The text under a key, where there is one.
#[must_use]
pub fn text_of<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    attributes
        .iter()
        .find(|pair| pair.key == key)
        .and_then(|pair| pair.value.as_ref())
        .and_then(AnyValue::text)
}
