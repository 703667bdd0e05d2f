//! Everything that a rule asks for is exposed by a target or computed by a rule.
//!
//! Method: every vector selector of every expression, with all its matchers, is asked of the running
//! Prometheus after every target has been scraped. A selector that only a failure could match (a
//! status of 5xx, an outcome of failure) must match as well: services expose such series from the
//! start, at zero or a healthy rate, and an alert on a series that appears with the first failure
//! misses that failure's increase. The exception is a server of others whose shape says that it makes its series
//! with their first count. Recording rules whose own inputs are exposed count as exposed
//! when their window has not filled yet.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::FutureExt;
use harness::case::{Case, CaseError, Context};
use harness::clock::unix_seconds;
use harness::component::prometheus::{Labels, Prometheus};
use harness::deploy::{Rule, RuleGroup, RuleKind};
use harness::drawing::{Cell, Drawing};
use harness::finding::{Finding, Findings};
use harness::judge::alerts::expression::{Matcher, Selector, selectors};
use harness::mutant::{Edit, Mutant};
use harness::shapes::Shapes;
use harness::stack::Capability;
use harness::units::Span;
use harness::verdict::{Level, Verdict};
use harness::wait::{Look, Wait};
use regex::Regex;

use super::tree;

/// How far back a series counts as exposed by this run.
const RUN: f64 = 3600.0;
/// How many values of a label a message shows.
const SHOWN: usize = 8;

/// The case.
#[must_use]
pub(super) fn case() -> Case {
    Case {
        id: "alerts/inputs-exposed",
        claim: "every metric and label that a rule asks for is exposed by a target or computed by a rule",
        level: Level::Must,
        promises: &["alerts-inputs-exposed"],
        needs: &[Capability::Prometheus],
        profiles: &["core"],
        excludes: &[],
        disturbs: None,
        bound: Duration::from_secs(90),
        run: |context| run(context).boxed(),
        mutants,
    }
}

fn mutants() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "metric-renamed",
            "an alert asks for a metric by a name that nobody exposes",
            Edit::set_rule(
                "MLModelDrift",
                "/expr",
                "max by (job, model) (ml_model_drift) > 0.25",
            ),
        ),
        Mutant::new(
            "label-value-mistyped",
            "an alert asks for a job that is spelled differently",
            Edit::set_rule(
                "GatewayTrafficLow",
                "/expr",
                "job:http_requests:rate5m{job=\"gateway\"} < 5",
            ),
        ),
        Mutant::new(
            "recording-rule-gone",
            "an alert reads what no rule records any more",
            Edit::remove_rule("job:redis_hit_ratio:rate5m"),
        ),
        Mutant::new(
            "monitor-gone",
            "the monitor of the Redis exporter is gone",
            Edit::remove("ServiceMonitor/redis-exporter", ""),
        ),
        Mutant::new(
            "label-dropped-on-the-way",
            "Prometheus asks another path of its targets than declared",
            Edit::rendered_text("prometheus.yml", "/metrics", "/nothing"),
        ),
    ]
}

/// What became of one selector.
enum Answer {
    Exposed,
    /// Not yet: its server has a series of it from its first count on.
    ToCome,
    /// By which recording rule.
    Computed(String),
    /// The nearest there is, as a clause.
    Missing(String),
}

async fn run(context: Context) -> Result<Findings, CaseError> {
    let groups = context.tree.rule_groups()?;
    let mut findings = Findings::new();
    scraped(&context, &groups, &mut findings).await?;

    let mut asked: BTreeMap<String, (Selector, Vec<&str>)> = BTreeMap::new();
    for rule in groups.iter().flat_map(|group| &group.rules) {
        match selectors(&rule.expr) {
            Ok(selectors) => {
                for selector in selectors {
                    asked
                        .entry(selector.text())
                        .or_insert_with(|| (selector, Vec::new()))
                        .1
                        .push(&rule.name);
                }
            }
            Err(why) => findings.push(
                Finding::of(format!("expression of {}", rule.name))
                    .declared(&rule.expr)
                    .judge(false, || why),
            ),
        }
    }
    context.progress.step(
        "alerts/inputs-exposed",
        format!("asking for {} selectors", asked.len()),
    );
    let mut answers = BTreeMap::new();
    for (text, (selector, _)) in &asked {
        answers.insert(text.as_str(), ask(&context, &groups, selector).await?);
    }
    let mut cells = Vec::new();
    for group in &groups {
        for rule in &group.rules {
            let (finding, cell) = judge(rule, group, &asked, &answers);
            findings.push(finding);
            cells.push(cell);
        }
    }
    findings.draw(Drawing::Coverage {
        title: "Rules whose every input is exposed".into(),
        cells,
    });
    Ok(findings)
}

/// Waits until every active target has been scraped and every rule has been evaluated since.
async fn scraped(context: &Context, groups: &[RuleGroup], findings: &mut Findings) -> Result<(), CaseError> {
    let prometheus = &context.stack.prometheus;
    let mut interval = tree::scrape_interval(&context.tree)?;
    for target in harness::render::prometheus::targets(&context.tree, &context.shapes)
        .map_err(|error| CaseError::Failed(error.to_string()))?
    {
        interval = interval.max(target.interval.0);
    }
    let waited = Wait::new("every target scraped once", interval + Duration::from_secs(10))
        .every(Duration::from_millis(250))
        .until(|| async {
            match prometheus.targets().await {
                Ok(targets) if targets.is_empty() => Look::Missing("there is no active target".into()),
                Ok(targets) => {
                    let open: Vec<String> = targets
                        .iter()
                        .filter(|target| target.health == "unknown")
                        .map(|target| target.scrape_url.clone())
                        .collect();
                    if open.is_empty() {
                        Look::Ready(targets.len())
                    } else {
                        Look::Missing(format!(
                            "{} of {} targets, {} first",
                            open.len(),
                            targets.len(),
                            open[0]
                        ))
                    }
                }
                Err(error) => Look::Missing(error.to_string()),
            }
        })
        .await;
    let finding = Finding::of("active targets, all scraped once")
        .declared(format!("{} rule groups ask of them", groups.len()));
    match waited {
        Ok(targets) => findings.push(finding.observed(targets)),
        Err(error) => findings.push(finding.verdict(Verdict::Fail, error.to_string())),
    }
    Ok(())
}

async fn ask(context: &Context, groups: &[RuleGroup], selector: &Selector) -> Result<Answer, CaseError> {
    let prometheus = &context.stack.prometheus;
    let (from, to) = (unix_seconds() - RUN, unix_seconds() + 1.0);
    let series = prometheus.series(&[&selector.text()], from, to).await?;
    if !series.is_empty() {
        return Ok(Answer::Exposed);
    }
    let Some(metric) = selector.metric.as_deref() else {
        return Ok(Answer::Missing("nothing matches it".into()));
    };
    // What Prometheus makes itself, only while an alert is pending or firing.
    if matches!(metric, "ALERTS" | "ALERTS_FOR_STATE") {
        return Ok(Answer::Computed("Prometheus itself".into()));
    }
    let recorded = groups
        .iter()
        .flat_map(|group| &group.rules)
        .find(|rule| rule.kind == RuleKind::Recording && rule.name == metric);
    let all = prometheus.series(&[metric], from, to).await?;
    // A window fills for one target before it fills for another, so that some series of a rule may be
    // there and others not yet: its inputs tell.
    if let Some(rule) = recorded {
        return computed(prometheus, rule, selector, from, to).await;
    }
    if all.is_empty() {
        return Ok(Answer::Missing(format!(
            "no target exposes {metric} and no rule records it"
        )));
    }
    if to_come(&context.shapes, metric, selector) {
        return Ok(Answer::ToCome);
    }
    Ok(Answer::Missing(nearest(selector, &all)))
}

/// Whether a server is known to make what is asked for when it counts it first. What a target adds, a job and an
/// instance, is on the series that are there.
fn to_come(shapes: &Shapes, metric: &str, selector: &Selector) -> bool {
    let metrics = shapes.services.iter().flat_map(|service| &service.metrics);
    metrics
        .filter(|known| known.from_first_count && known.name == metric)
        .flat_map(|known| &known.series)
        .any(|series| {
            let mut matchers = selector.matchers.iter();
            matchers.all(|matcher| {
                series
                    .labels
                    .get(&matcher.label)
                    .is_some_and(|value| fits(matcher, value))
            })
        })
}

/// A recording rule without a result yet: exposed where its inputs carry the labels that are asked for.
async fn computed(
    prometheus: &Prometheus,
    rule: &Rule,
    selector: &Selector,
    from: f64,
    to: f64,
) -> Result<Answer, CaseError> {
    for input in selectors(&rule.expr).map_err(CaseError::Failed)? {
        let series = prometheus.series(&[&input.text()], from, to).await?;
        if series.is_empty() {
            // Judged where that rule's own selectors are.
            continue;
        }
        for matcher in &selector.matchers {
            let mut values = values(&series, &matcher.label);
            if let Some(label) = rule.labels.get(&matcher.label) {
                values = BTreeSet::from([label.as_str()]);
            }
            if !values.iter().any(|value| fits(matcher, value)) {
                return Ok(Answer::Missing(format!(
                    "{} has no {}{}{:?}: its inputs have {}",
                    rule.name,
                    matcher.label,
                    matcher.operator,
                    matcher.value,
                    shown(&values)
                )));
            }
        }
    }
    Ok(Answer::Computed(rule.name.clone()))
}

/// Whether a matcher takes a value. What cannot be read as an expression takes everything here:
/// Prometheus itself refuses it.
fn fits(matcher: &Matcher, value: &str) -> bool {
    let expression = || Regex::new(&format!("^(?s:{})$", matcher.value));
    match matcher.operator {
        "=" => value == matcher.value,
        "!=" => value != matcher.value,
        "=~" => expression().map_or(true, |regex| regex.is_match(value)),
        _ => expression().map_or(true, |regex| !regex.is_match(value)),
    }
}

/// Which matcher keeps the selector from matching, and what there is instead.
fn nearest(selector: &Selector, all: &[Labels]) -> String {
    let metric = selector.metric.as_deref().unwrap_or_default();
    for matcher in selector.matchers.iter().filter(|m| m.operator == "=") {
        let values = values(all, &matcher.label);
        if !values.contains(matcher.value.as_str()) {
            return format!(
                "{metric} is exposed, but never with {}={:?}: it has {}",
                matcher.label,
                matcher.value,
                shown(&values)
            );
        }
    }
    let others: Vec<String> = selector
        .matchers
        .iter()
        .map(|m| {
            format!(
                "{}{}{:?} among {}",
                m.label,
                m.operator,
                m.value,
                shown(&values(all, &m.label))
            )
        })
        .collect();
    format!("{metric} is exposed, but no series has {}", others.join(" and "))
}

fn values<'s>(series: &'s [Labels], label: &str) -> BTreeSet<&'s str> {
    series
        .iter()
        .filter_map(|labels| labels.get(label))
        .map(String::as_str)
        .collect()
}

fn shown(values: &BTreeSet<&str>) -> String {
    if values.is_empty() {
        return "no such label".to_owned();
    }
    let mut texts: Vec<&str> = values.iter().copied().take(SHOWN).collect();
    if values.len() > SHOWN {
        texts.push("...");
    }
    texts.join(", ")
}

fn judge(
    rule: &Rule,
    group: &RuleGroup,
    asked: &BTreeMap<String, (Selector, Vec<&str>)>,
    answers: &BTreeMap<&str, Answer>,
) -> (Finding, Cell) {
    let own: Vec<&String> = asked
        .iter()
        .filter(|(_, (_, rules))| rules.contains(&rule.name.as_str()))
        .map(|(text, _)| text)
        .collect();
    let mut missing = Vec::new();
    let mut computed = Vec::new();
    let mut to_come = 0_usize;
    for text in &own {
        match &answers[text.as_str()] {
            Answer::Exposed => {}
            Answer::ToCome => to_come += 1,
            Answer::Computed(by) => computed.push(by.as_str()),
            Answer::Missing(why) => missing.push(format!("{text}: {why}")),
        }
    }
    let exposed = own.len() - missing.len();
    let mut observed = format!("{exposed} of {} exposed", own.len());
    if !computed.is_empty() {
        observed = format!("{observed}, {} of them by inputs alone so far", computed.len());
    }
    if to_come > 0 {
        observed = format!("{observed}, {to_come} of them from the first time it happens");
    }
    let finding = Finding::of(format!("inputs of {}", rule.name))
        .declared(
            own.iter()
                .map(|text| text.as_str())
                .collect::<Vec<_>>()
                .join(", "),
        )
        .observed(observed)
        .judge(missing.is_empty(), || missing.join("; "));
    let cell = Cell {
        label: rule.name.clone(),
        group: group.name.clone(),
        covered: missing.is_empty(),
        note: finding
            .reason
            .clone()
            .or_else(|| Some(format!("{} (for {})", rule.expr, Span(rule.hold.0)))),
    };
    (finding, cell)
}
