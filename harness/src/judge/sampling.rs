//! Sampling as a pure function of the trace ID: which traces a sampler keeps,
//! and what the kept ones say about it.
//!
//! The Collector's `probabilistic_sampler` in mode `hash_seed`
//! (opentelemetry-collector-contrib v0.149.0, processor/probabilisticsamplerprocessor,
//! `fnvhasher.go` and `sampler_mode.go`) sorts trace IDs into 16,384 buckets
//! and keeps the lowest ones. With one trace in each bucket a changed
//! percentage shows from one bucket up, which is 0.0061 points, and nothing is
//! left to chance. [`remote`] has what services are told by Jaeger, and
//! [`adaptive`] how its probabilities approach their target.

use std::collections::HashMap;
use std::fmt::Write as _;

use rand_chacha::rand_core::Rng;

use crate::drawing::{BucketMark, Drawing};
use crate::emit::traces::ledger::TraceLedger;
use crate::finding::Finding;
use crate::seed::Seed;
use crate::verdict::Verdict;
use crate::wire::otlp::TraceId;

pub mod adaptive;
pub mod remote;

/// Number of buckets (`numHashBuckets`).
pub const BUCKETS: u32 = 1 << 14;
/// Buckets a point of percentage (`percentageScaleFactor`).
const SCALE: f32 = 163.84;
/// How many traces a reason names.
const NAMED: usize = 5;

/// A `probabilistic_sampler` in mode `hash_seed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashSeed(pub u32);

impl HashSeed {
    /// The bucket of a trace: FNV-1a-32 (Fowler, Noll and Vo) over the seed's
    /// four bytes, little-endian, and the ID's sixteen; its lowest 14 bits.
    #[must_use]
    pub fn bucket(self, id: TraceId) -> u32 {
        const OFFSET: u32 = 0x811c_9dc5;
        const PRIME: u32 = 0x0100_0193;
        let hash = self
            .0
            .to_le_bytes()
            .into_iter()
            .chain(id.0)
            .fold(OFFSET, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(PRIME));
        hash & (BUCKETS - 1)
    }

    /// Whether a trace is kept at a percentage. Holds for traces whose spans have
    /// neither an attribute `sampling.priority` nor an `ot` entry in their
    /// `tracestate`, both of which the processor heeds first.
    #[must_use]
    pub fn keeps(self, percentage: f32, id: TraceId) -> bool {
        self.bucket(id) < kept_buckets(percentage)
    }

    /// One trace ID for each bucket, in the order of the buckets.
    ///
    /// Takes about 170,000 hashes, 16,384 times the harmonic number of 16,384, which is what it
    /// takes to collect all of 16,384 coupons.
    #[must_use]
    pub fn one_for_each_bucket(self, seed: Seed) -> Vec<TraceId> {
        let mut rng = seed.stream("one trace for each bucket");
        let mut found: Vec<Option<TraceId>> = vec![None; BUCKETS as usize];
        let mut missing = found.len();
        while missing > 0 {
            let mut id = TraceId([0; 16]);
            rng.fill_bytes(&mut id.0);
            if id.0 == [0; 16] {
                continue;
            }
            if let Some(place) = found.get_mut(self.bucket(id) as usize)
                && place.is_none()
            {
                *place = Some(id);
                missing -= 1;
            }
        }
        found.into_iter().flatten().collect()
    }
}

/// Number of buckets that are kept at a percentage: `trunc(f32(percentage) * 163.84)` in single
/// precision, percentages above 100 as 100.
#[must_use]
pub fn kept_buckets(percentage: f32) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 16384; the processor truncates as well"
    )]
    let buckets = (percentage.clamp(0.0, 100.0) * SCALE) as u32;
    buckets.min(BUCKETS)
}

/// The percentages, from the first to before the second, at which so many buckets are kept; all are
/// kept at 100 alone.
#[must_use]
pub fn percentages(kept: u32) -> (f64, f64) {
    let point = |buckets: u32| f64::from(buckets.min(BUCKETS)) * 100.0 / f64::from(BUCKETS);
    (point(kept), point(kept + 1))
}

/// What was seen of one trace that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The trace.
    pub id: TraceId,
    /// Its bucket.
    pub bucket: u32,
    /// Whether it should have been kept.
    pub expected: bool,
    /// Spans sent.
    pub sent: u64,
    /// Spans that arrived.
    pub arrived: u64,
}

/// Predicted and observed, held against each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The percentage that was predicted from.
    pub percentage: f32,
    /// Every trace that was sent, in the order of sending.
    pub traces: Vec<Judged>,
    /// Traces that arrived and were never sent.
    pub strangers: Vec<TraceId>,
}

/// Holds the traces that arrived against those that should have.
///
/// `sent` must be known to be whole: a trace that was lost on the way looks
/// like one that was dropped, so that sampling is judged after the same way was
/// seen to lose nothing.
#[must_use]
pub fn compare(sampler: HashSeed, percentage: f32, sent: &TraceLedger, arrived: &TraceLedger) -> Comparison {
    let traces = sent
        .traces()
        .iter()
        .map(|(id, entry)| Judged {
            id: *id,
            bucket: sampler.bucket(*id),
            expected: sampler.keeps(percentage, *id),
            sent: entry.spans,
            arrived: arrived.traces().get(id).map_or(0, |entry| entry.spans),
        })
        .collect();
    Comparison {
        percentage,
        traces,
        strangers: arrived
            .traces()
            .keys()
            .filter(|id| !sent.traces().contains_key(*id))
            .copied()
            .collect(),
    }
}

/// The threshold that a set of kept traces gives away: buckets from `at_least` to `at_most` may be
/// the number that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threshold {
    /// One more than the highest bucket that was kept.
    pub at_least: u32,
    /// The lowest bucket that was dropped.
    pub at_most: u32,
}

impl std::fmt::Display for Threshold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (from, to) = (percentages(self.at_least).0, percentages(self.at_most).1);
        write!(f, "{from:.4} % to {to:.4} %")
    }
}

impl Comparison {
    /// Traces that should have been kept.
    #[must_use]
    pub fn predicted(&self) -> usize {
        self.traces.iter().filter(|trace| trace.expected).count()
    }

    /// Traces of which something arrived.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.traces.iter().filter(|trace| trace.arrived > 0).count()
    }

    /// Traces that arrived and should not have.
    #[must_use]
    pub fn wrongly_kept(&self) -> Vec<&Judged> {
        self.select(|trace| trace.arrived > 0 && !trace.expected)
    }

    /// Traces that should have arrived and did not.
    #[must_use]
    pub fn wrongly_dropped(&self) -> Vec<&Judged> {
        self.select(|trace| trace.arrived == 0 && trace.expected)
    }

    /// Traces that arrived in part.
    #[must_use]
    pub fn partial(&self) -> Vec<&Judged> {
        self.select(|trace| trace.arrived > 0 && trace.arrived < trace.sent)
    }

    /// Traces with more spans than were sent.
    #[must_use]
    pub fn overfull(&self) -> Vec<&Judged> {
        self.select(|trace| trace.arrived > trace.sent)
    }

    /// The threshold that the observed set gives away; none where it is not one threshold that parts
    /// kept from dropped.
    #[must_use]
    pub fn threshold(&self) -> Option<Threshold> {
        let kept = self.traces.iter().filter(|trace| trace.arrived > 0);
        let dropped = self.traces.iter().filter(|trace| trace.arrived == 0);
        let at_least = kept.map(|trace| trace.bucket + 1).max().unwrap_or(0);
        let at_most = dropped.map(|trace| trace.bucket).min().unwrap_or(BUCKETS);
        (at_least <= at_most).then_some(Threshold { at_least, at_most })
    }

    /// How far below and above the percentage, in points, a changed one goes unnoticed with these traces:
    /// at most one bucket where the buckets around the edge have traces.
    #[must_use]
    pub fn unnoticed(&self) -> (f64, f64) {
        let edge = kept_buckets(self.percentage);
        let buckets = || self.traces.iter().map(|trace| trace.bucket);
        // The threshold may lie anywhere between these two without a trace changing sides.
        let low = buckets()
            .filter(|bucket| *bucket < edge)
            .max()
            .map_or(0, |bucket| bucket + 1);
        let high = buckets()
            .filter(|bucket| *bucket >= edge)
            .min()
            .unwrap_or(BUCKETS);
        let percentage = f64::from(self.percentage);
        (
            percentage - percentages(low).0,
            (percentages(high).1 - percentage).min(100.0),
        )
    }

    /// The findings: the set, whole traces, and nothing else.
    #[must_use]
    pub fn findings(&self, what: &str) -> Vec<Finding> {
        let (below, above) = self.unnoticed();
        let wrongly_kept = self.wrongly_kept();
        let wrongly_dropped = self.wrongly_dropped();
        let observed = match self.threshold() {
            Some(threshold) => format!("{} kept, as {threshold} does", self.kept()),
            None => format!("{} kept, as no percentage does", self.kept()),
        };
        let set = Finding::of(format!("{what}: the kept traces"))
            .declared(format!("{} %", self.percentage))
            .bound(format!(
                "exactly the {} predicted of {}; a change by {below:.4} points down or {above:.4} up is noticed",
                self.predicted(),
                self.traces.len()
            ))
            .observed(observed)
            .unit("traces");
        let set = if self.traces.is_empty() {
            set.verdict(Verdict::Insufficient, "no trace was sent")
        } else {
            set.judge(wrongly_kept.is_empty() && wrongly_dropped.is_empty(), || {
                differences(&wrongly_kept, &wrongly_dropped)
            })
        };
        let (partial, overfull) = (self.partial(), self.overfull());
        let whole = Finding::of(format!("{what}: traces are kept whole"))
            .bound("all spans of a trace, once each, or none")
            .observed(format!(
                "{} kept in part, {} with spans too many",
                partial.len(),
                overfull.len()
            ))
            .judge(partial.is_empty() && overfull.is_empty(), || {
                let parts = named(partial.iter().chain(&overfull), |trace| {
                    format!("{} with {} of {} spans", trace.id, trace.arrived, trace.sent)
                });
                format!("not every trace is whole: {parts}")
            });
        let strangers = Finding::of(format!("{what}: nothing else arrives"))
            .bound("0")
            .observed(self.strangers.len())
            .unit("traces")
            .judge(self.strangers.is_empty(), || {
                let ids = named(self.strangers.iter(), ToString::to_string);
                format!("traces arrived that were not sent: {ids}")
            });
        vec![set, whole, strangers]
    }

    /// The buckets as a picture.
    #[must_use]
    pub fn drawing(&self, title: impl Into<String>) -> Drawing {
        let mut buckets: HashMap<u32, BucketMark> = HashMap::new();
        for trace in &self.traces {
            let mark = buckets.entry(trace.bucket).or_insert(BucketMark {
                bucket: trace.bucket,
                kept: 0,
                dropped: 0,
            });
            if trace.arrived > 0 {
                mark.kept += 1;
            } else {
                mark.dropped += 1;
            }
        }
        let mut buckets: Vec<BucketMark> = buckets.into_values().collect();
        buckets.sort_unstable_by_key(|mark| mark.bucket);
        Drawing::Buckets {
            title: title.into(),
            buckets: BUCKETS,
            edge: kept_buckets(self.percentage),
            seen: buckets,
        }
    }

    fn select(&self, wanted: impl Fn(&Judged) -> bool) -> Vec<&Judged> {
        self.traces.iter().filter(|trace| wanted(trace)).collect()
    }
}

fn differences(kept: &[&Judged], dropped: &[&Judged]) -> String {
    let bucket = |trace: &&Judged| format!("bucket {} ({})", trace.bucket, trace.id);
    let mut parts = Vec::new();
    for (traces, words) in [
        (kept, "kept and should be dropped"),
        (dropped, "dropped and should be kept"),
    ] {
        if !traces.is_empty() {
            parts.push(format!(
                "{} {words}: {}",
                traces.len(),
                named(traces.iter(), bucket)
            ));
        }
    }
    parts.join("; ")
}

/// The first few of many, and how many more there are.
fn named<T>(items: impl Iterator<Item = T>, words: impl Fn(T) -> String) -> String {
    let all: Vec<String> = items.map(words).collect();
    let shown = all.len().min(NAMED);
    let mut text = all.get(..shown).unwrap_or_default().join(", ");
    if all.len() > shown {
        // Writing to a string cannot fail.
        let _ = write!(text, " and {} more", all.len() - shown);
    }
    text
}

#[cfg(test)]
mod tests;
