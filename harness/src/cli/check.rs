//! `conform check`: everything a run starts from, read and rendered without running anything.

use super::{CliError, Shell, print};
use crate::render::prometheus::targets;
use crate::verdict::Exit;

pub(super) fn check(shell: &Shell) -> Result<Exit, CliError> {
    let project = shell.project()?;
    let environment = |error: &dyn std::fmt::Display| CliError::Environment(error.to_string());
    let groups = project.tree.rule_groups().map_err(|error| environment(&error))?;
    let targets = targets(&project.tree, &project.shapes).map_err(|error| environment(&error))?;
    print(&format!(
        "contract: {} promises\ndeploy tree: {} objects, {} rules in {} groups, fingerprint {}\n\
         scrape targets: {} endpoints of {} services that are played\n",
        project.contract.promises.len(),
        project.tree.objects().len(),
        groups.iter().map(|group| group.rules.len()).sum::<usize>(),
        groups.len(),
        project.tree.fingerprint(),
        targets.iter().map(|target| target.instances).sum::<usize>(),
        project.shapes.services.len(),
    ));
    Ok(Exit::Success)
}
