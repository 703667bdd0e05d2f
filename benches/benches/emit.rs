//! How fast schedules, plans and ledgers are computed.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use harness::emit::ledger::{Entry, reconcile};
use harness::emit::remote_write::Load;
use harness::emit::remote_write::plan::Plan;
use harness::emit::schedule::Schedule;
use harness::seed::Seed;

fn exit(error: &dyn std::error::Error) -> ! {
    eprintln!("{error}");
    std::process::exit(1)
}

fn schedule(criterion: &mut Criterion) {
    let schedule = Schedule::new(1_000_000.0).unwrap_or_else(|error| exit(&error));
    criterion.bench_function("schedule/instant", |bencher| {
        let mut event = 0;
        bencher.iter(|| {
            event += 1_000;
            black_box(schedule.instant(event))
        });
    });
}

fn plan(criterion: &mut Criterion) {
    let endpoint = "http://127.0.0.1:9090/api/v1/write"
        .parse()
        .unwrap_or_else(|error| exit(&error));
    let mut load = Load::new(endpoint, 2_000, Duration::from_hours(1), Seed(1));
    let mut group = criterion.benchmark_group("plan");
    group.throughput(Throughput::Elements(load.batch));
    for (name, churn) in [("stamp", 0.0), ("stamp_with_churn", 0.1)] {
        load.churn = churn;
        let plan = Plan::new(&load).unwrap_or_else(|error| exit(&error));
        let mut batch = plan.batch(0).unwrap_or_else(|error| exit(&error));
        group.bench_function(name, |bencher| {
            let mut round = 0;
            bencher.iter(|| {
                round += 1;
                let slot = plan.rounds().slot(round, 0);
                plan.stamp(&mut batch, slot, 1_800_000_000_000)
                    .unwrap_or_else(|error| exit(&error));
            });
        });
    }
    group.finish();
}

fn ledger(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ledger");
    group.bench_function("enter", |bencher| {
        let mut total = Entry::of(0, 0.0);
        bencher.iter(|| total.merge(&Entry::of(black_box(1_800_000_000_000), black_box(1.0))));
    });
    let items: Vec<(u64, u64)> = (0..10_000).map(|number| (number, number * number)).collect();
    group.throughput(Throughput::Elements(10_000));
    group.bench_function("reconcile", |bencher| {
        bencher.iter(|| black_box(reconcile(&items, &items)));
    });
    group.finish();
}

criterion_group!(benches, schedule, plan, ledger);
criterion_main!(benches);
