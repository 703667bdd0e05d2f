//! A critical alert inhibits the warning about the same thing, that one only, and only while it lasts.
//!
//! Method: with the critical alert notified, push its warning and then a sentinel: a warning about
//! something else, which takes the same channel. Once a second sentinel, pushed after the first
//! arrived, has arrived too, the inhibited warning had every chance to; it must not be there.
//! Ending the critical alert lets it through.

use std::time::Duration;

use futures::FutureExt;
use harness::case::{Case, CaseError, Context};
use harness::finding::{Finding, Findings};
use harness::mutant::{Edit, Mutant};
use harness::stack::Capability;
use harness::verdict::Level;

use super::path::{Labels, NotificationPath, brief, firing, labels, pairs, resolved, summary};
use super::{FILE, SECRET};

/// 30 s of group wait become half a second, 5 min of group interval 5 s.
const DIVISOR: u32 = 60;

/// The case.
#[must_use]
pub fn case() -> Case {
    Case {
        id: "alerts/inhibition",
        claim: "a critical alert inhibits the warning about the same thing and no other, until it is resolved",
        level: Level::Must,
        promises: &["alerts-inhibition"],
        needs: &[Capability::Alertmanager],
        profiles: &["core"],
        excludes: &[],
        bound: Duration::from_secs(90),
        run: |context| run(context).boxed(),
        mutants,
    }
}

fn mutants() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "nothing-inhibited",
            "the inhibition's source is a severity that no alert has",
            Edit::replace_text(
                SECRET,
                FILE,
                "source_matchers: ['severity = \"critical\"']",
                "source_matchers: ['severity = \"page\"']",
            ),
        ),
        Mutant::new(
            "everything-inhibited",
            "one critical alert inhibits every warning",
            Edit::replace_text(
                SECRET,
                FILE,
                "equal: [alertname, namespace, service]",
                "equal: []",
            ),
        ),
        Mutant::new(
            "other-labels-compared",
            "the inhibition compares a label that differs between the two",
            Edit::replace_text(
                SECRET,
                FILE,
                "equal: [alertname, namespace, service]",
                "equal: [alertname, namespace, service, severity]",
            ),
        ),
        Mutant::new(
            "inhibition-drifts",
            "Alertmanager runs with an inhibition of infos only",
            Edit::rendered_text("alertmanager.yml", "warning|info", "info"),
        ),
    ]
}

async fn run(context: Context) -> Result<Findings, CaseError> {
    let path = NotificationPath::open(&context, "inhibition", DIVISOR).await?;
    let of = |name: &str, service: &str, severity: &str| {
        labels(&[
            ("alertname", name),
            ("namespace", "llmoptimizer"),
            ("service", service),
            ("severity", severity),
        ])
    };
    let critical = of("InhibitionPair", "a", "critical");
    let warning = of("InhibitionPair", "a", "warning");
    let sentinels = [
        of("InhibitionPair", "b", "warning"),
        of("InhibitionSentinel", "a", "warning"),
    ];
    let mut findings = Findings::new();

    let source = firing(&critical);
    path.push(std::slice::from_ref(&source)).await?;
    let wait = path.expected(&critical).timing.group_wait;
    if let Err(why) = path.notified(&critical, "firing", 0, wait).await {
        findings.push(Finding::of("the critical alert's notification").judge(false, || why));
        return Ok(findings);
    }
    path.push(&[firing(&warning)]).await?;
    for sentinel in &sentinels {
        let finding = Finding::of(format!("a warning about something else, {}", brief(sentinel)))
            .declared("not inhibited");
        path.push(&[firing(sentinel)]).await?;
        let timing = path.expected(sentinel).timing;
        match path.notified(sentinel, "firing", 0, timing.group_wait).await {
            Ok(_) => findings.push(finding.observed("notified")),
            Err(why) => {
                findings.push(finding.observed(state(&path, sentinel).await?).judge(false, || why));
                return Ok(findings);
            }
        }
    }
    let seen = path.arrived().await?;
    let told = seen.iter().any(|n| n.says(&pairs(&warning), "firing"));
    findings.push(
        Finding::of("the warning about what the critical alert is about")
            .declared("inhibited")
            .effective(state(&path, &warning).await?)
            .observed(if told { "notified" } else { "not notified" })
            .bound("not notified before two later sentinels")
            .judge(!told, || format!("it was notified although the critical alert fires: {}", summary(&seen))),
    );

    let from = seen.len() as u64;
    path.push(&[resolved(&source)]).await?;
    let timing = path.expected(&warning).timing;
    let freed = path
        .notified(&warning, "firing", from, timing.group_interval)
        .await;
    findings.push(
        Finding::of("the warning after the critical alert is over")
            .declared("notified with its group's next notification")
            .observed(if freed.is_ok() { "notified" } else { "not notified" })
            .judge(freed.is_ok(), || freed.err().unwrap_or_default()),
    );
    Ok(findings)
}

/// What Alertmanager itself says of an alert.
async fn state(path: &NotificationPath, labels: &Labels) -> Result<String, CaseError> {
    let alerts = path.alertmanager.client().alerts().await?;
    let found = alerts.iter().find(|alert| {
        labels
            .iter()
            .all(|(name, value)| alert["labels"][name] == value.as_str())
    });
    Ok(found.map_or_else(
        || "unknown".to_owned(),
        |alert| {
            let status = &alert["status"];
            let by = status["inhibitedBy"].as_array().map_or(0, Vec::len);
            let state = status["state"].as_str().unwrap_or("unknown");
            if by > 0 { format!("{state}, inhibited by {by}") } else { state.to_owned() }
        },
    ))
}
