//! What comes over the wire and should not, and what does not come.

#![allow(clippy::unwrap_used, reason = "a test fails where something is not as it says")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use pelton_client::grpc::{NodeService, RemoteNode, WINDOW_BYTES};
use pelton_client::memory::{GROUP, MemoryCluster, MemoryNode};
use pelton_client::{
    AppendError, BrokerName, Client as _, ClusterClient, ClusterOptions, DispatchQuery, Grant, GroupId, Hops,
    NodeClient as _, NodeId, Offset, OperationError, ProducerKey, Progress, ReadError, Selection, Session,
};
use pelton_env::SeededChance;
use pelton_event::{DataKind, Event};
use pelton_peer::{Network as _, Routes, Security, ServeOptions, TcpNetwork, Versions, serve};
use pelton_proto::broker::v1 as wire;
use support::{CLUSTER, OverGrpc, Served, pool};
use tokio::time::timeout;
use tonic::{Code, Request, Status};
use wire::node_client::NodeClient as Stub;

const PATIENCE: Duration = Duration::from_secs(30);
const NODE: NodeId = NodeId(1);

fn broker() -> BrokerName {
    BrokerName::new("default", "b")
}

fn event(id: &str) -> Event {
    Event::builder().id(id).source("/s").ty("t").build().unwrap()
}

type RawStub = Stub<
    tonic::service::interceptor::InterceptedService<
        tonic::transport::Channel,
        fn(Request<()>) -> Result<Request<()>, Status>,
    >,
>;

fn as_member(mut request: Request<()>) -> Result<Request<()>, Status> {
    request.metadata_mut().insert("pelton-cluster", format!("{CLUSTER:032x}").parse().unwrap());
    Ok(request)
}

/// A cluster of one node, its listener, a node's handle of it and a caller that says what it likes.
async fn setup() -> (MemoryCluster, Served, RemoteNode, RawStub) {
    let cluster = MemoryCluster::new(1, 1);
    let mut served = Served::default();
    let address = served.node(cluster.node(NODE), NODE).await.to_string().parse().unwrap();
    let channels = pool().channels(&address);
    let raw = Stub::with_interceptor(channels.control(), as_member as fn(_) -> _);
    (cluster, served, RemoteNode::new(channels, CLUSTER, Some(NODE), Versions::OURS), raw)
}

fn call(sequence: u64, frames: Vec<Bytes>) -> wire::AppendCall {
    wire::AppendCall { sequence, group: 1, broker: "default/b".to_owned(), hops: 255, key: None, frames }
}

/// Sends these requests in one stream. Returns how it ended.
async fn send(raw: &mut RawStub, requests: Vec<wire::AppendRequest>) -> Result<Vec<wire::AppendResult>, Status> {
    let stays_open = stream::iter(requests).chain(stream::pending());
    let all = async {
        let mut answers = raw.append(stays_open).await?.into_inner();
        let window = answers.message().await?.unwrap().window_bytes;
        assert_eq!(window, WINDOW_BYTES);
        let mut results = Vec::new();
        while let Some(answer) = answers.message().await? {
            results.extend(answer.results);
            if results.len() == 2 {
                break;
            }
        }
        Ok(results)
    };
    timeout(PATIENCE, all).await.unwrap()
}

#[tokio::test]
async fn who_means_another_node_or_cluster_or_speaks_another_version_is_turned_away() {
    let cluster = MemoryCluster::new(1, 1);
    let mut served = Served::default();
    let address = served.node(cluster.node(NODE), NODE).await.to_string().parse().unwrap();
    let later = Versions { min: Versions::OURS.max + 1, max: Versions::OURS.max + 1 };
    for (other_cluster, node, speaks) in [
        (CLUSTER + 1, Some(NODE), Versions::OURS),
        (CLUSTER, Some(NodeId(2)), Versions::OURS),
        (CLUSTER, Some(NODE), later),
    ] {
        let remote = RemoteNode::new(pool().channels(&address), other_cluster, node, speaks);
        let appended = remote.append(GROUP, &broker(), &[event("1")], Hops::FULL, None).await;
        assert_eq!(appended, Err(AppendError::Unavailable), "nothing was done, and that is known");
        assert_eq!(remote.read(GROUP, Offset(0), 1).await.unwrap_err(), ReadError::Unavailable);
        assert_eq!(remote.redrive(GROUP, Selection::All).await, Err(OperationError::Unavailable));
        assert!(remote.report().await.is_none());
        assert!(remote.dispatch_report(DispatchQuery::Counts).await.is_none());
    }
    assert!(cluster.group(GROUP).events().is_empty());
    let anyone = RemoteNode::new(pool().channels(&address), CLUSTER, None, Versions::OURS);
    assert!(anyone.report().await.is_some(), "a seed's id is not known");
    assert!(anyone.dispatch_report(DispatchQuery::Counts).await.is_some());
}

#[tokio::test]
async fn appends_that_cannot_be_read_end_their_stream_and_change_nothing() {
    let (cluster, _served, remote, mut raw) = setup().await;
    let good = || vec![event("1").as_frame().clone()];
    let calls = [
        call(1, vec![Bytes::from_static(b"no frame")]),
        call(1, vec![]),
        wire::AppendCall { broker: "nameless".to_owned(), ..call(1, good()) },
        wire::AppendCall { broker: format!("n/{}", "x".repeat(300)), ..call(1, good()) },
        wire::AppendCall { hops: 256, ..call(1, good()) },
    ];
    for call in calls {
        let status = send(&mut raw, vec![wire::AppendRequest { calls: vec![call.clone()] }]).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{call:?}: {status}");
    }
    assert!(cluster.group(GROUP).events().is_empty());
    remote.append(GROUP, &broker(), &[event("2")], Hops::FULL, None).await.unwrap();
}

/// Whoever sends more than its window is cut off; the node never holds more.
#[tokio::test]
async fn a_caller_keeps_to_its_window() {
    let (cluster, _served, _remote, mut raw) = setup().await;
    cluster.away(NODE, true);
    let data = vec![b'x'; 1 << 20];
    let frame = Event::builder().id("1").source("/s").ty("t").data(DataKind::Bytes, &data).build().unwrap();
    let request = |n| wire::AppendRequest { calls: vec![call(n, vec![frame.as_frame().clone()])] };
    let status = send(&mut raw, (1..=9).map(request).collect()).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    cluster.away(NODE, false);
    let results = send(&mut raw, (1..=2).map(request).collect()).await.unwrap();
    assert_eq!(results.len(), 2);
}

#[tokio::test]
async fn a_message_above_the_cap_is_refused_and_the_connection_stays() {
    let (cluster, _served, remote, mut raw) = setup().await;
    let progress = Bytes::from(vec![0; pelton_peer::limits::MAX_MESSAGE_BYTES + 1]);
    let request = wire::ProgressRequest { group: 1, session: Some(wire::Session::default()), progress };
    let status = timeout(PATIENCE, raw.progress(request)).await.unwrap().unwrap_err();
    assert!(matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted), "{status}");
    assert!(remote.report().await.is_some());
    // What a node itself sends is refused before it is sent.
    let cursors = (0..40_000).map(|n| pelton_client::CursorUpdate {
        trigger: pelton_client::TriggerId(n),
        epoch: 1,
        upto: pelton_client::Upto::Scanned,
        matched: (0..1_000).map(|at| (Offset(3 * at), Offset(3 * at + 1))).collect(),
        done: vec![],
        attempts: vec![],
        dead_letters: vec![],
    });
    let progress = Progress { scanned: Offset(1), cursors: cursors.collect() };
    let session = Session { term: 1, grant: 1 };
    assert_eq!(remote.progress(GROUP, session, progress).await, Err(OperationError::TooLarge));
    assert_eq!(cluster.group(GROUP).group_state().scanned, Offset(0));
}

#[tokio::test]
async fn questions_that_cannot_be_read_are_invalid() {
    let (_cluster, _served, _remote, mut raw) = setup().await;
    let garbage = || Bytes::from_static(b"\x01garbage");
    let session = Some(wire::Session { term: 1, grant: 1 });
    let statuses = [
        raw.progress(wire::ProgressRequest { group: 1, session, progress: garbage() }).await.unwrap_err(),
        raw.progress(wire::ProgressRequest { group: 1, session: None, progress: garbage() }).await.unwrap_err(),
        raw.rewind(wire::RewindRequest { group: 1, trigger: garbage(), to: None }).await.unwrap_err(),
        raw.redrive(wire::SelectionRequest { group: 1, selection: Bytes::from_static(&[2, 0]) }).await.unwrap_err(),
        raw.discard(wire::SelectionRequest { group: 1, selection: Bytes::new() }).await.unwrap_err(),
        raw.delete(wire::ResourceKey { kind: "Pod".to_owned(), ..Default::default() }).await.unwrap_err(),
        raw.apply(wire::ApplyRequest { resources: vec![garbage()] }).await.unwrap_err(),
        raw.warn(wire::WarnRequest { trigger: Bytes::new(), warning: None }).await.unwrap_err(),
        raw.change_cluster(wire::ChangeClusterRequest { change: garbage() }).await.unwrap_err(),
        raw.watch(wire::WatchRequest { subject: None }).await.unwrap_err(),
        raw.dead_letters(wire::DeadLettersRequest { group: 1, trigger: garbage(), after: None, limit: 1 })
            .await
            .unwrap_err(),
    ];
    for status in statuses {
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    }
}

/// Whoever takes no answers is not read from: the node holds what is on its way and no more. When it reads again, everything
/// goes on.
#[tokio::test]
async fn a_caller_that_does_not_read_is_not_read_from() {
    const REQUESTS: u64 = 200;
    const CALLS: u64 = 4_000;
    let cluster = MemoryCluster::new(1, 1);
    let mut served = Served::default();
    let address = served.node(cluster.node(NODE), NODE).await;
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{address}")).unwrap();
    let channel = channel.initial_stream_window_size(1_024).connect_lazy();
    let mut raw = Stub::with_interceptor(channel, as_member as fn(_) -> Result<_, _>);
    let (requests, mut sent) = tokio::sync::mpsc::channel(1);
    let stream = stream::poll_fn(move |context| sent.poll_recv(context));
    let mut answers = raw.append(stream).await.unwrap().into_inner();
    let frame = event("1").as_frame().clone();
    let request =
        |n| wire::AppendRequest { calls: (0..CALLS).map(|c| call(CALLS * n + c, vec![frame.clone()])).collect() };
    let mut taken = 0;
    while taken < REQUESTS && timeout(Duration::from_secs(1), requests.send(request(taken))).await.is_ok() {
        taken += 1;
    }
    assert!(taken < REQUESTS, "it took everything and answers that nobody reads");
    let mut answered = 0;
    let all = async {
        while answered < taken * CALLS {
            answered += answers.message().await.unwrap().unwrap().results.len() as u64;
        }
    };
    timeout(PATIENCE, all).await.unwrap();
    assert_eq!(cluster.group(GROUP).events().len() as u64, taken * CALLS);
}

/// A listener that a test ends.
async fn listener(node: MemoryNode) -> (pelton_peer::PeerAddress, tokio::task::JoinHandle<()>) {
    let listener = TcpNetwork.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap().to_string().parse().unwrap();
    let routes = Routes::default().with(NodeService::new(node, CLUSTER, NODE, Versions::OURS).into_route());
    let served = serve(listener, Security::Plaintext, routes, ServeOptions::default(), std::future::pending());
    (address, tokio::spawn(served))
}

/// What was sent is unknown, what was not sent was not done: two different answers.
#[tokio::test]
async fn a_stream_that_breaks_says_what_is_known() {
    let cluster = MemoryCluster::new(1, 1);
    let (address, served) = listener(cluster.node(NODE)).await;
    let remote = RemoteNode::new(pool().channels(&address), CLUSTER, Some(NODE), Versions::OURS);
    remote.append(GROUP, &broker(), &[event("1")], Hops::FULL, None).await.unwrap();
    let mut session = remote.serve(GROUP).unwrap();
    timeout(PATIENCE, session.wait_for(|serving| serving.session().is_some())).await.unwrap().unwrap();
    cluster.away(NODE, true);
    let pending = remote.append(GROUP, &broker(), &[event("2")], Hops::FULL, None);
    let mut pending = tokio::spawn(pending);
    assert!(timeout(Duration::from_millis(200), &mut pending).await.is_err(), "it waits for its answer");
    served.abort();
    assert_eq!(timeout(PATIENCE, pending).await.unwrap().unwrap(), Err(AppendError::OutcomeUnknown));
    let refused = remote.append(GROUP, &broker(), &[event("3")], Hops::FULL, None);
    assert_eq!(timeout(PATIENCE, refused).await.unwrap(), Err(AppendError::Unavailable), "nobody is there");
    assert_eq!(remote.discard(GROUP, Selection::All).await, Err(OperationError::Unavailable));
    let ended = timeout(PATIENCE, session.wait_for(|serving| serving.session().is_none())).await.unwrap();
    assert!(ended.is_ok(), "the session is over with its stream");
}

/// One who does not read is told the newest when it reads again, and not everything in between.
#[tokio::test]
async fn the_last_thing_told_is_the_newest() {
    let (cluster, _served, remote, mut raw) = setup().await;
    let request = wire::WatchRequest { subject: Some(wire::watch_request::Subject::Committed(1)) };
    let mut told = raw.watch(request).await.unwrap().into_inner();
    let mut watched = remote.committed(GROUP).unwrap();
    for n in 0..500 {
        let key = Some(ProducerKey { producer: 1, sequence: n });
        cluster.node(NODE).append(GROUP, &broker(), &[event(&n.to_string())], Hops::FULL, key).await.unwrap();
    }
    let newest = async {
        loop {
            let news = told.message().await.unwrap().unwrap().news;
            if news == Some(wire::watch_response::News::Number(500)) {
                return;
            }
        }
    };
    timeout(PATIENCE, newest).await.unwrap();
    timeout(PATIENCE, watched.wait_for(|end| *end == Offset(500))).await.unwrap().unwrap();
    // Another look shares the stream and begins with what is known.
    assert_eq!(*remote.committed(GROUP).unwrap().borrow(), Offset(500));
}

/// A process that keeps no log goes on with whoever is left.
#[tokio::test]
async fn a_client_apart_goes_on_when_a_node_is_gone() {
    let cluster = MemoryCluster::new(3, 3);
    let (over, served) = OverGrpc::serve(&cluster, 3).await;
    let mut nodes = served;
    let options = ClusterOptions { try_timeout: Duration::from_millis(500), patience: Duration::from_secs(3) };
    let seeds = (1..=3).map(|n| format!("n{n}.test:7400")).collect();
    let client =
        ClusterClient::<RemoteNode, _>::apart(Some(NodeId(9)), seeds, over, options, Arc::new(SeededChance::new(3)));
    client.cluster().wait_for(|view| view.groups.len() == 3).await.unwrap();
    assert_eq!(client.cluster().borrow().this, Some(NodeId(9)));
    let mut served = client.served();
    timeout(PATIENCE, served.wait_for(|served| served.len() == 3)).await.unwrap().unwrap();
    for n in 0..30 {
        client.append(&broker(), &[event(&n.to_string())], Hops::FULL).await.unwrap();
    }
    // A node does not answer any more, and another leads what it led.
    cluster.away(NODE, true);
    cluster.lead(GROUP, Some(NodeId(2)));
    for n in 30..60 {
        client.append(&broker(), &[event(&n.to_string())], Hops::FULL).await.unwrap();
    }
    timeout(PATIENCE, served.wait_for(|served| served.get(&GROUP).is_some_and(|grant| grant.session.term == 2)))
        .await
        .unwrap()
        .unwrap();
    let mut ids: Vec<u32> = Vec::new();
    for group in 1..=3 {
        ids.extend(
            cluster.group(GroupId(group)).events().iter().map(|(_, _, event)| event.id().parse::<u32>().unwrap()),
        );
    }
    ids.sort_unstable();
    assert_eq!(ids, (0..60).collect::<Vec<_>>(), "each once");
    nodes.tasks.abort_all();
    let gone = client.append(&broker(), &[event("60")], Hops::FULL);
    assert!(timeout(PATIENCE, gone).await.unwrap().is_err());
    timeout(PATIENCE, served.wait_for(|served| served.is_empty())).await.unwrap().unwrap();
}

/// No view says who leads the group now. The node that led it does.
#[tokio::test]
async fn a_session_is_asked_of_the_leader_that_is_named() {
    let cluster = MemoryCluster::new(3, 1);
    let (over, _served) = OverGrpc::serve(&cluster, 3).await;
    let seeds = (1..=3).map(|n| format!("n{n}.test:7400")).collect();
    let chance = Arc::new(SeededChance::new(3));
    let client = ClusterClient::<RemoteNode, _>::apart(None, seeds, over, ClusterOptions::default(), chance);
    let mut served = client.served();
    timeout(PATIENCE, served.wait_for(|served| served.contains_key(&GROUP))).await.unwrap().unwrap();
    (1..=3).for_each(|node| cluster.blind(NodeId(node), true));
    cluster.lead(GROUP, Some(NodeId(3)));
    let moved = served.wait_for(|served| served.get(&GROUP).is_some_and(|grant| grant.session.term == 2));
    timeout(PATIENCE, moved).await.expect("the leader that is named is asked").unwrap();
}

/// A session that is to be finished is given back, and comes again when the leader stays.
#[tokio::test]
async fn a_session_is_given_back() {
    let cluster = MemoryCluster::new(1, 1);
    let (over, _served) = OverGrpc::serve(&cluster, 1).await;
    let (seeds, chance) = (vec!["n1.test:7400".to_owned()], Arc::new(SeededChance::new(3)));
    let client = ClusterClient::<RemoteNode, _>::apart(None, seeds, over, ClusterOptions::default(), chance);
    let mut served = client.served();
    let now = timeout(PATIENCE, served.wait_for(|served| served.contains_key(&GROUP))).await.unwrap().unwrap().clone();
    let session = now[&GROUP].session;
    assert!(!now[&GROUP].is_to_finish);
    cluster.finish_session(GROUP);
    let told = served.wait_for(|served| served.get(&GROUP) == Some(&Grant { session, is_to_finish: true }));
    timeout(PATIENCE, told).await.expect("it is told").unwrap();
    // What was given before is not this one's to give back.
    client.release(GROUP, Session { grant: session.grant - 1, ..session });
    client.release(GROUP, session);
    let again = served.wait_for(|served| served.get(&GROUP).is_some_and(|grant| grant.session > session));
    assert!(!timeout(PATIENCE, again).await.expect("it is given anew").unwrap()[&GROUP].is_to_finish);
}

/// A node that stops does not wait for those who watch it or may append to it.
#[tokio::test]
async fn streams_end_when_the_listener_stops() {
    let cluster = MemoryCluster::new(1, 1);
    let listener = TcpNetwork.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap().to_string().parse().unwrap();
    let routes =
        Routes::default().with(NodeService::new(cluster.node(NODE), CLUSTER, NODE, Versions::OURS).into_route());
    let options = ServeOptions { drain_timeout: Duration::from_secs(3_600), ..ServeOptions::default() };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let served = tokio::spawn(serve(listener, Security::Plaintext, routes, options, async {
        let _ = stopped.await;
    }));
    let remote = RemoteNode::new(pool().channels(&address), CLUSTER, Some(NODE), Versions::OURS);
    remote.append(GROUP, &broker(), &[event("1")], Hops::FULL, None).await.unwrap();
    let mut session = remote.serve(GROUP).unwrap();
    timeout(PATIENCE, session.wait_for(|serving| serving.session().is_some())).await.unwrap().unwrap();
    let mut view = remote.cluster();
    timeout(PATIENCE, view.wait_for(|view| view.version > 0)).await.unwrap().unwrap();
    stop.send(()).unwrap();
    timeout(PATIENCE, served).await.expect("no stream keeps it").unwrap();
    let over = session.wait_for(|serving| serving.session().is_none());
    assert!(timeout(PATIENCE, over).await.unwrap().is_ok(), "the session is over");
    let refused = remote.append(GROUP, &broker(), &[event("2")], Hops::FULL, None);
    let refused = timeout(PATIENCE, refused).await.unwrap().unwrap_err();
    assert!(matches!(refused, AppendError::Unavailable | AppendError::OutcomeUnknown), "{refused:?}");
}
