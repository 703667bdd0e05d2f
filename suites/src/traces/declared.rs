//! What the tree, and a rendered Collector's file, say about sampling.

use harness::case::{CaseError, Context};
use harness::judge::sampling::HashSeed;
use serde_json::Value;

use super::COLLECTOR;

/// The two samplers, and the promise that each keeps.
pub(super) const SAMPLERS: [(&str, &str); 2] = [
    ("probabilistic_sampler/default", "traces-sampling-default"),
    ("probabilistic_sampler/ml", "traces-sampling-ml"),
];

/// The settings of one sampler.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sampler {
    /// Its mode.
    pub(super) mode: String,
    /// Seed of its hash.
    pub(super) seed: Option<u32>,
    /// Its percentage.
    pub(super) percentage: Option<f64>,
}

impl Sampler {
    /// A sampler of a Collector's configuration.
    pub(super) fn of(config: &Value, name: &str) -> Self {
        let sampler = config.pointer("/processors").and_then(|all| all.get(name));
        let member = |what: &str| sampler.and_then(|sampler| sampler.get(what));
        Self {
            mode: member("mode")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned(),
            seed: member("hash_seed")
                .and_then(Value::as_u64)
                .and_then(|seed| u32::try_from(seed).ok()),
            percentage: member("sampling_percentage").and_then(Value::as_f64),
        }
    }
}

impl std::fmt::Display for Sampler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.percentage {
            Some(percentage) => write!(f, "{percentage} %")?,
            None => f.write_str("no percentage")?,
        }
        match (self.mode.as_str(), self.seed) {
            ("", _) => f.write_str(" in no mode"),
            (mode, Some(seed)) => write!(f, " by {mode} {seed}"),
            (mode, None) => write!(f, " by {mode}"),
        }
    }
}

/// The Collector's configuration as the tree declares it.
pub(super) fn config(context: &Context) -> Result<Value, CaseError> {
    let object = context.tree.object(COLLECTOR)?;
    object
        .value
        .pointer("/spec/config")
        .cloned()
        .ok_or_else(|| CaseError::Failed(format!("{COLLECTOR} declares no /spec/config")))
}

/// The configuration that a Collector was started with.
pub(super) fn running(file: &std::path::Path) -> Result<Value, CaseError> {
    let text = std::fs::read_to_string(file)?;
    serde_saphyr::from_str(&text)
        .map_err(|error| CaseError::Environment(format!("{}: {error}", file.display())))
}

/// The hash whose seed the tree declares; one for all samplers, or what one keeps the other would drop.
pub(super) fn hash(config: &Value) -> Result<HashSeed, CaseError> {
    let (name, _) = SAMPLERS[0];
    Sampler::of(config, name).seed.map(HashSeed).ok_or_else(|| {
        CaseError::Failed(format!(
            "{COLLECTOR} declares no hash_seed of {name}, without which replicas need not agree"
        ))
    })
}

/// What the contract promises for a sampler, in percent as the processor reads it.
pub(super) fn promised(context: &Context, promise: &str) -> Result<f32, CaseError> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the processor keeps percentages in single precision as well"
    )]
    let percentage = (context.contract.ratio(promise, "share")?.0 * 100.0) as f32;
    Ok(percentage)
}
