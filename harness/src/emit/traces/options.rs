//! What `conform emit traces` takes, and what it reports.

use std::fmt;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::ledger::{Line, Summary, TraceLedger};
use super::plan::{Amount, Wanted};
use super::topology::{Topology, TopologyError};
use super::{Load, Outcome, TracesError, send};
use crate::emit::otlp::{Endpoint, Failure, Protocol, Sending};
use crate::emit::remote_write::Latency;
use crate::seed::Seed;
use crate::shapes::Shapes;
use crate::units::Span;
use crate::wire::otlp::{Signal, TraceId, TraceIdError};

/// What to emit, and where to.
#[derive(Debug, Clone, PartialEq, clap::Args)]
pub struct TracesOptions {
    /// Where to, for example `http://127.0.0.1:4317` (gRPC) or `http://127.0.0.1:4318` (HTTP)
    #[arg(long, value_name = "URL")]
    pub endpoint: Url,
    /// How requests travel
    #[arg(long, value_enum, default_value_t = Protocol::Grpc)]
    pub protocol: Protocol,
    /// Spans per second over all traces
    #[arg(long, value_name = "SPANS", default_value_t = 1000.0)]
    pub rate: f64,
    /// How long to emit
    #[arg(long, value_name = "DURATION", default_value = "1m", conflicts_with_all = ["traces", "ids"])]
    pub duration: Span,
    /// Emit so many traces instead
    #[arg(long, value_name = "COUNT", conflicts_with = "ids", value_parser = clap::value_parser!(u64).range(1..))]
    pub traces: Option<u64>,
    /// Emit one trace for each ID in this file instead, a line each of 32 hexadecimal digits
    #[arg(long, value_name = "FILE")]
    pub ids: Option<PathBuf>,
    /// A service that traces start in; may be given several times [default: all that start some]
    #[arg(long = "service", value_name = "NAME")]
    pub services: Vec<String>,
    /// Seed that shapes and IDs are drawn from, 16 hexadecimal digits; a fresh one is reported
    #[arg(long, value_name = "SEED")]
    pub seed: Option<Seed>,
    /// Most spans a request; a trace is never split
    #[arg(long, value_name = "COUNT", default_value_t = 2000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub batch: u64,
    /// Most requests without an answer at a time; beyond it requests are sent late, and counted as late
    #[arg(long, value_name = "COUNT", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    pub in_flight: u16,
    /// Connections that send at the same time, over gRPC
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub connections: u16,
    /// Write the ledger into this file, one JSON object a trace
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<PathBuf>,
}

/// Why nothing was emitted.
#[derive(Debug, thiserror::Error)]
pub enum EmitError {
    /// The services make no traces.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// The load was not sent.
    #[error(transparent)]
    Traces(#[from] TracesError),
    /// A file cannot be read or written.
    #[error("{path}: {source}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line is not an ID.
    #[error("{path}:{line}: {source}", path = .path.display())]
    Id {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Why.
        source: TraceIdError,
    },
    /// An ID stands twice.
    #[error("{path}:{line}: {id} stands in line {first} already: give each trace an ID of its own", path = .path.display())]
    Twice {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// The line where it stands first.
        first: usize,
        /// The ID.
        id: TraceId,
    },
}

/// What was emitted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EmitReport {
    /// Where to.
    pub to: String,
    /// How.
    pub protocol: Protocol,
    /// The seed, which gives the same traces again.
    pub seed: Seed,
    /// What was acknowledged.
    pub ledger: Summary,
    /// Requests sent.
    pub requests: u64,
    /// Spans of refused requests, and rejected ones.
    pub refused: u64,
    /// Spans of requests without an answer.
    pub unanswered: u64,
    /// Kinds of failures, with the server's words.
    pub failures: Vec<Failure>,
    /// Requests sent more than 10 ms after their instant.
    pub late: u64,
    /// The longest that a request was sent after its instant, in seconds.
    pub longest_delay: f64,
    /// Spans per second that were asked for.
    pub intended_rate: f64,
    /// Spans per second that were acknowledged.
    pub achieved_rate: f64,
    /// Latency from the intended instant of sending.
    pub latency: Latency,
    /// Bytes sent.
    pub bytes: u64,
    /// Seconds that it took.
    pub seconds: f64,
    /// CPU seconds that the generator spent.
    pub cpu_seconds: f64,
    /// Spans emitted per CPU second of the generator.
    pub spans_per_cpu_second: f64,
}

impl fmt::Display for EmitReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} spans of {} traces sent to {} in {:.1} s ({} requests, seed {})",
            self.ledger.spans, self.ledger.traces, self.to, self.seconds, self.requests, self.seed
        )?;
        let origins: Vec<String> = self
            .ledger
            .origins
            .iter()
            .map(|(origin, count)| format!("{origin} {count}"))
            .collect();
        if !origins.is_empty() {
            writeln!(f, "started   {}", origins.join(", "))?;
        }
        writeln!(
            f,
            "rate      {:.0} spans/s of {:.0}",
            self.achieved_rate, self.intended_rate
        )?;
        writeln!(
            f,
            "generator {:.2} CPU s, {:.0} spans per CPU s",
            self.cpu_seconds, self.spans_per_cpu_second
        )?;
        writeln!(
            f,
            "latency   p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms, longest {:.1} ms, from the intended instant",
            self.latency.p50 * 1e3,
            self.latency.p95 * 1e3,
            self.latency.p99 * 1e3,
            self.latency.max * 1e3
        )?;
        if self.late > 0 {
            writeln!(
                f,
                "late      {} requests, by {:.1} ms at most",
                self.late,
                self.longest_delay * 1e3
            )?;
        }
        if self.refused + self.unanswered > 0 {
            writeln!(
                f,
                "failed    {} spans refused, {} without an answer",
                self.refused, self.unanswered
            )?;
        }
        for failure in &self.failures {
            let status = failure
                .status
                .as_ref()
                .map_or_else(String::new, |status| format!("{status}: "));
            writeln!(
                f,
                "          {} requests: {status}{}",
                failure.requests, failure.words
            )?;
        }
        Ok(())
    }
}

/// Emits until it is over or `stop` is given, and writes the ledger's file.
pub async fn run(
    options: TracesOptions,
    shapes: &Shapes,
    stop: CancellationToken,
) -> Result<EmitReport, EmitError> {
    let seed = options.seed.unwrap_or_else(Seed::fresh);
    let topology = Arc::new(Topology::new(shapes)?);
    let amount = match (&options.ids, options.traces) {
        (Some(path), _) => Amount::Ids(read_ids(path)?),
        (None, Some(count)) => Amount::Traces(count),
        (None, None) => Amount::For(options.duration.0),
    };
    // Made first, so that a wrong path is known before anything was sent.
    let ledger_file = options
        .ledger
        .as_deref()
        .map(|path| File::create(path).map_err(|source| file(path, source)))
        .transpose()?;
    let load = Load {
        endpoint: Endpoint {
            url: options.endpoint.clone(),
            protocol: options.protocol,
            signal: Signal::Traces,
            headers: Vec::new(),
        },
        wanted: Wanted {
            amount,
            rate: options.rate,
            batch: options.batch.min(a_second(options.rate)),
            origins: options.services.clone(),
            root_attributes: Vec::new(),
            seed,
        },
        sending: Sending {
            connections: options.connections.into(),
            in_flight: options.in_flight.into(),
        },
    };
    let outcome = send(topology, load, stop).await?;
    let ledger = outcome.ledger();
    if let (Some(path), Some(out)) = (options.ledger.as_deref(), ledger_file) {
        write(&ledger, out).map_err(|source| file(path, source))?;
    }
    Ok(EmitReport::of(&options, seed, &outcome, &ledger))
}

/// Spans of a second of a rate: more of them in a request would be a burst in place of the rate.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is positive, and beyond the most of a request it does not matter"
)]
fn a_second(rate: f64) -> u64 {
    (rate as u64).max(1)
}

impl EmitReport {
    fn of(options: &TracesOptions, seed: Seed, outcome: &Outcome, ledger: &TraceLedger) -> Self {
        let tally = &outcome.tally;
        Self {
            to: options.endpoint.to_string(),
            protocol: options.protocol,
            seed,
            ledger: ledger.summary(),
            requests: tally.requests,
            refused: tally.refused,
            unanswered: tally.unanswered,
            failures: tally.failures.clone(),
            late: tally.late,
            longest_delay: tally.longest_delay.as_secs_f64(),
            intended_rate: options.rate,
            achieved_rate: tally.achieved_rate(),
            latency: tally.latency,
            bytes: tally.bytes,
            seconds: tally.elapsed.as_secs_f64(),
            cpu_seconds: outcome.cpu.as_secs_f64(),
            spans_per_cpu_second: outcome.spans_per_cpu_second(),
        }
    }
}

fn file(path: &Path, source: std::io::Error) -> EmitError {
    EmitError::File {
        path: path.to_owned(),
        source,
    }
}

/// The IDs of a file, a line each; empty lines are left out.
fn read_ids(path: &Path) -> Result<Arc<[TraceId]>, EmitError> {
    let text = std::fs::read_to_string(path).map_err(|source| file(path, source))?;
    let mut ids = indexmap::IndexMap::new();
    for (line, text) in (1..).zip(text.lines()) {
        if text.trim().is_empty() {
            continue;
        }
        let id: TraceId = text.trim().parse().map_err(|source| EmitError::Id {
            path: path.to_owned(),
            line,
            source,
        })?;
        if let Some(first) = ids.insert(id, line) {
            return Err(EmitError::Twice {
                path: path.to_owned(),
                line,
                first,
                id,
            });
        }
    }
    Ok(ids.into_keys().collect())
}

/// Writes a ledger, one JSON object a line and trace.
pub fn write(ledger: &TraceLedger, out: impl Write) -> std::io::Result<()> {
    let mut out = BufWriter::new(out);
    for (id, entry) in ledger.traces() {
        serde_json::to_writer(&mut out, &Line::of(*id, entry))?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use rstest::rstest;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        options: TracesOptions,
    }

    const TO: [&str; 2] = ["--endpoint", "http://127.0.0.1:4317"];

    fn options(arguments: &[&str]) -> Result<TracesOptions, clap::Error> {
        Command::try_parse_from([&["emit"], arguments].concat()).map(|line| line.options)
    }

    #[test]
    fn the_definition_of_the_options_is_sound() {
        use clap::CommandFactory;
        Command::command().debug_assert();
    }

    #[rstest]
    #[case(&[], "required")]
    #[case(&["--traces", "5", "--duration", "1s"], "cannot be used with")]
    #[case(&["--traces", "5", "--ids", "x"], "cannot be used with")]
    #[case(&["--traces", "0"], "not in 1..")]
    #[case(&["--batch", "0"], "not in 1..")]
    #[case(&["--protocol", "udp"], "possible values: grpc, http")]
    fn bad_lines_are_refused_with_a_remedy(#[case] line: &[&str], #[case] remedy: &str) {
        let given: &[&str] = if line.is_empty() { &[] } else { &TO };
        let error = options(&[given, line].concat()).unwrap_err().to_string();
        assert!(error.contains(remedy), "{error}");
    }

    #[rstest]
    #[case(
        "0123\n",
        "1: `0123` is not a trace ID: give 32 hexadecimal digits, not all of them 0"
    )]
    #[case(
        "00000000000000000000000000000001\n\n00000000000000000000000000000001\n",
        "3: 00000000000000000000000000000001 stands in line 1 already: give each trace an ID of its own"
    )]
    fn bad_files_of_ids_are_refused_with_their_line(#[case] text: &str, #[case] words: &str) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ids");
        std::fs::write(&path, text).unwrap();
        let error = read_ids(&path).unwrap_err().to_string();
        assert_eq!(error, format!("{}:{words}", path.display()));
    }

    #[test]
    fn a_ledger_is_written_a_line_a_trace() {
        let mut ledger = TraceLedger::default();
        let id = TraceId([0xab; 16]);
        let entry = super::super::ledger::Entry {
            origin: "ml-service".into(),
            spans: 3,
            digest: 255,
        };
        ledger.enter(id, entry.clone());
        let mut out = Vec::new();
        write(&ledger, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), Line::of(id, &entry));
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_report_reads_well() {
        let report = EmitReport {
            to: "http://127.0.0.1:4317/".into(),
            protocol: Protocol::Grpc,
            seed: Seed(1),
            ledger: Summary {
                traces: 1_000,
                spans: 9_000,
                origins: [("api-gateway".to_owned(), 900), ("ml-service".to_owned(), 100)].into(),
                digest: 1,
            },
            requests: 6,
            refused: 2_000,
            unanswered: 0,
            failures: vec![Failure {
                status: Some("UNAVAILABLE".into()),
                words: "data refused due to high memory usage".into(),
                requests: 1,
                items: 2_000,
            }],
            late: 2,
            longest_delay: 0.0123,
            intended_rate: 10_000.0,
            achieved_rate: 9_000.0,
            latency: Latency {
                p50: 0.001,
                p95: 0.002,
                p99: 0.003,
                max: 0.04,
            },
            bytes: 3_000_000,
            seconds: 1.0,
            cpu_seconds: 0.01,
            spans_per_cpu_second: 1_100_000.0,
        };
        insta::assert_snapshot!(report);
        insta::assert_json_snapshot!(report);
    }
}
