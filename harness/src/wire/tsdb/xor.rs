//! The XOR chunk encoding: differences of differences of the times, and the values' changed bits
//! (tsdb/chunkenc/xor.go, Prometheus 3.16, after Facebook's Gorilla).

use super::{put_uvarint, put_varint};

/// Bits, the highest first.
#[derive(Debug, Default)]
struct Bits {
    bytes: Vec<u8>,
    /// Bits still free in the last byte.
    free: u32,
}

impl Bits {
    /// Appends the lowest `count` (at most 64) bits of `value`.
    fn put(&mut self, value: u64, mut count: u32) {
        while count > 0 {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            let take = count.min(self.free);
            let part = (value >> (count - take)) & (0xff >> (8 - take));
            if let Some(last) = self.bytes.last_mut() {
                *last |= (part << (self.free - take)).to_le_bytes()[0];
            }
            self.free -= take;
            count -= take;
        }
    }

    fn put_bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.put(u64::from(*byte), 8);
        }
    }
}

/// A chunk's data: at most 65,535 samples in time order.
pub(super) fn encode(samples: &[(i64, f64)]) -> Vec<u8> {
    let count = u16::try_from(samples.len()).unwrap_or(u16::MAX);
    let mut bits = Bits {
        bytes: count.to_be_bytes().to_vec(),
        free: 0,
    };
    let mut number = Vec::new();
    let (mut last, mut delta, mut value, mut window) = (0i64, 0i64, 0u64, None);
    for (place, (at, sample)) in samples.iter().enumerate() {
        let sample = sample.to_bits();
        number.clear();
        match place {
            0 => {
                put_varint(&mut number, *at);
                bits.put_bytes(&number);
                bits.put(sample, 64);
            }
            1 => {
                delta = at - last;
                put_uvarint(&mut number, delta.cast_unsigned());
                bits.put_bytes(&number);
                put_value(&mut bits, value, sample, &mut window);
            }
            _ => {
                let change = (at - last) - delta;
                delta = at - last;
                put_change(&mut bits, change);
                put_value(&mut bits, value, sample, &mut window);
            }
        }
        (last, value) = (*at, sample);
    }
    bits.bytes
}

/// The change of the distance in time.
fn put_change(bits: &mut Bits, change: i64) {
    let fits = |width: u32| (1 - (1i64 << (width - 1))..=1i64 << (width - 1)).contains(&change);
    let low = change.cast_unsigned();
    match change {
        0 => bits.put(0, 1),
        _ if fits(14) => {
            bits.put(0b10, 2);
            bits.put(low, 14);
        }
        _ if fits(17) => {
            bits.put(0b110, 3);
            bits.put(low, 17);
        }
        _ if fits(20) => {
            bits.put(0b1110, 4);
            bits.put(low, 20);
        }
        _ => {
            bits.put(0b1111, 4);
            bits.put(low, 64);
        }
    }
}

/// The bits in which a value differs from the one before, in the window (leading, trailing zeros)
/// of the last that was written with one, where they fit into it.
fn put_value(bits: &mut Bits, before: u64, value: u64, window: &mut Option<(u32, u32)>) {
    let difference = before ^ value;
    if difference == 0 {
        bits.put(0, 1);
        return;
    }
    bits.put(1, 1);
    // Five bits hold the leading zeros.
    let leading = difference.leading_zeros().min(31);
    let trailing = difference.trailing_zeros();
    match *window {
        Some((lead, trail)) if leading >= lead && trailing >= trail => {
            bits.put(0, 1);
            bits.put(difference >> trail, 64 - lead - trail);
        }
        _ => {
            let width = 64 - leading - trailing;
            *window = Some((leading, trailing));
            bits.put(1, 1);
            bits.put(u64::from(leading), 5);
            // 64 does not fit into six bits and is written as 0, a width that never occurs.
            bits.put(u64::from(width & 63), 6);
            bits.put(difference >> trailing, width);
        }
    }
}
