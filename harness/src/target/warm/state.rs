//! The file in which a keeper says what it keeps, for other processes to find.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use url::Url;

use super::super::folder::Owner;
use crate::component::collector::CollectorEndpoints;
use crate::component::jaeger::JaegerEndpoints;
use crate::seed::Seed;
use crate::stack::{ChangedValue, ComponentInfo, Missing};
use crate::target::needs::Needs;

/// Everything a keeper says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    /// The keeper.
    pub(super) keeper: Owner,
    /// The stack's run folder.
    pub(super) folder: PathBuf,
    /// How far it is.
    pub(super) phase: Phase,
}

/// How far a keeper is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Phase {
    /// The servers are being started.
    Starting,
    /// The stack is up.
    Up(Box<WarmStack>),
    /// It did not come up, or a server ended; the cause first.
    Failed(String),
}

/// A warm stack that is up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WarmStack {
    /// Digest of the deploy tree and shapes it was rendered from.
    pub fingerprint: String,
    /// Seed of what is played.
    pub seed: Seed,
    /// What it was started for.
    pub needs: Needs,
    /// When it was up, unix seconds.
    pub since: f64,
    /// Seconds from the start of the servers to readiness of the last.
    pub up_seconds: f64,
    /// The shared Prometheus.
    pub prometheus: Url,
    /// Data folder of the shared Prometheus.
    pub prometheus_data: PathBuf,
    /// The shared Alertmanager.
    pub alertmanager: Url,
    /// The webhook receiver.
    pub receiver: Url,
    /// The shared Elasticsearch, its first node.
    pub elasticsearch: Option<Url>,
    /// The shared Jaeger.
    pub jaeger: Option<JaegerEndpoints>,
    /// The shared Jaeger with adaptive sampling.
    pub jaeger_adaptive: Option<JaegerEndpoints>,
    /// The shared Collector.
    pub collector: Option<CollectorEndpoints>,
    /// The shared Loki.
    pub loki: Option<Url>,
    /// The players' addresses by `namespace/service/port name`.
    pub played: IndexMap<String, Vec<SocketAddr>>,
    /// The shared servers' processes.
    pub servers: Vec<WarmServer>,
    /// Executables by name.
    pub executables: IndexMap<String, PathBuf>,
    /// The components.
    pub components: Vec<ComponentInfo>,
    /// What the stack lacks.
    pub missing: Vec<Missing>,
    /// Every value that had to differ from the deploy tree.
    pub changed_values: Vec<ChangedValue>,
}

/// A shared server's process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WarmServer {
    /// Its name.
    pub name: String,
    /// Its process.
    pub process: Option<Owner>,
    /// Its log.
    pub log: PathBuf,
}

impl State {
    /// Reads a state file; none where there is none.
    pub(super) fn read(path: &Path) -> io::Result<Option<Self>> {
        match fs::read(path) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes the state file whole: a reader sees the old one or the new one. With `first`, it is an
    /// error (already exists) when there is one.
    pub(super) fn write(&self, path: &Path, first: bool) -> io::Result<()> {
        let folder = path.parent().unwrap_or_else(|| Path::new("."));
        fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        serde_json::to_writer_pretty(&mut file, self)?;
        if first {
            file.persist_noclobber(path)?;
        } else {
            file.persist(path)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_keeper_wins_and_updates_replace() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("states/default.json");
        assert_eq!(State::read(&path).unwrap(), None);
        let mut state = State {
            keeper: Owner::this().unwrap(),
            folder: "run".into(),
            phase: Phase::Starting,
        };
        state.write(&path, true).unwrap();
        let second = state.write(&path, true).unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::AlreadyExists);
        state.phase = Phase::Failed("no space left on device".into());
        state.write(&path, false).unwrap();
        assert_eq!(State::read(&path).unwrap(), Some(state));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
