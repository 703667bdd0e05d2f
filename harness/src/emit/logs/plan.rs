//! What a log load sends, as functions of the record's number and the seed.
//!
//! Records are numbered from 0 in the order of their instants. Their shapes
//! repeat after a round of a few batches, which are laid out once; what is
//! stamped does not repeat. A stream belongs to one connection, so that its
//! records stay in order.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;

use super::Load;
use super::model::{Kind, Shape, Stream, streams};
use super::records::{Record, digest, digest_json};
use crate::emit::ledger::mix;
use crate::emit::schedule::{RateError, Schedule};
use crate::wire::stamped::{Stamp, Template};

/// Fewest batches a round, so that requests differ.
const FEWEST_GROUPS: usize = 4;
/// Most records a request spans, in seconds: shippers do not hold records back for longer.
const LONGEST_BATCH: f64 = 1.0;

/// Why a load makes no sense.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// The rate is none.
    #[error(transparent)]
    Rate(#[from] RateError),
    /// A service that shapes do not have.
    #[error("there is no service `{name}`: give one of {known}")]
    Service {
        /// The name.
        name: String,
        /// Those that are there.
        known: String,
    },
    /// There are no services at all.
    #[error("there is no service that logs: shapes.yaml has none")]
    Nobody,
}

/// In which form a record's content is held against what arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The line, byte by byte.
    Line,
    /// The document, as JSON: the order of members does not matter.
    Document,
}

/// One batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// Number of the round, from 0.
    pub round: u64,
    /// Number of the batch in the round, from 0.
    pub group: usize,
    /// Number of its first record.
    pub first: u64,
    /// Number of its records.
    pub count: usize,
}

/// The whole plan of a load.
#[derive(Debug, Clone)]
pub struct Plan {
    schedule: Schedule,
    streams: Arc<Vec<Stream>>,
    names: Arc<Vec<Arc<str>>>,
    members: Arc<Vec<Member>>,
    /// Members of each stream a round.
    per_round: Arc<Vec<u64>>,
    batch: usize,
    connections: usize,
    records: u64,
    seed: u64,
    /// Nanoseconds between the records of a batch.
    gap: i64,
    /// Nanoseconds between the instants that records carry, where they are not those of sending.
    history: Option<i64>,
}

/// One place in a round.
#[derive(Debug, Clone)]
struct Member {
    shape: Shape,
    /// How many members of its stream come before it.
    rank: u64,
}

impl Plan {
    /// The plan of a load.
    pub fn new(load: &Load) -> Result<Self, PlanError> {
        let schedule = Schedule::new(load.rate)?;
        let known = || load.shapes.services.iter().map(|service| service.name.as_str());
        for name in &load.services {
            let there = load
                .shapes
                .services
                .iter()
                .any(|service| service.name == *name || service.key() == *name);
            if !there {
                return Err(PlanError::Service {
                    name: name.clone(),
                    known: known().collect::<Vec<_>>().join(", "),
                });
            }
        }
        let streams: Vec<Stream> = streams(&load.shapes, &load.services, load.seed)
            .into_iter()
            .filter(|stream| load.kinds.is_empty() || load.kinds.contains(&stream.kind))
            .collect();
        if streams.is_empty() {
            return Err(PlanError::Nobody);
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rate is positive and at most 1e9"
        )]
        let a_second = (load.rate * LONGEST_BATCH) as usize;
        let batch = load.batch.min(a_second.max(1)).max(1);
        let connections = load.connections.clamp(1, streams.len());
        let groups = FEWEST_GROUPS.div_ceil(connections) * connections;
        let mut random = load.seed.derive("logs").stream("shapes");
        let mut members = Vec::with_capacity(groups * batch);
        let mut per_round = vec![0; streams.len()];
        for group in 0..groups {
            let mine: Vec<usize> = (group % connections..streams.len())
                .step_by(connections)
                .collect();
            let total: f64 = mine.iter().map(|&number| streams[number].weight).sum();
            let mut drawn: Vec<usize> = (0..batch)
                .map(|_| {
                    let mut rest = random.random::<f64>() * total;
                    let found = mine.iter().copied().find(|&number| {
                        rest -= streams[number].weight;
                        rest < 0.0
                    });
                    found.unwrap_or(mine[0])
                })
                .collect();
            // Streams together, as Loki wants them and as a shipper reads files.
            drawn.sort_unstable();
            for number in drawn {
                members.push(Member {
                    shape: streams[number].draw(number, &mut random),
                    rank: per_round[number],
                });
                per_round[number] += 1;
            }
        }
        let records = match load.count {
            Some(count) => count,
            None => schedule.before(load.duration),
        };
        let nanoseconds = |duration: Duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
        Ok(Self {
            schedule,
            names: Arc::new(streams.iter().map(|stream| stream.name().into()).collect()),
            streams: Arc::new(streams),
            members: Arc::new(members),
            per_round: Arc::new(per_round),
            batch,
            connections,
            records,
            seed: load.seed.derive("logs").0,
            gap: nanoseconds(schedule.gap()),
            history: load
                .history
                .map(|over| nanoseconds(over) / i64::try_from(records.max(1)).unwrap_or(i64::MAX)),
        })
    }

    /// The streams.
    #[must_use]
    pub fn streams(&self) -> &[Stream] {
        &self.streams
    }

    /// Number of records.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Number of connections: no more than streams.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections
    }

    /// Number of batches a round.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.members.len() / self.batch
    }

    /// A batch; none where the plan is over before it.
    #[must_use]
    pub fn slot(&self, round: u64, group: usize) -> Option<Slot> {
        let first = round * self.members.len() as u64 + (group * self.batch) as u64;
        let left = self.records.checked_sub(first).filter(|left| *left > 0)?;
        Some(Slot {
            round,
            group,
            first,
            count: usize::try_from(left).map_or(self.batch, |left| left.min(self.batch)),
        })
    }

    /// Shapes of a batch, with their streams.
    pub fn shapes(&self, slot: Slot) -> impl Iterator<Item = (&Stream, &Shape)> {
        let from = slot.group * self.batch;
        self.members[from..from + slot.count]
            .iter()
            .map(|member| (&self.streams[member.shape.stream], &member.shape))
    }

    /// When a batch is sent, after the start: at the instant of its last record.
    #[must_use]
    pub fn instant(&self, slot: Slot) -> Duration {
        self.schedule
            .instant(slot.first + (slot.count as u64).saturating_sub(1))
    }

    /// Unix nanoseconds of a batch's first record, and nanoseconds to the next.
    fn times(&self, slot: Slot, start: i64) -> (i64, i64) {
        let from = i64::try_from(slot.first).unwrap_or(i64::MAX);
        if let Some(gap) = self.history {
            // The end of the history is the start of sending.
            let records = i64::try_from(self.records).unwrap_or(i64::MAX);
            (start.saturating_sub((records - from).saturating_mul(gap)), gap)
        } else {
            let after = i64::try_from(self.schedule.instant(slot.first).as_nanos()).unwrap_or(i64::MAX);
            (start.saturating_add(after), self.gap)
        }
    }

    /// What the records of a batch are stamped with, for a load that starts at these unix nanoseconds.
    pub fn stamps(&self, slot: Slot, start: i64) -> impl Fn(usize) -> Stamp {
        let (at, gap) = self.times(slot, start);
        move |index| {
            let member = &self.members[slot.group * self.batch + index];
            let id = mix(self.seed ^ (slot.first + index as u64));
            Stamp {
                at: at.saturating_add(gap.saturating_mul(i64::try_from(index).unwrap_or(i64::MAX))),
                id,
                sequence: slot.round * self.per_round[member.shape.stream] + member.rank,
                trace: u128::from(mix(id)) << 64 | u128::from(mix(!id)),
                span: mix(id ^ self.seed),
            }
        }
    }
}

/// What was acknowledged of a plan, and what is not known.
#[derive(Debug, Clone)]
pub struct Sent {
    plan: Plan,
    start: i64,
    form: Form,
    groups: Vec<Tracks>,
    /// Numbers of records that were refused one by one.
    refused: HashSet<u64>,
}

#[derive(Debug, Clone, Default)]
struct Tracks {
    /// Rounds that were acknowledged, neighbours put together.
    acknowledged: Vec<Range<u64>>,
    /// Rounds of which some may have been stored.
    uncertain: Vec<Range<u64>>,
}

fn extend(ranges: &mut Vec<Range<u64>>, round: u64) {
    match ranges.last_mut() {
        Some(last) if last.end == round => last.end += 1,
        _ => ranges.push(round..round + 1),
    }
}

impl Sent {
    /// Nothing of the plan, started at these unix nanoseconds.
    #[must_use]
    pub fn new(plan: Plan, start: i64, form: Form) -> Self {
        Self {
            groups: vec![Tracks::default(); plan.groups()],
            plan,
            start,
            form,
            refused: HashSet::new(),
        }
    }

    /// The batch was acknowledged; batches of a group come in order.
    pub fn acknowledge(&mut self, slot: Slot) {
        if let Some(tracks) = self.groups.get_mut(slot.group) {
            extend(&mut tracks.acknowledged, slot.round);
        }
    }

    /// Nobody knows what became of the batch's records.
    pub fn doubt(&mut self, slot: Slot) {
        if let Some(tracks) = self.groups.get_mut(slot.group) {
            extend(&mut tracks.uncertain, slot.round);
        }
    }

    /// The record was refused, alone, in a batch that was acknowledged.
    pub fn refuse(&mut self, number: u64) {
        self.refused.insert(number);
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Acknowledged records, stream by stream, in the order of their sequence numbers.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        self.collect(|tracks| &tracks.acknowledged)
    }

    /// Records of requests that were refused as a whole or had no answer: some may have been stored.
    #[must_use]
    pub fn uncertain(&self) -> Vec<Record> {
        self.collect(|tracks| &tracks.uncertain)
    }

    fn collect(&self, which: impl Fn(&Tracks) -> &Vec<Range<u64>>) -> Vec<Record> {
        let mut records = Vec::new();
        self.each(which, |record| records.push(record));
        records
            .sort_unstable_by(|one, other| (&one.stream, one.sequence).cmp(&(&other.stream, other.sequence)));
        records
    }

    /// Calls `each` with every acknowledged record, in any order.
    pub(super) fn each_acknowledged(&self, each: impl FnMut(Record)) {
        self.each(|tracks| &tracks.acknowledged, each);
    }

    fn each(&self, which: impl Fn(&Tracks) -> &Vec<Range<u64>>, mut each: impl FnMut(Record)) {
        for (group, tracks) in self.groups.iter().enumerate() {
            let ranges = which(tracks);
            if ranges.is_empty() {
                continue;
            }
            for index in 0..self.plan.batch {
                let shape = &self.plan.members[group * self.plan.batch + index].shape;
                let stream = &self.plan.streams[shape.stream];
                let mut single = match self.form {
                    Form::Line => shape.line(stream),
                    Form::Document => shape.document(stream),
                }
                .single();
                for round in ranges.iter().cloned().flatten() {
                    let Some(slot) = self.plan.slot(round, group).filter(|slot| index < slot.count) else {
                        continue;
                    };
                    if self.refused.contains(&(slot.first + index as u64)) {
                        continue;
                    }
                    let stamp = self.plan.stamps(slot, self.start)(index);
                    single.stamp(|_| stamp);
                    each(Record {
                        stream: Arc::clone(&self.plan.names[shape.stream]),
                        sequence: stamp.sequence,
                        id: stamp.id,
                        at: stamp.at,
                        digest: match self.form {
                            Form::Line => digest(single.body()),
                            Form::Document => {
                                serde_json::from_slice(single.body()).map_or(0, |value| digest_json(&value))
                            }
                        },
                    });
                }
            }
        }
    }
}

/// Lines or documents of a batch, for those who lay out requests.
pub(super) fn templates(plan: &Plan, slot: Slot, form: Form) -> Vec<(Kind, usize, Template)> {
    plan.shapes(slot)
        .map(|(stream, shape)| {
            let template = match form {
                Form::Line => shape.line(stream),
                Form::Document => shape.document(stream),
            };
            (stream.kind, shape.stream, template)
        })
        .collect()
}
