//! Whether what routes ask of payloads is in the messages that schemas say these are.
//!
//! A table knows the fields of its sources' messages only if all payloads are such; of JSON it takes what comes. But a route that is written
//! beside a schema, about an event which that schema describes, names fields of that message, whatever form the payload has on the way. So
//! this is looked at here, where the schemas are. Of types only those count that are the same in every form: JSON writes 64-bit numbers,
//! enums, bytes and times in more than one way.

use crate::cel::{self, FieldType, MessageId, MessageTypes, Scope};
use crate::event_pattern;
use crate::fault::{Fault, Reason};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use std::collections::BTreeMap;
use veltrix_proto::v1::{self, Condition, Route, RouteMap, any_element, condition, predicate};

/// The messages of events, by event type.
#[derive(Default)]
pub(super) struct Events {
    types: MessageTypes,
    /// All messages that are known, by their full names.
    messages: BTreeMap<String, MessageId>,
    by_type: BTreeMap<String, Vec<MessageId>>,
}

/// Goes through one condition for one message.
struct Walk<'e> {
    events: &'e Events,
    message: MessageId,
    /// What the elements of the `any_element`s are that are around it, the innermost last.
    elements: Vec<FieldType>,
    /// What was found to be wrong, and where.
    faults: Vec<(String, Fault)>,
}

impl Events {
    /// Takes note that events of a type carry this message.
    pub(super) fn add(&mut self, event_type: &str, message: &MessageDescriptor) {
        let id = self.declare(message);
        self.by_type.entry(event_type.to_owned()).or_default().push(id);
    }

    fn declare(&mut self, message: &MessageDescriptor) -> MessageId {
        if let Some(known) = self.messages.get(message.full_name()) {
            return *known;
        }
        let id = self.types.declare();
        self.messages.insert(message.full_name().to_owned(), id);
        for field in message.fields() {
            let kind = self.kind_of(&field);
            self.types.field(id, field.json_name(), kind.clone());
            self.types.field(id, field.name(), kind);
        }
        id
    }

    fn kind_of(&mut self, field: &FieldDescriptor) -> FieldType {
        let one = match field.kind() {
            Kind::Message(entry) if field.is_map() => {
                let value = entry.map_entry_value_field();
                return FieldType::Map(Box::new(self.kind_of(&value)));
            }
            // These are written as texts, plain values or whatever JSON can say.
            Kind::Message(message) if message.full_name().starts_with("google.protobuf.") => FieldType::Any,
            Kind::Message(message) => FieldType::Message(self.declare(&message)),
            Kind::Bool => FieldType::Bool,
            Kind::String => FieldType::String,
            Kind::Float | Kind::Double => FieldType::Double,
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => FieldType::Int,
            Kind::Uint32 | Kind::Fixed32 => FieldType::Uint,
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 | Kind::Uint64 | Kind::Fixed64 => FieldType::Any,
            Kind::Bytes | Kind::Enum(_) => FieldType::Any,
        };
        if field.is_list() { FieldType::Repeated(Box::new(one)) } else { one }
    }

    /// What is wrong with the conditions of a map's routes.
    pub(super) fn faults(&self, map: &RouteMap) -> Vec<Reason> {
        let of_all = map.routes.iter().enumerate().map(|(at, route)| (format!("routes[{at}]"), route));
        let of_tenants = map.tenants.iter().enumerate().flat_map(|(tenant, of)| {
            let routes = of.routes.iter().enumerate();
            routes.map(move |(at, route)| (format!("tenants[{tenant}].routes[{at}]"), route))
        });
        of_all.chain(of_tenants).flat_map(|(path, route)| self.faults_of(&path, route)).collect()
    }

    fn faults_of(&self, path: &str, route: &Route) -> Vec<Reason> {
        let (Some(when), Some(types)) = (&route.when, &route.types) else { return Vec::new() };
        let messages: Option<Vec<&Vec<MessageId>>> = types.exact.iter().map(|name| self.by_type.get(name)).collect();
        // Of other types nothing is known.
        let Some(messages) = messages.filter(|_| types.prefixes.is_empty() && !types.any) else { return Vec::new() };
        let path = format!("{path}.when");
        let mut least: Option<Vec<(String, Fault)>> = None;
        for message in messages.into_iter().flatten() {
            let faults = self.faults_for(*message, when, &path);
            if least.as_ref().is_none_or(|least| faults.len() < least.len()) {
                least = Some(faults);
            }
        }
        let id = Some(route.id.clone()).filter(|id| !id.is_empty());
        let reason = |(path, fault)| Reason { path, route: id.clone(), fault };
        least.unwrap_or_default().into_iter().map(reason).collect()
    }

    fn faults_for(&self, message: MessageId, condition: &Condition, path: &str) -> Vec<(String, Fault)> {
        let mut walk = Walk { events: self, message, elements: Vec::new(), faults: Vec::new() };
        walk.condition(condition, path);
        walk.faults
    }

    /// What lies at the end of some names.
    fn lookup(&self, names: &[String], from: &FieldType) -> Result<FieldType, Fault> {
        let mut kind = from;
        for name in names {
            kind = match one_of(kind) {
                FieldType::Any => return Ok(FieldType::Any),
                FieldType::Map(values) => values,
                FieldType::Message(message) => match self.types.field_of(*message, name) {
                    Some(kind) => kind,
                    None => {
                        let near = cel::nearest(name, self.types.names_of(*message));
                        let (of, near) = (self.name_of(*message), near.map(str::to_owned));
                        return Err(Fault::UnknownPlace { place: names.join("."), name: name.clone(), of, near });
                    }
                },
                _ => {
                    let (place, name) = (names.join("."), name.clone());
                    return Err(Fault::UnknownPlace { place, name, of: String::new(), near: None });
                }
            };
        }
        Ok(kind.clone())
    }

    fn name_of(&self, message: MessageId) -> String {
        let named = self.messages.iter().find(|(_, id)| **id == message);
        named.map_or_else(String::new, |(name, _)| name.clone())
    }
}

impl Walk<'_> {
    fn condition(&mut self, condition: &Condition, path: &str) {
        match &condition.kind {
            None => {}
            Some(condition::Kind::Not(part)) => self.condition(part, &format!("{path}.not")),
            Some(condition::Kind::All(parts)) => self.each(&parts.conditions, &format!("{path}.all")),
            Some(condition::Kind::Any(parts)) => self.each(&parts.conditions, &format!("{path}.any")),
            Some(condition::Kind::AnyElement(any)) => {
                let over = match &any.over {
                    Some(any_element::Over::Field(field)) => self.of_payload(&field.names),
                    Some(any_element::Over::Element(element)) => self.of_element(element),
                    None => Ok(FieldType::Any),
                };
                let over = self.told(over, || format!("{path}.any_element.over"));
                self.elements.push(one_of(&over).clone());
                if let Some(part) = &any.condition {
                    self.condition(part, &format!("{path}.any_element.condition"));
                }
                self.elements.pop();
            }
            Some(condition::Kind::Predicate(predicate)) => {
                let (field, found) = match &predicate.attribute {
                    Some(predicate::Attribute::Field(field)) => ("field", self.of_payload(&field.names)),
                    Some(predicate::Attribute::Element(element)) => ("element", self.of_element(element)),
                    _ => return,
                };
                self.told(found, || format!("{path}.predicate.{field}"));
            }
            Some(condition::Kind::Cel(text)) => {
                if let Err(error) = cel::parse(text, &Scope::payload(&self.events.types, self.message)) {
                    let fault = Fault::Text { language: "cel", error: error.to_string() };
                    self.faults.push((format!("{path}.cel"), fault));
                }
            }
            Some(condition::Kind::EventPattern(text)) => {
                // One that can't be read is refused by the table.
                let Ok(tree) = event_pattern::parse(text) else { return };
                let of_tree = self.events.faults_for(self.message, &tree, "");
                self.faults.extend(of_tree.into_iter().map(|(_, fault)| (format!("{path}.event_pattern"), fault)));
            }
        }
    }

    fn each(&mut self, parts: &[Condition], path: &str) {
        parts.iter().enumerate().for_each(|(at, part)| self.condition(part, &format!("{path}.conditions[{at}]")));
    }

    /// What was found; of what is not there, nothing is known further on.
    fn told(&mut self, found: Result<FieldType, Fault>, path: impl Fn() -> String) -> FieldType {
        found.unwrap_or_else(|fault| {
            self.faults.push((path(), fault));
            FieldType::Any
        })
    }

    fn of_payload(&self, names: &[String]) -> Result<FieldType, Fault> {
        self.events.lookup(names, &FieldType::Message(self.message))
    }

    fn of_element(&self, element: &v1::Element) -> Result<FieldType, Fault> {
        let at = self.elements.len().checked_sub(element.outwards as usize + 1);
        // One that is not there is refused by the table.
        let kind = at.and_then(|at| self.elements.get(at)).unwrap_or(&FieldType::Any);
        self.events.lookup(&element.names, kind)
    }
}

/// An element of a list, or the thing itself if it is none.
fn one_of(kind: &FieldType) -> &FieldType {
    match kind {
        FieldType::Repeated(one) => one_of(one),
        other => other,
    }
}
