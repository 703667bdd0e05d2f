//! `conform emit ... --in-cluster`: from pods of a stack's kind cluster.

use super::super::{CliError, Shell};
use super::CommonArgs;
use crate::catalog::Environment;
use crate::emit::elsewhere::Elsewhere;
use crate::seed::Seed;
use crate::session::runs_folder;
use crate::target::kind::cluster::{Standing, State};
use crate::target::kind::generator::job::Emission;
use crate::target::kind::{KindTarget, cluster_name, generator};
use crate::verdict::Exit;

/// Where the pods are. Every cluster has it, and nothing of the stack is in it.
const NAMESPACE: &str = "default";

fn environment(error: impl std::fmt::Display) -> CliError {
    CliError::Environment(error.to_string())
}

pub(super) async fn emit<E: Elsewhere>(
    stack: &str,
    options: &E,
    common: &CommonArgs,
    shell: &Shell,
) -> Result<Exit, CliError> {
    options
        .check(common.pods)
        .map_err(|error| CliError::Usage(error.to_string()))?;
    let root = shell.places.root(&shell.built_from)?;
    let target = KindTarget::new(&runs_folder(), Environment::of_process()).map_err(environment)?;
    let standing = standing(&target, stack).await?;
    let program = std::env::current_exe().map_err(environment)?;
    let kind = target.tools().kind();
    let image = generator::image(&root, &program, (&kind, &standing.name), &shell.progress)
        .await
        .map_err(environment)?;
    let seed = options.seed().unwrap_or_else(Seed::fresh);
    let emission = Emission::of(options, (NAMESPACE, &image), common.pods, seed);
    let client = generator::client(&standing.kubeconfig)
        .await
        .map_err(environment)?;
    let emitted = generator::emit(client, &emission, &shell.progress, &shell.cancel)
        .await
        .map_err(environment)?;
    common.print(&emitted)?;
    Ok(if emitted.complete() {
        Exit::Success
    } else {
        Exit::Failed
    })
}

/// The cluster of a stack, which is whole. A run may have it meanwhile: emitting beside one is what this is for.
async fn standing(target: &KindTarget, stack: &str) -> Result<Standing, CliError> {
    let name = cluster_name(stack).map_err(environment)?;
    let all = target.clusters().list().await.map_err(environment)?;
    let found = all
        .into_iter()
        .find(|one| one.name == name && one.state == State::Whole);
    found.ok_or_else(|| {
        CliError::Environment(format!(
            "no cluster {name} runs: `conform up --target kind --name {stack}` makes it"
        ))
    })
}
