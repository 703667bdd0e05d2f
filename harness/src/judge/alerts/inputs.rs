//! The table of inputs: fixtures/alert-inputs.yaml.
//!
//! For every alert rule one input that keeps it silent and one that makes it
//! fire. The same table drives virtual time and live runs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use indexmap::IndexMap;
use serde::Deserialize;

use super::expression::Selector;
use crate::units::Span;

/// How long an instant query looks back for a sample, and so how long an absent series lingers
/// (`--query.lookback-delta`, Prometheus 3).
pub const LOOKBACK: Duration = Duration::from_mins(5);

/// All inputs, by alert name.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertInputs {
    /// The inputs, in the table's order.
    pub alerts: IndexMap<String, AlertInput>,
}

/// What one alert needs.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertInput {
    /// Labels the firing alert must carry, among others.
    pub labels: IndexMap<String, String>,
    /// Longest range the expression looks back over, recording rules included.
    #[serde(default)]
    pub window: Option<Span>,
    /// True for an alert that fires on everything, healthy days included.
    #[serde(default)]
    pub always: bool,
    /// The series it reads.
    pub series: Vec<InputSeries>,
}

/// One series of an input.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSeries {
    /// `metric{label="value", ...}`.
    pub series: String,
    /// How its values are to be read.
    pub kind: InputKind,
    /// The value that keeps the alert silent; none where the series is absent then.
    #[serde(default)]
    pub healthy: Option<f64>,
    /// The value that makes the alert fire; none where the series is absent then.
    #[serde(default)]
    pub breach: Option<f64>,
}

/// How an input's values are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InputKind {
    /// Increase per second of a counter.
    Counter,
    /// Level of a gauge.
    Gauge,
    /// A gauge that holds a unix timestamp this many seconds back.
    Age,
}

/// Why the table cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InputsError {
    /// The file cannot be read.
    #[error("{path}: {source}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file does not parse.
    #[error("{path}: {why}", path = .path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why, with line and column.
        why: String,
    },
    /// A series is not written as one.
    #[error("{path}: alerts.{alert}: `{series}`: {why}; write metric{{label=\"value\"}}", path = .path.display())]
    Series {
        /// The file.
        path: PathBuf,
        /// The alert it belongs to.
        alert: String,
        /// The series as written.
        series: String,
        /// What is wrong.
        why: String,
    },
}

impl AlertInputs {
    /// Reads and checks a table.
    pub fn load(path: &Path) -> Result<Self, InputsError> {
        let text = std::fs::read_to_string(path).map_err(|source| InputsError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(path, &text)
    }

    /// Parses and checks the text of a table; `path` is for messages.
    pub fn parse(path: &Path, text: &str) -> Result<Self, InputsError> {
        let inputs: Self = serde_saphyr::from_str(text).map_err(|error| InputsError::Parse {
            path: path.to_owned(),
            why: error.to_string(),
        })?;
        for (alert, input) in &inputs.alerts {
            for series in &input.series {
                series.labels().map_err(|why| InputsError::Series {
                    path: path.to_owned(),
                    alert: alert.clone(),
                    series: series.series.clone(),
                    why,
                })?;
            }
        }
        Ok(inputs)
    }
}

impl AlertInput {
    /// The longest range the expression looks back over, at least the lookback of instant selectors.
    #[must_use]
    pub fn window(&self) -> Duration {
        self.window.map_or(LOOKBACK, |window| window.0).max(LOOKBACK)
    }
}

impl InputSeries {
    /// Metric name and labels of the series; the error says what does not fit.
    pub fn labels(&self) -> Result<(String, IndexMap<String, String>), String> {
        let [selector] = super::expression::selectors(&self.series)?
            .try_into()
            .map_err(|_| "it is not one series".to_owned())?;
        let Selector {
            metric: Some(metric),
            matchers,
            ..
        } = selector
        else {
            return Err("it names no metric".to_owned());
        };
        let mut labels = IndexMap::new();
        for matcher in matchers {
            if matcher.operator != "=" {
                return Err(format!("label `{}` must be given with `=`", matcher.label));
            }
            labels.insert(matcher.label, matcher.value);
        }
        Ok((metric, labels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const TABLE: &str = r#"
alerts:
  Full:
    labels: {service: db}
    window: 10m
    series:
      - {series: 'used{job="db",mount="/"}', kind: gauge, healthy: 1, breach: ~}
  Watchdog:
    labels: {}
    always: true
    series: []
"#;

    #[test]
    fn a_table_reads() {
        let inputs = AlertInputs::parse(Path::new("inputs.yaml"), TABLE).unwrap();
        let full = &inputs.alerts["Full"];
        assert_eq!(full.window(), Duration::from_mins(10));
        assert_eq!(full.series[0].breach, None);
        let (metric, labels) = full.series[0].labels().unwrap();
        assert_eq!((metric.as_str(), labels["mount"].as_str()), ("used", "/"));
        assert_eq!(inputs.alerts["Watchdog"].window(), LOOKBACK);
    }

    #[rstest]
    #[case::unknown_field("alerts: {A: {labels: {}, serie: []}}", "serie")]
    #[case::no_series(
        "alerts: {A: {labels: {}, series: [{series: '1 + 1', kind: gauge}]}}",
        "not one series"
    )]
    #[case::matcher(
        "alerts: {A: {labels: {}, series: [{series: 'm{a=~\"b\"}', kind: gauge}]}}",
        "must be given with `=`"
    )]
    fn mistakes_are_named(#[case] text: &str, #[case] says: &str) {
        let error = AlertInputs::parse(Path::new("inputs.yaml"), text)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(says) && error.starts_with("inputs.yaml"),
            "{error}"
        );
    }
}
