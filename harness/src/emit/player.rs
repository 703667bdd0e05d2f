//! Plays the services of the shapes: one scrape endpoint an instance and port.
//!
//! Every value is a function of the series, the seconds since the start and
//! the seed (see [`model`]): nothing is counted up in the background, so an
//! endpoint that nobody scrapes costs nothing, and two runs with one seed
//! expose the same.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use indexmap::IndexMap;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::clock;
use crate::seed::Seed;
use crate::shapes::Shapes;
use crate::wire::exposition::{Family, Format};

pub mod distribution;
pub mod model;

use model::Model;

/// Running players. Dropping them closes their ports.
#[derive(Debug)]
pub struct Players {
    endpoints: IndexMap<String, Vec<SocketAddr>>,
    _running: DropGuard,
}

/// What one instance exposes, on each of its ports.
#[derive(Debug)]
struct Instance {
    model: Model,
    clock: Clock,
}

impl Players {
    /// Plays every service of the shapes on free loopback ports.
    pub async fn start(shapes: &Shapes, seed: Seed) -> Result<Self, std::io::Error> {
        Self::start_on(Ipv4Addr::LOCALHOST.into(), shapes, seed).await
    }

    /// Plays every service of the shapes on free ports of one of this machine's addresses.
    pub async fn start_on(host: IpAddr, shapes: &Shapes, seed: Seed) -> Result<Self, std::io::Error> {
        let stop = CancellationToken::new();
        let running = stop.clone().drop_guard();
        let clock = Clock::start();
        let mut endpoints: IndexMap<String, Vec<SocketAddr>> = IndexMap::new();
        for service in &shapes.services {
            for number in 0..service.instances {
                let seed = seed.derive(&format!("{}/{number}", service.key()));
                let instance = Arc::new(Instance {
                    model: Model::new(&service.metrics, seed),
                    clock,
                });
                for port in service.ports.keys() {
                    let instance = Arc::clone(&instance);
                    let router = Router::new().fallback(expose).with_state(instance);
                    let address = serve(router, SocketAddr::from((host, 0)), &stop).await?;
                    endpoints
                        .entry(format!("{}/{port}", service.key()))
                        .or_default()
                        .push(address);
                }
            }
        }
        Ok(Self {
            endpoints,
            _running: running,
        })
    }

    /// Addresses by `namespace/service/port name`, one an instance.
    #[must_use]
    pub fn endpoints(&self) -> &IndexMap<String, Vec<SocketAddr>> {
        &self.endpoints
    }
}

async fn expose(State(instance): State<Arc<Instance>>, headers: HeaderMap) -> Response {
    let seconds = instance.clock.seconds();
    let families = instance.model.families(seconds, instance.clock.unix(seconds));
    answer(&families, negotiate(&headers))
}

/// The format that a scrape asks for.
pub(crate) fn negotiate(headers: &HeaderMap) -> Format {
    Format::negotiate(headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()))
}

/// The answer to a scrape.
pub(crate) fn answer(families: &[Family], format: Format) -> Response {
    (
        [(CONTENT_TYPE, HeaderValue::from_static(format.content_type()))],
        format.encode(families),
    )
        .into_response()
}

/// Serves on an address (port 0: a free one) until `stop`, and then ends the connections too.
pub(crate) async fn serve(
    router: Router,
    address: SocketAddr,
    stop: &CancellationToken,
) -> Result<SocketAddr, std::io::Error> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let stop = stop.clone();
    tokio::spawn(async move {
        // Serving ends only by `stop`: axum handles errors of single connections itself.
        let _ = axum::serve(listener, router)
            .with_graceful_shutdown(stop.cancelled_owned())
            .await;
    });
    Ok(address)
}

/// A clock that cannot jump: unix time at the start, then the monotonic clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    started: Instant,
    unix: f64,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            started: Instant::now(),
            unix: clock::unix_seconds(),
        }
    }

    /// Seconds since the start.
    pub(crate) fn seconds(self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Unix seconds at so many seconds after the start.
    pub(crate) fn unix(self, seconds: f64) -> f64 {
        self.unix + seconds
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::wire::exposition::{protobuf, text};
    use std::path::Path;

    pub(crate) const SHAPES: &str = r"
services:
  - name: api-gateway
    namespace: llmoptimizer
    labels: { app: api-gateway }
    ports: { http: 8080, metrics: 9090 }
    instances: 2
    metrics:
      - name: http_requests_total
        help: Requests served.
        kind: counter
        series:
          - { labels: { status: '200' }, rate: 40 }
          - { labels: { status: '500' }, rate: 0.02 }
      - name: up_flag
        help: A flag.
        kind: gauge
        series: [ { level: 1 } ]
      - name: queue_length
        help: Waiting requests.
        kind: gauge
        series: [ { level: 400 } ]
      - name: last_backup_timestamp_seconds
        help: When the last backup was.
        kind: gauge
        series: [ { age: 3600 } ]
      - name: http_request_duration_seconds
        help: Duration of requests.
        kind: histogram
        buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5]
        series:
          - { labels: { route: '/' }, rate: 40, median: 0.08, spread: 0.6 }
      - name: inference_duration_seconds
        help: Duration of inferences.
        kind: native-histogram
        buckets: [0.1, 0.5, 1, 5]
        series:
          - { labels: { model: small }, rate: 10, median: 0.4, spread: 0.5 }
";

    pub(crate) fn shapes() -> Shapes {
        Shapes::parse(Path::new("shapes.yaml"), SHAPES).unwrap()
    }

    #[tokio::test]
    async fn every_instance_and_port_answers_in_both_formats() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let players = Players::start(&shapes(), Seed(1)).await.unwrap();
        let keys: Vec<&String> = players.endpoints().keys().collect();
        assert_eq!(
            keys,
            [
                "llmoptimizer/api-gateway/http",
                "llmoptimizer/api-gateway/metrics"
            ]
        );
        let client = reqwest::Client::new();
        for address in players.endpoints().values().flatten() {
            let url = format!("http://{address}/any/path");
            let plain = client.get(&url).send().await.unwrap();
            assert_eq!(plain.headers()["content-type"], Format::Text.content_type());
            let families = text::parse(&plain.text().await.unwrap()).unwrap();
            assert_eq!(families.len(), 6);
            let binary = client
                .get(&url)
                .header(
                    "accept",
                    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,*/*;q=0.1",
                )
                .send()
                .await
                .unwrap();
            assert_eq!(protobuf::decode(&binary.bytes().await.unwrap()).unwrap().len(), 6);
        }
    }

    #[tokio::test]
    async fn dropping_the_players_closes_their_ports() {
        let players = Players::start(&shapes(), Seed(1)).await.unwrap();
        let address = players.endpoints()[0][0];
        drop(players);
        crate::wait::Wait::new("port closed", std::time::Duration::from_secs(5))
            .until(|| async move {
                match tokio::net::TcpStream::connect(address).await {
                    Ok(_) => crate::wait::Look::Missing("it still accepts".into()),
                    Err(_) => crate::wait::Look::Ready(()),
                }
            })
            .await
            .unwrap();
    }
}
