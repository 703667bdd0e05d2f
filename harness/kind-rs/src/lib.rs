#![doc = include_str!("../README.md")]

mod command;
pub mod config;
mod error;
mod kind;
mod name;
mod provider;
mod reason;
mod step;

pub use error::KindError;
pub use kind::{Bounds, Create, Created, Kind, Nodes, Side};
pub use name::{ClusterName, NameError};
pub use provider::Provider;
pub use reason::{Cause, Reason};
pub use step::{Step, StepState};
