//! What goes and what stays: one event a batch, so that the log is purged to the very offset that is still needed.

use pelton_client::{AppendError, NodeClient, ReadError};
use pelton_env::ManualClock;
use pelton_log::SimDisk;
use pelton_resource::parse_documents;

use super::*;
use crate::node::Retention;
use crate::registry::RegistryCommand;
use crate::test_node::{GROUP, Ground, SEGMENT_BYTES, TestNode};

const HOUR: Duration = Duration::from_secs(3600);
const START: UnixMillis = UnixMillis(1_000_000_000_000);
const NO_LIMIT: u64 = 1 << 40;

struct Fixture {
    disk: SimDisk,
    clock: ManualClock,
    node: TestNode,
    _data: tempfile::TempDir,
}

impl Fixture {
    async fn new(bytes: u64) -> Self {
        let (disk, clock, data) = (SimDisk::new(), ManualClock::new(START), tempfile::tempdir().unwrap());
        let retention = Retention { bytes, dead_letters: 48 * HOUR };
        let ground = Ground { disk: &disk, data: data.path(), clock: &clock, retention };
        let node = TestNode::open(&ground).await;
        Self { disk, clock, node, _data: data }
    }

    /// Tends once, and waits until the log is purged as far as that allows.
    async fn tend(&self) {
        let (shared, group) = (&self.node.shared, self.node.group());
        tend(shared, &group, &mut Checkpointed::default()).await.unwrap();
        report_groups(shared);
        let trim = group.state.with(|core| core.trim);
        self.node.until(|| shared.log.group(group.raft.id()).first.is_none_or(|first| first.0 > trim)).await;
    }

    fn first(&self) -> u64 {
        first_offset(&self.node.shared, self.node.group().raft.id()).0
    }

    /// Tends until the log is within its limit.
    async fn within_limit(&self) {
        let mut purged = 0;
        let rounds = async {
            while over_limit(&self.node.shared) > 0 {
                self.tend().await;
                tend_registry(&self.node.shared, &mut purged).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), rounds).await.expect("it comes within its limit");
    }

    fn expired(&self) -> u64 {
        self.node.recorded.counter("pelton_dead_letters_expired_total")
    }
}

#[tokio::test]
async fn events_go_by_age_and_a_reader_is_told_where_the_rest_begins() {
    let it = Fixture::new(NO_LIMIT).await;
    it.node.append(40).await;
    it.clock.advance(HOUR);
    it.node.append(10).await;
    it.clock.advance(DEFAULT_RETENTION - HOUR);
    it.tend().await;
    assert_eq!(it.first(), 0, "exactly as old as the retention is not too old");
    it.clock.advance(Duration::from_millis(1));
    it.tend().await;
    assert_eq!(it.first(), 40);
    let client = it.node.client();
    let refused = client.read(GROUP, Offset(39), 1).await.unwrap_err();
    assert_eq!(refused, ReadError::Purged { wanted: Offset(39), first: Offset(40) });
    assert_eq!(client.first(GROUP).await, Ok(Offset(40)));
    assert_eq!(client.read(GROUP, Offset(40), 1).await.unwrap()[0].base, Offset(40));
}

#[tokio::test]
async fn events_go_by_bytes_segment_by_segment_and_no_further_than_the_limit() {
    let limit = 4 * SEGMENT_BYTES;
    let it = Fixture::new(limit).await;
    it.node.append(200).await;
    assert!(over_limit(&it.node.shared) > 4 * SEGMENT_BYTES);
    it.within_limit().await;
    let kept = it.node.shared.log.size().record_bytes;
    assert!(kept > limit - 2 * SEGMENT_BYTES, "{kept} B are left of {limit} B");
    assert!(it.first() > 0);
}

#[tokio::test]
async fn what_a_cursor_needs_stays_and_is_an_alarm() {
    let it = Fixture::new(SEGMENT_BYTES).await;
    it.node.start_trigger().await;
    it.node.append(100).await;
    it.node.progress(&[30, 70], &[]).await;
    it.clock.advance(3 * DEFAULT_RETENTION);
    it.tend().await;
    it.tend().await;
    assert_eq!(it.first(), 30);
    let mut alarmed = false;
    report_size(&it.node.shared, &mut alarmed, true);
    let over = it.node.recorded.gauge("pelton_log_bytes_over_limit");
    assert!(alarmed && over == over_limit(&it.node.shared) as f64 && over > 0.0, "{over}");
    it.node.change(&Change::Drop { version: u64::MAX, triggers: vec![crate::test_node::TRIGGER] }).await;
    it.within_limit().await;
    report_size(&it.node.shared, &mut alarmed, true);
    assert!(!alarmed && it.node.recorded.gauge("pelton_log_bytes_over_limit") == 0.0);
}

#[tokio::test]
async fn a_dead_letter_holds_its_event_until_it_is_too_old() {
    let it = Fixture::new(NO_LIMIT).await;
    it.node.start_trigger().await;
    it.node.append(60).await;
    it.node.progress(&[], &[20]).await;
    it.clock.advance(HOUR);
    it.node.progress(&[], &[50]).await;
    it.clock.advance(47 * HOUR);
    it.tend().await;
    assert_eq!(it.first(), 20);
    assert_eq!((it.node.letters(), it.expired()), (vec![20, 50], 0));
    it.clock.advance(Duration::from_millis(1));
    it.tend().await;
    assert_eq!(it.first(), 50);
    assert_eq!((it.node.letters(), it.expired()), (vec![50], 1));
    assert_eq!(it.node.recorded.gauge("pelton_dead_letters"), 1.0);
}

#[tokio::test]
async fn dead_letters_give_way_to_the_limit_on_bytes_oldest_first() {
    let it = Fixture::new(4 * SEGMENT_BYTES).await;
    it.node.start_trigger().await;
    it.node.append(150).await;
    it.node.progress(&[], &[3, 140]).await;
    it.within_limit().await;
    assert_eq!((it.node.letters(), it.expired()), (vec![140], 1), "within the limit they stay");
}

/// A letter's end would make no room there: the segment stays for the cursor.
#[tokio::test]
async fn a_dead_letter_in_a_segment_that_a_cursor_holds_stays() {
    let it = Fixture::new(SEGMENT_BYTES).await;
    it.node.start_trigger().await;
    it.node.append(100).await;
    it.node.progress(&[4], &[3]).await;
    it.clock.advance(2 * DEFAULT_RETENTION - HOUR);
    it.tend().await;
    it.tend().await;
    assert_eq!((it.node.letters(), it.expired(), it.first()), (vec![3], 0, 3));
}

/// New events are refused; what was delivered is noted; nothing is dropped to make room; with room it goes on.
#[tokio::test]
async fn a_full_disk_costs_no_dead_letter_and_no_event() {
    let it = Fixture::new(NO_LIMIT).await;
    it.disk.set_capacity(Some(16 * SEGMENT_BYTES));
    it.node.start_trigger().await;
    it.node.append(30).await;
    it.node.progress(&[], &[1, 2, 25]).await;
    let mut taken = 30;
    let refused = loop {
        match it.node.append_one().await {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
        assert!(taken < 1_000, "a disk of 8 MiB takes no end of events");
    };
    assert_eq!(refused, AppendError::StorageFull);
    assert!(it.node.shared.log.is_full());
    it.node.until(|| it.node.group().state.tail() == Offset(taken)).await;
    it.node.progress(&[], &[26]).await;
    for _ in 0..5 {
        it.tend().await;
    }
    assert_eq!((it.node.letters(), it.expired(), it.first()), (vec![1, 2, 25, 26], 0, 0));
    let (mut alarmed, shared) = (false, &it.node.shared);
    report_size(shared, &mut alarmed, true);
    assert!(!alarmed && it.node.recorded.gauge("pelton_log_bytes_over_limit") == 0.0, "its limit is not passed");
    it.disk.set_capacity(None);
    it.node.until(|| !shared.log.is_full()).await;
    assert_eq!(it.node.append_one().await.unwrap(), Offset(taken));
    let client = it.node.client();
    assert_eq!(client.read(GROUP, Offset(0), 1).await.unwrap()[0].base, Offset(0));
}

async fn put_a_broker(it: &Fixture) {
    let text = "apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: a, namespace: n}\n";
    let put = RegistryCommand::Put(parse_documents(text, "test").unwrap());
    let _one_at_a_time = it.node.shared.registry.writing.lock().await;
    it.node.shared.registry.commit(&put).await.unwrap();
}

fn registry_first(it: &Fixture) -> Option<LogIndex> {
    it.node.shared.log.group(it.node.shared.registry.raft.id()).first
}

#[tokio::test]
async fn the_registry_lets_go_of_a_segment_that_it_holds_alone() {
    let it = Fixture::new(2 * SEGMENT_BYTES).await;
    put_a_broker(&it).await;
    it.node.append(100).await;
    let before = registry_first(&it);
    let mut purged = 0;
    // Events no longer hold the first segment; the registry still does.
    let registry = it.node.shared.registry.raft.id();
    it.tend().await;
    it.node.until(|| it.node.shared.log.holding_oldest().iter().all(|(group, _)| *group == registry)).await;
    tend_registry(&it.node.shared, &mut purged).await.unwrap();
    it.node.until(|| registry_first(&it) != before).await;
    it.within_limit().await;
    assert_eq!(it.node.shared.registry.state.current().brokers.len(), 1);
}

#[tokio::test]
async fn the_registry_is_purged_when_it_holds_many_entries() {
    let it = Fixture::new(NO_LIMIT).await;
    let before = registry_first(&it);
    let mut purged = 0;
    put_a_broker(&it).await;
    tend_registry(&it.node.shared, &mut purged).await.unwrap();
    assert_eq!((registry_first(&it), purged), (before, 0));
    while it.node.shared.registry.raft.applied().borrow().0 <= REGISTRY_PURGE_AFTER_ENTRIES {
        put_a_broker(&it).await;
    }
    tend_registry(&it.node.shared, &mut purged).await.unwrap();
    assert!(purged > REGISTRY_PURGE_AFTER_ENTRIES);
    it.node.until(|| registry_first(&it).is_none_or(|first| first.0 > REGISTRY_PURGE_AFTER_ENTRIES)).await;
}
