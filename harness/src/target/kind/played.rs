//! What the harness plays for a stack in a cluster: the services that are watched and the receiver of
//! notifications, as Services whose endpoints are on this machine, at its address on the engine's network.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use indexmap::IndexMap;
use serde_json::{Value, json};
use url::Url;

use super::reach::ADDED;
use crate::deploy::DeployTree;
use crate::shapes::{Service, Shapes};

/// The label by which a slice of endpoints belongs to a Service.
pub(super) const OF_SERVICE: &str = "kubernetes.io/service-name";

/// The services of the shapes that are not among those that are `there`, a namespace for each that lacks one
/// included. `endpoints` are those of the players by `namespace/service/port name`.
#[must_use]
pub(super) fn services(
    shapes: &Shapes,
    there: &BTreeSet<String>,
    endpoints: &IndexMap<String, Vec<SocketAddr>>,
) -> Vec<Value> {
    let played: Vec<&Service> = shapes
        .services
        .iter()
        .filter(|service| !there.contains(&service.key()))
        .collect();
    let namespaces: BTreeSet<&str> = played.iter().map(|service| service.namespace.as_str()).collect();
    let mut objects: Vec<Value> = namespaces
        .into_iter()
        .filter(|namespace| *namespace != super::reach::NAMESPACE)
        .map(|namespace| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}))
        .collect();
    for service in played {
        objects.push(played_service(service));
        objects.extend((0..service.instances).map(|number| slice(service, number, endpoints)));
    }
    objects
}

fn played_service(service: &Service) -> Value {
    let mut labels: serde_json::Map<String, Value> = service
        .labels
        .iter()
        .map(|(name, value)| (name.clone(), json!(value)))
        .collect();
    labels.insert(ADDED.to_owned(), json!("played"));
    let ports: Vec<Value> = service
        .ports
        .iter()
        .map(|(name, port)| json!({"name": name, "port": port}))
        .collect();
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": service.name, "namespace": service.namespace, "labels": labels},
        "spec": {"ports": ports},
    })
}

/// One instance: a slice of its own, since the ports of a slice are those of all its addresses.
fn slice(service: &Service, number: u32, endpoints: &IndexMap<String, Vec<SocketAddr>>) -> Value {
    let place = usize::try_from(number).unwrap_or(usize::MAX);
    let at = |port: &str| {
        endpoints
            .get(&format!("{}/{port}", service.key()))
            .and_then(|instances| instances.get(place))
    };
    let ports: Vec<Value> = service
        .ports
        .keys()
        .filter_map(|port| Some(json!({"name": port, "port": at(port)?.port()})))
        .collect();
    let host = service.ports.keys().find_map(|port| at(port)).map(SocketAddr::ip);
    endpoint_slice(
        &format!("{}-{number}", service.name),
        (&service.namespace, &service.name),
        host,
        &json!(ports),
        Some(format!("{}-{number}", service.name)),
    )
}

fn endpoint_slice(
    name: &str,
    (namespace, service): (&str, &str),
    host: Option<IpAddr>,
    ports: &Value,
    pod: Option<String>,
) -> Value {
    let mut endpoint = json!({"conditions": {"ready": true}});
    endpoint["addresses"] = json!(host.iter().map(IpAddr::to_string).collect::<Vec<_>>());
    if let Some(pod) = pod {
        endpoint["targetRef"] = json!({"kind": "Pod", "name": pod, "namespace": namespace});
    }
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {OF_SERVICE: service, ADDED: "played", "endpointslice.kubernetes.io/managed-by": "conform"},
        },
        "addressType": if host.is_some_and(|host| host.is_ipv6()) { "IPv6" } else { "IPv4" },
        "endpoints": [endpoint],
        "ports": ports,
    })
}

/// The Service that the tree's Alertmanager notifies, with the receiver behind it; none where its
/// configuration names no host of the cluster.
#[must_use]
pub(super) fn receiver(tree: &DeployTree, receiver: SocketAddr) -> Vec<Value> {
    let urls: BTreeSet<(String, String, u16)> = tree
        .of_kind("Secret")
        .flat_map(|secret| texts(&secret.value))
        .flat_map(urls)
        .filter_map(|url| {
            let (service, rest) = url.host_str()?.split_once('.')?;
            let namespace = rest.split('.').next()?;
            Some((
                namespace.to_owned(),
                service.to_owned(),
                url.port_or_known_default()?,
            ))
        })
        .collect();
    urls.into_iter()
        .flat_map(|(namespace, service, port)| {
            let ports = json!([{"name": "http", "port": receiver.port()}]);
            [
                json!({
                    "apiVersion": "v1",
                    "kind": "Service",
                    "metadata": {"name": service, "namespace": namespace, "labels": {ADDED: "played"}},
                    "spec": {"ports": [{"name": "http", "port": port}]},
                }),
                endpoint_slice(
                    &service,
                    (&namespace, &service),
                    Some(receiver.ip()),
                    &ports,
                    None,
                ),
            ]
        })
        .collect()
}

/// The texts of a Secret.
fn texts(secret: &Value) -> Vec<&str> {
    secret
        .get("stringData")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(_, text)| text.as_str())
        .collect()
}

/// What follows `url:` in a text, as far as it is a URL.
fn urls(text: &str) -> Vec<Url> {
    text.lines()
        .filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix("url:"))
        .filter_map(|value| Url::parse(value.trim().trim_matches(['"', '\''])).ok())
        .collect()
}

/// Lets the stack's pods reach this machine where the cluster enforces policies: they are let to what the
/// tree names alone, and what is played lies outside of the cluster.
#[must_use]
pub(super) fn policy(gateway: IpAddr) -> Value {
    let bits = if gateway.is_ipv6() { 128 } else { 32 };
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": "conform-played",
            "namespace": super::reach::NAMESPACE,
            "labels": {ADDED: "played"},
        },
        "spec": {
            "podSelector": {},
            "policyTypes": ["Egress"],
            "egress": [{"to": [{"ipBlock": {"cidr": format!("{gateway}/{bits}")}}]}],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn root() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    fn shapes() -> Shapes {
        Shapes::load(&root().join("fixtures/shapes.yaml")).unwrap()
    }

    fn endpoints(shapes: &Shapes) -> IndexMap<String, Vec<SocketAddr>> {
        let mut port = 20_000;
        let mut all: IndexMap<String, Vec<SocketAddr>> = IndexMap::new();
        for service in &shapes.services {
            for name in service.ports.keys() {
                for _ in 0..service.instances {
                    port += 1;
                    let of = all.entry(format!("{}/{name}", service.key())).or_default();
                    of.push(SocketAddr::from(([172, 18, 0, 1], port)));
                }
            }
        }
        all
    }

    #[test]
    fn what_is_there_is_not_played_and_every_instance_of_the_rest_has_a_slice() {
        let shapes = shapes();
        let there = BTreeSet::from(["monitoring/loki".to_owned()]);
        let objects = services(&shapes, &there, &endpoints(&shapes));
        let of_kind = |kind: &str| objects.iter().filter(|one| one["kind"] == kind).count();
        assert_eq!(of_kind("Service"), shapes.services.len() - 1);
        let instances: u32 = shapes
            .services
            .iter()
            .filter(|service| service.name != "loki")
            .map(|service| service.instances)
            .sum();
        assert_eq!(of_kind("EndpointSlice"), instances as usize);
        assert_eq!(of_kind("Namespace"), 2);
        let gateway = objects
            .iter()
            .find(|one| one["kind"] == "EndpointSlice" && one["metadata"]["name"] == "api-gateway-1")
            .unwrap();
        insta::assert_json_snapshot!(gateway);
    }

    #[test]
    fn the_receiver_is_behind_the_host_that_alertmanager_notifies() {
        let tree = DeployTree::load(&root().join("deploy")).unwrap();
        let objects = receiver(&tree, "172.18.0.1:1234".parse().unwrap());
        insta::assert_json_snapshot!(objects);
    }

    #[test]
    fn urls_are_found_with_and_without_quotes() {
        let text = "a:\n  - url: http://a.b:80/x\n    url: \"http://c.d/\"\n  url: ${X}\n";
        let found: Vec<String> = urls(text).iter().map(Url::to_string).collect();
        assert_eq!(found, ["http://a.b/x", "http://c.d/"]);
    }
}
