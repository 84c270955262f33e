//! The kernel for aarch64, where every processor has NEON: four registers to a block.

use super::{BLANKS, BLOCK, Job, Kernel, Masks, keeps_by_runs, nth_one_by_one, pad, xor_prefix_by_shifts};
use std::arch::aarch64::*;

/// Four registers to a block.
#[derive(Clone, Copy, Debug)]
pub(in crate::json) struct Neon(());

impl Neon {
    /// `None` where the processor lacks it.
    pub(super) fn new() -> Option<Neon> {
        std::arch::is_aarch64_feature_detected!("neon").then_some(Neon(()))
    }

    /// The bits of a block from four registers of bytes that are all ones or zero.
    #[inline(always)]
    fn gather(self, bytes: [uint8x16_t; 4]) -> u64 {
        const WEIGHTS: [u8; 16] = [1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128];
        let [a, b, c, d] = bytes;
        // SAFETY: `new` has asked for neon, and `WEIGHTS` is as long as the load.
        unsafe {
            let weights = vld1q_u8(WEIGHTS.as_ptr());
            let low = vpaddq_u8(vandq_u8(a, weights), vandq_u8(b, weights));
            let high = vpaddq_u8(vandq_u8(c, weights), vandq_u8(d, weights));
            let all = vpaddq_u8(low, high);
            vgetq_lane_u64::<0>(vreinterpretq_u64_u8(vpaddq_u8(all, all)))
        }
    }
}

/// Compiles a job for the kernel's instructions.
#[target_feature(enable = "neon")]
pub(super) fn run_with_neon<J: Job>(kernel: Neon, job: J) -> J::Output {
    job.run(kernel)
}

impl Kernel for Neon {
    type Block = [uint8x16_t; 4];

    #[inline(always)]
    fn load(self, bytes: &[u8], at: usize) -> [uint8x16_t; 4] {
        let rest = bytes.get(at..).unwrap_or_default();
        let padded;
        let whole = match rest.first_chunk::<BLOCK>() {
            Some(whole) => whole,
            None => {
                padded = pad(rest);
                &padded
            }
        };
        let place = whole.as_ptr();
        // SAFETY: `whole` has room for all four parts, loads need no alignment, and `new` has asked for neon.
        unsafe { [vld1q_u8(place), vld1q_u8(place.add(16)), vld1q_u8(place.add(32)), vld1q_u8(place.add(48))] }
    }

    #[inline(always)]
    fn classify(self, block: [uint8x16_t; 4]) -> Masks {
        // Brackets differ from braces in one bit, and no other byte becomes a brace by it.
        // SAFETY: `new` has asked for neon.
        let braces = block.map(|part| unsafe { vorrq_u8(part, vdupq_n_u8(0x20)) });
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
    fn text_stops(self, block: [uint8x16_t; 4]) -> u64 {
        self.equal(block, b'"') | self.equal(block, b'\\')
    }

    #[inline(always)]
    fn digits(self, block: [uint8x16_t; 4]) -> u64 {
        // SAFETY: `new` has asked for neon.
        self.gather(block.map(|part| unsafe { vcltq_u8(vsubq_u8(part, vdupq_n_u8(b'0')), vdupq_n_u8(10)) }))
    }

    #[inline(always)]
    fn controls(self, block: [uint8x16_t; 4]) -> u64 {
        // SAFETY: `new` has asked for neon.
        self.gather(block.map(|part| unsafe { vcltq_u8(part, vdupq_n_u8(0x20)) }))
    }

    #[inline(always)]
    fn blanks(self, block: [uint8x16_t; 4]) -> u64 {
        // SAFETY: `new` has asked for neon, and `BLANKS` is as long as the load.
        self.gather(block.map(|part| unsafe {
            let blanks = vld1q_u8(BLANKS.as_ptr());
            vceqq_u8(part, vqtbl1q_u8(blanks, vandq_u8(part, vdupq_n_u8(0x0f))))
        }))
    }

    #[inline(always)]
    fn equal(self, block: [uint8x16_t; 4], byte: u8) -> u64 {
        // SAFETY: `new` has asked for neon.
        self.gather(block.map(|part| unsafe { vceqq_u8(part, vdupq_n_u8(byte)) }))
    }

    #[inline(always)]
    fn with_bit(self, block: [uint8x16_t; 4], bit: u8) -> u64 {
        // SAFETY: `new` has asked for neon.
        self.gather(block.map(|part| unsafe { vtstq_u8(part, vdupq_n_u8(bit)) }))
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
    fn keeps(self, _: [uint8x16_t; 4], bytes: &[u8], at: usize, keep: u64, count: u32, kept: &[u8; BLOCK]) -> bool {
        keeps_by_runs(bytes, at, keep, count, kept)
    }
}
