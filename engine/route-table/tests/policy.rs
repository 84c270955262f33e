//! Who delivers beyond what conditions say: routes that are switched off, routes of which only the first one delivers, and what becomes
//! of events that nobody wants.

#[path = "support/text_format.rs"]
mod text_format;

use text_format::route_map;
use veltrix_route_table::{Deliveries, Event, Matches, RouteIndex, RouteTable, Unmatched, Value, Verdict, compile};

/// A map with the destinations `a` to `e` and what `text` adds.
fn table(text: &str) -> RouteTable {
    let destination = |id: char| format!("destinations {{ id: '{id}' kafka {{ topic: '{id}' }} }}\n");
    let text = format!("name: 'm' {} {text}", ('a'..='e').map(destination).collect::<String>());
    compile(&route_map(&text)).unwrap()
}

/// An event of the type `t`, of a tenant, with a header for each thing that is true of it.
struct Thing {
    tenant: &'static str,
    is: Vec<&'static str>,
}

impl Event for Thing {
    fn topic(&self) -> &str {
        "things"
    }

    fn key(&self) -> Value<'_> {
        Value::Missing
    }

    fn header(&self, name: &str) -> Value<'_> {
        match name {
            "ce_type" => Value::Bytes(b"t"),
            "ce_tenant" => Value::Bytes(self.tenant.as_bytes()),
            _ if self.is.contains(&name) => Value::Bytes(b"yes"),
            _ => Value::Missing,
        }
    }
}

fn thing(tenant: &'static str, is: &[&'static str]) -> Thing {
    Thing { tenant, is: is.to_vec() }
}

/// Who gets an event and by which route, as `destination<route`, and after a `!` the route that could not be decided.
fn delivered(table: &RouteTable, event: &impl Event) -> String {
    let mut out = Deliveries::new();
    table.route(event, &mut out);
    let route = |route: Option<RouteIndex>| route.map_or("", |route| table.route_id(route)).to_owned();
    let mut deliveries: Vec<String> = out
        .list()
        .iter()
        .map(|delivery| format!("{}<{}", table.destination(delivery.destination).unwrap().id, route(delivery.route)))
        .collect();
    deliveries.sort();
    deliveries.extend(out.undecided().map(|undecided| format!("!{}", table.route_id(undecided))));
    deliveries.join(" ")
}

const ANY: &str = "types { any: true }";

#[test]
fn a_disabled_route_gets_no_event_and_keeps_its_id_and_its_place() {
    let table = table(&format!(
        "routes {{ id: 'off' {ANY} to: 'a' disabled: true }}
         routes {{ id: 'off-by-type' types {{ exact: 't' prefixes: 't' }} to: 'b' disabled: true }}
         routes {{ id: 'on' {ANY} to: 'c' disabled: false }}"
    ));
    assert_eq!(delivered(&table, &thing("", &[])), "c<on");
    let mut matches = Matches::new();
    table.matches(&thing("", &[]), &mut matches).unwrap();
    let [on] = matches.routes() else { panic!("one route matches, not {:?}", matches.routes()) };
    assert_eq!((on.get(), table.route_id(*on)), (2, "on"));
    assert_eq!((table.usage().routes, table.usage().types), (3, 2));
}

#[test]
fn an_event_that_only_a_disabled_route_would_want_is_unmatched() {
    let table = table(&format!("routes {{ id: 'off' {ANY} to: 'a' disabled: true }} unmatched {{ dead_letter {{}} }}"));
    let mut out = Deliveries::new();
    table.route(&thing("", &[]), &mut out);
    assert_eq!((out.verdict(), out.list().len()), (Verdict::Unmatched(Unmatched::DeadLetter), 0));
}

#[test]
fn an_event_that_no_route_wants_follows_its_tenants_policy_or_else_the_maps() {
    let table = table(
        "routes { id: 'other' types { exact: 'other' } to: 'a' } unmatched { destination: 'b' }
         tenants { id: 'first' }
         tenants { id: 'drops' unmatched { drop {} } }
         tenants { id: 'buries' unmatched { dead_letter {} } }
         tenants { id: 'collects' unmatched { destination: 'c' } routes { id: 'own' types { exact: 'own' } to: 'd' } }
         tenants { id: 'last' routes { id: 'last' types { any: true } to: 'e' } unmatched { destination: 'c' } }",
    );
    let mut out = Deliveries::new();
    let mut verdict = |tenant| {
        let event = thing(tenant, &[]);
        table.route(&event, &mut out);
        let is_drop_or_letter = match out.verdict() {
            Verdict::Unmatched(Unmatched::Drop) => "drop",
            Verdict::Unmatched(Unmatched::DeadLetter) => "dead letter",
            Verdict::Unmatched(Unmatched::Destination(_)) => "destination",
            other => return format!("{other:?} {}", delivered(&table, &event)),
        };
        format!("{is_drop_or_letter} {}", delivered(&table, &event))
    };
    assert_eq!(verdict("nobody"), "destination b<");
    assert_eq!(verdict("first"), "destination b<");
    assert_eq!(verdict("drops"), "drop ");
    assert_eq!(verdict("buries"), "dead letter ");
    assert_eq!(verdict("collects"), "destination c<");
    assert_eq!(verdict("last"), "Routed e<last");
}

/// A route to the destination of its name, for events that have the header of its name.
fn route(id: char, exclusive: &str) -> String {
    let when = format!("predicate {{ header: '{id}' equals {{ text: 'yes' }} }}");
    format!("routes {{ id: '{id}' {ANY} to: '{id}' when {{ {when} }} exclusive {{ group: 'g' {exclusive} }} }}\n")
}

/// The same, which can't be decided and asks for a dead letter if the header is not there.
fn careful(id: char, exclusive: &str) -> String {
    let when = format!("predicate {{ header: '{id}' equals {{ text: 'yes' }} on_missing: ON_MISSING_ABSENT }}");
    let exclusive = format!("exclusive {{ group: 'g' {exclusive} }}");
    format!("routes {{ id: '{id}' {ANY} to: '{id}' when {{ {when} }} on_absent: ON_ABSENT_DEAD_LETTER {exclusive} }}\n")
}

#[track_caller]
fn check(table: &RouteTable, is: &[&'static str], expected: &str) {
    assert_eq!(delivered(table, &thing("", is)), expected, "{is:?}");
}

#[test]
fn the_first_match_of_a_group_delivers_by_priority_and_then_in_the_order_of_the_map() {
    let table = table(&[route('a', "priority: 5"), route('b', "priority: 5"), route('c', "")].concat());
    check(&table, &[], "");
    check(&table, &["a", "b", "c"], "c<c");
    check(&table, &["a", "b"], "a<a");
    check(&table, &["b"], "b<b");
}

#[test]
fn a_route_that_continues_delivers_beside_the_first_one_that_does_not() {
    let table = table(
        &[
            route('a', "priority: 1 continues: true"),
            route('b', "priority: 2"),
            route('c', "priority: 3 continues: true"),
            route('d', "priority: 4"),
        ]
        .concat(),
    );
    check(&table, &["a"], "a<a");
    check(&table, &["a", "b", "c", "d"], "a<a b<b");
    check(&table, &["a", "c", "d"], "a<a c<c d<d");
    check(&table, &["c", "d"], "c<c d<d");
}

#[test]
fn a_default_delivers_only_if_no_other_of_its_group_matches() {
    let table = table(
        &[
            route('a', "default: true").replace("when { predicate { header: 'a' equals { text: 'yes' } } }", ""),
            route('b', "priority: 4294967295"),
            route('c', "continues: true"),
        ]
        .concat(),
    );
    check(&table, &[], "a<a");
    check(&table, &["b"], "b<b");
    check(&table, &["c"], "c<c");
    check(&table, &["b", "c"], "b<b c<c");
}

#[test]
fn a_default_delivers_only_what_it_matches_itself() {
    let table = table(&[route('a', "default: true"), route('b', "")].concat());
    check(&table, &[], "");
    check(&table, &["a"], "a<a");
    check(&table, &["a", "b"], "b<b");
}

#[test]
fn an_absent_condition_is_no_match_and_counts_only_if_the_route_was_asked() {
    let table = table(&[route('a', ""), careful('b', ""), route('c', "")].concat());
    check(&table, &["a"], "a<a");
    check(&table, &["a", "c"], "a<a");
    check(&table, &["c"], "c<c !b");
    check(&table, &[], "!b");
    check(&table, &["b", "c"], "b<b");
    let table = self::table(&[route('a', "continues: true"), careful('b', ""), careful('c', "default: true")].concat());
    check(&table, &["a"], "a<a !b");
    check(&table, &["a", "b"], "a<a b<b");
    check(&table, &["b"], "b<b");
    check(&table, &["c"], "c<c !b");
    check(&table, &[], "!b");
    let table = self::table(&[careful('c', "default: true"), route('b', "")].concat());
    check(&table, &["b"], "b<b");
    check(&table, &[], "!c");
}

#[test]
fn only_routes_about_the_events_type_compete_and_none_that_is_disabled() {
    let of_type = |route: String, of: &str| route.replace("any: true", of);
    let table = table(
        &[
            of_type(route('a', ""), "exact: 'other'"),
            of_type(route('b', ""), "prefixes: 't'"),
            of_type(route('c', ""), "exact: 't'"),
            route('d', "").replace("exclusive", "disabled: true exclusive").replace("'g'", "'h'"),
            route('e', "").replace("'g'", "'h'"),
        ]
        .concat(),
    );
    check(&table, &["a", "b", "c"], "b<b");
    check(&table, &["a", "c"], "c<c");
    check(&table, &["d", "e"], "e<e");
}

#[test]
fn groups_of_one_name_are_different_ones_in_each_slot() {
    let tenant = |id: &str, routes: &str| format!("tenants {{ id: '{id}' {routes} }}");
    let table = table(&[route('a', ""), tenant("one", &route('b', "")), tenant("two", &route('c', ""))].concat());
    assert_eq!(delivered(&table, &thing("one", &["a", "b", "c"])), "a<a b<b");
    assert_eq!(delivered(&table, &thing("two", &["a", "b", "c"])), "a<a c<c");
    assert_eq!(delivered(&table, &thing("two", &["c"])), "c<c");
}

#[test]
fn a_delivery_carries_the_first_route_in_the_order_of_the_map_that_delivers() {
    let to_e = |id: char, exclusive: &str| route(id, exclusive).replace(&format!("to: '{id}'"), "to: 'e'");
    let alone = to_e('d', "").replace("exclusive { group: 'g'  }", "");
    let table = table(
        &[to_e('a', "priority: 3"), to_e('b', "priority: 2"), to_e('c', "priority: 1 continues: true"), alone].concat(),
    );
    check(&table, &["a", "b", "c", "d"], "e<b");
    check(&table, &["a", "c", "d"], "e<a");
    check(&table, &["c", "d"], "e<c");
}

#[test]
fn all_routes_of_a_group_that_match_are_told_as_matches() {
    let table = table(&[route('a', ""), route('b', ""), careful('c', "")].concat());
    let mut matches = Matches::new();
    table.matches(&thing("", &["a", "b"]), &mut matches).unwrap();
    assert_eq!(matches.routes().iter().map(|route| route.get()).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(matches.undecided().iter().map(|route| route.get()).collect::<Vec<_>>(), [2]);
}

#[test]
fn the_arms_of_a_split_get_all_events_between_them_and_each_key_the_same_one_always() {
    let arm = |id: char, from: u32, to: u32| {
        format!(
            "routes {{ id: '{id}' {ANY} to: '{id}' when {{ cel: \"share(headers.player, 'arms', {from}, {to})\" }} }}"
        )
    };
    let arms = table(&[arm('a', 0, 1_000), arm('b', 1_000, 5_000), arm('c', 5_000, 10_000)].concat());
    let wider = table(&[arm('a', 0, 2_000), arm('b', 2_000, 5_000), arm('c', 5_000, 10_000)].concat());
    let mut counts = [0; 3];
    for number in 0..1_000 {
        let player = Player(format!("player-{number}"));
        let (before, after) = (delivered(&arms, &player), delivered(&wider, &player));
        let arm = ["a<a", "b<b", "c<c"].iter().position(|arm| *arm == before).expect("one arm");
        counts[arm] += 1;
        assert!(before == after || (before, after) == ("b<b".to_owned(), "a<a".to_owned()), "{}", player.0);
    }
    // The same on every machine, so exact; and about what the bounds say.
    assert_eq!(counts, [117, 402, 481]);
}

/// An event of the type `t` with a header `player`.
struct Player(String);

impl Event for Player {
    fn topic(&self) -> &str {
        "things"
    }

    fn key(&self) -> Value<'_> {
        Value::Missing
    }

    fn header(&self, name: &str) -> Value<'_> {
        match name {
            "ce_type" => Value::Bytes(b"t"),
            "player" => Value::Bytes(self.0.as_bytes()),
            _ => Value::Missing,
        }
    }
}

#[test]
fn the_readmes_example_of_groups_and_shares_routes_as_it_says() {
    struct Chest {
        event_type: &'static str,
        player: &'static str,
        payload: &'static str,
    }
    impl Event for Chest {
        fn topic(&self) -> &str {
            "game-events"
        }

        fn key(&self) -> Value<'_> {
            Value::Bytes(self.player.as_bytes())
        }

        fn header(&self, name: &str) -> Value<'_> {
            if name == "ce_type" { Value::Bytes(self.event_type.as_bytes()) } else { Value::Missing }
        }

        fn payload(&self) -> Option<&[u8]> {
            Some(self.payload.as_bytes())
        }
    }
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md")).unwrap();
    let mut examples = readme.split("```").filter(|block| block.starts_with("proto") && block.contains("share(key,"));
    let routes = examples.next().expect("the README has an example").strip_prefix("proto").unwrap();
    let destinations = ["vip-desk", "new-desk", "desk", "analytics"]
        .map(|id| format!("destinations {{ id: '{id}' kafka {{ topic: '{id}' }} }}"))
        .concat();
    let table = table(&(destinations + routes));
    let to = |event_type, player, payload| delivered(&table, &Chest { event_type, player, payload });
    // The players' places are 759 and 8326, as route_map.proto has them.
    assert_eq!(to("hunt.chest.opened", "player-7", r#"{"coins": 5}"#), "new-desk<new");
    assert_eq!(to("hunt.chest.opened", "player-8", r#"{"coins": 5}"#), "desk<rest");
    assert_eq!(to("hunt.chest.opened", "player-1", r#"{"coins": 1001}"#), "vip-desk<rich");
    assert_eq!(to("hunt.clue.found", "player-1", r#"{"coins": 1001}"#), "desk<rest");
}

/// What is said of an event, but for its type and tenant.
fn explained(table: &RouteTable, event: &impl Event) -> String {
    table.explain(event).to_string().split_once('\n').unwrap().1.to_owned()
}

#[test]
fn a_route_of_an_exclusive_group_says_which_one_is_before_it() {
    let table = table(&format!(
        "routes {{ id: 'rest' {ANY} to: 'a' exclusive {{ group: 'flow' default: true }} }}
         routes {{ id: 'third' {ANY} to: 'b' exclusive {{ group: 'flow' priority: 7 }} }}
         routes {{ id: 'second' {ANY} to: 'c' when {{ cel: 'has(headers.gold)' }} exclusive {{ group: 'flow' priority: 5 }} }}
         routes {{ id: 'first' {ANY} to: 'd' exclusive {{ group: 'flow' continues: true }} }}
         routes {{ id: 'unsure' {ANY} to: 'e' when {{ cel: \"headers.kind > 'a'\" }} on_absent: ON_ABSENT_DEAD_LETTER
                   exclusive {{ group: 'flow' priority: 6 }} }}"
    ));
    assert_eq!(
        explained(&table, &thing("live", &["gold"])),
        "goes to d (topic d), by route first\n\
         goes to c (topic c), by route second\n\
         - rest: matches, but is the default of group flow, and route second matches\n\
         - third: matches, but route second of group flow is before it\n\
         + second: wants it, in group flow\n\
         + first: wants it, in group flow\n\
         ? unsure: neither true nor false, but route second of group flow is before it: headers.kind > 'a': headers.kind is missing"
    );
    let other = explained(&table, &thing("live", &[]));
    assert!(
        other.contains("\n? unsure: neither true nor false, which makes a dead letter: headers.kind > 'a'"),
        "{other}"
    );
}

#[test]
fn a_default_says_that_it_is_one() {
    let table = table(&format!(
        "routes {{ id: 'rest' {ANY} to: 'a' exclusive {{ group: 'flow' default: true }} }}
         routes {{ id: 'first' {ANY} to: 'd' disabled: true exclusive {{ group: 'flow' continues: true }} }}"
    ));
    assert_eq!(
        explained(&table, &thing("live", &[])),
        "goes to a (topic a), by route rest\n+ rest: wants it, as the default of group flow\n  first: is disabled"
    );
}

#[test]
fn routes_that_are_disabled_say_so_and_tenants_that_are_alike_speak_of_their_own_routes_and_policies() {
    let explained = |policy: &str| {
        let tenant = |id: &str, policy: &str| {
            format!(
                "tenants {{ id: '{id}' {policy}
                   routes {{ id: 'off-{id}' {ANY} to: 'a' disabled: true }}
                   routes {{ id: 'first-{id}' {ANY} to: 'b' when {{ cel: 'has(headers.gold)' }} exclusive {{ group: 'g' }} }}
                   routes {{ id: 'last-{id}' {ANY} to: 'c' when {{ cel: 'has(headers.gold)' }} exclusive {{ group: 'g' }} }} }}"
            )
        };
        let all = "routes { id: 'other' types { exact: 'x' } to: 'a' }".to_owned();
        let table = table(&[all, tenant("idle", ""), tenant("live", policy)].concat());
        [&["gold"][..], &[]].map(|is| explained(&table, &thing("live", is)))
    };
    let of_routes = "- first-live: has(headers.gold): headers.gold is missing\n\
                     - last-live: has(headers.gold): headers.gold is missing";
    let [gold, dropped] = explained("");
    assert_eq!(
        gold,
        "goes to b (topic b), by route first-live\n  off-live: is disabled\n+ first-live: wants it, in group g\n\
         - last-live: matches, but route first-live of group g is before it\n  other: is about x"
    );
    assert_eq!(
        dropped,
        format!("no route wants it: it is dropped\n  off-live: is disabled\n{of_routes}\n  other: is about x")
    );
    let [_, told] = explained("unmatched { destination: 'e' }");
    assert!(told.starts_with("goes to e (topic e), as no route wants it (its tenant's policy)\n"), "{told}");
    let [_, told] = explained("unmatched { dead_letter {} }");
    assert!(told.starts_with("no route wants it: it goes to the dead letters (its tenant's policy)\n"), "{told}");
}
