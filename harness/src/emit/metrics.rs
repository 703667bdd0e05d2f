//! `conform emit metrics`: sends, exposes or backfills metrics, and reports what it did.

use std::fmt;
use std::fs::File;
use std::io::BufWriter;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use indexmap::IndexMap;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::backfill::{self, Backfill};
use super::ledger::Summary;
use super::one_core::{CoreError, on_one_core};
use super::player::Clock;
use super::remote_write::plan::{Churn, digits};
use super::remote_write::{Failure, Latency, Load, SendError, per_second, send};
use crate::seed::Seed;
use crate::units::{Ratio, Span};
use crate::wire::openmetrics::{Kind, OpenMetricsError};

mod listen;

/// What to emit, and where to.
#[derive(Debug, Clone, PartialEq, clap::Args)]
#[command(group = clap::ArgGroup::new("way").required(true).multiple(false))]
pub struct MetricsOptions {
    /// Send by remote write to this URL, for example `http://127.0.0.1:9090/api/v1/write`
    #[arg(long, value_name = "URL", group = "way")]
    pub remote_write: Option<Url>,
    /// Be a scrape target on this address, for example 127.0.0.1:9100
    #[arg(long, value_name = "ADDRESS", group = "way")]
    pub listen: Option<SocketAddr>,
    /// Write history up to now as OpenMetrics into this file, for `promtool tsdb create-blocks-from openmetrics`
    #[arg(long, value_name = "FILE", group = "way")]
    pub backfill: Option<PathBuf>,
    /// Samples per second over all series; as a scrape target, the scraper decides
    #[arg(
        long,
        value_name = "SAMPLES",
        default_value_t = 1000.0,
        conflicts_with = "listen"
    )]
    pub rate: f64,
    /// Series at any time
    #[arg(long, value_name = "COUNT", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..100_000_000))]
    pub series: u64,
    /// Share of the series that is replaced by new ones per minute
    #[arg(long, value_name = "SHARE", default_value = "0%")]
    pub churn: Ratio,
    /// How long to emit, or how far back to fill
    #[arg(long, value_name = "DURATION", default_value = "1m")]
    pub duration: Span,
    /// Seed that values are drawn from, 16 hexadecimal digits; a fresh one is reported
    #[arg(long, value_name = "SEED")]
    pub seed: Option<Seed>,
    /// Name of the metric
    #[arg(long, value_name = "NAME", default_value = "load_total", value_parser = metric_name)]
    pub metric: String,
    /// A label that all series have; may be given several times
    #[arg(long = "label", value_name = "NAME=VALUE")]
    pub labels: Vec<Label>,
    /// Connections that send at the same time
    #[arg(long, value_name = "COUNT", default_value_t = 1, conflicts_with_all = ["listen", "backfill"], value_parser = clap::value_parser!(u16).range(1..))]
    pub connections: u16,
    /// Samples a request
    #[arg(long, value_name = "COUNT", default_value_t = 2000, conflicts_with_all = ["listen", "backfill"], value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub batch: u64,
}

/// A label given as `name=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// Why a text is not a name or a label.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}: {remedy}")]
pub struct NameError {
    text: String,
    what: &'static str,
    remedy: &'static str,
}

fn well_named(name: &str, colons: bool) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || (colons && c == ':'))
}

fn metric_name(text: &str) -> Result<String, NameError> {
    if well_named(text, true) && text.ends_with("_total") {
        Ok(text.to_owned())
    } else {
        Err(NameError {
            text: text.to_owned(),
            what: "the name of a counter",
            remedy: "write letters, digits, underscores and colons, and `_total` at the end",
        })
    }
}

impl FromStr for Label {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.split_once('=') {
            Some((name, value)) if well_named(name, false) && !name.starts_with("__") => Ok(Self {
                name: name.to_owned(),
                value: value.to_owned(),
            }),
            _ => Err(NameError {
                text: text.to_owned(),
                what: "a label",
                remedy: "write name=value, the name of letters, digits and underscores, for example zone=a",
            }),
        }
    }
}

/// Why nothing was emitted.
#[derive(Debug, thiserror::Error)]
pub enum EmitError {
    /// None of the ways was chosen, or more than one.
    #[error("where to is not clear: give one of --remote-write, --listen and --backfill")]
    Way,
    /// A label is one that the generator sets itself.
    #[error("the label `{0}` is set by the generator: give it another name")]
    Label(String),
    /// The rate makes no sense.
    #[error(transparent)]
    Rate(#[from] super::schedule::RateError),
    /// Sending failed.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The address cannot be listened on.
    #[error("{address} cannot be listened on: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The file cannot be made.
    #[error("{path}: {source}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The text cannot be written.
    #[error("{path}: {source}", path = .path.display())]
    Text {
        /// The file.
        path: PathBuf,
        /// Why.
        source: OpenMetricsError,
    },
    /// The generator's thread failed.
    #[error(transparent)]
    Core(#[from] CoreError),
}

/// How metrics were emitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// Sent by remote write.
    RemoteWrite,
    /// Exposed to scrapes.
    Listen,
    /// Written as history.
    Backfill,
}

/// What was emitted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EmitReport {
    /// How.
    pub way: Way,
    /// Where to: a URL, an address or a file.
    pub to: String,
    /// The seed, which gives the same values again.
    pub seed: Seed,
    /// What was sent and acknowledged, exposed, or written.
    pub ledger: Summary,
    /// Requests sent or scrapes served.
    pub requests: u64,
    /// Samples of refused requests.
    pub refused: u64,
    /// Samples of requests without an answer.
    pub unanswered: u64,
    /// Kinds of failures, with the server's words.
    pub failures: Vec<Failure>,
    /// Samples per second that were asked for; none as a scrape target.
    pub intended_rate: Option<f64>,
    /// Samples per second that were acknowledged, exposed or written.
    pub achieved_rate: f64,
    /// Latency from the intended instant of sending; only by remote write.
    pub latency: Option<Latency>,
    /// Bytes sent or written.
    pub bytes: u64,
    /// Seconds that it took.
    pub seconds: f64,
    /// CPU seconds that the generator spent.
    pub cpu_seconds: f64,
    /// Samples emitted per CPU second of the generator.
    pub samples_per_cpu_second: f64,
}

impl fmt::Display for EmitReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, unit) = match self.way {
            Way::RemoteWrite => ("sent to", "requests"),
            Way::Listen => ("exposed on", "scrapes"),
            Way::Backfill => ("written to", "files"),
        };
        writeln!(
            f,
            "{} samples of {} series {what} {} in {:.1} s ({} {unit}, seed {})",
            self.ledger.samples, self.ledger.series, self.to, self.seconds, self.requests, self.seed
        )?;
        write!(f, "rate      {:.0} samples/s", self.achieved_rate)?;
        if let Some(intended) = self.intended_rate {
            write!(f, " of {intended:.0}")?;
        }
        writeln!(f)?;
        writeln!(
            f,
            "generator {:.2} CPU s, {:.0} samples per CPU s",
            self.cpu_seconds, self.samples_per_cpu_second
        )?;
        if let Some(latency) = self.latency {
            writeln!(
                f,
                "latency   p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms, longest {:.1} ms, from the intended instant",
                latency.p50 * 1e3,
                latency.p95 * 1e3,
                latency.p99 * 1e3,
                latency.max * 1e3
            )?;
        }
        if self.refused + self.unanswered > 0 {
            writeln!(
                f,
                "failed    {} samples refused, {} without an answer",
                self.refused, self.unanswered
            )?;
        }
        for failure in &self.failures {
            let status = failure
                .status
                .map_or_else(String::new, |status| format!("{status} "));
            writeln!(
                f,
                "          {} requests: {status}{}",
                failure.requests, failure.words
            )?;
        }
        Ok(())
    }
}

/// Emits until the duration is over or the program is interrupted.
pub async fn run(options: MetricsOptions) -> Result<EmitReport, EmitError> {
    let stop = CancellationToken::new();
    let on_interrupt = stop.clone();
    let _watching = stop.clone().drop_guard();
    tokio::spawn(async move {
        tokio::select! {
            // Where no interrupt can be seen, the duration ends the run alone.
            Ok(()) = tokio::signal::ctrl_c() => on_interrupt.cancel(),
            () = on_interrupt.cancelled() => {}
        }
    });
    run_until(options, stop).await
}

/// Emits until the duration is over or `stop` is given.
pub async fn run_until(options: MetricsOptions, stop: CancellationToken) -> Result<EmitReport, EmitError> {
    let seed = options.seed.unwrap_or_else(Seed::fresh);
    let mut labels = IndexMap::new();
    for label in &options.labels {
        if ["series", "generation"].contains(&label.name.as_str()) {
            return Err(EmitError::Label(label.name.clone()));
        }
        labels.insert(label.name.clone(), label.value.clone());
    }
    match (&options.remote_write, options.listen, &options.backfill) {
        (Some(endpoint), None, None) => {
            let load = Load {
                endpoint: endpoint.clone(),
                metric: options.metric.clone(),
                labels,
                series: options.series,
                rate: options.rate,
                duration: options.duration.0,
                churn: options.churn.0,
                connections: options.connections.into(),
                batch: options.batch,
                seed,
            };
            by_remote_write(load, stop).await
        }
        (None, Some(address), None) => listen::run(address, options, labels, seed, stop).await,
        (None, None, Some(path)) => {
            let path = path.clone();
            let (report, cpu) =
                on_one_core(
                    "backfill",
                    move || async move { fill(&path, &options, &labels, seed) },
                )
                .await?;
            report.map(|report| report.with_cpu(cpu))
        }
        _ => Err(EmitError::Way),
    }
}

impl EmitReport {
    /// A report of samples that nobody refuses; the CPU time is filled in later.
    fn of(way: Way, to: String, seed: Seed, ledger: Summary, requests: u64, elapsed: Duration) -> Self {
        Self {
            way,
            to,
            seed,
            ledger,
            requests,
            refused: 0,
            unanswered: 0,
            failures: Vec::new(),
            intended_rate: None,
            achieved_rate: per_second(ledger.samples, elapsed),
            latency: None,
            bytes: 0,
            seconds: elapsed.as_secs_f64(),
            cpu_seconds: 0.0,
            samples_per_cpu_second: 0.0,
        }
    }

    fn with_cpu(self, cpu: Duration) -> Self {
        Self {
            cpu_seconds: cpu.as_secs_f64(),
            samples_per_cpu_second: per_second(self.ledger.samples + self.refused + self.unanswered, cpu),
            ..self
        }
    }
}

async fn by_remote_write(load: Load, stop: CancellationToken) -> Result<EmitReport, EmitError> {
    let (to, seed, rate) = (load.endpoint.to_string(), load.seed, load.rate);
    let outcome = send(load, stop).await?;
    let report = EmitReport::of(
        Way::RemoteWrite,
        to,
        seed,
        outcome.summary(),
        outcome.requests,
        outcome.elapsed,
    );
    Ok(EmitReport {
        refused: outcome.refused,
        unanswered: outcome.unanswered,
        intended_rate: Some(rate),
        latency: Some(outcome.latency),
        bytes: outcome.bytes,
        failures: outcome.failures,
        ..report
    }
    .with_cpu(outcome.cpu))
}

/// Milliseconds of a duration.
fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn fill(
    path: &Path,
    options: &MetricsOptions,
    labels: &IndexMap<String, String>,
    seed: Seed,
) -> Result<EmitReport, EmitError> {
    let began = std::time::Instant::now();
    // One sample of each series a step.
    let schedule = super::schedule::Schedule::new(options.rate)?;
    let step = milliseconds(schedule.instant(options.series)).max(1);
    #[expect(clippy::cast_possible_truncation, reason = "unix milliseconds fit")]
    let now = (Clock::start().unix(0.0) * 1000.0) as i64;
    let end = now - now.rem_euclid(step);
    let steps = milliseconds(options.duration.0) / step;
    let parts = parts(options, labels, end - steps * step, step, steps);
    let failed = |source| EmitError::File {
        path: path.to_owned(),
        source,
    };
    let out = BufWriter::with_capacity(1 << 20, File::create(path).map_err(failed)?);
    let ledger = backfill::write(&parts, seed, out).map_err(|source| EmitError::Text {
        path: path.to_owned(),
        source,
    })?;
    let bytes = std::fs::metadata(path).map_err(failed)?.len();
    Ok(EmitReport {
        bytes,
        ..EmitReport::of(
            Way::Backfill,
            path.display().to_string(),
            seed,
            ledger.summary(),
            1,
            began.elapsed(),
        )
    })
}

/// The history of every series and, with churn, of every generation of it.
fn parts(
    options: &MetricsOptions,
    labels: &IndexMap<String, String>,
    from: i64,
    step: i64,
    steps: i64,
) -> Vec<Backfill> {
    #[expect(clippy::cast_precision_loss, reason = "a step is far below 2^53 ms")]
    let churn = Churn::new(options.series, options.churn.0, step as f64 / 1000.0);
    let mut parts = Vec::new();
    for member in 0..options.series {
        let mut begin = 0;
        while begin < steps {
            let generation = churn.generation(member, begin.unsigned_abs());
            let mut series = labels.clone();
            if churn.any() {
                series.insert("generation".into(), digits(generation));
            }
            series.insert("series".into(), digits(member));
            let end = churn
                .replaced_at(member, generation)
                .and_then(|tick| i64::try_from(tick).ok())
                .map_or(steps, |tick| tick.min(steps));
            parts.push(Backfill {
                metric: options.metric.clone(),
                kind: Kind::Counter,
                series: vec![series],
                from: from + begin * step,
                to: from + end * step,
                step,
            });
            begin = end;
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use rstest::rstest;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        options: MetricsOptions,
    }

    fn options(arguments: &[&str]) -> Result<MetricsOptions, clap::Error> {
        Line::try_parse_from([&["emit"], arguments].concat()).map(|line| line.options)
    }

    #[rstest]
    #[case(&[], "required")]
    #[case(&["--listen", "127.0.0.1:0", "--backfill", "x"], "cannot be used with")]
    #[case(&["--listen", "127.0.0.1:0", "--churn", "10"], "write it in percent")]
    #[case(&["--listen", "127.0.0.1:0", "--label", "1=a"], "write name=value")]
    #[case(&["--listen", "127.0.0.1:0", "--label", "__name__=a"], "write name=value")]
    #[case(&["--listen", "127.0.0.1:0", "--metric", "load"], "`_total` at the end")]
    #[case(&["--listen", "127.0.0.1:0", "--series", "0"], "not in 1..")]
    #[case(&["--listen", "127.0.0.1:0", "--rate", "5"], "cannot be used with")]
    #[case(&["--listen", "127.0.0.1:0", "--batch", "5"], "cannot be used with")]
    fn bad_lines_are_refused_with_a_remedy(#[case] line: &[&str], #[case] remedy: &str) {
        let error = options(line).unwrap_err().to_string();
        assert!(error.contains(remedy), "{error}");
    }

    #[test]
    fn the_definition_of_the_options_is_sound() {
        use clap::CommandFactory;
        Line::command().debug_assert();
    }

    #[tokio::test]
    async fn history_is_written_with_its_churn() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("history.om");
        let mut options = options(&[
            "--backfill",
            "x",
            "--series",
            "10",
            "--rate",
            "1",
            "--duration",
            "10m",
        ])
        .unwrap();
        options.backfill = Some(path.clone());
        options.churn = Ratio(0.1);
        options.seed = Some(Seed(1));
        let report = run_until(options, CancellationToken::new()).await.unwrap();
        let samples = crate::wire::openmetrics::parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(report.ledger.samples, 600);
        assert_eq!(samples.len(), 600);
        // A tenth of 10 series a minute: one more series each minute.
        assert!(
            (19..=20).contains(&report.ledger.series),
            "{}",
            report.ledger.series
        );
        let now = milliseconds(std::time::UNIX_EPOCH.elapsed().unwrap());
        assert!(report.ledger.last < now && report.ledger.last > now - 25_000);
    }

    #[test]
    fn a_report_reads_well() {
        let report = EmitReport {
            refused: 2_000,
            failures: vec![Failure {
                status: Some(400),
                words: "out of order sample".into(),
                requests: 1,
                samples: 2_000,
            }],
            intended_rate: Some(1e6),
            latency: Some(Latency {
                p50: 0.0012,
                p95: 0.002,
                p99: 0.0034,
                max: 0.05,
            }),
            ..EmitReport::of(
                Way::RemoteWrite,
                "http://127.0.0.1:9090/api/v1/write".into(),
                Seed(1),
                Summary {
                    series: 100_000,
                    samples: 9_998_000,
                    first: 0,
                    last: 9_999,
                    sum: 1.0,
                    checksum: 1,
                },
                5_000,
                Duration::from_secs(10),
            )
        }
        .with_cpu(Duration::from_secs(1));
        insta::assert_snapshot!(report);
        insta::assert_json_snapshot!(report);
    }
}
