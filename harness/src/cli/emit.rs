//! `conform emit`: the generators by themselves, against any endpoint.

use clap::{Args, Subcommand};

use super::{CliError, Shell, print};
use crate::emit::metrics::{MetricsOptions, run_until};
use crate::verdict::Exit;

mod logs;
mod traces;

#[derive(Debug, Subcommand)]
pub(super) enum EmitCommand {
    /// Metrics: by remote write, as a scrape target, or as a file for backfilling
    Metrics(MetricsArgs),
    /// Logs: as Elasticsearch bulk documents, to Loki, as OTLP, or as container log files
    Logs(logs::LogsArgs),
    /// Traces: over OTLP, of a seeded topology of services
    Traces(traces::TracesArgs),
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
    match command {
        EmitCommand::Metrics(args) => metrics(args, shell).await,
        EmitCommand::Logs(args) => logs::logs(args, shell).await,
        EmitCommand::Traces(args) => traces::traces(args, shell).await,
    }
}

async fn metrics(args: MetricsArgs, shell: &Shell) -> Result<Exit, CliError> {
    let report = run_until(args.options, shell.cancel.clone(), &shell.progress)
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
