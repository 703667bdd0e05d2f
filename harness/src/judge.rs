//! Judging, pure: from what was observed to whether it is inside its bound.

pub mod access;
pub mod alerts;
pub mod latency;
pub mod sampling;
