//! A scrape target with many series, some of which are replaced all the time.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use indexmap::IndexMap;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{EmitError, EmitReport, MetricsOptions, Way};
use crate::emit::ledger::{Entry, Summary};
use crate::emit::one_core::on_one_core;
use crate::emit::player::{Clock, serve};
use crate::emit::remote_write::plan::{Churn, digits, start_value};
use crate::progress::Progress;
use crate::seed::Seed;
use crate::wait::until_scheduled;
use crate::wire::exposition::Format;
use crate::wire::number::{write_float, write_labels};

/// The series that are exposed, as functions of time.
struct Exposed {
    metric: String,
    /// `name{labels` of all series, up to where their own labels follow.
    prefix: String,
    series: u64,
    churn: Churn,
    seed: u64,
    clock: Clock,
    served: Mutex<Served>,
}

#[derive(Default)]
struct Served {
    scrapes: u64,
    bytes: u64,
    total: Option<Entry>,
    /// Highest generation exposed so far, by series; empty before the first scrape.
    generations: Vec<u64>,
    /// Number of distinct series exposed so far.
    distinct: u64,
}

pub(super) async fn run(
    address: SocketAddr,
    options: MetricsOptions,
    labels: IndexMap<String, String>,
    seed: Seed,
    stop: CancellationToken,
    progress: Progress,
) -> Result<EmitReport, EmitError> {
    let work = move || async move {
        let exposed = Arc::new(Exposed::new(&options, &labels, seed));
        let router = Router::new().fallback(scrape).with_state(Arc::clone(&exposed));
        let began = Instant::now();
        let closing = CancellationToken::new();
        let address = serve(router, address, &closing)
            .await
            .map_err(|source| EmitError::Listen { address, source })?;
        // With port 0 the system chose one, which only this line tells.
        progress.step("emit", format!("exposing {} series on {address}", options.series));
        tokio::select! {
            () = until_scheduled(began + options.duration.0) => {}
            () = stop.cancelled() => {}
        }
        closing.cancel();
        let (ledger, scrapes, bytes) = {
            let served = exposed.served.lock().unwrap_or_else(PoisonError::into_inner);
            (
                Summary::of(served.distinct, served.total),
                served.scrapes,
                served.bytes,
            )
        };
        let report = EmitReport::of(
            Way::Listen,
            address.to_string(),
            seed,
            ledger,
            scrapes,
            began.elapsed(),
        );
        Ok(EmitReport { bytes, ..report })
    };
    let (report, cpu) = on_one_core("scrape-target", work).await?;
    report.map(|report: EmitReport| report.with_cpu(cpu))
}

impl Exposed {
    fn new(options: &MetricsOptions, labels: &IndexMap<String, String>, seed: Seed) -> Self {
        let mut prefix = options.metric.clone();
        write_labels(
            &mut prefix,
            labels.iter().map(|(name, value)| (name.as_str(), value.as_str())),
        );
        // Reopened, so that each series' own labels can follow.
        if prefix.ends_with('}') {
            prefix.pop();
            prefix.push(',');
        } else {
            prefix.push('{');
        }
        Self {
            metric: options.metric.clone(),
            prefix,
            series: options.series,
            // A tick is a millisecond.
            churn: Churn::new(options.series, options.churn.0, 0.001),
            seed: seed.derive("listen").0,
            clock: Clock::start(),
            served: Mutex::default(),
        }
    }

    /// The exposition at so many seconds after the start: counters that grow by one a second.
    fn text(&self, seconds: f64) -> (String, Entry) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "seconds since the start are not negative, and few"
        )]
        let (whole, tick) = (seconds as u64, (seconds * 1000.0) as u64);
        #[expect(clippy::cast_possible_truncation, reason = "unix milliseconds fit")]
        let at = (self.clock.unix(seconds) * 1000.0) as i64;
        let mut text = format!(
            "# HELP {0} Seconds, from a seeded start.\n# TYPE {0} counter\n",
            self.metric
        );
        let mut total: Option<Entry> = None;
        for member in 0..self.series {
            text.push_str(&self.prefix);
            if self.churn.any() {
                text.push_str("generation=\"");
                text.push_str(&digits(self.churn.generation(member, tick)));
                text.push_str("\",");
            }
            text.push_str("series=\"");
            text.push_str(&digits(member));
            text.push_str("\"} ");
            #[expect(clippy::cast_precision_loss, reason = "seconds and starts are far below 2^53")]
            let value = (start_value(self.seed, member) + whole) as f64;
            write_float(&mut text, value);
            text.push('\n');
            let entry = Entry::of(at, value);
            match &mut total {
                Some(total) => total.merge(&entry),
                None => total = Some(entry),
            }
        }
        let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        if served.generations.is_empty() {
            served.generations = (0..self.series)
                .map(|member| self.churn.generation(member, tick))
                .collect();
            served.distinct = self.series;
        } else if self.churn.any() {
            for member in 0..self.series {
                let now = self.churn.generation(member, tick);
                let Some(before) = usize::try_from(member)
                    .ok()
                    .and_then(|index| served.generations.get_mut(index))
                else {
                    continue;
                };
                if now > *before {
                    *before = now;
                    served.distinct += 1;
                }
            }
        }
        served.scrapes += 1;
        served.bytes += text.len() as u64;
        let total = total.unwrap_or(Entry::of(at, 0.0));
        match &mut served.total {
            Some(all) => all.merge(&total),
            None => served.total = Some(total),
        }
        drop(served);
        (text, total)
    }
}

async fn scrape(State(exposed): State<Arc<Exposed>>) -> Response {
    let (text, _) = exposed.text(exposed.clock.seconds());
    (
        [(
            CONTENT_TYPE,
            HeaderValue::from_static(Format::Text.content_type()),
        )],
        text,
    )
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emit::metrics::Label;
    use crate::units::{Ratio, Span};
    use crate::wire::exposition::{Value, text::parse};
    use std::time::Duration;

    fn options(series: u64, churn: f64) -> MetricsOptions {
        MetricsOptions {
            remote_write: None,
            listen: None,
            backfill: None,
            rate: 1000.0,
            series,
            churn: Ratio(churn),
            duration: Span(Duration::from_hours(1)),
            seed: Some(Seed(1)),
            metric: "load_total".into(),
            labels: vec![Label {
                name: "zone".into(),
                value: "a".into(),
            }],
            connections: 1,
            batch: 1,
        }
    }

    #[test]
    fn series_are_replaced_at_the_rate_of_the_churn() {
        let labels = IndexMap::from([("zone".to_owned(), "a".to_owned())]);
        let exposed = Exposed::new(&options(20, 0.5), &labels, Seed(1));
        for seconds in [0.0, 30.0, 60.0] {
            let (text, entry) = exposed.text(seconds);
            let families = parse(&text).unwrap();
            assert_eq!(families[0].metrics.len(), 20);
            let sum: f64 = families[0]
                .metrics
                .iter()
                .map(|metric| match metric.value {
                    Value::Counter(value) => value,
                    _ => 0.0,
                })
                .sum();
            assert!((sum - entry.sum).abs() < 1e-9);
        }
        let served = exposed.served.lock().unwrap();
        assert_eq!((served.scrapes, served.distinct), (3, 30));
        assert_eq!(served.total.unwrap().count, 60);
    }

    #[tokio::test]
    async fn an_address_in_use_is_named() {
        let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap();
        let error = run(
            address,
            options(1, 0.0),
            IndexMap::new(),
            Seed(1),
            CancellationToken::new(),
            Progress::silent(),
        )
        .await
        .unwrap_err();
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }

    #[tokio::test]
    async fn stopping_ends_the_run_with_a_report() {
        let stop = CancellationToken::new();
        stop.cancel();
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let report = run(
            address,
            options(5, 0.0),
            IndexMap::new(),
            Seed(1),
            stop,
            Progress::silent(),
        )
        .await
        .unwrap();
        assert_eq!((report.requests, report.ledger.samples), (0, 0));
    }
}
