//! Logs of the played services: open-loop, from one core, with a ledger.
//!
//! What is written when is the [`plan`]'s: each record has an identifier and
//! its place in its stream, and its content is a function of both and the
//! seed, so that what is read back can be held against it record by record
//! ([`records`]). Requests are laid out once and stamped; those that fail are
//! not sent again, because a generator measures.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;
use serde::Serialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::ledger::mix;
use super::one_core::{CoreError, on_one_core};
use super::otlp::{OtlpError, Protocol};
use super::remote_write::{Latency, SendError, per_second};
use crate::clock::unix_nanoseconds;
use crate::seed::Seed;
use crate::shapes::Shapes;
use crate::wire::bulk::Action;

pub mod files;
mod json;
pub mod model;
pub mod options;
pub mod plan;
pub mod records;
mod send;

use files::Rotation;
use model::Kind;
use plan::{Form, Plan, PlanError, Sent, Slot};
use send::Exchange;

/// So many kinds of failures are told apart by their words.
const KINDS_KEPT: usize = 20;

/// Where records go.
#[derive(Debug, Clone, PartialEq)]
pub enum Destination {
    /// Elasticsearch's bulk API, for example `http://127.0.0.1:9200/_bulk`.
    Bulk {
        /// Where to.
        endpoint: Url,
        /// What happens where a document is there already.
        action: Action,
        /// What follows `app-`, `istio-access-` and `logs-` in the names of indices; the day of the start without.
        suffix: Option<String>,
        /// How often every request is sent again, as by a shipper that lost the answer.
        repeats: u32,
    },
    /// Loki's push API, for example `http://127.0.0.1:3100/loki/api/v1/push`.
    Loki(Url),
    /// OTLP.
    Otlp {
        /// Where to, for example `http://127.0.0.1:4318/v1/logs`, Loki's `http://127.0.0.1:3100/otlp/v1/logs`, or
        /// `http://127.0.0.1:4317` over gRPC.
        endpoint: Url,
        /// How.
        protocol: Protocol,
    },
    /// Container log files under a folder.
    Files {
        /// The folder.
        folder: PathBuf,
        /// When files are rotated and removed.
        rotation: Rotation,
    },
}

/// A load to send.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    /// Where to.
    pub destination: Destination,
    /// The services that log.
    pub shapes: Arc<Shapes>,
    /// Those that do, by name or `namespace/name`; all where it is empty.
    pub services: Vec<String>,
    /// Kinds of streams that are written; all where it is empty.
    pub kinds: Vec<Kind>,
    /// Records per second over all streams.
    pub rate: f64,
    /// How long, where `count` does not say how many.
    pub duration: Duration,
    /// How many records.
    pub count: Option<u64>,
    /// Connections that send at the same time.
    pub connections: usize,
    /// Most records a request; no more than a second's worth is held back.
    pub batch: usize,
    /// Records carry instants evenly over so long a time before the start, instead of those of sending.
    pub history: Option<Duration>,
    /// What texts are drawn from.
    pub seed: Seed,
}

impl Load {
    /// A load of all services for a minute, 1000 records per second over one connection.
    #[must_use]
    pub fn new(destination: Destination, shapes: Arc<Shapes>, seed: Seed) -> Self {
        Self {
            destination,
            shapes,
            services: Vec::new(),
            kinds: Vec::new(),
            rate: 1_000.0,
            duration: Duration::from_secs(60),
            count: None,
            connections: 1,
            batch: 1_000,
            history: None,
            seed,
        }
    }
}

/// Why logs were not emitted.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    /// None of the ways was chosen, or more than one.
    #[error("where to is not clear: give one of --bulk, --loki, --otlp and --files")]
    Way,
    /// The OTLP client cannot be made.
    #[error(transparent)]
    Otlp(#[from] OtlpError),
    /// The load makes no sense.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The client cannot be made.
    #[error(transparent)]
    Client(#[from] SendError),
    /// The endpoint cannot be reached at all.
    #[error("{endpoint} cannot be reached: {why}")]
    Unreachable {
        /// The endpoint.
        endpoint: Url,
        /// Why, down to the cause.
        why: String,
    },
    /// A log file cannot be written.
    #[error("{path}: {source}; give --files a folder without files of an earlier run, with room", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The generator's thread failed.
    #[error(transparent)]
    Core(#[from] CoreError),
}

/// A kind of failure, and how often it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// HTTP status, of the item where only some failed, or name of the gRPC status; none where no answer came.
    pub status: Option<String>,
    /// The server's words (of the first such failure), or why no answer came.
    pub words: String,
    /// How often it came: requests, or items of bulk requests.
    pub times: u64,
    /// Records that failed so.
    pub records: u64,
}

/// What one connection did.
#[derive(Debug, Default)]
struct Tally {
    requests: u64,
    bytes: u64,
    acknowledged: u64,
    refused: u64,
    unanswered: u64,
    replaced: u64,
    removed: u64,
    /// By status and kind: the first words, times and records.
    failures: IndexMap<(Option<String>, String), (String, u64, u64)>,
    microseconds: Vec<u64>,
    /// Batches, and whether they were acknowledged.
    slots: Vec<(Slot, bool)>,
    refused_records: Vec<u64>,
}

impl Tally {
    /// An answer came now to what was to be sent at `instant`.
    fn late(&mut self, instant: Instant) {
        let late = Instant::now().saturating_duration_since(instant);
        self.microseconds
            .push(u64::try_from(late.as_micros()).unwrap_or(u64::MAX));
    }

    /// A request failed.
    fn fail(&mut self, status: Option<String>, words: String, records: u64) {
        let mut kind = (status, words.clone());
        if self.failures.len() >= KINDS_KEPT && !self.failures.contains_key(&kind) {
            // Words that name instants never repeat; from here on the status alone is told apart.
            kind.1 = String::new();
        }
        let entry = self.failures.entry(kind).or_insert((words, 0, 0));
        entry.1 += 1;
        entry.2 += records;
    }

    /// An item failed; reasons name documents, so the kind puts them together.
    fn fail_item(&mut self, status: u16, kind: String, reason: &str) {
        let entry = self
            .failures
            .entry((Some(status.to_string()), kind))
            .or_insert_with_key(|(_, kind)| (format!("{kind}: {reason}"), 0, 0));
        entry.1 += 1;
        entry.2 += 1;
    }

    fn merge(&mut self, other: Self) {
        self.requests += other.requests;
        self.bytes += other.bytes;
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.unanswered += other.unanswered;
        self.replaced += other.replaced;
        self.removed += other.removed;
        for (kind, (words, times, records)) in other.failures {
            let entry = self.failures.entry(kind).or_insert((words, 0, 0));
            entry.1 += times;
            entry.2 += records;
        }
        self.microseconds.extend(other.microseconds);
        self.slots.extend(other.slots);
        self.refused_records.extend(other.refused_records);
    }
}

/// What came of a load.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What was acknowledged, for reconciliation.
    pub sent: Sent,
    /// Requests that were sent, or writes to files.
    pub requests: u64,
    /// Records that the server acknowledged, or that were written.
    pub acknowledged: u64,
    /// Records that the server refused: alone, with their request, or as rejected by OTLP.
    pub refused: u64,
    /// Records of which nobody knows.
    pub unanswered: u64,
    /// Bulk items that met the document of an earlier sending.
    pub replaced: u64,
    /// Records whose files were removed by rotation.
    pub removed: u64,
    /// The failures.
    pub failures: Vec<Failure>,
    /// Latency from the intended instant of sending to the answer.
    pub latency: Latency,
    /// Bytes of bodies or files.
    pub bytes: u64,
    /// From the start to the last answer, but at least as long as it was meant to last.
    pub elapsed: Duration,
    /// CPU time of the generator's thread.
    pub cpu: Duration,
}

impl Outcome {
    /// Records sent per second of CPU time of the generator.
    #[must_use]
    pub fn records_per_cpu_second(&self) -> f64 {
        per_second(self.acknowledged + self.refused + self.unanswered, self.cpu)
    }

    /// Bytes sent per second of CPU time of the generator.
    #[must_use]
    pub fn bytes_per_cpu_second(&self) -> f64 {
        per_second(self.bytes, self.cpu)
    }
}

/// Sends a load from a thread of its own until it is over or `stop` is given.
pub async fn send(load: Load, stop: CancellationToken) -> Result<Outcome, LogsError> {
    let (outcome, cpu) = on_one_core("logs", move || send_here(load, stop)).await?;
    outcome.map(|outcome| Outcome { cpu, ..outcome })
}

async fn send_here(load: Load, stop: CancellationToken) -> Result<Outcome, LogsError> {
    let plan = Plan::new(&load)?;
    let mut began = Instant::now();
    let mark_start = || {
        began = Instant::now();
        (began, i64::try_from(unix_nanoseconds()).unwrap_or(i64::MAX))
    };
    let (mut total, mut form) = (Tally::default(), Form::Line);
    let start = match &load.destination {
        Destination::Files { folder, rotation } => {
            let (tally, start) = files::write(&plan, folder, *rotation, mark_start, &stop).await?;
            total.merge(tally);
            start
        }
        Destination::Bulk { endpoint, .. }
        | Destination::Loki(endpoint)
        | Destination::Otlp { endpoint, .. } => {
            let exchange = exchange(&load.destination);
            form = exchange.form();
            let (tallies, start) = send::send(&plan, endpoint, &exchange, mark_start, &stop).await?;
            for tally in tallies {
                total.merge(tally);
            }
            start
        }
    };
    let elapsed = began.elapsed();
    let planned = plan_length(&load, &plan);
    let mut sent = Sent::new(plan, start, form);
    for (slot, acknowledged) in total.slots {
        if acknowledged {
            sent.acknowledge(slot);
        } else {
            sent.doubt(slot);
        }
    }
    for number in total.refused_records {
        sent.refuse(number);
    }
    Ok(Outcome {
        sent,
        requests: total.requests,
        acknowledged: total.acknowledged,
        refused: total.refused,
        unanswered: total.unanswered,
        replaced: total.replaced,
        removed: total.removed,
        failures: total
            .failures
            .into_iter()
            .map(|((status, _), (words, times, records))| Failure {
                status,
                words,
                times,
                records,
            })
            .collect(),
        latency: Latency::of(total.microseconds),
        bytes: total.bytes,
        elapsed: if stop.is_cancelled() {
            elapsed
        } else {
            elapsed.max(planned)
        },
        cpu: Duration::ZERO,
    })
}

/// How long a load is meant to last.
fn plan_length(load: &Load, plan: &Plan) -> Duration {
    match load.count {
        // A count ends with its last record.
        Some(_) => {
            Duration::try_from_secs_f64(per_second(plan.records(), Duration::from_secs(1)) / load.rate)
                .unwrap_or_default()
        }
        None => load.duration,
    }
}

fn exchange(destination: &Destination) -> Exchange {
    match destination {
        Destination::Bulk {
            action,
            suffix,
            repeats,
            ..
        } => Exchange::Bulk {
            action: *action,
            suffix: suffix
                .clone()
                .unwrap_or_else(|| Timestamp::now().strftime("%Y.%m.%d").to_string()),
            repeats: *repeats,
        },
        Destination::Otlp { protocol, .. } => Exchange::Otlp(*protocol),
        Destination::Loki(_) | Destination::Files { .. } => Exchange::Loki,
    }
}

/// What is kept of one stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct StreamEntry {
    /// Number of records.
    pub records: u64,
    /// Instant of the earliest record, in unix nanoseconds.
    pub first: i64,
    /// Instant of the latest record, in unix nanoseconds.
    pub last: i64,
    /// A sum over all records of a hash of identifier and content; their order does not matter.
    pub checksum: u64,
}

impl StreamEntry {
    /// Takes in one record.
    pub fn enter(&mut self, record: &records::Record) {
        self.merge(&Self {
            records: 1,
            first: record.at,
            last: record.at,
            checksum: mix(record.id ^ mix(record.digest)),
        });
    }

    fn merge(&mut self, other: &Self) {
        if self.records == 0 {
            *self = *other;
            return;
        }
        self.records += other.records;
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.checksum = self.checksum.wrapping_add(other.checksum);
    }
}

/// What was acknowledged, in total and by stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Ledger {
    /// All streams together.
    pub total: StreamEntry,
    /// By `namespace/pod/container`.
    pub streams: IndexMap<String, StreamEntry>,
}

impl Ledger {
    /// Enters one record.
    pub fn enter(&mut self, record: &records::Record) {
        self.total.enter(record);
        if let Some(entry) = self.streams.get_mut(record.stream.as_ref()) {
            entry.enter(record);
        } else {
            let mut entry = StreamEntry::default();
            entry.enter(record);
            self.streams.insert(record.stream.to_string(), entry);
        }
    }

    /// What was acknowledged, streams sorted by name.
    #[must_use]
    pub fn of(sent: &Sent) -> Self {
        let mut ledger = Self::default();
        sent.each_acknowledged(|record| ledger.enter(&record));
        ledger.streams.sort_unstable_keys();
        ledger
    }
}

#[cfg(test)]
mod tests;
