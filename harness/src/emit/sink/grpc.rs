//! The sink's gRPC side, directly on HTTP/2.

use std::fmt::Write as _;
use std::net::TcpListener as StdListener;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::net::{TcpListener, TcpStream};

use super::{Shared, Verdict};
use crate::wire::otlp::Signal;
use crate::wire::otlp::batch::PREFIX;

/// What clients may send on one request before we have read it.
const WINDOW: u32 = 16 << 20;
/// The same on one connection.
const CONNECTION_WINDOW: u32 = 64 << 20;
/// Longest frame: longer ones cost a sender less.
const FRAME: u32 = 1 << 20;
/// gRPC's UNIMPLEMENTED.
const UNIMPLEMENTED: u8 = 12;
/// gRPC's INTERNAL.
const INTERNAL: u8 = 13;

pub(super) async fn serve(listener: StdListener, shared: Arc<Shared>) {
    let Ok(listener) = TcpListener::from_std(listener) else {
        return;
    };
    // A connection that cannot be accepted is the client's to notice.
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(connection(stream, Arc::clone(&shared)));
        }
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    // Without it answers wait for more to send; the sink works all the same.
    let _ = stream.set_nodelay(true);
    let handshake = h2::server::Builder::new()
        .initial_window_size(WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME)
        .handshake::<_, Bytes>(stream)
        .await;
    let Ok(mut connection) = handshake else { return };
    while let Some(Ok((request, answer))) = connection.accept().await {
        tokio::spawn(exchange(request, answer, Arc::clone(&shared)));
    }
}

async fn exchange(request: Request<RecvStream>, answer: SendResponse<Bytes>, shared: Arc<Shared>) {
    let signal = [Signal::Traces, Signal::Logs]
        .into_iter()
        .find(|signal| signal.grpc_path() == request.uri().path());
    // An answer that cannot be sent has nobody to be sent to.
    let _ = match signal {
        None => refuse(
            answer,
            UNIMPLEMENTED,
            &format!("the sink does not know {}", request.uri().path()),
        ),
        Some(signal) => {
            let gzip = request
                .headers()
                .get("grpc-encoding")
                .is_some_and(|encoding| encoding == "gzip");
            match read(request.into_body()).await {
                Err(words) => refuse(answer, INTERNAL, &words),
                Ok((compressed, message)) => match shared.take(signal, message, compressed && gzip) {
                    Verdict::Take(response) => take(answer, &response),
                    Verdict::Refuse(code, _, words) => refuse(answer, code, &words),
                },
            }
        }
    };
}

/// The message of a body, and whether it is compressed.
async fn read(mut body: RecvStream) -> Result<(bool, Bytes), String> {
    let mut whole = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data.map_err(|error| error.to_string())?;
        if whole.len() >= PREFIX || data.len() < PREFIX {
            whole.extend_from_slice(&data);
        } else {
            // The prefix says how much follows, so that it is copied once.
            let length = data
                .get(1..PREFIX)
                .and_then(|length| length.try_into().ok())
                .map_or(0, u32::from_be_bytes);
            whole.reserve(usize::try_from(length).unwrap_or_default().min(1 << 26) + PREFIX);
            whole.extend_from_slice(&data);
        }
        let read = data.len();
        body.flow_control()
            .release_capacity(read)
            .map_err(|error| error.to_string())?;
    }
    let mut whole = whole.freeze();
    if whole.len() < PREFIX {
        return Err("the request holds no message".to_owned());
    }
    let prefix = whole.split_to(PREFIX);
    let length = prefix
        .get(1..)
        .and_then(|length| length.try_into().ok())
        .map_or(0, u32::from_be_bytes);
    if u32::try_from(whole.len()).ok() != Some(length) {
        return Err(format!(
            "the message has {} bytes, and its prefix says {length}",
            whole.len()
        ));
    }
    Ok((prefix.first() == Some(&1), whole))
}

fn head() -> Response<()> {
    let mut head = Response::new(());
    head.headers_mut()
        .insert("content-type", HeaderValue::from_static("application/grpc"));
    head
}

fn take(mut answer: SendResponse<Bytes>, response: &[u8]) -> Result<(), h2::Error> {
    let mut body = BytesMut::with_capacity(PREFIX + response.len());
    body.put_u8(0);
    body.put_u32(u32::try_from(response.len()).unwrap_or(u32::MAX));
    body.put_slice(response);
    let mut stream = answer.send_response(head(), false)?;
    stream.send_data(body.freeze(), false)?;
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    stream.send_trailers(trailers)
}

fn refuse(mut answer: SendResponse<Bytes>, code: u8, words: &str) -> Result<(), h2::Error> {
    let mut head = head();
    let mut coded = String::new();
    for byte in words.bytes() {
        // Percent-encoded but for printable ASCII (gRPC over HTTP/2, "Status-Message").
        if (0x20..0x7f).contains(&byte) && byte != b'%' {
            coded.push(char::from(byte));
        } else {
            let _ = write!(coded, "%{byte:02X}");
        }
    }
    head.headers_mut()
        .insert("grpc-status", HeaderValue::from(u16::from(code)));
    if let Ok(words) = HeaderValue::try_from(coded) {
        head.headers_mut().insert("grpc-message", words);
    }
    answer.send_response(head, true)?;
    Ok(())
}
