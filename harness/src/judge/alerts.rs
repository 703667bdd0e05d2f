//! Judging alerts: what an alert rule needs to fire, what it asks for, and
//! what became of its notifications.

pub mod alertmanager_file;
pub mod candidate;
pub mod expression;
pub mod healthy_day;
pub mod inputs;
pub mod notification;
pub mod virtual_time;
