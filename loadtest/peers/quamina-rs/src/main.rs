//! The driver of quamina (Rust); its arguments and its output are described in ../README.md.

use parking_lot::RwLock;
use quamina::{MatcherBuildMode, Quamina, QuaminaBuilder};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::process::exit;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

const REFUSED: i32 = 3;

#[derive(serde::Deserialize)]
struct Rule {
    id: String,
    pattern: Box<serde_json::value::RawValue>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let options: HashMap<&str, &str> = arguments[3..].iter().filter_map(|argument| argument.split_once('=')).collect();
    let text = fs::read(&arguments[1]).expect("rules");
    let rules: Vec<Rule> = lines(&text).map(|line| serde_json::from_slice(line).expect("a rule")).collect();
    // One buffer, as a batch from Kafka would be.
    let text = fs::read(&arguments[2]).expect("events");
    let events: Vec<&[u8]> = lines(&text).take(number(&options, "limit", usize::MAX)).collect();

    let rss_before = rss_bytes();
    let mut quamina = QuaminaBuilder::<u32>::new()
        .with_arena_byte_budget(8 << 30)
        .with_max_states_per_pattern(1 << 20)
        .build()
        .expect("a matcher");
    if options.get("speed") == Some(&"true") {
        quamina.set_matcher_build_mode(MatcherBuildMode::BuiltForSpeed);
    }
    let began = Instant::now();
    for (index, rule) in (0..).zip(&rules) {
        if let Err(refusal) = quamina.add_pattern(index, rule.pattern.get()) {
            eprintln!("refused {}: {}", rule.id, refusal.to_string().replace('\n', " "));
            exit(REFUSED);
        }
    }
    // The first event freezes the automaton: that is a part of loading.
    if let Some(first) = events.first() {
        quamina.matches_for_event(first).expect("an event");
    }
    let load = began.elapsed();
    let heap = rss_bytes() - rss_before;
    if let Some(file) = options.get("out") {
        write_answers(&quamina, &rules, &events, file);
    }

    let mut passes = Passes::new(&options);
    let (mut hash, mut churn) = (0, (0, Duration::ZERO));
    if number(&options, "churn", 0.0) > 0.0 {
        churn = passes.run_while_rules_change(quamina, &events, &options);
    } else {
        passes.run(&events, |event| quamina.matches_for_event(event).expect("an event").len());
        hash = hash_of(&quamina, &rules, &events[..passes.done]);
    }
    let (updates, spent) = churn;
    println!(
        "{{\"peer\":\"quamina-rs\",\"rules\":{},\"events\":{},\"load_ms\":{:.1},\"heap_mb\":{:.1},\"rss_mb\":{:.1},\"ns_per_event\":{:.1?},\
         \"cpu_ns_per_event\":{:.1?},\"matches\":{},\"hash\":\"{hash:016x}\",\"updates\":{updates},\"us_per_update\":{:.1},\
         \"expected\":{},\"lost\":{},\"threw\":0}}",
        rules.len(),
        passes.done,
        load.as_secs_f64() * 1e3,
        heap / 1e6,
        rss_bytes() / 1e6,
        passes.wall,
        passes.cpu,
        passes.matches,
        spent.as_secs_f64() * 1e6 / f64::from(updates.max(1)),
        passes.expected,
        passes.lost,
    );
}

/// All events, matched again and again on this thread.
struct Passes {
    least: usize,
    max: Duration,
    min: Duration,
    /// How many matches each event had before the patterns began to change; empty: they don't.
    before: Vec<usize>,
    wall: Vec<f64>,
    cpu: Vec<f64>,
    done: usize,
    matches: usize,
    expected: usize,
    lost: usize,
}

impl Passes {
    fn new(options: &HashMap<&str, &str>) -> Self {
        Passes {
            least: number(options, "passes", 5),
            max: Duration::from_secs_f64(number(options, "maxsec", 1e9)),
            min: Duration::from_secs_f64(number(options, "minsec", 0.0)),
            before: vec![],
            wall: vec![],
            cpu: vec![],
            done: 0,
            matches: 0,
            expected: 0,
            lost: 0,
        }
    }

    fn run(&mut self, events: &[&[u8]], mut matches: impl FnMut(&[u8]) -> usize) {
        let (mut pass, first) = (0, Instant::now());
        while pass < self.least || !self.before.is_empty() && first.elapsed() < self.min {
            let (began, cpu_began) = (Instant::now(), thread_nanos());
            (self.done, self.matches) = (0, 0);
            for event in events {
                let found = matches(event);
                if let Some(before) = self.before.get(self.done) {
                    self.expected += before;
                    self.lost += before.saturating_sub(found);
                }
                self.matches += found;
                self.done += 1;
                if (self.done & 63 == 0 || !self.before.is_empty()) && began.elapsed() > self.max {
                    break;
                }
            }
            let events = self.done.max(1) as f64;
            self.cpu.push((thread_nanos() - cpu_began) / events);
            self.wall.push(began.elapsed().as_nanos() as f64 / events);
            pass += 1;
        }
    }

    /// Another thread adds and deletes a pattern. Both need the matcher for themselves, hence the lock. How many changes, and how long
    /// they took.
    fn run_while_rules_change(
        &mut self,
        quamina: Quamina<u32>,
        events: &[&[u8]],
        options: &HashMap<&str, &str>,
    ) -> (u32, Duration) {
        self.before = events.iter().map(|event| quamina.matches_for_event(event).expect("an event").len()).collect();
        let extra: Rule =
            serde_json::from_slice(&fs::read(options["extra"]).expect("the rule to change")).expect("a rule");
        let per_second: f64 = number(options, "churn", 1.0);
        let (quamina, ended) = (RwLock::new(quamina), AtomicBool::new(false));
        thread::scope(|scope| {
            let changes = scope.spawn(|| {
                let (mut updates, mut spent, first) = (0, Duration::ZERO, Instant::now());
                while !ended.load(Relaxed) {
                    let began = Instant::now();
                    if updates % 2 == 0 {
                        quamina.write().add_pattern(u32::MAX, extra.pattern.get()).expect("added");
                    } else {
                        quamina.write().delete_patterns(&u32::MAX).expect("deleted");
                    }
                    spent += began.elapsed();
                    updates += 1;
                    let due = first + Duration::from_secs_f64(f64::from(updates) / per_second);
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                }
                (updates, spent)
            });
            self.run(events, |event| quamina.read().matches_for_event(event).expect("an event").len());
            ended.store(true, Relaxed);
            changes.join().expect("changes")
        })
    }
}

fn write_answers(quamina: &Quamina<u32>, rules: &[Rule], events: &[&[u8]], file: &str) {
    let mut out = BufWriter::new(File::create(file).expect("a file to write to"));
    for event in events {
        let found = quamina.matches_for_event(event).expect("an event");
        let mut ids: Vec<&str> = found.into_iter().map(|index| rules[index as usize].id.as_str()).collect();
        ids.sort();
        serde_json::to_writer(&mut out, &ids).expect("written");
        out.write_all(b"\n").expect("written");
    }
    out.flush().expect("written");
}

fn hash_of(quamina: &Quamina<u32>, rules: &[Rule], events: &[&[u8]]) -> u64 {
    let mut sum = 0u64;
    for (number, event) in events.iter().enumerate() {
        for index in quamina.matches_for_event(event).expect("an event") {
            sum = sum.wrapping_add(fnv1a(&format!("{number}:{}", rules[index as usize].id)));
        }
    }
    sum
}

fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn number<T: FromStr>(options: &HashMap<&str, &str>, name: &str, otherwise: T) -> T {
    options
        .get(name)
        .map_or(otherwise, |value| value.parse().ok().unwrap_or_else(|| panic!("{name}={value} is no number")))
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

/// CPU time of this thread: what other processes on the machine take is not counted.
fn thread_nanos() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock exists on every Unix, and `time` is there to be written to.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// 0 where there is no /proc.
fn rss_bytes() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    kib.unwrap_or(0.0) * 1024.0
}
