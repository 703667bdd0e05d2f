use super::*;
use proptest::prelude::*;

/// Bits of a chunk, the highest first.
struct Reader<'a> {
    bytes: &'a [u8],
    place: usize,
}

impl Reader<'_> {
    fn take(&mut self, count: u32) -> u64 {
        (0..count).fold(0, |value, _| {
            let bit = (self.bytes[self.place / 8] >> (7 - self.place % 8)) & 1;
            self.place += 1;
            (value << 1) | u64::from(bit)
        })
    }

    fn uvarint(&mut self) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = self.take(8);
            value |= (byte & 0x7f) << shift;
            if byte < 0x80 {
                return value;
            }
            shift += 7;
        }
    }

    fn signed(&mut self, width: u32) -> i64 {
        let value = self.take(width);
        // One more than half the range is positive, as the encoding has it.
        if width < 64 && value > 1 << (width - 1) {
            value.cast_signed() - (1i64 << width)
        } else {
            value.cast_signed()
        }
    }
}

/// Reads a chunk as the format's description says, apart from the encoder.
fn decode(bytes: &[u8]) -> Vec<(i64, f64)> {
    let count = u16::from_be_bytes([bytes[0], bytes[1]]);
    let mut reader = Reader { bytes, place: 16 };
    let mut samples: Vec<(i64, f64)> = Vec::new();
    let (mut delta, mut lead, mut width) = (0i64, 0, 0);
    for number in 0..count {
        let Some((at, before)) = samples.last().copied() else {
            let zigzag = reader.uvarint();
            let at = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
            samples.push((at, f64::from_bits(reader.take(64))));
            continue;
        };
        delta = if number == 1 {
            reader.uvarint().cast_signed()
        } else {
            let mut ones = 0;
            while ones < 4 && reader.take(1) == 1 {
                ones += 1;
            }
            delta
                + match ones {
                    0 => 0,
                    1 => reader.signed(14),
                    2 => reader.signed(17),
                    3 => reader.signed(20),
                    _ => reader.signed(64),
                }
        };
        let mut value = before.to_bits();
        if reader.take(1) == 1 {
            if reader.take(1) == 1 {
                lead = u32::try_from(reader.take(5)).unwrap();
                width = match reader.take(6) {
                    0 => 64,
                    width => u32::try_from(width).unwrap(),
                };
            }
            value ^= reader.take(width) << (64 - lead - width);
        }
        samples.push((at + delta, f64::from_bits(value)));
    }
    samples
}

proptest! {
    /// forall samples: decode(encode(samples)) = samples, to the bit
    #[test]
    fn a_chunk_keeps_every_bit(
        start in -1i64 << 40..1i64 << 40,
        rows in prop::collection::vec((1i64..2_000_000, prop_oneof![any::<f64>(), (0u32..50).prop_map(f64::from)]), 0..200)
    ) {
        let mut at = start;
        let samples: Vec<(i64, f64)> = rows.into_iter().map(|(step, value)| { at += step; (at, value) }).collect();
        let read = decode(&xor::encode(&samples));
        prop_assert_eq!(read.len(), samples.len());
        for ((at, value), (read_at, read_value)) in samples.iter().zip(&read) {
            prop_assert_eq!(at, read_at);
            prop_assert_eq!(value.to_bits(), read_value.to_bits());
        }
    }

    /// forall times: ids of later blocks sort after those of earlier ones
    #[test]
    fn ids_sort_by_time(at in 0i64..1 << 47, later in 1i64..1 << 40, seed in any::<u64>()) {
        let (one, two) = (ulid(at, Seed(seed)), ulid(at + later, Seed(seed)));
        prop_assert_eq!(one.len(), 26);
        prop_assert!(one < two);
    }
}

fn labels(name: &str, number: usize) -> Labels {
    vec![
        ("__name__".to_owned(), name.to_owned()),
        ("n".to_owned(), number.to_string()),
    ]
}

#[test]
fn a_block_counts_what_is_in_it_and_leaves_empty_series_out() {
    let folder = tempfile::tempdir().unwrap();
    let series: Vec<Labels> = (0..5).map(|number| labels("m", number)).collect();
    let written = write(folder.path(), &series, Seed(7), |place, samples| {
        if place != 3 {
            samples.extend((0..250).map(|n| (1_000 + n * 15, 0.5)));
        }
    })
    .unwrap();
    assert_eq!((written.series, written.samples), (4, 1_000));
    assert_eq!(
        (written.min_time, written.max_time),
        (1_000, 1_000 + 249 * 15 + 1)
    );
    let block = folder.path().join(&written.ulid);
    for file in ["index", "meta.json", "tombstones", "chunks/000001"] {
        assert!(block.join(file).is_file(), "{file}");
    }
}

#[test]
fn samples_out_of_order_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let error = write(folder.path(), &[labels("m", 0)], Seed(7), |_, samples| {
        samples.extend([(5, 1.0), (5, 2.0)]);
    })
    .unwrap_err();
    assert!(error.to_string().contains("not in time order at 5"), "{error}");
    assert!(matches!(
        write(folder.path(), &[], Seed(7), |_, _| ()),
        Err(BlockError::Empty)
    ));
}
