//! Loki's push API in its protobuf form, snappy-compressed.
//!
//! Messages: grafana/loki v3 `pkg/push/push.proto` (`PushRequest`,
//! `StreamAdapter`, `EntryAdapter`). The compressed form holds literals only,
//! which google/snappy's `format_description.txt` allows, so that a request
//! can be stamped where it stands.

use std::fmt::Write;

use prost::Message;

use super::stamped::{Field, Stamped, Template};

/// Content type of a request; its compression is implied, no `Content-Encoding` is sent.
pub const CONTENT_TYPE: &str = "application/x-protobuf";

/// Entries of one label set in the making of a request.
#[derive(Debug, Clone)]
pub struct Stream<'a> {
    /// The label set as `LogQL` writes it, see [`selector`].
    pub labels: &'a str,
    /// Its lines, in the order of their instants.
    pub lines: Vec<&'a Template>,
}

/// A label set as `LogQL` writes it: `{app="x", pod="y"}`, sorted by name.
#[must_use]
pub fn selector<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut labels: Vec<(&str, &str)> = labels.into_iter().collect();
    labels.sort_unstable();
    let mut text = String::from("{");
    for (index, (name, value)) in labels.into_iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        // Go's quoting and JSON's agree on what labels hold.
        let _ = write!(text, "{comma}{name}={}", serde_json::Value::from(value));
    }
    text.push('}');
    text
}

/// Lays out a request: the records are the lines, stream by stream.
#[must_use]
pub fn lay_out(streams: &[Stream]) -> Stamped {
    let mut request = Template::new();
    let mut places = Vec::new();
    for stream in streams {
        let mut message = Template::new();
        message.string(1, stream.labels);
        for line in &stream.lines {
            let mut at = Template::new();
            at.field(Field::TimeProtobuf);
            let mut entry = Template::new();
            entry.message(1, &at);
            entry.message(2, line);
            places.push(entry.places());
            message.message(2, &entry);
        }
        request.message(1, &message);
    }
    let mut body = Template::new();
    body.varint(request.len() as u64);
    if !request.is_empty() {
        // One literal: tag 63 << 2 says that four bytes of length minus one follow.
        body.push([63 << 2]);
        body.push(u32::try_from(request.len() - 1).unwrap_or(u32::MAX).to_le_bytes());
    }
    body.append(&request);
    Stamped::new(body, places)
}

/// Why bytes are no push request.
#[derive(Debug, thiserror::Error)]
pub enum LokiPushError {
    /// They do not decompress.
    #[error("the push request does not decompress: {0}")]
    Snappy(#[from] snap::Error),
    /// They do not decode.
    #[error("the push request does not decode: {0}")]
    Decode(#[from] prost::DecodeError),
}

/// Entries of one label set, read back: labels, then (unix nanoseconds, line).
pub type Read = (String, Vec<(i64, String)>);

/// Reads a request back.
pub fn decode(body: &[u8]) -> Result<Vec<Read>, LokiPushError> {
    #[derive(Clone, PartialEq, Message)]
    struct PushRequest {
        #[prost(message, repeated, tag = "1")]
        streams: Vec<StreamAdapter>,
    }
    #[derive(Clone, PartialEq, Message)]
    struct StreamAdapter {
        #[prost(string, tag = "1")]
        labels: String,
        #[prost(message, repeated, tag = "2")]
        entries: Vec<EntryAdapter>,
    }
    #[derive(Clone, PartialEq, Message)]
    struct EntryAdapter {
        #[prost(message, optional, tag = "1")]
        timestamp: Option<Instant>,
        #[prost(string, tag = "2")]
        line: String,
    }
    #[derive(Clone, PartialEq, Message)]
    struct Instant {
        #[prost(int64, tag = "1")]
        seconds: i64,
        #[prost(int32, tag = "2")]
        nanos: i32,
    }
    let message = snap::raw::Decoder::new().decompress_vec(body)?;
    Ok(PushRequest::decode(message.as_slice())?
        .streams
        .into_iter()
        .map(|stream| {
            let entries = stream
                .entries
                .into_iter()
                .map(|entry| {
                    let at = entry.timestamp.unwrap_or_default();
                    (at.seconds * 1_000_000_000 + i64::from(at.nanos), entry.line)
                })
                .collect();
            (stream.labels, entries)
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::stamped::tests::stamps;
    use proptest::prelude::*;

    proptest! {
        /// forall streams, lines, stamps: what is laid out and stamped reads back, entry by entry
        #[test]
        fn a_request_reads_back(
            streams in proptest::collection::vec(("[a-zé\"]{0,8}", proptest::collection::vec((".{0,300}", stamps()), 1..5)), 0..4)
        ) {
            let laid: Vec<(String, Vec<Template>)> = streams
                .iter()
                .map(|(label, lines)| {
                    let lines = lines.iter().map(|(line, _)| {
                        let mut template = Template::new();
                        template.field(Field::Id);
                        template.push(line);
                        template
                    });
                    (selector([("pod", label.as_str())]), lines.collect())
                })
                .collect();
            let mut request = lay_out(
                &laid
                    .iter()
                    .map(|(labels, lines)| Stream { labels, lines: lines.iter().collect() })
                    .collect::<Vec<_>>(),
            );
            let all: Vec<_> = streams.iter().flat_map(|(_, lines)| lines).collect();
            request.stamp(|index| all[index].1);
            let read = decode(request.body()).unwrap();
            let expected: Vec<Read> = laid
                .iter()
                .zip(&streams)
                .map(|((labels, _), (_, lines))| {
                    let lines = lines.iter().map(|(line, stamp)| (stamp.at, format!("{:016x}{line}", stamp.id)));
                    (labels.clone(), lines.collect())
                })
                .collect();
            prop_assert_eq!(read, expected);
        }
    }

    #[test]
    fn label_sets_are_sorted_and_quoted() {
        assert_eq!(
            selector([("pod", "a\"b"), ("app", "x")]),
            "{app=\"x\", pod=\"a\\\"b\"}"
        );
    }
}
