//! Which server is which image and binary, and the ways to have its binary:
//! fixtures/catalog.yaml, and acquisition.
//!
//! Ways in order: an explicit path, PATH, the cache, the vendor's release
//! archive with the vendor's checksum, a build from Go modules. What cannot be
//! had has a reason and a remedy; everything else still runs.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use tokio_util::sync::CancellationToken;

use crate::progress::Progress;

/// A component's executables, ready to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acquired {
    /// Component name, as in the catalog.
    pub component: String,
    /// Version, as the catalog names it and the binary itself confirms.
    pub version: String,
    /// Where it came from, for people: `cache (built from github.com/... v0.316.0)`.
    pub origin: String,
    /// Executables by name (`prometheus`, `promtool`).
    pub executables: IndexMap<String, PathBuf>,
}

/// A component that cannot be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unavailable {
    /// Component name.
    pub component: String,
    /// Why, the cause first, each way with what it said.
    pub reason: String,
    /// What to do about it.
    pub remedy: String,
}

/// What acquisition came to, by component.
pub type Acquisition = IndexMap<String, Result<Acquired, Unavailable>>;

/// The catalog.
#[derive(Debug, Clone)]
pub struct Catalog {}

/// Why the catalog or the cache cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The catalog cannot be read.
    #[error("{path}: {source}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The catalog does not parse.
    #[error("{path}:{line}:{column}: {why}", path = .path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Column, from 1.
        column: u64,
        /// What is wrong and what to write instead.
        why: String,
    },
}

impl Catalog {
    /// Reads and checks a catalog.
    pub fn load(path: &Path) -> Result<Self, CatalogError> {
        let _ = path;
        todo!()
    }

    /// Makes the named components' executables ready, side by side where cores allow; what cannot
    /// be had is `Err` in the result. Interrupting `cancel` ends builds and leaves no half entry.
    pub async fn acquire(
        &self,
        components: &[&str],
        cache: &Path,
        progress: &Progress,
        cancel: &CancellationToken,
    ) -> Acquisition {
        let _ = (components, cache, progress, cancel);
        todo!()
    }
}

/// The cache's folder: `CONFORM_CACHE`, else `$XDG_CACHE_HOME/conform`, else `~/.cache/conform`.
#[must_use]
pub fn cache_folder() -> PathBuf {
    todo!()
}
