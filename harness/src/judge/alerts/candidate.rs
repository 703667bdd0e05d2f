//! Which production alert to try live: chosen from the tree by a property, so
//! that no case hard-codes a rule or its numbers.
//!
//! A live copy of an alert needs inputs that are exposed and changed at will:
//! gauges that the expression reads at one instant, both phases present.

use std::collections::BTreeSet;

use indexmap::IndexMap;

use super::expression::selectors;
use super::inputs::{AlertInput, AlertInputs, InputKind};
use crate::deploy::{Rule, RuleGroup, RuleKind};

/// An alert that can be driven live, with its input.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Its group, holding this one rule.
    pub group: RuleGroup,
    /// The rule.
    pub rule: Rule,
    /// Its input.
    pub input: AlertInput,
}

/// One series of a candidate's input, apart from the labels that a scrape gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Exposed {
    /// Metric name.
    pub metric: String,
    /// Labels but `job` and `instance`.
    pub labels: IndexMap<String, String>,
    /// Level while healthy.
    pub healthy: f64,
    /// Level in breach.
    pub breach: f64,
}

impl Candidate {
    /// The job that the input's series belong to.
    #[must_use]
    pub fn job(&self) -> Option<String> {
        self.input
            .series
            .iter()
            .find_map(|series| series.labels().ok()?.1.get("job").cloned())
    }

    /// What a scrape target of this input exposes.
    #[must_use]
    pub fn exposed(&self) -> Vec<Exposed> {
        self.input
            .series
            .iter()
            .filter_map(|series| {
                let (metric, mut labels) = series.labels().ok()?;
                labels.retain(|label, _| label != "job" && label != "instance");
                Some(Exposed {
                    metric,
                    labels,
                    healthy: series.healthy?,
                    breach: series.breach?,
                })
            })
            .collect()
    }

    /// Labels that the firing alert carries, the instance apart: a live target has its own.
    #[must_use]
    pub fn labels(&self) -> IndexMap<String, String> {
        let mut labels = self.input.labels.clone();
        labels.shift_remove("instance");
        labels
    }

    /// A label of the input's series that the alert keeps, so that several series of one rule are
    /// several alerts.
    #[must_use]
    pub fn distinguishing_label(&self) -> Option<String> {
        self.exposed().into_iter().find_map(|series| {
            series
                .labels
                .into_iter()
                .find(|(label, value)| self.input.labels.get(label) == Some(value))
                .map(|(label, _)| label)
        })
    }
}

/// Every alert that can be driven live by gauges of one job, in the tree's order.
#[must_use]
pub fn candidates(groups: &[RuleGroup], inputs: &AlertInputs) -> Vec<Candidate> {
    let recorded: BTreeSet<&str> = groups
        .iter()
        .flat_map(|group| &group.rules)
        .filter(|rule| rule.kind == RuleKind::Recording)
        .map(|rule| rule.name.as_str())
        .collect();
    let mut found = Vec::new();
    for group in groups {
        for rule in group.rules.iter().filter(|rule| rule.kind == RuleKind::Alert) {
            let Some(input) = inputs.alerts.get(&rule.name) else {
                continue;
            };
            let Ok(asked) = selectors(&rule.expr) else {
                continue;
            };
            // `up` is the scrape's own; `absent` and `count` depend on every series there is.
            let instant = !asked.is_empty()
                && asked.iter().all(|selector| {
                    !selector.range
                        && selector
                            .metric
                            .as_deref()
                            .is_some_and(|metric| metric != "up" && !recorded.contains(metric))
                })
                && !["absent", "count", "offset", "time()"]
                    .iter()
                    .any(|word| rule.expr.contains(word));
            let gauges = !input.series.is_empty()
                && input.series.iter().all(|series| {
                    series.kind == InputKind::Gauge && series.healthy.is_some() && series.breach.is_some()
                });
            let jobs: BTreeSet<Option<String>> = input
                .series
                .iter()
                .map(|series| {
                    series
                        .labels()
                        .ok()
                        .and_then(|(_, labels)| labels.get("job").cloned())
                })
                .collect();
            if instant && gauges && jobs.len() == 1 && !jobs.contains(&None) {
                found.push(Candidate {
                    group: RuleGroup {
                        rules: vec![rule.clone()],
                        ..group.clone()
                    },
                    rule: rule.clone(),
                    input: input.clone(),
                });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Span;
    use rstest::rstest;
    use std::path::Path;
    use std::time::Duration;

    fn tree(expr: &str) -> Vec<RuleGroup> {
        let rule = |kind, name: &str, expr: &str| Rule {
            kind,
            name: name.into(),
            expr: expr.into(),
            hold: Span(Duration::from_mins(2)),
            keep_firing: Span(Duration::ZERO),
            labels: IndexMap::new(),
            annotations: IndexMap::new(),
        };
        vec![RuleGroup {
            object: "PrometheusRule/a".into(),
            namespace: "monitoring".into(),
            name: "g".into(),
            interval: None,
            rules: vec![
                rule(RuleKind::Recording, "job:used:max", "max by (job) (used)"),
                rule(RuleKind::Alert, "A", expr),
            ],
        }]
    }

    fn inputs() -> AlertInputs {
        AlertInputs::parse(
            Path::new("inputs.yaml"),
            r#"
alerts:
  A:
    labels: {service: db, mount: "/"}
    series:
      - {series: 'used{job="db",instance="a",mount="/"}', kind: gauge, healthy: 1, breach: 9}
"#,
        )
        .unwrap()
    }

    #[rstest]
    #[case::gauge("max by (job, mount) (used) > 5", true)]
    #[case::range("max_over_time(used[5m]) > 5", false)]
    #[case::recorded("job:used:max > 5", false)]
    #[case::up("up == 0", false)]
    #[case::absent("absent(used)", false)]
    #[case::constant("vector(1)", false)]
    fn only_gauges_read_at_one_instant(#[case] expr: &str, #[case] taken: bool) {
        assert_eq!(candidates(&tree(expr), &inputs()).len(), usize::from(taken));
    }

    #[test]
    fn what_a_target_must_expose() {
        let candidate = candidates(&tree("used > 5"), &inputs()).remove(0);
        assert_eq!(candidate.job().as_deref(), Some("db"));
        assert_eq!(candidate.distinguishing_label().as_deref(), Some("mount"));
        assert_eq!(
            candidate.exposed(),
            [Exposed {
                metric: "used".into(),
                labels: IndexMap::from([("mount".into(), "/".into())]),
                healthy: 1.0,
                breach: 9.0,
            }]
        );
        assert_eq!(candidate.group.rules.len(), 1);
    }
}
