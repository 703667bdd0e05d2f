//! A server's own clock, shifted by libfaketime, for servers whose clock comes from the C library
//! (a JVM's does, a Go program's does not).

use std::fs;
use std::path::{Path, PathBuf};

use jiff::SignedDuration;

use super::failure::Failure;

/// Where systems keep the library for programs with threads (Debian's multiarch folders, Fedora's, Alpine's).
const SYSTEM: [&str; 5] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
    "/usr/local/lib/faketime/libfaketimeMT.so.1",
];

/// The library of the system, if it has one.
pub(super) fn system_library() -> Option<PathBuf> {
    SYSTEM.iter().map(PathBuf::from).find(|path| path.is_file())
}

/// A clock that follows the shift in a file.
#[derive(Debug, Clone)]
pub(super) struct Clock {
    library: PathBuf,
    file: PathBuf,
}

impl Clock {
    /// A clock of `library` whose file is in `folder`, shifted by `shift` from the beginning.
    pub(super) fn new(library: PathBuf, folder: &Path, shift: SignedDuration) -> Result<Self, Failure> {
        fs::create_dir_all(folder).map_err(|error| Failure::file(&error, "making", folder))?;
        let clock = Self {
            library,
            file: folder.join("clock"),
        };
        clock.set(shift)?;
        Ok(clock)
    }

    /// Shifts it; the server follows within about a second.
    pub(super) fn set(&self, shift: SignedDuration) -> Result<(), Failure> {
        // Written beside and renamed, so that nobody reads half a shift.
        let beside = self.file.with_extension("new");
        fs::write(&beside, written(shift))
            .and_then(|()| fs::rename(&beside, &self.file))
            .map_err(|error| Failure::file(&error, "writing", &self.file))
    }

    /// What the server has to find in its environment (libfaketime's README): its monotonic clock stays
    /// real, so that timeouts do, the file is looked at every second, and no shared memory is left behind.
    /// The correction of waits on that clock is off, since it makes every timed wait of a JVM come back at
    /// once and its threads spin.
    pub(super) fn environment(&self) -> Vec<(String, String)> {
        let path = |path: &Path| path.display().to_string();
        [
            ("LD_PRELOAD", path(&self.library)),
            ("FAKETIME_TIMESTAMP_FILE", path(&self.file)),
            ("FAKETIME_CACHE_DURATION", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("FAKETIME_FORCE_MONOTONIC_FIX", "0".to_owned()),
            ("FAKETIME_DISABLE_SHM", "1".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}

/// A shift as libfaketime reads it: seconds with their sign.
fn written(shift: SignedDuration) -> String {
    let seconds = shift.as_secs();
    let milliseconds = shift.subsec_millis().abs();
    let sign = if shift.is_negative() { '-' } else { '+' };
    format!("{sign}{}.{milliseconds:03}\n", seconds.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(SignedDuration::ZERO, "+0.000\n")]
    #[case(SignedDuration::from_hours(-9 * 24), "-777600.000\n")]
    #[case(SignedDuration::from_millis(1500), "+1.500\n")]
    #[case(SignedDuration::from_millis(-500), "-0.500\n")]
    fn shifts_are_written_in_seconds_with_their_sign(#[case] shift: SignedDuration, #[case] expected: &str) {
        assert_eq!(written(shift), expected);
    }
}
