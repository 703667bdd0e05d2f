//! What the YAML reader refuses, in the words of the contract: what is wrong,
//! where, and what to write instead.

use std::path::Path;

use serde_saphyr::{Error, MessageFormatter, UserMessageFormatter};

use super::ContractError;

/// The reader's error as the contract's.
///
/// The reader says what it expected in terms of YAML; here it is said in terms of promises and
/// values. What has no words of ours keeps the reader's.
pub(super) fn of(path: &Path, error: &Error) -> ContractError {
    let error = error.without_snippet();
    // Errors without a place concern the text as a whole.
    let (line, column) = error.location().map_or((1, 1), |at| (at.line(), at.column()));
    ContractError::Parse {
        path: path.to_owned(),
        line,
        column,
        why: why(error),
    }
}

/// How a value is written, for remedies.
const VALUE: &str = "write a value with its unit, for example `{duration: 30d}` or `{count: 3}`";

fn why(error: &Error) -> String {
    match error {
        Error::AliasError { error, .. } => why(error),
        Error::Eof { .. } => "the contract is empty; write `promises:` and at least one promise".to_owned(),
        Error::MultipleDocuments { .. } => {
            "a second document begins here; a contract is one document, leave out the `---`".to_owned()
        }
        Error::SerdeMissingField { field, .. } => match *field {
            "promises" => "`promises` is missing; write `promises:` and at least one promise".to_owned(),
            _ => format!("`{field}` is missing; a promise needs `id`, `level`, `says` and `place`"),
        },
        Error::SerdeUnknownField { field, expected, .. } => {
            format!("unknown field `{field}`; {}", one_of("write", expected))
        }
        Error::SerdeUnknownVariant {
            variant, expected, ..
        } if expected.contains(&"MUST") => {
            format!("unknown level `{variant}`; {}", one_of("write", expected))
        }
        // A value without a unit is read as the name of a unit, so one message serves both.
        Error::SerdeUnknownVariant {
            variant, expected, ..
        } => {
            format!(
                "`{variant}` is not a unit; {VALUE}; {}",
                one_of("the units are", expected)
            )
        }
        Error::ExpectedStringKeyForExternallyTaggedEnum { .. }
        | Error::ExternallyTaggedEnumExpectedScalarOrMapping { .. } => {
            format!("a value is not a list and not empty; {VALUE}")
        }
        Error::ExpectedMappingEndAfterEnumVariantValue { .. } => {
            "a value has one unit, and this is a second; give the second value a name of its own".to_owned()
        }
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            format!("`{key}` is here twice; leave one out")
        }
        Error::NullIntoString { .. } => {
            "a text is missing here; write it, in quotes if it is `~` or `null`".to_owned()
        }
        Error::UnknownAnchor { .. } => {
            "`*` refers to an anchor that is not there; quote the text if it begins with `*`".to_owned()
        }
        Error::ExternalMessage { msg, .. } if msg.starts_with("mapping values are not allowed") => {
            "a `: ` in the middle of a text makes it a field; put the whole text in quotes".to_owned()
        }
        Error::InvalidScalar { ty: "u16", .. } => {
            "not a port; write a whole number from 1 to 65535, for example `{port: 9090}`".to_owned()
        }
        Error::InvalidScalar { ty: "u64", .. } => {
            "not a count; write a whole number from 0 on, for example `{count: 3}`".to_owned()
        }
        Error::Unexpected {
            expected: "string scalar",
            ..
        } => {
            "one text belongs here; write it plain or in quotes, and several as `{texts: [a, b]}`".to_owned()
        }
        Error::Unexpected {
            expected: "sequence start",
            ..
        } => "a list belongs here; write `[a, b]`, or one line that begins with `-` for each of them"
            .to_owned(),
        Error::Unexpected {
            expected: "mapping start",
            ..
        } => "fields belong here; write one `name: value` on each line".to_owned(),
        _ => UserMessageFormatter.format_message(error).into_owned(),
    }
}

/// `names` in prose after `verb`: "write `a`, `b` or `c`".
fn one_of(verb: &str, names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{verb} {} or {last}", rest.join(", ")),
        _ => format!("{verb} {}", quoted.concat()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Contract;
    use rstest::rstest;

    /// What parsing `text` says.
    fn refusal(text: &str) -> String {
        Contract::parse(Path::new("c.yaml"), text)
            .unwrap_err()
            .to_string()
    }

    #[rstest]
    #[case::unclosed_list("promises: [", "c.yaml:1:11: unclosed bracket '['")]
    #[case::tab(
        "promises:\n\t- id: a",
        "c.yaml:2:2: tabs disallowed within this context (block indentation)"
    )]
    #[case::unclosed_quote("promises:\n  - id: 'a", "c.yaml:2:9: unclosed quote")]
    #[case::colon_in_a_sentence(
        "promises:\n  - id: a\n    says: it holds: always",
        "c.yaml:3:19: a `: ` in the middle of a text makes it a field; put the whole text in quotes"
    )]
    #[case::empty(
        "",
        "c.yaml:1:1: the contract is empty; write `promises:` and at least one promise"
    )]
    #[case::two_documents(
        "promises: [{id: a, level: MAY, says: x, place: y}]\n---\npromises: []",
        "c.yaml:3:1: a second document begins here; a contract is one document, leave out the `---`"
    )]
    #[case::not_fields(
        "- id: a",
        "c.yaml:1:1: fields belong here; write one `name: value` on each line"
    )]
    #[case::unknown_anchor(
        "promises: [{id: *a}]",
        "c.yaml:1:17: `*` refers to an anchor that is not there; quote the text if it begins with `*`"
    )]
    fn text_that_is_not_a_contract_is_refused_where_it_stops_being_one(
        #[case] text: &str,
        #[case] message: &str,
    ) {
        assert_eq!(refusal(text), message);
    }

    #[rstest]
    #[case::unknown_at_the_top("promise: []", "c.yaml:1:1: unknown field `promise`; write `promises`")]
    #[case::unknown_in_a_promise(
        "promises:\n  - id: a\n    must: x",
        "c.yaml:3:5: unknown field `must`; write `id`, `level`, `says`, `place`, `reason` or `values`"
    )]
    #[case::missing_at_the_top(
        "{}",
        "c.yaml:1:1: `promises` is missing; write `promises:` and at least one promise"
    )]
    #[case::missing_in_a_promise(
        "promises:\n  - id: a\n    level: MAY\n    says: x",
        "c.yaml:4:5: `place` is missing; a promise needs `id`, `level`, `says` and `place`"
    )]
    #[case::twice(
        "promises:\n  - id: a\n    id: b",
        "c.yaml:3:5: `id` is here twice; leave one out"
    )]
    #[case::no_text(
        "promises:\n  - id: ~",
        "c.yaml:2:9: a text is missing here; write it, in quotes if it is `~` or `null`"
    )]
    #[case::list_for_text(
        "promises:\n  - id: [a]",
        "c.yaml:2:9: one text belongs here; write it plain or in quotes, and several as `{texts: [a, b]}`"
    )]
    #[case::fields_for_list(
        "promises:\n  id: a",
        "c.yaml:2:3: a list belongs here; write `[a, b]`, or one line that begins with `-` for each of them"
    )]
    #[case::level(
        "promises:\n  - id: a\n    level: must",
        "c.yaml:3:12: unknown level `must`; write `MUST`, `SHOULD` or `MAY`"
    )]
    fn wrong_fields_are_refused_on_their_line(#[case] text: &str, #[case] message: &str) {
        assert_eq!(refusal(text), message);
    }

    const UNITS: &str = "write a value with its unit, for example `{duration: 30d}` or `{count: 3}`; the units \
                         are `duration`, `bytes`, `ratio`, `count`, `port`, `text` or `texts`";

    #[rstest]
    #[case::no_unit("v: 30d", 17, &format!("`30d` is not a unit; {UNITS}"))]
    #[case::unknown_unit("v: {days: 30}", 18, &format!("`days` is not a unit; {UNITS}"))]
    #[case::no_value("v:", 15, &format!("`~` is not a unit; {UNITS}"))]
    #[case::list(
        "v: [30d]",
        17,
        "a value is not a list and not empty; write a value with its unit, for example `{duration: 30d}` or `{count: 3}`"
    )]
    #[case::empty(
        "v: {}",
        18,
        "a value is not a list and not empty; write a value with its unit, for example `{duration: 30d}` or `{count: 3}`"
    )]
    #[case::two_units(
        "v: {count: 3, port: 4}",
        28,
        "a value has one unit, and this is a second; give the second value a name of its own"
    )]
    #[case::duration(
        "v: {duration: 30 days}",
        28,
        "`30 days` is not a duration: write whole numbers with the units y, w, d, h, m, s, ms, largest first, for example 30d or 1h30m"
    )]
    #[case::duration_without_unit(
        "v: {duration: 30}",
        28,
        "`30` is not a duration: write whole numbers with the units y, w, d, h, m, s, ms, largest first, for example 30d or 1h30m"
    )]
    #[case::bytes(
        "v: {bytes: 30d}",
        25,
        "`30d` is not a size: write a whole number with a unit, for example 100GB, 100Gi or 512MB"
    )]
    #[case::ratio(
        "v: {ratio: 0.01}",
        25,
        "`0.01` is not a share: write it in percent between 0% and 100%, for example 1% or 99.9%"
    )]
    #[case::ratio_too_large(
        "v: {ratio: 101%}",
        25,
        "`101%` is not a share: write it in percent between 0% and 100%, for example 1% or 99.9%"
    )]
    #[case::negative_count(
        "v: {count: -1}",
        25,
        "not a count; write a whole number from 0 on, for example `{count: 3}`"
    )]
    #[case::broken_count(
        "v: {count: 1.5}",
        25,
        "not a count; write a whole number from 0 on, for example `{count: 3}`"
    )]
    #[case::port(
        "v: {port: 65536}",
        24,
        "not a port; write a whole number from 1 to 65535, for example `{port: 9090}`"
    )]
    #[case::text(
        "v: {text: [a]}",
        24,
        "one text belongs here; write it plain or in quotes, and several as `{texts: [a, b]}`"
    )]
    #[case::texts(
        "v: {texts: a}",
        25,
        "a list belongs here; write `[a, b]`, or one line that begins with `-` for each of them"
    )]
    #[case::value_twice("v: {count: 1}, v: {count: 1}", 29, "`v` is here twice; leave one out")]
    fn values_without_their_unit_are_refused(
        #[case] value: &str,
        #[case] column: u64,
        #[case] message: &str,
    ) {
        let text = format!(
            "promises:\n  - id: a\n    level: MAY\n    says: x\n    place: y\n    values: {{{value}}}\n"
        );
        assert_eq!(refusal(&text), format!("c.yaml:6:{column}: {message}"));
    }
}
