//! The five verdicts and how they combine.
//!
//! A verdict separates what the stack did wrong (`fail`) from what kept us
//! from knowing (`insufficient`, `environment`, `skipped`): only the first is
//! an accusation, and only `pass` is green.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a case, or one finding of it, came to. The order is from good to bad,
/// so that the worst of several is their maximum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The claim was shown to hold.
    Pass,
    /// A need is missing; the claim was not looked at.
    Skipped,
    /// Too little data for the stated error rates.
    Insufficient,
    /// The machine or the set-up failed, not the stack.
    Environment,
    /// The claim was shown not to hold.
    Fail,
}

impl Verdict {
    /// The verdict's stable name, as written in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Skipped => "skipped",
            Self::Insufficient => "insufficient",
            Self::Environment => "environment",
            Self::Fail => "fail",
        }
    }

    /// The worse of two verdicts.
    ///
    /// A failure outranks everything: what was shown to be broken stays
    /// broken, whatever else could not be looked at.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        self.max(other)
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// How binding a promise or a case is, in the words of RFC 2119.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// The stack is broken without it.
    Must,
    /// Expected; leaving it out needs a reason.
    Should,
    /// Welcome.
    May,
}

impl Level {
    /// The level's stable name, as written in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
            Self::May => "MAY",
        }
    }
}

impl std::fmt::Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// How a whole run ended, as the process's exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Every MUST passed.
    Success,
    /// Something failed.
    Failed,
    /// Some MUST was skipped or has too little data.
    Partial,
    /// The machine or the set-up failed.
    Environment,
    /// The command line was wrong.
    Usage,
}

impl Exit {
    /// The documented exit code.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failed => 1,
            Self::Partial => 2,
            Self::Environment => 3,
            Self::Usage => 64,
        }
    }

    /// How a run ends whose cases had these levels and verdicts.
    ///
    /// A failure of any level fails the run; otherwise an environment verdict
    /// says the run proved nothing about that case; otherwise a MUST that did
    /// not pass leaves the run partial. A run of no cases is partial: it
    /// showed nothing.
    #[must_use]
    pub fn of(cases: impl IntoIterator<Item = (Level, Verdict)>) -> Self {
        let mut exit = None;
        for (level, verdict) in cases {
            let this = match verdict {
                Verdict::Fail => Self::Failed,
                Verdict::Environment => Self::Environment,
                Verdict::Insufficient | Verdict::Skipped if level == Level::Must => Self::Partial,
                Verdict::Pass | Verdict::Insufficient | Verdict::Skipped => Self::Success,
            };
            exit = Some(match exit {
                Some(before) if Self::rank(before) >= Self::rank(this) => before,
                _ => this,
            });
        }
        exit.unwrap_or(Self::Partial)
    }

    fn rank(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Partial => 1,
            Self::Environment => 2,
            Self::Failed => 3,
            Self::Usage => 4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::nothing_ran(&[], Exit::Partial)]
    #[case::all_pass(&[(Level::Must, Verdict::Pass), (Level::May, Verdict::Pass)], Exit::Success)]
    #[case::skipped_must(&[(Level::Must, Verdict::Pass), (Level::Must, Verdict::Skipped)], Exit::Partial)]
    #[case::skipped_may(&[(Level::Must, Verdict::Pass), (Level::May, Verdict::Skipped)], Exit::Success)]
    #[case::insufficient_must(&[(Level::Must, Verdict::Insufficient)], Exit::Partial)]
    #[case::environment(&[(Level::Must, Verdict::Insufficient), (Level::May, Verdict::Environment)], Exit::Environment)]
    #[case::failure_outranks_environment(&[(Level::May, Verdict::Fail), (Level::Must, Verdict::Environment)], Exit::Failed)]
    fn exit_code_follows_the_worst_case(#[case] cases: &[(Level, Verdict)], #[case] exit: Exit) {
        assert_eq!(Exit::of(cases.iter().copied()), exit);
    }

    #[test]
    fn a_failure_is_worse_than_not_knowing() {
        assert_eq!(Verdict::Fail.worse(Verdict::Environment), Verdict::Fail);
        assert_eq!(Verdict::Pass.worse(Verdict::Skipped), Verdict::Skipped);
    }
}
