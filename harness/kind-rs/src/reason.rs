//! Why the CLI failed, from its own words.
//!
//! What kind v0.33.0 prints (`cmd/kind/app/main.go`): `ERROR:` and the chain of its errors, the outermost
//! first; where the innermost is a program that failed, an empty line and `Command Output:` with all that
//! this program printed. The cause is nearly always in there.

use std::fmt;

/// Why the CLI failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// Which of the known causes it is.
    pub cause: Cause,
    /// What kind says, without `ERROR:`.
    pub message: String,
    /// All that the program printed with which kind failed, empty where there was none.
    pub output: String,
}

/// The known causes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// The engine's client is not on PATH.
    NoClient,
    /// The engine does not answer its client.
    NoEngine,
    /// There are nodes of a cluster of this name already.
    Exists,
    /// There is no cluster of this name, or it has no node that could do this.
    Unknown,
    /// The image is not among the engine's.
    NoImage,
    /// The node's image is not among the engine's and cannot be pulled.
    Pull,
    /// A port of the host is taken.
    Port,
    /// The disk is full.
    Space,
    /// The host does not let a privileged container have a capability.
    Capability,
    /// A node's container does not boot.
    Boot,
    /// The configuration is refused.
    Config,
    /// Something else.
    Other,
}

/// Words that tell a cause, the more particular before the more general.
const WORDS: &[(&str, Cause)] = &[
    ("executable file not found", Cause::NoClient),
    ("Cannot connect to the Docker daemon", Cause::NoEngine),
    ("Cannot connect to Podman", Cause::NoEngine),
    ("error during connect:", Cause::NoEngine),
    ("permission denied while trying to connect", Cause::NoEngine),
    ("no space left on device", Cause::Space),
    ("node(s) already exist for a cluster with the name", Cause::Exists),
    ("could not locate any control plane nodes", Cause::Unknown),
    ("unknown cluster", Cause::Unknown),
    ("no nodes found for cluster", Cause::Unknown),
    ("not present locally", Cause::NoImage),
    ("failed to pull image", Cause::Pull),
    ("port is already allocated", Cause::Port),
    ("address already in use", Cause::Port),
    ("unable to apply caps", Cause::Capability),
    ("could not find a log line that matches", Cause::Boot),
    ("unable to decode config", Cause::Config),
    ("unknown apiVersion", Cause::Config),
    ("failed to create cluster: invalid ", Cause::Config),
    ("failed to create cluster: [invalid ", Cause::Config),
    ("must have at least one control-plane node", Cause::Config),
    ("is not a valid cluster name", Cause::Config),
];

impl Reason {
    /// Reads what the CLI printed to standard error.
    #[must_use]
    pub fn read(text: &str) -> Self {
        // Warnings of its own come before; a word of a step cannot begin a line with this.
        let (message, output) = match text.find("ERROR: ") {
            None => (last(text), ""),
            Some(at) => {
                let said = &text[at + "ERROR: ".len()..];
                match said.split_once("\n\nCommand Output: ") {
                    Some((message, output)) => (message, output),
                    None => (said, ""),
                }
            }
        };
        let (message, output) = (message.trim().to_owned(), output.trim().to_owned());
        let cause = WORDS
            .iter()
            .find(|(words, _)| message.contains(words) || output.contains(words))
            .map_or(Cause::Other, |(_, cause)| *cause);
        Self {
            cause,
            message,
            output,
        }
    }

    /// What the program that failed says of itself: its last line that calls itself an error, or its last.
    #[must_use]
    pub fn words(&self) -> Option<&str> {
        let lines = || {
            self.output
                .lines()
                .rev()
                .map(str::trim)
                .filter(|line| !line.is_empty())
        };
        let named = |line: &&str| {
            // `docker info` prints an empty object in JSON before it says that nobody answers.
            !line.starts_with('{')
                && ["error", "cannot ", "docker: error", "failed ", "fatal"]
                    .iter()
                    .any(|start| {
                        line.get(..start.len())
                            .is_some_and(|head| head.eq_ignore_ascii_case(start))
                    })
        };
        lines().find(named).or_else(|| lines().next())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The whole chain with the program's arguments is long; the first part says what was tried.
        let what = self.message.split(": command \"").next().unwrap_or_default();
        match self.words() {
            Some(words) => write!(f, "{words}: {what}"),
            None => f.write_str(&self.message),
        }
    }
}

fn last(text: &str) -> &str {
    text.lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("it says nothing")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    macro_rules! recorded {
        ($name:literal) => {
            include_str!(concat!("reason/recorded/", $name, ".txt"))
        };
    }

    /// What the real CLI (v0.33.0, with Docker) printed.
    #[rstest]
    #[case::config_field("config-field", recorded!("config-field"), Cause::Config)]
    #[case::config_values("config-values", recorded!("config-values"), Cause::Config)]
    #[case::load_no_archive("load-no-archive", recorded!("load-no-archive"), Cause::Other)]
    #[case::load_no_image("load-no-image", recorded!("load-no-image"), Cause::NoImage)]
    #[case::no_client("no-client", recorded!("no-client"), Cause::NoClient)]
    #[case::no_engine("no-engine", recorded!("no-engine"), Cause::NoEngine)]
    #[case::no_engine_create("no-engine-create", recorded!("no-engine-create"), Cause::NoEngine)]
    #[case::no_podman("no-podman", recorded!("no-podman"), Cause::NoClient)]
    #[case::pull("pull", recorded!("pull"), Cause::Pull)]
    #[case::unknown_command("unknown-command", recorded!("unknown-command"), Cause::Other)]
    #[case::unknown_kubeconfig("unknown-kubeconfig", recorded!("unknown-kubeconfig"), Cause::Unknown)]
    #[case::unknown_logs("unknown-logs", recorded!("unknown-logs"), Cause::Unknown)]
    fn recorded_texts_are_read(#[case] name: &str, #[case] text: &str, #[case] cause: Cause) {
        let reason = Reason::read(text);
        assert_eq!(reason.cause, cause);
        insta::assert_snapshot!(name, reason.to_string());
    }

    #[rstest]
    #[case::nothing("", "it says nothing")]
    #[case::no_mark("panic: oh\n\n", "panic: oh")]
    fn a_text_without_an_error_is_its_last_line(#[case] text: &str, #[case] message: &str) {
        assert_eq!(Reason::read(text).to_string(), message);
    }
}
