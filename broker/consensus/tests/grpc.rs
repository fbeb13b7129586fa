//! The gRPC transport: the suite that every transport has to pass, over loopback, and what it does not let in.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use common::cluster::{Fabric, group_options};
use common::suite;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use pelton_consensus::{AddressBook, ConsensusService, GroupOptions, GrpcTransport, NodeId, Peers, Transport};
use pelton_log::{GroupId, Identity};
use pelton_peer::{Network, Pool, Routes, Security, ServeOptions, TcpNetwork, serve};
use pelton_proto::consensus::v1 as proto;
use proto::refusal::Reason;
use tokio::task::JoinHandle;

const CLUSTER: u128 = 7;

#[derive(Default)]
struct Book(Mutex<BTreeMap<NodeId, String>>);

impl AddressBook for Book {
    fn address(&self, node: NodeId) -> Option<String> {
        self.0.lock().get(&node).cloned()
    }

    fn protocol(&self) -> u32 {
        pelton_peer::PROTOCOL_MAX
    }
}

/// Nodes on ports of this machine.
#[derive(Clone, Default)]
struct Loopback {
    book: Arc<Book>,
    listeners: Arc<Mutex<BTreeMap<NodeId, JoinHandle<()>>>>,
}

impl Loopback {
    fn transport(&self, identity: Identity) -> GrpcTransport {
        let pool = Pool::new(Arc::new(TcpNetwork), Security::Plaintext);
        GrpcTransport::new(Arc::new(pool), self.book.clone(), identity)
    }
}

impl Fabric for Loopback {
    fn join(&self, node: NodeId) -> BoxFuture<'_, Peers> {
        Box::pin(async move {
            let identity = Identity { cluster: CLUSTER, node: node.0 };
            let peers = Peers::new(Arc::new(self.transport(identity)));
            let listener = TcpNetwork.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
            self.book.0.lock().insert(node, listener.local_addr().unwrap().to_string());
            let routes = Routes::default()
                .with(ConsensusService::new(peers.clone(), identity, pelton_peer::Versions::OURS).server());
            let served = serve(listener, Security::Plaintext, routes, ServeOptions::default(), std::future::pending());
            self.listeners.lock().insert(node, tokio::spawn(served));
            peers
        })
    }

    /// Time is real here, and a machine that does much else must not look like a dead leader.
    fn options(&self) -> GroupOptions {
        let election_timeout = (Duration::from_millis(1_500), Duration::from_millis(3_000));
        GroupOptions { election_timeout, ..group_options() }
    }

    fn leave(&self, node: NodeId) {
        self.book.0.lock().remove(&node);
        if let Some(listener) = self.listeners.lock().remove(&node) {
            listener.abort();
        }
    }
}

macro_rules! suite {
    ($($name:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                suite::$name(Loopback::default()).await;
            }
        )*
    };
}

suite!(
    a_leader_is_elected_and_all_replicas_get_the_same,
    another_leader_follows_a_killed_one,
    a_learner_catches_up_and_becomes_a_voter,
    a_new_replica_starts_from_a_snapshot_and_gets_the_rest_as_entries,
    the_leader_is_handed_over,
    a_voter_finds_out_whom_it_reaches,
    large_entries_get_through_in_bounded_requests,
);

/// Requests of another cluster, for another node, and for a group that is not there are refused, each in its own way and
/// in every call.
#[tokio::test]
async fn what_is_not_meant_for_this_node_is_refused_and_named() {
    let loopback = Loopback::default();
    loopback.join(NodeId(2)).await;
    let address = loopback.book.address(NodeId(2)).unwrap();
    loopback.book.0.lock().insert(NodeId(3), address);
    let ours = Identity { cluster: CLUSTER, node: 1 };
    let rows = [
        ("other cluster", Identity { cluster: CLUSTER + 1, node: 1 }, NodeId(2), Reason::WrongNode),
        ("other node", ours, NodeId(3), Reason::WrongNode),
        ("unknown group", ours, NodeId(2), Reason::UnknownGroup),
    ];
    for (row, sender, to, want) in rows {
        let transport = loopback.transport(sender);
        let requests = futures_util::stream::iter([proto::AppendRequest { group: 9, ..Default::default() }]).boxed();
        let answers: Vec<_> = transport.append(to, GroupId(9), requests).await.unwrap().collect().await;
        let answer = answers[0].clone().unwrap().result;
        let Some(proto::append_response::Result::Refusal(refusal)) = answer else { panic!("{row}: {answer:?}") };
        assert_eq!((answers.len(), refusal.reason()), (1, want), "{row}");
        let vote = transport.vote(to, proto::VoteRequest { group: 9, ..Default::default() }).await.unwrap();
        let Some(proto::vote_response::Result::Refusal(refusal)) = vote.result else { panic!("{row}") };
        assert_eq!(refusal.reason(), want, "{row}");
        let beats = vec![proto::heartbeat_request::Beat { group: 9, ..Default::default() }];
        let beats = proto::HeartbeatRequest { beats, within_millis: 1_000 };
        let answer = transport.heartbeat(to, beats).await.unwrap().answers[0].response.clone().unwrap();
        let Some(proto::append_response::Result::Refusal(refusal)) = answer.result else { panic!("{row}") };
        assert_eq!(refusal.reason(), want, "{row}");
        let transfer = proto::TransferLeaderRequest { group: 9, ..Default::default() };
        let answer = transport.transfer_leader(to, transfer).await.unwrap();
        assert_eq!(answer.refusal.unwrap().reason(), want, "{row}");
        let head = proto::snapshot_chunk::Head { group: 9, ..Default::default() };
        let chunk = proto::SnapshotChunk { part: Some(proto::snapshot_chunk::Part::Head(head)) };
        let chunks = futures_util::stream::iter([chunk]).boxed();
        let answer = transport.snapshot(to, GroupId(9), chunks).await.unwrap();
        let Some(proto::snapshot_response::Result::Refusal(refusal)) = answer.result else { panic!("{row}") };
        assert_eq!(refusal.reason(), want, "{row}");
    }
}

/// A node that is not in the book, or whose listener is gone, gives no answer; that is not a refusal.
#[tokio::test]
async fn a_node_that_is_not_there_gives_no_answer() {
    let loopback = Loopback::default();
    let transport = loopback.transport(Identity { cluster: CLUSTER, node: 1 });
    for address in [None, Some("127.0.0.1:1"), Some("no address")] {
        match address {
            Some(address) => loopback.book.0.lock().insert(NodeId(2), address.to_owned()),
            None => loopback.book.0.lock().remove(&NodeId(2)),
        };
        assert!(transport.vote(NodeId(2), proto::VoteRequest::default()).await.is_err(), "{address:?}");
    }
}

/// A message that is none, and one above the cap, end their call and nothing else: the connection and the node go on.
#[tokio::test]
async fn garbage_and_messages_above_the_cap_end_their_call_and_nothing_else() {
    use tonic::client::Grpc;
    use tonic::codegen::http::uri::PathAndQuery;
    use tonic_prost::ProstCodec;
    let loopback = Loopback::default();
    loopback.join(NodeId(2)).await;
    let address = loopback.book.address(NodeId(2)).unwrap().parse().unwrap();
    let channels = Pool::new(Arc::new(TcpNetwork), Security::Plaintext).channels(&address);
    let signed = |mut metadata: tonic::metadata::MetadataMap| {
        for (key, value) in [("pelton-cluster", "7"), ("pelton-from", "1"), ("pelton-to", "2")] {
            metadata.insert(key, value.parse().unwrap());
        }
        metadata
    };
    let mut raw = Grpc::new(channels.control());
    raw.ready().await.unwrap();
    // Its first field is text where a number is due.
    let garbage = proto::JoinRequest { name: "no number".into(), ..Default::default() };
    let request = tonic::Request::from_parts(signed(Default::default()), Default::default(), garbage);
    let codec = ProstCodec::<proto::JoinRequest, proto::VoteResponse>::default();
    let path = PathAndQuery::from_static("/pelton.consensus.v1.Consensus/Vote");
    let status = raw.unary(request, path, codec).await.unwrap_err();
    assert!(status.message().contains("decode"), "{status}");
    let mut client = proto::consensus_client::ConsensusClient::new(channels.data(1));
    for (bytes, above) in [(1 << 20, false), (pelton_peer::limits::MAX_MESSAGE_BYTES + 1, true)] {
        let entry = proto::Entry { body: vec![0; bytes].into(), ..Default::default() };
        let message = proto::AppendRequest { group: 9, entries: vec![entry], ..Default::default() };
        let messages = futures_util::stream::iter([message]);
        let request = tonic::Request::from_parts(signed(Default::default()), Default::default(), messages);
        let mut answers = client.append(request).await.unwrap().into_inner();
        let answer = answers.message().await.unwrap_or_default();
        assert_eq!(answer.is_none(), above, "{bytes} B");
    }
    let transport = loopback.transport(Identity { cluster: CLUSTER, node: 1 });
    let vote = transport.vote(NodeId(2), proto::VoteRequest { group: 9, ..Default::default() }).await.unwrap();
    let Some(proto::vote_response::Result::Refusal(refusal)) = vote.result else { panic!() };
    assert_eq!(refusal.reason(), Reason::UnknownGroup);
}
