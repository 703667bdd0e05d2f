//! A supervised child process: it never outlives the harness, and its end is always accounted for.
//!
//! Each child leads a process group of its own, so that what it started goes with it, and asks the
//! kernel for SIGKILL when its parent ends (`setpriv --pdeathsig KILL`, util-linux), so that even a
//! killed harness leaves nothing behind. The kernel sends that signal when the *thread* that started
//! the child ends, so each child has a thread that starts it, waits for its end and reaps it.
//!
//! A program that is in an image runs in a container instead, and is told and asked the same things.

pub(super) mod container;
mod words;

pub use container::Image;

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, getpgid, kill_process_group, waitid};
use tokio::sync::{oneshot, watch};

/// Longest that dropping a process waits for its end after SIGKILL.
const DROP_BOUND: Duration = Duration::from_secs(5);
/// Most of a log's start and end that is read for the cause, in bytes each.
const LOG_PART: u64 = 256 * 1024;

/// What to run.
#[derive(Debug, Clone)]
pub struct Program {
    /// Name for messages, for example `prometheus`.
    pub name: String,
    /// The executable.
    pub executable: Executable,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// The folder it runs in.
    pub folder: PathBuf,
    /// File that standard error is appended to, and standard output too unless it has a file of its own.
    pub log: PathBuf,
    /// File that standard output is appended to.
    pub output: Option<PathBuf>,
    /// What it finds in its environment, beside PATH and TMPDIR.
    pub environment: Vec<(String, String)>,
}

/// What is executed.
#[derive(Debug, Clone)]
pub struct Executable {
    /// The file, on this machine or in the image.
    pub path: PathBuf,
    /// The image that it is in; none where it is on this machine.
    pub image: Option<Image>,
}

impl From<PathBuf> for Executable {
    fn from(path: PathBuf) -> Self {
        Self { path, image: None }
    }
}

/// Why a process could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The file for its output cannot be opened.
    #[error("{source}: {name} cannot be started because its log {path} cannot be written", path = .path.display())]
    Log {
        /// Name of the program.
        name: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The system does not start it.
    #[error("{why}: {name} cannot be started")]
    Start {
        /// Name of the program.
        name: String,
        /// Why, with the remedy where there is one.
        why: String,
    },
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It exited with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// Nobody can say: the container's engine no longer answers for it.
    Unknown,
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited with code {code}"),
            Self::Signal(9) => f.write_str("was killed from outside by signal 9, as when memory runs out"),
            Self::Signal(signal) => write!(f, "was ended by signal {signal}"),
            Self::Unknown => f.write_str("is gone, and the container engine does not say how it ended"),
        }
    }
}

/// The end of a process that was to go on, with its own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obituary {
    /// Name of the program.
    pub name: String,
    /// How it ended.
    pub end: End,
    /// What its log gives as the cause, if it says anything.
    pub cause: Option<String>,
    /// Its log.
    pub log: PathBuf,
}

impl std::fmt::Display for Obituary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let log = self.log.display();
        match &self.cause {
            Some(cause) => write!(f, "{}: {cause} ({}; log: {log})", self.name, self.end),
            None => write!(f, "{} {} (log: {log})", self.name, self.end),
        }
    }
}

/// A running (or ended) child process. Dropping it kills its group and waits for its end.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    log_from: u64,
    ended: watch::Receiver<Option<End>>,
    body: Body,
}

/// What holds a process, and ends it when it is dropped.
#[derive(Debug)]
enum Body {
    Child(Child),
    Container(Box<container::Container>),
}

/// A child of this process.
#[derive(Debug)]
struct Child {
    pid: Pid,
    /// True once the process was reaped; its group's number may belong to someone else from then on.
    reaped: Arc<Mutex<bool>>,
    /// Closed when the thread of the process is done.
    done: Mutex<Receiver<()>>,
}

impl Process {
    /// Starts a program.
    pub async fn start(program: Program) -> Result<Self, ProcessError> {
        let Program {
            name,
            executable,
            arguments,
            folder,
            log,
            output,
            environment,
        } = program;
        let open = |path: &Path| {
            open_log(path).map_err(|source| ProcessError::Log {
                name: name.clone(),
                path: path.to_owned(),
                source,
            })
        };
        let (log_file, log_from) = open(&log)?;
        let stdout = match &output {
            Some(path) => open(path)?.0,
            None => log_file.try_clone().map_err(|source| ProcessError::Log {
                name: name.clone(),
                path: log.clone(),
                source,
            })?,
        };
        if let Some(image) = executable.image {
            let what = container::Contained {
                name: &name,
                image,
                path: &executable.path,
                arguments,
                folder: &folder,
                environment,
                output: stdout,
                error: log_file,
            };
            let (container, ended) = container::start(what).await?;
            return Ok(Self {
                name,
                log,
                log_from,
                ended,
                body: Body::Container(Box::new(container)),
            });
        }
        let executable = executable.path;
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(&executable)
            .args(&arguments)
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(log_file)
            .process_group(0)
            // What the user's shell exports (GOGC, proxies, amtool's own configuration) is no part of
            // what the deploy tree declares.
            .env_clear()
            .envs(
                ["PATH", "TMPDIR"]
                    .into_iter()
                    .filter_map(|name| Some((name, std::env::var_os(name)?))),
            )
            .envs(environment);

        let failed = |why: String| ProcessError::Start {
            name: name.clone(),
            why,
        };
        let (started, start) = oneshot::channel();
        let (end, ended) = watch::channel(None);
        let (done_by_thread, done) = channel();
        let reaped = Arc::new(Mutex::new(false));
        let supervision = Supervision {
            started,
            end,
            reaped: Arc::clone(&reaped),
            _done: done_by_thread,
        };
        std::thread::Builder::new()
            .name(format!("waits for {name}"))
            .spawn(move || supervise(command, supervision))
            .map_err(|error| failed(format!("no thread can be started ({error})")))?;
        let pid = match start.await {
            Ok(Ok(pid)) => pid,
            Ok(Err(error)) => return Err(failed(start_failure(&error, &folder))),
            Err(_) => return Err(failed("the thread that starts it ended".to_owned())),
        };
        Ok(Self {
            name,
            log,
            log_from,
            ended,
            body: Body::Child(Child {
                pid,
                reaped,
                done: Mutex::new(done),
            }),
        })
    }

    /// Its process id, none in a container that ended before it was asked for it.
    fn pid(&self) -> Option<Pid> {
        match &self.body {
            Body::Child(child) => Some(child.pid),
            Body::Container(container) => container.pid(),
        }
    }

    /// Its process id, as this machine has it; 0 in a container that ended at once.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.pid()
            .map_or(0, |pid| pid.as_raw_nonzero().get().unsigned_abs())
    }

    /// Whether the process of this id is this one or one that it started: they are in its group.
    #[must_use]
    pub fn leads(&self, id: u32) -> bool {
        let id = i32::try_from(id).ok().and_then(Pid::from_raw);
        let (Some(id), Some(leader)) = (id, self.pid()) else {
            return false;
        };
        id == leader || getpgid(Some(id)) == Ok(leader)
    }

    /// Its log.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// How it ended, none while it runs.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        *self.ended.borrow()
    }

    /// Waits until it has ended.
    pub async fn ended(&self) -> End {
        let mut ended = self.ended.clone();
        loop {
            if let Some(end) = *ended.borrow_and_update() {
                return end;
            }
            if ended.changed().await.is_err() {
                // The thread is gone without an account: nobody can say more than that it ended.
                return self.end().unwrap_or(End::Signal(0));
            }
        }
    }

    /// Waits until it has ended by itself, and says why.
    pub async fn died(&self) -> Obituary {
        let end = self.ended().await;
        self.obituary(end)
    }

    /// Its end in its own words.
    #[must_use]
    pub fn obituary(&self, end: End) -> Obituary {
        let log = self.words();
        let cause = match end {
            // Who is killed from outside cannot say why; what it logged before has another reason.
            End::Signal(_) | End::Unknown => words::panic(&log),
            End::Code(_) => words::cause(&log),
        };
        Obituary {
            name: self.name.clone(),
            end,
            cause,
            log: self.log.clone(),
        }
    }

    /// What it has logged since it was started; of a long log its start and end.
    #[must_use]
    pub fn words(&self) -> String {
        read_log(&self.log, self.log_from).unwrap_or_default()
    }

    /// Stops it in an orderly way: SIGTERM to its group, SIGKILL after `bound`. The end says which it was.
    pub async fn stop(&self, bound: Duration) -> End {
        self.signal(Signal::TERM).await;
        match tokio::time::timeout(bound, self.ended()).await {
            Ok(end) => end,
            Err(_) => self.kill().await,
        }
    }

    /// Kills its group with SIGKILL and waits for its end.
    pub async fn kill(&self) -> End {
        self.signal(Signal::KILL).await;
        self.ended().await
    }

    async fn signal(&self, signal: Signal) {
        match &self.body {
            Body::Child(child) => child.signal(signal),
            Body::Container(container) => container.signal(signal).await,
        }
    }
}

impl Child {
    fn signal(&self, signal: Signal) {
        let reaped = self.reaped.lock().unwrap_or_else(PoisonError::into_inner);
        if !*reaped {
            // The group is there as long as its leader is not reaped; a leader that already ended
            // takes no signal, which is what was wanted.
            let _ = kill_process_group(self.pid, signal);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        // Closed (an error) is the good end; out of time means a process that even SIGKILL does not
        // end, stuck in the kernel, which nobody here can help.
        let _ = done.recv_timeout(DROP_BOUND);
    }
}

/// What the thread of a process reports to.
struct Supervision {
    started: oneshot::Sender<std::io::Result<Pid>>,
    end: watch::Sender<Option<End>>,
    reaped: Arc<Mutex<bool>>,
    _done: Sender<()>,
}

fn supervise(mut command: Command, supervision: Supervision) {
    let spawned = command.spawn();
    // The log files of the parent's side are closed with the command.
    drop(command);
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => {
            let _ = supervision.started.send(Err(error));
            return;
        }
    };
    let pid = Pid::from_child(&child);
    if supervision.started.send(Ok(pid)).is_err() {
        // Whoever asked for it is gone already.
        let _ = kill_process_group(pid, Signal::KILL);
    }
    // NOWAIT leaves the ended process in place until its group has been killed, so that the group's
    // number cannot have gone to someone else.
    while matches!(
        waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT),
        Err(Errno::INTR)
    ) {}
    let status = {
        let mut reaped = supervision.reaped.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = kill_process_group(pid, Signal::KILL);
        let status = child.wait();
        *reaped = true;
        status
    };
    let end = status.map_or(End::Signal(0), |status| {
        use std::os::unix::process::ExitStatusExt;
        status
            .code()
            .map_or_else(|| End::Signal(status.signal().unwrap_or(0)), End::Code)
    });
    supervision.end.send_replace(Some(end));
}

fn start_failure(error: &std::io::Error, folder: &Path) -> String {
    if error.kind() == std::io::ErrorKind::NotFound && folder.is_dir() {
        "setpriv is not on PATH; install util-linux, whose setpriv makes servers end with the harness"
            .to_owned()
    } else {
        format!("{error} (in {})", folder.display())
    }
}

fn open_log(path: &Path) -> std::io::Result<(File, u64)> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let length = file.metadata()?.len();
    Ok((file, length))
}

fn read_log(path: &Path, from: u64) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(from))?;
    if length.saturating_sub(from) <= 2 * LOG_PART {
        file.read_to_end(&mut bytes)?;
    } else {
        Read::by_ref(&mut file).take(LOG_PART).read_to_end(&mut bytes)?;
        bytes.extend_from_slice(b"\n...\n");
        file.seek(SeekFrom::Start(length - LOG_PART))?;
        file.read_to_end(&mut bytes)?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::{Look, Wait};
    use rustix::process::test_kill_process;
    use std::fs;
    use std::os::unix::process::ExitStatusExt;

    const BOUND: Duration = Duration::from_secs(10);

    fn shell(folder: &Path, script: &str) -> Program {
        Program {
            name: "child".into(),
            executable: PathBuf::from("/bin/sh").into(),
            arguments: vec!["-c".into(), script.into()],
            folder: folder.to_owned(),
            log: folder.join("child.log"),
            output: None,
            environment: Vec::new(),
        }
    }

    async fn numbers(process: &Process, count: usize) -> Vec<Pid> {
        Wait::new("the child's words", BOUND)
            .until(|| async {
                let words = process.words();
                let pids: Vec<Pid> = words
                    .lines()
                    .filter_map(|line| Pid::from_raw(line.trim().parse().ok()?))
                    .collect();
                if pids.len() >= count {
                    Look::Ready(pids)
                } else {
                    Look::Missing(words)
                }
            })
            .await
            .unwrap()
    }

    /// Whether the process is gone; one that ended but whose parent has not reaped it counts as gone.
    fn gone(pid: Pid) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
        test_kill_process(pid).is_err() || stat.is_ok_and(|stat| stat.contains(") Z "))
    }

    async fn wait_gone(pids: &[Pid]) {
        Wait::new("processes gone", BOUND)
            .until(|| async {
                match pids.iter().find(|pid| !gone(**pid)) {
                    Some(pid) => Look::Missing(format!("{pid:?} is alive")),
                    None => Look::Ready(()),
                }
            })
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn grandchildren_die_with_the_child() {
        let folder = tempfile::tempdir().unwrap();
        let process = Process::start(shell(folder.path(), "sleep 1000 & echo $!; echo $$; wait"))
            .await
            .unwrap();
        let pids = numbers(&process, 2).await;
        assert!(pids.iter().all(|pid| !gone(*pid)));
        assert_eq!(process.kill().await, End::Signal(9));
        wait_gone(&pids).await;
    }

    #[tokio::test]
    async fn grandchildren_die_when_the_child_ends_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let process = Process::start(shell(folder.path(), "sleep 1000 & echo $!"))
            .await
            .unwrap();
        let pids = numbers(&process, 1).await;
        assert_eq!(process.ended().await, End::Code(0));
        wait_gone(&pids).await;
    }

    #[tokio::test]
    async fn dropping_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let process = Process::start(shell(
            folder.path(),
            "trap '' TERM; sleep 1000 & echo $!; echo $$; wait",
        ))
        .await
        .unwrap();
        let pids = numbers(&process, 2).await;
        let leader = process.pid().unwrap();
        drop(process);
        assert!(
            test_kill_process(leader).is_err(),
            "the child is reaped when drop returns"
        );
        wait_gone(&pids).await;
    }

    #[tokio::test]
    async fn the_kernel_kills_a_child_whose_parent_ends() {
        let folder = tempfile::tempdir().unwrap();
        let program = shell(folder.path(), "exec sleep 1000");
        // To the kernel the parent is the thread that starts the child, and this one ends at once.
        let mut child = std::thread::spawn(move || {
            let child = Command::new("setpriv")
                .args(["--pdeathsig", "KILL", "--"])
                .arg(&program.executable.path)
                .args(&program.arguments)
                .spawn()
                .unwrap();
            // The kernel is asked before the program runs, so the parent must not end earlier.
            let name = format!("/proc/{}/comm", child.id());
            while fs::read_to_string(&name).is_ok_and(|name| name.trim() != "sleep") {
                std::thread::yield_now();
            }
            child
        })
        .join()
        .unwrap();
        let end = tokio::task::spawn_blocking(move || child.wait());
        let status = tokio::time::timeout(BOUND, end).await.unwrap().unwrap().unwrap();
        assert_eq!(status.signal(), Some(9));
    }

    #[tokio::test]
    async fn a_child_that_exits_at_start_is_reported_with_its_words() {
        let folder = tempfile::tempdir().unwrap();
        let script = r#"echo 'level=INFO msg="Starting"'; echo 'level=ERROR msg="Error loading config" err="line 1: field gobal not found"' >&2; exit 2"#;
        let process = Process::start(shell(folder.path(), script)).await.unwrap();
        let obituary = process.died().await;
        assert_eq!(obituary.end, End::Code(2));
        assert_eq!(
            obituary.to_string(),
            format!(
                "child: Error loading config: line 1: field gobal not found (exited with code 2; log: {})",
                folder.path().join("child.log").display()
            )
        );
    }

    #[tokio::test]
    async fn an_executable_that_is_missing_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let mut program = shell(folder.path(), "");
        program.executable = PathBuf::from("/nowhere/prometheus").into();
        let obituary = Process::start(program).await.unwrap().died().await;
        let text = obituary.to_string();
        assert!(
            text.contains("/nowhere/prometheus") && text.contains("No such file"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn stopping_is_orderly_first_and_forceful_in_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let orderly = shell(
            folder.path(),
            "trap 'echo bye; exit 0' TERM; echo $$; while :; do sleep 0.01; done",
        );
        let process = Process::start(orderly).await.unwrap();
        numbers(&process, 1).await;
        assert_eq!(process.stop(BOUND).await, End::Code(0));
        assert!(process.words().contains("bye"));

        let stubborn = shell(
            folder.path(),
            "trap '' TERM; echo $$; while :; do sleep 0.01; done",
        );
        let process = Process::start(stubborn).await.unwrap();
        numbers(&process, 1).await;
        assert_eq!(process.stop(Duration::from_millis(50)).await, End::Signal(9));
    }

    #[tokio::test]
    async fn a_restart_reads_only_its_own_words() {
        let folder = tempfile::tempdir().unwrap();
        let first = Process::start(shell(folder.path(), "echo error: first; exit 1"))
            .await
            .unwrap();
        assert_eq!(first.died().await.cause.as_deref(), Some("error: first"));
        let second = Process::start(shell(folder.path(), "exit 1")).await.unwrap();
        assert_eq!(second.died().await.cause, None);
    }

    #[tokio::test]
    async fn output_can_have_a_file_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let mut program = shell(folder.path(), "echo out; echo err >&2");
        program.output = Some(folder.path().join("out"));
        let process = Process::start(program).await.unwrap();
        process.ended().await;
        assert_eq!(fs::read_to_string(folder.path().join("out")).unwrap(), "out\n");
        assert_eq!(process.words(), "err\n");
    }
}
