//! Every replica of the Collector decides the same about a trace, and decides so again after a restart.
//!
//! Method: the same traces through three Collectors as declared, in requests of different sizes and
//! orders, the third restarted between a trace's first and last span. Nothing is predicted here: what one
//! replica keeps the others must keep, each trace whole.

use std::net::SocketAddr;

use harness::case::{Case, CaseError, Context};
use harness::component::collector::Collector;
use harness::emit::sink::{Keep, Sink};
use harness::emit::traces::ledger::TraceLedger;
use harness::finding::{Finding, Findings};
use harness::mutant::{Edit, Mutant};
use harness::stack::{Capability, CollectorClone, Running};
use harness::verdict::Level;
use std::time::Duration;

use super::COLLECTOR;
use super::declared::{config, hash};
use super::sampled_set::{Account, clean, settled, traces};
use super::split::{Dealing, Load, Wanted, send};

/// Every so many buckets have a trace.
const EVERY: usize = 8;
/// How the spans come to each replica.
const DEALINGS: [Dealing; 3] = [
    Dealing {
        batch: 700,
        turned: 0,
    },
    Dealing {
        batch: 256,
        turned: 3,
    },
    Dealing {
        batch: 500,
        turned: 1,
    },
];
/// Number of the replica that is restarted.
const RESTARTED: usize = 2;

/// The case.
pub(super) fn case() -> Case {
    Case {
        id: "traces/replicas-agree",
        claim: "replicas keep the same traces, whatever order their spans come in, and after a restart too",
        level: Level::Must,
        promises: &["traces-sampling-consistent"],
        needs: &[Capability::Collector],
        profiles: &["core"],
        excludes: &[],
        disturbs: None,
        bound: Duration::from_secs(90),
        run: |context| Box::pin(run(context)),
        mutants,
    }
}

fn mutants() -> Vec<Mutant> {
    let condition = "/spec/config/connectors/routing~1origin/table/0/condition";
    vec![
        Mutant::new(
            "drawn-by-lot",
            "the rate of a span is drawn by lot instead of read from where its trace starts",
            Edit::set(COLLECTOR, condition, "IsMatch(UUID(), \"^[0-7]\")"),
        ),
        Mutant::new(
            "lot-drifts",
            "the Collectors run with such a lot that nobody declared",
            Edit::rendered_text(
                "collector.yaml",
                "attributes[\"llmoptimizer.trace.origin\"] == \"ml-service\"",
                "IsMatch(UUID(), \"^[0-7]\")",
            ),
        ),
        Mutant::new(
            "routed-by-span",
            "spans are sampled by the service they are of, which cuts traces apart",
            Edit::set(
                COLLECTOR,
                condition,
                "resource.attributes[\"service.name\"] == \"ml-service\"",
            ),
        ),
        Mutant::new(
            "seeds-differ",
            "the two samplers have different seeds",
            Edit::set(
                COLLECTOR,
                "/spec/config/processors/probabilistic_sampler~1ml/hash_seed",
                23,
            ),
        ),
    ]
}

async fn run(context: Context) -> Result<Findings, CaseError> {
    let hash = hash(&config(&context)?)?;
    let ids: Vec<_> = hash
        .one_for_each_bucket(context.seed)
        .into_iter()
        .step_by(EVERY)
        .collect();
    let [(_, default), (_, rated)] = traces(&context, &ids)?;
    // An ID twice would be one trace, so that each kind has every other one.
    let mut traces: Vec<Wanted> = default.into_iter().step_by(2).collect();
    traces.extend(rated.into_iter().skip(1).step_by(2));

    let mut findings = Findings::new();
    let mut kept = Vec::new();
    for (number, dealing) in DEALINGS.into_iter().enumerate() {
        let name = ["first", "second", "third"][number];
        context
            .progress
            .step("", format!("the {name} replica takes {} traces", traces.len()));
        let sink = Sink::start(Keep::Ledger).map_err(|error| CaseError::Environment(error.to_string()))?;
        let mut clone = context
            .stack
            .workshop
            .collector(CollectorClone::named(format!("{name}-replica"), sink.grpc()))
            .await?;
        let load = Load::new(&traces, dealing);
        let parts = if number == RESTARTED {
            load.halves()
        } else {
            vec![load]
        };
        let whole = take(&context, name, &mut clone, &sink, parts, &mut findings).await?;
        if !whole {
            return Ok(findings);
        }
        kept.push((name, sink.ledger()));
    }
    let anywhere = {
        let mut ledger = TraceLedger::default();
        for (_, one) in &kept {
            for id in one.traces().keys() {
                if !ledger.traces().contains_key(id)
                    && let Some(entry) = one.traces().get(id)
                {
                    ledger.enter(*id, entry.clone());
                }
            }
        }
        ledger
    };
    let spans = super::split::STREAMS as u64;
    for (name, ledger) in &kept {
        let parts = ledger.only(|_, entry| entry.spans != spans);
        findings.push(
            Finding::of(format!("the {name} replica keeps traces whole"))
                .observed(format!("{} of {} kept are in part", parts.len(), ledger.len()))
                .bound("0 in part, some kept")
                .unit("traces")
                .judge(parts.is_empty() && !ledger.is_empty(), || {
                    match parts.traces().first() {
                        Some((id, entry)) => format!("{id} is kept with {} of {spans} spans", entry.spans),
                        None => "it keeps nothing".to_owned(),
                    }
                }),
        );
        let missing = anywhere.only(|id, _| !ledger.traces().contains_key(&id));
        findings.push(
            Finding::of(format!("the {name} replica keeps what the others keep"))
                .observed(format!(
                    "{} kept, {} more kept elsewhere",
                    ledger.len(),
                    missing.len()
                ))
                .bound("0 kept elsewhere")
                .unit("traces")
                .judge(missing.is_empty(), || match missing.traces().first() {
                    Some((id, _)) => format!(
                        "{id} and {} more are kept by another replica and dropped here",
                        missing.len() - 1
                    ),
                    None => String::new(),
                }),
        );
    }
    findings.push(seeds(&context)?);
    Ok(findings)
}

/// Sends parts to a replica that is restarted between them; whether all of it was accounted for.
async fn take(
    context: &Context,
    name: &str,
    clone: &mut Running<Collector>,
    sink: &Sink,
    parts: Vec<Load>,
    findings: &mut Findings,
) -> Result<bool, CaseError> {
    let to: SocketAddr = clone.client().endpoints().otlp_grpc;
    let mut before = 0;
    for (number, part) in parts.into_iter().enumerate() {
        if number > 0 {
            context
                .progress
                .step("", format!("restarting the {name} replica"));
            clone.stop().await?;
            clone.start().await?;
        }
        let sent = send(to, part, &context.cancel).await?;
        // A process that was restarted counts from zero again.
        let account = settled(clone.client(), sink, before, &Account::default(), &sent).await;
        let (account, why) = match account {
            Ok(account) => (account, None),
            Err((account, why)) => (account, Some(why)),
        };
        let arrived = sink.arrived().spans - before;
        let who = format!("{name} replica, part {}", number + 1);
        findings.push(clean(&who, &sent, &account, arrived, why.as_deref()));
        if why.is_some() {
            return Ok(false);
        }
        before = sink.arrived().spans;
    }
    Ok(true)
}

/// One seed for both samplers: what one percentage keeps, the higher keeps as well.
fn seeds(context: &Context) -> Result<Finding, CaseError> {
    let declared = config(context)?;
    let samplers = super::declared::SAMPLERS.map(|(name, _)| super::declared::Sampler::of(&declared, name));
    let [default, rated] = &samplers;
    Ok(Finding::of("both samplers hash alike")
        .declared(format!("{default}; {rated}"))
        .bound("one mode hash_seed and one seed")
        .judge(
            default.mode == "hash_seed" && default.mode == rated.mode && default.seed == rated.seed,
            || format!("{default} and {rated} decide by different hashes"),
        ))
}
