//! Merges routes into others that make all of their deliveries anyway, so that they stand nowhere in the index.
//!
//! A route is merged into one before it if no event can tell that it is gone; each condition for that is argued where it is checked, in
//! [`Merger::covers`]. Which routes to compare is found by hashes: each route that stands in the index is noted in a *chain* for each of its
//! types and for one part of its condition, and a route that comes after it looks into the chains of its own parts. All of that is bounded;
//! what is not found stays compiled, which is always right. Maps in which each type has one route are not looked at at all.

use super::groups::{each_part, group};
use super::{Posting, Scratch, hash_of};
use crate::condition::{ConditionIndex, Conditions, NodeKind, range};
use crate::interned::Interned;
use crate::merged::MergedRow;
use crate::proof::Prover;
use crate::table::{Candidate, DestinationIndex, FanOut, KeyKind, RouteIndex, RouteTable, Text};
use about::{About, OfSlot, Place, Run};
use std::hash::{Hash, Hasher};

mod about;
#[cfg(test)]
mod tests;

/// So many routes are compared with one, at most.
const COMPARED_MAX: usize = 32;
/// And so many of them out of one chain, the latest ones.
const CHAIN_MAX: usize = 16;
/// Parts of a condition whose chains are looked into.
const PARTS_MAX: usize = 16;
/// Different lengths of prefixes that could cover a route's first type and are looked for.
const PREFIXES_MAX: usize = 8;
/// Steps of proving that what one route asks for follows from what another one does, for all that it is compared with.
const STEPS_MAX: u64 = 256;

/// What merging needs besides the table itself.
#[derive(Debug, Default)]
pub(crate) struct MergeScratch {
    /// All chains; the first link of each is found by its hash.
    links: Vec<Link>,
    chains: Interned,
    /// Those of the condition of the route at hand: different ones, the greatest first.
    parts: Vec<u64>,
    /// The chains' keys of types in which the route at hand looks.
    buckets: Vec<u64>,
    merges: Vec<Merge>,
    /// Leaves every route where it is, so that tests can compare.
    #[cfg(test)]
    pub(crate) is_off: bool,
}

/// What tells soon that one route can't be merged into another: a bit for each part of its condition, and for each destination. Several can
/// have the same one.
#[derive(Clone, Copy, Debug)]
struct Bits {
    parts: u32,
    to: u32,
}

impl Bits {
    /// Whether a route may ask for all that `self` asks for, and go nowhere else.
    fn may_cover(self, own: Bits) -> bool {
        self.parts & !own.parts | own.to & !self.to == 0
    }
}

/// A route that others may be merged into.
#[derive(Clone, Copy, Debug)]
struct Link {
    place: Place,
    bits: Bits,
    /// The link before it; of the first one the last.
    earlier: u32,
}

/// Its product with a number has that one's bits spread over the upper ones.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
/// The part of a condition that asks for nothing.
const NO_PART: u64 = 0;

/// A route that is to be merged.
#[derive(Clone, Copy, Debug)]
struct Merge {
    run: Run,
    into: Run,
    has_same_condition: bool,
    has_same_types: bool,
}

impl MergeScratch {
    pub(crate) fn clear(&mut self) {
        self.links.clear();
        self.chains.clear();
        self.merges.clear();
    }
}

/// Takes routes that add nothing out of the postings, and notes in the table what they were merged into. The keys of all postings must be
/// gathered; says whether they have changed, and must be gathered again.
pub(super) fn merge(table: &mut RouteTable, scratch: &mut Scratch) -> bool {
    scratch.lengths.sort_unstable();
    scratch.lengths.dedup();
    let has_company = scratch.keys.len() < scratch.postings.len()
        || !scratch.lengths.is_empty()
        || !scratch.any.is_empty() && scratch.any.len() + scratch.postings.len() > 1;
    #[cfg(test)]
    let has_company = has_company && !scratch.merge.is_off;
    if !has_company {
        return false;
    }
    let Scratch { keys, keys_by_text, postings, any, texts, lengths, merge: notes, .. } = &mut *scratch;
    notes.links.reserve(postings.len() + any.len());
    let prover = Prover::frugal(table);
    let about = About { keys, keys_by_text, postings, any, texts, lengths };
    Merger { table, about, of_slot: None, notes, prover, sizes: 0, compared: 0 }.merge();
    if scratch.merge.merges.is_empty() {
        return false;
    }
    note(table, scratch);
    table.aggregation.compiled -= scratch.merge.merges.len();
    let Scratch { postings, any, merge: MergeScratch { merges, .. }, .. } = scratch;
    let mut stays = stays(merges);
    postings.retain(|posting| stays(posting.candidate.route));
    let mut stays = self::stays(merges);
    any.retain(|(_, candidate)| stays(candidate.route));
    true
}

/// Says of routes, asked in the order of the map, in which they were merged, whether they were not.
fn stays(merges: &[Merge]) -> impl FnMut(RouteIndex) -> bool {
    let mut rest = merges.iter().map(|merge| merge.run.candidate.route).peekable();
    move |route| {
        while rest.next_if(|merged| *merged < route).is_some() {}
        rest.peek() != Some(&route)
    }
}

/// Notes in the table what is merged.
fn note(table: &mut RouteTable, scratch: &mut Scratch) {
    let Scratch { postings, texts, merge: MergeScratch { merges, .. }, .. } = scratch;
    for Merge { run, into, has_same_condition, has_same_types } in merges.iter() {
        let first_type = table.merged.types.len() as u32;
        if !has_same_types {
            for posting in postings.get(range(run.place.first, run.place.count)).unwrap_or_default() {
                let at = table.texts.len() as u32;
                table.texts.push_str(posting.text.of(texts));
                let text = Text { at, ..posting.text };
                table.merged.types.push((posting.space & 1 == KeyKind::Prefix as u32, text));
            }
        }
        table.merged.rows.push(MergedRow {
            into: into.candidate.route,
            candidate: run.candidate,
            first_type,
            types: table.merged.types.len() as u32 - first_type,
            has_same_condition: *has_same_condition,
        });
    }
    table.merged.rows.sort_unstable_by_key(|row| (row.into, row.candidate.route));
}

/// Makes what leads to the merged routes that have conditions of their own, for who wants to know whether an event matches these, too.
pub(super) fn lead_to_narrower(table: &mut RouteTable, scratch: &mut Scratch) {
    let mut first = 0;
    while let Some(MergedRow { into, .. }) = table.merged.rows.get(first).copied() {
        scratch.placed.clear();
        let of_one = table.merged.rows.get(first..).unwrap_or_default().iter().take_while(|row| row.into == into);
        scratch.placed.extend(of_one.clone().filter(|row| !row.has_same_condition).map(|row| row.candidate));
        first += of_one.count();
        if !scratch.placed.is_empty() {
            let placed = std::mem::take(&mut scratch.placed);
            let payload = group(table, scratch, &placed);
            scratch.placed = placed;
            table.merged.narrower.push((into, payload));
        }
    }
}

struct Merger<'m> {
    table: &'m RouteTable,
    about: About<'m>,
    /// `None` before the first route.
    of_slot: Option<OfSlot<'m>>,
    notes: &'m mut MergeScratch,
    prover: Prover<'m>,
    /// Bit n: a route was noted whose condition has n parts; the last one is of all that have more.
    sizes: u64,
    /// With how many routes the one at hand was compared.
    compared: usize,
}

impl<'m> Merger<'m> {
    /// Goes over the routes in the order of the map, so that those that are noted are before the one at hand.
    fn merge(&mut self) {
        let (mut posting, mut any) = (0, 0);
        loop {
            let of_types = self.about.run_at(posting);
            let of_any = self.about.any_at(any);
            match (of_types, of_any) {
                (Some(run), of_any) if of_any.is_none_or(|any| run.candidate.route < any.candidate.route) => {
                    posting += run.place.count as usize;
                    self.route(run);
                }
                (_, Some(run)) => {
                    any += 1;
                    self.route(run);
                }
                (_, None) => break,
            }
        }
    }

    /// Merges a route, or notes it for others.
    fn route(&mut self, run: Run) {
        // Of an exclusive group, what one delivers depends on the others, and what the others do on this one.
        if run.candidate.exclusive().is_some() {
            return;
        }
        let known = self.of_slot.filter(|known| known.slot == run.slot);
        let of_slot = known.unwrap_or_else(|| self.about.of_slot(run.slot));
        self.of_slot = Some(of_slot);
        let is_prefix = |posting: &Posting| posting.space & 1 == KeyKind::Prefix as u32;
        let postings = self.about.postings_of(&run);
        let is_met = |posting: &Posting| self.about.is_shared(posting) || is_prefix(posting);
        if of_slot.any == 0 && of_slot.lengths.is_empty() && !postings.iter().any(is_met) {
            return;
        }
        self.gather_parts(&run);
        let parts = self.notes.parts.iter().fold(0, |bits, part| bits | bit_of(*part));
        let to = self.goes_to(&run.candidate).iter().fold(0, |bits, to| bits | bit_of(to.0.into()));
        let bits = Bits { parts, to };
        match self.find(&run, bits, of_slot) {
            Some(merge) => self.notes.merges.push(merge),
            None => self.note(&run, bits),
        }
    }

    /// Finds the parts of a route's condition.
    fn gather_parts(&mut self, run: &Run) {
        let conditions = &self.table.conditions;
        let parts = &mut self.notes.parts;
        parts.clear();
        if let ConditionIndex(root) = run.candidate.condition
            && run.candidate.condition != ConditionIndex::ALWAYS
        {
            each_part(conditions, root, &mut |part| parts.push(hash_of_part(conditions, part)));
            parts.sort_unstable_by(|a, b| b.cmp(a));
            parts.dedup();
        }
    }

    /// Notes the route at hand under all of its types, and the part of its condition that the fewest others have: that is taken to be the one
    /// that was the last to be new in the map.
    fn note(&mut self, run: &Run, bits: Bits) {
        self.sizes |= 1 << self.notes.parts.len().min(63);
        let part = self.notes.parts.first().copied().unwrap_or(NO_PART);
        if run.is_any() {
            return self.link(mixed(any_of(run.slot), part), run.place, bits);
        }
        for posting in self.about.postings_of(run) {
            // Nobody who stands under another type looks for a whole type.
            if posting.space & 1 == KeyKind::Prefix as u32 || self.about.is_shared(posting) {
                self.link(mixed(u64::from(posting.key), part), run.place, bits);
            }
        }
    }

    fn link(&mut self, hash: u64, place: Place, bits: Bits) {
        let MergeScratch { chains, links, .. } = &mut *self.notes;
        let last = links.len() as u32;
        // Two chains whose hashes are taken for the same are one. It says only what to compare.
        let first = chains.find_or_add(hash, links.len(), |_| true).unwrap_or(last);
        let earlier = links.get_mut(first as usize).map(|first| std::mem::replace(&mut first.earlier, last));
        links.push(Link { place, bits, earlier: earlier.unwrap_or(last) });
    }

    /// What the route at hand can be merged into.
    fn find(&mut self, own: &Run, bits: Bits, of_slot: OfSlot<'_>) -> Option<Merge> {
        self.gather_buckets(own, of_slot);
        self.prover.give(STEPS_MAX);
        self.compared = 0;
        let size = self.notes.parts.len().min(63);
        let has_smaller = self.sizes & ((1u64 << size) - 1) & !1 != 0;
        for bucket in 0..self.notes.buckets.len() {
            let bucket = self.notes.buckets.get(bucket).copied()?;
            for part in 0..size.min(PARTS_MAX) {
                // One with as many parts has the same ones, and the same first one.
                if part > 0 && !has_smaller {
                    break;
                }
                let part = self.notes.parts.get(part).copied()?;
                if let Some(found) = self.find_in(mixed(bucket, part), own, bits) {
                    return Some(found);
                }
            }
            if self.sizes & 1 != 0
                && let Some(found) = self.find_in(mixed(bucket, NO_PART), own, bits)
            {
                return Some(found);
            }
        }
        None
    }

    /// Finds the types under which a route must stand that is about all types of this one: its first type, what covers that, or any type.
    fn gather_buckets(&mut self, run: &Run, of_slot: OfSlot<'_>) {
        let Merger { about, notes: MergeScratch { buckets, .. }, .. } = self;
        buckets.clear();
        if let Some(first) = about.postings_of(run).first() {
            if about.is_shared(first) {
                buckets.push(u64::from(first.key));
            }
            let text = first.text.bytes_of(about.texts);
            for (_, length) in of_slot.lengths.iter().take(PREFIXES_MAX) {
                let Some(start) = text.get(..usize::from(length.len)) else { break };
                if start.last() == Some(&length.last)
                    && let Some(key) = about.prefix(run.slot, start)
                    && key != first.key
                {
                    buckets.push(u64::from(key));
                }
            }
        }
        if of_slot.any > usize::from(run.is_any()) {
            buckets.push(any_of(run.slot));
        }
    }

    /// Looks for what the route at hand can be merged into in one chain.
    fn find_in(&mut self, hash: u64, own: &Run, bits: Bits) -> Option<Merge> {
        let first = self.notes.chains.find(hash, |_| true)?;
        let mut link = self.notes.links.get(first as usize)?.earlier;
        for _ in 0..CHAIN_MAX {
            let other = *self.notes.links.get(link as usize)?;
            if other.bits.may_cover(bits) {
                if self.compared == COMPARED_MAX {
                    return None;
                }
                self.compared += 1;
                let into = self.about.run_of(other.place)?;
                if let Some((has_same_condition, has_same_types)) = self.covers(&into, own) {
                    return Some(Merge { run: *own, into, has_same_condition, has_same_types });
                }
            }
            if link == first {
                return None;
            }
            link = other.earlier;
        }
        None
    }

    /// Whether nobody would miss the route `own` if `other` stays; and whether they have the same condition, and the same types.
    ///
    /// `other` was noted before `own` is looked at: a delivery names the first route of the map that makes it, and that must stay the same one.
    /// Neither is in an exclusive group, nor is one disabled: such a route has no postings. That a condition asks for a share makes no
    /// difference: it is a test of a value like any other, and says the same to both.
    fn covers(&mut self, other: &Run, own: &Run) -> Option<(bool, bool)> {
        // Both meet the events of the same tenants.
        if other.slot != own.slot {
            return None;
        }
        // Each destination of this route gets the event from the other one, whether its topic has placeholders or not: what these are for an
        // event does not depend on the route.
        if !self.goes_wherever(&other.candidate, &own.candidate) {
            return None;
        }
        let has_same_types = self.about.types(own, other)?;
        let conditions = &self.table.conditions;
        let (a, b) = (own.candidate.condition, other.candidate.condition);
        let is_same = a == b || conditions.is_same_tree(a.0, b.0);
        // What has no condition is never absent.
        let asks_for_dead_letter = |run: &Run| {
            let row = self.table.routes.get(run.candidate.route.get());
            row.is_some_and(|row| row.dead_letter_if_absent && row.condition != ConditionIndex::ALWAYS)
        };
        if is_same {
            // Both are true, false, absent or waiting for the same lookup at the same time. If this one makes a dead letter, the other one must
            // do so, too; it is before this one, and named for it.
            let is_as_strict = !asks_for_dead_letter(own) || asks_for_dead_letter(other);
            return is_as_strict.then_some((true, has_same_types));
        }
        // Where the other condition is true whenever this one is, the two can still be absent at different times: only a route for which
        // absent is as good as false says nothing then.
        if asks_for_dead_letter(own) {
            return None;
        }
        // An event would not wait for what only this route wants to have looked up, nor be delivered before it is known what the other
        // one says.
        if [a, b].into_iter().any(|condition| self.table.lookups.trees.binary_search(&condition).is_ok()) {
            return None;
        }
        self.prover.follows(a, b).then_some((false, has_same_types))
    }

    fn goes_to(&self, candidate: &Candidate) -> &'m [DestinationIndex] {
        let RouteTable { fan_outs, fan_out_destinations, .. } = self.table;
        let FanOut { first, count } = fan_outs.get(candidate.fan_out as usize).copied().unwrap_or_default();
        fan_out_destinations.get(range(first, count)).unwrap_or_default()
    }

    fn goes_wherever(&self, other: &Candidate, own: &Candidate) -> bool {
        let others = self.goes_to(other);
        own.fan_out == other.fan_out || self.goes_to(own).iter().all(|destination| others.contains(destination))
    }
}

fn bit_of(number: u64) -> u32 {
    1 << (number.wrapping_mul(SPREAD) >> 59)
}

/// What stands for "any type" of a slot among the chains' types, which are places of keys.
fn any_of(slot: u32) -> u64 {
    1 << 32 | u64::from(slot)
}

/// The hash of a chain.
fn mixed(bucket: u64, part: u64) -> u64 {
    (bucket.wrapping_mul(SPREAD) ^ part).wrapping_mul(SPREAD)
}

/// The same for parts that are the same, of whichever routes. Greater for predicates that were new in the map later, and for what is no
/// predicate.
fn hash_of_part(conditions: &Conditions, part: u32) -> u64 {
    const NO_PREDICATE: u64 = 1 << 63;
    let Some(node) = conditions.node(part) else { return NO_PREDICATE };
    if let NodeKind::Predicate(index) = node.kind {
        return u64::from(index) + 1;
    }
    let hash = hash_of(|hasher| {
        for at in part..node.end {
            let Some(node) = conditions.node(at) else { break };
            hasher.write_u32(node.end - part);
            std::mem::discriminant(&node.kind).hash(hasher);
            match node.kind {
                NodeKind::All | NodeKind::Any | NodeKind::Not => {}
                NodeKind::Predicate(index) => hasher.write_u32(index),
                NodeKind::Payload(plan) => plan.hash(hasher),
                NodeKind::AnyElement(index) => {
                    if let Some(any) = conditions.any_elements.get(index as usize) {
                        any.hash(hasher);
                    }
                }
            }
        }
    });
    hash | NO_PREDICATE
}
