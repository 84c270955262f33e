//! From one mark to the next: the marks of JSON, `{ } [ ] : ,` outside of texts, found a block at a time.

use super::kernel::{BLOCK, Kernel, Masks};

/// Turns the masks of blocks into those of their marks; what a block leaves to the next one is kept in between.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Texts {
    /// All ones within a text, else zero.
    within: u64,
    /// 1 if the next byte stands after a backslash that counts.
    escaped: u64,
}

impl Texts {
    /// The bytes of the block that stand outside of texts. An opening quote counts as inside, a closing one as outside; no mark is
    /// either.
    #[inline(always)]
    pub(super) fn outside<K: Kernel>(&mut self, kernel: K, masks: &Masks) -> u64 {
        self.next(kernel, masks).0
    }

    /// The same, and the bytes that a backslash escapes.
    #[inline(always)]
    pub(super) fn next<K: Kernel>(&mut self, kernel: K, masks: &Masks) -> (u64, u64) {
        let mut escaped = 0;
        if (masks.backslashes | self.escaped) != 0 {
            escaped = self.escaped(masks.backslashes);
        }
        let texts = kernel.xor_prefix(masks.quotes & !escaped) ^ self.within;
        self.within = ((texts as i64) >> 63) as u64;
        (!texts, escaped)
    }

    /// The bytes after an odd number of backslashes, without a loop: a run of backslashes that begins at an odd place and one that
    /// begins at an even one carry differently into the byte after them.
    #[inline(always)]
    fn escaped(&mut self, backslashes: u64) -> u64 {
        const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;
        let first = backslashes & !self.escaped;
        let after = first << 1;
        let turned = (after | ODD).wrapping_sub(first) ^ ODD;
        let escaped = turned ^ (backslashes | self.escaped);
        self.escaped = (turned & backslashes) >> 63;
        escaped
    }
}

/// Goes over the marks of some bytes.
pub(super) struct Scan<'p, K> {
    pub(super) kernel: K,
    pub(super) bytes: &'p [u8],
    pub(super) state: ScanState,
}

/// How far a scan has come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ScanState {
    /// Where the block at hand begins, and the next one.
    base: usize,
    next: usize,
    /// The marks of the block that are still to come.
    marks: u64,
    /// All its brackets, past ones included.
    opens: u64,
    closes: u64,
    texts: Texts,
    /// No backslash stands at this place or behind, as far as was looked.
    backslashes_end: usize,
}

impl<'p, K: Kernel> Scan<'p, K> {
    #[inline(always)]
    pub(super) fn new(kernel: K, bytes: &'p [u8]) -> Self {
        Self::resume(kernel, bytes, ScanState::default())
    }

    /// Goes on where another scan of the same bytes was left.
    #[inline(always)]
    pub(super) fn resume(kernel: K, bytes: &'p [u8], state: ScanState) -> Self {
        Scan { kernel, bytes, state }
    }

    /// Looks at the next block. False at the end.
    #[inline(always)]
    fn advance(&mut self) -> bool {
        if self.state.next >= self.bytes.len() {
            return false;
        }
        self.state.base = self.state.next;
        self.state.next += BLOCK;
        let masks = self.kernel.classify(self.kernel.load(self.bytes, self.state.base));
        if masks.backslashes != 0 {
            self.state.backslashes_end = self.state.next;
        }
        let outside = self.state.texts.outside(self.kernel, &masks);
        self.state.opens = masks.opens & outside;
        self.state.closes = masks.closes & outside;
        self.state.marks = (masks.colons | masks.commas) & outside | self.state.opens | self.state.closes;
        true
    }

    /// Where the next mark is; `None` at the end.
    #[inline(always)]
    pub(super) fn mark(&mut self) -> Option<usize> {
        while self.state.marks == 0 {
            if !self.advance() {
                return None;
            }
        }
        let at = self.state.base + self.state.marks.trailing_zeros() as usize;
        self.state.marks &= self.state.marks - 1;
        Some(at)
    }

    /// The byte at the place of a mark.
    #[inline(always)]
    pub(super) fn byte(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(0)
    }

    /// Goes on until `depth` more containers were closed than opened, whatever their kinds, and says where the last of them ends.
    /// `None` at the end. `depth` is at least 1.
    #[inline(always)]
    pub(super) fn skip(&mut self, mut depth: usize) -> Option<usize> {
        loop {
            if let Some(end) =
                closing(self.state.opens & self.state.marks, self.state.closes & self.state.marks, &mut depth)
            {
                self.state.marks &= !(end | (end - 1));
                return Some(self.state.base + end.trailing_zeros() as usize);
            }
            if !self.advance() {
                return None;
            }
        }
    }

    /// Whether a backslash may stand at `at` or behind it, as far as was looked.
    #[inline(always)]
    pub(super) fn may_escape(&self, at: usize) -> bool {
        at < self.state.backslashes_end
    }
}

/// The bracket of a block that closes the last of `depth` containers, as a mask; else counts `depth` on to the end of the block.
#[inline(always)]
pub(super) fn closing(opens: u64, mut closes: u64, depth: &mut usize) -> Option<u64> {
    // Most blocks can't hold it.
    if (closes.count_ones() as usize) < *depth {
        *depth = *depth + opens.count_ones() as usize - closes.count_ones() as usize;
        return None;
    }
    let mut closed = 0;
    while closes != 0 {
        let lowest = closes & closes.wrapping_neg();
        closed += 1;
        if *depth + (opens & (lowest - 1)).count_ones() as usize == closed {
            return Some(lowest);
        }
        closes ^= lowest;
    }
    *depth = *depth + opens.count_ones() as usize - closed;
    None
}
