//! A build from a Go module, with nothing but a module proxy.
//!
//! A wrapper module requires the module and repeats what does not carry over
//! to those who require it: its own non-local replaces and its go.sum. The
//! catalog holds the module's hashes, so what is built is what was looked at,
//! dependencies included.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::cache::{CacheError, Making};
use super::entry::{GoModule, Pinned, Wants, architecture, operating_system, release};
use super::environment::Environment;
use super::process::{Ended, Run, RunError, run};
use super::space;
use crate::progress::Progress;
use crate::units::format_duration;

/// How long `go env` and the like may take.
const SHORT: Duration = Duration::from_secs(30);
/// How long the download of one module may take.
const DOWNLOAD: Duration = Duration::from_mins(10);
/// How long one executable's build may take; the longest known is nine minutes on two cores.
const BUILD: Duration = Duration::from_mins(40);

/// Why a build does not serve.
#[derive(Debug, thiserror::Error)]
pub(super) enum GoError {
    /// There is no Go.
    #[error("there is no go on PATH")]
    NoGo,
    /// Go cannot be asked what it is.
    #[error("{program} does not say what it is: {why}", program = .program.display())]
    Strange {
        /// The program.
        program: PathBuf,
        /// Why.
        why: String,
    },
    /// Go is older than the module wants.
    #[error("{program} is {release}, {module} wants {needed} or newer", program = .program.display())]
    TooOld {
        /// The program.
        program: PathBuf,
        /// Its release.
        release: String,
        /// The module.
        module: String,
        /// The release it wants.
        needed: String,
    },
    /// There is too little free disk space.
    #[error("the build wants {} of free disk space, {folder} has {}", space::format_bytes(*.needed), space::format_bytes(*.free), folder = .folder.display())]
    Space {
        /// Where.
        folder: PathBuf,
        /// Bytes that are free.
        free: u64,
        /// Bytes that are wanted.
        needed: u64,
    },
    /// The module cannot be downloaded.
    #[error("Go module {module} cannot be downloaded (GOPROXY={proxy}): {why}")]
    Download {
        /// Module and version.
        module: String,
        /// Where it was looked for.
        proxy: String,
        /// What go said.
        why: String,
    },
    /// The module's content is not what the catalog's hash says.
    #[error("Go module {module} is not what the catalog says: {why}")]
    OtherSum {
        /// Module and version.
        module: String,
        /// What go said.
        why: String,
    },
    /// The build fails.
    #[error("go build {package} fails (GOPROXY={proxy}): {why}")]
    Build {
        /// The package.
        package: String,
        /// Where modules were looked for.
        proxy: String,
        /// What go said.
        why: String,
    },
    /// The collector's builder does not write its sources.
    #[error("{builder} does not write the collector's sources: {why}")]
    Builder {
        /// The builder's module and version.
        builder: String,
        /// What it said.
        why: String,
    },
    /// The build took modules that are not pinned by hash.
    #[error("the build took modules whose hashes the catalog's go.sum lacks: {}", modules.join(", "))]
    Unpinned {
        /// Modules and versions, a few.
        modules: Vec<String>,
    },
    /// Go does not come to its end.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

impl GoError {
    /// What to do about it.
    pub(super) fn remedy(&self, toolchain: &str) -> String {
        match self {
            Self::NoGo | Self::TooOld { .. } => format!("put Go {toolchain} or newer on PATH"),
            Self::Strange { program, .. } => format!(
                "put a working Go {toolchain} or newer before {} on PATH",
                program.display()
            ),
            Self::Space { folder, .. } => format!(
                "free space under {}, or set CONFORM_CACHE, GOCACHE and GOMODCACHE to folders on a larger disk",
                folder.display()
            ),
            Self::Download { .. } => "set GOPROXY to a Go module proxy this machine reaches".to_owned(),
            Self::OtherSum { .. } => {
                "set GOPROXY to a module proxy you trust, or correct the hashes in the catalog".to_owned()
            }
            Self::Build { .. } => {
                "set GOPROXY to a module proxy that has every dependency, or correct the component's go entry in the catalog"
                    .to_owned()
            }
            Self::Builder { .. } => "correct the component's collector entry in the catalog".to_owned(),
            Self::Unpinned { .. } => {
                "make the go.sum of the component's collector entry anew, and look at what came in".to_owned()
            }
            Self::Run(_) => "run it again on a less busy machine".to_owned(),
            Self::Cache(_) => "set CONFORM_CACHE to a folder you may write".to_owned(),
        }
    }
}

/// A Go toolchain and the settings it works with.
#[derive(Debug, Clone)]
pub(super) struct Go {
    program: PathBuf,
    /// Its release, for example `go1.26.8`.
    pub(super) release: String,
    /// Module proxies, without version control hosts.
    pub(super) proxy: String,
    module_cache: PathBuf,
    build_cache: PathBuf,
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
struct Settings {
    goversion: String,
    goproxy: String,
    gomodcache: PathBuf,
    gocache: PathBuf,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Downloaded {
    #[serde(default)]
    dir: Option<PathBuf>,
    #[serde(default)]
    error: Option<String>,
}

/// What a build is told besides what to build.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order<'a> {
    /// The environment.
    pub(super) environment: &'a Environment,
    /// How many packages are compiled at once.
    pub(super) parallel: usize,
    /// The component, for progress.
    pub(super) component: &'a str,
    /// Its version, for the executables to report.
    pub(super) version: &'a str,
    /// Why it comes to a build, for progress.
    pub(super) why: &'a str,
    /// Who watches.
    pub(super) progress: &'a Progress,
    /// Ends when the run is interrupted.
    pub(super) cancel: &'a CancellationToken,
}

/// An executable to be compiled.
#[derive(Debug, Clone, Copy)]
pub(super) struct Build<'a> {
    /// The folder of the main module.
    pub(super) folder: &'a Path,
    /// The executable.
    pub(super) target: &'a Path,
    /// Its main package.
    pub(super) package: &'a str,
    /// Build tags.
    pub(super) tags: &'a [String],
    /// What the linker is told.
    pub(super) linker_flags: &'a str,
    /// What is said besides when it begins.
    pub(super) why: &'a str,
}

impl Go {
    /// The Go on PATH, with its settings.
    pub(super) async fn find(environment: &Environment, cancel: &CancellationToken) -> Result<Self, GoError> {
        let program = environment.look_up("go").ok_or(GoError::NoGo)?;
        let ended = run(
            &Run {
                program: &program,
                arguments: ["env", "-json", "GOVERSION", "GOPROXY", "GOMODCACHE", "GOCACHE"]
                    .map(OsString::from)
                    .to_vec(),
                folder: Some(Path::new("/")),
                environment,
                variables: vec![
                    ("GOTOOLCHAIN", "local".into()),
                    ("GOWORK", "off".into()),
                    ("GOFLAGS", "-mod=mod".into()),
                ],
                bound: SHORT,
            },
            cancel,
            |_| (),
        )
        .await?;
        let strange = |why: String| GoError::Strange {
            program: program.clone(),
            why,
        };
        if !ended.status.success() {
            return Err(strange(cause(&ended.stderr)));
        }
        let settings: Settings =
            serde_json::from_str(&ended.stdout).map_err(|error| strange(format!("go env: {error}")))?;
        Ok(Self {
            program,
            release: settings.goversion,
            proxy: without_version_control(&settings.goproxy),
            module_cache: settings.gomodcache,
            build_cache: settings.gocache,
        })
    }

    /// The program.
    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    /// Whether it can build the module: its release, and the free disk space.
    pub(super) fn suits(&self, wants: Wants<'_>, cache: &Path) -> Result<(), GoError> {
        if release(&self.release) < release(wants.toolchain) {
            return Err(GoError::TooOld {
                program: self.program.clone(),
                release: self.release.clone(),
                module: wants.module.to_owned(),
                needed: wants.toolchain.to_owned(),
            });
        }
        for folder in [&self.build_cache, &self.module_cache, cache] {
            let needed = wants.disk;
            if let Some(free) = space::free(folder).filter(|free| *free < needed) {
                return Err(GoError::Space {
                    folder: folder.to_owned(),
                    free,
                    needed,
                });
            }
        }
        Ok(())
    }

    /// Whether the module itself is in Go's module cache.
    pub(super) fn has(&self, go: Pinned<'_>) -> bool {
        let zip = format!(
            "cache/download/{}/@v/{}.zip",
            escape(go.module),
            escape(go.version)
        );
        self.module_cache.join(zip).is_file()
    }

    /// Address of the module's description at the first proxy; none where that is no web address.
    pub(super) fn description(&self, go: Pinned<'_>) -> Option<url::Url> {
        let first = self.proxy.split([',', '|']).next()?.trim_end_matches('/');
        let text = format!("{first}/{}/@v/{}.info", escape(go.module), escape(go.version));
        url::Url::parse(&text)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"))
    }

    /// Builds the module's executables to where `making` wants them.
    pub(super) async fn build(
        &self,
        go: &GoModule,
        making: &Making,
        order: Order<'_>,
    ) -> Result<(), GoError> {
        let folder = making.workshop()?;
        self.wrap(go.pinned(), &go.toolchain, &folder, order).await?;
        let bin = making.executables();
        let flags = linker_flags(go, order.version);
        let mut why = first_build(order.why, go.cold_build());
        for (executable, package) in &go.packages {
            let build = Build {
                folder: &folder,
                target: &bin.join(executable),
                package,
                tags: &go.tags,
                linker_flags: &flags,
                why: &std::mem::take(&mut why),
            };
            self.compile(&build, order).await?;
        }
        Ok(())
    }

    /// Makes a folder a wrapper of a module: downloads the module, requires it, and repeats what does
    /// not carry over.
    pub(super) async fn wrap(
        &self,
        go: Pinned<'_>,
        toolchain: &str,
        folder: &Path,
        order: Order<'_>,
    ) -> Result<(), GoError> {
        let module = format!("{}@{}", go.module, go.version);
        // Go's scratch folder too, so that a killed build leaves nothing elsewhere.
        make_folder(&folder.join("tmp"))?;
        write(&folder.join("go.mod"), &wrapper(go, toolchain, &[]))?;
        write(&folder.join("go.sum"), &own_sums(go))?;

        let step = |text: String| order.progress.step(order.component, text);
        step(format!("go mod download {module}"));
        let arguments = ["mod", "download", "-json", &module].map(OsString::from).to_vec();
        let ended = self
            .run(arguments, folder, DOWNLOAD, order, |elapsed| {
                step(format!(
                    "go mod download {module}: {} so far",
                    format_duration(elapsed)
                ));
            })
            .await?;
        let failed = |why: String| {
            if why.contains("checksum mismatch") {
                GoError::OtherSum {
                    module: module.clone(),
                    why,
                }
            } else {
                GoError::Download {
                    module: module.clone(),
                    proxy: self.proxy.clone(),
                    why,
                }
            }
        };
        let downloaded = serde_json::from_str::<Downloaded>(&ended.stdout);
        let source = match downloaded {
            Ok(Downloaded { error: Some(why), .. }) => return Err(failed(one_line(&why))),
            Ok(Downloaded { dir: Some(dir), .. }) if ended.status.success() => dir,
            _ => return Err(failed(cause(&ended.stderr))),
        };
        let read = |name: &str| {
            let path = source.join(name);
            std::fs::read_to_string(&path).map_err(|error| failed(format!("{}: {error}", path.display())))
        };
        let go_mod = read("go.mod")?;
        let go_line = go_directive(&go_mod).unwrap_or(toolchain).to_owned();
        write(
            &folder.join("go.mod"),
            &wrapper(go, &go_line, &remote_replaces(&go_mod)),
        )?;
        write(
            &folder.join("go.sum"),
            &format!("{}\n{}", read("go.sum")?.trim_end(), own_sums(go)),
        )?;
        Ok(())
    }

    /// Compiles one executable.
    pub(super) async fn compile(&self, build: &Build<'_>, order: Order<'_>) -> Result<(), GoError> {
        let package = build.package;
        let step = |text: String| order.progress.step(order.component, text);
        step(format!("go build {package}{}", build.why));
        let mut arguments: Vec<OsString> = ["build", "-mod=mod", "-trimpath", "-buildvcs=false"]
            .map(OsString::from)
            .to_vec();
        arguments.extend(["-p".into(), order.parallel.to_string().into()]);
        if !build.tags.is_empty() {
            arguments.extend(["-tags".into(), build.tags.join(",").into()]);
        }
        arguments.extend(["-ldflags".into(), build.linker_flags.into()]);
        arguments.extend(["-o".into(), build.target.into(), package.into()]);
        let ended = self
            .run(arguments, build.folder, BUILD, order, |elapsed| {
                step(format!("go build {package}: {} so far", format_duration(elapsed)));
            })
            .await?;
        if ended.status.success() {
            Ok(())
        } else {
            Err(GoError::Build {
                package: package.to_owned(),
                proxy: self.proxy.clone(),
                why: cause(&ended.stderr),
            })
        }
    }

    async fn run(
        &self,
        mut arguments: Vec<OsString>,
        folder: &Path,
        bound: Duration,
        order: Order<'_>,
        tick: impl FnMut(Duration),
    ) -> Result<Ended, GoError> {
        // The group is killed on interruption; setpriv covers a harness that is killed itself.
        let setpriv = parent_death(order.environment, order.cancel).await?;
        if setpriv.is_some() {
            let mut all: Vec<OsString> = ["--pdeathsig", "KILL", "--"].map(OsString::from).to_vec();
            all.push(self.program.clone().into());
            all.append(&mut arguments);
            arguments = all;
        }
        let ended = run(
            &Run {
                program: setpriv.as_deref().unwrap_or(&self.program),
                arguments,
                folder: Some(folder),
                environment: order.environment,
                variables: vec![
                    // Whatever the user's own settings, the build is the same.
                    ("GO111MODULE", "on".into()),
                    ("GOWORK", "off".into()),
                    ("GOTOOLCHAIN", "local".into()),
                    ("CGO_ENABLED", "0".into()),
                    ("GOFLAGS", "-mod=mod".into()),
                    ("GOOS", operating_system().into()),
                    ("GOARCH", architecture().into()),
                    ("GOEXPERIMENT", OsString::new()),
                    ("GOPROXY", self.proxy.clone().into()),
                    ("GOMODCACHE", self.module_cache.clone().into()),
                    ("GOCACHE", self.build_cache.clone().into()),
                    ("GOTMPDIR", folder.join("tmp").into()),
                ],
                bound,
            },
            order.cancel,
            tick,
        )
        .await?;
        Ok(ended)
    }
}

impl GoModule {
    /// What makes an entry of the cache an entry of this build.
    pub(super) fn recipe(&self, version: &str) -> String {
        let packages: Vec<String> = self
            .packages
            .iter()
            .map(|(executable, package)| format!("{executable}={package}"))
            .collect();
        format!(
            "go\n{}@{} {}\n{}\n{}\n{}\n{}/{}",
            self.module,
            self.version,
            self.sum,
            packages.join(" "),
            self.tags.join(","),
            linker_flags(self, version),
            operating_system(),
            architecture(),
        )
    }
}

/// util-linux's setpriv, where it knows the parent-death signal (2.33 and later do).
pub(super) async fn parent_death(
    environment: &Environment,
    cancel: &CancellationToken,
) -> Result<Option<PathBuf>, RunError> {
    let Some(program) = environment.look_up("setpriv") else {
        return Ok(None);
    };
    let help = Run {
        program: &program,
        arguments: vec!["--help".into()],
        folder: None,
        environment,
        variables: Vec::new(),
        bound: SHORT,
    };
    match run(&help, cancel, |_| ()).await {
        Ok(ended) => Ok(ended.stdout.contains("--pdeathsig").then_some(program)),
        Err(RunError::Interrupted) => Err(RunError::Interrupted),
        Err(_) => Ok(None),
    }
}

fn linker_flags(go: &GoModule, version: &str) -> String {
    format!("-s -w -X {}={version}", go.version_variable)
}

/// What the first build of a component says besides: why it comes to it, and how long it may take.
pub(super) fn first_build(why: &str, cold_build: Duration) -> String {
    format!(
        " ({why}), about {} for the component on 2 cores with nothing compiled yet",
        format_duration(cold_build)
    )
}

pub(super) fn make_folder(path: &Path) -> Result<(), CacheError> {
    std::fs::create_dir_all(path).map_err(|source| CacheError::Io {
        what: "make",
        path: path.to_owned(),
        source,
    })
}

pub(super) fn write(path: &Path, text: &str) -> Result<(), CacheError> {
    std::fs::write(path, text).map_err(|source| CacheError::Io {
        what: "write",
        path: path.to_owned(),
        source,
    })
}

/// The wrapper's go.mod.
fn wrapper(go: Pinned<'_>, go_line: &str, replaces: &[String]) -> String {
    let mut text = format!(
        "module wrapper\n\ngo {go_line}\n\nrequire {} {}\n",
        go.module, go.version
    );
    for replace in replaces {
        text.push_str("replace ");
        text.push_str(replace);
        text.push('\n');
    }
    text
}

/// The module's own lines of a go.sum, which its go.sum lacks.
fn own_sums(go: Pinned<'_>) -> String {
    let Pinned {
        module,
        version,
        sum,
        go_mod_sum,
    } = go;
    format!("{module} {version} {sum}\n{module} {version}/go.mod {go_mod_sum}\n")
}

/// The lines of a go.mod without comments, blanks at the ends and empty lines.
fn lines(go_mod: &str) -> impl Iterator<Item = &str> {
    go_mod
        .lines()
        .map(|line| line.split_once("//").map_or(line, |(before, _)| before).trim())
        .filter(|line| !line.is_empty())
}

/// The release in a go.mod's `go` line.
fn go_directive(go_mod: &str) -> Option<&str> {
    lines(go_mod)
        .find_map(|line| line.strip_prefix("go "))
        .map(str::trim)
}

/// The replaces of a go.mod whose target is a module and not a folder, one a line
/// (`old [version] => new version`).
fn remote_replaces(go_mod: &str) -> Vec<String> {
    let mut inside = false;
    let mut replaces = Vec::new();
    for line in lines(go_mod) {
        let replace = if inside {
            if line == ")" {
                inside = false;
                continue;
            }
            line
        } else {
            let Some(rest) = line.strip_prefix("replace") else {
                continue;
            };
            match rest.trim_start() {
                "(" => {
                    inside = true;
                    continue;
                }
                one if rest.starts_with(char::is_whitespace) => one,
                _ => continue,
            }
        };
        if let Some((old, new)) = replace.split_once("=>") {
            // A folder has no version after it.
            let old: Vec<&str> = old.split_whitespace().collect();
            let new: Vec<&str> = new.split_whitespace().collect();
            if new.len() == 2 {
                replaces.push(format!("{} => {}", old.join(" "), new.join(" ")));
            }
        }
    }
    replaces
}

/// A GOPROXY without `direct`: version control hosts are often not reached where a proxy is, and
/// waiting for them hides the proxy's own answer. A GOPROXY of `direct` alone is kept.
fn without_version_control(proxies: &str) -> String {
    let mut kept = String::new();
    for part in proxies.split_inclusive([',', '|']) {
        let name = part.trim_end_matches([',', '|']).trim();
        if !name.is_empty() && name != "direct" {
            kept.push_str(name);
            kept.push_str(&part[part.trim_end_matches([',', '|']).len()..]);
        }
    }
    let kept = kept.trim_end_matches([',', '|']);
    if kept.is_empty() { proxies.trim() } else { kept }.to_owned()
}

/// Upper-case letters as proxies and the module cache write them (`!x`), since file systems may not
/// tell them from lower-case ones.
fn escape(module: &str) -> String {
    let mut text = String::new();
    for letter in module.chars() {
        if letter.is_ascii_uppercase() {
            text.push('!');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

/// The cause in what go wrote: not what it downloaded on the way, at most three lines.
pub(super) fn cause(stderr: &str) -> String {
    let said: Vec<&str> = stderr
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("go: downloading ") && !line.starts_with("# "))
        .take(3)
        .collect();
    if said.is_empty() {
        "go says nothing".to_owned()
    } else {
        said.join("; ")
    }
}

fn one_line(text: &str) -> String {
    let parts: Vec<&str> = text.split_whitespace().collect();
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case("https://proxy.example,direct", "https://proxy.example")]
    #[case("https://proxy.example|direct", "https://proxy.example")]
    #[case(
        "https://a.example|https://b.example,direct",
        "https://a.example|https://b.example"
    )]
    #[case("direct", "direct")]
    #[case("off", "off")]
    #[case("file:///mirror", "file:///mirror")]
    fn version_control_hosts_are_not_asked(#[case] given: &str, #[case] kept: &str) {
        assert_eq!(without_version_control(given), kept);
    }

    proptest! {
        /// forall proxies p of which one is not `direct`: rewrite(p) is p without `direct`, in the
        /// same order, and rewrite(rewrite(p)) = rewrite(p)
        #[test]
        fn every_other_proxy_is_kept_in_order(
            names in proptest::collection::vec("direct|https://[a-z]{1,8}\\.example|off", 1..6),
            bars in proptest::collection::vec(any::<bool>(), 6),
        ) {
            let mut text = String::new();
            for (at, name) in names.iter().enumerate() {
                if at > 0 {
                    text.push(if bars[at] { '|' } else { ',' });
                }
                text.push_str(name);
            }
            let others: Vec<&str> = names.iter().map(String::as_str).filter(|name| *name != "direct").collect();
            let rewritten = without_version_control(&text);
            if !others.is_empty() {
                prop_assert_eq!(rewritten.split([',', '|']).collect::<Vec<_>>(), others);
            }
            prop_assert_eq!(without_version_control(&rewritten), rewritten);
        }
    }

    const GO_MOD: &str = "\
module example.org/server // a comment

go 1.26.7

require (
\tgithub.com/a/b v1.2.3
)

replace github.com/a/b => github.com/fork/b v1.2.4 // kept

replace (
\tgithub.com/c/d v1.0.0 => github.com/fork/d v0.0.0-20260101000000-abcdefabcdef
\tgithub.com/e/f => ./local
\t// github.com/g/h => github.com/fork/h v1.0.0
)
replace github.com/i/j => ../elsewhere
";

    #[test]
    fn only_replaces_by_modules_carry_over() {
        assert_eq!(
            remote_replaces(GO_MOD),
            [
                "github.com/a/b => github.com/fork/b v1.2.4",
                "github.com/c/d v1.0.0 => github.com/fork/d v0.0.0-20260101000000-abcdefabcdef",
            ]
        );
        assert_eq!(go_directive(GO_MOD), Some("1.26.7"));
    }

    #[test]
    fn upper_case_is_escaped_as_in_the_module_cache() {
        assert_eq!(escape("github.com/Azure/sdk"), "github.com/!azure/sdk");
    }

    #[test]
    fn the_cause_is_not_what_was_downloaded_on_the_way() {
        let said = "go: downloading a v1\n# pkg\npkg/x.go:1:2: undefined: y\n\ngo: downloading b v1\n";
        assert_eq!(cause(said), "pkg/x.go:1:2: undefined: y");
    }
}
