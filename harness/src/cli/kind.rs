//! What `up`, `down` and `status` do about clusters, and what `doctor` says of them.

use std::fmt::Write as _;
use std::time::Instant;

use kind_rs::ClusterName;

use super::{CliError, Shell, print};
use crate::catalog::{DoctorKind, DoctorLine, DoctorState, Environment};
use crate::seed::Seed;
use crate::session::runs_folder;
use crate::target::kind::cluster::{ClusterError, Standing, State};
use crate::target::kind::host::Host;
use crate::target::kind::preflight::{Demand, hindrances};
use crate::target::kind::tools::{Tools, ToolsError};
use crate::target::kind::{
    ClusterRequest, KindTarget, KindTargetError, cluster_name, clusters_folder, reach, stack_of,
};
use crate::units::format_duration;
use crate::verdict::Exit;

fn environment(error: impl std::fmt::Display) -> CliError {
    CliError::Environment(error.to_string())
}

/// Brings a stack's cluster up and, unless it is to be `bare`, the stack in it.
pub(super) async fn up(stack: String, bare: bool, seed: Seed, shell: &Shell) -> Result<Exit, CliError> {
    let root = shell.places.root(&shell.built_from)?;
    let target = KindTarget::new(&runs_folder(), Environment::of_process()).map_err(environment)?;
    let request = ClusterRequest {
        stack,
        config: reach::config(target.runs()),
    };
    let held = target
        .cluster(request, &shell.progress, &shell.cancel)
        .await
        .map_err(environment)?;
    shell.progress.done(
        "kind",
        match &held.made {
            Some(_) => "the cluster is ready",
            None => "the cluster that is there fits and is taken",
        },
    );
    if !bare {
        let began = Instant::now();
        target
            .stack(&held, (&root, &[]), seed, &shell.progress, &shell.cancel)
            .await
            .map_err(environment)?;
        let took = format_duration(began.elapsed());
        shell.progress.done("stack", format!("ready after {took}"));
    }
    print(&format!(
        "{}: kubectl --kubeconfig {} get pods --all-namespaces",
        held.name,
        held.kubeconfig.display()
    ));
    Ok(Exit::Success)
}

/// Removes a stack's cluster; none where there is no cluster, nor anything to ask for one with.
pub(super) async fn down(stack: &str) -> Result<Option<ClusterName>, CliError> {
    let Some(target) = target()? else { return Ok(None) };
    let name = cluster_name(stack).map_err(environment)?;
    // A folder is made before a cluster is, and goes after it does; without one only an engine can tell.
    let may_be = clusters_folder(&runs_folder()).join(name.as_str()).exists();
    match target.clusters().down(&name).await {
        Ok(was) => Ok(was.then_some(name)),
        Err(ClusterError::Engine(_) | ClusterError::Foreign { .. }) if !may_be => Ok(None),
        Err(error) => Err(environment(error)),
    }
}

/// Removes every cluster of ours, and says which went and which did not.
pub(super) async fn down_all() -> Result<Exit, CliError> {
    let Some(target) = target()? else {
        return Ok(Exit::Success);
    };
    let swept = match target.clusters().down_all().await {
        Ok(swept) => swept,
        Err(ClusterError::Engine(_)) if !target.clusters().has_files() => {
            return Ok(Exit::Success);
        }
        Err(error) => return Err(environment(error)),
    };
    for name in &swept.removed {
        print(&format!("cluster {name}: removed"));
    }
    for (name, error) in &swept.kept {
        print(&format!("cluster {name}: kept: {error}"));
    }
    Ok(if swept.kept.is_empty() {
        Exit::Success
    } else {
        Exit::Environment
    })
}

/// Says of every cluster of ours how it is, or of that of one stack; whether there was anything to say.
pub(super) async fn status(stack: Option<&str>) -> Result<(bool, Exit), CliError> {
    let nothing = (false, Exit::Success);
    let Some(target) = target()? else {
        return Ok(nothing);
    };
    let standing = match target.clusters().list().await {
        Ok(standing) => standing,
        Err(ClusterError::Engine(_)) if !target.clusters().has_files() => return Ok(nothing),
        Err(error) => return Err(environment(error)),
    };
    let asked = |one: &&Standing| stack.is_none_or(|stack| stack == stack_of(&one.name));
    let (mut text, mut exit) = (String::new(), Exit::Success);
    for one in standing.iter().filter(asked) {
        let (line, whole) = describe(one);
        let _ = writeln!(text, "{line}");
        if !whole {
            exit = Exit::Environment;
        }
    }
    if !text.is_empty() {
        print(&text);
    }
    Ok((!text.is_empty(), exit))
}

/// A cluster on a line, and whether it is as it should be.
fn describe(one: &Standing) -> (String, bool) {
    let (name, stack) = (&one.name, stack_of(&one.name));
    let remedy = format!("`conform down --name {stack}` clears it");
    match (one.state, one.taken) {
        (State::Whole, taken) => {
            let by = if taken { ", and a run has it" } else { "" };
            let line = format!(
                "cluster {name}: runs{by}\n  kubeconfig     {}",
                one.kubeconfig.display()
            );
            (line, true)
        }
        (_, true) => (format!("cluster {name}: a run is at work on it"), true),
        (State::Stopped, false) => (format!("cluster {name}: a node does not run; {remedy}"), false),
        (State::HalfMade, false) => (format!("cluster {name}: its maker was killed; {remedy}"), false),
        (State::Files, false) => (
            format!("cluster {name}: only files of it are left; {remedy}"),
            false,
        ),
    }
}

/// The target; none on a machine that has no kind, which has no clusters of ours either.
fn target() -> Result<Option<KindTarget>, CliError> {
    match KindTarget::new(&runs_folder(), Environment::of_process()) {
        Ok(target) => Ok(Some(target)),
        Err(KindTargetError::Tools(ToolsError::NoKind { .. })) => Ok(None),
        Err(error) => Err(environment(error)),
    }
}

/// Whether this host can have clusters, and what hinders it. Nothing but the kind target needs them.
pub(super) async fn examine() -> Vec<DoctorLine> {
    let process = Environment::of_process();
    let line = |subject: &str, state, says| DoctorLine::new(subject, DoctorKind::Cluster, state, says);
    let tools = match Tools::find(&process) {
        Ok(tools) => tools,
        Err(error) => {
            let mut line = line(
                "kind",
                DoctorState::Optional,
                "no CLI: --target kind needs it".to_owned(),
            );
            line.remedy = Some(error.to_string());
            return vec![line];
        }
    };
    let mut lines = Vec::new();
    let kind = tools.kind();
    let (host, version) = tokio::join!(Host::read(&tools.engine), kind.version());
    let mut first = match version {
        Ok(version) => {
            let mut first = line(
                "kind",
                DoctorState::Ready,
                "makes clusters for --target kind".to_owned(),
            );
            first.version = Some(version.trim_start_matches('v').to_owned());
            first
        }
        Err(error) => line("kind", DoctorState::Optional, error.to_string()),
    };
    first.paths.push(tools.program.clone());
    lines.push(first);
    if let Ok(facts) = &host.engine {
        let image = match tools.node_image(&process).await {
            Ok(Some(image)) => format!("nodes are {image}"),
            Ok(None) => "nodes are of kind's own image, which it pulls".to_owned(),
            Err(error) => error.to_string(),
        };
        let mut ready = line(
            "kind engine",
            DoctorState::Ready,
            format!("{}, {image}", tools.engine.provider()),
        );
        ready.version = Some(facts.version.clone());
        lines.push(ready);
    }
    for hindrance in hindrances(&host, Demand::WHOLE) {
        let says = if hindrance.fatal {
            format!("no cluster can be made: {}", hindrance.says)
        } else {
            hindrance.says
        };
        let mut hinders = line(
            &format!("kind {}", hindrance.subject),
            DoctorState::Optional,
            says,
        );
        hinders.remedy = Some(hindrance.remedy);
        lines.push(hinders);
    }
    lines
}
