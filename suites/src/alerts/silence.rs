//! A silenced alert is not notified while its silence lasts, and is afterwards.
//!
//! Method: silence, push the alert, then two sentinels on the same channel, one after the other; the
//! silenced alert must not have arrived before the second. Ending the silence lets it through.

use std::time::Duration;

use futures::FutureExt;
use harness::case::{Case, CaseError, Context};
use harness::clock::unix_seconds;
use harness::finding::{Finding, Findings};
use harness::mutant::{Edit, Mutant};
use harness::stack::Capability;
use harness::verdict::Level;

use super::path::{NotificationPath, brief, firing, labels, pairs, summary};
use super::{FILE, SECRET};

/// 30 s of group wait become half a second, 5 min of group interval 5 s.
const DIVISOR: u32 = 60;

/// The case.
#[must_use]
pub(super) fn case() -> Case {
    Case {
        id: "alerts/silence",
        claim: "a silenced alert is not notified until its silence ends, and is then",
        level: Level::Must,
        promises: &["alerts-silence"],
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
            "silences-refused",
            "Alertmanager runs with a limit that no silence fits into",
            Edit::argument("alertmanager", "--silences.max-silence-size-bytes", Some("1")),
        ),
        Mutant::new(
            "never-told-again",
            "a group tells of a change once in two days",
            Edit::replace_text(SECRET, FILE, "group_interval: 5m", "group_interval: 48h"),
        ),
        Mutant::new(
            "warnings-go-elsewhere",
            "warnings are only shown",
            Edit::replace_text(
                SECRET,
                FILE,
                "receiver: warning-webhook",
                "receiver: info-webhook",
            ),
        ),
    ]
}

async fn run(context: Context) -> Result<Findings, CaseError> {
    let path = NotificationPath::open(&context, "silence", DIVISOR).await?;
    let of = |name: &str, service: &str| {
        labels(&[
            ("alertname", name),
            ("namespace", "llmoptimizer"),
            ("service", service),
            ("severity", "warning"),
        ])
    };
    let silenced = of("SilencePair", "a");
    let sentinels = [of("SilencePair", "b"), of("SilenceSentinel", "a")];
    let mut findings = Findings::new();

    let finding = Finding::of("a silence of one alert");
    let silence = match path
        .alertmanager
        .client()
        .silence(&pairs(&silenced), unix_seconds() + 3600.0, "conformance")
        .await
    {
        Ok(id) => {
            findings.push(finding.observed("taken"));
            id
        }
        Err(error) => {
            findings.push(finding.observed("refused").judge(false, || error.to_string()));
            return Ok(findings);
        }
    };
    path.push(&[firing(&silenced)]).await?;
    for sentinel in &sentinels {
        path.push(&[firing(sentinel)]).await?;
        let expected = path.expected(sentinel);
        let finding = Finding::of(format!("an alert that is not silenced, {}", brief(sentinel)))
            .declared(expected.paths.join(", "))
            .bound("the warnings' channel");
        match path
            .notified(sentinel, "firing", 0, expected.timing.group_wait)
            .await
        {
            Ok(notification) => {
                let right = notification.path.ends_with("/warning");
                findings.push(
                    finding
                        .observed(&notification.path)
                        .judge(right, || format!("it was notified at {}", notification.path)),
                );
            }
            Err(why) => {
                findings.push(finding.observed("not notified").judge(false, || why));
                return Ok(findings);
            }
        }
    }
    let seen = path.arrived().await?;
    let told = seen.iter().any(|n| n.says(&pairs(&silenced), "firing"));
    findings.push(
        Finding::of("the silenced alert")
            .observed(if told { "notified" } else { "not notified" })
            .bound("not notified before two later sentinels")
            .judge(!told, || {
                format!("it was notified although it is silenced: {}", summary(&seen))
            }),
    );

    let from = seen.len() as u64;
    path.alertmanager.client().expire_silence(&silence).await?;
    let timing = path.expected(&silenced).timing;
    let freed = path
        .notified(&silenced, "firing", from, timing.group_interval)
        .await;
    findings.push(
        Finding::of("the alert after its silence has ended")
            .declared("notified with its group's next notification")
            .observed(if freed.is_ok() { "notified" } else { "not notified" })
            .judge(freed.is_ok(), || freed.err().unwrap_or_default()),
    );
    Ok(findings)
}
