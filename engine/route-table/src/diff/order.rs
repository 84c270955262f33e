//! In which order the routes of an exclusive group are asked that have the same priority.
//!
//! Only routes that are in both maps are compared, by the names of now: one that is new, gone or of another priority is told as such.

use super::{Aspect, Change, Detail, How, Subject};
use std::collections::{BTreeMap, HashMap, HashSet};
use veltrix_proto::v1::{Route, RouteMap};

/// Whose group, its name, and a priority.
type Rank<'m> = (Option<&'m str>, &'m str, u32);

/// The groups whose order changed. `changes` are those of things with names.
pub(super) fn changes(old: &RouteMap, new: &RouteMap, changes: &[Change]) -> Vec<Change> {
    let (mut tenants, mut routes) = (HashMap::new(), HashMap::new());
    for Change { subject, how, .. } in changes {
        match (subject, how) {
            (Subject::Tenant(now), How::Renamed(was)) => tenants.insert(was.as_str(), now.as_str()),
            (Subject::Route { id, .. }, How::Renamed(was)) => routes.insert(was.as_str(), id.as_str()),
            _ => None,
        };
    }
    let (before, after) = (ranks(old, &tenants, &routes), ranks(new, &HashMap::new(), &HashMap::new()));
    let mut found: BTreeMap<(Option<&str>, &str), Detail> = BTreeMap::new();
    for (rank, was) in &before {
        let Some(is) = after.get(rank) else { continue };
        let common = |these: &[&str], those: &[&str]| -> Vec<String> {
            let those: HashSet<&str> = those.iter().copied().collect();
            these.iter().filter(|id| those.contains(*id)).map(|id| (*id).to_owned()).collect()
        };
        let (was, is) = (common(was, is), common(is, was));
        if was != is {
            let detail = Detail { what: Aspect::Order, before: Vec::new(), after: Vec::new() };
            let detail = found.entry((rank.0, rank.1)).or_insert(detail);
            detail.before.extend(was);
            detail.after.extend(is);
        }
    }
    let changed = found.into_iter().map(|((tenant, name), detail)| Change {
        subject: Subject::Group { tenant: tenant.map(str::to_owned), name: name.to_owned() },
        how: How::Changed,
        details: vec![detail],
    });
    changed.collect()
}

/// The ids of the routes of each priority of each group in the order of the map, by the names of now.
fn ranks<'m>(
    map: &'m RouteMap,
    tenants: &HashMap<&'m str, &'m str>,
    routes: &HashMap<&'m str, &'m str>,
) -> BTreeMap<Rank<'m>, Vec<&'m str>> {
    let now = |names: &HashMap<&'m str, &'m str>, name: &'m str| names.get(name).copied().unwrap_or(name);
    let mut ranks: BTreeMap<Rank<'m>, Vec<&'m str>> = BTreeMap::new();
    let mut note = |tenant: Option<&'m str>, list: &'m [Route]| {
        for route in list {
            if let Some(own) = route.exclusive.as_ref().filter(|own| !own.default) {
                let rank = (tenant, own.group.as_str(), own.priority);
                ranks.entry(rank).or_default().push(now(routes, route.id.as_str()));
            }
        }
    };
    note(None, &map.routes);
    map.tenants.iter().for_each(|tenant| note(Some(now(tenants, tenant.id.as_str())), &tenant.routes));
    ranks
}
