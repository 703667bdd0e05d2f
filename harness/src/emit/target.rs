//! A scrape target of a case's own, with a ledger of every scrape it served.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::player::{Clock, answer, negotiate, serve};
use crate::wire::exposition::{Family, Format};

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
    served: Arc<Mutex<Vec<Served>>>,
    _running: DropGuard,
}

/// What the requests share.
struct Shared<E> {
    expose: E,
    served: Arc<Mutex<Vec<Served>>>,
    clock: Clock,
}

impl ScrapeTarget {
    /// Listens on a free loopback port; `expose` gives the families for scrape number n (from 0) at
    /// the given unix seconds.
    pub async fn start(
        expose: impl Fn(u64, f64) -> Vec<Family> + Send + Sync + 'static,
    ) -> Result<Self, std::io::Error> {
        let served = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::new(Shared {
            expose,
            served: Arc::clone(&served),
            clock: Clock::start(),
        });
        let stop = CancellationToken::new();
        let running = stop.clone().drop_guard();
        let router = Router::new().fallback(scrape).with_state(shared);
        let address = serve(router, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), &stop).await?;
        Ok(Self {
            address,
            served,
            _running: running,
        })
    }

    /// `host:port` of the target.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every scrape served so far.
    #[must_use]
    pub fn served(&self) -> Vec<Served> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn scrape<E: Fn(u64, f64) -> Vec<Family>>(
    State(shared): State<Arc<Shared<E>>>,
    headers: HeaderMap,
) -> Response {
    let format = negotiate(&headers);
    let at = shared.clock.unix(shared.clock.seconds());
    let families = {
        // Held while exposing, so that numbers, instants and entries are in one order.
        let mut served = shared.served.lock().unwrap_or_else(PoisonError::into_inner);
        let number = served.len() as u64;
        let families = Arc::new((shared.expose)(number, at));
        served.push(Served {
            number,
            at,
            families: Arc::clone(&families),
            protobuf: format == Format::Protobuf,
        });
        families
    };
    answer(&families, format)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::exposition::{Metric, Value, text};
    use indexmap::IndexMap;

    #[tokio::test]
    async fn every_scrape_is_entered_with_what_it_was_given() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let target = ScrapeTarget::start(|number, _| {
            vec![Family {
                name: "scrapes_total".into(),
                help: "Scrapes so far.".into(),
                metrics: vec![Metric {
                    labels: IndexMap::new(),
                    value: Value::Counter(f64::from(u32::try_from(number).unwrap())),
                }],
            }]
        })
        .await
        .unwrap();
        let mut got = Vec::new();
        for _ in 0..3 {
            let body = reqwest::get(format!("http://{}/metrics", target.address()))
                .await
                .unwrap()
                .text()
                .await
                .unwrap();
            got.push(text::parse(&body).unwrap());
        }
        let served = target.served();
        let numbers: Vec<u64> = served.iter().map(|scrape| scrape.number).collect();
        assert_eq!(numbers, [0, 1, 2]);
        assert!(served.is_sorted_by(|a, b| a.at <= b.at));
        for (scrape, got) in served.iter().zip(&got) {
            assert_eq!(*scrape.families, *got);
            assert!(!scrape.protobuf);
        }
    }
}
