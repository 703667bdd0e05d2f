//! Rules in virtual time: from the table of inputs to what `promtool test
//! rules` reads, and from what it prints back to what each alert did.
//!
//! Each alert lives through three phases: its healthy input, its breach, and
//! its healthy input again. Each phase is long enough for the longest range
//! the expression looks back over to be filled, and for `for` to elapse. The
//! rules are the tree's, unmodified; an alert's test loads the rules that its
//! expression depends on and no others, which keeps one run of all alerts
//! inside a few seconds.

use std::collections::BTreeSet;
use std::time::Duration;

use indexmap::IndexMap;
use serde_json::{Value, json};

use super::expression;
use super::inputs::{AlertInput, AlertInputs, InputKind, InputSeries};
use crate::deploy::{Rule, RuleGroup, RuleKind};
use crate::render::{RenderError, rules};
use crate::units::Span;

/// The intervals virtual time advances by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intervals {
    /// From one sample of a series to the next.
    pub scrape: Duration,
    /// From one evaluation of the rules to the next.
    pub evaluation: Duration,
}

/// The longest window that is run at the declared intervals.
const LONG_WINDOW: Duration = Duration::from_hours(2);

/// One run of `promtool test rules`.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Files by name; all in one folder.
    pub files: IndexMap<String, String>,
    /// Which of them are test files, to be named on the command line.
    pub tests: Vec<String>,
    /// What is asked, in the order of the rules.
    pub checks: Vec<Check>,
}

/// One question of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// The alert it is about.
    pub alert: String,
    /// What is asked.
    pub kind: CheckKind,
    /// The expression that asks it; unique within the plan.
    pub expression: String,
    /// The virtual instant it is asked at.
    pub at: Duration,
    /// The answer that is expected: a [`State`]'s number, or seconds for [`CheckKind::Held`].
    pub expected: f64,
}

/// What a check asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckKind {
    /// It never fired on its healthy input, and is inactive at the end of it.
    Silent,
    /// The shortest time it was active before it fired: `for`, to the next evaluation.
    Held,
    /// It fires at the end of its breach, with the table's labels.
    Fires,
    /// It is inactive at the end of the second healthy phase.
    Resolves,
}

/// What an alert is doing, as the numbers that checks ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Neither pending nor firing.
    Inactive,
    /// Its expression is true, `for` has not elapsed.
    Pending,
    /// It fires.
    Firing,
}

impl State {
    const fn number(self) -> f64 {
        match self {
            Self::Inactive => 0.0,
            Self::Pending => 1.0,
            Self::Firing => 2.0,
        }
    }

    /// The state with this number.
    #[must_use]
    pub fn of(number: f64) -> Option<Self> {
        [Self::Inactive, Self::Pending, Self::Firing]
            .into_iter()
            .find(|state| (state.number() - number).abs() < 0.5)
    }

    /// The state in Prometheus' words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Pending => "pending",
            Self::Firing => "firing",
        }
    }
}

/// A check that did not come out as expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedCheck {
    /// The expression that asked.
    pub expression: String,
    /// What came instead, as printed.
    pub got: String,
}

/// When the phases of an alert end, in virtual time from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phases {
    /// End of the first healthy phase, start of the breach.
    pub healthy: Duration,
    /// End of the breach.
    pub breach: Duration,
    /// End of the second healthy phase.
    pub recovery: Duration,
}

impl Phases {
    /// The phases of a rule with this input.
    ///
    /// A phase lasts the input's window, then `for` (or `keep_firing_for`), then six evaluations:
    /// one for each recording rule in between whose group may be evaluated after the alert's.
    #[must_use]
    pub fn of(rule: &Rule, input: &AlertInput, intervals: Intervals) -> Self {
        let step = intervals.step();
        let margin = 6 * intervals.evaluation;
        let up = |duration: Duration| {
            let steps = duration.as_millis().div_ceil(step.as_millis().max(1));
            step * u32::try_from(steps).unwrap_or(u32::MAX)
        };
        let healthy = up(input.window() + rule.hold.0 + margin);
        let breach = healthy + up(input.window() + rule.hold.0 + margin);
        let recovery = breach + up(input.window() + rule.keep_firing.0 + margin);
        Self {
            healthy,
            breach,
            recovery,
        }
    }
}

impl Intervals {
    /// The intervals an alert with this input is run at: the declared ones, and for windows of more
    /// than two hours as many times longer. A window still holds hundreds of samples, and a day of
    /// virtual time stays a fraction of a second.
    #[must_use]
    pub fn of(self, input: &AlertInput) -> Self {
        let times = input.window().as_secs() / LONG_WINDOW.as_secs();
        let times = u32::try_from(times).unwrap_or(u32::MAX).max(1);
        Self {
            scrape: self.scrape * times,
            evaluation: self.evaluation * times,
        }
    }

    /// The smallest duration that both intervals divide.
    fn step(self) -> Duration {
        let (mut a, mut b) = (self.scrape.as_millis().max(1), self.evaluation.as_millis().max(1));
        let product = a * b;
        while b != 0 {
            (a, b) = (b, a % b);
        }
        Duration::from_millis(u64::try_from(product / a).unwrap_or(u64::MAX))
    }

    /// The first evaluation at or after `duration` from an evaluation.
    #[must_use]
    pub fn evaluation_at(self, duration: Duration) -> Duration {
        let evaluations = duration.as_millis().div_ceil(self.evaluation.as_millis().max(1));
        self.evaluation * u32::try_from(evaluations).unwrap_or(u32::MAX)
    }
}

/// Plans one run for every alert that is both in `groups` and in `inputs`.
///
/// An alert of several rules by one name is planned once, by the first.
pub fn plan(groups: &[RuleGroup], inputs: &AlertInputs, intervals: Intervals) -> Result<Plan, RenderError> {
    let mut plan = Plan {
        files: IndexMap::new(),
        tests: Vec::new(),
        checks: Vec::new(),
    };
    let mut planned = BTreeSet::new();
    for (index, group) in groups.iter().enumerate() {
        for (place, rule) in group.rules.iter().enumerate() {
            let Some(input) = inputs.alerts.get(&rule.name) else {
                continue;
            };
            if rule.kind != RuleKind::Alert || !planned.insert(&rule.name) {
                continue;
            }
            let intervals = intervals.of(input);
            let phases = Phases::of(rule, input, intervals);
            let asked = ask(rule, input, phases, intervals);
            let test = test(&rule.name, input, phases, intervals, &asked);
            plan.add(&rule.name, &needed(groups, (index, place)), intervals, &test)?;
            plan.checks.extend(asked);
        }
    }
    Ok(plan)
}

impl Plan {
    fn add(
        &mut self,
        name: &str,
        groups: &[RuleGroup],
        intervals: Intervals,
        test: &Value,
    ) -> Result<(), RenderError> {
        let mut rule_files = Vec::new();
        // A file a group: groups of one name may stand in different objects, not in one file.
        for (number, group) in groups.iter().enumerate() {
            let file = format!("{name}.rules-{number}.yaml");
            self.files.insert(file.clone(), rules::text([group])?);
            rule_files.push(file);
        }
        let file = json!({
            "rule_files": rule_files,
            "evaluation_interval": Span(intervals.evaluation).to_string(),
            "tests": [test],
        });
        let tests = format!("{name}.test.json");
        self.files.insert(tests.clone(), format!("{file:#}\n"));
        self.tests.push(tests);
        Ok(())
    }
}

/// Adds a test of its own to a plan: all groups together, on these series, for this long.
///
/// `expression` is asked at the end and must have no result; the series' healthy values are played.
pub fn add_silence(
    plan: &mut Plan,
    name: &str,
    groups: &[RuleGroup],
    series: &[InputSeries],
    intervals: Intervals,
    lasts: Duration,
    expression: &str,
) -> Result<(), RenderError> {
    let played: Vec<Value> = series
        .iter()
        .map(|series| {
            json!({
                "series": series.series,
                "values": values(series.kind, &[(series.healthy, lasts)], intervals.scrape),
            })
        })
        .collect();
    let test = json!({
        "name": name,
        "interval": Span(intervals.scrape).to_string(),
        "input_series": played,
        "promql_expr_test": [{"expr": expression, "eval_time": Span(lasts.saturating_sub(intervals.scrape)).to_string()}],
    });
    plan.add(name, groups, intervals, &test)
}

/// The rules that one rule depends on, itself included, each in its own group: what records the
/// metrics it asks for, and what records theirs.
fn needed(groups: &[RuleGroup], own: (usize, usize)) -> Vec<RuleGroup> {
    let mut needed = BTreeSet::from([own]);
    let mut open = vec![own];
    while let Some((group, place)) = open.pop() {
        let metrics = expression::metrics(&groups[group].rules[place].expr).unwrap_or_default();
        for (index, candidates) in groups.iter().enumerate() {
            for (place, candidate) in candidates.rules.iter().enumerate() {
                if candidate.kind == RuleKind::Recording
                    && metrics.contains(&candidate.name)
                    && needed.insert((index, place))
                {
                    open.push((index, place));
                }
            }
        }
    }
    groups
        .iter()
        .enumerate()
        .filter_map(|(index, group)| {
            let rules: Vec<Rule> = group
                .rules
                .iter()
                .enumerate()
                .filter(|(place, _)| needed.contains(&(index, *place)))
                .map(|(_, rule)| rule.clone())
                .collect();
            (!rules.is_empty()).then(|| RuleGroup {
                rules,
                ..group.clone()
            })
        })
        .collect()
}

fn ask(rule: &Rule, input: &AlertInput, phases: Phases, intervals: Intervals) -> Vec<Check> {
    let name = &rule.name;
    let labels = input.labels.iter().fold(String::new(), |texts, (label, value)| {
        format!("{texts},{label}={value:?}")
    });
    let step = Span(intervals.evaluation);
    let check = |kind, expression, end: Duration, expected| Check {
        alert: name.clone(),
        kind,
        expression,
        at: end.saturating_sub(intervals.evaluation),
        expected,
    };
    let state = |labels: &str| {
        format!(
            "2 * max(ALERTS{{alertname=\"{name}\",alertstate=\"firing\"{labels}}}) \
             or max(ALERTS{{alertname=\"{name}\"{labels}}}) or vector(0)"
        )
    };
    // The phase's own samples only: the range ends at its last evaluation and starts after the one
    // before its first.
    let held_for = |length: Duration| {
        format!(
            "min(min_over_time((time() - ALERTS_FOR_STATE{{alertname=\"{name}\"{labels}}} \
             and ignoring (alertstate) ALERTS{{alertname=\"{name}\",alertstate=\"firing\"{labels}}})\
             [{}:{step}])) or vector(-1)",
            Span(length)
        )
    };
    let due = intervals.evaluation_at(rule.hold.0).as_secs_f64();
    let firing = State::Firing.number();
    if input.always {
        return vec![
            check(CheckKind::Fires, state(&labels), phases.healthy, firing),
            check(CheckKind::Held, held_for(phases.healthy), phases.healthy, due),
        ];
    }
    let healthy = Span(phases.healthy);
    let silent = format!(
        "2 * max(max_over_time(ALERTS{{alertname=\"{name}\",alertstate=\"firing\"}}[{healthy}])) \
         or max(ALERTS{{alertname=\"{name}\"}}) or vector(0)"
    );
    let inactive = State::Inactive.number();
    vec![
        check(CheckKind::Silent, silent, phases.healthy, inactive),
        check(
            CheckKind::Held,
            held_for(phases.breach.saturating_sub(phases.healthy)),
            phases.breach,
            due,
        ),
        check(CheckKind::Fires, state(&labels), phases.breach, firing),
        check(CheckKind::Resolves, state(""), phases.recovery, inactive),
    ]
}

fn test(name: &str, input: &AlertInput, phases: Phases, intervals: Intervals, checks: &[Check]) -> Value {
    let series: Vec<Value> = input
        .series
        .iter()
        .map(|series| {
            let course = [
                (series.healthy, phases.healthy),
                (series.breach, phases.breach.saturating_sub(phases.healthy)),
                (series.healthy, phases.recovery.saturating_sub(phases.breach)),
            ];
            json!({
                "series": series.series,
                "values": values(series.kind, &course, intervals.scrape),
            })
        })
        .collect();
    let asked: Vec<Value> = checks
        .iter()
        .map(|check| {
            json!({
                "expr": check.expression,
                "eval_time": Span(check.at).to_string(),
                "exp_samples": [{"labels": "{}", "value": check.expected}],
            })
        })
        .collect();
    json!({
        "name": name,
        "interval": Span(intervals.scrape).to_string(),
        "input_series": series,
        "promql_expr_test": asked,
    })
}

/// The samples of a series in promtool's notation: `a+bxn` is n + 1 samples from a in steps of b,
/// `_xn` n missing ones (documentation of unit testing for rules, Prometheus 3).
#[must_use]
pub fn values(kind: InputKind, course: &[(Option<f64>, Duration)], scrape: Duration) -> String {
    let seconds = scrape.as_secs_f64();
    let mut parts = Vec::new();
    let mut elapsed = 0.0;
    let mut count = 0.0;
    for (value, lasts) in course {
        let samples = lasts.as_millis() / scrape.as_millis().max(1);
        if samples == 0 {
            continue;
        }
        let more = samples - 1;
        #[expect(
            clippy::cast_precision_loss,
            reason = "a phase has far fewer than 2^52 samples"
        )]
        let length = samples as f64;
        match (value, kind) {
            (None, _) => parts.push(format!("_x{samples}")),
            (Some(level), InputKind::Gauge) => parts.push(format!("{}x{more}", plain(*level))),
            (Some(rate), InputKind::Counter) => {
                let step = rate * seconds;
                parts.push(format!("{}+{}x{more}", plain(count + step), plain(step)));
                count += step * length;
            }
            (Some(age), InputKind::Age) => {
                parts.push(format!("{}+{}x{more}", plain(elapsed - age), plain(seconds)));
            }
        }
        elapsed += seconds * length;
    }
    parts.join(" ")
}

/// A number without the dust of binary fractions.
fn plain(value: f64) -> String {
    if value.abs() < 1e6 {
        format!("{}", (value * 1e9).round() / 1e9)
    } else {
        format!("{value}")
    }
}

/// The checks that promtool says did not come out as expected, and what it says besides.
///
/// promtool 3.16 prints `expr: "<quoted>", time: <t>,` followed by lines of `exp:` and `got:`.
#[must_use]
pub fn read(output: &str) -> (Vec<FailedCheck>, Vec<String>) {
    let mut failed: Vec<FailedCheck> = Vec::new();
    let mut other = Vec::new();
    for line in output.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("expr: \"") {
            let (expression, tail) = unquote(rest);
            let got = tail.split_once("err: ").map_or("", |(_, error)| error);
            failed.push(FailedCheck {
                expression,
                got: got.to_owned(),
            });
        } else if let Some(got) = line.strip_prefix("got: ") {
            if let Some(last) = failed.last_mut() {
                got.trim_end_matches(',').clone_into(&mut last.got);
            }
        } else if !(line.is_empty()
            || line.starts_with("exp: ")
            || line.starts_with("name: ")
            || line.starts_with("Processing test file")
            || line == "FAILED:"
            || line == "SUCCESS")
        {
            other.push(line.to_owned());
        }
    }
    (failed, other)
}

/// Reads a Go-quoted text up to its closing quote; the text and what follows.
fn unquote(text: &str) -> (String, &str) {
    let mut read = String::new();
    let mut characters = text.char_indices();
    while let Some((place, character)) = characters.next() {
        match character {
            '"' => return (read, &text[place + 1..]),
            '\\' => match characters.next() {
                Some((_, 'n')) => read.push('\n'),
                Some((_, 't')) => read.push('\t'),
                Some((_, other)) => read.push(other),
                None => {}
            },
            other => read.push(other),
        }
    }
    (read, "")
}

/// The number of a single sample as promtool prints it (`{} 1.2E+02`).
#[must_use]
pub fn number(got: &str) -> Option<f64> {
    got.rsplit(' ').next()?.parse().ok()
}

/// What an alert did instead of what a check expected, as a clause.
#[must_use]
pub fn instead(check: &Check, got: &str) -> String {
    let state = number(got).and_then(State::of).map_or(got, |state| state.name());
    match check.kind {
        CheckKind::Silent => format!("on its healthy input it is {state}"),
        CheckKind::Fires => format!("at the end of its breach it is {state}"),
        CheckKind::Resolves => format!("after its breach it is still {state}"),
        CheckKind::Held => match number(got) {
            Some(seconds) if seconds >= 0.0 => format!(
                "it fired after {} instead of {}",
                span(seconds),
                span(check.expected)
            ),
            _ => "it never fired".to_owned(),
        },
    }
}

fn span(seconds: f64) -> String {
    Duration::try_from_secs_f64(seconds)
        .map_or_else(|_| format!("{seconds} s"), |duration| Span(duration).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;
    use std::path::Path;

    const INTERVALS: Intervals = Intervals {
        scrape: Duration::from_secs(30),
        evaluation: Duration::from_secs(30),
    };

    fn rule(kind: RuleKind, name: &str, expr: &str, hold: &str) -> Rule {
        Rule {
            kind,
            name: name.into(),
            expr: expr.into(),
            hold: hold.parse().unwrap(),
            keep_firing: Span(Duration::ZERO),
            labels: IndexMap::new(),
            annotations: IndexMap::new(),
        }
    }

    fn group(name: &str, rules: Vec<Rule>) -> RuleGroup {
        RuleGroup {
            object: "PrometheusRule/r".into(),
            namespace: "monitoring".into(),
            name: name.into(),
            interval: None,
            rules,
        }
    }

    fn example() -> (Vec<RuleGroup>, AlertInputs) {
        let groups = vec![
            group(
                "ratios",
                vec![rule(
                    RuleKind::Recording,
                    "job:errors:ratio5m",
                    "sum by (job) (rate(errors_total[5m]))",
                    "0",
                )],
            ),
            group("unrelated", vec![rule(RuleKind::Recording, "x:y", "sum(z)", "0")]),
            group(
                "alerts",
                vec![rule(RuleKind::Alert, "Errors", "job:errors:ratio5m > 1", "2m")],
            ),
            group("meta", vec![rule(RuleKind::Alert, "Watchdog", "vector(1)", "0")]),
        ];
        let inputs = AlertInputs::parse(
            Path::new("inputs.yaml"),
            r#"
alerts:
  Errors:
    labels: {job: api}
    window: 5m
    series:
      - {series: 'errors_total{job="api"}', kind: counter, healthy: 0.1, breach: 3}
  Watchdog: {labels: {}, always: true, series: []}
"#,
        )
        .unwrap();
        (groups, inputs)
    }

    #[test]
    fn the_rendered_run_is_as_reviewed() {
        let (groups, inputs) = example();
        let plan = plan(&groups, &inputs, INTERVALS).unwrap();
        assert_eq!(plan.tests, ["Errors.test.json", "Watchdog.test.json"]);
        insta::assert_snapshot!("virtual_time_rules", plan.files["Errors.rules-1.yaml"]);
        insta::assert_snapshot!("virtual_time_test", plan.files["Errors.test.json"]);
        insta::assert_snapshot!("virtual_time_always", plan.files["Watchdog.test.json"]);
    }

    #[rstest]
    #[case(InputKind::Gauge, &[(Some(1.0), 60), (Some(0.0), 90)], "1x1 0x2")]
    #[case(InputKind::Gauge, &[(Some(1.0), 60), (None, 90)], "1x1 _x3")]
    #[case(InputKind::Counter, &[(Some(0.1), 60), (Some(1.0), 60)], "3+3x1 36+30x1")]
    #[case(InputKind::Age, &[(Some(100.0), 60), (Some(-50.0), 60)], "-100+30x1 110+30x1")]
    fn values_in_promtools_notation(
        #[case] kind: InputKind,
        #[case] course: &[(Option<f64>, u64)],
        #[case] expected: &str,
    ) {
        let course: Vec<_> = course
            .iter()
            .map(|(value, seconds)| (*value, Duration::from_secs(*seconds)))
            .collect();
        assert_eq!(values(kind, &course, Duration::from_secs(30)), expected);
    }

    proptest! {
        /// forall phases: the parts hold sum(phase / scrape) samples, absent ones included
        #[test]
        fn every_phase_has_its_samples(phases in prop::collection::vec((prop::option::of(0.0f64..1e4), 1u64..200), 1..5)) {
            let scrape = Duration::from_secs(15);
            let course: Vec<_> = phases.iter().map(|(value, n)| (*value, scrape * u32::try_from(*n).unwrap())).collect();
            let text = values(InputKind::Counter, &course, scrape);
            let samples: u64 = text.split(' ').map(|part| {
                let (start, count) = part.rsplit_once('x').unwrap();
                count.parse::<u64>().unwrap() + u64::from(start != "_")
            }).sum();
            prop_assert_eq!(samples, phases.iter().map(|(_, n)| n).sum::<u64>());
        }

        /// forall hold, evaluation: hold <= evaluation_at(hold) < hold + evaluation
        #[test]
        fn for_ends_at_the_next_evaluation(hold in 0u64..100_000, evaluation in 1u64..10_000) {
            let intervals = Intervals { scrape: Duration::from_secs(1), evaluation: Duration::from_millis(evaluation) };
            let hold = Duration::from_millis(hold);
            let at = intervals.evaluation_at(hold);
            prop_assert!(at >= hold && at < hold + intervals.evaluation);
        }
    }

    #[test]
    fn what_promtool_prints_is_read_back() {
        let output = r#"Processing test file: t.json
  FAILED:
    expr: "max(ALERTS{alertname=\"A\"}) * 2 or vector(0)", time: 6m,
        exp: {} 2E+00
        got: {} 1E+00
    expr: "ALERTS", time: 12m,
        exp: nil
        got: {__name__="ALERTS", alertname="A"} 1E+00
something else
"#;
        let (failed, other) = read(output);
        assert_eq!(failed.len(), 2);
        assert_eq!(
            failed[0].expression,
            "max(ALERTS{alertname=\"A\"}) * 2 or vector(0)"
        );
        assert_eq!(number(&failed[0].got), Some(1.0));
        assert_eq!(failed[1].got, "{__name__=\"ALERTS\", alertname=\"A\"} 1E+00");
        assert_eq!(other, ["something else"]);
    }

    #[rstest]
    #[case(CheckKind::Silent, "{} 2E+00", "on its healthy input it is firing")]
    #[case(CheckKind::Fires, "{} 1E+00", "at the end of its breach it is pending")]
    #[case(CheckKind::Resolves, "{} 2E+00", "after its breach it is still firing")]
    #[case(CheckKind::Held, "{} 1.2E+02", "it fired after 2m instead of 5m")]
    #[case(CheckKind::Held, "{} -1E+00", "it never fired")]
    fn a_failure_says_what_happened_instead(
        #[case] kind: CheckKind,
        #[case] got: &str,
        #[case] expected: &str,
    ) {
        let check = Check {
            alert: "A".into(),
            kind,
            expression: String::new(),
            at: Duration::ZERO,
            expected: 300.0,
        };
        assert_eq!(instead(&check, got), expected);
    }
}
