//! What the stack promises about traces: which are kept, that the kept ones are whole, and for how long.

use harness::case::Case;

mod declared;
mod sampled_set;
mod split;

/// The object that declares the Collector, for mutants.
const COLLECTOR: &str = "OpenTelemetryCollector/otel";

/// The cases of this area.
#[must_use]
pub fn cases() -> Vec<Case> {
    vec![sampled_set::case()]
}
