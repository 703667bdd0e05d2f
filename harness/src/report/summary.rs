//! What the cases add up to: per profile, per promise and for the whole run. Pure.

use crate::contract::Contract;
use crate::verdict::{Exit, Level, Verdict};

use super::plain::{count, first_line};
use super::{CaseReport, ProfileOutcome, ProfileResult, PromiseReport};

/// How the profile `name` ended, from the cases that belong to it.
///
/// Success only when every MUST of the profile passed; a MUST that was skipped, lacked data or
/// could not be looked at leaves it partial; any failure, of whatever level, fails it. A profile
/// without a MUST case among `cases` is partial: nothing binding was shown. `cases` must hold the
/// skipped ones too, since a case that is left out cannot be missed.
#[must_use]
pub fn profile_result(name: &str, cases: &[CaseReport]) -> ProfileResult {
    let members = || {
        cases
            .iter()
            .filter(|case| case.profiles.iter().any(|p| p == name))
    };
    let named = |level: Option<Level>, verdict: Verdict, what: &str| {
        let ids: Vec<&str> = members()
            .filter(|case| case.verdict == verdict && level.is_none_or(|level| case.level == level))
            .map(|case| case.id.as_str())
            .collect();
        let cases = level.map_or_else(|| "case".to_owned(), |level| format!("{level} case"));
        (!ids.is_empty()).then(|| format!("{} {what}: {}", count(ids.len(), &cases), ids.join(", ")))
    };
    let failed = named(None, Verdict::Fail, "failed");
    let open: Vec<String> = [
        named(Some(Level::Must), Verdict::Environment, "could not be looked at"),
        named(Some(Level::Must), Verdict::Insufficient, "had too little data"),
        named(Some(Level::Must), Verdict::Skipped, "skipped"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let (result, reason) = if let Some(failed) = failed {
        let reason = std::iter::once(failed).chain(open).collect::<Vec<_>>().join("; ");
        (ProfileOutcome::Failed, Some(reason))
    } else if !open.is_empty() {
        (ProfileOutcome::Partial, Some(open.join("; ")))
    } else if members().any(|case| case.level == Level::Must) {
        (ProfileOutcome::Success, None)
    } else {
        let reason = format!("no MUST case of profile {name} was run, so nothing binding was shown");
        (ProfileOutcome::Partial, Some(reason))
    };
    ProfileResult {
        name: name.to_owned(),
        result,
        reason,
        stand_ins: Vec::new(),
    }
}

/// Every promise of the contract with the cases that cover it and the worst of their verdicts, in
/// the order of the contract.
#[must_use]
pub fn promise_reports(contract: &Contract, cases: &[CaseReport]) -> Vec<PromiseReport> {
    contract
        .promises
        .iter()
        .map(|promise| {
            let covering: Vec<&CaseReport> = cases
                .iter()
                .filter(|case| case.promises.contains(&promise.id))
                .collect();
            PromiseReport {
                id: promise.id.clone(),
                level: promise.level,
                says: promise.says.clone(),
                cases: covering.iter().map(|case| case.id.clone()).collect(),
                verdict: covering.iter().map(|case| case.verdict).reduce(Verdict::worse),
            }
        })
        .collect()
}

/// The verdicts from the worst to the best: the order in which people want to read them.
pub(super) const WORST_FIRST: [Verdict; 5] = [
    Verdict::Fail,
    Verdict::Environment,
    Verdict::Insufficient,
    Verdict::Skipped,
    Verdict::Pass,
];

/// The cases that did not pass: the worst verdict first, then the most binding level, then as run.
pub(super) fn attention(cases: &[CaseReport]) -> Vec<&CaseReport> {
    let mut open: Vec<&CaseReport> = cases
        .iter()
        .filter(|case| case.verdict != Verdict::Pass)
        .collect();
    open.sort_by_key(|case| (std::cmp::Reverse(case.verdict), case.level));
    open
}

/// How many cases came to each verdict, the worst first, none left out that occurs.
pub(super) fn tally<'a>(cases: impl IntoIterator<Item = &'a CaseReport>) -> Vec<(Verdict, usize)> {
    let mut counts = [0; WORST_FIRST.len()];
    for case in cases {
        for (count, verdict) in counts.iter_mut().zip(WORST_FIRST) {
            *count += usize::from(case.verdict == verdict);
        }
    }
    WORST_FIRST
        .into_iter()
        .zip(counts)
        .filter(|(_, count)| *count > 0)
        .collect()
}

/// "3 failed, 1 skipped, 10 passed", or "all 10 passed".
pub(super) fn tally_text(tally: &[(Verdict, usize)]) -> String {
    let parts: Vec<String> = tally
        .iter()
        .map(|(verdict, count)| {
            let word = match verdict {
                Verdict::Pass => "passed",
                Verdict::Skipped => "skipped",
                Verdict::Insufficient => "with too little data",
                Verdict::Environment => "stopped by the environment",
                Verdict::Fail => "failed",
            };
            if tally.len() == 1 && *count > 1 {
                format!("all {count} {word}")
            } else {
                format!("{count} {word}")
            }
        })
        .collect();
    parts.join(", ")
}

/// The overall result: one sentence, one line of detail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Headline {
    /// How the run ended, by its cases.
    pub(super) exit: Exit,
    /// The result in one sentence; for a failure, its cause.
    pub(super) sentence: String,
    /// Which case says so, and how the others ended.
    pub(super) detail: String,
}

/// The overall result of these cases.
pub(super) fn headline(cases: &[CaseReport]) -> Headline {
    let exit = Exit::of(cases.iter().map(|case| (case.level, case.verdict)));
    let musts = cases.iter().filter(|case| case.level == Level::Must);
    let others = cases.iter().filter(|case| case.level != Level::Must);
    let (must_count, other_count) = (musts.clone().count(), others.clone().count());
    let mut parts = Vec::new();
    if must_count > 0 {
        parts.push(format!(
            "{}: {}",
            count(must_count, "MUST case"),
            tally_text(&tally(musts))
        ));
    }
    if other_count > 0 {
        parts.push(format!(
            "{}: {}",
            count(other_count, "SHOULD or MAY case"),
            tally_text(&tally(others.clone()))
        ));
    }
    let numbers = parts.join("; ");
    let first = attention(cases)
        .into_iter()
        .find(|case| exit != Exit::Partial || case.level == Level::Must);
    let (sentence, detail) = match (exit, first) {
        (Exit::Failed | Exit::Environment | Exit::Partial, Some(case)) => {
            let word = match case.verdict {
                Verdict::Fail => "failed",
                Verdict::Environment => "could not be judged",
                Verdict::Insufficient => "had too little data",
                Verdict::Skipped => "was skipped",
                Verdict::Pass => "passed",
            };
            let sentence = case
                .reason
                .as_deref()
                .map(first_line)
                .filter(|line| !line.is_empty())
                .unwrap_or_else(|| format!("{} gave no reason", case.id));
            (sentence, format!("{} {word}. {numbers}.", case.id))
        }
        _ if cases.is_empty() => (
            "No case ran, so the run showed nothing".to_owned(),
            "Select cases with a profile or with their ids.".to_owned(),
        ),
        _ if must_count == 0 => (
            "No MUST case ran; nothing failed".to_owned(),
            format!("{numbers}."),
        ),
        _ if must_count == 1 => ("The one MUST case passed".to_owned(), format!("{numbers}.")),
        _ => (
            format!("All {must_count} MUST cases passed"),
            match other_count {
                0 => "Every claim was shown to hold.".to_owned(),
                _ => format!(
                    "{}: {}.",
                    count(other_count, "SHOULD or MAY case"),
                    tally_text(&tally(others))
                ),
            },
        ),
    };
    Headline {
        exit,
        sentence,
        detail,
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::contract::Promise;
    use proptest::prelude::*;
    use rstest::rstest;

    fn case(id: &str, level: Level, verdict: Verdict) -> CaseReport {
        CaseReport {
            profiles: vec!["core".into()],
            level,
            verdict,
            reason: (verdict != Verdict::Pass).then(|| format!("cause of {id}\nand more")),
            ..sample::case(id)
        }
    }

    use Level::{May, Must, Should};
    use ProfileOutcome::{Failed, Partial, Success};
    use Verdict::{Environment, Fail, Insufficient, Pass, Skipped};

    #[rstest]
    #[case::every_must_passed(&[(Must, Pass), (Must, Pass)], Success, None)]
    #[case::a_skipped_should_does_not_matter(&[(Must, Pass), (Should, Skipped)], Success, None)]
    #[case::a_may_without_data_does_not_matter(&[(Must, Pass), (May, Insufficient)], Success, None)]
    #[case::a_should_the_machine_stopped_does_not_matter(&[(Must, Pass), (Should, Environment)], Success, None)]
    #[case::skipped_must(&[(Must, Pass), (Must, Skipped)], Partial, Some("1 MUST case skipped: a/1"))]
    #[case::insufficient_must(&[(Must, Insufficient)], Partial, Some("1 MUST case had too little data: a/0"))]
    #[case::environment_must(&[(Must, Environment)], Partial, Some("1 MUST case could not be looked at: a/0"))]
    #[case::several_open(
        &[(Must, Skipped), (Must, Environment), (Must, Skipped)],
        Partial,
        Some("1 MUST case could not be looked at: a/1; 2 MUST cases skipped: a/0, a/2")
    )]
    #[case::failed_must(&[(Must, Fail), (Must, Pass)], Failed, Some("1 case failed: a/0"))]
    #[case::failed_may(&[(Must, Pass), (May, Fail)], Failed, Some("1 case failed: a/1"))]
    #[case::failed_and_skipped(
        &[(Must, Skipped), (Must, Fail)],
        Failed,
        Some("1 case failed: a/1; 1 MUST case skipped: a/0")
    )]
    #[case::nothing(&[], Partial, Some("no MUST case of profile core was run, so nothing binding was shown"))]
    #[case::no_must(&[(Should, Pass)], Partial, Some("no MUST case of profile core was run, so nothing binding was shown"))]
    fn a_profile_follows_its_cases(
        #[case] cases: &[(Level, Verdict)],
        #[case] result: ProfileOutcome,
        #[case] reason: Option<&str>,
    ) {
        let cases: Vec<_> = cases
            .iter()
            .enumerate()
            .map(|(n, (level, verdict))| case(&format!("a/{n}"), *level, *verdict))
            .collect();
        let profile = profile_result("core", &cases);
        assert_eq!((profile.result, profile.reason.as_deref()), (result, reason));
    }

    #[test]
    fn a_case_of_another_profile_does_not_count() {
        let mut other = case("a/other", Must, Fail);
        other.profiles = vec!["soak".into()];
        let cases = [case("a/own", Must, Pass), other];
        assert_eq!(profile_result("core", &cases).result, Success);
        assert_eq!(profile_result("soak", &cases).result, Failed);
    }

    fn verdicts() -> impl Strategy<Value = Verdict> {
        prop::sample::select(vec![Pass, Skipped, Insufficient, Environment, Fail])
    }

    fn levels() -> impl Strategy<Value = Level> {
        prop::sample::select(vec![Must, Should, May])
    }

    proptest! {
        /// A profile is a success exactly when it has a MUST, every MUST passed and nothing failed;
        /// whatever is not a success says why and names a case or the profile.
        #[test]
        fn success_is_exactly_every_must_passed(
            cases in prop::collection::vec((levels(), verdicts()), 0..8)
        ) {
            let reports: Vec<_> = cases
                .iter()
                .enumerate()
                .map(|(n, (level, verdict))| case(&format!("a/{n}"), *level, *verdict))
                .collect();
            let profile = profile_result("core", &reports);
            let musts: Vec<_> = cases.iter().filter(|(level, _)| *level == Must).collect();
            let good = !musts.is_empty()
                && musts.iter().all(|(_, verdict)| *verdict == Pass)
                && cases.iter().all(|(_, verdict)| *verdict != Fail);
            prop_assert_eq!(profile.result == Success, good);
            prop_assert_eq!(profile.reason.is_none(), good);
            prop_assert_eq!(
                profile.result == Failed,
                cases.iter().any(|(_, verdict)| *verdict == Fail)
            );
        }

        /// The headline's exit is the run's exit, and it always says something.
        #[test]
        fn the_headline_never_contradicts_the_exit_code(
            cases in prop::collection::vec((levels(), verdicts()), 0..8)
        ) {
            let reports: Vec<_> = cases
                .iter()
                .enumerate()
                .map(|(n, (level, verdict))| case(&format!("a/{n}"), *level, *verdict))
                .collect();
            let headline = headline(&reports);
            prop_assert_eq!(headline.exit, Exit::of(cases));
            prop_assert!(!headline.sentence.is_empty() && !headline.detail.is_empty());
            prop_assert_eq!(headline.sentence.contains("cause of"), headline.exit != Exit::Success && !reports.is_empty());
        }
    }

    #[test]
    fn the_headline_of_a_failure_is_its_cause() {
        let cases = [
            case("a/skipped", Must, Skipped),
            case("a/may", May, Fail),
            case("a/must", Must, Fail),
            case("a/good", Must, Pass),
        ];
        let headline = headline(&cases);
        assert_eq!(headline.sentence, "cause of a/must");
        assert_eq!(
            headline.detail,
            "a/must failed. 3 MUST cases: 1 failed, 1 skipped, 1 passed; 1 SHOULD or MAY case: 1 failed."
        );
    }

    #[test]
    fn a_promise_has_the_worst_verdict_of_its_cases() {
        let promise = |id: &str| Promise {
            id: id.into(),
            level: Must,
            says: format!("{id} holds."),
            place: "Configuration".into(),
            reason: None,
            values: indexmap::IndexMap::new(),
        };
        let contract = Contract {
            promises: vec![promise("first"), promise("uncovered"), promise("second")],
        };
        let covering = |id: &str, verdict, promises: &[&str]| CaseReport {
            promises: promises.iter().map(|p| (*p).to_owned()).collect(),
            ..case(id, Must, verdict)
        };
        let cases = [
            covering("a/1", Pass, &["first", "second"]),
            covering("a/2", Insufficient, &["second"]),
        ];
        let rows: Vec<_> = promise_reports(&contract, &cases)
            .into_iter()
            .map(|row| (row.id, row.cases, row.verdict))
            .collect();
        assert_eq!(
            rows,
            [
                ("first".to_owned(), vec!["a/1".to_owned()], Some(Pass)),
                ("uncovered".to_owned(), vec![], None),
                (
                    "second".to_owned(),
                    vec!["a/1".to_owned(), "a/2".to_owned()],
                    Some(Insufficient)
                ),
            ]
        );
    }
}
