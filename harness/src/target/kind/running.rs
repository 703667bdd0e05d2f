//! A stack in a cluster as the cases see it: the tree's own servers, asked through the node's ports, and what
//! the harness plays on this machine.
//!
//! Clones of declared servers run in namespaces of their own, or beside the cluster (see [`super::clones`]).

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Client;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams};
use serde_json::json;
use url::Url;

use super::clients::Clients;
use super::clones::{self, Here, KindWorkshop};
use super::cluster::Held;
use super::played::OF_SERVICE;
use super::reach::{ADDED, Door, NAMESPACE, Reach};
use super::watched::Watched;
use super::{ClusterRequest, KindTarget, apply, played, reach};
use crate::component::ClientError;
use crate::component::cluster::Cluster;
use crate::component::elasticsearch::Elasticsearch;
use crate::component::prometheus::Prometheus;
use crate::component::receiver::ReceiverServer;
use crate::deploy::DeployTree;
use crate::deploy::kinds::service_monitor::ServiceMonitorSpec;
use crate::deploy::kinds::views;
use crate::deploy::selector::LabelSelector;
use crate::emit::player::Players;
use crate::mutant::Edit;
use crate::render::{self, Addresses};
use crate::shapes::Shapes;
use crate::stack::{ChangedValue, Stack};
use crate::target::failure::Failure;
use crate::target::folder::RunFolder;
use crate::target::local;
use crate::target::outfit::POLL_INTERVAL;
use crate::target::workshop::{Data, Grounds, LocalWorkshop};
use crate::target::{TargetError, UpRequest};
use crate::units::format_duration;
use crate::wait::{Look, Wait};

/// How many times as long as on processes a case may take: beside the stack itself, a cluster's own parts and its
/// operators are at work on the machine.
const PATIENCE: u32 = 4;

/// How long the cluster's Prometheus may take to follow what is played anew: what it watches is told to it at once, and
/// taken up every five seconds (Prometheus 3.16, discovery/manager.go).
const FORGOTTEN: Duration = Duration::from_mins(1);

/// A running stack in a cluster.
#[derive(Debug)]
pub struct KindStack {
    stack: Stack,
    shapes: Arc<Shapes>,
    watched: Watched,
    _players: Players,
    _receiver: ReceiverServer,
    target: KindTarget,
    held: Held,
    made_in: Option<Duration>,
    _folder: RunFolder,
}

/// What a stack in a cluster is brought up from.
#[derive(Debug)]
pub struct KindRequest {
    /// What every target is given.
    pub up: UpRequest,
    /// Name of the stack, and so of its cluster.
    pub name: String,
    /// The project's folder.
    pub root: PathBuf,
    /// Edits to make on what the overlay renders of its tree; those of `up.tree` are made already.
    pub edits: Vec<Edit>,
}

impl KindStack {
    /// Takes the stack's cluster, or makes it, and brings the tree up in it.
    pub async fn up(target: KindTarget, request: KindRequest) -> Result<Self, TargetError> {
        let cancel = request.up.cancel.clone();
        let up = tokio::select! {
            () = cancel.cancelled() => Err(Failure::Interrupted),
            up = Box::pin(Self::bring_up(target, request)) => up,
        };
        Ok(up?)
    }

    async fn bring_up(target: KindTarget, request: KindRequest) -> Result<Self, Failure> {
        let KindRequest {
            up,
            name,
            root,
            edits,
        } = request;
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
        } = up;
        let environment = |error: &dyn std::fmt::Display| Failure::Environment(error.to_string());
        let begin = Instant::now();
        let folder = RunFolder::create(&folder)
            .map_err(|error| Failure::file(&error, "making the run's folder", &folder))?;
        let artifacts = local::artifacts_folder(&artifacts)?;
        let executables = local::executables(&acquired)?;
        let cluster = ClusterRequest {
            stack: name,
            config: reach::config(target.runs()),
        };
        let held = target
            .cluster(cluster, &progress, &cancel)
            .await
            .map_err(|error| environment(&error))?;
        let made_in = held.made.as_ref().map(|_| begin.elapsed());
        let begin = Instant::now();
        let reach = Reach::of(&target.tools().engine, &held.name, target.clusters().network())
            .await
            .map_err(|error| environment(&error))?;
        let players = async {
            tokio::try_join!(
                Players::start_on(reach.gateway, &shapes, seed),
                ReceiverServer::start_on(reach.gateway)
            )
            .map_err(|error| {
                Failure::Environment(format!(
                    "{error}: the players or the receiver cannot listen on {}, where the cluster's pods would find \
                     them; an engine in a virtual machine has its network there",
                    reach.gateway
                ))
            })
        };
        let deployed = async {
            target
                .stack(&held, (&root, &edits), seed, &progress, &cancel)
                .await
                .map_err(failure)
        };
        let ((players, receiver), ()) = tokio::try_join!(players, deployed)?;
        let client = super::stack::client(&held.kubeconfig)
            .await
            .map_err(|error| environment(&error))?;
        let receiver_client = receiver.client()?;
        let there = services_there(&client).await?;
        let mut added = played::services(&shapes, &there, players.endpoints());
        added.extend(played::receiver(&tree, receiver.address()));
        added.push(played::policy(reach.gateway));
        progress.step(
            "players",
            format!("{} objects lead the cluster to {}", added.len(), reach.gateway),
        );
        apply::put(&client, added)
            .await
            .map_err(|error| environment(&error))?;

        let clients = Clients::new(&|door| Some(reach.address(door)))?;
        clients.ready(&progress).await?;
        forgotten(&clients.prometheus, reach.gateway, players.endpoints()).await?;
        let mut changed_values = changed(&reach);
        changed_values.extend(hastened(clients.elasticsearch.as_ref()).await?);
        let took = begin.elapsed();
        progress.done("stack", format!("ready after {}", format_duration(took)));

        let shapes = Arc::new(as_it_is(&client, &tree, &shapes, &there).await?);
        let images = images(&client).await?;
        let mut components = local::components(&acquired, &clients.seen(&images).await?);
        clients.missing(&mut components, "the cluster has none");
        for component in &mut components {
            if let Some(image) = images.get(component.name.as_str()) {
                component.origin = format!("image {image}; clones: {}", component.origin);
            }
        }
        let grounds = Arc::new(Grounds::new(
            tree,
            Arc::clone(&shapes),
            executables,
            drifts,
            folder.path().to_owned(),
            cancel.clone(),
        ));
        let addresses = local::with_servers(
            &Addresses {
                endpoints: local::played(players.endpoints()),
                receiver: Some(receiver_client.base().clone()),
            },
            reach.address(Door::Prometheus),
            reach.address(Door::Alertmanager),
        );
        let cluster = Cluster::new(client.clone());
        clones::sweep(&cluster).await?;
        grounds.keeps_data(
            &clients.prometheus,
            Data::Inside {
                engine: target.tools().engine.clone(),
                container: reach.node.clone(),
                folder: prometheus_data(&client).await?,
            },
        );
        let workshop = KindWorkshop::new(
            LocalWorkshop::new(Arc::clone(&grounds), addresses, artifacts, None),
            Here {
                cluster: cluster.clone(),
                engine: target.tools().engine.clone(),
                node: reach.node.clone(),
                grounds,
            },
        );
        let stack = Stack {
            prometheus: clients.prometheus,
            alertmanager: clients.alertmanager,
            receiver: receiver_client,
            elasticsearch: clients.elasticsearch,
            jaeger: clients.jaeger,
            jaeger_adaptive: clients.jaeger_adaptive,
            collector: clients.collector,
            loki: clients.loki,
            cluster: Some(cluster),
            missing: components.iter().flat_map(|c| c.missing.clone()).collect(),
            components,
            patience: PATIENCE,
            spared: false,
            changed_values,
            up: took,
            workshop: Arc::new(workshop),
        };
        Ok(Self {
            stack,
            shapes,
            watched: Watched::begin(client),
            _players: players,
            _receiver: receiver,
            target,
            held,
            made_in,
            _folder: folder,
        })
    }

    /// The stack as cases see it.
    #[must_use]
    pub fn stack(&self) -> Stack {
        self.stack.clone()
    }

    /// What cases are told of the watched services: those that the harness plays as they are played, the
    /// cluster's own with as many instances as there are.
    #[must_use]
    pub fn shapes(&self) -> Arc<Shapes> {
        Arc::clone(&self.shapes)
    }

    /// Why the cluster cannot be relied on any more, none while it can.
    #[must_use]
    pub fn died(&self) -> Option<String> {
        self.watched.trouble()
    }

    /// How long the making of its cluster took; none where it was there.
    #[must_use]
    pub fn made_in(&self) -> Option<Duration> {
        self.made_in
    }

    /// Removes the cluster where this run made it; one that was there stays as it is.
    pub async fn down(self) -> Result<(), String> {
        let Self {
            held, target, stack, ..
        } = self;
        let name = held.name.clone();
        if held.made.is_some() {
            drop(held);
            return target
                .clusters()
                .down(&name)
                .await
                .map(drop)
                .map_err(|error| format!("cluster {name} is left: {error}"));
        }
        match &stack.cluster {
            Some(cluster) => clones::sweep(cluster)
                .await
                .map_err(|error| format!("{error}: clones of cases are left in {name}")),
            None => Ok(()),
        }
    }
}

/// What a server refuses of the tree is the tree's fault, as on every target.
fn failure(error: super::KindTargetError) -> Failure {
    use super::KindTargetError::Stack;
    use super::stack::StackError;
    match error {
        Stack(StackError::Deploy(error)) if error.is_the_trees() => Failure::Refused(error.to_string()),
        Stack(StackError::Objects(error)) => Failure::Refused(error.to_string()),
        other => Failure::Environment(other.to_string()),
    }
}

fn unanswered(what: &str, error: &kube::Error) -> Failure {
    Failure::Environment(format!("{error}: the API server does not list {what}"))
}

/// The Services that are there without the harness, as `namespace/name`.
pub(in crate::target) async fn services_there(client: &Client) -> Result<BTreeSet<String>, Failure> {
    let services: Api<Service> = Api::all(client.clone());
    let theirs = ListParams::default().labels(&format!("!{ADDED}"));
    let listed = services
        .list(&theirs)
        .await
        .map_err(|error| unanswered("the Services", &error))?;
    Ok(listed
        .iter()
        .map(|service| {
            format!(
                "{}/{}",
                service.namespace().unwrap_or_default(),
                service.name_any()
            )
        })
        .collect())
}

/// The shapes with as many instances of the cluster's own services as there are.
pub(in crate::target) async fn as_it_is(
    client: &Client,
    tree: &DeployTree,
    shapes: &Shapes,
    there: &BTreeSet<String>,
) -> Result<Shapes, Failure> {
    let slices: Api<EndpointSlice> = Api::all(client.clone());
    let listed = slices
        .list(&ListParams::default())
        .await
        .map_err(|error| unanswered("the EndpointSlices", &error))?;
    counted(&listed.items, tree, shapes, there)
}

/// A service has the endpoints of every Service that its monitors select beside it, whose labels its slices have:
/// an operator makes several of one object, and several objects may be watched as one.
fn counted(
    slices: &[EndpointSlice],
    tree: &DeployTree,
    shapes: &Shapes,
    there: &BTreeSet<String>,
) -> Result<Shapes, Failure> {
    let monitors = views::<ServiceMonitorSpec>(tree).map_err(|error| Failure::Refused(error.to_string()))?;
    let mut shapes = shapes.clone();
    for service in &mut shapes.services {
        if !there.contains(&service.key()) {
            continue;
        }
        let selectors: Vec<&LabelSelector> = monitors
            .iter()
            .map(|monitor| &monitor.spec.selector)
            .filter(|selector| selector.matches(&service.labels))
            .collect();
        let watched = |slice: &&EndpointSlice| {
            let labels: IndexMap<String, String> = slice.labels().clone().into_iter().collect();
            slice.namespace().as_deref() == Some(&service.namespace)
                && match selectors.as_slice() {
                    [] => labels.get(OF_SERVICE) == Some(&service.name),
                    some => some.iter().any(|selector| selector.matches(&labels)),
                }
        };
        let number: usize = slices
            .iter()
            .filter(watched)
            .map(|slice| slice.endpoints.as_ref().map_or(0, Vec::len))
            .sum();
        service.instances = u32::try_from(number).unwrap_or(u32::MAX);
    }
    Ok(shapes)
}

/// The images of the stack's servers, by component.
pub(in crate::target) async fn images(client: &Client) -> Result<BTreeMap<&'static str, String>, Failure> {
    /// Name of the component, and the label of its pods.
    const PODS: [(&str, &str); 6] = [
        ("prometheus", "app.kubernetes.io/name=prometheus"),
        ("alertmanager", "app.kubernetes.io/name=alertmanager"),
        ("elasticsearch", "app.kubernetes.io/name=elasticsearch"),
        ("jaeger", "app.kubernetes.io/instance=monitoring.jaeger"),
        ("otel-collector", "app.kubernetes.io/instance=monitoring.otel"),
        ("loki", "app.kubernetes.io/name=loki"),
    ];
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let listed = pods
        .list(&ListParams::default())
        .await
        .map_err(|error| unanswered("the pods", &error))?;
    let image = |label: &str| {
        let (name, value) = label.split_once('=')?;
        let pod = listed
            .iter()
            .find(|pod| pod.labels().get(name).is_some_and(|is| is == value))?;
        pod.spec.as_ref()?.containers.first()?.image.clone()
    };
    Ok(PODS
        .into_iter()
        .filter_map(|(component, label)| Some((component, image(label)?)))
        .collect())
}

/// Where the node has the data of the stack's Prometheus.
async fn prometheus_data(client: &Client) -> Result<PathBuf, Failure> {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), NAMESPACE);
    let listed = claims
        .list(&ListParams::default())
        .await
        .map_err(|error| unanswered("the claims of volumes", &error))?;
    let volume = listed
        .iter()
        .filter(|claim| claim.name_any().ends_with("-prometheus-prometheus-0"))
        .find_map(|claim| claim.spec.as_ref()?.volume_name.clone())
        .ok_or_else(|| Failure::Environment("no volume is bound to the claim of Prometheus".to_owned()))?;
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let spec = volumes
        .get(&volume)
        .await
        .map_err(|error| unanswered(&format!("the volume {volume}"), &error))?
        .spec
        .unwrap_or_default();
    let path = spec
        .host_path
        .map(|source| source.path)
        .or_else(|| spec.local.map(|source| source.path))
        .ok_or_else(|| Failure::Environment(format!("the volume {volume} is no folder of the node")))?;
    Ok(PathBuf::from(path).join(clones::DATABASE))
}

/// Waits until the cluster's Prometheus watches nothing any more that the run before played: what is gone answers no
/// scrape, and a case would take that for the stack's.
async fn forgotten(
    server: &Prometheus,
    gateway: IpAddr,
    players: &IndexMap<String, Vec<SocketAddr>>,
) -> Result<(), Failure> {
    let played: BTreeSet<SocketAddr> = players.values().flatten().copied().collect();
    Wait::new("what the run before played to be forgotten", FORGOTTEN)
        .every(Duration::from_millis(250))
        .until(|| async {
            match server.targets().await {
                Err(error) => Look::Missing(error.to_string()),
                Ok(targets) => {
                    let urls = targets.iter().map(|target| target.scrape_url.as_str());
                    match gone(urls, gateway, &played) {
                        None => Look::Ready(()),
                        Some(url) => Look::Missing(format!("Prometheus still scrapes {url}")),
                    }
                }
            }
        })
        .await
        .map_err(|error| Failure::Environment(error.to_string()))
}

/// The first of these URLs that leads to the gateway and to nobody there. Pure.
fn gone<'u>(
    mut urls: impl Iterator<Item = &'u str>,
    gateway: IpAddr,
    played: &BTreeSet<SocketAddr>,
) -> Option<&'u str> {
    urls.find(|url| {
        let address = Url::parse(url).ok().and_then(|url| {
            let host = url.host_str()?.parse().ok()?;
            Some(SocketAddr::new(host, url.port_or_known_default()?))
        });
        address.is_some_and(|address| address.ip() == gateway && !played.contains(&address))
    })
}

/// Has lifecycles looked at as often as on processes.
async fn hastened(server: Option<&Elasticsearch>) -> Result<Option<ChangedValue>, Failure> {
    let Some(server) = server else {
        return Ok(None);
    };
    let (setting, from, why) = render::elasticsearch::POLL_INTERVAL;
    let to = POLL_INTERVAL.to_string();
    match server.put_cluster_settings(&json!({setting: to})).await {
        Ok(()) => Ok(Some(ChangedValue {
            object: "the cluster settings of Elasticsearch".to_owned(),
            field: setting.to_owned(),
            from: from.to_owned(),
            to,
            why: why.to_owned(),
        })),
        // A server that does not know the setting has no lifecycles.
        Err(ClientError::Refused { status: 400, .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What differs from the tree because the harness looks at it.
fn changed(reach: &Reach) -> Vec<ChangedValue> {
    let added = |object: &str, to: String, why: &str| ChangedValue {
        object: object.to_owned(),
        field: "the whole object".to_owned(),
        from: "not there".to_owned(),
        to,
        why: why.to_owned(),
    };
    vec![
        added(
            "Service/conform-*",
            "NodePorts in front of the stack's servers".to_owned(),
            "the harness asks and loads them from outside of the cluster",
        ),
        added(
            "NetworkPolicy/conform-played",
            format!("egress to {}", reach.gateway),
            "what is watched and notified is played outside of the cluster",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn slice(service: &str, labels: &[(&str, &str)], endpoints: usize) -> EndpointSlice {
        let mut all: BTreeMap<&str, &str> = labels.iter().copied().collect();
        all.insert(OF_SERVICE, service);
        serde_json::from_value(json!({
            "metadata": {"name": service, "namespace": "monitoring", "labels": all},
            "addressType": "IPv4",
            "endpoints": vec![json!({"addresses": ["10.0.0.1"]}); endpoints],
        }))
        .unwrap()
    }

    #[test]
    fn what_nobody_plays_any_more_is_seen() {
        let gateway: IpAddr = [172, 18, 0, 1].into();
        let played = BTreeSet::from([SocketAddr::new(gateway, 4000)]);
        let gone = |url: &'static str| gone(std::iter::once(url), gateway, &played);
        assert_eq!(gone("http://172.18.0.1:4000/metrics"), None);
        assert_eq!(gone("http://10.244.0.7:4001/metrics"), None);
        assert!(gone("http://172.18.0.1:4001/metrics").is_some());
    }

    #[test]
    fn what_monitors_select_as_one_service_counts_as_one() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let tree = DeployTree::load(&root.join("deploy")).unwrap();
        let shapes = Shapes::load(&root.join("fixtures/shapes.yaml")).unwrap();
        let name = ("app.kubernetes.io/name", "jaeger-collector");
        let kind = "operator.opentelemetry.io/collector-service-type";
        let slices = [
            slice("jaeger-collector", &[name, (kind, "base")], 1),
            slice("jaeger-adaptive-collector", &[name, (kind, "base")], 1),
            slice("jaeger-collector-headless", &[name, (kind, "headless")], 1),
        ];
        let there = BTreeSet::from(["monitoring/jaeger-collector".to_owned()]);
        let counted = counted(&slices, &tree, &shapes, &there).unwrap();
        let instances = |name: &str| {
            let service = counted.services.iter().find(|service| service.name == name);
            service.map(|service| service.instances)
        };
        assert_eq!(instances("jaeger-collector"), Some(2));
        // What is played stays as it is played.
        assert_eq!(instances("api-gateway"), Some(3));
    }
}
