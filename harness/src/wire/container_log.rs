//! Lines of container log files in the CRI format: instant, stream, tag, text.
//!
//! `2026-08-01T10:20:30.123456789Z stdout F text`; the tag is `P` where the
//! line goes on in the next. Kubernetes, `cri-api` and the kubelet's
//! `kuberuntime/logs`; containerd cuts lines at 16 KiB
//! (`max_container_log_line_size`).

use super::stamped::{Field, Stamped, Template};

/// Where containerd cuts a line by default, in bytes.
pub const LONGEST: usize = 16 * 1024;

/// Lays out lines in their order; those longer than `longest` bytes are cut.
#[must_use]
pub fn lay_out<'a>(lines: impl IntoIterator<Item = &'a Template>, longest: usize) -> Stamped {
    let mut file = Template::new();
    let mut places = Vec::new();
    for line in lines {
        let before = file.places();
        let pieces = line.pieces(longest);
        let last = pieces.len() - 1;
        for (index, piece) in pieces.iter().enumerate() {
            file.field(Field::Time);
            file.push(if index == last { " stdout F " } else { " stdout P " });
            file.append(piece);
            file.push("\n");
        }
        places.push(file.places() - before);
    }
    Stamped::new(file, places)
}

/// Why a text is no container log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContainerLogError {
    /// A line lacks a part.
    #[error("line {0} is not `<instant> <stdout|stderr> <P|F> <text>`")]
    Line(usize),
    /// Pieces put together are no text.
    #[error("the line that ends in line {0} is not UTF-8")]
    Text(usize),
    /// The last line is cut and does not go on.
    #[error("the last line is cut: the piece that ends it is missing")]
    Cut,
}

/// Reads lines back, pieces put together: (instant of the last piece, text).
pub fn decode(file: &[u8]) -> Result<Vec<(String, String)>, ContainerLogError> {
    let mut lines = Vec::new();
    let mut pending = Vec::new();
    let text = file.strip_suffix(b"\n").unwrap_or(file);
    if text.is_empty() {
        return Ok(lines);
    }
    for (line, number) in text.split(|&byte| byte == b'\n').zip(1..) {
        let mut parts = line.splitn(4, |&byte| byte == b' ');
        let (Some(at), Some(b"stdout" | b"stderr"), Some(tag), Some(content)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(ContainerLogError::Line(number));
        };
        pending.extend_from_slice(content);
        match tag {
            b"P" => {}
            b"F" => {
                let at = String::from_utf8(at.to_vec()).map_err(|_| ContainerLogError::Line(number))?;
                let text = String::from_utf8(std::mem::take(&mut pending))
                    .map_err(|_| ContainerLogError::Text(number))?;
                lines.push((at, text));
            }
            _ => return Err(ContainerLogError::Line(number)),
        }
    }
    if pending.is_empty() {
        Ok(lines)
    } else {
        Err(ContainerLogError::Cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::stamped::tests::stamps;
    use proptest::prelude::*;

    proptest! {
        /// forall lines, cuts: a file reads back line by line, whatever was cut, even inside a character
        #[test]
        fn a_file_reads_back(records in proptest::collection::vec(("[^\n]{0,80}", stamps()), 0..8), longest in 1usize..60) {
            let lines: Vec<Template> = records
                .iter()
                .map(|(text, _)| {
                    let mut line = Template::new();
                    line.push(text);
                    line.field(Field::Id);
                    line
                })
                .collect();
            let mut file = lay_out(&lines, longest);
            file.stamp(|index| records[index].1);
            let read = decode(file.body()).unwrap();
            prop_assert_eq!(read.len(), records.len());
            for ((at, text), (sent, stamp)) in read.iter().zip(&records) {
                prop_assert_eq!(text, &format!("{sent}{:016x}", stamp.id));
                let at: jiff::Timestamp = at.parse().unwrap();
                prop_assert_eq!(at.as_nanosecond(), i128::from(stamp.at));
            }
        }
    }

    #[test]
    fn what_is_no_container_log_is_named_by_its_line() {
        assert_eq!(decode(b"t stdout F a\nb\n"), Err(ContainerLogError::Line(2)));
        assert_eq!(decode(b"t stdout P a\n"), Err(ContainerLogError::Cut));
    }
}
