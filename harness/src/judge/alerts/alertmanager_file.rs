//! Alertmanager's file, read for what a notification should look like: where
//! each receiver's webhooks go, and how long each route waits.
//!
//! The same reader serves the rendered file and the one the running server
//! shows (`/api/v2/status`, where addresses are hidden but times are not).

use std::time::Duration;

use indexmap::IndexMap;
use serde_json::Value;
use url::Url;

use crate::render::alertmanager::Matcher;
use crate::units::Span;

/// A parsed file.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertmanagerFile(Value);

/// How long a route waits, inheritance included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How long a new group waits for more alerts.
    pub group_wait: Duration,
    /// How long a group waits before it tells of a change.
    pub group_interval: Duration,
    /// How long before an unchanged group is told again.
    pub repeat_interval: Duration,
}

/// One rule of inhibition, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inhibition {
    /// Matchers of the alert that inhibits.
    pub source: Vec<String>,
    /// Matchers of the alert that is inhibited.
    pub target: Vec<String>,
    /// Labels that both must have equal.
    pub equal: Vec<String>,
}

/// What a root route without times has (Alertmanager v0.31, dispatch/route.go, `DefaultRouteOpts`).
const DEFAULT: Timing = Timing {
    group_wait: Duration::from_secs(30),
    group_interval: Duration::from_mins(5),
    repeat_interval: Duration::from_hours(4),
};

impl Timing {
    /// Every time divided.
    #[must_use]
    pub fn divided(self, divisor: u32) -> Self {
        let divisor = divisor.max(1);
        Self {
            group_wait: self.group_wait / divisor,
            group_interval: self.group_interval / divisor,
            repeat_interval: self.repeat_interval / divisor,
        }
    }
}

impl AlertmanagerFile {
    /// Reads a file; the error says where it does not parse.
    pub fn parse(text: &str) -> Result<Self, String> {
        serde_saphyr::from_str(text)
            .map(Self)
            .map_err(|error| error.to_string())
    }

    /// Paths of a receiver's webhooks, in order.
    #[must_use]
    pub fn webhook_paths(&self, receiver: &str) -> Vec<String> {
        self.0["receivers"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|one| one["name"] == receiver)
            .flat_map(|one| one["webhook_configs"].as_array().into_iter().flatten())
            .filter_map(|webhook| webhook["url"].as_str()?.parse::<Url>().ok())
            .map(|url| url.path().to_owned())
            .collect()
    }

    /// The rules of inhibition, in order.
    #[must_use]
    pub fn inhibitions(&self) -> Vec<Inhibition> {
        let texts = |value: &Value| -> Vec<String> {
            let all = value.as_array().into_iter().flatten();
            all.filter_map(|text| text.as_str().map(str::to_owned)).collect()
        };
        let rules = self.0["inhibit_rules"].as_array().into_iter().flatten();
        rules
            .map(|rule| Inhibition {
                source: texts(&rule["source_matchers"]),
                target: texts(&rule["target_matchers"]),
                equal: texts(&rule["equal"]),
            })
            .collect()
    }

    /// How long the route at this place waits: the root for an empty place, else the indices of the
    /// routes on the way down. None where there is no such route or a time does not parse.
    #[must_use]
    pub fn timing(&self, place: &[usize]) -> Option<Timing> {
        let mut route = self.0.get("route")?;
        let mut timing = inherit(route, DEFAULT)?;
        for index in place {
            route = route.get("routes")?.get(index)?;
            timing = inherit(route, timing)?;
        }
        Some(timing)
    }
}

fn inherit(route: &Value, parent: Timing) -> Option<Timing> {
    let read = |field: &str, inherited: Duration| match route.get(field) {
        None | Some(Value::Null) => Some(inherited),
        Some(value) => value.as_str()?.parse::<Span>().ok().map(|span| span.0),
    };
    Some(Timing {
        group_wait: read("group_wait", parent.group_wait)?,
        group_interval: read("group_interval", parent.group_interval)?,
        repeat_interval: read("repeat_interval", parent.repeat_interval)?,
    })
}

/// Labels that satisfy these matchers, made of the values they name; none where no such value does,
/// or one does not parse.
#[must_use]
pub fn example(matchers: &[String]) -> Option<IndexMap<String, String>> {
    let mut labels = IndexMap::new();
    for text in matchers {
        // The quoted texts, and the alternatives among them: "a|b" is satisfied by a.
        let named = text.split('"').skip(1).step_by(2);
        let values: Vec<&str> = named.flat_map(|value| value.split('|')).collect();
        for matcher in Matcher::parse(text).ok()? {
            let name = matcher.name();
            let value = values
                .iter()
                .find(|value| matcher.matches(&IndexMap::from([(name.to_owned(), (**value).to_owned())])))?;
            labels.insert(name.to_owned(), (*value).to_owned());
        }
    }
    Some(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_satisfies_its_matchers() {
        let texts = [
            "severity =~ \"warning|info\"".to_owned(),
            "team = \"db\"".to_owned(),
        ];
        assert_eq!(
            example(&texts),
            Some(IndexMap::from([
                ("severity".to_owned(), "warning".to_owned()),
                ("team".to_owned(), "db".to_owned())
            ]))
        );
        assert_eq!(example(&["team != \"db\"".to_owned()]), None);
    }

    #[test]
    fn inhibitions_are_read_as_written() {
        let file = AlertmanagerFile::parse(
            "inhibit_rules: [{source_matchers: ['a = \"b\"'], target_matchers: ['c = \"d\"'], equal: [e]}]",
        )
        .unwrap();
        assert_eq!(
            file.inhibitions(),
            [Inhibition {
                source: vec!["a = \"b\"".into()],
                target: vec!["c = \"d\"".into()],
                equal: vec!["e".into()],
            }]
        );
    }

    const FILE: &str = r"
route:
  receiver: info
  group_wait: 20s
  routes:
    - receiver: critical
      group_interval: 1m
      routes:
        - receiver: night
          repeat_interval: 12h
receivers:
  - name: info
  - name: critical
    webhook_configs:
      - url: http://gateway:8080/alerts/critical
      - url: http://gateway:8080/alerts/copy
";

    #[test]
    fn a_route_inherits_what_it_does_not_give() {
        let file = AlertmanagerFile::parse(FILE).unwrap();
        assert_eq!(
            file.timing(&[0, 0]),
            Some(Timing {
                group_wait: Duration::from_secs(20),
                group_interval: Duration::from_mins(1),
                repeat_interval: Duration::from_hours(12),
            })
        );
        assert_eq!(file.timing(&[]).unwrap().group_interval, DEFAULT.group_interval);
        assert_eq!(file.timing(&[1]), None);
    }

    #[test]
    fn webhooks_are_known_by_their_paths() {
        let file = AlertmanagerFile::parse(FILE).unwrap();
        assert_eq!(
            file.webhook_paths("critical"),
            ["/alerts/critical", "/alerts/copy"]
        );
        assert!(file.webhook_paths("info").is_empty() && file.webhook_paths("nobody").is_empty());
    }
}
