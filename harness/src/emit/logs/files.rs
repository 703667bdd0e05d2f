//! Container log files, written and rotated as container runtime and kubelet do.
//!
//! `<namespace>_<pod>_<uid>/<container>/0.log` under the folder; a file that
//! would outgrow its size is renamed to `0.log.<instant>` and a new one begun,
//! and the oldest is removed where there are too many (kubelet,
//! `pkg/kubelet/logs/container_log_manager.go`, `containerLogMaxSize` and
//! `containerLogMaxFiles`).

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::model::Stream;
use super::plan::{Form, Plan, Slot, templates};
use super::{LogsError, Tally};
use crate::wait::until_scheduled;
use crate::wire::container_log::{self, LONGEST};
use crate::wire::stamped::{Stamped, Template};

/// How large files may grow, and how many a container may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// Bytes after which a file is rotated.
    pub size: u64,
    /// Files a container, the one being written included; at least 2.
    pub files: usize,
}

impl Default for Rotation {
    /// The kubelet's defaults (Kubernetes 1.33, `KubeletConfiguration`).
    fn default() -> Self {
        Self {
            size: 10 * 1024 * 1024,
            files: 5,
        }
    }
}

/// Folder of a container's files under the folder of all.
#[must_use]
pub fn folder(of_all: &Path, stream: &Stream) -> PathBuf {
    of_all
        .join(format!("{}_{}_{}", stream.namespace, stream.pod, stream.uid))
        .join(&stream.container)
}

/// The files of one container.
struct Files {
    folder: PathBuf,
    rotation: Rotation,
    file: File,
    size: u64,
    records: u64,
    /// Rotated ones with their records, the oldest first.
    rotated: Vec<(PathBuf, u64)>,
}

impl Files {
    fn open(folder: PathBuf, rotation: Rotation) -> Result<Self, LogsError> {
        fs::create_dir_all(&folder).map_err(|source| failed(&folder, source))?;
        let file = begin(&folder)?;
        Ok(Self {
            folder,
            rotation,
            file,
            size: 0,
            records: 0,
            rotated: Vec::new(),
        })
    }

    /// Writes records; gives how many older ones were removed to make room.
    fn write(&mut self, bytes: &[u8], records: u64, at: i64) -> Result<u64, LogsError> {
        let mut removed = 0;
        if self.size > 0 && self.size + bytes.len() as u64 > self.rotation.size {
            removed = self.rotate(at)?;
        }
        let path = self.folder.join("0.log");
        self.file
            .write_all(bytes)
            .map_err(|source| failed(&path, source))?;
        self.size += bytes.len() as u64;
        self.records += records;
        Ok(removed)
    }

    fn rotate(&mut self, at: i64) -> Result<u64, LogsError> {
        let current = self.folder.join("0.log");
        // The kubelet rotates once in ten seconds at most and never meets its own names; here the next free second serves.
        let mut second = at / 1_000_000_000;
        let rotated = loop {
            let instant = Timestamp::from_second(second).unwrap_or_default();
            let path = self
                .folder
                .join(format!("0.log.{}", instant.strftime("%Y%m%d-%H%M%S")));
            if !path.exists() {
                break path;
            }
            second += 1;
        };
        fs::rename(&current, &rotated).map_err(|source| failed(&current, source))?;
        self.rotated.push((rotated, self.records));
        self.file = begin(&self.folder)?;
        (self.size, self.records) = (0, 0);
        let mut removed = 0;
        while self.rotated.len() + 1 > self.rotation.files.max(2) {
            let (path, records) = self.rotated.remove(0);
            fs::remove_file(&path).map_err(|source| failed(&path, source))?;
            removed += records;
        }
        Ok(removed)
    }
}

fn failed(path: &Path, source: std::io::Error) -> LogsError {
    LogsError::File {
        path: path.to_owned(),
        source,
    }
}

/// Begins a file; one of an earlier run is not written over.
fn begin(folder: &Path) -> Result<File, LogsError> {
    let path = folder.join("0.log");
    File::options()
        .write(true)
        .create_new(true)
        .open(&path)
        .map_err(|source| failed(&path, source))
}

/// The lines of a batch that go to one container, and which of the batch they are.
struct Part {
    stream: usize,
    first: usize,
    lines: Stamped,
}

fn parts(plan: &Plan, slot: Slot) -> Vec<Part> {
    let records = templates(plan, slot, Form::Line);
    let mut parts: Vec<(usize, usize, Vec<&Template>)> = Vec::new();
    for (index, (_, stream, line)) in records.iter().enumerate() {
        match parts.last_mut() {
            Some((last, _, lines)) if last == stream => lines.push(line),
            _ => parts.push((*stream, index, vec![line])),
        }
    }
    parts
        .into_iter()
        .map(|(stream, first, lines)| Part {
            stream,
            first,
            lines: container_log::lay_out(lines, LONGEST),
        })
        .collect()
}

/// Writes a plan into files; gives the tally and the unix nanosecond of the first record.
pub(super) async fn write(
    plan: &Plan,
    of_all: &Path,
    rotation: Rotation,
    begin: impl FnOnce() -> (Instant, i64),
    stop: &CancellationToken,
) -> Result<(Tally, i64), LogsError> {
    let mut files: IndexMap<usize, Files> = IndexMap::new();
    for (number, stream) in plan.streams().iter().enumerate() {
        files.insert(number, Files::open(folder(of_all, stream), rotation)?);
    }
    let mut batches: Vec<Vec<Part>> = (0..plan.groups())
        .filter_map(|group| Some(parts(plan, plan.slot(0, group)?)))
        .collect();
    let mut tally = Tally::default();
    let (start, unix) = begin();
    for round in 0.. {
        for (group, batch) in batches.iter_mut().enumerate() {
            let Some(slot) = plan.slot(round, group) else {
                return Ok((tally, unix));
            };
            if batch.iter().map(|part| part.lines.len()).sum::<usize>() != slot.count {
                // The last one of all.
                *batch = parts(plan, slot);
            }
            let instant = start + plan.instant(slot);
            if Instant::now() < instant {
                tokio::select! {
                    () = until_scheduled(instant) => {}
                    () = stop.cancelled() => return Ok((tally, unix)),
                }
            } else if stop.is_cancelled() {
                return Ok((tally, unix));
            }
            let stamps = plan.stamps(slot, unix);
            for part in batch.iter_mut() {
                part.lines.stamp(|index| stamps(part.first + index));
                let Some(files) = files.get_mut(&part.stream) else {
                    continue;
                };
                let records = part.lines.len() as u64;
                tally.removed += files.write(part.lines.body(), records, stamps(part.first).at)?;
                tally.requests += 1;
                tally.bytes += part.lines.body().len() as u64;
            }
            tally.late(instant);
            tally.acknowledged += slot.count as u64;
            tally.slots.push((slot, true));
        }
        if batches.is_empty() {
            break;
        }
    }
    Ok((tally, unix))
}
