//! Elasticsearch's HTTP API (8.x): one node of a cluster is asked for all of it.

use std::time::Duration;

use indexmap::IndexMap;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::ClientError;
use super::http::{Answer, Server};
use crate::wait::{Look, Wait, WaitError};

pub mod documents;
pub mod indices;
pub mod lifecycle;
#[cfg(test)]
mod recorded;
pub mod snapshots;

pub use documents::{BulkAnswer, BulkItem, Hit, SearchAnswer};
pub use indices::{CatAllocation, CatShard};
pub use lifecycle::{Explain, Step, StepTrouble};
pub use snapshots::Snapshot;

/// Module that brings the stock lifecycle (Elasticsearch 8.x, `modules/x-pack-ilm`).
const STOCK_LIFECYCLE: &str = "x-pack-ilm";
/// Our own plugin that brings a stand-in for the loop.
const STAND_IN_LIFECYCLE: &str = "conform-lifecycle";
/// Module that brings the snapshot lifecycle.
const STOCK_SNAPSHOT_LIFECYCLE: &str = "x-pack-slm";

/// A client of a cluster, through one of its nodes.
#[derive(Debug, Clone)]
pub struct Elasticsearch {
    server: Server,
}

/// Who answers at `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// Name of the node asked.
    pub node: String,
    /// Name of the cluster.
    pub cluster: String,
    /// Version, for example `8.19.0`.
    pub version: String,
}

/// How the cluster is, worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// All shards are active.
    Green,
    /// All primaries are active, some replicas are not.
    Yellow,
    /// Some primaries are not active.
    Red,
}

/// `/_cluster/health`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Health {
    /// The worst of all indices.
    pub status: HealthStatus,
    /// Nodes in the cluster.
    pub number_of_nodes: u32,
    /// Nodes that hold data.
    pub number_of_data_nodes: u32,
    /// Active shards.
    pub active_shards: u32,
    /// Shards on their way from one node to another.
    pub relocating_shards: u32,
    /// Shards being set up.
    pub initializing_shards: u32,
    /// Shards without a node.
    pub unassigned_shards: u32,
    /// Changes of the cluster's state that wait for the master.
    pub number_of_pending_tasks: u32,
}

/// A node with what it is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its roles, for example `data_hot`.
    pub roles: Vec<String>,
    /// Names of its modules.
    pub modules: Vec<String>,
    /// Names of its plugins.
    pub plugins: Vec<String>,
}

/// Who walks indices through their lifecycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifecycle {
    /// Elastic's own module.
    Stock,
    /// Our stand-in loop over Elastic's steps.
    StandIn,
    /// Nobody.
    Absent,
}

impl Elasticsearch {
    /// A client of the node at `base` (`http://host:port/`).
    pub fn new(base: Url) -> Result<Self, ClientError> {
        Ok(Self {
            server: Server::new("elasticsearch", base)?,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn base(&self) -> &Url {
        self.server.base()
    }

    /// Who answers.
    pub async fn root(&self) -> Result<Root, ClientError> {
        #[derive(Deserialize)]
        struct Version {
            number: String,
        }
        #[derive(Deserialize)]
        struct Wire {
            name: String,
            cluster_name: String,
            version: Version,
        }
        let root: Wire = self.server.get("/").await?.json()?;
        Ok(Root {
            node: root.name,
            cluster: root.cluster_name,
            version: root.version.number,
        })
    }

    /// How the cluster is, of all indices or those that match `indices`. Asks without waiting: a cluster
    /// that has no master yet refuses.
    pub async fn health(&self, indices: Option<&str>) -> Result<Health, ClientError> {
        let path = match indices {
            Some(indices) => format!("/_cluster/health/{indices}?master_timeout=5s"),
            None => "/_cluster/health?master_timeout=5s".to_owned(),
        };
        self.server.get(&path).await?.json()
    }

    /// Waits until the cluster has at least `nodes` nodes, no shard is under way and no index that matches
    /// `indices` is worse than `status`.
    pub async fn settled(
        &self,
        indices: Option<&str>,
        status: HealthStatus,
        nodes: u32,
        bound: Duration,
    ) -> Result<Health, WaitError> {
        Wait::new(
            format!("elasticsearch with {nodes} nodes and {status:?} or better"),
            bound,
        )
        .until(|| async {
            match self.health(indices).await {
                Ok(health)
                    if health.status <= status
                        && health.number_of_nodes >= nodes
                        && health.relocating_shards == 0
                        && health.initializing_shards == 0 =>
                {
                    Look::Ready(health)
                }
                Ok(health) => Look::Missing(format!(
                    "{:?}, {} nodes; shards: {} relocating, {} initializing, {} unassigned",
                    health.status,
                    health.number_of_nodes,
                    health.relocating_shards,
                    health.initializing_shards,
                    health.unassigned_shards
                )),
                Err(error) => Look::Missing(error.to_string()),
            }
        })
        .await
    }

    /// What the nodes' own clocks say: unix milliseconds by node name (`timestamp` of `/_nodes/stats`,
    /// which the node reads when it is asked).
    pub async fn clocks(&self) -> Result<IndexMap<String, i64>, ClientError> {
        #[derive(Deserialize)]
        struct Stats {
            timestamp: i64,
            name: String,
        }
        #[derive(Deserialize)]
        struct Wire {
            nodes: IndexMap<String, Stats>,
        }
        let stats: Wire = self
            .server
            .get("/_nodes/stats/process?filter_path=nodes.*.timestamp,nodes.*.name")
            .await?
            .json()?;
        Ok(stats
            .nodes
            .into_values()
            .map(|node| (node.name, node.timestamp))
            .collect())
    }

    /// The nodes of the cluster with their roles, modules and plugins (`/_nodes/plugins`).
    pub async fn nodes(&self) -> Result<Vec<Node>, ClientError> {
        #[derive(Deserialize)]
        struct Part {
            name: String,
        }
        #[derive(Deserialize)]
        struct Wire {
            name: String,
            version: String,
            roles: Vec<String>,
            #[serde(default)]
            modules: Vec<Part>,
            #[serde(default)]
            plugins: Vec<Part>,
        }
        #[derive(Deserialize)]
        struct Nodes {
            nodes: IndexMap<String, Wire>,
        }
        let names = |parts: Vec<Part>| parts.into_iter().map(|part| part.name).collect();
        let nodes: Nodes = self.server.get("/_nodes/plugins").await?.json()?;
        let mut nodes: Vec<Node> = nodes
            .nodes
            .into_values()
            .map(|node| Node {
                name: node.name,
                version: node.version,
                roles: node.roles,
                modules: names(node.modules),
                plugins: names(node.plugins),
            })
            .collect();
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(nodes)
    }

    /// Settings of the cluster, raw and flat (`persistent`, `transient`, `defaults`).
    pub async fn cluster_settings(&self) -> Result<Value, ClientError> {
        self.server
            .get("/_cluster/settings?flat_settings=true&include_defaults=true")
            .await?
            .json()
    }

    /// Sets persistent settings of the cluster.
    pub async fn put_cluster_settings(&self, settings: &Value) -> Result<(), ClientError> {
        self.send(
            Method::PUT,
            "/_cluster/settings",
            Some(&json!({ "persistent": settings })),
        )
        .await
        .map(drop)
    }

    /// Anything else, raw: an answer that is not a success is an error.
    pub async fn raw(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, ClientError> {
        let answer = self.send(method, path, body).await?;
        if answer.body.is_empty() {
            return Ok(Value::Null);
        }
        answer.json()
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, ClientError> {
        self.server
            .ask(method, path, |request| match body {
                Some(body) => request.json(body),
                None => request,
            })
            .await
    }
}

impl Lifecycle {
    /// Who walks the indices of a cluster of these nodes. Every node has to have it: whichever is master
    /// does the walking.
    #[must_use]
    pub fn of(nodes: &[Node]) -> Self {
        let all = |has: &dyn Fn(&Node) -> bool| !nodes.is_empty() && nodes.iter().all(has);
        if all(&|node| node.modules.iter().any(|name| name == STOCK_LIFECYCLE)) {
            Self::Stock
        } else if all(&|node| {
            node.plugins
                .iter()
                .chain(&node.modules)
                .any(|name| name == STAND_IN_LIFECYCLE)
        }) {
            Self::StandIn
        } else {
            Self::Absent
        }
    }
}

/// Whether every node has the stock snapshot lifecycle.
#[must_use]
pub fn has_snapshot_lifecycle(nodes: &[Node]) -> bool {
    !nodes.is_empty()
        && nodes
            .iter()
            .all(|node| node.modules.iter().any(|name| name == STOCK_SNAPSHOT_LIFECYCLE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn node(modules: &[&str], plugins: &[&str]) -> Node {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Node {
            name: "hot".into(),
            version: "8.19.0".into(),
            roles: Vec::new(),
            modules: names(modules),
            plugins: names(plugins),
        }
    }

    #[rstest]
    #[case(&[node(&["x-pack-core", "x-pack-ilm"], &[])], Lifecycle::Stock)]
    #[case(&[node(&["x-pack-core"], &["conform-lifecycle"])], Lifecycle::StandIn)]
    #[case(&[node(&["x-pack-core"], &["conform-lifecycle"]), node(&["x-pack-core"], &[])], Lifecycle::Absent)]
    #[case(&[node(&["x-pack-core"], &[])], Lifecycle::Absent)]
    #[case(&[], Lifecycle::Absent)]
    fn the_nodes_parts_tell_who_walks_the_lifecycle(#[case] nodes: &[Node], #[case] expected: Lifecycle) {
        assert_eq!(Lifecycle::of(nodes), expected);
    }

    #[test]
    fn green_is_better_than_yellow_and_red() {
        assert!(HealthStatus::Green < HealthStatus::Yellow && HealthStatus::Yellow < HealthStatus::Red);
    }
}
