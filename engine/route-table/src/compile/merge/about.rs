//! Which routes stand under which types, for who compares them.

use crate::compile::{Key, Posting};
use crate::condition::range;
use crate::interned::Interned;
use crate::key_index;
use crate::table::{Candidate, KeyKind, PrefixLength, space};

/// Pairs of types that are compared to find whether one route is about all types of another, unless they are the same ones.
const TYPE_PAIRS_MAX: usize = 4_096;

/// A route with all of its types.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) candidate: Candidate,
    pub(super) slot: u32,
    pub(super) place: Place,
}

/// Where a route stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Among the postings; of a route that is about any type among the routes that are.
    pub(super) first: u32,
    /// How many postings it has; none if it is about any type.
    pub(super) count: u32,
}

impl Run {
    pub(super) fn is_any(&self) -> bool {
        self.place.count == 0
    }
}

/// Which routes stand under which types.
pub(super) struct About<'m> {
    pub(super) keys: &'m [Key],
    pub(super) keys_by_text: &'m Interned,
    pub(super) postings: &'m [Posting],
    pub(super) any: &'m [(u32, Candidate)],
    pub(super) texts: &'m str,
    pub(super) lengths: &'m [(u32, PrefixLength)],
}

/// What the slot of the route at hand has.
#[derive(Clone, Copy, Debug)]
pub(super) struct OfSlot<'m> {
    pub(super) slot: u32,
    pub(super) lengths: &'m [(u32, PrefixLength)],
    pub(super) any: usize,
}

impl<'m> About<'m> {
    pub(super) fn of_slot(&self, slot: u32) -> OfSlot<'m> {
        let first = self.lengths.partition_point(|(of, _)| *of < slot);
        let lengths = self.lengths.get(first..).unwrap_or_default();
        let lengths = lengths.get(..lengths.partition_point(|(of, _)| *of == slot)).unwrap_or_default();
        let any = self.any.partition_point(|(of, _)| *of <= slot) - self.any.partition_point(|(of, _)| *of < slot);
        OfSlot { slot, lengths, any }
    }

    /// The route whose postings begin at `first`.
    pub(super) fn run_at(&self, first: usize) -> Option<Run> {
        let Posting { candidate, space, .. } = *self.postings.get(first)?;
        let rest = self.postings.get(first..).unwrap_or_default();
        let count = rest.iter().take_while(|posting| posting.candidate.route == candidate.route).count();
        let place = Place { first: first as u32, count: count as u32 };
        Some(Run { candidate, slot: space >> 1, place })
    }

    /// The route at a place among those that are about any type.
    pub(super) fn any_at(&self, first: usize) -> Option<Run> {
        let (slot, candidate) = *self.any.get(first)?;
        Some(Run { candidate, slot, place: Place { first: first as u32, count: 0 } })
    }

    pub(super) fn run_of(&self, place: Place) -> Option<Run> {
        if place.count == 0 {
            return self.any_at(place.first as usize);
        }
        let Posting { candidate, space, .. } = *self.postings.get(place.first as usize)?;
        Some(Run { candidate, slot: space >> 1, place })
    }

    pub(super) fn postings_of(&self, run: &Run) -> &'m [Posting] {
        self.postings.get(range(run.place.first, run.place.count)).unwrap_or_default()
    }

    pub(super) fn is_shared(&self, posting: &Posting) -> bool {
        self.keys.get(posting.key as usize).is_some_and(|key| key.count > 1)
    }

    /// The key of this prefix, if a route stands under it.
    pub(super) fn prefix(&self, slot: u32, prefix: &[u8]) -> Option<u32> {
        let space = space(slot, KeyKind::Prefix);
        self.keys_by_text.find(key_index::hash(space, prefix), |key| {
            let posting = self.keys.get(key as usize).and_then(|key| self.postings.get(key.posting as usize));
            posting.is_some_and(|posting| posting.space == space && posting.text.bytes_of(self.texts) == prefix)
        })
    }

    /// Whether every event that meets `run` meets `other`, too; and whether they are about the same types.
    pub(super) fn types(&self, run: &Run, other: &Run) -> Option<bool> {
        if run.is_any() || other.is_any() {
            return other.is_any().then_some(run.is_any());
        }
        let (own, others) = (self.postings_of(run), self.postings_of(other));
        if own.len() == others.len() && own.iter().zip(others).all(|(a, b)| a.key == b.key) {
            return Some(true);
        }
        let is_covered = |own: &Posting| {
            others.iter().any(|other| {
                let is_prefix = other.space & 1 == KeyKind::Prefix as u32;
                other.key == own.key
                    || is_prefix && own.text.bytes_of(self.texts).starts_with(other.text.bytes_of(self.texts))
            })
        };
        (own.len() * others.len() <= TYPE_PAIRS_MAX && own.iter().all(is_covered)).then_some(false)
    }
}
