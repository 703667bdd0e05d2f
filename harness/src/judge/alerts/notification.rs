//! Notifications: Alertmanager's webhook payload (version 4) as cases judge it.

use indexmap::IndexMap;
use serde_json::Value;

use crate::component::receiver::Delivery;

/// One alert of a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifiedAlert {
    /// `firing` or `resolved`.
    pub status: String,
    /// Its labels.
    pub labels: IndexMap<String, String>,
}

/// One notification that was accepted or refused.
#[derive(Debug, Clone, PartialEq)]
pub struct Notification {
    /// Running number of the delivery.
    pub number: u64,
    /// Unix seconds of arrival.
    pub at: f64,
    /// Path it came to.
    pub path: String,
    /// Status it was answered with.
    pub answered: u16,
    /// `groupKey`, which names the route and the group's labels.
    pub group_key: String,
    /// `firing` while any alert of it fires.
    pub status: String,
    /// Its alerts.
    pub alerts: Vec<NotifiedAlert>,
}

impl Notification {
    /// Reads a delivery; fields the payload lacks are empty.
    #[must_use]
    pub fn of(delivery: &Delivery) -> Self {
        let text = |value: &Value, field: &str| value[field].as_str().unwrap_or_default().to_owned();
        let alerts = delivery.body["alerts"]
            .as_array()
            .map_or_else(Vec::new, |alerts| {
                alerts
                    .iter()
                    .map(|alert| NotifiedAlert {
                        status: text(alert, "status"),
                        labels: alert["labels"].as_object().map_or_else(IndexMap::new, |labels| {
                            labels
                                .iter()
                                .map(|(name, value)| {
                                    (name.clone(), value.as_str().unwrap_or_default().to_owned())
                                })
                                .collect()
                        }),
                    })
                    .collect()
            });
        Self {
            number: delivery.number,
            at: delivery.at,
            path: delivery.path.clone(),
            answered: delivery.status,
            group_key: text(&delivery.body, "groupKey"),
            status: text(&delivery.body, "status"),
            alerts,
        }
    }

    /// Whether it was taken.
    #[must_use]
    pub fn accepted(&self) -> bool {
        (200..300).contains(&self.answered)
    }

    /// The first alert of it that carries all these labels.
    #[must_use]
    pub fn alert(&self, labels: &[(&str, &str)]) -> Option<&NotifiedAlert> {
        self.alerts.iter().find(|alert| {
            labels
                .iter()
                .all(|(name, value)| alert.labels.get(*name).is_some_and(|v| v == value))
        })
    }

    /// Whether it says of an alert with all these labels that it has this status.
    #[must_use]
    pub fn says(&self, labels: &[(&str, &str)], status: &str) -> bool {
        self.alerts.iter().any(|alert| {
            alert.status == status
                && labels
                    .iter()
                    .all(|(name, value)| alert.labels.get(*name).is_some_and(|v| v == value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_payload_reads() {
        let notification = Notification::of(&Delivery {
            number: 3,
            at: 1.5,
            path: "/alerts/critical".into(),
            status: 503,
            body: json!({
                "version": "4", "groupKey": "{}:{a=\"b\"}", "status": "firing",
                "alerts": [{"status": "resolved", "labels": {"alertname": "A", "service": "s"}}],
            }),
        });
        assert!(!notification.accepted());
        assert!(notification.says(&[("service", "s")], "resolved"));
        assert!(!notification.says(&[("service", "s")], "firing"));
        assert!(!notification.says(&[("service", "t")], "resolved"));
    }

    #[test]
    fn a_body_that_is_no_payload_has_no_alerts() {
        let notification = Notification::of(&Delivery {
            number: 0,
            at: 0.0,
            path: "/".into(),
            status: 200,
            body: json!("hello"),
        });
        assert!(notification.alerts.is_empty() && notification.accepted());
    }
}
