//! Protobuf exposition: length-delimited `io.prometheus.client.MetricFamily`
//! messages, the only exposition that carries native histograms.
//!
//! Field numbers from io/prometheus/client/metrics.proto (`prometheus/client_model`
//! 0.6, and its copy in Prometheus 3.16).

use indexmap::IndexMap;
use prost::Message;

use super::{Family, Metric, Value};

/// Breadth of the zero bucket that is declared for native histograms: 2^-128,
/// the default of Prometheus' Go client (`DefNativeHistogramZeroThreshold`,
/// `client_golang` 1.23).
pub const ZERO_THRESHOLD: f64 = 2.938_735_877_055_719e-39;

/// Why bytes are not families.
#[derive(Debug, thiserror::Error)]
pub enum ProtobufError {
    /// The bytes do not decode.
    #[error("message {number} does not decode: {source}")]
    Decode {
        /// Which message, from 1.
        number: usize,
        /// Why.
        source: prost::DecodeError,
    },
    /// A message decodes but says something that [`Family`] cannot say.
    #[error("family `{family}`: {why}")]
    Meaning {
        /// Its name.
        family: String,
        /// What it says.
        why: &'static str,
    },
}

/// `MetricFamily`.
#[derive(Clone, PartialEq, Message)]
pub struct FamilyMessage {
    /// Name of the family.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Help text.
    #[prost(string, tag = "2")]
    pub help: String,
    /// Type: 0 counter, 1 gauge, 4 histogram.
    #[prost(int32, tag = "3")]
    pub kind: i32,
    /// The metrics.
    #[prost(message, repeated, tag = "4")]
    pub metric: Vec<MetricMessage>,
}

/// `Metric`: the one field that the family's type names is set.
#[derive(Clone, PartialEq, Message)]
pub struct MetricMessage {
    /// Labels.
    #[prost(message, repeated, tag = "1")]
    pub label: Vec<LabelPair>,
    /// Value of a gauge.
    #[prost(message, optional, tag = "2")]
    pub gauge: Option<Number>,
    /// Value of a counter.
    #[prost(message, optional, tag = "3")]
    pub counter: Option<Number>,
    /// Value of a histogram.
    #[prost(message, optional, tag = "7")]
    pub histogram: Option<HistogramMessage>,
}

/// `LabelPair`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct LabelPair {
    /// Name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// `Gauge` and `Counter`, which look alike here.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Number {
    /// The value.
    #[prost(double, tag = "1")]
    pub value: f64,
}

/// `Histogram`, classic and native at once.
#[derive(Clone, PartialEq, Message)]
pub struct HistogramMessage {
    /// Number of observations.
    #[prost(uint64, tag = "1")]
    pub sample_count: u64,
    /// Sum of the observations.
    #[prost(double, tag = "2")]
    pub sample_sum: f64,
    /// Classic buckets.
    #[prost(message, repeated, tag = "3")]
    pub bucket: Vec<BucketMessage>,
    /// Resolution of the native buckets.
    #[prost(sint32, tag = "5")]
    pub schema: i32,
    /// Breadth of the zero bucket.
    #[prost(double, tag = "6")]
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    #[prost(uint64, tag = "7")]
    pub zero_count: u64,
    /// Runs of native buckets.
    #[prost(message, repeated, tag = "12")]
    pub positive_span: Vec<BucketSpan>,
    /// Count of each native bucket, less the count of the one before.
    #[prost(sint64, repeated, tag = "13")]
    pub positive_delta: Vec<i64>,
}

/// `Bucket` of a classic histogram.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct BucketMessage {
    /// Observations up to the bound.
    #[prost(uint64, tag = "1")]
    pub cumulative_count: u64,
    /// The bound, inclusive.
    #[prost(double, tag = "2")]
    pub upper_bound: f64,
}

/// A run of neighbouring native buckets; the same message in the exposition
/// and in remote write.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct BucketSpan {
    /// Buckets between the run before and this one; the index of the first bucket for the first run.
    #[prost(sint32, tag = "1")]
    pub offset: i32,
    /// Length of the run.
    #[prost(uint32, tag = "2")]
    pub length: u32,
}

/// Runs and deltas of native buckets given as (index, count), growing.
#[must_use]
pub fn to_spans(buckets: &[(i32, u64)]) -> (Vec<BucketSpan>, Vec<i64>) {
    let mut spans: Vec<BucketSpan> = Vec::new();
    let mut deltas = Vec::with_capacity(buckets.len());
    let mut next = 0;
    let mut before = 0;
    for &(index, count) in buckets {
        match spans.last_mut() {
            Some(span) if index == next => span.length += 1,
            _ => spans.push(BucketSpan {
                offset: index - next,
                length: 1,
            }),
        }
        next = index + 1;
        deltas.push(count.wrapping_sub(before).cast_signed());
        before = count;
    }
    (spans, deltas)
}

/// Native buckets as (index, count) of runs and deltas; nothing where they contradict each other.
#[must_use]
pub fn from_spans(spans: &[BucketSpan], deltas: &[i64]) -> Option<Vec<(i32, u64)>> {
    let mut buckets = Vec::with_capacity(deltas.len());
    let mut deltas = deltas.iter();
    let mut index = 0i32;
    let mut count = 0u64;
    for span in spans {
        index = index.checked_add(span.offset)?;
        for _ in 0..span.length {
            count = count.checked_add_signed(*deltas.next()?)?;
            buckets.push((index, count));
            index = index.checked_add(1)?;
        }
    }
    deltas.next().is_none().then_some(buckets)
}

/// Writes families as length-delimited messages. A family without metrics is left out.
#[must_use]
pub fn encode(families: &[Family]) -> Vec<u8> {
    families
        .iter()
        .filter(|family| !family.metrics.is_empty())
        .flat_map(|family| to_message(family).encode_length_delimited_to_vec())
        .collect()
}

fn to_message(family: &Family) -> FamilyMessage {
    FamilyMessage {
        name: family.name.clone(),
        help: family.help.clone(),
        kind: match family.metrics.first().map(|metric| &metric.value) {
            Some(Value::Counter(_)) | None => 0,
            Some(Value::Gauge(_)) => 1,
            Some(Value::Histogram { .. } | Value::NativeHistogram { .. }) => 4,
        },
        metric: family.metrics.iter().map(metric_message).collect(),
    }
}

fn metric_message(metric: &Metric) -> MetricMessage {
    let mut message = MetricMessage {
        label: metric
            .labels
            .iter()
            .map(|(name, value)| LabelPair {
                name: name.clone(),
                value: value.clone(),
            })
            .collect(),
        ..MetricMessage::default()
    };
    let classic = |buckets: &[(f64, u64)]| {
        buckets
            .iter()
            .map(|&(upper_bound, cumulative_count)| BucketMessage {
                cumulative_count,
                upper_bound,
            })
            .collect()
    };
    match &metric.value {
        Value::Counter(value) => message.counter = Some(Number { value: *value }),
        Value::Gauge(value) => message.gauge = Some(Number { value: *value }),
        Value::Histogram { buckets, sum, count } => {
            message.histogram = Some(HistogramMessage {
                sample_count: *count,
                sample_sum: *sum,
                bucket: classic(buckets),
                ..HistogramMessage::default()
            });
        }
        Value::NativeHistogram {
            schema,
            positive,
            zero_count,
            buckets,
            sum,
            count,
        } => {
            let (positive_span, positive_delta) = to_spans(positive);
            message.histogram = Some(HistogramMessage {
                sample_count: *count,
                sample_sum: *sum,
                bucket: classic(buckets),
                schema: *schema,
                zero_threshold: ZERO_THRESHOLD,
                zero_count: *zero_count,
                positive_span,
                positive_delta,
            });
        }
    }
    message
}

/// Reads length-delimited messages. A `+Inf` bucket is dropped: it is the count.
pub fn decode(mut bytes: &[u8]) -> Result<Vec<Family>, ProtobufError> {
    let mut families = Vec::new();
    while !bytes.is_empty() {
        let message =
            FamilyMessage::decode_length_delimited(&mut bytes).map_err(|source| ProtobufError::Decode {
                number: families.len() + 1,
                source,
            })?;
        families.push(from_message(message)?);
    }
    Ok(families)
}

fn from_message(message: FamilyMessage) -> Result<Family, ProtobufError> {
    let FamilyMessage {
        name,
        help,
        kind,
        metric,
    } = message;
    let metrics = metric
        .into_iter()
        .map(|metric| metric_of(kind, metric))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|why| ProtobufError::Meaning {
            family: name.clone(),
            why,
        })?;
    Ok(Family { name, help, metrics })
}

fn metric_of(kind: i32, message: MetricMessage) -> Result<Metric, &'static str> {
    let value = match (kind, message.counter, message.gauge, message.histogram) {
        (0, Some(counter), None, None) => Value::Counter(counter.value),
        (1, None, Some(gauge), None) => Value::Gauge(gauge.value),
        (4, None, None, Some(histogram)) => histogram_of(&histogram)?,
        _ => return Err("a metric has the one value that the type of its family names"),
    };
    let labels: IndexMap<String, String> = message
        .label
        .into_iter()
        .map(|pair| (pair.name, pair.value))
        .collect();
    Ok(Metric { labels, value })
}

fn histogram_of(message: &HistogramMessage) -> Result<Value, &'static str> {
    let buckets = message
        .bucket
        .iter()
        .filter(|bucket| bucket.upper_bound.is_finite())
        .map(|bucket| (bucket.upper_bound, bucket.cumulative_count))
        .collect();
    // As Prometheus tells native from classic (`isNativeHistogram`, model/textparse, 3.16).
    let native = !message.positive_span.is_empty() || message.zero_threshold > 0.0 || message.zero_count > 0;
    Ok(if native {
        Value::NativeHistogram {
            schema: message.schema,
            positive: from_spans(&message.positive_span, &message.positive_delta)
                .ok_or("the runs and the deltas of native buckets do not fit each other")?,
            zero_count: message.zero_count,
            buckets,
            sum: message.sample_sum,
            count: message.sample_count,
        }
    } else {
        Value::Histogram {
            buckets,
            sum: message.sample_sum,
            count: message.sample_count,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::families;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// forall families: decode(encode(families)) = families
        #[test]
        fn protobuf_round_trips(families in families()) {
            prop_assert_eq!(decode(&encode(&families)).unwrap(), families);
        }

        /// forall native buckets: from_spans(to_spans(buckets)) = buckets, with as many runs as there are gaps
        #[test]
        fn spans_round_trip(buckets in proptest::collection::btree_map(-100i32..100, 0u64..1 << 40, 0..40)) {
            let buckets: Vec<(i32, u64)> = buckets.into_iter().collect();
            let (spans, deltas) = to_spans(&buckets);
            let gaps = buckets.windows(2).filter(|pair| pair[0].0 + 1 != pair[1].0).count();
            prop_assert_eq!(spans.len(), if buckets.is_empty() { 0 } else { gaps + 1 });
            prop_assert_eq!(from_spans(&spans, &deltas), Some(buckets));
        }

        /// forall bytes: decode does not panic
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn spans_that_lack_deltas_are_refused() {
        let span = BucketSpan { offset: 0, length: 2 };
        assert_eq!(from_spans(&[span], &[1]), None);
        assert_eq!(from_spans(&[span], &[1, -2]), None, "a negative count");
        assert_eq!(from_spans(&[span], &[1, 1, 1]), None);
    }
}
