//! A budget on a percentile, what samples say about it, and how often one may look.

use std::time::Duration;

use super::order;

/// Chance, over all looks together, that a percentile is called inside its budget when it is not,
/// and the same the other way round.
pub const RISK: f64 = 0.05;

/// The most a percentile may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// The percentile, as a quantile between 0 and 1.
    pub quantile: f64,
    /// The most it may be.
    pub most: Duration,
}

/// What samples say about a percentile.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Number of samples.
    pub samples: usize,
    /// The percentile is at least this, with the confidence asked for; none with too few samples.
    pub lower: Option<Duration>,
    /// The percentile of the samples themselves (the nearest rank); none without samples.
    pub point: Option<Duration>,
    /// The percentile is at most this, with the confidence asked for; none with too few samples.
    pub upper: Option<Duration>,
}

/// Whether a budget is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// The upper bound is inside it.
    Kept,
    /// The lower bound is beyond it.
    Broken,
    /// The budget lies between the bounds, or there are none.
    Undecided,
}

/// The percentile of `sorted` latencies, oldest order gone: shortest first.
#[must_use]
pub fn estimate(sorted: &[Duration], quantile: f64, confidence: f64) -> Estimate {
    let places = order::places(sorted.len(), quantile, confidence);
    let at = |place: Option<usize>| place.and_then(|place| sorted.get(place)).copied();
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place among samples, whose number is far below 2^52"
    )]
    let rank = (quantile * sorted.len() as f64).ceil().max(1.0) as usize;
    Estimate {
        samples: sorted.len(),
        lower: at(places.lower),
        point: at(Some(rank - 1)),
        upper: at(places.upper),
    }
}

impl Estimate {
    /// Whether `budget` is kept.
    #[must_use]
    pub fn judge(&self, budget: Duration) -> Judgement {
        match (self.lower, self.upper) {
            (_, Some(upper)) if upper <= budget => Judgement::Kept,
            (Some(lower), _) if lower > budget => Judgement::Broken,
            _ => Judgement::Undecided,
        }
    }
}

/// Why a plan of looks makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LooksError {
    /// The first look sees too little.
    #[error(
        "{first} samples are too few to judge the {percentile}th percentile in {looks} looks; take {needed} at first"
    )]
    Few {
        /// Samples at the first look.
        first: usize,
        /// The percentile.
        percentile: String,
        /// Looks.
        looks: usize,
        /// Samples that it takes.
        needed: usize,
    },
    /// The last look comes before the first.
    #[error("at most {most} samples are fewer than the {first} of the first look; take {first} or more")]
    Turned {
        /// Samples at the first look.
        first: usize,
        /// Samples at the last.
        most: usize,
    },
}

/// How many samples are taken before each look, stated beforehand.
///
/// Looking again when undecided is another chance to be wrong, so that every look has its share of
/// the risk (Bonferroni's inequality): with k looks each bound holds with 1 - [`RISK`] / k.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looks {
    sizes: Vec<usize>,
}

impl Looks {
    /// A first look at `first` samples, then at twice as many, and so on; the last at `most`.
    /// The first has to be enough for every one of `quantiles`.
    pub fn new(first: usize, most: usize, quantiles: &[f64]) -> Result<Self, LooksError> {
        if most < first || first == 0 {
            return Err(LooksError::Turned { first, most });
        }
        let mut sizes = Vec::new();
        let mut size = first;
        while size < most {
            sizes.push(size);
            size = size.saturating_mul(2);
        }
        sizes.push(most);
        let looks = Self { sizes };
        for quantile in quantiles {
            let needed = order::fewest(*quantile, looks.confidence());
            if first < needed {
                return Err(LooksError::Few {
                    first,
                    percentile: format!("{}", quantile * 100.0),
                    looks: looks.sizes.len(),
                    needed,
                });
            }
        }
        Ok(looks)
    }

    /// Samples at each look, all those before among them.
    #[must_use]
    pub fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    /// Confidence of each bound at each look.
    #[must_use]
    pub fn confidence(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a handful of looks")]
        let looks = self.sizes.len().max(1) as f64;
        1.0 - RISK / looks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    fn milliseconds(values: impl IntoIterator<Item = u64>) -> Vec<Duration> {
        let mut values: Vec<Duration> = values.into_iter().map(Duration::from_millis).collect();
        values.sort();
        values
    }

    proptest! {
        /// forall samples, budgets: more budget never turns kept into anything else, less never
        /// turns broken into anything else
        #[test]
        fn verdicts_follow_the_budget(values in prop::collection::vec(1u64..500, 0..700), budget in 0u64..500, more in 0u64..500) {
            let estimate = estimate(&milliseconds(values), 0.99, 0.95);
            let (less, more) = (Duration::from_millis(budget), Duration::from_millis(budget + more));
            if estimate.judge(less) == Judgement::Kept { prop_assert_eq!(estimate.judge(more), Judgement::Kept); }
            if estimate.judge(more) == Judgement::Broken { prop_assert_eq!(estimate.judge(less), Judgement::Broken); }
        }

        /// forall fewer than 299 samples, budgets: the 99th percentile is never kept at 95 %
        #[test]
        fn too_few_samples_are_never_a_pass(values in prop::collection::vec(0u64..10, 0..299)) {
            prop_assert_ne!(estimate(&milliseconds(values), 0.99, 0.95).judge(Duration::from_secs(60)), Judgement::Kept);
        }

        /// forall samples: lower <= point <= upper
        #[test]
        fn the_point_lies_between_its_bounds(values in prop::collection::vec(0u64..1_000, 1..900), quantile in 0.5f64..0.99) {
            let estimate = estimate(&milliseconds(values), quantile, 0.9);
            let point = estimate.point.unwrap();
            prop_assert!(estimate.lower.is_none_or(|lower| lower <= point));
            prop_assert!(estimate.upper.is_none_or(|upper| point <= upper));
        }

        /// forall plans: looks grow, end at the most, and their risks add up to the stated one
        #[test]
        fn looks_share_the_risk(first in 1usize..2_000, more in 0usize..20_000) {
            let looks = Looks::new(first, first + more, &[]).unwrap();
            prop_assert!(looks.sizes().is_sorted_by(|a, b| a < b));
            prop_assert_eq!(looks.sizes().last(), Some(&(first + more)));
            #[expect(clippy::cast_precision_loss, reason = "a handful")]
            let risk = (1.0 - looks.confidence()) * looks.sizes().len() as f64;
            prop_assert!((risk - RISK).abs() < 1e-9);
        }
    }

    #[rstest]
    #[case::all_inside(vec![10; 400], 100, Judgement::Kept)]
    #[case::one_in_ten_beyond((0..400).map(|n| if n % 10 == 0 { 500 } else { 10 }).collect(), 100, Judgement::Broken)]
    // Four beyond of four hundred: the point is at the edge, the bounds on both sides of it.
    #[case::at_the_edge((0..400).map(|n| if n < 4 { 500 } else { 10 }).collect(), 100, Judgement::Undecided)]
    fn a_budget_is_judged_on_the_bound(
        #[case] values: Vec<u64>,
        #[case] budget: u64,
        #[case] expected: Judgement,
    ) {
        let estimate = estimate(&milliseconds(values), 0.99, 0.95);
        assert_eq!(estimate.judge(Duration::from_millis(budget)), expected);
    }

    #[test]
    fn a_first_look_that_cannot_decide_is_refused_with_what_it_takes() {
        let error = Looks::new(300, 600, &[0.95, 0.99]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "300 samples are too few to judge the 99th percentile in 2 looks; take 368 at first"
        );
        assert!(Looks::new(368, 600, &[0.95, 0.99]).is_ok());
        assert!(Looks::new(299, 299, &[0.99]).is_ok());
        assert!(Looks::new(300, 200, &[]).is_err());
    }
}
