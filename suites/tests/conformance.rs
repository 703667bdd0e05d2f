//! The conformance cases as tests: listed, filtered and counted like any other.
//!
//! The stack comes up when the first selected case starts, all cases share
//! it, and the report is written when the last has ended, as by `conform run`.

use std::process::ExitCode;
use std::sync::Arc;

use harness::case::Case;
use harness::progress::Progress;
use harness::project::{Places, Project};
use harness::runner::Outcome;
use harness::seed::Seed;
use harness::session::{Options, Session, usual_side_by_side};
use harness::target::TargetName;
use harness::target::existing::Existing;
use harness::target::needs::Needs;
use harness::verdict::Verdict;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tokio::runtime::Runtime;
use tokio::sync::{Mutex, OnceCell};
use tokio_util::sync::CancellationToken;

/// The profile that the report judges; cases of other profiles are listed beside it.
const PROFILE: &str = "core";

/// What the tests share: the session, opened by the first that runs.
struct Shared {
    runtime: Runtime,
    session: OnceCell<Session>,
    outcomes: Mutex<Vec<(usize, Outcome)>>,
}

impl Shared {
    async fn run(&self, number: usize, case: &Case) -> Result<Outcome, String> {
        let session = Box::pin(self.session.get_or_try_init(open)).await?;
        let outcome = session.run(case).await;
        self.outcomes.lock().await.push((number, outcome.clone()));
        Ok(outcome)
    }
}

async fn open() -> Result<Session, String> {
    let places = Places {
        root: Some(suites::root()),
        ..Places::default()
    };
    let project = Project::load(&places, &suites::root()).map_err(|error| error.to_string())?;
    let seed = match std::env::var("CONFORM_SEED") {
        Ok(text) => text.parse().map_err(|error| format!("CONFORM_SEED: {error}"))?,
        Err(_) => Seed::fresh(),
    };
    let options = Options {
        seed,
        target: TargetName::Local,
        existing: Existing::default(),
        images: Vec::new(),
        report: suites::root().join("conform-report"),
        side_by_side: usual_side_by_side(TargetName::Local),
        warm: None,
        profile: PROFILE.to_owned(),
        profile_cases: suites::cases()
            .iter()
            .filter(|case| case.profiles.contains(&PROFILE))
            .count(),
        needs: Needs::of(
            &suites::cases()
                .into_iter()
                .filter(|case| case.profiles.contains(&PROFILE))
                .collect::<Vec<_>>(),
        ),
    };
    Ok(Box::pin(Session::open(
        project,
        options,
        Progress::new(harness::progress::terminal()),
        CancellationToken::new(),
    ))
    .await)
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    let mut cases = suites::cases();
    cases.retain(|case| case.profiles.contains(&PROFILE));
    // The longest first: with a thread each, tests start in this order.
    cases.sort_by_key(|case| std::cmp::Reverse(case.bound));
    // A thread a test: how many run side by side is the runner's business, which knows what they wait for.
    arguments.test_threads = arguments.test_threads.or(Some(cases.len().max(1)));
    let Ok(runtime) = Runtime::new() else {
        return ExitCode::from(3);
    };
    let shared = Arc::new(Shared {
        runtime,
        session: OnceCell::new(),
        outcomes: Mutex::default(),
    });
    let trials = cases
        .into_iter()
        .enumerate()
        .map(|(number, case)| trial(number, case, &shared))
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    let Some(shared) = Arc::into_inner(shared) else {
        return conclusion.exit_code();
    };
    if let Some(session) = shared.session.into_inner() {
        let mut outcomes = shared.outcomes.into_inner();
        outcomes.sort_by_key(|(number, _)| *number);
        let outcomes = outcomes.into_iter().map(|(_, outcome)| outcome).collect();
        let (report, written) = shared.runtime.block_on(session.close(outcomes));
        println!("{}", report.table(false));
        match written {
            Ok(()) => println!("report: conform-report/index.html"),
            Err(error) => println!("{error}"),
        }
    }
    conclusion.exit_code()
}

fn trial(number: usize, case: Case, shared: &Arc<Shared>) -> Trial {
    let shared = shared.clone();
    let (name, kind) = (case.id, case.level.name());
    Trial::ignorable_test(name, move || {
        let outcome = shared
            .runtime
            .block_on(shared.run(number, &case))
            .map_err(Failed::from)?;
        let reason = outcome.report.reason.unwrap_or_default();
        match outcome.report.verdict {
            Verdict::Pass => Ok(Completion::Completed),
            Verdict::Skipped => Ok(Completion::ignored_with(reason)),
            verdict => Err(Failed::from(format!(
                "{verdict}: {reason}\nreplay: {}",
                outcome.report.replay
            ))),
        }
    })
    .with_kind(kind)
}
