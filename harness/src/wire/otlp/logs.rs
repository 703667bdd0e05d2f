//! OTLP logs: `ExportLogsServiceRequest`, and laying one out to be stamped.
//!
//! Field numbers from opentelemetry-proto 1.10 (`logs/v1/logs.proto`).

use prost::Message;

use super::{AnyValue, InstrumentationScope, KeyValue, Resource};
use crate::wire::stamped::{Field, Stamped, Template};

/// `ExportLogsServiceRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct ExportLogs {
    /// Records by what emitted them.
    #[prost(message, repeated, tag = "1")]
    pub resource_logs: Vec<ResourceLogs>,
}

/// `ResourceLogs`: records of one emitter.
#[derive(Clone, PartialEq, Message)]
pub struct ResourceLogs {
    /// The emitter.
    #[prost(message, optional, tag = "1")]
    pub resource: Option<Resource>,
    /// Records by library.
    #[prost(message, repeated, tag = "2")]
    pub scope_logs: Vec<ScopeLogs>,
}

/// `ScopeLogs`: records of one library.
#[derive(Clone, PartialEq, Message)]
pub struct ScopeLogs {
    /// The library.
    #[prost(message, optional, tag = "1")]
    pub scope: Option<InstrumentationScope>,
    /// The records.
    #[prost(message, repeated, tag = "2")]
    pub log_records: Vec<LogRecord>,
}

/// `LogRecord`.
#[derive(Clone, PartialEq, Message)]
pub struct LogRecord {
    /// Unix nanoseconds at which it was written.
    #[prost(fixed64, tag = "1")]
    pub time_unix_nano: u64,
    /// Severity, 1 to 24.
    #[prost(int32, tag = "2")]
    pub severity_number: i32,
    /// Severity in the emitter's words.
    #[prost(string, tag = "3")]
    pub severity_text: String,
    /// Content.
    #[prost(message, optional, tag = "5")]
    pub body: Option<AnyValue>,
    /// Attributes.
    #[prost(message, repeated, tag = "6")]
    pub attributes: Vec<KeyValue>,
    /// Attributes left out.
    #[prost(uint32, tag = "7")]
    pub dropped_attributes_count: u32,
    /// W3C trace flags in the lowest eight bits.
    #[prost(fixed32, tag = "8")]
    pub flags: u32,
    /// 16 bytes; empty outside a trace.
    #[prost(bytes = "vec", tag = "9")]
    pub trace_id: Vec<u8>,
    /// 8 bytes; empty outside a span.
    #[prost(bytes = "vec", tag = "10")]
    pub span_id: Vec<u8>,
    /// Unix nanoseconds at which it was read.
    #[prost(fixed64, tag = "11")]
    pub observed_time_unix_nano: u64,
}

/// A record in the making of a request.
#[derive(Debug, Clone)]
pub struct Prepared<'a> {
    /// OpenTelemetry's severity number.
    pub severity: u8,
    /// Severity in the emitter's words.
    pub severity_text: &'a str,
    /// Whether it belongs to a trace.
    pub traced: bool,
    /// Its body, a text.
    pub body: &'a Template,
}

/// Records of one emitter in the making of a request.
#[derive(Debug, Clone)]
pub struct Emitter<'a> {
    /// Its attributes, `service.name` among them.
    pub resource: Resource,
    /// Its records, in the order of their instants.
    pub records: Vec<Prepared<'a>>,
}

/// Lays out a request, emitter by emitter. Each record has its identifier in the attribute `log.record.uid`
/// (semantic conventions, "General logs attributes").
#[must_use]
pub fn lay_out(emitters: &[Emitter]) -> Stamped {
    let mut request = Template::new();
    let mut places = Vec::new();
    for emitter in emitters {
        let mut scope_logs = Template::new();
        for prepared in &emitter.records {
            let record = record(prepared);
            places.push(record.places());
            scope_logs.message(2, &record);
        }
        let mut resource = Template::new();
        resource.push(emitter.resource.encode_to_vec());
        let mut resource_logs = Template::new();
        resource_logs.message(1, &resource);
        resource_logs.message(2, &scope_logs);
        request.message(1, &resource_logs);
    }
    Stamped::new(request, places)
}

fn record(prepared: &Prepared) -> Template {
    // Wire types: 0 varint, 1 eight bytes.
    const TIME: u8 = 1 << 3 | 1;
    const SEVERITY_NUMBER: u8 = 2 << 3;
    const OBSERVED_TIME: u8 = 11 << 3 | 1;
    let mut record = Template::new();
    record.push([TIME]);
    record.field(Field::TimeFixed);
    record.push([SEVERITY_NUMBER, prepared.severity]);
    record.string(3, prepared.severity_text);
    let mut body = Template::new();
    body.message(1, prepared.body);
    record.message(5, &body);
    let mut id = Template::new();
    id.field(Field::Id);
    let mut value = Template::new();
    value.message(1, &id);
    let mut attribute = Template::new();
    attribute.string(1, "log.record.uid");
    attribute.message(2, &value);
    record.message(6, &attribute);
    if prepared.traced {
        let mut trace = Template::new();
        trace.field(Field::TraceIdBytes);
        record.message(9, &trace);
        let mut span = Template::new();
        span.field(Field::SpanIdBytes);
        record.message(10, &span);
    }
    record.push([OBSERVED_TIME]);
    record.field(Field::TimeFixed);
    record
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::stamped::tests::stamps;
    use proptest::prelude::*;

    proptest! {
        /// forall emitters, records, stamps: what is laid out and stamped decodes to the structs
        #[test]
        fn a_request_reads_back(
            emitters in proptest::collection::vec(
                (".{0,8}", proptest::collection::vec((".{0,200}", 1u8..25, any::<bool>(), stamps()), 1..5)),
                0..4
            )
        ) {
            let bodies: Vec<Vec<Template>> = emitters
                .iter()
                .map(|(_, records)| {
                    let body = |text: &String| {
                        let mut body = Template::new();
                        body.push(text);
                        body.field(Field::Sequence);
                        body
                    };
                    records.iter().map(|(text, ..)| body(text)).collect()
                })
                .collect();
            let resource = |name: &String| Resource { attributes: vec![KeyValue::of("service.name", name.as_str())] };
            let mut request = lay_out(
                &emitters
                    .iter()
                    .zip(&bodies)
                    .map(|((name, records), bodies)| Emitter {
                        resource: resource(name),
                        records: records
                            .iter()
                            .zip(bodies)
                            .map(|((_, severity, traced, _), body)| Prepared {
                                severity: *severity,
                                severity_text: "info",
                                traced: *traced,
                                body,
                            })
                            .collect(),
                    })
                    .collect::<Vec<_>>(),
            );
            let all: Vec<_> = emitters.iter().flat_map(|(_, records)| records).collect();
            request.stamp(|index| all[index].3);
            let expected = ExportLogs {
                resource_logs: emitters
                    .iter()
                    .map(|(name, records)| ResourceLogs {
                        resource: Some(resource(name)),
                        scope_logs: vec![ScopeLogs {
                            scope: None,
                            log_records: records
                                .iter()
                                .map(|(text, severity, traced, stamp)| LogRecord {
                                    time_unix_nano: stamp.at.unsigned_abs(),
                                    severity_number: i32::from(*severity),
                                    severity_text: "info".into(),
                                    body: Some(format!("{text}{:>12}", stamp.sequence).into()),
                                    attributes: vec![KeyValue::of("log.record.uid", format!("{:016x}", stamp.id))],
                                    dropped_attributes_count: 0,
                                    flags: 0,
                                    trace_id: if *traced { stamp.trace.to_be_bytes().to_vec() } else { vec![] },
                                    span_id: if *traced { stamp.span.to_be_bytes().to_vec() } else { vec![] },
                                    observed_time_unix_nano: stamp.at.unsigned_abs(),
                                })
                                .collect(),
                        }],
                    })
                    .collect(),
            };
            prop_assert_eq!(ExportLogs::decode(request.body()).unwrap(), expected);
        }
    }
}
