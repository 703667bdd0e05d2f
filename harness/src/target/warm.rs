//! Warm stacks: a keeper process brings a stack up and keeps it, so that later runs need not.
//!
//! The keeper says what it keeps in a state file; a run that finds it, alive and rendered from the
//! same deploy tree, uses its servers and starts clones of its own beside them. What a keeper that
//! was killed leaves behind is removed by whoever looks next.

mod state;

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use sha2::{Digest, Sha256};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use url::Url;

pub use state::{WarmServer, WarmStack};

use super::folder::{self, Owner, RunFolder};
use super::local::{LocalStack, artifacts_folder, played, with_servers};
use super::needs::Needs;
use super::server::Ready;
use super::workshop::{Data, Grounds, LocalWorkshop};
use super::{TargetError, UpRequest};
use crate::clock;
use crate::component::ClientError;
use crate::component::alertmanager::Alertmanager;
use crate::component::collector::Collector;
use crate::component::elasticsearch::Elasticsearch;
use crate::component::jaeger::Jaeger;
use crate::component::loki::Loki;
use crate::component::prometheus::Prometheus;
use crate::component::receiver::Receiver;
use crate::deploy::DeployTree;
use crate::progress::Progress;
use crate::render::Addresses;
use crate::runner::Died;
use crate::seed::Seed;
use crate::shapes::Shapes;
use crate::stack::Stack;
use crate::wait::{Look, Wait, WaitError};
use state::{Phase, State};

/// End of a state file's name.
const STATE: &str = ".warm.json";
/// Longest that a keeper may take to take its stack down.
const DOWN_BOUND: Duration = Duration::from_secs(20);

/// Why a warm stack cannot be kept, asked about or taken down.
#[derive(Debug, thiserror::Error)]
pub enum WarmError {
    /// One of the same name runs.
    #[error("a warm stack runs already (keeper {pid}, {path}); take it down first, or give another name", path = .path.display())]
    Running {
        /// The keeper's process id.
        pid: u32,
        /// The state file.
        path: PathBuf,
    },
    /// The state file cannot be read or written.
    #[error("{source}: the warm stack's state {path} cannot be used; remove the file if no keeper runs", path = .path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The stack did not come up.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The stack came to an end by itself, or did not come up in the keeper's process.
    #[error("{0}")]
    Failed(String),
    /// The keeper cannot be started, told to stop, or told apart.
    #[error("{why}: the keeper of the warm stack cannot be {doing}")]
    Keeper {
        /// What was tried.
        doing: &'static str,
        /// Why.
        why: String,
    },
    /// The keeper does not come to an end or up.
    #[error(transparent)]
    Wait(#[from] WaitError),
}

/// How a warm stack is.
#[derive(Debug, Clone, PartialEq)]
pub enum Status {
    /// There is none.
    Absent,
    /// Its servers are being started.
    Starting {
        /// The keeper's process id.
        pid: u32,
    },
    /// It is up.
    Up {
        /// The keeper's process id.
        pid: u32,
        /// What it keeps.
        stack: Box<WarmStack>,
    },
    /// It did not come up or came to an end by itself; the cause first.
    Failed(String),
    /// Its keeper was killed.
    Dead {
        /// The keeper's process id.
        pid: u32,
    },
}

/// What taking a warm stack down came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Down {
    /// There was none.
    Absent,
    /// It was taken down.
    Stopped,
    /// Its keeper had ended before; what it left was removed.
    Swept,
}

/// The state file of the warm stack called `name`, in the folder for runs.
#[must_use]
pub fn state_file(runs: &Path, name: &str) -> PathBuf {
    runs.join(format!("{name}{STATE}"))
}

/// The names of the warm stacks that have a state file, in order.
pub fn names(runs: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(runs) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        let file = entry?.file_name();
        if let Some(name) = file.to_str().and_then(|file| file.strip_suffix(STATE)) {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Removes what dead runs and killed keepers left in the folder for runs; what was removed.
pub fn sweep(runs: &Path) -> io::Result<Vec<PathBuf>> {
    let mut swept = folder::sweep(runs)?;
    for name in names(runs)? {
        let path = state_file(runs, &name);
        // A failed keeper's file stays: it says why.
        if let Ok(Some(state)) = State::read(&path)
            && !state.keeper.alive()
            && !matches!(state.phase, Phase::Failed(_))
        {
            clear(&path, &state)?;
            swept.push(path);
        }
    }
    Ok(swept)
}

/// What a stack was made from, as one digest: the same for equal deploy trees and shapes.
#[must_use]
pub fn fingerprint(tree: &DeployTree, shapes: &Shapes) -> String {
    let mut digest = Sha256::new();
    digest.update(tree.fingerprint());
    // Shapes are plain data; if they could not be written, no two would fit, which only costs warmth.
    digest.update(serde_json::to_vec(shapes).unwrap_or_default());
    hex::encode(digest.finalize())
}

/// Starts the keeper as a process that outlives this one: `command` in a process group of its own,
/// its words appended to `log`. Its process id.
pub fn start_keeper(mut command: Command, log: &Path) -> Result<u32, WarmError> {
    let failed = |error: io::Error| WarmError::Keeper {
        doing: "started",
        why: error.to_string(),
    };
    if let Some(folder) = log.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .map_err(failed)?;
    let child = command
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(failed)?)
        .stderr(log)
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    Ok(child.id())
}

/// Waits until the keeper with process id `pid` has its stack up, at most for `bound`.
pub async fn wait_up(state_file: &Path, pid: u32, bound: Duration) -> Result<WarmStack, WarmError> {
    let Some(keeper) = Owner::of(pid) else {
        return match status(state_file)? {
            Status::Failed(why) => Err(WarmError::Failed(why)),
            _ => Err(WarmError::Failed(format!("the keeper {pid} ended at once"))),
        };
    };
    let wait = Wait::new("the warm stack up", bound);
    Ok(*wait
        .until(|| async {
            // First alive, then the state: what it wrote before its end is not missed.
            let alive = keeper.alive();
            match status(state_file) {
                Ok(Status::Up { pid: by, stack }) if by == pid => Look::Ready(stack),
                Ok(Status::Failed(why)) => Look::Hopeless(why),
                Ok(Status::Up { pid: other, .. } | Status::Starting { pid: other })
                    if !alive && other != pid =>
                {
                    Look::Hopeless(format!("another keeper ({other}) has a warm stack of this name"))
                }
                _ if !alive => Look::Hopeless(format!("the keeper {pid} ended")),
                Ok(_) => Look::Missing("the keeper still starts it".to_owned()),
                Err(error) => Look::Missing(error.to_string()),
            }
        })
        .await?)
}

/// Brings a stack up and keeps it until it is told to stop (SIGTERM, SIGINT or the request's
/// `cancel`), then takes it down. For the keeper's process.
pub async fn keep(request: UpRequest, state_file: &Path) -> Result<(), WarmError> {
    let failed = |error: io::Error| WarmError::Keeper {
        doing: "prepared",
        why: error.to_string(),
    };
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let write = |state: &State, first| {
        state.write(state_file, first).map_err(|source| WarmError::State {
            path: state_file.to_owned(),
            source,
        })
    };
    claim(state_file)?;
    let mut state = State {
        keeper: Owner::this().map_err(failed)?,
        folder: std::path::absolute(&request.folder).map_err(failed)?,
        phase: Phase::Starting,
    };
    write(&state, true)?;

    let (fingerprint, seed) = (fingerprint(&request.tree, &request.shapes), request.seed);
    let needs = request.needs.clone();
    let cancel = request.cancel.clone();
    let up = tokio::select! {
        up = LocalStack::up(request) => up,
        _ = terminate.recv() => Err(TargetError::Interrupted),
        _ = interrupt.recv() => Err(TargetError::Interrupted),
    };
    let local = match up {
        Ok(local) => local,
        Err(TargetError::Interrupted) => {
            clear_or(state_file, &state)?;
            return Err(TargetError::Interrupted.into());
        }
        Err(error) => {
            state.phase = Phase::Failed(error.to_string());
            write(&state, false)?;
            return Err(error.into());
        }
    };
    local.folder().clone_into(&mut state.folder);
    state.phase = Phase::Up(Box::new(describe(&local, fingerprint, seed, needs)));
    write(&state, false)?;

    let death = tokio::select! {
        death = local.death() => Some(death),
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        () = cancel.cancelled() => None,
    };
    local.down().await;
    match death {
        None => clear_or(state_file, &state),
        Some(why) => {
            state.phase = Phase::Failed(why.clone());
            write(&state, false)?;
            Err(WarmError::Failed(why))
        }
    }
}

/// Makes way for a new keeper, unless one runs.
fn claim(state_file: &Path) -> Result<(), WarmError> {
    match read(state_file)? {
        Some(state) if state.keeper.alive() => Err(WarmError::Running {
            pid: state.keeper.pid,
            path: state_file.to_owned(),
        }),
        Some(state) => clear_or(state_file, &state),
        None => Ok(()),
    }
}

fn describe(local: &LocalStack, fingerprint: String, seed: Seed, needs: Needs) -> WarmStack {
    let stack = local.stack();
    WarmStack {
        fingerprint,
        seed,
        needs,
        since: clock::unix_seconds(),
        up_seconds: stack.up.as_secs_f64(),
        prometheus: stack.prometheus.base().clone(),
        prometheus_data: local.prometheus_data().to_owned(),
        alertmanager: stack.alertmanager.base().clone(),
        receiver: stack.receiver.base().clone(),
        elasticsearch: stack.elasticsearch.map(|server| server.base().clone()),
        jaeger: stack.jaeger.map(|server| server.endpoints().clone()),
        jaeger_adaptive: stack.jaeger_adaptive.map(|server| server.endpoints().clone()),
        collector: stack.collector.map(|server| server.endpoints().clone()),
        loki: stack.loki.map(|server| server.base().clone()),
        played: local.played().clone(),
        servers: local
            .servers()
            .into_iter()
            .map(|(name, process, log)| WarmServer { name, process, log })
            .collect(),
        executables: local.executables().clone(),
        components: stack.components,
        missing: stack.missing,
        changed_values: stack.changed_values,
    }
}

/// How the warm stack of a state file is.
pub fn status(state_file: &Path) -> Result<Status, WarmError> {
    let Some(State { keeper, phase, .. }) = read(state_file)? else {
        return Ok(Status::Absent);
    };
    let pid = keeper.pid;
    Ok(match phase {
        Phase::Failed(why) => Status::Failed(why),
        _ if !keeper.alive() => Status::Dead { pid },
        Phase::Starting => Status::Starting { pid },
        Phase::Up(stack) => Status::Up { pid, stack },
    })
}

/// Takes the warm stack of a state file down and waits until it is gone.
pub async fn down(state_file: &Path) -> Result<Down, WarmError> {
    let Some(state) = read(state_file)? else {
        return Ok(Down::Absent);
    };
    if !state.keeper.alive() {
        clear_or(state_file, &state)?;
        return Ok(Down::Swept);
    }
    tell(state.keeper, Signal::TERM)?;
    if gone(state.keeper).await.is_err() {
        tell(state.keeper, Signal::KILL)?;
        gone(state.keeper).await?;
    }
    // A keeper that had to be killed leaves its file and folder.
    clear_or(state_file, &state)?;
    Ok(Down::Stopped)
}

fn tell(keeper: Owner, signal: Signal) -> Result<(), WarmError> {
    let pid = i32::try_from(keeper.pid).ok().and_then(Pid::from_raw);
    match pid.map(|pid| kill_process(pid, signal)) {
        Some(Ok(())) => Ok(()),
        // It ended in between, which is what was wanted.
        _ if !keeper.alive() => Ok(()),
        Some(Err(error)) => Err(WarmError::Keeper {
            doing: "told to stop",
            why: error.to_string(),
        }),
        None => Err(WarmError::Keeper {
            doing: "told to stop",
            why: format!("{} is no process id", keeper.pid),
        }),
    }
}

async fn gone(keeper: Owner) -> Result<(), WaitError> {
    Wait::new("the warm stack's keeper gone", DOWN_BOUND)
        .until(|| async {
            if keeper.alive() {
                Look::Missing(format!("process {} runs", keeper.pid))
            } else {
                Look::Ready(())
            }
        })
        .await
}

fn read(state_file: &Path) -> Result<Option<State>, WarmError> {
    State::read(state_file).map_err(|source| WarmError::State {
        path: state_file.to_owned(),
        source,
    })
}

/// Removes a state file and the run folder it names, as far as they are there.
fn clear(state_file: &Path, state: &State) -> io::Result<()> {
    if folder::marked_by(&state.folder, state.keeper) {
        fs::remove_dir_all(&state.folder)?;
    }
    // Another keeper may have taken the name in between; its file is its own.
    let ours = State::read(state_file)?.is_some_and(|now| now.keeper == state.keeper);
    if !ours {
        return Ok(());
    }
    match fs::remove_file(state_file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn clear_or(state_file: &Path, state: &State) -> Result<(), WarmError> {
    clear(state_file, state).map_err(|source| WarmError::State {
        path: state_file.to_owned(),
        source,
    })
}

/// What a run needs to use a warm stack.
#[derive(Debug, Clone)]
pub struct AttachRequest {
    /// The deploy tree of the run.
    pub tree: Arc<DeployTree>,
    /// What the run's emission plays.
    pub shapes: Arc<Shapes>,
    /// What the run's cases need.
    pub needs: Needs,
    /// Folder for everything the run's clones write; removed with the last use of the stack.
    pub folder: PathBuf,
    /// Folder that keeps the clones' rendered configurations and logs.
    pub artifacts: PathBuf,
    /// Ends when the run is interrupted.
    pub cancel: CancellationToken,
    /// Where to say what is going on.
    pub progress: Progress,
}

/// A warm stack in use. Its clones run in this process; its shared servers are the keeper's.
#[derive(Clone)]
pub struct Attached {
    /// The stack.
    pub stack: Stack,
    /// Whether its shared servers can still be relied on.
    pub died: Died,
    /// Seed of what the keeper plays.
    pub seed: Seed,
}

impl std::fmt::Debug for Attached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attached")
            .field("stack", &self.stack)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

/// The warm stack of a state file, if it runs and was made from the same deploy tree and shapes. Why
/// one that is there is not used goes to the request's progress.
pub async fn attach(state_file: &Path, request: AttachRequest) -> Option<Attached> {
    let progress = request.progress.clone();
    match try_attach(state_file, request).await {
        Ok(attached) => attached,
        Err(why) => {
            progress.step("stack", format!("the warm stack is not used: {why}"));
            None
        }
    }
}

async fn try_attach(state_file: &Path, request: AttachRequest) -> Result<Option<Attached>, String> {
    let warm = match status(state_file).map_err(|error| error.to_string())? {
        Status::Absent => return Ok(None),
        Status::Up { stack, .. } => *stack,
        Status::Starting { pid } => return Err(format!("its keeper {pid} still starts it")),
        Status::Failed(why) => return Err(why),
        Status::Dead { pid } => {
            down(state_file).await.map_err(|error| error.to_string())?;
            return Err(format!("its keeper {pid} was killed; what it left is removed"));
        }
    };
    if warm.fingerprint != fingerprint(&request.tree, &request.shapes) {
        return Err(
            "it runs another deploy tree or other shapes; `conform down` and `conform up` renew it"
                .to_owned(),
        );
    }
    if let Some(lacking) = warm.needs.lacking(&request.needs) {
        return Err(format!(
            "it was started without {lacking}, which the cases need; `conform down` and `conform up` renew it"
        ));
    }
    let prometheus = Prometheus::new(warm.prometheus.clone()).map_err(|error| error.to_string())?;
    let alertmanager = Alertmanager::new(warm.alertmanager.clone()).map_err(|error| error.to_string())?;
    let receiver = Receiver::new(warm.receiver.clone()).map_err(|error| error.to_string())?;
    let words = |error: ClientError| error.to_string();
    let elasticsearch = warm
        .elasticsearch
        .clone()
        .map(Elasticsearch::new)
        .transpose()
        .map_err(words)?;
    let jaeger = warm.jaeger.clone().map(Jaeger::new).transpose().map_err(words)?;
    let jaeger_adaptive = warm
        .jaeger_adaptive
        .clone()
        .map(Jaeger::new)
        .transpose()
        .map_err(words)?;
    let collector = warm
        .collector
        .clone()
        .map(Collector::new)
        .transpose()
        .map_err(words)?;
    let loki = warm.loki.clone().map(Loki::new).transpose().map_err(words)?;
    tokio::try_join!(
        prometheus.ready(),
        alertmanager.ready(),
        ready(elasticsearch.as_ref()),
        ready(jaeger.as_ref()),
        ready(jaeger_adaptive.as_ref()),
        ready(collector.as_ref()),
        ready(loki.as_ref()),
    )
    .map_err(words)?;

    let folder = RunFolder::create(&request.folder).map_err(|error| {
        format!(
            "{error}: the run's folder {} cannot be made",
            request.folder.display()
        )
    })?;
    let artifacts =
        artifacts_folder(&request.artifacts).map_err(|failure| TargetError::from(failure).to_string())?;
    let grounds = Grounds::new(
        request.tree,
        request.shapes,
        warm.executables.clone(),
        Vec::new(),
        folder.path().to_owned(),
        request.cancel,
    );
    let (Some(prometheus_at), Some(alertmanager_at)) = (socket(&warm.prometheus), socket(&warm.alertmanager))
    else {
        return Err(format!(
            "{} or {} is no loopback address",
            warm.prometheus, warm.alertmanager
        ));
    };
    let played = Addresses {
        endpoints: played(&warm.played),
        receiver: Some(warm.receiver.clone()),
    };
    let addresses = with_servers(&played, prometheus_at, alertmanager_at);
    grounds.keeps_data(&prometheus, Data::Here(warm.prometheus_data.clone()));
    let workshop = LocalWorkshop::new(Arc::new(grounds), addresses, artifacts, Some(folder));
    let stack = Stack {
        prometheus,
        alertmanager,
        receiver,
        elasticsearch,
        jaeger,
        jaeger_adaptive,
        collector,
        loki,
        cluster: None,
        components: warm.components.clone(),
        missing: warm.missing.clone(),
        patience: 1,
        spared: false,
        changed_values: warm.changed_values.clone(),
        up: Duration::try_from_secs_f64(warm.up_seconds).unwrap_or_default(),
        workshop: Arc::new(workshop),
    };
    let path = state_file.to_owned();
    let (seed, servers) = (warm.seed, warm.servers);
    Ok(Some(Attached {
        stack,
        died: Arc::new(move || died(&path, &servers)),
        seed,
    }))
}

async fn ready(server: Option<&impl Ready>) -> Result<(), ClientError> {
    match server {
        Some(server) => server.ready().await,
        None => Ok(()),
    }
}

fn socket(url: &Url) -> Option<std::net::SocketAddr> {
    url.socket_addrs(|| None).ok()?.first().copied()
}

/// Why a warm stack in use cannot be relied on any more: the keeper says it, or its processes are gone.
fn died(state_file: &Path, servers: &[WarmServer]) -> Option<String> {
    match status(state_file) {
        Ok(Status::Failed(why)) => return Some(why),
        Ok(Status::Dead { pid }) => {
            return Some(format!("the warm stack's keeper {pid} was killed during the run"));
        }
        Ok(Status::Absent | Status::Starting { .. }) => {
            return Some("the warm stack was taken down during the run".to_owned());
        }
        // A state that cannot be read says nothing about the servers.
        Ok(Status::Up { .. }) | Err(_) => {}
    }
    servers
        .iter()
        .find(|server| server.process.is_some_and(|process| !process.alive()))
        .map(|server| {
            format!(
                "{} of the warm stack is gone (log: {}); it ended while cases relied on it",
                server.name,
                server.log.display()
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    fn state(keeper: Owner, folder: &Path, phase: Phase) -> State {
        State {
            keeper,
            folder: folder.to_owned(),
            phase,
        }
    }

    /// A keeper of this process's number that ended long ago.
    fn dead() -> Owner {
        Owner {
            pid: std::process::id(),
            started_ticks: 1,
        }
    }

    #[tokio::test]
    async fn a_stale_state_and_its_folder_are_removed() {
        let runs = tempfile::tempdir().unwrap();
        let path = state_file(runs.path(), "default");
        let folder = runs.path().join("run");
        fs::create_dir_all(folder.join("data")).unwrap();
        folder::mark(&folder, dead()).unwrap();
        state(dead(), &folder, Phase::Starting)
            .write(&path, true)
            .unwrap();
        assert_eq!(
            status(&path).unwrap(),
            Status::Dead {
                pid: std::process::id()
            }
        );
        assert_eq!(down(&path).await.unwrap(), Down::Swept);
        assert_eq!(status(&path).unwrap(), Status::Absent);
        assert!(!folder.exists());
        assert_eq!(down(&path).await.unwrap(), Down::Absent);
    }

    #[test]
    fn sweeping_removes_what_killed_keepers_left_and_keeps_what_says_why() {
        let runs = tempfile::tempdir().unwrap();
        let folder = runs.path().join("none");
        let [killed, failed, alive] = ["killed", "failed", "alive"].map(|name| state_file(runs.path(), name));
        let failure = Phase::Failed("no space left on device".into());
        state(dead(), &folder, Phase::Starting)
            .write(&killed, true)
            .unwrap();
        state(dead(), &folder, failure).write(&failed, true).unwrap();
        state(Owner::this().unwrap(), &folder, Phase::Starting)
            .write(&alive, true)
            .unwrap();
        assert_eq!(names(runs.path()).unwrap(), ["alive", "failed", "killed"]);
        assert_eq!(sweep(runs.path()).unwrap(), [killed]);
        assert_eq!(names(runs.path()).unwrap(), ["alive", "failed"]);
        assert_eq!(
            status(&failed).unwrap(),
            Status::Failed("no space left on device".into())
        );
    }

    #[test]
    fn a_folder_that_is_not_the_keepers_is_not_removed() {
        let runs = tempfile::tempdir().unwrap();
        let path = state_file(runs.path(), "default");
        let precious = runs.path().join("precious");
        fs::create_dir_all(&precious).unwrap();
        let state = state(dead(), &precious, Phase::Starting);
        state.write(&path, true).unwrap();
        clear(&path, &state).unwrap();
        assert!(precious.exists() && !path.exists());
    }

    #[test]
    fn a_keeper_that_runs_is_not_replaced() {
        let runs = tempfile::tempdir().unwrap();
        let path = state_file(runs.path(), "default");
        state(Owner::this().unwrap(), runs.path(), Phase::Starting)
            .write(&path, true)
            .unwrap();
        let error = claim(&path).unwrap_err();
        assert!(
            matches!(error, WarmError::Running { pid, .. } if pid == std::process::id()),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_keeper_that_ends_at_once_is_not_waited_for() {
        let runs = tempfile::tempdir().unwrap();
        let path = state_file(runs.path(), "default");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo wrong >&2; exit 3"]);
        let log = runs.path().join("keeper.log");
        let pid = start_keeper(command, &log).unwrap();
        let error = wait_up(&path, pid, Duration::from_secs(10)).await.unwrap_err();
        assert!(
            error.to_string().contains(&format!("the keeper {pid} ended")),
            "{error}"
        );
        assert_eq!(fs::read_to_string(log).unwrap(), "wrong\n");
    }

    #[tokio::test]
    async fn a_keeper_is_told_to_stop_with_sigterm() {
        let runs = tempfile::tempdir().unwrap();
        let path = state_file(runs.path(), "default");
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let keeper = Owner::of(child.id()).unwrap();
        state(keeper, runs.path(), Phase::Starting)
            .write(&path, true)
            .unwrap();
        assert_eq!(down(&path).await.unwrap(), Down::Stopped);
        assert_eq!(child.wait().unwrap().signal(), Some(15));
        assert!(!path.exists());
    }

    #[test]
    fn a_stack_that_was_taken_down_is_not_relied_on() {
        let runs = tempfile::tempdir().unwrap();
        let path = state_file(runs.path(), "default");
        assert!(died(&path, &[]).unwrap().contains("taken down"));
    }
}
