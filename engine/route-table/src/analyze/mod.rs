//! What is wrong with a map that can be compiled, or could be had for less: routes that add nothing, destinations nobody goes to, topics that
//! feed themselves; and what each route costs.
//!
//! Start at [`analyze`]. It is asked for, never part of a compile. Every finding is certain: a route that is said to add nothing can be
//! removed, alone or with all others of which that is said, and no event goes elsewhere. (Which of several routes is named on a delivery can
//! change: it is the first one.) Not everything is found; [`proof`](crate::proof) says how far it goes.

mod asked;

use crate::canonical::{canonical, types_of};
use crate::compile::compile;
use crate::condition::ConditionIndex;
use crate::fault::Refused;
use crate::filed::RouteTypes;
use crate::merged::{Aggregation, MergedRoute, WhyMerged};
use crate::proof::Prover;
use crate::table::RouteTable;
use asked::Asked;
use prost::Message;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use veltrix_proto::v1::{self, OnAbsent, RouteMap, destination, unmatched};

/// Steps of proving in one analysis: some seconds. What is not proved by then is not found.
const STEPS_MAX: u64 = 20_000_000;

/// What was found out about a map.
#[derive(Clone, Debug, PartialEq)]
pub struct Analysis {
    /// In the order of the map: destinations, then routes, those of tenants last.
    pub findings: Vec<Finding>,
    /// What each route costs, in the order of the map.
    pub costs: Vec<RouteCost>,
    /// How much of each tenant's routes is needed, and how much of it is shared; those for all tenants first.
    pub sharing: Vec<Sharing>,
    /// The routes that are not compiled because others make all of their deliveries, in the order of the map. Nobody has to do anything
    /// about them; they are as needless as findings say, if these name them.
    pub merged: Vec<Merge>,
    /// Whether every route was compared with all that could make it needless. A map can be so large that this takes too long.
    pub is_complete: bool,
}

/// A route that is merged into another one of the same tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merge {
    /// In the words of the RouteMap: `tenants[2].routes[0]`.
    pub path: String,
    /// The route's id.
    pub id: String,
    /// The id of the one that it is merged into.
    pub into: String,
    /// Why all of its deliveries are made by that one.
    pub why: WhyMerged,
}

/// Something that was found, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// In the words of the RouteMap: `tenants[2].routes[0]`.
    pub path: String,
    /// Of the route or destination.
    pub id: String,
    /// What it is.
    pub kind: FindingKind,
}

/// What can be found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FindingKind {
    /// Another route is about the same types, has the same condition and goes to the same destinations.
    #[error("is the same as route `{of}`; remove one of them")]
    Duplicate {
        /// That route's id.
        of: String,
    },
    /// Another route wants every event that this one wants, and sends it wherever this one does.
    #[error("adds nothing to route `{by}`, which wants all its events for all its destinations; remove it")]
    Shadowed {
        /// That route's id.
        by: String,
    },
    /// Another route of its exclusive group wants every event that this one wants, and is before it.
    #[error(
        "never delivers: route `{by}` of its exclusive group wants all its events and is before it; remove it, or put it first"
    )]
    Excluded {
        /// That route's id.
        by: String,
    },
    /// Its condition is true of no event.
    #[error("can't match: no event meets its condition; mend the condition or remove it")]
    Unreachable,
    /// Nothing goes to it.
    #[error("is named by no route and not by `unmatched`, nor as `otherwise` of one that is; remove it")]
    UnusedDestination,
    /// What goes there is read again.
    #[error("writes to topic `{topic}`, which is a source: its events come back; send them to another topic")]
    Loop {
        /// The topic.
        topic: String,
    },
}

/// What a route adds to each event of its types, counted in what the hot path does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteCost {
    /// In the words of the RouteMap.
    pub path: String,
    /// Its id.
    pub id: String,
    /// Keys of the index that it stands under: its types and prefixes. None, if it is disabled or merged into another route; then it costs
    /// nothing at all.
    pub types: usize,
    /// Different tests in its condition that no other route of the same tenant makes. A test that several make is made once.
    pub own_tests: usize,
    /// Those that others make, too.
    pub shared_tests: usize,
    /// Different places of the payload that its condition asks for.
    pub fields: usize,
    /// Nodes of its condition that are not decided together with other routes', and are walked one by one: those that say what bitsets
    /// can't, and all of a route that stands alone under its types.
    pub tree_nodes: usize,
    /// `any_element`s, which walk their part of the condition once for each element.
    pub any_elements: usize,
}

impl RouteCost {
    /// One figure to put routes in order by: a test or a node is a step, and an `any_element` as many as it has elements, taken to be ten.
    /// A step takes some nanoseconds.
    pub fn steps(&self) -> usize {
        self.own_tests + self.tree_nodes + 10 * self.any_elements
    }
}

/// How much less than what was written a table does.
#[derive(Clone, Debug, PartialEq)]
pub struct Sharing {
    /// Whose routes; `None`: everybody's.
    pub tenant: Option<String>,
    /// Routes as they are written.
    pub routes: usize,
    /// Those that are disabled.
    pub disabled_routes: usize,
    /// Those that are not found to be needless.
    pub needed_routes: usize,
    /// Those that are merged into others of the same tenant.
    pub merged_routes: usize,
    /// Those that are compiled: none that is disabled or merged into another, and none of a tenant that has the same ones as another.
    pub compiled_routes: usize,
    /// The tenant before it that has the same routes, which were compiled for both.
    pub alike: Option<String>,
    /// Tests as they are written, in all conditions of routes that are not disabled.
    pub tests: usize,
    /// Different ones: each is made at most once for an event.
    pub different_tests: usize,
}

impl Sharing {
    /// How many of the routes that are not disabled there are, and how many are compiled.
    pub fn aggregation(&self) -> Aggregation {
        Aggregation { routes: self.routes - self.disabled_routes, compiled: self.compiled_routes }
    }
}

impl Analysis {
    /// The same of all tenants together, as [`RouteTable::aggregation`] counts it.
    pub fn aggregation(&self) -> Aggregation {
        let all = self.sharing.iter().map(Sharing::aggregation);
        all.fold(Aggregation::default(), |sum, row| Aggregation {
            routes: sum.routes + row.routes,
            compiled: sum.compiled + row.compiled,
        })
    }
}

/// Analyzes a map.
///
/// # Errors
/// The map can't be compiled.
pub fn analyze(map: &RouteMap) -> Result<Analysis, Refused> {
    let table = compile(map)?;
    let routes = Routes::of(map, &table);
    let mut prover = Prover::new(&table, STEPS_MAX);
    let needless = routes.needless(&mut prover);
    let mut findings = of_destinations(map, &table);
    findings.extend(needless.iter().filter_map(|(place, kind)| {
        let route = routes.list.get(*place)?;
        Some(Finding { path: route.path.clone(), id: route.message.id.clone(), kind: kind.clone() })
    }));
    let mut into = vec![None; routes.list.len()];
    for merged in table.merged() {
        if let Some(place) = into.get_mut(merged.route.get()) {
            *place = Some(merged);
        }
    }
    let (costs, sharing) = routes.costs(&table, &needless, &into);
    let merged = into.iter().flatten().filter_map(|merged| {
        let (route, into) = (routes.list.get(merged.route.get())?, routes.list.get(merged.into.get())?);
        let (path, id, into) = (route.path.clone(), route.message.id.clone(), into.message.id.clone());
        Some(Merge { path, id, into, why: merged.why })
    });
    let merged = merged.collect();
    Ok(Analysis { findings, costs, sharing, merged, is_complete: prover.is_complete() })
}

fn of_destinations(map: &RouteMap, table: &RouteTable) -> Vec<Finding> {
    let all_routes = map.routes.iter().chain(map.tenants.iter().flat_map(|tenant| &tenant.routes));
    let (mut named, mut reached) = (HashSet::new(), HashSet::new());
    for route in all_routes {
        named.extend(route.to.iter().map(String::as_str));
        reached.extend(route.to.iter().filter(|_| !route.disabled).map(String::as_str));
    }
    let policies = map.unmatched.iter().chain(map.tenants.iter().filter_map(|tenant| tenant.unmatched.as_ref()));
    for said in policies {
        if let Some(unmatched::Policy::Destination(id)) = &said.policy {
            named.insert(id.as_str());
            reached.insert(id.as_str());
        }
    }
    // One that stands in for others is needed as they are.
    for destination in &map.destinations {
        let Some(destination::Kind::Kafka(kafka)) = &destination.kind else { continue };
        for set in [&mut named, &mut reached] {
            if !kafka.otherwise.is_empty() && set.contains(destination.id.as_str()) {
                set.insert(kafka.otherwise.as_str());
            }
        }
    }
    let sources: HashSet<&str> = map.sources.iter().map(|source| source.topic.as_str()).collect();
    let loops = table.destinations().filter(|to| reached.contains(to.id) && sources.contains(to.topic));
    let loops = loops.map(|to| (to.place, FindingKind::Loop { topic: to.topic.to_owned() }));
    let is_unused = |destination: &&v1::Destination| !named.contains(destination.id.as_str());
    let unused = (0..).zip(&map.destinations).filter(|(_, destination)| is_unused(destination));
    let mut found: Vec<(usize, FindingKind)> =
        loops.chain(unused.map(|(place, _)| (place, FindingKind::UnusedDestination))).collect();
    found.sort_by_key(|(place, _)| *place);
    let finding = |(place, kind): (usize, FindingKind)| {
        let destination = map.destinations.get(place)?;
        Some(Finding { path: format!("destinations[{place}]"), id: destination.id.clone(), kind })
    };
    found.into_iter().filter_map(finding).collect()
}

/// A route as the analysis sees it.
struct Analyzed<'m> {
    message: &'m v1::Route,
    /// In the order of the map.
    place: usize,
    path: String,
    /// 0: everybody's; else one more than its tenant's place.
    slot: usize,
    types: RouteTypes,
    to: BTreeSet<&'m str>,
    condition: ConditionIndex,
    /// The same for routes whose conditions say the same.
    says: usize,
}

impl Analyzed<'_> {
    /// How many keys of the index it stands under.
    fn keys(&self) -> usize {
        match self.message.disabled {
            true => 0,
            false => self.types.exact.len() + self.types.prefixes.len() + usize::from(self.types.any),
        }
    }
}

/// All routes of a map, and where to look for those about a type.
struct Routes<'m> {
    map: &'m RouteMap,
    list: Vec<Analyzed<'m>>,
    /// By slot and text.
    exact: HashMap<(usize, String), Vec<usize>>,
    prefixes: HashMap<(usize, String), Vec<usize>>,
    any: HashMap<usize, Vec<usize>>,
    /// By what the conditions say.
    by_condition: Vec<Vec<usize>>,
}

impl<'m> Routes<'m> {
    fn of(map: &'m RouteMap, table: &RouteTable) -> Routes<'m> {
        let own = (0..).zip(&map.routes).map(|(place, route)| (0, format!("routes[{place}]"), route));
        let of_tenants = (0..).zip(&map.tenants).flat_map(|(tenant, row): (usize, _)| {
            let path = move |place| format!("tenants[{tenant}].routes[{place}]");
            (0..).zip(&row.routes).map(move |(place, route): (usize, _)| (tenant + 1, path(place), route))
        });
        let all = own.map(|(slot, path, route): (usize, String, _)| (slot, path, route)).chain(of_tenants);
        let mut said = HashMap::new();
        let mut says = |route: &v1::Route| {
            let next = said.len();
            *said.entry(route.when.as_ref().map(|when| canonical(when).encode_to_vec())).or_insert(next)
        };
        let list = (0..).zip(all).zip(&table.routes).map(|((place, (slot, path, message)), row)| Analyzed {
            message,
            place,
            path,
            slot,
            types: types_of(&message.types.clone().unwrap_or_default()),
            to: message.to.iter().map(String::as_str).collect(),
            condition: row.condition,
            says: says(message),
        });
        let list: Vec<Analyzed<'m>> = list.collect();
        let (mut exact, mut prefixes, mut any) = (HashMap::new(), HashMap::new(), HashMap::new());
        for (place, route) in list.iter().enumerate() {
            for text in &route.types.exact {
                exact.entry((route.slot, text.clone())).or_insert_with(Vec::new).push(place);
            }
            for text in &route.types.prefixes {
                prefixes.entry((route.slot, text.clone())).or_insert_with(Vec::new).push(place);
            }
            if route.types.any {
                any.entry(route.slot).or_insert_with(Vec::new).push(place);
            }
        }
        let mut by_condition = vec![Vec::new(); said.len()];
        for (place, route) in list.iter().enumerate() {
            if let Some(places) = by_condition.get_mut(route.says) {
                places.push(place);
            }
        }
        Routes { map, list, exact, prefixes, any, by_condition }
    }

    /// The routes that add nothing, by place.
    fn needless(&self, prover: &mut Prover<'_>) -> BTreeMap<usize, FindingKind> {
        let mut needless = BTreeMap::new();
        // From the last one on, so that of two that are the same the first one stays, which deliveries name.
        for (place, route) in self.list.iter().enumerate().rev() {
            // It does nothing because somebody wants that for now.
            if route.message.disabled {
                continue;
            }
            let asks_for_dead_letters = route.message.on_absent() == OnAbsent::DeadLetter;
            if !asks_for_dead_letters && prover.never(route.condition) {
                needless.insert(place, FindingKind::Unreachable);
                continue;
            }
            // Once nothing more can be proved, only what says the same is worth a look.
            let others = if prover.is_complete() { self.about(route) } else { self.that_say_the_same(route) };
            for other in others {
                prover.step();
                if other == place || needless.contains_key(&other) {
                    continue;
                }
                let Some(other) = self.list.get(other).filter(|other| is_about_all(other, route)) else { continue };
                let has_same_condition = route.says == other.says;
                if route.message.exclusive.is_some() {
                    let wants_all = |prover: &mut Prover<'_>| {
                        has_same_condition || prover.follows(route.condition, other.condition)
                    };
                    if !asks_for_dead_letters && is_before(other, route) && wants_all(prover) {
                        needless.insert(place, FindingKind::Excluded { by: other.message.id.clone() });
                        break;
                    }
                    continue;
                }
                // What one of a group delivers depends on the others.
                if other.message.exclusive.is_some() || !route.to.is_subset(&other.to) {
                    continue;
                }
                let (by, of) = (other.message.id.clone(), other.message.id.clone());
                if has_same_condition && is_as_strict(route, other) {
                    let is_same = route.types == other.types && route.to == other.to;
                    let same_absent = route.message.on_absent() == OnAbsent::DeadLetter;
                    let others_absent = other.message.on_absent() == OnAbsent::DeadLetter;
                    let is_duplicate = is_same && same_absent == others_absent;
                    let kind = if is_duplicate { FindingKind::Duplicate { of } } else { FindingKind::Shadowed { by } };
                    needless.insert(place, kind);
                    break;
                }
                if !asks_for_dead_letters && prover.follows(route.condition, other.condition) {
                    needless.insert(place, FindingKind::Shadowed { by });
                    break;
                }
            }
        }
        needless
    }

    /// Places of the routes that may be about all types that `route` is about, of its slot and of everybody's.
    fn about(&self, route: &Analyzed<'_>) -> Vec<usize> {
        let slots = if route.slot == 0 { vec![0] } else { vec![0, route.slot] };
        let first_exact = route.types.exact.first();
        let first = first_exact.or(route.types.prefixes.first());
        let mut found = Vec::new();
        for slot in slots {
            found.extend(self.any.get(&slot).into_iter().flatten());
            let Some(first) = first else { continue };
            let ends = (0..=first.len()).filter(|end| first.is_char_boundary(*end));
            for start in ends.filter_map(|end| first.get(..end)) {
                found.extend(self.prefixes.get(&(slot, start.to_owned())).into_iter().flatten());
            }
            if first_exact.is_some() {
                found.extend(self.exact.get(&(slot, first.clone())).into_iter().flatten());
            }
        }
        found
    }

    /// Places of the routes with the same condition, of its slot and of everybody's.
    fn that_say_the_same(&self, route: &Analyzed<'_>) -> Vec<usize> {
        let places = self.by_condition.get(route.says).into_iter().flatten().copied();
        let is_met =
            |place: &usize| self.list.get(*place).is_some_and(|other| other.slot == 0 || other.slot == route.slot);
        places.filter(is_met).collect()
    }

    fn costs(
        &self,
        table: &RouteTable,
        needless: &BTreeMap<usize, FindingKind>,
        merged: &[Option<MergedRoute>],
    ) -> (Vec<RouteCost>, Vec<Sharing>) {
        let left = table.left_to_trees();
        let is_merged = |place: usize| merged.get(place).is_some_and(Option::is_some);
        let asked = self.list.iter().enumerate().map(|(place, route)| match route.message.disabled {
            true => Asked::default(),
            false if is_merged(place) => {
                Asked { tests_written: Asked::of(table, route.condition).tests_written, ..Asked::default() }
            }
            false => Asked::of(table, route.condition),
        });
        let asked: Vec<Asked> = asked.collect();
        let mut askers: HashMap<(usize, u32), usize> = HashMap::new();
        let mut sharing: Vec<Sharing> = Vec::new();
        let names = std::iter::once(None).chain(self.map.tenants.iter().map(|tenant| Some(tenant.id.clone())));
        sharing.extend(names.map(|tenant| Sharing {
            tenant,
            routes: 0,
            disabled_routes: 0,
            needed_routes: 0,
            merged_routes: 0,
            compiled_routes: 0,
            alike: None,
            tests: 0,
            different_tests: 0,
        }));
        for (row, slot) in sharing.iter_mut().zip(&table.slots) {
            let tenant = slot.alike.and_then(|alike| self.map.tenants.get((alike as usize).checked_sub(1)?));
            row.alike = tenant.map(|tenant| tenant.id.clone());
        }
        for (place, (route, asked)) in self.list.iter().zip(&asked).enumerate() {
            let Some(row) = sharing.get_mut(route.slot) else { continue };
            row.routes += 1;
            row.needed_routes += usize::from(!needless.contains_key(&place));
            row.disabled_routes += usize::from(route.message.disabled);
            row.merged_routes += usize::from(is_merged(place));
            let is_compiled = !route.message.disabled && row.alike.is_none() && !is_merged(place);
            row.compiled_routes += usize::from(is_compiled);
            row.tests += asked.tests_written;
            for test in &asked.tests {
                let askers = askers.entry((route.slot, *test)).or_default();
                row.different_tests += usize::from(*askers == 0);
                *askers += 1;
            }
        }
        let costs = self.list.iter().zip(&asked).enumerate().map(|(place, (route, asked))| {
            let is_own = |test: &&u32| askers.get(&(route.slot, **test)) == Some(&1);
            let own_tests = asked.tests.iter().filter(is_own).count();
            RouteCost {
                path: route.path.clone(),
                id: route.message.id.clone(),
                types: if is_merged(place) { 0 } else { route.keys() },
                own_tests,
                shared_tests: asked.tests.len() - own_tests,
                fields: asked.fields.len(),
                tree_nodes: left.get(place).copied().filter(|_| !is_merged(place)).unwrap_or_default(),
                any_elements: asked.any_elements,
            }
        });
        (costs.collect(), sharing)
    }
}

/// Whether `other` is asked of all events of the types of `route`.
fn is_about_all(other: &Analyzed<'_>, route: &Analyzed<'_>) -> bool {
    let has_all_types = other.types.any
        || !route.types.any
            && route.types.exact.iter().all(|exact| other.types.has(exact.as_bytes()))
            && route
                .types
                .prefixes
                .iter()
                .all(|prefix| other.types.prefixes.iter().any(|wider| prefix.starts_with(wider.as_str())));
    has_all_types && !other.message.disabled
}

/// Whether `other` keeps `route` from being asked whenever it matches, since both are in one exclusive group: if it is not asked itself,
/// neither is `route`.
fn is_before(other: &Analyzed<'_>, route: &Analyzed<'_>) -> bool {
    let (Some(before), Some(own)) = (&other.message.exclusive, &route.message.exclusive) else { return false };
    let is_of_group = other.slot == route.slot && before.group == own.group && !before.default;
    let place = |exclusive: &v1::Exclusive, route: &Analyzed<'_>| (exclusive.priority, route.place);
    is_of_group && (own.default || (!before.continues && place(before, other) < place(own, route)))
}

/// Whether `other` makes a dead letter wherever `route` does, given that their conditions are the same.
fn is_as_strict(route: &Analyzed<'_>, other: &Analyzed<'_>) -> bool {
    route.message.on_absent() != OnAbsent::DeadLetter || other.message.on_absent() == OnAbsent::DeadLetter
}
