//! A server's own metrics: the text exposition format, as its `/metrics` prints it, to numbers by series.

use indexmap::IndexMap;

/// Series as printed (name with labels) to value; comments and lines that are no sample are left out.
pub(super) fn parse(text: &str) -> IndexMap<String, f64> {
    text.lines().filter_map(sample).collect()
}

/// The sum over all series of a family whose labels hold each of `labels`; none where there is no such
/// series. A counter is found by its name with and without `_total`, since that depends on how the
/// server's exporter is set up.
pub(super) fn sum(metrics: &IndexMap<String, f64>, family: &str, labels: &[(&str, &str)]) -> Option<f64> {
    metrics
        .iter()
        .filter(|(series, _)| {
            let (name, rest) = series
                .split_once('{')
                .map_or((series.as_str(), ""), |(name, rest)| (name, rest));
            name.strip_suffix("_total").unwrap_or(name) == family
                && labels.iter().all(|(label, value)| has_label(rest, label, value))
        })
        .map(|(_, value)| *value)
        .reduce(|sum, value| sum + value)
}

/// Whether the printed labels hold `label="value"`, as a whole label.
fn has_label(labels: &str, label: &str, value: &str) -> bool {
    let wanted = format!("{label}=\"{value}\"");
    labels
        .match_indices(&wanted)
        .any(|(at, _)| at == 0 || labels[..at].ends_with([',', ' ']))
}

fn sample(line: &str) -> Option<(String, f64)> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let end = series_end(line)?;
    let value = line[end..].split_whitespace().next()?.parse().ok()?;
    Some((line[..end].to_owned(), value))
}

/// Where the series ends and the value begins: label values may hold spaces and braces.
fn series_end(line: &str) -> Option<usize> {
    let (mut quoted, mut escaped, mut braces) = (false, false, false);
    for (at, character) in line.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '{' => braces = true,
            '}' => braces = false,
            ' ' | '\t' if !braces => return Some(at),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_of_a_family_are_summed_by_their_labels() {
        let metrics = parse(concat!(
            "otelcol_receiver_accepted_spans_total{receiver=\"otlp\",transport=\"grpc\"} 3\n",
            "otelcol_receiver_accepted_spans_total{receiver=\"otlp\",transport=\"http\"} 4\n",
            "otelcol_receiver_accepted_spans_other{receiver=\"otlp\"} 100\n",
            "otelcol_process_uptime{xreceiver=\"otlp\"} 1\n",
        ));
        let family = "otelcol_receiver_accepted_spans";
        assert_eq!(sum(&metrics, family, &[]), Some(7.0));
        assert_eq!(sum(&metrics, family, &[("transport", "http")]), Some(4.0));
        assert_eq!(sum(&metrics, family, &[("transport", "udp")]), None);
        assert_eq!(
            sum(&metrics, "otelcol_process_uptime", &[("receiver", "otlp")]),
            None
        );
    }

    #[test]
    fn series_are_keyed_as_printed() {
        // Prometheus 3.16.0, /metrics, with a made-up label value at the end.
        let metrics = parse(concat!(
            "# HELP go_gc_duration_seconds A summary of the wall-time pause.\n",
            "# TYPE go_gc_duration_seconds summary\n",
            "go_gc_duration_seconds{quantile=\"0.25\"} 0.0001168\n",
            "go_gc_gomemlimit_bytes 2.2748851814e+10\n",
            "go_gc_heap_allocs_by_size_bytes_bucket{le=\"+Inf\"} 456002\n",
            "odd{path=\"/a b}\\\" c\",x=\"\"} NaN 1795490495044\n",
        ));
        assert_eq!(metrics.len(), 4);
        for (series, expected) in [
            (r#"go_gc_duration_seconds{quantile="0.25"}"#, 0.000_116_8),
            ("go_gc_gomemlimit_bytes", 22_748_851_814.0),
            (r#"go_gc_heap_allocs_by_size_bytes_bucket{le="+Inf"}"#, 456_002.0),
        ] {
            let value: f64 = metrics[series];
            assert!((value - expected).abs() < 1e-12, "{series} {value}");
        }
        assert!(metrics[r#"odd{path="/a b}\" c",x=""}"#].is_nan());
    }
}
