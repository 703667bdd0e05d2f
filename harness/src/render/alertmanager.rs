//! Alertmanager: its file out of the tree's Secret, and its arguments.

use super::{AlertmanagerRequest, RenderError, Rendered};
use crate::deploy::DeployTree;

/// Renders an Alertmanager of the tree's Alertmanager object.
pub fn render(tree: &DeployTree, request: &AlertmanagerRequest) -> Result<Rendered, RenderError> {
    let _ = (tree, request);
    todo!()
}
