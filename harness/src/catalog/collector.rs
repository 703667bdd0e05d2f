//! An OpenTelemetry Collector of exactly the components the catalog lists.
//!
//! The collector's own builder (ocb, a Go module itself) writes the sources;
//! Go compiles them against the catalog's go.sum. What is found ready made
//! must have those components too: `otelcol components` tells.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use indexmap::IndexMap;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::cache::Making;
use super::entry::{Collector, CollectorComponents, architecture, operating_system};
use super::environment::Environment;
use super::go::{Build, Go, GoError, Order, cause, first_build, make_folder, write};
use super::process::{Run, run};
use super::version::Mismatch;

/// How long the builder may take to write the sources, and a collector to list its components.
const SHORT: Duration = Duration::from_secs(30);

/// How many modules a message names.
const NAMED: usize = 5;

impl Collector {
    /// What makes an entry of the cache an entry of this build.
    pub(super) fn recipe(&self, executable: &str, version: &str) -> String {
        let mut recipe = format!(
            "collector\n{executable} {version}\n{}@{} {}\n{}\n{}/{}",
            self.builder.module,
            self.builder.version,
            self.builder.sum,
            hex::encode(Sha256::digest(&self.sums)),
            operating_system(),
            architecture(),
        );
        for (kind, components) in self.components.kinds() {
            for (name, module) in components {
                let _ = write!(recipe, "\n{kind} {name}={module}");
            }
        }
        recipe
    }

    /// The builder's configuration (ocb v0.149.0: cmd/builder/internal/builder/config.go).
    fn manifest(&self, executable: &str, version: &str, sources: &Path) -> Value {
        let modules = |components: &IndexMap<String, String>| -> Value {
            components
                .values()
                .map(|module| json!({ "gomod": module }))
                .collect()
        };
        let mut manifest = json!({
            "dist": {
                "module": "conform/collector",
                "name": executable,
                "description": "OpenTelemetry Collector of the components that the catalog lists",
                "version": version,
                "output_path": sources,
            },
        });
        for (kind, components) in self.components.kinds() {
            manifest[kind] = modules(components);
        }
        manifest
    }
}

impl Go {
    /// Builds a collector to where `making` wants it.
    pub(super) async fn assemble(
        &self,
        collector: &Collector,
        executable: &str,
        making: &Making,
        order: Order<'_>,
    ) -> Result<(), GoError> {
        let workshop = making.workshop()?;
        let (wrapped, sources) = (workshop.join("builder"), workshop.join("sources"));
        self.wrap(collector.pinned(), &collector.toolchain, &wrapped, order)
            .await?;
        let builder = workshop.join("ocb");
        self.compile(
            &Build {
                folder: &wrapped,
                target: &builder,
                package: &collector.builder.module,
                tags: &[],
                linker_flags: "-s -w",
                why: &first_build(order.why, collector.cold_build),
            },
            order,
        )
        .await?;

        let manifest = workshop.join("manifest.json");
        let text = collector
            .manifest(executable, order.version, &sources)
            .to_string();
        write(&manifest, &text)?;
        make_folder(&sources.join("tmp"))?;
        let mut arguments = vec![OsString::from("--config"), manifest.into()];
        // Go is run here, with the settings of every build.
        arguments.extend(["--skip-compilation", "--skip-get-modules"].map(OsString::from));
        let ended = run(
            &Run {
                program: &builder,
                arguments,
                folder: Some(&workshop),
                environment: order.environment,
                variables: Vec::new(),
                bound: SHORT,
            },
            order.cancel,
            |_| (),
        )
        .await?;
        if !ended.status.success() {
            return Err(GoError::Builder {
                builder: format!("{} {}", collector.builder.module, collector.builder.version),
                why: cause(&ended.stderr),
            });
        }

        let sums = sources.join("go.sum");
        write(&sums, &collector.sums)?;
        self.compile(
            &Build {
                folder: &sources,
                target: &making.executables().join(executable),
                package: ".",
                tags: &[],
                linker_flags: "-s -w",
                why: &format!(
                    ", the collector of {} components",
                    collector
                        .components
                        .kinds()
                        .iter()
                        .map(|(_, components)| components.len())
                        .sum::<usize>()
                ),
            },
            order,
        )
        .await?;
        let after = std::fs::read_to_string(&sums).unwrap_or_default();
        let modules = unpinned(&collector.sums, &after);
        if modules.is_empty() {
            Ok(())
        } else {
            Err(GoError::Unpinned { modules })
        }
    }
}

/// Modules (or their go.mod files) that go.sum has after a build and had not before, a few.
fn unpinned(before: &str, after: &str) -> Vec<String> {
    let pinned: BTreeSet<&str> = before.lines().collect();
    after
        .lines()
        .filter(|line| !pinned.contains(line))
        .filter_map(|line| line.rsplit_once(' ').map(|(module, _)| module.to_owned()))
        .take(NAMED)
        .collect()
}

/// A configuration that names a component no collector has, of each kind: what refuses it says which
/// it does have (collector v0.149.0: otelcol/internal/configunmarshaler/error.go). Its own list,
/// `otelcol components`, leaves out those that have a second name, as the OTLP exporters do.
const NONE_SUCH: &str = "yaml:{extensions: {conform: }, receivers: {conform: }, processors: {conform: }, connectors: {conform: }, exporters: {conform: }}";

/// Asks a collector for the components that a configuration may name; all that the catalog lists
/// must be among them.
pub(super) async fn has_components(
    path: &Path,
    wanted: &CollectorComponents,
    environment: &Environment,
    cancel: &CancellationToken,
) -> Result<(), Mismatch> {
    let ask = Run {
        program: path,
        arguments: ["validate", "--config", NONE_SUCH].map(OsString::from).to_vec(),
        folder: None,
        environment,
        variables: Vec::new(),
        bound: SHORT,
    };
    let ended = run(&ask, cancel, |_| ()).await?;
    let lacking = lacking(&ended.stderr, wanted);
    if lacking.is_empty() {
        return Ok(());
    }
    Err(Mismatch::Lacking {
        path: path.to_owned(),
        what: format!("the components {}", lacking.join(", ")),
    })
}

/// Components that the refusal does not name, as `KIND/NAME`; all of a kind where it names none.
fn lacking(refusal: &str, wanted: &CollectorComponents) -> Vec<String> {
    let mut lacking = Vec::new();
    for (kind, components) in wanted.kinds() {
        // Where a configuration comes from is no part of it: the refusal itself has come by one.
        if kind == "providers" {
            continue;
        }
        let known = known(refusal, kind);
        for name in components.keys().filter(|name| !known.contains(name.as_str())) {
            lacking.push(format!("{kind}/{name}"));
        }
    }
    lacking
}

/// The names in `'KIND' unknown type: ... (valid values: [NAME NAME])`.
fn known<'t>(refusal: &'t str, kind: &str) -> BTreeSet<&'t str> {
    refusal
        .lines()
        .filter_map(|line| {
            line.trim()
                .strip_prefix('\'')?
                .strip_prefix(kind)?
                .strip_prefix('\'')?
                .split_once("valid values: [")?
                .1
                .split_once(']')
        })
        .flat_map(|(names, _)| names.split_whitespace())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Jaeger 2.13.0, a collector itself, refuses it.
    const REFUSAL: &str = "\
Error: failed to get config: cannot unmarshal the configuration: decoding failed due to the following error(s):

'receivers' unknown type: \"conform\" for id: \"conform\" (valid values: [jaeger kafka zipkin otlp nop])
'exporters' unknown type: \"conform\" for id: \"conform\" (valid values: [debug otlp otlphttp nop])
";

    fn components(receivers: &[&str], exporters: &[&str]) -> CollectorComponents {
        let named = |names: &[&str]| {
            names
                .iter()
                .map(|name| ((*name).to_owned(), format!("example.org/{name} v1.0.0")))
                .collect()
        };
        CollectorComponents {
            providers: named(&["yaml"]),
            extensions: IndexMap::new(),
            receivers: named(receivers),
            processors: IndexMap::new(),
            connectors: IndexMap::new(),
            exporters: named(exporters),
        }
    }

    #[test]
    fn components_are_known_from_the_refusal() {
        assert_eq!(
            lacking(REFUSAL, &components(&["otlp", "nop"], &["otlphttp"])),
            [""; 0]
        );
        assert_eq!(
            lacking(REFUSAL, &components(&["otlp", "debug"], &["zip", "otlp"])),
            ["receivers/debug", "exporters/zip"]
        );
        assert_eq!(lacking("", &components(&["otlp"], &[])), ["receivers/otlp"]);
    }

    #[test]
    fn modules_that_come_in_by_themselves_are_named() {
        let before = "a v1 h1:x=\na v1/go.mod h1:y=\n";
        assert_eq!(unpinned(before, "a v1/go.mod h1:y=\na v1 h1:x=\n"), [""; 0]);
        assert_eq!(
            unpinned(before, "a v1 h1:x=\na v1/go.mod h1:y=\nb v2/go.mod h1:z=\n"),
            ["b v2/go.mod"]
        );
    }
}
