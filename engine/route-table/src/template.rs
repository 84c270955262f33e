//! Destinations whose topic an event names: `hunt-{tenant}`.
//!
//! Every topic that such a *template* stands for is made when the map is compiled, and has a row among the table's destinations like any
//! other. What is left to do for an event is to find the row: the value of each placeholder has a place in the list of those that are
//! allowed, and these places are the digits of the row's number. A value that is in no list leads nowhere, however long it is.
//!
//! Routes name a template by a [`DestinationIndex`] beyond all rows, so that destinations without placeholders cost what they always did.

use crate::condition::range;
use crate::deliveries::Delivery;
use crate::evaluate::{Buffers, Evaluation, Facts, Work, datum};
use crate::fields::{PlanIndex, Reading};
use crate::key_index::KeyIndex;
use crate::predicate::{Attribute, Datum};
use crate::table::{Delivering, DestinationIndex, RouteIndex, RouteTable, Text, note};

/// All templates of a table.
#[derive(Debug, Default)]
pub(crate) struct Templates {
    pub(crate) rows: Vec<Template>,
    pub(crate) placeholders: Vec<Placeholder>,
    /// From (place of a placeholder, value) to the value's place in its list.
    pub(crate) values: KeyIndex,
    /// All fields of the payload that placeholders stand for.
    pub(crate) plan: Option<PlanIndex>,
}

/// A destination with placeholders in its topic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Template {
    pub(crate) id: Text,
    /// As it is written.
    pub(crate) topic: Text,
    /// Among the destinations of the map.
    pub(crate) place: u32,
    pub(crate) first_placeholder: u32,
    pub(crate) placeholders: u32,
    /// Where its topics begin among the table's destinations: first those with the first value of the first placeholder.
    pub(crate) first_row: u32,
    pub(crate) otherwise: Option<DestinationIndex>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Placeholder {
    pub(crate) name: Text,
    pub(crate) attribute: Attribute,
    /// The number of a field in the plan.
    pub(crate) number: u32,
    /// How many values are allowed.
    pub(crate) values: u32,
    /// Whether these are the map's tenants; their places are those of their slots.
    pub(crate) of_tenants: bool,
}

impl Templates {
    pub(crate) fn clear(&mut self) {
        self.rows.clear();
        self.placeholders.clear();
        self.values.reset(0);
        self.plan = None;
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.rows.capacity() * size_of::<Template>()
            + self.placeholders.capacity() * size_of::<Placeholder>()
            + self.values.memory_bytes()
    }

    pub(crate) fn placeholders_of(&self, template: &Template) -> &[Placeholder] {
        self.placeholders.get(range(template.first_placeholder, template.placeholders)).unwrap_or_default()
    }

    /// Which template a destination is; `None` if it is a topic.
    pub(crate) fn get(&self, destination: DestinationIndex) -> Option<&Template> {
        self.rows.get(destination.template()? as usize)
    }
}

/// A delivery of an event that does not say to which of a destination's topics.
///
/// [`RouteTable::tell_unplaced`] says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unplaced {
    /// The first route, in the order of the map, that sends the event there. `None`: no route did, and the map says that such events go to
    /// this destination.
    pub route: Option<RouteIndex>,
    /// Where the event goes instead; it is among the deliveries. `None`: it belongs to the dead letters.
    pub instead: Option<DestinationIndex>,
    /// Which destination.
    pub(crate) template: DestinationIndex,
    /// The first of its placeholders that has no value, or one that is not allowed; by place among all of the table.
    pub(crate) placeholder: u32,
}

/// The templates that an event's routes name, and those among them that have no topic for it; reused for all events.
#[derive(Debug, Default)]
pub(crate) struct Placing {
    pub(crate) named: Vec<Delivery>,
    pub(crate) unplaced: Vec<Unplaced>,
}

impl Placing {
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.named.clear();
        self.unplaced.clear();
    }

    /// Makes room for each of so many templates.
    pub(crate) fn grow(&mut self, templates: usize) {
        self.named.reserve(templates);
        self.unplaced.reserve(templates);
    }
}

impl Delivering<'_> {
    /// Takes note of a template, whose topic is found when all routes were asked.
    #[inline(never)]
    pub(crate) fn name(&mut self, destination: DestinationIndex, route: Option<RouteIndex>) {
        let place = destination.template().map(|template| self.table.destinations.len() + template as usize);
        if let Some(listed) = place.and_then(|place| self.listed.get_mut(place)) {
            note(listed, self.mark, &mut self.placing.named, Delivery { destination, route });
        }
    }

    /// Finds the topics of the templates that were named.
    #[inline(never)]
    pub(crate) fn place(&mut self, facts: &Facts<'_>, slot: u32, work: &mut Work<'_>) {
        let RouteTable { templates, .. } = self.table;
        let evaluation = self.table.evaluation(facts);
        let mut placer = Placer::new(self.table, &evaluation, slot, work);
        let named = std::mem::take(&mut self.placing.named);
        for Delivery { destination, route } in &named {
            let Some(template) = templates.get(*destination) else { continue };
            let to = match placer.place(template) {
                Ok(topic) => Some(topic),
                Err(placeholder) => {
                    let (template, instead) = (*destination, template.otherwise);
                    self.placing.unplaced.push(Unplaced { route: *route, instead, template, placeholder });
                    instead
                }
            };
            if let Some(to) = to {
                self.add(to, *route);
            }
        }
        self.placing.named = named;
    }
}

/// One event, and what finds the topics that it names.
pub(crate) struct Placer<'p> {
    table: &'p RouteTable,
    evaluation: &'p Evaluation<'p>,
    /// That of the event's tenant; 0 if the map names none such.
    slot: u32,
    reader: Option<&'p mut Reading>,
    buffers: &'p mut Buffers,
    is_read: bool,
}

impl<'p> Placer<'p> {
    pub(crate) fn new(
        table: &'p RouteTable,
        evaluation: &'p Evaluation<'p>,
        slot: u32,
        work: &'p mut Work<'_>,
    ) -> Self {
        Placer { table, evaluation, slot, reader: work.readers.first_mut(), buffers: work.buffers, is_read: false }
    }

    /// The topic that the event names.
    ///
    /// # Errors
    /// The place of the first placeholder that has no value, or one that is not allowed.
    pub(crate) fn place(&mut self, template: &Template) -> Result<DestinationIndex, u32> {
        let placeholders = self.table.templates.placeholders_of(template);
        let mut row = 0;
        for (at, placeholder) in (template.first_placeholder..).zip(placeholders) {
            row = row * placeholder.values + self.place_of_value(at, placeholder).ok_or(at)?;
        }
        Ok(DestinationIndex(template.first_row + row))
    }

    fn place_of_value(&mut self, at: u32, placeholder: &Placeholder) -> Option<u32> {
        let RouteTable { templates, slot_by_tenant, .. } = self.table;
        if placeholder.of_tenants && placeholder.attribute == Attribute::Tenant {
            return self.slot.checked_sub(1);
        }
        self.with_value(placeholder, |value| {
            let mut digits = Digits::default();
            let text = text_of(value?, &mut digits)?;
            match placeholder.of_tenants {
                true => slot_by_tenant.get(0, text).and_then(|[slot, ..]| slot.checked_sub(1)),
                false => templates.values.get(at, text).map(|[place, ..]| place),
            }
        })
    }

    /// Goes on with what the event has at a placeholder's place. The payload is read when the first one asks for it.
    pub(crate) fn with_value<R>(&mut self, placeholder: &Placeholder, then: impl FnOnce(Option<Datum<'_>>) -> R) -> R {
        let Attribute::Field(_) = placeholder.attribute else {
            return then(self.evaluation.outside(placeholder.attribute));
        };
        let RouteTable { templates, fields, .. } = self.table;
        let payload = self.evaluation.facts.payload;
        let (Some(reader), Some(plan)) = (self.reader.as_deref_mut(), templates.plan) else { return then(None) };
        if !std::mem::replace(&mut self.is_read, true) {
            reader.read(fields, plan, payload);
        }
        let found = reader.values(fields, placeholder.number).next();
        then(found.and_then(|found| datum(fields, payload.bytes, &found, &mut self.buffers.unescaped)))
    }
}

/// The digits of a whole number of up to 20 of them, behind its sign.
#[derive(Default)]
struct Digits {
    bytes: [u8; 21],
    len: usize,
}

/// The text that a value counts as; `None` if it is neither a text nor a whole number.
fn text_of<'d>(value: Datum<'d>, digits: &'d mut Digits) -> Option<&'d [u8]> {
    let number = match value {
        Datum::Text(text) => return Some(text),
        Datum::Number(number) => number,
        _ => return None,
    };
    // A number that is not whole, or longer, is spelled with an `e`.
    let mut is_whole = true;
    number.spell(&mut |part| {
        let end = digits.len + part.len();
        match digits.bytes.get_mut(digits.len..end) {
            Some(place) if !part.contains(&b'e') => place.copy_from_slice(part),
            _ => is_whole = false,
        }
        digits.len = end;
    });
    digits.bytes.get(..digits.len).filter(|_| is_whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::number::Number;

    #[test]
    fn a_whole_number_counts_as_its_digits_however_it_is_written() {
        for (written, expected) in [
            ("7", Some("7")),
            ("7.0", Some("7")),
            ("70e-1", Some("7")),
            ("-7", Some("-7")),
            ("-0", Some("0")),
            ("0.0", Some("0")),
            ("18446744073709551615", Some("18446744073709551615")),
            ("-99999999999999999999", Some("-99999999999999999999")),
            ("100000000000000000000", None),
            ("-123456789012345678901234567890", None),
            ("7.5", None),
            ("1e400", None),
        ] {
            let mut digits = Digits::default();
            let text = text_of(Datum::Number(Number::parse(written.as_bytes()).unwrap()), &mut digits);
            assert_eq!(text, expected.map(str::as_bytes), "{written}");
        }
    }

    #[test]
    fn nothing_else_but_a_text_counts_as_one() {
        assert_eq!(text_of(Datum::Text(b"\xff"), &mut Digits::default()), Some(&b"\xff"[..]));
        for value in [Datum::Null, Datum::Boolean(true), Datum::Object, Datum::Array] {
            assert_eq!(text_of(value, &mut Digits::default()), None, "{value:?}");
        }
    }
}
