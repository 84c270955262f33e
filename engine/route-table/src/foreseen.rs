//! What is known of where an event goes before all was looked up that it depends on.
//!
//! Start at [`RouteTable::foresee_certain`]. For explanations and comparisons, not for the hot path: it allocates as it likes.

use crate::condition::Truth;
use crate::deliveries::{Deliveries, Verdict};
use crate::evaluate::{Facts, Work};
use crate::event::Event;
use crate::exclusive::{Ahead, Exclusive, Turn};
use crate::lookups::Answers;
use crate::resume::Waiting;
use crate::table::{Delivering, RouteIndex, RouteTable};

impl RouteTable {
    /// What happens to an event whatever lookups say that are not answered. Unless the verdict is [`Verdict::Waiting`], that is all.
    pub(crate) fn foresee_certain<E: Event>(&self, event: &E, answers: &Answers) -> Deliveries {
        let mut out = Deliveries::new();
        self.route(event, &mut out);
        self.resume(event, answers, &mut out);
        if out.verdict != Verdict::Waiting {
            return out;
        }
        let open = std::mem::take(&mut out.waiting);
        let Deliveries { list, listed, mark, undecided, aside, waiting, placing, memory, verdict, .. } = &mut out;
        let mut sink = Delivering { table: self, list, listed, mark: *mark, undecided, aside, waiting, placing };
        let said = self.with_facts(event, answers, memory, |facts, work| sink.foresee(&open, facts, work));
        if let Ok(Some(said)) = said {
            *verdict = said;
        }
        out
    }
}

/// A route, its fan-out, and what it says.
type Said = (RouteIndex, u32, Truth);

impl Delivering<'_> {
    /// Adds the deliveries of routes in groups and those to destinations with placeholders; what others are certain was added when they
    /// were asked.
    fn foresee(&mut self, waiting: &[Waiting], facts: &Facts<'_>, work: &mut Work<'_>) -> Verdict {
        let slot = self.table.slot_of(facts).unwrap_or(0);
        for (turn, said) in self.turns(waiting) {
            if turn == Turn::Sure {
                self.say(said);
            }
        }
        self.name_topics_and_routes(slot, facts, work);
        Verdict::Waiting
    }

    /// What the routes in groups say, and whether they are asked.
    fn turns(&mut self, waiting: &[Waiting]) -> Vec<(Turn, Said)> {
        let exclusives = &self.table.exclusives;
        let of_waiting = |waiting: &Waiting| {
            let route = exclusives.get(waiting.candidate.exclusive()? as usize)?;
            Some((route, Truth::Pending(waiting.pending)))
        };
        let decided = self.aside.in_order(exclusives);
        let mut all: Vec<(&Exclusive, Truth)> = decided.chain(waiting.iter().filter_map(of_waiting)).collect();
        all.sort_unstable_by_key(|(route, _)| route.order());
        let mut ahead = Ahead::default();
        let turn = |(route, truth): (&Exclusive, Truth)| {
            let turn = ahead.turn(route);
            ahead.pass(route, truth);
            (turn, (route.route, route.fan_out, truth))
        };
        all.into_iter().map(turn).collect()
    }

    /// Does what a route says for certain.
    fn say(&mut self, (route, fan_out, truth): Said) {
        match truth {
            Truth::True => self.deliver(fan_out, route),
            Truth::Absent => self.note_undecided(route),
            Truth::False | Truth::Pending(_) => {}
        }
    }
}
