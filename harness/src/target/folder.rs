//! The folder of a run, marked with its owner, and the removal of folders whose owner is gone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Name of the file that marks a folder with its owner.
const MARK: &str = "owner.json";

/// A process, told apart from a later one of the same number by the instant it was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    /// Process id.
    pub pid: u32,
    /// Start of the process in clock ticks since the machine's start, field 22 of `/proc/<pid>/stat` (proc(5)).
    pub started_ticks: u64,
}

impl Owner {
    /// This process.
    pub fn this() -> io::Result<Self> {
        let pid = std::process::id();
        Self::of(pid).ok_or_else(|| {
            io::Error::other(format!("/proc/{pid}/stat does not say when this process started"))
        })
    }

    /// The process of this number that runs now, none if there is none.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        started_ticks(pid).map(|started_ticks| Self { pid, started_ticks })
    }

    /// Whether the process still runs.
    #[must_use]
    pub fn alive(&self) -> bool {
        started_ticks(self.pid) == Some(self.started_ticks)
    }
}

/// When a process was started; none when it does not run (any more).
fn started_ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, so count from its end: state is field 3.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// A folder of a run. Dropping it removes it with everything in it.
#[derive(Debug)]
pub(super) struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// Makes the folder, if it is not there yet, and marks it as this process's. It is the run's alone:
    /// everything in it is removed in the end.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        // Servers run in folders below, so their paths must not depend on where the harness was started.
        let path = path.canonicalize()?;
        let folder = Self { path };
        mark(&folder.path, Owner::this()?)?;
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        // What cannot be removed now is swept by the next run.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes the folders below `runs` whose owner does not run any more; what was removed. Folders
/// without a mark are not a run's and stay.
pub fn sweep(runs: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(runs) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut swept = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if abandoned(&path) {
            match fs::remove_dir_all(&path) {
                Ok(()) => swept.push(path),
                // Another run sweeps at the same time.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    swept.sort();
    Ok(swept)
}

/// Marks a folder as `owner`'s.
pub(super) fn mark(folder: &Path, owner: Owner) -> io::Result<()> {
    fs::write(folder.join(MARK), serde_json::to_vec(&owner)?)
}

/// Whether a folder is marked as `owner`'s.
pub(super) fn marked_by(folder: &Path, owner: Owner) -> bool {
    owner_of(folder) == Some(owner)
}

fn owner_of(folder: &Path) -> Option<Owner> {
    serde_json::from_slice(&fs::read(folder.join(MARK)).ok()?).ok()
}

fn abandoned(folder: &Path) -> bool {
    owner_of(folder).is_some_and(|owner| !owner.alive())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_an_earlier_one_of_its_number_is_not() {
        let this = Owner::this().unwrap();
        assert!(this.alive());
        let earlier = Owner {
            started_ticks: this.started_ticks.wrapping_sub(1),
            ..this
        };
        assert!(!earlier.alive());
    }

    #[test]
    fn folders_of_dead_runs_are_swept_and_others_stay() {
        let runs = tempfile::tempdir().unwrap();
        let mine = RunFolder::create(&runs.path().join("mine")).unwrap();
        let dead = runs.path().join("dead");
        let other = runs.path().join("other");
        for folder in [&dead, &other] {
            fs::create_dir_all(folder.join("data")).unwrap();
        }
        let owner = Owner {
            pid: std::process::id(),
            started_ticks: 1,
        };
        mark(&dead, owner).unwrap();

        assert_eq!(sweep(runs.path()).unwrap(), std::slice::from_ref(&dead));
        assert!(mine.path().is_dir() && other.is_dir() && !dead.exists());
        let path = mine.path().to_owned();
        drop(mine);
        assert!(!path.exists());
    }

    #[test]
    fn nothing_to_sweep_is_no_error() {
        let runs = tempfile::tempdir().unwrap();
        assert!(sweep(&runs.path().join("missing")).unwrap().is_empty());
    }
}
