//! What a processor finds out about 64 bytes at once, in its own way: five kernels with one meaning.
//!
//! A kernel is a value that exists only where the processor has the instructions that it is made of, so everything above is safe
//! code. It is chosen once, by [`Level::detect`], and [`Level::run`] compiles a job anew for each kernel: what a job calls is inlined
//! into it, down to single instructions.

#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

use portable::Portable;

/// Bytes of a block: as many as a word of the processor has bits.
pub(super) const BLOCK: usize = 64;

/// White space by the low four bits of a byte; where there is none with these, a byte that has others.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const BLANKS: [u8; 16] = {
    let mut table = [0x80; 16];
    (table[0x0], table[0x9], table[0xa], table[0xd]) = (b' ', b'\t', b'\n', b'\r');
    table
};

/// What stands where in a block: bit `i` speaks of byte `i`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Masks {
    pub(super) quotes: u64,
    pub(super) backslashes: u64,
    pub(super) colons: u64,
    pub(super) commas: u64,
    /// `{` and `[`.
    pub(super) opens: u64,
    /// `}` and `]`.
    pub(super) closes: u64,
}

/// One way to look at a block. All kernels give the same answers.
pub(super) trait Kernel: Copy {
    /// 64 bytes where the kernel wants to have them.
    type Block: Copy;

    /// The block of `bytes` that begins at `at`, with zeros after their end.
    fn load(self, bytes: &[u8], at: usize) -> Self::Block;

    fn classify(self, block: Self::Block) -> Masks;

    /// Where a text ends or needs care: quotes and backslashes.
    fn text_stops(self, block: Self::Block) -> u64;

    /// `0` to `9`.
    fn digits(self, block: Self::Block) -> u64;

    /// Bytes that a text must escape: below 0x20.
    fn controls(self, block: Self::Block) -> u64;

    /// What JSON takes for white space.
    fn blanks(self, block: Self::Block) -> u64;

    fn equal(self, block: Self::Block, byte: u8) -> u64;

    /// Bytes with this bit: 0x80 for those that are not ASCII, 0x20 for braces among brackets.
    fn with_bit(self, block: Self::Block, bit: u8) -> u64;

    /// Bit `i` is the exclusive or of the bits up to and including `i`: with quotes, which bytes stand after an odd one.
    fn xor_prefix(self, bits: u64) -> u64;

    /// The place of the `n`th set bit, from 0; 64 or more if there are not as many.
    fn nth(self, bits: u64, n: u32) -> u32;

    /// Whether the first `count` bytes of the block that `keep` marks are those that `kept` begins with. `bytes` and `at` are those of
    /// the block. `count` is at most the number of marks.
    fn keeps(self, block: Self::Block, bytes: &[u8], at: usize, keep: u64, count: u32, kept: &[u8; BLOCK]) -> bool;
}

/// Something to do with the best kernel there is.
pub(super) trait Job {
    type Output;
    /// Should be `#[inline(always)]`, like all that it calls often: only then is it compiled for the kernel's instructions.
    fn run<K: Kernel>(self, kernel: K) -> Self::Output;
}

/// Which kernel to use.
#[derive(Clone, Copy, Debug)]
pub(super) enum Level {
    Portable(Portable),
    #[cfg(target_arch = "x86_64")]
    Avx2(x86::Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(x86::Avx512),
    #[cfg(target_arch = "x86_64")]
    Avx512Vbmi2(x86::Avx512Vbmi2),
    #[cfg(target_arch = "aarch64")]
    Neon(neon::Neon),
}

impl Level {
    /// The fastest one that this processor has.
    pub(super) fn detect() -> Level {
        Self::all().last().unwrap_or(Level::Portable(Portable))
    }

    /// All that this processor has, the fastest one last.
    pub(super) fn all() -> impl Iterator<Item = Level> {
        let levels = [
            Some(Level::Portable(Portable)),
            #[cfg(target_arch = "x86_64")]
            x86::Avx2::new().map(Level::Avx2),
            #[cfg(target_arch = "x86_64")]
            x86::Avx512::new().map(Level::Avx512),
            #[cfg(target_arch = "x86_64")]
            x86::Avx512Vbmi2::new().map(Level::Avx512Vbmi2),
            #[cfg(target_arch = "aarch64")]
            neon::Neon::new().map(Level::Neon),
        ];
        levels.into_iter().flatten()
    }

    /// Does the job.
    #[inline(always)]
    pub(super) fn run<J: Job>(self, job: J) -> J::Output {
        match self {
            Level::Portable(kernel) => job.run(kernel),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a kernel exists only where the processor has what its `run_with` is compiled for.
            Level::Avx2(kernel) => unsafe { x86::run_with_avx2(kernel, job) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Level::Avx512(kernel) => unsafe { x86::run_with_avx512(kernel, job) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Level::Avx512Vbmi2(kernel) => unsafe { x86::run_with_avx512_vbmi2(kernel, job) },
            #[cfg(target_arch = "aarch64")]
            // SAFETY: as above.
            Level::Neon(kernel) => unsafe { neon::run_with_neon(kernel, job) },
        }
    }
}

/// The bytes, which are fewer than a block's, with zeros after them.
#[inline(always)]
fn pad(bytes: &[u8]) -> [u8; BLOCK] {
    let mut padded = [0; BLOCK];
    if !(ends::<32>(bytes, &mut padded)
        || ends::<16>(bytes, &mut padded)
        || ends::<8>(bytes, &mut padded)
        || ends::<4>(bytes, &mut padded))
    {
        for (to, from) in padded.iter_mut().zip(bytes) {
            *to = *from;
        }
    }
    padded
}

/// Copies the first and the last `N` bytes, which are all if there are at most twice as many. False if there are fewer than `N`.
#[inline(always)]
fn ends<const N: usize>(bytes: &[u8], padded: &mut [u8; BLOCK]) -> bool {
    let (Some(first), Some(last)) = (bytes.first_chunk::<N>(), bytes.last_chunk::<N>()) else { return false };
    if let Some(to) = padded.first_chunk_mut() {
        *to = *first;
    }
    if let Some(to) = padded.get_mut(..bytes.len()).and_then(<[u8]>::last_chunk_mut) {
        *to = *last;
    }
    true
}

/// [`Kernel::xor_prefix`] for processors without a carry-less product.
#[inline(always)]
fn xor_prefix_by_shifts(mut bits: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << shift;
    }
    bits
}

/// [`Kernel::nth`] one bit after the other.
#[inline(always)]
fn nth_one_by_one(mut bits: u64, n: u32) -> u32 {
    for _ in 0..n {
        bits &= bits.wrapping_sub(1);
    }
    bits.trailing_zeros()
}

/// [`Kernel::keeps`] run by run: marks stand close together.
#[inline(always)]
fn keeps_by_runs(bytes: &[u8], at: usize, mut keep: u64, count: u32, kept: &[u8; BLOCK]) -> bool {
    let mut done = 0;
    while done < count as usize && keep != 0 {
        let start = keep.trailing_zeros();
        let run = ((!(keep >> start)).trailing_zeros() as usize).min(count as usize - done);
        let from = at + start as usize;
        if bytes.get(from..from + run) != kept.get(done..done + run) {
            return false;
        }
        done += run;
        // Adding the lowest mark to its run moves it to the run's end, and the run is gone.
        keep &= keep.wrapping_add(1 << start);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct Everything<'a> {
        bytes: &'a [u8],
        at: usize,
        keep: u64,
    }

    /// What a kernel says of a block, with what it must say found one by one.
    impl Job for Everything<'_> {
        type Output = ();

        fn run<K: Kernel>(self, kernel: K) {
            let Everything { bytes, at, keep } = self;
            let block = kernel.load(bytes, at);
            let byte = |i: u32| bytes.get(at + i as usize).copied().unwrap_or(0);
            let mask = |is: &dyn Fn(u8) -> bool| (0..64).fold(0, |bits, i| bits | u64::from(is(byte(i))) << i);
            let masks = Masks {
                quotes: mask(&|byte| byte == b'"'),
                backslashes: mask(&|byte| byte == b'\\'),
                colons: mask(&|byte| byte == b':'),
                commas: mask(&|byte| byte == b','),
                opens: mask(&|byte| byte == b'{' || byte == b'['),
                closes: mask(&|byte| byte == b'}' || byte == b']'),
            };
            assert_eq!(kernel.classify(block), masks);
            assert_eq!(kernel.text_stops(block), masks.quotes | masks.backslashes);
            assert_eq!(kernel.digits(block), mask(&|byte| byte.is_ascii_digit()));
            assert_eq!(kernel.controls(block), mask(&|byte| byte < 0x20));
            assert_eq!(kernel.blanks(block), mask(&|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')));
            for probe in [0, b'-', b'0', 0x80, 0xff] {
                assert_eq!(kernel.equal(block, probe), mask(&|byte| byte == probe));
            }
            for bit in (0..8).map(|bit| 1 << bit) {
                assert_eq!(kernel.with_bit(block, bit), mask(&|byte| byte & bit != 0));
            }
            assert_eq!(
                kernel.xor_prefix(keep),
                (0..64).fold(0, |bits, i| bits | ((keep << (63 - i)).count_ones() as u64 % 2) << i)
            );
            let marked: Vec<u32> = (0..64).filter(|i| keep >> i & 1 == 1).collect();
            for (n, place) in marked.iter().enumerate() {
                assert_eq!(kernel.nth(keep, n as u32), *place);
            }
            assert!(kernel.nth(keep, marked.len() as u32) >= 64);

            let within: Vec<u32> = marked.into_iter().filter(|i| at + (*i as usize) < bytes.len()).collect();
            let keep = within.iter().fold(0u64, |bits, i| bits | 1 << i);
            for count in 0..=within.len() {
                let mut kept = [b'?'; BLOCK];
                for (to, from) in kept.iter_mut().zip(within.iter().take(count)) {
                    *to = byte(*from);
                }
                assert!(kernel.keeps(block, bytes, at, keep, count as u32, &kept));
                for wrong in 0..count {
                    kept[wrong] ^= 4;
                    assert!(!kernel.keeps(block, bytes, at, keep, count as u32, &kept), "{wrong} of {count}");
                    kept[wrong] ^= 4;
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 2 } else { 256 }, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn every_kernel_says_what_is_there(
            bytes in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"\"\\:,{}[]09/\x1f\x0c\x1a;< \t\n\r\x00-\x80".to_vec())], 0..200),
            at in 0usize..130,
            keep in prop_oneof![any::<u64>(), Just(0), Just(u64::MAX), Just(1 << 63), any::<u64>().prop_map(|bits| bits | bits << 1 | bits << 2)],
        ) {
            for level in Level::all() {
                level.run(Everything { bytes: &bytes, at: at.min(bytes.len()), keep });
            }
        }
    }
}
