//! How much memory the machine has left.

use std::fs;

/// Bytes that new processes can have without swapping (`MemAvailable`, proc(5)), less where a control
/// group leaves less. None where the kernel does not say.
pub(super) fn available() -> Option<u64> {
    let machine = meminfo(&fs::read_to_string("/proc/meminfo").ok()?)?;
    let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let group = number("/sys/fs/cgroup/memory.max")
        .zip(number("/sys/fs/cgroup/memory.current"))
        .map(|(most, now)| most.saturating_sub(now));
    Some(group.map_or(machine, |group| group.min(machine)))
}

fn meminfo(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_read() {
        let text = "MemTotal:       24689664 kB\nMemFree:        23068672 kB\nMemAvailable:   24117248 kB\n";
        assert_eq!(meminfo(text), Some(24_117_248 * 1024));
        assert_eq!(meminfo("MemTotal: 1 kB\n"), None);
    }
}
