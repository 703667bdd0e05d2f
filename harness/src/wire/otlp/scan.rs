//! Reading an encoded OTLP request without decoding it: how many items it
//! holds, and where the fields of its spans stand.
//!
//! Traces and logs nest alike (resource 1, scope 2, item 2), so items of
//! either signal are counted by one walk.

/// Why bytes are no protobuf message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// A field goes on beyond the end of its message.
    #[error("the protobuf message is cut off at byte {0}")]
    CutOff(usize),
    /// A varint has more than ten bytes.
    #[error("the varint at byte {0} does not end")]
    Varint(usize),
    /// A wire type that protobuf does not have, or groups, which OTLP does not have.
    #[error("the field at byte {0} has wire type {1}, which OTLP does not use")]
    WireType(usize, u8),
}

/// A part of the message, by its first byte and the one after its last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// First byte.
    pub from: usize,
    /// The byte after the last.
    pub to: usize,
}

impl Part {
    /// Number of bytes.
    #[must_use]
    pub fn len(self) -> usize {
        self.to - self.from
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.from == self.to
    }

    /// Its bytes of the message.
    #[must_use]
    pub fn of(self, message: &[u8]) -> &[u8] {
        message.get(self.from..self.to).unwrap_or_default()
    }
}

/// One field of a message: its number, and its content without tag and length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Field number.
    pub number: u64,
    /// Where its content stands.
    pub content: Part,
}

/// The fields of the message that stands in `part` of `bytes`.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
    end: usize,
}

/// The fields of a message inside `bytes`.
#[must_use]
pub fn fields(bytes: &[u8], part: Part) -> Fields<'_> {
    Fields {
        bytes,
        at: part.from,
        end: part.to.min(bytes.len()),
    }
}

impl Fields<'_> {
    fn varint(&mut self) -> Result<u64, ScanError> {
        let begin = self.at;
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = *self
                .bytes
                .get(self.at)
                .filter(|_| self.at < self.end)
                .ok_or(ScanError::CutOff(begin))?;
            self.at += 1;
            value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or_default();
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(ScanError::Varint(begin))
    }

    fn read(&mut self) -> Result<Field, ScanError> {
        let begin = self.at;
        let tag = self.varint()?;
        let from = self.at;
        let to = match tag & 7 {
            0 => {
                self.varint()?;
                self.at
            }
            1 => from + 8,
            5 => from + 4,
            2 => {
                let length = self.varint()?;
                let length = usize::try_from(length).map_err(|_| ScanError::CutOff(begin))?;
                let content = Part {
                    from: self.at,
                    to: self.at.saturating_add(length),
                };
                return self.field(begin, tag, content);
            }
            other => {
                return Err(ScanError::WireType(
                    begin,
                    u8::try_from(other).unwrap_or_default(),
                ));
            }
        };
        self.field(begin, tag, Part { from, to })
    }

    fn field(&mut self, begin: usize, tag: u64, content: Part) -> Result<Field, ScanError> {
        if content.to > self.end {
            return Err(ScanError::CutOff(begin));
        }
        self.at = content.to;
        Ok(Field {
            number: tag >> 3,
            content,
        })
    }
}

impl Iterator for Fields<'_> {
    type Item = Result<Field, ScanError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            // After a mistake nothing that follows can be trusted.
            self.at = self.end;
        }
        Some(field)
    }
}

/// Calls `visit` with the place of every item of a request: spans or log records.
pub fn items(bytes: &[u8], mut visit: impl FnMut(Part) -> Result<(), ScanError>) -> Result<(), ScanError> {
    let whole = Part {
        from: 0,
        to: bytes.len(),
    };
    for resource in fields(bytes, whole) {
        let resource = resource?;
        if resource.number != 1 {
            continue;
        }
        for scope in fields(bytes, resource.content) {
            let scope = scope?;
            if scope.number != 2 {
                continue;
            }
            for item in fields(bytes, scope.content) {
                let item = item?;
                if item.number == 2 {
                    visit(item.content)?;
                }
            }
        }
    }
    Ok(())
}

/// Number of items of a request: spans or log records.
pub fn count(bytes: &[u8]) -> Result<u64, ScanError> {
    let mut count = 0;
    items(bytes, |_| {
        count += 1;
        Ok(())
    })?;
    Ok(count)
}

/// Where the fields of a span stand that differ from sending to sending.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpanPlaces {
    /// Trace ID, 16 bytes.
    pub trace_id: Option<Part>,
    /// Span ID, 8 bytes.
    pub span_id: Option<Part>,
    /// ID of the parent, 8 bytes; none for a root.
    pub parent_span_id: Option<Part>,
    /// Start, 8 bytes little-endian.
    pub start: Option<Part>,
    /// End, 8 bytes little-endian.
    pub end: Option<Part>,
    /// Instants of the events, 8 bytes little-endian each.
    pub events: Vec<Part>,
    /// Trace ID and span ID of each link.
    pub links: Vec<(Part, Part)>,
}

/// The places of one span's fields.
pub fn span(bytes: &[u8], part: Part) -> Result<SpanPlaces, ScanError> {
    let mut places = SpanPlaces::default();
    for field in fields(bytes, part) {
        let Field { number, content } = field?;
        match number {
            1 => places.trace_id = Some(content),
            2 => places.span_id = Some(content),
            4 if !content.is_empty() => places.parent_span_id = Some(content),
            7 => places.start = Some(content),
            8 => places.end = Some(content),
            11 => {
                for field in fields(bytes, content) {
                    let field = field?;
                    if field.number == 1 {
                        places.events.push(field.content);
                    }
                }
            }
            13 => {
                let (mut trace, mut span) = (None, None);
                for field in fields(bytes, content) {
                    let field = field?;
                    match field.number {
                        1 => trace = Some(field.content),
                        2 => span = Some(field.content),
                        _ => {}
                    }
                }
                if let (Some(trace), Some(span)) = (trace, span) {
                    places.links.push((trace, span));
                }
            }
            _ => {}
        }
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::super::traces::{Event, ExportTraces, Link, ResourceSpans, ScopeSpans, Span};
    use super::super::{KeyValue, Resource};
    use super::*;
    use proptest::prelude::*;
    use prost::Message;

    fn a_span(number: u8, child: bool, events: usize, links: usize) -> Span {
        Span {
            trace_id: vec![number; 16],
            span_id: vec![number.wrapping_add(1); 8],
            parent_span_id: if child { vec![9; 8] } else { Vec::new() },
            name: "GET /".into(),
            start_time_unix_nano: u64::from(number) + 1,
            end_time_unix_nano: u64::from(number) + 2,
            attributes: vec![KeyValue::of("a", "b"), KeyValue::of("n", 300)],
            events: (1..=events as u64)
                .map(|at| Event {
                    time_unix_nano: at,
                    name: "e".into(),
                    ..Event::default()
                })
                .collect(),
            links: (0..links)
                .map(|_| Link {
                    trace_id: vec![1; 16],
                    span_id: vec![2; 8],
                    ..Link::default()
                })
                .collect(),
            ..Span::default()
        }
    }

    fn request(spans: &[Span], across: usize) -> ExportTraces {
        ExportTraces {
            resource_spans: spans
                .chunks(across.max(1))
                .map(|spans| ResourceSpans {
                    resource: Some(Resource {
                        attributes: vec![KeyValue::of("service.name", "s")],
                    }),
                    scope_spans: vec![ScopeSpans {
                        scope: None,
                        spans: spans.to_vec(),
                    }],
                })
                .collect(),
        }
    }

    fn spans() -> impl Strategy<Value = Vec<Span>> {
        proptest::collection::vec(
            (any::<u8>(), any::<bool>(), 0usize..3, 0usize..3)
                .prop_map(|(number, child, events, links)| a_span(number, child, events, links)),
            0..20,
        )
    }

    proptest! {
        /// forall requests: the walk finds the decoded spans, in order, each field at its place
        #[test]
        fn places_are_where_the_fields_are(spans in spans(), across in 1usize..6) {
            let bytes = request(&spans, across).encode_to_vec();
            prop_assert_eq!(count(&bytes).unwrap(), spans.len() as u64);
            let mut found = Vec::new();
            items(&bytes, |part| { found.push(span(&bytes, part)?); Ok(()) }).unwrap();
            for (places, span) in found.iter().zip(&spans) {
                let at = |part: Option<Part>| part.unwrap().of(&bytes).to_vec();
                prop_assert_eq!(&at(places.trace_id), &span.trace_id);
                prop_assert_eq!(&at(places.span_id), &span.span_id);
                prop_assert_eq!(places.parent_span_id.is_some(), !span.parent_span_id.is_empty());
                prop_assert_eq!(at(places.start), span.start_time_unix_nano.to_le_bytes());
                prop_assert_eq!(at(places.end), span.end_time_unix_nano.to_le_bytes());
                prop_assert_eq!(places.events.len(), span.events.len());
                prop_assert_eq!(places.links.len(), span.links.len());
            }
        }

        /// forall bytes: the walk ends, with a count or a reason
        #[test]
        fn any_bytes_are_walked_to_an_end(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = count(&bytes);
        }

        /// forall requests, cuts inside a field: the cut is noticed or leaves whole spans only
        #[test]
        fn a_cut_request_never_counts_more(spans in spans(), at in any::<prop::sample::Index>()) {
            let bytes = request(&spans, 3).encode_to_vec();
            let cut = &bytes[..at.index(bytes.len() + 1)];
            if let Ok(counted) = count(cut) {
                prop_assert!(counted <= spans.len() as u64);
            }
        }
    }

    #[test]
    fn groups_are_refused() {
        assert_eq!(count(&[0x0b]), Err(ScanError::WireType(0, 3)));
    }
}
