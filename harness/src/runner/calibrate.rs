//! A short measurement of the machine, so that a report from a slower one can
//! be told from a slower stack.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use sha2::{Digest, Sha256};

/// How long each of the three measurements may take.
const SHARE: Duration = Duration::from_millis(100);

/// Bytes of the work that the machine is measured by: more than the first caches hold, as a query does.
const WORK: usize = 256 << 10;

/// Measures how much work one thread gets done while every core does the same: MiB of made-up text
/// compressed and expanded (Snappy) per second, over [`SHARE`] of time.
///
/// Wall-clock time on all cores at once, because that is what a query of a server sees of the
/// machine: its speed, and what other work leaves of it. The work is branches and memory, as reading
/// blocks is, and the same whatever profile the harness is built with. Blocks its thread.
#[must_use]
pub fn work_per_second() -> f64 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let text = text(WORK);
    let start = std::sync::Barrier::new(cores);
    let each: Vec<f64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    work(&text)
                })
            })
            .collect();
        threads
            .into_iter()
            .filter_map(|thread| thread.join().ok())
            .collect()
    });
    let threads = u32::try_from(each.len().max(1)).unwrap_or(u32::MAX);
    each.iter().sum::<f64>() / f64::from(threads)
}

/// MiB per second of one thread; 0 where the work does not come out as it should.
fn work(text: &[u8]) -> f64 {
    let (mut compress, mut expand) = (snap::raw::Encoder::new(), snap::raw::Decoder::new());
    let (started, mut bytes) = (Instant::now(), 0u64);
    while started.elapsed() < SHARE {
        let round = compress
            .compress_vec(text)
            .and_then(|packed| expand.decompress_vec(&packed));
        match round {
            Ok(back) if back.len() == text.len() => bytes += back.len() as u64,
            _ => return 0.0,
        }
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "far below 2^52 bytes in a share of time"
    )]
    let bytes = bytes as f64;
    bytes / f64::from(1 << 20) / started.elapsed().as_secs_f64()
}

/// Text that compresses as metrics do: words from a small set in a fixed, irregular order.
fn text(length: usize) -> Vec<u8> {
    const WORDS: [&str; 8] = [
        "http_requests_total",
        "{job=\"api\",",
        "le=\"0.25\"}",
        " 17",
        " 1.5e9\n",
        "route=",
        "status=\"200\"",
        ",",
    ];
    let mut text = Vec::with_capacity(length + 32);
    let mut state = 1u64;
    while text.len() < length {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let word = usize::try_from(state >> 61).unwrap_or_default();
        text.extend_from_slice(WORDS[word % WORDS.len()].as_bytes());
        text.push((state >> 40).to_le_bytes()[0]);
    }
    text.truncate(length);
    text
}

/// Measures processor, disk and loopback; what cannot be measured is left out.
///
/// `sha256_mib_per_second` on one core, `fsync_milliseconds` (median of writes
/// of one page into `folder`), `loopback_microseconds` (median round trip).
#[must_use]
pub fn calibrate(folder: &Path) -> IndexMap<String, f64> {
    let mut measured = IndexMap::new();
    measured.insert("sha256_mib_per_second".to_owned(), processor());
    if let Ok(median) = disk(folder) {
        measured.insert("fsync_milliseconds".to_owned(), median * 1e3);
    }
    if let Ok(median) = loopback() {
        measured.insert("loopback_microseconds".to_owned(), median * 1e6);
    }
    measured
}

fn processor() -> f64 {
    let block = vec![0x5au8; 1 << 20];
    let (started, mut blocks) = (Instant::now(), 0u32);
    let mut hash = Sha256::new();
    while started.elapsed() < SHARE {
        hash.update(&block);
        blocks += 1;
    }
    std::hint::black_box(hash.finalize());
    f64::from(blocks) / started.elapsed().as_secs_f64()
}

fn disk(folder: &Path) -> std::io::Result<f64> {
    let mut file = tempfile::tempfile_in(folder)?;
    median(|| keep_page(&mut file))
}

/// Writes a page, and returns when the disk has it.
pub(super) fn keep_page(file: &mut File) -> std::io::Result<()> {
    file.write_all(&[0x5a; 4096])?;
    file.sync_data()
}

fn loopback() -> std::io::Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut near = TcpStream::connect(listener.local_addr()?)?;
    let (mut far, _) = listener.accept()?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let mut byte = [0u8; 1];
    median(|| {
        near.write_all(&[1])?;
        far.read_exact(&mut byte)?;
        far.write_all(&[1])?;
        near.read_exact(&mut byte)
    })
}

/// Median seconds of `act`, repeated for one share of time.
fn median(mut act: impl FnMut() -> std::io::Result<()>) -> std::io::Result<f64> {
    let started = Instant::now();
    let mut took = Vec::new();
    while started.elapsed() < SHARE || took.is_empty() {
        let one = Instant::now();
        act()?;
        took.push(one.elapsed().as_secs_f64());
    }
    took.sort_by(f64::total_cmp);
    Ok(took[took.len() / 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_gets_some_work_done() {
        assert!(work_per_second() > 0.0);
    }

    #[test]
    fn the_work_is_always_the_same() {
        assert_eq!(text(1_000), text(1_000));
        assert_eq!(text(1_000).len(), 1_000);
    }
}
