//! An OTLP receiver that we play, over gRPC and HTTP on loopback: where a
//! Collector exports to, and what a generator is measured against.
//!
//! It runs on a thread of its own, so that its cost is not the generator's. It
//! counts, keeps as much as it was told to, and refuses on demand.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use flate2::read::GzDecoder;
use prost::Message;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::one_core::thread_cpu;
use super::traces::ledger::TraceLedger;
use crate::clock::unix_nanoseconds;
use crate::wire::otlp::traces::ExportTraces;
use crate::wire::otlp::{ExportResponse, PartialSuccess, Signal, scan};

mod grpc;
mod http;

/// Longest message that is unpacked; a bound against bodies that grow without end.
const LONGEST: u64 = 1 << 30;

/// How much of what arrives is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Only how much it was: for measuring a generator.
    Count,
    /// A ledger of the traces: ID, origin, number of spans and digest.
    Ledger,
    /// Every request as it arrived.
    Whole,
}

/// What requests are answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Taken.
    Take,
    /// Taken and kept, but said to be rejected in part.
    Partial {
        /// Items said to be rejected.
        rejected: u64,
        /// Why.
        words: String,
    },
    /// Refused; nothing of it is kept.
    Refuse {
        /// gRPC status code, for example 14 (`UNAVAILABLE`) or 8 (`RESOURCE_EXHAUSTED`).
        grpc: u8,
        /// HTTP status, for example 503 or 429.
        http: u16,
        /// Why.
        words: String,
    },
}

/// Why a sink does not run.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// An address cannot be listened on.
    #[error("{address} cannot be listened on: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The thread cannot be started.
    #[error("the sink's thread cannot be started: {0}")]
    Start(std::io::Error),
}

/// What arrived, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Arrived {
    /// Requests that were taken.
    pub requests: u64,
    /// Spans in them.
    pub spans: u64,
    /// Log records in them.
    pub logs: u64,
    /// Bytes of their messages, unpacked.
    pub bytes: u64,
    /// Requests that were refused on demand.
    pub refused: u64,
    /// Requests that could not be read.
    pub unreadable: u64,
}

/// A request as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What it carries.
    pub signal: Signal,
    /// When it was there whole, in unix nanoseconds.
    pub at: u64,
    /// Its message, unpacked.
    pub message: Bytes,
}

/// A running sink. Dropping it closes its ports.
#[derive(Debug)]
pub struct Sink {
    grpc: SocketAddr,
    http: SocketAddr,
    shared: Arc<Shared>,
    _running: DropGuard,
}

/// What the connections share.
#[derive(Debug)]
struct Shared {
    keep: Keep,
    state: Mutex<State>,
    /// CPU time of the sink's thread, in nanoseconds.
    cpu: AtomicU64,
}

#[derive(Debug)]
struct State {
    arrived: Arrived,
    ledger: TraceLedger,
    requests: Vec<Request>,
    reply: Reply,
    /// How often it is given before requests are taken again; none without end.
    times: Option<u64>,
}

/// The answer to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    /// 200 or status 0, with this message.
    Take(Bytes),
    /// gRPC status, HTTP status, words.
    Refuse(u8, u16, String),
}

impl Sink {
    /// Listens on two free loopback ports.
    pub fn start(keep: Keep) -> Result<Self, SinkError> {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self::start_at(free, free, keep)
    }

    /// Listens on the given addresses.
    pub fn start_at(grpc: SocketAddr, http: SocketAddr, keep: Keep) -> Result<Self, SinkError> {
        let bind = |address: SocketAddr| {
            let failed = |source| SinkError::Listen { address, source };
            let listener = TcpListener::bind(address).map_err(failed)?;
            listener.set_nonblocking(true).map_err(failed)?;
            let bound = listener.local_addr().map_err(failed)?;
            Ok((listener, bound))
        };
        let (grpc_listener, grpc) = bind(grpc)?;
        let (http_listener, http) = bind(http)?;
        let shared = Arc::new(Shared {
            keep,
            state: Mutex::new(State {
                arrived: Arrived::default(),
                ledger: TraceLedger::default(),
                requests: Vec::new(),
                reply: Reply::Take,
                times: None,
            }),
            cpu: AtomicU64::new(0),
        });
        let stop = CancellationToken::new();
        let running = stop.clone().drop_guard();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(SinkError::Start)?;
        let to_serve = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("otlp-sink".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = grpc::serve(grpc_listener, Arc::clone(&to_serve)) => {}
                        () = http::serve(http_listener, to_serve) => {}
                        () = stop.cancelled() => {}
                    }
                });
            })
            .map_err(SinkError::Start)?;
        Ok(Self {
            grpc,
            http,
            shared,
            _running: running,
        })
    }

    /// Where it listens for gRPC.
    #[must_use]
    pub fn grpc(&self) -> SocketAddr {
        self.grpc
    }

    /// Where it listens for HTTP.
    #[must_use]
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// What arrived so far, in numbers.
    #[must_use]
    pub fn arrived(&self) -> Arrived {
        self.shared.state().arrived
    }

    /// The traces that arrived so far; empty where only numbers are kept.
    #[must_use]
    pub fn ledger(&self) -> TraceLedger {
        match self.shared.keep {
            Keep::Count => TraceLedger::default(),
            Keep::Ledger => self.shared.state().ledger.clone(),
            Keep::Whole => {
                let mut ledger = TraceLedger::default();
                for request in self.traces() {
                    ledger.enter_request(&request);
                }
                ledger
            }
        }
    }

    /// The requests that arrived so far, where they are kept whole.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.shared.state().requests.clone()
    }

    /// The trace requests that arrived so far, where they are kept whole.
    #[must_use]
    pub fn traces(&self) -> Vec<ExportTraces> {
        self.requests()
            .into_iter()
            .filter(|request| request.signal == Signal::Traces)
            // What could not be decoded was not taken.
            .filter_map(|request| ExportTraces::decode(request.message).ok())
            .collect()
    }

    /// Forgets what arrived so far; the answers stay.
    pub fn forget(&self) {
        let mut state = self.shared.state();
        state.arrived = Arrived::default();
        state.ledger = TraceLedger::default();
        state.requests = Vec::new();
    }

    /// Answers the next `times` requests, or all from now on, with `reply`.
    pub fn answer(&self, reply: Reply, times: Option<u64>) {
        let mut state = self.shared.state();
        state.reply = reply;
        state.times = times;
    }

    /// CPU time that its thread had spent when the latest request was answered.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        Duration::from_nanos(self.shared.cpu.load(Ordering::Relaxed))
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a message as it came off the wire.
    fn take(&self, signal: Signal, message: Bytes, gzip: bool) -> Verdict {
        let verdict = self.judge(signal, message, gzip);
        let spent = u64::try_from(thread_cpu().as_nanos()).unwrap_or(u64::MAX);
        self.cpu.store(spent, Ordering::Relaxed);
        verdict
    }

    fn judge(&self, signal: Signal, message: Bytes, gzip: bool) -> Verdict {
        /// gRPC's `INVALID_ARGUMENT`, and HTTP's 400: not to be sent again.
        const UNREADABLE: (u8, u16) = (3, 400);
        let unreadable = |words: String| {
            self.state().arrived.unreadable += 1;
            Verdict::Refuse(UNREADABLE.0, UNREADABLE.1, words)
        };
        let reply = {
            let mut state = self.state();
            let reply = match state.times {
                Some(0) => Reply::Take,
                _ => state.reply.clone(),
            };
            state.times = state.times.map(|times| times.saturating_sub(1));
            if let Reply::Refuse { grpc, http, words } = reply {
                state.arrived.refused += 1;
                return Verdict::Refuse(grpc, http, words);
            }
            reply
        };
        let message = if gzip {
            let mut unpacked = Vec::new();
            match GzDecoder::new(message.as_ref())
                .take(LONGEST)
                .read_to_end(&mut unpacked)
            {
                Ok(_) => Bytes::from(unpacked),
                Err(error) => return unreadable(format!("the gzip stream cannot be unpacked: {error}")),
            }
        } else {
            message
        };
        let items = match scan::count(&message) {
            Ok(items) => items,
            Err(error) => return unreadable(error.to_string()),
        };
        let mut ledger = TraceLedger::default();
        if self.keep != Keep::Count && signal == Signal::Traces {
            match ExportTraces::decode(message.clone()) {
                Ok(request) if self.keep == Keep::Ledger => ledger.enter_request(&request),
                Ok(_) => {}
                Err(error) => return unreadable(error.to_string()),
            }
        }
        let mut state = self.state();
        state.arrived.requests += 1;
        state.arrived.bytes += message.len() as u64;
        match signal {
            Signal::Traces => state.arrived.spans += items,
            Signal::Logs => state.arrived.logs += items,
        }
        state.ledger.enter_all(&ledger);
        if self.keep == Keep::Whole {
            state.requests.push(Request {
                signal,
                at: unix_nanoseconds(),
                message,
            });
        }
        let response = ExportResponse {
            partial_success: match reply {
                Reply::Partial { rejected, words } => Some(PartialSuccess {
                    rejected: i64::try_from(rejected).unwrap_or(i64::MAX),
                    error_message: words,
                }),
                Reply::Take | Reply::Refuse { .. } => None,
            },
        };
        Verdict::Take(response.encode_to_vec().into())
    }
}

#[cfg(test)]
mod tests;
