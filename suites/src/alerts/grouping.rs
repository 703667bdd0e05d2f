//! Alerts with equal group labels arrive together, others apart; the group waits as configured.
//!
//! Method: push three alerts at once, two of one group and one of another; then a further one of the
//! first group, which must come with the group's next notification and not before.

use std::time::Duration;

use futures::FutureExt;
use harness::case::{Case, CaseError, Context};
use harness::drawing::{Drawing, Lane, Mark};
use harness::finding::{Finding, Findings};
use harness::mutant::{Edit, Mutant};
use harness::stack::Capability;
use harness::units::Span;
use harness::verdict::Level;

use super::path::{NotificationPath, brief, firing, labels, pairs, summary};
use super::pulse::CLOCK_TOLERANCE;
use super::{FILE, SECRET};

/// 30 s of group wait become 1 s, 5 min of group interval 10 s.
const DIVISOR: u32 = 30;

/// The case.
#[must_use]
pub(super) fn case() -> Case {
    Case {
        id: "alerts/grouping",
        claim: "alerts about the same thing arrive in one notification after the group wait, later ones after the group interval, and others apart",
        level: Level::Must,
        promises: &["alerts-grouping"],
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
    let group_by = "group_by: [alertname, namespace, service]";
    vec![
        Mutant::new(
            "grouped-too-widely",
            "alerts of different services are one group",
            Edit::replace_text(SECRET, FILE, group_by, "group_by: [alertname]"),
        ),
        Mutant::new(
            "grouped-too-narrowly",
            "every instance is a group of its own",
            Edit::replace_text(
                SECRET,
                FILE,
                group_by,
                "group_by: [alertname, namespace, service, instance]",
            ),
        ),
        Mutant::new(
            "not-grouped",
            "every alert is a group of its own",
            Edit::replace_text(SECRET, FILE, group_by, "group_by: ['...']"),
        ),
        Mutant::new(
            "group-wait-drifts",
            "Alertmanager waits longer for a group than declared",
            Edit::rendered_text("alertmanager.yml", "group_wait: ", "group_wait: 9s # not "),
        ),
        Mutant::new(
            "group-interval-drifts",
            "Alertmanager tells of later alerts earlier than declared",
            Edit::rendered_text(
                "alertmanager.yml",
                "group_interval: ",
                "group_interval: 2s # not ",
            ),
        ),
        Mutant::new(
            "alerts-limited",
            "Alertmanager runs with a limit of one alert by one name",
            Edit::argument("alertmanager", "--alerts.per-alertname-limit", Some("1")),
        ),
    ]
}

async fn run(context: Context) -> Result<Findings, CaseError> {
    let path = NotificationPath::open(&context, "grouping", DIVISOR).await?;
    let of = |service: &str, instance: &str| {
        labels(&[
            ("alertname", "GroupingTogether"),
            ("namespace", "llmoptimizer"),
            ("service", service),
            ("severity", "warning"),
            ("instance", instance),
        ])
    };
    let (one, two, later, other) = (of("a", "1"), of("a", "2"), of("a", "3"), of("b", "1"));
    let expected = path.expected(&one);
    let timing = expected.timing;
    let slack = path.slack.as_secs_f64();
    let mut findings = Findings::new();
    let promised = context.contract.texts("alerts-grouping", "labels")?;
    let group_by = path.routes.match_route(&one)[0].group_by.clone();
    findings.push(
        Finding::of("labels that warnings are grouped by")
            .declared(group_by.join(", "))
            .bound(format!("{} among them", promised.join(", ")))
            .judge(promised.iter().all(|label| group_by.contains(label)), || {
                "alerts of different names or services would come as one".into()
            }),
    );

    let pushed = path.push(&[firing(&one), firing(&other), firing(&two)]).await?;
    let first = path.notified(&one, "firing", 0, timing.group_wait).await;
    let apart = path.notified(&other, "firing", 0, timing.group_wait).await;
    let (first, apart) = match (first, apart) {
        (Ok(first), Ok(apart)) => (first, apart),
        (first, apart) => {
            for (labels, outcome) in [(&one, first), (&other, apart)] {
                if let Err(why) = outcome {
                    findings
                        .push(Finding::of(format!("notification of {}", brief(labels))).judge(false, || why));
                }
            }
            return Ok(findings);
        }
    };
    findings.push(
        Finding::of("two alerts with equal group labels")
            .declared(format!("grouped by {}", group_by.join(", ")))
            .observed(if first.says(&pairs(&two), "firing") {
                "one notification"
            } else {
                "apart"
            })
            .bound("one notification")
            .judge(first.says(&pairs(&two), "firing"), || {
                format!(
                    "the first notification does not hold {}: {}",
                    brief(&two),
                    summary(std::slice::from_ref(&first))
                )
            }),
    );
    findings.push(
        Finding::of("an alert with other group labels")
            .observed(if first.number == apart.number {
                "the same notification"
            } else {
                "a notification of its own"
            })
            .bound("a notification of its own")
            .judge(
                first.number != apart.number && !first.says(&pairs(&other), "firing"),
                || {
                    format!(
                        "it came together with others: {}",
                        summary(std::slice::from_ref(&first))
                    )
                },
            ),
    );
    let wait = timing.group_wait.as_secs_f64();
    findings.push(
        path.pulse.judge(
            Finding::of("wait for a group's first notification")
                .declared(format!("{} / {DIVISOR}", Span(expected.declared.group_wait))),
            first.at - pushed.before,
            (wait, wait + (pushed.after - pushed.before) + slack),
            path.slack,
        ),
    );

    let second_push = path.push(&[firing(&later)]).await?;
    let interval = timing.group_interval.as_secs_f64();
    let second = path.notified(&later, "firing", 0, timing.group_interval).await;
    let mut marks = vec![mark(
        "first notification",
        first.at - pushed.before,
        wait,
        wait + slack,
    )];
    match second {
        Err(why) => findings.push(Finding::of("a later alert of the group").judge(false, || why)),
        Ok(second) => {
            // The timer of the group's next notification starts when the first is due, not when it
            // has arrived (Alertmanager v0.31, dispatch/dispatch.go, aggrGroup.run).
            let earliest = pushed.before + wait + interval;
            let latest = pushed.after + wait + interval;
            findings.push(
                path.pulse.judge(
                    Finding::of("wait for a group's next notification")
                        .declared(format!("{} / {DIVISOR}", Span(expected.declared.group_interval))),
                    second.at - pushed.before,
                    (
                        earliest - pushed.before,
                        latest.max(second_push.after) - pushed.before + slack,
                    ),
                    path.slack,
                ),
            );
            findings.push(
                Finding::of("alerts in the group's next notification")
                    .declared("all three of the group")
                    .observed(second.alerts.len())
                    .judge(
                        [&one, &two, &later]
                            .iter()
                            .all(|labels| second.says(&pairs(labels), "firing"))
                            && second.alerts.len() == 3,
                        || summary(std::slice::from_ref(&second)),
                    ),
            );
            marks.push(mark(
                "later alert pushed",
                second_push.before - pushed.before,
                0.0,
                f64::MAX,
            ));
            marks.push(mark(
                "next notification",
                second.at - pushed.before,
                wait + interval,
                wait + interval + slack,
            ));
        }
    }
    findings.draw(Drawing::Timeline {
        title: "A group's notifications".into(),
        lanes: vec![Lane {
            label: "from the push of the first alerts".into(),
            marks,
        }],
    });
    Ok(findings)
}

fn mark(label: &str, at: f64, earliest: f64, latest: f64) -> Mark {
    Mark {
        label: label.into(),
        at,
        earliest: (latest < f64::MAX).then_some(earliest),
        latest: (latest < f64::MAX).then_some(latest),
        holds: at >= earliest - CLOCK_TOLERANCE && at <= latest + CLOCK_TOLERANCE,
    }
}
