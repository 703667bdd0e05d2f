//! Records that are encoded once and stamped many times.
//!
//! What changes between two sendings of a log record (its instant, identifier,
//! sequence number and trace) has a fixed width in every format, so a request
//! is laid out once with places for these fields, and sending it again is
//! writing into the places. Lengths that formats put before a record are known
//! when it is laid out.

use jiff::Timestamp;

/// Nanoseconds in a second.
const SECOND: i64 = 1_000_000_000;
/// First unix second of the year 10000, which four digits do not hold.
const YEAR_10000: i64 = 253_402_300_800;
const HEX: &[u8; 16] = b"0123456789abcdef";

/// A field that is stamped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// The instant as RFC 3339 in UTC with nine decimals, `2026-08-01T10:20:30.123456789Z`.
    Time,
    /// The identifier as 16 hexadecimal digits.
    Id,
    /// The sequence number, right-aligned in twelve places: JSON allows the spaces before a number.
    Sequence,
    /// The trace's identifier as 32 hexadecimal digits.
    TraceId,
    /// The span's identifier as 16 hexadecimal digits.
    SpanId,
    /// The instant in unix nanoseconds, eight bytes, the lowest first (protobuf `fixed64`).
    TimeFixed,
    /// The instant as the fields of a `google.protobuf.Timestamp`, each a varint of five bytes.
    TimeProtobuf,
    /// The sixteen bytes of the trace's identifier.
    TraceIdBytes,
    /// The eight bytes of the span's identifier.
    SpanIdBytes,
}

impl Field {
    /// Number of bytes.
    #[must_use]
    pub const fn width(self) -> usize {
        match self {
            Self::Time => 30,
            Self::Id | Self::SpanId | Self::TraceIdBytes => 16,
            Self::Sequence | Self::TimeProtobuf => 12,
            Self::TraceId => 32,
            Self::TimeFixed | Self::SpanIdBytes => 8,
        }
    }
}

/// What one record is stamped with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Its instant in unix nanoseconds; those before 1970 are written as 1970, those after 9999 as its end.
    pub at: i64,
    /// Its identifier.
    pub id: u64,
    /// Its place in its stream, from 0; beyond twelve digits the lowest twelve are written.
    pub sequence: u64,
    /// Identifier of the trace that it belongs to.
    pub trace: u128,
    /// Identifier of the span that it belongs to.
    pub span: u64,
}

/// Bytes with places for fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Template {
    bytes: Vec<u8>,
    places: Vec<(usize, Field)>,
}

impl Template {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Adds bytes as they are.
    pub fn push(&mut self, bytes: impl AsRef<[u8]>) {
        self.bytes.extend_from_slice(bytes.as_ref());
    }

    /// Adds a place for a field.
    pub fn field(&mut self, field: Field) {
        self.places.push((self.bytes.len(), field));
        self.bytes.resize(self.bytes.len() + field.width(), b'0');
    }

    /// Adds all of another template.
    pub fn append(&mut self, other: &Self) {
        let from = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        self.places
            .extend(other.places.iter().map(|(at, field)| (from + at, *field)));
    }

    /// Adds a protobuf varint.
    pub fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.bytes.push(value.to_le_bytes()[0]);
    }

    /// Adds a protobuf field of wire type 2: its number, the length and the content.
    pub fn message(&mut self, number: u8, content: &Self) {
        self.varint(u64::from(number) << 3 | 2);
        self.varint(content.len() as u64);
        self.append(content);
    }

    /// Adds a protobuf string, where it is not empty.
    pub fn string(&mut self, number: u8, text: &str) {
        if !text.is_empty() {
            let mut content = Self::new();
            content.push(text);
            self.message(number, &content);
        }
    }

    /// Cuts into pieces of at most `longest` bytes; a field stays whole, and the pieces are one at least.
    #[must_use]
    pub fn pieces(&self, longest: usize) -> Vec<Self> {
        let mut pieces = Vec::new();
        let mut from = 0;
        loop {
            let mut to = (from + longest.max(1)).min(self.bytes.len());
            if let Some((at, field)) = self
                .places
                .iter()
                .find(|(at, field)| *at < to && to < at + field.width())
            {
                to = if *at > from { *at } else { at + field.width() };
            }
            pieces.push(Self {
                bytes: self.bytes[from..to].to_vec(),
                places: self
                    .places
                    .iter()
                    .filter(|(at, _)| (from..to).contains(at))
                    .map(|(at, field)| (at - from, *field))
                    .collect(),
            });
            if to == self.bytes.len() {
                return pieces;
            }
            from = to;
        }
    }

    /// The template as a batch of one record.
    #[must_use]
    pub fn single(self) -> Stamped {
        Stamped {
            ends: vec![self.places.len()],
            body: self.bytes,
            places: self.places,
            clock: Clock::default(),
        }
    }
}

/// A batch of records, ready to be stamped and sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamped {
    body: Vec<u8>,
    places: Vec<(usize, Field)>,
    /// For each record, where its places end.
    ends: Vec<usize>,
    clock: Clock,
}

impl Stamped {
    /// A batch whose records have so many places each, in the order of the places.
    #[must_use]
    pub(crate) fn new(content: Template, places_per_record: impl IntoIterator<Item = usize>) -> Self {
        let ends = places_per_record
            .into_iter()
            .scan(0, |end, places| {
                *end += places;
                Some(*end)
            })
            .collect();
        Self {
            body: content.bytes,
            places: content.places,
            ends,
            clock: Clock::default(),
        }
    }

    /// The batch with these bytes before it.
    #[must_use]
    pub fn prefixed(mut self, prefix: &[u8]) -> Self {
        self.body.splice(0..0, prefix.iter().copied());
        for (at, _) in &mut self.places {
            *at += prefix.len();
        }
        self
    }

    /// Number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether the batch has no records.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The bytes as stamped last.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Stamps every record with what `stamp` gives for its index.
    pub fn stamp(&mut self, mut stamp: impl FnMut(usize) -> Stamp) {
        let mut from = 0;
        for (index, &end) in self.ends.iter().enumerate() {
            let stamp = stamp(index);
            for &(at, field) in &self.places[from..end] {
                let place = &mut self.body[at..at + field.width()];
                match field {
                    Field::Time => self.clock.write(stamp.at, place),
                    Field::Id => hex(&stamp.id.to_be_bytes(), place),
                    Field::Sequence => aligned(stamp.sequence, place),
                    Field::TraceId => hex(&stamp.trace.to_be_bytes(), place),
                    Field::SpanId => hex(&stamp.span.to_be_bytes(), place),
                    Field::TimeFixed => place.copy_from_slice(&stamp.at.max(0).to_le_bytes()),
                    Field::TimeProtobuf => timestamp(stamp.at, place),
                    Field::TraceIdBytes => place.copy_from_slice(&stamp.trace.to_be_bytes()),
                    Field::SpanIdBytes => place.copy_from_slice(&stamp.span.to_be_bytes()),
                }
            }
            from = end;
        }
    }
}

impl Template {
    /// Number of places, for [`Stamped::new`].
    pub(crate) fn places(&self) -> usize {
        self.places.len()
    }
}

fn hex(bytes: &[u8], place: &mut [u8]) {
    for (byte, pair) in bytes.iter().zip(place.chunks_exact_mut(2)) {
        pair[0] = HEX[usize::from(byte >> 4)];
        pair[1] = HEX[usize::from(byte & 15)];
    }
}

/// Decimal digits to the end of the place, the rest `fill`.
fn decimal(mut number: u64, place: &mut [u8], fill: u8) {
    let mut some = false;
    for digit in place.iter_mut().rev() {
        *digit = if some && number == 0 {
            fill
        } else {
            b'0' + (number % 10).to_le_bytes()[0]
        };
        number /= 10;
        some = true;
    }
}

fn aligned(number: u64, place: &mut [u8]) {
    decimal(number, place, b' ');
}

/// `seconds` (field 1) and `nanos` (field 2) of a `google.protobuf.Timestamp`, in full width.
fn timestamp(at: i64, place: &mut [u8]) {
    let at = at.max(0).unsigned_abs();
    let (seconds, nanoseconds) = (at / SECOND.unsigned_abs(), at % SECOND.unsigned_abs());
    for (number, mut value, part) in [(1u8, seconds, 0), (2, nanoseconds, 6)] {
        place[part] = number << 3;
        for index in 1..=5 {
            // All but the last byte say that another follows, even after leading zeros, to keep the width.
            let more = if index < 5 { 0x80 } else { 0 };
            place[part + index] = (value & 0x7f).to_le_bytes()[0] | more;
            value >>= 7;
        }
    }
}

/// RFC 3339 text of the second written last: neighbours mostly share it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Clock {
    second: i64,
    text: [u8; 20],
}

impl Clock {
    fn write(&mut self, at: i64, place: &mut [u8]) {
        let at = at.max(0);
        let second = (at / SECOND).min(YEAR_10000 - 1);
        if second != self.second || self.text[0] == 0 {
            let text = Timestamp::from_second(second).unwrap_or_default().to_string();
            self.second = second;
            self.text.copy_from_slice(&text.as_bytes()[..20]);
        }
        place[..19].copy_from_slice(&self.text[..19]);
        place[19] = b'.';
        decimal((at % SECOND).unsigned_abs(), &mut place[20..29], b'0');
        place[29] = b'Z';
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn stamps() -> impl Strategy<Value = Stamp> {
        (
            0..i64::MAX,
            any::<u64>(),
            0..1_000_000_000_000u64,
            any::<u128>(),
            any::<u64>(),
        )
            .prop_map(|(at, id, sequence, trace, span)| Stamp {
                at,
                id,
                sequence,
                trace,
                span,
            })
    }

    fn written(field: Field, stamp: Stamp) -> Vec<u8> {
        let mut template = Template::new();
        template.field(field);
        let mut batch = template.single();
        batch.stamp(|_| stamp);
        batch.body().to_vec()
    }

    proptest! {
        /// forall stamps: every field reads back as what it was stamped with
        #[test]
        fn fields_read_back(stamp in stamps()) {
            let text = |field| String::from_utf8(written(field, stamp)).unwrap();
            let at: Timestamp = text(Field::Time).parse().unwrap();
            prop_assert_eq!(at.as_nanosecond(), i128::from(stamp.at));
            prop_assert_eq!(u64::from_str_radix(&text(Field::Id), 16).unwrap(), stamp.id);
            prop_assert_eq!(text(Field::Sequence).trim_start().parse::<u64>().unwrap(), stamp.sequence);
            prop_assert_eq!(u128::from_str_radix(&text(Field::TraceId), 16).unwrap(), stamp.trace);
            prop_assert_eq!(u64::from_str_radix(&text(Field::SpanId), 16).unwrap(), stamp.span);
            prop_assert_eq!(written(Field::TimeFixed, stamp), stamp.at.to_le_bytes());
            prop_assert_eq!(written(Field::TraceIdBytes, stamp), stamp.trace.to_be_bytes());
        }

        /// forall templates, lengths: the pieces put together are the template, and none is too long
        #[test]
        fn pieces_make_the_whole(before in 0usize..60, after in 0usize..60, longest in 30usize..50, stamp in stamps()) {
            let mut template = Template::new();
            template.push("x".repeat(before));
            template.field(Field::Time);
            template.push("y".repeat(after));
            let pieces = template.pieces(longest);
            let mut joined = Template::new();
            for piece in &pieces {
                prop_assert!(piece.len() <= longest);
                joined.append(piece);
            }
            prop_assert_eq!(&joined, &template);
            let (mut one, mut other) = (joined.single(), template.single());
            one.stamp(|_| stamp);
            other.stamp(|_| stamp);
            prop_assert_eq!(one.body(), other.body());
        }
    }

    #[test]
    fn records_of_a_batch_are_stamped_with_their_own() {
        let mut record = Template::new();
        record.field(Field::Sequence);
        record.push(";");
        let mut all = Template::new();
        all.append(&record);
        all.append(&record);
        let mut batch = Stamped::new(all, [1, 1]);
        batch.stamp(|index| Stamp {
            at: 0,
            id: 0,
            sequence: 41 + index as u64,
            trace: 0,
            span: 0,
        });
        assert_eq!(batch.body(), b"          41;          42;");
    }
}
