//! What of a stack a run needs: the capabilities its cases ask for, and what follows from them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::case::Case;
use crate::stack::Capability;

/// The capabilities that are needed. Prometheus and Alertmanager every stack has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Needs {
    /// None when everything is needed.
    capabilities: Option<BTreeSet<Capability>>,
}

/// Components that every stack has.
pub const ALWAYS: [&str; 2] = ["prometheus", "alertmanager"];

impl Needs {
    /// Everything there is.
    #[must_use]
    pub fn everything() -> Self {
        Self { capabilities: None }
    }

    /// What these cases need.
    #[must_use]
    pub fn of(cases: &[Case]) -> Self {
        Self::these(cases.iter().flat_map(|case| case.needs.iter().copied()))
    }

    /// These capabilities.
    #[must_use]
    pub fn these(capabilities: impl IntoIterator<Item = Capability>) -> Self {
        Self {
            capabilities: Some(capabilities.into_iter().collect()),
        }
    }

    /// What `other` needs beyond these, none when that is nothing.
    #[must_use]
    pub fn lacking(&self, other: &Self) -> Option<String> {
        let Some(here) = &self.capabilities else {
            return None;
        };
        let Some(there) = &other.capabilities else {
            return Some("everything".to_owned());
        };
        let names: Vec<&str> = there
            .difference(here)
            // Every stack has these.
            .filter(|capability| {
                !matches!(
                    capability,
                    Capability::Prometheus
                        | Capability::Promtool
                        | Capability::Alertmanager
                        | Capability::Amtool
                )
            })
            .map(|capability| capability.name())
            .collect();
        (!names.is_empty()).then(|| names.join(", "))
    }

    /// Whether one of these is needed.
    fn any(&self, of: &[Capability]) -> bool {
        self.capabilities
            .as_ref()
            .is_none_or(|needed| of.iter().any(|capability| needed.contains(capability)))
    }

    /// Whether the shared Elasticsearch has to run: for itself, or for a Jaeger to store its spans in.
    pub(crate) fn elasticsearch(&self) -> bool {
        self.jaeger()
            || self.jaeger_adaptive()
            || self.any(&[
                Capability::Elasticsearch,
                Capability::Tiers,
                Capability::Lifecycle,
                Capability::SnapshotRepository,
                Capability::SnapshotLifecycle,
            ])
    }

    /// Whether the shared Jaeger has to run.
    pub(crate) fn jaeger(&self) -> bool {
        self.any(&[Capability::Jaeger])
    }

    /// Whether the shared Jaeger with adaptive sampling has to run.
    pub(crate) fn jaeger_adaptive(&self) -> bool {
        self.any(&[Capability::JaegerAdaptive])
    }

    /// Whether the shared Collector has to run. It needs no Jaeger to run.
    pub(crate) fn collector(&self) -> bool {
        self.any(&[Capability::Collector])
    }

    /// Whether the shared Loki has to run.
    pub(crate) fn loki(&self) -> bool {
        self.any(&[Capability::Loki])
    }

    /// The components to acquire.
    #[must_use]
    pub fn components(&self) -> Vec<&'static str> {
        let clock = self.any(&[Capability::ClockShift]);
        let further = [
            ("elasticsearch", self.elasticsearch() || clock),
            ("libfaketime", clock),
            (
                "jaeger",
                self.jaeger()
                    || self.jaeger_adaptive()
                    || self.any(&[Capability::JaegerClone, Capability::IndexCleaner]),
            ),
            ("otel-collector", self.collector()),
            ("loki", self.loki()),
        ];
        ALWAYS
            .into_iter()
            .chain(
                further
                    .into_iter()
                    .filter(|(_, needed)| *needed)
                    .map(|(component, _)| component),
            )
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(&[Capability::Prometheus], &["prometheus", "alertmanager"])]
    #[case(&[Capability::Collector], &["prometheus", "alertmanager", "otel-collector"])]
    #[case(&[Capability::Jaeger], &["prometheus", "alertmanager", "elasticsearch", "jaeger"])]
    #[case(&[Capability::JaegerClone], &["prometheus", "alertmanager", "jaeger"])]
    #[case(
        &[Capability::ClockShift, Capability::IndexCleaner],
        &["prometheus", "alertmanager", "elasticsearch", "libfaketime", "jaeger"]
    )]
    fn components_follow_from_the_needs(#[case] needs: &[Capability], #[case] expected: &[&str]) {
        assert_eq!(Needs::these(needs.iter().copied()).components(), expected);
    }

    #[test]
    fn a_stack_serves_what_needs_no_more_than_it_was_started_for() {
        let metrics = Needs::these([Capability::Prometheus]);
        let logs = Needs::these([Capability::Prometheus, Capability::Loki]);
        assert_eq!(Needs::everything().lacking(&logs), None);
        assert_eq!(logs.lacking(&metrics), None);
        assert_eq!(metrics.lacking(&Needs::these([Capability::Alertmanager])), None);
        assert_eq!(metrics.lacking(&logs).as_deref(), Some("loki"));
        assert_eq!(
            metrics.lacking(&Needs::everything()).as_deref(),
            Some("everything")
        );
    }

    #[test]
    fn a_clone_with_a_shifted_clock_needs_no_shared_elasticsearch() {
        let needs = Needs::these([Capability::ClockShift]);
        assert!(!needs.elasticsearch() && needs.components().contains(&"elasticsearch"));
        assert!(Needs::everything().elasticsearch() && Needs::everything().loki());
    }
}
