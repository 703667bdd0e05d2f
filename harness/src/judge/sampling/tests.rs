use super::*;
use crate::emit::traces::ledger::Entry;
use indexmap::IndexMap;
use proptest::prelude::*;
use std::sync::LazyLock;

const SAMPLER: HashSeed = HashSeed(22);

static ONE_EACH: LazyLock<Vec<TraceId>> = LazyLock::new(|| SAMPLER.one_for_each_bucket(Seed(1)));

static SENT: LazyLock<TraceLedger> = LazyLock::new(|| ledger(&ONE_EACH[..], 3));

fn ledger<'a>(ids: impl IntoIterator<Item = &'a TraceId>, spans: u64) -> TraceLedger {
    let mut ledger = TraceLedger::default();
    for id in ids {
        ledger.enter(
            *id,
            Entry {
                origin: "ml-service".into(),
                spans,
                digest: 0,
            },
        );
    }
    ledger
}

/// What a sampler at a percentage lets through of one trace a bucket.
fn observed(percentage: f32) -> TraceLedger {
    SENT.only(|id, _| SAMPLER.keeps(percentage, id))
}

fn judged(declared: f32, arrived: &TraceLedger) -> Comparison {
    compare(SAMPLER, declared, &SENT, arrived)
}

fn worst(comparison: &Comparison) -> Verdict {
    comparison
        .findings("sampling")
        .into_iter()
        .map(|finding| finding.verdict)
        .reduce(Verdict::worse)
        .unwrap()
}

#[test]
fn every_bucket_has_its_trace() {
    assert_eq!(ONE_EACH.len(), BUCKETS as usize);
    for (bucket, id) in (0..).zip(ONE_EACH.iter()) {
        assert_eq!(SAMPLER.bucket(*id), bucket);
    }
}

#[test]
fn percentages_keep_as_many_buckets_as_a_real_collector() {
    // Counted on a Collector v0.149.0 with one trace a bucket.
    assert_eq!(kept_buckets(1.0), 163);
    assert_eq!(kept_buckets(10.0), 1638);
    assert_eq!(kept_buckets(0.0), 0);
    assert_eq!(kept_buckets(100.0), BUCKETS);
    assert_eq!(kept_buckets(250.0), BUCKETS);
    assert_eq!(kept_buckets(0.006), 0);
}

#[test]
fn the_hash_is_the_collectors() {
    // FNV-1a of no bytes but the seed and zeros, by hash/fnv of Go 1.26.
    let zeros = TraceId([0; 16]);
    let by_hand = |seed: u32| {
        let mut hash: u32 = 2_166_136_261;
        for byte in seed.to_le_bytes().into_iter().chain([0; 16]) {
            hash ^= u32::from(byte);
            hash = hash.wrapping_mul(16_777_619);
        }
        hash % 16_384
    };
    for seed in [0, 22, u32::MAX] {
        assert_eq!(HashSeed(seed).bucket(zeros), by_hand(seed));
    }
}

#[test]
fn one_bucket_more_is_noticed() {
    for declared in [1.0f32, 10.0] {
        let edge = kept_buckets(declared);
        let exact = judged(declared, &observed(declared));
        assert_eq!(worst(&exact), Verdict::Pass);
        assert_eq!(
            exact.threshold(),
            Some(Threshold {
                at_least: edge,
                at_most: edge
            })
        );
        let (below, above) = exact.unnoticed();
        assert!(below + above < 0.0062, "{below} {above}");
        for (step, wrong) in [
            (edge + 1, "kept and should be dropped"),
            (edge - 1, "dropped and should be kept"),
        ] {
            // The middle of the percentages that keep so many buckets.
            let (from, to) = percentages(step);
            #[expect(clippy::cast_possible_truncation, reason = "a percentage")]
            let other = f64::midpoint(from, to) as f32;
            let comparison = judged(declared, &observed(other));
            assert_eq!(worst(&comparison), Verdict::Fail, "{other} instead of {declared}");
            let reason = comparison.findings("sampling").remove(0).reason.unwrap();
            assert!(reason.starts_with(&format!("1 {wrong}: bucket ")), "{reason}");
        }
    }
}

#[test]
fn parts_of_traces_and_strangers_are_named() {
    let mut arrived = TraceLedger::default();
    for (number, id) in observed(1.0).traces().keys().enumerate() {
        let spans = match number {
            0 => 2,
            1 => 4,
            _ => 3,
        };
        arrived.enter_all(&ledger([id], spans));
    }
    arrived.enter_all(&ledger([&TraceId([7; 16])], 1));
    let comparison = judged(1.0, &arrived);
    assert_eq!(comparison.partial().len(), 1);
    assert_eq!(comparison.overfull().len(), 1);
    let findings = comparison.findings("sampling");
    let verdicts: Vec<Verdict> = findings.iter().map(|finding| finding.verdict).collect();
    assert_eq!(verdicts, [Verdict::Pass, Verdict::Fail, Verdict::Fail]);
    assert!(findings[1].reason.as_ref().unwrap().contains("with 2 of 3 spans"));
    assert!(findings[2].reason.as_ref().unwrap().contains("07070707"));
}

#[test]
fn no_traces_show_nothing() {
    let none = TraceLedger::default();
    assert_eq!(worst(&compare(SAMPLER, 1.0, &none, &none)), Verdict::Insufficient);
}

#[test]
fn the_findings_read_well() {
    let comparison = judged(1.0, &observed(1.2));
    let words: IndexMap<_, _> = comparison
        .findings("1 %")
        .into_iter()
        .map(|finding| (finding.what, [finding.bound, finding.observed, finding.reason]))
        .collect();
    insta::assert_json_snapshot!(words);
}

proptest! {
    /// forall seeds, IDs, p <= q: what is kept at p is kept at q
    #[test]
    fn lower_percentages_keep_subsets(
        seed in any::<u32>(), id in any::<[u8; 16]>(), one in 0.0f32..=100.0, two in 0.0f32..=100.0
    ) {
        let (low, high) = (one.min(two), one.max(two));
        let keeps = |percentage| HashSeed(seed).keeps(percentage, TraceId(id));
        prop_assert!(!keeps(low) || keeps(high));
    }

    /// forall percentages p, q: the sets differ exactly if the numbers of buckets do, and the observed
    /// threshold is the real one
    #[test]
    fn a_percentage_is_judged_by_its_buckets(one in 0.0f32..=100.0, two in 0.0f32..=100.0) {
        let comparison = judged(one, &observed(two));
        let kept = kept_buckets(two);
        prop_assert_eq!(worst(&comparison) == Verdict::Pass, kept_buckets(one) == kept);
        prop_assert_eq!(comparison.threshold(), Some(Threshold { at_least: kept, at_most: kept }));
        let (from, to) = percentages(kept);
        prop_assert!(from <= f64::from(two) + 1e-5 && f64::from(two) < to + 1e-5);
    }

    /// forall sets of traces: kept = predicted + wrongly kept - wrongly dropped
    #[test]
    fn the_sets_add_up(fates in proptest::collection::vec(any::<bool>(), 200)) {
        let ids = &ONE_EACH[..200];
        let kept = ids.iter().zip(&fates).filter(|(_, kept)| **kept).map(|(id, _)| id);
        let comparison = compare(SAMPLER, 0.6, &ledger(ids, 1), &ledger(kept, 1));
        prop_assert_eq!(
            comparison.kept() + comparison.wrongly_dropped().len(),
            comparison.predicted() + comparison.wrongly_kept().len()
        );
    }
}
