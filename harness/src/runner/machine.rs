//! What the machine is, and what the harness itself takes of it.

use std::fs;

use crate::report::Machine;

/// The machine this process runs on.
#[must_use]
pub fn machine() -> Machine {
    Machine {
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        memory_bytes: kibibytes("/proc/meminfo", "MemTotal:").unwrap_or_default(),
        system: fs::read_to_string("/etc/os-release")
            .ok()
            .and_then(|text| {
                let line = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
                Some(line.trim_matches('"').to_owned())
            })
            .unwrap_or_else(|| std::env::consts::OS.to_owned()),
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
    }
}

/// Largest resident set of this process so far, in bytes (`VmHWM` of proc(5)).
#[must_use]
pub fn peak_memory() -> u64 {
    kibibytes("/proc/self/status", "VmHWM:").unwrap_or_default()
}

fn kibibytes(file: &str, key: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace()
        .next()?
        .parse::<u64>()
        .ok()
        .map(|kib| kib * 1024)
}
