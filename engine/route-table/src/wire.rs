//! Reads protobuf from bytes, one field after another, without copying and without trusting them.
//!
//! Stricter than protobuf asks for: what this reader's callers do not know, they refuse (see `route_map.proto`), and a field
//! that is not repeated may be given once. No encoder writes it twice; who does wants to be read differently by two readers.
//! Source of the rules: <https://protobuf.dev/programming-guides/encoding/>.

use crate::fault::WireFault;
use crate::prefetch::prefetch;
use std::hash::{Hash, Hasher};
use std::ops::Range;

/// The fields of one message.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    /// Where the message begins in the whole map, so that a fault can say where it is.
    begin: usize,
    len: usize,
}

/// A field of a message. Flat on purpose: an enum of what it may hold is copied in pieces that overlap, and reading a piece that was
/// written as two others stalls a processor longer than all the rest takes.
#[derive(Clone, Copy)]
pub(crate) struct Field<'a> {
    pub(crate) number: u32,
    wire_type: u32,
    /// Of a varint.
    value: u64,
    /// Of what has a length.
    bytes: &'a [u8],
    at: usize,
}

/// How far ahead bytes are announced, in bytes, and how many at once at most.
const ANNOUNCED_AHEAD: usize = 1_024;
const ANNOUNCED_MAX: usize = 1_024;

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const LEN: u32 = 2;
const FIXED32: u32 = 5;

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes, begin: 0, len: bytes.len() }
    }

    /// What is left to read, and where in the map it begins.
    #[inline]
    pub(crate) fn rest(&self) -> (usize, &'a [u8]) {
        (self.at(), self.rest)
    }

    /// A reader of a part of the message that begins and ends with whole fields.
    pub(crate) fn part(&self, part: Range<usize>) -> Self {
        let bytes = self.rest.get(part.clone()).unwrap_or_default();
        Reader { rest: bytes, begin: self.begin + part.start, len: bytes.len() }
    }

    /// Starts to load what will be read when as much as lies behind `field` in steps of its length has been read: fields of a list
    /// are about as long as the one before.
    #[inline]
    pub(crate) fn announce(&self, field: &Field<'_>) {
        for at in (0..=field.bytes.len().min(ANNOUNCED_MAX)).step_by(64) {
            if let Some(byte) = self.rest.get(ANNOUNCED_AHEAD + at) {
                prefetch(byte);
            }
        }
    }

    #[inline]
    pub(crate) fn at(&self) -> usize {
        self.begin + self.len - self.rest.len()
    }

    /// The next field; after a fault there is no more.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Option<Result<Field<'a>, WireFault>> {
        // Nearly all fields have a tag of one byte and a length of one or two.
        let (tag, len, after) = match self.rest {
            [tag, low, after @ ..] if *low < 0x80 => (*tag, usize::from(*low), after),
            [tag, low, high, after @ ..] if *high < 0x80 => {
                (*tag, usize::from(*low & 0x7f) | usize::from(*high) << 7, after)
            }
            [] => return None,
            _ => return self.next_of_any_length(),
        };
        match after.split_at_checked(len) {
            Some((bytes, rest)) if tag & 0x87 == LEN as u8 && tag >= 8 => {
                let at = self.begin + self.len - after.len();
                self.rest = rest;
                Some(Ok(Field { number: u32::from(tag >> 3), wire_type: LEN, value: 0, bytes, at }))
            }
            _ => self.next_of_any_length(),
        }
    }

    #[inline(never)]
    fn next_of_any_length(&mut self) -> Option<Result<Field<'a>, WireFault>> {
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }

    fn field(&mut self) -> Result<Field<'a>, WireFault> {
        let start = self.at();
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| (1..1 << 29).contains(number));
        let number = number.ok_or(WireFault::BadTag { at: start })?;
        let wire_type = (tag & 7) as u32;
        let (mut value, mut bytes, mut at) = (0, &[] as &[u8], start);
        match wire_type {
            VARINT => value = self.varint()?,
            LEN => {
                let len = self.varint()?;
                let len = usize::try_from(len).map_err(|_| WireFault::Truncated { at: self.begin + self.len })?;
                bytes = self.take(len)?;
                at = self.at() - len;
            }
            FIXED64 => drop(self.take(8)?),
            FIXED32 => drop(self.take(4)?),
            _ => return Err(WireFault::BadTag { at: start }),
        }
        Ok(Field { number, wire_type, value, bytes, at })
    }

    #[inline]
    fn take(&mut self, len: usize) -> Result<&'a [u8], WireFault> {
        let (taken, rest) =
            self.rest.split_at_checked(len).ok_or(WireFault::Truncated { at: self.begin + self.len })?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, WireFault> {
        // Tags and lengths of most fields are one byte.
        if let Some((byte, rest)) = self.rest.split_first()
            && byte & 0x80 == 0
        {
            self.rest = rest;
            return Ok(u64::from(*byte));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, WireFault> {
        let start = self.at();
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let (byte, rest) = self.rest.split_first().ok_or(WireFault::Truncated { at: self.begin + self.len })?;
            self.rest = rest;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(WireFault::BadVarint { at: start });
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(WireFault::BadVarint { at: start })
    }
}

impl<'a> Field<'a> {
    #[inline]
    pub(crate) fn message(&self) -> Result<Reader<'a>, WireFault> {
        let bytes = self.bytes()?;
        Ok(Reader { rest: bytes, begin: self.at, len: bytes.len() })
    }

    /// Whether two fields are written alike.
    pub(crate) fn is_same(&self, other: &Field<'_>) -> bool {
        (self.number, self.wire_type, self.value, self.bytes)
            == (other.number, other.wire_type, other.value, other.bytes)
    }

    pub(crate) fn hash_into(&self, hasher: &mut impl Hasher) {
        (self.number, self.wire_type, self.value, self.bytes).hash(hasher);
    }

    #[inline]
    pub(crate) fn text(&self) -> Result<&'a str, WireFault> {
        str::from_utf8(self.bytes()?).map_err(|_| WireFault::NotUtf8 { number: self.number })
    }

    pub(crate) fn number_value(&self) -> Result<u64, WireFault> {
        if self.wire_type == VARINT { Ok(self.value) } else { Err(self.wrong_type(VARINT)) }
    }

    /// The numbers of a repeated field: one, or as many as are packed.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = Result<u64, WireFault>> + use<'a> {
        let one = (self.wire_type != LEN).then(|| self.number_value());
        let mut packed = Reader { rest: self.bytes, begin: self.at, len: self.bytes.len() };
        one.into_iter().chain(std::iter::from_fn(move || {
            let number = (!packed.rest.is_empty()).then(|| packed.varint())?;
            if number.is_err() {
                packed.rest = &[];
            }
            Some(number)
        }))
    }

    /// A bool; any number but 0 is true, as protobuf readers have it.
    pub(crate) fn flag(&self) -> Result<bool, WireFault> {
        self.number_value().map(|value| value != 0)
    }

    #[inline]
    fn bytes(&self) -> Result<&'a [u8], WireFault> {
        if self.wire_type == LEN { Ok(self.bytes) } else { Err(self.wrong_type(LEN)) }
    }

    #[cold]
    fn wrong_type(&self, expected: u32) -> WireFault {
        WireFault::WrongType { number: self.number, found: self.wire_type as u8, expected: expected as u8 }
    }
}
