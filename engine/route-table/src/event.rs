//! How the table sees an event: attributes on demand, nothing read that no route asks for.

/// One event. The table asks for what its routes need and for nothing else, so an implementation can be lazy.
pub trait Event {
    /// The topic that the record was read from.
    fn topic(&self) -> &str;

    /// The record's key. A record without a key has [`Value::Missing`].
    fn key(&self) -> Value<'_>;

    /// The last header of this name.
    fn header(&self, name: &str) -> Value<'_>;

    /// The payload; `None` for a record that has none, such as one that marks its key as deleted.
    fn payload(&self) -> Option<&[u8]> {
        None
    }

    /// When the record was made: milliseconds since 1970-01-01T00:00:00Z.
    fn timestamp(&self) -> Option<i64> {
        None
    }
}

/// What an event has at some place. Missing is not empty, and null is neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// It is not there.
    Missing,
    /// It is there and says nothing: a Kafka header whose value is null.
    Null,
    /// It is there; the bytes may be empty and need not be UTF-8.
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    /// The bytes of a value that is there and not null.
    pub fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Value::Bytes(bytes) => Some(bytes),
            Value::Missing | Value::Null => None,
        }
    }
}
