//! What the stack promises about logs: indices that are laid out and age as promised, and documents that stay.

use harness::case::Case;

pub(crate) mod books;
mod ledger;
mod lifecycle;
mod loki;
mod rollover;
mod setup;
mod snapshot_restore;
mod templates;

/// The object that holds what is set up in Elasticsearch, for mutants.
const SETUP: &str = "ConfigMap/elasticsearch-setup";

/// The cases of this area.
#[must_use]
pub fn cases() -> Vec<Case> {
    vec![
        templates::case(),
        lifecycle::case(),
        rollover::case(),
        ledger::case(),
        snapshot_restore::case(),
        loki::case(),
    ]
}
