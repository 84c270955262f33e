//! Makes groups of the routes under one key of the index: finds the looks of each, and splits large ones by their values.

use super::{Scratch, hash_bytes, plan_for};
use crate::condition::{ConditionIndex, Conditions, Node, NodeKind, Truth};
use crate::fields::{FieldIndex, PlanIndex};
use crate::group::{Group, GroupIndex, Look, LookTest, Member, NO_ELEMENTS, Quick, VALUE_SPACES, Within};
use crate::interned::Interned;
use crate::key_index::{self, Payload};
use crate::predicate::{Attribute, Literal, Predicate, Test, Types};
use crate::table::{Candidate, RouteTable, Text};
use crate::value::text;
use crate::value::wildcard::Wildcard;
use crate::value::wildcard_set::WildcardSet;
use crate::zones::ZoneScratch;
use std::ops::Range;

mod clauses;
mod elements;
mod split;
#[cfg(test)]
mod tests;
mod wanted;

pub(crate) use clauses::Clauses;
use clauses::{Clause, Left};
use elements::Elementwise;

/// What making groups needs besides the table itself.
#[derive(Debug, Default)]
pub(crate) struct GroupScratch {
    /// The members of the groups that are being made: those of one within another lie behind it.
    members: Vec<Draft>,
    clauses: Clauses,
    asked: Vec<Asked>,
    wished: Vec<FieldIndex>,
    flags: Vec<u8>,
    zones: ZoneScratch,
    tests: Vec<LookTest>,
    /// Keys that accesses and looks add to the index.
    pub(crate) keys: Vec<AccessKey>,
    keys_by_text: Interned,
    spaces: u32,
    /// The wildcards that say the same as tests for texts that are contained, by predicate.
    containing: Vec<Option<Wildcard>>,
    /// The members that may be decided element by element; those of groups within behind those of the group.
    elementwise: Vec<Elementwise>,
    /// The roots of the conditions of a group's members.
    roots: Vec<ConditionIndex>,
    /// What leads to the groups within one that is being made.
    within: Vec<Within>,
    /// How many nodes were copied for them.
    copied_nodes: usize,
    /// By predicate: the one that says the same of an element as if it were the payload.
    of_elements: Vec<u32>,
    /// For tests: how many members are decided element by element at least, instead of [`ELEMENTWISE_FROM`].
    #[cfg(test)]
    elementwise_from: Option<usize>,
    /// How many texts of looks are in the index.
    indexed: usize,
    /// How much is kept more than once, since its members are filed at several places.
    copies: u64,
    /// By depth: a group within another is split while the other's lists are in use.
    split: Vec<split::SplitScratch>,
}

/// A route that becomes a member.
#[derive(Clone, Copy, Debug)]
struct Draft {
    candidate: Candidate,
    /// Parts of its condition that hold already, since the event came by an access of theirs.
    settled: Settled,
}

const UNSETTLED: u32 = u32::MAX;

/// A group is within at most so many others, and each may settle one part.
type Settled = [u32; split::DEPTH_MAX];
const UNTOUCHED: Settled = [UNSETTLED; split::DEPTH_MAX];

/// So many members of a group that ask something of the elements of one array are decided together, element by element.
const ELEMENTWISE_FROM: usize = 8;

/// With more members than these, a group is made of parts, each with looks of its own: a row of bits has a bit for each member, and there can
/// be as many rows as members. That some tests are then made once for each part costs less than rows that leave the cache.
const MEMBERS_MAX: usize = 4_096;
/// From so many texts on, looking one up is quicker than comparing with each.
const INDEX_FROM: usize = 12;
/// Beyond so many in one look, splitting has found no better way to them, and their rows of bits would be long.
const INDEX_MAX: usize = 256;
/// And so many in one table: what they take of memory is more than what the lists take that are there anyway.
const INDEXED_MAX: usize = 1 << 20;
/// Tests of a group that have short forms: beyond these, their literals would not stay in the cache.
const QUICK_MAX: usize = 256;
/// And from so many wildcards on, a set of them.
const WILDCARDS_FROM: usize = 6;

/// A value of an access or of a look, and what it leads to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AccessKey {
    pub(crate) hash: u64,
    pub(crate) space: u32,
    pub(crate) text: Text,
    pub(crate) payload: Payload,
}

/// One test that a member asks of a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Asked {
    attribute: Attribute,
    same_value: bool,
    /// As in [`Look`].
    spelled_within: bool,
    /// A member that must pass two tests of one attribute asks two looks.
    lane: u32,
    predicate: u32,
    member: u32,
    bars: bool,
}

impl GroupScratch {
    pub(crate) fn clear(&mut self) {
        self.members.clear();
        self.keys.clear();
        self.spaces = 0;
        self.indexed = 0;
        self.copies = 0;
        self.containing.clear();
        self.elementwise.clear();
        self.within.clear();
        self.of_elements.clear();
        self.copied_nodes = 0;
    }
}

/// What leads to all of `candidates`: the routes under one key.
pub(crate) fn group(table: &mut RouteTable, scratch: &mut Scratch, candidates: &[Candidate]) -> Payload {
    let groups = &mut scratch.groups;
    let first = groups.members.len();
    groups.members.extend(candidates.iter().map(|candidate| Draft { candidate: *candidate, settled: UNTOUCHED }));
    // What a plan means for messages is known for their own elements only.
    let elementwise_from = if scratch.messages.of_sources.is_empty() { ELEMENTWISE_FROM } else { usize::MAX };
    #[cfg(test)]
    let elementwise_from =
        groups.elementwise_from.filter(|_| elementwise_from < usize::MAX).unwrap_or(elementwise_from);
    let (fields, plans) = (&mut scratch.fields, &mut scratch.plans);
    let mut maker = Maker { table, groups, fields, plans, depth: 0, within: 0, elementwise_from };
    let payload = maker.make(first);
    scratch.groups.members.truncate(first);
    payload
}

struct Maker<'c> {
    table: &'c mut RouteTable,
    groups: &'c mut GroupScratch,
    fields: &'c mut Interned,
    plans: &'c mut Interned,
    /// How many groups this one is within.
    depth: usize,
    /// Of how many of them its events are the elements.
    within: usize,
    /// So many members about elements of one array are decided together.
    elementwise_from: usize,
}

impl Maker<'_> {
    /// Makes what leads to the members from `first` on.
    fn make(&mut self, first: usize) -> Payload {
        let drafts = self.groups.members.get(first..).unwrap_or_default();
        if let [only] = drafts {
            if let Some(candidate) = self.rest_of(*only) {
                return candidate.payload();
            }
        } else if drafts.iter().all(|draft| draft.candidate.condition == ConditionIndex::ALWAYS) {
            let run = self.table.candidates.len() as u32;
            self.table.candidates.extend(drafts.iter().map(|draft| draft.candidate));
            return Candidate::payload_of_many(run, self.table.candidates.len() as u32 - run);
        }
        let accesses = self.split(first);
        let index = self.table.groups.rows.len() as u32;
        let last = self.groups.members.len();
        let parts = (last - first).div_ceil(MEMBERS_MAX).max(1);
        let no_accesses = accesses.end..accesses.end;
        let noted = self.groups.elementwise.len();
        for part in 0..parts {
            let begin = first + part * MEMBERS_MAX;
            let accesses = if part == 0 { accesses.clone() } else { no_accesses.clone() };
            self.build(begin..last.min(begin + MEMBERS_MAX), accesses, (part, parts - part));
        }
        // Groups that are one stand side by side, and those within them behind.
        let mut begin = noted;
        for part in index..index + parts as u32 {
            let first_member = self.table.groups.rows.get(part as usize).map_or(0, |row| row.first_member);
            let rest = self.groups.elementwise.get(begin..).unwrap_or_default();
            let end = begin + rest.iter().take_while(|one| one.part == part - index).count();
            self.make_within(part, first_member, begin..end);
            begin = end;
        }
        self.groups.elementwise.truncate(noted);
        // Who goes over elements reads the array first.
        let arrays = usize::from(begin > noted);
        self.table.readers = self.table.readers.max(self.depth + self.within + 1 + arrays);
        Candidate::payload_of_group(GroupIndex(index))
    }

    /// A single route needs no group if nothing of its condition, or all of it, is settled.
    fn rest_of(&self, draft: Draft) -> Option<Candidate> {
        let Candidate { condition, .. } = draft.candidate;
        if draft.settled == UNTOUCHED {
            return Some(draft.candidate);
        }
        let mut rest = 0;
        let conditions = &self.table.conditions;
        each_part(conditions, condition.0, &mut |part| rest += u32::from(!draft.settled.contains(&part)));
        (rest == 0).then_some(Candidate { condition: ConditionIndex::ALWAYS, ..draft.candidate })
    }

    /// Makes a group of these members: a `part` of one, which has so many `parts` from here on.
    fn build(&mut self, drafts: Range<usize>, accesses: Range<usize>, (part, parts): (usize, usize)) {
        self.groups.asked.clear();
        self.groups.wished.clear();
        self.groups.roots.clear();
        let (first_member, first_noted) = (self.table.groups.members.len(), self.groups.elementwise.len());
        for (number, at) in (0..).zip(drafts) {
            let Some(draft) = self.groups.members.get(at).copied() else { break };
            let member = self.member(draft, number);
            self.groups.roots.push(draft.candidate.condition);
            self.table.groups.members.push(member);
        }
        self.choose_elementwise(first_noted, first_member, part as u32);
        let members = (self.table.groups.members.len() - first_member) as u32;
        let GroupScratch { wished, asked, .. } = &mut *self.groups;
        wished.extend(asked.iter().filter_map(|asked| match asked.attribute {
            Attribute::Field(field) => Some(field),
            _ => None,
        }));
        for access in self.table.groups.accesses.list.get(accesses.clone()).unwrap_or_default() {
            if let Attribute::Field(field) = access.attribute {
                wished.push(field);
            }
        }
        let plan = self.plan();
        self.number_accesses(plan, accesses.clone());
        let first_look = self.table.groups.looks.len();
        let looks_outside = self.looks(members, plan);
        let groups = &mut self.table.groups;
        groups.rows.push(Group {
            first_member: first_member as u32,
            members,
            first_look: first_look as u32,
            looks: (groups.looks.len() - first_look) as u32,
            looks_outside,
            first_access: accesses.start as u32,
            accesses: accesses.len() as u32,
            // The limit `routes` keeps them far below this.
            parts: parts as u16,
            is_of_elements: self.within > 0,
            within: 0,
            first_within: 0,
            plan,
        });
    }

    /// Notes what a route asks of looks, and says what is left of its condition.
    fn member(&mut self, draft: Draft, member: u32) -> Member {
        let Draft { candidate, settled } = draft;
        let careful = self.table.routes.get(candidate.route.0 as usize).is_some_and(|row| row.dead_letter_if_absent);
        let left = match candidate.condition {
            ConditionIndex::ALWAYS => Left::Nothing,
            ConditionIndex(root) => self.groups.clauses.find(self.table, self.fields, root, &settled, careful),
        };
        let GroupScratch { clauses, asked, .. } = &mut *self.groups;
        if candidate.condition != ConditionIndex::ALWAYS {
            let begin = asked.len();
            let (mut scope, mut scoped_lane) = (None, 0);
            for clause in clauses.list() {
                let Clause { attribute, same_value, bars, spelled_within, .. } = *clause;
                let free_lane = || lane_after(asked.get(begin..), attribute, same_value.is_some());
                let lane = match same_value {
                    // All that is asked of the same value is one look.
                    Some(_) if same_value == scope => scoped_lane,
                    Some(_) => free_lane(),
                    None if bars => 0,
                    None => free_lane(),
                };
                (scope, scoped_lane) = (same_value, lane);
                let tests = clauses.predicates(clause).iter();
                asked.extend(tests.map(|predicate| Asked {
                    attribute,
                    same_value: same_value.is_some(),
                    spelled_within,
                    lane,
                    predicate: *predicate,
                    member,
                    bars,
                }));
            }
        }
        let (condition, only_if_involved) = match left {
            Left::Nothing => (ConditionIndex::ALWAYS, false),
            Left::Always(node) => (ConditionIndex(node), false),
            Left::IfInvolved => (candidate.condition, true),
        };
        let elementwise = match clauses.left() {
            [part] if !careful => Elementwise::of(&self.table.conditions, *part, member),
            _ => None,
        };
        elementwise.into_iter().for_each(|one| self.groups.elementwise.push(one));
        if elementwise.is_none()
            && matches!(left, Left::Always(_))
            && let Some(Node { kind: NodeKind::Payload(plan), .. }) = self.table.conditions.node(candidate.condition.0)
        {
            self.groups.wished.extend_from_slice(self.table.fields.of_plan(plan));
        }
        Member { candidate: Candidate { condition, ..candidate }, only_if_involved, elements: NO_ELEMENTS }
    }

    /// The plan for all fields that were wished for.
    fn plan(&mut self) -> Option<PlanIndex> {
        let wished = &mut self.groups.wished;
        wished.sort_unstable();
        wished.dedup();
        (!wished.is_empty()).then(|| plan_for(self.table, self.plans, wished))
    }

    fn number_of(&self, plan: Option<PlanIndex>, attribute: Attribute) -> u32 {
        let (Some(plan), Attribute::Field(field)) = (plan, attribute) else { return 0 };
        self.table.fields.of_plan(plan).binary_search(&field).unwrap_or(usize::MAX) as u32
    }

    fn number_accesses(&mut self, plan: Option<PlanIndex>, accesses: Range<usize>) {
        for at in accesses.clone() {
            let Some(attribute) = self.table.groups.accesses.list.get(at).map(|access| access.attribute) else { break };
            let number = self.number_of(plan, attribute);
            if let Some(access) = self.table.groups.accesses.list.get_mut(at) {
                access.number = number;
            }
        }
        let accesses = self.table.groups.accesses.list.get_mut(accesses).unwrap_or_default();
        accesses.sort_unstable_by_key(|access| (access.is_of_field(), access.number, access.space));
    }

    /// Makes the looks of all that is asked, and returns how many of them are at what is not in the payload.
    fn looks(&mut self, members: u32, plan: Option<PlanIndex>) -> u32 {
        self.groups.asked.sort_unstable();
        let asked = std::mem::take(&mut self.groups.asked);
        let mut outside = 0;
        let bits = &mut self.table.groups.bits;
        let none = bits.add(members);
        let none = bits.pack(members, none);
        let literals_max = self.table.groups.literals.len() + QUICK_MAX;
        let look_of = |asked: &Asked| (asked.attribute, asked.same_value, asked.spelled_within, asked.lane);
        for look in asked.chunk_by(|a, b| look_of(a) == look_of(b)) {
            let Some(Asked { attribute, same_value, spelled_within, .. }) = look.first().copied() else { continue };
            outside += u32::from(!matches!(attribute, Attribute::Field(_)));
            let (wants, lost) = self.rows_without_tests((members, none), look);
            let first_test = self.table.groups.tests.len();
            for test in look.chunk_by(|a, b| a.predicate == b.predicate) {
                let predicate = test.first().map_or(0, |asked| asked.predicate);
                let [passes, bars] = [false, true].map(|bars| {
                    let asked = test.iter().filter(|asked| asked.bars == bars);
                    self.row_of((members, none), asked.map(|asked| asked.member))
                });
                self.table.groups.tests.push(LookTest { quick: Quick::No, predicate, passes, bars });
            }
            let space = self.index_texts((members, none), first_test);
            let (tests, wildcards) = self.gather_wildcards(none, first_test);
            let zones = self.zones((members, none), first_test, tests);
            self.quicken(first_test, literals_max);
            let (number, first_test) = (self.number_of(plan, attribute), first_test as u32);
            self.table.groups.looks.push(Look {
                attribute,
                number,
                same_value,
                spelled_within,
                space,
                wildcards,
                zones,
                first_test,
                tests,
                wants,
                lost,
            });
        }
        self.groups.asked = asked;
        outside
    }

    /// Makes the short forms of those tests of a look that have one.
    fn quicken(&mut self, first_test: usize, literals_max: usize) {
        let RouteTable { groups, conditions, texts, .. } = &mut *self.table;
        for test in groups.tests.get_mut(first_test..).unwrap_or_default() {
            if groups.literals.len() == literals_max {
                return;
            }
            let predicate = conditions.predicates.get(test.predicate as usize);
            let Some(predicate) = predicate.filter(|predicate| is_about_texts(predicate)) else { continue };
            let place = groups.literals.len() as u32;
            let (quick, text) = match predicate.test {
                Test::Equals(Literal::Text(text)) => (Quick::Equals(place), text),
                Test::Prefix(text) => (Quick::Prefix(place), text),
                Test::Suffix(text) => (Quick::Suffix(place), text),
                _ => continue,
            };
            test.quick = quick;
            groups.literals.push(text::Literal::at(text, texts));
        }
    }

    /// Puts the texts of tests for equality into the index, if there are enough to make a lookup worth it, and takes these tests out.
    /// Returns their part of the index. `none`: the row of nobody.
    fn index_texts(&mut self, (members, none): (u32, u32), first_test: usize) -> u32 {
        let mut tests = std::mem::take(&mut self.groups.tests);
        tests.clear();
        tests.extend(self.table.groups.tests.drain(first_test..));
        let texts_of = |conditions: &Conditions, test: &LookTest| {
            values_of(conditions, test, none).map_or(0, |values| values.len())
        };
        let mut space = 0;
        let texts = tests.iter().map(|test| texts_of(&self.table.conditions, test)).sum::<usize>();
        let first_key = self.groups.keys.len();
        let is_room = self.groups.indexed + texts <= INDEXED_MAX;
        if tests.len() > 1 && (INDEX_FROM..=INDEX_MAX).contains(&texts) && is_room {
            space = VALUE_SPACES | self.groups.spaces;
            self.groups.spaces += 1;
            self.groups.indexed += texts;
        }
        self.groups.keys_by_text.clear();
        for test in &tests {
            match texts_of(&self.table.conditions, test) {
                texts @ 1.. if space != 0 => {
                    (0..texts).for_each(|at| self.index_text(space, first_key, members, test, at));
                }
                _ => self.table.groups.tests.push(*test),
            }
        }
        self.groups.tests = tests;
        space
    }

    /// Adds the members of a test to those of one of its values.
    fn index_text(&mut self, space: u32, first_key: usize, members: u32, test: &LookTest, at: usize) {
        let Some(text) = text_of(&self.table.conditions, test.predicate, at) else { return };
        let GroupScratch { keys, keys_by_text, .. } = &mut *self.groups;
        let texts = &self.table.texts;
        let bytes = text.bytes_of(texts);
        let same = |index: u32| {
            keys.get(first_key + index as usize).is_some_and(|key: &AccessKey| key.text.bytes_of(texts) == bytes)
        };
        let place = match keys_by_text.find_or_add(hash_bytes(bytes), keys.len() - first_key, same) {
            Ok(known) => first_key + known as usize,
            Err(new) => {
                let bits = &mut self.table.groups.bits;
                let (passes, bars) = (bits.add(members), bits.add(members));
                let hash = key_index::hash(space, text.bytes_of(&self.table.texts));
                self.groups.keys.push(AccessKey { hash, space, text, payload: [passes, bars, 0] });
                first_key + new as usize
            }
        };
        let Some([passes, bars, _]) = self.groups.keys.get(place).map(|key| key.payload) else { return };
        self.table.groups.bits.unite(members, test.passes, passes);
        self.table.groups.bits.unite(members, test.bars, bars);
    }

    /// Puts the wildcards among the tests from `first_test` on behind the others and into a set, if there are enough. Returns how many
    /// tests are not in the set, and its place.
    fn gather_wildcards(&mut self, none: u32, first_test: usize) -> (u32, u32) {
        self.find_contained(none, first_test);
        let RouteTable { groups, conditions, texts, .. } = &mut *self.table;
        let containing = &self.groups.containing;
        let tests = groups.tests.get_mut(first_test..).unwrap_or_default();
        let wildcard = |test: &LookTest| {
            let predicate = conditions.predicates.get(test.predicate as usize)?;
            match predicate.test {
                _ if !is_of_texts_only(predicate, test.bars == none) => None,
                Test::Wildcard(wildcard) => conditions.literals.wildcards.get(wildcard as usize).copied(),
                Test::Contains(_) => containing.get(test.predicate as usize).copied().flatten(),
                _ => None,
            }
        };
        tests.sort_unstable_by_key(|test| (wildcard(test).is_some(), test.predicate));
        let plain = tests.partition_point(|test| wildcard(test).is_none());
        let wildcards = tests.get(plain..).unwrap_or_default();
        if wildcards.len() < WILDCARDS_FROM {
            return (tests.len() as u32, u32::MAX);
        }
        if groups.wildcards.len() == groups.wildcards_in_use {
            groups.wildcards.push(WildcardSet::default());
        }
        let Some(set) = groups.wildcards.get_mut(groups.wildcards_in_use) else {
            return (tests.len() as u32, u32::MAX);
        };
        let built = set.build(wildcards.iter().filter_map(wildcard), texts, &conditions.literals.needles, usize::MAX);
        if built.is_err() {
            return (tests.len() as u32, u32::MAX);
        }
        groups.wildcards_in_use += 1;
        (plain as u32, groups.wildcards_in_use as u32 - 1)
    }

    /// Makes wildcards of the tests from `first_test` on for texts that are contained, if there are enough of these: what finds many
    /// wildcards at once finds them, too.
    fn find_contained(&mut self, none: u32, first_test: usize) {
        let RouteTable { groups, conditions, texts, .. } = &mut *self.table;
        let tests = groups.tests.get(first_test..).unwrap_or_default();
        let contained = |test: &&LookTest| {
            let predicate = conditions.predicates.get(test.predicate as usize)?;
            match predicate.test {
                Test::Contains(text) if is_of_texts_only(predicate, test.bars == none) => Some((test.predicate, text)),
                _ => None,
            }
        };
        if tests.iter().filter(|test| contained(test).is_some()).count() < WILDCARDS_FROM {
            return;
        }
        let known = &mut self.groups.containing;
        known.resize(known.len().max(conditions.predicates.len()), None);
        for (predicate, text) in tests.iter().filter_map(|test| contained(&test)) {
            if let Some(place @ None) = known.get_mut(predicate as usize) {
                *place = Wildcard::containing(text, texts, &mut conditions.literals.needles);
            }
        }
    }

    /// Makes the zones of so many tests from `first_test` on.
    fn zones(&mut self, members: (u32, u32), first_test: usize, tests: u32) -> u32 {
        let RouteTable { groups, conditions, texts, .. } = &mut *self.table;
        let of_look = groups.tests.get(first_test..first_test + tests as usize).unwrap_or_default();
        groups.zones.add((conditions, texts), of_look, members, &mut groups.bits, &mut self.groups.zones)
    }

    /// The rows of the members that a look lets pass only by a test, and of those that it does not let pass when there is nothing to test.
    fn rows_without_tests(&mut self, members: (u32, u32), look: &[Asked]) -> (u32, u32) {
        const WANTS: u8 = 1;
        const PASSES_WITHOUT: u8 = 2;
        const BARRED_WITHOUT: u8 = 4;
        let mut flags = std::mem::take(&mut self.groups.flags);
        flags.resize(flags.len().max(members.0 as usize), 0);
        for asked in look {
            let without = self
                .table
                .conditions
                .predicates
                .get(asked.predicate as usize)
                .map_or(Truth::False, Predicate::of_missing);
            if let Some(flags) = flags.get_mut(asked.member as usize) {
                *flags |= match (asked.bars, asked.same_value) {
                    // Nothing holds of a value that is not there.
                    (bars, true) => BARRED_WITHOUT | if bars { 0 } else { WANTS },
                    (true, false) if without != Truth::False => BARRED_WITHOUT,
                    (true, false) => 0,
                    (false, false) if without == Truth::True => WANTS | PASSES_WITHOUT,
                    (false, false) => WANTS,
                };
            }
        }
        // Who asks nothing is in neither row, so that only those who ask cost anything: a group may have as many looks as members.
        let [wants, lost] = [
            |flags: u8| flags & WANTS != 0,
            |flags: u8| flags & BARRED_WITHOUT != 0 || flags & (WANTS | PASSES_WITHOUT) == WANTS,
        ]
        .map(|has| {
            let flags_of = |member: u32| flags.get(member as usize).copied().unwrap_or_default();
            let those = look.iter().map(|asked| asked.member).filter(|member| has(flags_of(*member)));
            self.row_of(members, those)
        });
        for asked in look {
            if let Some(flags) = flags.get_mut(asked.member as usize) {
                *flags = 0;
            }
        }
        self.groups.flags = flags;
        (wants, lost)
    }

    /// A row of these members; of nobody, the one of `none`.
    fn row_of(&mut self, (members, none): (u32, u32), those: impl Iterator<Item = u32>) -> u32 {
        let bits = &mut self.table.groups.bits;
        let mut those = those.peekable();
        if those.peek().is_none() {
            return none;
        }
        let row = bits.add(members);
        those.for_each(|member| bits.set(row, member));
        bits.pack(members, row)
    }
}

/// Whether a test tells texts apart, as they are.
fn is_about_texts(predicate: &Predicate) -> bool {
    predicate.about == Types::TEXT && !predicate.ignore_case && !predicate.text_as_number
}

/// Whether it need not be made of what is no text: it is false of that, or absent where that rules nobody out.
fn is_of_texts_only(predicate: &Predicate, bars_nobody: bool) -> bool {
    let says_nothing = match predicate.on_other_type {
        Truth::False => true,
        Truth::Absent => bars_nobody,
        Truth::True | Truth::Pending(_) => false,
    };
    is_about_texts(predicate) && says_nothing
}

/// How many texts a test for equality names, if it need only be made of texts.
fn values_of(conditions: &Conditions, test: &LookTest, none: u32) -> Option<std::ops::Range<u32>> {
    let predicate = conditions.predicates.get(test.predicate as usize)?;
    let predicate = Some(predicate).filter(|predicate| is_of_texts_only(predicate, test.bars == none))?;
    match predicate.test {
        Test::Equals(_) => Some(0..1),
        Test::In { count, .. } => Some(0..count),
        _ => None,
    }
}

/// One of the texts that a test for equality names.
fn text_of(conditions: &Conditions, predicate: u32, at: usize) -> Option<Text> {
    let literal = match conditions.predicates.get(predicate as usize)?.test {
        Test::Equals(literal) => literal,
        Test::In { first, count } => *conditions.literals.list(first, count).get(at)?,
        _ => return None,
    };
    match literal {
        Literal::Text(text) => Some(text),
        _ => None,
    }
}

/// The first lane of an attribute in which a member asks nothing yet that lets it pass.
fn lane_after(asked: Option<&[Asked]>, attribute: Attribute, same_value: bool) -> u32 {
    let lanes = asked
        .unwrap_or_default()
        .iter()
        .filter(|asked| asked.attribute == attribute && asked.same_value == same_value && (same_value || !asked.bars));
    lanes.map(|asked| asked.lane + 1).max().unwrap_or(0)
}

/// The parts that must all hold for the condition at `root`, by their nodes.
pub(super) fn each_part(conditions: &Conditions, root: u32, found: &mut impl FnMut(u32)) {
    let Some(node) = conditions.node(root) else { return };
    match node.kind {
        NodeKind::Payload(_) => each_part(conditions, root + 1, found),
        NodeKind::All => {
            let mut child = root + 1;
            while child < node.end {
                each_part(conditions, child, found);
                child = conditions.node(child).map_or(node.end, |node| node.end);
            }
        }
        _ => found(root),
    }
}
