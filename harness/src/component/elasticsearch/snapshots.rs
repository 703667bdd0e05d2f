//! Snapshot repositories, snapshots and their lifecycle.

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Elasticsearch;
use crate::component::ClientError;

/// A snapshot, from `/_snapshot/{repository}/{snapshot}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Snapshot {
    /// Its name.
    #[serde(rename = "snapshot")]
    pub name: String,
    /// `SUCCESS`, `PARTIAL`, `FAILED` or `IN_PROGRESS`.
    pub state: String,
    /// The indices in it.
    pub indices: Vec<String>,
    /// What failed, raw.
    #[serde(default)]
    pub failures: Vec<Value>,
}

#[derive(Deserialize)]
struct WireSnapshots {
    snapshots: Vec<Snapshot>,
}

#[derive(Deserialize)]
struct WireTaken {
    snapshot: Snapshot,
}

impl Elasticsearch {
    /// Registers a repository; `body` holds `type` and `settings`.
    pub async fn put_repository(&self, name: &str, body: &Value) -> Result<(), ClientError> {
        self.send(Method::PUT, &format!("/_snapshot/{name}"), Some(body))
            .await
            .map(drop)
    }

    /// A repository, raw.
    pub async fn repository(&self, name: &str) -> Result<Value, ClientError> {
        self.raw(Method::GET, &format!("/_snapshot/{name}"), None).await
    }

    /// Removes a repository; what is in it stays.
    pub async fn delete_repository(&self, name: &str) -> Result<(), ClientError> {
        self.send(Method::DELETE, &format!("/_snapshot/{name}"), None)
            .await
            .map(drop)
    }

    /// Takes a snapshot of the indices that match, and waits for its end.
    pub async fn take_snapshot(
        &self,
        repository: &str,
        name: &str,
        indices: &str,
    ) -> Result<Snapshot, ClientError> {
        let path = format!("/_snapshot/{repository}/{name}?wait_for_completion=true");
        let body = json!({ "indices": indices, "include_global_state": false });
        let taken: WireTaken = self.send(Method::PUT, &path, Some(&body)).await?.json()?;
        Ok(taken.snapshot)
    }

    /// The snapshots whose names match (`_all` for all).
    pub async fn snapshots(&self, repository: &str, pattern: &str) -> Result<Vec<Snapshot>, ClientError> {
        let list: WireSnapshots = self
            .server
            .get(&format!(
                "/_snapshot/{repository}/{pattern}?ignore_unavailable=true"
            ))
            .await?
            .json()?;
        Ok(list.snapshots)
    }

    /// What a snapshot holds shard by shard, raw.
    pub async fn snapshot_status(&self, repository: &str, name: &str) -> Result<Value, ClientError> {
        self.raw(
            Method::GET,
            &format!("/_snapshot/{repository}/{name}/_status"),
            None,
        )
        .await
    }

    /// Deletes a snapshot.
    pub async fn delete_snapshot(&self, repository: &str, name: &str) -> Result<(), ClientError> {
        self.send(Method::DELETE, &format!("/_snapshot/{repository}/{name}"), None)
            .await
            .map(drop)
    }

    /// Restores a snapshot and waits until its shards are there; `body` as `_restore` takes it
    /// (`indices`, `rename_pattern`, ...). Raw answer, with the shards that failed.
    pub async fn restore(&self, repository: &str, name: &str, body: &Value) -> Result<Value, ClientError> {
        self.raw(
            Method::POST,
            &format!("/_snapshot/{repository}/{name}/_restore?wait_for_completion=true"),
            Some(body),
        )
        .await
    }

    /// Puts a snapshot lifecycle policy.
    pub async fn put_snapshot_policy(&self, name: &str, body: &Value) -> Result<(), ClientError> {
        self.send(Method::PUT, &format!("/_slm/policy/{name}"), Some(body))
            .await
            .map(drop)
    }

    /// A snapshot lifecycle policy with its last success and failure, raw.
    pub async fn snapshot_policy(&self, name: &str) -> Result<Value, ClientError> {
        self.raw(Method::GET, &format!("/_slm/policy/{name}"), None).await
    }

    /// Takes the snapshot of a policy now; its name.
    pub async fn execute_snapshot_policy(&self, name: &str) -> Result<String, ClientError> {
        #[derive(Deserialize)]
        struct Wire {
            snapshot_name: String,
        }
        let wire: Wire = self
            .send(Method::POST, &format!("/_slm/policy/{name}/_execute"), None)
            .await?
            .json()?;
        Ok(wire.snapshot_name)
    }
}
