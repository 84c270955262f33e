//! Reads protobuf from bytes, one field after another, without copying and without trusting them.
//!
//! Stricter than protobuf asks for: what this reader's callers do not know, they refuse (see `route_map.proto`), and a field
//! that is not repeated may be given once. No encoder writes it twice; who does wants to be read differently by two readers.
//! Source of the rules: <https://protobuf.dev/programming-guides/encoding/>.

use crate::fault::WireFault;

/// The fields of one message.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    /// Where the message begins in the whole map, so that a fault can say where it is.
    begin: usize,
    len: usize,
}

#[derive(Clone, Copy)]
pub(crate) struct Field<'a> {
    pub(crate) number: u32,
    value: Payload<'a>,
    at: usize,
}

#[derive(Clone, Copy)]
enum Payload<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// Known on the wire, used by no field of ours.
    Fixed(u8),
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes, begin: 0, len: bytes.len() }
    }

    /// What is left to read, and where in the map it begins.
    #[inline]
    pub(crate) fn rest(&self) -> (usize, &'a [u8]) {
        (self.at(), self.rest)
    }

    fn at(&self) -> usize {
        self.begin + self.len - self.rest.len()
    }

    /// The next field; after a fault there is no more.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<Result<Field<'a>, WireFault>> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }

    #[inline]
    fn field(&mut self) -> Result<Field<'a>, WireFault> {
        let start = self.at();
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| (1..1 << 29).contains(number));
        let number = number.ok_or(WireFault::BadTag { at: start })?;
        let value = match tag & 7 {
            0 => Payload::Varint(self.varint()?),
            1 => self.take(8).map(|_| Payload::Fixed(1))?,
            2 => {
                let len = self.varint()?;
                let len = usize::try_from(len).map_err(|_| WireFault::Truncated { at: self.begin + self.len })?;
                Payload::Bytes(self.take(len)?)
            }
            5 => self.take(4).map(|_| Payload::Fixed(5))?,
            _ => return Err(WireFault::BadTag { at: start }),
        };
        let at = match value {
            Payload::Bytes(bytes) => self.at() - bytes.len(),
            _ => start,
        };
        Ok(Field { number, value, at })
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

    #[inline]
    pub(crate) fn text(&self) -> Result<&'a str, WireFault> {
        str::from_utf8(self.bytes()?).map_err(|_| WireFault::NotUtf8 { number: self.number })
    }

    pub(crate) fn number_value(&self) -> Result<u64, WireFault> {
        match self.value {
            Payload::Varint(value) => Ok(value),
            _ => Err(self.wrong_type(0)),
        }
    }

    /// The numbers of a repeated field: one, or as many as are packed.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = Result<u64, WireFault>> + use<'a> {
        let (one, mut packed) = match self.value {
            Payload::Bytes(bytes) => (None, Reader { rest: bytes, begin: self.at, len: bytes.len() }),
            _ => (Some(self.number_value()), Reader::new(&[])),
        };
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
        match self.value {
            Payload::Bytes(bytes) => Ok(bytes),
            _ => Err(self.wrong_type(2)),
        }
    }

    fn wrong_type(&self, expected: u8) -> WireFault {
        let found = match self.value {
            Payload::Varint(_) => 0,
            Payload::Bytes(_) => 2,
            Payload::Fixed(wire_type) => wire_type,
        };
        WireFault::WrongType { number: self.number, found, expected }
    }
}
