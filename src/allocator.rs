//! The allocator, and what of its memory goes back to the system.

/// Faster than the system's under many small allocations by several threads; debug builds keep the system's, which
/// the sanitizers know.
#[cfg(not(debug_assertions))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[cfg(not(debug_assertions))]
#[allow(unsafe_code, reason = "a function of the allocator's that its crate does not pass on")]
unsafe extern "C" {
    /// May be called by any thread at any time.
    safe fn mi_collect(force: bool);
}

/// Gives back what all threads have freed and not used again for a second. The allocator does that by itself only while it is
/// asked for memory, so a process with nothing to do would keep what it needed last: 14 MiB after a thousand Services were
/// started once (docs/benchmarks.md).
pub fn give_back() {
    #[cfg(not(debug_assertions))]
    mi_collect(false);
}
