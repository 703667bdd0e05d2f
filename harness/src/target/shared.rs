//! The shared servers beside Prometheus and Alertmanager: those that a run needs, side by side where
//! one does not need another.

use std::future::Future;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use indexmap::IndexMap;

use super::failure::Failure;
use super::memory;
use super::needs::Needs;
use super::outfit::{self, NodeSpec, Outfit, Spot};
use super::process::Process;
use super::server::Ready;
use super::workshop::{Grounds, PORT_TRIES};
use crate::component::collector::Collector;
use crate::component::elasticsearch::{Elasticsearch, HealthStatus, Lifecycle, Node, has_snapshot_lifecycle};
use crate::component::jaeger::Jaeger;
use crate::component::loki::Loki;
use crate::progress::Progress;
use crate::render::elasticsearch::Tier;
use crate::stack::{Capability, CollectorClone, JaegerClone, LokiClone, Missing, StandIn, TraceStore};
use crate::units::format_duration;

/// Memory that a node of a tier of its own takes at most, with its heap as the target sets it: measured
/// on Elasticsearch 8.19.0 under the load of the cases, rounded up.
const NODE_MEMORY: u64 = 800 * 1024 * 1024;
/// Longest until the nodes have formed a cluster, on a machine that is busy with something else.
const CLUSTER_BOUND: Duration = Duration::from_secs(120);

/// The shared servers that were started.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) elasticsearch: Option<Elasticsearch>,
    pub(super) jaeger: Option<Jaeger>,
    pub(super) jaeger_adaptive: Option<Jaeger>,
    pub(super) collector: Option<Collector>,
    pub(super) loki: Option<Loki>,
    /// Their processes by name.
    pub(super) processes: Vec<(String, Process)>,
    /// What was seen of each component while it runs.
    pub(super) seen: IndexMap<String, Seen>,
}

/// What was seen of a running component.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) version: Option<String>,
    pub(super) capabilities: Vec<Capability>,
    pub(super) missing: Vec<Missing>,
    pub(super) stand_ins: Vec<StandIn>,
}

/// What the start of the shared servers is given.
pub(super) struct Start<'a> {
    pub(super) grounds: &'a Grounds,
    pub(super) needs: &'a Needs,
    pub(super) artifacts: &'a std::path::Path,
    pub(super) progress: &'a Progress,
    pub(super) begin: Instant,
}

impl Start<'_> {
    /// Starts what is needed and can be had; the first failure ends it.
    pub(super) async fn all(&self) -> Result<Shared, Failure> {
        let (traces, loki) = tokio::try_join!(self.traces(), self.loki())?;
        let mut shared = traces;
        if let Some((client, process)) = loki {
            shared.seen.insert(
                "loki".to_owned(),
                Seen {
                    version: client.version().await.ok(),
                    ..Seen::default()
                },
            );
            shared.loki = Some(client);
            shared.processes.push(("loki".to_owned(), process));
        }
        Ok(shared)
    }

    /// Whether a server's executable is at hand.
    fn has(&self, executable: &str) -> bool {
        self.grounds.executables.contains_key(executable)
    }

    /// Elasticsearch, then the Jaegers on it, then the Collector that sends to Jaeger.
    async fn traces(&self) -> Result<Shared, Failure> {
        let mut shared = Shared::default();
        if self.needs.elasticsearch() && self.has("elasticsearch") {
            let (client, nodes, processes) = self.elasticsearch().await?;
            shared.seen.insert("elasticsearch".to_owned(), seen(&nodes));
            shared.processes.extend(processes);
            shared.elasticsearch = Some(client);
        }
        if let Some(store) = &shared.elasticsearch
            && self.has("jaeger")
        {
            let wanted = |needed: bool, adaptive: bool| async move {
                if !needed || !outfit::declares_jaeger(&self.grounds.tree, adaptive) {
                    return Ok(None);
                }
                let name = if adaptive { "jaeger-adaptive" } else { "jaeger" };
                let declared = JaegerClone {
                    adaptive,
                    ..JaegerClone::named(
                        name,
                        TraceStore::Elasticsearch {
                            url: store.base().clone(),
                            index_prefix: String::new(),
                        },
                    )
                };
                self.server(name, |spot| outfit::jaeger(self.grounds, spot, &declared))
                    .await
                    .map(Some)
            };
            let (jaeger, adaptive) = tokio::try_join!(
                wanted(self.needs.jaeger(), false),
                wanted(self.needs.jaeger_adaptive(), true)
            )?;
            let mut seen = Seen::default();
            if let Some((client, process)) = jaeger {
                shared.processes.push(("jaeger".to_owned(), process));
                shared.jaeger = Some(client);
            }
            if let Some((client, process)) = adaptive {
                seen.capabilities.push(Capability::JaegerAdaptive);
                shared.processes.push(("jaeger-adaptive".to_owned(), process));
                shared.jaeger_adaptive = Some(client);
            } else if self.needs.jaeger_adaptive() {
                seen.missing.push(Missing {
                    capability: Capability::JaegerAdaptive,
                    reason: "the deploy tree declares no Jaeger with adaptive sampling".to_owned(),
                });
            }
            shared.seen.insert("jaeger".to_owned(), seen);
        }
        if self.needs.collector() && self.has(outfit::COLLECTOR) {
            // Without a Jaeger it sends to a port on which nobody listens, and says so only when it has something.
            let to = match &shared.jaeger {
                Some(jaeger) => jaeger.endpoints().otlp_grpc,
                None => super::workshop::free_address()?,
            };
            let declared = CollectorClone::named("collector", to);
            let (client, process) = self
                .server("collector", |spot| {
                    outfit::collector(self.grounds, spot, &declared)
                })
                .await?;
            shared.processes.push(("collector".to_owned(), process));
            shared.collector = Some(client);
        }
        Ok(shared)
    }

    async fn loki(&self) -> Result<Option<(Loki, Process)>, Failure> {
        if !(self.needs.loki() && self.has("loki")) {
            return Ok(None);
        }
        let declared = LokiClone::named("loki");
        self.server("loki", |spot| outfit::loki(self.grounds, spot, &declared))
            .await
            .map(Some)
    }

    /// One node a tier where memory allows, else one with all of them; with what the tree sets up in it.
    async fn elasticsearch(&self) -> Result<(Elasticsearch, Vec<Node>, Vec<(String, Process)>), Failure> {
        let free = memory::available();
        let node = |name: &str, tiers: &[Tier]| NodeSpec {
            name: name.to_owned(),
            tiers: tiers.to_vec(),
            spot: self.spot(&format!("elasticsearch-{name}")),
        };
        let specs: Vec<NodeSpec> = if free.is_none_or(|free| free >= 3 * NODE_MEMORY) {
            Tier::ALL
                .into_iter()
                .map(|tier| node(tier.name(), &[tier]))
                .collect()
        } else {
            self.progress.step(
                "elasticsearch",
                format!(
                    "one node with all tiers: {} MiB of memory are left",
                    free.unwrap_or_default() / (1024 * 1024)
                ),
            );
            vec![node("all", &Tier::ALL)]
        };
        let repositories = self.grounds.folder.join("repositories");
        let (client, processes) = again(self.progress, || async {
            self.progress
                .step("elasticsearch", format!("starting {} nodes", specs.len()));
            let nodes = outfit::cluster(self.grounds, &specs, &repositories, &[])?;
            let client = nodes
                .first()
                .map(|node| node.client.clone())
                .ok_or_else(|| Failure::Environment("an Elasticsearch without nodes".to_owned()))?;
            let started = nodes
                .iter()
                .map(|node| node.server.start(&node.client, &self.grounds.cancel));
            let processes = futures::future::try_join_all(started).await?;
            let names = specs.iter().map(|node| format!("elasticsearch-{}", node.name));
            Ok((client, names.zip(processes).collect::<Vec<_>>()))
        })
        .await?;
        let count = u32::try_from(specs.len()).unwrap_or(u32::MAX);
        client
            .settled(None, HealthStatus::Yellow, count, CLUSTER_BOUND)
            .await
            .map_err(|error| Failure::Environment(error.to_string()))?;
        let nodes = client.nodes().await?;
        outfit::set_up(self.grounds, &client, &nodes, &repositories).await?;
        self.progress.done(
            "elasticsearch",
            format!("ready after {}", format_duration(self.begin.elapsed())),
        );
        Ok((client, nodes, processes))
    }

    fn spot(&self, name: &str) -> Spot {
        Spot {
            folder: self.grounds.folder.join(name),
            artifacts: self.artifacts.join(name),
        }
    }

    /// Starts one server and waits until it is ready; again on other ports when someone else takes one.
    async fn server<C: Ready + Clone>(
        &self,
        name: &str,
        outfit: impl Fn(&Spot) -> Result<Outfit<C>, Failure>,
    ) -> Result<(C, Process), Failure> {
        again(self.progress, || async {
            let Outfit { server, client } = outfit(&self.spot(name))?;
            self.progress.step(name, "starting");
            let process = server.start(&client, &self.grounds.cancel).await?;
            self.progress.done(
                name,
                format!("ready after {}", format_duration(self.begin.elapsed())),
            );
            Ok((client, process))
        })
        .await
    }
}

/// Tries again on other ports when someone else takes one in between.
pub(super) async fn again<T, F, Fut>(progress: &Progress, attempt: F) -> Result<T, Failure>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<T, Failure>>,
{
    let mut tries = 1;
    loop {
        match attempt().await {
            Err(Failure::PortTaken(why)) if tries < PORT_TRIES => {
                progress.step("stack", format!("other ports, because {why}"));
                tries += 1;
            }
            ended => return ended,
        }
    }
}

/// What the nodes of a cluster bring and lack.
pub(super) fn seen(nodes: &[Node]) -> Seen {
    let mut seen = Seen {
        version: nodes.first().map(|node| node.version.clone()),
        capabilities: vec![Capability::SnapshotRepository],
        ..Seen::default()
    };
    let mut lacks = |capability, reason: &str| {
        seen.missing.push(Missing {
            capability,
            reason: reason.to_owned(),
        });
    };
    let own = |role: &str| {
        nodes.iter().any(|node| {
            node.roles
                .iter()
                .filter(|r| r.starts_with("data_") && *r != "data_content")
                .eq([role])
        })
    };
    let tiers = ["data_hot", "data_warm", "data_cold"].into_iter().all(own);
    if !tiers {
        lacks(
            Capability::Tiers,
            "one node holds all tiers; three nodes need 2.4 GB of free memory",
        );
    }
    let lifecycle = Lifecycle::of(nodes);
    if lifecycle == Lifecycle::Absent {
        lacks(
            Capability::Lifecycle,
            "this Elasticsearch has no lifecycle module (x-pack-ilm), and the stand-in is not installed; give a full \
             distribution",
        );
    }
    let snapshots = has_snapshot_lifecycle(nodes);
    if !snapshots {
        lacks(
            Capability::SnapshotLifecycle,
            "this Elasticsearch has no snapshot lifecycle module (x-pack-slm), as when it was assembled from Maven \
             artifacts; give a full distribution",
        );
    }
    if tiers {
        seen.capabilities.push(Capability::Tiers);
    }
    if lifecycle != Lifecycle::Absent {
        seen.capabilities.push(Capability::Lifecycle);
    }
    if lifecycle == Lifecycle::StandIn {
        seen.stand_ins.push(StandIn {
            capability: Capability::Lifecycle,
            says: "stand-in loop over Elastic's steps".to_owned(),
        });
    }
    if snapshots {
        seen.capabilities.push(Capability::SnapshotLifecycle);
    }
    seen
}

/// Where libfaketime is: the acquired one, else the system's.
pub(super) fn clock_library(executables: &IndexMap<String, PathBuf>) -> Option<PathBuf> {
    executables
        .get(outfit::CLOCK)
        .cloned()
        .or_else(super::clock::system_library)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, roles: &[&str], plugins: &[&str]) -> Node {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Node {
            name: name.into(),
            version: "8.19.0".into(),
            roles: owned(roles),
            modules: vec!["x-pack-core".into()],
            plugins: owned(plugins),
        }
    }

    #[test]
    fn a_stand_in_is_named_and_what_lacks_has_a_reason() {
        let plugins = ["conform-lifecycle"];
        let seen = seen(&[
            node("hot", &["data_content", "data_hot", "ingest", "master"], &plugins),
            node("warm", &["data_warm"], &plugins),
            node("cold", &["data_cold"], &plugins),
        ]);
        assert_eq!(
            seen.capabilities,
            [
                Capability::SnapshotRepository,
                Capability::Tiers,
                Capability::Lifecycle
            ]
        );
        assert_eq!(
            seen.stand_ins[0].to_string(),
            "lifecycle: stand-in loop over Elastic's steps"
        );
        assert_eq!(seen.missing.len(), 1);
        assert_eq!(seen.missing[0].capability, Capability::SnapshotLifecycle);
    }

    #[test]
    fn one_node_with_all_tiers_has_no_tiers_of_their_own() {
        let seen = seen(&[node(
            "all",
            &["data_hot", "data_warm", "data_cold", "master"],
            &[],
        )]);
        let lacking: Vec<Capability> = seen.missing.iter().map(|missing| missing.capability).collect();
        assert_eq!(
            lacking,
            [
                Capability::Tiers,
                Capability::Lifecycle,
                Capability::SnapshotLifecycle
            ]
        );
    }
}
