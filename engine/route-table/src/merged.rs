//! Routes that are merged into others: what was not compiled since another route makes all of its deliveries, and how to speak of it.
//!
//! An event is routed as if these had not been written, for the deliveries are the same ([`compile::merge`](crate::compile) says why).
//! Who asks for more than deliveries hears of all routes as they were written: [`RouteTable::matches`] asks merged routes when those match
//! that they are merged into, and [`RouteTable::explain`] evaluates the condition of each.

use crate::condition::{ConditionIndex, Truth, range};
use crate::evaluate::{Facts, Work};
use crate::filed::RouteTypes;
use crate::group::Sink;
use crate::key_index::Payload;
use crate::table::{Candidate, Matching, RouteIndex, RouteTable, Text};

/// All merged routes of a table. Those of a tenant that has the same routes as another are not among them.
#[derive(Debug, Default)]
pub(crate) struct Merged {
    /// By the route that they are merged into, then in the order of the map.
    pub(crate) rows: Vec<MergedRow>,
    /// The types of those that are about fewer than the route that they are merged into: whether it is a prefix, and its text.
    pub(crate) types: Vec<(bool, Text)>,
    /// By route: what leads to those that are merged into it and have other conditions.
    pub(crate) narrower: Vec<(RouteIndex, Payload)>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct MergedRow {
    pub(crate) into: RouteIndex,
    pub(crate) candidate: Candidate,
    /// A run of the types; none, if they are those of the other route.
    pub(crate) first_type: u32,
    pub(crate) types: u32,
    pub(crate) has_same_condition: bool,
}

/// A route that is not compiled, and the one that makes all of its deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MergedRoute {
    /// Which route.
    pub route: RouteIndex,
    /// The one that it is merged into: of the same tenant, and before it in the map.
    pub into: RouteIndex,
    /// Why.
    pub why: WhyMerged,
}

/// Why whatever a route delivers is delivered by another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WhyMerged {
    /// The conditions are the same.
    #[error("which has the same condition")]
    SameCondition,
    /// The other route has none.
    #[error("which has no condition")]
    NoCondition,
    /// What the other route asks for is part of what this one asks for.
    #[error("which asks for no more")]
    AsksForLess,
}

/// How many routes a table has, and how many of them events are routed by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Aggregation {
    /// Routes as they are written, but for those that are disabled.
    pub routes: usize,
    /// Those that are compiled: none that is merged into another, and none of a tenant that has the same routes as one before it.
    pub compiled: usize,
}

impl Aggregation {
    /// How many routes as they are written a compiled one stands for. 1: each is compiled. 1, too, where there are none.
    pub fn ratio(self) -> f64 {
        if self.compiled == 0 { 1.0 } else { self.routes as f64 / self.compiled as f64 }
    }
}

impl Merged {
    pub(crate) fn clear(&mut self) {
        self.rows.clear();
        self.types.clear();
        self.narrower.clear();
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.rows.capacity() * size_of::<MergedRow>()
            + self.types.capacity() * size_of::<(bool, Text)>()
            + self.narrower.capacity() * size_of::<(RouteIndex, Payload)>()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The routes that are merged into one.
    fn of(&self, into: RouteIndex) -> &[MergedRow] {
        let first = self.rows.partition_point(|row| row.into < into);
        let rows = self.rows.get(first..).unwrap_or_default();
        rows.get(..rows.partition_point(|row| row.into == into)).unwrap_or_default()
    }

    fn narrower_than(&self, into: RouteIndex) -> Option<Payload> {
        let place = self.narrower.binary_search_by_key(&into, |(into, _)| *into).ok()?;
        self.narrower.get(place).map(|(_, payload)| *payload)
    }

    fn types_of(&self, row: &MergedRow) -> &[(bool, Text)] {
        self.types.get(range(row.first_type, row.types)).unwrap_or_default()
    }

    /// Whether a route is about the type of an event that the other one is about.
    fn is_about(&self, row: &MergedRow, texts: &str, event_type: &[u8]) -> bool {
        let has = |(is_prefix, text): &(bool, Text)| match is_prefix {
            true => event_type.starts_with(text.bytes_of(texts)),
            false => event_type == text.bytes_of(texts),
        };
        let types = self.types_of(row);
        types.is_empty() || types.iter().any(has)
    }
}

impl RouteTable {
    /// The routes that are not compiled because they are merged into others, tenant by tenant. Of tenants that have the same routes, each
    /// one's own are told.
    pub fn merged(&self) -> impl Iterator<Item = MergedRoute> {
        let rows = &self.merged.rows;
        let of_slot = move |slot| {
            let own = self.routes_of(slot);
            let first = RouteIndex(own.start);
            let compiled = self.compiled_route(slot, first);
            let later = own.start - compiled.0;
            let rows = rows.get(rows.partition_point(|row| row.into < compiled)..).unwrap_or_default();
            let rows = rows.get(..rows.partition_point(|row| row.into.0 + later < own.end)).unwrap_or_default();
            rows.iter().map(move |row| MergedRoute {
                route: RouteIndex(row.candidate.route.0 + later),
                into: RouteIndex(row.into.0 + later),
                why: self.why_merged(row),
            })
        };
        (0..self.slots.len() as u32).flat_map(of_slot)
    }

    fn why_merged(&self, row: &MergedRow) -> WhyMerged {
        match self.routes.get(row.into.get()).map(|into| into.condition) {
            _ if row.has_same_condition => WhyMerged::SameCondition,
            Some(ConditionIndex::ALWAYS) => WhyMerged::NoCondition,
            _ => WhyMerged::AsksForLess,
        }
    }

    /// How many routes there are, and how many are compiled.
    pub fn aggregation(&self) -> Aggregation {
        self.aggregation
    }

    /// Adds the types of merged routes to those that are known of the routes that they are merged into.
    pub(crate) fn merged_types(
        &self,
        known: impl Fn(RouteIndex) -> Option<RouteTypes>,
    ) -> Vec<(RouteIndex, RouteTypes)> {
        let of_row = |row: &MergedRow| {
            let others = known(row.into)?;
            let types = self.merged.types_of(row);
            let texts = |of_prefixes: bool| {
                let texts = types.iter().filter(move |(is_prefix, _)| *is_prefix == of_prefixes);
                texts.map(|(_, text)| text.of(&self.texts).to_owned()).collect()
            };
            let own = RouteTypes { exact: texts(false), prefixes: texts(true), any: false };
            Some((row.candidate.route, if types.is_empty() { others } else { own }))
        };
        self.merged.rows.iter().filter_map(of_row).collect()
    }

    /// Lists the merged routes that match, when all others were asked.
    #[inline(never)]
    pub(crate) fn match_merged(&self, facts: &Facts<'_>, work: &mut Work<'_>, out: &mut Matching<'_>) {
        let is_about = |row: &&MergedRow| self.merged.is_about(row, &self.texts, facts.event_type);
        let Matching { routes, undecided, waiting } = out;
        let mut asked = [0; 3];
        for (list, asked) in [routes, undecided, waiting].into_iter().zip(&mut asked) {
            // An event may come to a route by several of its values.
            list.sort_unstable();
            list.dedup();
            *asked = list.len();
            for at in 0..*asked {
                let Some(into) = list.get(at).copied() else { break };
                let same = self.merged.of(into).iter().filter(|row| row.has_same_condition).filter(is_about);
                list.extend(same.map(|row| row.candidate.route));
            }
        }
        // Those that have other conditions don't depend on lookups, nor do those that they are merged into.
        let evaluation = self.evaluation(facts);
        let [matching, absent, _] = asked;
        for at in 0..matching + absent {
            let into = if at < matching { out.routes.get(at) } else { out.undecided.get(at - matching) };
            let Some(into) = into.copied() else { break };
            if let Some(narrower) = self.merged.narrower_than(into) {
                let event_type = facts.event_type;
                let mut sink = Narrower { table: self, rows: self.merged.of(into), event_type, out };
                self.consider(narrower, &evaluation, work, &mut sink);
            }
        }
    }
}

/// Takes in what is decided of routes that are merged into one, if they are about the event's type.
struct Narrower<'n, 'm> {
    table: &'n RouteTable,
    rows: &'n [MergedRow],
    event_type: &'n [u8],
    out: &'n mut Matching<'m>,
}

impl Sink for Narrower<'_, '_> {
    fn decided(&mut self, candidate: Candidate, truth: Truth) {
        let Narrower { table: RouteTable { merged, texts, .. }, rows, event_type, out } = self;
        let row = rows.binary_search_by_key(&candidate.route, |row| row.candidate.route);
        let row = row.ok().and_then(|place| rows.get(place));
        if row.is_some_and(|row| merged.is_about(row, texts, event_type)) {
            out.decided(candidate, truth);
        }
    }
}
