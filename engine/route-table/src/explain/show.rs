//! What an event has, in words, and an explanation as people read it.

use super::{Because, Cause, Explanation, Outcome, TenantFound};
use crate::deliveries::Verdict;
use crate::evaluate::datum;
use crate::fields::Fields;
use crate::filed::RouteTypes;
use crate::found::{Found, Kind};
use crate::json;
use crate::predicate::{Datum, Types};
use crate::table::Unmatched;
use crate::{cel, event_pattern};
use std::fmt::{Display, Formatter, Result};

/// How many values of one place are told.
const VALUES_TOLD: usize = 4;
/// How many characters of one value.
const CHARACTERS_TOLD: usize = 80;
/// How many routes about other types are named before they are counted.
const OTHERS_TOLD: usize = 10;

/// What an event has at a place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actual {
    /// The values there, or the first ones; none: the place is missing.
    pub values: Vec<ActualValue>,
    /// How many more there are.
    pub more: usize,
}

/// One value of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActualValue {
    /// As the route's author would write it; a long one ends in `…`.
    pub text: String,
    /// Its type.
    pub kind: ValueKind,
    /// Whether the test is about values of other types.
    pub is_of_other_type: bool,
}

/// The types of values that events have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum ValueKind {
    Null,
    Boolean,
    Number,
    Text,
    Object,
    Array,
    /// A text with escapes that JSON does not have; tests see nothing there.
    Broken,
}

/// How texts are quoted.
#[derive(Clone, Copy)]
pub(super) enum Quotes {
    Cel,
    Json,
}

impl Quotes {
    fn around(self, text: &str) -> String {
        match self {
            Quotes::Cel => cel::text(text),
            Quotes::Json => event_pattern::quoted(text),
        }
    }
}

impl Actual {
    /// The values that `tell` tells of the payload. `about`: the types that the test is about.
    pub(super) fn of(
        fields: &Fields,
        quotes: Quotes,
        about: Option<Types>,
        tell: impl FnOnce(&mut dyn FnMut(Found, &[u8])),
    ) -> Actual {
        let mut actual = Actual::default();
        let mut unescaped = Vec::new();
        tell(&mut |found, bytes| {
            if actual.values.len() == VALUES_TOLD {
                return actual.more += 1;
            }
            let datum = datum(fields, bytes, &found, &mut unescaped);
            let kind = datum.as_ref().map_or(ValueKind::Broken, kind_of);
            let text = match (found.kind, &datum) {
                // As it stands there.
                (Kind::Number | Kind::Object | Kind::Array, _) | (_, None) => {
                    let bytes = found.of(bytes);
                    shown_bytes(json::whole(bytes).unwrap_or(bytes))
                }
                (_, Some(Datum::Object)) => "{…}".to_owned(),
                (_, Some(Datum::Array)) => "[…]".to_owned(),
                (_, Some(datum)) => text_of(quotes, datum),
            };
            actual.values.push(ActualValue { text, kind, is_of_other_type: is_of_other_type(kind, about) });
        });
        actual
    }

    /// The value of what is not in the payload.
    pub(super) fn of_datum(quotes: Quotes, about: Option<Types>, datum: Option<Datum<'_>>) -> Actual {
        Actual { values: datum.iter().map(|datum| value_of(quotes, about, datum)).collect(), more: 0 }
    }

    /// Without what one of several tests is not about.
    pub(super) fn of_any_type(mut self) -> Actual {
        self.values.iter_mut().for_each(|value| value.is_of_other_type = false);
        self
    }
}

fn value_of(quotes: Quotes, about: Option<Types>, datum: &Datum<'_>) -> ActualValue {
    let kind = kind_of(datum);
    ActualValue { text: text_of(quotes, datum), kind, is_of_other_type: is_of_other_type(kind, about) }
}

fn text_of(quotes: Quotes, datum: &Datum<'_>) -> String {
    match datum {
        Datum::Null => "null".to_owned(),
        Datum::Boolean(value) => value.to_string(),
        Datum::Number(number) => number.to_string(),
        Datum::Text(text) => quotes.around(&shortened(&String::from_utf8_lossy(text))),
        Datum::Object | Datum::Array => String::new(),
    }
}

fn is_of_other_type(kind: ValueKind, about: Option<Types>) -> bool {
    about.is_some_and(|about| !about.has(types_of(kind)))
}

fn kind_of(datum: &Datum<'_>) -> ValueKind {
    match datum {
        Datum::Null => ValueKind::Null,
        Datum::Boolean(_) => ValueKind::Boolean,
        Datum::Number(_) => ValueKind::Number,
        Datum::Text(_) => ValueKind::Text,
        Datum::Object => ValueKind::Object,
        Datum::Array => ValueKind::Array,
    }
}

fn types_of(kind: ValueKind) -> Types {
    match kind {
        ValueKind::Null => Types::NULL,
        ValueKind::Boolean => Types::BOOLEAN,
        ValueKind::Number => Types::NUMBER,
        ValueKind::Text => Types::TEXT,
        ValueKind::Object => Types::OBJECT,
        ValueKind::Array => Types::ARRAY,
        ValueKind::Broken => Types::default(),
    }
}

/// Bytes of an event as one line of text.
pub(super) fn shown_bytes(bytes: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(bytes).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    shortened(&text)
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(CHARACTERS_TOLD) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

impl Display for ValueKind {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            ValueKind::Null => "null",
            ValueKind::Boolean => "a boolean",
            ValueKind::Number => "a number",
            ValueKind::Text => "a text",
            ValueKind::Object => "an object",
            ValueKind::Array => "an array",
            ValueKind::Broken => "a text with escapes that JSON does not have",
        })
    }
}

/// `is 7`, `is missing`, `is 'many', a text, which this is not about`.
impl Display for Actual {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.values.as_slice() {
            [] => return f.write_str("is missing"),
            [_] if self.more == 0 => f.write_str("is ")?,
            _ => f.write_str("has ")?,
        }
        let mut separator = "";
        for value in &self.values {
            write!(f, "{separator}{}", value.text)?;
            if value.is_of_other_type {
                write!(f, " ({}, which this is not about)", value.kind)?;
            }
            separator = ", ";
        }
        if self.more > 0 {
            write!(f, " and {} more", self.more)?;
        }
        Ok(())
    }
}

/// One line for a test; for what has parts, a line, and their lines below it.
impl Display for Cause {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        self.lines(f, 0)
    }
}

impl Cause {
    fn lines(&self, f: &mut Formatter<'_>, depth: usize) -> Result {
        f.write_str(&self.words)?;
        let begin = |f: &mut Formatter<'_>| write!(f, "\n{:1$}", "", 2 * depth + 2);
        let left_out = |f: &mut Formatter<'_>, more: usize| match more {
            0 => Ok(()),
            more => begin(f).and_then(|()| write!(f, "and {more} more")),
        };
        match &self.because {
            Because::Value { place, actual } => write!(f, ": {place} {actual}"),
            Because::Parts { parts, more } => {
                f.write_str(if parts.len() + more > 1 { ": each of" } else { ":" })?;
                for part in parts {
                    begin(f)?;
                    part.lines(f, depth + 1)?;
                }
                left_out(f, *more)
            }
            Because::Opposite(inner) => {
                f.write_str(": its opposite")?;
                begin(f)?;
                inner.lines(f, depth + 1)
            }
            Because::Elements { place, elements, more } => {
                f.write_str(if elements.len() + more > 1 { ": each element" } else { ": an element" })?;
                for (number, element) in elements {
                    begin(f)?;
                    write!(f, "{place}[{number}]: ")?;
                    element.lines(f, depth + 1)?;
                }
                left_out(f, *more)
            }
        }
    }
}

/// One line, or some, for each route about the event's type; the others are counted.
impl Display for Explanation {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match &self.event_type {
            Ok(event_type) => write!(f, "type {event_type} ({})", self.type_origin)?,
            Err(unreadable) if unreadable.is_about_type() => {
                return write!(f, "{unreadable} ({}): it goes to the dead letters", self.type_origin);
            }
            Err(unreadable) => return write!(f, "{unreadable}: it goes to the dead letters"),
        }
        match &self.tenant {
            TenantFound::None => f.write_str(", no tenant")?,
            TenantFound::Unknown(tenant) => write!(f, ", tenant {tenant}, which has no routes of its own")?,
            TenantFound::Known(tenant) => write!(f, ", tenant {tenant}")?,
        }
        if let Some(fault) = self.payload {
            write!(f, "\n{fault}")?;
        }
        for delivery in &self.deliveries {
            match &delivery.route {
                Some(route) => {
                    write!(f, "\ngoes to {} (topic {}), by route {route}", delivery.destination, delivery.topic)
                }
                None => {
                    write!(f, "\ngoes to {} (topic {}), as no route wants it", delivery.destination, delivery.topic)
                }
            }?;
        }
        match (&self.undecided, self.verdict) {
            (Some(route), _) => write!(f, "\ngoes to the dead letters: route {route} can't be decided")?,
            (None, Verdict::Unmatched(Unmatched::Drop)) => f.write_str("\nno route wants it: it is dropped")?,
            (None, Verdict::Unmatched(Unmatched::DeadLetter)) => {
                f.write_str("\nno route wants it: it goes to the dead letters")?;
            }
            (None, _) => {}
        }
        let mut others: Vec<(&str, &RouteTypes)> = Vec::new();
        for route in &self.routes {
            match &route.outcome {
                Outcome::Matched => write!(f, "\n+ {}: wants it", route.id)?,
                Outcome::NoMatch(cause) => {
                    write!(f, "\n- {}: ", route.id)?;
                    cause.lines(f, 1)?;
                }
                Outcome::Absent { cause, dead_letter } => {
                    let then = if *dead_letter { ", which makes a dead letter" } else { "" };
                    write!(f, "\n? {}: neither true nor false{then}: ", route.id)?;
                    cause.lines(f, 1)?;
                }
                Outcome::Disabled => write!(f, "\n  {}: is disabled", route.id)?,
                Outcome::OtherType(types) => others.push((&route.id, types)),
            }
        }
        for (id, types) in others.iter().take(OTHERS_TOLD) {
            write!(f, "\n  {id}: is about {types}")?;
        }
        match others.len().saturating_sub(OTHERS_TOLD) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more routes about other types"),
        }
    }
}
