//! The frame of a segment file: its header block, and the trailer that points at its footer.
//!
//! ```text
//! 0        header block: magic, format version, identity, number, use id, size
//! 4096     flushes, each on a 4 KiB boundary (see `record`)
//! ...      footer: what the segment holds (see `index`), written when the segment is sealed
//! size-4Ki trailer block: where the footer is
//! ```
//!
//! Every block begins with its checksum and the version that wrote it, in every version. A program refuses a block of a
//! version that it does not know, by that number; and as a program of this version gives the identity file its own
//! version when it opens a directory, before it writes anything else there, an older one refuses the whole directory.
//! Version 2 is still read: its records and footers mean the same here.

use crate::record::{put, u32_at, u64_at};
use crate::types::Identity;

/// Unit of every write.
pub(crate) const BLOCK_BYTES: usize = 4096;
/// Where the first flush starts.
pub(crate) const DATA_START: u64 = BLOCK_BYTES as u64;
/// What a segment needs beside one largest record: header block, rounding, the smallest footer, trailer block.
pub(crate) const SEGMENT_OVERHEAD_BYTES: u64 = 6 * BLOCK_BYTES as u64;
/// Version of everything this crate writes.
pub(crate) const FORMAT_VERSION: u32 = 3;
/// The oldest version that it reads.
const OLDEST_VERSION: u32 = 2;

const SEGMENT_MAGIC: [u8; 8] = *b"PeltonSg";
const TRAILER_MAGIC: [u8; 8] = *b"PeltonFt";
const IDENTITY_MAGIC: [u8; 8] = *b"PeltonId";
/// Bytes of a block that its CRC covers; the rest is zeros.
const COVERED: usize = 128;

/// Name of the file that says whose directory this is.
pub(crate) const IDENTITY_NAME: &str = "identity";
/// Name of the identity file while it is written.
pub(crate) const IDENTITY_TEMPORARY: &str = "identity.tmp";

/// Name of segment `number`.
pub(crate) fn segment_name(number: u64) -> String {
    format!("log-{number:012}.seg")
}

/// Name of segment `number` while it is prepared.
pub(crate) fn temporary_name(number: u64) -> String {
    format!("prepare-{number:012}.tmp")
}

/// The number in a segment's name.
pub(crate) fn segment_number(name: &str) -> Option<u64> {
    let number = name.strip_prefix("log-")?.strip_suffix(".seg")?.parse().ok()?;
    (segment_name(number) == name).then_some(number)
}

/// Whether `name` is a file that held nothing yet.
pub(crate) fn is_temporary(name: &str) -> bool {
    let number = name.strip_prefix("prepare-").and_then(|rest| rest.strip_suffix(".tmp"));
    name == IDENTITY_TEMPORARY || number.is_some_and(|number| number.len() == 12 && number.parse::<u64>().is_ok())
}

/// Why a block is not what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockError {
    /// Another version wrote it.
    Version(u32),
    /// It is damaged, or something else.
    Damaged,
}

/// The first block of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub identity: Identity,
    pub number: u64,
    pub use_id: u64,
    pub size_bytes: u64,
}

impl SegmentHeader {
    pub(crate) fn encode(&self, block: &mut [u8]) {
        block.fill(0);
        put(block, 16, self.identity.cluster.to_le_bytes());
        put(block, 32, self.identity.node.to_le_bytes());
        put(block, 40, self.number.to_le_bytes());
        put(block, 48, self.use_id.to_le_bytes());
        put(block, 56, self.size_bytes.to_le_bytes());
        seal(block, SEGMENT_MAGIC);
    }

    pub(crate) fn decode(block: &[u8]) -> Result<Self, BlockError> {
        check(block, SEGMENT_MAGIC)?;
        Ok(Self {
            identity: identity_at(block),
            number: u64_at(block, 40),
            use_id: u64_at(block, 48),
            size_bytes: u64_at(block, 56),
        })
    }
}

/// Writes the identity file's one block.
pub(crate) fn encode_identity(identity: Identity, block: &mut [u8]) {
    block.fill(0);
    put(block, 16, identity.cluster.to_le_bytes());
    put(block, 32, identity.node.to_le_bytes());
    seal(block, IDENTITY_MAGIC);
}

/// Reads the identity file's one block: whose the directory is, and the version that wrote there last.
pub(crate) fn decode_identity(block: &[u8]) -> Result<(Identity, u32), BlockError> {
    let version = check(block, IDENTITY_MAGIC)?;
    Ok((identity_at(block), version))
}

/// The last block of a sealed segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trailer {
    pub number: u64,
    pub use_id: u64,
    pub footer_at: u64,
    pub footer_len: u64,
    pub footer_crc: u32,
    /// The sequence of the record after the segment's last one. All before it was durable when this was written.
    pub next_sequence: u64,
}

impl Trailer {
    pub(crate) fn encode(&self, block: &mut [u8]) {
        block.fill(0);
        put(block, 16, self.number.to_le_bytes());
        put(block, 24, self.use_id.to_le_bytes());
        put(block, 32, self.footer_at.to_le_bytes());
        put(block, 40, self.footer_len.to_le_bytes());
        put(block, 48, self.footer_crc.to_le_bytes());
        put(block, 56, self.next_sequence.to_le_bytes());
        seal(block, TRAILER_MAGIC);
    }

    pub(crate) fn decode(block: &[u8]) -> Option<Self> {
        check(block, TRAILER_MAGIC).ok()?;
        Some(Self {
            number: u64_at(block, 16),
            use_id: u64_at(block, 24),
            footer_at: u64_at(block, 32),
            footer_len: u64_at(block, 40),
            footer_crc: u32_at(block, 48),
            next_sequence: u64_at(block, 56),
        })
    }
}

fn identity_at(block: &[u8]) -> Identity {
    let cluster = u128::from_le_bytes(block[16..32].try_into().expect("sixteen bytes"));
    Identity { cluster, node: u64_at(block, 32) }
}

/// Every block starts alike, in every version: crc u32, version u32, magic.
fn seal(block: &mut [u8], magic: [u8; 8]) {
    put(block, 4, FORMAT_VERSION.to_le_bytes());
    put(block, 8, magic);
    let crc = crc32c::crc32c(&block[4..COVERED]);
    put(block, 0, crc.to_le_bytes());
}

/// The version of a block that is whole and can be read.
fn check(block: &[u8], magic: [u8; 8]) -> Result<u32, BlockError> {
    if block.len() < COVERED || block[8..16] != magic || crc32c::crc32c(&block[4..COVERED]) != u32_at(block, 0) {
        return Err(BlockError::Damaged);
    }
    match u32_at(block, 4) {
        known @ OLDEST_VERSION..=FORMAT_VERSION => Ok(known),
        other => Err(BlockError::Version(other)),
    }
}

/// Makes `block` claim another version, with a checksum that fits: for tests of what happens then.
#[cfg(test)]
pub(crate) fn reversion(block: &mut [u8], version: u32) {
    put(block, 4, version.to_le_bytes());
    let crc = crc32c::crc32c(&block[4..COVERED]);
    put(block, 0, crc.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_as_we_write_them_are_ours() {
        assert_eq!(segment_number("log-000000000007.seg"), Some(7));
        for name in ["log-7.seg", "log-000000000007.seg.bak", "log-00000000000x.seg", "LOG-000000000007.seg"] {
            assert_eq!(segment_number(name), None, "{name}");
        }
        assert!(is_temporary(&temporary_name(3)));
        assert!(!is_temporary("prepare-me.tmp"));
    }

    #[test]
    fn one_flipped_bit_in_a_block_is_noticed() {
        let header =
            SegmentHeader { identity: Identity { cluster: 1, node: 2 }, number: 3, use_id: 4, size_bytes: 65_536 };
        let mut block = vec![0; BLOCK_BYTES];
        header.encode(&mut block);
        assert_eq!(SegmentHeader::decode(&block), Ok(header));
        for bit in 0..COVERED * 8 {
            let mut damaged = block.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&damaged), Err(BlockError::Damaged), "bit {bit}");
        }
        for other in [OLDEST_VERSION - 1, FORMAT_VERSION + 1] {
            reversion(&mut block, other);
            assert_eq!(SegmentHeader::decode(&block), Err(BlockError::Version(other)));
        }
        reversion(&mut block, OLDEST_VERSION);
        assert_eq!(SegmentHeader::decode(&block), Ok(header));
    }
}
