//! One node over a real directory: append, read, progress, dead letters, resources, restart.

use std::time::Duration;

use bytes::Bytes;
use pelton_client::{
    AppendError, BrokerName, Cause, CursorUpdate, DeadLetter, GroupId, Hops, LastAnswer, NodeClient, OperationError,
    Position, Selection, TriggerId, Upto,
};
use pelton_env::{Clock, ManualClock, OsChance, SystemClock, UnixMillis};
use pelton_event::Event;
use pelton_log::SimDisk;
use pelton_resource::parse_documents;

use std::path::Path;

use super::*;
use crate::registry::RegistryCommand;
use crate::test_node::{Ground, TestNode};

const GROUP: GroupId = GroupId(1);

fn options(data: &Path) -> Options {
    Options {
        data: data.to_owned(),
        retention: Retention::default(),
        clock: Arc::new(SystemClock),
        chance: Arc::new(OsChance),
        observer: Arc::new(pelton_log::NoObserver),
        on_fatal: Arc::new(|error| panic!("the disk failed: {error}")),
        on_ended: Arc::new(|error| panic!("the node ended: {error}")),
        direct_io: pelton_log::DirectIo::Auto,
        store: RegistryStore::Sled,
        scrub_bytes_per_second: 0,
        blocking: Blocking::Threads,
        versions: pelton_peer::Versions::OURS,
        raise_version_after: Duration::from_secs(24 * 3600),
        member: None,
    }
}

fn event(id: &str) -> Event {
    Event::builder().id(id).source("/test").ty("t").data(pelton_event::DataKind::Bytes, b"data").build().unwrap()
}

fn broker() -> BrokerName {
    BrokerName::new("default", "a")
}

const BROKER: &str = "apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: a}\n";
const TRIGGER: &str = "apiVersion: eventing.knative.dev/v1\nkind: Trigger\nmetadata: {name: t}\nspec: {broker: a, \
                       subscriber: {uri: 'http://s.example/'}}\n";

async fn apply(client: &LocalNode, text: &str) {
    client.apply(parse_documents(text, "test").unwrap()).await.unwrap();
}

/// The ids of all events, once there are `count`: an append is answered at commit, and shown to readers at apply.
async fn ids(client: &LocalNode, count: u64) -> Vec<String> {
    let mut committed = client.committed(GROUP).unwrap();
    let reached = committed.wait_for(|end| end.0 >= count);
    let end = *tokio::time::timeout(Duration::from_secs(30), reached).await.unwrap().unwrap();
    let (mut at, mut ids) = (Offset(0), Vec::new());
    while at < end {
        for batch in client.read(GROUP, at, usize::MAX).await.unwrap() {
            at = batch.end();
            ids.extend(batch.records().map(|record| record.unwrap().1.event().unwrap().id().to_owned()));
        }
    }
    ids
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart_and_after_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::open(options(dir.path())).await.unwrap();
    let client = node.client();
    for id in ["1", "2", "3"] {
        client.append(GROUP, &broker(), &[event(id)], Hops::FULL, None).await.unwrap();
    }
    assert_eq!(ids(&client, 3).await, ["1", "2", "3"]);
    drop(client);
    node.shutdown().await;
    let node = Node::open(options(dir.path())).await.unwrap();
    let client = node.client();
    assert_eq!(ids(&client, 3).await, ["1", "2", "3"]);
    let position = client.append(GROUP, &broker(), &[event("4")], Hops::FULL, None).await.unwrap().position;
    assert_eq!(position, Position { group: GROUP, offset: Offset(3) });
    assert_eq!(ids(&client, 4).await, ["1", "2", "3", "4"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_appends_get_offsets_without_gaps_and_share_syncs() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::open(options(dir.path())).await.unwrap();
    let client = node.client();
    let writers: Vec<_> = (0..32)
        .map(|writer| {
            let client = client.clone();
            tokio::spawn(async move {
                let mut offsets = Vec::new();
                for n in 0..20 {
                    let event = event(&format!("{writer}-{n}"));
                    let appended = client.append(GROUP, &broker(), &[event], Hops::FULL, None).await.unwrap();
                    offsets.push(appended.position.offset.0);
                }
                offsets
            })
        })
        .collect();
    let mut offsets = Vec::new();
    for writer in writers {
        offsets.extend(writer.await.unwrap());
    }
    offsets.sort_unstable();
    assert_eq!(offsets, (0..640).collect::<Vec<_>>());
    assert_eq!(ids(&client, 640).await.len(), 640);
    assert!(node.log().stats().flushes < 640, "{:?}", node.log().stats());
    node.shutdown().await;
}

#[tokio::test]
async fn a_trigger_starts_at_the_tail_and_its_progress_survives() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::open(options(dir.path())).await.unwrap();
    node.set_ingress("http://127.0.0.1:1".into());
    let client = node.client();
    apply(&client, BROKER).await;
    client.append(GROUP, &broker(), &[event("before")], Hops::FULL, None).await.unwrap();
    apply(&client, TRIGGER).await;
    let resources = client.resources().borrow().clone();
    let (id, trigger) = resources.trigger("default", "t").unwrap();
    assert!(trigger.status.conditions.is_ready(), "{:?}", trigger.status.conditions);
    assert_eq!(client.cursors(GROUP).await.unwrap().cursors[&id].floor(Offset(0)), Offset(1));
    client.append(GROUP, &broker(), &[event("1"), event("2"), event("3")], Hops::FULL, None).await.unwrap();
    let position = Position { group: GROUP, offset: Offset(2) };
    let letter = DeadLetter {
        trigger: id,
        position,
        attempts: 2,
        cause: Cause::Rejected,
        destination: "http://s.example/".into(),
        answer: LastAnswer { code: Some(400), detail: Bytes::from_static(b"no") },
        at: SystemClock.now(),
    };
    let update = CursorUpdate {
        trigger: id,
        epoch: 1,
        upto: Upto::Scanned,
        matched: vec![(Offset(1), Offset(3))],
        done: vec![(Offset(1), Offset(2))],
        attempts: vec![],
        dead_letters: vec![letter.clone()],
    };
    let progress = pelton_client::Progress { scanned: Offset(4), cursors: vec![update] };
    let session = client.serve(GROUP).unwrap();
    let session = session.borrow().session().expect("nobody else wants it");
    client.progress(GROUP, session, progress).await.unwrap();
    drop(client);
    node.shutdown().await;

    let node = Node::open(options(dir.path())).await.unwrap();
    let client = node.client();
    assert_eq!(client.dead_letters(GROUP, Some(id), None, 10).await.unwrap(), vec![letter]);
    let cursors = client.cursors(GROUP).await.unwrap();
    assert_eq!((cursors.scanned, cursors.cursors[&id].floor(cursors.scanned)), (Offset(4), Offset(4)));
    let changes = client.cursor_changes(GROUP).unwrap();
    let before = *changes.borrow();
    assert_eq!(client.redrive(GROUP, Selection::One(id, position)).await, Ok(1));
    assert!(*changes.borrow() > before);
    assert_eq!(client.redrive(GROUP, Selection::One(id, position)).await, Err(OperationError::UnknownDeadLetter));
    assert!(client.cursors(GROUP).await.unwrap().cursors[&id].pending.contains(Offset(2)));
    client.rewind(GROUP, id, Start::Earliest).await.unwrap();
    assert_eq!(client.cursors(GROUP).await.unwrap().cursors[&id].floor(Offset(4)), Offset(0));
    let unknown = TriggerId(1);
    assert_eq!(client.rewind(GROUP, unknown, Start::Latest).await, Err(OperationError::UnknownTrigger));
    node.shutdown().await;
}

#[tokio::test]
async fn a_broker_with_a_window_stores_an_event_once() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::open(options(dir.path())).await.unwrap();
    let client = node.client();
    let window = "apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: a, annotations: \
                  {pelton.dev/deduplication-window: PT1H}}\n";
    apply(&client, window).await;
    let (first, twin) = tokio::join!(
        client.append(GROUP, &broker(), &[event("1")], Hops::FULL, None),
        client.append(GROUP, &broker(), &[event("1")], Hops::FULL, None)
    );
    let (first, twin) = (first.unwrap(), twin.unwrap());
    assert_eq!((first.position, first.duplicates), (twin.position, 0));
    assert_eq!(twin.duplicates, 1);
    let some = client.append(GROUP, &broker(), &[event("1"), event("2"), event("2")], Hops::FULL, None).await.unwrap();
    assert_eq!(some.duplicates, 2);
    assert_eq!(ids(&client, 2).await, ["1", "2"]);
    drop(client);
    node.shutdown().await;
    let node = Node::open(options(dir.path())).await.unwrap();
    let client = node.client();
    let again = client.append(GROUP, &broker(), &[event("2")], Hops::FULL, None).await.unwrap();
    assert_eq!((again.position.offset, again.duplicates), (Offset(1), 1));
    client.append(GROUP, &BrokerName::new("default", "b"), &[event("2")], Hops::FULL, None).await.unwrap();
    assert_eq!(ids(&client, 3).await, ["1", "2", "2"]);
    node.shutdown().await;
}

#[tokio::test]
async fn resources_survive_and_a_damaged_store_is_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::open(options(dir.path())).await.unwrap();
    apply(&node.client(), &format!("{BROKER}---\n{TRIGGER}")).await;
    let before: Vec<_> = node.client().resources().borrow().iter().collect();
    node.shutdown().await;
    for damage in ["none", "garbage", "gone"] {
        let store = dir.path().join("registry.sled");
        match damage {
            "none" => {}
            "garbage" => std::fs::write(store.join("db"), vec![0x5a; 8192]).unwrap(),
            _ => std::fs::remove_dir_all(&store).unwrap(),
        }
        let node = Node::open(options(dir.path())).await.unwrap();
        let after: Vec<_> = node.client().resources().borrow().iter().collect();
        assert_eq!(after, before, "{damage}");
        node.shutdown().await;
    }
    let aside = std::fs::read_dir(dir.path()).unwrap();
    let aside = aside.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains("aside"));
    assert_eq!(aside.count(), 1, "what was damaged is kept");
}

/// The entries that made the resources are gone from the log: the checkpoint and the few entries after it must do.
#[tokio::test]
async fn a_lost_store_is_rebuilt_when_the_log_no_longer_holds_what_it_was_made_of() {
    for damage in ["none", "garbage", "gone", "killed"] {
        let (disk, data) = (pelton_log::SimDisk::new(), tempfile::tempdir().unwrap());
        let clock = pelton_env::ManualClock::new(UnixMillis(1_000));
        let retention = Retention::default();
        let ground = Ground { disk: &disk, data: data.path(), clock: &clock, retention };
        let node = TestNode::open(&ground).await;
        let registry = &node.shared.registry;
        let commit = async |text: &str| {
            let _one_at_a_time = registry.writing.lock().await;
            let put = RegistryCommand::Put(parse_documents(text, "test").unwrap());
            registry.commit(&put).await.unwrap()
        };
        let last = commit(&format!("{BROKER}---\n{}", BROKER.replace("name: a", "name: c"))).await;
        registry.raft.purge_to_watermark().await.unwrap();
        node.until(|| node.shared.log.group(REGISTRY).purged.is_some_and(|(_, _, index)| index.0 >= last)).await;
        commit(&BROKER.replace("name: a", "name: b")).await;
        let before: Vec<_> = registry.state.current().iter().collect();
        assert_eq!(before.len(), 3);

        let other = tempfile::tempdir().unwrap();
        let store = data.path().join(identity::REGISTRY_STORE);
        let (left, data) = match damage {
            // Nothing was closed, and the store is on a disk of its own that did not come back.
            "killed" => (disk.copy(), other.path()),
            _ => {
                node.shutdown().await;
                match damage {
                    "garbage" => std::fs::write(store.join("db"), vec![0x5a; 8192]).unwrap(),
                    "gone" => std::fs::remove_dir_all(&store).unwrap(),
                    _ => {}
                }
                (disk.clone(), data.path())
            }
        };
        for again in 0..2 {
            let node = TestNode::open(&Ground { disk: &left, data, clock: &clock, retention }).await;
            let after: Vec<_> = node.shared.registry.state.current().iter().collect();
            assert_eq!(after, before, "{damage}, start {again}");
            node.shutdown().await;
        }
    }
}

/// A registry whose log was purged to its end holds no entry; its store is not ahead of it.
#[tokio::test]
async fn a_store_is_kept_after_the_registrys_log_was_purged() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::open(options(dir.path())).await.unwrap();
    apply(&node.client(), &format!("{BROKER}---\n{TRIGGER}")).await;
    let before: Vec<_> = node.client().resources().borrow().iter().collect();
    let registry = &node.shared.registry.raft;
    registry.purge_to_watermark().await.unwrap();
    let purged = async {
        while node.log().group(REGISTRY).last.is_some() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), purged).await.expect("the registry's log is purged in time");
    node.shutdown().await;
    let node = Node::open(options(dir.path())).await.unwrap();
    let after: Vec<_> = node.client().resources().borrow().iter().collect();
    assert_eq!(after, before);
    node.shutdown().await;
    let names = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let aside: Vec<_> = names.filter(|name| name.to_string_lossy().contains("aside")).collect();
    assert!(aside.is_empty(), "{aside:?}");
}

/// A trigger is started when its apply returns, also while others are applied.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_trigger_is_started_when_its_apply_returns() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::open(options(dir.path())).await.unwrap();
    apply(&node.client(), BROKER).await;
    let applies: Vec<_> = (0..64)
        .map(|n| {
            let client = node.client();
            tokio::spawn(async move {
                let name = format!("t{n}");
                apply(&client, &TRIGGER.replace("name: t}", &format!("name: {name}}}"))).await;
                let (id, _) = client.resources().borrow().trigger("default", &name).unwrap();
                assert!(client.cursors(GROUP).await.unwrap().cursors.contains_key(&id), "{name}");
            })
        })
        .collect();
    for apply in applies {
        apply.await.unwrap();
    }
    node.shutdown().await;
}

#[tokio::test]
async fn a_node_that_goes_down_refuses_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::open(options(dir.path())).await.unwrap();
    let client = node.client();
    node.shutdown().await;
    let refused = client.append(GROUP, &broker(), &[event("1")], Hops::FULL, None).await;
    assert_eq!(refused, Err(AppendError::Unavailable));
    assert_eq!(
        client.read(GroupId(9), Offset(0), 1).await.unwrap_err(),
        pelton_client::ReadError::UnknownGroup(GroupId(9))
    );
}

#[tokio::test]
async fn a_second_process_cannot_open_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::open(options(dir.path())).await.unwrap();
    let second = Node::open(options(dir.path())).await;
    assert!(matches!(second, Err(OpenError::Log { .. })));
    node.shutdown().await;
    let reopened = tokio::time::timeout(Duration::from_secs(30), Node::open(options(dir.path()))).await.unwrap();
    reopened.unwrap().shutdown().await;
}

/// A node whose own dispatcher is whoever asks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_by_itself_is_what_every_node_is() {
    pelton_client::conformance::node(|| async {
        let dir = tempfile::tempdir().unwrap();
        let node = Node::open(options(dir.path())).await.unwrap();
        node.set_ingress("http://127.0.0.1:1".into());
        let subject = node.client();
        pelton_client::conformance::Fixture { subject, group: GROUP, keep: Box::new((node, dir)) }
    })
    .await;
}

/// The node would look alive and never hear of a change again. Its disk is sound, and nobody is told otherwise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_that_ends_on_a_sound_disk_ends_the_node_and_is_not_blamed_on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let (told, mut ended) = tokio::sync::mpsc::unbounded_channel();
    let on_ended: EndedHook = Arc::new(move |ended| told.send(ended.to_string()).unwrap());
    let node = Node::open(Options { on_ended, ..options(folder.path()) }).await.unwrap();
    node.shared.registry.raft.shutdown().await.unwrap();
    let said = tokio::time::timeout(Duration::from_secs(30), ended.recv()).await.unwrap().unwrap();
    assert!(said.contains("log group 0"), "{said}");
    node.shutdown().await;
}

/// A disk that fails takes every core with it, and has been named as the cause before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cores_that_end_with_the_disk_are_blamed_on_the_disk() {
    let (disk, folder) = (SimDisk::new(), tempfile::tempdir().unwrap());
    let clock = ManualClock::new(UnixMillis(1_700_000_000_000));
    let ground = Ground { disk: &disk, data: folder.path(), clock: &clock, retention: Retention::default() };
    // Its hook for an ended node panics.
    let node = TestNode::open(&ground).await;
    disk.fail_syncs_after(Some(0));
    node.append_one().await.unwrap_err();
    let why = node.group().raft.failed().await;
    replica_ended(&node.shared, GROUP, why);
    assert!(node.shared.log.failure().is_some());
}

/// A node by itself has nobody else to wait for: a program that speaks more raises its version after a while, and from
/// then on the program of before is not started on its directory.
#[tokio::test]
async fn a_node_by_itself_goes_on_to_what_its_program_speaks() {
    let dir = tempfile::tempdir().unwrap();
    let speaking = |max, raise_version_after| Options {
        versions: Versions { min: 1, max },
        raise_version_after,
        ..options(dir.path())
    };
    let later = Duration::from_secs(24 * 3600);
    for max in [1, 2, 1] {
        let node = Node::open(speaking(max, later)).await.unwrap();
        let cluster = node.shared.registry.state.current_cluster();
        assert_eq!((cluster.protocol(), cluster.next_protocol()), (1, (max > 1).then_some(2)), "it may be taken back");
        node.shutdown().await;
    }
    let node = Node::open(speaking(2, Duration::ZERO)).await.unwrap();
    let mut cluster = node.shared.registry.state.cluster();
    let gone_on = cluster.wait_for(|cluster| cluster.protocol() == 2);
    tokio::time::timeout(Duration::from_secs(30), gone_on).await.expect("it goes on in time").unwrap();
    let shown = node.client().cluster().borrow().speaks.values().copied().collect::<Vec<_>>();
    assert_eq!(shown, [Versions { min: 1, max: 2 }.into()]);
    node.shutdown().await;
    let Err(OpenError::Protocol(refused)) = Node::open(speaking(1, later)).await else { panic!("it was opened") };
    assert_eq!(refused, NotSpoken { cluster: 2, ours: Versions { min: 1, max: 1 } });
}
