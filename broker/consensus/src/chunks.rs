//! A snapshot as a stream: a head that says what comes, and the bytes in pieces.

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use pelton_proto::consensus::v1 as proto;
use proto::refusal::Reason;
use proto::snapshot_chunk::{Head, Part};

use crate::transport::Incoming;
use crate::wire::refusal;

/// Bytes of a piece.
const CHUNK_BYTES: usize = 256 << 10;

/// Most bytes of a snapshot. It holds the small state of a group and no events, and becomes one record of the log.
pub(crate) const MAX_SNAPSHOT_BYTES: u64 = 64 << 20;

/// Most of it that is allocated because a head says so, before the bytes are there.
const MAX_TRUSTED_BYTES: u64 = 1 << 20;

/// The messages of a snapshot. `head` is completed with size and checksum.
pub(crate) fn split(mut head: Head, bytes: Bytes) -> BoxStream<'static, proto::SnapshotChunk> {
    head.size_bytes = bytes.len() as u64;
    head.crc32c = crc32c::crc32c(&bytes);
    let head = proto::SnapshotChunk { part: Some(Part::Head(head)) };
    let pieces = stream::unfold(bytes, |mut left| async move {
        let piece = left.split_to(left.len().min(CHUNK_BYTES));
        (!piece.is_empty()).then(|| (proto::SnapshotChunk { part: Some(Part::Data(piece)) }, left))
    });
    stream::iter([head]).chain(pieces).boxed()
}

/// The snapshot that the messages make up, if they make up the one that their head says.
pub(crate) async fn collect(
    mut chunks: Incoming<proto::SnapshotChunk>,
    known: impl Fn(u32) -> Result<(), proto::Refusal>,
) -> Result<(Head, Bytes), proto::Refusal> {
    let invalid = |why: &str| refusal(Reason::Invalid, why);
    let Some(Ok(proto::SnapshotChunk { part: Some(Part::Head(head)) })) = chunks.next().await else {
        return Err(invalid("the snapshot does not begin with its head"));
    };
    // Before megabytes of it are taken in.
    known(head.group)?;
    if head.size_bytes > MAX_SNAPSHOT_BYTES {
        return Err(invalid("the snapshot is above the limit"));
    }
    let mut bytes = BytesMut::with_capacity(head.size_bytes.min(MAX_TRUSTED_BYTES) as usize);
    while let Some(chunk) = chunks.next().await {
        let Ok(proto::SnapshotChunk { part: Some(Part::Data(piece)) }) = chunk else {
            return Err(invalid("the snapshot is broken off"));
        };
        if (bytes.len() + piece.len()) as u64 > head.size_bytes {
            return Err(invalid("the snapshot is longer than its head says"));
        }
        bytes.extend_from_slice(&piece);
    }
    if bytes.len() as u64 != head.size_bytes {
        return Err(invalid("the snapshot is shorter than its head says"));
    }
    if crc32c::crc32c(&bytes) != head.crc32c {
        return Err(invalid("the snapshot's checksum does not match"));
    }
    Ok((head, bytes.freeze()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        Head { group: 1, ..Head::default() }
    }

    async fn taken(chunks: Vec<proto::SnapshotChunk>) -> Result<Bytes, String> {
        let chunks = stream::iter(chunks).map(Ok).boxed();
        collect(chunks, |_| Ok(())).await.map(|(_, bytes)| bytes).map_err(|refusal| refusal.text)
    }

    #[tokio::test]
    async fn a_snapshot_of_any_number_of_pieces_arrives_whole_or_is_refused() {
        for size in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, 3 * CHUNK_BYTES + 5] {
            let bytes = Bytes::from((0..size).map(|n| (n % 251) as u8).collect::<Vec<_>>());
            let chunks: Vec<_> = split(head(), bytes.clone()).collect().await;
            assert_eq!(chunks.len(), 1 + size.div_ceil(CHUNK_BYTES), "{size}");
            assert_eq!(taken(chunks.clone()).await, Ok(bytes), "{size}");
            if size > 0 {
                assert!(taken(chunks[..chunks.len() - 1].to_vec()).await.unwrap_err().contains("shorter"), "{size}");
                let twice = [&chunks[..], &chunks[1..]].concat();
                assert!(taken(twice).await.unwrap_err().contains("longer"), "{size}");
                assert!(taken(chunks[1..].to_vec()).await.unwrap_err().contains("head"), "{size}");
            }
        }
    }

    #[tokio::test]
    async fn a_wrong_byte_and_a_size_above_the_limit_are_refused() {
        let mut chunks: Vec<_> = split(head(), Bytes::from_static(b"state")).collect().await;
        chunks[1].part = Some(Part::Data(Bytes::from_static(b"stale")));
        assert!(taken(chunks).await.unwrap_err().contains("checksum"));
        for (size_bytes, why) in [(MAX_SNAPSHOT_BYTES, "shorter"), (MAX_SNAPSHOT_BYTES + 1, "limit")] {
            let head = Head { size_bytes, ..head() };
            let chunks = vec![proto::SnapshotChunk { part: Some(Part::Head(head)) }];
            assert!(taken(chunks).await.unwrap_err().contains(why), "{size_bytes}");
        }
    }
}
