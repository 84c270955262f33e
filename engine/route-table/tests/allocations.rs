//! Counts allocations, so that what the crate promises about them stays true.

#[path = "support/workload.rs"]
mod workload;

use prost::Message as _;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use veltrix_route_table::{Compiler, Deliveries};
use workload::{by_type, shuffled_events, with_conditions};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: hands every call on to the system's allocator; the counter is a thread-local without a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocations(run: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.with(Cell::get);
    run();
    ALLOCATIONS.with(Cell::get) - before
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Vec::<u8>::with_capacity(1)))), 1);
}

#[test]
fn routing_an_event_allocates_nothing() {
    for map in [by_type(1_800), with_conditions(1_800, 0)] {
        let table = Compiler::new().compile(&map.encode_to_vec()).unwrap();
        let events = shuffled_events(1_800, 10_000);
        let mut out = Deliveries::new();
        table.route(&events[0], &mut out);
        let mut deliveries = 0;
        let route_all = || {
            for event in &events {
                table.route(event, &mut out);
                deliveries += out.list().len();
            }
        };
        assert_eq!(allocations(route_all), 0);
        assert!(deliveries > 0, "nothing was routed, so nothing was shown");
    }
}

#[test]
fn an_update_of_the_same_size_allocates_nothing_whatever_the_size() {
    for routes in [1_800, 50_000] {
        let maps: Vec<Vec<u8>> = (0..6).map(|edition| with_conditions(routes, edition).encode_to_vec()).collect();
        let mut compiler = Compiler::new();
        // As an engine does it: one table is in force, and the one before it goes back when the next is in force.
        let mut in_force = compiler.compile(&maps[0]).unwrap();
        let mut counts = Vec::new();
        for map in &maps[1..] {
            counts.push(allocations(|| {
                let next = compiler.compile(map).unwrap();
                compiler.recycle(std::mem::replace(&mut in_force, next));
            }));
        }
        assert!(counts[0] > 0, "the second table needs memory of its own");
        assert_eq!(counts[2..], [0, 0, 0], "allocations of each update at {routes} routes: {counts:?}");
    }
}
