//! The words of fixtures/catalog.yaml, parsed and checked.
//!
//! Every mistake names file, line and column and says what to write instead.

use std::path::Path;
use std::time::Duration;

use indexmap::IndexMap;
use serde::Deserialize;
use serde_saphyr::{Location, Spanned};
use url::Url;

use super::CatalogError;
use crate::stack::Capability;
use crate::units::{Bytes, Span};

/// A component: which image it is, and the ways to have its executables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    /// Its name, in kebab case.
    pub name: String,
    /// The image the deploy tree names, with its tag.
    pub image: String,
    /// Its version, as its executables report it.
    pub version: String,
    /// Executables by name with the capabilities each brings; the server itself comes first.
    pub executables: IndexMap<String, Vec<Capability>>,
    /// Environment variable that may hold the path of the first executable or of the folder of all.
    pub variable: String,
    /// The vendor's release archive.
    pub archive: Option<Archive>,
    /// A build of its Go module.
    pub go: Option<GoModule>,
}

impl Component {
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
    /// Where the vendor's SHA-256 sums are: lines of sum and file name, as sha256sum writes them.
    pub checksums: Url,
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCatalog {
    components: IndexMap<String, Spanned<RawComponent>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawComponent {
    image: Spanned<String>,
    version: Spanned<String>,
    executables: Spanned<IndexMap<String, Vec<Capability>>>,
    variable: Spanned<String>,
    archive: Option<RawArchive>,
    go: Option<Spanned<GoModule>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawArchive {
    url: Spanned<String>,
    checksums: Spanned<String>,
}

/// A mistake and where it is.
struct Mistake(Location, String);

/// Parses and checks the text of a catalog; `path` is for messages.
pub(super) fn parse(path: &Path, text: &str) -> Result<IndexMap<String, Component>, CatalogError> {
    let wrong = |location: Option<Location>, why: String| CatalogError::Parse {
        path: path.to_owned(),
        line: location.map_or(1, |l| l.line()),
        column: location.map_or(1, |l| l.column()),
        why,
    };
    let raw: RawCatalog = serde_saphyr::from_str(text).map_err(|error| {
        use serde_saphyr::MessageFormatter as _;
        let bare = error.without_snippet();
        let why = serde_saphyr::UserMessageFormatter.format_message(bare);
        wrong(bare.location(), why.into_owned())
    })?;
    let mut components: IndexMap<String, Component> = IndexMap::new();
    for (name, raw) in raw.components {
        let component =
            check(&name, raw, &components).map_err(|Mistake(location, why)| wrong(Some(location), why))?;
        components.insert(name, component);
    }
    Ok(components)
}

fn check(
    name: &str,
    raw: Spanned<RawComponent>,
    before: &IndexMap<String, Component>,
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
    let image = raw.image.value;
    let tag = image
        .rsplit_once(':')
        .map(|(_, tag)| tag)
        .filter(|tag| !tag.contains('/'));
    ensure(
        tag.is_some_and(|tag| tag.strip_prefix('v').unwrap_or(tag) == version),
        raw.image.referenced,
        &|| {
            format!(
                "the tag of image `{image}` is not the component's version {version}; give both the same version"
            )
        },
    )?;

    let executables = raw.executables.value;
    ensure(!executables.is_empty(), raw.executables.referenced, &|| {
        "there are no executables; name at least one, the server first".to_owned()
    })?;
    for executable in executables.keys() {
        ensure(is_file_name(executable), raw.executables.referenced, &|| {
            format!("executable `{executable}` is not a file name; write the bare name, for example promtool")
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
            Ok(Archive {
                url: address(archive.url)?,
                checksums: address(archive.checksums)?,
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

    Ok(Component {
        name: name.to_owned(),
        image,
        version,
        executables,
        variable,
        archive,
        go,
    })
}

/// An address with its placeholders filled in; only HTTPS, or HTTP to this machine.
fn address(template: &str, version: &str) -> Result<Url, String> {
    let text = template
        .replace("{version}", version)
        .replace("{os}", operating_system())
        .replace("{arch}", architecture());
    if text.contains(['{', '}']) {
        return Err(format!(
            "`{template}` has an unknown placeholder; {{version}}, {{os}} and {{arch}} are known"
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
