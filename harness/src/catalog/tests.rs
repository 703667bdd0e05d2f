//! Acquisition end to end: with small scripts in place of servers and of go,
//! and a real HTTP server in place of the vendor's.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rstest::rstest;
use sha2::Digest;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::progress::Watcher;
use crate::wait::{Look, Wait};

mod collector;
mod debian;

const SUM: &str = "h1:f1GRFerhTMKQma+awCoC9T820ecWeGSdF+xAlMHzZzM=";

/// A folder with a cache, a fake go on PATH and an environment of its own.
struct Place {
    folder: TempDir,
}

/// Remembers what it was told.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Watcher for Notes {
    fn step(&self, subject: &str, what: &str) {
        self.0.lock().unwrap().push(format!("{subject}: {what}"));
    }
    fn done(&self, subject: &str, outcome: &str) {
        self.0.lock().unwrap().push(format!("{subject} done: {outcome}"));
    }
}

impl Notes {
    fn all(&self) -> String {
        self.0.lock().unwrap().join("\n")
    }
}

fn script(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn executable(path: &Path, name: &str, version: &str) {
    script(
        path,
        &format!("echo '{name}, version {version} (branch: , revision: unknown)'"),
    );
}

impl Place {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn cache(&self) -> PathBuf {
        self.path("cache")
    }

    /// The environment: the fake go's folder first on PATH, the shell's tools after it.
    fn environment(&self, more: &[(&str, &str)]) -> Environment {
        let path = format!("{}:/usr/bin:/bin", self.path("bin").display());
        let mut variables = vec![("PATH".to_owned(), path)];
        variables.extend(more.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())));
        Environment::new(variables, 2)
    }

    /// A go that "builds" a script which reports its version, and counts its builds; `during` is
    /// what it does in the middle of one.
    fn fake_go(&self, release: &str, during: &str) {
        let module = self.path("module");
        fs::create_dir_all(&module).unwrap();
        fs::write(module.join("go.mod"), "module example.org/tool\n\ngo 1.20\n").unwrap();
        fs::write(module.join("go.sum"), "").unwrap();
        let at = self.folder.path().display();
        script(
            &self.path("bin/go"),
            &format!(
                r#"case "$1" in
env) echo '{{"GOVERSION": "{release}", "GOPROXY": "https://proxy.invalid,direct", "GOMODCACHE": "{at}/mod", "GOCACHE": "{at}/build"}}' ;;
mod) echo "{{\"Dir\": \"{at}/module\"}}" ;;
build)
    echo "$GOPROXY $GOFLAGS $*" >> {at}/builds
    while [ "$1" != -o ]; do shift; done
    {during}
    printf '#!/bin/sh\necho tool, version 1.2.3\n' > "$2"
    chmod +x "$2" ;;
esac"#
            ),
        );
    }

    fn builds(&self) -> Vec<String> {
        fs::read_to_string(self.path("builds"))
            .unwrap_or_default()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// Everything under the cache, relative to it; lock files left out.
    fn left(&self) -> Vec<String> {
        fn walk(folder: &Path, root: &Path, names: &mut Vec<String>) {
            for entry in fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, root, names);
                } else if path.extension().is_none_or(|e| e != "lock") {
                    names.push(path.strip_prefix(root).unwrap().display().to_string());
                }
            }
        }
        let mut names = Vec::new();
        walk(&self.cache(), &self.cache(), &mut names);
        names.sort();
        names
    }

    async fn acquire(
        &self,
        catalog: &Catalog,
        more: &[(&str, &str)],
        notes: &Notes,
    ) -> Result<Acquired, Unavailable> {
        self.acquire_until(catalog, more, notes, &CancellationToken::new())
            .await
    }

    async fn acquire_until(
        &self,
        catalog: &Catalog,
        more: &[(&str, &str)],
        notes: &Notes,
        cancel: &CancellationToken,
    ) -> Result<Acquired, Unavailable> {
        let environment = self.environment(more);
        let progress = Progress::new(notes.clone());
        let mut acquisition = catalog
            .acquire_in(&environment, &["tool"], &self.cache(), &progress, cancel)
            .await;
        assert_eq!(acquisition.len(), 1);
        acquisition.swap_remove("tool").unwrap()
    }
}

fn catalog(archive: &str) -> Catalog {
    let text = format!(
        "components:
  tool:
    image: example.org/tool:v1.2.3
    version: 1.2.3
    executables:
      tool: [prometheus]
    variable: CONFORM_TOOL_BIN
{archive}    go:
      module: example.org/tool
      version: v1.2.3
      sum: {SUM}
      go-mod-sum: {SUM}
      toolchain: 1.20.0
      packages: {{tool: example.org/tool/cmd/tool}}
      tags: [small]
      version-variable: example.org/tool/version.Version
      cold-build: 10s
      disk: 1KB
"
    );
    Catalog::parse(Path::new("catalog.yaml"), &text).unwrap()
}

fn origin_of(outcome: &Result<Acquired, Unavailable>) -> &str {
    &outcome.as_ref().unwrap().origin
}

// The catalog itself.

fn shipped() -> (PathBuf, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/catalog.yaml");
    let text = fs::read_to_string(&path).unwrap();
    (path, text)
}

#[test]
fn the_shipped_catalog_knows_the_deployed_images() {
    let (path, _) = shipped();
    let catalog = Catalog::load(&path).unwrap();
    let prometheus = catalog
        .component_of_image("quay.io/prometheus/prometheus:v3.16.0")
        .unwrap();
    assert_eq!(prometheus.name, "prometheus");
    let brought: Vec<&str> = catalog
        .components()
        .flat_map(Component::capabilities)
        .map(crate::stack::Capability::name)
        .collect();
    assert_eq!(
        brought,
        [
            "prometheus",
            "promtool",
            "alertmanager",
            "amtool",
            "elasticsearch",
            "jaeger",
            "jaeger-adaptive",
            "index-cleaner",
            "collector",
            "loki",
            "clock-shift",
        ]
    );
    let cleaner = catalog
        .component_of_image("docker.io/jaegertracing/jaeger-es-index-cleaner:2.13.0")
        .unwrap();
    assert_eq!(cleaner.name, "jaeger");
}

#[rstest]
#[case::unknown_field(
    "    variable: CONFORM_PROMETHEUS_BIN",
    "    varable: CONFORM_PROMETHEUS_BIN",
    "varable"
)]
#[case::missing_field("    variable: CONFORM_PROMETHEUS_BIN\n", "", "missing field `variable`")]
#[case::other_tag("prometheus:v3.16.0", "prometheus:v3.15.0", "give both the same version")]
#[case::no_tag(
    "prometheus/prometheus:v3.16.0",
    "prometheus/prometheus",
    "give both the same version"
)]
#[case::latest(
    "    version: 3.16.0",
    "    version: latest",
    "write it as the server reports it"
)]
#[case::unknown_capability("[promtool]", "[promtol]", "promtol")]
#[case::path_in_executable(
    "      promtool: [promtool]",
    "      ../promtool: [promtool]",
    "write the bare name"
)]
#[case::foreign_variable("CONFORM_PROMETHEUS_BIN", "PROMETHEUS_BIN", "write CONFORM_..._BIN")]
#[case::variable_twice(
    "CONFORM_ALERTMANAGER_BIN",
    "CONFORM_PROMETHEUS_BIN",
    "belongs to component `prometheus` already"
)]
#[case::plain_http(
    "url: https://github.com/prometheus/prometheus",
    "url: http://github.com/prometheus/prometheus",
    "not an https address"
)]
#[case::placeholder("{os}-{arch}", "{os}-{cpu}", "unknown placeholder")]
#[case::module_version("version: v0.316.0", "version: 0.316.0", "write it with its v")]
#[case::module_hash("sum: h1:f1GRFerhTMKQma+", "sum: h1:", "go mod download -json")]
#[case::toolchain("toolchain: 1.26.7", "toolchain: newest", "not a Go release")]
#[case::package_missing(
    "        promtool: github.com/prometheus/prometheus/cmd/promtool\n",
    "",
    "lack executable `promtool`"
)]
#[case::package_elsewhere(
    "promtool: github.com/prometheus/prometheus/",
    "promtool: github.com/prometheus/prometheus-fork/",
    "write the full import path"
)]
#[case::duration("cold-build: 160s", "cold-build: 160", "is not a duration")]
#[case::help_of_nothing(
    "es-rollover: {help:",
    "es-rollver: {help:",
    "shown-by names `es-rollver`, which is not among the executables"
)]
#[case::shown_by("es-rollover: {help:", "es-rollover: {manual:", "manual")]
#[case::other_tag_of_a_tool(
    "es-index-cleaner:2.13.0",
    "es-index-cleaner:2.12.0",
    "give both the same version"
)]
#[case::name_in_archive("otelcol: otelcol-contrib", "otelcol: a/b", "write the bare name")]
#[case::name_of_nothing("otelcol: otelcol-contrib", "otel: otelcol-contrib", "archive names `otel`")]
#[case::builder_version(
    "        version: v0.149.0",
    "        version: 0.149.0",
    "builder version `0.149.0` is not a module version"
)]
#[case::builder_hash("sum: h1:ITeN3IiQT6Kiqc", "sum: h1:", "builder hash")]
#[case::component_of_another_version(
    "processor/batchprocessor v0.149.0",
    "processor/batchprocessor v0.148.0",
    "has no hash of `go.opentelemetry.io/collector/processor/batchprocessor v0.148.0`"
)]
#[case::no_sums("sums: otelcol.sum", "sums: nowhere.sum", "put the build's go.sum there")]
#[case::no_go_sum("sums: otelcol.sum", "sums: catalog.yaml", "is no line of a go.sum")]
#[case::relative_system_folder("system: [/usr/lib/*", "system: [usr/lib/*", "is not absolute")]
#[case::debian_package(
    "package: libfaketime",
    "package: Lib Faketime",
    "not the name of a Debian package"
)]
#[case::component_twice("  alertmanager:\n    image", "  prometheus:\n    image", "duplicate")]
fn a_mistake_in_the_catalog_is_named_with_its_place(
    #[case] from: &str,
    #[case] to: &str,
    #[case] says: &str,
) {
    let (path, text) = shipped();
    assert!(text.contains(from), "the catalog has no {from}");
    let broken = text.replacen(from, to, 1);
    let error = Catalog::parse(&path, &broken).unwrap_err();
    let CatalogError::Parse { line, column, .. } = &error else {
        panic!("{error}")
    };
    assert!(*line > 10 && *column > 1, "{error}");
    let message = error.to_string();
    assert!(
        message.starts_with(&format!("{}:{line}:{column}: ", path.display())),
        "{message}"
    );
    assert!(message.contains(says), "{message}");
}

#[test]
fn a_catalog_that_is_not_there_is_named() {
    let error = Catalog::load(Path::new("nowhere/catalog.yaml"))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("nowhere/catalog.yaml: ") && error.contains("--catalog"),
        "{error}"
    );
}

// Explicit path and PATH.

#[tokio::test]
async fn a_wrong_binary_at_an_explicit_path_is_an_error_and_no_other_way_is_tried() {
    let place = Place::new();
    place.fake_go("go1.26.8", "");
    let given = place.path("own/tool");
    executable(&given, "tool", "1.0.0");
    let given = given.display().to_string();
    let outcome = place
        .acquire(&catalog(""), &[("CONFORM_TOOL_BIN", &given)], &Notes::default())
        .await
        .unwrap_err();
    assert_eq!(
        outcome.reason,
        format!("{given} says tool 1.0.0, expected tool 1.2.3 (CONFORM_TOOL_BIN={given})")
    );
    assert!(outcome.remedy.contains("CONFORM_TOOL_BIN"), "{}", outcome.remedy);
    assert_eq!(place.builds(), [""; 0]);
}

#[rstest]
#[case::file("own/tool", "own/tool")]
#[case::folder("own", "own/tool")]
#[case::distribution("own", "own/bin/tool")]
#[tokio::test]
async fn an_explicit_path_may_be_the_file_its_folder_or_a_distribution(
    #[case] given: &str,
    #[case] file: &str,
) {
    let place = Place::new();
    executable(&place.path(file), "tool", "1.2.3");
    let given = place.path(given).display().to_string();
    let acquired = place
        .acquire(&catalog(""), &[("CONFORM_TOOL_BIN", &given)], &Notes::default())
        .await
        .unwrap();
    assert_eq!(acquired.executables["tool"], place.path(file));
    assert_eq!(acquired.origin, format!("CONFORM_TOOL_BIN={given}"));
}

#[rstest]
#[case::another_program("other", "1.2.3", "says other 1.2.3, expected tool 1.2.3")]
#[case::older("tool", "1.2.2", "says tool 1.2.2, expected tool 1.2.3")]
#[tokio::test]
async fn a_foreign_binary_on_path_is_passed_over_with_a_note(
    #[case] name: &str,
    #[case] version: &str,
    #[case] says: &str,
) {
    let place = Place::new();
    place.fake_go("go1.26.8", "");
    executable(&place.path("bin/tool"), name, version);
    let notes = Notes::default();
    let outcome = place.acquire(&catalog(""), &[], &notes).await;
    assert!(origin_of(&outcome).starts_with("built from example.org/tool v1.2.3"));
    assert!(notes.all().contains(says), "{}", notes.all());
}

#[tokio::test]
async fn the_right_binary_on_path_is_taken() {
    let place = Place::new();
    executable(&place.path("bin/tool"), "tool", "1.2.3");
    let outcome = place.acquire(&catalog(""), &[], &Notes::default()).await;
    assert_eq!(
        origin_of(&outcome),
        format!("PATH ({})", place.path("bin").display())
    );
}

// The build and the cache.

#[tokio::test]
async fn a_build_is_cached_and_asked_for_once() {
    let place = Place::new();
    place.fake_go("go1.26.8", "");
    let notes = Notes::default();
    let first = place
        .acquire(
            &catalog(""),
            &[("GOFLAGS", "-mod=vendor"), ("GOPROXY", "direct")],
            &notes,
        )
        .await;
    let second = place.acquire(&catalog(""), &[], &notes).await;
    assert_eq!(
        origin_of(&first),
        "built from example.org/tool v1.2.3 with go1.26.8"
    );
    assert_eq!(
        origin_of(&second),
        "cache (built from example.org/tool v1.2.3 with go1.26.8)"
    );
    let builds = place.builds();
    assert_eq!(builds.len(), 1);
    // Inherited flags do no harm, and no version control host is asked.
    assert!(
        builds[0].starts_with("https://proxy.invalid -mod=mod build "),
        "{}",
        builds[0]
    );
    assert!(builds[0].contains("-tags small "), "{}", builds[0]);
    assert!(
        builds[0].contains("-ldflags -s -w -X example.org/tool/version.Version=1.2.3"),
        "{}",
        builds[0]
    );
    assert_eq!(place.left().len(), 2, "{:?}", place.left());
    assert!(
        notes.all().contains("go build example.org/tool/cmd/tool"),
        "{}",
        notes.all()
    );
}

#[rstest]
#[case::content("echo tool, version 6.6.6")]
#[case::shorter("")]
#[tokio::test]
async fn a_corrupt_entry_is_named_moved_aside_and_made_anew(#[case] content: &str) {
    let place = Place::new();
    place.fake_go("go1.26.8", "");
    let notes = Notes::default();
    let first = place.acquire(&catalog(""), &[], &notes).await.unwrap();
    let file = &first.executables["tool"];
    script(file, content);
    let again = place.acquire(&catalog(""), &[], &notes).await.unwrap();
    assert_eq!(again.executables, first.executables);
    assert_eq!(place.builds().len(), 2);
    assert!(notes.all().contains("bin/tool has"), "{}", notes.all());
    assert!(place.left().iter().any(|name| name.contains(".corrupt/bin/tool")));
}

#[tokio::test]
async fn a_half_entry_is_not_taken() {
    let place = Place::new();
    place.fake_go("go1.26.8", "");
    let first = place.acquire(&catalog(""), &[], &Notes::default()).await.unwrap();
    let folder = first.executables["tool"].ancestors().nth(2).unwrap();
    fs::remove_file(folder.join("manifest.json")).unwrap();
    let again = place.acquire(&catalog(""), &[], &Notes::default()).await;
    assert!(origin_of(&again).starts_with("built"));
    assert_eq!(place.builds().len(), 2);
}

#[tokio::test]
async fn a_build_that_reports_another_version_is_not_cached() {
    let place = Place::new();
    place.fake_go(
        "go1.26.8",
        "printf '#!/bin/sh\\necho tool, version 9.9.9\\n' > \"$2\"; chmod +x \"$2\"; exit 0",
    );
    let outcome = place
        .acquire(&catalog(""), &[], &Notes::default())
        .await
        .unwrap_err();
    assert!(outcome.reason.contains("says tool 9.9.9"), "{}", outcome.reason);
    assert_eq!(place.left(), [""; 0]);
}

#[tokio::test]
async fn two_acquisitions_at_once_build_once() {
    let place = Place::new();
    // The build ends only when the other acquisition waits for it.
    let gate = place.path("gate");
    place.fake_go(
        "go1.26.8",
        &format!("while [ ! -e {} ]; do sleep 0.02; done", gate.display()),
    );
    let (one, two) = (Notes::default(), Notes::default());
    let catalog = catalog("");
    let open = async {
        let both = Wait::new("one builds and the other waits", Duration::from_secs(20));
        let waiting = both
            .until(async || {
                let said = one.all() + &two.all();
                if said.contains("another run is making it") && place.builds().len() == 1 {
                    Look::Ready(())
                } else {
                    Look::Missing(said)
                }
            })
            .await;
        fs::write(&gate, "").unwrap();
        waiting.unwrap();
    };
    let (first, second, ()) = tokio::join!(
        place.acquire(&catalog, &[], &one),
        place.acquire(&catalog, &[], &two),
        open
    );
    assert_eq!(first.unwrap().executables, second.unwrap().executables);
    assert_eq!(place.builds().len(), 1);
}

#[tokio::test]
async fn an_interrupted_build_leaves_no_process_and_no_file() {
    let place = Place::new();
    let pid = place.path("pid");
    place.fake_go(
        "go1.26.8",
        &format!("touch half-done; sleep 600 & echo $! > {}; wait", pid.display()),
    );
    let cancel = CancellationToken::new();
    let interrupt = async {
        let started = Wait::new("the build has started", Duration::from_secs(20))
            .until(async || {
                match fs::read_to_string(&pid)
                    .ok()
                    .and_then(|p| p.trim().parse::<i32>().ok())
                {
                    Some(pid) => Look::Ready(pid),
                    None => Look::Missing("its process".to_owned()),
                }
            })
            .await;
        cancel.cancel();
        started.unwrap()
    };
    let (catalog, notes) = (catalog(""), Notes::default());
    let (outcome, pid) = tokio::join!(place.acquire_until(&catalog, &[], &notes, &cancel), interrupt);
    assert_eq!(outcome.unwrap_err().reason, "interrupted");
    assert_eq!(place.left(), [""; 0]);
    // Gone, or dead and waiting to be reaped.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    assert!(stat.is_empty() || stat.contains(") Z "), "{stat}");
}

#[test]
fn acquiring_and_examining_can_be_spawned() {
    fn is_send<T: Send>(_: &T) {}
    let (catalog, progress, cancel) = (catalog(""), Progress::silent(), CancellationToken::new());
    is_send(&catalog.acquire(&["tool"], Path::new("cache"), &progress, &cancel));
    is_send(&catalog.doctor(Path::new("cache"), &cancel));
}

// What cannot be had.

#[tokio::test]
async fn without_go_the_reason_says_so_and_the_remedy_names_the_release() {
    let place = Place::new();
    let environment = Environment::new([("PATH", "")], 1);
    let acquisition = catalog("")
        .acquire_in(
            &environment,
            &["tool", "loki"],
            &place.cache(),
            &Progress::silent(),
            &CancellationToken::new(),
        )
        .await;
    let unavailable = acquisition["tool"].as_ref().unwrap_err();
    assert!(
        unavailable
            .reason
            .starts_with("go build: there is no go on PATH; cache: nothing in "),
        "{}",
        unavailable.reason
    );
    assert!(
        unavailable
            .remedy
            .starts_with("put Go 1.20.0 or newer on PATH, or set CONFORM_TOOL_BIN to "),
        "{}",
        unavailable.remedy
    );
    let unknown = acquisition["loki"].as_ref().unwrap_err();
    assert_eq!(unknown.reason, "the catalog has no component `loki`");
}

#[tokio::test]
async fn a_go_that_is_too_old_is_named() {
    let place = Place::new();
    place.fake_go("go1.19.13", "");
    let unavailable = place
        .acquire(&catalog(""), &[], &Notes::default())
        .await
        .unwrap_err();
    assert!(
        unavailable
            .reason
            .contains("bin/go is go1.19.13, example.org/tool wants 1.20.0 or newer"),
        "{}",
        unavailable.reason
    );
}

#[tokio::test]
async fn too_little_disk_space_is_said_before_the_build() {
    let place = Place::new();
    place.fake_go("go1.26.8", "");
    let mut catalog = catalog("");
    let go = catalog.components["tool"].go.as_mut().unwrap();
    go.disk = crate::units::Bytes(u64::MAX);
    let unavailable = place.acquire(&catalog, &[], &Notes::default()).await.unwrap_err();
    assert!(
        unavailable.reason.contains("of free disk space"),
        "{}",
        unavailable.reason
    );
    assert!(unavailable.remedy.contains("GOCACHE"), "{}", unavailable.remedy);
    assert_eq!(place.builds(), [""; 0]);
}

#[tokio::test]
async fn a_failing_build_is_reported_in_gos_own_words() {
    let place = Place::new();
    place.fake_go(
        "go1.26.8",
        "echo 'cmd/tool/main.go:3:2: undefined: x' >&2; exit 1",
    );
    let unavailable = place
        .acquire(&catalog(""), &[], &Notes::default())
        .await
        .unwrap_err();
    assert!(
        unavailable.reason.starts_with(
            "go build: go build example.org/tool/cmd/tool fails (GOPROXY=https://proxy.invalid): cmd/tool/main.go:3:2: undefined: x"
        ),
        "{}",
        unavailable.reason
    );
    assert_eq!(place.left(), [""; 0]);
}

/// With the real go, where there is one: no proxy and nothing cached.
#[tokio::test]
async fn without_a_proxy_the_module_that_is_missing_is_named() {
    let Some(go) = Environment::of_process().look_up("go") else {
        return;
    };
    let place = Place::new();
    let path = format!("{}:/usr/bin:/bin", go.parent().unwrap().display());
    let at = |name: &str| place.path(name).display().to_string();
    let environment = Environment::new(
        [
            ("PATH", path),
            ("HOME", at("home")),
            ("GOPROXY", "off".to_owned()),
            ("GOMODCACHE", at("mod")),
            ("GOCACHE", at("build")),
        ],
        1,
    );
    let cancel = CancellationToken::new();
    let acquisition = catalog("")
        .acquire_in(
            &environment,
            &["tool"],
            &place.cache(),
            &Progress::silent(),
            &cancel,
        )
        .await;
    let unavailable = acquisition["tool"].as_ref().unwrap_err();
    assert!(
        unavailable
            .reason
            .starts_with("go build: Go module example.org/tool@v1.2.3 cannot be downloaded (GOPROXY=off): "),
        "{}",
        unavailable.reason
    );
    assert!(
        unavailable.remedy.starts_with("set GOPROXY to"),
        "{}",
        unavailable.remedy
    );
    assert_eq!(place.left(), [""; 0]);
}

// The vendor's archive.

/// An archive of files, each with the text of a script.
fn packed(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(
        Vec::new(),
        flate2::Compression::fast(),
    ));
    for (name, text) in files {
        let content = format!("#!/bin/sh\n{text}\n");
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o600);
        header.set_cksum();
        builder
            .append_data(&mut header, name, content.as_bytes())
            .unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

/// Serves archives by their names, and a list with the given sum for each (none: the right one).
async fn serve(archives: Vec<(&'static str, Vec<u8>)>, sum: Option<&str>) -> std::net::SocketAddr {
    let mut router = axum::Router::new();
    let mut list = String::new();
    for (name, bytes) in archives {
        let sum = sum.map_or_else(|| hex::encode(sha2::Sha256::digest(&bytes)), str::to_owned);
        writeln!(list, "{sum}  {name}").unwrap();
        router = router.route(
            &format!("/{name}"),
            axum::routing::get(async move || bytes.clone()),
        );
    }
    router = router.route("/sha256sums.txt", axum::routing::get(async move || list.clone()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// Serves an archive that holds a tool, and a list with the given sum (none: the right one).
async fn vendor(sum: Option<&str>) -> String {
    let tool = "echo tool, version 1.2.3";
    let bytes = packed(&[("tool-1.2.3/LICENSE", tool), ("tool-1.2.3/tool", tool)]);
    let address = serve(vec![("tool.tar.gz", bytes)], sum).await;
    format!(
        "    archive:\n      url: http://{address}/tool.tar.gz\n      checksums: http://{address}/sha256sums.txt\n"
    )
}

/// A catalog with a server and a helper that has no version, in two archives of one release.
fn catalog_of_two(address: std::net::SocketAddr) -> Catalog {
    let text = format!(
        "components:
  tool:
    version: 1.2.3
    executables: {{tool: [jaeger], helper: [index-cleaner]}}
    shown-by: {{helper: {{help: Helps the tool}}}}
    variable: CONFORM_TOOL_BIN
    archive:
      url: http://{address}/tool.tar.gz
      further: [http://{address}/helpers.tar.gz]
      names: {{helper: tool-helper}}
      checksums: http://{address}/sha256sums.txt
"
    );
    Catalog::parse(Path::new("catalog.yaml"), &text).unwrap()
}

#[tokio::test]
async fn executables_come_from_several_archives_under_their_own_names() {
    let tool = packed(&[("tool-1.2.3/tool", "echo tool, version 1.2.3")]);
    let helpers = packed(&[("h/tool-helper", "echo Helps the tool well")]);
    let address = serve(vec![("tool.tar.gz", tool), ("helpers.tar.gz", helpers)], None).await;
    let place = Place::new();
    let acquired = place
        .acquire(&catalog_of_two(address), &[], &Notes::default())
        .await
        .unwrap();
    assert!(acquired.executables["helper"].ends_with("bin/helper"));
    assert_eq!(place.left().len(), 3, "{:?}", place.left());
}

#[rstest]
#[case::no_helper(&[("h/other", "true")], "/helpers.tar.gz holds no file tool-helper")]
#[case::another_helper(
    &[("h/tool-helper", "echo Helps another")],
    "says `Helps another` to --help, expected `Helps the tool`"
)]
#[tokio::test]
async fn a_helper_that_is_missing_or_another_is_named(#[case] helpers: &[(&str, &str)], #[case] says: &str) {
    let tool = packed(&[("tool-1.2.3/tool", "echo tool, version 1.2.3")]);
    let archives = vec![("tool.tar.gz", tool), ("helpers.tar.gz", packed(helpers))];
    let address = serve(archives, None).await;
    let place = Place::new();
    let unavailable = place
        .acquire(&catalog_of_two(address), &[], &Notes::default())
        .await
        .unwrap_err();
    assert!(unavailable.reason.contains(says), "{}", unavailable.reason);
    assert_eq!(place.left(), [""; 0]);
}

#[tokio::test]
async fn the_vendors_archive_is_taken_when_its_sum_is_the_vendors() {
    let place = Place::new();
    let catalog = catalog(&vendor(None).await);
    let first = place.acquire(&catalog, &[], &Notes::default()).await;
    assert!(origin_of(&first).ends_with("/tool.tar.gz"), "{first:?}");
    let second = place.acquire(&catalog, &[], &Notes::default()).await;
    assert!(
        origin_of(&second).starts_with("cache (http://127.0.0.1:"),
        "{second:?}"
    );
    assert_eq!(place.left().len(), 2, "{:?}", place.left());
}

#[tokio::test]
async fn an_archive_with_another_sum_is_not_taken() {
    let place = Place::new();
    let catalog = catalog(&vendor(Some(&"ab".repeat(32))).await);
    let unavailable = place.acquire(&catalog, &[], &Notes::default()).await.unwrap_err();
    assert!(
        unavailable.reason.contains("it was not taken"),
        "{}",
        unavailable.reason
    );
    assert_eq!(place.left(), [""; 0]);
}

#[tokio::test]
async fn an_unreachable_vendor_is_passed_over_fast() {
    let place = Place::new();
    place.fake_go("go1.26.8", "");
    // Bound and dropped: nobody listens there.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let archive = format!(
        "    archive:\n      url: http://{address}/tool.tar.gz\n      checksums: http://{address}/sums\n"
    );
    let notes = Notes::default();
    let outcome = place.acquire(&catalog(&archive), &[], &notes).await;
    assert!(origin_of(&outcome).starts_with("built"));
    assert!(
        notes
            .all()
            .contains("vendor archive: 127.0.0.1 does not answer: "),
        "{}",
        notes.all()
    );
}

// The doctor.

#[tokio::test]
async fn the_doctor_makes_nothing_and_says_what_a_run_would_do() {
    let place = Place::new();
    place.fake_go("go1.26.8", "");
    let zip = place.path("mod/cache/download/example.org/tool/@v/v1.2.3.zip");
    fs::create_dir_all(zip.parent().unwrap()).unwrap();
    fs::write(&zip, "").unwrap();
    let catalog = catalog("");
    let examine = async || {
        let lines = catalog
            .doctor_in(&place.environment(&[]), &place.cache(), &CancellationToken::new())
            .await;
        lines.into_iter().next().unwrap()
    };
    let line = examine().await;
    assert_eq!(line.state, DoctorState::Obtainable);
    assert_eq!((place.builds(), place.left()), (Vec::new(), Vec::new()));
    let text = line
        .to_string()
        .replace(&place.folder.path().display().to_string(), "PLACE");
    insta::assert_snapshot!(text, @r"
    obtainable   tool           1.2.3 a run builds it from example.org/tool v1.2.3 with go1.26.8, in about 10.0 s on 2 cores with nothing compiled yet
                                passed over: PATH: no tool there
                                passed over: cache: nothing in PLACE/cache
    ");

    place.acquire(&catalog, &[], &Notes::default()).await.unwrap();
    let line = examine().await;
    assert_eq!(line.state, DoctorState::Ready);
    let json = serde_json::to_string(&line).unwrap();
    assert_eq!(serde_json::from_str::<DoctorLine>(&json).unwrap(), line);
}

#[tokio::test]
async fn the_doctor_says_why_nothing_can_be_had() {
    let place = Place::new();
    let environment = Environment::new([("PATH", "")], 1);
    let lines = catalog("")
        .doctor_in(&environment, &place.cache(), &CancellationToken::new())
        .await;
    let text: Vec<String> = lines[..4].iter().map(ToString::to_string).collect();
    let text = text
        .join("\n")
        .replace(&place.folder.path().display().to_string(), "PLACE");
    insta::assert_snapshot!(text, @r"
    unavailable  tool           1.2.3 go build: there is no go on PATH; cache: nothing in PLACE/cache; PATH: no tool there
                                remedy: put Go 1.20.0 or newer on PATH, or set CONFORM_TOOL_BIN to a tool, or a folder that holds it, of version 1.2.3
    optional     go             there is no go on PATH
                                remedy: put Go on PATH if a component is to be built because no archive is reached
    optional     setpriv        none with --pdeathsig on PATH: a run that is killed may leave child processes behind
                                remedy: install util-linux 2.33 or newer
    optional     java           there is no java on PATH: only Elasticsearch needs it
    ");
}
