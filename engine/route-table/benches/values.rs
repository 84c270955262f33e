//! What the test of one value costs, beside the obvious way to do it. `cargo bench -p veltrix-route-table --bench values`
//!
//! Each row is the nanoseconds per value of the best round out of many, over a thousand different values that follow each other in
//! a payload. Both ways take turns, so that a noisy machine slows both. Their answers are counted and compared.
//! A word behind the command runs only the groups whose names hold it.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::time::Instant;
use veltrix_route_table::value::cidr::{self, Block, CidrRanges};
use veltrix_route_table::value::fold;
use veltrix_route_table::value::number::{Decimal, Number};
use veltrix_route_table::value::text::{Excerpt, Literal, Needle};
use veltrix_route_table::value::wildcard::Wildcard;
use veltrix_route_table::value::wildcard_set::{Matches, WildcardSet};

const VALUES: usize = 1_000;

fn main() {
    // `cargo test` builds and runs this, too, to see that it works.
    let (mut measure, mut only) = (false, String::new());
    for word in std::env::args().skip(1) {
        if word == "--bench" { measure = true } else { only = word }
    }
    let bench = Bench { rounds: if measure { 400 } else { 1 }, only };
    numbers(&bench);
    texts(&bench);
    folded(&bench);
    needles(&bench);
    wildcards(&bench);
    wildcard_sets(&bench);
    addresses(&bench);
}

struct Bench {
    rounds: usize,
    only: String,
}

/// A way to do something with all values of a payload, by name, and how many good answers that gave.
type Way<'a> = (&'a str, Box<dyn FnMut(&Payload) -> usize + 'a>);

/// Does it with each value alone.
fn each<'a>(name: &'a str, mut test: impl FnMut(&[u8]) -> usize + 'a) -> Way<'a> {
    (name, Box::new(move |payload| payload.texts().map(&mut test).sum()))
}

/// Does it with each value in its payload.
fn each_in<'a>(name: &'a str, mut test: impl FnMut(&[u8], Range<usize>) -> usize + 'a) -> Way<'a> {
    (name, Box::new(move |payload| payload.values.iter().map(|range| test(&payload.bytes, range.clone())).sum()))
}

/// Does it with each value, made ready for many tests.
fn each_excerpt<'a>(name: &'a str, mut test: impl FnMut(Excerpt<'_>) -> usize + 'a) -> Way<'a> {
    each_in(name, move |payload, range| Excerpt::new(payload, range).map_or(0, &mut test))
}

/// How many of the literals pass.
fn hits<T>(literals: &[T], test: impl FnMut(&&T) -> bool) -> usize {
    literals.iter().filter(test).count()
}

impl Bench {
    /// Measures the ways side by side. All that have the same first word in their name must give the same answer.
    fn group(&self, name: &str, payload: &Payload, mut ways: Vec<Way<'_>>) {
        if !name.contains(&self.only) {
            return;
        }
        let mut best = vec![f64::INFINITY; ways.len()];
        let mut answers = vec![0; ways.len()];
        for _ in 0..self.rounds {
            for ((best, answer), (_, way)) in best.iter_mut().zip(&mut answers).zip(&mut ways) {
                let start = Instant::now();
                *answer = black_box(way(black_box(payload)));
                *best = best.min(start.elapsed().as_secs_f64() * 1e9 / payload.values.len() as f64);
            }
        }
        println!("{name}");
        for ((best, answer), (way, _)) in best.iter().zip(&answers).zip(&ways) {
            println!("  {best:8.2} ns  {way}  ({answer})");
            let kind = |way: &str| way.split(' ').next().map(str::to_owned);
            for ((other, _), expected) in ways.iter().zip(&answers) {
                assert!(kind(way) != kind(other) || answer == expected, "{name}: {way} and {other} must agree");
            }
        }
    }
}

/// Values with a few bytes between them, as in JSON.
struct Payload {
    bytes: Vec<u8>,
    values: Vec<Range<usize>>,
}

impl Payload {
    fn new(values: impl IntoIterator<Item = String>) -> Payload {
        let mut payload = Payload { bytes: b"{".to_vec(), values: Vec::new() };
        for value in values {
            payload.bytes.extend_from_slice(b"\"x\":\"");
            let start = payload.bytes.len();
            payload.bytes.extend_from_slice(value.as_bytes());
            payload.values.push(start..payload.bytes.len());
            payload.bytes.extend_from_slice(b"\",");
        }
        payload
    }

    fn texts(&self) -> impl Iterator<Item = &[u8]> {
        self.values.iter().map(|range| &self.bytes[range.clone()])
    }
}

/// A generator of numbers that look random and are the same in each run (Steele et al., "SplitMix", 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn letters(&mut self, len: usize) -> String {
        (0..len).map(|_| char::from(b'A' + (self.next() % 26) as u8)).collect()
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("all values are texts")
}

fn numbers(bench: &Bench) {
    let mut random = Random(1);
    let mut payload = |mut value: Box<dyn FnMut(&mut Random) -> String>| {
        Payload::new((0..VALUES).map(|_| value(&mut random)).collect::<Vec<_>>())
    };
    let longitudes = payload(Box::new(|random| format!("{}", -122.0 - random.next() as f64 / u64::MAX as f64)));
    let amounts = payload(Box::new(|random| format!("{}.{:02}", random.below(10_000), random.below(100))));
    let ids = payload(Box::new(|random| format!("{}", random.next() >> 1)));
    let counts = payload(Box::new(|random| format!("{}", random.below(100_000))));
    for (name, payload, literals) in [
        ("number longitude", &longitudes, ["-122.42916360922355", "-122.1", "-122.9", "-122.5", "-122"]),
        ("number amount", &amounts, ["5000", "100", "9999.99", "10.5", "0"]),
        ("number id", &ids, ["5000000000000000000", "1", "2", "3", "9000000000000000000"]),
        ("number count", &counts, ["5000", "100", "99999", "10", "0"]),
    ] {
        let mut texts = String::new();
        let decimals = literals.map(|literal| Decimal::compile(literal, &mut texts).expect("a number"));
        let mut ascending = decimals;
        ascending.sort_by(|a, b| a.number(&texts).cmp_decimal(b, &texts));
        let floats = literals.map(|literal| literal.parse::<f64>().expect("a number"));
        let is_read = |number: Option<Number<'_>>| usize::from(number.is_some_and(|number| number.key()[1] != 7));
        let ways = vec![
            each("parse Number::parse", |value| is_read(Number::parse(value))),
            each_in("parse Number::parse_at", |payload, range| is_read(Number::parse_at(payload, range))),
            each("parse str::parse::<f64>", |value| {
                usize::from(text(value).parse::<f64>().is_ok_and(|number| number != 0.777))
            }),
            each_in("less than 5 literals, Number::cmp_decimal", |payload, range| {
                let number = Number::parse_at(payload, range).expect("a number");
                hits(&decimals, |literal| number.cmp_decimal(literal, &texts).is_lt())
            }),
            each_in("less than 5 literals, Number::zone_at", |payload, range| {
                Number::zone_at(payload, range, &ascending, &texts).expect("a number")
            }),
            each("less than 5 literals, f64", |value| {
                let number = text(value).parse::<f64>().expect("a number");
                hits(&floats, |literal| number < **literal)
            }),
        ];
        bench.group(name, payload, ways);
    }
    let cents: Vec<f64> = (0..VALUES).map(|_| random.below(1_000_000) as f64 / 100.0).collect();
    let any: Vec<f64> = (0..VALUES).map(|_| random.next() as f64 / u64::MAX as f64).collect();
    for (name, doubles) in [("number from a double of cents", cents), ("number from any double", any)] {
        let ways: Vec<Way<'_>> = vec![
            (
                "from Number::from_f64",
                Box::new(|_| {
                    hits(&doubles, |value| Number::from_f64(**value).is_some_and(|number| number.key()[1] != 7))
                }),
            ),
            (
                "from to_string",
                Box::new(|_| {
                    hits(&doubles, |value| {
                        Number::parse(value.to_string().as_bytes()).is_some_and(|number| number.key()[1] != 7)
                    })
                }),
            ),
        ];
        bench.group(name, &amounts, ways);
    }
}

/// Values of which a few are, begin or end like one of the literals.
fn like(literals: &[String], random: &mut Random, mut other: impl FnMut(&mut Random) -> String) -> Payload {
    let values = (0..VALUES).map(|_| match random.below(24) {
        0 => literals[random.below(literals.len())].clone(),
        1 => literals[random.below(literals.len())].clone() + "tail",
        2 => "head".to_owned() + &literals[random.below(literals.len())],
        _ => other(random),
    });
    Payload::new(values.collect::<Vec<_>>())
}

fn texts(bench: &Bench) {
    let mut random = Random(2);
    for len in [5, 8, 12, 16, 24] {
        let literals: Vec<String> = (0..5).map(|_| random.letters(len)).collect();
        let payload = like(&literals, &mut random, |random| {
            let len = len + random.below(6);
            random.letters(len)
        });
        let mut texts = String::new();
        let compiled: Vec<_> =
            literals.iter().map(|literal| Literal::compile(literal, &mut texts).expect("room")).collect();
        let ways = vec![
            each_excerpt("equal Literal::equals", |value| hits(&compiled, |literal| literal.equals(&value, &texts))),
            each("equal ==", |value| hits(&literals, |literal| value == literal.as_bytes())),
            each_excerpt("starts Literal::starts", |value| hits(&compiled, |literal| literal.starts(&value, &texts))),
            each("starts starts_with", |value| hits(&literals, |literal| value.starts_with(literal.as_bytes()))),
            each_excerpt("ends Literal::ends", |value| hits(&compiled, |literal| literal.ends(&value, &texts))),
            each("ends ends_with", |value| hits(&literals, |literal| value.ends_with(literal.as_bytes()))),
        ];
        bench.group(&format!("text of {len} bytes, 5 literals"), &payload, ways);
    }
}

fn folded(bench: &Bench) {
    let mut random = Random(3);
    for (name, accents, len) in [("ASCII", 0, 8), ("ASCII", 0, 16), ("ASCII", 0, 40), ("four É and", 4, 16)] {
        let literals: Vec<String> = (0..5).map(|_| random.letters(len) + &"É".repeat(accents)).collect();
        let payload = like(&literals, &mut random, |random| random.letters(len).to_lowercase() + &"é".repeat(accents));
        let (mut texts, mut buffer, mut other) = (String::new(), Vec::new(), Vec::new());
        let compiled: Vec<String> = literals
            .iter()
            .map(|literal| {
                let mut folded = String::new();
                fold::fold_text(literal, &mut folded);
                folded
            })
            .collect();
        let needles: Vec<_> = compiled.iter().map(|text| Needle::compile(text, &mut texts).expect("room")).collect();
        let ways = vec![
            each("equal fold::equals", |value| hits(&compiled, |text| fold::equals(value, text.as_bytes()))),
            each("equal fold, then ==", |value| {
                let value = fold::fold(value, &mut buffer);
                hits(&compiled, |text| value == text.as_bytes())
            }),
            each("equal to_lowercase, then ==", |value| {
                let value = text(value).to_lowercase();
                hits(&compiled, |text| value == **text)
            }),
            each("starts fold::starts_with", |value| hits(&compiled, |text| fold::starts_with(value, text.as_bytes()))),
            each("ends fold::ends_with", |value| hits(&compiled, |text| fold::ends_with(value, text.as_bytes()))),
            each("contains fold, then Needle::find", |value| {
                let value = fold::fold(value, &mut other);
                hits(&needles, |needle| needle.find(value, &texts).is_some())
            }),
            each("contains to_lowercase, then str::contains", |value| {
                let value = text(value).to_lowercase();
                hits(&compiled, |text| value.contains(text.as_str()))
            }),
        ];
        bench.group(&format!("fold {name} {len} letters, 5 literals"), &payload, ways);
    }
}

fn needles(bench: &Bench) {
    let mut random = Random(4);
    for (len, value_len) in [(1, 24), (3, 24), (5, 24), (12, 40), (5, 400), (12, 4_000)] {
        let literals: Vec<String> = (0..5).map(|_| random.letters(len)).collect();
        let payload = like(&literals, &mut random, |random| random.letters(value_len));
        let mut texts = String::new();
        let compiled: Vec<_> =
            literals.iter().map(|literal| Needle::compile(literal, &mut texts).expect("room")).collect();
        let finders: Vec<_> = literals.iter().map(memchr::memmem::Finder::new).collect();
        let ways = vec![
            each("found Needle::find", |value| hits(&compiled, |needle| needle.find(value, &texts).is_some())),
            each("found memmem::Finder", |value| hits(&finders, |finder| finder.find(value).is_some())),
            each("found memmem::find", |value| {
                hits(&literals, |literal| memchr::memmem::find(value, literal.as_bytes()).is_some())
            }),
            each("found str::contains", |value| hits(&literals, |literal| text(value).contains(literal.as_str()))),
        ];
        bench.group(&format!("contains {len} of {value_len} bytes, 5 literals"), &payload, ways);
    }
}

/// The well-known way with one place to come back to.
fn glob(pattern: &[u8], value: &[u8]) -> bool {
    let (mut at, mut from, mut star, mut back) = (0, 0, None, 0);
    while from < value.len() {
        if pattern.get(at) == Some(&b'*') {
            (star, back) = (Some(at), from);
            at += 1;
        } else if pattern.get(at) == value.get(from) {
            (at, from) = (at + 1, from + 1);
        } else if let Some(star) = star {
            back += 1;
            (at, from) = (star + 1, back);
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

fn wildcards(bench: &Bench) {
    let mut random = Random(5);
    let lots: Vec<String> = ["143*", "2*0*1*7", "*218", "3*5*2", "VACSTWIL*"].map(str::to_owned).into();
    let values = (0..VALUES).map(|_| match random.below(20) {
        0 => "VACSTWIL001".to_owned(),
        _ => format!("{:04}{:03}", random.below(10_000), random.below(1_000)),
    });
    let lot_values = Payload::new(values.collect::<Vec<_>>());
    let parts: Vec<String> = (0..5).map(|_| format!("*{}*", random.letters(3))).collect();
    let part_values = Payload::new((0..VALUES).map(|_| random.letters(24)).collect::<Vec<_>>());
    for (name, payload, patterns) in [
        ("wildcard of map lots, 5 patterns", lot_values, lots),
        ("wildcard *abc* in 24 bytes, 5 patterns", part_values, parts),
    ] {
        let (mut texts, mut parts) = (String::new(), Vec::new());
        let compile = |pattern: &String| Wildcard::compile(pattern, false, &mut texts, &mut parts).expect("a pattern");
        let compiled: Vec<_> = patterns.iter().map(compile).collect();
        let ways = vec![
            each_excerpt("matches Wildcard", |value| {
                hits(&compiled, |pattern| pattern.matches(&value, &texts, &parts))
            }),
            each("matches glob", |value| hits(&patterns, |pattern| glob(pattern.as_bytes(), value))),
        ];
        bench.group(name, &payload, ways);
    }
}

fn wildcard_sets(bench: &Bench) {
    for patterns in [10, 100, 1_000, 10_000, 100_000] {
        let name = format!("wildcard set of {patterns}");
        if !name.contains(&bench.only) || (bench.rounds == 1 && patterns > 1_000) {
            continue;
        }
        let mut random = Random(6);
        let letters: Vec<String> = (0..patterns).map(|_| random.letters(5)).collect();
        let values = (0..VALUES).map(|_| {
            let mut value = random.letters(24);
            if random.below(2) == 0 {
                let at = random.below(19);
                value.replace_range(at..at + 5, &letters[random.below(patterns)]);
            }
            value
        });
        let payload = Payload::new(values.collect::<Vec<_>>());
        let (mut texts, mut parts) = (String::new(), Vec::new());
        let mut compile =
            |part: &String| Wildcard::compile(&format!("*{part}*"), false, &mut texts, &mut parts).expect("a pattern");
        let compiled: Vec<_> = letters.iter().map(&mut compile).collect();
        let mut set = WildcardSet::default();
        let mut times = Vec::new();
        for _ in 0..3 {
            let start = Instant::now();
            set.build(compiled.iter().copied(), &texts, &parts, usize::MAX).expect("no limit");
            times.push(start.elapsed());
        }
        println!(
            "{name}: built in {:?}, then in {:?}; {} bytes a pattern",
            times[0],
            times[2],
            set.memory_bytes() / patterns
        );
        let mut found = Matches::default();
        let mut ways = vec![each_excerpt("found WildcardSet", |value| {
            set.matching(&value, &texts, &parts, &mut found);
            found.numbers().len()
        })];
        if patterns <= 1_000 {
            ways.push(each_excerpt("found one by one", |value| {
                hits(&compiled, |pattern| pattern.matches(&value, &texts, &parts))
            }));
        }
        bench.group(&name, &payload, ways);
    }
}

fn addresses(bench: &Bench) {
    let mut random = Random(7);
    let v4 = (0..VALUES).map(|_| Ipv4Addr::from(random.next() as u32).to_string());
    let v4 = Payload::new(v4.collect::<Vec<_>>());
    let v6 =
        (0..VALUES).map(|_| Ipv6Addr::from(u128::from(random.next()) << 64 | u128::from(random.next())).to_string());
    let v6 = Payload::new(v6.collect::<Vec<_>>());
    for (name, payload) in [("address of version 4", &v4), ("address of version 6", &v6)] {
        let ways = vec![
            each("parse parse_address", |value| usize::from(black_box(cidr::parse_address(value)).is_some())),
            each("parse IpAddr::from_str", |value| usize::from(black_box(text(value).parse::<IpAddr>()).is_ok())),
        ];
        bench.group(name, payload, ways);
    }
    for blocks in [1, 10, 1_000, 10_000] {
        let block = |random: &mut Random| {
            let bits = if blocks == 1 { 2 } else { 12 + random.below(13) };
            Block::parse(&format!("{}/{bits}", Ipv4Addr::from(random.next() as u32))).expect("a block")
        };
        let blocks: Vec<Block> = (0..blocks).map(|_| block(&mut random)).collect();
        let mut ranges = CidrRanges::default();
        let set = ranges.add(blocks.iter().copied()).expect("room");
        let mut ways =
            vec![each("contained CidrSet::contains", |value| usize::from(set.contains(value, &ranges) == Some(true)))];
        if blocks.len() <= 1_000 {
            ways.push(each("contained one by one", |value| {
                let address: IpAddr = text(value).parse().expect("an address");
                let within = |block: &Block| block.ends().0 <= address && address <= block.ends().1;
                usize::from(blocks.iter().any(within))
            }));
        }
        bench.group(&format!("address in {} blocks", blocks.len()), &v4, ways);
    }
}
