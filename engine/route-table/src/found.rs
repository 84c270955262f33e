//! A value that a reader of payloads found: what it is, and where it lies.
//!
//! One type for payloads of every kind, so that what evaluates conditions need not know which kind it is at: texts lie in the payload
//! wherever they come from, and numbers of protobuf lie in the place of the places.

use std::ops::Range;

/// The type of a value, as far as it is known without reading all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `null`.
    #[default]
    Null,
    /// `false`.
    False,
    /// `true`.
    True,
    /// A number as RFC 8259 writes it.
    Number,
    /// A text.
    Text {
        /// It has backslashes: [`unescape`](crate::json::unescape) gives what it means.
        escaped: bool,
    },
    /// An object.
    Object,
    /// An array.
    Array,
    /// What only protobuf has.
    Typed(Typed),
}

/// Values of protobuf that are not written as JSON writes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Typed {
    /// The bits of an `i64`.
    Signed,
    /// The bits of a `u64`.
    Unsigned,
    /// The bits of an `f64`.
    Double,
    /// The bits of an `f32`.
    Float,
    /// The name of an enum's value, within the texts of the table.
    Symbol,
    /// Bytes, of which conditions see the base64 text.
    Bytes,
    /// A message of this type, or an object that has no places: see [`Typed::NO_TYPE`].
    Message(u16),
    /// The same, put together from several pieces: lies among what the reader put together.
    Merged(u16),
    /// A repeated field; its elements lie with the reader.
    List,
}

impl Typed {
    /// The type of an object within which nothing is looked for.
    pub const NO_TYPE: u16 = u16::MAX;
}

/// A value that was found, and where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Found {
    /// What it is.
    pub kind: Kind,
    start: u32,
    end: u32,
}

impl Found {
    /// What holds the place of a value that was not found yet.
    pub(crate) const NOTHING: Found = Found { kind: Kind::Null, start: 0, end: 0 };
    /// An object that has no places.
    pub(crate) const OBJECT: Found = Found { kind: Kind::Typed(Typed::Message(Typed::NO_TYPE)), start: 0, end: 0 };

    #[inline(always)]
    pub(crate) fn new(kind: Kind, start: usize, end: usize) -> Found {
        Found { kind, start: start as u32, end: end as u32 }
    }

    /// A value that lies nowhere but here.
    #[inline]
    pub(crate) fn of_bits(kind: Typed, bits: u64) -> Found {
        Found { kind: Kind::Typed(kind), start: bits as u32, end: (bits >> 32) as u32 }
    }

    /// What [`Found::of_bits`] was given.
    #[inline]
    pub(crate) fn bits(&self) -> u64 {
        u64::from(self.start) | u64::from(self.end) << 32
    }

    /// Where it is: a number from its first to its last byte, a text between its quotes.
    ///
    /// Of an object or array only the beginning is known, since nobody may care for the rest: it begins with its bracket and *goes on to
    /// the end of the payload*. [`Reader::read`](crate::json::Reader::read) and [`elements`](crate::json::elements) stop at its closing
    /// bracket by themselves, and [`whole`](crate::json::whole) finds it. A message of protobuf ends where it ends.
    #[inline]
    pub fn at(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// Its bytes; `payload` is the one that it was found in.
    #[inline]
    pub fn of<'p>(&self, payload: &'p [u8]) -> &'p [u8] {
        payload.get(self.at()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_takes_twelve_bytes_whatever_it_is() {
        assert_eq!(size_of::<Found>(), 12);
    }

    #[test]
    fn bits_come_back() {
        for bits in [0, 1, u64::MAX, 1 << 32, 0x1234_5678_9abc_def0] {
            assert_eq!(Found::of_bits(Typed::Signed, bits).bits(), bits);
        }
    }
}
