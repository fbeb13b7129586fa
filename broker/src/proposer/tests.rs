//! What a batch is told when the log cannot be read, and when a disk rots.

use futures_util::FutureExt;
use pelton_client::{NodeClient, ReadError};
use pelton_env::{ManualClock, UnixMillis};
use pelton_log::SimDisk;

use super::*;
use crate::keys::MAX_KEYS;
use crate::node::Retention;
use crate::registry::RegistryCommand;
use crate::test_node::{GROUP, Ground, TestNode};

async fn node(disk: &SimDisk, data: &std::path::Path) -> TestNode {
    let clock = ManualClock::new(UnixMillis(1_000_000));
    TestNode::open(&Ground { disk, data, clock: &clock, retention: Retention::default() }).await
}

/// Committed, but its place cannot be read: not an error of the sender, not success, and no panic.
#[tokio::test]
async fn a_batch_whose_place_cannot_be_read_has_an_unknown_outcome() {
    let (disk, data) = (SimDisk::new(), tempfile::tempdir().unwrap());
    let node = node(&disk, data.path()).await;
    // Enough that the index of the first segment is no longer in memory.
    node.append(100).await;
    disk.fail_reads_after(Some(0));
    let (shared, ack) = (node.group().proposer.0.clone(), BatchAck::new());
    shared.in_flight.fetch_add(1, Ordering::AcqRel);
    let key = Key::Event(DedupKey(9));
    shared.open.lock().keys.insert(key, (ack.clone(), 0));
    let outcome = BatchOutcome { shared: shared.clone(), ack: ack.clone(), keys: vec![key], bytes: 0, since: None };
    outcome.committed(LogIndex(3));
    assert_eq!(Append::waiting(ack, GROUP, 0, 0).await, Err(AppendError::OutcomeUnknown));
    assert_eq!(shared.in_flight.load(Ordering::Acquire), 0);
    // The events are in the log, so their keys leave as those of any committed batch.
    let mut open = shared.open.lock();
    open.retire(LogIndex(3));
    assert!(open.keys.is_empty() && open.retiring.is_empty());
}

/// One bit of one record that is durable changes while the node runs.
#[tokio::test]
async fn a_rotten_record_is_named_and_counted_and_hides_no_other() {
    let (disk, data) = (SimDisk::new(), tempfile::tempdir().unwrap());
    let node = node(&disk, data.path()).await;
    let last = node.append(60).await;
    let client = node.client();
    let body = client.read(GROUP, Offset(0), 1).await.unwrap()[0].body.clone();
    // All bodies are alike: the first one found is that of offset 0.
    let name = "log-000000000001.seg";
    let at = disk.contents(name).unwrap().windows(64).position(|bytes| *bytes == body[..64]).unwrap();
    disk.flip_bit(name, (at + 2_000) * 8 + 5);
    let ReadError::Storage(why) = client.read(GROUP, Offset(0), 1).await.unwrap_err() else { panic!("another error") };
    assert!(why.contains("offsets 0 to below 1") && why.contains(name), "{why}");
    assert_eq!(node.recorded.counter("pelton_log_damaged_reads_total"), 1);
    for offset in 1..=last.0 {
        let read = client.read(GROUP, Offset(offset), 1).await.unwrap();
        assert_eq!(read[0].base, Offset(offset));
    }
    assert_eq!(node.recorded.counter("pelton_log_damaged_reads_total"), 1);
    assert_eq!(node.append_one().await, Ok(last.plus(1)), "and new events are taken");
}

/// An event whose first copy is not durable yet, as one that came a moment ago. Returns what settles it.
fn in_flight(node: &TestNode, key: DedupKey) -> Arc<BatchAck> {
    let ack = BatchAck::new();
    node.group().proposer.0.open.lock().keys.insert(Key::Event(key), (ack.clone(), 0));
    ack
}

fn one() -> Event {
    Event::builder().id("1").source("/s").ty("t").build().unwrap()
}

async fn append_keys(node: &TestNode, keys: &[u128]) -> Append {
    let events: Vec<_> = keys.iter().map(|key| (one(), DedupKey(*key))).collect();
    let broker = BrokerName::new("default", "a");
    let append = node.group().proposer.append_unique(&broker, &events, Hops::FULL, Offset(0), None);
    tokio::task::yield_now().await;
    append
}

/// Every event of the call was seen before; one is committed, the other is still on its way to the disk.
#[tokio::test]
async fn a_call_of_nothing_new_waits_until_all_of_it_is_durable() {
    let (disk, data) = (SimDisk::new(), tempfile::tempdir().unwrap());
    let node = node(&disk, data.path()).await;
    let committed = append_keys(&node, &[1]).await.await.unwrap().position;
    for keys in [[1, 2], [2, 1]] {
        let twin = in_flight(&node, DedupKey(2));
        let mut call = append_keys(&node, &keys).await;
        assert_eq!((&mut call).now_or_never(), None, "{keys:?}: one of the two is not durable");
        twin.settle(Ok(Offset(70)));
        let position = if keys[0] == 1 { committed } else { Position { group: GROUP, offset: Offset(70) } };
        assert_eq!(call.await, Ok(Appended { position, duplicates: 2 }), "{keys:?}");
    }
}

#[tokio::test]
async fn keys_that_leave_a_full_window_are_counted() {
    let (disk, data) = (SimDisk::new(), tempfile::tempdir().unwrap());
    let node = node(&disk, data.path()).await;
    let event = Event::builder().id("1").source("/s").ty("t").build().unwrap();
    let keys: Vec<_> = (0..MAX_KEYS as u128 + 7).map(|key| (event.clone(), DedupKey(key))).collect();
    let broker = BrokerName::new("default", "a");
    for some in keys.chunks(256) {
        node.group().proposer.append_unique(&broker, some, Hops::FULL, Offset(0), None).await.unwrap();
    }
    node.until(|| node.group().state.tail() == Offset(keys.len() as u64)).await;
    crate::retention::report_groups(&node.shared);
    assert_eq!(node.recorded.counter("pelton_broker_deduplication_keys_forgotten_total"), 7);
}

/// The gate of a term is still open when the node leads in another: nobody has looked there what is known already.
#[tokio::test]
async fn what_was_let_in_in_one_term_is_not_written_in_another() {
    let (disk, data) = (SimDisk::new(), tempfile::tempdir().unwrap());
    let node = node(&disk, data.path()).await;
    let group = node.group();
    let term = group.raft.status().term.0;
    for (stale, want) in [(term - 1, Err(AppendError::NotLeader { leader: None })), (term, Ok(Offset(0)))] {
        group.proposer.set_gate(Gate::Open { term: stale });
        assert_eq!(node.append_one().await, want, "term {stale}");
    }
    let change = RegistryCommand::Put(Vec::new());
    let registry = &node.shared.registry;
    let confirmed = registry.confirm().await.unwrap();
    let stale = registry.commit_in(Term(confirmed.0 - 1), &change).await;
    assert_eq!(stale, Err(OperationError::NotLeader { leader: None }), "resources as well");
    registry.commit_in(confirmed, &change).await.unwrap();
}

/// A second try of a call with a key must not pass for done while part of it is nowhere.
#[tokio::test]
async fn a_call_whose_twin_failed_is_written_whole_when_it_is_tried_again() {
    let (disk, data) = (SimDisk::new(), tempfile::tempdir().unwrap());
    let node = node(&disk, data.path()).await;
    let twin = in_flight(&node, DedupKey(2));
    let proposer = &node.group().proposer;
    let (broker, events) = (BrokerName::new("default", "a"), [(one(), DedupKey(1)), (one(), DedupKey(2))]);
    let key = Some(ProducerKey { producer: 1, sequence: 1 });
    let call = proposer.append_unique(&broker, &events, Hops::FULL, Offset(0), key);
    twin.settle(Err(AppendError::StorageFull));
    proposer.0.open.lock().forget(&[Key::Event(DedupKey(2))]);
    assert_eq!(call.await, Err(AppendError::OutcomeUnknown));
    let again = proposer.append_unique(&broker, &events, Hops::FULL, Offset(0), key).await.unwrap();
    assert_eq!((again.position.offset, again.duplicates), (Offset(1), 1));
}

#[tokio::test]
async fn keys_of_calls_leave_once_they_are_in_the_window() {
    let (disk, data) = (SimDisk::new(), tempfile::tempdir().unwrap());
    let node = node(&disk, data.path()).await;
    let group = node.group();
    for sequence in 0..50 {
        let key = Some(ProducerKey { producer: 1, sequence });
        group.proposer.append(&BrokerName::new("default", "a"), &[one()], Hops::FULL, key).await.unwrap();
        node.until(|| group.state.tail() == Offset(sequence + 1)).await;
    }
    let open = group.proposer.0.open.lock();
    assert!(open.keys.len() <= 2 && open.retiring.len() <= 2, "{} keys are left", open.keys.len());
}

/// All nodes of a cluster stop together: what the last leaders took is never confirmed.
#[tokio::test]
async fn a_group_that_no_quorum_confirms_is_waited_for_no_longer_than_a_while() {
    let (disk, data) = (SimDisk::new(), tempfile::tempdir().unwrap());
    let node = node(&disk, data.path()).await;
    let proposer = node.group().proposer.clone();
    proposer.0.waiting_bytes.fetch_add(7, Ordering::AcqRel);
    let drained = tokio::time::timeout(DRAINED_WITHIN * 2, proposer.drained());
    drained.await.expect("its end does not depend on a quorum");
    proposer.0.release(7);
    node.shutdown().await;
}
