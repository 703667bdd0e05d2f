//! The one way scenarios wait: by asking again, with a name, a bound and what was still missing.

use std::time::{Duration, Instant};

/// Longest that something takes which a busy machine does in a few seconds.
pub(super) const BOUND: Duration = Duration::from_mins(1);

/// Asks until `look` has it; at the end of `bound` the test fails with what the last look missed.
#[track_caller]
pub(super) fn wait<T>(name: &str, bound: Duration, mut look: impl FnMut() -> Result<T, String>) -> T {
    let begin = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(missing) if begin.elapsed() > bound => {
                panic!("{name}: still missing after {bound:?}: {missing}")
            }
            Err(_) => {}
        }
        // allow-sleep: the pause between two looks of a named, bounded wait.
        std::thread::sleep(Duration::from_millis(20));
    }
}
