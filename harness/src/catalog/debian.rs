//! A library from its Debian package: downloaded by apt, which checks the
//! archive's signature, and unpacked into the cache; nothing is installed.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::cache::{CacheError, Making};
use super::entry::{DebianPackage, architecture};
use super::environment::Environment;
use super::go::make_folder;
use super::process::{Ended, Run, RunError, run};
use crate::progress::Progress;
use crate::units::format_duration;

/// How long a tool may take that reads what is on this machine.
const SHORT: Duration = Duration::from_secs(30);
/// How long the lists of packages, or a small package, may take to come.
const DOWNLOAD: Duration = Duration::from_mins(5);

/// Why a package does not serve.
#[derive(Debug, thiserror::Error)]
pub(super) enum DebianError {
    /// The machine has no such tool.
    #[error("there is no {0} on PATH")]
    NoTool(&'static str),
    /// apt does not give the package.
    #[error("apt-get does not give package {package}: {why}")]
    Download {
        /// The package.
        package: String,
        /// What apt said.
        why: String,
    },
    /// The package is of another version.
    #[error("package {package} has version {actual}, expected {expected}")]
    OtherVersion {
        /// The package.
        package: String,
        /// Its version.
        actual: String,
        /// What the catalog names.
        expected: String,
    },
    /// It holds something else than expected.
    #[error("package {package} {why}")]
    Content {
        /// The package.
        package: String,
        /// What is wrong.
        why: String,
    },
    /// A tool does not come to its end.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

impl DebianPackage {
    /// What makes an entry of the cache an entry of this package.
    pub(super) fn recipe(&self) -> String {
        format!("debian\n{}\n{}", self.package, architecture())
    }

    /// What to do where it does not serve.
    pub(super) fn remedy(&self) -> String {
        format!(
            "install {} from your distribution, or give apt-get a mirror it reaches",
            self.package
        )
    }
}

/// Debian's tools.
#[derive(Debug)]
pub(super) struct Debian<'a> {
    apt_get: PathBuf,
    dpkg_deb: PathBuf,
    environment: &'a Environment,
    cancel: &'a CancellationToken,
}

impl<'a> Debian<'a> {
    /// The tools on PATH.
    pub(super) fn find(
        environment: &'a Environment,
        cancel: &'a CancellationToken,
    ) -> Result<Self, DebianError> {
        let tool = |name| environment.look_up(name).ok_or(DebianError::NoTool(name));
        Ok(Self {
            apt_get: tool("apt-get")?,
            dpkg_deb: tool("dpkg-deb")?,
            environment,
            cancel,
        })
    }

    /// Whether the machine's own lists of packages name it.
    pub(super) async fn knows(&self, debian: &DebianPackage) -> bool {
        let arguments = ["download", "--print-uris", &debian.package].map(OsString::from);
        self.run(&self.apt_get, arguments.to_vec(), Path::new("/"), SHORT, |_| ())
            .await
            .is_ok_and(|ended| ended.status.success())
    }

    /// Downloads it, puts its files of the given names where `making` wants them, and gives its version.
    pub(super) async fn unpack(
        &self,
        debian: &DebianPackage,
        (component, version): (&str, &str),
        files: &[String],
        making: &Making,
        progress: &Progress,
    ) -> Result<String, DebianError> {
        let workshop = making.workshop()?;
        let package = &debian.package;
        let downloads = workshop.join("download");
        make_folder(&downloads)?;
        let step = |text: String| progress.step(component, text);
        step(format!("apt-get download {package}"));
        let mut ended = self
            .apt_get(&["download", package], &[], &downloads, &step)
            .await?;
        if !ended.status.success() {
            // Lists of packages that this machine lacks, or old ones: asked for anew, beside its own.
            let own = private(&workshop)?;
            step("apt-get update, into a folder of the cache's own".to_owned());
            let update = self.apt_get(&["update"], &own, &workshop, &step).await?;
            ended = self
                .apt_get(&["download", package], &own, &downloads, &step)
                .await?;
            if !ended.status.success() {
                let why = format!("{} {}", complaints(&ended.stderr), complaints(&update.stderr));
                return Err(DebianError::Download {
                    package: package.clone(),
                    why: why.trim().to_owned(),
                });
            }
        }
        let content = |why: String| DebianError::Content {
            package: package.clone(),
            why,
        };
        let archive = find(&downloads, &|name| {
            Path::new(name).extension().is_some_and(|kind| kind == "deb")
        })
        .ok_or_else(|| content("was not left where apt-get was told to leave it".to_owned()))?;

        let field = [
            OsString::from("--field"),
            archive.clone().into(),
            "Version".into(),
        ];
        let ended = self
            .run(&self.dpkg_deb, field.to_vec(), &workshop, SHORT, |_| ())
            .await?;
        let actual = ended.stdout.trim().to_owned();
        if !is_release(&actual, version) {
            return Err(DebianError::OtherVersion {
                package: package.clone(),
                actual,
                expected: version.to_owned(),
            });
        }

        let unpacked = workshop.join("unpacked");
        let extract = [
            OsString::from("--extract"),
            archive.into(),
            unpacked.clone().into(),
        ];
        let ended = self
            .run(&self.dpkg_deb, extract.to_vec(), &workshop, SHORT, |_| ())
            .await?;
        if !ended.status.success() {
            return Err(content(format!(
                "cannot be unpacked: {}",
                complaints(&ended.stderr)
            )));
        }
        for name in files {
            let from = find(&unpacked, &|file| file == name)
                .ok_or_else(|| content(format!("holds no file {name}")))?;
            let to = making.executables().join(name);
            std::fs::copy(from, &to)
                .and_then(|_| std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o755)))
                .map_err(|source| CacheError::Io {
                    what: "write",
                    path: to,
                    source,
                })?;
        }
        Ok(actual)
    }

    async fn apt_get(
        &self,
        arguments: &[&str],
        options: &[OsString],
        folder: &Path,
        step: &impl Fn(String),
    ) -> Result<Ended, DebianError> {
        let text = arguments.join(" ");
        let mut all = vec![OsString::from("-qq")];
        all.extend(options.iter().cloned());
        all.extend(arguments.iter().map(OsString::from));
        self.run(&self.apt_get, all, folder, DOWNLOAD, |elapsed| {
            step(format!("apt-get {text}: {} so far", format_duration(elapsed)));
        })
        .await
    }

    async fn run(
        &self,
        program: &Path,
        arguments: Vec<OsString>,
        folder: &Path,
        bound: Duration,
        tick: impl FnMut(Duration),
    ) -> Result<Ended, DebianError> {
        let ended = run(
            &Run {
                program,
                arguments,
                folder: Some(folder),
                environment: self.environment,
                variables: vec![("LC_ALL", "C".into())],
                bound,
            },
            self.cancel,
            tick,
        )
        .await?;
        Ok(ended)
    }
}

/// Options that give apt lists and a cache of its own (apt.conf(5), 2.6), so that any user may ask.
fn private(workshop: &Path) -> Result<Vec<OsString>, CacheError> {
    let mut options = Vec::new();
    for (setting, name) in [("Dir::State::Lists", "lists"), ("Dir::Cache", "cache")] {
        let folder = workshop.join(name);
        make_folder(&folder.join("partial"))?;
        make_folder(&folder.join("archives/partial"))?;
        let mut option = OsString::from(format!("{setting}="));
        option.push(&folder);
        options.extend(["-o".into(), option]);
    }
    Ok(options)
}

/// Whether a Debian version (`[epoch:]upstream[-revision]`) is of that upstream release; what Debian adds
/// to it (`+ds1`, `~bpo`) does not count.
fn is_release(debian: &str, release: &str) -> bool {
    let upstream = debian.split_once(':').map_or(debian, |(_, rest)| rest);
    upstream
        .strip_prefix(release)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '+', '~']))
}

/// The first file under `folder` whose name is wanted; links are not followed.
fn find(folder: &Path, wanted: &dyn Fn(&str) -> bool) -> Option<PathBuf> {
    let mut entries: Vec<_> = std::fs::read_dir(folder).ok()?.flatten().collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    entries.into_iter().find_map(|entry| {
        let kind = entry.file_type().ok()?;
        if kind.is_dir() {
            find(&entry.path(), wanted)
        } else {
            (kind.is_file() && wanted(&entry.file_name().to_string_lossy())).then(|| entry.path())
        }
    })
}

/// What apt or dpkg complained of, its errors before its warnings, at most three lines.
fn complaints(stderr: &str) -> String {
    let lines = || stderr.lines().map(str::trim).filter(|line| !line.is_empty());
    let errors = lines().filter(|line| line.starts_with("E:") || line.contains("error:"));
    let others = lines().filter(|line| !line.starts_with("E:") && !line.contains("error:"));
    let said: Vec<&str> = errors.chain(others).take(3).collect();
    said.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("0.9.10-2.1", true)]
    #[case("0.9.10", true)]
    #[case("0.9.10+20240921-1", true)]
    #[case("1:0.9.10-1", true)]
    #[case("0.9.100-1", false)]
    #[case("0.9.9-1", false)]
    fn a_debian_version_is_of_its_upstream_release(#[case] debian: &str, #[case] is: bool) {
        assert_eq!(is_release(debian, "0.9.10"), is);
    }

    #[test]
    fn errors_are_told_before_warnings() {
        let said = "W: Download is performed unsandboxed\nE: Unable to locate package x\n";
        assert_eq!(
            complaints(said),
            "E: Unable to locate package x; W: Download is performed unsandboxed"
        );
    }
}
