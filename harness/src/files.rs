//! Errors of files and folders, in words that name the cause first, and reading YAML.

use std::io;
use std::path::Path;

use serde::de::DeserializeOwned;

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

/// Why a text is not the YAML it should be, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Misread {
    /// Line, from 1.
    pub(crate) line: u64,
    /// Column, from 1.
    pub(crate) column: u64,
    /// What is wrong, as the reader says it to users.
    pub(crate) why: String,
}

/// Reads YAML. An error without a place concerns the text as a whole and is placed at its start.
pub(crate) fn yaml<T: DeserializeOwned>(text: &str) -> Result<T, Misread> {
    use serde_saphyr::MessageFormatter as _;
    serde_saphyr::from_str(text).map_err(|error| {
        let bare = error.without_snippet();
        let (line, column) = bare.location().map_or((1, 1), |at| (at.line(), at.column()));
        Misread {
            line,
            column,
            why: serde_saphyr::UserMessageFormatter
                .format_message(bare)
                .into_owned(),
        }
    })
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
