//! A service that decides at the head: its traces begin at steady rates, an operation each, and are kept
//! with the probability that it was told last.
//!
//! A trace is kept as `OpenTelemetry`'s `TraceIdRatioBased` sampler keeps it: by the low eight bytes of its ID,
//! the lowest bit left out, below the probability's share of 2^63 (opentelemetry-go v1.38, sdk/trace/sampling.go).
//! The IDs walk over that range in steps of the golden ratio, so that any stretch of them holds a probability's
//! share of kept ones but for one or two: how many samples come is not left to chance, only where they begin
//! is the seed's.

use std::time::Duration;

use harness::emit::schedule::{RateError, Schedule};
use harness::seed::Seed;
use harness::wire::otlp::traces::{ExportTraces, ResourceSpans, ScopeSpans, Span, SpanKind};
use harness::wire::otlp::{KeyValue, Resource};

/// 2^64 divided by the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
/// How long a span takes, in nanoseconds.
const LASTS: u64 = 3_000_000;

/// An operation whose traces begin at a steady rate.
#[derive(Debug)]
pub(super) struct Operation {
    schedule: Schedule,
    /// The high half of its traces' IDs, and the low half of the first.
    id: (u64, u64),
    /// Traces that have begun.
    begun: u64,
}

/// A trace that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kept {
    /// Its ID.
    pub(super) id: [u8; 16],
    /// When it began, after the start of the load.
    pub(super) instant: Duration,
}

impl Operation {
    /// An operation of that name, of `offered` traces a second.
    pub(super) fn new(name: &str, offered: f64, seed: Seed) -> Result<Self, RateError> {
        let seed = seed.derive(name);
        Ok(Self {
            schedule: Schedule::new(offered)?,
            // The highest bit set: no ID is all zeros.
            id: (seed.derive("high").0 | (1 << 63), seed.derive("low").0),
            begun: 0,
        })
    }

    /// The traces that began since the last call and before `elapsed`, those that are kept with `probability`.
    pub(super) fn begin(&mut self, elapsed: Duration, probability: f64) -> Vec<Kept> {
        let all = self.schedule.before(elapsed);
        let kept = (self.begun..all)
            .filter_map(|number| {
                let low = self.id.1.wrapping_add(GOLDEN.wrapping_mul(number));
                keeps(probability, low).then(|| {
                    let id = (u128::from(self.id.0) << 64) | u128::from(low);
                    Kept {
                        id: id.to_be_bytes(),
                        instant: self.schedule.instant(number),
                    }
                })
            })
            .collect();
        self.begun = self.begun.max(all);
        kept
    }
}

/// Whether a trace is kept, by the low half of its ID.
fn keeps(probability: f64, low: u64) -> bool {
    const RANGE: f64 = 9_223_372_036_854_775_808.0;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 2^63; the sampler truncates as well"
    )]
    let bound = (probability.clamp(0.0, 1.0) * RANGE) as u64;
    low >> 1 < bound
}

/// The root span of a kept trace, with what Jaeger's adaptive sampling reads: how the trace was sampled and with
/// which probability (Jaeger v2.13, internal/sampling/samplingstrategy/adaptive/aggregator.go).
pub(super) fn root(operation: &str, kept: Kept, probability: f64, load_start: u64) -> Span {
    let begins = load_start.saturating_add(u64::try_from(kept.instant.as_nanos()).unwrap_or(u64::MAX));
    Span {
        trace_id: kept.id.to_vec(),
        span_id: kept.id.get(..8).unwrap_or_default().to_vec(),
        name: operation.to_owned(),
        kind: SpanKind::Server.into(),
        start_time_unix_nano: begins,
        end_time_unix_nano: begins.saturating_add(LASTS),
        attributes: vec![
            KeyValue::of("sampler.type", "probabilistic"),
            KeyValue::of("sampler.param", probability),
        ],
        ..Span::default()
    }
}

/// A request of root spans of one service.
pub(super) fn request(service: &str, spans: Vec<Span>) -> ExportTraces {
    ExportTraces {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: vec![KeyValue::of("service.name", service)],
            }),
            scope_spans: vec![ScopeSpans { scope: None, spans }],
        }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_stretch_keeps_its_share_but_for_two() {
        for seed in 0..20 {
            let mut operation = Operation::new("op", 1000.0, Seed(seed)).unwrap();
            for (second, probability) in (1u32..60).zip([0.01, 0.001, 0.0173].into_iter().cycle()) {
                let kept = operation.begin(Duration::from_secs(second.into()), probability);
                let wanted = 1000.0 * probability;
                let count = f64::from(u32::try_from(kept.len()).unwrap());
                assert!((count - wanted).abs() <= 2.0, "{count} of {wanted}");
            }
        }
    }

    #[test]
    fn every_trace_begins_once_whatever_the_looks() {
        let once = |looks: &[u64]| {
            let mut operation = Operation::new("op", 250.0, Seed(7)).unwrap();
            looks
                .iter()
                .flat_map(|at| operation.begin(Duration::from_millis(*at), 0.1))
                .collect::<Vec<_>>()
        };
        let whole = once(&[2000]);
        assert_eq!(whole, once(&[1, 500, 500, 499, 1700, 2000]));
        assert!(whole.iter().all(|kept| kept.instant < Duration::from_secs(2)));
    }

    #[test]
    fn nothing_and_everything_are_kept() {
        assert!(!keeps(0.0, 0) && keeps(1.0, u64::MAX) && keeps(2.0, u64::MAX) && !keeps(-1.0, 0));
    }
}
