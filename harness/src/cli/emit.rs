//! `conform emit`: the generators by themselves, against any endpoint, from here or from pods of a cluster.

use std::fmt::Display;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{CliError, Shell, print};
use crate::emit::elsewhere::{Elsewhere, Share};
use crate::emit::metrics::{MetricsOptions, run_until};
use crate::verdict::Exit;

mod in_cluster;
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
    #[command(flatten)]
    common: CommonArgs,
}

/// What all generators have.
#[derive(Debug, Clone, Args)]
struct CommonArgs {
    /// Prints JSON
    #[arg(long)]
    json: bool,
    /// Emit from pods in the kind cluster of this stack; addresses are those in the cluster
    #[arg(long, value_name = "STACK", value_parser = super::warm::stack_name)]
    in_cluster: Option<String>,
    /// Pods that share the load
    #[arg(long, value_name = "COUNT", default_value_t = 1, requires = "in_cluster", value_parser = clap::value_parser!(u16).range(1..=64))]
    pods: u16,
    /// Which of several generators this is, and how many there are; what pods are started with
    #[arg(
        long,
        hide = true,
        value_name = "N/COUNT",
        requires = "seed",
        conflicts_with = "in_cluster"
    )]
    share: Option<Share>,
}

impl CommonArgs {
    /// The options of this generator alone.
    fn own<E: Elsewhere>(&self, options: E) -> E {
        match (self.share, options.seed()) {
            (Some(share), Some(seed)) => options.shared(share, seed),
            _ => options,
        }
    }

    /// Prints a report in the form that was asked for.
    fn print(&self, report: &(impl Serialize + Display)) -> Result<(), CliError> {
        let text = match (self.json, self.share) {
            (false, _) => Ok(report.to_string()),
            // In one line, so that it is found among others in a log.
            (true, Some(_)) => serde_json::to_string(report),
            (true, None) => serde_json::to_string_pretty(report),
        };
        print(&text.map_err(|error| CliError::Environment(error.to_string()))?);
        Ok(())
    }
}

pub(super) async fn emit(command: EmitCommand, shell: &Shell) -> Result<Exit, CliError> {
    match command {
        EmitCommand::Metrics(args) => metrics(args, shell).await,
        EmitCommand::Logs(args) => logs::logs(args, shell).await,
        EmitCommand::Traces(args) => traces::traces(args, shell).await,
    }
}

async fn metrics(args: MetricsArgs, shell: &Shell) -> Result<Exit, CliError> {
    if let Some(stack) = &args.common.in_cluster {
        return in_cluster::emit(stack, &args.options, &args.common, shell).await;
    }
    let options = args.common.own(args.options);
    let report = run_until(options, shell.cancel.clone(), &shell.progress)
        .await
        .map_err(|error| CliError::Environment(error.to_string()))?;
    args.common.print(&report)?;
    // What was not acknowledged is lost as far as the sender can tell.
    Ok(if report.refused == 0 && report.unanswered == 0 {
        Exit::Success
    } else {
        Exit::Failed
    })
}
