//! How the harness reaches what runs in a cluster: a `NodePort` Service for each port it asks, and a port of
//! loopback that leads to each. Load takes this way as well, since no process of ours stands in it.
//!
//! What the ports of the servers are is the tree's; what they are on the node is ours, from the band that
//! Kubernetes gives to nobody who does not ask for it (the first 86 of the range, Kubernetes 1.27 and newer).

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use kind_rs::ClusterName;
use kind_rs::config::{Cluster, Mount, Node, PortMapping};
use serde_json::{Value, json};

use super::engine::{Engine, EngineError};
use crate::deploy::DeployTree;

/// The first port of the range for `NodePort`s, unless an API server is told otherwise.
const FIRST: u16 = 30_000;

/// Label of everything that the harness adds to the stack.
pub const ADDED: &str = "conform.llmoptimizer.com/added";
/// The namespace of the stack.
pub(in crate::target) const NAMESPACE: &str = "monitoring";

/// A port of a server of the stack that the harness asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Door {
    /// Prometheus.
    Prometheus,
    /// Alertmanager.
    Alertmanager,
    /// Elasticsearch.
    Elasticsearch,
    /// Loki.
    Loki,
    /// A port of an object of the OpenTelemetry operator.
    Collector(Instance, Port),
}

/// An object of the OpenTelemetry operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Instance {
    /// The Collector.
    Otel,
    /// Jaeger.
    Jaeger,
    /// Jaeger with adaptive sampling.
    JaegerAdaptive,
}

/// A port of such an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Port {
    /// OTLP over gRPC.
    OtlpGrpc,
    /// OTLP over HTTP.
    OtlpHttp,
    /// Health.
    Health,
    /// Its own metrics.
    Metrics,
    /// Jaeger's query.
    Query,
    /// Jaeger's remote sampling over HTTP.
    Sampling,
}

impl Instance {
    const ALL: [Self; 3] = [Self::Otel, Self::Jaeger, Self::JaegerAdaptive];

    /// Name of the object.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Otel => "otel",
            Self::Jaeger => "jaeger",
            Self::JaegerAdaptive => "jaeger-adaptive",
        }
    }
}

impl Port {
    const ALL: [Self; 6] = [
        Self::OtlpGrpc,
        Self::OtlpHttp,
        Self::Health,
        Self::Metrics,
        Self::Query,
        Self::Sampling,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::OtlpGrpc => "otlp-grpc",
            Self::OtlpHttp => "otlp-http",
            Self::Health => "health",
            Self::Metrics => "metrics",
            Self::Query => "query",
            Self::Sampling => "sampling",
        }
    }

    /// Where an object's configuration may say it: an endpoint (`host:port`), or the port alone.
    fn pointers(self) -> &'static [&'static str] {
        match self {
            Self::OtlpGrpc => &["/spec/config/receivers/otlp/protocols/grpc/endpoint"],
            Self::OtlpHttp => &["/spec/config/receivers/otlp/protocols/http/endpoint"],
            Self::Health => &[
                "/spec/config/extensions/health_check/endpoint",
                "/spec/config/extensions/healthcheckv2/http/endpoint",
            ],
            Self::Metrics => {
                &["/spec/config/service/telemetry/metrics/readers/0/pull/exporter/prometheus/port"]
            }
            Self::Query => &["/spec/config/extensions/jaeger_query/http/endpoint"],
            Self::Sampling => &["/spec/config/extensions/remote_sampling/http/endpoint"],
        }
    }
}

impl Door {
    /// Every door that a stack may have.
    pub(in crate::target) fn all() -> Vec<Self> {
        let plain = [
            Self::Prometheus,
            Self::Alertmanager,
            Self::Elasticsearch,
            Self::Loki,
        ];
        let collectors = Instance::ALL.into_iter().flat_map(|instance| {
            Port::ALL
                .into_iter()
                .map(move |port| Self::Collector(instance, port))
        });
        plain.into_iter().chain(collectors).collect()
    }

    /// Its Service's name.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Prometheus => "conform-prometheus".to_owned(),
            Self::Alertmanager => "conform-alertmanager".to_owned(),
            Self::Elasticsearch => "conform-elasticsearch".to_owned(),
            Self::Loki => "conform-loki".to_owned(),
            Self::Collector(instance, port) => format!("conform-{}-{}", instance.name(), port.name()),
        }
    }

    /// The port of every node that leads to it.
    fn node_port(self) -> u16 {
        let place = Self::all()
            .iter()
            .position(|door| *door == self)
            .unwrap_or_default();
        FIRST.saturating_add(u16::try_from(place).unwrap_or_default())
    }

    /// The pods behind it, and their port (number or name), as the tree has them; none where it does not.
    pub(in crate::target) fn behind(self, tree: &DeployTree) -> Option<(Value, Value)> {
        match self {
            Self::Prometheus => of_service(tree, "Service/prometheus"),
            Self::Alertmanager => of_service(tree, "Service/alertmanager"),
            Self::Elasticsearch => of_service(tree, "Service/elasticsearch"),
            Self::Loki => of_service(tree, "Service/loki"),
            Self::Collector(instance, port) => {
                let object = tree
                    .object(&format!("OpenTelemetryCollector/{}", instance.name()))
                    .ok()?;
                let number = port
                    .pointers()
                    .iter()
                    .find_map(|pointer| object.value.pointer(pointer).and_then(number))?;
                // The labels that the operator gives the pods of an object.
                let selector = json!({
                    "app.kubernetes.io/managed-by": "opentelemetry-operator",
                    "app.kubernetes.io/component": "opentelemetry-collector",
                    "app.kubernetes.io/instance": format!("{NAMESPACE}.{}", instance.name()),
                });
                Some((selector, json!(number)))
            }
        }
    }
}

/// The selector of a Service and the target of its first port.
fn of_service(tree: &DeployTree, id: &str) -> Option<(Value, Value)> {
    let service = &tree.object(id).ok()?.value;
    let target = service
        .pointer("/spec/ports/0/targetPort")
        .or_else(|| service.pointer("/spec/ports/0/port"))?;
    Some((service.pointer("/spec/selector")?.clone(), target.clone()))
}

/// The port of an endpoint, or a port.
fn number(value: &Value) -> Option<u16> {
    match value {
        Value::Number(number) => u16::try_from(number.as_u64()?).ok(),
        Value::String(text) => text.rsplit(':').next()?.parse().ok(),
        _ => None,
    }
}

/// A cluster whose node lets the harness in, from loopback alone, and has the folder for `runs` at its own path:
/// volumes of clones are folders of a run.
#[must_use]
pub fn config(runs: &Path) -> Cluster {
    let mappings = Door::all().into_iter().map(|door| PortMapping {
        listen_address: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        ..PortMapping::new(door.node_port())
    });
    Cluster {
        nodes: vec![Node {
            extra_port_mappings: mappings.collect(),
            extra_mounts: vec![Mount {
                host_path: runs.to_owned(),
                container_path: runs.to_owned(),
                read_only: false,
                selinux_relabel: false,
                propagation: None,
            }],
            ..Node::control_plane()
        }],
        ..Cluster::default()
    }
}

/// The Services in front of what the tree has.
#[must_use]
pub fn services(tree: &DeployTree) -> Vec<Value> {
    Door::all()
        .into_iter()
        .filter_map(|door| {
            let (selector, target) = door.behind(tree)?;
            Some(json!({
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {
                    "name": door.name(),
                    "namespace": NAMESPACE,
                    "labels": {ADDED: "door"},
                },
                "spec": {
                    "type": "NodePort",
                    "selector": selector,
                    "ports": [{
                        "name": "asked",
                        "port": door.node_port(),
                        "nodePort": door.node_port(),
                        "targetPort": target,
                    }],
                },
            }))
        })
        .collect()
}

/// How a cluster's node is reached, and how what runs in it reaches this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// The node's container.
    pub node: String,
    /// This machine's address on the engine's network.
    pub gateway: IpAddr,
    /// Ports of loopback by the node's.
    ports: BTreeMap<u16, u16>,
}

/// Why a node cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum ReachError {
    /// The engine does not say.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// It says something else.
    #[error(
        "the engine tells no {what} of the node {node}: remove the cluster, and let the next run make another"
    )]
    Unknown {
        /// What is missing.
        what: &'static str,
        /// The container.
        node: String,
    },
}

impl Reach {
    /// Asks the engine about a cluster's node.
    pub async fn of(engine: &Engine, cluster: &ClusterName, network: &str) -> Result<Self, ReachError> {
        let node = format!("{cluster}-control-plane");
        let told = engine
            .ask_json(&["inspect", "--type", "container", &node])
            .await?;
        Self::read(node, &told, network)
    }

    fn read(node: String, told: &Value, network: &str) -> Result<Self, ReachError> {
        let settings = told.pointer("/0/NetworkSettings").unwrap_or(&Value::Null);
        let gateway = settings
            .get("Networks")
            .and_then(|networks| networks.get(network)?.get("Gateway")?.as_str()?.parse().ok());
        let Some(gateway) = gateway else {
            return Err(ReachError::Unknown {
                what: "gateway",
                node,
            });
        };
        let ports: BTreeMap<u16, u16> = settings
            .get("Ports")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .filter_map(|(inside, outside)| {
                let inside = inside.strip_suffix("/tcp")?.parse().ok()?;
                let outside = outside.pointer("/0/HostPort")?.as_str()?.parse().ok()?;
                Some((inside, outside))
            })
            .collect();
        if Door::all()
            .iter()
            .any(|door| !ports.contains_key(&door.node_port()))
        {
            return Err(ReachError::Unknown {
                what: "mapped port",
                node,
            });
        }
        Ok(Self { node, gateway, ports })
    }

    /// Where a door is, from this machine.
    #[must_use]
    pub fn address(&self, door: Door) -> SocketAddr {
        // Every door has a port, or there would be no value of this type.
        let port = self.ports.get(&door.node_port()).copied().unwrap_or_default();
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> DeployTree {
        DeployTree::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")).unwrap()
    }

    #[test]
    fn every_door_has_a_port_of_its_own_in_the_band_that_is_given_to_nobody() {
        let ports: std::collections::BTreeSet<u16> = Door::all().into_iter().map(Door::node_port).collect();
        assert_eq!(ports.len(), Door::all().len());
        assert!(ports.iter().all(|port| (FIRST..FIRST + 86).contains(port)));
        let mapped = &config(Path::new("/runs")).nodes[0].extra_port_mappings;
        assert!(mapped.iter().all(|one| ports.contains(&one.container_port)));
        assert_eq!(mapped.len(), ports.len());
    }

    #[test]
    fn the_tree_has_something_behind_every_door_but_two() {
        let made: Vec<String> = services(&tree())
            .iter()
            .map(|service| service["metadata"]["name"].as_str().unwrap().to_owned())
            .collect();
        let none: Vec<String> = Door::all()
            .into_iter()
            .map(Door::name)
            .filter(|name| !made.contains(name))
            .collect();
        // The Collector has no query and no sampling, and Jaeger's query is asked at one of the two.
        assert_eq!(
            none,
            [
                "conform-otel-query",
                "conform-otel-sampling",
                "conform-jaeger-adaptive-query"
            ]
        );
    }

    #[test]
    fn ports_come_from_the_trees_services_and_configurations() {
        let target = |name: &str| {
            services(&tree())
                .into_iter()
                .find(|service| service["metadata"]["name"] == name)
                .map(|service| service["spec"]["ports"][0]["targetPort"].clone())
        };
        assert_eq!(target("conform-prometheus"), Some(json!("web")));
        assert_eq!(target("conform-otel-otlp-grpc"), Some(json!(4317)));
        assert_eq!(target("conform-jaeger-query"), Some(json!(16686)));
    }

    #[test]
    fn the_engine_tells_gateway_and_ports() {
        let ports: serde_json::Map<String, Value> = Door::all()
            .into_iter()
            .zip(40_000_u16..)
            .map(|(door, outside)| {
                let said = json!([{"HostIp": "127.0.0.1", "HostPort": outside.to_string()}]);
                (format!("{}/tcp", door.node_port()), said)
            })
            .collect();
        let mut told = json!([{"NetworkSettings": {
            "Networks": {"conform-1": {"Gateway": "172.18.0.1"}},
            "Ports": ports,
        }}]);
        let reach = Reach::read("n".to_owned(), &told, "conform-1").unwrap();
        assert_eq!(reach.gateway, IpAddr::from([172, 18, 0, 1]));
        assert_eq!(
            reach.address(Door::Alertmanager),
            "127.0.0.1:40001".parse().unwrap()
        );

        assert!(Reach::read("n".to_owned(), &told, "another").is_err());
        told[0]["NetworkSettings"]["Ports"] = json!({});
        let error = Reach::read("n".to_owned(), &told, "conform-1").unwrap_err();
        assert!(
            error.to_string().contains("no mapped port of the node n"),
            "{error}"
        );
    }
}
