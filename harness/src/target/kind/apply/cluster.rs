//! What is known of a cluster: the objects seen so far, by kind, and what suspicious pods have logged. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

/// An object's kind, namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    /// `kind`.
    pub kind: String,
    /// `metadata.namespace`, empty for what lies in none.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

impl ObjectName {
    /// The name of this object.
    #[must_use]
    pub fn of(object: &Value) -> Self {
        Self {
            kind: text(object, "/kind").to_owned(),
            namespace: text(object, "/metadata/namespace").to_owned(),
            name: text(object, "/metadata/name").to_owned(),
        }
    }
}

impl std::fmt::Display for ObjectName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            kind,
            namespace,
            name,
        } = self;
        if namespace.is_empty() {
            write!(f, "{kind} {name}")
        } else {
            write!(f, "{kind} {namespace}/{name}")
        }
    }
}

/// The objects of a cluster that are looked at.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cluster {
    objects: BTreeMap<String, BTreeMap<(String, String), Value>>,
    logs: BTreeMap<(String, String), String>,
}

impl Cluster {
    /// A cluster of these objects.
    #[must_use]
    pub fn of(objects: impl IntoIterator<Item = Value>) -> Self {
        let mut cluster = Self::default();
        for object in objects {
            cluster.put(object);
        }
        cluster
    }

    /// Takes the newest state of an object.
    pub fn put(&mut self, object: Value) {
        let ObjectName {
            kind,
            namespace,
            name,
        } = ObjectName::of(&object);
        self.objects
            .entry(kind)
            .or_default()
            .insert((namespace, name), object);
    }

    /// Forgets an object.
    pub fn forget(&mut self, name: &ObjectName) {
        if let Some(kind) = self.objects.get_mut(&name.kind) {
            kind.remove(&(name.namespace.clone(), name.name.clone()));
        }
    }

    /// All objects of a kind are these and no others.
    pub fn replace(&mut self, kind: &str, objects: impl IntoIterator<Item = Value>) {
        self.objects.remove(kind);
        for object in objects {
            self.put(object);
        }
    }

    /// Takes the end of what a pod has logged.
    pub fn logged(&mut self, namespace: &str, pod: &str, lines: String) {
        self.logs.insert((namespace.to_owned(), pod.to_owned()), lines);
    }

    /// The objects of a kind, by namespace and name.
    pub fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.objects.get(kind).into_iter().flat_map(BTreeMap::values)
    }

    /// An object.
    #[must_use]
    pub fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<&Value> {
        self.objects
            .get(kind)?
            .get(&(namespace.to_owned(), name.to_owned()))
    }

    /// The object of this name.
    #[must_use]
    pub fn named(&self, name: &ObjectName) -> Option<&Value> {
        self.get(&name.kind, &name.namespace, &name.name)
    }

    /// What pods have logged: namespace, pod, lines.
    pub fn logs(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.logs
            .iter()
            .map(|((namespace, pod), lines)| (namespace.as_str(), pod.as_str(), lines.as_str()))
    }

    /// What a pod has logged.
    #[must_use]
    pub fn log(&self, namespace: &str, pod: &str) -> Option<&str> {
        self.logs
            .get(&(namespace.to_owned(), pod.to_owned()))
            .map(String::as_str)
    }

    /// Events about an object, in no order. An event about a field of it (a container) is one about it.
    pub fn events<'c>(&'c self, about: &ObjectName) -> impl Iterator<Item = &'c Value> + use<'c> {
        let about = about.clone();
        self.of_kind("Event").filter(move |event| {
            text(event, "/involvedObject/kind") == about.kind
                && text(event, "/involvedObject/namespace") == about.namespace
                && text(event, "/involvedObject/name") == about.name
        })
    }

    /// Who is behind an object: its controller, that one's controller, up to the last one that is known.
    #[must_use]
    pub fn owner(&self, object: &Value) -> ObjectName {
        let mut current = ObjectName::of(object);
        let mut seen = Some(object);
        // Controllers are few deep; a loop of references would be the server's mistake.
        for _ in 0..8 {
            let Some(reference) = seen.and_then(controller) else {
                break;
            };
            current = ObjectName {
                kind: text(reference, "/kind").to_owned(),
                namespace: current.namespace,
                name: text(reference, "/name").to_owned(),
            };
            seen = self.named(&current);
        }
        current
    }
}

/// The reference to an object's controller.
fn controller(object: &Value) -> Option<&Value> {
    values(object, "/metadata/ownerReferences").find(|r| r.get("controller") == Some(&Value::Bool(true)))
}

/// The text at a pointer, empty where there is none.
pub(crate) fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The whole number at a pointer, 0 where there is none: what Kubernetes leaves out of a status is zero.
pub(in crate::target::kind) fn number(value: &Value, pointer: &str) -> i64 {
    value.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
}

/// The items of the list at a pointer.
pub(super) fn values<'v>(value: &'v Value, pointer: &str) -> impl Iterator<Item = &'v Value> + use<'v> {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// The condition of this type.
pub(in crate::target::kind) fn condition<'v>(object: &'v Value, kind: &str) -> Option<&'v Value> {
    values(object, "/status/conditions").find(|c| text(c, "/type") == kind)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_owner_of_a_pod_is_the_last_controller_that_is_known() {
        let owned = |kind: &str, name: &str, by: Option<(&str, &str)>| {
            let owners: Vec<Value> = by
                .into_iter()
                .map(|(kind, name)| json!({"kind": kind, "name": name, "controller": true}))
                .collect();
            json!({"kind": kind, "metadata": {"name": name, "namespace": "n", "ownerReferences": owners}})
        };
        let pod = owned("Pod", "a-1-x", Some(("ReplicaSet", "a-1")));
        let cluster = Cluster::of([
            pod.clone(),
            owned("ReplicaSet", "a-1", Some(("Deployment", "a"))),
            owned("Deployment", "a", None),
        ]);
        assert_eq!(cluster.owner(&pod).to_string(), "Deployment n/a");
        assert_eq!(Cluster::of([]).owner(&pod).to_string(), "ReplicaSet n/a-1");
    }

    #[test]
    fn a_new_list_of_a_kind_replaces_the_old_one() {
        let pod = |name: &str| json!({"kind": "Pod", "metadata": {"name": name, "namespace": "n"}});
        let mut cluster = Cluster::of([pod("gone"), pod("here")]);
        cluster.replace("Pod", [pod("here")]);
        let names: Vec<_> = cluster
            .of_kind("Pod")
            .map(|p| text(p, "/metadata/name"))
            .collect();
        assert_eq!(names, ["here"]);
    }
}
