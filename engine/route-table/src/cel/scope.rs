//! What names mean in a text: those of the record, and the fields of a message whose types are known.

use std::collections::BTreeMap;
use std::sync::Arc;

/// What bare names stand for.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    message: Option<(&'a MessageTypes, MessageId)>,
    /// Whether the message's fields have bare names, too.
    is_bare: bool,
}

impl<'a> Scope<'a> {
    /// The names of the record only; what is in the payload is `payload.name`, and of any type.
    pub fn record() -> Scope<'static> {
        Scope { message: None, is_bare: false }
    }

    /// Bare names are fields of this message, which is the payload; they and `payload.name` are checked against its types. A
    /// field that has the name of a part of the record hides it: `type` is the field then, and `event.type` that of the record; so do
    /// `lookup` and `event.lookup`.
    pub fn message(types: &'a MessageTypes, message: MessageId) -> Scope<'a> {
        Scope { message: Some((types, message)), is_bare: true }
    }

    /// The names of the record, and `payload.name` checked against the types of this message.
    pub fn payload(types: &'a MessageTypes, message: MessageId) -> Scope<'a> {
        Scope { message: Some((types, message)), is_bare: false }
    }

    fn bare(&self) -> Option<MessageId> {
        self.message.filter(|_| self.is_bare).map(|(_, id)| id)
    }

    /// The type of the payload.
    pub(super) fn of_payload(&self) -> FieldType {
        self.message.map_or(FieldType::Any, |(_, id)| FieldType::Message(id))
    }

    /// The type of a field of a message.
    pub(super) fn field(&self, message: MessageId, name: &str) -> Option<&'a FieldType> {
        self.message.and_then(|(types, _)| types.field_of(message, name))
    }

    /// The same by a bare name.
    pub(super) fn root_field(&self, name: &str) -> Option<&'a FieldType> {
        self.bare().and_then(|id| self.field(id, name))
    }

    pub(super) fn names_of(&self, message: MessageId) -> impl Iterator<Item = &'a str> {
        self.message.into_iter().flat_map(move |(types, _)| types.names_of(message))
    }

    pub(super) fn root_names(&self) -> impl Iterator<Item = &'a str> {
        self.bare().into_iter().flat_map(|id| self.names_of(id))
    }
}

/// Message types and the fields that they have. Messages name each other by id, so that one may hold itself.
#[derive(Clone, Debug, Default)]
pub struct MessageTypes {
    messages: Vec<BTreeMap<String, FieldType>>,
}

/// One message of a [`MessageTypes`]; meaningless in any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageId(usize);

impl MessageTypes {
    /// No messages yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a message that has no fields yet.
    pub fn declare(&mut self) -> MessageId {
        self.messages.push(BTreeMap::new());
        MessageId(self.messages.len() - 1)
    }

    /// Gives a message a field, by the name that the payload has it under.
    pub fn field(&mut self, message: MessageId, name: impl Into<String>, kind: FieldType) {
        if let Some(fields) = self.messages.get_mut(message.0) {
            fields.insert(name.into(), kind);
        }
    }

    pub(crate) fn field_of(&self, message: MessageId, name: &str) -> Option<&FieldType> {
        self.messages.get(message.0)?.get(name)
    }

    pub(crate) fn names_of(&self, message: MessageId) -> impl Iterator<Item = &str> {
        self.messages.get(message.0).into_iter().flat_map(|fields| fields.keys().map(String::as_str))
    }
}

/// What a field of a message can hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldType {
    /// Whatever JSON can say; nothing is checked.
    Any,
    /// Text.
    String,
    /// A number without a fraction.
    Int,
    /// A number without a fraction or a sign.
    Uint,
    /// A number.
    Double,
    /// True or false.
    Bool,
    /// Bytes; only whether they are there can be asked.
    Bytes,
    /// One of these names, as text.
    Enum(Arc<[String]>),
    /// A time. Those of payloads are texts whose order is not that of time: only whether they are there can be asked.
    Timestamp,
    /// An object with these fields.
    Message(MessageId),
    /// An array.
    Repeated(Box<FieldType>),
    /// An object with keys of any name.
    Map(Box<FieldType>),
}

/// The known name that `name` was most likely meant to be; `None` if it is like none of them.
pub fn nearest<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    // Names are short; what isn't, is no slip of the finger.
    let wanted: Vec<char> = name.chars().take(65).collect();
    if wanted.len() > 64 {
        return None;
    }
    let allowed = (wanted.len() / 3).max(1);
    let candidates = known.into_iter().filter(|known| known.chars().count().abs_diff(wanted.len()) <= allowed);
    let distances = candidates.filter_map(|known| Some((edits(&wanted, known, allowed)?, known)));
    distances.min().map(|(_, known)| known)
}

/// How many letters must be put in, left out, changed or swapped with the next to make one word of the other, if no more than
/// `allowed`; letters that differ by case are the same.
fn edits(wanted: &[char], known: &str, allowed: usize) -> Option<usize> {
    let same = |a: char, b: char| a.eq_ignore_ascii_case(&b);
    let mut above: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=wanted.len()).collect();
    let mut previous = None;
    for (index, letter) in known.chars().enumerate() {
        let mut next = vec![index + 1];
        for (at, &other) in wanted.iter().enumerate() {
            let of = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX / 2);
            let mut cost = of(&row, at) + usize::from(!same(letter, other));
            cost = cost.min(of(&row, at + 1) + 1).min(of(&next, at) + 1);
            let before = at.checked_sub(1).and_then(|before| wanted.get(before));
            if let (Some(&before), Some(previous)) = (before, previous)
                && same(before, letter)
                && same(other, previous)
            {
                cost = cost.min(of(&above, at - 1) + 1);
            }
            next.push(cost);
        }
        // What two rows have spent is spent.
        if next.iter().chain(&row).all(|cost| *cost > allowed) {
            return None;
        }
        above = std::mem::replace(&mut row, next);
        previous = Some(letter);
    }
    row.last().copied().filter(|cost| *cost <= allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_the_one_that_was_meant() {
        let known = ["points", "region", "elapsed_ms", "id"];
        assert_eq!(nearest("pionts", known), Some("points"));
        assert_eq!(nearest("Region", known), Some("region"));
        assert_eq!(nearest("elapsedms", known), Some("elapsed_ms"));
        assert_eq!(nearest("di", known), Some("id"));
        assert_eq!(nearest("weather", known), None);
        assert_eq!(nearest("", known), None);
        assert_eq!(nearest(&"x".repeat(1000), known), None);
    }
}
