//! The payload of an event as its source says it is to be read.

use crate::found::{Found, Kind, Typed};
use crate::protobuf::MessageId;

/// A payload, or an object within one, and how to read it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Content<'e> {
    pub(crate) bytes: &'e [u8],
    pub(crate) format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Protobuf(MessageId),
}

impl<'e> Content<'e> {
    /// Has no fields.
    pub(crate) const NOTHING: Content<'static> = Content { bytes: &[], format: Format::Json };

    #[inline]
    pub(crate) fn json(bytes: &'e [u8]) -> Content<'e> {
        Content { bytes, format: Format::Json }
    }

    /// An element of an array; only an object has places within it. `bytes` are those that it was found in.
    #[inline]
    pub(crate) fn of_element(element: &Found, bytes: &'e [u8]) -> Content<'e> {
        match element.kind() {
            Kind::Object => Content::json(element.of(bytes)),
            Kind::Typed(Typed::Message(id) | Typed::Merged(id)) => {
                Content { bytes: element.of(bytes), format: Format::Protobuf(MessageId(id)) }
            }
            _ => Content::NOTHING,
        }
    }
}
