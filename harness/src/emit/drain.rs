//! A receiver that only reads: what a generator can send is measured against it, and nothing else
//! limits it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use futures::StreamExt;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::one_core::{CoreError, on_one_core};

/// What was read, and what that cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Bytes of the bodies.
    pub bytes: u64,
    /// CPU time of the receiver's thread.
    pub cpu: Duration,
}

/// A running receiver, on a thread of its own. It ends when dropped.
#[derive(Debug)]
pub struct Drain {
    address: SocketAddr,
    running: DropGuard,
    ended: tokio::task::JoinHandle<Result<Drained, CoreError>>,
}

impl Drain {
    /// Listens on a free loopback port and answers every request with 204 once its body is read.
    pub fn start() -> std::io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let end = CancellationToken::new();
        let running = end.clone().drop_guard();
        let ended = tokio::spawn(async move {
            let (bytes, cpu) = on_one_core("drain", move || serve(listener, end)).await?;
            Ok(Drained { bytes: bytes?, cpu })
        });
        Ok(Self {
            address,
            running,
            ended,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it.
    pub async fn end(self) -> Result<Drained, CoreError> {
        drop(self.running);
        self.ended.await.map_err(|_| CoreError::Lost)?
    }
}

async fn serve(listener: std::net::TcpListener, end: CancellationToken) -> std::io::Result<u64> {
    let bytes = Arc::new(AtomicU64::new(0));
    let router = Router::new().fallback(read).with_state(Arc::clone(&bytes));
    let server = axum::serve(tokio::net::TcpListener::from_std(listener)?, router);
    tokio::select! {
        () = end.cancelled() => {}
        ended = server.into_future() => ended?,
    }
    Ok(bytes.load(Ordering::Relaxed))
}

async fn read(State(bytes): State<Arc<AtomicU64>>, body: Body) -> StatusCode {
    let mut body = body.into_data_stream();
    while let Some(chunk) = body.next().await {
        let Ok(chunk) = chunk else {
            return StatusCode::BAD_REQUEST;
        };
        bytes.fetch_add(chunk.len() as u64, Ordering::Relaxed);
    }
    StatusCode::NO_CONTENT
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emit::remote_write::{Load, send};
    use crate::seed::Seed;

    #[tokio::test]
    async fn all_that_is_sent_is_read() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let drain = Drain::start().unwrap();
        let endpoint = format!("http://{}/", drain.address()).parse().unwrap();
        let load = Load::new(endpoint, 100, Duration::from_secs(1), Seed(1));
        let sent = send(load, CancellationToken::new()).await.unwrap();
        assert!(sent.acknowledged >= 100, "{sent:?}");
        assert_eq!(drain.end().await.unwrap().bytes, sent.bytes);
    }
}
