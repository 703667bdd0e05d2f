//! What the stack promises about traces: which are kept, that the kept ones are whole, and for how long.

use harness::case::Case;

mod adaptive;
mod declared;
mod head;
pub(crate) mod nothing_lost;
mod remote_sampling;
mod replicas_agree;
mod retention;
mod sampled_set;
mod split;

/// The object that declares the Collector, for mutants.
const COLLECTOR: &str = "OpenTelemetryCollector/otel";
/// The object that declares Jaeger.
const JAEGER: &str = "OpenTelemetryCollector/jaeger";
/// The object that declares the Jaeger with adaptive sampling.
const ADAPTIVE: &str = "OpenTelemetryCollector/jaeger-adaptive";

/// The cases of this area.
#[must_use]
pub fn cases() -> Vec<Case> {
    vec![
        sampled_set::case(),
        replicas_agree::case(),
        nothing_lost::case(),
        remote_sampling::case(),
        adaptive::case(),
        retention::case(),
    ]
}
