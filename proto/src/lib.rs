//! The messages and services of Veltrix, generated from `proto/veltrix/v1/*.proto`, and nothing else.
//!
//! Start at `route_map.proto`: a [`v1::RouteMap`] is what people write. `control_plane.proto` is for operators,
//! `route_updates.proto` is what control plane and engines say to each other, `options.proto` lets schemas carry routes, and
//! `lookup.proto` is what a backend implements to tell engines what events don't carry.

/// Package `veltrix.v1`. The comments are those of the .proto files.
pub mod v1 {
    #![allow(missing_docs, unreachable_pub, clippy::all)]
    include!(concat!(env!("OUT_DIR"), "/veltrix.v1.rs"));
}

/// The compiled .proto files with their imports, options and comments: a serialized `google.protobuf.FileDescriptorSet`.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor.binpb"));

/// The .proto files that schemas with routes import, by the path that they are imported by.
pub const SCHEMA_IMPORTS: [(&str, &str); 2] = [
    ("veltrix/v1/options.proto", include_str!("../veltrix/v1/options.proto")),
    ("veltrix/v1/route_map.proto", include_str!("../veltrix/v1/route_map.proto")),
];
