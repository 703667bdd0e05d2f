//! Clusters of our own, made by kind: whether the host can have one, and making, finding again and removing them.

pub mod apply;
pub(super) mod clients;
mod clones;
pub mod cluster;
pub mod engine;
pub mod generator;
pub mod host;
mod lock;
mod played;
pub mod preflight;
pub mod reach;
pub mod running;
pub mod stack;
pub mod tools;
pub(super) mod watched;

use std::io;
use std::path::{Path, PathBuf};

use kind_rs::config::Cluster;
use kind_rs::{ClusterName, NameError};
use tokio_util::sync::CancellationToken;

use crate::catalog::Environment;
use crate::mutant::Edit;
use crate::progress::Progress;
use crate::seed::Seed;
use cluster::{ClusterError, Clusters, Held, Wanted};
use engine::EngineError;
use host::Host;
use preflight::{Demand, Hindrance, hindrances};
use stack::StackError;
use tools::{Tools, ToolsError};

/// Why there is no cluster for a stack.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KindTargetError {
    /// The host cannot have one.
    #[error("{}", sentences(.0))]
    Hindered(Vec<Hindrance>),
    /// There is nothing to make it with.
    #[error(transparent)]
    Tools(#[from] ToolsError),
    /// The stack's name gives no name of a cluster.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The engine fails.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// It is not there, or does not come up.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The stack does not come up in it.
    #[error(transparent)]
    Stack(#[from] StackError),
    /// The clusters' folder cannot be used.
    #[error("{source}: the clusters' folder {path} cannot be used", path = .path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn sentences(hindrances: &[Hindrance]) -> String {
    let sentences: Vec<String> = hindrances.iter().map(ToString::to_string).collect();
    sentences.join("; and ")
}

/// A cluster that a stack is to have.
#[derive(Debug, Clone)]
pub struct ClusterRequest {
    /// Name of the stack.
    pub stack: String,
    /// What the cluster is to be, without what the host needs.
    pub config: Cluster,
}

/// The clusters of stacks on this machine's engine, whose files are in the folder for runs.
#[derive(Debug, Clone)]
pub struct KindTarget {
    tools: Tools,
    clusters: Clusters,
    environment: Environment,
    runs: PathBuf,
}

impl KindTarget {
    /// The target of this environment.
    pub fn new(runs: &Path, environment: Environment) -> Result<Self, KindTargetError> {
        let tools = Tools::find(&environment)?;
        // The engine takes absolute paths alone.
        let runs = std::path::absolute(runs).map_err(|source| KindTargetError::Folder {
            path: runs.to_owned(),
            source,
        })?;
        let folder = clusters_folder(&runs);
        let clusters = Clusters::new(tools.kind(), tools.engine.clone(), &folder, &environment)
            .map_err(|source| KindTargetError::Folder { path: folder, source })?;
        Ok(Self {
            tools,
            clusters,
            environment,
            runs,
        })
    }

    /// The folder for runs.
    #[must_use]
    pub fn runs(&self) -> &Path {
        &self.runs
    }

    /// The clusters.
    #[must_use]
    pub fn clusters(&self) -> &Clusters {
        &self.clusters
    }

    /// What a cluster is made with.
    #[must_use]
    pub fn tools(&self) -> &Tools {
        &self.tools
    }

    /// Brings a stack's cluster up, or takes the one that is there; nothing is made on a host that cannot
    /// have one.
    pub async fn cluster(
        &self,
        request: ClusterRequest,
        progress: &Progress,
        cancel: &CancellationToken,
    ) -> Result<Held, KindTargetError> {
        let name = cluster_name(&request.stack)?;
        let host = Host::read(&self.tools.engine).await;
        let there = host.engine.is_ok() && self.clusters.has(&name).await?;
        let demand = if there { Demand::NONE } else { Demand::WHOLE };
        let (fatal, slight): (Vec<_>, Vec<_>) = hindrances(&host, demand)
            .into_iter()
            .partition(|hindrance| hindrance.fatal);
        if !fatal.is_empty() {
            return Err(KindTargetError::Hindered(fatal));
        }
        for hindrance in slight {
            progress.step("kind", hindrance.to_string());
        }
        let mut config = request.config;
        preflight::adapt(&mut config, &host);
        let wanted = Wanted {
            name,
            image: self.tools.node_image(&self.environment).await?,
            config,
        };
        Ok(self.clusters.up(&wanted, progress, cancel).await?)
    }

    /// Brings the deploy tree of the project at `root`, with these edits made, up in a cluster and waits until
    /// all of it is ready.
    pub async fn stack(
        &self,
        held: &Held,
        (root, edits): (&Path, &[Edit]),
        seed: Seed,
        progress: &Progress,
        cancel: &CancellationToken,
    ) -> Result<(), KindTargetError> {
        let with = (&self.tools, &self.environment);
        Ok(stack::bring_up(held, (root, edits), with, seed, progress, cancel).await?)
    }
}

/// Name of a stack's cluster. Nothing is concluded from it, it is for people.
pub fn cluster_name(stack: &str) -> Result<ClusterName, NameError> {
    format!("{PREFIX}{stack}").parse()
}

/// Name of the stack that a cluster is for.
#[must_use]
pub fn stack_of(cluster: &ClusterName) -> &str {
    let name = cluster.as_str();
    name.strip_prefix(PREFIX).unwrap_or(name)
}

const PREFIX: &str = "conform-";

/// Where the clusters' files are: kubeconfigs and what they were made from.
#[must_use]
pub fn clusters_folder(runs: &Path) -> PathBuf {
    runs.join("clusters")
}
