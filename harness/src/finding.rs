//! What a case found: declared, effective and observed, each against a bound.
//!
//! A case does not stop at the first difference; it collects findings, and the
//! worst of them is its verdict.

use std::fmt::Display;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::drawing::Drawing;
use crate::verdict::Verdict;

/// One thing looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// What was looked at, as a short phrase.
    pub what: String,
    /// What the deploy tree says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared: Option<String>,
    /// What the running server says it is configured to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective: Option<String>,
    /// What the server was seen to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<String>,
    /// What it was held against.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<String>,
    /// Unit of the values, where they are numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// What this finding came to.
    pub verdict: Verdict,
    /// Why, where the verdict is not pass: the cause first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Finding {
    /// Starts a finding about `what`; it passes until judged otherwise.
    #[must_use]
    pub fn of(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            declared: None,
            effective: None,
            observed: None,
            bound: None,
            unit: None,
            verdict: Verdict::Pass,
            reason: None,
        }
    }

    /// Adds what the deploy tree says.
    #[must_use]
    pub fn declared(mut self, value: impl Display) -> Self {
        self.declared = Some(value.to_string());
        self
    }

    /// Adds what the running server says.
    #[must_use]
    pub fn effective(mut self, value: impl Display) -> Self {
        self.effective = Some(value.to_string());
        self
    }

    /// Adds what the server was seen to do.
    #[must_use]
    pub fn observed(mut self, value: impl Display) -> Self {
        self.observed = Some(value.to_string());
        self
    }

    /// Adds what the values are held against.
    #[must_use]
    pub fn bound(mut self, value: impl Display) -> Self {
        self.bound = Some(value.to_string());
        self
    }

    /// Adds the unit of the values.
    #[must_use]
    pub fn unit(mut self, unit: impl Into<String>) -> Self {
        self.unit = Some(unit.into());
        self
    }

    /// Passes when `holds`, fails with `reason` otherwise.
    #[must_use]
    pub fn judge(self, holds: bool, reason: impl FnOnce() -> String) -> Self {
        if holds {
            self
        } else {
            self.verdict(Verdict::Fail, reason())
        }
    }

    /// Sets the verdict and its reason outright.
    #[must_use]
    pub fn verdict(mut self, verdict: Verdict, reason: impl Into<String>) -> Self {
        self.verdict = verdict;
        self.reason = Some(reason.into());
        self
    }
}

/// Everything a case found, with the drawings that show it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Findings {
    /// The findings, in the order they were made.
    pub findings: Vec<Finding>,
    /// What a person would rather look at.
    pub drawings: Vec<Drawing>,
    /// Numbers worth holding against a stated bound across runs, by name.
    pub figures: Vec<Figure>,
}

/// A measured number with the bound it should stay inside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// What was measured.
    pub what: String,
    /// The measured value.
    pub value: f64,
    /// The most it should be (or the least, see `at_least`).
    pub bound: f64,
    /// True when the bound is a lower one.
    #[serde(default)]
    pub at_least: bool,
    /// Unit of value and bound.
    pub unit: String,
}

impl Figure {
    /// Whether the value is inside its bound.
    #[must_use]
    pub fn holds(&self) -> bool {
        if self.at_least {
            self.value >= self.bound
        } else {
            self.value <= self.bound
        }
    }
}

impl Findings {
    /// No findings yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a finding.
    pub fn push(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Adds a drawing.
    pub fn draw(&mut self, drawing: Drawing) {
        self.drawings.push(drawing);
    }

    /// The worst verdict among the findings.
    ///
    /// No finding at all is `insufficient`: a case that looked at nothing has
    /// shown nothing.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.findings
            .iter()
            .map(|f| f.verdict)
            .reduce(Verdict::worse)
            .unwrap_or(Verdict::Insufficient)
    }

    /// The reason of the first finding that has the worst verdict.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        let worst = self.verdict();
        if self.findings.is_empty() {
            return Some("the case made no finding".to_owned());
        }
        if worst == Verdict::Pass {
            return None;
        }
        self.findings.iter().find(|f| f.verdict == worst).map(|f| {
            f.reason
                .as_ref()
                .map_or_else(|| f.what.clone(), |r| format!("{}: {r}", f.what))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_finding_is_not_a_pass() {
        assert_eq!(Findings::new().verdict(), Verdict::Insufficient);
        assert!(Findings::new().reason().is_some());
    }

    #[test]
    fn the_worst_finding_is_the_verdict_and_gives_the_reason() {
        let mut findings = Findings::new();
        findings.push(
            Finding::of("first").judge(true, || unreachable!("a finding that holds asks for no reason")),
        );
        findings.push(
            Finding::of("retention")
                .declared("60d")
                .bound("30d")
                .judge(false, || "60d is not 30d".into()),
        );
        findings.push(Finding::of("size").verdict(Verdict::Insufficient, "too few blocks"));
        assert_eq!(findings.verdict(), Verdict::Fail);
        assert_eq!(findings.reason().as_deref(), Some("retention: 60d is not 30d"));
    }
}
