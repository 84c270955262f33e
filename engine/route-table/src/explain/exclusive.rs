//! Which routes of exclusive groups are kept from being asked, and by which others.

use super::{Outcome, RouteExplanation};
use crate::condition::Truth;
use crate::exclusive::{Ahead, Exclusive, Turn};
use crate::table::RouteTable;

/// How many routes are named that decide whether another one is asked.
const ROUTES_TOLD: usize = 4;

/// The place of a route in an exclusive group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InGroup {
    /// The group's name.
    pub group: String,
    /// Whether the route delivers only if no other one of the group matches.
    pub is_default: bool,
    /// The route that kept this one from being asked, as it is before it and matches.
    pub behind: Option<String>,
    /// The routes, or the first ones, that keep this one from being asked if they match, which depends on lookups.
    pub unless: Vec<String>,
    /// How many more of these there are.
    pub more: usize,
}

/// The routes of a group that were passed.
#[derive(Default)]
struct Passed {
    group: Option<u32>,
    /// The last one that matches and is not kept from being asked.
    last: Option<String>,
    /// Those that may match, and whether they let others be asked then.
    open: Vec<(String, bool)>,
}

impl RouteTable {
    /// Says of the routes in groups where they stand, and which of them were not asked. `tenant` is the slot of the event's tenant.
    pub(super) fn explain_groups(&self, tenant: Option<u32>, routes: &mut [RouteExplanation]) {
        let place_of = |route: &RouteExplanation| {
            let slot = if route.is_of_tenant { tenant? } else { 0 };
            let compiled = self.compiled_route(slot, route.route);
            let place = self.exclusives.binary_search_by_key(&compiled, |known| known.route).ok()?;
            self.exclusives.get(place).copied()
        };
        let in_groups = routes.iter_mut().filter_map(|route| Some((place_of(route)?, route)));
        let mut in_order: Vec<(Exclusive, &mut RouteExplanation)> = in_groups.collect();
        in_order.sort_by_key(|(own, _)| own.order());
        let (mut ahead, mut passed) = (Ahead::default(), Passed::default());
        for (own, route) in in_order {
            if passed.group != Some(own.group) {
                passed = Passed { group: Some(own.group), ..Passed::default() };
            }
            let turn = match route.outcome {
                Outcome::Disabled | Outcome::OtherType(_) => Turn::Sure,
                _ => ahead.turn(&own),
            };
            let truth = truth_of(&route.outcome);
            let name = self.exclusive_groups.get(own.group as usize).copied().unwrap_or_default();
            let keeping =
                passed.open.iter().filter(|(_, continues)| turn == Turn::Open && (own.is_default || !continues));
            let mut unless: Vec<String> = keeping.map(|(id, _)| id.clone()).collect();
            let more = unless.len().saturating_sub(ROUTES_TOLD);
            unless.truncate(ROUTES_TOLD);
            route.exclusive = Some(InGroup {
                group: name.of(&self.texts).to_owned(),
                is_default: own.is_default,
                behind: passed.last.clone().filter(|_| turn == Turn::Never),
                unless,
                more,
            });
            match truth {
                Truth::True if turn != Turn::Never => passed.last = Some(route.id.clone()),
                Truth::Pending(pending) if turn != Turn::Never && pending.may_be_true() => {
                    passed.open.push((route.id.clone(), own.continues));
                }
                _ => {}
            }
            ahead.pass(&own, truth);
            take_turn(&mut route.outcome, turn);
        }
    }
}

fn truth_of(outcome: &Outcome) -> Truth {
    match outcome {
        Outcome::Matched => Truth::True,
        Outcome::Waiting(cause) => cause.truth,
        Outcome::Absent { .. } => Truth::Absent,
        _ => Truth::False,
    }
}

/// Changes what became of a route to what becomes of it when it is asked in turn.
fn take_turn(outcome: &mut Outcome, turn: Turn) {
    let asked = std::mem::replace(outcome, Outcome::Disabled);
    *outcome = match (asked, turn) {
        (Outcome::Matched, Turn::Never) => Outcome::Excluded(None),
        (Outcome::Waiting(cause), Turn::Never) => Outcome::Excluded(Some(cause)),
        (Outcome::Matched, Turn::Open) => Outcome::Deferred,
        (Outcome::Absent { cause, dead_letter }, _) => {
            Outcome::Absent { cause, dead_letter: dead_letter && turn == Turn::Sure }
        }
        (asked, _) => asked,
    };
}
