//! OpenMetrics 1.0 text with timestamps, as `promtool tsdb create-blocks-from
//! openmetrics` reads it for backfill.

use std::fmt::Write as _;
use std::io;

use indexmap::IndexSet;

use crate::wire::number::{read_float, read_series, write_float, write_labels};

/// Type of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows; its samples are called `<family>_total`.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// Why a text cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum OpenMetricsError {
    /// A counter is not called `..._total`.
    #[error("the counter `{name}` cannot be written: OpenMetrics wants its samples called `{name}_total`")]
    CounterName {
        /// The name.
        name: String,
    },
    /// The same family was begun twice.
    #[error("the family `{name}` comes twice: write all its series together")]
    Twice {
        /// The name.
        name: String,
    },
    /// A series was written before any family.
    #[error("a series was written before its family")]
    NoFamily,
    /// The text cannot be handed on.
    #[error("the text cannot be written: {0}")]
    Write(#[from] io::Error),
    /// A line is not what [`Writer`] writes.
    #[error("line {line}: {why}: `{text}`")]
    Read {
        /// Line, from 1.
        line: usize,
        /// What is wrong with it.
        why: &'static str,
        /// The line.
        text: String,
    },
}

/// Writes a text family by family, series by series.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    families: IndexSet<String>,
    /// Reused for every series and sample.
    series: String,
    line: String,
}

impl<W: io::Write> Writer<W> {
    /// Writes to `out`; give a buffered one.
    pub fn new(out: W) -> Self {
        Self {
            out,
            families: IndexSet::new(),
            series: String::new(),
            line: String::new(),
        }
    }

    /// Begins a family. `name` is that of its samples, so for counters it ends in `_total`.
    pub fn family(&mut self, name: &str, kind: Kind, help: &str) -> Result<(), OpenMetricsError> {
        let (base, word) = match kind {
            Kind::Gauge => (name, "gauge"),
            Kind::Counter => (
                name.strip_suffix("_total")
                    .ok_or_else(|| OpenMetricsError::CounterName { name: name.into() })?,
                "counter",
            ),
        };
        if !self.families.insert(name.to_owned()) {
            return Err(OpenMetricsError::Twice { name: name.into() });
        }
        writeln!(self.out, "# TYPE {base} {word}")?;
        self.line.clear();
        // OpenMetrics escapes help texts as it escapes label values.
        crate::wire::number::write_label_value(&mut self.line, help);
        writeln!(self.out, "# HELP {base} {}", self.line)?;
        Ok(())
    }

    /// Writes the samples of one series of the family begun last: (unix milliseconds, value), in time order.
    pub fn series<'a>(
        &mut self,
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
        samples: impl IntoIterator<Item = (i64, f64)>,
    ) -> Result<(), OpenMetricsError> {
        let name = self.families.last().ok_or(OpenMetricsError::NoFamily)?;
        self.series.clear();
        self.series.push_str(name);
        write_labels(&mut self.series, labels);
        self.series.push(' ');
        for (at, value) in samples {
            self.line.clear();
            self.line.push_str(&self.series);
            write_float(&mut self.line, value);
            self.line.push(' ');
            write_timestamp(&mut self.line, at);
            self.line.push('\n');
            self.out.write_all(self.line.as_bytes())?;
        }
        Ok(())
    }

    /// Ends the text, without which it is not valid, and hands `out` back flushed.
    pub fn finish(mut self) -> Result<W, OpenMetricsError> {
        self.out.write_all(b"# EOF\n")?;
        self.out.flush()?;
        Ok(self.out)
    }
}

/// Appends unix seconds that Prometheus reads as exactly these milliseconds.
///
/// Its parser multiplies the seconds by 1000 and cuts the fraction off
/// (`int64(ts * 1000)`, model/textparse/openmetricsparse.go, Prometheus 3.16),
/// so that a few in a thousand milliseconds written as they are would arrive one
/// too early (none between 2004 and 2038, as doubles happen to fall); those get
/// another digit, a tenth of a millisecond, which the cut removes.
fn write_timestamp(out: &mut String, milliseconds: i64) {
    let (sign, size) = (
        if milliseconds < 0 { "-" } else { "" },
        milliseconds.unsigned_abs(),
    );
    let begin = out.len();
    let _ = write!(out, "{sign}{}", size / 1000);
    if !size.is_multiple_of(1000) {
        let _ = write!(out, ".{:03}", size % 1000);
        if read_timestamp(&out[begin..]) != Some(milliseconds) {
            out.push('1');
        }
    }
}

/// Unix milliseconds as Prometheus' parser makes them of the text.
fn read_timestamp(text: &str) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "the cut is what the parser does")]
    read_float(text).map(|seconds| (seconds * 1000.0) as i64)
}

/// One sample as read back.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Name of the sample.
    pub name: String,
    /// Its labels.
    pub labels: Vec<(String, String)>,
    /// Unix milliseconds.
    pub at: i64,
    /// Value.
    pub value: f64,
}

/// Reads the samples of a text, strictly: every sample has a timestamp and
/// stands under its family, and the text ends with `# EOF`.
pub fn parse(text: &str) -> Result<Vec<Sample>, OpenMetricsError> {
    let mut samples = Vec::new();
    let mut family = None;
    let mut families = IndexSet::new();
    let mut ended = false;
    for (index, line) in text.split_terminator('\n').enumerate() {
        let wrong = |why| OpenMetricsError::Read {
            line: index + 1,
            why,
            text: line.to_owned(),
        };
        if ended {
            return Err(wrong("nothing follows # EOF"));
        }
        if line == "# EOF" {
            ended = true;
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let name = match rest.split_once(' ') {
                Some((base, "counter")) => format!("{base}_total"),
                Some((base, "gauge")) => base.to_owned(),
                _ => return Err(wrong("a type is counter or gauge")),
            };
            if !families.insert(name.clone()) {
                return Err(wrong("a family comes once"));
            }
            family = Some(name);
        } else if !line.starts_with("# HELP ") {
            let (name, labels, rest) = read_series(line).map_err(wrong)?;
            if family.as_deref() != Some(name) {
                return Err(wrong("a sample stands under its family"));
            }
            let (value, at) = rest
                .split_once(' ')
                .ok_or_else(|| wrong("a sample has a timestamp"))?;
            samples.push(Sample {
                name: name.to_owned(),
                labels,
                at: read_timestamp(at).ok_or_else(|| wrong("a timestamp is a number"))?,
                value: read_float(value).ok_or_else(|| wrong("a value is a number"))?,
            });
        }
    }
    if ended && text.ends_with('\n') {
        Ok(samples)
    } else {
        Err(OpenMetricsError::Read {
            line: text.lines().count(),
            why: "the text ends with a line # EOF",
            text: String::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_of_two_families() {
        let mut writer = Writer::new(Vec::new());
        writer
            .family("requests_total", Kind::Counter, "Requests.")
            .unwrap();
        writer
            .series(
                [("zone", "a\"")],
                [(1_700_000_000_000, 1.0), (1_700_000_015_001, 2.0)],
            )
            .unwrap();
        writer
            .family("temperature", Kind::Gauge, "Says \"warm\".")
            .unwrap();
        writer.series([], [(1_700_000_000_000, -0.5)]).unwrap();
        let text = String::from_utf8(writer.finish().unwrap()).unwrap();
        insta::assert_snapshot!(text);
    }

    #[test]
    fn families_cannot_be_taken_up_again() {
        let mut writer = Writer::new(Vec::new());
        writer.family("a", Kind::Gauge, "").unwrap();
        writer.family("b", Kind::Gauge, "").unwrap();
        let error = writer.family("a", Kind::Gauge, "").unwrap_err();
        assert!(matches!(error, OpenMetricsError::Twice { .. }), "{error}");
    }

    #[test]
    fn counters_need_their_suffix() {
        let error = Writer::new(Vec::new())
            .family("a", Kind::Counter, "")
            .unwrap_err();
        assert!(matches!(error, OpenMetricsError::CounterName { .. }), "{error}");
    }

    proptest! {
        /// forall ms in +-100 years: the parser of Prometheus reads ms
        #[test]
        fn milliseconds_arrive_exactly(ms in -3_000_000_000_000i64..3_000_000_000_000) {
            let mut text = String::new();
            write_timestamp(&mut text, ms);
            prop_assert_eq!(read_timestamp(&text), Some(ms), "{}", text);
        }

        /// forall series, samples: parse(write(samples)) = samples
        #[test]
        fn samples_round_trip(
            series in proptest::collection::vec(
                ("[\\PC\n\"\\\\]{0,8}", proptest::collection::vec((0i64..2_000_000_000_000, -1e9..1e9), 0..5)),
                0..5,
            )
        ) {
            let mut writer = Writer::new(Vec::new());
            writer.family("f_total", Kind::Counter, "A\nhelp.").unwrap();
            let mut expected = Vec::new();
            for (value, samples) in &series {
                writer.series([("l", value.as_str())], samples.iter().copied()).unwrap();
                expected.extend(samples.iter().map(|&(at, number)| Sample {
                    name: "f_total".into(),
                    labels: vec![("l".into(), value.clone())],
                    at,
                    value: number,
                }));
            }
            let text = String::from_utf8(writer.finish().unwrap()).unwrap();
            prop_assert_eq!(parse(&text).unwrap(), expected);
        }
    }
}
