//! Which routes are merged, and that nothing that can be asked of a table tells whether they were.

use super::{CHAIN_MAX, PARTS_MAX, PREFIXES_MAX};
use crate::compile::{Compiler, compile};
use crate::deliveries::{Deliveries, Matches};
use crate::explain::{Explanation, Outcome};
use crate::lookups::{Answers, NO_ANSWERS};
use crate::merged::{Aggregation, WhyMerged};
use crate::support::{Found, OwnedEvent, World, event, many_routes, route_map, world};
use crate::table::{RouteIndex, RouteTable};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use prost::Message as _;
use std::collections::BTreeMap;
use veltrix_proto::v1::{
    Condition, Destination, EventTypes, Exclusive, KafkaTopic, Lookup, LookupKey, RecordPart, ReferenceTable, Route,
    RouteMap, Tenant, condition, destination, lookup, lookup_key, reference_table,
};

/// The same map with every route in the index.
fn compile_apart(map: &RouteMap) -> RouteTable {
    let mut compiler = Compiler::new();
    compiler.scratch.merge.is_off = true;
    let table = compiler.compile(&map.encode_to_vec()).unwrap();
    assert!(table.merged.is_empty());
    table
}

/// All that is said of an event, before each answer and behind the last, and the answers.
fn said(table: &RouteTable, event: &OwnedEvent, world: &World) -> (Vec<String>, Answers) {
    let (mut out, mut answers, mut steps) = (Deliveries::new(), Answers::new(), Vec::new());
    table.route(event, &mut out);
    loop {
        let mut list = out.list().to_vec();
        list.sort_unstable_by_key(|delivery| delivery.destination);
        let mut unplaced = out.unplaced().to_vec();
        unplaced.sort_unstable_by_key(|unplaced| unplaced.template);
        let needs: Vec<_> = out.needs().map(|need| (need.lookup, need.key.to_vec())).collect();
        steps.push(format!("{:?} {list:?} {unplaced:?} {:?} {needs:?}", out.verdict(), out.undecided()));
        if needs.is_empty() {
            return (steps, answers);
        }
        for (lookup, key) in needs {
            match world.find(lookup.get(), &key) {
                Found::Bytes(bytes) => answers.found(lookup, bytes.as_bytes()),
                Found::Nothing => answers.not_found(lookup),
                Found::Failure => answers.failed(lookup),
            }
        }
        table.resume(event, &answers, &mut out);
    }
}

fn explained(table: &RouteTable, event: &OwnedEvent, answers: &Answers) -> Explanation {
    let mut explanation = table.explain_with(event, answers);
    explanation.deliveries.sort_unstable_by(|a, b| (&a.destination, &a.topic).cmp(&(&b.destination, &b.topic)));
    explanation.unplaced.sort_unstable_by_key(|unplaced| unplaced.destination.clone());
    explanation
}

fn matched(table: &RouteTable, event: &OwnedEvent) -> Matches {
    let mut matches = Matches::new();
    table.matches(event, &mut matches).ok();
    matches
}

/// Says how many of the events matched a merged route.
fn hold(map: &RouteMap, events: &[OwnedEvent], world: &World) -> usize {
    let (table, apart) = (compile(map).unwrap(), compile_apart(map));
    let merged: Vec<RouteIndex> = table.merged().map(|merged| merged.route).collect();
    let mut met = 0;
    for event in events {
        let (steps, answers) = said(&table, event, world);
        assert_eq!(steps, said(&apart, event, world).0, "{event:?}");
        let explained = |table| [&NO_ANSWERS, &answers].map(|answers| explained(table, event, answers));
        let explanations = explained(&table);
        assert_eq!(explanations, explained(&apart), "{event:?}");
        let matches = matched(&table, event);
        assert_eq!(matches.routes(), matched(&apart, event).routes(), "{event:?}");
        // Who can't match any more may be told as waiting or not, which depends on what else stands under its types.
        for route in explanations[1].routes.iter().filter(|route| route.outcome == Outcome::Matched) {
            let is_told = [matches.routes(), matches.waiting()].iter().any(|told| told.contains(&route.route));
            assert!(is_told, "{} of {event:?}", route.id);
        }
        met += usize::from(matches.routes().iter().any(|route| merged.contains(route)));
    }
    let (all, one) = (table.aggregation(), apart.aggregation());
    assert_eq!((all.routes, all.compiled <= one.compiled), (one.routes, true));
    met
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn nobody_can_tell_that_routes_were_merged(
        map in prop_oneof![6 => route_map(), 1 => many_routes()],
        events in prop::collection::vec(event(), 1..20),
        world in world(),
    ) {
        hold(&map, &events, &world);
    }
}

/// The property tests over these maps compare what an event gets; this says that they are about merged routes of every kind.
#[test]
fn generated_maps_have_merged_routes_of_every_kind_and_events_that_match_them() {
    let mut runner = TestRunner::deterministic();
    let events = prop::collection::vec(event(), 20);
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in 0..400 {
        let map = route_map().new_tree(&mut runner).unwrap().current();
        let table = compile(&map).unwrap();
        let mut see = |kind, count| *seen.entry(kind).or_default() += count;
        for merged in table.merged() {
            let [route, into] = [merged.route, merged.into].map(|route| {
                let all = map.routes.iter().chain(map.tenants.iter().flat_map(|tenant| &tenant.routes));
                all.clone().nth(route.get()).unwrap().clone()
            });
            see("the same condition", usize::from(merged.why == WhyMerged::SameCondition));
            see("no condition", usize::from(merged.why == WhyMerged::NoCondition));
            see("a condition that asks for less", usize::from(merged.why == WhyMerged::AsksForLess));
            see("fewer types", usize::from(route.types != into.types));
            see("fewer destinations", usize::from(route.to.len() < into.to.len()));
            see("dead letters", usize::from(route.on_absent == 2));
            let of_tenant = map.tenants.iter().position(|tenant| tenant.routes.iter().any(|own| own.id == route.id));
            let slot = of_tenant.map_or(0, |tenant| tenant + 1);
            see("of a tenant", usize::from(slot > 0));
            see("of a tenant like another", usize::from(table.slots[slot].alike.is_some()));
            let asks = table.routes[merged.route.get()].condition;
            see("lookups", usize::from(table.lookups.trees.contains(&asks)));
        }
        let events = events.new_tree(&mut runner).unwrap().current();
        see("events that match a merged route", hold(&map, &events, &World(vec![vec![Found::Nothing]; 3])));
    }
    assert!(seen.len() == 10 && seen.values().all(|count| *count >= 10), "{seen:?}");
}

fn route(id: &str, types: &str, when: &str, to: &str) -> Route {
    let split = |text: &str| -> Vec<String> { text.split_whitespace().map(str::to_owned).collect() };
    let (prefixes, exact) = split(types).into_iter().partition(|text| text.ends_with('*'));
    let prefixes: Vec<String> = prefixes;
    let any = prefixes.contains(&"*".to_owned());
    let prefixes = prefixes.iter().map(|text| text.trim_end_matches('*').to_owned()).filter(|text| !text.is_empty());
    let when = (!when.is_empty()).then(|| Condition { kind: Some(condition::Kind::Cel(when.to_owned())) });
    let types = Some(EventTypes { exact, prefixes: prefixes.collect(), any });
    Route { id: id.to_owned(), types, when, to: split(to), ..Route::default() }
}

fn map(routes: Vec<Route>) -> RouteMap {
    let destination = |id: &str| Destination {
        id: id.to_owned(),
        kind: Some(destination::Kind::Kafka(KafkaTopic { topic: format!("topic-{id}"), ..KafkaTopic::default() })),
    };
    let lookup = |id: &str| Lookup {
        id: id.to_owned(),
        key: Some(LookupKey { attribute: Some(lookup_key::Attribute::Part(RecordPart::Key.into())) }),
        source: Some(lookup::Source::Table(ReferenceTable {
            origin: Some(reference_table::Origin::File(id.to_owned())),
        })),
        cache: None,
    };
    RouteMap {
        name: "merges".to_owned(),
        destinations: ["x", "y", "z"].map(destination).to_vec(),
        lookups: ["player", "shard"].map(lookup).to_vec(),
        routes,
        ..RouteMap::default()
    }
}

/// What is merged into what: `b > a`.
fn merges(map: &RouteMap) -> Vec<String> {
    let table = compile(map).unwrap();
    table.merged().map(|merged| format!("{} > {}", table.route_id(merged.route), table.route_id(merged.into))).collect()
}

/// Whether of two routes with these types, conditions and destinations the second one is merged into the first one.
fn is_merged(a: [&str; 3], b: [&str; 3]) -> bool {
    let [[a_types, a_when, a_to], [b_types, b_when, b_to]] = [a, b];
    match merges(&map(vec![route("a", a_types, a_when, a_to), route("b", b_types, b_when, b_to)]))[..] {
        [] => false,
        [ref merge] if merge == "b > a" => true,
        ref merges => panic!("{merges:?}"),
    }
}

#[test]
fn a_route_is_merged_into_one_that_is_about_all_of_its_types() {
    for (a, b, expected) in [
        ("t", "t", true),
        ("t u", "u", true),
        ("u t", "t u", true),
        ("t", "t u", false),
        ("t*", "t", true),
        ("t*", "tu* tv", true),
        ("tu*", "t*", false),
        ("t", "t*", false),
        ("t* u", "u tv", true),
        ("t*", "u tv", false),
        ("*", "t u*", true),
        ("*", "*", true),
        ("t*", "*", false),
    ] {
        assert_eq!(is_merged([a, "", "x"], [b, "", "x"]), expected, "{b} into {a}");
        let when = "payload.p == 1 && payload.q == 2";
        assert_eq!(is_merged([a, "payload.q == 2", "x"], [b, when, "x"]), expected, "{b} into {a}, with conditions");
    }
}

#[test]
fn a_route_is_merged_into_one_that_asks_for_less() {
    let any = "payload.p == 1 || payload.q == 2";
    for (a, b, expected) in [
        ("", "payload.p == 1", true),
        ("payload.p == 1", "", false),
        ("payload.p == 1", "payload.p == 1.0", true),
        ("payload.p == 1", "payload.p == 2", false),
        ("payload.p == 1", "payload.q == 2 && payload.p == 1", true),
        ("payload.p == 1", "payload.p == 1 && payload.q == 2", true),
        ("payload.p == 1 && payload.q == 2", "payload.p == 1", false),
        ("payload.p == 1 && payload.q == 2", "payload.q == 2 && payload.p == 1", true),
        ("payload.p == 1 && payload.q == 2", "payload.r == 3 && (payload.q == 2 && payload.p == 1)", true),
        ("payload.p == 1 && payload.q == 2", "payload.p == 1 && payload.r == 3", false),
        ("payload.p == 1", any, false),
        (any, "payload.p == 1 && payload.q == 2", false),
        (any, "(payload.p == 1 || payload.q == 2) && payload.r == 3", true),
        ("!(payload.p == 1)", "payload.r == 3 && !(payload.p == 1)", true),
        ("payload.p.exists(e, e.q == 1)", "payload.p.exists(e, e.q == 1) && payload.r == 3", true),
        ("payload.p.exists(e, e.q == 1)", "payload.p.exists(e, e.q == 2) && payload.r == 3", false),
        ("share(payload.p, 'salt', 0, 10)", "share(payload.p, 'salt', 0, 10) && payload.r == 3", true),
        ("share(payload.p, 'salt', 0, 10)", "share(payload.p, 'other', 0, 10) && payload.r == 3", false),
    ] {
        assert_eq!(is_merged(["t", a, "x"], ["t", b, "x"]), expected, "`{b}` into `{a}`");
    }
}

#[test]
fn a_route_is_merged_into_one_that_goes_wherever_it_goes() {
    for (a, b, expected) in
        [("x", "x", true), ("x y", "y", true), ("y x", "x y", true), ("x", "x y", false), ("x", "y", false)]
    {
        assert_eq!(is_merged(["t", "", a], ["t", "payload.p == 1", b]), expected, "{b} into {a}");
    }
}

#[test]
fn the_route_that_stays_is_the_first_one_of_the_map() {
    let [wide, narrow] = [("wide", "t*", "x y"), ("narrow", "t", "x")].map(|(id, types, to)| route(id, types, "", to));
    assert_eq!(merges(&map(vec![wide.clone(), narrow.clone()])), ["narrow > wide"]);
    assert_eq!(merges(&map(vec![narrow, wide])), [""; 0], "a delivery names the first route");
    let same = ["one", "two", "three"].map(|id| route(id, "t", "payload.p == 1", "x"));
    assert_eq!(merges(&map(same.to_vec())), ["two > one", "three > one"]);
}

#[test]
fn a_route_that_makes_dead_letters_is_merged_only_into_one_that_makes_the_same_ones() {
    let strict = |id: &str, when: &str, on_absent: i32| Route { on_absent, ..route(id, "t", when, "x") };
    let both = "payload.p == 1 && payload.q == 2";
    for (a, b, expected) in [
        (strict("a", "payload.p == 1", 0), strict("b", "payload.p == 1", 2), false),
        (strict("a", "payload.p == 1", 2), strict("b", "payload.p == 1", 0), true),
        (strict("a", "payload.p == 1", 2), strict("b", "payload.p == 1", 2), true),
        (strict("a", "payload.p == 1", 2), strict("b", both, 2), false),
        (strict("a", "payload.p == 1", 2), strict("b", both, 1), true),
        (strict("a", "", 0), strict("b", "", 2), true),
    ] {
        let told = format!("{b:?} into {a:?}");
        assert_eq!(merges(&map(vec![a, b])).len(), usize::from(expected), "{told}");
    }
}

#[test]
fn a_route_that_asks_for_lookups_is_merged_only_into_one_that_asks_for_the_same() {
    for (a, b, expected) in [
        ("lookup.player.p == 1", "lookup.player.p == 1", true),
        ("", "lookup.player.p == 1", false),
        ("payload.p == 1", "payload.p == 1 && lookup.player.p == 1", false),
        ("lookup.player.p == 1", "lookup.player.p == 1 && payload.p == 1", false),
        // Which one is asked for first makes a difference.
        ("lookup.player.p == 1 && lookup.shard.p == 1", "lookup.shard.p == 1 && lookup.player.p == 1", false),
    ] {
        assert_eq!(is_merged(["t", a, "x"], ["t", b, "x"]), expected, "`{b}` into `{a}`");
    }
}

#[test]
fn exclusive_and_disabled_routes_and_those_of_other_tenants_are_left_alone() {
    let same = || [route("a", "t", "", "x"), route("b", "t", "", "x")];
    assert_eq!(merges(&map(same().to_vec())), ["b > a"]);
    for changed in 0..2 {
        let mut routes = same();
        routes[changed].exclusive = Some(Exclusive { group: "g".to_owned(), ..Exclusive::default() });
        assert_eq!(merges(&map(routes.to_vec())), [""; 0]);
        let mut routes = same();
        routes[changed].disabled = true;
        assert_eq!(merges(&map(routes.to_vec())), [""; 0]);
    }
    let mut of_tenants = map(vec![route("all", "t", "", "x")]);
    let tenant = |id: &str| Tenant {
        id: id.to_owned(),
        routes: ["a", "b"].map(|name| route(&format!("{name}-{id}"), "t", "", "x")).to_vec(),
        ..Tenant::default()
    };
    of_tenants.tenants = ["one", "two"].map(tenant).to_vec();
    of_tenants.tenants[1].routes[1].to = vec!["y".to_owned()];
    of_tenants.tenants.push(tenant("three"));
    assert_eq!(merges(&of_tenants), ["b-one > a-one", "b-three > a-three"]);
    assert_eq!(compile(&of_tenants).unwrap().aggregation(), Aggregation { routes: 7, compiled: 4 });
}

#[test]
fn what_merging_looks_at_is_bounded_and_what_it_does_not_find_stays() {
    // Routes with one condition and different destinations fill a chain; the one that is far down in it is not found.
    let when = |n: usize| format!("payload.p == 1 && payload.q == {n}");
    let chain = |between: usize| {
        let first = route("first", "t", "payload.p == 1", "x");
        let rest = (0..between).map(|n| route(&format!("{n}"), &format!("t u{n}"), "payload.p == 1", "y"));
        let last = route("last", "t", &when(0), "x");
        merges(&map(std::iter::once(first).chain(rest).chain([last]).collect()))
    };
    assert_eq!(chain(CHAIN_MAX - 1), ["last > first"]);
    assert_eq!(chain(CHAIN_MAX), [""; 0]);
    // Of many parts some are looked up.
    let parts = |count: usize| {
        let all: Vec<String> = (0..count).map(|n| format!("payload.p{n} == {n}")).collect();
        merges(&map(vec![route("first", "t", &all[0], "x"), route("last", "t", &all.join(" && "), "x")]))
    };
    assert_eq!(parts(PARTS_MAX), ["last > first"]);
    assert_eq!(parts(PARTS_MAX + 1), [""; 0]);
    let prefixes = |count: usize| {
        let other = (1..count).map(|n| route(&format!("{n}"), &format!("{}*", "u".repeat(n)), "", "x"));
        let first = route("first", &format!("{}*", "t".repeat(count)), "", "x");
        let last = route("last", &"t".repeat(count + 1), "", "x");
        let merges = merges(&map(other.chain([first, last]).collect()));
        merges.contains(&"last > first".to_owned())
    };
    assert!(prefixes(PREFIXES_MAX) && !prefixes(PREFIXES_MAX + 1));
}

#[test]
fn of_many_routes_each_is_merged_that_says_what_another_says() {
    const ROUTES: usize = 20_000;
    let when = |n: usize| format!("payload.p == {} && payload.q == {n}", n % 7);
    let one = |n: usize, edition: &str| route(&format!("{n}-{edition}"), "t", &when(n), "x");
    let routes: Vec<Route> = (0..ROUTES).map(|n| one(n, "a")).chain((0..ROUTES).map(|n| one(n, "b"))).collect();
    let table = compile(&map(routes)).unwrap();
    assert_eq!(table.aggregation(), Aggregation { routes: 2 * ROUTES, compiled: ROUTES });
    assert!((table.aggregation().ratio() - 2.0).abs() < f64::EPSILON);
    let is_own = |merged: crate::merged::MergedRoute| merged.into.get() + ROUTES == merged.route.get();
    assert!(table.merged().all(is_own));
}
