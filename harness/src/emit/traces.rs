//! `conform emit traces`, and the loads of traces that cases send: a seeded
//! topology of services, sent over OTLP, open-loop, with a ledger.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio_util::sync::CancellationToken;

use super::one_core::{CoreError, on_one_core};
use super::otlp::{Endpoint, OtlpError, Prepared, Sending, Source, Tally, drive};
use super::remote_write::per_second;
use crate::wire::otlp::batch::Identity;

pub mod digest;
pub mod ledger;
pub mod options;
pub mod plan;
pub mod topology;

use ledger::TraceLedger;
use plan::{Plan, PlanError, Wanted};
use topology::Topology;

/// A load of traces.
#[derive(Debug, Clone)]
pub struct Load {
    /// Where to.
    pub endpoint: Endpoint,
    /// What, and how fast.
    pub wanted: Wanted,
    /// How.
    pub sending: Sending,
}

/// Why a load was not sent.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The load makes no sense.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Sending failed.
    #[error(transparent)]
    Send(#[from] OtlpError),
    /// The generator's thread failed.
    #[error(transparent)]
    Core(#[from] CoreError),
}

/// What came of a load.
#[derive(Debug)]
pub struct Outcome {
    /// What became of the requests.
    pub tally: Tally,
    /// CPU time of the generator's thread, laying the requests out included.
    pub cpu: Duration,
    plan: Plan,
}

impl Outcome {
    /// The traces that the server acknowledged, each whole.
    #[must_use]
    pub fn ledger(&self) -> TraceLedger {
        self.of(&self.tally.taken)
    }

    /// The traces of requests that the server took in part or did not answer: whether they arrived is not known.
    #[must_use]
    pub fn uncertain(&self) -> TraceLedger {
        self.of(&self.tally.uncertain)
    }

    fn of(&self, slots: &[u64]) -> TraceLedger {
        let mut slots = slots.to_vec();
        slots.sort_unstable();
        let mut ledger = TraceLedger::default();
        for slot in slots.into_iter().filter_map(|number| self.plan.slot(number)) {
            self.plan.enter(&slot, self.tally.start, &mut ledger);
        }
        ledger
    }

    /// Spans sent per second of CPU time of the generator.
    #[must_use]
    pub fn spans_per_cpu_second(&self) -> f64 {
        let tally = &self.tally;
        per_second(tally.acknowledged + tally.refused + tally.unanswered, self.cpu)
    }
}

/// Sends a load from a thread of its own until it is over or `stop` is given.
pub async fn send(
    topology: Arc<Topology>,
    load: Load,
    stop: CancellationToken,
) -> Result<Outcome, TracesError> {
    let (outcome, cpu) = on_one_core("traces", move || async move {
        let plan = Plan::new(&topology, &load.wanted)?;
        let mut requests = Requests::new(&plan);
        let tally = drive(&load.endpoint, &mut requests, load.sending, &stop).await?;
        Ok::<_, TracesError>((tally, plan))
    })
    .await?;
    let (tally, plan) = outcome?;
    Ok(Outcome { tally, cpu, plan })
}

/// The plan's requests, stamped into bodies that are used again.
#[derive(Debug)]
pub struct Requests<'a> {
    plan: &'a Plan,
    next: u64,
    identities: Vec<Identity>,
    /// Bodies that came back, by template, with the template of each that is out.
    free: Vec<Vec<BytesMut>>,
}

impl<'a> Requests<'a> {
    /// The plan's requests from the first one on.
    #[must_use]
    pub fn new(plan: &'a Plan) -> Self {
        Self {
            plan,
            next: 0,
            identities: Vec::new(),
            free: vec![Vec::new(); plan.templates()],
        }
    }
}

impl Source for Requests<'_> {
    fn next(&mut self, start: u64) -> Option<Prepared> {
        let slot = self.plan.slot(self.next)?;
        self.next += 1;
        let mut body = self
            .free
            .get_mut(slot.template)
            .and_then(Vec::pop)
            .unwrap_or_else(|| BytesMut::from(slot.batch.body()));
        self.plan.stamp(&slot, start, &mut self.identities, &mut body);
        Some(Prepared {
            key: slot.number,
            instant: slot.instant,
            items: slot.spans,
            body: body.freeze(),
        })
    }

    fn recycle(&mut self, key: u64, body: Bytes) {
        // A body that something else still holds is let go.
        if let (Some(slot), Ok(body)) = (self.plan.slot(key), body.try_into_mut())
            && let Some(free) = self.free.get_mut(slot.template)
        {
            free.push(body);
        }
    }
}
