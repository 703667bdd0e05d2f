//! Sending encoded OTLP requests of any signal, over gRPC or HTTP, open-loop.
//!
//! A [`Source`] says what is sent when; [`drive`] sends each request at its
//! instant, with a bounded number in flight, and counts what became of it.
//! Where the bound holds a request back it is sent late, and counted as late;
//! it is never left out. Requests that fail are not sent again: a generator
//! measures, and a repeated request would hide what it measures.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use indexmap::IndexMap;
use serde::Serialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::remote_write::{Latency, per_second};
use crate::clock::unix_nanoseconds;
use crate::wait::until_scheduled;
use crate::wire::otlp::Signal;

mod answer;
mod grpc;
mod http;

/// Longest that the answer to one request is waited for.
const ANSWER_BOUND: Duration = Duration::from_secs(30);
/// So much of a server's words is kept.
const WORDS_KEPT: usize = 400;
/// A request that is sent later than this after its instant is late.
const LATE: Duration = Duration::from_millis(10);

/// How requests travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// gRPC over HTTP/2, port 4317 by custom.
    Grpc,
    /// Protobuf over HTTP/1.1, port 4318 by custom.
    Http,
}

/// Where requests go.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// The address, for example `http://127.0.0.1:4317`. Over HTTP the signal's usual path is taken
    /// where the address has none.
    pub url: Url,
    /// How.
    pub protocol: Protocol,
    /// What is sent.
    pub signal: Signal,
    /// Headers that every request has, for example a tenant's.
    pub headers: Vec<(String, String)>,
}

/// Why nothing was sent, or one request was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OtlpError {
    /// The address cannot be one.
    #[error("{url} is no endpoint for gRPC: {why}")]
    Address {
        /// The address.
        url: Url,
        /// Why, and what to write.
        why: &'static str,
    },
    /// A header cannot be one.
    #[error("`{0}` is not a header: write a name of letters, digits and dashes, and a printable value")]
    Header(String),
    /// The HTTP client cannot be made.
    #[error("the http client cannot be made: {0}")]
    Client(String),
    /// Nobody is there, or the exchange broke off.
    #[error("{url} cannot be reached: {why}")]
    Unreachable {
        /// The endpoint.
        url: Url,
        /// Why, down to the cause.
        why: String,
    },
    /// The server refused a request.
    #[error("{url} answered {status}: {words}")]
    Refused {
        /// The endpoint.
        url: Box<Url>,
        /// Name of the gRPC status, or the HTTP status.
        status: String,
        /// What the server said.
        words: String,
    },
}

/// What a server said to a request that it took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// Items that it rejected all the same (`partial_success`).
    pub rejected: u64,
    /// Why.
    pub words: String,
}

/// A client of one endpoint. Requests share one connection over gRPC, and as
/// many as there are requests at a time over HTTP.
#[derive(Debug)]
pub struct Client(Kind);

#[derive(Debug)]
enum Kind {
    Grpc(Box<grpc::Client>),
    Http(http::Client),
}

impl Client {
    /// A client; it connects with the first request.
    pub fn new(endpoint: &Endpoint) -> Result<Self, OtlpError> {
        Ok(Self(match endpoint.protocol {
            Protocol::Grpc => Kind::Grpc(Box::new(grpc::Client::new(endpoint)?)),
            Protocol::Http => Kind::Http(http::Client::new(endpoint)?),
        }))
    }

    /// Sends one request, encoded and with gRPC's prefix, whatever the protocol.
    pub async fn export(&self, body: Bytes) -> Result<Taken, OtlpError> {
        match &self.0 {
            Kind::Grpc(client) => client.export(body).await,
            Kind::Http(client) => client.export(body).await,
        }
    }
}

/// An encoded message with gRPC's prefix, as [`Client::export`] takes it.
#[must_use]
pub fn framed(message: &impl prost::Message) -> Bytes {
    let length = message.encoded_len();
    let mut body = Vec::with_capacity(length + crate::wire::otlp::batch::PREFIX);
    body.push(0);
    // Servers refuse far shorter messages than 4 GiB, so that a cut length cannot pass.
    body.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    body.extend_from_slice(&message.encode_to_vec());
    body.into()
}

/// A request ready to be sent.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The source's name for it.
    pub key: u64,
    /// Intended instant after the start.
    pub instant: Duration,
    /// Number of spans or log records.
    pub items: u64,
    /// Encoded, with gRPC's prefix.
    pub body: Bytes,
}

/// What is sent when.
pub trait Source {
    /// The next request; `start` is the load's in unix nanoseconds. None at the end.
    fn next(&mut self, start: u64) -> Option<Prepared>;

    /// Takes a body back that is not needed any more, to be used again.
    fn recycle(&mut self, key: u64, body: Bytes);
}

/// How requests are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sending {
    /// Connections, over gRPC.
    pub connections: usize,
    /// Most requests without an answer at a time.
    pub in_flight: usize,
}

impl Default for Sending {
    fn default() -> Self {
        Self {
            connections: 1,
            in_flight: 8,
        }
    }
}

/// A kind of failure, and how often it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Name of the gRPC status, or the HTTP status; `partial success` where only some items were
    /// rejected; none where no answer came.
    pub status: Option<String>,
    /// The server's words, or why no answer came.
    pub words: String,
    /// Requests that failed so.
    pub requests: u64,
    /// Items in them that were not taken.
    pub items: u64,
}

/// What became of what was sent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tally {
    /// When the load started, in unix nanoseconds.
    pub start: u64,
    /// Requests that were sent.
    pub requests: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// Items of requests that the server took whole.
    pub acknowledged: u64,
    /// Items of requests that the server refused, or took in part: which ones of those it took, it does not say.
    pub refused: u64,
    /// Items of requests without an answer, of which nobody knows.
    pub unanswered: u64,
    /// Requests that were sent more than 10 ms after their instant.
    pub late: u64,
    /// The longest that a request was sent after its instant.
    pub longest_delay: Duration,
    /// Requests that the server took whole, by the source's names, in the order of the answers.
    pub taken: Vec<u64>,
    /// Requests that it may have taken in whole or in part: took in part, or did not answer.
    pub uncertain: Vec<u64>,
    /// The failures.
    pub failures: Vec<Failure>,
    /// Latency from the intended instant to the answer, of the requests that were answered.
    pub latency: Latency,
    /// From the start to the last answer.
    pub elapsed: Duration,
}

impl Tally {
    /// Acknowledged items per second.
    #[must_use]
    pub fn achieved_rate(&self) -> f64 {
        per_second(self.acknowledged, self.elapsed)
    }

    /// Whether every item was acknowledged.
    #[must_use]
    pub fn clean(&self) -> bool {
        self.refused == 0 && self.unanswered == 0
    }
}

/// A tally being made.
#[derive(Default)]
struct Count {
    tally: Tally,
    failures: IndexMap<(Option<String>, String), (u64, u64)>,
    microseconds: Vec<u64>,
    answered: bool,
}

/// A request that came to its end.
struct Done {
    key: u64,
    items: u64,
    instant: Instant,
    body: Bytes,
    result: Result<Taken, OtlpError>,
}

/// Sends what the source gives until it ends or `stop` is given, then waits for the answers that are due.
pub async fn drive(
    endpoint: &Endpoint,
    source: &mut impl Source,
    sending: Sending,
    stop: &CancellationToken,
) -> Result<Tally, OtlpError> {
    let clients: Vec<Client> = (0..sending.connections.max(1))
        .map(|_| Client::new(endpoint))
        .collect::<Result<_, _>>()?;
    let mut count = Count::default();
    let mut pending = FuturesUnordered::new();
    let start = Instant::now();
    let start_unix = unix_nanoseconds();
    'load: while let Some(prepared) = source.next(start_unix) {
        let at = start + prepared.instant;
        loop {
            let free = pending.len() < sending.in_flight.max(1);
            if free && Instant::now() >= at {
                break;
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => break 'load,
                Some(done) = pending.next(), if !pending.is_empty() => count.settle(done, source)?,
                () = until_scheduled(at), if free => {}
            }
        }
        if stop.is_cancelled() {
            break;
        }
        count.sent(&prepared, Instant::now().saturating_duration_since(at));
        let chosen = usize::try_from(prepared.key).unwrap_or_default() % clients.len();
        let Some(client) = clients.get(chosen) else { break };
        let Prepared { key, items, body, .. } = prepared;
        pending.push(async move {
            let result = client.export(body.clone()).await;
            Done {
                key,
                items,
                instant: at,
                body,
                result,
            }
        });
        // A pushed future does not begin until it is polled.
        if let std::task::Poll::Ready(Some(done)) = futures::poll!(pending.next()) {
            count.settle(done, source)?;
        }
    }
    while let Some(done) = pending.next().await {
        count.settle(done, source)?;
    }
    Ok(count.finish(start_unix, start.elapsed()))
}

impl Count {
    fn sent(&mut self, prepared: &Prepared, delay: Duration) {
        self.tally.requests += 1;
        self.tally.bytes += prepared.body.len() as u64;
        self.tally.longest_delay = self.tally.longest_delay.max(delay);
        if delay > LATE {
            self.tally.late += 1;
        }
    }

    fn settle(&mut self, done: Done, source: &mut impl Source) -> Result<(), OtlpError> {
        let late = Instant::now().saturating_duration_since(done.instant);
        let failure = match done.result {
            Ok(taken) if taken.rejected == 0 => {
                self.tally.acknowledged += done.items;
                self.tally.taken.push(done.key);
                None
            }
            Ok(taken) => {
                // The answer does not say which items; all of them are uncertain, so many are not there.
                let rejected = taken.rejected.min(done.items);
                self.tally.refused += rejected;
                self.tally.acknowledged += done.items - rejected;
                self.tally.uncertain.push(done.key);
                Some((Some("partial success".to_owned()), taken.words, rejected))
            }
            Err(OtlpError::Refused { status, words, .. }) => {
                self.tally.refused += done.items;
                Some((Some(status), words, done.items))
            }
            // Where not even the first request gets through, nobody is there.
            Err(error @ OtlpError::Unreachable { .. }) if !self.answered => return Err(error),
            Err(OtlpError::Unreachable { why, .. }) => {
                self.tally.unanswered += done.items;
                self.tally.uncertain.push(done.key);
                Some((None, why, done.items))
            }
            Err(error) => return Err(error),
        };
        self.answered = true;
        if !matches!(failure, Some((None, ..))) {
            self.microseconds
                .push(u64::try_from(late.as_micros()).unwrap_or(u64::MAX));
        }
        if let Some((status, words, items)) = failure {
            let entry = self.failures.entry((status, words)).or_default();
            entry.0 += 1;
            entry.1 += items;
        }
        source.recycle(done.key, done.body);
        Ok(())
    }

    fn finish(self, start: u64, elapsed: Duration) -> Tally {
        Tally {
            start,
            elapsed,
            latency: Latency::of(self.microseconds),
            failures: self
                .failures
                .into_iter()
                .map(|((status, words), (requests, items))| Failure {
                    status,
                    words,
                    requests,
                    items,
                })
                .collect(),
            ..self.tally
        }
    }
}
