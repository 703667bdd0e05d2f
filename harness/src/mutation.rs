//! Mutation: the stack broken on purpose, one named change at a time, to see
//! whether the case that owns the change notices.
//!
//! Every mutant gets a stack of its own, brought up from the edited tree with
//! the drifts put on. Only a `fail` verdict of the owning case kills it: a
//! stack that does not come up, or a case that could not look, proves nothing
//! about the case. Each case first runs on the unchanged stack, since a case
//! that always fails would kill everything.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::case::{Case, EVERYTHING};
use crate::catalog::{Acquisition, Environment};
use crate::files;
use crate::mutant::{Edit, Mutant};
use crate::progress::Progress;
use crate::project::Project;
use crate::report::{MutantOutcome, MutantReport, MutationReport};
use crate::runner::{Runner, Shared};
use crate::seed::Seed;
use crate::session::runs_folder;
use crate::stack::Capability;
use crate::target::brought::Brought;
use crate::target::containers::Images;
use crate::target::kind::running::{KindRequest, KindStack};
use crate::target::kind::{KindTarget, cluster_name};
use crate::target::local::LocalStack;
use crate::target::needs::Needs;
use crate::target::{TargetError, UpRequest};
use crate::verdict::Verdict;

/// How a mutation run is to go.
#[derive(Debug, Clone)]
pub struct Options {
    /// Seed of everything random.
    pub seed: Seed,
    /// The report's folder.
    pub report: PathBuf,
    /// Folder for what the stacks need while they run.
    pub folder: PathBuf,
    /// Stacks side by side, at most.
    pub side_by_side: usize,
    /// Ids of the mutants to run; all when empty.
    pub mutants: Vec<String>,
    /// Name of the stack whose cluster the mutants run in, one after the other; processes where none is given.
    pub cluster: Option<String>,
    /// Which servers run in containers, of which images.
    pub images: Images,
}

/// Name of the unchanged run among the mutants of a case.
pub const BASELINE: &str = "unchanged";

/// Runs the mutants of `cases`.
pub async fn run(
    project: &Project,
    cases: &[Case],
    acquired: Arc<Acquisition>,
    options: &Options,
    progress: &Progress,
    cancel: &CancellationToken,
) -> MutationReport {
    let there = match &options.cluster {
        Some(name) => is_there(name).await,
        None => false,
    };
    let mut work: Vec<(Case, Option<Mutant>)> = Vec::new();
    for case in cases {
        if options.cluster.is_none() && case.needs.contains(&Capability::Cluster) {
            progress.step(case.id, "left out: its mutants run in a cluster (--target kind)");
            continue;
        }
        let mutants: Vec<Mutant> = (case.mutants)()
            .into_iter()
            .filter(|mutant| can_be_made(mutant, options, progress))
            .filter(|mutant| options.mutants.is_empty() || options.mutants.iter().any(|id| id == mutant.id))
            .collect();
        if !mutants.is_empty() {
            work.push((case.clone(), None));
            work.extend(mutants.into_iter().map(|mutant| (case.clone(), Some(mutant))));
        }
    }
    // The longest first, so that none of them is left to run alone at the end.
    work.sort_by_key(|(case, _)| std::cmp::Reverse(case.bound));
    let total = work.len();
    // A cluster has one tree at a time.
    let side_by_side = if options.cluster.is_some() {
        1
    } else {
        options.side_by_side.max(1)
    };
    // What measures time gets the machine to itself, afterwards.
    let (alone, beside): (Vec<_>, Vec<_>) = work
        .into_iter()
        .partition(|(case, _)| case.excludes.contains(&EVERYTHING));
    let first_alone = beside.len();
    let run = |(number, (case, mutant)): (usize, (Case, Option<Mutant>))| {
        let acquired = Arc::clone(&acquired);
        async move {
            let name = mutant.as_ref().map_or(BASELINE, |mutant| mutant.id);
            let subject = format!("{} {name}", case.id);
            progress.step(
                &subject,
                format!(
                    "{} of {total}: {}",
                    number + 1,
                    mutant.as_ref().map_or("nothing changed", |m| m.change)
                ),
            );
            let started = Instant::now();
            let ended = Box::pin(one(project, &case, mutant.as_ref(), acquired, options, cancel)).await;
            let seconds = started.elapsed().as_secs_f64();
            let report = report(&case, mutant.as_ref(), ended, seconds);
            progress.done(&subject, format!("{:?}", report.outcome).to_lowercase());
            report
        }
    };
    let mut mutants: Vec<MutantReport> = futures::stream::iter(beside.into_iter().enumerate().map(run))
        .buffer_unordered(side_by_side)
        .collect()
        .await;
    for (number, one) in alone.into_iter().enumerate() {
        mutants.push(run((first_alone + number, one)).await);
    }
    if let Some(name) = &options.cluster
        && let Err(why) = unchanged(project, name, there, acquired, options, progress, cancel).await
    {
        progress.step("cluster", why);
    }
    let place = |id: &str| cases.iter().position(|case| case.id == id);
    mutants.sort_by(|a, b| {
        (place(&a.case), a.id != BASELINE, &a.id).cmp(&(place(&b.case), b.id != BASELINE, &b.id))
    });
    MutationReport {
        seed: options.seed,
        mutants,
    }
}

/// The verdict of `case` on a stack with `mutant`, and its reason.
async fn one(
    project: &Project,
    case: &Case,
    mutant: Option<&Mutant>,
    acquired: Arc<Acquisition>,
    options: &Options,
    cancel: &CancellationToken,
) -> Result<(Verdict, Option<String>), String> {
    let edits = mutant.map_or(&[][..], |mutant| &mutant.edits);
    let tree = Arc::new(project.tree.edited(edits).map_err(|error| error.to_string())?);
    let drifts: Vec<Edit> = edits.iter().filter(|edit| edit.is_drift()).cloned().collect();
    let place = PathBuf::from(case.id).join(mutant.map_or(BASELINE, |mutant| mutant.id));
    let report = options.report.join("mutants").join(&place);
    let folder = options.folder.join(&place);
    for folder in [&report, &folder] {
        std::fs::create_dir_all(folder).map_err(|error| files::words(&error, "making the folder", folder))?;
    }
    let request = UpRequest {
        tree: tree.clone(),
        shapes: project.shapes.clone(),
        acquired,
        images: options.images.clone(),
        needs: Needs::of(std::slice::from_ref(case)),
        drifts,
        seed: options.seed,
        folder: folder.clone(),
        artifacts: report.join("artifacts").join("stack"),
        cancel: cancel.clone(),
        progress: Progress::silent(),
    };
    let stack = match &options.cluster {
        None => Box::pin(LocalStack::up(request))
            .await
            .map(Box::new)
            .map(Brought::Local),
        Some(name) => Box::pin(in_cluster(project, name, edits, request))
            .await
            .map(Box::new)
            .map(Brought::Kind),
    }
    .map_err(|error| format!("the stack did not come up: {error}"))?;
    let stack = Arc::new(stack);
    let watched = stack.clone();
    let runner = Runner::new(
        Shared {
            contract: project.contract.clone(),
            tree,
            shapes: stack.shapes(),
            fixtures: project.fixtures(),
            stack: Arc::new(stack.stack()),
            seed: options.seed,
            report,
            data: folder.clone(),
            cancel: cancel.clone(),
            progress: Progress::silent(),
            died: Arc::new(move || watched.died()),
            replay: String::new(),
        },
        1,
    );
    let outcome = runner.run(case).await;
    drop(runner);
    let missed = stack.missed_drifts();
    if let Some(stack) = Arc::into_inner(stack) {
        // The next mutant has the cluster.
        stack.leave().await;
    }
    let _ = std::fs::remove_dir_all(&folder);
    if let Some(drift) = missed.first() {
        return Err(format!(
            "the drift found nothing to change on any server: {drift:?}"
        ));
    }
    Ok((outcome.report.verdict, outcome.report.reason))
}

/// Whether a mutant can be made there, said where not: nobody stands between a cluster's operators and its servers.
fn can_be_made(mutant: &Mutant, options: &Options, progress: &Progress) -> bool {
    let drifts = options.cluster.is_some() && mutant.edits.iter().any(Edit::is_drift);
    if drifts {
        progress.step(
            mutant.id,
            "left out: it changes what a server runs with after it was rendered, which a cluster's operator does",
        );
    }
    !drifts
}

fn kind_target() -> Result<KindTarget, TargetError> {
    KindTarget::new(&runs_folder(), Environment::of_process())
        .map_err(|error| TargetError::Environment(error.to_string()))
}

/// Whether the cluster is there before the first mutant.
async fn is_there(name: &str) -> bool {
    let (Ok(target), Ok(cluster)) = (kind_target(), cluster_name(name)) else {
        return false;
    };
    target.clusters().has(&cluster).await.unwrap_or(false)
}

/// The tree with these edits in the cluster of that name.
async fn in_cluster(
    project: &Project,
    name: &str,
    edits: &[Edit],
    up: UpRequest,
) -> Result<KindStack, TargetError> {
    let request = KindRequest {
        up,
        name: name.to_owned(),
        root: project.root.clone(),
        edits: edits.to_vec(),
    };
    Box::pin(KindStack::up(kind_target()?, request)).await
}

/// Leaves the cluster as it was found: with the unchanged tree, or not there.
async fn unchanged(
    project: &Project,
    name: &str,
    there: bool,
    acquired: Arc<Acquisition>,
    options: &Options,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<(), String> {
    let words =
        |error: &dyn std::fmt::Display| format!("{error}: the last mutant may be left in the cluster {name}");
    if !there {
        let cluster = cluster_name(name).map_err(|error| words(&error))?;
        let target = kind_target().map_err(|error| words(&error))?;
        return target
            .clusters()
            .down(&cluster)
            .await
            .map(drop)
            .map_err(|error| words(&error));
    }
    progress.step("cluster", "bringing the unchanged tree up again");
    let request = UpRequest {
        tree: project.tree.clone(),
        shapes: project.shapes.clone(),
        acquired,
        images: Images::default(),
        needs: Needs::everything(),
        drifts: Vec::new(),
        seed: options.seed,
        folder: options.folder.join("unchanged"),
        artifacts: options.report.join("unchanged"),
        cancel: cancel.clone(),
        progress: Progress::silent(),
    };
    in_cluster(project, name, &[], request)
        .await
        .map(drop)
        .map_err(|error| words(&error))
}

/// The unchanged run is reported as a mutant that changes nothing: `equivalent` where its case passes,
/// `survived` where it does not, so that the case's kills do not count.
fn report(
    case: &Case,
    mutant: Option<&Mutant>,
    ended: Result<(Verdict, Option<String>), String>,
    seconds: f64,
) -> MutantReport {
    let wanted = if mutant.is_some() {
        Verdict::Fail
    } else {
        Verdict::Pass
    };
    let (outcome, reason) = match ended {
        Ok((verdict, reason)) if verdict == wanted => (MutantOutcome::Killed, reason),
        Ok((verdict, reason)) => (
            MutantOutcome::Survived,
            Some(format!(
                "the case came to {verdict}{}",
                reason.map(|why| format!(": {why}")).unwrap_or_default()
            )),
        ),
        Err(why) => (MutantOutcome::Survived, Some(why)),
    };
    let killed = outcome == MutantOutcome::Killed && mutant.is_some();
    MutantReport {
        id: mutant.map_or(BASELINE, |mutant| mutant.id).to_owned(),
        case: case.id.to_owned(),
        change: mutant.map_or("nothing", |mutant| mutant.change).to_owned(),
        outcome: match outcome {
            MutantOutcome::Killed if mutant.is_none() => MutantOutcome::Equivalent,
            other => other,
        },
        by: killed.then(|| case.id.to_owned()),
        reason,
        seconds,
    }
}
