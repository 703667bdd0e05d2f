//! Traces are deleted when they are seven days old, and none before.
//!
//! Method: the declared run of the index cleaner against an Elasticsearch whose clock was taken back and
//! forward again, so that it has indices that were really created on the days around the edge; and the
//! schedule on which a cluster runs it.

use std::time::Duration;

use harness::case::{Case, CaseError, Context};
use harness::finding::{Finding, Findings};
use harness::mutant::{Edit, Mutant};
use harness::render::jaeger::{IndexCleanerRequest, index_cleaner, render_index_cleaner};
use harness::stack::{Capability, ElasticsearchClone};
use harness::units::Span;
use harness::verdict::Level;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use serde_json::json;

use super::JAEGER;

const CLEANER: &str = "CronJob/jaeger-index-cleaner";
const CONTAINER: &str = "/spec/jobTemplate/spec/template/spec/containers/0";
const BACKEND: &str = "/spec/config/extensions/jaeger_storage/backends/elasticsearch/elasticsearch";
const DAY: Duration = Duration::from_hours(24);
/// Longest one run of the cleaner may take.
const CLEANED: Duration = Duration::from_secs(60);

/// The case.
pub(super) fn case() -> Case {
    Case {
        id: "traces/retention",
        claim: "traces are kept for 7 days and then deleted, and none younger",
        level: Level::Must,
        promises: &["traces-retention"],
        needs: &[Capability::ClockShift, Capability::IndexCleaner],
        profiles: &["core"],
        excludes: &[],
        disturbs: None,
        bound: Duration::from_mins(3),
        run: |context| Box::pin(run(context)),
        mutants,
    }
}

fn mutants() -> Vec<Mutant> {
    let argument = format!("{CONTAINER}/args/0");
    vec![
        Mutant::new(
            "a-day-less",
            "the cleaner keeps a day less",
            Edit::set(CLEANER, &argument, "7"),
        ),
        Mutant::new(
            "a-day-more",
            "the cleaner keeps a day more",
            Edit::set(CLEANER, &argument, "9"),
        ),
        Mutant::new(
            "other-prefix",
            "the cleaner looks for indices of a prefix that Jaeger does not write",
            Edit::set(CLEANER, &format!("{CONTAINER}/env/0/name"), "INDEX_PREFIX"),
        ),
        Mutant::new(
            "other-dates",
            "Jaeger writes dates that the cleaner does not read",
            Edit::set(
                JAEGER,
                &format!("{BACKEND}/indices/spans/date_layout"),
                "2006.01.02",
            ),
        ),
        Mutant::new(
            "weekly",
            "the cleaner runs once a week",
            Edit::set(CLEANER, "/spec/schedule", "5 0 * * 0"),
        ),
        Mutant::new(
            "searched-for-a-day",
            "Jaeger looks for traces of the last day only",
            Edit::set(JAEGER, &format!("{BACKEND}/max_span_age"), "24h"),
        ),
    ]
}

async fn run(context: Context) -> Result<Findings, CaseError> {
    let promised = context.contract.duration("traces-retention", "retention")?;
    let days = i64::try_from(promised.as_secs() / DAY.as_secs()).unwrap_or(i64::MAX);
    let layouts = [("span", "spans"), ("service", "services")].map(|(kind, field)| {
        let pointer = format!("{BACKEND}/indices/{field}/date_layout");
        Ok::<_, CaseError>((kind, layout(context.tree.object(JAEGER)?.text(&pointer))))
    });
    let mut kinds = Vec::new();
    for layout in layouts {
        kinds.push(layout?);
    }
    let mut findings = Findings::new();
    findings.push(schedule(&context, promised)?);
    findings.push(searched(&context, promised)?);

    let today = today();
    let mut clone = ElasticsearchClone::named("aged");
    let ages = [days + 2, days + 1, days, days - 1, 1, 0];
    clone.clock = Some(back(ages[0]));
    context
        .progress
        .step("", format!("starting an Elasticsearch {} days ago", ages[0]));
    let mut store = context.stack.workshop.elasticsearch(clone).await?;
    let body = json!({"settings": {"number_of_shards": 1, "number_of_replicas": 0}});
    let mut made = Vec::new();
    for age in ages {
        if age != ages[0] {
            store.shift_clock(back(age)).await?;
        }
        let day = today.saturating_sub(age.days());
        for (kind, layout) in &kinds {
            let name = format!("jaeger-{kind}-{}", day.strftime(layout));
            store.client().create_index(&name, &body).await?;
            made.push((name, age));
        }
    }
    context.progress.step("", "running the declared index cleaner");
    let (arguments, environment) = cleaner(&context, store.client().base())?;
    let folder = context.stack.workshop.scratch("cleaner")?;
    let output = context
        .stack
        .workshop
        .tool_with_environment(
            "es-index-cleaner",
            arguments.clone(),
            environment,
            folder,
            CLEANED,
        )
        .await?;
    let left = store.client().indices("jaeger-*").await?;
    if self::today() != today {
        return Err(CaseError::Environment(
            "midnight passed while the cleaner was shown; run the case again".to_owned(),
        ));
    }
    findings.push(
        Finding::of("the index cleaner's run")
            .declared(arguments.join(" "))
            .observed(format!(
                "exit code {:?} in {:.1} s",
                output.code,
                output.took.as_secs_f64()
            ))
            .bound("exit code 0")
            .judge(output.code == Some(0), || output.stderr.trim().to_owned()),
    );
    for (name, age) in made {
        // On the schedule it runs at the beginning of a day, when the last promised day back is still whole.
        let (kept, wanted) = (left.contains(&name), age <= days);
        let word = |kept: bool| if kept { "kept" } else { "deleted" };
        findings.push(
            Finding::of(format!("index of {age} days ago: {name}"))
                .observed(word(kept))
                .bound(word(wanted))
                .judge(kept == wanted, || {
                    format!(
                        "at the beginning of a day its youngest span is {} days old, promised are {days}, and it was {}",
                        age - 1,
                        word(kept)
                    )
                }),
        );
    }
    Ok(findings)
}

/// So many days back.
fn back(days: i64) -> SignedDuration {
    SignedDuration::from_hours(-24 * days)
}

fn today() -> Date {
    Timestamp::now().to_zoned(TimeZone::UTC).date()
}

/// Go's notation of a date's layout, as `strftime` has it.
fn layout(go: &str) -> String {
    go.replace("2006", "%Y")
        .replace("01", "%m")
        .replace("02", "%d")
        .replace("15", "%H")
}

/// Arguments, and variables with their values.
type Command = (Vec<String>, Vec<(String, String)>);

/// The arguments and variables of the declared cleaner, for this Elasticsearch.
fn cleaner(context: &Context, storage: &url::Url) -> Result<Command, CaseError> {
    let rendered = render_index_cleaner(&context.tree, &IndexCleanerRequest { storage })
        .map_err(|error| CaseError::Failed(error.to_string()))?;
    let arguments = rendered
        .arguments
        .into_iter()
        .flat_map(|(flag, value)| std::iter::once(flag).chain(value))
        .collect();
    Ok((arguments, rendered.environment))
}

/// On the declared schedule, how old the youngest span is that goes.
///
/// With N days the cleaner deletes what was created before 00:00 of the day N - 1 days ago (Jaeger v2.13,
/// cmd/es-index-cleaner/app/cutoff_time.go); the youngest such span is of that midnight.
fn schedule(context: &Context, promised: Duration) -> Result<Finding, CaseError> {
    let cleaner = index_cleaner(&context.tree).map_err(|error| CaseError::Failed(error.to_string()))?;
    let object = context.tree.object(CLEANER)?;
    let zone = object.text("/spec/timeZone");
    let finding = Finding::of("age of the youngest span when it is deleted on the declared schedule")
        .declared(format!("{} in {zone}, {} days", cleaner.schedule, cleaner.days))
        .bound(format!(
            "at least {}, and not a day more; every day",
            Span(promised)
        ));
    let Some(at) = daily(&cleaner.schedule).filter(|_| zone == "Etc/UTC") else {
        return Ok(finding.judge(false, || {
            format!(
                "`{}` in `{zone}` is no time of every day in UTC",
                cleaner.schedule
            )
        }));
    };
    let age = DAY * cleaner.days.saturating_sub(1) + at;
    Ok(finding
        .observed(Span(age))
        .judge(age >= promised && age < promised + DAY, || {
            format!(
                "spans go at an age of {}, promised are {}",
                Span(age),
                Span(promised)
            )
        }))
}

/// The time of day of a daily schedule in cron's notation.
fn daily(schedule: &str) -> Option<Duration> {
    let fields: Vec<&str> = schedule.split_whitespace().collect();
    let [minute, hour, "*", "*", "*"] = fields.as_slice() else {
        return None;
    };
    let (minute, hour): (u64, u64) = (minute.parse().ok()?, hour.parse().ok()?);
    (minute < 60 && hour < 24).then(|| Duration::from_secs((hour * 60 + minute) * 60))
}

/// How far back Jaeger looks for a trace.
fn searched(context: &Context, promised: Duration) -> Result<Finding, CaseError> {
    let declared = context
        .tree
        .object(JAEGER)?
        .text(&format!("{BACKEND}/max_span_age"))
        .to_owned();
    let far = declared.parse::<Span>().is_ok_and(|span| span.0 >= promised);
    Ok(Finding::of("how far back Jaeger looks for a trace")
        .declared(&declared)
        .bound(format!("at least {}", Span(promised)))
        .judge(far, || {
            format!("traces older than {declared} are kept and not found")
        }))
}
