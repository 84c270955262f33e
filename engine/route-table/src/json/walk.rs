//! The walk: from the payload's first mark to the last one that matters, member by member.
//!
//! What a walk does is a function of the marks that it meets, of the bytes before a colon (the keys), and of the bytes of wanted
//! values. It looks at nothing else: that is what makes it quick, and what [`memo`](super::memo) rests upon.

use super::kernel::Kernel;
use super::plan::{Child, Node, Plan, Plans};
use super::scan::Scan;
use super::text::unescape;
use super::value::{Found, Kind, escaped_text, plain_value, trim};
use crate::values::Values;

/// How deep a walk goes; containers further inside are passed over.
pub(super) const DEPTH: usize = 256;

/// Learns which bytes a walk depended on.
pub(super) trait Record {
    /// On these, the last one included: marks and keys.
    fn keep(&mut self, bytes: &[u8], from: usize, to: usize);
    /// On the value between the colon that was kept last and the mark that will be kept next.
    fn stop(&mut self, node: u32);
    /// On brackets only, until so many containers were closed.
    fn cut(&mut self, depth: usize);
    /// On something else.
    fn spoil(&mut self);
}

/// Learns nothing.
impl Record for () {
    #[inline(always)]
    fn keep(&mut self, _: &[u8], _: usize, _: usize) {}
    #[inline(always)]
    fn stop(&mut self, _: u32) {}
    #[inline(always)]
    fn cut(&mut self, _: usize) {}
    #[inline(always)]
    fn spoil(&mut self) {}
}

/// A container on the way.
#[derive(Clone, Copy, Debug, Default)]
struct Frame {
    /// What is wanted of it, or of the elements of an array.
    node: u32,
    /// Names that are wanted of the object and were not met yet.
    unmet: u32,
    /// Which object this is, of all that were ever walked.
    serial: u64,
    array: bool,
    /// It is an array, or lies within one that was gone through.
    within_array: bool,
}

/// What walks leave to walks: memory, and a number for every object.
#[derive(Debug)]
pub(super) struct Ground {
    frames: Box<[Frame; DEPTH]>,
    /// The object in which a name was met last, by the node that the name leads to: the first of equal keys counts.
    met: Vec<u64>,
    serial: u64,
    name: Vec<u8>,
}

impl Default for Ground {
    fn default() -> Self {
        Ground { frames: Box::new([Frame::default(); DEPTH]), met: Vec::new(), serial: 0, name: Vec::new() }
    }
}

impl Ground {
    pub(super) fn memory_bytes(&self) -> usize {
        size_of::<[Frame; DEPTH]>() + self.met.capacity() * size_of::<u64>() + self.name.capacity()
    }
}

pub(super) struct Walk<'a, 'p, K, R> {
    plans: &'a Plans,
    plan: Plan,
    scan: Scan<'p, K>,
    values: &'a mut Values,
    ground: &'a mut Ground,
    top: Frame,
    /// Of the container at hand.
    node: &'a Node,
    children: &'a [Child],
    depth: usize,
    record: R,
}

/// Where a walk stands.
#[derive(Clone, Copy)]
enum Step {
    /// After the comma or opening bracket at this place, where a member or an element begins.
    Item(usize),
    /// At the end of the container at hand: its closing bracket.
    Closed(usize),
    /// After the closing bracket of a container within the one at hand.
    After(usize),
    /// Within containers that nobody wants more of: so many until the one at hand.
    Skip(usize),
    /// At the end; `true` if nothing was amiss.
    End(bool),
}

use Step::{After, Closed, End, Item, Skip};

const BROKEN: Step = End(false);

/// Walks through `bytes` and puts what is wanted of them into `values`. True if it could go as far as it wanted.
#[inline(always)]
pub(super) fn walk<K: Kernel, R: Record>(
    kernel: K,
    (plans, plan): (&Plans, Plan),
    bytes: &[u8],
    (values, ground): (&mut Values, &mut Ground),
    mut record: R,
) -> bool {
    let mut scan = Scan::new(kernel, bytes);
    let (Some(first), Some(root)) = (scan.mark(), plans.node(plan.root)) else { return false };
    if scan.byte(first) != b'{' || trim(bytes, 0, first) != (first, first) {
        return false;
    }
    if root.wanted == 0 {
        return true;
    }
    if ground.met.len() < plan.nodes as usize {
        ground.met.resize(plan.nodes as usize, 0);
    }
    ground.serial += 1;
    record.keep(bytes, 0, first);
    let top = Frame { node: plan.root, unmet: root.wanted, serial: ground.serial, array: false, within_array: false };
    let children = plans.children(root);
    let mut walk = Walk { plans, plan, scan, values, ground, top, node: root, children, depth: 0, record };
    let mut step = Item(first);
    loop {
        step = match step {
            Item(at) if walk.top.array => walk.elements(at),
            Item(at) => walk.members(at),
            Closed(mark) => walk.leave(mark, false, 0),
            After(end) => walk.after(end),
            Skip(levels) => walk.skip(levels),
            End(well) => return well,
        }
    }
}

impl<'a, K: Kernel, R: Record> Walk<'a, '_, K, R> {
    #[inline(always)]
    fn keep(&mut self, from: usize, to: usize) {
        self.record.keep(self.scan.bytes, from, to);
    }

    /// Members of objects, one after the other; the first one begins after the mark at `before`.
    #[inline(always)]
    fn members(&mut self, mut before: usize) -> Step {
        loop {
            match self.member(before) {
                Item(mark) if !self.top.array => before = mark,
                other => return other,
            }
        }
    }

    #[inline(always)]
    fn member(&mut self, before: usize) -> Step {
        let Some(colon) = self.scan.mark() else { return BROKEN };
        self.keep(before + 1, colon);
        match self.scan.byte(colon) {
            b':' => {}
            b'}' if self.scan.byte(before) == b'{' => return Closed(colon),
            _ => return BROKEN,
        }
        let Some(mark) = self.scan.mark() else { return BROKEN };
        match self.child(before + 1, colon) {
            Some((place, node)) => self.take(place, node, colon, mark),
            None => self.pass(mark),
        }
    }

    /// What is wanted by the key between `start` and its colon, if it is the first one of that name.
    #[inline(always)]
    fn child(&mut self, start: usize, colon: usize) -> Option<(u32, &'a Node)> {
        let bytes = self.scan.bytes;
        let node = match self.plans.child((self.node, self.children), bytes, start, colon) {
            Some(child) => child.node,
            None if self.scan.byte(start) == b'"'
                && self.scan.byte(colon - 1) == b'"'
                && !self.scan.may_escape(start) =>
            {
                return None;
            }
            None => unusual_child(self.plans, self.node, bytes, (start, colon), &mut self.ground.name)?.node,
        };
        let wanted = self.plans.node(node)?;
        if self.top.within_array && !wanted.leaf_through && wanted.wanted_through == 0 {
            return None;
        }
        let met = self.ground.met.get_mut((node - self.plan.root) as usize)?;
        if *met == self.top.serial {
            return None;
        }
        *met = self.top.serial;
        self.top.unmet -= 1;
        Some((node, wanted))
    }

    /// Goes on behind a value that nobody wants, whose first mark this is.
    #[inline(always)]
    fn pass(&mut self, mark: usize) -> Step {
        self.keep(mark, mark);
        match self.scan.byte(mark) {
            b',' => Item(mark),
            b'}' => Closed(mark),
            b'{' | b'[' => Skip(1),
            _ => BROKEN,
        }
    }

    /// Takes what is wanted of the value between a colon and the next mark, or of the container that the mark begins.
    #[inline(always)]
    fn take(&mut self, place: u32, node: &'a Node, colon: usize, mark: usize) -> Step {
        let (bytes, within_array) = (self.scan.bytes, self.top.within_array);
        if node.leaf || node.leaf_through {
            self.record.stop(place);
        }
        self.keep(mark, mark);
        let what = self.scan.byte(mark);
        match what {
            b',' | b'}' => {
                if (node.leaf || node.leaf_through)
                    && let Some(found) = plain_value(self.scan.kernel, bytes, colon + 1, mark)
                {
                    self.values.put(self.plans.leaves(node), found, true, !within_array);
                }
                self.values.is_ragged |= within_array && node.wanted_through != 0;
                match (self.top.unmet, what) {
                    (0, _) => self.leave(mark, what != b'}', 0),
                    (_, b',') => Item(mark),
                    _ => Closed(mark),
                }
            }
            b'{' => {
                if node.leaf || node.leaf_through {
                    let found = Found::new(Kind::Object, mark, bytes.len());
                    self.values.put(self.plans.leaves(node), found, true, !within_array);
                }
                self.enter_object(mark, (place, node), within_array)
            }
            b'[' => {
                if node.leaf && !within_array {
                    let found = Found::new(Kind::Array, mark, bytes.len());
                    self.values.put(self.plans.leaves(node), found, false, true);
                }
                self.enter_array(mark, (place, node))
            }
            _ => BROKEN,
        }
    }

    /// Goes on within the object that begins at `mark` if something is wanted of it, else behind it.
    #[inline(always)]
    fn enter_object(&mut self, mark: usize, (place, node): (u32, &'a Node), within_array: bool) -> Step {
        let unmet = if within_array { node.wanted_through } else { node.wanted };
        if unmet == 0 {
            return self.pass_container(mark);
        }
        self.ground.serial += 1;
        self.enter(mark, node, Frame { node: place, unmet, serial: self.ground.serial, array: false, within_array })
    }

    #[inline(always)]
    fn enter_array(&mut self, mark: usize, (place, node): (u32, &'a Node)) -> Step {
        if !node.leaf_through && node.wanted_through == 0 {
            return self.pass_container(mark);
        }
        self.record.spoil();
        self.enter(mark, node, Frame { node: place, unmet: 1, serial: 0, array: true, within_array: true })
    }

    #[inline(always)]
    fn enter(&mut self, mark: usize, node: &'a Node, frame: Frame) -> Step {
        match self.ground.frames.get_mut(self.depth) {
            Some(place) => {
                *place = self.top;
                (self.top, self.node, self.children) = (frame, node, self.plans.children(node));
                self.depth += 1;
                Item(mark)
            }
            None => self.pass_container(mark),
        }
    }

    /// Goes on behind the container that begins at `mark`, or further if nothing more is wanted around it.
    #[inline(always)]
    fn pass_container(&mut self, mark: usize) -> Step {
        if self.top.unmet == 0 { self.leave(mark, true, 1) } else { Skip(1) }
    }

    /// Elements of arrays, one after the other; the first one begins after the mark at `before`.
    #[inline(always)]
    fn elements(&mut self, mut before: usize) -> Step {
        loop {
            match self.element(before) {
                Item(mark) if self.top.array => before = mark,
                other => return other,
            }
        }
    }

    #[inline(always)]
    fn element(&mut self, before: usize) -> Step {
        let Some(mark) = self.scan.mark() else { return BROKEN };
        let (bytes, node) = (self.scan.bytes, self.node);
        match self.scan.byte(mark) {
            what @ (b',' | b']') => {
                if node.leaf_through
                    && let Some(found) = plain_value(self.scan.kernel, bytes, before + 1, mark)
                {
                    self.values.put(self.plans.leaves(node), found, true, false);
                }
                self.values.is_ragged |= node.wanted_through != 0;
                if what == b',' { Item(mark) } else { Closed(mark) }
            }
            b'{' => {
                if node.leaf_through {
                    let found = Found::new(Kind::Object, mark, bytes.len());
                    self.values.put(self.plans.leaves(node), found, true, false);
                }
                self.values.crossed_array |= node.wanted_through != 0;
                self.enter_object(mark, (self.top.node, node), true)
            }
            b'[' => self.enter_array(mark, (self.top.node, node)),
            _ => BROKEN,
        }
    }

    /// Goes on where something is still wanted, in a container around the one at hand. `open`: the one at hand goes on at `mark`;
    /// `levels` containers within it do, too.
    #[inline(always)]
    fn leave(&mut self, mark: usize, open: bool, mut levels: usize) -> Step {
        levels += usize::from(open);
        self.values.is_ragged |= self.top.within_array && !self.top.array && self.top.unmet != 0;
        while let Some(depth) = self.depth.checked_sub(1)
            && let Some(frame) = self.ground.frames.get(depth)
        {
            self.depth = depth;
            if frame.unmet != 0 {
                let Some(node) = self.plans.node(frame.node) else { return BROKEN };
                (self.top, self.node, self.children) = (*frame, node, self.plans.children(node));
                return if levels == 0 { After(mark) } else { Skip(levels) };
            }
            levels += 1;
        }
        End(true)
    }

    /// Goes on after the end of so many containers.
    #[inline(always)]
    fn skip(&mut self, levels: usize) -> Step {
        self.record.cut(levels);
        let Some(end) = self.scan.skip(levels) else { return BROKEN };
        self.keep(end, end);
        After(end)
    }

    /// Goes on after a container within the one at hand; its closing bracket is at `end`.
    #[inline(always)]
    fn after(&mut self, end: usize) -> Step {
        let Some(mark) = self.scan.mark() else { return BROKEN };
        self.keep(end + 1, mark);
        match self.scan.byte(mark) {
            b',' => Item(mark),
            b'}' if !self.top.array => Closed(mark),
            b']' if self.top.array => Closed(mark),
            _ => BROKEN,
        }
    }
}

/// [`Plans::child`] for keys with white space around them or with escapes.
#[cold]
#[inline(never)]
fn unusual_child<'a>(
    plans: &'a Plans,
    node: &Node,
    bytes: &[u8],
    (start, colon): (usize, usize),
    name: &mut Vec<u8>,
) -> Option<&'a Child> {
    let (start, end) = trim(bytes, start, colon);
    let inner = bytes.get(start..end)?.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let Some(escape) = inner.iter().position(|byte| *byte == b'\\') else {
        return plans.child((node, plans.children(node)), bytes, start, end);
    };
    escaped_text(bytes, start + 1, start + 1 + escape, end - 1)?;
    unescape(inner, name).ok()?;
    name.insert(0, b'"');
    name.push(b'"');
    plans.child_named(node, name)
}
