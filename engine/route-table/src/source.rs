//! What a source says of its records: where type and tenant are, and what the payload is.
//!
//! For most sources an event is what it is, and nothing happens here. Where type or tenant come from the payload, or the payload is
//! framed, wrapped or to be validated, the event is [*opened*](Opening::open) before any route is asked.

use crate::content::{Content, Format};
use crate::evaluate::datum;
use crate::event::{Event, Value};
use crate::fields::{FieldIndex, Fields, PlanIndex, Reading};
use crate::found::{Found, Kind};
use crate::json;
use crate::limits::PAYLOAD_DEPTH;
use crate::predicate::Datum;
use crate::protobuf::check::Schema;
use crate::protobuf::framing::Framing;
use crate::protobuf::{self, MessageId};
use crate::table::Text;
use std::ops::Range;

/// Where a source's records carry type and tenant, and how their payloads are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SourceRule {
    pub(crate) event_type: Origin,
    pub(crate) tenant: Origin,
    pub(crate) payload: PayloadRule,
    /// The fields of the payload that type and tenant are.
    pub(crate) origins: Option<PlanIndex>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Origin {
    Header(Text),
    Key,
    Topic,
    Constant(Text),
    /// In the payload; only an event that was opened has it.
    Field(FieldIndex),
}

/// What a source's payloads are. `full`: whether they are validated as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PayloadRule {
    Json { full: bool },
    Protobuf { message: MessageId, framing: Framing, full: bool },
    CloudEvents { always_structured: bool, full: bool },
    Nothing,
}

impl PayloadRule {
    /// Whether the payload of a record with this content type is an event in structured mode.
    pub(crate) fn is_envelope(self, content_type: Value<'_>) -> bool {
        match self {
            PayloadRule::CloudEvents { always_structured, .. } => always_structured || is_structured(content_type),
            _ => false,
        }
    }
}

impl SourceRule {
    /// Whether events are what they are: JSON that is read as far as somebody asks, and nothing in it that must be known before.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.payload == PayloadRule::Json { full: false } && self.origins.is_none()
    }
}

impl Origin {
    #[inline]
    pub(crate) fn of<'e, E: Event + ?Sized>(self, texts: &'e str, event: &'e E) -> Value<'e> {
        match self {
            Origin::Header(name) => event.header(name.of(texts)),
            Origin::Key => event.key(),
            Origin::Topic => Value::Bytes(event.topic().as_bytes()),
            Origin::Constant(text) => Value::Bytes(text.bytes_of(texts)),
            Origin::Field(_) => Value::Missing,
        }
    }
}

/// Why an event can't be routed: its type can't be told, or its payload is not what its source says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The place that the source names has no value.
    #[error("the event has no type")]
    TypeMissing,
    /// The place that the source names has an empty value.
    #[error("the event's type is empty")]
    TypeEmpty,
    /// The source asks for payloads that are valid as a whole.
    #[error("the payload is not valid JSON: byte {at} can't stand there")]
    InvalidJson {
        /// Where in the payload.
        at: usize,
    },
    /// The source asks for payloads that are valid as a whole, which is found out up to a depth only.
    #[error("the payload is nested too deep: byte {at} opens a container within {} others, and `{}` is the limit", PAYLOAD_DEPTH.max, PAYLOAD_DEPTH.name)]
    JsonTooDeep {
        /// Where in the payload.
        at: usize,
    },
    /// The source asks for payloads that are valid as a whole.
    #[error("the payload is no message of the type that its source says: byte {at} begins a field that can't be one")]
    InvalidProtobuf {
        /// Where in the payload.
        at: usize,
    },
    /// The bytes before a protobuf message are not those that the source says, or do not fit its length.
    #[error("the payload has not the framing that its source says")]
    InvalidFraming,
}

impl Unreadable {
    /// Whether it is the type that can't be told.
    pub fn is_about_type(self) -> bool {
        matches!(self, Unreadable::TypeMissing | Unreadable::TypeEmpty)
    }
}

/// The attributes of a CloudEvents envelope that somebody asks for: a plan for the envelope, and what its fields are.
#[derive(Debug, Default)]
pub(crate) struct Envelope {
    pub(crate) plan: Option<PlanIndex>,
    /// The number of the member `data` in the plan.
    pub(crate) data: u32,
    /// Attributes by name, and their numbers.
    pub(crate) attributes: Vec<(Text, u32)>,
}

impl Envelope {
    pub(crate) fn clear(&mut self) {
        self.plan = None;
        self.attributes.clear();
    }
}

/// The memory that opening events needs; reused for all of them.
#[derive(Debug, Default)]
pub(crate) struct Opening {
    envelope: Reading,
    origins: Reading,
    rewritten: Rewritten,
    scratch: Vec<u8>,
    event_type: Vec<u8>,
    tenant: Vec<u8>,
}

/// The attributes of an envelope that have escapes, without them.
#[derive(Debug, Default)]
struct Rewritten {
    /// Their numbers, and where they are in `texts`.
    places: Vec<(u32, Range<usize>)>,
    texts: Vec<u8>,
}

/// What of a table is needed to open events.
#[derive(Clone, Copy)]
pub(crate) struct Opener<'t> {
    pub(crate) fields: &'t Fields,
    pub(crate) texts: &'t str,
    pub(crate) envelope: &'t Envelope,
    pub(crate) schema: &'t Schema,
}

/// An event that was opened.
pub(crate) struct Opened<'e, E: ?Sized> {
    event: &'e E,
    pub(crate) payload: Content<'e>,
    /// Type and tenant where they are in the payload.
    event_type: Option<Value<'e>>,
    tenant: Option<Value<'e>>,
    attributes: Option<Attributes<'e>>,
}

/// The attributes of an envelope, as headers.
struct Attributes<'e> {
    opener: Opener<'e>,
    payload: &'e [u8],
    reading: &'e Reading,
    rewritten: &'e Rewritten,
}

impl Opening {
    /// Finds out what must be known of an event before its routes are asked.
    ///
    /// # Errors
    /// The payload is not what the source says.
    pub(crate) fn open<'e, E: Event + ?Sized>(
        &'e mut self,
        opener: Opener<'e>,
        rule: &SourceRule,
        event: &'e E,
    ) -> Result<Opened<'e, E>, Unreadable> {
        let Opening { envelope, origins, rewritten, scratch, event_type, tenant } = self;
        let mut opened = Opened { event, payload: Content::NOTHING, event_type: None, tenant: None, attributes: None };
        match (rule.payload, event.payload()) {
            // It has no fields, and nothing that could be invalid.
            (PayloadRule::Nothing, _) | (_, None) => {}
            (PayloadRule::Json { full }, Some(payload)) => opened.payload = json(payload, full)?,
            (PayloadRule::Protobuf { message, framing, full }, Some(payload)) => {
                opened.payload = message_of(opener.schema, payload, (message, framing, full))?;
            }
            (PayloadRule::CloudEvents { full, .. }, Some(payload)) => {
                opened.payload = json(payload, full)?;
                if rule.payload.is_envelope(event.header("content-type")) {
                    opened.payload = open_envelope(opener, envelope, payload);
                    rewritten.fill(opener, envelope, payload, scratch);
                    let reading = &*envelope;
                    opened.attributes = Some(Attributes { opener, payload, reading, rewritten });
                }
            }
        }
        if let Some(plan) = rule.origins {
            origins.read(opener.fields, plan, opened.payload);
            let mut text_of = |origin: Origin, into: &'e mut Vec<u8>| {
                let Origin::Field(field) = origin else { return None };
                Some(text(opener.fields, (origins, plan), field, opened.payload.bytes, (scratch, into)))
            };
            opened.event_type = text_of(rule.event_type, event_type);
            opened.tenant = text_of(rule.tenant, tenant);
        }
        Ok(opened)
    }
}

fn json(payload: &[u8], full: bool) -> Result<Content<'_>, Unreadable> {
    if full {
        json::validate(payload).map_err(|malformed| match malformed {
            json::Malformed::Syntax { at } => Unreadable::InvalidJson { at },
            json::Malformed::TooDeep { at } => Unreadable::JsonTooDeep { at },
        })?;
    }
    Ok(Content::json(payload))
}

fn message_of<'p>(
    schema: &Schema,
    payload: &'p [u8],
    (message, framing, full): (MessageId, Framing, bool),
) -> Result<Content<'p>, Unreadable> {
    let bytes = framing.message(payload).ok_or(Unreadable::InvalidFraming)?;
    if full {
        let begin = payload.len() - bytes.len();
        protobuf::check::check(schema, message, bytes).map_err(|at| Unreadable::InvalidProtobuf { at: begin + at })?;
    }
    Ok(Content { bytes, format: Format::Protobuf(message) })
}

/// Whether a `content-type` says that a record is an envelope.
fn is_structured(content_type: Value<'_>) -> bool {
    const STRUCTURED: &[u8] = b"application/cloudevents+json";
    let Value::Bytes(text) = content_type else { return false };
    let Some((begin, rest)) = text.split_at_checked(STRUCTURED.len()) else { return false };
    begin.eq_ignore_ascii_case(STRUCTURED) && matches!(rest.first(), None | Some(b';' | b' ' | b'\t'))
}

/// Reads an envelope; what is left is its `data`.
fn open_envelope<'p>(opener: Opener<'_>, reading: &mut Reading, payload: &'p [u8]) -> Content<'p> {
    let Some(plan) = opener.envelope.plan else { return Content::NOTHING };
    reading.read(opener.fields, plan, Content::json(payload));
    match first(reading, opener.fields, opener.envelope.data) {
        Some(data) if data.kind() == Kind::Object => Content::json(data.of(payload)),
        _ => Content::NOTHING,
    }
}

fn first(reading: &Reading, fields: &Fields, number: u32) -> Option<Found> {
    reading.values(fields, number).next()
}

impl Rewritten {
    fn fill(&mut self, opener: Opener<'_>, reading: &Reading, payload: &[u8], scratch: &mut Vec<u8>) {
        self.places.clear();
        self.texts.clear();
        for (_, number) in &opener.envelope.attributes {
            if let Some(found) = first(reading, opener.fields, *number)
                && found.kind() == (Kind::Text { escaped: true })
                && json::unescape(found.of(payload), scratch).is_ok()
            {
                let begin = self.texts.len();
                self.texts.extend_from_slice(scratch);
                self.places.push((*number, begin..self.texts.len()));
            }
        }
    }

    fn get(&self, number: u32) -> Option<&[u8]> {
        let (_, range) = self.places.iter().find(|(rewritten, _)| *rewritten == number)?;
        self.texts.get(range.clone())
    }
}

/// The text of a field, copied; missing if it is none.
fn text<'o>(
    fields: &Fields,
    (reading, plan): (&Reading, PlanIndex),
    field: FieldIndex,
    bytes: &[u8],
    (scratch, into): (&mut Vec<u8>, &'o mut Vec<u8>),
) -> Value<'o> {
    let number = fields.of_plan(plan).binary_search(&field).unwrap_or(usize::MAX) as u32;
    let Some(found) = first(reading, fields, number) else { return Value::Missing };
    let Some(Datum::Text(text)) = datum(fields, bytes, &found, scratch) else { return Value::Missing };
    into.clear();
    into.extend_from_slice(text);
    Value::Bytes(into)
}

impl<E: Event + ?Sized> Opened<'_, E> {
    /// What an origin yields for the event: its type.
    pub(crate) fn event_type<'v>(&'v self, texts: &'v str, origin: Origin) -> Value<'v> {
        self.event_type.unwrap_or_else(|| origin.of(texts, self))
    }

    /// Its tenant, if that is in the payload.
    pub(crate) fn tenant(&self) -> Option<Value<'_>> {
        self.tenant
    }
}

impl Attributes<'_> {
    fn get(&self, name: &str) -> Value<'_> {
        let Opener { texts, envelope, fields, .. } = self.opener;
        let named = envelope.attributes.iter().find(|(attribute, _)| attribute.of(texts) == name);
        let Some((_, number)) = named else { return Value::Missing };
        let Some(found) = first(self.reading, fields, *number) else { return Value::Missing };
        match found.kind() {
            Kind::Text { escaped: false } | Kind::Number => Value::Bytes(found.of(self.payload)),
            Kind::Text { escaped: true } => self.rewritten.get(*number).map_or(Value::Missing, Value::Bytes),
            Kind::True => Value::Bytes(b"true"),
            Kind::False => Value::Bytes(b"false"),
            Kind::Null | Kind::Object | Kind::Array | Kind::Typed(_) => Value::Missing,
        }
    }
}

/// As its routes see it: with the attributes of its envelope.
impl<E: Event + ?Sized> Event for Opened<'_, E> {
    fn topic(&self) -> &str {
        self.event.topic()
    }

    fn key(&self) -> Value<'_> {
        self.event.key()
    }

    fn header(&self, name: &str) -> Value<'_> {
        match (&self.attributes, name.strip_prefix("ce_")) {
            (Some(attributes), Some(name)) => attributes.get(name),
            _ => self.event.header(name),
        }
    }

    fn payload(&self) -> Option<&[u8]> {
        self.event.payload()
    }

    fn timestamp(&self) -> Option<i64> {
        self.event.timestamp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_structured_if_its_content_type_says_so() {
        let yes = [
            "application/cloudevents+json",
            "Application/CloudEvents+JSON; charset=utf-8",
            "application/cloudevents+json ",
        ];
        let no = ["application/json", "application/cloudevents+jsonx", "application/cloudevents-batch+json", ""];
        assert!(yes.iter().all(|text| is_structured(Value::Bytes(text.as_bytes()))));
        assert!(!no.iter().any(|text| is_structured(Value::Bytes(text.as_bytes()))));
        assert!(!is_structured(Value::Null) && !is_structured(Value::Missing));
    }
}
