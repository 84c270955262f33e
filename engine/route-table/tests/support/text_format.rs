//! Conditions in protobuf's text format, which is shorter than building them.

use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use std::sync::LazyLock;
use veltrix_proto::v1::Condition;

static CONDITION: LazyLock<MessageDescriptor> = LazyLock::new(|| {
    let pool = DescriptorPool::decode(veltrix_proto::DESCRIPTOR_SET).unwrap();
    pool.get_message_by_name("veltrix.v1.Condition").unwrap()
});

pub(crate) fn condition(text: &str) -> Condition {
    let message = DynamicMessage::parse_text_format(CONDITION.clone(), text);
    message.unwrap_or_else(|error| panic!("{text}: {error}")).transcode_to().unwrap()
}
