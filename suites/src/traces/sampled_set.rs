//! The Collector keeps exactly the promised share of traces, whole, by the service they start in.
//!
//! Method: one trace for each of the 16,384 buckets of the sampler's hash through a Collector as
//! declared, its exporter sending to a sink of ours; once for services without a rate of their own,
//! once for the ML service. The spans of a trace travel in different requests. The kept set must be the
//! predicted one: nothing is left to chance, and a percentage that is off by one bucket is seen. It is
//! judged only after the Collector's own counters say that nothing was lost on the way.

use std::time::{Duration, Instant};

use harness::case::{Case, CaseError, Context};
use harness::component::collector::{Collector, Counters, SamplerCounters, Signal};
use harness::drawing::Hop;
use harness::emit::sink::{Keep, Sink};
use harness::emit::traces::ledger::TraceLedger;
use harness::emit::traces::topology::Topology;
use harness::finding::{Figure, Finding, Findings};
use harness::judge::sampling::{HashSeed, compare};
use harness::mutant::{Edit, Mutant};
use harness::stack::{Capability, CollectorClone};
use harness::verdict::Level;
use harness::wait::{Look, Wait};
use harness::wire::otlp::TraceId;

use super::COLLECTOR;
use super::declared::{SAMPLERS, Sampler, config, hash, promised, running};
use super::split::{Dealing, Load, Sent, Wanted, send};

/// Longest until what was accepted is kept, dropped and exported.
const SETTLED: Duration = Duration::from_secs(20);
/// Every so many traces of the default do not say where they start: such traces are the default's, too.
const SILENT: usize = 5;

/// The case.
pub(super) fn case() -> Case {
    Case {
        id: "traces/sampled-set",
        claim: "1 % of traces are kept, 10 % of those that start in the ML service: exactly those that the hash of their ID names, each whole",
        level: Level::Must,
        promises: &[
            "traces-sampling-default",
            "traces-sampling-ml",
            "traces-sampling-consistent",
        ],
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
    let default = "/spec/config/processors/probabilistic_sampler~1default/sampling_percentage";
    vec![
        Mutant::new(
            "one-bucket-more",
            "the default percentage keeps one bucket of 16,384 more",
            Edit::set(COLLECTOR, default, 1.006),
        ),
        Mutant::new(
            "rate-of-the-ml-service",
            "the default percentage is that of the ML service",
            Edit::set(COLLECTOR, default, 10),
        ),
        Mutant::new(
            "one-bucket-less-of-the-ml-service",
            "the ML service's percentage keeps one bucket of 16,384 less",
            Edit::set(
                COLLECTOR,
                "/spec/config/processors/probabilistic_sampler~1ml/sampling_percentage",
                9.99,
            ),
        ),
        Mutant::new(
            "percentage-drifts",
            "the Collector runs with one bucket more than declared",
            Edit::rendered_text(
                "collector.yaml",
                "sampling_percentage: 1\n",
                "sampling_percentage: 1.006\n",
            ),
        ),
        Mutant::new(
            "seed-drifts",
            "the Collector runs with another seed than declared",
            Edit::rendered_text("collector.yaml", "hash_seed: 22", "hash_seed: 23"),
        ),
        Mutant::new(
            "service-mistyped",
            "the route of the ML service names a service that does not exist",
            Edit::replace_text(
                COLLECTOR,
                "/spec/config/connectors/routing~1origin/table/0/condition",
                "\"ml-service\"",
                "\"ml-services\"",
            ),
        ),
        Mutant::new(
            "routed-by-span",
            "spans are sampled by the service they are of, not by the one their trace starts in",
            Edit::replace_text(
                COLLECTOR,
                "/spec/config/connectors/routing~1origin/table/0/condition",
                "attributes[\"llmoptimizer.trace.origin\"]",
                "resource.attributes[\"service.name\"]",
            ),
        ),
        Mutant::new(
            "sampler-gone",
            "the default pipeline has no sampler",
            Edit::set(
                COLLECTOR,
                "/spec/config/service/pipelines/traces~1default/processors",
                serde_json::json!(["batch"]),
            ),
        ),
    ]
}

async fn run(context: Context) -> Result<Findings, CaseError> {
    let declared = config(&context)?;
    let hash = hash(&declared)?;
    let ids = hash.one_for_each_bucket(context.seed);
    let traces = traces(&context, &ids)?;
    let sink = Sink::start(Keep::Ledger).map_err(|error| CaseError::Environment(error.to_string()))?;
    context
        .progress
        .step("", "starting a Collector that exports to a sink");
    let started = Instant::now();
    let clone = context
        .stack
        .workshop
        .collector(CollectorClone::named("collector", sink.grpc()))
        .await?;
    let effective = running(&clone.file("collector.yaml"))?;
    let mut findings = Findings::new();
    let mut before = Account::default();
    for ((sampler, promise), (who, traces)) in SAMPLERS.into_iter().zip(traces) {
        let percentage = promised(&context, promise)?;
        findings.push(percentages(&declared, &effective, sampler, percentage, hash));
        context
            .progress
            .step("", format!("sending {} traces of {who}", traces.len()));
        let load = Load::new(
            &traces,
            Dealing {
                batch: 2048,
                turned: 1,
            },
        );
        sink.forget();
        let sent = send(clone.client().endpoints().otlp_grpc, load, &context.cancel).await?;
        let account = settled(clone.client(), &sink, 0, &before, &sent).await;
        let now = match account {
            Ok(now) => now,
            Err((now, why)) => {
                findings.push(clean(
                    who,
                    &sent,
                    &now.since(&before),
                    sink.arrived().spans,
                    Some(&why),
                ));
                return Ok(findings);
            }
        };
        let arrived = sink.ledger();
        findings.push(clean(who, &sent, &now.since(&before), sink.arrived().spans, None));
        let comparison = compare(hash, percentage, &sent.ledger, &arrived);
        for finding in comparison.findings(who) {
            findings.push(finding);
        }
        findings.push(unaltered(who, &sent.ledger, &arrived));
        findings.draw(comparison.drawing(format!("Kept and dropped by bucket, {who}")));
        before = now;
    }
    findings.figures.push(Figure {
        what: "exact sampling proof".to_owned(),
        value: started.elapsed().as_secs_f64(),
        bound: context
            .contract
            .duration("harness-sampling-proof", "at-most")?
            .as_secs_f64(),
        at_least: false,
        unit: "s".to_owned(),
    });
    Ok(findings)
}

/// One trace for each ID that starts in a service without a rate, and one that starts in one with it.
///
/// Each calls a service of the other kind, so that a rate by the span's service parts the trace.
pub(super) fn traces(
    context: &Context,
    ids: &[TraceId],
) -> Result<[(&'static str, Vec<Wanted>); 2], CaseError> {
    let special = context.contract.texts("traces-sampling-ml", "services")?;
    let topology =
        Topology::new(&context.shapes).map_err(|error| CaseError::Environment(error.to_string()))?;
    let others: Vec<&str> = topology
        .services()
        .iter()
        .map(|service| service.name.as_str())
        .filter(|name| !special.iter().any(|special| special == name))
        .collect();
    if special.is_empty() || others.is_empty() {
        return Err(CaseError::Environment(
            "the shapes have no service with and one without a rate of its own".to_owned(),
        ));
    }
    let one = |at: usize, id: &TraceId, ml: bool| {
        let other = others[at % others.len()].to_owned();
        let rated = special[at % special.len()].clone();
        let (origin, called) = if ml { (rated, other) } else { (other, rated) };
        Wanted {
            id: *id,
            origin,
            says: ml || !at.is_multiple_of(SILENT),
            called,
        }
    };
    let all = |ml| ids.iter().enumerate().map(|(at, id)| one(at, id, ml)).collect();
    Ok([("default", all(false)), ("the ML service", all(true))])
}

/// What a Collector counted.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Account {
    counters: Counters,
    sampler: SamplerCounters,
}

impl Account {
    /// The Collector's counters now.
    pub(super) async fn of(collector: &Collector) -> Result<Self, CaseError> {
        Ok(Self {
            counters: collector.counters(Signal::Spans).await?,
            sampler: collector.sampler().await?,
        })
    }

    /// What was counted since.
    pub(super) fn since(&self, before: &Self) -> Self {
        Self {
            counters: Counters {
                accepted: self.counters.accepted - before.counters.accepted,
                refused: self.counters.refused - before.counters.refused,
                failed: self.counters.failed - before.counters.failed,
                sent: self.counters.sent - before.counters.sent,
                send_failed: self.counters.send_failed - before.counters.send_failed,
                enqueue_failed: self.counters.enqueue_failed - before.counters.enqueue_failed,
            },
            sampler: SamplerCounters {
                sampled: self.sampler.sampled - before.sampler.sampled,
                dropped: self.sampler.dropped - before.sampler.dropped,
            },
        }
    }

    /// What of `sent` spans is not accounted for; none when all are sampled or dropped, and the sampled exported.
    #[expect(clippy::float_cmp, reason = "whole numbers below 2^53")]
    pub(super) fn open(&self, sent: f64) -> Option<String> {
        let (counters, sampler) = (self.counters, self.sampler);
        let open = if counters.accepted != sent {
            format!("{} of {sent} spans accepted", counters.accepted)
        } else if sampler.sampled + sampler.dropped != counters.accepted {
            format!(
                "{} spans sampled and {} dropped of {} accepted",
                sampler.sampled, sampler.dropped, counters.accepted
            )
        } else if counters.sent != sampler.sampled {
            format!("{} spans exported of {} sampled", counters.sent, sampler.sampled)
        } else {
            return None;
        };
        Some(open)
    }

    /// Exported spans.
    pub(super) fn exported(&self) -> f64 {
        self.counters.sent
    }

    /// The Collector's hops of spans of which so many were to be kept.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts are whole and small"
    )]
    pub(super) fn hops(&self, sent: u64, kept: u64) -> Vec<Hop> {
        let (counters, sampler) = (self.counters, self.sampler);
        vec![
            Hop::new("accepted by the Collector", counters.accepted as u64, sent),
            Hop::new(
                "dropped by the sampler",
                sampler.dropped as u64,
                sent.saturating_sub(kept),
            ),
            Hop::new("kept by the sampler", sampler.sampled as u64, kept),
            Hop::new("exported", counters.sent as u64, kept),
        ]
    }

    /// What became of the spans, for a reader.
    pub(super) fn words(&self) -> String {
        let (counters, sampler) = (self.counters, self.sampler);
        let lost = counters.refused + counters.failed + counters.send_failed + counters.enqueue_failed;
        format!(
            "{} accepted = {} kept + {} dropped; {} exported, {lost} lost",
            counters.accepted, sampler.sampled, sampler.dropped, counters.sent
        )
    }
}

/// Waits until the Collector has accounted for all that was sent, and the sink has what it exported.
pub(super) async fn settled(
    collector: &Collector,
    sink: &Sink,
    arrived_before: u64,
    before: &Account,
    sent: &Sent,
) -> Result<Account, (Account, String)> {
    #[expect(clippy::cast_precision_loss, reason = "counts of spans are small")]
    let spans = sent.tally.acknowledged as f64;
    let wait = Wait::new("every span accounted for", SETTLED)
        .every(Duration::from_millis(50))
        .until(async || {
            let now = match Account::of(collector).await {
                Ok(now) => now,
                Err(error) => return Look::Missing(error.to_string()),
            };
            let since = now.since(before);
            if let Some(open) = since.open(spans) {
                return Look::Missing(open);
            }
            #[expect(clippy::cast_precision_loss, reason = "counts of spans are small")]
            let arrived = sink.arrived().spans.saturating_sub(arrived_before) as f64;
            if arrived < since.exported() {
                return Look::Missing(format!(
                    "{arrived} spans arrived of {} exported",
                    since.exported()
                ));
            }
            Look::Ready(now)
        })
        .await;
    match wait {
        Ok(now) => Ok(now),
        // The account as it stands, for the finding.
        Err(error) => Err((Account::of(collector).await.unwrap_or(*before), error.to_string())),
    }
}

/// Waits until the Collector has accounted for all that was sent: what it counted since, and what is still open.
pub(super) async fn account_for(
    collector: &Collector,
    before: &Account,
    sent: &Sent,
) -> Result<(Account, Option<String>), CaseError> {
    #[expect(clippy::cast_precision_loss, reason = "counts of spans are small")]
    let spans = sent.tally.acknowledged as f64;
    let waited = Wait::new("every span accounted for", SETTLED)
        .every(Duration::from_millis(50))
        .until(async || match Account::of(collector).await {
            Ok(now) => match now.since(before).open(spans) {
                None => Look::Ready(()),
                Some(open) => Look::Missing(open),
            },
            Err(error) => Look::Missing(error.to_string()),
        })
        .await;
    let now = Account::of(collector).await?.since(before);
    Ok((now, waited.err().map(|error| error.to_string())))
}

/// Whether nothing was lost, without which a dropped trace cannot be told from a lost one.
pub(super) fn clean(who: &str, sent: &Sent, account: &Account, arrived: u64, why: Option<&str>) -> Finding {
    Finding::of(format!("{who}: no span is lost on the way"))
        .declared(format!("{} spans sent", sent.tally.acknowledged))
        .effective(account.words())
        .observed(format!("{arrived} arrived"))
        .bound("accepted = kept + dropped, exported = kept = arrived")
        .unit("spans")
        .judge(why.is_none() && sent.tally.clean(), || match why {
            Some(why) => why.to_owned(),
            None => format!(
                "{} spans were refused and {} not answered: {}",
                sent.tally.refused,
                sent.tally.unanswered,
                sent.tally.failures.first().map_or("", |failure| &failure.words)
            ),
        })
}

/// The declared, effective and promised percentage.
fn percentages(
    declared: &serde_json::Value,
    effective: &serde_json::Value,
    name: &str,
    percentage: f32,
    hash: HashSeed,
) -> Finding {
    let (tree, file) = (Sampler::of(declared, name), Sampler::of(effective, name));
    let wanted = Sampler {
        mode: "hash_seed".to_owned(),
        seed: Some(hash.0),
        percentage: Some(f64::from(percentage)),
    };
    Finding::of(format!("settings of {name}"))
        .declared(&tree)
        .effective(&file)
        .bound(&wanted)
        .judge(tree == wanted && file == wanted, || {
            if tree == wanted {
                format!("the Collector runs with {file}, declared is {tree}")
            } else {
                format!("declared is {tree}, promised {wanted}")
            }
        })
}

/// What arrived of the kept traces is what was sent.
fn unaltered(who: &str, sent: &TraceLedger, arrived: &TraceLedger) -> Finding {
    let kept = sent.only(|id, _| arrived.traces().contains_key(&id));
    let differences = kept.compare(arrived);
    Finding::of(format!("{who}: kept traces are as they were sent"))
        .observed(format!("{} of {} differ", differences.len(), kept.len()))
        .bound("0 differ")
        .unit("traces")
        .judge(differences.is_empty(), || match differences.first() {
            Some((id, difference)) => format!("{id}: {difference:?}"),
            None => String::new(),
        })
}
