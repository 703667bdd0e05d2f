//! Records as they are read back, and how they are held against what was sent.
//!
//! Whoever reads a server back turns what it finds into [`Record`]s: documents
//! by [`Record::of_document`], lines of Loki by [`Record::of_entry`], lines of
//! files by [`Record::of_line`]. [`reconcile`] then names every record that was
//! lost, duplicated, altered or reordered, stream by stream.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::plan::Sent;
use crate::emit::ledger::{self, Reconciliation, mix};

/// One record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Record {
    /// `namespace/pod/container` that wrote it.
    #[serde(serialize_with = "shared_text")]
    pub stream: Arc<str>,
    /// Its place in the stream, from 0.
    pub sequence: u64,
    /// Its identifier.
    pub id: u64,
    /// Its instant in unix nanoseconds.
    pub at: i64,
    /// Digest of its content.
    pub digest: u64,
}

/// Which record: what findings name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Key {
    /// `namespace/pod/container` that wrote it.
    #[serde(serialize_with = "shared_text")]
    pub stream: Arc<str>,
    /// Its place in the stream.
    pub sequence: u64,
    /// Its identifier.
    pub id: u64,
}

fn shared_text<S: serde::Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} #{} ({:016x})", self.stream, self.sequence, self.id)
    }
}

/// Why something that was read back is no record of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It is no JSON.
    #[error("the line is no JSON: {why}: {line}")]
    Json {
        /// Why.
        why: String,
        /// Its beginning.
        line: String,
    },
    /// A member is missing or of another type.
    #[error("`{0}` is missing or not as it was sent")]
    Member(&'static str),
}

impl Record {
    /// What names it.
    #[must_use]
    pub fn key(&self) -> Key {
        Key {
            stream: Arc::clone(&self.stream),
            sequence: self.sequence,
            id: self.id,
        }
    }

    /// Reads an Elasticsearch document, its `_source`.
    pub fn of_document(source: &Value) -> Result<Self, ReadError> {
        let text = |pointer: &'static str| {
            source
                .pointer(pointer)
                .and_then(Value::as_str)
                .ok_or(ReadError::Member(pointer))
        };
        Ok(Self {
            stream: format!(
                "{}/{}/{}",
                text("/kubernetes/namespace")?,
                text("/kubernetes/pod/name")?,
                text("/kubernetes/container/name")?
            )
            .into(),
            sequence: source
                .pointer("/event/sequence")
                .and_then(Value::as_u64)
                .ok_or(ReadError::Member("/event/sequence"))?,
            id: identifier(text("/event/id")?).ok_or(ReadError::Member("/event/id"))?,
            at: instant(text("/@timestamp")?).ok_or(ReadError::Member("/@timestamp"))?,
            digest: digest_json(source),
        })
    }

    /// Reads a line of a stream, for example out of a container's log file.
    pub fn of_line(stream: impl Into<Arc<str>>, line: &str) -> Result<Self, ReadError> {
        let value: Value = serde_json::from_str(line).map_err(|error| ReadError::Json {
            why: error.to_string(),
            line: line.chars().take(80).collect(),
        })?;
        let time = value
            .get("time")
            .or_else(|| value.get("start_time"))
            .and_then(Value::as_str);
        let id = value.get("id").and_then(Value::as_str);
        Ok(Self {
            stream: stream.into(),
            sequence: value
                .get("sequence")
                .and_then(Value::as_u64)
                .ok_or(ReadError::Member("sequence"))?,
            id: id.and_then(identifier).ok_or(ReadError::Member("id"))?,
            at: time.and_then(instant).ok_or(ReadError::Member("time"))?,
            digest: digest(line.as_bytes()),
        })
    }

    /// Reads an entry of a Loki stream: its labels, its instant in unix nanoseconds and its line.
    ///
    /// Labels are those of a push (`namespace`, `pod`, `container`) or those that Loki makes of OTLP's
    /// resource attributes (`k8s_namespace_name`, ...; Loki 3, `distributor.otlp_config`).
    pub fn of_entry<'a>(
        label: impl Fn(&str) -> Option<&'a str>,
        at: i64,
        line: &str,
    ) -> Result<Self, ReadError> {
        let find = |names: [&'static str; 2]| {
            names
                .iter()
                .find_map(|name| label(name))
                .ok_or(ReadError::Member(names[0]))
        };
        let stream = format!(
            "{}/{}/{}",
            find(["namespace", "k8s_namespace_name"])?,
            find(["pod", "k8s_pod_name"])?,
            find(["container", "k8s_container_name"])?
        );
        // The entry's own instant counts: the one in the line is in its digest.
        Self::of_line(stream, line).map(|record| Self { at, ..record })
    }
}

fn identifier(text: &str) -> Option<u64> {
    u64::from_str_radix(text, 16).ok()
}

fn instant(text: &str) -> Option<i64> {
    let at: Timestamp = text.parse().ok()?;
    i64::try_from(at.as_nanosecond()).ok()
}

/// Digest of bytes: the finaliser of `SplitMix64` chained over their eights.
#[must_use]
pub fn digest(bytes: &[u8]) -> u64 {
    bytes.chunks(8).fold(mix(bytes.len() as u64), |hash, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        mix(hash ^ u64::from_le_bytes(word))
    })
}

/// Digest of a JSON value; the order of an object's members does not matter.
#[must_use]
pub fn digest_json(value: &Value) -> u64 {
    match value {
        Value::Object(members) => members.iter().fold(1, |sum: u64, (name, value)| {
            sum.wrapping_add(mix(digest(name.as_bytes()) ^ digest_json(value).rotate_left(32)))
        }),
        Value::Array(items) => items
            .iter()
            .fold(2, |hash, item| mix(hash ^ digest_json(item)).wrapping_add(1)),
        Value::String(text) => digest(text.as_bytes()),
        other => !digest(other.to_string().as_bytes()),
    }
}

/// Holds what was read back against what was sent.
///
/// Records of requests without a certain end ([`Sent::uncertain`]) may be
/// there or not; where they are, they have to be as they were sent, once.
/// Within a stream, `arrived` is in the order of arrival; the order of streams
/// does not matter.
#[must_use]
pub fn reconcile(sent: &Sent, arrived: &[Record]) -> Reconciliation<Key> {
    let certain = sent.records();
    let there: std::collections::HashSet<u64> = arrived.iter().map(|record| record.id).collect();
    let mut expected = certain;
    let doubted: Vec<Record> = sent
        .uncertain()
        .into_iter()
        .filter(|record| there.contains(&record.id))
        .collect();
    if !doubted.is_empty() {
        expected.extend(doubted);
        expected
            .sort_unstable_by(|one, other| (&one.stream, one.sequence).cmp(&(&other.stream, other.sequence)));
    }
    reconcile_records(&expected, arrived)
}

/// Holds records that were read back against others, for example those of a first reading.
///
/// `sent` is in the order of sequence numbers within each stream.
#[must_use]
pub fn reconcile_records(sent: &[Record], arrived: &[Record]) -> Reconciliation<Key> {
    type Item = (Key, (u64, Arc<str>, i64, u64));
    let content = |record: &Record| {
        (
            record.sequence,
            Arc::clone(&record.stream),
            record.at,
            record.digest,
        )
    };
    // An identifier says which record it is, whatever else of it was altered.
    let keys: HashMap<u64, Key> = sent.iter().map(|record| (record.id, record.key())).collect();
    let mut streams: indexmap::IndexMap<Arc<str>, (Vec<Item>, Vec<Item>)> = indexmap::IndexMap::new();
    for record in sent {
        let stream = streams.entry(Arc::clone(&record.stream)).or_default();
        stream.0.push((record.key(), content(record)));
    }
    for record in arrived {
        let key = keys.get(&record.id).cloned().unwrap_or_else(|| record.key());
        let stream = streams.entry(Arc::clone(&key.stream)).or_default();
        stream.1.push((key, content(record)));
    }
    let mut total = Reconciliation {
        sent: 0,
        arrived: 0,
        lost: Vec::new(),
        duplicated: Vec::new(),
        reordered: Vec::new(),
        altered: Vec::new(),
        unexpected: Vec::new(),
    };
    for (sent, arrived) in streams.into_values() {
        let found = ledger::reconcile(&sent, &arrived);
        total.sent += found.sent;
        total.arrived += found.arrived;
        total.lost.extend(found.lost);
        total.duplicated.extend(found.duplicated);
        total.reordered.extend(found.reordered);
        total.altered.extend(found.altered);
        total.unexpected.extend(found.unexpected);
    }
    total
}
