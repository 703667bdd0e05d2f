//! The conformance cases, one file each, listed by area.
//!
//! To add a case, write its file in the area's folder and add one line to the
//! area's `cases()`; to delete it, do the reverse. Nothing else refers to it.

use std::path::{Path, PathBuf};

use harness::case::Case;

pub mod alerts;
pub mod cluster;
pub mod history;
pub mod latency;
pub mod logs;
pub mod metrics;
pub mod traces;

/// Every case, in the order of the report.
#[must_use]
pub fn cases() -> Vec<Case> {
    [
        metrics::cases(),
        alerts::cases(),
        traces::cases(),
        logs::cases(),
        latency::cases(),
        cluster::cases(),
    ]
    .concat()
}

/// The folder this program was built from, which holds fixtures/ and deploy/.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map_or_else(PathBuf::new, Path::to_owned)
}
