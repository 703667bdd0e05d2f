//! A run from its first step to its report: obtain the servers, bring the
//! stack up (or take the warm one), run cases, write down what they came to.
//!
//! Whatever goes wrong on the way is a verdict too: when the stack does not
//! come up, every case says so with the cause, and the report is written.

mod figures;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::case::Case;
use crate::catalog::{Acquisition, Environment, cache_folder};
use crate::files;
use crate::progress::Progress;
use crate::project::Project;
use crate::report::{
    CaseReport, ProfileOutcome, ProfileResult, Report, ReportError, RunInfo, profile_result, promise_reports,
};
use crate::runner::{Died, Outcome, Runner, Shared, calibrate, machine, replay, report_of, slow};
use crate::seed::Seed;
use crate::shapes::Shapes;
use crate::stack::{Capability, ComponentInfo, Stack};
use crate::target::brought::Brought;
use crate::target::containers::{self, CONTAINED, ContainersError, Images};
use crate::target::existing::{Existing, ExistingStack};
use crate::target::kind::KindTarget;
use crate::target::kind::running::{KindRequest, KindStack};
use crate::target::local::LocalStack;
use crate::target::needs::{ALWAYS, Needs};
use crate::target::warm::{self, AttachRequest};
use crate::target::{TargetError, TargetName, UpRequest};
use crate::verdict::{Exit, Level, Verdict};

/// Every component a stack is made of: a warm stack has them all, a run those its cases need.
pub const COMPONENTS: [&str; 7] = [
    "prometheus",
    "alertmanager",
    "elasticsearch",
    "libfaketime",
    "jaeger",
    "otel-collector",
    "loki",
];

/// How a run is to go.
#[derive(Debug, Clone)]
pub struct Options {
    /// Seed of everything random.
    pub seed: Seed,
    /// Where the stack runs.
    pub target: TargetName,
    /// Which stack, where somebody else runs it.
    pub existing: Existing,
    /// Images that servers run in instead of the tree's, where they run in containers.
    pub images: Vec<String>,
    /// The report's folder.
    pub report: PathBuf,
    /// Cases side by side, at most.
    pub side_by_side: usize,
    /// Name of the warm stack to use when it runs and fits; none to always bring an own one up. A cluster of
    /// that name is taken where it is there, and made where not.
    pub warm: Option<String>,
    /// The profile that was asked for.
    pub profile: String,
    /// How many cases the profile has; fewer in a run leave it partial.
    pub profile_cases: usize,
    /// What the cases need of the stack; the rest is neither acquired nor started.
    pub needs: Needs,
}

impl Options {
    /// What a command that replays a case says besides the case and the seed.
    fn replay(&self) -> String {
        let target = match self.target {
            TargetName::Local => String::new(),
            other => format!(" --target {}", other.name()),
        };
        let images = self.images.iter().map(|image| format!(" --image {image}"));
        let existing = self.existing.arguments();
        std::iter::once(target).chain(images).chain(existing).collect()
    }

    fn whole(&self, cases: usize) -> bool {
        cases == self.profile_cases
    }

    /// The profile's result; a selection of its cases never is a success of the profile.
    fn profile_result(&self, cases: &[CaseReport]) -> ProfileResult {
        let result = profile_result(&self.profile, cases);
        if self.whole(cases.len()) || result.result == ProfileOutcome::Failed {
            return result;
        }
        let selected = format!(
            "{} of its {} cases were selected",
            cases.len(),
            self.profile_cases
        );
        let reason = result
            .reason
            .map_or_else(|| selected.clone(), |reason| format!("{selected}; {reason}"));
        ProfileResult {
            result: ProfileOutcome::Partial,
            reason: Some(reason),
            ..result
        }
    }
}

/// Cases side by side when nothing else is asked for: most of them wait for servers most of the time. A cluster's own
/// parts and its operators take their share of a machine.
#[must_use]
pub fn usual_side_by_side(target: TargetName) -> usize {
    let a_core = if target == TargetName::Kind { 2 } else { 3 };
    std::thread::available_parallelism().map_or(2, usize::from) * a_core
}

/// A run that has begun.
#[derive(Debug)]
pub struct Session {
    project: Project,
    options: Options,
    id: String,
    started: Timestamp,
    clock: Instant,
    calibration: IndexMap<String, f64>,
    folder: PathBuf,
    progress: Progress,
    /// The cases' runner, or why there is none.
    state: Result<Running, Broken>,
}

#[derive(Debug)]
struct Running {
    runner: Runner,
    /// What it brought up and takes down; nothing where it uses a warm stack.
    own: Option<Arc<Brought>>,
    /// Whether every server was downloaded or built for this run.
    cold: bool,
}

/// What comes up before a run's cases begin.
struct Up {
    stack: Stack,
    /// What cases are told of the watched services.
    shapes: Arc<Shapes>,
    own: Option<Arc<Brought>>,
    died: Died,
    /// Whether every server was downloaded or built for this run.
    cold: bool,
}

impl Up {
    /// What a run has brought up for itself.
    fn own(brought: Brought, cold: bool) -> Self {
        let own = Arc::new(brought);
        let watched = Arc::clone(&own);
        Self {
            stack: own.stack(),
            shapes: own.shapes(),
            own: Some(own),
            died: Arc::new(move || watched.died()),
            cold,
        }
    }
}

/// A stack that did not come up: the verdict of every case, and why.
#[derive(Debug, Clone)]
struct Broken {
    verdict: Verdict,
    reason: String,
}

impl Session {
    /// Obtains the servers and brings the stack up.
    pub async fn open(
        project: Project,
        options: Options,
        progress: Progress,
        cancel: CancellationToken,
    ) -> Self {
        let (started, clock) = (Timestamp::now(), Instant::now());
        let id = format!("{}-{}", started.strftime("%Y%m%dT%H%M%SZ"), options.seed);
        let folder = runs_folder().join(&id);
        let made = make_folders(&folder, &options.report);
        let measured = {
            let folder = folder.clone();
            tokio::task::spawn_blocking(move || calibrate::calibrate(&folder))
        };
        let opening = Opening {
            project: &project,
            options: &options,
            folder: &folder,
            progress: &progress,
            cancel: &cancel,
        };
        let state = match made {
            Err(reason) => Err(Broken {
                verdict: Verdict::Environment,
                reason,
            }),
            Ok(()) => Box::pin(opening.bring_up()).await,
        };
        let calibration = measured.await.unwrap_or_default();
        Self {
            project,
            options,
            id,
            started,
            clock,
            calibration,
            folder,
            progress,
            state,
        }
    }

    /// Runs one case, or gives it the verdict of a stack that did not come up.
    pub async fn run(&self, case: &Case) -> Outcome {
        match &self.state {
            Ok(running) => running.runner.run(case).await,
            Err(broken) => broken.outcome(case, &self.options),
        }
    }

    /// Runs all cases.
    pub async fn run_all(&self, cases: &[Case]) -> Vec<Outcome> {
        match &self.state {
            Ok(running) => running.runner.run_all(cases).await,
            Err(broken) => cases
                .iter()
                .map(|case| broken.outcome(case, &self.options))
                .collect(),
        }
    }

    /// Takes an own stack down and writes the report.
    pub async fn close(self, outcomes: Vec<Outcome>) -> (Report, Result<(), ReportError>) {
        let figures = figures::all(&self, &outcomes).await;
        let needs: Vec<&[Capability]> = outcomes.iter().map(|outcome| outcome.needs).collect();
        let (cases, stack, up) = {
            let cases: Vec<CaseReport> = outcomes.into_iter().map(|outcome| outcome.report).collect();
            match &self.state {
                Ok(running) => {
                    let stack = running.runner.shared().stack.clone();
                    let up = stack.up;
                    (cases, Some(stack), up)
                }
                Err(_) => (cases, None, Duration::ZERO),
            }
        };
        let exit = Exit::of(cases.iter().map(|case| (case.level, case.verdict)));
        let mut changed_values = stack.as_ref().map_or_else(Vec::new, |stack| {
            [stack.changed_values.clone(), stack.workshop.changed_values()].concat()
        });
        changed_values.sort();
        changed_values.dedup();
        let components = stack
            .as_ref()
            .map_or_else(Vec::new, |stack| stack.components.clone());
        let mut versions: IndexMap<String, String> =
            IndexMap::from([("conform".to_owned(), env!("CARGO_PKG_VERSION").to_owned())]);
        versions.extend(
            components
                .iter()
                .map(|one| (one.name.clone(), one.version.clone())),
        );
        let report = Report {
            run: RunInfo {
                id: self.id,
                seed: self.options.seed,
                started: self.started.to_string(),
                target: self.options.target.name().to_owned(),
                machine: machine::machine(),
                calibration: self.calibration,
                versions,
                exit_code: exit.code(),
                up_seconds: up.as_secs_f64(),
                seconds: self.clock.elapsed().as_secs_f64(),
                memory_bytes: machine::peak_memory(),
                remarks: stack
                    .as_ref()
                    .and_then(|stack| stack.cluster.as_ref()?.busy())
                    .into_iter()
                    .collect(),
            },
            profiles: vec![ProfileResult {
                stand_ins: rests(&cases, &needs, &components),
                ..self.options.profile_result(&cases)
            }],
            promises: promise_reports(&self.project.contract, &cases),
            cases,
            changed_values,
            components,
            figures,
        };
        drop(stack);
        if let Ok(running) = self.state {
            // The runner shares the stack; it has to go before the stack can be taken down whole.
            drop(running.runner);
            self.progress.step("stack", "taking it down");
            if let Some(own) = running.own.and_then(Arc::into_inner)
                && let Err(why) = own.down().await
            {
                self.progress.step("stack", why);
            }
        }
        if self.options.target == TargetName::Containers {
            containers::ended(&runs_folder()).await;
        }
        // A folder that is left behind is found and removed by the next run.
        let _ = std::fs::remove_dir_all(&self.folder);
        let written = report.write(&self.options.report);
        (report, written)
    }
}

/// What bringing a stack up is given.
struct Opening<'a> {
    project: &'a Project,
    options: &'a Options,
    folder: &'a std::path::Path,
    progress: &'a Progress,
    cancel: &'a CancellationToken,
}

impl Opening<'_> {
    async fn bring_up(&self) -> Result<Running, Broken> {
        // What cannot be removed is left for the next run to try.
        for left in warm::sweep(&runs_folder()).unwrap_or_default() {
            self.progress.step(
                "stack",
                format!("removed what a dead run left: {}", left.display()),
            );
        }
        let up = match self.options.target {
            TargetName::Local | TargetName::Containers => Box::pin(self.local()).await,
            TargetName::Kind => Box::pin(self.kind()).await,
            TargetName::Existing => Box::pin(self.existing()).await,
        };
        let Up {
            stack,
            shapes,
            own,
            died,
            cold,
        } = up?;
        let shared = Shared {
            contract: self.project.contract.clone(),
            tree: self.project.tree.clone(),
            shapes,
            fixtures: self.project.fixtures(),
            stack: Arc::new(stack),
            seed: self.options.seed,
            report: self.options.report.clone(),
            data: self.folder.to_owned(),
            cancel: self.cancel.clone(),
            progress: self.progress.clone(),
            died,
            replay: self.options.replay(),
        };
        Ok(Running {
            runner: Runner::new(shared, self.options.side_by_side),
            own,
            cold,
        })
    }

    /// What a target is given to bring a stack up, its servers acquired.
    async fn request(&self) -> Result<UpRequest, Broken> {
        let options = self.options;
        let target = (options.target, &options.images[..]);
        let (acquired, images) = acquired(self.project, target, &options.needs, self.progress, self.cancel)
            .await
            .map_err(|error| Broken::environment(&error))?;
        Ok(UpRequest {
            tree: self.project.tree.clone(),
            shapes: self.project.shapes.clone(),
            acquired: Arc::new(acquired),
            images,
            needs: options.needs.clone(),
            drifts: Vec::new(),
            seed: options.seed,
            folder: self.folder.to_owned(),
            artifacts: self.artifacts(),
            cancel: self.cancel.clone(),
            progress: self.progress.clone(),
        })
    }

    fn artifacts(&self) -> PathBuf {
        self.options.report.join("artifacts").join("stack")
    }

    /// The warm stack, or servers as processes or in containers of their own.
    async fn local(&self) -> Result<Up, Broken> {
        let attached = match &self.options.warm {
            Some(name) if self.options.target == TargetName::Local => {
                let request = AttachRequest {
                    tree: self.project.tree.clone(),
                    shapes: self.project.shapes.clone(),
                    needs: self.options.needs.clone(),
                    folder: self.folder.to_owned(),
                    artifacts: self.artifacts(),
                    cancel: self.cancel.clone(),
                    progress: self.progress.clone(),
                };
                warm::attach(&warm::state_file(&runs_folder(), name), request).await
            }
            _ => None,
        };
        if let Some(attached) = attached {
            self.progress
                .done("stack", "the warm stack of `conform up` fits and is used");
            return Ok(Up {
                stack: attached.stack,
                shapes: self.project.shapes.clone(),
                own: None,
                died: attached.died,
                cold: false,
            });
        }
        let request = self.request().await?;
        let cold = made_all(&request);
        match LocalStack::up(request).await {
            Ok(up) => Ok(Up::own(Brought::Local(Box::new(up)), cold)),
            Err(error) => Err(Broken::at_start(error, self.folder).await),
        }
    }

    /// The tree in a cluster.
    async fn kind(&self) -> Result<Up, Broken> {
        let target = KindTarget::new(&runs_folder(), Environment::of_process())
            .map_err(|error| Broken::environment(&error))?;
        let up = self.request().await?;
        let cold = made_all(&up);
        let request = KindRequest {
            up,
            name: self
                .options
                .warm
                .clone()
                .unwrap_or_else(|| format!("run-{}", self.options.seed)),
            root: self.project.root.clone(),
            edits: Vec::new(),
        };
        match KindStack::up(target, request).await {
            Ok(up) => Ok(Up::own(Brought::Kind(Box::new(up)), cold)),
            Err(error) => Err(Broken::at_start(error, self.folder).await),
        }
    }

    /// A stack that somebody else runs.
    async fn existing(&self) -> Result<Up, Broken> {
        let request = self.request().await?;
        match ExistingStack::up(self.options.existing.clone(), request).await {
            Ok(up) => Ok(Up::own(Brought::Existing(Box::new(up)), false)),
            Err(error) => Err(Broken::from_target(&error)),
        }
    }
}

/// What cases need: processes, or servers from the target's images and the rest as processes, where what killed runs
/// left goes first.
pub(crate) async fn acquired(
    project: &Project,
    (target, named): (TargetName, &[String]),
    needs: &Needs,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<(Acquisition, Images), ContainersError> {
    let (contained, processes): (Vec<&str>, Vec<&str>) = needs
        .components()
        .into_iter()
        .partition(|component| target == TargetName::Containers && CONTAINED.contains(component));
    let (mut acquired, mut images) = (Acquisition::new(), Images::default());
    if target == TargetName::Containers {
        let chosen = containers::chosen(&project.catalog, named)?;
        for image in containers::sweep(&runs_folder()).await? {
            progress.step(
                "containers",
                format!("removed what a dead run left: one of {image}"),
            );
        }
        (acquired, images) = containers::acquire(&project.catalog, &chosen, &contained, progress).await?;
        // Only an engine that answers is given any.
        containers::mark(&runs_folder())?;
    }
    acquired.extend(
        project
            .catalog
            .acquire(&processes, &cache_folder(), progress, cancel)
            .await,
    );
    Ok((acquired, images))
}

/// Whether every server was downloaded or built for this run.
fn made_all(request: &UpRequest) -> bool {
    request.acquired.values().flatten().all(|one| one.made)
}

impl Broken {
    fn environment(error: &dyn std::error::Error) -> Self {
        Self {
            verdict: Verdict::Environment,
            reason: error.to_string(),
        }
    }

    /// Why a stack did not come up; a disk that is too slow first.
    async fn at_start(error: TargetError, folder: &std::path::Path) -> Self {
        let broken = Self::from_target(&error);
        let TargetError::Environment(why) = error else {
            return broken;
        };
        let reason = slow::disk_first(folder, why).await;
        Self { reason, ..broken }
    }

    fn from_target(error: &TargetError) -> Self {
        let verdict = match error {
            TargetError::Refused(_) => Verdict::Fail,
            TargetError::Environment(_) | TargetError::Interrupted => Verdict::Environment,
        };
        Self {
            verdict,
            reason: error.to_string(),
        }
    }

    fn outcome(&self, case: &Case, options: &Options) -> Outcome {
        let replay = replay(case, options.seed, &options.replay());
        Outcome {
            report: report_of(case, replay, self.verdict, Some(self.reason.clone())),
            figures: Vec::new(),
            needs: case.needs,
        }
    }
}

/// Which MUST cases that ran rest on a stand-in, a sentence each.
fn rests(cases: &[CaseReport], needs: &[&[Capability]], components: &[ComponentInfo]) -> Vec<String> {
    let stand_ins = || components.iter().flat_map(|component| &component.stand_ins);
    cases
        .iter()
        .zip(needs)
        .filter(|(case, _)| case.level == Level::Must && case.verdict != Verdict::Skipped)
        .flat_map(|(case, needs)| {
            stand_ins()
                .filter(|stand_in| needs.contains(&stand_in.capability))
                .map(|stand_in| format!("{} rests on {stand_in}", case.id))
        })
        .collect()
}

/// Where runs keep what they need while they run: `CONFORM_RUNS`, else `runs` in the cache.
#[must_use]
pub fn runs_folder() -> PathBuf {
    std::env::var_os("CONFORM_RUNS").map_or_else(|| cache_folder().join("runs"), PathBuf::from)
}

/// Makes the run's folder, and the report's anew: artifacts of an earlier run must not pass for this one's.
fn make_folders(run: &std::path::Path, report: &std::path::Path) -> Result<(), String> {
    let artifacts = report.join("artifacts");
    if artifacts.exists() {
        std::fs::remove_dir_all(&artifacts)
            .map_err(|error| files::words(&error, "removing an earlier run's", &artifacts))?;
    }
    for folder in [run, &artifacts] {
        std::fs::create_dir_all(folder).map_err(|error| files::words(&error, "making the folder", folder))?;
    }
    Ok(())
}

/// Which acquired components could not be had, for messages.
#[must_use]
pub fn unavailable(acquired: &Acquisition) -> Vec<String> {
    gone(acquired, |_| true)
}

/// Which components could not be had without which there is no stack, for messages.
#[must_use]
pub fn indispensable(acquired: &Acquisition) -> Vec<String> {
    gone(acquired, |component| ALWAYS.contains(&component))
}

fn gone(acquired: &Acquisition, counts: impl Fn(&str) -> bool) -> Vec<String> {
    acquired
        .values()
        .filter_map(|one| one.as_ref().err())
        .filter(|gone| counts(&gone.component))
        .map(|gone| format!("{}: {}; {}", gone.component, gone.reason, gone.remedy))
        .collect()
}
