//! What was found of the fields of one plan in one payload.

use crate::found::Found;

/// A field that a plan asks for, at a place that leads to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leaf {
    /// Its number in the plan.
    pub(crate) field: u32,
    /// Whether it goes through arrays.
    pub(crate) through: bool,
}

/// Emptied for each payload by counting up a number, not by touching every field.
#[derive(Debug, Default)]
pub(crate) struct Values {
    turn: u32,
    fields: Vec<Slot>,
    /// The field that got its first value last.
    latest: u32,
    /// Values of a field after its first one, each with the place of the next.
    more: Vec<(Found, u32)>,
    pub(crate) crossed_array: bool,
    /// Whether something that was wanted of elements of arrays was not there in one of them.
    pub(crate) is_ragged: bool,
}

/// A field's first value and the places of its second and last one in `more`. Only meaningful in its turn.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    turn: u32,
    first: Found,
    second: u32,
    last: u32,
    /// The field that got its first value before.
    before: u32,
}

const NONE: u32 = u32::MAX;

impl Values {
    /// Forgets all values, and makes room for those of so many fields.
    #[inline(always)]
    pub(crate) fn begin(&mut self, fields: u32) {
        self.more.clear();
        self.latest = NONE;
        (self.crossed_array, self.is_ragged) = (false, false);
        if self.turn == u32::MAX || self.fields.len() < fields as usize {
            self.grow(fields as usize);
        }
        self.turn += 1;
    }

    #[cold]
    fn grow(&mut self, fields: usize) {
        self.turn = 0;
        self.fields.fill(Slot::default());
        self.fields.resize(fields.max(self.fields.len()), Slot::default());
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.fields.capacity() * size_of::<Slot>() + self.more.capacity() * size_of::<(Found, u32)>()
    }

    /// Adds a value to each of the fields that it is of: to those that go through arrays, to the others, or to both.
    #[inline(always)]
    pub(crate) fn put(&mut self, leaves: &[Leaf], found: Found, through: bool, others: bool) {
        for leaf in leaves {
            if if leaf.through { through } else { others } {
                self.push(leaf.field, found);
            }
        }
    }

    #[inline(always)]
    pub(crate) fn push(&mut self, field: u32, found: Found) {
        let Some(slot) = self.fields.get_mut(field as usize) else { return };
        if slot.turn != self.turn {
            *slot = Slot { turn: self.turn, first: found, second: NONE, last: NONE, before: self.latest };
            self.latest = field;
            return;
        }
        let place = self.more.len() as u32;
        match self.more.get_mut(slot.last as usize) {
            Some((_, next)) => *next = place,
            None => slot.second = place,
        }
        slot.last = place;
        self.more.push((found, NONE));
    }

    #[inline(always)]
    fn slot(&self, field: u32) -> Option<&Slot> {
        self.fields.get(field as usize).filter(|slot| slot.turn == self.turn)
    }

    #[inline(always)]
    pub(crate) fn first(&self, field: u32) -> Option<Found> {
        self.slot(field).map(|slot| slot.first)
    }

    /// The fields that have values.
    pub(crate) fn present(&self) -> impl Iterator<Item = u32> {
        let slot = |field: u32| self.slot(field).map(|slot| (field, slot.before));
        std::iter::successors(slot(self.latest), move |(_, before)| slot(*before)).map(|(field, _)| field)
    }

    #[inline(always)]
    pub(crate) fn all(&self, field: u32) -> All<'_> {
        let slot = self.slot(field);
        let (now, next) = slot.map_or((None, NONE), |slot| (Some(slot.first), slot.second));
        All { more: &self.more, now, next }
    }
}

/// The values of one field, in the order of the payload.
#[derive(Clone, Debug)]
pub(crate) struct All<'v> {
    more: &'v [(Found, u32)],
    now: Option<Found>,
    next: u32,
}

impl Iterator for All<'_> {
    type Item = Found;

    #[inline(always)]
    fn next(&mut self) -> Option<Found> {
        let now = self.now?;
        (self.now, self.next) = match self.more.get(self.next as usize) {
            Some((found, next)) => (Some(*found), *next),
            None => (None, NONE),
        };
        Some(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_fields_that_are_present_are_those_of_this_turn_and_each_is_told_once() {
        let mut values = Values::default();
        for fields in [vec![3, 1, 3, 70, 1], vec![], vec![70], (0..100).rev().collect()] {
            values.begin(100);
            fields.iter().for_each(|field| values.push(*field, Found::NOTHING));
            let present: Vec<u32> = values.present().collect();
            let expected: BTreeSet<u32> = fields.into_iter().collect();
            assert_eq!(present.len(), expected.len());
            assert_eq!(present.into_iter().collect::<BTreeSet<u32>>(), expected);
        }
    }
}
