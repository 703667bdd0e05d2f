//! Where a stack runs. A target brings a [`Stack`](crate::stack::Stack) up from the deploy tree and
//! takes it down again, whatever happens to the run.

pub mod brought;
mod clock;
mod clones;
pub mod containers;
pub mod existing;
mod failure;
mod folder;
pub mod kind;
pub mod local;
mod memory;
pub mod needs;
mod outfit;
mod ports;
pub mod process;
mod server;
mod shared;
pub mod warm;
mod workshop;

use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use containers::Images;
use needs::Needs;

use crate::catalog::Acquisition;
use crate::deploy::DeployTree;
use crate::mutant::Edit;
use crate::progress::Progress;
use crate::seed::Seed;
use crate::shapes::Shapes;

/// Where a stack runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetName {
    /// Real server binaries as child processes on loopback.
    Local,
    /// The same with servers in containers of their images.
    Containers,
    /// A kind cluster of one node on this machine's container engine.
    Kind,
    /// A stack that somebody else runs.
    Existing,
}

impl TargetName {
    /// Its stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Containers => "containers",
            Self::Kind => "kind",
            Self::Existing => "existing",
        }
    }
}

/// What a target needs to bring a stack up.
#[derive(Debug, Clone)]
pub struct UpRequest {
    /// The deploy tree (edited already, under a mutant).
    pub tree: Arc<DeployTree>,
    /// What emission plays.
    pub shapes: Arc<Shapes>,
    /// The servers' binaries.
    pub acquired: Arc<Acquisition>,
    /// Which of them are in images.
    pub images: Images,
    /// What of the stack is needed; the rest is not started.
    pub needs: Needs,
    /// Drifts to put on every server after rendering.
    pub drifts: Vec<Edit>,
    /// Seed of what is played.
    pub seed: Seed,
    /// Folder for everything the run writes while it runs (data, files); removed on the way down.
    pub folder: PathBuf,
    /// Folder that keeps rendered configurations and servers' logs.
    pub artifacts: PathBuf,
    /// Ends when the run is interrupted.
    pub cancel: CancellationToken,
    /// Where to say what is going on.
    pub progress: Progress,
}

/// Why a stack did not come up.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The machine or the set-up failed; the cause first.
    #[error("{0}")]
    Environment(String),
    /// A server refuses what the deploy tree declares; its own words first.
    #[error("{0}")]
    Refused(String),
    /// The run was interrupted.
    #[error("interrupted")]
    Interrupted,
}
