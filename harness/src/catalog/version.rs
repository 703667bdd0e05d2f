//! What an executable says it is: every one is asked before it is used.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::entry::ShownBy;
use super::environment::Environment;
use super::process::{Ended, Run, RunError, run};

/// How long an executable may take to say its version; a loaded machine needs seconds to read a
/// binary of some 100 MB from disk.
const ANSWER: Duration = Duration::from_secs(20);

/// Why an executable is not the one the catalog names.
#[derive(Debug, thiserror::Error)]
pub(super) enum Mismatch {
    /// It is not there, or not executable.
    #[error("{path} is not an executable file", path = .path.display())]
    NotExecutable {
        /// The file.
        path: PathBuf,
    },
    /// It says something else.
    #[error("{path} says {said}, expected {expected}", path = .path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// What it says.
        said: String,
        /// What the catalog expects.
        expected: String,
    },
    /// It lacks something that the catalog lists.
    #[error("{path} lacks {what}", path = .path.display())]
    Lacking {
        /// The file.
        path: PathBuf,
        /// What it lacks.
        what: String,
    },
    /// It does not show what it is.
    #[error("{path} {why}", path = .path.display())]
    NotShown {
        /// The file.
        path: PathBuf,
        /// What it does instead.
        why: String,
    },
    /// It cannot be asked.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl Mismatch {
    /// Whether the file itself is at fault, and not the machine it is asked on.
    pub(super) fn is_of_content(&self) -> bool {
        match self {
            Self::NotExecutable { .. }
            | Self::Other { .. }
            | Self::Lacking { .. }
            | Self::NotShown { .. } => true,
            Self::Run(RunError::Start { source, .. }) => {
                source.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error())
            }
            Self::Run(_) => false,
        }
    }
}

/// Whether an executable, or a library, is the one the catalog names.
pub(super) async fn verify(
    path: &Path,
    executable: &str,
    version: &str,
    shown_by: &ShownBy,
    environment: &Environment,
    cancel: &CancellationToken,
) -> Result<(), Mismatch> {
    match shown_by {
        ShownBy::Version => verify_version(path, executable, version, environment, cancel).await,
        ShownBy::Help(text) => verify_help(path, text, environment, cancel).await,
        ShownBy::ShiftedClock => verify_shifted_clock(path, environment, cancel).await,
    }
}

/// Looks for a text in an executable's `--help`.
async fn verify_help(
    path: &Path,
    text: &str,
    environment: &Environment,
    cancel: &CancellationToken,
) -> Result<(), Mismatch> {
    let ended = ask(path, "--help", environment, cancel).await?;
    let said = format!("{}\n{}", ended.stdout, ended.stderr);
    if said.contains(text) {
        return Ok(());
    }
    let line = said.lines().find(|line| !line.trim().is_empty());
    Err(Mismatch::NotShown {
        path: path.to_owned(),
        why: format!(
            "says `{}` to --help, expected `{text}`",
            line.unwrap_or_default().trim()
        ),
    })
}

/// Loads a library into `date` and looks whether its clock is where libfaketime's FAKETIME says
/// (libfaketime 0.9.10, README, "Using absolute dates").
async fn verify_shifted_clock(
    path: &Path,
    environment: &Environment,
    cancel: &CancellationToken,
) -> Result<(), Mismatch> {
    let wrong = |why: String| Mismatch::NotShown {
        path: path.to_owned(),
        why,
    };
    if !path.is_file() {
        return Err(wrong("is not there".to_owned()));
    }
    let Some(date) = environment.look_up("date") else {
        return Err(wrong(
            "cannot be tried: there is no date on PATH to load it into".to_owned(),
        ));
    };
    let ask = Run {
        program: &date,
        arguments: ["-u", "+%Y-%m"].map(Into::into).to_vec(),
        folder: None,
        environment,
        variables: vec![
            ("LD_PRELOAD", path.into()),
            ("FAKETIME", "2001-02-15 12:00:00".into()),
        ],
        bound: ANSWER,
    };
    let ended = run(&ask, cancel, |_| ()).await?;
    if ended.status.success() && ended.stdout.trim() == "2001-02" {
        return Ok(());
    }
    let complaint = ended.stderr.lines().next().unwrap_or_default();
    Err(wrong(
        format!(
            "does not shift the clock of {}, which says {} {complaint}",
            date.display(),
            ended.stdout.trim()
        )
        .trim_end()
        .to_owned(),
    ))
}

async fn ask(
    path: &Path,
    argument: &str,
    environment: &Environment,
    cancel: &CancellationToken,
) -> Result<Ended, Mismatch> {
    if !super::environment::is_executable(path) {
        return Err(Mismatch::NotExecutable {
            path: path.to_owned(),
        });
    }
    let ask = Run {
        program: path,
        arguments: vec![argument.into()],
        folder: None,
        environment,
        variables: Vec::new(),
        bound: ANSWER,
    };
    Ok(run(&ask, cancel, |_| ()).await?)
}

/// Asks an executable for its version (`--version`) and compares it with the catalog's.
async fn verify_version(
    path: &Path,
    executable: &str,
    version: &str,
    environment: &Environment,
    cancel: &CancellationToken,
) -> Result<(), Mismatch> {
    let ended = ask(path, "--version", environment, cancel).await?;
    // Prometheus 2.x and its tools wrote the version to standard error, 3.x write it to standard output.
    let text = format!("{}\n{}", ended.stdout, ended.stderr);
    let said = Said::read(&text);
    let names_itself = said.name.as_deref().is_none_or(|name| name == executable);
    if ended.status.success() && names_itself && said.version.as_deref() == Some(version) {
        return Ok(());
    }
    Err(Mismatch::Other {
        path: path.to_owned(),
        said: if ended.status.success() {
            said.to_string()
        } else {
            format!("{said} and ends with {}", ended.status)
        },
        expected: format!("{executable} {version}"),
    })
}

/// What an executable's `--version` says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Said {
    /// The name before `version`, where it gives one.
    name: Option<String>,
    /// The version, without its `v`.
    version: Option<String>,
    /// Its first line, shortened.
    line: String,
}

impl Said {
    /// Reads `NAME, version V (...)`, as prometheus/common's version.Print writes it (v0.67), and
    /// whatever else has the word `version` before a number.
    fn read(text: &str) -> Self {
        let line: String = text
            .lines()
            .find(|line| !line.trim().is_empty())
            .unwrap_or_default()
            .chars()
            .take(120)
            .collect();
        for candidate in text.lines() {
            // Elasticsearch writes `Version: 8.19.0, Build: ...`.
            let Some((before, after)) = candidate
                .split_once("version")
                .or_else(|| candidate.split_once("Version"))
            else {
                continue;
            };
            let version = after
                .trim_start_matches(|c: char| c.is_whitespace() || ":,=\"'".contains(c))
                .split(|c: char| c.is_whitespace() || ",;)\"'".contains(c))
                .next()
                .map(|word| word.strip_prefix('v').unwrap_or(word))
                .filter(|word| word.starts_with(|c: char| c.is_ascii_digit()));
            if let Some(version) = version {
                return Self {
                    name: before
                        .trim()
                        .strip_suffix(',')
                        .filter(|name| !name.is_empty() && !name.contains(char::is_whitespace))
                        .map(str::to_owned),
                    version: Some(version.to_owned()),
                    line,
                };
            }
        }
        Self {
            name: None,
            version: None,
            line,
        }
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.name, &self.version) {
            (Some(name), Some(version)) => write!(f, "{name} {version}"),
            (None, Some(version)) => write!(f, "version {version}"),
            (_, None) if self.line.is_empty() => f.write_str("nothing"),
            (_, None) => write!(f, "`{}`", self.line),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use std::os::unix::fs::PermissionsExt;

    #[tokio::test]
    async fn a_file_that_is_no_program_is_at_fault_itself() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tool");
        std::fs::write(&path, b"\x7fELF and then nothing").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let environment = Environment::new([("PATH", "")], 1);
        let cancel = CancellationToken::new();
        let mismatch = verify(&path, "tool", "1.2.3", &ShownBy::Version, &environment, &cancel)
            .await
            .unwrap_err();
        assert!(mismatch.is_of_content(), "{mismatch}");
    }

    #[rstest]
    #[case::prometheus(
        "prometheus, version 3.16.0 (branch: , revision: unknown)\n  build user: \n",
        Some("prometheus"),
        Some("3.16.0")
    )]
    #[case::candidate(
        "promtool, version 3.17.0-rc.1 (branch: HEAD)",
        Some("promtool"),
        Some("3.17.0-rc.1")
    )]
    #[case::with_v("jaeger version v2.13.0", None, Some("2.13.0"))]
    #[case::quoted("loki, version \"3.7.8\"", Some("loki"), Some("3.7.8"))]
    #[case::capital(
        "Version: 8.19.0, Build: tar/93788a8c/2025-07-23T22:10:18Z, JVM: 24",
        None,
        Some("8.19.0")
    )]
    #[case::nothing("", None, None)]
    #[case::no_number("unknown version", None, None)]
    #[case::go_version_line_counts_last("x 1.0\n go version: go1.26.8", None, None)]
    fn the_version_is_read_from_what_it_says(
        #[case] text: &str,
        #[case] name: Option<&str>,
        #[case] version: Option<&str>,
    ) {
        let said = Said::read(text);
        assert_eq!((said.name.as_deref(), said.version.as_deref()), (name, version));
    }
}
