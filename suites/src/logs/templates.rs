//! Every log index gets the promised shards, replicas and lifecycle, whatever pattern it belongs to.
//!
//! Method: the tree's templates; then an index that is created under each pattern on the running server, whose
//! settings say what the templates came to; then a document that is written through the alias that writers use.

use std::time::Duration;

use harness::case::{Case, CaseError, Context};
use harness::component::elasticsearch::Elasticsearch;
use harness::finding::{Finding, Findings};
use harness::mutant::{Edit, Mutant};
use harness::stack::Capability;
use harness::verdict::Level;
use harness::wait::{Look, Wait};
use reqwest::Method;
use serde_json::{Value, json};

use super::SETUP;
use super::setup::{self, shown};

/// The case.
pub(super) fn case() -> Case {
    Case {
        id: "logs/templates",
        claim: "an index of every log pattern gets the promised shards, replicas and lifecycle, and what is written \
                through its alias lands in an index by time on the hot tier",
        level: Level::Must,
        promises: &["logs-shards", "logs-time-based-indices", "logs-lifecycle-order"],
        needs: &[Capability::Elasticsearch, Capability::Lifecycle],
        profiles: &["core"],
        excludes: &[],
        disturbs: Some("creates an index under every log pattern and writes a document through every alias"),
        bound: Duration::from_mins(1),
        run: |context| Box::pin(run(context)),
        mutants,
    }
}

fn mutants() -> Vec<Mutant> {
    let template = |id, change, pattern: &str, inside: &str, value: Value| {
        Mutant::new(
            id,
            change,
            Edit::set_embedded(SETUP, &format!("/data/template-{pattern}.json"), inside, value),
        )
    };
    vec![
        template(
            "one-shard",
            "logs get one shard",
            "logs",
            "/template/settings/index/number_of_shards",
            json!(1),
        ),
        template(
            "no-replica",
            "the application's logs get no replica",
            "app",
            "/template/settings/index/number_of_replicas",
            json!(0),
        ),
        template(
            "pattern-mistyped",
            "the access logs' template has a letter less in its pattern",
            "istio-access",
            "/index_patterns",
            json!(["istio-acces-*"]),
        ),
        template(
            "no-lifecycle",
            "the application's logs have no lifecycle",
            "app",
            "/template/settings/index/lifecycle",
            Value::Null,
        ),
        template(
            "not-on-hot",
            "new indices of the access logs go to the warm tier",
            "istio-access",
            "/template/settings/index/routing/allocation/include/_tier_preference",
            json!("data_warm"),
        ),
        Mutant::new(
            "not-by-time",
            "the first index of the logs has no date in its name",
            Edit::replace_text(
                SETUP,
                "/data/requests",
                "PUT /%3Clogs-%7Bnow%2Fd%7D-000001%3E",
                "PUT /logs-000001",
            ),
        ),
    ]
}

/// The settings that are looked at: what they are called, where a template has them, what the server calls them.
const SHARDS: (&str, &str) = ("number_of_shards", "index.number_of_shards");
const REPLICAS: (&str, &str) = ("number_of_replicas", "index.number_of_replicas");
const POLICY: (&str, &str) = ("lifecycle/name", "index.lifecycle.name");
const ALIAS: (&str, &str) = ("lifecycle/rollover_alias", "index.lifecycle.rollover_alias");

async fn run(context: Context) -> Result<Findings, CaseError> {
    let server = context.stack.elasticsearch()?;
    let declared = setup::declared(&context.tree)?;
    let tiers = setup::tiers(server).await?;
    let mut findings = Findings::new();
    for pattern in setup::patterns(&context)? {
        context.progress.step("", format!("an index of {pattern}"));
        let alias = setup::alias(&pattern);
        let template = setup::template(&declared, &pattern);
        let policy = template
            .and_then(|request| request.body.pointer("/template/settings/index/lifecycle/name"))
            .and_then(Value::as_str)
            .unwrap_or_default();
        // The policy that is asked for has to be one that is put.
        findings.push(
            Finding::of(format!("lifecycle policy of {pattern}"))
                .declared(if policy.is_empty() { "nothing" } else { policy })
                .judge(
                    declared.request(&format!("/_ilm/policy/{policy}")).is_some(),
                    || format!("no request of {SETUP} puts a policy `{policy}`"),
                ),
        );
        let name = format!("{alias}-{}", setup::unique("templates"));
        // Nobody rolls this index over, so that its first phase has nothing to wait for.
        let body = json!({ "settings": { "index.lifecycle.indexing_complete": true } });
        let made = match server.create_index(&name, &body).await {
            Ok(()) => Some(name.as_str()),
            Err(error) => {
                findings
                    .push(Finding::of(format!("an index of {pattern}")).judge(false, || error.to_string()));
                None
            }
        };
        let effective = match made {
            Some(name) => server.settings(name).await?.swap_remove(name).unwrap_or_default(),
            None => indexmap::IndexMap::new(),
        };
        let primaries = context.contract.count("logs-shards", "primaries")?;
        let replicas = context.contract.count("logs-shards", "replicas")?;
        for ((place, setting), promised) in [
            (SHARDS, primaries.to_string()),
            (REPLICAS, replicas.to_string()),
            (POLICY, policy.to_owned()),
            (ALIAS, alias.to_owned()),
        ] {
            let given =
                shown(template.and_then(|r| r.body.pointer(&format!("/template/settings/index/{place}"))));
            let set = shown(effective.get(setting));
            findings.push(
                Finding::of(format!("{setting} of {pattern}"))
                    .declared(&given)
                    .effective(&set)
                    .bound(&promised)
                    .judge(!promised.is_empty() && given == promised && set == promised, || {
                        format!("an index of {pattern} gets {set} from a template that says {given}, where `{promised}` is promised")
                    }),
            );
        }
        if let Some(name) = made {
            let found = primaries_on_hot(server, name, primaries, &tiers).await?;
            findings.push(found.judged(Finding::of(format!("shards of an index of {pattern}"))));
            server.delete_index(name).await?;
        }
        written(server, alias, primaries, &tiers, &mut findings).await?;
    }
    Ok(findings)
}

/// Where the primaries of an index came to be.
struct Placed {
    nodes: String,
    primaries: u64,
    promised: u64,
    wrong: Vec<String>,
}

impl Placed {
    fn judged(self, finding: Finding) -> Finding {
        let holds = self.wrong.is_empty() && self.primaries == self.promised;
        finding
            .observed(format!("{} primaries on {}", self.primaries, self.nodes))
            .bound(format!("{} primaries on data_hot", self.promised))
            .judge(holds, || {
                if self.wrong.is_empty() {
                    format!("there are {} primaries", self.primaries)
                } else {
                    self.wrong.join("; ")
                }
            })
    }
}

/// The primaries of an index, once they are started. A cluster of one hot node has nowhere to put a copy, so
/// replicas do not count here: their number is a setting.
async fn primaries_on_hot(
    server: &Elasticsearch,
    index: &str,
    promised: u64,
    tiers: &std::collections::BTreeMap<String, Vec<String>>,
) -> Result<Placed, CaseError> {
    let started = Wait::new(format!("primaries of {index}"), Duration::from_secs(20))
        .until(|| async {
            match server.shards(index).await {
                Ok(mut shards) => {
                    shards.retain(|shard| shard.primary);
                    if shards.iter().all(|shard| shard.state == "STARTED") {
                        Look::Ready(shards)
                    } else {
                        Look::Missing(format!("{} primaries, not all started", shards.len()))
                    }
                }
                Err(error) => Look::Missing(error.to_string()),
            }
        })
        .await;
    let shards = if let Ok(shards) = started {
        shards
    } else {
        // Those that are not started are named as misplaced.
        let mut shards = server.shards(index).await?;
        shards.retain(|shard| shard.primary);
        shards
    };
    Ok(Placed {
        nodes: setup::nodes_of(&shards),
        primaries: shards.len() as u64,
        promised,
        wrong: setup::misplaced(&shards, tiers, "data_hot"),
    })
}

/// A document that is written through the alias.
async fn written(
    server: &Elasticsearch,
    alias: &str,
    primaries: u64,
    tiers: &std::collections::BTreeMap<String, Vec<String>>,
    findings: &mut Findings,
) -> Result<(), CaseError> {
    let text = format!("written through {alias}");
    let document = json!({ "@timestamp": crate::history::now_ms(), "message": text });
    let answer = server
        .raw(
            Method::POST,
            &format!("/{alias}/_doc?refresh=true"),
            Some(&document),
        )
        .await;
    let finding = Finding::of(format!("a document written through {alias}")).bound(format!(
        "an index {alias}-yyyy.MM.dd-nnnnnn with it, {primaries} primaries on data_hot"
    ));
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            findings.push(finding.judge(false, || error.to_string()));
            return Ok(());
        }
    };
    let index = shown(answer.get("_index"));
    let id = shown(answer.get("_id"));
    let stored = server.document(&index, &id).await?;
    let created = server.creation_dates(&index).await?.get(&index).copied();
    let placed = primaries_on_hot(server, &index, primaries, tiers).await?;
    server
        .raw(Method::DELETE, &format!("/{index}/_doc/{id}?refresh=true"), None)
        .await?;
    let by_time = created.is_some_and(|created| is_by_time(&index, alias, created));
    let is_back = stored.as_ref() == Some(&document);
    let misplaced = !placed.wrong.is_empty() || placed.primaries != primaries;
    findings.push(
        finding
            .observed(format!(
                "{index}, {} primaries on {}",
                placed.primaries, placed.nodes
            ))
            .judge(by_time && is_back && !misplaced, || {
                if !is_back {
                    format!(
                        "{index} has {} under the id it answered with",
                        shown(stored.as_ref())
                    )
                } else if !by_time {
                    format!("{index} is not named after the alias, the day it was made on and a number")
                } else {
                    format!("{} primaries; {}", placed.primaries, placed.wrong.join("; "))
                }
            }),
    );
    Ok(())
}

/// Whether an index is named `<alias>-<day of its making, UTC>-<six digits>`, as rollover counts on.
fn is_by_time(index: &str, alias: &str, created_ms: i64) -> bool {
    let day = jiff::Timestamp::from_millisecond(created_ms)
        .map(|at| at.strftime("%Y.%m.%d").to_string())
        .unwrap_or_default();
    index
        .strip_prefix(&format!("{alias}-{day}-"))
        .is_some_and(|number| number.len() == 6 && number.bytes().all(|digit| digit.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("logs-2026.01.31-000001", true)]
    #[case("logs-2026.01.31-1", false)]
    #[case("logs-2026.02.01-000001", false)]
    #[case("logs-000001", false)]
    #[case("app-2026.01.31-000001", false)]
    fn an_index_by_time_has_its_alias_day_and_number_in_its_name(
        #[case] index: &str,
        #[case] expected: bool,
    ) {
        // 2026-01-31T12:00:00Z
        assert_eq!(is_by_time(index, "logs", 1_769_860_800_000), expected);
    }
}
