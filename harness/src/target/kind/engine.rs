//! The container engine, by way of its client: short questions, each with a bound.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use kind_rs::Provider;
use serde_json::Value;
use tokio::process::Command;

use crate::units::format_duration;

/// How long an answer may take. An engine that is pulling and building answers within seconds.
const BOUND: Duration = Duration::from_secs(20);

/// Why the engine did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// Its client is not there or does not start.
    #[error("{client} does not start: {why}")]
    NoClient {
        /// The client.
        client: Provider,
        /// Why.
        why: String,
    },
    /// It says no.
    #[error("{why} (`{command}`)")]
    Refused {
        /// The command, as one would type it.
        command: String,
        /// What it says.
        why: String,
    },
    /// It says nothing.
    #[error("the engine did not answer `{command}` within {}", format_duration(BOUND))]
    Silent {
        /// The command, as one would type it.
        command: String,
    },
    /// It says something that cannot be read.
    #[error("the engine answers `{command}` with something else than JSON: {why}")]
    Strange {
        /// The command, as one would type it.
        command: String,
        /// What is wrong with it.
        why: String,
    },
}

/// The engine.
#[derive(Debug, Clone)]
pub struct Engine {
    provider: Provider,
    client: PathBuf,
}

impl Engine {
    /// The engine of a provider's client on PATH, where that client's own environment says it is.
    #[must_use]
    pub fn new(provider: Provider) -> Self {
        Self {
            provider,
            client: provider.as_str().into(),
        }
    }

    /// The same engine by way of another client, of this path or of this name on PATH.
    #[must_use]
    pub fn client(mut self, client: impl Into<PathBuf>) -> Self {
        self.client = client.into();
        self
    }

    /// Which engine it is.
    #[must_use]
    pub fn provider(&self) -> Provider {
        self.provider
    }

    /// What the client prints.
    pub async fn ask(&self, arguments: &[&str]) -> Result<String, EngineError> {
        let command = || format!("{} {}", self.provider, arguments.join(" "));
        let output = Command::new(&self.client)
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = match tokio::time::timeout(BOUND, output).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) => {
                return Err(EngineError::NoClient {
                    client: self.provider,
                    why: error.to_string(),
                });
            }
            Err(_) => return Err(EngineError::Silent { command: command() }),
        };
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(EngineError::Refused {
                command: command(),
                why: last_line(&String::from_utf8_lossy(&output.stderr)),
            })
        }
    }

    /// What the client prints, which is one JSON value.
    pub async fn ask_json(&self, arguments: &[&str]) -> Result<Value, EngineError> {
        let text = self.ask(arguments).await?;
        serde_json::from_str(&text).map_err(|error| EngineError::Strange {
            command: format!("{} {}", self.provider, arguments.join(" ")),
            why: error.to_string(),
        })
    }
}

fn last_line(text: &str) -> String {
    let mut lines = text.lines().rev().map(str::trim);
    lines
        .find(|line| !line.is_empty())
        .unwrap_or("it says nothing")
        .to_owned()
}
