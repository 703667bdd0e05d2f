//! Remote write load: open-loop, from one core, with a ledger.
//!
//! What is sent when is the [`plan`]'s; every request is prepared (stamped)
//! before its instant and sent at it, and the latency counts from it. A series
//! is always sent by the same connection, so that its samples stay in order.
//! Requests that fail are not sent again: a generator measures, and a repeated
//! request would hide what it measures.

use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use indexmap::IndexMap;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE};
use serde::Serialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::ledger::{Ledger, Summary};
use super::one_core::{CoreError, on_one_core};
use super::player::Clock;
use crate::seed::Seed;
use crate::wait::until_scheduled;
use crate::wire::remote_write::batch::{Batch, BatchError};
use crate::wire::remote_write::{self as wire, RemoteWriteError, WriteRequest};

pub mod plan;

use plan::{Plan, PlanError, Sent};

/// Longest that the answer to one request is waited for.
const ANSWER_BOUND: Duration = Duration::from_secs(30);
/// So much of a server's words is kept.
const WORDS_KEPT: usize = 400;

/// A load to send.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    /// Where to, for example `http://127.0.0.1:9090/api/v1/write`.
    pub endpoint: Url,
    /// Name of the metric.
    pub metric: String,
    /// Labels that all series have, beside `series` and, with churn, `generation`.
    pub labels: IndexMap<String, String>,
    /// Number of series at any time.
    pub series: u64,
    /// Samples per second over all series.
    pub rate: f64,
    /// How long.
    pub duration: Duration,
    /// Share of the series that is replaced by new ones per minute.
    pub churn: f64,
    /// Connections that send at the same time.
    pub connections: usize,
    /// Series, and so samples, a request.
    pub batch: u64,
    /// What the values are drawn from.
    pub seed: Seed,
}

impl Load {
    /// A load of 1 sample per second and series over one connection, 2000 samples a request.
    #[must_use]
    pub fn new(endpoint: Url, series: u64, duration: Duration, seed: Seed) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a number of series is far below 2^53")]
        let rate = series as f64;
        Self {
            endpoint,
            metric: "load_total".into(),
            labels: IndexMap::new(),
            series,
            rate,
            duration,
            churn: 0.0,
            connections: 1,
            batch: 2_000,
            seed,
        }
    }
}

/// Why a load or a request was not sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The load makes no sense.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A request cannot be laid out.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// A request cannot be encoded.
    #[error(transparent)]
    Encode(#[from] RemoteWriteError),
    /// The HTTP client cannot be made.
    #[error("the http client cannot be made: {0}")]
    Client(reqwest::Error),
    /// The endpoint cannot be reached at all.
    #[error("{endpoint} cannot be reached: {why}")]
    Unreachable {
        /// The endpoint.
        endpoint: Url,
        /// Why, down to the cause.
        why: String,
    },
    /// The server refused a request.
    #[error("{endpoint} answered {status}: {words}")]
    Refused {
        /// The endpoint.
        endpoint: Url,
        /// HTTP status.
        status: u16,
        /// What the server said.
        words: String,
    },
    /// The generator's thread failed.
    #[error(transparent)]
    Core(#[from] CoreError),
}

/// A kind of failure, and how often it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// HTTP status; none where no answer came.
    pub status: Option<u16>,
    /// The server's words, or why no answer came.
    pub words: String,
    /// Requests that failed so.
    pub requests: u64,
    /// Samples in them.
    pub samples: u64,
}

/// Latency from the intended instant of sending to the answer, in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Latency {
    /// Half of the requests took at most this.
    pub p50: f64,
    /// 95 % took at most this.
    pub p95: f64,
    /// 99 % took at most this.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

impl Latency {
    /// Nearest-rank percentiles of durations in microseconds.
    pub(crate) fn of(mut microseconds: Vec<u64>) -> Self {
        microseconds.sort_unstable();
        let rank = |percent: usize| {
            let rank = (microseconds.len() * percent).div_ceil(100).max(1);
            microseconds
                .get(rank - 1)
                .map_or(0.0, |found| Duration::from_micros(*found).as_secs_f64())
        };
        Self {
            p50: rank(50),
            p95: rank(95),
            p99: rank(99),
            max: rank(100),
        }
    }
}

/// What came of a load.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What the server acknowledged, for the ledger.
    pub sent: Sent,
    /// Requests that were sent.
    pub requests: u64,
    /// Samples that the server acknowledged.
    pub acknowledged: u64,
    /// Samples of requests that the server refused. Some of them may have been
    /// stored: Prometheus answers 400 when only some samples are out of order.
    pub refused: u64,
    /// Samples of requests without an answer, of which nobody knows.
    pub unanswered: u64,
    /// The failures.
    pub failures: Vec<Failure>,
    /// Latency of the requests that were answered.
    pub latency: Latency,
    /// Bytes of the bodies, compressed.
    pub bytes: u64,
    /// From the start to the last answer, but at least as long as it was meant to last.
    pub elapsed: Duration,
    /// CPU time of the generator's thread.
    pub cpu: Duration,
}

impl Outcome {
    /// Acknowledged samples per second.
    #[must_use]
    pub fn achieved_rate(&self) -> f64 {
        per_second(self.acknowledged, self.elapsed)
    }

    /// Samples sent per second of CPU time of the generator.
    #[must_use]
    pub fn samples_per_cpu_second(&self) -> f64 {
        per_second(self.acknowledged + self.refused + self.unanswered, self.cpu)
    }

    /// What was acknowledged, by series.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.sent.ledger()
    }

    /// What was acknowledged, in one line.
    #[must_use]
    pub fn summary(&self) -> Summary {
        self.sent.summary()
    }
}

/// Count over time; 0 where no time has passed.
#[expect(
    clippy::cast_precision_loss,
    reason = "a rate may be rounded beyond 2^53 samples"
)]
pub(crate) fn per_second(count: u64, time: Duration) -> f64 {
    if time.is_zero() {
        0.0
    } else {
        count as f64 / time.as_secs_f64()
    }
}

/// Sends a load from a thread of its own until its duration is over or `stop` is given.
pub async fn send(load: Load, stop: CancellationToken) -> Result<Outcome, SendError> {
    let (outcome, cpu) = on_one_core("remote-write", move || send_here(load, stop)).await?;
    outcome.map(|outcome| Outcome { cpu, ..outcome })
}

/// What one connection did.
#[derive(Default)]
struct Tally {
    requests: u64,
    bytes: u64,
    acknowledged: u64,
    refused: u64,
    unanswered: u64,
    failures: IndexMap<(Option<u16>, String), (u64, u64)>,
    microseconds: Vec<u64>,
    /// (group, round) of acknowledged requests.
    rounds: Vec<(u64, u64)>,
}

/// One connection with the batches that it sends.
struct Connection {
    client: reqwest::Client,
    endpoint: Url,
    batches: Vec<(u64, Batch)>,
}

async fn send_here(load: Load, stop: CancellationToken) -> Result<Outcome, SendError> {
    let plan = Plan::new(&load)?;
    let connections = load.connections.max(1);
    let mut senders = Vec::new();
    for number in 0..connections {
        senders.push(Connection {
            client: client()?,
            endpoint: load.endpoint.clone(),
            batches: (0..plan.rounds().groups())
                .skip(number)
                .step_by(connections)
                .map(|group| Ok((group, plan.batch(group)?)))
                .collect::<Result<_, BatchError>>()?,
        });
    }
    // The batches are laid out by now; the time starts here.
    let start = Instant::now();
    #[expect(clippy::cast_possible_truncation, reason = "unix milliseconds fit")]
    let start_unix = (Clock::start().unix(0.0) * 1000.0) as i64;
    let tallies = join_all(
        senders
            .into_iter()
            .map(|sender| sender.run(&plan, start, start_unix, &stop)),
    )
    .await;
    let elapsed = start.elapsed();
    let mut total = Tally::default();
    let mut sent = Sent::new(plan, start_unix);
    for tally in tallies {
        let tally = tally?;
        total.requests += tally.requests;
        total.bytes += tally.bytes;
        total.acknowledged += tally.acknowledged;
        total.refused += tally.refused;
        total.unanswered += tally.unanswered;
        total.microseconds.extend(tally.microseconds);
        for (kind, (requests, samples)) in tally.failures {
            let entry = total.failures.entry(kind).or_default();
            entry.0 += requests;
            entry.1 += samples;
        }
        for (group, round) in tally.rounds {
            sent.acknowledge(group, round);
        }
    }
    Ok(Outcome {
        sent,
        requests: total.requests,
        acknowledged: total.acknowledged,
        refused: total.refused,
        unanswered: total.unanswered,
        failures: total
            .failures
            .into_iter()
            .map(|((status, words), (requests, samples))| Failure {
                status,
                words,
                requests,
                samples,
            })
            .collect(),
        latency: Latency::of(total.microseconds),
        bytes: total.bytes,
        elapsed: if stop.is_cancelled() {
            elapsed
        } else {
            elapsed.max(load.duration)
        },
        cpu: Duration::ZERO,
    })
}

/// A client with one connection, for loads and pushes alike.
pub(super) fn client() -> Result<reqwest::Client, SendError> {
    // Another provider that is installed already serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        // A proxy between generator and server would be measured with it.
        .no_proxy()
        .tcp_nodelay(true)
        .pool_max_idle_per_host(1)
        .timeout(ANSWER_BOUND)
        .build()
        .map_err(SendError::Client)
}

impl Connection {
    async fn run(
        mut self,
        plan: &Plan,
        start: Instant,
        start_unix: i64,
        stop: &CancellationToken,
    ) -> Result<Tally, SendError> {
        let mut tally = Tally::default();
        let mut round = 0;
        'rounds: loop {
            let mut any = false;
            for (group, batch) in &mut self.batches {
                let slot = plan.rounds().slot(round, *group);
                if !plan.includes(slot) {
                    continue;
                }
                any = true;
                let intended = plan.rounds().instant(slot);
                plan.stamp(batch, slot, start_unix)?;
                let body = Bytes::copy_from_slice(batch.body());
                let instant = start + intended;
                if Instant::now() < instant {
                    tokio::select! {
                        () = until_scheduled(instant) => {}
                        () = stop.cancelled() => break 'rounds,
                    }
                } else if stop.is_cancelled() {
                    break 'rounds;
                }
                tally.requests += 1;
                tally.bytes += body.len() as u64;
                let answer = post(&self.client, &self.endpoint, body).await;
                let failure = match answer {
                    Ok(()) => {
                        tally.acknowledged += slot.count;
                        tally.rounds.push((*group, round));
                        None
                    }
                    Err(SendError::Refused { status, words, .. }) => {
                        tally.refused += slot.count;
                        Some((Some(status), words))
                    }
                    // Where not even the first request gets through, nobody is there.
                    Err(error @ SendError::Unreachable { .. }) if tally.requests == 1 => return Err(error),
                    Err(SendError::Unreachable { why, .. }) => {
                        tally.unanswered += slot.count;
                        Some((None, why))
                    }
                    Err(error) => return Err(error),
                };
                if !matches!(failure, Some((None, _))) {
                    let late = Instant::now().saturating_duration_since(instant);
                    tally
                        .microseconds
                        .push(u64::try_from(late.as_micros()).unwrap_or(u64::MAX));
                }
                if let Some(kind) = failure {
                    let entry = tally.failures.entry(kind).or_default();
                    entry.0 += 1;
                    entry.1 += slot.count;
                }
            }
            if !any {
                break;
            }
            round += 1;
        }
        Ok(tally)
    }
}

/// Sends one request of any kind, for example samples that a case has chosen itself.
pub async fn push(endpoint: &Url, request: &WriteRequest) -> Result<(), SendError> {
    let body = Bytes::from(wire::encode(request)?);
    post(&client()?, endpoint, body).await
}

async fn post(client: &reqwest::Client, endpoint: &Url, body: Bytes) -> Result<(), SendError> {
    let unreachable = |error: reqwest::Error| SendError::Unreachable {
        endpoint: endpoint.clone(),
        why: causes(&error),
    };
    let answer = client
        .post(endpoint.clone())
        .header(CONTENT_TYPE, wire::CONTENT_TYPE)
        .header(CONTENT_ENCODING, wire::CONTENT_ENCODING)
        .header(wire::VERSION.0, wire::VERSION.1)
        .body(body)
        .send()
        .await
        .map_err(unreachable)?;
    let status = answer.status();
    if status.is_success() {
        // Read to its end, so that the connection can be used again.
        answer.bytes().await.map_err(unreachable)?;
        return Ok(());
    }
    let words = answer.text().await.unwrap_or_default();
    Err(SendError::Refused {
        endpoint: endpoint.clone(),
        status: status.as_u16(),
        words: words.trim().chars().take(WORDS_KEPT).collect(),
    })
}

/// An error down to its cause, without the address that the message names anyway.
pub(crate) fn causes(error: &reqwest::Error) -> String {
    let mut text = if error.is_timeout() {
        format!("no answer within {} s", ANSWER_BOUND.as_secs())
    } else if error.is_connect() {
        "no connection".to_owned()
    } else {
        "the exchange broke off".to_owned()
    };
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if inner.source().is_none() {
            text.push_str(": ");
            text.push_str(&inner.to_string());
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests;
