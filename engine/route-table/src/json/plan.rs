//! What is wanted of payloads: plans, each a tree of field names, all of one route table side by side in flat arrays.

use crate::interned::Interned;
use crate::values::Leaf;
use foldhash::fast::FixedState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};

/// One field that a plan asks for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<N> {
    /// The names that lead to it, from the outermost object inwards; at least one, or there is no such field.
    pub names: N,
    /// Whether arrays on the way, or at the end, stand for their elements.
    pub through_arrays: bool,
}

/// A plan's place among those it was made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PlanIndex(pub u32);

/// All plans of a route table. Made once, read by every [`Reader`](super::Reader).
#[derive(Debug)]
pub struct Plans {
    /// Differs from that of all other plans, and of these before they were cleared.
    identity: u64,
    plans: Vec<Plan>,
    nodes: Vec<Node>,
    children: Vec<Child>,
    leaves: Vec<Leaf>,
    /// Names in quotes.
    texts: Vec<u8>,
    /// Hash tables of nodes with many children, by open addressing: 0, or a child's place within its node plus one.
    slots: Vec<u32>,
    draft: Draft,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// Where its nodes begin: the first one is the outermost object.
    pub(super) root: u32,
    pub(super) nodes: u32,
    pub(super) fields: u32,
}

/// A name on the way to fields: what is wanted of the value that it leads to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Node {
    children: u32,
    /// Names below it, and how many of them lead to a field through arrays.
    pub(super) wanted: u32,
    pub(super) wanted_through: u32,
    leaves: u32,
    leaf_count: u32,
    slots: u32,
    /// How many slots less one; 0 if there are none.
    slot_mask: u32,
    /// Whether the value itself is wanted, or its elements if it is an array.
    pub(super) leaf: bool,
    pub(super) leaf_through: bool,
}

/// A name in an object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Child {
    /// The first and the last eight bytes of the quoted name, zeros after its end.
    head: u64,
    tail: u64,
    /// Of the quoted name. `UNWRITABLE` if a payload can hold the name in no way but with escapes.
    length: u32,
    text: u32,
    text_length: u32,
    pub(super) node: u32,
}

const UNWRITABLE: u32 = u32::MAX;
/// Nodes with more children than this have a hash table.
const FEW: usize = 8;

/// A plan while it is made.
#[derive(Debug, Default)]
struct Draft {
    nodes: Vec<DraftNode>,
    leaves: Vec<(u32, Leaf)>,
    by_name: Interned,
    order: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct DraftNode {
    parent: u32,
    text: u32,
    text_length: u32,
    through: bool,
}

impl Default for Plans {
    fn default() -> Self {
        Plans {
            identity: new_identity(),
            plans: Vec::new(),
            nodes: Vec::new(),
            children: Vec::new(),
            leaves: Vec::new(),
            texts: Vec::new(),
            slots: Vec::new(),
            draft: Draft::default(),
        }
    }
}

fn new_identity() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn hash(text: &[u8]) -> u64 {
    FixedState::with_seed(0).hash_one(text)
}

impl Plans {
    /// Drops all plans and keeps their memory.
    pub fn clear(&mut self) {
        self.identity = new_identity();
        self.plans.clear();
        self.nodes.clear();
        self.children.clear();
        self.leaves.clear();
        self.texts.clear();
        self.slots.clear();
    }

    /// Memory that the plans hold, spare room included.
    pub fn memory_bytes(&self) -> usize {
        self.plans.capacity() * size_of::<Plan>()
            + self.nodes.capacity() * size_of::<Node>()
            + self.children.capacity() * size_of::<Child>()
            + self.leaves.capacity() * size_of::<Leaf>()
            + self.texts.capacity()
            + self.slots.capacity() * size_of::<u32>()
            + self.draft.nodes.capacity() * size_of::<DraftNode>()
            + self.draft.leaves.capacity() * size_of::<(u32, Leaf)>()
            + self.draft.by_name.memory_bytes()
            + self.draft.order.capacity() * size_of::<u32>()
    }

    /// Adds a plan that asks for these fields; their numbers are their places in the list. A field may lie within another, and the same
    /// one may be asked for twice.
    pub fn add<'a, N: IntoIterator<Item = &'a str>>(
        &mut self,
        fields: impl IntoIterator<Item = Wanted<N>>,
    ) -> PlanIndex {
        self.draft.nodes.clear();
        self.draft.leaves.clear();
        self.draft.by_name.clear();
        self.draft.nodes.push(DraftNode { parent: u32::MAX, text: 0, text_length: 0, through: false });
        let mut count = 0;
        for field in fields {
            let mut node = 0;
            for name in field.names {
                node = self.draft_child(node, name);
                if let Some(drafted) = self.draft.nodes.get_mut(node as usize) {
                    drafted.through |= field.through_arrays;
                }
            }
            if node != 0 {
                self.draft.leaves.push((node, Leaf { field: count, through: field.through_arrays }));
            }
            count += 1;
        }
        let index = PlanIndex(self.plans.len() as u32);
        self.plans.push(Plan { root: self.nodes.len() as u32, nodes: self.draft.nodes.len() as u32, fields: count });
        self.settle();
        index
    }

    /// The node that `name` leads to from `parent`, a new one if there is none yet.
    fn draft_child(&mut self, parent: u32, name: &str) -> u32 {
        let Plans { draft, texts, .. } = self;
        let text = texts.len();
        texts.push(b'"');
        texts.extend_from_slice(name.as_bytes());
        texts.push(b'"');
        let of = |node: &DraftNode| {
            texts.get(node.text as usize..(node.text + node.text_length) as usize).unwrap_or_default()
        };
        let quoted = texts.get(text..).unwrap_or_default();
        let nodes = &draft.nodes;
        let is_it =
            |place: u32| nodes.get(place as usize).is_some_and(|node| node.parent == parent && of(node) == quoted);
        let hash = hash(quoted) ^ u64::from(parent).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let place = match draft.by_name.find_or_add(hash, nodes.len(), is_it) {
            Ok(known) => {
                texts.truncate(text);
                return known;
            }
            Err(new) => new,
        };
        let node = DraftNode { parent, text: text as u32, text_length: quoted.len() as u32, through: false };
        draft.nodes.push(node);
        place
    }

    /// Lays the drafted nodes out: children of one node side by side, leaves too.
    fn settle(&mut self) {
        let root = self.nodes.len();
        self.nodes.resize(root + self.draft.nodes.len(), Node::default());
        let first_child = self.children.len() as u32;
        let first_leaf = self.leaves.len() as u32;
        let Some(nodes) = self.nodes.get_mut(root..) else { return };
        for drafted in self.draft.nodes.iter().skip(1) {
            if let Some(parent) = nodes.get_mut(drafted.parent as usize) {
                parent.wanted += 1;
                parent.wanted_through += u32::from(drafted.through);
            }
        }
        for (node, leaf) in &self.draft.leaves {
            if let Some(node) = nodes.get_mut(*node as usize) {
                node.leaf_count += 1;
                node.leaf |= !leaf.through;
                node.leaf_through |= leaf.through;
            }
        }
        let (mut child, mut leaf) = (first_child, first_leaf);
        for node in nodes.iter_mut() {
            (node.children, node.leaves) = (child, leaf);
            child += node.wanted;
            leaf += node.leaf_count;
        }
        // In a stable order, so that equal lists of fields give equal plans.
        let Draft { nodes: drafted, order, .. } = &mut self.draft;
        order.clear();
        order.extend(1..drafted.len() as u32);
        order.sort_by_key(|place| drafted.get(*place as usize).map_or(0, |node| node.parent));
        for place in order {
            let Some(drafted) = drafted.get(*place as usize) else { continue };
            self.children.push(Child::new(&self.texts, drafted, root as u32 + *place));
        }
        self.draft.leaves.sort_by_key(|(node, _)| *node);
        self.leaves.extend(self.draft.leaves.iter().map(|(_, leaf)| *leaf));
        self.settle_slots(root);
    }

    fn settle_slots(&mut self, root: usize) {
        for node in self.nodes.get_mut(root..).unwrap_or_default() {
            if node.wanted as usize <= FEW {
                continue;
            }
            node.slots = self.slots.len() as u32;
            node.slot_mask = (node.wanted * 2).next_power_of_two() - 1;
            self.slots.resize(self.slots.len() + node.slot_mask as usize + 1, 0);
            let Some(slots) = self.slots.get_mut(node.slots as usize..) else { continue };
            let children = node.children as usize..(node.children + node.wanted) as usize;
            for (number, child) in (1..).zip(self.children.get(children).unwrap_or_default()) {
                let mut slot = hash(child.text(&self.texts)) as u32 & node.slot_mask;
                while slots.get(slot as usize).is_some_and(|taken| *taken != 0) {
                    slot = (slot + 1) & node.slot_mask;
                }
                if let Some(free) = slots.get_mut(slot as usize) {
                    *free = number;
                }
            }
        }
    }

    #[inline(always)]
    pub(super) fn identity(&self) -> u64 {
        self.identity
    }

    pub(super) fn all(&self) -> &[Plan] {
        &self.plans
    }

    #[inline(always)]
    pub(super) fn plan(&self, index: PlanIndex) -> Option<&Plan> {
        self.plans.get(index.0 as usize)
    }

    #[inline(always)]
    pub(super) fn node(&self, node: u32) -> Option<&Node> {
        self.nodes.get(node as usize)
    }

    #[inline(always)]
    pub(super) fn leaves(&self, node: &Node) -> &[Leaf] {
        self.leaves.get(node.leaves as usize..(node.leaves + node.leaf_count) as usize).unwrap_or_default()
    }

    #[inline(always)]
    pub(super) fn children(&self, node: &Node) -> &[Child] {
        self.children.get(node.children as usize..(node.children + node.wanted) as usize).unwrap_or_default()
    }

    /// The child of `node` whose quoted name stands in `bytes` from `start` to `end`, letter by letter. `children` are those of the
    /// node.
    #[expect(clippy::manual_find, reason = "a closure would not be compiled for the kernel's instructions")]
    #[inline(always)]
    pub(super) fn child<'a>(
        &'a self,
        (node, children): (&Node, &'a [Child]),
        bytes: &[u8],
        start: usize,
        end: usize,
    ) -> Option<&'a Child> {
        if node.slot_mask != 0 {
            return self.hashed_writable_child(node, bytes, start, end);
        }
        let (head, length) = (head(bytes, start, end), (end - start) as u32);
        for child in children {
            if child.head == head && child.length == length && (length <= 8 || self.rest_is(child, bytes, start, end)) {
                return Some(child);
            }
        }
        None
    }

    /// Whether a name of more than eight bytes that begins like that of the child is that of the child.
    #[inline(always)]
    fn rest_is(&self, child: &Child, bytes: &[u8], start: usize, end: usize) -> bool {
        child.tail == word(bytes, end - 8) && (end - start <= 16 || self.middle_is(child, bytes, start, end))
    }

    #[inline(never)]
    fn middle_is(&self, child: &Child, bytes: &[u8], start: usize, end: usize) -> bool {
        bytes.get(start..end) == Some(child.text(&self.texts))
    }

    #[inline(never)]
    fn hashed_writable_child(&self, node: &Node, bytes: &[u8], start: usize, end: usize) -> Option<&Child> {
        self.hashed_child(node, bytes.get(start..end)?).filter(|child| child.length != UNWRITABLE)
    }

    /// The child of `node` with this name in quotes, whatever a payload must do to write it.
    pub(super) fn child_named(&self, node: &Node, quoted: &[u8]) -> Option<&Child> {
        if node.slot_mask != 0 {
            return self.hashed_child(node, quoted);
        }
        self.children(node).iter().find(|child| child.text(&self.texts) == quoted)
    }

    fn hashed_child(&self, node: &Node, quoted: &[u8]) -> Option<&Child> {
        let slots = self.slots.get(node.slots as usize..)?;
        let mut slot = hash(quoted) as u32 & node.slot_mask;
        loop {
            let number = *slots.get(slot as usize)?;
            let child = self.children.get((node.children + number.checked_sub(1)?) as usize)?;
            if child.text(&self.texts) == quoted {
                return Some(child);
            }
            slot = (slot + 1) & node.slot_mask;
        }
    }
}

impl Child {
    fn new(texts: &[u8], drafted: &DraftNode, node: u32) -> Child {
        let (start, end) = (drafted.text as usize, (drafted.text + drafted.text_length) as usize);
        let name = texts.get(start + 1..end - 1).unwrap_or_default();
        // Unescaped text can't hold a quote or a backslash, so bytes that look as if it did are something else.
        let writable = !name.iter().any(|byte| matches!(byte, b'"' | b'\\'));
        let length = if writable { drafted.text_length } else { UNWRITABLE };
        let tail = if end - start > 8 { word(texts, end - 8) } else { 0 };
        Child {
            head: head(texts, start, end),
            tail,
            length,
            text: drafted.text,
            text_length: drafted.text_length,
            node,
        }
    }

    #[inline(always)]
    fn text<'t>(&self, texts: &'t [u8]) -> &'t [u8] {
        texts.get(self.text as usize..(self.text + self.text_length) as usize).unwrap_or_default()
    }
}

/// The first eight of the bytes from `start` to `end`, zeros after them.
#[inline(always)]
fn head(bytes: &[u8], start: usize, end: usize) -> u64 {
    let length = end - start;
    let word = word(bytes, start);
    if length >= 8 { word } else { word & ((1 << (length * 8)) - 1) }
}

/// Eight bytes from `at` on, zeros after the end.
#[inline(always)]
pub(super) fn word(bytes: &[u8], at: usize) -> u64 {
    if let Some(rest) = bytes.get(at..)
        && let Some(eight) = rest.first_chunk::<8>()
    {
        return u64::from_le_bytes(*eight);
    }
    last_word(bytes, at)
}

#[cold]
#[inline(never)]
fn last_word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).unwrap_or_default().iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}
