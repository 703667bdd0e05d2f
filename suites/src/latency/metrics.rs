//! A Prometheus as declared, with a day of the whole stack in it, and what is asked of it.

use std::collections::HashSet;
use std::time::Duration;

use harness::case::{CaseError, Context};
use harness::component::prometheus::Prometheus;
use harness::deploy::RuleKind;
use harness::finding::{Finding, Findings};
use harness::judge::alerts::expression;
use harness::queries::{PanelKind, Queries};
use harness::stack::{PrometheusClone, PrometheusInstance, RuleSet};
use harness::units::Span;

use super::history::{self, Day, Recorded};
use super::measure::Question;
use crate::history::{milliseconds, now_ms, seconds};

/// How deep rules may rest on each other's results.
const DEPTH: usize = 3;

/// A server that is asked.
pub(super) struct Loaded {
    /// It.
    pub(super) server: Box<dyn PrometheusInstance>,
    /// The instant of the newest sample, in unix seconds; nothing later is asked for, so that answers
    /// do not change.
    pub(super) end: f64,
    /// What is asked of it.
    pub(super) questions: Vec<Question>,
    /// The expressions of the questions.
    pub(super) expressions: Vec<String>,
}

/// Loads a server with history and says what is loaded and what limits it has.
pub(super) async fn load(
    context: &Context,
    queries: &Queries,
    kind: PanelKind,
    findings: &mut Findings,
) -> Result<Loaded, CaseError> {
    let span = queries.metrics.history;
    context
        .progress
        .step("", format!("writing {span} of every series as blocks"));
    let day = Day::of(context)?;
    let (questions, expressions) = questions(context, queries, kind, &day.metrics())?;
    let data = context.stack.workshop.scratch("latency-history")?.join("data");
    let to = now_ms();
    let from = to - milliseconds(span.0);
    let place = data.clone();
    let mut written = tokio::task::spawn_blocking(move || day.write(&place, from, to))
        .await
        .map_err(|error| CaseError::Environment(error.to_string()))??;

    context
        .progress
        .step("", "recording what the loaded rules record of it");
    let mut clone = PrometheusClone::named("latency");
    clone.data = Some(data);
    clone.rules = RuleSet::Declared;
    let mut server = context.stack.workshop.prometheus(clone).await?;
    let end = seconds(to);
    let every: Span = context
        .tree
        .object("Prometheus/prometheus")?
        .text("/spec/evaluationInterval")
        .parse()
        .map_err(|error| CaseError::Failed(format!("spec.evaluationInterval: {error}")))?;
    let mut known = HashSet::new();
    // Rules that read what others record have a value only once that is there.
    for _ in 0..DEPTH {
        let (fresh, waiting) = recorded(server.client(), end, &known, every.0).await?;
        if fresh.is_empty() {
            break;
        }
        known.extend(fresh.iter().map(|rule| rule.name.clone()));
        server.stop().await?;
        let (data, seed, pass) = (server.data(), context.seed, known.len());
        let record = move || history::record(&data, &fresh, (from, to), seed.derive(&pass.to_string()));
        written.extend(
            tokio::task::spawn_blocking(record)
                .await
                .map_err(|error| CaseError::Environment(error.to_string()))??,
        );
        server.start().await?;
        if !waiting {
            break;
        }
    }

    let blocks = server.client().blocks().await?;
    let sum =
        |each: &dyn Fn(&harness::component::prometheus::Block) -> u64| blocks.iter().map(each).sum::<u64>();
    let samples: u64 = written.iter().map(|one| one.samples).sum();
    let series = written.iter().map(|one| (one.min_time, one.series));
    let mut by_block = std::collections::BTreeMap::new();
    for (at, count) in series {
        *by_block
            .entry(at / milliseconds(Duration::from_secs(3600)))
            .or_insert(0) += count;
    }
    findings.push(
        Finding::of("data that is asked for")
            .declared(format!(
                "{span} of {} series: {samples} samples",
                by_block.values().max().copied().unwrap_or(0u64)
            ))
            .effective(format!(
                "{} samples in {} blocks",
                sum(&|one| one.samples),
                blocks.len()
            ))
            .bound("all of it loaded")
            .judge(sum(&|one| one.samples) == samples, || {
                "the server has not loaded what was written".to_owned()
            }),
    );
    limits(context, server.client(), findings).await?;
    Ok(Loaded {
        server,
        end,
        questions,
        expressions,
    })
}

/// What the rules that the server has loaded give at the end of the day, but for those `known`
/// already; and whether a rule without a value reads what is recorded by one that has got one only now.
async fn recorded(
    server: &Prometheus,
    end: f64,
    known: &HashSet<String>,
    every: Duration,
) -> Result<(Vec<Recorded>, bool), CaseError> {
    let (mut recorded, mut empty) = (Vec::new(), Vec::new());
    for rule in server.rules().await? {
        if rule.kind != "recording" || known.contains(&rule.name) {
            continue;
        }
        // A server that refuses is found out when it is asked the same again.
        let samples = server.query(&rule.query, Some(end)).await.unwrap_or_default();
        if samples.is_empty() {
            empty.push(rule.query);
        } else {
            recorded.push(Recorded {
                samples,
                // A server that evaluates more often than declared has no more of a past for that.
                every: every.max(Duration::from_secs_f64(rule.interval)),
                name: rule.name,
            });
        }
    }
    let waiting = empty
        .iter()
        .filter_map(|query| expression::selectors(query).ok())
        .flatten()
        .filter_map(|selector| selector.metric)
        .any(|metric| recorded.iter().any(|rule| rule.name == metric));
    Ok((recorded, waiting))
}

/// Every recording and alert expression, and the panels.
fn questions(
    context: &Context,
    queries: &Queries,
    kind: PanelKind,
    there: &HashSet<&str>,
) -> Result<(Vec<Question>, Vec<String>), CaseError> {
    let (mut questions, mut expressions) = (Vec::new(), Vec::new());
    let mut add = |name: String, holds_data, expression: &str| {
        questions.push(Question { name, holds_data });
        expressions.push(expression.to_owned());
    };
    for group in context.tree.rule_groups()? {
        for rule in &group.rules {
            match rule.kind {
                // An alert's expression gives nothing while all is well.
                RuleKind::Alert => add(format!("alert {}", rule.name), false, &rule.expr),
                RuleKind::Recording => {
                    // Native histograms and the servers' own metrics are not part of the history.
                    let asks = expression::selectors(&rule.expr).map_err(CaseError::Failed)?;
                    let holds = asks
                        .iter()
                        .all(|one| one.metric.as_deref().is_some_and(|metric| there.contains(metric)));
                    add(format!("rule {}", rule.name), holds, &rule.expr);
                }
            }
        }
    }
    for panel in &queries.metrics.panels {
        if panel.kind == kind {
            add(format!("panel {}", panel.name), true, &panel.expr);
        }
    }
    Ok((questions, expressions))
}

/// The server's own limits of a query, as declared and as they are.
async fn limits(context: &Context, server: &Prometheus, findings: &mut Findings) -> Result<(), CaseError> {
    let object = context.tree.object("Prometheus/prometheus")?;
    let flags = server.flags().await?;
    for (field, flag) in [
        ("timeout", "query.timeout"),
        ("maxSamples", "query.max-samples"),
        ("maxConcurrency", "query.max-concurrency"),
    ] {
        let Some(declared) = object.value.pointer(&format!("/spec/query/{field}")) else {
            continue;
        };
        let declared = declared
            .as_str()
            .map_or_else(|| declared.to_string(), str::to_owned);
        let effective = flags.get(flag).cloned().unwrap_or_default();
        let same = match (declared.parse::<Span>(), effective.parse::<Span>()) {
            (Ok(declared), Ok(effective)) => declared == effective,
            _ => declared == effective,
        };
        findings.push(
            Finding::of(format!("limit of a query, {flag}"))
                .declared(&declared)
                .effective(&effective)
                .judge(same, || {
                    format!("the server runs with {effective}, {declared} is declared")
                }),
        );
    }
    Ok(())
}

/// How many series an answer of Prometheus holds, without reading it as a whole: each has its
/// `metric` once, and no label or value can hold the same text unescaped.
pub(super) fn series(answer: String) -> usize {
    let count = answer.matches("{\"metric\":{").count();
    drop(answer);
    count
}
