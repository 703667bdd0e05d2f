//! The ways to a component's executables, tried in order, each with what it said.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use super::archive::ArchiveError;
use super::cache::{CacheError, Entry, Held, Making};
use super::collector::has_components;
use super::debian::{Debian, DebianError};
use super::entry::{Archive, Builder, Collector, Component, DebianPackage, GoModule, MavenAssembly, Wants};
use super::environment::Environment;
use super::go::{Go, GoError, Order};
use super::maven::{self, MavenError, Tools};
use super::process::RunError;
use super::space::{Claim, Claims};
use super::version::{Mismatch, verify};
use super::web::Web;
use super::{Acquired, Tried, Unavailable, Way};
use crate::progress::Progress;

/// What acquiring works with.
#[derive(Debug)]
pub(super) struct Acquirer<'a> {
    /// Variables and processors.
    pub(super) environment: &'a Environment,
    /// The cache's folder.
    pub(super) cache: &'a Path,
    /// Who watches.
    pub(super) progress: &'a Progress,
    /// Ends when the run is interrupted.
    pub(super) cancel: &'a CancellationToken,
    /// The hosts.
    pub(super) web: Web,
    /// One permit for each build that may run at once.
    pub(super) builds: Semaphore,
    /// Disk space that builds claim.
    pub(super) disk: Claims,
}

/// What the ways that make nothing came to.
#[derive(Debug)]
pub(super) enum Local {
    /// Here they are.
    Have(Acquired),
    /// An explicit path is wrong: no other way is tried.
    Refused(Unavailable),
    /// The run was interrupted.
    Interrupted,
    /// Not here; what each way said.
    Missing(Vec<Tried>),
}

impl Acquirer<'_> {
    /// Tries the ways that make nothing: the explicit path, PATH, the cache.
    pub(super) async fn local(&self, component: &Component) -> Local {
        if let Some(given) = self.environment.variable(&component.variable) {
            return self.explicit(component, Path::new(given)).await;
        }
        let mut tried = Vec::new();
        let way = if component.system.is_empty() {
            Way::Path
        } else {
            Way::System
        };
        match self.on_path(component).await {
            Ok(OnPath::Here(acquired)) => return Local::Have(acquired),
            Ok(OnPath::Not(name)) => tried.push(Tried::new(way, format!("no {name} there"))),
            Err(Stop::Interrupted) => return Local::Interrupted,
            Err(Stop::Says(says)) => {
                let passed_over = Tried::new(way, says);
                self.progress
                    .step(&component.name, format!("passed over: {passed_over}"));
                tried.push(passed_over);
            }
        }
        for (entry, _) in self.entries(component) {
            match self.cached(component, &entry).await {
                Ok(Cached::Whole(acquired)) => return Local::Have(acquired),
                Ok(Cached::Nothing) => {}
                Ok(Cached::Corrupt(why)) => tried.push(Tried::new(Way::Cache, why)),
                Err(Stop::Interrupted) => return Local::Interrupted,
                Err(Stop::Says(says)) => tried.push(Tried::new(Way::Cache, says)),
            }
        }
        if !tried.iter().any(|t| t.way == Way::Cache) {
            let says = format!("nothing in {}", self.cache.display());
            tried.push(Tried::new(Way::Cache, says));
        }
        Local::Missing(tried)
    }

    /// Tries the ways that make a cache entry, after what the others said; `parallel` is how many
    /// packages a build may compile at once.
    pub(super) async fn make(
        &self,
        component: &Component,
        mut tried: Vec<Tried>,
        parallel: usize,
    ) -> Result<Acquired, Unavailable> {
        let mut remedy = None;
        for (entry, source) in self.entries(component) {
            let way = source.way();
            let why = brief(&tried);
            match self.make_entry(component, &entry, source, parallel, &why).await {
                Ok(acquired) => return Ok(acquired),
                Err(Failure {
                    stop: Stop::Interrupted,
                    ..
                }) => return Err(interrupted(component)),
                Err(Failure {
                    stop: Stop::Says(says),
                    remedy: what,
                }) => {
                    self.progress.step(&component.name, format!("{way}: {says}"));
                    tried.push(Tried::new(way, says));
                    remedy = what.or(remedy);
                }
            }
        }
        Err(unavailable(component, &tried, remedy))
    }

    async fn explicit(&self, component: &Component, given: &Path) -> Local {
        let (folder, first) = if given.is_dir() {
            (given.to_owned(), None)
        } else {
            let folder = given.parent().unwrap_or(given).to_owned();
            (folder, Some(given))
        };
        let mut executables = IndexMap::new();
        for (at, name) in component.executables.keys().enumerate() {
            let path = match first {
                Some(file) if at == 0 => file.to_owned(),
                // An unpacked distribution has its executables one folder deeper.
                _ => component
                    .file_names(name)
                    .flat_map(|file| [folder.join(file), folder.join("bin").join(file)])
                    .find(|file| file.is_file())
                    .unwrap_or_else(|| folder.join(name)),
            };
            // A child is started in another folder: what was given may be relative to this one.
            let path = std::path::absolute(&path).unwrap_or(path);
            executables.insert(name.clone(), path);
        }
        match self.verify_all(component, &executables).await.map_err(Stop::from) {
            Ok(()) => Local::Have(Acquired {
                component: component.name.clone(),
                version: component.version.clone(),
                origin: format!("{}={}", component.variable, given.display()),
                made: false,
                executables,
            }),
            Err(Stop::Interrupted) => Local::Interrupted,
            Err(Stop::Says(says)) => Local::Refused(Unavailable {
                component: component.name.clone(),
                reason: format!("{says} ({}={})", component.variable, given.display()),
                remedy: format!(
                    "point {} at {} of version {}, or unset it to let the other ways be tried",
                    component.variable,
                    files(component),
                    component.version
                ),
            }),
        }
    }

    async fn on_path(&self, component: &Component) -> Result<OnPath, Stop> {
        let mut executables = IndexMap::new();
        for name in component.executables.keys() {
            let found = component.file_names(name).find_map(|file| {
                if component.system.is_empty() {
                    self.environment.look_up(file)
                } else {
                    in_folders(&component.system, file)
                }
            });
            let Some(path) = found else {
                return Ok(OnPath::Not(name.clone()));
            };
            executables.insert(name.clone(), path);
        }
        self.verify_all(component, &executables).await?;
        let origin =
            executables
                .values()
                .next()
                .and_then(|path| path.parent())
                .map_or("PATH".to_owned(), |folder| {
                    let way = if component.system.is_empty() {
                        Way::Path
                    } else {
                        Way::System
                    };
                    format!("{way} ({})", folder.display())
                });
        Ok(OnPath::Here(Acquired {
            component: component.name.clone(),
            version: component.version.clone(),
            origin,
            made: false,
            executables,
        }))
    }

    /// Entries the cache may hold of a component, in the order of the ways that make them.
    pub(super) fn entries<'c>(&self, component: &'c Component) -> Vec<(Entry, Source<'c>)> {
        let entry = |recipe: &str| Entry::new(self.cache, &component.name, &component.version, recipe);
        let archive = component
            .archive
            .as_ref()
            .map(|archive| (entry(&archive.recipe()), Source::Archive(archive)));
        let go = component
            .go
            .as_ref()
            .map(|go| (entry(&go.recipe(&component.version)), Source::Go(go)));
        let collector = component.collector.as_ref().map(|collector| {
            let name = component.server();
            let recipe = collector.recipe(name, &component.version);
            (entry(&recipe), Source::Collector(collector))
        });
        let debian = component
            .debian
            .as_ref()
            .map(|debian| (entry(&debian.recipe()), Source::Debian(debian)));
        let maven = component
            .maven
            .as_ref()
            .map(|maven| (entry(&maven.recipe()), Source::Maven(maven)));
        archive
            .into_iter()
            .chain(go)
            .chain(collector)
            .chain(debian)
            .chain(maven)
            .collect()
    }

    async fn cached(&self, component: &Component, entry: &Entry) -> Result<Cached, Stop> {
        let looked_at = entry.clone();
        let names: Vec<String> = component.executables.keys().cloned().collect();
        let held = blocking(move || looked_at.look(names.iter().map(String::as_str))).await?;
        let (manifest, executables) = match held {
            Held::Nothing => return Ok(Cached::Nothing),
            Held::Corrupt(why) => {
                return Ok(Cached::Corrupt(format!("{}: {why}", entry.folder().display())));
            }
            Held::Whole(manifest, executables) => (manifest, executables),
        };
        match self.verify_all(component, &executables).await {
            Ok(()) => Ok(Cached::Whole(Acquired {
                component: component.name.clone(),
                version: component.version.clone(),
                origin: format!("cache ({})", manifest.origin),
                made: false,
                executables,
            })),
            Err(mismatch) if mismatch.is_of_content() => Ok(Cached::Corrupt(mismatch.to_string())),
            // A busy machine or a file system that runs nothing: another copy would fare no better.
            Err(mismatch) => Err(mismatch.into()),
        }
    }

    /// Asks all executables at once for their versions; of several that do not fit, the first is named.
    async fn verify_all(
        &self,
        component: &Component,
        executables: &IndexMap<String, PathBuf>,
    ) -> Result<(), Mismatch> {
        let asked = executables.iter().map(async |(name, path)| {
            let shown_by = component.shown_by(name);
            verify(
                path,
                name,
                &component.version,
                shown_by,
                self.environment,
                self.cancel,
            )
            .await?;
            match &component.collector {
                Some(collector) => {
                    has_components(path, &collector.components, self.environment, self.cancel).await
                }
                None => Ok(()),
            }
        });
        futures::future::join_all(asked).await.into_iter().collect()
    }

    async fn make_entry(
        &self,
        component: &Component,
        entry: &Entry,
        source: Source<'_>,
        parallel: usize,
        why: &str,
    ) -> Result<Acquired, Failure> {
        let name = &component.name;
        if let Source::Archive(archive) = source {
            let reached = tokio::select! {
                () = self.cancel.cancelled() => return Err(Stop::Interrupted.into()),
                reached = self.web.reach(&archive.url) => reached,
            };
            reached.map_err(Stop::Says)?;
        }
        let go = match source.wants() {
            Some(wants) => Some((self.go(wants).await?, wants)),
            None => None,
        };
        let tools = match source {
            Source::Maven(assembly) => Some(
                Tools::find(self.environment, assembly.java, self.cancel)
                    .await
                    .map_err(|error| Failure::of_maven(error, assembly))?,
            ),
            _ => None,
        };
        // A permit before the lock: whoever waits for a permit keeps no other run waiting.
        let (_permit, _claim) = match &go {
            Some((go, wants)) => tokio::select! {
                () = self.cancel.cancelled() => return Err(Stop::Interrupted.into()),
                held = self.room(component, go, *wants) => held?,
            },
            None => (None, None),
        };
        let go = go.map(|(go, _)| go);
        let lock = entry
            .lock(self.cancel, || {
                self.progress
                    .step(name, "another run is making it; waiting for that one");
            })
            .await?;
        // Whoever held the lock before may have made it.
        match self.cached(component, entry).await? {
            Cached::Whole(acquired) => return Ok(acquired),
            Cached::Nothing => {}
            Cached::Corrupt(why) => {
                let aside = lock.set_aside()?;
                self.progress.step(
                    name,
                    format!(
                        "the cached copy is corrupt and made anew ({why}); the old one is at {}",
                        aside.display()
                    ),
                );
            }
        }
        let making = lock.make()?;
        let origin = match (source, go) {
            (Source::Archive(archive), _) => {
                self.progress
                    .step(name, format!("downloading {} ({why})", archive.url));
                let names = component.executables.keys().cloned().collect();
                archive.fetch(&self.web, names, &making, self.cancel).await?;
                archive.url.to_string()
            }
            (Source::Go(module), Some(go)) => {
                let order = self.order(component, parallel, why);
                go.build(module, &making, order)
                    .await
                    .map_err(|error| Failure::of_go(error, &module.toolchain))?;
                built(&module.module, &module.version, &go, module.lacks.as_deref())
            }
            (Source::Collector(collector), Some(go)) => {
                let order = self.order(component, parallel, why);
                let Builder { module, version, .. } = &collector.builder;
                go.assemble(collector, component.server(), &making, order)
                    .await
                    .map_err(|error| Failure::of_go(error, &collector.toolchain))?;
                built(module, version, &go, collector.lacks.as_deref())
            }
            (Source::Debian(package), _) => {
                let files: Vec<String> = component.executables.keys().cloned().collect();
                let version = Debian::find(self.environment, self.cancel)
                    .map_err(|error| Failure::of_debian(error, package))?
                    .unpack(
                        package,
                        (name, &component.version),
                        &files,
                        &making,
                        self.progress,
                    )
                    .await
                    .map_err(|error| Failure::of_debian(error, package))?;
                format!("unpacked from Debian's {} {version}", package.package)
            }
            (Source::Maven(assembly), _) => {
                let Some(tools) = &tools else {
                    return Err(Stop::Says("there is no mvn".to_owned()).into());
                };
                let order = maven::Order {
                    environment: self.environment,
                    component: name,
                    why,
                    progress: self.progress,
                    cancel: self.cancel,
                };
                let with = assembly
                    .assemble(tools, &making, order)
                    .await
                    .map_err(|error| Failure::of_maven(error, assembly))?;
                format!("assembled from {with}; {}", assembly.differs())
            }
            (Source::Go(_) | Source::Collector(_), None) => {
                return Err(Stop::Says("there is no go".to_owned()).into());
            }
        };
        self.finish(component, making, origin).await
    }

    /// A Go that can build it.
    async fn go(&self, wants: Wants<'_>) -> Result<Go, Failure> {
        let found = async {
            let go = Go::find(self.environment, self.cancel).await?;
            go.suits(wants, self.cache)?;
            Ok(go)
        };
        found
            .await
            .map_err(|error| Failure::of_go(error, wants.toolchain))
    }

    /// Waits until a build may run: one of as many as there are cores, with the disk space it wants
    /// beside the others.
    async fn room(
        &self,
        component: &Component,
        go: &Go,
        wants: Wants<'_>,
    ) -> Result<(Option<SemaphorePermit<'_>>, Option<Claim<'_>>), Failure> {
        // Space before the permit: whoever waits for space keeps nobody from compiling.
        let fits = |disk| go.suits(Wants { disk, ..wants }, self.cache);
        let claim = self
            .disk
            .claim(wants.disk, fits, || {
                self.progress.step(
                    &component.name,
                    "waiting for other builds: there is too little disk space for all at once",
                );
            })
            .await
            .map_err(|error| Failure::of_go(error, wants.toolchain))?;
        Ok((self.builds.acquire().await.ok(), Some(claim)))
    }

    fn order<'o>(&'o self, component: &'o Component, parallel: usize, why: &'o str) -> Order<'o> {
        Order {
            environment: self.environment,
            parallel,
            component: &component.name,
            version: &component.version,
            why,
            progress: self.progress,
            cancel: self.cancel,
        }
    }

    /// Asks what was made for its version and moves it into place.
    async fn finish(
        &self,
        component: &Component,
        making: Making,
        origin: String,
    ) -> Result<Acquired, Failure> {
        let bin = making.executables();
        let names: Vec<String> = component.executables.keys().cloned().collect();
        let made = names.iter().map(|name| (name.clone(), bin.join(name))).collect();
        self.verify_all(component, &made).await.map_err(Stop::from)?;
        let label = origin.clone();
        let executables = blocking(move || making.finish(names.iter().map(String::as_str), &label)).await?;
        Ok(Acquired {
            component: component.name.clone(),
            version: component.version.clone(),
            origin,
            made: true,
            executables,
        })
    }
}

/// What an entry is made from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source<'a> {
    /// The vendor's archive.
    Archive(&'a Archive),
    /// A Go module.
    Go(&'a GoModule),
    /// A collector of Go modules.
    Collector(&'a Collector),
    /// A Debian package.
    Debian(&'a DebianPackage),
    /// Maven artifacts.
    Maven(&'a MavenAssembly),
}

impl<'a> Source<'a> {
    /// What its build wants; none where nothing is built.
    fn wants(self) -> Option<Wants<'a>> {
        match self {
            Self::Go(module) => Some(module.wants()),
            Self::Collector(collector) => Some(collector.wants()),
            Self::Archive(_) | Self::Debian(_) | Self::Maven(_) => None,
        }
    }

    fn way(self) -> Way {
        match self {
            Self::Archive(_) => Way::Archive,
            Self::Go(_) | Self::Collector(_) => Way::Go,
            Self::Debian(_) => Way::Debian,
            Self::Maven(_) => Way::Maven,
        }
    }
}

/// Where a build came from, for people.
fn built(module: &str, version: &str, go: &Go, lacks: Option<&str>) -> String {
    let lacks = lacks.map(|lacks| format!("; lacks {lacks}")).unwrap_or_default();
    format!("built from {module} {version} with {}{lacks}", go.release)
}

/// The first file of that name in folders, in whose paths a name of `*` stands for any.
fn in_folders(folders: &[String], name: &str) -> Option<PathBuf> {
    folders
        .iter()
        .flat_map(|folder| expand(Path::new(folder)))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// The folders that a path with names of `*` stands for, in order.
fn expand(pattern: &Path) -> Vec<PathBuf> {
    let mut paths = vec![PathBuf::new()];
    for part in pattern {
        if part == "*" {
            paths = paths
                .iter()
                .flat_map(|path| {
                    let mut inside: Vec<PathBuf> = std::fs::read_dir(path)
                        .into_iter()
                        .flatten()
                        .flatten()
                        .map(|entry| entry.path())
                        .collect();
                    inside.sort();
                    inside
                })
                .collect();
        } else {
            for path in &mut paths {
                path.push(part);
            }
        }
    }
    paths
}

enum OnPath {
    Here(Acquired),
    /// The first executable that is not there.
    Not(String),
}

enum Cached {
    Nothing,
    Corrupt(String),
    Whole(Acquired),
}

/// Why a way ends without executables.
#[derive(Debug)]
pub(super) enum Stop {
    Interrupted,
    Says(String),
}

/// A way's end, with what to do about it where the way knows.
struct Failure {
    stop: Stop,
    remedy: Option<String>,
}

impl Failure {
    fn of_debian(error: DebianError, package: &DebianPackage) -> Self {
        let remedy = Some(package.remedy());
        let stop = match error {
            DebianError::Run(error) => error.into(),
            DebianError::Cache(error) => error.into(),
            other => Stop::Says(other.to_string()),
        };
        Self { stop, remedy }
    }

    fn of_maven(error: MavenError, assembly: &MavenAssembly) -> Self {
        let remedy = Some(error.remedy(assembly));
        let stop = match error {
            MavenError::Run(error) => error.into(),
            MavenError::Cache(error) => error.into(),
            other => Stop::Says(other.to_string()),
        };
        Self { stop, remedy }
    }

    fn of_go(error: GoError, toolchain: &str) -> Self {
        let remedy = Some(error.remedy(toolchain));
        let stop = match error {
            GoError::Run(error) => error.into(),
            GoError::Cache(error) => error.into(),
            other => Stop::Says(other.to_string()),
        };
        Self { stop, remedy }
    }
}

impl From<Stop> for Failure {
    fn from(stop: Stop) -> Self {
        Self { stop, remedy: None }
    }
}

impl From<CacheError> for Failure {
    fn from(error: CacheError) -> Self {
        let remedy = match &error {
            CacheError::Io { .. } => Some("set CONFORM_CACHE to a folder you may write".to_owned()),
            CacheError::Locked(_) => {
                Some("end the run that holds the lock, or set CONFORM_CACHE to another folder".to_owned())
            }
            CacheError::Interrupted => None,
        };
        Self {
            stop: error.into(),
            remedy,
        }
    }
}

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Interrupted => Stop::Interrupted.into(),
            ArchiveError::Cache(error) => error.into(),
            other => Stop::Says(other.to_string()).into(),
        }
    }
}

impl From<CacheError> for Stop {
    fn from(error: CacheError) -> Self {
        match error {
            CacheError::Interrupted => Self::Interrupted,
            other => Self::Says(other.to_string()),
        }
    }
}

impl From<RunError> for Stop {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Interrupted => Self::Interrupted,
            other => Self::Says(other.to_string()),
        }
    }
}

impl From<Mismatch> for Stop {
    fn from(error: Mismatch) -> Self {
        match error {
            Mismatch::Run(error) => error.into(),
            other => Self::Says(other.to_string()),
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CacheError> + Send + 'static,
) -> Result<T, CacheError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        // The runtime is being shut down, or the work has a defect: it is named where it is reported.
        Err(error) => Err(CacheError::Locked(error.to_string())),
    }
}

/// The executables, for a sentence.
pub(super) fn files(component: &Component) -> String {
    let names: Vec<&str> = component.executables.keys().map(String::as_str).collect();
    match names.as_slice() {
        [one] => format!("a {one}, or a folder that holds it,"),
        [first, rest @ ..] => format!(
            "a {first} that has {} beside it, or their folder,",
            rest.join(" and ")
        ),
        [] => "the executables".to_owned(),
    }
}

pub(super) fn interrupted(component: &Component) -> Unavailable {
    Unavailable {
        component: component.name.clone(),
        reason: "interrupted".to_owned(),
        remedy: "run it again: what was downloaded and compiled so far is not lost".to_owned(),
    }
}

/// Why it comes to the next way: what the last ones said, PATH left out.
fn brief(tried: &[Tried]) -> String {
    let said: Vec<String> = tried
        .iter()
        .rev()
        .filter(|tried| !matches!(tried.way, Way::Path | Way::System))
        .map(ToString::to_string)
        .collect();
    said.join("; ")
}

/// The last way's words first: it is the one that was to serve.
pub(super) fn unavailable(component: &Component, tried: &[Tried], remedy: Option<String>) -> Unavailable {
    let said: Vec<String> = tried.iter().rev().map(ToString::to_string).collect();
    let reason = if said.is_empty() {
        "the catalog names no way to have it".to_owned()
    } else {
        said.join("; ")
    };
    let own = format!(
        "set {} to {} of version {}",
        component.variable,
        files(component),
        component.version
    );
    Unavailable {
        component: component.name.clone(),
        reason,
        remedy: match remedy {
            Some(remedy) => format!("{remedy}, or {own}"),
            None => own,
        },
    }
}
