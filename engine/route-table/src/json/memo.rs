//! The shape memo: what a walk depended on, kept so that the next payload of the same shape needs no walk.
//!
//! A walk is a function of the marks that it met, of its keys, and of the bytes of the values it wanted (see [`walk`](mod@super::walk)).
//! Strike all else out of the payload (values between a colon and the next mark, and containers that were passed over) and what is
//! kept of `{"type":"Feature","geometry":{"points":[[1,2],[3,4]],"x":1.5}}` for the field `geometry.x` is
//! `{"type":,"geometry":{"points":[` *one container* `],"x":}`. This is the payload's *shape*.
//!
//! If the same is kept of another payload, byte for byte, the walk through that one takes the same steps: what is kept after a colon
//! begins with the next mark, and in between texts are closed; so by induction each kept byte is a mark in both or in neither. Keys,
//! their order, duplicates, escapes in them, names that are not there: all of it is in the kept bytes, and nothing has to be proved one
//! by one. Values sit between the same kept bytes and are read as a walk reads them. Hence a shape that fits gives the answer of a
//! walk, also for malformed payloads, and one that does not fit costs time only.
//!
//! The comparison takes a block at a time: the values are struck out by one addition (a carry runs through the bytes from a colon to
//! the next mark), the rest is compressed and compared in one step.

use super::kernel::{BLOCK, Kernel};
use super::plan::{PlanIndex, Plans};
use super::scan::{Texts, closing};
use super::value::{Found, Kind, plain_value};
use super::walk::Record;
use crate::values::Values;

/// Shapes that are kept for one plan.
const WAYS: usize = 4;
/// Plans that have shapes at a time; others share their place.
const SETS_MAX: usize = 1_024;
/// Bytes that are kept of a payload; what would keep more is always walked.
const KEPT_MAX: usize = 832;
const CUTS_MAX: usize = 16;
const STOPS_MAX: usize = 24;
const NEEDS_MAX: usize = STOPS_MAX * 2;
/// After as many payloads of new shapes in a row, a plan's shapes rest for a while, and then twice as long.
const STRANGERS_MAX: u8 = 8;
const REST_MAX: u16 = 1_024;

/// What is kept of the payloads of one shape.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    /// With room for one block behind what is kept.
    kept: [u8; KEPT_MAX + BLOCK],
    length: u16,
    stops: u8,
    cut_count: u8,
    too_large: bool,
    /// Which of the kept bytes a wanted value stands between: two for each, a colon and the next one. Then `u16::MAX`.
    needs: [u16; NEEDS_MAX],
    /// What is wanted of these values.
    nodes: [u32; STOPS_MAX],
    cuts: [Cut; CUTS_MAX],
}

/// After so many kept bytes, nothing is kept until so many containers were closed.
#[derive(Clone, Copy, Debug, Default)]
struct Cut {
    after: u16,
    depth: u16,
}

impl Default for Shape {
    fn default() -> Self {
        Shape {
            kept: [0; KEPT_MAX + BLOCK],
            length: 0,
            stops: 0,
            cut_count: 0,
            too_large: false,
            needs: [u16::MAX; NEEDS_MAX],
            nodes: [0; STOPS_MAX],
            cuts: [Cut::default(); CUTS_MAX],
        }
    }
}

impl Shape {
    fn clear(&mut self) {
        (self.length, self.stops, self.cut_count, self.too_large) = (0, 0, 0, false);
        self.needs = [u16::MAX; NEEDS_MAX];
    }
}

impl Record for &mut Shape {
    fn keep(&mut self, bytes: &[u8], from: usize, to: usize) {
        let length = usize::from(self.length);
        let some = bytes.get(from..=to).unwrap_or_default();
        match self.kept.get_mut(..KEPT_MAX).and_then(|kept| kept.get_mut(length..length + some.len())) {
            Some(room) => {
                room.copy_from_slice(some);
                self.length += some.len() as u16;
            }
            None => self.too_large = true,
        }
    }

    fn stop(&mut self, node: u32) {
        let stop = usize::from(self.stops);
        match (self.needs.as_chunks_mut::<2>().0.get_mut(stop), self.nodes.get_mut(stop)) {
            (Some(needs), Some(place)) => {
                *needs = [self.length.saturating_sub(1), self.length];
                *place = node;
                self.stops += 1;
            }
            _ => self.too_large = true,
        }
    }

    fn cut(&mut self, depth: usize) {
        match (self.cuts.get_mut(usize::from(self.cut_count)), u16::try_from(depth)) {
            (Some(cut), Ok(depth)) => {
                *cut = Cut { after: self.length, depth };
                self.cut_count += 1;
            }
            _ => self.too_large = true,
        }
    }

    fn spoil(&mut self) {
        self.too_large = true;
    }
}

/// Reads the blocks of a payload by a shape.
struct Recall<'a, 'p, K> {
    kernel: K,
    bytes: &'p [u8],
    shape: &'a Shape,
    texts: Texts,
    base: usize,
    /// Of the block at hand.
    colons: u64,
    opens: u64,
    closes: u64,
    others: u64,
    /// The bytes that are kept where nothing is cut.
    keep: u64,
    /// 1 if the next block begins within a value.
    within_value: u64,
    /// How many kept bytes were found.
    done: usize,
    /// Where the shape's needs are, as far as they were found.
    places: [u32; NEEDS_MAX],
    found: usize,
}

impl<K: Kernel> Recall<'_, '_, K> {
    /// Looks for marks in the block at `base`; `None` at the end.
    #[inline(always)]
    fn look(&mut self) -> Option<K::Block> {
        if self.base >= self.bytes.len() {
            return None;
        }
        let block = self.kernel.load(self.bytes, self.base);
        let masks = self.kernel.classify(block);
        let outside = self.texts.outside(self.kernel, &masks);
        self.opens = masks.opens & outside;
        self.closes = masks.closes & outside;
        self.colons = masks.colons & outside;
        self.others = !(self.colons | masks.commas & outside | self.opens | self.closes);
        Some(block)
    }

    /// Strikes out the values of the block at hand.
    #[inline(always)]
    fn strike(&mut self) {
        // A value, or what is left of one, begins at one of these. To add that to the run of bytes between two marks moves it behind
        // the run.
        let begins = (self.colons << 1 | self.within_value) & self.others;
        let (moved, carry) = self.others.overflowing_add(begins);
        self.within_value = u64::from(carry) | self.colons >> 63;
        // Zeros behind the payload's end are marked, too. They do no harm: the last byte of a shape, and the last one before a cut, is
        // a mark, and none is found there.
        self.keep = !(self.others & !moved);
    }

    /// Compares kept bytes, those of the block at hand that `within` marks, up to the `end`th of all.
    #[inline(always)]
    fn compare(&mut self, block: K::Block, keep: u64, end: usize) -> bool {
        let count = (keep.count_ones() as usize).min(end - self.done);
        let Some(kept) = self.shape.kept.get(self.done..).and_then(|kept| kept.first_chunk::<BLOCK>()) else {
            return false;
        };
        if !self.kernel.keeps(block, self.bytes, self.base, keep, count as u32, kept) {
            return false;
        }
        let now = self.done + count;
        while let (Some(need), Some(place)) = (self.shape.needs.get(self.found), self.places.get_mut(self.found))
            && usize::from(*need) < now
        {
            *place = self.base as u32 + self.kernel.nth(keep, (usize::from(*need) - self.done) as u32);
            self.found += 1;
        }
        self.done = now;
        true
    }

    /// Goes on until so many containers were closed. Returns the block where that is, and what of it is behind, the last bracket
    /// included.
    #[inline(always)]
    fn skip(&mut self, mut block: K::Block, mut within: u64, mut depth: usize) -> Option<(K::Block, u64)> {
        let mut moved = false;
        loop {
            if let Some(end) = closing(self.opens & within, self.closes & within, &mut depth) {
                if moved {
                    // What a value before the bracket would strike out matters to nobody.
                    self.within_value = 0;
                    self.strike();
                }
                return Some((block, !(end - 1)));
            }
            self.base += BLOCK;
            block = self.look()?;
            (within, moved) = (u64::MAX, true);
        }
    }

    /// Whether the shape fits the payload.
    #[inline(always)]
    fn fits(&mut self) -> bool {
        let length = usize::from(self.shape.length);
        let mut cuts = self.shape.cuts.get(..usize::from(self.shape.cut_count)).unwrap_or_default().iter();
        let mut cut = cuts.next();
        while let Some(mut block) = self.look() {
            self.strike();
            let mut within = u64::MAX;
            loop {
                let end = cut.map_or(length, |cut| usize::from(cut.after));
                let (keep, before) = (self.keep & within, self.done);
                if !self.compare(block, keep, end) {
                    return false;
                }
                if self.done < end {
                    break;
                }
                let Some(Cut { depth, .. }) = cut else { return true };
                let last = self.kernel.nth(keep, (end - before).saturating_sub(1) as u32);
                let behind = u64::MAX.checked_shl(last + 1).unwrap_or(0);
                let Some(next) = self.skip(block, behind, usize::from(*depth)) else { return false };
                (block, within) = next;
                cut = cuts.next();
            }
            self.base += BLOCK;
        }
        false
    }
}

/// Puts what is wanted of `bytes` into `values`, if the shape fits; else leaves both alone.
#[inline(always)]
fn recall<K: Kernel>(kernel: K, plans: &Plans, shape: &Shape, bytes: &[u8], values: &mut Values) -> bool {
    let mut recall = Recall {
        kernel,
        bytes,
        shape,
        texts: Texts::default(),
        base: 0,
        colons: 0,
        opens: 0,
        closes: 0,
        others: 0,
        keep: 0,
        within_value: 0,
        done: 0,
        places: [0; NEEDS_MAX],
        found: 0,
    };
    if !recall.fits() {
        return false;
    }
    let stops = usize::from(shape.stops);
    let places = recall.places.as_chunks::<2>().0.get(..stops).unwrap_or_default();
    for ([colon, mark], node) in places.iter().zip(shape.nodes.get(..stops).unwrap_or_default()) {
        let (colon, mark) = (*colon as usize, *mark as usize);
        let Some(node) = plans.node(*node) else { continue };
        let found = match bytes.get(mark) {
            Some(b'{') => Some(Found::new(Kind::Object, mark, bytes.len())),
            Some(b'[') => Some(Found::new(Kind::Array, mark, bytes.len())),
            _ => plain_value(kernel, bytes, colon + 1, mark),
        };
        if let Some(found) = found {
            values.put(plans.leaves(node), found, true, true);
        }
    }
    true
}

/// Shapes of the payloads that plans met.
#[derive(Debug, Default)]
pub(super) struct Memo {
    /// Of plans by their number; plans that share a place drive each other out.
    sets: Vec<Set>,
    shapes: Vec<Shape>,
}

/// The shapes of one plan.
#[derive(Clone, Copy, Debug)]
struct Set {
    plan: PlanIndex,
    /// Payloads that fitted no shape, since the last one that did.
    strangers: u8,
    /// Payloads for which the shapes are still not looked at, and how many that will be next time.
    rest: u16,
    next_rest: u16,
    ways: u8,
    /// Places in `shapes`: the one that fitted last comes first.
    shapes: [u16; WAYS],
}

const VACANT: Set =
    Set { plan: PlanIndex(u32::MAX), strangers: 0, rest: 0, next_rest: 16, ways: 0, shapes: [u16::MAX; WAYS] };

/// What a memo says of a payload.
pub(super) enum Recalled {
    /// It fitted a shape: the answer is there.
    Known,
    /// It must be walked, and the walk should be learned.
    Stranger,
    /// It must be walked.
    Unasked,
}

impl Memo {
    /// Forgets everything, and makes room for so many plans.
    pub(super) fn reset(&mut self, plans: usize) {
        self.sets.clear();
        self.sets.resize(plans.next_power_of_two().min(SETS_MAX), VACANT);
        self.shapes.clear();
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.sets.capacity() * size_of::<Set>() + self.shapes.capacity() * size_of::<Shape>()
    }

    fn place(&self, plan: PlanIndex) -> usize {
        plan.0 as usize & self.sets.len().wrapping_sub(1)
    }

    /// Answers from what is known of payloads of one of the plan's shapes, if it can.
    #[inline(always)]
    pub(super) fn recall<K: Kernel>(
        &mut self,
        kernel: K,
        (plans, plan): (&Plans, PlanIndex),
        bytes: &[u8],
        values: &mut Values,
    ) -> Recalled {
        let place = self.place(plan);
        let Some(set) = self.sets.get_mut(place) else { return Recalled::Unasked };
        if set.plan != plan {
            *set = Set { plan, shapes: set.shapes, ..VACANT };
        }
        if set.rest > 0 {
            set.rest -= 1;
            return Recalled::Unasked;
        }
        for way in 0..usize::from(set.ways) {
            let Some(shape) = set.shapes.get(way).and_then(|shape| self.shapes.get(usize::from(*shape))) else { break };
            if recall(kernel, plans, shape, bytes, values) {
                set.strangers = 0;
                set.next_rest = VACANT.next_rest;
                if way != 0 {
                    set.put_first(way);
                }
                return Recalled::Known;
            }
        }
        set.strangers += 1;
        if set.strangers >= STRANGERS_MAX {
            set.pause();
        }
        Recalled::Stranger
    }

    /// Where the shape of a payload that fitted none is to be recorded: in place of the one that was not met for the longest time.
    #[cold]
    pub(super) fn begin_learning(&mut self, plan: PlanIndex) -> Option<&mut Shape> {
        let place = self.place(plan);
        let set = self.sets.get_mut(place)?;
        set.ways = set.ways.min(WAYS as u8 - 1);
        let number = set.shapes.get_mut(usize::from(set.ways))?;
        if *number == u16::MAX {
            *number = self.shapes.len() as u16;
            self.shapes.push(Shape::default());
        }
        let shape = self.shapes.get_mut(usize::from(*number))?;
        shape.clear();
        Some(shape)
    }

    /// Keeps what was recorded, if the walk went well.
    #[cold]
    pub(super) fn end_learning(&mut self, plan: PlanIndex, well: bool) {
        let place = self.place(plan);
        let Some(set) = self.sets.get_mut(place) else { return };
        let way = usize::from(set.ways);
        let Some(shape) = set.shapes.get(way).and_then(|number| self.shapes.get(usize::from(*number))) else { return };
        if well && !shape.too_large {
            set.ways += 1;
            set.put_first(way);
        } else {
            // Such a payload has no shape, and the next ones will hardly have one.
            set.pause();
        }
    }
}

impl Set {
    fn pause(&mut self) {
        self.strangers = 0;
        self.rest = self.next_rest;
        self.next_rest = (self.next_rest * 2).min(REST_MAX);
    }

    fn put_first(&mut self, way: usize) {
        if let Some(some) = self.shapes.get_mut(..=way) {
            some.rotate_right(1);
        }
    }
}
