//! What a run measures of itself, held against what the contract demands of the harness.

use std::time::Duration;

use super::{Running, Session};
use crate::finding::Figure;
use crate::runner::{Outcome, machine};
use crate::target::brought::Brought;

mod emission;

/// The cases' figures and the run's own.
pub(super) async fn all(session: &Session, outcomes: &[Outcome]) -> Vec<Figure> {
    let mut figures: Vec<Figure> = outcomes
        .iter()
        .flat_map(|outcome| outcome.figures.clone())
        .collect();
    let whole = session.options.profile == "core" && session.options.whole(outcomes.len());
    let took = session.clock.elapsed();
    if let Ok(Running {
        runner,
        own: Some(own),
        cold,
    }) = &session.state
    {
        let mut seconds = |what: &str, promise: &str, value: Duration| {
            figures.extend(at_most(session, what, promise, value));
        };
        let stack = &runner.shared().stack;
        match own.as_ref() {
            Brought::Local(_) => {
                if stack.elasticsearch.is_some() {
                    seconds("whole stack ready", "harness-up-whole", stack.up);
                } else {
                    seconds("stack ready", "harness-up", stack.up);
                }
                match cold {
                    // With what came before the program: a newcomer waits for cargo, too.
                    true if whole => seconds(
                        "cold first run, compiling included",
                        "harness-cold-run",
                        machine::process_age().unwrap_or(took),
                    ),
                    false if whole => seconds("core profile", "harness-core-profile", took),
                    _ => {}
                }
                if whole {
                    figures.extend(emission::all(session).await);
                }
            }
            Brought::Kind(own) => {
                seconds("stack ready in its cluster", "harness-kind-up", stack.up);
                match own.made_in() {
                    Some(made) => {
                        seconds("cluster ready", "harness-kind-cluster", made);
                        if whole {
                            seconds("core profile on kind", "harness-kind-core-profile", took);
                        }
                    }
                    None if whole => seconds(
                        "core profile on a cluster that was there",
                        "harness-kind-core-reused",
                        took,
                    ),
                    None => {}
                }
            }
            Brought::Existing(_) => {}
        }
    }
    figures.extend(memory(session));
    figures
}

/// A time against what the contract says of it.
fn at_most(session: &Session, what: &str, promise: &str, value: Duration) -> Option<Figure> {
    let bound = session.project.contract.duration(promise, "at-most").ok()?;
    Some(Figure {
        what: what.to_owned(),
        value: value.as_secs_f64(),
        bound: bound.as_secs_f64(),
        at_least: false,
        unit: "s".to_owned(),
    })
}

#[expect(clippy::cast_precision_loss, reason = "sizes and counts are far below 2^52")]
fn memory(session: &Session) -> Option<Figure> {
    const MIB: f64 = 1024.0 * 1024.0;
    let bound = session.project.contract.bytes("harness-memory", "at-most").ok()?;
    Some(Figure {
        what: "harness's own memory".to_owned(),
        value: machine::peak_memory() as f64 / MIB,
        bound: bound.0 as f64 / MIB,
        at_least: false,
        unit: "MiB".to_owned(),
    })
}
