//! The table gives what a naive reading of the map gives, whatever the map and the event.

mod support;

use proptest::prelude::*;
use prost::Message as _;
use std::collections::BTreeSet;
use support::{
    Delivered, Expected, Found, OwnedEvent, Sent, Truth, Unplaced, World, event, expected, many_routes,
    plain_route_map, read, route_map, truths, without_lookups, world,
};
use veltrix_proto::v1::{OnAbsent, RouteMap};
use veltrix_route_table::{
    Answers, Compiler, Deliveries, Destination, Matches, RouteIndex, RouteTable, Unmatched, Verdict, compile,
};

/// What is at hand when events are routed.
struct Router<'r> {
    map: &'r RouteMap,
    table: &'r RouteTable,
    world: &'r World,
    /// Whether one answer comes after the other, and not all that are asked for at once.
    one_by_one: bool,
}

impl Router<'_> {
    fn routed(&self, event: &OwnedEvent, out: &mut Deliveries) -> Expected {
        let Router { table, .. } = self;
        table.route(event, out);
        self.look_up(event, out);
        let id_of = |route: RouteIndex| table.route_id(route).to_owned();
        let mut sent = Sent::default();
        for delivery in out.list() {
            let Destination { id, topic, .. } = table.destination(delivery.destination).unwrap();
            let delivered = Delivered { topic: topic.to_owned(), route: delivery.route.map(id_of) };
            assert!(sent.deliveries.insert(id.to_owned(), delivered).is_none(), "a destination is listed twice");
        }
        for unplaced in out.unplaced() {
            let told = table.tell_unplaced(event, unplaced).unwrap();
            let route = unplaced.route.map(id_of);
            assert_eq!(told.route, route);
            let unplaced = Unplaced { placeholder: told.placeholder, route, instead: told.instead };
            assert!(sent.unplaced.insert(told.destination, unplaced).is_none(), "a destination is told twice");
        }
        match out.verdict() {
            Verdict::Routed => Expected::Routed { sent, undecided: out.undecided().map(id_of) },
            Verdict::Unmatched(policy) => Expected::Unmatched { sent, dead_letter: policy == Unmatched::DeadLetter },
            Verdict::Unreadable(_) => Expected::Unreadable,
            Verdict::Waiting => unreachable!("all was answered"),
        }
    }

    /// Answers what is asked for until nothing is, and holds each question against the map.
    fn look_up(&self, event: &OwnedEvent, out: &mut Deliveries) {
        let Some(mut read) = read(self.map, event) else { return };
        let mut answers = Answers::new();
        let mut answered = BTreeSet::new();
        loop {
            let needs: Vec<_> = out.needs().map(|need| (need.lookup, need.key.to_vec())).collect();
            if let Some(lookups) = read.depends_on() {
                assert_eq!(lookups.is_empty(), needs.is_empty(), "{lookups:?} matter, asked for is {needs:?}");
                let id = |lookup: usize| &self.map.lookups[lookup].id;
                let in_vain = needs.iter().find(|(lookup, _)| !lookups.contains(id(lookup.get())));
                assert!(in_vain.is_none(), "{in_vain:?} can't make a difference");
            }
            assert_eq!(needs.is_empty(), out.verdict() != Verdict::Waiting);
            if needs.is_empty() {
                return;
            }
            for (lookup, key) in needs.into_iter().take(if self.one_by_one { 1 } else { usize::MAX }) {
                assert!(answered.insert(lookup), "{lookup:?} is asked for again");
                assert_eq!(read.keys[lookup.get()].as_ref(), Some(&key));
                read.look_up(self.map, self.world, lookup.get());
                match self.world.find(lookup.get(), &key) {
                    Found::Bytes(bytes) => answers.found(lookup, bytes.as_bytes()),
                    Found::Nothing => answers.not_found(lookup),
                    Found::Failure => answers.failed(lookup),
                }
            }
            self.table.resume(event, &answers, out);
        }
    }
}

/// Holds the routes that an event matches against the map.
fn hold_matches(map: &RouteMap, table: &RouteTable, event: &OwnedEvent, matches: &mut Matches) {
    let is_readable = table.matches(event, matches).is_ok();
    let Some((_, truths)) = truths(map, event) else { return assert!(!is_readable) };
    assert!(is_readable);
    let ids = |routes: &[RouteIndex]| -> Vec<String> {
        assert!(routes.is_sorted_by(|a, b| a < b), "in the order of the map, each once: {routes:?}");
        routes.iter().map(|route| table.route_id(*route).to_owned()).collect()
    };
    let with = |truth: Truth| truths.iter().filter(move |(_, own)| *own == Some(truth)).map(|(route, _)| *route);
    let expected: Vec<String> = with(Truth::True).map(|route| route.id.clone()).collect();
    assert_eq!(ids(matches.routes()), expected, "event {event:?}");
    let undecided = ids(matches.undecided());
    for route in with(Truth::Absent).filter(|route| route.on_absent() == OnAbsent::DeadLetter) {
        assert!(undecided.contains(&route.id), "{} of event {event:?}", route.id);
    }
    let is_absent = |id: &String| with(Truth::Absent).any(|route| route.id == *id);
    assert!(undecided.iter().all(is_absent), "{undecided:?} of event {event:?}");
    assert!(matches.waiting().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn the_table_gives_what_a_naive_reading_of_the_map_gives(
        maps in prop::collection::vec(route_map(), 1..4),
        events in prop::collection::vec(event(), 1..30),
        world in world(),
        one_by_one in any::<bool>(),
    ) {
        // One compiler and one set of deliveries, so that what one map leaves behind would be seen in the next.
        let mut compiler = Compiler::new();
        let mut out = Deliveries::new();
        for map in &maps {
            let table = compiler.compile(&map.encode_to_vec()).unwrap();
            let router = Router { map, table: &table, world: &world, one_by_one };
            for event in &events {
                let expected = expected(map, event, &world);
                prop_assert_eq!(router.routed(event, &mut out), expected.clone(), "event {:?}", event);
                prop_assert_eq!(out.asks_for_dead_letter(), expected.fate().1, "event {:?}", event);
            }
            compiler.recycle(table);
        }
    }

    #[test]
    fn many_routes_of_one_type_give_what_a_naive_reading_of_the_map_gives(
        map in many_routes(),
        events in prop::collection::vec(event(), 1..30),
        world in world(),
        one_by_one in any::<bool>(),
    ) {
        let table = Compiler::new().compile(&map.encode_to_vec()).unwrap();
        let router = Router { map: &map, table: &table, world: &world, one_by_one };
        let mut out = Deliveries::new();
        for event in &events {
            prop_assert_eq!(router.routed(event, &mut out), expected(&map, event, &world), "event {:?}", event);
        }
    }

    #[test]
    fn the_routes_that_an_event_matches_are_those_of_the_map(
        map in prop_oneof![4 => plain_route_map(), 1 => many_routes().prop_map(without_lookups)],
        events in prop::collection::vec(event(), 1..30),
    ) {
        let table = compile(&map).unwrap();
        let mut matches = Matches::new();
        for event in &events {
            hold_matches(&map, &table, event, &mut matches);
        }
    }

    #[test]
    fn no_bytes_make_the_compiler_panic(
        map in route_map(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = map.encode_to_vec();
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let mut compiler = Compiler::new();
        let _ = compiler.compile(&bytes);
        let _ = compiler.compile(&bytes[..cut.index(bytes.len())]);
        prop_assert!(compiler.compile(&map.encode_to_vec()).is_ok(), "damaged maps before it spoil a good one");
    }
}
