use super::super::otlp::{Client, Endpoint, OtlpError, Protocol, Sending, framed};
use super::super::traces::topology::Topology;
use super::super::traces::topology::tests::fixtures;
use super::super::traces::{Load, plan, send};
use super::*;
use crate::seed::Seed;
use crate::wait::{Look, Wait};
use crate::wire::otlp::traces::{ResourceSpans, ScopeSpans, Span};
use flate2::write::GzEncoder;
use rstest::rstest;
use std::io::Write;

fn endpoint(sink: &Sink, protocol: Protocol) -> Endpoint {
    let address = match protocol {
        Protocol::Grpc => sink.grpc(),
        Protocol::Http => sink.http(),
    };
    Endpoint {
        url: format!("http://{address}").parse().unwrap(),
        protocol,
        signal: Signal::Traces,
        headers: Vec::new(),
    }
}

fn load(sink: &Sink, protocol: Protocol, traces: u64) -> Load {
    Load {
        endpoint: endpoint(sink, protocol),
        wanted: plan::Wanted {
            amount: plan::Amount::Traces(traces),
            rate: 200_000.0,
            batch: 500,
            origins: Vec::new(),
            root_attributes: Vec::new(),
            seed: Seed(3),
        },
        sending: Sending::default(),
    }
}

fn topology() -> Arc<Topology> {
    Arc::new(Topology::new(&fixtures()).unwrap())
}

fn one_span() -> ExportTraces {
    ExportTraces {
        resource_spans: vec![ResourceSpans {
            resource: None,
            scope_spans: vec![ScopeSpans {
                scope: None,
                spans: vec![Span {
                    trace_id: vec![1; 16],
                    span_id: vec![2; 8],
                    name: "x".into(),
                    start_time_unix_nano: 1,
                    end_time_unix_nano: 2,
                    ..Span::default()
                }],
            }],
        }],
    }
}

#[rstest]
#[case(Protocol::Grpc, Keep::Ledger)]
#[case(Protocol::Grpc, Keep::Whole)]
#[case(Protocol::Http, Keep::Ledger)]
#[case(Protocol::Http, Keep::Whole)]
#[tokio::test]
async fn what_was_sent_is_what_arrived(#[case] protocol: Protocol, #[case] keep: Keep) {
    let sink = Sink::start(keep).unwrap();
    let outcome = send(topology(), load(&sink, protocol, 2_000), CancellationToken::new())
        .await
        .unwrap();
    assert!(outcome.tally.clean(), "{:?}", outcome.tally);
    let sent = outcome.ledger();
    assert_eq!(sent.len(), 2_000);
    assert_eq!(sent.compare(&sink.ledger()), indexmap::IndexMap::new());
    assert_eq!(sink.arrived().spans, sent.summary().spans);
    assert_eq!(sink.arrived().requests, outcome.tally.requests);
}

#[rstest]
#[case(Protocol::Grpc, "UNAVAILABLE")]
#[case(Protocol::Http, "503")]
#[tokio::test]
async fn a_refusal_is_counted_with_the_words_and_nothing_of_it_passes_for_sent(
    #[case] protocol: Protocol,
    #[case] status: &str,
) {
    let sink = Sink::start(Keep::Ledger).unwrap();
    let words = "50% full: try later";
    sink.answer(
        Reply::Refuse {
            grpc: 14,
            http: 503,
            words: words.into(),
        },
        Some(2),
    );
    let outcome = send(topology(), load(&sink, protocol, 1_000), CancellationToken::new())
        .await
        .unwrap();
    let tally = &outcome.tally;
    assert_eq!(tally.failures.len(), 1, "{tally:?}");
    assert_eq!(tally.failures[0].status.as_deref(), Some(status));
    assert_eq!(tally.failures[0].words, words);
    assert_eq!(tally.failures[0].requests, 2);
    assert_eq!(tally.refused, tally.failures[0].items);
    assert_eq!(tally.unanswered, 0);
    assert_eq!(sink.arrived().refused, 2);
    assert_eq!(
        outcome.ledger().compare(&sink.ledger()),
        indexmap::IndexMap::new()
    );
    assert_eq!(outcome.ledger().summary().spans, tally.acknowledged);
    assert!(outcome.uncertain().is_empty());
}

#[rstest]
#[case(Protocol::Grpc)]
#[case(Protocol::Http)]
#[tokio::test]
async fn a_partial_success_is_refused_in_part(#[case] protocol: Protocol) {
    let sink = Sink::start(Keep::Count).unwrap();
    sink.answer(
        Reply::Partial {
            rejected: 5,
            words: "too old".into(),
        },
        Some(1),
    );
    let outcome = send(topology(), load(&sink, protocol, 300), CancellationToken::new())
        .await
        .unwrap();
    let tally = &outcome.tally;
    assert_eq!(tally.refused, 5);
    assert_eq!(tally.acknowledged + 5, sink.arrived().spans);
    assert_eq!(tally.failures[0].status.as_deref(), Some("partial success"));
    assert_eq!(tally.failures[0].words, "too old");
    assert!(!outcome.uncertain().is_empty());
    assert_eq!(
        outcome.ledger().summary().spans + outcome.uncertain().summary().spans,
        sink.arrived().spans
    );
}

#[rstest]
#[case(Protocol::Grpc)]
#[case(Protocol::Http)]
#[tokio::test]
async fn nobody_there_is_said_at_once(#[case] protocol: Protocol) {
    let sink = Sink::start(Keep::Count).unwrap();
    let load = load(&sink, protocol, 300);
    drop(sink);
    // The port closes with the sink's thread; a connection before that breaks off instead.
    let error = send(topology(), load, CancellationToken::new())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("cannot be reached: "), "{error}");
}

#[tokio::test]
async fn requests_that_wait_for_the_bound_are_late_and_all_are_sent() {
    let sink = Sink::start(Keep::Count).unwrap();
    let mut load = load(&sink, Protocol::Grpc, 3_000);
    load.wanted.rate = 1e9;
    load.sending.in_flight = 1;
    let outcome = send(topology(), load, CancellationToken::new()).await.unwrap();
    assert_eq!(outcome.tally.acknowledged, sink.arrived().spans);
    assert_eq!(outcome.ledger().len(), 3_000);
    assert!(outcome.tally.longest_delay > Duration::ZERO);
}

#[tokio::test]
async fn packed_requests_are_unpacked_and_broken_ones_refused() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let sink = Sink::start(Keep::Whole).unwrap();
    let url = format!("http://{}/v1/traces", sink.http());
    let message = one_span().encode_to_vec();
    let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&message).unwrap();
    let packed = gzip.finish().unwrap();
    let post = async |body: Vec<u8>| {
        reqwest::Client::new()
            .post(&url)
            .header("content-type", "application/x-protobuf")
            .header("content-encoding", "gzip")
            .body(body)
            .send()
            .await
            .unwrap()
            .status()
    };
    assert_eq!(post(packed).await, 200);
    assert_eq!(post(message).await, 400, "it is not packed");
    assert_eq!(sink.traces(), [one_span()]);
    assert_eq!(sink.arrived().unreadable, 1);
    sink.forget();
    assert_eq!(sink.arrived(), Arrived::default());
}

#[tokio::test]
async fn log_records_are_counted_apart() {
    let sink = Sink::start(Keep::Whole).unwrap();
    let client = Client::new(&Endpoint {
        signal: Signal::Logs,
        ..endpoint(&sink, Protocol::Grpc)
    })
    .unwrap();
    // Spans and log records nest alike, so that one message serves for both.
    client.export(framed(&one_span())).await.unwrap();
    let arrived = sink.arrived();
    assert_eq!((arrived.logs, arrived.spans), (1, 0));
    assert_eq!(sink.requests()[0].signal, Signal::Logs);
    assert!(sink.traces().is_empty());
}

#[tokio::test]
async fn a_connection_that_was_lost_is_made_anew() {
    let sink = Sink::start(Keep::Count).unwrap();
    let client = Client::new(&endpoint(&sink, Protocol::Grpc)).unwrap();
    client.export(framed(&one_span())).await.unwrap();
    let at = sink.grpc();
    drop(sink);
    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let again = Wait::new("the port to be free again", Duration::from_secs(10))
        .until(|| async {
            match Sink::start_at(at, free, Keep::Count) {
                Ok(sink) => Look::Ready(sink),
                Err(error) => Look::Missing(error.to_string()),
            }
        })
        .await
        .unwrap();
    Wait::new("a request to get through", Duration::from_secs(10))
        .until(|| async {
            match client.export(framed(&one_span())).await {
                Ok(_) => Look::Ready(()),
                Err(error) => Look::Missing(error.to_string()),
            }
        })
        .await
        .unwrap();
    assert_eq!(again.arrived().spans, 1);
}

#[test]
fn https_over_grpc_is_refused_with_a_remedy() {
    let sink = Sink::start(Keep::Count).unwrap();
    let mut endpoint = endpoint(&sink, Protocol::Grpc);
    endpoint.url = "https://localhost:4317".parse().unwrap();
    let error = Client::new(&endpoint).unwrap_err();
    assert!(matches!(error, OtlpError::Address { .. }));
    assert!(error.to_string().contains("give an http address"), "{error}");
}

#[test]
fn a_taken_address_is_named() {
    let sink = Sink::start(Keep::Count).unwrap();
    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let error = Sink::start_at(sink.grpc(), free, Keep::Count).unwrap_err();
    assert!(error.to_string().contains(&sink.grpc().to_string()), "{error}");
}
