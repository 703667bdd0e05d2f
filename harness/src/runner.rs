//! Plans and runs cases: which, beside which, for how long, and what they came to.
//!
//! One [`Runner`] serves a whole run, whoever asks: the `conform` command asks
//! for all planned cases at once, the test target for one a test. The runner
//! keeps the number of cases side by side bounded and keeps apart what
//! excludes each other; every case ends inside its own bound.

pub mod calibrate;
pub mod machine;
pub mod plan;
pub(crate) mod slow;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::case::{Case, CaseError, Context};
use crate::contract::Contract;
use crate::deploy::DeployTree;
use crate::files;
use crate::finding::{Figure, Findings};
use crate::progress::{Progress, Watcher};
use crate::report::CaseReport;
use crate::seed::Seed;
use crate::shapes::Shapes;
use crate::stack::{Capability, Stack};
use crate::units::format_duration;
use crate::verdict::Verdict;
use crate::wait::{Look, Wait};

/// Says why a shared server of the stack is gone, if one is.
pub type Died = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// What every case of a run shares.
#[derive(Clone)]
pub struct Shared {
    /// What was promised.
    pub contract: Arc<Contract>,
    /// What is declared.
    pub tree: Arc<DeployTree>,
    /// What emission plays.
    pub shapes: Arc<Shapes>,
    /// The fixtures folder.
    pub fixtures: PathBuf,
    /// The running stack.
    pub stack: Arc<Stack>,
    /// The run's seed.
    pub seed: Seed,
    /// The report's folder; artifacts go below it.
    pub report: PathBuf,
    /// The folder below which servers keep their data.
    pub data: PathBuf,
    /// Ends when the run is interrupted.
    pub cancel: CancellationToken,
    /// Where to say what is going on.
    pub progress: Progress,
    /// Whether a shared server is gone.
    pub died: Died,
    /// What a command that replays a case says besides the case and the seed, with a space before it.
    pub replay: String,
}

/// Runs cases on one stack.
pub struct Runner {
    shared: Shared,
    permits: Semaphore,
    running: Mutex<BTreeMap<&'static str, Case>>,
    ended: Notify,
}

/// What a case came to, with the numbers that are held against bounds.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// For the report.
    pub report: CaseReport,
    /// Its figures.
    pub figures: Vec<Figure>,
    /// What it needs of the stack.
    pub needs: &'static [Capability],
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("stack", &self.stack)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner").finish_non_exhaustive()
    }
}

impl Runner {
    /// A runner of at most `side_by_side` cases at a time.
    #[must_use]
    pub fn new(shared: Shared, side_by_side: usize) -> Self {
        Self {
            shared,
            permits: Semaphore::new(side_by_side.max(1)),
            running: Mutex::default(),
            ended: Notify::new(),
        }
    }

    /// What its cases share.
    #[must_use]
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Runs all `cases`, the longest first, and gives their outcomes in the order asked for.
    pub async fn run_all(&self, cases: &[Case]) -> Vec<Outcome> {
        let mut order: Vec<usize> = (0..cases.len()).collect();
        order.sort_by_key(|&index| std::cmp::Reverse(cases[index].bound));
        let runs = order
            .into_iter()
            .map(|index| async move { (index, self.run(&cases[index]).await) });
        let mut outcomes = futures::future::join_all(runs).await;
        outcomes.sort_by_key(|(index, _)| *index);
        outcomes.into_iter().map(|(_, outcome)| outcome).collect()
    }

    /// Why a case does not run on this stack.
    fn left_out(&self, case: &Case) -> Option<String> {
        let stack = &self.shared.stack;
        let lacks = |need: &Capability| {
            let why = stack.lacks(*need)?;
            Some(format!("needs {}: {why}", need.name()))
        };
        let disturbs = case.disturbs.filter(|_| stack.spared);
        case.needs.iter().find_map(lacks).or_else(|| {
            disturbs
                .map(|what| format!("{what}, and this stack is only to be asked; --allow-disruptive lets it"))
        })
    }

    /// Runs one case when there is room for it.
    pub async fn run(&self, case: &Case) -> Outcome {
        if let Some(reason) = self.left_out(case) {
            return self.outcome(
                case,
                Verdict::Skipped,
                Some(reason),
                Duration::ZERO,
                Findings::new(),
            );
        }
        let _turn = self.turn(case).await;
        let started = Instant::now();
        let artifacts = self.shared.report.join("artifacts").join(case.id);
        let ended = match std::fs::create_dir_all(&artifacts) {
            Err(error) => Err(CaseError::Environment(files::words(
                &error,
                "making the folder",
                &artifacts,
            ))),
            Ok(()) => self.run_in(case, artifacts).await,
        };
        let took = started.elapsed();
        let died = (self.shared.died)();
        let (verdict, mut reason, findings) = judge(ended, died);
        if verdict != Verdict::Pass
            && !self.shared.cancel.is_cancelled()
            && let Some(seen) = reason.take()
        {
            reason = Some(slow::disk_first(&self.shared.data, seen).await);
        }
        self.shared.progress.done(
            case.id,
            match &reason {
                None => format!("{verdict} in {}", format_duration(took)),
                Some(reason) => format!("{verdict} in {}: {reason}", format_duration(took)),
            },
        );
        self.outcome(case, verdict, reason, took, findings)
    }

    async fn run_in(&self, case: &Case, artifacts: PathBuf) -> Result<Findings, CaseError> {
        let last = LastStep::default();
        let context = Context {
            contract: self.shared.contract.clone(),
            tree: self.shared.tree.clone(),
            shapes: self.shared.shapes.clone(),
            fixtures: self.shared.fixtures.clone(),
            stack: Arc::new(self.shared.stack.for_case(case.id, &artifacts)),
            seed: self.shared.seed.derive(case.id),
            artifacts,
            cancel: self.shared.cancel.clone(),
            progress: Progress::new(Remembering {
                last: last.clone(),
                case: case.id,
                to: self.shared.progress.clone(),
            }),
        };
        self.shared.progress.step(case.id, case.claim);
        let bound = case.bound * self.shared.stack.patience;
        let run = AssertUnwindSafe((case.run)(context)).catch_unwind();
        tokio::select! {
            ended = tokio::time::timeout(bound, run) => match ended {
                Ok(Ok(ended)) => ended,
                Ok(Err(panic)) => Err(CaseError::Environment(format!(
                    "the case itself broke off: {}",
                    panic
                        .downcast_ref::<String>()
                        .map(String::as_str)
                        .or_else(|| panic.downcast_ref::<&str>().copied())
                        .unwrap_or("a panic without words")
                ))),
                Err(_) => Err(CaseError::Environment(format!(
                    "not done within its bound of {}; it was at: {}",
                    format_duration(bound),
                    last.get()
                ))),
            },
            why = self.death(case) => Err(CaseError::Environment(why)),
            () = self.shared.cancel.cancelled() => {
                Err(CaseError::Environment(format!("interrupted; it was at: {}", last.get())))
            }
        }
    }

    /// Waits until a shared server is gone, and says why it is.
    async fn death(&self, case: &Case) -> String {
        let gone = Wait::new(
            "a shared server gone",
            case.bound * 2 * self.shared.stack.patience,
        )
        .every(Duration::from_millis(250))
        .until(async || match (self.shared.died)() {
            Some(why) => Look::Ready(why),
            None => Look::Missing("all run".to_owned()),
        })
        .await;
        // Its bound lies after the case's own, so it never ends without one gone.
        gone.unwrap_or_else(|error| error.to_string())
    }

    /// Waits until a place is free and nothing that the case excludes is running.
    async fn turn<'a>(&'a self, case: &Case) -> Turn<'a> {
        let mut place = None;
        loop {
            // Registered before looking, so that an end between look and wait is not missed.
            let ended = self.ended.notified();
            if place.is_none() {
                // The semaphore is never closed; without a place the case would just run beside the others.
                place = self.permits.acquire().await.ok();
            }
            {
                let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
                if !running.values().any(|other| case.excludes(other)) {
                    running.insert(case.id, case.clone());
                    return Turn {
                        runner: self,
                        case: case.id,
                        _place: place,
                    };
                }
            }
            place = None;
            ended.await;
        }
    }

    fn outcome(
        &self,
        case: &Case,
        verdict: Verdict,
        reason: Option<String>,
        took: Duration,
        findings: Findings,
    ) -> Outcome {
        let folder = self.shared.report.join("artifacts").join(case.id);
        Outcome {
            report: CaseReport {
                seconds: took.as_secs_f64(),
                findings: findings.findings,
                drawings: findings.drawings,
                artifacts: files_below(&folder, &self.shared.report),
                ..report_of(
                    case,
                    replay(case, self.shared.seed, &self.shared.replay),
                    verdict,
                    reason,
                )
            },
            figures: findings.figures,
            needs: case.needs,
        }
    }
}

/// The report of a case that came to `verdict` without looking at anything.
pub(crate) fn report_of(case: &Case, replay: String, verdict: Verdict, reason: Option<String>) -> CaseReport {
    CaseReport {
        id: case.id.to_owned(),
        area: case.area().to_owned(),
        claim: case.claim.to_owned(),
        level: case.level,
        verdict,
        reason,
        seconds: 0.0,
        promises: case.promises.iter().map(|&id| id.to_owned()).collect(),
        profiles: case.profiles.iter().map(|&id| id.to_owned()).collect(),
        findings: Vec::new(),
        drawings: Vec::new(),
        artifacts: Vec::new(),
        replay,
    }
}

/// The command that replays a case.
pub(crate) fn replay(case: &Case, seed: Seed, besides: &str) -> String {
    format!("cargo conform run{besides} --case {} --seed {seed}", case.id)
}

/// A case's place among the running ones; gives it back when dropped.
struct Turn<'a> {
    runner: &'a Runner,
    case: &'static str,
    _place: Option<tokio::sync::SemaphorePermit<'a>>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.runner
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(self.case);
        self.runner.ended.notify_waiters();
    }
}

/// From how a case ended to its verdict.
///
/// When a shared server is gone, whatever was not a pass is the set-up's
/// fault: its cause comes first, and what the case saw after it.
fn judge(ended: Result<Findings, CaseError>, died: Option<String>) -> (Verdict, Option<String>, Findings) {
    let (verdict, reason, findings) = match ended {
        Ok(findings) => (findings.verdict(), findings.reason(), findings),
        Err(CaseError::Environment(why)) => (Verdict::Environment, Some(why), Findings::new()),
        Err(CaseError::Failed(why)) => (Verdict::Fail, Some(why), Findings::new()),
        Err(CaseError::Insufficient(why)) => (Verdict::Insufficient, Some(why), Findings::new()),
    };
    match died {
        Some(cause) if reason.as_ref() == Some(&cause) => (Verdict::Environment, Some(cause), findings),
        Some(cause) if verdict != Verdict::Pass => {
            let seen = reason
                .map(|seen| format!("; the case saw: {seen}"))
                .unwrap_or_default();
            (Verdict::Environment, Some(format!("{cause}{seen}")), findings)
        }
        _ => (verdict, reason, findings),
    }
}

fn files_below(folder: &Path, relative_to: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if let Ok(path) = path.strip_prefix(relative_to) {
                found.push(path.display().to_string());
            }
        }
    }
    found.sort();
    found
}

/// The last step a case spoke of, for the account of a bound that was reached.
#[derive(Clone, Default)]
struct LastStep(Arc<Mutex<String>>);

impl LastStep {
    fn set(&self, what: &str) {
        what.clone_into(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn get(&self) -> String {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if last.is_empty() {
            "its beginning".to_owned()
        } else {
            last
        }
    }
}

struct Remembering {
    last: LastStep,
    case: &'static str,
    to: Progress,
}

impl Watcher for Remembering {
    fn step(&self, _: &str, what: &str) {
        self.last.set(what);
        self.to.step(self.case, what);
    }

    fn done(&self, _: &str, outcome: &str) {
        self.last.set(outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Finding;

    #[test]
    fn a_dead_server_is_not_the_stacks_failure() {
        let (verdict, reason, _) = judge(
            Err(CaseError::Failed("no answer".into())),
            Some("prometheus was killed".into()),
        );
        assert_eq!(verdict, Verdict::Environment);
        assert_eq!(
            reason.as_deref(),
            Some("prometheus was killed; the case saw: no answer")
        );
    }

    #[test]
    fn what_passed_before_a_server_died_stays_passed() {
        let mut findings = Findings::new();
        findings.push(Finding::of("something"));
        assert_eq!(
            judge(Ok(findings), Some("prometheus was killed".into())).0,
            Verdict::Pass
        );
    }
}
