//! Judging alerts: what an alert rule needs to fire, what it asks for, and
//! what became of its notifications.

pub mod expression;
pub mod healthy_day;
pub mod inputs;
pub mod notification;
pub mod rule_file;
pub mod virtual_time;
