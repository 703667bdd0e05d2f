//! Rule files as Prometheus reads them.

use indexmap::IndexMap;
use serde::Serialize;

use super::{RenderError, yaml};
use crate::deploy::{Rule, RuleGroup, RuleKind};
use crate::units::Span;

#[derive(Serialize)]
struct File<'g> {
    groups: Vec<GroupText<'g>>,
}

#[derive(Serialize)]
struct GroupText<'g> {
    name: &'g str,
    #[serde(skip_serializing_if = "Option::is_none")]
    interval: Option<Span>,
    rules: Vec<RuleText<'g>>,
}

#[derive(Serialize)]
struct RuleText<'g> {
    #[serde(skip_serializing_if = "Option::is_none")]
    alert: Option<&'g str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<&'g str>,
    expr: &'g str,
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    hold: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_firing_for: Option<Span>,
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    labels: &'g IndexMap<String, String>,
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    annotations: &'g IndexMap<String, String>,
}

impl<'g> RuleText<'g> {
    fn of(rule: &'g Rule) -> Self {
        let given = |span: Span| (!span.0.is_zero()).then_some(span);
        Self {
            alert: (rule.kind == RuleKind::Alert).then_some(&rule.name),
            record: (rule.kind == RuleKind::Recording).then_some(&rule.name),
            expr: &rule.expr,
            hold: given(rule.hold),
            keep_firing_for: given(rule.keep_firing),
            labels: &rule.labels,
            annotations: &rule.annotations,
        }
    }
}

/// A rule file of these groups. Expressions, labels and annotations are the tree's own texts.
pub fn text<'g>(groups: impl IntoIterator<Item = &'g RuleGroup>) -> Result<String, RenderError> {
    let groups = groups
        .into_iter()
        .map(|group| GroupText {
            name: &group.name,
            interval: group.interval,
            rules: group.rules.iter().map(RuleText::of).collect(),
        })
        .collect();
    yaml::write("rule file", &File { groups })
}

/// One rule file an object, by path relative to the server's folder: `rules/<namespace>-<name>.yaml`.
/// The operator writes one file an object too, with the object's UID in its name.
pub fn files(groups: &[RuleGroup]) -> Result<IndexMap<String, String>, RenderError> {
    let mut objects: IndexMap<(&str, &str), Vec<&RuleGroup>> = IndexMap::new();
    for group in groups {
        objects
            .entry((&group.namespace, &group.object))
            .or_default()
            .push(group);
    }
    objects
        .into_iter()
        .map(|((namespace, object), groups)| {
            let name = object.rsplit('/').next().unwrap_or(object);
            Ok((format!("rules/{namespace}-{name}.yaml"), text(groups)?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::tests::tree;

    const TREE: &str = r#"
apiVersion: monitoring.coreos.com/v1
kind: Prometheus
metadata: {name: prometheus, namespace: monitoring}
spec: {ruleSelector: {}}
---
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata: {name: alerts, namespace: monitoring}
spec:
  groups:
    - name: http
      interval: 90s
      rules:
        - alert: HighErrorRate
          expr: |-
            sum(rate(a[5m]))
              /
            sum(rate(b[5m])) > 0.05
          for: 5m
          labels: {severity: critical, service: '{{ $labels.job }}'}
          annotations: {summary: "it's: {{ $value }} %"}
    - name: up
      rules:
        - record: job:up:ratio
          expr: avg by (job) (up)
"#;

    #[test]
    fn rules_are_written_as_declared() {
        let files = files(&tree(TREE).rule_groups().unwrap()).unwrap();
        assert_eq!(files.keys().collect::<Vec<_>>(), ["rules/monitoring-alerts.yaml"]);
        insta::assert_snapshot!(files["rules/monitoring-alerts.yaml"]);
    }
}
