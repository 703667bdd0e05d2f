//! What the stack promises about the latency of queries.

use harness::case::Case;

mod history;
mod instant_queries;
mod measure;
mod metrics;
mod range_queries;

/// The cases of this area.
#[must_use]
pub fn cases() -> Vec<Case> {
    vec![instant_queries::case(), range_queries::case()]
}
