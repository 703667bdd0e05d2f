//! Writing configuration files.

use serde::Serialize;

use super::RenderError;

/// YAML of a value, its members in the order of the type. Texts of several lines are literal
/// blocks and no text is folded, so that a drift finds a line of the file as the tree has it.
pub(crate) fn write<T: Serialize>(file: &str, value: &T) -> Result<String, RenderError> {
    let options = serde_saphyr::ser_options! {
        compact_list_indent: false,
        folded_wrap_chars: 1_000_000,
    };
    serde_saphyr::to_string_with_options(value, options).map_err(|error| RenderError::Unwritable {
        file: file.to_owned(),
        why: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    #[test]
    fn a_long_line_stays_one_line_and_several_lines_stay_lines() {
        let long = "sum by (job) (rate(http_requests_total{status=~\"5..\"}[5m])) / sum by (job) (rate(http_requests_total[5m])) > 0.05";
        let text = write("x", &json!({"one": long, "many": "a\n  /\nb"})).unwrap();
        assert!(text.lines().any(|line| line.contains(long)), "{text}");
        assert!(text.lines().any(|line| line.trim() == "/"), "{text}");
    }

    proptest! {
        /// forall text: parse(write(text)) = text
        #[test]
        fn texts_survive(text in "[ -~\n]{0,60}") {
            let value = json!({"expr": text, "list": [text, "x"]});
            let written = write("x", &value).unwrap();
            prop_assert_eq!(serde_saphyr::from_str::<Value>(&written).unwrap(), value);
        }
    }
}
