//! What can be proved of conditions: that one holds whenever another does, that one never holds.
//!
//! Whatever is said here is so; much that is so is not found. Values are tried with the very tests of the table. What holds of one value
//! need not hold of another, so nothing is made of two tests of a place that can have several values, unless one follows from the other.
//! Each proof costs steps; when they are used up, nothing more is proved.
//!
//! Two ask for proofs: the compiler, which merges routes, and the analysis, which tells people about them. The compiler has little time and
//! takes no memory, so that it compares trees as they lie there; the analysis also compares what they would be told as.

use crate::canonical::canonical;
use crate::condition::{AnyElement, ConditionIndex, Node, NodeKind, Truth};
use crate::fields::FieldIndex;
use crate::predicate::{Attribute, Bound, Bounds, Datum, Literal, Predicate, Test, Types};
use crate::share::Share;
use crate::table::{RouteTable, Text};
use std::cmp::Ordering;

/// Proves things of the conditions of a table.
pub(crate) struct Prover<'t> {
    table: &'t RouteTable,
    /// How much work may still be done.
    steps: u64,
    /// Whether parts that are spelled differently may be put into words to find that they say the same, which takes memory.
    tells: bool,
    /// For texts that are tried in lower case.
    folded: Vec<u8>,
}

/// A test that is true of a text.
#[derive(Clone, Copy)]
enum Part<'t> {
    Prefix(&'t [u8]),
    Suffix(&'t [u8]),
    Contains(&'t [u8]),
}

impl<'t> Prover<'t> {
    pub(crate) fn new(table: &'t RouteTable, steps: u64) -> Self {
        Prover { table, steps, tells: true, folded: Vec::new() }
    }

    /// One that takes next to no memory, and has no steps before it is given some.
    pub(crate) fn frugal(table: &'t RouteTable) -> Self {
        Prover { tells: false, ..Prover::new(table, 0) }
    }

    pub(crate) fn give(&mut self, steps: u64) {
        self.steps = steps;
    }

    /// Whether there was enough work to be had for all that was asked.
    pub(crate) fn is_complete(&self) -> bool {
        self.steps > 0
    }

    /// Takes a step; `false` if there is none left.
    pub(crate) fn step(&mut self) -> bool {
        self.steps = self.steps.saturating_sub(1);
        self.steps > 0
    }

    /// Whether condition `b` is true whenever `a` is.
    pub(crate) fn follows(&mut self, a: ConditionIndex, b: ConditionIndex) -> bool {
        match (a, b) {
            (_, ConditionIndex::ALWAYS) => true,
            (ConditionIndex::ALWAYS, _) => false,
            (ConditionIndex(a), ConditionIndex(b)) => self.implies(a, b),
        }
    }

    fn node(&self, at: u32) -> Option<Node> {
        self.table.conditions.node(at)
    }

    fn implies(&mut self, a: u32, b: u32) -> bool {
        let (Some(of_a), Some(of_b)) = (self.node(a), self.node(b)) else { return false };
        if !self.step() {
            return false;
        }
        let table = self.table;
        match (of_a.kind, of_b.kind) {
            (NodeKind::Payload(_), _) => self.implies(a + 1, b),
            (_, NodeKind::Payload(_)) => self.implies(a, b + 1),
            (_, NodeKind::All) => table.children(b, of_b.end).all(|part| self.implies(a, part)),
            (NodeKind::Any, _) => table.children(a, of_a.end).all(|part| self.implies(part, b)),
            (NodeKind::Predicate(p), NodeKind::Predicate(q)) => self.test_follows(p, q),
            (NodeKind::AnyElement(p), NodeKind::AnyElement(q)) => self.any_follows(a, p, b, q),
            // What makes a condition false need not make another one false that follows from it: it may be absent.
            (NodeKind::Not, NodeKind::Not) => self.is_same(a + 1, b + 1),
            (NodeKind::All, _) if table.children(a, of_a.end).any(|part| self.implies(part, b)) => true,
            (_, NodeKind::Any) => table.children(b, of_b.end).any(|part| self.implies(a, part)),
            _ => false,
        }
    }

    fn is_same(&mut self, a: u32, b: u32) -> bool {
        let told = |at| self.table.condition_at(at).as_ref().map(canonical);
        self.table.conditions.is_same_tree(a, b) || (self.tells && told(a) == told(b))
    }

    fn any_follows(&mut self, a: u32, p: u32, b: u32, q: u32) -> bool {
        let any = |index: u32| self.table.conditions.any_elements.get(index as usize).copied();
        let (Some(p), Some(q)) = (any(p), any(q)) else { return false };
        let AnyElement { over, on_missing, on_other_type, .. } = p;
        over == q.over
            && (on_missing != Truth::True || q.on_missing == Truth::True)
            && (on_other_type != Truth::True || q.on_other_type == Truth::True)
            && self.implies(a + 1, b + 1)
    }

    fn predicate(&self, index: u32) -> Option<&'t Predicate> {
        self.table.conditions.predicates.get(index as usize)
    }

    /// Whether test `q` is true whenever `p` is.
    fn test_follows(&mut self, p: u32, q: u32) -> bool {
        let told = |index| self.table.predicate_at(index);
        let (Some(of_p), Some(of_q)) = (self.predicate(p), self.predicate(q)) else { return false };
        match (of_p.test, of_q.test) {
            _ if p == q => return true,
            // Compiled: they are equal if they are told alike.
            (Test::Cidr(_), Test::Cidr(_)) | (Test::Wildcard(_), Test::Wildcard(_)) => {
                return self.tells && told(p) == told(q);
            }
            _ => {}
        }
        if of_p.attribute != of_q.attribute
            || of_p.text_as_number != of_q.text_as_number
            || (of_p.of_missing() == Truth::True && of_q.of_missing() != Truth::True)
            || !holds_of_its_types_only(of_p)
        {
            return false;
        }
        match (of_p.test, of_q.test) {
            // True where there is nothing: what the other one says of that was asked above.
            (Test::Exists(false), _) => true,
            (_, Test::Exists(is)) => is,
            (_, Test::Types) => of_p.about.0 & !of_q.about.0 == 0,
            _ if of_p.ignore_case != of_q.ignore_case => false,
            (Test::Equals(_) | Test::In { .. }, _) => {
                self.values(of_p).all(|value| self.says(of_q, value) == Some(Truth::True))
            }
            (Test::Range(p), Test::Range(q)) => self.is_within(p, q),
            (Test::Share(p), Test::Share(q)) => {
                self.shares(p, q).is_some_and(|(p, q)| q.from <= p.from && p.to <= q.to)
            }
            _ => match (self.part(of_p), self.part(of_q)) {
                (Some(Part::Prefix(p)), Some(Part::Prefix(q))) => p.starts_with(q),
                (Some(Part::Suffix(p)), Some(Part::Suffix(q))) => p.ends_with(q),
                (Some(Part::Prefix(p) | Part::Suffix(p) | Part::Contains(p)), Some(Part::Contains(q))) => {
                    memchr::memmem::find(p, q).is_some()
                }
                _ => false,
            },
        }
    }

    /// Whether the condition is true of no event.
    pub(crate) fn never(&mut self, condition: ConditionIndex) -> bool {
        match condition {
            ConditionIndex::ALWAYS => false,
            ConditionIndex(root) => self.is_never(root),
        }
    }

    fn is_never(&mut self, at: u32) -> bool {
        let Some(node) = self.node(at) else { return false };
        if !self.step() {
            return false;
        }
        let table = self.table;
        match node.kind {
            NodeKind::Payload(_) => self.is_never(at + 1),
            NodeKind::Any => table.children(at, node.end).all(|part| self.is_never(part)),
            NodeKind::AnyElement(index) => {
                let any = table.conditions.any_elements.get(index as usize);
                any.is_some_and(|any| any.on_missing != Truth::True && any.on_other_type != Truth::True)
                    && self.is_never(at + 1)
            }
            NodeKind::All => {
                let mut parts = Vec::new();
                self.parts(at, node.end, &mut parts);
                let pairs = (0..parts.len()).flat_map(|a| (0..a).map(move |b| (a, b)));
                parts.iter().any(|part| self.is_never(*part))
                    || pairs.into_iter().any(|(a, b)| match (parts.get(a), parts.get(b)) {
                        (Some(a), Some(b)) => self.excludes(*a, *b),
                        _ => false,
                    })
            }
            NodeKind::Predicate(index) => self.predicate(index).is_some_and(is_of_no_value),
            NodeKind::Not => false,
        }
    }

    /// The parts of an `all`, with those of an `all` among them as its own.
    fn parts(&self, at: u32, end: u32, parts: &mut Vec<u32>) {
        for child in self.table.children(at, end) {
            match self.node(child) {
                Some(Node { kind: NodeKind::All, end }) => self.parts(child, end, parts),
                _ => parts.push(child),
            }
        }
    }

    /// Whether the two are never true of the same event.
    fn excludes(&mut self, a: u32, b: u32) -> bool {
        let (Some(of_a), Some(of_b)) = (self.node(a), self.node(b)) else { return false };
        if !self.step() {
            return false;
        }
        match (of_a.kind, of_b.kind) {
            (NodeKind::Not, NodeKind::Not) => false,
            (NodeKind::Not, _) => self.implies(b, a + 1),
            (_, NodeKind::Not) => self.implies(a, b + 1),
            (NodeKind::Predicate(p), NodeKind::Predicate(q)) => self.tests_exclude(p, q),
            _ => false,
        }
    }

    fn tests_exclude(&mut self, p: u32, q: u32) -> bool {
        let (Some(p), Some(q)) = (self.predicate(p), self.predicate(q)) else { return false };
        if p.attribute != q.attribute || p.text_as_number != q.text_as_number || !self.has_one_value(p.attribute) {
            return false;
        }
        if (p.of_missing() == Truth::True && q.of_missing() == Truth::True)
            || ![p, q].into_iter().all(holds_of_its_types_only)
        {
            return false;
        }
        let is_absence = |predicate: &Predicate| matches!(predicate.test, Test::Exists(false));
        if is_absence(p) || is_absence(q) || p.about.0 & q.about.0 == 0 {
            return true;
        }
        if p.ignore_case != q.ignore_case {
            return false;
        }
        match (p.test, q.test) {
            (Test::Equals(_) | Test::In { .. }, _) => {
                self.values(p).all(|value| self.says(q, value).is_some_and(|says| says != Truth::True))
            }
            (_, Test::Equals(_) | Test::In { .. }) => {
                self.values(q).all(|value| self.says(p, value).is_some_and(|says| says != Truth::True))
            }
            (Test::Range(p), Test::Range(q)) => self.are_apart(p, q) || self.are_apart(q, p),
            (Test::Share(p), Test::Share(q)) => {
                self.shares(p, q).is_some_and(|(p, q)| p.to <= q.from || q.to <= p.from)
            }
            _ => match (self.part(p), self.part(q)) {
                (Some(Part::Prefix(p)), Some(Part::Prefix(q))) => !p.starts_with(q) && !q.starts_with(p),
                (Some(Part::Suffix(p)), Some(Part::Suffix(q))) => !p.ends_with(q) && !q.ends_with(p),
                _ => false,
            },
        }
    }

    fn has_one_value(&self, attribute: Attribute) -> bool {
        match attribute {
            Attribute::Field(field) => !self.table.fields.is_through_arrays(field),
            Attribute::Element(place) => {
                !place.through_arrays
                    && (place.field == FieldIndex::ITSELF || !self.table.fields.is_through_arrays(place.field))
            }
            _ => true,
        }
    }

    /// The values that a test for equality names.
    fn values(&self, predicate: &'t Predicate) -> impl Iterator<Item = Literal> + use<'t> {
        let (one, list): (Option<Literal>, &[Literal]) = match predicate.test {
            Test::Equals(value) => (Some(value), &[]),
            Test::In { first, count } => (None, self.table.conditions.literals.list(first, count)),
            _ => (None, &[]),
        };
        one.into_iter().chain(list.iter().copied())
    }

    /// What a test says of a value. `None`: it can't be tried.
    fn says(&mut self, predicate: &Predicate, value: Literal) -> Option<Truth> {
        let RouteTable { conditions, texts, .. } = self.table;
        let datum = match value {
            Literal::Text(text) => Datum::Text(text.bytes_of(texts)),
            Literal::Number(place) => Datum::Number(conditions.literals.decimals.get(place as usize)?.number(texts)),
            Literal::Boolean(value) => Datum::Boolean(value),
            Literal::Null => Datum::Null,
        };
        Some(conditions.literals.test(texts, predicate, &datum, &mut self.folded))
    }

    fn bounds(&self, place: u32) -> Option<&'t Bounds> {
        self.table.conditions.literals.bounds.get(place as usize)
    }

    /// How two bounds lie to each other; `None` if they are of different types.
    fn order(&self, a: Bound, b: Bound) -> Option<Ordering> {
        let is_of_one_type = a.literal.types() == b.literal.types();
        let order = self.table.conditions.literals.order(&self.table.texts, &a.literal, &b.literal);
        is_of_one_type.then_some(order)
    }

    /// Whether range `q` has all of range `p`.
    fn is_within(&self, p: u32, q: u32) -> bool {
        let (Some(p), Some(q)) = (self.bounds(p), self.bounds(q)) else { return false };
        let reaches = |inner: Option<Bound>, outer: Option<Bound>, inwards: Ordering| match (inner, outer) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(inner), Some(outer)) => match self.order(inner, outer) {
                Some(Ordering::Equal) => outer.inclusive || !inner.inclusive,
                order => order == Some(inwards),
            },
        };
        let type_of = |bounds: &Bounds| bounds.lower.or(bounds.upper).map(|bound| bound.literal.types());
        type_of(p) == type_of(q)
            && reaches(p.lower, q.lower, Ordering::Greater)
            && reaches(p.upper, q.upper, Ordering::Less)
    }

    /// Whether all of range `p` lies below all of range `q`.
    fn are_apart(&self, p: u32, q: u32) -> bool {
        let (Some(p), Some(q)) = (self.bounds(p), self.bounds(q)) else { return false };
        let (Some(upper), Some(lower)) = (p.upper, q.lower) else { return false };
        match self.order(upper, lower) {
            Some(Ordering::Less) => true,
            Some(Ordering::Equal) => !(upper.inclusive && lower.inclusive),
            _ => false,
        }
    }

    /// Two shares of one whole.
    fn shares(&self, p: u32, q: u32) -> Option<(&'t Share, &'t Share)> {
        let RouteTable { conditions, texts, .. } = self.table;
        let share = |place: u32| conditions.literals.shares.get(place as usize);
        let (p, q) = (share(p)?, share(q)?);
        (p.salt.of(texts) == q.salt.of(texts)).then_some((p, q))
    }

    fn part(&self, predicate: &Predicate) -> Option<Part<'t>> {
        let bytes = |text: Text| text.bytes_of(&self.table.texts);
        match predicate.test {
            Test::Prefix(text) => Some(Part::Prefix(bytes(text))),
            Test::Suffix(text) => Some(Part::Suffix(bytes(text))),
            Test::Contains(text) => Some(Part::Contains(bytes(text))),
            _ => None,
        }
    }
}

fn holds_of_its_types_only(predicate: &Predicate) -> bool {
    matches!(predicate.test, Test::Exists(_) | Test::Types) || predicate.on_other_type != Truth::True
}

/// Whether a test is about types that its attribute never has: what is not in the payload is text, or null, and a time a number.
fn is_of_no_value(predicate: &Predicate) -> bool {
    let types = match predicate.attribute {
        Attribute::Key | Attribute::Topic | Attribute::EventType | Attribute::Tenant | Attribute::Header(_) => {
            Types::TEXT.with(Types::NULL)
        }
        Attribute::Timestamp => Types::NUMBER,
        Attribute::Field(_) | Attribute::Element(_) | Attribute::Lookup(_) => return false,
    };
    let is_about = predicate.about.0 & types.0 != 0 || predicate.text_as_number;
    !is_about && predicate.on_other_type != Truth::True && predicate.of_missing() != Truth::True
}
