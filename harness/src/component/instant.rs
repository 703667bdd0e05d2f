//! Instants as servers write them (RFC 3339) and as the harness counts them (unix seconds).

use jiff::Timestamp;

const NANOSECONDS: f64 = 1e9;

/// Unix seconds of an RFC 3339 instant.
#[expect(
    clippy::cast_precision_loss,
    reason = "seconds of this century keep a quarter of a microsecond"
)]
pub(super) fn unix_seconds(text: &str) -> Result<f64, String> {
    let instant: Timestamp = text
        .parse()
        .map_err(|error| format!("`{text}` is not an instant: {error}"))?;
    Ok(instant.as_nanosecond() as f64 / NANOSECONDS)
}

/// RFC 3339 of unix seconds, to the microsecond.
#[expect(
    clippy::cast_possible_truncation,
    reason = "instants beyond the range of i64 are refused below"
)]
pub(super) fn rfc3339(seconds: f64) -> Result<String, String> {
    let microseconds = (seconds * 1e6).round();
    Timestamp::from_microsecond(microseconds as i64)
        .map(|instant| instant.to_string())
        .map_err(|error| format!("{seconds} unix seconds is not an instant: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_servers_nanoseconds_are_read() {
        // Prometheus 3.16.0, activeAt of /api/v1/alerts.
        let seconds = unix_seconds("2026-11-24T03:21:35.184147877Z").unwrap();
        assert!((seconds - 1_795_490_495.184_147_8).abs() < 1e-6, "{seconds}");
    }

    proptest! {
        /// forall s in [0, 2100): |unix_seconds(rfc3339(s)) - s| <= 1 microsecond
        #[test]
        fn instants_survive_to_the_microsecond(seconds in 0.0..4.1e9f64) {
            let back = unix_seconds(&rfc3339(seconds).unwrap()).unwrap();
            prop_assert!((back - seconds).abs() <= 1.1e-6, "{seconds} came back as {back}");
        }
    }
}
