//! The webhook receiver: the end of the notification path, which is ours to play.
//!
//! [`ReceiverServer`] listens and remembers every delivery with the instant it
//! arrived; [`Receiver`] asks it over HTTP, so that a warm stack's receiver in
//! another process is asked in the same way.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::ClientError;

/// One delivery, refused ones included.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// Running number, from 0.
    pub number: u64,
    /// Unix seconds of arrival.
    pub at: f64,
    /// Path it came to, for example `/alerts/critical`.
    pub path: String,
    /// Status it was answered with.
    pub status: u16,
    /// The body (Alertmanager's webhook payload, version 4).
    pub body: Value,
}

/// A client of a receiver.
#[derive(Debug, Clone)]
pub struct Receiver {
    base: Url,
    http: reqwest::Client,
}

impl Receiver {
    /// A client of the receiver at `base`.
    pub fn new(base: Url) -> Result<Self, ClientError> {
        let _ = base;
        todo!()
    }

    /// Where webhooks go; paths are appended.
    #[must_use]
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// Deliveries from number `from` on.
    pub async fn deliveries(&self, from: u64) -> Result<Vec<Delivery>, ClientError> {
        let _ = from;
        todo!()
    }

    /// Answers the next `count` deliveries with `status` instead of 200.
    pub async fn refuse_next(&self, count: u32, status: u16) -> Result<(), ClientError> {
        let _ = (count, status);
        todo!()
    }
}

/// A running receiver. Dropping it closes its port.
#[derive(Debug)]
pub struct ReceiverServer {
    address: SocketAddr,
}

impl ReceiverServer {
    /// Listens on a free loopback port.
    pub async fn start() -> Result<Self, std::io::Error> {
        todo!()
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A client of it.
    pub fn client(&self) -> Result<Receiver, ClientError> {
        todo!()
    }
}
