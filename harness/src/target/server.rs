//! A rendered server as a process: its files are written, it is started, and it is waited for.

use std::fs;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::failure::{self, Failure};
use super::ports;
use super::process::{End, Executable, Process, Program};
use crate::component::ClientError;
use crate::component::alertmanager::Alertmanager;
use crate::component::collector::Collector;
use crate::component::elasticsearch::{Elasticsearch, HealthStatus};
use crate::component::jaeger::Jaeger;
use crate::component::loki::Loki;
use crate::component::prometheus::Prometheus;
use crate::render::Rendered;
use crate::wait::{Look, Wait, WaitError};

/// Longest from a server's start to its readiness. An empty server takes a fraction of a second; one
/// that replays a long history takes longer.
const READY_BOUND: Duration = Duration::from_mins(1);
/// Pause between two questions whether a server is ready.
const READY_INTERVAL: Duration = Duration::from_millis(10);

/// A client that knows whether its server is ready.
pub(super) trait Ready: Sync {
    /// Asks.
    fn ready(&self) -> impl Future<Output = Result<(), ClientError>> + Send;
}

impl Ready for Prometheus {
    async fn ready(&self) -> Result<(), ClientError> {
        Self::ready(self).await
    }
}

impl Ready for Alertmanager {
    async fn ready(&self) -> Result<(), ClientError> {
        Self::ready(self).await
    }
}

/// A node is ready once it is in a cluster whose primaries are all there.
impl Ready for Elasticsearch {
    async fn ready(&self) -> Result<(), ClientError> {
        let health = self.health(None).await?;
        if health.status == HealthStatus::Red {
            return Err(ClientError::Unreadable {
                server: "elasticsearch",
                url: format!("{}_cluster/health", self.base()),
                why: format!(
                    "the cluster is red, {} shards have no node",
                    health.unassigned_shards
                ),
            });
        }
        Ok(())
    }
}

impl Ready for Jaeger {
    async fn ready(&self) -> Result<(), ClientError> {
        Self::ready(self).await?;
        // Healthy before its query answers, it would be of no use yet.
        if self.endpoints().query.is_some() {
            self.services().await?;
        }
        Ok(())
    }
}

impl Ready for Collector {
    async fn ready(&self) -> Result<(), ClientError> {
        Self::ready(self).await
    }
}

impl Ready for Loki {
    async fn ready(&self) -> Result<(), ClientError> {
        Self::ready(self).await
    }
}

/// Where a server's things are.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// Executable name, for example `prometheus`.
    pub(super) executable: String,
    /// The executable.
    pub(super) program: Executable,
    /// Folder it runs in, with its files and data.
    pub(super) folder: PathBuf,
    /// Folder that keeps its rendered files and its log.
    pub(super) artifacts: PathBuf,
    /// Where it listens.
    pub(super) listen: SocketAddr,
}

/// A server that is written down and can be started, more than once on the same data.
#[derive(Debug, Clone)]
pub(super) struct Server {
    place: Place,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    ready_within: Duration,
    data: PathBuf,
    files: Vec<PathBuf>,
}

impl Server {
    /// Writes a rendered server's files, for it and for the artifacts.
    pub(super) fn write(place: Place, rendered: &Rendered) -> Result<Self, Failure> {
        let mut files = Vec::new();
        for (name, text) in &rendered.files {
            for root in [&place.folder, &place.artifacts] {
                write(&root.join(name), text)?;
            }
            files.push(place.folder.join(name));
        }
        let data = rendered
            .arguments
            .iter()
            .find(|(flag, _)| matches!(flag.as_str(), "--storage.tsdb.path" | "--storage.path"))
            .and_then(|(_, value)| value.as_deref())
            .unwrap_or("data");
        Ok(Self {
            data: place.folder.join(data),
            arguments: rendered.arguments.iter().map(argument).collect(),
            environment: rendered.environment.clone(),
            ready_within: READY_BOUND,
            place,
            files,
        })
    }

    /// Finds these in its environment too.
    pub(super) fn in_environment(mut self, environment: impl IntoIterator<Item = (String, String)>) -> Self {
        self.environment.extend(environment);
        self
    }

    /// May take as long until it is ready.
    pub(super) fn ready_within(mut self, bound: Duration) -> Self {
        self.ready_within = bound;
        self
    }

    /// The folder it runs in.
    pub(super) fn folder(&self) -> &Path {
        &self.place.folder
    }

    /// Its log.
    pub(super) fn log(&self) -> PathBuf {
        self.place
            .artifacts
            .join(format!("{}.log", self.place.executable))
    }

    /// Its executable's name.
    pub(super) fn name(&self) -> &str {
        &self.place.executable
    }

    /// What it is called where several run of one executable: by its part in the stack, if that names it.
    fn called(&self) -> String {
        let part = self.place.artifacts.file_name().and_then(|name| name.to_str());
        part.filter(|part| part.starts_with(&self.place.executable))
            .unwrap_or(&self.place.executable)
            .to_owned()
    }

    /// Its data folder.
    pub(super) fn data(&self) -> &Path {
        &self.data
    }

    /// Its first file: the configuration.
    pub(super) fn config_file(&self) -> PathBuf {
        self.files
            .first()
            .cloned()
            .unwrap_or_else(|| self.place.folder.clone())
    }

    /// Starts it and waits until its client finds it ready.
    pub(super) async fn start(
        &self,
        client: &impl Ready,
        cancel: &CancellationToken,
    ) -> Result<Process, Failure> {
        let Place {
            executable,
            program,
            folder,
            artifacts,
            listen,
        } = &self.place;
        let process = Process::start(Program {
            name: self.called(),
            executable: program.clone(),
            arguments: self.arguments.clone(),
            folder: folder.clone(),
            log: artifacts.join(format!("{executable}.log")),
            output: None,
            environment: self.environment.clone(),
        })
        .await?;
        let wait = Wait::new(format!("{} ready on {listen}", self.called()), self.ready_within)
            .every(READY_INTERVAL);
        let ready = wait.until(|| async {
            match client.ready().await {
                Ok(()) => Look::Ready(()),
                Err(error) => Look::Missing(error.to_string()),
            }
        });
        tokio::select! {
            () = cancel.cancelled() => Err(Failure::Interrupted),
            end = process.ended() => Err(self.died(&process, end)),
            ready = ready => match ready {
                Ok(()) => self.is_ours(&process).await.map(|()| process),
                Err(error) => Err(Failure::Environment(hung(&process, &error))),
            },
        }
    }

    /// Why it ended at its start.
    fn died(&self, process: &Process, end: End) -> Failure {
        match failure::of(&process.obituary(end)) {
            Failure::PortTaken(words) => Failure::PortTaken(self.taken(&words)),
            other => other,
        }
    }

    /// A ready answer counts only if it is our server that listens: on a port that someone else took
    /// in the meantime, theirs may answer before ours has ended.
    async fn is_ours(&self, process: &Process) -> Result<(), Failure> {
        let port = self.place.listen.port();
        match ports::holder(port) {
            Some(holder) if !process.leads(holder.pid) => {
                let end = process.kill().await;
                let words = format!("{} {end}", self.place.executable);
                Err(Failure::PortTaken(self.taken(&words)))
            }
            // Ours, or the kernel does not tell.
            _ => Ok(()),
        }
    }

    fn taken(&self, words: &str) -> String {
        let port = self.place.listen.port();
        match ports::holder(port) {
            Some(holder) => format!("port {port} is taken by {holder}: {words}"),
            None => format!("port {port} is taken: {words}"),
        }
    }
}

fn hung(process: &Process, error: &WaitError) -> String {
    format!("{error}; log: {}", process.log().display())
}

/// One argument as the servers' parser (kingpin) takes it.
fn argument((flag, value): &(String, Option<String>)) -> String {
    match value {
        Some(value) => format!("{flag}={value}"),
        None => flag.clone(),
    }
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| Failure::file(&error, "making", folder))?;
    }
    fs::write(path, text).map_err(|error| Failure::file(&error, "writing", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::http::StatusCode;
    use indexmap::IndexMap;
    use std::os::unix::fs::PermissionsExt;
    use url::Url;

    /// A server whose executable is a script.
    fn scripted(folder: &Path, listen: SocketAddr, script: &str) -> Server {
        let path = folder.join("prometheus");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let place = Place {
            executable: "prometheus".into(),
            program: path.into(),
            folder: folder.join("run"),
            artifacts: folder.join("artifacts"),
            listen,
        };
        let rendered = Rendered {
            files: IndexMap::from([
                ("prometheus.yml".to_owned(), "global: {}".to_owned()),
                ("rules/a.yaml".to_owned(), "groups: []".to_owned()),
            ]),
            arguments: vec![
                ("--config.file".into(), Some("prometheus.yml".into())),
                ("--storage.tsdb.path".into(), Some("data".into())),
                ("--web.enable-lifecycle".into(), None),
            ],
            environment: Vec::new(),
            changed_values: Vec::new(),
        };
        Server::write(place, &rendered).unwrap()
    }

    fn client(listen: SocketAddr) -> Prometheus {
        Prometheus::new(Url::parse(&format!("http://{listen}/")).unwrap()).unwrap()
    }

    #[test]
    fn files_are_written_for_the_server_and_for_the_artifacts() {
        let folder = tempfile::tempdir().unwrap();
        let server = scripted(folder.path(), ports::free().unwrap(), "");
        assert_eq!(
            server.arguments,
            [
                "--config.file=prometheus.yml",
                "--storage.tsdb.path=data",
                "--web.enable-lifecycle"
            ]
        );
        assert_eq!(server.data(), folder.path().join("run/data"));
        assert_eq!(server.config_file(), folder.path().join("run/prometheus.yml"));
        for root in ["run", "artifacts"] {
            assert_eq!(
                fs::read_to_string(folder.path().join(root).join("rules/a.yaml")).unwrap(),
                "groups: []"
            );
        }
    }

    #[tokio::test]
    async fn a_server_that_refuses_its_configuration_says_so_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let listen = ports::free().unwrap();
        let script = r#"echo 'level=ERROR msg="Error loading config" err="line 1: field gobal not found"' >&2; exit 2"#;
        let failure = scripted(folder.path(), listen, script)
            .start(&client(listen), &CancellationToken::new())
            .await
            .unwrap_err();
        assert!(
            matches!(&failure, Failure::Refused(why) if why.starts_with("prometheus: Error loading config: line 1")),
            "{failure:?}"
        );
    }

    #[tokio::test]
    async fn a_port_that_someone_else_answers_on_is_named_with_its_holder() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let listen = listener.local_addr().unwrap();
        let router = Router::new().fallback(|| async { StatusCode::OK });
        let other = tokio::spawn(async move { axum::serve(listener, router).await });
        let folder = tempfile::tempdir().unwrap();
        let failure = scripted(folder.path(), listen, "exec sleep 1000")
            .start(&client(listen), &CancellationToken::new())
            .await
            .unwrap_err();
        other.abort();
        let expected = format!(
            "port {} is taken by process {}",
            listen.port(),
            std::process::id()
        );
        assert!(
            matches!(&failure, Failure::PortTaken(why) if why.starts_with(&expected)),
            "{failure:?}"
        );
    }

    #[tokio::test]
    async fn an_interrupted_start_leaves_no_process() {
        let folder = tempfile::tempdir().unwrap();
        let listen = ports::free().unwrap();
        let cancel = CancellationToken::new();
        cancel.cancel();
        let failure = scripted(folder.path(), listen, "exec sleep 1000")
            .start(&client(listen), &cancel)
            .await
            .unwrap_err();
        assert_eq!(failure, Failure::Interrupted);
    }
}
