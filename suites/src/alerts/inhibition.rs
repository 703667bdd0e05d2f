//! A critical alert inhibits the warning about the same thing, that one only, and only while it lasts;
//! and every declared rule of inhibition does what it says.
//!
//! Method: pairs of alerts, one that the contract names and one for each declared rule, made of the
//! values that its matchers name. With the inhibiting alerts notified, push the inhibited ones and
//! then a sentinel: a warning about something else. Once a second sentinel, pushed after the first
//! arrived, has arrived too, the inhibited ones had every chance to; they must not be there. Ending
//! the inhibiting alerts lets them through.

use std::time::Duration;

use futures::FutureExt;
use futures::future::join_all;
use harness::case::{Case, CaseError, Context};
use harness::finding::{Finding, Findings};
use harness::judge::alerts::alertmanager_file::example;
use harness::mutant::{Edit, Mutant};
use harness::stack::Capability;
use harness::verdict::{Level, Verdict};

use super::path::{Labels, NotificationPath, brief, firing, labels, pairs, resolved, summary};
use super::{FILE, SECRET};

/// 30 s of group wait become half a second, 5 min of group interval 5 s.
const DIVISOR: u32 = 60;

/// The case.
#[must_use]
pub(super) fn case() -> Case {
    Case {
        id: "alerts/inhibition",
        claim: "a critical alert inhibits the warning about the same thing and no other, until it is resolved",
        level: Level::Must,
        promises: &["alerts-inhibition"],
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

/// An alert that inhibits, and one that it inhibits.
struct Pair {
    what: String,
    source: Labels,
    target: Labels,
}

async fn run(context: Context) -> Result<Findings, CaseError> {
    let path = NotificationPath::open(&context, "inhibition", DIVISOR).await?;
    let mut findings = Findings::new();
    let pairs_of = pairs_to_try(&path, &mut findings);
    let sentinels = [
        of("InhibitionPair", "b", "warning"),
        of("InhibitionSentinel", "a", "warning"),
    ];

    let sources: Vec<_> = pairs_of.iter().map(|pair| firing(&pair.source)).collect();
    path.push(&sources).await?;
    for pair in &pairs_of {
        let wait = path.expected(&pair.source).timing.group_wait;
        if let Err(why) = path.notified(&pair.source, "firing", 0, wait).await {
            findings
                .push(Finding::of(format!("notification of {}", brief(&pair.source))).judge(false, || why));
            return Ok(findings);
        }
    }
    let targets: Vec<_> = pairs_of.iter().map(|pair| firing(&pair.target)).collect();
    path.push(&targets).await?;
    for sentinel in &sentinels {
        let finding = Finding::of(format!("a warning about something else, {}", brief(sentinel)))
            .declared("not inhibited");
        path.push(&[firing(sentinel)]).await?;
        let timing = path.expected(sentinel).timing;
        match path.notified(sentinel, "firing", 0, timing.group_wait).await {
            Ok(_) => findings.push(finding.observed("notified")),
            Err(why) => {
                findings.push(
                    finding
                        .observed(state(&path, sentinel).await?)
                        .judge(false, || why),
                );
                return Ok(findings);
            }
        }
    }
    let seen = path.arrived().await?;
    for pair in &pairs_of {
        let told = seen.iter().any(|n| n.says(&pairs(&pair.target), "firing"));
        findings.push(
            Finding::of(format!(
                "{}, while {} fires",
                brief(&pair.target),
                brief(&pair.source)
            ))
            .declared(format!("inhibited: {}", pair.what))
            .effective(state(&path, &pair.target).await?)
            .observed(if told { "notified" } else { "not notified" })
            .bound("not notified before two later sentinels")
            .judge(!told, || {
                format!("it was notified although the other fires: {}", summary(&seen))
            }),
        );
    }

    let from = seen.len() as u64;
    let over: Vec<_> = sources.iter().map(resolved).collect();
    path.push(&over).await?;
    let path = &path;
    let freed = join_all(pairs_of.iter().map(|pair| async move {
        let interval = path.expected(&pair.target).timing.group_interval;
        path.notified(&pair.target, "firing", from, interval).await
    }))
    .await;
    for (pair, freed) in pairs_of.iter().zip(freed) {
        findings.push(
            Finding::of(format!("{}, once the other is over", brief(&pair.target)))
                .declared("notified with its group's next notification")
                .observed(if freed.is_ok() { "notified" } else { "not notified" })
                .judge(freed.is_ok(), || freed.err().unwrap_or_default()),
        );
    }
    Ok(findings)
}

fn of(name: &str, service: &str, severity: &str) -> Labels {
    labels(&[
        ("alertname", name),
        ("namespace", "llmoptimizer"),
        ("service", service),
        ("severity", severity),
    ])
}

/// The pair that the contract names, whatever is declared, and an example of every declared rule.
fn pairs_to_try(path: &NotificationPath, findings: &mut Findings) -> Vec<Pair> {
    let mut pairs = vec![Pair {
        what: "a critical alert and the warning of the same name, namespace and service".into(),
        source: of("InhibitionPair", "a", "critical"),
        target: of("InhibitionPair", "a", "warning"),
    }];
    for (number, rule) in path.file().inhibitions().iter().enumerate() {
        let what = format!(
            "{} inhibits {} of equal {}",
            rule.source.join(", "),
            rule.target.join(", "),
            rule.equal.join(", ")
        );
        let (Some(source), Some(target)) = (example(&rule.source), example(&rule.target)) else {
            findings.push(Finding::of(what).verdict(
                Verdict::Insufficient,
                "its matchers name no value that satisfies them, so no example of it was tried",
            ));
            continue;
        };
        let complete = |mut labels: Labels, name: &str, severity: &str| {
            for label in &rule.equal {
                labels
                    .entry(label.clone())
                    .or_insert_with(|| format!("pair-{number}"));
            }
            labels
                .entry("alertname".into())
                .or_insert_with(|| name.to_owned());
            labels
                .entry("severity".into())
                .or_insert_with(|| severity.to_owned());
            labels
        };
        pairs.push(Pair {
            what,
            source: complete(source, "Inhibiting", "critical"),
            target: complete(target, "Inhibited", "warning"),
        });
    }
    pairs
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
            if by > 0 {
                format!("{state}, inhibited by {by}")
            } else {
                state.to_owned()
            }
        },
    ))
}
