//! What is going on, for whoever watches: one event a step, with what and why.
//!
//! Library code never prints; it sends events. On a terminal they become a
//! live display, elsewhere plain lines.

use std::sync::Arc;

/// Receives what is going on.
pub trait Watcher: Send + Sync {
    /// A step of `subject` (a component, a case) began or moved on.
    fn step(&self, subject: &str, what: &str);
    /// `subject` is done, well or not.
    fn done(&self, subject: &str, outcome: &str);
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
