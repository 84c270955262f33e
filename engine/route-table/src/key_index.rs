//! A hash index from short texts to three numbers, made for one cache miss per lookup.
//!
//! Open addressing over entries of one cache line that hold the key itself: a lookup touches the line of its key and, seldom, the
//! next ones. Keys that are further from home go first (Celis, "Robin Hood Hashing", 1986), which keeps the longest way short and
//! lets a lookup of an unknown key stop early. The index is built once, for a known number of keys, and only read afterwards; keys
//! come from the map, so an event can make it neither longer nor slower. Seeds are fixed, so that the same map gives the same
//! index everywhere.

use crate::compile::AHEAD;
use crate::prefetch::prefetch;
use foldhash::fast::FixedState;
use std::hash::{BuildHasher, Hasher};

/// Maps (space, text) to a [`Payload`]. The space separates texts of different meaning, such as those of different tenants.
#[derive(Debug, Default)]
pub(crate) struct KeyIndex {
    entries: Vec<Entry>,
    /// How many of the entries a hash can point to.
    homes: usize,
    /// Where the first key stands, as long as it is the only one.
    only: usize,
    /// The parts of keys that are longer than an entry holds.
    overflow: Vec<u8>,
    seed: u64,
    len: usize,
}

/// A key to be added.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key<'k> {
    /// What [`hash`] says of space and text.
    pub(crate) hash: u64,
    pub(crate) space: u32,
    pub(crate) text: &'k [u8],
    pub(crate) payload: Payload,
}

/// What a key leads to; the index does not look into it.
pub(crate) type Payload = [u32; 3];

/// Bytes of a key that an entry holds itself.
const INLINE: usize = 40;
/// A longer key leaves the last four for its place in `overflow`.
const INLINE_OF_LONG: usize = INLINE - 4;
/// Marks an entry that holds nothing; no key is as long.
const VACANT: u16 = u16::MAX;
/// When a key ends up further from home than this, another seed is tried.
const DISTANCE_MAX: u16 = 128;
const SEEDS_MAX: u64 = 8;
/// Entries behind the last home; more are added if they are needed.
const OVERHANG: usize = 8;

#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Entry {
    hash: u32,
    space: u32,
    len: u16,
    /// Places between where the key's hash points to and where it is.
    distance: u16,
    payload: Payload,
    text: [u8; INLINE],
}

const EMPTY: Entry = Entry { hash: 0, space: 0, len: VACANT, distance: 0, payload: [0; 3], text: [0; INLINE] };

impl KeyIndex {
    /// Drops all keys and makes room for `keys` new ones; memory is reused.
    pub(crate) fn reset(&mut self, keys: usize) {
        self.overflow.clear();
        self.len = 0;
        self.seed = 0;
        self.homes = keys * 10 / 7 + 1;
        self.vacate();
    }

    /// Room for every home, and for those that the last homes push on: a search never has to begin anew at the front.
    fn vacate(&mut self) {
        self.entries.clear();
        self.entries.resize(self.homes + OVERHANG, EMPTY);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>() + self.overflow.capacity()
    }

    /// Adds a key that is not there yet, as [`KeyIndex::insert_all`] does.
    pub(crate) fn insert(&mut self, space: u32, text: &[u8], payload: Payload) {
        self.insert_all(std::iter::once(Key { hash: hash(space, text), space, text, payload }));
    }

    /// Adds keys that are not there yet. Keys beyond those announced to [`KeyIndex::reset`] or of more than 65,534 bytes are
    /// ignored; limits keep both from happening.
    pub(crate) fn insert_all<'k>(&mut self, keys: impl Iterator<Item = Key<'k>> + Clone) {
        let mut ahead = keys.clone().skip(AHEAD);
        for key in keys {
            if let Some(entry) = ahead.next().and_then(|key| self.entries.get(self.home(key.hash))) {
                prefetch(entry);
            }
            self.insert_one(key);
        }
    }

    fn insert_one(&mut self, Key { hash, space, text, payload }: Key<'_>) {
        let Ok(len) = u16::try_from(text.len()) else { return };
        if len == VACANT || self.len >= self.homes {
            return;
        }
        let hash = if self.seed == 0 { hash } else { seeded_hash(self.seed, space, text) };
        let mut entry = Entry { hash: hash as u32, space, len, distance: 0, payload, text: [0; INLINE] };
        if let Some(inline) = entry.text.get_mut(..text.len()) {
            inline.copy_from_slice(text);
        } else if let Some((head, tail)) = text.split_at_checked(INLINE_OF_LONG) {
            let at = self.overflow.len() as u32;
            self.overflow.extend_from_slice(tail);
            for (to, from) in entry.text.iter_mut().zip(head.iter().chain(&at.to_le_bytes())) {
                *to = *from;
            }
        }
        self.len += 1;
        if self.len == 1 {
            self.only = self.home(hash);
        }
        if self.place(hash, entry) > DISTANCE_MAX && self.seed < SEEDS_MAX {
            self.reseed();
        }
    }

    /// Puts an entry into its place, moves on those that are nearer to their home, and returns the longest distance that came of it.
    fn place(&mut self, hash: u64, mut entry: Entry) -> u16 {
        let home = self.home(hash);
        let mut longest = 0;
        for place in self.entries.get_mut(home..).unwrap_or_default() {
            if place.len == VACANT || place.distance < entry.distance {
                longest = longest.max(entry.distance);
                std::mem::swap(place, &mut entry);
                if entry.len == VACANT {
                    return longest;
                }
            }
            entry.distance = entry.distance.saturating_add(1);
        }
        longest = longest.max(entry.distance);
        self.entries.push(entry);
        longest
    }

    #[cold]
    fn reseed(&mut self) {
        self.seed += 1;
        let old = std::mem::take(&mut self.entries);
        self.vacate();
        for mut entry in old.into_iter().filter(|entry| entry.len != VACANT) {
            let (head, tail) = self.text_of(&entry);
            let hash = self.hash(entry.space, &[head, tail].concat());
            (entry.hash, entry.distance) = (hash as u32, 0);
            if self.len == 1 {
                self.only = self.home(hash);
            }
            self.place(hash, entry);
        }
    }

    /// Starts to load what [`KeyIndex::get`] will read for the same key.
    #[inline]
    pub(crate) fn prefetch(&self, space: u32, text: &[u8]) {
        if let Some(entry) = self.entries.get(self.home(self.hash(space, text))) {
            prefetch(entry);
        }
    }

    /// What `(space, text)` leads to.
    #[inline]
    pub(crate) fn get(&self, space: u32, text: &[u8]) -> Option<Payload> {
        if self.len == 1 {
            let only = self.entries.get(self.only)?;
            return (only.space == space && self.is(only, text)).then_some(only.payload);
        }
        let hash = self.hash(space, text);
        for (distance, entry) in (0..).zip(self.entries.get(self.home(hash)..)?) {
            if entry.hash == hash as u32 && entry.space == space && self.is(entry, text) {
                return Some(entry.payload);
            }
            // Had the key come this far, it would have taken this place.
            if entry.len == VACANT || entry.distance < distance {
                return None;
            }
        }
        None
    }

    #[inline]
    fn is(&self, entry: &Entry, text: &[u8]) -> bool {
        if usize::from(entry.len) != text.len() {
            return false;
        }
        match entry.text.get(..text.len()) {
            Some(inline) => inline == text,
            None => {
                let (head, tail) = self.text_of(entry);
                text.split_at_checked(head.len()) == Some((head, tail))
            }
        }
    }

    fn text_of<'a>(&'a self, entry: &'a Entry) -> (&'a [u8], &'a [u8]) {
        let len = usize::from(entry.len);
        if let Some(inline) = entry.text.get(..len) {
            return (inline, &[]);
        }
        let Some((head, at)) = entry.text.split_last_chunk::<4>() else { return (&[], &[]) };
        let at = u32::from_le_bytes(*at) as usize;
        (head, self.overflow.get(at..at + len - INLINE_OF_LONG).unwrap_or_default())
    }

    /// All keys and what they lead to, in no order that means anything.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, Vec<u8>, Payload)> {
        let kept = self.entries.iter().filter(|entry| entry.len != VACANT);
        kept.map(|entry| {
            let (head, tail) = self.text_of(entry);
            (entry.space, [head, tail].concat(), entry.payload)
        })
    }

    #[inline]
    fn home(&self, hash: u64) -> usize {
        // Takes the upper bits of the hash as a fraction of the length; the entry keeps the lower ones for comparison.
        ((u128::from(hash) * self.homes as u128) >> 64) as usize
    }

    #[inline]
    fn hash(&self, space: u32, text: &[u8]) -> u64 {
        seeded_hash(self.seed, space, text)
    }
}

/// The hash of a key in an index that has not tried another seed.
#[inline]
pub(crate) fn hash(space: u32, text: &[u8]) -> u64 {
    seeded_hash(0, space, text)
}

#[inline]
fn seeded_hash(seed: u64, space: u32, text: &[u8]) -> u64 {
    let mut hasher = FixedState::with_seed(seed << 32 | u64::from(space)).build_hasher();
    hasher.write(text);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn every_key_is_found_and_no_other(
            keys in prop::collection::hash_map((0u32..3, "[a-c.]{0,60}"), any::<[u32; 3]>(), 0..200),
            others in prop::collection::vec((0u32..4, "[a-c.]{0,60}"), 0..200),
            reseeds in 0..3,
        ) {
            let mut index = KeyIndex::default();
            index.reset(keys.len());
            for ((space, text), payload) in &keys {
                index.insert(*space, text.as_bytes(), *payload);
            }
            for _ in 0..reseeds {
                index.reseed();
            }
            let expected: HashMap<_, _> = keys;
            let all = index.iter().map(|(space, text, payload)| ((space, String::from_utf8(text).unwrap()), payload));
            prop_assert_eq!(all.collect::<HashMap<_, _>>(), expected.clone());
            for (space, text) in expected.keys().chain(&others) {
                index.prefetch(*space, text.as_bytes());
                prop_assert_eq!(index.get(*space, text.as_bytes()), expected.get(&(*space, text.clone())).copied());
            }
        }
    }

    /// Small enough to run under Miri in seconds.
    #[test]
    fn announcing_a_lookup_changes_no_answer() {
        let mut index = KeyIndex::default();
        index.prefetch(0, b"hunt");
        index.reset(3);
        for (number, key) in (0..).zip(["hunt", "hunt.clue", "duel"]) {
            index.insert(0, key.as_bytes(), [number; 3]);
        }
        for (key, expected) in [("hunt", Some([0; 3])), ("duel", Some([2; 3])), ("", None), ("due", None)] {
            index.prefetch(0, key.as_bytes());
            assert_eq!(index.get(0, key.as_bytes()), expected);
        }
    }

    #[test]
    fn an_index_that_was_never_filled_finds_nothing() {
        assert_eq!(KeyIndex::default().get(0, b"hunt"), None);
    }

    #[test]
    fn an_entry_is_one_cache_line() {
        assert_eq!(size_of::<Entry>(), 64);
    }
}
