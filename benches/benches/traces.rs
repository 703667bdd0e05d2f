//! How many spans per second one core sends over OTLP gRPC to a sink on a
//! thread of its own: `cargo bench -p benches --bench traces -- [RATE [SECONDS [BATCH]]]`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use harness::emit::otlp::{Endpoint, Protocol, Sending};
use harness::emit::sink::{Keep, Sink};
use harness::emit::traces::plan::{Amount, Wanted};
use harness::emit::traces::topology::Topology;
use harness::emit::traces::{Load, send};
use harness::seed::Seed;
use harness::shapes::Shapes;
use harness::wire::otlp::Signal;
use tokio_util::sync::CancellationToken;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Cargo hands over `--bench` as well.
    let mut arguments = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"));
    let rate: f64 = arguments.next().map_or(Ok(1_000_000.0), |text| text.parse())?;
    let seconds: u64 = arguments.next().map_or(Ok(5), |text| text.parse())?;
    let batch: u64 = arguments.next().map_or(Ok(5_000), |text| text.parse())?;
    let shapes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/shapes.yaml");
    let topology = Arc::new(Topology::new(&Shapes::load(&shapes)?)?);
    let sink = Sink::start(Keep::Count)?;
    let load = Load {
        endpoint: Endpoint {
            url: format!("http://{}", sink.grpc()).parse()?,
            protocol: Protocol::Grpc,
            signal: Signal::Traces,
            headers: Vec::new(),
        },
        wanted: Wanted {
            amount: Amount::For(Duration::from_secs(seconds)),
            rate,
            batch,
            origins: Vec::new(),
            root_attributes: Vec::new(),
            seed: Seed(1),
        },
        sending: Sending::default(),
    };
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(send(topology, load, CancellationToken::new()))?;
    let tally = &outcome.tally;
    println!("acknowledged          {} spans", tally.acknowledged);
    println!("achieved rate         {:.0} spans/s", tally.achieved_rate());
    println!("generator             {:.3} CPU s", outcome.cpu.as_secs_f64());
    println!("spans per CPU s       {:.0}", outcome.spans_per_cpu_second());
    println!(
        "sent                  {} bytes in {} requests",
        tally.bytes, tally.requests
    );
    println!("late                  {} requests", tally.late);
    println!("latency               {:?}", tally.latency);
    println!("sink                  {:.3} CPU s", sink.cpu().as_secs_f64());
    println!("arrived               {} spans", sink.arrived().spans);
    Ok(())
}
