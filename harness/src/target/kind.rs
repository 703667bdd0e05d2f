//! A kind cluster as target.

pub mod apply;
