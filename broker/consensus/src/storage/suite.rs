//! openraft's own suite for stores, over one group of the shared log. A new release of openraft has to pass it.
//!
//! Left out is what wants a snapshot of entries that were applied and are in no log, or of a log that was purged without
//! one: `snapshot_meta`, `snapshot_meta_optional`, `transfer_snapshot`, `get_initial_state_last_log_lt_sm`,
//! `get_initial_state_log_ids` and three of `get_initial_state_membership_from_`. Here a snapshot is taken at the watermark
//! that the state machine names, of a log that holds it, and nothing is purged before (`tests/group.rs`,
//! `tests/cluster.rs`).

use std::future::Future;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use pelton_env::{ManualClock, SeededChance, UnixMillis};
use pelton_log::{GroupId, Identity, Log, LogIndex, Options, SimDisk};

use super::GroupLog;
use crate::machine::Machine;
use crate::proposal::Discarded;
use crate::types::Types;
use crate::{Applied, NodeId, StateMachine, Watermark};

/// The suite is about where entries are, and not about what they do.
struct Nothing;

impl StateMachine for Nothing {
    fn protocol(&self) -> u32 {
        1
    }

    fn apply(&self, _applied: Applied) {}

    fn checkpoint(&self) -> Bytes {
        Bytes::new()
    }

    fn restore(&self, _checkpoint: &Bytes, _watermark: Option<&Watermark>) -> Result<(), String> {
        Ok(())
    }

    fn watermark(&self, _applied: LogIndex) -> Option<Watermark> {
        None
    }

    fn adopt(&self, _watermark: &Watermark) -> Result<(), String> {
        Ok(())
    }

    fn install(&self, _index: LogIndex, _state: &Bytes) -> Result<(), String> {
        Ok(())
    }
}

struct Stores;

impl StoreBuilder<Types, GroupLog, Machine<Nothing>, Log> for Stores {
    async fn build(&self) -> Result<(Log, GroupLog, Machine<Nothing>), StorageError<Types>> {
        let (log, _) = Log::open(
            Arc::new(SimDisk::new()),
            Arc::new(ManualClock::new(UnixMillis(1_000))),
            Arc::new(SeededChance::new(1)),
            Options::small(Identity { cluster: 1, node: 1 }),
        )
        .expect("an empty directory opens");
        let store = GroupLog::new(log.clone(), GroupId(1), NodeId(1));
        let machine = Machine::new(Arc::new(Nothing), store.clone(), Arc::new(Discarded::default()));
        Ok((log, store, machine))
    }
}

async fn run<F>(test: impl Fn(GroupLog, Machine<Nothing>) -> F)
where
    F: Future<Output = Result<(), io::Error>>,
{
    let (log, store, machine) = Stores.build().await.expect("builds");
    test(store, machine).await.expect("the suite holds");
    log.shutdown();
}

macro_rules! suite {
    ($($name:ident)*) => {$(
        #[tokio::test(start_paused = true)]
        async fn $name() {
            run(Suite::<Types, GroupLog, Machine<Nothing>, Stores, Log>::$name).await;
        }
    )*};
}

suite! {
    last_membership_in_log_initial
    last_membership_in_log
    last_membership_in_log_multi_step
    get_membership_initial
    get_membership_from_log_and_empty_sm
    get_membership_from_empty_log_and_sm
    get_membership_from_log_le_sm_last_applied
    get_membership_from_log_gt_sm_last_applied_1
    get_membership_from_log_gt_sm_last_applied_2
    get_initial_state_without_init
    get_initial_state_with_state
    get_initial_state_last_log_gt_sm
    get_initial_state_inverted_log_order
    get_initial_state_conflict_at_same_index
    get_initial_state_re_apply_committed
    save_vote
    get_log_entries
    limited_get_log_entries
    leader_bounded_stream
    entries_stream
    try_get_log_entry
    log_reader_reads_new_entries
    initial_logs
    get_log_state
    get_log_id
    last_id_in_log
    last_applied_state
    purge_logs_upto_0
    purge_logs_upto_5
    purge_logs_upto_20
    delete_logs_after_11
    delete_logs_after_5
    delete_logs_after_0
    delete_logs_after_none
    append_to_log
    apply_single
    apply_multiple
}
