//! Asks for events what their routes need to know and they don't carry.
//!
//! The route table says what it needs and is resumed with the answers ([`Looker::answer`]). What reference tables and remembered
//! answers say is in memory. For everything else there are calls, and **an event whose call is not over waits**, and with it what is
//! behind it in the batch, so that the order of deliveries stays. Rounds go on meanwhile. Nothing of a waiting event was decided or
//! counted: it is routed from the beginning when its answers are there, by the table of the round, and if its partition is gone
//! by then, it is the next owner's.
//!
//! So that events don't wait one after the other, some way ahead of the batch ([`Window`]) is routed beforehand, which starts all of its
//! calls. Their answers are kept for as long as that part of the batch is under way, remembered or not, so that an event asks once.

use crate::lookups::{Access, Answer, Bell, Call, Caller, Source, Sources, View};
use crate::metrics::Metrics;
use prometheus::local::LocalIntCounter;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;
use veltrix_route_table::{Answers, Deliveries, Event, Need, RouteTable, Verdict};

/// Events whose calls are started together, at most.
const AHEAD_EVENTS_MAX: usize = 1_024;
/// Calls that are started together; what bounds how many answers a router keeps. Well below what a lookup may have under way.
const AHEAD_CALLS_MAX: usize = 128;

/// What a router needs for lookups.
pub(super) struct Looker {
    metrics: Metrics,
    /// By lookup of the table in force.
    rows: Vec<Row>,
    answers: Answers,
    /// What came of the lookups of the event at hand: row and outcome.
    tally: Vec<(usize, Outcome)>,
    /// Why lookups of the event at hand failed.
    failures: String,
    window: Window,
    bell: Arc<Bell>,
}

struct Row {
    source: Arc<Source>,
    asked: Asked,
    counters: [LocalIntCounter; Outcome::ALL.len()],
}

enum Asked {
    Memory(View),
    /// The calls of the window, by their key.
    Calls(Arc<Caller>, HashMap<Box<[u8]>, Arc<Call>>),
}

/// The next events of the batch, as far as calls were started for them.
#[derive(Default)]
struct Window {
    /// Whether any lookup is by calls; else there is none of all this.
    is_needed: bool,
    /// Events that are left of it.
    ahead: usize,
    /// Calls that were started since it began, or since the last event went through.
    started: usize,
    /// Whether its first event waits.
    waits: bool,
    /// Whether it begins anew with the events that it had, so that their answers are kept.
    is_again: bool,
}

/// What came of a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// An answer to a call was remembered.
    Hit,
    Found,
    NotFound,
    Failed,
}

impl Outcome {
    const ALL: [Outcome; 4] = [Outcome::Hit, Outcome::Found, Outcome::NotFound, Outcome::Failed];

    fn name(self) -> &'static str {
        match self {
            Outcome::Hit => "hit",
            Outcome::Found => "found",
            Outcome::NotFound => "not_found",
            Outcome::Failed => "failed",
        }
    }
}

impl Looker {
    pub(super) fn new(metrics: Metrics) -> Looker {
        Looker {
            metrics,
            rows: Vec::new(),
            answers: Answers::new(),
            tally: Vec::new(),
            failures: String::new(),
            window: Window::default(),
            bell: Arc::default(),
        }
    }

    /// Goes over to the sources of a new table. Answers of those that it has kept stay.
    pub(super) fn adopt(&mut self, sources: &Sources) {
        self.flush_metrics();
        let mut before = std::mem::take(&mut self.rows);
        let row = |source: &Arc<Source>| {
            let asked = match before.iter().position(|row| Arc::ptr_eq(&row.source, source)) {
                Some(at) => before.swap_remove(at).asked,
                None => match source.access() {
                    Access::Memory(view) => Asked::Memory(view),
                    Access::Call(caller) => Asked::Calls(caller, HashMap::new()),
                },
            };
            let counter = |outcome: Outcome| [source.id.as_str(), outcome.name()];
            let counters =
                Outcome::ALL.map(|outcome| self.metrics.lookups.with_label_values(&counter(outcome)).local());
            Row { source: Arc::clone(source), asked, counters }
        };
        self.rows = sources.iter().map(row).collect();
        self.window.is_needed = self.rows.iter().any(|row| matches!(row.asked, Asked::Calls(..)));
        (self.window.ahead, self.window.is_again) = (0, true);
    }

    /// Begins a round: takes the newest editions of all tables, which all of its events meet.
    #[inline]
    pub(super) fn begin_round(&mut self) {
        for row in &mut self.rows {
            if let Asked::Memory(view) = &mut row.asked {
                view.refresh();
            }
        }
    }

    /// Forgets the batch before.
    pub(super) fn begin_batch(&mut self) {
        self.window = Window { is_needed: self.window.is_needed, ..Window::default() };
    }

    /// Whether calls are to be started for what comes next.
    #[inline]
    pub(super) fn wants_window(&self) -> bool {
        self.window.is_needed && self.window.ahead == 0
    }

    /// Whether the next event waits, as far as is known.
    #[inline]
    pub(super) fn waits(&self) -> bool {
        self.window.waits
    }

    /// Begins a window. Once all of its events were asked ahead for, it [ends](Looker::end_window).
    pub(super) fn begin_window(&mut self) {
        let is_again = std::mem::take(&mut self.window.is_again);
        for row in self.rows.iter_mut().filter(|_| !is_again) {
            if let Asked::Calls(_, calls) = &mut row.asked {
                calls.clear();
            }
        }
        self.window.started = 0;
    }

    /// Starts the calls of an event of the window, which was routed to see them.
    pub(super) fn ask_ahead<E: Event>(&mut self, table: &RouteTable, event: &E, deliveries: &mut Deliveries) {
        self.look_up(table, event, deliveries);
    }

    /// Adds a record to the window. False: it ends with that.
    #[must_use]
    pub(super) fn extend_window(&mut self) -> bool {
        self.window.ahead += 1;
        self.window.started < AHEAD_CALLS_MAX && self.window.ahead < AHEAD_EVENTS_MAX
    }

    /// Sends what the events of the window ask for: all of it at once, so that a service that takes many keys gets them together.
    pub(super) fn end_window(&mut self) {
        self.send();
    }

    /// Goes on with an event that needs lookups. False: it has to wait.
    #[cold]
    #[must_use]
    pub(super) fn answer<E: Event>(&mut self, table: &RouteTable, event: &E, deliveries: &mut Deliveries) -> bool {
        self.window.started = 0;
        let is_answered = self.look_up(table, event, deliveries);
        self.send();
        if is_answered {
            for (at, outcome) in &self.tally {
                self.rows[*at].counters[*outcome as usize].inc();
            }
            return true;
        }
        if self.window.started > 0 {
            // It asks for what only an answer could tell. So may those behind it.
            (self.window.ahead, self.window.is_again) = (0, true);
        }
        false
    }

    /// Notes that so many records of the batch were dispatched, and whether the next one waits.
    #[inline]
    pub(super) fn pass(&mut self, records: usize, waits: bool) {
        self.window.ahead = self.window.ahead.saturating_sub(records);
        self.window.waits = waits;
    }

    /// Waits until a call is over, for `time` at most.
    pub(super) fn wait(&self, time: Duration) {
        self.bell.wait(time);
    }

    /// Why lookups of the event that was answered last have failed; empty if none has.
    pub(super) fn failures(&self) -> &str {
        &self.failures
    }

    /// What was looked up for the event that was answered last.
    pub(super) fn answers(&self) -> &Answers {
        &self.answers
    }

    /// Hands over what was counted.
    pub(super) fn flush_metrics(&self) {
        self.rows.iter().flat_map(|row| &row.counters).for_each(LocalIntCounter::flush);
    }

    /// Sends all calls that were begun.
    fn send(&self) {
        if self.window.started > 0 {
            let callers = self.rows.iter().filter_map(|row| match &row.asked {
                Asked::Memory(_) => None,
                Asked::Calls(caller, _) => Some(caller),
            });
            callers.for_each(Caller::send);
        }
    }

    /// Gives a table all answers that are there, and those that it asks for then. False: some are not there.
    fn look_up<E: Event>(&mut self, table: &RouteTable, event: &E, deliveries: &mut Deliveries) -> bool {
        let Looker { rows, answers, tally, failures, window, bell, .. } = self;
        answers.clear();
        tally.clear();
        failures.clear();
        while deliveries.verdict() == Verdict::Waiting {
            let answered = tally.len();
            for Need { lookup, key } in deliveries.needs() {
                let Some(Row { source, asked, .. }) = rows.get_mut(lookup.get()) else { continue };
                let mut give = |answer: Result<Option<&[u8]>, &str>| match answer {
                    Ok(Some(value)) => {
                        answers.found(lookup, value);
                        Outcome::Found
                    }
                    Ok(None) => {
                        answers.not_found(lookup);
                        Outcome::NotFound
                    }
                    Err(why) => {
                        answers.failed(lookup);
                        let and = if failures.is_empty() { "" } else { ", and " };
                        let _ = write!(failures, "{and}lookup `{}` has failed: {why}", source.id);
                        Outcome::Failed
                    }
                };
                let outcome = match asked {
                    Asked::Memory(view) => give(view.get(key)),
                    Asked::Calls(caller, calls) => match answer_to(caller, calls, key, bell, &mut window.started) {
                        Some(Known::Remembered(answer)) => {
                            give(answer.as_result());
                            Outcome::Hit
                        }
                        Some(Known::Called(answer)) => give(answer.as_result()),
                        None => continue,
                    },
                };
                tally.push((lookup.get(), outcome));
            }
            if tally.len() == answered {
                return false;
            }
            table.resume(event, answers, deliveries);
        }
        true
    }
}

/// An answer, and where it is from.
enum Known {
    Remembered(Answer),
    Called(Answer),
}

/// What is known of a key: by a call of the window, or because it is remembered. `None`: its call is under way.
fn answer_to(
    caller: &Arc<Caller>,
    calls: &mut HashMap<Box<[u8]>, Arc<Call>>,
    key: &[u8],
    bell: &Arc<Bell>,
    started: &mut usize,
) -> Option<Known> {
    if let Some(call) = calls.get(key) {
        return caller.answer_of(call).map(Known::Called);
    }
    if let Some(answer) = caller.remembered(key) {
        return Some(Known::Remembered(answer));
    }
    *started += 1;
    let call = caller.call(key, bell);
    let answer = caller.answer_of(&call).map(Known::Called);
    calls.insert(key.into(), call);
    answer
}
