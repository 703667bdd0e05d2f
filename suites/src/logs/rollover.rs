//! A new index takes the place of the one that is written to when that is a day old, and not a minute before.
//!
//! Elasticsearch takes the age of rollover from the date at which an index was made, which nobody can set
//! (`MaxAgeCondition`, Elasticsearch 8.19), so that the day is walked through: on an Elasticsearch of its own, whose
//! clock is shifted while it runs. Templates, policy and first indices are the tree's. The first indices are made
//! two minutes after one another, a sentinel's before all; whenever one of them is a minute past the age, the
//! next is a minute short of it. Once the older one was rolled over, the lifecycle has looked at the younger one,
//! too, and has to have left it alone.

use std::collections::BTreeMap;
use std::time::Duration;

use harness::case::{Case, CaseError, Context};
use harness::component::elasticsearch::{Elasticsearch, Explain};
use harness::drawing::{Drawing, Lane, Mark};
use harness::finding::{Finding, Findings};
use harness::mutant::{Edit, Mutant};
use harness::render::elasticsearch::ElasticsearchSetup;
use harness::stack::{Capability, ElasticsearchClone, Running};
use harness::units::Span;
use harness::verdict::{Level, Verdict};
use harness::wait::{Look, Wait};
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};

use super::SETUP;
use super::setup::{self, shown};
use crate::history::{milliseconds, now_ms, seconds};

/// How far from the age the indices on both sides of it are.
const MARGIN: Duration = Duration::from_mins(1);
/// Longest from an index' age to its rollover: many looks of the lifecycle, for machines that are busy.
const ROLLED: Duration = Duration::from_secs(20);
/// Documents that are written through an alias at a time.
const DOCUMENTS: usize = 20;
/// What only shows that the lifecycle looks.
const SENTINEL: &str = "conform-sentinel";
const SENTINEL_INDEX: &str = "logs-conform-sentinel-000001";

/// The case.
pub(super) fn case() -> Case {
    Case {
        id: "logs/rollover",
        claim: "a log index is written to for a day and not a minute less, then a new one takes its place, and no \
                document is lost or doubled",
        level: Level::Must,
        promises: &["logs-lifecycle-hot"],
        needs: &[Capability::ClockShift],
        profiles: &["core"],
        excludes: &[],
        disturbs: None,
        bound: Duration::from_mins(4),
        run: |context| Box::pin(run(context)),
        mutants,
    }
}

fn mutants() -> Vec<Mutant> {
    let policy = |id, change, inside: &str, value: Value| {
        Mutant::new(
            id,
            change,
            Edit::set_embedded(
                SETUP,
                "/data/lifecycle.json",
                &format!("/policy/phases/hot{inside}"),
                value,
            ),
        )
    };
    let template = |id, change, file: &str, inside: &str, value: Value| {
        Mutant::new(
            id,
            change,
            Edit::set_embedded(
                SETUP,
                &format!("/data/template-{file}.json"),
                &format!("/template/settings/index/lifecycle{inside}"),
                value,
            ),
        )
    };
    let first = |id, change, file: &str, inside: &str, value: Value| {
        Mutant::new(
            id,
            change,
            Edit::set_embedded(SETUP, &format!("/data/first-index-{file}.json"), inside, value),
        )
    };
    vec![
        policy(
            "a-day-late",
            "indices are written to for two days",
            "/actions/rollover/max_age",
            json!("2d"),
        ),
        policy(
            "half-a-day-early",
            "indices are written to for half a day",
            "/actions/rollover/max_age",
            json!("12h"),
        ),
        policy(
            "two-minutes-early",
            "indices are rolled over two minutes before they are a day old",
            "/actions/rollover/max_age",
            json!("1438m"),
        ),
        policy(
            "two-minutes-late",
            "indices are rolled over when they are two minutes more than a day old",
            "/actions/rollover/max_age",
            json!("1442m"),
        ),
        policy(
            "by-documents-too",
            "indices are rolled over with ten documents already",
            "/actions/rollover/max_docs",
            json!(10),
        ),
        policy(
            "not-with-few-documents",
            "indices with few documents are not rolled over",
            "/actions/rollover/min_docs",
            json!(100_000),
        ),
        policy(
            "never",
            "indices are never rolled over",
            "/actions/rollover",
            Value::Null,
        ),
        template(
            "alias-missing",
            "the template of the app's logs names no alias to roll over",
            "app",
            "/rollover_alias",
            Value::Null,
        ),
        template(
            "alias-of-others",
            "the template of the access logs names the alias of the logs",
            "istio-access",
            "/rollover_alias",
            json!("logs"),
        ),
        template(
            "policy-missing",
            "the template of the app's logs has no policy",
            "app",
            "/name",
            Value::Null,
        ),
        first(
            "not-written-to",
            "the first index of the app's logs is not the one that is written to",
            "app",
            "/aliases/app/is_write_index",
            json!(false),
        ),
        first(
            "first-without-alias",
            "the first index of the logs has no alias",
            "logs",
            "/aliases",
            Value::Null,
        ),
    ]
}

/// An alias that is written through, and what became of it.
#[derive(Debug)]
struct Written {
    alias: String,
    /// Its first index, and when that was made by the server's clock, in unix milliseconds.
    first: String,
    made: i64,
    /// The index that took its place, and when that was made.
    second: Option<(String, i64)>,
    /// The index that every document belongs to, by the document's id.
    documents: BTreeMap<String, String>,
    /// Its age at each look, in milliseconds, what was seen, and whether that was right.
    looks: Vec<(i64, &'static str, bool)>,
}

async fn run(context: Context) -> Result<Findings, CaseError> {
    let promised = context.contract.duration("logs-lifecycle-hot", "rollover-age")?;
    let patterns = setup::patterns(&context)?;
    let declared = setup::declared(&context.tree)?;
    let mut findings = Findings::new();
    context
        .progress
        .step("", "starting an Elasticsearch more than a day ago");
    // So far back that all indices are past the age when the real time has come.
    let count = i32::try_from(patterns.len()).unwrap_or(i32::MAX);
    let back = SignedDuration::try_from(promised)
        .ok()
        .and_then(|age| {
            let margins = SignedDuration::try_from(MARGIN)
                .ok()?
                .checked_mul(4 * (count + 1))?;
            age.checked_add(margins)
        })
        .ok_or_else(|| CaseError::Environment("the promised age is no length of time".to_owned()))?;
    let mut node = context
        .stack
        .workshop
        .elasticsearch(ElasticsearchClone {
            clock: Some(-back),
            ..ElasticsearchClone::named("a-day-ago")
        })
        .await?;
    apply(node.client(), &declared).await?;
    context
        .progress
        .step("", "making the first indices, two minutes after one another");
    let mut series = first_indices(&mut node, &declared, &patterns).await?;
    for (pattern, one) in patterns.iter().zip(series.iter().skip(1)) {
        findings.push(managed(node.client(), &declared, pattern, &one.first, promised).await?);
    }
    let before = findings.findings.len();
    for one in &mut series {
        write(node.client(), one, "at first", &mut findings).await?;
    }
    // With nothing written there is nothing to roll over. Whatever is declared, what is done is looked at.
    if findings
        .findings
        .iter()
        .skip(before)
        .all(|finding| finding.verdict == Verdict::Pass)
    {
        walk(&context, &mut node, &mut series, promised, &mut findings).await?;
    }
    for one in series.iter().filter(|one| one.alias != SENTINEL) {
        findings.push(age(one, promised));
        findings.push(kept(node.client(), one).await?);
    }
    findings.draw(drawing(&series, promised));
    Ok(findings)
}

/// Sends what the tree sets up for indices, but for the first of them.
async fn apply(server: &Elasticsearch, setup: &ElasticsearchSetup) -> Result<(), CaseError> {
    for request in &setup.requests {
        if !matches!(
            request.api(),
            Some("_ilm" | "_component_template" | "_index_template")
        ) {
            continue;
        }
        server
            .raw(Method::PUT, &request.path, Some(&request.body))
            .await
            .map_err(|error| CaseError::Failed(format!("{}: {error}", request.document)))?;
    }
    Ok(())
}

/// Whether the first index of a pattern got a policy that rolls it over at the promised age, through its alias.
async fn managed(
    server: &Elasticsearch,
    declared: &ElasticsearchSetup,
    pattern: &str,
    first: &str,
    promised: Duration,
) -> Result<Finding, CaseError> {
    let alias = setup::alias(pattern);
    let in_tree = |pointer: &str| {
        setup::template(declared, pattern)
            .and_then(|request| request.body.pointer("/template/settings/index/lifecycle"))
            .and_then(|lifecycle| lifecycle.pointer(pointer))
            .cloned()
    };
    let rolls = |policy: &Value| policy.pointer("/policy/phases/hot/actions/rollover").cloned();
    let name = shown(in_tree("/name").as_ref());
    let given = declared
        .request(&format!("/_ilm/policy/{name}"))
        .and_then(|request| rolls(&request.body));
    let settings = server.settings(first).await?;
    let gets = |setting: &str| shown(settings.get(first).and_then(|settings| settings.get(setting)));
    let (policy, through) = (
        gets("index.lifecycle.name"),
        gets("index.lifecycle.rollover_alias"),
    );
    let runs = match server.policy(&policy).await {
        Ok(policy) => rolls(&policy),
        Err(_) => None,
    };
    let max_age = |rollover: Option<&Value>| shown(rollover.and_then(|rollover| rollover.get("max_age")));
    let at_age = |rollover: Option<&Value>| {
        max_age(rollover)
            .parse::<Span>()
            .is_ok_and(|span| span.0 == promised)
    };
    let in_words = |policy: &str, rollover: Option<&Value>, alias: &str| {
        format!("policy {policy}: rollover {} through {alias}", shown(rollover))
    };
    let alias_declared = shown(in_tree("/rollover_alias").as_ref());
    Ok(Finding::of(format!("rollover of {pattern}"))
        .declared(in_words(&name, given.as_ref(), &alias_declared))
        .effective(in_words(&policy, runs.as_ref(), &through))
        .bound(format!("at {} through {alias}", Span(promised)))
        .judge(
            at_age(given.as_ref()) && at_age(runs.as_ref()) && through == alias,
            || {
                if through == alias {
                    format!(
                        "{first} is rolled over at {}, promised is {}",
                        max_age(runs.as_ref()),
                        Span(promised)
                    )
                } else {
                    format!("{first} is rolled over through {through}, written to through {alias}")
                }
            },
        ))
}

/// Makes the sentinel's and then the tree's first indices, two margins after one another.
async fn first_indices(
    node: &mut Running<Elasticsearch>,
    declared: &ElasticsearchSetup,
    patterns: &[String],
) -> Result<Vec<Written>, CaseError> {
    let mut series: Vec<Written> = Vec::new();
    let failed = |error: &dyn std::fmt::Display| CaseError::Failed(error.to_string());
    for alias in std::iter::once(SENTINEL).chain(patterns.iter().map(|pattern| setup::alias(pattern))) {
        if let Some(before) = series.last() {
            let at = before.made + milliseconds(2 * MARGIN);
            shift_to(node, at).await?;
        }
        let server = node.client();
        let first = if alias == SENTINEL {
            let body = json!({
                "settings": { "index.lifecycle.rollover_alias": SENTINEL },
                "aliases": { SENTINEL: { "is_write_index": true } },
            });
            server
                .create_index(SENTINEL_INDEX, &body)
                .await
                .map_err(|error| failed(&error))?;
            SENTINEL_INDEX.to_owned()
        } else {
            // Its name is an expression with the day: `<logs-{now/d}-000001>`, percent-encoded.
            let request = declared
                .requests
                .iter()
                .find(|request| request.path.starts_with(&format!("/%3C{alias}-")))
                .ok_or_else(|| failed(&format!("{SETUP} makes no first index of {alias}")))?;
            let made = server
                .raw(Method::PUT, &request.path, Some(&request.body))
                .await
                .map_err(|error| failed(&error))?;
            shown(made.get("index"))
        };
        let made = server
            .creation_dates(&first)
            .await?
            .get(&first)
            .copied()
            .ok_or_else(|| failed(&format!("the index {first} is not there after it was made")))?;
        series.push(Written {
            alias: alias.to_owned(),
            first,
            made,
            second: None,
            documents: BTreeMap::new(),
            looks: Vec::new(),
        });
    }
    Ok(series)
}

/// Shifts the server's clock to an instant, unix milliseconds.
async fn shift_to(node: &mut Running<Elasticsearch>, instant: i64) -> Result<(), CaseError> {
    Ok(node
        .shift_clock(SignedDuration::from_millis(instant - now_ms()))
        .await?)
}

/// The server's time, unix milliseconds.
async fn server_time(server: &Elasticsearch) -> Result<i64, CaseError> {
    server
        .clocks()
        .await?
        .values()
        .copied()
        .max()
        .ok_or_else(|| CaseError::Environment("the server did not say what time it is".to_owned()))
}

/// Writes documents through an alias, which takes them to the index that is written to.
async fn write(
    server: &Elasticsearch,
    one: &mut Written,
    when: &'static str,
    findings: &mut Findings,
) -> Result<(), CaseError> {
    let index = one
        .second
        .as_ref()
        .map_or(&one.first, |(second, _)| second)
        .clone();
    let time = server_time(server).await?;
    let mut lines = String::new();
    for number in 0..DOCUMENTS {
        let id = format!("{} {when} {number}", one.alias);
        for line in [
            // Without the alias an index of its name would be made.
            json!({ "create": { "_index": one.alias, "_id": id, "require_alias": true } }),
            json!({ "@timestamp": time, "message": id }),
        ] {
            lines += &line.to_string();
            lines.push('\n');
        }
        one.documents.insert(id, index.clone());
    }
    let answer = server.bulk(lines.into()).await?;
    let wrong = answer
        .items
        .iter()
        .find(|item| item.error.is_some() || item.index != index);
    findings.push(
        Finding::of(format!("documents through {}, {when}", one.alias))
            .observed(match wrong {
                None => format!("{} in {index}", answer.items.len()),
                Some(item) => format!("{} in {}", item.status, item.index),
            })
            .bound(format!("{DOCUMENTS} in {index}"))
            .judge(wrong.is_none() && answer.items.len() == DOCUMENTS, || match wrong
                .and_then(|item| item.error.clone())
            {
                Some(error) => error,
                None => "they went to another index".to_owned(),
            }),
    );
    Ok(())
}

/// Takes the server's clock past the age of each index, the oldest first.
async fn walk(
    context: &Context,
    node: &mut Running<Elasticsearch>,
    series: &mut [Written],
    promised: Duration,
    findings: &mut Findings,
) -> Result<(), CaseError> {
    let edge = milliseconds(promised);
    for place in 0..series.len() {
        let Some((reached, younger)) = series.get_mut(place..).and_then(<[Written]>::split_first_mut) else {
            break;
        };
        context.progress.step(
            "",
            format!("a minute past the age of the first index of {}", reached.alias),
        );
        shift_to(node, reached.made + edge + milliseconds(MARGIN)).await?;
        let server = node.client();
        let waited = rolled_over(server, reached).await;
        let now = server_time(server).await?;
        let finding = Finding::of(format!("{}: a minute past its age", reached.first)).bound("rolled over");
        match waited {
            Ok((second, made)) => {
                reached
                    .looks
                    .push((made - reached.made, "rolled over", made - reached.made >= edge));
                findings.push(finding.observed(format!("{second} took its place")));
                reached.second = Some((second, made));
                write(server, reached, "a minute past its age", findings).await?;
            }
            Err(why) => {
                reached.looks.push((now - reached.made, "not rolled over", false));
                findings.push(finding.observed("still written to").judge(false, || why));
                // Nothing shows that the lifecycle looked at the others.
                if reached.alias == SENTINEL {
                    return Ok(());
                }
            }
        }
        if let Some(next) = younger.first_mut() {
            findings.push(left_alone(server, next, edge).await?);
            if next.second.is_none() {
                write(server, next, "a minute before its age", findings).await?;
            }
        }
    }
    Ok(())
}

/// The index that an alias writes to, where that is another than the first.
async fn successor(server: &Elasticsearch, one: &Written) -> Result<Option<String>, CaseError> {
    let aliases = server.aliases(&one.alias).await?;
    let written_to = |index: &String| {
        aliases
            .get(index)
            .and_then(|of| of.get(&one.alias))
            .and_then(|alias| alias.get("is_write_index"))
            .and_then(Value::as_bool)
            == Some(true)
    };
    Ok(aliases
        .keys()
        .find(|index| **index != one.first && written_to(index) && !written_to(&one.first))
        .cloned())
}

/// Waits until another index has taken the place of the first: its name, and when it was made.
async fn rolled_over(server: &Elasticsearch, one: &Written) -> Result<(String, i64), String> {
    let second = Wait::new(format!("a new index of {}", one.alias), ROLLED)
        .every(Duration::from_millis(200))
        .until(async || match successor(server, one).await {
            Ok(Some(second)) => Look::Ready(second),
            Ok(None) => Look::Missing(match server.explain(&one.first).await {
                Ok(explained) => explained
                    .get(&one.first)
                    .map_or("not known".to_owned(), Explain::place),
                Err(error) => error.to_string(),
            }),
            Err(error) => Look::Missing(error.to_string()),
        })
        .await
        .map_err(|error| error.to_string())?;
    let made = server
        .creation_dates(&second)
        .await
        .map_err(|error| error.to_string())?
        .get(&second)
        .copied()
        .ok_or_else(|| format!("{second} is gone again"))?;
    Ok((second, made))
}

/// Whether an index that is short of its age is still written to.
async fn left_alone(server: &Elasticsearch, one: &mut Written, edge: i64) -> Result<Finding, CaseError> {
    let second = successor(server, one).await?;
    let age = server_time(server).await? - one.made;
    let finding = Finding::of(format!("{}: a minute before its age", one.first)).bound("still written to");
    let Some(second) = second else {
        one.looks.push((age, "still written to", true));
        // A minute is far longer than this takes; on a machine where it is not, nothing was shown.
        return Ok(if age < edge {
            finding.observed(format!("still written to, {:.0} s before", seconds(edge - age)))
        } else {
            finding.verdict(
                Verdict::Insufficient,
                "the machine took so long to get here that the age has passed",
            )
        });
    };
    let made = server.creation_dates(&second).await?.get(&second).copied();
    let early = made.map_or(age, |made| made - one.made);
    one.looks.push((early, "rolled over", early >= edge));
    one.second = Some((second.clone(), made.unwrap_or_default()));
    Ok(finding
        .observed(format!("{second} took its place"))
        .judge(early >= edge, || {
            format!("it was rolled over {:.0} s before its age", seconds(edge - early))
        }))
}

/// How old an index was when another took its place.
fn age(one: &Written, promised: Duration) -> Finding {
    let finding = Finding::of(format!("age of {} at its rollover", one.first))
        .bound(format!(
            "{} to {} s more",
            Span(promised),
            (MARGIN + ROLLED).as_secs()
        ))
        .unit("s");
    let Some((_, made)) = &one.second else {
        return finding.judge(false, || "it was never rolled over".to_owned());
    };
    let age = made - one.made;
    let edge = milliseconds(promised);
    let inside = (edge..=edge + milliseconds(MARGIN + ROLLED)).contains(&age);
    finding
        .observed(format!("{:.0}", seconds(age)))
        .judge(inside, || format!("it was {:.0} s old", seconds(age)))
}

/// Whether every document is found once through its alias, in the index that was written to at its time.
async fn kept(server: &Elasticsearch, one: &Written) -> Result<Finding, CaseError> {
    let finding = Finding::of(format!("documents of {}", one.alias))
        .declared(format!("{} written", one.documents.len()))
        .bound("each once, in the index of its time")
        .unit("documents");
    let pattern = format!("{}-2*", one.alias);
    server.refresh(&pattern).await?;
    let found = server
        .search(&pattern, &json!({ "size": 1000, "query": { "match_all": {} } }))
        .await?;
    let mut open = one.documents.clone();
    let mut wrong = Vec::new();
    for hit in &found.hits {
        match open.remove(&hit.id) {
            Some(index) if index == hit.index => {}
            Some(index) => wrong.push(format!("`{}` is in {}, not in {index}", hit.id, hit.index)),
            None => wrong.push(format!("`{}` is in {} as well", hit.id, hit.index)),
        }
    }
    wrong.extend(open.keys().map(|id| format!("`{id}` is gone")));
    Ok(finding
        .observed(format!(
            "{} found, {} of them wrong",
            found.hits.len(),
            wrong.len()
        ))
        .judge(wrong.is_empty(), || wrong.first().cloned().unwrap_or_default()))
}

/// What was seen of each index, in seconds from its age.
fn drawing(series: &[Written], promised: Duration) -> Drawing {
    let edge = milliseconds(promised);
    Drawing::Timeline {
        title: format!("Indices around their age of rollover ({} is 0)", Span(promised)),
        lanes: series
            .iter()
            .map(|one| Lane {
                label: one.first.clone(),
                marks: one
                    .looks
                    .iter()
                    .map(|(age, what, holds)| {
                        let rolled = *what == "rolled over";
                        Mark {
                            label: (*what).to_owned(),
                            at: seconds(age - edge),
                            earliest: rolled.then_some(0.0),
                            latest: rolled.then(|| (MARGIN + ROLLED).as_secs_f64()),
                            holds: *holds,
                        }
                    })
                    .collect(),
            })
            .collect(),
    }
}
