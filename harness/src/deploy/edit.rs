//! Edits of a tree, as mutants make them.

use serde_json::Value;

use super::{DeployError, Object};
use crate::mutant::Edit;

/// Makes one edit; drifts change nothing here.
pub(super) fn apply(objects: &mut Vec<Object>, edit: &Edit) -> Result<(), DeployError> {
    match edit {
        Edit::Set {
            object,
            pointer,
            value,
        } => {
            let target = find(objects, object, pointer)?;
            made(set(&mut target.value, pointer, value.clone()), object, pointer)
        }
        Edit::Remove { object, pointer } if pointer.is_empty() => {
            let before = objects.len();
            objects.retain(|o| o.id() != *object);
            made(objects.len() < before, object, "the object itself")
        }
        Edit::Remove { object, pointer } => {
            let target = find(objects, object, pointer)?;
            made(remove(&mut target.value, pointer), object, pointer)
        }
        Edit::ReplaceText {
            object,
            pointer,
            find: text,
            replace,
        } => {
            let target = find(objects, object, pointer)?;
            let place = format!("{pointer}: {text}");
            match target.value.pointer_mut(pointer) {
                Some(Value::String(whole)) if whole.contains(text.as_str()) && text != replace => {
                    *whole = whole.replace(text.as_str(), replace);
                    Ok(())
                }
                _ => made(false, object, &place),
            }
        }
        Edit::SetEmbedded {
            object,
            pointer,
            inside,
            value,
        } => {
            let target = find(objects, object, pointer)?;
            let place = format!("{pointer}: {inside}");
            let Some(Value::String(text)) = target.value.pointer_mut(pointer) else {
                return made(false, object, &place);
            };
            let edited = embedded(text, inside, value);
            made(edited.is_some(), object, &place)?;
            if let Some(edited) = edited {
                *text = edited;
            }
            Ok(())
        }
        Edit::SetRule { rule, pointer, value } => {
            let mut changed = false;
            for found in rules(objects).filter(|r| is_named(r, rule)) {
                changed |= if value.is_null() {
                    remove(found, pointer)
                } else {
                    set(found, pointer, value.clone())
                };
            }
            made(changed, &format!("rule {rule}"), pointer)
        }
        Edit::RemoveRule { rule } => {
            let mut changed = false;
            for group in groups(objects) {
                if let Some(Value::Array(rules)) = group.get_mut("rules") {
                    let before = rules.len();
                    rules.retain(|r| !is_named(r, rule));
                    changed |= rules.len() < before;
                }
            }
            made(changed, &format!("rule {rule}"), "the rule itself")
        }
        Edit::Argument { .. } | Edit::RenderedText { .. } => Ok(()),
    }
}

fn made(changed: bool, object: &str, place: &str) -> Result<(), DeployError> {
    if changed {
        Ok(())
    } else {
        Err(DeployError::EditMissed {
            object: object.to_owned(),
            place: place.to_owned(),
        })
    }
}

fn find<'o>(objects: &'o mut [Object], id: &str, place: &str) -> Result<&'o mut Object, DeployError> {
    objects
        .iter_mut()
        .find(|o| o.id() == id)
        .ok_or_else(|| DeployError::EditMissed {
            object: id.to_owned(),
            place: place.to_owned(),
        })
}

fn groups(objects: &mut [Object]) -> impl Iterator<Item = &mut Value> {
    objects
        .iter_mut()
        .filter(|o| o.kind() == "PrometheusRule")
        .filter_map(|o| o.value.pointer_mut("/spec/groups"))
        .filter_map(Value::as_array_mut)
        .flatten()
}

fn rules(objects: &mut [Object]) -> impl Iterator<Item = &mut Value> {
    groups(objects)
        .filter_map(|group| group.get_mut("rules"))
        .filter_map(Value::as_array_mut)
        .flatten()
}

fn is_named(rule: &Value, name: &str) -> bool {
    ["alert", "record"]
        .iter()
        .any(|field| rule.get(field).and_then(Value::as_str) == Some(name))
}

/// The parent's pointer and the last member's name, unescaped (RFC 6901).
fn last(pointer: &str) -> Option<(&str, String)> {
    let (parent, member) = pointer.rsplit_once('/')?;
    Some((parent, member.replace("~1", "/").replace("~0", "~")))
}

/// Sets what the pointer names; whether that changed anything.
fn set(value: &mut Value, pointer: &str, new: Value) -> bool {
    if let Some(old) = value.pointer_mut(pointer) {
        let changes = *old != new;
        *old = new;
        return changes;
    }
    let Some((parent, member)) = last(pointer) else {
        return false;
    };
    match value.pointer_mut(parent) {
        Some(Value::Object(map)) => {
            map.insert(member, new);
            true
        }
        Some(Value::Array(items)) if member == "-" || member == items.len().to_string() => {
            items.push(new);
            true
        }
        _ => false,
    }
}

/// The document with one value set, or removed where it is null; none when that changes nothing or the
/// text is no document. What was JSON stays JSON, for a server that reads nothing else.
fn embedded(text: &str, inside: &str, value: &Value) -> Option<String> {
    let json = serde_json::from_str::<Value>(text).ok();
    let is_json = json.is_some();
    let mut document = json.or_else(|| serde_saphyr::from_str(text).ok())?;
    let changed = if value.is_null() {
        remove(&mut document, inside)
    } else {
        set(&mut document, inside, value.clone())
    };
    if !changed {
        None
    } else if is_json {
        serde_json::to_string_pretty(&document).ok()
    } else {
        serde_saphyr::to_string(&document).ok()
    }
}

/// Removes what the pointer names; whether there was anything.
fn remove(value: &mut Value, pointer: &str) -> bool {
    let Some((parent, member)) = last(pointer) else {
        return false;
    };
    match value.pointer_mut(parent) {
        Some(Value::Object(map)) => map.shift_remove(&member).is_some(),
        Some(Value::Array(items)) => match member.parse::<usize>() {
            Ok(index) if index < items.len() => {
                items.remove(index);
                true
            }
            _ => false,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;
    use std::path::PathBuf;

    fn objects() -> Vec<Object> {
        let values = [
            json!({"kind": "Prometheus", "metadata": {"name": "p", "labels": {"a/b": "c"}},
                   "spec": {"retention": "30d", "features": ["x", "y"]}}),
            json!({"kind": "PrometheusRule", "metadata": {"name": "r"}, "spec": {"groups": [
                {"name": "g", "rules": [
                    {"alert": "Down", "expr": "up == 0", "for": "5m"},
                    {"record": "job:up:sum", "expr": "sum(up)"}]}]}}),
            json!({"kind": "ConfigMap", "metadata": {"name": "c"}, "data": {
                "a.json": "{\"phases\": {\"warm\": {\"min_age\": \"2d\"}}}",
                "b.yml": "# says what\nnode.roles: [master]\nport: 1\n",
                "c.txt": "a: [b"}}),
        ];
        values
            .into_iter()
            .map(|value| Object {
                file: PathBuf::from("f.yaml"),
                line: 1,
                value,
            })
            .collect()
    }

    #[rstest]
    #[case(Edit::set("Prometheus/p", "/spec/retention", "15d"), 0, "/spec/retention", Some(json!("15d")))]
    #[case(Edit::set("Prometheus/p", "/spec/retentionSize", "1GB"), 0, "/spec/retentionSize", Some(json!("1GB")))]
    #[case(Edit::set("Prometheus/p", "/metadata/labels/a~1b", "d"), 0, "/metadata/labels/a~1b", Some(json!("d")))]
    #[case(Edit::set("Prometheus/p", "/spec/features/2", "z"), 0, "/spec/features", Some(json!(["x", "y", "z"])))]
    #[case(Edit::remove("Prometheus/p", "/spec/retention"), 0, "/spec/retention", None)]
    #[case(Edit::remove("Prometheus/p", "/spec/features/0"), 0, "/spec/features", Some(json!(["y"])))]
    #[case(Edit::replace_text("Prometheus/p", "/spec/retention", "30", "3"), 0, "/spec/retention", Some(json!("3d")))]
    #[case(Edit::set_rule("Down", "/for", "1h"), 1, "/spec/groups/0/rules/0/for", Some(json!("1h")))]
    #[case(
        Edit::set_rule("Down", "/for", Value::Null),
        1,
        "/spec/groups/0/rules/0/for",
        None
    )]
    #[case(Edit::set_rule("job:up:sum", "/expr", "1"), 1, "/spec/groups/0/rules/1/expr", Some(json!("1")))]
    #[case(Edit::remove_rule("Down"), 1, "/spec/groups/0/rules/0/record", Some(json!("job:up:sum")))]
    fn an_edit_changes_what_it_names(
        #[case] edit: Edit,
        #[case] object: usize,
        #[case] pointer: &str,
        #[case] after: Option<Value>,
    ) {
        let mut all = objects();
        apply(&mut all, &edit).unwrap();
        assert_eq!(all[object].value.pointer(pointer), after.as_ref());
    }

    #[rstest]
    #[case("/data/a.json", "/phases/warm/min_age", json!("3d"), json!({"phases": {"warm": {"min_age": "3d"}}}))]
    #[case("/data/a.json", "/phases/warm", Value::Null, json!({"phases": {}}))]
    #[case("/data/a.json", "/phases/cold", json!({}), json!({"phases": {"warm": {"min_age": "2d"}, "cold": {}}}))]
    #[case("/data/b.yml", "/node.roles/0", json!("data_hot"), json!({"node.roles": ["data_hot"], "port": 1}))]
    #[case("/data/b.yml", "/port", json!("${PORT}"), json!({"node.roles": ["master"], "port": "${PORT}"}))]
    fn a_document_inside_an_object_is_edited(
        #[case] pointer: &str,
        #[case] inside: &str,
        #[case] value: Value,
        #[case] after: Value,
    ) {
        let mut all = objects();
        apply(
            &mut all,
            &Edit::set_embedded("ConfigMap/c", pointer, inside, value),
        )
        .unwrap();
        let text = all[2].text(pointer);
        assert_eq!(serde_saphyr::from_str::<Value>(text).unwrap(), after);
        assert_eq!(
            serde_json::from_str::<Value>(text).is_ok(),
            pointer == "/data/a.json",
            "{text}"
        );
    }

    #[rstest]
    #[case(Edit::set("Prometheus/p", "/spec/retention", "30d"))]
    #[case(Edit::set("Prometheus/q", "/spec/retention", "15d"))]
    #[case(Edit::set("Prometheus/p", "/spec/storage/size", "1"))]
    #[case(Edit::set("Prometheus/p", "/spec/features/7", "z"))]
    #[case(Edit::remove("Prometheus/p", "/spec/storage"))]
    #[case(Edit::remove("Prometheus/p", "/spec/features/2"))]
    #[case(Edit::remove("Prometheus/q", ""))]
    #[case(Edit::replace_text("Prometheus/p", "/spec/retention", "40", "3"))]
    #[case(Edit::replace_text("Prometheus/p", "/spec/retention", "30", "30"))]
    #[case(Edit::replace_text("Prometheus/p", "/spec/features", "x", "z"))]
    #[case(Edit::set_embedded("ConfigMap/c", "/data/a.json", "/phases/warm/min_age", "2d"))]
    #[case(Edit::set_embedded("ConfigMap/c", "/data/a.json", "/phases/hot/min_age", "2d"))]
    #[case(Edit::set_embedded("ConfigMap/c", "/data/a.json", "/phases/hot", Value::Null))]
    #[case(Edit::set_embedded("ConfigMap/c", "/data/c.txt", "/a", "2d"))]
    #[case(Edit::set_embedded("ConfigMap/c", "/data/d.json", "/a", "2d"))]
    #[case(Edit::set_embedded("Prometheus/p", "/spec/features", "/0", "2d"))]
    #[case(Edit::set_rule("Up", "/for", "1h"))]
    #[case(Edit::set_rule("Down", "/for", "5m"))]
    #[case(Edit::set_rule("Down", "/keep_firing_for", Value::Null))]
    #[case(Edit::remove_rule("Up"))]
    fn an_edit_that_changes_nothing_is_an_error(#[case] edit: Edit) {
        let error = apply(&mut objects(), &edit).unwrap_err();
        assert!(matches!(error, DeployError::EditMissed { .. }), "{error}");
    }

    #[test]
    fn an_object_is_removed_by_an_empty_pointer() {
        let mut all = objects();
        apply(&mut all, &Edit::remove("Prometheus/p", "")).unwrap();
        assert_eq!(all.len(), objects().len() - 1);
        assert!(all.iter().all(|o| o.id() != "Prometheus/p"));
    }
}
