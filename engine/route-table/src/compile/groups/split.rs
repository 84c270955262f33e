//! Splits large groups: files routes under the values that they want of the attribute that tells them apart best.

use super::{AccessKey, Draft, Maker, UNSETTLED};
use crate::compile::hash_of;
use crate::condition::{ConditionIndex, Truth};
use crate::group::{Access, VALUE_SPACES};
use crate::interned::Interned;
use crate::key_index;
use crate::predicate::{Attribute, Literal, Test, Types};
use crate::table::{RouteTable, Text};
use std::hash::{Hash, Hasher};
use std::ops::Range;

/// Up to so many members, bits are quicker than another lookup.
const SPLIT_FROM: usize = 64;
/// A route is not filed under more values than these.
const VALUES_MAX: usize = 256;
/// Each access costs every event of the group a lookup.
const ACCESSES_MAX: usize = 4;
/// A value under which so large a part of the group stands does not tell its routes apart.
const SELECTIVE_PART: u64 = 4;
/// How often a part of a group is split again.
pub(super) const DEPTH_MAX: usize = 3;

/// What splitting one group needs.
#[derive(Debug, Default)]
pub(super) struct SplitScratch {
    drafts: Vec<Draft>,
    options: Vec<Choice>,
    /// The buckets of the values that choices want.
    values: Vec<u32>,
    attributes: Vec<Rank>,
    chosen: Vec<Option<Choice>>,
    buckets: Vec<Bucket>,
    buckets_by_text: Interned,
    order: Vec<u32>,
}

/// One way to file a member.
#[derive(Clone, Copy, Debug)]
struct Choice {
    member: u32,
    /// Place among the attributes.
    attribute: u32,
    first: u32,
    count: u32,
    /// The part of the condition that holds when the member is met by one of the values.
    settles: u32,
}

#[derive(Clone, Copy, Debug)]
struct Rank {
    attribute: Attribute,
    choosers: u32,
    space: u32,
}

/// All members that want one value of one attribute.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    attribute: u32,
    text: Text,
    /// How many want the value, whether or not they are filed under it.
    wanted: u32,
    first: u32,
    placed: u32,
}

impl Maker<'_> {
    /// Takes those of the members from `first` on out that can be filed under values, and returns the accesses to them.
    pub(super) fn split(&mut self, first: usize) -> Range<usize> {
        let none = self.table.groups.accesses.len()..self.table.groups.accesses.len();
        if self.groups.members.len() - first <= SPLIT_FROM || self.depth >= DEPTH_MAX {
            return none;
        }
        let depth = self.depth;
        if self.groups.split.len() <= depth {
            self.groups.split.resize_with(depth + 1, SplitScratch::default);
        }
        // Groups within this one are split while this one's lists are in use.
        let mut own = self.groups.split.get_mut(depth).map(std::mem::take).unwrap_or_default();
        own.clear();
        own.drafts.extend_from_slice(self.groups.members.get(first..).unwrap_or_default());
        self.options(&mut own);
        own.choose();
        let accesses = self.open(&mut own);
        if !accesses.is_empty() {
            self.groups.members.truncate(first);
            let stay = own.drafts.iter().zip(&own.chosen).filter(|(_, chosen)| chosen.is_none());
            self.groups.members.extend(stay.map(|(draft, _)| *draft));
            self.depth += 1;
            own.place();
            for at in 0..own.buckets.len() {
                self.fill(&own, at);
            }
            self.depth -= 1;
        }
        if let Some(place) = self.groups.split.get_mut(depth) {
            *place = own;
        }
        accesses
    }

    /// Finds all ways to file each member.
    fn options(&mut self, own: &mut SplitScratch) {
        for member in 0..own.drafts.len() {
            let Some(Draft { candidate, settled }) = own.drafts.get(member).copied() else { break };
            let member = member as u32;
            let ConditionIndex(root) = candidate.condition;
            if candidate.condition == ConditionIndex::ALWAYS {
                continue;
            }
            let row = self.table.routes.get(candidate.route.0 as usize);
            let careful = row.is_some_and(|row| row.dead_letter_if_absent);
            self.groups.clauses.find(self.table, self.fields, root, &settled, careful);
            let clauses = &self.groups.clauses;
            for clause in clauses.list().iter().filter(|clause| clause.can_be_access()) {
                let first = own.values.len();
                let settles = if clause.is_whole_part { clause.part } else { UNSETTLED };
                let attribute = own.attribute(clause.attribute);
                let mut is_option = !matches!(clause.attribute, Attribute::Timestamp | Attribute::Element(_));
                for index in clauses.predicates(clause) {
                    is_option = is_option && own.values_of(self.table, attribute, *index);
                }
                let count = own.values.len() - first;
                if !is_option || count > VALUES_MAX {
                    own.values.truncate(first);
                    continue;
                }
                own.options.push(Choice { member, attribute, first: first as u32, count: count as u32, settles });
            }
        }
        for bucket in &own.values {
            if let Some(bucket) = own.buckets.get_mut(*bucket as usize) {
                bucket.wanted += 1;
            }
        }
    }

    /// Makes an access for each attribute that was chosen.
    fn open(&mut self, own: &mut SplitScratch) -> Range<usize> {
        let accesses = &mut self.table.groups.accesses;
        let begin = accesses.len();
        for rank in own.attributes.iter_mut().filter(|rank| rank.choosers > 0) {
            rank.space = VALUE_SPACES | self.groups.spaces;
            self.groups.spaces += 1;
            accesses.push(Access { attribute: rank.attribute, number: 0, space: rank.space });
        }
        begin..accesses.len()
    }

    /// Makes what the value of a bucket leads to.
    fn fill(&mut self, own: &SplitScratch, at: usize) {
        let Some(bucket) = own.buckets.get(at).filter(|bucket| bucket.placed > 0) else { return };
        let Some(space) = own.attributes.get(bucket.attribute as usize).map(|rank| rank.space) else { return };
        let first = self.groups.members.len();
        let members = own.order.get(crate::condition::range(bucket.first, bucket.placed)).unwrap_or_default();
        for member in members {
            let chosen = own.chosen.get(*member as usize).copied().flatten();
            let (Some(draft), Some(chosen)) = (own.drafts.get(*member as usize), chosen) else { continue };
            let mut draft = *draft;
            if let Some(free) = draft.settled.iter_mut().find(|part| **part == UNSETTLED) {
                *free = chosen.settles;
            }
            self.groups.members.push(draft);
        }
        let payload = self.make(first);
        self.groups.members.truncate(first);
        let hash = key_index::hash(space, bucket.text.bytes_of(&self.table.texts));
        self.groups.keys.push(AccessKey { hash, space, text: bucket.text, payload });
    }
}

impl SplitScratch {
    fn clear(&mut self) {
        self.drafts.clear();
        self.options.clear();
        self.values.clear();
        self.attributes.clear();
        self.chosen.clear();
        self.buckets.clear();
        self.buckets_by_text.clear();
        self.order.clear();
    }

    fn attribute(&mut self, attribute: Attribute) -> u32 {
        let known = self.attributes.iter().position(|rank| rank.attribute == attribute);
        known.unwrap_or_else(|| {
            self.attributes.push(Rank { attribute, choosers: 0, space: 0 });
            self.attributes.len() - 1
        }) as u32
    }

    /// Notes the values of a predicate; says whether it wants nothing but one of some texts.
    fn values_of(&mut self, table: &RouteTable, attribute: u32, predicate: u32) -> bool {
        let Some(predicate) = table.conditions.predicates.get(predicate as usize) else { return false };
        let is_plain = predicate.about == Types::TEXT
            && !predicate.ignore_case
            && !predicate.text_as_number
            && predicate.on_missing == Truth::False
            && predicate.on_other_type == Truth::False;
        if !is_plain {
            return false;
        }
        match predicate.test {
            Test::Equals(Literal::Text(text)) => self.value(table, attribute, text),
            Test::In { first, count } if count as usize <= VALUES_MAX => {
                for literal in table.conditions.literals.list(first, count) {
                    if let Literal::Text(text) = literal {
                        self.value(table, attribute, *text);
                    }
                }
            }
            _ => return false,
        }
        true
    }

    fn value(&mut self, table: &RouteTable, attribute: u32, text: Text) {
        let bytes = text.bytes_of(&table.texts);
        let hash = hash_of(|hasher| {
            hasher.write_u32(attribute);
            bytes.hash(hasher);
        });
        let buckets = &mut self.buckets;
        let same = |index: u32| {
            buckets
                .get(index as usize)
                .is_some_and(|bucket| bucket.attribute == attribute && bucket.text.bytes_of(&table.texts) == bytes)
        };
        let found = self.buckets_by_text.find_or_add(hash, buckets.len(), same);
        let bucket = found.unwrap_or_else(|new| {
            buckets.push(Bucket { attribute, text, wanted: 0, first: 0, placed: 0 });
            new
        });
        self.values.push(bucket);
    }

    /// Chooses for each member the attribute under whose values the fewest others stand; of the attributes only the few that most
    /// members chose.
    fn choose(&mut self) {
        self.choose_among(|_| true);
        let mut kept = [None; ACCESSES_MAX];
        for place in 0..ACCESSES_MAX {
            let others = (0..).zip(&self.attributes).filter(|(attribute, _)| !kept.contains(&Some(*attribute)));
            let most = others.min_by_key(|(_, rank)| std::cmp::Reverse(rank.choosers)).map(|(attribute, _)| attribute);
            if let Some(kept) = kept.get_mut(place) {
                *kept = most;
            }
        }
        self.choose_among(|attribute| kept.contains(&Some(attribute)));
    }

    fn choose_among(&mut self, is_kept: impl Fn(u32) -> bool) {
        self.chosen.clear();
        self.chosen.resize(self.drafts.len(), None);
        self.attributes.iter_mut().for_each(|rank| rank.choosers = 0);
        let members = self.drafts.len() as u64;
        for options in self.options.chunk_by(|a, b| a.member == b.member) {
            let options = options.iter().filter(|option| is_kept(option.attribute));
            let best = options.map(|option| (self.crowd(option), *option)).min_by_key(|(crowd, _)| *crowd);
            let Some((_, best)) = best.filter(|(crowd, _)| *crowd < members / SELECTIVE_PART) else { continue };
            if let Some(chosen) = self.chosen.get_mut(best.member as usize) {
                *chosen = Some(best);
            }
            if let Some(rank) = self.attributes.get_mut(best.attribute as usize) {
                rank.choosers += 1;
            }
        }
    }

    /// How many members stand under one of the values, on average.
    fn crowd(&self, option: &Choice) -> u64 {
        let values = self.values.get(crate::condition::range(option.first, option.count)).unwrap_or_default();
        let wanted = |bucket: &u32| self.buckets.get(*bucket as usize).map_or(0, |bucket| u64::from(bucket.wanted));
        values.iter().map(wanted).sum::<u64>() / u64::from(option.count.max(1))
    }

    /// Lays the members that were filed side by side, bucket after bucket.
    fn place(&mut self) {
        let SplitScratch { chosen, values, buckets, order, .. } = self;
        let values_of =
            |choice: &Choice| values.get(crate::condition::range(choice.first, choice.count)).unwrap_or_default();
        buckets.iter_mut().for_each(|bucket| bucket.wanted = 0);
        for value in chosen.iter().flatten().flat_map(values_of) {
            if let Some(bucket) = buckets.get_mut(*value as usize) {
                bucket.wanted += 1;
            }
        }
        let mut total = 0;
        for bucket in buckets.iter_mut() {
            bucket.first = total;
            total += bucket.wanted;
        }
        order.resize(total as usize, 0);
        for (member, choice) in (0..).zip(chosen.iter()) {
            for value in choice.iter().flat_map(values_of) {
                let Some(bucket) = buckets.get_mut(*value as usize) else { continue };
                // A value that is named twice, in one `in` or by two predicates, leads to the member once.
                let before = order.get((bucket.first + bucket.placed).wrapping_sub(1) as usize);
                if bucket.placed > 0 && before == Some(&member) {
                    continue;
                }
                if let Some(place) = order.get_mut((bucket.first + bucket.placed) as usize) {
                    *place = member;
                    bucket.placed += 1;
                }
            }
        }
    }
}
