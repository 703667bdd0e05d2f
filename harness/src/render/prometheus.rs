//! Prometheus: scrape configuration, rule files and arguments.

use super::{PrometheusRequest, RenderError, Rendered, ResolvedTarget};
use crate::deploy::DeployTree;
use crate::shapes::Shapes;

/// Renders a Prometheus of the tree's Prometheus object.
pub fn render(
    tree: &DeployTree,
    shapes: &Shapes,
    request: &PrometheusRequest<'_>,
) -> Result<Rendered, RenderError> {
    let _ = (tree, shapes, request);
    todo!()
}

/// Which monitor scrapes which endpoint how often, as declared.
pub fn targets(tree: &DeployTree, shapes: &Shapes) -> Result<Vec<ResolvedTarget>, RenderError> {
    let _ = (tree, shapes);
    todo!()
}
