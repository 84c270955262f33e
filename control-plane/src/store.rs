//! The versions of the RouteMap on disk: what was proposed, what became of it, and the bytes.
//!
//! A proposal is stored, and synced to disk, before any engine hears of it; the decision is stored and synced before any engine is
//! told to switch. So a number is never given twice, and what an engine runs is always to be found here. A proposal that nobody
//! decided, because the process or the disk failed, is recorded as aborted when the store is opened again. What was given by a store
//! that is lost can't be known here; so numbers are also above all that engines say they run ([`Proposal::above`]).
//!
//! Start at [`Store::open`], then [`Store::propose`] and [`Store::decide`]. Every call blocks on the disk: call it where blocking
//! is allowed.
//!
//! Not here: what a map means, and who is told of it. The records and how they are chained are in [`record`]; what redb does with a
//! damaged file is caught in [`fence`].

mod fence;
mod record;

use crate::map_id::MapDigest;
use bytes::Bytes;
use fence::fenced;
use parking_lot::Mutex;
use prost_types::Timestamp;
use record::{Fault, Record, write_to};
use redb::{Database, DatabaseError, ReadableDatabase as _, ReadableTable as _, TableDefinition, WriteTransaction};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::SystemTime;
use veltrix_proto::v1::{self, route_map_version::State};
use veltrix_route_table::RouteMapVersion;

const RECORDS: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("records");
const MAPS: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("maps");
const META: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("meta");
const FORMAT_KEY: &str = "format";
const FORMAT: &[u8] = b"veltrix-control-plane 1";
/// The digest of the newest decided record.
const HEAD_KEY: &str = "head";
/// Above this number (little-endian) the bytes of no version were ever pruned: if they are missing, the file is damaged. Stores that
/// are older than this key do without.
const PRUNED_KEY: &str = "pruned";

/// The file's name in the data directory.
pub const FILE_NAME: &str = "control-plane.redb";

/// redb's own default is 1 GiB; the map in force is kept in memory anyway.
const CACHE_BYTES: usize = 64 << 20;

/// Where the versions are kept.
#[derive(Clone, Debug)]
pub enum StoreLocation {
    /// In this directory, which is made if it is missing.
    Directory(PathBuf),
    /// Nowhere: they are gone when the process ends.
    Memory,
}

/// Why the store can't do what it was asked.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum StoreError {
    #[error(
        "{place} is in use by another process; a data directory belongs to one control plane: stop the other one, or give \
         this one a --data-dir of its own"
    )]
    InUse { place: String },
    #[error("can't open {place}; check that the directory exists and may be written to, and that its disk has room")]
    Open { place: String, source: std::io::Error },
    #[error(
        "{place} is not a store of a control plane, or it is damaged ({fault}). Engines route on by what they have. Put back a \
         copy of the file; or move the file away, start again, and apply the routes from where they are written, or from an \
         engine: `tail -n +2 STATE-DIR/route_map.current > map.binpb`"
    )]
    Damaged { place: String, fault: String },
    #[error("{place} was written by another release (format `{found}`); start the release that wrote it")]
    Format { place: String, found: String },
    #[error(
        "{place} failed; check the disk's room and health. The version in force stays, and the next call tries again"
    )]
    Failed { place: String, source: redb::Error },
    #[error(
        "{place} holds no proposal {version} that could be decided; this is a fault of the control plane, please report it"
    )]
    NotProposed { place: String, version: u64 },
    #[error("the blocking task that used {place} failed; this is a fault of the control plane, please report it")]
    Panicked { place: String },
}

/// What is to be stored before any engine hears of it.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// A serialized RouteMap.
    pub map: Bytes,
    /// Of `map`.
    pub sha256: MapDigest,
    /// Why, in the caller's words.
    pub note: String,
    /// What the map holds.
    pub size: v1::RouteMapSize,
    /// Its number is to be above this one, too: an engine runs it, though it may not have been given here.
    pub above: u64,
}

/// What became of a proposal.
#[derive(Clone, Debug)]
pub enum Decision {
    /// It is the map in force from here on.
    Commit,
    /// It never was, and never will be.
    Abort {
        /// Why.
        reason: String,
    },
}

/// The newest committed version with its bytes.
#[derive(Clone, Debug)]
pub struct Committed {
    /// Its record.
    pub record: v1::RouteMapVersion,
    /// A serialized RouteMap.
    pub map: Bytes,
}

type Opener = Box<dyn Fn() -> Result<Database, DatabaseError> + Send + Sync>;

/// The versions of the RouteMap.
pub struct Store {
    place: String,
    opener: Opener,
    open: Mutex<Open>,
}

/// redb gives up for good after an I/O error, so the database is dropped then and opened again by the next call.
struct Open {
    database: Option<Database>,
    /// The version in force as this process announced it. A commit that reached the disk but was reported as failed is newer, and is
    /// aborted when the store is opened again: nobody was told of it.
    announced: u64,
}

impl Store {
    /// Opens the store or makes a new one, checks every record, and aborts a proposal that was never decided.
    pub fn open(location: &StoreLocation) -> Result<Store, StoreError> {
        match location {
            StoreLocation::Memory => Store::open_with("the store in memory".into(), Box::new(open_in_memory)),
            StoreLocation::Directory(directory) => {
                let path = directory.join(FILE_NAME);
                let place = path.display().to_string();
                std::fs::create_dir_all(directory)
                    .map_err(|source| StoreError::Open { place: directory.display().to_string(), source })?;
                Store::open_with(place, Box::new(move || builder().create(&path)))
            }
        }
    }

    fn open_with(place: String, opener: Opener) -> Result<Store, StoreError> {
        let store = Store { place, opener, open: Mutex::new(Open { database: None, announced: 0 }) };
        let (database, in_force) = store.open_and_recover(None)?;
        {
            let mut open = store.open.lock();
            (open.database, open.announced) = (Some(database), in_force);
        }
        if let Some(version) = RouteMapVersion::from_wire(in_force) {
            store.map(version)?.ok_or_else(|| store.damaged(&Fault::MissingMap { version: in_force }))?;
        }
        Ok(store)
    }

    /// The newest committed version.
    pub fn in_force(&self) -> Result<Option<Committed>, StoreError> {
        let announced = self.open.lock().announced;
        let Some(version) = RouteMapVersion::from_wire(announced) else {
            return Ok(None);
        };
        let Some(record) = self.version(version)? else {
            return Ok(None);
        };
        Ok(self.map(version)?.map(|map| Committed { record, map }))
    }

    /// Stores the next version as proposed. When this returns, it is on disk.
    pub fn propose(&self, proposal: &Proposal, now: Timestamp) -> Result<v1::RouteMapVersion, StoreError> {
        let version = v1::RouteMapVersion {
            version: 0,
            state: State::Proposed.into(),
            sha256: proposal.sha256.to_bytes(),
            note: proposal.note.clone(),
            proposed_at: Some(now),
            decided_at: None,
            reason: String::new(),
            size: Some(proposal.size),
            pruned: false,
        };
        let proposed = self.write(|transaction| record::append(transaction, version, &proposal.map, proposal.above))?;
        if proposed.above != 0 {
            tracing::warn!(
                version = proposed.number(),
                engines_run = proposed.above,
                "numbers are skipped: an engine runs a version that was not given here"
            );
        }
        Ok(proposed.shown(true))
    }

    /// Stores what became of a proposal. When this returns, it is on disk.
    pub fn decide(
        &self,
        version: RouteMapVersion,
        decision: &Decision,
        now: Timestamp,
    ) -> Result<v1::RouteMapVersion, StoreError> {
        let decided = self.write(|transaction| {
            let stored = record::get(transaction, version.get())?;
            let Some(proposed) = stored.filter(|stored| stored.state() == State::Proposed) else {
                return Ok(None);
            };
            let decided = proposed.decided(decision, now);
            record::seal(transaction, &decided)?;
            Ok(Some(decided.shown(true)))
        })?;
        let decided =
            decided.ok_or_else(|| StoreError::NotProposed { place: self.place.clone(), version: version.get() })?;
        if matches!(decision, Decision::Commit) {
            self.open.lock().announced = version.get();
        }
        Ok(decided)
    }

    /// The record of one version.
    pub fn version(&self, version: RouteMapVersion) -> Result<Option<v1::RouteMapVersion>, StoreError> {
        let below = version.get().saturating_add(1);
        Ok(self.list(below, 1)?.into_iter().find(|found| found.version == version.get()))
    }

    /// At most `limit` records below the version `before`, newest first.
    pub fn list(&self, before: u64, limit: usize) -> Result<Vec<v1::RouteMapVersion>, StoreError> {
        let read = self.run(|database| {
            let transaction = database.begin_read()?;
            let records = transaction.open_table(RECORDS)?;
            let maps = transaction.open_table(MAPS)?;
            let mut found = Vec::new();
            for entry in records.range(..before)?.rev().take(limit) {
                let (key, bytes) = entry?;
                let kept = maps.get(key.value())?.is_some();
                found.push(Record::read(key.value(), bytes.value()).map(|record| record.shown(kept)));
            }
            Ok(found)
        })?;
        read.into_iter().collect::<Result<_, Fault>>().map_err(|fault| self.damaged(&fault))
    }

    /// The bytes of one version; `None` if there is no such version, or they were pruned.
    pub fn map(&self, version: RouteMapVersion) -> Result<Option<Bytes>, StoreError> {
        let found = self.run(|database| {
            let transaction = database.begin_read()?;
            let map = transaction.open_table(MAPS)?.get(version.get())?.map(|map| Bytes::copy_from_slice(map.value()));
            let record = transaction.open_table(RECORDS)?.get(version.get())?;
            let sha256 = record.map(|bytes| Record::read(version.get(), bytes.value()).map(|record| record.sha256()));
            let pruned = transaction.open_table(META)?.get(PRUNED_KEY)?;
            let pruned = pruned.and_then(|pruned| Some(u64::from_le_bytes(pruned.value().try_into().ok()?)));
            let lost = sha256.is_some() && pruned.is_some_and(|pruned| version.get() > pruned);
            Ok(map.ok_or(lost).map(|map| (map, sha256)))
        })?;
        let (map, sha256) = match found {
            Ok(found) => found,
            Err(false) => return Ok(None),
            Err(true) => return Err(self.damaged(&Fault::MissingMap { version: version.get() })),
        };
        let sha256 = sha256.transpose().map_err(|fault| self.damaged(&fault))?.flatten();
        if sha256 != Some(MapDigest::of(&map)) {
            return Err(self.damaged(&Fault::OtherMap { version: version.get() }));
        }
        Ok(Some(map))
    }

    /// Drops the bytes of all versions but the newest `keep`, those in `in_use`, and the one in force. Returns how many.
    pub fn prune(&self, keep: u64, in_use: &BTreeSet<u64>) -> Result<usize, StoreError> {
        let announced = self.open.lock().announced;
        let (up_to, old) = self.run(|database| {
            let transaction = database.begin_read()?;
            let newest = transaction.open_table(RECORDS)?.last()?.map_or(0, |(key, _)| key.value());
            let up_to = newest.saturating_sub(keep);
            let mut old = Vec::new();
            for entry in transaction.open_table(MAPS)?.range(..=up_to)? {
                let version = entry?.0.value();
                if version != announced && !in_use.contains(&version) {
                    old.push(version);
                }
            }
            Ok((up_to, old))
        })?;
        if !old.is_empty() {
            self.write(|transaction| {
                let mut maps = transaction.open_table(MAPS)?;
                old.iter().try_for_each(|version| maps.remove(version).map(drop))?;
                transaction.open_table(META)?.insert(PRUNED_KEY, up_to.to_le_bytes().as_slice())?;
                Ok(())
            })?;
        }
        Ok(old.len())
    }

    /// Where this store is, for messages.
    pub fn place(&self) -> &str {
        &self.place
    }

    fn write<T>(&self, work: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>) -> Result<T, StoreError> {
        self.run(|database| write_to(database, work))
    }

    /// Opens the database again if an earlier call broke it.
    fn run<T>(&self, work: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, StoreError> {
        let mut open = self.open.lock();
        let database = match open.database.take() {
            Some(database) => database,
            None => self.open_and_recover(Some(open.announced))?.0,
        };
        match self.fenced(|| work(&database).map_err(|source| self.failed(source))) {
            Ok(done) => {
                open.database = Some(database);
                Ok(done)
            }
            Err(fault) => {
                close(database);
                Err(fault)
            }
        }
    }

    /// The database, and the version in force. See [`Store::recover`].
    fn open_and_recover(&self, announced: Option<u64>) -> Result<(Database, u64), StoreError> {
        let database = self.fenced(|| self.open_database())?;
        match self.fenced(|| self.recover(&database, announced)) {
            Ok(in_force) => Ok((database, in_force)),
            Err(fault) => {
                close(database);
                Err(fault)
            }
        }
    }

    /// Everything that redb does with the file goes through here, or through [`close`].
    fn fenced<T>(&self, work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        fenced(work).unwrap_or_else(|said| Err(self.damaged(&Fault::Unreadable { said })))
    }

    fn open_database(&self) -> Result<Database, StoreError> {
        let fault = |source| match source {
            DatabaseError::DatabaseAlreadyOpen => StoreError::InUse { place: self.place.clone() },
            DatabaseError::UpgradeRequired(format) => {
                StoreError::Format { place: self.place.clone(), found: format!("redb {format}") }
            }
            other => self.failed(other.into()),
        };
        let mut database = (self.opener)().map_err(fault)?;
        // Every page against its checksum, before anything is written: a transaction that runs into a damaged page of redb's own
        // lists panics twice, which nothing can catch. It takes a read of the whole file, at the start only. What redb repairs here
        // is its list of free pages; a damaged page of ours is an error, since every transaction was committed in two phases.
        database.check_integrity().map_err(fault)?;
        let format = write_to(&database, |transaction| {
            transaction.open_table(RECORDS)?;
            transaction.open_table(MAPS)?;
            let mut meta = transaction.open_table(META)?;
            let found = meta.get(FORMAT_KEY)?.map(|found| found.value().to_vec());
            if found.is_none() {
                meta.insert(FORMAT_KEY, FORMAT)?;
                meta.insert(PRUNED_KEY, 0u64.to_le_bytes().as_slice())?;
            }
            Ok(found)
        });
        match format.map_err(|source| self.failed(source))? {
            Some(found) if found != FORMAT => Err(StoreError::Format {
                place: self.place.clone(),
                found: String::from_utf8_lossy(&found).into_owned(),
            }),
            _ => Ok(database),
        }
    }

    /// Checks every record, and aborts the newest one if it is undecided, or committed without anyone having been told.
    /// `announced` is the version in force as this process knows it; `None` when it has only just started, and what is committed
    /// counts. Returns the version in force.
    fn recover(&self, database: &Database, announced: Option<u64>) -> Result<u64, StoreError> {
        let chain = self.read_chain(database)?;
        let Some(newest) = chain.newest else {
            return Ok(0);
        };
        let unknown =
            announced.is_some_and(|announced| chain.committed == newest.number() && announced < chain.committed);
        if newest.state() != State::Proposed && !unknown {
            return Ok(chain.committed);
        }
        let reason = match announced {
            None => "the control plane stopped before it was decided",
            Some(_) => "the store failed before it was decided",
        };
        tracing::warn!(version = newest.number(), reason, "a proposal that was not decided is aborted");
        let aborted = newest.decided(&Decision::Abort { reason: reason.into() }, SystemTime::now().into());
        write_to(database, |transaction| record::seal(transaction, &aborted)).map_err(|source| self.failed(source))?;
        Ok(self.read_chain(database)?.committed)
    }

    fn read_chain(&self, database: &Database) -> Result<record::Chain, StoreError> {
        let chain = record::read_chain(database).map_err(|source| self.failed(source))?;
        chain.map_err(|fault| self.damaged(&fault))
    }

    fn failed(&self, source: redb::Error) -> StoreError {
        let place = self.place.clone();
        match source {
            redb::Error::Corrupted(fault) => StoreError::Damaged { place, fault },
            // What redb says of a file that is not its own, and of one that was cut.
            redb::Error::Io(source) if matches!(source.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) => {
                StoreError::Damaged { place, fault: source.to_string() }
            }
            redb::Error::Io(source) if matches!(source.kind(), ErrorKind::PermissionDenied | ErrorKind::NotFound) => {
                StoreError::Open { place, source }
            }
            source => StoreError::Failed { place, source },
        }
    }

    fn damaged(&self, fault: &Fault) -> StoreError {
        StoreError::Damaged { place: self.place.clone(), fault: fault.to_string() }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(database) = self.database.take() {
            close(database);
        }
    }
}

/// redb writes at the end, too. Should the file be damaged, the next to open it will be told.
fn close(database: Database) {
    fenced(move || drop(database)).ok();
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

fn open_in_memory() -> Result<Database, DatabaseError> {
    builder().create_with_backend(redb::backends::InMemoryBackend::new())
}

#[cfg(test)]
mod tests;
