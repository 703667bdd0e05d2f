//! The durations of a PromQL text, found by what stands around them.

use std::time::Duration;

use crate::units::Span;

/// Where the scanner is.
#[derive(Debug, Default)]
struct Place {
    brackets: bool,
    braces: bool,
    after_offset: bool,
}

/// The text with every duration inside square brackets or after `offset` replaced by what
/// `divide` makes of it; everything else stays byte for byte. The error is the duration that
/// cannot be read or divided.
pub(super) fn divide(text: &str, divide: impl Fn(Span) -> Option<Span>) -> Result<String, String> {
    let mut place = Place::default();
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' | '\'' | '`' => quoted(rest, first),
            '#' => rest.find('\n').unwrap_or(rest.len()),
            c if c.is_ascii_digit() || c == '.' => rest
                .find(|c: char| !(c.is_ascii_alphanumeric() || c == '.'))
                .unwrap_or(rest.len()),
            c if c.is_alphabetic() || c == '_' || c == ':' => rest
                .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'))
                .unwrap_or(rest.len())
                // A colon inside brackets stands between range and step.
                .max(c.len_utf8()),
            c => c.len_utf8(),
        };
        let length = if place.brackets && first == ':' { 1 } else { length };
        let (token, after) = rest.split_at(length);
        let is_number = first.is_ascii_digit() || first == '.';
        if is_number && (place.brackets || place.after_offset) {
            out.push_str(&divided(token, &divide)?);
        } else {
            out.push_str(token);
        }
        match first {
            '[' => place.brackets = true,
            ']' => place.brackets = false,
            '{' => place.braces = true,
            '}' => place.braces = false,
            _ => {}
        }
        let blank = first.is_whitespace() || first == '#';
        let sign = first == '-' || first == '+';
        if !(blank || sign && place.after_offset) {
            place.after_offset = !place.braces && token.eq_ignore_ascii_case("offset");
        }
        rest = after;
    }
    Ok(out)
}

/// The length of the quoted text that `rest` starts with.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote != '`' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

/// A duration, or a number of seconds, divided. What division leaves as it is keeps its notation.
fn divided(token: &str, divide: &impl Fn(Span) -> Option<Span>) -> Result<String, String> {
    let span: Span = match token.parse() {
        Ok(span) => span,
        Err(_) => seconds(token).ok_or_else(|| token.to_owned())?,
    };
    match divide(span) {
        Some(same) if same == span => Ok(token.to_owned()),
        Some(other) => Ok(other.to_string()),
        None => Err(token.to_owned()),
    }
}

/// A number of seconds with at most three decimals.
fn seconds(token: &str) -> Option<Span> {
    let (whole, decimals) = token.split_once('.').unwrap_or((token, ""));
    if decimals.len() > 3 {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let millis: u64 = format!("{decimals:0<3}").parse().ok()?;
    Some(Span(Duration::from_millis(
        whole.checked_mul(1000)?.checked_add(millis)?,
    )))
}
