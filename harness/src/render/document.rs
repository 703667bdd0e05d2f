//! A configuration document of the tree in the making: changed value by value, each change listed.

use std::path::Path;

use serde_json::{Map, Value};

use super::changes::{Changes, shown};
use crate::deploy::{DeployError, DeployTree, Object};

/// A document, and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Document<'t> {
    /// The object that holds it.
    pub(super) object: &'t Object,
    /// Where in the object, as a dotted path.
    pub(super) place: String,
    /// Its content.
    pub(super) content: Value,
}

/// What a text of the tree must not hold any more once it is rendered: addresses, folders and variables
/// that exist inside a cluster only.
const CLUSTERS_OWN: &[&str] = &[
    "0.0.0.0",
    ".monitoring",
    "${",
    "/etc/",
    "/usr/share/",
    "/var/",
    "/conf/",
];

/// The text of a file in a `ConfigMap`, with the object and its place.
pub(super) fn config_map_text<'t>(
    tree: &'t DeployTree,
    name: &str,
    key: &str,
) -> Result<(&'t Object, String, &'t str), DeployError> {
    let object = tree
        .of_kind("ConfigMap")
        .find(|o| o.name() == name)
        .ok_or_else(|| DeployError::NoObject {
            root: tree.root().to_owned(),
            object: format!("ConfigMap/{name}"),
            purpose: format!("for its file `{key}`"),
        })?;
    let place = format!("data[{key}]");
    match object.value.get("data").and_then(|data| data.get(key)) {
        Some(Value::String(text)) => Ok((object, place, text)),
        _ => Err(object.wrong(
            place,
            "missing or not a text; the file that is read stands here, as a literal block (`|`)",
        )),
    }
}

impl<'t> Document<'t> {
    /// The YAML or JSON file of a `ConfigMap`.
    pub(super) fn in_config_map(tree: &'t DeployTree, name: &str, key: &str) -> Result<Self, DeployError> {
        let (object, place, text) = config_map_text(tree, name, key)?;
        let content: Value = serde_saphyr::from_str(text).map_err(|error| {
            let bare = error.without_snippet().to_string();
            let first = bare.lines().next().unwrap_or_default().to_owned();
            object.wrong(
                place.as_str(),
                format!("the file does not parse: {first} (lines count from its own start)"),
            )
        })?;
        if !content.is_object() {
            return Err(object.wrong(place, "the file is no mapping; write `name: value` lines"));
        }
        Ok(Self {
            object,
            place,
            content,
        })
    }

    /// A path inside the document as a dotted path of the object.
    pub(super) fn at(&self, path: &[&str]) -> String {
        let mut at = self.place.clone();
        for part in path {
            at = child(&at, part);
        }
        at
    }

    /// The value at a path; numbers name list elements.
    pub(super) fn get(&self, path: &[&str]) -> Option<&Value> {
        path.iter().try_fold(&self.content, |value, part| match value {
            Value::Array(items) => part.parse::<usize>().ok().and_then(|i| items.get(i)),
            other => other.get(part),
        })
    }

    /// The names below a path, none when it is no mapping.
    pub(super) fn names(&self, path: &[&str]) -> Vec<String> {
        let members = self.get(path).and_then(Value::as_object);
        members.into_iter().flat_map(|m| m.keys().cloned()).collect()
    }

    /// The text at a path.
    pub(super) fn text(&self, path: &[&str]) -> Result<&str, DeployError> {
        self.get(path)
            .and_then(Value::as_str)
            .ok_or_else(|| self.wrong(path, "missing or not a text; rendering needs one here"))
    }

    /// What is wrong with the value at a path.
    pub(super) fn wrong(&self, path: &[&str], why: impl Into<String>) -> DeployError {
        self.object.wrong(self.at(path), why)
    }

    /// Sets the value at a path, missing mappings on the way to it added; `from` is what holds where the
    /// document says nothing.
    pub(super) fn set(
        &mut self,
        path: &[&str],
        to: impl Into<Value>,
        from: &str,
        changes: &mut Changes,
        why: &str,
    ) {
        let to = to.into();
        let before = self.get(path).map_or_else(|| from.to_owned(), shown);
        changes.add(self.object, self.at(path), before, shown(&to), why);
        let Some((last, parents)) = path.split_last() else {
            return;
        };
        let mut value = &mut self.content;
        for part in parents {
            value = match value {
                Value::Array(items) => match part.parse::<usize>().ok().and_then(|i| items.get_mut(i)) {
                    Some(item) => item,
                    None => return,
                },
                other => {
                    if !other.is_object() {
                        *other = Value::Object(Map::new());
                    }
                    match other {
                        Value::Object(members) => members.entry(*part).or_insert(Value::Null),
                        _ => return,
                    }
                }
            };
        }
        if !value.is_object() {
            *value = Value::Object(Map::new());
        }
        if let Value::Object(members) = value {
            members.insert((*last).to_owned(), to);
        }
    }

    /// Removes the value at a path, if there is one.
    pub(super) fn remove(&mut self, path: &[&str], to: &str, changes: &mut Changes, why: &str) {
        let Some((last, parents)) = path.split_last() else {
            return;
        };
        let Some(before) = self.get(path).map(shown) else {
            return;
        };
        changes.add(self.object, self.at(path), before, to, why);
        let parent = parents
            .iter()
            .try_fold(&mut self.content, |value, part| value.get_mut(part));
        if let Some(Value::Object(members)) = parent {
            members.shift_remove(*last);
        }
    }

    /// Refuses an address, folder or variable of the cluster that rendering has not replaced.
    ///
    /// A text that begins with one of the run's `own` folders is the run's, wherever it lies.
    pub(super) fn finished(&self, own: &[&Path]) -> Result<(), DeployError> {
        left_over(&self.content, &self.place, own).map_or(Ok(()), |(at, text)| {
            Err(self.object.wrong(
                at,
                format!(
                    "`{text}` means something inside a cluster only and rendering does not know what stands for it; \
                     remove it, or add it to the rendering of this file"
                ),
            ))
        })
    }
}

/// A member's path.
fn child(at: &str, part: &str) -> String {
    if part.contains('.') || part.parse::<usize>().is_ok() {
        format!("{at}[{part}]")
    } else {
        format!("{at}.{part}")
    }
}

fn left_over(value: &Value, at: &str, own: &[&Path]) -> Option<(String, String)> {
    match value {
        Value::String(text) if own.iter().any(|folder| Path::new(text).starts_with(folder)) => None,
        Value::String(text) if CLUSTERS_OWN.iter().any(|mark| text.contains(mark)) => {
            Some((at.to_owned(), text.clone()))
        }
        Value::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(index, item)| left_over(item, &format!("{at}[{index}]"), own)),
        Value::Object(members) => members
            .iter()
            .find_map(|(name, member)| left_over(member, &child(at, name), own)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::path::PathBuf;

    fn object() -> Object {
        Object {
            file: PathBuf::from("a.yaml"),
            line: 3,
            value: json!({"kind": "ConfigMap", "metadata": {"name": "c"}}),
        }
    }

    #[test]
    fn every_change_is_listed_and_made() {
        let object = object();
        let mut document = Document {
            object: &object,
            place: "data[x.yml]".to_owned(),
            content: json!({"a.b": 1, "list": [{"host": "0.0.0.0"}], "gone": true}),
        };
        let mut changes = Changes::default();
        document.set(&["a.b"], 2, "0", &mut changes, "why");
        document.set(&["list", "0", "host"], "127.0.0.1", "", &mut changes, "why");
        document.set(&["new", "deep"], "x", "not set", &mut changes, "why");
        document.remove(&["gone"], "not set", &mut changes, "why");
        document.remove(&["never"], "not set", &mut changes, "why");
        assert_eq!(
            document.content,
            json!({"a.b": 2, "list": [{"host": "127.0.0.1"}], "new": {"deep": "x"}})
        );
        let listed: Vec<_> = changes
            .0
            .iter()
            .map(|c| format!("{} {} {}", c.field, c.from, c.to))
            .collect();
        assert_eq!(
            listed,
            [
                "data[x.yml][a.b] 1 2",
                "data[x.yml].list[0].host 0.0.0.0 127.0.0.1",
                "data[x.yml].new.deep not set x",
                "data[x.yml].gone true not set"
            ]
        );
        assert!(document.finished(&[]).is_ok());
    }

    #[test]
    fn what_only_a_cluster_has_is_refused_with_its_place() {
        let object = object();
        let document = Document {
            object: &object,
            place: "spec.config".to_owned(),
            content: json!({"receivers": {"x": [{"endpoint": "0.0.0.0:1"}]}}),
        };
        let error = document.finished(&[]).unwrap_err().to_string();
        assert!(
            error
                .starts_with("a.yaml:3: ConfigMap/c: spec.config.receivers.x[0].endpoint: `0.0.0.0:1` means"),
            "{error}"
        );
    }

    #[test]
    fn a_folder_of_the_run_may_lie_anywhere() {
        let object = object();
        let document = Document {
            object: &object,
            place: "data[x.yml]".to_owned(),
            content: json!({"path": "/var/folders/run/data"}),
        };
        assert!(document.finished(&[]).is_err());
        assert!(document.finished(&[Path::new("/var/folders/run")]).is_ok());
    }
}
