//! What the played services log: containers, and the records that they write.
//!
//! A container of an application service writes JSON lines; beside those that
//! serve HTTP runs an `istio-proxy` that writes Istio's JSON access log
//! (`meshConfig.accessLogEncoding: JSON`). Texts hold what loggers meet: more
//! than ASCII, quotes, line breaks, control characters, and now and then a
//! line that container runtimes have to cut.

use indexmap::IndexMap;
use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use serde::Serialize;
use serde_json::Value;
use std::fmt::Write as _;

use super::json::Object;
use crate::seed::Seed;
use crate::shapes::{Service, Shapes};
use crate::wire::loki_push::selector;
use crate::wire::stamped::{Field, Template};

/// The family whose series say which requests a service answers.
const REQUESTS: &str = "http_requests_total";
/// Label of application services in shapes; what has none belongs to the platform.
const APPLICATION_LABEL: &str = "tier";
/// One record in so many is longer than what container runtimes write in one line.
const LONG_ONE_IN: u32 = 1_000;
/// Nodes that pods run on.
const NODES: u64 = 3;

/// What writes to a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A service of the application.
    Application,
    /// A sidecar's access log.
    Access,
    /// A service of the platform.
    Platform,
}

impl Kind {
    /// Prefix of the Elasticsearch indices that such records go to: `app`, `istio-access` or `logs`.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Application => "app",
            Self::Access => "istio-access",
            Self::Platform => "logs",
        }
    }
}

/// One container, whose records are one stream in order.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stream {
    /// What writes to it.
    pub kind: Kind,
    /// Name of the service.
    pub service: String,
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// UID of the pod.
    pub uid: String,
    /// Name of the container.
    pub container: String,
    /// Node that the pod runs on.
    pub node: String,
    /// Labels of the pod.
    pub labels: IndexMap<String, String>,
    /// (method, route, status, requests per second) that it answers.
    #[serde(skip)]
    requests: Vec<(String, String, u16, f64)>,
    /// Share of all records, relative to others.
    #[serde(skip)]
    pub(crate) weight: f64,
}

/// Severity of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// For those who debug.
    Debug,
    /// The usual.
    Info,
    /// Something to look at.
    Warn,
    /// Something failed.
    Error,
}

impl Level {
    /// As loggers write it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }

    /// OpenTelemetry's severity number (logs data model, "Field: `SeverityNumber`").
    #[must_use]
    pub fn severity(self) -> u8 {
        match self {
            Self::Debug => 5,
            Self::Info => 9,
            Self::Warn => 13,
            Self::Error => 17,
        }
    }
}

/// A record without what is stamped.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// Number of its stream.
    pub stream: usize,
    /// Its severity.
    pub level: Level,
    /// Whether it belongs to a trace.
    pub traced: bool,
    /// Its text.
    pub message: String,
    /// What it says beside, flat.
    pub details: IndexMap<&'static str, Value>,
}

/// The containers of the services; `only` keeps services by name, all where it is empty.
#[must_use]
pub fn streams(shapes: &Shapes, only: &[String], seed: Seed) -> Vec<Stream> {
    let mut streams = Vec::new();
    for service in &shapes.services {
        if !only.is_empty()
            && !only
                .iter()
                .any(|name| *name == service.name || *name == service.key())
        {
            continue;
        }
        let application = service.labels.contains_key(APPLICATION_LABEL);
        let requests = requests(service);
        let per_second: f64 = requests.iter().map(|(.., rate)| rate).sum();
        for instance in 0..service.instances {
            let pod = format!("{}-{instance}", service.name);
            let identity = seed.derive(&format!("pod/{}/{pod}", service.namespace)).0;
            let stream = Stream {
                kind: if application {
                    Kind::Application
                } else {
                    Kind::Platform
                },
                service: service.name.clone(),
                namespace: service.namespace.clone(),
                uid: uid(identity),
                container: service.name.clone(),
                node: format!("node-{}", identity % NODES),
                labels: service.labels.clone(),
                requests: requests.clone(),
                // Even an idle service says something now and then.
                weight: per_second + 1.0,
                pod,
            };
            let sidecar = (application && !requests.is_empty()).then(|| Stream {
                kind: Kind::Access,
                container: "istio-proxy".into(),
                weight: per_second,
                ..stream.clone()
            });
            streams.push(stream);
            streams.extend(sidecar);
        }
    }
    streams
}

fn requests(service: &Service) -> Vec<(String, String, u16, f64)> {
    let family = service.metrics.iter().find(|metric| metric.name == REQUESTS);
    family
        .into_iter()
        .flat_map(|family| &family.series)
        .filter_map(|series| {
            let label = |name| series.labels.get(name).cloned();
            Some((
                label("method")?,
                label("route")?,
                label("status")?.parse().ok()?,
                series.rate?,
            ))
        })
        .collect()
}

/// A UUID of version 4 out of 64 bits.
fn uid(bits: u64) -> String {
    let more = crate::emit::ledger::mix(bits);
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        bits >> 32,
        bits >> 16 & 0xffff,
        bits & 0xfff,
        0x8000 | (more >> 48 & 0x3fff),
        more & 0xffff_ffff_ffff
    )
}

impl Stream {
    /// `namespace/pod/container`, its name in ledgers.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}/{}", self.namespace, self.pod, self.container)
    }

    /// Its labels in Loki, of bounded cardinality: they change with the pod only.
    #[must_use]
    pub fn selector(&self) -> String {
        selector([
            ("namespace", self.namespace.as_str()),
            ("app", &self.service),
            ("pod", &self.pod),
            ("container", &self.container),
            ("node", &self.node),
        ])
    }

    /// Draws a record.
    pub(crate) fn draw(&self, number: usize, random: &mut ChaCha12Rng) -> Shape {
        if self.kind == Kind::Access {
            self.draw_access(number, random)
        } else {
            self.draw_application(number, random)
        }
    }

    fn draw_request(&self, random: &mut ChaCha12Rng) -> Option<&(String, String, u16, f64)> {
        let total: f64 = self.requests.iter().map(|(.., rate)| rate).sum();
        let mut rest = random.random::<f64>() * total;
        self.requests.iter().find(|(.., rate)| {
            rest -= rate;
            rest < 0.0
        })
    }

    fn draw_access(&self, stream: usize, random: &mut ChaCha12Rng) -> Shape {
        let get = (String::from("GET"), String::from("/"), 200, 0.0);
        let (method, route, status, _) = self.draw_request(random).unwrap_or(&get);
        let path = format!(
            "{route}/{}?q={}",
            random.random_range(1..100_000),
            pick(QUERIES, random)
        );
        let duration: u32 = random.random_range(1..900);
        let details = IndexMap::from([
            ("method", Value::from(method.as_str())),
            ("path", path.as_str().into()),
            ("protocol", "HTTP/1.1".into()),
            ("response_code", (*status).into()),
            ("response_flags", if *status >= 500 { "UF" } else { "-" }.into()),
            ("bytes_received", random.random_range(0..5_000u32).into()),
            ("bytes_sent", random.random_range(100..90_000u32).into()),
            ("duration", duration.into()),
            (
                "upstream_service_time",
                duration.saturating_sub(1).to_string().into(),
            ),
            ("user_agent", pick(AGENTS, random).into()),
            (
                "authority",
                format!("{}.{}.svc.cluster.local", self.service, self.namespace).into(),
            ),
            ("upstream_cluster", "inbound|8080||".into()),
            (
                "downstream_remote_address",
                format!(
                    "10.8.{}.{}:{}",
                    random.random_range(0..4u8),
                    random.random_range(1..255u8),
                    random.random_range(32_768..60_999u16)
                )
                .into(),
            ),
            ("route_name", "default".into()),
        ]);
        Shape {
            stream,
            level: match status {
                500.. => Level::Error,
                400.. => Level::Warn,
                _ => Level::Info,
            },
            traced: random.random_ratio(1, 2),
            message: format!("{method} {path} HTTP/1.1 {status}"),
            details,
        }
    }

    fn draw_application(&self, stream: usize, random: &mut ChaCha12Rng) -> Shape {
        let level = match random.random_range(0..100u8) {
            0..10 => Level::Debug,
            10..90 => Level::Info,
            90..97 => Level::Warn,
            _ => Level::Error,
        };
        let mut message = pick(
            match level {
                Level::Debug => DEBUG,
                Level::Info => INFO,
                Level::Warn => WARN,
                Level::Error => ERROR,
            },
            random,
        )
        .to_owned();
        let mut details = IndexMap::from([
            (
                "logger",
                Value::from(format!("{}.{}", self.service, pick(LOGGERS, random))),
            ),
            (
                "thread",
                format!("worker-{}", random.random_range(0..16u8)).into(),
            ),
        ]);
        if let Some((method, route, status, _)) = self.draw_request(random) {
            details.insert("route", format!("{method} {route}").into());
            details.insert("status", (*status).into());
        }
        if random.random_ratio(1, LONG_ONE_IN) {
            for line in 0..700 {
                // Writing into text does not fail.
                let _ = write!(
                    message,
                    "\n  at {}.step{line}(größe=\"{}\")",
                    self.service,
                    line * 37
                );
            }
        }
        Shape {
            stream,
            level,
            traced: random.random_ratio(2, 5),
            message,
            details,
        }
    }
}

fn pick<'a>(texts: &[&'a str], random: &mut ChaCha12Rng) -> &'a str {
    texts[random.random_range(0..texts.len())]
}

const LOGGERS: &[&str] = &["http", "cache", "queue", "store", "scheduler"];
const QUERIES: &[&str] = &["a", "caf%C3%A9", "%E6%9D%B1%E4%BA%AC", "x%20y", "%22quoted%22"];
const AGENTS: &[&str] = &[
    "Mozilla/5.0 (X11; Linux x86_64; rv:141.0) Gecko/20100101 Firefox/141.0",
    "curl/8.5.0",
    "kube-probe/1.33",
    "okhttp/4.12.0 \"beta\"",
];
const DEBUG: &[&str] = &[
    "cache lookup took 3 ms",
    "parsed header \"x-request-id\"",
    "state: {\"retries\":0,\"path\":\"C:\\\\temp\"}",
];
const INFO: &[&str] = &[
    "request served",
    "job finished, 42 items in 1.7 s",
    "user signed in from Zürich",
    "Inhalt für „Größe“ neu berechnet",
    "内容の最適化が完了しました",
    "оптимизация завершена",
    "deployed 🚀 version 4.12.0",
    "configuration read from \"/etc/service/config.yaml\"",
];
const WARN: &[&str] = &[
    "retrying after \"connection reset by peer\"",
    "slow query:\nSELECT *\n\tFROM content\n\tWHERE title = 'naïve café'",
    "token expires in 30 s \u{2014} refreshing",
];
const ERROR: &[&str] = &[
    "request failed: upstream said \"503 Service Unavailable\"\r\n\tat gateway.route",
    "java.lang.IllegalStateException: größe < 0\n\tat com.example.Optimizer.run(Optimizer.java:81)\n\tat java.lang.Thread.run(Thread.java:1583)",
    "escape sequence in input: \u{1b}[31mred\u{1b}[0m \u{0}end",
    "שגיאה בקריאת התוכן",
];

impl Shape {
    /// The line that the container writes, without the line break at its end.
    #[must_use]
    pub fn line(&self, stream: &Stream) -> Template {
        let access = stream.kind == Kind::Access;
        let mut line = Object::new()
            .stamped(if access { "start_time" } else { "time" }, Field::Time)
            .stamped("id", Field::Id)
            .sequence("sequence");
        if self.traced {
            line = line
                .stamped("trace_id", Field::TraceId)
                .stamped("span_id", Field::SpanId);
        }
        if !access {
            line = line
                .value("level", self.level.word())
                .value("service", stream.service.as_str())
                .value("message", self.message.as_str());
        }
        for (name, value) in &self.details {
            line = line.value(name, value.clone());
        }
        line.end()
    }

    /// The document that Logstash makes of the line, with Filebeat's Kubernetes metadata: fields as the
    /// index templates map them, label names with `_` for `.` (Filebeat's `labels.dedot`).
    #[must_use]
    pub fn document(&self, stream: &Stream) -> Template {
        let mut document = Object::new()
            .stamped("@timestamp", Field::Time)
            .value("@version", "1")
            .value("message", self.message.as_str())
            .open("event")
            .stamped("id", Field::Id)
            .sequence("sequence")
            .value("dataset", stream.kind.prefix())
            .close()
            .value("level", self.level.word())
            .value("service", stream.service.as_str());
        if self.traced {
            document = document
                .stamped("trace_id", Field::TraceId)
                .stamped("span_id", Field::SpanId);
        }
        document = document
            .open("kubernetes")
            .value("namespace", stream.namespace.as_str())
            .open("pod")
            .value("name", stream.pod.as_str())
            .value("uid", stream.uid.as_str())
            .close()
            .open("container")
            .value("name", stream.container.as_str())
            .close()
            .open("node")
            .value("name", stream.node.as_str())
            .close()
            .open("labels");
        for (name, value) in &stream.labels {
            document = document.value(&name.replace('.', "_"), value.as_str());
        }
        document = document.close().close();
        for (name, value) in &self.details {
            document = document.value(name, value.clone());
        }
        document.end()
    }
}
