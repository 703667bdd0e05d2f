//! `conform up`, `down` and `status`: stacks that stay warm between runs.
//!
//! `up` starts this program again as the stack's keeper (the hidden command `keep`), which outlives
//! it, and waits until the keeper says that the stack is up.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::{CliError, Shell, kind, print};
use crate::clock;
use crate::files;
use crate::project::Places;
use crate::runner::plan::{Selection, select};
use crate::seed::Seed;
use crate::session::{indispensable, runs_folder, unavailable};
use crate::target::TargetName;
use crate::target::UpRequest;
use crate::target::containers::{self, Images};
use crate::target::needs::Needs;
use crate::target::warm::{self, Down, Status, WarmError, WarmStack};
use crate::units::format_duration;
use crate::verdict::Exit;

/// Longest a keeper may take from its start until its stack is up; the servers are obtained before.
const UP_BOUND: Duration = Duration::from_secs(180);

#[derive(Debug, Args)]
pub(super) struct UpArgs {
    #[command(flatten)]
    name: NameArgs,
    /// Where the stack runs
    #[arg(long, value_enum, default_value = "local")]
    target: TargetName,
    /// Seed of what is played, and of passwords in a cluster [default: a fresh one]
    #[arg(long, value_name = "HEX")]
    seed: Option<Seed>,
    /// Makes the kind cluster alone, without the stack in it
    #[arg(long)]
    bare: bool,
    #[command(flatten)]
    part: PartArgs,
}

/// What of the stack comes up.
#[derive(Debug, Args)]
pub(super) struct PartArgs {
    /// A case or an area that the stack is for: servers that it does not need stay away [default: the whole stack]
    #[arg(long = "case", value_name = "ID")]
    cases: Vec<String>,
}

impl PartArgs {
    fn needs(&self, shell: &Shell) -> Result<Needs, CliError> {
        if self.cases.is_empty() {
            return Ok(Needs::everything());
        }
        let selection = Selection {
            profile: None,
            cases: self.cases.clone(),
        };
        Ok(Needs::of(&select(&shell.cases, &selection)?))
    }
}

#[derive(Debug, Args)]
pub(super) struct NameArgs {
    /// Name of the warm stack
    #[arg(long, default_value = "default", value_name = "NAME", value_parser = stack_name)]
    name: String,
}

#[derive(Debug, Args)]
pub(super) struct DownArgs {
    #[command(flatten)]
    name: NameArgs,
    /// Takes every warm stack and every cluster of ours down, and removes what killed runs left
    #[arg(long, conflicts_with = "name")]
    all: bool,
}

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Name of the warm stack [default: all]
    #[arg(long, value_name = "NAME", value_parser = stack_name)]
    name: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct KeepArgs {
    #[command(flatten)]
    name: NameArgs,
    #[arg(long)]
    seed: Seed,
    #[command(flatten)]
    part: PartArgs,
}

/// A name that can be part of a file's name.
pub(super) fn stack_name(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !text.is_empty() && text.len() <= 40 && text.chars().all(fits) {
        Ok(text.to_owned())
    } else {
        Err("use up to 40 lower-case letters, digits and dashes".to_owned())
    }
}

fn environment(error: impl std::fmt::Display) -> CliError {
    CliError::Environment(error.to_string())
}

pub(super) async fn up(args: UpArgs, shell: &Shell) -> Result<Exit, CliError> {
    match args.target {
        TargetName::Local if args.bare => Err(CliError::Usage(
            "--bare is about a kind cluster: give it with --target kind".to_owned(),
        )),
        TargetName::Local => up_local(args, shell).await,
        TargetName::Containers => Err(CliError::Usage(
            "containers go with their run: `conform run --target containers` starts them".to_owned(),
        )),
        TargetName::Existing => Err(CliError::Usage(
            "a stack that somebody else runs is up: `conform run --target existing` asks it".to_owned(),
        )),
        TargetName::Kind => {
            let seed = args.seed.unwrap_or_else(Seed::fresh);
            kind::up(args.name.name, args.bare, seed, shell).await
        }
    }
}

async fn up_local(args: UpArgs, shell: &Shell) -> Result<Exit, CliError> {
    // Bad input and missing servers are said here, not in a log of a process in the background.
    let project = shell.project()?;
    let needs = args.part.needs(shell)?;
    let acquired = shell.acquire(&project, &needs.components()).await;
    if let [first, ..] = &indispensable(&acquired)[..] {
        return Err(environment(first));
    }
    for missing in unavailable(&acquired) {
        shell.progress.step("stack", format!("goes without {missing}"));
    }
    let name = args.name.name;
    let state = warm::state_file(&runs_folder(), &name);
    match warm::status(&state).map_err(environment)? {
        Status::Up { pid, .. } | Status::Starting { pid } => {
            return Err(environment(WarmError::Running { pid, path: state }));
        }
        // What an earlier keeper came to must not be taken for what this one does.
        Status::Failed(_) | Status::Dead { .. } => {
            warm::down(&state).await.map_err(environment)?;
        }
        Status::Absent => {}
    }
    std::fs::create_dir_all(runs_folder())
        .map_err(|error| environment(files::words(&error, "making the folder", &runs_folder())))?;
    let mut keeper = Command::new(std::env::current_exe().map_err(environment)?);
    keeper.args(place_arguments(&shell.places, &project.root));
    keeper.args([
        "keep",
        "--name",
        &name,
        "--seed",
        &args.seed.unwrap_or_else(Seed::fresh).to_string(),
    ]);
    for case in &args.part.cases {
        keeper.args(["--case", case]);
    }
    let log = kept_folder(&name).join("keeper.log");
    let pid = warm::start_keeper(keeper, &log).map_err(environment)?;
    shell.progress.step(
        "stack",
        format!("keeper {pid} brings it up, log: {}", log.display()),
    );
    let stack = warm::wait_up(&state, pid, UP_BOUND).await.map_err(environment)?;
    shell.progress.done(
        "stack",
        format!("up in {}", format_duration(seconds(stack.up_seconds))),
    );
    print(&describe(&name, pid, &stack));
    Ok(Exit::Success)
}

/// The places as arguments, absolute, since the keeper may outlive the current folder.
fn place_arguments(places: &Places, root: &std::path::Path) -> Vec<std::ffi::OsString> {
    let mut arguments = vec!["--root".into(), absolute(root).into()];
    let given = [
        ("--contract", &places.contract),
        ("--deploy", &places.deploy),
        ("--catalog", &places.catalog),
    ];
    for (flag, place) in given {
        if let Some(place) = place {
            arguments.extend([flag.into(), absolute(place).into()]);
        }
    }
    arguments
}

fn absolute(path: &std::path::Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Where a keeper leaves its log and its servers' configurations and logs, until it is taken down.
fn kept_folder(name: &str) -> PathBuf {
    runs_folder().join(format!("{name}.warm"))
}

pub(super) async fn keep(args: KeepArgs, shell: &Shell) -> Result<Exit, CliError> {
    let project = shell.project()?;
    let needs = args.part.needs(shell)?;
    let acquired = shell.acquire(&project, &needs.components()).await;
    let runs = runs_folder();
    let name = args.name.name;
    warm::keep(
        UpRequest {
            tree: project.tree,
            shapes: project.shapes,
            acquired: Arc::new(acquired),
            images: Images::default(),
            needs,
            drifts: Vec::new(),
            seed: args.seed,
            folder: runs.join(format!("warm-{name}-{}", std::process::id())),
            artifacts: kept_folder(&name).join("artifacts"),
            cancel: shell.cancel.clone(),
            progress: shell.progress.clone(),
        },
        &warm::state_file(&runs, &name),
    )
    .await
    .map_err(environment)?;
    Ok(Exit::Success)
}

pub(super) async fn down(args: &DownArgs) -> Result<Exit, CliError> {
    if !args.all {
        let (local, cluster) = (
            down_local(&args.name.name).await?,
            kind::down(&args.name.name).await?,
        );
        if let Some(cluster) = &cluster {
            print(&format!("cluster {cluster}: removed"));
        }
        if local != Down::Absent || cluster.is_none() {
            print(told(local));
        }
        return Ok(Exit::Success);
    }
    // One that cannot be taken down keeps none of the others.
    let (local, contained, clusters) = (
        down_every_local().await,
        down_containers().await,
        kind::down_all().await,
    );
    local.and(contained).and(clusters)
}

async fn down_containers() -> Result<Exit, CliError> {
    for image in containers::sweep(&runs_folder()).await.map_err(environment)? {
        print(&format!("a container of {image}: removed, its run was killed"));
    }
    Ok(Exit::Success)
}

async fn down_every_local() -> Result<Exit, CliError> {
    let runs = runs_folder();
    for name in warm::names(&runs).map_err(environment)? {
        print(&format!("{name}: {}", told(down_local(&name).await?)));
    }
    for left in warm::sweep(&runs).map_err(environment)? {
        print(&format!("{}: removed, its run was killed", left.display()));
    }
    Ok(Exit::Success)
}

async fn down_local(name: &str) -> Result<Down, CliError> {
    let state = warm::state_file(&runs_folder(), name);
    let down = warm::down(&state).await.map_err(environment)?;
    if down != Down::Absent {
        // Logs of a stack that nobody wants any more; a folder that cannot be removed harms nobody.
        let _ = std::fs::remove_dir_all(kept_folder(name));
    }
    Ok(down)
}

fn told(down: Down) -> &'static str {
    match down {
        Down::Absent => "no warm stack of that name runs",
        Down::Stopped => "taken down",
        Down::Swept => "its keeper had ended before; what it left is removed",
    }
}

pub(super) async fn status(args: &StatusArgs) -> Result<Exit, CliError> {
    let runs = runs_folder();
    let names = match &args.name {
        Some(name) => vec![name.clone()],
        None => warm::names(&runs).map_err(environment)?,
    };
    let (clusters, mut exit) = kind::status(args.name.as_deref()).await?;
    if names.is_empty() && !clusters {
        print("no warm stack runs; `conform up` starts one");
    }
    for name in names {
        match warm::status(&warm::state_file(&runs, &name)).map_err(environment)? {
            Status::Absent if clusters => {}
            Status::Absent => print(&format!(
                "{name}: does not run; `conform up --name {name}` starts it"
            )),
            Status::Starting { pid } => print(&format!("{name}: keeper {pid} is starting it")),
            Status::Up { pid, stack } => print(&describe(&name, pid, &stack)),
            Status::Failed(why) => {
                exit = Exit::Environment;
                print(&format!("{name}: failed: {why}"));
            }
            Status::Dead { pid } => {
                exit = Exit::Environment;
                print(&format!(
                    "{name}: its keeper {pid} was killed; `conform down --name {name}` clears it"
                ));
            }
        }
    }
    Ok(exit)
}

fn describe(name: &str, pid: u32, stack: &WarmStack) -> String {
    let age = clock::since_epoch().saturating_sub(seconds(stack.since));
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{name}: up for {}, keeper {pid}, seed {}",
        format_duration(age),
        stack.seed
    );
    let _ = writeln!(
        text,
        "  ready after    {}",
        format_duration(seconds(stack.up_seconds))
    );
    for (what, url) in [
        ("prometheus", &stack.prometheus),
        ("alertmanager", &stack.alertmanager),
        ("receiver", &stack.receiver),
    ] {
        let _ = writeln!(text, "  {what:13}  {url}");
    }
    let jaeger = stack.jaeger.as_ref().and_then(|jaeger| jaeger.query.as_ref());
    let adaptive = stack.jaeger_adaptive.as_ref().map(|jaeger| &jaeger.sampling);
    for (what, url) in [
        ("elasticsearch", stack.elasticsearch.as_ref()),
        ("jaeger", jaeger),
        ("jaeger adaptive", adaptive),
        ("loki", stack.loki.as_ref()),
    ] {
        if let Some(url) = url {
            let _ = writeln!(text, "  {what:13}  {url}");
        }
    }
    if let Some(collector) = &stack.collector {
        let _ = writeln!(
            text,
            "  {:13}  otlp grpc {}, http {}",
            "collector", collector.otlp_grpc, collector.otlp_http
        );
    }
    for component in &stack.components {
        for stand_in in &component.stand_ins {
            let _ = writeln!(text, "  {stand_in}");
        }
    }
    for missing in &stack.missing {
        let _ = writeln!(text, "  lacks {}: {}", missing.capability.name(), missing.reason);
    }
    text
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
