//! The walk through one message for one plan.
//!
//! A field's value is known only when its message has ended, since a later one takes the place of an earlier one. So each child of
//! a node has a [`State`] while a message is walked through that the node is about, and the values are handed over when it is *closed*.
//! Only then are the messages within it walked through, if they count: one that is in the bytes in several pieces piece by piece, and
//! closed once, which is what merging them means.

use super::descriptors::{Holds, MessageId, Scalar};
use super::framing::zigzag;
use super::plans::{Child, Key, KeyBytes, Node, Plans};
use super::wire::{Cursor, Value};
use crate::found::{Found, Kind, Typed};
use crate::values::Values;
use std::ops::Range;

/// Reads messages, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// One for each child of the plan.
    states: Vec<State>,
    /// Elements of lists and pieces of messages, each with the place of the next.
    links: Vec<(Found, u32)>,
    merged: Vec<u8>,
}

const NONE: u32 = u32::MAX;

/// What was met of a child since the message began that it is a field of.
#[derive(Clone, Copy, Debug)]
struct State {
    is_set: bool,
    /// Its default was handed over. To do that for each of many elements would say nothing more, and take more memory than they do.
    is_defaulted: bool,
    found: Found,
    /// Places of the first and the last of its links.
    first: u32,
    last: u32,
    /// Of a oneof's first member: which one of them is set.
    member: u32,
}

const UNMET: State =
    State { is_set: false, is_defaulted: false, found: Found::NOTHING, first: NONE, last: NONE, member: NONE };

impl Reader {
    /// Puts what is found of a plan's fields in a message into `values`, which must be empty. If the plan was not made for messages of this type, all fields are missing.
    pub(crate) fn read(&mut self, plans: &Plans, (plan, message): (u32, MessageId), bytes: &[u8], values: &mut Values) {
        self.links.clear();
        self.merged.clear();
        let root = plans.root(plan, message).filter(|_| bytes.len() < u32::MAX as usize);
        let Some(root) = root else { return };
        if self.states.len() < root.children as usize {
            self.states.resize(root.children as usize, UNMET);
        }
        let Reader { states, links, merged } = self;
        states.get_mut(..root.children as usize).unwrap_or_default().fill(UNMET);
        let mut walk = Walk { plans, bytes, first_child: root.first_child, states, links, merged, values };
        let node = plans.node(root.node);
        walk.open(node);
        let is_whole = walk.message(node, 0..bytes.len(), false);
        walk.close(node, is_whole, false);
    }

    /// The elements of a list that was found last.
    pub(crate) fn elements(&self, list: &Found) -> impl Iterator<Item = Found> {
        let mut next = list.at().start as u32;
        std::iter::from_fn(move || {
            let (found, after) = *self.links.get(next as usize)?;
            next = after;
            Some(found)
        })
    }

    /// What lies in no payload, since it was put together.
    #[inline]
    pub(crate) fn merged(&self) -> &[u8] {
        &self.merged
    }
}

struct Walk<'w> {
    plans: &'w Plans,
    bytes: &'w [u8],
    first_child: u32,
    states: &'w mut [State],
    links: &'w mut Vec<(Found, u32)>,
    merged: &'w mut Vec<u8>,
    values: &'w mut Values,
}

impl<'w> Walk<'w> {
    fn state(&mut self, at: u32) -> Option<&mut State> {
        self.states.get_mut((at - self.first_child) as usize)
    }

    /// Forgets what was met of the fields of a message before this one.
    fn open(&mut self, node: Node) {
        let first = (node.first_child - self.first_child) as usize;
        for state in self.states.get_mut(first..first + node.children as usize).unwrap_or_default() {
            *state = State { is_defaulted: state.is_defaulted, ..UNMET };
        }
    }

    /// Goes through a message, or through a piece of one. Says whether it could be read to its end.
    fn message(&mut self, node: Node, range: Range<usize>, within_array: bool) -> bool {
        let mut cursor = Cursor::new(self.bytes, range);
        let children = self.plans.children(node);
        while let Some((number, value)) = cursor.next() {
            let at = match children.len() {
                0..=8 => children.iter().position(|child| child.number == number),
                _ => children.binary_search_by_key(&number, |child| child.number).ok(),
            };
            if let Some(at) = at
                && let Some(child) = children.get(at)
            {
                self.field((node.first_child + at as u32, child), value, within_array);
            }
        }
        cursor.broken_at().is_none()
    }

    fn field(&mut self, (at, child): (u32, &'w Child), value: Value, within_array: bool) {
        match (child.holds, child.is_repeated) {
            (Holds::Map(_), _) => self.entry((at, child), value),
            (_, true) => self.elements((at, child), value, within_array),
            (_, false) => {
                if self.singular((at, child), value)
                    && let Some(first_member) = child.oneof
                {
                    self.displace(at, first_member);
                }
            }
        }
    }

    /// Forgets the member of a oneof that was set before the one at hand.
    fn displace(&mut self, at: u32, first_member: u32) {
        let Some(noted) = self.state(first_member) else { return };
        let before = std::mem::replace(&mut noted.member, at);
        if before != at
            && before != NONE
            && let Some(state) = self.state(before)
        {
            *state = State { is_defaulted: state.is_defaulted, member: state.member, ..UNMET };
        }
    }

    /// Takes in a field that is not repeated; false if this is none, as it has another wire type.
    fn singular(&mut self, (at, child): (u32, &'w Child), value: Value) -> bool {
        match (child.holds, value) {
            (Holds::Scalar(scalar), value) => {
                let Some(found) = self.scalar(scalar, child, &value) else { return false };
                self.put(at, found);
            }
            (Holds::Wrapped(scalar, _), Value::Bytes(range)) => {
                let before = self.state(at).and_then(|state| state.is_set.then_some(state.found));
                if let Some(found) = self.wrapped(scalar, child, range, before) {
                    self.put(at, found);
                }
            }
            (Holds::Message { id, is_group: false }, Value::Bytes(range))
            | (Holds::Message { id, is_group: true }, Value::Group(range)) => {
                self.piece(at, id, range);
            }
            _ => return false,
        }
        true
    }

    fn put(&mut self, at: u32, found: Found) {
        if let Some(state) = self.state(at) {
            (state.is_set, state.found) = (true, found);
        }
    }

    /// Takes in a message, or a piece of one. What is within it is looked for when it is known to count.
    fn piece(&mut self, at: u32, id: MessageId, range: Range<usize>) {
        let found = Found::new(Kind::Typed(Typed::Message(id.0)), range.start, range.end);
        self.put(at, found);
        self.link(at, found);
    }

    /// Takes in an element, or several that stand side by side: of these, what stands before one that can't be read.
    fn elements(&mut self, (at, child): (u32, &'w Child), value: Value, within_array: bool) {
        let found = match (child.holds, value) {
            (Holds::Scalar(scalar), Value::Bytes(range)) if scalar.is_packable() => {
                let mut cursor = Cursor::new(self.bytes, range);
                while let Some(value) = cursor.packed(|cursor| scalar.packed(cursor)) {
                    if let Some(found) = self.scalar(scalar, child, &value) {
                        self.element((at, child), found, within_array);
                    }
                }
                None
            }
            (Holds::Scalar(scalar), value) => self.scalar(scalar, child, &value),
            (Holds::Wrapped(scalar, _), Value::Bytes(range)) => self.wrapped(scalar, child, range, None),
            (Holds::Message { id, is_group: false }, Value::Bytes(range))
            | (Holds::Message { id, is_group: true }, Value::Group(range)) => {
                if let Some(within) = child.node.filter(|_| child.is_through) {
                    self.values.crossed_array = true;
                    let within = self.plans.node(within);
                    self.open(within);
                    let is_whole = self.message(within, range.clone(), true);
                    self.close(within, is_whole, true);
                }
                Some(Found::new(Kind::Typed(Typed::Message(id.0)), range.start, range.end))
            }
            _ => None,
        };
        if let Some(found) = found {
            self.element((at, child), found, within_array);
        }
    }

    fn element(&mut self, (at, child): (u32, &'w Child), found: Found, within_array: bool) {
        if !child.is_leaf {
            return;
        }
        self.values.put(self.plans.leaves(child), found, true, false);
        if !within_array {
            self.put(at, found);
            self.link(at, found);
        }
    }

    fn link(&mut self, at: u32, found: Found) {
        let place = self.links.len() as u32;
        let Some(state) = self.state(at) else { return };
        let last = std::mem::replace(&mut state.last, place);
        if last == NONE {
            state.first = place;
        }
        if let Some((_, next)) = self.links.get_mut(last as usize) {
            *next = place;
        }
        self.links.push((found, NONE));
    }

    /// Takes in an entry of a map. Of entries with the same key the last one counts, alone.
    fn entry(&mut self, (at, child): (u32, &'w Child), value: Value) {
        let Value::Bytes(range) = value else { return };
        let Some(is_new) = self.state(at).map(|state| !std::mem::replace(&mut state.is_set, true)) else { return };
        let Some(entries) = child.node.map(|node| self.plans.node(node)) else { return };
        if is_new {
            self.open(entries);
        }
        let plans = self.plans;
        let Some((at, entry)) = self.key(entries, range.clone()).and_then(|key| plans.entry(entries, key)) else {
            return;
        };
        if let Some(state) = self.state(at) {
            *state = UNMET;
        }
        let mut cursor = Cursor::new(self.bytes, range.clone());
        while let Some((number, value)) = cursor.next() {
            if number == entry.number {
                self.singular((at, entry), value);
            }
        }
        if self.state(at).is_some_and(|state| !state.is_set) {
            match (entry.holds, self.default(entry)) {
                // There is a value without any field.
                (Holds::Message { id, .. }, _) => self.piece(at, id, range.end..range.end),
                (_, Some(default)) => self.put(at, default),
                (_, None) => {}
            }
        }
    }

    /// The key of an entry; `None` if the entry can't be read.
    fn key(&self, entries: Node, range: Range<usize>) -> Option<KeyBytes<'w>> {
        let entry = self.plans.children(entries).first()?;
        let (scalar, mut key) = match entry.key {
            Key::None => return None,
            Key::Text(..) => (Scalar::Text, Found::new(Kind::Text { escaped: false }, 0, 0)),
            Key::Bits(Scalar::Bool, _) => (Scalar::Bool, Found::new(Kind::False, 0, 0)),
            Key::Bits(scalar, _) => (scalar, Found::of_bits(Typed::Unsigned, 0)),
        };
        let mut cursor = Cursor::new(self.bytes, range);
        while let Some((number, value)) = cursor.next() {
            if number == 1 {
                key = self.scalar(scalar, entry, &value).unwrap_or(key);
            }
        }
        if cursor.broken_at().is_some() {
            return None;
        }
        Some(match key.kind() {
            Kind::Text { .. } => KeyBytes::Text(key.of(self.bytes)),
            Kind::True => KeyBytes::Bits(1),
            Kind::False => KeyBytes::Bits(0),
            _ => KeyBytes::Bits(key.bits()),
        })
    }

    /// What a wrapper message wraps. Pieces of one are merged: what was found `before` counts if this one does not say it.
    fn wrapped(&self, scalar: Scalar, child: &Child, range: Range<usize>, before: Option<Found>) -> Option<Found> {
        let mut found = before;
        let mut cursor = Cursor::new(self.bytes, range);
        while let Some((number, value)) = cursor.next() {
            if number == 1 {
                found = self.scalar(scalar, child, &value).or(found);
            }
        }
        match cursor.broken_at() {
            None => found.or_else(|| self.default(child)),
            Some(_) => found,
        }
    }

    /// What a field means that is not in the bytes. Messages and maps have no default.
    fn default(&self, child: &Child) -> Option<Found> {
        let (Holds::Scalar(scalar) | Holds::Wrapped(scalar, _)) = child.holds else { return None };
        let zero = match scalar {
            Scalar::Text | Scalar::Bytes => Value::Bytes(0..0),
            Scalar::Fixed32 | Scalar::Sfixed32 | Scalar::Float => Value::Fixed32(0),
            Scalar::Fixed64 | Scalar::Sfixed64 | Scalar::Double => Value::Fixed64(0),
            _ => Value::Varint(0),
        };
        self.scalar(scalar, child, &zero)
    }

    /// What a value means; `None` if it has not the wire type of its field.
    fn scalar(&self, scalar: Scalar, child: &Child, value: &Value) -> Option<Found> {
        let signed = |value: i64| Some(Found::of_bits(Typed::Signed, value as u64));
        let unsigned = |value: u64| Some(Found::of_bits(Typed::Unsigned, value));
        match (scalar, value) {
            (Scalar::Bool, Value::Varint(bits)) => {
                Some(Found::new(if *bits == 0 { Kind::False } else { Kind::True }, 0, 0))
            }
            (Scalar::Int32, Value::Varint(bits)) => signed(i64::from(*bits as i32)),
            (Scalar::Int64, Value::Varint(bits)) => signed(*bits as i64),
            (Scalar::Uint32, Value::Varint(bits)) => unsigned(u64::from(*bits as u32)),
            (Scalar::Uint64, Value::Varint(bits)) => unsigned(*bits),
            (Scalar::Sint32, Value::Varint(bits)) => signed(zigzag(u64::from(*bits as u32))),
            (Scalar::Sint64, Value::Varint(bits)) => signed(zigzag(*bits)),
            (Scalar::Fixed32, Value::Fixed32(bits)) => unsigned(u64::from(*bits)),
            (Scalar::Sfixed32, Value::Fixed32(bits)) => signed(i64::from(*bits as i32)),
            (Scalar::Fixed64, Value::Fixed64(bits)) => unsigned(*bits),
            (Scalar::Sfixed64, Value::Fixed64(bits)) => signed(*bits as i64),
            (Scalar::Float, Value::Fixed32(bits)) => Some(Found::of_bits(Typed::Float, u64::from(*bits))),
            (Scalar::Double, Value::Fixed64(bits)) => Some(Found::of_bits(Typed::Double, *bits)),
            (Scalar::Text, Value::Bytes(range)) => {
                Some(Found::new(Kind::Text { escaped: false }, range.start, range.end))
            }
            (Scalar::Bytes, Value::Bytes(range)) => Some(Found::new(Kind::Typed(Typed::Bytes), range.start, range.end)),
            (Scalar::Enum(_), Value::Varint(bits)) => {
                let number = *bits as i32;
                match self.plans.symbol(child.symbols, number) {
                    Some((at, length)) => {
                        let at = crate::condition::range(at, length);
                        Some(Found::new(Kind::Typed(Typed::Symbol), at.start, at.end))
                    }
                    None => signed(i64::from(number)),
                }
            }
            _ => None,
        }
    }

    /// Hands over what was found of the fields of a message. `is_whole`: those that were not met are not there.
    fn close(&mut self, node: Node, is_whole: bool, within_array: bool) {
        for at in node.first_child..node.first_child + node.children {
            let (Some(child), Some(state)) = (self.plans.child_at(at), self.state(at).copied()) else { continue };
            let is_known = state.is_set || is_whole;
            let found = match (child.holds, child.is_repeated) {
                (Holds::Map(_), _) => is_known.then_some(Found::OBJECT),
                (_, true) => {
                    // Elements were handed over as they came.
                    if is_known && !within_array {
                        let list = Found::new(Kind::Typed(Typed::List), state.first as usize, state.last as usize);
                        self.values.put(self.plans.leaves(child), list, false, true);
                    }
                    continue;
                }
                (_, false) if state.is_set => Some(self.put_together(state)),
                (_, false) if is_whole && !child.has_presence && !state.is_defaulted => {
                    self.note_default(at);
                    self.default(child)
                }
                (_, false) => None,
            };
            if let Some(found) = found {
                self.values.put(self.plans.leaves(child), found, true, !within_array);
            }
            let Some(within) = child.node.filter(|_| state.is_set).map(|within| self.plans.node(within)) else {
                continue;
            };
            let is_whole = match child.holds {
                // Its entries were met as they came, and one that is not there has no default.
                Holds::Map(_) => true,
                _ => self.pieces(within, state.first, within_array),
            };
            self.close(within, is_whole, within_array);
        }
    }

    /// Goes through all pieces of a message; says whether each could be read to its end.
    fn pieces(&mut self, within: Node, first: u32, within_array: bool) -> bool {
        self.open(within);
        let mut is_whole = true;
        let mut next = first;
        while let Some((piece, after)) = self.links.get(next as usize).copied() {
            is_whole &= self.message(within, piece.at(), within_array);
            next = after;
        }
        is_whole
    }

    fn note_default(&mut self, at: u32) {
        if let Some(state) = self.state(at) {
            state.is_defaulted = true;
        }
    }

    /// A value, of whose pieces one is made if there are several.
    fn put_together(&mut self, state: State) -> Found {
        let Kind::Typed(Typed::Message(id)) = state.found.kind() else { return state.found };
        if state.first == state.last {
            return state.found;
        }
        let begin = self.merged.len();
        let mut next = state.first;
        while let Some((piece, after)) = self.links.get(next as usize) {
            self.merged.extend_from_slice(piece.of(self.bytes));
            next = *after;
        }
        Found::new(Kind::Typed(Typed::Merged(id)), begin, self.merged.len())
    }
}

impl Scalar {
    pub(super) fn is_packable(self) -> bool {
        !matches!(self, Scalar::Text | Scalar::Bytes)
    }

    /// The next one of those that are packed.
    pub(super) fn packed(self, cursor: &mut Cursor<'_>) -> Option<Value> {
        Some(match self {
            Scalar::Fixed32 | Scalar::Sfixed32 | Scalar::Float => Value::Fixed32(cursor.fixed32()?),
            Scalar::Fixed64 | Scalar::Sfixed64 | Scalar::Double => Value::Fixed64(cursor.fixed64()?),
            _ => Value::Varint(cursor.varint()?),
        })
    }
}
