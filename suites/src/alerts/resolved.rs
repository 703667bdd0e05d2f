//! When an alert is over, its channel is told so, in time.
//!
//! Method: for each severity push an alert, wait for its notification, end it, and wait for the
//! notification that says it is resolved.

use std::time::Duration;

use futures::FutureExt;
use futures::future::join_all;
use harness::case::{Case, CaseError, Context};
use harness::finding::{Finding, Findings};
use harness::mutant::{Edit, Mutant};
use harness::stack::Capability;
use harness::units::Span;
use harness::verdict::Level;

use super::path::{NotificationPath, firing, labels, resolved};
use super::{FILE, SECRET};

/// 5 min of group interval become 5 s.
const DIVISOR: u32 = 60;

/// The case.
#[must_use]
pub(super) fn case() -> Case {
    Case {
        id: "alerts/resolved",
        claim: "the end of an alert of any severity is notified on its channel within the group interval",
        level: Level::Must,
        promises: &["alerts-resolved"],
        needs: &[Capability::Alertmanager],
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
            "ends-not-sent",
            "no receiver is told that an alert is over",
            Edit::replace_text(SECRET, FILE, "send_resolved: true", "send_resolved: false"),
        ),
        Mutant::new(
            "ends-drift",
            "Alertmanager runs with receivers that are not told that an alert is over",
            Edit::rendered_text("alertmanager.yml", "send_resolved: true", "send_resolved: false"),
        ),
        Mutant::new(
            "told-too-late",
            "a group tells of a change once in two days",
            Edit::replace_text(SECRET, FILE, "group_interval: 5m", "group_interval: 48h"),
        ),
    ]
}

async fn run(context: Context) -> Result<Findings, CaseError> {
    let slack = context.contract.duration("alerts-resolved", "slack")?;
    let severities = context.contract.texts("alerts-routing", "severities")?;
    let path = NotificationPath::open(&context, "resolved", DIVISOR).await?;
    let mut findings = Findings::new();
    let alerts: Vec<_> = severities
        .iter()
        .map(|severity| {
            let set = labels(&[
                ("alertname", "Resolving"),
                ("namespace", "llmoptimizer"),
                ("service", severity.as_str()),
                ("severity", severity.as_str()),
            ]);
            (severity, firing(&set), set)
        })
        .collect();
    let pushed: Vec<_> = alerts.iter().map(|(_, alert, _)| alert.clone()).collect();
    path.push(&pushed).await?;
    let path = &path;
    let told = join_all(alerts.iter().map(|(severity, _, labels)| async move {
        let wait = path.expected(labels).timing.group_wait;
        (severity, path.notified(labels, "firing", 0, wait).await)
    }))
    .await;
    for (severity, outcome) in told {
        if let Err(why) = outcome {
            findings.push(Finding::of(format!("notification of the {severity} alert")).judge(false, || why));
        }
    }
    if !findings.findings.is_empty() {
        return Ok(findings);
    }
    let over: Vec<_> = pushed.iter().map(resolved).collect();
    let ended = path.push(&over).await?;
    let told = join_all(alerts.iter().map(|(severity, _, labels)| async move {
        let interval = path.expected(labels).timing.group_interval;
        (
            severity,
            labels,
            path.notified(labels, "resolved", 0, interval).await,
        )
    }))
    .await;
    for (severity, labels, outcome) in told {
        let expected = path.expected(labels);
        let interval = expected.timing.group_interval;
        let finding = Finding::of(format!(
            "from the end of the {severity} alert to its notification"
        ))
        .declared(format!("{} / {DIVISOR}", Span(expected.declared.group_interval)));
        match outcome {
            Err(why) => findings.push(finding.judge(false, || why)),
            Ok(notification) => {
                let latest = (ended.after - ended.before) + (interval + slack).as_secs_f64();
                let took = notification.at - ended.before;
                findings.push(path.pulse.judge(finding, took, (0.0, latest), slack));
                findings.push(
                    Finding::of(format!("the notification of the {severity} alert's end"))
                        .declared(format!("resolved at {}", expected.paths.join(", ")))
                        .observed(format!("{} at {}", notification.status, notification.path))
                        .judge(
                            notification.status == "resolved" && expected.paths.contains(&notification.path),
                            || "its status or channel is another".into(),
                        ),
                );
            }
        }
    }
    Ok(findings)
}
