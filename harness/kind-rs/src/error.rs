//! What can go wrong with a command.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::ConfigError;
use crate::reason::Reason;

/// Why a command did not do what it was to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KindError {
    /// The CLI does not start.
    #[error("{program} does not start: {source}", program = .program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The CLI was not done in time, and was killed.
    #[error("`{command}` was not done after {} s and was killed{}", .bound.as_secs_f64(), during(.step.as_ref()))]
    Bound {
        /// The command, as one would type it.
        command: String,
        /// How long it could take.
        bound: Duration,
        /// The step it was at, where it said so.
        step: Option<String>,
    },
    /// What the CLI says cannot be read, or what it is told not be written.
    #[error("{source}: `{command}` cannot be talked to")]
    Pipe {
        /// The command, as one would type it.
        command: String,
        /// Why.
        source: io::Error,
    },
    /// The CLI fails, for a reason of its own.
    #[error("{reason} (`{command}`)")]
    Failed {
        /// The command, as one would type it.
        command: String,
        /// Its reason.
        reason: Reason,
    },
    /// The CLI says something else than what it said when this crate was written.
    #[error("`{command}` says `{said}` where {wanted} is expected")]
    Strange {
        /// The command, as one would type it.
        command: String,
        /// What it says.
        said: String,
        /// What was expected.
        wanted: &'static str,
    },
    /// The configuration cannot be rendered.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl KindError {
    /// The CLI's own reason, where it gave one.
    #[must_use]
    pub fn reason(&self) -> Option<&Reason> {
        match self {
            Self::Failed { reason, .. } => Some(reason),
            _ => None,
        }
    }
}

fn during(step: Option<&String>) -> String {
    step.map_or_else(String::new, |step| format!(" at \"{step}\""))
}
