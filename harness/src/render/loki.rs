//! Loki: `loki.yaml` out of the tree's `ConfigMap`, and its arguments.
//!
//! Semantics of Loki 3.7.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};

use super::changes::Changes;
use super::document::Document;
use super::environment::environment;
use super::pipelines::{LOCAL, one_file};
use super::{RenderError, Rendered, yaml};
use crate::deploy::kinds::pod::{Container, config_map_file};
use crate::deploy::kinds::stateful_set::StatefulSetSpec;
use crate::deploy::kinds::{View, named};
use crate::deploy::{DeployError, DeployTree};
use crate::units::Span;

/// Name of the rendered file.
pub const FILE: &str = "loki.yaml";

/// Name of the `StatefulSet`.
const NAME: &str = "loki";

/// What to render a Loki for.
#[derive(Debug, Clone)]
pub struct LokiRequest<'a> {
    /// Where it answers HTTP.
    pub http: SocketAddr,
    /// Where it answers gRPC, its own parts among others.
    pub grpc: SocketAddr,
    /// Folder of its data, absolute.
    pub folder: &'a Path,
    /// How often what is too old is looked for and how long it is kept once marked, in place of the tree's.
    pub compaction: Option<Span>,
}

/// Renders a Loki.
pub fn render(tree: &DeployTree, request: &LokiRequest<'_>) -> Result<Rendered, RenderError> {
    let view = named::<StatefulSetSpec>(tree, NAME, "to render a Loki")?;
    let mut changes = Changes::default();
    changes.cluster_only(&view);
    let container = container(&view)?;
    let (mut document, arguments) = file(tree, &view, container, &mut changes)?;
    listen(&mut document, request, &mut changes);
    alone(&mut document, request, &mut changes);
    folders(&mut document, request.folder, &mut changes)?;
    if let Some(interval) = request.compaction {
        for field in ["compaction_interval", "retention_delete_delay"] {
            document.set(
                &["compactor", field],
                interval.to_string(),
                "the server's default",
                &mut changes,
                "deletion is to be seen soon; the retention stays as declared",
            );
        }
    }
    document.finished(&[request.folder])?;
    let at = "spec.template.spec.containers[0].env";
    let environment = environment(view.object, at, &container.env, |_| None, &mut changes);
    Ok(Rendered {
        files: one_file(FILE, yaml::write(FILE, &document.content)?),
        arguments,
        environment,
        changed_values: changes.0,
    })
}

fn container<'v>(view: &'v View<'_, StatefulSetSpec>) -> Result<&'v Container, DeployError> {
    match view.spec.template.spec.containers.as_slice() {
        [only] => Ok(only),
        _ => Err(view.object.wrong(
            "spec.template.spec.containers",
            "Loki is one container; remove the others",
        )),
    }
}

/// Flags with their dashes, and their values.
type Arguments = Vec<(String, Option<String>)>;

/// The file that the arguments name, and the arguments with the rendered file in its place.
fn file<'t>(
    tree: &'t DeployTree,
    view: &View<'t, StatefulSetSpec>,
    container: &Container,
    changes: &mut Changes,
) -> Result<(Document<'t>, Arguments), DeployError> {
    let at = "spec.template.spec.containers[0].args";
    let pods = &view.spec.template.spec;
    let mut document = None;
    let mut arguments = Vec::new();
    for argument in &container.args {
        let (flag, value) = argument.split_once('=').unwrap_or((argument, ""));
        let flag = flag.trim_start_matches('-');
        match flag {
            "config.file" => {
                let (name, key) = config_map_file(&container.volume_mounts, &pods.volumes, value)
                    .ok_or_else(|| {
                        view.object.wrong(
                            at,
                            format!("no ConfigMap is mounted at `{value}`; mount Loki's there"),
                        )
                    })?;
                document = Some(Document::in_config_map(tree, name, &key)?);
                changes.add(
                    view.object,
                    format!("{at}[-config.file]"),
                    value,
                    FILE,
                    "the file lies in the process's own folder",
                );
                arguments.push(("--config.file".to_owned(), Some(FILE.to_owned())));
            }
            // Whatever it would expand is refused below if rendering has left it in the file.
            "config.expand-env" | "target" => arguments.push((format!("--{flag}"), Some(value.to_owned()))),
            _ => {
                return Err(view.object.wrong(
                    at,
                    format!("rendering does not know the argument `{argument}`; write its meaning into the file, or add it to the rendering"),
                ));
            }
        }
    }
    let document = document.ok_or_else(|| {
        view.object.wrong(
            at,
            "`-config.file` is missing; name the path that Loki's ConfigMap is mounted at",
        )
    })?;
    Ok((document, arguments))
}

fn listen(document: &mut Document<'_>, request: &LokiRequest<'_>, changes: &mut Changes) {
    for (protocol, address, port) in [("http", request.http, "3100"), ("grpc", request.grpc, "9095")] {
        let (host, number) = (
            format!("{protocol}_listen_address"),
            format!("{protocol}_listen_port"),
        );
        document.set(
            &["server", &host],
            address.ip().to_string(),
            "all",
            changes,
            LOCAL,
        );
        document.set(&["server", &number], address.port(), port, changes, LOCAL);
    }
}

/// One replica that needs no others.
fn alone(document: &mut Document<'_>, request: &LokiRequest<'_>, changes: &mut Changes) {
    const WHY: &str = "a single process: its ring has one member, and no other would have a copy";
    document.set(&["common", "replication_factor"], 1, "3", changes, WHY);
    document.set(
        &["common", "ring", "kvstore", "store"],
        "inmemory",
        "memberlist",
        changes,
        WHY,
    );
    document.set(
        &["common", "instance_addr"],
        request.grpc.ip().to_string(),
        "the pod's address",
        changes,
        LOCAL,
    );
    document.remove(&["memberlist"], "not set", changes, WHY);
    quick(document, request, changes);
}

/// Does not wait for others: an ingester is ready only after 15 s, in case more of them come, and a querier
/// looks for schedulers in the ring every 10 s (Loki 3.7, `lifecycler.min_ready_duration` and the ring watcher of
/// the query scheduler).
fn quick(document: &mut Document<'_>, request: &LokiRequest<'_>, changes: &mut Changes) {
    const WHY: &str = "a single process: it need not wait for others, and finds its own parts by address";
    let own = request.grpc.to_string();
    let lifecycler = ["ingester", "lifecycler", "min_ready_duration"];
    document.set(&lifecycler, "0s", "15s", changes, WHY);
    let ring = ["query_scheduler", "use_scheduler_ring"];
    document.set(&ring, false, "true", changes, WHY);
    for part in ["frontend", "frontend_worker"] {
        let scheduler = [part, "scheduler_address"];
        document.set(&scheduler, own.as_str(), "from the ring", changes, WHY);
    }
}

fn folders(document: &mut Document<'_>, folder: &Path, changes: &mut Changes) -> Result<(), DeployError> {
    const BUCKET: &str = "the run has no S3; a folder holds the same objects";
    let within = |part: &str| json!(folder.join(part).display().to_string());
    document.set(
        &["common", "path_prefix"],
        json!(folder.display().to_string()),
        "not set",
        changes,
        "the process has a folder of the run",
    );
    // Its content is not shown: it may hold credentials, and the report is passed around.
    if document.get(&["common", "storage", "s3"]).is_some() {
        document.set(
            &["common", "storage", "s3"],
            "set",
            "",
            &mut Changes::default(),
            BUCKET,
        );
        document.remove(&["common", "storage", "s3"], "not set", changes, BUCKET);
    }
    document.set(
        &["common", "storage", "filesystem", "chunks_directory"],
        within("chunks"),
        "not set",
        changes,
        BUCKET,
    );
    document.set(
        &["common", "storage", "filesystem", "rules_directory"],
        within("rules"),
        "not set",
        changes,
        BUCKET,
    );
    let schemas = document
        .get(&["schema_config", "configs"])
        .and_then(Value::as_array)
        .map_or(0, Vec::len);
    if schemas == 0 {
        return Err(document.wrong(
            &["schema_config", "configs"],
            "missing or empty; Loki needs at least one schema period",
        ));
    }
    for index in 0..schemas {
        let index = index.to_string();
        let path = ["schema_config", "configs", &index, "object_store"];
        document.set(&path, "filesystem", "not set", changes, BUCKET);
    }
    document.set(
        &["compactor", "delete_request_store"],
        "filesystem",
        "not set",
        changes,
        BUCKET,
    );
    for (path, part) in [
        (["compactor", "working_directory"].as_slice(), "compactor"),
        (["ingester", "wal", "dir"].as_slice(), "wal"),
    ] {
        if document.get(path).is_some() {
            document.set(
                path,
                within(part),
                "not set",
                changes,
                "the process has a folder of the run",
            );
        }
    }
    Ok(())
}

/// How long logs are kept, as declared.
pub fn retention(tree: &DeployTree) -> Result<Span, RenderError> {
    let document = Document::in_config_map(tree, NAME, FILE)?;
    let path = ["limits_config", "retention_period"];
    let span = document.text(&path)?.parse();
    Ok(span.map_err(|error| document.wrong(&path, format!("{error}")))?)
}

#[cfg(test)]
mod tests;
