//! What Jaeger tells services about sampling: the answer of
//! `/api/sampling?service=NAME` (Jaeger v2's extension `remote_sampling`, port
//! 5778), as plain data.
//!
//! Fields from jaeger-idl, `proto/api_v2/sampling.proto`, in the JSON that the
//! extension and the SDKs' remote samplers exchange.

use serde::{Deserialize, Serialize};

use crate::wire::otlp::TraceId;

/// What a service is told.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SamplingStrategy {
    /// Which of the fields below holds.
    pub strategy_type: StrategyType,
    /// A probability for all traces.
    pub probabilistic_sampling: Option<Probabilistic>,
    /// A number of traces per second.
    pub rate_limiting_sampling: Option<RateLimiting>,
    /// A probability for each operation; it goes before the others.
    pub operation_sampling: Option<Operations>,
}

/// Kind of a strategy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum StrategyType {
    /// Also where an answer leaves it out, as protobuf's JSON does with a zero.
    #[default]
    #[serde(rename = "PROBABILISTIC", alias = "0")]
    Probabilistic,
    /// Bounded in time.
    #[serde(rename = "RATE_LIMITING", alias = "1")]
    RateLimiting,
}

/// A probability.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Probabilistic {
    /// From 0 to 1.
    pub sampling_rate: f64,
}

/// A rate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RateLimiting {
    /// Traces per second.
    pub max_traces_per_second: f64,
}

/// Probabilities by operation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Operations {
    /// For operations that are not listed.
    pub default_sampling_probability: f64,
    /// Each operation has at least so many traces per second.
    pub default_lower_bound_traces_per_second: f64,
    /// The listed ones.
    pub per_operation_strategies: Vec<PerOperation>,
}

/// Probability of one operation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PerOperation {
    /// Name of the root span.
    pub operation: String,
    /// Its probability.
    pub probabilistic_sampling: Probabilistic,
}

/// Why an answer is no strategy.
#[derive(Debug, thiserror::Error)]
pub enum StrategyError {
    /// It is not the JSON of one.
    #[error("the answer is no sampling strategy: {0}")]
    Json(#[from] serde_json::Error),
    /// A probability is none.
    #[error("the answer has a probability of {0}; it must be between 0 and 1")]
    Probability(f64),
}

impl SamplingStrategy {
    /// Reads an answer.
    pub fn parse(answer: &str) -> Result<Self, StrategyError> {
        let strategy: Self = serde_json::from_str(answer)?;
        let probabilistic = strategy.probabilistic_sampling.map(|found| found.sampling_rate);
        let operations = strategy.operation_sampling.iter().flat_map(|operations| {
            let listed = operations
                .per_operation_strategies
                .iter()
                .map(|operation| operation.probabilistic_sampling.sampling_rate);
            listed.chain([operations.default_sampling_probability])
        });
        match probabilistic
            .into_iter()
            .chain(operations)
            .find(|probability| !(0.0..=1.0).contains(probability))
        {
            Some(wrong) => Err(StrategyError::Probability(wrong)),
            None => Ok(strategy),
        }
    }

    /// The probability of traces that start with an operation; none where a rate bounds them.
    #[must_use]
    pub fn probability(&self, operation: &str) -> Option<f64> {
        if let Some(operations) = &self.operation_sampling {
            let listed = operations
                .per_operation_strategies
                .iter()
                .find(|listed| listed.operation == operation);
            return Some(listed.map_or(operations.default_sampling_probability, |listed| {
                listed.probabilistic_sampling.sampling_rate
            }));
        }
        match self.strategy_type {
            StrategyType::RateLimiting => None,
            StrategyType::Probabilistic => {
                Some(self.probabilistic_sampling.unwrap_or_default().sampling_rate)
            }
        }
    }
}

/// Whether a service keeps a trace at a probability: the last eight bytes of its ID, as a big-endian
/// number without its lowest bit, lie below the probability's share of 2^63 (opentelemetry-go,
/// `sdk/trace/sampling.go`, `TraceIDRatioBased`).
#[must_use]
pub fn keeps(probability: f64, id: TraceId) -> bool {
    if probability >= 1.0 {
        return true;
    }
    let (_, low) = id.0.split_at(8);
    let number = <[u8; 8]>::try_from(low).map_or(0, u64::from_be_bytes) >> 1;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share below 1 of 2^63, truncated as the SDK does"
    )]
    let bound = (probability.max(0.0) * 9_223_372_036_854_775_808.0) as u64;
    number < bound
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_answer_is_read() {
        let strategy = SamplingStrategy::parse(
            r#"{"strategyType":"PROBABILISTIC","probabilisticSampling":{"samplingRate":0.1},
                "operationSampling":{"defaultSamplingProbability":0.1,"defaultLowerBoundTracesPerSecond":0,
                "perOperationStrategies":[{"operation":"GET /","probabilisticSampling":{"samplingRate":0.5}}]}}"#,
        )
        .unwrap();
        assert_eq!(strategy.probability("GET /"), Some(0.5));
        assert_eq!(strategy.probability("POST /"), Some(0.1));
    }

    #[test]
    fn zeros_that_are_left_out_are_zeros() {
        let strategy = SamplingStrategy::parse(r#"{"probabilisticSampling":{}}"#).unwrap();
        assert_eq!(strategy.probability("x"), Some(0.0));
        let limited = r#"{"strategyType":"RATE_LIMITING","rateLimitingSampling":{"maxTracesPerSecond":5}}"#;
        let limited = SamplingStrategy::parse(limited).unwrap();
        assert_eq!(limited.probability("x"), None);
        let expected = RateLimiting {
            max_traces_per_second: 5.0,
        };
        assert_eq!(limited.rate_limiting_sampling, Some(expected));
    }

    #[test]
    fn what_is_no_strategy_is_refused() {
        assert!(SamplingStrategy::parse("<html>").is_err());
        let error = SamplingStrategy::parse(r#"{"probabilisticSampling":{"samplingRate":10}}"#).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the answer has a probability of 10; it must be between 0 and 1"
        );
    }

    proptest! {
        /// forall IDs, p <= q: what is kept at p is kept at q
        #[test]
        fn lower_rates_keep_subsets(id in any::<[u8; 16]>(), one in 0.0..=1.0f64, two in 0.0..=1.0f64) {
            let (low, high) = (one.min(two), one.max(two));
            prop_assert!(!keeps(low, TraceId(id)) || keeps(high, TraceId(id)));
            prop_assert!(keeps(1.0, TraceId(id)) && !keeps(0.0, TraceId(id)));
        }
    }
}
