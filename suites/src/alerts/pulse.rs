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

    /// A finding that failed its timing is no accusation when the machine itself was late by half of
    /// what the bound leaves as slack.
    pub(super) fn excuse(&self, finding: Finding, slack: Duration) -> Finding {
        let late = self.late();
        if finding.verdict == Verdict::Fail && late * 2 > slack {
            let why = finding.reason.clone().unwrap_or_default();
            finding.verdict(
                Verdict::Environment,
                format!(
                    "the machine was {} late itself, so its timing says nothing about the stack: {why}",
                    format_duration(late)
                ),
            )
        } else {
            finding
        }
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.task.abort();
    }
}
