//! Which map: its number and what it must hash to. Two maps are the same only if both are.

use sha2::{Digest as _, Sha256};
use veltrix_route_table::RouteMapVersion;

/// The SHA-256 of a map's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct MapDigest([u8; 32]);

impl MapDigest {
    /// The digest of `map`.
    pub fn of(map: &[u8]) -> MapDigest {
        MapDigest(Sha256::digest(map).into())
    }

    /// `None` if `raw` is not as long as a SHA-256.
    pub fn from_wire(raw: &[u8]) -> Option<MapDigest> {
        raw.try_into().ok().map(MapDigest)
    }

    /// For the wire.
    pub fn to_bytes(self) -> bytes::Bytes {
        bytes::Bytes::copy_from_slice(&self.0)
    }
}

impl std::fmt::Display for MapDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for MapDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// One map under one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapId {
    /// Its number.
    pub version: RouteMapVersion,
    /// What its bytes hash to.
    pub sha256: MapDigest,
}

impl MapId {
    /// `None` if the sender named no map at all: version 0, or no digest.
    pub fn from_wire(version: u64, sha256: &[u8]) -> Option<MapId> {
        Some(MapId { version: RouteMapVersion::from_wire(version)?, sha256: MapDigest::from_wire(sha256)? })
    }
}
