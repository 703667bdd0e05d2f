//! Wire formats, pure: bytes out of values and back.

pub mod exposition;
pub(crate) mod number;
pub mod openmetrics;
pub mod otlp;
pub mod remote_write;
