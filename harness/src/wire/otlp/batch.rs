//! Encoded trace requests that are sent again and again: encoded once, then
//! stamped with other IDs and instants in place.
//!
//! IDs and instants have a fixed width in OTLP (bytes of 16 and 8, fixed64),
//! so that only their places are to be remembered. The body carries gRPC's
//! five-byte prefix (gRPC over HTTP/2, "Length-Prefixed-Message"); over HTTP
//! what follows it is sent.

use prost::Message;

use super::scan::{self, Part, ScanError};
use super::traces::ExportTraces;

/// Length of gRPC's prefix: a byte that says whether the message is compressed, and four of length.
pub const PREFIX: usize = 5;
/// Stands for no parent.
const NONE: u32 = u32::MAX;
const ID: usize = 8;
const TRACE_ID: usize = 16;

/// Which span of which trace a span of the request is, and when; in the order of the request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Number of the trace in the batch.
    pub trace: u32,
    /// Number of the span in its trace.
    pub span: u32,
    /// Number of its parent in its trace.
    pub parent: Option<u32>,
    /// Start, in nanoseconds before the batch's instant.
    pub start: u64,
    /// End, in nanoseconds before the batch's instant.
    pub end: u64,
    /// Instants of its events, in nanoseconds before the batch's instant.
    pub events: Vec<u64>,
    /// Number of the trace in the batch and of the span in it that each link points at.
    pub links: Vec<(u32, u32)>,
}

/// Why a request cannot be laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// More bytes than gRPC's prefix can say.
    #[error("a request of {0} bytes is beyond the 4 GiB that gRPC can say: make the batches smaller")]
    TooLarge(usize),
    /// The stamps do not describe the spans.
    #[error(
        "span {0} of the request and its stamp do not fit: IDs, instants, events and links must be there"
    )]
    Mismatch(usize),
    /// The encoded request cannot be read back.
    #[error(transparent)]
    Scan(#[from] ScanError),
}

/// Where one span's fields stand in the body, and what goes there.
#[derive(Debug, Clone, Copy)]
struct Place {
    trace: u32,
    span: u32,
    parent: u32,
    at_trace: u32,
    at_span: u32,
    at_parent: u32,
    at_start: u32,
    at_end: u32,
    start: u64,
    end: u64,
}

/// An instant besides start and end.
#[derive(Debug, Clone, Copy)]
struct Instant {
    at: u32,
    before: u64,
}

/// A link's IDs.
#[derive(Debug, Clone, Copy)]
struct Link {
    at_trace: u32,
    at_span: u32,
    trace: u32,
    span: u32,
}

/// An encoded request with the places to stamp.
#[derive(Debug, Clone)]
pub struct Batch {
    body: Vec<u8>,
    places: Vec<Place>,
    instants: Vec<Instant>,
    links: Vec<Link>,
}

/// The identity of one trace of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Its ID.
    pub trace_id: [u8; TRACE_ID],
    /// What its spans' IDs are made from.
    pub spans: u64,
}

impl Batch {
    /// Encodes a request whose every ID and instant is set, to whatever, and remembers their places.
    /// `stamps` are in the order of its spans.
    pub fn new(request: &ExportTraces, stamps: &[Stamp]) -> Result<Self, BatchError> {
        let length = request.encoded_len();
        let prefix = u32::try_from(length).map_err(|_| BatchError::TooLarge(length))?;
        let mut body = Vec::with_capacity(PREFIX + length);
        body.push(0);
        body.extend_from_slice(&prefix.to_be_bytes());
        body.extend_from_slice(&request.encode_to_vec());
        let mut batch = Self {
            body,
            places: Vec::with_capacity(stamps.len()),
            instants: Vec::new(),
            links: Vec::new(),
        };
        let message = batch.body.get(PREFIX..).unwrap_or_default();
        let mut spans = Vec::with_capacity(stamps.len());
        scan::items(message, |part| {
            spans.push(scan::span(message, part)?);
            Ok(())
        })?;
        if spans.len() != stamps.len() {
            return Err(BatchError::Mismatch(spans.len().min(stamps.len())));
        }
        for (number, (found, stamp)) in spans.iter().zip(stamps).enumerate() {
            let wrong = BatchError::Mismatch(number);
            let place = |part: Option<Part>, width: usize| -> Result<u32, BatchError> {
                part.filter(|part| part.len() == width)
                    .and_then(|part| u32::try_from(part.from + PREFIX).ok())
                    .ok_or(wrong)
            };
            batch.places.push(Place {
                trace: stamp.trace,
                span: stamp.span,
                parent: stamp.parent.unwrap_or(NONE),
                at_trace: place(found.trace_id, TRACE_ID)?,
                at_span: place(found.span_id, ID)?,
                at_parent: match stamp.parent {
                    Some(_) => place(found.parent_span_id, ID)?,
                    None => NONE,
                },
                at_start: place(found.start, ID)?,
                at_end: place(found.end, ID)?,
                start: stamp.start,
                end: stamp.end,
            });
            if found.events.len() != stamp.events.len()
                || found.links.len() != stamp.links.len()
                || found.parent_span_id.is_some() != stamp.parent.is_some()
            {
                return Err(wrong);
            }
            for (part, before) in found.events.iter().zip(&stamp.events) {
                batch.instants.push(Instant {
                    at: place(Some(*part), ID)?,
                    before: *before,
                });
            }
            for ((trace_part, span_part), (trace, span)) in found.links.iter().zip(&stamp.links) {
                batch.links.push(Link {
                    at_trace: place(Some(*trace_part), TRACE_ID)?,
                    at_span: place(Some(*span_part), ID)?,
                    trace: *trace,
                    span: *span,
                });
            }
        }
        Ok(batch)
    }

    /// The body as it was encoded, with gRPC's prefix: what [`Batch::stamp`] is given a copy of.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Number of spans.
    #[must_use]
    pub fn spans(&self) -> usize {
        self.places.len()
    }

    /// Stamps a copy of the body: `at` is the batch's instant in unix
    /// nanoseconds, `identities` are of its traces, and `span_id` makes a
    /// span's ID from its trace's [`Identity::spans`] and its number.
    pub fn stamp(
        &self,
        body: &mut [u8],
        at: u64,
        identities: &[Identity],
        span_id: impl Fn(u64, u32) -> [u8; ID],
    ) {
        for place in &self.places {
            let Some(identity) = identities.get(place.trace as usize) else {
                continue;
            };
            put(body, place.at_trace, &identity.trace_id);
            put(body, place.at_span, &span_id(identity.spans, place.span));
            if place.parent != NONE {
                put(body, place.at_parent, &span_id(identity.spans, place.parent));
            }
            put(body, place.at_start, &at.wrapping_sub(place.start).to_le_bytes());
            put(body, place.at_end, &at.wrapping_sub(place.end).to_le_bytes());
        }
        for instant in &self.instants {
            put(body, instant.at, &at.wrapping_sub(instant.before).to_le_bytes());
        }
        for link in &self.links {
            if let Some(identity) = identities.get(link.trace as usize) {
                put(body, link.at_trace, &identity.trace_id);
                put(body, link.at_span, &span_id(identity.spans, link.span));
            }
        }
    }
}

/// Writes at a place; a body that is too short is not one of this batch and stays as it is.
fn put<const WIDTH: usize>(body: &mut [u8], at: u32, bytes: &[u8; WIDTH]) {
    let at = at as usize;
    if let Some(place) = body.get_mut(at..at + WIDTH) {
        place.copy_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::super::traces::{Event, Link as WireLink, ResourceSpans, ScopeSpans, Span};
    use super::*;
    use proptest::prelude::*;

    fn id(base: u64, span: u32) -> [u8; 8] {
        (base + u64::from(span)).to_be_bytes()
    }

    fn request(spans: Vec<Span>) -> ExportTraces {
        ExportTraces {
            resource_spans: vec![ResourceSpans {
                resource: None,
                scope_spans: vec![ScopeSpans { scope: None, spans }],
            }],
        }
    }

    /// The span that a stamp describes, made as a struct.
    fn structs(stamp: &Stamp, at: u64, identities: &[Identity]) -> Span {
        let own = identities[stamp.trace as usize];
        Span {
            trace_id: own.trace_id.to_vec(),
            span_id: id(own.spans, stamp.span).to_vec(),
            parent_span_id: stamp
                .parent
                .map_or_else(Vec::new, |parent| id(own.spans, parent).to_vec()),
            name: format!("span {}", stamp.span),
            start_time_unix_nano: at - stamp.start,
            end_time_unix_nano: at - stamp.end,
            events: stamp
                .events
                .iter()
                .map(|before| Event {
                    time_unix_nano: at - before,
                    name: "event".into(),
                    ..Event::default()
                })
                .collect(),
            links: stamp
                .links
                .iter()
                .map(|&(trace, span)| WireLink {
                    trace_id: identities[trace as usize].trace_id.to_vec(),
                    span_id: id(identities[trace as usize].spans, span).to_vec(),
                    ..WireLink::default()
                })
                .collect(),
            ..Span::default()
        }
    }

    fn stamps() -> impl Strategy<Value = Vec<Stamp>> {
        proptest::collection::vec(
            (
                0u32..4,
                prop::option::of(0u32..5),
                0u64..1_000,
                proptest::collection::vec(0u64..1_000, 0..3),
                proptest::collection::vec((0u32..4, 0u32..5), 0..2),
            ),
            0..20,
        )
        .prop_map(|all| {
            all.into_iter()
                .zip(0u32..)
                .map(|((trace, parent, start, events, links), span)| Stamp {
                    trace,
                    span,
                    parent,
                    start: start + 7,
                    end: start,
                    events,
                    links,
                })
                .collect()
        })
    }

    fn identities() -> impl Strategy<Value = Vec<Identity>> {
        proptest::collection::vec(
            (any::<[u8; 16]>(), 1u64..1 << 60).prop_map(|(trace_id, spans)| Identity { trace_id, spans }),
            4,
        )
    }

    proptest! {
        /// forall spans, stampings: decode(stamp(body)) = the same request made of structs
        #[test]
        fn stamped_batches_are_the_structs(
            stamps in stamps(),
            stampings in proptest::collection::vec((10_000u64..1 << 61, identities()), 1..3),
        ) {
            let any = [Identity { trace_id: [1; 16], spans: 1 }; 4];
            let first = request(stamps.iter().map(|stamp| structs(stamp, 1 << 62, &any)).collect());
            let batch = Batch::new(&first, &stamps).unwrap();
            let mut body = batch.body().to_vec();
            for (at, identities) in stampings {
                batch.stamp(&mut body, at, &identities, id);
                let expected = request(stamps.iter().map(|stamp| structs(stamp, at, &identities)).collect());
                prop_assert_eq!(ExportTraces::decode(&body[PREFIX..]).unwrap(), expected);
            }
        }
    }

    #[test]
    fn stamps_that_do_not_fit_are_refused() {
        let any = [Identity {
            trace_id: [1; 16],
            spans: 1,
        }];
        let stamp = Stamp::default();
        let spans = |stamp: &Stamp| request(vec![structs(stamp, 1 << 62, &any)]);
        let refused = |request: &ExportTraces, stamps: &[Stamp]| Batch::new(request, stamps).unwrap_err();
        assert_eq!(refused(&spans(&stamp), &[]), BatchError::Mismatch(0));
        let child = Stamp {
            parent: Some(0),
            ..stamp.clone()
        };
        assert_eq!(refused(&spans(&stamp), &[child]), BatchError::Mismatch(0));
        let with_event = Stamp {
            events: vec![1],
            ..stamp.clone()
        };
        assert_eq!(refused(&spans(&with_event), &[stamp]), BatchError::Mismatch(0));
    }
}
