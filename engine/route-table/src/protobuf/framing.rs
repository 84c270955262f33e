//! What stands before a message in a payload.

use super::wire::Cursor;

/// How a message lies in a payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Framing {
    /// It is the payload.
    #[default]
    Plain,
    /// Its length stands before it, as a varint, and it takes the rest.
    LengthDelimited,
    /// A schema registry's: a zero byte, the schema's id in four bytes, and which of the schema's messages it is: how many varints
    /// follow, and those. One zero stands for the first message. Neither id nor message are looked at: the source says which it is.
    SchemaRegistry,
}

impl Framing {
    /// The message in a payload; `None` if the payload is not framed so.
    pub(crate) fn message(self, payload: &[u8]) -> Option<&[u8]> {
        match self {
            Framing::Plain => Some(payload),
            Framing::LengthDelimited => {
                let mut cursor = Cursor::new(payload, 0..payload.len());
                let length = cursor.varint()?;
                payload.get(cursor.at()..).filter(|message| message.len() as u64 == length)
            }
            Framing::SchemaRegistry => {
                let ([0, ..], _) = payload.split_first_chunk::<5>()? else { return None };
                let mut cursor = Cursor::new(payload, 5..payload.len());
                let count = zigzag(cursor.varint()?);
                // Each takes a byte at least, so that a count that is a lie ends with the payload.
                for _ in 0..u64::try_from(count).ok()? {
                    cursor.varint()?;
                }
                payload.get(cursor.at()..)
            }
        }
    }
}

/// A signed number as `sint64` has it on the wire.
#[inline]
pub(super) fn zigzag(bits: u64) -> i64 {
    (bits >> 1) as i64 ^ -((bits & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_what_its_frame_leaves() {
        let framed = |framing: Framing, payload: &'static [u8]| framing.message(payload);
        assert_eq!(framed(Framing::Plain, b"\x08\x01"), Some(&b"\x08\x01"[..]));
        assert_eq!(framed(Framing::LengthDelimited, b"\x02\x08\x01"), Some(&b"\x08\x01"[..]));
        assert_eq!(framed(Framing::LengthDelimited, b"\x00"), Some(&b""[..]));
        let registry = |payload| framed(Framing::SchemaRegistry, payload);
        assert_eq!(registry(b"\x00\x00\x00\x00\x07\x00\x08\x01"), Some(&b"\x08\x01"[..]));
        // Two indexes, 1 and 0.
        assert_eq!(registry(b"\x00\x00\x00\x00\x07\x04\x02\x00\x08\x01"), Some(&b"\x08\x01"[..]));
        assert_eq!(registry(b"\x00\x00\x00\x00\x07\x00"), Some(&b""[..]));
    }

    #[test]
    fn a_payload_that_is_framed_otherwise_has_no_message() {
        for payload in [&b""[..], b"\x03\x08\x01", b"\x01\x08\x01", b"\xff"] {
            assert_eq!(Framing::LengthDelimited.message(payload), None, "{payload:?}");
        }
        let hostile = b"\x00\x00\x00\x00\x07\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00";
        for payload in
            [&b""[..], b"\x00\x00\x00\x00\x07", b"\x01\x00\x00\x00\x07\x00", b"\x00\x00\x00\x00\x07\x01", hostile]
        {
            assert_eq!(Framing::SchemaRegistry.message(payload), None, "{payload:?}");
        }
    }
}
