//! `conform emit`: the generators by themselves, against any endpoint.

use clap::Subcommand;

use super::{CliError, Shell, print};
use crate::emit::metrics;
use crate::verdict::Exit;

#[derive(Debug, Subcommand)]
pub(super) enum EmitCommand {
    /// Metrics: remote write, a scrape target, or a file for backfilling
    Metrics(metrics::Options),
}

pub(super) async fn emit(command: EmitCommand, shell: &Shell) -> Result<Exit, CliError> {
    let EmitCommand::Metrics(options) = command;
    let json = options.json;
    let report = metrics::run(options, &shell.progress, &shell.cancel)
        .await
        .map_err(|error| CliError::Environment(error.to_string()))?;
    if json {
        let text = serde_json::to_string_pretty(&report).map_err(|error| CliError::Environment(error.to_string()))?;
        print(&text);
    } else {
        print(&report.to_string());
    }
    Ok(if report.clean() { Exit::Success } else { Exit::Failed })
}
