//! What acquisition would come to, without making anything: for each component
//! what is there and where, or what is missing, why, and how to get it; and the
//! host's tools and space.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::debian::Debian;
use super::entry::{Component, Pinned, Wants};
use super::environment::Environment;
use super::go::{Go, GoError, parent_death};
use super::maven::{self, Tools};
use super::space::Claims;
use super::way::{Acquirer, Local, Source, unavailable};
use super::web::Web;
use super::{Catalog, Tried, Way, cache, space};
use crate::progress::Progress;
use crate::units::format_duration;

/// One thing a run needs or can use, and its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DoctorLine {
    /// What is looked at: a component of the catalog, a tool, `cache`.
    pub subject: String,
    /// Which kind of thing it is.
    pub kind: DoctorKind,
    /// Its state.
    pub state: DoctorState,
    /// What was found, or why it is missing: a sentence, the cause first.
    pub says: String,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Files or folders it is at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<PathBuf>,
    /// Ways that were looked at and passed over, with what each said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<Tried>,
    /// What to do about it, where something is to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// Which kind of thing a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DoctorKind {
    /// A component of the catalog.
    Component,
    /// A tool of the host.
    Tool,
    /// Disk space.
    Space,
    /// Whether clusters can be made.
    Cluster,
}

/// The state of a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DoctorState {
    /// It is there and is the right one.
    Ready,
    /// It is not there yet; a run makes it by itself.
    Obtainable,
    /// It is not there; nothing needs it, or only something slower takes its place.
    Optional,
    /// It cannot be had as things are.
    Unavailable,
}

impl DoctorState {
    /// Its stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Obtainable => "obtainable",
            Self::Optional => "optional",
            Self::Unavailable => "unavailable",
        }
    }
}

impl fmt::Display for DoctorLine {
    /// State, subject and sentence; what was tried and the remedy on lines of their own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<12} {:<14}", self.state.name(), self.subject)?;
        if let Some(version) = &self.version {
            write!(f, " {version}")?;
        }
        write!(f, " {}", self.says)?;
        for path in &self.paths {
            write!(f, "\n{:28}{}", "", path.display())?;
        }
        for tried in &self.tried {
            write!(f, "\n{:28}passed over: {tried}", "")?;
        }
        if let Some(remedy) = &self.remedy {
            write!(f, "\n{:28}remedy: {remedy}", "")?;
        }
        Ok(())
    }
}

/// Looks at every component of the catalog, the host's tools and the cache's space.
pub(super) async fn examine(
    catalog: &Catalog,
    environment: &Environment,
    cache: &Path,
    cancel: &CancellationToken,
) -> Vec<DoctorLine> {
    let silent = Progress::silent();
    let acquirer = Acquirer {
        environment,
        cache,
        progress: &silent,
        cancel,
        web: Web::new(environment),
        builds: Semaphore::new(1),
        disk: Claims::default(),
    };
    let go = Go::find(environment, cancel).await;
    let components = catalog
        .components()
        .map(|component| examine_component(component, &acquirer, &go));
    let mut lines = futures::future::join_all(components).await;
    lines.push(go_line(&go));
    lines.push(setpriv_line(environment, cancel).await);
    lines.push(java_line(environment));
    lines.push(cache_line(cache).await);
    lines
}

async fn examine_component(
    component: &Component,
    acquirer: &Acquirer<'_>,
    go: &Result<Go, GoError>,
) -> DoctorLine {
    let line = |state, says: String, tried, remedy| DoctorLine {
        subject: component.name.clone(),
        kind: DoctorKind::Component,
        state,
        says,
        version: Some(component.version.clone()),
        paths: Vec::new(),
        tried,
        remedy,
    };
    let mut tried = match acquirer.local(component).await {
        Local::Have(found) => {
            let mut line = line(
                DoctorState::Ready,
                format!("from {}", found.origin),
                Vec::new(),
                None,
            );
            line.paths = found.executables.into_values().collect();
            return line;
        }
        Local::Refused(refused) => {
            return line(
                DoctorState::Unavailable,
                refused.reason,
                Vec::new(),
                Some(refused.remedy),
            );
        }
        Local::Interrupted => {
            return line(
                DoctorState::Unavailable,
                "interrupted".to_owned(),
                Vec::new(),
                None,
            );
        }
        Local::Missing(tried) => tried,
    };
    let mut remedy = None;
    for (_, source) in acquirer.entries(component) {
        match source {
            Source::Archive(archive) => match acquirer.web.reach(&archive.url).await {
                Ok(()) => {
                    let says = format!("a run downloads it from {}", archive.url);
                    return line(DoctorState::Obtainable, says, tried, None);
                }
                Err(says) => tried.push(Tried::new(Way::Archive, says)),
            },
            Source::Go(module) => {
                let build = (module.pinned(), module.wants(), module.cold_build());
                match buildable(build, acquirer, go).await {
                    Ok(says) => return line(DoctorState::Obtainable, says, tried, None),
                    Err((says, what)) => {
                        tried.push(Tried::new(Way::Go, says));
                        remedy = Some(what);
                    }
                }
            }
            Source::Collector(collector) => {
                let build = (collector.pinned(), collector.wants(), collector.cold_build);
                match buildable(build, acquirer, go).await {
                    Ok(says) => return line(DoctorState::Obtainable, says, tried, None),
                    Err((says, what)) => {
                        tried.push(Tried::new(Way::Go, says));
                        remedy = Some(what);
                    }
                }
            }
            Source::Debian(package) => match Debian::find(acquirer.environment, acquirer.cancel) {
                Ok(debian) => {
                    let lists = if debian.knows(package).await {
                        ""
                    } else {
                        ", whose list of packages it asks for first"
                    };
                    let says = format!(
                        "a run unpacks it from Debian's package {}{lists}; nothing is installed",
                        package.package
                    );
                    return line(DoctorState::Obtainable, says, tried, None);
                }
                Err(error) => {
                    tried.push(Tried::new(Way::Debian, error.to_string()));
                    remedy = Some(package.remedy());
                }
            },
            Source::Maven(assembly) => {
                let found = async {
                    let jars = assembly.jars()?;
                    let tools = Tools::find(acquirer.environment, assembly.java, acquirer.cancel).await?;
                    Ok((jars, tools))
                };
                match found.await {
                    // Which repository is asked is Maven's own matter: only the run itself can tell
                    // whether it is reached.
                    Ok((jars, tools)) => {
                        let says = format!(
                            "a run assembles it from {jars} Maven artifacts with {} and Java {}, in about {} with nothing \
                             resolved yet; {}",
                            tools.maven().display(),
                            tools.java_release(),
                            format_duration(assembly.cold_build()),
                            assembly.differs()
                        );
                        return line(DoctorState::Obtainable, says, tried, None);
                    }
                    Err(error) => {
                        let error: maven::MavenError = error;
                        remedy = Some(error.remedy(assembly));
                        tried.push(Tried::new(Way::Maven, error.to_string()));
                    }
                }
            }
        }
    }
    let why = unavailable(component, &tried, remedy);
    line(DoctorState::Unavailable, why.reason, Vec::new(), Some(why.remedy))
}

/// What is said where a run can build it, else why not and what to do.
async fn buildable(
    (pinned, wants, cold_build): (Pinned<'_>, Wants<'_>, Duration),
    acquirer: &Acquirer<'_>,
    go: &Result<Go, GoError>,
) -> Result<String, (String, String)> {
    let told = |error: &GoError| (error.to_string(), error.remedy(wants.toolchain));
    let go = go.as_ref().map_err(told)?;
    go.suits(wants, acquirer.cache).map_err(|error| told(&error))?;
    let proxy = || "set GOPROXY to a Go module proxy this machine reaches".to_owned();
    match go.description(pinned) {
        _ if go.has(pinned) => {}
        Some(url) => acquirer
            .web
            .reach(&url)
            .await
            .map_err(|says| (format!("{says} (GOPROXY={})", go.proxy), proxy()))?,
        None if go.proxy == "off" => {
            let says = "GOPROXY=off and the module is not in Go's module cache".to_owned();
            return Err((says, proxy()));
        }
        // A folder or a version control host: only the build itself can tell.
        None => {}
    }
    Ok(format!(
        "a run builds it from {} {} with {}, in about {} on 2 cores with nothing compiled yet",
        pinned.module,
        pinned.version,
        go.release,
        format_duration(cold_build)
    ))
}

fn tool(subject: &str, state: DoctorState, says: String) -> DoctorLine {
    DoctorLine::new(subject, DoctorKind::Tool, state, says)
}

impl DoctorLine {
    /// A line without version, paths or a remedy.
    pub(crate) fn new(subject: &str, kind: DoctorKind, state: DoctorState, says: String) -> Self {
        Self {
            subject: subject.to_owned(),
            kind,
            state,
            says,
            version: None,
            paths: Vec::new(),
            tried: Vec::new(),
            remedy: None,
        }
    }
}

fn go_line(go: &Result<Go, GoError>) -> DoctorLine {
    match go {
        Ok(go) => {
            let mut line = tool(
                "go",
                DoctorState::Ready,
                format!("builds what no archive is reached for, modules from {}", go.proxy),
            );
            line.version = Some(go.release.trim_start_matches("go").to_owned());
            line.paths.push(go.program().to_owned());
            line
        }
        Err(error) => {
            let mut line = tool("go", DoctorState::Optional, error.to_string());
            line.remedy =
                Some("put Go on PATH if a component is to be built because no archive is reached".to_owned());
            line
        }
    }
}

async fn setpriv_line(environment: &Environment, cancel: &CancellationToken) -> DoctorLine {
    if let Ok(Some(path)) = parent_death(environment, cancel).await {
        let says = "ends child processes with a run that is killed".to_owned();
        let mut line = tool("setpriv", DoctorState::Ready, says);
        line.paths.push(path);
        line
    } else {
        let says = "none with --pdeathsig on PATH: a run that is killed may leave child processes behind";
        let mut line = tool("setpriv", DoctorState::Optional, says.to_owned());
        line.remedy = Some("install util-linux 2.33 or newer".to_owned());
        line
    }
}

fn java_line(environment: &Environment) -> DoctorLine {
    match maven::java_tool(environment, "java") {
        Ok(path) => {
            let mut line = tool("java", DoctorState::Ready, "runs Elasticsearch".to_owned());
            line.paths.push(path);
            line
        }
        Err(error) => tool(
            "java",
            DoctorState::Optional,
            format!("{error}: only Elasticsearch needs it"),
        ),
    }
}

async fn cache_line(folder: &Path) -> DoctorLine {
    let measured = folder.to_owned();
    // Where the measuring is not done, it says 0.
    let used = tokio::task::spawn_blocking(move || cache::size(&measured.join("servers")))
        .await
        .unwrap_or_default();
    let free = space::free(folder);
    let mut line = tool(
        "cache",
        if free.is_some() {
            DoctorState::Ready
        } else {
            DoctorState::Unavailable
        },
        format!(
            "{} of servers, {} free",
            space::format_bytes(used),
            free.map_or("an unknown amount".to_owned(), space::format_bytes)
        ),
    );
    line.kind = DoctorKind::Space;
    line.paths.push(folder.to_owned());
    line
}
