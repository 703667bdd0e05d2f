//! `conform emit`: what its ledger says is what the receiver has. Metrics go to a real Prometheus in
//! their three ways, traces to the OTLP receiver that we play.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use harness::component::prometheus::Prometheus;
use harness::emit::ledger::Ledger;
use harness::emit::sink::{Keep, Reply, Sink};
use harness::emit::traces::ledger::Line;
use rustix::process::Signal;
use serde_json::Value;
use tokio::runtime::Runtime;
use url::Url;

use super::ground::{Ended, Ground};
use super::process;
use super::servers::executable;
use super::wait::{BOUND, wait};

const METRIC: &str = "scenario_total";

/// A real server on a port that the system chooses; ends with the scenario, even a killed one.
struct Server {
    child: Child,
    address: String,
    client: Prometheus,
    runtime: Runtime,
}

impl Server {
    fn start(ground: &Ground, config: &str, data: &Path) -> Self {
        let binary = executable(ground, "prometheus", "prometheus");
        let (file, log) = (
            ground.path().join("prometheus.yml"),
            ground.path().join("prometheus.log"),
        );
        fs::write(&file, config).expect("a file can be written");
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(binary)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .args([
                "--web.listen-address=127.0.0.1:0",
                "--web.enable-remote-write-receiver",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).expect("a file can be made"))
            .spawn()
            .expect("prometheus starts");
        let address = wait("prometheus says where it listens", BOUND, || {
            let said = fs::read_to_string(&log).expect("the log can be read");
            let line = said.lines().find(|line| line.contains("msg=\"Listening on\""));
            line.and_then(|line| line.split(" address=").nth(1))
                .map(str::to_owned)
                .ok_or(said)
        });
        let url = Url::parse(&format!("http://{address}/")).expect("an address makes a URL");
        let server = Self {
            child,
            address,
            client: Prometheus::new(url).expect("a client can be made"),
            runtime: Runtime::new().expect("a runtime can be made"),
        };
        wait("prometheus ready", BOUND, || {
            server
                .runtime
                .block_on(server.client.ready())
                .map_err(|error| error.to_string())
        });
        server
    }

    /// Everything it has of the metric, entered as a sender would.
    fn ledger(&self) -> Ledger {
        let raw = self
            .runtime
            .block_on(self.client.raw(&format!("{METRIC}[1h]"), None));
        let mut ledger = Ledger::default();
        for series in raw.expect("prometheus answers") {
            let key = format!("{:?}", series.labels);
            for (at, value) in &series.samples {
                #[expect(clippy::cast_possible_truncation, reason = "unix milliseconds fit")]
                let at = (at * 1000.0).round() as i64;
                ledger.enter(&key, at, value.parse().expect("a value is a number"));
            }
        }
        ledger
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Errors mean that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The report that a successful emission printed.
#[track_caller]
fn report(ended: &Ended) -> Value {
    assert_eq!(ended.code, 0, "{ended}");
    serde_json::from_str(&ended.stdout).expect("it prints JSON")
}

/// The sender's ledger is the server's: series, samples, first and last instant, sum and checksum.
#[track_caller]
fn assert_same(server: &Server, report: &Value) {
    let has = wait("all samples to be queried", BOUND, || {
        let has = server.ledger().summary();
        if has.samples >= report["ledger"]["samples"].as_u64().unwrap_or(u64::MAX) {
            Ok(has)
        } else {
            Err(format!("{} of {}", has.samples, report["ledger"]))
        }
    });
    assert!(has.samples > 0 && has.series > 0, "{has:?}");
    let has = serde_json::to_value(has).expect("a summary is JSON");
    assert_eq!(has, report["ledger"]);
}

#[test]
fn what_was_written_remotely_is_what_the_server_has() {
    let ground = Ground::with_servers();
    let server = Server::start(&ground, "global: {}\n", &ground.path().join("data"));
    let url = format!("http://{}/api/v1/write", server.address);
    let ended = ground.run([
        "emit",
        "metrics",
        "--json",
        "--metric",
        METRIC,
        "--remote-write",
        &url,
        "--rate",
        "2000",
        "--series",
        "100",
        "--churn",
        "50%",
        "--duration",
        "3s",
        "--seed",
        "00000000000000ff",
        "--label",
        "zone=a",
    ]);
    let report = report(&ended);
    assert_eq!(
        (&report["refused"], &report["unanswered"]),
        (&0.into(), &0.into()),
        "{ended}"
    );
    assert_eq!(report["seed"], "00000000000000ff");
    assert_same(&server, &report);
}

#[test]
fn what_was_exposed_is_what_the_server_scraped() {
    let ground = Ground::with_servers();
    let mut emitting = ground.start(ground.conform([
        "emit",
        "metrics",
        "--json",
        "--metric",
        METRIC,
        "--listen",
        "127.0.0.1:0",
        "--series",
        "50",
        "--duration",
        "2m",
    ]));
    emitting.said("exposing 50 series on 127.0.0.1:");
    let said = emitting.says();
    let address = said.rsplit("series on ").next().unwrap_or_default().trim();
    let config = format!(
        "global: {{scrape_interval: 3s}}\n\
         scrape_configs: [{{job_name: emit, static_configs: [{{targets: ['{address}']}}]}}]\n"
    );
    let server = Server::start(&ground, &config, &ground.path().join("data"));
    // Two scrapes; right after one there is time until the next.
    wait("two scrapes stored", BOUND, || {
        let samples = server.ledger().summary().samples;
        if samples >= 100 {
            Ok(())
        } else {
            Err(format!("{samples} samples"))
        }
    });
    process::signal_to(emitting.pid(), Signal::INT);
    let report = report(&emitting.ends(BOUND));
    let (has, ledger) = (server.ledger().summary(), &report["ledger"]);
    // The server enters a scrape under an instant of its own, so that only counts and values are equal.
    assert_eq!(
        (Some(has.series), Some(has.samples)),
        (ledger["series"].as_u64(), ledger["samples"].as_u64())
    );
    assert_eq!(Some(has.sum), ledger["sum"].as_f64());
    assert_eq!(report["requests"].as_u64(), Some(has.samples / 50));
}

#[test]
fn what_was_backfilled_is_what_the_server_has() {
    let ground = Ground::with_servers();
    let ended = ground.run([
        "emit",
        "metrics",
        "--json",
        "--metric",
        METRIC,
        "--backfill",
        "history.om",
        "--rate",
        "10",
        "--series",
        "50",
        "--duration",
        "10m",
    ]);
    let report = report(&ended);
    let data: PathBuf = ground.path().join("data");
    let blocks = Command::new(executable(&ground, "prometheus", "promtool"))
        .args(["tsdb", "create-blocks-from", "openmetrics", "history.om"])
        .arg(&data)
        .current_dir(ground.path().join("work"))
        .output()
        .expect("promtool starts");
    assert!(
        blocks.status.success(),
        "{}",
        String::from_utf8_lossy(&blocks.stderr)
    );
    let server = Server::start(&ground, "global: {}\n", &data);
    assert_same(&server, &report);
}

#[test]
fn a_server_that_is_not_there_is_named_and_nothing_passes_for_sent() {
    let ground = Ground::new();
    let ended = ground.run([
        "emit",
        "metrics",
        "--json",
        "--remote-write",
        "http://127.0.0.1:1/api/v1/write",
        "--duration",
        "1s",
        "--rate",
        "100",
    ]);
    assert_ne!(ended.code, 0, "{ended}");
    let says = format!("{}{}", ended.stdout, ended.stderr).to_lowercase();
    assert!(
        says.contains("connection refused") && says.contains("127.0.0.1:1"),
        "{ended}"
    );
}

#[test]
fn an_address_that_is_taken_is_named() {
    let ground = Ground::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("it listens").to_string();
    let ended = ground.run(["emit", "metrics", "--listen", &address]);
    assert_eq!(ended.code, 3, "{ended}");
    assert!(
        ended.verdict_line().starts_with(&format!(
            "{address} cannot be listened on: Address already in use"
        )),
        "{ended}"
    );
}

/// The lines of a ledger's file.
fn lines(path: &Path) -> Vec<Line> {
    let text = fs::read_to_string(path).expect("the ledger was written");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("each line is an entry"))
        .collect()
}

#[test]
fn the_ledger_of_traces_is_what_the_receiver_has() {
    let ground = Ground::new();
    for protocol in ["grpc", "http"] {
        let sink = Sink::start(Keep::Ledger).expect("a sink can be started");
        let address = if protocol == "grpc" {
            sink.grpc()
        } else {
            sink.http()
        };
        let file = ground.path().join(format!("{protocol}.jsonl"));
        let ended = ground.run([
            "emit",
            "traces",
            "--json",
            "--endpoint",
            &format!("http://{address}"),
            "--protocol",
            protocol,
            "--traces",
            "5000",
            "--rate",
            "100000",
            "--service",
            "ml-service",
            "--seed",
            "00000000000000ff",
            "--ledger",
            &file.display().to_string(),
        ]);
        let report = report(&ended);
        let has = sink.ledger();
        assert_eq!(
            serde_json::to_value(has.summary()).expect("a summary is JSON"),
            report["ledger"]
        );
        assert_eq!(
            report["ledger"]["origins"],
            serde_json::json!({"ml-service": 5000})
        );
        assert_eq!(report["seed"], "00000000000000ff");
        let written = lines(&file);
        assert_eq!(written.len(), 5000);
        for line in written {
            let entry = &has.traces()[&line.trace_id];
            assert_eq!(line, Line::of(line.trace_id, entry));
        }
    }
}

#[test]
fn traces_have_the_ids_that_were_chosen() {
    let ground = Ground::new();
    let sink = Sink::start(Keep::Ledger).expect("a sink can be started");
    let ids: Vec<String> = (1..=300u32).map(|number| format!("{number:032x}")).collect();
    let file = ground.path().join("ids");
    fs::write(&file, ids.join("\n")).expect("a file can be written");
    let ended = ground.run([
        "emit",
        "traces",
        "--endpoint",
        &format!("http://{}", sink.grpc()),
        "--ids",
        &file.display().to_string(),
    ]);
    assert_eq!(ended.code, 0, "{ended}");
    let mut has: Vec<String> = sink.ledger().traces().keys().map(ToString::to_string).collect();
    has.sort_unstable();
    assert_eq!(has, ids);
}

#[test]
fn refused_spans_are_counted_with_the_receivers_words_and_the_run_fails() {
    let ground = Ground::new();
    let sink = Sink::start(Keep::Ledger).expect("a sink can be started");
    sink.answer(
        Reply::Refuse {
            grpc: 14,
            http: 503,
            words: "data refused due to high memory usage".into(),
        },
        Some(1),
    );
    let ended = ground.run([
        "emit",
        "traces",
        "--json",
        "--endpoint",
        &format!("http://{}", sink.grpc()),
        "--traces",
        "1000",
        "--rate",
        "100000",
    ]);
    assert_eq!(ended.code, 1, "{ended}");
    let report: Value = serde_json::from_str(&ended.stdout).expect("it prints JSON");
    assert_eq!(report["failures"][0]["status"], "UNAVAILABLE");
    assert_eq!(
        report["failures"][0]["words"],
        "data refused due to high memory usage"
    );
    assert_eq!(
        report["ledger"],
        serde_json::to_value(sink.ledger().summary()).expect("a summary is JSON")
    );
}

#[test]
fn a_receiver_that_is_not_there_is_named() {
    let ground = Ground::new();
    for protocol in ["grpc", "http"] {
        let ended = ground.run([
            "emit",
            "traces",
            "--endpoint",
            "http://127.0.0.1:1",
            "--protocol",
            protocol,
            "--traces",
            "1",
        ]);
        assert_eq!(ended.code, 3, "{ended}");
        let says = ended.verdict_line().to_lowercase();
        assert!(
            says.contains("127.0.0.1:1") && says.contains("connection refused"),
            "{ended}"
        );
    }
}
