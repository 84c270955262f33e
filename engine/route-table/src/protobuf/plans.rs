//! What is wanted of messages: for each plan and each message that it is asked of, the field numbers that lead to its fields.

use super::descriptors::{Descriptors, FieldRow, Holds, MessageId, Scalar};
use crate::condition::range;
use crate::values::Leaf;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// All plans of a route table, for all messages that they are asked of.
#[derive(Debug, Default)]
pub(crate) struct Plans {
    roots: HashMap<(u32, MessageId), Root, FixedState>,
    nodes: Vec<Node>,
    children: Vec<Child>,
    leaves: Vec<Leaf>,
    /// The values of the enums that somebody asks for, by number.
    symbols: Vec<(i32, (u32, u32))>,
    /// Those of one enum.
    enums: HashMap<u32, (u32, u32), FixedState>,
    /// The names of all symbols, one behind the other.
    names: String,
}

/// What one plan wants of one message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Root {
    pub(super) node: u32,
    /// Its children of all nodes stand together.
    pub(super) first_child: u32,
    pub(super) children: u32,
}

/// A message or map on the way to fields.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Node {
    pub(super) first_child: u32,
    pub(super) children: u32,
}

/// A field of a message, or an entry of a map.
#[derive(Clone, Copy, Debug)]
pub(super) struct Child {
    /// The field's number; of an entry that of its value.
    pub(super) number: u32,
    /// Of an entry.
    pub(super) key: Key,
    pub(super) holds: Holds,
    /// Of an enum: its symbols.
    pub(super) symbols: (u32, u32),
    pub(super) is_repeated: bool,
    pub(super) has_presence: bool,
    /// Of a member of a oneof: the place of one of them, where it is noted which of them is set.
    pub(super) oneof: Option<u32>,
    leaves: (u32, u32),
    /// Whether the value itself is wanted.
    pub(super) is_leaf: bool,
    /// What is wanted within it.
    pub(super) node: Option<u32>,
    /// Whether what is wanted of it, or within it, goes through arrays.
    pub(super) is_through: bool,
}

/// The key of a map's entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    None,
    /// Within the names.
    Text(u32, u32),
    /// The bits of a number, as a [`Found`](crate::found::Found) has them; of a truth value 0 or 1.
    Bits(Scalar, u64),
}

/// The key of an entry that was met.
#[derive(Clone, Copy, Debug)]
pub(super) enum KeyBytes<'p> {
    Text(&'p [u8]),
    Bits(u64),
}

/// A node while a plan is made.
#[derive(Default)]
struct Draft<'d> {
    /// By their numbers, and by the keys of entries as they are named.
    children: BTreeMap<(u32, Option<&'d str>), DraftChild<'d>>,
}

struct DraftChild<'d> {
    field: &'d FieldRow,
    /// The type of the key, of an entry.
    key: Option<Scalar>,
    leaves: Vec<Leaf>,
    within: Draft<'d>,
}

/// What a field holds that a plan goes on from.
#[derive(Clone, Copy)]
enum Place {
    Message(MessageId),
    Map(MessageId),
}

impl Place {
    fn of(field: &FieldRow) -> Option<Place> {
        match field.holds {
            Holds::Message { id, .. } => Some(Place::Message(id)),
            Holds::Map(entry) => Some(Place::Map(entry)),
            Holds::Scalar(_) | Holds::Wrapped(..) => None,
        }
    }
}

impl Plans {
    pub(crate) fn clear(&mut self) {
        self.roots.clear();
        self.nodes.clear();
        self.children.clear();
        self.leaves.clear();
        self.symbols.clear();
        self.enums.clear();
        self.names.clear();
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.roots.allocation_size()
            + self.nodes.capacity() * size_of::<Node>()
            + self.children.capacity() * size_of::<Child>()
            + self.leaves.capacity() * size_of::<Leaf>()
            + self.symbols.capacity() * size_of::<(i32, (u32, u32))>()
            + self.enums.allocation_size()
            + self.names.capacity()
    }

    /// How many fields of messages all plans look at.
    pub(crate) fn size(&self) -> usize {
        self.children.len()
    }

    /// The names that [`Typed::Symbol`](crate::found::Typed::Symbol) lies in.
    #[inline]
    pub(crate) fn names(&self) -> &str {
        &self.names
    }

    /// Whether a plan was added for a message.
    pub(crate) fn has(&self, plan: u32, message: MessageId) -> bool {
        self.roots.contains_key(&(plan, message))
    }

    /// Adds what the plan of this number wants of a message: names and whether they go through arrays, in the order of the fields. A
    /// field that the message does not have is missing.
    pub(crate) fn add<'f>(
        &mut self,
        descriptors: &'f Descriptors,
        (plan, message): (u32, MessageId),
        fields: impl Iterator<Item = (Vec<&'f str>, bool)>,
    ) {
        let mut root = Draft::default();
        for (field, (names, through)) in (0..).zip(fields) {
            root.insert(descriptors, Place::Message(message), &names, Leaf { field, through });
        }
        let first_child = self.children.len() as u32;
        let node = self.settle(descriptors, &root, Place::Message(message));
        let children = self.children.len() as u32 - first_child;
        self.roots.insert((plan, message), Root { node, first_child, children });
    }

    fn settle(&mut self, descriptors: &Descriptors, draft: &Draft<'_>, place: Place) -> u32 {
        let first = self.children.len();
        for ((_, name), child) in &draft.children {
            let key = self.key(child.key, name.unwrap_or_default());
            let drafted = self.child(descriptors, child, key);
            self.children.push(drafted);
        }
        if let Place::Message(message) = place {
            self.add_rivals(descriptors, message, first);
        }
        let node = self.nodes.len() as u32;
        self.nodes.push(Node { first_child: first as u32, children: (self.children.len() - first) as u32 });
        for (at, child) in (first..).zip(draft.children.values()) {
            let Some(place) = Place::of(child.field).filter(|_| !child.within.children.is_empty()) else { continue };
            let within = self.settle(descriptors, &child.within, place);
            if let Some(settled) = self.children.get_mut(at) {
                settled.node = Some(within);
            }
        }
        let of_node = range(first as u32, self.node(node).children);
        let of_node = self.children.get_mut(of_node).unwrap_or_default();
        // Keys that are texts are in their order already.
        of_node.sort_by_key(|child| (child.number, child.key.bits()));
        let mut first_members: BTreeMap<u32, u32> = BTreeMap::new();
        for (at, child) in (first as u32..).zip(of_node) {
            child.oneof = child.oneof.map(|oneof| *first_members.entry(oneof).or_insert(at));
        }
        node
    }

    fn child(&mut self, descriptors: &Descriptors, child: &DraftChild<'_>, key: Key) -> Child {
        let FieldRow { number, holds, is_repeated, has_presence, oneof, .. } = *child.field;
        let leaves = (self.leaves.len() as u32, child.leaves.len() as u32);
        self.leaves.extend_from_slice(&child.leaves);
        let is_entry = key != Key::None;
        Child {
            number,
            key,
            holds,
            symbols: self.symbols_of(descriptors, holds),
            is_repeated,
            // An entry that is not there has no value, whatever a value would be by default.
            has_presence: has_presence || is_entry,
            oneof,
            leaves,
            is_leaf: !child.leaves.is_empty(),
            node: None,
            is_through: child.is_through(),
        }
    }

    /// The other members of the oneofs of a node's children: one of them takes the place of a child.
    fn add_rivals(&mut self, descriptors: &Descriptors, message: MessageId, first: usize) {
        let own = self.children.get(first..).unwrap_or_default();
        let is_rival = |field: &&FieldRow| {
            field.oneof.is_some()
                && own.iter().any(|child| child.oneof == field.oneof)
                && own.iter().all(|child| child.number != field.number)
        };
        let rivals: Vec<Child> = descriptors
            .fields(message)
            .iter()
            .filter(is_rival)
            .map(|field| Child {
                number: field.number,
                key: Key::None,
                holds: field.holds,
                symbols: (0, 0),
                is_repeated: false,
                has_presence: true,
                oneof: field.oneof,
                leaves: (0, 0),
                is_leaf: false,
                node: None,
                is_through: false,
            })
            .collect();
        self.children.extend(rivals);
    }

    fn key(&mut self, holds: Option<Scalar>, name: &str) -> Key {
        match holds {
            None => Key::None,
            Some(Scalar::Text) => {
                self.names.push_str(name);
                Key::Text((self.names.len() - name.len()) as u32, name.len() as u32)
            }
            Some(Scalar::Bool) => Key::Bits(Scalar::Bool, u64::from(name == "true")),
            Some(holds) => {
                let bits = name.parse::<i64>().map_or_else(|_| name.parse().unwrap_or_default(), |key| key as u64);
                Key::Bits(holds, bits)
            }
        }
    }

    fn symbols_of(&mut self, descriptors: &Descriptors, holds: Holds) -> (u32, u32) {
        let Holds::Scalar(Scalar::Enum(number)) = holds else { return (0, 0) };
        if let Some(known) = self.enums.get(&number) {
            return *known;
        }
        let first = self.symbols.len();
        for (value, name) in descriptors.symbols(number) {
            self.symbols.push((*value, (self.names.len() as u32, name.len() as u32)));
            self.names.push_str(name);
        }
        // The first name of a number counts, and the order of equal ones is kept.
        self.symbols.get_mut(first..).unwrap_or_default().sort_by_key(|(value, _)| *value);
        let symbols = (first as u32, (self.symbols.len() - first) as u32);
        self.enums.insert(number, symbols);
        symbols
    }

    #[inline]
    pub(super) fn root(&self, plan: u32, message: MessageId) -> Option<&Root> {
        self.roots.get(&(plan, message))
    }

    #[inline]
    pub(super) fn node(&self, node: u32) -> Node {
        self.nodes.get(node as usize).copied().unwrap_or_default()
    }

    #[inline]
    pub(super) fn child_at(&self, at: u32) -> Option<&Child> {
        self.children.get(at as usize)
    }

    /// The children of a node, by their numbers.
    #[inline]
    pub(super) fn children(&self, node: Node) -> &[Child] {
        self.children.get(range(node.first_child, node.children)).unwrap_or_default()
    }

    #[inline]
    pub(super) fn leaves(&self, child: &Child) -> &[Leaf] {
        self.leaves.get(range(child.leaves.0, child.leaves.1)).unwrap_or_default()
    }

    /// The child of a map's node that is about entries with this key.
    #[inline]
    pub(super) fn entry(&self, node: Node, key: KeyBytes<'_>) -> Option<(u32, &Child)> {
        let children = self.children(node);
        let at = children.binary_search_by(|child| match (child.key, key) {
            (Key::Text(at, length), KeyBytes::Text(text)) => {
                self.names.as_bytes().get(range(at, length)).unwrap_or_default().cmp(text)
            }
            (key, KeyBytes::Bits(bits)) => key.bits().cmp(&bits),
            (_, KeyBytes::Text(_)) => Ordering::Less,
        });
        let at = at.ok()?;
        Some((node.first_child + at as u32, children.get(at)?))
    }

    /// The place of the name of an enum's value.
    #[inline]
    pub(super) fn symbol(&self, (first, count): (u32, u32), value: i32) -> Option<(u32, u32)> {
        let symbols = self.symbols.get(range(first, count))?;
        let at = symbols.partition_point(|(other, _)| *other < value);
        symbols.get(at).filter(|(other, _)| *other == value).map(|(_, name)| *name)
    }
}

impl Key {
    fn bits(self) -> u64 {
        match self {
            Key::Bits(_, bits) => bits,
            Key::None | Key::Text(..) => 0,
        }
    }
}

impl<'d> Draft<'d> {
    fn insert(&mut self, descriptors: &'d Descriptors, place: Place, names: &[&'d str], leaf: Leaf) {
        let Some((name, rest)) = names.split_first() else { return };
        let (field, key) = match place {
            Place::Message(message) => (descriptors.field(message, name), None),
            Place::Map(entry) => {
                let Some((key, value)) = descriptors.entry(entry) else { return };
                if !is_key(key, name) {
                    return;
                }
                (Some(value), Some(key))
            }
        };
        let Some(field) = field else { return };
        let new = || DraftChild { field, key, leaves: Vec::new(), within: Draft::default() };
        let child = self.children.entry((field.number, key.map(|_| *name))).or_insert_with(new);
        match (rest, Place::of(field)) {
            ([], _) => child.leaves.push(leaf),
            (_, Some(place)) => child.within.insert(descriptors, place, rest, leaf),
            (_, None) => {}
        }
    }
}

impl DraftChild<'_> {
    fn is_through(&self) -> bool {
        self.leaves.iter().any(|leaf| leaf.through) || self.within.children.values().any(DraftChild::is_through)
    }
}

/// Whether a key of a map can be written so, letter by letter.
fn is_key(key: Scalar, name: &str) -> bool {
    match key {
        Scalar::Text => true,
        Scalar::Bool => name == "true" || name == "false",
        Scalar::Int32 | Scalar::Sint32 | Scalar::Sfixed32 => {
            name.parse::<i32>().is_ok_and(|key| key.to_string() == name)
        }
        Scalar::Int64 | Scalar::Sint64 | Scalar::Sfixed64 => {
            name.parse::<i64>().is_ok_and(|key| key.to_string() == name)
        }
        Scalar::Uint32 | Scalar::Fixed32 => name.parse::<u32>().is_ok_and(|key| key.to_string() == name),
        _ => name.parse::<u64>().is_ok_and(|key| key.to_string() == name),
    }
}
