//! A scrape target of a case's own, with a ledger of every scrape it served.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::wire::exposition::Family;

/// One scrape that was served.
#[derive(Debug, Clone, PartialEq)]
pub struct Served {
    /// Running number, from 0.
    pub number: u64,
    /// Unix seconds at which the request arrived.
    pub at: f64,
    /// What was exposed.
    pub families: Arc<Vec<Family>>,
    /// Whether the answer was protobuf.
    pub protobuf: bool,
}

/// A running target. Dropping it closes its port.
#[derive(Debug)]
pub struct ScrapeTarget {
    address: SocketAddr,
}

impl ScrapeTarget {
    /// Listens on a free loopback port; `expose` gives the families for scrape number n (from 0) at
    /// the given unix seconds.
    pub async fn start(
        expose: impl Fn(u64, f64) -> Vec<Family> + Send + Sync + 'static,
    ) -> Result<Self, std::io::Error> {
        let _ = &expose;
        todo!()
    }

    /// `host:port` of the target.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every scrape served so far.
    #[must_use]
    pub fn served(&self) -> Vec<Served> {
        todo!()
    }
}
