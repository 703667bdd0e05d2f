//! Free disk space, asked for before something large is made.

use std::path::Path;

/// Free bytes for this user on the file system of `path`, or of its nearest folder that exists.
pub(super) fn free(path: &Path) -> Option<u64> {
    path.ancestors()
        .find_map(|folder| rustix::fs::statvfs(folder).ok())
        .map(|about| about.f_bavail.saturating_mul(about.f_frsize))
}

/// A size for people: one decimal, in powers of 1024 under the names the field uses.
pub(super) fn format_bytes(bytes: u64) -> String {
    let (mut unit, mut name) = (1u64, "B");
    for next in ["KB", "MB", "GB", "TB"] {
        if bytes / unit < 1024 {
            break;
        }
        unit *= 1024;
        name = next;
    }
    let tenths = u128::from(bytes) * 10 / u128::from(unit);
    if unit == 1 {
        format!("{bytes} B")
    } else {
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(0, "0 B")]
    #[case(1023, "1023 B")]
    #[case(1536, "1.5 KB")]
    #[case(3 << 30, "3.0 GB")]
    fn sizes_read_well(#[case] bytes: u64, #[case] text: &str) {
        assert_eq!(format_bytes(bytes), text);
    }

    #[test]
    fn a_folder_that_is_not_there_yet_has_its_parents_space() {
        let folder = tempfile::tempdir().unwrap();
        assert!(free(&folder.path().join("a/b/c")).is_some_and(|bytes| bytes > 0));
    }
}
