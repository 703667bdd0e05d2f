//! The exposition formats a scrape may ask for: text and protobuf.

use indexmap::IndexMap;

pub mod protobuf;
pub mod text;

/// A metric family as exposed.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// Name, for counters with its `_total`.
    pub name: String,
    /// Help text.
    pub help: String,
    /// The metrics, all of one type.
    pub metrics: Vec<Metric>,
}

/// One metric of a family.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Labels.
    pub labels: IndexMap<String, String>,
    /// Value.
    pub value: Value,
}

/// A metric's value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Counter.
    Counter(f64),
    /// Gauge.
    Gauge(f64),
    /// Classic histogram: (upper bound, cumulative count) without `+Inf`, and sum and count.
    Histogram {
        /// (upper bound, cumulative count), growing.
        buckets: Vec<(f64, u64)>,
        /// Sum of the observations.
        sum: f64,
        /// Number of observations.
        count: u64,
    },
    /// Native histogram (exponential), with the classic buckets for the text format.
    NativeHistogram {
        /// Resolution: bucket i ends at 2^(i * 2^-schema).
        schema: i32,
        /// (bucket index, count), growing.
        positive: Vec<(i32, u64)>,
        /// Observations in the zero bucket.
        zero_count: u64,
        /// Classic buckets for the text format.
        buckets: Vec<(f64, u64)>,
        /// Sum of the observations.
        sum: f64,
        /// Number of observations.
        count: u64,
    },
}

/// An exposition format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text format 0.0.4.
    Text,
    /// Length-delimited `io.prometheus.client.MetricFamily` messages.
    Protobuf,
}

impl Format {
    /// The format for a scrape that sent this `Accept` header: protobuf only
    /// where the scraper prefers delimited `MetricFamily` messages to
    /// everything else, as Prometheus does with `scrape_native_histograms`
    /// (config.DefaultProtoFirstScrapeProtocols, Prometheus 3.16).
    #[must_use]
    pub fn negotiate(accept: Option<&str>) -> Self {
        let mut best: Option<(f64, bool)> = None;
        for range in accept.unwrap_or_default().split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            let (mut quality, mut family, mut delimited) = (1.0, false, false);
            for part in parts {
                match part.split_once('=') {
                    Some(("q", number)) => quality = number.parse().unwrap_or(0.0),
                    Some(("proto", message)) => family = message == "io.prometheus.client.MetricFamily",
                    Some(("encoding", how)) => delimited = how == "delimited",
                    _ => {}
                }
            }
            let protobuf = media == "application/vnd.google.protobuf" && family && delimited;
            // Of equals the first counts.
            if best.is_none_or(|(so_far, _)| quality > so_far) {
                best = Some((quality, protobuf));
            }
        }
        match best {
            Some((quality, true)) if quality > 0.0 => Self::Protobuf,
            _ => Self::Text,
        }
    }

    /// Value of the `Content-Type` header.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }

    /// The body of an answer that exposes `families`.
    #[must_use]
    pub fn encode(self, families: &[Family]) -> Vec<u8> {
        match self {
            Self::Text => text::encode(families).into_bytes(),
            Self::Protobuf => protobuf::encode(families),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case(None, Format::Text)]
    #[case(Some("*/*"), Format::Text)]
    #[case(
        Some(
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
        ),
        Format::Text
    )]
    #[case(
        Some(
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;escaping=allow-utf-8;q=0.7,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
        ),
        Format::Protobuf
    )]
    #[case(
        Some(
            "text/plain;version=0.0.4;q=0.7,application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6"
        ),
        Format::Text
    )]
    #[case(
        Some("application/vnd.google.protobuf;proto=other;encoding=delimited"),
        Format::Text
    )]
    fn protobuf_only_for_those_who_prefer_it(#[case] accept: Option<&str>, #[case] format: Format) {
        assert_eq!(Format::negotiate(accept), format);
    }

    fn labels() -> impl Strategy<Value = IndexMap<String, String>> {
        proptest::collection::btree_map("[a-k][a-z0-9_]{0,6}", "[\\PC\n\"\\\\]{0,10}", 0..3)
            .prop_map(|map| map.into_iter().collect())
    }

    fn cumulative() -> impl Strategy<Value = (Vec<(f64, u64)>, u64)> {
        (
            proptest::collection::btree_map(-1000i32..1000, 0u64..1000, 1..6),
            0u64..1000,
        )
            .prop_map(|(map, above)| {
                let mut total = 0;
                let buckets = map
                    .into_iter()
                    .map(|(bound, count)| {
                        total += count;
                        (f64::from(bound) / 8.0, total)
                    })
                    .collect();
                (buckets, total + above)
            })
    }

    fn number() -> impl Strategy<Value = f64> {
        any::<f64>().prop_filter("not a number", |v| !v.is_nan())
    }

    fn values() -> impl Strategy<Value = Vec<Value>> {
        let native = (
            cumulative(),
            number(),
            proptest::collection::btree_map(-200i32..200, 1u64..1000, 0..12),
            0u64..5,
            -4i32..=8,
        )
            .prop_map(|((buckets, _), sum, positive, zero_count, schema)| {
                let positive: Vec<(i32, u64)> = positive.into_iter().collect();
                Value::NativeHistogram {
                    schema,
                    count: buckets.last().map_or(0, |bucket| bucket.1)
                        + zero_count
                        + positive.iter().map(|(_, count)| count).sum::<u64>(),
                    positive,
                    zero_count,
                    buckets,
                    sum,
                }
            });
        let classic = (cumulative(), number()).prop_map(|((buckets, count), sum)| Value::Histogram {
            buckets,
            sum,
            count,
        });
        prop_oneof![
            proptest::collection::vec(number().prop_map(Value::Counter), 1..4),
            proptest::collection::vec(number().prop_map(Value::Gauge), 1..4),
            proptest::collection::vec(classic, 1..3),
            proptest::collection::vec(native, 1..3),
        ]
    }

    /// Families with distinct names, each of one type, with distinct label sets.
    pub(crate) fn families() -> impl Strategy<Value = Vec<Family>> {
        proptest::collection::vec(("[\\PC\n\\\\]{0,12}", labels(), values()), 0..4).prop_map(|parts| {
            parts
                .into_iter()
                .enumerate()
                .map(|(number, (help, labels, values))| Family {
                    name: format!("family_{number}"),
                    help,
                    metrics: values
                        .into_iter()
                        .enumerate()
                        .map(|(index, value)| {
                            let mut labels = labels.clone();
                            labels.insert("zone".into(), index.to_string());
                            Metric { labels, value }
                        })
                        .collect(),
                })
                .collect()
        })
    }
}
