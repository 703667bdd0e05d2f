//! A notification path of a case's own: an Alertmanager clone, and the receiver its webhooks reach.
//!
//! Alerts are pushed as Prometheus pushes them; what arrives is read back from the receiver. The
//! clone's durations are divided, everything else is as declared.

use std::time::Duration;

use harness::case::{CaseError, Context};
use harness::clock::unix_seconds;
use harness::component::alertmanager::PostAlert;
use harness::component::receiver::{Receiver, ReceiverServer};
use harness::judge::alerts::alertmanager_file::{AlertmanagerFile, Timing};
use harness::judge::alerts::notification::Notification;
use harness::render::alertmanager::{Route, routes};
use harness::stack::{AlertmanagerClone, AlertmanagerInstance};
use harness::wait::{Look, Wait};
use indexmap::IndexMap;

use super::pulse::Pulse;

/// How long pushed alerts stay active unless they are resolved: longer than any case.
const ACTIVE: f64 = 3600.0;

/// Longest that anything on a divided path is waited for, whatever the tree declares.
const PATIENCE: Duration = Duration::from_secs(25);

/// Labels of an alert.
pub(super) type Labels = IndexMap<String, String>;

/// The running path.
pub(super) struct NotificationPath {
    /// What Alertmanager runs as.
    pub(super) alertmanager: Box<dyn AlertmanagerInstance>,
    /// The route tree as declared.
    pub(super) routes: Route,
    /// What its durations are divided by.
    pub(super) divisor: u32,
    /// Whether the machine kept time since the path was opened.
    pub(super) pulse: Pulse,
    /// How much longer than configured a notification may take.
    pub(super) slack: Duration,
    receiver: Receiver,
    /// Dropped last, so that nothing is refused while the case ends.
    _server: ReceiverServer,
    file: AlertmanagerFile,
}

/// What the declared route tree says of an alert.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Expected {
    /// Paths of the webhooks that are told.
    pub(super) paths: Vec<String>,
    /// Times of the first route taken, as declared.
    pub(super) declared: Timing,
    /// The same, divided.
    pub(super) timing: Timing,
    /// The receivers.
    pub(super) receivers: Vec<String>,
}

/// Just before and just after a push, unix seconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pushed {
    /// No later than Alertmanager can have seen the alerts.
    pub(super) before: f64,
    /// No earlier than it has.
    pub(super) after: f64,
}

impl NotificationPath {
    /// Starts receiver and Alertmanager.
    pub(super) async fn open(context: &Context, name: &str, divisor: u32) -> Result<Self, CaseError> {
        let server = ReceiverServer::start().await?;
        let receiver = server.client()?;
        let routes = routes(&context.tree).map_err(|error| CaseError::Failed(error.to_string()))?;
        let alertmanager = context
            .stack
            .workshop
            .alertmanager(AlertmanagerClone {
                name: name.to_owned(),
                receiver: receiver.base().clone(),
                divide_durations_by: divisor,
            })
            .await?;
        let text = std::fs::read_to_string(alertmanager.config_file())?;
        let file = AlertmanagerFile::parse(&text).map_err(CaseError::Environment)?;
        Ok(Self {
            alertmanager,
            routes,
            divisor,
            pulse: Pulse::start(),
            slack: context.contract.duration("alerts-notification", "slack")?,
            receiver,
            _server: server,
            file,
        })
    }

    /// The file that Alertmanager runs with.
    pub(super) fn file(&self) -> &AlertmanagerFile {
        &self.file
    }

    /// Has the receiver refuse the next deliveries.
    pub(super) async fn refuse_next(&self, count: u32, status: u16) -> Result<(), CaseError> {
        Ok(self.receiver.refuse_next(count, status).await?)
    }

    /// What the declared route tree says of an alert with these labels.
    pub(super) fn expected(&self, labels: &Labels) -> Expected {
        let taken = self.routes.match_route(labels);
        let first = taken.first().copied().unwrap_or(&self.routes);
        let declared = Timing {
            group_wait: first.group_wait.0,
            group_interval: first.group_interval.0,
            repeat_interval: first.repeat_interval.0,
        };
        Expected {
            paths: taken
                .iter()
                .flat_map(|route| self.file.webhook_paths(&route.receiver))
                .collect(),
            declared,
            timing: declared.divided(self.divisor),
            receivers: taken.iter().map(|route| route.receiver.clone()).collect(),
        }
    }

    /// Pushes alerts in one request.
    pub(super) async fn push(&self, alerts: &[PostAlert]) -> Result<Pushed, CaseError> {
        let before = unix_seconds();
        self.alertmanager.client().post_alerts(alerts).await?;
        Ok(Pushed {
            before,
            after: unix_seconds(),
        })
    }

    /// Everything that has arrived, refused deliveries included, in order of arrival.
    pub(super) async fn arrived(&self) -> Result<Vec<Notification>, CaseError> {
        Ok(self
            .receiver
            .deliveries(0)
            .await?
            .iter()
            .map(Notification::of)
            .collect())
    }

    /// Waits until what has arrived satisfies `found`; the error is the wait's account.
    pub(super) async fn until<T>(
        &self,
        name: &str,
        expected: Duration,
        found: impl Fn(&[Notification]) -> Option<T>,
    ) -> Result<T, String> {
        // Beyond what is allowed, so that what comes too late is seen to come too late.
        let bound = (expected + 2 * self.slack + Duration::from_secs(5)).min(PATIENCE);
        let found = &found;
        Wait::new(name, bound)
            .until(|| async {
                match self.arrived().await {
                    Ok(all) => found(&all).map_or_else(
                        || Look::Missing(format!("of {} deliveries: {}", all.len(), summary(&all))),
                        Look::Ready,
                    ),
                    Err(error) => Look::Missing(error.to_string()),
                }
            })
            .await
            .map_err(|error| error.to_string())
    }

    /// Waits for the first accepted notification that says `status` of an alert with these labels and
    /// has a number from `from` on.
    pub(super) async fn notified(
        &self,
        labels: &Labels,
        status: &str,
        from: u64,
        expected: Duration,
    ) -> Result<Notification, String> {
        let pairs = pairs(labels);
        self.until(
            &format!("{status} notification of {}", brief(labels)),
            expected,
            |all| {
                all.iter()
                    .find(|n| n.number >= from && n.accepted() && n.says(&pairs, status))
                    .cloned()
            },
        )
        .await
    }
}

/// Labels from pairs.
pub(super) fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// Pairs from labels.
pub(super) fn pairs(labels: &Labels) -> Vec<(&str, &str)> {
    labels
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect()
}

/// An alert that fires from now on.
pub(super) fn firing(labels: &Labels) -> PostAlert {
    PostAlert {
        labels: labels.clone(),
        annotations: IndexMap::from([("summary".to_owned(), "pushed by a conformance case".to_owned())]),
        starts_at: Some(unix_seconds()),
        ends_at: Some(unix_seconds() + ACTIVE),
    }
}

/// The same alert, over since now.
pub(super) fn resolved(alert: &PostAlert) -> PostAlert {
    PostAlert {
        ends_at: Some(unix_seconds()),
        ..alert.clone()
    }
}

/// Labels for people: alert name, severity and what tells it apart.
pub(super) fn brief(labels: &Labels) -> String {
    let pairs: Vec<String> = labels
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    format!("{{{}}}", pairs.join(", "))
}

/// What has arrived, for people.
pub(super) fn summary(all: &[Notification]) -> String {
    let texts: Vec<String> = all
        .iter()
        .map(|n| {
            let alerts: Vec<String> = n
                .alerts
                .iter()
                .map(|alert| format!("{} {}", alert.status, brief(&alert.labels)))
                .collect();
            format!("{} answered {}: {}", n.path, n.answered, alerts.join(", "))
        })
        .collect();
    if texts.is_empty() {
        "nothing".to_owned()
    } else {
        texts.join("; ")
    }
}
