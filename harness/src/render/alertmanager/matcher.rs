//! Matchers on labels, in Alertmanager's notation.

use std::fmt;

use indexmap::IndexMap;
use regex::Regex;

/// How a matcher compares a label's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatchOperator {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`, the whole value.
    Matches,
    /// `!~`, the whole value.
    MatchesNot,
}

/// A matcher: a label, an operator and a value. A label that is missing has the empty value
/// (Alertmanager v0.31, pkg/labels).
#[derive(Debug, Clone)]
pub struct Matcher {
    name: String,
    operator: MatchOperator,
    value: String,
    pattern: Option<Regex>,
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.operator, &self.value) == (&other.name, other.operator, &other.value)
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operator = match self.operator {
            MatchOperator::Equal => "=",
            MatchOperator::NotEqual => "!=",
            MatchOperator::Matches => "=~",
            MatchOperator::MatchesNot => "!~",
        };
        let value = self
            .value
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n");
        write!(f, "{}{operator}\"{value}\"", self.name)
    }
}

impl Matcher {
    /// A matcher; an error when a regular expression does not compile.
    pub fn new(name: &str, operator: MatchOperator, value: &str) -> Result<Self, String> {
        let pattern = match operator {
            MatchOperator::Equal | MatchOperator::NotEqual => None,
            MatchOperator::Matches | MatchOperator::MatchesNot => Some(
                Regex::new(&format!("^(?:{value})$"))
                    .map_err(|_| format!("`{value}` is not a regular expression"))?,
            ),
        };
        Ok(Self {
            name: name.to_owned(),
            operator,
            value: value.to_owned(),
            pattern,
        })
    }

    /// The label.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the labels match.
    #[must_use]
    pub fn matches(&self, labels: &IndexMap<String, String>) -> bool {
        let value = labels.get(&self.name).map_or("", String::as_str);
        let fits = match &self.pattern {
            Some(pattern) => pattern.is_match(value),
            None => value == self.value,
        };
        match self.operator {
            MatchOperator::Equal | MatchOperator::Matches => fits,
            MatchOperator::NotEqual | MatchOperator::MatchesNot => !fits,
        }
    }

    /// Parses one entry of `matchers`: one matcher or several separated by commas, with or without
    /// braces (Alertmanager v0.31, matcher/parse).
    pub fn parse(text: &str) -> Result<Vec<Self>, String> {
        let wrong = |why: &str| {
            format!("`{text}` is not a matcher: {why}; write it as `label = \"value\"` with =, !=, =~ or !~")
        };
        let mut rest = text.trim();
        if let Some(inside) = rest.strip_prefix('{') {
            rest = inside
                .strip_suffix('}')
                .ok_or_else(|| wrong("the brace is not closed"))?
                .trim();
        }
        let mut matchers = Vec::new();
        while !rest.is_empty() {
            let (name, after) = word(rest, |c| "!=~,{}\"'`\\".contains(c) || c.is_whitespace())
                .ok_or_else(|| wrong("a quote is not closed"))?;
            if name.is_empty() {
                return Err(wrong("the label is missing"));
            }
            let after = after.trim_start();
            let (operator, after) = [
                ("=~", MatchOperator::Matches),
                ("!~", MatchOperator::MatchesNot),
                ("!=", MatchOperator::NotEqual),
                ("=", MatchOperator::Equal),
            ]
            .into_iter()
            .find_map(|(sign, operator)| Some((operator, after.strip_prefix(sign)?)))
            .ok_or_else(|| wrong("the operator is missing"))?;
            let (value, after) =
                word(after.trim_start(), |c| c == ',').ok_or_else(|| wrong("a quote is not closed"))?;
            matchers.push(Self::new(&name, operator, &value)?);
            let after = after.trim_start();
            rest = match after.strip_prefix(',') {
                Some(next) => next.trim_start(),
                None if after.is_empty() => after,
                None => return Err(wrong("a comma is missing between two matchers")),
            };
        }
        if matchers.is_empty() {
            return Err(wrong("it is empty"));
        }
        Ok(matchers)
    }
}

/// A quoted text, or the text up to a character that ends one. None when a quote is not closed.
fn word(text: &str, ends: impl Fn(char) -> bool) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(ends).unwrap_or(text.len());
        return Some((text[..end].trim_end().to_owned(), &text[end..]));
    };
    let (mut value, mut escaped) = (String::new(), false);
    for (place, c) in quoted.char_indices() {
        match c {
            _ if escaped => {
                value.push(match c {
                    'n' => '\n',
                    't' => '\t',
                    other => other,
                });
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return Some((value, &quoted[place + 1..])),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case("severity = \"critical\"", &["severity=\"critical\""])]
    #[case("severity=critical", &["severity=\"critical\""])]
    #[case("{a!=\"b\", c=~\"d|e,f\",}", &["a!=\"b\"", "c=~\"d|e,f\""])]
    #[case("a!~\"x.*\"", &["a!~\"x.*\""])]
    #[case("\"a b\" = \"q\\\"q\"", &["a b=\"q\\\"q\""])]
    #[case("a=", &["a=\"\""])]
    fn matchers_as_alertmanager_reads_them(#[case] text: &str, #[case] parsed: &[&str]) {
        let matchers: Vec<_> = Matcher::parse(text)
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(matchers, parsed);
    }

    #[rstest]
    #[case("")]
    #[case("severity")]
    #[case("= \"x\"")]
    #[case("{a=\"b\"")]
    #[case("a=\"b")]
    #[case("a=\"b\" c=\"d\"")]
    #[case("a=~\"(\"")]
    fn not_matchers(#[case] text: &str) {
        assert!(Matcher::parse(text).is_err(), "{text} must not parse");
    }

    #[rstest]
    #[case("a=\"\"", true)]
    #[case("a!=\"x\"", true)]
    #[case("a=~\"x?\"", true)]
    #[case("a=~\"x\"", false)]
    #[case("a!~\".+\"", true)]
    fn a_missing_label_has_the_empty_value(#[case] text: &str, #[case] matches: bool) {
        assert_eq!(
            Matcher::parse(text).unwrap()[0].matches(&IndexMap::new()),
            matches
        );
    }

    #[test]
    fn a_regular_expression_matches_the_whole_value() {
        let labels = IndexMap::from([("a".to_owned(), "xyz".to_owned())]);
        assert!(!Matcher::parse("a=~\"x|y\"").unwrap()[0].matches(&labels));
        assert!(Matcher::parse("a=~\"x.*\"").unwrap()[0].matches(&labels));
    }

    proptest! {
        /// forall name, value: parse(display(matcher)) = matcher
        #[test]
        fn matchers_round_trip(name in "[a-z_]{1,6}", value in "[ -~\n]{0,10}") {
            let matcher = Matcher::new(&name, MatchOperator::NotEqual, &value).unwrap();
            prop_assert_eq!(Matcher::parse(&matcher.to_string()).unwrap(), vec![matcher]);
        }

        /// forall labels: `=` matches <=> `!=` does not, and `=~` matches <=> `!~` does not
        #[test]
        fn operators_come_in_opposites(value in "[ab]{0,2}", on in prop::option::of("[ab]{0,2}")) {
            let labels: IndexMap<String, String> = on.map(|v| ("l".to_owned(), v)).into_iter().collect();
            let holds = |operator| Matcher::new("l", operator, &value).unwrap().matches(&labels);
            prop_assert_ne!(holds(MatchOperator::Equal), holds(MatchOperator::NotEqual));
            prop_assert_ne!(holds(MatchOperator::Matches), holds(MatchOperator::MatchesNot));
        }
    }
}
