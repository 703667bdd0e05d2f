//! No scrape lost, none stored twice, none altered: a counter followed through scrapes and a restart.
//!
//! The target's ledger says what every scrape was answered; the stored samples
//! must be exactly these. The answer to a scrape that a stop cut off may be
//! missing, since nobody acknowledged it: one for each stop at most.

use std::time::Duration;

use harness::case::{Case, CaseError, Context};
use harness::component::prometheus::Series;
use harness::emit::target::{ScrapeTarget, Served};
use harness::finding::{Finding, Findings};
use harness::mutant::{Edit, Mutant};
use harness::stack::{Capability, OwnJob, PrometheusClone, PrometheusInstance, Scrapes};
use harness::verdict::Level;
use harness::wait::{Look, Wait};
use harness::wire::exposition::{Family, Metric, Value};

/// Own scrape interval, short so that many scrapes fit into seconds.
const INTERVAL: Duration = Duration::from_secs(1);
/// Scrapes between stops.
const SCRAPES: usize = 4;
/// A gap of this many intervals means that a scrape was left out, whatever the machine was busy with.
const LATE: f64 = 1.9;
/// Series the target exposes.
const SERIES: u64 = 5;

/// The case.
pub(super) fn case() -> Case {
    Case {
        id: "metrics/counter-integrity",
        claim: "every answered scrape is stored once and unaltered, through an orderly restart and a kill",
        level: Level::Must,
        promises: &["metrics-counter-integrity"],
        needs: &[Capability::Prometheus],
        profiles: &["core"],
        excludes: &[],
        disturbs: None,
        bound: Duration::from_secs(90),
        run: |context| Box::pin(run(context)),
        mutants,
    }
}

fn mutants() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "sample-limit",
            "the server drops scrapes above a limit that nobody declared",
            Edit::rendered_text(
                "prometheus.yml",
                "scrape_interval: 1s",
                "scrape_interval: 1s\n    sample_limit: 1",
            ),
        ),
        Mutant::new(
            "merged-series",
            "the server drops the label that tells the series apart",
            Edit::rendered_text(
                "prometheus.yml",
                "scrape_interval: 1s",
                "scrape_interval: 1s\n    metric_relabel_configs: [{action: labeldrop, regex: part}]",
            ),
        ),
        Mutant::new(
            "slower",
            "the server scrapes less often than asked",
            Edit::rendered_text("prometheus.yml", "scrape_interval: 1s", "scrape_interval: 2s"),
        ),
    ]
}

/// What the target exposes at scrape number `n`: counters that tell the scrape by their value.
fn expose(n: u64) -> Vec<Family> {
    #[expect(clippy::cast_precision_loss, reason = "scrape numbers are small")]
    let metrics = (0..SERIES)
        .map(|part| Metric {
            labels: [("part".to_owned(), part.to_string())].into_iter().collect(),
            value: Value::Counter((n * SERIES + part) as f64),
        })
        .collect();
    vec![Family {
        name: "conform_scrapes_total".to_owned(),
        help: "Scrapes so far.".to_owned(),
        metrics,
    }]
}

async fn run(context: Context) -> Result<Findings, CaseError> {
    let target = ScrapeTarget::start(|n, _| expose(n)).await?;
    let mut clone = PrometheusClone::named("integrity");
    clone.scrapes = Scrapes::Own(vec![OwnJob {
        job: "integrity".to_owned(),
        address: target.address().to_string(),
        interval: INTERVAL,
        labels: Vec::new(),
        native_histograms: false,
    }]);
    context
        .progress
        .step("", "starting a Prometheus that scrapes every second");
    let mut instance = context.stack.workshop.prometheus(clone).await?;
    let mut cuts = Vec::new();

    served(&target, SCRAPES).await?;
    context.progress.step("", "restarting it in an orderly way");
    instance.stop().await?;
    cuts.push(target.served().len());
    instance.start().await?;
    served(&target, cuts[0] + SCRAPES).await?;
    context.progress.step("", "killing and restarting it");
    instance.kill().await?;
    cuts.push(target.served().len());
    instance.start().await?;
    served(&target, cuts[1] + SCRAPES).await?;

    // The sentinel: once a later scrape is stored, so is everything before it that ever will be.
    let last = target.served().len();
    let stored = stored_past(instance.as_ref(), last).await?;
    let ledger: Vec<Served> = target.served().into_iter().take(last).collect();
    let mut findings = Findings::new();
    for part in 0..SERIES {
        findings.push(reconcile(part, &ledger, &stored, &cuts));
    }
    findings.push(cadence(&stored, &ledger, &cuts));
    Ok(findings)
}

/// Waits until the target has answered `count` scrapes.
async fn served(target: &ScrapeTarget, count: usize) -> Result<(), CaseError> {
    Wait::new(
        format!("{count} scrapes answered"),
        INTERVAL * 10 * u32::try_from(SCRAPES).unwrap_or(1),
    )
    .until(async || {
        let seen = target.served().len();
        if seen >= count {
            Look::Ready(())
        } else {
            Look::Missing(format!("{seen} answered"))
        }
    })
    .await
    .map_err(|error| CaseError::Failed(error.to_string()))
}

/// The stored samples, once something later than the first `count` scrapes is among them.
async fn stored_past(instance: &dyn PrometheusInstance, count: usize) -> Result<Vec<Series>, CaseError> {
    #[expect(clippy::cast_precision_loss, reason = "scrape numbers are small")]
    let sentinel = (count as u64 * SERIES) as f64;
    Wait::new("a scrape after the last one looked at", INTERVAL * 15)
        .every(Duration::from_millis(100))
        .until(
            async || match instance.client().raw("conform_scrapes_total[10m]", None).await {
                Err(error) => Look::Missing(error.to_string()),
                Ok(series) => {
                    let newest = series
                        .iter()
                        .filter_map(|one| one.samples.last()?.1.parse::<f64>().ok())
                        .fold(f64::NEG_INFINITY, f64::max);
                    if newest >= sentinel {
                        Look::Ready(series)
                    } else {
                        Look::Missing(format!(
                            "the newest stored value is {newest}, the sentinel {sentinel}"
                        ))
                    }
                }
            },
        )
        .await
        .map_err(|error| CaseError::Failed(format!("answered scrapes are not stored: {error}")))
}

/// One series of the ledger against its stored samples.
fn reconcile(part: u64, ledger: &[Served], stored: &[Series], cuts: &[usize]) -> Finding {
    let samples: Vec<u64> = stored
        .iter()
        .filter(|one| {
            one.labels
                .get("part")
                .is_some_and(|label| *label == part.to_string())
        })
        .flat_map(|one| &one.samples)
        .filter_map(|(_, value)| value.parse::<f64>().ok())
        .map(|value| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "small counts"
            )]
            let value = value as u64;
            value
        })
        .collect();
    let value = |number: u64| number * SERIES + part;
    let lost: Vec<u64> = ledger
        .iter()
        .map(|one| one.number)
        .filter(|number| !samples.contains(&value(*number)))
        .collect();
    // The scrape in flight at a stop was answered, but its answer was never acknowledged as stored.
    let excused: Vec<u64> = lost
        .iter()
        .copied()
        .filter(|number| cuts.iter().any(|cut| *cut as u64 == number + 1))
        .collect();
    let twice = samples.windows(2).filter(|pair| pair[0] == pair[1]).count();
    let backwards = samples.windows(2).filter(|pair| pair[1] < pair[0]).count();
    let unexcused: Vec<&u64> = lost.iter().filter(|number| !excused.contains(number)).collect();
    let foreign = samples.iter().filter(|value| *value % SERIES != part).count();
    let holds = unexcused.is_empty() && twice == 0 && backwards == 0 && foreign == 0;
    Finding::of(format!("counter {part} through a restart and a kill"))
        .declared(format!("{} scrapes answered", ledger.len()))
        .observed(format!(
            "{} stored, {} lost ({} in flight at a stop), {twice} twice, {backwards} out of order, {foreign} altered",
            samples.len(),
            lost.len(),
            excused.len()
        ))
        .bound("0 lost, 0 twice, 0 out of order, 0 altered")
        .judge(holds, || match unexcused.first() {
            Some(first) => format!(
                "{} answered scrapes are not stored, the first is number {first} of {}",
                unexcused.len(),
                ledger.len()
            ),
            None => "samples are stored twice, out of order or altered".to_owned(),
        })
}

/// The stored samples keep the asked interval while the server runs.
fn cadence(stored: &[Series], ledger: &[Served], cuts: &[usize]) -> Finding {
    let asked = INTERVAL.as_secs_f64();
    let gap = ledger
        .windows(2)
        .filter(|pair| !cuts.iter().any(|cut| *cut as u64 == pair[1].number))
        .map(|pair| pair[1].at - pair[0].at)
        .fold(0.0, f64::max);
    Finding::of("longest gap between scrapes while it ran")
        .declared(asked)
        .observed(format!("{gap:.2}"))
        .bound(format!("below {}", asked * LATE))
        .unit("s")
        .judge(gap < asked * LATE && !stored.is_empty(), || {
            "the server scrapes less often than asked".to_owned()
        })
}
