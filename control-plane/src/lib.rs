//! The control plane of Veltrix: checks, stores and hands out RouteMaps, so that every engine switches or none does.
//!
//! Start at [`serve()`]: it opens the store and answers operators and engines on one port. An update goes
//! [`updates`] → [`validate`] → [`store`] → [`fleet`], and its way is told in [`updates`].
//!
//! Not here: matching events, Kafka, and anything that an event would have to wait for. When the control plane is away, engines
//! route on by what they have.

// This code applies updates that come from outside: nothing in it may bring the control plane down.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::unreachable)
)]

pub mod address;
mod api;
mod arriving;
mod browsers;
mod connections;
mod engine_service;
pub mod fleet;
mod held_body;
mod http;
pub mod json;
pub mod limits;
pub mod map_id;
pub mod metrics;
pub mod serve;
pub mod store;
mod update_body;
pub mod update_error;
pub mod updates;
pub mod validate;

pub use browsers::{BadHostName, HostName};
pub use serve::{Config, ServeError, serve};
pub use store::StoreLocation;

/// An error with what caused it, in one line.
pub fn with_sources(error: &(impl std::error::Error + ?Sized)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
