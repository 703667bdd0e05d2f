//! Prometheus text format 0.0.4: written for scrapes, and read back strictly.

use std::fmt::Write;

use indexmap::{IndexMap, IndexSet};

use super::{Family, Metric, Value};
use crate::wire::number::{read_float, read_series, write_float, write_labels};

/// Why a text is not an exposition as [`encode`] writes it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}: `{text}`")]
pub struct TextError {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: &'static str,
    /// The line.
    pub text: String,
}

/// Writes families in the text format. A native histogram is written as the
/// classic one it also is; a family without metrics is left out.
#[must_use]
pub fn encode(families: &[Family]) -> String {
    let mut out = String::new();
    for family in families {
        let Some(first) = family.metrics.first() else {
            continue;
        };
        out.push_str("# HELP ");
        out.push_str(&family.name);
        out.push(' ');
        for character in family.help.chars() {
            match character {
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                other => out.push(other),
            }
        }
        out.push_str("\n# TYPE ");
        out.push_str(&family.name);
        out.push_str(match first.value {
            Value::Counter(_) => " counter\n",
            Value::Gauge(_) => " gauge\n",
            Value::Histogram { .. } | Value::NativeHistogram { .. } => " histogram\n",
        });
        for metric in &family.metrics {
            write_metric(&mut out, &family.name, metric);
        }
    }
    out
}

fn pairs(labels: &IndexMap<String, String>) -> impl Iterator<Item = (&str, &str)> {
    labels.iter().map(|(name, value)| (name.as_str(), value.as_str()))
}

fn write_metric(out: &mut String, name: &str, metric: &Metric) {
    match &metric.value {
        Value::Counter(value) | Value::Gauge(value) => {
            out.push_str(name);
            write_labels(out, pairs(&metric.labels));
            out.push(' ');
            write_float(out, *value);
            out.push('\n');
        }
        Value::Histogram { buckets, sum, count }
        | Value::NativeHistogram {
            buckets, sum, count, ..
        } => {
            for (bound, cumulative) in buckets.iter().chain([&(f64::INFINITY, *count)]) {
                let mut bound_text = String::new();
                write_float(&mut bound_text, *bound);
                out.push_str(name);
                out.push_str("_bucket");
                write_labels(out, pairs(&metric.labels).chain([("le", bound_text.as_str())]));
                let _ = writeln!(out, " {cumulative}");
            }
            out.push_str(name);
            out.push_str("_sum");
            write_labels(out, pairs(&metric.labels));
            out.push(' ');
            write_float(out, *sum);
            out.push('\n');
            out.push_str(name);
            out.push_str("_count");
            write_labels(out, pairs(&metric.labels));
            let _ = writeln!(out, " {count}");
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// A histogram of which not all lines were read yet.
struct Partial {
    labels: Vec<(String, String)>,
    buckets: Vec<(f64, u64)>,
    infinite: Option<u64>,
    sum: Option<f64>,
}

/// Reads an exposition, strictly: every family has `# HELP`, then `# TYPE`
/// (counter, gauge or histogram), then its samples; nothing comes twice, and a
/// histogram's lines are in order and agree with each other.
pub fn parse(text: &str) -> Result<Vec<Family>, TextError> {
    let mut reader = Reader::default();
    for (index, line) in text.split_terminator('\n').enumerate() {
        reader.line(line).map_err(|why| TextError {
            line: index + 1,
            why,
            text: line.to_owned(),
        })?;
    }
    let last = text.split_terminator('\n').count();
    let at_end = |why| TextError {
        line: last,
        why,
        text: String::new(),
    };
    if !text.is_empty() && !text.ends_with('\n') {
        return Err(at_end("the last line must end with a line feed"));
    }
    reader.close().map_err(at_end)?;
    Ok(reader.families)
}

#[derive(Default)]
struct Reader {
    names: IndexSet<String>,
    families: Vec<Family>,
    kind: Option<Kind>,
    seen: IndexSet<Vec<(String, String)>>,
    partial: Option<Partial>,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), &'static str> {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            self.close()?;
            let (name, help) = rest.split_once(' ').ok_or("# HELP needs a name and a text")?;
            if !self.names.insert(name.to_owned()) {
                return Err("a family is exposed once");
            }
            self.seen.clear();
            self.families.push(Family {
                name: name.to_owned(),
                help: unescape_help(help)?,
                metrics: Vec::new(),
            });
            return Ok(());
        }
        let family = self.families.last_mut().ok_or("the first line is a # HELP")?;
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or("# TYPE needs a name and a type")?;
            if name != family.name || self.kind.is_some() {
                return Err("# TYPE comes once, after the # HELP of its family");
            }
            self.kind = Some(match kind {
                "counter" => Kind::Counter,
                "gauge" => Kind::Gauge,
                "histogram" => Kind::Histogram,
                _ => return Err("a type is counter, gauge or histogram"),
            });
            return Ok(());
        }
        let kind = self.kind.ok_or("a sample comes after the # TYPE of its family")?;
        let (name, mut labels, value) = read_series(line)?;
        let suffix = name
            .strip_prefix(family.name.as_str())
            .ok_or("a sample stands with its family")?;
        let mut names = IndexSet::new();
        if !labels.iter().all(|(name, _)| names.insert(name.as_str())) {
            return Err("a label comes once in a series");
        }
        let number = || read_float(value).ok_or("a value is a number");
        let whole = || value.parse::<u64>().map_err(|_| "a count is a whole number");
        let value = match (kind, suffix) {
            (Kind::Counter, "") => Value::Counter(number()?),
            (Kind::Gauge, "") => Value::Gauge(number()?),
            (Kind::Histogram, "_bucket") => {
                let (label, bound) = labels.pop().ok_or("a bucket has a label le")?;
                if label != "le" {
                    return Err("le is the last label of a bucket");
                }
                let bound = read_float(&bound).ok_or("le is a number")?;
                let count = whole()?;
                let partial = self.partial.get_or_insert_with(|| Partial {
                    labels: labels.clone(),
                    buckets: Vec::new(),
                    infinite: None,
                    sum: None,
                });
                if partial.labels != labels || partial.infinite.is_some() {
                    return Err("the lines of a histogram stand together, its +Inf bucket last");
                }
                if let Some((before, fewer)) = partial.buckets.last()
                    && !(*before < bound && *fewer <= count)
                {
                    return Err("the buckets of a histogram grow");
                }
                if bound.is_infinite() {
                    partial.infinite = Some(count);
                } else {
                    partial.buckets.push((bound, count));
                }
                return Ok(());
            }
            (Kind::Histogram, "_sum") => {
                let partial = self.partial.as_mut().ok_or("_sum comes after the buckets")?;
                if partial.labels != labels || partial.infinite.is_none() || partial.sum.is_some() {
                    return Err("_sum comes once, after the +Inf bucket of its histogram");
                }
                partial.sum = Some(number()?);
                return Ok(());
            }
            (Kind::Histogram, "_count") => {
                let partial = self.partial.take().ok_or("_count comes after the buckets")?;
                let count = whole()?;
                if partial.labels != labels || partial.infinite != Some(count) {
                    return Err("_count agrees with the +Inf bucket of its histogram");
                }
                Value::Histogram {
                    buckets: partial.buckets,
                    sum: partial.sum.ok_or("_count comes after _sum")?,
                    count,
                }
            }
            _ => return Err("a sample has the name of its family"),
        };
        if !self.seen.insert(labels.clone()) {
            return Err("a series is exposed once");
        }
        family.metrics.push(Metric {
            labels: labels.into_iter().collect::<IndexMap<_, _>>(),
            value,
        });
        Ok(())
    }

    /// The family that is being read must be complete.
    fn close(&mut self) -> Result<(), &'static str> {
        if self.partial.is_some() {
            return Err("the histogram before is not complete");
        }
        if self
            .families
            .last()
            .is_some_and(|family| family.metrics.is_empty())
        {
            return Err("the family before exposes nothing");
        }
        self.kind = None;
        Ok(())
    }
}

fn unescape_help(text: &str) -> Result<String, &'static str> {
    let mut help = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        help.push(match character {
            '\\' => match characters.next() {
                Some('\\') => '\\',
                Some('n') => '\n',
                _ => return Err("a backslash in a help text escapes only a backslash or an n"),
            },
            other => other,
        });
    }
    Ok(help)
}

#[cfg(test)]
mod tests {
    use super::super::tests::families;
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    /// What the text format keeps: native histograms are classic ones there.
    fn as_text(mut families: Vec<Family>) -> Vec<Family> {
        for metric in families.iter_mut().flat_map(|family| &mut family.metrics) {
            if let Value::NativeHistogram {
                buckets, sum, count, ..
            } = metric.value.clone()
            {
                metric.value = Value::Histogram { buckets, sum, count };
            }
        }
        families
    }

    proptest! {
        /// forall families: parse(encode(families)) = families, native histograms as classic ones
        #[test]
        fn text_round_trips(families in families()) {
            prop_assert_eq!(parse(&encode(&families)).unwrap(), as_text(families));
        }
    }

    #[test]
    fn text_of_each_type() {
        let labels = |zone: &str| IndexMap::from([("zone".to_owned(), zone.to_owned())]);
        let family = |name: &str, value| Family {
            name: name.into(),
            help: "A help\nwith a \\.".into(),
            metrics: vec![Metric {
                labels: labels("a \"b\"\\\n"),
                value,
            }],
        };
        let families = [
            family("requests_total", Value::Counter(3.0)),
            family("temperature", Value::Gauge(-1.5)),
            family(
                "duration_seconds",
                Value::NativeHistogram {
                    schema: 3,
                    positive: vec![(0, 2)],
                    zero_count: 0,
                    buckets: vec![(0.1, 1), (2.5, 2)],
                    sum: 0.25,
                    count: 2,
                },
            ),
        ];
        insta::assert_snapshot!(encode(&families));
    }

    #[rstest]
    #[case("a 1\n", "the first line is a # HELP")]
    #[case("# HELP a \n# TYPE a counter\na 1", "the last line must end with a line feed")]
    #[case("# HELP a \n# TYPE a counter\na 1\na 1\n", "a series is exposed once")]
    #[case("# HELP a \n# TYPE a counter\n", "the family before exposes nothing")]
    #[case(
        "# HELP a \n# TYPE a counter\na{x=\"\\q\"} 1\n",
        "a backslash escapes only a backslash, a quote or an n"
    )]
    #[case(
        "# HELP a \n# TYPE a histogram\na_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 1\n",
        "the buckets of a histogram grow"
    )]
    #[case("# HELP a \n# TYPE a gauge\na inf\n", "a value is a number")]
    fn what_is_not_an_exposition_is_refused(#[case] text: &str, #[case] why: &str) {
        assert_eq!(parse(text).unwrap_err().why, why);
    }
}
