//! Spans as no protocol has them: for comparing what was sent with what was stored.

use std::collections::BTreeMap;
use std::fmt;

/// One span.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Trace id.
    pub trace_id: u128,
    /// Span id.
    pub span_id: u64,
    /// Id of the parent span, none for a root.
    pub parent: Option<u64>,
    /// Name of the service (`service.name` of the resource).
    pub service: String,
    /// Name of the operation.
    pub name: String,
    /// Kind.
    pub kind: SpanKind,
    /// Start, unix microseconds: as exact as Jaeger stores it.
    pub start_micros: u64,
    /// Duration, microseconds.
    pub duration_micros: u64,
    /// Whether its status is an error; no span says that it is none.
    pub error: bool,
    /// Attributes of the span.
    pub attributes: BTreeMap<String, Attribute>,
    /// Attributes of the resource, without `service.name`.
    pub resource: BTreeMap<String, Attribute>,
    /// Events in time order.
    pub events: Vec<SpanEvent>,
}

/// Which side of which exchange a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SpanKind {
    /// Not said.
    Unspecified,
    /// Within a service.
    Internal,
    /// Answers a request.
    Server,
    /// Sends a request.
    Client,
    /// Puts a message.
    Producer,
    /// Takes a message.
    Consumer,
}

/// A value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    /// Text.
    Text(String),
    /// Whole number.
    Integer(i64),
    /// Number.
    Float(f64),
    /// Truth.
    Boolean(bool),
    /// Anything else (bytes, lists, maps), in the server's own words.
    Other(String),
}

/// Something that happened within a span.
#[derive(Debug, Clone, PartialEq)]
pub struct SpanEvent {
    /// When, unix microseconds.
    pub at_micros: u64,
    /// Name.
    pub name: String,
    /// Attributes.
    pub attributes: BTreeMap<String, Attribute>,
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "`{text}`"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Float(number) => write!(f, "{number:?}"),
            Self::Boolean(truth) => write!(f, "{truth}"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

/// How the stored spans of a trace differ from those sent, a sentence each; empty when they are equal.
///
/// Spans are matched by their ids; their order says nothing. What a storage adds on its own is not
/// expected of it: attributes in `added` may be there or not.
#[must_use]
pub fn differences(sent: &[Span], stored: &[Span], added: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let by_id = |spans: &[Span]| {
        let mut ids: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for (index, span) in spans.iter().enumerate() {
            ids.entry(span.span_id).or_default().push(index);
        }
        ids
    };
    let (sent_ids, stored_ids) = (by_id(sent), by_id(stored));
    for (id, indices) in &sent_ids {
        let stored_as = stored_ids.get(id).map_or(&[][..], Vec::as_slice);
        match (indices.as_slice(), stored_as) {
            ([sent_as], [stored_as]) => compare(&sent[*sent_as], &stored[*stored_as], added, &mut found),
            (_, []) => found.push(format!("span {id:016x} is not stored")),
            (sent_as, stored_as) => found.push(format!(
                "span {id:016x} was sent {} times and is stored {} times",
                sent_as.len(),
                stored_as.len()
            )),
        }
    }
    for id in stored_ids.keys().filter(|id| !sent_ids.contains_key(id)) {
        found.push(format!("span {id:016x} is stored and was never sent"));
    }
    found
}

fn compare(sent: &Span, stored: &Span, added: &[&str], found: &mut Vec<String>) {
    let id = sent.span_id;
    let mut note = |what: &str, sent: String, stored: String| {
        if sent != stored {
            found.push(format!(
                "span {id:016x}: {what} was sent as {sent} and is stored as {stored}"
            ));
        }
    };
    let parent = |span: &Span| span.parent.map_or("none".to_owned(), |id| format!("{id:016x}"));
    note(
        "its trace",
        format!("{:032x}", sent.trace_id),
        format!("{:032x}", stored.trace_id),
    );
    note("its parent", parent(sent), parent(stored));
    note("its service", sent.service.clone(), stored.service.clone());
    note("its name", sent.name.clone(), stored.name.clone());
    note(
        "its kind",
        format!("{:?}", sent.kind),
        format!("{:?}", stored.kind),
    );
    note(
        "its start",
        format!("{} us", sent.start_micros),
        format!("{} us", stored.start_micros),
    );
    note(
        "its duration",
        format!("{} us", sent.duration_micros),
        format!("{} us", stored.duration_micros),
    );
    note("its error", sent.error.to_string(), stored.error.to_string());
    let mut maps = |what: &str, sent: &BTreeMap<String, Attribute>, stored: &BTreeMap<String, Attribute>| {
        for name in sent
            .keys()
            .chain(stored.keys().filter(|name| !sent.contains_key(*name)))
        {
            let (before, after) = (sent.get(name), stored.get(name));
            if before.is_none() && added.contains(&name.as_str()) {
                continue;
            }
            if before != after {
                let text =
                    |value: Option<&Attribute>| value.map_or("nothing".to_owned(), ToString::to_string);
                note(&format!("{what} {name}"), text(before), text(after));
            }
        }
    };
    maps("attribute", &sent.attributes, &stored.attributes);
    maps("resource attribute", &sent.resource, &stored.resource);
    for (at, pair) in sent.events.iter().zip(&stored.events).enumerate() {
        maps(
            &format!("attribute of event {at}"),
            &pair.0.attributes,
            &pair.1.attributes,
        );
    }
    let events = |span: &Span| {
        let list: Vec<String> = span
            .events
            .iter()
            .map(|event| format!("{} at {} us", event.name, event.at_micros))
            .collect();
        format!("[{}]", list.join(", "))
    };
    note("its events", events(sent), events(stored));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn span(id: u64) -> Span {
        Span {
            trace_id: 7,
            span_id: id,
            parent: None,
            service: "ml-service".into(),
            name: "predict".into(),
            kind: SpanKind::Server,
            start_micros: 1_795_000_000_000_000,
            duration_micros: 1500,
            error: false,
            attributes: BTreeMap::from([("http.status_code".into(), Attribute::Integer(200))]),
            resource: BTreeMap::new(),
            events: vec![SpanEvent {
                at_micros: 1_795_000_000_000_010,
                name: "cache miss".into(),
                attributes: BTreeMap::new(),
            }],
        }
    }

    proptest! {
        /// forall spans s, permutations p: differences(s, p(s)) is empty
        #[test]
        fn the_order_of_spans_says_nothing(count in 1..20u64, start in 0..20usize) {
            let sent: Vec<Span> = (0..count).map(span).collect();
            let mut stored = sent.clone();
            stored.rotate_left(start % sent.len());
            prop_assert_eq!(differences(&sent, &stored, &[]), Vec::<String>::new());
        }
    }

    #[test]
    fn every_difference_is_said_with_both_sides() {
        let sent = [span(1), span(2), span(3)];
        let mut changed = span(1);
        changed.parent = Some(9);
        changed
            .attributes
            .insert("http.status_code".into(), Attribute::Text("200".into()));
        changed
            .attributes
            .insert("otel.scope.name".into(), Attribute::Text("emit".into()));
        changed.events.clear();
        let stored = [changed, span(2), span(2), span(4)];
        assert_eq!(
            differences(&sent, &stored, &["otel.scope.name"]),
            [
                "span 0000000000000001: its parent was sent as none and is stored as 0000000000000009",
                "span 0000000000000001: attribute http.status_code was sent as 200 and is stored as `200`",
                "span 0000000000000001: its events was sent as [cache miss at 1795000000000010 us] and is stored as []",
                "span 0000000000000002 was sent 1 times and is stored 2 times",
                "span 0000000000000003 is not stored",
                "span 0000000000000004 is stored and was never sent",
            ]
        );
    }
}
