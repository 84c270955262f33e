//! A value that a reader of payloads found: what it is, and where it lies.
//!
//! One type for payloads of every kind, so that what evaluates conditions need not know which kind it is at: texts lie in the payload
//! wherever they come from, and numbers of protobuf lie in the place of the places.

use std::fmt;
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

impl Kind {
    /// As a number: what it is lowest, and the type of a message highest.
    #[inline(always)]
    const fn packed(self) -> u32 {
        match self {
            Kind::Null => 0,
            Kind::False => 1,
            Kind::True => 2,
            Kind::Number => 3,
            Kind::Text { escaped: false } => 4,
            Kind::Text { escaped: true } => 5,
            Kind::Object => 6,
            Kind::Array => 7,
            Kind::Typed(Typed::Signed) => 8,
            Kind::Typed(Typed::Unsigned) => 9,
            Kind::Typed(Typed::Double) => 10,
            Kind::Typed(Typed::Float) => 11,
            Kind::Typed(Typed::Symbol) => 12,
            Kind::Typed(Typed::Bytes) => 13,
            Kind::Typed(Typed::List) => 14,
            Kind::Typed(Typed::Message(id)) => 15 | (id as u32) << 16,
            Kind::Typed(Typed::Merged(id)) => 16 | (id as u32) << 16,
        }
    }

    #[inline(always)]
    const fn unpacked(packed: u32) -> Kind {
        let id = (packed >> 16) as u16;
        match packed as u8 {
            0 => Kind::Null,
            1 => Kind::False,
            2 => Kind::True,
            3 => Kind::Number,
            4 => Kind::Text { escaped: false },
            5 => Kind::Text { escaped: true },
            6 => Kind::Object,
            7 => Kind::Array,
            8 => Kind::Typed(Typed::Signed),
            9 => Kind::Typed(Typed::Unsigned),
            10 => Kind::Typed(Typed::Double),
            11 => Kind::Typed(Typed::Float),
            12 => Kind::Typed(Typed::Symbol),
            13 => Kind::Typed(Typed::Bytes),
            14 => Kind::Typed(Typed::List),
            15 => Kind::Typed(Typed::Message(id)),
            _ => Kind::Typed(Typed::Merged(id)),
        }
    }
}

/// A value that was found, and where.
///
/// Two numbers: an enum of enums beside two places is copied in pieces that don't fit those it is read in, and to wait until such
/// pieces are in memory costs more than to unpack a number. Packed, since readers keep many of them.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
#[repr(C, packed(4))]
pub struct Found {
    /// Where it begins, and 32 bits higher where it ends.
    place: u64,
    kind: u32,
}

impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {:?}", self.kind(), self.at())
    }
}

impl Found {
    /// What holds the place of a value that was not found yet.
    pub(crate) const NOTHING: Found = Found { place: 0, kind: Kind::Null.packed() };
    /// An object that has no places.
    pub(crate) const OBJECT: Found = Found { place: 0, kind: Kind::Typed(Typed::Message(Typed::NO_TYPE)).packed() };

    #[inline(always)]
    pub(crate) fn new(kind: Kind, start: usize, end: usize) -> Found {
        Found { place: start as u64 & 0xffff_ffff | (end as u64) << 32, kind: kind.packed() }
    }

    /// What it is.
    #[inline(always)]
    pub fn kind(&self) -> Kind {
        Kind::unpacked(self.kind)
    }

    /// A value that lies nowhere but here.
    #[inline]
    pub(crate) fn of_bits(kind: Typed, bits: u64) -> Found {
        Found { place: bits, kind: Kind::Typed(kind).packed() }
    }

    /// What [`Found::of_bits`] was given.
    #[inline]
    pub(crate) fn bits(&self) -> u64 {
        self.place
    }

    /// Where it is: a number from its first to its last byte, a text between its quotes.
    ///
    /// Of an object or array only the beginning is known, since nobody may care for the rest: it begins with its bracket and *goes on to
    /// the end of the payload*. [`Reader::read`](crate::json::Reader::read) and [`elements`](crate::json::elements) stop at its closing
    /// bracket by themselves, and [`whole`](crate::json::whole) finds it. A message of protobuf ends where it ends.
    #[inline]
    pub fn at(&self) -> Range<usize> {
        self.place as u32 as usize..(self.place >> 32) as usize
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
    fn every_kind_comes_back() {
        let ids = [0, 1, Typed::NO_TYPE];
        let typed =
            [Typed::Signed, Typed::Unsigned, Typed::Double, Typed::Float, Typed::Symbol, Typed::Bytes, Typed::List]
                .into_iter()
                .chain(ids.map(Typed::Message))
                .chain(ids.map(Typed::Merged));
        let plain = [Kind::Null, Kind::False, Kind::True, Kind::Number, Kind::Object, Kind::Array];
        let texts = [true, false].map(|escaped| Kind::Text { escaped });
        for kind in plain.into_iter().chain(texts).chain(typed.map(Kind::Typed)) {
            let found = Found::new(kind, 7, u32::MAX as usize);
            assert_eq!((found.kind(), found.at()), (kind, 7..u32::MAX as usize));
        }
        assert_eq!(Found::default().kind(), Kind::Null);
    }

    #[test]
    fn bits_come_back() {
        for bits in [0, 1, u64::MAX, 1 << 32, 0x1234_5678_9abc_def0] {
            assert_eq!(Found::of_bits(Typed::Signed, bits).bits(), bits);
        }
    }
}
