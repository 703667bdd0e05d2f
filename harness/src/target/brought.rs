//! A stack that a run has brought up, whichever target it is on.

use std::sync::Arc;

use super::existing::ExistingStack;
use super::kind::running::KindStack;
use super::local::LocalStack;
use crate::mutant::Edit;
use crate::shapes::Shapes;
use crate::stack::Stack;

/// A stack with what ends it.
#[derive(Debug)]
pub enum Brought {
    /// Processes.
    Local(Box<LocalStack>),
    /// A cluster, or what was put into one that was there.
    Kind(Box<KindStack>),
    /// Nothing of the stack, and what leads to it.
    Existing(Box<ExistingStack>),
}

impl Brought {
    /// The stack as cases see it.
    #[must_use]
    pub fn stack(&self) -> Stack {
        match self {
            Self::Local(stack) => stack.stack(),
            Self::Kind(stack) => stack.stack(),
            Self::Existing(stack) => stack.stack(),
        }
    }

    /// What cases are told of the watched services.
    #[must_use]
    pub fn shapes(&self) -> Arc<Shapes> {
        match self {
            Self::Local(stack) => stack.shapes(),
            Self::Kind(stack) => stack.shapes(),
            Self::Existing(stack) => stack.shapes(),
        }
    }

    /// Why it cannot be relied on any more, none while it can.
    #[must_use]
    pub fn died(&self) -> Option<String> {
        match self {
            Self::Local(stack) => stack.died(),
            Self::Kind(stack) => stack.died(),
            Self::Existing(stack) => stack.died(),
        }
    }

    /// Drifts that found nothing to change on any server that was rendered here.
    #[must_use]
    pub fn missed_drifts(&self) -> Vec<Edit> {
        match self {
            Self::Local(stack) => stack.missed_drifts(),
            // Nobody stands between these servers and what they run with.
            Self::Kind(_) | Self::Existing(_) => Vec::new(),
        }
    }

    /// Takes down what was brought up, with a cluster that was made for it; what could not be.
    pub async fn down(self) -> Result<(), String> {
        match self {
            Self::Kind(stack) => stack.down().await,
            other => {
                other.leave().await;
                Ok(())
            }
        }
    }

    /// Takes down what was brought up, and leaves a cluster to whoever has it next.
    pub async fn leave(self) {
        match self {
            Self::Local(stack) => stack.down().await,
            // Dropping these closes what leads to the stack.
            Self::Kind(_) | Self::Existing(_) => {}
        }
    }
}
