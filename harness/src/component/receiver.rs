//! The webhook receiver: the end of the notification path, which is ours to play.
//!
//! [`ReceiverServer`] listens and remembers every delivery with the instant it
//! arrived; [`Receiver`] asks it over HTTP, so that a warm stack's receiver in
//! another process is asked in the same way.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_util::sync::{CancellationToken, DropGuard};
use url::Url;

use super::ClientError;
use super::http::Server;
use crate::clock;

/// Largest body that is read; Alertmanager's own are a few kilobytes.
const BODY_BOUND: usize = 64 * 1024 * 1024;

/// One delivery, refused ones included.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// Running number, from 0.
    pub number: u64,
    /// Unix seconds of arrival, taken when the request's head was read.
    pub at: f64,
    /// Path it came to, for example `/alerts/critical`.
    pub path: String,
    /// Status it was answered with.
    pub status: u16,
    /// The body (Alertmanager's webhook payload, version 4); a string where it is no JSON.
    pub body: Value,
}

/// A client of a receiver.
#[derive(Debug, Clone)]
pub struct Receiver {
    server: Server,
}

impl Receiver {
    /// A client of the receiver at `base`.
    pub fn new(base: Url) -> Result<Self, ClientError> {
        Ok(Self {
            server: Server::new("the webhook receiver", base)?,
        })
    }

    /// Where webhooks go; paths are appended.
    #[must_use]
    pub fn base(&self) -> &Url {
        self.server.base()
    }

    /// Deliveries from number `from` on.
    pub async fn deliveries(&self, from: u64) -> Result<Vec<Delivery>, ClientError> {
        self.server
            .get(&format!("/-/deliveries?from={from}"))
            .await?
            .json()
    }

    /// Answers the next `count` deliveries with `status` instead of 200. A later call replaces what
    /// is left of an earlier one.
    pub async fn refuse_next(&self, count: u32, status: u16) -> Result<(), ClientError> {
        let refusal = Refusal { count, status };
        self.server
            .ask(Method::POST, "/-/refuse", |request| request.json(&refusal))
            .await
            .map(drop)
    }
}

/// How many deliveries to refuse, and how.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Refusal {
    count: u32,
    status: u16,
}

/// The first delivery asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct From {
    #[serde(default)]
    from: u64,
}

/// What the receiver remembers.
#[derive(Debug, Default)]
struct Book {
    deliveries: Vec<Delivery>,
    refusal: Refusal,
}

type Shared = Arc<Mutex<Book>>;

/// A running receiver. Dropping it closes its port.
#[derive(Debug)]
pub struct ReceiverServer {
    address: SocketAddr,
    _running: DropGuard,
}

impl ReceiverServer {
    /// Listens on a free loopback port.
    pub async fn start() -> Result<Self, std::io::Error> {
        Self::start_on(Ipv4Addr::LOCALHOST.into()).await
    }

    /// Listens on a free port of one of this machine's addresses.
    pub async fn start_on(host: IpAddr) -> Result<Self, std::io::Error> {
        let listener = tokio::net::TcpListener::bind((host, 0)).await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let router = Router::new()
            .route("/-/deliveries", get(list))
            .route("/-/refuse", post(refuse))
            .fallback(deliver)
            .with_state(Shared::default());
        let stopped = stop.clone().cancelled_owned();
        tokio::spawn(async move {
            // Serving ends with the stop, or with the listener's error; then the port is closed and
            // whoever delivers or asks is told so by the system.
            let _ = axum::serve(listener, router)
                .with_graceful_shutdown(stopped)
                .await;
        });
        Ok(Self {
            address,
            _running: stop.drop_guard(),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A client of it.
    pub fn client(&self) -> Result<Receiver, ClientError> {
        let text = format!("http://{}/", self.address);
        let base = Url::parse(&text).map_err(|error| ClientError::Unreachable {
            server: "the webhook receiver",
            url: text,
            why: error.to_string(),
        })?;
        Receiver::new(base)
    }
}

async fn list(State(book): State<Shared>, Query(query): Query<From>) -> Json<Vec<Delivery>> {
    let book = book.lock().unwrap_or_else(PoisonError::into_inner);
    let from = usize::try_from(query.from).unwrap_or(usize::MAX);
    Json(book.deliveries.get(from..).unwrap_or_default().to_vec())
}

async fn refuse(
    State(book): State<Shared>,
    Json(refusal): Json<Refusal>,
) -> Result<StatusCode, (StatusCode, String)> {
    if StatusCode::from_u16(refusal.status).is_err() {
        return Err((
            StatusCode::BAD_REQUEST,
            format!("{} is not an HTTP status", refusal.status),
        ));
    }
    book.lock().unwrap_or_else(PoisonError::into_inner).refusal = refusal;
    Ok(StatusCode::NO_CONTENT)
}

async fn deliver(State(book): State<Shared>, request: Request) -> StatusCode {
    let at = clock::unix_seconds();
    let (head, body) = request.into_parts();
    let body = read(body).await;
    let mut book = book.lock().unwrap_or_else(PoisonError::into_inner);
    let status = if book.refusal.count > 0 {
        book.refusal.count -= 1;
        StatusCode::from_u16(book.refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    } else {
        StatusCode::OK
    };
    let number = book.deliveries.len() as u64;
    book.deliveries.push(Delivery {
        number,
        at,
        path: head.uri.path().to_owned(),
        status: status.as_u16(),
        body,
    });
    status
}

async fn read(body: Body) -> Value {
    match axum::body::to_bytes(body, BODY_BOUND).await {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) => Value::String(format!("the body breaks off: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::{Look, Wait};
    use serde_json::json;
    use std::time::Duration;

    async fn send(receiver: &Receiver, path: &str, body: Value) -> Result<(), ClientError> {
        receiver
            .server
            .ask(Method::POST, path, |request| request.json(&body))
            .await
            .map(drop)
    }

    #[tokio::test]
    async fn deliveries_are_remembered_in_order_with_instant_path_and_body() {
        let server = ReceiverServer::start().await.unwrap();
        let receiver = server.client().unwrap();
        let before = clock::unix_seconds();
        for (number, path) in ["/alerts/critical", "/alerts/warning"].into_iter().enumerate() {
            send(&receiver, path, json!({ "version": "4", "n": number }))
                .await
                .unwrap();
        }
        let all = receiver.deliveries(0).await.unwrap();
        assert_eq!(all.len(), 2);
        assert!(
            before <= all[0].at && all[0].at <= all[1].at && all[1].at <= clock::unix_seconds(),
            "{all:?}"
        );
        assert_eq!(
            (all[0].path.as_str(), all[1].path.as_str()),
            ("/alerts/critical", "/alerts/warning")
        );
        assert_eq!(all[1].body, json!({ "version": "4", "n": 1 }));
        assert_eq!(receiver.deliveries(1).await.unwrap(), all[1..]);
        assert_eq!(receiver.deliveries(9).await.unwrap(), []);
    }

    #[tokio::test]
    async fn the_scripted_refusals_come_first_and_are_remembered() {
        let server = ReceiverServer::start().await.unwrap();
        let receiver = server.client().unwrap();
        receiver.refuse_next(2, 503).await.unwrap();
        for _ in 0..2 {
            let refused = send(&receiver, "/x", json!({})).await.unwrap_err();
            assert!(
                matches!(refused, ClientError::Refused { status: 503, .. }),
                "{refused}"
            );
        }
        send(&receiver, "/x", json!({})).await.unwrap();
        let statuses: Vec<u16> = receiver
            .deliveries(0)
            .await
            .unwrap()
            .iter()
            .map(|delivery| delivery.status)
            .collect();
        assert_eq!(statuses, [503, 503, 200]);
    }

    #[tokio::test]
    async fn a_status_that_is_none_is_refused() {
        let server = ReceiverServer::start().await.unwrap();
        let error = server.client().unwrap().refuse_next(1, 42).await.unwrap_err();
        assert!(error.to_string().contains("42 is not an HTTP status"), "{error}");
    }

    #[tokio::test]
    async fn dropping_the_receiver_closes_its_port() {
        let server = ReceiverServer::start().await.unwrap();
        let receiver = server.client().unwrap();
        receiver.deliveries(0).await.unwrap();
        drop(server);
        Wait::new("the receiver's port closed", Duration::from_secs(5))
            .until(|| async {
                match receiver.deliveries(0).await {
                    Err(ClientError::Unreachable { .. }) => Look::Ready(()),
                    other => Look::Missing(format!("{other:?}")),
                }
            })
            .await
            .unwrap();
    }
}
