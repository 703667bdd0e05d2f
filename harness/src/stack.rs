//! A running target as the cases see it.
//!
//! Cases know no target: they see typed clients of the shared servers, what
//! the stack is capable of and why not, and the means to run a clone of a
//! declared server with a history, a scale or a lifetime of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use crate::component::alertmanager::Alertmanager;
use crate::component::cluster::Cluster;
use crate::component::collector::Collector;
use crate::component::elasticsearch::Elasticsearch;
use crate::component::jaeger::Jaeger;
use crate::component::loki::Loki;
use crate::component::prometheus::Prometheus;
use crate::component::receiver::Receiver;

/// Something a stack has or lacks. Written `component` or `component/feature`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Capability {
    /// A Prometheus server runs.
    Prometheus,
    /// `promtool` of the same version is at hand.
    Promtool,
    /// An Alertmanager runs.
    Alertmanager,
    /// `amtool` of the same version is at hand.
    Amtool,
    /// An Elasticsearch runs.
    Elasticsearch,
    /// Hot, warm and cold tiers are nodes of their own.
    Tiers,
    /// Indices are walked through their lifecycle policies, by the stock module or by a stand-in that the
    /// component names.
    Lifecycle,
    /// Snapshots can be taken and restored.
    SnapshotRepository,
    /// Snapshots are taken by policy.
    SnapshotLifecycle,
    /// A Jaeger runs, and clones of it can.
    Jaeger,
    /// A Jaeger with adaptive sampling runs, as the tree declares one.
    JaegerAdaptive,
    /// Clones of Jaeger can run. Needs no shared Jaeger.
    JaegerClone,
    /// Jaeger's index cleaner is at hand.
    IndexCleaner,
    /// An OpenTelemetry Collector runs, and clones of it can.
    Collector,
    /// A Loki runs, and clones of it can.
    Loki,
    /// A clone of Elasticsearch can run with a shifted clock. Needs no shared Elasticsearch.
    ClockShift,
    /// The stack runs in a Kubernetes cluster whose API server can be asked.
    Cluster,
}

impl Capability {
    /// The capability's stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Prometheus => "prometheus",
            Self::Promtool => "promtool",
            Self::Alertmanager => "alertmanager",
            Self::Amtool => "amtool",
            Self::Elasticsearch => "elasticsearch",
            Self::Tiers => "tiers",
            Self::Lifecycle => "lifecycle",
            Self::SnapshotRepository => "snapshot-repository",
            Self::SnapshotLifecycle => "snapshot-lifecycle",
            Self::Jaeger => "jaeger",
            Self::JaegerAdaptive => "jaeger-adaptive",
            Self::JaegerClone => "jaeger-clone",
            Self::IndexCleaner => "index-cleaner",
            Self::Collector => "collector",
            Self::Loki => "loki",
            Self::ClockShift => "clock-shift",
            Self::Cluster => "cluster",
        }
    }
}

/// A capability the stack lacks, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Missing {
    /// What is lacking.
    pub capability: Capability,
    /// Why, the cause first.
    pub reason: String,
}

/// One value that had to differ from the deploy tree, and why.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangedValue {
    /// `Kind/name` of the object, or the rendered file.
    pub object: String,
    /// The field.
    pub field: String,
    /// What the deploy tree says.
    pub from: String,
    /// What it became.
    pub to: String,
    /// Why.
    pub why: String,
}

/// A component of the stack, for the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ComponentInfo {
    /// Component name, as in the catalog.
    pub name: String,
    /// Version the running server reports.
    pub version: String,
    /// Where its binary or image came from.
    pub origin: String,
    /// What it brings.
    pub capabilities: Vec<Capability>,
    /// What it lacks, with reasons.
    pub missing: Vec<Missing>,
    /// Capabilities that rest on a stand-in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stand_ins: Vec<StandIn>,
}

/// A capability that something of ours brings in place of the stock part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StandIn {
    /// What rests on it.
    pub capability: Capability,
    /// What it is, for example `stand-in loop over Elastic's steps`.
    pub says: String,
}

impl std::fmt::Display for StandIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.capability.name(), self.says)
    }
}

/// A running stack.
///
/// The servers that not every run needs are there when the run's cases need them (and their components
/// can be had): a case finds each server whose capability it needs.
#[derive(Clone)]
pub struct Stack {
    /// The shared Prometheus, configured as declared.
    pub prometheus: Prometheus,
    /// The shared Alertmanager, configured as declared.
    pub alertmanager: Alertmanager,
    /// The webhook receiver that plays the notification channel of the shared Alertmanager.
    pub receiver: Receiver,
    /// The shared Elasticsearch, templates and policies of the tree applied.
    pub elasticsearch: Option<Elasticsearch>,
    /// The shared Jaeger, on the shared Elasticsearch.
    pub jaeger: Option<Jaeger>,
    /// The shared Jaeger with adaptive sampling, where the tree declares one.
    pub jaeger_adaptive: Option<Jaeger>,
    /// The shared Collector; it exports to the shared Jaeger where that runs, else to nobody.
    pub collector: Option<Collector>,
    /// The shared Loki.
    pub loki: Option<Loki>,
    /// The API server of the cluster that the stack runs in.
    pub cluster: Option<Cluster>,
    /// The components, for the report.
    pub components: Vec<ComponentInfo>,
    /// What the stack lacks.
    pub missing: Vec<Missing>,
    /// How many times as long as on processes a case may take: what starts and stops servers takes its time.
    pub patience: u32,
    /// Whether its shared servers are only to be asked: they are somebody's.
    pub spared: bool,
    /// Every value that had to differ from the deploy tree.
    pub changed_values: Vec<ChangedValue>,
    /// From the start of the servers to readiness of the last.
    pub up: Duration,
    /// Runs clones of declared servers and their tools.
    pub workshop: Arc<dyn Workshop>,
}

impl std::fmt::Debug for Stack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stack")
            .field("components", &self.components)
            .field("missing", &self.missing)
            .finish_non_exhaustive()
    }
}

impl Stack {
    /// The stack as one case sees it: what its clones leave is kept under `artifacts`, and their names
    /// need be unique within the case only.
    #[must_use]
    pub fn for_case(&self, case: &str, artifacts: &Path) -> Self {
        Self {
            workshop: self.workshop.for_case(case, artifacts),
            ..self.clone()
        }
    }

    /// Why the stack lacks `capability`, none when it has it.
    #[must_use]
    pub fn lacks(&self, capability: Capability) -> Option<&str> {
        self.missing
            .iter()
            .find(|m| m.capability == capability)
            .map(|m| m.reason.as_str())
    }

    /// The shared Elasticsearch, for a case that needs [`Capability::Elasticsearch`].
    pub fn elasticsearch(&self) -> Result<&Elasticsearch, WorkshopError> {
        there(self.elasticsearch.as_ref(), Capability::Elasticsearch)
    }

    /// The shared Jaeger, for a case that needs [`Capability::Jaeger`].
    pub fn jaeger(&self) -> Result<&Jaeger, WorkshopError> {
        there(self.jaeger.as_ref(), Capability::Jaeger)
    }

    /// The shared Jaeger with adaptive sampling, for a case that needs [`Capability::JaegerAdaptive`].
    pub fn jaeger_adaptive(&self) -> Result<&Jaeger, WorkshopError> {
        there(self.jaeger_adaptive.as_ref(), Capability::JaegerAdaptive)
    }

    /// The shared Collector, for a case that needs [`Capability::Collector`].
    pub fn collector(&self) -> Result<&Collector, WorkshopError> {
        there(self.collector.as_ref(), Capability::Collector)
    }

    /// The shared Loki, for a case that needs [`Capability::Loki`].
    pub fn loki(&self) -> Result<&Loki, WorkshopError> {
        there(self.loki.as_ref(), Capability::Loki)
    }

    /// The cluster the stack runs in, for a case that needs [`Capability::Cluster`].
    pub fn cluster(&self) -> Result<&Cluster, WorkshopError> {
        there(self.cluster.as_ref(), Capability::Cluster)
    }
}

fn there<T>(server: Option<&T>, capability: Capability) -> Result<&T, WorkshopError> {
    server.ok_or_else(|| {
        WorkshopError::Environment(format!(
            "the stack runs no shared {name}; name `{name}` among the case's needs",
            name = capability.name()
        ))
    })
}

/// What went wrong with a clone or tool: the set-up's fault, or the stack's.
#[derive(Debug, thiserror::Error)]
pub enum WorkshopError {
    /// The machine or the set-up failed: an environment verdict.
    #[error("{0}")]
    Environment(String),
    /// The server itself refused what the deploy tree declares (it exits with a configuration
    /// error, or rejects a rule file): a failure of the stack.
    #[error("{0}")]
    Refused(String),
}

/// Where a clone scrapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scrapes {
    /// Nothing: the clone answers from its history alone.
    Nothing,
    /// What the tree declares, against the players of the emitted shapes.
    Declared,
    /// Jobs of the case's own: (job name, `host:port`, path), at the clone's scrape interval.
    Own(Vec<OwnJob>),
}

/// A scrape job of a case's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnJob {
    /// Job name.
    pub job: String,
    /// `host:port` to scrape; the path is `/metrics`.
    pub address: String,
    /// Scrape interval.
    pub interval: Duration,
    /// Labels added to every series.
    pub labels: Vec<(String, String)>,
    /// Whether to ask for protobuf first and take native histograms.
    pub native_histograms: bool,
}

/// Which rules a clone loads.
#[derive(Debug, Clone, PartialEq)]
pub enum RuleSet {
    /// None.
    Nothing,
    /// All rules the tree declares, unmodified.
    Declared,
    /// Rule files of the case's own (file name, YAML text), for example scaled copies.
    Own(Vec<(String, String)>),
}

/// A Prometheus of the declared object with a history, a scale or a lifetime of its own.
///
/// Everything not named here is as the deploy tree declares it, retention above all.
#[derive(Debug, Clone)]
pub struct PrometheusClone {
    /// Short name, unique within the case; it names the clone's folder among the artifacts.
    pub name: String,
    /// A prepared TSDB folder that becomes the clone's own (it is moved).
    pub data: Option<PathBuf>,
    /// What it scrapes.
    pub scrapes: Scrapes,
    /// What it evaluates.
    pub rules: RuleSet,
    /// Where it sends alerts.
    pub alertmanagers: Vec<Url>,
    /// Evaluation interval, where it differs from the tree's.
    pub evaluation_interval: Option<Duration>,
    /// Further arguments (flag with dashes, value) with the reason they are there; an argument the
    /// tree already gives is replaced.
    pub arguments: Vec<(String, Option<String>, String)>,
}

impl PrometheusClone {
    /// A clone without history, scrapes, rules or alertmanagers.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            data: None,
            scrapes: Scrapes::Nothing,
            rules: RuleSet::Nothing,
            alertmanagers: Vec::new(),
            evaluation_interval: None,
            arguments: Vec::new(),
        }
    }
}

/// An Alertmanager of the declared object, its routes and receivers as declared.
#[derive(Debug, Clone)]
pub struct AlertmanagerClone {
    /// Short name, unique within the case.
    pub name: String,
    /// Where its webhooks go instead of the declared host (paths are kept).
    pub receiver: Url,
    /// Divides every duration of its file (group wait, group interval, repeat interval); 1 keeps
    /// them. The scaled file is otherwise the declared text, and the changed values say so.
    pub divide_durations_by: u32,
}

/// A running clone of Prometheus. Dropping it kills the process.
pub trait PrometheusInstance: Send + Sync {
    /// Its client. Stays valid across restarts.
    fn client(&self) -> &Prometheus;
    /// Its data folder.
    fn data(&self) -> PathBuf;
    /// Stops it in an orderly way (SIGTERM) and waits for its end.
    fn stop(&mut self) -> BoxFuture<'_, Result<(), WorkshopError>>;
    /// Kills it (SIGKILL) and waits for its end.
    fn kill(&mut self) -> BoxFuture<'_, Result<(), WorkshopError>>;
    /// Starts it again on the same data, address and configuration, and waits until it is ready.
    fn start(&mut self) -> BoxFuture<'_, Result<(), WorkshopError>>;
}

/// A running clone of Alertmanager. Dropping it kills the process.
pub trait AlertmanagerInstance: Send + Sync {
    /// Its client.
    fn client(&self) -> &Alertmanager;
    /// The configuration file it runs with, as rendered.
    fn config_file(&self) -> PathBuf;
}

/// A value that a clone has in place of the tree's, in one of its rendered files.
#[derive(Debug, Clone, PartialEq)]
pub struct Override {
    /// JSON pointer into the clone's configuration file (for Elasticsearch, whose file is flat, `/` and the
    /// setting). Members that are not there are added.
    pub pointer: String,
    /// The value; null removes the member.
    pub value: Value,
    /// Why, for the changed values.
    pub why: String,
}

impl Override {
    /// An override with its reason.
    #[must_use]
    pub fn new(pointer: impl Into<String>, value: impl Into<Value>, why: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            value: value.into(),
            why: why.into(),
        }
    }
}

/// An Elasticsearch of the declared one's configuration: one node with all tiers, a cluster of its own.
#[derive(Debug, Clone)]
pub struct ElasticsearchClone {
    /// Short name, unique within the case.
    pub name: String,
    /// How far its clock is from the real one at its start (negative: in the past). None for the real clock,
    /// which cannot be shifted later; needs [`Capability::ClockShift`].
    pub clock: Option<SignedDuration>,
    /// Folder that its snapshot repositories may use (`path.repo`), shared with other clones; an own one when none.
    pub repositories: Option<PathBuf>,
    /// Values in place of the tree's.
    pub overrides: Vec<Override>,
}

/// A Jaeger of the declared one's configuration.
#[derive(Debug, Clone)]
pub struct JaegerClone {
    /// Short name, unique within the case.
    pub name: String,
    /// What stores its spans.
    pub store: TraceStore,
    /// Whether it is the one with adaptive sampling.
    pub adaptive: bool,
    /// Its sampling strategies, in place of the declared file's text. The file a running clone reads is
    /// [`Running::file`] of [`STRATEGIES_FILE`]; the case may rewrite it.
    pub strategies: Option<String>,
    /// How often it looks at that file, in place of the tree's interval.
    pub strategies_reload: Option<Duration>,
    /// Divides the timers of adaptive sampling; 1 keeps them.
    pub divide_durations_by: u32,
    /// Values in place of the tree's.
    pub overrides: Vec<Override>,
}

/// Name of the file of sampling strategies as rendered for a Jaeger.
pub const STRATEGIES_FILE: &str = crate::render::jaeger::STRATEGIES;

/// What stores a Jaeger's spans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TraceStore {
    /// An Elasticsearch, in indices of a prefix that is shared with no other Jaeger.
    Elasticsearch {
        /// Where it is.
        url: Url,
        /// The prefix.
        index_prefix: String,
    },
    /// Its own memory, for a case that is about something else than storage.
    Memory {
        /// How many traces are kept at most.
        max_traces: u64,
    },
}

/// A Collector of the declared one's configuration.
#[derive(Debug, Clone)]
pub struct CollectorClone {
    /// Short name, unique within the case.
    pub name: String,
    /// Where its trace exporter sends (OTLP over gRPC): a sink of the case, or a Jaeger.
    pub traces_to: SocketAddr,
    /// Percentages in place of the declared ones, by the sampler's id (`probabilistic_sampler/ml`).
    pub sampling_percentages: Vec<(String, f64)>,
    /// Values in place of the tree's, for example a sampler's percentage.
    pub overrides: Vec<Override>,
}

/// A Loki of the declared one's configuration, with a store of its own.
#[derive(Debug, Clone)]
pub struct LokiClone {
    /// Short name, unique within the case.
    pub name: String,
    /// How often what is too old is looked for, in place of the tree's interval; the retention stays.
    pub compaction: Option<Duration>,
    /// Values in place of the tree's.
    pub overrides: Vec<Override>,
}

impl ElasticsearchClone {
    /// A clone with the real clock, as declared.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            clock: None,
            repositories: None,
            overrides: Vec::new(),
        }
    }
}

impl JaegerClone {
    /// A clone on `store`, else as declared.
    #[must_use]
    pub fn named(name: impl Into<String>, store: TraceStore) -> Self {
        Self {
            name: name.into(),
            store,
            adaptive: false,
            strategies: None,
            strategies_reload: None,
            divide_durations_by: 1,
            overrides: Vec::new(),
        }
    }
}

impl CollectorClone {
    /// A clone that sends to `traces_to`, else as declared.
    #[must_use]
    pub fn named(name: impl Into<String>, traces_to: SocketAddr) -> Self {
        Self {
            name: name.into(),
            traces_to,
            sampling_percentages: Vec::new(),
            overrides: Vec::new(),
        }
    }
}

impl LokiClone {
    /// A clone as declared.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            compaction: None,
            overrides: Vec::new(),
        }
    }
}

/// The process of a running clone. Dropping it kills the process.
pub trait Instance: Send + Sync {
    /// Stops it in an orderly way (SIGTERM) and waits for its end.
    fn stop(&mut self) -> BoxFuture<'_, Result<(), WorkshopError>>;
    /// Kills it (SIGKILL) and waits for its end.
    fn kill(&mut self) -> BoxFuture<'_, Result<(), WorkshopError>>;
    /// Starts it again on the same data, addresses and configuration, and waits until it is ready.
    fn start(&mut self) -> BoxFuture<'_, Result<(), WorkshopError>>;
    /// Shifts its clock and waits until the server's own clock agrees.
    fn shift_clock(&mut self, shift: SignedDuration) -> BoxFuture<'_, Result<(), WorkshopError>>;
    /// The folder it runs in, with its rendered files and its data.
    fn folder(&self) -> &Path;
    /// Its log.
    fn log(&self) -> PathBuf;
    /// Its process id, none while it is stopped.
    fn process_id(&self) -> Option<u32>;
}

/// A running clone with its client, which stays valid across restarts.
pub struct Running<C> {
    client: C,
    instance: Box<dyn Instance>,
}

impl<C: std::fmt::Debug> std::fmt::Debug for Running<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running")
            .field("client", &self.client)
            .field("folder", &self.instance.folder())
            .finish_non_exhaustive()
    }
}

impl<C> Running<C> {
    /// A clone that runs.
    pub fn new(client: C, instance: Box<dyn Instance>) -> Self {
        Self { client, instance }
    }

    /// Its client.
    #[must_use]
    pub fn client(&self) -> &C {
        &self.client
    }

    /// Its process.
    pub fn instance(&mut self) -> &mut dyn Instance {
        self.instance.as_mut()
    }

    /// One of its rendered files, by its name. Servers that watch a file see what a case writes there.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.instance.folder().join(name)
    }

    /// Its process id, none while it is stopped.
    #[must_use]
    pub fn process_id(&self) -> Option<u32> {
        self.instance.process_id()
    }

    /// Its log.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.instance.log()
    }

    /// Stops it in an orderly way and waits for its end.
    pub async fn stop(&mut self) -> Result<(), WorkshopError> {
        self.instance.stop().await
    }

    /// Kills it and waits for its end.
    pub async fn kill(&mut self) -> Result<(), WorkshopError> {
        self.instance.kill().await
    }

    /// Starts it again and waits until it is ready.
    pub async fn start(&mut self) -> Result<(), WorkshopError> {
        self.instance.start().await
    }
}

impl Running<Elasticsearch> {
    /// Shifts its clock, `shift` from the real one (negative: into the past), and waits until the server's
    /// own clock agrees. Only for a clone that was started with a clock of its own.
    pub async fn shift_clock(&mut self, shift: SignedDuration) -> Result<(), WorkshopError> {
        self.instance.shift_clock(shift).await
    }
}

/// The result of running a server's own command-line tool to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolOutput {
    /// Exit code, none when killed by a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// From start to end.
    pub took: Duration,
}

/// Runs clones of declared servers, and their tools, on the target the stack runs on.
pub trait Workshop: Send + Sync {
    /// The same workshop for one case, whose clones' configurations and logs are kept under `artifacts`.
    fn for_case(&self, case: &str, artifacts: &Path) -> Arc<dyn Workshop>;
    /// Starts a Prometheus clone and waits until it is ready.
    fn prometheus(
        &self,
        clone: PrometheusClone,
    ) -> BoxFuture<'_, Result<Box<dyn PrometheusInstance>, WorkshopError>>;
    /// Starts an Alertmanager clone and waits until it is ready.
    fn alertmanager(
        &self,
        clone: AlertmanagerClone,
    ) -> BoxFuture<'_, Result<Box<dyn AlertmanagerInstance>, WorkshopError>>;
    /// Starts an Elasticsearch clone and waits until it is ready; templates and policies are the case's to apply.
    fn elasticsearch(
        &self,
        clone: ElasticsearchClone,
    ) -> BoxFuture<'_, Result<Running<Elasticsearch>, WorkshopError>>;
    /// Starts a Jaeger clone and waits until it is ready.
    fn jaeger(&self, clone: JaegerClone) -> BoxFuture<'_, Result<Running<Jaeger>, WorkshopError>>;
    /// Starts a Collector clone and waits until it is ready.
    fn collector(&self, clone: CollectorClone) -> BoxFuture<'_, Result<Running<Collector>, WorkshopError>>;
    /// Starts a Loki clone and waits until it is ready.
    fn loki(&self, clone: LokiClone) -> BoxFuture<'_, Result<Running<Loki>, WorkshopError>>;
    /// Runs `es-index-cleaner` or another tool that takes its settings from its environment, in `folder` to
    /// its end, at most for `bound`.
    fn tool_with_environment(
        &self,
        tool: &str,
        arguments: Vec<String>,
        environment: Vec<(String, String)>,
        folder: PathBuf,
        bound: Duration,
    ) -> BoxFuture<'_, Result<ToolOutput, WorkshopError>>;
    /// Runs `promtool` or `amtool` in `folder` to its end, at most for `bound`.
    fn tool(
        &self,
        tool: &str,
        arguments: Vec<String>,
        folder: PathBuf,
        bound: Duration,
    ) -> BoxFuture<'_, Result<ToolOutput, WorkshopError>>;
    /// Takes a snapshot of a server of this target (the shared one or a clone) and gives a folder of
    /// its own with the snapshot's data, which can become a clone's.
    fn snapshot<'a>(
        &'a self,
        server: &'a Prometheus,
        name: &'a str,
    ) -> BoxFuture<'a, Result<PathBuf, WorkshopError>>;
    /// A scratch folder of the run, unique to `name`; removed with the run.
    fn scratch(&self, name: &str) -> Result<PathBuf, WorkshopError>;
    /// Values clones had to change so far.
    fn changed_values(&self) -> Vec<ChangedValue>;
    /// Drifts to put on every server started (mutants of the running stack).
    fn drifts(&self) -> &[crate::mutant::Edit];
}
