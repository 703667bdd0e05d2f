//! The command line of `conform`: one file a command, and how a process ends.
//!
//! Commands print results to standard output and what is going on to standard
//! error. Exit codes are those of [`Exit`].

mod check;
mod coverage;
mod doctor;
mod emit;
mod kind;
mod list;
mod mutate;
mod run;
mod schema;
mod warm;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tokio_util::sync::CancellationToken;

use crate::case::Case;
use crate::catalog::{Acquisition, cache_folder};
use crate::progress::{self, Progress};
use crate::project::{Places, Project, ProjectError};
use crate::runner::plan::{PlanError, Selection, select};
use crate::seed::Seed;
use crate::target::TargetName;
use crate::verdict::Exit;

/// Proves that the monitoring stack keeps its promises.
#[derive(Debug, Parser)]
#[command(name = "conform", version, max_term_width = 100, after_help = EXITS)]
struct Cli {
    #[command(flatten)]
    places: Places,
    #[command(subcommand)]
    command: Command,
}

const EXITS: &str = "Exit codes: 0 every MUST passed; 1 something failed; 2 partial or too little data; \
3 the machine or the set-up failed; 64 usage.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Brings the stack up, runs the cases and writes the report
    Run(Box<run::RunArgs>),
    /// Brings a stack up and keeps it warm for later runs
    Up(warm::UpArgs),
    /// Takes a warm stack or a stack's cluster down, or everything that is left of any
    Down(warm::DownArgs),
    /// Says which warm stacks and clusters run
    Status(warm::StatusArgs),
    /// Breaks the stack on purpose, mutant by mutant, and says which case noticed
    Mutate(mutate::MutateArgs),
    /// Lists what is there, what is missing, why, and how to get it
    Doctor(doctor::DoctorArgs),
    /// Obtains the servers' binaries without running anything
    Acquire(doctor::AcquireArgs),
    /// Lists the cases
    List(list::ListArgs),
    /// Lists the promises and the cases that check them
    Coverage,
    /// Checks contract, catalog, shapes and deploy tree without running anything
    Check,
    /// Emits synthetic telemetry against any endpoint
    #[command(subcommand)]
    Emit(Box<emit::EmitCommand>),
    /// Prints or rewrites the JSON schemas of contract and reports
    Schema(schema::SchemaArgs),
    /// Keeps a warm stack; what `up` starts in the background
    #[command(hide = true)]
    Keep(warm::KeepArgs),
}

/// Which cases a command takes.
#[derive(Debug, Clone, Args)]
struct SelectionArgs {
    /// A case (metrics/retention-time) or an area (metrics); can be given several times
    #[arg(long = "case", value_name = "ID")]
    cases: Vec<String>,
    /// The profile to run
    #[arg(long, default_value = "core", value_name = "NAME")]
    profile: String,
}

impl SelectionArgs {
    fn select(&self, cases: &[Case]) -> Result<Vec<Case>, PlanError> {
        select(
            cases,
            &Selection {
                profile: Some(self.profile.clone()),
                cases: self.cases.clone(),
            },
        )
    }

    /// How many cases the profile has.
    fn profile_cases(&self, cases: &[Case]) -> usize {
        cases
            .iter()
            .filter(|case| case.profiles.contains(&self.profile.as_str()))
            .count()
    }
}

/// Where a run's results go, and its seed.
#[derive(Debug, Clone, Args)]
struct ReportArgs {
    /// Folder of the report
    #[arg(long, default_value = "conform-report", value_name = "FOLDER")]
    report: PathBuf,
    /// Seed of everything random, as a report shows it [default: a fresh one]
    #[arg(long, value_name = "HEX")]
    seed: Option<Seed>,
}

/// Which images, where servers run in containers.
#[derive(Debug, Args)]
#[command(next_help_heading = "With --target containers")]
struct ImageArgs {
    /// Image of a server in place of the tree's, with its tag; once for each server
    #[arg(long = "image", value_name = "IMAGE")]
    images: Vec<String>,
}

impl ImageArgs {
    /// The images; an error where nothing runs in containers.
    fn checked(self, target: TargetName) -> Result<Vec<String>, CliError> {
        if target != TargetName::Containers && !self.images.is_empty() {
            return Err(CliError::Usage(
                "--image says what a server's container is made of: give it with --target containers"
                    .to_owned(),
            ));
        }
        Ok(self.images)
    }
}

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
enum CliError {
    /// Bad input.
    #[error(transparent)]
    Project(#[from] ProjectError),
    /// Nothing selected.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Options that do not go together.
    #[error("{0}")]
    Usage(String),
    /// Anything of the machine or the set-up.
    #[error("{0}")]
    Environment(String),
}

impl CliError {
    fn exit(&self) -> Exit {
        match self {
            Self::Plan(_) | Self::Usage(_) => Exit::Usage,
            Self::Project(_) | Self::Environment(_) => Exit::Environment,
        }
    }
}

/// What commands share.
struct Shell {
    places: Places,
    built_from: PathBuf,
    cases: Vec<Case>,
    progress: Progress,
    cancel: CancellationToken,
}

impl Shell {
    fn project(&self) -> Result<Project, CliError> {
        Ok(Project::load(&self.places, &self.built_from)?)
    }

    /// The executables of these components, as the catalog has them.
    async fn acquire(&self, project: &Project, components: &[&str]) -> Acquisition {
        project
            .catalog
            .acquire(components, &cache_folder(), &self.progress, &self.cancel)
            .await
    }
}

/// The whole of `conform`, given the cases; `built_from` is the folder whose
/// fixtures/ and deploy/ serve when the current folder has none.
#[must_use]
pub fn main(cases: Vec<Case>, built_from: PathBuf) -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            let exit = if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Success
            };
            return ExitCode::from(exit.code());
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            say(&format!("conform: threads cannot be started: {error}"));
            return ExitCode::from(Exit::Environment.code());
        }
    };
    let exit = runtime.block_on(async {
        let shell = Shell {
            places: cli.places,
            built_from,
            cases,
            progress: Progress::new(progress::terminal()),
            cancel: interrupted(),
        };
        match dispatch(cli.command, &shell).await {
            Ok(exit) => exit,
            Err(error) => {
                say(&format!("conform: {error}"));
                error.exit()
            }
        }
    });
    ExitCode::from(exit.code())
}

async fn dispatch(command: Command, shell: &Shell) -> Result<Exit, CliError> {
    match command {
        Command::Run(args) => Box::pin(run::run(*args, shell)).await,
        Command::Up(args) => warm::up(args, shell).await,
        Command::Down(args) => warm::down(&args).await,
        Command::Status(args) => warm::status(&args).await,
        Command::Keep(args) => warm::keep(args, shell).await,
        Command::Mutate(args) => Box::pin(mutate::mutate(args, shell)).await,
        Command::Doctor(args) => doctor::doctor(&args, shell).await,
        Command::Acquire(args) => doctor::acquire(&args, shell).await,
        Command::List(args) => Ok(list::list(&args, shell)),
        Command::Coverage => coverage::coverage(shell),
        Command::Check => check::check(shell),
        Command::Emit(command) => emit::emit(*command, shell).await,
        Command::Schema(args) => schema::schema(&args, shell),
    }
}

/// A token that Ctrl-C or SIGTERM cancels; a second one ends the process at once (children die with it).
fn interrupted() -> CancellationToken {
    use tokio::signal::unix::{SignalKind, signal};
    let cancel = CancellationToken::new();
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        let Ok(mut signals) = signal(kind) else { continue };
        let cancel = cancel.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                if cancel.is_cancelled() {
                    std::process::exit(i32::from(Exit::Environment.code()));
                }
                say("conform: interrupted; cleaning up (once more to end at once)");
                cancel.cancel();
            }
        });
    }
    cancel
}

/// A line on standard error; a closed one is nobody's loss.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Text on standard output; a closed pipe ends quietly.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    if !text.ends_with('\n') {
        let _ = out.write_all(b"\n");
    }
}

/// Whether standard output takes colours.
fn colour() -> bool {
    use std::io::IsTerminal;
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}
