//! The Kafka headers that Veltrix adds to what it delivers. Part of the contract with everyone who reads from a destination.

/// Decimal number of the RouteMap that the event was routed by; 0: the one compiled into the engine.
pub const VERSION: &str = "veltrix-route-map-version";
/// Id of the first route, in the order of the map, that sent the event to this destination. Not there on events that came by the
/// map's `unmatched` policy.
pub const ROUTE: &str = "veltrix-route";
/// Where the event was read: `topic/partition/offset`. A topic's name has no `/`.
pub const SOURCE: &str = "veltrix-source";
/// On dead letters: the class of the cause, see [`Cause`](crate::dead_letter::Cause).
pub const CAUSE: &str = "veltrix-dead-letter-cause";
/// On dead letters: the cause in words.
pub const REASON: &str = "veltrix-dead-letter-reason";
/// On dead letters: the topic that the delivery was for, if there was one.
pub const TOPIC: &str = "veltrix-dead-letter-topic";
/// On dead letters whose payload was too large for the dead-letter topic: how many bytes it has at its source.
pub const PAYLOAD_OMITTED: &str = "veltrix-dead-letter-payload-omitted";

/// The same for the event's own headers: how many there are.
pub const HEADERS_OMITTED: &str = "veltrix-dead-letter-headers-omitted";
/// The same for the key: how many bytes it has.
pub const KEY_OMITTED: &str = "veltrix-dead-letter-key-omitted";

/// How many of these a delivery has at most.
pub(crate) const OWN_MAX: usize = 3;

/// Whether a header is one of ours. An event that has been through a router before loses those of that time.
#[inline]
pub(crate) fn is_own(name: &str) -> bool {
    name.starts_with("veltrix-")
}
