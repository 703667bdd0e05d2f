//! Whether the machine kept time while a case measured: a task that is due every 20 ms, and how late it came.
//!
//! A bound of a second or two says nothing about the stack on a machine that could not run anything
//! for that long; such a measurement is an environment verdict, not an accusation.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use harness::finding::Finding;
use harness::units::format_duration;
use harness::verdict::Verdict;
use harness::wait::until_scheduled;
use tokio::time::Instant;

/// How much instants may differ that were read on one machine, before and after a request.
pub(super) const CLOCK_TOLERANCE: f64 = 0.05;

const PERIOD: Duration = Duration::from_millis(20);

/// A running pulse. Dropping it ends it.
pub(super) struct Pulse {
    latest: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Pulse {
    /// Starts to watch.
    pub(super) fn start() -> Self {
        let latest = Arc::new(AtomicU64::new(0));
        let worst = Arc::clone(&latest);
        let task = tokio::spawn(async move {
            let mut due = Instant::now() + PERIOD;
            loop {
                until_scheduled(due).await;
                let now = Instant::now();
                let late = u64::try_from((now - due).as_micros()).unwrap_or(u64::MAX);
                worst.fetch_max(late, Ordering::Relaxed);
                due = now + PERIOD;
            }
        });
        Self { latest, task }
    }

    /// The latest it has come so far.
    pub(super) fn late(&self) -> Duration {
        Duration::from_micros(self.latest.load(Ordering::Relaxed))
    }

    /// Judges an instant that has a window, both in seconds from the same start; `slack` is the part
    /// of the window that is there for the machine. What comes too late is no accusation when the
    /// machine itself was late by half of that; what comes too early always is.
    pub(super) fn judge(
        &self,
        finding: Finding,
        took: f64,
        (earliest, latest): (f64, f64),
        slack: Duration,
    ) -> Finding {
        let finding = finding
            .observed(format!("{took:.2}"))
            .bound(format!("{earliest:.2} to {latest:.2}"))
            .unit("s");
        if took < earliest - CLOCK_TOLERANCE {
            let early = format_duration(Duration::from_secs_f64(earliest - took));
            return finding.judge(false, || format!("it came {early} too early"));
        }
        if took <= latest + CLOCK_TOLERANCE {
            return finding;
        }
        let over = format_duration(Duration::from_secs_f64(took - latest));
        let late = self.late();
        if late * 2 > slack {
            let late = format_duration(late);
            finding.verdict(
                Verdict::Environment,
                format!("the machine was {late} late itself, so that it came {over} too late says nothing about the stack"),
            )
        } else {
            finding.judge(false, || format!("it came {over} too late"))
        }
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.task.abort();
    }
}
