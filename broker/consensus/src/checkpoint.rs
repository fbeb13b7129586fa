//! A group's local checkpoint: the applied state near the tail, so that a restart re-applies little.
//!
//! `version u8 | applied log id | memberships u16 (membership ...) | watermark index u64 + 1 or 0 |
//! (watermark length u32 | watermark state) | next offset u64 + 1 or 0 | state`
//!
//! Version 1 has no next offset. Kept as a record of the shared log, so its order against entries and its damage are told like theirs.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use pelton_log::{LogIndex, Offset};

use crate::Watermark;
use crate::codec::{self, Undecodable};
use crate::types::{LogId, StoredMembership};

const VERSION: u8 = 2;
const VERSION_WITHOUT_OFFSET: u8 = 1;

/// The version of a checkpoint in a version of the protocol: all that there are have had one.
const fn version_in(_protocol: u32) -> u8 {
    VERSION
}

#[derive(Debug, Clone)]
pub(crate) struct Checkpoint {
    pub(crate) applied: Option<LogId>,
    /// Committed memberships, oldest first: the one in force at the watermark, and all since.
    pub(crate) memberships: Vec<StoredMembership>,
    /// What may be purged, and the state there.
    pub(crate) watermark: Option<Watermark>,
    /// The offset of the first event after `applied`, when it comes from a snapshot and not from the log.
    pub(crate) next_offset: Option<Offset>,
    /// The state as of `applied`.
    pub(crate) state: Bytes,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum BadCheckpoint {
    #[error("checkpoint has version {0}, which this program does not know")]
    Version(u8),
    #[error("checkpoint is cut short")]
    Short,
    #[error(transparent)]
    Part(#[from] Undecodable),
}

impl From<bytes::TryGetError> for BadCheckpoint {
    fn from(_: bytes::TryGetError) -> Self {
        Self::Short
    }
}

impl Checkpoint {
    /// For a cluster that is at this version of the protocol.
    pub(crate) fn encode(&self, protocol: u32) -> Bytes {
        let mut out = BytesMut::with_capacity(self.state.len() + 256);
        out.put_u8(version_in(protocol));
        codec::put_log_id(&mut out, self.applied);
        out.put_u16_le(self.memberships.len() as u16);
        for membership in &self.memberships {
            codec::put_stored_membership(&mut out, membership);
        }
        match &self.watermark {
            Some(watermark) => {
                out.put_u64_le(watermark.index.0 + 1);
                out.put_u32_le(u32::try_from(watermark.state.len()).expect("a group's state is far below 4 GiB"));
                out.put_slice(&watermark.state);
            }
            None => out.put_u64_le(0),
        }
        out.put_u64_le(self.next_offset.map_or(0, |offset| offset.0 + 1));
        out.put_slice(&self.state);
        out.freeze()
    }

    pub(crate) fn decode(bytes: &Bytes) -> Result<Self, BadCheckpoint> {
        let mut bytes = bytes.clone();
        let version = bytes.try_get_u8()?;
        if version != VERSION && version != VERSION_WITHOUT_OFFSET {
            return Err(BadCheckpoint::Version(version));
        }
        let applied = codec::get_log_id(&mut bytes)?;
        let count = bytes.try_get_u16_le()?;
        let memberships =
            (0..count).map(|_| codec::get_stored_membership(&mut bytes)).collect::<Result<Vec<_>, _>>()?;
        let watermark = match bytes.try_get_u64_le()? {
            0 => None,
            index => {
                let length = bytes.try_get_u32_le()? as usize;
                if length > bytes.len() {
                    return Err(BadCheckpoint::Short);
                }
                Some(Watermark { index: LogIndex(index - 1), state: bytes.split_to(length) })
            }
        };
        let next_offset = match version {
            VERSION => bytes.try_get_u64_le()?.checked_sub(1).map(Offset),
            _ => None,
        };
        Ok(Self { applied, memberships, watermark, next_offset, state: bytes })
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;

    const PROTOCOL: u32 = 1;

    fn sample() -> Bytes {
        let watermark = Watermark { index: LogIndex(7), state: Bytes::from_static(b"as of then") };
        let memberships = vec![StoredMembership::default()];
        let state = Bytes::from_static(b"as of now");
        let next_offset = Some(Offset(3));
        Checkpoint { applied: None, memberships, watermark: Some(watermark), next_offset, state }.encode(PROTOCOL)
    }

    #[test]
    fn a_checkpoint_reads_back_and_none_is_made_of_a_part() {
        let read = Checkpoint::decode(&sample()).unwrap();
        assert_eq!(read.encode(PROTOCOL), sample());
        let watermark_end = sample().len() - b"as of now".len();
        for cut in 0..watermark_end {
            assert!(Checkpoint::decode(&sample().slice(..cut)).is_err(), "cut at {cut}");
        }
    }

    /// What a program before clusters wrote.
    #[test]
    fn a_checkpoint_of_version_1_is_read() {
        let mut old = sample().to_vec();
        old[0] = VERSION_WITHOUT_OFFSET;
        let offset_at = old.len() - b"as of now".len() - 8;
        old.drain(offset_at..offset_at + 8);
        let read = Checkpoint::decode(&old.into()).unwrap();
        assert_eq!((read.next_offset, &read.state[..]), (None, &b"as of now"[..]));
        assert_eq!(read.watermark.map(|watermark| watermark.index), Some(LogIndex(7)));
    }

    /// `broker/src/protocol.rs` has the table of all forms.
    #[test]
    fn a_checkpoint_has_the_version_of_the_clusters_protocol() {
        for (protocol, want) in [(1, 2), (2, 2)] {
            assert_eq!(version_in(protocol), want, "protocol {protocol}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_checkpoint_panic(noise in vec(any::<u8>(), 0..256)) {
            let mut versioned = vec![VERSION];
            versioned.extend_from_slice(&noise);
            for bytes in [noise, versioned] {
                let _ = Checkpoint::decode(&bytes.into());
            }
        }

        #[test]
        fn no_damage_makes_a_checkpoint_panic(at in any::<Index>(), with in any::<u8>()) {
            let mut bytes = sample().to_vec();
            let at = at.index(bytes.len());
            bytes[at] = with;
            let _ = Checkpoint::decode(&bytes.into());
        }
    }
}
