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
use serde::Deserialize;
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

/// What `otelcol components` writes (collector v0.149.0: otelcol/command_components.go).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Listed {
    receivers: Vec<Named>,
    processors: Vec<Named>,
    exporters: Vec<Named>,
    connectors: Vec<Named>,
    extensions: Vec<Named>,
    providers: Vec<Scheme>,
}

#[derive(Debug, Deserialize)]
struct Named {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Scheme {
    scheme: String,
}

/// Asks a collector for its components; all that the catalog lists must be among them.
pub(super) async fn has_components(
    path: &Path,
    wanted: &CollectorComponents,
    environment: &Environment,
    cancel: &CancellationToken,
) -> Result<(), Mismatch> {
    let ask = Run {
        program: path,
        arguments: vec!["components".into()],
        folder: None,
        environment,
        variables: Vec::new(),
        bound: SHORT,
    };
    let ended = run(&ask, cancel, |_| ()).await?;
    let lacking = lacking(&ended.stdout, wanted);
    if lacking.is_empty() {
        return Ok(());
    }
    Err(Mismatch::Lacking {
        path: path.to_owned(),
        what: format!("components {}", lacking.join(", ")),
    })
}

/// Components that the list lacks, as `KIND/NAME`.
fn lacking(listed: &str, wanted: &CollectorComponents) -> Vec<String> {
    // What does not parse is no list: all are lacking.
    let listed: Listed = serde_saphyr::from_str(listed).unwrap_or_default();
    let names = |named: &[Named]| named.iter().map(|one| one.name.clone()).collect::<BTreeSet<_>>();
    let mut lacking = Vec::new();
    for (kind, components) in wanted.kinds() {
        let there = match kind {
            "receivers" => names(&listed.receivers),
            "processors" => names(&listed.processors),
            "exporters" => names(&listed.exporters),
            "connectors" => names(&listed.connectors),
            "extensions" => names(&listed.extensions),
            _ => listed.providers.iter().map(|one| one.scheme.clone()).collect(),
        };
        for name in components.keys().filter(|name| !there.contains(*name)) {
            lacking.push(format!("{kind}/{name}"));
        }
    }
    lacking
}
