//! The words of fixtures/catalog.yaml, parsed and checked.
//!
//! Every mistake names file, line and column and says what to write instead.

use std::path::{Path, PathBuf};
use std::time::Duration;

use indexmap::IndexMap;
use serde::Deserialize;
use serde_saphyr::{Location, Spanned};
use url::Url;

use super::{CatalogError, Feature};
use crate::files::{self, Misread};
use crate::stack::Capability;
use crate::units::{Bytes, Span};

/// A component: which image it is, and the ways to have its executables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    /// Its name, in kebab case.
    pub name: String,
    /// The image the deploy tree names, with its tag; none for what no image is for.
    pub image: Option<String>,
    /// Images of its further executables, with their tags.
    pub further_images: Vec<String>,
    /// Its version, as its executables report it.
    pub version: String,
    /// Executables by name with the capabilities each brings; the server itself comes first.
    pub executables: IndexMap<String, Vec<Capability>>,
    /// Environment variable that may hold the path of the first executable or of the folder of all.
    pub variable: String,
    /// How those executables show what they are that have no `--version`.
    pub shown_by: IndexMap<String, ShownBy>,
    /// Folders of the system that are looked at in place of PATH; one `*` a folder name stands for any name.
    pub system: Vec<String>,
    /// The vendor's release archive.
    pub archive: Option<Archive>,
    /// A build of its Go module.
    pub go: Option<GoModule>,
    /// An OpenTelemetry Collector that is built from components.
    pub collector: Option<Collector>,
    /// The Debian package that holds it.
    pub debian: Option<DebianPackage>,
    /// An assembly from Maven artifacts.
    pub maven: Option<MavenAssembly>,
}

/// How an executable, or a library, shows what it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShownBy {
    /// `--version` names its version.
    #[default]
    Version,
    /// It knows no version; `--help` has this text.
    Help(String),
    /// It is a library that shifts the clock of a program it is loaded into, as libfaketime does.
    ShiftedClock,
}

impl Component {
    /// Its images: its own first, then those of its further executables.
    pub fn images(&self) -> impl Iterator<Item = &str> {
        self.image.iter().chain(&self.further_images).map(String::as_str)
    }

    /// The name of its first executable.
    pub(super) fn server(&self) -> &str {
        self.executables.keys().next().map_or("", String::as_str)
    }

    /// Names that the file of an executable may have: its own, and that in the vendor's archive.
    pub(super) fn file_names<'c>(&'c self, executable: &'c str) -> impl Iterator<Item = &'c str> {
        let vendors = self
            .archive
            .as_ref()
            .and_then(|archive| archive.names.get(executable));
        std::iter::once(executable).chain(vendors.map(String::as_str))
    }

    /// How one of its executables shows what it is.
    #[must_use]
    pub fn shown_by(&self, executable: &str) -> &ShownBy {
        self.shown_by.get(executable).unwrap_or(&ShownBy::Version)
    }

    /// Capabilities its executables bring together.
    pub fn capabilities(&self) -> impl Iterator<Item = Capability> {
        self.executables.values().flatten().copied()
    }
}

/// A vendor's release archive (tar, gzip) for this machine and the vendor's checksums.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// Where the archive is.
    pub url: Url,
    /// Further archives of the same release that hold some of the executables.
    pub further: Vec<Url>,
    /// Names in the archives of those executables that are called something else there.
    pub names: IndexMap<String, String>,
    /// Where the vendor's SHA-256 or SHA-512 sums are: lines of sum and file name, as sha256sum writes them.
    pub checksums: Url,
    /// Whether all of it is wanted, and not the executables alone: it is then unpacked without its
    /// outermost folder, whose `bin` holds the executables.
    pub whole: bool,
}

/// A build from a Go module.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct GoModule {
    /// Module path.
    pub module: String,
    /// Module version, with its `v`.
    pub version: String,
    /// Hash of the module's content (`h1:...`): what is built is what was looked at.
    pub sum: String,
    /// Hash of the module's go.mod (`h1:...`).
    pub go_mod_sum: String,
    /// Oldest Go release that builds it.
    pub toolchain: String,
    /// Main package by executable.
    pub packages: IndexMap<String, String>,
    /// Build tags.
    pub tags: Vec<String>,
    /// The variable that holds the version the executables report, which only a linker flag sets.
    pub version_variable: String,
    /// What the build lacks against the vendor's release.
    pub lacks: Option<String>,
    /// How long it takes on two cores with nothing cached.
    pub cold_build: Span,
    /// Free disk space it wants with nothing cached: modules and compiled packages.
    pub disk: Bytes,
}

impl GoModule {
    /// How long the build takes on two cores with nothing cached.
    #[must_use]
    pub fn cold_build(&self) -> Duration {
        self.cold_build.0
    }
}

/// A module at a version, pinned by its hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pinned<'a> {
    /// Module path.
    pub(super) module: &'a str,
    /// Module version, with its `v`.
    pub(super) version: &'a str,
    /// Hash of its content.
    pub(super) sum: &'a str,
    /// Hash of its go.mod.
    pub(super) go_mod_sum: &'a str,
}

/// What a build wants of Go and of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wants<'a> {
    /// What is built.
    pub(super) module: &'a str,
    /// Oldest Go release that builds it.
    pub(super) toolchain: &'a str,
    /// Free bytes with nothing cached.
    pub(super) disk: u64,
}

impl GoModule {
    pub(super) fn pinned(&self) -> Pinned<'_> {
        Pinned {
            module: &self.module,
            version: &self.version,
            sum: &self.sum,
            go_mod_sum: &self.go_mod_sum,
        }
    }

    pub(super) fn wants(&self) -> Wants<'_> {
        Wants {
            module: &self.module,
            toolchain: &self.toolchain,
            disk: self.disk.0,
        }
    }
}

/// An OpenTelemetry Collector of chosen components: the collector's own builder writes its sources,
/// Go builds them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collector {
    /// The builder's module.
    pub builder: Builder,
    /// Oldest Go release that builds it.
    pub toolchain: String,
    /// Its components.
    pub components: CollectorComponents,
    /// The go.sum of the whole build: what is built is what was looked at, dependencies included.
    pub sums: String,
    /// What the build lacks against the vendor's release.
    pub lacks: Option<String>,
    /// How long it takes on two cores with nothing cached.
    pub cold_build: Duration,
    /// Free disk space it wants with nothing cached, in bytes.
    pub disk: u64,
}

/// The module of the collector's builder.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Builder {
    /// Module path.
    pub module: String,
    /// Module version, with its `v`.
    pub version: String,
    /// Hash of the module's content.
    pub sum: String,
    /// Hash of the module's go.mod.
    pub go_mod_sum: String,
}

/// A collector's components: module and version (`PATH vVERSION`) by the name that a configuration
/// gives them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CollectorComponents {
    /// Sources of its configuration, by scheme.
    pub providers: IndexMap<String, String>,
    /// Extensions.
    pub extensions: IndexMap<String, String>,
    /// Receivers.
    pub receivers: IndexMap<String, String>,
    /// Processors.
    pub processors: IndexMap<String, String>,
    /// Connectors.
    pub connectors: IndexMap<String, String>,
    /// Exporters.
    pub exporters: IndexMap<String, String>,
}

impl CollectorComponents {
    /// Every kind with its components.
    #[must_use]
    pub fn kinds(&self) -> [(&'static str, &IndexMap<String, String>); 6] {
        [
            ("providers", &self.providers),
            ("extensions", &self.extensions),
            ("receivers", &self.receivers),
            ("processors", &self.processors),
            ("connectors", &self.connectors),
            ("exporters", &self.exporters),
        ]
    }
}

impl Collector {
    pub(super) fn pinned(&self) -> Pinned<'_> {
        Pinned {
            module: &self.builder.module,
            version: &self.builder.version,
            sum: &self.builder.sum,
            go_mod_sum: &self.builder.go_mod_sum,
        }
    }

    pub(super) fn wants(&self) -> Wants<'_> {
        Wants {
            module: &self.builder.module,
            toolchain: &self.toolchain,
            disk: self.disk,
        }
    }
}

/// A Debian package whose files are used without installing it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DebianPackage {
    /// Its name.
    pub package: String,
}

/// An assembly from Maven artifacts and Java sources of ours.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MavenAssembly {
    /// Folder with the lock file and our sources; in the catalog relative to the catalog's own folder.
    pub folder: PathBuf,
    /// Version of Maven's dependency plugin that copies the jars.
    pub plugin: String,
    /// Oldest Java release that compiles and runs it.
    pub java: u32,
    /// What it lacks against the vendor's distribution.
    pub lacks: Vec<Feature>,
    /// What stands in for a part of the vendor's distribution, for people.
    pub stands_in: String,
    /// How long it takes on two cores with nothing resolved yet.
    pub cold_build: Span,
    /// Free disk space it wants with nothing resolved yet.
    pub disk: Bytes,
}

impl MavenAssembly {
    /// How long it takes on two cores with nothing resolved yet.
    #[must_use]
    pub fn cold_build(&self) -> Duration {
        self.cold_build.0
    }

    /// What it lacks and what stands in, for a sentence.
    #[must_use]
    pub fn differs(&self) -> String {
        let lacks: Vec<String> = self.lacks.iter().map(ToString::to_string).collect();
        format!("{}; lacks {}", self.stands_in, lacks.join(", "))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCatalog {
    components: IndexMap<String, Spanned<RawComponent>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawComponent {
    image: Option<Spanned<String>>,
    #[serde(default)]
    further_images: Vec<Spanned<String>>,
    version: Spanned<String>,
    executables: Spanned<IndexMap<String, Vec<Capability>>>,
    #[serde(default)]
    shown_by: Option<Spanned<IndexMap<String, ShownBy>>>,
    variable: Spanned<String>,
    #[serde(default)]
    system: Vec<Spanned<String>>,
    archive: Option<RawArchive>,
    go: Option<Spanned<GoModule>>,
    collector: Option<Spanned<RawCollector>>,
    debian: Option<Spanned<DebianPackage>>,
    maven: Option<Spanned<MavenAssembly>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawCollector {
    builder: Builder,
    toolchain: String,
    components: CollectorComponents,
    sums: Spanned<PathBuf>,
    lacks: Option<String>,
    cold_build: Span,
    disk: Bytes,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawArchive {
    url: Spanned<String>,
    #[serde(default)]
    further: Vec<Spanned<String>>,
    #[serde(default)]
    names: Option<Spanned<IndexMap<String, String>>>,
    checksums: Spanned<String>,
    #[serde(default)]
    whole: bool,
}

/// A mistake and where it is.
struct Mistake(Location, String);

/// Parses and checks the text of a catalog; `path` is for messages.
pub(super) fn parse(path: &Path, text: &str) -> Result<IndexMap<String, Component>, CatalogError> {
    let wrong = |Misread { line, column, why }| CatalogError::Parse {
        path: path.to_owned(),
        line,
        column,
        why,
    };
    let raw: RawCatalog = files::yaml(text).map_err(wrong)?;
    let mut components: IndexMap<String, Component> = IndexMap::new();
    for (name, raw) in raw.components {
        let component = check(&name, raw, &components, path).map_err(|Mistake(location, why)| {
            wrong(Misread {
                line: location.line(),
                column: location.column(),
                why,
            })
        })?;
        components.insert(name, component);
    }
    Ok(components)
}

fn check(
    name: &str,
    raw: Spanned<RawComponent>,
    before: &IndexMap<String, Component>,
    path: &Path,
) -> Result<Component, Mistake> {
    let place = raw.referenced;
    let raw = raw.value;
    let ensure = |holds: bool, location: Location, why: &dyn Fn() -> String| {
        if holds {
            Ok(())
        } else {
            Err(Mistake(location, format!("component `{name}`: {}", why())))
        }
    };
    ensure(is_name(name), place, &|| {
        "the name is not in kebab case; write lower-case letters, digits and dashes".to_owned()
    })?;

    let version = raw.version.value;
    ensure(is_version(&version), raw.version.referenced, &|| {
        format!("version `{version}` is not a version; write it as the server reports it, for example 3.16.0")
    })?;
    for image in raw.image.iter().chain(&raw.further_images) {
        let tag = image
            .value
            .rsplit_once(':')
            .map(|(_, tag)| tag)
            .filter(|tag| !tag.contains('/'));
        ensure(
            tag.is_some_and(|tag| tag.strip_prefix('v').unwrap_or(tag) == version),
            image.referenced,
            &|| {
                format!(
                    "the tag of image `{}` is not the component's version {version}; give both the same version",
                    image.value
                )
            },
        )?;
    }

    let executables = raw.executables.value;
    ensure(!executables.is_empty(), raw.executables.referenced, &|| {
        "there are no executables; name at least one, the server first".to_owned()
    })?;
    for executable in executables.keys() {
        ensure(is_file_name(executable), raw.executables.referenced, &|| {
            format!("executable `{executable}` is not a file name; write the bare name, for example promtool")
        })?;
    }

    let shown_by = match raw.shown_by {
        Some(shown_by) => {
            for executable in shown_by.value.keys() {
                ensure(executables.contains_key(executable), shown_by.referenced, &|| {
                    format!(
                        "shown-by names `{executable}`, which is not among the executables; remove it or list it there"
                    )
                })?;
            }
            shown_by.value
        }
        None => IndexMap::new(),
    };
    for folder in &raw.system {
        ensure(Path::new(&folder.value).is_absolute(), folder.referenced, &|| {
            format!(
                "system folder `{}` is not absolute; write it from /",
                folder.value
            )
        })?;
    }

    let variable = raw.variable.value;
    ensure(is_variable(&variable), raw.variable.referenced, &|| {
        format!(
            "`{variable}` is not a variable of this project; write CONFORM_..._BIN in capitals, digits and underscores"
        )
    })?;
    if let Some(other) = before.values().find(|other| other.variable == variable) {
        ensure(false, raw.variable.referenced, &|| {
            format!(
                "variable {variable} belongs to component `{}` already; choose another",
                other.name
            )
        })?;
    }

    let archive = raw
        .archive
        .map(|archive| -> Result<Archive, Mistake> {
            let address = |text: Spanned<String>| {
                address(&text.value, &version)
                    .map_err(|why| Mistake(text.referenced, format!("component `{name}`: {why}")))
            };
            let names = archive.names.map_or_else(
                || Ok(IndexMap::new()),
                |names| {
                    for (executable, file) in &names.value {
                        ensure(executables.contains_key(executable), names.referenced, &|| {
                            format!("archive names `{executable}`, which is not among the executables; remove it or list it there")
                        })?;
                        ensure(is_file_name(file), names.referenced, &|| {
                            format!("archive name `{file}` is not a file name; write the bare name it has in the archive")
                        })?;
                    }
                    Ok(names.value)
                },
            )?;
            Ok(Archive {
                url: address(archive.url)?,
                further: archive.further.into_iter().map(address).collect::<Result<_, _>>()?,
                names,
                checksums: address(archive.checksums)?,
                whole: archive.whole,
            })
        })
        .transpose()?;

    let go = raw
        .go
        .map(|go| -> Result<GoModule, Mistake> {
            let place = go.referenced;
            let go = go.value;
            ensure(
                go.version.strip_prefix('v').is_some_and(is_version),
                place,
                &|| {
                    format!(
                        "go version `{}` is not a module version; write it with its v, for example v0.316.0",
                        go.version
                    )
                },
            )?;
            for (field, sum) in [("sum", &go.sum), ("go-mod-sum", &go.go_mod_sum)] {
                ensure(is_sum(sum), place, &|| {
                    format!(
                        "go {field} `{sum}` is not a module hash; copy it from `go mod download -json {}@{}`",
                        go.module, go.version
                    )
                })?;
            }
            ensure(release(&go.toolchain).is_some(), place, &|| {
                format!(
                    "go toolchain `{}` is not a Go release; write it as go.mod does, for example 1.26.7",
                    go.toolchain
                )
            })?;
            for executable in executables.keys() {
                ensure(go.packages.contains_key(executable), place, &|| {
                    format!("go packages lack executable `{executable}`; name its main package")
                })?;
            }
            for (executable, package) in &go.packages {
                ensure(executables.contains_key(executable), place, &|| {
                    format!("go packages name `{executable}`, which is not among the executables; remove it or list it there")
                })?;
                ensure(
                    package == &go.module
                        || package.strip_prefix(&go.module).is_some_and(|rest| rest.starts_with('/')),
                    place,
                    &|| {
                        format!(
                            "go package `{package}` is not in module {}; write the full import path",
                            go.module
                        )
                    },
                )?;
            }
            Ok(go)
        })
        .transpose()?;

    let collector = raw
        .collector
        .map(|collector| check_collector(collector, &executables, path))
        .transpose()
        .map_err(|Mistake(place, why)| Mistake(place, format!("component `{name}`: {why}")))?;

    let maven = raw
        .maven
        .map(|maven| -> Result<MavenAssembly, Mistake> {
            let place = maven.referenced;
            let mut maven = maven.value;
            ensure(is_version(&maven.plugin), place, &|| {
                format!(
                    "maven plugin `{}` is not a version; write it as Maven does, for example 3.8.1",
                    maven.plugin
                )
            })?;
            ensure(maven.folder.is_relative(), place, &|| {
                format!(
                    "maven folder {} is not relative to the catalog's folder",
                    maven.folder.display()
                )
            })?;
            let folder = path.with_file_name(&maven.folder);
            // A compiler is started in another folder: what was given may be relative to this one.
            maven.folder = std::path::absolute(&folder).unwrap_or(folder);
            Ok(maven)
        })
        .transpose()?;

    let debian = raw
        .debian
        .map(|debian| {
            let package = &debian.value.package;
            ensure(is_name(package), debian.referenced, &|| {
                format!("`{package}` is not the name of a Debian package; write it as apt-get does, for example libfaketime")
            })?;
            Ok(debian.value)
        })
        .transpose()?;

    Ok(Component {
        name: name.to_owned(),
        image: raw.image.map(|image| image.value),
        further_images: raw.further_images.into_iter().map(|image| image.value).collect(),
        version,
        executables,
        shown_by,
        variable,
        system: raw.system.into_iter().map(|folder| folder.value).collect(),
        archive,
        go,
        collector,
        debian,
        maven,
    })
}

/// Checks a collector and reads its go.sum, whose path is relative to the catalog's folder.
fn check_collector(
    raw: Spanned<RawCollector>,
    executables: &IndexMap<String, Vec<Capability>>,
    catalog: &Path,
) -> Result<Collector, Mistake> {
    let place = raw.referenced;
    let raw = raw.value;
    let wrong = |why: String| Err(Mistake(place, why));
    let [_] = executables.keys().collect::<Vec<_>>()[..] else {
        return wrong("a collector is one executable; name exactly one".to_owned());
    };
    let Builder {
        module,
        version,
        sum,
        go_mod_sum,
    } = &raw.builder;
    if !version.strip_prefix('v').is_some_and(is_version) {
        return wrong(format!(
            "builder version `{version}` is not a module version; write it with its v, for example v0.149.0"
        ));
    }
    if let Some(other) = [sum, go_mod_sum].into_iter().find(|sum| !is_sum(sum)) {
        return wrong(format!(
            "builder hash `{other}` is not a module hash; copy it from `go mod download -json {module}@{version}`"
        ));
    }
    if release(&raw.toolchain).is_none() {
        return wrong(format!(
            "toolchain `{}` is not a Go release; write it as go.mod does, for example 1.25.0",
            raw.toolchain
        ));
    }
    let file = catalog.with_file_name(&raw.sums.value);
    let sums = std::fs::read_to_string(&file).map_err(|error| {
        Mistake(
            raw.sums.referenced,
            format!(
                "{}: {error}; put the build's go.sum there, relative to the catalog",
                file.display()
            ),
        )
    })?;
    for (at, line) in sums.lines().enumerate() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if !matches!(words[..], [_, _, sum] if is_sum(sum)) {
            let why = format!(
                "{}:{}: `{line}` is no line of a go.sum; each is a module, its version and its hash",
                file.display(),
                at + 1
            );
            return Err(Mistake(raw.sums.referenced, why));
        }
    }
    for (kind, components) in raw.components.kinds() {
        for (name, module) in components {
            let pinned = module.split_once(' ').is_some_and(|(path, version)| {
                sums.lines().any(|line| {
                    line.strip_prefix(path)
                        .and_then(|rest| rest.strip_prefix(' '))
                        .and_then(|rest| rest.strip_prefix(version))
                        .is_some_and(|rest| rest.starts_with(' '))
                })
            });
            if !pinned {
                return wrong(format!(
                    "{kind} `{name}`: {} has no hash of `{module}`; write module and version with a blank between, and make the go.sum anew where one changed",
                    file.display()
                ));
            }
        }
    }
    Ok(Collector {
        builder: raw.builder,
        toolchain: raw.toolchain,
        components: raw.components,
        sums,
        lacks: raw.lacks,
        cold_build: raw.cold_build.0,
        disk: raw.disk.0,
    })
}

/// An address with its placeholders filled in; only HTTPS, or HTTP to this machine.
fn address(template: &str, version: &str) -> Result<Url, String> {
    let text = template
        .replace("{version}", version)
        .replace("{os}", operating_system())
        .replace("{arch}", architecture())
        .replace("{machine}", std::env::consts::ARCH);
    if text.contains(['{', '}']) {
        return Err(format!(
            "`{template}` has an unknown placeholder; {{version}}, {{os}}, {{arch}} and {{machine}} are known"
        ));
    }
    let url = Url::parse(&text).map_err(|why| format!("`{text}` is not an address: {why}"))?;
    let here = matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
    if url.scheme() == "https" || (url.scheme() == "http" && here) {
        Ok(url)
    } else {
        Err(format!(
            "`{text}` is not an https address; what is executed is not fetched over plain HTTP"
        ))
    }
}

/// The operating system, in the names Go and release archives use.
pub(super) fn operating_system() -> &'static str {
    match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    }
}

/// The processor architecture, in the names Go and release archives use.
pub(super) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "powerpc64" => "ppc64le",
        other => other,
    }
}

/// The numbers of a Go release (`1.26.7`, `go1.26.7`, `go1.26`), for comparison.
pub(super) fn release(text: &str) -> Option<(u32, u32, u32)> {
    let text = text.strip_prefix("go").unwrap_or(text);
    // `go1.27rc1`, `go1.26.8-custom`: only the numbers of the release count.
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let mut parts = text[..end].split('.').map(|part| part.parse().ok());
    let (major, minor) = (parts.next()??, parts.next()??);
    Some((major, minor, parts.next().map_or(Some(0), |patch| patch)?))
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

fn is_version(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || ".+-".contains(c))
}

fn is_file_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

fn is_variable(text: &str) -> bool {
    text.starts_with("CONFORM_")
        && text
            .chars()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

fn is_sum(text: &str) -> bool {
    // SHA-256 in base64: 43 characters and one of padding.
    text.strip_prefix("h1:").is_some_and(|sum| {
        sum.len() == 44
            && sum.ends_with('=')
            && sum[..43]
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "+/".contains(c))
    })
}
