//! The index of a block (tsdb/docs/format/index.md, version 2; Prometheus 3.16).
//!
//! The sections on label indices have not been read since version 2 came and stay empty.

use std::collections::{BTreeMap, BTreeSet};

use super::{BlockError, Chunk, Labels, crc, put_uvarint, put_varint};

/// Bytes that a series' place is a multiple of; its reference is the place divided by it.
const ALIGNMENT: usize = 16;

/// The index of `series`, sorted by labels.
pub(super) fn encode(series: &[(&Labels, Vec<Chunk>)]) -> Result<Vec<u8>, BlockError> {
    let mut out = vec![0xba, 0xaa, 0xd7, 0x00, 2];

    let symbols: BTreeSet<&str> = series
        .iter()
        .flat_map(|(labels, _)| labels.iter())
        .flat_map(|(name, value)| [name.as_str(), value.as_str()])
        .collect();
    let numbers: BTreeMap<&str, u64> = symbols.iter().copied().zip(0..).collect();
    let symbols_at = out.len();
    section(&mut out, |body| {
        put_u32(body, symbols.len())?;
        for symbol in &symbols {
            put_text(body, symbol);
        }
        Ok(())
    })?;

    pad(&mut out, ALIGNMENT);
    let series_at = out.len();
    let mut postings: BTreeMap<(&str, &str), Vec<u32>> = BTreeMap::new();
    let mut body = Vec::new();
    for (labels, chunks) in series {
        pad(&mut out, ALIGNMENT);
        let reference = u32::try_from(out.len() / ALIGNMENT).map_err(|_| BlockError::Large)?;
        // Every series is among the postings of the empty label.
        postings.entry(("", "")).or_default().push(reference);
        body.clear();
        put_uvarint(&mut body, labels.len() as u64);
        for (name, value) in *labels {
            put_uvarint(&mut body, numbers[name.as_str()]);
            put_uvarint(&mut body, numbers[value.as_str()]);
            postings
                .entry((name.as_str(), value.as_str()))
                .or_default()
                .push(reference);
        }
        put_chunks(&mut body, chunks);
        put_uvarint(&mut out, body.len() as u64);
        out.extend(&body);
        out.extend(crc::of(&body).to_be_bytes());
    }

    let mut places = Vec::with_capacity(postings.len());
    let labels_at = out.len();
    section(&mut out, |body| put_u32(body, 0))?;
    pad(&mut out, 4);
    let postings_at = out.len();
    for ((name, value), references) in &postings {
        pad(&mut out, 4);
        places.push((*name, *value, out.len() as u64));
        section(&mut out, |body| {
            put_u32(body, references.len())?;
            for reference in references {
                body.extend(reference.to_be_bytes());
            }
            Ok(())
        })?;
    }

    let places_at = out.len();
    section(&mut out, |body| {
        put_u32(body, places.len())?;
        for (name, value, place) in &places {
            put_uvarint(body, 2);
            put_text(body, name);
            put_text(body, value);
            put_uvarint(body, *place);
        }
        Ok(())
    })?;

    let contents = out.len();
    // Zero says that a section is absent: the label indices themselves.
    for place in [symbols_at, series_at, 0, labels_at, postings_at, places_at] {
        out.extend((place as u64).to_be_bytes());
    }
    let sum = crc::of(&out[contents..]);
    out.extend(sum.to_be_bytes());
    Ok(out)
}

fn put_chunks(body: &mut Vec<u8>, chunks: &[Chunk]) {
    put_uvarint(body, chunks.len() as u64);
    let mut before: Option<&Chunk> = None;
    for chunk in chunks {
        let length = (chunk.to - chunk.from).cast_unsigned();
        match before {
            None => {
                put_varint(body, chunk.from);
                put_uvarint(body, length);
                put_uvarint(body, chunk.reference);
            }
            Some(last) => {
                put_uvarint(body, (chunk.from - last.to).cast_unsigned());
                put_uvarint(body, length);
                put_varint(body, chunk.reference.cast_signed() - last.reference.cast_signed());
            }
        }
        before = Some(chunk);
    }
}

/// A section: its length, its body and the body's checksum.
fn section(
    out: &mut Vec<u8>,
    fill: impl FnOnce(&mut Vec<u8>) -> Result<(), BlockError>,
) -> Result<(), BlockError> {
    let mut body = Vec::new();
    fill(&mut body)?;
    put_u32(out, body.len())?;
    out.extend(&body);
    out.extend(crc::of(&body).to_be_bytes());
    Ok(())
}

fn put_u32(out: &mut Vec<u8>, value: usize) -> Result<(), BlockError> {
    let value = u32::try_from(value).map_err(|_| BlockError::Large)?;
    out.extend(value.to_be_bytes());
    Ok(())
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_uvarint(out, text.len() as u64);
    out.extend(text.as_bytes());
}

fn pad(out: &mut Vec<u8>, alignment: usize) {
    out.resize(out.len().next_multiple_of(alignment), 0);
}
