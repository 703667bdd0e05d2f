//! A healthy day: what Prometheus would hold after scraping every service of
//! the shapes, as input for rules in virtual time.

use indexmap::IndexMap;

use super::inputs::{InputKind, InputSeries};
use crate::render::ResolvedTarget;
use crate::shapes::{Kind, Metric, Series, Shapes};

/// Every series of every played target, and `up` of every declared one.
///
/// Labels of the target are those a `ServiceMonitor` gives (`job`, `instance`, `namespace`, `service`,
/// `endpoint`); a label the metric itself carries wins, as with `honorLabels`. Native histograms have
/// no classic series and are left out.
#[must_use]
pub fn series(shapes: &Shapes, targets: &[ResolvedTarget]) -> Vec<InputSeries> {
    let mut all: IndexMap<String, InputSeries> = IndexMap::new();
    for target in targets {
        let mut parts = target.endpoint.splitn(3, '/');
        let (namespace, service, port) = (
            parts.next().unwrap_or_default(),
            parts.next().unwrap_or_default(),
            parts.next().unwrap_or_default(),
        );
        let played = shapes.service(&format!("{namespace}/{service}"));
        for number in 0..target.instances {
            let own = IndexMap::from([
                ("job".to_owned(), target.job.clone()),
                ("instance".to_owned(), format!("{service}-{number}:{port}")),
                ("namespace".to_owned(), namespace.to_owned()),
                ("service".to_owned(), service.to_owned()),
                ("endpoint".to_owned(), port.to_owned()),
            ]);
            let mut add = |name: &str, labels: &IndexMap<String, String>, kind, value| {
                let mut merged = own.clone();
                merged.extend(labels.clone());
                let series = text(name, &merged);
                all.entry(series.clone()).or_insert(InputSeries {
                    series,
                    kind,
                    healthy: Some(value),
                    breach: None,
                });
            };
            add("up", &IndexMap::new(), InputKind::Gauge, 1.0);
            for metric in played.iter().flat_map(|service| &service.metrics) {
                for one in &metric.series {
                    expose(metric, one, &mut add);
                }
            }
        }
    }
    all.into_values().collect()
}

fn expose(
    metric: &Metric,
    series: &Series,
    add: &mut impl FnMut(&str, &IndexMap<String, String>, InputKind, f64),
) {
    match metric.kind {
        Kind::Counter => add(
            &metric.name,
            &series.labels,
            InputKind::Counter,
            series.rate.unwrap_or(0.0),
        ),
        Kind::Gauge => {
            if let Some(level) = series.level {
                add(&metric.name, &series.labels, InputKind::Gauge, level);
            }
            if let Some(age) = series.age {
                add(&metric.name, &series.labels, InputKind::Age, age);
            }
        }
        Kind::Histogram => {
            let rate = series.rate.unwrap_or(0.0);
            let (median, spread) = (series.median.unwrap_or(1.0), series.spread.unwrap_or(1.0));
            let bucket = format!("{}_bucket", metric.name);
            for bound in metric.buckets.iter().copied().chain([f64::INFINITY]) {
                let mut labels = series.labels.clone();
                let le = if bound.is_infinite() {
                    "+Inf".to_owned()
                } else {
                    format!("{bound:?}")
                };
                labels.insert("le".to_owned(), le);
                add(
                    &bucket,
                    &labels,
                    InputKind::Counter,
                    rate * share_below(bound, median, spread),
                );
            }
            // The mean of a log-normal distribution is median * exp(spread^2 / 2).
            let mean = median * (spread * spread / 2.0).exp();
            add(
                &format!("{}_sum", metric.name),
                &series.labels,
                InputKind::Counter,
                rate * mean,
            );
            add(
                &format!("{}_count", metric.name),
                &series.labels,
                InputKind::Counter,
                rate,
            );
        }
        Kind::NativeHistogram => {}
    }
}

/// The share of a log-normal distribution below `bound`.
///
/// The error function by the approximation 7.1.26 of Abramowitz and Stegun, exact to 1.5e-7.
fn share_below(bound: f64, median: f64, spread: f64) -> f64 {
    if bound.is_infinite() {
        return 1.0;
    }
    if bound <= 0.0 {
        return 0.0;
    }
    let x = (bound.ln() - median.ln()) / (spread.max(1e-9) * std::f64::consts::SQRT_2);
    let t = 1.0 / (1.0 + 0.327_591_1 * x.abs());
    let polynomial = t
        * (0.254_829_592
            + t * (-0.284_496_736 + t * (1.421_413_741 + t * (-1.453_152_027 + t * 1.061_405_429))));
    let erf = 1.0 - polynomial * (-x * x).exp();
    f64::midpoint(1.0, erf.copysign(x))
}

fn text(name: &str, labels: &IndexMap<String, String>) -> String {
    let labels: Vec<String> = labels
        .iter()
        .map(|(label, value)| format!("{label}={value:?}"))
        .collect();
    format!("{name}{{{}}}", labels.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::Path;

    proptest! {
        /// forall a < b: share_below(a) <= share_below(b), both in [0, 1], and 1/2 at the median
        #[test]
        fn shares_grow_with_the_bound(a in 0.001f64..100.0, more in 0.001f64..100.0, median in 0.01f64..10.0, spread in 0.05f64..3.0) {
            let (low, high) = (share_below(a, median, spread), share_below(a + more, median, spread));
            prop_assert!(low <= high + 1e-6 && (0.0..=1.0).contains(&low) && (0.0..=1.0).contains(&high));
            prop_assert!((share_below(median, median, spread) - 0.5).abs() < 1e-6);
        }
    }

    #[test]
    fn every_instance_exposes_every_series_and_up() {
        let shapes = Shapes::parse(
            Path::new("shapes.yaml"),
            r"
services:
  - name: api
    namespace: llmoptimizer
    labels: {app: api}
    ports: {metrics: 8080}
    instances: 2
    metrics:
      - {name: requests_total, help: h, kind: counter, series: [{labels: {status: '200'}, rate: 5}]}
      - {name: took_seconds, help: h, kind: histogram, buckets: [0.1, 1], series: [{rate: 5, median: 0.1, spread: 0.5}]}
",
        )
        .unwrap();
        let target = ResolvedTarget {
            monitor: "ServiceMonitor/api".into(),
            scrape_job: "serviceMonitor/llmoptimizer/api/0".into(),
            endpoint: "llmoptimizer/api/metrics".into(),
            job: "api".into(),
            interval: "15s".parse().unwrap(),
            instances: 2,
        };
        let all = series(&shapes, &[target]);
        // up, the counter, two buckets with +Inf, sum and count; twice.
        assert_eq!(all.len(), 14);
        let first = |prefix: &str| all.iter().find(|s| s.series.starts_with(prefix)).unwrap();
        assert_eq!(
            first("took_seconds_bucket").healthy.map(|v| (v * 1e3).round()),
            Some(2500.0)
        );
        assert!(first("requests_total").series.contains("job=\"api\""));
    }
}
