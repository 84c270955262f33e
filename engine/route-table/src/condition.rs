//! Conditions: trees of predicates, evaluated in three-valued logic.
//!
//! A tree lies flat in preorder; each node knows where its subtree ends. Predicates are shared: those that say the same are one,
//! whichever routes they stand in, and each is evaluated at most once per event.
//!
//! Truth is that of Kleene's strong logic of indeterminacy: `absent` is a value that may turn out either way, so `all` is false
//! as soon as one part is false, and absent only if the absent parts decide. CEL's `&&` and `||` treat errors alike
//! (<https://github.com/google/cel-spec/blob/master/doc/langdef.md#logical-operators>).

use crate::deliveries::Memo;
use crate::event::{Event, Value};
use crate::table::{Origin, Text};
use std::ops::Range;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Truth {
    False = 0,
    True = 1,
    Absent = 2,
}

impl Truth {
    fn not(self) -> Truth {
        match self {
            Truth::False => Truth::True,
            Truth::True => Truth::False,
            Truth::Absent => Truth::Absent,
        }
    }
}

impl From<bool> for Truth {
    fn from(value: bool) -> Truth {
        if value { Truth::True } else { Truth::False }
    }
}

/// Place of a tree's root among the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    /// The values of `in`, sorted within each predicate.
    pub(crate) literals: Vec<Text>,
    pub(crate) header_names: Vec<Text>,
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
}

/// One test of one attribute.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Predicate {
    pub(crate) attribute: Attribute,
    pub(crate) test: Test,
    pub(crate) on_missing: Truth,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Attribute {
    Key,
    Topic,
    EventType,
    Tenant,
    /// Place among the header names.
    Header(u32),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Test {
    Equals(Text),
    /// A run of `literals`.
    In {
        first: u32,
        count: u32,
    },
    Prefix(Text),
    Exists(bool),
}

/// What is known of the event under evaluation.
pub(crate) struct Facts<'e, E: ?Sized> {
    pub(crate) event: &'e E,
    pub(crate) event_type: &'e [u8],
    /// Where to look for the tenant, if anybody asks.
    pub(crate) tenant: Origin,
}

impl Conditions {
    pub(crate) fn clear(&mut self) {
        self.nodes.clear();
        self.predicates.clear();
        self.literals.clear();
        self.header_names.clear();
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>()
            + self.predicates.capacity() * size_of::<Predicate>()
            + (self.literals.capacity() + self.header_names.capacity()) * size_of::<Text>()
    }

    pub(crate) fn literals(&self, first: u32, count: u32) -> &[Text] {
        self.literals.get(range(first, count)).unwrap_or_default()
    }

    /// Depth is bounded by the limit `condition_depth`, so recursion is, too.
    pub(crate) fn evaluate<E: Event + ?Sized>(
        &self,
        texts: &str,
        at: u32,
        facts: &Facts<'_, E>,
        memo: &mut Memo,
    ) -> Truth {
        let Some(node) = self.nodes.get(at as usize) else { return Truth::False };
        let decisive = match node.kind {
            NodeKind::Predicate(index) => {
                return memo.get_or(index, || self.test(texts, index, facts));
            }
            NodeKind::Not => return self.evaluate(texts, at + 1, facts, memo).not(),
            NodeKind::All => Truth::False,
            NodeKind::Any => Truth::True,
        };
        let mut result = decisive.not();
        let mut child = at + 1;
        while child < node.end {
            match self.evaluate(texts, child, facts, memo) {
                truth if truth == decisive => return decisive,
                Truth::Absent => result = Truth::Absent,
                _ => {}
            }
            child = self.nodes.get(child as usize).map_or(node.end, |node| node.end);
        }
        result
    }

    fn test<E: Event + ?Sized>(&self, texts: &str, index: u32, facts: &Facts<'_, E>) -> Truth {
        let Some(predicate) = self.predicates.get(index as usize) else { return Truth::False };
        let value = match predicate.attribute {
            Attribute::Key => facts.event.key(),
            Attribute::Topic => Value::Bytes(facts.event.topic().as_bytes()),
            Attribute::EventType => Value::Bytes(facts.event_type),
            Attribute::Tenant => facts.tenant.of(texts, facts.event),
            Attribute::Header(name) => match self.header_names.get(name as usize) {
                Some(name) => facts.event.header(name.of(texts)),
                None => Value::Missing,
            },
        };
        if let Test::Exists(expected) = predicate.test {
            return Truth::from((value != Value::Missing) == expected);
        }
        let bytes = match value {
            Value::Missing => return predicate.on_missing,
            Value::Null => return Truth::False,
            Value::Bytes(bytes) => bytes,
        };
        Truth::from(match predicate.test {
            Test::Equals(text) => text.bytes_of(texts) == bytes,
            Test::Prefix(text) => bytes.starts_with(text.bytes_of(texts)),
            Test::In { first, count } => {
                let literals = self.literals(first, count);
                literals.binary_search_by(|text| text.bytes_of(texts).cmp(bytes)).is_ok()
            }
            Test::Exists(_) => false,
        })
    }
}

pub(crate) fn range(first: u32, count: u32) -> Range<usize> {
    first as usize..first as usize + count as usize
}
