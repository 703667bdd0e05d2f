//! The exposition formats a scrape may ask for: text and protobuf.

use indexmap::IndexMap;

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
