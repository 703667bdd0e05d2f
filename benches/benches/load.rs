//! How many samples per second one core sends by remote write to a receiver
//! that only reads: `cargo bench -p benches --bench load -- [RATE [SERIES [SECONDS]]]`.
//!
//! The receiver has a thread of its own, whose CPU time is reported apart.

use std::time::Duration;

use harness::emit::drain::Drain;
use harness::emit::remote_write::{Load, send};
use harness::seed::Seed;
use tokio_util::sync::CancellationToken;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Cargo hands over `--bench` as well.
    let mut arguments = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"));
    let rate: f64 = arguments.next().map_or(Ok(1_000_000.0), |text| text.parse())?;
    let series: u64 = arguments.next().map_or(Ok(100_000), |text| text.parse())?;
    let seconds: u64 = arguments.next().map_or(Ok(5), |text| text.parse())?;
    let drain = Drain::start()?;
    let endpoint = format!("http://{}/api/v1/write", drain.address()).parse()?;
    let mut load = Load::new(endpoint, series, Duration::from_secs(seconds), Seed(1));
    load.rate = rate;
    load.batch = 5_000;
    load.labels = [("job", "emit"), ("zone", "a"), ("instance", "127.0.0.1:9100")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let outcome = send(load, CancellationToken::new()).await?;
    println!("acknowledged          {} samples", outcome.acknowledged);
    println!("achieved rate         {:.0} samples/s", outcome.achieved_rate());
    println!("generator             {:.3} CPU s", outcome.cpu.as_secs_f64());
    println!("samples per CPU s     {:.0}", outcome.samples_per_cpu_second());
    println!("sent                  {} bytes", outcome.bytes);
    println!("latency               {:?}", outcome.latency);
    let drained = drain.end().await?;
    println!(
        "receiver              {:.3} CPU s, {} bytes",
        drained.cpu.as_secs_f64(),
        drained.bytes
    );
    Ok(())
}
