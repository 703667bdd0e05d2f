//! `conform emit traces`.

use clap::Args;

use super::super::{CliError, Shell, print};
use crate::emit::traces::options::{TracesOptions, run};
use crate::project::ProjectError;
use crate::shapes::Shapes;
use crate::verdict::Exit;

#[derive(Debug, Args)]
pub(in crate::cli) struct TracesArgs {
    #[command(flatten)]
    options: TracesOptions,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn traces(args: TracesArgs, shell: &Shell) -> Result<Exit, CliError> {
    // Nothing but the shapes is needed, so that a mistake elsewhere is no hindrance.
    let root = shell.places.root(&shell.built_from)?;
    let shapes = Shapes::load(&root.join("fixtures").join("shapes.yaml")).map_err(ProjectError::Shapes)?;
    let report = run(args.options, &shapes, shell.cancel.clone())
        .await
        .map_err(|error| CliError::Environment(error.to_string()))?;
    if args.json {
        let text = serde_json::to_string_pretty(&report)
            .map_err(|error| CliError::Environment(error.to_string()))?;
        print(&text);
    } else {
        print(&report.to_string());
    }
    // What was not acknowledged is lost as far as the sender can tell.
    Ok(if report.refused == 0 && report.unanswered == 0 {
        Exit::Success
    } else {
        Exit::Failed
    })
}
