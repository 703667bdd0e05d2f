//! How fast the wire formats are written.

use std::hint::black_box;
use std::path::Path;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use harness::emit::player::model::Model;
use harness::seed::Seed;
use harness::shapes::Shapes;
use harness::wire::exposition::Format;
use harness::wire::remote_write::batch::{Batch, Labels};
use harness::wire::remote_write::{TimeSeries, WriteRequest, decode, encode};
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

criterion_group!(benches, remote_write, exposition);
criterion_main!(benches);
