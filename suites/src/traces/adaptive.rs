//! The probability that an operation is told follows its traffic until the wanted rate of samples is seen.
//!
//! Method: a Jaeger as declared whose seconds are shorter, and a service of ours that does what an SDK's remote
//! sampler does: it asks for the probability of each of its operations, keeps traces with it and sends what
//! it kept. Traffic is steady, for each operation at another distance from the target. In a shorter second there
//! is as much traffic, and as many samples are wanted, so that an interval of calculation counts as many as in
//! production; tolerance and first probability are the tree's. Rates are given per second of production. What
//! remains of real time is the 20 s at which Jaeger renews its answers (v2.13,
//! internal/sampling/samplingstrategy/adaptive/provider.go).
//!
//! What Jaeger v2.13 does not do is renew them at all where one instance calculates and answers. One that was built to
//! renew them always answers what it calculates, and goes past the target: counts from before a change still weigh in
//! the next calculation, so that an operation of 100 times the target was told a tenth of it in the end.

use std::time::Duration;

use harness::case::{Case, CaseError, Context};
use harness::component::jaeger::Jaeger;
use harness::drawing::{ConvergenceSeen, Drawing};
use harness::emit::otlp::{Client, Endpoint, Protocol, framed};
use harness::emit::schedule::Schedule;
use harness::finding::{Figure, Finding, Findings};
use harness::judge::sampling::adaptive::{Answer, Goal};
use harness::mutant::{Edit, Mutant};
use harness::stack::{Capability, JaegerClone, Override, Running, TraceStore};
use harness::units::Span;
use harness::verdict::{Level, Verdict};
use harness::wait::{Look, Wait, until_scheduled};
use harness::wire::otlp::Signal;
use serde_json::{Value, json};
use url::Url;

use super::ADAPTIVE;
use super::head::{Operation, request, root};

const SETTINGS: &str = "/extensions/remote_sampling/adaptive";
const PIPELINE: &str = "/spec/config/service/pipelines/traces/processors";
/// The file a Jaeger is started with.
const FILE: &str = "jaeger.yaml";
/// So many seconds of production pass in a real one: Jaeger's timers are divided by it and rates multiplied.
const FASTER: u32 = 12;
/// The service that is played.
const SERVICE: &str = "conform-head";
/// Looks a second at which traces have begun, and every how many of them the strategy is asked for.
const LOOKS: f64 = 10.0;
const ASKS: u64 = 5;
/// How long Jaeger takes to renew its answers (`defaultFollowerProbabilityInterval`, v2.13): once at their target,
/// the operations are watched for as long again.
const RENEWED: Duration = Duration::from_secs(20);
/// Longest until the first calculation, in its intervals.
const FIRST: u32 = 3;
/// The traffic of the operations: by how much it makes more samples than wanted, with the first probability.
const TRAFFIC: [(&str, f64); 3] = [("GET /busiest", 100.0), ("GET /busy", 10.0), ("GET /quiet", 0.5)];

/// The case.
pub(super) fn case() -> Case {
    Case {
        id: "traces/adaptive",
        claim: "the probability that an operation is told follows its traffic and settles where the wanted rate of \
                samples is seen, within the stated tolerance and 60 s of divided time",
        level: Level::Must,
        promises: &["traces-sampling-adaptive"],
        needs: &[Capability::JaegerClone],
        profiles: &["extended"],
        excludes: &[],
        disturbs: None,
        bound: Duration::from_mins(3),
        run: |context| Box::pin(run(context)),
        mutants,
    }
}

fn mutants() -> Vec<Mutant> {
    let setting = |id, change, name: &str, value: Value| {
        Mutant::new(
            id,
            change,
            Edit::set(ADAPTIVE, &format!("/spec/config{SETTINGS}/{name}"), value),
        )
    };
    vec![
        setting(
            "target-doubled",
            "the target is two samples a second",
            "target_samples_per_second",
            json!(2),
        ),
        setting(
            "tolerance-wider",
            "half of the target is tolerated",
            "delta_tolerance",
            json!(0.5),
        ),
        setting(
            "starts-with-a-tenth",
            "operations start with Jaeger's own default, a tenth of the promised share",
            "initial_sampling_probability",
            json!(0.001),
        ),
        setting(
            "calculated-rarely",
            "probabilities are calculated every 20 minutes",
            "calculation_interval",
            json!("20m"),
        ),
        setting(
            "looks-far-back",
            "counts are used when they are an hour old",
            "calculation_delay",
            json!("1h"),
        ),
        setting(
            "never-below-one-percent",
            "no probability is lower than the first one",
            "min_sampling_probability",
            json!(0.01),
        ),
        Mutant::new(
            "nothing-counts",
            "the pipeline counts no traces",
            Edit::set(ADAPTIVE, PIPELINE, json!(["memory_limiter", "batch"])),
        ),
        Mutant::new(
            "two-replicas",
            "two replicas count for themselves",
            Edit::set(ADAPTIVE, "/spec/replicas", 2),
        ),
        Mutant::new(
            "counts-in-elasticsearch",
            "counts are kept where Jaeger cannot keep them",
            Edit::set(
                ADAPTIVE,
                &format!("/spec/config{SETTINGS}/sampling_store"),
                "elasticsearch",
            ),
        ),
        Mutant::new(
            "target-drifts",
            "Jaeger runs with another target than declared",
            Edit::rendered_text(
                FILE,
                "target_samples_per_second: 1",
                "target_samples_per_second: 5",
            ),
        ),
        Mutant::new(
            "counter-drifts",
            "Jaeger runs without the counting that is declared",
            Edit::rendered_text(FILE, "        - adaptive_sampling\n", ""),
        ),
    ]
}

/// What was promised of every operation.
#[derive(Debug, Clone, Copy)]
struct Promised {
    target: f64,
    tolerance: f64,
    initial: f64,
    within: Duration,
}

async fn run(context: Context) -> Result<Findings, CaseError> {
    let contract = &context.contract;
    let id = "traces-sampling-adaptive";
    #[expect(clippy::cast_precision_loss, reason = "a small count")]
    let promised = Promised {
        target: contract.count(id, "target-per-second")? as f64,
        tolerance: contract.ratio(id, "tolerance")?.0,
        initial: contract.ratio(id, "initial")?.0,
        within: contract.duration("harness-adaptive-sampling", "at-most")?,
    };
    let object = context.tree.object(ADAPTIVE)?;
    let declared = object.value.pointer("/spec/config").cloned().unwrap_or_default();
    let replicas = object.value.pointer("/spec/replicas").and_then(Value::as_u64);
    context
        .progress
        .step("", "starting a Jaeger with adaptive sampling, its timers divided");
    let clone = start(&context, &declared).await?;
    let effective = super::declared::running(&clone.file(FILE))?;
    let mut findings = Findings::new();
    for (name, wanted, times) in [
        ("target_samples_per_second", promised.target, FASTER),
        ("delta_tolerance", promised.tolerance, 1),
        ("initial_sampling_probability", promised.initial, 1),
    ] {
        let runs = number(&effective, name).map(|value| value / f64::from(times));
        findings.push(setting(name, number(&declared, name), runs, wanted));
    }
    findings.push(one_place(&declared, replicas));
    findings.push(first_answer(clone.client(), promised.initial).await?);
    if let Err(why) = first_calculation(clone.client(), &effective).await {
        findings.push(
            Finding::of("traces are counted and probabilities calculated")
                .declared(pipeline(&declared))
                .effective(pipeline(&effective))
                .judge(false, || why),
        );
    }
    // With other settings than promised there is nothing to come to.
    if findings.verdict() != Verdict::Pass {
        return Ok(findings);
    }
    let goals = TRAFFIC
        .iter()
        .map(|(name, times)| Played {
            name,
            goal: Goal {
                offered: promised.target / promised.initial * times,
                target: promised.target,
                tolerance: promised.tolerance,
                // No lowest probability is promised: the target is to be reached with any traffic.
                least: 0.0,
                within: promised.within.as_secs_f64(),
            },
            answers: Vec::new(),
            kept: Vec::new(),
        })
        .collect();
    context.progress.step(
        "",
        format!(
            "playing a service of {} operations that asks and samples",
            TRAFFIC.len()
        ),
    );
    let load = play(&context, clone.client(), goals, promised).await?;
    let calculated = Calculated::of(clone.client()).await?;
    judge(&load, promised, calculated, &mut findings);
    Ok(findings)
}

/// The declared Jaeger with shorter seconds: the timers of adaptive sampling and how long spans are gathered on the
/// way to it are divided, rates per second multiplied.
async fn start(context: &Context, declared: &Value) -> Result<Running<Jaeger>, CaseError> {
    let gathered = "/processors/batch/timeout";
    let mut overrides: Vec<Override> = Vec::new();
    let divided = declared
        .pointer(gathered)
        .and_then(Value::as_str)
        .and_then(|text| text.parse::<Span>().ok());
    if let Some(span) = divided {
        overrides.push(Override::new(
            gathered,
            format!("{}ms", span.0.as_millis() / u128::from(FASTER)),
            "time is divided by a whole number so that adaptive sampling can be watched",
        ));
    }
    for name in ["target_samples_per_second", "min_samples_per_second"] {
        if let Some(rate) = number(declared, name) {
            overrides.push(Override::new(
                format!("{SETTINGS}/{name}"),
                rate * f64::from(FASTER),
                "as much is wanted in a divided second as in a whole one",
            ));
        }
    }
    let clone = context
        .stack
        .workshop
        .jaeger(JaegerClone {
            adaptive: true,
            divide_durations_by: FASTER,
            overrides,
            ..JaegerClone::named("adaptive", TraceStore::Memory { max_traces: 10 })
        })
        .await?;
    Ok(clone)
}

fn number(config: &Value, name: &str) -> Option<f64> {
    config
        .pointer(&format!("{SETTINGS}/{name}"))
        .and_then(Value::as_f64)
}

/// A setting as declared and as Jaeger was started with, per second of production, against what is promised.
fn setting(name: &str, declared: Option<f64>, effective: Option<f64>, promised: f64) -> Finding {
    let shown = |value: Option<f64>| value.map_or("nothing".to_owned(), |value| value.to_string());
    let holds = |value: Option<f64>| value.is_some_and(|value| (value - promised).abs() < 1e-9);
    Finding::of(name.replace('_', " "))
        .declared(shown(declared))
        .effective(shown(effective))
        .bound(promised)
        .judge(holds(declared) && holds(effective), || {
            if holds(declared) {
                format!(
                    "Jaeger runs with {}, declared is {}",
                    shown(effective),
                    shown(declared)
                )
            } else {
                format!("declared is {}, promised {promised}", shown(declared))
            }
        })
}

/// What is counted is counted in one place: a store in memory or in a folder is one process's own. Other stores but
/// Cassandra cannot elect the one that calculates (`CreateLock` of the sampling stores, Jaeger v2.13).
fn one_place(declared: &Value, replicas: Option<u64>) -> Finding {
    let store = declared
        .pointer(&format!("{SETTINGS}/sampling_store"))
        .and_then(Value::as_str)
        .unwrap_or_default();
    let kind = declared
        .pointer("/extensions/jaeger_storage/backends")
        .and_then(|backends| backends.get(store)?.as_object()?.keys().next())
        .map_or("no store", String::as_str);
    let replicas = replicas.unwrap_or(1);
    let (own, shared) = (matches!(kind, "memory" | "badger"), kind == "cassandra");
    Finding::of("traces are counted in one place")
        .declared(format!("replicas: {replicas}, counts: {kind}"))
        .bound("one replica with counts of its own, or a store that they share")
        .judge(shared || own && replicas == 1, || {
            if own {
                format!(
                    "{replicas} replicas count in {kind} each for itself, so that none knows the whole rate"
                )
            } else {
                format!("Jaeger does not keep the counts of adaptive sampling in {kind}")
            }
        })
}

/// What an operation that nothing is known of is told.
async fn first_answer(jaeger: &Jaeger, initial: f64) -> Result<Finding, CaseError> {
    let answer = jaeger.sampling(SERVICE).await?;
    let told = answer.probability;
    Ok(Finding::of("probability of a service that nothing is known of")
        .observed(told.map_or("nothing".to_owned(), |told| told.to_string()))
        .bound(initial)
        .judge(told.is_some_and(|told| (told - initial).abs() < 1e-9), || {
            format!("it is told {} where {initial} is promised", answer.raw)
        }))
}

fn pipeline(config: &Value) -> String {
    let names = config
        .pointer("/service/pipelines/traces/processors")
        .and_then(Value::as_array);
    names
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

/// What Jaeger says that it calculated.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Calculated {
    /// How often.
    times: f64,
    /// For how many operations the last time.
    operations: f64,
}

impl Calculated {
    async fn of(jaeger: &Jaeger) -> Result<Self, CaseError> {
        let metrics = jaeger.own_metrics().await?;
        let sum = |name: &str| {
            let of_all: f64 = metrics
                .iter()
                .filter(|(series, _)| series.split('{').next() == Some(name))
                .map(|(_, value)| value)
                .sum();
            // The sum of nothing is -0.
            of_all + 0.0
        };
        Ok(Self {
            times: sum("adaptive_sampling_processor_calculate_probabilities_seconds_count"),
            operations: sum("adaptive_sampling_processor_operations_calculated"),
        })
    }
}

/// Waits for a calculation to have passed just now: traffic that begins then fills whole intervals, and the first
/// count is no part of one. An error says why none came.
async fn first_calculation(jaeger: &Jaeger, effective: &Value) -> Result<(), String> {
    let interval = effective
        .pointer(&format!("{SETTINGS}/calculation_interval"))
        .and_then(Value::as_str)
        .and_then(|text| text.parse::<Span>().ok())
        .map_or(Duration::ZERO, |span| span.0);
    // As many intervals as a readable clock allows: what is calculated every few minutes settles no sooner.
    let bound = (interval * FIRST).clamp(Duration::from_secs(5), RENEWED);
    let before = Calculated::of(jaeger)
        .await
        .map_err(|error| error.to_string())?
        .times;
    Wait::new("the next calculation of probabilities", bound)
        .every(Duration::from_millis(20))
        .until(async || match Calculated::of(jaeger).await {
            Ok(now) if now.times > before => Look::Ready(()),
            Ok(now) => Look::Missing(format!("{} so far", now.times)),
            Err(error) => Look::Missing(error.to_string()),
        })
        .await
        .map_err(|error| error.to_string())
}

/// An operation that is played, and what became of it.
struct Played {
    name: &'static str,
    goal: Goal,
    answers: Vec<Answer>,
    /// When its kept traces began, in seconds.
    kept: Vec<f64>,
}

impl Played {
    /// The probability that it was told last.
    fn probability(&self) -> f64 {
        self.answers.last().map_or(0.0, |answer| answer.probability)
    }

    fn is_there(&self) -> bool {
        self.goal.holds(self.goal.samples(self.probability()))
    }

    /// Kept traces that began from an instant to before another.
    fn kept_between(&self, from: f64, to: f64) -> u64 {
        self.kept.iter().filter(|at| (from..to).contains(*at)).count() as u64
    }

    /// Rates that were seen, each over a stretch as long as Jaeger's answers last.
    fn seen(&self, ends: f64) -> Vec<ConvergenceSeen> {
        let width = RENEWED.as_secs_f64() / 4.0;
        let mut seen = Vec::new();
        let mut at = width;
        while at <= ends {
            #[expect(clippy::cast_precision_loss, reason = "counts of samples are small")]
            let rate = self.kept_between(at - width, at) as f64 / (width * f64::from(FASTER));
            seen.push(ConvergenceSeen { at, rate });
            at += width;
        }
        seen
    }
}

/// A load as it was played.
struct Load {
    operations: Vec<Played>,
    /// Spans that Jaeger took.
    taken: u64,
    /// What it said where it took none.
    refusals: Vec<String>,
    /// From the first trace on, in seconds.
    lasted: f64,
}

/// Plays the service: asks, samples, sends. Ends when there was time to settle; where every operation is at its target
/// then, after the next renewal of Jaeger's answers.
async fn play(
    context: &Context,
    jaeger: &Jaeger,
    mut operations: Vec<Played>,
    promised: Promised,
) -> Result<Load, CaseError> {
    let environment = |why: String| CaseError::Environment(why);
    let to = jaeger.endpoints().otlp_grpc;
    let client = Client::new(&Endpoint {
        url: Url::parse(&format!("http://{to}")).map_err(|error| environment(error.to_string()))?,
        protocol: Protocol::Grpc,
        signal: Signal::Traces,
        headers: Vec::new(),
    })
    .map_err(|error| environment(error.to_string()))?;
    let mut traffic = operations
        .iter()
        .map(|played| Operation::new(played.name, played.goal.offered * f64::from(FASTER), context.seed))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| environment(error.to_string()))?;
    let looks = Schedule::new(LOOKS).map_err(|error| environment(error.to_string()))?;
    let load_start = harness::clock::unix_nanoseconds();
    let start = tokio::time::Instant::now();
    let (mut taken, mut refusals) = (0, Vec::new());
    for look in 0.. {
        let at = looks.instant(look);
        let settling = at < promised.within;
        let staying = at < promised.within + RENEWED && operations.iter().all(Played::is_there);
        if context.cancel.is_cancelled() || !(settling || staying) {
            break;
        }
        until_scheduled(start + at).await;
        if look % ASKS == 0 {
            ask(jaeger, &mut operations, start.elapsed().as_secs_f64()).await?;
        }
        let mut spans = Vec::new();
        for (played, operation) in operations.iter_mut().zip(&mut traffic) {
            let probability = played.probability();
            for kept in operation.begin(at, probability) {
                played.kept.push(kept.instant.as_secs_f64());
                spans.push(root(played.name, kept, probability, load_start));
            }
        }
        if spans.is_empty() {
            continue;
        }
        let count = spans.len() as u64;
        match client.export(framed(&request(SERVICE, spans))).await {
            Ok(answer) if answer.rejected == 0 => taken += count,
            Ok(answer) => refusals.push(format!("{} spans rejected: {}", answer.rejected, answer.words)),
            Err(error) => refusals.push(error.to_string()),
        }
    }
    Ok(Load {
        operations,
        taken,
        refusals,
        lasted: start.elapsed().as_secs_f64(),
    })
}

/// Asks as a remote sampler does. An operation that the answer does not name has the default of operations.
async fn ask(jaeger: &Jaeger, operations: &mut [Played], at: f64) -> Result<(), CaseError> {
    let answer = jaeger.sampling(SERVICE).await?;
    for played in operations {
        let told = answer.operations.get(played.name).copied();
        if let Some(probability) = told.or(answer.probability) {
            played.answers.push(Answer { at, probability });
        }
    }
    Ok(())
}

fn judge(load: &Load, promised: Promised, calculated: Calculated, findings: &mut Findings) {
    let sent: u64 = load
        .operations
        .iter()
        .map(|played| played.kept.len() as u64)
        .sum();
    findings.push(
        Finding::of("Jaeger takes every sample")
            .observed(format!("{} of {sent}", load.taken))
            .bound(sent)
            .unit("spans")
            .judge(load.taken == sent && sent > 0, || {
                load.refusals
                    .first()
                    .map_or("nothing was sampled".to_owned(), Clone::clone)
            }),
    );
    findings.push(answered(load, calculated));
    let mut slowest: Option<f64> = None;
    for played in &load.operations {
        let goal = played.goal;
        let what = format!("{} of {} traces/s", played.name, goal.offered);
        findings.push(goal.finding(&format!("{what}: what it is told"), &played.answers));
        // The rate is seen over the last renewal, when the probability has settled.
        let from = (load.lasted - RENEWED.as_secs_f64()).max(0.0);
        let time = Duration::from_secs_f64((load.lasted - from).max(0.0)) * FASTER;
        let kept = played.kept_between(from, load.lasted);
        #[expect(clippy::cast_precision_loss, reason = "counts of samples are small")]
        let rate = kept as f64 / time.as_secs_f64().max(f64::MIN_POSITIVE);
        findings.push(
            Finding::of(format!("{what}: the rate of its samples"))
                .declared(format!("{} samples/s", promised.target))
                .observed(format!("{rate:.2}"))
                .bound(format!(
                    "{} within {} %, one sample granted",
                    promised.target,
                    promised.tolerance * 100.0
                ))
                .unit("samples/s")
                .judge(goal.holds_counted(kept, time), || {
                    format!(
                        "{kept} samples in the last {:.0} s are {rate:.2} a second, {} are wanted",
                        time.as_secs_f64(),
                        promised.target
                    )
                }),
        );
        if let Some(at) = goal.course(&played.answers).and_then(|course| course.converged) {
            slowest = Some(slowest.map_or(at, |slowest: f64| slowest.max(at)));
        }
    }
    findings.draw(Drawing::Convergence {
        title: "Samples of operations on their way to the wanted rate".to_owned(),
        unit: "samples/s".to_owned(),
        rows: load
            .operations
            .iter()
            .map(|played| {
                let label = format!("{}, {} traces/s", played.name, played.goal.offered);
                played.goal.row(label, &played.answers, played.seen(load.lasted))
            })
            .collect(),
    });
    if let Some(value) = slowest {
        findings.figures.push(Figure {
            what: "convergence of adaptive sampling".to_owned(),
            value,
            bound: promised.within.as_secs_f64(),
            at_least: false,
            unit: "s".to_owned(),
        });
    }
}

/// Whether what was calculated comes to those who ask: first in the findings, for it names the cause of all others.
fn answered(load: &Load, calculated: Calculated) -> Finding {
    let changed = load
        .operations
        .iter()
        .filter(|played| {
            let first = played.answers.first().map(|answer| answer.probability);
            played
                .answers
                .iter()
                .any(|answer| Some(answer.probability) != first)
        })
        .count();
    let moved = load.operations.len();
    Finding::of("what is calculated is answered")
        .effective(format!(
            "calculated {} times, the last time for {} operations",
            calculated.times, calculated.operations
        ))
        .observed(format!("the answers of {changed} of {moved} operations changed"))
        .bound(format!("{moved} change"))
        .judge(changed == moved, || {
            if calculated.operations < 1.0 {
                "no probability was calculated for any operation".to_owned()
            } else if changed == 0 {
                // provider.go of Jaeger v2.13: only who does not hold the lock reads the probabilities again.
                "Jaeger calculates probabilities and does not answer them: it renews its answers only while another \
                 instance holds the lock of its sampling store, and a store of its own always gives it the lock"
                    .to_owned()
            } else {
                format!("the answers of {} operations never changed", moved - changed)
            }
        })
}
