//! The judge itself: pure, in order, in bounded memory.
//!
//! Events stand in a window, by number, until nothing more is to come for them; then each is judged once and forgotten. "Nothing
//! more is to come" is known when its newest attempt is complete, or when an event after it in its lane arrived a while ago. An
//! event that was judged to be lost is remembered apart, so that a delivery which comes late after all takes the verdict back.

use super::attempts::{Attempt, Attempts, Faults, Track};
use super::report::{AuditReport, LatencyMillis, Live};
use super::tables::{Cache, Expected, Mask, Tables};
use super::workload::{Arrival, Workload};
use hdrhistogram::Histogram;
use std::collections::{HashMap, HashSet, VecDeque};

/// Why there is no audit.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// More topics than an audit can tell apart.
    #[error(
        "{count} destination topics are more than the {max} that one audit can judge; run several, each on some topics"
    )]
    TooManyTopics {
        /// As many were given.
        count: usize,
        /// As many are possible.
        max: usize,
    },
    /// The histogram of the latencies could not be made.
    #[error("can't make the histogram of latencies")]
    Histogram(#[source] hdrhistogram::CreationError),
}

#[derive(Clone, Debug, Default)]
struct Lane {
    /// The newest event that arrived anywhere; the same as it was a grace ago; and two graces ago.
    newest: u64,
    newest_before: u64,
    passed: u64,
    /// Events that arrived nowhere, waiting for the next event of the lane that arrived and says which versions were in force.
    nowhere: VecDeque<u64>,
    /// Version of the last event before these that arrived.
    version: u64,
}

/// An arrival by a version whose table is not known yet.
#[derive(Debug)]
struct Deferred {
    number: u64,
    destination: usize,
    version: u64,
    route: Option<Box<[u8]>>,
    at_micros: u64,
}

/// The judge of one run.
pub struct Audit<W, T> {
    workload: W,
    tables: Cache<T>,
    /// Number of the window's front.
    first: u64,
    window: VecDeque<Track>,
    more: HashMap<u64, Attempts>,
    lanes: Vec<Lane>,
    evidence_micros: u64,
    retried_micros: u64,
    faulty: HashMap<u64, Attempts>,
    deferred: VecDeque<Deferred>,
    refused: HashSet<u64>,
    latency: Histogram<u64>,
    recent: Histogram<u64>,
    versions: HashSet<u64>,
    /// The one that was carried last; most deliveries carry the same.
    last_version: Option<u64>,
    report: AuditReport,
}

impl<W: Workload, T: Tables> Audit<W, T> {
    /// How many destinations an audit can read.
    pub const DESTINATIONS_MAX: usize = 64;
    /// How long after an event's lane has moved on its last deliveries may come in, before it is judged.
    const GRACE_MICROS: u64 = 3_000_000;
    /// After this long an event is judged even if its lane has not moved on, and a version that nobody knows never was one.
    const PATIENCE_MICROS: u64 = 60_000_000;
    const RETRY_MICROS: u64 = 50_000;
    const SETTLED_AT_ONCE_MAX: usize = 1_000;
    const DEFERRED_MAX: usize = 100_000;
    const FAULTY_MAX: usize = 1_000_000;
    const NOWHERE_MAX: usize = 100_000;
    const LATENCY_MAX_MICROS: u64 = 3_600_000_000;

    /// Judges what arrives in `topics`, of which `dead_letters` may be one. `tables` has the version already that the engine begins
    /// with.
    ///
    /// # Errors
    /// Too many topics.
    pub fn new(
        workload: W,
        tables: T,
        topics: Vec<String>,
        dead_letters: Option<&str>,
    ) -> Result<Audit<W, T>, AuditError> {
        if topics.len() > Self::DESTINATIONS_MAX {
            return Err(AuditError::TooManyTopics { count: topics.len(), max: Self::DESTINATIONS_MAX });
        }
        let dead_letters = dead_letters.and_then(|name| topics.iter().position(|topic| topic == name));
        let version = tables.newest();
        let histogram = || Histogram::new_with_bounds(1, Self::LATENCY_MAX_MICROS, 3).map_err(AuditError::Histogram);
        Ok(Audit {
            first: 0,
            window: VecDeque::new(),
            more: HashMap::new(),
            lanes: vec![Lane { version, ..Lane::default() }; workload.lanes().max(1)],
            evidence_micros: 0,
            retried_micros: 0,
            faulty: HashMap::new(),
            deferred: VecDeque::new(),
            refused: HashSet::new(),
            latency: histogram()?,
            recent: histogram()?,
            versions: HashSet::new(),
            last_version: None,
            report: AuditReport {
                delivered_by_topic: topics.iter().map(|topic| (topic.clone(), 0)).collect(),
                ..AuditReport::default()
            },
            workload,
            tables: Cache::new(tables, topics, dead_letters),
        })
    }

    /// The topics that are judged, by [`Arrival::destination`].
    pub fn topics(&self) -> &[String] {
        self.tables.topics()
    }

    /// A record that is none of this run's.
    pub fn foreign(&mut self) {
        self.report.foreign += 1;
    }

    /// Records that the broker deleted before they were read.
    pub fn unread(&mut self, records: u64) {
        self.report.unread += records;
    }

    /// A record of this run arrived.
    pub fn arrived(&mut self, arrival: Arrival<'_>) {
        let Arrival { number, destination, version, .. } = arrival;
        // Nobody can make this up but by the run's id; it is still not to fill our memory.
        let Some((_, count)) = self.report.delivered_by_topic.get_mut(destination) else { return };
        if number >= self.workload.sent() {
            return self.foreign();
        }
        *count += 1;
        self.report.delivered += 1;
        let Some(version) = version else {
            return self.misstamped(number, destination, "carries no version");
        };
        if self.judge(number, destination, version, arrival.route, arrival.at_micros) {
            return self.note_version(version);
        }
        if self.deferred.len() < Self::DEFERRED_MAX {
            let route = arrival.route.map(Box::from);
            self.deferred.push_back(Deferred { number, destination, version, route, at_micros: arrival.at_micros });
        } else {
            self.misstamped(number, destination, "carries a version that nobody knows");
        }
    }

    /// Judges events that nothing more is to come for, a bounded number at once: what arrives must not wait for this. To be called
    /// often.
    pub fn settle(&mut self, now_micros: u64) {
        if now_micros.saturating_sub(self.retried_micros) >= Self::RETRY_MICROS {
            self.retried_micros = now_micros;
            self.retry_deferred(now_micros, false);
        }
        if now_micros.saturating_sub(self.evidence_micros) >= Self::GRACE_MICROS {
            self.evidence_micros = now_micros;
            for lane in &mut self.lanes {
                (lane.passed, lane.newest_before) = (lane.newest_before, lane.newest);
            }
        }
        let resolved = self.resolved();
        for _ in 0..Self::SETTLED_AT_ONCE_MAX {
            if self.first >= resolved || !self.is_over(now_micros) {
                break;
            }
            self.settle_front();
        }
    }

    /// Judges all that is left. Nothing may be under way any more.
    pub fn finish(&mut self, now_micros: u64) -> AuditReport {
        self.retry_deferred(now_micros, true);
        let resolved = self.resolved();
        while self.first < self.workload.sent() {
            // What the broker has not answered for is no one's duty unless it was delivered all the same.
            if self.first >= resolved && self.window.front().is_none_or(|track| track.first.is_none()) {
                self.refused.insert(self.first);
            }
            self.settle_front();
        }
        let newest = self.tables.newest();
        (0..self.lanes.len()).for_each(|lane| self.judge_nowhere(lane, newest, newest));
        self.report()
    }

    /// How things stand; looks afresh at the latencies since the last call.
    pub fn live(&mut self) -> Live {
        let recent_latency_ms = LatencyMillis::of(&self.recent);
        self.recent.reset();
        Live { report: self.report(), recent_latency_ms }
    }

    fn report(&self) -> AuditReport {
        AuditReport { latency_ms: LatencyMillis::of(&self.latency), ..self.report.clone() }
    }

    fn resolved(&mut self) -> u64 {
        // In this order: the refused ones below a number are there before the number is.
        let resolved = self.workload.resolved();
        let mut refused = Vec::new();
        self.workload.take_refused(&mut refused);
        self.refused.extend(refused);
        resolved
    }

    /// Holds a delivery against its version's table. False: that table is not known.
    fn judge(&mut self, number: u64, destination: usize, version: u64, route: Option<&[u8]>, at_micros: u64) -> bool {
        let event = self.workload.event(number);
        let lane = W::lane(event);
        let Some(expected) = self.tables.expected(version, event) else { return false };
        let bit = 1 << destination;
        if expected.destinations & bit == 0 {
            self.misrouted(number, destination, version, "is not asked for by");
        } else if !self.tables.agrees_on_route(version, destination, route) {
            self.misrouted(number, destination, version, "carries another route than that of");
        }
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.newest = lane.newest.max(number);
        }
        let again = if number < self.first {
            self.add_late(number, lane, version, expected, bit)
        } else {
            self.add(number, version, expected, bit)
        };
        if again {
            self.report.duplicated += 1;
        } else {
            let micros = at_micros.saturating_sub(self.workload.due_micros(number));
            self.latency.saturating_record(micros);
            self.recent.saturating_record(micros);
        }
        true
    }

    /// Notes a delivery of an event of the window. Whether its destination had it already.
    fn add(&mut self, number: u64, version: u64, expected: Expected, bit: Mask) -> bool {
        let (track, more) = Self::track(&mut self.window, &mut self.more, self.first, number);
        if let (Some(first), false) = (&mut track.first, track.has_more)
            && first.version == version
        {
            let again = first.seen & bit != 0;
            first.seen |= bit;
            return again;
        }
        if track.first.is_none() && !track.has_more {
            track.first = Some(Attempt { version, expected: expected.destinations, seen: bit });
            return false;
        }
        track.has_more = true;
        let attempts = more.entry(number).or_default();
        attempts.attempts.extend(track.first.take());
        attempts.add(version, expected.destinations, bit)
    }

    fn track<'a>(
        window: &'a mut VecDeque<Track>,
        more: &'a mut HashMap<u64, Attempts>,
        first: u64,
        number: u64,
    ) -> (&'a mut Track, &'a mut HashMap<u64, Attempts>) {
        let at = (number - first) as usize;
        if window.len() <= at {
            window.resize(at + 1, Track::default());
        }
        (&mut window[at], more)
    }

    /// Notes a delivery of an event that was judged already.
    fn add_late(&mut self, number: u64, lane: usize, version: u64, expected: Expected, bit: Mask) -> bool {
        let nowhere = self.lanes.get_mut(lane).and_then(|lane| {
            let at = lane.nowhere.binary_search(&number).ok()?;
            lane.nowhere.remove(at)
        });
        let mut attempts = match (self.faulty.remove(&number), nowhere) {
            (Some(faulty), _) => faulty,
            (None, Some(_)) => Attempts::default(),
            // It was right, so it had arrived. Rarely it had rightly not, and was repeated by another version.
            (None, None) => return true,
        };
        self.count(attempts.faults(), false);
        let again = attempts.add(version, expected.destinations, bit);
        self.keep_if_faulty(number, attempts);
        again
    }

    fn count(&mut self, faults: Faults, add: bool) {
        let (lost, torn) = (faults.lost, u64::from(faults.torn));
        if add {
            self.report.lost += lost;
            self.report.torn += torn;
        } else {
            self.report.lost = self.report.lost.saturating_sub(lost);
            self.report.torn = self.report.torn.saturating_sub(torn);
        }
    }

    fn keep_if_faulty(&mut self, number: u64, attempts: Attempts) {
        let faults = attempts.faults();
        if faults == Faults::default() {
            return;
        }
        self.count(faults, true);
        if self.faulty.len() < Self::FAULTY_MAX {
            self.faulty.insert(number, attempts);
        }
    }

    fn is_over(&mut self, now_micros: u64) -> bool {
        let is_complete = match self.window.front() {
            Some(Track { first: Some(first), has_more: false }) => first.expected & !first.seen == 0,
            Some(Track { has_more: true, .. }) => self.more.get(&self.first).is_some_and(Attempts::is_complete),
            _ => false,
        };
        if is_complete {
            return true;
        }
        let lane = W::lane(self.workload.event(self.first));
        self.lanes.get(lane).is_some_and(|lane| lane.passed > self.first)
            || now_micros.saturating_sub(self.workload.due_micros(self.first)) > Self::PATIENCE_MICROS
    }

    /// Judges the first event of the window, or leaves it to the next one of its lane that arrived.
    fn settle_front(&mut self) {
        let number = self.first;
        let track = self.window.pop_front().unwrap_or_default();
        self.first += 1;
        let is_refused = !self.refused.is_empty() && self.refused.remove(&number);
        if is_refused {
            self.report.refused += 1;
        } else {
            self.report.events += 1;
        }
        let lane = W::lane(self.workload.event(number));
        let mut attempts =
            if track.has_more { self.more.remove(&number).unwrap_or_default() } else { Attempts::default() };
        if let Some(first) = track.first {
            // The usual case, without a look at the list.
            if !is_refused && !track.has_more && first.expected & !first.seen == 0 {
                return self.judge_nowhere(lane, first.version, first.version);
            }
            attempts.attempts.push(first);
        }
        let versions = || attempts.attempts.iter().map(|attempt| attempt.version);
        if let (Some(oldest), Some(newest)) = (versions().min(), versions().max()) {
            self.judge_nowhere(lane, newest, oldest);
            if !is_refused {
                self.example_of(number, &attempts);
                self.keep_if_faulty(number, attempts);
            }
        } else if !is_refused {
            let newest = self.tables.newest();
            let Some(waiting) = self.lanes.get_mut(lane) else { return };
            if attempts.loose != 0 {
                let before = waiting.version;
                return self.judge_one_nowhere(number, before.min(newest), newest, attempts.loose);
            }
            waiting.nowhere.push_back(number);
            if waiting.nowhere.len() > Self::NOWHERE_MAX {
                self.judge_nowhere(lane, newest, newest);
            }
        }
    }

    /// Judges the events of a lane that arrived nowhere, now that an event after them arrived by version `newest`, or nothing more
    /// is to come. `then` is the version that the lane goes on from.
    fn judge_nowhere(&mut self, lane: usize, newest: u64, then: u64) {
        let Some(of_lane) = self.lanes.get_mut(lane) else { return };
        let before = std::mem::replace(&mut of_lane.version, then);
        let waiting = std::mem::take(&mut of_lane.nowhere);
        for &number in &waiting {
            self.judge_one_nowhere(number, before.min(newest), before.max(newest), 0);
        }
        // Given back for its memory.
        if let Some(of_lane) = self.lanes.get_mut(lane) {
            of_lane.nowhere = waiting;
            of_lane.nowhere.clear();
        }
    }

    /// Judges an event that arrived nowhere but in `loose`, by the versions that it can have been routed by.
    fn judge_one_nowhere(&mut self, number: u64, oldest: u64, newest: u64, loose: Mask) {
        let event = self.workload.event(number);
        let mut least: Option<Mask> = None;
        for version in oldest..=newest {
            let Some(expected) = self.tables.expected(version, event) else { continue };
            if expected.destinations == 0 {
                self.report.unwatched += u64::from(expected.unwatched);
                self.report.unmatched += u64::from(!expected.unwatched);
                return;
            }
            least = Some(least.map_or(expected.destinations, |least| {
                if expected.destinations.count_ones() < least.count_ones() { expected.destinations } else { least }
            }));
        }
        match least {
            Some(nowhere) => {
                let attempts = Attempts { nowhere, loose, ..Attempts::default() };
                self.example_of(number, &attempts);
                self.keep_if_faulty(number, attempts);
            }
            // No table of these versions is kept any more.
            None => self.report.unwatched += 1,
        }
    }

    fn note_version(&mut self, version: u64) {
        if self.last_version.replace(version) != Some(version) {
            self.versions.insert(version);
            self.report.versions = self.versions.len() as u64;
        }
    }

    fn retry_deferred(&mut self, now_micros: u64, is_last: bool) {
        for _ in 0..self.deferred.len() {
            let Some(late) = self.deferred.pop_front() else { return };
            let Deferred { number, destination, version, route, at_micros } = &late;
            if self.judge(*number, *destination, *version, route.as_deref(), *at_micros) {
                self.note_version(*version);
                continue;
            }
            if is_last || now_micros.saturating_sub(*at_micros) > Self::PATIENCE_MICROS {
                self.misstamped(*number, *destination, "carries a version that never was in force");
            } else {
                self.deferred.push_back(late);
            }
        }
    }

    /// A delivery that can't be held against a table. It did arrive, so that it is not lost as well.
    fn misstamped(&mut self, number: u64, destination: usize, how: &str) {
        self.report.misstamped += 1;
        self.example(|topics| format!("event {number} in `{}` {how}", topics[destination]));
        let bit = 1 << destination;
        if number >= self.first {
            let (track, more) = Self::track(&mut self.window, &mut self.more, self.first, number);
            track.has_more = true;
            let attempts = more.entry(number).or_default();
            attempts.attempts.extend(track.first.take());
            attempts.loose |= bit;
        } else if let Some(mut attempts) = self.faulty.remove(&number) {
            self.count(attempts.faults(), false);
            attempts.loose |= bit;
            self.keep_if_faulty(number, attempts);
        }
    }

    fn misrouted(&mut self, number: u64, destination: usize, version: u64, how: &str) {
        self.report.misrouted += 1;
        self.example(|topics| format!("event {number} in `{}` {how} version {version}", topics[destination]));
    }

    fn example_of(&mut self, number: u64, attempts: &Attempts) {
        let Faults { lost, torn } = attempts.faults();
        if lost == 0 && !torn {
            return;
        }
        let newest = attempts.attempts.iter().max_by_key(|attempt| attempt.version);
        let missing = newest.map_or(attempts.nowhere, |newest| newest.expected) & !attempts.arrived();
        self.example(|topics| {
            let missing: Vec<&str> = (0..topics.len())
                .filter(|place| missing & 1 << place != 0)
                .map(|place| topics[place].as_str())
                .collect();
            let versions: Vec<u64> = attempts.attempts.iter().map(|attempt| attempt.version).collect();
            format!("event {number}, delivered by versions {versions:?}, is missing in {missing:?}")
        });
    }

    fn example(&mut self, words: impl FnOnce(&[String]) -> String) {
        if self.report.examples.len() < AuditReport::EXAMPLES_MAX {
            let words = words(self.tables.topics());
            self.report.examples.push(words);
        }
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
