//! A block of Prometheus' TSDB: its chunk segments, index, metadata and tombstones.
//!
//! `promtool tsdb create-blocks-from openmetrics` reads its text once for every two hours of it,
//! which takes minutes for a day of a whole stack. Written directly, a day takes a second. The
//! layout is that of tsdb/docs/format (index version 2, chunks version 1, tombstones version 1;
//! Prometheus 3.16); whether a server reads it is what every case that uses one finds out first.

mod crc;
mod index;
mod xor;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde_json::json;

use crate::seed::Seed;

/// Labels of a series: (name, value), sorted by name, `__name__` among them.
pub type Labels = Vec<(String, String)>;

/// Most samples of a chunk, as the head makes them (`DefaultSamplesPerChunk`, Prometheus 3.16).
const SAMPLES_PER_CHUNK: usize = 120;
/// Longest a segment of chunks may become (`DefaultChunkSegmentSize`, Prometheus 3.16).
const SEGMENT: u64 = 512 << 20;

/// Why a block was not written.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    /// A file cannot be written.
    #[error("{0}")]
    Write(#[from] io::Error),
    /// Samples of a series do not grow in time.
    #[error("samples of {series} are not in time order at {at}; give them oldest first, one an instant")]
    Order {
        /// The series.
        series: String,
        /// The instant that does not come after the one before, in unix milliseconds.
        at: i64,
    },
    /// There is nothing to write.
    #[error("the block has no samples; give at least one")]
    Empty,
    /// It does not fit into one.
    #[error("the block is larger than one segment of 512 MiB; write shorter blocks")]
    Large,
}

/// What a block holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Its id, the name of its folder.
    pub ulid: String,
    /// First sample, in unix milliseconds.
    pub min_time: i64,
    /// End (exclusive), in unix milliseconds.
    pub max_time: i64,
    /// Series with samples.
    pub series: u64,
    /// Samples.
    pub samples: u64,
}

/// A chunk of a series: its first and last instant and where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Chunk {
    from: i64,
    to: i64,
    reference: u64,
}

/// Writes a block below `data`, a server's data folder.
///
/// `fill` is asked for the samples of each series (its place in `series`) once, in the order of the
/// labels; a series without samples is left out. The id is drawn from `seed` and the block's end.
pub fn write(
    data: &Path,
    series: &[Labels],
    seed: Seed,
    mut fill: impl FnMut(usize, &mut Vec<(i64, f64)>),
) -> Result<Written, BlockError> {
    let folder = data.join(format!("{seed}.tmp-for-creation"));
    fs::create_dir_all(folder.join("chunks"))?;
    let mut order: Vec<usize> = (0..series.len()).collect();
    order.sort_by(|a, b| series[*a].cmp(&series[*b]));

    let mut segment = Segment::create(&folder.join("chunks").join("000001"))?;
    let mut kept: Vec<(&Labels, Vec<Chunk>)> = Vec::with_capacity(series.len());
    let (mut min_time, mut max_time, mut samples, mut chunks) = (i64::MAX, i64::MIN, 0u64, 0u64);
    let mut buffer = Vec::new();
    for place in order {
        buffer.clear();
        fill(place, &mut buffer);
        if let Some(pair) = buffer.windows(2).find(|pair| pair[1].0 <= pair[0].0) {
            return Err(BlockError::Order {
                series: format!("{:?}", series[place]),
                at: pair[1].0,
            });
        }
        let (Some(first), Some(last)) = (buffer.first(), buffer.last()) else {
            continue;
        };
        min_time = min_time.min(first.0);
        max_time = max_time.max(last.0);
        samples += buffer.len() as u64;
        let mut own = Vec::with_capacity(buffer.len().div_ceil(SAMPLES_PER_CHUNK));
        for part in buffer.chunks(SAMPLES_PER_CHUNK) {
            own.push(segment.add(part)?);
        }
        chunks += own.len() as u64;
        kept.push((&series[place], own));
    }
    if kept.is_empty() {
        fs::remove_dir_all(&folder)?;
        return Err(BlockError::Empty);
    }
    segment.finish()?;
    fs::write(folder.join("index"), index::encode(&kept)?)?;
    let mut tombstones = vec![0x01, 0x30, 0xba, 0x30, 1];
    tombstones.extend(crc::of(&[]).to_be_bytes());
    fs::write(folder.join("tombstones"), tombstones)?;

    let written = Written {
        ulid: ulid(max_time, seed),
        min_time,
        max_time: max_time + 1,
        series: kept.len() as u64,
        samples,
    };
    let meta = json!({
        "ulid": written.ulid,
        "minTime": written.min_time,
        "maxTime": written.max_time,
        "stats": { "numSamples": samples, "numSeries": written.series, "numChunks": chunks },
        "compaction": { "level": 1, "sources": [written.ulid] },
        "version": 1,
    });
    fs::write(folder.join("meta.json"), format!("{meta:#}"))?;
    fs::rename(&folder, data.join(&written.ulid))?;
    Ok(written)
}

/// A segment of chunks that is being written.
struct Segment {
    out: BufWriter<File>,
    length: u64,
    frame: Vec<u8>,
}

impl Segment {
    fn create(path: &Path) -> io::Result<Self> {
        let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
        // Magic, version and three bytes of padding.
        out.write_all(&[0x85, 0xbd, 0x40, 0xdd, 1, 0, 0, 0])?;
        Ok(Self {
            out,
            length: 8,
            frame: Vec::new(),
        })
    }

    fn add(&mut self, samples: &[(i64, f64)]) -> Result<Chunk, BlockError> {
        const XOR: u8 = 1;
        let body = xor::encode(samples);
        self.frame.clear();
        put_uvarint(&mut self.frame, body.len() as u64);
        let data = self.frame.len();
        self.frame.push(XOR);
        self.frame.extend(body);
        let sum = crc::of(&self.frame[data..]);
        self.frame.extend(sum.to_be_bytes());
        if self.length + self.frame.len() as u64 > SEGMENT {
            return Err(BlockError::Large);
        }
        // The upper half of a reference is the segment's number, from 0.
        let chunk = Chunk {
            from: samples.first().map_or(0, |(at, _)| *at),
            to: samples.last().map_or(0, |(at, _)| *at),
            reference: self.length,
        };
        self.out.write_all(&self.frame)?;
        self.length += self.frame.len() as u64;
        Ok(chunk)
    }

    fn finish(mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Appends an unsigned variable-length integer, as Go's encoding/binary has it.
fn put_uvarint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Appends a signed variable-length integer in zigzag form.
fn put_varint(out: &mut Vec<u8>, value: i64) {
    put_uvarint(out, (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned());
}

/// An id of 48 bits of time and 80 seeded bits, in Crockford's base 32.
fn ulid(at: i64, seed: Seed) -> String {
    const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let random = u128::from(seed.0) << 16 | u128::from(seed.derive("ulid").0 & 0xffff);
    let bits = (u128::from(at.cast_unsigned() & 0xffff_ffff_ffff) << 80) | random;
    (0..26)
        .rev()
        .map(|digit| char::from(DIGITS[usize::try_from((bits >> (5 * digit)) & 31).unwrap_or_default()]))
        .collect()
}

#[cfg(test)]
mod tests;
