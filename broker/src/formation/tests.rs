use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use pelton_client::{ClusterChange, ClusterError, GroupId, NodeId, NodeInfo, NodePhase, OperationError, Role};
use pelton_env::SeededChance;
use pelton_log::Identity;
use pelton_peer::{Network, PeerAddress, Pool, Routes, Security, ServeOptions, TcpNetwork, Versions};
use pelton_proto::consensus::v1 as wire;
use pelton_proto::consensus::v1::join_refusal::Reason;
use pelton_proto::consensus::v1::membership_server::Membership;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::Request;

use super::calls::hello;
use super::hello::{Hello, NoHello};
use super::*;
use crate::cluster::{Answer, ClusterCommand, ClusterState, Outcome};
use crate::identity::{self, Directory};
use crate::node::OpenError;

/// Longer than any test.
const PATIENT: Patience = Patience { lost_after: Duration::from_secs(600), raise_after: Duration::from_secs(600) };

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// The registry of a cluster under test: one state, and who leads.
struct Registry {
    state: watch::Sender<Arc<ClusterState>>,
    leader: Mutex<Option<NodeId>>,
}

impl Registry {
    fn new() -> Arc<Self> {
        Arc::new(Self { state: watch::Sender::new(Arc::default()), leader: Mutex::new(Some(NodeId(1))) })
    }

    fn apply(&self, command: ClusterCommand) -> Outcome {
        let mut next = (**self.state.borrow()).clone();
        let index = next.version + 1;
        let outcome = next.apply(index, command);
        self.state.send_replace(Arc::new(next));
        outcome
    }
}

/// The registry as one node has it.
struct Seat {
    registry: Arc<Registry>,
    node: NodeId,
}

impl Registrar for Seat {
    fn cluster(&self) -> watch::Receiver<Arc<ClusterState>> {
        self.registry.state.subscribe()
    }

    fn commit(&self, command: ClusterCommand) -> BoxFuture<'_, Result<Outcome, OperationError>> {
        let leader = *self.registry.leader.lock();
        let done = if leader == Some(self.node) {
            Ok(self.registry.apply(command))
        } else {
            Err(OperationError::NotLeader { leader })
        };
        std::future::ready(done).boxed()
    }
}

/// A node that is asked, and its way in.
struct TestNode {
    service: MembershipService,
    formation: Formation,
    listener: JoinHandle<()>,
}

impl Drop for TestNode {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

fn info(name: &str, address: &PeerAddress) -> NodeInfo {
    NodeInfo {
        name: name.to_owned(),
        peer_address: address.to_string(),
        ingress: None,
        api: None,
        gateway: None,
        zone: String::new(),
        roles: BTreeSet::from([Role::Broker]),
        phase: NodePhase::Active,
        version: "test".to_owned(),
    }
}

fn pool() -> Arc<Pool> {
    Arc::new(Pool::new(Arc::new(TcpNetwork), Security::Plaintext))
}

/// Starts to answer hellos, as the program in `data`.
async fn node_speaking(name: &str, data: &Path, seed: u64, versions: Versions) -> TestNode {
    let listener = TcpNetwork.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let own: PeerAddress = listener.local_addr().unwrap().to_string().parse().unwrap();
    let chance = Arc::new(SeededChance::new(seed));
    let nonce = identity::nonce(data, &*chance).unwrap();
    let presence = Arc::new(Presence::new(name.to_owned(), nonce, "test".to_owned(), versions));
    let service = MembershipService::new(presence.clone());
    let routes = Routes::default().with(service.server());
    let serve =
        pelton_peer::serve(listener, Security::Plaintext, routes, ServeOptions::default(), std::future::pending());
    let (info, data) = (info(name, &own), data.to_owned());
    let formation = Formation { data, presence, own, join: Vec::new(), info, pool: pool(), chance };
    TestNode { service, formation, listener: tokio::spawn(serve) }
}

async fn node(name: &str, data: &TempDir, seed: u64) -> TestNode {
    node_speaking(name, data.path(), seed, Versions::OURS).await
}

impl TestNode {
    fn address(&self) -> PeerAddress {
        self.formation.own.clone()
    }

    /// Comes in, and takes its seat in the registry.
    async fn start(&mut self, join: &[PeerAddress], registry: &Arc<Registry>) -> Result<Started, OpenError> {
        self.formation.join = join.to_vec();
        let start = tokio::time::timeout(PATIENCE, self.formation.start());
        let started = start.await.expect("it comes in in time")?;
        let node = NodeId(started.identity.node);
        self.service.open(Arc::new(Seat { registry: registry.clone(), node }));
        if node.0 == 1 && !registry.state.borrow().is_formed() {
            let (info, nonce) = (self.formation.info.clone(), self.formation.presence.nonce());
            let (initial_nodes, replication) = (started.initial_nodes, 3);
            let form = ClusterCommand::Form {
                initial_nodes,
                replication,
                info,
                nonce,
                speaks: crate::cluster::Speaks::default(),
            };
            assert_eq!(registry.apply(form), Ok(Answer::Joined(node)));
        }
        Ok(started)
    }

    fn link(&self, registry: &Arc<Registry>, listed: &[PeerAddress]) -> RegistryLink {
        let presence = self.formation.presence.clone();
        let node = NodeId(presence.identity().map_or(0, |identity| identity.node));
        let registrar = Arc::new(Seat { registry: registry.clone(), node });
        RegistryLink { registrar, presence, pool: pool(), listed: listed.to_vec() }
    }
}

/// Three nodes on loopback that formed a cluster, and what it took.
struct Cluster {
    registry: Arc<Registry>,
    dirs: [TempDir; 3],
    nodes: [TestNode; 3],
    addresses: Vec<PeerAddress>,
}

async fn three() -> Cluster {
    let registry = Registry::new();
    let dirs = std::array::from_fn(|_| tempfile::tempdir().unwrap());
    let [da, db, dc] = &dirs;
    let (mut a, mut b, mut c) = (node("a", da, 1).await, node("b", db, 2).await, node("c", dc, 3).await);
    let addresses = vec![a.address(), b.address(), c.address()];
    let (ra, rb, rc) =
        tokio::join!(a.start(&addresses, &registry), b.start(&addresses, &registry), c.start(&addresses, &registry));
    let (ra, rb, rc) = (ra.unwrap(), rb.unwrap(), rc.unwrap());
    assert_eq!((ra.identity.node, ra.initial_nodes), (1, 3));
    assert_eq!(BTreeSet::from([rb.identity.node, rc.identity.node]), BTreeSet::from([2, 3]));
    assert!([&rb, &rc].iter().all(|started| started.identity.cluster == ra.identity.cluster));
    assert!(rb.members.contains_key(&NodeId(1)), "it knows where the first node is");
    Cluster { registry, dirs, nodes: [a, b, c], addresses }
}

/// The text, with what lies under it.
fn text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[tokio::test]
async fn three_nodes_form_one_cluster_and_start_again_as_what_they_were() {
    let cluster = three().await;
    let state = cluster.registry.state.borrow().clone();
    assert_eq!(
        state.members().map(|(_, info)| info.name.as_str()).collect::<BTreeSet<_>>(),
        BTreeSet::from(["a", "b", "c"])
    );
    let before: Vec<_> = cluster.nodes.iter().map(|node| node.formation.presence.identity().unwrap()).collect();
    let [da, db, dc] = &cluster.dirs;
    drop(cluster.nodes);
    for ((dir, name), before) in [(da, "a"), (db, "b"), (dc, "c")].into_iter().zip(before) {
        let mut again = node(name, dir, 9).await;
        // Nobody of the list answers: the cluster starts as a whole.
        let started = again.start(&cluster.addresses, &cluster.registry).await.unwrap();
        assert_eq!((started.identity, started.initial_nodes), (before, 3));
    }
}

#[tokio::test]
async fn two_lists_of_another_order_form_no_two_clusters() {
    let (registry, da, db) = (Registry::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut a, mut b) = (node("a", &da, 1).await, node("b", &db, 2).await);
    let (one, other) = ([a.address(), b.address()], [b.address(), a.address()]);
    let (a, b) = tokio::join!(a.start(&one, &registry), b.start(&other, &registry));
    for error in [a.unwrap_err(), b.unwrap_err()] {
        assert!(text(&error).contains("the same list of addresses"), "{}", text(&error));
    }
    assert!(!da.path().join(identity::FILE).exists() && !db.path().join(identity::FILE).exists());
}

#[tokio::test]
async fn a_node_by_itself_is_a_cluster_of_one() {
    let (dir, registry) = (tempfile::tempdir().unwrap(), Registry::new());
    let started = node("a", &dir, 1).await.start(&[], &registry).await.unwrap();
    assert_eq!((started.identity.node, started.initial_nodes, started.members.len()), (1, 1, 0));
    assert_eq!(identity::examine(dir.path()).unwrap(), Directory::Known { identity: started.identity, alone: false });
}

#[tokio::test]
async fn a_join_whose_answer_was_lost_gives_the_same_id_again() {
    let cluster = three().await;
    let dir = tempfile::tempdir().unwrap();
    let mut late = node("d", &dir, 4).await;
    let first = late.start(&cluster.addresses[1..2], &cluster.registry).await.unwrap();
    assert_eq!(first.identity.node, 4, "it asked one that does not lead, and was sent to the leader");
    drop(late);
    // As if the answer had not come before the crash: the nonce is on disk, the identity is not.
    std::fs::remove_file(dir.path().join(identity::FILE)).unwrap();
    let again = node("d", &dir, 5).await.start(&cluster.addresses, &cluster.registry).await.unwrap();
    assert_eq!(again.identity, first.identity);
}

#[tokio::test]
async fn an_empty_disk_under_a_known_name_is_refused_and_so_is_a_node_that_was_removed() {
    let Cluster { registry, dirs, nodes: [a, b, c], addresses } = three().await;
    let lost = c.formation.presence.identity().unwrap();
    drop(c);
    let empty = tempfile::tempdir().unwrap();
    let error = node("c", &empty, 8).await.start(&addresses, &registry).await.unwrap_err();
    for says in ["is called c already", "`pelton node remove c --lost`", "join under a new name"] {
        assert!(text(&error).contains(says), "{}", text(&error));
    }
    assert_eq!(identity::examine(empty.path()).unwrap(), Directory::New, "it was given no identity");

    registry.apply(ClusterCommand::Remove { node: NodeId(lost.node), lost: true }).unwrap();
    let mut again = node("c", &empty, 8).await;
    assert_eq!(again.start(&addresses, &registry).await.unwrap().identity.node, 4, "as a new node it may");
    drop(again);
    // The old disk turns up.
    let mut old = node("c", &dirs[2], 9).await;
    old.start(&addresses, &registry).await.expect("nobody contradicts before it is announced");
    let link = old.link(&registry, &addresses);
    let error = link.announce(&old.formation.info).await.unwrap_err();
    assert!(error.to_string().contains("was removed") && error.to_string().contains("empty data directory"), "{error}");
    drop((a, b));
}

#[tokio::test]
async fn a_data_directory_of_another_cluster_or_a_copied_one_is_refused() {
    let cluster = three().await;
    let foreign = tempfile::tempdir().unwrap();
    identity::nonce(foreign.path(), &SeededChance::new(7)).unwrap();
    identity::take(foreign.path(), Identity { cluster: 77, node: 2 }).unwrap();
    let error = node("x", &foreign, 7).await.start(&cluster.addresses, &cluster.registry).await.unwrap_err();
    assert!(text(&error).contains("belongs to cluster") && text(&error).contains("to cluster"), "{}", text(&error));
    let copy = tempfile::tempdir().unwrap();
    identity::nonce(copy.path(), &SeededChance::new(8)).unwrap();
    identity::take(copy.path(), cluster.nodes[1].formation.presence.identity().unwrap()).unwrap();
    let error = node("b", &copy, 8).await.start(&cluster.addresses, &cluster.registry).await.unwrap_err();
    assert!(text(&error).contains("must not be copied"), "{}", text(&error));
}

#[tokio::test]
async fn a_node_of_a_version_apart_is_refused_and_one_of_the_next_version_is_not() {
    let cluster = three().await;
    let dir = tempfile::tempdir().unwrap();
    let mut apart = node_speaking("d", dir.path(), 4, Versions { min: 7, max: 8 }).await;
    let error = apart.start(&cluster.addresses, &cluster.registry).await.unwrap_err();
    assert!(text(&error).contains("no protocol version in common"), "{}", text(&error));
    drop(apart);
    let next = Versions { min: Versions::OURS.max, max: Versions::OURS.max + 1 };
    let mut next = node_speaking("d", dir.path(), 4, next).await;
    assert_eq!(next.start(&cluster.addresses, &cluster.registry).await.unwrap().identity.node, 4);
}

#[tokio::test]
async fn what_is_no_node_gives_no_hello() {
    let presence = Presence::new("a".into(), crate::cluster::nonce(1), "test".into(), Versions::OURS);
    let ask = async |address: std::net::SocketAddr| {
        hello(&pool(), &address.to_string().parse().unwrap(), &presence).await.unwrap_err()
    };
    // Bytes that mean nothing.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let noise = listener.local_addr().unwrap();
    let noisy = tokio::spawn(async move {
        loop {
            let Ok((mut stream, _)) = listener.accept().await else { return };
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let error = ask(noise).await;
    assert!(matches!(error, NoHello::Unreachable(_) | NoHello::Garbage(_)), "{error}");
    noisy.abort();
    // gRPC, but nobody of ours.
    let listener = TcpNetwork.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let other = listener.local_addr().unwrap();
    let (routes, options) = (Routes::default(), ServeOptions::default());
    let serving =
        tokio::spawn(pelton_peer::serve(listener, Security::Plaintext, routes, options, std::future::pending()));
    assert!(matches!(ask(other).await, NoHello::Garbage(_)));
    serving.abort();
    // Nobody.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    assert!(matches!(ask(nobody).await, NoHello::Unreachable(_)));
}

#[test]
fn what_says_nonsense_of_itself_is_no_node() {
    let good = Presence::new("a".into(), crate::cluster::nonce(1), "test".into(), Versions::OURS).to_wire();
    assert!(Hello::from_wire(Some(good.clone())).is_ok());
    assert!(Hello::from_wire(None).is_err());
    for bad in [
        wire::Identity { nonce: vec![1; 15].into(), ..good.clone() },
        wire::Identity { cluster: vec![1; 15].into(), node: 1, ..good.clone() },
        wire::Identity { node: 1, ..good.clone() },
        wire::Identity { cluster: vec![1; 16].into(), ..good.clone() },
        wire::Identity { forms: "a".repeat(513), ..good.clone() },
        wire::Identity { name: "a".repeat(513), ..good },
    ] {
        assert!(Hello::from_wire(Some(bad.clone())).is_err(), "{bad:?}");
    }
}

#[tokio::test]
async fn a_request_to_join_that_is_not_well_formed_is_refused_by_reason() {
    let cluster = three().await;
    let leader = &cluster.nodes[0].service;
    let own = cluster.nodes[0].formation.presence.identity().unwrap().cluster.to_be_bytes().to_vec();
    let own: bytes::Bytes = own.into();
    let good = wire::JoinRequest {
        name: "d".into(),
        peer_address: "d:7400".into(),
        roles: vec!["broker".into()],
        nonce: vec![9; 16].into(),
        protocol_min: 1,
        protocol_max: 1,
        ..wire::JoinRequest::default()
    };
    let ask = async |request: wire::JoinRequest| {
        let response = leader.join(Request::new(request)).await.unwrap().into_inner();
        match response.result.unwrap() {
            wire::join_response::Result::Refusal(refusal) => refusal.reason(),
            other => panic!("{other:?}"),
        }
    };
    for (request, want) in [
        (wire::JoinRequest { nonce: vec![9; 3].into(), ..good.clone() }, Reason::Invalid),
        (wire::JoinRequest { name: "Not A Label".into(), ..good.clone() }, Reason::Invalid),
        (wire::JoinRequest { peer_address: "nowhere".into(), ..good.clone() }, Reason::Invalid),
        (wire::JoinRequest { roles: vec![], ..good.clone() }, Reason::Invalid),
        (wire::JoinRequest { roles: vec!["king".into()], ..good.clone() }, Reason::Invalid),
        (wire::JoinRequest { zone: "z".repeat(513), ..good.clone() }, Reason::Invalid),
        (wire::JoinRequest { cluster: vec![1; 3].into(), ..good.clone() }, Reason::Invalid),
        (wire::JoinRequest { cluster: vec![1; 16].into(), ..good.clone() }, Reason::Invalid),
        (wire::JoinRequest { node: 2, ..good.clone() }, Reason::Invalid),
        (wire::JoinRequest { cluster: vec![1; 16].into(), node: 2, ..good.clone() }, Reason::WrongCluster),
        (wire::JoinRequest { cluster: own.clone(), node: 2, ..good.clone() }, Reason::Invalid),
        (wire::JoinRequest { protocol_min: 8, protocol_max: 9, ..good.clone() }, Reason::Version),
        (wire::JoinRequest { name: "b".into(), ..good.clone() }, Reason::NameTaken),
    ] {
        assert_eq!(ask(request.clone()).await, want, "{request:?}");
    }
    *cluster.registry.leader.lock() = None;
    assert_eq!(ask(good).await, Reason::NoLeader);
    assert_eq!(cluster.registry.state.borrow().members().count(), 3, "nobody was let in");
}

#[tokio::test]
async fn voters_are_recorded_by_the_registrys_leader_wherever_it_is() {
    let cluster = three().await;
    let group = GroupId(1);
    let all: BTreeSet<_> = [1, 2, 3].map(NodeId).into();
    let create = ClusterCommand::CreateGroup { group, replicas: all.clone(), home: NodeId(1), keyed: true };
    cluster.registry.apply(create).unwrap();
    for (term, node) in (3..).zip(&cluster.nodes) {
        node.link(&cluster.registry, &[]).settle(group, term, &all).await.unwrap();
        assert_eq!(cluster.registry.state.borrow().group(group).unwrap().settled_term, term);
    }
    let link = cluster.nodes[1].link(&cluster.registry, &[]);
    let refused = link.settle(group, 1, &all).await;
    assert!(matches!(&refused, Err(SettleError::Refused(text)) if text.contains("later term")), "{refused:?}");
    *cluster.registry.leader.lock() = None;
    assert!(matches!(link.settle(group, 9, &all).await, Err(SettleError::NoAnswer(_))));
    // A node tells where it is now, from wherever it asks.
    *cluster.registry.leader.lock() = Some(NodeId(1));
    let moved = NodeInfo { ingress: Some("http://c:8080".into()), ..cluster.nodes[2].formation.info.clone() };
    cluster.nodes[2].link(&cluster.registry, &[]).announce(&moved).await.unwrap();
    let id = NodeId(cluster.nodes[2].formation.presence.identity().unwrap().node);
    assert_eq!(cluster.registry.state.borrow().member(id).unwrap().ingress, moved.ingress);
}

#[tokio::test]
async fn the_leader_puts_the_cluster_in_order_and_does_what_operators_ask() {
    let cluster = three().await;
    let leader = &cluster.nodes[0];
    let registrar = Arc::new(Seat { registry: cluster.registry.clone(), node: NodeId(1) });
    let (presence, peers) = (leader.formation.presence.clone(), pelton_consensus::Peers::none());
    let keeper = Arc::new(Keeper::new(registrar, presence, pool(), peers, PATIENT));
    let running = keeper.clone();
    let running = tokio::spawn(async move { running.run().await });
    let mut state = cluster.registry.state.subscribe();
    let complete = state.wait_for(|state| state.groups.len() == 3);
    let complete = tokio::time::timeout(PATIENCE, complete).await.expect("groups are made in time").unwrap().clone();
    assert!(complete.groups.values().all(|group| group.replicas.len() == 3 && group.keyed));
    assert_eq!(keeper.change(ClusterChange::Drain(NodeId(2))).await.map_err(|error| error.to_string()), Ok(()));
    let handed_over = |state: &Arc<ClusterState>| state.groups.values().all(|group| group.preferred != Some(NodeId(2)));
    let handed_over = state.wait_for(|state| handed_over(state));
    tokio::time::timeout(PATIENCE, handed_over).await.expect("leaders are handed over in time").unwrap();
    let error = keeper.change(ClusterChange::Drain(NodeId(9))).await.unwrap_err();
    assert!(matches!(&error, ClusterError::Refused(text) if text == "there is no node 9"), "{error}");
    *cluster.registry.leader.lock() = Some(NodeId(3));
    let error = keeper.change(ClusterChange::Undrain(NodeId(2))).await.unwrap_err();
    assert!(matches!(error, ClusterError::NotLeader { leader: Some(NodeId(3)) }));
    running.abort();
}

/// Not before all nodes have said, just now and for as long as was set, that they speak the next version.
#[tokio::test]
async fn the_cluster_goes_on_once_all_speak_what_comes_next() {
    let cluster = three().await;
    let speaks = |max| crate::cluster::Speaks::from(Versions { min: 1, max });
    let id = |at: usize| NodeId(cluster.nodes[at].formation.presence.identity().unwrap().node);
    let tell = |at: usize, max| {
        let (formation, node) = (&cluster.nodes[at].formation, id(at));
        let (info, nonce) = (formation.info.clone(), formation.presence.nonce());
        cluster.registry.apply(ClusterCommand::Update { node, info, nonce, speaks: speaks(max) }).unwrap();
    };
    let seat = || Arc::new(Seat { registry: cluster.registry.clone(), node: NodeId(1) });
    let presence = || cluster.nodes[0].formation.presence.clone();
    let hasty = Patience { raise_after: Duration::ZERO, ..PATIENT };
    let keepers = [PATIENT, hasty]
        .map(|patience| Keeper::new(seat(), presence(), pool(), pelton_consensus::Peers::none(), patience));
    let state = || cluster.registry.state.borrow().clone();
    let look = || {
        for keeper in &keepers {
            keeper.silence.lock().silence.look_at(&(1..=3).map(NodeId).collect(), Duration::ZERO);
        }
    };
    look();
    (0..2).for_each(|at| tell(at, 2));
    assert!(keepers.iter().all(|keeper| keeper.raise(&state()).is_none()), "one does not speak it");
    tell(2, 2);
    // The registry says that all do, but their programs, which still speak what this one does, say otherwise.
    for at in 1..3 {
        keepers[1].ask(id(at), &cluster.addresses[at]).await;
    }
    assert!(keepers[1].raise(&state()).is_none(), "a node was started as an older program meanwhile");
    for keeper in &keepers {
        (1..3).for_each(|at| keeper.heard(id(at), Versions { min: 1, max: 2 }));
    }
    assert!(keepers[0].raise(&state()).is_none(), "it may still be taken back");
    assert!(matches!(keepers[1].raise(&state()), Some(ClusterCommand::RaiseProtocol { to: 2 })));
    look();
    assert!(keepers[1].raise(&state()).is_some(), "looking again is no silence");
}

#[tokio::test]
async fn a_node_is_heard_only_where_it_answers_itself() {
    let cluster = three().await;
    let registrar = Arc::new(Seat { registry: cluster.registry.clone(), node: NodeId(1) });
    let presence = cluster.nodes[0].formation.presence.clone();
    let keeper = Keeper::new(registrar, presence, pool(), pelton_consensus::Peers::none(), PATIENT);
    let node = |at: usize| NodeId(cluster.nodes[at].formation.presence.identity().unwrap().node);
    keeper.silence.lock().silence.look_at(&BTreeSet::from([node(1), node(2)]), Duration::ZERO);
    let unheard = || keeper.silence.lock().silence.at(PATIENCE)[&node(1)] == PATIENCE;
    keeper.ask(node(1), &cluster.addresses[2]).await;
    assert!(unheard(), "another node answered");
    let (foreign, dir) = (Registry::new(), tempfile::tempdir().unwrap());
    let mut stranger = node_speaking("b", dir.path(), 7, Versions::OURS).await;
    stranger.start(&[], &foreign).await.unwrap();
    let same_id = NodeId(stranger.formation.presence.identity().unwrap().node);
    keeper.silence.lock().silence.look_at(&BTreeSet::from([same_id, node(1), node(2)]), Duration::ZERO);
    keeper.ask(same_id, &stranger.address()).await;
    assert_eq!(keeper.silence.lock().silence.at(PATIENCE)[&same_id], PATIENCE, "one of another cluster answered");
    keeper.ask(node(2), &cluster.addresses[2]).await;
    assert!(keeper.silence.lock().silence.at(PATIENCE)[&node(2)] < PATIENCE, "it answered itself");
    assert!(unheard());
}
