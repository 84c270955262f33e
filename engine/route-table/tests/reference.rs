//! The table gives what a naive reading of the map gives, whatever the map and the event.

mod support;

use proptest::prelude::*;
use prost::Message as _;
use std::collections::BTreeMap;
use support::{Expected, OwnedEvent, event, expected, many_routes, route_map};
use veltrix_route_table::{Compiler, Deliveries, RouteTable, Unmatched, Verdict};

fn routed(table: &RouteTable, event: &OwnedEvent, out: &mut Deliveries) -> Expected {
    table.route(event, out);
    let mut deliveries = BTreeMap::new();
    for delivery in out.list() {
        let destination = table.destination(delivery.destination).unwrap().id.to_owned();
        let route = delivery.route.map(|route| table.route_id(route).to_owned());
        assert!(deliveries.insert(destination, route).is_none(), "a destination is listed twice");
    }
    match out.verdict() {
        Verdict::Routed => {
            let undecided = out.undecided().map(|route| table.route_id(route).to_owned());
            Expected::Routed { deliveries, undecided }
        }
        Verdict::Unmatched(policy) => Expected::Unmatched { deliveries, dead_letter: policy == Unmatched::DeadLetter },
        Verdict::Unreadable(_) => Expected::Unreadable,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn the_table_gives_what_a_naive_reading_of_the_map_gives(
        maps in prop::collection::vec(route_map(), 1..4),
        events in prop::collection::vec(event(), 1..30),
    ) {
        // One compiler and one set of deliveries, so that what one map leaves behind would be seen in the next.
        let mut compiler = Compiler::new();
        let mut out = Deliveries::new();
        for map in &maps {
            let table = compiler.compile(&map.encode_to_vec()).unwrap();
            for event in &events {
                prop_assert_eq!(routed(&table, event, &mut out), expected(map, event), "event {:?}", event);
            }
            compiler.recycle(table);
        }
    }

    #[test]
    fn many_routes_of_one_type_give_what_a_naive_reading_of_the_map_gives(
        map in many_routes(),
        events in prop::collection::vec(event(), 1..30),
    ) {
        let table = Compiler::new().compile(&map.encode_to_vec()).unwrap();
        let mut out = Deliveries::new();
        for event in &events {
            prop_assert_eq!(routed(&table, event, &mut out), expected(&map, event), "event {:?}", event);
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
