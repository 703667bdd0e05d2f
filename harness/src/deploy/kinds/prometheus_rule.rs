//! `PrometheusRule` (monitoring.coreos.com/v1).

use indexmap::IndexMap;
use serde::Deserialize;

use super::{ClusterOnly, Spec};
use crate::deploy::typed::IntOrString;
use crate::units::Span;

/// Rule groups.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PrometheusRuleSpec {
    #[serde(default)]
    pub(crate) groups: Vec<Group>,
}

/// One group.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) interval: Option<Span>,
    #[serde(default)]
    pub(crate) rules: Vec<Rule>,
}

/// One rule.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    pub(crate) alert: Option<String>,
    pub(crate) record: Option<String>,
    pub(crate) expr: IntOrString,
    #[serde(rename = "for")]
    pub(crate) hold: Option<Span>,
    pub(crate) keep_firing_for: Option<Span>,
    #[serde(default)]
    pub(crate) labels: IndexMap<String, String>,
    #[serde(default)]
    pub(crate) annotations: IndexMap<String, String>,
}

impl Spec for PrometheusRuleSpec {
    const KIND: &'static str = "PrometheusRule";
    const CLUSTER_ONLY: &'static [ClusterOnly] = &[];
}
