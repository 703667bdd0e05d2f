//! Why a server is not there: whose fault it is, and in whose words.

use std::io;
use std::path::Path;

use super::TargetError;
use super::process::{End, Obituary, ProcessError};
use crate::component::ClientError;
use crate::files;
use crate::render::RenderError;
use crate::stack::WorkshopError;

/// Why a server is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// The machine or the set-up failed.
    Environment(String),
    /// The server refuses what the deploy tree declares.
    Refused(String),
    /// Someone else has the port; another one may be tried.
    PortTaken(String),
    /// The run was interrupted.
    Interrupted,
}

impl From<Failure> for TargetError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Environment(why) | Failure::PortTaken(why) => Self::Environment(why),
            Failure::Refused(why) => Self::Refused(why),
            Failure::Interrupted => Self::Interrupted,
        }
    }
}

impl From<Failure> for WorkshopError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Environment(why) | Failure::PortTaken(why) => Self::Environment(why),
            Failure::Refused(why) => Self::Refused(why),
            Failure::Interrupted => Self::Environment("interrupted".to_owned()),
        }
    }
}

/// What the tree declares does not fit together: the tree's fault, as with a server that refuses it.
/// A drift that finds nothing is a fault of the mutant.
impl From<RenderError> for Failure {
    fn from(error: RenderError) -> Self {
        match error {
            RenderError::Deploy(_) => Self::Refused(error.to_string()),
            RenderError::NoAddress { .. }
            | RenderError::Unwritable { .. }
            | RenderError::DriftMissed { .. } => Self::Environment(error.to_string()),
        }
    }
}

impl From<ProcessError> for Failure {
    fn from(error: ProcessError) -> Self {
        Self::Environment(error.to_string())
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Environment(error.to_string())
    }
}

impl Failure {
    /// A file or folder could not be written or read.
    pub(super) fn file(error: &io::Error, doing: &str, path: &Path) -> Self {
        Self::Environment(files::words(error, doing, path))
    }
}

/// What servers say when the machine is at fault (Go's texts of the system's errors).
const MACHINE: [&str; 7] = [
    "no space left on device",
    "too many open files",
    "cannot allocate memory",
    "permission denied",
    "read-only file system",
    "exec format error",
    "outofmemoryerror",
];

/// What servers say about what they were given, by their own names for it. Prometheus 3.16
/// (cmd/prometheus/main.go), Alertmanager 0.31 (cmd/alertmanager/main.go, kingpin), Elasticsearch 8.19
/// (settings), the Collector 0.149 and Jaeger 2.13, which is one (otelcol/configprovider.go), Loki 3.7
/// (cmd/loki/main.go).
const DECLARED: [&str; 15] = [
    "error loading config",
    "error loading rule file patterns",
    "error parsing command line arguments",
    "loading configuration file failed",
    "unknown long flag",
    "unknown short flag",
    ": error: ",
    "error loading remote",
    "illegalargumentexception",
    "settingsexception",
    "failed to get config",
    "invalid configuration",
    "failed to build pipelines",
    "failed parsing config",
    "validating config",
];

/// Whose fault the end of a server at its start is.
pub(super) fn of(obituary: &Obituary) -> Failure {
    let words = obituary.to_string();
    let cause = obituary.cause.clone().unwrap_or_default();
    let lower = cause.to_lowercase();
    if lower.contains("address already in use") {
        return Failure::PortTaken(words);
    }
    if let Some(machine) = MACHINE.iter().find(|machine| lower.contains(*machine)) {
        return Failure::Environment(format!("{machine}: {words}"));
    }
    let refusal = DECLARED.iter().any(|declared| lower.contains(declared));
    match obituary.end {
        End::Code(_) if refusal => Failure::Refused(words),
        End::Code(_) | End::Signal(_) | End::Unknown => Failure::Environment(words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    // Prometheus 3.16.0 and Alertmanager 0.31.1.
    #[case(
        "Unable to start web listener: listen tcp 127.0.0.1:29090: bind: address already in use",
        "port"
    )]
    #[case(
        "Error loading config (--config.file=bad.yml): parsing YAML file bad.yml: yaml: unmarshal errors: line 1: field gobal not found in type config.plain",
        "refused"
    )]
    #[case(
        "Error loading rule file patterns from config (--config.file=\"p2.yml\"): could not parse expression: 1:7: parse error: unexpected <op:==>",
        "refused"
    )]
    #[case(
        "Error parsing command line arguments: not a valid duration string: \"abc\"",
        "refused"
    )]
    #[case("alertmanager: error: unknown long flag '--foo', try --help", "refused")]
    #[case(
        "Loading configuration file failed: yaml: unmarshal errors: line 1: field gobal not found in type config.plain",
        "refused"
    )]
    #[case(
        "Fatal error: opening storage failed: mkdir data: no space left on device",
        "machine"
    )]
    // Elasticsearch 8.19.0.
    #[case(
        "java.net.BindException: Address already in use: BindHttpException[Failed to bind to 127.0.0.1:29200]",
        "port"
    )]
    #[case(
        "java.lang.IllegalArgumentException: unknown setting [cluster.nonsense] please check that any required plugins are installed",
        "refused"
    )]
    #[case("java.lang.OutOfMemoryError: Java heap space", "machine")]
    #[case("panic: runtime error: index out of range", "machine")]
    #[case("Error loading config: open prometheus.yml: permission denied", "machine")]
    fn the_servers_words_tell_whose_fault_it_is(#[case] cause: &str, #[case] whose: &str) {
        let failure = of(&Obituary {
            name: "server".into(),
            end: End::Code(1),
            cause: Some(cause.into()),
            log: "server.log".into(),
        });
        let found = match failure {
            Failure::PortTaken(_) => "port",
            Failure::Refused(_) => "refused",
            Failure::Environment(_) => "machine",
            Failure::Interrupted => "interrupted",
        };
        assert_eq!(found, whose);
    }

    #[test]
    fn a_server_that_is_killed_is_not_the_trees_fault() {
        let failure = of(&Obituary {
            name: "server".into(),
            end: End::Signal(9),
            cause: None,
            log: "server.log".into(),
        });
        assert!(matches!(failure, Failure::Environment(why) if why.contains("killed from outside")));
    }
}
