//! What a node has heard from a group's leaders since it opened the group. Nothing of it is stored: what the log says of
//! a leader may be as old as the log.

use std::time::Duration;

use parking_lot::Mutex;
use pelton_log::LogIndex;
use tokio::time::Instant;

use crate::types::{LogId, Vote};

/// Since the group was opened here.
pub(crate) struct Heard {
    opened: Instant,
    last: Mutex<Last>,
}

#[derive(Default)]
struct Last {
    /// When a leader was heard.
    at: Option<Instant>,
    /// How far a leader said that entries are committed, and when.
    committed: Option<(LogIndex, Instant)>,
}

/// How far everything is committed, if the leader that sends this can tell: before it has committed an entry of its own
/// it knows no more than what it had heard as a follower.
pub(crate) fn committed_by(vote: &Vote, committed: Option<LogId>) -> Option<LogIndex> {
    committed.filter(|id| id.leader_id == vote.leader_id).map(|id| LogIndex(id.index))
}

impl Heard {
    pub(crate) fn new() -> Self {
        Self { opened: Instant::now(), last: Mutex::default() }
    }

    /// A leader sent something, and this node follows it.
    pub(crate) fn leader(&self, committed: Option<LogIndex>) {
        let (now, mut last) = (Instant::now(), self.last.lock());
        last.at = Some(now);
        if let Some(committed) = committed {
            last.committed = Some((committed, now));
        }
    }

    /// How long ago a leader was heard, if one was.
    pub(crate) fn leader_heard(&self) -> Option<Duration> {
        self.last.lock().at.map(|at| at.elapsed())
    }

    /// For how long no leader has been heard.
    pub(crate) fn silent_for(&self) -> Duration {
        self.last.lock().at.unwrap_or(self.opened).elapsed()
    }

    /// How far a leader said that entries are committed, if it said so not longer ago than `within`.
    pub(crate) fn committed(&self, within: Duration) -> Option<LogIndex> {
        self.last.lock().committed.filter(|(_, at)| at.elapsed() <= within).map(|(index, _)| index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::LeaderId;

    #[test]
    fn a_leader_that_committed_nothing_of_its_own_says_nothing() {
        let leader = |term| LeaderId { term, node_id: 1 };
        let vote = Vote { leader_id: leader(5), committed: true };
        for (committed, want) in [(None, None), (Some(4), None), (Some(5), Some(LogIndex(9)))] {
            let committed = committed.map(|term| LogId { leader_id: leader(term), index: 9 });
            assert_eq!(committed_by(&vote, committed), want, "{committed:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_heard_is_as_old_as_it_is() {
        let (heard, second) = (Heard::new(), Duration::from_secs(1));
        tokio::time::advance(second).await;
        assert_eq!((heard.silent_for(), heard.committed(second)), (second, None));
        assert_eq!(heard.leader_heard(), None);
        heard.leader(Some(LogIndex(3)));
        tokio::time::advance(second).await;
        heard.leader(None);
        assert_eq!((heard.silent_for(), heard.committed(second)), (Duration::ZERO, Some(LogIndex(3))));
        tokio::time::advance(second).await;
        assert_eq!((heard.silent_for(), heard.committed(second)), (second, None));
        assert_eq!(heard.leader_heard(), Some(second));
    }
}
