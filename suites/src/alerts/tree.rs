//! What the alert cases read from the deploy tree and the fixtures.

use std::time::Duration;

use harness::case::{CaseError, Context};
use harness::deploy::{DeployError, DeployTree, Object};
use harness::judge::alerts::inputs::AlertInputs;
use harness::units::Span;

/// The interval the operator uses where the Prometheus object gives none (prometheus-operator v0.85,
/// fields `scrapeInterval` and `evaluationInterval`).
const DEFAULT_INTERVAL: Duration = Duration::from_secs(30);

/// The table of inputs.
pub(super) fn inputs(context: &Context) -> Result<AlertInputs, CaseError> {
    AlertInputs::load(&context.fixtures.join("alert-inputs.yaml"))
        .map_err(|error| CaseError::Environment(error.to_string()))
}

/// The declared default scrape interval.
pub(super) fn scrape_interval(tree: &DeployTree) -> Result<Duration, DeployError> {
    interval(tree, "scrapeInterval")
}

/// The declared default evaluation interval.
pub(super) fn evaluation_interval(tree: &DeployTree) -> Result<Duration, DeployError> {
    interval(tree, "evaluationInterval")
}

fn interval(tree: &DeployTree, field: &str) -> Result<Duration, DeployError> {
    let object = prometheus(tree)?;
    let text = object.text(&format!("/spec/{field}"));
    if text.is_empty() {
        return Ok(DEFAULT_INTERVAL);
    }
    text.parse::<Span>()
        .map(|span| span.0)
        .map_err(|error| DeployError::Field {
            path: object.file.clone(),
            line: object.line,
            object: object.id(),
            field: format!("spec.{field}"),
            why: error.to_string(),
        })
}

fn prometheus(tree: &DeployTree) -> Result<&Object, DeployError> {
    tree.of_kind("Prometheus")
        .next()
        .ok_or_else(|| DeployError::NoObject {
            root: tree.root().to_owned(),
            object: "Prometheus".to_owned(),
            purpose: "to know how often rules are evaluated".to_owned(),
        })
}
