//! Writing, counting, searching and aggregating documents.

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Elasticsearch;
use crate::component::ClientError;

/// How long a point in time is kept between two pages.
const KEEP_ALIVE: &str = "1m";

/// The answer to a bulk request.
#[derive(Debug, Clone, PartialEq)]
pub struct BulkAnswer {
    /// Milliseconds the server took.
    pub took: u64,
    /// What came of each action, in the order of the request.
    pub items: Vec<BulkItem>,
}

impl BulkAnswer {
    /// The items that failed.
    pub fn failed(&self) -> impl Iterator<Item = &BulkItem> {
        self.items.iter().filter(|item| item.error.is_some())
    }
}

/// What came of one action of a bulk request.
#[derive(Debug, Clone, PartialEq)]
pub struct BulkItem {
    /// `index`, `create`, `update` or `delete`.
    pub action: String,
    /// The index it went to.
    pub index: String,
    /// The document's id.
    pub id: String,
    /// HTTP status of the action.
    pub status: u16,
    /// `type: reason`, where it failed.
    pub error: Option<String>,
}

/// A document found.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// Its index.
    pub index: String,
    /// Its id.
    pub id: String,
    /// The document.
    pub source: Value,
    /// Its sort values, for the next page.
    pub sort: Vec<Value>,
}

/// The answer to a search.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchAnswer {
    /// Milliseconds the server took.
    pub took: u64,
    /// How many documents match.
    pub total: u64,
    /// Whether `total` is exact; else there are at least that many.
    pub exact: bool,
    /// Those of the page.
    pub hits: Vec<Hit>,
    /// Aggregations, raw, where they were asked for.
    pub aggregations: Option<Value>,
    /// Shards that failed or were too late: with any, the answer is not whole.
    pub failed_shards: u32,
    /// Whether the server gave up early.
    pub timed_out: bool,
}

#[derive(Deserialize)]
struct WireError {
    #[serde(rename = "type")]
    kind: String,
    reason: Option<String>,
}

#[derive(Deserialize)]
struct WireItem {
    #[serde(rename = "_index")]
    index: String,
    #[serde(rename = "_id")]
    id: Option<String>,
    status: u16,
    error: Option<WireError>,
}

#[derive(Deserialize)]
struct WireBulk {
    took: u64,
    items: Vec<indexmap::IndexMap<String, WireItem>>,
}

impl From<WireBulk> for BulkAnswer {
    fn from(wire: WireBulk) -> Self {
        Self {
            took: wire.took,
            items: wire
                .items
                .into_iter()
                .flatten()
                .map(|(action, item)| BulkItem {
                    action,
                    index: item.index,
                    id: item.id.unwrap_or_default(),
                    status: item.status,
                    error: item
                        .error
                        .map(|error| format!("{}: {}", error.kind, error.reason.unwrap_or_default())),
                })
                .collect(),
        }
    }
}

#[derive(Deserialize)]
struct WireSearch {
    took: u64,
    timed_out: bool,
    #[serde(rename = "_shards")]
    shards: WireShards,
    hits: WireHits,
    aggregations: Option<Value>,
}

#[derive(Deserialize)]
struct WireShards {
    failed: u32,
}

#[derive(Deserialize)]
struct WireHits {
    total: Option<WireTotal>,
    hits: Vec<WireHit>,
}

#[derive(Deserialize)]
struct WireTotal {
    value: u64,
    relation: String,
}

#[derive(Deserialize)]
struct WireHit {
    #[serde(rename = "_index")]
    index: String,
    #[serde(rename = "_id")]
    id: String,
    #[serde(rename = "_source", default)]
    source: Value,
    #[serde(default)]
    sort: Vec<Value>,
}

#[derive(Deserialize)]
struct WireCount {
    count: u64,
    #[serde(rename = "_shards")]
    shards: WireCountedShards,
}

#[derive(Deserialize)]
struct WireCountedShards {
    total: u64,
    successful: u64,
    failed: u64,
}

impl WireCount {
    /// The count, if every shard was counted. Shards that no node holds are neither successful nor failed
    /// (Elasticsearch 8.19).
    fn whole(&self) -> Result<u64, String> {
        let WireCountedShards {
            total,
            successful,
            failed,
        } = self.shards;
        if successful < total || failed > 0 {
            Err(format!(
                "only {successful} of {total} shards were counted, {failed} failed"
            ))
        } else {
            Ok(self.count)
        }
    }
}

impl From<WireSearch> for SearchAnswer {
    fn from(wire: WireSearch) -> Self {
        let (total, exact) = wire
            .hits
            .total
            .map_or((0, false), |total| (total.value, total.relation == "eq"));
        Self {
            took: wire.took,
            total,
            exact,
            hits: wire
                .hits
                .hits
                .into_iter()
                .map(|hit| Hit {
                    index: hit.index,
                    id: hit.id,
                    source: hit.source,
                    sort: hit.sort,
                })
                .collect(),
            aggregations: wire.aggregations,
            failed_shards: wire.shards.failed,
            timed_out: wire.timed_out,
        }
    }
}

impl Elasticsearch {
    /// Sends a bulk request: lines of JSON, action and document in turn, ended by a line end. An item
    /// that fails is in the answer, not an error.
    pub async fn bulk(&self, lines: Bytes) -> Result<BulkAnswer, ClientError> {
        let wire: WireBulk = self
            .server
            .ask(Method::POST, "/_bulk", |request| {
                request.header(CONTENT_TYPE, "application/x-ndjson").body(lines)
            })
            .await?
            .json()?;
        Ok(wire.into())
    }

    /// How many documents match, all where `query` is none.
    ///
    /// A count that lacks a shard's documents is an error, not a smaller number.
    pub async fn count(&self, pattern: &str, query: Option<&Value>) -> Result<u64, ClientError> {
        let body = query.map(|query| json!({ "query": query }));
        let answer = self
            .send(Method::POST, &format!("/{pattern}/_count"), body.as_ref())
            .await?;
        let wire: WireCount = answer.json()?;
        wire.whole().map_err(|why| answer.unreadable(why))
    }

    /// Searches; `body` as `_search` takes it.
    pub async fn search(&self, pattern: &str, body: &Value) -> Result<SearchAnswer, ClientError> {
        let wire: WireSearch = self
            .send(Method::POST, &format!("/{pattern}/_search"), Some(body))
            .await?
            .json()?;
        Ok(wire.into())
    }

    /// The answer to a search as it was sent, unread: for measuring the server and not the reading.
    ///
    /// An answer that would not be whole, because a shard failed or was too late, is an error; and no answer is
    /// one that the server has kept from before.
    pub async fn search_text(&self, pattern: &str, body: &Value) -> Result<String, ClientError> {
        let path = format!("/{pattern}/_search?allow_partial_search_results=false&request_cache=false");
        Ok(self.send(Method::POST, &path, Some(body)).await?.body)
    }

    /// Aggregates without hits; the aggregations of the answer, raw.
    pub async fn aggregate(
        &self,
        pattern: &str,
        query: &Value,
        aggregations: &Value,
    ) -> Result<Value, ClientError> {
        let body = json!({ "size": 0, "query": query, "aggs": aggregations });
        let answer = self
            .send(Method::POST, &format!("/{pattern}/_search"), Some(&body))
            .await?;
        let wire: WireSearch = answer.json()?;
        wire.aggregations
            .ok_or_else(|| answer.unreadable("there are no aggregations in the answer"))
    }

    /// One document by its id, none where it is not there.
    pub async fn document(&self, index: &str, id: &str) -> Result<Option<Value>, ClientError> {
        match self.server.get(&format!("/{index}/_source/{id}")).await {
            Ok(answer) => answer.json().map(Some),
            Err(ClientError::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens a point in time over the indices that match; its id.
    pub async fn open_point_in_time(&self, pattern: &str) -> Result<String, ClientError> {
        #[derive(Deserialize)]
        struct Wire {
            id: String,
        }
        let wire: Wire = self
            .send(
                Method::POST,
                &format!("/{pattern}/_pit?keep_alive={KEEP_ALIVE}"),
                None,
            )
            .await?
            .json()?;
        Ok(wire.id)
    }

    /// Closes a point in time.
    pub async fn close_point_in_time(&self, id: &str) -> Result<(), ClientError> {
        self.send(Method::DELETE, "/_pit", Some(&json!({ "id": id })))
            .await
            .map(drop)
    }

    /// One page of a point in time, `size` documents in the order of `sort` (a list of sorts, to which
    /// the server adds `_shard_doc` as the last), after the sort values of the last hit of the page before.
    pub async fn page(
        &self,
        point_in_time: &str,
        query: &Value,
        sort: &Value,
        size: usize,
        after: Option<&[Value]>,
    ) -> Result<SearchAnswer, ClientError> {
        let mut body = json!({
            "size": size,
            "query": query,
            "sort": sort,
            "pit": { "id": point_in_time, "keep_alive": KEEP_ALIVE },
            "track_total_hits": after.is_none(),
        });
        if let (Some(after), Value::Object(members)) = (after, &mut body) {
            members.insert("search_after".to_owned(), Value::from(after));
        }
        let wire: WireSearch = self.send(Method::POST, "/_search", Some(&body)).await?.json()?;
        Ok(wire.into())
    }

    /// All documents that match, each once, page by page from one point in time. A page that is not
    /// whole (a shard failed) is an error, and so are more than `at_most` documents.
    pub async fn all(
        &self,
        pattern: &str,
        query: &Value,
        sort: &Value,
        page: usize,
        at_most: usize,
    ) -> Result<Vec<Hit>, ClientError> {
        let point = self.open_point_in_time(pattern).await?;
        let found = self.pages(&point, query, sort, page, at_most).await;
        // What is not closed closes by itself.
        let _ = self.close_point_in_time(&point).await;
        found
    }

    async fn pages(
        &self,
        point: &str,
        query: &Value,
        sort: &Value,
        size: usize,
        at_most: usize,
    ) -> Result<Vec<Hit>, ClientError> {
        let wrong = |why: String| ClientError::Unreadable {
            server: "elasticsearch",
            url: format!("{}_search", self.base()),
            why,
        };
        let mut hits: Vec<Hit> = Vec::new();
        loop {
            let after = hits.last().map(|hit| hit.sort.clone());
            let answer = self.page(point, query, sort, size, after.as_deref()).await?;
            if answer.failed_shards > 0 || answer.timed_out {
                return Err(wrong(format!("{} shards failed", answer.failed_shards)));
            }
            let last = answer.hits.len() < size;
            hits.extend(answer.hits);
            if hits.len() > at_most {
                return Err(wrong(format!("more than {at_most} documents match")));
            }
            if last {
                return Ok(hits);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_item_keeps_its_words() {
        // Shapes of Elasticsearch's documentation of the bulk API.
        let wire: WireBulk = serde_json::from_str(
            r#"{"took":30,"errors":true,"items":[
                {"index":{"_index":"app-1","_id":"a","_version":1,"result":"created","status":201}},
                {"create":{"_index":"app-1","_id":"b","status":409,"error":{"type":"version_conflict_engine_exception","reason":"[b]: version conflict"}}}]}"#,
        )
        .unwrap();
        let answer = BulkAnswer::from(wire);
        let failed: Vec<_> = answer.failed().collect();
        assert_eq!(failed.len(), 1);
        assert_eq!((failed[0].action.as_str(), failed[0].status), ("create", 409));
        assert_eq!(
            failed[0].error.as_deref(),
            Some("version_conflict_engine_exception: [b]: version conflict")
        );
    }

    #[test]
    fn a_total_that_is_a_lower_bound_is_not_exact() {
        let wire: WireSearch = serde_json::from_str(
            r#"{"took":1,"timed_out":false,"_shards":{"total":1,"successful":1,"skipped":0,"failed":0},
                "hits":{"total":{"value":10000,"relation":"gte"},"max_score":null,"hits":[
                {"_index":"app-1","_id":"a","_score":null,"_source":{"message":"x"},"sort":[1,2]}]}}"#,
        )
        .unwrap();
        let answer = SearchAnswer::from(wire);
        assert_eq!((answer.total, answer.exact), (10_000, false));
        assert_eq!(answer.hits[0].sort, [1, 2]);
    }
}
