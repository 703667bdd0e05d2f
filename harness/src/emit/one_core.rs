//! One core for a generator: its own thread with its own runtime, whose CPU
//! time is the whole cost of generating.

use std::future::Future;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Why a generator's thread gave no result.
#[derive(Debug, thiserror::Error)]
pub enum CoreError {
    /// The thread or its runtime cannot be started.
    #[error("the generator's thread cannot be started: {0}")]
    Start(#[from] std::io::Error),
    /// The thread ended without a result.
    #[error("the generator's thread ended without a result")]
    Lost,
}

/// Runs what `work` makes on a thread of its own and says how much CPU time that thread spent.
pub async fn on_one_core<T, F, Fut>(name: &str, work: F) -> Result<(T, Duration), CoreError>
where
    T: Send + 'static,
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = T>,
{
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let outcome = runtime.map(|runtime| {
            let before = thread_cpu();
            let result = runtime.block_on(work());
            (result, thread_cpu().saturating_sub(before))
        });
        // Nobody waits any more where the run was given up.
        let _ = sender.send(outcome);
    })?;
    Ok(receiver.await.map_err(|_| CoreError::Lost)??)
}

/// CPU time that the calling thread has spent.
#[must_use]
pub fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_work_of_the_thread_is_counted() {
        let (sum, cpu) = on_one_core("sum", || async {
            (0..5_000_000u64).fold(0, |sum, n| sum ^ std::hint::black_box(n))
        })
        .await
        .unwrap();
        assert_eq!(sum, (0..5_000_000u64).fold(0, |sum, n| sum ^ n));
        assert!(cpu > Duration::ZERO);
    }
}
