//! Emission from another machine than this one, and from several at once: the same options as arguments there, and
//! the share of a load that one of several generators makes.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::seed::Seed;

mod logs;
mod metrics;
mod traces;

/// Which of several generators that make a load together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Its number, from 0.
    number: u16,
    /// How many there are, at least one.
    of: u16,
}

/// Why a text is not a share.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a share of a load: give a generator's number from 0 and how many there are, for example 0/2"
)]
pub struct ShareError {
    text: String,
}

impl Share {
    /// The seed of this generator, so that no two send the same.
    #[must_use]
    pub fn seed(self, whole: Seed) -> Seed {
        whole.derive(&format!("generator/{}", self.number))
    }

    /// Its part of a rate.
    #[must_use]
    pub fn rate(self, whole: f64) -> f64 {
        whole / f64::from(self.of)
    }

    /// Its part of a number of things; the first ones have one more where it is no multiple.
    #[must_use]
    pub fn count(self, whole: u64) -> u64 {
        let of = u64::from(self.of);
        whole / of + u64::from(u64::from(self.number) < whole % of)
    }
}

impl FromStr for Share {
    type Err = ShareError;

    fn from_str(text: &str) -> Result<Self, ShareError> {
        text.split_once('/')
            .and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)))
            .filter(|(number, of)| number < of)
            .map(|(number, of)| Self { number, of })
            .ok_or_else(|| ShareError {
                text: text.to_owned(),
            })
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

/// Why options cannot be those of another machine, or of so many.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ElsewhereError {
    /// One names something of this machine.
    #[error("--{0} names something of this machine, which no pod has: leave it out, or emit from here")]
    Here(&'static str),
    /// There is less to send than there are generators.
    #[error("{pods} pods cannot share {count} {what}: give as many at least, or fewer pods")]
    TooMany {
        /// How many generators.
        pods: u16,
        /// How many things there are to send.
        count: u64,
        /// What they are.
        what: &'static str,
    },
}

/// Options of a generator that also another machine can be given.
pub trait Elsewhere: Sized {
    /// The command that takes them: `metrics`, `traces` or `logs`.
    const COMMAND: &'static str;
    /// Where a report has the number of things that were acknowledged, as a JSON pointer.
    const ACKNOWLEDGED: &'static str;
    /// What those things are.
    const THINGS: &'static str;

    /// Whether so many generators elsewhere can take them.
    fn check(&self, pods: u16) -> Result<(), ElsewhereError>;

    /// The command's arguments that give these options again but for the seed.
    fn arguments(&self) -> Vec<String>;

    /// The seed, where one was given.
    fn seed(&self) -> Option<Seed>;

    /// How long sending takes as planned.
    fn planned(&self) -> Duration;

    /// The options of one of several generators; the seed is the whole load's.
    #[must_use]
    fn shared(self, share: Share, seed: Seed) -> Self;
}

/// Whether so many generators can share so many things.
fn shareable(pods: u16, count: u64, what: &'static str) -> Result<(), ElsewhereError> {
    if count < u64::from(pods) {
        return Err(ElsewhereError::TooMany { pods, count, what });
    }
    Ok(())
}

/// `--name=value`, which no value can be taken for another option in.
fn option(name: &str, value: impl fmt::Display) -> String {
    format!("--{name}={value}")
}

/// The name that the command line has for a value.
fn named(value: &impl clap::ValueEnum) -> String {
    value
        .to_possible_value()
        .map_or_else(String::new, |value| value.get_name().to_owned())
}

/// How long so many things take at a rate.
fn lasting(count: u64, rate: f64) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "a bound, not a count")]
    let seconds = count as f64 / rate;
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn shares(of: u16) -> Vec<Share> {
        (0..of).map(|number| Share { number, of }).collect()
    }

    proptest! {
        /// forall count, of: sum(count(share)) = count, and no two differ by more than one
        #[test]
        fn shares_of_a_count_are_the_whole(count in any::<u64>(), of in 1u16..100) {
            let counts: Vec<u64> = shares(of).iter().map(|share| share.count(count)).collect();
            prop_assert_eq!(counts.iter().map(|&count| u128::from(count)).sum::<u128>(), u128::from(count));
            prop_assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1);
        }

        /// forall seed, of: seeds of shares are distinct
        #[test]
        fn no_two_generators_have_a_seed(seed in any::<u64>(), of in 2u16..50) {
            let seeds: std::collections::BTreeSet<u64> =
                shares(of).iter().map(|share| share.seed(Seed(seed)).0).collect();
            prop_assert_eq!(seeds.len(), usize::from(of));
        }

        /// forall share: parse(display(share)) = share
        #[test]
        fn text_form_round_trips(of in 1u16.., number in any::<u16>()) {
            let share = Share { number: number % of, of };
            prop_assert_eq!(share.to_string().parse::<Share>().unwrap(), share);
        }
    }

    #[test]
    fn one_alone_makes_the_whole_load() {
        let share: Share = "0/1".parse().unwrap();
        assert_eq!((share.count(7), share.rate(7.0)), (7, 7.0));
    }

    #[rstest]
    #[case("1/1")]
    #[case("0/0")]
    #[case("2")]
    #[case("-1/2")]
    fn what_is_no_share_is_refused(#[case] text: &str) {
        let error = text.parse::<Share>().unwrap_err().to_string();
        assert!(error.contains("for example 0/2"), "{error}");
    }
}
