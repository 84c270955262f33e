//! The wire format, one field after the other, with nothing assumed of the bytes.
//!
//! Unlike [`crate::wire`], which refuses what no encoder writes, this takes whatever the encoding allows: payloads come from programs
//! of every kind, and what they write more of is passed over.

use std::ops::Range;

/// Groups within each other that are gone through; as deep as protobuf's own parsers go.
const GROUPS_MAX: u32 = 100;

/// A value as it stands on the wire. Bytes are given by their places in the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(Range<usize>),
    Group(Range<usize>),
}

/// A position in a part of a payload.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'p> {
    bytes: &'p [u8],
    at: usize,
    end: usize,
    /// Where the field begins that can't be read.
    broken_at: Option<usize>,
}

impl<'p> Cursor<'p> {
    /// At the beginning of `range`, which is one of places of `payload`.
    #[inline]
    pub(super) fn new(payload: &'p [u8], range: Range<usize>) -> Cursor<'p> {
        Cursor { bytes: payload, at: range.start, end: range.end.min(payload.len()), broken_at: None }
    }

    /// Where the first field begins that can't be read; `None` if there was none so far.
    #[inline]
    pub(super) fn broken_at(&self) -> Option<usize> {
        self.broken_at
    }

    /// Where it is in the payload.
    #[inline]
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The next field; `None` at the end and where a field can't be read.
    #[inline]
    pub(super) fn next(&mut self) -> Option<(u32, Value)> {
        let start = self.at;
        if start >= self.end || self.broken_at.is_some() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.broken_at = Some(start);
        }
        field
    }

    #[inline]
    fn field(&mut self) -> Option<(u32, Value)> {
        let (number, wire_type) = self.tag()?;
        let value = match wire_type {
            3 => self.group(number, 1)?,
            4 => return None,
            _ => self.value(wire_type)?,
        };
        Some((number, value))
    }

    #[inline]
    fn tag(&mut self) -> Option<(u32, u8)> {
        // Encoded in 32 bits: a number of up to 29 bits, and the wire type.
        let tag = u32::try_from(self.varint()?).ok()?;
        let number = tag >> 3;
        (number != 0).then_some((number, (tag & 7) as u8))
    }

    #[inline]
    fn value(&mut self, wire_type: u8) -> Option<Value> {
        Some(match wire_type {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(self.fixed64()?),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                let range = self.at..self.at.checked_add(length).filter(|end| *end <= self.end)?;
                self.at = range.end;
                Value::Bytes(range)
            }
            5 => Value::Fixed32(self.fixed32()?),
            _ => return None,
        })
    }

    /// What stands before the end of the group that has begun.
    #[cold]
    fn group(&mut self, number: u32, depth: u32) -> Option<Value> {
        let begin = self.at;
        loop {
            let end = self.at;
            match self.tag()? {
                (closed, 4) => return (closed == number).then_some(Value::Group(begin..end)),
                (_, 3) if depth == GROUPS_MAX => return None,
                (inner, 3) => _ = self.group(inner, depth + 1)?,
                (_, wire_type) => _ = self.value(wire_type)?,
            }
        }
    }

    /// The next of numbers that stand side by side; what `read` makes of them.
    #[inline]
    pub(super) fn packed(&mut self, read: impl FnOnce(&mut Self) -> Option<Value>) -> Option<Value> {
        let start = self.at;
        if start >= self.end || self.broken_at.is_some() {
            return None;
        }
        let value = read(self);
        if value.is_none() {
            self.broken_at = Some(start);
        }
        value
    }

    #[inline]
    pub(super) fn varint(&mut self) -> Option<u64> {
        let first = self.byte()?;
        if first < 0x80 { Some(u64::from(first)) } else { self.long_varint(u64::from(first & 0x7f)) }
    }

    fn long_varint(&mut self, mut value: u64) -> Option<u64> {
        for shift in (7..70).step_by(7) {
            let byte = self.byte()?;
            // Of the tenth byte one bit has a place; more are no number of 64 bits.
            if shift == 63 && byte > 1 {
                return None;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    #[inline]
    fn byte(&mut self) -> Option<u8> {
        if self.at >= self.end {
            return None;
        }
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    #[inline]
    pub(super) fn fixed64(&mut self) -> Option<u64> {
        self.fixed().map(u64::from_le_bytes)
    }

    #[inline]
    pub(super) fn fixed32(&mut self) -> Option<u32> {
        self.fixed().map(u32::from_le_bytes)
    }

    #[inline]
    fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        let fixed = *self.bytes.get(self.at..self.end)?.first_chunk::<N>()?;
        self.at += N;
        Some(fixed)
    }
}
