//! Runs a tool to its end in a process group of its own, so that an
//! interruption ends the whole tree of processes it started.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::environment::Environment;
use crate::units::format_duration;
use crate::wait::{Look, Wait, until_scheduled};

/// How often a long run is told about.
pub(super) const TICK: Duration = Duration::from_secs(15);

/// A tool's run to be.
#[derive(Debug)]
pub(super) struct Run<'a> {
    /// The program.
    pub(super) program: &'a Path,
    /// Its arguments.
    pub(super) arguments: Vec<OsString>,
    /// Folder it runs in.
    pub(super) folder: Option<&'a Path>,
    /// The whole environment it gets.
    pub(super) environment: &'a Environment,
    /// Variables set besides, over those of the environment.
    pub(super) variables: Vec<(&'static str, OsString)>,
    /// How long it may take.
    pub(super) bound: Duration,
}

/// How a tool ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// Its exit status.
    pub(super) status: ExitStatus,
    /// Standard output.
    pub(super) stdout: String,
    /// Standard error.
    pub(super) stderr: String,
}

/// Why a tool did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunError {
    /// It does not start.
    #[error("{program} does not start: {source}", program = .program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It took too long and was killed.
    #[error("{program} was not done after {} and was killed", format_duration(*.bound), program = .program.display())]
    Bound {
        /// The program.
        program: PathBuf,
        /// The bound.
        bound: Duration,
    },
    /// What it wrote cannot be read.
    #[error("what {program} writes cannot be read: {source}", program = .program.display())]
    Read {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The run was interrupted.
    #[error("interrupted")]
    Interrupted,
}

/// Runs a tool to its end, its bound or the interruption, whichever is first; `tick` hears every
/// 15 s how long it has been running. Dropping the future kills the tool's process group.
pub(super) async fn run(
    run: &Run<'_>,
    cancel: &CancellationToken,
    mut tick: impl FnMut(Duration),
) -> Result<Ended, RunError> {
    let program = run.program.to_owned();
    let begin = Instant::now();
    let mut child = spawn(run).await?;
    let mut group = Group::of(&child);
    let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let stop = {
        let end = async {
            let read_out = async {
                if let Some(pipe) = out.as_mut() {
                    pipe.read_to_end(&mut stdout).await?;
                }
                io::Result::Ok(())
            };
            let read_err = async {
                if let Some(pipe) = err.as_mut() {
                    pipe.read_to_end(&mut stderr).await?;
                }
                io::Result::Ok(())
            };
            tokio::try_join!(read_out, read_err)?;
            child.wait().await
        };
        tokio::pin!(end);
        let mut next = begin + TICK;
        loop {
            let bound = begin + run.bound;
            tokio::select! {
                ended = &mut end => break Ok(ended),
                () = cancel.cancelled() => break Err(RunError::Interrupted),
                () = until_scheduled(next.min(bound)) => {
                    if Instant::now() >= bound {
                        break Err(RunError::Bound { program: program.clone(), bound: run.bound });
                    }
                    tick(begin.elapsed());
                    next += TICK;
                }
            }
        }
    };
    match stop {
        Ok(Ok(status)) => {
            group.over();
            let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
            Ok(Ended {
                status,
                stdout: text(stdout),
                stderr: text(stderr),
            })
        }
        Ok(Err(source)) => {
            group.end(&mut child).await;
            Err(RunError::Read { program, source })
        }
        Err(why) => {
            group.end(&mut child).await;
            Err(why)
        }
    }
}

/// Starts it. A file written a moment ago may still be open for writing in a child that another
/// thread is just about to start (between its fork and its exec): that passes, so it is tried again.
async fn spawn(run: &Run<'_>) -> Result<Child, RunError> {
    let mut command = Command::new(run.program);
    command
        .args(&run.arguments)
        .env_clear()
        .envs(run.environment.variables())
        .envs(run.variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    if let Some(folder) = run.folder {
        command.current_dir(folder);
    }
    let mut last = None;
    let started = Wait::new("the program file is free to run", Duration::from_secs(2))
        .until(|| {
            let look = match command.spawn() {
                Ok(child) => Look::Ready(Ok(child)),
                Err(busy) if busy.kind() == io::ErrorKind::ExecutableFileBusy => {
                    let text = busy.to_string();
                    last = Some(busy);
                    Look::Missing(text)
                }
                Err(other) => Look::Ready(Err(other)),
            };
            std::future::ready(look)
        })
        .await;
    let source = match started {
        Ok(Ok(child)) => return Ok(child),
        Ok(Err(source)) => source,
        Err(wait) => last.unwrap_or_else(|| io::Error::other(wait.to_string())),
    };
    Err(RunError::Start {
        program: run.program.to_owned(),
        source,
    })
}

/// A tool's process group, killed when dropped before its end.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }

    /// The tool ended by itself.
    fn over(&mut self) {
        self.0 = None;
    }

    /// Kills the group and waits until nothing of it is left, so that what it wrote can be removed.
    async fn end(&mut self, child: &mut Child) {
        let Some(group) = self.0.take() else {
            return;
        };
        // No such group any more is what is wanted.
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
        let wait = Wait::new("the killed process group is gone", Duration::from_secs(2));
        let gone = wait.until(|| {
            let reaped = matches!(child.try_wait(), Ok(Some(_)) | Err(_));
            let empty = rustix::process::test_kill_process_group(group).is_err();
            std::future::ready(if reaped && empty {
                Look::Ready(())
            } else {
                Look::Missing("some of its processes".to_owned())
            })
        });
        // Where nobody reaps orphans, dead ones keep the group's name: they write nothing more.
        if let Err(still) = gone.await {
            tracing::debug!("{still}");
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell<'a>(script: &str, environment: &'a Environment, bound: Duration) -> Run<'a> {
        Run {
            program: Path::new("/bin/sh"),
            arguments: vec!["-c".into(), script.into()],
            folder: None,
            environment,
            variables: vec![("SAID", "this".into())],
            bound,
        }
    }

    #[tokio::test]
    async fn output_and_status_come_back() {
        let environment = Environment::new([("PATH", "/usr/bin:/bin")], 1);
        let shell = shell(
            "echo $SAID; echo that >&2; exit 3",
            &environment,
            Duration::from_secs(10),
        );
        let ended = run(&shell, &CancellationToken::new(), |_| ()).await.unwrap();
        assert_eq!(
            (ended.status.code(), ended.stdout.as_str(), ended.stderr.as_str()),
            (Some(3), "this\n", "that\n")
        );
    }

    #[tokio::test]
    async fn a_bound_kills_grandchildren_too() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let environment = Environment::new([("PATH", "/usr/bin:/bin")], 1);
        let script = format!("sleep 600 & echo $! > {}; wait", pid.display());
        let shell = shell(&script, &environment, Duration::from_millis(400));
        let error = run(&shell, &CancellationToken::new(), |_| ()).await.unwrap_err();
        assert!(matches!(error, RunError::Bound { .. }), "{error}");
        let pid: i32 = std::fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
        // Gone, or dead and waiting to be reaped.
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        assert!(stat.is_empty() || stat.contains(") Z "), "{stat}");
    }
}
