//! What an update costs: from the bytes of a RouteMap to a table in force, in the memory of the table before the last.
//! `cargo bench -p veltrix-route-table --bench update [-- PART OF A NAME]`
//!
//! `conditions`: routes with two conditions of three values each (215 bytes a route), many of them in several routes. `different`: no
//! two conditions are alike. `plain`: routes without conditions. Each line is the best of some updates, as processor time of the thread.

#[path = "support/cpu.rs"]
mod cpu;
#[path = "../tests/support/workload.rs"]
mod workload;

use cpu::cpu_ns;
use prost::Message as _;
use veltrix_proto::v1::RouteMap;
use veltrix_route_table::Compiler;
use workload::{by_type, with_conditions, with_conditions_of_their_own};

/// Makes a map of so many routes; another edition is another map of the same size.
type Kind = fn(routes: usize, edition: usize) -> RouteMap;

fn plain(routes: usize, edition: usize) -> RouteMap {
    let mut map = by_type(routes);
    map.routes.rotate_left(edition);
    map
}

fn main() {
    let part = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let kinds: [(&str, Kind); 3] =
        [("plain", plain), ("conditions", with_conditions), ("different", with_conditions_of_their_own)];
    for (name, map) in kinds {
        for (routes, updates) in [(1_800, 400), (50_000, 40), (1_000_000, 5)] {
            let name = format!("{name}/{routes}");
            if name.contains(&part) {
                measure(&name, [0, 1].map(|edition| map(routes, edition).encode_to_vec()), routes, updates);
            }
        }
    }
}

fn measure(name: &str, maps: [Vec<u8>; 2], routes: usize, updates: usize) {
    let mut compiler = Compiler::new();
    let [first, _] = &maps;
    let mut in_force = compiler.compile(first).expect("the workload is a good map");
    let mut best = u64::MAX;
    for map in maps.iter().rev().cycle().take(updates) {
        let begin = cpu_ns();
        let next = compiler.compile(map).expect("the workload is a good map");
        compiler.recycle(std::mem::replace(&mut in_force, next));
        best = best.min(cpu_ns() - begin);
    }
    println!(
        "{name:20} {:9.2} ms {:6} ns a route   {:4} bytes a route in the map, {:4} in the table",
        best as f64 / 1e6,
        best / routes as u64,
        first.len() / routes,
        in_force.memory_bytes() / routes,
    );
}
