//! The loaded rules are the declared rules, none missing, none extra, none failing, and every alert
//! carries what a person on call needs.
//!
//! Method: the tree's rule groups against `/api/v1/rules` of the shared Prometheus, expressions in
//! one formatting; then the alerts themselves against the contract.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::FutureExt;
use harness::case::{Case, CaseError, Context};
use harness::component::prometheus::LoadedRule;
use harness::deploy::{Rule, RuleGroup, RuleKind};
use harness::finding::{Finding, Findings};
use harness::judge::alerts::expression::normalised;
use harness::mutant::{Edit, Mutant};
use harness::stack::Capability;
use harness::units::Span;
use harness::verdict::Level;
use harness::wait::{Look, Wait};

use super::tree;

/// The case.
#[must_use]
pub(super) fn case() -> Case {
    Case {
        id: "alerts/declared",
        claim: "Prometheus has loaded exactly the declared rules, and every alert has a severity, a summary, a runbook and a bounded `for`",
        level: Level::Must,
        promises: &[
            "alerts-rules",
            "alerts-loaded",
            "alerts-annotations",
            "alerts-pending-critical",
            "alerts-pending-warning",
        ],
        needs: &[Capability::Prometheus],
        profiles: &["core"],
        excludes: &[],
        disturbs: None,
        bound: Duration::from_mins(1),
        run: |context| run(context).boxed(),
        mutants,
    }
}

fn mutants() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "loaded-threshold-drifts",
            "Prometheus runs with another threshold than declared",
            Edit::rendered_text(
                "monitoring-alerts-infrastructure.yaml",
                "node_filesystem_utilisation:ratio > 0.95",
                "node_filesystem_utilisation:ratio > 0.99",
            ),
        ),
        Mutant::new(
            "pending-too-long",
            "a critical alert waits for an hour",
            Edit::set_rule("HighLatencyP99", "/for", "1h"),
        ),
        Mutant::new(
            "warning-pending-too-long",
            "a warning waits for half a day",
            Edit::set_rule("NodeMemoryHigh", "/for", "12h"),
        ),
        Mutant::new(
            "no-runbook",
            "an alert names no runbook",
            Edit::set_rule(
                "MLModelDrift",
                "/annotations/runbook_url",
                serde_json::Value::Null,
            ),
        ),
        Mutant::new(
            "unknown-severity",
            "an alert has a severity that no route knows",
            Edit::set_rule("RedisDown", "/labels/severity", "page"),
        ),
        Mutant::new(
            "rules-not-selected",
            "a PrometheusRule has lost the label the Prometheus object selects by",
            Edit::remove(
                "PrometheusRule/alerts-ml",
                "/metadata/labels/monitoring.llmoptimizer.com~1prometheus",
            ),
        ),
    ]
}

async fn run(context: Context) -> Result<Findings, CaseError> {
    let groups = context.tree.rule_groups()?;
    let prometheus = &context.stack.prometheus;
    // A rule is `unknown` until its first evaluation, which comes within one interval of the start.
    let evaluation = tree::evaluation_interval(&context.tree)?;
    let first = Wait::new("every rule evaluated once", evaluation + Duration::from_secs(10))
        .every(Duration::from_millis(250))
        .until(|| async {
            match prometheus.rules().await {
                Ok(rules) => {
                    let open: Vec<&str> = rules
                        .iter()
                        .filter(|rule| rule.health == "unknown")
                        .map(|rule| rule.name.as_str())
                        .collect();
                    if open.is_empty() {
                        Look::Ready(())
                    } else {
                        Look::Missing(format!(
                            "{} of {} rules, {} first",
                            open.len(),
                            rules.len(),
                            open[0]
                        ))
                    }
                }
                Err(error) => Look::Missing(error.to_string()),
            }
        })
        .await;
    let loaded = prometheus.rules().await?;
    let mut findings = Findings::new();
    findings.push(judge_first(&loaded, first.map_err(|error| error.to_string())));
    findings.push(judge_selected(&context, &groups));
    for finding in compare(&groups, &loaded, evaluation) {
        findings.push(finding);
    }
    for finding in contract(&context, &groups)? {
        findings.push(finding);
    }
    Ok(findings)
}

fn judge_first(loaded: &[LoadedRule], first: Result<(), String>) -> Finding {
    let unhealthy: Vec<String> = loaded
        .iter()
        .filter(|rule| rule.health == "err")
        .map(|rule| format!("{}: {}", rule.name, rule.last_error))
        .collect();
    let finding = Finding::of("rules that evaluate without an error")
        .declared(format!("{} rules", loaded.len()))
        .observed(format!("{} with an error", unhealthy.len()));
    match first {
        Err(why) => finding.judge(false, || why),
        Ok(()) => finding.judge(unhealthy.is_empty(), || unhealthy.join("; ")),
    }
}

fn judge_selected(context: &Context, groups: &[RuleGroup]) -> Finding {
    let taken: BTreeSet<&str> = groups.iter().map(|group| group.object.as_str()).collect();
    let left: Vec<String> = context
        .tree
        .of_kind("PrometheusRule")
        .map(harness::deploy::Object::id)
        .filter(|id| !taken.contains(id.as_str()))
        .collect();
    Finding::of("PrometheusRule objects that the Prometheus object selects")
        .declared(format!("{} objects", taken.len() + left.len()))
        .effective(format!("{} selected", taken.len()))
        .judge(left.is_empty(), || {
            format!(
                "the Prometheus object's ruleSelector takes no rule of {}: give it the label that the selector asks for",
                left.join(", ")
            )
        })
}

/// One finding a group, and one for what is loaded without being declared.
fn compare(groups: &[RuleGroup], loaded: &[LoadedRule], evaluation: Duration) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut left: Vec<&LoadedRule> = loaded.iter().collect();
    for group in groups {
        let mut wrong = Vec::new();
        let mut found = 0;
        for rule in &group.rules {
            // The loaded rule that differs least: two groups of one name, or two rules of one name
            // within a group, are legal.
            let nearest = left
                .iter()
                .enumerate()
                .filter(|(_, candidate)| {
                    candidate.group == group.name
                        && candidate.name == rule.name
                        && candidate.kind == kind(rule)
                })
                .map(|(place, candidate)| (place, differences(rule, group, candidate, evaluation)))
                .min_by_key(|(_, differences)| differences.len());
            match nearest {
                Some((place, differences)) => {
                    left.remove(place);
                    found += 1;
                    wrong.extend(differences);
                }
                None => wrong.push(format!("{} is not loaded", rule.name)),
            }
        }
        findings.push(
            Finding::of(format!("rule group {} of {}", group.name, group.object))
                .declared(format!("{} rules", group.rules.len()))
                .effective(format!("{found} loaded"))
                .judge(wrong.is_empty(), || wrong.join("; ")),
        );
    }
    findings.push(
        Finding::of("loaded rules that nobody declares")
            .declared("none")
            .effective(left.len())
            .judge(left.is_empty(), || {
                left.iter()
                    .map(|rule| format!("{}/{} from {}", rule.group, rule.name, rule.file))
                    .collect::<Vec<_>>()
                    .join(", ")
            }),
    );
    findings
}

fn kind(rule: &Rule) -> &'static str {
    match rule.kind {
        RuleKind::Alert => "alerting",
        RuleKind::Recording => "recording",
    }
}

fn differences(rule: &Rule, group: &RuleGroup, loaded: &LoadedRule, evaluation: Duration) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut differ = |field: &str, declared: String, effective: String| {
        if declared != effective {
            wrong.push(format!(
                "{}: {field} is `{effective}` instead of `{declared}`",
                rule.name
            ));
        }
    };
    differ("expression", normalised(&rule.expr), normalised(&loaded.query));
    differ("for", rule.hold.to_string(), seconds(loaded.duration));
    differ(
        "keep_firing_for",
        rule.keep_firing.to_string(),
        seconds(loaded.keep_firing_for),
    );
    differ("labels", pairs(&rule.labels), pairs(&loaded.labels));
    differ(
        "annotations",
        pairs(&rule.annotations),
        pairs(&loaded.annotations),
    );
    differ(
        "interval",
        group.interval.unwrap_or(Span(evaluation)).to_string(),
        seconds(loaded.interval),
    );
    wrong
}

fn seconds(seconds: f64) -> String {
    Duration::try_from_secs_f64(seconds)
        .map_or_else(|_| format!("{seconds} s"), |duration| Span(duration).to_string())
}

fn pairs(map: &indexmap::IndexMap<String, String>) -> String {
    let mut pairs: Vec<String> = map.iter().map(|(k, v)| format!("{k}={v:?}")).collect();
    pairs.sort_unstable();
    pairs.join(", ")
}

/// What the contract asks of the alerts as declared.
fn contract(context: &Context, groups: &[RuleGroup]) -> Result<Vec<Finding>, CaseError> {
    let contract = &context.contract;
    let alerts: Vec<&Rule> = groups
        .iter()
        .flat_map(|group| &group.rules)
        .filter(|rule| rule.kind == RuleKind::Alert)
        .collect();
    let mut findings = Vec::new();

    let minimum = contract.count("alerts-rules", "minimum")?;
    findings.push(
        Finding::of("alert rules")
            .declared(alerts.len())
            .bound(format!("at least {minimum}"))
            .judge(alerts.len() as u64 >= minimum, || {
                format!("{} alert rules are fewer than promised", alerts.len())
            }),
    );
    let annotations = contract.texts("alerts-annotations", "required-annotations")?;
    let labels = contract.texts("alerts-annotations", "required-labels")?;
    for (what, names, of) in [
        (
            "annotations",
            &annotations,
            (|rule| &rule.annotations) as fn(&Rule) -> &indexmap::IndexMap<String, String>,
        ),
        ("labels", &labels, |rule| &rule.labels),
    ] {
        let missing: Vec<String> = alerts
            .iter()
            .flat_map(|rule| {
                names
                    .iter()
                    .filter(|name| of(rule).get(*name).is_none_or(|value| value.trim().is_empty()))
                    .map(|name| format!("{} has no {name}", rule.name))
            })
            .collect();
        findings.push(
            Finding::of(format!("{what} of every alert"))
                .declared(format!("{} alerts", alerts.len()))
                .bound(names.join(", "))
                .judge(missing.is_empty(), || missing.join("; ")),
        );
    }
    let severities = contract.texts("alerts-routing", "severities")?;
    let unknown: Vec<String> = alerts
        .iter()
        .filter_map(|rule| {
            let severity = rule.labels.get("severity")?;
            (!severities.contains(severity)).then(|| format!("{} is `{severity}`", rule.name))
        })
        .collect();
    findings.push(
        Finding::of("severities of the alerts")
            .declared(format!("{} alerts", alerts.len()))
            .bound(severities.join(", "))
            .judge(unknown.is_empty(), || unknown.join("; ")),
    );
    for (severity, promise) in [
        ("critical", "alerts-pending-critical"),
        ("warning", "alerts-pending-warning"),
    ] {
        let bound = contract.duration(promise, "at-most")?;
        let of: Vec<&&Rule> = alerts
            .iter()
            .filter(|rule| rule.labels.get("severity").is_some_and(|s| s == severity))
            .collect();
        let longest = of.iter().map(|rule| rule.hold).max();
        let over: Vec<String> = of
            .iter()
            .filter(|rule| rule.hold.0 > bound)
            .map(|rule| format!("{} waits {}", rule.name, rule.hold))
            .collect();
        findings.push(
            Finding::of(format!("longest `for` of the {severity} alerts"))
                .declared(longest.map_or("none".to_owned(), |span| span.to_string()))
                .bound(format!("at most {}", Span(bound)))
                .judge(over.is_empty(), || over.join("; ")),
        );
    }
    Ok(findings)
}
