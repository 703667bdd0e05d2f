//! Snapshots: taken as often as promised, and a server restored from one answers as the first did.

use std::time::Duration;

use harness::case::{Case, CaseError, Context};
use harness::component::prometheus::{Prometheus, Series};
use harness::emit::target::ScrapeTarget;
use harness::finding::{Finding, Findings};
use harness::mutant::{Edit, Mutant};
use harness::stack::{Capability, OwnJob, PrometheusClone, Scrapes};
use harness::units::Span;
use harness::verdict::Level;
use harness::wait::{Look, Wait};
use harness::wire::exposition::{Family, Metric, Value};

use crate::history::{self, Line, milliseconds, seconds};

/// The case.
pub(super) fn case() -> Case {
    Case {
        id: "metrics/snapshot-restore",
        claim: "snapshots are taken as often as promised, and a server restored from one gives equal answers",
        level: Level::Must,
        promises: &["metrics-snapshot-period", "metrics-snapshot-restore"],
        needs: &[Capability::Prometheus, Capability::Promtool],
        profiles: &["core"],
        excludes: &[],
        disturbs: None,
        bound: Duration::from_secs(60),
        run: |context| Box::pin(run(context)),
        mutants,
    }
}

const JOB: &str = "CronJob/prometheus-snapshot";

fn mutants() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "every-12-hours",
            "snapshots are taken half as often as promised",
            Edit::set(JOB, "/spec/schedule", "0 */12 * * *"),
        ),
        Mutant::new(
            "suspended",
            "the snapshot job is suspended",
            Edit::set(JOB, "/spec/suspend", true),
        ),
        Mutant::new(
            "no-admin-api",
            "the server refuses snapshots: its admin API is off",
            Edit::set("Prometheus/prometheus", "/spec/enableAdminAPI", false),
        ),
    ]
}

async fn run(context: Context) -> Result<Findings, CaseError> {
    let mut findings = Findings::new();
    period(&context, &mut findings)?;
    let flag = context
        .stack
        .prometheus
        .flags()
        .await?
        .get("web.enable-admin-api")
        .cloned()
        .unwrap_or_default();
    findings.push(
        Finding::of("admin API that takes snapshots")
            .declared(
                context
                    .tree
                    .object("Prometheus/prometheus")?
                    .value
                    .pointer("/spec/enableAdminAPI")
                    .map_or_else(|| "nothing".to_owned(), ToString::to_string),
            )
            .effective(&flag)
            .bound("true")
            .judge(flag == "true", || {
                "the server refuses snapshots: its admin API is off".to_owned()
            }),
    );

    context
        .progress
        .step("", "a server with old blocks and fresh scrapes");
    let block = milliseconds(Duration::from_secs(2 * 3600));
    let old = (history::now_ms() - 3 * block).div_euclid(block) * block;
    let lines: Vec<Line> = (0..20)
        .map(|series| {
            Line::constant(
                format!("conform_snapshot_old{{series=\"{series}\"}}"),
                f64::from(series),
                (0..100).map(|sample| old + sample * 30_000),
            )
        })
        .collect();
    let target = ScrapeTarget::start(|number, _| vec![fresh(number)]).await?;
    let mut clone = PrometheusClone::named("first");
    clone.data = Some(history::blocks(&context, "snapshot-restore", &lines).await?);
    clone.scrapes = Scrapes::Own(vec![OwnJob {
        job: "snapshot".to_owned(),
        address: target.address().to_string(),
        interval: Duration::from_secs(1),
        labels: Vec::new(),
        native_histograms: false,
    }]);
    let mut first = context.stack.workshop.prometheus(clone).await?;
    stored(first.client()).await?;
    // Nothing is added while the snapshot is compared.
    drop(target);

    context
        .progress
        .step("", "taking a snapshot and restoring it into a second server");
    let data = match context
        .stack
        .workshop
        .snapshot(first.client(), "snapshot-restore-copy")
        .await
    {
        Ok(data) => data,
        Err(error) => {
            findings.push(Finding::of("snapshot").judge(false, || error.to_string()));
            return Ok(findings);
        }
    };
    let mut clone = PrometheusClone::named("second");
    clone.data = Some(data);
    let second = context.stack.workshop.prometheus(clone).await?;
    let at = history::seconds(history::now_ms());
    let questions = [
        (
            "old blocks, every sample",
            format!("conform_snapshot_old[{}]", Span(Duration::from_secs(86_400))),
        ),
        (
            "fresh scrapes, every sample",
            format!(
                "conform_snapshot_fresh_total[{}]",
                Span(Duration::from_secs(3600))
            ),
        ),
    ];
    for (what, question) in questions {
        let (before, after) = (
            answer(first.client(), &question, at).await?,
            answer(second.client(), &question, at).await?,
        );
        let samples = |series: &[Series]| series.iter().map(|one| one.samples.len()).sum::<usize>();
        findings.push(
            Finding::of(what)
                .declared(format!("{} samples of {} series", samples(&before), before.len()))
                .observed(format!("{} samples of {} series", samples(&after), after.len()))
                .bound("equal")
                .judge(before == after && !before.is_empty(), || {
                    "the restored server does not answer as the first did".to_owned()
                }),
        );
    }
    for (what, question) in [
        ("sum over old blocks", "sum(conform_snapshot_old)"),
        ("rate over old blocks", "sum(rate(conform_snapshot_old[10m]))"),
    ] {
        let at = seconds(old + 100 * 15_000);
        let (before, after) = (
            first.client().query(question, Some(at)).await?,
            second.client().query(question, Some(at)).await?,
        );
        findings.push(
            Finding::of(what)
                .declared(before.first().map_or("nothing", |sample| &sample.value))
                .observed(after.first().map_or("nothing", |sample| &sample.value))
                .bound("equal")
                .judge(before == after && !before.is_empty(), || {
                    "the restored server answers otherwise".to_owned()
                }),
        );
    }
    first.stop().await?;
    Ok(findings)
}

fn fresh(number: u64) -> Family {
    #[expect(clippy::cast_precision_loss, reason = "scrape numbers are small")]
    let value = number as f64;
    Family {
        name: "conform_snapshot_fresh_total".to_owned(),
        help: "Scrapes so far.".to_owned(),
        metrics: vec![Metric {
            labels: [].into_iter().collect(),
            value: Value::Counter(value),
        }],
    }
}

/// Waits until fresh scrapes are stored, so that the snapshot has both blocks and a head.
async fn stored(server: &Prometheus) -> Result<(), CaseError> {
    Wait::new("three fresh scrapes", Duration::from_secs(20))
        .every(Duration::from_millis(100))
        .until(
            async || match server.raw("conform_snapshot_fresh_total[10m]", None).await {
                Err(error) => Look::Missing(error.to_string()),
                Ok(series) => match series.first().map(|one| one.samples.len()) {
                    Some(count) if count >= 3 => Look::Ready(()),
                    count => Look::Missing(format!("{} stored", count.unwrap_or_default())),
                },
            },
        )
        .await
        .map_err(|error| CaseError::Failed(error.to_string()))
}

async fn answer(server: &Prometheus, question: &str, at: f64) -> Result<Vec<Series>, CaseError> {
    let mut series = server.raw(question, Some(at)).await?;
    series.sort_by_key(|one| format!("{:?}", one.labels));
    Ok(series)
}

/// The declared schedule against the promised period.
fn period(context: &Context, findings: &mut Findings) -> Result<(), CaseError> {
    let promised = context.contract.duration("metrics-snapshot-period", "period")?;
    let object = context.tree.object(JOB)?;
    let schedule = object.text("/spec/schedule");
    let suspended = object
        .value
        .pointer("/spec/suspend")
        .and_then(serde_json::Value::as_bool)
        == Some(true);
    let longest = longest_pause(schedule);
    findings.push(
        Finding::of("schedule of the snapshot job")
            .declared(if suspended { "suspended" } else { schedule })
            .bound(format!("every {}", Span(promised)))
            .judge(!suspended && longest == Some(promised), || match longest {
                _ if suspended => "the job is suspended".to_owned(),
                None => {
                    format!("`{schedule}` is not a schedule at fixed hours; write for example `0 */6 * * *`")
                }
                Some(longest) => format!("it takes one every {}", Span(longest)),
            }),
    );
    Ok(())
}

/// The longest pause between two runs of a cron schedule of the form `M H * * *`, where `H` is `*`,
/// `*/N` or a list of hours; none for other forms.
fn longest_pause(schedule: &str) -> Option<Duration> {
    let fields: Vec<&str> = schedule.split_whitespace().collect();
    let [minute, hours, "*", "*", "*"] = fields[..] else {
        return None;
    };
    minute.parse::<u8>().ok().filter(|minute| *minute < 60)?;
    let hours: Vec<u64> = match hours.strip_prefix("*/") {
        Some(step) => {
            let step: usize = step.parse().ok().filter(|step| *step > 0)?;
            (0..24).step_by(step).collect()
        }
        None if hours == "*" => (0..24).collect(),
        None => hours
            .split(',')
            .map(|hour| hour.parse().ok().filter(|hour| *hour < 24))
            .collect::<Option<_>>()?,
    };
    let next = hours
        .iter()
        .skip(1)
        .copied()
        .chain(hours.first().map(|first| first + 24));
    hours
        .iter()
        .zip(next)
        .map(|(hour, next)| Duration::from_secs((next - hour) * 3600))
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("0 */6 * * *", Some(6))]
    #[case("30 0,6,12,18 * * *", Some(6))]
    #[case("0 */5 * * *", Some(5))]
    #[case("0 3 * * *", Some(24))]
    #[case("0 * * * *", Some(1))]
    #[case("0 0,20 * * *", Some(20))]
    #[case("0 */6 * * 1", None)]
    #[case("@daily", None)]
    fn the_longest_pause_of_a_schedule(#[case] schedule: &str, #[case] hours: Option<u64>) {
        assert_eq!(
            longest_pause(schedule),
            hours.map(|hours| Duration::from_secs(hours * 3600))
        );
    }
}
