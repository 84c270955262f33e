//! Gets wanted fields out of one JSON payload without reading the rest of it.
//!
//! A [`Reader`] looks only at what a [plan](Plans) needs and stops behind the last of it. It steps over *marks*, which are
//! `{ } [ ] : ,` outside of texts, found 64 bytes at a time; it compares the bytes before a colon with names, and tells the type of a
//! wanted value from its bytes. It allocates nothing once its buffers have grown, and its answer depends on the plan and the payload
//! alone.
//!
//! What that means for payloads that are no JSON:
//! - Bytes between marks that are neither a key nor a wanted value are passed over, whatever they are.
//! - A wanted value that is no text, number, `true`, `false` or `null` is missing. Of texts only the quotes are looked at, not what is
//!   between them. [`validate`](fn@validate) is for those who want to know.
//! - Where the marks can't be those of JSON (`{,`), where the payload ends too soon, and in containers more than 256 levels deep, all
//!   that was not found yet is missing. Containers that nobody wants anything of are passed over by counting brackets of both kinds.
//! - Of equal keys in an object, the first one counts. A key with escapes is the name that it means.
//!
//! Start at [`Plans::add`], then [`Reader::read`].

mod elements;
mod kernel;
mod memo;
mod plan;
mod scan;
mod text;
mod validate;
mod value;
mod walk;

#[cfg(test)]
mod tests;

pub use elements::{Elements, elements, value, whole};
pub use plan::{PlanIndex, Plans, Wanted};
pub use text::{BadEscape, unescape};
pub use validate::{Malformed, validate};
pub use value::{Found, Kind};

use crate::prefetch::prefetch as prefetch_line;
use crate::values::{All, Values};
use kernel::{BLOCK, Job, Kernel, Level};
use memo::{Memo, Recalled};
use walk::{Ground, walk};

/// Reads payloads, one after the other. Each thread has its own, and keeps it.
#[derive(Debug)]
pub struct Reader {
    level: Level,
    /// Whose shapes the memo has.
    identity: u64,
    remember: bool,
    memo: Memo,
    values: Values,
    ground: Ground,
}

impl Default for Reader {
    fn default() -> Self {
        Reader::new()
    }
}

impl Reader {
    /// A reader with the best instructions that this processor has.
    pub fn new() -> Reader {
        Reader::at(Level::detect())
    }

    fn at(level: Level) -> Reader {
        let (memo, values, ground) = (Memo::default(), Values::default(), Ground::default());
        Reader { level, identity: 0, remember: true, memo, values, ground }
    }

    /// A reader that walks through every payload and remembers none. For comparison.
    pub fn without_memo() -> Reader {
        Reader { remember: false, ..Reader::new() }
    }

    /// Forgets what was learned of other plans. [`Reader::read`] does it by itself as soon as it is given new plans; to do it before
    /// spares the first event the time.
    #[cold]
    pub fn reset_for(&mut self, plans: &Plans) {
        self.identity = plans.identity();
        self.memo.reset(if self.remember { plans.all().len() } else { 0 });
    }

    /// Finds the fields of a plan in `payload`; what was found before is forgotten. A payload that is no JSON object, or of 4 GiB and
    /// more, has no fields.
    ///
    /// The payload may be a part of another one that begins with an object, such as the [`Found`] of an element.
    pub fn read(&mut self, plans: &Plans, plan: PlanIndex, payload: &[u8]) {
        if self.identity != plans.identity() {
            self.reset_for(plans);
        }
        self.level.run(Read { reader: self, plans, index: plan, payload });
    }

    /// The values of a field of the plan, in the order of the payload; without `through_arrays` one at most.
    #[inline]
    pub fn values(&self, field: u32) -> impl Iterator<Item = Found> {
        self.values.all(field)
    }

    /// [`Reader::values`], by a name that can be kept.
    #[inline(always)]
    pub(crate) fn all_values(&self, field: u32) -> All<'_> {
        self.values.all(field)
    }

    /// The first value of a field of the plan.
    #[inline]
    pub fn first(&self, field: u32) -> Option<Found> {
        self.values.first(field)
    }

    /// The fields of the plan that have values.
    pub(crate) fn present(&self) -> impl Iterator<Item = u32> {
        self.values.present()
    }

    /// Whether fields were looked for in objects that are elements of arrays.
    #[inline]
    pub fn crossed_array(&self) -> bool {
        self.values.crossed_array
    }

    /// Where another reader puts what it finds in a payload that is no JSON; what was found before is to be forgotten.
    pub(crate) fn values_mut(&mut self) -> &mut Values {
        &mut self.values
    }

    /// Whether, of objects that are elements of arrays, one may not have all that was looked for. What says no is right.
    #[inline]
    pub fn is_ragged(&self) -> bool {
        self.values.is_ragged
    }

    /// Memory that the reader holds, spare room included.
    pub fn memory_bytes(&self) -> usize {
        self.memo.memory_bytes() + self.values.memory_bytes() + self.ground.memory_bytes()
    }
}

struct Read<'a> {
    reader: &'a mut Reader,
    plans: &'a Plans,
    index: PlanIndex,
    payload: &'a [u8],
}

impl Job for Read<'_> {
    type Output = ();

    #[inline(always)]
    fn run<K: Kernel>(self, kernel: K) {
        let Read { reader: Reader { remember, memo, values, ground, .. }, plans, index, payload } = self;
        let Some(plan) = plans.plan(index) else { return };
        values.begin(plan.fields);
        if payload.len() > u32::MAX as usize - BLOCK {
            return;
        }
        if *remember {
            match memo.recall(kernel, (plans, index), payload, values) {
                Recalled::Known => return,
                Recalled::Stranger => {
                    if let Some(shape) = memo.begin_learning(index) {
                        let well = walk(kernel, (plans, *plan), payload, (values, ground), shape);
                        return memo.end_learning(index, well);
                    }
                }
                Recalled::Unasked => {}
            }
        }
        walk(kernel, (plans, *plan), payload, (values, ground), ());
    }
}

/// Starts to load what a read of `payload` looks at first.
#[inline]
pub fn prefetch(payload: &[u8]) {
    for at in [0, 64, 128, 192, 256] {
        if let Some(byte) = payload.get(at) {
            prefetch_line(byte);
        }
    }
}
