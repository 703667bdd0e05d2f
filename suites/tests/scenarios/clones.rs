//! Clones of the servers that traces and logs rest on: started, told apart, stopped and started again.

use std::sync::Arc;
use std::time::Duration;

use harness::catalog::cache_folder;
use harness::component::collector::Signal;
use harness::component::http_client;
use harness::component::loki::{Direction, RangeQuery};
use harness::progress::Progress;
use harness::project::{Places, Project};
use harness::seed::Seed;
use harness::stack::{
    Capability, CollectorClone, ElasticsearchClone, JaegerClone, LokiClone, STRATEGIES_FILE, Stack,
    TraceStore,
};
use harness::target::UpRequest;
use harness::target::containers::Images;
use harness::target::local::LocalStack;
use harness::target::needs::Needs;
use harness::wait::{Look, Wait};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::ground::Ground;
use super::process;
use super::wait::BOUND;

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Runs `check` on a stack that has none of the servers itself, only what their clones need.
fn on_a_stack<F: Future<Output = ()>>(needs: &[Capability], check: impl FnOnce(Stack) -> F) {
    let ground = Ground::with_servers();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let places = Places {
            root: Some(suites::root()),
            ..Places::default()
        };
        let project = Project::load(&places, &suites::root()).expect("the project loads");
        let cancel = CancellationToken::new();
        let progress = Progress::silent();
        // Acquired, and not needed as shared servers.
        let components = Needs::these(needs.iter().copied()).components();
        let acquired = project
            .catalog
            .acquire(&components, &cache_folder(), &progress, &cancel)
            .await;
        let local = LocalStack::up(UpRequest {
            tree: project.tree.clone(),
            shapes: project.shapes.clone(),
            acquired: Arc::new(acquired),
            images: Images::default(),
            needs: Needs::these([Capability::ClockShift]),
            drifts: Vec::new(),
            seed: Seed::fresh(),
            folder: ground.runs().join("clones"),
            artifacts: ground.path().join("artifacts"),
            cancel,
            progress,
        })
        .await
        .expect("the stack comes up");
        check(local.stack()).await;
        local.down().await;
    });
    process::gone(ground.path());
}

fn url(text: &str) -> Url {
    Url::parse(text).expect("a URL")
}

async fn post(url: &Url, body: &Value) {
    let client = http_client(url).expect("a client");
    let answer = client
        .post(url.clone())
        .json(body)
        .send()
        .await
        .expect("an answer");
    assert!(answer.status().is_success(), "{url}: {}", answer.status());
}

#[test]
fn an_elasticsearch_walks_through_days_and_the_cleaner_deletes_what_is_old() {
    on_a_stack(
        &[Capability::ClockShift, Capability::IndexCleaner],
        |stack| async move {
            let mut running = stack
                .workshop
                .elasticsearch(ElasticsearchClone {
                    clock: Some(-9 * DAY),
                    ..ElasticsearchClone::named("shifted")
                })
                .await
                .expect("a clone");
            let client = running.client().clone();
            let one_shard = json!({"settings": {"number_of_shards": 1, "number_of_replicas": 0}});
            client
                .create_index("jaeger-span-2026-01-01", &one_shard)
                .await
                .expect("an index");
            running.shift_clock(-DAY).await.expect("the clock follows");
            client
                .create_index("jaeger-span-2026-01-02", &one_shard)
                .await
                .expect("an index");
            running
                .shift_clock(SignedDuration::ZERO)
                .await
                .expect("the clock follows");
            let dates = client.creation_dates("jaeger-span-*").await.expect("dates");
            let age = |index: &str| Timestamp::now().as_millisecond() - dates[index];
            for (index, days) in [("jaeger-span-2026-01-01", 9), ("jaeger-span-2026-01-02", 1)] {
                let off = (age(index) - days * 24 * 3_600_000).abs();
                assert!(off < 60_000, "{index} is {off} ms off");
            }

            running.stop().await.expect("an orderly end");
            assert_eq!(running.process_id(), None);
            running.start().await.expect("a new start");
            let folder = stack.workshop.scratch("cleaner").expect("a folder");
            let cleaned = stack
                .workshop
                .tool_with_environment(
                    "es-index-cleaner",
                    vec![
                        "7".to_owned(),
                        client.base().as_str().trim_end_matches('/').to_owned(),
                    ],
                    vec![("TIMEOUT".to_owned(), "30".to_owned())],
                    folder,
                    Duration::from_secs(30),
                )
                .await
                .expect("the cleaner runs");
            assert_eq!(cleaned.code, Some(0), "{cleaned:?}");
            assert_eq!(
                client.indices("jaeger-span-*").await.expect("indices"),
                ["jaeger-span-2026-01-02"]
            );
        },
    );
}

#[test]
fn a_collector_hands_what_it_keeps_to_a_jaeger_that_answers_for_it() {
    on_a_stack(&[Capability::Jaeger, Capability::Collector], |stack| async move {
        let jaeger = stack
            .workshop
            .jaeger(JaegerClone {
                strategies_reload: Some(Duration::from_millis(200)),
                ..JaegerClone::named("jaeger", TraceStore::Memory { max_traces: 100 })
            })
            .await
            .expect("a clone");
        let sampling = jaeger.client().sampling("ml-service").await.expect("a strategy");
        assert_eq!(sampling.probability, Some(0.1), "{sampling:?}");
        std::fs::write(
            jaeger.file(STRATEGIES_FILE),
            r#"{"default_strategy": {"type": "probabilistic", "param": 0.25}}"#,
        )
        .expect("the file can be written");
        Wait::new("the rewritten strategies", BOUND)
            .until(|| async {
                match jaeger.client().sampling("ml-service").await {
                    Ok(sampling) if sampling.probability == Some(0.25) => Look::Ready(()),
                    other => Look::Missing(format!("{other:?}")),
                }
            })
            .await
            .expect("a changed file is followed");

        let collector = stack
            .workshop
            .collector(CollectorClone {
                sampling_percentages: vec![("probabilistic_sampler/default".to_owned(), 100.0)],
                ..CollectorClone::named("collector", jaeger.client().endpoints().otlp_grpc)
            })
            .await
            .expect("a clone");
        let now = Timestamp::now().as_nanosecond();
        let to = url(&format!(
            "http://{}/v1/traces",
            collector.client().endpoints().otlp_http
        ));
        let body = json!({"resourceSpans": [{
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
            "scopeSpans": [{"spans": [{
                "traceId": "0000000000000000000000000000002a", "spanId": "00000000000000ff", "name": "buy", "kind": 2,
                "startTimeUnixNano": now.to_string(), "endTimeUnixNano": (now + 1_000_000).to_string()}]}]}]});
        post(&to, &body).await;
        let trace = Wait::new("the trace stored", BOUND)
            .until(|| async {
                match jaeger.client().trace(42).await {
                    Ok(Some(trace)) => Look::Ready(trace),
                    other => Look::Missing(format!("{other:?}")),
                }
            })
            .await
            .expect("what is kept is stored");
        assert_eq!(
            (trace.spans[0].service.as_str(), trace.spans[0].name.as_str()),
            ("shop", "buy")
        );
        let counters = collector
            .client()
            .counters(Signal::Spans)
            .await
            .expect("counters");
        assert_eq!(
            (counters.accepted, counters.sent, counters.refused),
            (1.0, 1.0, 0.0)
        );
        let sampler = collector.client().sampler().await.expect("counters");
        assert_eq!((sampler.sampled, sampler.dropped), (1.0, 0.0));
    });
}

#[test]
fn a_loki_keeps_what_was_pushed_across_a_kill() {
    on_a_stack(&[Capability::Loki], |stack| async move {
        let mut loki = stack
            .workshop
            .loki(LokiClone::named("loki"))
            .await
            .expect("a clone");
        let now = Timestamp::now().as_nanosecond();
        let values: Vec<Value> = (0..5)
            .map(|n| json!([(now + n).to_string(), format!("line {n}")]))
            .collect();
        let body = json!({"streams": [{"stream": {"app": "clones"}, "values": values}]});
        loki.client()
            .push(body.to_string().into(), "application/json", None)
            .await
            .expect("a push");
        loki.kill().await.expect("an end");
        loki.start().await.expect("a new start");
        let from = i64::try_from(now).expect("an instant of this century");
        let query = RangeQuery {
            query: "{app=\"clones\"}".to_owned(),
            start: from,
            end: from + 1000,
            limit: 3,
            direction: Direction::Forward,
        };
        let streams = loki.client().all(&query, 100).await.expect("lines");
        let lines: Vec<&str> = streams[0]
            .entries
            .iter()
            .map(|entry| entry.line.as_str())
            .collect();
        assert_eq!(lines, ["line 0", "line 1", "line 2", "line 3", "line 4"]);
        let retention = loki.client().limits().await.expect("limits");
        assert!(retention.get("retention_period").is_some(), "{retention}");
    });
}
