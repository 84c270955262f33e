//! What the store keeps of a version, and how its records are chained.
//!
//! Every record holds the SHA-256 of the record before it, and the store holds that of the newest decided one (its head). So a
//! record that was changed, lost or put in from elsewhere is noticed when the store is opened. Records are never removed; only
//! the newest can change, and only by being decided.
//!
//! Not here: when something is written, and what happens when that fails.

use super::{Decision, HEAD_KEY, MAPS, META, RECORDS};
use crate::map_id::MapDigest;
use prost::Message as _;
use prost_types::Timestamp;
use redb::{Database, ReadableDatabase as _, ReadableTable as _, WriteTransaction};
use sha2::{Digest as _, Sha256};
use veltrix_proto::v1::{self, route_map_version::State};

/// One version and its link to the one before.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Record {
    /// `pruned` is never set here: it says whether the bytes are there, which is to be seen.
    #[prost(message, optional, tag = "1")]
    pub(super) version: Option<v1::RouteMapVersion>,
    /// SHA-256 of the record before this one, as stored; empty for the first.
    #[prost(bytes = "vec", tag = "2")]
    pub(super) previous: Vec<u8>,
    /// If the number does not follow that of the record before: which one it follows. An engine ran that version, and this store had
    /// not given it.
    #[prost(uint64, tag = "3")]
    pub(super) above: u64,
}

/// What can be wrong with what is stored.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("its pages can't be read: {said}")]
    Unreadable { said: String },
    #[error("the record of version {version} can't be read")]
    UnreadableRecord { version: u64 },
    #[error("version {expected} is missing; version {found} follows")]
    Gap { expected: u64, found: u64 },
    #[error("the record of version {version} does not follow from the one before it: one of the two was changed")]
    BrokenLink { version: u64 },
    #[error(
        "the record of version {version} is not the one that was stored last: it was changed, or newer ones are lost"
    )]
    BrokenHead { version: u64 },
    #[error("version {version} was never decided, though newer ones exist")]
    Undecided { version: u64 },
    #[error("the bytes of version {version} are missing")]
    MissingMap { version: u64 },
    #[error("the bytes of version {version} are not those that were stored: their SHA-256 differs")]
    OtherMap { version: u64 },
}

impl Record {
    /// Reads the record that is stored under `number`.
    pub(super) fn read(number: u64, bytes: &[u8]) -> Result<Record, Fault> {
        let record = Record::decode(bytes).ok().filter(|record| record.number() == number);
        record.ok_or(Fault::UnreadableRecord { version: number })
    }

    pub(super) fn number(&self) -> u64 {
        self.version.as_ref().map_or(0, |version| version.version)
    }

    pub(super) fn state(&self) -> State {
        self.version.as_ref().map_or(State::Unspecified, v1::RouteMapVersion::state)
    }

    pub(super) fn sha256(&self) -> Option<MapDigest> {
        self.version.as_ref().and_then(|version| MapDigest::from_wire(&version.sha256))
    }

    /// As people see it. `kept`: its bytes are still there.
    pub(super) fn shown(self, kept: bool) -> v1::RouteMapVersion {
        v1::RouteMapVersion { pruned: !kept, ..self.version.unwrap_or_default() }
    }

    /// This record with its fate in it.
    pub(super) fn decided(mut self, decision: &Decision, now: Timestamp) -> Record {
        let mut version = self.version.take().unwrap_or_default();
        version.decided_at = Some(now);
        match decision {
            Decision::Commit => version.set_state(State::Committed),
            Decision::Abort { reason } => {
                version.set_state(State::Aborted);
                version.reason.clone_from(reason);
            }
        }
        Record { version: Some(version), ..self }
    }
}

/// What the records say as a whole.
#[derive(Debug, Default)]
pub(super) struct Chain {
    pub(super) newest: Option<Record>,
    /// The newest committed version, or 0.
    pub(super) committed: u64,
    /// Of the newest decided record.
    head: Vec<u8>,
}

impl Chain {
    fn extend(&mut self, number: u64, bytes: &[u8]) -> Result<(), Fault> {
        let record = Record::read(number, bytes)?;
        if let Some(before) = self.newest.as_ref().filter(|before| before.state() == State::Proposed) {
            return Err(Fault::Undecided { version: before.number() });
        }
        let before = self.newest.as_ref().map_or(0, Record::number);
        let expected = before.max(record.above).saturating_add(1);
        if number != expected {
            return Err(Fault::Gap { expected, found: number });
        }
        if record.previous != self.head {
            return Err(Fault::BrokenLink { version: number });
        }
        match record.state() {
            State::Unspecified => return Err(Fault::UnreadableRecord { version: number }),
            State::Proposed => {}
            State::Committed | State::Aborted => self.head = Sha256::digest(bytes).to_vec(),
        }
        if record.state() == State::Committed {
            self.committed = number;
        }
        self.newest = Some(record);
        Ok(())
    }
}

/// Runs `work` in a transaction that is on disk when this returns.
pub(super) fn write_to<T>(
    database: &Database,
    work: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>,
) -> Result<T, redb::Error> {
    let mut transaction = database.begin_write()?;
    // Maps come from outside, and redb's checksum alone does not withstand chosen data. And recovery must not take minutes.
    transaction.set_two_phase_commit(true);
    transaction.set_quick_repair(true);
    let done = work(&transaction)?;
    transaction.commit()?;
    Ok(done)
}

/// Reads and checks every record.
pub(super) fn read_chain(database: &Database) -> Result<Result<Chain, Fault>, redb::Error> {
    let transaction = database.begin_read()?;
    let mut chain = Chain::default();
    for entry in transaction.open_table(RECORDS)?.iter()? {
        let (key, bytes) = entry?;
        if let Err(fault) = chain.extend(key.value(), bytes.value()) {
            return Ok(Err(fault));
        }
    }
    let head = transaction.open_table(META)?.get(HEAD_KEY)?.map_or(Vec::new(), |head| head.value().to_vec());
    if head != chain.head {
        return Ok(Err(Fault::BrokenHead { version: chain.newest.map_or(0, |newest| newest.number()) }));
    }
    Ok(Ok(chain))
}

pub(super) fn get(transaction: &WriteTransaction, version: u64) -> Result<Option<Record>, redb::Error> {
    let records = transaction.open_table(RECORDS)?;
    let bytes = records.get(version)?;
    // Every record was checked when the store was opened.
    Ok(bytes.and_then(|bytes| Record::read(version, bytes.value()).ok()))
}

/// Stores a proposal under the number after the newest, or after `above` if that is higher, and returns it with that number.
pub(super) fn append(
    transaction: &WriteTransaction,
    mut version: v1::RouteMapVersion,
    map: &[u8],
    above: u64,
) -> Result<Record, redb::Error> {
    let mut records = transaction.open_table(RECORDS)?;
    let newest = records.last()?.map_or(0, |(newest, _)| newest.value());
    let above = if above > newest { above } else { 0 };
    version.version = newest.max(above).saturating_add(1);
    let previous = transaction.open_table(META)?.get(HEAD_KEY)?.map_or(Vec::new(), |head| head.value().to_vec());
    transaction.open_table(MAPS)?.insert(version.version, map)?;
    let record = Record { version: Some(version), previous, above };
    records.insert(record.number(), record.encode_to_vec().as_slice())?;
    Ok(record)
}

/// Stores a decided record, and makes it the head.
pub(super) fn seal(transaction: &WriteTransaction, record: &Record) -> Result<(), redb::Error> {
    let bytes = record.encode_to_vec();
    transaction.open_table(META)?.insert(HEAD_KEY, Sha256::digest(&bytes).as_slice())?;
    transaction.open_table(RECORDS)?.insert(record.number(), bytes.as_slice())?;
    Ok(())
}
