//! `conform emit logs`: options, and the report of what was done.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::files::Rotation;
use super::model::Kind;
use super::{Destination, Failure, Ledger, Load, LogsError, Outcome, send};
use crate::emit::otlp::Protocol;
use crate::emit::remote_write::{Latency, per_second};
use crate::seed::Seed;
use crate::shapes::Shapes;
use crate::units::{Bytes, Span};
use crate::wire::bulk::Action;
use crate::wire::otlp::Signal;

/// What to emit, and where to.
#[derive(Debug, Clone, PartialEq, clap::Args)]
#[command(group = clap::ArgGroup::new("way").required(true).multiple(false))]
pub struct LogsOptions {
    /// Send bulk documents to this Elasticsearch URL, for example `http://127.0.0.1:9200/_bulk`
    #[arg(long, value_name = "URL", group = "way")]
    pub bulk: Option<Url>,
    /// Send to Loki's push API at this URL, for example `http://127.0.0.1:3100/loki/api/v1/push`
    #[arg(long, value_name = "URL", group = "way")]
    pub loki: Option<Url>,
    /// Send OTLP to this URL, for example `http://127.0.0.1:4318/v1/logs`
    #[arg(long, value_name = "URL", group = "way")]
    pub otlp: Option<Url>,
    /// How OTLP travels
    #[arg(long, value_name = "PROTOCOL", default_value = "http", conflicts_with_all = ["bulk", "loki", "files"])]
    pub protocol: Protocol,
    /// Write container log files under this folder, with rotation
    #[arg(long, value_name = "FOLDER", group = "way")]
    pub files: Option<PathBuf>,
    /// Records per second over all streams
    #[arg(long, value_name = "RECORDS", default_value_t = 1000.0)]
    pub rate: f64,
    /// How long to emit
    #[arg(long, value_name = "DURATION", default_value = "1m")]
    pub duration: Span,
    /// How many records to emit, instead of how long
    #[arg(long, value_name = "RECORDS", conflicts_with = "duration")]
    pub count: Option<u64>,
    /// A service that logs, by name or namespace/name; may be given several times [default: all]
    #[arg(long = "service", value_name = "NAME")]
    pub services: Vec<String>,
    /// Kind of records; may be given several times [default: all]
    #[arg(long = "kind", value_name = "KIND")]
    pub kinds: Vec<Kind>,
    /// Spread the records' instants over so long a time before now
    #[arg(long, value_name = "DURATION")]
    pub history: Option<Span>,
    /// Seed that texts are drawn from, 16 hexadecimal digits; a fresh one is reported
    #[arg(long, value_name = "SEED")]
    pub seed: Option<Seed>,
    /// Connections that send at the same time
    #[arg(long, value_name = "COUNT", default_value_t = 1, conflicts_with = "files", value_parser = clap::value_parser!(u16).range(1..))]
    pub connections: u16,
    /// Most records a request; no more than a second's worth is held back
    #[arg(long, value_name = "COUNT", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub batch: u32,
    /// What a bulk request does with a document that is there already
    #[arg(long, value_name = "ACTION", default_value = "index", conflicts_with_all = ["loki", "otlp", "files"])]
    pub action: Action,
    /// What follows app-, istio-access- and logs- in the names of indices [default: today, as 2026.08.01]
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["loki", "otlp", "files"])]
    pub suffix: Option<String>,
    /// Send every bulk request so many more times, as a shipper that lost the answer
    #[arg(long, value_name = "COUNT", default_value_t = 0, conflicts_with_all = ["loki", "otlp", "files"])]
    pub repeat: u32,
    /// Size at which a log file is rotated
    #[arg(long, value_name = "SIZE", default_value = "10MiB", conflicts_with_all = ["bulk", "loki", "otlp"])]
    pub file_size: Bytes,
    /// Log files that a container keeps
    #[arg(long, value_name = "COUNT", default_value_t = 5, conflicts_with_all = ["bulk", "loki", "otlp"], value_parser = clap::value_parser!(u16).range(2..))]
    pub file_count: u16,
}

/// How logs were emitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// As bulk documents.
    Bulk,
    /// By Loki's push API.
    Loki,
    /// As OTLP.
    Otlp,
    /// As container log files.
    Files,
}

/// What was emitted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LogsReport {
    /// How.
    pub way: Way,
    /// Where to: a URL or a folder.
    pub to: String,
    /// The seed, which gives the same texts again.
    pub seed: Seed,
    /// What was sent and acknowledged, or written.
    pub ledger: Ledger,
    /// Requests sent, or writes to files.
    pub requests: u64,
    /// Records that were refused.
    pub refused: u64,
    /// Records of which nobody knows.
    pub unanswered: u64,
    /// Bulk items that met the document of an earlier sending.
    pub replaced: u64,
    /// Records whose files were removed by rotation.
    pub removed: u64,
    /// Kinds of failures, with the server's words.
    pub failures: Vec<Failure>,
    /// Records per second that were asked for.
    pub intended_rate: f64,
    /// Records per second that were acknowledged or written.
    pub achieved_rate: f64,
    /// Latency from the intended instant of sending.
    pub latency: Latency,
    /// Bytes sent or written.
    pub bytes: u64,
    /// Seconds that it took.
    pub seconds: f64,
    /// CPU seconds that the generator spent.
    pub cpu_seconds: f64,
    /// Records emitted per CPU second of the generator.
    pub records_per_cpu_second: f64,
    /// Bytes emitted per CPU second of the generator.
    pub bytes_per_cpu_second: f64,
}

impl LogsReport {
    fn of(way: Way, to: String, load: (Seed, f64), outcome: Outcome) -> Self {
        Self {
            way,
            to,
            seed: load.0,
            ledger: Ledger::of(&outcome.sent),
            requests: outcome.requests,
            refused: outcome.refused,
            unanswered: outcome.unanswered,
            replaced: outcome.replaced,
            removed: outcome.removed,
            intended_rate: load.1,
            achieved_rate: per_second(outcome.acknowledged, outcome.elapsed),
            latency: outcome.latency,
            bytes: outcome.bytes,
            seconds: outcome.elapsed.as_secs_f64(),
            cpu_seconds: outcome.cpu.as_secs_f64(),
            records_per_cpu_second: outcome.records_per_cpu_second(),
            bytes_per_cpu_second: outcome.bytes_per_cpu_second(),
            failures: outcome.failures,
        }
    }

    /// Whether everything was acknowledged.
    #[must_use]
    pub fn complete(&self) -> bool {
        self.refused == 0 && self.unanswered == 0
    }
}

impl fmt::Display for LogsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, unit) = match self.way {
            Way::Bulk => ("indexed at", "requests"),
            Way::Loki | Way::Otlp => ("sent to", "requests"),
            Way::Files => ("written to", "writes"),
        };
        let total = self.ledger.total;
        writeln!(
            f,
            "{} records of {} streams {what} {} in {:.1} s ({} {unit}, seed {})",
            total.records,
            self.ledger.streams.len(),
            self.to,
            self.seconds,
            self.requests,
            self.seed
        )?;
        writeln!(
            f,
            "rate      {:.0} records/s of {:.0}",
            self.achieved_rate, self.intended_rate
        )?;
        writeln!(
            f,
            "generator {:.2} CPU s, {:.0} records and {:.0} MiB per CPU s",
            self.cpu_seconds,
            self.records_per_cpu_second,
            self.bytes_per_cpu_second / f64::from(1 << 20)
        )?;
        writeln!(
            f,
            "latency   p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms, longest {:.1} ms, from the intended instant",
            self.latency.p50 * 1e3,
            self.latency.p95 * 1e3,
            self.latency.p99 * 1e3,
            self.latency.max * 1e3
        )?;
        if total.records > 0 {
            writeln!(
                f,
                "ledger    {} to {}, checksum {:016x}",
                instant(total.first),
                instant(total.last),
                total.checksum
            )?;
        }
        if self.replaced > 0 {
            writeln!(f, "repeated  {} documents were there already", self.replaced)?;
        }
        if self.removed > 0 {
            writeln!(f, "rotation  removed the files of {} records", self.removed)?;
        }
        if !self.complete() {
            writeln!(
                f,
                "failed    {} records refused, {} without a certain end",
                self.refused, self.unanswered
            )?;
        }
        for failure in &self.failures {
            let status = failure.status.as_deref().unwrap_or_default();
            let gap = if status.is_empty() { "" } else { " " };
            writeln!(
                f,
                "          {} times: {status}{gap}{}",
                failure.times, failure.words
            )?;
        }
        Ok(())
    }
}

fn instant(nanoseconds: i64) -> String {
    Timestamp::from_nanosecond(nanoseconds.into())
        .map_or_else(|_| nanoseconds.to_string(), |at| at.to_string())
}

/// A URL with the path that the server has by default, where it has none of its own.
fn with_path(url: &Url, path: &str) -> Url {
    let mut url = url.clone();
    if url.path() == "/" {
        url.set_path(path);
    }
    url
}

/// Emits until the load is over or `stop` is given.
pub async fn run(
    options: LogsOptions,
    shapes: Arc<Shapes>,
    stop: CancellationToken,
) -> Result<LogsReport, LogsError> {
    let seed = options.seed.unwrap_or_else(Seed::fresh);
    let (way, to, destination) = match (&options.bulk, &options.loki, &options.otlp, &options.files) {
        (Some(url), None, None, None) => {
            let endpoint = with_path(url, "/_bulk");
            let destination = Destination::Bulk {
                endpoint: endpoint.clone(),
                action: options.action,
                suffix: options.suffix.clone(),
                repeats: options.repeat,
            };
            (Way::Bulk, endpoint.to_string(), destination)
        }
        (None, Some(url), None, None) => {
            let endpoint = with_path(url, "/loki/api/v1/push");
            (Way::Loki, endpoint.to_string(), Destination::Loki(endpoint))
        }
        (None, None, Some(url), None) => {
            let protocol = options.protocol;
            let endpoint = match protocol {
                Protocol::Http => with_path(url, Signal::Logs.http_path()),
                // A gRPC method has its own path.
                Protocol::Grpc => url.clone(),
            };
            let destination = Destination::Otlp {
                endpoint: endpoint.clone(),
                protocol,
            };
            (Way::Otlp, endpoint.to_string(), destination)
        }
        (None, None, None, Some(folder)) => {
            let destination = Destination::Files {
                folder: folder.clone(),
                rotation: Rotation {
                    size: options.file_size.0,
                    files: options.file_count.into(),
                },
            };
            (Way::Files, folder.display().to_string(), destination)
        }
        _ => return Err(LogsError::Way),
    };
    let load = Load {
        services: options.services,
        kinds: options.kinds,
        rate: options.rate,
        duration: options.duration.0,
        count: options.count,
        connections: options.connections.into(),
        batch: usize::try_from(options.batch).unwrap_or(usize::MAX),
        history: options.history.map(|span| span.0),
        ..Load::new(destination, shapes, seed)
    };
    let rate = load.rate;
    let outcome = send(load, stop).await?;
    Ok(LogsReport::of(way, to, (seed, rate), outcome))
}
