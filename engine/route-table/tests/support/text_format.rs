//! Conditions and maps in protobuf's text format, which is shorter than building them.

#![allow(dead_code, reason = "each test crate that includes this file uses a part of it")]

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};
use std::sync::LazyLock;
use veltrix_proto::v1::{Condition, RouteMap};

static MESSAGES: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(veltrix_proto::DESCRIPTOR_SET).unwrap());

pub(crate) fn condition(text: &str) -> Condition {
    read("veltrix.v1.Condition", text)
}

pub(crate) fn route_map(text: &str) -> RouteMap {
    read("veltrix.v1.RouteMap", text)
}

fn read<M: Message + Default>(name: &str, text: &str) -> M {
    let message = DynamicMessage::parse_text_format(MESSAGES.get_message_by_name(name).unwrap(), text);
    message.unwrap_or_else(|error| panic!("{text}: {error}")).transcode_to().unwrap()
}
