//! What traces were sent, so that what arrived can be held against it.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::digest;
use super::topology::ORIGIN;
use crate::emit::ledger::{Difference, Kept, differences};
use crate::wire::otlp::traces::{ExportTraces, Span};
use crate::wire::otlp::{TraceId, text_of};

/// What is kept of one trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Service that the trace starts in.
    pub origin: String,
    /// Number of spans.
    pub spans: u64,
    /// Sum over all spans of their digests; their order does not matter.
    pub digest: u64,
}

/// Traces by ID.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TraceLedger {
    traces: IndexMap<TraceId, Entry>,
}

impl Kept for Entry {
    fn count(&self) -> u64 {
        self.spans
    }

    fn same(&self, other: &Self) -> bool {
        self == other
    }
}

/// The ledger in one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Number of traces.
    pub traces: u64,
    /// Number of spans.
    pub spans: u64,
    /// Number of traces by the service they start in.
    pub origins: IndexMap<String, u64>,
    /// Sum of all digests.
    pub digest: u64,
}

/// One line of a ledger's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// The trace.
    pub trace_id: TraceId,
    /// Service that it starts in.
    pub origin: String,
    /// Number of spans.
    pub spans: u64,
    /// Sum over all spans of their digests, as 16 hexadecimal digits.
    pub digest: String,
}

impl Line {
    /// The line of an entry.
    #[must_use]
    pub fn of(trace_id: TraceId, entry: &Entry) -> Self {
        Self {
            trace_id,
            origin: entry.origin.clone(),
            spans: entry.spans,
            digest: format!("{:016x}", entry.digest),
        }
    }
}

impl TraceLedger {
    /// Enters spans of one trace.
    pub fn enter(&mut self, trace_id: TraceId, entry: Entry) {
        match self.traces.get_mut(&trace_id) {
            Some(known) => {
                known.spans += entry.spans;
                known.digest = known.digest.wrapping_add(entry.digest);
            }
            None => {
                self.traces.insert(trace_id, entry);
            }
        }
    }

    /// Enters a span as it arrived. A trace ID that is none is entered as all zeros.
    pub fn enter_span(&mut self, service: &str, span: &Span) {
        let trace_id = TraceId::try_from(span.trace_id.as_slice()).unwrap_or(TraceId([0; 16]));
        let origin = text_of(&span.attributes, ORIGIN).unwrap_or_default().to_owned();
        self.enter(
            trace_id,
            Entry {
                origin,
                spans: 1,
                digest: digest::of(service, span),
            },
        );
    }

    /// Enters all spans of a request as it arrived.
    pub fn enter_request(&mut self, request: &ExportTraces) {
        for resource in &request.resource_spans {
            let service = resource
                .resource
                .as_ref()
                .and_then(|resource| text_of(&resource.attributes, "service.name"))
                .unwrap_or_default();
            for span in resource.scope_spans.iter().flat_map(|scope| &scope.spans) {
                self.enter_span(service, span);
            }
        }
    }

    /// Takes in another ledger.
    pub fn enter_all(&mut self, other: &Self) {
        for (trace_id, entry) in &other.traces {
            self.enter(*trace_id, entry.clone());
        }
    }

    /// The traces and what is kept of them, in the order of entering.
    #[must_use]
    pub fn traces(&self) -> &IndexMap<TraceId, Entry> {
        &self.traces
    }

    /// Number of traces.
    #[must_use]
    pub fn len(&self) -> usize {
        self.traces.len()
    }

    /// Whether it has no trace.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.traces.is_empty()
    }

    /// Everything in one line.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let mut origins: IndexMap<String, u64> = IndexMap::new();
        let (mut spans, mut digest) = (0, 0u64);
        for entry in self.traces.values() {
            *origins.entry(entry.origin.clone()).or_default() += 1;
            spans += entry.spans;
            digest = digest.wrapping_add(entry.digest);
        }
        origins.sort_unstable_keys();
        Summary {
            traces: self.traces.len() as u64,
            spans,
            origins,
            digest,
        }
    }

    /// The part of it that `wanted` says yes to, for example those traces that a sampler keeps.
    #[must_use]
    pub fn only(&self, wanted: impl Fn(TraceId, &Entry) -> bool) -> Self {
        Self {
            traces: self
                .traces
                .iter()
                .filter(|(id, entry)| wanted(**id, entry))
                .map(|(id, entry)| (*id, entry.clone()))
                .collect(),
        }
    }

    /// Differences of what arrived, by trace: those sent in the order of sending, then the unexpected.
    #[must_use]
    pub fn compare(&self, arrived: &Self) -> IndexMap<TraceId, Difference<Entry>> {
        differences(&self.traces, &arrived.traces)
    }
}
