//! The route tree, and which routes an alert takes.

use std::time::Duration;

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::Value;

use super::file::File;
use super::matcher::{MatchOperator, Matcher};
use crate::deploy::DeployError;
use crate::deploy::nearest::nearest;
use crate::deploy::typed::read;
use crate::units::Span;

/// Alertmanager's own values for a root route that gives none (v0.31, dispatch/route.go, `DefaultRouteOpts`).
pub(super) const GROUP_WAIT: Span = Span(Duration::from_secs(30));
/// See [`GROUP_WAIT`].
pub(super) const GROUP_INTERVAL: Span = Span(Duration::from_mins(5));
/// See [`GROUP_WAIT`].
pub(super) const REPEAT_INTERVAL: Span = Span(Duration::from_hours(4));

/// A route with everything it inherits.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// Who is notified.
    pub receiver: String,
    /// What an alert must match to take it, beyond its parents' matchers.
    pub matchers: Vec<Matcher>,
    /// Labels that alerts are grouped by; `...` alone means all.
    pub group_by: Vec<String>,
    /// How long a new group waits for more alerts.
    pub group_wait: Span,
    /// How long a group waits before it tells of a change.
    pub group_interval: Span,
    /// How long before an unchanged group is told again.
    pub repeat_interval: Span,
    /// Whether an alert that took it also tries the routes after it.
    pub continues: bool,
    /// The routes below it.
    pub routes: Vec<Route>,
}

impl Route {
    /// The routes that an alert with these labels takes, none when it does not match this one:
    /// depth first, the first matching child that does not continue ends the search among its
    /// siblings, and a route is taken itself when no child is (Alertmanager v0.31,
    /// dispatch/route.go, `Route.Match`).
    #[must_use]
    pub fn match_route(&self, labels: &IndexMap<String, String>) -> Vec<&Route> {
        if !self.matchers.iter().all(|m| m.matches(labels)) {
            return Vec::new();
        }
        let mut taken = Vec::new();
        for child in &self.routes {
            let below = child.match_route(labels);
            let ends = !below.is_empty() && !child.continues;
            taken.extend(below);
            if ends {
                break;
            }
        }
        if taken.is_empty() {
            taken.push(self);
        }
        taken
    }

    /// The receivers that are told of an alert with these labels, in the order of the routes.
    #[must_use]
    pub fn receivers(&self, labels: &IndexMap<String, String>) -> Vec<&str> {
        self.match_route(labels)
            .into_iter()
            .map(|route| route.receiver.as_str())
            .collect()
    }
}

/// A route as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    receiver: Option<String>,
    #[serde(default)]
    matchers: Vec<String>,
    #[serde(default, rename = "match")]
    equal: IndexMap<String, String>,
    #[serde(default)]
    match_re: IndexMap<String, String>,
    #[serde(default)]
    group_by: Vec<String>,
    group_wait: Option<Span>,
    group_interval: Option<Span>,
    repeat_interval: Option<Span>,
    #[serde(default, rename = "continue")]
    continues: bool,
    #[serde(default)]
    routes: Vec<Written>,
    #[serde(default)]
    #[expect(
        dead_code,
        reason = "passed through; routing at a time of day is Alertmanager's"
    )]
    mute_time_intervals: Vec<String>,
    #[serde(default)]
    #[expect(
        dead_code,
        reason = "passed through; routing at a time of day is Alertmanager's"
    )]
    active_time_intervals: Vec<String>,
}

/// The route tree of a file, checked as Alertmanager checks it (v0.31, config/config.go).
pub(super) fn tree(file: &File<'_>) -> Result<Route, DeployError> {
    let at = format!("{}.route", file.place);
    let root = file.content.get("route").ok_or_else(|| {
        file.secret
            .wrong(&at, "missing; Alertmanager needs a root route with a `receiver`")
    })?;
    let written: Written = read(file.secret, &at, root)?;
    if written.receiver.as_deref().unwrap_or_default().is_empty() {
        return Err(file.secret.wrong(
            format!("{at}.receiver"),
            "missing; the root route names the receiver of whatever matches nothing else",
        ));
    }
    if !(written.matchers.is_empty() && written.equal.is_empty() && written.match_re.is_empty()) {
        return Err(file.secret.wrong(
            format!("{at}.matchers"),
            "the root route takes every alert and must have no matchers; move them to a route below it",
        ));
    }
    let defaults = Route {
        receiver: String::new(),
        matchers: Vec::new(),
        group_by: Vec::new(),
        group_wait: GROUP_WAIT,
        group_interval: GROUP_INTERVAL,
        repeat_interval: REPEAT_INTERVAL,
        continues: false,
        routes: Vec::new(),
    };
    route(file, &at, &written, &defaults)
}

fn route(file: &File<'_>, at: &str, written: &Written, parent: &Route) -> Result<Route, DeployError> {
    let wrong = |field: String, why: String| file.secret.wrong(format!("{at}.{field}"), why);
    let mut matchers = Vec::new();
    for (texts, field, operator) in [
        (&written.equal, "match", MatchOperator::Equal),
        (&written.match_re, "match_re", MatchOperator::Matches),
    ] {
        for (name, value) in texts {
            matchers.push(
                Matcher::new(name, operator, value).map_err(|why| wrong(format!("{field}.{name}"), why))?,
            );
        }
    }
    for (index, text) in written.matchers.iter().enumerate() {
        matchers.extend(Matcher::parse(text).map_err(|why| wrong(format!("matchers[{index}]"), why))?);
    }
    for (field, span) in [
        ("group_interval", written.group_interval),
        ("repeat_interval", written.repeat_interval),
    ] {
        if span.is_some_and(|s| s.0.is_zero()) {
            return Err(wrong(
                field.to_owned(),
                "must not be zero, which Alertmanager refuses".to_owned(),
            ));
        }
    }
    let mut made = Route {
        receiver: written
            .receiver
            .clone()
            .filter(|r| !r.is_empty())
            .unwrap_or_else(|| parent.receiver.clone()),
        matchers,
        group_by: if written.group_by.is_empty() {
            parent.group_by.clone()
        } else {
            written.group_by.clone()
        },
        group_wait: written.group_wait.unwrap_or(parent.group_wait),
        group_interval: written.group_interval.unwrap_or(parent.group_interval),
        repeat_interval: written.repeat_interval.unwrap_or(parent.repeat_interval),
        continues: written.continues,
        routes: Vec::new(),
    };
    let known = receivers(&file.content);
    if !known.contains(&made.receiver.as_str()) {
        let hint = nearest(&made.receiver, known)
            .map_or_else(String::new, |near| format!("; the nearest is `{near}`"));
        return Err(wrong(
            "receiver".to_owned(),
            format!("there is no receiver `{}`{hint}", made.receiver),
        ));
    }
    for (index, child) in written.routes.iter().enumerate() {
        let child = route(file, &format!("{at}.routes[{index}]"), child, &made)?;
        made.routes.push(child);
    }
    Ok(made)
}

fn receivers(content: &Value) -> Vec<&str> {
    content
        .get("receivers")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|r| r.get("name")?.as_str())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn leaf(receiver: &str, matchers: &str, continues: bool, routes: Vec<Route>) -> Route {
        Route {
            receiver: receiver.into(),
            matchers: if matchers.is_empty() {
                Vec::new()
            } else {
                Matcher::parse(matchers).unwrap()
            },
            group_by: Vec::new(),
            group_wait: GROUP_WAIT,
            group_interval: GROUP_INTERVAL,
            repeat_interval: REPEAT_INTERVAL,
            continues,
            routes,
        }
    }

    fn labels(pairs: &[(&str, &str)]) -> IndexMap<String, String> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    #[test]
    fn the_deepest_match_wins_and_continue_goes_on() {
        let root = leaf(
            "root",
            "",
            false,
            vec![
                leaf("all", "team=~\".+\"", true, vec![]),
                leaf(
                    "db",
                    "team=\"db\"",
                    false,
                    vec![leaf("db-page", "severity=\"critical\"", false, vec![])],
                ),
                leaf("late", "team=\"db\"", false, vec![]),
            ],
        );
        assert_eq!(root.receivers(&labels(&[])), ["root"]);
        assert_eq!(root.receivers(&labels(&[("team", "web")])), ["all"]);
        assert_eq!(root.receivers(&labels(&[("team", "db")])), ["all", "db"]);
        assert_eq!(
            root.receivers(&labels(&[("team", "db"), ("severity", "critical")])),
            ["all", "db-page"]
        );
    }

    fn any_route() -> impl Strategy<Value = Route> {
        let one = ("[a-z]", "[ab]=\"[xy]\"", any::<bool>());
        one.prop_map(|(receiver, matchers, continues)| leaf(&receiver, &matchers, continues, vec![]))
            .prop_recursive(3, 12, 3, move |below| {
                (one, prop::collection::vec(below, 0..3)).prop_map(
                    |((receiver, matchers, continues), routes)| leaf(&receiver, &matchers, continues, routes),
                )
            })
    }

    fn never_continues(route: &Route) -> bool {
        !route.continues && route.routes.iter().all(never_continues)
    }

    proptest! {
        /// forall trees, labels: a root without matchers notifies somebody; every route taken matches
        /// and has no matching child; without `continue`, exactly one route is taken
        #[test]
        fn an_alert_is_always_taken_by_a_deepest_match(
            routes in prop::collection::vec(any_route(), 0..4),
            on in prop::collection::vec(("[ab]", "[xy]"), 0..3),
        ) {
            let on: IndexMap<String, String> = on.into_iter().collect();
            let root = leaf("root", "", false, routes);
            let taken = root.match_route(&on);
            prop_assert!(!taken.is_empty());
            for route in &taken {
                prop_assert!(route.matchers.iter().all(|m| m.matches(&on)));
                prop_assert!(route.routes.iter().all(|child| child.match_route(&on).is_empty()));
            }
            if never_continues(&root) {
                prop_assert_eq!(taken.len(), 1);
            }
        }
    }
}
