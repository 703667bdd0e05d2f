//! Asking over HTTP: the one place that builds the client and reads errors.

use reqwest::{Method, RequestBuilder, Response};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use super::{ANSWER_BOUND, ClientError};

/// Longest text of a server that an error carries, in characters.
const WORDS: usize = 600;

/// A server to ask.
#[derive(Debug, Clone)]
pub(super) struct Server {
    name: &'static str,
    base: Url,
    http: reqwest::Client,
}

impl Server {
    /// The server called `name` at `base`.
    pub(super) fn new(name: &'static str, base: Url) -> Result<Self, ClientError> {
        let http = http_client(&base).map_err(|error| ClientError::Unreachable {
            server: name,
            url: base.to_string(),
            why: innermost(&error),
        })?;
        Ok(Self { name, base, http })
    }

    pub(super) fn base(&self) -> &Url {
        &self.base
    }

    /// Sends a question that `fill` completes; an answer that is not a success is an error.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        fill: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<Answer, ClientError> {
        let url = format!("{}{path}", self.base.as_str().trim_end_matches('/'));
        let response = fill(self.http.request(method, &url))
            .send()
            .await
            .map_err(|error| ClientError::Unreachable {
                server: self.name,
                url: url.clone(),
                why: innermost(&error),
            })?;
        let status = response.status();
        let body = text(response).await.map_err(|error| ClientError::Unreachable {
            server: self.name,
            url: url.clone(),
            why: format!("the answer breaks off: {}", innermost(&error)),
        })?;
        if status.is_success() {
            Ok(Answer {
                server: self.name,
                url,
                body,
            })
        } else {
            Err(ClientError::Refused {
                server: self.name,
                url,
                status: status.as_u16(),
                body: words(&body),
            })
        }
    }

    /// Asks with GET.
    pub(super) async fn get(&self, path: &str) -> Result<Answer, ClientError> {
        self.ask(Method::GET, path, |request| request).await
    }
}

/// A successful answer.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    server: &'static str,
    url: String,
    /// The body as text.
    pub(super) body: String,
}

impl Answer {
    /// The body as JSON.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        serde_json::from_str(&self.body)
            .map_err(|error| self.unreadable(format!("{error} in `{}`", shorten(&self.body))))
    }

    /// The error that says what does not fit.
    pub(super) fn unreadable(&self, why: impl Into<String>) -> ClientError {
        ClientError::Unreadable {
            server: self.server,
            url: self.url.clone(),
            why: why.into(),
        }
    }
}

/// An HTTP client for the server at `base`: no proxy, no redirects, no answer later than
/// [`ANSWER_BOUND`]. Each server has its own, because a client's connections belong to the runtime
/// it was first used on.
pub fn http_client(base: &Url) -> Result<reqwest::Client, reqwest::Error> {
    // A second installation is refused, which leaves the first in place: nothing to do about it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder()
        .timeout(ANSWER_BOUND)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none());
    if base.scheme() == "https" {
        builder.build()
    } else {
        // Without TLS the system's certificates need not be read.
        builder.tls_certs_only([]).build()
    }
}

async fn text(response: Response) -> Result<String, reqwest::Error> {
    response.text().await
}

/// The innermost cause of an error, in its own words without the number of the system's error.
fn innermost(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {}", crate::units::format_duration(ANSWER_BOUND));
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    let text = cause.to_string();
    let text = text
        .rsplit_once(" (os error ")
        .map_or(text.as_str(), |(words, _)| words);
    let mut characters = text.chars();
    characters
        .next()
        .map(|first| first.to_lowercase().chain(characters).collect())
        .unwrap_or_default()
}

/// What a refusal says: the error of Prometheus' envelope, Alertmanager's message, Elasticsearch's type
/// and reason or Jaeger's message where the body is one, else the body.
fn words(body: &str) -> String {
    let parsed: Option<Value> = serde_json::from_str(body).ok();
    let inner = |pointer: &str| {
        parsed
            .as_ref()
            .and_then(|value| value.pointer(pointer))
            .and_then(Value::as_str)
    };
    if let (Some(kind), Some(reason)) = (inner("/error/type"), inner("/error/reason")) {
        return shorten(&format!("{kind}: {reason}"));
    }
    if let Some(message) = inner("/errors/0/msg").or_else(|| inner("/error/message")) {
        return shorten(message);
    }
    let member = |name: &str| {
        parsed
            .as_ref()
            .and_then(|value| value.get(name))
            .and_then(Value::as_str)
    };
    match (member("errorType"), member("error"), member("message")) {
        (Some(kind), Some(error), _) => shorten(&format!("{kind}: {error}")),
        (_, Some(text), _) | (_, _, Some(text)) => shorten(text),
        _ => parsed
            .as_ref()
            .and_then(Value::as_str)
            .map_or_else(|| shorten(body), shorten),
    }
}

fn shorten(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(WORDS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None if text.is_empty() => "no words".to_owned(),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    // Prometheus 3.16.0, /api/v1/query?query=up+and.
    #[case(
        r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": 1:7: parse error: unexpected end of input"}"#,
        r#"bad_data: invalid parameter "query": 1:7: parse error: unexpected end of input"#
    )]
    // Alertmanager 0.31.1, DELETE /api/v2/silence/nope and POST /api/v2/alerts.
    #[case(
        r#"{"code":601,"message":"silenceID in path must be of type uuid: \"nope\""}"#,
        r#"silenceID in path must be of type uuid: "nope""#
    )]
    #[case("\"at least one label pair required\"\n", "at least one label pair required")]
    // Elasticsearch 8.19.0, a shrink action in the hot phase, and Jaeger 2.13, a trace that is not there.
    #[case(
        r#"{"error":{"root_cause":[],"type":"illegal_argument_exception","reason":"the [shrink] action(s) may not be used"},"status":400}"#,
        "illegal_argument_exception: the [shrink] action(s) may not be used"
    )]
    #[case(
        r#"{"data":null,"total":0,"errors":[{"code":404,"msg":"trace not found"}]}"#,
        "trace not found"
    )]
    // Prometheus 3.16.0, POST /-/reload without --web.enable-lifecycle.
    #[case("Lifecycle API is not enabled.", "Lifecycle API is not enabled.")]
    #[case("", "no words")]
    fn a_refusal_carries_the_servers_words(#[case] body: &str, #[case] expected: &str) {
        assert_eq!(words(body), expected);
    }

    #[test]
    fn long_words_are_shortened_at_a_character() {
        let text = shorten(&"ü".repeat(WORDS + 5));
        assert_eq!(text.chars().count(), WORDS + 3);
    }

    #[tokio::test]
    async fn a_closed_port_is_named_by_its_innermost_cause() {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let base = Url::parse(&format!("http://127.0.0.1:{port}/")).unwrap();
        let error = Server::new("prometheus", base)
            .unwrap()
            .get("/-/ready")
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("prometheus at http://127.0.0.1:{port}/-/ready does not answer: connection refused")
        );
    }
}
