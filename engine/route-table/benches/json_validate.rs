//! What it costs to check a JSON payload in full, beside reading it as it comes, in ns of this thread's CPU time.
//! `cargo bench -p veltrix-route-table --bench json_validate [-- part of a name]`
//!
//! `early` reads a field that stands first, `missing` looks through the whole payload for one that is not there, both with a reader that
//! remembers shapes; `full` is [`validate`], and `serde_json` reads into `IgnoredAny`, as a mark from outside. They take turns, and of
//! each the best of several passes counts. Each pass checks its answers.
//!
//! Files in `VELTRIX_JSON_FILES`, with `:` between them, are measured, too: each line of a `.jsonl` is a payload, else the whole file.

#[path = "support/cpu.rs"]
mod cpu;
#[path = "support/records.rs"]
mod records;

use cpu::cpu_ns;
use records::{Random, record};
use std::hint::black_box;
use veltrix_route_table::json::{Plans, Reader, Wanted, validate};

const PASSES: usize = 15;
/// Bytes that a pass goes over at least.
const PASS_BYTES: usize = 4 << 20;
const WAYS: [&str; 4] = ["early", "missing", "full", "serde_json"];

fn short(random: &mut Random) -> String {
    let (hunt, points) = (random.below(1_000), random.below(500));
    let more = [r#","region":"eu""#, r#","first":true"#, r#","at":{"x":0.25,"y":-17.5}"#, ""][random.below(4) as usize];
    format!(r#"{{"type":"hunt.clue.found","hunt_id":"h{hunt}","points":{points}{more}}}"#)
}

/// A message with texts: plain ones, ones beyond ASCII, ones with escapes.
fn message(random: &mut Random, texts: &[&str]) -> String {
    let text = (0..random.below(12) + 4)
        .map(|_| texts[random.below(texts.len() as u64) as usize])
        .collect::<Vec<_>>()
        .join(" ");
    let (id, followers) = (random.below(1 << 60), random.below(100_000));
    format!(
        r#"{{"type":"message","id":{id},"text":"{text}","user":{{"name":"{}","followers":{followers},"verified":false,"url":null}},"tags":[],"coordinates":null,"reply_to":{{"id":{id},"id_str":"{id}"}},"retweeted":true}}"#,
        texts[random.below(texts.len() as u64) as usize]
    )
}

fn pretty(text: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(text).expect("it is JSON");
    serde_json::to_string_pretty(&value).expect("a value can be written")
}

fn generated() -> Vec<(String, Vec<Vec<u8>>)> {
    const PLAIN: [&str; 5] = ["the", "quick brown fox", "jumps", "over", "a lazy dog;"];
    const BEYOND: [&str; 5] = ["гра", "закінчилася", "宝探し", "ключ 🗝", "fin"];
    const ESCAPED: [&str; 4] = [r"http:\/\/t.co\/x", r"\u5b9d\u63a2\u3057", r#"\"quoted\""#, r"line\n"];
    let mut random = Random(7);
    let mut documents = Vec::new();
    let mut add = |name: &str, make: &mut dyn FnMut(&mut Random) -> String| {
        let payloads = (0..500).map(|_| make(&mut random).into_bytes()).collect();
        documents.push((name.to_owned(), payloads));
    };
    add("records", &mut record);
    add("records, pretty", &mut |random| pretty(&record(random)));
    add("short events", &mut short);
    add("messages", &mut |random| message(random, &PLAIN));
    add("messages beyond ASCII", &mut |random| message(random, &BEYOND));
    add("messages with escapes", &mut |random| message(random, &ESCAPED));
    documents
}

fn files() -> Vec<(String, Vec<Vec<u8>>)> {
    let files = std::env::var("VELTRIX_JSON_FILES").unwrap_or_default();
    let read = |name: &str| {
        let bytes = std::fs::read(name).expect("VELTRIX_JSON_FILES names files");
        let lines = bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec);
        let payloads = if name.ends_with(".jsonl") { lines.take(2_000).collect() } else { vec![bytes.clone()] };
        (name.rsplit('/').next().unwrap_or(name).to_owned(), payloads)
    };
    files.split(':').filter(|name| !name.is_empty()).map(read).collect()
}

fn main() {
    let part = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let mut plans = Plans::default();
    let early = plans.add([Wanted { names: ["type"], through_arrays: false }]);
    let missing = plans.add([Wanted { names: ["nowhere"], through_arrays: false }]);
    let mut reader = Reader::new();
    println!(
        "{:24} {:>8} {}   the same in ns per KiB",
        "ns a payload",
        "bytes",
        WAYS.map(|way| format!("{way:>10}")).join("")
    );
    for (name, payloads) in generated().into_iter().chain(files()).filter(|(name, _)| name.contains(&part)) {
        let bytes: usize = payloads.iter().map(Vec::len).sum();
        let rounds = PASS_BYTES.div_ceil(bytes);
        let mut best = [u64::MAX; WAYS.len()];
        for _ in 0..PASSES {
            for (way, best) in best.iter_mut().enumerate() {
                let start = cpu_ns();
                for payload in (0..rounds).flat_map(|_| &payloads) {
                    let good = match way {
                        0 => {
                            reader.read(&plans, early, payload);
                            black_box(reader.first(0));
                            true
                        }
                        1 => {
                            reader.read(&plans, missing, payload);
                            reader.first(0).is_none()
                        }
                        2 => validate(payload).is_ok(),
                        _ => serde_json::from_slice::<serde::de::IgnoredAny>(payload).is_ok(),
                    };
                    assert!(good, "every way takes {name}");
                }
                *best = (*best).min(cpu_ns() - start);
            }
        }
        let payload = best.map(|ns| format!("{:10.1}", ns as f64 / (rounds * payloads.len()) as f64)).join("");
        let kibibyte = best.map(|ns| format!("{:10.1}", ns as f64 * 1024.0 / (rounds * bytes) as f64)).join("");
        println!("{name:24} {:8} {payload}   {kibibyte}", bytes / payloads.len());
    }
}
