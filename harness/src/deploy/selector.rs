//! Kubernetes label selectors.

use std::fmt;

use indexmap::IndexMap;
use serde::Deserialize;

/// A label selector (`metav1.LabelSelector`): every requirement must hold; one without
/// requirements matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LabelSelector {
    /// Labels that must have exactly these values.
    #[serde(default)]
    pub match_labels: IndexMap<String, String>,
    /// Further requirements.
    #[serde(default)]
    pub match_expressions: Vec<Requirement>,
}

/// One requirement of `matchExpressions`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// The label.
    pub key: String,
    /// How its value relates to `values`.
    pub operator: Operator,
    /// The values of `In` and `NotIn`.
    #[serde(default)]
    pub values: Vec<String>,
}

/// The operators of a requirement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Operator {
    /// The label has one of the values.
    In,
    /// The label has none of the values, or is not there at all.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is not there.
    DoesNotExist,
}

/// A requirement that a set of labels does not meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmet {
    /// The label.
    pub key: String,
    /// What the selector asks for, in words that follow the label's name.
    pub wanted: String,
    /// The values that would do, where they can be listed.
    pub values: Vec<String>,
    /// The value found, none when the label is missing.
    pub found: Option<String>,
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "label {} {} here", self.key, self.wanted)
    }
}

impl LabelSelector {
    /// Whether the labels meet every requirement.
    #[must_use]
    pub fn matches(&self, labels: &IndexMap<String, String>) -> bool {
        self.match_labels
            .iter()
            .all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(|r| r.met(labels))
    }

    /// The requirements that the labels do not meet, in the selector's order.
    #[must_use]
    pub fn unmet(&self, labels: &IndexMap<String, String>) -> Vec<Unmet> {
        let exact = self
            .match_labels
            .iter()
            .filter(|(key, value)| labels.get(*key) != Some(*value))
            .map(|(key, value)| Unmet {
                key: key.clone(),
                wanted: format!("is `{value}`"),
                values: vec![value.clone()],
                found: labels.get(key).cloned(),
            });
        let further = self
            .match_expressions
            .iter()
            .filter(|r| !r.met(labels))
            .map(|r| Unmet {
                key: r.key.clone(),
                wanted: match r.operator {
                    Operator::In => format!("is one of `{}`", r.values.join("`, `")),
                    Operator::NotIn => format!("is none of `{}`", r.values.join("`, `")),
                    Operator::Exists => "must exist".to_owned(),
                    Operator::DoesNotExist => "must not exist".to_owned(),
                },
                values: match r.operator {
                    Operator::In => r.values.clone(),
                    Operator::NotIn | Operator::Exists | Operator::DoesNotExist => Vec::new(),
                },
                found: labels.get(&r.key).cloned(),
            });
        exact.chain(further).collect()
    }
}

impl Requirement {
    /// Kubernetes' semantics (apimachinery `labels.Requirement.Matches`): `NotIn` also holds for a
    /// label that is not there.
    fn met(&self, labels: &IndexMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        match self.operator {
            Operator::In => value.is_some_and(|v| self.values.contains(v)),
            Operator::NotIn => value.is_none_or(|v| !self.values.contains(v)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    fn labels(pairs: &[(&str, &str)]) -> IndexMap<String, String> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    fn requirement(operator: Operator, values: &[&str]) -> LabelSelector {
        LabelSelector {
            match_labels: IndexMap::new(),
            match_expressions: vec![Requirement {
                key: "tier".into(),
                operator,
                values: values.iter().map(|v| (*v).to_owned()).collect(),
            }],
        }
    }

    #[rstest]
    #[case(Operator::In, &["web", "api"], &[("tier", "api")], true)]
    #[case(Operator::In, &["web", "api"], &[("tier", "db")], false)]
    #[case(Operator::In, &["web", "api"], &[], false)]
    #[case(Operator::NotIn, &["web"], &[("tier", "db")], true)]
    #[case(Operator::NotIn, &["web"], &[("tier", "web")], false)]
    #[case(Operator::NotIn, &["web"], &[], true)]
    #[case(Operator::Exists, &[], &[("tier", "")], true)]
    #[case(Operator::Exists, &[], &[], false)]
    #[case(Operator::DoesNotExist, &[], &[], true)]
    #[case(Operator::DoesNotExist, &[], &[("tier", "web")], false)]
    fn operators_as_kubernetes_reads_them(
        #[case] operator: Operator,
        #[case] values: &[&str],
        #[case] on: &[(&str, &str)],
        #[case] matches: bool,
    ) {
        let selector = requirement(operator, values);
        assert_eq!(selector.matches(&labels(on)), matches);
        assert_eq!(selector.unmet(&labels(on)).is_empty(), matches);
    }

    fn any_labels() -> impl Strategy<Value = IndexMap<String, String>> {
        prop::collection::vec(("[ab]", "[xy]?"), 0..3).prop_map(|pairs| pairs.into_iter().collect())
    }

    fn any_selector() -> impl Strategy<Value = LabelSelector> {
        let operator = prop_oneof![
            Just(Operator::In),
            Just(Operator::NotIn),
            Just(Operator::Exists),
            Just(Operator::DoesNotExist)
        ];
        let one =
            ("[ab]", operator, prop::collection::vec("[xy]?", 1..3)).prop_map(|(key, operator, values)| {
                Requirement {
                    key,
                    operator,
                    values,
                }
            });
        (any_labels(), prop::collection::vec(one, 0..3)).prop_map(|(match_labels, match_expressions)| {
            LabelSelector {
                match_labels,
                match_expressions,
            }
        })
    }

    proptest! {
        /// forall selector, labels: matches(labels) <=> unmet(labels) = {}
        #[test]
        fn nothing_unmet_is_a_match(selector in any_selector(), on in any_labels()) {
            prop_assert_eq!(selector.matches(&on), selector.unmet(&on).is_empty());
        }

        /// forall labels: {} matches labels
        #[test]
        fn the_empty_selector_matches_everything(on in any_labels()) {
            prop_assert!(LabelSelector::default().matches(&on));
        }

        /// forall labels: a selector made of them matches them, and any superset
        #[test]
        fn labels_select_themselves(on in any_labels(), more in any_labels()) {
            let selector = LabelSelector { match_labels: on.clone(), match_expressions: vec![] };
            let mut superset = more;
            superset.extend(on);
            prop_assert!(selector.matches(&superset));
        }
    }
}
