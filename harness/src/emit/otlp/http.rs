//! OTLP over HTTP: protobuf in a POST.

use bytes::Bytes;
use prost::Message;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::answer::{kept, taken};
use super::{ANSWER_BOUND, Endpoint, OtlpError, Taken};
use crate::wire::otlp::batch::PREFIX;
use crate::wire::otlp::{self, RpcStatus};

#[derive(Debug)]
pub(super) struct Client {
    url: Url,
    client: reqwest::Client,
}

impl Client {
    pub(super) fn new(endpoint: &Endpoint) -> Result<Self, OtlpError> {
        // Another provider that is installed already serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(otlp::CONTENT_TYPE));
        for (name, value) in &endpoint.headers {
            let bad = || OtlpError::Header(format!("{name}: {value}"));
            headers.append(
                HeaderName::try_from(name.as_str()).map_err(|_| bad())?,
                HeaderValue::try_from(value.as_str()).map_err(|_| bad())?,
            );
        }
        let mut url = endpoint.url.clone();
        if url.path() == "/" {
            url.set_path(endpoint.signal.http_path());
        }
        let client = reqwest::Client::builder()
            // A proxy between generator and server would be measured with it.
            .no_proxy()
            .tcp_nodelay(true)
            .timeout(ANSWER_BOUND)
            .default_headers(headers)
            .build()
            .map_err(|error| OtlpError::Client(error.to_string()))?;
        Ok(Self { url, client })
    }

    pub(super) async fn export(&self, body: Bytes) -> Result<Taken, OtlpError> {
        let unreachable = |error: reqwest::Error| OtlpError::Unreachable {
            url: self.url.clone(),
            why: kept(&super::super::remote_write::causes(&error)),
        };
        let message = if body.len() < PREFIX {
            body
        } else {
            body.slice(PREFIX..)
        };
        let answer = self
            .client
            .post(self.url.clone())
            .body(message)
            .send()
            .await
            .map_err(unreachable)?;
        let status = answer.status();
        let protobuf = answer
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(otlp::CONTENT_TYPE.as_bytes()));
        let said = answer.bytes().await.map_err(unreachable)?;
        if status.is_success() {
            return Ok(if protobuf { taken(&said) } else { Taken::default() });
        }
        let words = match RpcStatus::decode(said.clone()) {
            Ok(status) if protobuf => status.message,
            _ => String::from_utf8_lossy(&said).into_owned(),
        };
        Err(OtlpError::Refused {
            url: Box::new(self.url.clone()),
            status: status.as_u16().to_string(),
            words: kept(&words),
        })
    }
}
