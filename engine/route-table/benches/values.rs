//! What the test of one value costs, beside the obvious way to do it. `cargo bench -p veltrix-route-table --bench values`
//!
//! Each row is the nanoseconds per value of the best round out of many, over a thousand different values that follow each other in
//! a payload. Both ways take turns, so that a noisy machine slows both. Their answers are counted and compared.
//! A word behind the command runs only the groups whose names hold it.

use std::fmt::Write as _;
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

/// A way to do something with all values of a payload, and what it answered.
type Way<'a> = (&'a str, Box<dyn FnMut(&Payload) -> usize + 'a>);

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

    fn excerpts(&self) -> impl Iterator<Item = Excerpt<'_>> {
        self.values.iter().map(|range| Excerpt::new(&self.bytes, range.clone()).expect("a value lies in its payload"))
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

fn count(answers: impl Iterator<Item = bool>) -> usize {
    answers.filter(|answer| *answer).count()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("all values are texts")
}

fn numbers(bench: &Bench) {
    let mut random = Random(1);
    let longitudes = (0..VALUES).map(|_| format!("{}", -122.0 - random.next() as f64 / u64::MAX as f64));
    let longitudes = Payload::new(longitudes.collect::<Vec<_>>());
    let amounts = (0..VALUES).map(|_| format!("{}.{:02}", random.below(10_000), random.below(100)));
    let amounts = Payload::new(amounts.collect::<Vec<_>>());
    let ids = Payload::new((0..VALUES).map(|_| format!("{}", random.next() >> 1)).collect::<Vec<_>>());
    let counts = Payload::new((0..VALUES).map(|_| format!("{}", random.below(100_000))).collect::<Vec<_>>());
    for (name, payload, literals) in [
        ("number longitude", &longitudes, ["-122.42916360922355", "-122.1", "-122.9", "-122.5", "-122"]),
        ("number amount", &amounts, ["5000", "100", "9999.99", "10.5", "0"]),
        ("number id", &ids, ["5000000000000000000", "1", "2", "3", "9000000000000000000"]),
        ("number count", &counts, ["5000", "100", "99999", "10", "0"]),
    ] {
        let mut texts = String::new();
        let decimals = literals.map(|literal| Decimal::compile(literal, &mut texts).expect("a number"));
        let floats = literals.map(|literal| literal.parse::<f64>().expect("a number"));
        let count_less =
            |number: Number<'_>| decimals.iter().filter(|literal| number.cmp_decimal(literal, &texts).is_lt()).count();
        bench.group(
            name,
            payload,
            vec![
                (
                    "parse Number::parse",
                    Box::new(|payload| {
                        count(
                            payload.texts().map(|text| Number::parse(text).is_some_and(|number| number.key()[1] != 7)),
                        )
                    }),
                ),
                (
                    "parse Number::parse_at",
                    Box::new(|payload| {
                        let values = payload.values.iter().cloned();
                        count(values.map(|range| {
                            Number::parse_at(&payload.bytes, range).is_some_and(|number| number.key()[1] != 7)
                        }))
                    }),
                ),
                (
                    "parse str::parse::<f64>",
                    Box::new(|payload| {
                        count(
                            payload.texts().map(|bytes| text(bytes).parse::<f64>().is_ok_and(|number| number != 0.777)),
                        )
                    }),
                ),
                (
                    "less than 5 literals, Number",
                    Box::new(|payload| {
                        let values = payload.values.iter().cloned();
                        values.filter_map(|range| Number::parse_at(&payload.bytes, range)).map(count_less).sum()
                    }),
                ),
                (
                    "less than 5 literals, f64",
                    Box::new(|payload| {
                        let values = payload.texts().filter_map(|bytes| text(bytes).parse::<f64>().ok());
                        values.map(|value| floats.iter().filter(|literal| value < **literal).count()).sum()
                    }),
                ),
            ],
        );
    }
    let doubles: Vec<f64> = (0..VALUES).map(|_| random.below(1_000_000) as f64 / 100.0).collect();
    let odd: Vec<f64> = (0..VALUES).map(|_| random.next() as f64 / u64::MAX as f64).collect();
    for (name, doubles) in [("number from doubles of cents", doubles), ("number from any double", odd)] {
        bench.group(
            name,
            &amounts,
            vec![
                (
                    "from Number::from_f64",
                    Box::new(|_| count(doubles.iter().map(|value| black_box(Number::from_f64(*value)).is_some()))),
                ),
                (
                    "from to_string and parse",
                    Box::new(|_| {
                        count(
                            doubles
                                .iter()
                                .map(|value| black_box(Number::parse(value.to_string().as_bytes())).is_some()),
                        )
                    }),
                ),
            ],
        );
    }
}

fn texts(bench: &Bench) {
    let mut random = Random(2);
    for len in [5, 8, 12, 16, 24] {
        let literals: Vec<String> = (0..5).map(|_| random.letters(len)).collect();
        // One in eight values is, begins or ends like a literal.
        let values = (0..VALUES).map(|_| match random.below(24) {
            0 => literals[random.below(5)].clone(),
            1 => literals[random.below(5)].clone() + "tail",
            2 => "head".to_owned() + &literals[random.below(5)],
            _ => {
                let len = len + random.below(6);
                random.letters(len)
            }
        });
        let payload = Payload::new(values.collect::<Vec<_>>());
        let mut texts = String::new();
        let compiled: Vec<_> =
            literals.iter().map(|literal| Literal::compile(literal, &mut texts).expect("room")).collect();
        bench.group(
            &format!("text of {len} bytes, 5 literals"),
            &payload,
            vec![
                (
                    "equal Literal::equals",
                    Box::new(|payload| {
                        payload
                            .excerpts()
                            .map(|value| count(compiled.iter().map(|literal| literal.equals(&value, &texts))))
                            .sum()
                    }),
                ),
                (
                    "equal ==",
                    Box::new(|payload| {
                        payload
                            .texts()
                            .map(|value| count(literals.iter().map(|literal| value == literal.as_bytes())))
                            .sum()
                    }),
                ),
                (
                    "starts Literal::starts",
                    Box::new(|payload| {
                        payload
                            .excerpts()
                            .map(|value| count(compiled.iter().map(|literal| literal.starts(&value, &texts))))
                            .sum()
                    }),
                ),
                (
                    "starts starts_with",
                    Box::new(|payload| {
                        payload
                            .texts()
                            .map(|value| count(literals.iter().map(|literal| value.starts_with(literal.as_bytes()))))
                            .sum()
                    }),
                ),
                (
                    "ends Literal::ends",
                    Box::new(|payload| {
                        payload
                            .excerpts()
                            .map(|value| count(compiled.iter().map(|literal| literal.ends(&value, &texts))))
                            .sum()
                    }),
                ),
                (
                    "ends ends_with",
                    Box::new(|payload| {
                        payload
                            .texts()
                            .map(|value| count(literals.iter().map(|literal| value.ends_with(literal.as_bytes()))))
                            .sum()
                    }),
                ),
            ],
        );
    }
}

fn folded(bench: &Bench) {
    let mut random = Random(3);
    for (name, letters, len) in [("ascii", 0, 8), ("ascii", 0, 16), ("ascii", 0, 40), ("some é", 4, 16)] {
        let literals: Vec<String> = (0..5)
            .map(|_| {
                let mut text = random.letters(len);
                (0..letters).for_each(|_| text.push('É'));
                text
            })
            .collect();
        let values = (0..VALUES).map(|_| match random.below(8) {
            0 => literals[random.below(5)].to_lowercase(),
            1 => literals[random.below(5)].clone() + "tail",
            2 => "head".to_owned() + &literals[random.below(5)],
            _ => random.letters(len) + &"é".repeat(letters),
        });
        let payload = Payload::new(values.collect::<Vec<_>>());
        let compiled: Vec<String> = literals
            .iter()
            .map(|literal| {
                let mut folded = String::new();
                fold::fold_text(literal, &mut folded);
                folded
            })
            .collect();
        let mut buffer = Vec::new();
        let mut other = Vec::new();
        bench.group(
            &format!("fold {name}, {len} letters, 5 literals"),
            &payload,
            vec![
                (
                    "equal fold::equals",
                    Box::new(|payload| {
                        payload
                            .texts()
                            .map(|value| count(compiled.iter().map(|literal| fold::equals(value, literal.as_bytes()))))
                            .sum()
                    }),
                ),
                (
                    "equal fold, then ==",
                    Box::new(|payload| {
                        payload
                            .texts()
                            .map(|value| {
                                let value = fold::fold(value, &mut buffer);
                                count(compiled.iter().map(|literal| value == literal.as_bytes()))
                            })
                            .sum()
                    }),
                ),
                (
                    "equal to_lowercase",
                    Box::new(|payload| {
                        payload
                            .texts()
                            .map(|value| {
                                let value = text(value).to_lowercase();
                                count(compiled.iter().map(|literal| value == *literal))
                            })
                            .sum()
                    }),
                ),
                (
                    "starts fold::starts_with",
                    Box::new(|payload| {
                        payload
                            .texts()
                            .map(|value| {
                                count(compiled.iter().map(|literal| fold::starts_with(value, literal.as_bytes())))
                            })
                            .sum()
                    }),
                ),
                (
                    "ends fold::ends_with",
                    Box::new(|payload| {
                        payload
                            .texts()
                            .map(|value| {
                                count(compiled.iter().map(|literal| fold::ends_with(value, literal.as_bytes())))
                            })
                            .sum()
                    }),
                ),
                (
                    "contains fold::contains",
                    Box::new(|payload| {
                        payload
                            .texts()
                            .map(|value| {
                                count(
                                    compiled
                                        .iter()
                                        .map(|literal| fold::contains(value, literal.as_bytes(), &mut other)),
                                )
                            })
                            .sum()
                    }),
                ),
            ],
        );
    }
}

fn needles(bench: &Bench) {
    let mut random = Random(4);
    for (len, value_len) in [(1, 24), (3, 24), (5, 24), (12, 40), (5, 400), (12, 4_000)] {
        let literals: Vec<String> = (0..5).map(|_| random.letters(len)).collect();
        let values = (0..VALUES).map(|_| {
            let mut value = random.letters(value_len);
            if random.below(8) == 0 {
                let at = random.below(value_len - len);
                value.replace_range(at..at + len, &literals[random.below(5)]);
            }
            value
        });
        let payload = Payload::new(values.collect::<Vec<_>>());
        let mut texts = String::new();
        let compiled: Vec<_> =
            literals.iter().map(|literal| Needle::compile(literal, &mut texts).expect("room")).collect();
        let finders: Vec<_> = literals.iter().map(memchr::memmem::Finder::new).collect();
        bench.group(
            &format!("contains {len} of {value_len} bytes, 5 literals"),
            &payload,
            vec![
                (
                    "found Needle::find",
                    Box::new(|payload| {
                        payload
                            .texts()
                            .map(|value| count(compiled.iter().map(|needle| needle.find(value, &texts).is_some())))
                            .sum()
                    }),
                ),
                (
                    "found memmem::Finder",
                    Box::new(|payload| {
                        payload
                            .texts()
                            .map(|value| count(finders.iter().map(|finder| finder.find(value).is_some())))
                            .sum()
                    }),
                ),
                (
                    "found memmem::find",
                    Box::new(|payload| {
                        payload
                            .texts()
                            .map(|value| {
                                count(
                                    literals
                                        .iter()
                                        .map(|literal| memchr::memmem::find(value, literal.as_bytes()).is_some()),
                                )
                            })
                            .sum()
                    }),
                ),
                (
                    "found str::contains",
                    Box::new(|payload| {
                        payload
                            .texts()
                            .map(|value| count(literals.iter().map(|literal| text(value).contains(literal.as_str()))))
                            .sum()
                    }),
                ),
            ],
        );
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
    let patterns = ["143*", "2*0*1*7", "*218", "3*5*2", "VACSTWIL*"];
    let values = (0..VALUES).map(|_| match random.below(20) {
        0 => "VACSTWIL001".to_owned(),
        _ => format!("{:04}{:03}", random.below(10_000), random.below(1_000)),
    });
    let payload = Payload::new(values.collect::<Vec<_>>());
    one_by_one(bench, "wildcard of map lots, 5 patterns", &payload, &patterns);
    let patterns: Vec<String> = (0..5).map(|_| format!("*{}*", random.letters(3))).collect();
    let values = (0..VALUES).map(|_| random.letters(24));
    let payload = Payload::new(values.collect::<Vec<_>>());
    one_by_one(
        bench,
        "wildcard *abc* in 24 bytes, 5 patterns",
        &payload,
        &patterns.iter().map(String::as_str).collect::<Vec<_>>(),
    );
}

fn one_by_one(bench: &Bench, name: &str, payload: &Payload, patterns: &[&str]) {
    let (mut texts, mut parts) = (String::new(), Vec::new());
    let compiled: Vec<_> = patterns
        .iter()
        .map(|pattern| Wildcard::compile(pattern, false, &mut texts, &mut parts).expect("a pattern"))
        .collect();
    bench.group(
        name,
        payload,
        vec![
            (
                "matches Wildcard::matches",
                Box::new(|payload| {
                    payload
                        .excerpts()
                        .map(|value| count(compiled.iter().map(|pattern| pattern.matches(&value, &texts, &parts))))
                        .sum()
                }),
            ),
            (
                "matches glob",
                Box::new(|payload| {
                    payload
                        .texts()
                        .map(|value| count(patterns.iter().map(|pattern| glob(pattern.as_bytes(), value))))
                        .sum()
                }),
            ),
        ],
    );
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
        let compiled: Vec<_> = letters
            .iter()
            .map(|letters| {
                Wildcard::compile(&format!("*{letters}*"), false, &mut texts, &mut parts).expect("a pattern")
            })
            .collect();
        let mut set = WildcardSet::default();
        for _ in 0..3 {
            let start = Instant::now();
            set.build(compiled.iter().copied(), &texts, &parts, usize::MAX).expect("no limit");
            let ms = start.elapsed().as_secs_f64() * 1e3;
            println!("built a set of {patterns} in {ms:.2} ms, {} bytes each", set.memory_bytes() / patterns);
        }
        let mut found = Matches::default();
        let mut ways: Vec<Way<'_>> = vec![(
            "found WildcardSet",
            Box::new(|payload| {
                payload
                    .excerpts()
                    .map(|value| {
                        set.matching(&value, &texts, &parts, &mut found);
                        found.numbers().len()
                    })
                    .sum()
            }),
        )];
        if patterns <= 1_000 {
            ways.push((
                "found one by one",
                Box::new(|payload| {
                    payload
                        .excerpts()
                        .map(|value| count(compiled.iter().map(|pattern| pattern.matches(&value, &texts, &parts))))
                        .sum()
                }),
            ));
        }
        bench.group(&name, &payload, ways);
    }
}

fn addresses(bench: &Bench) {
    let mut random = Random(7);
    let v4 = (0..VALUES).map(|_| Ipv4Addr::from(random.next() as u32).to_string());
    let v4 = Payload::new(v4.collect::<Vec<_>>());
    let v6 = (0..VALUES).map(|_| {
        let bits = u128::from(random.next()) << 64 | u128::from(random.next());
        Ipv6Addr::from(bits >> 3 & !(0xffff << 60) | 1 << 125).to_string()
    });
    let v6 = Payload::new(v6.collect::<Vec<_>>());
    for (name, payload) in [("address version 4", &v4), ("address version 6", &v6)] {
        bench.group(
            name,
            payload,
            vec![
                (
                    "parse parse_address",
                    Box::new(|payload| {
                        count(payload.texts().map(|text| black_box(cidr::parse_address(text)).is_some()))
                    }),
                ),
                (
                    "parse IpAddr::from_str",
                    Box::new(|payload| {
                        count(payload.texts().map(|text| {
                            black_box(std::str::from_utf8(text).expect("a text").parse::<IpAddr>()).is_ok()
                        }))
                    }),
                ),
            ],
        );
    }
    for blocks in [1, 10, 1_000, 10_000] {
        let mut text = String::new();
        let blocks: Vec<Block> = (0..blocks)
            .map(|_| {
                text.clear();
                let bits = if blocks == 1 { 2 } else { 12 + random.below(13) };
                write!(text, "{}/{bits}", Ipv4Addr::from(random.next() as u32)).expect("a text grows");
                Block::parse(&text).expect("a block")
            })
            .collect();
        let mut ranges = CidrRanges::default();
        let set = ranges.add(blocks.iter().copied()).expect("room");
        let singles: Vec<_> = blocks.iter().map(|block| range_of(*block)).collect();
        let mut ways: Vec<Way<'_>> = vec![(
            "contained CidrSet::contains",
            Box::new(|payload| count(payload.texts().map(|text| set.contains(text, &ranges) == Some(true)))),
        )];
        if blocks.len() <= 1_000 {
            ways.push((
                "contained one by one",
                Box::new(|payload| {
                    count(payload.texts().map(|text| {
                        let address: Ipv4Addr = std::str::from_utf8(text).expect("a text").parse().expect("an address");
                        singles.iter().any(|range| range.contains(&u64::from(u32::from(address))))
                    }))
                }),
            ));
        }
        bench.group(&format!("address in {} blocks", blocks.len()), &v4, ways);
    }
}

fn range_of(block: Block) -> Range<u64> {
    match block.ends() {
        (IpAddr::V4(first), IpAddr::V4(last)) => u64::from(u32::from(first))..u64::from(u32::from(last)) + 1,
        _ => 0..0,
    }
}
