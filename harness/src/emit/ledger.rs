//! What was sent, so that what arrived can be held against it.
//!
//! Two strengths: [`reconcile`] compares item by item and names what was lost,
//! duplicated, reordered or altered; a [`Ledger`] keeps five numbers a series,
//! for loads whose items would not fit into memory.

use std::collections::HashMap;
use std::hash::Hash;

use indexmap::IndexMap;
use serde::Serialize;

/// How what arrived differs from what was sent, by the keys of the items.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reconciliation<K> {
    /// Number of items sent.
    pub sent: usize,
    /// Number of items that arrived, whatever they were.
    pub arrived: usize,
    /// Sent, never arrived; in the order of sending.
    pub lost: Vec<K>,
    /// Arrived more than once; one entry for each arrival too many.
    pub duplicated: Vec<K>,
    /// Arrived for the first time after an item that was sent later.
    pub reordered: Vec<K>,
    /// Arrived with another content; one entry for each such arrival.
    pub altered: Vec<K>,
    /// Arrived, never sent.
    pub unexpected: Vec<K>,
}

impl<K> Reconciliation<K> {
    /// Whether everything arrived once, as it was; order aside.
    #[must_use]
    pub fn complete(&self) -> bool {
        self.lost.is_empty()
            && self.duplicated.is_empty()
            && self.altered.is_empty()
            && self.unexpected.is_empty()
    }

    /// Whether everything arrived once, as it was, in the order of sending.
    #[must_use]
    pub fn exact(&self) -> bool {
        self.complete() && self.reordered.is_empty()
    }
}

impl<K> std::fmt::Display for Reconciliation<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} sent, {} arrived", self.sent, self.arrived)?;
        for (count, what) in [
            (self.lost.len(), "lost"),
            (self.duplicated.len(), "duplicated"),
            (self.reordered.len(), "reordered"),
            (self.altered.len(), "altered"),
            (self.unexpected.len(), "unexpected"),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        Ok(())
    }
}

/// Holds what arrived against what was sent. Items are (key, content); keys
/// identify, so those sent must be distinct (of equal keys the last counts).
pub fn reconcile<K: Clone + Eq + Hash, V: PartialEq>(
    sent: &[(K, V)],
    arrived: &[(K, V)],
) -> Reconciliation<K> {
    struct Known<'a, V> {
        position: usize,
        content: &'a V,
        arrivals: usize,
    }
    let mut known: HashMap<&K, Known<V>> = sent
        .iter()
        .enumerate()
        .map(|(position, (key, content))| {
            (
                key,
                Known {
                    position,
                    content,
                    arrivals: 0,
                },
            )
        })
        .collect();
    let mut result = Reconciliation {
        sent: known.len(),
        arrived: arrived.len(),
        lost: Vec::new(),
        duplicated: Vec::new(),
        reordered: Vec::new(),
        altered: Vec::new(),
        unexpected: Vec::new(),
    };
    let mut furthest = None;
    for (key, content) in arrived {
        let Some(item) = known.get_mut(key) else {
            result.unexpected.push(key.clone());
            continue;
        };
        item.arrivals += 1;
        if *item.content != *content {
            result.altered.push(key.clone());
        }
        if item.arrivals > 1 {
            result.duplicated.push(key.clone());
            continue;
        }
        if furthest.is_some_and(|furthest| item.position < furthest) {
            result.reordered.push(key.clone());
        } else {
            furthest = Some(item.position);
        }
    }
    for (position, (key, _)) in sent.iter().enumerate() {
        if known
            .get(key)
            .is_some_and(|item| item.arrivals == 0 && item.position == position)
        {
            result.lost.push(key.clone());
        }
    }
    result
}

/// What is kept of one series.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Entry {
    /// Number of samples.
    pub count: u64,
    /// Earliest sample, in unix milliseconds.
    pub first: i64,
    /// Latest sample, in unix milliseconds.
    pub last: i64,
    /// Sum of the values.
    pub sum: f64,
    /// A sum over all samples of a hash of time and value; their order does not matter.
    pub checksum: u64,
}

impl Entry {
    /// The entry of one sample.
    #[must_use]
    pub fn of(at: i64, value: f64) -> Self {
        Self {
            count: 1,
            first: at,
            last: at,
            sum: value,
            checksum: checksum(at, value),
        }
    }

    /// Takes in another entry of the same series.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.sum += other.sum;
        self.checksum = self.checksum.wrapping_add(other.checksum);
    }
}

/// Hash of one sample: the finaliser of `SplitMix64` (Steele, Lea and Flood,
/// 2014) over time and value.
fn checksum(at: i64, value: f64) -> u64 {
    // Both zeros are equal as values, so they are equal here.
    let value = if value == 0.0 { 0.0 } else { value };
    mix(mix(at.cast_unsigned()) ^ value.to_bits())
}

/// The finaliser of `SplitMix64`: a bijection that spreads every bit.
pub(crate) fn mix(mut bits: u64) -> u64 {
    bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// What was sent, by series; the series' key is the sender's to choose.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Ledger {
    series: IndexMap<String, Entry>,
}

/// How much a ledger's entry stands for, and whether another one is of the same content.
pub(crate) trait Kept: Clone {
    /// Number of items.
    fn count(&self) -> u64;
    /// Whether an entry of as many items is of the same ones.
    fn same(&self, other: &Self) -> bool;
}

impl Kept for Entry {
    fn count(&self) -> u64 {
        self.count
    }

    fn same(&self, other: &Self) -> bool {
        self.checksum == other.checksum
    }
}

/// How what arrived under one key differs from what was sent: samples of a series, spans of a trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Difference<E> {
    /// Nothing of it arrived.
    Missing {
        /// Items sent.
        sent: u64,
    },
    /// Fewer items arrived than were sent.
    Lost {
        /// Items sent.
        sent: u64,
        /// Items that arrived.
        arrived: u64,
    },
    /// More items arrived than were sent.
    Duplicated {
        /// Items sent.
        sent: u64,
        /// Items that arrived.
        arrived: u64,
    },
    /// As many items arrived, but not the same.
    Altered {
        /// What was sent.
        sent: E,
        /// What arrived.
        arrived: E,
    },
    /// It was never sent.
    Unexpected {
        /// Items that arrived.
        arrived: u64,
    },
}

/// Differences by key: those sent in the order of sending, then the unexpected.
pub(crate) fn differences<K: Clone + Eq + Hash, E: Kept>(
    sent: &IndexMap<K, E>,
    arrived: &IndexMap<K, E>,
) -> IndexMap<K, Difference<E>> {
    let mut differences = IndexMap::new();
    for (key, sent) in sent {
        let difference = match arrived.get(key) {
            None => Difference::Missing { sent: sent.count() },
            Some(got) if got.count() < sent.count() => Difference::Lost {
                sent: sent.count(),
                arrived: got.count(),
            },
            Some(got) if got.count() > sent.count() => Difference::Duplicated {
                sent: sent.count(),
                arrived: got.count(),
            },
            Some(got) if !got.same(sent) => Difference::Altered {
                sent: sent.clone(),
                arrived: got.clone(),
            },
            Some(_) => continue,
        };
        differences.insert(key.clone(), difference);
    }
    for (key, got) in arrived {
        if !sent.contains_key(key) {
            differences.insert(key.clone(), Difference::Unexpected { arrived: got.count() });
        }
    }
    differences
}

/// The ledger in one line.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summary {
    /// Number of series.
    pub series: u64,
    /// Number of samples.
    pub samples: u64,
    /// Earliest sample, in unix milliseconds; 0 where there is none.
    pub first: i64,
    /// Latest sample, in unix milliseconds; 0 where there is none.
    pub last: i64,
    /// Sum of all values.
    pub sum: f64,
    /// Sum of all checksums.
    pub checksum: u64,
}

impl Ledger {
    /// Enters one sample.
    pub fn enter(&mut self, series: &str, at: i64, value: f64) {
        self.enter_all(series, &Entry::of(at, value));
    }

    /// Enters many samples of one series at once.
    pub fn enter_all(&mut self, series: &str, entry: &Entry) {
        if let Some(known) = self.series.get_mut(series) {
            known.merge(entry);
        } else {
            self.series.insert(series.to_owned(), *entry);
        }
    }

    /// The series and what is kept of them.
    #[must_use]
    pub fn series(&self) -> &IndexMap<String, Entry> {
        &self.series
    }

    /// Everything in one line.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let mut total: Option<Entry> = None;
        for entry in self.series.values() {
            match &mut total {
                Some(total) => total.merge(entry),
                None => total = Some(*entry),
            }
        }
        Summary::of(self.series.len() as u64, total)
    }

    /// Differences of what arrived, by series: those sent in the order of sending, then the unexpected.
    #[must_use]
    pub fn compare(&self, arrived: &Self) -> IndexMap<String, Difference<Entry>> {
        differences(&self.series, &arrived.series)
    }
}

impl Summary {
    /// The summary of `series` series whose entries merge to `total`.
    pub(crate) fn of(series: u64, total: Option<Entry>) -> Self {
        let total = total.unwrap_or(Entry {
            count: 0,
            first: 0,
            last: 0,
            sum: 0.0,
            checksum: 0,
        });
        Self {
            series,
            samples: total.count,
            first: total.first,
            last: total.last,
            sum: total.sum,
            checksum: total.checksum,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn numbered(count: usize) -> Vec<(usize, usize)> {
        (0..count).map(|key| (key, key % 7)).collect()
    }

    /// What happens to each item on its way.
    #[derive(Debug, Clone, Copy)]
    enum Fate {
        Arrives,
        IsLost,
        ComesTwice,
        IsAltered,
    }

    fn fates() -> impl Strategy<Value = Vec<Fate>> {
        proptest::collection::vec(
            prop_oneof![
                4 => Just(Fate::Arrives),
                1 => Just(Fate::IsLost),
                1 => Just(Fate::ComesTwice),
                1 => Just(Fate::IsAltered)
            ],
            0..60,
        )
    }

    proptest! {
        /// forall items: reconcile(items, items) is exact
        #[test]
        fn what_arrives_as_it_was_sent_is_exact(count in 0usize..100) {
            prop_assert!(reconcile(&numbered(count), &numbered(count)).exact());
        }

        /// forall fates: each is found under its own name, and nothing else is
        #[test]
        fn every_fate_is_named(fates in fates(), strangers in 0usize..5) {
            let sent = numbered(fates.len());
            let mut arrived = Vec::new();
            let (mut lost, mut duplicated, mut altered) = (vec![], vec![], vec![]);
            for (&(key, content), fate) in sent.iter().zip(&fates) {
                match fate {
                    Fate::Arrives => arrived.push((key, content)),
                    Fate::IsLost => lost.push(key),
                    Fate::ComesTwice => {
                        arrived.extend([(key, content); 2]);
                        duplicated.push(key);
                    }
                    Fate::IsAltered => {
                        arrived.push((key, content + 1));
                        altered.push(key);
                    }
                }
            }
            let unexpected: Vec<usize> = (1000..1000 + strangers).collect();
            arrived.extend(unexpected.iter().map(|&key| (key, 0)));
            let found = reconcile(&sent, &arrived);
            prop_assert_eq!(
                found,
                Reconciliation {
                    sent: sent.len(),
                    arrived: arrived.len(),
                    lost,
                    duplicated,
                    reordered: vec![],
                    altered,
                    unexpected,
                }
            );
        }

        /// forall permutations: nothing is lost, and the reordered are those that a later-sent item overtook
        #[test]
        fn overtaken_items_are_reordered(order in Just((0usize..20).collect::<Vec<_>>()).prop_shuffle()) {
            let sent = numbered(20);
            let arrived: Vec<_> = order.iter().map(|&index| sent[index]).collect();
            let found = reconcile(&sent, &arrived);
            let overtaken: Vec<usize> = order
                .iter()
                .enumerate()
                .filter(|&(at, key)| order[..at].iter().any(|earlier| earlier > key))
                .map(|(_, &key)| key)
                .collect();
            prop_assert!(found.complete());
            prop_assert_eq!(found.reordered, overtaken);
        }

        /// forall items, arrivals: sent + duplicated + unexpected = arrived + lost
        #[test]
        fn arrivals_add_up(count in 0usize..30, arrived in proptest::collection::vec((0usize..40, 0usize..7), 0..80)) {
            let found = reconcile(&numbered(count), &arrived);
            prop_assert_eq!(
                found.sent + found.duplicated.len() + found.unexpected.len(),
                found.arrived + found.lost.len()
            );
        }

        /// forall samples, permutations: ledgers of the same samples are equal
        #[test]
        fn ledgers_do_not_depend_on_order(
            samples in proptest::collection::vec((0i64..1_000, 0i32..1_000), 1..40).prop_shuffle()
        ) {
            let ledger = |samples: &[(i64, i32)]| {
                let mut ledger = Ledger::default();
                for &(at, value) in samples {
                    ledger.enter("s", at, value.into());
                }
                ledger
            };
            let mut sorted = samples.clone();
            sorted.sort_unstable();
            prop_assert_eq!(ledger(&samples), ledger(&sorted));
        }

        /// forall samples, changes of one: the ledgers differ, by an alteration
        #[test]
        fn one_changed_sample_is_an_alteration(
            values in proptest::collection::vec(0i32..1_000, 1..40), which in any::<prop::sample::Index>(), by in 1i32..10
        ) {
            let which = which.index(values.len());
            let (mut sent, mut arrived) = (Ledger::default(), Ledger::default());
            for (index, (&value, at)) in values.iter().zip(0i64..).enumerate() {
                sent.enter("s", at, value.into());
                arrived.enter("s", at, f64::from(if index == which { value + by } else { value }));
            }
            let differences = sent.compare(&arrived);
            let altered = matches!(differences.get("s"), Some(Difference::Altered { .. }));
            prop_assert!(altered);
        }
    }

    #[test]
    fn differences_are_named() {
        let (mut sent, mut arrived) = (Ledger::default(), Ledger::default());
        for at in 0..2 {
            for series in ["same", "missing", "lost", "duplicated"] {
                sent.enter(series, at, 1.0);
            }
        }
        for (series, count) in [("same", 2), ("lost", 1), ("duplicated", 3), ("unexpected", 1)] {
            for at in 0..count {
                arrived.enter(series, at, 1.0);
            }
        }
        let found = sent.compare(&arrived);
        let expected: IndexMap<String, Difference<Entry>> = [
            ("missing", Difference::Missing { sent: 2 }),
            ("lost", Difference::Lost { sent: 2, arrived: 1 }),
            ("duplicated", Difference::Duplicated { sent: 2, arrived: 3 }),
            ("unexpected", Difference::Unexpected { arrived: 1 }),
        ]
        .map(|(name, difference)| (name.to_owned(), difference))
        .into();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_reconciliation_reads_as_one_line() {
        let found = reconcile(&[("a", 1), ("b", 2)], &[("b", 2), ("b", 2)]);
        assert_eq!(found.to_string(), "2 sent, 2 arrived, 1 lost, 1 duplicated");
    }
}
