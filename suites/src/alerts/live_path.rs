//! A breach is scraped, pending, firing, notified and, once over, notified as resolved, each within
//! its own bound.
//!
//! Method: a production alert, chosen from the tree because it reads gauges at one instant, is scaled
//! in time and loaded by a Prometheus that scrapes and evaluates every second; a target of the case's
//! own exposes its input and turns from healthy to breach and back at known instants. The bounds are
//! the configured intervals and the contract's slack.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::FutureExt;
use harness::case::{Case, CaseError, Context};
use harness::clock::unix_seconds;
use harness::component::prometheus::Prometheus;
use harness::deploy::RuleGroup;
use harness::drawing::{Drawing, Lane, Mark};
use harness::emit::target::ScrapeTarget;
use harness::finding::{Figure, Finding, Findings};
use harness::judge::alerts::candidate::{Candidate, candidates};
use harness::judge::alerts::expression::normalised;
use harness::judge::alerts::notification::Notification;
use harness::mutant::{Edit, Mutant};
use harness::render::scaled::{Scaled, scale, source};
use harness::stack::{Capability, OwnJob, PrometheusClone, RuleSet, Scrapes};
use harness::units::Span;
use harness::verdict::{Level, Verdict};
use harness::wait::{Look, Wait};
use harness::wire::exposition::{Family, Metric, Value};

use super::path::{Expected, Labels, NotificationPath, pairs};
use super::pulse::{CLOCK_TOLERANCE, Pulse};
use super::{FILE, SECRET, tree};

/// Scrape and evaluation interval of the scaled copy.
const INTERVAL: Duration = Duration::from_secs(1);
/// What `for` of the scaled copy comes to, at least: some evaluations of being pending.
const HOLD: Duration = Duration::from_secs(4);
/// 10 s of group wait become a sixth of a second, 5 min of group interval 5 s.
const DIVISOR: u32 = 60;

/// The case.
#[must_use]
pub(super) fn case() -> Case {
    Case {
        id: "alerts/live-path",
        claim: "a breach is scraped, pending, firing and notified, and its end notified, each within its configured interval",
        level: Level::Must,
        promises: &["alerts-detection", "alerts-notification", "alerts-resolved"],
        needs: &[Capability::Prometheus, Capability::Alertmanager],
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
            "critical-waits",
            "critical groups wait for ten minutes",
            Edit::replace_text(SECRET, FILE, "group_wait: 10s", "group_wait: 10m"),
        ),
        Mutant::new(
            "critical-goes-elsewhere",
            "Alertmanager runs with another path for critical notifications than declared",
            Edit::rendered_text("alertmanager.yml", "/alerts/critical", "/alerts/nowhere"),
        ),
        Mutant::new(
            "evaluation-drifts",
            "Prometheus evaluates every ten seconds instead of every second",
            Edit::rendered_text(
                "prometheus.yml",
                "evaluation_interval: ",
                "evaluation_interval: 10s # not ",
            ),
        ),
        Mutant::new(
            "scrape-drifts",
            "Prometheus scrapes every ten seconds instead of every second",
            Edit::rendered_text(
                "prometheus.yml",
                "scrape_interval: ",
                "scrape_interval: 10s # not ",
            ),
        ),
        Mutant::new(
            "dispatch-delayed",
            "Alertmanager runs with a delay before it dispatches anything",
            Edit::argument("alertmanager", "--dispatch.start-delay", Some("30s")),
        ),
    ]
}

/// The instants of one way through, unix seconds.
#[derive(Debug, Default, Clone, Copy)]
struct Way {
    flipped: f64,
    scraped: Option<f64>,
    pending: Option<f64>,
    firing: Option<f64>,
    notified: Option<f64>,
}

async fn run(context: Context) -> Result<Findings, CaseError> {
    let mut findings = Findings::new();
    let groups = context.tree.rule_groups()?;
    let candidate = choose(&groups, &context)?;
    let scaled = copy(&candidate)?;
    let detection = context.contract.duration("alerts-detection", "slack")?;
    let resolving = context.contract.duration("alerts-resolved", "slack")?;
    context.progress.step(
        "alerts/live-path",
        format!(
            "{} with durations divided by {}",
            candidate.rule.name, scaled.divisor
        ),
    );

    let breach = Arc::new(AtomicBool::new(false));
    let target = target(&candidate, &breach).await?;
    let path = NotificationPath::open(&context, "live-path", DIVISOR).await?;
    let prometheus = context
        .stack
        .workshop
        .prometheus(PrometheusClone {
            scrapes: Scrapes::Own(vec![OwnJob {
                job: candidate.job().unwrap_or_default(),
                address: target.address().to_string(),
                interval: INTERVAL,
                labels: Vec::new(),
                native_histograms: false,
            }]),
            rules: RuleSet::Own(vec![("live-path.yaml".to_owned(), scaled.text.clone())]),
            alertmanagers: vec![path.alertmanager.client().base().clone()],
            evaluation_interval: Some(INTERVAL),
            ..PrometheusClone::named("live-path")
        })
        .await?;
    let client = prometheus.client();
    ready(client, &target, &candidate).await?;
    for finding in copy_is_production(client, &candidate, &scaled).await? {
        findings.push(finding);
    }

    let pulse = Pulse::start();
    let labels = labels(&candidate);
    let expected = path.expected(&labels);
    let hold = scaled.group.rules[0].hold.0;
    let group_wait = expected.timing.group_wait.min(
        context
            .contract
            .duration("alerts-routing", "critical-group-wait")?
            / DIVISOR,
    );

    let mut way = Way {
        flipped: unix_seconds(),
        ..Way::default()
    };
    breach.store(true, Ordering::SeqCst);
    let up_to = 2 * INTERVAL + hold + group_wait;
    let notified = path.notified(&labels, "firing", 0, up_to).await;
    way.scraped = first_scrape(&target, &candidate, true, way.flipped);
    observe(client, &labels, &mut way).await?;
    let notification = match notified {
        Ok(notification) => notification,
        Err(why) => {
            findings.push(missing(&way, &why));
            return Ok(findings);
        }
    };
    way.notified = Some(notification.at);
    let slack = [detection, path.slack, resolving];
    for finding in there(
        &way,
        hold,
        group_wait,
        slack,
        &pulse,
        &expected,
        &notification,
        &candidate,
    ) {
        findings.push(finding);
    }

    let back = unix_seconds();
    breach.store(false, Ordering::SeqCst);
    let interval = expected.timing.group_interval;
    let resolved = path
        .notified(&labels, "resolved", notification.number, 2 * INTERVAL + interval)
        .await;
    let healthy = first_scrape(&target, &candidate, false, back);
    let last = last_firing(client, &labels).await?;
    findings.push(within(
        "from the end of the breach to the scrape that sees it",
        "scrape interval",
        INTERVAL,
        back,
        healthy,
        detection,
        &pulse,
    ));
    findings.push(within(
        "from that scrape to the last evaluation that still fires",
        "evaluation interval",
        INTERVAL,
        healthy.unwrap_or(back),
        last,
        detection,
        &pulse,
    ));
    let finding = Finding::of("from the end of the breach to the resolved notification").declared(format!(
        "{} scrape, {} evaluation, {} group interval",
        Span(INTERVAL),
        Span(INTERVAL),
        format_args!("{} / {DIVISOR}", Span(expected.declared.group_interval))
    ));
    match &resolved {
        Err(why) => findings.push(finding.judge(false, || why.clone())),
        Ok(resolved) => findings.push(pulse.judge(
            finding,
            resolved.at - back,
            (0.0, (2 * INTERVAL + interval + resolving).as_secs_f64()),
            resolving,
        )),
    }
    let end = resolved.as_ref().map_or_else(|_| unix_seconds(), |n| n.at);
    findings.figures.push(Figure {
        what: "live alert path, there and back".to_owned(),
        value: end - way.flipped,
        bound: context
            .contract
            .duration("harness-live-alert", "at-most")?
            .as_secs_f64(),
        at_least: false,
        unit: "s".to_owned(),
    });
    draw(
        &mut findings,
        &candidate,
        &way,
        [back, healthy.unwrap_or(back), last.unwrap_or(back), end],
        [
            (INTERVAL + detection).as_secs_f64(),
            (2 * INTERVAL + detection).as_secs_f64(),
            hold.as_secs_f64(),
            (hold + group_wait + path.slack).as_secs_f64(),
            (2 * INTERVAL + interval + resolving).as_secs_f64(),
        ],
    );
    Ok(findings)
}

/// The critical alert that waits the shortest of those that can be driven live, in the tree's order.
fn choose(groups: &[RuleGroup], context: &Context) -> Result<Candidate, CaseError> {
    candidates(groups, &tree::inputs(context)?)
        .into_iter()
        .filter(|candidate| candidate.rule.labels.get("severity").is_some_and(|s| s == "critical"))
        .filter(|candidate| candidate.rule.hold.0 >= HOLD)
        .min_by_key(|candidate| candidate.rule.hold)
        .ok_or_else(|| {
            CaseError::Failed(
                "the tree has no critical alert that reads gauges at one instant, with both phases in fixtures/alert-inputs.yaml".into(),
            )
        })
}

/// The alert's group scaled so that `for` lasts a few evaluations.
fn copy(candidate: &Candidate) -> Result<Scaled, CaseError> {
    let group = RuleGroup {
        interval: None,
        ..candidate.group.clone()
    };
    let most = candidate.rule.hold.0.as_secs() / HOLD.as_secs();
    (1..=u32::try_from(most).unwrap_or(u32::MAX))
        .rev()
        .find_map(|divisor| scale(&group, divisor).ok())
        .ok_or_else(|| CaseError::Failed(format!("{} cannot be scaled in time", candidate.rule.name)))
}

async fn target(candidate: &Candidate, breach: &Arc<AtomicBool>) -> Result<ScrapeTarget, CaseError> {
    let (healthy, broken) = (families(candidate, false), families(candidate, true));
    let breach = Arc::clone(breach);
    Ok(ScrapeTarget::start(move |_, _| {
        if breach.load(Ordering::SeqCst) {
            broken.clone()
        } else {
            healthy.clone()
        }
    })
    .await?)
}

fn families(candidate: &Candidate, breach: bool) -> Vec<Family> {
    let mut families: Vec<Family> = Vec::new();
    for series in candidate.exposed() {
        let metric = Metric {
            labels: series.labels,
            value: Value::Gauge(if breach { series.breach } else { series.healthy }),
        };
        match families.iter_mut().find(|family| family.name == series.metric) {
            Some(family) => family.metrics.push(metric),
            None => families.push(Family {
                name: series.metric,
                help: "Input of an alert under test.".into(),
                metrics: vec![metric],
            }),
        }
    }
    families
}

/// Waits until the healthy input is scraped and evaluated, and Alertmanager is known.
async fn ready(client: &Prometheus, target: &ScrapeTarget, candidate: &Candidate) -> Result<(), CaseError> {
    Wait::new("healthy input scraped and evaluated", Duration::from_secs(30))
        .every(Duration::from_millis(100))
        .until(|| async {
            let served = target.served().len();
            if served < 2 {
                return Look::Missing(format!("{served} scrapes served"));
            }
            match client.alertmanagers().await {
                Ok(known) if known.is_empty() => return Look::Missing("no Alertmanager is known".into()),
                Err(error) => return Look::Missing(error.to_string()),
                Ok(_) => {}
            }
            match client.rules().await {
                Ok(rules) => match rules.iter().find(|rule| rule.name == candidate.rule.name) {
                    Some(rule) if rule.health == "ok" && rule.state == "inactive" => Look::Ready(()),
                    Some(rule) => Look::Missing(format!("the rule is {} and {}", rule.health, rule.state)),
                    None => Look::Missing("the rule is not loaded".into()),
                },
                Err(error) => Look::Missing(error.to_string()),
            }
        })
        .await
        .map_err(|error| CaseError::Environment(error.to_string()))
}

/// The scaled copy is the production text, scaled and nothing else.
async fn copy_is_production(
    client: &Prometheus,
    candidate: &Candidate,
    scaled: &Scaled,
) -> Result<Vec<Finding>, CaseError> {
    let production = source(&RuleGroup {
        interval: None,
        ..candidate.group.clone()
    })
    .map_err(|error| CaseError::Failed(error.to_string()))?;
    let rule = &candidate.rule;
    let loaded = client.rules().await?;
    let loaded = loaded.iter().find(|loaded| loaded.name == rule.name);
    let copy = &scaled.group.rules[0];
    let same = loaded.is_some_and(|loaded| {
        normalised(&loaded.query) == normalised(&copy.expr)
            && (loaded.duration - copy.hold.0.as_secs_f64()).abs() < 1e-3
    });
    Ok(vec![
        Finding::of("the production rule that the copy was scaled from")
            .declared(format!(
                "{} of {}, SHA-256 {production}",
                rule.name, candidate.group.object
            ))
            .effective(format!("SHA-256 {}", scaled.source))
            .judge(production == scaled.source, || {
                "the copy was made of another text".into()
            }),
        Finding::of("the copy as loaded")
            .declared(format!("{} for {} / {}", rule.expr, rule.hold, scaled.divisor))
            .effective(loaded.map_or("not loaded".to_owned(), |loaded| {
                format!("{} for {}", loaded.query, seconds(loaded.duration))
            }))
            .judge(same, || {
                "Prometheus runs another rule than the scaled copy".into()
            }),
    ])
}

fn seconds(seconds: f64) -> String {
    Duration::try_from_secs_f64(seconds).map_or_else(|_| format!("{seconds} s"), |d| Span(d).to_string())
}

/// Labels of the alert as notified, the instance apart.
fn labels(candidate: &Candidate) -> Labels {
    let mut labels = candidate.labels();
    labels.insert("alertname".to_owned(), candidate.rule.name.clone());
    if let Some(severity) = candidate.rule.labels.get("severity") {
        labels.insert("severity".to_owned(), severity.clone());
    }
    labels
}

fn first_scrape(target: &ScrapeTarget, candidate: &Candidate, breach: bool, from: f64) -> Option<f64> {
    let families = families(candidate, breach);
    target
        .served()
        .iter()
        .find(|served| served.at >= from - CLOCK_TOLERANCE && *served.families == families)
        .map(|served| served.at)
}

fn selector(metric: &str, labels: &Labels, more: &str) -> String {
    let matchers: Vec<String> = pairs(labels)
        .iter()
        .map(|(name, value)| format!("{name}={value:?}"))
        .collect();
    format!("{metric}{{{}{more}}}[10m]", matchers.join(","))
}

async fn observe(client: &Prometheus, labels: &Labels, way: &mut Way) -> Result<(), CaseError> {
    for (state, instant) in [("pending", &mut way.pending), ("firing", &mut way.firing)] {
        let more = format!(",alertstate={state:?}");
        let series = client.raw(&selector("ALERTS", labels, &more), None).await?;
        *instant = series
            .iter()
            .flat_map(|series| &series.samples)
            .map(|(at, _)| *at)
            .reduce(f64::min);
    }
    Ok(())
}

async fn last_firing(client: &Prometheus, labels: &Labels) -> Result<Option<f64>, CaseError> {
    let firing = client
        .raw(&selector("ALERTS", labels, ",alertstate=\"firing\""), None)
        .await?;
    Ok(firing
        .iter()
        .flat_map(|series| &series.samples)
        .map(|(at, _)| *at)
        .reduce(f64::max))
}

/// How far an alert came that was not notified.
fn missing(way: &Way, why: &str) -> Finding {
    let reached = if way.firing.is_some() {
        "it fires, but was not notified"
    } else if way.pending.is_some() {
        "it is pending, but never fired"
    } else if way.scraped.is_some() {
        "the breach was scraped, but the alert is not pending"
    } else {
        "the breach was not scraped"
    };
    Finding::of("from the breach to its notification")
        .observed(reached)
        .judge(false, || format!("{reached}: {why}"))
}

/// The way from breach to notification, hop by hop.
#[expect(
    clippy::too_many_arguments,
    reason = "one value for each hop's configuration and what was seen"
)]
fn there(
    way: &Way,
    hold: Duration,
    group_wait: Duration,
    [detection, notifying, _]: [Duration; 3],
    pulse: &Pulse,
    expected: &Expected,
    notification: &Notification,
    candidate: &Candidate,
) -> Vec<Finding> {
    let scraped = way.scraped.unwrap_or(way.flipped);
    let pending = way.pending.unwrap_or(scraped);
    let firing = way.firing.unwrap_or(pending);
    let mut pended = Finding::of("from pending to firing").declared(format!(
        "{} / {}",
        candidate.rule.hold,
        (candidate.rule.hold.0.as_millis() / hold.as_millis().max(1))
    ));
    pended = match way.firing {
        None => pended.judge(false, || "no evaluation stored that it fires".into()),
        Some(firing) => pulse.judge(
            pended,
            firing - pending,
            (hold.as_secs_f64(), (hold + INTERVAL + detection).as_secs_f64()),
            detection,
        ),
    };
    let told = pulse.judge(
        Finding::of("from firing to the notification")
            .declared(format!("{} / {DIVISOR}", Span(expected.declared.group_wait))),
        notification.at - firing,
        (0.0, (group_wait + notifying).as_secs_f64()),
        notifying,
    );
    vec![
        within(
            "from the breach to the scrape that sees it",
            "scrape interval",
            INTERVAL,
            way.flipped,
            way.scraped,
            detection,
            pulse,
        ),
        within(
            "from that scrape to pending",
            "evaluation interval",
            INTERVAL,
            scraped,
            way.pending,
            detection,
            pulse,
        ),
        pended,
        told,
        Finding::of("channel of the notification")
            .declared(expected.paths.join(", "))
            .observed(&notification.path)
            .bound("the critical channel")
            .judge(
                expected.paths.contains(&notification.path) && notification.path.ends_with("/critical"),
                || format!("it arrived at {}", notification.path),
            ),
    ]
}

fn within(
    what: &str,
    configured: &str,
    interval: Duration,
    from: f64,
    at: Option<f64>,
    slack: Duration,
    pulse: &Pulse,
) -> Finding {
    let finding = Finding::of(what).declared(format!("{configured} {}", Span(interval)));
    let Some(at) = at else {
        return finding.verdict(Verdict::Fail, "it never came");
    };
    // An evaluation carries the instant it was due, which may lie before the scrape it sees has ended.
    let latest = (interval + slack).as_secs_f64();
    pulse.judge(finding, at - from, (-slack.as_secs_f64(), latest), slack)
}

fn draw(
    findings: &mut Findings,
    candidate: &Candidate,
    way: &Way,
    [back, healthy, last, end]: [f64; 4],
    [scrape, evaluation, hold, wait, resolve]: [f64; 5],
) {
    let mark = |label: &str, at: f64, earliest: f64, latest: f64| Mark {
        label: label.into(),
        at,
        earliest: Some(earliest),
        latest: Some(latest),
        holds: at >= earliest - CLOCK_TOLERANCE && at <= latest + CLOCK_TOLERANCE,
    };
    let from = way.flipped;
    let mut marks = Vec::new();
    for (label, at, earliest, latest) in [
        ("scraped", way.scraped, 0.0, scrape),
        ("pending", way.pending, 0.0, evaluation),
        (
            "firing",
            way.firing,
            hold,
            evaluation + hold + INTERVAL.as_secs_f64(),
        ),
        (
            "notified",
            way.notified,
            hold,
            evaluation + wait + INTERVAL.as_secs_f64(),
        ),
    ] {
        if let Some(at) = at {
            marks.push(mark(label, at - from, earliest, latest));
        }
    }
    findings.draw(Drawing::Timeline {
        title: format!("The way of {}, scaled in time", candidate.rule.name),
        lanes: vec![
            Lane {
                label: "from the breach".into(),
                marks,
            },
            Lane {
                label: "from its end".into(),
                marks: vec![
                    mark("scraped", healthy - back, 0.0, scrape),
                    mark(
                        "last evaluation that fires",
                        last - back,
                        -INTERVAL.as_secs_f64(),
                        evaluation,
                    ),
                    mark("notified as resolved", end - back, 0.0, resolve),
                ],
            },
        ],
    });
}
