//! Queries at a stated rate, whatever the server does: the open-loop runner of the latency cases.
//!
//! The n-th query has one intended instant, and its latency counts from it: a query that has to wait
//! because too many others are unanswered is late, and that is what a user would see (no coordinated
//! omission). The questions are asked in rounds, each in a seeded order of its own, so that every
//! question is asked equally often and none always follows the same other.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use rand::seq::SliceRandom;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::schedule::Schedule;
use crate::seed::Seed;
use crate::wait::until_scheduled;

/// How queries are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// When.
    pub schedule: Schedule,
    /// Unanswered at the same time, at most; at least 1.
    pub at_once: usize,
    /// What the order is drawn from.
    pub seed: Seed,
}

/// One query that was asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked<T> {
    /// Which question, from 0.
    pub question: usize,
    /// When it was to be sent, from the start of this part of the load.
    pub intended: Duration,
    /// When it was sent.
    pub sent: Duration,
    /// When its answer was there as a whole.
    pub answered: Duration,
    /// The answer, or why there is none.
    pub answer: Result<T, String>,
}

impl<T> Asked<T> {
    /// From the intended instant to the whole answer.
    #[must_use]
    pub fn latency(&self) -> Duration {
        self.answered.saturating_sub(self.intended)
    }

    /// How long after its intended instant it was sent.
    #[must_use]
    pub fn late(&self) -> Duration {
        self.sent.saturating_sub(self.intended)
    }
}

/// Which question is the n-th, for `count` from the number `first` on.
///
/// Rounds over all `questions`, each a seeded permutation; a function of seed and number alone, so
/// that a load may be continued.
#[must_use]
pub fn order(questions: usize, first: usize, count: usize, seed: Seed) -> Vec<usize> {
    let mut picked = Vec::with_capacity(count);
    if questions == 0 {
        return picked;
    }
    let (mut number, end) = (first, first + count);
    while number < end {
        let round = number / questions;
        let mut permutation: Vec<usize> = (0..questions).collect();
        permutation.shuffle(&mut seed.stream(&format!("round {round}")));
        let until = end.min((round + 1) * questions);
        picked.extend(&permutation[number % questions..][..until - number]);
        number = until;
    }
    picked
}

/// Asks `count` of `questions` from number `first` of the load on, and gives what became of each.
///
/// `ask` is given a question's number; its future ends when the whole answer is there. `read` takes
/// from the answer what is to be kept, after the clock has stopped. Errors are answers too: a
/// server that refuses is not fast.
pub async fn run<A, T, F, Fut>(
    load: Load,
    questions: usize,
    first: usize,
    count: usize,
    ask: F,
    read: fn(A) -> T,
) -> Vec<Asked<T>>
where
    A: Send + 'static,
    T: Send + 'static,
    F: Fn(usize) -> Fut,
    Fut: Future<Output = Result<A, String>> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(load.at_once.max(1)));
    let mut asking = JoinSet::new();
    let start = Instant::now();
    for (number, question) in (0u64..).zip(order(questions, first, count, load.seed)) {
        let intended = load.schedule.instant(number);
        until_scheduled(start + intended).await;
        // Never closed: with no place left this waits, and the wait counts.
        let place = places.clone().acquire_owned().await;
        let answer = ask(question);
        asking.spawn(async move {
            let sent = start.elapsed();
            let answer = answer.await;
            let answered = start.elapsed();
            drop(place);
            let answer = answer.map(read);
            (
                number,
                Asked {
                    question,
                    intended,
                    sent,
                    answered,
                    answer,
                },
            )
        });
    }
    // A query that broke off has no answer, and is missing from the result.
    let mut all: Vec<(u64, Asked<T>)> = Vec::with_capacity(count);
    while let Some(ended) = asking.join_next().await {
        all.extend(ended);
    }
    all.sort_by_key(|(number, _)| *number);
    all.into_iter().map(|(_, asked)| asked).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// forall questions, parts: a load in two parts asks what it asks in one
        #[test]
        fn a_load_can_be_continued(questions in 1usize..40, first in 0usize..100, second in 0usize..100, seed in any::<u64>()) {
            let seed = Seed(seed);
            let mut parts = order(questions, 0, first, seed);
            parts.extend(order(questions, first, second, seed));
            prop_assert_eq!(parts, order(questions, 0, first + second, seed));
        }

        /// forall questions, rounds: every question is asked once a round
        #[test]
        fn every_question_is_asked_equally_often(questions in 1usize..40, rounds in 1usize..6, seed in any::<u64>()) {
            let mut counts = vec![0; questions];
            for question in order(questions, 0, questions * rounds, Seed(seed)) { counts[question] += 1; }
            prop_assert!(counts.iter().all(|count| *count == rounds));
        }
    }

    fn load(rate: f64, at_once: usize) -> Load {
        Load {
            schedule: Schedule::new(rate).unwrap(),
            at_once,
            seed: Seed(3),
        }
    }

    #[tokio::test]
    async fn a_server_that_stalls_makes_the_queries_behind_it_late() {
        // One at a time, every 10 ms, and the third answer takes 100 ms: a closed loop would see one
        // slow answer, here those that were due meanwhile are late too.
        let asked = run(
            load(100.0, 1),
            1,
            0,
            10,
            {
                let count = std::cell::Cell::new(0);
                move |_| {
                    count.set(count.get() + 1);
                    let stall = count.get() == 3;
                    async move {
                        until_scheduled(Instant::now() + Duration::from_millis(if stall { 100 } else { 1 }))
                            .await;
                        Ok(())
                    }
                }
            },
            |()| (),
        )
        .await;
        let slow = asked
            .iter()
            .filter(|one| one.latency() > Duration::from_millis(20))
            .count();
        assert!(slow >= 7, "{asked:?}");
        assert!(asked[3].late() >= Duration::from_millis(85), "{:?}", asked[3]);
    }

    #[tokio::test]
    async fn errors_are_kept_beside_answers() {
        let asked = run(
            load(1_000.0, 4),
            4,
            0,
            8,
            |question| async move {
                if question == 2 {
                    Err("refused".to_owned())
                } else {
                    Ok(question)
                }
            },
            |question| question,
        )
        .await;
        assert_eq!(asked.len(), 8);
        assert_eq!(asked.iter().filter(|one| one.answer.is_err()).count(), 2);
    }
}
