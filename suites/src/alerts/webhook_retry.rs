//! A notification that its channel refuses is sent again until it is taken, whole and once.
//!
//! Method: the receiver answers the first deliveries with 503; count what arrives until a later
//! sentinel on the same channel has.

use std::time::Duration;

use futures::FutureExt;
use harness::case::{Case, CaseError, Context};
use harness::finding::{Finding, Findings};
use harness::mutant::{Edit, Mutant};
use harness::stack::Capability;
use harness::verdict::Level;

use super::path::{NotificationPath, firing, labels, pairs, summary};
use super::{FILE, SECRET};

/// 30 s of group wait become half a second.
const DIVISOR: u32 = 60;
/// How many deliveries are refused. Alertmanager waits 0.5 s before its first retry and half as long
/// again each time (cenkalti/backoff defaults), so three take 2 to 4 s.
const REFUSED: u32 = 3;

/// The case.
#[must_use]
pub(super) fn case() -> Case {
    Case {
        id: "alerts/webhook-retry",
        claim: "a notification that the webhook refuses is retried until it is taken, whole and exactly once",
        level: Level::Must,
        promises: &["alerts-webhook-retry"],
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
            "alerts-cut-off",
            "a webhook is told of the first alert of a group only",
            Edit::replace_text(
                SECRET,
                FILE,
                "url: http://notification-gateway.monitoring:8080/alerts/warning",
                "max_alerts: 1\n        url: http://notification-gateway.monitoring:8080/alerts/warning",
            ),
        ),
        Mutant::new(
            "told-twice",
            "warnings are told on two channels",
            Edit::replace_text(
                SECRET,
                FILE,
                "- url: http://notification-gateway.monitoring:8080/alerts/warning",
                "- url: http://notification-gateway.monitoring:8080/alerts/copy\n      - url: http://notification-gateway.monitoring:8080/alerts/warning",
            ),
        ),
        Mutant::new(
            "no-channel",
            "Alertmanager runs with a webhook for warnings that nobody listens to",
            Edit::rendered_text("alertmanager.yml", "/alerts/warning", "/alerts/elsewhere"),
        ),
        Mutant::new(
            "alerts-limited",
            "Alertmanager runs with a limit of one alert by one name",
            Edit::argument("alertmanager", "--alerts.per-alertname-limit", Some("1")),
        ),
    ]
}

async fn run(context: Context) -> Result<Findings, CaseError> {
    // Promised for the production group interval; the clone's is divided, and the bound with it.
    let within = context
        .contract
        .duration("alerts-webhook-retry", "retried-within")?
        / DIVISOR;
    let path = NotificationPath::open(&context, "webhook-retry", DIVISOR).await?;
    let of = |name: &str, instance: &str| {
        labels(&[
            ("alertname", name),
            ("namespace", "llmoptimizer"),
            ("service", "a"),
            ("severity", "warning"),
            ("instance", instance),
        ])
    };
    let group = [of("Retry", "1"), of("Retry", "2"), of("Retry", "3")];
    let sentinel = of("RetrySentinel", "1");
    let expected = path.expected(&group[0]);
    let mut findings = Findings::new();

    path.refuse_next(REFUSED, 503).await?;
    let pushed: Vec<_> = group.iter().map(firing).collect();
    path.push(&pushed).await?;
    let taken = path
        .notified(&group[0], "firing", 0, expected.timing.group_wait + within)
        .await;
    let taken = match taken {
        Ok(taken) => taken,
        Err(why) => {
            findings.push(
                Finding::of("a notification that was refused at first")
                    .declared(format!("taken after {REFUSED} refusals"))
                    .judge(false, || why),
            );
            return Ok(findings);
        }
    };
    path.push(&[firing(&sentinel)]).await?;
    if let Err(why) = path
        .notified(&sentinel, "firing", taken.number, expected.timing.group_wait)
        .await
    {
        findings.push(Finding::of("a sentinel after it, on the same channel").judge(false, || why));
        return Ok(findings);
    }

    let all = path.arrived().await?;
    let ours: Vec<_> = all
        .iter()
        .filter(|n| n.alert(&pairs(&group[0])).is_some())
        .collect();
    let refused = ours.iter().filter(|n| !n.accepted()).count();
    let again = ours.iter().filter(|n| n.accepted()).count();
    findings.push(
        Finding::of("deliveries of one notification")
            .declared(format!("{REFUSED} refused and 1 taken"))
            .observed(format!("{refused} refused and {again} taken at {}", paths(&ours)))
            .judge(
                refused == REFUSED as usize
                    && again == 1
                    && ours.iter().all(|n| {
                        expected.paths.len() == 1
                            && n.path == expected.paths[0]
                            && n.path.ends_with("/warning")
                    }),
                || summary(&all),
            ),
    );
    let whole = group.iter().all(|labels| taken.says(&pairs(labels), "firing"));
    findings.push(
        Finding::of("alerts in the notification that was taken")
            .declared(format!("{} of the group", group.len()))
            .observed(taken.alerts.len())
            .judge(whole && taken.alerts.len() == group.len(), || {
                format!(
                    "something was lost or added: {}",
                    summary(std::slice::from_ref(&taken))
                )
            }),
    );
    findings.push(path.pulse.judge(
        Finding::of("from the first refusal to the delivery that was taken").declared("retried"),
        taken.at - ours[0].at,
        (0.0, (within + path.slack).as_secs_f64()),
        path.slack,
    ));
    Ok(findings)
}

fn paths(notifications: &[&harness::judge::alerts::notification::Notification]) -> String {
    let mut paths: Vec<&str> = notifications.iter().map(|n| n.path.as_str()).collect();
    paths.sort_unstable();
    paths.dedup();
    paths.join(", ")
}
