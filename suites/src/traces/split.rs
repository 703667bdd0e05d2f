//! Traces whose spans come in different requests, as those of services that export for themselves do.
//!
//! Each trace has a request of the service it starts in, the call that it makes, and the work of the
//! called service. The three travel in three streams of requests, in orders of their own, so that a
//! sampler that looks at anything but the trace ID parts them.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use harness::case::CaseError;
use harness::emit::otlp::{Endpoint, Prepared, Protocol, Sending, Source, Tally, drive, framed};
use harness::emit::traces::ledger::TraceLedger;
use harness::emit::traces::topology::ORIGIN;
use harness::wire::otlp::traces::{ExportTraces, ResourceSpans, ScopeSpans, Span, SpanKind};
use harness::wire::otlp::{KeyValue, Resource, Signal, TraceId};
use indexmap::IndexMap;
use tokio_util::sync::CancellationToken;
use url::Url;

/// Spans of one trace, each in a request of its own.
pub(super) const STREAMS: usize = 3;
/// Times inside a trace, in nanoseconds: how long its first span takes, and how much later each further one begins.
const LASTS: u64 = 3_000_000;
const LATER: u64 = 500_000;

/// One trace to send.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// Its ID.
    pub(super) id: TraceId,
    /// The service it starts in.
    pub(super) origin: String,
    /// Whether its spans say so, as those of SDKs with the baggage span processor do.
    pub(super) says: bool,
    /// The service that is called.
    pub(super) called: String,
}

/// How the spans of traces are dealt to requests.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dealing {
    /// Spans a request.
    pub(super) batch: usize,
    /// So many requests of a stream change from its beginning to its end.
    pub(super) turned: usize,
}

/// Requests to send, in their order.
///
/// A request is made when it is sent and again for the ledger: spans take far more room than what says
/// how they are made.
#[derive(Debug)]
pub(super) struct Load {
    traces: Arc<[Wanted]>,
    now: u64,
    parts: Vec<Part>,
    next: usize,
}

/// What one request holds.
#[derive(Debug, Clone)]
enum Part {
    /// The spans of one stream of these traces.
    Dealt { stream: usize, traces: Range<usize> },
    /// These.
    Whole(ExportTraces),
}

impl Load {
    /// Deals the spans of the traces.
    pub(super) fn new(traces: &[Wanted], dealing: Dealing) -> Self {
        let now = harness::clock::unix_nanoseconds() / 1000 * 1000;
        let batch = dealing.batch.max(1);
        let streams: Vec<Vec<Part>> = (0..STREAMS)
            .map(|stream| {
                let mut parts: Vec<Part> = (0..traces.len())
                    .step_by(batch)
                    .map(|from| Part::Dealt {
                        stream,
                        traces: from..(from + batch).min(traces.len()),
                    })
                    .collect();
                // The second stream runs backwards, the third begins elsewhere.
                if stream == 1 {
                    parts.reverse();
                } else {
                    let turn = (dealing.turned * (stream + 1))
                        .checked_rem(parts.len())
                        .unwrap_or(0);
                    parts.rotate_left(turn);
                }
                parts
            })
            .collect();
        let longest = streams.iter().map(Vec::len).max().unwrap_or(0);
        let parts = (0..longest)
            .flat_map(|at| streams.iter().filter_map(move |stream| stream.get(at).cloned()))
            .collect();
        Self {
            traces: traces.into(),
            now,
            parts,
            next: 0,
        }
    }

    /// Requests as they are.
    pub(super) fn of(requests: Vec<ExportTraces>) -> Self {
        Self {
            traces: Arc::default(),
            now: 0,
            parts: requests.into_iter().map(Part::Whole).collect(),
            next: 0,
        }
    }

    /// The load in two parts, one after the other; traces have spans in both.
    pub(super) fn halves(mut self) -> Vec<Self> {
        let second = Self {
            traces: Arc::clone(&self.traces),
            now: self.now,
            parts: self.parts.split_off(self.parts.len() / 2),
            next: 0,
        };
        vec![self, second]
    }

    /// One of its requests.
    fn request(&self, number: usize) -> Option<Cow<'_, ExportTraces>> {
        Some(match self.parts.get(number)? {
            Part::Dealt { stream, traces } => {
                Cow::Owned(request(self.traces.get(traces.clone())?, *stream, self.now))
            }
            Part::Whole(request) => Cow::Borrowed(request),
        })
    }

    /// The spans of these requests of the load.
    fn ledger(&self, requests: &[u64]) -> TraceLedger {
        let mut ledger = TraceLedger::default();
        for request in requests
            .iter()
            .filter_map(|key| self.request(usize::try_from(*key).ok()?))
        {
            ledger.enter_request(&request);
        }
        ledger
    }
}

impl Source for Load {
    fn next(&mut self, _start: u64) -> Option<Prepared> {
        let request = self.request(self.next)?;
        let prepared = Prepared {
            key: self.next as u64,
            instant: Duration::ZERO,
            items: spans(&request),
            body: framed(&*request),
        };
        self.next += 1;
        Some(prepared)
    }

    fn recycle(&mut self, _key: u64, _body: Bytes) {}
}

/// What became of a load.
#[derive(Debug)]
pub(super) struct Sent {
    /// The tally.
    pub(super) tally: Tally,
    /// What was acknowledged.
    pub(super) ledger: TraceLedger,
}

/// Sends a load over gRPC, in the order of its requests.
pub(super) async fn send(
    to: std::net::SocketAddr,
    load: Load,
    cancel: &CancellationToken,
) -> Result<Sent, CaseError> {
    send_over(Protocol::Grpc, to, load, cancel).await
}

/// Sends a load in the order of its requests.
pub(super) async fn send_over(
    protocol: Protocol,
    to: std::net::SocketAddr,
    mut load: Load,
    cancel: &CancellationToken,
) -> Result<Sent, CaseError> {
    let environment = |why: String| CaseError::Environment(why);
    let endpoint = Endpoint {
        url: Url::parse(&format!("http://{to}")).map_err(|error| environment(error.to_string()))?,
        protocol,
        signal: Signal::Traces,
        headers: Vec::new(),
    };
    let sending = Sending {
        connections: 1,
        in_flight: 4,
    };
    let tally = drive(&endpoint, &mut load, sending, cancel)
        .await
        .map_err(|error| environment(error.to_string()))?;
    let ledger = load.ledger(&tally.taken);
    Ok(Sent { tally, ledger })
}

/// The spans of one stream of some traces, by service.
fn request(traces: &[Wanted], stream: usize, now: u64) -> ExportTraces {
    let mut services: IndexMap<&str, Vec<Span>> = IndexMap::new();
    for trace in traces {
        let service = if stream + 1 == STREAMS {
            &trace.called
        } else {
            &trace.origin
        };
        services
            .entry(service)
            .or_default()
            .push(span(trace, stream as u64, now));
    }
    ExportTraces {
        resource_spans: services
            .into_iter()
            .map(|(service, spans)| ResourceSpans {
                resource: Some(Resource {
                    attributes: vec![KeyValue::of("service.name", service)],
                }),
                scope_spans: vec![ScopeSpans { scope: None, spans }],
            })
            .collect(),
    }
}

fn span(trace: &Wanted, stream: u64, now: u64) -> Span {
    let id = |number: u64| span_id(trace.id, number);
    let (name, kind) = match stream {
        0 => ("GET /conform", SpanKind::Server),
        1 => ("call", SpanKind::Client),
        _ => ("work", SpanKind::Server),
    };
    let origin = KeyValue::of(ORIGIN, trace.origin.as_str());
    Span {
        trace_id: trace.id.0.to_vec(),
        span_id: id(stream),
        parent_span_id: stream.checked_sub(1).map(id).unwrap_or_default(),
        name: name.to_owned(),
        kind: kind.into(),
        start_time_unix_nano: now + stream * LATER,
        end_time_unix_nano: now + LASTS - stream * LATER,
        attributes: trace.says.then_some(origin).into_iter().collect(),
        ..Span::default()
    }
}

/// ID of a trace's span: distinct within the trace, never all zeros.
fn span_id(trace: TraceId, number: u64) -> Vec<u8> {
    let low = trace
        .0
        .iter()
        .skip(8)
        .fold(0u64, |sum, byte| (sum << 8) | u64::from(*byte));
    // The highest bit set: none is zero; the lowest ones tell the spans apart.
    let id = ((low << 2) | number) | (1 << 63);
    id.to_be_bytes().to_vec()
}

fn spans(request: &ExportTraces) -> u64 {
    request
        .resource_spans
        .iter()
        .flat_map(|resource| &resource.scope_spans)
        .map(|scope| scope.spans.len() as u64)
        .sum()
}
