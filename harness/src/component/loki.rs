//! Loki's HTTP API (v1).

use std::time::Duration;

use bytes::Bytes;
use indexmap::IndexMap;
use reqwest::Method;
use serde_json::Value;
use url::Url;

use super::http::{Answer, Server};
use super::{ClientError, own_metrics};

mod wire;

/// A client of one Loki.
#[derive(Debug, Clone)]
pub struct Loki {
    server: Server,
}

/// The header that asks for a line's structured metadata beside it; without, it counts among the labels of the
/// stream, which then is a stream for each of its values (Loki 3.7, `pkg/util/httpreq`).
const APART: (&str, &str) = ("X-Loki-Response-Encoding-Flags", "categorize-labels");

/// Path of range queries.
const RANGE: &str = "/loki/api/v1/query_range";

/// A set of labels, in the server's order.
pub type Labels = IndexMap<String, String>;

/// Which end of the range comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The oldest.
    Forward,
    /// The newest.
    Backward,
}

impl RangeQuery {
    fn parameters(&self) -> [(&'static str, String); 5] {
        [
            ("query", self.query.clone()),
            ("start", self.start.to_string()),
            ("end", self.end.to_string()),
            ("limit", self.limit.to_string()),
            ("direction", self.direction.name().to_owned()),
        ]
    }
}

impl Direction {
    fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Backward => "backward",
        }
    }
}

/// A range query over log lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeQuery {
    /// `LogQL`.
    pub query: String,
    /// First instant, unix nanoseconds.
    pub start: i64,
    /// End instant (exclusive), unix nanoseconds.
    pub end: i64,
    /// Most lines that come back.
    pub limit: usize,
    /// Which end first.
    pub direction: Direction,
}

/// One log line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its instant, unix nanoseconds.
    pub at: i64,
    /// The line.
    pub line: String,
    /// Structured metadata and the labels that the query parsed.
    pub metadata: IndexMap<String, String>,
}

/// A stream with the lines found, in the direction of the query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// Its labels.
    pub labels: Labels,
    /// Its lines.
    pub entries: Vec<Entry>,
}

/// A series of a metric query.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Labels.
    pub labels: Labels,
    /// (unix seconds, value as printed).
    pub samples: Vec<(f64, String)>,
}

impl Loki {
    /// A client of the server at `base` (`http://host:port/`).
    pub fn new(base: Url) -> Result<Self, ClientError> {
        Ok(Self {
            server: Server::new("loki", base)?,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn base(&self) -> &Url {
        self.server.base()
    }

    /// Whether `/ready` says so; the error says what it said instead.
    pub async fn ready(&self) -> Result<(), ClientError> {
        self.server.get("/ready").await.map(drop)
    }

    /// Version the server reports.
    pub async fn version(&self) -> Result<String, ClientError> {
        let answer = self.server.get("/loki/api/v1/status/buildinfo").await?;
        let info: wire::BuildInfo = answer.json()?;
        Ok(info.version)
    }

    /// The configuration it runs with, defaults filled in.
    pub async fn config(&self) -> Result<Value, ClientError> {
        let answer = self.server.get("/config").await?;
        serde_saphyr::from_str(&answer.body).map_err(|error| answer.unreadable(error.to_string()))
    }

    /// The limits that hold for its tenant, defaults filled in.
    pub async fn limits(&self) -> Result<Value, ClientError> {
        // With authentication off there is one tenant of this name, and this page alone has to be told
        // (Loki 3.7, pkg/loki/modules.go).
        let path = "/config/tenant/v1/limits";
        let answer = self
            .server
            .ask(Method::GET, path, |request| {
                request.header("X-Scope-OrgID", "fake")
            })
            .await?;
        serde_saphyr::from_str(&answer.body).map_err(|error| answer.unreadable(error.to_string()))
    }

    /// Lines in a range.
    pub async fn query_range(&self, query: &RangeQuery) -> Result<Vec<Stream>, ClientError> {
        self.query(RANGE, &query.parameters(), wire::Result::streams)
            .await
    }

    /// All lines in a range, by stream and oldest first, page by page of `query.limit` lines. The direction
    /// of the query does not matter. More lines at one instant than a page holds, or more than `at_most`
    /// in all, is an error: such a range cannot be told to be whole.
    pub async fn all(&self, query: &RangeQuery, at_most: usize) -> Result<Vec<Stream>, ClientError> {
        let mut streams: IndexMap<Vec<(String, String)>, Stream> = IndexMap::new();
        let mut page = RangeQuery {
            direction: Direction::Forward,
            ..query.clone()
        };
        let mut total = 0;
        loop {
            let found = self.query_range(&page).await?;
            let count: usize = found.iter().map(|stream| stream.entries.len()).sum();
            let newest = found
                .iter()
                .flat_map(|stream| stream.entries.iter().map(|entry| entry.at))
                .max();
            // A full page may break off among the lines of one instant, so that instant is asked again.
            let again = newest.filter(|_| count >= page.limit);
            if let Some(again) = again
                && again <= page.start
            {
                return Err(self.wrong(format!(
                    "more than {} lines at {again}; ask with a higher limit",
                    page.limit
                )));
            }
            for stream in found {
                let mut key: Vec<(String, String)> = stream
                    .labels
                    .iter()
                    .map(|(name, value)| (name.clone(), value.clone()))
                    .collect();
                key.sort();
                let known = streams.entry(key).or_insert_with(|| Stream {
                    labels: stream.labels,
                    entries: Vec::new(),
                });
                let before = known.entries.len();
                known.entries.extend(
                    stream
                        .entries
                        .into_iter()
                        .filter(|entry| again.is_none_or(|again| entry.at < again)),
                );
                total += known.entries.len() - before;
            }
            if total > at_most {
                return Err(self.wrong(format!("more than {at_most} lines")));
            }
            match again {
                Some(again) => page.start = again,
                None => return Ok(streams.into_values().collect()),
            }
        }
    }

    /// Range query that gives numbers; instants in unix nanoseconds.
    pub async fn metric_range(
        &self,
        query: &str,
        start: i64,
        end: i64,
        step: Duration,
    ) -> Result<Vec<Series>, ClientError> {
        self.query(RANGE, &numbers(query, start, end, step), wire::Result::series)
            .await
    }

    /// The answer to [`Self::query_range`] as it was sent, unread and made anew: for measuring the server, not
    /// the reading and not what it keeps of earlier answers.
    pub async fn query_range_text(&self, query: &RangeQuery) -> Result<String, ClientError> {
        Ok(self.anew(&query.parameters()).await?.body)
    }

    /// The answer to [`Self::metric_range`] as it was sent, unread and made anew.
    pub async fn metric_range_text(
        &self,
        query: &str,
        start: i64,
        end: i64,
        step: Duration,
    ) -> Result<String, ClientError> {
        Ok(self.anew(&numbers(query, start, end, step)).await?.body)
    }

    /// Instant query that gives numbers; now when `at` (unix nanoseconds) is none.
    pub async fn instant(&self, query: &str, at: Option<i64>) -> Result<Vec<Series>, ClientError> {
        let mut parameters = vec![("query", query.to_owned())];
        parameters.extend(at.map(|at| ("time", at.to_string())));
        self.query("/loki/api/v1/query", &parameters, wire::Result::series)
            .await
    }

    /// Names of labels in a range, unix nanoseconds.
    pub async fn labels(&self, start: i64, end: i64) -> Result<Vec<String>, ClientError> {
        self.get("/loki/api/v1/labels", &range(start, end))
            .await
            .map(Option::unwrap_or_default)
    }

    /// Values of a label in a range.
    pub async fn label_values(&self, label: &str, start: i64, end: i64) -> Result<Vec<String>, ClientError> {
        self.get(&format!("/loki/api/v1/label/{label}/values"), &range(start, end))
            .await
            .map(Option::unwrap_or_default)
    }

    /// Label sets of the streams that match, in a range.
    pub async fn series(&self, selector: &str, start: i64, end: i64) -> Result<Vec<Labels>, ClientError> {
        let mut parameters = range(start, end);
        parameters.push(("match[]", selector.to_owned()));
        self.get("/loki/api/v1/series", &parameters)
            .await
            .map(Option::unwrap_or_default)
    }

    /// Pushes a body as it is (`/loki/api/v1/push`), with its content type and encoding.
    pub async fn push(
        &self,
        body: Bytes,
        content_type: &str,
        encoding: Option<&str>,
    ) -> Result<(), ClientError> {
        self.server
            .ask(Method::POST, "/loki/api/v1/push", |request| {
                let request = request
                    .header(reqwest::header::CONTENT_TYPE, content_type)
                    .body(body);
                match encoding {
                    Some(encoding) => request.header(reqwest::header::CONTENT_ENCODING, encoding),
                    None => request,
                }
            })
            .await
            .map(drop)
    }

    /// Writes what is in memory to its store (`/flush`).
    pub async fn flush(&self) -> Result<(), ClientError> {
        self.server
            .ask(Method::POST, "/flush", |request| request)
            .await
            .map(drop)
    }

    /// Its own metrics: series as printed, to value.
    pub async fn own_metrics(&self) -> Result<IndexMap<String, f64>, ClientError> {
        Ok(own_metrics::parse(&self.server.get("/metrics").await?.body))
    }

    async fn get<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        parameters: &[(&str, String)],
    ) -> Result<Option<T>, ClientError> {
        let answer = self
            .server
            .ask(Method::GET, path, |request| request.query(parameters))
            .await?;
        let envelope: wire::Envelope<T> = answer.json()?;
        Ok(envelope.data)
    }

    async fn query<R>(
        &self,
        path: &str,
        parameters: &[(&str, String)],
        read: impl FnOnce(wire::Result) -> Result<R, String>,
    ) -> Result<R, ClientError> {
        let answer = self
            .server
            .ask(Method::GET, path, |request| {
                request.query(parameters).header(APART.0, APART.1)
            })
            .await?;
        let envelope: wire::Envelope<wire::Result> = answer.json()?;
        let data = envelope
            .data
            .ok_or_else(|| answer.unreadable("there is no data in the answer"))?;
        read(data).map_err(|why| answer.unreadable(why))
    }

    /// Asks for a range that no kept answer is used for.
    async fn anew(&self, parameters: &[(&str, String)]) -> Result<Answer, ClientError> {
        self.server
            .ask(Method::GET, RANGE, |request| {
                request
                    .query(parameters)
                    .header(APART.0, APART.1)
                    .header(reqwest::header::CACHE_CONTROL, "no-cache")
            })
            .await
    }

    fn wrong(&self, why: String) -> ClientError {
        ClientError::Unreadable {
            server: "loki",
            url: format!("{}{}", self.base(), RANGE.trim_start_matches('/')),
            why,
        }
    }
}

fn numbers(query: &str, start: i64, end: i64, step: Duration) -> [(&'static str, String); 4] {
    [
        ("query", query.to_owned()),
        ("start", start.to_string()),
        ("end", end.to_string()),
        ("step", format!("{}", step.as_secs_f64())),
    ]
}

fn range(start: i64, end: i64) -> Vec<(&'static str, String)> {
    vec![("start", start.to_string()), ("end", end.to_string())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::extract::{Query, State};
    use axum::routing::get;
    use serde_json::json;

    /// A Loki that knows `lines` (instant, line) of one stream and answers pages of them.
    async fn with_lines(lines: Vec<(i64, String)>) -> Loki {
        async fn page(
            State(lines): State<Vec<(i64, String)>>,
            Query(asked): Query<IndexMap<String, String>>,
        ) -> axum::Json<Value> {
            let number = |name: &str| asked[name].parse::<i64>().unwrap();
            let values: Vec<Value> = lines
                .iter()
                .filter(|(at, _)| *at >= number("start") && *at < number("end"))
                .take(usize::try_from(number("limit")).unwrap())
                .map(|(at, line)| json!([at.to_string(), line]))
                .collect();
            let result = if values.is_empty() {
                json!([])
            } else {
                json!([{ "stream": { "app": "x" }, "values": values }])
            };
            axum::Json(json!({ "status": "success", "data": { "resultType": "streams", "result": result } }))
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let router = Router::new()
            .route("/loki/api/v1/query_range", get(page))
            .with_state(lines);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Loki::new(base).unwrap()
    }

    fn query(limit: usize) -> RangeQuery {
        RangeQuery {
            query: "{app=\"x\"}".into(),
            start: 0,
            end: 1000,
            limit,
            direction: Direction::Backward,
        }
    }

    #[tokio::test]
    async fn pages_that_break_off_within_an_instant_lose_and_double_nothing() {
        // Equal lines at one instant are different lines, and the third page would break off among them.
        let lines: Vec<(i64, String)> = [1, 2, 3, 3, 3, 4, 5, 5, 9]
            .into_iter()
            .map(|at| (at, "same".to_owned()))
            .collect();
        for limit in 4..12 {
            let loki = with_lines(lines.clone()).await;
            let streams = loki.all(&query(limit), 100).await.unwrap();
            let found: Vec<i64> = streams[0].entries.iter().map(|entry| entry.at).collect();
            assert_eq!(found, [1, 2, 3, 3, 3, 4, 5, 5, 9], "limit {limit}");
        }
    }

    #[tokio::test]
    async fn an_instant_that_no_page_holds_is_an_error() {
        let lines = vec![(5, "a".to_owned()), (5, "b".to_owned()), (5, "c".to_owned())];
        let loki = with_lines(lines).await;
        let error = loki.all(&query(2), 100).await.unwrap_err();
        assert!(error.to_string().contains("more than 2 lines at 5"), "{error}");
    }
}
