//! Templates, indices, aliases and where shards are.

use indexmap::IndexMap;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Elasticsearch;
use crate::component::ClientError;

/// A shard, from `/_cat/shards`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatShard {
    /// Its index.
    pub index: String,
    /// Its number.
    pub shard: u32,
    /// Whether it is the primary.
    pub primary: bool,
    /// `STARTED`, `INITIALIZING`, `RELOCATING` or `UNASSIGNED`.
    pub state: String,
    /// Documents in it, where it is started.
    pub documents: Option<u64>,
    /// Name of its node, none where it is unassigned. Of a relocating shard, the node it leaves.
    pub node: Option<String>,
}

/// What a node holds, from `/_cat/allocation`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatAllocation {
    /// The node's name; `UNASSIGNED` for shards without one.
    pub node: String,
    /// Shards on it.
    pub shards: u32,
    /// Bytes free on its disk, none for `UNASSIGNED`.
    pub disk_available: Option<u64>,
    /// Bytes its indices take.
    pub disk_indices: Option<u64>,
}

#[derive(Deserialize)]
struct WireShard {
    index: String,
    shard: String,
    prirep: String,
    state: String,
    docs: Option<String>,
    node: Option<String>,
}

impl WireShard {
    fn read(self) -> Result<CatShard, String> {
        let number = |text: &str| {
            text.parse()
                .map_err(|_| format!("`{text}` is no number of a shard"))
        };
        // A relocating shard is written as `old -> ip id new`.
        let node = self
            .node
            .map(|node| node.split(" -> ").next().unwrap_or_default().to_owned());
        Ok(CatShard {
            index: self.index,
            shard: number(&self.shard)?,
            primary: self.prirep == "p",
            state: self.state,
            documents: self.docs.and_then(|docs| docs.parse().ok()),
            node,
        })
    }
}

#[derive(Deserialize)]
struct WireAllocation {
    node: String,
    shards: String,
    #[serde(rename = "disk.avail")]
    available: Option<String>,
    #[serde(rename = "disk.indices")]
    indices: Option<String>,
}

impl Elasticsearch {
    /// Puts a composable index template.
    pub async fn put_index_template(&self, name: &str, template: &Value) -> Result<(), ClientError> {
        self.send(Method::PUT, &format!("/_index_template/{name}"), Some(template))
            .await
            .map(drop)
    }

    /// The composable index templates whose names match, raw, by name.
    pub async fn index_templates(&self, pattern: &str) -> Result<IndexMap<String, Value>, ClientError> {
        #[derive(Deserialize)]
        struct One {
            name: String,
            index_template: Value,
        }
        #[derive(Deserialize)]
        struct Wire {
            index_templates: Vec<One>,
        }
        let found: Wire = self
            .server
            .get(&format!("/_index_template/{pattern}?flat_settings=true"))
            .await?
            .json()?;
        Ok(found
            .index_templates
            .into_iter()
            .map(|one| (one.name, one.index_template))
            .collect())
    }

    /// Creates an index; `body` holds settings, mappings and aliases.
    pub async fn create_index(&self, name: &str, body: &Value) -> Result<(), ClientError> {
        self.send(Method::PUT, &format!("/{name}"), Some(body))
            .await
            .map(drop)
    }

    /// Deletes the indices; a pattern needs the cluster to allow it.
    pub async fn delete_index(&self, name: &str) -> Result<(), ClientError> {
        self.send(Method::DELETE, &format!("/{name}"), None)
            .await
            .map(drop)
    }

    /// Names of the indices that match, in order; none where nothing matches.
    pub async fn indices(&self, pattern: &str) -> Result<Vec<String>, ClientError> {
        let mut names: Vec<String> = self.settings(pattern).await?.into_keys().collect();
        names.sort();
        Ok(names)
    }

    /// Settings by index, flat (`index.number_of_shards` to its text).
    pub async fn settings(
        &self,
        pattern: &str,
    ) -> Result<IndexMap<String, IndexMap<String, Value>>, ClientError> {
        #[derive(Deserialize)]
        struct One {
            settings: IndexMap<String, Value>,
        }
        let found: IndexMap<String, One> = self
            .server
            .get(&format!(
                "/{pattern}/_settings?flat_settings=true&expand_wildcards=all&ignore_unavailable=true"
            ))
            .await?
            .json()?;
        Ok(found
            .into_iter()
            .map(|(index, one)| (index, one.settings))
            .collect())
    }

    /// Changes settings of the indices that match.
    pub async fn put_settings(&self, pattern: &str, settings: &Value) -> Result<(), ClientError> {
        self.send(Method::PUT, &format!("/{pattern}/_settings"), Some(settings))
            .await
            .map(drop)
    }

    /// Mappings by index, raw.
    pub async fn mappings(&self, pattern: &str) -> Result<IndexMap<String, Value>, ClientError> {
        self.server.get(&format!("/{pattern}/_mapping")).await?.json()
    }

    /// Aliases by index, each with what it says (for example `is_write_index`).
    pub async fn aliases(
        &self,
        pattern: &str,
    ) -> Result<IndexMap<String, IndexMap<String, Value>>, ClientError> {
        #[derive(Deserialize)]
        struct One {
            aliases: IndexMap<String, Value>,
        }
        let found: IndexMap<String, One> = self.server.get(&format!("/{pattern}/_alias")).await?.json()?;
        Ok(found
            .into_iter()
            .map(|(index, one)| (index, one.aliases))
            .collect())
    }

    /// Changes aliases; `actions` as `POST /_aliases` takes them.
    pub async fn update_aliases(&self, actions: &Value) -> Result<(), ClientError> {
        self.send(Method::POST, "/_aliases", Some(&json!({ "actions": actions })))
            .await
            .map(drop)
    }

    /// Makes what was indexed searchable.
    pub async fn refresh(&self, pattern: &str) -> Result<(), ClientError> {
        self.send(Method::POST, &format!("/{pattern}/_refresh"), None)
            .await
            .map(drop)
    }

    /// Writes what is in memory to disk.
    pub async fn flush(&self, pattern: &str) -> Result<(), ClientError> {
        self.send(Method::POST, &format!("/{pattern}/_flush"), None)
            .await
            .map(drop)
    }

    /// Merges each shard down to `segments`, and waits for it.
    pub async fn force_merge(&self, pattern: &str, segments: u32) -> Result<(), ClientError> {
        self.send(
            Method::POST,
            &format!("/{pattern}/_forcemerge?max_num_segments={segments}"),
            None,
        )
        .await
        .map(drop)
    }

    /// Rolls an alias over, without conditions where `body` is none; raw answer (`old_index`, `new_index`,
    /// `rolled_over`).
    pub async fn rollover(&self, alias: &str, body: Option<&Value>) -> Result<Value, ClientError> {
        self.raw(Method::POST, &format!("/{alias}/_rollover"), body).await
    }

    /// When the indices that match were created, unix milliseconds by index (the server's own clock).
    pub async fn creation_dates(&self, pattern: &str) -> Result<IndexMap<String, i64>, ClientError> {
        Ok(self
            .settings(pattern)
            .await?
            .into_iter()
            .filter_map(|(index, settings)| {
                let date = settings.get("index.creation_date")?.as_str()?.parse().ok()?;
                Some((index, date))
            })
            .collect())
    }

    /// The shards of the indices that match, by index and number, the primary first.
    pub async fn shards(&self, pattern: &str) -> Result<Vec<CatShard>, ClientError> {
        let answer = self
            .server
            .get(&format!(
                "/_cat/shards/{pattern}?format=json&h=index,shard,prirep,state,docs,node"
            ))
            .await?;
        let list: Vec<WireShard> = answer.json()?;
        let mut shards = list
            .into_iter()
            .map(WireShard::read)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|why| answer.unreadable(why))?;
        shards.sort_by(|a, b| (&a.index, a.shard, !a.primary).cmp(&(&b.index, b.shard, !b.primary)));
        Ok(shards)
    }

    /// Why no node may take a primary of the index, in the server's words; none where one has it or will
    /// (`_cluster/allocation/explain`, Elasticsearch 8.19).
    pub async fn nowhere_to_go(&self, index: &str) -> Result<Option<String>, ClientError> {
        for shard in self.shards(index).await? {
            if !shard.primary || shard.state != "UNASSIGNED" {
                continue;
            }
            let body = json!({ "index": shard.index, "shard": shard.shard, "primary": true });
            let told = self
                .raw(Method::POST, "/_cluster/allocation/explain", Some(&body))
                .await?;
            if let Some(why) = refusal(&told) {
                return Ok(Some(why));
            }
        }
        Ok(None)
    }

    /// What the nodes hold.
    pub async fn allocation(&self) -> Result<Vec<CatAllocation>, ClientError> {
        let answer = self.server.get("/_cat/allocation?format=json&bytes=b").await?;
        let list: Vec<WireAllocation> = answer.json()?;
        let bytes = |text: Option<String>| text.and_then(|text| text.parse().ok());
        list.into_iter()
            .map(|one| {
                Ok(CatAllocation {
                    shards: one
                        .shards
                        .parse()
                        .map_err(|_| answer.unreadable(format!("`{}` is no count of shards", one.shards)))?,
                    node: one.node,
                    disk_available: bytes(one.available),
                    disk_indices: bytes(one.indices),
                })
            })
            .collect()
    }
}

/// What an explanation of an allocation says where it is a refusal: each reason of a node once.
fn refusal(told: &Value) -> Option<String> {
    if told.get("can_allocate")?.as_str()? != "no" {
        return None;
    }
    let texts = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
    let mut reasons: Vec<String> = Vec::new();
    for node in texts(told.get("node_allocation_decisions")) {
        for decider in texts(node.get("deciders")) {
            if let Some(words) = decider.get("explanation").and_then(Value::as_str)
                && !reasons.iter().any(|known| known == words)
            {
                reasons.push(words.to_owned());
            }
        }
    }
    if reasons.is_empty() {
        let words = told.get("allocate_explanation").and_then(Value::as_str);
        reasons.push(words.unwrap_or("no node may take it").to_owned());
    }
    Some(reasons.join("; "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::recorded;

    #[test]
    fn a_refused_allocation_is_told_in_the_words_of_the_deciders_once() {
        // Shape of Elasticsearch 8.19.
        let node = json!({"node_name": "hot", "deciders": [{"decider": "filter", "decision": "NO",
            "explanation": "node does not match index setting [index.routing.allocation.require]"}]});
        let told = json!({"can_allocate": "no", "node_allocation_decisions": [node.clone(), node]});
        assert_eq!(
            super::refusal(&told).unwrap(),
            "node does not match index setting [index.routing.allocation.require]"
        );
        assert_eq!(super::refusal(&json!({"can_allocate": "throttled"})), None);
    }

    #[test]
    fn recorded_shards_tell_their_node_and_documents() {
        let shards: Vec<super::WireShard> = recorded::response("final-_cat_shards");
        let shards: Vec<super::CatShard> = shards.into_iter().map(|one| one.read().unwrap()).collect();
        let cold: Vec<_> = shards
            .iter()
            .filter(|shard| shard.node.as_deref() == Some("cold1"))
            .collect();
        assert_eq!(cold.len(), 1);
        assert_eq!(cold[0].index, "shrink-iwet-jaeger-d8");
        assert_eq!(cold[0].documents, Some(1000));
        assert!(
            shards
                .iter()
                .all(|shard| shard.primary && shard.state == "STARTED")
        );
    }

    #[test]
    fn a_relocating_shard_is_still_on_the_node_it_leaves() {
        let shard: super::WireShard = serde_json::from_str(
            r#"{"index":"a","shard":"0","prirep":"p","state":"RELOCATING","docs":"3","node":"hot -> 127.0.0.1 abc warm"}"#,
        )
        .unwrap();
        assert_eq!(shard.read().unwrap().node.as_deref(), Some("hot"));
    }
}
