//! How many samples per second one core sends by remote write to a receiver
//! that only reads: `cargo bench -p benches --bench load -- [RATE [SERIES [SECONDS]]]`.
//!
//! The receiver has a thread of its own, whose CPU time is reported apart.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use harness::emit::one_core::thread_cpu;
use harness::emit::remote_write::{Load, send};
use harness::seed::Seed;
use tokio_util::sync::CancellationToken;

/// Reads requests to their end and answers 204; gives the bytes of their bodies.
fn drain(stream: &TcpStream) -> std::io::Result<u64> {
    let mut reader = BufReader::with_capacity(1 << 20, stream);
    let mut writer = stream;
    let mut total = 0;
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(total);
            }
            if line == "\r\n" {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        total += std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink())?;
        writer.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Cargo hands over `--bench` as well.
    let mut arguments = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"));
    let rate: f64 = arguments.next().map_or(Ok(1_000_000.0), |text| text.parse())?;
    let series: u64 = arguments.next().map_or(Ok(100_000), |text| text.parse())?;
    let seconds: u64 = arguments.next().map_or(Ok(5), |text| text.parse())?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let endpoint = format!("http://{}/api/v1/write", listener.local_addr()?).parse()?;
    let receiver = std::thread::spawn(move || {
        let bytes = listener.accept().and_then(|(stream, _)| drain(&stream));
        (bytes, thread_cpu())
    });
    let mut load = Load::new(endpoint, series, Duration::from_secs(seconds), Seed(1));
    load.rate = rate;
    load.batch = 5_000;
    load.labels = [("job", "emit"), ("zone", "a"), ("instance", "127.0.0.1:9100")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(send(load, CancellationToken::new()))?;
    println!("acknowledged          {} samples", outcome.acknowledged);
    println!("achieved rate         {:.0} samples/s", outcome.achieved_rate());
    println!("generator             {:.3} CPU s", outcome.cpu.as_secs_f64());
    println!("samples per CPU s     {:.0}", outcome.samples_per_cpu_second());
    println!("sent                  {} bytes", outcome.bytes);
    println!("latency               {:?}", outcome.latency);
    if let Ok((bytes, cpu)) = receiver.join() {
        println!(
            "receiver              {:.3} CPU s, {} bytes",
            cpu.as_secs_f64(),
            bytes?
        );
    }
    Ok(())
}
