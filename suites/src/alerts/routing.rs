//! Every severity's notifications reach the channel that the declared routes name, after the declared times.
//!
//! Method: push one alert for each severity and several sets of labels to an Alertmanager with the
//! declared file and look at the path its webhook arrives on; the prediction is the harness's own
//! reading of the route tree, amtool's is the second opinion, and the contract says what the routes
//! must come to.

use std::time::Duration;

use futures::FutureExt;
use harness::case::{Case, CaseError, Context};
use harness::finding::{Finding, Findings};
use harness::judge::alerts::alertmanager_file::AlertmanagerFile;
use harness::mutant::{Edit, Mutant};
use harness::render::alertmanager::Route;
use harness::stack::Capability;
use harness::units::Span;
use harness::verdict::Level;

use super::path::{Labels, NotificationPath, brief, firing, labels, summary};
use super::{FILE, SECRET};

/// 30 s of group wait become half a second.
const DIVISOR: u32 = 60;

/// The case.
#[must_use]
pub(super) fn case() -> Case {
    Case {
        id: "alerts/routing",
        claim: "alerts of every severity are notified on the channel of that severity, within the promised times",
        level: Level::Must,
        promises: &["alerts-routing"],
        needs: &[Capability::Alertmanager, Capability::Amtool],
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
            "critical-is-not-routed",
            "the critical route matches another severity",
            Edit::replace_text(
                SECRET,
                FILE,
                "matchers: ['severity = \"critical\"']",
                "matchers: ['severity = \"page\"']",
            ),
        ),
        Mutant::new(
            "channels-swapped",
            "warnings go to the critical receiver",
            Edit::replace_text(
                SECRET,
                FILE,
                "receiver: warning-webhook",
                "receiver: critical-webhook",
            ),
        ),
        Mutant::new(
            "critical-waits",
            "critical groups wait for ten minutes",
            Edit::replace_text(SECRET, FILE, "group_wait: 10s", "group_wait: 10m"),
        ),
        Mutant::new(
            "critical-not-repeated",
            "critical alerts are repeated once a week",
            Edit::replace_text(SECRET, FILE, "repeat_interval: 1h", "repeat_interval: 168h"),
        ),
        Mutant::new(
            "webhook-drifts",
            "Alertmanager runs with another path for critical notifications than declared",
            Edit::rendered_text("alertmanager.yml", "/alerts/critical", "/alerts/nowhere"),
        ),
        Mutant::new(
            "critical-told-twice",
            "critical alerts go on to the route of infos, which takes them too",
            Edit::replace_text(
                SECRET,
                FILE,
                "group_wait: 10s",
                "continue: true\n      group_wait: 10s",
            ),
        )
        .and(Edit::replace_text(
            SECRET,
            FILE,
            "matchers: ['severity = \"info\"']",
            "matchers: ['severity =~ \"info|critical\"']",
        )),
    ]
}

async fn run(context: Context) -> Result<Findings, CaseError> {
    let severities = context.contract.texts("alerts-routing", "severities")?;
    let path = NotificationPath::open(&context, "routing", DIVISOR).await?;
    let cases = alerts(&severities);
    let mut findings = Findings::new();

    let posted: Vec<_> = cases.iter().map(|(labels, _)| firing(labels)).collect();
    path.push(&posted).await?;
    context
        .progress
        .step("alerts/routing", format!("pushed {} alerts", cases.len()));
    for (labels, severity) in &cases {
        findings.push(judge_route(&context, &path, labels, severity.as_deref()).await?);
    }
    for finding in times(&context, &path.routes, &severities).await? {
        findings.push(finding);
    }
    Ok(findings)
}

/// Labels to push, with the severity that the channel must be of where there is one.
fn alerts(severities: &[String]) -> Vec<(Labels, Option<String>)> {
    let mut alerts = Vec::new();
    for severity in severities {
        for (number, more) in [
            &[][..],
            &[("service", "ml-service"), ("category", "errors")],
            &[
                ("namespace", "llmoptimizer"),
                ("team", "platform"),
                ("instance", "a"),
            ],
        ]
        .into_iter()
        .enumerate()
        {
            let name = format!("Routing{severity}{number}");
            let mut set = labels(&[("alertname", name.as_str()), ("severity", severity.as_str())]);
            set.extend(labels(more));
            alerts.push((set, Some(severity.clone())));
        }
    }
    alerts.push((labels(&[("alertname", "RoutingNoSeverity")]), None));
    alerts.push((
        labels(&[("alertname", "RoutingOtherSeverity"), ("severity", "unheard-of")]),
        None,
    ));
    alerts.push((
        labels(&[
            ("alertname", "Watchdog"),
            ("severity", "info"),
            ("service", "prometheus"),
        ]),
        None,
    ));
    alerts
}

async fn judge_route(
    context: &Context,
    path: &NotificationPath,
    labels: &Labels,
    severity: Option<&str>,
) -> Result<Finding, CaseError> {
    let expected = path.expected(labels);
    let finding = Finding::of(format!("channel of {}", brief(labels))).declared(format!(
        "{} at {}",
        expected.receivers.join(", "),
        expected.paths.join(", ")
    ));
    let opinion = amtool(context, path, labels).await?;
    let finding = finding.effective(format!("amtool says {opinion}"));
    let arrived = path
        .notified(labels, "firing", 0, expected.timing.group_wait)
        .await;
    if let Err(why) = arrived {
        return Ok(finding.judge(false, || why));
    }
    let pairs = super::path::pairs(labels);
    let all = path.arrived().await?;
    let mut paths: Vec<&str> = all
        .iter()
        .filter(|n| n.says(&pairs, "firing"))
        .map(|n| n.path.as_str())
        .collect();
    paths.dedup();
    let finding = finding.observed(paths.join(", "));
    if opinion != expected.receivers.join(",") {
        return Ok(finding.judge(false, || {
            format!(
                "amtool routes it to `{opinion}`, not to `{}`",
                expected.receivers.join(",")
            )
        }));
    }
    if paths.iter().any(|path| !expected.paths.iter().any(|e| e == path)) {
        return Ok(finding.judge(false, || {
            format!(
                "it arrived at {}, declared is {}; {}",
                paths.join(", "),
                expected.paths.join(", "),
                summary(&all)
            )
        }));
    }
    Ok(match severity {
        Some(severity) => finding
            .bound(format!("only the channel whose path ends in /{severity}"))
            .judge(
                expected
                    .paths
                    .iter()
                    .all(|path| path.ends_with(&format!("/{severity}"))),
                || format!("{severity} alerts go to {}", expected.paths.join(", ")),
            ),
        None => finding.bound("any channel"),
    })
}

/// What `amtool config routes test` says: the receivers, joined by commas.
async fn amtool(context: &Context, path: &NotificationPath, labels: &Labels) -> Result<String, CaseError> {
    let file = path.alertmanager.config_file();
    let folder = file.parent().map(std::path::Path::to_owned).unwrap_or_default();
    let arguments = ["config", "routes", "test", "--config.file"]
        .into_iter()
        .map(str::to_owned)
        .chain([file.display().to_string()])
        .chain(labels.iter().map(|(name, value)| format!("{name}={value}")))
        .collect();
    let output = context
        .stack
        .workshop
        .tool("amtool", arguments, folder, Duration::from_secs(20))
        .await?;
    if output.code == Some(0) {
        Ok(output.stdout.trim().to_owned())
    } else {
        Ok(format!("{} {}", output.stdout.trim(), output.stderr.trim()))
    }
}

/// The times of the routes: declared, as the shared Alertmanager runs with, and as promised.
async fn times(context: &Context, routes: &Route, severities: &[String]) -> Result<Vec<Finding>, CaseError> {
    let running = AlertmanagerFile::parse(&context.stack.alertmanager.config().await?)
        .map_err(CaseError::Environment)?;
    let contract = &context.contract;
    let mut findings = Vec::new();
    for (severity, what, promised) in [
        (
            "critical",
            "group_wait",
            contract.duration("alerts-routing", "critical-group-wait")?,
        ),
        (
            "critical",
            "repeat_interval",
            contract.duration("alerts-routing", "critical-repeat")?,
        ),
        (
            "warning",
            "repeat_interval",
            contract.duration("alerts-routing", "warning-repeat")?,
        ),
    ] {
        if !severities.iter().any(|known| known == severity) {
            continue;
        }
        let labels = labels(&[("alertname", "Any"), ("severity", severity)]);
        let (place, route) = taken(routes, &labels);
        let declared = if what == "group_wait" {
            route.group_wait
        } else {
            route.repeat_interval
        };
        let effective = running.timing(&place).map(|timing| {
            Span(if what == "group_wait" {
                timing.group_wait
            } else {
                timing.repeat_interval
            })
        });
        findings.push(
            Finding::of(format!("{what} of {severity} alerts"))
                .declared(declared)
                .effective(effective.map_or("no such route".to_owned(), |span| span.to_string()))
                .bound(format!("at most {}", Span(promised)))
                .judge(declared.0 <= promised && effective == Some(declared), || {
                    if declared.0 > promised {
                        format!("{declared} is longer than the promised {}", Span(promised))
                    } else {
                        "the running Alertmanager's route differs from the declared one".into()
                    }
                }),
        );
    }
    Ok(findings)
}

/// The first route an alert takes, with the indices on the way to it.
fn taken<'r>(root: &'r Route, labels: &Labels) -> (Vec<usize>, &'r Route) {
    let mut place = Vec::new();
    let mut route = root;
    loop {
        let next = route
            .routes
            .iter()
            .enumerate()
            .find(|(_, child)| !child.match_route(labels).is_empty());
        match next {
            Some((index, child)) => {
                place.push(index);
                route = child;
            }
            None => return (place, route),
        }
    }
}
