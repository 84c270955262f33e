//! An event for tests of conditions over payloads.

use veltrix_route_table::{Event, Value};

/// An event of the type `type` of which only the payload matters.
pub(crate) struct WithPayload<P> {
    pub(crate) topic: &'static str,
    pub(crate) payload: P,
}

impl<P: AsRef<[u8]>> Event for WithPayload<P> {
    fn topic(&self) -> &str {
        self.topic
    }

    fn key(&self) -> Value<'_> {
        Value::Missing
    }

    fn header(&self, name: &str) -> Value<'_> {
        if name == "ce_type" { Value::Bytes(b"type") } else { Value::Missing }
    }

    fn payload(&self) -> Option<&[u8]> {
        Some(self.payload.as_ref())
    }
}
