//! Every limit of the control plane itself. Those of a RouteMap are in `veltrix_route_table::limits`.
//!
//! Each bounds memory or waiting. Beyond it there is a refusal that names it, never a queue that grows.

use std::time::Duration;
use veltrix_route_table::limits::MAP_BYTES;

/// Updates that are checked or wait for their turn at once. Each holds a whole map in memory.
pub const UPDATES_WAITING: usize = 8;

/// So long after the last engine went an update still waits for one to come back, and is refused if none does.
pub const ENGINES_AWAITED: Duration = Duration::from_secs(15);

/// Whole maps that are read at once, over gRPC or HTTP. Each holds one or more copies of a map in memory, until its client has it.
pub const MAP_READS: usize = 4;

/// Bytes of the note that is kept with a version.
pub const NOTE_BYTES: usize = 4_096;

/// Bytes of the reason that is kept with an aborted version.
pub const REASON_BYTES: usize = 4_096;

/// Engines that are connected at once.
pub const ENGINES: usize = 1_024;

/// Bytes of an engine's id.
pub const ENGINE_ID_BYTES: usize = 255;

/// The highest version that an engine can say it runs. Updates are numbered above all that engines say, and there must be numbers left.
pub const ENGINE_VERSION: u64 = 1 << 62;

/// Reasons kept of one engine that refuses a map.
pub const REASONS_PER_ENGINE: usize = 100;

/// Bytes of one such reason.
pub const ENGINE_REASON_BYTES: usize = 1_024;

/// Reasons shown in an engine's status, if it can't use the map in force.
pub const REASONS_IN_STATUS: usize = 5;

/// Updates that wait for one engine to read them. One that reads nothing for so long is cut off.
pub const UPDATES_PER_ENGINE: usize = 32;

/// Switches that one engine was told and can still confirm. With more of them open, the oldest is forgotten; a later one makes up for it.
pub const UNCONFIRMED_PER_ENGINE: usize = 8;

/// Engines that are sent a map at once. More of them wait: after a restart of the control plane, a whole fleet comes back.
pub const PREPARES_AT_ONCE: usize = 64;

/// How long after an engine refused the map in force it is asked again: the first time, and at most. The pause doubles from one refusal
/// to the next, because each question sends it the whole map.
pub const ASK_AGAIN_AFTER: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));

/// How long a new connection of an engine may take to say who it is.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of one message from an engine.
pub const ENGINE_REPORT_BYTES: usize = 1 << 20;

/// Records in one answer of ListVersions.
pub const VERSIONS_PER_PAGE: u32 = 1_000;

/// Bytes of a request beside the map in it: version, note, digest and framing.
const ENVELOPE_BYTES: usize = 64 << 10;

/// Bytes of an UpdateRouteMap request over gRPC.
pub const REQUEST_BYTES: usize = map_bytes() + ENVELOPE_BYTES;

/// Bytes of its body: one message, compressed or not, and its head. Compressing can make one that can't be compressed a little longer.
pub const GRPC_BODY_BYTES: usize = REQUEST_BYTES + REQUEST_BYTES / 1_000 + 64;

/// Bytes of the same request as JSON, where the map is base64.
pub const JSON_REQUEST_BYTES: usize = map_bytes().div_ceil(3) * 4 + ENVELOPE_BYTES * 2;

/// Bytes of all bodies of updates together that are arriving: two of the largest, or thousands of usual ones.
pub const ARRIVING_BYTES: usize = 2 * JSON_REQUEST_BYTES;

/// Bytes of the message of an error. Over gRPC it travels in a header, and again in the details.
pub const STATUS_MESSAGE_BYTES: usize = 512;

/// Bytes of the details of an error over gRPC. They travel in a header, in base64, and there are clients that take no more than 8 KiB
/// of headers.
pub const STATUS_DETAILS_BYTES: usize = 3_072;

/// Bytes of the details of an error over HTTP, where they are in the body.
pub const JSON_DETAILS_BYTES: usize = 256 << 10;

/// Connections at once, engines included. When all places are taken, the one that has been without a request longest makes way.
pub const CONNECTIONS: usize = 2_048;

/// Requests at once on one HTTP/2 connection.
pub const STREAMS_PER_CONNECTION: u32 = 64;

/// Bytes of the headers of one request.
pub const HEADER_BYTES: u32 = 16 << 10;

/// How long a new connection may be without a request.
pub const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the headers of an HTTP/1 request may take, and how long such a connection may be idle between two.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the body of a request may take.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(120);

/// So many bytes a body brings in so much time, again and again, or it is cut off. That is a tenth of what a bad mobile connection brings,
/// and allows it a pause; a map of some megabytes would not be here in [`BODY_TIMEOUT`] at this pace. But who wants to take all of
/// [`ARRIVING_BYTES`] and keep it has to go on sending.
pub const BODY_PACE: (usize, Duration) = (64 << 10, Duration::from_secs(10));

/// How often a silent HTTP/2 connection is asked whether it lives, and how long it may take to answer.
pub const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(10));

const fn map_bytes() -> usize {
    MAP_BYTES.max as usize
}

/// `text`, or as much of its beginning as fits in `bytes`.
pub(crate) fn cut(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}
