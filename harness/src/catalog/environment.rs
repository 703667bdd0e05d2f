//! The environment acquisition works in, as a value: variables and processors.
//!
//! Nothing in the catalog reads the process' own environment; tests give one
//! of their own.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;

/// Environment variables and processors that acquisition may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    variables: IndexMap<OsString, OsString>,
    cores: usize,
}

impl Environment {
    /// The environment of this process.
    #[must_use]
    pub fn of_process() -> Self {
        Self {
            variables: std::env::vars_os().collect(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }

    /// An environment of the given variables and processors (at least one).
    #[must_use]
    pub fn new<N: Into<OsString>, V: Into<OsString>>(
        variables: impl IntoIterator<Item = (N, V)>,
        cores: usize,
    ) -> Self {
        Self {
            variables: variables
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            cores: cores.max(1),
        }
    }

    /// Value of a variable; one that is set to nothing counts as not set.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&OsStr> {
        self.variables
            .get(OsStr::new(name))
            .map(OsString::as_os_str)
            .filter(|value| !value.is_empty())
    }

    /// All variables, for a child process.
    pub fn variables(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.variables
            .iter()
            .map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }

    /// Processors this environment may use, at least one.
    #[must_use]
    pub fn cores(&self) -> usize {
        self.cores
    }

    /// The first executable file of that name on PATH.
    #[must_use]
    pub fn look_up(&self, executable: &str) -> Option<PathBuf> {
        std::env::split_paths(self.variable("PATH")?)
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join(executable))
            .find(|file| is_executable(file))
    }

    /// The cache's folder: `CONFORM_CACHE`, else `$XDG_CACHE_HOME/conform`, else
    /// `~/.cache/conform`; without a home a folder of the user's own among the temporary ones.
    ///
    /// A relative `XDG_CACHE_HOME` is ignored, as the XDG base directory specification 0.8 asks.
    #[must_use]
    pub fn cache_folder(&self) -> PathBuf {
        if let Some(folder) = self.variable("CONFORM_CACHE") {
            return std::path::absolute(folder).unwrap_or_else(|_| PathBuf::from(folder));
        }
        let absolute = |name| {
            self.variable(name)
                .map(PathBuf::from)
                .filter(|folder| folder.is_absolute())
        };
        if let Some(folder) = absolute("XDG_CACHE_HOME") {
            return folder.join("conform");
        }
        if let Some(home) = absolute("HOME") {
            return home.join(".cache/conform");
        }
        let user = rustix::process::getuid().as_raw();
        std::env::temp_dir().join(format!("conform-cache-{user}"))
    }
}

/// Whether `file` is a file that somebody may execute.
pub(super) fn is_executable(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::own(&[("CONFORM_CACHE", "/own"), ("XDG_CACHE_HOME", "/xdg"), ("HOME", "/home/x")], "/own")]
    #[case::xdg(&[("XDG_CACHE_HOME", "/xdg"), ("HOME", "/home/x")], "/xdg/conform")]
    #[case::home(&[("HOME", "/home/x")], "/home/x/.cache/conform")]
    #[case::relative_xdg(&[("XDG_CACHE_HOME", "xdg"), ("HOME", "/home/x")], "/home/x/.cache/conform")]
    #[case::empty_own(&[("CONFORM_CACHE", ""), ("HOME", "/home/x")], "/home/x/.cache/conform")]
    fn the_cache_is_where_the_environment_says(#[case] variables: &[(&str, &str)], #[case] folder: &str) {
        let environment = Environment::new(variables.iter().copied(), 1);
        assert_eq!(environment.cache_folder(), PathBuf::from(folder));
    }

    #[test]
    fn an_empty_path_finds_nothing() {
        let environment = Environment::new([("PATH", "")], 1);
        assert_eq!(environment.look_up("sh"), None);
    }

    #[test]
    fn a_file_that_is_not_executable_is_not_found_on_path() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tool"), "").unwrap();
        let environment = Environment::new([("PATH", folder.path())], 1);
        assert_eq!(environment.look_up("tool"), None);
    }
}
