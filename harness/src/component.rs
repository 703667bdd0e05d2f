//! Typed clients of the servers of the stack: a few endpoints each, the raw
//! answer kept in the error.
//!
//! Clients know an address and nothing of how the server came to run.

pub mod alertmanager;
pub mod cluster;
pub mod collector;
pub mod elasticsearch;
mod http;
mod instant;
pub mod jaeger;
pub mod loki;
mod own_metrics;
pub mod prometheus;
pub mod receiver;
pub mod trace;

use std::time::Duration;

pub use http::http_client;

/// Why a server could not be asked, or what it answered instead.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ClientError {
    /// No answer at all.
    #[error("{server} at {url} does not answer: {why}")]
    Unreachable {
        /// Which server.
        server: &'static str,
        /// What was asked.
        url: String,
        /// The innermost cause (for example `connection refused`).
        why: String,
    },
    /// An answer that says no.
    #[error("{server} refuses {url} with {status}: {body}")]
    Refused {
        /// Which server.
        server: &'static str,
        /// What was asked.
        url: String,
        /// HTTP status.
        status: u16,
        /// The server's own words, shortened.
        body: String,
    },
    /// An answer that cannot be read.
    #[error("{server} answers {url} with something unexpected: {why}")]
    Unreadable {
        /// Which server.
        server: &'static str,
        /// What was asked.
        url: String,
        /// What does not fit.
        why: String,
    },
}

/// Longest a single question may take.
pub const ANSWER_BOUND: Duration = Duration::from_secs(30);
