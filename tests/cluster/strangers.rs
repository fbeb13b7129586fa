//! What comes to the port for other nodes and is no node of the cluster: it is turned away, and the node serves on.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use pelton_peer::{ChannelOptions, PeerAddress, Security, TcpNetwork, Tls, TlsFiles, channel};
use pelton_proto::broker::v1::ReportRequest;
use pelton_proto::broker::v1::node_client::NodeClient;
use pelton_proto::consensus::v1::join_refusal::Reason;
use pelton_proto::consensus::v1::join_response::Result as Joining;
use pelton_proto::consensus::v1::membership_client::MembershipClient;
use pelton_proto::consensus::v1::{HelloRequest, Identity, JoinRequest};
use tonic::transport::Channel;
use tonic::{Code, Request};

use crate::authority::Authority;
use crate::cluster::{Cluster, PEER_PORT};
use crate::network::Network;
use crate::support::wait::DEADLINE;
use crate::support::{Connection, Dice, Node, Start, Unable, wait_until};

/// Larger than any message between nodes may be: 32 MiB.
const ABOVE_THE_CAP: usize = 33 * 1024 * 1024;

/// A cluster of one, behind certificates.
#[track_caller]
fn lone() -> Cluster {
    Cluster::start(1, |_, start| start)
}

/// A client with a certificate of some authority, on a runtime that has to go on.
fn stranger(authority: &Authority, host: IpAddr, node: SocketAddr) -> (tokio::runtime::Runtime, Channel) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let [ca, certificate, key] = authority.files("stranger", host);
    let tls = Tls::read(TlsFiles { ca, certificate, key }).unwrap();
    let address: PeerAddress = node.to_string().parse().unwrap();
    let there = runtime.enter();
    let channel = channel(Arc::new(TcpNetwork), Security::Tls(Arc::new(tls)), &address, ChannelOptions::default());
    drop(there);
    (runtime, channel)
}

#[track_caller]
fn says(node: &Node, words: &[&str]) {
    wait_until(&format!("the node to say {words:?}"), || {
        let said = node.process.said();
        said.lines().any(|line| words.iter().all(|word| line.contains(word)))
    });
}

/// Each row: what is sent instead of a handshake.
#[test]
fn bytes_that_are_no_handshake_end_their_connection() {
    let cluster = lone();
    let mut dice = Dice::from_env("strangers");
    let rows: [(&str, Vec<u8>); 6] = [
        ("HTTP/1.1", b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".to_vec()),
        ("HTTP/2 without TLS", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec()),
        ("a TLS hello that is cut short", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
        ("NULs", vec![0; 10_000]),
        ("noise", dice.bytes(100)),
        ("much noise", dice.bytes(1 << 20)),
    ];
    for (what, bytes) in rows {
        let mut connection = Connection::open(cluster.peer(0)).unwrap();
        // It may be refused before all of it is sent.
        let _ = connection.write(&bytes);
        connection.finish();
        assert!(connection.ends_within(DEADLINE), "{what}");
    }
    says(cluster.node(0), &["turned a connection", "away"]);
    cluster.node(0).is_well("bytes that are no handshake");
}

#[test]
fn a_certificate_of_another_authority_is_turned_away() {
    let cluster = lone();
    let folder = tempfile::tempdir().unwrap();
    let other = Authority::new(folder.path());
    let (runtime, channel) = stranger(&other, cluster.network.own(), cluster.peer(0));
    let hello = runtime.block_on(MembershipClient::new(channel).hello(HelloRequest::default()));
    assert!(hello.is_err(), "{hello:?}");
    says(cluster.node(0), &["turned a connection", "away", "handshake"]);
    cluster.node(0).is_well("a wrong certificate");

    // A whole node with such a certificate waits and says what for; the cluster never hears of it.
    let process = cluster.prepared_by(&other, 1, "stranger", 1).spawn();
    wait_until("it to say what is wrong", || process.said().contains("certificate"));
    assert_eq!(process.ended(), None, "it may be told of the right authority: {}", process.said());
    process.kill();
    cluster.node(0).is_well("a node with a wrong certificate");
}

/// With the right certificate, but not one of ours: what it asks for is refused with a reason.
#[test]
fn a_peer_of_another_version_or_cluster_is_refused() {
    let cluster = lone();
    let (runtime, channel) = stranger(&cluster.authority, cluster.network.own(), cluster.peer(0));
    let mut membership = MembershipClient::new(channel.clone());
    let join = |protocol: u32, nonce: Vec<u8>, name: &str| JoinRequest {
        name: name.to_owned(),
        peer_address: "127.0.0.1:9".to_owned(),
        roles: vec!["broker".to_owned()],
        nonce: nonce.into(),
        protocol_min: protocol,
        protocol_max: protocol,
        ..JoinRequest::default()
    };
    let foreign = JoinRequest { cluster: vec![7; 16].into(), node: 1, ..join(1, vec![7; 16], "foreign") };
    let rows = [
        ("a version of the future", join(99, vec![7; 16], "future"), Reason::Version),
        ("half a nonce", join(1, vec![7; 8], "half"), Reason::Invalid),
        ("a name that is none", join(1, vec![7; 16], "no name\n"), Reason::Invalid),
        ("a node of another cluster", foreign, Reason::WrongCluster),
        ("a name that is taken", join(1, vec![7; 16], &cluster.name(0)), Reason::NameTaken),
    ];
    for (what, request, want) in rows {
        let answer = runtime.block_on(membership.join(request)).unwrap().into_inner();
        match answer.result {
            Some(Joining::Refusal(refusal)) => {
                assert_eq!(refusal.reason(), want, "{what}: {}", refusal.text);
                assert!(!refusal.text.is_empty(), "{what} is refused without a word");
            }
            other => panic!("{what}: {other:?}"),
        }
    }
    let mut report = Request::new(ReportRequest::default());
    report.metadata_mut().insert("pelton-cluster", "00000000000000000000000000000007".parse().unwrap());
    let refused = runtime.block_on(NodeClient::new(channel).report(report)).unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    assert!(refused.message().contains("cluster"), "{refused}");
    cluster.node(0).is_well("peers of another version or cluster");
}

#[test]
fn a_request_above_the_cap_is_refused_and_costs_no_memory() {
    let cluster = lone();
    let (runtime, channel) = stranger(&cluster.authority, cluster.network.own(), cluster.peer(0));
    let huge = Identity { nonce: vec![7; ABOVE_THE_CAP].into(), ..Identity::default() };
    for _ in 0..4 {
        let hello = HelloRequest { identity: Some(huge.clone()) };
        let refused = runtime.block_on(MembershipClient::new(channel.clone()).hello(hello)).unwrap_err();
        assert_eq!(refused.code(), Code::OutOfRange, "{refused}");
    }
    cluster.node(0).is_well("requests above the cap");
    cluster.node(0).within_memory("requests above the cap");
}

/// It asks for signs of life and reads none of them.
#[test]
fn a_peer_that_stops_reading_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    // TLS would only stand between the test and the bytes.
    let network = Network::loopback(1, Unable::Refused("this test wants none".to_owned()));
    let peer = SocketAddr::new(network.host(0), PEER_PORT);
    let node = plain(folder.path(), network.host(0), peer).node();
    let mut stream = TcpStream::connect(peer).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    let ping = b"\0\0\x08\x06\0\0\0\0\0pelton 1".repeat(1000);
    // What is sent and not read fills the buffers on both sides; then the node cannot write, and waits no longer than
    // it said. Before that nothing here ends: at the latest the deadline of the write does.
    let end = loop {
        if let Err(error) = stream.write_all(&ping) {
            break error;
        }
    };
    let timed_out = matches!(end.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut);
    assert!(!timed_out, "the node keeps a connection that takes nothing: {end}");
    node.is_well("a peer that stops reading");
    node.within_memory("a peer that stops reading");
    node.process.stop();
}

/// A cluster of one without certificates.
fn plain(folder: &Path, host: IpAddr, peer: SocketAddr) -> Start {
    Start::server(folder, host).args(&["--name", "plain", "--peer-listen", &peer.to_string()])
}

/// The data of a node of one cluster do not come up as a node of another.
#[test]
fn a_node_of_another_cluster_is_refused() {
    let cluster = lone();
    let alone = cluster.prepared(1, "alone", 0);
    let node = alone.node();
    node.is_well("it has formed a cluster of its own");
    node.process.stop();
    let (code, said) = cluster.prepared(1, "alone", 1).refused();
    assert_eq!(code, Some(1), "{said}");
    for word in ["cluster", "data"] {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
    cluster.node(0).is_well("a node of another cluster");
    // Nor was it harmed.
    alone.node().is_well("it was refused elsewhere");
}
