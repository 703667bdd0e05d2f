//! The machinery of the conformance harness.
//!
//! A run flows one way: the [`contract`] (what was promised) and the [`deploy`]
//! tree (what is declared) make a plan of cases; a [`target`] brings a
//! [`stack`] up from a rendering of the tree ([`render`]); generators ([`emit`])
//! send seeded telemetry; [`component`] clients observe; cases judge and return
//! [`finding`]s; the [`report`] writes them down. Parsing, rendering,
//! schedules, payloads, statistics and verdicts are pure and live apart from
//! the modules that touch the world: `target`, `component`, the senders in
//! `emit`, `catalog` and the writers in `report`.
//!
//! docs/ARCHITECTURE.md is the map with the invariants.

pub mod case;
pub mod catalog;
pub mod cli;
pub mod clock;
pub mod component;
pub mod contract;
pub mod deploy;
pub mod drawing;
pub mod emit;
mod files;
pub mod finding;
pub mod judge;
pub mod mutant;
pub mod mutation;
pub mod progress;
pub mod project;
pub mod queries;
pub mod render;
pub mod report;
pub mod runner;
pub mod seed;
pub mod session;
pub mod shapes;
pub mod stack;
pub mod target;
pub mod units;
pub mod verdict;
pub mod wait;
pub mod wire;
