//! Elasticsearch: `elasticsearch.yml` of a node out of the `ConfigMap`s of its tiers, and what is set up in the
//! cluster out of the `ConfigMap` of the setup job.
//!
//! Semantics of Elasticsearch 8.19.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};

use super::changes::Changes;
use super::document::Document;
use super::environment::environment;
use super::pipelines::{LOCAL, PLAIN, one_file};
use super::{RenderError, Rendered, yaml};
use crate::deploy::kinds::named;
use crate::deploy::kinds::stateful_set::StatefulSetSpec;
use crate::deploy::{DeployError, DeployTree};
use crate::units::{Bytes, Span};

mod setup;

pub use setup::{ElasticsearchSetup, ElasticsearchSetupRequest, SetupRequest, render as setup};

/// Name of the rendered file; its folder is `ES_PATH_CONF`.
pub const FILE: &str = "config/elasticsearch.yml";

/// A tier of nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tier {
    /// Takes what is written.
    Hot,
    /// What has been rolled over for a while.
    Warm,
    /// What is read seldom.
    Cold,
}

impl Tier {
    /// All tiers, in the order indices pass them.
    pub const ALL: [Self; 3] = [Self::Hot, Self::Warm, Self::Cold];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hot => "hot",
            Self::Warm => "warm",
            Self::Cold => "cold",
        }
    }

    /// Name of its `StatefulSet` and of its `ConfigMap`.
    fn object(self) -> String {
        format!("elasticsearch-{}", self.name())
    }
}

/// How much of a disk has to stay free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermarks {
    /// With less, no further shards come.
    pub low: Bytes,
    /// With less, shards move away.
    pub high: Bytes,
    /// With less, indices become read-only.
    pub flood_stage: Bytes,
}

/// How often lifecycles are looked at: the setting, which a running cluster takes as well, its default
/// (Elasticsearch 8.19), and why it is another here.
pub const POLL_INTERVAL: (&str, &str, &str) = (
    "indices.lifecycle.poll_interval",
    "10m",
    "transitions are to be seen soon after their age is reached; ages stay as declared",
);

/// What to render a node for.
#[derive(Debug, Clone)]
pub struct ElasticsearchRequest<'a> {
    /// Its name, unique in the cluster.
    pub name: &'a str,
    /// Its tiers: one, or all of them.
    pub tiers: &'a [Tier],
    /// Where it answers HTTP.
    pub http: SocketAddr,
    /// Where it talks to other nodes.
    pub transport: SocketAddr,
    /// Transport addresses of the nodes it looks for.
    pub seed_hosts: &'a [SocketAddr],
    /// Names of the nodes that form a new cluster.
    pub initial_masters: &'a [String],
    /// Folder of its data and logs, absolute.
    pub folder: &'a Path,
    /// Folder below which snapshot repositories may lie, absolute and the same on every node.
    pub repositories: &'a Path,
    /// Its heap.
    pub heap: Bytes,
    /// How often lifecycles are looked at, in place of the server's 10 minutes. Needs a server that knows the setting.
    pub lifecycle_poll_interval: Option<Span>,
    /// In place of the declared watermarks.
    pub watermarks: Option<Watermarks>,
}

/// Renders a node.
pub fn render(tree: &DeployTree, request: &ElasticsearchRequest<'_>) -> Result<Rendered, RenderError> {
    let mut changes = Changes::default();
    let mut document = file(tree, request.tiers, &mut changes)?;
    addresses(&mut document, request, &mut changes);
    plain(&mut document, &mut changes);
    bent(&mut document, request, &mut changes);
    document.finished(&[request.folder, request.repositories])?;
    let environment = variables(tree, request, &mut changes)?;
    Ok(Rendered {
        files: one_file(FILE, yaml::write(FILE, &document.content)?),
        arguments: Vec::new(),
        environment,
        changed_values: changes.0,
    })
}

/// The file of the first tier, with the roles of all. Nothing but the roles may differ between tiers
/// that one node stands for.
fn file<'t>(
    tree: &'t DeployTree,
    tiers: &[Tier],
    changes: &mut Changes,
) -> Result<Document<'t>, RenderError> {
    let (first, others) = tiers.split_first().unwrap_or((&Tier::Hot, &[]));
    let mut document = Document::in_config_map(tree, &first.object(), "elasticsearch.yml")?;
    let mut roles = list(&document, "node.roles")?;
    for tier in others {
        let other = Document::in_config_map(tree, &tier.object(), "elasticsearch.yml")?;
        for role in list(&other, "node.roles")? {
            if !roles.contains(&role) {
                roles.push(role);
            }
        }
        let mut names = other.names(&[]);
        names.extend(document.names(&[]));
        if let Some(differs) = names
            .iter()
            .find(|name| *name != "node.roles" && document.get(&[name]) != other.get(&[name]))
        {
            return Err(other
                .wrong(
                    &[differs],
                    format!(
                        "differs from the {} tier's, so that one node cannot stand for both; make it equal, or run a node a tier",
                        first.name()
                    ),
                )
                .into());
        }
    }
    if !others.is_empty() {
        document.set(
            &["node.roles"],
            Value::from(roles),
            "all",
            changes,
            "one node stands for all tiers",
        );
    }
    Ok(document)
}

fn list(document: &Document<'_>, name: &str) -> Result<Vec<String>, DeployError> {
    let items = document.get(&[name]).and_then(Value::as_array);
    let texts: Option<Vec<String>> =
        items.and_then(|items| items.iter().map(|i| i.as_str().map(str::to_owned)).collect());
    texts.ok_or_else(|| document.wrong(&[name], "missing or not a list of texts; write it as [one, two]"))
}

fn addresses(document: &mut Document<'_>, request: &ElasticsearchRequest<'_>, changes: &mut Changes) {
    let own = "a plain process has no pod whose name and address it could take";
    document.set(&["node.name"], request.name, "the host's name", changes, own);
    for (setting, value) in [
        ("network.host", request.http.ip().to_string()),
        ("network.publish_host", request.transport.ip().to_string()),
    ] {
        document.set(&[setting], value, "not set", changes, LOCAL);
    }
    document.set(&["http.port"], request.http.port(), "9200-9300", changes, LOCAL);
    document.set(
        &["transport.port"],
        request.transport.port(),
        "9300-9400",
        changes,
        LOCAL,
    );
    let seeds: Vec<String> = request.seed_hosts.iter().map(SocketAddr::to_string).collect();
    document.set(
        &["discovery.seed_hosts"],
        Value::from(seeds),
        "not set",
        changes,
        "no Kubernetes Service answers a plain process; the nodes of the run are named",
    );
    document.set(
        &["cluster.initial_master_nodes"],
        Value::from(request.initial_masters.to_vec()),
        "not set",
        changes,
        "the cluster is formed by the run's own nodes",
    );
    if document.get(&["node.attr.k8s_node_name"]).is_some() {
        document.set(
            &["node.attr.k8s_node_name"],
            request.name,
            "not set",
            changes,
            own,
        );
    }
    let folder = "the process has a folder of the run";
    for (setting, path) in [
        ("path.data", request.folder.join("data")),
        ("path.logs", request.folder.join("logs")),
    ] {
        let path = path.display().to_string();
        document.set(&[setting], path, "not set", changes, folder);
    }
    document.set(
        &["path.repo"],
        json!([request.repositories.display().to_string()]),
        "not set",
        changes,
        "snapshots go to a folder in place of S3, and a folder has to be allowed",
    );
}

/// Switches security off.
fn plain(document: &mut Document<'_>, changes: &mut Changes) {
    for name in document.names(&[]) {
        if name.starts_with("xpack.security.") && name != "xpack.security.enabled" {
            document.remove(&[&name], "not set", changes, PLAIN);
        }
    }
    document.set(&["xpack.security.enabled"], false, "true", changes, PLAIN);
}

/// What a case bends on purpose.
fn bent(document: &mut Document<'_>, request: &ElasticsearchRequest<'_>, changes: &mut Changes) {
    if let Some(interval) = request.lifecycle_poll_interval {
        let (setting, default, why) = POLL_INTERVAL;
        document.set(&[setting], interval.to_string(), default, changes, why);
    }
    if let Some(marks) = request.watermarks {
        for (mark, bytes) in [
            ("low", marks.low),
            ("high", marks.high),
            ("flood_stage", marks.flood_stage),
        ] {
            let setting = format!("cluster.routing.allocation.disk.watermark.{mark}");
            document.set(
                &[&setting],
                format!("{}b", bytes.0),
                "a share of the disk",
                changes,
                "the run's disk is another one than production's",
            );
        }
    }
}

/// The variables of the tiers' container, with the run's heap.
fn variables(
    tree: &DeployTree,
    request: &ElasticsearchRequest<'_>,
    changes: &mut Changes,
) -> Result<Vec<(String, String)>, RenderError> {
    let tier = request.tiers.first().copied().unwrap_or(Tier::Hot);
    let view = named::<StatefulSetSpec>(tree, &tier.object(), "to render an Elasticsearch node")?;
    changes.cluster_only(&view);
    let at = "spec.template.spec.containers[0].env";
    let [container] = view.spec.template.spec.containers.as_slice() else {
        return Err(view
            .object
            .wrong(
                "spec.template.spec.containers",
                "a node is one container; remove the others",
            )
            .into());
    };
    let mut variables = environment(view.object, at, &container.env, |_| None, changes);
    let heap = format!("-Xms{0}m -Xmx{0}m", request.heap.0 / (1024 * 1024));
    match variables.iter_mut().find(|(name, _)| name == "ES_JAVA_OPTS") {
        Some((_, options)) => {
            changes.add(
                view.object,
                format!("{at}[ES_JAVA_OPTS]"),
                options.as_str(),
                heap.as_str(),
                "the run's machine is smaller than production's nodes",
            );
            *options = heap;
        }
        None => {
            return Err(view
                .object
                .wrong(
                    at,
                    "`ES_JAVA_OPTS` is missing; declare the heap there as -Xms and -Xmx",
                )
                .into());
        }
    }
    variables.push(("ES_PATH_CONF".to_owned(), "config".to_owned()));
    Ok(variables)
}

#[cfg(test)]
mod tests;
