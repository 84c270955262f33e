//! Compiled route tables: the pure heart of the router.
//!
//! A [`RouteMap`](veltrix_proto::v1::RouteMap) is what an operator writes and the wire carries; a [`RouteTable`] is what an
//! engine runs. [`Compiler::compile`] is the only road between them and the only place where a map can be refused. Once a
//! table exists, matching cannot fail: [`RouteTable::route`] says who gets an event, and an event it can't read is an answer,
//! not an error.
//!
//! ```
//! use veltrix_proto::v1::{self, destination};
//! use veltrix_route_table::{Deliveries, Event, Value, compile};
//!
//! struct Clue;
//! impl Event for Clue {
//!     fn topic(&self) -> &str { "game-events" }
//!     fn key(&self) -> Value<'_> { Value::Bytes(b"player-7") }
//!     fn header(&self, name: &str) -> Value<'_> {
//!         if name == "ce_type" { Value::Bytes(b"hunt.clue.found") } else { Value::Missing }
//!     }
//! }
//!
//! let table = compile(&v1::RouteMap {
//!     name: "example".into(),
//!     destinations: vec![v1::Destination {
//!         id: "leaderboard".into(),
//!         kind: Some(destination::Kind::Kafka(v1::KafkaTopic { topic: "hunt-leaderboard".into(), ..Default::default() })),
//!     }],
//!     routes: vec![v1::Route {
//!         id: "clues".into(),
//!         types: Some(v1::EventTypes { prefixes: vec!["hunt.clue.".into()], ..Default::default() }),
//!         to: vec!["leaderboard".into()],
//!         ..Default::default()
//!     }],
//!     ..Default::default()
//! })?;
//!
//! let mut deliveries = Deliveries::new();
//! table.route(&Clue, &mut deliveries);
//! let delivery = deliveries.list()[0];
//! assert_eq!(table.destination(delivery.destination).unwrap().topic, "hunt-leaderboard");
//! # Ok::<(), veltrix_route_table::Refused>(())
//! ```
//!
//! How it stays fast: every route is filed under its event types in one hash index whose entries are a cache line each, so the
//! cost of an event does not grow with the routes of other types or other tenants; each distinct predicate is evaluated at most
//! once per event; nothing is allocated per event, and a table is compiled into the memory of one that was given back
//! ([`Compiler::recycle`]).
//!
//! What events don't carry, a map can have looked up: then [`RouteTable::route`] says which answers an event's routes depend on
//! ([`Deliveries::needs`]), the caller gets them in whatever way, and [`RouteTable::resume`] goes on.
//!
//! Not here, on purpose: sockets, clocks, threads, Kafka. Four programs link this crate and must get the same answer.

// This code applies updates that come from outside: nothing in it may bring an engine down.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::unreachable)
)]

// The generators of the integration tests, which unit tests use too, name the crate as its users do.
#[cfg(test)]
extern crate self as veltrix_route_table;
#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;

mod access;
mod analyze;
mod canonical;
pub mod cel;
mod compile;
mod condition;
mod content;
mod decode;
mod decompile;
mod deliveries;
mod diff;
mod evaluate;
mod event;
pub mod event_pattern;
mod exclusive;
mod explain;
mod fault;
mod fields;
mod filed;
mod foreseen;
mod found;
mod group;
// Public for their benchmarks and fuzz targets only, and no part of what the crate promises.
mod interned;
#[doc(hidden)]
pub mod json;
mod key_index;
pub mod limits;
mod lookups;
mod merged;
mod predicate;
mod prefetch;
mod proof;
mod protobuf;
mod resume;
mod route_ids;
mod rows;
#[cfg(feature = "schema")]
pub mod schema;
mod share;
mod source;
mod table;
mod template;
#[doc(hidden)]
pub mod value;
mod values;
mod version;
mod whole;
mod wire;
mod zones;

pub use analyze::{Analysis, Finding, FindingKind, Merge, RouteCost, Sharing, analyze};
pub use canonical::canonical;
pub use cel::nearest;
pub use compile::{Compiler, compile};
pub use condition::Truth;
pub use deliveries::{Deliveries, Delivery, Matches, Verdict};
pub use diff::{Aspect, Change, Detail, EventDiff, How, Subject, diff, diff_event, diff_event_with};
pub use event::{Event, Value};
pub use explain::{
    Actual, ActualValue, Because, Cause, DeliveryExplanation, Explanation, InGroup, NoFields, Outcome,
    RouteExplanation, SharePlace, TenantFound, UnplacedExplanation, ValueKind,
};
pub use fault::{BadUrl, Fault, Reason, Refused, WireFault};
pub use filed::RouteTypes;
pub use limits::Usage;
pub use lookups::{Answers, Lookup, LookupCache, LookupIndex, LookupSource, Need, Pending};
pub use merged::{Aggregation, MergedRoute, WhyMerged};
pub use protobuf::BadDescriptors;
pub use route_ids::route_ids;
pub use source::Unreadable;
pub use table::{Destination, DestinationIndex, RouteIndex, RouteTable, Unmatched, Written};
pub use template::Unplaced;
pub use version::RouteMapVersion;
