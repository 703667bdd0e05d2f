//! A running target as the cases see it.
//!
//! Cases know no target: they see typed clients of the shared servers, what
//! the stack is capable of and why not, and the means to run a clone of a
//! declared server with a history, a scale or a lifetime of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::component::alertmanager::Alertmanager;
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
    /// Jaeger's index cleaner is at hand.
    IndexCleaner,
    /// An OpenTelemetry Collector runs, and clones of it can.
    Collector,
    /// A Loki runs, and clones of it can.
    Loki,
    /// A clone of Elasticsearch can run with a shifted clock. Needs no shared Elasticsearch.
    ClockShift,
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
            Self::IndexCleaner => "index-cleaner",
            Self::Collector => "collector",
            Self::Loki => "loki",
            Self::ClockShift => "clock-shift",
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
}

/// A running stack.
#[derive(Clone)]
pub struct Stack {
    /// The shared Prometheus, configured as declared.
    pub prometheus: Prometheus,
    /// The shared Alertmanager, configured as declared.
    pub alertmanager: Alertmanager,
    /// The webhook receiver that plays the notification channel of the shared Alertmanager.
    pub receiver: Receiver,
    /// The components, for the report.
    pub components: Vec<ComponentInfo>,
    /// What the stack lacks.
    pub missing: Vec<Missing>,
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
