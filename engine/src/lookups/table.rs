//! A reference table in memory: written by the thread that follows its source, read by router threads.
//!
//! An edition of the table is immutable. Its entries are spread over [`SHARDS`] maps, each behind a reference count, so that the next
//! edition shares all of them but those that something has changed in: what an update costs does not grow with the table. Readers
//! take the newest edition once per round, as they take route tables: one atomic load, and a lock only when there is another one. So a
//! lookup takes no lock and counts no reference, all events of a round meet the same edition, and a writer waits for nobody.

use parking_lot::{Condvar, Mutex};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use veltrix_route_table::limits::{LOOKUP_TABLE_BYTES, LOOKUP_TABLE_ENTRIES, Limit};

/// With as many entries as a table may have, one has 4,000: copying it when it changes takes a fraction of a millisecond.
const SHARDS: usize = 1_024;
/// What an entry takes besides the bytes of its key and value: its place in the map, which is not quite full, and two allocations with
/// their counters.
const ENTRY_BYTES: u64 = 100;

type Hasher = foldhash::quality::RandomState;
type Shard = HashMap<Arc<[u8]>, Value, Hasher>;

/// What is known of a key: its answer, or why it has none that could be read. No JSON begins with [`Value::FAILED`], so that an entry
/// takes no more memory for being able to say this.
#[derive(Clone, Debug)]
struct Value(Arc<[u8]>);

impl Value {
    const FAILED: u8 = 0;

    fn answer(json: &[u8]) -> Value {
        Value(json.into())
    }

    fn failed(why: &str) -> Value {
        Value([&[Value::FAILED], why.as_bytes()].concat().into())
    }

    fn get(&self) -> Result<&[u8], &str> {
        match &*self.0 {
            [Value::FAILED, why @ ..] => Err(std::str::from_utf8(why).unwrap_or_default()),
            json => Ok(json),
        }
    }
}

/// A table would take more than a limit allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it has more than {} {}, the limit `{}`", .0.max, .0.meaning, .0.name)]
pub(crate) struct TooLarge(pub(crate) &'static Limit);

/// Keys and values; a clone shares them until either changes.
#[derive(Clone, Debug)]
pub(super) struct Entries {
    shards: Box<[Arc<Shard>]>,
    /// Not that of the shards: where an entry stands in its shard must not depend on which one it is in.
    hasher: Hasher,
    count: u64,
    bytes: u64,
}

impl Entries {
    pub(super) fn new() -> Entries {
        let empty = Arc::<Shard>::default();
        Entries { shards: vec![empty; SHARDS].into(), hasher: Hasher::default(), count: 0, bytes: 0 }
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    fn shard_of(&self, key: &[u8]) -> usize {
        self.hasher.hash_one(key) as usize % SHARDS
    }

    /// The answer for a key.
    ///
    /// # Errors
    /// Why it can't be read.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<&[u8]>, &str> {
        let value = self.shards.get(self.shard_of(key)).and_then(|shard| shard.get(key));
        value.map(Value::get).transpose()
    }

    /// Puts an answer, which is JSON, in the place of what is there, if anything is.
    ///
    /// # Errors
    /// The table is too large then.
    pub(super) fn put(&mut self, key: &[u8], json: &[u8]) -> Result<(), TooLarge> {
        self.put_value(key, Value::answer(json))
    }

    /// Puts in that place why the answer can't be read.
    ///
    /// # Errors
    /// As of [`Entries::put`].
    pub(super) fn put_failed(&mut self, key: &[u8], why: &str) -> Result<(), TooLarge> {
        self.put_value(key, Value::failed(why))
    }

    fn put_value(&mut self, key: &[u8], value: Value) -> Result<(), TooLarge> {
        let bytes = value.0.len() as u64;
        let at = self.shard_of(key);
        let Some(shard) = self.shards.get_mut(at) else { return Ok(()) };
        match Arc::make_mut(shard).entry(key.into()) {
            Entry::Occupied(mut entry) => {
                self.bytes -= entry.get().0.len() as u64;
                entry.insert(value);
            }
            Entry::Vacant(entry) => {
                entry.insert(value);
                self.count += 1;
                self.bytes += key.len() as u64 + ENTRY_BYTES;
            }
        }
        self.bytes += bytes;
        match (self.count > LOOKUP_TABLE_ENTRIES.max, self.bytes > LOOKUP_TABLE_BYTES.max) {
            (true, _) => Err(TooLarge(&LOOKUP_TABLE_ENTRIES)),
            (_, true) => Err(TooLarge(&LOOKUP_TABLE_BYTES)),
            _ => Ok(()),
        }
    }

    pub(super) fn remove(&mut self, key: &[u8]) {
        let at = self.shard_of(key);
        let Some(shard) = self.shards.get_mut(at).filter(|shard| shard.contains_key(key)) else { return };
        if let Some(value) = Arc::make_mut(shard).remove(key) {
            self.count -= 1;
            self.bytes -= (key.len() + value.0.len()) as u64 + ENTRY_BYTES;
        }
    }
}

/// What is known of a table.
#[derive(Debug)]
pub(super) enum Edition {
    /// It is read for the first time; so many entries are there.
    Reading(u64),
    Ready(Entries),
    /// Why it can't be used.
    Unusable(String),
}

/// A table and who waits for it.
#[derive(Debug)]
pub(crate) struct Table {
    /// Counts editions. Readers compare it with what they have.
    generation: AtomicU64,
    current: Mutex<Arc<Edition>>,
    changed: Condvar,
}

impl Table {
    pub(super) fn new() -> Arc<Table> {
        Arc::new(Table {
            generation: AtomicU64::new(0),
            current: Mutex::new(Arc::new(Edition::Reading(0))),
            changed: Condvar::new(),
        })
    }

    pub(super) fn publish(&self, edition: Edition) {
        let edition = Arc::new(edition);
        let mut current = self.current.lock();
        let before = std::mem::replace(&mut *current, edition);
        // Under the lock, so that a reader that sees the new number finds the new edition.
        self.generation.fetch_add(1, Ordering::Release);
        self.changed.notify_all();
        drop(current);
        // What it has alone may take a while to free.
        drop(before);
    }

    /// Why it can't be used; waits for that or for the contrary until `deadline`. Reading goes on after it.
    ///
    /// # Errors
    /// It can't be used, or not yet.
    pub(super) fn wait(&self, deadline: Instant) -> Result<(), String> {
        let mut current = self.current.lock();
        loop {
            match &**current {
                Edition::Ready(_) => return Ok(()),
                Edition::Unusable(why) => return Err(why.clone()),
                Edition::Reading(_) => {}
            }
            if self.changed.wait_until(&mut current, deadline).timed_out()
                && let Edition::Reading(entries) = **current
            {
                return Err(format!(
                    "it is still being read, {entries} entries so far; that goes on, so try again in a moment"
                ));
            }
        }
    }

    pub(super) fn is_unusable(&self) -> bool {
        matches!(**self.current.lock(), Edition::Unusable(_))
    }

    fn current(&self) -> (Arc<Edition>, u64) {
        let current = self.current.lock();
        (Arc::clone(&current), self.generation.load(Ordering::Acquire))
    }
}

/// A router's view of a table.
#[derive(Debug)]
pub(crate) struct View {
    table: Arc<Table>,
    edition: Arc<Edition>,
    seen: u64,
}

impl View {
    pub(crate) fn new(table: &Arc<Table>) -> View {
        let (edition, seen) = table.current();
        View { table: Arc::clone(table), edition, seen }
    }

    /// Goes over to the newest edition. One atomic load, if there is none.
    #[inline]
    pub(crate) fn refresh(&mut self) {
        if self.table.generation.load(Ordering::Acquire) != self.seen {
            (self.edition, self.seen) = self.table.current();
        }
    }

    /// What the table has under `key`.
    ///
    /// # Errors
    /// Why it can't be asked, or this key has no answer that can be read.
    #[inline]
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<&[u8]>, &str> {
        match &*self.edition {
            Edition::Ready(entries) => entries.get(key),
            Edition::Unusable(why) => Err(why),
            Edition::Reading(_) => Err("its table is still being read"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::time::Duration;

    proptest! {
        #[test]
        fn an_edition_keeps_what_it_had_and_the_next_one_has_what_was_put_and_removed(
            editions in prop::collection::vec(prop::collection::vec((0..40u8, prop::option::of("[a-c]{0,4}")), 0..30), 1..6),
        ) {
            let (mut entries, mut expected) = (Entries::new(), BTreeMap::new());
            let mut published = Vec::new();
            for changes in editions {
                for (key, value) in changes {
                    match &value {
                        Some(value) => entries.put(&[key], value.as_bytes()).unwrap(),
                        None => entries.remove(&[key]),
                    }
                    match value {
                        Some(value) => expected.insert(key, value),
                        None => expected.remove(&key),
                    };
                }
                published.push((entries.clone(), expected.clone()));
            }
            for (entries, expected) in published {
                for key in 0..40u8 {
                    prop_assert_eq!(entries.get(&[key]), Ok(expected.get(&key).map(String::as_bytes)));
                }
                let bytes: u64 = expected.values().map(|value| value.len() as u64 + 1 + ENTRY_BYTES).sum();
                prop_assert_eq!((entries.count(), entries.bytes), (expected.len() as u64, bytes));
            }
        }
    }

    #[test]
    fn a_key_whose_answer_cant_be_read_says_why_until_it_has_another() {
        let mut entries = Entries::new();
        entries.put_failed(b"k", "it is too long").unwrap();
        assert_eq!((entries.get(b"k"), entries.count()), (Err("it is too long"), 1));
        entries.put(b"k", b"1").unwrap();
        assert_eq!((entries.get(b"k"), entries.bytes), (Ok(Some(&b"1"[..])), ENTRY_BYTES + 2));
        entries.put_failed(b"k", "it is no JSON").unwrap();
        entries.remove(b"k");
        assert_eq!((entries.get(b"k"), entries.bytes), (Ok(None), 0));
    }

    #[test]
    fn a_table_beyond_a_limit_is_refused_by_its_name() {
        let mut entries = Entries { count: LOOKUP_TABLE_ENTRIES.max - 1, ..Entries::new() };
        entries.put(b"last", b"1").unwrap();
        entries.put(b"last", b"2").unwrap();
        assert_eq!(entries.put(b"one more", b"1"), Err(TooLarge(&LOOKUP_TABLE_ENTRIES)));
        let mut entries = Entries { bytes: LOOKUP_TABLE_BYTES.max - ENTRY_BYTES - 4, ..Entries::new() };
        entries.put(b"key", b"1").unwrap();
        let refused = entries.put(b"key", b"12").unwrap_err().to_string();
        assert!(refused.contains("limit `lookup_table_bytes`"), "{refused}");
    }

    #[test]
    fn a_view_keeps_its_edition_until_it_is_refreshed() {
        let table = Table::new();
        let mut view = View::new(&table);
        assert_eq!(view.get(b"k"), Err("its table is still being read"));
        let mut entries = Entries::new();
        entries.put(b"k", b"1").unwrap();
        table.publish(Edition::Ready(entries.clone()));
        assert!(view.get(b"k").is_err());
        view.refresh();
        assert_eq!(view.get(b"k"), Ok(Some(&b"1"[..])));
        entries.remove(b"k");
        table.publish(Edition::Ready(entries));
        assert_eq!(view.get(b"k"), Ok(Some(&b"1"[..])));
        view.refresh();
        assert_eq!(view.get(b"k"), Ok(None));
    }

    #[test]
    fn who_waits_for_a_table_hears_what_became_of_it() {
        let table = Table::new();
        table.publish(Edition::Reading(7));
        let not_yet = table.wait(Instant::now()).unwrap_err();
        assert!(not_yet.contains("still being read, 7 entries so far"), "{not_yet}");
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| table.wait(Instant::now() + Duration::from_secs(60)));
            table.publish(Edition::Ready(Entries::new()));
            assert_eq!(waiting.join().unwrap(), Ok(()));
        });
        table.publish(Edition::Unusable("it is gone".to_owned()));
        assert_eq!(table.wait(Instant::now()), Err("it is gone".to_owned()));
    }
}
