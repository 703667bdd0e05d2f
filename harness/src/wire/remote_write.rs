//! Remote write 1.0: a snappy-compressed `prometheus.WriteRequest`.
//!
//! Field numbers from prompb/remote.proto and prompb/types.proto (Prometheus
//! 3.16). [`encode`] is for requests of any kind; [`batch`] is for generators
//! that send the same series again and again.

use indexmap::IndexMap;
use prost::Message;

pub use crate::wire::exposition::protobuf::BucketSpan;
use crate::wire::exposition::protobuf::{ZERO_THRESHOLD, to_spans};

pub mod batch;

/// `Content-Type` of a request.
pub const CONTENT_TYPE: &str = "application/x-protobuf";
/// `Content-Encoding` of a request.
pub const CONTENT_ENCODING: &str = "snappy";
/// Header that names the protocol's version, and its value.
pub const VERSION: (&str, &str) = ("x-prometheus-remote-write-version", "0.1.0");

/// `WriteRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct WriteRequest {
    /// Series with their samples.
    #[prost(message, repeated, tag = "1")]
    pub timeseries: Vec<TimeSeries>,
    /// Metadata of families; optional.
    #[prost(message, repeated, tag = "3")]
    pub metadata: Vec<Metadata>,
}

/// `TimeSeries`: samples or native histograms of one series, in time order.
#[derive(Clone, PartialEq, Message)]
pub struct TimeSeries {
    /// Labels sorted by name, `__name__` among them.
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    /// Samples.
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<Sample>,
    /// Native histograms.
    #[prost(message, repeated, tag = "4")]
    pub histograms: Vec<Histogram>,
}

/// `Label`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Label {
    /// Name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// `Sample`.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Sample {
    /// Value.
    #[prost(double, tag = "1")]
    pub value: f64,
    /// Unix milliseconds.
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
}

/// `Histogram`: a native histogram with whole counts.
#[derive(Clone, PartialEq, Message)]
pub struct Histogram {
    /// Number of observations.
    #[prost(uint64, optional, tag = "1")]
    pub count: Option<u64>,
    /// Sum of the observations.
    #[prost(double, tag = "3")]
    pub sum: f64,
    /// Resolution of the buckets.
    #[prost(sint32, tag = "4")]
    pub schema: i32,
    /// Breadth of the zero bucket.
    #[prost(double, tag = "5")]
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    #[prost(uint64, optional, tag = "6")]
    pub zero_count: Option<u64>,
    /// Runs of buckets.
    #[prost(message, repeated, tag = "11")]
    pub positive_spans: Vec<BucketSpan>,
    /// Count of each bucket, less the count of the one before.
    #[prost(sint64, repeated, tag = "12")]
    pub positive_deltas: Vec<i64>,
    /// Unix milliseconds.
    #[prost(int64, tag = "15")]
    pub timestamp: i64,
}

/// `MetricMetadata`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Metadata {
    /// Type: 1 counter, 2 gauge, 3 histogram.
    #[prost(int32, tag = "1")]
    pub kind: i32,
    /// Name of the family.
    #[prost(string, tag = "2")]
    pub family: String,
    /// Help text.
    #[prost(string, tag = "4")]
    pub help: String,
    /// Unit.
    #[prost(string, tag = "5")]
    pub unit: String,
}

impl TimeSeries {
    /// A series of samples (unix milliseconds, value). Labels are sorted, as the protocol demands.
    #[must_use]
    pub fn of_samples(
        name: &str,
        labels: &IndexMap<String, String>,
        samples: impl IntoIterator<Item = (i64, f64)>,
    ) -> Self {
        Self {
            labels: sorted_labels(name, labels),
            samples: samples
                .into_iter()
                .map(|(timestamp, value)| Sample { value, timestamp })
                .collect(),
            histograms: Vec::new(),
        }
    }

    /// A series of native histograms.
    #[must_use]
    pub fn of_histograms(name: &str, labels: &IndexMap<String, String>, histograms: Vec<Histogram>) -> Self {
        Self {
            labels: sorted_labels(name, labels),
            samples: Vec::new(),
            histograms,
        }
    }
}

fn sorted_labels(name: &str, labels: &IndexMap<String, String>) -> Vec<Label> {
    let mut sorted: Vec<Label> = labels
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .chain([("__name__", name)])
        .map(|(name, value)| Label {
            name: name.to_owned(),
            value: value.to_owned(),
        })
        .collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    sorted
}

impl Histogram {
    /// A native histogram of buckets (index, count), growing, and a zero
    /// bucket; its count is theirs together, as servers check.
    #[must_use]
    pub fn new(timestamp: i64, schema: i32, positive: &[(i32, u64)], zero_count: u64, sum: f64) -> Self {
        let (positive_spans, positive_deltas) = to_spans(positive);
        Self {
            count: Some(zero_count + positive.iter().map(|(_, count)| count).sum::<u64>()),
            sum,
            schema,
            zero_threshold: ZERO_THRESHOLD,
            zero_count: Some(zero_count),
            positive_spans,
            positive_deltas,
            timestamp,
        }
    }
}

/// Why a request cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum RemoteWriteError {
    /// The compression failed.
    #[error("snappy: {0}")]
    Snappy(#[from] snap::Error),
    /// The message does not decode.
    #[error("WriteRequest: {0}")]
    Decode(#[from] prost::DecodeError),
}

/// The body of a request.
pub fn encode(request: &WriteRequest) -> Result<Vec<u8>, RemoteWriteError> {
    Ok(snap::raw::Encoder::new().compress_vec(&request.encode_to_vec())?)
}

/// Reads the body of a request.
pub fn decode(body: &[u8]) -> Result<WriteRequest, RemoteWriteError> {
    let message = snap::raw::Decoder::new().decompress_vec(body)?;
    Ok(WriteRequest::decode(message.as_slice())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::exposition::protobuf::from_spans;
    use proptest::prelude::*;

    proptest! {
        /// forall samples, histograms: decode(encode(request)) = request
        #[test]
        fn requests_round_trip(
            samples in proptest::collection::vec((any::<i64>(), -1e12..1e12), 0..8),
            buckets in proptest::collection::btree_map(-50i32..50, 0u64..1000, 0..10),
            value in "\\PC{0,8}",
        ) {
            let labels = IndexMap::from([("zone".to_owned(), value)]);
            let buckets: Vec<_> = buckets.into_iter().collect();
            let request = WriteRequest {
                timeseries: vec![
                    TimeSeries::of_samples("s", &labels, samples),
                    TimeSeries::of_histograms("h", &labels, vec![Histogram::new(1, 3, &buckets, 2, 1.5)]),
                ],
                metadata: vec![Metadata { kind: 3, family: "h".into(), ..Metadata::default() }],
            };
            let read = decode(&encode(&request).unwrap()).unwrap();
            let histogram = &read.timeseries[1].histograms[0];
            prop_assert_eq!(
                from_spans(&histogram.positive_spans, &histogram.positive_deltas),
                Some(buckets)
            );
            prop_assert_eq!(read, request);
        }
    }

    #[test]
    fn labels_are_sorted_with_the_name_among_them() {
        let labels = IndexMap::from([
            ("zone".to_owned(), String::new()),
            ("App".to_owned(), String::new()),
        ]);
        let names: Vec<String> = TimeSeries::of_samples("s", &labels, [])
            .labels
            .into_iter()
            .map(|label| label.name)
            .collect();
        assert_eq!(names, ["App", "__name__", "zone"]);
    }
}
