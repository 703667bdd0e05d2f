//! Scales of the pictures: from values to positions, with round ticks.

use super::super::plain::number;
use super::canvas::{Anchor, Canvas, LEFT, RIGHT};

/// Steps at which a time axis is cut, in seconds.
const TIME_STEPS: [f64; 27] = [
    0.001,
    0.002,
    0.005,
    0.01,
    0.02,
    0.05,
    0.1,
    0.2,
    0.5,
    1.0,
    2.0,
    5.0,
    10.0,
    30.0,
    60.0,
    120.0,
    300.0,
    600.0,
    1800.0,
    3600.0,
    7200.0,
    21_600.0,
    43_200.0,
    86_400.0,
    172_800.0,
    604_800.0,
    2_592_000.0,
];

/// A scale over the plot's width.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    /// Where the scale is compressed away from zero: the width of its even part.
    even: Option<f64>,
    /// Round values with their labels, in order, apart enough to be read.
    pub(super) ticks: Vec<(f64, String)>,
}

impl Axis {
    /// An even scale of times in seconds from `low` to `high`.
    pub(super) fn of_times(low: f64, high: f64) -> Self {
        let (low, high) = span(low, high);
        let step = TIME_STEPS
            .into_iter()
            .find(|step| (high - low) / step <= 8.0)
            .unwrap_or_else(|| round_step((high - low) / 6.0));
        let mut axis = Self {
            low,
            high,
            even: None,
            ticks: Vec::new(),
        };
        let mut at = (low / step).ceil() * step;
        while at <= high && axis.ticks.len() < 12 {
            axis.ticks.push((at, time(at)));
            at += step;
        }
        axis
    }

    /// A scale of signed times around zero that is even within `even` of it and logarithmic
    /// beyond, so that blocks of hours around an edge weeks from now can both be seen.
    pub(super) fn around_zero(low: f64, high: f64, even: f64) -> Self {
        let (low, high) = span(low.min(0.0), high.max(0.0));
        let even = if even.is_finite() && even > 0.0 {
            even
        } else {
            (high - low) / 1e3
        };
        let mut axis = Self {
            low,
            high,
            even: Some(even),
            ticks: Vec::new(),
        };
        let zero = axis.place(0.0);
        for sign in [-1.0, 1.0] {
            let mut last = zero;
            for step in TIME_STEPS.into_iter().filter(|step| *step >= even * 0.5) {
                let at = sign * step;
                let place = axis.place(at);
                if (low..=high).contains(&at) && (place - last).abs() >= 56.0 {
                    axis.ticks.push((at, signed_time(at)));
                    last = place;
                }
            }
        }
        axis.ticks.sort_by(|a, b| a.0.total_cmp(&b.0));
        axis
    }

    /// The horizontal position of a value, inside the plot whatever the value.
    pub(super) fn place(&self, value: f64) -> f64 {
        let squeeze = |v: f64| self.even.map_or(v, |even| v.signum() * (v.abs() / even).ln_1p());
        let (low, high) = (squeeze(self.low), squeeze(self.high));
        let share = (squeeze(value) - low) / (high - low);
        let share = if share.is_finite() {
            share.clamp(0.0, 1.0)
        } else {
            0.0
        };
        LEFT + share * (RIGHT - LEFT)
    }

    /// Draws grid lines from `top` to `bottom` and labels below.
    pub(super) fn draw(&self, canvas: &mut Canvas, top: f64, bottom: f64) {
        canvas.line((LEFT, bottom), (RIGHT, bottom), "axis");
        for (at, label) in &self.ticks {
            let x = self.place(*at);
            canvas.line((x, top), (x, bottom), "grid");
            canvas.text((x, bottom + 16.0), Anchor::Middle, "tick", label);
        }
    }
}

/// Bounds in order, finite and apart.
fn span(low: f64, high: f64) -> (f64, f64) {
    let fit = |v: f64| if v.is_finite() { v.clamp(-1e15, 1e15) } else { 0.0 };
    let (low, high) = (fit(low).min(fit(high)), fit(low).max(fit(high)));
    if high - low > (low.abs() + high.abs()) * 1e-12 && high > low {
        (low, high)
    } else {
        (low, low + 1.0)
    }
}

/// 1, 2 or 5 times a power of ten, at least `rough`.
fn round_step(rough: f64) -> f64 {
    let power = 10f64.powf(rough.max(1e-12).log10().floor());
    [1.0, 2.0, 5.0]
        .into_iter()
        .map(|digit| digit * power)
        .find(|step| *step >= rough)
        .unwrap_or(10.0 * power)
}

/// A duration in seconds in its largest fitting unit: `90 s`, `2 h`, `30 d`.
pub(super) fn time(seconds: f64) -> String {
    if !seconds.is_finite() {
        return number(seconds);
    }
    let size = seconds.abs();
    // A unit is used from twice its size on, or where it comes out whole.
    let fits = |unit: f64| size >= 2.0 * unit || (size >= unit && (size / unit).fract() < 1e-9);
    let (unit, name) = match size {
        _ if fits(86_400.0) => (86_400.0, "d"),
        _ if fits(3600.0) => (3600.0, "h"),
        _ if fits(60.0) && size >= 120.0 || (size / 60.0 - 1.0).abs() < 1e-9 => (60.0, "min"),
        _ if size >= 1.0 || size == 0.0 => (1.0, "s"),
        _ => (0.001, "ms"),
    };
    format!("{} {name}", number(seconds / unit))
}

/// A duration with its sign always shown.
pub(super) fn signed_time(seconds: f64) -> String {
    if seconds > 0.0 {
        format!("+{}", time(seconds))
    } else {
        time(seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case(0.0, "0 s")]
    #[case(0.25, "250 ms")]
    #[case(60.0, "1 min")]
    #[case(90.0, "90 s")]
    #[case(7200.0, "2 h")]
    #[case(-2_592_000.0, "−30 d")]
    #[case(86_400.0, "1 d")]
    fn times_in_their_largest_unit(#[case] seconds: f64, #[case] text: &str) {
        assert_eq!(time(seconds), text);
    }

    proptest! {
        /// Scales are monotonous and stay inside the plot; ticks are in order and few.
        #[test]
        fn scales_keep_the_order(low in -1e9..0f64, width in 1e-3..1e9f64, a in -2e9..2e9f64, b in -2e9..2e9f64) {
            for axis in [
                Axis::of_times(low, low + width),
                Axis::around_zero(low, low + width, 7200.0),
            ] {
                let (a, b) = (a.min(b), a.max(b));
                prop_assert!(axis.place(a) <= axis.place(b) + 1e-9);
                prop_assert!((LEFT..=RIGHT).contains(&axis.place(a)));
                prop_assert!(axis.ticks.len() <= 20);
                prop_assert!(axis.ticks.is_sorted_by(|a, b| a.0 < b.0));
            }
        }
    }
}
