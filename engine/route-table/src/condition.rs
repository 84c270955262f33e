//! Conditions: trees of predicates, evaluated in three-valued logic.
//!
//! A tree lies flat in preorder; each node knows where its subtree ends. Predicates are shared: those that say the same are one,
//! whichever routes they stand in.
//!
//! Truth is that of Kleene's strong logic of indeterminacy: `absent` is a value that may turn out either way, so `all` is false
//! as soon as one part is false, and absent only if the absent parts decide. CEL's `&&` and `||` treat errors alike
//! (<https://github.com/google/cel-spec/blob/master/doc/langdef.md#logical-operators>). A condition that depends on an answer which is
//! not there yet is none of the three; it stands for all that it may become.

use crate::fields::{FieldIndex, PlanIndex};
use crate::lookups::Pending;
use crate::predicate::{ElementPlace, Literals, Predicate};
use crate::table::Text;
use std::ops::Range;

/// What a condition, or a part of one, yields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Truth {
    /// It does not hold.
    False,
    /// It holds.
    True,
    /// It can't be said: something that it is about is not there, or of another type.
    Absent,
    /// It depends on what has to be looked up.
    Pending(Pending),
}

impl Truth {
    pub(crate) fn not(self) -> Truth {
        match self {
            Truth::False => Truth::True,
            Truth::True => Truth::False,
            Truth::Absent => Truth::Absent,
            Truth::Pending(pending) => Truth::Pending(pending.not()),
        }
    }

    /// What `all` makes of its parts.
    pub(crate) fn and(self, other: Truth) -> Truth {
        self.not().or(other.not()).not()
    }

    /// What `any` makes of its parts.
    pub(crate) fn or(self, other: Truth) -> Truth {
        match (self, other) {
            (Truth::True, _) | (_, Truth::True) => Truth::True,
            (Truth::False, other) | (other, Truth::False) => other,
            (Truth::Absent, Truth::Absent) => Truth::Absent,
            (Truth::Pending(pending), Truth::Absent) | (Truth::Absent, Truth::Pending(pending)) => pending.or_absent(),
            (Truth::Pending(one), Truth::Pending(other)) => Truth::Pending(one.or(other)),
        }
    }
}

impl From<bool> for Truth {
    fn from(value: bool) -> Truth {
        if value { Truth::True } else { Truth::False }
    }
}

/// Place of a tree's root among the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ConditionIndex(pub(crate) u32);

impl ConditionIndex {
    /// The condition of a route that has none.
    pub(crate) const ALWAYS: ConditionIndex = ConditionIndex(u32::MAX);
}

/// All conditions of a table.
#[derive(Debug, Default)]
pub(crate) struct Conditions {
    pub(crate) nodes: Vec<Node>,
    pub(crate) predicates: Vec<Predicate>,
    pub(crate) any_elements: Vec<AnyElement>,
    pub(crate) literals: Literals,
    pub(crate) header_names: Vec<Text>,
    /// How many `any_element`s stand within each other, at most.
    pub(crate) element_depth: u32,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    pub(crate) kind: NodeKind,
    /// One past the last node of this subtree.
    pub(crate) end: u32,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum NodeKind {
    All,
    Any,
    Not,
    /// Place among the predicates.
    Predicate(u32),
    /// Place among the any_elements.
    AnyElement(u32),
    /// The root of a tree that asks for fields of the payload: those of this plan. Its only child is the tree.
    Payload(PlanIndex),
}

/// What an `any_element` goes over, and what it says if there is nothing to go over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct AnyElement {
    pub(crate) over: Over,
    /// What its condition asks of each element.
    pub(crate) plan: Option<PlanIndex>,
    pub(crate) on_missing: Truth,
    pub(crate) on_other_type: Truth,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Over {
    Field(FieldIndex),
    Element(ElementPlace),
}

impl Conditions {
    pub(crate) fn clear(&mut self) {
        self.nodes.clear();
        self.predicates.clear();
        self.any_elements.clear();
        self.literals.clear();
        self.header_names.clear();
        self.element_depth = 0;
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>()
            + self.predicates.capacity() * size_of::<Predicate>()
            + self.any_elements.capacity() * size_of::<AnyElement>()
            + self.literals.memory_bytes()
            + self.header_names.capacity() * size_of::<Text>()
    }

    /// What the tree at `root` asks of the payload.
    pub(crate) fn plan_of(&self, root: Option<ConditionIndex>) -> Option<PlanIndex> {
        match self.node(root?.0)?.kind {
            NodeKind::Payload(plan) => Some(plan),
            _ => None,
        }
    }

    pub(crate) fn node(&self, at: u32) -> Option<Node> {
        self.nodes.get(at as usize).copied()
    }

    /// Whether two trees are the same, part by part and in the same order: then they yield the same of every event, and ask for the same
    /// lookups first.
    pub(crate) fn is_same_tree(&self, a: u32, b: u32) -> bool {
        let tree = |at: u32| self.node(at).and_then(|node| self.nodes.get(at as usize..node.end as usize));
        let any = |index: u32| self.any_elements.get(index as usize);
        let is_same = |(one, other): (&Node, &Node)| {
            one.end.wrapping_sub(a) == other.end.wrapping_sub(b)
                && match (one.kind, other.kind) {
                    (NodeKind::All, NodeKind::All) | (NodeKind::Any, NodeKind::Any) => true,
                    (NodeKind::Not, NodeKind::Not) => true,
                    // Those that say the same are one.
                    (NodeKind::Predicate(one), NodeKind::Predicate(other)) => one == other,
                    (NodeKind::Payload(one), NodeKind::Payload(other)) => one == other,
                    (NodeKind::AnyElement(one), NodeKind::AnyElement(other)) => any(one) == any(other),
                    _ => false,
                }
        };
        match (tree(a), tree(b)) {
            (Some(one), Some(other)) => one.len() == other.len() && one.iter().zip(other).all(is_same),
            _ => false,
        }
    }
}

pub(crate) fn range(first: u32, count: u32) -> Range<usize> {
    first as usize..first as usize + count as usize
}
