//! How fast the wire formats are written.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use harness::emit::logs::files::Rotation;
use harness::emit::logs::model::{Shape, Stream};
use harness::emit::logs::plan::{Plan, Slot};
use harness::emit::logs::{Destination, Load};
use harness::emit::player::model::Model;
use harness::seed::Seed;
use harness::shapes::Shapes;
use harness::wire::bulk::{self, Action, Item};
use harness::wire::exposition::Format;
use harness::wire::otlp::Resource;
use harness::wire::otlp::logs::{self as otlp, Emitter, Prepared};
use harness::wire::remote_write::batch::{Batch, Labels};
use harness::wire::remote_write::{TimeSeries, WriteRequest, decode, encode};
use harness::wire::stamped::Template;
use harness::wire::{container_log, loki_push};
use indexmap::IndexMap;

const SERIES: u32 = 2_000;

fn texts() -> Vec<String> {
    (0..SERIES).map(|number| format!("{number:08}")).collect()
}

fn batch(texts: &[String]) -> Batch {
    let pairs: Vec<[(&str, &str); 4]> = texts
        .iter()
        .map(|text| {
            [
                ("__name__", "load_total"),
                ("job", "emit"),
                ("series", text.as_str()),
                ("zone", "a"),
            ]
        })
        .collect();
    Batch::new(pairs.iter().map(|pairs| Labels { pairs, varying: None })).unwrap_or_else(|error| exit(&error))
}

fn exit(error: &dyn std::error::Error) -> ! {
    eprintln!("{error}");
    std::process::exit(1)
}

fn remote_write(criterion: &mut Criterion) {
    let texts = texts();
    let mut group = criterion.benchmark_group("remote_write");
    group.throughput(Throughput::Elements(SERIES.into()));
    group.bench_function("stamp", |bencher| {
        let mut batch = batch(&texts);
        let mut now = 1_800_000_000_000;
        bencher.iter(|| {
            now += 1;
            batch.stamp_timestamp(now).unwrap_or_else(|error| exit(&error));
            batch.stamp_values((0..SERIES).map(f64::from));
            black_box(batch.body().len())
        });
    });
    group.bench_function("prepare", |bencher| bencher.iter(|| black_box(batch(&texts))));
    group.bench_function("structs_and_snap", |bencher| {
        let labels = |text: &String| {
            IndexMap::from([
                ("job".to_owned(), "emit".to_owned()),
                ("series".to_owned(), text.clone()),
                ("zone".to_owned(), "a".to_owned()),
            ])
        };
        let request = WriteRequest {
            timeseries: texts
                .iter()
                .map(|text| TimeSeries::of_samples("load_total", &labels(text), [(1_800_000_000_000, 1.0)]))
                .collect(),
            metadata: Vec::new(),
        };
        bencher.iter(|| black_box(encode(&request)));
    });
    group.bench_function("decode", |bencher| {
        let batch = batch(&texts);
        bencher.iter(|| black_box(decode(batch.body())));
    });
    group.finish();
}

const SHAPES: &str = "
services:
  - name: gateway
    namespace: platform
    labels: {}
    ports: { http: 8080 }
    metrics:
      - name: requests_total
        help: Requests served.
        kind: counter
        series: [ { labels: { status: '200' }, rate: 40 }, { labels: { status: '500' }, rate: 0.1 } ]
      - name: duration_seconds
        help: Duration of requests.
        kind: native-histogram
        buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
        series: [ { labels: { route: / }, rate: 40, median: 0.08, spread: 0.6 } ]
";

fn exposition(criterion: &mut Criterion) {
    let shapes = Shapes::parse(Path::new("shapes"), SHAPES).unwrap_or_else(|error| exit(&error));
    let model = Model::new(&shapes.services[0].metrics, Seed(1));
    let mut group = criterion.benchmark_group("exposition");
    group.bench_function("values", |bencher| {
        bencher.iter(|| black_box(model.families(black_box(86_400.0), 1.8e9)));
    });
    for (name, format) in [("text", Format::Text), ("protobuf", Format::Protobuf)] {
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || model.families(86_400.0, 1.8e9),
                |families| black_box(format.encode(&families)),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn logs(criterion: &mut Criterion) {
    let shapes = Shapes::parse(Path::new("shapes"), SHAPES).unwrap_or_else(|error| exit(&error));
    let destination = Destination::Files {
        folder: "logs".into(),
        rotation: Rotation::default(),
    };
    let load = Load::new(destination, Arc::new(shapes), Seed(1));
    let plan = Plan::new(&load).unwrap_or_else(|error| exit(&error));
    let Some(slot) = plan.slot(0, 0) else { return };
    let templates = |form: fn(&Shape, &Stream) -> Template| -> Vec<Template> {
        plan.shapes(slot)
            .map(|(stream, shape)| form(shape, stream))
            .collect()
    };
    let (lines, documents) = (templates(Shape::line), templates(Shape::document));
    let mut group = criterion.benchmark_group("logs");
    group.throughput(Throughput::Elements(slot.count as u64));
    let bulk = || {
        bulk::lay_out(
            Action::Index,
            documents.iter().map(|document| Item {
                index: "app-2026.08.01",
                document,
            }),
        )
    };
    let otlp = || {
        otlp::lay_out(&[Emitter {
            resource: Resource::default(),
            records: lines
                .iter()
                .map(|body| Prepared {
                    severity: 9,
                    severity_text: "info",
                    traced: true,
                    body,
                })
                .collect(),
        }])
    };
    let loki = || {
        loki_push::lay_out(&[loki_push::Stream {
            labels: "{app=\"gateway\"}",
            lines: lines.iter().collect(),
        }])
    };
    let files = || container_log::lay_out(&lines, container_log::LONGEST);
    group.bench_function("prepare_otlp", |bencher| bencher.iter(|| black_box(otlp())));
    for (name, mut batch) in [
        ("stamp_bulk", bulk()),
        ("stamp_otlp", otlp()),
        ("stamp_loki", loki()),
        ("stamp_files", files()),
    ] {
        let mut round = 0;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                round += 1;
                batch.stamp(plan.stamps(Slot { round, ..slot }, 1_800_000_000_000_000_000));
                black_box(batch.body().len())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, remote_write, exposition, logs);
criterion_main!(benches);
