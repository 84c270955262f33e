//! What an event and what an update cost. `cargo bench -p veltrix-route-table`
//!
//! `route_by_type/N`: one event against a table of N routes, each of a type of its own. Events are shuffled over all types and
//! follow each other, so that with 1,000,000 routes hardly one finds its part of the table in a cache. Large tables are told of a few
//! events ahead, as a router does it; `route_one_by_one/N` is without that.
//! `update/N`: bytes of a RouteMap to a table in force, with the memory of the table before the last; of N routes with two conditions
//! of three values each (215 bytes a route), many of them in several routes. `update_all_different/N`: no two conditions are alike.
//! `update_plain/N`: of N routes without conditions.

#[path = "../tests/support/workload.rs"]
mod workload;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use prost::Message as _;
use veltrix_proto::v1::RouteMap;
use veltrix_route_table::{Compiler, Deliveries, RouteTable};
use workload::{by_type, shuffled_events, with_conditions, with_conditions_of_their_own};

/// Events that a router looks ahead.
const AHEAD: usize = 8;

fn route_by_type(criterion: &mut Criterion) {
    for routes in [30, 1_800, 100_000, 1_000_000] {
        let table = Compiler::new().compile(&by_type(routes).encode_to_vec()).expect("the workload is a good map");
        println!("{routes} routes: {} bytes of table per route", table.memory_bytes() / routes);
        let events = shuffled_events(routes, 500_000.min(routes * 100));
        let mut out = Deliveries::new();
        for event in &events {
            table.route(event, &mut out);
            assert!(!out.list().is_empty(), "every event has a route");
        }
        let mut measure = |name, ahead| {
            let mut group = criterion.benchmark_group(name);
            group.throughput(Throughput::Elements(events.len() as u64));
            group.sample_size(20);
            group.bench_function(BenchmarkId::from_parameter(routes), |bencher| {
                bencher.iter(|| {
                    let mut deliveries = 0;
                    for some in events.chunks(AHEAD) {
                        if ahead {
                            some.iter().for_each(|event| table.prefetch(event));
                        }
                        for event in some {
                            table.route(event, &mut out);
                            deliveries += out.list().len();
                        }
                    }
                    deliveries
                });
            });
        };
        measure("route_by_type", table.wants_prefetch());
        if table.wants_prefetch() {
            measure("route_one_by_one", false);
        }
    }
}

fn update(criterion: &mut Criterion) {
    update_of(criterion, "update", with_conditions);
    update_of(criterion, "update_all_different", with_conditions_of_their_own);
    update_of(criterion, "update_plain", |routes, edition| {
        let mut map = by_type(routes);
        map.routes.rotate_left(edition);
        map
    });
}

fn update_of(criterion: &mut Criterion, name: &str, map: fn(usize, usize) -> RouteMap) {
    let mut group = criterion.benchmark_group(name);
    for routes in [1_800, 50_000] {
        let maps = [0, 1].map(|edition| map(routes, edition).encode_to_vec());
        let mut compiler = Compiler::new();
        let mut in_force: RouteTable = compiler.compile(&maps[0]).expect("the workload is a good map");
        let mut turn = 0;
        group.throughput(Throughput::Bytes(maps[0].len() as u64));
        group.sample_size(20);
        group.bench_function(BenchmarkId::from_parameter(routes), |bencher| {
            bencher.iter_batched(
                || {
                    turn += 1;
                    &maps[turn % 2]
                },
                |map| {
                    let next = compiler.compile(map).expect("the workload is a good map");
                    compiler.recycle(std::mem::replace(&mut in_force, next));
                },
                BatchSize::PerIteration,
            );
        });
    }
}

criterion_group!(benches, route_by_type, update);
criterion_main!(benches);
