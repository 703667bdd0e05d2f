//! What the tree sets up in Elasticsearch, and the tiers of the nodes that run.

use std::collections::BTreeMap;
use std::path::Path;

use harness::case::{CaseError, Context};
use harness::component::elasticsearch::{CatShard, Elasticsearch};
use harness::deploy::DeployTree;
use harness::render::elasticsearch::{ElasticsearchSetup, ElasticsearchSetupRequest, SetupRequest, setup};
use serde_json::Value;

/// The requests of the tree's setup as declared, but for the repository's place.
pub(super) fn declared(tree: &DeployTree) -> Result<ElasticsearchSetup, CaseError> {
    rendered(tree, None)
}

/// The same with so many replicas in place of the declared number.
pub(super) fn rendered(tree: &DeployTree, replicas: Option<u32>) -> Result<ElasticsearchSetup, CaseError> {
    let request = ElasticsearchSetupRequest {
        // Only what the server itself was given counts for the repository, so its place does not matter here.
        repository: Path::new("/repositories"),
        replicas,
    };
    setup(tree, &request).map_err(|error| CaseError::Failed(error.to_string()))
}

/// The template that is put for an index pattern.
pub(super) fn template<'s>(setup: &'s ElasticsearchSetup, pattern: &str) -> Option<&'s SetupRequest> {
    setup
        .requests
        .iter()
        .filter(|request| request.api() == Some("_index_template"))
        .find(|request| {
            request
                .body
                .pointer("/index_patterns")
                .and_then(Value::as_array)
                .is_some_and(|patterns| patterns.iter().any(|one| one == pattern))
        })
}

/// The alias that indices of a pattern are written through: `logs` of `logs-*`.
pub(super) fn alias(pattern: &str) -> &str {
    pattern.trim_end_matches("-*")
}

/// A value as people write it: texts without quotes, `nothing` where it is not there.
pub(super) fn shown(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "nothing".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// A part of an index's name that no other run and no other case has.
pub(super) fn unique(case: &str) -> String {
    format!("{case}-{}", crate::history::now_ms())
}

/// The data tiers of each node, by the node's name.
pub(super) async fn tiers(server: &Elasticsearch) -> Result<BTreeMap<String, Vec<String>>, CaseError> {
    Ok(server
        .nodes()
        .await?
        .into_iter()
        .map(|node| (node.name, node.roles))
        .collect())
}

/// The copies of shards that are not started, or are on a node that has not the role.
pub(super) fn misplaced<'s>(
    shards: impl IntoIterator<Item = &'s CatShard>,
    tiers: &BTreeMap<String, Vec<String>>,
    role: &str,
) -> Vec<String> {
    shards
        .into_iter()
        .filter_map(|shard| {
            let copy = if shard.primary { "primary" } else { "replica" };
            let Some(node) = &shard.node else {
                return Some(format!(
                    "{copy} {} is {}",
                    shard.shard,
                    shard.state.to_lowercase()
                ));
            };
            let has = tiers
                .get(node)
                .is_some_and(|roles| roles.iter().any(|r| r == role));
            (!has).then(|| format!("{copy} {} is on {node}, which is not {role}", shard.shard))
        })
        .collect()
}

/// The names of the nodes that hold shards, for people.
pub(super) fn nodes_of<'s>(shards: impl IntoIterator<Item = &'s CatShard>) -> String {
    let names: std::collections::BTreeSet<&str> = shards
        .into_iter()
        .filter_map(|shard| shard.node.as_deref())
        .collect();
    if names.is_empty() {
        "no node".to_owned()
    } else {
        names.into_iter().collect::<Vec<_>>().join(", ")
    }
}

/// The patterns that were promised.
pub(super) fn patterns(context: &Context) -> Result<Vec<String>, CaseError> {
    Ok(context.contract.texts("logs-index-patterns", "patterns")?)
}
