//! The protobuf JSON and text forms of messages, by their descriptors.
//!
//! Not here: which message comes from where.

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};

/// Why a text is not the message that it should be.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum MappingError {
    #[error("the message type {0} is not known; this is a fault of this program, please report it")]
    UnknownType(String),
    #[error("not the protobuf JSON form of {name}: {fault}")]
    Json { name: String, fault: serde_json::Error },
    #[error("not the protobuf text form of {name}: {fault}")]
    Text { name: String, fault: prost_reflect::text_format::ParseError },
    #[error("not a serialized {name}: {fault}")]
    Binary { name: String, fault: prost::DecodeError },
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
        let fault = |fault| MappingError::Json { name: name.into(), fault };
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        let message = DynamicMessage::deserialize(self.descriptor(name)?, &mut deserializer).map_err(fault)?;
        deserializer.end().map_err(fault)?;
        typed(name, &message)
    }

    /// Reads the text form.
    pub fn from_text<M: Message + Default>(&self, name: &str, text: &str) -> Result<M, MappingError> {
        let message = DynamicMessage::parse_text_format(self.descriptor(name)?, text)
            .map_err(|fault| MappingError::Text { name: name.into(), fault })?;
        typed(name, &message)
    }

    /// Writes JSON. Fields at their default are left out.
    pub fn to_json<M: Message>(&self, name: &str, message: &M) -> Result<String, MappingError> {
        let message = self.dynamic(name, message)?;
        let mut json = serde_json::Serializer::pretty(Vec::new());
        message
            .serialize_with_options(&mut json, &SerializeOptions::new())
            .map_err(|fault| MappingError::Json { name: name.into(), fault })?;
        Ok(String::from_utf8_lossy(&json.into_inner()).into_owned())
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

fn typed<M: Message + Default>(name: &str, message: &DynamicMessage) -> Result<M, MappingError> {
    message.transcode_to().map_err(|fault| MappingError::Binary { name: name.into(), fault })
}
