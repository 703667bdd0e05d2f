//! How many log records per second one core sends to a receiver that only
//! reads, or writes to files: `cargo bench -p benches --bench logs -- [RATE [SECONDS]]`.
//!
//! The receiver has a thread of its own, whose CPU time is not the generator's.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use harness::emit::logs::files::Rotation;
use harness::emit::logs::{Destination, Load, send};
use harness::emit::otlp::Protocol;
use harness::emit::sink::{Keep, Sink};
use harness::seed::Seed;
use harness::shapes::Shapes;
use harness::wire::bulk::Action;
use tokio_util::sync::CancellationToken;

const BATCH: usize = 1_000;

/// Reads requests to their end and answers each with `answer`.
fn drain(stream: &TcpStream, answer: &[u8]) -> std::io::Result<()> {
    let mut reader = BufReader::with_capacity(1 << 20, stream);
    let mut writer = stream;
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line == "\r\n" {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink())?;
        writer.write_all(answer)?;
    }
}

/// A receiver that answers with this body; gives its URL.
fn receiver(body: &str) -> std::io::Result<url::Url> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/", listener.local_addr()?);
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A broken connection is a run that has ended.
            let _ = drain(&stream, answer.as_bytes());
        }
    });
    url.parse().map_err(std::io::Error::other)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Cargo hands over `--bench` as well.
    let mut arguments = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"));
    let rate: f64 = arguments.next().map_or(Ok(500_000.0), |text| text.parse())?;
    let seconds: u64 = arguments.next().map_or(Ok(3), |text| text.parse())?;
    let shapes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/shapes.yaml");
    let shapes = Arc::new(Shapes::load(&shapes)?);
    let folder = tempfile::tempdir()?;
    let items = vec![r#"{"index":{"status":201}}"#; BATCH].join(",");
    let sink = Sink::start(Keep::Count)?;
    let destinations = [
        (
            "grpc",
            Destination::Otlp {
                endpoint: format!("http://{}", sink.grpc()).parse()?,
                protocol: Protocol::Grpc,
            },
        ),
        (
            "otlp",
            Destination::Otlp {
                endpoint: receiver("")?,
                protocol: Protocol::Http,
            },
        ),
        ("loki", Destination::Loki(receiver("")?)),
        (
            "files",
            Destination::Files {
                folder: folder.path().to_owned(),
                rotation: Rotation::default(),
            },
        ),
        (
            "bulk",
            Destination::Bulk {
                endpoint: receiver(&format!(r#"{{"errors":false,"items":[{items}]}}"#))?,
                action: Action::Index,
                suffix: None,
                repeats: 0,
            },
        ),
    ];
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    for (name, destination) in destinations {
        let load = Load {
            rate,
            duration: Duration::from_secs(seconds),
            batch: BATCH,
            ..Load::new(destination, Arc::clone(&shapes), Seed(1))
        };
        let outcome = runtime.block_on(send(load, CancellationToken::new()))?;
        println!(
            "{name:6} {} records in {:.3} s, {:.3} CPU s: {:.0} records and {:.0} MiB per CPU s; {} failed",
            outcome.acknowledged,
            outcome.elapsed.as_secs_f64(),
            outcome.cpu.as_secs_f64(),
            outcome.records_per_cpu_second(),
            outcome.bytes_per_cpu_second() / f64::from(1 << 20),
            outcome.refused + outcome.unanswered,
        );
    }
    Ok(())
}
