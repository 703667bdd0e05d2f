//! A program in a container: the network, the folders and the user are this machine's, so that only the
//! executable and what it is linked with are the image's.
//!
//! No signal of the kernel's ends a container with whoever started it: one that is left by a killed harness is known
//! by its label, and removed by the next run.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::StreamExt;
use rustix::process::{Pid, Signal, getgid, getuid};
use testcontainers::bollard::Docker;
use testcontainers::bollard::container::LogOutput;
use testcontainers::bollard::errors::Error as EngineAnswer;
use testcontainers::bollard::query_parameters::{
    InspectContainerOptions, KillContainerOptionsBuilder, ListContainersOptionsBuilder, LogsOptionsBuilder,
    RemoveContainerOptionsBuilder, WaitContainerOptions,
};
use testcontainers::core::Mount;
use testcontainers::core::client::docker_client_instance;
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, GenericImage, ImageExt};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::watch;

use super::super::folder::Owner;
use super::{End, ProcessError};

/// The label of a container of ours, whose value is its owner: process id and start of the process, with a dash.
const OWNER: &str = "conform.owner";
/// Longest from a container's creation to the start of its program; its image is there.
const START_BOUND: Duration = Duration::from_mins(2);
/// What a shell reports of a program that a signal ended, less the signal's number.
const SIGNALLED: i64 = 128;
/// SIGKILL.
const KILLED: i64 = SIGNALLED + 9;

/// The image of an executable.
#[derive(Debug, Clone)]
pub struct Image {
    /// Its name with its tag.
    pub reference: String,
    /// Folders of this machine that its containers see, under the same paths, beside the one a program runs in.
    pub folders: Vec<PathBuf>,
}

/// What to run, with files for its words.
pub(super) struct Contained<'a> {
    pub(super) name: &'a str,
    pub(super) image: Image,
    pub(super) path: &'a Path,
    pub(super) arguments: Vec<String>,
    pub(super) folder: &'a Path,
    pub(super) environment: Vec<(String, String)>,
    pub(super) output: File,
    pub(super) error: File,
}

/// A container of ours. Dropping it removes it.
pub(super) struct Container {
    held: Option<ContainerAsync<GenericImage>>,
    id: String,
    pid: Option<Pid>,
    engine: Docker,
    runtime: Handle,
}

impl std::fmt::Debug for Container {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Container")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Name and tag of an image; a tag is what follows a colon behind the last slash.
pub(in super::super) fn parts(reference: &str) -> (String, String) {
    match reference.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name.to_owned(), tag.to_owned()),
        _ => (reference.to_owned(), "latest".to_owned()),
    }
}

fn label(owner: Owner) -> String {
    format!("{}-{}", owner.pid, owner.started_ticks)
}

fn owner(label: &str) -> Option<Owner> {
    let (pid, started_ticks) = label.split_once('-')?;
    Some(Owner {
        pid: pid.parse().ok()?,
        started_ticks: started_ticks.parse().ok()?,
    })
}

/// Starts a container; with the end of its program.
pub(super) async fn start(
    what: Contained<'_>,
) -> Result<(Container, watch::Receiver<Option<End>>), ProcessError> {
    let Contained {
        name,
        image,
        path,
        arguments,
        folder,
        environment,
        output,
        error,
    } = what;
    let failed = |why: String| ProcessError::Start {
        name: name.to_owned(),
        why: format!("{why} (image {})", image.reference),
    };
    let this = Owner::this().map_err(|error| failed(error.to_string()))?;
    let (repository, tag) = parts(&image.reference);
    let mut request = GenericImage::new(repository, tag)
        .with_entrypoint(&path.display().to_string())
        .with_cmd(arguments)
        .with_working_dir(folder.display().to_string())
        // What it writes can be read and removed here.
        .with_user(format!("{}:{}", getuid().as_raw(), getgid().as_raw()))
        .with_label(OWNER, label(this))
        // An image of nothing but executables has no folder for what is written in passing.
        .with_mount(Mount::tmpfs_mount("/tmp"))
        .with_startup_timeout(START_BOUND)
        // The servers of a stack find each other, and what is played, as processes do.
        .with_host_config_modifier(|host| host.network_mode = Some("host".to_owned()));
    let own = (!image.folders.iter().any(|seen| folder.starts_with(seen))).then(|| folder.to_owned());
    for folder in image.folders.iter().chain(&own) {
        let folder = folder.display().to_string();
        request = request.with_mount(Mount::bind_mount(folder.clone(), folder));
    }
    for (name, value) in environment {
        request = request.with_env_var(name, value);
    }
    let held = request.start().await.map_err(|error| failed(words(&error)))?;
    let engine = docker_client_instance()
        .await
        .map_err(|error| failed(words(&error)))?;
    let id = held.id().to_owned();
    let state = engine
        .inspect_container(&id, None::<InspectContainerOptions>)
        .await
        .map_err(|error| failed(words(&error)))?;
    let pid = state
        .state
        .and_then(|state| state.pid)
        .and_then(|pid| i32::try_from(pid).ok())
        .and_then(Pid::from_raw);
    let (end, ended) = watch::channel(None);
    tokio::spawn(supervise(engine.clone(), id.clone(), [output, error], end));
    let container = Container {
        held: Some(held),
        id,
        pid,
        engine,
        runtime: Handle::current(),
    };
    Ok((container, ended))
}

/// Writes down what a container says, and tells of its end once all of it is written.
async fn supervise(
    engine: Docker,
    id: String,
    [mut output, mut error]: [File; 2],
    end: watch::Sender<Option<End>>,
) {
    let follow = LogsOptionsBuilder::new()
        .follow(true)
        .stdout(true)
        .stderr(true)
        .tail("all")
        .build();
    let mut log = std::pin::pin!(engine.logs(&id, Some(follow)));
    while let Some(Ok(said)) = log.next().await {
        // A log that cannot be written lacks its words; the server runs on as a process would.
        let _ = match &said {
            LogOutput::StdErr { message } => error.write_all(message),
            other => output.write_all(other.as_ref()),
        };
    }
    let mut waited = std::pin::pin!(engine.wait_container(&id, None::<WaitContainerOptions>));
    let how = match waited.next().await {
        Some(Ok(answer)) => of_code(answer.status_code),
        Some(Err(EngineAnswer::DockerContainerWaitError { code, .. })) => of_code(code),
        Some(Err(_)) | None => End::Unknown,
    };
    end.send_replace(Some(how));
}

fn of_code(code: i64) -> End {
    match i32::try_from(code) {
        Ok(_) if code == KILLED => End::Signal(9),
        Ok(code) => End::Code(code),
        Err(_) => End::Unknown,
    }
}

/// What the engine says, without how the library puts it.
pub(in super::super) fn words(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

impl Container {
    /// The process id of its program on this machine; none if it had ended when it was asked for.
    pub(super) fn pid(&self) -> Option<Pid> {
        self.pid
    }

    /// Sends its program a signal; one that has ended takes none, which is what was wanted.
    pub(super) async fn signal(&self, signal: Signal) {
        let name = if signal == Signal::KILL { "KILL" } else { "TERM" };
        let options = KillContainerOptionsBuilder::new().signal(name).build();
        let _ = self.engine.kill_container(&self.id, Some(options)).await;
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let Some(held) = self.held.take() else { return };
        // Not by the library's own drop: it blocks on a future in the thread that drops, and where that thread has
        // a runtime's main future, what that was woken for meanwhile is lost (tokio 1.54 parks a thread once).
        let (done, removed) = std::sync::mpsc::channel();
        self.runtime.spawn(async move {
            // What cannot be removed is found by its label.
            let _ = held.rm().await;
            let _ = done.send(());
        });
        let wait = || removed.recv_timeout(super::DROP_BOUND);
        let _ = match Handle::try_current().map(|here| here.runtime_flavor()) {
            Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(wait),
            _ => wait(),
        };
    }
}

/// A container of ours that the engine has.
pub(in super::super) struct Ours {
    /// Whose it is.
    pub(in super::super) owner: Owner,
    /// Its id.
    pub(in super::super) id: String,
    /// Its image.
    pub(in super::super) image: String,
}

/// The containers of ours, whoever owns them.
pub(in super::super) async fn ours(engine: &Docker) -> Result<Vec<Ours>, EngineAnswer> {
    let options = ListContainersOptionsBuilder::new().all(true).build();
    let all = engine.list_containers(Some(options)).await?;
    Ok(all
        .into_iter()
        .filter_map(|one| {
            Some(Ours {
                owner: owner(one.labels.as_ref()?.get(OWNER)?)?,
                id: one.id.unwrap_or_default(),
                image: one.image.unwrap_or_default(),
            })
        })
        .collect())
}

/// Removes a container, running or not; one that is gone already is removed as well.
pub(in super::super) async fn remove(engine: &Docker, id: &str) -> Result<(), EngineAnswer> {
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    match engine.remove_container(id, Some(options)).await {
        Err(EngineAnswer::DockerResponseServerError {
            status_code: 404 | 409,
            ..
        }) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(
        "quay.io/prometheus/prometheus:v3.16.0",
        "quay.io/prometheus/prometheus",
        "v3.16.0"
    )]
    #[case("localhost:5000/prometheus", "localhost:5000/prometheus", "latest")]
    fn a_tag_is_behind_the_last_slash(#[case] reference: &str, #[case] name: &str, #[case] tag: &str) {
        assert_eq!(parts(reference), (name.to_owned(), tag.to_owned()));
    }

    #[rstest]
    #[case(0, End::Code(0))]
    #[case(143, End::Code(143))]
    #[case(137, End::Signal(9))]
    #[case(i64::MAX, End::Unknown)]
    fn a_kill_is_told_apart_from_an_exit(#[case] code: i64, #[case] expected: End) {
        assert_eq!(of_code(code), expected);
    }

    #[test]
    fn a_label_names_its_owner() {
        let this = Owner::this().unwrap();
        assert_eq!(owner(&label(this)), Some(this));
        assert_eq!(owner("conform"), None);
    }
}
