//! Under which types the routes of a slot stand, found by going through the index the other way round.
//!
//! Nothing on the hot path asks that, so a table keeps no list of it: whoever asks pays with a walk through all keys.

use crate::access::{self, Access};
use crate::condition::ConditionIndex;
use crate::group::{GroupIndex, NO_ELEMENTS, VALUE_SPACES};
use crate::key_index::Payload;
use crate::table::{Candidate, KeyKind, Lead, RouteIndex, RouteTable, space};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::ops::Range;

/// The event types that a route is about, as far as they say something of their own: a type that one of the prefixes covers is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteTypes {
    /// Whole types, in order.
    pub exact: Vec<String>,
    /// What its types begin with, in order.
    pub prefixes: Vec<String>,
    /// Every type.
    pub any: bool,
}

impl RouteTypes {
    /// Whether a route of these types is about `event_type`.
    pub fn has(&self, event_type: &[u8]) -> bool {
        self.any
            || self.exact.iter().any(|exact| exact.as_bytes() == event_type)
            || self.prefixes.iter().any(|prefix| event_type.starts_with(prefix.as_bytes()))
    }
}

/// A route and where it stands; nowhere, if it is disabled.
pub(crate) struct Filed {
    pub(crate) route: RouteIndex,
    pub(crate) slot: u32,
    pub(crate) types: RouteTypes,
}

/// How many types are told before the rest is counted.
const TYPES_TOLD: usize = 6;

/// As people write it: `hunt.clue.found, hunt.chest.*`.
impl std::fmt::Display for RouteTypes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.any {
            return f.write_str("every type");
        }
        let exact = self.exact.iter().map(|text| (text, ""));
        let all = exact.chain(self.prefixes.iter().map(|text| (text, "*")));
        let mut separator = "";
        for (text, star) in all.take(TYPES_TOLD) {
            f.write_str(separator)?;
            text.chars().try_for_each(|letter| match letter.is_control() {
                true => f.write_char(' '),
                false => f.write_char(letter),
            })?;
            f.write_str(star)?;
            separator = ", ";
        }
        match (self.exact.len() + self.prefixes.len()).saturating_sub(TYPES_TOLD) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl RouteTable {
    /// The routes of a slot.
    pub(crate) fn routes_of(&self, slot: u32) -> Range<u32> {
        let first = |slot: u32| self.slots.get(slot as usize).map_or(self.routes.len() as u32, |row| row.first_route.0);
        first(slot)..first(slot + 1)
    }

    /// The slot that the routes of this one were compiled for.
    fn compiled_slot(&self, slot: u32) -> u32 {
        self.slots.get(slot as usize).and_then(|row| row.alike).unwrap_or(slot)
    }

    /// The route that was compiled for one of a slot: it itself, or one of a tenant before it that has the same routes.
    pub(crate) fn compiled_route(&self, slot: u32, route: RouteIndex) -> RouteIndex {
        let later = self.slots.get(slot as usize).map_or(0, |row| self.routes_later(row));
        RouteIndex(route.0.saturating_sub(later))
    }

    /// The routes of `slots`, in the order of the map.
    pub(crate) fn filed(&self, slots: &[u32]) -> Vec<Filed> {
        let compiled: Vec<u32> = slots.iter().map(|slot| self.compiled_slot(*slot)).collect();
        let types = self.types_of_compiled(&compiled);
        let of_slot = |slot: u32| {
            let types = &types;
            self.routes_of(slot).map(RouteIndex).map(move |route| {
                let types = types.get(&self.compiled_route(slot, route)).cloned().unwrap_or_default();
                Filed { route, slot, types }
            })
        };
        slots.iter().flat_map(|slot| of_slot(*slot)).collect()
    }

    /// The types that the routes compiled for `slots` stand under.
    fn types_of_compiled(&self, slots: &[u32]) -> BTreeMap<RouteIndex, RouteTypes> {
        let mut filed: BTreeMap<RouteIndex, RouteTypes> = BTreeMap::new();
        let mut note = |routes: BTreeSet<RouteIndex>, add: &dyn Fn(&mut RouteTypes)| {
            for route in routes {
                add(filed.entry(route).or_default());
            }
        };
        let spaces = self.spaces_of_values();
        let mut by_value: HashMap<u32, Vec<Payload>> = HashMap::new();
        for (space, _, payload) in self.types.iter() {
            if let Some(access) = spaces.get(&space) {
                by_value.entry(*access).or_default().push(payload);
            }
        }
        for access in &self.groups.accesses.list {
            by_value.entry(access.space).or_default().extend(self.groups.accesses.of_nodes(access));
        }
        let of_both_kinds = |slot: &u32| [space(*slot, KeyKind::Exact), space(*slot, KeyKind::Prefix)];
        let wanted: BTreeSet<u32> = slots.iter().flat_map(of_both_kinds).collect();
        for (space, text, payload) in self.types.iter().filter(|(space, ..)| wanted.contains(space)) {
            let text = String::from_utf8_lossy(&text).into_owned();
            note(self.routes_under(payload, &by_value), &|types| match space & 1 == KeyKind::Exact as u32 {
                true => types.exact.push(text.clone()),
                false => types.prefixes.push(text.clone()),
            });
        }
        for slot in slots {
            if let Some(any) = self.slots.get(*slot as usize).and_then(|row| row.any) {
                note(self.routes_under(any, &by_value), &|types| types.any = true);
            }
        }
        filed.extend(self.merged_types(|into| filed.get(&into).cloned()));
        for types in filed.values_mut() {
            types.exact.sort_unstable();
            types.prefixes.sort_unstable();
        }
        filed
    }

    /// How many nodes of each route's condition are walked one by one, since nothing else decides them: the most of what any key leaves.
    pub(crate) fn left_to_trees(&self) -> Vec<usize> {
        let mut left = vec![0; self.routes.len()];
        let mut note = |candidate: &Candidate| {
            let ConditionIndex(at) = candidate.condition;
            let nodes = self.conditions.node(at).map_or(0, |node| (node.end - at) as usize);
            if let Some(left) = left.get_mut(candidate.route.get()) {
                *left = nodes.max(*left);
            }
        };
        // What is left of a member only if arrays are crossed or places spelled with dots is not what most events pay.
        let members =
            self.groups.members.iter().filter(|member| !member.only_if_involved && member.elements == NO_ELEMENTS);
        members.for_each(|member| note(&member.candidate));
        let of_types = self.types.iter().filter(|(space, ..)| *space < VALUE_SPACES);
        let spaces = self.spaces_of_values();
        let of_values = self.types.iter().filter(|(space, ..)| spaces.contains_key(space));
        let accesses = &self.groups.accesses;
        let of_nodes = accesses.list.iter().flat_map(|access| accesses.of_nodes(access));
        let any = self.slots.iter().filter_map(|slot| slot.any);
        for payload in of_types.chain(of_values).map(|(.., payload)| payload).chain(of_nodes).chain(any) {
            if let Lead::One(candidate) = Candidate::lead_of(payload) {
                note(&candidate);
            }
        }
        for (slot, row) in (0..).zip(&self.slots).filter(|(_, row)| row.alike.is_some()) {
            let compiled = self.routes_of(self.compiled_slot(slot)).start as usize;
            let routes = compiled..compiled + self.routes_of(slot).len();
            if routes.end <= left.len() {
                left.copy_within(routes, row.first_route.get());
            }
        }
        left
    }

    /// The parts of the index that accesses look texts up in, and the first one of each one's access.
    fn spaces_of_values(&self) -> HashMap<u32, u32> {
        let of_access = |access: &Access| {
            let first = access.space;
            (first..first + access::SPACES).map(move |space| (space, first))
        };
        self.groups.accesses.list.iter().flat_map(of_access).collect()
    }

    /// All routes that a key of the index leads to, those behind a group's accesses included.
    fn routes_under(&self, payload: Payload, by_value: &HashMap<u32, Vec<Payload>>) -> BTreeSet<RouteIndex> {
        let mut routes = BTreeSet::new();
        let mut ahead = vec![payload];
        while let Some(payload) = ahead.pop() {
            match Candidate::lead_of(payload) {
                Lead::One(candidate) => {
                    routes.insert(candidate.route);
                }
                Lead::Many(run) => {
                    let run = self.candidates.get(run).unwrap_or_default();
                    routes.extend(run.iter().map(|candidate| candidate.route));
                }
                Lead::Group(GroupIndex(group)) => {
                    let Some((members, accesses)) = self.groups.parts_of(group) else { continue };
                    routes.extend(members.iter().map(|member| member.candidate.route));
                    ahead.extend(accesses.iter().filter_map(|access| by_value.get(&access.space)).flatten());
                }
            }
        }
        routes
    }
}
