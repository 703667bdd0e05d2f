//! What a load sends, as functions of series number, round and seed.

use std::ops::Range;

use indexmap::IndexMap;

use super::super::ledger::{Entry, Ledger, Summary, mix};
use super::super::schedule::{RateError, Rounds, Schedule, Slot};
use super::Load;
use crate::wire::number::write_labels;
use crate::wire::remote_write::batch::{Batch, BatchError, Labels};

/// Digits of a series' number and of a generation: fixed, so that they can be stamped.
const DIGITS: usize = 8;

/// Why a load makes no sense.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// The rate is none.
    #[error(transparent)]
    Rate(#[from] RateError),
    /// There are no series, or too many.
    #[error("{0} series cannot be sent: give between 1 and 99999999")]
    Series(u64),
    /// Two samples of a series would have the same millisecond.
    #[error(
        "{rate} samples per second over {series} series are more than one a millisecond and series: give at least {needed} series"
    )]
    TooFast {
        /// Samples per second.
        rate: f64,
        /// Number of series.
        series: u64,
        /// Series needed for the rate.
        needed: u64,
    },
    /// A label is one that the generator sets itself.
    #[error("the label `{0}` is set by the generator: give it another name")]
    Label(String),
}

/// Which generation of a series lives when: its number grows by one each time it is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Churn {
    members: u64,
    /// Ticks that one generation lives; none where series live for ever.
    life: Option<u64>,
}

impl Churn {
    /// Replaces `share` of the members per minute; a tick is so many seconds long.
    pub(crate) fn new(members: u64, share: f64, tick: f64) -> Self {
        // Times the most members that there are (below 2^27) still a u64; more ticks than any run has.
        const LONGEST_LIFE: u64 = 1 << 36;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "positive, and saturating is right"
        )]
        let life = (share > 0.0).then(|| ((60.0 / share / tick).round() as u64).clamp(1, LONGEST_LIFE));
        Self {
            members: members.max(1),
            life,
        }
    }

    /// Ticks that a member is ahead of the first. Members are replaced one after the other, evenly over a life.
    fn phase(self, member: u64, life: u64) -> u64 {
        member * life / self.members
    }

    /// Generation of a member at a tick.
    pub(crate) fn generation(self, member: u64, tick: u64) -> u64 {
        self.life
            .map_or(0, |life| tick.saturating_add(self.phase(member, life)) / life)
    }

    /// Whether a generation of a member begins at a tick.
    fn begins(self, member: u64, tick: u64) -> bool {
        self.life
            .is_some_and(|life| tick.saturating_add(self.phase(member, life)).is_multiple_of(life))
    }

    /// First tick at which a member is of a later generation than this.
    pub(crate) fn replaced_at(self, member: u64, generation: u64) -> Option<u64> {
        self.life.map(|life| {
            let end = generation.saturating_add(1).saturating_mul(life);
            end.saturating_sub(self.phase(member, life))
        })
    }

    /// Whether members are ever replaced.
    pub(crate) fn any(self) -> bool {
        self.life.is_some()
    }
}

/// The whole plan of a load.
#[derive(Debug, Clone)]
pub struct Plan {
    metric: String,
    labels: IndexMap<String, String>,
    rounds: Rounds,
    members: u64,
    /// Number of samples that the duration has room for.
    events: u64,
    churn: Churn,
    seed: u64,
}

impl Plan {
    /// The plan of a load.
    pub fn new(load: &Load) -> Result<Self, PlanError> {
        let schedule = Schedule::new(load.rate)?;
        if !(1..10u64.pow(8)).contains(&load.series) {
            return Err(PlanError::Series(load.series));
        }
        #[expect(clippy::cast_precision_loss, reason = "below 2^53 by the check above")]
        let series = load.series as f64;
        if load.rate > series * 1000.0 {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a rate is positive and at most 1e9"
            )]
            return Err(PlanError::TooFast {
                rate: load.rate,
                series: load.series,
                needed: (load.rate / 1000.0).ceil() as u64,
            });
        }
        let churn = Churn::new(load.series, load.churn, series / load.rate);
        for own in ["__name__", "series", "generation"] {
            if load.labels.contains_key(own) {
                return Err(PlanError::Label(own.to_owned()));
            }
        }
        Ok(Self {
            metric: load.metric.clone(),
            labels: load.labels.clone(),
            rounds: Rounds::new(schedule, load.series, load.batch),
            members: load.series,
            events: schedule.before(load.duration),
            churn,
            seed: load.seed.derive("remote-write").0,
        })
    }

    /// The rounds and their batches.
    #[must_use]
    pub fn rounds(&self) -> Rounds {
        self.rounds
    }

    /// Whether a batch is within the duration.
    #[must_use]
    pub fn includes(&self, slot: Slot) -> bool {
        slot.round * self.members + slot.first < self.events
    }

    /// Value of a series in a round: it grows by one from a seeded start.
    #[must_use]
    pub fn value(&self, member: u64, round: u64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "rounds stay far below 2^53")]
        let value = (start_value(self.seed, member) + round) as f64;
        value
    }

    /// Unix milliseconds of a batch's samples, for a load that starts at `start_unix`.
    #[must_use]
    pub fn timestamp(&self, slot: Slot, start_unix: i64) -> i64 {
        let after = self.rounds.instant(slot).as_millis();
        start_unix.saturating_add(i64::try_from(after).unwrap_or(i64::MAX))
    }

    /// Lays out the batch of a group.
    pub fn batch(&self, group: u64) -> Result<Batch, BatchError> {
        let slot = self.rounds.slot(0, group);
        let texts: Vec<String> = (slot.first..slot.first + slot.count).map(digits).collect();
        let pairs: Vec<Vec<(&str, &str)>> = texts.iter().map(|text| self.pairs(text, "00000000")).collect();
        let mut batch = Batch::new(pairs.iter().map(|pairs| Labels {
            pairs,
            varying: pairs.iter().position(|(name, _)| *name == "generation"),
        }))?;
        self.stamp_generations(&mut batch, slot, |_| true);
        Ok(batch)
    }

    /// Stamps a batch of a group for a round; rounds must come in order, one after the other.
    pub fn stamp(&self, batch: &mut Batch, slot: Slot, start_unix: i64) -> Result<(), BatchError> {
        batch.stamp_timestamp(self.timestamp(slot, start_unix))?;
        batch
            .stamp_values((slot.first..slot.first + slot.count).map(|member| self.value(member, slot.round)));
        if self.churn.any() && slot.round > 0 {
            self.stamp_generations(batch, slot, |member| self.churn.begins(member, slot.round));
        }
        Ok(())
    }

    fn stamp_generations(&self, batch: &mut Batch, slot: Slot, which: impl Fn(u64) -> bool) {
        if !self.churn.any() {
            return;
        }
        for (index, member) in (slot.first..slot.first + slot.count).enumerate() {
            if which(member) {
                batch.rewrite(
                    index,
                    digits(self.churn.generation(member, slot.round)).as_bytes(),
                );
            }
        }
    }

    /// Labels sorted by name.
    fn pairs<'a>(&'a self, series: &'a str, generation: &'a str) -> Vec<(&'a str, &'a str)> {
        let mut pairs: Vec<(&str, &str)> = self
            .labels
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .chain([("__name__", self.metric.as_str()), ("series", series)])
            .chain(self.churn.any().then_some(("generation", generation)))
            .collect();
        pairs.sort_unstable();
        pairs
    }

    /// Key of a series in the ledger: `name{label="value",...}`, labels sorted.
    fn key(&self, member: u64, generation: u64) -> String {
        let (series, generation) = (digits(member), digits(generation));
        let mut key = self.metric.clone();
        let pairs = self.pairs(&series, &generation);
        write_labels(
            &mut key,
            pairs.into_iter().filter(|(name, _)| *name != "__name__"),
        );
        key
    }
}

/// The seeded number at which the values of a series begin.
pub(crate) fn start_value(seed: u64, member: u64) -> u64 {
    mix(seed ^ member) % 1000
}

/// A number in as many digits as can be stamped; generations beyond start again.
pub(crate) fn digits(number: u64) -> String {
    format!("{:0width$}", number % 10u64.pow(8), width = DIGITS)
}

/// What was acknowledged of a plan.
#[derive(Debug, Clone)]
pub struct Sent {
    plan: Plan,
    start_unix: i64,
    /// By group: rounds that were acknowledged, neighbours put together.
    rounds: Vec<Vec<Range<u64>>>,
}

impl Sent {
    /// Nothing of the plan, started at these unix milliseconds.
    #[must_use]
    pub fn new(plan: Plan, start_unix: i64) -> Self {
        let groups = usize::try_from(plan.rounds.groups()).unwrap_or_default();
        Self {
            plan,
            start_unix,
            rounds: vec![Vec::new(); groups],
        }
    }

    /// The batch of this group and round was acknowledged; rounds of a group come in order.
    pub fn acknowledge(&mut self, group: u64, round: u64) {
        let Some(ranges) = usize::try_from(group)
            .ok()
            .and_then(|group| self.rounds.get_mut(group))
        else {
            return;
        };
        match ranges.last_mut() {
            Some(last) if last.end == round => last.end += 1,
            _ => ranges.push(round..round + 1),
        }
    }

    /// Every acknowledged sample as (member, generation, unix milliseconds, value), member by member in time order.
    fn samples(&self) -> impl Iterator<Item = (u64, u64, i64, f64)> {
        let plan = &self.plan;
        self.rounds.iter().zip(0u64..).flat_map(move |(ranges, group)| {
            let first = plan.rounds.slot(0, group);
            (first.first..first.first + first.count).flat_map(move |member| {
                ranges.iter().cloned().flatten().map(move |round| {
                    (
                        member,
                        plan.churn.generation(member, round),
                        plan.timestamp(plan.rounds.slot(round, group), self.start_unix),
                        plan.value(member, round),
                    )
                })
            })
        })
    }

    /// What was acknowledged, by series.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        let mut ledger = Ledger::default();
        self.runs(|member, generation, entry| ledger.enter_all(&self.plan.key(member, generation), entry));
        ledger
    }

    /// What was acknowledged, in one line, without the memory that a ledger takes.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let mut series = 0;
        let mut total: Option<Entry> = None;
        self.runs(|_, _, entry| {
            series += 1;
            match &mut total {
                Some(total) => total.merge(entry),
                None => total = Some(*entry),
            }
        });
        Summary::of(series, total)
    }

    /// Calls `each` with every series' entry.
    fn runs(&self, mut each: impl FnMut(u64, u64, &Entry)) {
        let mut run: Option<(u64, u64, Entry)> = None;
        for (member, generation, at, value) in self.samples() {
            let sample = Entry::of(at, value);
            match &mut run {
                Some((same_member, same_generation, entry))
                    if *same_member == member && *same_generation == generation =>
                {
                    entry.merge(&sample);
                }
                _ => {
                    if let Some((member, generation, entry)) = run.replace((member, generation, sample)) {
                        each(member, generation, &entry);
                    }
                }
            }
        }
        if let Some((member, generation, entry)) = run {
            each(member, generation, &entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;
    use crate::wire::remote_write::decode;
    use proptest::prelude::*;
    use std::time::Duration;

    pub(crate) fn load(series: u64, rate: f64, milliseconds: u64, churn: f64, batch: u64) -> Load {
        Load {
            labels: IndexMap::from([("zone".to_owned(), "a".to_owned())]),
            rate,
            churn,
            batch,
            ..Load::new(
                "http://127.0.0.1:9/".parse().unwrap(),
                series,
                Duration::from_millis(milliseconds),
                Seed(7),
            )
        }
    }

    proptest! {
        /// forall plans: the ledger of all batches is that of their decoded bodies
        #[test]
        fn the_ledger_is_what_the_bodies_say(
            series in 1u32..60, per_second in 1u32..40, ms in 1u64..2_000, churn in prop_oneof![Just(0.0), 1.0..300.0], batch in 1u64..25
        ) {
            let plan = Plan::new(&load(series.into(), f64::from(series * per_second), ms, churn, batch)).unwrap();
            let start_unix = 1_800_000_000_000;
            let mut sent = Sent::new(plan.clone(), start_unix);
            let mut read = Ledger::default();
            for group in 0..plan.rounds().groups() {
                let mut prepared = plan.batch(group).unwrap();
                for round in 0.. {
                    let slot = plan.rounds().slot(round, group);
                    if !plan.includes(slot) {
                        break;
                    }
                    plan.stamp(&mut prepared, slot, start_unix).unwrap();
                    for series in decode(prepared.body()).unwrap().timeseries {
                        prop_assert!(series.labels.is_sorted_by(|a, b| a.name < b.name));
                        let name = series.labels.iter().find(|label| label.name == "__name__").unwrap();
                        let mut key = name.value.clone();
                        write_labels(&mut key, series.labels.iter().filter(|l| l.name != "__name__").map(|l| (l.name.as_str(), l.value.as_str())));
                        read.enter(&key, series.samples[0].timestamp, series.samples[0].value);
                    }
                    sent.acknowledge(group, round);
                }
            }
            prop_assert!(sent.ledger().compare(&read).is_empty());
            prop_assert_eq!(sent.summary(), read.summary());
        }

        /// forall series, rounds: timestamps of a series grow
        #[test]
        fn timestamps_of_a_series_grow(series in 1u32..5_000, per_second in 1u32..=1_000, round in 0u64..10_000, group in 0u64..50) {
            let plan = Plan::new(&load(series.into(), f64::from(series * per_second), 1_000, 0.0, 100)).unwrap();
            let group = group % plan.rounds().groups();
            let at = |round| plan.timestamp(plan.rounds().slot(round, group), 1_800_000_000_000);
            prop_assert!(at(round) < at(round + 1));
        }

        /// forall members, ticks: a generation ends where the next one begins
        #[test]
        fn generations_end_where_the_next_begins(members in 1u64..500, share in 0.01..5.0, member in 0u64..500, tick in 0u64..1_000_000) {
            let churn = Churn::new(members, share, 0.01);
            let member = member % members;
            let generation = churn.generation(member, tick);
            let end = churn.replaced_at(member, generation).unwrap();
            prop_assert!(end > tick);
            prop_assert_eq!(churn.generation(member, end - 1), generation);
            prop_assert_eq!(churn.generation(member, end), generation + 1);
            prop_assert!(churn.begins(member, end));
            prop_assert_eq!(churn.begins(member, tick), tick == 0 && generation == 0 && member == 0 || tick > 0 && churn.generation(member, tick - 1) != generation);
        }

        /// forall churn: in each minute the given share of the series is replaced, give or take one
        #[test]
        fn churn_is_the_share_replaced_per_minute(members in 1u64..2_000, percent in 1u32..=100, minute in 0u64..100) {
            let churn = Churn::new(members, f64::from(percent) / 100.0, 0.001);
            let replaced: u64 = (0..members)
                .map(|member| churn.generation(member, (minute + 1) * 60_000) - churn.generation(member, minute * 60_000))
                .sum();
            let expected = members * u64::from(percent) / 100;
            prop_assert!(replaced.abs_diff(expected) <= 2, "{} instead of {}", replaced, expected);
        }
    }

    #[test]
    fn loads_that_make_no_sense_are_refused() {
        let refused = |load: Load| Plan::new(&load).unwrap_err();
        assert_eq!(refused(load(0, 1.0, 1, 0.0, 1)), PlanError::Series(0));
        assert!(matches!(
            refused(load(10, 20_000.0, 1, 0.0, 1)),
            PlanError::TooFast { needed: 20, .. }
        ));
        let mut own = load(10, 1.0, 1, 0.0, 1);
        own.labels.insert("series".into(), "x".into());
        assert_eq!(refused(own), PlanError::Label("series".into()));
    }
}
