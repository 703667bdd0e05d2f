//! How often services are scraped: the default interval, and the shorter one of critical services.
//!
//! Judged on the gaps between the stored samples of `up`, which Prometheus writes at every scrape
//! with the instant the scrape was due (scrape/scrape.go, Prometheus 3.16). Real seconds pass here:
//! this is the one case of the profile that cannot bend time.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use harness::case::{Case, CaseError, Context};
use harness::component::prometheus::{ActiveTarget, Series};
use harness::drawing::{DistributionRow, Drawing};
use harness::finding::{Finding, Findings};
use harness::mutant::{Edit, Mutant};
use harness::render::ResolvedTarget;
use harness::render::prometheus::targets;
use harness::stack::Capability;
use harness::units::Span;
use harness::verdict::Level;
use harness::wait::{Look, Wait};

/// Gaps between scrapes that every target has to show.
const GAPS: usize = 2;

/// The case.
pub(super) fn case() -> Case {
    Case {
        id: "metrics/scrape-cadence",
        claim: "critical services are scraped at their short interval and all others at the default one",
        level: Level::Must,
        promises: &[
            "metrics-scrape-interval-default",
            "metrics-scrape-interval-critical",
        ],
        needs: &[Capability::Prometheus],
        profiles: &["core"],
        excludes: &[],
        disturbs: None,
        bound: Duration::from_secs(150),
        run: |context| Box::pin(run(context)),
        mutants,
    }
}

fn mutants() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "default-doubled",
            "the Prometheus object scrapes half as often as promised",
            Edit::set("Prometheus/prometheus", "/spec/scrapeInterval", "60s"),
        ),
        Mutant::new(
            "critical-at-default",
            "a critical service's monitor has lost its own interval",
            Edit::remove("ServiceMonitor/api-gateway", "/spec/endpoints/0/interval"),
        ),
        Mutant::new(
            "critical-too-often",
            "a critical service is scraped three times as often as promised",
            Edit::set("ServiceMonitor/ml-service", "/spec/endpoints/0/interval", "5s"),
        )
        .and(Edit::set(
            "ServiceMonitor/ml-service",
            "/spec/endpoints/0/scrapeTimeout",
            "5s",
        )),
        Mutant::new(
            "drifted",
            "the server runs with a shorter default interval than declared",
            Edit::rendered_text("prometheus.yml", "scrape_interval: 30s", "scrape_interval: 20s"),
        ),
        Mutant::new(
            "target-gone",
            "the server scrapes one job's targets through a path that does not answer in time",
            Edit::rendered_text("prometheus.yml", "scrape_timeout: 10s", "scrape_timeout: 1ms"),
        ),
    ]
}

/// A target, with what was promised for it.
struct Expected {
    resolved: ResolvedTarget,
    critical: bool,
    interval: Duration,
    jitter: Duration,
}

async fn run(context: Context) -> Result<Findings, CaseError> {
    let mut findings = Findings::new();
    let expected = expected(&context)?;
    let active = discovered(&context, &expected).await?;
    let configured = settings(&expected, &active, &mut findings);

    // A configuration that already breaks the promise is not worth a minute of watching.
    let bound = if configured {
        longest_wait(&expected)
    } else {
        Duration::from_secs(5)
    };
    context
        .progress
        .step("", format!("watching scrapes, at most {}", Span(bound)));
    let scraped = watch(&context, &expected, bound).await?;
    let mut rows = BTreeMap::new();
    for target in &expected {
        cadence(target, &scraped, &mut findings, &mut rows);
    }
    findings.draw(Drawing::Distribution {
        title: "Seconds between scrapes, by job".to_owned(),
        unit: "s".to_owned(),
        rows: rows.into_values().collect(),
    });
    Ok(findings)
}

/// The active targets once as many are known as are declared, or what there is after half a minute:
/// Prometheus takes up what discovery finds every five seconds (discovery/manager.go, 3.16).
async fn discovered(context: &Context, expected: &[Expected]) -> Result<Vec<ActiveTarget>, CaseError> {
    let server = &context.stack.prometheus;
    let declared: usize = expected.iter().map(|one| one.resolved.instances).sum();
    context
        .progress
        .step("", format!("waiting until {declared} targets are known"));
    let waited = Wait::new("every declared target known", Duration::from_secs(30))
        .every(Duration::from_millis(100))
        .until(async || match server.targets().await {
            Err(error) => Look::Missing(error.to_string()),
            Ok(active) if active.len() >= declared => Look::Ready(active),
            Ok(active) => Look::Missing(format!("{} of {declared} are known", active.len())),
        })
        .await;
    match waited {
        Ok(active) => Ok(active),
        // Which are missing is judged target by target.
        Err(_) => Ok(server.targets().await?),
    }
}

fn expected(context: &Context) -> Result<Vec<Expected>, CaseError> {
    let contract = &context.contract;
    let critical = contract.texts("metrics-scrape-interval-critical", "services")?;
    let value = |promise: &str, value: &str| contract.duration(promise, value);
    let resolved =
        targets(&context.tree, &context.shapes).map_err(|error| CaseError::Failed(error.to_string()))?;
    resolved
        .into_iter()
        .map(|resolved| {
            let is_critical = critical.contains(&resolved.job);
            let promise = if is_critical {
                "metrics-scrape-interval-critical"
            } else {
                "metrics-scrape-interval-default"
            };
            Ok(Expected {
                resolved,
                critical: is_critical,
                interval: value(promise, "interval")?,
                jitter: value(promise, "jitter")?,
            })
        })
        .collect()
}

/// Time for a first scrape, the gaps and the jitter of each.
fn longest_wait(expected: &[Expected]) -> Duration {
    let gaps = u32::try_from(GAPS).unwrap_or(1);
    expected
        .iter()
        .map(|one| (one.interval + one.jitter) * (gaps + 1))
        .max()
        .unwrap_or_default()
}

/// What is declared and what is in force; whether all of it is as promised.
fn settings(expected: &[Expected], active: &[ActiveTarget], findings: &mut Findings) -> bool {
    let mut all = true;
    for target in expected {
        let effective: Vec<&ActiveTarget> = active
            .iter()
            .filter(|one| one.scrape_pool == target.resolved.scrape_job)
            .collect();
        let wrong = effective.iter().find(|one| {
            !one.scrape_interval
                .parse::<Span>()
                .is_ok_and(|span| span.0 == target.interval)
        });
        let declared = target.resolved.interval;
        let holds =
            declared.0 == target.interval && wrong.is_none() && effective.len() == target.resolved.instances;
        all &= holds;
        let kind = if target.critical {
            "a critical service"
        } else {
            "not a critical service"
        };
        findings.push(
            Finding::of(format!("interval of {}", target.resolved.job))
                .declared(declared)
                .effective(match (effective.first(), wrong) {
                    (None, _) => "no target",
                    (_, Some(wrong)) => &wrong.scrape_interval,
                    (Some(first), None) => &first.scrape_interval,
                })
                .bound(Span(target.interval))
                .judge(holds, || {
                    if declared.0 != target.interval {
                        format!(
                            "{} declares {declared}, but {} is {kind} and {} is promised",
                            target.resolved.monitor,
                            target.resolved.job,
                            Span(target.interval)
                        )
                    } else if let Some(wrong) = wrong {
                        format!(
                            "the server scrapes {} every {}",
                            wrong.scrape_url, wrong.scrape_interval
                        )
                    } else {
                        format!(
                            "the server has {} targets of {} where {} are declared",
                            effective.len(),
                            target.resolved.monitor,
                            target.resolved.instances
                        )
                    }
                }),
        );
    }
    all
}

/// Samples of `up` by scrape job, as soon as every target has shown its gaps, or what there is at the bound.
async fn watch(context: &Context, expected: &[Expected], bound: Duration) -> Result<Vec<Series>, CaseError> {
    let window = Span(Duration::from_secs(bound.as_secs() + 300));
    let selector = format!("up[{window}]");
    let latest = Mutex::new(Vec::new());
    let waited = Wait::new("enough scrapes of every target", bound)
        .every(Duration::from_millis(500))
        .until(
            async || match context.stack.prometheus.raw(&selector, None).await {
                Err(error) => Look::Missing(error.to_string()),
                Ok(series) => {
                    latest
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .clone_from(&series);
                    let short = expected.iter().find_map(|target| {
                        let of: Vec<&Series> = of(&series, &target.resolved).collect();
                        let seen = of.iter().map(|one| one.samples.len()).min().unwrap_or_default();
                        (of.len() < target.resolved.instances || seen <= GAPS)
                            .then(|| format!("{} has {seen} scrapes of {}", target.resolved.job, GAPS + 1))
                    });
                    short.map_or(Look::Ready(()), Look::Missing)
                }
            },
        )
        .await;
    // What is missing at the bound is judged target by target.
    drop(waited);
    let latest = latest.into_inner().unwrap_or_else(PoisonError::into_inner);
    if latest.is_empty() {
        return Err(CaseError::Environment(
            "prometheus answers no query for `up`".to_owned(),
        ));
    }
    Ok(latest)
}

fn of<'a>(series: &'a [Series], target: &'a ResolvedTarget) -> impl Iterator<Item = &'a Series> {
    series
        .iter()
        .filter(|one| one.labels.get("job").is_some_and(|job| *job == target.job))
}

/// Gaps between the samples of each of the target's instances.
fn cadence(
    target: &Expected,
    scraped: &[Series],
    findings: &mut Findings,
    rows: &mut BTreeMap<String, DistributionRow>,
) {
    let job = &target.resolved.job;
    let (mut gaps, mut down, mut short) = (Vec::new(), None, None);
    for series in of(scraped, &target.resolved) {
        let instance = series.labels.get("instance").cloned().unwrap_or_default();
        gaps.extend(series.samples.windows(2).map(|pair| pair[1].0 - pair[0].0));
        if series.samples.iter().any(|(_, up)| up != "1") {
            down = Some(instance.clone());
        }
        if series.samples.len() <= GAPS {
            short = Some((instance, series.samples.len()));
        }
    }
    let promised = target.interval.as_secs_f64();
    let jitter = target.jitter.as_secs_f64();
    let off = gaps
        .iter()
        .copied()
        .max_by(|a, b| (a - promised).abs().total_cmp(&(b - promised).abs()));
    let holds = down.is_none() && short.is_none() && off.is_some_and(|gap| (gap - promised).abs() <= jitter);
    findings.push(
        Finding::of(format!("gaps between scrapes of {job}"))
            .declared(target.resolved.interval)
            .observed(off.map_or_else(
                || "no gap seen".to_owned(),
                |gap| format!("{gap:.3} (of {})", gaps.len()),
            ))
            .bound(format!("{promised} ± {jitter}"))
            .unit("s")
            .judge(holds, || {
                if let Some(instance) = down {
                    format!("a scrape of {instance} failed")
                } else if let Some((instance, seen)) = short {
                    format!(
                        "{instance} was scraped {seen} times in the time that {} scrapes take",
                        GAPS + 1
                    )
                } else {
                    format!("{promised} s are promised, the furthest gap is off by more than {jitter} s")
                }
            }),
    );
    rows.insert(
        job.clone(),
        DistributionRow {
            label: job.clone(),
            target: promised,
            tolerance: jitter,
            values: gaps,
        },
    );
}
