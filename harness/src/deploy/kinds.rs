//! Strict typed views of the kinds whose fields rendering honours.
//!
//! A field of such a kind is one of three: it has a meaning for a plain
//! process and stands in the kind's spec type; it has one in a cluster only and
//! stands in the kind's [`Spec::CLUSTER_ONLY`]; or it is refused, so that
//! nothing declared is lost silently.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::typed::read;
use super::{DeployError, DeployTree, Object};

pub(crate) mod alertmanager;
pub(crate) mod cron_job;
pub(crate) mod opentelemetry_collector;
pub(crate) mod pod;
pub(crate) mod prometheus;
pub(crate) mod prometheus_rule;
pub(crate) mod service;
pub(crate) mod service_monitor;
pub(crate) mod stateful_set;

/// The `spec` of a kind.
pub(crate) trait Spec: DeserializeOwned {
    /// The kind.
    const KIND: &'static str;
    /// Fields that mean something in a cluster only.
    const CLUSTER_ONLY: &'static [ClusterOnly];
}

/// A field of `spec` that means something in a cluster only.
#[derive(Debug)]
pub(crate) struct ClusterOnly {
    /// Its name.
    pub(crate) field: &'static str,
    /// What holds for a plain process instead, and why, where that changes behaviour.
    pub(crate) instead: Option<(&'static str, &'static str)>,
}

/// A cluster-only field whose absence changes nothing that can be observed on a plain process.
pub(crate) const fn without_effect(field: &'static str) -> ClusterOnly {
    ClusterOnly { field, instead: None }
}

/// A cluster-only field in whose place something else holds.
pub(crate) const fn instead(field: &'static str, holds: &'static str, why: &'static str) -> ClusterOnly {
    ClusterOnly {
        field,
        instead: Some((holds, why)),
    }
}

/// An object as its kind's spec reads it.
#[derive(Debug)]
pub(crate) struct View<'t, S> {
    /// The object.
    pub(crate) object: &'t Object,
    /// Its spec, cluster-only fields apart.
    pub(crate) spec: S,
    /// The cluster-only fields that it has.
    pub(crate) cluster_only: Vec<(&'static ClusterOnly, &'t Value)>,
}

/// Reads an object of the kind.
pub(crate) fn view<S: Spec>(object: &Object) -> Result<View<'_, S>, DeployError> {
    if let Some(members) = object.value.as_object() {
        for field in members.keys() {
            if !matches!(
                field.as_str(),
                "apiVersion" | "kind" | "metadata" | "spec" | "status"
            ) {
                return Err(object.wrong(
                    field,
                    "unknown field; an object has `apiVersion`, `kind`, `metadata` and `spec`: is it indented too little?",
                ));
            }
        }
    }
    let Some(Value::Object(all)) = object.value.get("spec") else {
        return Err(object.wrong("spec", format!("missing; {} needs a mapping here", S::KIND)));
    };
    let mut rendered = serde_json::Map::new();
    let mut cluster_only = Vec::new();
    for (field, value) in all {
        match S::CLUSTER_ONLY.iter().find(|c| c.field == field) {
            Some(known) => cluster_only.push((known, value)),
            None => {
                rendered.insert(field.clone(), value.clone());
            }
        }
    }
    let spec = read(object, "spec", &Value::Object(rendered))?;
    Ok(View {
        object,
        spec,
        cluster_only,
    })
}

/// All objects of the kind, in file order.
pub(crate) fn views<S: Spec>(tree: &DeployTree) -> Result<Vec<View<'_, S>>, DeployError> {
    tree.of_kind(S::KIND).map(view::<S>).collect()
}

/// The object of the kind that has this name.
pub(crate) fn named<'t, S: Spec>(
    tree: &'t DeployTree,
    name: &str,
    purpose: &str,
) -> Result<View<'t, S>, DeployError> {
    let object = tree
        .of_kind(S::KIND)
        .find(|o| o.name() == name)
        .ok_or_else(|| DeployError::NoObject {
            root: tree.root().to_owned(),
            object: format!("{}/{name}", S::KIND),
            purpose: purpose.to_owned(),
        })?;
    view(object)
}

/// The only object of the kind.
pub(crate) fn only<'t, S: Spec>(tree: &'t DeployTree, purpose: &str) -> Result<View<'t, S>, DeployError> {
    let mut objects = tree.of_kind(S::KIND);
    let first = objects.next().ok_or_else(|| DeployError::NoObject {
        root: tree.root().to_owned(),
        object: S::KIND.to_owned(),
        purpose: purpose.to_owned(),
    })?;
    match objects.next() {
        None => view(first),
        Some(second) => Err(second.wrong(
            "metadata.name",
            format!(
                "a second {kind}; {path}:{line} declares {first} already and a stack has one: remove one of them",
                kind = S::KIND,
                path = first.file.display(),
                line = first.line,
                first = first.id(),
            ),
        )),
    }
}
