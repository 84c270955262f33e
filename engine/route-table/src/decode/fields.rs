//! What reading any message needs: where we are, what is wrong here, a field that may be given once.

use super::Decoder;
use super::destinations::is_topic;
use crate::cel::nearest;
use crate::compile::Segment;
use crate::fault::{Fault, Refused, WireFault};
use crate::limits::{self, Limit};
use crate::table::{DestinationIndex, Text};
use crate::wire::{Field, Reader};

impl Decoder<'_> {
    /// Runs `read` with the path leading into a field.
    #[inline]
    pub(super) fn within<R>(
        &mut self,
        field: &'static str,
        index: Option<u32>,
        read: impl FnOnce(&mut Self) -> R,
    ) -> R {
        self.scratch.path.push(Segment { field, index });
        let result = read(self);
        self.scratch.path.pop();
        result
    }

    /// Notes a fault of the place that is being read.
    pub(super) fn refuse(&mut self, fault: Fault) {
        self.scratch.reasons.add(&self.scratch.path, fault);
    }

    /// Notes a fault of a field of the message that is being read.
    pub(super) fn refuse_at(&mut self, field: &'static str, fault: Fault) {
        self.within(field, None, |this| this.refuse(fault));
    }

    /// Refuses `observed` if it is beyond `limit`, and says whether it is.
    #[inline]
    pub(super) fn is_over(&mut self, limit: &'static Limit, observed: u64) -> bool {
        let over = observed > limit.max;
        if over {
            self.refuse(Fault::OverLimit { limit, observed });
        }
        over
    }

    #[inline]
    pub(super) fn each_field<'a>(&mut self, mut message: Reader<'a>, mut read: impl FnMut(&mut Self, Field<'a>)) {
        while let Some(field) = message.next() {
            match field {
                Ok(field) => read(self, field),
                Err(fault) => self.refuse(Fault::Wire(fault)),
            }
        }
    }

    /// Reads all messages of one repeated field of the outermost message. Its faults on the wire are known from the first walk.
    pub(super) fn each_of(
        &mut self,
        number: u32,
        name: &'static str,
        mut read: impl FnMut(&mut Self, Reader<'_>, u32),
    ) {
        let part = self.parts.get(number as usize).cloned().unwrap_or_default();
        let mut map = Reader::new(self.map).part(part);
        let mut index = 0;
        while let Some(field) = map.next() {
            let Ok(field) = field else { break };
            if field.number != number {
                continue;
            }
            map.announce(&field);
            self.within(name, Some(index), |this| match field.message() {
                Ok(message) => read(this, message, index),
                Err(fault) => this.refuse(Fault::Wire(fault)),
            });
            index += 1;
        }
    }

    /// Keeps the value of a field that may be given once.
    #[inline]
    pub(super) fn once<T>(&mut self, name: &'static str, slot: &mut Option<T>, value: T) {
        if slot.replace(value).is_some() {
            self.refuse_at(name, Fault::GivenTwice);
        }
    }

    /// Reads a name or an id.
    pub(super) fn text<'a>(&mut self, name: &'static str, slot: &mut Option<&'a str>, field: Field<'a>) {
        match field.text() {
            Ok(text) => {
                self.once(name, slot, text);
                self.within(name, None, |this| this.is_over(&limits::ID_BYTES, text.len() as u64));
                if has_control(text) {
                    self.refuse_at(name, Fault::ControlCharacter { text: text.to_owned() });
                }
            }
            Err(fault) => self.refuse_at(name, Fault::Wire(fault)),
        }
    }

    pub(super) fn number(&mut self, name: &'static str, slot: &mut Option<u64>, field: Field<'_>) {
        self.wire(name, slot, field.number_value());
    }

    /// Reads the values of a repeated enum.
    pub(super) fn each_enum(&mut self, field: Field<'_>, mut read: impl FnMut(&mut Self, u64)) {
        for number in field.numbers() {
            match number {
                Ok(number) => read(self, number),
                Err(fault) => self.refuse(Fault::Wire(fault)),
            }
        }
    }

    pub(super) fn message<'a>(&mut self, name: &'static str, slot: &mut Option<Reader<'a>>, field: Field<'a>) {
        self.wire(name, slot, field.message());
    }

    fn wire<T>(&mut self, name: &'static str, slot: &mut Option<T>, read: Result<T, WireFault>) {
        match read {
            Ok(value) => self.once(name, slot, value),
            Err(fault) => self.refuse_at(name, Fault::Wire(fault)),
        }
    }

    /// Reads a message without fields, which stands for `value` in a oneof.
    pub(super) fn empty_message<T>(&mut self, name: &'static str, field: Field<'_>, slot: &mut Option<T>, value: T) {
        let mut message = None;
        self.message(name, &mut message, field);
        if let Some(message) = message {
            self.within(name, None, |this| {
                this.each_field(message, |this, field| {
                    this.refuse(Fault::UnknownField { message: name, number: field.number });
                });
            });
        }
        self.once(name, slot, value);
    }

    /// Refuses a name that was not given or is empty; says whether it is there.
    pub(super) fn required(&mut self, name: &'static str, text: Option<&str>) -> bool {
        let given = text.is_some_and(|text| !text.is_empty());
        if !given {
            self.refuse_at(name, Fault::Missing);
        }
        given
    }

    /// Refuses a name that is known already. `known` is the answer of `find_or_add`.
    pub(super) fn refuse_taken(&mut self, field: &'static str, what: &'static str, id: &str, known: Result<u32, u32>) {
        if known.is_ok() {
            self.refuse_at(field, Fault::Taken { what, id: id.to_owned() });
        }
    }

    pub(super) fn topic_name(&mut self, topic: &str) {
        if topic.is_empty() {
            return self.refuse(Fault::Missing);
        }
        if !is_topic(topic) {
            self.refuse(Fault::InvalidTopic { topic: topic.to_owned() });
        }
    }

    pub(super) fn destination_of(&self, id: &str) -> Option<DestinationIndex> {
        let declared = |index: u32| self.scratch.declared.get(index as usize);
        let same = |index: u32| declared(index).is_some_and(|known| known.id.of(&self.table.texts) == id);
        let index = self.scratch.destinations.find(crate::compile::hash_text(id), same)?;
        declared(index).map(|known| known.to)
    }

    /// What is wrong with a destination that is not there.
    pub(super) fn unknown_destination(&self, id: &str) -> Fault {
        let known = self.scratch.declared.iter().map(|known| known.id.of(&self.table.texts));
        Fault::UnknownDestination { id: id.to_owned(), near: self.near(id, known) }
    }

    /// Which of these names was meant, if it is told at all: among very many mistakes nobody looks for it.
    pub(super) fn near<'n>(&self, name: &str, known: impl Iterator<Item = &'n str>) -> Option<String> {
        let is_told = self.scratch.reasons.count() < Refused::REASONS_MAX;
        // Of one or two letters each is like any other.
        (is_told && name.len() > 2).then(|| nearest(name, known).map(str::to_owned)).flatten()
    }

    /// Copies a text into the table.
    pub(super) fn keep(&mut self, text: &str) -> Text {
        append(&mut self.table.texts, text)
    }

    /// Copies a text to where it is kept until the table is compiled.
    pub(super) fn note(&mut self, text: &str) -> Text {
        append(&mut self.scratch.texts, text)
    }
}

/// Texts are shorter than the map and the topics of its templates, and the limits `map_bytes` and `topics` keep these far below 4 GiB.
fn append(texts: &mut String, text: &str) -> Text {
    let at = texts.len() as u32;
    texts.push_str(text);
    Text { at, len: text.len() as u32 }
}

/// How many routes a tenant has; faults are left to the walk that reads them.
pub(super) fn routes_of(tenant: Field<'_>) -> u64 {
    let Ok(mut message) = tenant.message() else { return 0 };
    let mut routes = 0;
    while let Some(Ok(field)) = message.next() {
        routes += u64::from(field.number == 3);
    }
    routes
}

/// Whether a name would do something to a terminal, or begin a new line in a log.
fn has_control(text: &str) -> bool {
    let is_ascii_control = |byte: u8| byte < 0x20 || byte == 0x7f;
    text.bytes().fold(false, |found, byte| found | is_ascii_control(byte))
        || !text.is_ascii() && text.contains(char::is_control)
}
