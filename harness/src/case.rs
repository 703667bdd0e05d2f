//! A case: one claim to check, as data and one async function.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::contract::Contract;
use crate::deploy::DeployTree;
use crate::finding::Findings;
use crate::mutant::Mutant;
use crate::progress::Progress;
use crate::seed::Seed;
use crate::shapes::Shapes;
use crate::stack::{Capability, Stack, WorkshopError};
use crate::verdict::Level;

/// What a case excludes that must have the machine to itself, because it measures time.
pub const EVERYTHING: &str = "*";

/// One claim to check.
#[derive(Debug, Clone)]
pub struct Case {
    /// Stable id, area/name in kebab case.
    pub id: &'static str,
    /// The claim, as one sentence.
    pub claim: &'static str,
    /// How binding the claim is.
    pub level: Level,
    /// Ids of the promises it covers.
    pub promises: &'static [&'static str],
    /// What the stack must have.
    pub needs: &'static [Capability],
    /// Profiles it belongs to.
    pub profiles: &'static [&'static str],
    /// Ids of the cases that must not run beside it; [`EVERYTHING`] where none must.
    pub excludes: &'static [&'static str],
    /// What it does to the shared servers beyond asking them, as the rest of a sentence about it; none where it
    /// only asks, or works on clones of its own.
    pub disturbs: Option<&'static str>,
    /// Longest it may take; reaching it is an environment verdict.
    pub bound: Duration,
    /// Checks the claim.
    pub run: fn(Context) -> BoxFuture<'static, Result<Findings, CaseError>>,
    /// The changes that must turn it to fail.
    pub mutants: fn() -> Vec<Mutant>,
}

impl Case {
    /// The area, the part of the id before the slash.
    #[must_use]
    pub fn area(&self) -> &'static str {
        self.id.split('/').next().unwrap_or(self.id)
    }

    /// Whether the two must not run beside each other, whichever of them says so.
    #[must_use]
    pub fn excludes(&self, other: &Self) -> bool {
        let names = |one: &Self, id| {
            one.excludes
                .iter()
                .any(|excluded| *excluded == EVERYTHING || *excluded == id)
        };
        names(self, other.id) || names(other, self.id)
    }
}

/// What a case is given.
#[derive(Debug, Clone)]
pub struct Context {
    /// What was promised.
    pub contract: Arc<Contract>,
    /// What is declared. Under a mutant, the mutated tree.
    pub tree: Arc<DeployTree>,
    /// What the services look like from outside.
    pub shapes: Arc<Shapes>,
    /// The fixtures folder, for a case's own tables.
    pub fixtures: PathBuf,
    /// The running stack.
    pub stack: Arc<Stack>,
    /// The case's own seed.
    pub seed: Seed,
    /// Folder of the report that keeps the case's artifacts; exists.
    pub artifacts: PathBuf,
    /// Ends when the run is interrupted.
    pub cancel: CancellationToken,
    /// Where to say what is going on.
    pub progress: Progress,
}

/// Why a case could not come to findings.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// The machine or the set-up failed.
    #[error("{0}")]
    Environment(String),
    /// The stack is broken in a way that left nothing more to look at.
    #[error("{0}")]
    Failed(String),
    /// Too little data for the stated error rates.
    #[error("{0}")]
    Insufficient(String),
}

impl From<WorkshopError> for CaseError {
    fn from(error: WorkshopError) -> Self {
        match error {
            WorkshopError::Environment(why) => Self::Environment(why),
            WorkshopError::Refused(why) => Self::Failed(why),
        }
    }
}

/// What the tree or a fixture says cannot be read or does not fit: the tree's fault, so a failure.
impl From<crate::deploy::DeployError> for CaseError {
    fn from(error: crate::deploy::DeployError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// A promise the case relies on is not in the contract: the set-up's fault.
impl From<crate::contract::ContractError> for CaseError {
    fn from(error: crate::contract::ContractError) -> Self {
        Self::Environment(error.to_string())
    }
}

/// A server did not answer a question that every running server answers: the set-up's fault unless
/// the case says otherwise.
impl From<crate::component::ClientError> for CaseError {
    fn from(error: crate::component::ClientError) -> Self {
        Self::Environment(error.to_string())
    }
}

/// The API server did not answer, or refused what every cluster grants the stack's owner: the set-up's fault unless
/// the case says otherwise.
impl From<crate::component::cluster::ClusterError> for CaseError {
    fn from(error: crate::component::cluster::ClusterError) -> Self {
        Self::Environment(error.to_string())
    }
}

/// A file of the run could not be written or read.
impl From<std::io::Error> for CaseError {
    fn from(error: std::io::Error) -> Self {
        Self::Environment(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(id: &'static str, excludes: &'static [&'static str]) -> Case {
        Case {
            id,
            claim: "a claim",
            level: Level::Must,
            promises: &[],
            needs: &[],
            profiles: &[],
            excludes,
            disturbs: None,
            bound: Duration::from_secs(1),
            run: |_| Box::pin(async { Ok(Findings::new()) }),
            mutants: Vec::new,
        }
    }

    #[test]
    fn an_exclusion_holds_whichever_of_the_two_says_it() {
        let (plain, other) = (case("a/plain", &[]), case("a/other", &["a/plain"]));
        let alone = case("a/alone", &[EVERYTHING]);
        assert!(plain.excludes(&other) && other.excludes(&plain));
        assert!(plain.excludes(&alone) && alone.excludes(&plain) && alone.excludes(&other));
        assert!(!plain.excludes(&plain) && !plain.excludes(&case("a/third", &[])));
    }
}
