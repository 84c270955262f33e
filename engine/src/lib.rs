//! The engine: consumes events from Kafka, routes them, delivers them, and commits what was delivered.

pub mod audit;
pub mod dev;
mod offsets;
pub mod snapshot;

/// The RouteMap that is compiled into this binary from `proto/routes/*.proto`: a serialized `veltrix.v1.RouteMap`.
pub const EMBEDDED_ROUTES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/embedded_routes.binpb"));
