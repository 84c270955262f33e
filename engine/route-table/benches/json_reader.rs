//! What it costs to find fields in a JSON payload, in ns of this thread's CPU time per payload.
//! `cargo bench -p veltrix-route-table --bench json_reader [-- part of a name]`
//!
//! Payloads are like the records of a land register: nine short texts, then a polygon of about twelve points with 17 digits a number,
//! then its first point again; 986 bytes on average, drawn from a fixed seed. `streamed` reads 225 MB of them once a pass, with the
//! payload after the next two announced; `hot` reads 500 again and again. `walk` is without the memo of shapes. The best of several
//! passes counts, and each pass checks how many values were found.
//!
//! A file of JSON lines in `VELTRIX_JSON_LINES` is read in place of the generated ones.

#[path = "support/cpu.rs"]
mod cpu;
#[path = "support/records.rs"]
mod records;

use cpu::cpu_ns;
use records::{Random, record};
use std::hint::black_box;
use veltrix_route_table::json::{PlanIndex, Plans, Reader, Wanted, prefetch};

const STREAMED: usize = 213_068;
const HOT: usize = 500;
const PASSES: usize = 7;
/// Payloads that are announced ahead.
const AHEAD: usize = 3;

struct Payloads {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Payloads {
    fn get(&self, number: usize) -> &[u8] {
        let start = if number == 0 { 0 } else { self.ends[number - 1] };
        &self.bytes[start..self.ends[number]]
    }
}

fn payloads() -> Payloads {
    if let Ok(file) = std::env::var("VELTRIX_JSON_LINES") {
        let bytes = std::fs::read(file).expect("VELTRIX_JSON_LINES names a file");
        let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1).collect();
        return Payloads { bytes, ends };
    }
    let mut random = Random(7);
    let mut payloads = Payloads { bytes: Vec::with_capacity(STREAMED * 1_000), ends: Vec::new() };
    for _ in 0..STREAMED {
        payloads.bytes.extend_from_slice(record(&mut random).as_bytes());
        payloads.ends.push(payloads.bytes.len());
    }
    payloads
}

/// Runs `pass` over `count` payloads several times, and prints the best time per payload.
fn measure(name: &str, count: usize, mut pass: impl FnMut() -> usize) {
    let part = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    if part.is_some_and(|part| !name.contains(&part)) {
        return;
    }
    let found = pass();
    let mut best = u64::MAX;
    for _ in 0..PASSES {
        let start = cpu_ns();
        assert_eq!(black_box(pass()), found, "a pass finds what the one before found");
        best = best.min(cpu_ns() - start);
    }
    println!("{name:45} {:8.1} ns   {:.2} values a payload", best as f64 / count as f64, found as f64 / count as f64);
}

fn read_all(name: &str, payloads: &Payloads, plans: &Plans, plan: PlanIndex, (fields, through_arrays): (u32, bool)) {
    for (how, mut reader) in [("walk", Reader::without_memo()), ("memo", Reader::new())] {
        let mut read = |payload| {
            reader.read(plans, plan, payload);
            let mut count = 0;
            for field in 0..fields {
                if through_arrays {
                    count += reader.values(field).map(|found| black_box(found.at()).len().min(1)).sum::<usize>();
                } else {
                    count += reader.first(field).map_or(0, |found| black_box(found.at()).len().min(1));
                }
            }
            count
        };
        let all = payloads.ends.len();
        measure(&format!("{name} {how} streamed"), all, || {
            (0..all)
                .map(|number| {
                    if number + AHEAD < all {
                        prefetch(payloads.get(number + AHEAD));
                    }
                    read(payloads.get(number))
                })
                .sum()
        });
        let hot = HOT.min(all);
        let rounds = 200;
        measure(&format!("{name} {how} hot"), hot * rounds, || {
            (0..rounds).map(|_| (0..hot).map(|number| read(payloads.get(number))).sum::<usize>()).sum()
        });
    }
}

/// Three fields, typed, the rest skipped: for scale.
#[derive(serde::Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    properties: Properties<'a>,
    geometry: Geometry,
}

#[derive(serde::Deserialize)]
struct Properties<'a> {
    #[serde(rename = "STREET")]
    street: &'a str,
    #[serde(rename = "MAPBLKLOT")]
    lot: &'a str,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Geometry {
    first_coordinates: Point,
}

#[derive(serde::Deserialize)]
struct Point {
    x: f64,
}

fn main() {
    let payloads = payloads();
    println!("{} payloads of {} bytes", payloads.ends.len(), payloads.bytes.len() / payloads.ends.len());
    let mut plans = Plans::default();
    let mut read = |name: &str, fields: &[&[&str]], through_arrays: bool| {
        let plan = plans.add(fields.iter().map(|names| Wanted { names: names.iter().copied(), through_arrays }));
        read_all(name, &payloads, &plans, plan, (fields.len() as u32, through_arrays));
    };
    read("early field", &[&["properties", "MAPBLKLOT"]], false);
    read("middle field", &[&["properties", "STREET"]], false);
    read("late field", &[&["geometry", "firstCoordinates", "x"]], false);
    read("type and late field", &[&["geometry", "type"], &["geometry", "firstCoordinates", "x"]], false);
    let three: [&[&str]; 3] =
        [&["properties", "MAPBLKLOT"], &["properties", "STREET"], &["geometry", "firstCoordinates", "x"]];
    read("three fields", &three, false);
    let coordinates: [&[&str]; 3] =
        [&["geometry", "coordinates", "x"], &["geometry", "coordinates", "y"], &["geometry", "coordinates", "z"]];
    read("coordinates", &coordinates, true);
    read("a field that is missing", &[&["properties", "NOWHERE"]], false);
    let all = payloads.ends.len().min(20_000);
    measure("serde_json, three fields typed", all, || {
        (0..all)
            .filter(|number| {
                let record: Record<'_> = serde_json::from_slice(payloads.get(*number)).expect("it is such a record");
                black_box((record.properties.street, record.properties.lot, record.geometry.first_coordinates.x)).2
                    < 0.0
            })
            .count()
    });
}
