//! A healthy day of the whole stack as blocks: every series of the played services, at the interval
//! its target is scraped with, and what the loaded recording rules would have recorded of it.
//!
//! The amount and the shape of the data are what costs a query time, so both are the production's:
//! its series, its intervals, counters that grow by whole numbers and gauges that never stand still.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use harness::case::{CaseError, Context};
use harness::component::prometheus::Sample;
use harness::judge::alerts::healthy_day;
use harness::judge::alerts::inputs::InputKind;
use harness::render::RenderError;
use harness::seed::Seed;
use harness::wire::tsdb::{self, Labels, Written};

use crate::history::{milliseconds, seconds};

/// Length of a block: the third of the server's compacted lengths (2 h, 6 h, 18 h, ...), so that
/// nothing is left to compact while it is measured.
const BLOCK: Duration = Duration::from_secs(18 * 3600);

/// One series and how its values go.
#[derive(Debug, Clone)]
struct Course {
    kind: InputKind,
    value: f64,
    /// Between two samples, in milliseconds.
    step: i64,
    /// Which of the targets it is of: its counters rise and fall together, as buckets have to.
    target: u64,
}

/// What the stack scrapes on a healthy day.
#[derive(Debug)]
pub(super) struct Day {
    labels: Vec<Labels>,
    courses: Vec<Course>,
    seed: Seed,
}

impl Day {
    /// The day of the declared targets and the played services.
    pub(super) fn of(context: &Context) -> Result<Self, CaseError> {
        let targets = harness::render::prometheus::targets(&context.tree, &context.shapes).map_err(
            |error| match error {
                RenderError::Deploy(error) => CaseError::from(error),
                other => CaseError::Failed(other.to_string()),
            },
        )?;
        let (mut labels, mut courses) = (Vec::new(), Vec::new());
        let mut seen = HashSet::new();
        for target in targets {
            let step = milliseconds(target.interval.0).max(1);
            for series in healthy_day::series(&context.shapes, std::slice::from_ref(&target)) {
                let (name, own) = series.labels().map_err(CaseError::Environment)?;
                let instance = own.get("instance").cloned().unwrap_or_default();
                let mut all: Labels = own.into_iter().collect();
                all.push(("__name__".to_owned(), name));
                all.sort();
                // Two ports of a service may both be asked for what it has only once.
                if !seen.insert(all.clone()) {
                    continue;
                }
                labels.push(all);
                courses.push(Course {
                    kind: series.kind,
                    value: series.healthy.unwrap_or_default(),
                    step,
                    target: context.seed.derive(&instance).0,
                });
            }
        }
        Ok(Self {
            labels,
            courses,
            seed: context.seed,
        })
    }

    /// Writes the day from `from` to `to` (unix milliseconds) as blocks below `data`.
    pub(super) fn write(&self, data: &Path, from: i64, to: i64) -> Result<Vec<Written>, CaseError> {
        blocks(from, to)
            .map(|(start, end)| {
                write(data, &self.labels, self.seed, |place, samples| {
                    self.courses[place].fill(self.seed.0 ^ place as u64, from, (start, end), samples);
                })
            })
            .collect()
    }

    /// Names of its metrics.
    pub(super) fn metrics(&self) -> HashSet<&str> {
        self.labels
            .iter()
            .flatten()
            .filter(|(label, _)| label == "__name__")
            .map(|(_, name)| name.as_str())
            .collect()
    }
}

impl Course {
    /// The samples from `start` to before `end`; counters began at `origin`.
    fn fill(&self, own: u64, origin: i64, (start, end): (i64, i64), samples: &mut Vec<(i64, f64)>) {
        samples.extend(instants(start, end, self.step).map(|at| {
            let value = match self.kind {
                InputKind::Counter => (self.value * self.activity(origin, at)).floor(),
                // States and small numbers of things stand still, levels do not.
                InputKind::Gauge if self.value.abs() <= 1.0 && self.value.fract() == 0.0 => self.value,
                InputKind::Gauge => self.value * (0.9 + 0.2 * noise(own, at)),
                InputKind::Age => (seconds(at) - self.value).floor(),
            };
            (at, value)
        }));
    }

    /// Seconds of its target's activity so far: one a second, the last of them early or late by up
    /// to half a step, so that it grows by half a step at least.
    fn activity(&self, origin: i64, at: i64) -> f64 {
        seconds(at - origin) + seconds(self.step) * 0.5 * noise(self.target, at)
    }
}

/// What a rule records.
#[derive(Debug, Clone)]
pub(super) struct Recorded {
    /// Name it is recorded under.
    pub(super) name: String,
    /// How often.
    pub(super) every: Duration,
    /// What its expression gave at the day's end.
    pub(super) samples: Vec<Sample>,
}

/// What the recording rules would have recorded: the values that their expressions have at the
/// day's end, with a tenth of noise, at the interval of their evaluation.
pub(super) fn record(
    data: &Path,
    recorded: &[Recorded],
    (from, to): (i64, i64),
    seed: Seed,
) -> Result<Vec<Written>, CaseError> {
    let (mut labels, mut courses) = (Vec::new(), Vec::new());
    for rule in recorded {
        for sample in &rule.samples {
            let own = sample.labels.iter().filter(|(label, _)| *label != "__name__");
            let mut all: Labels = own.map(|(name, value)| (name.clone(), value.clone())).collect();
            all.push(("__name__".to_owned(), rule.name.clone()));
            all.sort();
            labels.push(all);
            let value = sample.value.parse::<f64>().unwrap_or(f64::NAN);
            courses.push((value, milliseconds(rule.every).max(1)));
        }
    }
    if labels.is_empty() {
        return Ok(Vec::new());
    }
    blocks(from, to)
        .map(|(start, end)| {
            write(data, &labels, seed.derive("recorded"), |place, samples| {
                let (value, step) = courses[place];
                samples.extend(instants(start, end, step).map(|at| {
                    let wave = 0.95 + 0.1 * noise(seed.0 ^ place as u64, at);
                    (at, value * wave)
                }));
            })
        })
        .collect()
}

fn write(
    data: &Path,
    labels: &[Labels],
    seed: Seed,
    fill: impl FnMut(usize, &mut Vec<(i64, f64)>),
) -> Result<Written, CaseError> {
    tsdb::write(data, labels, seed, fill)
        .map_err(|error| CaseError::Environment(format!("the history cannot be written: {error}")))
}

/// The day cut at whole multiples of a block's length.
fn blocks(from: i64, to: i64) -> impl Iterator<Item = (i64, i64)> {
    let length = milliseconds(BLOCK);
    let first = from.div_euclid(length);
    (first..=(to - 1).div_euclid(length))
        .map(move |number| ((number * length).max(from), ((number + 1) * length).min(to)))
}

/// Multiples of the step from `start` to before `end`.
fn instants(start: i64, end: i64, step: i64) -> impl Iterator<Item = i64> {
    let first = start.div_euclid(step) + i64::from(start.rem_euclid(step) != 0);
    (first..)
        .map(move |number| number * step)
        .take_while(move |at| *at < end)
}

/// A number from 0 to 1 that looks random, of a series and an instant.
fn noise(series: u64, at: i64) -> f64 {
    let mut bits = series.wrapping_add(at.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15));
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    #[expect(clippy::cast_precision_loss, reason = "the upper 52 bits of a hash")]
    let upper = (bits >> 12) as f64;
    upper / 4_503_599_627_370_496.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// forall days: the blocks follow each other from its first to its last instant
        #[test]
        fn blocks_partition_the_day(from in 0i64..1 << 42, length in 1i64..400_000_000) {
            let all: Vec<_> = blocks(from, from + length).collect();
            prop_assert_eq!(all[0].0, from);
            prop_assert_eq!(all[all.len() - 1].1, from + length);
            prop_assert!(all.windows(2).all(|pair| pair[0].1 == pair[1].0));
            prop_assert!(all.iter().all(|(start, end)| start < end));
        }

        /// forall counters: they never fall, and noise stays inside its share
        #[test]
        fn counters_only_grow(rate in 0.0f64..1_000.0, target in any::<u64>(), start in 0i64..1 << 42) {
            let course = Course { kind: InputKind::Counter, value: rate, step: 15_000, target };
            let mut samples = Vec::new();
            for hour in 0..2 {
                course.fill(1, start, (start + hour * 3_600_000, start + (hour + 1) * 3_600_000), &mut samples);
            }
            prop_assert!(samples.windows(2).all(|pair| pair[0].1 <= pair[1].1 && pair[0].0 < pair[1].0));
            prop_assert!((0.0..1.0).contains(&noise(target, start)));
        }
    }
}
