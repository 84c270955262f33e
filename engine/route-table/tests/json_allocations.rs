//! Counts what the JSON reader allocates.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use veltrix_route_table::json::{Plans, Reader, Wanted};

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
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocations(run: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.with(Cell::get);
    run();
    ALLOCATIONS.with(Cell::get) - before
}

/// Payloads of some shapes in turn, with escapes, arrays and objects in arrays.
fn payloads() -> Vec<String> {
    let payload = |shape: usize, points: usize| {
        let points = vec![r#"{"x":1,"y":[2]}"#; points].join(",");
        format!(r#"{{"extra{shape}":"\"","p":{{"str\u0065et":"HYDE","points":[{points}]}},"points":[[{points}]]}}"#)
    };
    (0..200).map(|number| payload(number % 7, number % 30)).collect()
}

#[test]
fn a_reader_that_is_warm_allocates_nothing() {
    let mut plans = Plans::default();
    let names = [["p", "street"], ["p", "points"], ["points", "x"]];
    let through = plans.add(names.map(|names| Wanted { names, through_arrays: true }));
    let plain = plans.add(names.map(|names| Wanted { names, through_arrays: false }));
    let (payloads, mut reader) = (payloads(), Reader::new());
    let mut read = || {
        for payload in &payloads {
            reader.read(&plans, plain, payload.as_bytes());
            assert_eq!(reader.first(0).unwrap().of(payload.as_bytes()), b"HYDE");
            reader.read(&plans, through, payload.as_bytes());
            assert_eq!(reader.values(1).count(), reader.values(2).count());
        }
    };
    read();
    assert_eq!(allocations(read), 0);
}

#[test]
fn plans_are_made_anew_in_the_memory_that_they_have() {
    let names: Vec<String> = (0..300).map(|number| format!("field {}", number / 3)).collect();
    let mut plans = Plans::default();
    let mut make = || {
        plans.clear();
        for some in names.chunks(20) {
            plans.add(some.iter().map(|name| Wanted { names: ["data", name.as_str()], through_arrays: false }));
        }
    };
    make();
    assert_eq!(allocations(make), 0);
}
