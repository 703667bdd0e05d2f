//! What a budget becomes on a slower machine: a stated rule with a stated end.
//!
//! Budgets are promised for production. A machine that does half the reference's work per second
//! needs about twice the time for the same query, so a budget grows by the measured factor; it
//! never shrinks on a faster one. Beyond the stated factor nothing is judged: a machine that slow
//! (or that busy) says little about the stack.

use std::time::Duration;

use crate::units::Span;

/// What was measured of the machine, against the reference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Machine {
    /// Work per second that one of the measuring threads got done, all of them at once.
    pub measured: f64,
    /// The reference machine's, in the same unit.
    pub reference: f64,
    /// Most that budgets may grow by.
    pub most: f64,
}

impl Machine {
    /// Share of the reference's speed: 0.5 is half as fast.
    #[must_use]
    pub fn speed(&self) -> f64 {
        self.measured / self.reference
    }

    /// What budgets grow by, at least 1; none where the machine is too slow to judge on.
    #[must_use]
    pub fn factor(&self) -> Option<f64> {
        let slowness = self.reference / self.measured;
        // Not finite where nothing could be measured, and `max` would take that for the reference.
        (slowness.is_finite() && slowness <= self.most).then(|| slowness.max(1.0))
    }

    /// A budget on this machine; none where it is too slow to judge on.
    #[must_use]
    pub fn budget(&self, promised: Duration) -> Option<Duration> {
        self.factor().map(|factor| promised.mul_f64(factor))
    }

    /// What the report says of a budget: `this machine is 0.60 of the reference: 500ms -> 833ms`.
    #[must_use]
    pub fn words(&self, promised: Duration) -> String {
        let speed = self.speed();
        match self.budget(promised) {
            None => format!(
                "this machine is {speed:.2} of the reference, below the 1/{} that can be judged on",
                self.most
            ),
            Some(budget) if budget == promised => format!(
                "this machine is {speed:.2} of the reference: {} as promised",
                Span(promised)
            ),
            Some(budget) => format!(
                "this machine is {speed:.2} of the reference: {} -> {} ms",
                Span(promised),
                budget.as_millis()
            ),
        }
    }

    /// The slower of two measurements of one machine.
    #[must_use]
    pub fn slower(self, other: Self) -> Self {
        if other.measured < self.measured {
            other
        } else {
            self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn machine(measured: f64) -> Machine {
        Machine {
            measured,
            reference: 100.0,
            most: 3.0,
        }
    }

    proptest! {
        /// forall machines: promised <= budget <= most * promised, or there is none
        #[test]
        fn a_budget_grows_and_only_so_far(measured in 0.0f64..1_000.0, ms in 1u64..10_000) {
            let promised = Duration::from_millis(ms);
            match machine(measured).budget(promised) {
                Some(budget) => prop_assert!(promised <= budget && budget <= promised * 3),
                None => prop_assert!(measured < 100.0 / 3.0),
            }
        }

        /// forall a <= b: the slower machine's budget is no smaller
        #[test]
        fn the_slower_machine_has_the_larger_budget(a in 34.0f64..500.0, more in 0.0f64..500.0) {
            let promised = Duration::from_millis(100);
            prop_assert!(machine(a).budget(promised) >= machine(a + more).budget(promised));
        }
    }

    #[test]
    fn the_words_show_what_became_of_the_budget() {
        let promised = Duration::from_millis(500);
        assert_eq!(
            machine(60.0).words(promised),
            "this machine is 0.60 of the reference: 500ms -> 833 ms"
        );
        assert_eq!(
            machine(150.0).words(promised),
            "this machine is 1.50 of the reference: 500ms as promised"
        );
        assert_eq!(
            machine(20.0).words(promised),
            "this machine is 0.20 of the reference, below the 1/3 that can be judged on"
        );
        assert_eq!(machine(0.0).budget(promised), None);
        assert_eq!(machine(f64::NAN).budget(promised), None);
    }
}
