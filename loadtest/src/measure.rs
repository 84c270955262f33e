//! Matches all events again and again and says what that took.

use crate::clock::thread_time;
use crate::hash::AnswerHash;
use crate::input::{Events, Rule};
use crate::matcher::Matcher;
use std::io::{self, Write};
use std::time::{Duration, Instant};

/// Events between two looks at the clock, and at whether the rules have changed: as many as a Kafka batch may have.
const BATCH: usize = 512;

/// How many events ahead a matcher is told of one, as a router does with the events of a batch.
const AHEAD: usize = 3;

/// Passes that are shorter are told by the wall clock: hardly one is interrupted, and the account that a kernel keeps of a thread's time is off by
/// as much where a hypervisor takes the processor away.
const SHORT: Duration = Duration::from_millis(4);

/// How long to go on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) passes: usize,
    /// A pass that takes longer ends where it is.
    pub(crate) pass_max: Duration,
    /// More passes are made until this is over.
    pub(crate) min: Duration,
}

/// What all passes took, per event.
#[derive(Debug, Default)]
pub(crate) struct Passes {
    pub(crate) wall_ns: Vec<f64>,
    /// Of the matching thread; of the wall, if a pass is short.
    pub(crate) cpu_ns: Vec<f64>,
    /// Of the batches of all passes but the first, which warms up; sorted.
    batches_ns: Vec<f64>,
    /// Of the last pass: all of them, unless it took too long.
    pub(crate) events: usize,
    pub(crate) matches: u64,
    pub(crate) loss: Loss,
}

/// Matches that were there before the rules began to change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Loss {
    pub(crate) expected: u64,
    pub(crate) lost: u64,
}

impl Passes {
    /// Runs them. `before` says how many matches each event had before the rules began to change, which must not become fewer.
    pub(crate) fn run(matcher: &mut impl Matcher, events: &Events, plan: Plan, before: Option<&[u32]>) -> Self {
        let mut passes = Passes::default();
        let began = Instant::now();
        let mut pass = 0;
        while pass < plan.passes || began.elapsed() < plan.min {
            // Figures of a pass that only warms up say nothing, unless there is no other.
            if pass == 1 {
                passes.batches_ns.clear();
            }
            passes.one(matcher, events, plan.pass_max, before);
            pass += 1;
        }
        passes.batches_ns.sort_by(f64::total_cmp);
        passes
    }

    fn one(&mut self, matcher: &mut impl Matcher, events: &Events, max: Duration, before: Option<&[u32]>) {
        let mut out = Vec::new();
        let (began, cpu_began) = (Instant::now(), thread_time());
        let mut cpu_then = cpu_began;
        (self.events, self.matches) = (0, 0);
        while self.events < events.len() && began.elapsed() <= max {
            let end = (self.events + BATCH).min(events.len());
            matcher.refresh();
            let mut ahead = events.some(self.events..end).skip(AHEAD);
            for (place, event) in (self.events..end).zip(events.some(self.events..end)) {
                if let Some(soon) = ahead.next() {
                    matcher.prefetch(soon);
                }
                matcher.matches(event, &mut out);
                self.matches += out.len() as u64;
                if let Some(before) = before.and_then(|before| before.get(place)) {
                    self.loss.expected += u64::from(*before);
                    self.loss.lost += u64::from(before.saturating_sub(out.len() as u32));
                }
            }
            let cpu_now = thread_time();
            self.batches_ns.push(per_event(cpu_now - cpu_then, end - self.events));
            (self.events, cpu_then) = (end, cpu_now);
        }
        let (wall, cpu) = (began.elapsed(), cpu_then - cpu_began);
        self.wall_ns.push(per_event(wall, self.events));
        self.cpu_ns.push(per_event(if wall < SHORT { wall } else { cpu }, self.events));
    }

    /// Time of the best pass.
    pub(crate) fn best_ns(&self) -> f64 {
        self.cpu_ns.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// Of the batches: 0.5 is the median. 0 without events.
    pub(crate) fn quantile_ns(&self, quantile: f64) -> f64 {
        let last = self.batches_ns.len().saturating_sub(1);
        self.batches_ns.get((last as f64 * quantile).round() as usize).copied().unwrap_or_default()
    }
}

fn per_event(time: Duration, events: usize) -> f64 {
    if events == 0 { 0.0 } else { time.as_nanos() as f64 / events as f64 }
}

/// How many rules each event matches.
pub(crate) fn counts(matcher: &mut impl Matcher, events: &Events) -> Vec<u32> {
    let mut out = Vec::new();
    events
        .iter()
        .map(|event| {
            matcher.matches(event, &mut out);
            out.len() as u32
        })
        .collect()
}

/// The hash of the answers to the first `count` events.
pub(crate) fn hash(matcher: &mut impl Matcher, rules: &[Rule], events: &Events, count: usize) -> AnswerHash {
    let (mut hash, mut out) = (AnswerHash::default(), Vec::new());
    for (number, event) in events.iter().take(count).enumerate() {
        matcher.matches(event, &mut out);
        hash.add(number, out.iter().map(|place| rules[*place as usize].id.as_str()));
    }
    hash
}

/// Writes a line of JSON for each event: its number and the ids that it matches, sorted.
pub(crate) fn write_matches(
    matcher: &mut impl Matcher,
    rules: &[Rule],
    events: &Events,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut places = Vec::new();
    for (number, event) in events.iter().enumerate() {
        matcher.matches(event, &mut places);
        let mut ids: Vec<&str> = places.iter().map(|place| rules[*place as usize].id.as_str()).collect();
        ids.sort_unstable();
        serde_json::to_writer(&mut *out, &serde_json::json!({ "event": number, "matches": ids }))?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matcher::Compile;
    use crate::stand_in::{StandIn, events, rules};

    const PLAN: Plan = Plan { passes: 2, pass_max: Duration::from_secs(60), min: Duration::ZERO };

    #[test]
    fn passes_count_all_events_and_their_matches() {
        let mut matcher = StandIn.compile(&rules()).unwrap();
        let passes = Passes::run(&mut matcher, &events(2_000), PLAN, None);
        assert_eq!((passes.events, passes.matches, passes.cpu_ns.len()), (2_000, 2_000 + 200, 2));
        assert!(passes.best_ns() > 0.0 && passes.quantile_ns(0.5) <= passes.quantile_ns(0.99));
        assert_eq!(passes.loss, Loss::default());
    }

    #[test]
    fn a_pass_that_takes_too_long_says_how_far_it_came() {
        let mut matcher = StandIn.compile(&rules()).unwrap();
        let plan = Plan { pass_max: Duration::ZERO, ..PLAN };
        let passes = Passes::run(&mut matcher, &events(100_000), plan, None);
        assert!(passes.events < 100_000 && passes.events.is_multiple_of(BATCH), "{} events", passes.events);
    }

    #[test]
    fn no_events_are_no_division_by_zero() {
        let mut matcher = StandIn.compile(&rules()).unwrap();
        let passes = Passes::run(&mut matcher, &events(0), PLAN, None);
        assert_eq!((passes.events, passes.best_ns(), passes.quantile_ns(0.99)), (0, 0.0, 0.0));
    }

    #[test]
    fn a_match_that_is_gone_while_rules_change_is_lost() {
        let all = StandIn.compile(&rules()).unwrap();
        let before = counts(&mut { all }, &events(100));
        let mut fewer = StandIn.compile(&rules()[1..]).unwrap();
        let passes = Passes::run(&mut fewer, &events(100), Plan { passes: 1, ..PLAN }, Some(&before));
        assert_eq!(passes.loss, Loss { expected: 110, lost: 100 });
    }

    #[test]
    fn answers_are_written_and_hashed_by_the_ids_of_rules() {
        let (rules, events) = (rules(), events(11));
        let mut matcher = StandIn.compile(&rules).unwrap();
        let mut written = Vec::new();
        write_matches(&mut matcher, &rules, &events, &mut written).unwrap();
        let written = String::from_utf8(written).unwrap();
        let lines: Vec<&str> = written.lines().collect();
        assert_eq!(lines[1], r#"{"event":1,"matches":["every"]}"#);
        assert_eq!(lines[10], r#"{"event":10,"matches":["every","tenth"]}"#);
        let mut by_hand = AnswerHash::default();
        by_hand.add(0, ["tenth", "every"].into_iter());
        by_hand.add(1, ["every"].into_iter());
        assert_eq!(hash(&mut matcher, &rules, &events, 2), by_hand);
    }
}
