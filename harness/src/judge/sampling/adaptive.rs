//! Whether adaptive sampling converges: the probabilities that Jaeger answers,
//! over time, against its target of samples per second. Pure.

use std::time::Duration;

use crate::drawing::{ConvergenceRow, ConvergenceSeen, ConvergenceStep};
use crate::finding::Finding;
use crate::verdict::Verdict;

/// One answer for one operation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answer {
    /// When, in seconds from the start of the load.
    pub at: f64,
    /// The probability.
    pub probability: f64,
}

/// What the probabilities have to do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Goal {
    /// Traces of the operation that are started per second, kept or not.
    pub offered: f64,
    /// Samples per second to come to (`target_samples_per_second`).
    pub target: f64,
    /// How far from the target is still at it, as a share of it (`delta_tolerance`).
    pub tolerance: f64,
    /// The lowest probability (`min_sampling_probability`).
    pub least: f64,
    /// When it has to be there, in seconds from the start of the load.
    pub within: f64,
}

/// How a series of answers went.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Course {
    /// Samples per second at the first answer.
    pub first: f64,
    /// Samples per second at the last answer.
    pub last: f64,
    /// When it was at the target to stay, where it was.
    pub converged: Option<f64>,
    /// The answer that went away from the target, by its index, where one did.
    pub away: Option<usize>,
}

impl Goal {
    /// The samples per second that a probability gives.
    #[must_use]
    pub fn samples(&self, probability: f64) -> f64 {
        self.offered * probability
    }

    /// The samples per second to come to: the target, what is offered where that is less, or what the
    /// lowest probability gives where that is more.
    #[must_use]
    pub fn reachable(&self) -> f64 {
        self.target.max(self.samples(self.least)).min(self.offered)
    }

    /// Whether so many samples per second are at the target.
    #[must_use]
    pub fn holds(&self, samples: f64) -> bool {
        (samples - self.reachable()).abs() <= self.tolerance * self.reachable()
    }

    /// How the answers, in the order of time, went. None without answers.
    #[must_use]
    pub fn course(&self, answers: &[Answer]) -> Option<Course> {
        let (first, last) = (answers.first()?, answers.last()?);
        let stays = answers
            .iter()
            .rposition(|answer| !self.holds(self.samples(answer.probability)))
            .map_or(0, |outside| outside + 1);
        let distance = |answer: &Answer| (self.samples(answer.probability) - self.reachable()).abs();
        let away = answers.windows(2).position(|pair| match pair {
            // Inside the tolerance it may move as it likes.
            [before, after] => {
                !self.holds(self.samples(after.probability)) && distance(after) > distance(before)
            }
            _ => false,
        });
        Some(Course {
            first: self.samples(first.probability),
            last: self.samples(last.probability),
            converged: answers.get(stays).map(|answer| answer.at),
            away: away.map(|before| before + 1),
        })
    }

    /// The finding. An answer that began at the target has shown nothing.
    #[must_use]
    pub fn finding(&self, what: &str, answers: &[Answer]) -> Finding {
        let finding = Finding::of(what)
            .declared(format!("{} samples/s", self.target))
            .bound(format!(
                "{:.3} samples/s within {} %, reached in {} s, approached without turning away",
                self.reachable(),
                self.tolerance * 100.0,
                self.within
            ))
            .unit("samples/s");
        let Some(course) = self.course(answers) else {
            return finding.verdict(Verdict::Insufficient, "no answer was seen");
        };
        let finding = finding.observed(match course.converged {
            Some(at) => format!(
                "from {:.3} to {:.3} samples/s, there after {at:.1} s",
                course.first, course.last
            ),
            None => format!("from {:.3} to {:.3} samples/s", course.first, course.last),
        });
        if self.holds(course.first) {
            return finding.verdict(
                Verdict::Insufficient,
                "the first answer was at the target already, so that nothing had to converge: offer more traces",
            );
        }
        let finding = match course.converged {
            Some(at) if at <= self.within => finding,
            Some(at) => {
                return finding.verdict(
                    Verdict::Fail,
                    format!("it came to the target after {at:.1} s only"),
                );
            }
            None => {
                return finding.verdict(
                    Verdict::Fail,
                    format!(
                        "it does not come to the target: {:.3} samples/s at the end",
                        course.last
                    ),
                );
            }
        };
        finding.judge(course.away.is_none(), || {
            let at = course.away.and_then(|index| answers.get(index));
            format!(
                "it turned away from the target after {:.1} s",
                at.map_or(0.0, |answer| answer.at)
            )
        })
    }

    /// The answers that changed, and the rates that were seen, as a row of a picture.
    #[must_use]
    pub fn row(
        &self,
        operation: impl Into<String>,
        answers: &[Answer],
        seen: Vec<ConvergenceSeen>,
    ) -> ConvergenceRow {
        let mut steps: Vec<ConvergenceStep> = Vec::new();
        for answer in answers {
            if steps.last().map(|step| step.share) != Some(answer.probability) {
                steps.push(ConvergenceStep {
                    at: answer.at,
                    share: answer.probability,
                    rate: self.samples(answer.probability),
                });
            }
        }
        ConvergenceRow {
            label: operation.into(),
            target: self.reachable(),
            tolerance: self.tolerance * self.reachable(),
            within: self.within,
            settled: self.course(answers).and_then(|course| course.converged),
            steps,
            seen,
        }
    }

    /// Whether so many samples in that time are at the target, one more or less granted: samples come
    /// one by one, so that a stretch of time holds one more or less by where it begins.
    #[must_use]
    pub fn holds_counted(&self, samples: u64, time: Duration) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "counts of samples are small")]
        let seen = samples as f64;
        let wanted = self.reachable() * time.as_secs_f64();
        (seen - wanted).abs() <= self.tolerance * wanted + 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    const GOAL: Goal = Goal {
        offered: 100.0,
        target: 1.0,
        tolerance: 0.3,
        least: 1e-5,
        within: 60.0,
    };

    fn answers(probabilities: &[f64]) -> Vec<Answer> {
        probabilities
            .iter()
            .zip(0u32..)
            .map(|(probability, n)| Answer {
                at: f64::from(n) * 5.0,
                probability: *probability,
            })
            .collect()
    }

    #[rstest]
    #[case::straight(&[0.1, 0.05, 0.02, 0.01, 0.011], Verdict::Pass)]
    #[case::never(&[0.1, 0.09, 0.08], Verdict::Fail)]
    #[case::away(&[0.1, 0.2, 0.05, 0.01], Verdict::Fail)]
    #[case::overshoots(&[0.1, 0.01, 0.001], Verdict::Fail)]
    #[case::was_there(&[0.01, 0.01], Verdict::Insufficient)]
    #[case::nothing(&[], Verdict::Insufficient)]
    #[case::too_late(&[0.1; 13], Verdict::Fail)]
    fn courses_are_judged(#[case] probabilities: &[f64], #[case] verdict: Verdict) {
        let finding = GOAL.finding("adaptive", &answers(probabilities));
        assert_eq!(finding.verdict, verdict, "{finding:?}");
    }

    #[test]
    fn what_comes_too_late_is_too_late() {
        let mut late = answers(&[0.1; 14]);
        late.push(Answer {
            at: 70.0,
            probability: 0.01,
        });
        let finding = GOAL.finding("adaptive", &late);
        assert_eq!(
            finding.reason.as_deref(),
            Some("it came to the target after 70.0 s only")
        );
    }

    #[test]
    fn a_target_beyond_reach_is_not_asked_for() {
        let few = Goal { offered: 0.5, ..GOAL };
        assert!((few.reachable() - 0.5).abs() < 1e-9);
        let many = Goal { offered: 1e6, ..GOAL };
        assert!((many.reachable() - 10.0).abs() < 1e-9);
    }

    #[rstest]
    #[case::exactly(20, true)]
    #[case::at_the_tolerance(26, true)]
    #[case::one_more(27, true)]
    #[case::two_more(28, false)]
    #[case::one_less(13, true)]
    #[case::two_less(12, false)]
    fn counted_samples_are_whole(#[case] samples: u64, #[case] holds: bool) {
        assert_eq!(GOAL.holds_counted(samples, Duration::from_secs(20)), holds);
    }

    #[test]
    fn a_row_has_the_answers_that_changed() {
        let row = GOAL.row("op", &answers(&[0.1, 0.1, 0.01, 0.01]), Vec::new());
        let steps: Vec<(f64, f64)> = row.steps.iter().map(|step| (step.at, step.share)).collect();
        assert_eq!(steps, [(0.0, 0.1), (10.0, 0.01)]);
        assert_eq!(row.settled, Some(10.0));
    }

    proptest! {
        /// forall courses: converged <=> every later answer holds and it ends with one
        #[test]
        fn convergence_lasts(probabilities in proptest::collection::vec(0.001..0.1f64, 1..30)) {
            let answers = answers(&probabilities);
            let course = GOAL.course(&answers).unwrap();
            let holds = |answer: &Answer| GOAL.holds(GOAL.samples(answer.probability));
            match course.converged {
                Some(at) => prop_assert!(answers.iter().filter(|answer| answer.at >= at).all(holds)),
                None => prop_assert!(!holds(answers.last().unwrap())),
            }
        }
    }
}
