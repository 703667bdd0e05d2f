//! Emission inside a cluster: pods that run this very program, so that a load does not pass a port-forward, several of
//! them where one is not enough.
//!
//! The load is a Job of Kubernetes, and what came of it is read from its pods' logs. A pod that failed is not made
//! again, since what was sent twice is not what was asked for. The Job ends and goes by itself, even where this
//! process is killed: it has a deadline, and is removed a while after its end.

pub mod job;
pub mod outcome;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Pod};
use kind_rs::{ClusterName, Kind, KindError, Nodes};
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams, LogParams, PostParams};
use serde::Serialize;
use serde_json::Value;
use tokio::process::Command;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::job::{Emission, INDEX, NAME_LABEL};
use self::outcome::{Emitted, OutcomeError, PodEmitted};
use super::apply::cluster::{Cluster, ObjectName};
use super::apply::diagnosis::{Cause, Fault, causes};
use super::stack::{self, StackError};
use crate::progress::Progress;
use crate::wait::{Look, Wait, WaitError};

const SUBJECT: &str = "generator";
/// How long making the image may take: a copy of this program and its libraries.
const PACKED: Duration = Duration::from_mins(2);
/// How often it is looked how far the Job is.
const LOOK: Duration = Duration::from_millis(250);
/// How long the API server may not answer.
const ANSWERED: Duration = Duration::from_secs(60);

/// Why nothing was emitted in a cluster, or nobody knows what was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GeneratorError {
    /// A command or the kubeconfig fails.
    #[error(transparent)]
    Stack(#[from] StackError),
    /// The image is not in the nodes.
    #[error(transparent)]
    Load(#[from] KindError),
    /// The Job cannot be made or read.
    #[error("{object}: {why}")]
    Refused {
        /// The Job.
        object: ObjectName,
        /// The API server's words.
        why: String,
    },
    /// Its pods do not come up, and this is why.
    #[error("{0}")]
    Cause(Cause),
    /// It did not end.
    #[error(transparent)]
    Late(#[from] WaitError),
    /// A pod does not say what it emitted.
    #[error(transparent)]
    Outcome(#[from] OutcomeError),
    /// The run was interrupted.
    #[error("interrupted")]
    Interrupted,
}

/// The client of a cluster's kubeconfig.
pub async fn client(kubeconfig: &Path) -> Result<Client, GeneratorError> {
    Ok(stack::client(kubeconfig).await?)
}

/// Makes the image of a program of this project at `root` and loads it into a cluster's nodes; its name. Both are
/// left out where they are there already.
pub async fn image(
    root: &Path,
    program: &Path,
    (kind, cluster): (&Kind, &ClusterName),
    progress: &Progress,
) -> Result<String, GeneratorError> {
    progress.step(SUBJECT, "packing this program as an image");
    let mut pack = Command::new("bash");
    pack.arg(root.join("ci").join("airgap").join("generator"))
        .arg(program);
    let printed = stack::printed(&mut pack, PACKED).await?;
    let image = printed.trim().to_owned();
    progress.step(SUBJECT, format!("loading {image} into the nodes of {cluster}"));
    kind.load_images(cluster, [&image], &Nodes::All).await?;
    Ok(image)
}

/// Emits, waits for the end, and removes the Job, however it ends.
pub async fn emit(
    client: Client,
    emission: &Emission,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Emitted, GeneratorError> {
    let running = Running {
        jobs: Api::namespaced(client.clone(), &emission.namespace),
        pods: Api::namespaced(client.clone(), &emission.namespace),
        events: Api::namespaced(client, &emission.namespace),
        emission,
    };
    let ended = tokio::select! {
        () = cancel.cancelled() => Err(GeneratorError::Interrupted),
        ended = running.to_its_end(progress) => ended,
    };
    // What came of it counts; a Job that is not removed now goes by itself.
    let removed = running
        .jobs
        .delete(&emission.name, &DeleteParams::background())
        .await;
    if let Err(error) = removed
        && ended.is_ok()
    {
        progress.step(SUBJECT, format!("the job is left to end by itself: {error}"));
    }
    ended
}

/// A Job on its way.
struct Running<'e> {
    jobs: Api<Job>,
    pods: Api<Pod>,
    events: Api<Event>,
    emission: &'e Emission,
}

impl Running<'_> {
    fn object(&self) -> ObjectName {
        ObjectName {
            kind: "Job".to_owned(),
            namespace: self.emission.namespace.clone(),
            name: self.emission.name.clone(),
        }
    }

    fn refused(&self, error: &impl ToString) -> GeneratorError {
        GeneratorError::Refused {
            object: self.object(),
            why: error.to_string(),
        }
    }

    async fn to_its_end(&self, progress: &Progress) -> Result<Emitted, GeneratorError> {
        let job: Job =
            serde_json::from_value(job::render(self.emission)).map_err(|error| self.refused(&error))?;
        self.jobs
            .create(&PostParams::default(), &job)
            .await
            .map_err(|error| self.refused(&error))?;
        let Emission { pods, command, .. } = self.emission;
        progress.step(SUBJECT, format!("{pods} pods emit {command}"));
        self.wait().await?;
        let mut emitted = Vec::new();
        for pod in self.list().await.map_err(|error| self.refused(&error))? {
            emitted.push(self.read(&pod).await?);
        }
        Ok(Emitted::of(self.emission, emitted)?)
    }

    /// Waits until all pods have ended, well or not.
    async fn wait(&self) -> Result<(), GeneratorError> {
        let seen = Mutex::new((BTreeMap::<Fault, Instant>::new(), None));
        let ended = Wait::new(
            format!("{} to end", self.object()),
            self.emission.deadline + ANSWERED,
        )
        .every(LOOK)
        .until(|| async {
            match self.cluster().await {
                Ok(cluster) => {
                    let (since, found) = &mut *seen.lock().await;
                    if let Some(cause) = self.settled(&cluster, since) {
                        *found = Some(cause);
                        return Look::Hopeless("a cause is seen".to_owned());
                    }
                    self.ended(&cluster)
                }
                Err(error) => Look::Missing(error.to_string()),
            }
        })
        .await;
        match (ended, seen.into_inner().1) {
            (Ok(()), _) => Ok(()),
            (Err(_), Some(cause)) => Err(GeneratorError::Cause(cause)),
            (Err(error), None) => Err(error.into()),
        }
    }

    /// The Job, its pods, and the events of its namespace.
    async fn cluster(&self) -> kube::Result<Cluster> {
        let all = ListParams::default();
        let (job, pods, events) = tokio::try_join!(
            self.jobs.get(&self.emission.name),
            self.list(),
            self.events.list(&all)
        )?;
        let objects = std::iter::once(value(&job))
            .chain(pods.iter().map(value))
            .chain(events.items.iter().map(value));
        Ok(Cluster::of(objects.flatten()))
    }

    fn ended(&self, cluster: &Cluster) -> Look<()> {
        let object = self.object();
        match cluster.named(&object) {
            Some(job) if job::has_ended(job) => Look::Ready(()),
            Some(job) => Look::Missing(job::progress(job)),
            None => Look::Missing("it is not there".to_owned()),
        }
    }

    /// The first cause that has been seen for so long that it counts. That a generator ends without success is none:
    /// its report says why.
    fn settled(&self, cluster: &Cluster, since: &mut BTreeMap<Fault, Instant>) -> Option<Cause> {
        let object = self.object();
        let found: Vec<Cause> = causes(cluster)
            .into_iter()
            .filter(|cause| cause.object == object && cause.fault != Fault::Crash)
            .collect();
        since.retain(|fault, _| found.iter().any(|cause| cause.fault == *fault));
        found.into_iter().find(|cause| {
            let first = since.entry(cause.fault).or_insert_with(Instant::now);
            first.elapsed() >= cause.fault.grace()
        })
    }

    /// Its pods, by their numbers.
    async fn list(&self) -> kube::Result<Vec<Pod>> {
        let its = ListParams::default().labels(&format!("{NAME_LABEL}={}", self.emission.name));
        let mut pods = self.pods.list(&its).await?.items;
        pods.sort_by_key(number);
        Ok(pods)
    }

    async fn read(&self, pod: &Pod) -> Result<PodEmitted, GeneratorError> {
        let name = pod.metadata.name.clone().unwrap_or_default();
        let log = Wait::new(format!("the log of pod {name}"), ANSWERED)
            .every(LOOK)
            .until(|| async {
                match self.pods.logs(&name, &LogParams::default()).await {
                    Ok(log) => Look::Ready(log),
                    Err(error) => Look::Missing(error.to_string()),
                }
            })
            .await?;
        Ok(PodEmitted::read(&name, &log, self.emission)?)
    }
}

fn value(object: &impl Serialize) -> Option<Value> {
    serde_json::to_value(object).ok()
}

/// The number of a pod among those of its Job.
fn number(pod: &Pod) -> u32 {
    let annotations = pod.metadata.annotations.as_ref();
    annotations
        .and_then(|annotations| annotations.get(INDEX)?.parse().ok())
        .unwrap_or(u32::MAX)
}
