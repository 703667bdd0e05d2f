//! Clients that decide at the head are told the promised probabilities, and soon the changed ones.
//!
//! Method: the shared Jaeger is asked, as an SDK's remote sampler asks, for every service of the shapes;
//! a clone's file of strategies is rewritten while it runs, its interval of reading scaled.

use std::time::{Duration, Instant};

use harness::case::{Case, CaseError, Context};
use harness::component::jaeger::{Jaeger, Sampling};
use harness::finding::{Finding, Findings};
use harness::mutant::{Edit, Mutant};
use harness::stack::{Capability, JaegerClone, STRATEGIES_FILE, TraceStore};
use harness::verdict::Level;
use harness::wait::{Look, Wait};
use serde_json::{Value, json};

use super::JAEGER;

/// The object with the file of strategies.
const STRATEGIES: &str = "ConfigMap/jaeger-sampling-strategies";
const FILE: &str = "/data/strategies.json";
/// How often the clone reads its file.
const RELOAD: Duration = Duration::from_millis(200);
/// Longest until a changed file is followed: many readings, for machines that are busy.
const FOLLOWED: Duration = Duration::from_secs(10);
/// A service that nothing knows, and what it is told after the change.
const UNKNOWN: &str = "conform-unknown";
const CHANGED: f64 = 0.375;

/// The case.
pub(super) fn case() -> Case {
    Case {
        id: "traces/remote-sampling",
        claim: "clients that ask for their probability are told 10 % for the ML service and 1 % else, and changes of it while Jaeger runs",
        level: Level::Must,
        promises: &["traces-sampling-default", "traces-sampling-ml"],
        needs: &[Capability::Jaeger],
        profiles: &["core"],
        excludes: &[],
        disturbs: None,
        bound: Duration::from_secs(60),
        run: |context| Box::pin(run(context)),
        mutants,
    }
}

fn mutants() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "default-doubled",
            "the default probability is doubled",
            Edit::set_embedded(STRATEGIES, FILE, "/default_strategy/param", 0.02),
        ),
        Mutant::new(
            "ml-service-as-all",
            "the ML service has the probability of all others",
            Edit::set_embedded(STRATEGIES, FILE, "/service_strategies/0/param", 0.01),
        ),
        Mutant::new(
            "ml-service-missing",
            "the ML service has no strategy",
            Edit::set_embedded(STRATEGIES, FILE, "/service_strategies", json!([])),
        ),
        Mutant::new(
            "ml-service-mistyped",
            "the strategy names a service that does not exist",
            Edit::set_embedded(STRATEGIES, FILE, "/service_strategies/0/service", "ml-services"),
        ),
        Mutant::new(
            "strategies-drift",
            "Jaeger runs with another default than declared",
            Edit::rendered_text(STRATEGIES_FILE, "\"param\": 0.01", "\"param\": 0.05"),
        ),
        Mutant::new(
            "file-read-once",
            "Jaeger does not look at its file of strategies again",
            Edit::rendered_text("jaeger.yaml", "reload_interval: 200ms", "reload_interval: 1h"),
        ),
    ]
}

async fn run(context: Context) -> Result<Findings, CaseError> {
    let special = context.contract.texts("traces-sampling-ml", "services")?;
    let text = context.tree.object(STRATEGIES)?.text(FILE).to_owned();
    let declared: Value = serde_json::from_str(&text)
        .map_err(|error| CaseError::Failed(format!("{STRATEGIES} {FILE}: {error}")))?;
    let jaeger = context.stack.jaeger()?;
    let mut services: Vec<&str> = context
        .shapes
        .services
        .iter()
        .map(|service| service.name.as_str())
        .chain(special.iter().map(String::as_str))
        .chain([UNKNOWN])
        .collect();
    services.sort_unstable();
    services.dedup();
    let mut findings = Findings::new();
    for service in services {
        let promise = if special.iter().any(|special| special == service) {
            "traces-sampling-ml"
        } else {
            "traces-sampling-default"
        };
        let share = context.contract.ratio(promise, "share")?.0;
        findings.push(told(jaeger, service, share, in_file(&declared, service)).await?);
    }
    findings.push(followed(&context).await?);
    Ok(findings)
}

/// What a service is told.
async fn told(
    jaeger: &Jaeger,
    service: &str,
    share: f64,
    declared: Option<f64>,
) -> Result<Finding, CaseError> {
    let answer = jaeger.sampling(service).await?;
    let holds = |probability: f64| (probability - share).abs() < 1e-9;
    let all = answer.kind == "PROBABILISTIC"
        && answer.probability.is_some_and(holds)
        && answer.operations.values().all(|one| holds(*one));
    let words = words(&answer);
    Ok(Finding::of(format!("probability of {service}"))
        .declared(declared.map_or("nothing".to_owned(), |share| share.to_string()))
        .observed(&words)
        .bound(share)
        .judge(all && declared.is_some_and(holds), || {
            format!("it is told {words} where {share} is promised")
        }))
}

fn words(answer: &Sampling) -> String {
    match (answer.probability, answer.traces_per_second) {
        (Some(probability), None) if answer.operations.is_empty() => probability.to_string(),
        _ => answer.raw.to_string(),
    }
}

/// The probability of a service in a file of strategies (Jaeger's format: the service's own, else the default).
fn in_file(file: &Value, service: &str) -> Option<f64> {
    let own = file
        .pointer("/service_strategies")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .find(|strategy| strategy.get("service").and_then(Value::as_str) == Some(service));
    own.or_else(|| file.get("default_strategy"))
        .and_then(|strategy| strategy.get("param"))
        .and_then(Value::as_f64)
}

/// A changed file is followed while Jaeger runs.
async fn followed(context: &Context) -> Result<Finding, CaseError> {
    let interval = context
        .tree
        .object(JAEGER)?
        .text("/spec/config/extensions/remote_sampling/file/reload_interval")
        .to_owned();
    let clone = context
        .stack
        .workshop
        .jaeger(JaegerClone {
            strategies_reload: Some(RELOAD),
            ..JaegerClone::named("strategies", TraceStore::Memory { max_traces: 10 })
        })
        .await?;
    let before = clone.client().sampling(UNKNOWN).await?;
    let changed = json!({"default_strategy": {"type": "probabilistic", "param": CHANGED}});
    context.progress.step("", "rewriting the file of strategies");
    std::fs::write(clone.file(STRATEGIES_FILE), changed.to_string())?;
    let since = Instant::now();
    let waited = Wait::new("the rewritten strategies", FOLLOWED)
        .until(async || match clone.client().sampling(UNKNOWN).await {
            Ok(answer) if answer.probability == Some(CHANGED) => Look::Ready(since.elapsed()),
            Ok(answer) => Look::Missing(format!("it is told {}", words(&answer))),
            Err(error) => Look::Missing(error.to_string()),
        })
        .await;
    let finding = Finding::of("a changed strategy is told while Jaeger runs")
        .declared(format!("its file is read every {interval}"))
        .effective(format!("every {} ms", RELOAD.as_millis()))
        .bound(format!(
            "{} becomes {CHANGED} within {} s",
            words(&before),
            FOLLOWED.as_secs()
        ));
    Ok(match waited {
        Ok(took) => finding
            .observed(format!("after {:.2} s", took.as_secs_f64()))
            .judge(before.probability != Some(CHANGED), || {
                "it was told so before the change".to_owned()
            }),
        Err(error) => finding.observed("never").judge(false, || error.to_string()),
    })
}
