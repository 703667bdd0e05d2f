//! `conform mutate`: breaks the stack on purpose and says which case noticed.

use std::sync::Arc;

use clap::Args;

use super::{CliError, ImageArgs, ReportArgs, Shell, colour, print, say};
use crate::mutation::{Options, run};
use crate::report::MutantOutcome;
use crate::runner::plan::{Selection, select};
use crate::seed::Seed;
use crate::session::{acquired, indispensable, runs_folder, usual_side_by_side};
use crate::target::TargetName;
use crate::target::containers;
use crate::target::needs::Needs;
use crate::verdict::Exit;

#[derive(Debug, Args)]
pub(super) struct MutateArgs {
    /// A case (metrics/retention-time) or an area (metrics) whose mutants to run [default: all]
    #[arg(long = "case", value_name = "ID")]
    cases: Vec<String>,
    /// Only the cases of this profile [default: all]
    #[arg(long, value_name = "NAME", conflicts_with = "cases")]
    profile: Option<String>,
    /// A mutant to run, as `conform list --mutants` shows it [default: all]
    #[arg(long = "mutant", value_name = "ID")]
    mutants: Vec<String>,
    /// Where the stacks run; in a cluster mutants have it one after the other
    #[arg(long, value_enum, default_value = "local")]
    target: TargetName,
    /// Name of the stack whose cluster they run in
    #[arg(long, default_value = "default", value_name = "NAME")]
    name: String,
    #[command(flatten)]
    images: ImageArgs,
    #[command(flatten)]
    report: ReportArgs,
    /// Stacks side by side, at most; a cluster has one at a time [default: three a core]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
}

pub(super) async fn mutate(args: MutateArgs, shell: &Shell) -> Result<Exit, CliError> {
    if args.target == TargetName::Existing {
        return Err(CliError::Usage(
            "a stack that somebody else runs is not broken on purpose: mutate one of your own".to_owned(),
        ));
    }
    let project = shell.project()?;
    let cases = select(
        &shell.cases,
        &Selection {
            profile: args.profile,
            cases: args.cases,
        },
    )?;
    let needs = Needs::of(&cases);
    let named = args.images.checked(args.target)?;
    let target = (args.target, &named[..]);
    let (acquired, images) = acquired(&project, target, &needs, &shell.progress, &shell.cancel)
        .await
        .map_err(|error| CliError::Environment(error.to_string()))?;
    if let [first, ..] = &indispensable(&acquired)[..] {
        return Err(CliError::Environment(first.clone()));
    }
    let seed = args.report.seed.unwrap_or_else(Seed::fresh);
    let folder = runs_folder().join(format!("mutate-{seed}-{}", std::process::id()));
    let options = Options {
        seed,
        report: args.report.report.clone(),
        folder: folder.clone(),
        side_by_side: args.jobs.unwrap_or_else(|| usual_side_by_side(args.target)),
        mutants: args.mutants,
        cluster: (args.target == TargetName::Kind).then_some(args.name),
        images,
    };
    let report = Box::pin(run(
        &project,
        &cases,
        Arc::new(acquired),
        &options,
        &shell.progress,
        &shell.cancel,
    ))
    .await;
    if args.target == TargetName::Containers {
        containers::ended(&runs_folder()).await;
    }
    let _ = std::fs::remove_dir_all(&folder);
    print(&report.table(colour()));
    report
        .write(&args.report.report)
        .map_err(|error| CliError::Environment(error.to_string()))?;
    say(&format!(
        "report: {}",
        args.report.report.join("mutation.json").display()
    ));
    if shell.cancel.is_cancelled() {
        return Ok(Exit::Environment);
    }
    let survived = report
        .mutants
        .iter()
        .any(|mutant| mutant.outcome == MutantOutcome::Survived);
    Ok(match report.mutants.is_empty() {
        true => Exit::Partial,
        false if survived => Exit::Failed,
        false => Exit::Success,
    })
}
