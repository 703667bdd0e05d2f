//! Prometheus' HTTP API (v1).

use std::time::Duration;

use indexmap::IndexMap;
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use super::http::Server;
use super::{ClientError, own_metrics};

mod wire;

/// A client of one Prometheus server.
#[derive(Debug, Clone)]
pub struct Prometheus {
    server: Server,
}

/// A set of labels, in the server's order.
pub type Labels = IndexMap<String, String>;

/// One series of an instant query.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Labels, `__name__` included.
    pub labels: Labels,
    /// Unix seconds of the sample.
    pub at: f64,
    /// The value, as the server printed it (`+Inf`, `NaN` and all digits survive); empty for a native histogram.
    pub value: String,
    /// The native histogram, where the sample is one.
    pub histogram: Option<Value>,
}

/// One series with its samples (of a range query, or of an instant query of a range vector: there the raw samples).
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Labels, `__name__` included.
    pub labels: Labels,
    /// (unix seconds, value as printed).
    pub samples: Vec<(f64, String)>,
    /// (unix seconds, native histogram).
    pub histograms: Vec<(f64, Value)>,
}

/// A block of the TSDB, from `/api/v1/status/tsdb/blocks` (Prometheus 3.6.0 and newer).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Its id.
    pub ulid: String,
    /// First instant, unix milliseconds.
    pub min_time: i64,
    /// End instant (exclusive), unix milliseconds.
    pub max_time: i64,
    /// Samples in it.
    pub samples: u64,
    /// Series in it.
    pub series: u64,
}

/// An active target, from `/api/v1/targets`.
#[derive(Debug, Clone, PartialEq)]
pub struct ActiveTarget {
    /// Name of the scrape job in the configuration.
    pub scrape_pool: String,
    /// Final labels.
    pub labels: Labels,
    /// URL that is scraped.
    pub scrape_url: String,
    /// `up`, `down` or `unknown`.
    pub health: String,
    /// The last scrape's error, empty when well.
    pub last_error: String,
    /// Effective scrape interval, as printed.
    pub scrape_interval: String,
    /// Effective scrape timeout, as printed.
    pub scrape_timeout: String,
}

/// A loaded rule, from `/api/v1/rules`.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadedRule {
    /// Group name.
    pub group: String,
    /// Rule file.
    pub file: String,
    /// Group's effective interval, seconds.
    pub interval: f64,
    /// `alerting` or `recording`.
    pub kind: String,
    /// Name.
    pub name: String,
    /// Expression, as the server prints it.
    pub query: String,
    /// `for`, seconds.
    pub duration: f64,
    /// `keep_firing_for`, seconds.
    pub keep_firing_for: f64,
    /// Labels.
    pub labels: Labels,
    /// Annotations.
    pub annotations: Labels,
    /// `ok`, `err` or `unknown`.
    pub health: String,
    /// Last error, empty when well.
    pub last_error: String,
    /// Alert state (`inactive`, `pending`, `firing`), empty for recording rules.
    pub state: String,
    /// When it was last evaluated to its end, unix seconds; none before its first evaluation.
    pub evaluated: Option<f64>,
}

/// An active alert, from `/api/v1/alerts`.
#[derive(Debug, Clone, PartialEq)]
pub struct ActiveAlert {
    /// Labels.
    pub labels: Labels,
    /// Annotations.
    pub annotations: Labels,
    /// `pending` or `firing`.
    pub state: String,
    /// Since when its expression is true, unix seconds.
    pub active_at: f64,
    /// Its value, as printed.
    pub value: String,
}

impl Prometheus {
    /// A client of the server at `base` (`http://host:port/`).
    pub fn new(base: Url) -> Result<Self, ClientError> {
        Ok(Self {
            server: Server::new("prometheus", base)?,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn base(&self) -> &Url {
        self.server.base()
    }

    /// Whether `/-/ready` says so; the error says what it said instead.
    pub async fn ready(&self) -> Result<(), ClientError> {
        self.server.get("/-/ready").await.map(drop)
    }

    /// Version the server reports (`/api/v1/status/buildinfo`).
    pub async fn version(&self) -> Result<String, ClientError> {
        let info: wire::BuildInfo = self.get("/api/v1/status/buildinfo").await?;
        Ok(info.version)
    }

    /// Flags by name without dashes (`/api/v1/status/flags`).
    pub async fn flags(&self) -> Result<IndexMap<String, String>, ClientError> {
        self.get("/api/v1/status/flags").await
    }

    /// Runtime information (`/api/v1/status/runtimeinfo`), raw.
    pub async fn runtime_info(&self) -> Result<Value, ClientError> {
        self.get("/api/v1/status/runtimeinfo").await
    }

    /// Loaded configuration as YAML (`/api/v1/status/config`).
    pub async fn config(&self) -> Result<String, ClientError> {
        let config: wire::Config = self.get("/api/v1/status/config").await?;
        Ok(config.yaml)
    }

    /// Blocks, oldest first.
    pub async fn blocks(&self) -> Result<Vec<Block>, ClientError> {
        let list: wire::Blocks = self.get("/api/v1/status/tsdb/blocks").await?;
        let mut blocks: Vec<Block> = list.blocks.into_iter().map(Into::into).collect();
        blocks.sort_by(|a, b| (a.min_time, a.max_time, &a.ulid).cmp(&(b.min_time, b.max_time, &b.ulid)));
        Ok(blocks)
    }

    /// Head and cardinality statistics (`/api/v1/status/tsdb`), raw.
    pub async fn tsdb(&self) -> Result<Value, ClientError> {
        self.get("/api/v1/status/tsdb").await
    }

    /// Instant query that gives a vector or scalar; now when `at` (unix seconds) is none.
    pub async fn query(&self, expression: &str, at: Option<f64>) -> Result<Vec<Sample>, ClientError> {
        self.instant(expression, at, wire::Result::samples).await
    }

    /// Instant query of a range vector selector: the raw samples.
    pub async fn raw(&self, selector: &str, at: Option<f64>) -> Result<Vec<Series>, ClientError> {
        self.instant(selector, at, wire::Result::series).await
    }

    /// Range query, instants in unix seconds.
    pub async fn query_range(
        &self,
        expression: &str,
        from: f64,
        to: f64,
        step: Duration,
    ) -> Result<Vec<Series>, ClientError> {
        let form = range_form(expression, from, to, step);
        self.post_form("/api/v1/query_range", &form, wire::Result::series)
            .await
    }

    /// The answer to an instant query as it was sent, unread: for measuring the server and not the reading.
    pub async fn query_text(&self, expression: &str, at: f64) -> Result<String, ClientError> {
        let form = [("query", expression.to_owned()), ("time", instant(at))];
        let asked = self
            .server
            .ask(Method::POST, "/api/v1/query", |request| request.form(&form));
        Ok(asked.await?.body)
    }

    /// The answer to a range query as it was sent, unread; otherwise as [`Self::query_range`].
    pub async fn query_range_text(
        &self,
        expression: &str,
        from: f64,
        to: f64,
        step: Duration,
    ) -> Result<String, ClientError> {
        let form = range_form(expression, from, to, step);
        let asked = self
            .server
            .ask(Method::POST, "/api/v1/query_range", |request| request.form(&form));
        Ok(asked.await?.body)
    }

    /// Label sets of the series that match, within the instants (unix seconds).
    pub async fn series(&self, selectors: &[&str], from: f64, to: f64) -> Result<Vec<Labels>, ClientError> {
        let mut form = vec![("start", instant(from)), ("end", instant(to))];
        form.extend(
            selectors
                .iter()
                .map(|selector| ("match[]", (*selector).to_owned())),
        );
        self.post_form("/api/v1/series", &form, Ok).await
    }

    /// Active targets.
    pub async fn targets(&self) -> Result<Vec<ActiveTarget>, ClientError> {
        let targets: wire::Targets = self.get("/api/v1/targets?state=active").await?;
        Ok(targets.active.into_iter().map(Into::into).collect())
    }

    /// Loaded rules of every group.
    pub async fn rules(&self) -> Result<Vec<LoadedRule>, ClientError> {
        let rules: wire::Rules = self.get("/api/v1/rules").await?;
        Ok(rules.groups.into_iter().flat_map(wire::Group::rules).collect())
    }

    /// Active alerts.
    pub async fn alerts(&self) -> Result<Vec<ActiveAlert>, ClientError> {
        let answer = self.server.get("/api/v1/alerts").await?;
        let envelope: wire::Envelope<wire::Alerts> = answer.json()?;
        envelope
            .data
            .alerts
            .into_iter()
            .map(|alert| alert.read().map_err(|why| answer.unreadable(why)))
            .collect()
    }

    /// URLs of the Alertmanagers it has found.
    pub async fn alertmanagers(&self) -> Result<Vec<String>, ClientError> {
        let found: wire::Alertmanagers = self.get("/api/v1/alertmanagers").await?;
        Ok(found.active.into_iter().map(|one| one.url).collect())
    }

    /// Takes a snapshot (admin API); its folder name below `data/snapshots`.
    pub async fn snapshot(&self, skip_head: bool) -> Result<String, ClientError> {
        let path = format!("/api/v1/admin/tsdb/snapshot?skip_head={skip_head}");
        let answer = self.server.ask(Method::POST, &path, |request| request).await?;
        let envelope: wire::Envelope<wire::Snapshot> = answer.json()?;
        Ok(envelope.data.name)
    }

    /// Reloads the configuration (`POST /-/reload`).
    pub async fn reload(&self) -> Result<(), ClientError> {
        self.server
            .ask(Method::POST, "/-/reload", |request| request)
            .await
            .map(drop)
    }

    /// Its own metrics: family name with labels as printed, to value.
    pub async fn own_metrics(&self) -> Result<IndexMap<String, f64>, ClientError> {
        Ok(own_metrics::parse(&self.server.get("/metrics").await?.body))
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let envelope: wire::Envelope<T> = self.server.get(path).await?.json()?;
        Ok(envelope.data)
    }

    async fn instant<R>(
        &self,
        expression: &str,
        at: Option<f64>,
        read: impl FnOnce(wire::Result) -> Result<R, String>,
    ) -> Result<R, ClientError> {
        let mut form = vec![("query", expression.to_owned())];
        form.extend(at.map(|at| ("time", instant(at))));
        self.post_form("/api/v1/query", &form, read).await
    }

    /// Asks with POST, whose length is not limited as a URL's is, and reads the data of the answer.
    async fn post_form<T: DeserializeOwned, R>(
        &self,
        path: &str,
        form: &[(&str, String)],
        read: impl FnOnce(T) -> Result<R, String>,
    ) -> Result<R, ClientError> {
        let answer = self
            .server
            .ask(Method::POST, path, |request| request.form(form))
            .await?;
        let envelope: wire::Envelope<T> = answer.json()?;
        read(envelope.data).map_err(|why| answer.unreadable(why))
    }
}

fn range_form(expression: &str, from: f64, to: f64, step: Duration) -> [(&'static str, String); 4] {
    [
        ("query", expression.to_owned()),
        ("start", instant(from)),
        ("end", instant(to)),
        ("step", instant(step.as_secs_f64())),
    ]
}

/// Unix seconds as the API takes them. The server keeps milliseconds.
fn instant(seconds: f64) -> String {
    format!("{seconds:.3}")
}
