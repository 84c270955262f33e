//! What of a condition can be said by looks: clauses about one attribute each.

use super::{Settled, each_part};
use crate::compile::intern_field;
use crate::condition::{AnyElement, Conditions, Node, NodeKind, Over, Truth, range};
use crate::fields::FieldIndex;
use crate::interned::Interned;
use crate::predicate::{Attribute, ElementPlace, Predicate, Test};
use crate::table::RouteTable;

/// A part of a condition that is about one attribute: one of some predicates must be true of it, or none may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clause {
    pub(super) attribute: Attribute,
    /// The `any_element` whose clauses about this attribute must all hold of the same value.
    pub(super) same_value: Option<u32>,
    /// Whether none of the predicates may be true (or absent).
    pub(super) bars: bool,
    first: u32,
    count: u32,
    /// The part of the condition that it is of.
    pub(super) part: u32,
    /// Whether it says all that the part says.
    pub(super) is_whole_part: bool,
    /// Whether the attribute is a place within elements that may be spelled with dots. What the reader finds of it as one field is then
    /// not always what is found element by element.
    pub(super) spelled_within: bool,
}

impl Clause {
    /// Whether who passes can be found by the values that the event has.
    pub(super) fn can_be_access(&self) -> bool {
        !self.bars && self.same_value.is_none() && !self.spelled_within
    }
}

/// What clauses leave of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// They say it all.
    Nothing,
    /// All of it, if the reader crossed an array on the way to a field or looked for other spellings.
    IfInvolved,
    /// The tree at this node.
    Always(u32),
}

impl Left {
    /// What is left if both are left, of the condition at `root`.
    fn and(self, other: Left, root: u32) -> Left {
        match (self, other) {
            (left, Left::Nothing) | (Left::Nothing, left) => left,
            (Left::IfInvolved, Left::IfInvolved) => Left::IfInvolved,
            _ => Left::Always(root),
        }
    }
}

/// The clauses of one condition.
#[derive(Debug, Default)]
pub(crate) struct Clauses {
    list: Vec<Clause>,
    predicates: Vec<u32>,
    parts: Vec<u32>,
    inner: Vec<u32>,
    /// The parts of which something is left.
    left: Vec<u32>,
}

/// How a predicate's attribute looks from where a clause is; `None`: it can't be part of it.
type Seen = Option<(Attribute, Option<u32>)>;

impl Clauses {
    pub(super) fn list(&self) -> &[Clause] {
        &self.list
    }

    /// The parts of the condition that clauses don't say all of.
    pub(super) fn left(&self) -> &[u32] {
        &self.left
    }

    pub(super) fn predicates(&self, clause: &Clause) -> &[u32] {
        self.predicates.get(range(clause.first, clause.count)).unwrap_or_default()
    }

    /// Finds the clauses of the condition at `root`, but for those of `settled` parts. `careful`: what is absent matters, so that a
    /// clause may only be one that never is, and the tree is evaluated for whom the clauses let pass.
    pub(super) fn find(
        &mut self,
        table: &mut RouteTable,
        fields: &mut Interned,
        root: u32,
        settled: &Settled,
        careful: bool,
    ) -> Left {
        self.list.clear();
        self.predicates.clear();
        self.left.clear();
        let mut parts = std::mem::take(&mut self.parts);
        parts.clear();
        each_part(&table.conditions, root, &mut |part| parts.push(part));
        let mut left = if careful { Left::Always(root) } else { Left::Nothing };
        for part in parts.iter().filter(|part| !settled.contains(part)) {
            let of_part = self.part(table, fields, *part, careful);
            if of_part != Left::Nothing {
                self.left.push(*part);
            }
            left = left.and(of_part, root);
        }
        self.parts = parts;
        left
    }

    fn part(&mut self, table: &mut RouteTable, fields: &mut Interned, part: u32, careful: bool) -> Left {
        let conditions = &table.conditions;
        let Some(node) = conditions.node(part) else { return Left::Nothing };
        // What is looked up is left to the tree, so that an answer is asked for only if all else lets the event pass.
        let is_at_hand = |attribute| !matches!(attribute, Attribute::Element(_) | Attribute::Lookup(_));
        let itself = |attribute| is_at_hand(attribute).then_some((attribute, None));
        let is_said = match node.kind {
            NodeKind::Not => self.alternatives(conditions, part + 1, part, careful, true, itself),
            NodeKind::AnyElement(index) => match conditions.any_elements.get(index as usize).copied() {
                Some(any) if any.on_missing == Truth::False && !careful => {
                    return self.any_element(table, fields, part, any);
                }
                _ => false,
            },
            _ => self.alternatives(conditions, part, part, careful, false, itself),
        };
        if is_said { Left::Nothing } else { Left::Always(part) }
    }

    /// Notes a predicate, or an `any` of predicates about one attribute. Says whether it was one.
    fn alternatives(
        &mut self,
        conditions: &Conditions,
        at: u32,
        part: u32,
        careful: bool,
        bars: bool,
        see: impl Fn(Attribute) -> Seen,
    ) -> bool {
        let first = self.predicates.len();
        let mut found: Seen = None;
        let mut is_clause = true;
        let nodes = match conditions.node(at) {
            Some(Node { kind: NodeKind::Predicate(_), .. }) => at..at + 1,
            Some(Node { kind: NodeKind::Any, end }) => at + 1..end,
            _ => 0..0,
        };
        for node in nodes.filter_map(|at| conditions.node(at)) {
            let NodeKind::Predicate(index) = node.kind else {
                is_clause = false;
                break;
            };
            let predicate = conditions.predicates.get(index as usize);
            let seen = predicate.and_then(|predicate| see(predicate.attribute));
            is_clause &= seen.is_some() && (found.is_none() || found == seen);
            is_clause &= !careful || predicate.is_some_and(is_never_absent);
            found = seen;
            self.predicates.push(index);
        }
        let (true, Some((attribute, same_value))) = (is_clause, found) else {
            self.predicates.truncate(first);
            return false;
        };
        let count = (self.predicates.len() - first) as u32;
        let is_whole_part = at == part;
        let (first, spelled_within) = (first as u32, false);
        self.list.push(Clause { attribute, same_value, bars, first, count, part, is_whole_part, spelled_within });
        true
    }

    /// An `any_element` about the element itself is a clause whose tests must hold of the same value. One about places within the
    /// element says what its parts say of the places each; that they are of the same element is left, if there was an array.
    fn any_element(&mut self, table: &mut RouteTable, fields: &mut Interned, part: u32, any: AnyElement) -> Left {
        let Over::Field(over) = any.over else { return Left::Always(part) };
        if !table.fields.is_through_arrays(over) {
            return Left::Always(part);
        }
        if self.of_one_value(&table.conditions, part, part, over) {
            return Left::Nothing;
        }
        let mut inner = std::mem::take(&mut self.inner);
        inner.clear();
        each_part(&table.conditions, part + 1, &mut |at| inner.push(at));
        let mut left = Left::IfInvolved;
        for at in &inner {
            if !self.of_place(table, fields, *at, part, over) {
                left = Left::Always(part);
            }
        }
        self.inner = inner;
        left
    }

    /// Notes the parts of the `any_element` at `at`, if all are about the element itself, as clauses of the field `over`.
    fn of_one_value(&mut self, conditions: &Conditions, at: u32, part: u32, over: FieldIndex) -> bool {
        let (clauses, predicates) = (self.list.len(), self.predicates.len());
        let itself = |attribute| match attribute {
            Attribute::Element(ElementPlace { outwards: 0, field: FieldIndex::ITSELF, .. }) => {
                Some((Attribute::Field(over), Some(at)))
            }
            _ => None,
        };
        let (mut wants, mut is_said) = (0, true);
        each_part(conditions, at + 1, &mut |inner| {
            let bars = matches!(conditions.node(inner).map(|node| node.kind), Some(NodeKind::Not));
            wants += u32::from(!bars);
            is_said &= self.alternatives(conditions, inner + u32::from(bars), part, false, bars, itself);
        });
        // Two that let pass would have to be of the same value, and a look knows only that one of them was true.
        let is_said = is_said && wants <= 1;
        if !is_said {
            self.list.truncate(clauses);
            self.predicates.truncate(predicates);
        }
        is_said
    }

    /// Notes what the node at `at` says of a place within the elements of `over`, as a field of the payload. What is said so is
    /// false if there are no elements, as the `any_element` is.
    fn of_place(
        &mut self,
        table: &mut RouteTable,
        fields: &mut Interned,
        at: u32,
        part: u32,
        over: FieldIndex,
    ) -> bool {
        let Some(node) = table.conditions.node(at) else { return false };
        match node.kind {
            NodeKind::Predicate(_) | NodeKind::Any => {
                let Some(place) = place_of(&table.conditions, at, node.end) else { return false };
                let Some(field) = joined(table, fields, over, place) else { return false };
                let here = |attribute| match attribute {
                    Attribute::Element(other) if other == place => Some((Attribute::Field(field), None)),
                    _ => None,
                };
                let first = self.predicates.len();
                let clauses = self.list.len();
                let is_said = self.alternatives(&table.conditions, at, part, false, false, here);
                self.note_spelled(clauses, table, field);
                let is_false_if_missing = self.predicates.iter().skip(first).all(|index| {
                    let predicate = table.conditions.predicates.get(*index as usize);
                    predicate.is_some_and(|predicate| predicate.of_missing() == Truth::False)
                });
                if is_said && !is_false_if_missing {
                    self.list.pop();
                    self.predicates.truncate(first);
                }
                is_said && is_false_if_missing
            }
            NodeKind::AnyElement(index) => {
                let any = table.conditions.any_elements.get(index as usize).copied();
                let Some(AnyElement { over: Over::Element(place), on_missing: Truth::False, .. }) = any else {
                    return false;
                };
                let Some(field) = joined(table, fields, over, place) else { return false };
                let clauses = self.list.len();
                let is_said = self.of_one_value(&table.conditions, at, part, field);
                self.note_spelled(clauses, table, field);
                is_said
            }
            _ => false,
        }
    }

    /// Says of the clauses from `first` on that they are of this field, a place within elements.
    fn note_spelled(&mut self, first: usize, table: &RouteTable, field: FieldIndex) {
        let is_spelled = table.fields.rows.get(field.0 as usize).is_some_and(|row| row.dots != 0);
        self.list.iter_mut().skip(first).for_each(|clause| clause.spelled_within = is_spelled);
    }
}

fn is_never_absent(predicate: &Predicate) -> bool {
    let of_every_type = matches!(predicate.test, Test::Exists(_) | Test::Types);
    predicate.on_missing != Truth::Absent && (of_every_type || predicate.on_other_type != Truth::Absent)
}

/// The place that the first predicate from `at` on is about.
fn place_of(conditions: &Conditions, at: u32, end: u32) -> Option<ElementPlace> {
    (at..end).find_map(|at| match conditions.node(at)?.kind {
        NodeKind::Predicate(index) => match conditions.predicates.get(index as usize)?.attribute {
            Attribute::Element(place) => Some(place),
            _ => None,
        },
        _ => None,
    })
}

/// The field of the payload that a place within the elements of `over` is, through all arrays.
fn joined(table: &mut RouteTable, fields: &mut Interned, over: FieldIndex, place: ElementPlace) -> Option<FieldIndex> {
    let known = &mut table.fields;
    if place.outwards != 0 || place.field == FieldIndex::ITSELF || !known.is_through_arrays(place.field) {
        return None;
    }
    let first_name = known.names.len();
    let mut dots = 0;
    for field in [over, place.field] {
        let row = known.rows.get(field.0 as usize)?;
        dots |= row.dots << (known.names.len() - first_name);
        known.names.extend_from_within(row.names());
    }
    Some(intern_field(table, fields, first_name, true, dots).unwrap_or_else(|new| new))
}
