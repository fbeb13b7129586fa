//! What a broken peer can send to an open group: it is refused, and the group goes on.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;

use bytes::Bytes;
use common::cluster::*;
use common::net::Net;
use futures_util::StreamExt;
use pelton_consensus::Peers;
use pelton_proto::consensus::v1 as proto;
use proto::fetch_response::Lack;
use proto::fetch_response::found::What;
use proto::refusal::Reason;

type Simulated = Cluster<Arc<Net>>;

/// Node 2 of three, what it knows to be the leader's vote, and the last entry it has.
async fn follower(cluster: &Simulated) -> (Peers, proto::Vote, proto::LogId) {
    cluster.commit("before").await;
    let leader = cluster.leader().await;
    let follower = 1 + leader % 3;
    cluster.converge(1).await;
    let node = &cluster.nodes[&follower];
    let last = node.entries().pop().unwrap();
    let vote = proto::Vote { term: node.group.status().term.0, node: leader, committed: true };
    let last = proto::LogId { term: last.term.0, node: last.leader, index: last.index.0 };
    (node.peers.clone(), vote, last)
}

async fn answer(peers: &Peers, request: proto::AppendRequest) -> (usize, proto::append_response::Result) {
    let requests = futures_util::stream::iter([Ok(request.clone()), Ok(request)]).boxed();
    let answers: Vec<_> = within("answers", peers.append(requests).collect()).await;
    (answers.len(), answers.last().unwrap().result.clone().unwrap())
}

fn reason(answer: &proto::append_response::Result) -> Option<Reason> {
    match answer {
        proto::append_response::Result::Refusal(refusal) => Some(refusal.reason()),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn append_requests_that_no_leader_sends_are_refused_and_end_the_stream() {
    let cluster = Cluster::of(Net::new(1), 3).await;
    let (peers, vote, last) = follower(&cluster).await;
    let entry = proto::Entry {
        term: vote.term,
        node: vote.node,
        index: last.index + 1,
        kind: 16,
        event_count: 1,
        body: Bytes::from_static(b"body"),
    };
    let good = proto::AppendRequest {
        group: GROUP.0,
        vote: Some(vote),
        previous: Some(last),
        entries: vec![entry],
        committed: None,
    };
    type Damage = fn(&mut proto::AppendRequest);
    let rows: [(&str, Damage); 8] = [
        ("nothing", |request| *request = proto::AppendRequest { group: GROUP.0, ..Default::default() }),
        ("unknown kind", |request| request.entries[0].kind = 7),
        ("kind above a byte", |request| request.entries[0].kind = 16 + 256),
        ("a membership that is none", |request| request.entries[0].kind = 1),
        ("a gap", |request| request.entries[0].index += 1),
        ("a candidate's vote", |request| request.vote.as_mut().unwrap().committed = false),
        ("an entry above the limit", |request| request.entries[0].body = vec![0; 41 << 10].into()),
        ("an entry from the future", |request| request.entries[0].term += 1),
    ];
    for (row, damage) in rows {
        let mut request = good.clone();
        damage(&mut request);
        let (answers, last) = answer(&peers, request).await;
        assert_eq!((answers, reason(&last)), (1, Some(Reason::Invalid)), "{row}");
    }
    // A request for another group in the stream of this one.
    let other = proto::AppendRequest { group: GROUP.0 + 1, ..good.clone() };
    let empty = proto::AppendRequest { entries: Vec::new(), ..good.clone() };
    let requests = futures_util::stream::iter([Ok(empty), Ok(other), Ok(good)]).boxed();
    let answers: Vec<_> = within("answers", peers.append(requests).collect()).await;
    let results: Vec<_> = answers.iter().map(|answer| reason(answer.result.as_ref().unwrap())).collect();
    assert_eq!(results, [None, Some(Reason::Invalid)], "what came before it is answered first");
    cluster.commit("after").await;
    assert_eq!(cluster.converge(2).await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn snapshots_that_are_none_are_refused_before_anything_is_installed() {
    let cluster = Cluster::of(Net::new(1), 3).await;
    let (peers, vote, last) = follower(&cluster).await;
    let membership = Bytes::from_static(&[1, 1, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    let far = proto::LogId { index: last.index + 100, ..last };
    let send = |last: Option<proto::LogId>, membership: Bytes, bytes: &'static [u8], crc32c: u32| {
        let head = proto::snapshot_chunk::Head {
            group: GROUP.0,
            vote: Some(vote),
            last,
            membership,
            size_bytes: bytes.len() as u64,
            crc32c,
            ..Default::default()
        };
        let parts =
            [proto::snapshot_chunk::Part::Head(head), proto::snapshot_chunk::Part::Data(Bytes::from_static(bytes))];
        let chunks = parts.map(|part| Ok(proto::SnapshotChunk { part: Some(part) }));
        let peers = peers.clone();
        async move {
            let answer = peers.snapshot(futures_util::stream::iter(chunks).boxed()).await;
            match answer.result.unwrap() {
                proto::snapshot_response::Result::Refusal(refusal) => (refusal.reason(), refusal.text),
                proto::snapshot_response::Result::Vote(_) => panic!("installed"),
            }
        }
    };
    // CRC-32C of what is sent, so that the bytes themselves are looked at.
    let (noise, crc) = (&b"123456789"[..], 0xe306_9283);
    for (row, last, membership, bytes, crc, why) in [
        ("wrong checksum", Some(far), membership.clone(), noise, 1, "checksum"),
        ("no snapshot", Some(far), membership.clone(), noise, crc, "version"),
        ("no place", None, membership.clone(), noise, crc, "last log id"),
        ("no membership", Some(far), Bytes::new(), noise, crc, "membership"),
    ] {
        let (reason, text) = send(last, membership, bytes, crc).await;
        assert!(reason == Reason::Invalid && text.contains(why), "{row}: {reason:?} {text}");
    }
    cluster.commit("after").await;
    cluster.converge(2).await;
    assert!(cluster.nodes.values().all(|node| node.group.status().snapshots_installed == 0));
}

/// A vote without a candidate, or a heartbeat without a vote, changes nothing.
#[tokio::test(start_paused = true)]
async fn votes_and_heartbeats_without_sense_change_nothing() {
    let cluster = Cluster::of(Net::new(1), 3).await;
    let (peers, vote, _) = follower(&cluster).await;
    let term = vote.term;
    for vote in [
        None,
        Some(proto::Vote { term: term + 5, node: 1, committed: true }),
        Some(proto::Vote { term: u64::MAX, node: 1, committed: false }),
    ] {
        let request = proto::VoteRequest { group: GROUP.0, vote, ..Default::default() };
        let Some(proto::vote_response::Result::Refusal(refusal)) = peers.vote(request).await.result else { panic!() };
        assert_eq!(refusal.reason(), Reason::Invalid, "{vote:?}");
    }
    let beats = vec![proto::heartbeat_request::Beat { group: GROUP.0, ..Default::default() }; 5_000];
    let answer = peers.heartbeat(proto::HeartbeatRequest { beats, within_millis: 1_000 }).await;
    assert!(answer.answers.iter().filter(|answer| answer.response.is_some()).count() <= 4_096, "above the cap");
    cluster.commit("after").await;
    assert!(cluster.nodes.values().all(|node| node.group.status().term.0 == term));
}

/// Entries can be asked for by their ids, as far as they are held; what is no honest request is refused.
#[tokio::test(start_paused = true)]
async fn entries_are_given_by_their_ids_and_bad_requests_refused() {
    let cluster = Cluster::of(Net::new(1), 3).await;
    for n in 0..20 {
        cluster.commit(format!("command {n}")).await;
    }
    cluster.converge(20).await;
    let node = &cluster.nodes[&1];
    let stored = node.entries();
    let last = stored.last().unwrap();
    let id = |entry: &pelton_log::Entry| proto::LogId { term: entry.term.0, node: entry.leader, index: entry.index.0 };
    let wanted = |index: u64, known: proto::LogId| proto::fetch_request::Wanted { index, known: Some(known) };
    let ask =
        |wanted: Vec<proto::fetch_request::Wanted>| node.peers.fetch(proto::FetchRequest { group: GROUP.0, wanted });
    let all: Vec<_> = stored.iter().map(|entry| wanted(entry.index.0, id(entry))).collect();
    let answer = ask(all);
    assert_eq!(answer.last, Some(id(last)));
    assert!(!answer.is_damaged && answer.committed_index == last.index.0);
    assert_eq!(answer.found.len(), stored.len());
    for (found, stored) in answer.found.iter().zip(&stored) {
        let Some(What::Entry(entry)) = &found.what else { panic!("{found:?}") };
        assert_eq!(
            (entry.index, &entry.body, found.first_offset),
            (stored.index.0, &stored.body, stored.first_offset.0)
        );
        assert_eq!((entry.term, entry.node), (stored.term.0, stored.leader));
    }
    let other = proto::LogId { term: last.term.0 + 1, ..id(last) };
    let behind = proto::LogId { index: last.index.0 + 1, ..id(last) };
    let of = |index, known| match ask(vec![wanted(index, known)]).found[0].what.clone() {
        Some(What::Lack(lack)) => Lack::try_from(lack).unwrap(),
        found => panic!("{found:?}"),
    };
    assert_eq!((of(last.index.0, other), of(3, other)), (Lack::Other, Lack::Other), "of another history");
    assert_eq!((of(last.index.0, behind), of(3, behind)), (Lack::Short, Lack::Short));
    let of_one = ask(vec![wanted(3, id(last))]);
    assert!(matches!(&of_one.found[0].what, Some(What::Entry(entry)) if entry.index == 3), "known by one behind it");
    let many = vec![wanted(3, id(&stored[3])); 5_000];
    assert!(ask(many).found.len() <= 256, "above the cap");
    for (what, bad) in [
        ("no id", proto::fetch_request::Wanted { index: 3, known: None }),
        ("known by one before it", wanted(9, id(&stored[3]))),
        ("out of range", wanted(9, proto::LogId { index: u64::MAX, ..id(last) })),
    ] {
        assert_eq!(ask(vec![bad]).refusal.unwrap().reason(), Reason::Invalid, "{what}");
    }
    let request = proto::FetchRequest { group: 9, ..Default::default() };
    assert_eq!(node.peers.fetch(request).refusal.unwrap().reason(), Reason::UnknownGroup);
    let request = proto::FetchSnapshotRequest { group: 9 };
    assert_eq!(node.peers.fetch_snapshot(request).await.err().unwrap().reason(), Reason::UnknownGroup);
}
