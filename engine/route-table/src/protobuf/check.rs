//! The full check, for sources that ask for it: whether bytes are a message of a type, to the last one and in all messages within it.

use super::descriptors::{Descriptors, Holds, MessageId, Scalar};
use super::wire::{Cursor, Value};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use std::ops::Range;

/// The wire format of messages: enough to check them.
#[derive(Debug, Default)]
pub(crate) struct Schema {
    /// Where a message's fields are in `fields`.
    messages: HashMap<MessageId, (u32, u32), FixedState>,
    /// By their numbers.
    fields: Vec<Field>,
}

#[derive(Clone, Copy, Debug)]
struct Field {
    number: u32,
    holds: Shape,
}

/// What can be wrong with a field, besides that it isn't one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Text,
    /// Of numbers, which may stand side by side.
    Packed(Scalar),
    Message(MessageId),
    Group(MessageId),
}

/// Messages within each other that are gone through, as in protobuf's own parsers. Deeper ones are no valid payload.
const DEPTH_MAX: u32 = 100;

impl Schema {
    pub(crate) fn clear(&mut self) {
        self.messages.clear();
        self.fields.clear();
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.messages.allocation_size() + self.fields.capacity() * size_of::<Field>()
    }

    /// Adds a message, and all that can be within it.
    pub(crate) fn add(&mut self, descriptors: &Descriptors, message: MessageId) {
        let mut left = vec![message];
        while let Some(message) = left.pop() {
            if self.messages.contains_key(&message) {
                continue;
            }
            let first = self.fields.len();
            for row in descriptors.fields(message) {
                let holds = match row.holds {
                    Holds::Scalar(Scalar::Text) => Shape::Text,
                    Holds::Scalar(scalar) if row.is_repeated && scalar.is_packable() => Shape::Packed(scalar),
                    Holds::Message { id, is_group: true } => Shape::Group(id),
                    Holds::Message { id, is_group: false } | Holds::Map(id) => Shape::Message(id),
                    Holds::Wrapped(_, id) => Shape::Message(id),
                    Holds::Scalar(_) => continue,
                };
                if let Shape::Message(id) | Shape::Group(id) = holds {
                    left.push(id);
                }
                self.fields.push(Field { number: row.number, holds });
            }
            let of_message = self.fields.get_mut(first..).unwrap_or_default();
            of_message.sort_by_key(|field| field.number);
            self.messages.insert(message, (first as u32, of_message.len() as u32));
        }
    }

    fn fields(&self, message: MessageId) -> &[Field] {
        let (first, count) = self.messages.get(&message).copied().unwrap_or_default();
        self.fields.get(crate::condition::range(first, count)).unwrap_or_default()
    }
}

/// Checks a message: that it is made of fields to its end, and so are all messages within it; that texts are UTF-8; that numbers that are
/// packed are numbers. Fields that the type does not have, or with another wire type, are unknown fields and allowed.
///
/// # Errors
/// Where the field begins that can't be one.
pub(crate) fn check(schema: &Schema, message: MessageId, bytes: &[u8]) -> Result<(), usize> {
    check_part(schema, message, bytes, 0..bytes.len(), 1)
}

fn check_part(schema: &Schema, message: MessageId, bytes: &[u8], range: Range<usize>, depth: u32) -> Result<(), usize> {
    if depth > DEPTH_MAX {
        return Err(range.start);
    }
    let fields = schema.fields(message);
    let mut cursor = Cursor::new(bytes, range);
    loop {
        let start = cursor.at();
        let Some((number, value)) = cursor.next() else { break };
        let Ok(at) = fields.binary_search_by_key(&number, |field| field.number) else { continue };
        let Some(field) = fields.get(at) else { continue };
        match (field.holds, value) {
            (Shape::Text, Value::Bytes(range)) => {
                std::str::from_utf8(bytes.get(range).unwrap_or_default()).map_err(|_| start)?;
            }
            (Shape::Packed(scalar), Value::Bytes(range)) => {
                let mut packed = Cursor::new(bytes, range);
                while packed.packed(|cursor| scalar.packed(cursor)).is_some() {}
                packed.broken_at().map_or(Ok(()), Err)?;
            }
            (Shape::Message(id), Value::Bytes(range)) | (Shape::Group(id), Value::Group(range)) => {
                check_part(schema, id, bytes, range, depth + 1)?;
            }
            _ => {}
        }
    }
    cursor.broken_at().map_or(Ok(()), Err)
}
