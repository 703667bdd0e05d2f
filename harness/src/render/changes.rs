//! Listing what differs from the tree.

use serde_json::Value;

use crate::deploy::Object;
use crate::deploy::kinds::View;
use crate::stack::ChangedValue;

/// A list of changed values in the making.
#[derive(Debug, Default)]
pub(super) struct Changes(pub(super) Vec<ChangedValue>);

impl Changes {
    /// Lists a change, unless nothing differs.
    pub(super) fn add(
        &mut self,
        object: &Object,
        field: impl Into<String>,
        from: impl Into<String>,
        to: impl Into<String>,
        why: &str,
    ) {
        let change = ChangedValue {
            object: object.id(),
            field: field.into(),
            from: from.into(),
            to: to.into(),
            why: why.to_owned(),
        };
        if change.from != change.to && !self.0.contains(&change) {
            self.0.push(change);
        }
    }

    /// Lists a declared value that is left out, if it is declared.
    pub(super) fn left_out(
        &mut self,
        object: &Object,
        field: impl Into<String>,
        value: Option<&Value>,
        why: &str,
    ) {
        if let Some(value) = value {
            self.add(object, field, shown(value), "not set", why);
        }
    }

    /// Lists the cluster-only fields of an object that change what can be observed.
    pub(super) fn cluster_only<S>(&mut self, view: &View<'_, S>) {
        for (known, value) in &view.cluster_only {
            if let Some((to, why)) = known.instead {
                self.add(
                    view.object,
                    format!("spec.{}", known.field),
                    shown(value),
                    to,
                    why,
                );
            }
        }
    }
}

/// A value as a reader of the tree would write it on one line.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
