//! Bugs that others had, to be made again: a simulation that does not find them proves nothing. Where nobody is named it is
//! a class of bugs.
//!
//! Only with the feature `bugs`, which no build of the product has. Each is one place in the code, and is turned on for
//! one thread, so that simulations on other threads go on without it.

use std::cell::Cell;

/// A bug, and who had it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// Written and not synced. (NATS syncs every 2 minutes by default: 14 % of acknowledged messages lost to a loss of
    /// power in Jepsen's report on 2.12.1; Kafka and Iggy leave it to the replicas.)
    NoSync,
    /// A sync that failed counts as done. (PostgreSQL, LMDB, LevelDB, SQLite, Redis: Rebello et al., USENIX ATC 2020.)
    FailedSyncIgnored,
    /// A new segment's name is not synced. (Of the same kind: NATS 2026-07, whose key file was never synced.)
    NoDirectorySync,
    /// Entries are answered when they are handed to the log. (NATS 2026-08-19: acknowledged data lost although set to
    /// sync always.)
    AnsweredBeforeStored,
    /// A vote is given and not stored. (Raft, figure 2, names it as what must not be.)
    VoteNotStored,
    /// A vote is given while it is on its way to the disk. (As before; only a crash in that moment shows it.)
    VoteGivenBeforeStored,
    /// A replica that starts drops what it does not know to be committed.
    CutToCommitAtStart,
    /// A leader that crashed leads on in its old term. (openraft's `enable_leader_restore`.)
    LeadsOnAfterCrash,
    /// Acknowledged when the leader has it.
    AcknowledgedBeforeCommit,
    /// "Nothing was written" of an entry that was. (Redpanda 21.10, 2022: aborted reads.)
    RefusedThoughWritten,
    /// A leader answers reads without asking a quorum. (etcd, July 2025: stale reads after a pause.)
    StaleRead,
    /// A snapshot says one index more than it holds. (NATS 2026-06-17: ApplyCommit off by one after a snapshot.)
    SnapshotIndexAhead,
    /// A snapshot holds more than its index says, so that what follows is applied twice.
    SnapshotStateAhead,
    /// A replica that starts from a snapshot counts from zero. (Bufstream 0.1.0, Jepsen 2024: spurious zero offsets.)
    SnapshotOffsetLost,
    /// A checkpoint says one index more than it holds.
    CheckpointIndexAhead,
    /// A node that cannot be reached is asked again without a pause. (Our own, found by this simulation; retry storms,
    /// knative/eventing#2061.)
    NoPauseAfterFailure,
    /// A follower says yes to entries that do not fit to its own. (Raft, figure 2, AppendEntries 2, forbids it.)
    ConflictTakenForSuccess,
    /// An event counts as done when its attempt begins. (The class of bug "cursor moved past an un-acked event".)
    DoneWhenSent,
    /// A dispatcher that begins counts attempts from zero. (The class "retry counter reset by failover".)
    AttemptsForgotten,
    /// An event is given up before its last attempt. (The class "dead letter before the last attempt is recorded".)
    GivenUpTooEarly,
    /// A dispatcher goes on when its session has ended, and when its progress is refused because of that: either alone
    /// would stop it, the second within 100 ms. (The class "stale leader serves after pause".)
    SessionOutlived,
    /// Progress of a session that has ended is stored. (The class of missing fencing tokens.)
    StaleProgressStored,
    /// A checkpoint holds cursors without what is pending. (The class "table lost on snapshot".)
    PendingLostInCheckpoint,
    /// A dispatcher passes events for a trigger that it does not know yet. (Our own, found by this simulation: a node that
    /// was cut off from the registry.)
    UnknownTriggerPassed,
    /// A dispatcher watches the end of a log for ever through a node that tells of it no more. (Our own, found by this
    /// simulation.)
    WatchNotBegunAgain,
    /// Keys of calls are forgotten by the system's clock, which jumps. (Our own, found by this simulation; the class "timer
    /// on wall clock".)
    CallsForgottenByClock,
    /// Keys of calls are known while the calls are on their way, and part of no state: nobody who leads next has them. (The
    /// class "dedup table lost on snapshot", at its widest.)
    CallsNotKept,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 27] = [
        Self::NoSync,
        Self::FailedSyncIgnored,
        Self::NoDirectorySync,
        Self::AnsweredBeforeStored,
        Self::VoteNotStored,
        Self::VoteGivenBeforeStored,
        Self::CutToCommitAtStart,
        Self::LeadsOnAfterCrash,
        Self::AcknowledgedBeforeCommit,
        Self::RefusedThoughWritten,
        Self::StaleRead,
        Self::SnapshotIndexAhead,
        Self::SnapshotStateAhead,
        Self::SnapshotOffsetLost,
        Self::CheckpointIndexAhead,
        Self::NoPauseAfterFailure,
        Self::ConflictTakenForSuccess,
        Self::DoneWhenSent,
        Self::AttemptsForgotten,
        Self::GivenUpTooEarly,
        Self::SessionOutlived,
        Self::StaleProgressStored,
        Self::PendingLostInCheckpoint,
        Self::UnknownTriggerPassed,
        Self::WatchNotBegunAgain,
        Self::CallsForgottenByClock,
        Self::CallsNotKept,
    ];

    /// Whether it is of deliveries, which only whole nodes make.
    #[must_use]
    pub fn is_of_deliveries(self) -> bool {
        self as usize >= Self::DoneWhenSent as usize
    }

    /// Whether this thread has it.
    #[must_use]
    pub fn is_on(self) -> bool {
        ON.get() == Some(self)
    }
}

thread_local! {
    static ON: Cell<Option<Bug>> = const { Cell::new(None) };
}

/// Gives this thread a bug, or none.
pub fn set(bug: Option<Bug>) {
    ON.set(bug);
}
