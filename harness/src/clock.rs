//! The machine's clock, as servers count it.

use std::time::{Duration, UNIX_EPOCH};

/// Time since the beginning of 1970; a clock before that counts as zero.
#[must_use]
pub fn since_epoch() -> Duration {
    UNIX_EPOCH.elapsed().unwrap_or_default()
}

/// Unix seconds now.
#[must_use]
pub fn unix_seconds() -> f64 {
    since_epoch().as_secs_f64()
}

/// Unix nanoseconds now.
#[must_use]
pub fn unix_nanoseconds() -> u64 {
    u64::try_from(since_epoch().as_nanos()).unwrap_or_default()
}
