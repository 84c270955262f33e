//! Which routes of exclusive groups are kept from being asked, and by which others.

use super::{Outcome, RouteExplanation};
use crate::condition::Truth;
use crate::exclusive::{Aside, Exclusive};
use crate::table::{RouteIndex, RouteTable};
use std::collections::HashMap;

/// The place of a route in an exclusive group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InGroup {
    /// The group's name.
    pub group: String,
    /// Whether the route delivers only if no other one of the group matches.
    pub is_default: bool,
    /// The route that kept this one from being asked, as it is before it and matches.
    pub behind: Option<String>,
}

impl RouteTable {
    /// Says of the routes in groups where they stand, and which of them were not asked. `tenant` is the slot of the event's tenant.
    pub(super) fn explain_groups(&self, tenant: Option<u32>, routes: &mut [RouteExplanation]) {
        let place_of = |route: &RouteExplanation| {
            let slot = if route.is_of_tenant { tenant? } else { 0 };
            let compiled = self.compiled_route(slot, route.route);
            self.exclusives.binary_search_by_key(&compiled, |known| known.route).ok()
        };
        let places: Vec<Option<usize>> = routes.iter().map(place_of).collect();
        let delivers = self.last_of_groups(&places, routes);
        let exclusive_at = |place: &Option<usize>| place.and_then(|place| self.exclusives.get(place));
        let ids: HashMap<RouteIndex, String> = places
            .iter()
            .zip(routes.iter())
            .filter_map(|(place, route)| Some((exclusive_at(place)?.route, route.id.clone())))
            .collect();
        for (place, route) in places.iter().zip(routes) {
            let Some(own) = exclusive_at(place) else { continue };
            let takes_part = !matches!(route.outcome, Outcome::Disabled | Outcome::OtherType(_));
            let before = delivers.get(&own.group).filter(|before| takes_part && before.keeps(own));
            let behind = before.and_then(|before| ids.get(&before.route).cloned());
            match &mut route.outcome {
                Outcome::Matched if behind.is_some() => route.outcome = Outcome::Excluded,
                Outcome::Absent { dead_letter, .. } => *dead_letter &= behind.is_none(),
                _ => {}
            }
            let name = self.exclusive_groups.get(own.group as usize).copied().unwrap_or_default();
            let group = name.of(&self.texts).to_owned();
            route.exclusive = Some(InGroup { group, is_default: own.is_default, behind });
        }
    }

    /// By group: the last route of it that delivers, as it is settled for deliveries.
    fn last_of_groups(&self, places: &[Option<usize>], routes: &[RouteExplanation]) -> HashMap<u32, Exclusive> {
        let mut aside = Aside::default();
        aside.grow(self.exclusives.len());
        for (place, route) in places.iter().zip(routes) {
            let truth = match route.outcome {
                Outcome::Matched => Truth::True,
                Outcome::Absent { dead_letter: true, .. } => Truth::Absent,
                _ => continue,
            };
            if let Some(place) = place {
                aside.add(*place as u32, truth, 1);
            }
        }
        let mut last = HashMap::new();
        aside.settle(&self.exclusives, |route, truth| {
            if truth == Truth::True {
                last.insert(route.group, *route);
            }
        });
        last
    }
}
