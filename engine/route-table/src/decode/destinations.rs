//! Reads destinations, and takes apart the topics of those with placeholders.
//!
//! A destination with placeholders becomes a template when it is read. Its topics are made when everything else was read, by
//! [`templates`](super::templates).

use super::{DESTINATIONS, Decoder};
use crate::compile::{Scratch, hash_text};
use crate::fault::Fault;
use crate::key_index;
use crate::limits;
use crate::predicate::Attribute;
use crate::table::{DestinationIndex, DestinationRow, RouteTable, Text};
use crate::template::{Placeholder, Template};
use crate::wire::{Field, Reader};

/// A destination as others name it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Declared {
    pub(super) id: Text,
    pub(super) to: DestinationIndex,
}

/// What of a template is needed only while its topics are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draft {
    pub(super) first_piece: u32,
    pub(super) pieces: u32,
    /// Noted.
    pub(super) otherwise: Option<Text>,
}

/// A part of a topic: a text, and the placeholder behind it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    pub(super) text: Text,
    /// By place among those of the template; the last piece has none behind it.
    pub(super) placeholder: Option<u32>,
}

/// A value that a placeholder may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AllowedValue {
    /// By place among all of the table.
    pub(super) placeholder: u32,
    /// Noted.
    pub(super) text: Text,
    pub(super) place: u32,
    /// Of placeholder and text, as the index hashes them.
    pub(super) hash: u64,
}

/// What destinations with placeholders need while they are read.
#[derive(Debug, Default)]
pub(crate) struct TemplateScratch {
    pub(super) drafts: Vec<Draft>,
    pub(super) pieces: Vec<Piece>,
    pub(super) allowed: Vec<AllowedValue>,
    /// Where each placeholder's values begin in `allowed`.
    pub(super) first_allowed: Vec<u32>,
    /// One that is being made.
    pub(super) topic: String,
}

/// Values beyond as many are not kept: some template stands for too many topics then. One of n values stands for n topics at least, and
/// other placeholders of a template add one value to it without adding a topic.
const VALUES_MAX: u64 = limits::TOPICS.max + limits::DESTINATIONS.max * limits::PLACEHOLDERS.max;

/// Stands for a destination that was refused.
const NOWHERE: DestinationIndex = DestinationIndex(u32::MAX);

/// The placeholder that needs no declaration.
const TENANT: &str = "tenant";

impl TemplateScratch {
    pub(crate) fn clear(&mut self) {
        self.drafts.clear();
        self.pieces.clear();
        self.allowed.clear();
        self.first_allowed.clear();
    }
}

impl Decoder<'_> {
    pub(super) fn destinations(&mut self) {
        self.each_of(DESTINATIONS, "destinations", |this, destination, place| this.destination(destination, place));
    }

    fn destination(&mut self, destination: Reader<'_>, place: u32) {
        let (mut id, mut kafka) = (None, None);
        self.each_field(destination, |this, field| match field.number {
            1 => this.text("id", &mut id, field),
            2 => this.message("kafka", &mut kafka, field),
            number => this.refuse(Fault::UnknownField { message: "Destination", number }),
        });
        let id_given = self.required("id", id);
        let name = id.unwrap_or_default();
        let id = self.keep(name);
        let to = match kafka {
            Some(kafka) => self.within("kafka", None, |this| this.kafka_topic(kafka, id, place)),
            None => {
                self.refuse_at("kafka", Fault::Missing);
                NOWHERE
            }
        };
        let Scratch { destinations, declared, .. } = &mut *self.scratch;
        let texts = &self.table.texts;
        let same = |index: u32| declared.get(index as usize).is_some_and(|known| known.id.of(texts) == name);
        let known = destinations.find_or_add(hash_text(name), declared.len(), same);
        declared.push(Declared { id, to });
        if id_given {
            self.refuse_taken("id", "destination", name, known);
        }
    }

    fn kafka_topic(&mut self, kafka: Reader<'_>, id: Text, place: u32) -> DestinationIndex {
        let (mut topic, mut otherwise, mut placeholders) = (None, None, 0u32);
        let faults = self.scratch.reasons.count();
        let first_placeholder = self.table.templates.placeholders.len() as u32;
        self.each_field(kafka, |this, field| match field.number {
            1 => this.text("topic", &mut topic, field),
            2 => {
                // More than there may be are counted only.
                if u64::from(placeholders) < limits::PLACEHOLDERS.max {
                    this.within("placeholders", Some(placeholders), |this| match field.message() {
                        Ok(placeholder) => this.placeholder(placeholder, first_placeholder),
                        Err(fault) => this.refuse(Fault::Wire(fault)),
                    });
                }
                placeholders += 1;
            }
            3 => this.text("otherwise", &mut otherwise, field),
            number => this.refuse(Fault::UnknownField { message: "KafkaTopic", number }),
        });
        let too_many =
            self.within("placeholders", None, |this| this.is_over(&limits::PLACEHOLDERS, u64::from(placeholders)));
        if too_many {
            return NOWHERE;
        }
        let text = topic.unwrap_or_default();
        let topic = self.keep(text);
        if text.contains(['{', '}']) {
            // The rest is known later.
            let (placeholders, first_row) = (0, 0);
            let template = Template { id, topic, place, first_placeholder, placeholders, first_row, otherwise: None };
            return self.template(template, text, otherwise, faults);
        }
        self.within("topic", None, |this| this.topic_name(text));
        for unused in 0..self.table.templates.placeholders.len() as u32 - first_placeholder {
            self.refuse_unused(first_placeholder, unused);
        }
        if otherwise.is_some() {
            self.refuse_at("otherwise", Fault::OtherwiseWithoutPlaceholders);
        }
        let to = DestinationIndex(self.table.destinations.len() as u32);
        self.topic_row(DestinationRow { id, topic, place });
        to
    }

    /// Adds a topic that events can go to.
    pub(super) fn topic_row(&mut self, row: DestinationRow) {
        let RouteTable { destinations: rows, texts, .. } = &mut *self.table;
        let topic = row.topic.of(texts);
        let same = |index: u32| rows.get(index as usize).is_some_and(|row| row.topic.of(texts) == topic);
        let known = self.scratch.topics.find_or_add(hash_text(topic), rows.len(), same);
        let taken = (known.is_ok() && !topic.is_empty()).then(|| topic.to_owned());
        rows.push(row);
        if let Some(topic) = taken {
            self.refuse_at("topic", Fault::Taken { what: "destination's topic", id: topic });
        }
    }

    /// Takes note of a topic with placeholders. Those that it declares were read; before that there were so many faults.
    fn template(
        &mut self,
        template: Template,
        topic: &str,
        otherwise: Option<&str>,
        faults: usize,
    ) -> DestinationIndex {
        let first = template.first_placeholder;
        let read = self.table.templates.placeholders.len() as u32 - first;
        let first_piece = self.scratch.templates.pieces.len();
        self.within("topic", None, |this| this.pieces(topic, template.topic, first));
        // What follows from a fault is not told besides it.
        if self.scratch.reasons.count() > faults {
            return NOWHERE;
        }
        let Scratch { templates, .. } = &*self.scratch;
        let pieces = templates.pieces.get(first_piece..).unwrap_or_default();
        // As many as there may be, and one that is not declared.
        let used = pieces.iter().filter_map(|piece| piece.placeholder).fold(0u32, |used, number| used | 1 << number);
        let pieces = pieces.len() as u32;
        for unused in (0..read).filter(|number| used & 1 << number == 0) {
            self.refuse_unused(first, unused);
        }
        let placeholders = self.table.templates.placeholders.len() as u32 - first;
        self.within("placeholders", None, |this| this.is_over(&limits::PLACEHOLDERS, u64::from(placeholders)));
        let template = Template { placeholders, ..template };
        let values = self.table.templates.placeholders_of(&template).iter().map(|own| u64::from(own.values));
        let topics = values.fold(1, u64::saturating_mul).saturating_add(self.table.usage.topics);
        // The one that is too many is told, not all that follow it.
        if std::mem::replace(&mut self.table.usage.topics, topics) <= limits::TOPICS.max {
            self.within("topic", None, |this| this.is_over(&limits::TOPICS, topics));
        }
        if self.scratch.reasons.count() > faults || topics > limits::TOPICS.max {
            return NOWHERE;
        }
        let otherwise = otherwise.map(|id| self.note(id));
        self.scratch.templates.drafts.push(Draft { first_piece: first_piece as u32, pieces, otherwise });
        let to = DestinationIndex::of_template(self.table.templates.rows.len() as u32);
        self.table.templates.rows.push(template);
        to
    }

    fn refuse_unused(&mut self, first: u32, number: u32) {
        let RouteTable { templates, texts, .. } = &*self.table;
        let placeholder = templates.placeholders.get((first + number) as usize);
        let name = placeholder.map_or("", |placeholder| placeholder.name.of(texts)).to_owned();
        if !name.is_empty() {
            self.within("placeholders", Some(number), |this| this.refuse(Fault::UnusedPlaceholder { name }));
        }
    }

    /// Takes a topic apart. `kept` is where it is kept, `first` its first placeholder.
    fn pieces(&mut self, topic: &str, kept: Text, first: u32) {
        let mut at = 0;
        loop {
            let rest = topic.get(at..).unwrap_or_default();
            let len = rest.find(['{', '}']).unwrap_or(rest.len());
            let (text, behind) = rest.split_at(len);
            if !is_part_of_topic(text) {
                return self.refuse(Fault::InvalidTopic { topic: topic.to_owned() });
            }
            let text = Text { at: kept.at + at as u32, len: len as u32 };
            if behind.is_empty() {
                return self.scratch.templates.pieces.push(Piece { text, placeholder: None });
            }
            let name = behind.strip_prefix('{').and_then(|behind| behind.split_once(['{', '}']));
            let Some((name, _)) = name.filter(|(name, _)| behind.as_bytes().get(name.len() + 1) == Some(&b'}')) else {
                return self.refuse(Fault::StrayBrace { topic: topic.to_owned() });
            };
            let Some(placeholder) = self.placeholder_named(name, first) else { return };
            self.scratch.templates.pieces.push(Piece { text, placeholder: Some(placeholder) });
            at += len + name.len() + 2;
        }
    }

    /// The number of a placeholder among those from `first` on.
    fn placeholder_named(&mut self, name: &str, first: u32) -> Option<u32> {
        let RouteTable { templates, texts, .. } = &*self.table;
        let own = templates.placeholders.get(first as usize..).unwrap_or_default();
        if let Some(known) = own.iter().position(|own| own.name.of(texts) == name) {
            return Some(known as u32);
        }
        let number = own.len() as u32;
        if name != TENANT {
            let known = own.iter().map(|own| own.name.of(texts)).chain(std::iter::once(TENANT));
            let fault = match is_placeholder_name(name) {
                true => Fault::UnknownPlaceholder { name: name.to_owned(), near: self.near(name, known) },
                false => Fault::InvalidPlaceholder { name: name.to_owned() },
            };
            self.refuse(fault);
            return None;
        }
        let name = self.keep(TENANT);
        let values = self.all_tenants();
        let placeholder = Placeholder { name, attribute: Attribute::Tenant, number: 0, values, of_tenants: true };
        self.table.templates.placeholders.push(placeholder);
        self.scratch.templates.first_allowed.push(0);
        Some(number)
    }

    /// How many tenants the map names.
    fn all_tenants(&mut self) -> u32 {
        let tenants = self.table.usage.tenants;
        if tenants == 0 {
            self.refuse(Fault::NoTenants);
        }
        tenants as u32
    }

    /// Reads a declaration. `first` is the topic's first placeholder.
    fn placeholder(&mut self, message: Reader<'_>, first: u32) {
        let (mut name, mut value, mut allowed) = (None, None, None);
        self.each_field(message, |this, field| match field.number {
            1..=3 => this.once("value", &mut value, field),
            4 => this.text("name", &mut name, field),
            5 | 6 => this.once("allowed", &mut allowed, field),
            number => this.refuse(Fault::UnknownField { message: "Placeholder", number }),
        });
        if self.required("name", name) {
            self.within("name", None, |this| this.placeholder_name(name.unwrap_or_default(), first));
        }
        let attribute = match value {
            Some(field) => self.placeholder_value(field),
            None => self.refused_at("value", Fault::MissingOneOf("`header`, `part` and `field`")),
        };
        let first_allowed = self.scratch.templates.allowed.len() as u32;
        let of_tenants = allowed.as_ref().is_some_and(|field: &Field<'_>| field.number == 6);
        let values = match allowed {
            None => self.refused_at("allowed", Fault::MissingOneOf("`values` and `tenants`")),
            Some(field) if of_tenants => {
                self.empty_message("tenants", field, &mut None, ());
                Some(self.within("tenants", None, Self::all_tenants))
            }
            Some(field) => self.within("values", None, |this| match field.message() {
                Ok(values) => Some(this.allowed_values(values)),
                Err(fault) => this.refused(Fault::Wire(fault)),
            }),
        };
        let name = self.keep(name.unwrap_or_default());
        let (attribute, values) = (attribute.unwrap_or(Attribute::Key), values.unwrap_or_default());
        self.table.templates.placeholders.push(Placeholder { name, attribute, number: 0, values, of_tenants });
        self.scratch.templates.first_allowed.push(first_allowed);
    }

    pub(super) fn refused_at<T>(&mut self, field: &'static str, fault: Fault) -> Option<T> {
        self.refuse_at(field, fault);
        None
    }

    fn placeholder_name(&mut self, name: &str, first: u32) {
        let RouteTable { templates, texts, .. } = &*self.table;
        let own = templates.placeholders.get(first as usize..).unwrap_or_default();
        if own.iter().any(|own| own.name.of(texts) == name) {
            self.refuse(Fault::GivenTwice);
        }
        if !is_placeholder_name(name) {
            self.refuse(Fault::InvalidPlaceholder { name: name.to_owned() });
        }
    }

    /// Reads what a placeholder stands for.
    fn placeholder_value(&mut self, field: Field<'_>) -> Option<Attribute> {
        let attribute = self.attribute(field)?;
        match attribute {
            Attribute::Timestamp => self.refuse_at(
                "part",
                Fault::PartNotAllowed {
                    part: "the time",
                    instead: "no list could have all times in it; name KEY, TOPIC, EVENT_TYPE or TENANT, a header or a field",
                },
            ),
            Attribute::Field(field) => self.within("field", None, |this| {
                if this.table.fields.is_through_arrays(field) {
                    this.refuse_at("through_arrays", Fault::PlaceholderThroughArrays);
                }
                this.place_in_payload(field);
            }),
            _ => {}
        }
        Some(attribute)
    }

    /// Reads a list of values, and returns how many there are.
    fn allowed_values(&mut self, values: Reader<'_>) -> u32 {
        let placeholder = self.table.templates.placeholders.len() as u32;
        let mut count = 0u32;
        self.each_field(values, |this, field| match field.number {
            1 => {
                this.within("values", Some(count), |this| this.allowed_value(field, placeholder, count));
                count += 1;
            }
            number => this.refuse(Fault::UnknownField { message: "Values", number }),
        });
        if count == 0 {
            self.refuse_at("values", Fault::Missing);
        }
        count
    }

    fn allowed_value(&mut self, field: Field<'_>, placeholder: u32, place: u32) {
        let value = match field.text() {
            Ok(value) => value,
            Err(fault) => return self.refuse(Fault::Wire(fault)),
        };
        let is_kept = (self.scratch.templates.allowed.len() as u64) < VALUES_MAX;
        if self.is_over(&limits::ID_BYTES, value.len() as u64) || !is_kept {
            return;
        }
        let text = self.note(value);
        let hash = key_index::hash(placeholder, value.as_bytes());
        let Scratch { allowed_by_text, templates, texts, .. } = &mut *self.scratch;
        let same = |index: u32| {
            let known = templates.allowed.get(index as usize);
            known.is_some_and(|known| known.placeholder == placeholder && known.text.of(texts) == value)
        };
        let known = allowed_by_text.find_or_add(hash, templates.allowed.len(), same);
        templates.allowed.push(AllowedValue { placeholder, text, place, hash });
        if known.is_ok() {
            self.refuse(Fault::GivenTwice);
        }
    }
}

/// The rules of Kafka's `Topic.validate`.
pub(super) fn is_topic(name: &str) -> bool {
    (1..=249).contains(&name.len()) && name != "." && name != ".." && is_part_of_topic(name)
}

/// Whether a text can be a part of a topic's name.
fn is_part_of_topic(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

fn is_placeholder_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
