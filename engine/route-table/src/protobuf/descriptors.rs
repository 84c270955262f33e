//! The types of messages, read from a `google.protobuf.FileDescriptorSet`.
//!
//! It is walked over the wire, as the map is, and laid into flat lists whose lengths are limits, so that few bytes can't claim much
//! memory. Needed to compile only: a table keeps what its plans need. Extensions, services and options that don't matter here are
//! passed over. What the fields of descriptors mean: `google/protobuf/descriptor.proto`.

use crate::cel::{self, FieldType, MessageTypes};
use crate::condition::range;
use crate::fault::WireFault;
use crate::limits::{self, Limit};
use crate::wire::{Field, Reader};
use std::collections::HashMap;

/// A message's place among those of a [`Descriptors`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct MessageId(pub(crate) u16);

/// Why bytes are no descriptors that messages can be read by.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum BadDescriptors {
    #[error("it is no serialized google.protobuf.FileDescriptorSet: {0}")]
    Wire(#[from] WireFault),
    #[error(
        "field `{field}` is of type `{type_name}`, which is not in the set; write it with all imports, as protoc's --include_imports does"
    )]
    UnknownType { field: String, type_name: String },
    #[error("`{name}` is there twice")]
    Twice { name: String },
    #[error("field `{field}` has the type number {number}, which is unknown here")]
    UnknownTypeNumber { field: String, number: u64 },
    #[error("it has more than {} {}: limit `{}`", limit.max, limit.meaning, limit.name)]
    OverLimit { limit: &'static Limit },
}

/// All message types of a set.
#[derive(Debug, Default)]
pub(crate) struct Descriptors {
    messages: Vec<Message>,
    fields: Vec<FieldRow>,
    enums: Vec<(u32, u32)>,
    /// Numbers and names of all enums' values.
    symbols: Vec<(i32, String)>,
    by_name: HashMap<String, Named>,
}

#[derive(Clone, Copy, Debug)]
enum Named {
    Message(MessageId),
    Enum(u32),
}

#[derive(Debug, Default)]
struct Message {
    name: String,
    first_field: u32,
    fields: u32,
    is_map_entry: bool,
}

/// A field of a message.
#[derive(Clone, Debug)]
pub(crate) struct FieldRow {
    pub(crate) name: String,
    pub(crate) json_name: String,
    pub(crate) number: u32,
    pub(crate) holds: Holds,
    pub(crate) is_repeated: bool,
    /// Whether one that is not in the bytes is missing.
    pub(crate) has_presence: bool,
    /// Its `oneof` among those of the message, if that has several members or could have.
    pub(crate) oneof: Option<u32>,
}

/// What a field holds, or an element of one that is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    Scalar(Scalar),
    /// A wrapper message, which stands for the value in its field 1.
    Wrapped(Scalar, MessageId),
    /// `is_group`: between a tag that begins it and one that ends it.
    Message {
        id: MessageId,
        is_group: bool,
    },
    /// A map; its entries are messages of this type.
    Map(MessageId),
}

/// What names lead to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resolved {
    /// The type, of messages.
    pub(crate) message: Option<MessageId>,
}

/// How a value without fields stands on the wire, and what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scalar {
    Bool,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Float,
    Double,
    Text,
    Bytes,
    /// Place among the enums.
    Enum(u32),
}

impl Scalar {
    /// What the wrapper message of this name wraps.
    fn wrapped_by(name: &str) -> Option<Scalar> {
        Some(match name.strip_prefix("google.protobuf.")? {
            "BoolValue" => Scalar::Bool,
            "Int32Value" => Scalar::Int32,
            "Int64Value" => Scalar::Int64,
            "UInt32Value" => Scalar::Uint32,
            "UInt64Value" => Scalar::Uint64,
            "FloatValue" => Scalar::Float,
            "DoubleValue" => Scalar::Double,
            "StringValue" => Scalar::Text,
            "BytesValue" => Scalar::Bytes,
            _ => return None,
        })
    }
}

/// What the fields of a file say if nothing else is said.
#[derive(Clone, Copy)]
struct FileRules {
    /// Whether fields have presence, as in proto2 and in editions.
    has_presence: bool,
}

/// A field as it was read, before the names of all types were known.
struct Raw {
    name: String,
    json_name: Option<String>,
    number: u32,
    label: u64,
    type_number: u64,
    type_name: String,
    oneof: Option<u32>,
    is_optional_of_proto3: bool,
    has_presence: bool,
}

impl Descriptors {
    /// Reads a set.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub(crate) fn read(set: Reader<'_>) -> Result<Descriptors, BadDescriptors> {
        let mut building = Building::default();
        each(set, |field| if field.number == 1 { building.file(field.message()?) } else { Ok(()) })?;
        building.finish()
    }

    /// The message of this full name.
    pub(crate) fn message(&self, name: &str) -> Option<MessageId> {
        match self.by_name.get(name.strip_prefix('.').unwrap_or(name))? {
            Named::Message(id) => Some(*id),
            Named::Enum(_) => None,
        }
    }

    pub(crate) fn message_names(&self) -> impl Iterator<Item = &str> {
        self.messages.iter().filter(|message| !message.is_map_entry).map(|message| message.name.as_str())
    }

    pub(crate) fn name_of(&self, message: MessageId) -> &str {
        self.messages.get(usize::from(message.0)).map_or("", |message| &message.name)
    }

    /// The fields of a message.
    pub(crate) fn fields(&self, message: MessageId) -> &[FieldRow] {
        let Some(message) = self.messages.get(usize::from(message.0)) else { return &[] };
        self.fields.get(range(message.first_field, message.fields)).unwrap_or_default()
    }

    /// The field of this name, or else of this JSON name.
    pub(crate) fn field(&self, message: MessageId, name: &str) -> Option<&FieldRow> {
        let fields = self.fields(message);
        let named = fields.iter().find(|field| field.name == name);
        named.or_else(|| fields.iter().find(|field| field.json_name == name))
    }

    /// The names of a message's fields.
    pub(crate) fn names_of(&self, message: MessageId) -> impl Iterator<Item = &str> {
        self.fields(message).iter().map(|field| field.name.as_str())
    }

    /// What `names` lead to from a message.
    ///
    /// # Errors
    /// The first name that leads nowhere, and the message that has no such field, if that is why.
    pub(crate) fn resolve<'n>(
        &self,
        message: MessageId,
        names: &[&'n str],
    ) -> Result<Resolved, (Option<MessageId>, &'n str)> {
        let mut holds = Holds::Message { id: message, is_group: false };
        for name in names {
            let field = match holds {
                Holds::Message { id, .. } => self.field(id, name).ok_or((Some(id), *name))?,
                Holds::Map(entry) => self.entry(entry).ok_or((None, *name))?.1,
                Holds::Scalar(_) | Holds::Wrapped(..) => return Err((None, *name)),
            };
            holds = field.holds;
        }
        Ok(Resolved { message: if let Holds::Message { id, .. } = holds { Some(id) } else { None } })
    }

    /// Key and value of a map's entries.
    pub(crate) fn entry(&self, entry: MessageId) -> Option<(Scalar, &FieldRow)> {
        let of_number = |number| self.fields(entry).iter().find(|field| field.number == number);
        match of_number(1)?.holds {
            Holds::Scalar(key) => Some((key, of_number(2)?)),
            _ => None,
        }
    }

    /// The messages as CEL texts are checked against them; each has the place among them that it has here.
    pub(crate) fn types(&self) -> (MessageTypes, Vec<cel::MessageId>) {
        let mut types = MessageTypes::new();
        let ids: Vec<cel::MessageId> = self.messages.iter().map(|_| types.declare()).collect();
        for (number, id) in (0..).zip(&ids) {
            // A field's own name hides another's JSON name, and so comes last.
            let fields = self.fields(MessageId(number));
            let by_json = fields.iter().map(|field| (&field.json_name, field));
            for (name, field) in by_json.chain(fields.iter().map(|field| (&field.name, field))) {
                types.field(*id, name, self.type_of(field, &ids));
            }
        }
        (types, ids)
    }

    fn type_of(&self, field: &FieldRow, ids: &[cel::MessageId]) -> FieldType {
        let one = match field.holds {
            Holds::Scalar(scalar) | Holds::Wrapped(scalar, _) => self.type_of_scalar(scalar),
            Holds::Message { id, .. } => {
                ids.get(usize::from(id.0)).map_or(FieldType::Any, |id| FieldType::Message(*id))
            }
            Holds::Map(entry) => {
                let value = self.entry(entry).map_or(FieldType::Any, |(_, value)| self.type_of(value, ids));
                return FieldType::Map(Box::new(value));
            }
        };
        if field.is_repeated { FieldType::Repeated(Box::new(one)) } else { one }
    }

    fn type_of_scalar(&self, scalar: Scalar) -> FieldType {
        match scalar {
            Scalar::Bool => FieldType::Bool,
            Scalar::Int32 | Scalar::Int64 | Scalar::Sint32 | Scalar::Sint64 => FieldType::Int,
            Scalar::Sfixed32 | Scalar::Sfixed64 => FieldType::Int,
            Scalar::Uint32 | Scalar::Uint64 | Scalar::Fixed32 | Scalar::Fixed64 => FieldType::Uint,
            Scalar::Float | Scalar::Double => FieldType::Double,
            Scalar::Text => FieldType::String,
            Scalar::Bytes => FieldType::Bytes,
            Scalar::Enum(number) => {
                FieldType::Enum(self.symbols(number).iter().map(|(_, name)| name.clone()).collect())
            }
        }
    }

    /// Numbers and names of an enum's values, in the order in which they are declared.
    pub(crate) fn symbols(&self, number: u32) -> &[(i32, String)] {
        let (first, count) = self.enums.get(number as usize).copied().unwrap_or_default();
        self.symbols.get(range(first, count)).unwrap_or_default()
    }
}

/// Calls `read` with every field of a message.
fn each<'a>(
    mut message: Reader<'a>,
    mut read: impl FnMut(Field<'a>) -> Result<(), BadDescriptors>,
) -> Result<(), BadDescriptors> {
    while let Some(field) = message.next() {
        read(field?)?;
    }
    Ok(())
}

fn check(limit: &'static Limit, count: usize) -> Result<(), BadDescriptors> {
    if count as u64 > limit.max { Err(BadDescriptors::OverLimit { limit }) } else { Ok(()) }
}

#[derive(Default)]
struct Building {
    descriptors: Descriptors,
    /// The fields of all messages, in the order of the messages.
    raw: Vec<Raw>,
}

impl Building {
    fn file(&mut self, file: Reader<'_>) -> Result<(), BadDescriptors> {
        let (mut package, mut syntax, mut edition, mut presence) = (String::new(), String::new(), 0, None);
        each(file, |field| {
            match field.number {
                2 => package = field.text()?.to_owned(),
                8 => presence = presence_of_options(field.message()?, 50)?,
                12 => syntax = field.text()?.to_owned(),
                14 => edition = field.number_value()?,
                _ => {}
            }
            Ok(())
        })?;
        let is_proto3 = syntax == "proto3" && edition == 0;
        let rules = FileRules { has_presence: presence.unwrap_or(!is_proto3) };
        each(file, |field| match field.number {
            4 => self.message(field.message()?, &package, rules, 1),
            5 => self.enumeration(field.message()?, &package),
            _ => Ok(()),
        })
    }

    fn declare(&mut self, scope: &str, name: &str, named: Named) -> Result<String, BadDescriptors> {
        let full = if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") };
        match self.descriptors.by_name.insert(full.clone(), named) {
            Some(_) => Err(BadDescriptors::Twice { name: full }),
            None => Ok(full),
        }
    }

    fn message(
        &mut self,
        message: Reader<'_>,
        scope: &str,
        rules: FileRules,
        depth: u64,
    ) -> Result<(), BadDescriptors> {
        check(&limits::DESCRIPTOR_DEPTH, depth as usize)?;
        check(&limits::DESCRIPTOR_MESSAGES, self.descriptors.messages.len() + 1)?;
        let id = MessageId(self.descriptors.messages.len() as u16);
        let (mut name, mut is_map_entry) = ("", false);
        let first_field = self.raw.len() as u32;
        each(message, |field| {
            match field.number {
                1 => name = field.text()?,
                2 => {
                    check(&limits::DESCRIPTOR_FIELDS, self.raw.len() + 1)?;
                    self.raw.push(raw_field(field.message()?, rules)?);
                }
                7 => each(field.message()?, |option| {
                    if option.number == 7 {
                        is_map_entry = option.flag()?;
                    }
                    Ok(())
                })?,
                _ => {}
            }
            Ok(())
        })?;
        let name = self.declare(scope, name, Named::Message(id))?;
        let fields = self.raw.len() as u32 - first_field;
        check(&limits::MESSAGE_FIELDS, fields as usize)?;
        self.descriptors.messages.push(Message { name: name.clone(), first_field, fields, is_map_entry });
        each(message, |field| match field.number {
            3 => self.message(field.message()?, &name, rules, depth + 1),
            4 => self.enumeration(field.message()?, &name),
            _ => Ok(()),
        })
    }

    fn enumeration(&mut self, enumeration: Reader<'_>, scope: &str) -> Result<(), BadDescriptors> {
        let Descriptors { enums, symbols, .. } = &mut self.descriptors;
        let (number, first) = (enums.len() as u32, symbols.len());
        let mut name = "";
        each(enumeration, |field| {
            match field.number {
                1 => name = field.text()?,
                2 => {
                    check(&limits::DESCRIPTOR_FIELDS, symbols.len() + 1)?;
                    let mut symbol = (0, String::new());
                    each(field.message()?, |field| {
                        match field.number {
                            1 => symbol.1 = field.text()?.to_owned(),
                            2 => symbol.0 = field.number_value()? as i32,
                            _ => {}
                        }
                        Ok(())
                    })?;
                    symbols.push(symbol);
                }
                _ => {}
            }
            Ok(())
        })?;
        check(&limits::DESCRIPTOR_MESSAGES, enums.len() + 1)?;
        enums.push((first as u32, (symbols.len() - first) as u32));
        self.declare(scope, name, Named::Enum(number)).map(drop)
    }

    /// Finds what the names of types stand for.
    fn finish(mut self) -> Result<Descriptors, BadDescriptors> {
        for raw in std::mem::take(&mut self.raw) {
            let holds = self.holds(&raw)?;
            let Raw { name, json_name, number, label, oneof, is_optional_of_proto3, has_presence, .. } = raw;
            let oneof = oneof.filter(|_| !is_optional_of_proto3);
            let is_repeated = label == 3;
            let is_message = !matches!(holds, Holds::Scalar(_));
            let has_presence = has_presence || is_optional_of_proto3 || oneof.is_some() || is_message;
            let json_name = json_name.unwrap_or_else(|| camel_case(&name));
            let has_presence = has_presence && !is_repeated;
            self.descriptors.fields.push(FieldRow { name, json_name, number, holds, is_repeated, has_presence, oneof });
        }
        Ok(self.descriptors)
    }

    fn holds(&self, raw: &Raw) -> Result<Holds, BadDescriptors> {
        let named = self.descriptors.by_name.get(raw.type_name.strip_prefix('.').unwrap_or(&raw.type_name));
        let unknown = || BadDescriptors::UnknownType { field: raw.name.clone(), type_name: raw.type_name.clone() };
        Ok(Holds::Scalar(match raw.type_number {
            1 => Scalar::Double,
            2 => Scalar::Float,
            3 => Scalar::Int64,
            4 => Scalar::Uint64,
            5 => Scalar::Int32,
            6 => Scalar::Fixed64,
            7 => Scalar::Fixed32,
            8 => Scalar::Bool,
            9 => Scalar::Text,
            12 => Scalar::Bytes,
            13 => Scalar::Uint32,
            14 => match named {
                Some(Named::Enum(number)) => Scalar::Enum(*number),
                _ => return Err(unknown()),
            },
            15 => Scalar::Sfixed32,
            16 => Scalar::Sfixed64,
            17 => Scalar::Sint32,
            18 => Scalar::Sint64,
            10 | 11 => {
                let Some(Named::Message(id)) = named else { return Err(unknown()) };
                let message = self.descriptors.messages.get(usize::from(id.0)).ok_or_else(unknown)?;
                return Ok(match Scalar::wrapped_by(&message.name) {
                    Some(scalar) => Holds::Wrapped(scalar, *id),
                    None if message.is_map_entry && raw.label == 3 => Holds::Map(*id),
                    None => Holds::Message { id: *id, is_group: raw.type_number == 10 },
                });
            }
            number => return Err(BadDescriptors::UnknownTypeNumber { field: raw.name.clone(), number }),
        }))
    }
}

fn raw_field(message: Reader<'_>, rules: FileRules) -> Result<Raw, BadDescriptors> {
    let mut raw = Raw {
        name: String::new(),
        json_name: None,
        number: 0,
        label: 1,
        type_number: 0,
        type_name: String::new(),
        oneof: None,
        is_optional_of_proto3: false,
        has_presence: rules.has_presence,
    };
    each(message, |field| {
        match field.number {
            1 => raw.name = field.text()?.to_owned(),
            3 => raw.number = field.number_value()? as u32,
            4 => raw.label = field.number_value()?,
            5 => raw.type_number = field.number_value()?,
            6 => raw.type_name = field.text()?.to_owned(),
            8 => raw.has_presence = presence_of_options(field.message()?, 21)?.unwrap_or(raw.has_presence),
            9 => raw.oneof = Some(field.number_value()? as u32),
            10 => raw.json_name = Some(field.text()?.to_owned()),
            17 => raw.is_optional_of_proto3 = field.flag()?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(raw)
}

/// What the features among some options say of presence; `number` is that of the features.
fn presence_of_options(options: Reader<'_>, number: u32) -> Result<Option<bool>, BadDescriptors> {
    let mut presence = None;
    each(options, |option| {
        if option.number == number {
            each(option.message()?, |feature| {
                if feature.number == 1 {
                    // 2 is IMPLICIT; EXPLICIT and LEGACY_REQUIRED have presence.
                    presence = Some(feature.number_value()? != 2);
                }
                Ok(())
            })?;
        }
        Ok(())
    })?;
    Ok(presence)
}

/// The JSON name of a field that does not say it.
fn camel_case(name: &str) -> String {
    let mut after_underscore = false;
    let mut out = String::new();
    for letter in name.chars() {
        match letter {
            '_' => after_underscore = true,
            letter if std::mem::take(&mut after_underscore) => out.extend(letter.to_uppercase()),
            letter => out.push(letter),
        }
    }
    out
}
