//! What a change to the schemas may not do.
//!
//! [`breaks`] compares two descriptor pools. The baseline's messages, fields, enums, values, services, methods and extensions
//! must all be there and be what they were, as the wire and as JSON and text have them (so names count). Fields and enum values
//! may go if number and name stay reserved; nothing that is reserved may come back. Everything new is allowed.
//!
//! Not here, on purpose: packed or not (every parser takes both), defaults, the file that a type is in, and what only generated
//! code sees.

use prost_reflect::{
    Cardinality, DescriptorPool, EnumDescriptor, ExtensionDescriptor, FieldDescriptor, Kind, MessageDescriptor,
    MethodDescriptor, ServiceDescriptor,
};
use std::fmt;
use std::ops::RangeInclusive;

/// One broken promise: where, what, and the way out.
#[derive(Debug)]
pub(crate) struct Break {
    place: String,
    fault: String,
    remedy: String,
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.place, self.fault, self.remedy)
    }
}

/// Every promise of `old` that `new` breaks, not just the first.
pub(crate) fn breaks(old: &DescriptorPool, new: &DescriptorPool) -> Vec<Break> {
    let mut found = Found(Vec::new());
    // The entry messages of maps are checked as the types of their fields.
    for message in old.all_messages().filter(|message| !message.is_map_entry()) {
        match new.get_message_by_name(message.full_name()) {
            Some(today) => check_message(&message, &today, &mut found),
            None => found.vanished(format!("message {}", message.full_name())),
        }
    }
    for enumeration in old.all_enums() {
        match new.get_enum_by_name(enumeration.full_name()) {
            Some(today) => check_enum(&enumeration, &today, &mut found),
            None => found.vanished(format!("enum {}", enumeration.full_name())),
        }
    }
    for service in old.services() {
        match new.get_service_by_name(service.full_name()) {
            Some(today) => check_service(&service, &today, &mut found),
            None => found.vanished(format!("service {}", service.full_name())),
        }
    }
    for extension in old.all_extensions() {
        let place = format!("extension {}", extension.full_name());
        match new.get_extension_by_name(extension.full_name()) {
            Some(today) => {
                let remedy = "put it back, or add an extension with another name and number";
                found.compare(&place, extension_traits(&extension), extension_traits(&today), remedy);
            }
            None => found.vanished(place),
        }
    }
    found.0
}

fn check_message(old: &MessageDescriptor, new: &MessageDescriptor, found: &mut Found) {
    let message = format!("message {}", old.full_name());
    let reserved = Reserved::of_message(new);
    for field in old.fields() {
        let (number, name) = (field.number(), field.name());
        let place = format!("{message}, field {number} `{name}`");
        if let Some(today) = new.get_field(number) {
            let remedy = format!(
                "put it back, or give the new field a number of its own and `reserved {number}; reserved \"{name}\";`"
            );
            found.compare(&place, field_traits(&field), field_traits(&today), &remedy);
        } else if let Some(moved) = new.get_field_by_name(name) {
            found.moved(place, number, moved.number());
        } else {
            found.removed(place, number.into(), name, &reserved);
        }
    }
    found.lifted(&message, &Reserved::of_message(old), &reserved);
}

fn check_enum(old: &EnumDescriptor, new: &EnumDescriptor, found: &mut Found) {
    let enumeration = format!("enum {}", old.full_name());
    let reserved = Reserved::of_enum(new);
    for value in old.values() {
        let (number, name) = (value.number(), value.name());
        let place = format!("{enumeration}, value {number} `{name}`");
        // By name first: a number may have several (`allow_alias`).
        if let Some(today) = new.get_value_by_name(name) {
            if today.number() != number {
                found.moved(place, number, today.number());
            }
        } else if let Some(renamed) = new.get_value(number) {
            let remedy = "put the name back; `allow_alias` lets a number have both";
            found.compare(&place, [("name", name.to_owned())], [("name", renamed.name().to_owned())], remedy);
        } else {
            found.removed(place, number.into(), name, &reserved);
        }
    }
    found.lifted(&enumeration, &Reserved::of_enum(old), &reserved);
}

fn check_service(old: &ServiceDescriptor, new: &ServiceDescriptor, found: &mut Found) {
    for method in old.methods() {
        let place = format!("method {}", method.full_name());
        match new.methods().find(|today| today.name() == method.name()) {
            Some(today) => {
                let remedy = "put it back, or add a method with another name";
                found.compare(&place, method_traits(&method), method_traits(&today), remedy);
            }
            None => found.vanished(place),
        }
    }
}

/// What must stay of a thing, each as a noun and its value.
type Traits<const N: usize> = [(&'static str, String); N];

fn field_traits(field: &FieldDescriptor) -> Traits<4> {
    [
        ("name", field.name().to_owned()),
        ("JSON name", field.json_name().to_owned()),
        ("type", field_type(field)),
        ("label", field_label(field)),
    ]
}

/// Presence and oneof membership are one thing with the cardinality: a field is in exactly one of these states.
fn field_label(field: &FieldDescriptor) -> String {
    match field.containing_oneof() {
        Some(oneof) if !oneof.is_synthetic() => format!("in oneof {}", oneof.name()),
        _ => label(field.cardinality(), field.supports_presence()).to_owned(),
    }
}

fn label(cardinality: Cardinality, presence: bool) -> &'static str {
    match (cardinality, presence) {
        (Cardinality::Repeated, _) => "repeated",
        (Cardinality::Required, _) => "required",
        (Cardinality::Optional, true) => "optional",
        (Cardinality::Optional, false) => "singular without presence",
    }
}

fn field_type(field: &FieldDescriptor) -> String {
    match field.kind() {
        Kind::Message(entry) if field.is_map() => {
            let [key, value] = [entry.map_entry_key_field(), entry.map_entry_value_field()];
            format!("map<{}, {}>", type_name(key.kind(), false), type_name(value.kind(), false))
        }
        kind => type_name(kind, field.is_group()),
    }
}

fn type_name(kind: Kind, is_group: bool) -> String {
    match kind {
        Kind::Message(message) if is_group => format!("group {}", message.full_name()),
        Kind::Message(message) => format!("message {}", message.full_name()),
        Kind::Enum(enumeration) => format!("enum {}", enumeration.full_name()),
        scalar => format!("{scalar:?}"),
    }
}

fn extension_traits(extension: &ExtensionDescriptor) -> Traits<4> {
    [
        ("number", extension.number().to_string()),
        ("extended message", extension.containing_message().full_name().to_owned()),
        ("type", type_name(extension.kind(), extension.is_group())),
        ("label", label(extension.cardinality(), extension.supports_presence()).to_owned()),
    ]
}

fn method_traits(method: &MethodDescriptor) -> Traits<4> {
    let streaming = |streams: bool| (if streams { "a stream" } else { "one message" }).to_owned();
    [
        ("input", method.input().full_name().to_owned()),
        ("output", method.output().full_name().to_owned()),
        ("what the client sends", streaming(method.is_client_streaming())),
        ("what the server sends", streaming(method.is_server_streaming())),
    ]
}

/// The breaks so far; its methods are the ways to break a promise.
struct Found(Vec<Break>);

impl Found {
    fn push(&mut self, place: impl Into<String>, fault: impl Into<String>, remedy: impl Into<String>) {
        self.0.push(Break { place: place.into(), fault: fault.into(), remedy: remedy.into() });
    }

    fn vanished(&mut self, place: String) {
        self.push(place, "vanished", "put it back; it may be deprecated, not removed");
    }

    fn moved(&mut self, place: String, from: impl fmt::Display, to: impl fmt::Display) {
        self.push(place, format!("moved to number {to}"), format!("give it number {from} back"));
    }

    fn compare<const N: usize>(&mut self, place: &str, old: Traits<N>, new: Traits<N>, remedy: &str) {
        for ((noun, before), (_, after)) in old.into_iter().zip(new) {
            if before != after {
                self.push(place, format!("{noun} was {before}, is {after}"), remedy);
            }
        }
    }

    /// A field or value may go, but number and name are spent.
    fn removed(&mut self, place: String, number: i64, name: &str, reserved: &Reserved) {
        let number_kept = reserved.covers(&(number..=number));
        let name_kept = reserved.names.iter().any(|kept| kept == name);
        let (number_line, name_line) = (format!("reserved {number};"), format!("reserved \"{name}\";"));
        let (what, lines) = match (number_kept, name_kept) {
            (true, true) => return,
            (false, true) => ("number", number_line),
            (true, false) => ("name", name_line),
            (false, false) => ("number and name", format!("{number_line} {name_line}")),
        };
        self.push(place, format!("removed without reserving its {what}"), format!("put it back, or add `{lines}`"));
    }

    /// Old data may still hold what a reserved number or name once meant.
    fn lifted(&mut self, place: &str, old: &Reserved, new: &Reserved) {
        for range in old.numbers.iter().filter(|range| !new.covers(range)) {
            let range = show(range);
            self.push(place, format!("number(s) {range} no longer reserved"), format!("put `reserved {range};` back"));
        }
        for name in old.names.iter().filter(|name| !new.names.contains(name)) {
            self.push(place, format!("name `{name}` no longer reserved"), format!("put `reserved \"{name}\";` back"));
        }
    }
}

fn show(range: &RangeInclusive<i64>) -> String {
    if range.start() == range.end() {
        range.start().to_string()
    } else {
        format!("{} to {}", range.start(), range.end())
    }
}

/// Numbers and names that a message or enum will not use again. Wide enough for both kinds of number.
struct Reserved {
    numbers: Vec<RangeInclusive<i64>>,
    names: Vec<String>,
}

impl Reserved {
    fn of_message(message: &MessageDescriptor) -> Reserved {
        Reserved {
            // Descriptors count a message's ranges half open, an enum's closed.
            numbers: message.reserved_ranges().map(|range| range.start.into()..=i64::from(range.end) - 1).collect(),
            names: message.reserved_names().map(str::to_owned).collect(),
        }
    }

    fn of_enum(enumeration: &EnumDescriptor) -> Reserved {
        Reserved {
            numbers: enumeration.reserved_ranges().map(|r| i64::from(*r.start())..=i64::from(*r.end())).collect(),
            names: enumeration.reserved_names().map(str::to_owned).collect(),
        }
    }

    /// Whether every number of `wanted` is reserved, be it by several ranges.
    fn covers(&self, wanted: &RangeInclusive<i64>) -> bool {
        let mut next = *wanted.start();
        while next <= *wanted.end() {
            match self.numbers.iter().find(|range| range.contains(&next)) {
                Some(range) => next = range.end() + 1,
                None => return false,
            }
        }
        true
    }
}
