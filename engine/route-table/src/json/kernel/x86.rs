//! Kernels for x86_64: AVX2, AVX-512 and AVX-512 with VBMI2.
//!
//! The intrinsics are unsafe where the processor may lack them. Each kernel here can be made only by a `new` that asked the processor
//! for all of them, and its methods are inlined into functions that are compiled for them.

use super::{BLOCK, Job, Kernel, Masks, keeps_by_runs};
use std::arch::x86_64::*;

macro_rules! kernel {
    ($(#[$doc:meta])* $name:ident, $run_with:ident: $($feature:tt),*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub(in crate::json) struct $name(());

        impl $name {
            /// `None` where the processor lacks a part of it.
            pub(super) fn new() -> Option<$name> {
                ($(is_x86_feature_detected!($feature))&&*).then_some($name(()))
            }
        }

        /// Compiles a job for the kernel's instructions.
        $(#[target_feature(enable = $feature)])*
        pub(super) fn $run_with<J: Job>(kernel: $name, job: J) -> J::Output {
            job.run(kernel)
        }
    };
}

kernel! {
    /// Two registers to a block.
    Avx2, run_with_avx2: "avx2", "bmi1", "bmi2", "lzcnt", "popcnt", "pclmulqdq"
}
kernel! {
    /// One register to a block, and nothing beyond a text's end is touched.
    Avx512, run_with_avx512: "avx512f", "avx512bw", "avx512vl", "avx2", "bmi1", "bmi2", "lzcnt", "popcnt", "pclmulqdq"
}
kernel! {
    /// Compresses a block to the bytes that are marked, too.
    Avx512Vbmi2, run_with_avx512_vbmi2:
    "avx512vbmi2", "avx512f", "avx512bw", "avx512vl", "avx2", "bmi1", "bmi2", "lzcnt", "popcnt", "pclmulqdq"
}

#[inline(always)]
fn xor_prefix(bits: u64) -> u64 {
    // SAFETY: all kernels have asked for pclmulqdq.
    unsafe { _mm_cvtsi128_si64(_mm_clmulepi64_si128::<0>(_mm_set_epi64x(0, bits as i64), _mm_set1_epi8(-1))) as u64 }
}

#[inline(always)]
fn nth(bits: u64, n: u32) -> u32 {
    // SAFETY: all kernels have asked for bmi2.
    unsafe { _pdep_u64(1u64.checked_shl(n).unwrap_or(0), bits) }.trailing_zeros()
}

type Halves = (__m256i, __m256i);

impl Avx2 {
    #[inline(always)]
    fn mask(self, block: Halves, of: impl Fn(__m256i) -> __m256i) -> u64 {
        // SAFETY: `new` has asked for avx2.
        let (low, high) = unsafe { (_mm256_movemask_epi8(of(block.0)), _mm256_movemask_epi8(of(block.1))) };
        u64::from(low as u32) | u64::from(high as u32) << 32
    }

    #[inline(always)]
    fn equal(self, block: Halves, byte: u8) -> u64 {
        // SAFETY: `new` has asked for avx2.
        self.mask(block, |half| unsafe { _mm256_cmpeq_epi8(half, _mm256_set1_epi8(byte as i8)) })
    }

    /// Bytes that are at most `bound`.
    #[inline(always)]
    fn at_most(self, block: Halves, bound: u8) -> u64 {
        // SAFETY: `new` has asked for avx2.
        self.mask(block, |half| unsafe {
            _mm256_cmpeq_epi8(_mm256_min_epu8(half, _mm256_set1_epi8(bound as i8)), half)
        })
    }
}

impl Kernel for Avx2 {
    type Block = Halves;

    #[inline(always)]
    fn load(self, bytes: &[u8], at: usize) -> Halves {
        let rest = bytes.get(at..).unwrap_or_default();
        let mut padded = [0; BLOCK];
        let whole = match rest.first_chunk::<BLOCK>() {
            Some(whole) => whole,
            None => {
                for (to, from) in padded.iter_mut().zip(rest) {
                    *to = *from;
                }
                &padded
            }
        };
        let place = whole.as_ptr().cast::<__m256i>();
        // SAFETY: `whole` has room for both halves, loads need no alignment, and `new` has asked for avx2.
        unsafe { (_mm256_loadu_si256(place), _mm256_loadu_si256(place.add(1))) }
    }

    #[inline(always)]
    fn classify(self, block: Halves) -> Masks {
        // SAFETY: `new` has asked for avx2.
        let brace = |half| unsafe { _mm256_or_si256(half, _mm256_set1_epi8(0x20)) };
        // Brackets differ from braces in one bit, and no other byte becomes a brace by it.
        let braces = (brace(block.0), brace(block.1));
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
    fn text_stops(self, block: Halves) -> u64 {
        self.equal(block, b'"') | self.equal(block, b'\\')
    }

    #[inline(always)]
    fn digits(self, block: Halves) -> u64 {
        self.at_most(block, b'9') & !self.at_most(block, b'0' - 1)
    }

    #[inline(always)]
    fn controls(self, block: Halves) -> u64 {
        self.at_most(block, 0x1f)
    }

    #[inline(always)]
    fn xor_prefix(self, bits: u64) -> u64 {
        xor_prefix(bits)
    }

    #[inline(always)]
    fn nth(self, bits: u64, n: u32) -> u32 {
        nth(bits, n)
    }

    #[inline(always)]
    fn keeps(self, _: Halves, bytes: &[u8], at: usize, keep: u64, count: u32, kept: &[u8; BLOCK]) -> bool {
        keeps_by_runs(bytes, at, keep, count, kept)
    }
}

/// A block of at most 64 bytes, read without touching what lies beyond it.
#[inline(always)]
fn load_masked(bytes: &[u8], at: usize) -> __m512i {
    let rest = bytes.get(at..).unwrap_or_default();
    match rest.first_chunk::<BLOCK>() {
        // SAFETY: a whole block is there, loads need no alignment, and both AVX-512 kernels have asked for avx512f.
        Some(whole) => unsafe { _mm512_loadu_si512(whole.as_ptr().cast()) },
        // SAFETY: only bytes of `rest` are read, loads need no alignment, and both AVX-512 kernels have asked for avx512bw and bmi2.
        None => unsafe { _mm512_maskz_loadu_epi8(_bzhi_u64(u64::MAX, rest.len() as u32), rest.as_ptr().cast()) },
    }
}

#[inline(always)]
fn equal(block: __m512i, byte: u8) -> u64 {
    // SAFETY: both AVX-512 kernels have asked for avx512bw.
    unsafe { _mm512_cmpeq_epi8_mask(block, _mm512_set1_epi8(byte as i8)) }
}

#[inline(always)]
fn below(block: __m512i, bound: u8) -> u64 {
    // SAFETY: both AVX-512 kernels have asked for avx512bw.
    unsafe { _mm512_cmplt_epu8_mask(block, _mm512_set1_epi8(bound as i8)) }
}

#[inline(always)]
fn classify(block: __m512i) -> Masks {
    // SAFETY: both AVX-512 kernels have asked for avx512f. Brackets differ from braces in one bit, and no other byte becomes a brace
    // by it.
    let braces = unsafe { _mm512_or_si512(block, _mm512_set1_epi8(0x20)) };
    Masks {
        quotes: equal(block, b'"'),
        backslashes: equal(block, b'\\'),
        colons: equal(block, b':'),
        commas: equal(block, b','),
        opens: equal(braces, b'{'),
        closes: equal(braces, b'}'),
    }
}

macro_rules! avx512 {
    ($name:ident, $keeps:item) => {
        impl Kernel for $name {
            type Block = __m512i;

            #[inline(always)]
            fn load(self, bytes: &[u8], at: usize) -> __m512i {
                load_masked(bytes, at)
            }

            #[inline(always)]
            fn classify(self, block: __m512i) -> Masks {
                classify(block)
            }

            #[inline(always)]
            fn text_stops(self, block: __m512i) -> u64 {
                equal(block, b'"') | equal(block, b'\\')
            }

            #[inline(always)]
            fn digits(self, block: __m512i) -> u64 {
                // SAFETY: `new` has asked for avx512bw.
                below(unsafe { _mm512_sub_epi8(block, _mm512_set1_epi8(b'0' as i8)) }, 10)
            }

            #[inline(always)]
            fn controls(self, block: __m512i) -> u64 {
                below(block, 0x20)
            }

            #[inline(always)]
            fn xor_prefix(self, bits: u64) -> u64 {
                xor_prefix(bits)
            }

            #[inline(always)]
            fn nth(self, bits: u64, n: u32) -> u32 {
                nth(bits, n)
            }

            $keeps
        }
    };
}

avx512! { Avx512,
    #[inline(always)]
    fn keeps(self, _: __m512i, bytes: &[u8], at: usize, keep: u64, count: u32, kept: &[u8; BLOCK]) -> bool {
        keeps_by_runs(bytes, at, keep, count, kept)
    }
}

avx512! { Avx512Vbmi2,
    #[inline(always)]
    fn keeps(self, block: __m512i, _: &[u8], _: usize, keep: u64, count: u32, kept: &[u8; BLOCK]) -> bool {
        // SAFETY: `kept` is as long as the load, which needs no alignment, and `new` has asked for avx512vbmi2, avx512bw and bmi2.
        unsafe {
            let packed = _mm512_maskz_compress_epi8(keep, block);
            let expected = _mm512_loadu_si512(kept.as_ptr().cast());
            _mm512_mask_cmpneq_epi8_mask(_bzhi_u64(u64::MAX, count), packed, expected) == 0
        }
    }
}
