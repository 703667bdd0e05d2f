//! Which traces the played services make: operations, what they call, how long
//! they take and how they fail, from the shapes.
//!
//! A trace's shape is drawn from a seeded stream; everything about it is
//! decided here but its IDs and the instant at which it happens. All instants
//! are whole microseconds, because Jaeger stores no finer ones.

use indexmap::IndexMap;
use rand_chacha::rand_core::Rng;

use crate::shapes::{Call, Operation, OperationKind, Shapes};
use crate::units::Ratio;
use crate::wire::otlp::traces::SpanKind;
use crate::wire::otlp::{AnyValue, KeyValue};

/// Attribute that every span has: the service that its trace starts in. The
/// deploy tree's Collector chooses the sampling rate by it.
pub const ORIGIN: &str = "llmoptimizer.trace.origin";
/// Attribute of a span that took the slow path.
pub const SLOW: &str = "llmoptimizer.slow";
/// How much longer the slow path takes.
const SLOW_FACTOR: f64 = 20.0;
/// Spread of the time of calls without spans of their own.
const CALL_SPREAD: f64 = 0.4;
/// Time that a request is on its way, each way, in microseconds.
const ON_THE_WAY: u64 = 100;

/// Why the shapes make no traces.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopologyError {
    /// A call leads nowhere.
    #[error(
        "{caller} calls {called}, which no service in shapes.yaml has under `traces`: add it or correct the call"
    )]
    Unknown {
        /// Service and operation of the caller.
        caller: String,
        /// Service and operation that is called.
        called: String,
    },
    /// An operation calls itself, over whatever others.
    #[error("{0} calls itself, so that its traces would not end: leave one of the calls out")]
    Endless(String),
    /// A number is none.
    #[error("{operation}: {what} must be {must}")]
    Number {
        /// Service and operation.
        operation: String,
        /// Name of the field.
        what: &'static str,
        /// What it has to be.
        must: &'static str,
    },
    /// No operation starts traces.
    #[error("no operation in shapes.yaml starts traces: give one of them `starts`")]
    NoStart,
    /// A service that was asked for starts none.
    #[error("no trace starts in {asked}; traces start in {known}")]
    NoSuchStart {
        /// The service.
        asked: String,
        /// Those that start some.
        known: String,
    },
}

/// A service as its resource says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracedService {
    /// `service.name`.
    pub name: String,
    /// `service.namespace`.
    pub namespace: String,
    /// Number of its instances.
    pub instances: u32,
}

/// The services and operations that make traces.
#[derive(Debug, Clone)]
pub struct Topology {
    services: Vec<TracedService>,
    nodes: Vec<Node>,
}

#[derive(Debug, Clone)]
struct Node {
    service: usize,
    operation: Operation,
    calls: Vec<(Option<usize>, Call)>,
}

/// A trace but for its IDs and its instant.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceShape {
    /// Name of the service that it starts in.
    pub origin: String,
    /// Its spans, parents before children; the first is the root.
    pub spans: Vec<SpanShape>,
}

/// A span but for its IDs and its instant.
#[derive(Debug, Clone, PartialEq)]
pub struct SpanShape {
    /// Number of its parent in the trace.
    pub parent: Option<u32>,
    /// Number of its service in [`Topology::services`].
    pub service: usize,
    /// Name.
    pub name: String,
    /// Kind.
    pub kind: SpanKind,
    /// Start, in microseconds after the trace's.
    pub start: u64,
    /// End, in microseconds after the trace's start.
    pub end: u64,
    /// What went wrong, where something did.
    pub error: Option<String>,
    /// Attributes.
    pub attributes: Vec<KeyValue>,
    /// Events: microseconds after the trace's start, name, attributes.
    pub events: Vec<(u64, String, Vec<KeyValue>)>,
    /// Whether it links to the root of the trace before it in its batch.
    pub linked: bool,
}

impl TraceShape {
    /// Microseconds from its start to its end.
    #[must_use]
    pub fn duration(&self) -> u64 {
        self.spans.iter().map(|span| span.end).max().unwrap_or_default()
    }
}

impl Topology {
    /// The topology that the shapes describe.
    pub fn new(shapes: &Shapes) -> Result<Self, TopologyError> {
        let mut services = Vec::new();
        let mut nodes: Vec<Node> = Vec::new();
        let mut places: IndexMap<(&str, &str), usize> = IndexMap::new();
        for shape in shapes.services.iter().filter(|shape| !shape.traces.is_empty()) {
            for operation in &shape.traces {
                check(&shape.name, operation)?;
                places.insert((&shape.name, &operation.operation), nodes.len());
                nodes.push(Node {
                    service: services.len(),
                    operation: operation.clone(),
                    calls: Vec::new(),
                });
            }
            services.push(TracedService {
                name: shape.name.clone(),
                namespace: shape.namespace.clone(),
                instances: shape.instances.max(1),
            });
        }
        for node in &mut nodes {
            for call in &node.operation.calls {
                let target = match &call.service {
                    None => None,
                    Some(service) => {
                        let found = places.get(&(service.as_str(), call.operation.as_str())).copied();
                        Some(found.ok_or_else(|| TopologyError::Unknown {
                            caller: format!("{} {}", services[node.service].name, node.operation.operation),
                            called: format!("{service} {}", call.operation),
                        })?)
                    }
                };
                node.calls.push((target, call.clone()));
            }
        }
        let topology = Self { services, nodes };
        for node in 0..topology.nodes.len() {
            topology.check_end(node, &mut Vec::new())?;
        }
        if topology.nodes.iter().all(|node| node.operation.starts == 0) {
            return Err(TopologyError::NoStart);
        }
        Ok(topology)
    }

    /// The services.
    #[must_use]
    pub fn services(&self) -> &[TracedService] {
        &self.services
    }

    /// Names of the services that traces start in.
    #[must_use]
    pub fn origins(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for node in self.nodes.iter().filter(|node| node.operation.starts > 0) {
            let name = self.services[node.service].name.as_str();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// The starts of traces in the given services, or in all of them where none is given.
    pub fn starts(&self, origins: &[String]) -> Result<Starts, TopologyError> {
        let known = self.origins();
        if let Some(asked) = origins.iter().find(|asked| !known.contains(&asked.as_str())) {
            return Err(TopologyError::NoSuchStart {
                asked: asked.clone(),
                known: known.join(", "),
            });
        }
        let mut total = 0;
        let mut until = Vec::new();
        for (number, node) in self.nodes.iter().enumerate() {
            let name = &self.services[node.service].name;
            if node.operation.starts > 0 && (origins.is_empty() || origins.contains(name)) {
                total += u64::from(node.operation.starts);
                until.push((total, number));
            }
        }
        Ok(Starts { until })
    }

    /// Draws a trace.
    pub fn draw(&self, starts: &Starts, rng: &mut impl Rng) -> TraceShape {
        let total = starts.until.last().map_or(1, |(total, _)| *total);
        let drawn = rng.next_u64() % total;
        let node = starts
            .until
            .iter()
            .find(|(until, _)| drawn < *until)
            .map_or(0, |(_, node)| *node);
        let origin = self.services[self.nodes[node].service].name.clone();
        let mut spans = Vec::new();
        self.run(node, None, 0, &origin, rng, &mut spans);
        TraceShape { origin, spans }
    }

    fn check_end(&self, node: usize, path: &mut Vec<usize>) -> Result<(), TopologyError> {
        if path.contains(&node) {
            let node = &self.nodes[node];
            return Err(TopologyError::Endless(format!(
                "{} {}",
                self.services[node.service].name, node.operation.operation
            )));
        }
        path.push(node);
        for (target, _) in &self.nodes[node].calls {
            if let Some(target) = target {
                self.check_end(*target, path)?;
            }
        }
        path.pop();
        Ok(())
    }

    /// Runs an operation from `start` on; gives its end and what went wrong.
    fn run(
        &self,
        number: usize,
        parent: Option<u32>,
        start: u64,
        origin: &str,
        rng: &mut impl Rng,
        spans: &mut Vec<SpanShape>,
    ) -> (u64, Option<String>) {
        let node = &self.nodes[number];
        let operation = &node.operation;
        let own = span_number(spans);
        let kind = match operation.kind {
            OperationKind::Server => SpanKind::Server,
            OperationKind::Consumer => SpanKind::Consumer,
            OperationKind::Internal => SpanKind::Internal,
        };
        spans.push(SpanShape {
            parent,
            service: node.service,
            name: operation.operation.clone(),
            kind,
            start,
            end: start,
            error: None,
            attributes: attributes(origin, &operation.attributes),
            events: Vec::new(),
            linked: parent.is_none() && operation.kind == OperationKind::Consumer,
        });
        let slow = chance(rng, operation.slow);
        let factor = if slow { SLOW_FACTOR } else { 1.0 };
        let time = microseconds(log_normal(rng, operation.median, operation.spread) * factor);
        // Its own time is spread evenly around its calls.
        let piece = (time / (operation.calls.len() as u64 + 1)).max(1);
        let mut now = start + piece;
        let mut error = chance(rng, operation.errors).then(|| format!("{} failed", operation.operation));
        for (target, call) in &node.calls {
            if call.share.is_some() && !chance(rng, call.share) {
                continue;
            }
            let (end, failed) = self.call(node.service, *target, call, (own, now), origin, rng, spans);
            now = end + piece;
            if failed.is_some() {
                error = failed;
                break;
            }
        }
        if let Some(span) = spans.get_mut(own as usize) {
            span.end = now;
            if operation.attributes.contains_key("http.request.method") {
                let status: i64 = if error.is_some() { 500 } else { 200 };
                span.attributes
                    .push(KeyValue::of("http.response.status_code", status));
            }
            if slow {
                span.attributes.push(KeyValue::of(SLOW, true));
            }
            if let Some(words) = &error {
                let about = vec![
                    KeyValue::of("exception.type", "UpstreamError"),
                    KeyValue::of("exception.message", words.as_str()),
                ];
                span.events.push((now - 1, "exception".to_owned(), about));
            }
            span.error.clone_from(&error);
        }
        (now, error)
    }

    /// Makes a call at an instant; gives its end and what went wrong.
    #[expect(
        clippy::too_many_arguments,
        reason = "the state of the walk, which has no other home"
    )]
    fn call(
        &self,
        service: usize,
        target: Option<usize>,
        call: &Call,
        (parent, now): (u32, u64),
        origin: &str,
        rng: &mut impl Rng,
        spans: &mut Vec<SpanShape>,
    ) -> (u64, Option<String>) {
        let called = target.map(|target| &self.nodes[target]);
        if let (Some(target), Some(called)) = (target, called)
            && called.operation.kind == OperationKind::Internal
        {
            // Inside the service there is no request, so there is no span of one.
            return self.run(target, Some(parent), now, origin, rng, spans);
        }
        let own = span_number(spans);
        let kind = match called {
            Some(called) if called.operation.kind == OperationKind::Consumer => SpanKind::Producer,
            _ => SpanKind::Client,
        };
        let mut about = attributes(origin, &call.attributes);
        if let Some(called) = called {
            about.push(KeyValue::of(
                "server.address",
                self.services[called.service].name.as_str(),
            ));
        }
        spans.push(SpanShape {
            parent: Some(parent),
            service,
            name: call.operation.clone(),
            kind,
            start: now,
            end: now,
            error: None,
            attributes: about,
            events: Vec::new(),
            linked: false,
        });
        let (end, error) = if let Some(target) = target {
            let (end, error) = self.run(target, Some(own), now + ON_THE_WAY, origin, rng, spans);
            (end + ON_THE_WAY, error)
        } else {
            let time = log_normal(rng, call.median.unwrap_or(0.001), CALL_SPREAD);
            (now + microseconds(time), None)
        };
        if let Some(span) = spans.get_mut(own as usize) {
            span.end = end;
            span.error.clone_from(&error);
        }
        (end, error)
    }
}

/// Where traces may start, drawn by how often they do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Starts {
    /// Running total of `starts`, and the operation it ends with.
    until: Vec<(u64, usize)>,
}

fn check(service: &str, operation: &Operation) -> Result<(), TopologyError> {
    let wrong = |what, must| TopologyError::Number {
        operation: format!("{service} {}", operation.operation),
        what,
        must,
    };
    if !(operation.median > 0.0 && operation.median < 3600.0) {
        return Err(wrong("median", "between 0 and 3600 seconds"));
    }
    if !(0.0..=3.0).contains(&operation.spread) {
        return Err(wrong("spread", "between 0 and 3"));
    }
    for call in &operation.calls {
        if call.service.is_some() == call.median.is_some() {
            return Err(wrong(
                "each of `calls`",
                "of a service, or have a `median` of its own, and not both",
            ));
        }
    }
    Ok(())
}

fn attributes(origin: &str, own: &IndexMap<String, String>) -> Vec<KeyValue> {
    let own = own
        .iter()
        .map(|(key, value)| KeyValue::of(key.as_str(), AnyValue::from(value.as_str())));
    std::iter::once(KeyValue::of(ORIGIN, origin)).chain(own).collect()
}

fn span_number(spans: &[SpanShape]) -> u32 {
    u32::try_from(spans.len()).unwrap_or(u32::MAX)
}

/// A number drawn evenly from 0 (included) to 1.
fn even(rng: &mut impl Rng) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exact in a double")]
    let number = (rng.next_u64() >> 11) as f64;
    number / 9_007_199_254_740_992.0
}

/// Whether something of a share happens; nothing without one. Always draws, so that a changed share
/// changes nothing else.
fn chance(rng: &mut impl Rng, share: Option<Ratio>) -> bool {
    even(rng) < share.map_or(0.0, |share| share.0)
}

/// A log-normal number, by the transform of Box and Muller (1958).
fn log_normal(rng: &mut impl Rng, median: f64, spread: f64) -> f64 {
    let (one, two) = (1.0 - even(rng), even(rng));
    let normal = (-2.0 * one.ln()).sqrt() * (std::f64::consts::TAU * two).cos();
    median * (spread * normal).exp()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positive, and below a few hours by the check of the shapes"
)]
fn microseconds(seconds: f64) -> u64 {
    ((seconds * 1e6).round() as u64).max(2)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::seed::Seed;
    use proptest::prelude::*;
    use rstest::rstest;
    use std::path::Path;

    /// The shapes of the fixtures.
    pub(crate) fn fixtures() -> Shapes {
        Shapes::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/shapes.yaml")).unwrap()
    }

    proptest! {
        /// forall seeds: parents come first, children lie inside their parents, and every span names the origin
        #[test]
        fn traces_are_trees_in_time(seed in any::<u64>()) {
            let topology = Topology::new(&fixtures()).unwrap();
            let starts = topology.starts(&[]).unwrap();
            let trace = topology.draw(&starts, &mut Seed(seed).stream("trace"));
            for (number, span) in trace.spans.iter().enumerate() {
                prop_assert_eq!(span.parent.is_none(), number == 0);
                prop_assert!(span.start < span.end);
                if let Some(parent) = span.parent {
                    prop_assert!((parent as usize) < number);
                    let parent = &trace.spans[parent as usize];
                    prop_assert!(parent.start <= span.start && span.end <= parent.end);
                }
                prop_assert_eq!(
                    crate::wire::otlp::text_of(&span.attributes, ORIGIN),
                    Some(trace.origin.as_str())
                );
                for (at, _, _) in &span.events {
                    prop_assert!((span.start..=span.end).contains(at));
                }
            }
            prop_assert_eq!(trace.duration(), trace.spans[0].end);
        }

        /// forall seeds, origins: traces start where they are asked to
        #[test]
        fn traces_start_where_they_are_asked_to(seed in any::<u64>(), which in any::<prop::sample::Index>()) {
            let topology = Topology::new(&fixtures()).unwrap();
            let origins = topology.origins();
            let origin = origins[which.index(origins.len())].to_owned();
            let starts = topology.starts(std::slice::from_ref(&origin)).unwrap();
            prop_assert_eq!(topology.draw(&starts, &mut Seed(seed).stream("t")).origin, origin);
        }
    }

    #[test]
    fn the_fixtures_have_errors_and_slow_paths_and_start_in_the_ml_service() {
        let topology = Topology::new(&fixtures()).unwrap();
        assert!(
            topology.origins().contains(&"ml-service"),
            "{:?}",
            topology.origins()
        );
        let starts = topology.starts(&[]).unwrap();
        let mut rng = Seed(1).stream("many");
        let traces: Vec<_> = (0..20_000).map(|_| topology.draw(&starts, &mut rng)).collect();
        let share = |holds: &dyn Fn(&TraceShape) -> bool| {
            traces.iter().filter(|trace| holds(trace)).count() * 1000 / traces.len()
        };
        let failed = share(&|trace| trace.spans[0].error.is_some());
        let slow = share(&|trace| {
            trace
                .spans
                .iter()
                .any(|span| span.attributes.iter().any(|pair| pair.key == SLOW))
        });
        assert!((1..20).contains(&failed), "{failed} of 1000 traces fail");
        assert!((5..100).contains(&slow), "{slow} of 1000 traces are slow");
        let used: std::collections::HashSet<usize> = traces
            .iter()
            .flat_map(|trace| trace.spans.iter().map(|span| span.service))
            .collect();
        assert_eq!(used.len(), topology.services().len());
    }

    fn shapes(traces: &str) -> Shapes {
        let text = format!(
            "services:\n- {{name: a, namespace: n, labels: {{}}, ports: {{}}, metrics: [], traces: [{traces}]}}\n"
        );
        Shapes::parse(Path::new("shapes.yaml"), &text).unwrap()
    }

    #[rstest]
    #[case("", "no operation in shapes.yaml starts traces: give one of them `starts`")]
    #[case(
        "{operation: x, median: 1, spread: 0, calls: [{service: b, operation: y}]}",
        "a x calls b y, which no service in shapes.yaml has under `traces`: add it or correct the call"
    )]
    #[case(
        "{operation: x, starts: 1, median: 1, spread: 0, calls: [{service: a, operation: x}]}",
        "a x calls itself, so that its traces would not end: leave one of the calls out"
    )]
    #[case(
        "{operation: x, median: 0, spread: 0}",
        "a x: median must be between 0 and 3600 seconds"
    )]
    #[case(
        "{operation: x, median: 1, spread: 0, calls: [{operation: q}]}",
        "a x: each of `calls` must be of a service, or have a `median` of its own, and not both"
    )]
    fn shapes_that_make_no_traces_are_refused(#[case] traces: &str, #[case] words: &str) {
        assert_eq!(Topology::new(&shapes(traces)).unwrap_err().to_string(), words);
    }
}
