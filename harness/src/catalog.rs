//! Which server is which image and binary, and the ways to have its binary:
//! fixtures/catalog.yaml, and acquisition.
//!
//! Ways in order: an explicit path, PATH (for a library the system's folder),
//! the cache, the vendor's release archive with the vendor's checksum, a build
//! from Go modules, the Debian package. Every executable is asked what it is
//! before it is used. What cannot be had has a reason and a remedy; everything
//! else still runs.

mod archive;
mod cache;
mod collector;
mod debian;
mod doctor;
mod entry;
mod environment;
mod feature;
mod go;
mod maven;
mod process;
pub(crate) mod space;
mod version;
mod way;
mod web;

use std::fmt;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub use doctor::{DoctorKind, DoctorLine, DoctorState};
pub use entry::{
    Archive, Builder, Collector, CollectorComponents, Component, DebianPackage, GoModule, MavenAssembly,
    ShownBy,
};
pub use environment::Environment;
pub use feature::Feature;

use crate::progress::Progress;
use space::Claims;
use way::{Acquirer, Local};
use web::Web;

/// A component's executables, ready to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acquired {
    /// Component name, as in the catalog.
    pub component: String,
    /// Version, as the catalog names it and the binary itself confirms.
    pub version: String,
    /// Where it came from, for people: `cache (built from github.com/... v0.316.0)`.
    pub origin: String,
    /// Whether it was downloaded or built just now.
    pub made: bool,
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

/// A way to have a component's executables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// The path in the component's variable.
    Explicit,
    /// PATH.
    Path,
    /// The system's folder for it, where it is no program.
    System,
    /// The cache.
    Cache,
    /// The vendor's release archive.
    Archive,
    /// A build of its Go module.
    Go,
    /// Its Debian package, unpacked and not installed.
    Debian,
    /// An assembly from Maven artifacts.
    Maven,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Explicit => "explicit path",
            Self::Path => "PATH",
            Self::System => "system",
            Self::Cache => "cache",
            Self::Archive => "vendor archive",
            Self::Go => "go build",
            Self::Debian => "Debian package",
            Self::Maven => "Maven assembly",
        })
    }
}

/// A way that did not serve, with what it said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tried {
    /// The way.
    pub way: Way,
    /// What it said.
    pub says: String,
}

impl Tried {
    fn new(way: Way, says: String) -> Self {
        Self { way, says }
    }
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.way, self.says)
    }
}

/// The catalog.
#[derive(Debug, Clone)]
pub struct Catalog {
    components: IndexMap<String, Component>,
}

/// Why the catalog or the cache cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The catalog cannot be read.
    #[error("{path}: {source}; give the catalog's path with --catalog", path = .path.display())]
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
        let text = std::fs::read_to_string(path).map_err(|source| CatalogError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(path, &text)
    }

    /// Parses and checks the text of a catalog; `path` is for messages.
    pub fn parse(path: &Path, text: &str) -> Result<Self, CatalogError> {
        entry::parse(path, text).map(|components| Self { components })
    }

    /// The components, in the catalog's order.
    pub fn components(&self) -> impl Iterator<Item = &Component> {
        self.components.values()
    }

    /// The component of that name.
    #[must_use]
    pub fn component(&self, name: &str) -> Option<&Component> {
        self.components.get(name)
    }

    /// The component that is this image, or one of whose executables it is; tag included.
    #[must_use]
    pub fn component_of_image(&self, image: &str) -> Option<&Component> {
        self.components()
            .find(|component| component.images().any(|own| own == image))
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
        let environment = Environment::of_process();
        self.acquire_in(&environment, components, cache, progress, cancel)
            .await
    }

    /// [`Self::acquire`] in a given environment.
    pub async fn acquire_in(
        &self,
        environment: &Environment,
        components: &[&str],
        cache: &Path,
        progress: &Progress,
        cancel: &CancellationToken,
    ) -> Acquisition {
        let cores = environment.cores();
        let acquirer = Acquirer {
            environment,
            cache,
            progress,
            cancel,
            web: Web::new(environment),
            builds: Semaphore::new(cores),
            disk: Claims::default(),
        };
        let mut acquisition = Acquisition::new();
        let mut wanted: Vec<&Component> = Vec::new();
        for name in components {
            match self.component(name) {
                Some(component) if !wanted.iter().any(|w| w.name == *name) => wanted.push(component),
                Some(_) => {}
                None => {
                    let known: Vec<&str> = self.components.keys().map(String::as_str).collect();
                    let unknown = Unavailable {
                        component: (*name).to_owned(),
                        reason: format!("the catalog has no component `{name}`"),
                        remedy: format!(
                            "add it to the catalog or ask for one of those it has: {}",
                            known.join(", ")
                        ),
                    };
                    acquisition.insert((*name).to_owned(), Err(unknown));
                }
            }
        }

        let local = wanted.iter().map(|component| acquirer.local(component));
        let mut missing = Vec::new();
        for (component, local) in wanted.iter().zip(futures::future::join_all(local).await) {
            let outcome = match local {
                Local::Have(found) => Ok(found),
                Local::Refused(unavailable) => Err(unavailable),
                Local::Interrupted => Err(way::interrupted(component)),
                Local::Missing(tried) => {
                    missing.push((*component, tried));
                    continue;
                }
            };
            tell(progress, &component.name, &outcome);
            acquisition.insert(component.name.clone(), outcome);
        }

        let parallel = (cores / missing.len().clamp(1, cores)).max(1);
        let made = missing.into_iter().map(async |(component, tried)| {
            let outcome = acquirer.make(component, tried, parallel).await;
            tell(progress, &component.name, &outcome);
            (component.name.clone(), outcome)
        });
        acquisition.extend(futures::future::join_all(made).await);
        acquisition
    }

    /// What acquisition would come to for every component, without making anything, and the host's
    /// tools and space. Asks hosts for a few seconds at most where something is not on this machine.
    pub async fn doctor(&self, cache: &Path, cancel: &CancellationToken) -> Vec<DoctorLine> {
        self.doctor_in(&Environment::of_process(), cache, cancel).await
    }

    /// [`Self::doctor`] in a given environment.
    pub async fn doctor_in(
        &self,
        environment: &Environment,
        cache: &Path,
        cancel: &CancellationToken,
    ) -> Vec<DoctorLine> {
        doctor::examine(self, environment, cache, cancel).await
    }
}

fn tell(progress: &Progress, component: &str, outcome: &Result<Acquired, Unavailable>) {
    match outcome {
        Ok(acquired) => progress.done(component, format!("{}, {}", acquired.version, acquired.origin)),
        Err(unavailable) => progress.done(
            component,
            format!("unavailable: {}; {}", unavailable.reason, unavailable.remedy),
        ),
    }
}

/// The cache's folder: `CONFORM_CACHE`, else `$XDG_CACHE_HOME/conform`, else `~/.cache/conform`.
#[must_use]
pub fn cache_folder() -> PathBuf {
    Environment::of_process().cache_folder()
}

#[cfg(test)]
mod tests;
