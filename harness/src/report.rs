//! What a run came to, written down: report.json, junit.xml, index.html and
//! the table on the terminal.
//!
//! The types are the report's stable names; their JSON schema is
//! fixtures/report.schema.json. Each writer is a pure function from a report to
//! a text in a file of its own; only [`Report::write`] and
//! [`MutationReport::write`] touch the disk.

mod html;
mod json;
mod junit;
mod plain;
#[cfg(test)]
mod sample;
mod summary;
mod svg;
mod terminal;

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::drawing::Drawing;
use crate::files;
use crate::finding::{Figure, Finding};
use crate::seed::Seed;
use crate::stack::{ChangedValue, ComponentInfo};
use crate::verdict::{Level, Verdict};

pub use json::{mutation_schema, schema};
pub use summary::{profile_result, promise_reports};
pub use terminal::TableStyle;

/// A whole run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// The run itself.
    pub run: RunInfo,
    /// Result by profile.
    pub profiles: Vec<ProfileResult>,
    /// The cases.
    pub cases: Vec<CaseReport>,
    /// Promises with the cases that cover them, for the table by promise.
    pub promises: Vec<PromiseReport>,
    /// Every value that had to differ from the deploy tree.
    pub changed_values: Vec<ChangedValue>,
    /// The components.
    pub components: Vec<ComponentInfo>,
    /// Measured numbers with their bounds.
    pub figures: Vec<Figure>,
}

/// The run itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunInfo {
    /// Id, unique to the run.
    pub id: String,
    /// Seed of everything random.
    pub seed: Seed,
    /// Start, RFC 3339 in UTC.
    pub started: String,
    /// Target, for example `local`.
    pub target: String,
    /// The machine.
    pub machine: Machine,
    /// What a short calibration of the machine measured, by name, with units in the names.
    pub calibration: IndexMap<String, f64>,
    /// Versions by component, the harness's own as `conform`.
    pub versions: IndexMap<String, String>,
    /// Exit code of the run.
    pub exit_code: u8,
    /// Seconds from the start of the servers to readiness of the last.
    pub up_seconds: f64,
    /// Seconds of the whole run.
    pub seconds: f64,
    /// Largest resident set of the harness itself, in bytes.
    pub memory_bytes: u64,
    /// What the run got over and a reader should know of, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
}

/// The machine a run was on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Processors the run may use.
    pub cores: usize,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Operating system and version.
    pub system: String,
    /// Kernel release.
    pub kernel: String,
}

/// Result of a profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProfileResult {
    /// Profile name.
    pub name: String,
    /// Its result.
    pub result: ProfileOutcome,
    /// Why, where it is not success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Which MUSTs rest on a stand-in for a stock part, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stand_ins: Vec<String>,
}

/// How a profile ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProfileOutcome {
    /// Every MUST passed.
    Success,
    /// A MUST was skipped, lacked data or could not be looked at.
    Partial,
    /// Something failed.
    Failed,
}

/// What a case came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CaseReport {
    /// Case id, area/name.
    pub id: String,
    /// Area.
    pub area: String,
    /// The claim, as a sentence.
    pub claim: String,
    /// Level.
    pub level: Level,
    /// Verdict.
    pub verdict: Verdict,
    /// Why, where it is not pass: the cause first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Seconds it took.
    pub seconds: f64,
    /// Promises it covers.
    pub promises: Vec<String>,
    /// Profiles it belongs to.
    pub profiles: Vec<String>,
    /// Its findings.
    pub findings: Vec<Finding>,
    /// Its drawings.
    pub drawings: Vec<Drawing>,
    /// Files it left, relative to the report's folder.
    pub artifacts: Vec<String>,
    /// Command that replays it.
    pub replay: String,
}

/// A promise and the cases that cover it in this run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PromiseReport {
    /// Promise id.
    pub id: String,
    /// Level.
    pub level: Level,
    /// The promise, as a sentence.
    pub says: String,
    /// Ids of the cases that cover it; empty when none does yet.
    pub cases: Vec<String>,
    /// Worst verdict of those cases, none when none ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
}

/// What mutation came to: mutation.json.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MutationReport {
    /// Seed of everything random.
    pub seed: Seed,
    /// The mutants.
    pub mutants: Vec<MutantReport>,
}

/// What one mutant came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MutantReport {
    /// Mutant id, unique within its case.
    pub id: String,
    /// The case that owns it.
    pub case: String,
    /// What was broken.
    pub change: String,
    /// What became of it.
    pub outcome: MutantOutcome,
    /// The case that killed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The killing case's reason, or why the mutant proved nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Seconds it took.
    pub seconds: f64,
}

/// What became of a mutant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MutantOutcome {
    /// Its case turned to fail.
    Killed,
    /// Its case did not turn to fail.
    Survived,
    /// It changes nothing that can be observed.
    Equivalent,
}

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A file cannot be written.
    #[error("{}", files::words(.source, "writing the report's", .path))]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The report's own templates do not fit it.
    #[error("the report cannot be drawn: {0}")]
    Draw(String),
}

impl Report {
    /// Writes report.json, junit.xml and index.html into `folder` (which is made).
    pub fn write(&self, folder: &Path) -> Result<(), ReportError> {
        make(folder)?;
        // The machine-readable file first: it is the one that must survive a full disk.
        save(folder, "report.json", &json::pretty(self)?)?;
        save(folder, "junit.xml", &junit::page(self)?)?;
        save(folder, "index.html", &html::page(self)?)
    }

    /// The verdict table for a terminal as wide as standard output, with colours when `colour`.
    #[must_use]
    pub fn table(&self, colour: bool) -> String {
        self.table_in(&TableStyle::of_terminal(colour))
    }

    /// The verdict table in a given style, which also says where the report lies.
    #[must_use]
    pub fn table_in(&self, style: &TableStyle) -> String {
        terminal::run_table(self, style)
    }
}

impl MutationReport {
    /// Writes mutation.json into `folder` (which is made).
    pub fn write(&self, folder: &Path) -> Result<(), ReportError> {
        make(folder)?;
        save(folder, "mutation.json", &json::pretty(self)?)
    }

    /// The table for a terminal as wide as standard output, with colours when `colour`.
    #[must_use]
    pub fn table(&self, colour: bool) -> String {
        self.table_in(&TableStyle::of_terminal(colour))
    }

    /// The table in a given style, which also says where the report lies.
    #[must_use]
    pub fn table_in(&self, style: &TableStyle) -> String {
        terminal::mutation_table(self, style)
    }
}

fn make(folder: &Path) -> Result<(), ReportError> {
    std::fs::create_dir_all(folder).map_err(|source| ReportError::Write {
        path: folder.to_owned(),
        source,
    })
}

fn save(folder: &Path, name: &str, text: &str) -> Result<(), ReportError> {
    let path = folder.join(name);
    std::fs::write(&path, text).map_err(|source| ReportError::Write { path, source })
}
