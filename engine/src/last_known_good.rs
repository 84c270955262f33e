//! The newest committed RouteMap, on the engine's own disk, for a start without the control plane.
//!
//! A file holds one map: a line with its version, its length and a digest of both and of the map, then the map. It is
//! written to a new file, which is synced, renamed over the old one, and synced again by way of its directory: rename alone
//! is atomic, but not durable (Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014). The map before it is
//! kept, too. What can't be read or does not have the digest that it was written with is passed over; if nothing is left,
//! there is no map. Never an empty one, never a part of one.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use veltrix_route_table::RouteMapVersion;

/// A stored map and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredMap {
    pub(crate) version: RouteMapVersion,
    pub(crate) sha256: [u8; 32],
    pub(crate) route_map: Bytes,
}

/// The files of one engine.
#[derive(Clone, Debug)]
pub(crate) struct LastKnownGood {
    directory: PathBuf,
}

const MAGIC: &str = "veltrix-last-known-good 1";
const CURRENT: &str = "route_map.current";
const PREVIOUS: &str = "route_map.previous";
const NEXT: &str = "route_map.next";

impl LastKnownGood {
    pub(crate) fn new(directory: &Path) -> LastKnownGood {
        LastKnownGood { directory: directory.to_owned() }
    }

    /// Stores a map durably; the one before it stays as the previous.
    pub(crate) fn store(&self, map: &StoredMap) -> io::Result<()> {
        let path = |name| self.directory.join(name);
        let mut next = File::create(path(NEXT))?;
        let digest = digest(&map.version.to_string(), &map.route_map);
        writeln!(next, "{MAGIC} version={} digest={digest}", map.version)?;
        next.write_all(&map.route_map)?;
        next.sync_all()?;
        match fs::rename(path(CURRENT), path(PREVIOUS)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::rename(path(NEXT), path(CURRENT))?,
        }
        File::open(&self.directory)?.sync_all()
    }

    /// The newest map that can be trusted. What had to be passed over is logged.
    pub(crate) fn load(&self) -> Option<StoredMap> {
        // A crash between the two renames leaves no current one, but a previous and perhaps a whole next.
        [CURRENT, NEXT, PREVIOUS].iter().filter_map(|name| self.load_file(name)).max_by_key(|map| map.version)
    }

    fn load_file(&self, name: &str) -> Option<StoredMap> {
        let path = self.directory.join(name);
        match fs::read(&path).map_err(|error| error.to_string()).and_then(|bytes| parse(&bytes)) {
            Ok(map) => Some(map),
            Err(reason) if path.exists() => {
                tracing::warn!(path = %path.display(), reason, "a stored RouteMap is damaged and passed over");
                None
            }
            Err(_) => None,
        }
    }
}

fn parse(bytes: &[u8]) -> Result<StoredMap, String> {
    let mut parts = bytes.splitn(2, |byte| *byte == b'\n');
    let (Some(head), Some(map)) = (parts.next(), parts.next()) else { return Err("it has no first line".to_owned()) };
    let head = str::from_utf8(head).map_err(|_| "its first line is not text")?;
    let fields = head.strip_prefix(MAGIC).ok_or("its first line does not say what it is")?;
    let field = |name: &str| {
        let found = fields.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
        found.ok_or_else(|| format!("its first line has no `{name}`"))
    };
    if field("digest")? != digest(field("version")?, map) {
        return Err("its bytes are not those that were written".to_owned());
    }
    let version =
        field("version")?.parse().ok().and_then(RouteMapVersion::from_wire).ok_or("its version is no number")?;
    Ok(StoredMap { version, sha256: Sha256::digest(map).into(), route_map: Bytes::copy_from_slice(map) })
}

fn digest(version: &str, map: &[u8]) -> String {
    let digest = Sha256::new().chain_update(format!("{version} {}\n", map.len())).chain_update(map).finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(version: u64) -> StoredMap {
        let route_map = Bytes::from(format!("route map {version}"));
        let version = RouteMapVersion::from_wire(version).unwrap();
        StoredMap { version, sha256: Sha256::digest(&route_map).into(), route_map }
    }

    #[test]
    fn what_was_stored_last_is_loaded() {
        let directory = tempfile::tempdir().unwrap();
        let store = LastKnownGood::new(directory.path());
        assert_eq!(store.load(), None);
        for version in 1..4 {
            store.store(&map(version)).unwrap();
            assert_eq!(store.load(), Some(map(version)));
        }
    }

    #[test]
    fn a_current_map_that_is_cut_anywhere_or_has_any_bit_flipped_falls_back_to_the_previous() {
        let directory = tempfile::tempdir().unwrap();
        let store = LastKnownGood::new(directory.path());
        store.store(&map(1)).unwrap();
        store.store(&map(2)).unwrap();
        let current = directory.path().join(CURRENT);
        let whole = fs::read(&current).unwrap();
        for cut in 0..whole.len() {
            fs::write(&current, &whole[..cut]).unwrap();
            assert_eq!(store.load(), Some(map(1)), "cut at byte {cut}");
        }
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(&current, &flipped).unwrap();
            assert_eq!(store.load(), Some(map(1)), "flipped bit {bit}");
        }
    }

    #[test]
    fn a_crash_between_the_renames_loses_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let store = LastKnownGood::new(directory.path());
        store.store(&map(1)).unwrap();
        store.store(&map(2)).unwrap();
        fs::rename(directory.path().join(CURRENT), directory.path().join(NEXT)).unwrap();
        assert_eq!(store.load(), Some(map(2)));
    }
}
