//! What answers say: gRPC's status names and words, and `partial_success`.

use prost::Message;

use super::{Taken, WORDS_KEPT};
use crate::wire::otlp::ExportResponse;

/// Name of a gRPC status code (grpc/grpc, doc/statuscodes.md).
pub(super) fn status_name(code: &str) -> String {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    code.parse::<usize>()
        .ok()
        .and_then(|code| NAMES.get(code))
        .map_or_else(|| format!("grpc status {code}"), |name| (*name).to_owned())
}

/// `grpc-message`, which is percent-encoded (gRPC over HTTP/2, "Status-Message").
pub(super) fn words(message: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(message.len());
    let mut rest = message;
    while let [first, tail @ ..] = rest {
        let coded = match rest {
            [b'%', high, low, ..] => hex::decode([*high, *low]).ok(),
            _ => None,
        };
        if let Some(byte) = coded {
            bytes.extend(byte);
            rest = rest.get(3..).unwrap_or_default();
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    kept(&String::from_utf8_lossy(&bytes))
}

/// The beginning of what a server said.
pub(super) fn kept(words: &str) -> String {
    words.trim().chars().take(WORDS_KEPT).collect()
}

/// What an answer's message says. One that cannot be read says nothing.
pub(super) fn taken(message: &[u8]) -> Taken {
    let partial = ExportResponse::decode(message)
        .ok()
        .and_then(|response| response.partial_success)
        .unwrap_or_default();
    Taken {
        rejected: u64::try_from(partial.rejected).unwrap_or_default(),
        words: kept(&partial.error_message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("plain", "plain")]
    #[case("50%25 of 4%20MiB", "50% of 4 MiB")]
    #[case("cut off %2", "cut off %2")]
    #[case("not hex %zz", "not hex %zz")]
    fn words_are_decoded(#[case] message: &str, #[case] expected: &str) {
        assert_eq!(words(message.as_bytes()), expected);
    }

    #[test]
    fn codes_have_names() {
        assert_eq!(status_name("8"), "RESOURCE_EXHAUSTED");
        assert_eq!(status_name("14"), "UNAVAILABLE");
        assert_eq!(status_name("99"), "grpc status 99");
    }
}
