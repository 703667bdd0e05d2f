//! Digests of spans and traces: equal for what arrived as it was sent.
//!
//! A digest covers everything a sender decides: IDs, service, name, kind,
//! instants, status, attributes (their order aside), events and links. Left out
//! are `tracestate` (the Collector's sampler adds to it), flags, the scope, and
//! the resource but for its `service.name`, which processors rightly touch.

use prost::Message;

use crate::emit::ledger::mix;
use crate::wire::otlp::KeyValue;
use crate::wire::otlp::traces::Span;

/// Digest of what a span says, wherever and whenever it happens: all but its
/// IDs, its links' and its start.
#[must_use]
pub fn content(service: &str, span: &Span) -> u64 {
    let status = span.status.clone().unwrap_or_default();
    let mut digest = text(service);
    digest = join(digest, text(&span.name));
    digest = join(digest, u64::from(span.kind.cast_unsigned()));
    digest = join(digest, u64::from(status.code.cast_unsigned()));
    digest = join(digest, text(&status.message));
    digest = join(digest, attributes(&span.attributes));
    digest = join(
        digest,
        span.end_time_unix_nano.wrapping_sub(span.start_time_unix_nano),
    );
    for event in &span.events {
        digest = join(digest, text(&event.name));
        digest = join(
            digest,
            event.time_unix_nano.wrapping_sub(span.start_time_unix_nano),
        );
        digest = join(digest, attributes(&event.attributes));
    }
    for link in &span.links {
        digest = join(digest, attributes(&link.attributes));
    }
    digest
}

/// Digest of a span: its content where and when it happened.
#[must_use]
pub fn placed(
    content: u64,
    trace_id: [u8; 16],
    [span, parent]: [u64; 2],
    start: u64,
    links: impl IntoIterator<Item = ([u8; 16], u64)>,
) -> u64 {
    let mut digest = join(content, whole(trace_id));
    digest = join(digest, span);
    digest = join(digest, parent);
    digest = join(digest, start);
    for (trace, span) in links {
        digest = join(join(digest, whole(trace)), span);
    }
    digest
}

/// Digest of a span as it arrived. IDs of a wrong length digest as zeros.
#[must_use]
pub fn of(service: &str, span: &Span) -> u64 {
    let trace = |bytes: &[u8]| <[u8; 16]>::try_from(bytes).unwrap_or_default();
    let id = |bytes: &[u8]| <[u8; 8]>::try_from(bytes).map_or(0, u64::from_be_bytes);
    placed(
        content(service, span),
        trace(&span.trace_id),
        [id(&span.span_id), id(&span.parent_span_id)],
        span.start_time_unix_nano,
        span.links
            .iter()
            .map(|link| (trace(&link.trace_id), id(&link.span_id))),
    )
}

fn join(digest: u64, next: u64) -> u64 {
    mix(digest ^ mix(next))
}

fn whole(id: [u8; 16]) -> u64 {
    let (high, low) = id.split_at(8);
    let number = |bytes: &[u8]| <[u8; 8]>::try_from(bytes).map_or(0, u64::from_be_bytes);
    mix(number(high)) ^ number(low)
}

fn text(text: &str) -> u64 {
    bytes(text.as_bytes())
}

/// FNV-1a, 64 bits (Fowler, Noll and Vo), spread by `mix`.
fn bytes(bytes: &[u8]) -> u64 {
    mix(bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    }))
}

/// A sum, so that the order of attributes does not matter.
fn attributes(pairs: &[KeyValue]) -> u64 {
    pairs
        .iter()
        .map(|pair| {
            let value = pair
                .value
                .as_ref()
                .map(Message::encode_to_vec)
                .unwrap_or_default();
            join(text(&pair.key), bytes(&value))
        })
        .fold(0, u64::wrapping_add)
}
