//! Processes as the kernel tells of them: which belong to a folder, and their end.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};

use super::wait::{BOUND, wait};

/// A process of a scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) pid: i32,
    /// Its command line, words separated by spaces.
    pub(super) command: String,
}

impl Found {
    pub(super) fn signal(&self, signal: Signal) {
        signal_to(self.pid, signal);
    }
}

/// Sends a signal to a process that the scenario started.
pub(super) fn signal_to(pid: i32, signal: Signal) {
    let pid = Pid::from_raw(pid).expect("a process id is positive");
    kill_process(pid, signal).expect("the process is there and is ours");
}

/// Sends a signal to a process that may have ended already but was not waited for yet.
pub(super) fn try_signal_to(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, signal);
    }
}

/// Every process that runs in `folder` or names it on its command line. One that has ended and
/// waits for its parent has neither.
pub(super) fn of(folder: &Path) -> Vec<Found> {
    let name = folder.to_str().expect("the folder's name is text");
    let entries = fs::read_dir("/proc").expect("there is /proc");
    entries
        .flatten()
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            // A process may end between two looks at it: then it is none of the folder's.
            let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            let runs_in: PathBuf = fs::read_link(entry.path().join("cwd")).unwrap_or_default();
            let its = command.contains(name) || runs_in.starts_with(folder);
            its.then_some(Found { pid, command })
        })
        .collect()
}

/// Waits for a process of `folder` whose executable has this name.
#[track_caller]
pub(super) fn appears(folder: &Path, executable: &str) -> Found {
    wait(&format!("a process `{executable}`"), BOUND, || {
        let all = of(folder);
        all.iter()
            .find(|found| {
                let program = found.command.split(' ').next().unwrap_or_default();
                Path::new(program)
                    .file_name()
                    .is_some_and(|name| name == executable)
            })
            .cloned()
            .ok_or_else(|| format!("of {} there are only {all:?}", folder.display()))
    })
}

/// Waits until no process of `folder` is left.
#[track_caller]
pub(super) fn gone(folder: &Path) {
    wait("no process left", BOUND, || match of(folder) {
        none if none.is_empty() => Ok(()),
        left => Err(format!("{left:?} are left of {}", folder.display())),
    });
}
