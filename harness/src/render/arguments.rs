//! Arguments of a server, each from exactly one source.

use std::fmt::Display;

use crate::deploy::{DeployError, Object};
use crate::stack::ChangedValue;

/// Arguments in order.
#[derive(Debug, Default)]
pub(super) struct Arguments(pub(super) Vec<(String, Option<String>)>);

/// The name of a flag without its dashes and negation: `--no-x` and `--x` set the same thing.
fn name(flag: &str) -> &str {
    let bare = flag.trim_start_matches('-');
    bare.strip_prefix("no-").unwrap_or(bare)
}

impl Arguments {
    /// Adds `--flag`.
    pub(super) fn switch(&mut self, flag: &str) {
        self.0.push((format!("--{flag}"), None));
    }

    /// Adds `--flag=value`.
    pub(super) fn value(&mut self, flag: &str, value: impl Display) {
        self.0.push((format!("--{flag}"), Some(value.to_string())));
    }

    /// Adds `--flag=value` if there is a value.
    pub(super) fn optional(&mut self, flag: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.value(flag, value);
        }
    }

    /// Adds one of `additionalArgs`, which may not be set already (the operator refuses that too:
    /// prometheus-operator v0.85, pkg/operator/args.go).
    pub(super) fn additional(
        &mut self,
        object: &Object,
        index: usize,
        flag: &str,
        value: Option<&str>,
    ) -> Result<(), DeployError> {
        if let Some((known, _)) = self.0.iter().find(|(known, _)| name(known) == name(flag)) {
            return Err(object.wrong(
                format!("spec.additionalArgs[{index}].name"),
                format!("`{known}` is set from a field of its own already, and the operator refuses to set it twice; remove it here"),
            ));
        }
        let value = value.filter(|v| !v.is_empty()).map(str::to_owned);
        self.0.push((format!("--{flag}"), value));
        Ok(())
    }

    /// Sets an argument whatever it was before, in its place, and says what changed.
    pub(super) fn replace(
        &mut self,
        object: &Object,
        flag: &str,
        value: Option<&str>,
        why: &str,
    ) -> Option<ChangedValue> {
        let new = (flag.to_owned(), value.map(str::to_owned));
        let place = self.0.iter().position(|(known, _)| name(known) == name(flag));
        self.0.retain({
            let mut index = 0;
            move |(known, _)| {
                let first = Some(index) == place;
                index += 1;
                first || name(known) != name(flag)
            }
        });
        let before = if let Some(place) = place {
            Some(std::mem::replace(&mut self.0[place], new.clone()))
        } else {
            self.0.push(new.clone());
            None
        };
        let changed = ChangedValue {
            object: object.id(),
            field: flag.to_owned(),
            from: before.as_ref().map_or_else(|| "not set".to_owned(), shown),
            to: shown(&new),
            why: why.to_owned(),
        };
        (before.as_ref() != Some(&new)).then_some(changed)
    }
}

fn shown((flag, value): &(String, Option<String>)) -> String {
    value.clone().unwrap_or_else(|| flag.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;
    use std::path::PathBuf;

    fn object() -> Object {
        Object {
            file: PathBuf::from("a.yaml"),
            line: 1,
            value: json!({"kind": "Prometheus", "metadata": {"name": "p"}}),
        }
    }

    #[test]
    fn a_replacement_stands_in_the_place_of_what_it_replaces() {
        let mut arguments = Arguments::default();
        arguments.value("a", 1);
        arguments.switch("b");
        let changed = arguments.replace(&object(), "--a", Some("2"), "test").unwrap();
        assert_eq!((changed.from.as_str(), changed.to.as_str()), ("1", "2"));
        assert_eq!(arguments.0[0], ("--a".to_owned(), Some("2".to_owned())));
        let changed = arguments.replace(&object(), "--no-b", None, "test").unwrap();
        assert_eq!((changed.from.as_str(), changed.to.as_str()), ("--b", "--no-b"));
        assert_eq!(arguments.0.len(), 2);
        assert_eq!(arguments.replace(&object(), "--no-b", None, "test"), None);
    }

    #[test]
    fn an_additional_argument_may_not_be_set_already() {
        let mut arguments = Arguments::default();
        arguments.value("a", 1);
        assert!(arguments.additional(&object(), 0, "b", Some("x")).is_ok());
        let error = arguments
            .additional(&object(), 1, "no-a", None)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("spec.additionalArgs[1].name: `--a` is set"),
            "{error}"
        );
    }

    proptest! {
        /// forall replacements: every name occurs once
        #[test]
        fn every_argument_has_one_source(flags in prop::collection::vec(("(--no-|--)[ab]", prop::option::of("[xy]")), 0..8)) {
            let mut arguments = Arguments::default();
            for (flag, value) in &flags {
                arguments.replace(&object(), flag, value.as_deref(), "test");
            }
            let mut names: Vec<_> = arguments.0.iter().map(|(flag, _)| name(flag).to_owned()).collect();
            let all = names.len();
            names.sort();
            names.dedup();
            prop_assert_eq!(names.len(), all);
        }
    }
}
