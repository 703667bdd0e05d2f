//! What one core of this machine emits, of each signal, to a receiver that only reads.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Session;
use crate::emit::drain::Drain;
use crate::emit::logs::{self, Destination};
use crate::emit::otlp::{Endpoint, Protocol, Sending};
use crate::emit::remote_write;
use crate::emit::sink::{Keep, Sink};
use crate::emit::traces;
use crate::emit::traces::plan::{Amount, Wanted};
use crate::emit::traces::topology::Topology;
use crate::finding::Figure;
use crate::seed::Seed;
use crate::wire::otlp::Signal;

/// How long each generator is measured.
const EMISSION: Duration = Duration::from_millis(400);
/// Series that remote write plays meanwhile.
const SERIES: u64 = 20_000;
/// Samples, spans or records a request; so many that requests are not what is measured.
const BATCH: u32 = 1_000;
/// Requests without an answer at a time: the receiver shares the machine with the generator.
const IN_FLIGHT: usize = 4;

/// The figures; none of a generator where the run was interrupted or nothing can be sent.
pub(super) async fn all(session: &Session) -> Vec<Figure> {
    let seed = session.options.seed.derive("emission");
    let mut figures = Vec::new();
    // One after the other: each is measured with a core to itself.
    figures.extend(samples(session, seed).await);
    figures.extend(spans(session, seed).await);
    figures.extend(records(session, seed).await);
    figures
}

async fn samples(session: &Session, seed: Seed) -> Option<Figure> {
    let bound = bound(session, "harness-remote-write", "samples-per-second")?;
    let drain = Drain::start().ok()?;
    let endpoint = format!("http://{}/", drain.address()).parse().ok()?;
    let mut load = remote_write::Load::new(endpoint, SERIES, EMISSION, seed);
    load.rate = bound;
    load.batch = BATCH.into();
    let sent = remote_write::send(load, CancellationToken::new()).await.ok()?;
    figure(
        "remote write, one core",
        sent.samples_per_cpu_second(),
        bound,
        "samples/s",
    )
}

async fn spans(session: &Session, seed: Seed) -> Option<Figure> {
    let bound = bound(session, "harness-emit-traces", "spans-per-second")?;
    let sink = Sink::start(Keep::Count).ok()?;
    let topology = Arc::new(Topology::new(&session.project.shapes).ok()?);
    let load = traces::Load {
        endpoint: endpoint(&sink, Signal::Traces)?,
        wanted: Wanted {
            amount: Amount::For(EMISSION),
            rate: bound,
            batch: BATCH.into(),
            origins: Vec::new(),
            root_attributes: Vec::new(),
            seed,
        },
        sending: Sending {
            connections: 1,
            in_flight: IN_FLIGHT,
        },
    };
    let sent = traces::send(topology, load, CancellationToken::new())
        .await
        .ok()?;
    figure(
        "traces over OTLP, one core",
        sent.spans_per_cpu_second(),
        bound,
        "spans/s",
    )
}

async fn records(session: &Session, seed: Seed) -> Option<Figure> {
    let bound = bound(session, "harness-emit-logs", "records-per-second")?;
    let sink = Sink::start(Keep::Count).ok()?;
    let to = Destination::Otlp {
        endpoint: endpoint(&sink, Signal::Logs)?.url,
        protocol: Protocol::Grpc,
    };
    let mut load = logs::Load::new(to, session.project.shapes.clone(), seed);
    load.rate = bound;
    load.duration = EMISSION;
    load.batch = usize::try_from(BATCH).ok()?;
    let sent = logs::send(load, CancellationToken::new()).await.ok()?;
    figure(
        "logs over OTLP, one core",
        sent.records_per_cpu_second(),
        bound,
        "records/s",
    )
}

fn endpoint(sink: &Sink, signal: Signal) -> Option<Endpoint> {
    Some(Endpoint {
        url: format!("http://{}", sink.grpc()).parse().ok()?,
        protocol: Protocol::Grpc,
        signal,
        headers: Vec::new(),
    })
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn bound(session: &Session, promise: &str, value: &str) -> Option<f64> {
    Some(session.project.contract.count(promise, value).ok()? as f64)
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "the way out of functions that end where something is missing"
)]
fn figure(what: &str, value: f64, bound: f64, unit: &str) -> Option<Figure> {
    Some(Figure {
        what: what.to_owned(),
        value,
        bound,
        at_least: true,
        unit: unit.to_owned(),
    })
}
