//! The memory that batches are written into.
//!
//! A batch lives until the log's tail cache lets it go, so at full speed tens of MiB a second are taken and given back.
//! Through the allocator the kernel cleared those pages anew each time: a sixth of the processor time of ingest
//! (`perf`, `clear_page_erms`). So batches are parts of slabs, and a slab is used again once all of its batches are gone.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Large enough for several full batches, small enough that one batch that is kept does not keep much beside it.
const SLAB_BYTES: usize = 2 << 20;

/// Slabs remembered for use again: more than the tail cache and the batches in flight hold.
const SLABS_KEPT: usize = 48;

/// The buffer of the batch that is being filled, and the slabs behind it.
#[derive(Debug)]
pub(crate) struct Slabs {
    open: BytesMut,
    /// Used slabs, oldest first. Each becomes free when its last batch is dropped.
    used: VecDeque<BytesMut>,
}

impl Slabs {
    pub(crate) fn new() -> Self {
        Self { open: BytesMut::with_capacity(SLAB_BYTES), used: VecDeque::new() }
    }

    /// Where the open batch is written.
    pub(crate) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.open
    }

    /// The size of the open batch so far.
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// Makes sure that a batch of up to `bytes` that begins now does not have to move. The open batch is empty.
    pub(crate) fn begin(&mut self, bytes: usize) {
        if self.open.capacity() >= bytes {
            return;
        }
        let size = SLAB_BYTES.max(bytes);
        let free = self.used.front_mut().is_some_and(|oldest| oldest.try_reclaim(size));
        let next = if free { self.used.pop_front() } else { None };
        let full = std::mem::replace(&mut self.open, next.unwrap_or_else(|| BytesMut::with_capacity(size)));
        self.used.push_back(full);
        if self.used.len() > SLABS_KEPT {
            self.used.pop_front();
        }
    }

    /// Ends the open batch.
    pub(crate) fn seal(&mut self) -> Bytes {
        self.open.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slab_is_used_again_once_its_batches_are_gone_and_not_before() {
        let mut slabs = Slabs::new();
        let mut kept = Vec::new();
        for n in 0_u32..64 {
            slabs.begin(256 << 10);
            slabs.buffer().extend_from_slice(&n.to_le_bytes().repeat(50 << 10));
            kept.push(slabs.seal());
        }
        for (n, batch) in kept.iter().enumerate() {
            assert_eq!(batch[..], (n as u32).to_le_bytes().repeat(50 << 10)[..], "batch {n}");
        }
        let slabs_needed = slabs.used.len();
        kept.clear();
        for n in 0_u32..640 {
            slabs.begin(256 << 10);
            slabs.buffer().extend_from_slice(&n.to_le_bytes().repeat(50 << 10));
            drop(slabs.seal());
        }
        assert!(slabs.used.len() <= slabs_needed + 1, "{} slabs where {slabs_needed} did", slabs.used.len());
    }
}
