//! Asks for events what their routes need to know and they don't carry.
//!
//! The route table says what it needs and is resumed with the answers ([`Looker::answer`]). Answers from reference tables are in
//! memory, so that no event waits for them.

use crate::lookups::{Source, Sources, View};
use crate::metrics::Metrics;
use prometheus::local::LocalIntCounter;
use std::fmt::Write as _;
use std::sync::Arc;
use veltrix_route_table::{Answers, Deliveries, Event, RouteTable, Verdict};

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
}

struct Row {
    source: Arc<Source>,
    view: View,
    counters: [LocalIntCounter; Outcome::ALL.len()],
}

/// What came of a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Found,
    NotFound,
    Failed,
}

impl Outcome {
    const ALL: [Outcome; 3] = [Outcome::Found, Outcome::NotFound, Outcome::Failed];

    fn name(self) -> &'static str {
        match self {
            Outcome::Found => "found",
            Outcome::NotFound => "not_found",
            Outcome::Failed => "failed",
        }
    }
}

impl Looker {
    pub(super) fn new(metrics: Metrics) -> Looker {
        Looker { metrics, rows: Vec::new(), answers: Answers::new(), tally: Vec::new(), failures: String::new() }
    }

    /// Goes over to the sources of a new table.
    pub(super) fn adopt(&mut self, sources: &Sources) {
        self.flush_metrics();
        let row = |source: &Arc<Source>| Row {
            source: Arc::clone(source),
            view: source.view(),
            counters: Outcome::ALL
                .map(|outcome| self.metrics.lookups.with_label_values(&[source.id.as_str(), outcome.name()]).local()),
        };
        self.rows = sources.iter().map(row).collect();
    }

    /// Begins a round: takes the newest editions of all tables, which all of its events meet.
    #[inline]
    pub(super) fn begin_round(&mut self) {
        self.rows.iter_mut().for_each(|row| row.view.refresh());
    }

    /// Goes on with an event that waits for lookups.
    #[cold]
    pub(super) fn answer<E: Event>(&mut self, table: &RouteTable, event: &E, deliveries: &mut Deliveries) {
        self.answers.clear();
        self.tally.clear();
        self.failures.clear();
        // Each turn answers all that was asked for; some answers have others asked for.
        while deliveries.verdict() == Verdict::Waiting {
            for need in deliveries.needs() {
                let at = need.lookup.get();
                let outcome = match self.rows.get(at).map(|row| (row, row.view.get(need.key))) {
                    Some((_, Ok(Some(value)))) => {
                        self.answers.found(need.lookup, value);
                        Outcome::Found
                    }
                    Some((_, Ok(None))) => {
                        self.answers.not_found(need.lookup);
                        Outcome::NotFound
                    }
                    Some((row, Err(why))) => {
                        note_failure(&mut self.failures, &row.source.id, why);
                        self.answers.failed(need.lookup);
                        Outcome::Failed
                    }
                    // The sources are those of the table.
                    None => {
                        self.answers.failed(need.lookup);
                        continue;
                    }
                };
                self.tally.push((at, outcome));
            }
            table.resume(event, &self.answers, deliveries);
        }
        for (at, outcome) in &self.tally {
            self.rows[*at].counters[*outcome as usize].inc();
        }
    }

    /// Why lookups of the event that was answered last have failed; empty if none has.
    pub(super) fn failures(&self) -> &str {
        &self.failures
    }

    /// Hands over what was counted.
    pub(super) fn flush_metrics(&self) {
        self.rows.iter().flat_map(|row| &row.counters).for_each(LocalIntCounter::flush);
    }
}

#[cold]
fn note_failure(failures: &mut String, lookup: &str, why: &str) {
    let and = if failures.is_empty() { "" } else { ", and " };
    let _ = write!(failures, "{and}lookup `{lookup}` has failed: {why}");
}
