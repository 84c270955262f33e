//! A router that is too simple to be wrong, and generators of maps and events to compare the table with it.
//!
//! The reference reads the RouteMap message itself, route by route, with the words of `route_map.proto` beside every line. It shares
//! no code with the table.

#![allow(dead_code, reason = "each test crate that includes this file uses a part of it")]

#[path = "evaluate.rs"]
pub(crate) mod evaluate;
mod generate;
mod lookups;
mod templates;

use evaluate::json::Json;
use evaluate::{Answer, Given, evaluate as truth_of, key_of};
pub(crate) use evaluate::{Record, Truth};
#[allow(unused_imports, reason = "likewise")]
pub(crate) use generate::{
    event, make_defaults_right, many_routes, plain_route_map, route_map, without_lookups, world,
};
pub(crate) use lookups::{Found, World};
use std::cell::RefCell;
use std::collections::BTreeMap;
use templates::{Place, place};
use veltrix_proto::v1::{Origin, RecordPart, Route, RouteMap, Tenant, Validation, origin, payload, unmatched};
use veltrix_route_table::{Event, Value};

/// An event that owns what it has.
#[derive(Clone, Debug)]
pub(crate) struct OwnedEvent {
    pub(crate) topic: String,
    pub(crate) key: Option<Vec<u8>>,
    /// `None`: a null header.
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
    pub(crate) payload: Option<String>,
    pub(crate) timestamp: Option<i64>,
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

    fn payload(&self) -> Option<&[u8]> {
        self.payload.as_deref().map(str::as_bytes)
    }

    fn timestamp(&self) -> Option<i64> {
        self.timestamp
    }
}

impl From<Value<'_>> for Given {
    fn from(value: Value<'_>) -> Given {
        match value {
            Value::Missing => Given::Missing,
            Value::Null => Given::Null,
            Value::Bytes(bytes) => Given::Bytes(bytes.to_vec()),
        }
    }
}

/// What should happen to an event: where it goes, and the route that could not be decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    Routed { sent: Sent, undecided: Option<String> },
    Unmatched { sent: Sent, dead_letter: bool },
    Unreadable,
}

/// Where an event goes, by destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) deliveries: BTreeMap<String, Delivered>,
    /// Those that have no topic for it.
    pub(crate) unplaced: BTreeMap<String, Unplaced>,
}

/// The topic of a delivery, and the route that it is by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Delivered {
    pub(crate) topic: String,
    pub(crate) route: Option<String>,
}

/// What stands in the way of a delivery, which route it is by, and who gets it instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unplaced {
    pub(crate) placeholder: String,
    pub(crate) route: Option<String>,
    pub(crate) instead: Option<String>,
}

impl Expected {
    /// Where the event goes, and whether it becomes a dead letter.
    pub(crate) fn fate(self) -> (BTreeMap<String, Delivered>, bool) {
        let (sent, is_dead) = match self {
            Expected::Routed { sent, undecided } => (sent, undecided.is_some()),
            Expected::Unmatched { sent, dead_letter } => (sent, dead_letter),
            Expected::Unreadable => (Sent::default(), true),
        };
        // "Unset: such an event goes to the dead letters, beside all its other deliveries."
        let is_lacking = sent.unplaced.values().any(|unplaced| unplaced.instead.is_none());
        (sent.deliveries, is_dead || is_lacking)
    }
}

impl Sent {
    /// Sends an event to a destination, by a route; those before it in the order of the map were sent before.
    fn send(&mut self, map: &RouteMap, record: &Record, to: &str, route: Option<&str>) {
        let route = route.map(str::to_owned);
        match place(map, to, record) {
            Place::Topic(topic) => {
                self.deliveries.entry(to.to_owned()).or_insert(Delivered { topic, route });
            }
            Place::Without { placeholder, otherwise } => {
                let unplaced = Unplaced { placeholder, route: route.clone(), instead: otherwise.clone() };
                self.unplaced.entry(to.to_owned()).or_insert(unplaced);
                otherwise.iter().for_each(|to| self.send(map, record, to, route.as_deref()));
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.deliveries.is_empty() && self.unplaced.is_empty()
    }
}

/// Whether no other route of its group keeps the route at `at` from being asked. `decided` are the routes of one slot that are about the
/// event, in the order of the map.
pub(crate) fn is_asked(decided: &[(&Route, Truth)], at: usize) -> bool {
    // "Unset: the route delivers whenever it matches, whatever others do."
    let Some(own) = &decided[at].0.exclusive else { return true };
    let keeps = |(other_at, (other, truth)): (usize, &(&Route, Truth))| {
        let Some(other) = other.exclusive.as_ref().filter(|other| other.group == own.group) else { return false };
        let is_before = match (other.default, own.default) {
            (true, _) => false,
            (false, true) => true,
            // "In order of `priority`, equal ones in the order of the map."
            (false, false) => (other.priority, other_at) < (own.priority, at),
        };
        // "The routes behind it are asked all the same; but not the default."
        is_before && *truth == Truth::True && (own.default || !other.continues)
    };
    !decided.iter().enumerate().any(keeps)
}

/// An event as a map reads it.
pub(crate) struct Read<'m> {
    /// All its lookups are unknown, but for those without a key.
    pub(crate) record: Record,
    /// The tenant that it is of, if the map names it.
    own: Option<&'m Tenant>,
    /// The routes that are about its type, in the order of the map: those for every tenant, then its tenant's own.
    pub(crate) routes: Vec<Vec<&'m Route>>,
    /// By the lookup's place in the map.
    pub(crate) keys: Vec<Option<Vec<u8>>>,
}

/// `None`: the event's type can't be told.
pub(crate) fn read<'m>(map: &'m RouteMap, event: &OwnedEvent) -> Option<Read<'m>> {
    let source = map.sources.iter().find(|source| source.topic == event.topic);
    let kind = source.and_then(|source| source.payload.as_ref()).and_then(|payload| payload.kind.as_ref());
    let json = event.payload.as_deref().map(Json::read);
    if let (Some(payload::Kind::Json(of_json)), Some(Err(_))) = (kind, &json)
        && of_json.validation == Validation::Full as i32
    {
        return None;
    }
    let payload = json.and_then(Result::ok).filter(|_| !matches!(kind, Some(payload::Kind::None(_))));
    let find = |origin: Option<&Origin>, default: &str| -> Value<'_> {
        match origin.and_then(|origin| origin.kind.clone()) {
            None => event.header(default),
            Some(origin::Kind::Header(name)) => event.header(&name),
            Some(origin::Kind::Part(part)) if part == RecordPart::Key as i32 => event.key(),
            Some(origin::Kind::Part(_)) => Value::Bytes(event.topic.as_bytes()),
            Some(origin::Kind::Constant(text)) => Value::Bytes(text.leak().as_bytes()),
            // "What is no text is missing."
            Some(origin::Kind::Field(field)) => {
                let place = |root| field.names.iter().try_fold(root, |value: &Json, name| value.field(name));
                match payload.as_ref().and_then(place) {
                    Some(Json::Text(text)) => Value::Bytes(text.as_bytes()),
                    _ => Value::Missing,
                }
            }
        }
    };
    let event_type = match find(source.and_then(|source| source.event_type.as_ref()), "ce_type") {
        Value::Bytes(bytes) if !bytes.is_empty() => bytes,
        _ => return None,
    };
    let tenant = find(source.and_then(|source| source.tenant.as_ref()), "ce_tenant");
    let own = map.tenants.iter().find(|own| tenant == Value::Bytes(own.id.as_bytes()));
    let mut record = Record {
        headers: event.headers.clone(),
        key: event.key().into(),
        topic: Given::Bytes(event.topic.clone().into_bytes()),
        event_type: Given::Bytes(event_type.to_vec()),
        tenant: tenant.into(),
        timestamp_ms: event.timestamp,
        payload: payload.clone().filter(|payload| matches!(payload, Json::Object(_))),
        answers: BTreeMap::new(),
        guesses: RefCell::default(),
    };
    // "Switched off: no event meets the route."
    let is_met = |route: &&Route| {
        let types = route.types.clone().unwrap_or_default();
        let is_about = types.any
            || types.exact.iter().any(|exact| exact.as_bytes() == event_type)
            || types.prefixes.iter().any(|prefix| event_type.starts_with(prefix.as_bytes()));
        is_about && !route.disabled
    };
    let slots = [Some(&map.routes), own.map(|tenant| &tenant.routes)];
    let routes = slots.into_iter().flatten().map(|routes| routes.iter().filter(is_met).collect()).collect();
    let keys: Vec<_> = map.lookups.iter().map(|lookup| key_of(lookup.key.as_ref().unwrap(), &record)).collect();
    for (lookup, key) in map.lookups.iter().zip(&keys) {
        let answer = if key.is_some() { Answer::Unknown } else { Answer::Missing };
        record.answers.insert(lookup.id.clone(), answer);
    }
    Some(Read { record, own, routes, keys })
}

/// What becomes of an event when all is known that can be looked up.
pub(crate) fn expected(map: &RouteMap, event: &OwnedEvent, world: &World) -> Expected {
    let Some(mut read) = read(map, event) else { return Expected::Unreadable };
    (0..map.lookups.len()).for_each(|lookup| read.look_up(map, world, lookup));
    let Read { record, own, routes, .. } = &read;
    let mut sent = Sent::default();
    let mut undecided = None;
    for met in routes {
        let truth = |route: &Route| route.when.as_ref().map_or(Truth::True, |when| truth_of(when, record));
        let decided: Vec<(&Route, Truth)> = met.iter().map(|route| (*route, truth(route))).collect();
        for at in (0..decided.len()).filter(|at| is_asked(&decided, *at)) {
            let (route, truth) = decided[at];
            match truth {
                Truth::True => route.to.iter().for_each(|to| sent.send(map, record, to, Some(&route.id))),
                Truth::Absent if route.on_absent == 2 => undecided = undecided.or(Some(route.id.clone())),
                Truth::False | Truth::Absent => {}
            }
        }
    }
    if !sent.is_empty() || undecided.is_some() {
        return Expected::Routed { sent, undecided };
    }
    // "Unset: what the map says."
    let unmatched = own.and_then(|tenant| tenant.unmatched.clone()).or(map.unmatched.clone());
    let policy = unmatched.and_then(|unmatched| unmatched.policy);
    if let Some(unmatched::Policy::Destination(id)) = &policy {
        sent.send(map, record, id, None);
    }
    Expected::Unmatched { sent, dead_letter: matches!(policy, Some(unmatched::Policy::DeadLetter(_))) }
}

/// A route that an event meets, and what it says of it.
pub(crate) type Met<'m> = (&'m Route, Option<Truth>);

/// What each route for the event's tenant says of it, those for all tenants first, and the event as conditions see it. `None` of a route: it is
/// about other types, or disabled; `None` of all: the event can't be read. Of a map without lookups.
pub(crate) fn truths<'m>(map: &'m RouteMap, event: &OwnedEvent) -> Option<(Record, Vec<Met<'m>>)> {
    let Read { record, own, routes, .. } = read(map, event)?;
    let truth = |route: &'m Route| {
        let is_met = routes.iter().flatten().any(|met| std::ptr::eq(*met, route));
        is_met.then(|| route.when.as_ref().map_or(Truth::True, |when| truth_of(when, &record)))
    };
    let all = map.routes.iter().chain(own.into_iter().flat_map(|tenant| &tenant.routes));
    let truths = all.map(|route| (route, truth(route))).collect();
    Some((record, truths))
}
