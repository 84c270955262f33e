//! Splits large groups: files routes under what they want of the attribute that tells them apart best.

use super::wanted::{AllWanted, Bucket, By, Reach, VALUES_MAX, Wanted, Weight};
use super::{AccessKey, Draft, Maker, UNSETTLED};
use crate::access::{Access, Accesses, Affix, FOLLOWED_MAX, Line, NOBODY, SPACES, Tree, TreesOf};
use crate::compile::hash_of;
use crate::condition::{ConditionIndex, range};
use crate::group::VALUE_SPACES;
use crate::interned::Interned;
use crate::key_index::{self, Payload};
use crate::predicate::Attribute;
use std::hash::Hash;
use std::ops::Range;

/// Up to so many members, bits are quicker than another lookup.
const SPLIT_FROM: usize = 64;
/// And one that must search costs a lookup for each length of ends of texts, or a way through a tree. It is opened for no fewer.
const SEARCHERS_MIN: u32 = 64;
/// What that costs, in members of a group that an event meets.
const SEARCH_COST: u64 = 64;
/// A value under which so large a part of the group stands does not tell its routes apart.
const SELECTIVE_PART: u64 = 4;
/// What stands at several places is kept as often, with all else that it asks. For each time that a route is filed again, and for each test
/// that it asks there, one is counted; in one table so many, at most.
const COPIES_MAX: u64 = 1 << 22;
/// So many copies is it worth at most that an event meets half of the routes, and so on.
const COPIES_PER_GAIN: u64 = 16;
/// How often a part of a group is split again.
pub(super) const DEPTH_MAX: usize = 3;

/// What splitting one group needs.
#[derive(Debug, Default)]
pub(super) struct SplitScratch {
    drafts: Vec<Draft>,
    options: Vec<Choice>,
    wanted: AllWanted,
    attributes: Vec<Rank>,
    places_of_attributes: Interned,
    chosen: Vec<Option<Choice>>,
    /// The members that are filed, place after place.
    order: Vec<u32>,
    /// The nodes of the trees that were made.
    nodes: Range<usize>,
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
    by: By,
    /// How many tests the rest of the condition is.
    rest: u32,
}

impl Choice {
    fn wanted(&self) -> Range<usize> {
        range(self.first, self.count)
    }
}

#[derive(Clone, Copy, Debug)]
struct Rank {
    attribute: Attribute,
    choosers: u32,
    /// Those of them that want more than whole texts.
    searchers: u32,
    /// Whether one of them wants any value.
    has_any: bool,
    space: u32,
    trees: TreesOf,
}

impl Rank {
    fn is_worth_searching(&self) -> bool {
        self.searchers >= SEARCHERS_MIN
    }

    /// How many of its choosers an access would lead to.
    fn served(&self) -> u32 {
        if self.is_worth_searching() { self.choosers } else { self.choosers - self.searchers }
    }
}

/// Where a member is filed.
enum Place {
    /// Place among the buckets.
    Bucket(u32),
    /// Place among the nodes of all trees. Until a group is filled, what stands there is a run of the members that are filed.
    Node(usize),
}

impl Maker<'_> {
    /// Takes those of the members from `first` on out that can be filed under values, and returns the accesses to them.
    pub(super) fn split(&mut self, first: usize) -> Range<usize> {
        let none = self.table.groups.accesses.list.len()..self.table.groups.accesses.list.len();
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
        self.groups.copies += own.choose(COPIES_MAX.saturating_sub(self.groups.copies));
        let accesses = if own.chosen.iter().any(Option::is_some) { self.open(&mut own) } else { none };
        if !accesses.is_empty() {
            self.groups.members.truncate(first);
            let stay = own.drafts.iter().zip(&own.chosen).filter(|(_, chosen)| chosen.is_none());
            self.groups.members.extend(stay.map(|(draft, _)| *draft));
            self.depth += 1;
            self.fill(&own);
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
            let tests = clauses.list().iter().map(|clause| clauses.predicates(clause).len() as u32).sum::<u32>();
            for clause in clauses.list().iter().filter(|clause| clause.can_be_access()) {
                if matches!(clause.attribute, Attribute::Element(_)) {
                    continue;
                }
                let (part, is_whole_part) = (clause.part, clause.is_whole_part);
                let attribute = own.attribute(clause.attribute);
                let predicates = clauses.predicates(clause);
                let rest = tests - predicates.len() as u32;
                let mut note = |note: &dyn Fn(&mut AllWanted) -> Option<(By, Reach)>| {
                    let first = own.wanted.list.len();
                    let (by, reach) = note(&mut own.wanted)?;
                    let count = own.wanted.list.len() - first;
                    let settles = if is_whole_part && reach == Reach::All { part } else { UNSETTLED };
                    own.wanted.note_lengths(attribute, first..first + count);
                    let [first, count] = [first, count].map(|place| place as u32);
                    own.options.push(Choice { member, attribute, first, count, settles, by, rest });
                    Some(by)
                };
                let by = note(&|wanted| wanted.note_values(self.table, attribute, predicates));
                if by != Some(By::Texts) && matches!(clause.attribute, Attribute::Field(_)) {
                    note(&|wanted| wanted.note_presence(self.table, predicates));
                }
            }
        }
        let SplitScratch { options, wanted, .. } = own;
        wanted.choose_lengths();
        for option in options {
            if wanted.find_buckets(self.table, option.attribute, option.wanted()) {
                option.settles = UNSETTLED;
            }
            wanted.cut_by(option.wanted());
        }
        wanted.cut(self.table);
    }

    /// Makes an access for each attribute that was chosen, and lays the members that chose it side by side.
    fn open(&mut self, own: &mut SplitScratch) -> Range<usize> {
        // Those that stay, or are filed otherwise, need no zones.
        own.wanted.uncut();
        own.chosen.iter().flatten().for_each(|choice| own.wanted.cut_by(choice.wanted()));
        own.wanted.cut(self.table);
        let accesses = &mut self.table.groups.accesses;
        let first_node = accesses.nodes.len();
        for cut in &own.wanted.cuts {
            let Some(rank) = own.attributes.get_mut(cut.attribute as usize) else { continue };
            let tree = match cut.line {
                Line::Numbers => accesses.add_numbers(own.wanted.decimals_of(cut)),
                Line::Addresses => accesses.add_addresses(own.wanted.addresses_of(cut)),
            };
            rank.trees.set(cut.line, tree);
        }
        own.nodes = first_node..accesses.nodes.len();
        own.place(accesses);
        own.wanted.keep_lengths_in_use();
        let begin = accesses.list.len();
        for (attribute, rank) in (0..).zip(&mut own.attributes).filter(|(_, rank)| rank.choosers > 0) {
            rank.space = VALUE_SPACES | self.groups.spaces;
            self.groups.spaces += SPACES;
            let first_length = accesses.lengths.len();
            let [prefix_lengths, suffix_lengths] = [Affix::Prefix, Affix::Suffix].map(|affix| {
                let lengths = own.wanted.lengths_of(attribute, affix);
                let before = accesses.lengths.len();
                accesses.lengths.extend(lengths);
                (accesses.lengths.len() - before) as u16
            });
            accesses.list.push(Access {
                attribute: rank.attribute,
                number: 0,
                space: rank.space,
                first_length: first_length as u32,
                prefix_lengths,
                suffix_lengths,
                has_any: rank.has_any,
                trees: rank.trees,
            });
        }
        begin..accesses.list.len()
    }

    /// Makes what each place leads to where members are filed.
    fn fill(&mut self, own: &SplitScratch) {
        for bucket in own.wanted.buckets.iter().filter(|bucket| bucket.placed > 0) {
            let Some(rank) = own.attributes.get(bucket.attribute as usize) else { continue };
            let payload = self.lead_to(own, bucket.first, bucket.placed);
            let space = rank.space + bucket.affix as u32;
            let hash = key_index::hash(space, bucket.text.bytes_of(&self.table.texts));
            self.groups.keys.push(AccessKey { hash, space, text: bucket.text, payload });
        }
        for node in own.nodes.clone() {
            let Some([first, placed, _]) = self.table.groups.accesses.nodes.get(node).copied() else { break };
            let payload = if placed == 0 { NOBODY } else { self.lead_to(own, first, placed) };
            if let Some(node) = self.table.groups.accesses.nodes.get_mut(node) {
                *node = payload;
            }
        }
    }

    /// Makes what leads to a run of the members that are filed.
    fn lead_to(&mut self, own: &SplitScratch, first_placed: u32, placed: u32) -> Payload {
        let first = self.groups.members.len();
        for member in own.order.get(range(first_placed, placed)).unwrap_or_default() {
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
        payload
    }
}

impl SplitScratch {
    fn clear(&mut self) {
        self.drafts.clear();
        self.options.clear();
        self.wanted.clear();
        self.attributes.clear();
        self.places_of_attributes.clear();
        self.chosen.clear();
        self.order.clear();
    }

    fn attribute(&mut self, attribute: Attribute) -> u32 {
        let SplitScratch { attributes, places_of_attributes, .. } = self;
        let hash = hash_of(|hasher| attribute.hash(hasher));
        let same = |place: u32| attributes.get(place as usize).is_some_and(|rank| rank.attribute == attribute);
        let known = places_of_attributes.find_or_add(hash, attributes.len(), same);
        known.unwrap_or_else(|new| {
            let (choosers, searchers, has_any) = (0, 0, false);
            attributes.push(Rank { attribute, choosers, searchers, has_any, space: 0, trees: TreesOf::NONE });
            new
        })
    }

    /// Chooses for each member the attribute under whose values the fewest others stand: one of the few that most members chose, since
    /// each event follows them. For who finds none of these, any field of the payload, if they are many: an event pays for the fields
    /// that it has. Makes no more than `room` copies, and returns how many it makes.
    fn choose(&mut self, room: u64) -> u64 {
        let by_value = |option: &Choice| option.by != By::Presence;
        let [mut tried, mut left] = [room; 2];
        self.choose_anew();
        self.choose_among(&mut tried, |option, _| by_value(option));
        let mut kept = [None; FOLLOWED_MAX];
        for place in 0..FOLLOWED_MAX {
            let others = (0..).zip(&self.attributes).filter(|(attribute, _)| {
                let is_kept = |(kept, _): &(u32, bool)| kept == attribute;
                !kept.iter().flatten().any(is_kept)
            });
            let most = others.max_by_key(|(attribute, rank)| (rank.served(), std::cmp::Reverse(*attribute)));
            if let Some(kept) = kept.get_mut(place) {
                *kept = most.map(|(attribute, rank)| (attribute, rank.is_worth_searching()));
            }
        }
        self.choose_anew();
        self.choose_among(&mut left, |option, _| {
            let mut kept = kept.iter().flatten();
            let is_kept = |(attribute, searches): &(u32, bool)| {
                *attribute == option.attribute && (*searches || option.by == By::Texts)
            };
            by_value(option) && kept.any(is_kept)
        });
        if self.chosen.iter().filter(|chosen| chosen.is_none()).count() > SPLIT_FROM {
            let is_field = |rank: &Rank| matches!(rank.attribute, Attribute::Field(_));
            self.choose_among(&mut left, |option, rank| option.by != By::Search && is_field(rank));
        }
        room - left
    }

    fn choose_anew(&mut self) {
        self.chosen.clear();
        self.chosen.resize(self.drafts.len(), None);
        self.attributes.iter_mut().for_each(|rank| (rank.choosers, rank.searchers, rank.has_any) = (0, 0, false));
    }

    /// Chooses for each member that has none yet.
    fn choose_among(&mut self, room: &mut u64, is_kept: impl Fn(&Choice, &Rank) -> bool) {
        let members = self.chosen.iter().filter(|chosen| chosen.is_none()).count() as u64;
        for options in self.options.chunk_by(|a, b| a.member == b.member) {
            let Some(None) = options.first().and_then(|option| self.chosen.get(option.member as usize)) else {
                continue;
            };
            let rank = |option: &Choice| self.attributes.get(option.attribute as usize);
            let options = options.iter().filter(|option| rank(option).is_some_and(|rank| is_kept(option, rank)));
            let weighed = options.map(|option| (self.wanted.weigh(option.wanted()), *option));
            let copies = |(weight, option): &(Weight, Choice)| {
                (weight.places as u64).saturating_sub(1) * (u64::from(option.rest) + 1)
            };
            let fitting = weighed.filter(|option| {
                let (Weight { crowd, places }, _) = option;
                let copies = copies(option);
                let is_worth_it = copies * crowd <= members * COPIES_PER_GAIN;
                *crowd < members / SELECTIVE_PART && *places <= VALUES_MAX && copies <= *room && is_worth_it
            });
            // To meet so many others costs no more than to search.
            let cost = |(weight, option): &(Weight, Choice)| {
                weight.crowd + if option.by == By::Search { SEARCH_COST } else { 0 }
            };
            let Some(best) = fitting.min_by_key(cost) else { continue };
            *room -= copies(&best);
            let (_, best) = best;
            if let Some(chosen) = self.chosen.get_mut(best.member as usize) {
                *chosen = Some(best);
            }
            if let Some(rank) = self.attributes.get_mut(best.attribute as usize) {
                rank.choosers += 1;
                rank.searchers += u32::from(best.by == By::Search);
                rank.has_any |= best.by == By::Presence;
            }
        }
    }

    /// Lays the members that were filed side by side, place after place.
    fn place(&mut self, accesses: &mut Accesses) {
        let SplitScratch { chosen, wanted, attributes, order, nodes: own_nodes, .. } = self;
        let mut buckets = std::mem::take(&mut wanted.buckets);
        let Accesses { nodes, trees, .. } = accesses;
        each_place(chosen, wanted, attributes, trees, &mut |_, place| {
            if let Some((_, placed)) = run_at(place, &mut buckets, nodes) {
                *placed += 1;
            }
        });
        let mut total = 0;
        let mut begin = |first: &mut u32, placed: &mut u32| {
            *first = total;
            total += std::mem::take(placed);
        };
        for [first, placed, _] in nodes.get_mut(own_nodes.clone()).unwrap_or_default() {
            begin(first, placed);
        }
        buckets.iter_mut().for_each(|bucket| begin(&mut bucket.first, &mut bucket.placed));
        order.resize(total as usize, 0);
        each_place(chosen, wanted, attributes, trees, &mut |member, place| {
            let Some((first, placed)) = run_at(place, &mut buckets, nodes) else { return };
            let next = (*first + *placed) as usize;
            // A value that is named twice, in one `in` or by two predicates, leads to the member once.
            let before = order.get(next.wrapping_sub(1));
            if *placed > 0 && before == Some(&member) {
                return;
            }
            if let Some(next) = order.get_mut(next) {
                *next = member;
                *placed += 1;
            }
        });
        wanted.buckets = buckets;
    }
}

/// Tells the places of all members that are filed, member after member.
fn each_place(
    chosen: &[Option<Choice>],
    wanted: &AllWanted,
    attributes: &[Rank],
    trees: &[Tree],
    each: &mut impl FnMut(u32, Place),
) {
    for choice in chosen.iter().flatten() {
        let rank = attributes.get(choice.attribute as usize);
        for one in wanted.list.get(choice.wanted()).unwrap_or_default() {
            match one {
                Wanted::Text(..) => {}
                Wanted::Bucket(bucket) => each(choice.member, Place::Bucket(*bucket)),
                Wanted::Span(span) => {
                    let Some((line, zones)) = wanted.zones_of(*span) else { continue };
                    let Some(tree) = rank.and_then(|rank| trees.get(rank.trees.of(line) as usize)) else {
                        continue;
                    };
                    tree.each_node_of(zones, &mut |node| each(choice.member, Place::Node(tree.node(node))));
                }
            }
        }
    }
}

/// Where the members at a place begin, and how many there are.
fn run_at<'p>(place: Place, buckets: &'p mut [Bucket], nodes: &'p mut [Payload]) -> Option<(&'p mut u32, &'p mut u32)> {
    match place {
        Place::Bucket(bucket) => buckets.get_mut(bucket as usize).map(|bucket| (&mut bucket.first, &mut bucket.placed)),
        Place::Node(node) => nodes.get_mut(node).map(|[first, placed, _]| (first, placed)),
    }
}
