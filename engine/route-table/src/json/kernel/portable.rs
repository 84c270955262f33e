//! The kernel for every processor: eight bytes at a time in a plain word.

use super::{BLOCK, Kernel, Masks, keeps_by_runs, nth_one_by_one, pad, xor_prefix_by_shifts};

/// Needs nothing.
#[derive(Clone, Copy, Debug)]
pub(in crate::json) struct Portable;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = ONES << 7;

/// The top bit of each byte that is zero.
#[inline(always)]
fn zeros(word: u64) -> u64 {
    !(((word & !HIGHS) + !HIGHS) | word) & HIGHS
}

/// The top bits of eight bytes, side by side.
#[inline(always)]
fn gather(tops: u64) -> u64 {
    (tops >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

#[inline(always)]
fn mask(block: [u64; 8], tops: impl Fn(u64) -> u64) -> u64 {
    block.iter().rev().fold(0, |bits, word| bits << 8 | gather(tops(*word)))
}

#[inline(always)]
fn all(byte: u8) -> u64 {
    ONES * u64::from(byte)
}

/// The top bit of each byte that is below `bound`, which is at most 128.
#[inline(always)]
fn below(word: u64, bound: u8) -> u64 {
    !(((word & !HIGHS) + all(128 - bound)) | word) & HIGHS
}

impl Kernel for Portable {
    type Block = [u64; 8];

    #[inline(always)]
    fn load(self, bytes: &[u8], at: usize) -> [u64; 8] {
        let rest = bytes.get(at..).unwrap_or_default();
        let padded;
        let whole = match rest.first_chunk::<BLOCK>() {
            Some(whole) => whole,
            None => {
                padded = pad(rest);
                &padded
            }
        };
        let mut block = [0; 8];
        for (word, eight) in block.iter_mut().zip(whole.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*eight);
        }
        block
    }

    #[inline(always)]
    fn classify(self, block: [u64; 8]) -> Masks {
        // Brackets differ from braces in one bit, and no other byte becomes a brace by it.
        let braces = block.map(|word| word | all(0x20));
        Masks {
            quotes: self.equal(block, b'"'),
            backslashes: self.equal(block, b'\\'),
            colons: self.equal(block, b':'),
            commas: self.equal(block, b','),
            opens: self.equal(braces, b'{'),
            closes: self.equal(braces, b'}'),
        }
    }

    #[inline(always)]
    fn text_stops(self, block: [u64; 8]) -> u64 {
        mask(block, |word| zeros(word ^ all(b'"')) | zeros(word ^ all(b'\\')))
    }

    #[inline(always)]
    fn digits(self, block: [u64; 8]) -> u64 {
        mask(block, |word| below(word, b'9' + 1) & !below(word, b'0'))
    }

    #[inline(always)]
    fn controls(self, block: [u64; 8]) -> u64 {
        mask(block, |word| below(word, 0x20))
    }

    #[inline(always)]
    fn blanks(self, block: [u64; 8]) -> u64 {
        let is = |word: u64, byte: u8| zeros(word ^ all(byte));
        mask(block, |word| is(word, b' ') | is(word, b'\t') | is(word, b'\n') | is(word, b'\r'))
    }

    #[inline(always)]
    fn equal(self, block: [u64; 8], byte: u8) -> u64 {
        mask(block, |word| zeros(word ^ all(byte)))
    }

    #[inline(always)]
    fn with_bit(self, block: [u64; 8], bit: u8) -> u64 {
        mask(block, |word| word << bit.leading_zeros() & HIGHS)
    }

    #[inline(always)]
    fn xor_prefix(self, bits: u64) -> u64 {
        xor_prefix_by_shifts(bits)
    }

    #[inline(always)]
    fn nth(self, bits: u64, n: u32) -> u32 {
        nth_one_by_one(bits, n)
    }

    #[inline(always)]
    fn keeps(self, _: [u64; 8], bytes: &[u8], at: usize, keep: u64, count: u32, kept: &[u8; BLOCK]) -> bool {
        keeps_by_runs(bytes, at, keep, count, kept)
    }
}
