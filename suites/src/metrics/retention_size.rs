//! Retention by size: what is declared for a replica's volume, and what the server does at a limit.
//!
//! A hundred gigabytes are not written here. The declared and effective values are held against the
//! promise; the behaviour is shown at a scaled limit, computed from the sizes of a history's own
//! blocks: from the newest to the oldest, the first block that crosses the limit goes, and all older
//! ones with it (`BeyondSizeRetention`, Prometheus 3.16, tsdb/db.go; head and write-ahead log count too).

use std::path::Path;
use std::time::Duration;

use harness::case::{Case, CaseError, Context};
use harness::component::prometheus::Block;
use harness::drawing::{BlockMark, Drawing};
use harness::finding::{Finding, Findings};
use harness::mutant::{Edit, Mutant};
use harness::stack::{Capability, PrometheusClone};
use harness::units::Bytes;
use harness::verdict::Level;

use crate::history::{self, Line, milliseconds, seconds};

/// The case.
pub(super) fn case() -> Case {
    Case {
        id: "metrics/retention-size",
        claim: "each replica has its promised storage, and the oldest blocks go before it is full",
        level: Level::Must,
        promises: &["metrics-storage-size"],
        needs: &[Capability::Prometheus, Capability::Promtool],
        profiles: &["core"],
        excludes: &[],
        disturbs: None,
        bound: Duration::from_secs(60),
        run: |context| Box::pin(run(context)),
        mutants,
    }
}

const OBJECT: &str = "Prometheus/prometheus";
const VOLUME: &str = "/spec/storage/volumeClaimTemplate/spec/resources/requests/storage";
const FLAG: &str = "storage.tsdb.retention.size";

fn mutants() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "half-the-volume",
            "a replica's volume is half of what is promised",
            Edit::set(OBJECT, VOLUME, "50Gi"),
        ),
        Mutant::new(
            "above-the-volume",
            "the size limit is above the volume, which then fills up",
            Edit::set(OBJECT, "/spec/retentionSize", "120GB"),
        ),
        Mutant::new(
            "no-limit",
            "the Prometheus object has no size limit",
            Edit::remove(OBJECT, "/spec/retentionSize"),
        ),
        Mutant::new(
            "limit-off",
            "the server runs without the declared limit",
            Edit::argument("prometheus", &format!("--{FLAG}"), Some("0")),
        ),
    ]
}

/// Blocks of the history.
const BLOCKS: i64 = 6;
/// Blocks that the scaled limit has room for.
const ROOM: usize = 3;
/// Series and samples that give a block a size well above the head's.
const SERIES: i64 = 200;
const SAMPLES: i64 = 60;

async fn run(context: Context) -> Result<Findings, CaseError> {
    let mut findings = Findings::new();
    declared(&context, &mut findings).await?;

    context.progress.step("", "making a history of equal blocks");
    let block = milliseconds(Duration::from_secs(2 * 3600));
    let newest = (history::now_ms() - 2 * block).div_euclid(block) * block;
    let lines: Vec<Line> = (0..SERIES)
        .map(|series| {
            let instants = (0..BLOCKS).rev().flat_map(|age| {
                (0..SAMPLES).map(move |sample| newest - age * block + sample * (block / SAMPLES))
            });
            Line {
                series: format!("conform_size{{series=\"{series}\"}}"),
                // Values that compress badly, as real ones do; any fixed irregular sequence serves.
                samples: instants
                    .map(|ms| (ms, seconds(ms / 1000 * 7919 + series * 104_729) % 99_991.0))
                    .collect(),
            }
        })
        .collect();
    let data = history::blocks(&context, "retention-size", &lines).await?;
    let mut sizes = block_sizes(&data)?;
    sizes.sort_by(|a, b| b.cmp(a));
    let sizes: Vec<u64> = sizes.into_iter().map(|(_, size)| size).collect();
    if sizes.len() != usize::try_from(BLOCKS).unwrap_or_default() {
        return Err(CaseError::Environment(format!(
            "promtool made {} blocks of {BLOCKS}",
            sizes.len()
        )));
    }
    let kept: u64 = sizes[..ROOM].iter().sum();
    let limit = Bytes(kept + sizes[ROOM] / 2);

    let mut clone = PrometheusClone::named("size");
    clone.data = Some(data);
    clone.arguments = vec![
        (
            format!("--{FLAG}"),
            Some(format!("{}B", limit.0)),
            "the declared limit scaled to the history: room for half of its blocks".to_owned(),
        ),
        (
            "--storage.tsdb.block-reload-interval".to_owned(),
            Some("1s".to_owned()),
            "retention is applied at every reload of blocks; the default is a minute".to_owned(),
        ),
        (
            "--storage.tsdb.max-block-duration".to_owned(),
            Some("2h".to_owned()),
            "compaction must not merge the blocks that are counted".to_owned(),
        ),
    ];
    context
        .progress
        .step("", "starting a Prometheus whose limit has room for half of it");
    let instance = context.stack.workshop.prometheus(clone).await?;
    let left = history::after_reloads(instance.client()).await?;
    behaviour(&left, newest, block, limit, &mut findings);
    Ok(findings)
}

/// Volume, limit and flag against the promise.
async fn declared(context: &Context, findings: &mut Findings) -> Result<(), CaseError> {
    let promised = context.contract.bytes("metrics-storage-size", "per-replica")?;
    let object = context.tree.object(OBJECT)?;
    let (volume, limit) = (object.text(VOLUME), object.text("/spec/retentionSize"));
    let volume_size = volume.parse::<Bytes>().ok();
    findings.push(
        Finding::of("volume of a replica")
            .declared(if volume.is_empty() { "nothing" } else { volume })
            .bound(promised)
            .judge(volume_size == Some(promised), || {
                format!("{promised} are promised for each replica")
            }),
    );
    let limit_size = limit.parse::<Bytes>().ok();
    let fits = limit_size.is_some_and(|limit| limit.0 > 0 && limit.0 <= promised.0);
    findings.push(
        Finding::of("size limit inside the volume")
            .declared(if limit.is_empty() { "nothing" } else { limit })
            .bound(format!("more than 0 and at most {promised}"))
            .judge(fits, || {
                "without a limit inside the volume the disk fills before anything is deleted".to_owned()
            }),
    );
    let flag = context
        .stack
        .prometheus
        .flags()
        .await?
        .get(FLAG)
        .cloned()
        .unwrap_or_default();
    let in_force = context
        .stack
        .prometheus
        .own_metrics()
        .await?
        .get("prometheus_tsdb_retention_limit_bytes")
        .copied();
    #[expect(
        clippy::cast_precision_loss,
        reason = "a disk size in bytes is far below 2^52"
    )]
    let same =
        limit_size.is_some_and(|limit| in_force.is_some_and(|bytes| (bytes - limit.0 as f64).abs() < 1.0));
    findings.push(
        Finding::of("size limit of the running server")
            .declared(limit)
            .effective(&flag)
            .bound(limit)
            .judge(same, || {
                format!("the server runs with `{flag}`, {in_force:?} bytes in force")
            }),
    );
    Ok(())
}

/// (name, bytes) of the blocks below `data`; names sort by age.
fn block_sizes(data: &Path) -> Result<Vec<(String, u64)>, CaseError> {
    fn size(path: &Path) -> std::io::Result<u64> {
        if !path.is_dir() {
            return Ok(path.metadata()?.len());
        }
        std::fs::read_dir(path)?.map(|entry| size(&entry?.path())).sum()
    }
    let mut sizes = Vec::new();
    for entry in std::fs::read_dir(data)? {
        let path = entry?.path();
        let meta = path.join("meta.json");
        if meta.is_file() {
            let meta: serde_json::Value = serde_json::from_slice(&std::fs::read(meta)?)
                .map_err(|error| CaseError::Environment(format!("a block's meta.json: {error}")))?;
            sizes.push((
                format!("{:020}", meta["minTime"].as_i64().unwrap_or_default()),
                size(&path)?,
            ));
        }
    }
    Ok(sizes)
}

/// Exactly the newest blocks that fit are left.
fn behaviour(left: &[Block], newest: i64, block: i64, limit: Bytes, findings: &mut Findings) {
    let mut marks = Vec::new();
    for age in (0..BLOCKS).rev() {
        let from = newest - age * block;
        let expected = usize::try_from(age).is_ok_and(|age| age < ROOM);
        let kept = left.iter().any(|one| one.min_time == from);
        marks.push(BlockMark {
            from: seconds(from),
            to: seconds(from + block),
            label: format!("block {}", BLOCKS - age),
            expected_kept: expected,
            kept,
        });
    }
    let wrong = marks
        .iter()
        .filter(|mark| mark.kept != mark.expected_kept)
        .count();
    findings.push(
        Finding::of("blocks left at the scaled limit")
            .declared(format!("{limit}: room for the newest {ROOM} of {BLOCKS}"))
            .observed(format!("{} left", left.len()))
            .bound(format!("exactly the newest {ROOM}"))
            .judge(wrong == 0, || {
                format!("{wrong} of {BLOCKS} blocks were not kept or deleted as the limit asks")
            }),
    );
    findings.draw(Drawing::BlockMap {
        title: format!("Blocks at a limit of {limit}"),
        edge: seconds(newest - i64::try_from(ROOM - 1).unwrap_or_default() * block),
        blocks: marks,
    });
}
