//! Clones of the declared servers, and their tools, beside a local stack.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use indexmap::IndexMap;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::clock::Clock;
use super::clones::{Restartable, RunningClone, agrees};
use super::containers::Images;
use super::failure::Failure;
use super::folder::RunFolder;
use super::kind::engine::Engine;
use super::outfit::{self, Outfit, Spot};
use super::process::{End, Executable, Image, Process, Program};
use super::server::{Place, Ready, Server};
use super::{ports, shared};
use crate::component::ClientError;
use crate::component::alertmanager::Alertmanager;
use crate::component::collector::Collector;
use crate::component::elasticsearch::Elasticsearch;
use crate::component::jaeger::Jaeger;
use crate::component::loki::Loki;
use crate::component::prometheus::Prometheus;
use crate::deploy::DeployTree;
use crate::files;
use crate::mutant::Edit;
use crate::progress::Progress;
use crate::render::{self, Addresses, AlertmanagerRequest, Endpoint, PrometheusRequest, Rendered};
use crate::shapes::Shapes;
use crate::stack::{
    AlertmanagerClone, AlertmanagerInstance, ChangedValue, CollectorClone, ElasticsearchClone, JaegerClone,
    LokiClone, PrometheusClone, PrometheusInstance, Running, ToolOutput, Workshop, WorkshopError,
};
use crate::units::{Span, format_duration};

/// How often a server is started on another port when someone else took its port.
pub(super) const PORT_TRIES: u32 = 3;
/// Endpoint of the Prometheus itself among the addresses.
pub(super) const PROMETHEUS_ENDPOINT: &str = "monitoring/prometheus/web";
/// Endpoint of the Alertmanager among the addresses.
pub(super) const ALERTMANAGER_ENDPOINT: &str = "monitoring/alertmanager/web";

/// Where a server keeps its data.
#[derive(Debug, Clone)]
pub(super) enum Data {
    /// In a folder of this machine.
    Here(PathBuf),
    /// In a folder of a container.
    Inside {
        /// The container's engine.
        engine: Engine,
        /// The container.
        container: String,
        /// The folder, as the container sees it.
        folder: PathBuf,
    },
}

impl Data {
    /// Brings what is below the data folder to `to`, which is not there yet.
    async fn take(&self, below: &Path, to: &Path) -> Result<(), Failure> {
        match self {
            Self::Here(folder) => {
                let from = folder.join(below);
                move_folder(&from, to).map_err(|error| Failure::file(&error, "taking the snapshot", &from))
            }
            Self::Inside {
                engine,
                container,
                folder,
            } => {
                if let Some(parent) = to.parent() {
                    fs::create_dir_all(parent).map_err(|error| Failure::file(&error, "making", parent))?;
                }
                let from = format!("{container}:{}", folder.join(below).display());
                engine
                    .ask(&["cp", "--quiet", &from, &to.display().to_string()])
                    .await
                    .map(drop)
                    .map_err(|error| Failure::Environment(error.to_string()))
            }
        }
    }
}

/// What all servers of a stack have in common.
#[derive(Debug)]
pub(super) struct Grounds {
    pub(super) tree: Arc<DeployTree>,
    pub(super) shapes: Arc<Shapes>,
    /// Executables by name.
    pub(super) executables: IndexMap<String, PathBuf>,
    /// The images of those that are not on this machine.
    images: Images,
    /// What those see of this machine.
    seen: Vec<PathBuf>,
    pub(super) drifts: Vec<Edit>,
    /// The run's folder.
    pub(super) folder: PathBuf,
    pub(super) cancel: CancellationToken,
    /// How often each drift found something to change.
    made: Mutex<Vec<usize>>,
    changed_values: Mutex<BTreeSet<ChangedValue>>,
    /// Where the servers keep their data, by their address.
    data: Mutex<BTreeMap<String, Data>>,
    /// How often each name was given to a clone, by the folder that keeps its artifacts.
    names: Mutex<BTreeMap<PathBuf, u32>>,
}

impl Grounds {
    pub(super) fn new(
        tree: Arc<DeployTree>,
        shapes: Arc<Shapes>,
        executables: IndexMap<String, PathBuf>,
        drifts: Vec<Edit>,
        folder: PathBuf,
        cancel: CancellationToken,
    ) -> Self {
        Self {
            made: Mutex::new(vec![0; drifts.len()]),
            tree,
            shapes,
            executables,
            images: Images::default(),
            seen: Vec::new(),
            drifts,
            folder,
            cancel,
            changed_values: Mutex::default(),
            data: Mutex::default(),
            names: Mutex::default(),
        }
    }

    /// The same with some executables in images, which see the run's folder and that of the artifacts.
    pub(super) fn in_images(mut self, images: Images, artifacts: &Path) -> Self {
        self.images = images;
        self.seen = vec![self.folder.clone(), artifacts.to_owned()];
        self
    }

    /// The executable of this name.
    pub(super) fn executable(&self, name: &str) -> Result<Executable, Failure> {
        let path = self.executables.get(name).cloned().ok_or_else(|| {
            Failure::Environment(format!(
                "`{name}` is not among the acquired executables ({}); see the catalog",
                self.executables.keys().cloned().collect::<Vec<_>>().join(", ")
            ))
        })?;
        let image = self.images.of(name).map(|reference| Image {
            reference: reference.to_owned(),
            folders: self.seen.clone(),
        });
        Ok(Executable { path, image })
    }

    /// Puts the drifts on a rendered server and remembers which found something.
    pub(super) fn drift(&self, mut rendered: Rendered, executable: &str) -> Rendered {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        for (drift, made) in self.drifts.iter().zip(made.iter_mut()) {
            let (changed, times) = render::drift(rendered, executable, std::slice::from_ref(drift));
            rendered = changed;
            *made += times;
        }
        rendered
    }

    /// Drifts that found nothing to change on any server so far.
    pub(super) fn missed_drifts(&self) -> Vec<Edit> {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        self.drifts
            .iter()
            .zip(made.iter())
            .filter(|(_, made)| **made == 0)
            .map(|(drift, _)| drift.clone())
            .collect()
    }

    pub(super) fn note(&self, changed: &[ChangedValue]) {
        self.changed_values
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(changed.iter().cloned());
    }

    pub(super) fn changed_values(&self) -> Vec<ChangedValue> {
        self.changed_values
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .cloned()
            .collect()
    }

    /// A Prometheus on a free port, rendered, drifted and written, and its client.
    pub(super) fn prometheus(
        &self,
        place: impl FnOnce(Executable, std::net::SocketAddr) -> Place,
        listen: std::net::SocketAddr,
        addresses: &Addresses,
        clone: &PrometheusClone,
    ) -> Result<(Server, Prometheus), Failure> {
        let request = PrometheusRequest {
            addresses,
            listen,
            scrapes: &clone.scrapes,
            rules: &clone.rules,
            alertmanagers: &clone.alertmanagers,
            evaluation_interval: clone.evaluation_interval.map(Span),
            arguments: &clone.arguments,
        };
        let rendered = render::prometheus(&self.tree, &self.shapes, &request)?;
        self.note(&rendered.changed_values);
        let rendered = self.drift(rendered, "prometheus");
        let server = Server::write(place(self.executable("prometheus")?, listen), &rendered)?;
        let client = Prometheus::new(address(listen)?)?;
        self.keeps_data(&client, Data::Here(server.data().to_owned()));
        Ok((server, client))
    }

    /// Remembers where a server keeps its data.
    pub(super) fn keeps_data(&self, server: &Prometheus, data: Data) {
        let mut known = self.data.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(server.base().to_string(), data);
    }

    /// Where a server of this target keeps its data.
    fn data_of(&self, server: &Prometheus) -> Result<Data, Failure> {
        let known = self.data.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .get(server.base().as_str())
            .cloned()
            .ok_or_else(|| Failure::Environment(format!("{} is not a server of this target", server.base())))
    }

    /// An Alertmanager, rendered, drifted and written, and its client.
    pub(super) fn alertmanager(
        &self,
        place: impl FnOnce(Executable, std::net::SocketAddr) -> Place,
        listen: std::net::SocketAddr,
        receiver: &Url,
        divide_durations_by: u32,
    ) -> Result<(Server, Alertmanager), Failure> {
        let request = AlertmanagerRequest {
            listen,
            receiver: receiver.clone(),
            divide_durations_by,
        };
        let rendered = render::alertmanager(&self.tree, &request)?;
        self.note(&rendered.changed_values);
        let rendered = self.drift(rendered, "alertmanager");
        let server = Server::write(place(self.executable("alertmanager")?, listen), &rendered)?;
        Ok((server, Alertmanager::new(address(listen)?)?))
    }

    /// A folder of artifacts of this name that nobody else has.
    fn unique(&self, folder: &Path, name: &str) -> (String, PathBuf) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let name = file_name(name);
        let times = names.entry(folder.join(&name)).or_default();
        *times += 1;
        let name = match *times {
            1 => name,
            times => format!("{name}-{times}"),
        };
        let path = folder.join(&name);
        (name, path)
    }
}

/// A free loopback address.
pub(super) fn free_address() -> Result<std::net::SocketAddr, Failure> {
    ports::free().map_err(|error| Failure::Environment(error.to_string()))
}

/// `http://address/`.
pub(super) fn address(listen: std::net::SocketAddr) -> Result<Url, Failure> {
    Url::parse(&format!("http://{listen}/"))
        .map_err(|error| Failure::Environment(format!("{listen}: {error}")))
}

/// A name that is safe as a file name.
fn file_name(name: &str) -> String {
    let safe: String = name
        .chars()
        .map(|character| match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' | '.' => character,
            _ => '-',
        })
        .collect();
    match safe.as_str() {
        "" | "." | ".." => "unnamed".to_owned(),
        _ => safe,
    }
}

/// The workshop of a local stack, or of one of its cases.
#[derive(Debug, Clone)]
pub(super) struct LocalWorkshop {
    grounds: Arc<Grounds>,
    /// Where the stack's endpoints are.
    addresses: Arc<Addresses>,
    /// Folder for what clones write while they run.
    folder: PathBuf,
    /// Folder that keeps what clones leave.
    artifacts: PathBuf,
    /// The run's folder, where the workshop outlives whoever made it.
    _kept: Option<Arc<RunFolder>>,
}

impl LocalWorkshop {
    pub(super) fn new(
        grounds: Arc<Grounds>,
        addresses: Addresses,
        artifacts: PathBuf,
        kept: Option<RunFolder>,
    ) -> Self {
        Self {
            _kept: kept.map(Arc::new),
            folder: grounds.folder.join("clones"),
            grounds,
            addresses: Arc::new(addresses),
            artifacts,
        }
    }

    /// The same workshop for one case.
    pub(super) fn of_case(&self, case: &str, artifacts: &Path) -> Self {
        Self {
            folder: self.grounds.folder.join("clones").join(file_name(case)),
            artifacts: artifacts.to_owned(),
            ..self.clone()
        }
    }

    /// A folder for what a clone of this name writes while it runs, and one for what it leaves, which nobody
    /// else has.
    pub(super) fn place_of(&self, name: &str) -> (PathBuf, PathBuf) {
        let (name, artifacts) = self.grounds.unique(&self.artifacts, name);
        (self.folder.join(name), artifacts)
    }

    async fn start_prometheus(&self, mut clone: PrometheusClone) -> Result<RunningPrometheus, Failure> {
        let (name, artifacts) = self.grounds.unique(&self.artifacts, &clone.name);
        let folder = self.folder.join(name);
        let mut tries = 1;
        loop {
            let listen = free_address()?;
            let mut addresses = Addresses::clone(&self.addresses);
            // A Prometheus watches itself, and so does its clone.
            if let Some(itself) = addresses.endpoints.get_mut(PROMETHEUS_ENDPOINT) {
                *itself = vec![Endpoint {
                    address: listen,
                    played: false,
                }];
            }
            let place = |program, listen| Place {
                executable: "prometheus".to_owned(),
                program,
                folder: folder.clone(),
                artifacts: artifacts.clone(),
                listen,
            };
            let (server, client) = self.grounds.prometheus(place, listen, &addresses, &clone)?;
            if let Some(data) = clone.data.take() {
                move_folder(&data, server.data())
                    .map_err(|error| Failure::file(&error, "moving the prepared data", &data))?;
            }
            match server.start(&client, &self.grounds.cancel).await {
                Ok(process) => {
                    return Ok(RunningPrometheus {
                        process: Restartable::new(server, process, self.grounds.cancel.clone()),
                        client,
                    });
                }
                Err(Failure::PortTaken(_)) if tries < PORT_TRIES => tries += 1,
                Err(failure) => return Err(failure),
            }
        }
    }

    async fn start_alertmanager(&self, clone: AlertmanagerClone) -> Result<RunningAlertmanager, Failure> {
        let (name, artifacts) = self.grounds.unique(&self.artifacts, &clone.name);
        let folder = self.folder.join(name);
        let mut tries = 1;
        loop {
            let place = |program, listen| Place {
                executable: "alertmanager".to_owned(),
                program,
                folder: folder.clone(),
                artifacts: artifacts.clone(),
                listen,
            };
            let (server, client) = self.grounds.alertmanager(
                place,
                free_address()?,
                &clone.receiver,
                clone.divide_durations_by,
            )?;
            match server.start(&client, &self.grounds.cancel).await {
                Ok(process) => {
                    return Ok(RunningAlertmanager {
                        client,
                        config_file: server.config_file(),
                        _process: process,
                    });
                }
                Err(Failure::PortTaken(_)) if tries < PORT_TRIES => tries += 1,
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Starts a clone and waits until it is ready; again on other ports when someone else takes one.
    async fn start_clone<C: Ready + Clone + Send + 'static>(
        &self,
        name: &str,
        outfit: impl Fn(&Spot) -> Result<Outfit<C>, Failure>,
    ) -> Result<Running<C>, Failure> {
        let (name, artifacts) = self.grounds.unique(&self.artifacts, name);
        let spot = Spot {
            folder: self.folder.join(name),
            artifacts,
        };
        let cancel = &self.grounds.cancel;
        let (server, client, process) = shared::again(&Progress::silent(), || async {
            let Outfit { server, client } = outfit(&spot)?;
            let process = server.start(&client, cancel).await?;
            Ok((server, client, process))
        })
        .await?;
        let clone = RunningClone::new(server, client.clone(), process, cancel.clone());
        Ok(Running::new(client, Box::new(clone)))
    }

    async fn start_elasticsearch(
        &self,
        clone: ElasticsearchClone,
    ) -> Result<Running<Elasticsearch>, Failure> {
        let (name, artifacts) = self.grounds.unique(&self.artifacts, &clone.name);
        let spot = Spot {
            folder: self.folder.join(name),
            artifacts,
        };
        let clock = clone
            .clock
            .map(|shift| {
                let library = shared::clock_library(&self.grounds.executables).ok_or_else(|| {
                    Failure::Environment(
                        "libfaketime is not at hand; name `clock-shift` among the case's needs".to_owned(),
                    )
                })?;
                Ok::<_, Failure>((Clock::new(library, &spot.folder, shift)?, shift))
            })
            .transpose()?;
        let environment = || clock.iter().flat_map(|(clock, _)| clock.environment());
        let cancel = &self.grounds.cancel;
        let (server, client, process) = shared::again(&Progress::silent(), || async {
            let node = outfit::elasticsearch(&self.grounds, &spot, &clone)?;
            let server = node.server.in_environment(environment());
            let process = server.start(&node.client, cancel).await?;
            Ok((server, node.client, process))
        })
        .await?;
        let mut running = RunningClone::new(server, client.clone(), process, cancel.clone());
        if let Some((clock, shift)) = clock {
            agrees(&client, shift).await?;
            running = running.with_clock(clock, client.clone());
        }
        Ok(Running::new(client, Box::new(running)))
    }

    async fn take_snapshot(&self, server: &Prometheus, name: &str) -> Result<PathBuf, Failure> {
        let data = self.grounds.data_of(server)?;
        let snapshot = server.snapshot(false).await.map_err(|error| match error {
            ClientError::Refused { .. } => Failure::Refused(error.to_string()),
            error => error.into(),
        })?;
        let to = self.folder.join("snapshots").join(file_name(name));
        data.take(&Path::new("snapshots").join(snapshot), &to).await?;
        Ok(to)
    }

    async fn run_tool(
        &self,
        tool: &str,
        arguments: Vec<String>,
        environment: Vec<(String, String)>,
        folder: PathBuf,
        bound: Duration,
    ) -> Result<ToolOutput, Failure> {
        let outputs = tempfile::Builder::new()
            .prefix("tool-")
            .tempdir_in(&self.grounds.folder)
            .map_err(|error| Failure::file(&error, "making a folder in", &self.grounds.folder))?;
        let stdout = outputs.path().join("stdout");
        let stderr = outputs.path().join("stderr");
        let executable = self.grounds.executable(tool)?;
        if executable.image.is_none() && !executable.path.is_file() {
            return Err(Failure::Environment(format!(
                "{} is not there any more: {tool} cannot be run",
                executable.path.display()
            )));
        }
        let begin = Instant::now();
        let process = Process::start(Program {
            name: tool.to_owned(),
            executable,
            arguments,
            folder,
            log: stderr.clone(),
            output: Some(stdout.clone()),
            environment,
        })
        .await?;
        let ended = tokio::select! {
            () = self.grounds.cancel.cancelled() => return Err(Failure::Interrupted),
            ended = tokio::time::timeout(bound, process.ended()) => ended,
        };
        let duration = begin.elapsed();
        let read = |path: &Path| {
            fs::read(path)
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
                .map_err(|error| Failure::file(&error, "reading", path))
        };
        match ended {
            Ok(end) => Ok(ToolOutput {
                code: match end {
                    End::Code(code) => Some(code),
                    End::Signal(_) | End::Unknown => None,
                },
                stdout: read(&stdout)?,
                stderr: read(&stderr)?,
                took: duration,
            }),
            Err(_) => Err(Failure::Environment(format!(
                "{tool} did not end within {} and was killed",
                format_duration(bound)
            ))),
        }
    }
}

impl Workshop for LocalWorkshop {
    fn for_case(&self, case: &str, artifacts: &Path) -> Arc<dyn Workshop> {
        Arc::new(self.of_case(case, artifacts))
    }

    fn prometheus(
        &self,
        clone: PrometheusClone,
    ) -> BoxFuture<'_, Result<Box<dyn PrometheusInstance>, WorkshopError>> {
        async move {
            let running = self.start_prometheus(clone).await?;
            Ok(Box::new(running) as Box<dyn PrometheusInstance>)
        }
        .boxed()
    }

    fn alertmanager(
        &self,
        clone: AlertmanagerClone,
    ) -> BoxFuture<'_, Result<Box<dyn AlertmanagerInstance>, WorkshopError>> {
        async move {
            let running = self.start_alertmanager(clone).await?;
            Ok(Box::new(running) as Box<dyn AlertmanagerInstance>)
        }
        .boxed()
    }

    fn tool(
        &self,
        tool: &str,
        arguments: Vec<String>,
        folder: PathBuf,
        bound: Duration,
    ) -> BoxFuture<'_, Result<ToolOutput, WorkshopError>> {
        self.tool_with_environment(tool, arguments, Vec::new(), folder, bound)
    }

    fn tool_with_environment(
        &self,
        tool: &str,
        arguments: Vec<String>,
        environment: Vec<(String, String)>,
        folder: PathBuf,
        bound: Duration,
    ) -> BoxFuture<'_, Result<ToolOutput, WorkshopError>> {
        let tool = tool.to_owned();
        async move {
            Ok(self
                .run_tool(&tool, arguments, environment, folder, bound)
                .await?)
        }
        .boxed()
    }

    fn elasticsearch(
        &self,
        clone: ElasticsearchClone,
    ) -> BoxFuture<'_, Result<Running<Elasticsearch>, WorkshopError>> {
        async move { Ok(self.start_elasticsearch(clone).await?) }.boxed()
    }

    fn jaeger(&self, clone: JaegerClone) -> BoxFuture<'_, Result<Running<Jaeger>, WorkshopError>> {
        async move {
            Ok(self
                .start_clone(&clone.name, |spot| outfit::jaeger(&self.grounds, spot, &clone))
                .await?)
        }
        .boxed()
    }

    fn collector(&self, clone: CollectorClone) -> BoxFuture<'_, Result<Running<Collector>, WorkshopError>> {
        async move {
            Ok(self
                .start_clone(&clone.name, |spot| outfit::collector(&self.grounds, spot, &clone))
                .await?)
        }
        .boxed()
    }

    fn loki(&self, clone: LokiClone) -> BoxFuture<'_, Result<Running<Loki>, WorkshopError>> {
        async move {
            Ok(self
                .start_clone(&clone.name, |spot| outfit::loki(&self.grounds, spot, &clone))
                .await?)
        }
        .boxed()
    }

    fn snapshot<'a>(
        &'a self,
        server: &'a Prometheus,
        name: &'a str,
    ) -> BoxFuture<'a, Result<PathBuf, WorkshopError>> {
        async move { Ok(self.take_snapshot(server, name).await?) }.boxed()
    }

    fn scratch(&self, name: &str) -> Result<PathBuf, WorkshopError> {
        let path = self.folder.join("scratch").join(file_name(name));
        fs::create_dir_all(&path)
            .map_err(|error| WorkshopError::Environment(files::words(&error, "making", &path)))?;
        Ok(path)
    }

    fn changed_values(&self) -> Vec<ChangedValue> {
        self.grounds.changed_values()
    }

    fn drifts(&self) -> &[Edit] {
        &self.grounds.drifts
    }
}

/// A clone of Prometheus.
struct RunningPrometheus {
    process: Restartable,
    client: Prometheus,
}

impl PrometheusInstance for RunningPrometheus {
    fn client(&self) -> &Prometheus {
        &self.client
    }

    fn data(&self) -> PathBuf {
        self.process.server().data().to_owned()
    }

    fn stop(&mut self) -> BoxFuture<'_, Result<(), WorkshopError>> {
        self.process.stop(|end| matches!(end, End::Code(0))).boxed()
    }

    fn kill(&mut self) -> BoxFuture<'_, Result<(), WorkshopError>> {
        self.process.kill().boxed()
    }

    fn start(&mut self) -> BoxFuture<'_, Result<(), WorkshopError>> {
        self.process.start(&self.client).boxed()
    }
}

/// A clone of Alertmanager.
struct RunningAlertmanager {
    client: Alertmanager,
    config_file: PathBuf,
    _process: Process,
}

impl AlertmanagerInstance for RunningAlertmanager {
    fn client(&self) -> &Alertmanager {
        &self.client
    }

    fn config_file(&self) -> PathBuf {
        self.config_file.clone()
    }
}

/// Moves a folder, by copying where it comes from another file system.
pub(super) fn move_folder(from: &Path, to: &Path) -> io::Result<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            copy_folder(from, to)?;
            fs::remove_dir_all(from)
        }
        moved => moved,
    }
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("metrics/retention-time", "metrics-retention-time")]
    #[case("..", "unnamed")]
    #[case("", "unnamed")]
    #[case("a b/../c", "a-b-..-c")]
    fn names_are_safe_as_file_names(#[case] name: &str, #[case] expected: &str) {
        assert_eq!(file_name(name), expected);
    }

    #[test]
    fn folders_are_moved_and_copied_whole() {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("from");
        fs::create_dir_all(from.join("block/chunks")).unwrap();
        fs::write(from.join("block/chunks/000001"), "data").unwrap();
        let copy = folder.path().join("copy");
        copy_folder(&from, &copy).unwrap();
        let to = folder.path().join("clone/data");
        move_folder(&from, &to).unwrap();
        assert!(!from.exists());
        for place in [copy, to] {
            assert_eq!(
                fs::read_to_string(place.join("block/chunks/000001")).unwrap(),
                "data"
            );
        }
    }
}
