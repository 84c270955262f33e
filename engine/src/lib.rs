//! The engine: consumes events from Kafka, routes them, delivers them, and commits what was delivered.
//!
//! [`Engine::start`] puts it together and [`Engine::run_until`] sees it to its end. The parts, along an event's way: [`router`] polls,
//! routes and sends; [`kafka`] is the client below it; [`offsets`] says what may be committed; [`dead_letter`] takes what can't be
//! delivered. Along a route change's way: [`route_updates`] talks to the control plane, [`installer`] prepares and commits,
//! [`lookups`] is where conditions find what events don't carry, [`last_known_good`] is what a restart begins with, [`snapshot`] is the
//! one seam between the two.
//!
//! **Start.** The engine takes its first map from the control plane, or from its last known good one if there is no answer in time, or,
//! without a control plane, from the binary. Until it has one it joins no group and takes no partition.
//!
//! **Stop.** Routers stop polling, wait for what is under way, store and commit, leave the group; then the stream to the control plane
//! and the HTTP side end. All under one deadline; what it cuts off is repeated after the next start.

// Where updates are applied, indexing is denied, too.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::todo))]

mod admin;
pub mod audit;
pub mod config;
pub mod dead_letter;
pub mod dev;
mod engine;
pub mod headers;
#[cfg_attr(not(test), deny(clippy::indexing_slicing))]
mod installer;
pub mod kafka;
#[cfg_attr(not(test), deny(clippy::indexing_slicing))]
mod last_known_good;
pub mod logging;
mod lookups;
mod metrics;
mod offsets;
#[cfg_attr(not(test), deny(clippy::indexing_slicing))]
mod route_updates;
mod router;
mod seldom;
#[cfg_attr(not(test), deny(clippy::indexing_slicing))]
pub mod snapshot;
mod status;
mod stop;

pub use engine::{Engine, EngineError, NeededTopic};
pub use router::StartAt;
pub use status::{Numbers, Status};

/// The RouteMap that is compiled into this binary from `proto/routes/*.proto`: a serialized `veltrix.v1.RouteMap`.
pub const EMBEDDED_ROUTES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/embedded_routes.binpb"));
