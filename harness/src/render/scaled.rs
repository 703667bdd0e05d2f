//! Rule groups with every duration divided, for watching in seconds what
//! production does in minutes.
//!
//! What is divided: the group's interval, `for` and `keep_firing_for`, and in
//! expressions ranges, offsets, and the ranges and steps of subqueries. What is
//! not: thresholds, also those that are seconds, which is why [`Scaled::clocks`]
//! names the rules that read a clock. The text of an expression is changed at
//! the durations alone, and each copy is proven: parsed, it is the parsed
//! production expression with its durations divided.

use std::time::Duration;

use hex::encode;
use promql_parser::parser::{Expr, parse};
use sha2::{Digest, Sha256};

use super::{RenderError, rules};
use crate::deploy::{Rule, RuleGroup};
use crate::units::Span;

mod ast;
mod text;

/// A group whose durations are divided.
#[derive(Debug, Clone, PartialEq)]
pub struct Scaled {
    /// The scaled group.
    pub group: RuleGroup,
    /// A rule file of the scaled group.
    pub text: String,
    /// SHA-256, in hexadecimal, of the rule file of the unmodified production group.
    pub source: String,
    /// What every duration was divided by.
    pub divisor: u32,
    /// Rules that read a clock (`time()`, `timestamp()`, `predict_linear()`, ...), with the
    /// functions they call: seconds they compare with are not divided.
    pub clocks: Vec<(String, Vec<String>)>,
}

/// Why a group cannot be scaled.
#[derive(Debug, thiserror::Error)]
pub enum ScaleError {
    /// An expression does not parse.
    #[error("the expression of {rule} does not parse: {why}")]
    Unparsable {
        /// The rule.
        rule: String,
        /// The parser's words.
        why: String,
    },
    /// A duration is no whole number of milliseconds once divided.
    #[error(
        "{place} of {rule} is {duration}, which {divisor} does not divide into whole milliseconds; choose a divisor of it"
    )]
    Inexact {
        /// The rule or group.
        rule: String,
        /// Which duration.
        place: &'static str,
        /// The duration as written.
        duration: String,
        /// The divisor.
        divisor: u32,
    },
    /// The scaled expression is not the production expression scaled.
    #[error("the scaled expression `{scaled}` of {rule} is not `{original}` with its durations divided")]
    Unproven {
        /// The rule.
        rule: String,
        /// The production expression.
        original: String,
        /// The scaled one.
        scaled: String,
    },
    /// The rule file cannot be written.
    #[error(transparent)]
    Render(#[from] RenderError),
}

/// Functions that read a clock.
const CLOCKS: [&str; 11] = [
    "time",
    "timestamp",
    "predict_linear",
    "minute",
    "hour",
    "day_of_week",
    "day_of_month",
    "day_of_year",
    "days_in_month",
    "month",
    "year",
];

/// The group with every duration divided by `divisor` (0 counts as 1).
pub fn scale(group: &RuleGroup, divisor: u32) -> Result<Scaled, ScaleError> {
    let divisor = divisor.max(1);
    let mut clocks = Vec::new();
    let mut scaled = group.clone();
    scaled.interval = match group.interval {
        Some(interval) => Some(divided(
            &format!("group {}", group.name),
            "the interval",
            interval,
            divisor,
        )?),
        None => None,
    };
    for rule in &mut scaled.rules {
        let read = scale_rule(rule, divisor)?;
        if !read.is_empty() {
            clocks.push((rule.name.clone(), read));
        }
    }
    Ok(Scaled {
        text: rules::text([&scaled])?,
        source: source(group)?,
        group: scaled,
        divisor,
        clocks,
    })
}

/// SHA-256, in hexadecimal, of the rule file of a group as declared.
pub fn source(group: &RuleGroup) -> Result<String, RenderError> {
    Ok(encode(Sha256::digest(rules::text([group])?.as_bytes())))
}

/// An expression with its durations divided, proven to be nothing else.
pub fn expression(rule: &str, original: &str, divisor: u32) -> Result<String, ScaleError> {
    let divisor = divisor.max(1);
    let before = parsed(rule, original)?;
    let scaled = text::divide(original, |duration| exactly(duration, divisor)).map_err(|duration| {
        ScaleError::Inexact {
            rule: rule.to_owned(),
            place: "a duration in the expression",
            duration,
            divisor,
        }
    })?;
    let after = parsed(rule, &scaled)?;
    if ast::divided(before, divisor) == after {
        Ok(scaled)
    } else {
        Err(ScaleError::Unproven {
            rule: rule.to_owned(),
            original: original.to_owned(),
            scaled,
        })
    }
}

fn parsed(rule: &str, text: &str) -> Result<Expr, ScaleError> {
    parse(text).map_err(|why| ScaleError::Unparsable {
        rule: rule.to_owned(),
        why,
    })
}

fn scale_rule(rule: &mut Rule, divisor: u32) -> Result<Vec<String>, ScaleError> {
    rule.expr = expression(&rule.name, &rule.expr, divisor)?;
    rule.hold = divided(&rule.name, "`for`", rule.hold, divisor)?;
    rule.keep_firing = divided(&rule.name, "`keep_firing_for`", rule.keep_firing, divisor)?;
    let mut read = ast::functions(&parsed(&rule.name, &rule.expr)?);
    read.retain(|function| CLOCKS.contains(&function.as_str()));
    Ok(read)
}

fn divided(rule: &str, place: &'static str, span: Span, divisor: u32) -> Result<Span, ScaleError> {
    exactly(span, divisor).ok_or_else(|| ScaleError::Inexact {
        rule: rule.to_owned(),
        place,
        duration: span.to_string(),
        divisor,
    })
}

/// The duration divided, if that leaves whole milliseconds.
fn exactly(span: Span, divisor: u32) -> Option<Span> {
    let millis = u64::try_from(span.0.as_millis()).ok()?;
    millis
        .is_multiple_of(u64::from(divisor))
        .then(|| Span(Duration::from_millis(millis / u64::from(divisor))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::RuleKind;
    use indexmap::IndexMap;
    use proptest::prelude::*;
    use rstest::rstest;

    fn alert(expr: &str, hold: Duration) -> RuleGroup {
        RuleGroup {
            object: "PrometheusRule/r".into(),
            namespace: "monitoring".into(),
            name: "g".into(),
            interval: Some(Span(Duration::from_mins(1))),
            rules: vec![Rule {
                kind: RuleKind::Alert,
                name: "A".into(),
                expr: expr.into(),
                hold: Span(hold),
                keep_firing: Span(Duration::ZERO),
                labels: IndexMap::new(),
                annotations: IndexMap::new(),
            }],
        }
    }

    #[rstest]
    #[case("rate(a[5m]) > 0.05", "rate(a[5s]) > 0.05")]
    #[case("a offset 1h", "a offset 1m")]
    #[case("a offset -1h > 60", "a offset -1m > 60")]
    #[case(
        "max_over_time(rate(a[2m])[1h:1m] offset 5m)",
        "max_over_time(rate(a[2s])[1m:1s] offset 5s)"
    )]
    #[case("max_over_time(a[1h:])", "max_over_time(a[1m:])")]
    #[case("rate(a[ 1h30m ])", "rate(a[ 1m30s ])")]
    #[case("rate(a[300])", "rate(a[5s])")]
    #[case("time() - a > 5m", "time() - a > 5m")]
    #[case("a{b=\"[5m]\", c='offset 5m'} > 3600", "a{b=\"[5m]\", c='offset 5m'} > 3600")]
    #[case(
        "sum by (offset) (rate(a[1m])) # [5m]\n > 1e3",
        "sum by (offset) (rate(a[1s])) # [5m]\n > 1e3"
    )]
    #[case("a @ 1609746000 offset 1m", "a @ 1609746000 offset 1s")]
    fn only_durations_of_selectors_are_divided(#[case] original: &str, #[case] scaled: &str) {
        assert_eq!(expression("r", original, 60).unwrap(), scaled);
    }

    #[test]
    fn what_does_not_divide_is_refused_with_its_place() {
        let error = expression("A", "rate(a[1s])", 7).unwrap_err().to_string();
        assert!(error.contains("of A is 1s, which 7 does not divide"), "{error}");
        let error = scale(&alert("a", Duration::from_millis(1001)), 2)
            .unwrap_err()
            .to_string();
        assert!(error.contains("`for` of A"), "{error}");
    }

    #[test]
    fn a_rule_that_reads_a_clock_is_named() {
        let scaled = scale(&alert("time() - a > 8 * 3600", Duration::ZERO), 60).unwrap();
        assert_eq!(scaled.clocks, [("A".to_owned(), vec!["time".to_owned()])]);
    }

    #[test]
    fn a_copy_names_the_production_text_it_was_made_from() {
        let group = alert("rate(a[5m]) > 0", Duration::from_mins(5));
        let scaled = scale(&group, 60).unwrap();
        assert_eq!(scaled.source, source(&group).unwrap());
        assert_ne!(scaled.source, source(&scaled.group).unwrap());
        insta::assert_snapshot!(scaled.text);
    }

    /// An expression with durations in every place they can stand, and what it is with each divided.
    fn templates() -> impl Strategy<Value = &'static str> {
        prop_oneof![
            Just("sum by (job) (rate(a{x=~\"[1m]\"}[D])) / ignoring(y) b offset D > 0.5"),
            Just("max_over_time((a + b)[D:D] offset -D) unless on(x) c"),
            Just("quantile_over_time(0.9, a[D]) or vector(1) # [7ms]\n and absent_over_time(b[D])"),
            Just("histogram_quantile(0.95, sum by (le) (rate(h_bucket[D] offset D))) == bool 1"),
        ]
    }

    proptest! {
        /// forall expressions: scale(expression, 1) = expression
        #[test]
        fn scaling_by_one_is_the_identity(template in templates(), ms in 1u64..10_000_000) {
            let original = template.replace('D', &Span(Duration::from_millis(ms)).to_string());
            prop_assert_eq!(expression("r", &original, 1).unwrap(), original.clone());
            let group = alert(&original, Duration::from_millis(ms));
            prop_assert_eq!(scale(&group, 1).unwrap().group, group);
        }

        /// forall durations d, divisors k: scale(expression(k d), k) = expression(d)
        #[test]
        fn durations_are_divided_exactly(template in templates(), ms in 1u64..1_000_000, k in 1u32..1_000) {
            let text = |ms: u64| template.replace('D', &Span(Duration::from_millis(ms)).to_string());
            let production = ms * u64::from(k);
            prop_assert_eq!(expression("r", &text(production), k).unwrap(), text(ms));
            let scaled = scale(&alert(&text(production), Duration::from_millis(production)), 1).unwrap();
            prop_assert_eq!(scaled.group.rules[0].hold.0.as_millis(), u128::from(production));
        }

        /// forall durations d, divisors k: scaling by k twice is scaling by k^2
        #[test]
        fn scaling_composes(ms in 1u64..10_000, k in 1u32..30) {
            let square = u64::from(k) * u64::from(k);
            let group = alert(&format!("rate(a[{}])", Span(Duration::from_millis(ms * square))), Duration::from_millis(ms * square));
            let mut group = group;
            group.interval = None;
            let twice = scale(&scale(&group, k).unwrap().group, k).unwrap();
            prop_assert_eq!(twice.group, scale(&group, k * k).unwrap().group);
        }
    }
}
