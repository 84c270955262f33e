//! What is known of where an event goes before all was looked up that it depends on: what is certain, and what is possible.
//!
//! Start at [`RouteTable::foresee`]. For explanations and comparisons, not for the hot path: it allocates as it likes.

use crate::condition::Truth;
use crate::deliveries::{Deliveries, Verdict};
use crate::evaluate::{Facts, Work};
use crate::event::Event;
use crate::exclusive::{Ahead, Exclusive, Turn};
use crate::lookups::Answers;
use crate::resume::Waiting;
use crate::table::{Delivering, RouteIndex, RouteTable};

/// Where an event goes, as far as lookups are answered.
pub(crate) struct Foreseen {
    /// What happens whatever lookups say that are not answered. Unless the verdict is [`Verdict::Waiting`], that is all.
    pub(crate) certain: Deliveries,
    /// All that can happen, together; `None`: nothing else than what is certain.
    pub(crate) possible: Option<Deliveries>,
}

impl RouteTable {
    /// What becomes of an event.
    pub(crate) fn foresee<E: Event>(&self, event: &E, answers: &Answers) -> Foreseen {
        let certain = self.foresee_as_far(event, answers, Far::Certain);
        let is_open = certain.verdict() == Verdict::Waiting;
        Foreseen { certain, possible: is_open.then(|| self.foresee_as_far(event, answers, Far::Possible)) }
    }

    /// What of it is certain.
    pub(crate) fn foresee_certain<E: Event>(&self, event: &E, answers: &Answers) -> Deliveries {
        self.foresee_as_far(event, answers, Far::Certain)
    }

    fn foresee_as_far<E: Event>(&self, event: &E, answers: &Answers, far: Far) -> Deliveries {
        let mut out = Deliveries::new();
        self.route(event, &mut out);
        self.resume(event, answers, &mut out);
        if out.verdict != Verdict::Waiting {
            return out;
        }
        let open = std::mem::take(&mut out.waiting);
        let Deliveries { list, listed, mark, undecided, aside, waiting, placing, memory, verdict, .. } = &mut out;
        let mut sink = Delivering { table: self, list, listed, mark: *mark, undecided, aside, waiting, placing };
        let said = self.with_facts(event, answers, memory, |facts, work| sink.foresee(&open, far, facts, work));
        if let Ok(Some(said)) = said {
            *verdict = said;
        }
        out
    }
}

/// Which deliveries are meant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Far {
    Certain,
    Possible,
}

/// A route, its fan-out, and what it says.
type Said = (RouteIndex, u32, Truth);

impl Delivering<'_> {
    /// Adds the deliveries of routes in groups and those to destinations with placeholders; what others are certain was added when they
    /// were asked.
    fn foresee(&mut self, waiting: &[Waiting], far: Far, facts: &Facts<'_>, work: &mut Work<'_>) -> Verdict {
        let slot = self.table.slot_of(facts).unwrap_or(0);
        let mut open = Vec::new();
        for (turn, said) in self.turns(waiting) {
            match (turn, said.2) {
                (Turn::Never, _) => {}
                (Turn::Sure, Truth::True | Truth::Absent) => self.say(said),
                _ => open.push(said),
            }
        }
        let alone = waiting.iter().map(|Waiting { candidate, pending, .. }| (candidate, *pending));
        let alone = alone.filter(|(candidate, _)| candidate.exclusive().is_none());
        open.extend(alone.map(|(candidate, pending)| (candidate.route, candidate.fan_out, Truth::Pending(pending))));
        let mut verdict = Verdict::Waiting;
        if far == Far::Possible {
            let is_wanted = self.is_wanted();
            open.into_iter().for_each(|said| self.say(said));
            verdict = if is_wanted { Verdict::Routed } else { self.let_go(slot) };
        }
        self.name_topics_and_routes(slot, facts, work);
        verdict
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

    /// Does what a route says or may say.
    fn say(&mut self, (route, fan_out, truth): Said) {
        let (may_be_true, may_be_absent) = match truth {
            Truth::False => (false, false),
            Truth::True => (true, false),
            Truth::Absent => (false, true),
            Truth::Pending(pending) => (pending.may_be_true(), true),
        };
        if may_be_true {
            self.deliver(fan_out, route);
        }
        if may_be_absent && self.is_absence_told(route) {
            self.note_undecided(route);
        }
    }
}
