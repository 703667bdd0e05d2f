//! Every alert fires when it should, after exactly its `for`, is silent when it should be, and resolves.
//!
//! Method: one run of `promtool test rules` over the tree's own rules, each alert on its healthy and
//! its breaching input of fixtures/alert-inputs.yaml, in virtual time; and all rules together on a
//! healthy day, on which nothing but the alerts that always fire may fire.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::FutureExt;
use harness::case::{Case, CaseError, Context};
use harness::deploy::{Rule, RuleGroup, RuleKind};
use harness::drawing::{Cell, Drawing};
use harness::finding::{Figure, Finding, Findings};
use harness::judge::alerts::healthy_day;
use harness::judge::alerts::inputs::AlertInputs;
use harness::judge::alerts::virtual_time::{self, Check, CheckKind, FailedCheck, Intervals, Phases};
use harness::mutant::{Edit, Mutant};
use harness::render::RenderError;
use harness::stack::Capability;
use harness::units::Span;
use harness::verdict::Level;

use super::tree;

/// Longest one run of promtool may take on any machine.
const RUN_BOUND: Duration = Duration::from_secs(75);
/// Longer than the windows that matter to steady rates. It need not outlast a `for`: what is pending
/// at its end is told as well.
const HEALTHY_DAY: Duration = Duration::from_mins(20);

/// The case.
#[must_use]
pub(super) fn case() -> Case {
    Case {
        id: "alerts/virtual-time",
        claim: "every alert rule is silent on a healthy input, fires on a breach after exactly its `for`, and resolves",
        level: Level::Must,
        promises: &["alerts-liveness"],
        needs: &[Capability::Prometheus, Capability::Promtool],
        profiles: &["core"],
        excludes: &[],
        // Among the shortest, which start last: at the start of a run its promtool would wait for a core.
        disturbs: None,
        bound: Duration::from_secs(90),
        run: |context| run(context).boxed(),
        mutants,
    }
}

fn mutants() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "threshold-out-of-reach",
            "the latency alert's threshold is ten times as high",
            Edit::set_rule(
                "HighLatencyP99",
                "/expr",
                "job:http_request_duration_seconds:p99_rate5m > 25",
            ),
        ),
        Mutant::new(
            "comparison-turned-round",
            "the full disk alert fires on empty disks",
            Edit::set_rule(
                "NodeFilesystemSpaceLow",
                "/expr",
                "instance_mountpoint:node_filesystem_utilisation:ratio < 0.85",
            ),
        ),
        Mutant::new(
            "threshold-too-low",
            "the queue alert fires on a healthy backlog",
            Edit::set_rule("MLQueueBacklog", "/expr", "model:ml_queue_depth:sum > 20"),
        ),
        Mutant::new(
            "recording-rule-gone",
            "a recording rule that an alert reads is gone",
            Edit::remove_rule("job:content_cache_hit_ratio:rate5m"),
        ),
        Mutant::new(
            "label-that-nothing-has",
            "the alert asks for a status class that no server answers with",
            Edit::set_rule(
                "job:http_error_ratio:rate5m",
                "/expr",
                "sum by (job) (rate(http_requests_total{status=~\"6..\"}[5m])) / sum by (job) (rate(http_requests_total[5m]))",
            ),
        ),
        Mutant::new(
            "alert-gone",
            "an alert is gone from the tree",
            Edit::remove_rule("RedisDown"),
        ),
        Mutant::new(
            "window-too-short",
            "the rate's window is shorter than two scrapes, so it never has a value",
            Edit::set_rule(
                "WafBlockSurge",
                "/expr",
                "sum by (job) (rate(gateway_waf_blocked_requests_total[20s])) > 1",
            ),
        ),
        Mutant::new(
            "never-resolves",
            "the alert looks at whether it ever was true",
            Edit::set_rule(
                "PostgresDown",
                "/expr",
                "min by (job) (min_over_time(pg_up[12h])) == 0",
            ),
        ),
    ]
}

async fn run(context: Context) -> Result<Findings, CaseError> {
    let inputs = tree::inputs(&context)?;
    let groups = context.tree.rule_groups()?;
    let intervals = Intervals {
        scrape: tree::scrape_interval(&context.tree)?,
        evaluation: tree::evaluation_interval(&context.tree)?,
    };
    let mut plan = virtual_time::plan(&groups, &inputs, intervals).map_err(|error| refused(&error))?;
    let promised = context.contract.texts("alerts-liveness", "always-firing")?;
    let always: Vec<&str> = inputs
        .alerts
        .iter()
        .filter(|(_, input)| input.always)
        .map(|(name, _)| name.as_str())
        .collect();
    let healthy_day = healthy_day_expression(&always);
    let targets = harness::render::prometheus::targets(&context.tree, &context.shapes)
        .map_err(|error| refused(&error))?;
    virtual_time::add_silence(
        &mut plan,
        "healthy-day",
        &groups,
        &healthy_day::series(&context.shapes, &targets),
        intervals,
        HEALTHY_DAY,
        &healthy_day,
    )
    .map_err(|error| refused(&error))?;

    let folder = context.artifacts.join("virtual-time");
    std::fs::create_dir_all(&folder)?;
    for (name, text) in &plan.files {
        std::fs::write(folder.join(name), text)?;
    }
    context.progress.step(
        "alerts/virtual-time",
        format!("{} checks in one run of promtool", plan.checks.len()),
    );
    let arguments = ["test", "rules"]
        .into_iter()
        .map(str::to_owned)
        .chain(plan.tests.iter().cloned())
        .collect();
    let output = context
        .stack
        .workshop
        .tool("promtool", arguments, folder.clone(), RUN_BOUND)
        .await?;
    let said = format!("{}\n{}", output.stdout, output.stderr);
    std::fs::write(folder.join("promtool.txt"), &said)?;
    let (failed, other) = virtual_time::read(&said);
    if output.code != Some(0) && failed.is_empty() {
        return Err(CaseError::Failed(format!(
            "promtool cannot run the tree's rules: {}",
            other.join("; ")
        )));
    }

    let failed: BTreeMap<&str, &FailedCheck> = failed.iter().map(|f| (f.expression.as_str(), f)).collect();
    let mut findings = Findings::new();
    let mut cells = Vec::new();
    for (group, rule) in alerts(&groups) {
        let checks: Vec<&Check> = plan.checks.iter().filter(|c| c.alert == rule.name).collect();
        let finding = judge(rule, &inputs, &checks, &failed, intervals);
        cells.push(Cell {
            label: rule.name.clone(),
            group: group.name.clone(),
            covered: finding.reason.is_none(),
            note: finding.reason.clone().or_else(|| Some(rule.expr.clone())),
        });
        findings.push(finding);
    }
    for name in inputs.alerts.keys() {
        if !alerts(&groups).any(|(_, rule)| rule.name == *name) {
            findings.push(
                Finding::of(format!("alert {name}"))
                    .declared("no such alert")
                    .judge(false, || {
                        "fixtures/alert-inputs.yaml has an entry for it, and the deploy tree no rule: restore the alert, or drop the entry".into()
                    }),
            );
        }
    }
    findings.push(
        Finding::of("alerts that fire on every input")
            .declared(always.join(", "))
            .bound(promised.join(", "))
            .judge(always.iter().all(|name| promised.iter().any(|p| p == name)), || {
                "only the promised ones may fire on healthy input: give the others a healthy input in fixtures/alert-inputs.yaml".into()
            }),
    );
    findings.push(judge_healthy_day(
        &always,
        failed.get(healthy_day.as_str()).copied(),
    ));
    findings.draw(Drawing::Coverage {
        title: "Alerts that are silent, fire and resolve in virtual time".into(),
        cells,
    });
    findings.figures.push(Figure {
        what: "one run of promtool over every alert".into(),
        value: output.took.as_secs_f64(),
        bound: context
            .contract
            .duration("harness-virtual-time", "at-most")?
            .as_secs_f64(),
        at_least: false,
        unit: "s".into(),
    });
    Ok(findings)
}

fn refused(error: &RenderError) -> CaseError {
    CaseError::Failed(error.to_string())
}

/// What fired at any time of the healthy day, or is pending at its end, other than the alerts that always do.
fn healthy_day_expression(always: &[&str]) -> String {
    let except = always.join("|");
    format!(
        "max by (alertname, alertstate) (max_over_time(ALERTS{{alertstate=\"firing\",alertname!~\"{except}\"}}[{}]) \
         or ALERTS{{alertname!~\"{except}\"}})",
        Span(HEALTHY_DAY)
    )
}

fn judge_healthy_day(always: &[&str], failed: Option<&FailedCheck>) -> Finding {
    let fired = failed.map_or("nothing else", |f| f.got.as_str());
    Finding::of("alerts on a healthy day of every service, all rules together")
        .declared(format!("nothing but {}", always.join(", ")))
        .observed(fired)
        .judge(failed.is_none(), || {
            format!("on a healthy day this fires or is pending: {fired}")
        })
}

fn judge(
    rule: &Rule,
    inputs: &AlertInputs,
    checks: &[&Check],
    failed: &BTreeMap<&str, &FailedCheck>,
    intervals: Intervals,
) -> Finding {
    let finding =
        Finding::of(format!("alert {}", rule.name)).declared(format!("{} for {}", rule.expr, rule.hold));
    let Some(input) = inputs.alerts.get(&rule.name) else {
        return finding.judge(false, || {
            "fixtures/alert-inputs.yaml has no entry for it, so nothing shows that it can fire: add its healthy and its breaching input".into()
        });
    };
    let wrong: Vec<String> = checks
        .iter()
        .filter_map(|check| {
            failed
                .get(check.expression.as_str())
                .map(|f| virtual_time::instead(check, &f.got))
        })
        .collect();
    let phases = Phases::of(rule, input, intervals.of(input));
    let did = |kind: CheckKind| {
        checks
            .iter()
            .any(|c| c.kind == kind && !failed.contains_key(c.expression.as_str()))
    };
    let observed: Vec<&str> = [
        (CheckKind::Silent, "silent"),
        (CheckKind::Held, "held back for its `for`"),
        (CheckKind::Fires, "fires"),
        (CheckKind::Resolves, "resolves"),
    ]
    .into_iter()
    .filter(|(kind, _)| did(*kind))
    .map(|(_, word)| word)
    .collect();
    finding
        .observed(if observed.is_empty() {
            "nothing of it".to_owned()
        } else {
            observed.join(", ")
        })
        .bound(format!(
            "healthy until {}, breach until {}, healthy until {}",
            Span(phases.healthy),
            Span(phases.breach),
            Span(phases.recovery)
        ))
        .judge(wrong.is_empty(), || wrong.join("; "))
}

fn alerts(groups: &[RuleGroup]) -> impl Iterator<Item = (&RuleGroup, &Rule)> {
    groups.iter().flat_map(|group| {
        group
            .rules
            .iter()
            .filter(|rule| rule.kind == RuleKind::Alert)
            .map(move |rule| (group, rule))
    })
}
