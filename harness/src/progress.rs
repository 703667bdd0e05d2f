//! What is going on, for whoever watches: one event a step, with what and why.
//!
//! Library code never prints; it sends events. On a terminal they become a
//! live display, elsewhere plain lines.

mod lines;
mod live;

use std::io::IsTerminal as _;
use std::sync::Arc;

/// Receives what is going on.
pub trait Watcher: Send + Sync {
    /// A step of `subject` (a component, a case) began or moved on.
    fn step(&self, subject: &str, what: &str);
    /// `subject` is done, well or not.
    fn done(&self, subject: &str, outcome: &str);
}

/// Shows what is going on on standard error: a live display on a terminal, plain lines elsewhere.
#[must_use]
pub fn terminal() -> Box<dyn Watcher> {
    if std::io::stderr().is_terminal() {
        Box::new(live::Live::on_stderr())
    } else {
        Box::new(lines::Lines::on_stderr())
    }
}

impl<W: Watcher + ?Sized> Watcher for Box<W> {
    fn step(&self, subject: &str, what: &str) {
        (**self).step(subject, what);
    }

    fn done(&self, subject: &str, outcome: &str) {
        (**self).done(subject, outcome);
    }
}

/// A cheap handle to whoever watches.
#[derive(Clone)]
pub struct Progress(Arc<dyn Watcher>);

impl std::fmt::Debug for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Progress")
    }
}

impl Progress {
    /// Sends events to `watcher`.
    #[must_use]
    pub fn new(watcher: impl Watcher + 'static) -> Self {
        Self(Arc::new(watcher))
    }

    /// Nobody watches.
    #[must_use]
    pub fn silent() -> Self {
        struct Nobody;
        impl Watcher for Nobody {
            fn step(&self, _: &str, _: &str) {}
            fn done(&self, _: &str, _: &str) {}
        }
        Self::new(Nobody)
    }

    /// A step of `subject` began or moved on.
    pub fn step(&self, subject: &str, what: impl AsRef<str>) {
        self.0.step(subject, what.as_ref());
    }

    /// `subject` is done.
    pub fn done(&self, subject: &str, outcome: impl AsRef<str>) {
        self.0.done(subject, outcome.as_ref());
    }
}
