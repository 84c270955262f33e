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

use cpu::cpu_ns;
use std::fmt::Write as _;
use std::hint::black_box;
use veltrix_route_table::json::{PlanIndex, Plans, Reader, Wanted, prefetch, validate};

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

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        ((u128::from(bits) * u128::from(bound)) >> 64) as u64
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
        payloads.bytes.extend_from_slice(payload(&mut random).as_bytes());
        payloads.ends.push(payloads.bytes.len());
    }
    payloads
}

fn payload(random: &mut Random) -> String {
    const STREETS: [&str; 8] =
        ["HYDE", "FULTON", "JEFFERSON", "08TH", "SOUTH VAN NESS", "BUSH", "CHESTNUT", "NORTH POINT"];
    const KINDS: [&str; 4] = ["\"ST\"", "\"AVE\"", "null", "\"BLVD\""];
    let (block, lot, from) = (random.below(9_000), random.below(300), random.below(4_900));
    let street = STREETS[random.below(8) as usize];
    let kind = KINDS[random.below(4) as usize];
    let mut text = format!(
        r#"{{"type":"Feature","properties":{{"MAPBLKLOT":"{block:04}{lot:03}","BLKLOT":"{block:04}{lot:03}","BLOCK_NUM":"{block:04}","LOT_NUM":"{lot:03}","FROM_ST":"{from}","TO_ST":"{from}","STREET":"{street}","ST_TYPE":{kind},"ODD_EVEN":"E"}},"geometry":{{"type":"Polygon","coordinates":[["#
    );
    let points = match random.below(100) {
        0..46 => 5,
        46..58 => 6,
        58..70 => 7 + random.below(3),
        70..96 => 10 + random.below(22),
        _ => 32 + random.below(60),
    };
    let mut point = || {
        let mut digits = || random.below(90_000_000_000_000) + 10_000_000_000_000;
        format!("{{\"x\":-122.{},\"y\":37.{},\"z\":0.0}}", digits(), digits())
    };
    let first = point();
    text.push_str(&first);
    for _ in 1..points {
        write!(text, ",{}", point()).expect("a string takes all");
    }
    writeln!(text, "]],\"firstCoordinates\":{first}}}}}").expect("a string takes all");
    text
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
    measure("validate", all, || (0..all).filter(|number| validate(payloads.get(*number)).is_ok()).count());
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
