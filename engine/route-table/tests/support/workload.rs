//! Maps and events of a given size, for what is counted and timed. Deterministic: the same number gives the same map.
#![allow(dead_code)] // No test and no benchmark asks for all of it.

use veltrix_proto::v1::{
    Condition, Conditions, Destination, EventTypes, KafkaTopic, Literal, Literals, Predicate, Route, RouteMap,
    condition, destination, literal, predicate,
};
use veltrix_route_table::{Event, Value};

const DESTINATIONS: usize = 12;

/// The type that route `n` of a map is about: 25 to 29 bytes, as such names are.
pub(crate) fn event_type(n: usize) -> String {
    format!("game.area{}.thing.changed.{n}", n % 97)
}

/// One route for each of `routes` types, to one to three destinations.
pub(crate) fn by_type(routes: usize) -> RouteMap {
    let route = |n: usize| Route {
        id: format!("route-{n}"),
        types: Some(EventTypes { exact: vec![event_type(n)], ..EventTypes::default() }),
        to: (0..1 + n % 3).map(|k| format!("destination-{}", (n + k) % DESTINATIONS)).collect(),
        ..Route::default()
    };
    map((0..routes).map(route).collect())
}

/// Like [`by_type`], each route with three destinations and two predicates of three values, of which there are 500 different ones
/// each; `edition` makes two maps of the same size differ.
pub(crate) fn with_conditions(routes: usize, edition: usize) -> RouteMap {
    with_conditions_out_of(500, routes, edition)
}

/// Like [`with_conditions`], but no two predicates are alike.
pub(crate) fn with_conditions_of_their_own(routes: usize, edition: usize) -> RouteMap {
    with_conditions_out_of(usize::MAX, routes, edition)
}

fn with_conditions_out_of(values: usize, routes: usize, edition: usize) -> RouteMap {
    let values = |n: usize, what: &str| {
        let text = |k: usize| Literal {
            kind: Some(literal::Kind::Text(format!("{what}-{:03}", (n + edition + 5 * k) % values))),
        };
        predicate::Test::In(Literals { values: (0..3).map(text).collect() })
    };
    let predicate = |header: &str, test| Condition {
        kind: Some(condition::Kind::Predicate(Predicate {
            attribute: Some(predicate::Attribute::Header(header.to_owned())),
            test: Some(test),
            ..Predicate::default()
        })),
    };
    let route = |n: usize| Route {
        id: format!("route-{n}"),
        types: Some(EventTypes { exact: vec![event_type(n)], ..EventTypes::default() }),
        when: Some(Condition {
            kind: Some(condition::Kind::All(Conditions {
                conditions: vec![
                    predicate("ce_region", values(n, "region")),
                    predicate("ce_client", values(n * 7, "client")),
                ],
            })),
        }),
        to: (0..3).map(|k| format!("destination-{}", (n + k) % DESTINATIONS)).collect(),
        ..Route::default()
    };
    map((0..routes).map(route).collect())
}

fn map(routes: Vec<Route>) -> RouteMap {
    let destination = |n: usize| Destination {
        id: format!("destination-{n}"),
        kind: Some(destination::Kind::Kafka(KafkaTopic { topic: format!("topic-{n}"), ..Default::default() })),
    };
    RouteMap {
        name: "workload".to_owned(),
        destinations: (0..DESTINATIONS).map(destination).collect(),
        routes,
        ..RouteMap::default()
    }
}

/// An event with a type and two more headers.
pub(crate) struct TypedEvent {
    pub(crate) event_type: String,
}

impl Event for TypedEvent {
    fn topic(&self) -> &str {
        "game-events"
    }

    fn key(&self) -> Value<'_> {
        Value::Bytes(b"player-4711")
    }

    #[inline]
    fn header(&self, name: &str) -> Value<'_> {
        match name {
            "ce_type" => Value::Bytes(self.event_type.as_bytes()),
            "ce_region" => Value::Bytes(b"region-007"),
            "ce_client" => Value::Bytes(b"client-049"),
            _ => Value::Missing,
        }
    }

    fn timestamp(&self) -> Option<i64> {
        Some(1_784_000_000_000)
    }
}

/// Events whose types are spread over a map of `routes` routes like cards that were shuffled.
pub(crate) fn shuffled_events(routes: usize, count: usize) -> Vec<TypedEvent> {
    // The 64-bit mixer of SplitMix, so that neighbours in time are strangers in the table.
    let mix = |n: usize| {
        let mut z = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as usize
    };
    (1..=count).map(|n| TypedEvent { event_type: event_type(mix(n) % routes) }).collect()
}
