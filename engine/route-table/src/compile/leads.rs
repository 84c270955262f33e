//! What each type leads to: the routes that it has, decided together.
//!
//! A route for many types stands under each of them beside others, and is compiled once for each different set of routes that a type has:
//! types with the same routes lead to the same. Few bytes of a map can say very many such sets, so that what is compiled is counted.

use super::{Key, Scratch, groups::group, hash_of};
use crate::condition::{ConditionIndex, range};
use crate::fault::Fault;
use crate::limits;
use crate::table::{Candidate, RouteIndex, RouteTable};
use std::hash::Hasher;

/// Finds what each key leads to.
///
/// # Errors
/// The routes would be compiled more often than they may be.
pub(super) fn lead_keys(table: &mut RouteTable, scratch: &mut Scratch) -> Result<(), Fault> {
    let mut keys = std::mem::take(&mut scratch.keys);
    let placed = std::mem::take(&mut scratch.placed);
    find_same(&mut keys, &placed, scratch);
    let counted = count(table, &keys, &placed);
    for at in 0..if counted.is_ok() { keys.len() } else { 0 } {
        let Some(key) = keys.get(at).copied().filter(|key| key.count > 1) else { continue };
        let payload = match keys.get(key.same_as as usize) {
            Some(first) if (key.same_as as usize) < at => first.payload,
            _ => group(table, scratch, candidates_of(&key, &placed)),
        };
        if let Some(key) = keys.get_mut(at) {
            key.payload = payload;
        }
    }
    (scratch.keys, scratch.placed) = (keys, placed);
    counted
}

fn candidates_of<'p>(key: &Key, placed: &'p [Candidate]) -> &'p [Candidate] {
    placed.get(range(key.first, key.count)).unwrap_or_default()
}

/// Finds for each key the first one that has the same routes.
fn find_same(keys: &mut [Key], placed: &[Candidate], scratch: &mut Scratch) {
    let Scratch { different, keys_by_routes, .. } = scratch;
    different.clear();
    for at in 0..keys.len() {
        let Some(key) = keys.get(at).copied() else { break };
        let mut same_as = at as u32;
        if key.count > 1 {
            let own = candidates_of(&key, placed);
            let hash = hash_of(|hasher| own.iter().for_each(|candidate| hasher.write_u32(candidate.route.0)));
            let same = |list: u32| {
                let first = different.get(list as usize).and_then(|first| keys.get(*first as usize));
                let theirs = first.map(|first| candidates_of(first, placed)).unwrap_or_default();
                own.iter().map(|candidate| candidate.route).eq(theirs.iter().map(|candidate| candidate.route))
            };
            match keys_by_routes.find_or_add(hash, different.len(), same) {
                Ok(list) => same_as = different.get(list as usize).copied().unwrap_or(same_as),
                Err(_) => different.push(at as u32),
            }
        }
        if let Some(key) = keys.get_mut(at) {
            key.same_as = same_as;
        }
    }
}

/// Counts how many routes and nodes of their conditions are compiled for types that have several routes.
fn count(table: &mut RouteTable, keys: &[Key], placed: &[Candidate]) -> Result<(), Fault> {
    let (limit, conditions) = (&limits::COMPILED_NODES, &table.conditions);
    let uses_of = |candidate: &Candidate| {
        let ConditionIndex(root) = candidate.condition;
        1 + conditions.node(root).map_or(0, |node| u64::from(node.end - root))
    };
    let counted = (0..).zip(keys).filter(|(at, key)| key.count > 1 && key.same_as == *at);
    let candidates = || counted.clone().flat_map(|(_, key)| candidates_of(key, placed));
    let observed = candidates().map(uses_of).sum();
    table.usage.compiled_nodes = observed;
    if observed <= limit.max {
        return Ok(());
    }
    let mut uses = vec![0; table.routes.len()];
    for candidate in candidates() {
        if let Some(uses) = uses.get_mut(candidate.route.get()) {
            *uses += uses_of(candidate);
        }
    }
    // Of several the first one.
    let most = uses.iter().enumerate().rev().max_by_key(|(_, uses)| **uses);
    let (route, uses) = most.map_or((RouteIndex(0), 0), |(route, uses)| (RouteIndex(route as u32), *uses));
    Err(Fault::OverBudget { limit, observed, route: table.route_id(route).to_owned(), uses })
}

#[cfg(test)]
mod tests {
    use crate::compile::compile;
    use crate::table::{KeyKind, space};
    use veltrix_proto::v1::destination::Kind as To;
    use veltrix_proto::v1::{Destination, EventTypes, KafkaTopic, Route, RouteMap};

    #[test]
    fn types_with_the_same_routes_lead_to_the_same_and_others_do_not() {
        let route = |id: usize, types: &[&str]| Route {
            id: id.to_string(),
            types: Some(EventTypes {
                exact: types.iter().map(|name| (*name).to_owned()).collect(),
                ..EventTypes::default()
            }),
            // Each goes elsewhere, so that none is merged into another.
            to: vec![format!("d{id}")],
            ..Route::default()
        };
        let types = |id: usize| if id == 9 { &["a", "b", "d"][..] } else { &["a", "b", "c", "d"] };
        let mut routes: Vec<Route> = (0..10).map(|id| route(id, types(id))).collect();
        routes.push(route(10, &["d"]));
        let destination = |id: usize| Destination {
            id: format!("d{id}"),
            kind: Some(To::Kafka(KafkaTopic { topic: format!("t{id}"), ..KafkaTopic::default() })),
        };
        let destinations = (0..11).map(destination).collect();
        let table =
            compile(&RouteMap { name: "same".to_owned(), destinations, routes, ..RouteMap::default() }).unwrap();
        let lead = |name: &str| table.types.get(space(0, KeyKind::Exact), name.as_bytes()).unwrap();
        assert_eq!(lead("a"), lead("b"));
        assert!(lead("a") != lead("c") && lead("a") != lead("d") && lead("c") != lead("d"));
        assert_eq!(table.usage().compiled_nodes, 10 + 9 + 11);
    }
}
