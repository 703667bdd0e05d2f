//! Clusters of our own: making one, taking one that is there as it is, and removing what is left.
//!
//! kind puts no labels of a user's choice on its containers, and a name alone is no mark, since a user may
//! have chosen it too. So the mark is a mount: the nodes of a cluster of ours have that cluster's folder of
//! ours at [`MARK`]. It is there as soon as the container is and stays as long as it does, nobody gets it by
//! chance, the engine tells of it in the same answer as of the container, and another user's clusters on the
//! same engine have another one. The folder has the cluster's kubeconfig and, once it is whole, what it was
//! made from: a cluster without that last file is one whose maker was killed.

mod found;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kind_rs::config::{Cluster, ConfigError, Mount, Node};
use kind_rs::{ClusterName, Create, Kind, KindError, Provider, Side, StepState};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::engine::{Engine, EngineError};
use super::lock::{Lock, absent};
use crate::catalog::Environment;
use crate::progress::Progress;
use crate::wait::{Look, Wait, WaitError};
use found::{Container, Fate, LABEL, Recipe, fate, is_ours};

/// Where a node has its cluster's folder of ours.
pub const MARK: &str = "/var/lib/conform-mark";
/// What a cluster was made from; the last file to be written.
const RECIPE: &str = "recipe.json";
const KUBECONFIG: &str = "kubeconfig";
/// What a kind that makes a cluster has locked, and every client of the engine that it started.
const MAKING: &str = "making";
/// How long a node may take to be ready; 14 s on two cores where the image is there.
const READY: Duration = Duration::from_mins(3);
/// How long an engine's client of a killed run may be at its last command: 50 s were seen on a machine with six times
/// the work it has cores for.
const ORPHANS: Duration = Duration::from_mins(2);
/// Addresses of Services where a configuration names none (kind v0.33).
const SERVICES: &str = "10.96.0.0/16";
/// How long a cluster may take to be gone after the CLI said that it is deleted.
const GONE: Duration = Duration::from_secs(30);
/// How long a look at a cluster may have its lock.
const LOOKED_AT: Duration = Duration::from_millis(500);

/// Why there is no cluster.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// A cluster of that name is somebody else's.
    #[error(
        "a kind cluster {name} is there that is not ours, and is left alone: give ours another name, or delete it (kind delete cluster --name {name})"
    )]
    Foreign {
        /// Its name.
        name: ClusterName,
    },
    /// Another run has it.
    #[error("another run has the cluster {name}: wait for its end, or give this one another name")]
    Taken {
        /// Its name.
        name: ClusterName,
    },
    /// The node was not ready in time.
    #[error("the node of cluster {name} was not ready within {} s; its logs: {logs}", READY.as_secs(), logs = .logs.display())]
    NotReady {
        /// The cluster's name.
        name: ClusterName,
        /// The folder the logs are in.
        logs: PathBuf,
    },
    /// kind fails.
    #[error(transparent)]
    Kind(#[from] KindError),
    /// The engine fails.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The configuration cannot be rendered.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What a killed run left does not come to its end.
    #[error(transparent)]
    Wait(#[from] WaitError),
    /// The run was interrupted.
    #[error("interrupted")]
    Interrupted,
    /// A folder of ours cannot be used.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A cluster that is wanted.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Its name.
    pub name: ClusterName,
    /// The image of its nodes; kind's own where none is given.
    pub image: Option<String>,
    /// What it is to be, with what the host needs; the mark is added to it.
    pub config: Cluster,
}

/// A cluster that is there, and ours alone as long as this value lives.
#[derive(Debug)]
pub struct Held {
    /// Its name.
    pub name: ClusterName,
    /// Its kubeconfig.
    pub kubeconfig: PathBuf,
    /// Why it was made just now; none where one that was there is taken.
    pub made: Option<String>,
    _lock: Lock,
}

/// How a cluster of ours is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is whole and its nodes run.
    Whole,
    /// It is whole, and a node does not run.
    Stopped,
    /// It was not made to its end.
    HalfMade,
    /// Only files of it are left.
    Files,
}

/// A cluster of ours, whole or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Its name.
    pub name: ClusterName,
    /// How it is.
    pub state: State,
    /// Whether a run has it.
    pub taken: bool,
    /// Its kubeconfig.
    pub kubeconfig: PathBuf,
}

/// What removing every cluster came to.
#[derive(Debug, Default)]
pub struct Swept {
    /// Clusters that are gone.
    pub removed: Vec<ClusterName>,
    /// Clusters that are not, and why.
    pub kept: Vec<(ClusterName, ClusterError)>,
}

/// Makes and removes clusters of ours.
#[derive(Debug, Clone)]
pub struct Clusters {
    kind: Kind,
    engine: Engine,
    /// One folder a cluster.
    folder: PathBuf,
    /// Programs that a kind is started by so that it ends with this process; none where there are none.
    bound_to_us: Option<[PathBuf; 2]>,
    network: String,
}

impl Clusters {
    /// Clusters of an engine, whose kubeconfigs and marks are in `folder`.
    pub fn new(kind: Kind, engine: Engine, folder: &Path, environment: &Environment) -> io::Result<Self> {
        // The engine takes absolute paths alone, and the mark is compared as text.
        let folder = std::path::absolute(folder)?;
        let network = network(&folder);
        let variable = match engine.provider() {
            Provider::Docker => "KIND_EXPERIMENTAL_DOCKER_NETWORK",
            Provider::Podman => "KIND_EXPERIMENTAL_PODMAN_NETWORK",
        };
        Ok(Self {
            kind: kind.provider(engine.provider()).variable(variable, &network),
            engine,
            bound_to_us: environment
                .look_up("setpriv")
                .zip(environment.look_up("flock"))
                .map(<[PathBuf; 2]>::from),
            folder,
            network,
        })
    }

    /// The engine's network that they are on.
    #[must_use]
    pub fn network(&self) -> &str {
        &self.network
    }

    /// Takes a cluster that is there from the same configuration and image and answers, and makes one otherwise.
    pub async fn up(
        &self,
        wanted: &Wanted,
        progress: &Progress,
        cancel: &CancellationToken,
    ) -> Result<Held, ClusterError> {
        let lock = self.lock(&wanted.name).await?;
        let ended = tokio::select! {
            // What is dropped half-way is cleared below.
            biased;
            () = cancel.cancelled() => Err(ClusterError::Interrupted),
            made = Box::pin(self.take_or_make(wanted, progress)) => made,
        };
        match ended {
            Ok(made) => Ok(Held {
                name: wanted.name.clone(),
                kubeconfig: self.folder_of(&wanted.name).join(KUBECONFIG),
                made,
                _lock: lock,
            }),
            Err(error) => {
                // What is whole was there before.
                // The first reason counts, and the next run tries again.
                if self.recipe_of(&wanted.name).is_none() {
                    let _ = self.remove(&wanted.name).await;
                }
                Err(error)
            }
        }
    }

    /// Whether a cluster of ours of that name is there, whole or not.
    pub async fn has(&self, name: &ClusterName) -> Result<bool, ClusterError> {
        Ok(is_ours(&self.containers_of(name).await?))
    }

    /// The clusters of ours, whole or not, by name: those that the engine has, and those that files are left of.
    pub async fn list(&self) -> Result<Vec<Standing>, ClusterError> {
        let containers = self.containers().await?;
        let ours: BTreeSet<ClusterName> = containers
            .iter()
            .filter(|container| container.ours)
            .filter_map(|container| container.cluster.parse().ok())
            .collect();
        let mut names = ours.clone();
        names.extend(self.names_with_files()?);
        let mut all = Vec::new();
        for name in names {
            let nodes: Vec<&Container> = containers
                .iter()
                .filter(|container| ours.contains(&name) && container.cluster == name.as_str())
                .collect();
            let files = self.folder_of(&name).exists() || self.logs_of(&name).exists();
            let state = match (nodes.first(), self.recipe_of(&name)) {
                (None, _) => State::Files,
                (Some(_), None) => State::HalfMade,
                (Some(_), Some(_)) if nodes.iter().all(|node| node.running) => State::Whole,
                (Some(_), Some(_)) => State::Stopped,
            };
            let taken = match self.try_lock(&name)? {
                None => true,
                // A lock alone is what a look at a cluster that went meanwhile leaves.
                Some(lock) if state == State::Files && !files => {
                    lock.remove().map_err(failed(&self.folder))?;
                    continue;
                }
                Some(_) => false,
            };
            all.push(Standing {
                kubeconfig: self.folder_of(&name).join(KUBECONFIG),
                name,
                state,
                taken,
            });
        }
        Ok(all)
    }

    /// Whether files of any cluster are here, which only an engine can tell the rest of.
    #[must_use]
    pub fn has_files(&self) -> bool {
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return false;
        };
        // A lock is a file, and what a look leaves; what clusters have is in folders.
        entries.filter_map(Result::ok).any(|entry| entry.path().is_dir())
    }

    /// Removes a cluster of ours with its files; whether there was one.
    pub async fn down(&self, name: &ClusterName) -> Result<bool, ClusterError> {
        let lock = self.lock(name).await?;
        let ended = self.down_locked(name).await;
        // Where the engine does not answer and nothing of the cluster is here, nothing is left here either.
        if !self.folder_of(name).exists() {
            lock.remove().map_err(failed(&self.folder))?;
            // Other clusters' folders keep it.
            let _ = fs::remove_dir(&self.folder);
        }
        ended
    }

    async fn down_locked(&self, name: &ClusterName) -> Result<bool, ClusterError> {
        self.settle(name).await?;
        let containers = self.containers_of(name).await?;
        let foreign = !containers.is_empty() && !is_ours(&containers);
        let was = is_ours(&containers) || self.folder_of(name).exists();
        let logs = self.logs_of(name);
        absent(fs::remove_dir_all(&logs)).map_err(failed(&logs))?;
        if foreign {
            // A folder of ours for a cluster that is not is a left-over of an earlier one.
            absent(fs::remove_dir_all(self.folder_of(name))).map_err(failed(&self.folder))?;
            return Err(ClusterError::Foreign { name: name.clone() });
        }
        if was {
            self.remove(name).await?;
        }
        Ok(was)
    }

    /// Removes every cluster of ours that no run has, and the network where none is left.
    pub async fn down_all(&self) -> Result<Swept, ClusterError> {
        let mut swept = Swept::default();
        for Standing { name, .. } in self.list().await? {
            match self.down(&name).await {
                Ok(_) => swept.removed.push(name),
                Err(error) => swept.kept.push((name, error)),
            }
        }
        self.remove_network().await?;
        let _ = fs::remove_dir(&self.folder);
        Ok(swept)
    }

    /// Takes the cluster, or makes it and says why.
    async fn take_or_make(
        &self,
        wanted: &Wanted,
        progress: &Progress,
    ) -> Result<Option<String>, ClusterError> {
        let name = &wanted.name;
        self.settle(name).await?;
        let config = marked(wanted.config.clone(), &self.folder_of(name));
        let recipe = Recipe {
            config: config.to_yaml()?,
            image: self.image_id(wanted.image.as_deref()).await?,
        };
        let made = self.recipe_of(name);
        let why = match fate(&self.containers_of(name).await?, made.as_ref(), &recipe) {
            Fate::Make => "there is none".to_owned(),
            Fate::Foreign => return Err(ClusterError::Foreign { name: name.clone() }),
            Fate::Replace(why) => why.to_owned(),
            Fate::Take => match self.answers(name).await {
                Ok(()) => {
                    self.write_kubeconfig(name).await?;
                    self.confine(name, &wanted.config).await?;
                    return Ok(None);
                }
                Err(error) => format!("the one that is there does not answer: {error}"),
            },
        };
        progress.step("kind", format!("creating cluster {name}: {why}"));
        // Left-overs of an earlier one are no part of this one.
        self.remove(name).await?;
        self.make(wanted, config, progress).await?;
        self.confine(name, &wanted.config).await?;
        Ok(Some(why))
    }

    /// Has the nodes refuse what goes to an address of a Service that kube-proxy has not led anywhere yet.
    ///
    /// It would leave the machine otherwise, and whoever answers there keeps the connection: a client of gRPC that
    /// connects in the instant a Service is made would never see its server.
    async fn confine(&self, name: &ClusterName, config: &Cluster) -> Result<(), ClusterError> {
        let addresses = config.networking.service_subnet.as_deref().unwrap_or(SERVICES);
        for node in self.kind.nodes(name).await? {
            for chain in ["FORWARD", "OUTPUT"] {
                let rule = format!("{chain} --destination {addresses} --jump REJECT");
                let script = format!("iptables --wait --check {rule} || iptables --wait --append {rule}");
                self.engine
                    .ask(&["exec", node.as_str(), "sh", "-c", &script])
                    .await?;
            }
        }
        Ok(())
    }

    async fn make(&self, wanted: &Wanted, config: Cluster, progress: &Progress) -> Result<(), ClusterError> {
        let name = &wanted.name;
        let folder = self.folder_of(name);
        fs::create_dir_all(&folder).map_err(failed(&folder))?;
        // Nobody may remove the network before the first container is on it.
        let network = self.network_lock();
        let _network = Lock::shared(&network).map_err(failed(&network))?;
        let mut create = Create::new(name.clone(), folder.join(KUBECONFIG));
        create.image.clone_from(&wanted.image);
        create.wait = READY;
        let recipe = config.to_yaml()?;
        create.config = config;
        let created = self
            .bound_kind(&folder)
            .create_watched(&create, |step| {
                if step.state == StepState::Begun {
                    progress.step("kind", &step.name);
                }
            })
            .await?;
        if !created.ready {
            let logs = self.logs_of(name);
            absent(fs::remove_dir_all(&logs)).map_err(failed(&logs))?;
            self.kind.export_logs(name, &logs).await?;
            return Err(ClusterError::NotReady {
                name: name.clone(),
                logs,
            });
        }
        let recipe = Recipe {
            config: recipe,
            // Where the engine did not have the image before, it does now.
            image: self.image_id(wanted.image.as_deref()).await?,
        };
        let text =
            serde_json::to_vec_pretty(&recipe).map_err(|error| failed(&folder.join(RECIPE))(error.into()))?;
        write_whole(&folder.join(RECIPE), &text)
    }

    /// The CLI, started so that it is killed with this process, and so that everything it started holds a
    /// lock that [`Clusters::settle`] waits for.
    fn bound_kind(&self, folder: &Path) -> Kind {
        let kind = self.kind.clone();
        let Some([setpriv, flock]) = &self.bound_to_us else {
            return kind;
        };
        let (setpriv, flock) = (setpriv.clone().into_os_string(), flock.clone().into_os_string());
        let mut launcher = vec![setpriv];
        launcher.extend(["--pdeathsig", "KILL", "--"].map(Into::into));
        // Without a fork the process that is killed is the CLI itself; clients that it started go on to the
        // end of their command, with the lock.
        launcher.extend([flock, "--no-fork".into(), folder.join(MAKING).into_os_string()]);
        kind.behind(launcher)
    }

    /// Waits until nothing is at work any more that a killed run started.
    async fn settle(&self, name: &ClusterName) -> Result<(), ClusterError> {
        let path = self.folder_of(name).join(MAKING);
        let wait = Wait::new(
            format!("what a killed run started for cluster {name} to end"),
            ORPHANS,
        );
        let look = || {
            let look = if path.exists() {
                match Lock::exclusive(&path) {
                    Ok(Some(_)) => Look::Ready(()),
                    Ok(None) => Look::Missing("a client of the engine is at work".to_owned()),
                    Err(error) => Look::Hopeless(error.to_string()),
                }
            } else {
                Look::Ready(())
            };
            std::future::ready(look)
        };
        Ok(wait.until(look).await?)
    }

    /// Removes a cluster of ours and its files; never one that is not.
    async fn remove(&self, name: &ClusterName) -> Result<(), ClusterError> {
        let folder = self.folder_of(name);
        let whole = self.recipe_of(name).is_some();
        let containers = self.containers_of(name).await?;
        if !containers.is_empty() && !is_ours(&containers) {
            return Err(ClusterError::Foreign { name: name.clone() });
        }
        let half_made = !whole && (folder.exists() || !containers.is_empty());
        // First what says that it is whole: it is not, from here on. A kubeconfig that was half written
        // when its writer was killed would keep the CLI from its work.
        for file in [RECIPE, KUBECONFIG, "kubeconfig.lock"] {
            absent(fs::remove_file(folder.join(file))).map_err(failed(&folder))?;
        }
        if !containers.is_empty() {
            self.kind.delete(name, &folder.join(KUBECONFIG)).await?;
        }
        if half_made {
            self.gone(name).await?;
        }
        absent(fs::remove_dir_all(&folder)).map_err(failed(&folder))
    }

    /// Waits until a cluster that was being made stays away: an engine goes on with what it was told by a
    /// client that is killed meanwhile.
    async fn gone(&self, name: &ClusterName) -> Result<(), ClusterError> {
        let folder = self.folder_of(name);
        Wait::new(format!("cluster {name} to be gone"), GONE)
            .every(Duration::from_millis(150))
            .in_a_row(4)
            .until(|| async {
                match self.containers_of(name).await {
                    Ok(containers) if containers.is_empty() => Look::Ready(()),
                    Ok(containers) if is_ours(&containers) => {
                        match self.kind.delete(name, &folder.join(KUBECONFIG)).await {
                            Ok(()) => Look::Missing("a container came up after it was deleted".to_owned()),
                            Err(error) => Look::Missing(error.to_string()),
                        }
                    }
                    Ok(_) => Look::Hopeless("somebody else made one of that name".to_owned()),
                    Err(error) => Look::Missing(error.to_string()),
                }
            })
            .await?;
        Ok(())
    }

    async fn remove_network(&self) -> Result<(), ClusterError> {
        let path = self.network_lock();
        if !self.folder.exists() && !self.network_is_there().await? {
            return Ok(());
        }
        fs::create_dir_all(&self.folder).map_err(failed(&self.folder))?;
        // Where somebody is making a cluster on it, it is not left over.
        let Some(lock) = Lock::exclusive(&path).map_err(failed(&path))? else {
            return Ok(());
        };
        let ours = self.containers().await?.iter().any(|container| container.ours);
        if !ours && self.network_is_there().await? {
            self.engine.ask(&["network", "rm", &self.network]).await?;
        }
        lock.remove().map_err(failed(&path))
    }

    async fn network_is_there(&self) -> Result<bool, ClusterError> {
        let filter = format!("name=^{}$", self.network);
        let listed = self
            .engine
            .ask(&["network", "ls", "--quiet", "--filter", &filter])
            .await?;
        Ok(!listed.trim().is_empty())
    }

    /// The containers of every cluster, in one answer.
    async fn containers(&self) -> Result<Vec<Container>, ClusterError> {
        let printed = self
            .engine
            .ask(&[
                "ps",
                "--all",
                "--no-trunc",
                "--filter",
                &format!("label={LABEL}"),
                "--format",
                &Container::format(),
            ])
            .await?;
        Ok(Container::read(&printed, &self.folder))
    }

    async fn containers_of(&self, name: &ClusterName) -> Result<Vec<Container>, ClusterError> {
        let mut containers = self.containers().await?;
        containers.retain(|container| container.cluster == name.as_str());
        Ok(containers)
    }

    /// Whether the apiserver is ready, by its own account.
    async fn answers(&self, name: &ClusterName) -> Result<(), EngineError> {
        let node = format!("{name}-control-plane");
        let kubeconfig = "--kubeconfig=/etc/kubernetes/admin.conf";
        let arguments = ["exec", &node, "kubectl", kubeconfig, "get", "--raw", "/readyz"];
        self.engine.ask(&arguments).await.map(drop)
    }

    /// Writes the kubeconfig anew: a user may have changed the file, or a killed run left its lock.
    async fn write_kubeconfig(&self, name: &ClusterName) -> Result<(), ClusterError> {
        let text = self.kind.kubeconfig(name, Side::Host).await?;
        write_whole(&self.folder_of(name).join(KUBECONFIG), text.as_bytes())
    }

    /// The id of an image, none where the engine does not have it; where no image is named, whose own it is.
    async fn image_id(&self, image: Option<&str>) -> Result<Option<String>, ClusterError> {
        let Some(image) = image else {
            return Ok(Some(format!("that of kind {}", self.kind.version().await?)));
        };
        let arguments = ["image", "inspect", "--format", "{{.Id}}", image];
        match self.engine.ask(&arguments).await {
            Ok(id) => Ok(Some(id.trim().to_owned())),
            Err(EngineError::Refused { .. }) => Ok(None),
            Err(other) => Err(other.into()),
        }
    }

    fn recipe_of(&self, name: &ClusterName) -> Option<Recipe> {
        let text = fs::read(self.folder_of(name).join(RECIPE)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    fn names_with_files(&self) -> Result<Vec<ClusterName>, ClusterError> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(&self.folder)(error)),
        };
        let name = |entry: io::Result<fs::DirEntry>| {
            let file = entry.ok()?.file_name();
            let file = file.to_str()?;
            let name = file.strip_suffix(LOCK).or_else(|| file.strip_suffix(LOGS));
            name.unwrap_or(file).parse().ok()
        };
        Ok(entries.filter_map(name).collect())
    }

    fn folder_of(&self, name: &ClusterName) -> PathBuf {
        self.folder.join(name.as_str())
    }

    fn logs_of(&self, name: &ClusterName) -> PathBuf {
        self.folder.join(format!("{name}{LOGS}"))
    }

    fn network_lock(&self) -> PathBuf {
        // No name of a cluster begins with a dot.
        self.folder.join(".network")
    }

    /// The lock of a cluster, which is had for a moment by who only looks.
    async fn lock(&self, name: &ClusterName) -> Result<Lock, ClusterError> {
        let look = || {
            let look = match self.try_lock(name) {
                Ok(Some(lock)) => Look::Ready(Ok(lock)),
                Ok(None) => Look::Missing("another run has it".to_owned()),
                Err(error) => Look::Ready(Err(error)),
            };
            std::future::ready(look)
        };
        match Wait::new(format!("the lock of cluster {name}"), LOOKED_AT)
            .until(look)
            .await
        {
            Ok(taken) => taken,
            Err(_) => Err(ClusterError::Taken { name: name.clone() }),
        }
    }

    fn try_lock(&self, name: &ClusterName) -> Result<Option<Lock>, ClusterError> {
        fs::create_dir_all(&self.folder).map_err(failed(&self.folder))?;
        let path = self.folder.join(format!("{name}{LOCK}"));
        Lock::exclusive(&path).map_err(failed(&path))
    }
}

/// End of the name of a cluster's lock; no name of a cluster has an underscore.
const LOCK: &str = "_lock";
/// End of the name of the folder for the logs of a cluster that was not ready in time, which it does not outlive.
const LOGS: &str = "_logs";

/// The network of the clusters of a folder. With kind's usual one a left-over could not be told from what
/// other clusters on the engine need.
fn network(folder: &Path) -> String {
    let hash = Sha256::digest(folder.as_os_str().as_encoded_bytes());
    format!("conform-{}", hex::encode(&hash[..4]))
}

/// A configuration with our mark on every node.
fn marked(mut config: Cluster, folder: &Path) -> Cluster {
    if config.nodes.is_empty() {
        config.nodes.push(Node::control_plane());
    }
    for node in &mut config.nodes {
        node.extra_mounts.push(Mount {
            host_path: folder.to_owned(),
            container_path: MARK.into(),
            read_only: true,
            selinux_relabel: false,
            propagation: None,
        });
    }
    config
}

/// Writes a file of the user's own so that it is there whole or not at all.
fn write_whole(path: &Path, text: &[u8]) -> Result<(), ClusterError> {
    let beside = path.with_extension("new");
    let written = fs::File::options()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)
        .and_then(|mut file| file.write_all(text))
        .and_then(|()| fs::rename(&beside, path));
    written.map_err(failed(path))
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> ClusterError + use<> {
    let path = path.to_owned();
    move |source| ClusterError::Io { path, source }
}

#[cfg(test)]
mod tests;
