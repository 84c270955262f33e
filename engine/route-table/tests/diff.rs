//! What a diff says has changed, and only that, whatever way maps are written.

mod support;

use proptest::prelude::*;
use std::collections::BTreeMap;
use support::evaluate::evaluate;
use support::{Delivered, OwnedEvent, World, event, expected, make_defaults_right, plain_route_map, route_map, truths};
use veltrix_proto::v1::{
    self, Condition, Destination, EventTypes, Exclusive, GrpcCall, HttpCall, KafkaTopic, Lookup, LookupKey, Origin,
    Route, RouteMap, Source, Tenant, condition, lookup, lookup_key,
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
    reverse(&mut map.routes);
    map.tenants.iter_mut().for_each(|tenant| reverse(&mut tenant.routes));
    map.tenants.reverse();
    map.destinations.reverse();
    map.sources.reverse();
    map
}

/// Reverses the order, but for that of routes in exclusive groups to each other: of equal priorities, the first one is asked first.
fn reverse(routes: &mut [Route]) {
    routes.reverse();
    let in_groups = |routes: &[Route]| -> Vec<usize> {
        let places = routes.iter().enumerate().filter(|(_, route)| route.exclusive.is_some());
        places.map(|(place, _)| place).collect()
    };
    let places = in_groups(routes);
    for (one, other) in places.iter().zip(places.iter().rev()).take(places.len() / 2) {
        routes.swap(*one, *other);
    }
}

/// Destinations with their routes, and whether there is a dead letter.
fn fate(map: &RouteMap, event: &OwnedEvent) -> (BTreeMap<String, Delivered>, bool) {
    expected(map, event, &World(Vec::new())).fate()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_canonical_condition_says_what_the_condition_says(
        map in plain_route_map(),
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
        old in plain_route_map(),
        other in plain_route_map(),
        swaps in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 0..3),
        events in prop::collection::vec(event(), 1..20),
    ) {
        // A map that differs from the other one in a few places.
        let mut new = old.clone();
        for (place, what) in swaps {
            let count = routes_mut(&mut new).count();
            let route = routes_mut(&mut new).nth(place.index(count)).unwrap();
            let from = &other.routes[place.index(other.routes.len())];
            match what % 9 {
                0 => route.when = from.when.clone(),
                1 => route.types = from.types.clone(),
                2 => route.to = from.to.clone(),
                3 => route.on_absent = from.on_absent,
                4 => route.disabled = !route.disabled,
                5 => route.exclusive = from.exclusive.clone(),
                6 => new.unmatched = other.unmatched.clone(),
                // Where there are no tenants there are no topics for them.
                7 if new.tenants.is_empty() => {}
                7 => new.destinations.clone_from(&other.destinations),
                _ => new.tenants.iter_mut().take(1).for_each(|tenant| tenant.unmatched = other.unmatched.clone()),
            }
        }
        make_defaults_right(&mut new.routes);
        new.tenants.iter_mut().for_each(|tenant| make_defaults_right(&mut tenant.routes));
        let changes = diff(&old, &new);
        let (before, after) = (compile(&old).unwrap(), compile(&new).unwrap());
        for event in &events {
            let told = diff_event(&before, &after, event);
            let ((was, was_dead), (is, is_dead)) = (fate(&old, event), fate(&new, event));
            prop_assert!(told.is_empty() || !changes.is_empty(), "{} but no change", told);
            prop_assert_eq!(told.is_empty(), (&was, was_dead) == (&is, is_dead));
            prop_assert_eq!(told.dead_letter, (Some(was_dead), Some(is_dead)));
            prop_assert!(!told.depends_on_lookups());
            let only = |these: &BTreeMap<String, Delivered>, those: &BTreeMap<String, Delivered>| {
                let only = these.iter().filter(|(to, _)| !those.contains_key(*to));
                only.map(|(to, sent)| (to.clone(), sent.route.clone())).collect::<Vec<_>>()
            };
            prop_assert_eq!(told.gained, only(&is, &was));
            prop_assert_eq!(told.lost, only(&was, &is));
            let both = || was.iter().filter_map(|(to, was)| Some((to.clone(), was.clone(), is.get(to)?.clone())));
            let moved = both().filter(|(_, was, is)| was.route != is.route);
            prop_assert_eq!(told.moved, moved.map(|(to, was, is)| (to, was.route, is.route)).collect::<Vec<_>>());
            let readdressed = both().filter(|(_, was, is)| was.topic != is.topic);
            let readdressed = readdressed.map(|(to, was, is)| (to, was.topic, is.topic));
            prop_assert_eq!(told.readdressed, readdressed.collect::<Vec<_>>());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn an_order_of_routes_that_changes_where_events_go_is_a_change(
        old in plain_route_map(),
        places in prop::collection::vec(any::<prop::sample::Index>(), 8),
        events in prop::collection::vec(event(), 1..30),
    ) {
        let mut new = old.clone();
        for (place, other) in places.iter().enumerate() {
            let count = new.routes.len();
            new.routes.swap(place % count, other.index(count));
            new.tenants.iter_mut().filter(|tenant| tenant.routes.len() > 1).for_each(|tenant| tenant.routes.rotate_left(1));
        }
        let changes = diff(&old, &new);
        let only_groups = changes.iter().all(|change| matches!(change.subject, Subject::Group { .. }));
        prop_assert!(only_groups, "{:?}", changes);
        for event in &events {
            let ((was, was_dead), (is, is_dead)) = (fate(&old, event), fate(&new, event));
            let goes_alike = was.keys().eq(is.keys()) && was_dead == is_dead;
            prop_assert!(goes_alike || !changes.is_empty(), "{:?} {:?}", was, is);
        }
    }
}

fn destination(id: &str, topic: &str) -> Destination {
    let kind = Some(v1::destination::Kind::Kafka(KafkaTopic { topic: topic.to_owned(), ..Default::default() }));
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
            map.sources.push(Source { topic: "t".to_owned(), event_type: Some(origin), ..Source::default() });
            map.tenants[1].labels.insert("shard".to_owned(), "7".to_owned());
            map.destinations[1] = destination("spare", "hunt-other");
        }),
        "~ the map\n    - name: hunt\n    + name: duel\n    - unmatched: drop\n    + unmatched: dead letter\n+ source t\n~ destination spare\n    - topic: hunt-spare\n    + topic: hunt-other\n~ tenant idle\n    + labels: shard=7"
    );
}

#[test]
fn another_way_to_read_payloads_is_said() {
    let mut old = map();
    let source =
        |kind| Source { topic: "t".to_owned(), payload: Some(v1::Payload { kind: Some(kind) }), ..Source::default() };
    let protobuf = |message: &str, framing: v1::Framing| {
        let message = message.to_owned();
        v1::payload::Kind::Protobuf(v1::ProtobufMessage { message, framing: framing.into(), validation: 2 })
    };
    old.sources = vec![source(v1::payload::Kind::Json(v1::Json { validation: 1 }))];
    let mut said = |change: &dyn Fn(&mut RouteMap)| {
        let mut new = old.clone();
        change(&mut new);
        let said = diff(&old, &new).iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        old = new;
        said
    };
    // To say nothing of payloads says the same.
    assert_eq!(said(&|map| map.sources[0].payload = None), "");
    assert_eq!(
        said(&|map| {
            map.sources[0] = source(protobuf("my.Clue", v1::Framing::LengthDelimited));
            map.descriptors = b"a".to_vec().into();
        }),
        "~ the map\n    + descriptors: 1 bytes, xxh64 d24ec4f1a98c6e5b\n~ source t\n    - payload: JSON\n    + payload: protobuf my.Clue, its length before it, validated in full"
    );
    assert_eq!(
        said(&|map| {
            map.sources[0] = source(v1::payload::Kind::CloudEvents(v1::CloudEvents { mode: 1, validation: 0 }));
        }),
        "~ source t\n    - payload: protobuf my.Clue, its length before it, validated in full\n    + payload: CloudEvents, structured"
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

/// A place in the group `flow`.
fn at(priority: u32) -> Option<Exclusive> {
    Some(Exclusive { group: "flow".to_owned(), priority, ..Exclusive::default() })
}

#[test]
fn switches_and_places_in_groups_and_policies_of_tenants_are_said() {
    assert_eq!(said(|map| map.routes[0].disabled = true), "~ route one\n    - disabled: no\n    + disabled: yes");
    assert_eq!(said(|map| map.routes[0].exclusive = at(7)), "~ route one\n    + exclusive: group flow, priority 7");
    let mut in_group = map();
    in_group.routes.iter_mut().for_each(|route| route.exclusive = at(7));
    let said_of_group = |change: fn(&mut Exclusive)| {
        let mut new = in_group.clone();
        change(new.routes[0].exclusive.as_mut().unwrap());
        diff(&in_group, &new).iter().map(Change::to_string).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(
        said_of_group(|own| own.priority = 8),
        "~ route one\n    - exclusive: priority 7\n    + exclusive: priority 8"
    );
    assert_eq!(said_of_group(|own| own.continues = true), "~ route one\n    + exclusive: continues");
    assert_eq!(
        said_of_group(|own| (own.priority, own.default) = (0, true)),
        "~ route one\n    - exclusive: priority 7\n    + exclusive: default"
    );
    let policy = |policy| Some(v1::Unmatched { policy: Some(policy) });
    assert_eq!(
        said(|map| map.tenants[0].unmatched = policy(v1::unmatched::Policy::Drop(v1::Drop {}))),
        "~ tenant live\n    - unmatched: as the map says\n    + unmatched: drop"
    );
    // Its destination under another name is the same one.
    let to = |id: &str| policy(v1::unmatched::Policy::Destination(id.to_owned()));
    let mut old = map();
    old.tenants[0].unmatched = to("spare");
    let mut new = old.clone();
    (new.destinations[1].id, new.tenants[0].unmatched) = ("other".to_owned(), to("other"));
    let changes = diff(&old, &new);
    assert_eq!(
        changes.iter().map(Change::to_string).collect::<Vec<_>>(),
        ["~ destination other, which was called spare"]
    );
}

#[test]
fn of_routes_with_one_priority_in_one_group_the_order_is_compared() {
    let with = |order: &[(&str, u32)]| {
        let route = |(id, priority): &(&str, u32)| Route {
            exclusive: at(*priority),
            ..route(id, &format!("has(payload.{id})"))
        };
        RouteMap { routes: order.iter().map(route).collect(), ..map() }
    };
    let said = |old: &[(&str, u32)], new: &[(&str, u32)]| {
        diff(&with(old), &with(new)).iter().map(Change::to_string).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(
        said(&[("a", 1), ("b", 1), ("c", 2)], &[("c", 2), ("b", 1), ("a", 1)]),
        "~ exclusive group flow\n    - order: a, b\n    + order: b, a"
    );
    assert_eq!(said(&[("a", 1), ("b", 2)], &[("b", 2), ("a", 1)]), "");
    assert_eq!(said(&[("a", 1), ("b", 1)], &[("c", 1), ("a", 1), ("b", 1)]), "+ route c");
    let mut renamed = with(&[("b", 1), ("a", 1)]);
    renamed.routes[1].id = "first".to_owned();
    let changes = diff(&with(&[("a", 1), ("b", 1)]), &renamed);
    assert_eq!(
        changes.iter().map(Change::to_string).collect::<Vec<_>>(),
        ["~ exclusive group flow\n    - order: first, b\n    + order: b, first", "~ route first, which was called a"]
    );
}

#[test]
fn where_a_lookup_gets_its_answers_from_is_told_whatever_it_is() {
    let http = HttpCall { url: "http://players/{key}".to_owned(), timeout_ms: 50 };
    let grpc = GrpcCall { endpoint: "http://players:9000".to_owned(), timeout_ms: 50 };
    let with = |source: lookup::Source| {
        let key = LookupKey { attribute: Some(lookup_key::Attribute::Header("player".to_owned())) };
        let lookup = Lookup { id: "player".to_owned(), key: Some(key), source: Some(source), cache: None };
        RouteMap { lookups: vec![lookup], ..map() }
    };
    let changes = diff(&with(lookup::Source::Http(http)), &with(lookup::Source::Grpc(grpc)));
    let told: Vec<String> = changes.iter().map(ToString::to_string).collect();
    let [told] = &told[..] else { panic!("{told:?}") };
    for part in ["lookup player", "http://players/{key} within 50 ms", "gRPC http://players:9000 within 50 ms"] {
        assert!(told.contains(part), "{told}");
    }
}
