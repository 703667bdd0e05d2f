//! Bounds of a quantile from order statistics: no assumption on the distribution.
//!
//! The number of n independent samples at or below the q-quantile is binomial(n, q). So the r-th
//! smallest sample is at or above the quantile unless r or more lie below it, P(B >= r), and at or
//! below it unless fewer than r do, P(B < r) (David and Nagaraja, Order Statistics, 3rd edition,
//! 2003, section 7.1). With ties the bounds hold with at least the stated confidence.

/// Places (from 0) in the sorted samples that bound a quantile, each with its own confidence; none
/// where the samples are too few for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Places {
    /// The largest sample that is at or below the quantile.
    pub lower: Option<usize>,
    /// The smallest sample that is at or above the quantile.
    pub upper: Option<usize>,
}

/// Places of the bounds of the `quantile` of `samples` values; each bound holds with `confidence`.
///
/// Both are between 0 and 1, exclusive.
#[must_use]
pub fn places(samples: usize, quantile: f64, confidence: f64) -> Places {
    let risk = 1.0 - confidence;
    // The tail of binomial(n, q) at and above r is that of binomial(n, 1 - q) at and below n - r.
    let above = longest_tail(samples, 1.0 - quantile, risk);
    let below = longest_tail(samples, quantile, risk);
    Places {
        // P(B <= below) <= risk, so the sample with below others before it holds.
        lower: below,
        upper: above.map(|above| samples - 1 - above),
    }
}

/// Fewest samples that bound a quantile from above with this confidence: the largest sample is then
/// at or above it, 1 - quantile^n >= confidence. 299 for the 99th percentile at 95 %.
#[must_use]
pub fn fewest(quantile: f64, confidence: f64) -> usize {
    let fewest = ((1.0 - confidence).ln() / quantile.ln()).ceil().max(1.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count from 1 on; what no usize holds is rounded to the largest"
    )]
    let fewest = fewest as usize;
    fewest
}

/// The largest k below `n` with P(binomial(n, p) <= k) <= `risk`.
fn longest_tail(n: usize, p: f64, risk: f64) -> Option<usize> {
    #[expect(clippy::cast_precision_loss, reason = "a number of samples is far below 2^52")]
    let float = |n: usize| n as f64;
    let odds = (p / (1.0 - p)).ln();
    // In logarithms: the first terms are too small for a double.
    let mut term = float(n) * (1.0 - p).ln();
    let (mut sum, mut longest) = (0.0, None);
    for k in 0..n {
        sum += term.exp();
        if sum > risk {
            break;
        }
        longest = Some(k);
        term += (float(n - k) / float(k + 1)).ln() + odds;
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::RngExt;
    use rstest::rstest;

    use crate::seed::Seed;

    #[rstest]
    #[case::p99_needs_299(0.99, 0.95, 299)]
    #[case::p95_needs_59(0.95, 0.95, 59)]
    #[case::median_needs_5(0.5, 0.95, 5)]
    fn the_fewest_samples(#[case] quantile: f64, #[case] confidence: f64, #[case] expected: usize) {
        assert_eq!(fewest(quantile, confidence), expected);
    }

    proptest! {
        /// forall q, c: upper(fewest(q, c) - 1) = none, upper(fewest(q, c)) = the largest sample
        #[test]
        fn one_sample_less_than_the_fewest_bounds_nothing(quantile in 0.5f64..0.995, confidence in 0.8f64..0.999) {
            let n = fewest(quantile, confidence);
            prop_assert_eq!(places(n, quantile, confidence).upper, Some(n - 1));
            prop_assert_eq!(places(n - 1, quantile, confidence).upper, None);
        }

        /// forall n, q, c: lower <= q * n <= upper, give or take one place
        #[test]
        fn the_bounds_lie_on_both_sides(n in 1usize..3_000, quantile in 0.05f64..0.995, confidence in 0.8f64..0.999) {
            #[expect(clippy::cast_precision_loss, reason = "small")]
            let middle = quantile * n as f64;
            let places = places(n, quantile, confidence);
            #[expect(clippy::cast_precision_loss, reason = "small")]
            if let Some(lower) = places.lower { prop_assert!(lower as f64 <= middle); }
            #[expect(clippy::cast_precision_loss, reason = "small")]
            if let Some(upper) = places.upper { prop_assert!(upper as f64 + 1.0 >= middle); }
        }

        /// forall n, q, c < d: the bounds at d are no closer than at c
        #[test]
        fn more_confidence_is_wider(n in 1usize..2_000, quantile in 0.05f64..0.995, confidence in 0.8f64..0.99) {
            let (near, far) = (places(n, quantile, confidence), places(n, quantile, confidence + 0.009));
            if let (Some(near), Some(far)) = (near.upper, far.upper) { prop_assert!(near <= far); }
            if let (Some(near), Some(far)) = (near.lower, far.lower) { prop_assert!(far <= near); }
            prop_assert!(near.upper.is_some() || far.upper.is_none());
        }
    }

    /// Samples of a known distribution: a bound misses in about 5 % of 2,000 trials, seldom more.
    #[rstest]
    #[case(400, 0.99)]
    #[case(100, 0.95)]
    #[case(50, 0.5)]
    fn bounds_hold_as_often_as_they_say(#[case] n: usize, #[case] quantile: f64) {
        let mut random = Seed(11).stream("uniform");
        let found = places(n, quantile, 0.95);
        let (mut low, mut high) = (0, 0);
        for _ in 0..2_000 {
            // Uniform on [0, 1): the quantile is its own value.
            let mut values: Vec<f64> = (0..n).map(|_| random.random()).collect();
            values.sort_by(f64::total_cmp);
            low += u32::from(found.lower.is_some_and(|place| values[place] > quantile));
            high += u32::from(found.upper.is_some_and(|place| values[place] < quantile));
        }
        // 5 % are 100; 130 are three standard deviations more.
        assert!(low <= 130 && high <= 130, "{low} {high}");
    }
}
