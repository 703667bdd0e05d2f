//! The fast path of remote write: a request that is encoded and compressed
//! once and then only stamped.
//!
//! A generator sends the same series over and over; only values, the one
//! timestamp and a generation in a label change, and each of them has a fixed
//! width. The encoder here compresses the unchanging bytes as snappy copies
//! and literals once, keeps the changing ones out of every copy (or, for the
//! timestamp, copies the first one), and notes where they stand in the
//! compressed body. Sending again is then writing eight bytes a sample:
//! neither labels nor compression cost anything.
//!
//! Snappy's block format: google/snappy `format_description.txt`.

/// Width of a timestamp: a varint of six bytes holds unix milliseconds until the year 2109.
const TIMESTAMP_WIDTH: usize = 6;
/// First timestamp that does not fit.
const TIMESTAMP_END: i64 = 1 << (7 * TIMESTAMP_WIDTH);
/// Width of a value: a double.
const VALUE_WIDTH: usize = 8;
/// Furthest back that a copy with a two-byte offset reaches.
const REACH: usize = 65_535;
/// Shortest copy that saves anything over a literal.
const SHORTEST_COPY: usize = 4;
/// Longest copy that one element holds.
const LONGEST_COPY: usize = 64;

/// Why a batch cannot be made or stamped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// A timestamp outside what the fixed width holds.
    #[error("the timestamp {0} does not fit: stamp unix milliseconds between 1970 and 2109")]
    Timestamp(i64),
    /// More bytes than one request may have.
    #[error("the batch has more than 2 GiB: use fewer series a batch")]
    TooLarge,
}

/// Labels of one series in the making of a batch, sorted by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels<'a> {
    /// (name, value), sorted by name, `__name__` among them.
    pub pairs: &'a [(&'a str, &'a str)],
    /// Index of the pair whose value is rewritten later, in the same width.
    pub varying: Option<usize>,
}

/// A compressed request of one sample a series, ready to be stamped and sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    body: Vec<u8>,
    uncompressed: usize,
    /// Where each series' value stands in the body.
    values: Vec<usize>,
    /// Where each series' varying label value stands, where it has one.
    varying: Vec<Option<(usize, usize)>>,
    /// Where bytes of the timestamp stand, and which byte of it each is.
    timestamps: Vec<(usize, usize)>,
}

/// What a byte of the message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Never changes.
    Fixed,
    /// The n-th byte of the timestamp, which is the same for the whole batch.
    Timestamp(u8),
    /// Belongs to one sample alone.
    Own,
}

/// A message while it is laid out.
#[derive(Default)]
struct Layout {
    bytes: Vec<u8>,
    classes: Vec<Class>,
}

impl Layout {
    fn push(&mut self, bytes: &[u8], class: Class) {
        self.bytes.extend_from_slice(bytes);
        self.classes.resize(self.bytes.len(), class);
    }

    fn varint(&mut self, value: usize) {
        let mut bytes = Vec::with_capacity(5);
        push_varint(&mut bytes, value);
        self.push(&bytes, Class::Fixed);
    }

    /// Whether the bytes at two places are equal in every stamping.
    fn same(&self, one: usize, other: usize) -> bool {
        match (self.classes[one], self.classes[other]) {
            (Class::Fixed, Class::Fixed) => self.bytes[one] == self.bytes[other],
            (Class::Timestamp(a), Class::Timestamp(b)) => a == b,
            _ => false,
        }
    }

    /// The four bytes at `at` as a number, where none of them belongs to one sample alone.
    fn word(&self, at: usize) -> Option<u32> {
        let classes = self.classes.get(at..at + SHORTEST_COPY)?;
        if classes.contains(&Class::Own) {
            return None;
        }
        let bytes = self.bytes.get(at..at + SHORTEST_COPY)?;
        Some(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }
}

fn push_varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(low_byte(value) | 0x80);
        value >>= 7;
    }
    out.push(low_byte(value));
}

fn low_byte(value: usize) -> u8 {
    value.to_le_bytes()[0]
}

fn varint_width(mut value: usize) -> usize {
    let mut width = 1;
    while value >= 0x80 {
        value >>= 7;
        width += 1;
    }
    width
}

/// Length of a field of `length` bytes with its tag and length prefix.
fn field_width(length: usize) -> usize {
    1 + varint_width(length) + length
}

impl Batch {
    /// Lays out and compresses one sample for each series: value 0 at time 0, until it is stamped.
    pub fn new<'a>(series: impl IntoIterator<Item = Labels<'a>>) -> Result<Self, BatchError> {
        // Tags: field number << 3 | wire type (0 varint, 1 eight bytes, 2 length-delimited).
        const TIMESERIES: u8 = 1 << 3 | 2;
        const LABELS: u8 = 1 << 3 | 2;
        const NAME: u8 = 1 << 3 | 2;
        const LABEL_VALUE: u8 = 2 << 3 | 2;
        const SAMPLES: u8 = 2 << 3 | 2;
        const VALUE: u8 = 1 << 3 | 1;
        const TIMESTAMP: u8 = 2 << 3;
        const SAMPLE_WIDTH: usize = 1 + VALUE_WIDTH + 1 + TIMESTAMP_WIDTH;

        let mut layout = Layout::default();
        // Places in the message; they become places in the body below.
        let mut values = Vec::new();
        let mut varying = Vec::new();
        for labels in series {
            let pair_width =
                |(name, value): &(&str, &str)| field_width(name.len()) + field_width(value.len());
            let labels_width: usize = labels
                .pairs
                .iter()
                .map(|pair| field_width(pair_width(pair)))
                .sum();
            layout.push(&[TIMESERIES], Class::Fixed);
            layout.varint(labels_width + field_width(SAMPLE_WIDTH));
            let mut rewritten = None;
            for (index, pair) in labels.pairs.iter().enumerate() {
                let (name, value) = pair;
                layout.push(&[LABELS], Class::Fixed);
                layout.varint(pair_width(pair));
                layout.push(&[NAME], Class::Fixed);
                layout.varint(name.len());
                layout.push(name.as_bytes(), Class::Fixed);
                layout.push(&[LABEL_VALUE], Class::Fixed);
                layout.varint(value.len());
                if labels.varying == Some(index) {
                    rewritten = Some((layout.bytes.len(), value.len()));
                    layout.push(value.as_bytes(), Class::Own);
                } else {
                    layout.push(value.as_bytes(), Class::Fixed);
                }
            }
            varying.push(rewritten);
            layout.push(&[SAMPLES, low_byte(SAMPLE_WIDTH), VALUE], Class::Fixed);
            values.push(layout.bytes.len());
            layout.push(&[0; VALUE_WIDTH], Class::Own);
            layout.push(&[TIMESTAMP], Class::Fixed);
            for index in 0..TIMESTAMP_WIDTH {
                layout.push(&[0], Class::Timestamp(low_byte(index)));
            }
        }
        if layout.bytes.len() > 1 << 31 {
            return Err(BatchError::TooLarge);
        }
        let compressed = compress(&layout);
        let timestamps = compressed
            .literals
            .iter()
            .flat_map(|literal| (0..literal.length).map(move |offset| (literal, offset)))
            .filter_map(|(literal, offset)| match layout.classes[literal.from + offset] {
                Class::Timestamp(byte) => Some((literal.to + offset, usize::from(byte))),
                _ => None,
            })
            .collect();
        let mut batch = Self {
            uncompressed: layout.bytes.len(),
            values: values.into_iter().map(|at| compressed.place(at)).collect(),
            varying: varying
                .into_iter()
                .map(|hole| hole.map(|(at, width)| (compressed.place(at), width)))
                .collect(),
            timestamps,
            body: compressed.body,
        };
        // All noughts are no varint of this width; from here on the body is valid at any time.
        batch.stamp_timestamp(0)?;
        Ok(batch)
    }

    /// Number of series.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether the batch has no series.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Bytes of the message before compression.
    #[must_use]
    pub fn uncompressed(&self) -> usize {
        self.uncompressed
    }

    /// The compressed body as stamped last.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Stamps the timestamp, in unix milliseconds, of all samples.
    pub fn stamp_timestamp(&mut self, milliseconds: i64) -> Result<(), BatchError> {
        let wrong = BatchError::Timestamp(milliseconds);
        if milliseconds >= TIMESTAMP_END {
            return Err(wrong);
        }
        let mut rest = usize::try_from(milliseconds).map_err(|_| wrong)?;
        let mut bytes = [0u8; TIMESTAMP_WIDTH];
        for (index, byte) in bytes.iter_mut().enumerate() {
            // All but the last byte say that another follows, even after leading zeros, to keep the width.
            let more = if index + 1 < TIMESTAMP_WIDTH { 0x80 } else { 0 };
            *byte = low_byte(rest & 0x7f) | more;
            rest >>= 7;
        }
        for &(at, byte) in &self.timestamps {
            self.body[at] = bytes[byte];
        }
        Ok(())
    }

    /// Stamps the values, in the order of the series. Series beyond the values keep theirs.
    pub fn stamp_values(&mut self, values: impl IntoIterator<Item = f64>) {
        for (&at, value) in self.values.iter().zip(values) {
            self.body[at..at + VALUE_WIDTH].copy_from_slice(&value.to_le_bytes());
        }
    }

    /// Rewrites the varying label of one series; a text of another width or a
    /// series without a varying label is left alone and `false` returned.
    pub fn rewrite(&mut self, series: usize, value: &[u8]) -> bool {
        match self.varying.get(series) {
            Some(&Some((at, width))) if width == value.len() => {
                self.body[at..at + width].copy_from_slice(value);
                true
            }
            _ => false,
        }
    }
}

/// A run of message bytes that stand in the body as they are.
struct Literal {
    from: usize,
    to: usize,
    length: usize,
}

struct Compressed {
    body: Vec<u8>,
    /// In the order of the message.
    literals: Vec<Literal>,
}

impl Compressed {
    /// Where a byte of the message that is in a literal stands in the body.
    fn place(&self, at: usize) -> usize {
        let next = self.literals.partition_point(|literal| literal.from <= at);
        let literal = &self.literals[next - 1];
        literal.to + (at - literal.from)
    }
}

/// Greedy matching on four bytes, as snappy's own compressor does it, except
/// that a match holds in every stamping.
fn compress(layout: &Layout) -> Compressed {
    const BITS: u32 = 15;
    const NONE: usize = usize::MAX;
    let bucket = |word: u32| (word.wrapping_mul(0x1e35_a7bd) >> (32 - BITS)) as usize;
    let size = layout.bytes.len();
    let mut table = vec![NONE; 1 << BITS];
    let mut out = Compressed {
        body: Vec::with_capacity(size / 2),
        literals: Vec::new(),
    };
    push_varint(&mut out.body, size);
    let mut pending = 0;
    let mut at = 0;
    while at < size {
        let Some(word) = layout.word(at) else {
            at += 1;
            continue;
        };
        let candidate = std::mem::replace(&mut table[bucket(word)], at);
        let near = candidate != NONE && at - candidate <= REACH;
        let mut length = 0;
        if near {
            while at + length < size && layout.same(candidate + length, at + length) {
                length += 1;
            }
        }
        if length < SHORTEST_COPY {
            at += 1;
            continue;
        }
        push_literal(&mut out, layout, pending, at);
        push_copy(&mut out.body, at - candidate, length);
        // Later series match against the latest one, so its words are remembered too.
        for passed in at + 1..at + length {
            if let Some(word) = layout.word(passed) {
                table[bucket(word)] = passed;
            }
        }
        at += length;
        pending = at;
    }
    push_literal(&mut out, layout, pending, size);
    out
}

fn push_literal(out: &mut Compressed, layout: &Layout, from: usize, end: usize) {
    const FOUR_LENGTH_BYTES: u8 = 63 << 2;
    const TWO_LENGTH_BYTES: u8 = 61 << 2;
    const ONE_LENGTH_BYTE: u8 = 60 << 2;
    if from == end {
        return;
    }
    let length = end - from;
    let coded = (length - 1).to_le_bytes();
    match length - 1 {
        short @ 0..60 => out.body.push(low_byte(short) << 2),
        60..0x100 => out.body.extend_from_slice(&[ONE_LENGTH_BYTE, coded[0]]),
        0x100..0x1_0000 => out
            .body
            .extend_from_slice(&[TWO_LENGTH_BYTES, coded[0], coded[1]]),
        _ => {
            out.body.push(FOUR_LENGTH_BYTES);
            out.body.extend_from_slice(&coded[..4]);
        }
    }
    out.literals.push(Literal {
        from,
        to: out.body.len(),
        length,
    });
    out.body.extend_from_slice(&layout.bytes[from..end]);
}

fn push_copy(body: &mut Vec<u8>, offset: usize, mut length: usize) {
    const TWO_OFFSET_BYTES: u8 = 2;
    let offset = offset.to_le_bytes();
    while length > 0 {
        let now = length.min(LONGEST_COPY);
        body.extend_from_slice(&[low_byte(now - 1) << 2 | TWO_OFFSET_BYTES, offset[0], offset[1]]);
        length -= now;
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Label, Sample, TimeSeries, WriteRequest, decode};
    use super::*;
    use proptest::prelude::*;

    fn structs(series: &[Vec<(String, String)>], timestamp: i64, values: &[f64]) -> WriteRequest {
        WriteRequest {
            timeseries: series
                .iter()
                .zip(values)
                .map(|(labels, &value)| TimeSeries {
                    labels: labels
                        .iter()
                        .map(|(name, value)| Label {
                            name: name.clone(),
                            value: value.clone(),
                        })
                        .collect(),
                    samples: vec![Sample { value, timestamp }],
                    histograms: Vec::new(),
                })
                .collect(),
            metadata: Vec::new(),
        }
    }

    fn make(series: &[Vec<(String, String)>], varying: Option<usize>) -> Batch {
        let pairs: Vec<Vec<(&str, &str)>> = series
            .iter()
            .map(|labels| labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect())
            .collect();
        Batch::new(pairs.iter().map(|pairs| Labels { pairs, varying })).unwrap()
    }

    fn many(count: usize) -> Vec<Vec<(String, String)>> {
        (0..count)
            .map(|n| {
                [
                    ("__name__", "load_total"),
                    ("generation", "000000"),
                    ("job", "emit"),
                ]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into_iter()
                .chain([("series".to_owned(), format!("{n:08}"))])
                .collect()
            })
            .collect()
    }

    proptest! {
        /// forall series, stampings: decode(stamp(batch)) = the same request made of structs
        #[test]
        fn stamped_batches_are_the_structs(
            values in proptest::collection::vec("\\PC{0,40}", 1..30),
            long in "\\PC{0,300}",
            stampings in proptest::collection::vec((0..TIMESTAMP_END, -1e12..1e12), 1..4),
        ) {
            let series: Vec<Vec<(String, String)>> = values
                .into_iter()
                .map(|value| vec![("__name__".into(), "load_total".into()), ("a".into(), long.clone()), ("b".into(), value)])
                .collect();
            let mut batch = make(&series, None);
            for (timestamp, first) in stampings {
                let numbers: Vec<f64> = series.iter().zip(0u32..).map(|(_, n)| first + f64::from(n)).collect();
                batch.stamp_timestamp(timestamp).unwrap();
                batch.stamp_values(numbers.iter().copied());
                prop_assert_eq!(decode(batch.body()).unwrap(), structs(&series, timestamp, &numbers));
            }
        }

        /// forall generations: rewriting the varying label changes it and nothing else
        #[test]
        fn rewriting_changes_the_label_alone(which in proptest::collection::vec((0usize..50, 0u32..1_000_000), 1..20)) {
            let mut series = many(50);
            let mut batch = make(&series, Some(1));
            batch.stamp_timestamp(1_800_000_000_000).unwrap();
            let values: Vec<f64> = (0..50).map(f64::from).collect();
            batch.stamp_values(values.iter().copied());
            for (index, generation) in which {
                let text = format!("{generation:06}");
                prop_assert!(batch.rewrite(index, text.as_bytes()));
                series[index][1].1 = text;
            }
            prop_assert_eq!(decode(batch.body()).unwrap(), structs(&series, 1_800_000_000_000, &values));
        }
    }

    #[test]
    fn thousands_of_series_beyond_the_reach_of_a_copy_are_the_structs() {
        let series = many(5_000);
        let mut batch = make(&series, None);
        let values: Vec<f64> = (0..5_000).map(f64::from).collect();
        batch.stamp_timestamp(1_800_000_000_123).unwrap();
        batch.stamp_values(values.iter().copied());
        assert_eq!(
            decode(batch.body()).unwrap(),
            structs(&series, 1_800_000_000_123, &values)
        );
        let per_sample = batch.body().len() / batch.len();
        assert!(per_sample < 32, "{per_sample} compressed bytes a sample");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut batch = make(&many(2), Some(1));
        assert_eq!(batch.stamp_timestamp(-1), Err(BatchError::Timestamp(-1)));
        assert_eq!(
            batch.stamp_timestamp(TIMESTAMP_END),
            Err(BatchError::Timestamp(TIMESTAMP_END))
        );
        assert!(!batch.rewrite(0, b"1"), "another width");
        assert!(!batch.rewrite(2, b"000001"), "no such series");
        assert!(!make(&many(1), None).rewrite(0, b"000001"), "no varying label");
    }

    #[test]
    fn a_batch_that_was_not_stamped_is_valid() {
        let series = many(3);
        assert_eq!(
            decode(make(&series, None).body()).unwrap(),
            structs(&series, 0, &[0.0; 3])
        );
    }

    #[test]
    fn an_empty_batch_is_an_empty_request() {
        assert_eq!(decode(make(&[], None).body()).unwrap(), WriteRequest::default());
    }
}
