//! Which traces are sent when, and in which requests: pure.
//!
//! The shapes of a cycle of requests are drawn once; round after round they are
//! sent again as other traces, with IDs and instants of their own. A trace is
//! never split over requests. Inside a request spans stand by service, as they
//! do when they come through an agent.

use std::sync::Arc;
use std::time::Duration;

use super::digest;
use super::ledger::{Entry, TraceLedger};
use super::topology::{SpanShape, Starts, Topology, TopologyError, TraceShape};
use crate::emit::ledger::mix;
use crate::emit::schedule::{RateError, Schedule};
use crate::seed::Seed;
use crate::wire::otlp::batch::{Batch, BatchError, Identity, Stamp};
use crate::wire::otlp::traces::{
    Event, ExportTraces, Link, ResourceSpans, ScopeSpans, Span, Status, StatusCode,
};
use crate::wire::otlp::{InstrumentationScope, KeyValue, Resource, TraceId};

/// Requests that are laid out before their shapes come again.
const CYCLE: u64 = 16;
/// Bits of a span's number in its trace, inside what its ID is made from.
const SPAN_BITS: u32 = 16;
/// Name of the scope of all spans.
const SCOPE: &str = "conform";

/// How many traces are sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Amount {
    /// As many as the rate gives in that time.
    For(Duration),
    /// So many, with IDs drawn from the seed.
    Traces(u64),
    /// One for each of these IDs, in their order.
    Ids(Arc<[TraceId]>),
}

/// What decides a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// How many traces.
    pub amount: Amount,
    /// Spans per second over all traces.
    pub rate: f64,
    /// Most spans a request; a trace that is larger goes alone.
    pub batch: u64,
    /// Services that traces start in; all that start some where none is given.
    pub origins: Vec<String>,
    /// Attributes that root spans have besides their own, for example `sampler.type` and
    /// `sampler.param`, which Jaeger's adaptive sampling reads.
    pub root_attributes: Vec<KeyValue>,
    /// What shapes and IDs are drawn from.
    pub seed: Seed,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// The services make no such traces.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// The rate makes no sense.
    #[error(transparent)]
    Rate(#[from] RateError),
    /// Nothing would be sent.
    #[error("there is nothing to send: give at least one trace, one ID or some time")]
    Nothing,
    /// A request cannot be laid out.
    #[error(transparent)]
    Batch(#[from] BatchError),
}

/// One request of the cycle.
#[derive(Debug)]
struct Group {
    traces: Vec<Shape>,
    batch: Arc<Batch>,
    /// Traces of the cycle before it.
    traces_before: u64,
    /// Spans of the cycle before it.
    spans_before: u64,
    spans: u64,
}

/// A trace of the cycle.
#[derive(Debug)]
struct Shape {
    shape: TraceShape,
    /// Digest of each span's content.
    contents: Vec<u64>,
}

/// One request of the load.
#[derive(Debug, Clone)]
pub struct Slot {
    /// Running number, from 0.
    pub number: u64,
    /// Intended instant after the start.
    pub instant: Duration,
    /// Number of its first trace in the load.
    pub first: u64,
    /// Number of traces.
    pub traces: u64,
    /// Number of spans.
    pub spans: u64,
    /// What is sent.
    pub batch: Arc<Batch>,
    /// Where the batch's shapes are, for those that are sent again: equal for equal batches.
    pub template: usize,
}

/// What is sent when.
#[derive(Debug)]
pub struct Plan {
    groups: Vec<Group>,
    /// The last request where it is not a whole one: its traces and its layout.
    tail: Option<(u64, Arc<Batch>, u64)>,
    schedule: Schedule,
    amount: Amount,
    seeds: [u64; 3],
    cycle_traces: u64,
    cycle_spans: u64,
}

impl Plan {
    /// Draws the shapes and lays the requests out.
    pub fn new(topology: &Topology, wanted: &Wanted) -> Result<Self, PlanError> {
        let starts = topology.starts(&wanted.origins)?;
        let total = match &wanted.amount {
            Amount::For(time) if time.is_zero() => Some(0),
            Amount::For(_) => None,
            Amount::Traces(count) => Some(*count),
            Amount::Ids(ids) => Some(ids.len() as u64),
        };
        if total == Some(0) {
            return Err(PlanError::Nothing);
        }
        let mut plan = Self {
            groups: Vec::new(),
            tail: None,
            schedule: Schedule::new(wanted.rate)?,
            amount: wanted.amount.clone(),
            seeds: ["trace/high", "trace/low", "span"].map(|name| wanted.seed.derive(name).0),
            cycle_traces: 0,
            cycle_spans: 0,
        };
        plan.lay_out(topology, &starts, wanted, total)?;
        if let Some(total) = total {
            // Whole cycles, then whole requests of the cycle; what is left over is a request of its own.
            let rest = total % plan.cycle_traces;
            let whole = plan.groups.iter().rev().find(|group| group.traces_before <= rest);
            if let Some(group) = whole {
                let left = rest - group.traces_before;
                if left > 0 {
                    let kept = usize::try_from(left).unwrap_or(usize::MAX);
                    let traces = group.traces.get(..kept).unwrap_or(&group.traces);
                    let number = group.number(plan.groups.as_slice());
                    let (batch, spans) = lay_out(topology, traces, number)?;
                    plan.tail = Some((left, Arc::new(batch), spans));
                }
            }
        }
        Ok(plan)
    }

    fn lay_out(
        &mut self,
        topology: &Topology,
        starts: &Starts,
        wanted: &Wanted,
        total: Option<u64>,
    ) -> Result<(), PlanError> {
        let mut rng = wanted.seed.stream("traces");
        let mut next: Option<TraceShape> = None;
        // A load of chosen or counted traces that fits into one cycle is drawn as a whole, so that no
        // two of its traces need to be alike; a longer one repeats.
        for number in 0..CYCLE {
            let mut traces = Vec::new();
            let mut spans = 0;
            loop {
                let drawn = self.cycle_traces + traces.len() as u64;
                if total.is_some_and(|total| drawn >= total) {
                    break;
                }
                let mut shape = next.take().unwrap_or_else(|| topology.draw(starts, &mut rng));
                let length = shape.spans.len() as u64;
                if !traces.is_empty() && spans + length > wanted.batch {
                    next = Some(shape);
                    break;
                }
                if let Some(root) = shape.spans.first_mut() {
                    root.attributes.extend(wanted.root_attributes.iter().cloned());
                }
                spans += length;
                let contents = contents(topology, &shape, !traces.is_empty());
                traces.push(Shape { shape, contents });
            }
            if traces.is_empty() {
                break;
            }
            let (batch, spans) = lay_out(topology, &traces, number)?;
            let count = traces.len() as u64;
            self.groups.push(Group {
                traces,
                batch: Arc::new(batch),
                traces_before: self.cycle_traces,
                spans_before: self.cycle_spans,
                spans,
            });
            self.cycle_traces += count;
            self.cycle_spans += spans;
        }
        Ok(())
    }

    /// The request with a running number, where the load has so many.
    #[must_use]
    pub fn slot(&self, number: u64) -> Option<Slot> {
        let groups = self.groups.len() as u64;
        let (round, template) = (number / groups, usize::try_from(number % groups).ok()?);
        let group = self.groups.get(template)?;
        let first = round * self.cycle_traces + group.traces_before;
        let instant = self
            .schedule
            .instant(round * self.cycle_spans + group.spans_before);
        let slot = Slot {
            number,
            instant,
            first,
            traces: group.traces.len() as u64,
            spans: group.spans,
            batch: Arc::clone(&group.batch),
            template,
        };
        match &self.amount {
            Amount::For(time) => (instant < *time).then_some(slot),
            Amount::Traces(_) | Amount::Ids(_) => {
                let total = self.total().unwrap_or_default();
                if first + slot.traces <= total {
                    return Some(slot);
                }
                let (traces, batch, spans) = self.tail.as_ref().filter(|_| first < total)?;
                Some(Slot {
                    traces: *traces,
                    spans: *spans,
                    batch: Arc::clone(batch),
                    template: self.groups.len(),
                    ..slot
                })
            }
        }
    }

    /// Number of different requests; a slot's template is below it.
    #[must_use]
    pub fn templates(&self) -> usize {
        self.groups.len() + 1
    }

    /// Number of traces, where it is not the time that decides it.
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        match &self.amount {
            Amount::For(_) => None,
            Amount::Traces(count) => Some(*count),
            Amount::Ids(ids) => Some(ids.len() as u64),
        }
    }

    /// The intended instants' schedule, one event a span.
    #[must_use]
    pub fn schedule(&self) -> Schedule {
        self.schedule
    }

    /// ID of the n-th trace of the load.
    #[must_use]
    pub fn trace_id(&self, number: u64) -> TraceId {
        if let Amount::Ids(ids) = &self.amount
            && let Some(id) = usize::try_from(number).ok().and_then(|number| ids.get(number))
        {
            return *id;
        }
        let mut id = [0; 16];
        let (high, low) = id.split_at_mut(8);
        high.copy_from_slice(&mix(self.seeds[0].wrapping_add(number)).max(1).to_be_bytes());
        low.copy_from_slice(&mix(self.seeds[1].wrapping_add(number)).to_be_bytes());
        TraceId(id)
    }

    /// The identity of the n-th trace of the load.
    fn identity(&self, number: u64) -> Identity {
        Identity {
            trace_id: self.trace_id(number).0,
            spans: self.seeds[2] ^ (number << SPAN_BITS),
        }
    }

    /// Writes IDs and instants of a slot into a copy of its batch's body. `start` is the load's, in
    /// unix nanoseconds; a trace ends at the instant at which it is to be sent.
    pub fn stamp(&self, slot: &Slot, start: u64, identities: &mut Vec<Identity>, body: &mut [u8]) {
        identities.clear();
        identities.extend((slot.first..slot.first + slot.traces).map(|number| self.identity(number)));
        slot.batch
            .stamp(body, whole_microsecond(start, slot.instant), identities, span_id);
    }

    /// Enters the traces of a slot that was sent, as they were stamped.
    pub fn enter(&self, slot: &Slot, start: u64, ledger: &mut TraceLedger) {
        let at = whole_microsecond(start, slot.instant);
        let Some(group) = usize::try_from(slot.number % self.groups.len() as u64)
            .ok()
            .and_then(|number| self.groups.get(number))
        else {
            return;
        };
        let mut before: Option<Identity> = None;
        for (number, trace) in (slot.first..slot.first + slot.traces).zip(&group.traces) {
            let identity = self.identity(number);
            let begin = at - trace.shape.duration() * 1000;
            let id = |span: u32| u64::from_be_bytes(span_id(identity.spans, span));
            let mut sum = 0u64;
            for ((span, content), own) in trace.shape.spans.iter().zip(&trace.contents).zip(0u32..) {
                let link = before
                    .filter(|_| span.linked)
                    .map(|other| (other.trace_id, u64::from_be_bytes(span_id(other.spans, 0))));
                sum = sum.wrapping_add(digest::placed(
                    *content,
                    identity.trace_id,
                    [id(own), span.parent.map_or(0, id)],
                    begin + span.start * 1000,
                    link,
                ));
            }
            ledger.enter(
                TraceId(identity.trace_id),
                Entry {
                    origin: trace.shape.origin.clone(),
                    spans: trace.shape.spans.len() as u64,
                    digest: sum,
                },
            );
            before = Some(identity);
        }
    }
}

impl Group {
    /// Its number in the cycle.
    fn number(&self, groups: &[Self]) -> u64 {
        groups
            .iter()
            .take_while(|group| group.traces_before < self.traces_before)
            .count() as u64
    }
}

/// The instant of a slot in unix nanoseconds, down to whole microseconds.
fn whole_microsecond(start: u64, instant: Duration) -> u64 {
    let at = start.saturating_add(u64::try_from(instant.as_nanos()).unwrap_or(u64::MAX));
    at - at % 1000
}

/// ID of a span: distinct for all spans of a load, because `mix` is a bijection.
fn span_id(spans: u64, number: u32) -> [u8; 8] {
    // All zeros is not a valid ID (W3C Trace Context, 3.2.2.4).
    mix(spans ^ u64::from(number)).max(1).to_be_bytes()
}

/// A span whose IDs are set to anything and whose instants count from the trace's start.
fn wire_span(span: &SpanShape, linked: bool) -> Span {
    const ANY: u8 = 0xff;
    /// Keeps the first instant of a trace from being the default, which is not encoded.
    const AFTER: u64 = 1_000;
    Span {
        trace_id: vec![ANY; 16],
        span_id: vec![ANY; 8],
        trace_state: String::new(),
        parent_span_id: span.parent.map_or_else(Vec::new, |_| vec![ANY; 8]),
        name: span.name.clone(),
        kind: span.kind.into(),
        start_time_unix_nano: AFTER + span.start * 1000,
        end_time_unix_nano: AFTER + span.end * 1000,
        attributes: span.attributes.clone(),
        events: span
            .events
            .iter()
            .map(|(at, name, attributes)| Event {
                time_unix_nano: AFTER + at * 1000,
                name: name.clone(),
                attributes: attributes.clone(),
                dropped_attributes_count: 0,
            })
            .collect(),
        links: if span.linked && linked {
            vec![Link {
                trace_id: vec![ANY; 16],
                span_id: vec![ANY; 8],
                attributes: vec![KeyValue::of("messaging.operation.type", "process")],
                ..Link::default()
            }]
        } else {
            Vec::new()
        },
        status: span.error.as_ref().map(|words| Status {
            message: words.clone(),
            code: StatusCode::Error.into(),
        }),
        // The lowest bit: sampled, as an SDK sets it on what it exports.
        flags: 1,
        ..Span::default()
    }
}

fn contents(topology: &Topology, shape: &TraceShape, linked: bool) -> Vec<u64> {
    shape
        .spans
        .iter()
        .map(|span| {
            let service = topology
                .services()
                .get(span.service)
                .map_or("", |service| service.name.as_str());
            digest::content(service, &wire_span(span, linked))
        })
        .collect()
}

/// Encodes a request of these traces; `number` chooses the instances of the services. Gives the number of spans too.
fn lay_out(topology: &Topology, traces: &[Shape], number: u64) -> Result<(Batch, u64), PlanError> {
    let mut by_service: Vec<(Vec<Span>, Vec<Stamp>)> = Vec::new();
    by_service.resize_with(topology.services().len(), Default::default);
    let mut count = 0;
    for (trace, trace_number) in traces.iter().zip(0u32..) {
        let duration = trace.shape.duration();
        for (span, span_number) in trace.shape.spans.iter().zip(0u32..) {
            let Some((spans, stamps)) = by_service.get_mut(span.service) else {
                continue;
            };
            // The first trace of a request has none before it to link to.
            let linked = trace_number.checked_sub(1).filter(|_| span.linked);
            spans.push(wire_span(span, linked.is_some()));
            stamps.push(Stamp {
                trace: trace_number,
                span: span_number,
                parent: span.parent,
                start: (duration - span.start) * 1000,
                end: (duration - span.end) * 1000,
                events: span
                    .events
                    .iter()
                    .map(|(at, ..)| (duration - at) * 1000)
                    .collect(),
                links: linked.map(|before| (before, 0)).into_iter().collect(),
            });
            count += 1;
        }
    }
    let mut request = ExportTraces::default();
    let mut all = Vec::new();
    for (service, (spans, stamps)) in topology.services().iter().zip(by_service) {
        if spans.is_empty() {
            continue;
        }
        let instance = number % u64::from(service.instances);
        request.resource_spans.push(ResourceSpans {
            resource: Some(Resource {
                attributes: vec![
                    KeyValue::of("service.name", service.name.as_str()),
                    KeyValue::of("service.namespace", service.namespace.as_str()),
                    KeyValue::of("service.instance.id", format!("{}-{instance}", service.name)),
                    KeyValue::of("k8s.namespace.name", service.namespace.as_str()),
                    KeyValue::of("k8s.pod.name", format!("{}-{instance}", service.name)),
                    KeyValue::of("telemetry.sdk.language", "rust"),
                ],
            }),
            scope_spans: vec![ScopeSpans {
                scope: Some(InstrumentationScope {
                    name: SCOPE.to_owned(),
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                }),
                spans,
            }],
        });
        all.extend(stamps);
    }
    Ok((Batch::new(&request, &all)?, count))
}

#[cfg(test)]
mod tests {
    use super::super::topology::tests::fixtures;
    use super::*;
    use crate::wire::otlp::batch::PREFIX;
    use proptest::prelude::*;
    use prost::Message;
    use std::collections::HashSet;
    use std::sync::LazyLock;

    const START: u64 = 1_800_000_000_123_456_789;

    fn wanted(amount: Amount) -> Wanted {
        Wanted {
            amount,
            rate: 10_000.0,
            batch: 100,
            origins: Vec::new(),
            root_attributes: Vec::new(),
            seed: Seed(7),
        }
    }

    fn plan(wanted: &Wanted) -> Plan {
        static TOPOLOGY: LazyLock<Topology> = LazyLock::new(|| Topology::new(&fixtures()).unwrap());
        Plan::new(&TOPOLOGY, wanted).unwrap()
    }

    /// Every slot, stamped and decoded.
    fn sent(plan: &Plan) -> Vec<(Slot, ExportTraces)> {
        (0..)
            .map_while(|number| plan.slot(number))
            .map(|slot| {
                let mut body = slot.batch.body().to_vec();
                plan.stamp(&slot, START, &mut Vec::new(), &mut body);
                let request = ExportTraces::decode(&body[PREFIX..]).unwrap();
                (slot, request)
            })
            .collect()
    }

    proptest! {
        /// forall amounts, batches, seeds: as many traces as asked for are sent, and the ledger made
        /// from the plan is the one made from the bytes
        #[test]
        fn the_ledger_is_what_the_bytes_say(total in 1u64..700, batch in 1u64..200, seed in any::<u64>()) {
            let plan = plan(&Wanted { batch, seed: Seed(seed), ..wanted(Amount::Traces(total)) });
            let (mut planned, mut arrived) = (TraceLedger::default(), TraceLedger::default());
            let mut spans = 0;
            for (slot, request) in sent(&plan) {
                plan.enter(&slot, START, &mut planned);
                arrived.enter_request(&request);
                spans += slot.spans;
            }
            prop_assert_eq!(planned.compare(&arrived), indexmap::IndexMap::new());
            prop_assert_eq!(planned.len() as u64, total);
            prop_assert_eq!(planned.summary().spans, spans);
        }

        /// forall batches: IDs of traces and spans are distinct, and every parent is in its trace
        #[test]
        fn ids_are_distinct_over_rounds(batch in 20u64..100) {
            let plan = plan(&Wanted { batch, ..wanted(Amount::Traces(500)) });
            let mut spans = HashSet::new();
            let mut parents = Vec::new();
            for (_, request) in sent(&plan) {
                for span in request.resource_spans.iter().flat_map(|r| &r.scope_spans).flat_map(|s| &s.spans) {
                    prop_assert!(spans.insert((span.trace_id.clone(), span.span_id.clone())));
                    if !span.parent_span_id.is_empty() {
                        parents.push((span.trace_id.clone(), span.parent_span_id.clone()));
                    }
                }
            }
            prop_assert!(parents.iter().all(|parent| spans.contains(parent)));
            let ids: HashSet<_> = spans.iter().map(|(_, span)| span).collect();
            prop_assert_eq!(ids.len(), spans.len());
        }
    }

    #[test]
    fn chosen_ids_are_sent_in_their_order_from_the_chosen_service() {
        let ids: Arc<[TraceId]> = (1..=300u128).map(|n| TraceId(n.to_be_bytes())).collect();
        let plan = plan(&Wanted {
            origins: vec!["ml-service".into()],
            root_attributes: vec![KeyValue::of("sampler.type", "probabilistic")],
            ..wanted(Amount::Ids(Arc::clone(&ids)))
        });
        let mut ledger = TraceLedger::default();
        let mut roots = 0;
        for (slot, request) in sent(&plan) {
            plan.enter(&slot, START, &mut ledger);
            roots += request
                .resource_spans
                .iter()
                .flat_map(|r| &r.scope_spans)
                .flat_map(|s| &s.spans)
                .filter(|span| {
                    let marked = span.attributes.iter().any(|pair| pair.key == "sampler.type");
                    assert_eq!(marked, span.parent_span_id.is_empty());
                    marked
                })
                .count();
        }
        assert!(ledger.traces().keys().eq(ids.iter()));
        assert!(ledger.traces().values().all(|entry| entry.origin == "ml-service"));
        assert_eq!(roots, 300);
    }

    #[test]
    fn a_time_gives_as_many_spans_as_the_rate() {
        let plan = plan(&wanted(Amount::For(Duration::from_secs(2))));
        let spans: u64 = (0..)
            .map_while(|number| plan.slot(number))
            .map(|slot| slot.spans)
            .sum();
        assert!((20_000..20_100).contains(&spans), "{spans}");
    }

    #[test]
    fn nothing_is_no_load() {
        let topology = Topology::new(&fixtures()).unwrap();
        let refused = |amount| Plan::new(&topology, &wanted(amount)).unwrap_err();
        assert_eq!(refused(Amount::Traces(0)), PlanError::Nothing);
        assert_eq!(refused(Amount::Ids(Arc::new([]))), PlanError::Nothing);
    }

    #[test]
    fn a_changed_span_is_an_alteration() {
        let plan = plan(&wanted(Amount::Traces(3)));
        let (slot, mut request) = sent(&plan).remove(0);
        let mut planned = TraceLedger::default();
        plan.enter(&slot, START, &mut planned);
        let span = &mut request.resource_spans[0].scope_spans[0].spans[0];
        span.attributes[0].key.push('x');
        let mut arrived = TraceLedger::default();
        arrived.enter_request(&request);
        let differences = planned.compare(&arrived);
        assert_eq!(differences.len(), 1);
        assert!(matches!(
            differences[0],
            crate::emit::ledger::Difference::Altered { .. }
        ));
    }
}
