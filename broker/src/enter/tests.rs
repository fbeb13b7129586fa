//! Three nodes in one process: membership and reports over loopback, groups over links that a test can cut.

mod net;

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use futures_util::FutureExt as _;
use pelton_client::{
    AppendError, Appended, BrokerName, ClusterChange, GroupId, Hops, NodeClient, NodeId, NodeInfo, NodePhase, Offset,
    ProducerKey, ReadError, Role, Serving,
};
use pelton_env::{SeededChance, SystemClock};
use pelton_event::Event;
use pelton_log::{OnDamage, SimDisk};
use pelton_peer::{Network, PeerAddress, PeerListener, Security, TcpNetwork};
use pelton_resource::parse_documents;

use super::*;
use crate::blocking::Blocking;
use crate::ids;
use crate::member::{OnWaiting, Timing};
use crate::node::{RegistryStore, Retention};
use net::Net;

/// Long enough for any machine; a test that is right never waits so long.
const PATIENCE: Duration = Duration::from_secs(180);

/// Bytes of the segments of these logs.
const SEGMENT_BYTES: u64 = 1 << 20;

/// Bytes of an event's `data`, of one that is to fill a disk.
const FILLER_BYTES: usize = 20_000;

const BROKER: &str = "apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: a}\n";
const TRIGGER: &str = "apiVersion: eventing.knative.dev/v1\nkind: Trigger\nmetadata: {name: t}\nspec: {broker: a, \
                       subscriber: {uri: 'http://s.example/'}}\n";

/// A node's machine: what is left when the node is gone.
struct Machine {
    name: String,
    address: PeerAddress,
    listener: Arc<dyn PeerListener>,
    data: tempfile::TempDir,
    disk: SimDisk,
}

struct Cluster {
    /// Links that can be cut; `None` over gRPC.
    net: Option<Arc<Net>>,
    machines: Vec<Machine>,
    nodes: Vec<Option<Node>>,
}

impl Cluster {
    /// The first `count` machines form a cluster.
    async fn of(count: usize) -> Self {
        Self::over(Some(Net::new()), count).await
    }

    async fn over(net: Option<Arc<Net>>, count: usize) -> Self {
        let mut cluster = Self { net, machines: Vec::new(), nodes: Vec::new() };
        for nth in 1..=count {
            cluster.add_machine(&format!("n{nth}")).await;
        }
        let list: Vec<_> = cluster.machines.iter().map(|machine| machine.address.clone()).collect();
        let opened = (0..count).map(|nth| cluster.open(nth, list.clone()));
        for (nth, node) in futures_util::future::join_all(opened).await.into_iter().enumerate() {
            cluster.nodes[nth] = Some(node);
        }
        cluster
    }

    async fn add_machine(&mut self, name: &str) -> usize {
        let listener = TcpNetwork.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap().to_string().parse().unwrap();
        let (data, disk) = (tempfile::tempdir().unwrap(), SimDisk::new());
        self.machines.push(Machine { name: name.to_owned(), address, listener: listener.into(), data, disk });
        self.nodes.push(None);
        self.machines.len() - 1
    }

    async fn open(&self, nth: usize, join: Vec<PeerAddress>) -> Node {
        let machine = &self.machines[nth];
        let chance = Arc::new(SeededChance::new(nth as u64 + 1));
        let options = Options {
            data: machine.data.path().to_owned(),
            retention: Retention::default(),
            clock: Arc::new(SystemClock),
            chance: chance.clone(),
            observer: Arc::new(pelton_log::NoObserver),
            on_fatal: Arc::new(|error| panic!("the disk failed: {error}")),
            on_ended: Arc::new(|error| panic!("the node ended: {error}")),
            direct_io: pelton_log::DirectIo::Off,
            store: RegistryStore::None,
            scrub_bytes_per_second: 0,
            blocking: Blocking::Threads,
            versions: pelton_peer::Versions::OURS,
            raise_version_after: PATIENCE,
            member: None,
        };
        let member = Member {
            name: machine.name.clone(),
            peer_advertise: machine.address.clone(),
            join,
            zone: String::new(),
            roles: BTreeSet::from([Role::Broker, Role::Dispatcher]),
            version: "test".to_owned(),
            network: Arc::new(TcpNetwork),
            security: Security::Plaintext,
            listener: machine.listener.clone(),
            replicas: 3,
            node_lost_after: PATIENCE,
            timing: Timing {
                heartbeat: Duration::from_millis(100),
                election_timeout: (Duration::from_millis(600), Duration::from_millis(900)),
            },
            on_waiting: OnWaiting(Arc::new(|_| {})),
        };
        let (net, disk) = (self.net.clone(), machine.disk.clone());
        let seams = Seams {
            transport: match net {
                Some(net) => Box::new(move |way| net.transport(NodeId(way.identity.node))),
                None => Seams::default().transport,
            },
            log: Box::new(move |options, identity| {
                Box::pin(async move {
                    // The data directory is to show that there is a log.
                    std::fs::create_dir_all(options.data.join("log").join("simulated")).unwrap();
                    // The reserve of a full disk has to hold some votes.
                    let settings = pelton_log::Options {
                        segment_size_bytes: SEGMENT_BYTES,
                        initial_segment_size_bytes: SEGMENT_BYTES,
                        on_damage: OnDamage::Keep,
                        tail_cache_bytes: 0,
                        ..pelton_log::Options::small(identity)
                    };
                    let (log, report) = Log::open(Arc::new(disk), options.clock, options.chance, settings).unwrap();
                    Ok((log, report))
                })
            }),
        };
        let node = in_time("the node comes in", open(options, member, seams)).await.unwrap();
        if let Some(net) = &self.net {
            net.attach(node.shared.this, node.shared.peers.clone());
        }
        node
    }

    fn net(&self) -> &Net {
        self.net.as_ref().expect("the test cuts links")
    }

    fn node(&self, nth: usize) -> &Node {
        self.nodes[nth].as_ref().expect("it runs")
    }

    fn client(&self, nth: usize) -> LocalNode {
        self.node(nth).client()
    }

    fn running(&self) -> impl Iterator<Item = (usize, &Node)> + Clone {
        self.nodes.iter().enumerate().filter_map(|(nth, node)| Some((nth, node.as_ref()?)))
    }

    /// The node that serves the group, once there is one.
    async fn leader(&self, group: GroupId) -> usize {
        let serves = |node: &Node| node.shared.groups.find(group).is_some_and(|group| *group.serving.borrow());
        until("the group has a leader", || self.running().find(|(_, node)| serves(node)).map(|(nth, _)| nth)).await
    }

    /// The node that leads the registry, once there is one.
    async fn registrar(&self) -> usize {
        let leads = || self.running().find(|(_, node)| node.shared.registry.raft.serves()).map(|(nth, _)| nth);
        until("the registry has a leader", leads).await
    }

    /// Waits until every node knows `count` groups, each led by the node it is meant for.
    async fn is_settled(&self, count: usize) {
        let settled = || {
            let all = self.running().all(|(_, node)| {
                let state = node.shared.registry.state.current_cluster();
                let mut all = state.groups.values().chain([&state.registry]);
                state.groups.len() == count && all.all(|group| !group.is_moving())
            });
            let led = self.running().all(|(_, node)| {
                let state = node.shared.registry.state.current_cluster();
                let open = node.shared.groups.all();
                open.iter().all(|(id, group)| {
                    let preferred = state.groups.get(id).and_then(|record| record.preferred);
                    group.leader() == preferred && (preferred != Some(node.shared.this) || *group.serving.borrow())
                })
            });
            (all && led).then_some(())
        };
        let in_order = tokio::time::timeout(PATIENCE * 2 / 3, until("the cluster is in order", settled));
        if in_order.await.is_err() {
            for (nth, node) in self.running() {
                let state = node.shared.registry.state.current_cluster();
                eprintln!("node {nth}: {:?} {:?}", state.groups, state.registry);
                for (id, group) in node.shared.groups.all().iter() {
                    eprintln!("  {id}: serving {} {:?}", *group.serving.borrow(), group.raft.status());
                }
            }
            panic!("the cluster does not come in order");
        }
    }

    /// Appends at whoever leads the group, as often as it takes.
    async fn append(&self, group: GroupId, id: &str, key: Option<ProducerKey>) -> Appended {
        in_time("the append", async {
            loop {
                let leader = self.leader(group).await;
                match self.client(leader).append(group, &broker(), &[event(id)], Hops::FULL, key).await {
                    Ok(appended) => return appended,
                    Err(error) => assert!(error.is_retryable() && error != AppendError::OutcomeUnknown, "{error}"),
                }
            }
        })
        .await
    }

    /// The ids of all events of a group at its leader, once there are `count`: an append is answered at commit, and
    /// shown to readers at apply.
    async fn ids(&self, group: GroupId, count: u64) -> Vec<String> {
        let client = self.client(self.leader(group).await);
        let mut committed = client.committed(group).unwrap();
        let end = *in_time("the events", committed.wait_for(|end| end.0 >= count)).await.unwrap();
        let (mut at, mut ids) = (Offset(0), Vec::new());
        while at < end {
            for batch in client.read(group, at, usize::MAX).await.unwrap() {
                at = batch.end();
                ids.extend(batch.records().map(|record| record.unwrap().1.event().unwrap().id().to_owned()));
            }
        }
        ids
    }

    /// The node is gone, as if it were killed. What its disk has is kept.
    async fn kill(&mut self, nth: usize) {
        let node = self.nodes[nth].take().expect("it runs");
        self.net().detach(node.shared.this);
        node.tasks.iter().for_each(tokio::task::JoinHandle::abort);
        node.shared.groups.all().values().for_each(|group| group.stop_tasks());
        let machine = &mut self.machines[nth];
        machine.disk = machine.disk.copy();
        // Its cores end on a disk that nobody looks at. Left alone they would speak for the node that comes back.
        for group in node.shared.groups.all().values() {
            let _ = group.raft.shutdown().await;
        }
        let _ = node.shared.registry.raft.shutdown().await;
    }

    async fn stop(mut self) {
        for node in &mut self.nodes {
            if let Some(node) = node.take() {
                node.shutdown().await;
            }
        }
    }
}

async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("not in time: {what}"),
    }
}

async fn until<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    in_time(what, async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

fn event(id: &str) -> Event {
    Event::builder().id(id).source("/test").ty("t").build().unwrap()
}

fn filler(number: u64) -> Event {
    let id = number.to_string();
    let event = Event::builder().id(&id).source("/test").ty("t");
    event.data(pelton_event::DataKind::Bytes, &[0; FILLER_BYTES]).build().unwrap()
}

fn broker() -> BrokerName {
    BrokerName::new("default", "a")
}

const GROUPS: [GroupId; 3] = [GroupId(1), GroupId(2), GroupId(3)];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_form_a_cluster_and_each_leads_a_group() {
    three_nodes(Cluster::of(3).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_form_a_cluster_over_grpc() {
    three_nodes(Cluster::over(None, 3).await).await;
}

async fn three_nodes(cluster: Cluster) {
    cluster.is_settled(3).await;
    let leaders: BTreeSet<_> =
        futures_util::future::join_all(GROUPS.map(|group| cluster.leader(group))).await.into_iter().collect();
    assert_eq!(leaders.len(), 3);
    for group in GROUPS {
        let leader = cluster.leader(group).await;
        assert_eq!(cluster.append(group, "1", None).await.position.offset, Offset(0));
        let other = cluster.client((leader + 1) % 3);
        let leader = Some(cluster.node(leader).shared.this);
        let refused = other.append(group, &broker(), &[event("2")], Hops::FULL, None).await;
        assert_eq!(refused, Err(AppendError::NotLeader { leader }));
        assert_eq!(other.read(group, Offset(0), 1).await.unwrap_err(), ReadError::NotLeader { leader });
        assert_eq!(other.cursors(group).await.unwrap_err(), ReadError::NotLeader { leader });
        assert_eq!(other.committed(group).unwrap_err(), ReadError::NotLeader { leader });
        assert_eq!(other.serve(group).unwrap_err(), ReadError::NotLeader { leader });
    }
    for (nth, node) in cluster.running() {
        let view = node.client().cluster().borrow().clone();
        assert_eq!((view.nodes.len(), view.groups.len(), view.this), (3, 3, Some(node.shared.this)), "node {nth}");
        assert!(view.groups.values().all(|group| group.keyed && group.replicas.len() == 3 && group.leader.is_some()));
        assert_eq!(node.waits_for(), None);
    }
    cluster.stop().await;
}

/// A node comes back with damage all over its log: in the registry, in the group that it led, in those that it followed.
/// It is repaired while the others serve, and leads again what is meant for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_node_is_repaired_over_grpc_and_leads_again() {
    let mut cluster = Cluster::over(None, 3).await;
    cluster.is_settled(3).await;
    for id in 0..20 {
        for group in GROUPS {
            cluster.append(group, &format!("{id}"), None).await;
        }
    }
    let group = GROUPS[0];
    let damaged = cluster.leader(group).await;
    cluster.nodes[damaged].take().unwrap().shutdown().await;
    cluster.append(group, "20", None).await;
    let disk = &cluster.machines[damaged].disk;
    // What events hold, and what the registry's entries do.
    for pattern in [&b"/test"[..], b"127.0.0.1"] {
        let mut seen = 0;
        for name in disk.names().into_iter().filter(|name| name.ends_with(".seg")) {
            let contents = disk.contents(&name).unwrap();
            for at in (0..contents.len() - pattern.len()).filter(|at| contents[*at..].starts_with(pattern)) {
                seen += 1;
                if seen % 4 == 1 {
                    disk.flip_bit(&name, at * 8);
                }
            }
        }
        assert!(seen > 2, "{seen}");
    }
    let list = cluster.machines.iter().map(|machine| machine.address.clone()).collect();
    cluster.nodes[damaged] = Some(cluster.open(damaged, list).await);
    let shared = &cluster.node(damaged).shared;
    until("all is found", || shared.log.scrub(1 << 20).unwrap().is_round_over.then_some(())).await;
    let is_sound =
        || shared.groups.unsound().is_empty() && shared.log.groups().iter().all(|g| shared.log.faulty(*g).is_empty());
    until("all is repaired", || is_sound().then_some(())).await;
    assert!(shared.peers.repaired_entries() > 5, "{}", shared.peers.repaired_entries());
    cluster.is_settled(3).await;
    assert_eq!(cluster.leader(group).await, damaged);
    let ids: Vec<_> = (0..=20).map(|id| id.to_string()).collect();
    assert_eq!(cluster.ids(group, 21).await, ids);
    assert_eq!(cluster.ids(GROUPS[1], 20).await, ids[..20]);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_leaders_group_goes_on_with_everything_that_was_acknowledged() {
    let mut cluster = Cluster::of(3).await;
    cluster.is_settled(3).await;
    let group = GROUPS[0];
    for id in ["1", "2", "3"] {
        cluster.append(group, id, None).await;
    }
    let old = cluster.leader(group).await;
    let mut committed = cluster.client(old).committed(group).unwrap();
    cluster.kill(old).await;
    let appended = cluster.append(group, "4", None).await;
    assert_eq!(appended.position.offset, Offset(3));
    assert_eq!(cluster.ids(group, 4).await, ["1", "2", "3", "4"]);
    committed.borrow_and_update();
    // It comes back with its disk, follows, and leads again because the group is meant for it.
    let list = cluster.machines.iter().map(|machine| machine.address.clone()).collect();
    cluster.nodes[old] = Some(cluster.open(old, list).await);
    cluster.is_settled(3).await;
    assert_eq!(cluster.leader(group).await, old);
    assert_eq!(cluster.ids(group, 4).await, ["1", "2", "3", "4"]);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_tried_again_is_written_once_also_at_the_next_leader() {
    let mut cluster = Cluster::of(3).await;
    cluster.is_settled(3).await;
    let (group, key) = (GROUPS[1], ProducerKey { producer: 9, sequence: 1 });
    let first = cluster.append(group, "1", Some(key)).await;
    assert_eq!(cluster.append(group, "1", Some(key)).await, first, "at the same leader");
    cluster.append(group, "2", None).await;
    let leader = cluster.leader(group).await;
    cluster.kill(leader).await;
    assert_eq!(cluster.append(group, "1", Some(key)).await, first, "at the next one");
    assert_eq!(cluster.ids(group, 2).await, ["1", "2"]);
    cluster.stop().await;
}

/// Cut off from the others, a leader acknowledges nothing; what it took is nowhere, or at the next leader's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_cut_off_acknowledges_nothing() {
    let cluster = Cluster::of(3).await;
    cluster.is_settled(3).await;
    let group = GROUPS[2];
    cluster.append(group, "1", None).await;
    let old = cluster.leader(group).await;
    let key = ProducerKey { producer: 1, sequence: 1 };
    cluster.net().isolate(cluster.node(old).shared.this);
    let stale = tokio::spawn(cluster.client(old).append(group, &broker(), &[event("2")], Hops::FULL, Some(key)));
    let refused = || (!*cluster.node(old).shared.groups.find(group).unwrap().serving.borrow()).then_some(());
    until("the old leader sees that it is none", refused).await;
    let client = cluster.client(old);
    assert!(matches!(client.read(group, Offset(0), 1).await, Err(ReadError::NotLeader { .. })));
    assert!(client.cursors(group).await.is_err());
    assert_eq!(*client.serve(group).unwrap().borrow(), Serving::Waits, "a seat, for when it serves again");
    let appended = cluster.append(group, "2", Some(key)).await;
    assert_eq!(appended.position.offset, Offset(1));
    assert!(!stale.is_finished(), "no quorum, no answer");
    cluster.net().heal();
    let fate = in_time("the old leader learns what became of it", stale).await.unwrap();
    assert_eq!(fate, Err(AppendError::NotLeader { leader: None }), "another entry took its place");
    assert_eq!(cluster.append(group, "2", Some(key)).await, appended);
    assert_eq!(cluster.ids(group, 2).await, ["1", "2"]);
    cluster.stop().await;
}

/// What is acknowledged after `apply` returned reaches the trigger, in whatever group.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trigger_is_started_in_every_group_when_its_apply_returns() {
    let cluster = Cluster::of(3).await;
    cluster.is_settled(3).await;
    let registrar = cluster.registrar().await;
    let other = cluster.client((registrar + 1) % 3);
    let text = format!("{BROKER}---\n{TRIGGER}");
    let leader = Some(cluster.node(registrar).shared.this);
    let refused = other.apply(parse_documents(&text, "test").unwrap()).await.unwrap_err();
    assert!(matches!(refused, pelton_client::ApplyError::NotLeader { leader: l } if l == leader), "{refused}");
    cluster.client(registrar).apply(parse_documents(&text, "test").unwrap()).await.unwrap();
    for group in GROUPS {
        let appended = cluster.append(group, "1", None).await.position.offset;
        let client = cluster.client(cluster.leader(group).await);
        let cursors = client.cursors(group).await.unwrap();
        assert_eq!(cursors.cursors.len(), 1, "group {group}");
        assert!(cursors.cursors.values().all(|cursor| cursor.floor(cursors.scanned) <= appended), "group {group}");
    }
    cluster.stop().await;
}

/// A registry whose leader is gone takes changes again at the next one, and forgets none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_registry_fails_over_under_applies() {
    let mut cluster = Cluster::of(3).await;
    cluster.is_settled(3).await;
    let mut wanted = BTreeSet::new();
    for n in 0..6 {
        let registrar = cluster.registrar().await;
        if n == 3 {
            cluster.kill(registrar).await;
        }
        let name = format!("b{n}");
        let text = BROKER.replace("name: a", &format!("name: {name}"));
        in_time("the apply", async {
            loop {
                let registrar = cluster.registrar().await;
                let applied = cluster.client(registrar).apply(parse_documents(&text, "test").unwrap()).await;
                if applied.is_ok() {
                    break;
                }
            }
        })
        .await;
        wanted.insert(name);
    }
    let registrar = cluster.registrar().await;
    let resources = cluster.client(registrar).resources().borrow().clone();
    let stored: BTreeSet<_> = resources.brokers.values().map(|broker| broker.metadata.name.clone()).collect();
    assert_eq!(stored, wanted);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_drained_hands_over_and_one_that_joins_gets_a_group() {
    let mut cluster = Cluster::of(3).await;
    cluster.is_settled(3).await;
    for group in GROUPS {
        cluster.append(group, "1", None).await;
    }
    let fourth = cluster.add_machine("n4").await;
    let node = cluster.open(fourth, vec![cluster.machines[0].address.clone()]).await;
    cluster.nodes[fourth] = Some(node);
    cluster.is_settled(4).await;
    assert_eq!(cluster.leader(GroupId(4)).await, fourth, "it leads the new one");
    cluster.append(GroupId(4), "new", None).await;

    let leaving = cluster.leader(GROUPS[0]).await;
    let this = cluster.node(leaving).shared.this;
    in_time("the drain", async {
        loop {
            let registrar = cluster.registrar().await;
            if cluster.client(registrar).change_cluster(ClusterChange::Drain(this)).await.is_ok() {
                break;
            }
        }
    })
    .await;
    let empty = || {
        let state = cluster.node(fourth).shared.registry.state.current_cluster();
        (state.held_by(this).next().is_none() && cluster.node(leaving).shared.groups.all().is_empty()).then_some(())
    };
    until("the drained node holds nothing", empty).await;
    for group in GROUPS {
        assert_eq!(cluster.ids(group, 1).await, ["1"], "group {group}");
        assert_ne!(cluster.leader(group).await, leaving);
    }
    assert_eq!(cluster.ids(GroupId(4), 1).await, ["new"]);
    let log = cluster.node(leaving).log();
    let given_back = || log.groups().iter().all(|group| group.0 == 0).then_some(());
    until("its part of the log is given back", given_back).await;
    let info: Vec<NodeInfo> = cluster.client(fourth).cluster().borrow().nodes.values().cloned().collect();
    assert_eq!(info.iter().filter(|info| info.phase == NodePhase::Draining).count(), 1);
    cluster.stop().await;
}

/// Has the registry's leader change the cluster, as often as it takes.
async fn change(cluster: &Cluster, change: ClusterChange) {
    in_time("the change", async {
        loop {
            let registrar = cluster.registrar().await;
            match cluster.client(registrar).change_cluster(change).await {
                Ok(()) => break,
                Err(pelton_client::ClusterError::Refused(why)) => panic!("{change:?}: {why}"),
                Err(_) => {}
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_moves_to_another_node_while_events_come() {
    let mut cluster = Cluster::of(3).await;
    cluster.is_settled(3).await;
    let fourth = cluster.add_machine("n4").await;
    cluster.nodes[fourth] = Some(cluster.open(fourth, vec![cluster.machines[0].address.clone()]).await);
    cluster.is_settled(4).await;
    let (group, to) = (GROUPS[0], cluster.node(fourth).shared.this);
    let from = cluster.node(cluster.leader(group).await).shared.this;
    change(&cluster, ClusterChange::Move { group, from, to }).await;
    let moved = || {
        let state = cluster.node(fourth).shared.registry.state.current_cluster();
        let record = &state.groups[&group];
        (!record.is_moving() && record.settled.contains(&to) && !record.settled.contains(&from)).then_some(())
    };
    let mut count = 0_u64;
    while moved().is_none() {
        cluster.append(group, &count.to_string(), Some(ProducerKey { producer: 4, sequence: count })).await;
        count += 1;
    }
    let want: Vec<_> = (0..count).map(|n| n.to_string()).collect();
    assert_eq!(cluster.ids(group, count).await, want);
    cluster.stop().await;
}

/// A node that is lost is removed; its name comes back with an empty disk, as another node.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_node_is_removed_and_its_name_joins_as_a_new_one() {
    let mut cluster = Cluster::of(3).await;
    cluster.is_settled(3).await;
    cluster.append(GROUPS[0], "1", None).await;
    let lost = 2;
    let this = cluster.node(lost).shared.this;
    cluster.kill(lost).await;
    let removed = in_time("the removal", async {
        loop {
            let registrar = cluster.registrar().await;
            let remove = ClusterChange::Remove { node: this, lost: true };
            match cluster.client(registrar).change_cluster(remove).await {
                Ok(()) => break,
                // It has answered not long ago.
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    });
    removed.await;
    let few = in_time("a voter too few is told of", async {
        loop {
            let report = cluster.client(0).report().await.unwrap();
            if let Some(few) = report.replicas[&GROUPS[0]].too_few {
                break few;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let few = few.await;
    assert_eq!((few.has, few.wanted), (2, 3));
    let again = cluster.add_machine("n3").await;
    cluster.nodes[again] = Some(cluster.open(again, vec![cluster.machines[0].address.clone()]).await);
    let new = cluster.node(again).shared.this;
    assert!(new > this, "an id is never given again");
    let holds = || {
        let state = cluster.node(0).shared.registry.state.current_cluster();
        let everywhere = state.groups.values().all(|record| record.settled.contains(&new) && !record.is_moving());
        everywhere.then_some(())
    };
    until("the new node holds every group", holds).await;
    in_time("there are enough voters again", async {
        while cluster.client(0).report().await.unwrap().replicas.values().any(|replica| replica.too_few.is_some()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(cluster.ids(GROUPS[0], 1).await, ["1"]);
    cluster.stop().await;
}

/// The session of a leader ends with it; what its holder did is not stored at the next one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ends_with_its_leader() {
    let cluster = Cluster::of(3).await;
    cluster.is_settled(3).await;
    let group = GROUPS[0];
    let old = cluster.leader(group).await;
    let mut seat = cluster.client(old).serve(group).unwrap();
    let session = seat.borrow_and_update().session().expect("it is the first");
    let progress = || pelton_client::Progress { scanned: Offset(0), cursors: Vec::new() };
    cluster.client(old).progress(group, session, progress()).await.unwrap();
    cluster.net().isolate(cluster.node(old).shared.this);
    in_time("the session ends", seat.wait_for(|serving| serving.session().is_none())).await.unwrap();
    let refused = cluster.client(old).progress(group, session, progress()).await;
    assert!(matches!(refused, Err(pelton_client::OperationError::NotLeader { .. })), "{refused:?}");
    let new = cluster.leader(group).await;
    let refused = cluster.client(new).progress(group, session, progress()).await;
    assert_eq!(refused, Err(pelton_client::OperationError::SessionEnded));
    let seat = cluster.client(new).serve(group).unwrap();
    let next = seat.borrow().session().expect("the node's own dispatcher has it");
    assert!(next.term > session.term);
    cluster.net().heal();
    cluster.stop().await;
}

/// A registry that lags may say that a group left long after it has come back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_is_given_up_only_on_current_news_and_when_nobody_sends_to_it() {
    let cluster = Cluster::of(3).await;
    cluster.is_settled(3).await;
    let group = GROUPS[0];
    cluster.append(group, "1", None).await;
    let follower = (cluster.leader(group).await + 1) % 3;
    let shared = &cluster.node(follower).shared;
    let mut old = (*shared.registry.state.current_cluster()).clone();
    let record = old.groups.get_mut(&group).unwrap();
    record.replicas.remove(&shared.this);
    record.settled.remove(&shared.this);
    let holds = || shared.groups.find(group).is_some() && shared.log.group(crate::ids::log_group(group)).last.is_some();
    until("the replica follows", || holds().then_some(())).await;
    assert!(!crate::groups::close_left(shared, &old, false).await, "it was only read from the disk");
    assert!(holds());
    assert!(!crate::groups::close_left(shared, &old, true).await, "the group's leader counts on it");
    assert!(holds());
    // Nobody sends to it any more: the group did move elsewhere.
    cluster.net().isolate(shared.this);
    in_time("it goes", async {
        while !crate::groups::close_left(shared, &old, true).await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert!(shared.log.group(crate::ids::log_group(group)).last.is_none(), "and its part of the log with it");
    assert!(!shared.registry.raft.is_current());
    cluster.stop().await;
}

/// The others are gone: a replica says so within about a second, whether it led the group or not. One that is left with
/// another says nothing of the kind while they elect.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_reaches_too_few_says_so() {
    let mut cluster = Cluster::of(3).await;
    cluster.is_settled(3).await;
    for group in GROUPS {
        cluster.append(group, "1", None).await;
    }
    let (first, second, left) = (0, 1, 2);
    let groups = cluster.node(left).shared.groups.all();
    cluster.kill(first).await;
    // Settled means that each led one; now one of the two leads every group.
    for group in GROUPS {
        cluster.append(group, "2", None).await;
    }
    assert!(groups.values().all(|group| group.too_few.borrow().is_none()), "two of three elect");
    cluster.kill(second).await;
    for group in GROUPS {
        let mut too_few = groups[&group].too_few.subscribe();
        let found = in_time("too few are found", too_few.wait_for(Option::is_some)).await.unwrap();
        assert_eq!(found.map(|found| (found.reached, found.voters)), Some((1, 3)));
        drop(found);
        // One that led falls silent a moment later.
        in_time("it serves no more", groups[&group].serving.subscribe().wait_for(|serves| !serves)).await.unwrap();
        let subject = cluster.client(left);
        let refused = until("the gate is closed", || {
            let append = subject.append(group, &broker(), &[event("3")], Hops::FULL, None);
            append.now_or_never().filter(|answer| matches!(answer, Err(AppendError::NoQuorum { .. })))
        });
        refused.await.unwrap_err();
        let fixture = pelton_client::conformance::Fixture { subject, group, keep: Box::new(()) };
        pelton_client::conformance::node_without_quorum(fixture).await;
        until("the view names nobody", || {
            cluster.client(left).cluster().borrow().groups[&group].leader.is_none().then_some(())
        })
        .await;
    }
    let list: Vec<_> = cluster.machines.iter().map(|machine| machine.address.clone()).collect();
    cluster.nodes[second] = Some(cluster.open(second, list).await);
    for group in GROUPS {
        cluster.append(group, "4", None).await;
        assert!(groups[&group].too_few.borrow().is_none());
    }
    cluster.stop().await;
}

/// Whoever delivers a group's events is asked to finish before the group is handed over, when that was asked for and
/// when its leader stops.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dispatcher_is_asked_to_finish_before_a_hand_over() {
    let cluster = Cluster::of(3).await;
    cluster.is_settled(3).await;
    let group = GROUPS[0];
    let old = cluster.leader(group).await;
    let serve = |nth: usize| {
        let mut seat = cluster.client(nth).serve(group).unwrap();
        assert!(seat.borrow_and_update().session().is_some());
        async move {
            let asked = |serving: &Serving| matches!(serving, Serving::Granted(grant) if grant.is_to_finish);
            in_time("it is asked to finish", seat.wait_for(asked)).await.unwrap();
        }
    };
    let asked = serve(old);
    let other = (old + 1) % 3;
    let change = ClusterChange::Lead { group, node: cluster.node(other).shared.this };
    cluster.client(cluster.registrar().await).change_cluster(change).await.unwrap();
    asked.await;
    cluster.is_settled(3).await;
    assert_eq!(cluster.leader(group).await, other);
    // What stops hands over all it leads.
    let asked = serve(other);
    tokio::join!(cluster.node(other).hand_over(), asked);
    cluster.stop().await;
}

/// A node that stops answers until it does, and the new leader of what it handed over knows that the group should be led
/// there. It asks first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_is_given_nothing_back() {
    let cluster = Cluster::of(3).await;
    cluster.is_settled(3).await;
    let (stops, other) = (0, 1);
    let (group, node) = (GROUPS[0], ids::raft_node(cluster.node(stops).shared.this));
    let raft = &cluster.node(other).shared.groups.find(group).unwrap().raft;
    let asked = async || loop {
        // Who does not answer in time is given nothing either.
        if let Some(may) = raft.may_take_over(node).await {
            return may;
        }
    };
    assert!(in_time("it answers", asked()).await);
    cluster.node(stops).hand_over().await;
    assert!(!in_time("it still answers", asked()).await);
    cluster.stop().await;
}

/// The registry's leader, and the group that it leads besides.
async fn leads_the_registry_and_a_group(cluster: &Cluster) -> (usize, GroupId) {
    let nth = cluster.registrar().await;
    let this = cluster.node(nth).shared.this;
    let state = cluster.node(nth).shared.registry.state.current_cluster();
    let group = state.groups.iter().find(|(_, group)| group.preferred == Some(this)).map(|(id, _)| *id);
    (nth, group.expect("each node leads one"))
}

/// Appends with a key to a group, again and again, until another node than `nth` has taken some.
async fn goes_on_without(cluster: &Cluster, nth: usize, group: GroupId) {
    let mut taken = 0;
    for sequence in 0.. {
        let leader = cluster.leader(group).await;
        let key = Some(ProducerKey { producer: 7, sequence });
        let client = cluster.client(leader);
        let events = [filler(sequence)];
        let broker = broker();
        let append = client.append(group, &broker, &events, Hops::FULL, key);
        // Where the disk hangs nobody is told anything.
        let answer = tokio::time::timeout(Duration::from_millis(100), append).await;
        taken += u64::from(leader != nth && matches!(answer, Ok(Ok(_))));
        if taken >= 20 {
            return;
        }
    }
}

/// Until placement has taken note, so that the group does not come back to the node that it was taken from.
async fn is_placed_elsewhere(cluster: &Cluster, nth: usize, group: GroupId) {
    let this = cluster.node(nth).shared.this;
    let preferred = |node: &Node| node.shared.registry.state.current_cluster().groups[&group].preferred;
    // It may not hear of it itself: the core of a replica waits for a disk that hangs.
    let others = cluster.running().filter(|(other, _)| *other != nth);
    let elsewhere = || others.clone().all(|(_, node)| preferred(node) != Some(this)).then_some(());
    until("placement knows of the disk", elsewhere).await;
}

/// Until the group is led at home again: its disk has been well for a while.
async fn leads_again(cluster: &Cluster, nth: usize, group: GroupId) {
    let serves = || cluster.node(nth).shared.groups.find(group).filter(|group| *group.serving.borrow()).map(drop);
    until("the group is led at home again", serves).await;
    cluster.is_settled(3).await;
}

/// F6: the storage of a leader stands still while its network lives. It still commits through the others, so nobody
/// else would take over; and what is said of a full disk holds of it as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_disk_hangs_hands_over_what_it_leads_and_gets_it_back() {
    let cluster = Cluster::of(3).await;
    cluster.is_settled(3).await;
    let (nth, group) = leads_the_registry_and_a_group(&cluster).await;
    cluster.machines[nth].disk.set_hung(true);
    in_time("the group goes on", goes_on_without(&cluster, nth, group)).await;
    let follows = || (!cluster.node(nth).shared.registry.raft.serves()).then_some(());
    until("the registry is given away as well", follows).await;
    let report = cluster.client(nth).report().await.unwrap();
    assert!(report.problems.iter().any(|problem| problem.what.contains("hangs")), "{:?}", report.problems);
    cluster.machines[nth].disk.set_hung(false);
    leads_again(&cluster, nth, group).await;
    cluster.stop().await;
}

/// F8: events of a key are taken again without an operator.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_disk_is_full_hands_over_what_it_leads_and_gets_it_back() {
    let cluster = Cluster::of(3).await;
    cluster.is_settled(3).await;
    let (nth, group) = leads_the_registry_and_a_group(&cluster).await;
    let disk = &cluster.machines[nth].disk;
    disk.set_capacity(Some(disk.used_bytes()));
    in_time("the group goes on", goes_on_without(&cluster, nth, group)).await;
    is_placed_elsewhere(&cluster, nth, group).await;
    disk.set_capacity(None);
    leads_again(&cluster, nth, group).await;
    cluster.stop().await;
}

/// What is left of a group says since when it has no leader that could do anything, whichever it was before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_without_a_quorum_says_since_when() {
    let mut cluster = Cluster::of(3).await;
    cluster.is_settled(3).await;
    let unled = async |cluster: &Cluster| -> Vec<Option<pelton_resource::Time>> {
        let report = cluster.client(0).report().await.unwrap();
        report.replicas.values().map(|replica| replica.unled_since).collect()
    };
    assert_eq!(unled(&cluster).await, [None; 4]);
    cluster.kill(1).await;
    cluster.kill(2).await;
    let all = in_time("every group misses its leader", async {
        loop {
            let now = unled(&cluster).await;
            if now.iter().all(Option::is_some) {
                break now;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let all = all.await;
    assert_eq!(unled(&cluster).await, all, "the time does not move on");
    cluster.stop().await;
}
