//! What the stack promises about metrics: scraping, keeping, recording, backing up.

use harness::case::Case;

mod counter_integrity;
mod recording_rules;
mod retention_size;
mod retention_time;
mod scrape_cadence;
mod snapshot_restore;

/// The cases of this area.
#[must_use]
pub fn cases() -> Vec<Case> {
    vec![
        scrape_cadence::case(),
        retention_time::case(),
        retention_size::case(),
        recording_rules::case(),
        counter_integrity::case(),
        snapshot_restore::case(),
    ]
}
