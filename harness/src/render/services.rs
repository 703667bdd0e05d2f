//! The Kubernetes Services that a monitor can select: the tree's own and the players'.

use indexmap::IndexMap;

use crate::deploy::kinds::service::ServiceSpec;
use crate::deploy::kinds::views;
use crate::deploy::{DeployError, DeployTree};
use crate::shapes::Shapes;

/// A Service as discovery sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KnownService {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) labels: IndexMap<String, String>,
    pub(super) ports: Vec<KnownPort>,
    /// How many endpoints it has; the stack's own servers count once, a target may run one replica.
    pub(super) instances: usize,
}

/// A port of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KnownPort {
    pub(super) name: String,
    pub(super) number: u16,
    /// The pods' port, by name or number, where it differs.
    pub(super) target: Option<String>,
}

impl KnownService {
    /// `namespace/name`.
    pub(super) fn key(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// The ports' names, for messages.
    pub(super) fn port_names(&self) -> String {
        let names: Vec<_> = self.ports.iter().map(|p| format!("`{}`", p.name)).collect();
        if names.is_empty() {
            "no ports".to_owned()
        } else {
            names.join(", ")
        }
    }
}

/// All Services. One that the tree declares and a player plays has the tree's labels and ports.
pub(super) fn services(tree: &DeployTree, shapes: &Shapes) -> Result<Vec<KnownService>, DeployError> {
    let mut known: IndexMap<String, KnownService> = IndexMap::new();
    for view in views::<ServiceSpec>(tree)? {
        let service = KnownService {
            namespace: view.object.namespace().to_owned(),
            name: view.object.name().to_owned(),
            labels: view.object.labels(),
            ports: view
                .spec
                .ports
                .iter()
                .map(|port| KnownPort {
                    name: port.name.clone(),
                    number: port.port,
                    target: port.target_port.as_ref().map(|t| t.0.clone()),
                })
                .collect(),
            instances: 1,
        };
        known.insert(service.key(), service);
    }
    for played in &shapes.services {
        let instances = usize::try_from(played.instances).unwrap_or(usize::MAX);
        known
            .entry(played.key())
            .and_modify(|declared| declared.instances = instances)
            .or_insert_with(|| KnownService {
                namespace: played.namespace.clone(),
                name: played.name.clone(),
                labels: played.labels.clone(),
                ports: played
                    .ports
                    .iter()
                    .map(|(name, number)| KnownPort {
                        name: name.clone(),
                        number: *number,
                        target: None,
                    })
                    .collect(),
                instances,
            });
    }
    Ok(known.into_values().collect())
}
