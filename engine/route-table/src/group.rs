//! Groups: many routes decided together, each different predicate tested once.
//!
//! The routes under one key of the index (a type, a prefix, any type) make a group. What their conditions ask of one attribute is
//! one *look*: a list of tests, and for each test the set of routes that it lets pass or rules out, as a row of bits. An event's
//! value for the attribute is tested once; the rows of what it passed, united, are the routes that this look lets pass; routes
//! that pass all looks match. What looks can't say of a condition is left to its tree, for the routes that passed.
//!
//! A large group is split first: a route that wants one of few values of some attribute is filed under these values in the index,
//! and met only by events that have them ([`Access`]). Which attribute is chosen by how few routes stand under its values, never
//! by its name.

use crate::condition::{ConditionIndex, Truth, range};
use crate::evaluate::{Buffers, Evaluation, Scope, Work, datum};
use crate::event::Event;
use crate::fields::{FieldIndex, PlanIndex, Reading};
use crate::predicate::{Attribute, Datum, Predicate};
use crate::table::{Candidate, RouteTable};

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
    pub(crate) accesses: Vec<Access>,
    /// The rows of bits of all groups: the lowest bit is a group's first member.
    pub(crate) bits: Vec<u64>,
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
    /// What looks, accesses and trees ask of the payload.
    pub(crate) plan: Option<PlanIndex>,
}

impl Group {
    /// Words of a row of bits.
    fn words(&self) -> usize {
        (self.members as usize).div_ceil(64)
    }
}

/// A route of a group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    /// Its condition is what is left to be evaluated when all looks let it pass.
    pub(crate) candidate: Candidate,
    /// Only if an array of objects stands on the way to a field: otherwise the looks have said it all.
    pub(crate) only_if_crossed: bool,
}

/// What a group's conditions ask of one attribute.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) attribute: Attribute,
    /// The number of a field in the group's plan.
    pub(crate) number: u32,
    /// Whether all that is asked must hold of one and the same value.
    pub(crate) same_value: bool,
    pub(crate) first_test: u32,
    pub(crate) tests: u32,
    /// Row of the members that pass without a test that lets them.
    pub(crate) free: u32,
    /// Row of the members that pass when there is no value.
    pub(crate) missing: u32,
}

/// A test, and what it means for whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LookTest {
    /// Place among the predicates.
    pub(crate) predicate: u32,
    /// Row of the members that pass if it is true.
    pub(crate) passes: u32,
    /// Row of the members that don't pass unless it is false.
    pub(crate) bars: u32,
}

/// An attribute whose values lead to more candidates.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Access {
    pub(crate) attribute: Attribute,
    /// The number of a field in the group's plan.
    pub(crate) number: u32,
    /// The part of the table's index that its values stand in.
    pub(crate) space: u32,
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
        self.bits.clear();
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.rows.capacity() * size_of::<Group>()
            + self.members.capacity() * size_of::<Member>()
            + self.looks.capacity() * size_of::<Look>()
            + self.tests.capacity() * size_of::<LookTest>()
            + self.accesses.capacity() * size_of::<Access>()
            + self.bits.capacity() * size_of::<u64>()
    }

    fn row(&self, at: u32, words: usize) -> &[u64] {
        self.bits.get(at as usize..at as usize + words).unwrap_or_default()
    }
}

/// Rows of bits that a group needs while it is decided; reused for all events.
#[derive(Debug, Default)]
pub(crate) struct Bits {
    alive: Vec<u64>,
    passed: Vec<u64>,
    barred: Vec<u64>,
    total: Vec<u64>,
}

impl Bits {
    fn of(&mut self, words: usize) -> [&mut [u64]; 4] {
        let Bits { alive, passed, barred, total } = self;
        [alive, passed, barred, total].map(|row| {
            if row.len() < words {
                row.resize(words, 0);
            }
            row.get_mut(..words).unwrap_or_default()
        })
    }
}

impl RouteTable {
    /// Decides all routes of a group.
    pub(crate) fn decide_group<E: Event + ?Sized, S: Sink>(
        &self,
        index: GroupIndex,
        evaluation: &Evaluation<'_, E>,
        work: Work<'_>,
        out: &mut S,
    ) {
        let Some(group) = self.groups.rows.get(index.0 as usize) else { return };
        let Some((reader, inner)) = work.readers.split_first_mut() else { return };
        let mut work = Work { readers: inner, ..work };
        let looks = self.groups.looks.get(range(group.first_look, group.looks)).unwrap_or_default();
        let (outside, inside) = looks.split_at_checked(group.looks_outside as usize).unwrap_or((looks, &[]));
        let mut rows = Rows::new(work.bits, group);
        let mut lives = group.members > 0 && outside.iter().all(|look| rows.look(self, look, evaluation, work.buffers));
        let payload = evaluation.facts.payload;
        let mut fields: &[FieldIndex] = &[];
        if let Some(plan) = group.plan
            && (lives || group.accesses > 0)
        {
            reader.read(&self.fields, plan, payload);
            fields = self.fields.of_plan(plan);
        }
        lives = lives && inside.iter().all(|look| rows.look_inside(self, look, evaluation, reader, work.buffers));
        let scope = Scope { bytes: payload, reader, fields, element: None, outer: None };
        if lives {
            for member in rows.members() {
                let Some(member) = self.groups.members.get(group.first_member as usize + member) else { continue };
                let Candidate { condition, .. } = member.candidate;
                let truth = match condition {
                    ConditionIndex::ALWAYS => Truth::True,
                    _ if member.only_if_crossed && !scope.reader.crossed_array() => Truth::True,
                    ConditionIndex(root) if member.only_if_crossed => {
                        evaluation.condition(root, work.readers, work.buffers)
                    }
                    ConditionIndex(node) => evaluation.node(node, Some(&scope), work.readers, work.buffers),
                };
                out.decided(member.candidate, truth);
            }
        }
        for access in self.groups.accesses.get(range(group.first_access, group.accesses)).unwrap_or_default() {
            self.follow(access, evaluation, &scope, work.again(), out);
        }
    }

    /// Goes on to the routes that want one of the values that the event has.
    fn follow<E: Event + ?Sized, S: Sink>(
        &self,
        access: &Access,
        evaluation: &Evaluation<'_, E>,
        scope: &Scope<'_>,
        mut work: Work<'_>,
        out: &mut S,
    ) {
        if !matches!(access.attribute, Attribute::Field(_)) {
            if let Some(Datum::Text(text)) = evaluation.outside(access.attribute)
                && let Some(found) = self.types.get(access.space, text)
            {
                self.consider(found, evaluation, work, out);
            }
            return;
        }
        for value in scope.reader.values(&self.fields, access.number) {
            if let Some(Datum::Text(text)) = datum(scope.bytes, &value, &mut work.buffers.unescaped)
                && let Some(found) = self.types.get(access.space, text)
            {
                self.consider(found, evaluation, work.again(), out);
            }
        }
    }
}

/// The rows of bits of a group that is being decided.
struct Rows<'b> {
    /// Who may still match.
    alive: &'b mut [u64],
    passed: &'b mut [u64],
    barred: &'b mut [u64],
    total: &'b mut [u64],
}

impl<'b> Rows<'b> {
    fn new(bits: &'b mut Bits, group: &Group) -> Self {
        let [alive, passed, barred, total] = bits.of(group.words());
        alive.fill(u64::MAX);
        if let (Some(last), spare @ 1..) = (alive.last_mut(), group.words() * 64 - group.members as usize) {
            *last >>= spare;
        }
        Rows { alive, passed, barred, total }
    }

    /// Looks at an attribute outside of the payload; says whether any member is left.
    fn look<E: Event + ?Sized>(
        &mut self,
        table: &RouteTable,
        look: &Look,
        evaluation: &Evaluation<'_, E>,
        buffers: &mut Buffers,
    ) -> bool {
        match evaluation.outside(look.attribute) {
            Some(value) => {
                self.begin_value(table, look);
                self.test_value(table, look, |predicate| evaluation.test(predicate, &value, buffers));
                and_not(self.alive, self.passed, self.barred)
            }
            None => and(self.alive, table.groups.row(look.missing, self.alive.len())),
        }
    }

    /// Looks at a field of the payload.
    fn look_inside<E: Event + ?Sized>(
        &mut self,
        table: &RouteTable,
        look: &Look,
        evaluation: &Evaluation<'_, E>,
        reader: &Reading,
        buffers: &mut Buffers,
    ) -> bool {
        let payload = evaluation.facts.payload;
        let mut is_there = false;
        self.begin_value(table, look);
        for found in reader.values(&table.fields, look.number) {
            let Some(value) = datum(payload, &found, &mut buffers.unescaped) else { continue };
            if is_there && look.same_value {
                self.begin_value(table, look);
            } else if !is_there && look.same_value {
                self.total.fill(0);
            }
            is_there = true;
            let folded = &mut buffers.folded;
            let Evaluation { conditions, texts, .. } = evaluation;
            self.test_value(table, look, |predicate| conditions.literals.test(texts, predicate, &value, folded));
            if look.same_value {
                let passed = self.passed.iter().zip(self.barred.iter());
                self.total.iter_mut().zip(passed).for_each(|(total, (passed, barred))| *total |= passed & !barred);
            }
        }
        match (is_there, look.same_value) {
            (false, _) => and(self.alive, table.groups.row(look.missing, self.alive.len())),
            (true, true) => and(self.alive, self.total),
            (true, false) => and_not(self.alive, self.passed, self.barred),
        }
    }

    fn begin_value(&mut self, table: &RouteTable, look: &Look) {
        self.passed.copy_from_slice(table.groups.row(look.free, self.passed.len()));
        self.barred.fill(0);
    }

    fn test_value(&mut self, table: &RouteTable, look: &Look, mut test: impl FnMut(&Predicate) -> Truth) {
        for LookTest { predicate, passes, bars } in
            table.groups.tests.get(range(look.first_test, look.tests)).unwrap_or_default()
        {
            let Some(predicate) = table.conditions.predicates.get(*predicate as usize) else { continue };
            let truth = test(predicate);
            if truth == Truth::True {
                or(self.passed, table.groups.row(*passes, self.passed.len()));
            }
            if truth != Truth::False {
                or(self.barred, table.groups.row(*bars, self.barred.len()));
            }
        }
    }

    /// The members that are left.
    fn members(&self) -> impl Iterator<Item = usize> + '_ {
        self.alive.iter().enumerate().flat_map(|(word, bits)| {
            std::iter::successors((*bits != 0).then_some(*bits), |bits| {
                let rest = bits & (bits - 1);
                (rest != 0).then_some(rest)
            })
            .map(move |bits| word * 64 + bits.trailing_zeros() as usize)
        })
    }
}

fn or(row: &mut [u64], other: &[u64]) {
    row.iter_mut().zip(other).for_each(|(row, other)| *row |= other);
}

/// Says whether anything is left.
fn and(row: &mut [u64], other: &[u64]) -> bool {
    row.iter_mut().zip(other).fold(0, |left, (row, other)| {
        *row &= other;
        left | *row
    }) != 0
}

fn and_not(row: &mut [u64], passed: &[u64], barred: &[u64]) -> bool {
    row.iter_mut().zip(passed.iter().zip(barred)).fold(0, |left, (row, (passed, barred))| {
        *row &= passed & !barred;
        left | *row
    }) != 0
}
