//! Types that carry units: durations, bytes and ratios, in the notations of the field.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Why a text is not a value with a unit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}: {remedy}")]
pub struct UnitError {
    text: String,
    what: &'static str,
    remedy: &'static str,
}

macro_rules! as_text {
    ($name:ident, $pattern:literal, $description:literal) => {
        impl TryFrom<String> for $name {
            type Error = UnitError;
            fn try_from(text: String) -> Result<Self, UnitError> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern, "description": $description })
            }
        }
    };
}

/// A duration in Prometheus' notation (`30d`, `1h30m`, `15s`, `500ms`).
///
/// A day is 24 hours, a week 7 days, a year 365 days, as in
/// `model.ParseDuration` (prometheus/common v0.67).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(pub Duration);

as_text!(
    Span,
    r"^([0-9]+(ms|[smhdwy]))+$|^0$",
    "a duration in Prometheus' notation, for example 30d or 1h30m"
);

const SPAN_UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

impl FromStr for Span {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || UnitError {
            text: text.to_owned(),
            what: "a duration",
            remedy: "write whole numbers with the units y, w, d, h, m, s, ms, largest first, for example 30d or 1h30m",
        };
        if text == "0" {
            return Ok(Self(Duration::ZERO));
        }
        let (mut rest, mut total, mut after) = (text, 0u64, None);
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
            let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
            let tail = &rest[digits..];
            let unit = &tail[..tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len())];
            let place = SPAN_UNITS
                .iter()
                .position(|(name, _)| *name == unit)
                .ok_or_else(wrong)?;
            if after.is_some_and(|before| place <= before) {
                return Err(wrong());
            }
            after = Some(place);
            let ms = number.checked_mul(SPAN_UNITS[place].1).ok_or_else(wrong)?;
            total = total.checked_add(ms).ok_or_else(wrong)?;
            rest = &tail[unit.len()..];
        }
        if text.is_empty() {
            Err(wrong())
        } else {
            Ok(Self(Duration::from_millis(total)))
        }
    }
}

impl fmt::Display for Span {
    /// The shortest notation that parses back; weeks and years only where they are exact.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, ms) in SPAN_UNITS {
            let exact_only = matches!(unit, "y" | "w");
            if rest >= ms && (!exact_only || rest.is_multiple_of(ms)) {
                write!(f, "{}{unit}", rest / ms)?;
                rest %= ms;
            }
        }
        Ok(())
    }
}

/// A measured duration for people: three digits and one unit.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 1.0 {
        format!("{:.0} ms", seconds * 1000.0)
    } else if seconds < 100.0 {
        format!("{seconds:.1} s")
    } else if seconds < 7200.0 {
        format!("{} min {} s", duration.as_secs() / 60, duration.as_secs() % 60)
    } else {
        Span(Duration::from_secs(duration.as_secs())).to_string()
    }
}

/// A size in bytes. `KB`, `MB`, `GB`, ... are powers of 1024, as Prometheus'
/// retention size reads them (`Base2Bytes` of alecthomas/units), and so are `Ki`, `Mi`, `Gi`;
/// Kubernetes' `k`, `M`, `G` are powers of 1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Bytes(pub u64);

as_text!(
    Bytes,
    r"^[0-9]+(B|[KMGTPE](i?B|i)?|k)?$",
    "a size, for example 100GB or 100Gi (both powers of 1024)"
);

impl FromStr for Bytes {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || UnitError {
            text: text.to_owned(),
            what: "a size",
            remedy: "write a whole number with a unit, for example 100GB, 100Gi or 512MB",
        };
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let number: u64 = text[..digits].parse().map_err(|_| wrong())?;
        let unit = &text[digits..];
        let power = |prefix: &str| match prefix {
            "K" | "k" => Some(1),
            "M" => Some(2),
            "G" => Some(3),
            "T" => Some(4),
            "P" => Some(5),
            "E" => Some(6),
            _ => None,
        };
        let factor = match unit {
            "" | "B" => 1,
            _ => {
                let binary = unit
                    .strip_suffix("iB")
                    .or_else(|| unit.strip_suffix('B'))
                    .or_else(|| unit.strip_suffix('i'));
                match binary {
                    Some(prefix) => 1024u64.checked_pow(power(prefix).ok_or_else(wrong)?),
                    None => 1000u64.checked_pow(power(unit).ok_or_else(wrong)?),
                }
                .ok_or_else(wrong)?
            }
        };
        number.checked_mul(factor).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for Bytes {
    /// In the largest power of 1024 that is exact, written as Prometheus reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut value, mut unit) = (self.0, "B");
        for next in ["KB", "MB", "GB", "TB", "PB"] {
            if value == 0 || !value.is_multiple_of(1024) {
                break;
            }
            value /= 1024;
            unit = next;
        }
        write!(f, "{value}{unit}")
    }
}

/// A share of a whole, between 0 and 1, written in percent.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Ratio(pub f64);

as_text!(
    Ratio,
    r"^[0-9]+(\.[0-9]+)?%$",
    "a share in percent, for example 1% or 99.9%"
);

impl FromStr for Ratio {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        text.strip_suffix('%')
            .and_then(|number| number.parse::<f64>().ok())
            .filter(|percent| (0.0..=100.0).contains(percent))
            .map(|percent| Self(percent / 100.0))
            .ok_or_else(|| UnitError {
                text: text.to_owned(),
                what: "a share",
                remedy: "write it in percent between 0% and 100%, for example 1% or 99.9%",
            })
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Rounded to a billionth so that 0.07 reads 7% and not 7.000000000000001%.
        write!(f, "{}%", (self.0 * 100.0 * 1e9).round() / 1e9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    proptest! {
        /// forall ms: parse(display(span)) = span
        #[test]
        fn spans_round_trip(ms in 0u64..1_000_000_000_000) {
            let span = Span(Duration::from_millis(ms));
            prop_assert_eq!(span.to_string().parse::<Span>().unwrap(), span);
        }

        /// forall bytes: parse(display(bytes)) = bytes
        #[test]
        fn bytes_round_trip(bytes in any::<u64>()) {
            prop_assert_eq!(Bytes(bytes).to_string().parse::<Bytes>().unwrap(), Bytes(bytes));
        }

        /// forall hundredths: parse(display(ratio)) = ratio
        #[test]
        fn ratios_round_trip(hundredths in 0u32..=10_000) {
            let text = format!("{}%", f64::from(hundredths) / 100.0);
            prop_assert_eq!(text.parse::<Ratio>().unwrap().to_string(), text);
        }
    }

    #[rstest]
    #[case("30d", 30 * 86_400_000)]
    #[case("1h30m", 5_400_000)]
    #[case("500ms", 500)]
    #[case("0", 0)]
    fn spans_as_prometheus_reads_them(#[case] text: &str, #[case] ms: u64) {
        assert_eq!(text.parse::<Span>().unwrap().0, Duration::from_millis(ms));
    }

    #[rstest]
    #[case("")]
    #[case("30")]
    #[case("d")]
    #[case("1m1h")]
    #[case("1.5h")]
    #[case("-1h")]
    #[case("1d1d")]
    fn not_spans(#[case] text: &str) {
        assert!(text.parse::<Span>().is_err(), "{text} must not parse");
    }

    #[rstest]
    #[case("100GB", 100 << 30)]
    #[case("100Gi", 100 << 30)]
    #[case("5G", 5_000_000_000)]
    #[case("512", 512)]
    #[case("1KB", 1024)]
    fn sizes(#[case] text: &str, #[case] bytes: u64) {
        assert_eq!(text.parse::<Bytes>().unwrap(), Bytes(bytes));
    }

    #[rstest]
    #[case("GB")]
    #[case("1XB")]
    #[case("99999999999E")]
    fn not_sizes(#[case] text: &str) {
        assert!(text.parse::<Bytes>().is_err(), "{text} must not parse");
    }
}
