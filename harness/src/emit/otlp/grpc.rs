//! OTLP over gRPC, directly on HTTP/2: the body is sent as it is, without a copy.

use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use url::Url;

use super::answer::{kept, status_name, taken, words};
use super::{ANSWER_BOUND, Endpoint, OtlpError, Taken};
use crate::wire::otlp::batch::PREFIX;

/// What a server may send before we take it off: answers are small.
const WINDOW: u32 = 1 << 20;

/// A client with one connection, made anew when it is lost.
#[derive(Debug)]
pub(super) struct Client {
    url: Url,
    address: String,
    uri: Uri,
    headers: HeaderMap,
    connection: Mutex<Option<SendRequest<Bytes>>>,
}

impl Client {
    pub(super) fn new(endpoint: &Endpoint) -> Result<Self, OtlpError> {
        let wrong = |why| OtlpError::Address {
            url: endpoint.url.clone(),
            why,
        };
        if endpoint.url.scheme() != "http" {
            return Err(wrong(
                "only plain http is spoken over gRPC; give an http address, or send over HTTP",
            ));
        }
        let host = endpoint.url.host_str().ok_or_else(|| wrong("it names no host"))?;
        let port = endpoint
            .url
            .port()
            .ok_or_else(|| wrong("it names no port; OTLP over gRPC is at 4317 by custom"))?;
        let address = format!("{host}:{port}");
        let uri = format!("http://{address}{}", endpoint.signal.grpc_path())
            .parse()
            .map_err(|_| wrong("it is not a URI"))?;
        let mut headers = HeaderMap::new();
        for (name, value) in [("te", "trailers"), ("content-type", "application/grpc")] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        for (name, value) in &endpoint.headers {
            let bad = || OtlpError::Header(format!("{name}: {value}"));
            headers.append(
                HeaderName::try_from(name.as_str()).map_err(|_| bad())?,
                HeaderValue::try_from(value.as_str()).map_err(|_| bad())?,
            );
        }
        Ok(Self {
            url: endpoint.url.clone(),
            address,
            uri,
            headers,
            connection: Mutex::new(None),
        })
    }

    pub(super) async fn export(&self, body: Bytes) -> Result<Taken, OtlpError> {
        match tokio::time::timeout(ANSWER_BOUND, self.exchange(body)).await {
            Ok(result) => result,
            Err(_) => Err(self.unreachable(&format!("no answer within {} s", ANSWER_BOUND.as_secs()))),
        }
    }

    async fn exchange(&self, body: Bytes) -> Result<Taken, OtlpError> {
        let broken = |error: h2::Error| self.unreachable(&format!("the exchange broke off: {error}"));
        let mut sender = self.connected().await?;
        let mut request = Request::post(self.uri.clone())
            .body(())
            .map_err(|error| self.unreachable(&error.to_string()))?;
        request.headers_mut().clone_from(&self.headers);
        let (response, mut stream) = sender.send_request(request, false).map_err(broken)?;
        // Queued whole: the bound on requests in flight bounds the queue.
        stream.send_data(body, true).map_err(broken)?;
        let (head, mut body) = response.await.map_err(broken)?.into_parts();
        if head.status != StatusCode::OK {
            return Err(self.refused(format!("HTTP status {}", head.status.as_u16()), String::new()));
        }
        // Without a body, status and words are in the header ("Trailers-Only").
        if head.headers.contains_key("grpc-status") {
            self.judge(&head.headers)?;
        }
        let mut message = BytesMut::new();
        while let Some(data) = body.data().await {
            let data = data.map_err(broken)?;
            body.flow_control().release_capacity(data.len()).map_err(broken)?;
            message.extend_from_slice(&data);
        }
        match body.trailers().await.map_err(broken)? {
            Some(trailers) => self.judge(&trailers)?,
            None if head.headers.contains_key("grpc-status") => {}
            None => return Err(self.unreachable("the answer ended without a status")),
        }
        Ok(taken(message.get(PREFIX..).unwrap_or_default()))
    }

    /// A sender of a connection that is up and may take one more request.
    async fn connected(&self) -> Result<SendRequest<Bytes>, OtlpError> {
        let mut connection = self.connection.lock().await;
        if let Some(sender) = connection.take()
            && let Ok(ready) = sender.ready().await
        {
            *connection = Some(ready.clone());
            return Ok(ready);
        }
        let stream = TcpStream::connect(&self.address)
            .await
            .map_err(|error| self.unreachable(&format!("no connection: {error}")))?;
        stream
            .set_nodelay(true)
            .map_err(|error| self.unreachable(&error.to_string()))?;
        let failed = |error: h2::Error| self.unreachable(&format!("no HTTP/2 connection: {error}"));
        let (sender, running) = h2::client::Builder::new()
            .initial_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .enable_push(false)
            .handshake::<_, Bytes>(stream)
            .await
            .map_err(failed)?;
        // What goes wrong with the connection is told by the requests on it.
        tokio::spawn(async move {
            let _ = running.await;
        });
        let sender = sender.ready().await.map_err(failed)?;
        *connection = Some(sender.clone());
        Ok(sender)
    }

    fn judge(&self, headers: &HeaderMap) -> Result<(), OtlpError> {
        let text = |name: &str| headers.get(name).map(HeaderValue::as_bytes).unwrap_or_default();
        let code = String::from_utf8_lossy(text("grpc-status"));
        if code == "0" {
            return Ok(());
        }
        Err(self.refused(status_name(&code), words(text("grpc-message"))))
    }

    fn refused(&self, status: String, words: String) -> OtlpError {
        OtlpError::Refused {
            url: Box::new(self.url.clone()),
            status,
            words,
        }
    }

    fn unreachable(&self, why: &str) -> OtlpError {
        OtlpError::Unreachable {
            url: self.url.clone(),
            why: kept(why),
        }
    }
}
