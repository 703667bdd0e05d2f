//! `conform emit logs`.

use std::sync::Arc;

use clap::Args;

use super::super::{CliError, Shell};
use super::{CommonArgs, in_cluster};
use crate::emit::logs::options::{LogsOptions, run};
use crate::project::ProjectError;
use crate::shapes::Shapes;
use crate::verdict::Exit;

#[derive(Debug, Args)]
pub(in crate::cli) struct LogsArgs {
    #[command(flatten)]
    options: LogsOptions,
    #[command(flatten)]
    common: CommonArgs,
}

pub(super) async fn logs(args: LogsArgs, shell: &Shell) -> Result<Exit, CliError> {
    if let Some(stack) = &args.common.in_cluster {
        return in_cluster::emit(stack, &args.options, &args.common, shell).await;
    }
    // Nothing but the shapes is needed, so that a mistake elsewhere is no hindrance.
    let root = shell.places.root(&shell.built_from)?;
    let shapes = Shapes::load(&root.join("fixtures").join("shapes.yaml")).map_err(ProjectError::Shapes)?;
    let report = run(
        args.common.own(args.options),
        Arc::new(shapes),
        shell.cancel.clone(),
    )
    .await
    .map_err(|error| CliError::Environment(error.to_string()))?;
    args.common.print(&report)?;
    // What was not acknowledged is lost as far as the sender can tell.
    Ok(if report.complete() {
        Exit::Success
    } else {
        Exit::Failed
    })
}
