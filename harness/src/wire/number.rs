//! Numbers and quoted texts as the text formats of Prometheus write them.

use std::fmt::Write;

/// Appends `value` so that reading it back gives the same number, and never
/// longer than needed: plain decimals for everyday sizes, an exponent beyond.
///
/// Infinities and the not-a-number are written `+Inf`, `-Inf` and `NaN`
/// (Prometheus text format 0.0.4, OpenMetrics 1.0).
pub(crate) fn write_float(out: &mut String, value: f64) {
    const LARGEST_PLAIN: f64 = 1e15;
    const SMALLEST_PLAIN: f64 = 1e-5;
    if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    } else {
        let size = value.abs();
        // Writing into a String cannot fail.
        let _ = if value == 0.0 || (SMALLEST_PLAIN..LARGEST_PLAIN).contains(&size) {
            write!(out, "{value}")
        } else {
            write!(out, "{value:e}")
        };
    }
}

/// Reads a number as [`write_float`] writes it.
pub(crate) fn read_float(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        // Rust also reads `inf` and `infinity`, which the formats do not have.
        _ if text.contains(['i', 'I', 'n', 'N']) => None,
        _ => text.parse().ok(),
    }
}

/// Appends a label value between its quotes: backslash, quote and line feed are escaped.
pub(crate) fn write_label_value(out: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
}

/// Appends `{name="value",...}`, or nothing where there are no labels.
pub(crate) fn write_labels<'a>(out: &mut String, labels: impl IntoIterator<Item = (&'a str, &'a str)>) {
    let mut open = false;
    for (name, value) in labels {
        out.push(if open { ',' } else { '{' });
        open = true;
        out.push_str(name);
        out.push_str("=\"");
        write_label_value(out, value);
        out.push('"');
    }
    if open {
        out.push('}');
    }
}

/// Name, labels and what follows them of a sample line.
pub(crate) type SeriesParts<'a> = (&'a str, Vec<(String, String)>, &'a str);

/// Splits one sample line into name, labels and what follows the labels.
///
/// Strict: one spelling only, the one that is written here.
pub(crate) fn read_series(line: &str) -> Result<SeriesParts<'_>, &'static str> {
    let end = line
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
        .ok_or("a sample needs a value after its name")?;
    let (name, mut rest) = line.split_at(end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("a sample starts with a metric name");
    }
    let mut labels = Vec::new();
    if let Some(mut inner) = rest.strip_prefix('{') {
        loop {
            let (label, after) = inner.split_once("=\"").ok_or("a label is name=\"value\"")?;
            let well_named = !label.is_empty()
                && !label.starts_with(|c: char| c.is_ascii_digit())
                && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if !well_named {
                return Err("a label name is made of letters, digits and underscores");
            }
            let (value, after) = read_label_value(after)?;
            labels.push((label.to_owned(), value));
            if let Some(after) = after.strip_prefix('}') {
                rest = after;
                break;
            }
            inner = after.strip_prefix(',').ok_or("labels are separated by commas")?;
        }
    }
    let rest = rest
        .strip_prefix(' ')
        .ok_or("one space separates a series from its value")?;
    Ok((name, labels, rest))
}

fn read_label_value(text: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => value.push(match characters.next() {
                Some((_, '\\')) => '\\',
                Some((_, '"')) => '"',
                Some((_, 'n')) => '\n',
                _ => return Err("a backslash escapes only a backslash, a quote or an n"),
            }),
            other => value.push(other),
        }
    }
    Err("a label value ends with a quote")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// forall x not NaN: read(write(x)) = x
        #[test]
        fn numbers_round_trip(value in any::<f64>().prop_filter("not a number", |v| !v.is_nan())) {
            let mut text = String::new();
            write_float(&mut text, value);
            prop_assert_eq!(read_float(&text), Some(value), "{}", text);
        }

        /// forall labels: read(write(labels)) = labels
        #[test]
        fn label_values_round_trip(values in proptest::collection::vec("[\\PC\n\"\\\\]{0,12}", 0..4)) {
            let labels: Vec<(String, String)> =
                values.into_iter().enumerate().map(|(i, v)| (format!("l{i}"), v)).collect();
            let mut text = "name".to_owned();
            write_labels(&mut text, labels.iter().map(|(n, v)| (n.as_str(), v.as_str())));
            text.push_str(" 1");
            let (name, read, rest) = read_series(&text).unwrap();
            prop_assert_eq!((name, read, rest), ("name", labels, "1"));
        }
    }
}
