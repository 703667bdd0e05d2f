//! Errors of files and folders, in words that name the cause first.

use std::io;
use std::path::Path;

/// An error of a file, the cause first; a full disk with its remedy.
pub(crate) fn words(error: &io::Error, doing: &str, path: &Path) -> String {
    let path = path.display();
    if error.kind() == io::ErrorKind::StorageFull {
        format!(
            "no space left on device: {doing} {path} failed; make room on its file system or choose another folder"
        )
    } else {
        format!("{error}: {doing} {path} failed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_the_first_word() {
        let error = io::Error::from(io::ErrorKind::StorageFull);
        let words = words(&error, "writing", Path::new("/runs/1/prometheus.yml"));
        assert!(words.starts_with("no space left on device"), "{words}");
    }
}
