//! Every recording rule is loaded, and records what its expression says.
//!
//! The rules run on a snapshot of what the shared server has scraped, in a clone that scrapes
//! nothing: the data below them stands still, so that the expression asked again for the same
//! instant must give the recorded value. Only a rule that reads what another group records can see
//! that one arrive late; it is given three evaluations.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use harness::case::{Case, CaseError, Context};
use harness::component::prometheus::{Labels, LoadedRule, Prometheus, Sample, Series};
use harness::deploy::{Rule, RuleGroup, RuleKind};
use harness::drawing::{Cell, Drawing};
use harness::finding::{Finding, Findings};
use harness::mutant::{Edit, Mutant};
use harness::stack::{Capability, PrometheusClone, RuleSet};
use harness::units::Span;
use harness::verdict::Level;
use harness::wait::{Look, Wait};

use crate::history;

/// The case.
pub(super) fn case() -> Case {
    Case {
        id: "metrics/recording-rules",
        claim: "every declared recording rule is loaded and records what its expression gives at the same instant",
        level: Level::Must,
        promises: &["metrics-recording-rules", "metrics-rules-loaded"],
        needs: &[Capability::Prometheus],
        profiles: &["core"],
        excludes: &[],
        disturbs: Some("has a snapshot taken, which stays on the volume of Prometheus"),
        bound: Duration::from_mins(5),
        run: |context| Box::pin(run(context)),
        mutants,
    }
}

fn mutants() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "nothing-recorded",
            "a rule asks for a metric that nobody exposes",
            Edit::set_rule(
                "job:http_requests:rate5m",
                "/expr",
                "sum by (job) (rate(http_request_total[5m]))",
            ),
        ),
        Mutant::new(
            "other-expression",
            "the server evaluates another expression than declared",
            Edit::rendered_text(
                "monitoring-recording-services.yaml",
                "sum by (job) (rate(http_requests_total[5m]))",
                "2 * sum by (job) (rate(http_requests_total[5m]))",
            ),
        ),
        Mutant::new(
            "other-name",
            "the server records under another name than declared",
            Edit::rendered_text(
                "monitoring-recording-services.yaml",
                "job_route:http_requests:rate5m",
                "route_job:http_requests:rate5m",
            ),
        ),
    ]
}

/// What a busy machine may add to the evaluations of all rules in the clone.
const BUSY: Duration = Duration::from_mins(2);
/// Evaluations of each rule that are looked at.
const EVALUATIONS: usize = 3;

async fn run(context: Context) -> Result<Findings, CaseError> {
    let mut findings = Findings::new();
    let groups = context.tree.rule_groups()?;
    let declared: Vec<(&RuleGroup, &Rule)> = groups
        .iter()
        .flat_map(|group| group.rules.iter().map(move |rule| (group, rule)))
        .filter(|(_, rule)| rule.kind == RuleKind::Recording)
        .collect();
    let minimum = context.contract.count("metrics-recording-rules", "minimum")?;
    findings.push(
        Finding::of("number of recording rules")
            .declared(declared.len())
            .bound(format!("at least {minimum}"))
            .judge(declared.len() as u64 >= minimum, || {
                format!("{minimum} are promised")
            }),
    );
    loaded(&context, &declared, &mut findings).await?;

    let instance = on_a_snapshot(&context).await?;
    let server = instance.client();
    let recorded = evaluated(server, &declared).await?;
    let mut cells = Vec::new();
    for (group, rule) in &declared {
        let finding = compare(server, rule, recorded.get(&rule.name)).await?;
        cells.push(Cell {
            label: rule.name.clone(),
            group: group.name.clone(),
            covered: finding.verdict == harness::verdict::Verdict::Pass,
            note: finding.reason.clone().or_else(|| finding.observed.clone()),
        });
        findings.push(finding);
    }
    findings.draw(Drawing::Coverage {
        title: "Recording rules that record what they say".to_owned(),
        cells,
    });
    Ok(findings)
}

/// The shared server has exactly the declared rules, in good health.
async fn loaded(
    context: &Context,
    declared: &[(&RuleGroup, &Rule)],
    findings: &mut Findings,
) -> Result<(), CaseError> {
    let loaded: Vec<LoadedRule> = context
        .stack
        .prometheus
        .rules()
        .await?
        .into_iter()
        .filter(|rule| rule.kind == "recording")
        .collect();
    let missing: Vec<&str> = declared
        .iter()
        .filter(|(group, rule)| {
            !loaded
                .iter()
                .any(|one| one.name == rule.name && one.group == group.name)
        })
        .map(|(_, rule)| rule.name.as_str())
        .collect();
    let extra: Vec<&str> = loaded
        .iter()
        .filter(|one| {
            !declared
                .iter()
                .any(|(group, rule)| one.name == rule.name && one.group == group.name)
        })
        .map(|one| one.name.as_str())
        .collect();
    findings.push(
        Finding::of("recording rules of the running server")
            .declared(declared.len())
            .effective(loaded.len())
            .bound("the declared ones and no others")
            .judge(missing.is_empty() && extra.is_empty(), || {
                format!(
                    "not loaded: [{}]; loaded but not declared: [{}]",
                    missing.join(", "),
                    extra.join(", ")
                )
            }),
    );
    let sick = loaded.iter().find(|rule| !rule.last_error.is_empty());
    findings.push(
        Finding::of("health of the loaded rules")
            .effective(sick.map_or_else(|| "no error".to_owned(), |rule| rule.last_error.clone()))
            .judge(sick.is_none(), || {
                sick.map(|rule| format!("{}: {}", rule.name, rule.last_error))
                    .unwrap_or_default()
            }),
    );
    Ok(())
}

/// A clone with the declared rules on a snapshot of the shared server's data, taken once every
/// target was scraped twice (a rate needs two samples).
async fn on_a_snapshot(context: &Context) -> Result<Box<dyn harness::stack::PrometheusInstance>, CaseError> {
    let shared = &context.stack.prometheus;
    let longest = context
        .contract
        .duration("metrics-scrape-interval-default", "interval")?;
    context
        .progress
        .step("", "waiting until every target was scraped twice");
    Wait::new(
        "two scrapes of every target",
        longest * 2 + Duration::from_secs(15),
    )
    .every(Duration::from_millis(500))
    .until(async || {
        let targets = match shared.targets().await {
            Ok(targets) => targets.len(),
            Err(error) => return Look::Missing(error.to_string()),
        };
        match shared.raw("up[10m]", None).await {
            Err(error) => Look::Missing(error.to_string()),
            Ok(series) => {
                let twice = series.iter().filter(|one| one.samples.len() >= 2).count();
                if twice >= targets && targets > 0 {
                    Look::Ready(())
                } else {
                    Look::Missing(format!("{twice} of {targets} targets were"))
                }
            }
        }
    })
    .await
    .map_err(|error| CaseError::Failed(error.to_string()))?;
    context.progress.step("", "evaluating the rules on a snapshot");
    let mut clone = PrometheusClone::named("rules");
    clone.data = Some(context.stack.workshop.snapshot(shared, "recording-rules").await?);
    clone.rules = RuleSet::Declared;
    clone.evaluation_interval = Some(Duration::from_secs(1));
    Ok(context.stack.workshop.prometheus(clone).await?)
}

/// What each rule recorded in the clone, once each was evaluated often enough.
async fn evaluated(
    server: &Prometheus,
    declared: &[(&RuleGroup, &Rule)],
) -> Result<BTreeMap<String, Vec<Series>>, CaseError> {
    let started = history::seconds(history::now_ms());
    // Groups with an interval of their own keep it.
    let longest = declared
        .iter()
        .filter_map(|(group, _)| group.interval)
        .max()
        .unwrap_or(Span(Duration::ZERO));
    let evaluations = u32::try_from(EVALUATIONS).unwrap_or(1) + 1;
    let bound = (longest.0 + Duration::from_secs(1)) * evaluations + BUSY;
    // So much later a rule was evaluated often enough to have recorded something.
    let settled = started + (longest.0 + Duration::from_secs(1)).as_secs_f64() * f64::from(evaluations);
    let recorded = Mutex::new(BTreeMap::new());
    Wait::new("evaluations of every rule", bound)
        .every(Duration::from_millis(250))
        .until(async || {
            // Asked first: what is evaluated now is recorded when the rules' series are asked for.
            let evaluated: BTreeMap<String, Option<f64>> = match server.rules().await {
                Ok(rules) => rules
                    .into_iter()
                    .map(|rule| (rule.name, rule.evaluated))
                    .collect(),
                Err(error) => return Look::Missing(error.to_string()),
            };
            let mut short = None;
            for (_, rule) in declared {
                let window = Span(bound + Duration::from_secs(60));
                let series = match server.raw(&format!("{}[{window}]", rule.name), None).await {
                    Ok(series) => series,
                    Err(error) => return Look::Missing(error.to_string()),
                };
                let series: Vec<Series> = series
                    .into_iter()
                    .map(|mut one| {
                        // What the shared server recorded before the snapshot is not this clone's.
                        one.samples.retain(|(at, _)| *at >= started);
                        one
                    })
                    .filter(|one| !one.samples.is_empty())
                    .collect();
                let instants = series
                    .iter()
                    .map(|one| one.samples.len())
                    .max()
                    .unwrap_or_default();
                // A rule that records nothing is judged by itself, once it has had its time; one that is
                // not loaded never will.
                let had_its_time = evaluated
                    .get(&rule.name)
                    .is_none_or(|at| at.is_some_and(|at| at >= settled));
                if instants < EVALUATIONS && !(instants == 0 && had_its_time) {
                    short.get_or_insert(format!("{} was recorded {instants} times", rule.name));
                }
                lock(&recorded).insert(rule.name.clone(), series);
            }
            short.map_or(Look::Ready(()), Look::Missing)
        })
        .await
        .map_err(|error| CaseError::Environment(error.to_string()))?;
    Ok(recorded.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a rule recorded against what its expression gives for the same instants.
async fn compare(
    server: &Prometheus,
    rule: &Rule,
    recorded: Option<&Vec<Series>>,
) -> Result<Finding, CaseError> {
    let finding = Finding::of(format!("rule {}", rule.name)).declared(one_line(&rule.expr));
    let mut instants: Vec<f64> = recorded
        .into_iter()
        .flatten()
        .flat_map(|one| one.samples.iter().map(|(at, _)| *at))
        .collect();
    instants.sort_by(f64::total_cmp);
    instants.dedup();
    let instants: Vec<f64> = instants.into_iter().rev().take(EVALUATIONS).collect();
    if instants.is_empty() {
        let asked = server.query(&rule.expr, None).await?;
        return Ok(finding.observed("records nothing").judge(false, || {
            if asked.is_empty() {
                "its expression gives nothing on a healthy day: a metric or label it asks for is not there"
                    .to_owned()
            } else {
                format!(
                    "its expression gives {} series, but nothing is recorded under its name",
                    asked.len()
                )
            }
        }));
    }
    let mut difference = None;
    for at in &instants {
        let asked = server.query(&rule.expr, Some(*at)).await?;
        match differ(rule, &asked, recorded, *at) {
            None => {
                return Ok(finding
                    .observed(format!("{} series, equal", asked.len()))
                    .bound("equal at the same instant"));
            }
            Some(what) => difference = Some(what),
        }
    }
    let what = difference.unwrap_or_default();
    Ok(finding
        .observed(&what)
        .bound("equal at the same instant")
        .judge(false, || {
            format!(
                "at {} evaluations it recorded something else than its expression gives: {what}",
                instants.len()
            )
        }))
}

/// How the recorded series at an instant differ from the expression's, if they do.
fn differ(rule: &Rule, asked: &[Sample], recorded: Option<&Vec<Series>>, at: f64) -> Option<String> {
    let key = |labels: &Labels| {
        let mut labels: BTreeMap<String, String> = labels
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        labels.extend(
            rule.labels
                .iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        labels.remove("__name__");
        labels
    };
    let recorded: BTreeMap<_, &str> = recorded
        .into_iter()
        .flatten()
        .filter_map(|one| {
            let (_, value) = one
                .samples
                .iter()
                .find(|(instant, _)| (instant - at).abs() < 5e-4)?;
            Some((key(&one.labels), value.as_str()))
        })
        .collect();
    if recorded.len() != asked.len() {
        return Some(format!(
            "{} series recorded, {} asked",
            recorded.len(),
            asked.len()
        ));
    }
    asked.iter().find_map(|sample| {
        let labels = key(&sample.labels);
        match recorded.get(&labels) {
            None => Some(format!("{labels:?} is not recorded")),
            Some(value) if equal(value, &sample.value) => None,
            Some(value) => Some(format!(
                "{labels:?} is recorded as {value}, asked it is {}",
                sample.value
            )),
        }
    })
}

/// Equal up to the order in which floating-point sums are made.
fn equal(a: &str, b: &str) -> bool {
    match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(a), Ok(b)) => {
            (a.is_nan() && b.is_nan())
                || a.total_cmp(&b).is_eq()
                || (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
        }
        _ => a == b,
    }
}

fn one_line(expression: &str) -> String {
    expression.split_whitespace().collect::<Vec<_>>().join(" ")
}
