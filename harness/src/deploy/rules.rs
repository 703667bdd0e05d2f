//! The rule groups that the Prometheus object selects.

use super::kinds::prometheus::PrometheusSpec;
use super::kinds::prometheus_rule::{self, PrometheusRuleSpec};
use super::kinds::{View, only, view};
use super::{DeployError, DeployTree, Object, Rule, RuleGroup, RuleKind};
use crate::units::Span;
use std::collections::HashMap;
use std::time::Duration;

/// All rule groups of the selected `PrometheusRule`s, in file order.
pub(super) fn groups(tree: &DeployTree) -> Result<Vec<RuleGroup>, DeployError> {
    let prometheus = only::<PrometheusSpec>(tree, "for its rule selectors")?;
    let mut groups = Vec::new();
    for object in tree.of_kind("PrometheusRule") {
        let selected = tree.selects(
            prometheus.object,
            prometheus.spec.rule_selector.as_ref(),
            prometheus.spec.rule_namespace_selector.as_ref(),
            object,
        );
        if selected {
            groups.extend(of(&view(object)?)?);
        }
    }
    Ok(groups)
}

fn of(view: &View<'_, PrometheusRuleSpec>) -> Result<Vec<RuleGroup>, DeployError> {
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut groups = Vec::new();
    for (index, group) in view.spec.groups.iter().enumerate() {
        if let Some(first) = places.insert(&group.name, index) {
            return Err(view.object.wrong(
                format!("spec.groups[{index}].name"),
                format!("`{}` is the name of spec.groups[{first}] too; Prometheus refuses a file with two groups of one name", group.name),
            ));
        }
        let rules = group
            .rules
            .iter()
            .enumerate()
            .map(|(n, r)| rule(view.object, &format!("spec.groups[{index}].rules[{n}]"), r))
            .collect::<Result<_, _>>()?;
        groups.push(RuleGroup {
            object: view.object.id(),
            namespace: view.object.namespace().to_owned(),
            name: group.name.clone(),
            interval: group.interval,
            rules,
        });
    }
    Ok(groups)
}

fn rule(object: &Object, path: &str, rule: &prometheus_rule::Rule) -> Result<Rule, DeployError> {
    let (kind, name) = match (&rule.alert, &rule.record) {
        (Some(alert), None) => (RuleKind::Alert, alert),
        (None, Some(record)) => (RuleKind::Recording, record),
        _ => return Err(object.wrong(path, "a rule has either `alert` or `record`; give one of them")),
    };
    if kind == RuleKind::Recording {
        let of_alerts = [
            ("for", rule.hold.is_some()),
            ("keep_firing_for", rule.keep_firing_for.is_some()),
            ("annotations", !rule.annotations.is_empty()),
        ];
        if let Some((field, _)) = of_alerts.iter().find(|(_, there)| *there) {
            return Err(object.wrong(
                format!("{path}.{field}"),
                format!("only alerts have it and `{name}` is a recording rule; remove it"),
            ));
        }
    }
    let zero = Span(Duration::ZERO);
    Ok(Rule {
        kind,
        name: name.clone(),
        expr: rule.expr.0.clone(),
        hold: rule.hold.unwrap_or(zero),
        keep_firing: rule.keep_firing_for.unwrap_or(zero),
        labels: rule.labels.clone(),
        annotations: rule.annotations.clone(),
    })
}
