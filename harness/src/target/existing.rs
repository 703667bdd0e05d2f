//! The existing target: a stack that somebody else runs, which is asked and, unless it is allowed, nothing more.
//!
//! It is named by a context of a kubeconfig, by the addresses of its servers, or by both; a current context is
//! never taken. What a context leads to is found by the tree's own Services and objects, and reached through
//! the API server. Clones of declared servers run as processes of this machine, as on the local target.

pub(super) mod forward;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use kube::config::{KubeConfigOptions, Kubeconfig};
use url::Url;

use self::forward::{Forward, Target};
use super::failure::Failure;
use super::folder::RunFolder;
use super::kind::clients::Clients;
use super::kind::reach::{Door, NAMESPACE};
use super::kind::running;
use super::kind::stack::connected;
use super::kind::watched::Watched;
use super::local;
use super::workshop::{Grounds, LocalWorkshop};
use super::{TargetError, UpRequest};
use crate::component::alertmanager::Alertmanager;
use crate::component::cluster::Cluster;
use crate::component::elasticsearch::Elasticsearch;
use crate::component::loki::Loki;
use crate::component::prometheus::Prometheus;
use crate::component::receiver::ReceiverServer;
use crate::emit::player::Players;
use crate::progress::Progress;
use crate::render::Addresses;
use crate::shapes::Shapes;
use crate::stack::{Capability, Missing, Stack};
use crate::units::format_duration;

/// Which stack it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Existing {
    /// The context of the cluster that it runs in.
    pub context: Option<String>,
    /// The kubeconfig that has the context; the usual ones where none is given.
    pub kubeconfig: Option<PathBuf>,
    /// Addresses of servers, in place of what the context leads to.
    pub urls: Urls,
    /// Whether cases may do more than ask.
    pub allow_disruptive: bool,
}

impl Existing {
    /// The same as options of a command line, each with a space before it.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let url = |url: &Option<Url>| url.as_ref().map(Url::to_string);
        let file = |path: &PathBuf| path.display().to_string();
        let given = [
            ("context", self.context.clone()),
            ("kubeconfig", self.kubeconfig.as_ref().map(file)),
            ("prometheus", url(&self.urls.prometheus)),
            ("alertmanager", url(&self.urls.alertmanager)),
            ("elasticsearch", url(&self.urls.elasticsearch)),
            ("loki", url(&self.urls.loki)),
        ];
        let disruptive = self.allow_disruptive.then(|| " --allow-disruptive".to_owned());
        given
            .into_iter()
            .filter_map(|(name, value)| Some(format!(" --{name} {}", value?)))
            .chain(disruptive)
            .collect()
    }
}

/// Addresses of servers, with user and password where one is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Urls {
    /// Prometheus.
    pub prometheus: Option<Url>,
    /// Alertmanager.
    pub alertmanager: Option<Url>,
    /// Elasticsearch.
    pub elasticsearch: Option<Url>,
    /// Loki.
    pub loki: Option<Url>,
}

/// An existing stack as cases see it. Dropping it leaves the stack as it was.
#[derive(Debug)]
pub struct ExistingStack {
    stack: Stack,
    shapes: Arc<Shapes>,
    /// The cluster, where a context leads to one.
    watched: Option<Watched>,
    _forwards: BTreeMap<Door, Forward>,
    _players: Players,
    _receiver: ReceiverServer,
    _folder: RunFolder,
}

impl ExistingStack {
    /// Finds the stack's servers and asks each whether it is ready.
    pub async fn up(existing: Existing, request: UpRequest) -> Result<Self, TargetError> {
        let cancel = request.cancel.clone();
        let up = tokio::select! {
            () = cancel.cancelled() => Err(Failure::Interrupted),
            up = Box::pin(Self::find(existing, request)) => up,
        };
        Ok(up?)
    }

    async fn find(existing: Existing, request: UpRequest) -> Result<Self, Failure> {
        let UpRequest {
            tree,
            shapes,
            acquired,
            images: _,
            needs: _,
            drifts,
            seed,
            folder,
            artifacts,
            cancel,
            progress,
        } = request;
        let begin = Instant::now();
        let folder = RunFolder::create(&folder)
            .map_err(|error| Failure::file(&error, "making the run's folder", &folder))?;
        let artifacts = local::artifacts_folder(&artifacts)?;
        let executables = local::executables(&acquired)?;
        let client = match &existing.context {
            Some(context) => Some(client(context, existing.kubeconfig.clone()).await?),
            None => None,
        };
        let forwards = match (&client, &existing.context) {
            (Some(client), Some(context)) => forwards(client, context, &tree, &progress).await?,
            _ => BTreeMap::new(),
        };
        let clients = clients(&existing.urls, &forwards, &progress)?;
        clients.ready(&progress).await?;
        let (players, receiver) = tokio::try_join!(Players::start(&shapes, seed), ReceiverServer::start())
            .map_err(|error| {
                Failure::Environment(format!(
                    "{error}: the players or the receiver of clones cannot listen on loopback"
                ))
            })?;
        let (shapes, images) = match &client {
            Some(client) => {
                let there = running::services_there(client).await?;
                (
                    Arc::new(running::as_it_is(client, &tree, &shapes, &there).await?),
                    running::images(client).await?,
                )
            }
            None => (shapes, BTreeMap::new()),
        };
        let mut components = local::components(&acquired, &clients.seen(&images).await?);
        clients.missing(
            &mut components,
            "no address of it is given and no context leads to it: give --context, or its address",
        );
        for component in &mut components {
            component.origin = format!("existing; clones: {}", component.origin);
        }
        let mut missing: Vec<Missing> = components.iter().flat_map(|c| c.missing.clone()).collect();
        if client.is_none() {
            missing.push(Missing {
                capability: Capability::Cluster,
                reason: "only addresses are given: --context leads to a cluster".to_owned(),
            });
        }
        let grounds = Arc::new(Grounds::new(
            tree,
            Arc::clone(&shapes),
            executables,
            drifts,
            folder.path().to_owned(),
            cancel,
        ));
        // Clones watch themselves and what is played here, never the servers of the stack.
        let nobody: SocketAddr = super::workshop::free_address()?;
        let receiver_client = receiver.client()?;
        let addresses = local::with_servers(
            &Addresses {
                endpoints: local::played(players.endpoints()),
                receiver: Some(receiver_client.base().clone()),
            },
            nobody,
            nobody,
        );
        let workshop = LocalWorkshop::new(grounds, addresses, artifacts, None);
        let took = begin.elapsed();
        progress.done("stack", format!("found after {}", format_duration(took)));
        let stack = Stack {
            prometheus: clients.prometheus,
            alertmanager: clients.alertmanager,
            receiver: receiver_client,
            elasticsearch: clients.elasticsearch,
            jaeger: clients.jaeger,
            jaeger_adaptive: clients.jaeger_adaptive,
            collector: clients.collector,
            loki: clients.loki,
            cluster: client.clone().map(Cluster::new),
            components,
            missing,
            patience: 1,
            spared: !existing.allow_disruptive,
            changed_values: Vec::new(),
            up: took,
            workshop: Arc::new(workshop),
        };
        Ok(Self {
            stack,
            shapes,
            watched: client.map(Watched::begin),
            _forwards: forwards,
            _players: players,
            _receiver: receiver,
            _folder: folder,
        })
    }

    /// The stack as cases see it.
    #[must_use]
    pub fn stack(&self) -> Stack {
        self.stack.clone()
    }

    /// What cases are told of the watched services.
    #[must_use]
    pub fn shapes(&self) -> Arc<Shapes> {
        Arc::clone(&self.shapes)
    }

    /// Why the stack cannot be relied on any more, none while it can.
    #[must_use]
    pub fn died(&self) -> Option<String> {
        self.watched.as_ref()?.trouble()
    }
}

/// A client of the cluster of a context.
async fn client(context: &str, kubeconfig: Option<PathBuf>) -> Result<kube::Client, Failure> {
    let read = match &kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    }
    .map_err(|error| {
        Failure::Environment(format!(
            "{error}: there is no kubeconfig to look for the context {context} in; give one with --kubeconfig"
        ))
    })?;
    if !read.contexts.iter().any(|known| known.name == context) {
        let known: Vec<&str> = read.contexts.iter().map(|known| known.name.as_str()).collect();
        return Err(Failure::Environment(format!(
            "the kubeconfig has no context {context}; it has {}",
            if known.is_empty() {
                "none".to_owned()
            } else {
                known.join(", ")
            }
        )));
    }
    let options = KubeConfigOptions {
        context: Some(context.to_owned()),
        ..KubeConfigOptions::default()
    };
    connected(read, &options)
        .await
        .map_err(|why| Failure::Environment(format!("{why}: the context {context} cannot be used")))
}

/// Ports of loopback that lead to what the tree declares, as far as it runs there.
async fn forwards(
    client: &kube::Client,
    context: &str,
    tree: &crate::deploy::DeployTree,
    progress: &Progress,
) -> Result<BTreeMap<Door, Forward>, Failure> {
    let mut forwards = BTreeMap::new();
    for door in Door::all() {
        let Some((selector, port)) = door.behind(tree) else {
            continue;
        };
        let target = Target::new(NAMESPACE, &selector, &port);
        let started = Forward::start(client.clone(), target).await.map_err(|error| {
            Failure::Environment(format!("{error}: the cluster of {context} does not answer"))
        })?;
        match started {
            Some(forward) => {
                forwards.insert(door, forward);
            }
            None => progress.step(
                "existing",
                format!(
                    "no pod is ready behind {}",
                    door.name().trim_start_matches("conform-")
                ),
            ),
        }
    }
    progress.step(
        "existing",
        format!(
            "{} ports of {NAMESPACE} in {context} are asked through its API server",
            forwards.len()
        ),
    );
    Ok(forwards)
}

/// The clients: of the addresses that are given, else of what the context leads to.
fn clients(urls: &Urls, forwards: &BTreeMap<Door, Forward>, progress: &Progress) -> Result<Clients, Failure> {
    let given: [(Door, &Option<Url>); 4] = [
        (Door::Prometheus, &urls.prometheus),
        (Door::Alertmanager, &urls.alertmanager),
        (Door::Elasticsearch, &urls.elasticsearch),
        (Door::Loki, &urls.loki),
    ];
    for (door, url) in given {
        if let Some(url) = url {
            // Without the user and password that it may have.
            let host = url.host_str().unwrap_or_default();
            progress.step(
                "existing",
                format!(
                    "{} is asked at {host}",
                    door.name().trim_start_matches("conform-")
                ),
            );
        }
    }
    // What is given takes the place of what is found below.
    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    let mut clients = Clients::new(&|door| {
        let is_given = given.iter().any(|(one, url)| *one == door && url.is_some());
        forwards
            .get(&door)
            .map(Forward::address)
            .or(is_given.then_some(nobody))
    })?;
    if let Some(url) = &urls.prometheus {
        clients.prometheus = Prometheus::new(url.clone())?;
    }
    if let Some(url) = &urls.alertmanager {
        clients.alertmanager = Alertmanager::new(url.clone())?;
    }
    if let Some(url) = &urls.elasticsearch {
        clients.elasticsearch = Some(Elasticsearch::new(url.clone())?);
    }
    if let Some(url) = &urls.loki {
        clients.loki = Some(Loki::new(url.clone())?);
    }
    Ok(clients)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const KUBECONFIG: &str = "apiVersion: v1\nkind: Config\ncurrent-context: one\ncontexts:\n- name: one\n  \
                              context: {cluster: c, user: u}\nclusters:\n- name: c\n  cluster: {server: \
                              'http://127.0.0.1:1'}\nusers:\n- name: u\n  user: {}\n";

    #[tokio::test]
    async fn a_context_that_is_not_there_is_named_with_those_that_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        fs::write(&path, KUBECONFIG).unwrap();
        let error = client("two", Some(path.clone())).await.err().unwrap();
        assert!(
            matches!(&error, Failure::Environment(why) if why == "the kubeconfig has no context two; it has one"),
            "{error:?}"
        );
        let error = client("one", Some(folder.path().join("absent")))
            .await
            .err()
            .unwrap();
        assert!(
            matches!(&error, Failure::Environment(why) if why.ends_with("give one with --kubeconfig")),
            "{error:?}"
        );
    }

    #[test]
    fn addresses_that_are_given_make_a_stack_of_their_own() {
        let url = |text: &str| Some(Url::parse(text).unwrap());
        let urls = Urls {
            prometheus: url("https://user:secret@prometheus.example/base/"),
            alertmanager: url("http://alertmanager.example/"),
            ..Urls::default()
        };
        let found = clients(&urls, &BTreeMap::new(), &Progress::silent()).unwrap();
        assert_eq!(found.prometheus.base().host_str(), Some("prometheus.example"));
        assert!(found.elasticsearch.is_none() && found.jaeger.is_none());
        let none = clients(&Urls::default(), &BTreeMap::new(), &Progress::silent());
        assert!(matches!(none, Err(Failure::Environment(why)) if why.contains("no Prometheus")));
    }
}
