//! Asks the processor to load memory that will be read soon, and goes on without waiting for it.

/// Starts to load the cache line that `place` is in. A hint: it changes nothing that a program can see, and where no instruction
/// for it can be had, it does nothing.
#[inline(always)]
pub(crate) fn prefetch<T>(place: &T) {
    let place: *const T = place;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing into the program and can't fault, and every x86_64 processor has it.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(place.cast());
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above; the instruction belongs to the base set and touches neither memory, flags nor stack.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{0}]", in(reg) place, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = place;
}
