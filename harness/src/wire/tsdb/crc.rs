//! CRC-32C (Castagnoli), the checksum of every part of a TSDB block.

const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0u32; 256];
    let mut byte = 0u32;
    while byte < 256 {
        let mut sum = byte;
        let mut bit = 0;
        while bit < 8 {
            // The polynomial 0x1EDC6F41, bits reversed.
            sum = if sum & 1 == 1 {
                (sum >> 1) ^ 0x82f6_3b78
            } else {
                sum >> 1
            };
            bit += 1;
        }
        table[byte as usize] = sum;
        byte += 1;
    }
    table
}

/// The checksum of `bytes`.
pub(super) fn of(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |sum, byte| {
        (sum >> 8) ^ TABLE[usize::from(sum.to_le_bytes()[0] ^ byte)]
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_check_value_of_the_catalogue_comes_out() {
        // "123456789" is the check input of every catalogue of checksums; RFC 3720 B.4 has the zeros.
        assert_eq!(super::of(b"123456789"), 0xe306_9283);
        assert_eq!(super::of(&[0; 32]), 0x8a91_36aa);
        assert_eq!(super::of(&[]), 0);
    }
}
