//! What the stack promises about alerts: rules that can fire, and notifications that arrive.

use harness::case::Case;

/// The cases of this area.
#[must_use]
pub fn cases() -> Vec<Case> {
    vec![]
}
