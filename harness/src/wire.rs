//! Wire formats, pure: bytes out of values and back.

pub mod bulk;
pub mod container_log;
pub mod exposition;
pub mod loki_push;
pub(crate) mod number;
pub mod openmetrics;
pub mod otlp;
pub mod remote_write;
pub mod stamped;
pub mod tsdb;
