//! Kernels for x86_64: AVX2, AVX-512 and AVX-512 with VBMI2.
//!
//! The intrinsics are unsafe where the processor may lack them. Each kernel here can be made only by a `new` that asked the processor
//! for all of them, and its methods are inlined into functions that are compiled for them.

use super::{BLANKS, BLOCK, Job, Kernel, Masks, keeps_by_runs, pad};
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
    /// The top bits of a block's bytes.
    ///
    /// What is done to both halves is written out for both here: of closures, the compiler leaves some as functions of their own when
    /// they are many, which are then not made of the kernel's instructions.
    #[inline(always)]
    fn tops(self, (low, high): Halves) -> u64 {
        // SAFETY: `new` has asked for avx2.
        let (low, high) = unsafe { (_mm256_movemask_epi8(low), _mm256_movemask_epi8(high)) };
        u64::from(low as u32) | u64::from(high as u32) << 32
    }

    /// Bytes that are at most `bound`.
    #[inline(always)]
    fn at_most(self, (low, high): Halves, bound: u8) -> u64 {
        // SAFETY: `new` has asked for avx2.
        unsafe {
            let bound = _mm256_set1_epi8(bound as i8);
            self.tops((
                _mm256_cmpeq_epi8(_mm256_min_epu8(low, bound), low),
                _mm256_cmpeq_epi8(_mm256_min_epu8(high, bound), high),
            ))
        }
    }
}

impl Kernel for Avx2 {
    type Block = Halves;

    #[inline(always)]
    fn load(self, bytes: &[u8], at: usize) -> Halves {
        let rest = bytes.get(at..).unwrap_or_default();
        let padded;
        let whole = match rest.first_chunk::<BLOCK>() {
            Some(whole) => whole,
            None => {
                padded = pad(rest);
                &padded
            }
        };
        let place = whole.as_ptr().cast::<__m256i>();
        // SAFETY: `whole` has room for both halves, loads need no alignment, and `new` has asked for avx2.
        unsafe { (_mm256_loadu_si256(place), _mm256_loadu_si256(place.add(1))) }
    }

    #[inline(always)]
    fn classify(self, block: Halves) -> Masks {
        // Brackets differ from braces in one bit, and no other byte becomes a brace by it.
        // SAFETY: `new` has asked for avx2.
        let braces = unsafe {
            let bit = _mm256_set1_epi8(0x20);
            (_mm256_or_si256(block.0, bit), _mm256_or_si256(block.1, bit))
        };
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
    fn digits(self, (low, high): Halves) -> u64 {
        // SAFETY: `new` has asked for avx2.
        let from_zero = unsafe {
            let zero = _mm256_set1_epi8(b'0' as i8);
            (_mm256_sub_epi8(low, zero), _mm256_sub_epi8(high, zero))
        };
        self.at_most(from_zero, 9)
    }

    #[inline(always)]
    fn controls(self, block: Halves) -> u64 {
        self.at_most(block, 0x1f)
    }

    #[inline(always)]
    fn blanks(self, (low, high): Halves) -> u64 {
        // SAFETY: `new` has asked for avx2, and `BLANKS` is as long as the load. Of a byte that is not ASCII the table says zero.
        unsafe {
            let blanks = _mm256_broadcastsi128_si256(_mm_loadu_si128(BLANKS.as_ptr().cast()));
            self.tops((
                _mm256_cmpeq_epi8(low, _mm256_shuffle_epi8(blanks, low)),
                _mm256_cmpeq_epi8(high, _mm256_shuffle_epi8(blanks, high)),
            ))
        }
    }

    #[inline(always)]
    fn equal(self, (low, high): Halves, byte: u8) -> u64 {
        // SAFETY: `new` has asked for avx2.
        unsafe {
            let byte = _mm256_set1_epi8(byte as i8);
            self.tops((_mm256_cmpeq_epi8(low, byte), _mm256_cmpeq_epi8(high, byte)))
        }
    }

    #[inline(always)]
    fn with_bit(self, (low, high): Halves, bit: u8) -> u64 {
        // A mask is made of the top bits; those that come from the byte below are not among them.
        // SAFETY: `new` has asked for avx2.
        unsafe {
            let up = _mm_cvtsi32_si128(bit.leading_zeros() as i32);
            self.tops((_mm256_sll_epi16(low, up), _mm256_sll_epi16(high, up)))
        }
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
            fn blanks(self, block: __m512i) -> u64 {
                // SAFETY: `new` has asked for avx512f and avx512bw, and `BLANKS` is as long as the load. Of a byte that is not ASCII
                // the table says zero.
                unsafe {
                    let blanks = _mm512_broadcast_i32x4(_mm_loadu_si128(BLANKS.as_ptr().cast()));
                    _mm512_cmpeq_epi8_mask(block, _mm512_shuffle_epi8(blanks, block))
                }
            }

            #[inline(always)]
            fn equal(self, block: __m512i, byte: u8) -> u64 {
                equal(block, byte)
            }

            #[inline(always)]
            fn with_bit(self, block: __m512i, bit: u8) -> u64 {
                // SAFETY: `new` has asked for avx512bw.
                unsafe { _mm512_test_epi8_mask(block, _mm512_set1_epi8(bit as i8)) }
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
