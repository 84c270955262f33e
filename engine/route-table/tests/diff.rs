//! What a diff says has changed, and only that, whatever way maps are written.

mod support;

use proptest::prelude::*;
use std::collections::BTreeMap;
use support::evaluate::evaluate;
use support::{Expected, OwnedEvent, event, expected, route_map, truths};
use veltrix_proto::v1::{
    self, Condition, Destination, EventTypes, KafkaTopic, Origin, Route, RouteMap, Source, Tenant, condition,
};
use veltrix_route_table::{Change, How, Subject, canonical, compile, diff, diff_event};

fn routes_mut(map: &mut RouteMap) -> impl Iterator<Item = &mut Route> {
    map.routes.iter_mut().chain(map.tenants.iter_mut().flat_map(|tenant| &mut tenant.routes))
}

/// The same map, written otherwise: conditions as the table tells them, everything in the opposite order.
fn rewritten(map: &RouteMap) -> RouteMap {
    let table = compile(map).unwrap();
    let mut map = map.clone();
    for (place, route) in routes_mut(&mut map).enumerate() {
        route.when = table.condition(table.route_index(place).unwrap());
        route.to.reverse();
        let types = route.types.as_mut().unwrap();
        types.exact.reverse();
        types.prefixes.reverse();
    }
    map.routes.reverse();
    map.tenants.reverse();
    map.destinations.reverse();
    map.sources.reverse();
    map
}

/// Destinations with their routes, and whether there is a dead letter.
fn fate(map: &RouteMap, event: &OwnedEvent) -> (BTreeMap<String, Option<String>>, bool) {
    match expected(map, event) {
        Expected::Routed { deliveries, undecided } => (deliveries, undecided.is_some()),
        Expected::Unmatched { deliveries, dead_letter } => (deliveries, dead_letter),
        Expected::Unreadable => (BTreeMap::new(), true),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_canonical_condition_says_what_the_condition_says(
        map in route_map(),
        events in prop::collection::vec(event(), 1..20),
    ) {
        for event in &events {
            let Some((record, truths)) = truths(&map, event) else { continue };
            for when in truths.iter().filter_map(|(route, _)| route.when.as_ref()) {
                let one = canonical(when);
                prop_assert_eq!(evaluate(&one, &record), evaluate(when, &record), "{:?} of {:?}", one, when);
                prop_assert_eq!(canonical(&one), one);
            }
        }
    }

    #[test]
    fn a_map_that_is_written_otherwise_has_no_changes(map in route_map()) {
        prop_assert_eq!(diff(&map, &map), vec![]);
        prop_assert_eq!(diff(&map, &rewritten(&map)), vec![]);
    }

    #[test]
    fn maps_without_changes_route_alike_and_others_have_some(
        old in route_map(),
        other in route_map(),
        swaps in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 0..3),
        events in prop::collection::vec(event(), 1..20),
    ) {
        // A map that differs from the other one in a few places.
        let mut new = old.clone();
        for (place, what) in swaps {
            let count = routes_mut(&mut new).count();
            let route = routes_mut(&mut new).nth(place.index(count)).unwrap();
            let from = &other.routes[place.index(other.routes.len())];
            match what % 4 {
                0 => route.when = from.when.clone(),
                1 => route.types = from.types.clone(),
                2 => route.to = from.to.clone(),
                _ => route.on_absent = from.on_absent,
            }
        }
        let changes = diff(&old, &new);
        let (before, after) = (compile(&old).unwrap(), compile(&new).unwrap());
        for event in &events {
            let told = diff_event(&before, &after, event);
            let ((was, was_dead), (is, is_dead)) = (fate(&old, event), fate(&new, event));
            prop_assert!(told.is_empty() || !changes.is_empty(), "{} but no change", told);
            prop_assert_eq!(told.is_empty(), (&was, was_dead) == (&is, is_dead));
            prop_assert_eq!(told.dead_letter, (was_dead, is_dead));
            let only = |these: &BTreeMap<String, Option<String>>, those: &BTreeMap<String, Option<String>>| {
                let only = these.iter().filter(|(to, _)| !those.contains_key(*to));
                only.map(|(to, route)| (to.clone(), route.clone())).collect::<Vec<_>>()
            };
            prop_assert_eq!(told.gained, only(&is, &was));
            prop_assert_eq!(told.lost, only(&was, &is));
            let moved = was.iter().filter(|(to, route)| is.get(*to).is_some_and(|now| now != *route));
            let moved = moved.map(|(to, route)| (to.clone(), route.clone(), is[to].clone()));
            prop_assert_eq!(told.moved, moved.collect::<Vec<_>>());
        }
    }
}

fn destination(id: &str, topic: &str) -> Destination {
    let kind = Some(v1::destination::Kind::Kafka(KafkaTopic { topic: topic.to_owned() }));
    Destination { id: id.to_owned(), kind }
}

fn route(id: &str, when: &str) -> Route {
    Route {
        id: id.to_owned(),
        types: Some(EventTypes { exact: vec!["a".to_owned()], ..EventTypes::default() }),
        when: Some(Condition { kind: Some(condition::Kind::Cel(when.to_owned())) }),
        to: vec!["board".to_owned()],
        ..Route::default()
    }
}

fn tenant(id: &str, routes: Vec<Route>) -> Tenant {
    Tenant { id: id.to_owned(), routes, ..Tenant::default() }
}

fn map() -> RouteMap {
    RouteMap {
        name: "hunt".to_owned(),
        destinations: vec![destination("board", "hunt-board"), destination("spare", "hunt-spare")],
        routes: vec![route("one", "payload.a == 1"), route("two", "payload.a == 2")],
        tenants: vec![tenant("live", vec![route("own", "payload.a == 3")]), tenant("idle", vec![])],
        ..RouteMap::default()
    }
}

fn said(change: impl FnOnce(&mut RouteMap)) -> String {
    let mut new = map();
    change(&mut new);
    diff(&map(), &new).iter().map(Change::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_changed_is_said_thing_by_thing() {
    assert_eq!(
        said(|map| map.routes[0] = route("one", "payload.a == 1 || payload.b > 7")),
        "~ route one\n    - when: payload.a == 1\n    + when: payload.a == 1 || payload.b > 7"
    );
    assert_eq!(
        said(|map| {
            let types = map.routes[0].types.as_mut().unwrap();
            types.exact = vec!["b".to_owned()];
            types.prefixes = vec!["a.".to_owned()];
            map.routes[0].to.push("spare".to_owned());
            map.routes[0].on_absent = 2;
            map.routes[0].when = None;
        }),
        "~ route one\n    - types: a\n    + types: a.*, b\n    - when: payload.a == 1\n    + when: always\n    + to: spare\n    - on_absent: no match\n    + on_absent: dead letter"
    );
    assert_eq!(
        said(|map| {
            map.routes.remove(0);
            map.routes.push(route("three", "payload.a == 3"));
        }),
        "- route one\n+ route three"
    );
    assert_eq!(
        said(|map| {
            map.name = "duel".to_owned();
            map.unmatched = Some(v1::Unmatched { policy: Some(v1::unmatched::Policy::DeadLetter(v1::DeadLetter {})) });
            let origin = Origin { kind: Some(v1::origin::Kind::Header("kind".to_owned())) };
            map.sources.push(Source { topic: "t".to_owned(), event_type: Some(origin), tenant: None });
            map.tenants[1].labels.insert("shard".to_owned(), "7".to_owned());
            map.destinations[1] = destination("spare", "hunt-other");
        }),
        "~ the map\n    - name: hunt\n    + name: duel\n    - unmatched: drop\n    + unmatched: dead letter\n+ source t\n~ destination spare\n    - topic: hunt-spare\n    + topic: hunt-other\n~ tenant idle\n    + labels: shard=7"
    );
}

#[test]
fn what_only_has_another_name_is_said_to_be_renamed() {
    assert_eq!(said(|map| map.routes[0].id = "first".to_owned()), "~ route first, which was called one");
    assert_eq!(
        said(|map| {
            map.destinations[0].id = "table".to_owned();
            routes_mut(map).for_each(|route| route.to = vec!["table".to_owned()]);
        }),
        "~ destination table, which was called board"
    );
    assert_eq!(said(|map| map.tenants[0].id = "dead".to_owned()), "~ tenant dead, which was called live");
    // Nothing is known of one without routes but its name.
    assert_eq!(said(|map| map.tenants[1].id = "lazy".to_owned()), "- tenant idle\n+ tenant lazy");
    let two_of_one = said(|map| {
        map.routes[0].id = "first".to_owned();
        map.routes.push(route("second", "payload.a == 1"));
    });
    assert_eq!(two_of_one, "~ route first, which was called one\n+ route second");
}

#[test]
fn a_route_that_is_another_tenants_is_said_to_have_moved() {
    let moved = said(|map| {
        let mut route = map.routes.remove(0);
        route.to = vec!["spare".to_owned()];
        map.tenants[1].routes.push(route);
    });
    assert_eq!(moved, "~ route one of tenant idle, which was for all tenants\n    - to: board\n    + to: spare");
    let mut old = map();
    let one = old.routes.remove(0);
    old.tenants[0].routes.push(one);
    let changes = diff(&old, &map());
    let [Change { subject: Subject::Route { tenant: None, id }, how: How::MovedFrom(Some(tenant)), details }] =
        changes.as_slice()
    else {
        panic!("{changes:?}")
    };
    assert_eq!((id.as_str(), tenant.as_str(), details.len()), ("one", "live", 0));
}

#[test]
fn a_prefix_is_not_a_type_with_a_star() {
    let star =
        said(|map| map.routes[0].types = Some(EventTypes { exact: vec!["a*".to_owned()], ..EventTypes::default() }));
    assert_eq!(star, "~ route one\n    - types: a\n    + types: a*");
    let with =
        |types| RouteMap { routes: vec![Route { types: Some(types), ..route("one", "payload.a == 1") }], ..map() };
    let exact = with(EventTypes { exact: vec!["a*".to_owned()], ..EventTypes::default() });
    let prefix = with(EventTypes { prefixes: vec!["a".to_owned()], ..EventTypes::default() });
    assert_eq!(diff(&exact, &prefix).len(), 1);
}
