//! Values of a service's metrics as functions of time and seed.

use std::f64::consts::TAU;

use indexmap::IndexMap;
use rand_chacha::rand_core::Rng;

use super::distribution::{Share, within};
use crate::seed::Seed;
use crate::shapes::{Kind, Metric, Series};
use crate::wire::exposition::{Family, Metric as Exposed, Value};

/// Resolution of the native histograms that are played: eight buckets a power of two.
const SCHEMA: i32 = 3;
const BUCKETS_PER_POWER: f64 = 8.0;
/// Native buckets cover so many standard deviations to both sides; the outermost take the rest.
const COVERED: f64 = 4.0;
/// Counters and histograms speed up and slow down by this share.
const SWAY: f64 = 0.02;
/// Gauges below this level are exact when they are whole: they count replicas, or are flags.
const SMALLEST_SWAYING: f64 = 50.0;
/// Words in the names of gauges that are settings: they are exact.
const SETTINGS: [&str; 12] = [
    "limit",
    "capacity",
    "spec",
    "max",
    "size",
    "info",
    "total",
    "quota",
    "replicas",
    "allocatable",
    "desired",
    "timestamp",
];

/// All metrics of one instance.
#[derive(Debug, Clone)]
pub struct Model {
    families: Vec<FamilyModel>,
}

#[derive(Debug, Clone)]
struct FamilyModel {
    name: String,
    help: String,
    series: Vec<(IndexMap<String, String>, SeriesModel)>,
}

/// A slow seeded sine: nought at the start, nought on average.
#[derive(Debug, Clone, Copy)]
struct Sway {
    /// Seconds.
    period: f64,
    phase: f64,
}

impl Sway {
    fn draw(rng: &mut impl Rng) -> Self {
        // 53 bits fill a double between 0 and 1.
        #[expect(clippy::cast_precision_loss, reason = "53 bits are exact in a double")]
        let mut unit = || (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        Self {
            period: 60.0 + 60.0 * unit(),
            phase: TAU * unit(),
        }
    }

    /// Between -1 and 1.
    fn level(self, seconds: f64) -> f64 {
        (TAU * seconds / self.period + self.phase).sin()
    }

    /// Seconds that have passed on a clock that runs up to [`SWAY`] faster or
    /// slower than real time: the integral of 1 + `SWAY` * cos. It never runs
    /// backwards as long as `SWAY` < 1.
    fn time(self, seconds: f64) -> f64 {
        seconds + SWAY * self.period / TAU * (self.level(seconds) - self.phase.sin())
    }
}

#[derive(Debug, Clone)]
enum SeriesModel {
    Counter { rate: f64, sway: Sway },
    Steady(f64),
    Swaying { level: f64, whole: bool, sway: Sway },
    Age(f64),
    Histogram(HistogramModel),
}

#[derive(Debug, Clone)]
struct HistogramModel {
    rate: f64,
    mean: f64,
    sway: Sway,
    shift: u64,
    /// (upper bound, share up to it).
    buckets: Vec<(f64, Share)>,
    /// (index, share up to its upper bound), where it is native.
    native: Option<Vec<(i32, Share)>>,
}

impl Model {
    /// The model of these metrics; what is drawn depends on the seed, the names and the labels alone.
    #[must_use]
    pub fn new(metrics: &[Metric], seed: Seed) -> Self {
        Self {
            families: metrics
                .iter()
                .map(|metric| FamilyModel {
                    name: metric.name.clone(),
                    help: metric.help.clone(),
                    series: metric
                        .series
                        .iter()
                        .map(|series| (series.labels.clone(), SeriesModel::new(metric, series, seed)))
                        .collect(),
                })
                .collect(),
        }
    }

    /// What is exposed so many seconds after the start, at this unix time.
    #[must_use]
    pub fn families(&self, seconds: f64, unix: f64) -> Vec<Family> {
        self.families
            .iter()
            .map(|family| Family {
                name: family.name.clone(),
                help: family.help.clone(),
                metrics: family
                    .series
                    .iter()
                    .map(|(labels, series)| Exposed {
                        labels: labels.clone(),
                        value: series.value(seconds.max(0.0), unix),
                    })
                    .collect(),
            })
            .collect()
    }
}

impl SeriesModel {
    fn new(metric: &Metric, series: &Series, seed: Seed) -> Self {
        let mut name = metric.name.clone();
        for (label, value) in &series.labels {
            name.push('\0');
            name.push_str(label);
            name.push('\0');
            name.push_str(value);
        }
        let mut rng = seed.stream(&name);
        let sway = Sway::draw(&mut rng);
        // The shapes' own check makes sure that what a kind needs is there.
        let rate = series.rate.unwrap_or_default().max(0.0);
        match metric.kind {
            Kind::Counter => Self::Counter { rate, sway },
            Kind::Gauge => match (series.age, series.level) {
                (Some(age), _) => Self::Age(age),
                (None, level) => Self::gauge(&metric.name, level.unwrap_or_default(), sway),
            },
            Kind::Histogram | Kind::NativeHistogram => {
                let median = series.median.unwrap_or(1.0).max(f64::MIN_POSITIVE);
                let spread = series.spread.unwrap_or_default().max(0.0);
                Self::Histogram(HistogramModel {
                    rate,
                    // Mean of a log-normal distribution.
                    mean: median * (spread * spread / 2.0).exp(),
                    sway,
                    shift: rng.next_u64(),
                    buckets: metric
                        .buckets
                        .iter()
                        .map(|&bound| (bound, Share::below(bound, median, spread)))
                        .collect(),
                    native: (metric.kind == Kind::NativeHistogram).then(|| native_buckets(median, spread)),
                })
            }
        }
    }

    /// Gauges sway by up to 2 %, except where that would say something that is
    /// not so: flags, small whole numbers, shares of a whole and settings.
    fn gauge(name: &str, level: f64, sway: Sway) -> Self {
        let whole = level.fract() == 0.0;
        let setting = name
            .split('_')
            .map(str::to_ascii_lowercase)
            .any(|word| SETTINGS.iter().any(|setting| word.ends_with(setting)));
        if setting || (whole && level.abs() < SMALLEST_SWAYING) {
            Self::Steady(level)
        } else {
            Self::Swaying { level, whole, sway }
        }
    }

    fn value(&self, seconds: f64, unix: f64) -> Value {
        match self {
            Self::Counter { rate, sway } => Value::Counter(counter(*rate, sway.time(seconds))),
            Self::Steady(level) => Value::Gauge(*level),
            Self::Swaying { level, whole, sway } => {
                let swayed = level * (1.0 + SWAY * sway.level(seconds));
                Value::Gauge(if *whole {
                    swayed.round()
                } else if (0.0..=1.0).contains(level) {
                    // A share of a whole stays one.
                    swayed.min(1.0)
                } else {
                    swayed
                })
            }
            Self::Age(age) => Value::Gauge(((unix - age) * 1000.0).floor() / 1000.0),
            Self::Histogram(model) => model.value(seconds),
        }
    }
}

/// A counter's value. Slow ones (under one a second) count in thousandths: a
/// rate over a few seconds, as duration-scaled rules take it, must not jump
/// between none and many because a whole event fell into the window.
fn counter(rate: f64, time: f64) -> f64 {
    if rate >= 1.0 {
        (rate * time).floor()
    } else {
        (rate * time * 1000.0).floor() / 1000.0
    }
}

/// (index, share up to its upper bound) of the native buckets of a log-normal
/// distribution; bucket i ends at 2^(i / 8).
fn native_buckets(median: f64, spread: f64) -> Vec<(i32, Share)> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the logarithm of a double is within +-1100, and a spread that is not sane saturates"
    )]
    let index = |logarithm: f64| (logarithm / std::f64::consts::LN_2 * BUCKETS_PER_POWER).ceil() as i32;
    let first = index(median.ln() - COVERED * spread).max(-8 * 1022);
    let last = index(median.ln() + COVERED * spread).clamp(first, first.saturating_add(1000));
    (first..=last)
        .map(|bucket| {
            let bound = (f64::from(bucket) / BUCKETS_PER_POWER).exp2();
            let share = if bucket == last {
                Share::ALL
            } else {
                Share::below(bound, median, spread)
            };
            (bucket, share)
        })
        .collect()
}

impl HistogramModel {
    fn value(&self, seconds: f64) -> Value {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "neither rate nor time is negative, and the conversion saturates"
        )]
        let count = (self.rate * self.sway.time(seconds)).max(0.0).floor() as u64;
        #[expect(
            clippy::cast_precision_loss,
            reason = "a count beyond 2^53 may be rounded in a sum"
        )]
        let sum = count as f64 * self.mean;
        let buckets = self
            .buckets
            .iter()
            .map(|&(bound, share)| (bound, within(count, share, self.shift)))
            .collect();
        match &self.native {
            None => Value::Histogram { buckets, sum, count },
            Some(native) => {
                let mut before = 0;
                let positive = native
                    .iter()
                    .filter_map(|&(index, share)| {
                        let below = within(count, share, self.shift);
                        let own = below - before;
                        before = below;
                        (own > 0).then_some((index, own))
                    })
                    .collect();
                Value::NativeHistogram {
                    schema: SCHEMA,
                    positive,
                    zero_count: 0,
                    buckets,
                    sum,
                    count,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::shapes;
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    fn model(seed: u64) -> Model {
        Model::new(&shapes().services[0].metrics, Seed(seed))
    }

    fn values(model: &Model, seconds: f64) -> Vec<(String, Value)> {
        model
            .families(seconds, 1_800_000_000.0 + seconds)
            .into_iter()
            .flat_map(|family| {
                family
                    .metrics
                    .into_iter()
                    .map(move |metric| (format!("{}{:?}", family.name, metric.labels), metric.value))
            })
            .collect()
    }

    /// The numbers of a value that never shrink, by name.
    fn growing(value: &Value) -> IndexMap<String, f64> {
        let whole = |count: &u64| f64::from(u32::try_from(*count).unwrap());
        let mut numbers = IndexMap::new();
        match value {
            Value::Gauge(_) => {}
            Value::Counter(value) => {
                numbers.insert("value".to_owned(), *value);
            }
            Value::Histogram { buckets, sum, count }
            | Value::NativeHistogram {
                buckets, sum, count, ..
            } => {
                numbers.insert("sum".to_owned(), *sum);
                numbers.insert("count".to_owned(), whole(count));
                numbers.extend(
                    buckets
                        .iter()
                        .map(|(bound, count)| (format!("le {bound}"), whole(count))),
                );
            }
        }
        if let Value::NativeHistogram { positive, .. } = value {
            numbers.extend(
                positive
                    .iter()
                    .map(|(index, count)| (format!("index {index}"), whole(count))),
            );
        }
        numbers
    }

    proptest! {
        /// forall seed, t <= u: no counter and no bucket shrinks from t to u
        #[test]
        fn counters_and_buckets_never_shrink(seed in any::<u64>(), t in 0.0..1e5, step in 0.0..100.0) {
            let model = model(seed);
            for ((name, before), (_, after)) in values(&model, t).iter().zip(&values(&model, t + step)) {
                let after = growing(after);
                for (part, before) in growing(before) {
                    let after = after.get(&part);
                    prop_assert!(after >= Some(&before), "{} {}: {} -> {:?}", name, part, before, after);
                }
            }
        }

        /// forall seed, t: values are the same every time they are asked for
        #[test]
        fn values_repeat(seed in any::<u64>(), t in 0.0..1e6) {
            prop_assert_eq!(values(&model(seed), t), values(&model(seed), t));
        }

        /// forall seed, t: the buckets of a histogram grow, end at its count, and native ones add up to it
        #[test]
        fn histograms_are_consistent(seed in any::<u64>(), t in 0.0..1e5) {
            for (name, value) in values(&model(seed), t) {
                if let Value::Histogram { buckets, count, .. } | Value::NativeHistogram { buckets, count, .. } = &value {
                    prop_assert!(buckets.is_sorted_by(|a, b| a.1 <= b.1), "{}", name);
                    prop_assert!(buckets.last().unwrap().1 <= *count, "{}", name);
                }
                if let Value::NativeHistogram { positive, count, .. } = &value {
                    prop_assert_eq!(positive.iter().map(|(_, count)| count).sum::<u64>(), *count);
                }
            }
        }

        /// forall seed, t >= 60: counters are within 2 % + 1 of rate * t, gauges within 2 % of their level
        #[test]
        fn levels_and_rates_hold(seed in any::<u64>(), t in 60.0..1e5) {
            let found = values(&model(seed), t);
            let Value::Counter(fast) = found[0].1 else { panic!("a counter") };
            prop_assert!((fast - 40.0 * t).abs() <= 0.02 * 40.0 * t + 1.0);
            let Value::Counter(slow) = found[1].1 else { panic!("a counter") };
            prop_assert!((slow - 0.02 * t).abs() <= 0.02 * 0.02 * t + 0.001);
            prop_assert_eq!(&found[2].1, &Value::Gauge(1.0));
            let Value::Gauge(queue) = found[3].1 else { panic!("a gauge") };
            prop_assert!((queue - 400.0).abs() <= 8.0 && queue.fract() == 0.0);
            let Value::Gauge(backup) = found[4].1 else { panic!("a gauge") };
            prop_assert!((1_800_000_000.0 + t - backup - 3600.0).abs() < 0.002);
        }
    }

    #[rstest]
    #[case("flag", 0.0, true)]
    #[case("flag", 1.0, true)]
    #[case("replicas", 400.0, true)]
    #[case("node_memory_MemTotal_bytes", 8e9, true)]
    #[case("container_spec_memory_limit_bytes", 8e9, true)]
    #[case("node_filesystem_size_bytes", 8e9, true)]
    #[case("queue_length", 400.0, false)]
    #[case("cache_hit_ratio", 0.9, false)]
    fn settings_and_flags_are_exact(#[case] name: &str, #[case] level: f64, #[case] exact: bool) {
        let sway = Sway {
            period: 60.0,
            phase: 1.0,
        };
        let steady = matches!(SeriesModel::gauge(name, level, sway), SeriesModel::Steady(_));
        assert_eq!(steady, exact);
    }

    #[test]
    fn instances_differ() {
        assert_ne!(values(&model(1), 30.0), values(&model(2), 30.0));
    }

    #[test]
    fn the_quantiles_are_those_of_the_distribution() {
        let found = values(&model(1), 10_000.0);
        let Value::Histogram { buckets, count, .. } = &found[5].1 else {
            panic!("a histogram")
        };
        // 0.08 s median: half below; 0.25 s is 1.9 standard deviations above.
        let per_mille = buckets[5].1 * 1000 / count;
        assert_eq!(per_mille, 971);
    }
}
