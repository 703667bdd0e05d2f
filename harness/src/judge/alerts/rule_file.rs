//! A rule file with chosen groups of the tree, unmodified.

use serde_json::{Map, Value, json};

use crate::deploy::{Rule, RuleGroup, RuleKind};
use crate::units::Span;

/// The text of a rule file with these groups. It is JSON, which every reader of YAML reads.
#[must_use]
pub fn text(groups: &[RuleGroup]) -> String {
    let groups: Vec<Value> = groups.iter().map(group).collect();
    json!({ "groups": groups }).to_string()
}

fn group(group: &RuleGroup) -> Value {
    let mut value = Map::new();
    value.insert("name".into(), group.name.clone().into());
    if let Some(interval) = group.interval {
        value.insert("interval".into(), interval.to_string().into());
    }
    value.insert("rules".into(), group.rules.iter().map(rule).collect());
    value.into()
}

fn rule(rule: &Rule) -> Value {
    let mut value = Map::new();
    let name = match rule.kind {
        RuleKind::Alert => "alert",
        RuleKind::Recording => "record",
    };
    value.insert(name.into(), rule.name.clone().into());
    value.insert("expr".into(), rule.expr.clone().into());
    for (field, span) in [("for", rule.hold), ("keep_firing_for", rule.keep_firing)] {
        if span != Span(std::time::Duration::ZERO) {
            value.insert(field.into(), span.to_string().into());
        }
    }
    for (field, map) in [("labels", &rule.labels), ("annotations", &rule.annotations)] {
        if !map.is_empty() {
            value.insert(field.into(), json!(map));
        }
    }
    value.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use indexmap::IndexMap;
    use std::time::Duration;

    #[test]
    fn only_what_a_rule_has_is_written() {
        let group = RuleGroup {
            object: "PrometheusRule/a".into(),
            namespace: "monitoring".into(),
            name: "g".into(),
            interval: None,
            rules: vec![
                Rule {
                    kind: RuleKind::Recording,
                    name: "a:b".into(),
                    expr: "sum(x)".into(),
                    hold: Span(Duration::ZERO),
                    keep_firing: Span(Duration::ZERO),
                    labels: IndexMap::new(),
                    annotations: IndexMap::new(),
                },
                Rule {
                    kind: RuleKind::Alert,
                    name: "A".into(),
                    expr: "a:b > 1".into(),
                    hold: Span(Duration::from_mins(2)),
                    keep_firing: Span(Duration::ZERO),
                    labels: IndexMap::from([("severity".into(), "critical".into())]),
                    annotations: IndexMap::new(),
                },
            ],
        };
        insta::assert_snapshot!(text(&[group]), @r#"{"groups":[{"name":"g","rules":[{"record":"a:b","expr":"sum(x)"},{"alert":"A","expr":"a:b > 1","for":"2m","labels":{"severity":"critical"}}]}]}"#);
    }
}
