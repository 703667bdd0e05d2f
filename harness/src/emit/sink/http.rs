//! The sink's HTTP side.

use std::net::TcpListener as StdListener;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use prost::Message;
use tokio::net::TcpListener;

use super::{LONGEST, Shared, Verdict};
use crate::wire::otlp::{self, RpcStatus, Signal};

pub(super) async fn serve(listener: StdListener, shared: Arc<Shared>) {
    let Ok(listener) = TcpListener::from_std(listener) else {
        return;
    };
    let router = Router::new().fallback(take).with_state(shared);
    // It ends with the sink alone.
    let _ = axum::serve(listener, router).await;
}

async fn take(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let signal = [Signal::Traces, Signal::Logs]
        .into_iter()
        .find(|signal| signal.http_path() == head.uri.path());
    let Some(signal) = signal else {
        let words = format!("the sink does not know {}", head.uri.path());
        return (StatusCode::NOT_FOUND, words).into_response();
    };
    let has = |name, value: &str| {
        head.headers
            .get(name)
            .is_some_and(|found: &axum::http::HeaderValue| found.as_bytes().starts_with(value.as_bytes()))
    };
    if !has(header::CONTENT_TYPE, otlp::CONTENT_TYPE) {
        let words = format!("the sink takes {} alone", otlp::CONTENT_TYPE);
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, words).into_response();
    }
    let gzip = has(header::CONTENT_ENCODING, "gzip");
    let limit = usize::try_from(LONGEST).unwrap_or(usize::MAX);
    let message = match axum::body::to_bytes(body, limit).await {
        Ok(message) => message,
        Err(error) => return (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    };
    let (status, body) = match shared.take(signal, message, gzip) {
        Verdict::Take(response) => (StatusCode::OK, response.to_vec()),
        Verdict::Refuse(code, status, words) => (
            StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            RpcStatus {
                code: code.into(),
                message: words,
            }
            .encode_to_vec(),
        ),
    };
    (status, [(header::CONTENT_TYPE, otlp::CONTENT_TYPE)], body).into_response()
}
