//! The way from questions to findings that every latency case goes: ask at a pace, look at the
//! latencies against the budgets of this machine, look again while undecided.

use std::future::Future;
use std::time::Duration;

use harness::case::{CaseError, Context};
use harness::drawing::{Drawing, LatencyMark, LatencyRow};
use harness::emit::queries::{self, Asked, Load};
use harness::emit::schedule::Schedule;
use harness::finding::{Figure, Finding, Findings};
use harness::judge::latency::budget::{self, Budget, Estimate, Judgement, Looks};
use harness::judge::latency::machine::Machine;
use harness::queries::{PERCENTILES, Pace};
use harness::runner::calibrate;
use harness::units::Span;
use harness::verdict::Verdict;

/// The promise that says what budgets become on which machine.
pub(super) const MACHINE: &str = "query-latency-machine";

/// One question.
#[derive(Debug, Clone)]
pub(super) struct Question {
    /// What it is, for example `panel traffic` or `alert NodeDown`.
    pub(super) name: String,
    /// Whether its answer has to hold data: the data it asks for is there.
    pub(super) holds_data: bool,
}

/// What is measured.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// What is measured, for example `instant queries`.
    pub(super) what: &'static str,
    /// The promise with its budgets.
    pub(super) promise: &'static str,
    /// How it is asked.
    pub(super) pace: Pace,
    /// What is asked.
    pub(super) questions: Vec<Question>,
}

/// A percentile's budget as promised and as it is on this machine.
#[derive(Debug, Clone, Copy)]
struct Promised {
    /// The contract's name of the percentile.
    name: &'static str,
    budget: Budget,
}

/// What was measured, before it is judged.
#[derive(Debug)]
pub(super) struct Measured {
    plan: Plan,
    promised: Vec<Promised>,
    looks: Looks,
    /// The machine before.
    machine: Machine,
    /// Questions a second.
    rate: f64,
    first: Vec<Asked<usize>>,
    asked: Vec<Asked<usize>>,
}

/// Asks the questions.
///
/// `ask` gives the whole answer to a question by its number; `read` counts the things in it (series,
/// traces, documents, lines), off the clock. Every question is asked once beforehand: caches are warm
/// as those of a dashboard that is open, and every later answer has to hold as much as the first.
/// `machine` is as it was before the server under test ran: a server that keeps it busy must not
/// excuse itself by that.
pub(super) async fn measure<A, F, Fut>(
    context: &Context,
    plan: Plan,
    machine: Machine,
    ask: F,
    read: fn(A) -> usize,
) -> Result<Measured, CaseError>
where
    A: Send + 'static,
    F: Fn(usize) -> Fut,
    Fut: Future<Output = Result<A, String>> + Send + 'static,
{
    let unsound = |why: String| CaseError::Environment(format!("{}: {why}", harness::queries::FILE));
    let looks = plan.pace.looks().map_err(unsound)?;
    let promised = promised(context, plan.promise)?;
    let count = plan.questions.len();
    // A machine half as fast is asked half as often: the same share of it is busy.
    let rate = plan.pace.rate / machine.factor().unwrap_or(machine.most);
    let load = Load {
        schedule: Schedule::new(rate).map_err(|error| unsound(error.to_string()))?,
        at_once: plan.pace.at_once,
        seed: context.seed,
    };
    context.progress.step(
        "",
        format!("asking each of {count} questions once, {rate:.0} a second"),
    );
    let first = queries::run(load, count, 0, count, &ask, read).await;
    let mut asked: Vec<Asked<usize>> = Vec::new();
    // Refusals are no latencies, and one is enough to fail.
    let refused = first.iter().any(|one| one.answer.is_err());
    for size in looks.sizes() {
        if refused {
            break;
        }
        let estimates = estimated(&promised, &asked, &looks);
        let undecided = promised.iter().zip(&estimates).any(|(one, estimate)| {
            let budget = machine.budget(one.budget.most).or_else(|| {
                // A machine too slow for any other verdict may still show that the budget is kept as
                // promised. It is asked once for that, and only where the first round was inside.
                let round = budget::estimate(&latencies(&first), one.budget.quantile, looks.confidence());
                let inside = round.point.is_some_and(|point| point <= one.budget.most);
                (asked.is_empty() && inside).then_some(one.budget.most)
            });
            budget.is_some_and(|budget| estimate.judge(budget) == Judgement::Undecided)
        });
        if !undecided {
            break;
        }
        let more = size - asked.len();
        context
            .progress
            .step("", format!("asking {more} times, {rate:.0} a second"));
        // The first round was that of the answers to compare with.
        let from = count + asked.len();
        asked.extend(queries::run(load, count, from, more, &ask, read).await);
    }
    Ok(Measured {
        plan,
        promised,
        looks,
        machine,
        rate,
        first,
        asked,
    })
}

impl Measured {
    /// Judges what was measured. The server under test should be stopped where it can be: the
    /// machine is measured once more, and the slower of the two moments counts.
    pub(super) async fn judge(mut self, context: &Context, findings: &mut Findings) -> Result<(), CaseError> {
        self.machine = self.machine.slower(machine(context).await?);
        let Self {
            plan,
            promised,
            looks,
            machine,
            rate,
            first,
            asked,
        } = self;
        let estimates = estimated(&promised, &asked, &looks);
        findings.push(
            Finding::of(format!("pace of {}", plan.what))
                .declared(format!("{} a second", plan.pace.rate))
                .observed(format!(
                    "{rate:.1} a second, {} at once at most, sent {} late at most",
                    plan.pace.at_once,
                    milliseconds(asked.iter().map(Asked::late).max().unwrap_or_default())
                )),
        );
        answers(&plan, &first, &asked, findings);
        percentiles(&plan, &promised, &estimates, &looks, machine, findings);
        slowest(&plan, &promised, &asked, machine, findings);
        draw(&plan, &promised, &estimates, &asked, machine, findings);
        Ok(())
    }
}

fn estimated(promised: &[Promised], asked: &[Asked<usize>], looks: &Looks) -> Vec<Estimate> {
    let sorted = latencies(asked);
    promised
        .iter()
        .map(|one| budget::estimate(&sorted, one.budget.quantile, looks.confidence()))
        .collect()
}

fn promised(context: &Context, promise: &str) -> Result<Vec<Promised>, CaseError> {
    PERCENTILES
        .into_iter()
        .map(|(name, quantile)| {
            Ok(Promised {
                name,
                budget: Budget {
                    quantile,
                    most: context.contract.duration(promise, name)?,
                },
            })
        })
        .collect()
}

/// The machine as it is now: what else runs on it slows the server down as well.
pub(super) async fn machine(context: &Context) -> Result<Machine, CaseError> {
    #[expect(clippy::cast_precision_loss, reason = "small numbers of the contract")]
    let count = |name| context.contract.count(MACHINE, name).map(|count| count as f64);
    let (reference, most) = (count("mebibytes-per-second")?, count("slower-at-most")?);
    let measured = tokio::task::spawn_blocking(calibrate::work_per_second)
        .await
        .map_err(|error| CaseError::Environment(format!("the machine could not be measured: {error}")))?;
    Ok(Machine {
        measured,
        reference,
        most,
    })
}

/// Latencies of the answers, shortest first.
fn latencies(asked: &[Asked<usize>]) -> Vec<Duration> {
    let mut latencies: Vec<Duration> = asked
        .iter()
        .filter(|one| one.answer.is_ok())
        .map(Asked::latency)
        .collect();
    latencies.sort_unstable();
    latencies
}

/// Whether every question is answered, with data where there is some, and every time with as much.
fn answers(plan: &Plan, first: &[Asked<usize>], asked: &[Asked<usize>], findings: &mut Findings) {
    let name = |one: &Asked<usize>| {
        plan.questions
            .get(one.question)
            .map_or("a question", |question| question.name.as_str())
            .to_owned()
    };
    let all = || first.iter().chain(asked);
    let refused: Vec<String> = all()
        .filter_map(|one| {
            one.answer
                .as_ref()
                .err()
                .map(|why| format!("{}: {why}", name(one)))
        })
        .collect();
    findings.push(
        Finding::of(format!("answers to {}", plan.what))
            .observed(format!("{} of {} refused", refused.len(), all().count()))
            .bound("none refused")
            .judge(refused.is_empty(), || {
                format!(
                    "{} were refused, the first: {}",
                    refused.len(),
                    refused.first().map_or("", String::as_str)
                )
            }),
    );
    let expected: Vec<&Question> = plan.questions.iter().filter(|one| one.holds_data).collect();
    let empty: Vec<String> = first
        .iter()
        .filter(|one| {
            one.answer == Ok(0)
                && plan
                    .questions
                    .get(one.question)
                    .is_some_and(|question| question.holds_data)
        })
        .map(name)
        .collect();
    let mut sizes = vec![None; plan.questions.len()];
    for one in first {
        if let (Ok(size), Some(place)) = (&one.answer, sizes.get_mut(one.question)) {
            *place = Some(*size);
        }
    }
    let differs = asked.iter().find(|one| {
        matches!((&one.answer, sizes.get(one.question)), (Ok(size), Some(Some(before))) if size != before)
    });
    findings.push(
        Finding::of(format!("data in the answers to {}", plan.what))
            .declared(format!(
                "{} of {} questions ask for data that is there",
                expected.len(),
                plan.questions.len()
            ))
            .observed(format!("{} of them come back empty", empty.len()))
            .bound("none empty, and every answer as large as the first")
            .judge(empty.is_empty() && differs.is_none(), || match differs {
                _ if !empty.is_empty() => format!("empty although the data is there: {}", empty.join(", ")),
                Some(one) => format!("{} is answered with more or less than the first time", name(one)),
                None => String::new(),
            }),
    );
}

/// Each percentile against its budget.
fn percentiles(
    plan: &Plan,
    promised: &[Promised],
    estimates: &[Estimate],
    looks: &Looks,
    machine: Machine,
    findings: &mut Findings,
) {
    for (one, estimate) in promised.iter().zip(estimates) {
        let finding = Finding::of(format!("{} of {}", one.name, plan.what))
            .declared(Span(one.budget.most))
            .effective(machine.words(one.budget.most))
            .observed(words(estimate, looks));
        let Some(budget) = machine.budget(one.budget.most) else {
            // What is fast enough on a slow machine is so on the reference.
            findings.push(if estimate.judge(one.budget.most) == Judgement::Kept {
                finding.bound(format!(
                    "upper bound at most {}, as promised",
                    Span(one.budget.most)
                ))
            } else {
                finding.verdict(
                    Verdict::Environment,
                    format!(
                        "{}: latencies say nothing about the stack",
                        machine.words(one.budget.most)
                    ),
                )
            });
            continue;
        };
        let finding = finding.bound(format!("upper bound at most {}", milliseconds(budget)));
        findings.push(match estimate.judge(budget) {
            Judgement::Kept => finding,
            Judgement::Broken => finding.verdict(
                Verdict::Fail,
                format!(
                    "even the lower bound, {}, is beyond the budget of {}",
                    estimate.lower.map_or_else(|| "none".to_owned(), milliseconds),
                    milliseconds(budget)
                ),
            ),
            Judgement::Undecided => finding.verdict(
                Verdict::Insufficient,
                format!(
                    "the budget of {} lies between the bounds after {} answers",
                    milliseconds(budget),
                    estimate.samples
                ),
            ),
        });
        if let Some(upper) = estimate.upper {
            findings.figures.push(Figure {
                what: format!("{} {}, upper bound", plan.what, one.name),
                value: upper.as_secs_f64() * 1e3,
                bound: budget.as_secs_f64() * 1e3,
                at_least: false,
                unit: "ms".to_owned(),
            });
        }
    }
}

/// `12.3 ms, between 11.9 ms and 14.2 ms (450 answers, each bound at 97.5 %)`.
fn words(estimate: &Estimate, looks: &Looks) -> String {
    let say = |value: Option<Duration>| value.map_or_else(|| "unknown".to_owned(), milliseconds);
    format!(
        "{}, between {} and {} ({} answers, each bound at {:.1} %)",
        say(estimate.point),
        say(estimate.lower),
        say(estimate.upper),
        estimate.samples,
        looks.confidence() * 100.0
    )
}

/// Whether some single question is beyond the budget although all together are inside it: a slow
/// panel hides among a hundred fast ones.
///
/// Its own answers are few; but if its 99th percentile were inside the budget, most of a handful
/// beyond it would be a wonder. The risk is shared among the questions.
fn slowest(
    plan: &Plan,
    promised: &[Promised],
    asked: &[Asked<usize>],
    machine: Machine,
    findings: &mut Findings,
) {
    let Some((one, budget)) = promised
        .last()
        .and_then(|one| Some((one, machine.budget(one.budget.most)?)))
    else {
        return;
    };
    let questions = u32::try_from(plan.questions.len().max(1)).unwrap_or(u32::MAX);
    let confidence = 1.0 - budget::RISK / f64::from(questions);
    let slowest = (0..plan.questions.len())
        .filter_map(|question| {
            let own: Vec<Asked<usize>> = asked
                .iter()
                .filter(|asked| asked.question == question)
                .cloned()
                .collect();
            let estimate = budget::estimate(&latencies(&own), one.budget.quantile, confidence);
            Some((estimate.lower?, estimate, question))
        })
        .max_by_key(|(lower, ..)| *lower);
    let Some((lower, estimate, question)) = slowest else {
        return;
    };
    let name = &plan.questions[question].name;
    findings.push(
        Finding::of(format!("slowest of the questions: {name}"))
            .declared(Span(one.budget.most))
            .observed(format!(
                "{} at least, {} of {} answers",
                milliseconds(lower),
                one.name,
                estimate.samples
            ))
            .bound(format!("lower bound at most {}", milliseconds(budget)))
            .judge(estimate.judge(budget) != Judgement::Broken, || {
                format!(
                    "{name} takes {} or more, beyond the budget of {}",
                    milliseconds(lower),
                    milliseconds(budget)
                )
            }),
    );
}

fn draw(
    plan: &Plan,
    promised: &[Promised],
    estimates: &[Estimate],
    asked: &[Asked<usize>],
    machine: Machine,
    findings: &mut Findings,
) {
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    findings.draw(Drawing::Latencies {
        title: format!("Latency of {} against its budget", plan.what),
        rows: vec![LatencyRow {
            label: plan.what.to_owned(),
            values: latencies(asked).into_iter().map(ms).collect(),
            marks: promised
                .iter()
                .zip(estimates)
                .map(|(one, estimate)| LatencyMark {
                    label: one.name.to_owned(),
                    quantile: one.budget.quantile,
                    lower: estimate.lower.map(ms),
                    upper: estimate.upper.map(ms),
                    promised: ms(one.budget.most),
                    budget: machine.budget(one.budget.most).map(ms),
                })
                .collect(),
        }],
    });
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}
