//! What the machine is, and what the harness itself takes of it.

use std::fs;
use std::time::Duration;

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

/// How long ago this process began, in the clock ticks of proc(5). What `cargo run` started began with cargo, whose
/// process becomes the program: compiling is in it.
#[must_use]
pub fn process_age() -> Option<Duration> {
    let uptime = fs::read_to_string("/proc/uptime").ok()?;
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    age(&uptime, &stat, rustix::param::clock_ticks_per_second())
}

/// From `/proc/uptime` and `/proc/self/stat`, where the start is the 22nd field, counted in ticks.
#[expect(clippy::cast_precision_loss, reason = "ticks since boot are far below 2^52")]
fn age(uptime: &str, stat: &str, ticks_per_second: u64) -> Option<Duration> {
    let up: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    // The second field is a name in brackets, which may hold anything.
    let (_, after_name) = stat.rsplit_once(')')?;
    let started: u64 = after_name.split_whitespace().nth(19)?.parse().ok()?;
    Duration::try_from_secs_f64(up - started as f64 / ticks_per_second as f64).ok()
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rstest::rstest;

    use super::{age, process_age};

    const STAT: &str = "5124 (a name) 1) S 1 5124 5124 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 9 0 4250 100 200";

    #[rstest]
    #[case::whole("100.00 180.00", STAT, Some(Duration::from_millis(57_500)))]
    #[case::began_just_now("42.50 80.00", STAT, Some(Duration::ZERO))]
    #[case::clocks_that_disagree("42.00 80.00", STAT, None)]
    #[case::cut_short("100.00 180.00", "5124 (a name) S 1", None)]
    #[case::no_uptime("", STAT, None)]
    fn reads_how_long_ago_the_process_began(
        #[case] uptime: &str,
        #[case] stat: &str,
        #[case] expected: Option<Duration>,
    ) {
        assert_eq!(age(uptime, stat, 100), expected);
    }

    #[test]
    fn this_process_began_a_while_ago() {
        assert!(process_age().is_some_and(|age| age < Duration::from_hours(24)));
    }
}
