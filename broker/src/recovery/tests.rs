//! Nodes on real folders, most of which are lost.

use std::future::Future;
use std::time::Duration;

use pelton_client::{BrokerName, Hops, Offset, Role};
use pelton_env::{SeededChance, SystemClock};
use pelton_event::Event;
use pelton_peer::{Network, PeerAddress, PeerListener, Security, TcpNetwork};

use super::*;
use crate::blocking::Blocking;
use crate::formation::CannotEnter;
use crate::member::{Member, OnWaiting, Timing};
use crate::node::{Node, Options, RegistryStore, Retention};

/// Long enough for any machine; a test that is right never waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

const EVENTS: u64 = 5;

struct Machine {
    name: String,
    address: PeerAddress,
    listener: Arc<dyn PeerListener>,
    data: tempfile::TempDir,
}

impl Machine {
    async fn new(name: &str) -> Self {
        let listener = TcpNetwork.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap().to_string().parse().unwrap();
        Self { name: name.to_owned(), address, listener: listener.into(), data: tempfile::tempdir().unwrap() }
    }

    async fn open(&self, join: &[&Machine]) -> Result<Node, OpenError> {
        let member = Member {
            name: self.name.clone(),
            peer_advertise: self.address.clone(),
            join: join.iter().map(|machine| machine.address.clone()).collect(),
            zone: String::new(),
            roles: [Role::Broker, Role::Dispatcher].into(),
            version: "test".to_owned(),
            network: Arc::new(TcpNetwork),
            security: Security::Plaintext,
            listener: self.listener.clone(),
            replicas: 3,
            node_lost_after: PATIENCE,
            timing: Timing {
                heartbeat: Duration::from_millis(100),
                election_timeout: (Duration::from_millis(600), Duration::from_millis(900)),
            },
            on_waiting: OnWaiting(Arc::new(|_| {})),
        };
        let options = Options {
            data: self.data.path().to_owned(),
            retention: Retention::default(),
            clock: Arc::new(SystemClock),
            chance: Arc::new(self.chance()),
            observer: Arc::new(pelton_log::NoObserver),
            on_fatal: Arc::new(|error| panic!("the disk failed: {error}")),
            on_ended: Arc::new(|error| panic!("the node ended: {error}")),
            direct_io: pelton_log::DirectIo::Off,
            store: RegistryStore::Sled,
            blocking: Blocking::Threads,
            versions: pelton_peer::Versions::OURS,
            raise_version_after: PATIENCE,
            member: Some(member),
            scrub_bytes_per_second: 0,
        };
        in_time("the node comes in", Node::open(options)).await
    }

    /// Another on each machine: a new one has another nonce than the one whose name it takes.
    fn chance(&self) -> SeededChance {
        SeededChance::new(
            self.address
                .to_string()
                .bytes()
                .fold(0, |seed, byte| u64::wrapping_add(31_u64.wrapping_mul(seed), byte.into())),
        )
    }

    fn recovery(&self) -> Result<Recovery, RecoveryError> {
        Recovery::open(self.data.path(), Arc::new(SystemClock), Arc::new(self.chance()), Versions::OURS)
    }

    fn refusal(&self) -> String {
        let refused = self.recovery().map(|_| "it is taken".to_owned());
        let with_cause = |error: RecoveryError| {
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            format!("{error}: {cause}")
        };
        refused.unwrap_or_else(with_cause)
    }
}

async fn in_time<T>(what: &str, wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    in_time(what, wait).await;
}

fn tails(node: &Node) -> BTreeMap<GroupId, Offset> {
    node.shared.groups.all().iter().map(|(group, open)| (*group, open.state.tail())).collect()
}

/// Three nodes with three groups, each with events, stopped. What each group holds.
async fn three() -> (Vec<Machine>, BTreeMap<GroupId, Offset>) {
    let mut machines = Vec::new();
    for name in ["a", "b", "c"] {
        machines.push(Machine::new(name).await);
    }
    let all: Vec<_> = machines.iter().collect();
    let opened = futures_util::future::join_all(machines.iter().map(|machine| machine.open(&all))).await;
    let nodes: Vec<_> = opened.into_iter().map(Result::unwrap).collect();
    let settled = |node: &Node| {
        let state = node.shared.registry.state.current_cluster();
        let all = state.groups.values().chain([&state.registry]);
        state.groups.len() == 3 && all.into_iter().all(|group| group.settled.len() == 3 && !group.is_moving())
    };
    until("the cluster is settled", || nodes.iter().all(settled)).await;
    let groups: Vec<_> = nodes[0].shared.groups.all().keys().copied().collect();
    for group in &groups {
        for number in 0..EVENTS {
            append(&nodes, *group, number).await;
        }
    }
    let want: BTreeMap<_, _> = groups.into_iter().map(|group| (group, Offset(EVENTS))).collect();
    until("all have everything", || nodes.iter().all(|node| tails(node) == want)).await;
    futures_util::future::join_all(nodes.into_iter().map(Node::shutdown)).await;
    (machines, want)
}

/// Through whichever of the nodes leads.
async fn append(nodes: &[Node], group: GroupId, number: u64) {
    let event = Event::builder().id(&number.to_string()).source("/test").ty("t").build().unwrap();
    let appended = async {
        loop {
            for node in nodes {
                let broker = BrokerName::new("default", "a");
                let one = [event.clone()];
                let Some(open) = node.shared.groups.find(group) else { continue };
                if open.proposer.append(&broker, &one, Hops::FULL, None).await.is_ok() {
                    return;
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    in_time("an event is taken", appended).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_three_goes_on_as_a_cluster_of_its_own_and_takes_in_new_nodes() {
    let (machines, held) = three().await;
    let left = &machines[2];
    let before = identity::recoverable(left.data.path()).unwrap();

    // Looked at, and no more: it is what it was.
    let recovery = left.recovery().unwrap();
    assert!(left.refusal().contains("in use"), "by the one that looks at it");
    let plan = recovery.plan().clone();
    assert_eq!((plan.cluster, plan.goes_on), (before.identity.cluster, false));
    assert_eq!(plan.lost_nodes.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(plan.groups.len(), 4);
    for (group, fate) in &plan.groups {
        assert!(matches!(fate, GroupFate::GoesOn { voters, .. } if voters.len() == 3), "{group}: {fate:?}");
    }
    recovery.log.shutdown();
    drop(recovery);
    assert_eq!(identity::recoverable(left.data.path()).unwrap(), before);

    // Cut off after a part of it: no node starts in it, and it can be finished.
    let cut = left.recovery().unwrap();
    let begun = identity::begin_recovery(&cut.data, &SeededChance::new(9)).unwrap();
    let (_, first) = cut.held.first_key_value().unwrap();
    first.take_over(&cut.log, ids::raft_node(cut.this), Vec::new()).await.unwrap();
    cut.log.shutdown();
    drop(cut);
    let error = left.open(&[]).await.err().expect("it is refused").to_string();
    assert!(error.contains("pelton recover"), "{error}");
    let again = left.recovery().unwrap();
    assert!(again.plan().goes_on);
    // All but the last step: the log is the new cluster's, and the name is not yet.
    again.take_over().await.unwrap();
    again.log.shutdown();
    drop(again);
    assert!(left.open(&[]).await.err().expect("it is refused").to_string().contains("pelton recover"));
    let cluster = left.recovery().unwrap().perform(&SeededChance::new(10)).await.unwrap();
    assert_eq!(cluster, begun, "what was begun is finished");
    assert!(left.refusal().contains("cluster of one already"));

    let node = left.open(&[left]).await.unwrap();
    assert_eq!((node.identity().cluster, node.identity().node), (cluster, before.identity.node));
    until("everything is there", || tails(&node) == held).await;
    let members = || -> Vec<_> { node.shared.registry.state.current_cluster().members().map(|(id, _)| id).collect() };
    until("the others are no members", || members() == [node.shared.this]).await;
    let nodes = [node];
    for group in held.keys() {
        append(&nodes, *group, EVENTS).await;
    }
    let [node] = nodes;

    // A node of the old cluster is a stranger.
    let error = machines[0].open(&[&machines[0], left]).await.err().expect("it is refused");
    assert!(matches!(error, OpenError::Enter(CannotEnter::WrongCluster { .. })), "{error}");

    // New ones come in, under the names that are free now, and get everything.
    let (mut nodes, new) = (vec![node], [Machine::new("a").await, Machine::new("b").await]);
    for machine in &new {
        nodes.push(machine.open(&[left]).await.unwrap());
    }
    let want: BTreeMap<_, _> = held.keys().map(|group| (*group, Offset(EVENTS + 1))).collect();
    until("the new ones have it all", || nodes.iter().all(|node| tails(node) == want)).await;
    let settled = || {
        let state = nodes[0].shared.registry.state.current_cluster();
        state.groups.values().all(|group| group.settled.len() == 3) && state.registry.settled.len() == 3
    };
    until("all vote", settled).await;
    futures_util::future::join_all(nodes.into_iter().map(Node::shutdown)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_survivor_is_refused() {
    let machine = Machine::new("a").await;
    assert!(machine.refusal().contains("there is no log"));
    assert!(!machine.data.path().join("log").exists(), "nothing is made by looking");
    let node = machine.open(&[]).await.unwrap();
    assert!(machine.refusal().contains("in use"));
    until("it is formed", || node.waits_for().is_none()).await;
    node.shutdown().await;
    assert!(machine.refusal().contains("cluster of one already"));

    let segments = std::fs::read_dir(machine.data.path().join("log")).unwrap().map(|entry| entry.unwrap().path());
    let segment = segments.filter(|path| path.extension().is_some_and(|extension| extension == "seg")).min().unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    // The first record behind the header block, far below what was durable.
    let record = 4096 + bytes[4096..].iter().position(|byte| *byte != 0).expect("the segment holds records");
    bytes[record + 20] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let refusal = machine.refusal();
    assert!(refusal.contains("damaged") || refusal.contains("cannot be opened"), "{refusal}");
    std::fs::remove_file(machine.data.path().join("identity.json")).unwrap();
    assert!(machine.refusal().contains("restore the file"));
}

/// A group whose replicas were all elsewhere begins anew; one that was never begun is begun here.
#[test]
fn the_cluster_is_what_is_left() {
    let mut state = crate::cluster::three_nodes();
    let this = NodeId(2);
    let create = |group: u32, replicas: &[u64]| ClusterCommand::CreateGroup {
        group: GroupId(group),
        replicas: replicas.iter().copied().map(NodeId).collect(),
        home: NodeId(replicas[0]),
        keyed: true,
    };
    state.apply(20, create(2, &[1, 3])).unwrap();
    let voters = BTreeSet::from([NodeId(1), NodeId(3)]);
    state.apply(21, ClusterCommand::Settle { group: GroupId(2), term: 4, voters }).unwrap();
    state.apply(22, create(3, &[3, 2])).unwrap();
    let survive = |term| ClusterCommand::Survive { node: this, held: [(REGISTRY, term), (GroupId(1), term)].into() };
    for (index, term) in [(30, 8), (31, 9)] {
        state.apply(index, survive(term)).unwrap();
        assert_eq!(state.version, index);
        assert_eq!(state.members().map(|(node, _)| node).collect::<Vec<_>>(), [this]);
        let only = BTreeSet::from([this]);
        for group in [REGISTRY, GroupId(1)] {
            let record = state.group(group).unwrap();
            assert_eq!((&record.replicas, &record.settled, record.settled_term), (&only, &only, term), "{group}");
        }
        let given_up = state.group(GroupId(2)).unwrap();
        assert!(given_up.replicas.is_empty() && given_up.settled.is_empty() && given_up.settled_term == 0);
        let new = state.group(GroupId(3)).unwrap();
        assert_eq!((&new.replicas, new.settled.is_empty(), new.preferred), (&only, true, Some(this)));
    }
    let observed = crate::cluster::Observed { silent: BTreeMap::new(), unfit: BTreeSet::new(), lost_after: PATIENCE };
    for command in crate::cluster::plan(&state, &observed) {
        state.apply(40, command).unwrap();
    }
    assert_eq!(state.group(GroupId(2)).unwrap().replicas, BTreeSet::from([this]), "what was given up begins anew");
}
