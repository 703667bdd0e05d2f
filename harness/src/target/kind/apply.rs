//! Bringing a set of objects up in a cluster: applied server-side in the order of what needs what, waited for by
//! watch, and when something does not come up, the cause and the object in the first line of the error.
//!
//! What is decided is pure and in the modules below: the order, the readiness of an object, and the causes. This
//! file asks and watches the API server.

pub mod cluster;
pub mod configured;
pub mod diagnosis;
pub mod inventory;
mod news;
pub mod order;
pub mod outside;
pub mod readiness;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, LogParams, Patch, PatchParams, ValidationDirective};
use kube::core::{ApiResource, GroupVersionKind, Status};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::cluster::{Cluster, ObjectName, number, text, values};
use self::diagnosis::{Cause, Fault, causes, causes_at_rest};
use self::news::News;
use self::order::Stage;
use self::readiness::{Readiness, is_watched, readiness};
use self::watch::Watches;
use crate::progress::Progress;
use crate::seed::Seed;
use crate::wait::{Look, Wait, WaitError};

/// Who the API server says applied a field.
const MANAGER: &str = "conform";

/// How long the objects of a stage may take to become ready. A cause that is seen ends the wait long before.
const READY: Duration = Duration::from_secs(300);

/// How long the API server may refuse to answer (429, 5xx, no connection) before that is the end.
const ANSWERED: Duration = Duration::from_secs(60);

/// How many looks in a row have to find the whole set ready: what has no readiness probe is ready when it starts, and
/// may end right after.
const STEADY: u32 = 15;

/// How often it is looked at what the watches told.
const LOOK: Duration = Duration::from_millis(200);

const SUBJECT: &str = "deploy";

/// How often logs of suspicious pods are asked for.
const LOGS: Duration = Duration::from_secs(3);

/// How many objects are applied at once.
const AT_ONCE: usize = 8;

/// Why a set of objects is not up. The first line names the cause and the object.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// Something does not come up, and this is why.
    #[error("{0}")]
    Causes(Box<Causes>),
    /// The API server does not take an object.
    #[error("{object}: refused by the API server: {why}")]
    Refused {
        /// The object.
        object: ObjectName,
        /// The server's words.
        why: String,
    },
    /// A job ended without success.
    #[error("{object}: {why}")]
    Ended {
        /// The job.
        object: ObjectName,
        /// The server's words.
        why: String,
    },
    /// Something is not ready in time, and no cause is seen.
    #[error("{missing}; no cause is seen within {}, look at its events and logs", crate::units::format_duration(*.bound))]
    Late {
        /// What is missing.
        missing: String,
        /// How long was waited.
        bound: Duration,
    },
    /// The API server does not answer.
    #[error("{object} is not applied: the API server does not take it: {why}")]
    Unanswered {
        /// The object.
        object: ObjectName,
        /// What came in place of an answer.
        why: String,
    },
    /// What the objects need from outside cannot be had.
    #[error(transparent)]
    Outside(#[from] outside::OutsideError),
    /// An object without kind, version or name.
    #[error("an object of the set has no apiVersion, kind or name: {0}; give it one")]
    Nameless(String),
    /// The run was interrupted.
    #[error("interrupted")]
    Interrupted,
}

impl DeployError {
    /// Whether what is declared is at fault, and not the machine or the set-up.
    #[must_use]
    pub fn is_the_trees(&self) -> bool {
        match self {
            // What runs there is the cluster's own, and fails on a machine that is too small for it.
            Self::Causes(causes) if causes.first.object.namespace == "kube-system" => false,
            Self::Causes(causes) => !matches!(causes.first.fault, Fault::Image | Fault::Unschedulable),
            Self::Refused { .. } | Self::Ended { .. } | Self::Nameless(_) => true,
            Self::Late { .. } | Self::Unanswered { .. } | Self::Outside(_) | Self::Interrupted => false,
        }
    }
}

/// Why something does not come up: at least one cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Causes {
    /// The most fundamental one.
    pub first: Cause,
    /// Others that were seen as well.
    pub others: Vec<Cause>,
}

impl std::fmt::Display for Causes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.first)?;
        self.others
            .iter()
            .try_for_each(|cause| write!(f, "\n  also {cause}"))
    }
}

/// Applies the objects and waits until every one of them is ready.
///
/// Objects that are there already become what is declared here; fields that others set are left alone
/// unless they are declared as well. Safe to call again after any end.
pub async fn deploy(
    client: Client,
    objects: Vec<Value>,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<(), DeployError> {
    let resources = Resources::of(&objects);
    let watched = objects
        .iter()
        .filter(|object| {
            let kind = text(object, "/kind");
            is_watched(kind) || matches!(kind, "ServiceMonitor" | "PrometheusRule")
        })
        .map(|object| resources.of_object(object))
        .collect::<Result<Vec<_>, _>>()?;
    let namespaces = objects
        .iter()
        .map(|o| text(o, "/metadata/namespace").to_owned())
        .collect();
    let deployment = Deployment {
        watches: Watches::start(&client, watched),
        client,
        resources,
        cluster: Cluster::default(),
        applied: Vec::new(),
        news: News::default(),
        namespaces,
        seen: BTreeMap::new(),
        logs_at: None,
        end: None,
    };
    tokio::select! {
        () = cancel.cancelled() => Err(DeployError::Interrupted),
        ended = deployment.run(objects, progress) => ended,
    }
}

/// Applies objects, and waits for nothing.
pub async fn put(client: &Client, objects: Vec<Value>) -> Result<(), DeployError> {
    let resources = Resources::of(&objects);
    for (_, objects) in order::stages(objects) {
        futures::stream::iter(objects)
            .map(|object| apply(client, &resources, object))
            .buffer_unordered(AT_ONCE)
            .try_collect::<Vec<()>>()
            .await?;
    }
    Ok(())
}

fn api(client: &Client, resource: &ApiResource, name: &ObjectName) -> Api<DynamicObject> {
    if name.namespace.is_empty() {
        Api::all_with(client.clone(), resource)
    } else {
        Api::namespaced_with(client.clone(), &name.namespace, resource)
    }
}

/// An object as the API server has it, none where it has not; asked again while the API server cannot answer.
async fn looked_for<K>(api: &Api<K>, name: &ObjectName) -> Result<Option<K>, DeployError>
where
    K: Clone + DeserializeOwned + Debug,
{
    Wait::new(format!("{name} looked for"), ANSWERED)
        .every(LOOK)
        .until(|| async {
            match api.get_opt(&name.name).await {
                Ok(found) => Look::Ready(found),
                Err(error) => Look::Missing(words(&error)),
            }
        })
        .await
        .map_err(|error| DeployError::Unanswered {
            object: name.clone(),
            why: error.to_string(),
        })
}

/// The objects with what they need from outside of the tree (see [`outside`]), as far as the cluster lacks it.
pub async fn completed(client: &Client, objects: Vec<Value>, seed: Seed) -> Result<Vec<Value>, DeployError> {
    let mut present = BTreeSet::new();
    let mut authority = None;
    for name in outside::needed(&objects) {
        let secrets: Api<Secret> = Api::namespaced(client.clone(), &name.namespace);
        let found = looked_for(&secrets, &name).await?;
        if let Some(found) = found {
            if let Some(ByteString(text)) = found.data.unwrap_or_default().remove("ca.crt") {
                authority = String::from_utf8(text).ok();
            }
            present.insert(name);
        }
    }
    Ok(outside::completed(objects, &present, authority.as_deref(), seed)?)
}

/// Which resource a kind is: the definitions of the set say it for the kinds they define.
#[derive(Debug)]
struct Resources(BTreeMap<(String, String), String>);

impl Resources {
    fn of(objects: &[Value]) -> Self {
        Self(
            objects
                .iter()
                .filter(|object| text(object, "/kind") == "CustomResourceDefinition")
                .map(|definition| {
                    let kind = text(definition, "/spec/names/kind").to_owned();
                    let plural = text(definition, "/spec/names/plural").to_owned();
                    ((text(definition, "/spec/group").to_owned(), kind), plural)
                })
                .collect(),
        )
    }

    fn of_object(&self, object: &Value) -> Result<ApiResource, DeployError> {
        let (api, kind) = (text(object, "/apiVersion"), text(object, "/kind"));
        if api.is_empty() || kind.is_empty() || text(object, "/metadata/name").is_empty() {
            return Err(DeployError::Nameless(ObjectName::of(object).to_string()));
        }
        let (group, version) = api.split_once('/').unwrap_or(("", api));
        let gvk = GroupVersionKind::gvk(group, version, kind);
        Ok(match self.0.get(&(group.to_owned(), kind.to_owned())) {
            Some(plural) => ApiResource::from_gvk_with_plural(&gvk, plural),
            None => ApiResource::from_gvk(&gvk),
        })
    }
}

/// A set on its way up.
struct Deployment {
    client: Client,
    resources: Resources,
    watches: Watches,
    cluster: Cluster,
    /// What has been applied so far and has to become ready, and in which stage.
    applied: Vec<(Stage, ObjectName)>,
    /// What is waited for, for those who look on.
    news: News,
    /// The namespaces of the set, the empty one among them.
    namespaces: BTreeSet<String>,
    /// When each cause was seen first.
    seen: BTreeMap<Cause, Instant>,
    logs_at: Option<Instant>,
    /// Why it ends.
    end: Option<DeployError>,
}

impl Deployment {
    async fn run(mut self, objects: Vec<Value>, progress: &Progress) -> Result<(), DeployError> {
        for (stage, objects) in order::stages(objects) {
            if stage.waits() {
                let what = format!("before {stage:?}");
                self = self
                    .ready(&what, 1, |earlier| stage.waits_for(earlier), progress)
                    .await?;
            }
            progress.step(SUBJECT, format!("{stage:?}: {} objects", objects.len()));
            let names: Vec<ObjectName> = objects.iter().map(ObjectName::of).collect();
            futures::stream::iter(objects)
                .map(|object| apply(&self.client, &self.resources, object))
                .buffer_unordered(AT_ONCE)
                .try_collect::<Vec<()>>()
                .await?;
            self.applied.extend(names.into_iter().map(|name| (stage, name)));
        }
        self = self.ready("the whole set", STEADY, |_| true, progress).await?;
        let found = self.relevant(causes_at_rest(&self.cluster));
        if let Some(error) = caused(found) {
            return Err(error);
        }
        progress.done(SUBJECT, format!("{} objects are ready", self.applied.len()));
        Ok(())
    }

    /// Waits until everything applied so far in these stages is ready, for so many looks in a row.
    async fn ready(
        self,
        what: &str,
        in_a_row: u32,
        stages: impl Fn(Stage) -> bool,
        progress: &Progress,
    ) -> Result<Self, DeployError> {
        let shared = Mutex::new(self);
        let waited = Wait::new(format!("{what}: everything applied is ready"), READY)
            .every(LOOK)
            .in_a_row(in_a_row)
            .until(|| async {
                let mut deployment = shared.lock().await;
                let look = deployment.look(&stages).await;
                if let Some(news) = deployment.news.take() {
                    progress.step(SUBJECT, news);
                }
                look
            })
            .await;
        let mut deployment = shared.into_inner();
        match waited {
            Ok(()) => Ok(deployment),
            Err(WaitError::Bound { missing, bound, .. }) => Err(DeployError::Late { missing, bound }),
            Err(WaitError::Hopeless { why, .. }) => Err(deployment.end.take().unwrap_or(DeployError::Late {
                missing: why,
                bound: READY,
            })),
        }
    }

    /// What the watches have told of these stages, judged.
    async fn look(&mut self, stages: &impl Fn(Stage) -> bool) -> Look<()> {
        self.watches.take(&mut self.cluster);
        let unready = self.unready(stages);
        if let Some((object, why)) = unready.iter().find_map(|(name, state)| match state {
            Readiness::Ended(why) => Some((name.clone(), why.clone())),
            _ => None,
        }) {
            let causes = self.relevant(causes(&self.cluster));
            self.end = Some(caused(causes).unwrap_or(DeployError::Ended { object, why }));
            return Look::Hopeless("a job has ended".to_owned());
        }
        if unready.is_empty() {
            return Look::Ready(());
        }
        self.read_logs(&unready).await;
        if let Some(error) = self.settled() {
            self.end = Some(error);
            return Look::Hopeless("a cause is seen".to_owned());
        }
        let told = unready
            .into_iter()
            .map(|(name, state)| match state {
                Readiness::Waiting(what) | Readiness::Ended(what) => (name.to_string(), what),
                Readiness::Ready => (name.to_string(), String::new()),
            })
            .collect();
        Look::Missing(self.news.note(told))
    }

    /// What has been applied in these stages and is not ready.
    fn unready(&self, stages: &impl Fn(Stage) -> bool) -> Vec<(ObjectName, Readiness)> {
        self.applied
            .iter()
            .filter(|(stage, name)| stages(*stage) && is_watched(&name.kind))
            .map(|(_, name)| {
                let state = self.cluster.named(name).map_or_else(
                    || Readiness::Waiting("has not been seen yet".to_owned()),
                    readiness,
                );
                (name.clone(), state)
            })
            .filter(|(_, state)| *state != Readiness::Ready)
            .collect()
    }

    /// The causes that lie in the namespaces of the set.
    fn relevant(&self, causes: Vec<Cause>) -> Vec<Cause> {
        causes
            .into_iter()
            .filter(|cause| self.namespaces.contains(&cause.object.namespace))
            .collect()
    }

    /// The causes that have been seen for so long that they count.
    fn settled(&mut self) -> Option<DeployError> {
        let now = Instant::now();
        let found = self.relevant(causes(&self.cluster));
        // One that went away begins anew when it is seen again; a changed message is the same cause.
        self.seen.retain(|old, _| {
            found
                .iter()
                .any(|new| new.fault == old.fault && new.object == old.object)
        });
        for cause in &found {
            let known = self
                .seen
                .keys()
                .any(|old| old.fault == cause.fault && old.object == cause.object);
            if !known {
                self.seen.insert(cause.clone(), now);
            }
        }
        let settled = found
            .into_iter()
            .filter(|cause| {
                self.seen.iter().any(|(old, since)| {
                    old.fault == cause.fault
                        && old.object == cause.object
                        && now.duration_since(*since) >= cause.fault.grace()
                })
            })
            .collect();
        caused(settled)
    }

    /// Reads the end of what suspicious pods have logged.
    async fn read_logs(&mut self, unready: &[(ObjectName, Readiness)]) {
        if self.logs_at.is_some_and(|at| at.elapsed() < LOGS) {
            return;
        }
        self.logs_at = Some(Instant::now());
        let custom = unready.iter().any(|(name, _)| {
            matches!(
                name.kind.as_str(),
                "Prometheus" | "Alertmanager" | "OpenTelemetryCollector"
            )
        });
        for suspect in suspects(&self.cluster, custom) {
            let pods: Api<Pod> = Api::namespaced(self.client.clone(), &suspect.namespace);
            let asked = LogParams {
                container: Some(suspect.container),
                previous: suspect.previous,
                tail_lines: Some(200),
                limit_bytes: Some(256 * 1024),
                ..LogParams::default()
            };
            // What cannot be read is no cause.
            if let Ok(Ok(lines)) = tokio::time::timeout(LOGS, pods.logs(&suspect.pod, &asked)).await
                // The kubelet's own words, in place of a log that is gone.
                && !lines.starts_with("unable to retrieve container logs")
            {
                self.cluster.logged(&suspect.namespace, &suspect.pod, lines);
            }
        }
    }
}

/// The error of these causes, if there are any.
fn caused(mut causes: Vec<Cause>) -> Option<DeployError> {
    if causes.is_empty() {
        return None;
    }
    let first = causes.remove(0);
    Some(DeployError::Causes(Box::new(Causes {
        first,
        others: causes,
    })))
}

/// A container whose log may tell a cause.
struct Suspect {
    namespace: String,
    pod: String,
    container: String,
    /// Of the run before this one: where the last one has ended and none runs, its log is the current one.
    previous: bool,
}

/// Containers that ended, and where custom objects wait, the pods that talk to the API server: operators.
fn suspects(cluster: &Cluster, custom: bool) -> Vec<Suspect> {
    let mut suspects = Vec::new();
    for pod in cluster.of_kind("Pod") {
        let asks = values(pod, "/spec/volumes").any(|v| text(v, "/name").starts_with("kube-api-access"));
        for status in
            values(pod, "/status/containerStatuses").chain(values(pod, "/status/initContainerStatuses"))
        {
            let ended =
                number(status, "/restartCount") > 0 && status.get("ready") != Some(&Value::Bool(true));
            let running = status.pointer("/state/running").is_some();
            if ended || (custom && asks && running && text(pod, "/metadata/namespace") != "kube-system") {
                suspects.push(Suspect {
                    namespace: text(pod, "/metadata/namespace").to_owned(),
                    pod: text(pod, "/metadata/name").to_owned(),
                    container: text(status, "/name").to_owned(),
                    previous: ended && running,
                });
            }
        }
    }
    suspects
}

/// Applies one object, again while the API server cannot answer.
async fn apply(client: &Client, resources: &Resources, object: Value) -> Result<(), DeployError> {
    let name = ObjectName::of(&object);
    let resource = resources.of_object(&object)?;
    let api = api(client, &resource, &name);
    let parameters = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        force: true,
        // An unknown field is a mistake of the tree, and would be without effect.
        field_validation: Some(ValidationDirective::Strict),
        ..PatchParams::default()
    };
    let patch = Patch::Apply(&object);
    let refused = Mutex::new(None);
    let waited = Wait::new(format!("{name} applied"), ANSWERED)
        .every(LOOK)
        .until(|| async {
            match api.patch(&name.name, &parameters, &patch).await {
                Ok(_) => Look::Ready(()),
                // What a job runs cannot be changed: another one takes its place.
                Err(kube::Error::Api(status)) if status.code == 422 && name.kind == "Job" => {
                    match api.delete(&name.name, &DeleteParams::background()).await {
                        Ok(_) => Look::Missing("the former job is on its way out".to_owned()),
                        Err(error) => Look::Missing(words(&error)),
                    }
                }
                Err(kube::Error::Api(status)) if !passes(&status) => {
                    *refused.lock().await = Some(refusal(&name, &resource, &status));
                    Look::Hopeless("refused".to_owned())
                }
                Err(kube::Error::Api(status)) => Look::Missing(status.message.clone()),
                Err(error) => Look::Missing(words(&error)),
            }
        })
        .await;
    match waited {
        Ok(()) => Ok(()),
        Err(WaitError::Bound { missing, .. }) => Err(DeployError::Unanswered {
            object: name,
            why: missing,
        }),
        Err(WaitError::Hopeless { why, .. }) => Err(refused
            .into_inner()
            .unwrap_or(DeployError::Refused { object: name, why })),
    }
}

/// An error's words with those of what lies below it.
pub(crate) fn words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut below = error.source();
    while let Some(source) = below {
        let more = source.to_string();
        if !words.contains(&more) {
            words = format!("{words}: {more}");
        }
        below = source.source();
    }
    words
}

/// Whether it may go away by itself: the server is busy, or a webhook does not answer yet.
pub(crate) fn passes(status: &Status) -> bool {
    status.code == 429 || status.code >= 500
}

/// What a refusal means. Pure.
fn refusal(object: &ObjectName, resource: &ApiResource, status: &Status) -> DeployError {
    let why = status.message.clone();
    let cause = |fault, what| {
        DeployError::Causes(Box::new(Causes {
            first: Cause {
                fault,
                object: object.clone(),
                what,
            },
            others: Vec::new(),
        }))
    };
    // A namespace or object that is missing is told by its name.
    if status.code == 404
        && (why.contains("could not find the requested resource") || why.contains("page not found"))
    {
        return cause(
            Fault::NoDefinition,
            format!(
                "the cluster has no kind {} of {}; apply the definitions of its operator first",
                resource.kind, resource.api_version
            ),
        );
    }
    if status.code == 403 && (why.contains("exceeded quota") || why.contains("failed quota")) {
        return cause(
            Fault::Quota,
            format!("forbidden by a quota: {why}; raise the ResourceQuota, or lower what is asked for"),
        );
    }
    if status.code == 403 {
        return cause(
            Fault::Access,
            format!("the kubeconfig's user may not apply it: {why}; use one with more rights"),
        );
    }
    DeployError::Refused {
        object: object.clone(),
        why,
    }
}

#[cfg(test)]
mod tests;
