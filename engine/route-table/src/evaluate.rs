//! Evaluates one condition for one event, by walking its tree.
//!
//! This is the plain road: for routes that stand alone under their type, for what the bitsets of a [`group`](crate::group) can't
//! say, and for explaining. Depth is bounded by the limit `condition_depth`, and so is recursion.

use crate::condition::{AnyElement, Conditions, NodeKind, Over, Truth};
use crate::content::Content;
use crate::event::{Event, Value};
use crate::fields::{FieldIndex, Fields, PlanIndex, Reading};
use crate::found::{Found, Kind, Typed};
use crate::group::Bits;
use crate::json;
use crate::lookups::{Answers, Inquiry, Lookups};
use crate::predicate::{Attribute, Datum, ElementPlace, Predicate};
use crate::source::{Opening, Origin};
use crate::value::base64;
use crate::value::number::Number;
use crate::whole::Whole;

/// What is known of the event under evaluation.
pub(crate) struct Facts<'e> {
    pub(crate) event: &'e dyn Event,
    pub(crate) event_type: &'e [u8],
    pub(crate) payload: Content<'e>,
    pub(crate) tenant: TenantOf<'e>,
    /// What was looked up for it.
    pub(crate) answers: &'e Answers,
    /// Whether the payload is an element of the event's own.
    pub(crate) is_element: bool,
}

/// The tenant, or where to look for it if anybody asks.
#[derive(Clone, Copy)]
pub(crate) enum TenantOf<'e> {
    Origin(Origin),
    Found(Value<'e>),
}

impl<'e> TenantOf<'e> {
    #[inline]
    pub(crate) fn value(self, texts: &'e str, event: &'e dyn Event) -> Value<'e> {
        match self {
            TenantOf::Origin(origin) => origin.of(texts, event),
            TenantOf::Found(value) => value,
        }
    }
}

/// The memory that evaluation needs; reused for all events.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// One for each group and each `any_element` that can be within each other.
    pub(crate) readers: Vec<Reading>,
    pub(crate) bits: Bits,
    pub(crate) buffers: Buffers,
    opening: Opening,
}

impl Memory {
    /// Makes sure of as many readers as a table can need. What they remember of payloads is worth nothing for another table's plans.
    #[inline]
    pub(crate) fn begin(&mut self, readers: usize, lookups: usize) {
        if lookups > 0 {
            self.buffers.inquiry.begin(lookups);
        }
        if self.readers.len() < readers {
            self.readers.resize_with(readers, Reading::default);
        }
    }

    /// What it takes to open an event, and what it takes to ask its routes.
    #[inline]
    pub(crate) fn all(&mut self) -> (&mut Opening, Work<'_>) {
        let Memory { readers, bits, buffers, opening } = self;
        buffers.whole.begin();
        (opening, Work { readers, bits, buffers })
    }
}

/// What of the memory is not in use further out. Handed on by reference: to copy it right after it was made waits for the store.
pub(crate) struct Work<'m> {
    pub(crate) readers: &'m mut [Reading],
    pub(crate) bits: &'m mut Bits,
    pub(crate) buffers: &'m mut Buffers,
}

/// For texts that must be rewritten before they can be tested, and for what is looked up.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    /// One without its escapes.
    pub(crate) unescaped: Vec<u8>,
    /// One in lower case.
    pub(crate) folded: Vec<u8>,
    pub(crate) inquiry: Inquiry,
    pub(crate) whole: Whole,
}

/// What was found of the payload, and within it of each element that an `any_element` is at.
pub(crate) struct Scope<'s> {
    /// What `reader` has read: the payload, or the element.
    pub(crate) bytes: &'s [u8],
    pub(crate) reader: &'s Reading,
    /// The fields that were read, ascending; their places are the reader's numbers.
    pub(crate) fields: &'s [FieldIndex],
    /// The element itself, and what it was found in; the payload is none.
    pub(crate) element: Option<(Found, &'s [u8])>,
    pub(crate) outer: Option<&'s Scope<'s>>,
}

impl<'s> Scope<'s> {
    pub(crate) fn outwards(&self, steps: u32) -> Option<&Scope<'s>> {
        (0..steps).try_fold(self, |scope, _| scope.outer)
    }

    pub(crate) fn payload(&self) -> &Scope<'s> {
        let mut scope = self;
        while let Some(outer) = scope.outer {
            scope = outer;
        }
        scope
    }

    pub(crate) fn values<'v>(&'v self, fields: &'v Fields, field: FieldIndex) -> impl Iterator<Item = Found> + 'v {
        let number = self.fields.binary_search(&field).map_or(u32::MAX, |number| number as u32);
        self.reader.values(fields, number)
    }
}

/// One event and the table's conditions.
pub(crate) struct Evaluation<'a> {
    pub(crate) conditions: &'a Conditions,
    pub(crate) fields: &'a Fields,
    pub(crate) lookups: &'a Lookups,
    pub(crate) texts: &'a str,
    pub(crate) facts: &'a Facts<'a>,
}

impl Evaluation<'_> {
    /// What the condition at `at` says of the event.
    #[inline]
    pub(crate) fn condition(&self, at: u32, readers: &mut [Reading], buffers: &mut Buffers) -> Truth {
        let node = |at, scope: Option<&Scope<'_>>, inner: &mut [Reading], buffers: &mut Buffers| {
            self.node(at, scope, inner, buffers)
        };
        let said = self.within_payload(at, readers, buffers, node);
        said.unwrap_or(Truth::False)
    }

    /// Reads what the condition at `at` asks of the payload, and goes on with its tree.
    #[inline]
    pub(crate) fn within_payload<R>(
        &self,
        at: u32,
        readers: &mut [Reading],
        buffers: &mut Buffers,
        then: impl FnOnce(u32, Option<&Scope<'_>>, &mut [Reading], &mut Buffers) -> R,
    ) -> Option<R> {
        let NodeKind::Payload(plan) = self.conditions.node(at)?.kind else {
            return Some(then(at, None, &mut [], buffers));
        };
        let (reader, inner) = readers.split_first_mut()?;
        self.read(reader, plan, buffers);
        let scope = Scope {
            bytes: self.facts.payload.bytes,
            reader,
            fields: self.fields.of_plan(plan),
            element: None,
            outer: None,
        };
        Some(then(at + 1, Some(&scope), inner, buffers))
    }

    /// Reads what a plan asks of the payload.
    #[inline]
    pub(crate) fn read(&self, reader: &mut Reading, plan: PlanIndex, buffers: &mut Buffers) {
        match self.facts.is_element {
            false => buffers.whole.read(reader, self.fields, plan, self.facts.payload),
            true => reader.read(self.fields, plan, self.facts.payload),
        }
    }

    /// What the node at `at` says, when the fields of its tree were read.
    pub(crate) fn node(
        &self,
        at: u32,
        scope: Option<&Scope<'_>>,
        inner: &mut [Reading],
        buffers: &mut Buffers,
    ) -> Truth {
        let Some(node) = self.conditions.node(at) else { return Truth::False };
        let decisive = match node.kind {
            NodeKind::Predicate(index) => return self.predicate(index, scope, buffers),
            NodeKind::Not => return self.node(at + 1, scope, inner, buffers).not(),
            NodeKind::Payload(_) => return self.node(at + 1, scope, inner, buffers),
            NodeKind::AnyElement(index) => {
                let Some(any) = self.conditions.any_elements.get(index as usize) else { return Truth::False };
                return scope.map_or(Truth::False, |scope| self.any_element(at + 1, any, scope, inner, buffers));
            }
            NodeKind::All => Truth::False,
            NodeKind::Any => Truth::True,
        };
        let mut result = decisive.not();
        let mut child = at + 1;
        while child < node.end {
            match self.node(child, scope, inner, buffers) {
                truth if truth == decisive => return decisive,
                truth @ (Truth::Absent | Truth::Pending(_)) => {
                    result = if decisive == Truth::True { result.or(truth) } else { result.and(truth) };
                }
                _ => {}
            }
            child = self.conditions.node(child).map_or(node.end, |node| node.end);
        }
        result
    }

    fn any_element(
        &self,
        condition: u32,
        any: &AnyElement,
        scope: &Scope<'_>,
        inner: &mut [Reading],
        buffers: &mut Buffers,
    ) -> Truth {
        let mut result = None;
        let nothing = self.elements(any, scope, &mut |element, bytes| {
            if result != Some(Truth::True) {
                let said = self.within_element(any, (element, bytes), scope, inner, |scope, inner| {
                    self.node(condition, Some(scope), inner, buffers)
                });
                result = Some(result.unwrap_or(Truth::False).or(said.unwrap_or(Truth::False)));
            }
        });
        result.unwrap_or(nothing)
    }

    /// Goes over the elements of an `any_element`, and says what it yields if there are none.
    #[inline]
    pub(crate) fn elements(&self, any: &AnyElement, scope: &Scope<'_>, each: &mut impl FnMut(Found, &[u8])) -> Truth {
        let mut is_of_other_type = false;
        let mut is_empty = false;
        let mut over_value = |value: Found, (home, bytes): (&Scope<'_>, &[u8]), through_arrays: bool| match (
            value.kind(),
            through_arrays,
        ) {
            (Kind::Array, true) => flatten(value.of(bytes), 0, each),
            (Kind::Array, false) => {
                is_empty = true;
                let array = value.of(bytes);
                json::elements(array).for_each(|element| each(element, array));
            }
            (Kind::Typed(Typed::List), _) => {
                is_empty = true;
                home.reader.elements(&value).for_each(|element| each(element, bytes));
            }
            (_, true) => each(value, home.reader.bytes_of(&value, bytes)),
            (_, false) => is_of_other_type = true,
        };
        match any.over {
            Over::Field(field) => {
                let (home, through_arrays) = (scope.payload(), self.fields.is_through_arrays(field));
                home.values(self.fields, field).for_each(|value| over_value(value, (home, home.bytes), through_arrays));
            }
            Over::Element(place) => {
                let Some(home) = scope.outwards(place.outwards) else { return any.on_missing };
                match (place.field, home.element) {
                    (FieldIndex::ITSELF, Some((value, bytes))) => {
                        over_value(value, (home, bytes), place.through_arrays)
                    }
                    (FieldIndex::ITSELF, None) => {}
                    (field, _) => {
                        let through_arrays = self.fields.is_through_arrays(field);
                        let values = home.values(self.fields, field);
                        values.for_each(|value| over_value(value, (home, home.bytes), through_arrays));
                    }
                }
            }
        }
        match (is_of_other_type, is_empty) {
            (true, _) => any.on_other_type,
            (false, true) => Truth::False,
            (false, false) => any.on_missing,
        }
    }

    /// Reads what an `any_element` asks of one element, and goes on with its condition.
    #[inline]
    pub(crate) fn within_element<R>(
        &self,
        any: &AnyElement,
        element: (Found, &[u8]),
        outer: &Scope<'_>,
        inner: &mut [Reading],
        then: impl FnOnce(&Scope<'_>, &mut [Reading]) -> R,
    ) -> Option<R> {
        let (reader, inner) = inner.split_first_mut()?;
        let content = Content::of_element(&element.0, element.1);
        let mut fields: &[FieldIndex] = &[];
        if let Some(plan) = any.plan {
            reader.read(self.fields, plan, content);
            fields = self.fields.of_plan(plan);
        }
        let scope = Scope { bytes: content.bytes, reader, fields, element: Some(element), outer: Some(outer) };
        Some(then(&scope, inner))
    }

    fn predicate(&self, index: u32, scope: Option<&Scope<'_>>, buffers: &mut Buffers) -> Truth {
        let Some(predicate) = self.conditions.predicates.get(index as usize) else { return Truth::False };
        match predicate.attribute {
            Attribute::Field(field) => match scope.map(Scope::payload) {
                Some(home) => self.of_values(predicate, home.bytes, home.values(self.fields, field), buffers),
                None => predicate.of_missing(),
            },
            Attribute::Element(place) => self.of_place(predicate, place, scope, buffers),
            Attribute::Lookup(place) => self.looked_up(predicate, place, scope, buffers),
            outside => match self.outside(outside) {
                Some(datum) => self.test(predicate, &datum, buffers),
                None => predicate.of_missing(),
            },
        }
    }

    /// The value of an attribute that is not in the payload. `None`: it is missing.
    #[inline]
    pub(crate) fn outside(&self, attribute: Attribute) -> Option<Datum<'_>> {
        let Facts { event, event_type, tenant, .. } = self.facts;
        let value = match attribute {
            Attribute::Key => event.key(),
            Attribute::Topic => Value::Bytes(event.topic().as_bytes()),
            Attribute::EventType => Value::Bytes(event_type),
            Attribute::Tenant => tenant.value(self.texts, *event),
            Attribute::Header(name) => event.header(self.conditions.header_names.get(name as usize)?.of(self.texts)),
            Attribute::Timestamp => return event.timestamp().map(|time| Datum::Number(Number::from_i64(time))),
            Attribute::Field(_) | Attribute::Element(_) | Attribute::Lookup(_) => Value::Missing,
        };
        match value {
            Value::Missing => None,
            Value::Null => Some(Datum::Null),
            Value::Bytes(text) => Some(Datum::Text(text)),
        }
    }

    fn of_place(
        &self,
        predicate: &Predicate,
        place: ElementPlace,
        scope: Option<&Scope<'_>>,
        buffers: &mut Buffers,
    ) -> Truth {
        let Some(home) = scope.and_then(|scope| scope.outwards(place.outwards)) else {
            return predicate.of_missing();
        };
        if place.field != FieldIndex::ITSELF {
            return self.of_values(predicate, home.bytes, home.values(self.fields, place.field), buffers);
        }
        match home.element {
            None => predicate.of_missing(),
            Some((element, bytes)) if place.through_arrays && element.kind() == Kind::Array => {
                let mut result = None;
                flatten(element.of(bytes), 0, &mut |value, bytes| {
                    if let Some(truth) = self.found(predicate, bytes, &value, buffers) {
                        result = Some(result.unwrap_or(Truth::False).or(truth));
                    }
                });
                result.unwrap_or_else(|| predicate.of_missing())
            }
            Some((element, bytes)) => self.of_values(predicate, bytes, std::iter::once(element), buffers),
        }
    }

    /// True if it is true of one value; else absent if it is absent for one; else false.
    fn of_values(
        &self,
        predicate: &Predicate,
        bytes: &[u8],
        values: impl Iterator<Item = Found>,
        buffers: &mut Buffers,
    ) -> Truth {
        let mut result = None;
        for value in values {
            let Some(truth) = self.found(predicate, bytes, &value, buffers) else { continue };
            if truth == Truth::True {
                return Truth::True;
            }
            result = Some(result.unwrap_or(Truth::False).or(truth));
        }
        result.unwrap_or_else(|| predicate.of_missing())
    }

    /// What a predicate says of a value of the payload; `None` if the value can't be read.
    #[inline]
    pub(crate) fn found(
        &self,
        predicate: &Predicate,
        bytes: &[u8],
        value: &Found,
        buffers: &mut Buffers,
    ) -> Option<Truth> {
        let Buffers { unescaped, folded, .. } = buffers;
        let datum = datum(self.fields, bytes, value, unescaped)?;
        Some(self.conditions.literals.test(self.texts, predicate, &datum, folded))
    }

    #[inline]
    pub(crate) fn test(&self, predicate: &Predicate, value: &Datum<'_>, buffers: &mut Buffers) -> Truth {
        self.conditions.literals.test(self.texts, predicate, value, &mut buffers.folded)
    }
}

/// As deep as the reader goes into what somebody wants.
const NESTING_MAX: usize = 256;

/// All elements of an array; those of arrays within it stand for these.
pub(crate) fn flatten(array: &[u8], depth: usize, each: &mut impl FnMut(Found, &[u8])) {
    for element in json::elements(array) {
        match element.kind() {
            Kind::Array if depth < NESTING_MAX => flatten(element.of(array), depth + 1, each),
            Kind::Array => {}
            _ => each(element, array),
        }
    }
}

/// A value of the payload as tests see it. `None`: it is a text with escapes that JSON does not have, and means nothing.
#[inline(always)]
pub(crate) fn datum<'d>(
    fields: &'d Fields,
    bytes: &'d [u8],
    found: &Found,
    unescaped: &'d mut Vec<u8>,
) -> Option<Datum<'d>> {
    Some(match found.kind() {
        Kind::Null => Datum::Null,
        Kind::False => Datum::Boolean(false),
        Kind::True => Datum::Boolean(true),
        Kind::Number => Datum::Number(Number::parse_at(bytes, found.at())?),
        Kind::Text { escaped: false } => Datum::Text(found.of(bytes)),
        Kind::Text { escaped: true } => {
            json::unescape(found.of(bytes), unescaped).ok()?;
            Datum::Text(unescaped)
        }
        Kind::Object => Datum::Object,
        Kind::Array => Datum::Array,
        Kind::Typed(kind) => return typed_datum(kind, fields, bytes, found, unescaped),
    })
}

/// [`datum`] of what only protobuf has.
#[inline(never)]
fn typed_datum<'d>(
    kind: Typed,
    fields: &'d Fields,
    bytes: &'d [u8],
    found: &Found,
    unescaped: &'d mut Vec<u8>,
) -> Option<Datum<'d>> {
    Some(match kind {
        Typed::Signed => Datum::Number(Number::from_i64(found.bits() as i64)),
        Typed::Unsigned => Datum::Number(Number::from_u64(found.bits())),
        Typed::Double => {
            let value = f64::from_bits(found.bits());
            Number::from_f64(value).map_or_else(|| Datum::Text(name_of_no_number(value)), Datum::Number)
        }
        Typed::Float => {
            let value = f32::from_bits(found.bits() as u32);
            Number::from_f32(value).map_or_else(|| Datum::Text(name_of_no_number(value.into())), Datum::Number)
        }
        Typed::Symbol => Datum::Text(found.of(fields.symbols().as_bytes())),
        Typed::Bytes => {
            base64::encode(found.of(bytes), unescaped);
            Datum::Text(unescaped)
        }
        Typed::Message(_) | Typed::Merged(_) => Datum::Object,
        Typed::List => Datum::Array,
    })
}

/// What JSON writes for a float that is no number.
fn name_of_no_number(value: f64) -> &'static [u8] {
    match value {
        f64::INFINITY => b"Infinity",
        f64::NEG_INFINITY => b"-Infinity",
        _ => b"NaN",
    }
}
