//! The lifecycle at its exact edges, with the production ages.
//!
//! The age of an index counts from its origination date where it has one, else from its rollover
//! (`index.lifecycle.origination_date`, Elasticsearch 8.19). The date is read at every look of the lifecycle, so
//! indices dated a minute before and after each edge show the ages of the unmodified policy at once. Those that must
//! not move are judged once a sentinel that was dated last has gone through all phases: the lifecycle has
//! looked at every index several times by then.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use harness::case::{Case, CaseError, Context};
use harness::component::ClientError;
use harness::component::elasticsearch::{Elasticsearch, Explain};
use harness::drawing::{Drawing, Lane, Mark};
use harness::finding::{Figure, Finding, Findings};
use harness::mutant::{Edit, Mutant};
use harness::stack::Capability;
use harness::units::Span;
use harness::verdict::{Level, Verdict};
use harness::wait::{Look, Wait};
use serde_json::{Value, json};

use super::SETUP;
use super::setup::{self, shown};
use crate::history::{milliseconds, now_ms};

/// The case.
pub(super) fn case() -> Case {
    Case {
        id: "logs/lifecycle",
        claim: "a log index enters each phase at the promised age and not a minute before, moves to the nodes of its \
                phase with its documents, and is deleted in the end",
        level: Level::Must,
        promises: &[
            "logs-lifecycle-warm",
            "logs-lifecycle-cold",
            "logs-lifecycle-delete",
            "logs-lifecycle-order",
        ],
        needs: &[Capability::Elasticsearch, Capability::Lifecycle],
        profiles: &["core"],
        excludes: &[],
        disturbs: Some(
            "creates indices of its own below logs-*, dated back, and deletes those that are left",
        ),
        bound: Duration::from_secs(180),
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
                &format!("/policy/phases{inside}"),
                value,
            ),
        )
    };
    vec![
        policy(
            "warm-late",
            "the warm phase begins a day late",
            "/warm/min_age",
            json!("3d"),
        ),
        policy(
            "warm-early",
            "the warm phase begins an hour early",
            "/warm/min_age",
            json!("47h"),
        ),
        policy(
            "cold-late",
            "the cold phase begins a day late",
            "/cold/min_age",
            json!("8d"),
        ),
        policy(
            "delete-early",
            "indices are deleted a day early",
            "/delete/min_age",
            json!("29d"),
        ),
        policy(
            "delete-late",
            "indices are deleted an hour late",
            "/delete/min_age",
            json!("721h"),
        ),
        policy(
            "never-deleted",
            "indices are never deleted",
            "/delete",
            Value::Null,
        ),
        Mutant::new(
            "warm-node-is-hot",
            "the warm tier's nodes have the role of the hot tier",
            Edit::set_embedded(
                "ConfigMap/elasticsearch-warm",
                "/data/elasticsearch.yml",
                "/node.roles",
                json!(["data_hot"]),
            ),
        ),
        Mutant::new(
            "no-cold-node-runs",
            "the cold tier's node runs with another role than declared",
            Edit::rendered_text("config/elasticsearch.yml", "data_cold", "data_content"),
        ),
    ]
}

/// How far from an edge the indices on both sides of it are.
const MARGIN: Duration = Duration::from_mins(1);
/// Longest until every index is where its age says.
const BOUND: Duration = Duration::from_secs(60);
/// Documents of each index.
const DOCUMENTS: u64 = 5;

/// An index: its age, and where that puts it.
struct Planned {
    label: String,
    index: String,
    age: Duration,
    /// The edge it is near, as an age.
    edge: Duration,
    /// The phase that it has to end in.
    phase: String,
}

impl Planned {
    fn is_before(&self) -> bool {
        self.age < self.edge
    }
}

/// What was seen of an index.
#[derive(Default)]
struct Seen {
    /// Phases in the order they were seen, with seconds since the dates were set.
    phases: Vec<(String, f64)>,
    /// The last explanation.
    last: Option<Explain>,
}

/// What an index's phase is called from its creation until the lifecycle first looks at it (Elasticsearch 8.19).
const NEW: &str = "new";

impl Seen {
    /// Takes down that the index is in `phase`, unless it was when last looked at. An index that nobody looked at
    /// yet is in none; one that starts anew later is seen.
    fn note(&mut self, phase: &str, at: f64) {
        let is_same = match self.phases.last() {
            Some((last, _)) => last == phase,
            None => phase == NEW,
        };
        if !is_same {
            self.phases.push((phase.to_owned(), at));
        }
    }
}

async fn run(context: Context) -> Result<Findings, CaseError> {
    let started = Instant::now();
    let server = context.stack.elasticsearch()?;
    let mut findings = Findings::new();
    let phases = context.contract.texts("logs-lifecycle-order", "phases")?;
    let edges = ages(&context, server, &phases, &mut findings).await?;

    let run = setup::unique("lifecycle");
    let mut planned: Vec<Planned> = edges
        .iter()
        .flat_map(|(before, phase, edge)| {
            [
                ("a minute before", edge.saturating_sub(MARGIN), before),
                ("a minute after", *edge + MARGIN, phase),
            ]
            .map(|(side, age, ends_in)| Planned {
                label: format!("{side} {}", Span(*edge)),
                index: format!(
                    "logs-{run}-{phase}-{}",
                    if age < *edge { "before" } else { "after" }
                ),
                age,
                edge: *edge,
                phase: ends_in.clone(),
            })
        })
        .collect();
    if let Some((_, phase, edge)) = edges.last() {
        planned.push(Planned {
            label: format!("sentinel, past {}", Span(*edge)),
            index: format!("logs-{run}-sentinel"),
            age: *edge + MARGIN,
            edge: *edge,
            phase: phase.clone(),
        });
    }

    context
        .progress
        .step("", "making indices on both sides of every edge");
    make(server, &planned).await?;
    let dated_at = now_ms();
    let date = |index: &Planned| {
        let name = index.index.clone();
        let date = json!({ "index.lifecycle.origination_date": dated_at - milliseconds(index.age) });
        async move { server.put_settings(&name, &date).await }
    };
    if let Some((sentinel, others)) = planned.split_last() {
        futures::future::try_join_all(others.iter().map(date)).await?;
        date(sentinel).await?;
    }
    context
        .progress
        .step("", "waiting until every index is where its age says");
    let (seen, arrived) = watch(server, &planned, &format!("logs-{run}-*")).await?;
    let age_now = Duration::from_millis(u64::try_from(now_ms() - dated_at).unwrap_or(0));
    judge(
        server,
        &planned,
        &seen,
        age_now,
        &phases,
        arrived.as_deref(),
        &mut findings,
    )
    .await?;
    findings.draw(drawing(&planned, &seen));
    for index in server.indices(&format!("logs-{run}-*")).await? {
        server.delete_index(&index).await?;
    }
    findings.figures.push(Figure {
        what: "lifecycle proof, all edges".to_owned(),
        value: started.elapsed().as_secs_f64(),
        bound: context
            .contract
            .duration("harness-lifecycle", "at-most")?
            .as_secs_f64(),
        at_least: false,
        unit: "s".to_owned(),
    });
    Ok(findings)
}

/// Declared and effective ages against the promised ones; the edges as (phase before, phase, age).
async fn ages(
    context: &Context,
    server: &Elasticsearch,
    phases: &[String],
    findings: &mut Findings,
) -> Result<Vec<(String, String, Duration)>, CaseError> {
    let declared = setup::declared(&context.tree)?;
    let pattern = setup::patterns(context)?.into_iter().next().unwrap_or_default();
    let name = setup::template(&declared, &pattern)
        .and_then(|request| request.body.pointer("/template/settings/index/lifecycle/name"))
        .and_then(Value::as_str)
        .ok_or_else(|| {
            CaseError::Failed(format!(
                "the template of {pattern} in {SETUP} names no lifecycle policy"
            ))
        })?;
    let given = declared
        .request(&format!("/_ilm/policy/{name}"))
        .map(|request| request.body.clone())
        .unwrap_or_default();
    let runs = server.policy(name).await?;
    let names = |policy: &Value| {
        let there = policy.pointer("/policy/phases").and_then(Value::as_object);
        let mut names: Vec<String> = there.into_iter().flat_map(|p| p.keys().cloned()).collect();
        names.sort_by_key(|name| phases.iter().position(|phase| phase == name));
        names
    };
    findings.push(
        Finding::of(format!("phases of the policy {name}"))
            .declared(names(&given).join(", "))
            .effective(names(&runs).join(", "))
            .bound(phases.join(", "))
            .judge(names(&given) == phases && names(&runs) == phases, || {
                format!(
                    "the policy's phases are {} where {} are promised",
                    names(&runs).join(", "),
                    phases.join(", ")
                )
            }),
    );
    let mut edges = Vec::new();
    for pair in phases.windows(2) {
        let [before, phase] = pair else { continue };
        let promised = context
            .contract
            .duration(&format!("logs-lifecycle-{phase}"), "min-age")?;
        let age = |policy: &Value| shown(policy.pointer(&format!("/policy/phases/{phase}/min_age")));
        let is_promised = |text: &str| text.parse::<Span>().is_ok_and(|span| span.0 == promised);
        findings.push(
            Finding::of(format!("min_age of the {phase} phase"))
                .declared(age(&given))
                .effective(age(&runs))
                .bound(Span(promised))
                .judge(is_promised(&age(&given)) && is_promised(&age(&runs)), || {
                    format!(
                        "the {phase} phase begins at {} where {} is promised",
                        age(&runs),
                        Span(promised)
                    )
                }),
        );
        edges.push((before.clone(), phase.clone(), promised));
    }
    Ok(edges)
}

/// Makes the indices, with documents. Their settings come from the template but for what is said here.
async fn make(server: &Elasticsearch, planned: &[Planned]) -> Result<(), CaseError> {
    let made = planned.iter().enumerate().map(|(number, index)| {
        let mut settings = json!({
            // Nobody rolls these over: their dates stand for the rollover.
            "index.lifecycle.indexing_complete": true,
            // With one node a tier a replica has nowhere to go, and a move waits for every copy.
            "index.number_of_replicas": 0,
        });
        // One on each side has the promised shards, the others need one.
        if number >= 2
            && let Some(settings) = settings.as_object_mut()
        {
            settings.insert("index.number_of_shards".to_owned(), json!(1));
        }
        async move {
            server
                .create_index(&index.index, &json!({ "settings": settings }))
                .await
        }
    });
    futures::future::try_join_all(made)
        .await
        .map_err(|error| match error {
            ClientError::Refused { .. } => CaseError::Failed(error.to_string()),
            // A server that does not answer has refused nothing.
            error => error.into(),
        })?;
    let mut lines = String::new();
    for index in planned {
        for number in 0..DOCUMENTS {
            for line in [
                json!({ "index": { "_index": index.index, "_id": number.to_string() } }),
                json!({ "@timestamp": now_ms(), "message": format!("line {number}") }),
            ] {
                lines += &line.to_string();
                lines.push('\n');
            }
        }
    }
    let answer = server.bulk(lines.into()).await?;
    match answer.failed().next() {
        None => Ok(()),
        Some(item) => Err(CaseError::Failed(format!(
            "a document of {} was refused: {}",
            item.index,
            item.error.clone().unwrap_or_default()
        ))),
    }
}

/// Looks until every index that has to move is where its age says; what hangs otherwise.
async fn watch(
    server: &Elasticsearch,
    planned: &[Planned],
    pattern: &str,
) -> Result<(BTreeMap<String, Seen>, Option<String>), CaseError> {
    let seen: std::sync::Mutex<BTreeMap<String, Seen>> = std::sync::Mutex::default();
    let start = Instant::now();
    let end = Wait::new("indices where their ages say", BOUND)
        .every(Duration::from_millis(100))
        .until(|| async {
            let explained = match server.explain(pattern).await {
                Ok(explained) => explained,
                Err(error) => return Look::Missing(error.to_string()),
            };
            let mut seen = seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let mut open = Vec::new();
            for index in planned {
                let now = explained.get(&index.index);
                let of = seen.entry(index.index.clone()).or_default();
                let phase = now.map_or(Some("delete"), |explain| explain.phase.as_deref());
                if let Some(phase) = phase {
                    of.note(phase, start.elapsed().as_secs_f64());
                }
                of.last = now.cloned();
                let is_there = match now {
                    None => index.phase == "delete",
                    Some(explain) => explain.completed(&index.phase),
                };
                if !is_there {
                    open.push(format!(
                        "{}: {}",
                        index.label,
                        now.map_or("deleted".to_owned(), place)
                    ));
                }
            }
            if open.is_empty() {
                Look::Ready(())
            } else {
                Look::Missing(open.join("; "))
            }
        })
        .await;
    Ok((
        seen.into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner),
        end.err().map(|error| error.to_string()),
    ))
}

/// Where an index is, with what its step says of itself.
fn place(explain: &Explain) -> String {
    match &explain.step_info {
        Some(info) if explain.trouble.is_none() => format!("{} ({})", explain.place(), info),
        _ => explain.place(),
    }
}

async fn judge(
    server: &Elasticsearch,
    planned: &[Planned],
    seen: &BTreeMap<String, Seen>,
    passed: Duration,
    phases: &[String],
    late: Option<&str>,
    findings: &mut Findings,
) -> Result<(), CaseError> {
    let tiers = setup::tiers(server).await?;
    let nothing = Seen::default();
    for index in planned {
        let of = seen.get(&index.index).unwrap_or(&nothing);
        let what = of.last.as_ref().map_or("deleted".to_owned(), place);
        let finding = Finding::of(format!("index {}", index.label))
            .observed(&what)
            .bound(if index.phase == "delete" {
                "deleted"
            } else {
                &index.phase
            });
        let is_there = match &of.last {
            None => index.phase == "delete",
            Some(explain) => explain.completed(&index.phase),
        };
        // A minute is far longer than this takes; on a machine where it is not, nothing was shown.
        if index.is_before() && !is_there && index.age + passed >= index.edge {
            findings.push(finding.verdict(
                Verdict::Insufficient,
                format!(
                    "the machine took {} to get here, and the edge has passed",
                    Span(passed)
                ),
            ));
            continue;
        }
        findings.push(finding.judge(is_there, || {
            let bound = late.map(|_| format!(" for {}", Span(BOUND))).unwrap_or_default();
            format!(
                "an index {} belongs to {} but was{bound} {what}",
                index.label, index.phase
            )
        }));
        let order: Vec<&str> = of.phases.iter().map(|(phase, _)| phase.as_str()).collect();
        let mut places = order
            .iter()
            .map(|phase| phases.iter().position(|known| known == phase));
        let rises = places.clone().all(|place| place.is_some())
            && places.next().is_some()
            && order.windows(2).all(|pair| {
                phases.iter().position(|p| p == pair[0]) < phases.iter().position(|p| p == pair[1])
            });
        findings.push(
            Finding::of(format!("phases of the index {}", index.label))
                .observed(order.join(", "))
                .bound(phases.join(", "))
                .judge(rises, || format!("its phases were {}", order.join(", "))),
        );
        if of.last.is_none() {
            continue;
        }
        let shards = server.shards(&index.index).await?;
        let role = format!("data_{}", index.phase);
        let wrong = setup::misplaced(&shards, &tiers, &role);
        findings.push(
            Finding::of(format!("nodes of the index {}", index.label))
                .observed(format!("{} shards on {}", shards.len(), setup::nodes_of(&shards)))
                .bound(&role)
                .judge(wrong.is_empty() && !shards.is_empty(), || wrong.join("; ")),
        );
        server.refresh(&index.index).await?;
        let documents = server.count(&index.index, None).await?;
        findings.push(
            Finding::of(format!("documents of the index {}", index.label))
                .observed(documents)
                .bound(DOCUMENTS)
                .judge(documents == DOCUMENTS, || {
                    format!("{documents} of {DOCUMENTS} documents are left")
                }),
        );
    }
    Ok(())
}

/// Which index came into which phase when.
fn drawing(planned: &[Planned], seen: &BTreeMap<String, Seen>) -> Drawing {
    let lanes = planned
        .iter()
        .map(|index| {
            let phases = seen
                .get(&index.index)
                .map(|of| of.phases.as_slice())
                .unwrap_or_default();
            let count = phases.len();
            Lane {
                label: index.label.clone(),
                marks: phases
                    .iter()
                    .enumerate()
                    .map(|(number, (phase, at))| Mark {
                        label: phase.clone(),
                        at: *at,
                        earliest: None,
                        latest: None,
                        // The last mark is where it ended.
                        holds: number + 1 < count || *phase == index.phase,
                    })
                    .collect(),
            }
        })
        .collect();
    Drawing::Timeline {
        title: "Phases of indices on both sides of every edge".to_owned(),
        lanes,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::Seen;

    #[rstest]
    #[case::looked_at_before_the_lifecycle_did(&["new", "new", "hot", "hot", "warm"], &["hot", "warm"])]
    #[case::looked_at_after(&["hot", "warm", "warm", "cold"], &["hot", "warm", "cold"])]
    #[case::started_anew(&["hot", "new", "hot"], &["hot", "new", "hot"])]
    #[case::never_looked_at(&["new", "new"], &[])]
    fn notes_the_phases_that_an_index_went_through(#[case] looks: &[&str], #[case] expected: &[&str]) {
        let mut seen = Seen::default();
        for (number, phase) in (0_u8..).zip(looks) {
            seen.note(phase, number.into());
        }
        let phases: Vec<&str> = seen.phases.iter().map(|(phase, _)| phase.as_str()).collect();
        assert_eq!(phases, expected);
    }
}
