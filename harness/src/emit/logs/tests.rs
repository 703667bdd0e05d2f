use super::options::{LogsOptions, LogsReport, Way, run};
use super::records::{ReadError, Record, digest_json, reconcile, reconcile_records};
use super::*;
use crate::emit::sink::{Keep, Sink};
use crate::wire::otlp::logs::ExportLogs;
use crate::wire::otlp::text_of;
use crate::wire::{bulk, container_log, loki_push};
use axum::Router;
use axum::http::StatusCode;
use bytes::Bytes as Body;
use clap::{Args, FromArgMatches};
use proptest::prelude::*;
use prost::Message;
use rstest::rstest;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Mutex;
use tokio::net::TcpListener;

fn shapes() -> Arc<Shapes> {
    let text = "
services:
  - name: gateway
    namespace: shop
    labels: {app.kubernetes.io/name: gateway, tier: critical}
    ports: {http: 8080}
    instances: 2
    metrics:
      - name: http_requests_total
        help: Requests served.
        kind: counter
        series:
          - {labels: {method: GET, route: /api, status: '200'}, rate: 8}
          - {labels: {method: GET, route: /api, status: '500'}, rate: 1}
  - name: dashboard
    namespace: monitoring
    labels: {app.kubernetes.io/name: dashboard}
    ports: {http: 3000}
    metrics: []
";
    Arc::new(Shapes::parse(Path::new("shapes.yaml"), text).unwrap())
}

fn load(destination: Destination) -> Load {
    Load {
        rate: 20_000.0,
        count: Some(2_345),
        batch: 100,
        connections: 2,
        ..Load::new(destination, shapes(), Seed(11))
    }
}

/// A server that answers the n-th request as `answer` says, and keeps what it got.
async fn sink(
    answer: impl Fn(usize, &Body) -> (StatusCode, Vec<u8>) + Send + Sync + 'static,
) -> (Url, Arc<Mutex<Vec<Body>>>) {
    let got = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&got);
    let answer = Arc::new(answer);
    let router = Router::new().fallback(move |body: Body| {
        let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
        async move {
            let mut kept = kept.lock().unwrap();
            kept.push(body.clone());
            answer(kept.len() - 1, &body)
        }
    });
    let router = router.layer(axum::extract::DefaultBodyLimit::disable());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url.parse().unwrap(), got)
}

fn bulk_to(endpoint: Url, repeats: u32) -> Destination {
    Destination::Bulk {
        endpoint,
        action: Action::Create,
        suffix: Some("now".into()),
        repeats,
    }
}

fn otlp_to(endpoint: Url, protocol: Protocol) -> Destination {
    Destination::Otlp { endpoint, protocol }
}

/// The answer of a server that takes everything but the items for which `status` gives another one.
fn bulk_answer(body: &Body, status: impl Fn(usize, &bulk::Read) -> u16) -> (StatusCode, Vec<u8>) {
    let items: Vec<Value> = bulk::decode(std::str::from_utf8(body).unwrap())
        .unwrap()
        .iter()
        .enumerate()
        .map(|(at, read)| match status(at, read) {
            201 => json!({"create": {"status": 201}}),
            status => json!({"create": {"status": status, "error": {"type": "kind", "reason": format!("[{}]: no", read.id)}}}),
        })
        .collect();
    let answer = json!({"errors": true, "items": items});
    (StatusCode::OK, answer.to_string().into_bytes())
}

fn documents(bodies: &[Body]) -> Vec<Record> {
    bodies
        .iter()
        .flat_map(|body| bulk::decode(std::str::from_utf8(body).unwrap()).unwrap())
        .map(|read| {
            let record = Record::of_document(&read.source).unwrap();
            assert_eq!(read.id, format!("{:016x}", record.id));
            record
        })
        .collect()
}

#[tokio::test]
async fn bulk_documents_are_what_the_ledger_says() {
    let (endpoint, got) = sink(|_, body| bulk_answer(body, |_, _| 201)).await;
    let outcome = send(load(bulk_to(endpoint, 0)), CancellationToken::new())
        .await
        .unwrap();
    assert_eq!(
        (outcome.acknowledged, outcome.refused, outcome.unanswered),
        (2_345, 0, 0)
    );
    let arrived = documents(&got.lock().unwrap());
    let found = reconcile(&outcome.sent, &arrived);
    assert!(found.exact() && found.arrived == 2_345, "{found}");
    let mut ledger = Ledger::default();
    for record in &arrived {
        ledger.enter(record);
    }
    ledger.streams.sort_unstable_keys();
    assert_eq!(ledger, Ledger::of(&outcome.sent));
}

#[tokio::test]
async fn records_go_to_the_indices_of_their_kind() {
    let (endpoint, got) = sink(|_, body| bulk_answer(body, |_, _| 201)).await;
    send(load(bulk_to(endpoint, 0)), CancellationToken::new())
        .await
        .unwrap();
    for body in got.lock().unwrap().iter() {
        for read in bulk::decode(std::str::from_utf8(body).unwrap()).unwrap() {
            let expected = match (
                read.source["kubernetes"]["container"]["name"].as_str().unwrap(),
                read.source["kubernetes"]["namespace"].as_str().unwrap(),
            ) {
                ("istio-proxy", _) => "istio-access-now",
                (_, "shop") => "app-now",
                _ => "logs-now",
            };
            assert_eq!(read.index, expected);
        }
    }
}

#[tokio::test]
async fn repeated_bulk_requests_are_told_from_first_ones() {
    let seen = Mutex::new(std::collections::HashSet::new());
    let (endpoint, got) = sink(move |_, body| {
        let mut seen = seen.lock().unwrap();
        bulk_answer(body, |_, read| if seen.contains(&read.id) { 409 } else { 201 }).clone_after(|| {
            for read in bulk::decode(std::str::from_utf8(body).unwrap()).unwrap() {
                seen.insert(read.id);
            }
        })
    })
    .await;
    let outcome = send(load(bulk_to(endpoint, 1)), CancellationToken::new())
        .await
        .unwrap();
    assert_eq!(
        (outcome.acknowledged, outcome.replaced, outcome.refused),
        (2_345, 2_345, 0)
    );
    assert!(outcome.failures.is_empty());
    let found = reconcile(&outcome.sent, &documents(&got.lock().unwrap()));
    assert_eq!(found.duplicated.len(), 2_345);
}

#[tokio::test]
async fn what_a_repetition_brings_in_is_not_refused_any_more() {
    let (endpoint, got) =
        sink(|number, body| bulk_answer(body, |at, _| if number == 0 && at < 5 { 429 } else { 201 })).await;
    let single = Load {
        connections: 1,
        ..load(bulk_to(endpoint, 1))
    };
    let outcome = send(single, CancellationToken::new()).await.unwrap();
    assert_eq!((outcome.acknowledged, outcome.refused), (2_345, 0));
    assert_eq!(outcome.failures[0].records, 5);
    let found = reconcile(&outcome.sent, &documents(&got.lock().unwrap()));
    assert!(found.lost.is_empty() && found.unexpected.is_empty(), "{found}");
}

/// Runs something after a value was made.
trait After: Sized {
    fn clone_after(self, then: impl FnOnce()) -> Self {
        then();
        self
    }
}
impl After for (StatusCode, Vec<u8>) {}

#[tokio::test]
async fn refused_items_are_counted_with_the_words_of_the_server() {
    let (endpoint, got) =
        sink(|_, body| bulk_answer(body, |at, _| if at.is_multiple_of(10) { 429 } else { 201 })).await;
    let outcome = send(load(bulk_to(endpoint, 0)), CancellationToken::new())
        .await
        .unwrap();
    assert_eq!(outcome.acknowledged + outcome.refused, 2_345);
    assert_eq!(outcome.failures.len(), 1);
    let failure = &outcome.failures[0];
    assert_eq!(
        (failure.status.as_deref(), failure.records),
        (Some("429"), outcome.refused)
    );
    assert!(failure.words.starts_with("kind: ["), "{failure:?}");
    let found = reconcile(&outcome.sent, &documents(&got.lock().unwrap()));
    assert_eq!(
        found.unexpected.len() as u64,
        outcome.refused,
        "refused, but there"
    );
    assert!(found.lost.is_empty());
}

#[tokio::test]
async fn of_refused_requests_records_may_be_there_or_not() {
    let (endpoint, got) = sink(|number, body| {
        if number.is_multiple_of(3) {
            (
                StatusCode::TOO_MANY_REQUESTS,
                br#"{"error":{"reason":"too much"}}"#.to_vec(),
            )
        } else {
            bulk_answer(body, |_, _| 201)
        }
    })
    .await;
    let outcome = send(load(bulk_to(endpoint, 0)), CancellationToken::new())
        .await
        .unwrap();
    assert!(outcome.refused > 0 && outcome.failures[0].words == "too much");
    assert_eq!(outcome.failures[0].status.as_deref(), Some("429"));
    let all = documents(&got.lock().unwrap());
    assert!(reconcile(&outcome.sent, &all).exact());
    let uncertain: std::collections::HashSet<u64> =
        outcome.sent.uncertain().iter().map(|record| record.id).collect();
    let certain: Vec<Record> = all
        .into_iter()
        .filter(|record| !uncertain.contains(&record.id))
        .collect();
    assert!(reconcile(&outcome.sent, &certain).exact());
}

#[tokio::test]
async fn words_that_never_repeat_do_not_fill_the_memory() {
    let (endpoint, _) = sink(|number, _| {
        let words = format!("too old at {number}");
        (StatusCode::BAD_REQUEST, words.into_bytes())
    })
    .await;
    let many = Load {
        batch: 10,
        connections: 1,
        ..load(Destination::Loki(endpoint))
    };
    let outcome = send(many, CancellationToken::new()).await.unwrap();
    assert_eq!(outcome.failures.len(), KINDS_KEPT + 1);
    let refused: u64 = outcome.failures.iter().map(|failure| failure.records).sum();
    assert_eq!(refused, 2_345);
}

#[tokio::test]
async fn loki_gets_what_the_ledger_says_in_the_order_of_its_streams() {
    let (endpoint, got) = sink(|_, _| (StatusCode::NO_CONTENT, Vec::new())).await;
    let outcome = send(load(Destination::Loki(endpoint)), CancellationToken::new())
        .await
        .unwrap();
    let mut arrived = Vec::new();
    for body in got.lock().unwrap().iter() {
        for (labels, entries) in loki_push::decode(body).unwrap() {
            let labels: Vec<(String, String)> = labels
                .trim_matches(['{', '}'])
                .split(", ")
                .map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap();
                    (name.to_owned(), value.trim_matches('"').to_owned())
                })
                .collect();
            let label = |name: &str| {
                let found = labels.iter().find(|(other, _)| other == name);
                found.map(|(_, value)| value.as_str())
            };
            for (at, line) in entries {
                arrived.push(Record::of_entry(label, at, &line).unwrap());
            }
        }
    }
    let found = reconcile(&outcome.sent, &arrived);
    assert!(found.exact() && found.sent == 2_345, "{found}");
}

fn otlp_records(requests: impl IntoIterator<Item = Body>) -> Vec<Record> {
    let mut arrived = Vec::new();
    for body in requests {
        for logs in ExportLogs::decode(body).unwrap().resource_logs {
            let resource = logs.resource.unwrap();
            let label = |name: &str| text_of(&resource.attributes, &name.replace('_', "."));
            for record in &logs.scope_logs[0].log_records {
                let at = i64::try_from(record.time_unix_nano).unwrap();
                let line = record.body.as_ref().unwrap().text().unwrap();
                let read = Record::of_entry(label, at, line).unwrap();
                assert_eq!(
                    text_of(&record.attributes, "log.record.uid"),
                    Some(format!("{:016x}", read.id).as_str())
                );
                let value: Value = serde_json::from_str(line).unwrap();
                assert_eq!(
                    value.get("trace_id").and_then(Value::as_str).unwrap_or_default(),
                    hex::encode(&record.trace_id)
                );
                arrived.push(read);
            }
        }
    }
    arrived
}

#[tokio::test]
async fn otlp_gets_what_the_ledger_says() {
    let (endpoint, got) = sink(|_, _| (StatusCode::OK, Vec::new())).await;
    let outcome = send(load(otlp_to(endpoint, Protocol::Http)), CancellationToken::new())
        .await
        .unwrap();
    let found = reconcile(&outcome.sent, &otlp_records(got.lock().unwrap().clone()));
    assert!(found.exact() && found.sent == 2_345, "{found}");
}

#[tokio::test]
async fn otlp_over_grpc_gets_what_the_ledger_says() {
    let sink = Sink::start(Keep::Whole).unwrap();
    let endpoint: Url = format!("http://{}", sink.grpc()).parse().unwrap();
    let outcome = send(load(otlp_to(endpoint, Protocol::Grpc)), CancellationToken::new())
        .await
        .unwrap();
    let requests = sink.requests().into_iter().map(|request| request.message);
    let found = reconcile(&outcome.sent, &otlp_records(requests));
    assert!(found.exact() && found.sent == 2_345, "{found}");
}

#[tokio::test]
async fn records_that_otlp_rejects_are_counted() {
    let (endpoint, _) = sink(|number, _| {
        let answer = crate::wire::otlp::ExportResponse {
            partial_success: (number == 0).then(|| crate::wire::otlp::PartialSuccess {
                rejected: 7,
                error_message: "too old".into(),
            }),
        };
        (StatusCode::OK, answer.encode_to_vec())
    })
    .await;
    let outcome = send(load(otlp_to(endpoint, Protocol::Http)), CancellationToken::new())
        .await
        .unwrap();
    assert_eq!((outcome.refused, outcome.unanswered), (7, 93));
    assert_eq!(outcome.failures[0].words, "too old");
}

/// Records in a folder of container logs, rotated files first.
fn read_files(folder: &Path) -> Vec<Record> {
    let list = |folder: &Path| {
        let mut names: Vec<PathBuf> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        names.sort_unstable();
        names
    };
    let mut records = Vec::new();
    for pod in list(folder) {
        let name = pod.file_name().unwrap().to_string_lossy().into_owned();
        let parts: Vec<&str> = name.split('_').collect();
        for container in list(&pod) {
            let stream: Arc<str> = format!(
                "{}/{}/{}",
                parts[0],
                parts[1],
                container.file_name().unwrap().to_string_lossy()
            )
            .into();
            let mut files = list(&container);
            // `0.log` sorts before the rotated ones, but is the newest.
            files.rotate_left(1);
            for file in files {
                for (_, line) in container_log::decode(&std::fs::read(file).unwrap()).unwrap() {
                    records.push(Record::of_line(Arc::clone(&stream), &line).unwrap());
                }
            }
        }
    }
    records
}

fn files_in(folder: &Path, size: u64, files: usize) -> Destination {
    Destination::Files {
        folder: folder.to_owned(),
        rotation: Rotation { size, files },
    }
}

#[tokio::test]
async fn files_hold_what_the_ledger_says_across_rotations() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = send(
        load(files_in(folder.path(), 60_000, 1_000)),
        CancellationToken::new(),
    )
    .await
    .unwrap();
    let found = reconcile(&outcome.sent, &read_files(folder.path()));
    assert!(found.exact() && found.sent == 2_345, "{found}");
    let rotated = std::fs::read_dir(folder.path()).unwrap().any(|pod| {
        let gateway = pod.unwrap().path().join("gateway");
        gateway.is_dir() && std::fs::read_dir(gateway).unwrap().count() > 2
    });
    assert!(rotated, "no file was rotated");
}

#[tokio::test]
async fn what_rotation_removes_is_counted_and_found_lost() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = send(load(files_in(folder.path(), 40_000, 2)), CancellationToken::new())
        .await
        .unwrap();
    assert!(outcome.removed > 0);
    let found = reconcile(&outcome.sent, &read_files(folder.path()));
    assert_eq!(found.lost.len() as u64, outcome.removed);
    assert!(found.altered.is_empty() && found.reordered.is_empty());
}

#[tokio::test]
async fn files_of_an_earlier_run_are_not_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let again = || send(load(files_in(folder.path(), 40_000, 2)), CancellationToken::new());
    again().await.unwrap();
    let error = again().await.unwrap_err().to_string();
    assert!(error.contains("0.log: File exists"), "{error}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let endpoint: Url = format!("http://{address}/_bulk").parse().unwrap();
    let error = send(load(bulk_to(endpoint, 0)), CancellationToken::new())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with(&format!(
            "http://{address}/_bulk cannot be reached: no connection"
        )),
        "{error}"
    );
}

fn plan(records: u64, batch: usize, connections: usize, seed: u64, history: Option<Duration>) -> Plan {
    Plan::new(&Load {
        count: Some(records),
        batch,
        connections,
        history,
        seed: Seed(seed),
        ..load(bulk_to("http://127.0.0.1:9/".parse().unwrap(), 0))
    })
    .unwrap()
}

fn everything(plan: &Plan, form: Form) -> Sent {
    let mut sent = Sent::new(plan.clone(), 1_800_000_000_000_000_000, form);
    for group in 0..plan.groups() {
        for slot in (0..).map_while(|round| plan.slot(round, group)) {
            sent.acknowledge(slot);
        }
    }
    sent
}

/// What happens to a record on its way.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Arrives,
    IsLost,
    ComesTwice,
    IsAltered,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// forall plans: identifiers differ, and each stream counts from 0 in the order of its instants
    #[test]
    fn streams_count_without_gaps(
        records in 0u64..600, batch in 1usize..50, connections in 1usize..8, seed in any::<u64>(), minutes in proptest::option::of(1u64..600)
    ) {
        let plan = plan(records, batch, connections, seed, minutes.map(|minutes| Duration::from_secs(60 * minutes)));
        let all = everything(&plan, Form::Line).records();
        prop_assert_eq!(all.len() as u64, records);
        let ids: std::collections::HashSet<u64> = all.iter().map(|record| record.id).collect();
        prop_assert_eq!(ids.len(), all.len());
        for stream in all.chunk_by(|one, other| one.stream == other.stream) {
            for (place, record) in (0..).zip(stream) {
                prop_assert_eq!(record.sequence, place);
            }
            prop_assert!(stream.is_sorted_by_key(|record| record.at));
        }
        if minutes.is_some() {
            prop_assert!(all.iter().all(|record| record.at < 1_800_000_000_000_000_000));
        }
    }

    /// forall seeds: lines and documents read back as the records that the plan says
    #[test]
    fn lines_and_documents_are_about_the_same_records(seed in any::<u64>()) {
        let plan = plan(300, 60, 1, seed, None);
        let (lines, documents) = (everything(&plan, Form::Line).records(), everything(&plan, Form::Document).records());
        for (line, document) in lines.iter().zip(&documents) {
            prop_assert_eq!(line.key(), document.key());
            prop_assert_eq!(line.at, document.at);
        }
    }

    /// forall fates: each is found under its own name, and nothing else is
    #[test]
    fn every_fate_is_named(fates in proptest::collection::vec(
        prop_oneof![4 => Just(Fate::Arrives), 1 => Just(Fate::IsLost), 1 => Just(Fate::ComesTwice), 1 => Just(Fate::IsAltered)], 1..120
    )) {
        let sent = everything(&plan(fates.len() as u64, 30, 2, 5, None), Form::Document);
        let records = sent.records();
        let (mut arrived, mut lost, mut duplicated, mut altered) = (vec![], vec![], vec![], vec![]);
        for (record, fate) in records.iter().zip(&fates) {
            match fate {
                Fate::Arrives => arrived.push(record.clone()),
                Fate::IsLost => lost.push(record.key()),
                Fate::ComesTwice => {
                    arrived.extend([record.clone(), record.clone()]);
                    duplicated.push(record.key());
                }
                Fate::IsAltered => {
                    arrived.push(Record { digest: !record.digest, ..record.clone() });
                    altered.push(record.key());
                }
            }
        }
        let found = reconcile(&sent, &arrived);
        prop_assert_eq!((found.lost, found.duplicated, found.altered), (lost, duplicated, altered));
        prop_assert!(found.reordered.is_empty() && found.unexpected.is_empty());
    }
}

#[test]
fn the_order_of_streams_does_not_matter_but_that_within_does() {
    let sent = everything(&plan(200, 50, 1, 3, None), Form::Line).records();
    let mut swapped: Vec<Record> = sent.clone();
    swapped.reverse();
    let found = reconcile_records(&sent, &swapped);
    assert!(found.complete() && !found.reordered.is_empty());
    let mut by_stream = sent.clone();
    by_stream.sort_by(|one, other| other.stream.cmp(&one.stream));
    assert!(reconcile_records(&sent, &by_stream).exact());
}

#[test]
fn a_record_in_another_stream_is_altered() {
    let sent = everything(&plan(20, 20, 1, 3, None), Form::Line).records();
    let mut arrived = sent.clone();
    arrived[3].stream = "elsewhere/a/b".into();
    let found = reconcile_records(&sent, &arrived);
    assert_eq!(found.altered, [sent[3].key()]);
    assert!(found.lost.is_empty() && found.unexpected.is_empty());
}

#[rstest]
#[case::member(json!({"a": 1}), json!({"a": 2}))]
#[case::type_of_member(json!({"a": 1}), json!({"a": "1"}))]
#[case::missing(json!({"a": 1, "b": null}), json!({"a": 1}))]
#[case::nested(json!({"a": {"b": 1}}), json!({"a": {"c": 1}}))]
#[case::order_of_items(json!([1, 2]), json!([2, 1]))]
#[case::swapped(json!({"a": 1, "b": 2}), json!({"a": 2, "b": 1}))]
fn digests_of_different_values_differ(#[case] one: Value, #[case] other: Value) {
    assert_ne!(digest_json(&one), digest_json(&other));
}

#[test]
fn the_order_of_members_is_no_content() {
    let one: Value = serde_json::from_str(r#"{"a":1,"b":{"c":2,"d":3}}"#).unwrap();
    let other: Value = serde_json::from_str(r#"{"b":{"d":3,"c":2},"a":1}"#).unwrap();
    assert_eq!(digest_json(&one), digest_json(&other));
}

#[test]
fn what_is_no_record_says_why() {
    assert!(matches!(
        Record::of_line("a/b/c", "plain text"),
        Err(ReadError::Json { .. })
    ));
    assert_eq!(
        Record::of_document(&json!({"message": "x"})),
        Err(ReadError::Member("/kubernetes/namespace"))
    );
}

#[test]
fn texts_hold_what_loggers_meet() {
    let plan = plan(8_000, 2_000, 1, 1, None);
    let lines: Vec<(String, usize)> = (0..plan.groups())
        .flat_map(|group| {
            let shapes = plan.shapes(plan.slot(0, group).unwrap());
            shapes.map(|(stream, shape)| (shape.message.clone(), shape.line(stream).len()))
        })
        .collect();
    for part in ["\n", "\"", "\u{1b}", "東京", "ü", "🚀"] {
        let part = if part == "東京" { "最適化" } else { part };
        assert!(lines.iter().any(|(text, _)| text.contains(part)), "{part:?}");
    }
    let long = lines
        .iter()
        .filter(|(_, length)| *length > container_log::LONGEST)
        .count();
    assert!((1..40).contains(&long), "{long} long lines");
}

fn options(arguments: &[&str]) -> Result<LogsOptions, clap::Error> {
    let command = LogsOptions::augment_args(clap::Command::new("logs").no_binary_name(true));
    LogsOptions::from_arg_matches(&command.try_get_matches_from(arguments)?)
}

#[rstest]
#[case::nowhere(&["--rate", "5"], "--bulk <URL>|--loki <URL>|--otlp <URL>|--files <FOLDER>")]
#[case::two_ways(&["--loki", "http://a/", "--otlp", "http://b/"], "cannot be used with")]
#[case::both_lengths(&["--loki", "http://a/", "--count", "3", "--duration", "1m"], "cannot be used with")]
#[case::rotation_of_requests(&["--loki", "http://a/", "--file-size", "1MiB"], "cannot be used with")]
#[case::one_file(&["--files", "a", "--file-count", "1"], "1 is not in 2..")]
fn bad_lines_are_refused_with_a_remedy(#[case] line: &[&str], #[case] remedy: &str) {
    let error = options(line).unwrap_err().to_string();
    assert!(error.contains(remedy), "{error}");
}

#[test]
fn the_definition_of_the_options_is_sound() {
    LogsOptions::augment_args(clap::Command::new("logs")).debug_assert();
}

#[tokio::test]
async fn an_unknown_service_is_named_with_those_that_are_there() {
    let options = options(&["--files", "/nowhere", "--service", "gatevay"]).unwrap();
    let error = run(options, shapes(), CancellationToken::new())
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no service `gatevay`: give one of gateway, dashboard"
    );
}

#[test]
fn a_report_reads_well() {
    let entry = StreamEntry {
        records: 59_000,
        first: 1_800_000_000_000_000_000,
        last: 1_800_000_059_999_000_000,
        checksum: 0x1234,
    };
    let report = LogsReport {
        way: Way::Bulk,
        to: "http://127.0.0.1:9200/_bulk".into(),
        seed: Seed(1),
        ledger: Ledger {
            total: entry,
            streams: IndexMap::from([("shop/gateway-0/gateway".into(), entry)]),
        },
        requests: 120,
        refused: 1_000,
        unanswered: 0,
        replaced: 59_000,
        removed: 0,
        failures: vec![Failure {
            status: Some("429".into()),
            words: "es_rejected_execution_exception: rejected execution".into(),
            times: 1_000,
            records: 1_000,
        }],
        intended_rate: 1_000.0,
        achieved_rate: 983.3,
        latency: Latency {
            p50: 0.004,
            p95: 0.01,
            p99: 0.02,
            max: 0.1,
        },
        bytes: 50_000_000,
        seconds: 60.0,
        cpu_seconds: 0.5,
        records_per_cpu_second: 120_000.0,
        bytes_per_cpu_second: 1e8,
    };
    insta::assert_snapshot!(report);
    insta::assert_json_snapshot!(report);
}
