use super::*;
use crate::wire::remote_write::{TimeSeries, decode};
use axum::Router;
use axum::http::StatusCode;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

/// A server that answers every request as `answer` says, and keeps what it got.
async fn sink(
    answer: impl Fn(usize) -> (StatusCode, &'static str) + Send + Sync + 'static,
) -> (Url, Arc<Mutex<Vec<WriteRequest>>>) {
    let got = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&got);
    let answer = Arc::new(answer);
    let router = Router::new().fallback(move |body: Bytes| {
        let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
        async move {
            let mut kept = kept.lock().unwrap();
            kept.push(decode(&body).unwrap());
            answer(kept.len() - 1)
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/api/v1/write", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url.parse().unwrap(), got)
}

fn ledger_of(requests: &[WriteRequest]) -> Ledger {
    let mut ledger = Ledger::default();
    for series in requests.iter().flat_map(|request| &request.timeseries) {
        let labels: IndexMap<String, String> = series
            .labels
            .iter()
            .filter(|label| label.name != "__name__")
            .map(|label| (label.name.clone(), label.value.clone()))
            .collect();
        for sample in &series.samples {
            ledger.enter(
                &crate::emit::backfill::key("load_total", &labels),
                sample.timestamp,
                sample.value,
            );
        }
    }
    ledger
}

fn load(endpoint: Url) -> Load {
    Load {
        rate: 5_000.0,
        batch: 100,
        connections: 3,
        churn: 60.0,
        ..Load::new(endpoint, 1_000, Duration::from_millis(600), Seed(5))
    }
}

#[tokio::test]
async fn the_ledger_is_what_arrived() {
    let (endpoint, got) = sink(|_| (StatusCode::NO_CONTENT, "")).await;
    let outcome = send(load(endpoint), CancellationToken::new()).await.unwrap();
    assert_eq!(outcome.acknowledged, 3_000);
    assert_eq!(outcome.requests, 30);
    assert!(outcome.failures.is_empty());
    let arrived = ledger_of(&got.lock().unwrap());
    assert_eq!(outcome.ledger().compare(&arrived), IndexMap::new());
    assert!(
        outcome.summary().series > 1_000,
        "with churn there are more series"
    );
    assert!(outcome.cpu > Duration::ZERO && outcome.latency.max > 0.0);
}

#[tokio::test]
async fn refusals_are_counted_with_the_words_of_the_server() {
    let (endpoint, got) = sink(|number| {
        if number.is_multiple_of(3) {
            (StatusCode::BAD_REQUEST, "out of order sample\n")
        } else {
            (StatusCode::OK, "")
        }
    })
    .await;
    let outcome = send(load(endpoint), CancellationToken::new()).await.unwrap();
    assert_eq!((outcome.acknowledged, outcome.refused), (2_000, 1_000));
    assert_eq!(
        outcome.failures,
        [Failure {
            status: Some(400),
            words: "out of order sample".into(),
            requests: 10,
            samples: 1_000
        }]
    );
    let arrived = ledger_of(&got.lock().unwrap());
    let sent = outcome.ledger();
    assert_eq!(sent.summary().samples, 2_000);
    assert_eq!(arrived.summary().samples, 3_000);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let endpoint: Url = format!("http://{address}/api/v1/write").parse().unwrap();
    let error = send(load(endpoint), CancellationToken::new())
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains(&address.to_string()), "{error}");
    assert!(error.contains("refused"), "{error}");
}

#[tokio::test]
async fn a_load_can_be_stopped() {
    let (endpoint, _) = sink(|_| (StatusCode::NO_CONTENT, "")).await;
    let stop = CancellationToken::new();
    stop.cancel();
    let long = Load {
        duration: Duration::from_hours(1),
        ..load(endpoint)
    };
    let outcome = send(long, stop).await.unwrap();
    assert!(outcome.requests <= 3, "{} requests", outcome.requests);
}

#[tokio::test]
async fn a_request_of_ones_own_is_pushed() {
    let (endpoint, got) = sink(|_| (StatusCode::NO_CONTENT, "")).await;
    let request = WriteRequest {
        timeseries: vec![TimeSeries::of_samples("x", &IndexMap::new(), [(1, 2.0)])],
        metadata: vec![],
    };
    push(&endpoint, &request).await.unwrap();
    assert_eq!(*got.lock().unwrap(), [request]);
}

#[test]
fn percentiles_are_of_the_nearest_rank() {
    let latency = Latency::of((1..=100).map(|ms| ms * 1_000).collect());
    assert_eq!(
        (latency.p50, latency.p95, latency.p99, latency.max),
        (0.05, 0.095, 0.099, 0.1)
    );
    assert_eq!(Latency::of(vec![]), Latency::default());
}
