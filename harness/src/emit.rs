//! Emission: seeded, open-loop generators with ledgers.
//!
//! A schedule says when; payloads are prepared ahead; what was sent is in the
//! ledger, so that what arrived can be reconciled.

pub mod backfill;
pub mod drain;
pub mod elsewhere;
pub mod ledger;
pub mod logs;
pub mod metrics;
pub mod one_core;
pub mod otlp;
pub mod player;
pub mod queries;
pub mod remote_write;
pub mod schedule;
pub mod sink;
pub mod target;
pub mod traces;
