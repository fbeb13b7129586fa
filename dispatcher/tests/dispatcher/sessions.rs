//! Who may deliver: a dispatcher follows the sessions that it is given, and what it did under an old one counts no more.

use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use pelton_client::grpc::{Connector, NodeService, RemoteNode};
use pelton_client::memory::MemoryCluster;
use pelton_client::{BrokerName, Client as _, ClusterClient, ClusterOptions, GroupId, Hops, NodeId, OperationError};
use pelton_dispatcher::{Dispatcher, Options};
use pelton_env::{ManualClock, SeededChance, UnixMillis};
use pelton_event::{AttributeValue, Event};
use pelton_peer::{Network as _, Pool, Routes, Security, ServeOptions, TcpNetwork, Versions, serve};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::gauges::value;
use crate::sink::{Sink, status};
use crate::world::{World, broker, eventually};

/// The attempt that the old session had on its way ends in vain: the new one begins from what is stored.
#[tokio::test]
async fn a_new_session_begins_from_what_is_stored() {
    let gate = watch::Sender::new(false);
    let held = gate.clone();
    let sink = Sink::start(move |received| match received.earlier {
        0 if received.id() == "1" => status(202).when(&held),
        0 => status(202),
        // What is asked again under the new session is refused, so that one can tell whose outcome was stored.
        _ => status(400),
    })
    .await;
    let world = World::new().await;
    world.trigger("t", &sink.url("/"), "").await;
    world.send_numbered(0..1).await;
    world.settled().await;
    world.send_numbered(1..2).await;
    sink.wait("/", 2).await;
    world.client.end_session();
    sink.wait("/", 3).await;
    gate.send_replace(true);
    world.settled().await;
    assert_eq!(sink.ids("/"), ["0", "1", "1"], "what was stored is not repeated, what was not is");
    assert_eq!(world.letters().len(), 1, "the outcome of the new session is the one that counts");
    world.send_numbered(2..10).await;
    world.settled().await;
    assert_eq!(sink.ids("/").len(), 11, "and it goes on");
}

/// The node that was watched leads the group no more, or never did: it has nothing to tell, and the session goes on.
#[tokio::test]
async fn a_watch_that_ends_is_begun_again() {
    let sink = Sink::accepting().await;
    let world = World::new().await;
    world.trigger("t", &sink.url("/"), "").await;
    world.send_numbered(0..1).await;
    sink.wait("/", 1).await;
    world.client.end_watches();
    world.send_numbered(1..5).await;
    sink.wait("/", 5).await;
    world.client.end_watches();
    world.trigger("new", &sink.url("/new"), "").await;
    world.send_numbered(5..6).await;
    sink.wait("/new", 1).await;
    world.settled().await;
}

/// A planned hand-over under load: what the one before has done is stored before the next begins, so nothing comes twice.
#[tokio::test]
async fn a_session_that_is_finished_leaves_nothing_to_be_done_again() {
    let sink = Sink::accepting().await;
    let mut world = World::asleep("").await;
    // What is stored is stored because of the hand-over.
    world.options.progress_every = Duration::from_secs(3_600);
    world.start();
    world.trigger("t", &sink.url("/"), "").await;
    let mut sent = 0;
    for round in 1..=20_usize {
        world.send_numbered(sent..sent + 50).await;
        sent += 50;
        // Some of them are done, some are not.
        sink.wait("/", 50 * (round - 1) + round * 2).await;
        world.client.finish_session();
        let mut served = world.client.served();
        let given_back = served.wait_for(|served| served.is_empty());
        tokio::time::timeout(crate::sink::PATIENCE, given_back).await.expect("it is given back").unwrap();
        assert!(world.client.group_state().scanned.0 > 0, "what was done is stored");
        world.client.end_session();
        sink.wait("/", 50 * round).await;
    }
    let ids: std::collections::BTreeSet<_> = sink.ids("/").into_iter().collect();
    assert_eq!((ids.len(), sink.ids("/").len()), (1_000, 1_000), "each once");
}

/// An attempt that takes too long is not waited for.
#[tokio::test]
async fn a_session_is_given_back_although_a_subscriber_is_slow() {
    let gate = watch::Sender::new(false);
    let held = gate.clone();
    let sink = Sink::start(move |received| match received.earlier {
        0 if received.id() == "1" => status(202).when(&held),
        _ => status(202),
    })
    .await;
    let mut world = World::asleep("").await;
    world.options.finish_within = Duration::from_millis(20);
    world.options.progress_every = Duration::from_secs(3_600);
    world.start();
    world.trigger("t", &sink.url("/"), "delivery: {timeout: PT1H}").await;
    world.send_numbered(0..3).await;
    sink.wait("/", 3).await;
    world.client.finish_session();
    let mut served = world.client.served();
    let given_back = served.wait_for(|served| served.is_empty());
    tokio::time::timeout(crate::sink::PATIENCE, given_back).await.expect("it is given back").unwrap();
    world.client.end_session();
    sink.wait("/", 4).await;
    assert_eq!(sink.ids("/")[3], "1", "what was done is stored, what was not is done again");
    gate.send_replace(true);
}

/// Without a session no attempt starts, neither of new events nor of those that wait for a retry.
#[tokio::test]
async fn without_a_session_nothing_is_sent() {
    let sink = Sink::start(|received| status(if received.earlier == 0 { 503 } else { 202 })).await;
    let world = World::new().await;
    let policy = "delivery: {retry: 3, backoffPolicy: linear, backoffDelay: PT0.01S}";
    world.trigger("t", &sink.url("/"), policy).await;
    world.settled().await;
    world.send_numbered(0..1).await;
    world.settled().await;
    assert_eq!(sink.ids("/").len(), 2);
    world.client.take_session_away();
    eventually("the group is left", || async { world.handle().groups().is_empty() }).await;
    let stored = world.stored();
    world.send_numbered(1..100).await;
    assert_eq!(sink.ids("/").len(), 2);
    world.client.end_session();
    world.settled().await;
    assert_eq!(sink.ids("/").len(), 200, "each once in vain and once not, all of them by the new session");
    assert!(world.stored().scanned > stored.scanned);
}

/// A refusal is final: progress under an ended session is not sent again, and the group is left until there is another.
#[tokio::test]
async fn progress_of_an_ended_session_is_not_repeated() {
    let sink = Sink::accepting().await;
    let world = World::new().await;
    world.trigger("t", &sink.url("/"), "").await;
    world.settled().await;
    world.client.fail_progress([OperationError::SessionEnded]);
    world.send_numbered(0..5).await;
    eventually("the group is left", || async { world.handle().groups().is_empty() }).await;
    let stored = world.stored();
    assert_eq!(stored.scanned.0, 0, "nothing of it is stored");
    world.send_numbered(5..10).await;
    world.client.end_session();
    world.settled().await;
    for n in 0..10 {
        let times = sink.ids("/").iter().filter(|id| **id == n.to_string()).count();
        assert!(if n < 5 { (1..=2).contains(&times) } else { times == 1 }, "event {n} came {times} times");
    }
}

/// A hundred changes in a row: every event arrives, and the last session serves.
#[tokio::test]
async fn many_changes_lose_nothing() {
    let sink = Sink::accepting().await;
    let world = World::new().await;
    world.trigger("t", &sink.url("/"), "").await;
    for n in 0..100 {
        world.send_numbered(10 * n..10 * (n + 1)).await;
        world.client.end_session();
        if n % 3 == 0 {
            tokio::task::yield_now().await;
        }
    }
    world.settled().await;
    let ids: std::collections::BTreeSet<_> = sink.ids("/").into_iter().collect();
    assert_eq!(ids.len(), 1_000);
    assert_eq!(world.handle().groups().len(), 1);
}

/// What a group left behind in gauges would be added to those of whoever serves it next.
#[tokio::test(flavor = "current_thread")]
async fn a_group_that_is_left_takes_its_gauges_back() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let handle = recorder.handle();
    let gate = watch::Sender::new(false);
    let held = gate.clone();
    let sink = Sink::start(move |_| status(202).when(&held)).await;
    let mut world = World::asleep("").await;
    world.options.gauges_every = Duration::from_millis(5);
    world.start();
    world.trigger("t", &sink.url("/"), "delivery: {timeout: PT1H}").await;
    world.send_numbered(0..10).await;
    let shown = |want: f64| {
        let handle = &handle;
        eventually("the gauges show it", move || async move {
            let of = |name| value(&handle.render(), name, &["trigger=\"t\""]);
            ["pelton_trigger_in_flight", "pelton_trigger_backlog_events"].map(of) == [Some(want); 2]
        })
    };
    shown(10.0).await;
    world.client.take_session_away();
    shown(0.0).await;
    world.client.end_session();
    shown(10.0).await;
    gate.send_replace(true);
    shown(0.0).await;
}

/// Three groups, whose leaders move between three nodes: each is served by whoever has its session, and every event of
/// every group arrives.
#[tokio::test]
async fn every_group_is_delivered_whoever_leads_it() {
    const EVENTS: u64 = 600;
    let sink = Sink::accepting().await;
    let cluster = MemoryCluster::new(3, 3);
    let client = ClusterClient::beside(
        cluster.node(NodeId(1)),
        cluster.clone(),
        ClusterOptions::default(),
        Arc::new(SeededChance::new(1)),
    );
    let manifests = format!(
        "{}---\napiVersion: eventing.knative.dev/v1\nkind: Trigger\nmetadata: {{name: t}}\nspec: {{broker: b, subscriber: \
         {{uri: '{}'}}}}\n",
        broker(""),
        sink.url("/")
    );
    client.apply(pelton_resource::parse_documents(&manifests, "test").unwrap()).await.unwrap();
    let options = Options { progress_every: Duration::from_millis(5), ..Options::default() };
    let clock = Arc::new(ManualClock::new(UnixMillis(1)));
    let dispatcher =
        Dispatcher::start(client.clone(), Arc::new(TcpNetwork), None, options, clock, Arc::new(SeededChance::new(1)));
    for n in 0..EVENTS {
        let (id, key) = (n.to_string(), format!("key {}", n % 40));
        let event = Event::builder().id(&id).source("/s").ty("t");
        let event = event.extension("partitionkey", AttributeValue::String(&key)).build().unwrap();
        client.append(&BrokerName::new("default", "b"), &[event], Hops::FULL).await.unwrap();
        if n % 50 == 0 {
            let group = n / 50 % 3 + 1;
            cluster.lead(GroupId(group as u32), Some(NodeId(n / 50 % 2 + 2)));
        }
    }
    let groups = (1..=3).map(GroupId);
    eventually("everything is delivered and stored", || async {
        groups.clone().all(|group| {
            let stored = cluster.group(group);
            let (state, end) = (stored.group_state(), *stored.committed(group).unwrap().borrow());
            state.scanned == end && state.cursors.values().all(|cursor| cursor.floor(state.scanned) == end)
        })
    })
    .await;
    let ids: std::collections::BTreeSet<_> = sink.ids("/").into_iter().collect();
    assert_eq!(ids.len() as u64, EVENTS);
    assert_eq!(dispatcher.groups().len(), 3);
    assert!(groups.clone().all(|group| !cluster.group(group).events().is_empty()), "each has its share");
    dispatcher.shutdown(Instant::now()).await;
}

/// A dispatcher on a machine of its own: it reads, stores replies, keeps dead letters and reports progress over the network,
/// and goes on when the leader gives a new session.
#[tokio::test]
async fn a_dispatcher_apart_delivers_over_the_network() {
    const CLUSTER: u128 = 7;
    let cluster = MemoryCluster::new(1, 2);
    let listener = TcpNetwork.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    cluster.set_address(NodeId(1), &address);
    let service = NodeService::new(cluster.node(NodeId(1)), CLUSTER, NodeId(1), Versions::OURS);
    let routes = Routes::default().with(service.into_route());
    let served = serve(listener, Security::Plaintext, routes, ServeOptions::default(), std::future::pending());
    let served = tokio::spawn(served);

    let sink = Sink::start(|received| match received.id() {
        "0" => status(200).reply("answer", "reply"),
        "1" => status(400),
        _ => status(202),
    })
    .await;
    let connector =
        Connector::new(Arc::new(Pool::new(Arc::new(TcpNetwork), Security::Plaintext)), CLUSTER, Versions::OURS);
    let chance = || Arc::new(SeededChance::new(1));
    let client =
        ClusterClient::<RemoteNode, _>::apart(None, vec![address], connector, ClusterOptions::default(), chance());
    client.cluster().wait_for(|view| view.groups.len() == 2).await.unwrap();
    let trigger = |name: &str, ty: &str| {
        format!(
            "---\napiVersion: eventing.knative.dev/v1\nkind: Trigger\nmetadata: {{name: {name}}}\nspec: {{broker: b, \
             filter: {{attributes: {{type: {ty}}}}}, subscriber: {{uri: '{}'}}}}\n",
            sink.url(&format!("/{name}"))
        )
    };
    let manifests = format!("{}{}{}", broker(""), trigger("asked", "t"), trigger("answered", "answer"));
    client.apply(pelton_resource::parse_documents(&manifests, "test").unwrap()).await.unwrap();
    let options = Options { progress_every: Duration::from_millis(5), ..Options::default() };
    let clock = Arc::new(ManualClock::new(UnixMillis(1)));
    let dispatcher = Dispatcher::start(client.clone(), Arc::new(TcpNetwork), None, options, clock, chance());
    let send = async |ids: std::ops::Range<u64>| {
        for id in ids {
            let (id, key) = (id.to_string(), format!("key {id}"));
            let event = Event::builder().id(&id).source("/s").ty("t");
            let event = event.extension("partitionkey", AttributeValue::String(&key)).build().unwrap();
            client.append(&BrokerName::new("default", "b"), &[event], Hops::FULL).await.unwrap();
        }
    };
    send(0..40).await;
    sink.wait("/asked", 40).await;
    sink.wait("/answered", 1).await;
    eventually("the dead letter is kept", || async { client.dead_letters(None, None, 10).await.unwrap().len() == 1 })
        .await;
    for group in 1..=2 {
        cluster.lead(GroupId(group), Some(NodeId(1)));
    }
    send(40..80).await;
    eventually("everything is delivered and stored", || async {
        (1..=2).map(GroupId).all(|group| {
            let stored = cluster.group(group);
            let (state, end) = (stored.group_state(), *stored.committed(group).unwrap().borrow());
            state.scanned == end && state.cursors.values().all(|cursor| cursor.floor(state.scanned) == end)
        })
    })
    .await;
    let ids: std::collections::BTreeSet<_> = sink.ids("/asked").into_iter().collect();
    assert_eq!(ids.len(), 80);
    dispatcher.shutdown(Instant::now()).await;
    served.abort();
}
