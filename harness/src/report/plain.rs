//! Texts from outside, made fit for a page or a terminal.
//!
//! Reasons quote server logs, and those hold colour codes and control
//! characters that would restyle a terminal or are not allowed in XML.

use std::borrow::Cow;

/// `text` without ANSI escape sequences and control characters; line ends stay, tabs become blanks.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| c.is_control() && c != '\n') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' if rest.peek() == Some(&'[') => {
                rest.next();
                // A control sequence ends with a character of @ to ~ (ECMA-48, 5.4).
                for c in rest.by_ref() {
                    if ('@'..='~').contains(&c) {
                        break;
                    }
                }
            }
            '\n' => out.push('\n'),
            '\t' => out.push(' '),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// The first line of `text` that says something, cleaned.
pub(super) fn first_line(text: &str) -> String {
    clean(text)
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or_default()
        .to_owned()
}

/// `text` cut to at most `limit` characters, the cut shown by an ellipsis.
pub(super) fn cut(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        text.to_owned()
    } else {
        let kept: String = text.chars().take(limit.saturating_sub(1)).collect();
        format!("{}…", kept.trim_end())
    }
}

/// A number for people: at most four significant digits after the leading ones, thousands apart.
pub(super) fn number(value: f64) -> String {
    if !value.is_finite() {
        return "not a number".to_owned();
    }
    let size = value.abs();
    let decimals = match size {
        _ if size == 0.0 || size >= 1000.0 => 0,
        _ if size >= 100.0 => 1,
        _ if size >= 10.0 => 2,
        _ if size >= 0.1 => 3,
        _ if size >= 0.001 => 5,
        _ => return format!("{value:.2e}"),
    };
    let text = format!("{size:.decimals$}");
    let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
    let mut out = String::new();
    if value < 0.0 {
        out.push('−');
    }
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    let part = part.trim_end_matches('0');
    if !part.is_empty() {
        out.push('.');
        out.push_str(part);
    }
    out
}

/// A number with its unit.
pub(super) fn quantity(value: f64, unit: &str) -> String {
    match unit {
        "" => number(value),
        "%" => format!("{}%", number(value)),
        unit => format!("{} {unit}", number(value)),
    }
}

/// "1 case", "2 cases".
pub(super) fn count(number: usize, thing: &str) -> String {
    if number == 1 {
        format!("1 {thing}")
    } else {
        format!("{number} {thing}s")
    }
}

/// A size in bytes for people, in powers of 1024.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return count(usize::try_from(bytes).unwrap_or(usize::MAX), "byte");
    }
    let mut place = 0;
    let mut divisor = 1024u64;
    while bytes / divisor >= 1024 && place + 1 < UNITS.len() {
        divisor *= 1024;
        place += 1;
    }
    let (whole, tenth) = (bytes / divisor, bytes % divisor * 10 / divisor);
    if whole >= 100 || tenth == 0 {
        format!("{whole} {}", UNITS[place])
    } else {
        format!("{whole}.{tenth} {}", UNITS[place])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case("plain", "plain")]
    #[case("\u{1b}[31mred\u{1b}[0m", "red")]
    #[case("a\tb\r\nc\u{0}", "a b\nc")]
    #[case("\u{1b}]0;title\u{7}", "]0;title")]
    #[case("\u{1b}[31", "")]
    fn control_characters_do_not_come_through(#[case] text: &str, #[case] cleaned: &str) {
        assert_eq!(clean(text), cleaned);
    }

    proptest! {
        /// forall text: clean(text) holds no control character but the line end
        #[test]
        fn cleaned_text_is_clean(text in any::<String>()) {
            prop_assert!(clean(&text).chars().all(|c| c == '\n' || !c.is_control()));
        }

        /// forall text, limit > 0: cut(text, limit) has at most limit characters
        #[test]
        fn cut_text_fits(text in any::<String>(), limit in 1usize..40) {
            prop_assert!(cut(&text, limit).chars().count() <= limit);
        }
    }

    #[rstest]
    #[case(0.0, "0")]
    #[case(30.0, "30")]
    #[case(0.25, "0.25")]
    #[case(-12.345, "−12.35")]
    #[case(1_638.0, "1,638")]
    #[case(1_234_567.8, "1,234,568")]
    #[case(0.0123, "0.0123")]
    #[case(0.000_012, "1.20e-5")]
    #[case(f64::NAN, "not a number")]
    fn numbers_for_people(#[case] value: f64, #[case] text: &str) {
        assert_eq!(number(value), text);
    }

    #[rstest]
    #[case(1, "1 byte")]
    #[case(1536, "1.5 KiB")]
    #[case(8 << 30, "8 GiB")]
    #[case(200 << 20, "200 MiB")]
    fn sizes_for_people(#[case] bytes: u64, #[case] text: &str) {
        assert_eq!(size(bytes), text);
    }
}
