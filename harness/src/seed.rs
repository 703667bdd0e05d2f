//! Everything random comes from one seed that the report names.
//!
//! A run has one seed; each case, series or mutant draws from a stream derived
//! from it and its own name, so that adding one does not change the others.

use std::str::FromStr;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The seed of a run, written as 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Seed(pub u64);

/// Why a text is not a seed.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not a seed: give up to 16 hexadecimal digits, as a report's `run.seed` shows them")]
pub struct SeedError {
    text: String,
}

impl Seed {
    /// A seed from the system's source of randomness, for runs that were given none.
    #[must_use]
    pub fn fresh() -> Self {
        use std::hash::{BuildHasher, Hasher};
        Self(std::hash::RandomState::new().build_hasher().finish())
    }

    /// The stream of random numbers that belongs to `name`.
    #[must_use]
    pub fn stream(self, name: &str) -> ChaCha12Rng {
        ChaCha12Rng::from_seed(self.digest(name))
    }

    /// A seed of its own for `name`, for example for a case.
    #[must_use]
    pub fn derive(self, name: &str) -> Self {
        let digest = self.digest(name);
        let mut first = [0u8; 8];
        first.copy_from_slice(&digest[..8]);
        Self(u64::from_le_bytes(first))
    }

    fn digest(self, name: &str) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.0.to_le_bytes());
        hash.update(name.as_bytes());
        hash.finalize().into()
    }
}

impl std::fmt::Display for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Seed {
    type Err = SeedError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16).map(Self).map_err(|_| SeedError {
            text: text.to_owned(),
        })
    }
}

impl TryFrom<String> for Seed {
    type Error = SeedError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Seed> for String {
    fn from(seed: Seed) -> Self {
        seed.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand_chacha::rand_core::Rng;

    proptest! {
        /// forall seed: parse(display(seed)) = seed
        #[test]
        fn text_form_round_trips(value in any::<u64>()) {
            prop_assert_eq!(Seed(value).to_string().parse::<Seed>().unwrap(), Seed(value));
        }

        /// forall seed, name: stream(seed, name) is the same every time it is made
        #[test]
        fn streams_repeat(value in any::<u64>(), name in ".{0,20}") {
            let (mut one, mut two) = (Seed(value).stream(&name), Seed(value).stream(&name));
            prop_assert_eq!(one.next_u64(), two.next_u64());
        }
    }

    #[test]
    fn names_have_streams_of_their_own() {
        assert_ne!(Seed(1).derive("a"), Seed(1).derive("b"));
        assert_ne!(Seed(1).derive("a"), Seed(2).derive("a"));
    }
}
