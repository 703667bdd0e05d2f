//! `conform run`: the main job.

use std::path::PathBuf;

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use url::Url;

use super::{CliError, ImageArgs, ReportArgs, SelectionArgs, Shell, colour, print, say};
use crate::case::Case;
use crate::seed::Seed;
use crate::session::{Options, Session, usual_side_by_side};
use crate::target::TargetName;
use crate::target::existing::{Existing, Urls};
use crate::target::needs::Needs;
use crate::verdict::Exit;

impl ValueEnum for TargetName {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Local, Self::Containers, Self::Kind, Self::Existing]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()).help(match self {
            Self::Local => "Real server binaries as child processes on loopback",
            Self::Containers => "The same with servers in containers of their images",
            Self::Kind => "A kind cluster of one node on this machine's container engine",
            Self::Existing => "A stack that somebody else runs, found by --context or by addresses",
        }))
    }
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
    /// Cases side by side, at most [default: three a core, two on kind]
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
    #[command(flatten)]
    images: ImageArgs,
    #[command(flatten)]
    existing: ExistingArgs,
}

/// Which stack, where somebody else runs it.
#[derive(Debug, Args)]
#[command(next_help_heading = "With --target existing")]
struct ExistingArgs {
    /// Context of the cluster that the stack runs in; the current one is never taken
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Kubeconfig that has the context [default: $KUBECONFIG, else ~/.kube/config]
    #[arg(long, value_name = "FILE", requires = "context")]
    kubeconfig: Option<PathBuf>,
    /// Address of Prometheus
    #[arg(long, value_name = "URL")]
    prometheus: Option<Url>,
    /// Address of Alertmanager
    #[arg(long, value_name = "URL")]
    alertmanager: Option<Url>,
    /// Address of Elasticsearch
    #[arg(long, value_name = "URL")]
    elasticsearch: Option<Url>,
    /// Address of Loki
    #[arg(long, value_name = "URL")]
    loki: Option<Url>,
    /// Runs cases that write to the stack, too
    #[arg(long)]
    allow_disruptive: bool,
}

impl ExistingArgs {
    /// Which stack it is; an error where the options and the target do not fit together.
    fn checked(self, target: TargetName) -> Result<Existing, CliError> {
        let existing = Existing {
            context: self.context,
            kubeconfig: self.kubeconfig,
            urls: Urls {
                prometheus: self.prometheus,
                alertmanager: self.alertmanager,
                elasticsearch: self.elasticsearch,
                loki: self.loki,
            },
            allow_disruptive: self.allow_disruptive,
        };
        if target != TargetName::Existing {
            return if existing == Existing::default() {
                Ok(existing)
            } else {
                Err(CliError::Usage(
                    "--context, addresses of servers and --allow-disruptive are about a stack that somebody else \
                     runs: give them with --target existing"
                        .to_owned(),
                ))
            };
        }
        let both = existing.urls.prometheus.is_some() && existing.urls.alertmanager.is_some();
        if existing.context.is_none() && !both {
            return Err(CliError::Usage(
                "--target existing does not say which stack: give --context, or at least --prometheus and \
                 --alertmanager"
                    .to_owned(),
            ));
        }
        Ok(existing)
    }
}

/// Says what will be done to a stack that somebody else runs before it is done.
fn announce(cases: &[Case], existing: &Existing, shell: &Shell) {
    let disturbing: Vec<&Case> = cases.iter().filter(|case| case.disturbs.is_some()).collect();
    if existing.allow_disruptive {
        for case in disturbing {
            let what = case.disturbs.unwrap_or_default();
            shell.progress.step("existing", format!("{} {what}", case.id));
        }
    } else {
        shell.progress.step(
            "existing",
            format!(
                "the stack is only asked; {} cases that write to it are left out (--allow-disruptive)",
                disturbing.len()
            ),
        );
    }
}

pub(super) async fn run(args: RunArgs, shell: &Shell) -> Result<Exit, CliError> {
    let project = shell.project()?;
    let cases = args.selection.select(&shell.cases)?;
    let existing = args.existing.checked(args.target)?;
    let images = args.images.checked(args.target)?;
    if args.target == TargetName::Existing {
        announce(&cases, &existing, shell);
    }
    let seed = args.report.seed.unwrap_or_else(Seed::fresh);
    shell
        .progress
        .step("run", format!("{} cases, seed {seed}", cases.len()));
    let options = Options {
        seed,
        target: args.target,
        existing,
        images,
        report: args.report.report.clone(),
        side_by_side: args.jobs.unwrap_or_else(|| usual_side_by_side(args.target)),
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
    let (report, written) = Box::pin(session.close(outcomes)).await;
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
