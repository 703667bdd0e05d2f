//! Log-normal observations that are counted without being made.
//!
//! The n-th observation is the quantile of the n-th point of a van der Corput
//! sequence (base 2, shifted by the seed). The points are spread evenly however
//! many there are, so every count is within a few observations of what the
//! distribution says, and how many of the first n fall below a bound is
//! computed in at most 48 steps. Because these are real observations, bucket
//! counts never shrink, add up to the total, and classic and native buckets
//! agree with each other.

/// Resolution of a point: 2^-48.
const BITS: u32 = 48;
const WHOLE: u64 = 1 << BITS;

/// A share of the distribution, in units of 2^-48.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u64);

impl Share {
    /// Everything.
    pub const ALL: Self = Self(WHOLE);

    /// Share of a log-normal distribution up to `bound`. `spread` is the
    /// standard deviation of the logarithm; at 0 all observations are the median.
    #[must_use]
    pub fn below(bound: f64, median: f64, spread: f64) -> Self {
        if bound <= 0.0 {
            return Self(0);
        }
        let distance = bound.ln() - median.ln();
        let share = if spread > 0.0 {
            normal(distance / spread)
        } else if distance >= 0.0 {
            1.0
        } else {
            0.0
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share between 0 and 1 of 2^48, both exact in a double"
        )]
        Self((share.clamp(0.0, 1.0) * WHOLE as f64).round() as u64)
    }
}

/// Standard normal distribution function: Marsaglia's series, exact to a
/// double (G. Marsaglia, "Evaluating the Normal Distribution", Journal of
/// Statistical Software 11(4), 2004).
fn normal(x: f64) -> f64 {
    const HALF_LOG_TAU: f64 = 0.918_938_533_204_672_8;
    if x < -7.0 {
        return 0.0;
    }
    if x > 7.0 {
        return 1.0;
    }
    let (mut sum, mut term, mut odd) = (x, x, 1.0);
    loop {
        odd += 2.0;
        term *= x * x / odd;
        let next = sum + term;
        if next.to_bits() == sum.to_bits() {
            break;
        }
        sum = next;
    }
    0.5 + sum * (-0.5 * x * x - HALF_LOG_TAU).exp()
}

/// How many of the first `count` observations are within `share`.
#[must_use]
pub fn within(count: u64, share: Share, shift: u64) -> u64 {
    let count = count.min(WHOLE);
    let mut total = 0;
    let mut begin = 0;
    // The numbers below `count` are a few runs begin..begin + 2^size, one for each bit of `count`.
    // In a run the low `size` bits take every value, so the top `size` bits of its points do too,
    // whatever the shift; the other bits are those of `begin`.
    for size in (0..=BITS).rev() {
        let length = 1u64 << size;
        if count & length == 0 {
            continue;
        }
        let step = WHOLE >> size;
        let lower = (reversed(begin) ^ shift) & (step - 1);
        // The points of the run are lower + k * step for k in 0..2^size.
        total += share.0.saturating_sub(lower).div_ceil(step).min(length);
        begin += length;
    }
    total
}

fn reversed(number: u64) -> u64 {
    number.reverse_bits() >> (u64::BITS - BITS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    /// The count, by making the observations.
    fn counted(count: u64, share: Share, shift: u64) -> u64 {
        (0..count)
            .filter(|&n| (reversed(n) ^ (shift & (WHOLE - 1))) < share.0)
            .count() as u64
    }

    proptest! {
        /// forall n, share, shift: within(n) = #{i < n : point(i) < share}
        #[test]
        fn counts_are_those_of_the_observations(n in 0u64..3_000, share in 0..=WHOLE, shift in any::<u64>()) {
            prop_assert_eq!(within(n, Share(share), shift), counted(n, Share(share), shift));
        }

        /// forall n, share: |within(n) - n * share| <= log2(n) + 1
        #[test]
        fn counts_follow_the_distribution(n in 1u64..1 << 40, share in 0..=WHOLE, shift in any::<u64>()) {
            let exact = u128::from(n) * u128::from(share) / u128::from(WHOLE);
            let off = u128::from(within(n, Share(share), shift)).abs_diff(exact);
            prop_assert!(off <= u128::from(n.ilog2()) + 2, "off by {}", off);
        }

        /// forall n <= m, a <= b: each bucket's count grows: within(n, b) - within(n, a) <= within(m, b) - within(m, a)
        #[test]
        fn no_bucket_ever_shrinks(n in 0u64..1 << 40, more in 0u64..1 << 20, a in 0..=WHOLE, b in 0..=WHOLE, shift in any::<u64>()) {
            let (low, high) = (Share(a.min(b)), Share(a.max(b)));
            let bucket = |count| within(count, high, shift) - within(count, low, shift);
            prop_assert!(bucket(n) <= bucket(n + more));
        }

        /// forall n: everything is within ALL
        #[test]
        fn all_is_everything(n in 0u64..1 << 47, shift in any::<u64>()) {
            prop_assert_eq!(within(n, Share::ALL, shift), n);
        }
    }

    #[rstest]
    #[case(0.0, 0.5)]
    #[case(1.0, 0.841_344_746_068_542_9)]
    #[case(-1.959_963_984_540_054, 0.025)]
    #[case(3.0, 0.998_650_101_968_369_9)]
    #[case(-8.0, 0.0)]
    fn normal_distribution_as_tabulated(#[case] x: f64, #[case] share: f64) {
        assert!((normal(x) - share).abs() < 1e-14, "{}", normal(x));
    }

    #[test]
    fn half_of_the_observations_are_below_the_median() {
        assert_eq!(Share::below(0.2, 0.2, 0.7), Share(WHOLE / 2));
        assert_eq!(Share::below(0.2, 0.2, 0.0), Share::ALL);
        assert_eq!(Share::below(0.19, 0.2, 0.0), Share(0));
        assert_eq!(Share::below(0.0, 0.2, 0.7), Share(0));
    }
}
