//! Waiting by asking: every wait has a name, a bound and an account of what
//! was still missing when the bound was reached.
//!
//! Nothing else in the project pauses. A question is asked again at the given
//! interval until it was answered "ready" the stated number of times in a row
//! or the bound is over; what it said last is the account.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

/// A named, bounded wait.
#[derive(Debug, Clone)]
pub struct Wait {
    name: String,
    bound: Duration,
    interval: Duration,
    in_a_row: u32,
}

/// What one look found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look<T> {
    /// What was waited for is there.
    Ready(T),
    /// It is not; the text says what is missing.
    Missing(String),
    /// It never will be; the text says why.
    Hopeless(String),
}

/// Why a wait ended without what it waited for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WaitError {
    /// The bound was reached.
    #[error("{name}: still missing after {}: {missing} ({looks} looks)", crate::units::format_duration(*.bound))]
    Bound {
        /// Name of the wait.
        name: String,
        /// The bound that was reached.
        bound: Duration,
        /// What the last look missed.
        missing: String,
        /// How often it was looked.
        looks: u32,
    },
    /// A look said that waiting longer is of no use.
    #[error("{name}: {why}")]
    Hopeless {
        /// Name of the wait.
        name: String,
        /// Why it is of no use.
        why: String,
    },
}

impl Wait {
    /// A wait called `name` that ends after `bound` at the latest and looks every 20 ms.
    #[must_use]
    pub fn new(name: impl Into<String>, bound: Duration) -> Self {
        Self {
            name: name.into(),
            bound,
            interval: Duration::from_millis(20),
            in_a_row: 1,
        }
    }

    /// Looks every `interval` instead.
    #[must_use]
    pub fn every(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Asks for `count` ready answers in a row.
    #[must_use]
    pub fn in_a_row(mut self, count: u32) -> Self {
        self.in_a_row = count.max(1);
        self
    }

    /// Looks until ready, hopeless or out of time. A look that itself hangs is
    /// cut off at the bound.
    pub async fn until<T, F, Fut>(&self, mut look: F) -> Result<T, WaitError>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Look<T>>,
    {
        let end = Instant::now() + self.bound;
        let mut missing = "no look came back".to_owned();
        let mut looks = 0;
        let mut row = 0;
        loop {
            match tokio::time::timeout_at(end, look()).await {
                Ok(Look::Ready(value)) => {
                    row += 1;
                    if row >= self.in_a_row {
                        return Ok(value);
                    }
                    missing = format!("ready {row} of {} times in a row", self.in_a_row);
                }
                Ok(Look::Missing(what)) => {
                    row = 0;
                    missing = what;
                }
                Ok(Look::Hopeless(why)) => {
                    return Err(WaitError::Hopeless {
                        name: self.name.clone(),
                        why,
                    });
                }
                Err(_) => {
                    missing = format!("the last look did not come back; before it: {missing}");
                }
            }
            looks += 1;
            if Instant::now() + self.interval >= end {
                return Err(WaitError::Bound {
                    name: self.name.clone(),
                    bound: self.bound,
                    missing,
                    looks,
                });
            }
            // allow-sleep: the pause between two looks of a named, bounded wait.
            tokio::time::sleep(self.interval).await;
        }
    }

    /// Watches for the whole bound that `look` never is ready; what it saw is the error otherwise.
    ///
    /// Only for waits whose bound is itself an event of the system under test;
    /// elsewhere wait for a later sentinel event and look once.
    pub async fn never<F, Fut>(&self, mut look: F) -> Result<(), WaitError>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Option<String>>,
    {
        let end = Instant::now() + self.bound;
        loop {
            if let Some(why) = look().await {
                return Err(WaitError::Hopeless {
                    name: self.name.clone(),
                    why,
                });
            }
            if Instant::now() + self.interval >= end {
                return Ok(());
            }
            // allow-sleep: the pause between two looks of a named, bounded watch.
            tokio::time::sleep(self.interval).await;
        }
    }
}

/// Pauses until an instant of a schedule, for example the next tick of an
/// open-loop generator. The only pause besides the one between two looks.
pub async fn until_scheduled(instant: Instant) {
    // allow-sleep: a schedule's next tick is the event.
    tokio::time::sleep_until(instant).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[tokio::test]
    async fn the_end_of_a_wait_says_what_was_missing() {
        let wait = Wait::new("prometheus ready", Duration::from_millis(60)).every(Duration::from_millis(5));
        let error = wait
            .until(|| async { Look::<()>::Missing("503 from /-/ready".into()) })
            .await
            .unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("prometheus ready") && text.contains("503 from /-/ready"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn ready_must_hold_in_a_row() {
        let looks = Cell::new(0);
        let wait = Wait::new("steady", Duration::from_secs(5))
            .every(Duration::from_millis(1))
            .in_a_row(3);
        wait.until(|| {
            looks.set(looks.get() + 1);
            let look = looks.get();
            async move {
                if look == 2 {
                    Look::Missing("blinked".into())
                } else {
                    Look::Ready(())
                }
            }
        })
        .await
        .unwrap();
        assert_eq!(looks.get(), 5);
    }

    #[tokio::test]
    async fn hopeless_ends_at_once() {
        let wait = Wait::new("exited", Duration::from_secs(60));
        let error = wait
            .until(|| async { Look::<()>::Hopeless("exit code 1".into()) })
            .await
            .unwrap_err();
        assert_eq!(
            error,
            WaitError::Hopeless {
                name: "exited".into(),
                why: "exit code 1".into()
            }
        );
    }

    #[tokio::test]
    async fn a_look_that_hangs_is_cut_off_at_the_bound() {
        let wait = Wait::new("hung", Duration::from_millis(30)).every(Duration::from_millis(1));
        let error = wait.until(std::future::pending::<Look<()>>).await.unwrap_err();
        assert!(matches!(error, WaitError::Bound { .. }));
    }
}
