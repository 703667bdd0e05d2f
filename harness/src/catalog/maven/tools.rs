//! Maven and the Java development kit: found and asked before anything is made.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::MavenError;
use crate::catalog::environment::{Environment, is_executable};
use crate::catalog::process::{Run, run};

/// How long the compiler may take to say its version.
const SHORT: Duration = Duration::from_secs(30);

/// Variables that may name a Java home, the first one set counts: the same as those by which the
/// assembly's own script finds its Java.
const HOMES: [&str; 2] = ["ES_JAVA_HOME", "JAVA_HOME"];

/// What an assembly is made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tools {
    pub(super) maven: PathBuf,
    pub(super) jdk: Jdk,
}

/// A Java development kit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Jdk {
    pub(super) javac: PathBuf,
    pub(super) jar: PathBuf,
    /// Its release, for example `17.0.15`.
    pub(super) release: String,
}

impl Tools {
    /// Maven on PATH and a kit of release `needed` or newer.
    pub(crate) async fn find(
        environment: &Environment,
        needed: u32,
        cancel: &CancellationToken,
    ) -> Result<Self, MavenError> {
        let maven = environment.look_up("mvn").ok_or(MavenError::NoMaven)?;
        let javac = java_tool(environment, "javac")?;
        let jar = java_tool(environment, "jar")?;
        java_tool(environment, "java")?;
        let release = release_of(&javac, environment, needed, cancel).await?;
        Ok(Self {
            maven,
            jdk: Jdk { javac, jar, release },
        })
    }

    /// Release of the Java kit.
    pub(crate) fn java_release(&self) -> &str {
        &self.jdk.release
    }

    /// Maven's program.
    pub(crate) fn maven(&self) -> &Path {
        &self.maven
    }
}

/// A program of the Java home that is set, else of PATH.
pub(crate) fn java_tool(environment: &Environment, tool: &'static str) -> Result<PathBuf, MavenError> {
    for variable in HOMES {
        if let Some(home) = environment.variable(variable) {
            let path = Path::new(home).join("bin").join(tool);
            return if is_executable(&path) {
                Ok(path)
            } else {
                Err(MavenError::NoTool {
                    tool,
                    place: format!("in {} ({variable})", Path::new(home).join("bin").display()),
                })
            };
        }
    }
    environment.look_up(tool).ok_or_else(|| MavenError::NoTool {
        tool,
        place: "on PATH".to_owned(),
    })
}

/// Asks the compiler for its release: it prints `javac 17.0.15`.
async fn release_of(
    javac: &Path,
    environment: &Environment,
    needed: u32,
    cancel: &CancellationToken,
) -> Result<String, MavenError> {
    let ask = Run {
        program: javac,
        arguments: vec!["-version".into()],
        folder: None,
        environment,
        variables: Vec::new(),
        bound: SHORT,
    };
    let ended = run(&ask, cancel, |_| ()).await?;
    let text = format!("{}\n{}", ended.stdout, ended.stderr);
    let said = text.lines().find_map(|line| line.trim().strip_prefix("javac "));
    let major = said.and_then(major);
    match (said, major) {
        (Some(said), Some(major)) if ended.status.success() && major >= needed => Ok(said.to_owned()),
        _ => Err(MavenError::TooOld {
            program: javac.to_owned(),
            said: text
                .lines()
                .find(|line| !line.trim().is_empty())
                .unwrap_or_default()
                .trim()
                .to_owned(),
            needed,
        }),
    }
}

/// The feature release: 17 of `17.0.15` and of `17-ea`, 8 of `1.8.0_402`.
fn major(release: &str) -> Option<u32> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    match numbers.next()?.ok()? {
        1 => numbers.next()?.ok(),
        major => Some(major),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("17.0.15", Some(17))]
    #[case("25", Some(25))]
    #[case("26-ea", Some(26))]
    #[case("1.8.0_402", Some(8))]
    #[case("unknown", None)]
    fn the_feature_release_is_read(#[case] text: &str, #[case] expected: Option<u32>) {
        assert_eq!(major(text), expected);
    }
}
