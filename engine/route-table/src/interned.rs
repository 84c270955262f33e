//! Finds what was seen before, among things of which somebody else keeps a list.
//!
//! A set of places in that list, found by the hashes of what stands there. Entries are eight bytes, half a hash and a place, so that
//! a million of them stay in a processor's cache as long as can be; and what will be looked for soon can be announced.

use crate::prefetch::prefetch;

/// The places of things that are different from each other. The caller keeps the things, and says which of two are the same.
#[derive(Debug, Default)]
pub(crate) struct Interned {
    /// A power of two of them, at most three quarters of them taken; or none.
    entries: Vec<Entry>,
    len: usize,
    /// Kept for its memory: what `entries` were before they grew.
    before: Vec<Entry>,
}

/// The upper half of a hash, then a place and one; 0 is vacant.
type Entry = u64;

const CAPACITY_MIN: usize = 16;

impl Interned {
    /// The place of the thing with this hash that `is_it`, or `Err` after `next` was noted as its place.
    pub(crate) fn find_or_add(&mut self, hash: u64, next: usize, is_it: impl Fn(u32) -> bool) -> Result<u32, u32> {
        if let Some(found) = self.find(hash, is_it) {
            return Ok(found);
        }
        self.add(hash, next);
        Err(next as u32)
    }

    /// Notes a thing that is known not to be there yet.
    pub(crate) fn add(&mut self, hash: u64, place: usize) {
        if self.entries.len() < capacity_for(self.len + 1) {
            self.grow();
        }
        self.len += 1;
        self.put(upper_half(hash) | (place as u64 + 1));
    }

    #[inline]
    pub(crate) fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        if self.entries.is_empty() {
            return None;
        }
        let last = self.entries.len() - 1;
        let mut at = self.home(hash);
        loop {
            let entry = self.entries.get(at).copied().unwrap_or_default();
            if entry == 0 {
                return None;
            }
            let place = (entry as u32).wrapping_sub(1);
            if upper_half(entry) == upper_half(hash) && is_it(place) {
                return Some(place);
            }
            at = (at + 1) & last;
        }
    }

    /// Starts to load what [`Interned::find`] will read for this hash.
    #[inline]
    pub(crate) fn announce(&self, hash: u64) {
        if !self.entries.is_empty()
            && let Some(entry) = self.entries.get(self.home(hash))
        {
            prefetch(entry);
        }
    }

    /// Forgets everything, and keeps room for as much as was known.
    pub(crate) fn clear(&mut self) {
        let capacity = if self.len == 0 { 0 } else { capacity_for(self.len) };
        self.len = 0;
        self.entries.clear();
        self.entries.resize(capacity, 0);
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        (self.entries.capacity() + self.before.capacity()) * size_of::<Entry>()
    }

    #[inline]
    fn home(&self, hash: u64) -> usize {
        // At least CAPACITY_MIN, so that the shift is less than 64.
        (hash >> (u64::BITS - self.entries.len().trailing_zeros())) as usize
    }

    fn put(&mut self, entry: Entry) {
        let last = self.entries.len().saturating_sub(1);
        let mut at = self.home(entry);
        while self.entries.get(at).is_some_and(|taken| *taken != 0) {
            at = (at + 1) & last;
        }
        if let Some(vacant) = self.entries.get_mut(at) {
            *vacant = entry;
        }
    }

    #[cold]
    fn grow(&mut self) {
        std::mem::swap(&mut self.entries, &mut self.before);
        self.entries.clear();
        self.entries.resize(capacity_for(self.len + 1), 0);
        let before = std::mem::take(&mut self.before);
        before.iter().filter(|entry| **entry != 0).for_each(|entry| self.put(*entry));
        self.before = before;
    }
}

/// Places are less than 2^32 - 1, so half a hash beside them is what an entry has room for.
#[inline]
fn upper_half(hash: u64) -> u64 {
    hash & !u64::from(u32::MAX)
}

fn capacity_for(len: usize) -> usize {
    CAPACITY_MIN.max((len + len / 3 + 1).next_power_of_two())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::Cell;

    proptest! {
        #[test]
        fn each_thing_has_the_place_at_which_it_was_first_seen(
            rounds in prop::collection::vec(prop::collection::vec((0..4u64, 0..40u32), 0..200), 1..4)
        ) {
            let mut interned = Interned::default();
            for things in rounds {
                interned.clear();
                let mut known: Vec<(u64, u32)> = Vec::new();
                for thing in things {
                    // Few hashes for many things, and in the first places as in the last ones.
                    let hash = thing.0 << 62 | 3;
                    interned.announce(hash);
                    let expected = known.iter().position(|other| *other == thing).map(|place| place as u32);
                    let is_it = |place: u32| known.get(place as usize) == Some(&thing);
                    prop_assert_eq!(interned.find(hash, is_it), expected);
                    let found = interned.find_or_add(hash, known.len(), is_it);
                    prop_assert_eq!(found, expected.ok_or(known.len() as u32));
                    if expected.is_none() {
                        known.push(thing);
                    }
                }
            }
        }
    }

    #[test]
    fn what_has_another_hash_is_not_looked_at() {
        let mut interned = Interned::default();
        (0..1_000u64).for_each(|number| interned.add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15), number as usize));
        let looked_at = Cell::new(0);
        let is_it = |_| {
            looked_at.set(looked_at.get() + 1);
            true
        };
        assert_eq!(interned.find(500u64.wrapping_mul(0x9e37_79b9_7f4a_7c15), is_it), Some(500));
        assert_eq!(looked_at.get(), 1);
    }

    #[test]
    fn memory_is_used_again() {
        let mut interned = Interned::default();
        let fill = |interned: &mut Interned| (0..100).for_each(|place| interned.add((place as u64) << 57, place));
        fill(&mut interned);
        interned.clear();
        let memory = interned.entries.as_ptr();
        fill(&mut interned);
        assert_eq!(interned.entries.as_ptr(), memory);
        // After less, growing takes both of the memories in turn.
        interned.clear();
        interned.add(0, 0);
        interned.clear();
        let memory = interned.memory_bytes();
        fill(&mut interned);
        assert_eq!(interned.memory_bytes(), memory);
    }
}
