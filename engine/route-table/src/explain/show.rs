//! What an event has, in words, and an explanation as people read it.

use super::{Because, Cause, Explanation, InGroup, Outcome, RouteExplanation, TenantFound};
use crate::deliveries::Verdict;
use crate::evaluate::datum;
use crate::fields::Fields;
use crate::filed::RouteTypes;
use crate::found::{Found, Kind};
use crate::json;
use crate::predicate::{Datum, Literals, Predicate, Test, Types};
use crate::share::{PLACES, Share};
use crate::table::Unmatched;
use crate::value::number::Number;
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
    /// Of a text or number that is asked for its share: its place.
    pub share: Option<SharePlace>,
}

/// The place of a value among all 10,000, and the share that it is in or out of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharePlace {
    /// The value's place, from 0 to 9999.
    pub place: u32,
    /// The first place of the share.
    pub from: u32,
    /// The first place behind it.
    pub to: u32,
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

/// What a test looks for in a value.
#[derive(Clone, Copy, Default)]
pub(super) struct Sought<'t> {
    /// `None`: nothing is said of types.
    about: Option<Types>,
    text_as_number: bool,
    share: Option<&'t Share>,
}

impl<'t> Sought<'t> {
    pub(super) fn by(predicate: &Predicate, literals: &'t Literals) -> Sought<'t> {
        let share = match predicate.test {
            Test::Share(place) => literals.shares.get(place as usize),
            _ => None,
        };
        Sought { about: Some(predicate.about), text_as_number: predicate.text_as_number, share }
    }

    fn value(self, quotes: Quotes, datum: &Datum<'_>) -> ActualValue {
        let counts_as = match datum {
            Datum::Text(text) if self.text_as_number => Number::parse(text).map_or(*datum, Datum::Number),
            _ => *datum,
        };
        let share = self.share.and_then(|share| {
            let place = match &counts_as {
                Datum::Text(text) => share.place_of_text(text),
                Datum::Number(number) => share.place_of_number(number),
                _ => return None,
            };
            Some(SharePlace { place, from: share.from, to: share.to })
        });
        let text = match datum {
            Datum::Null => "null".to_owned(),
            Datum::Boolean(value) => value.to_string(),
            Datum::Number(number) => number.to_string(),
            Datum::Text(text) => quotes.around(&shortened(&String::from_utf8_lossy(text))),
            Datum::Object => "{…}".to_owned(),
            Datum::Array => "[…]".to_owned(),
        };
        let is_of_other_type = self.about.is_some_and(|about| !about.has(counts_as.types()));
        ActualValue { text, kind: kind_of(datum), is_of_other_type, share }
    }
}

impl Actual {
    /// The values that `tell` tells of the payload.
    pub(super) fn of(
        fields: &Fields,
        quotes: Quotes,
        sought: Sought<'_>,
        tell: impl FnOnce(&mut dyn FnMut(Found, &[u8])),
    ) -> Actual {
        let mut actual = Actual::default();
        let mut unescaped = Vec::new();
        tell(&mut |found, bytes| {
            if actual.values.len() >= VALUES_TOLD {
                return actual.more += 1;
            }
            let as_written = || {
                let bytes = found.of(bytes);
                shown_bytes(json::whole(bytes).unwrap_or(bytes))
            };
            actual.values.push(match (found.kind(), datum(fields, bytes, &found, &mut unescaped)) {
                (Kind::Number | Kind::Object | Kind::Array, Some(datum)) => {
                    ActualValue { text: as_written(), ..sought.value(quotes, &datum) }
                }
                (_, Some(datum)) => sought.value(quotes, &datum),
                (_, None) => ActualValue {
                    text: as_written(),
                    kind: ValueKind::Broken,
                    is_of_other_type: sought.about.is_some(),
                    share: None,
                },
            });
        });
        actual
    }

    /// The value of what is not in the payload.
    pub(super) fn of_datum(quotes: Quotes, sought: Sought<'_>, datum: Option<Datum<'_>>) -> Actual {
        Actual { values: datum.iter().map(|datum| sought.value(quotes, datum)).collect(), more: 0 }
    }

    /// Without what one of several tests is not about.
    pub(super) fn of_any_type(mut self) -> Actual {
        self.values.iter_mut().for_each(|value| value.is_of_other_type = false);
        self
    }
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
            if let Some(SharePlace { place, from, to }) = value.share {
                write!(f, " (place {place} of {PLACES}; the share is from {from} to {})", to.saturating_sub(1))?;
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

impl Because {
    /// In one line; `None` for what has parts.
    pub(super) fn line(&self) -> Option<String> {
        Some(match self {
            Because::Value { place, actual } => format!("{place} {actual}"),
            Because::Lookup { lookup, key: Some(key), .. } => {
                format!("has to be looked up, in {lookup} under {key}")
            }
            Because::Lookup { lookup, key: None, .. } => format!("lookup {lookup} has failed"),
            Because::NoKey { lookup, key, actual, .. } => {
                let unfit = if actual.values.is_empty() { "" } else { ", which can't be one" };
                format!("nothing is looked up in {lookup}, as its key {key} {actual}{unfit}")
            }
            Because::Parts { .. } | Because::Opposite(_) | Because::Elements { .. } => return None,
        })
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
            because @ (Because::Value { .. } | Because::Lookup { .. } | Because::NoKey { .. }) => {
                write!(f, ": {}", because.line().unwrap_or_default())
            }
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
        let whose = if self.has_policy_of_tenant { " (its tenant's policy)" } else { "" };
        for delivery in &self.deliveries {
            match &delivery.route {
                Some(route) => {
                    write!(f, "\ngoes to {} (topic {}), by route {route}", delivery.destination, delivery.topic)
                }
                None => {
                    let (id, topic) = (&delivery.destination, &delivery.topic);
                    write!(f, "\ngoes to {id} (topic {topic}), as no route wants it{whose}")
                }
            }?;
        }
        for unplaced in &self.unplaced {
            match &unplaced.instead {
                Some(instead) => write!(f, "\ngoes to {instead} instead: {unplaced}")?,
                None => write!(f, "\ngoes to the dead letters: {unplaced}")?,
            }
        }
        match (&self.undecided, self.verdict) {
            (Some(route), _) => write!(f, "\ngoes to the dead letters: route {route} can't be decided")?,
            (None, Verdict::Unmatched(Unmatched::Drop)) => write!(f, "\nno route wants it: it is dropped{whose}")?,
            (None, Verdict::Unmatched(Unmatched::DeadLetter)) => {
                write!(f, "\nno route wants it: it goes to the dead letters{whose}")?;
            }
            (None, _) => {}
        }
        let goes_nowhere = self.deliveries.is_empty() && self.unplaced.is_empty() && self.undecided.is_none();
        let else_ = if goes_nowhere { "" } else { " else" };
        for (lookup, key) in &self.needs {
            write!(f, "\nwhere{else_} it goes depends on lookup {lookup} of {key}")?;
        }
        let mut others: Vec<(&str, &RouteTypes)> = Vec::new();
        for route in &self.routes {
            match &route.outcome {
                Outcome::OtherType(types) => others.push((&route.id, types)),
                _ => route.line(f)?,
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

impl RouteExplanation {
    /// A line, and those of its cause, for a route about the event's type.
    fn line(&self, f: &mut Formatter<'_>) -> Result {
        let RouteExplanation { id, exclusive, .. } = self;
        match &self.outcome {
            Outcome::Matched => {
                write!(f, "\n+ {id}: wants it")?;
                match exclusive {
                    Some(InGroup { group, is_default: true, .. }) => write!(f, ", as the default of group {group}"),
                    Some(InGroup { group, .. }) => write!(f, ", in group {group}"),
                    None => Ok(()),
                }
            }
            Outcome::Excluded(waiting) => {
                write!(f, "\n- {id}: {}", if waiting.is_some() { "depends on lookups" } else { "matches" })?;
                exclusive.as_ref().map_or(Ok(()), |exclusive| exclusive.behind(f))
            }
            Outcome::Deferred => {
                write!(f, "\n? {id}: ")?;
                match exclusive {
                    Some(own @ InGroup { group, is_default: true, .. }) => {
                        own.unless(f)?;
                        write!(f, ", as the default of group {group}")
                    }
                    Some(own @ InGroup { group, .. }) => own.unless(f).and_then(|()| write!(f, ", in group {group}")),
                    None => Ok(()),
                }
            }
            Outcome::NoMatch(cause) => {
                write!(f, "\n- {id}: ")?;
                cause.lines(f, 1)
            }
            Outcome::Waiting(cause) => {
                write!(f, "\n? {id}: ")?;
                if let Some(own) = exclusive.as_ref().filter(|own| !own.unless.is_empty()) {
                    own.unless(f)?;
                    f.write_str(", and ")?;
                }
                cause.lines(f, 1)
            }
            Outcome::Absent { cause, dead_letter } => {
                write!(f, "\n? {id}: neither true nor false")?;
                match exclusive {
                    _ if *dead_letter => f.write_str(", which makes a dead letter")?,
                    Some(own) if !own.unless.is_empty() => {
                        f.write_str(", and asked ")?;
                        own.unless(f)?;
                    }
                    Some(own) => own.behind(f)?,
                    None => {}
                }
                f.write_str(": ")?;
                cause.lines(f, 1)
            }
            Outcome::Disabled => write!(f, "\n  {id}: is disabled"),
            Outcome::OtherType(types) => write!(f, "\n  {id}: is about {types}"),
        }
    }
}

impl InGroup {
    /// Why the route was not asked; nothing, if it was.
    fn behind(&self, f: &mut Formatter<'_>) -> Result {
        let InGroup { group, is_default, behind, .. } = self;
        match behind {
            Some(before) if *is_default => {
                write!(f, ", but is the default of group {group}, and route {before} matches")
            }
            Some(before) => write!(f, ", but route {before} of group {group} is before it"),
            None => Ok(()),
        }
    }

    /// When the route is asked, if that depends on others.
    fn unless(&self, f: &mut Formatter<'_>) -> Result {
        match (self.unless.as_slice(), self.more) {
            ([], _) => Ok(()),
            ([only], 0) => write!(f, "only if {only} does not match"),
            (some, 0) => write!(f, "only if none of {} matches", some.join(", ")),
            (some, more) => write!(f, "only if none of {} and {more} more matches", some.join(", ")),
        }
    }
}
