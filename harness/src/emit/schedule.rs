//! When what is sent, decided before anything is: an open-loop schedule.
//!
//! The n-th event has one intended instant whatever the receiver does, so that
//! latency measured from it includes the time spent waiting for a slow receiver
//! (no coordinated omission). All arithmetic is in whole nanoseconds from the
//! start; nothing is added up, so nothing drifts.

use std::time::Duration;

const NANOSECONDS: u128 = 1_000_000_000;
/// Rates are kept in events per this many seconds, exactly.
const RATE_SCALE: u128 = 1_000_000;

/// Why a rate is none.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("{0} is not a rate: give events per second between 0.000001 and 1000000000")]
pub struct RateError(f64);

/// Events at a constant rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// Events per [`RATE_SCALE`] seconds.
    events: u128,
}

impl Schedule {
    /// A schedule of `rate` events per second, kept to a millionth.
    pub fn new(rate: f64) -> Result<Self, RateError> {
        if !(1e-6..=1e9).contains(&rate) {
            return Err(RateError(rate));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 1 and 1e15 by the check above"
        )]
        let events = (rate * 1e6).round() as u128;
        Ok(Self { events })
    }

    /// Intended instant of the n-th event (from 0) after the start.
    #[must_use]
    pub fn instant(self, event: u64) -> Duration {
        from_nanoseconds(u128::from(event) * RATE_SCALE * NANOSECONDS / self.events)
    }

    /// Number of events whose instant is before `elapsed`: those of a run of that length.
    #[must_use]
    pub fn before(self, elapsed: Duration) -> u64 {
        // instant(n) < e  <=>  floor(n * S / r) < e  <=>  n * S / r < e  <=>  n < e * r / S
        let scaled = elapsed.as_nanos() * self.events;
        u64::try_from(scaled.div_ceil(RATE_SCALE * NANOSECONDS)).unwrap_or(u64::MAX)
    }

    /// Time between two events.
    #[must_use]
    pub fn gap(self) -> Duration {
        self.instant(1)
    }
}

fn from_nanoseconds(nanoseconds: u128) -> Duration {
    // Beyond 584 years the schedule ends at Duration::MAX.
    u64::try_from(nanoseconds / NANOSECONDS).map_or(Duration::MAX, |seconds| {
        Duration::new(
            seconds,
            u32::try_from(nanoseconds % NANOSECONDS).unwrap_or_default(),
        )
    })
}

/// Rounds over a fixed number of members, cut into batches of neighbours: how
/// a generator goes over its series again and again.
///
/// Events are numbered round by round, member by member; a batch is sent at
/// the instant of its first event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rounds {
    schedule: Schedule,
    members: u64,
    batch: u64,
}

/// One batch of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// Number of the round, from 0.
    pub round: u64,
    /// Number of the batch in the round, from 0.
    pub group: u64,
    /// First member of the batch.
    pub first: u64,
    /// Number of members.
    pub count: u64,
}

impl Rounds {
    /// Rounds over `members` (at least one) in batches of at most `batch` (at least one) members.
    #[must_use]
    pub fn new(schedule: Schedule, members: u64, batch: u64) -> Self {
        Self {
            schedule,
            members: members.max(1),
            batch: batch.max(1),
        }
    }

    /// Number of batches in a round.
    #[must_use]
    pub fn groups(self) -> u64 {
        self.members.div_ceil(self.batch)
    }

    /// The batch of a round.
    #[must_use]
    pub fn slot(self, round: u64, group: u64) -> Slot {
        let first = group * self.batch;
        Slot {
            round,
            group,
            first,
            count: self.batch.min(self.members.saturating_sub(first)),
        }
    }

    /// Intended instant of a batch after the start.
    #[must_use]
    pub fn instant(self, slot: Slot) -> Duration {
        self.schedule.instant(slot.round * self.members + slot.first)
    }

    /// Number of whole rounds that begin before `elapsed`; at least one.
    #[must_use]
    pub fn before(self, elapsed: Duration) -> u64 {
        self.schedule.before(elapsed).div_ceil(self.members).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rates() -> impl Strategy<Value = f64> {
        prop_oneof![1e-3..10.0, 1.0..1e4, 1e4..2e6]
    }

    proptest! {
        /// forall rate, n: |instant(n) - n / rate| <= 1 ns + rounding of the rate, without growing with n
        #[test]
        fn instants_do_not_drift(rate in 1u32..2_000_000, n in 0u64..1_000_000_000) {
            let schedule = Schedule::new(f64::from(rate)).unwrap();
            let exact = u128::from(n) * NANOSECONDS / u128::from(rate);
            prop_assert_eq!(schedule.instant(n).as_nanos(), exact);
        }

        /// forall rate, n: instant(n) <= instant(n + 1), by the gap give or take 1 ns
        #[test]
        fn instants_grow_evenly(rate in rates(), n in 0u64..1_000_000_000) {
            let schedule = Schedule::new(rate).unwrap();
            let step = schedule.instant(n + 1).checked_sub(schedule.instant(n)).unwrap();
            prop_assert!(step.abs_diff(schedule.gap()) <= Duration::from_nanos(1));
        }

        /// forall rate, e: event n is before e exactly if n < before(e)
        #[test]
        fn events_before_an_instant_are_counted_exactly(rate in rates(), ms in 1u64..10_000_000) {
            let schedule = Schedule::new(rate).unwrap();
            let end = Duration::from_millis(ms);
            let count = schedule.before(end);
            prop_assert!(schedule.instant(count) >= end);
            prop_assert!(count == 0 || schedule.instant(count - 1) < end);
        }

        /// forall whole rates, seconds: before(seconds) = rate * seconds
        #[test]
        fn the_rate_is_conserved(rate in 1u32..2_000_000, seconds in 1u32..100_000) {
            let schedule = Schedule::new(f64::from(rate)).unwrap();
            prop_assert_eq!(
                schedule.before(Duration::from_secs(seconds.into())),
                u64::from(rate) * u64::from(seconds)
            );
        }

        /// forall members, batch: the batches of a round are its members, once each, in order, in time order
        #[test]
        fn batches_partition_a_round(members in 1u64..5_000, batch in 1u64..700, round in 0u64..1_000) {
            let rounds = Rounds::new(Schedule::new(1e6).unwrap(), members, batch);
            let mut next = 0;
            let mut before = Duration::ZERO;
            for group in 0..rounds.groups() {
                let slot = rounds.slot(round, group);
                prop_assert_eq!(slot.first, next);
                prop_assert!((1..=batch).contains(&slot.count));
                prop_assert!(rounds.instant(slot) >= before);
                before = rounds.instant(slot);
                next += slot.count;
            }
            prop_assert_eq!(next, members);
            prop_assert!(rounds.instant(rounds.slot(round + 1, 0)) >= before);
        }
    }

    #[test]
    fn what_is_no_rate_is_refused() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e10] {
            assert!(Schedule::new(rate).is_err(), "{rate}");
        }
    }
}
