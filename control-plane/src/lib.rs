//! The control plane of Veltrix: checks, stores and hands out RouteMaps, so that every engine switches or none does.
//!
//! Not here: matching events, Kafka, and anything that an event would have to wait for.

// This code applies updates that come from outside: nothing in it may bring the control plane down.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::unreachable)
)]

pub mod map_id;
pub mod store;

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
