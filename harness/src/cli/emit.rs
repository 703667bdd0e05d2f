//! `conform emit`: the generators by themselves, against any endpoint.

use clap::{Args, Subcommand};

use super::{CliError, Shell, print};
use crate::emit::logs::{self, LogsOptions};
use crate::emit::metrics::{MetricsOptions, run_until};
use crate::verdict::Exit;

#[derive(Debug, Subcommand)]
pub(super) enum EmitCommand {
    /// Metrics: by remote write, as a scrape target, or as a file for backfilling
    Metrics(MetricsArgs),
    /// Logs: as Elasticsearch bulk documents, to Loki, as OTLP, or as container log files
    Logs(LogsArgs),
}

#[derive(Debug, Args)]
pub(super) struct MetricsArgs {
    #[command(flatten)]
    options: MetricsOptions,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct LogsArgs {
    #[command(flatten)]
    options: LogsOptions,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn emit(command: EmitCommand, shell: &Shell) -> Result<Exit, CliError> {
    match command {
        EmitCommand::Metrics(args) => metrics(args, shell).await,
        EmitCommand::Logs(args) => logs(args, shell).await,
    }
}

async fn logs(args: LogsArgs, shell: &Shell) -> Result<Exit, CliError> {
    let shapes = shell.project()?.shapes;
    let report = logs::run_until(args.options, shapes, shell.cancel.clone())
        .await
        .map_err(|error| CliError::Environment(error.to_string()))?;
    show(&report, &report, args.json)?;
    // What was not acknowledged is lost as far as the sender can tell.
    Ok(if report.complete() {
        Exit::Success
    } else {
        Exit::Failed
    })
}

/// Prints a report, as text or as JSON.
fn show(report: &impl serde::Serialize, text: &impl std::fmt::Display, json: bool) -> Result<(), CliError> {
    if json {
        let text =
            serde_json::to_string_pretty(report).map_err(|error| CliError::Environment(error.to_string()))?;
        print(&text);
    } else {
        print(&text.to_string());
    }
    Ok(())
}

async fn metrics(args: MetricsArgs, shell: &Shell) -> Result<Exit, CliError> {
    let report = run_until(args.options, shell.cancel.clone(), &shell.progress)
        .await
        .map_err(|error| CliError::Environment(error.to_string()))?;
    show(&report, &report, args.json)?;
    // What was not acknowledged is lost as far as the sender can tell.
    Ok(if report.refused == 0 && report.unanswered == 0 {
        Exit::Success
    } else {
        Exit::Failed
    })
}
