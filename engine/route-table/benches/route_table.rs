//! What an event costs. `cargo bench -p veltrix-route-table`
//!
//! `route_by_type/N`: one event against a table of N routes, each of a type of its own. Events are shuffled over all types and
//! follow each other, so that with 1,000,000 routes hardly one finds its part of the table in a cache. Large tables are told of a few
//! events ahead, as a router does it; `route_one_by_one/N` is without that.

#[path = "../tests/support/workload.rs"]
mod workload;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use prost::Message as _;
use veltrix_route_table::{Compiler, Deliveries};
use workload::{by_type, shuffled_events};

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

criterion_group!(benches, route_by_type);
criterion_main!(benches);
