//! Events that wait: routes that depend on lookups are held back, and decided when answers are there.
//!
//! Start at [`RouteTable::resume`]. What is asked of an answer, and what it means, is in [`lookups`](crate::lookups).

use crate::condition::Truth;
use crate::deliveries::{Deliveries, Verdict};
use crate::event::Event;
use crate::exclusive::{Ahead, Exclusive, Turn};
use crate::lookups::{Answers, Inquiry, Pending};
use crate::table::{Candidate, Delivering, RouteTable};

/// A route that can't be decided before something was looked up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    /// With all of its condition.
    pub(crate) candidate: Candidate,
    /// What may become of it, and the answer to get first.
    pub(crate) pending: Pending,
    /// Not if another route of its exclusive group may yet keep this one from being asked.
    is_asked: bool,
}

impl RouteTable {
    /// Goes on with an event whose verdict is [`Verdict::Waiting`], when answers to [`Deliveries::needs`] are there: decides the routes
    /// that waited for them. The verdict may be the same again: a second lookup is asked for only if the first one's answer makes
    /// it matter, and some answers may be still to come. What comes out in the end is what would have, had all answers been there
    /// from the beginning.
    ///
    /// `event` and the table must be those that `out` was filled with, and `answers` must hold all answers for this event, also
    /// those of rounds before. Does nothing if `out` doesn't wait. Allocates and fails as little as [`RouteTable::route`].
    pub fn resume<E: Event>(&self, event: &E, answers: &Answers, out: &mut Deliveries) {
        if out.verdict != Verdict::Waiting {
            return;
        }
        std::mem::swap(&mut out.waiting, &mut out.waited);
        out.waiting.clear();
        let Deliveries { list, listed, mark, undecided, aside, waiting, waited, placing, memory, verdict } = out;
        memory.buffers.inquiry.take_in(&self.lookups, &self.fields, answers);
        let mut sink = Delivering { table: self, list, listed, mark: *mark, undecided, aside, waiting, placing };
        let said = self.with_facts(event, answers, memory, |facts, work| {
            let evaluation = self.evaluation(facts);
            for Waiting { candidate, .. } in waited {
                self.decide(*candidate, &evaluation, work, &mut sink);
            }
            let slot = self.slot_of(facts).unwrap_or(0);
            sink.conclude(slot, facts, work)
        });
        // It was readable before.
        if let Ok(Some(said)) = said {
            *verdict = said;
        }
    }
}

impl Delivering<'_> {
    /// Says what to look up for the routes that wait, and whether any do. One that stands behind a route which matches in its exclusive
    /// group waits in vain; one that stands behind another which waits is asked when that one is decided.
    #[cold]
    pub(crate) fn is_still_waiting(&mut self, inquiry: &mut Inquiry) -> bool {
        let Delivering { table: RouteTable { exclusives, .. }, waiting, aside, .. } = self;
        let exclusive = |waiting: &Waiting| exclusives.get(waiting.candidate.exclusive()? as usize);
        waiting.sort_unstable_by_key(|waiting| (exclusive(waiting).map(Exclusive::order), waiting.candidate.route));
        // An event may come to a route by several of its values.
        waiting.dedup_by_key(|waiting| waiting.candidate.route);
        let mut decided = aside.in_order(exclusives).peekable();
        let mut ahead = Ahead::default();
        waiting.retain_mut(|waiting| {
            let Some(own) = exclusive(waiting) else { return true };
            while let Some((other, truth)) = decided.next_if(|(other, _)| other.order() < own.order()) {
                ahead.turn(other);
                ahead.pass(other, truth);
            }
            let turn = ahead.turn(own);
            ahead.pass(own, Truth::Pending(waiting.pending));
            waiting.is_asked = turn == Turn::Sure;
            turn != Turn::Never
        });
        inquiry.need(waiting.iter().filter(|waiting| waiting.is_asked).map(|waiting| waiting.pending.lookup));
        !waiting.is_empty()
    }
}

impl Delivering<'_> {
    /// Notes a route that depends on lookups, unless it can't match whatever they say.
    #[cold]
    pub(crate) fn wait(&mut self, candidate: Candidate, pending: Pending) {
        if pending.may_be_true() || self.is_absence_told(candidate.route) {
            let condition = self.table.lookups.root_of(candidate.condition);
            let candidate = Candidate { condition, ..candidate };
            self.waiting.push(Waiting { candidate, pending, is_asked: true });
        }
    }
}
