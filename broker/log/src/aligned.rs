//! Memory at addresses that direct writes accept.

use crate::segment::BLOCK_BYTES;

/// A buffer whose first byte lies on a 4 KiB boundary.
#[derive(Debug)]
pub(crate) struct AlignedBuffer {
    memory: Vec<u8>,
    start: usize,
    len: usize,
}

impl AlignedBuffer {
    /// A zeroed buffer of `len` bytes.
    pub(crate) fn new(len: usize) -> Self {
        let memory = vec![0; len + BLOCK_BYTES];
        let start = (BLOCK_BYTES - memory.as_ptr().addr() % BLOCK_BYTES) % BLOCK_BYTES;
        Self { memory, start, len }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.len]
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.len]
    }
}

/// `value` rounded up to a multiple of `unit`, which is a power of two.
pub(crate) const fn align_up(value: u64, unit: u64) -> u64 {
    (value + unit - 1) & !(unit - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_start_on_a_block() {
        for len in [1, 4096, 100_000] {
            let buffer = AlignedBuffer::new(len);
            assert_eq!(buffer.as_slice().as_ptr().addr() % BLOCK_BYTES, 0);
            assert_eq!(buffer.as_slice().len(), len);
        }
    }
}
