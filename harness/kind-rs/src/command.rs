//! One run of the CLI: bounded, and killed with everything it started when it is no longer wanted.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::error::KindError;
use crate::reason::Reason;
use crate::step::{Step, StepState};

/// A command to be run.
#[derive(Debug)]
pub(crate) struct Invocation {
    /// The program: kind, or what starts it.
    pub(crate) program: PathBuf,
    /// All of its arguments.
    pub(crate) arguments: Vec<OsString>,
    /// What is set in its environment, over what is inherited.
    pub(crate) variables: Vec<(OsString, OsString)>,
    /// What it reads from standard input.
    pub(crate) input: String,
    /// How long it may take.
    pub(crate) bound: Duration,
}

/// What a command printed.
#[derive(Debug)]
pub(crate) struct Printed {
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
}

impl Invocation {
    /// The command, as one would type it.
    pub(crate) fn typed(&self) -> String {
        let mut words = vec![self.program.to_string_lossy().into_owned()];
        for argument in &self.arguments {
            let argument = argument.to_string_lossy();
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:@,".contains(c);
            words.push(if !argument.is_empty() && argument.chars().all(plain) {
                argument.into_owned()
            } else {
                format!("'{}'", argument.replace('\'', r"'\''"))
            });
        }
        words.join(" ")
    }

    /// Runs it to its end; `step` hears of its steps. Dropping the future kills its process group.
    pub(crate) async fn run(&self, mut step: impl FnMut(&Step)) -> Result<Printed, KindError> {
        let mut child = self.spawn()?;
        let mut group = Group::of(&child);
        let mut at = None;
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let ended = tokio::time::timeout(
            self.bound,
            talk(&mut child, &self.input, &mut out, &mut err, |line| {
                if let Some(read) = Step::read(line) {
                    at = (read.state == StepState::Begun).then(|| read.name.clone());
                    step(&read);
                }
            }),
        )
        .await;
        let status = match ended {
            Ok(Ok(status)) => status,
            Ok(Err(source)) => {
                group.end(&mut child).await;
                return Err(KindError::Pipe {
                    command: self.typed(),
                    source,
                });
            }
            Err(_) => {
                group.end(&mut child).await;
                return Err(KindError::Bound {
                    command: self.typed(),
                    bound: self.bound,
                    step: at,
                });
            }
        };
        group.over();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let printed = Printed {
            out: text(&out),
            err: text(&err),
        };
        if status.success() {
            Ok(printed)
        } else {
            Err(KindError::Failed {
                command: self.typed(),
                reason: Reason::read(&printed.err),
            })
        }
    }

    fn spawn(&self) -> Result<Child, KindError> {
        Command::new(&self.program)
            .args(&self.arguments)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // The clients of the engine that kind starts are to end with it.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| KindError::Start {
                program: self.program.clone(),
                source,
            })
    }
}

/// Gives a process its input and takes its output until it has ended.
async fn talk(
    child: &mut Child,
    input: &str,
    out: &mut Vec<u8>,
    err: &mut Vec<u8>,
    mut line: impl FnMut(&str),
) -> io::Result<ExitStatus> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let write = async {
        if let Some(mut pipe) = stdin {
            match pipe.write_all(input.as_bytes()).await {
                // It may fail before it reads; its own reason is the better one.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
                other => other?,
            }
        }
        io::Result::Ok(())
    };
    let read_out = async {
        if let Some(mut pipe) = stdout {
            pipe.read_to_end(out).await?;
        }
        io::Result::Ok(())
    };
    let read_err = async {
        if let Some(pipe) = stderr {
            let mut pipe = BufReader::new(pipe);
            loop {
                let from = err.len();
                if pipe.read_until(b'\n', err).await? == 0 {
                    break;
                }
                line(&String::from_utf8_lossy(&err[from..]));
            }
        }
        io::Result::Ok(())
    };
    tokio::try_join!(write, read_out, read_err)?;
    child.wait().await
}

/// A process group, killed when dropped before its end.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }

    /// It ended by itself.
    fn over(&mut self) {
        self.0 = None;
    }

    /// Kills it, and reaps the child.
    async fn end(&mut self, child: &mut Child) {
        self.kill();
        // The only failure is that it was reaped already.
        let _ = child.wait().await;
        self.over();
    }

    fn kill(&self) {
        if let Some(group) = self.0 {
            // No such group any more is what is wanted.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}
