//! The edge of an unmodified `for` of minutes, seen in seconds.
//!
//! Method: Prometheus restores the state of pending alerts after a restart from `ALERTS_FOR_STATE`. A
//! clone is started on a history in which three alerts of one production rule, unmodified, differ
//! only in how long they have been pending: one for longer than `for`, one for a few seconds less,
//! one not at all. The first must fire at once, the second exactly when its `for` is over, the third
//! must still be pending then.
//!
//! Facts (Prometheus 3.16, rules/group.go, `RestoreForState`): restoration runs after the second
//! evaluation, and no state is stored before it; an alert that had been pending for `for` by its last sample keeps its instant; any
//! other keeps the time it has left, counted from the restoration; rules whose `for` is shorter than
//! --rules.alert.for-grace-period are not restored, and no alert fires sooner than that after it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::FutureExt;
use harness::case::{Case, CaseError, Context};
use harness::clock::unix_seconds;
use harness::component::prometheus::{ActiveAlert, Prometheus, Series};
use harness::deploy::RuleGroup;
use harness::drawing::{Drawing, Lane, Mark};
use harness::finding::{Finding, Findings};
use harness::judge::alerts::candidate::{Candidate, candidates};
use harness::judge::alerts::expression::normalised;
use harness::mutant::{Edit, Mutant};
use harness::render::rules;
use harness::render::scaled::source;
use harness::stack::{Capability, PrometheusClone, PrometheusInstance, RuleSet};
use harness::units::Span;
use harness::verdict::Level;
use harness::wait::{Look, Wait};
use harness::wire::openmetrics::{Kind, OpenMetricsError, Writer};

use super::path::{Labels, pairs};
use super::pulse::Pulse;
use super::tree;

/// Evaluation interval of the clone.
const INTERVAL: Duration = Duration::from_secs(1);
/// What the second alert has left of its `for` when its history ends: enough evaluations to see it
/// pending after the restoration.
const LEFT: Duration = Duration::from_secs(6);
/// How far the first alert is beyond its `for` when its history ends.
const BEYOND: Duration = Duration::from_secs(6);
/// Longest history that is restored (`--rules.alert.for-outage-tolerance`, Prometheus 3).
const OUTAGE_TOLERANCE: Duration = Duration::from_hours(1);
/// From the restoration to the first evaluation that stores what was restored.
const RESTORED_BY: u32 = 1;

/// The case.
#[must_use]
pub(super) fn case() -> Case {
    Case {
        id: "alerts/for-edge",
        claim: "an alert fires when its declared `for` is over, at the next evaluation and not before, also across a restart",
        level: Level::Must,
        promises: &["alerts-pending-warning", "alerts-liveness"],
        needs: &[Capability::Prometheus, Capability::Promtool],
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
            "history-not-restored",
            "Prometheus runs with an outage tolerance that forgets how long alerts have been pending",
            Edit::argument("prometheus", "--rules.alert.for-outage-tolerance", Some("1s")),
        ),
        Mutant::new(
            "restored-late",
            "Prometheus runs with a grace period longer than any `for`",
            Edit::argument("prometheus", "--rules.alert.for-grace-period", Some("1h")),
        ),
        Mutant::new(
            "for-drifts",
            "Prometheus runs with a shorter `for` than declared",
            Edit::rendered_text("monitoring-alerts-ml.yaml", "for: 15m", "for: 14m55s"),
        ),
    ]
}

/// One of the three alerts.
struct Twin {
    /// What it is, as a clause.
    what: &'static str,
    /// Suffix of its distinguishing label.
    suffix: &'static str,
    /// How long it has been pending when its history ends, none without a history.
    pending: Option<Duration>,
}

async fn run(context: Context) -> Result<Findings, CaseError> {
    let groups = context.tree.rule_groups()?;
    let (candidate, label) = choose(&groups, &context)?;
    let hold = candidate.rule.hold.0;
    let slack = context.contract.duration("alerts-detection", "slack")?;
    let twins = [
        Twin {
            what: "pending for longer than its `for`",
            suffix: "beyond",
            pending: Some(hold + BEYOND),
        },
        Twin {
            what: "pending for a little less",
            suffix: "short",
            pending: Some(hold.saturating_sub(LEFT)),
        },
        Twin {
            what: "not pending before",
            suffix: "fresh",
            pending: None,
        },
    ];
    context.progress.step(
        "alerts/for-edge",
        format!("{}, {} unmodified", candidate.rule.name, candidate.rule.hold),
    );

    let group = RuleGroup {
        interval: None,
        ..candidate.group.clone()
    };
    let text = rules::text([&group]).map_err(|error| CaseError::Failed(error.to_string()))?;
    // As the operator names the file of the object, so that what happens to it happens to the copy.
    let object = group.object.rsplit('/').next().unwrap_or_default();
    let file = format!("{}-{object}.yaml", group.namespace);
    let scout = scout(&context, &candidate, &label, &twins, (&file, &text)).await?;
    let ends = floor(unix_seconds());
    let data = backfill(
        &context,
        "for-edge",
        &candidate,
        &label,
        &twins,
        Some((&scout, ends)),
    )
    .await?;
    let started = unix_seconds();
    let clone = clone(&context, "for-edge", data, (&file, &text)).await?;
    let client = clone.client();
    let pulse = Pulse::start();

    let mut findings = Findings::new();
    findings.push(unmodified(client, &group, &candidate).await?);
    let short = &scout[1];
    let fired = Wait::new(
        "the alert that had a little of its `for` left fires",
        LEFT + RESTORED_BY * INTERVAL + Duration::from_secs(15),
    )
    .every(Duration::from_millis(200))
    .until(|| async {
        match client.alerts().await {
            Ok(alerts) => match find(&alerts, short).map_or("inactive", |alert| alert.state.as_str()) {
                "firing" => Look::Ready(()),
                state => Look::Missing(format!("it is {state}")),
            },
            Err(error) => Look::Missing(error.to_string()),
        }
    })
    .await;

    let mut lanes = Vec::new();
    let mut courses = Vec::new();
    let active = client.alerts().await?;
    for (twin, labels) in twins.iter().zip(&scout) {
        let course = course(client, &active, labels, started).await?;
        lanes.push(lane(twin, &course, hold, started));
        courses.push(course);
    }
    let [beyond, short_course, fresh] = &courses[..] else {
        return Err(CaseError::Environment(
            "three alerts were set up, others were found".into(),
        ));
    };
    // The first evaluation after the restoration: earlier ones store nothing.
    let first = courses
        .iter()
        .filter_map(|course| course.first)
        .reduce(f64::min)
        .unwrap_or(started);

    let finding =
        Finding::of(format!("the alert {}", twins[0].what)).declared(format!("for {}", candidate.rule.hold));
    findings.push(match beyond.firing {
        None => finding.judge(false, || {
            format!("it did not fire: {}", fired_error(&fired, beyond))
        }),
        Some(firing) => pulse.judge(
            finding,
            firing - first,
            (0.0, (RESTORED_BY * INTERVAL + slack).as_secs_f64()),
            slack,
        ),
    });

    let finding = Finding::of(format!(
        "the alert {}: from the restored start to firing",
        twins[1].what
    ))
    .declared(format!("for {}", candidate.rule.hold));
    findings.push(match (short_course.firing, short_course.active) {
        (Some(firing), Some(active)) => pulse.judge(
            finding,
            firing - active,
            (hold.as_secs_f64(), (hold + INTERVAL + slack).as_secs_f64()),
            slack,
        ),
        _ => finding.judge(false, || {
            format!("it did not fire: {}", fired_error(&fired, short_course))
        }),
    });
    let finding = Finding::of(format!(
        "the alert {}: from the first stored evaluation to firing",
        twins[1].what
    ))
    .declared(format!(
        "{} of `for` left, counted from the restoration",
        Span(LEFT)
    ));
    findings.push(match short_course.firing {
        Some(firing) => pulse.judge(
            finding,
            firing - first,
            (
                LEFT.saturating_sub(RESTORED_BY * INTERVAL).as_secs_f64(),
                (LEFT + RESTORED_BY * INTERVAL + slack).as_secs_f64(),
            ),
            slack,
        ),
        None => finding.judge(false, || "it did not fire".into()),
    });
    let before = short_course
        .pending
        .zip(short_course.active)
        .map(|(pending, active)| pending - active);
    findings.push(
        Finding::of(format!(
            "the alert {}: last evaluation before its edge",
            twins[1].what
        ))
        .declared(format!("pending until {}", candidate.rule.hold))
        .observed(before.map_or("never pending".to_owned(), |age| format!("pending at {age:.2}")))
        .bound(format!("pending, and less than {}", hold.as_secs()))
        .unit("s")
        .judge(before.is_some_and(|age| age < hold.as_secs_f64()), || {
            "it was not seen pending before it fired".into()
        }),
    );
    findings.push(
        Finding::of(format!("the alert {}", twins[2].what))
            .declared(format!("for {}", candidate.rule.hold))
            .observed(if fresh.firing.is_some() {
                "firing"
            } else if fresh.pending.is_some() {
                "pending"
            } else {
                "inactive"
            })
            .bound("pending while its twins fire")
            .judge(fresh.firing.is_none() && fresh.pending.is_some(), || {
                "it must be pending: its condition holds, and its `for` is not over".into()
            }),
    );
    findings.draw(Drawing::Timeline {
        title: format!("The edge of {} of {}", candidate.rule.hold, candidate.rule.name),
        lanes,
    });
    Ok(findings)
}

fn fired_error(fired: &Result<(), harness::wait::WaitError>, course: &Course) -> String {
    let state = if course.pending.is_some() {
        "pending"
    } else {
        "inactive"
    };
    match fired {
        Ok(()) => format!("it is {state}"),
        Err(error) => format!("it is {state}; {error}"),
    }
}

/// The alert with the longest restorable `for` whose labels can tell three series apart, in the tree's order.
fn choose(groups: &[RuleGroup], context: &Context) -> Result<(Candidate, String), CaseError> {
    candidates(groups, &tree::inputs(context)?)
        .into_iter()
        .filter(|candidate| candidate.rule.hold.0 > LEFT && candidate.rule.hold.0 + BEYOND < OUTAGE_TOLERANCE)
        .filter_map(|candidate| {
            let label = candidate.distinguishing_label()?;
            Some((candidate, label))
        })
        // The first of the longest: max_by_key would take the last.
        .reduce(|best, next| {
            if next.0.rule.hold > best.0.rule.hold {
                next
            } else {
                best
            }
        })
        .ok_or_else(|| {
            CaseError::Failed(
                "the tree has no alert that reads gauges at one instant and keeps one of their labels".into(),
            )
        })
}

/// Labels of the three alerts, in the order of the twins, as a clone without history gives them.
async fn scout(
    context: &Context,
    candidate: &Candidate,
    label: &str,
    twins: &[Twin],
    rules: (&str, &str),
) -> Result<Vec<Labels>, CaseError> {
    let data = backfill(context, "for-edge-scout", candidate, label, twins, None).await?;
    let clone = clone(context, "for-edge-scout", data, rules).await?;
    let client = clone.client();
    let base = candidate.input.labels.get(label).cloned().unwrap_or_default();
    let found = Wait::new(
        "three alerts pending on a clone without history",
        Duration::from_secs(30),
    )
    .every(Duration::from_millis(100))
    .until(|| async {
        match client.alerts().await {
            Ok(alerts) => {
                let labels: Vec<Labels> = twins
                    .iter()
                    .filter_map(|twin| {
                        let value = value(&base, twin);
                        alerts
                            .iter()
                            .find(|alert| alert.labels.get(label) == Some(&value))
                            .map(|alert| alert.labels.clone())
                    })
                    .collect();
                if labels.len() == twins.len() {
                    Look::Ready(labels)
                } else {
                    Look::Missing(format!("{} of {} are pending", labels.len(), twins.len()))
                }
            }
            Err(error) => Look::Missing(error.to_string()),
        }
    })
    .await;
    found.map_err(|error| {
        CaseError::Failed(format!(
            "{} is not pending on its breaching input: {error}",
            candidate.rule.name
        ))
    })
}

fn value(base: &str, twin: &Twin) -> String {
    format!("{base}-{}", twin.suffix)
}

async fn clone(
    context: &Context,
    name: &str,
    data: PathBuf,
    (file, text): (&str, &str),
) -> Result<Box<dyn PrometheusInstance>, CaseError> {
    Ok(context
        .stack
        .workshop
        .prometheus(PrometheusClone {
            data: Some(data),
            rules: RuleSet::Own(vec![(file.to_owned(), text.to_owned())]),
            evaluation_interval: Some(INTERVAL),
            arguments: vec![(
                "--rules.alert.for-grace-period".to_owned(),
                Some("1s".to_owned()),
                "what is left of `for` is seen to elapse within seconds of the start".to_owned(),
            )],
            ..PrometheusClone::named(name)
        })
        .await?)
}

/// A TSDB folder with the breaching input of the three, fresh enough to be read for minutes, and with
/// their history where there is one: the labels of the three and the instant it ends.
async fn backfill(
    context: &Context,
    name: &str,
    candidate: &Candidate,
    label: &str,
    twins: &[Twin],
    history: Option<(&[Labels], f64)>,
) -> Result<PathBuf, CaseError> {
    let folder = context.stack.workshop.scratch(name)?;
    let ends = history.map_or_else(|| floor(unix_seconds()), |(_, ends)| ends);
    let file = folder.join("history.om");
    write(&file, candidate, label, twins, history, ends)
        .map_err(|error| CaseError::Environment(error.to_string()))?;
    let data = folder.join("data");
    let arguments = ["tsdb", "create-blocks-from", "openmetrics"]
        .into_iter()
        .map(str::to_owned)
        .chain([file.display().to_string(), data.display().to_string()])
        .collect();
    let output = context
        .stack
        .workshop
        .tool("promtool", arguments, folder, Duration::from_secs(30))
        .await?;
    if output.code == Some(0) {
        Ok(data)
    } else {
        Err(CaseError::Environment(format!(
            "promtool cannot write the history: {}",
            output.stderr.trim()
        )))
    }
}

fn write(
    file: &Path,
    candidate: &Candidate,
    label: &str,
    twins: &[Twin],
    history: Option<(&[Labels], f64)>,
    ends: f64,
) -> Result<(), OpenMetricsError> {
    let mut writer = Writer::new(std::io::BufWriter::new(std::fs::File::create(file)?));
    let ends_ms = milliseconds(ends);
    let job = candidate.job().unwrap_or_default();
    let mut exposed = candidate.exposed();
    exposed.sort_by(|a, b| a.metric.cmp(&b.metric));
    let mut family = None;
    for series in &exposed {
        if family.as_ref() != Some(&series.metric) {
            writer.family(&series.metric, Kind::Gauge, "Input of an alert under test.")?;
            family = Some(series.metric.clone());
        }
        let copies: Vec<Labels> = if series.labels.contains_key(label) {
            twins
                .iter()
                .map(|twin| {
                    let mut labels = series.labels.clone();
                    let base = &series.labels[label];
                    labels.insert(label.to_owned(), value(base, twin));
                    labels
                })
                .collect()
        } else {
            vec![series.labels.clone()]
        };
        for mut labels in copies {
            labels.insert("job".to_owned(), job.clone());
            labels.insert("instance".to_owned(), "a".to_owned());
            let samples = [(ends_ms - 30_000, series.breach), (ends_ms, series.breach)];
            writer.series(pairs(&labels), samples)?;
        }
    }
    if let Some((labels, _)) = history {
        writer.family("ALERTS_FOR_STATE", Kind::Gauge, "Since when an alert is pending.")?;
        for (twin, labels) in twins.iter().zip(labels) {
            let Some(pending) = twin.pending else { continue };
            let active = ends - pending.as_secs_f64();
            let steps = pending.as_secs() / 30;
            let samples = (0..=steps).rev().map(|step| {
                let back = i64::try_from(step * 30_000).unwrap_or(i64::MAX);
                (ends_ms - back, active.floor())
            });
            writer.series(pairs(labels), samples)?;
        }
    }
    writer.finish()?;
    Ok(())
}

/// What an alert was seen to do since the start, unix seconds.
#[derive(Debug, Default)]
struct Course {
    /// First evaluation that stored it as active.
    first: Option<f64>,
    /// Last evaluation it was pending at.
    pending: Option<f64>,
    /// First evaluation it fired at.
    firing: Option<f64>,
    /// Since when it is active, as restored.
    active: Option<f64>,
}

fn find<'a>(alerts: &'a [ActiveAlert], labels: &Labels) -> Option<&'a ActiveAlert> {
    alerts.iter().find(|alert| {
        pairs(labels)
            .iter()
            .all(|(name, value)| alert.labels.get(*name).is_some_and(|v| v == value))
    })
}

async fn course(
    client: &Prometheus,
    active: &[ActiveAlert],
    labels: &Labels,
    started: f64,
) -> Result<Course, CaseError> {
    let matchers: Vec<String> = labels
        .iter()
        .filter(|(name, _)| *name != "alertstate" && *name != "__name__")
        .map(|(name, value)| format!("{name}={value:?}"))
        .collect();
    let raw = async |metric: &str, more: &str| {
        let series = client
            .raw(&format!("{metric}{{{}{more}}}[10m]", matchers.join(",")), None)
            .await?;
        Ok::<Vec<(f64, String)>, CaseError>(since(&series, started))
    };
    let pending = raw("ALERTS", ",alertstate=\"pending\"").await?;
    let firing = raw("ALERTS", ",alertstate=\"firing\"").await?;
    Ok(Course {
        first: pending.iter().chain(&firing).map(|(at, _)| *at).reduce(f64::min),
        pending: pending.iter().map(|(at, _)| *at).reduce(f64::max),
        firing: firing.iter().map(|(at, _)| *at).reduce(f64::min),
        // ALERTS_FOR_STATE holds whole seconds; the API has all digits.
        active: find(active, labels).map(|alert| alert.active_at),
    })
}

fn since(series: &[Series], started: f64) -> Vec<(f64, String)> {
    let mut samples: Vec<(f64, String)> = series
        .iter()
        .flat_map(|series| &series.samples)
        .filter(|(at, _)| *at >= started)
        .cloned()
        .collect();
    samples.sort_by(|a, b| a.0.total_cmp(&b.0));
    samples
}

/// The clone runs the production rule, unmodified.
async fn unmodified(
    client: &Prometheus,
    group: &RuleGroup,
    candidate: &Candidate,
) -> Result<Finding, CaseError> {
    let rule = &candidate.rule;
    let hash = source(group).map_err(|error| CaseError::Failed(error.to_string()))?;
    let loaded = client.rules().await?;
    let loaded = loaded.iter().find(|loaded| loaded.name == rule.name);
    let same = loaded.is_some_and(|loaded| {
        normalised(&loaded.query) == normalised(&rule.expr)
            && (loaded.duration - rule.hold.0.as_secs_f64()).abs() < 1e-3
    });
    Ok(Finding::of("the production rule, unmodified")
        .declared(format!("{} for {}, SHA-256 {hash}", rule.expr, rule.hold))
        .effective(loaded.map_or("not loaded".to_owned(), |loaded| {
            format!("{} for {} s", loaded.query, loaded.duration)
        }))
        .judge(same, || {
            "Prometheus runs another rule or another `for` than declared".into()
        }))
}

fn lane(twin: &Twin, course: &Course, hold: Duration, started: f64) -> Lane {
    let edge = course.active.map(|active| active + hold.as_secs_f64());
    let mut marks = Vec::new();
    let mut mark = |label: &str, at: Option<f64>, edge: Option<f64>| {
        if let Some(at) = at {
            let earliest = edge.map(|edge| edge - started);
            let latest = earliest.map(|earliest| earliest + 2.0 * INTERVAL.as_secs_f64());
            let at = at - started;
            marks.push(Mark {
                label: label.into(),
                at,
                earliest,
                latest,
                holds: earliest.is_none_or(|earliest| at >= earliest - 0.05),
            });
        }
    };
    mark("first evaluation", course.first, None);
    mark("last pending", course.pending, None);
    mark("firing", course.firing, edge.filter(|edge| *edge >= started));
    Lane {
        label: format!("{} ({})", twin.suffix, twin.what),
        marks,
    }
}

fn floor(seconds: f64) -> f64 {
    seconds.floor()
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "unix milliseconds fit for millennia"
)]
fn milliseconds(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
}
