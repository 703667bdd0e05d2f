//! Plain lines: seconds since the start, the subject, what it does. For logs and pipes.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Watcher;

/// Width kept for subjects, so that what they do is aligned; longer ones push their own line only.
const SUBJECT: usize = 26;

/// Writes one line a step; a step that was said before is not said again.
pub(super) struct Lines<W, C> {
    clock: C,
    state: Mutex<State<W>>,
}

struct State<W> {
    out: W,
    /// What each running subject said last.
    last: HashMap<String, String>,
}

impl Lines<std::io::Stderr, Box<dyn Fn() -> Duration + Send + Sync>> {
    /// Lines on standard error, counting from now.
    pub(super) fn on_stderr() -> Self {
        let start = Instant::now();
        Self::new(std::io::stderr(), Box::new(move || start.elapsed()))
    }
}

impl<W: Write, C: Fn() -> Duration> Lines<W, C> {
    fn new(out: W, clock: C) -> Self {
        Self {
            clock,
            state: Mutex::new(State {
                out,
                last: HashMap::new(),
            }),
        }
    }

    fn say(&self, subject: &str, what: &str, over: bool) {
        // A watcher that panicked elsewhere must not take the lines of everyone else with it.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let repeated = state.last.get(subject).is_some_and(|last| last == what);
        if over {
            state.last.remove(subject);
        } else if repeated {
            return;
        } else {
            state.last.insert(subject.to_owned(), what.to_owned());
        }
        let line = line((self.clock)(), subject, what);
        // Nobody reading any more (a broken pipe) is no reason to end a run.
        let _ = state
            .out
            .write_all(line.as_bytes())
            .and_then(|()| state.out.flush());
    }
}

impl<W: Write + Send, C: Fn() -> Duration + Send + Sync> Watcher for Lines<W, C> {
    fn step(&self, subject: &str, what: &str) {
        self.say(subject, what, false);
    }

    fn done(&self, subject: &str, outcome: &str) {
        self.say(subject, outcome, true);
    }
}

/// `  12.3s  prometheus  ready on 127.0.0.1:4312`; further lines are indented below the first.
fn line(elapsed: Duration, subject: &str, what: &str) -> String {
    let mut out = String::new();
    let mut texts = what.lines().map(str::trim_end).filter(|text| !text.is_empty());
    let first = texts.next().unwrap_or_default();
    let head = format!("{:>6.1}s  {subject:<SUBJECT$}  {first}", elapsed.as_secs_f64());
    out.push_str(head.trim_end());
    out.push('\n');
    for text in texts {
        out.push_str(&" ".repeat(9 + SUBJECT + 2));
        out.push_str(text);
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn said(events: &[(&str, &str, bool)]) -> String {
        let ticks = Cell::new(0u64);
        let lines = Lines::new(Vec::new(), || {
            ticks.set(ticks.get() + 1);
            Duration::from_millis(1300 * ticks.get())
        });
        for (subject, what, over) in events {
            lines.say(subject, what, *over);
        }
        String::from_utf8(lines.state.into_inner().unwrap().out).unwrap()
    }

    #[test]
    fn a_step_is_said_once() {
        let text = said(&[
            ("prometheus", "starting", false),
            ("prometheus", "starting", false),
            ("alertmanager", "starting", false),
            ("prometheus", "ready on 127.0.0.1:4312", true),
            ("metrics/a-case-with-a-long-name-indeed", "writing blocks", false),
            (
                "metrics/a-case-with-a-long-name-indeed",
                "fail: the cause\n  and its log",
                true,
            ),
        ]);
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_subject_that_starts_again_is_heard_again() {
        let text = said(&[
            ("p", "starting", false),
            ("p", "ready", true),
            ("p", "starting", false),
        ]);
        assert_eq!(text.lines().count(), 3);
    }

    #[test]
    fn a_broken_pipe_is_ignored() {
        struct Broken;
        impl Write for Broken {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        Lines::new(Broken, || Duration::ZERO).step("prometheus", "starting");
    }
}
