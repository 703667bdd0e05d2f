//! `conform emit`: the generators by themselves, against any endpoint.

use clap::{Args, Subcommand};

use super::{CliError, Shell, print};
use crate::emit::metrics::{MetricsOptions, run_until};
use crate::verdict::Exit;

#[derive(Debug, Subcommand)]
pub(super) enum EmitCommand {
    /// Metrics: by remote write, as a scrape target, or as a file for backfilling
    Metrics(MetricsArgs),
}

#[derive(Debug, Args)]
pub(super) struct MetricsArgs {
    #[command(flatten)]
    options: MetricsOptions,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn emit(command: EmitCommand, shell: &Shell) -> Result<Exit, CliError> {
    let EmitCommand::Metrics(args) = command;
    let report = run_until(args.options, shell.cancel.clone())
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
