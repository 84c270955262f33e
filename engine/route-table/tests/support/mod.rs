//! A router that is too simple to be wrong, and generators of maps and events to compare the table with it.
//!
//! The reference reads the RouteMap message itself, route by route, with the words of `route_map.proto` beside every line. It shares
//! no code with the table.

use proptest::prelude::*;
use std::collections::BTreeMap;
use veltrix_proto::v1::{
    Condition, Conditions, Destination, EventTypes, KafkaTopic, Literal, Literals, Origin, Predicate, RecordPart,
    Route, RouteMap, Source, Tenant, Unmatched, condition, destination, literal, origin, predicate, unmatched,
};
use veltrix_route_table::{Event, Value};

/// An event that owns what it has.
#[derive(Clone, Debug)]
pub(crate) struct OwnedEvent {
    pub(crate) topic: String,
    pub(crate) key: Option<Vec<u8>>,
    /// `None`: a null header.
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Event for OwnedEvent {
    fn topic(&self) -> &str {
        &self.topic
    }

    fn key(&self) -> Value<'_> {
        self.key.as_deref().map_or(Value::Missing, Value::Bytes)
    }

    fn header(&self, name: &str) -> Value<'_> {
        match self.headers.iter().rev().find(|(header, _)| header == name) {
            None => Value::Missing,
            Some((_, None)) => Value::Null,
            Some((_, Some(bytes))) => Value::Bytes(bytes),
        }
    }
}

/// What should happen to an event: destinations with the route that sends it there, and the route that could not be decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    Routed { deliveries: BTreeMap<String, Option<String>>, undecided: Option<String> },
    Unmatched { deliveries: BTreeMap<String, Option<String>> },
    Unreadable,
}

pub(crate) fn expected(map: &RouteMap, event: &OwnedEvent) -> Expected {
    let source = map.sources.iter().find(|source| source.topic == event.topic);
    let find = |origin: Option<&Origin>, default: &str| -> Value<'_> {
        match origin.and_then(|origin| origin.kind.clone()) {
            None => event.header(default),
            Some(origin::Kind::Header(name)) => event.header(&name),
            Some(origin::Kind::Part(part)) if part == RecordPart::Key as i32 => event.key(),
            Some(origin::Kind::Part(_)) => Value::Bytes(event.topic.as_bytes()),
            Some(origin::Kind::Constant(text)) => Value::Bytes(text.leak().as_bytes()),
        }
    };
    let event_type = match find(source.and_then(|source| source.event_type.as_ref()), "ce_type") {
        Value::Bytes(bytes) if !bytes.is_empty() => bytes,
        _ => return Expected::Unreadable,
    };
    let tenant = find(source.and_then(|source| source.tenant.as_ref()), "ce_tenant");
    let own = map.tenants.iter().filter(|own| tenant == Value::Bytes(own.id.as_bytes()));
    let mut deliveries: BTreeMap<String, Option<String>> = BTreeMap::new();
    let mut undecided = None;
    for route in map.routes.iter().chain(own.flat_map(|tenant| &tenant.routes)) {
        let types = route.types.clone().unwrap_or_default();
        let about = types.any
            || types.exact.iter().any(|exact| exact.as_bytes() == event_type)
            || types.prefixes.iter().any(|prefix| event_type.starts_with(prefix.as_bytes()));
        if !about {
            continue;
        }
        match route.when.as_ref().map_or(Some(true), |when| holds(when, event, event_type, tenant)) {
            Some(true) => route.to.iter().for_each(|to| {
                deliveries.entry(to.clone()).or_insert(Some(route.id.clone()));
            }),
            Some(false) => {}
            None if route.on_absent == 2 => undecided = undecided.or(Some(route.id.clone())),
            None => {}
        }
    }
    if !deliveries.is_empty() || undecided.is_some() {
        return Expected::Routed { deliveries, undecided };
    }
    if let Some(unmatched::Policy::Destination(id)) = map.unmatched.clone().and_then(|unmatched| unmatched.policy) {
        deliveries.insert(id, None);
    }
    Expected::Unmatched { deliveries }
}

/// True, false, or `None` for absent.
fn holds(condition: &Condition, event: &OwnedEvent, event_type: &[u8], tenant: Value<'_>) -> Option<bool> {
    let each = |parts: &Conditions| -> Vec<Option<bool>> {
        parts.conditions.iter().map(|part| holds(part, event, event_type, tenant)).collect()
    };
    match condition.kind.as_ref().unwrap() {
        condition::Kind::All(parts) => match each(parts) {
            truths if truths.contains(&Some(false)) => Some(false),
            truths if truths.contains(&None) => None,
            _ => Some(true),
        },
        condition::Kind::Any(parts) => match each(parts) {
            truths if truths.contains(&Some(true)) => Some(true),
            truths if truths.contains(&None) => None,
            _ => Some(false),
        },
        condition::Kind::Not(part) => holds(part, event, event_type, tenant).map(|truth| !truth),
        condition::Kind::Predicate(predicate) => {
            let value = match predicate.attribute.as_ref().unwrap() {
                predicate::Attribute::Header(name) => event.header(name),
                predicate::Attribute::Part(1) => event.key(),
                predicate::Attribute::Part(2) => Value::Bytes(event.topic.as_bytes()),
                predicate::Attribute::Part(3) => Value::Bytes(event_type),
                predicate::Attribute::Part(_) => tenant,
            };
            let text = |literal: &Literal| match literal.kind.clone().unwrap() {
                literal::Kind::Text(text) => text.into_bytes(),
            };
            let test = predicate.test.as_ref().unwrap();
            match (test, value) {
                (predicate::Test::Exists(expected), value) => Some((value != Value::Missing) == *expected),
                (_, Value::Missing) => match predicate.on_missing {
                    2 => Some(true),
                    3 => None,
                    _ => Some(false),
                },
                (_, Value::Null) => Some(false),
                (predicate::Test::Equals(literal), Value::Bytes(bytes)) => Some(text(literal) == bytes),
                (predicate::Test::In(literals), Value::Bytes(bytes)) => {
                    Some(literals.values.iter().any(|literal| text(literal) == bytes))
                }
                (predicate::Test::Prefix(prefix), Value::Bytes(bytes)) => Some(bytes.starts_with(prefix.as_bytes())),
            }
        }
    }
}

/// Few words, so that conditions and events meet often; one is long enough to leave the index's entry.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => "[ab]{1,2}",
        1 => Just("a".repeat(50)),
        1 => Just(format!("{}b", "a".repeat(50))),
    ]
}

fn event_type() -> impl Strategy<Value = String> {
    prop::collection::vec(word(), 1..4).prop_map(|words| words.join("."))
}

fn predicate() -> impl Strategy<Value = Predicate> {
    let attribute =
        prop_oneof!["[xyz]".prop_map(predicate::Attribute::Header), (1..5i32).prop_map(predicate::Attribute::Part),];
    let literal = || word().prop_map(|text| Literal { kind: Some(literal::Kind::Text(text)) });
    let test = prop_oneof![
        literal().prop_map(predicate::Test::Equals),
        prop::collection::vec(literal(), 1..4).prop_map(|values| predicate::Test::In(Literals { values })),
        word().prop_map(predicate::Test::Prefix),
        any::<bool>().prop_map(predicate::Test::Exists),
    ];
    (attribute, test, 0..4i32).prop_map(|(attribute, test, on_missing)| {
        let on_missing = if matches!(test, predicate::Test::Exists(_)) { 0 } else { on_missing };
        Predicate { attribute: Some(attribute), test: Some(test), on_missing }
    })
}

fn condition() -> impl Strategy<Value = Condition> {
    let leaf = predicate().prop_map(condition::Kind::Predicate);
    leaf.prop_recursive(4, 24, 3, |inner| {
        let part = inner.prop_map(|kind| Condition { kind: Some(kind) });
        let parts = || prop::collection::vec(part.clone(), 1..4).prop_map(|conditions| Conditions { conditions });
        prop_oneof![
            parts().prop_map(condition::Kind::All),
            parts().prop_map(condition::Kind::Any),
            part.clone().prop_map(|part| condition::Kind::Not(Box::new(part))),
        ]
    })
    .prop_map(|kind| Condition { kind: Some(kind) })
}

fn types() -> impl Strategy<Value = EventTypes> {
    let exact = prop::collection::vec(event_type(), 0..4);
    let prefixes = prop::collection::vec(event_type(), 0..3);
    (exact, prefixes, prop::bool::weighted(0.1)).prop_map(|(exact, prefixes, any)| {
        let any = any || (exact.is_empty() && prefixes.is_empty());
        EventTypes { exact, prefixes, any }
    })
}

const DESTINATIONS: usize = 5;

fn route() -> impl Strategy<Value = Route> {
    let to = prop::collection::vec((0..DESTINATIONS).prop_map(|n| format!("d{n}")), 1..4);
    (types(), prop::option::of(condition()), to, 0..3i32).prop_map(|(types, when, to, on_absent)| Route {
        id: String::new(),
        types: Some(types),
        when,
        to,
        on_absent,
    })
}

fn origin() -> impl Strategy<Value = Option<Origin>> {
    prop::option::of(
        prop_oneof![
            "[xyz]".prop_map(origin::Kind::Header),
            (1..3i32).prop_map(origin::Kind::Part),
            event_type().prop_map(origin::Kind::Constant),
        ]
        .prop_map(|kind| Origin { kind: Some(kind) }),
    )
}

/// Maps that every compiler must take.
pub(crate) fn route_map() -> impl Strategy<Value = RouteMap> {
    let sources = prop::collection::btree_map("t[12]", (origin(), origin()), 0..3).prop_map(|sources| {
        let source = |(topic, (event_type, tenant))| Source { topic, event_type, tenant };
        sources.into_iter().map(source).collect::<Vec<_>>()
    });
    let tenants = prop::collection::btree_map(word(), prop::collection::vec(route(), 0..4), 0..4);
    let unmatched = prop::option::of(prop_oneof![
        Just(unmatched::Policy::Drop(Default::default())),
        Just(unmatched::Policy::DeadLetter(Default::default())),
        Just(unmatched::Policy::Destination("d1".to_owned())),
    ]);
    (sources, prop::collection::vec(route(), 1..8), tenants, unmatched).prop_map(
        |(sources, routes, tenants, policy)| {
            let destination = |n| Destination {
                id: format!("d{n}"),
                kind: Some(destination::Kind::Kafka(KafkaTopic { topic: format!("topic-{n}") })),
            };
            let tenant = |(id, routes)| Tenant { id, labels: Default::default(), routes };
            let mut map = RouteMap {
                name: "generated".to_owned(),
                sources,
                destinations: (0..DESTINATIONS).map(destination).collect(),
                routes,
                tenants: tenants.into_iter().map(tenant).collect(),
                unmatched: policy.map(|policy| Unmatched { policy: Some(policy) }),
            };
            let all = map.routes.iter_mut().chain(map.tenants.iter_mut().flat_map(|tenant| &mut tenant.routes));
            all.enumerate().for_each(|(n, route)| route.id = format!("r{n}"));
            map
        },
    )
}

pub(crate) fn event() -> impl Strategy<Value = OwnedEvent> {
    let bytes = || prop_oneof![6 => word().prop_map(String::into_bytes), 1 => Just(vec![]), 1 => Just(vec![0xff])];
    let value = || prop::option::weighted(0.9, bytes());
    let type_value = prop::option::weighted(0.95, event_type().prop_map(String::into_bytes));
    let headers = prop::collection::vec(("[xyz]", value()), 0..4);
    ("t[123]", prop::option::of(bytes()), prop::option::weighted(0.95, type_value), prop::option::of(value()), headers)
        .prop_map(|(topic, key, event_type, tenant, mut headers)| {
            headers.extend(event_type.map(|value| ("ce_type".to_owned(), value)));
            headers.extend(tenant.map(|value| ("ce_tenant".to_owned(), value)));
            OwnedEvent { topic, key, headers }
        })
}
