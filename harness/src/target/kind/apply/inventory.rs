//! What was applied before, so that what the tree has no longer goes: a cluster that is taken as it is would otherwise
//! keep a promise that nobody declares any more.
//!
//! The list is in the cluster itself, and so ends with it.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::{Api, DeleteParams};
use serde_json::{Value, json};

use super::cluster::{ObjectName, text};
use super::{ANSWERED, DeployError, LOOK, Resources, api, looked_for, order, put, words};
use crate::wait::{Look, Wait};

/// Where the list is: no set of ours declares anything there.
const NAMESPACE: &str = "kube-system";
const NAME: &str = "conform-applied";
const KEY: &str = "objects";
/// The kind that defines others, which goes last.
const DEFINITION: &str = "CustomResourceDefinition";

/// Removes what an earlier set had and this one has not, waits until it is gone, and lists this one.
///
/// Safe to call again after any end: what is listed and not there is gone.
pub async fn settle(client: &Client, set: &[Value]) -> Result<(), DeployError> {
    let gone = gone(before(client).await?, set);
    for object in gone {
        remove(client, &Resources::of(set), &object).await?;
    }
    put(client, vec![list(set)]).await
}

/// What was listed; nothing in a cluster that is new.
async fn before(client: &Client) -> Result<Vec<Value>, DeployError> {
    let name = ObjectName::of(&list(&[]));
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    let found = looked_for(&maps, &name).await?;
    let listed = found.and_then(|found| found.data.unwrap_or_default().remove(KEY));
    let Some(listed) = listed else {
        return Ok(Vec::new());
    };
    serde_json::from_str(&listed).map_err(|error| DeployError::Refused {
        object: name,
        why: format!("{error}: its list does not read; delete the cluster"),
    })
}

/// The object that lists a set. Pure.
fn list(set: &[Value]) -> Value {
    let objects: Vec<Value> = set
        .iter()
        .map(|object| {
            let mut metadata = json!({"name": text(object, "/metadata/name")});
            if let Some(namespace) = object.pointer("/metadata/namespace") {
                metadata["namespace"] = namespace.clone();
            }
            json!({
                "apiVersion": text(object, "/apiVersion"),
                "kind": text(object, "/kind"),
                "metadata": metadata,
            })
        })
        .collect();
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "data": {(KEY): Value::Array(objects).to_string()},
    })
}

/// What was and is not any more, users before what they use. Pure.
fn gone(before: Vec<Value>, set: &[Value]) -> Vec<Value> {
    let kept: BTreeSet<ObjectName> = set.iter().map(ObjectName::of).collect();
    let gone = before
        .into_iter()
        .filter(|object| !kept.contains(&ObjectName::of(object)))
        .collect();
    let stages = order::stages(gone).into_iter().rev();
    stages.flat_map(|(_, objects)| objects).collect()
}

/// Removes an object as far as it is there, with what it owns.
async fn remove(client: &Client, resources: &Resources, object: &Value) -> Result<(), DeployError> {
    let name = ObjectName::of(object);
    let api = api(client, &resources.of_object(object)?, &name);
    // What a definition defines goes with it; waiting for each of those to be finalized is not ours.
    let how = if name.kind == DEFINITION {
        DeleteParams::background()
    } else {
        DeleteParams::foreground()
    };
    Wait::new(format!("{name}, which the tree has no longer, gone"), ANSWERED)
        .every(LOOK)
        .until(|| async {
            match api.delete(&name.name, &how).await {
                Ok(_) => Look::Missing("it is on its way out".to_owned()),
                Err(kube::Error::Api(status)) if status.code == 404 => Look::Ready(()),
                Err(kube::Error::Api(status)) if !super::passes(&status) => {
                    Look::Hopeless(status.message.clone())
                }
                Err(error) => Look::Missing(words(&error)),
            }
        })
        .await
        .map_err(|error| DeployError::Unanswered {
            object: name.clone(),
            why: error.to_string(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(api: &str, kind: &str, name: &str) -> Value {
        json!({"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": "n"}, "spec": {"a": 1}})
    }

    #[test]
    fn a_list_names_objects_and_nothing_else_of_them() {
        let list = list(&[object("v1", "Service", "web")]);
        let listed: Value = serde_json::from_str(text(&list, "/data/objects")).unwrap();
        assert_eq!(
            listed,
            json!([{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "n"}}])
        );
    }

    #[test]
    fn what_the_set_lacks_goes_with_definitions_last() {
        let definition = object("apiextensions.k8s.io/v1", DEFINITION, "rules");
        let rule = object("monitoring.coreos.com/v1", "PrometheusRule", "rule");
        let service = object("v1", "Service", "web");
        let left = gone(
            vec![definition.clone(), service.clone(), rule.clone()],
            std::slice::from_ref(&service),
        );
        assert_eq!(left, [rule, definition]);
        assert_eq!(gone(vec![service.clone()], &[service]), Vec::<Value>::new());
    }
}
