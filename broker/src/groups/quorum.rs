//! Whether a group can have a leader at all, as far as its replica here sees.
//!
//! While an election is on its way, producers wait; when too many replicas are gone there will be none, and producers
//! are told at once.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::DataGroup;
use crate::node::Shared;

/// Looks one after the other that find too few before it is said. One alone may have been unlucky.
const LOOKS: u32 = 2;

/// For so long a replica that was just opened takes it that the others are only starting, too.
const STARTING: Duration = Duration::from_secs(10);

/// Too few of a group's replicas are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooFew {
    pub(crate) reached: u32,
    pub(crate) voters: u32,
}

/// Keeps the group's `too_few` right until the group is closed.
pub(super) async fn watch(shared: &Shared, group: &DataGroup) {
    if shared.is_alone() {
        return;
    }
    let heartbeat = shared.group_options.heartbeat;
    // One heartbeat may be late.
    let silence = 2 * heartbeat;
    let opened = Instant::now();
    let mut in_vain = 0;
    loop {
        let heard = group.raft.quorum_heard();
        let left = heard.and_then(|age| silence.checked_sub(age));
        let is_starting = heard.is_none() && opened.elapsed() < STARTING;
        if left.is_some() || is_starting {
            in_vain = 0;
            group.find_too_few(None);
            // A leader that is there is heard again by then.
            sleep(left.unwrap_or_default() + heartbeat / 4).await;
            continue;
        }
        let asked = Instant::now();
        let reach = group.raft.reach(silence).await;
        let too_few = reach.filter(|reach| !reach.is_quorum);
        in_vain = if too_few.is_some() { in_vain + 1 } else { 0 };
        if too_few.is_none() || in_vain >= LOOKS {
            let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
            let count =
                |reach: pelton_consensus::Reach| TooFew { reached: count(reach.reached), voters: count(reach.voters) };
            group.find_too_few(too_few.map(count));
        }
        sleep(heartbeat.saturating_sub(asked.elapsed())).await;
    }
}
