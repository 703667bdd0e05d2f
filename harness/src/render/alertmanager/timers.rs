//! Dividing the durations of Alertmanager's file.

use std::time::Duration;

use serde_json::Value;

use super::file::File;
use super::route::{GROUP_INTERVAL, GROUP_WAIT, REPEAT_INTERVAL};
use crate::deploy::{DeployError, Object};
use crate::render::changes::Changes;
use crate::units::Span;

/// How long an alert without an end stays active (Alertmanager v0.31, config/config.go).
const RESOLVE_TIMEOUT: Span = Span(Duration::from_mins(5));

const WHY: &str = "time is divided by a whole number so that the declared order of events can be watched";

/// A duration divided, whole milliseconds and never rounded down to zero.
fn divided(span: Span, by: u32) -> Span {
    if span.0.is_zero() {
        return span;
    }
    let millis = span.0.as_millis() / u128::from(by.max(1));
    Span(Duration::from_millis(
        u64::try_from(millis).unwrap_or(u64::MAX).max(1),
    ))
}

/// Divides the timers of every route, and the resolve timeout. What the root route leaves to
/// Alertmanager is divided too, since it is inherited.
pub(super) fn divide(file: &mut File<'_>, by: u32, changes: &mut Changes) -> Result<(), DeployError> {
    if by <= 1 {
        return Ok(());
    }
    let (secret, place) = (file.secret, file.place);
    if let Value::Object(content) = &mut file.content {
        let global = content
            .entry("global")
            .or_insert_with(|| Value::Object(serde_json::Map::new()));
        one(
            secret,
            &format!("{place}.global"),
            global,
            "resolve_timeout",
            Some(RESOLVE_TIMEOUT),
            by,
            changes,
        )?;
    }
    match file.content.get_mut("route") {
        Some(root) => route(secret, &format!("{place}.route"), root, true, by, changes),
        None => Ok(()),
    }
}

fn route(
    secret: &Object,
    at: &str,
    written: &mut Value,
    is_root: bool,
    by: u32,
    changes: &mut Changes,
) -> Result<(), DeployError> {
    for (field, default) in [
        ("group_wait", GROUP_WAIT),
        ("group_interval", GROUP_INTERVAL),
        ("repeat_interval", REPEAT_INTERVAL),
    ] {
        one(
            secret,
            at,
            written,
            field,
            is_root.then_some(default),
            by,
            changes,
        )?;
    }
    if let Some(Value::Array(routes)) = written.get_mut("routes") {
        for (index, child) in routes.iter_mut().enumerate() {
            route(
                secret,
                &format!("{at}.routes[{index}]"),
                child,
                false,
                by,
                changes,
            )?;
        }
    }
    Ok(())
}

fn one(
    secret: &Object,
    at: &str,
    owner: &mut Value,
    field: &str,
    default: Option<Span>,
    by: u32,
    changes: &mut Changes,
) -> Result<(), DeployError> {
    let at = format!("{at}.{field}");
    let (span, from) = match owner.get(field).and_then(Value::as_str) {
        Some(text) => {
            let span: Span = text
                .parse()
                .map_err(|why: crate::units::UnitError| secret.wrong(&at, why.to_string()))?;
            (span, text.to_owned())
        }
        None => match default {
            Some(default) => (default, format!("not set, Alertmanager's own {default}")),
            None => return Ok(()),
        },
    };
    let to = divided(span, by);
    changes.add(secret, at, from, to.to_string(), WHY);
    if let Value::Object(members) = owner {
        members.insert(field.to_owned(), Value::from(to.to_string()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// forall span, k: divided(span, k) = 0 <=> span = 0, and |k * divided - span| < k ms where divided >= 1 ms
        #[test]
        fn durations_are_divided_to_the_millisecond(ms in 0u64..100_000_000, by in 1u32..10_000) {
            let result = divided(Span(Duration::from_millis(ms)), by).0.as_millis();
            prop_assert_eq!(result == 0, ms == 0);
            if u128::from(ms) >= u128::from(by) {
                let back = result * u128::from(by);
                prop_assert!(back <= u128::from(ms) && u128::from(ms) - back < u128::from(by));
            }
        }
    }
}
