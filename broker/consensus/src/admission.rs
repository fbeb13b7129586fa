//! Whether the log has room: an append that the log refuses ends the group, so it is looked at first.

use std::time::Duration;

use pelton_log::{Log, Room};

use crate::Space;

/// How long one waits before looking again whether the next segment is prepared.
const PREPARING: Duration = Duration::from_millis(1);

/// What votes, elections and purging keep of the reserve when the disk is full; less where segments are small.
const RESERVE_LEFT_BYTES: u64 = 2 << 20;

/// Waits while the disk prepares the next segment. `false` when it has no space for one.
pub(crate) async fn room_for(log: &Log, space: Space, bytes: u64) -> bool {
    loop {
        let room = match space {
            Space::Ordinary => log.room(bytes),
            // The checkpoints before a purge have to fit as well, or nothing ever makes room again.
            Space::Reserve => {
                let left_bytes = RESERVE_LEFT_BYTES.min(log.segment_capacity_bytes() / 8);
                reserve(log, bytes + checkpoint_bytes(log), left_bytes)
            }
            Space::Last => reserve(log, bytes, 0),
        };
        match room {
            Room::Now => return true,
            Room::Full => return false,
            // Rare: events come faster than the disk can be filled with zeros. Batches grow meanwhile.
            Room::Soon => tokio::time::sleep(PREPARING).await,
        }
    }
}

/// What the newest checkpoints of all groups take.
fn checkpoint_bytes(log: &Log) -> u64 {
    let groups = log.overview();
    groups.values().filter_map(|view| Some(view.checkpoint.as_ref()?.1.len() as u64)).sum()
}

fn reserve(log: &Log, bytes: u64, left_bytes: u64) -> Room {
    // A log that failed has no room to wait for: the append itself brings its error.
    if log.has_reserve(bytes, left_bytes) || log.failure().is_some() {
        Room::Now
    } else if log.is_full() {
        Room::Full
    } else {
        Room::Soon
    }
}
