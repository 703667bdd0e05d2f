//! What the stack promises about metrics: scraping, keeping, recording, backing up.

use harness::case::Case;

/// The cases of this area.
#[must_use]
pub fn cases() -> Vec<Case> {
    vec![]
}
