//! What only a cluster can show: what its operators made of the tree, what it allows, and what it survives.

use harness::case::Case;

mod access;
mod discovery;
mod pod_kill;
mod rolling_restart;
mod scrape_configuration;
mod survival;

/// The profile of these cases.
const PROFILES: &[&str] = &["kind"];

/// The cases of this area.
#[must_use]
pub fn cases() -> Vec<Case> {
    vec![
        scrape_configuration::case(),
        discovery::case(),
        access::case(),
        pod_kill::case(),
        rolling_restart::case(),
    ]
}
