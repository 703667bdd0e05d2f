//! A short measurement of the machine, so that a report from a slower one can
//! be told from a slower stack.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use sha2::{Digest, Sha256};

/// How long each of the three measurements may take.
const SHARE: Duration = Duration::from_millis(100);

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
    median(|| {
        file.write_all(&[0x5a; 4096])?;
        file.sync_data()
    })
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
