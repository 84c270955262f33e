//! Groups: many routes decided together, each different predicate tested once.
//!
//! The routes under one key of the index (a type, a prefix, any type) make a group. What their conditions ask of one attribute is
//! one *look*: a list of tests, and for each test the set of routes that it lets pass or rules out, as a row of bits. An event's
//! value for the attribute is tested once; the rows of what it passed, united, are the routes that this look lets pass; routes
//! that pass all looks match. What looks can't say of a condition is left to its tree, for the routes that passed.
//!
//! A large group is split first: a route that wants some values of an attribute is filed under these values, whether it names them, says
//! what they begin or end with, or between what they lie; and it is met only by events that have them ([`access`](crate::access)). Which
//! attribute is chosen by how few routes stand under its values, never by its name.

use crate::access::{Access, Accesses, FOLLOWED_MAX};
use crate::condition::{AnyElement, ConditionIndex, Over, Truth, range};
use crate::content::Content;
use crate::evaluate::{Buffers, Evaluation, Facts, Scope, Work, datum};
use crate::fields::{FieldIndex, PlanIndex, Reading};
use crate::found::Kind;
use crate::key_index::Payload;
use crate::predicate::{Attribute, Datum};
use crate::rows::{AllRows, Row, words_of};
use crate::table::{Candidate, RouteTable};
use crate::value::text::{self, Excerpt};
use crate::value::wildcard_set::{self, WildcardSet};
use crate::zones::{AllZones, RowsOf, ZonesOf};

/// Parts of the index that values of accesses and looks stand in; those below are of types and prefixes.
pub(crate) const VALUE_SPACES: u32 = 1 << 31;

/// Place of a group among those of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupIndex(pub(crate) u32);

/// All groups of a table.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    pub(crate) rows: Vec<Group>,
    pub(crate) members: Vec<Member>,
    pub(crate) looks: Vec<Look>,
    pub(crate) tests: Vec<LookTest>,
    pub(crate) accesses: Accesses,
    /// What quick tests compare with.
    pub(crate) literals: Vec<text::Literal>,
    /// Wildcards of looks that have many of them. Those behind the first few are not in use: they are kept for their memory.
    pub(crate) wildcards: Vec<WildcardSet>,
    pub(crate) wildcards_in_use: usize,
    /// What looks say of numbers.
    pub(crate) zones: AllZones,
    /// Which members tests let pass and rule out.
    pub(crate) bits: AllRows,
    /// What is decided element by element.
    pub(crate) within: Vec<Within>,
    /// From here on the nodes of conditions are of trees to which elements are what payloads are to others.
    pub(crate) nodes_of_elements: Option<u32>,
}

/// An array of whose elements several members of a group want something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Within {
    pub(crate) over: FieldIndex,
    /// The plan for nothing but the array.
    pub(crate) plan: PlanIndex,
    /// What each element leads to, as a key of the index leads an event: candidates whose fan-outs are the numbers of the members.
    pub(crate) lead: Payload,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    pub(crate) first_member: u32,
    pub(crate) members: u32,
    pub(crate) first_look: u32,
    pub(crate) looks: u32,
    /// Looks at what stands outside of the payload come first.
    pub(crate) looks_outside: u32,
    pub(crate) first_access: u32,
    pub(crate) accesses: u32,
    /// With how many of those behind it this group is one, itself included: more than one, if its members are too many for rows of bits.
    pub(crate) parts: u16,
    /// Whether its payloads are elements of others.
    pub(crate) is_of_elements: bool,
    /// Its arrays of whose elements several members want something.
    pub(crate) within: u8,
    pub(crate) first_within: u32,
    /// What looks, accesses and trees ask of the payload.
    pub(crate) plan: Option<PlanIndex>,
}

/// A route of a group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    /// Its condition is what is left to be evaluated when all looks let it pass.
    pub(crate) candidate: Candidate,
    /// Only if an array of objects stands on the way to a field, or another spelling was looked for: otherwise the looks have said it
    /// all.
    pub(crate) only_if_involved: bool,
    /// Which array's elements decide it, instead of its condition; [`NO_ELEMENTS`] if none do.
    pub(crate) elements: u8,
}

/// What [`Member::elements`] is of a member that is decided by its condition.
pub(crate) const NO_ELEMENTS: u8 = u8::MAX;

/// What a group's conditions ask of one attribute.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) attribute: Attribute,
    /// The number of a field in the group's plan.
    pub(crate) number: u32,
    /// Whether all that is asked must hold of one and the same value.
    pub(crate) same_value: bool,
    /// Whether the field is a place within elements that may be spelled with dots.
    pub(crate) spelled_within: bool,
    /// The part of the table's index that texts stand in to which a member's text must be equal, if there are many; 0 if not.
    pub(crate) space: u32,
    /// Place among [`Groups::wildcards`] of a set of the look's last tests; `u32::MAX` if there is none.
    pub(crate) wildcards: u32,
    /// Place among [`Groups::zones`]; `u32::MAX` if there are none.
    pub(crate) zones: u32,
    pub(crate) first_test: u32,
    /// Those that are made one by one.
    pub(crate) tests: u32,
    /// Row of the members that pass only by a test that lets them.
    pub(crate) wants: u32,
    /// Row of the members that don't pass when there is no value.
    pub(crate) lost: u32,
}

/// A test, and what it means for whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LookTest {
    pub(crate) quick: Quick,
    /// Place among the predicates.
    pub(crate) predicate: u32,
    /// Row of the members that pass if it is true.
    pub(crate) passes: u32,
    /// Row of the members that don't pass unless it is false.
    pub(crate) bars: u32,
}

/// A test of texts that a few instructions can make.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Quick {
    No,
    /// Place among [`Groups::literals`].
    Equals(u32),
    Prefix(u32),
    Suffix(u32),
}

/// Who takes in what is decided of a route.
pub(crate) trait Sink {
    fn decided(&mut self, candidate: Candidate, truth: Truth);
}

impl Groups {
    pub(crate) fn clear(&mut self) {
        self.rows.clear();
        self.members.clear();
        self.looks.clear();
        self.tests.clear();
        self.accesses.clear();
        self.literals.clear();
        self.wildcards.iter_mut().take(self.wildcards_in_use).for_each(WildcardSet::clear);
        self.wildcards_in_use = 0;
        self.zones.clear();
        self.bits.clear();
        self.within.clear();
        self.nodes_of_elements = None;
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.rows.capacity() * size_of::<Group>()
            + self.members.capacity() * size_of::<Member>()
            + self.looks.capacity() * size_of::<Look>()
            + self.tests.capacity() * size_of::<LookTest>()
            + self.accesses.memory_bytes()
            + self.literals.capacity() * size_of::<text::Literal>()
            + self.wildcards.iter().map(WildcardSet::memory_bytes).sum::<usize>()
            + self.zones.memory_bytes()
            + self.bits.memory_bytes()
            + self.within.capacity() * size_of::<Within>()
    }

    /// The routes of a group that stand in it, and the ways to those that are filed under values.
    pub(crate) fn parts_of(&self, group: u32) -> Option<(&[Member], &[Access])> {
        let group =
            self.rows.get(group as usize).map(|first| (first, self.rows.get(range(group, u32::from(first.parts)))));
        let (group, Some(parts)) = group? else { return None };
        let members = parts.iter().map(|part| part.members).sum();
        let members = self.members.get(range(group.first_member, members))?;
        Some((members, self.accesses.list.get(range(group.first_access, group.accesses))?))
    }
}

/// Rows of bits that a large group needs while it is decided, and what wildcards matched; reused for all events.
#[derive(Debug, Default)]
pub(crate) struct Bits {
    rows: [Vec<u64>; 5],
    matched: wildcard_set::Matches,
    /// For members that wait for elements to be gone over; one for each group that is within others.
    waiting: Vec<Vec<u64>>,
}

impl RouteTable {
    /// Decides all routes of a group.
    #[inline]
    pub(crate) fn decide_group(
        &self,
        GroupIndex(first): GroupIndex,
        evaluation: &Evaluation<'_>,
        work: &mut Work<'_>,
        out: &mut dyn Sink,
    ) {
        let Some(group) = self.groups.rows.get(first as usize) else { return };
        self.decide_part(group, evaluation, work, out);
        if group.parts > 1 {
            self.decide_parts_behind(first, evaluation, work, out);
        }
    }

    #[cold]
    fn decide_parts_behind(&self, first: u32, evaluation: &Evaluation<'_>, work: &mut Work<'_>, out: &mut dyn Sink) {
        let parts = self.groups.rows.get(first as usize).map_or(0, |group| u32::from(group.parts));
        for part in self.groups.rows.get(range(first, parts)).unwrap_or_default().iter().skip(1) {
            self.decide_part(part, evaluation, work, out);
        }
    }

    #[inline]
    fn decide_part(&self, group: &Group, evaluation: &Evaluation<'_>, work: &mut Work<'_>, out: &mut dyn Sink) {
        if group.members <= u64::BITS {
            self.decide_small(group, evaluation, work, out);
        } else {
            self.decide_large(group, evaluation, work, out);
        }
    }

    // One copy of each, which their callers share, so that what they are made of is inlined into them; and apart from each other, so
    // that what is needed most stays in registers.
    #[inline(never)]
    fn decide_small(&self, group: &Group, evaluation: &Evaluation<'_>, work: &mut Work<'_>, out: &mut dyn Sink) {
        let Work { readers, bits, buffers } = work;
        let Some((reader, readers)) = readers.split_first_mut() else { return };
        let mut looking = Looking { table: self, evaluation, buffers, matched: &mut bits.matched, is_read: false };
        let mut rows = Rows { alive: 0, passed: 0, barred: 0, total: 0, zone: 0u64 };
        let lives = group.members > 0 && looking.all(&mut rows, group, reader);
        let mut alive = if lives { rows.alive } else { 0 };
        if alive == 0 && group.accesses == 0 {
            return;
        }
        looking.read_for_accesses(group, reader);
        let scope = self.scope_of(group, evaluation, reader);
        let work = &mut Work { readers, bits, buffers };
        let mut waiting = 0;
        while alive != 0 {
            let member = alive.trailing_zeros();
            waiting |= u64::from(self.decide_member(group, member, evaluation, &scope, work, out)) << member;
            alive &= alive - 1;
        }
        if waiting != 0 {
            self.decide_by_elements(group, &mut [waiting], evaluation, work, out);
        }
        self.follow_all(group, evaluation, &scope, work, out);
    }

    #[inline(never)]
    fn decide_large(&self, group: &Group, evaluation: &Evaluation<'_>, work: &mut Work<'_>, out: &mut dyn Sink) {
        let Work { readers, bits, buffers } = work;
        let Some((reader, readers)) = readers.split_first_mut() else { return };
        let words = words_of(group.members);
        let Bits { rows, matched, .. } = &mut **bits;
        let [alive, passed, barred, total, zone] = rows.each_mut().map(|row| {
            row.resize(row.len().max(words), 0);
            row.get_mut(..words).unwrap_or_default()
        });
        let mut looking = Looking { table: self, evaluation, buffers, matched, is_read: false };
        let lives = looking.all(&mut Rows { alive, passed, barred, total, zone }, group, reader);
        looking.read_for_accesses(group, reader);
        let scope = self.scope_of(group, evaluation, reader);
        let work = &mut Work { readers, bits, buffers };
        let mut waiting = Vec::new();
        if group.within > 0 {
            waiting = work.bits.waiting.pop().unwrap_or_default();
            waiting.clear();
        }
        let mut is_waiting = false;
        for word in 0..if lives { words } else { 0 } {
            let mut alive = work.bits.rows[0].get(word).copied().unwrap_or_default();
            let mut of_word = 0;
            while alive != 0 {
                let (bit, member) = (alive.trailing_zeros(), word as u32 * 64 + alive.trailing_zeros());
                of_word |= u64::from(self.decide_member(group, member, evaluation, &scope, work, out)) << bit;
                alive &= alive - 1;
            }
            if group.within > 0 {
                waiting.push(of_word);
                is_waiting |= of_word != 0;
            }
        }
        if is_waiting {
            self.decide_by_elements(group, &mut waiting, evaluation, work, out);
        }
        if group.within > 0 {
            work.bits.waiting.push(waiting);
        }
        self.follow_all(group, evaluation, &scope, work, out);
    }

    fn scope_of<'s>(&'s self, group: &Group, evaluation: &Evaluation<'s>, reader: &'s Reading) -> Scope<'s> {
        let fields = group.plan.map_or(&[] as &[FieldIndex], |plan| self.fields.of_plan(plan));
        Scope { bytes: evaluation.facts.payload.bytes, reader, fields, element: None, outer: None }
    }

    #[inline]
    fn follow_all(
        &self,
        group: &Group,
        evaluation: &Evaluation<'_>,
        scope: &Scope<'_>,
        work: &mut Work<'_>,
        out: &mut dyn Sink,
    ) {
        let accesses = self.groups.accesses.list.get(range(group.first_access, group.accesses)).unwrap_or_default();
        if accesses.len() > FOLLOWED_MAX {
            return self.follow_present(accesses, evaluation, scope, work, out);
        }
        for access in accesses {
            self.follow(access, evaluation, scope, work, out);
        }
    }

    /// Follows those of many accesses to fields that the event has; they come last, by their numbers.
    #[inline(never)]
    fn follow_present(
        &self,
        accesses: &[Access],
        evaluation: &Evaluation<'_>,
        scope: &Scope<'_>,
        work: &mut Work<'_>,
        out: &mut dyn Sink,
    ) {
        let outside = accesses.partition_point(|access| !access.is_of_field());
        let (outside, inside) = accesses.split_at_checked(outside).unwrap_or((accesses, &[]));
        for access in outside {
            self.follow(access, evaluation, scope, work, out);
        }
        scope.reader.each_present(&self.fields, |number| {
            let place = inside.binary_search_by_key(&number, |access| access.number);
            if let Some(access) = place.ok().and_then(|place| inside.get(place)) {
                self.follow(access, evaluation, scope, work, out);
            }
        });
    }

    /// Goes over the elements that the waiting members of a group want something of. Those that no element is right for don't match.
    #[inline(never)]
    fn decide_by_elements(
        &self,
        group: &Group,
        waiting: &mut [u64],
        evaluation: &Evaluation<'_>,
        work: &mut Work<'_>,
        out: &mut dyn Sink,
    ) {
        let Work { readers, bits, buffers } = work;
        let Some((reader, readers)) = readers.split_first_mut() else { return };
        let members = self.groups.members.get(range(group.first_member, group.members)).unwrap_or_default();
        let all_within = self.groups.within.get(range(group.first_within, u32::from(group.within))).unwrap_or_default();
        let mut sink = OfElements { members, waiting, out };
        for (place, within) in all_within.iter().enumerate() {
            if !sink.is_waiting_for(place) {
                continue;
            }
            evaluation.read(reader, within.plan, buffers);
            let scope = Scope {
                bytes: evaluation.facts.payload.bytes,
                reader,
                fields: self.fields.of_plan(within.plan),
                element: None,
                outer: None,
            };
            let any = AnyElement {
                over: Over::Field(within.over),
                plan: None,
                on_missing: Truth::False,
                on_other_type: Truth::False,
            };
            evaluation.elements(&any, &scope, &mut |element, bytes| {
                if sink.is_waiting() {
                    let payload = Content::of_element(&element, bytes);
                    let facts = Facts { payload, is_element: true, ..*evaluation.facts };
                    let work = &mut Work { readers, bits, buffers };
                    self.consider(within.lead, &self.evaluation(&facts), work, &mut sink);
                }
            });
        }
    }

    /// Says what becomes of a member that all looks let pass; `true`: elements decide it, which must be gone over.
    #[inline]
    fn decide_member(
        &self,
        group: &Group,
        member: u32,
        evaluation: &Evaluation<'_>,
        scope: &Scope<'_>,
        work: &mut Work<'_>,
        out: &mut dyn Sink,
    ) -> bool {
        let Some(member) = self.groups.members.get((group.first_member + member) as usize) else { return false };
        let Candidate { condition, .. } = member.candidate;
        let truth = match condition {
            ConditionIndex::ALWAYS => Truth::True,
            _ if member.only_if_involved && !scope.reader.is_involved() => Truth::True,
            _ if member.elements != NO_ELEMENTS => return true,
            ConditionIndex(root) if member.only_if_involved => evaluation.condition(root, work.readers, work.buffers),
            ConditionIndex(node) => evaluation.node(node, Some(scope), work.readers, work.buffers),
        };
        out.decided(member.candidate, truth);
        false
    }
}

/// Takes in what is decided of an element, for the members that wait for it.
struct OfElements<'o> {
    members: &'o [Member],
    waiting: &'o mut [u64],
    out: &'o mut dyn Sink,
}

impl OfElements<'_> {
    fn is_waiting(&self) -> bool {
        self.waiting.iter().any(|word| *word != 0)
    }

    /// Whether anybody waits for the elements of the array at `place`.
    fn is_waiting_for(&self, place: usize) -> bool {
        let words = self.waiting.iter().zip(self.members.chunks(64));
        words.into_iter().any(|(word, members)| {
            let waits = |(bit, member): (usize, &Member)| word >> bit & 1 != 0 && usize::from(member.elements) == place;
            *word != 0 && members.iter().enumerate().any(waits)
        })
    }
}

impl Sink for OfElements<'_> {
    fn decided(&mut self, candidate: Candidate, truth: Truth) {
        let member = candidate.fan_out;
        let (Some(word), Some(found)) = (self.waiting.get_mut(member as usize / 64), self.members.get(member as usize))
        else {
            return;
        };
        let bit = 1 << (member % 64);
        if truth == Truth::True && *word & bit != 0 {
            *word &= !bit;
            self.out.decided(found.candidate, Truth::True);
        }
    }
}

/// The rows of bits of a group that is being decided.
struct Rows<R> {
    /// Who may still match.
    alive: R,
    passed: R,
    barred: R,
    total: R,
    zone: R,
}

/// What looks need besides the rows.
struct Looking<'l> {
    table: &'l RouteTable,
    evaluation: &'l Evaluation<'l>,
    buffers: &'l mut Buffers,
    matched: &'l mut wildcard_set::Matches,
    /// Whether the payload was read.
    is_read: bool,
}

impl Looking<'_> {
    fn read(&mut self, group: &Group, reader: &mut Reading) {
        if let Some(plan) = group.plan {
            self.evaluation.read(reader, plan, self.buffers);
        }
        self.is_read = true;
    }

    fn read_for_accesses(&mut self, group: &Group, reader: &mut Reading) {
        if group.accesses > 0 && !self.is_read {
            self.read(group, reader);
        }
    }

    /// Looks at all attributes of a group, the payload last; says whether any member is left.
    #[inline(always)]
    fn all<R: Row>(&mut self, rows: &mut Rows<R>, group: &Group, reader: &mut Reading) -> bool {
        let looks = self.table.groups.looks.get(range(group.first_look, group.looks)).unwrap_or_default();
        let (outside, inside) = looks.split_at_checked(group.looks_outside as usize).unwrap_or((looks, &[]));
        rows.alive.fill(group.members);
        if !outside.iter().all(|look| self.outside(rows, look)) {
            return false;
        }
        self.read(group, reader);
        inside.iter().all(|look| self.inside(rows, look, reader))
    }

    /// Looks at an attribute outside of the payload; says whether any member is left.
    fn outside<R: Row>(&mut self, rows: &mut Rows<R>, look: &Look) -> bool {
        match self.evaluation.outside(look.attribute) {
            Some(value) => {
                rows.begin(self.table, look);
                rows.test(self.table, look, &value, &mut self.buffers.folded, self.matched);
                rows.alive.and_without(&rows.passed, &rows.barred)
            }
            None => rows.alive.remove(&self.table.groups.bits, look.lost),
        }
    }

    /// Looks at a field of the payload; says whether any member is left.
    #[inline]
    fn inside<R: Row>(&mut self, rows: &mut Rows<R>, look: &Look, reader: &Reading) -> bool {
        if look.spelled_within && reader.is_in_doubt(&self.table.fields, look.number) {
            return true;
        }
        let zones = self.table.groups.zones.of(look.zones);
        let Looking { table, buffers: Buffers { unescaped, folded, .. }, matched, .. } = self;
        let payload = self.evaluation.facts.payload.bytes;
        let mut is_there = false;
        for found in reader.values(&table.fields, look.number) {
            match (found.kind(), zones) {
                // A number whose zone is all that counts makes no stop on its way there.
                (Kind::Number, Some(zones)) => {
                    let Some(zone) = zones.at(payload, found.at(), &table.texts) else { continue };
                    rows.open(table, look, &mut is_there);
                    rows.unite_zone(table, &zones, zone);
                }
                // What surrounds a text in the payload lets its words be loaded at once.
                (Kind::Text { escaped: false }, _) => {
                    let Some(text) = Excerpt::new(payload, found.at()) else { continue };
                    rows.open(table, look, &mut is_there);
                    rows.test_text(table, look, &text, folded, matched);
                }
                _ => {
                    let Some(value) = datum(&table.fields, payload, &found, unescaped) else { continue };
                    rows.open(table, look, &mut is_there);
                    rows.test(table, look, &value, folded, matched);
                }
            }
            if look.same_value {
                rows.total.or_without(&rows.passed, &rows.barred);
            }
        }
        match (is_there, look.same_value) {
            (false, _) => rows.alive.remove(&table.groups.bits, look.lost),
            (true, true) => rows.alive.and_row(&rows.total),
            (true, false) => rows.alive.and_without(&rows.passed, &rows.barred),
        }
    }
}

impl<R: Row> Rows<R> {
    #[inline]
    fn begin(&mut self, table: &RouteTable, look: &Look) {
        self.passed.fill_without(&table.groups.bits, look.wants);
        self.barred.clear();
    }

    /// Gets ready for a value of a field: the next one, if one `is_there` already.
    #[inline(always)]
    fn open(&mut self, table: &RouteTable, look: &Look, is_there: &mut bool) {
        if !*is_there {
            self.total.clear();
        }
        if !*is_there || look.same_value {
            self.begin(table, look);
        }
        *is_there = true;
    }

    /// Adds whom these rows let pass and rule out.
    #[inline]
    fn unite(&mut self, table: &RouteTable, [passes, bars]: [u32; 2]) {
        self.passed.or(&table.groups.bits, passes);
        self.barred.or(&table.groups.bits, bars);
    }

    /// Adds whom the tests of numbers let pass and rule out within a zone.
    #[inline]
    fn unite_zone(&mut self, table: &RouteTable, zones: &ZonesOf<'_>, zone: u32) {
        match zones.rows {
            RowsOf::Each { first_row, words } => {
                let passes = first_row + zone * 2 * words;
                self.unite(table, [passes, passes + words]);
            }
            RowsOf::Steps { first } => self.unite_step(table, (first + zone) as usize),
        }
    }

    #[inline(never)]
    fn unite_step(&mut self, table: &RouteTable, step: usize) {
        let Groups { zones, bits, .. } = &table.groups;
        let Some(step) = zones.steps.get(step) else { return };
        let toggles = zones.toggles.get(range(step.first_toggle, step.toggles)).unwrap_or_default();
        for (row, is_of_bars, united) in [(step.passes, false, &mut self.passed), (step.bars, true, &mut self.barred)] {
            self.zone.clear();
            self.zone.or(bits, row);
            let toggles = toggles.iter().filter(|toggle| toggle.is_of_bars() == is_of_bars);
            toggles.for_each(|toggle| self.zone.toggle(toggle.member()));
            united.or_row(&self.zone);
        }
    }

    /// Makes all tests of a look of one value.
    #[inline(never)]
    fn test(
        &mut self,
        table: &RouteTable,
        look: &Look,
        value: &Datum<'_>,
        folded: &mut Vec<u8>,
        matched: &mut wildcard_set::Matches,
    ) {
        let groups = &table.groups;
        let tests = groups.tests.get(range(look.first_test, look.tests)).unwrap_or_default();
        if let (Datum::Number(number), Some(zones)) = (value, groups.zones.of(look.zones)) {
            return self.unite_zone(table, &zones, zones.of_number(number, &table.texts));
        }
        match value {
            Datum::Text(bytes) => self.test_text(table, look, &Excerpt::of(bytes), folded, matched),
            _ => tests.iter().for_each(|test| self.test_plainly(table, test, value, folded)),
        }
    }

    /// The same of a text.
    #[inline(always)]
    fn test_text(
        &mut self,
        table: &RouteTable,
        look: &Look,
        text: &Excerpt<'_>,
        folded: &mut Vec<u8>,
        matched: &mut wildcard_set::Matches,
    ) {
        let groups = &table.groups;
        if look.space != 0
            && let Some([passes, bars, _]) = table.types.get(look.space, text.bytes())
        {
            self.unite(table, [passes, bars]);
        }
        for test in groups.tests.get(range(look.first_test, look.tests)).unwrap_or_default() {
            let literal = |place: u32| groups.literals.get(place as usize);
            let is_true = match test.quick {
                Quick::Equals(place) => literal(place).is_some_and(|literal| literal.equals(text, &table.texts)),
                Quick::Prefix(place) => literal(place).is_some_and(|literal| literal.starts(text, &table.texts)),
                Quick::Suffix(place) => literal(place).is_some_and(|literal| literal.ends(text, &table.texts)),
                Quick::No => {
                    self.test_plainly(table, test, &Datum::Text(text.bytes()), folded);
                    continue;
                }
            };
            if is_true {
                self.unite(table, [test.passes, test.bars]);
            }
        }
        if let Some(set) = groups.wildcards.get(look.wildcards as usize) {
            set.matching(text, &table.texts, &table.conditions.literals.needles, matched);
            for number in matched.numbers() {
                let Some(test) = groups.tests.get((look.first_test + look.tests + number) as usize) else { continue };
                self.unite(table, [test.passes, test.bars]);
            }
        }
    }

    fn test_plainly(&mut self, table: &RouteTable, test: &LookTest, value: &Datum<'_>, folded: &mut Vec<u8>) {
        let Some(predicate) = table.conditions.predicates.get(test.predicate as usize) else { return };
        let truth = table.conditions.literals.test(&table.texts, predicate, value, folded);
        if truth == Truth::True {
            self.passed.or(&table.groups.bits, test.passes);
        }
        if truth != Truth::False {
            self.barred.or(&table.groups.bits, test.bars);
        }
    }
}
