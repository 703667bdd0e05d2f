//! The live display: a spinner a running subject, what is done above them.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Watcher;

/// How often the elapsed seconds of a spinner are drawn again.
const REDRAW: Duration = Duration::from_millis(120);

/// One line a running subject, with its elapsed seconds.
pub(super) struct Live {
    start: Instant,
    bars: MultiProgress,
    style: ProgressStyle,
    running: Mutex<IndexMap<String, ProgressBar>>,
}

impl Live {
    /// A display on standard error.
    pub(super) fn on_stderr() -> Self {
        Self::on(ProgressDrawTarget::stderr())
    }

    fn on(target: ProgressDrawTarget) -> Self {
        // The template is a constant that a test parses; the fall-back only keeps a display alive.
        let style = ProgressStyle::with_template(TEMPLATE)
            .unwrap_or_else(|_| ProgressStyle::default_spinner())
            .tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ");
        Self {
            start: Instant::now(),
            bars: MultiProgress::with_draw_target(target),
            style,
            running: Mutex::new(IndexMap::new()),
        }
    }
}

const TEMPLATE: &str = "{elapsed:>7} {spinner} {prefix:<26!}  {wide_msg}";

impl Watcher for Live {
    fn step(&self, subject: &str, what: &str) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = running.entry(subject.to_owned()).or_insert_with(|| {
            let bar = self.bars.add(ProgressBar::new_spinner());
            bar.set_style(self.style.clone());
            bar.set_prefix(subject.to_owned());
            bar.enable_steady_tick(REDRAW);
            bar
        });
        bar.set_message(what.lines().next().unwrap_or_default().to_owned());
    }

    fn done(&self, subject: &str, outcome: &str) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = running.shift_remove(subject) {
            bar.finish_and_clear();
            self.bars.remove(&bar);
        }
        let line = format!(
            "{:>6.1}s   {subject:<26}  {outcome}",
            self.start.elapsed().as_secs_f64()
        );
        // A terminal that is gone is no reason to end a run.
        let _ = self.bars.println(line.trim_end());
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // What still runs when the display ends must not stay on the screen as if it did.
        let _ = self.bars.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_understood() {
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
    }

    #[test]
    fn a_done_subject_leaves_the_display() {
        let live = Live::on(ProgressDrawTarget::hidden());
        live.step("prometheus", "starting");
        live.step("alertmanager", "starting");
        live.step("prometheus", "waiting for readiness");
        live.done("prometheus", "ready");
        live.done("never-started", "skipped");
        let running = live.running.lock().unwrap();
        assert_eq!(running.keys().collect::<Vec<_>>(), ["alertmanager"]);
    }
}
