//! Expressions: what they ask for, and whether two of them say the same.

use std::collections::BTreeSet;

use promql_parser::label::MatchOp;
use promql_parser::parser::{self, Expr, VectorSelector};
use promql_parser::util::{ExprVisitor, walk_expr};

/// One vector or range selector of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// The metric it names, none for `{...}` without a name.
    pub metric: Option<String>,
    /// Its label matchers, the one of the name apart.
    pub matchers: Vec<Matcher>,
    /// True when a range is selected.
    pub range: bool,
}

/// One label matcher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matcher {
    /// Label name.
    pub label: String,
    /// `=`, `!=`, `=~` or `!~`.
    pub operator: &'static str,
    /// The value or expression it is held against.
    pub value: String,
}

impl Selector {
    /// The selector without range, offset or `@`, as a query.
    #[must_use]
    pub fn text(&self) -> String {
        let matchers: Vec<String> = self
            .matchers
            .iter()
            .map(|m| format!("{}{}{:?}", m.label, m.operator, m.value))
            .collect();
        let metric = self.metric.as_deref().unwrap_or_default();
        if matchers.is_empty() && !metric.is_empty() {
            metric.to_owned()
        } else {
            format!("{metric}{{{}}}", matchers.join(","))
        }
    }
}

/// Every selector of an expression, in reading order; the error is the parser's.
pub fn selectors(expression: &str) -> Result<Vec<Selector>, String> {
    struct Collector(Vec<Selector>);
    impl ExprVisitor for Collector {
        type Error = std::convert::Infallible;
        fn pre_visit(&mut self, expression: &Expr) -> Result<bool, Self::Error> {
            match expression {
                Expr::VectorSelector(selector) => self.0.push(read(selector, false)),
                Expr::MatrixSelector(matrix) => self.0.push(read(&matrix.vs, true)),
                _ => {}
            }
            Ok(true)
        }
    }
    let parsed = parser::parse(expression)?;
    let mut collector = Collector(Vec::new());
    match walk_expr(&mut collector, &parsed) {
        Ok(_) => Ok(collector.0),
        Err(never) => match never {},
    }
}

/// The names of the metrics an expression asks for.
pub fn metrics(expression: &str) -> Result<BTreeSet<String>, String> {
    Ok(selectors(expression)?
        .into_iter()
        .filter_map(|selector| selector.metric)
        .collect())
}

/// The expression in the parser's own formatting, so that two texts that differ only in white space,
/// quotes or parentheses' placement compare equal; the text with single spaces where it does not parse.
#[must_use]
pub fn normalised(expression: &str) -> String {
    parser::parse(expression).map_or_else(
        |_| expression.split_whitespace().collect::<Vec<_>>().join(" "),
        |parsed| parsed.to_string(),
    )
}

fn read(selector: &VectorSelector, range: bool) -> Selector {
    let mut metric = selector.name.clone();
    let mut matchers = Vec::new();
    for matcher in &selector.matchers.matchers {
        let operator = match matcher.op {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Re(_) => "=~",
            MatchOp::NotRe(_) => "!~",
        };
        if matcher.name == "__name__" && operator == "=" {
            metric = Some(matcher.value.clone());
        } else {
            matchers.push(Matcher {
                label: matcher.name.clone(),
                operator,
                value: matcher.value.clone(),
            });
        }
    }
    Selector {
        metric,
        matchers,
        range,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("max by (job) (up{job=~\"a|b\"}) == 0", &["up{job=~\"a|b\"}"])]
    #[case("rate(x_total[5m]) / on (job) group_left () y", &["x_total", "y"])]
    #[case("absent(up{job=\"a\"}) or absent(up{job=\"b\"})", &["up{job=\"a\"}", "up{job=\"b\"}"])]
    #[case("vector(1)", &[])]
    #[case("job:errors:ratio5m > 14.4 * 0.001", &["job:errors:ratio5m"])]
    #[case("max_over_time((a > 1)[1h:1m])", &["a"])]
    #[case("{__name__=\"m\",l!=\"\"}", &["m{l!=\"\"}"])]
    fn every_selector_is_found(#[case] expression: &str, #[case] found: &[&str]) {
        let texts: Vec<String> = selectors(expression)
            .unwrap()
            .iter()
            .map(Selector::text)
            .collect();
        assert_eq!(texts, found);
    }

    #[rstest]
    #[case(
        "sum by (job) (rate(x[5m]))\n  /\nsum by (job) (rate(y[5m]))",
        "sum by(job) (rate(x[5m])) / sum by(job) (rate(y[5m]))"
    )]
    #[case("up{job='a'}", "up{job=\"a\"}")]
    #[case("x > 0.8", "x>0.8")]
    fn formatting_does_not_matter(#[case] one: &str, #[case] other: &str) {
        assert_eq!(normalised(one), normalised(other));
    }

    #[rstest]
    #[case("x > 0.8", "x > 0.9")]
    #[case("rate(x[5m])", "rate(x[10m])")]
    #[case("up{job=\"a\"}", "up{job=~\"a\"}")]
    fn meaning_does(#[case] one: &str, #[case] other: &str) {
        assert_ne!(normalised(one), normalised(other));
    }
}
