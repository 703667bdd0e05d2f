//! `conform run`: the main job.

use clap::{Args, ValueEnum};

use super::{CliError, ReportArgs, SelectionArgs, Shell, colour, print, say};
use crate::seed::Seed;
use crate::session::{Options, Session, usual_side_by_side};
use crate::target::needs::Needs;
use crate::verdict::Exit;

/// Where the stack runs.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum TargetName {
    /// Real server binaries as child processes on loopback
    Local,
    /// A kind cluster of one node on this machine's container engine
    Kind,
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    report: ReportArgs,
    /// Where the stack runs
    #[arg(long, value_enum, default_value = "local")]
    target: TargetName,
    /// Cases side by side, at most [default: three a core]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Name of the warm stack to use when it runs and fits
    #[arg(
        long,
        default_value = "default",
        value_name = "NAME",
        conflicts_with = "fresh"
    )]
    name: String,
    /// Brings an own stack up even when a warm one would fit
    #[arg(long)]
    fresh: bool,
}

pub(super) async fn run(args: RunArgs, shell: &Shell) -> Result<Exit, CliError> {
    if let TargetName::Kind = args.target {
        return Err(CliError::Environment(
            "cases do not run on a cluster yet: `conform up --target kind` makes one".to_owned(),
        ));
    }
    let project = shell.project()?;
    let cases = args.selection.select(&shell.cases)?;
    let seed = args.report.seed.unwrap_or_else(Seed::fresh);
    shell
        .progress
        .step("run", format!("{} cases, seed {seed}", cases.len()));
    let options = Options {
        seed,
        report: args.report.report.clone(),
        side_by_side: args.jobs.unwrap_or_else(usual_side_by_side),
        warm: (!args.fresh).then_some(args.name),
        profile_cases: args.selection.profile_cases(&shell.cases),
        profile: args.selection.profile,
        needs: Needs::of(&cases),
    };
    let session = Box::pin(Session::open(
        project,
        options,
        shell.progress.clone(),
        shell.cancel.clone(),
    ))
    .await;
    let outcomes = session.run_all(&cases).await;
    let (report, written) = session.close(outcomes).await;
    print(&report.table(colour()));
    match written {
        Ok(()) => say(&format!(
            "report: {}",
            args.report.report.join("index.html").display()
        )),
        Err(error) => {
            say(&format!("conform: {error}"));
            return Ok(Exit::Environment);
        }
    }
    Ok(Exit::of(
        report.cases.iter().map(|case| (case.level, case.verdict)),
    ))
}
