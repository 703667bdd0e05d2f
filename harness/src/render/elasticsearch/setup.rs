//! What is set up in Elasticsearch: the requests of the setup job, in order.

use std::path::Path;

use serde_json::{Value, json};

use crate::deploy::{DeployError, DeployTree, Object};
use crate::render::RenderError;
use crate::render::changes::Changes;
use crate::render::document::{Document, config_map_text};
use crate::render::pipelines::PLAIN;
use crate::stack::ChangedValue;

/// Name of the `ConfigMap`.
const NAME: &str = "elasticsearch-setup";

/// Its key that lists the requests.
const REQUESTS: &str = "requests";

/// One request of the setup.
#[derive(Debug, Clone, PartialEq)]
pub struct SetupRequest {
    /// HTTP method.
    pub method: String,
    /// Path on the server, percent-encoded.
    pub path: String,
    /// Key of the document in the `ConfigMap`.
    pub document: String,
    /// Its content.
    pub body: Value,
    /// A path whose existence makes the request superfluous.
    pub unless: Option<String>,
}

impl SetupRequest {
    /// The API that the request belongs to, the first part of its path (`_ilm`, `_slm`, `_index_template`);
    /// none for an index. An Elasticsearch without the API's module refuses the request.
    #[must_use]
    pub fn api(&self) -> Option<&str> {
        let first = self.path.trim_start_matches('/').split('/').next()?;
        first.starts_with('_').then_some(first)
    }
}

/// All of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ElasticsearchSetup {
    /// In the order they are sent in.
    pub requests: Vec<SetupRequest>,
    /// What differs from the tree.
    pub changed_values: Vec<ChangedValue>,
}

impl ElasticsearchSetup {
    /// The request to this path.
    #[must_use]
    pub fn request(&self, path: &str) -> Option<&SetupRequest> {
        self.requests.iter().find(|r| r.path == path)
    }
}

/// What to render the setup for.
#[derive(Debug, Clone)]
pub struct ElasticsearchSetupRequest<'a> {
    /// Folder of the snapshot repository, absolute and below the nodes' `path.repo`.
    pub repository: &'a Path,
    /// Replicas in place of the declared number, for a cluster of one node.
    pub replicas: Option<u32>,
}

/// Renders the setup.
pub fn render(
    tree: &DeployTree,
    request: &ElasticsearchSetupRequest<'_>,
) -> Result<ElasticsearchSetup, RenderError> {
    let mut changes = Changes::default();
    let (object, place, list) = config_map_text(tree, NAME, REQUESTS)?;
    let mut requests = Vec::new();
    let mut used = vec![REQUESTS.to_owned()];
    for line in list
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty() && !l.starts_with('#'))
    {
        let (method, path, key, unless) = parse(object, &place, line)?;
        used.push(key.to_owned());
        let mut document = Document::in_config_map(tree, NAME, key)?;
        if path.starts_with("/_security/") {
            changes.add(
                object,
                format!("{place}: {method} {path}"),
                key,
                "not sent",
                PLAIN,
            );
            continue;
        }
        if path.starts_with("/_snapshot/") {
            to_folder(&mut document, request.repository, &mut changes);
        }
        if let Some(replicas) = request.replicas {
            with_replicas(&mut document, replicas, &mut changes);
        }
        requests.push(SetupRequest {
            method: method.to_owned(),
            path: path.to_owned(),
            document: key.to_owned(),
            body: document.content,
            unless: unless.map(str::to_owned),
        });
    }
    let data = object.value.get("data").and_then(Value::as_object);
    if let Some(unused) = data
        .into_iter()
        .flat_map(|d| d.keys())
        .find(|key| !used.contains(key))
    {
        return Err(object
            .wrong(
                format!("data[{unused}]"),
                "no request sends this document; name it in `requests`, or remove it",
            )
            .into());
    }
    Ok(ElasticsearchSetup {
        requests,
        changed_values: changes.0,
    })
}

/// Method, path, document and what makes the request superfluous.
fn parse<'l>(
    object: &Object,
    place: &str,
    line: &'l str,
) -> Result<(&'l str, &'l str, &'l str, Option<&'l str>), DeployError> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let parsed = match words.as_slice() {
        [method, path, document] => (*method, *path, *document, None),
        [method, path, document, "unless", known] => (*method, *path, *document, Some(*known)),
        _ => ("", "", "", None),
    };
    let (method, path, document, unless) = parsed;
    if !matches!(method, "PUT" | "POST")
        || !path.starts_with('/')
        || unless.is_some_and(|u| !u.starts_with('/'))
    {
        return Err(object.wrong(
            place,
            format!(
                "`{line}` is no request; write METHOD /path document, and after it `unless /path` where the request is \
                 superfluous once something exists"
            ),
        ));
    }
    Ok((method, path, document, unless))
}

fn to_folder(document: &mut Document<'_>, folder: &Path, changes: &mut Changes) {
    const WHY: &str = "the run has no S3; a folder is the same kind of repository to everything above it";
    document.set(&["type"], "fs", "not set", changes, WHY);
    for name in [
        "bucket",
        "base_path",
        "client",
        "endpoint",
        "region",
        "storage_class",
    ] {
        document.remove(&["settings", name], "not set", changes, WHY);
    }
    document.set(
        &["settings", "location"],
        json!(folder.display().to_string()),
        "not set",
        changes,
        WHY,
    );
}

fn with_replicas(document: &mut Document<'_>, replicas: u32, changes: &mut Changes) {
    let path = ["template", "settings", "index", "number_of_replicas"];
    if document.get(&path).is_some() {
        document.set(
            &path,
            replicas,
            "1",
            changes,
            "a cluster of fewer nodes has nowhere to put a copy",
        );
    }
}
