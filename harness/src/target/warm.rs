//! stub
use crate::{deploy::DeployTree, progress::Progress, stack::Stack};
use std::path::Path;
use std::sync::Arc;
/// x
#[allow(missing_debug_implementations)]
pub struct Attached {
    /// x
    pub stack: Stack,
    /// x
    pub died: crate::runner::Died,
}
/// x
pub fn sweep(_: &Path) {}
/// x
pub async fn attach(_: &str, _: &Arc<DeployTree>, _: &Path, _: &Path, _: &Progress) -> Option<Attached> {
    None
}
