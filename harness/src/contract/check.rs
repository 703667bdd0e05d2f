//! What a contract must be beyond its types: ids that name one promise each,
//! words where words belong.

use std::path::Path;

use indexmap::IndexMap;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_saphyr::{Location, Spanned};

use super::{Contract, ContractError, Value, message};

/// Kebab case as a regular expression: words of lowercase letters and digits, joined by single
/// hyphens, a letter first.
pub(super) const KEBAB_CASE: &str = "^[a-z][a-z0-9]*(-[a-z0-9]+)*$";

/// Where the parts of a contract stand. It is read from the same text as the contract itself, so
/// its promises and values are the contract's, in the same order.
#[derive(Deserialize)]
struct Places {
    promises: Spanned<Vec<PromisePlaces>>,
}

#[derive(Deserialize)]
struct PromisePlaces {
    id: Spanned<IgnoredAny>,
    says: Spanned<IgnoredAny>,
    place: Spanned<IgnoredAny>,
    #[serde(default)]
    reason: Option<Spanned<IgnoredAny>>,
    #[serde(default)]
    values: IndexMap<Spanned<String>, Spanned<IgnoredAny>>,
}

/// The first thing wrong with `contract`, which was parsed from `text`, in the order of the text.
pub(super) fn check(path: &Path, text: &str, contract: &Contract) -> Result<(), ContractError> {
    let places: Places = serde_saphyr::from_str(text).map_err(|error| message::of(path, &error))?;
    let refuse = |at: Location, why: String| ContractError::Parse {
        path: path.to_owned(),
        line: at.line(),
        column: at.column(),
        why,
    };
    if contract.promises.is_empty() {
        let why = "the contract promises nothing; write at least one promise";
        return Err(refuse(places.promises.referenced, why.to_owned()));
    }
    let mut lines: IndexMap<&str, u64> = IndexMap::new();
    for (promise, at) in contract.promises.iter().zip(&places.promises.value) {
        let id = promise.id.as_str();
        if !is_kebab_case(id) {
            return Err(refuse(at.id.referenced, not_kebab_case("promise id", id)));
        }
        if let Some(line) = lines.insert(id, at.id.referenced.line()) {
            let why = format!(
                "promise `{id}` is already on line {line}; give this one an id of its own or join the two"
            );
            return Err(refuse(at.id.referenced, why));
        }
        for (field, text, at) in [
            ("says", &promise.says, &at.says),
            ("place", &promise.place, &at.place),
        ] {
            if text.trim().is_empty() {
                let remedy = match field {
                    "says" => "write the promise as one sentence",
                    _ => "write the headings it stands under, for example `Configuration / Prometheus`",
                };
                return Err(refuse(
                    at.referenced,
                    format!("`{field}` of promise `{id}` is empty; {remedy}"),
                ));
            }
        }
        if let (Some(reason), Some(at)) = (&promise.reason, &at.reason)
            && reason.trim().is_empty()
        {
            let why = format!(
                "`reason` of promise `{id}` is empty; say why the value is what it is, or leave it out"
            );
            return Err(refuse(at.referenced, why));
        }
        for ((name, value), (key, at)) in promise.values.iter().zip(&at.values) {
            if !is_kebab_case(name) {
                return Err(refuse(key.referenced, not_kebab_case("value name", name)));
            }
            if let Some(why) = wrong(value) {
                return Err(refuse(
                    at.referenced,
                    format!("value `{name}` of promise `{id}` {why}"),
                ));
            }
        }
    }
    Ok(())
}

/// What is wrong with a value that its type allows, and what to write instead.
fn wrong(value: &Value) -> Option<&'static str> {
    match value {
        Value::Port(0) => Some("is port 0, which nothing listens on; write a port from 1 to 65535"),
        Value::Text(text) if text.trim().is_empty() => {
            Some("is an empty text; write one or leave the value out")
        }
        Value::Texts(texts) if texts.is_empty() => {
            Some("lists nothing; write at least one text, for example `texts: [a, b]`")
        }
        Value::Texts(texts) if texts.iter().any(|text| text.trim().is_empty()) => {
            Some("has an empty text in its list; write one or leave it out")
        }
        _ => None,
    }
}

/// Whether `text` matches [`KEBAB_CASE`].
fn is_kebab_case(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.split('-').all(|word| {
            !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        })
}

fn not_kebab_case(what: &str, text: &str) -> String {
    let words: Vec<String> = text
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    let proposal = words.join("-");
    let proposal = if is_kebab_case(&proposal) {
        format!("`{proposal}`")
    } else {
        "lowercase words joined by hyphens, a letter first, for example `metrics-retention-time`".to_owned()
    };
    format!("{what} `{text}` is not in kebab case; write {proposal}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    const FIRST: &str = "promises:\n  - id: a-b\n    level: MUST\n    says: x\n    place: y\n";

    fn refusal(text: &str) -> String {
        Contract::parse(Path::new("c.yaml"), text)
            .unwrap_err()
            .to_string()
    }

    #[rstest]
    #[case::no_promises(
        "promises: []",
        "c.yaml:1:11: the contract promises nothing; write at least one promise"
    )]
    #[case::id_in_other_case(
        "promises: [{id: Metrics_Up Time, level: MAY, says: x, place: y}]",
        "c.yaml:1:17: promise id `Metrics_Up Time` is not in kebab case; write `metrics-up-time`"
    )]
    #[case::id_without_a_letter_first(
        "promises: [{id: 30d, level: MAY, says: x, place: y}]",
        "c.yaml:1:17: promise id `30d` is not in kebab case; write lowercase words joined by hyphens, a letter \
         first, for example `metrics-retention-time`"
    )]
    #[case::empty_says(
        "promises: [{id: a-b, level: MAY, says: '', place: y}]",
        "c.yaml:1:40: `says` of promise `a-b` is empty; write the promise as one sentence"
    )]
    #[case::empty_place(
        "promises: [{id: a-b, level: MAY, says: x, place: ' '}]",
        "c.yaml:1:50: `place` of promise `a-b` is empty; write the headings it stands under, for example \
         `Configuration / Prometheus`"
    )]
    #[case::empty_reason(
        "promises: [{id: a-b, level: MAY, says: x, place: y, reason: ''}]",
        "c.yaml:1:61: `reason` of promise `a-b` is empty; say why the value is what it is, or leave it out"
    )]
    #[case::value_name(
        "promises: [{id: a-b, level: MAY, says: x, place: y, values: {atMost: {count: 1}}}]",
        "c.yaml:1:62: value name `atMost` is not in kebab case; write `atmost`"
    )]
    #[case::port(
        "promises: [{id: a-b, level: MAY, says: x, place: y, values: {v: {port: 0}}}]",
        "c.yaml:1:65: value `v` of promise `a-b` is port 0, which nothing listens on; write a port from 1 to 65535"
    )]
    #[case::text(
        "promises: [{id: a-b, level: MAY, says: x, place: y, values: {v: {text: ''}}}]",
        "c.yaml:1:65: value `v` of promise `a-b` is an empty text; write one or leave the value out"
    )]
    #[case::no_texts(
        "promises: [{id: a-b, level: MAY, says: x, place: y, values: {v: {texts: []}}}]",
        "c.yaml:1:65: value `v` of promise `a-b` lists nothing; write at least one text, for example \
         `texts: [a, b]`"
    )]
    #[case::empty_among_texts(
        "promises: [{id: a-b, level: MAY, says: x, place: y, values: {v: {texts: [a, '']}}}]",
        "c.yaml:1:65: value `v` of promise `a-b` has an empty text in its list; write one or leave it out"
    )]
    fn what_the_types_let_through_is_refused(#[case] text: &str, #[case] message: &str) {
        assert_eq!(refusal(text), message);
    }

    #[test]
    fn a_second_promise_of_the_same_id_is_refused_on_its_own_line() {
        let text = format!(
            "{FIRST}  - id: c\n    level: MAY\n    says: x\n    place: y\n  - level: MAY\n    id: a-b\n    says: x\n    place: y\n"
        );
        assert_eq!(
            refusal(&text),
            "c.yaml:11:9: promise `a-b` is already on line 2; give this one an id of its own or join the two"
        );
    }

    proptest! {
        /// forall texts: is_kebab_case(text) = KEBAB_CASE matches text
        #[test]
        fn kebab_case_is_what_the_expression_says(text in "[a-cA0-1-]{0,6}|\\PC{0,4}") {
            let expression = regex::Regex::new(KEBAB_CASE).unwrap();
            prop_assert_eq!(is_kebab_case(&text), expression.is_match(&text));
        }
    }
}
