//! The protobuf JSON and text forms of messages, by their descriptors.
//!
//! Not here: which message comes from where.

use miette::Diagnostic as _;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};
use veltrix_route_table::schema::{BRACES_MAX, first_too_deep};

/// Why a text is not the message that it should be.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum MappingError {
    #[error("the message type {0} is not known; this is a fault of this program, please report it")]
    UnknownType(String),
    #[error("not the protobuf JSON form of {name}, line {}, column {}: {fault}", .place.line, .place.column)]
    Json { name: String, place: Place, fault: String },
    #[error("not the protobuf text form of {name}, line {}, column {}: {fault}", .place.line, .place.column)]
    Text { name: String, place: Place, fault: String },
    #[error("{name} can't be written as JSON: {fault}")]
    Unwritable { name: String, fault: serde_json::Error },
    #[error("not a serialized {name}: {fault}")]
    Binary { name: String, fault: prost::DecodeError },
}

/// Where in a text something is wrong, both counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Place {
    pub line: usize,
    /// In characters.
    pub column: usize,
}

impl Place {
    /// Where the byte `offset` is; at the end, if that is beyond it.
    fn of(text: &str, offset: usize) -> Place {
        let before = text.get(..text.floor_char_boundary(offset)).unwrap_or(text);
        let line = before.rsplit('\n').next().unwrap_or(before);
        Place { line: 1 + before.matches('\n').count(), column: 1 + line.chars().count() }
    }
}

/// Knows the messages of `veltrix.v1` and `google.rpc`.
#[derive(Clone, Debug)]
pub struct Mapping(DescriptorPool);

impl Mapping {
    /// Fails only if the program was built wrongly.
    pub fn new() -> Result<Mapping, prost_reflect::DescriptorError> {
        let mut pool = DescriptorPool::decode(veltrix_proto::DESCRIPTOR_SET)?;
        pool.decode_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)?;
        Ok(Mapping(pool))
    }

    /// Reads JSON.
    pub fn from_json<M: Message + Default>(&self, name: &str, json: &[u8]) -> Result<M, MappingError> {
        let fault = |fault: serde_json::Error| {
            let place = Place { line: fault.line(), column: fault.column() };
            let text = fault.to_string();
            // It ends with the place, which is told apart.
            let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
            MappingError::Json { name: name.into(), place, fault: what.into() }
        };
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        let message = DynamicMessage::deserialize(self.descriptor(name)?, &mut deserializer).map_err(fault)?;
        deserializer.end().map_err(fault)?;
        typed(name, &message)
    }

    /// Reads the text form.
    pub fn from_text<M: Message + Default>(&self, name: &str, text: &str) -> Result<M, MappingError> {
        if let Some(at) = first_too_deep(text) {
            let fault = format!("nested deeper than {BRACES_MAX} brackets");
            return Err(MappingError::Text { name: name.into(), place: Place::of(text, at), fault });
        }
        let message = DynamicMessage::parse_text_format(self.descriptor(name)?, text).map_err(|fault| {
            MappingError::Text { name: name.into(), place: text_place(&fault, text), fault: fault.to_string() }
        })?;
        typed(name, &message)
    }

    /// Writes JSON. Fields at their default are left out.
    pub fn to_json<M: Message>(&self, name: &str, message: &M) -> Result<String, MappingError> {
        let message = self.dynamic(name, message)?;
        let mut json = serde_json::Serializer::pretty(Vec::new());
        message
            .serialize_with_options(&mut json, &SerializeOptions::new())
            .map_err(|fault| MappingError::Unwritable { name: name.into(), fault })?;
        Ok(String::from_utf8_lossy(&json.into_inner()).into_owned())
    }

    /// As a JSON value in which no field is left out, for programs.
    pub fn to_value<M: Message>(&self, name: &str, message: &M) -> Result<serde_json::Value, MappingError> {
        let options = SerializeOptions::new().skip_default_fields(false);
        let value = self.dynamic(name, message)?.serialize_with_options(serde_json::value::Serializer, &options);
        value.map_err(|fault| MappingError::Unwritable { name: name.into(), fault })
    }

    /// Writes the text form.
    pub fn to_text<M: Message>(&self, name: &str, message: &M) -> Result<String, MappingError> {
        let options = prost_reflect::text_format::FormatOptions::new().pretty(true);
        Ok(self.dynamic(name, message)?.to_text_format_with_options(&options))
    }

    fn dynamic<M: Message>(&self, name: &str, message: &M) -> Result<DynamicMessage, MappingError> {
        let mut dynamic = DynamicMessage::new(self.descriptor(name)?);
        dynamic.transcode_from(message).map_err(|fault| MappingError::Binary { name: name.into(), fault })?;
        Ok(dynamic)
    }

    fn descriptor(&self, name: &str) -> Result<MessageDescriptor, MappingError> {
        self.0.get_message_by_name(name).ok_or_else(|| MappingError::UnknownType(name.into()))
    }
}

/// A text that ends too early has its fault at its end.
fn text_place(fault: &prost_reflect::text_format::ParseError, text: &str) -> Place {
    let first = fault.labels().and_then(|mut labels| labels.next());
    Place::of(text, first.map_or(text.trim_end().len(), |label| label.offset()))
}

fn typed<M: Message + Default>(name: &str, message: &DynamicMessage) -> Result<M, MappingError> {
    message.transcode_to().map_err(|fault| MappingError::Binary { name: name.into(), fault })
}
