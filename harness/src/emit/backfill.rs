//! History for blocks: samples of the past as an OpenMetrics text, which
//! `promtool tsdb create-blocks-from openmetrics` turns into blocks.

use std::io;

use indexmap::IndexMap;

use super::ledger::{Ledger, mix};
use crate::seed::Seed;
use crate::wire::number::write_labels;
use crate::wire::openmetrics::{Kind, OpenMetricsError, Writer};

/// Samples of some series of one metric at regular instants.
#[derive(Debug, Clone, PartialEq)]
pub struct Backfill {
    /// Name of the metric, for counters with its `_total`.
    pub metric: String,
    /// Type of the metric.
    pub kind: Kind,
    /// Labels of each series.
    pub series: Vec<IndexMap<String, String>>,
    /// First instant, in unix milliseconds.
    pub from: i64,
    /// End, in unix milliseconds; no sample is at or after it.
    pub to: i64,
    /// Milliseconds between two samples; at least 1.
    pub step: i64,
}

/// A stretch of time with samples, as a TSDB block has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// First sample, in unix milliseconds.
    pub first: i64,
    /// Last sample, in unix milliseconds. A block's `maxTime` is one more.
    pub last: i64,
    /// Number of samples.
    pub samples: u64,
}

impl Backfill {
    /// The instants, in unix milliseconds.
    pub fn instants(&self) -> impl Iterator<Item = i64> + use<> {
        let (from, to, step) = (self.from, self.to, self.step.max(1));
        std::iter::successors(Some(from), move |at| at.checked_add(step)).take_while(move |at| *at < to)
    }

    /// What block these samples make, if there are any and no server cuts them apart.
    #[must_use]
    pub fn block(&self) -> Option<Block> {
        let span = self.to.checked_sub(self.from).filter(|span| *span > 0)?;
        let steps = (span - 1) / self.step.max(1);
        let instants = u64::try_from(steps).ok()? + 1;
        (!self.series.is_empty()).then(|| Block {
            first: self.from,
            last: self.from + steps * self.step.max(1),
            samples: instants * self.series.len() as u64,
        })
    }

    /// The blocks of at most `length` milliseconds, aligned to multiples of it,
    /// into which a server cuts these samples (`promtool tsdb
    /// create-blocks-from` uses 2 h unless told otherwise; Prometheus 3.16).
    #[must_use]
    pub fn blocks(&self, length: i64) -> Vec<Block> {
        let length = length.max(1);
        let mut blocks: Vec<Block> = Vec::new();
        let width = self.series.len() as u64;
        if width == 0 {
            return blocks;
        }
        for at in self.instants() {
            match blocks.last_mut() {
                Some(block) if block.first.div_euclid(length) == at.div_euclid(length) => {
                    block.last = at;
                    block.samples += width;
                }
                _ => blocks.push(Block {
                    first: at,
                    last: at,
                    samples: width,
                }),
            }
        }
        blocks
    }

    /// Value of a series at an instant: a function of seed, name, labels and
    /// time alone, so that parts written separately fit together. Counters
    /// grow by a seeded 1 to 10 a second; gauges are seeded whole numbers below 1000.
    #[must_use]
    pub fn value(&self, series: &IndexMap<String, String>, at: i64, seed: Seed) -> f64 {
        value(self.kind, seed.derive(&key(&self.metric, series)).0, at)
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "seconds until 9999 times 10 are exact in a double"
)]
fn value(kind: Kind, seed: u64, at: i64) -> f64 {
    match kind {
        Kind::Counter => ((1 + mix(seed) % 10).cast_signed() * at.div_euclid(1000)) as f64,
        Kind::Gauge => (mix(seed ^ mix(at.cast_unsigned())) % 1000) as f64,
    }
}

/// Key of a series in ledgers: `name{label="value",...}`, in the labels' order.
#[must_use]
pub fn key(metric: &str, labels: &IndexMap<String, String>) -> String {
    let mut key = metric.to_owned();
    write_labels(
        &mut key,
        labels.iter().map(|(name, value)| (name.as_str(), value.as_str())),
    );
    key
}

/// Writes the parts as one text and gives the ledger of what is in it. Parts of
/// one metric are put together, whatever their order; where they name the same
/// series, their times must not overlap. Give a buffered `out`.
pub fn write(parts: &[Backfill], seed: Seed, out: impl io::Write) -> Result<Ledger, OpenMetricsError> {
    let mut writer = Writer::new(out);
    let mut ledger = Ledger::default();
    let mut metrics: IndexMap<&str, Vec<&Backfill>> = IndexMap::new();
    for part in parts {
        metrics.entry(part.metric.as_str()).or_default().push(part);
    }
    for (metric, parts) in metrics {
        let Some(first) = parts.first() else { continue };
        writer.family(metric, first.kind, "Backfilled by the conformance harness.")?;
        for part in parts {
            for labels in &part.series {
                let name = key(metric, labels);
                let series_seed = seed.derive(&name).0;
                let samples = part.instants().map(|at| (at, value(part.kind, series_seed, at)));
                let mut entry: Option<super::ledger::Entry> = None;
                writer.series(
                    labels.iter().map(|(name, value)| (name.as_str(), value.as_str())),
                    samples.inspect(|&(at, value)| {
                        let sample = super::ledger::Entry::of(at, value);
                        match &mut entry {
                            Some(entry) => entry.merge(&sample),
                            None => entry = Some(sample),
                        }
                    }),
                )?;
                if let Some(entry) = entry {
                    ledger.enter_all(&name, &entry);
                }
            }
        }
    }
    writer.finish()?;
    Ok(ledger)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::openmetrics::parse;
    use proptest::prelude::*;

    fn part(kind: Kind, series: usize, from: i64, to: i64, step: i64) -> Backfill {
        Backfill {
            metric: "history_total".into(),
            kind,
            series: (0..series)
                .map(|n| IndexMap::from([("n".to_owned(), n.to_string())]))
                .collect(),
            from,
            to,
            step,
        }
    }

    proptest! {
        /// forall parts: the ledger is that of the samples in the text
        #[test]
        fn the_ledger_is_what_was_written(
            seed in any::<u64>(), series in 0usize..4, from in 0i64..1_000_000, steps in 0i64..20, step in 1i64..5_000, counter in any::<bool>()
        ) {
            let kind = if counter { Kind::Counter } else { Kind::Gauge };
            let parts = [
                part(kind, series, from, from + steps * step, step),
                part(kind, series, from + steps * step, from + 2 * steps * step, step),
            ];
            let mut text = Vec::new();
            let ledger = write(&parts, Seed(seed), &mut text).unwrap();
            let mut read = Ledger::default();
            for sample in parse(std::str::from_utf8(&text).unwrap()).unwrap() {
                let labels: IndexMap<String, String> = sample.labels.into_iter().collect();
                let value = parts[0].value(&labels, sample.at, Seed(seed));
                prop_assert_eq!(value.to_bits(), sample.value.to_bits());
                read.enter(&key(&sample.name, &labels), sample.at, sample.value);
            }
            prop_assert!(ledger.compare(&read).is_empty());
        }

        /// forall parts, lengths: blocks partition the samples, and the whole is their hull
        #[test]
        fn blocks_partition_the_samples(from in -10_000i64..10_000, span in 1i64..50_000, step in 1i64..3_000, length in 1i64..10_000) {
            let part = part(Kind::Gauge, 3, from, from + span, step);
            let blocks = part.blocks(length);
            let whole = part.block().unwrap();
            prop_assert_eq!(blocks.iter().map(|block| block.samples).sum::<u64>(), whole.samples);
            prop_assert_eq!(blocks[0].first, whole.first);
            prop_assert_eq!(blocks.last().unwrap().last, whole.last);
            for block in &blocks {
                prop_assert_eq!(block.first.div_euclid(length), block.last.div_euclid(length));
            }
            prop_assert!(blocks.windows(2).all(|pair| pair[0].last < pair[1].first));
        }
    }

    #[test]
    fn nothing_makes_no_block() {
        assert_eq!(part(Kind::Gauge, 1, 5, 5, 1).block(), None);
        assert_eq!(part(Kind::Gauge, 0, 0, 5, 1).block(), None);
        assert!(part(Kind::Gauge, 0, 0, 5, 1).blocks(10).is_empty());
    }

    #[test]
    fn counters_grow() {
        let part = part(Kind::Counter, 1, 0, 0, 1);
        let value = |at| part.value(&part.series[0], at, Seed(3));
        assert!(value(2_000) > value(1_000) && value(1_000) > 0.0);
    }
}
