//! What an analysis finds is so: what it says can be removed changes nothing.

mod support;
#[path = "support/text_format.rs"]
mod text_format;

use proptest::prelude::*;
use std::collections::BTreeSet;
use support::{Expected, OwnedEvent, Truth, World, event, expected, make_defaults_right, plain_route_map, truths};
use veltrix_proto::v1::{
    self, Condition, Conditions, Destination, EventTypes, Exclusive, Field, KafkaTopic, Predicate, Route, RouteMap,
    Source, Tenant, condition, predicate,
};
use veltrix_route_table::{Aggregation, Analysis, FindingKind, Merge, WhyMerged, analyze, compile};

fn all_routes(map: &RouteMap) -> impl Iterator<Item = &Route> {
    map.routes.iter().chain(map.tenants.iter().flat_map(|tenant| &tenant.routes))
}

fn without(map: &RouteMap, ids: &BTreeSet<String>) -> RouteMap {
    let mut map = map.clone();
    map.routes.retain(|route| !ids.contains(&route.id));
    map.tenants.iter_mut().for_each(|tenant| tenant.routes.retain(|route| !ids.contains(&route.id)));
    map
}

/// Where an event goes, whichever route is named, whether it becomes a dead letter, and whether a route wanted it.
fn fate(map: &RouteMap, event: &OwnedEvent) -> (BTreeSet<(String, String)>, bool, bool) {
    let expected = expected(map, event, &World(Vec::new()));
    let is_routed = matches!(expected, Expected::Routed { .. });
    let (deliveries, is_dead) = expected.fate();
    (deliveries.into_iter().map(|(id, delivered)| (id, delivered.topic)).collect(), is_dead, is_routed)
}

/// The predicates of a condition that are about no elements.
fn predicates(condition: &Condition) -> Vec<Predicate> {
    match condition.kind.as_ref().unwrap() {
        condition::Kind::Predicate(predicate) => vec![predicate.clone()],
        condition::Kind::All(parts) | condition::Kind::Any(parts) => {
            parts.conditions.iter().flat_map(predicates).collect()
        }
        condition::Kind::Not(inner) => predicates(inner),
        _ => vec![],
    }
}

/// A map with few attributes and values, whose routes have one or two tests each: many of them follow from each other or exclude each
/// other, but for what they say of values that are missing or of another type.
fn of_few_tests() -> impl Strategy<Value = RouteMap> {
    let tests = prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..3u8), 2..12);
    (prop::collection::vec(plain_route_map(), 3), tests, any::<bool>()).prop_map(|(maps, tests, through_arrays)| {
        let known: Vec<Predicate> = maps
            .iter()
            .flat_map(all_routes)
            .filter_map(|route| route.when.as_ref())
            .flat_map(predicates)
            .map(|predicate| Predicate {
                attribute: Some(predicate::Attribute::Field(Field {
                    names: vec!["a".to_owned()],
                    through_arrays,
                    dotted: false,
                })),
                ..predicate
            })
            .collect();
        let mut map = maps.into_iter().next().unwrap();
        if known.is_empty() {
            return map;
        }
        let leaf = |predicate: &Predicate| Condition { kind: Some(condition::Kind::Predicate(predicate.clone())) };
        let routes = tests.into_iter().enumerate().map(|(number, (one, two, how))| {
            let (one, two) = (leaf(one.get(&known)), leaf(two.get(&known)));
            let two = match how {
                2 => Condition { kind: Some(condition::Kind::Not(Box::new(two))) },
                _ => two,
            };
            let both = condition::Kind::All(Conditions { conditions: vec![one.clone(), two] });
            Route {
                id: format!("test-{number}"),
                types: Some(EventTypes { any: true, ..EventTypes::default() }),
                when: Some(if how == 0 { one } else { Condition { kind: Some(both) } }),
                to: vec!["d0".to_owned()],
                ..Route::default()
            }
        });
        map.routes = routes.collect();
        map.tenants.iter_mut().for_each(|tenant| tenant.routes.clear());
        map
    })
}

/// A map with routes that are near copies of each other, so that some of them add nothing.
fn with_copies() -> impl Strategy<Value = RouteMap> {
    let copies = prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..8u8), 1..6);
    (plain_route_map(), copies).prop_map(|(mut map, copies)| {
        for (number, (of, other, how)) in copies.into_iter().enumerate() {
            let routes: Vec<Route> = all_routes(&map).cloned().collect();
            let (mut copy, other) = (of.get(&routes).clone(), other.get(&routes));
            copy.id = format!("copy-{number}");
            let join = |a: &Condition, b: &Condition, kind: fn(Conditions) -> condition::Kind| {
                let conditions = vec![a.clone(), b.clone()];
                Condition { kind: Some(kind(Conditions { conditions })) }
            };
            match (how, copy.when.clone(), other.when.clone()) {
                (0, Some(a), Some(b)) => copy.when = Some(join(&a, &b, condition::Kind::All)),
                (1, Some(a), Some(b)) => copy.when = Some(join(&a, &b, condition::Kind::Any)),
                (2, Some(a), _) => {
                    let not = Condition { kind: Some(condition::Kind::Not(Box::new(a.clone()))) };
                    copy.when = Some(join(&a, &not, condition::Kind::All));
                }
                (3, ..) => copy.when = None,
                (4, ..) => copy.types = other.types.clone(),
                (5, ..) => copy.to.truncate(1),
                (6, ..) => copy.on_absent = other.on_absent,
                _ => {}
            }
            match map.tenants.first_mut() {
                Some(tenant) if number % 3 == 0 => tenant.routes.push(copy),
                _ => map.routes.insert(number % (map.routes.len() + 1), copy),
            }
        }
        make_defaults_right(&mut map.routes);
        map.tenants.iter_mut().for_each(|tenant| make_defaults_right(&mut tenant.routes));
        map
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn routes_that_are_said_to_add_nothing_add_nothing(
        map in with_copies(),
        events in prop::collection::vec(event(), 1..30),
    ) {
        hold(&map, &events);
    }

    #[test]
    fn so_do_those_whose_tests_follow_from_each_other_or_exclude_each_other(
        map in of_few_tests(),
        events in prop::collection::vec(event(), 1..60),
    ) {
        hold(&map, &events);
    }
}

/// Checks all that is said of a map.
fn hold(map: &RouteMap, events: &[OwnedEvent]) {
    let analysis = analyze(map).unwrap();
    let is_needless = |kind: &FindingKind| !matches!(kind, FindingKind::UnusedDestination | FindingKind::Loop { .. });
    let needless = analysis.findings.iter().filter(|finding| is_needless(&finding.kind));
    let needless: BTreeSet<String> = needless.map(|finding| finding.id.clone()).collect();
    let fewer = without(map, &needless);
    let unreachable = analysis.findings.iter().filter(|finding| finding.kind == FindingKind::Unreachable);
    let unreachable: BTreeSet<&str> = unreachable.map(|finding| finding.id.as_str()).collect();
    for event in events {
        assert_eq!(fate(&fewer, event), fate(map, event), "without {needless:?}: {event:?}");
        for (route, truth) in truths(map, event).into_iter().flat_map(|(_, truths)| truths) {
            assert!(!unreachable.contains(route.id.as_str()) || truth != Some(Truth::True), "{route:?} of {event:?}");
            // What a route that adds nothing wants, the one that is named wants, too.
            let named = analysis.findings.iter().find(|finding| finding.id == route.id).map(|finding| &finding.kind);
            assert!(named.is_none() || !route.disabled, "{route:?}");
            let Some(FindingKind::Duplicate { of: by } | FindingKind::Shadowed { by } | FindingKind::Excluded { by }) =
                named
            else {
                continue;
            };
            if truth == Some(Truth::True) {
                let (_, truths) = truths(map, event).unwrap();
                let of_other = truths.iter().find(|(other, _)| other.id == *by).map(|(_, truth)| *truth);
                assert_eq!(of_other, Some(Some(Truth::True)), "{} for {} of {event:?}\n{map:?}", by, route.id);
            }
        }
    }
    assert_eq!(analysis.costs.len(), all_routes(map).count());
    let aggregation = analysis.aggregation();
    assert_eq!(aggregation, compile(map).unwrap().aggregation());
    assert_eq!(aggregation.routes, all_routes(map).filter(|route| !route.disabled).count());
    let said = |route: &Route| Route { id: String::new(), ..route.clone() };
    let different: Vec<Vec<Route>> = map.tenants.iter().map(|own| own.routes.iter().map(said).collect()).collect();
    let mut once: Vec<&Vec<Route>> = Vec::new();
    different.iter().for_each(|routes| {
        if !once.contains(&routes) {
            once.push(routes)
        }
    });
    let is_merged = |route: &Route| analysis.merged.iter().any(|merge| merge.id == route.id);
    // Those of each tenant that are merged are as many as those of the tenant that has the same routes.
    let on = |routes: &[Route]| routes.iter().filter(|route| !route.disabled).count();
    let merged = |routes: &[Route]| routes.iter().filter(|route| is_merged(route)).count();
    let merged_once =
        analysis.sharing.iter().filter(|row| row.alike.is_none()).map(|row| row.merged_routes).sum::<usize>();
    let compiled = on(&map.routes) + once.into_iter().map(|routes| on(routes)).sum::<usize>();
    assert_eq!(aggregation.compiled, compiled - merged_once);
    for (own, row) in map.tenants.iter().zip(&analysis.sharing[1..]) {
        assert_eq!(row.merged_routes, merged(&own.routes));
    }
    hold_merged(map, &analysis, events);
}

/// Checks that whatever a merged route delivers is delivered by the one that it is merged into, which is before it and stays.
fn hold_merged(map: &RouteMap, analysis: &Analysis, events: &[OwnedEvent]) {
    let ids: Vec<&String> = all_routes(map).map(|route| &route.id).collect();
    let place = |id: &String| ids.iter().position(|own| *own == id).unwrap();
    for Merge { id, into, .. } in &analysis.merged {
        assert!(place(into) < place(id) && analysis.merged.iter().all(|other| other.id != *into), "{id} into {into}");
        let (own, other) = (all_routes(map).nth(place(id)).unwrap(), all_routes(map).nth(place(into)).unwrap());
        assert!(own.to.iter().all(|to| other.to.contains(to)), "{id} into {into}");
        assert!([own, other].iter().all(|route| !route.disabled && route.exclusive.is_none()), "{id} into {into}");
        for (_, truths) in events.iter().filter_map(|event| truths(map, event)) {
            let truth = |id: &String| truths.iter().find(|(route, _)| route.id == *id).and_then(|(_, truth)| *truth);
            assert!(truth(id) != Some(Truth::True) || truth(into) == Some(Truth::True), "{id} into {into}");
        }
    }
    let merged: BTreeSet<String> = analysis.merged.iter().map(|merge| merge.id.clone()).collect();
    let fewer = without(map, &merged);
    for event in events {
        let none = World(Vec::new());
        assert_eq!(expected(&fewer, event, &none), expected(map, event, &none), "without {merged:?}: {event:?}");
    }
}

fn destination(id: &str, topic: &str) -> Destination {
    let kind = Some(v1::destination::Kind::Kafka(KafkaTopic { topic: topic.to_owned(), ..Default::default() }));
    Destination { id: id.to_owned(), kind }
}

fn route(id: &str, when: &str) -> Route {
    let when = Condition { kind: Some(condition::Kind::Cel(when.to_owned())) };
    Route {
        id: id.to_owned(),
        types: Some(EventTypes { exact: vec!["a".to_owned()], ..EventTypes::default() }),
        when: (!matches!(&when.kind, Some(condition::Kind::Cel(text)) if text.is_empty())).then_some(when),
        to: vec!["board".to_owned()],
        ..Route::default()
    }
}

fn map(routes: Vec<Route>) -> RouteMap {
    RouteMap {
        name: "hunt".to_owned(),
        destinations: vec![destination("board", "hunt-board")],
        routes,
        ..RouteMap::default()
    }
}

fn found(map: &RouteMap) -> Vec<String> {
    let findings = analyze(map).unwrap().findings;
    findings.iter().map(|finding| format!("{} {}: {:?}", finding.path, finding.id, finding.kind)).collect()
}

/// What is said of two routes with these conditions.
fn of_two(one: &str, two: &str) -> Vec<String> {
    found(&map(vec![route("one", one), route("two", two)]))
}

#[test]
fn routes_that_add_nothing_are_found_with_the_route_that_makes_them_needless() {
    let duplicate = r#"routes[1] two: Duplicate { of: "one" }"#;
    let two_by_one = r#"routes[1] two: Shadowed { by: "one" }"#;
    let one_by_two = r#"routes[0] one: Shadowed { by: "two" }"#;
    for (one, two, expected) in [
        ("payload.a in [1, 2]", "payload.a in [2.0, 1]", Some(duplicate)),
        ("", "payload.a == 1", Some(two_by_one)),
        ("payload.a == 1 && payload.b == 2", "payload.b == 2", Some(one_by_two)),
        ("payload.a == 1", "payload.a in [1, 2]", Some(one_by_two)),
        ("payload.a > 5 && payload.a < 8", "payload.a >= 5", Some(one_by_two)),
        ("payload.a > 5", "payload.a >= 6", Some(two_by_one)),
        ("payload.a.startsWith('ab')", "payload.a.startsWith('abc')", Some(two_by_one)),
        ("payload.a.contains('b')", "payload.a.endsWith('abc')", Some(two_by_one)),
        ("has(payload.a)", "payload.a == 1", Some(two_by_one)),
        ("payload.a == 1 || payload.b == 1", "payload.b == 1", Some(two_by_one)),
        ("payload.a.exists(x, x.b > 1)", "payload.a.exists(x, x.b > 2 && x.c == 1)", Some(two_by_one)),
        // Neither makes the other needless.
        ("payload.a == 1", "payload.a == 2", None),
        ("payload.a > 5", "payload.a < 8", None),
        ("payload.a >= 5 && payload.b == 1", "payload.a > 5", None),
        ("payload.a == '1'", "payload.a == 1", None),
        ("payload.a != 1", "payload.a != 2", None),
        ("payload.a > 1", "payload.a > 'a'", None),
        (
            "payload.a.exists(x, x.b > 1) && payload.a.exists(x, x.c > 1)",
            "payload.a.exists(x, x.b > 1 && x.d > 1)",
            None,
        ),
    ] {
        assert_eq!(of_two(one, two), Vec::from_iter(expected), "{one} and {two}");
    }
}

#[test]
fn types_and_destinations_and_dead_letters_count() {
    let with = |change: fn(&mut Route)| {
        let mut two = route("two", "payload.a == 1");
        change(&mut two);
        let mut map = map(vec![route("one", "payload.a == 1"), two]);
        map.destinations.push(destination("spare", "hunt-spare"));
        map.unmatched = Some(v1::Unmatched { policy: Some(v1::unmatched::Policy::Destination("spare".to_owned())) });
        found(&map)
    };
    assert_eq!(with(|two| two.to.push("spare".to_owned())), [r#"routes[0] one: Shadowed { by: "two" }"#]);
    let prefix =
        |two: &mut Route| two.types = Some(EventTypes { prefixes: vec!["a".to_owned()], ..EventTypes::default() });
    assert_eq!(with(prefix), [r#"routes[0] one: Shadowed { by: "two" }"#]);
    let other = |two: &mut Route| two.types = Some(EventTypes { exact: vec!["b".to_owned()], ..EventTypes::default() });
    assert_eq!(with(other), [""; 0]);
    // It makes dead letters that the other one does not.
    assert_eq!(with(|two| two.on_absent = 2), [r#"routes[0] one: Shadowed { by: "two" }"#]);
    let mut of_tenant = map(vec![route("one", "payload.a == 1")]);
    of_tenant.tenants.push(Tenant {
        id: "live".to_owned(),
        routes: vec![route("own", "payload.a == 1")],
        ..Tenant::default()
    });
    assert_eq!(found(&of_tenant), [r#"tenants[0].routes[0] own: Duplicate { of: "one" }"#]);
    // What one tenant has is not there for all.
    of_tenant.tenants[0].routes[0].when = None;
    assert_eq!(found(&of_tenant), [""; 0]);
}

#[test]
fn a_condition_that_can_never_be_true_is_found_and_arrays_are_thought_of() {
    for (when, is_found) in [
        ("payload.a == 1 && payload.a == 2", true),
        ("payload.a == 1 && payload.a in [2, 3]", true),
        ("payload.a > 5 && payload.b == 1 && payload.a <= 5", true),
        ("payload.a > 5 && payload.a == 'x'", true),
        ("payload.a.startsWith('ab') && payload.a.startsWith('b')", true),
        ("payload.a == 1 && !has(payload.a)", true),
        ("payload.a == 1 && !(payload.a in [1, 2])", true),
        ("payload.a.exists(x, x.b == 1 && x.b == 2)", true),
        ("(payload.a == 1 && payload.a == 2) || (payload.a == 3 && payload.a > 4)", true),
        ("payload.a > 5 && payload.a < 6", false),
        ("payload.a >= 5 && payload.a <= 5", false),
        ("payload.a == 1 && payload.b == 2", false),
        ("payload.a.exists(x, x == 1) && payload.a.exists(x, x == 2)", false),
        ("payload.a.startsWith('ab') && payload.a.startsWith('a')", false),
    ] {
        let expected = if is_found { vec!["routes[0] one: Unreachable"] } else { vec![] };
        assert_eq!(found(&map(vec![route("one", when)])), expected, "{when}");
    }
    // What is not in the payload is text, and the time a number.
    let tree = |text: &str| Some(text_format::condition(text));
    for (when, is_found) in [
        ("predicate { part: RECORD_PART_KEY equals { number: '5' } }", true),
        ("predicate { header: 'h' in { values { number: '5' } values { boolean: true } } }", true),
        ("predicate { part: RECORD_PART_TIMESTAMP prefix: '2026' }", true),
        ("predicate { part: RECORD_PART_KEY in { values { number: '5' } values { text: '5' } } }", false),
        ("predicate { part: RECORD_PART_KEY equals { number: '5' } text_as_number: true }", false),
        ("predicate { part: RECORD_PART_KEY equals { number: '5' } on_other_type: ON_OTHER_TYPE_TRUE }", false),
        ("predicate { part: RECORD_PART_KEY equals { number: '5' } on_missing: ON_MISSING_TRUE }", false),
        ("predicate { header: 'h' equals { null {} } }", false),
        ("predicate { field { names: 'a' } equals { number: '5' } }", false),
    ] {
        let expected = if is_found { vec!["routes[0] one: Unreachable"] } else { vec![] };
        let route = Route { when: tree(when), ..route("one", "") };
        assert_eq!(found(&map(vec![route])), expected, "{when}");
    }
    // Two elements of an array can be two values.
    let pattern = |text: &str| Condition { kind: Some(condition::Kind::EventPattern(text.to_owned())) };
    let both = vec![pattern(r#"{"a": [1]}"#), pattern(r#"{"a": [2]}"#)];
    let both = Condition { kind: Some(condition::Kind::All(Conditions { conditions: both })) };
    assert_eq!(found(&map(vec![Route { when: Some(both), ..route("one", "") }])), [""; 0]);
}

#[test]
fn destinations_that_nobody_goes_to_and_topics_that_feed_themselves_are_found() {
    let mut looped = map(vec![route("one", "")]);
    looped.destinations.push(destination("spare", "hunt-spare"));
    looped.sources.push(Source { topic: "hunt-board".to_owned(), ..Source::default() });
    looped.sources.push(Source { topic: "hunt-spare".to_owned(), ..Source::default() });
    assert_eq!(
        found(&looped),
        [r#"destinations[0] board: Loop { topic: "hunt-board" }"#, "destinations[1] spare: UnusedDestination"]
    );
}

#[test]
fn costs_tell_what_a_route_adds_and_what_it_shares() {
    let map = map(vec![
        route("one", "payload.a == 1 && payload.b == 2"),
        route("two", "payload.a == 1 && payload.c.exists(x, x.d == 1)"),
        route("three", "payload.a == 7 || payload.b == 8"),
    ]);
    let analysis = analyze(&map).unwrap();
    let told = |place: usize| {
        let cost = &analysis.costs[place];
        (cost.own_tests, cost.shared_tests, cost.fields, cost.any_elements, cost.tree_nodes > 0)
    };
    assert_eq!(told(0), (1, 1, 2, 0, false));
    assert_eq!(told(1), (1, 1, 2, 1, true));
    assert_eq!(told(2), (2, 0, 2, 0, true));
    let sharing = &analysis.sharing[0];
    assert_eq!((sharing.routes, sharing.needed_routes, sharing.tests, sharing.different_tests), (3, 3, 6, 5));
    assert!(analysis.is_complete && compile(&map).is_ok());
}

/// The same route in the group `flow`.
fn in_flow(route: Route, priority: u32) -> Route {
    let exclusive = Exclusive { group: "flow".to_owned(), priority, ..Exclusive::default() };
    Route { exclusive: Some(exclusive), ..route }
}

fn change(mut route: Route, change: impl FnOnce(&mut Route)) -> Route {
    change(&mut route);
    route
}

#[test]
fn a_disabled_route_covers_nothing_costs_nothing_and_is_not_needless() {
    let off = |route: Route| Route { disabled: true, ..route };
    let two = || route("two", "payload.a == 1 && payload.b == 1");
    assert_eq!(found(&map(vec![off(route("one", "")), two()])), [""; 0]);
    assert_eq!(found(&map(vec![route("one", ""), off(two())])), [""; 0]);
    assert_eq!(found(&map(vec![off(route("never", "payload.a == 1 && payload.a == 2"))])), [""; 0]);
    let analysis = analyze(&map(vec![off(two())])).unwrap();
    assert_eq!((analysis.costs[0].steps(), analysis.costs[0].types, analysis.sharing[0].tests), (0, 0, 0));
    // Its destination is not forgotten, and nothing comes back from there.
    let source = Source { topic: "hunt-board".to_owned(), ..Source::default() };
    let looped = |route| RouteMap { sources: vec![source.clone()], ..map(vec![route]) };
    assert_eq!(found(&looped(off(two()))), [""; 0]);
    assert_eq!(found(&looped(two())), [r#"destinations[0] board: Loop { topic: "hunt-board" }"#]);
}

#[test]
fn a_destination_that_only_a_tenants_policy_names_is_used() {
    let mut map = map(vec![route("one", "")]);
    map.destinations.push(destination("spare", "hunt-spare"));
    let policy = Some(v1::unmatched::Policy::Destination("spare".to_owned()));
    map.tenants.push(Tenant { id: "live".to_owned(), unmatched: Some(v1::Unmatched { policy }), ..Tenant::default() });
    assert_eq!(found(&map), [""; 0]);
}

#[test]
fn of_an_exclusive_group_only_those_are_needless_that_others_of_it_always_come_before() {
    let one = || in_flow(route("one", "payload.a in [1, 2]"), 1);
    let two = || in_flow(route("two", "payload.a == 1"), 2);
    let default = |route| change(in_flow(route, 0), |route| route.exclusive.as_mut().unwrap().default = true);
    let excluded = vec![r#"routes[1] two: Excluded { by: "one" }"#.to_owned()];
    let none: Vec<String> = Vec::new();
    let continues = |route| change(route, |route: &mut Route| route.exclusive.as_mut().unwrap().continues = true);
    let elsewhere = |route| change(route, |route: &mut Route| route.exclusive.as_mut().unwrap().group = "b".to_owned());
    for (what, routes, expected) in [
        ("one before two", vec![one(), two()], &excluded),
        ("the same priority", vec![one(), in_flow(two(), 1)], &excluded),
        ("two before one", vec![one(), in_flow(two(), 0)], &none),
        ("one continues", vec![continues(one()), two()], &none),
        ("two continues", vec![one(), continues(two())], &excluded),
        ("two is the default", vec![one(), default(two())], &excluded),
        ("two is the default and one continues", vec![continues(one()), default(two())], &excluded),
        ("one is the default", vec![default(one()), two()], &none),
        ("another group", vec![one(), elsewhere(two())], &none),
        ("no group", vec![one(), route("two", "payload.a == 1")], &none),
        ("no group before", vec![route("one", ""), two()], &none),
        ("two asks for dead letters", vec![one(), change(two(), |route| route.on_absent = 2)], &none),
        ("one is disabled", vec![change(one(), |route| route.disabled = true), two()], &none),
    ] {
        assert_eq!(found(&map(routes)), *expected, "{what}");
    }
    let never = in_flow(route("two", "payload.a == 1 && payload.a == 2"), 0);
    assert_eq!(found(&map(vec![one(), never])), ["routes[1] two: Unreachable"]);
}

#[test]
fn shares_of_one_whole_follow_from_each_other_and_exclude_each_other() {
    let share = |salt: &str, from: u32, to: u32| format!("share(payload.a, '{salt}', {from}, {to})");
    let two_by_one = vec![r#"routes[1] two: Shadowed { by: "one" }"#.to_owned()];
    assert_eq!(of_two(&share("a", 0, 2000), &share("a", 0, 1000)), two_by_one);
    assert_eq!(of_two(&share("a", 0, 2000), &share("b", 0, 1000)), [""; 0]);
    assert_eq!(of_two(&share("a", 0, 2000), &share("a", 1000, 2001)), [""; 0]);
    let both = |one: String, two: String| found(&map(vec![route("one", &format!("{one} && {two}"))]));
    assert_eq!(both(share("a", 0, 5000), share("a", 5000, 10000)), ["routes[0] one: Unreachable"]);
    assert_eq!(both(share("a", 5000, 10000), share("a", 0, 5000)), ["routes[0] one: Unreachable"]);
    assert_eq!(both(share("a", 0, 5001), share("a", 5000, 10000)), [""; 0]);
    assert_eq!(both(share("a", 5000, 10000), share("a", 0, 5001)), [""; 0]);
    assert_eq!(both(share("a", 0, 5000), share("b", 5000, 10000)), [""; 0]);
    // As in the comment of `Share` in route_map.proto: its place is 759.
    let player = || "payload.a == 'player-7'".to_owned();
    assert_eq!(both(player(), share("new-flow", 760, 10000)), ["routes[0] one: Unreachable"]);
    assert_eq!(of_two(&share("new-flow", 759, 760), &player()), two_by_one);
}

#[test]
fn tenants_that_share_what_is_compiled_are_told_apart() {
    let tenant = |id: &str| Tenant {
        id: id.to_owned(),
        routes: ["first", "second"]
            .map(|name| route(&format!("{name}-{id}"), "payload.a == 1 || payload.b == 1"))
            .into(),
        ..Tenant::default()
    };
    let mut map = map(vec![route("all", "payload.c == 1")]);
    map.tenants = vec![tenant("one"), tenant("two"), Tenant { id: "none".to_owned(), ..Tenant::default() }];
    assert_eq!(
        found(&map),
        [
            r#"tenants[0].routes[1] second-one: Duplicate { of: "first-one" }"#,
            r#"tenants[1].routes[1] second-two: Duplicate { of: "first-two" }"#
        ]
    );
    let analysis = analyze(&map).unwrap();
    let told =
        analysis.sharing.iter().map(|row| (row.alike.as_deref(), row.routes, row.compiled_routes, row.needed_routes));
    assert_eq!(told.collect::<Vec<_>>(), [(None, 1, 1, 1), (None, 2, 1, 1), (Some("one"), 2, 0, 1), (None, 0, 0, 0)]);
    assert_eq!(analysis.aggregation(), Aggregation { routes: 5, compiled: 2 });
    let merge = |tenant: usize, name: &str| Merge {
        path: format!("tenants[{tenant}].routes[1]"),
        id: format!("second-{name}"),
        into: format!("first-{name}"),
        why: WhyMerged::SameCondition,
    };
    assert_eq!(analysis.merged, [merge(0, "one"), merge(1, "two")]);
    let steps: Vec<usize> = analysis.costs.iter().map(|cost| cost.tree_nodes).collect();
    assert_eq!(steps[1..3], steps[3..5]);
    assert!(steps[1] > 0);
    let merged = &analysis.costs[2];
    assert_eq!((merged.steps(), merged.types), (0, 0), "what is not compiled costs nothing");
}

#[test]
fn what_is_merged_is_told_with_the_reason_and_counts_for_its_tenant() {
    let routes = vec![
        route("all", ""),
        Route { on_absent: 2, ..route("strict", "payload.a == 1 && payload.b == 1") },
        route("one", "payload.a == 1"),
        change(route("one-here", "payload.a == 1"), |route| route.to.push("spare".to_owned())),
        change(route("both-there", "payload.b == 2 && payload.a == 1"), |route| route.to = vec!["spare".to_owned()]),
        Route { disabled: true, ..route("off", "") },
    ];
    let mut map = map(routes);
    map.destinations.push(destination("spare", "hunt-spare"));
    let analysis = analyze(&map).unwrap();
    let told: Vec<String> = analysis
        .merged
        .iter()
        .map(|Merge { path, id, into, why }| format!("{path}: {id} into {into}, {why}"))
        .collect();
    assert_eq!(
        told,
        [
            "routes[2]: one into all, which has no condition",
            "routes[4]: both-there into one-here, which asks for no more",
        ]
    );
    let row = &analysis.sharing[0];
    assert_eq!((row.routes, row.disabled_routes, row.merged_routes, row.compiled_routes), (6, 1, 2, 3));
    assert_eq!((row.tests, row.different_tests), (6, 2), "those of merged routes are written, but not made");
    assert!((row.aggregation().ratio() - 5.0 / 3.0).abs() < 1e-9);
}
