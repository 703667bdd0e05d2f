//! Watching a cluster's objects: a list, then every change of it, a task a kind.

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use kube::Client;
use kube::api::{Api, DynamicObject, ListParams, WatchEvent, WatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::cluster::{Cluster, ObjectName};
use crate::wait::{Look, Wait};

/// How long a kind may not be listable before its watch gives up: longer than a set is waited for, so that the
/// wait's own account is what is told.
const LISTED: Duration = Duration::from_secs(1800);

/// How often a list that failed is asked for again.
const AGAIN: Duration = Duration::from_millis(500);

/// The kinds that causes are read from.
const SEEN: [(&str, &str, &str); 12] = [
    ("", "v1", "Pod"),
    ("", "v1", "Event"),
    ("", "v1", "Service"),
    ("", "v1", "PersistentVolumeClaim"),
    ("storage.k8s.io", "v1", "StorageClass"),
    ("apps", "v1", "Deployment"),
    ("apps", "v1", "ReplicaSet"),
    ("apps", "v1", "StatefulSet"),
    ("apps", "v1", "DaemonSet"),
    ("batch", "v1", "Job"),
    ("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
    ("apiregistration.k8s.io", "v1", "APIService"),
];

/// What a watch tells.
#[derive(Debug)]
enum Change {
    /// These are all objects of the kind.
    Listed(String, Vec<Value>),
    /// An object is new or another.
    Put(Value),
    /// An object is gone.
    Gone(ObjectName),
}

/// The watches of a cluster; they end with it.
#[derive(Debug)]
pub(super) struct Watches {
    changes: mpsc::UnboundedReceiver<Change>,
    /// Ends the watches when it is dropped.
    _tasks: JoinSet<()>,
}

impl Watches {
    /// Watches what causes are read from, and these kinds.
    pub(super) fn start(client: &Client, further: impl IntoIterator<Item = ApiResource>) -> Self {
        let (sender, changes) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        let seen = SEEN.map(|(group, version, kind)| {
            ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
        });
        let mut resources: Vec<ApiResource> = seen.into_iter().chain(further).collect();
        resources.sort_by(|a, b| a.kind.cmp(&b.kind));
        resources.dedup_by(|a, b| a.kind == b.kind);
        for resource in resources {
            tasks.spawn(watch(client.clone(), resource, sender.clone()));
        }
        Self {
            changes,
            _tasks: tasks,
        }
    }

    /// Takes what has been told since the last time.
    pub(super) fn take(&mut self, cluster: &mut Cluster) {
        while let Ok(change) = self.changes.try_recv() {
            match change {
                Change::Listed(kind, objects) => cluster.replace(&kind, objects),
                Change::Put(object) => cluster.put(object),
                Change::Gone(name) => cluster.forget(&name),
            }
        }
    }
}

/// Lists and watches a kind until nobody listens any more.
async fn watch(client: Client, resource: ApiResource, changes: mpsc::UnboundedSender<Change>) {
    let api: Api<DynamicObject> = Api::all_with(client, &resource);
    let all = ListParams::default();
    loop {
        let listed = Wait::new(format!("a list of every {}", resource.kind), LISTED)
            .every(AGAIN)
            .until(|| async {
                match api.list(&all).await {
                    Ok(list) => Look::Ready(list),
                    // The kind may be about to be defined, the server about to answer.
                    Err(error) => Look::Missing(error.to_string()),
                }
            })
            .await;
        let Ok(list) = listed else { return };
        let version = list.metadata.resource_version.clone().unwrap_or_default();
        let objects = list.items.iter().filter_map(|o| value(o, &resource)).collect();
        if changes
            .send(Change::Listed(resource.kind.clone(), objects))
            .is_err()
        {
            return;
        }
        // A watch that ends or breaks is begun anew with a list, which misses nothing.
        let Ok(stream) = api.watch(&WatchParams::default(), &version).await else {
            continue;
        };
        let mut stream = stream.boxed();
        while let Ok(Some(event)) = stream.try_next().await {
            let change = match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    value(&object, &resource).map(Change::Put)
                }
                WatchEvent::Deleted(object) => {
                    value(&object, &resource).map(|o| Change::Gone(ObjectName::of(&o)))
                }
                WatchEvent::Bookmark(_) => None,
                WatchEvent::Error(_) => break,
            };
            if let Some(change) = change
                && changes.send(change).is_err()
            {
                return;
            }
        }
    }
}

/// The object as JSON, with the kind that items of a list do not carry and without what nobody reads.
fn value(object: &DynamicObject, resource: &ApiResource) -> Option<Value> {
    let mut value = serde_json::to_value(object).ok()?;
    let members = value.as_object_mut()?;
    members.insert("apiVersion".to_owned(), resource.api_version.clone().into());
    members.insert("kind".to_owned(), resource.kind.clone().into());
    if let Some(Value::Object(metadata)) = members.get_mut("metadata") {
        metadata.remove("managedFields");
    }
    Some(value)
}
