//! What the stack promises about the latency of queries.

use harness::case::{Case, CaseError, Context};
use harness::queries::{FILE, Queries};

mod history;
mod instant_queries;
mod log_aggregation;
mod log_search;
mod logs;
mod loki_range;
mod measure;
mod metrics;
mod range_queries;
mod trace_fetch;
mod trace_search;
mod traces;

/// The cases of this area.
#[must_use]
pub fn cases() -> Vec<Case> {
    vec![
        instant_queries::case(),
        range_queries::case(),
        trace_search::case(),
        trace_fetch::case(),
        log_search::case(),
        log_aggregation::case(),
        loki_range::case(),
    ]
}

/// The questions' file.
fn queries(context: &Context) -> Result<Queries, CaseError> {
    Queries::load(&context.fixtures.join(FILE)).map_err(|error| CaseError::Environment(error.to_string()))
}
