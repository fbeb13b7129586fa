//! The bytes of a snapshot: the state as of the retention watermark, and where it belongs.
//!
//! `version u8 | crc u32 | index u64 | next offset u64 | state`, little-endian; `crc` is CRC-32C of all after it.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use pelton_log::{LogIndex, Offset};

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 21;

/// The version of a snapshot in a version of the protocol: all that there are have had one.
const fn version_in(_protocol: u32) -> u8 {
    VERSION
}

/// What a replica that has nothing starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SnapshotBytes {
    /// The last index whose effect is in the state.
    pub(crate) index: LogIndex,
    /// The offset of the first event after that index. Offsets follow from the log, and this replica has none of it.
    pub(crate) next_offset: Offset,
    /// As the state machine gave it.
    pub(crate) state: Bytes,
}

/// Why bytes are not a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadSnapshot {
    #[error("the snapshot is cut short")]
    Short,
    #[error("the snapshot has version {0}, which this program does not know")]
    Version(u8),
    #[error("the snapshot's checksum does not match")]
    Checksum,
}

impl SnapshotBytes {
    /// For a cluster that is at this version of the protocol.
    pub(crate) fn encode(&self, protocol: u32) -> Bytes {
        let mut out = BytesMut::with_capacity(HEADER_BYTES + self.state.len());
        out.put_u8(version_in(protocol));
        out.put_u32_le(0);
        out.put_u64_le(self.index.0);
        out.put_u64_le(self.next_offset.0);
        out.put_slice(&self.state);
        let crc = crc32c::crc32c(&out[5..]);
        out[1..5].copy_from_slice(&crc.to_le_bytes());
        out.freeze()
    }

    pub(crate) fn decode(bytes: &Bytes) -> Result<Self, BadSnapshot> {
        let mut bytes = bytes.clone();
        let version = bytes.try_get_u8().map_err(|_| BadSnapshot::Short)?;
        if version != VERSION {
            return Err(BadSnapshot::Version(version));
        }
        let crc = bytes.try_get_u32_le().map_err(|_| BadSnapshot::Short)?;
        let found = crc32c::crc32c(&bytes);
        let index = bytes.try_get_u64_le().map_err(|_| BadSnapshot::Short)?;
        let next_offset = bytes.try_get_u64_le().map_err(|_| BadSnapshot::Short)?;
        if found != crc {
            return Err(BadSnapshot::Checksum);
        }
        Ok(Self { index: LogIndex(index), next_offset: Offset(next_offset), state: bytes })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;

    const PROTOCOL: u32 = 1;

    fn sample() -> SnapshotBytes {
        SnapshotBytes { index: LogIndex(9), next_offset: Offset(40), state: Bytes::from_static(b"as of then") }
    }

    #[test]
    fn a_snapshot_reads_back_and_none_is_made_of_a_part() {
        let bytes = sample().encode(PROTOCOL);
        assert_eq!(SnapshotBytes::decode(&bytes), Ok(sample()));
        for cut in 0..bytes.len() {
            assert!(SnapshotBytes::decode(&bytes.slice(..cut)).is_err(), "cut at {cut}");
        }
    }

    /// `broker/src/protocol.rs` has the table of all forms.
    #[test]
    fn a_snapshot_has_the_version_of_the_clusters_protocol() {
        for (protocol, want) in [(1, 1), (2, 1)] {
            assert_eq!(version_in(protocol), want, "protocol {protocol}");
        }
    }

    proptest! {
        #[test]
        fn no_flipped_bit_is_taken_for_a_snapshot(at in any::<Index>(), bit in 0u8..8) {
            let mut bytes = sample().encode(PROTOCOL).to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(SnapshotBytes::decode(&bytes.into()).is_err());
        }
    }
}
