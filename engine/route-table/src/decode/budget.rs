//! The limits that all routes of a map use up together, and which route uses most of each.

use super::Decoder;
use crate::fault::Fault;
use crate::limits::{self, Limit};
use crate::table::RouteIndex;

/// The limits that are meant.
const LIMITS: [&Limit; BUDGETS] = [&limits::TYPES, &limits::CONDITION_NODES, &limits::VALUES];
const BUDGETS: usize = 3;

/// How much of each limit is used, in the order of [`LIMITS`].
pub(super) type Used = [u64; BUDGETS];

/// The route that uses most of a limit; of several the first one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Most {
    uses: u64,
    route: RouteIndex,
}

/// For each limit.
pub(super) type Mosts = [Most; BUDGETS];

impl Decoder<'_> {
    /// What was used so far.
    #[inline]
    pub(super) fn used(&self) -> Used {
        let values = self.table.conditions.literals.lists.len() as u64 + self.values_left_out;
        [self.table.usage.types, self.table.usage.condition_nodes, values]
    }

    /// Takes note of what a route uses. `before`: what was used when it began.
    #[inline]
    pub(super) fn note_use(&mut self, route: RouteIndex, before: Used) {
        let now = self.used();
        for (most, (now, before)) in self.most.iter_mut().zip(now.into_iter().zip(before)) {
            let uses = now.saturating_sub(before);
            if uses > most.uses {
                *most = Most { uses, route };
            }
        }
    }

    /// Refuses a map whose routes use up more than there is, and names the route to begin with.
    pub(super) fn refuse_over_budget(&mut self) {
        let (used, mosts) = (self.used(), self.most);
        for (limit, (observed, Most { uses, route })) in LIMITS.into_iter().zip(used.into_iter().zip(mosts)) {
            if observed > limit.max {
                let route = self.table.route_id(route).to_owned();
                self.refuse(Fault::OverBudget { limit, observed, route, uses });
            }
        }
    }
}
