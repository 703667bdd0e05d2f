//! What only a cluster can show: what its operators made of the tree, what it allows, and what it survives.

use harness::case::Case;

mod access;
mod discovery;
mod scrape_configuration;

/// The profile of these cases.
const PROFILES: &[&str] = &["kind"];

/// The cases of this area.
#[must_use]
pub fn cases() -> Vec<Case> {
    vec![scrape_configuration::case(), discovery::case(), access::case()]
}
