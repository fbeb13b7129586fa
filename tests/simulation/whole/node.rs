//! A whole node: what `pelton server` runs with all roles, without its HTTP servers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::pending;
use pelton_broker::{Blocking, Member, Node, OnWaiting, Options, RegistryStore, Retention, Timing};
use pelton_client::grpc::Connector;
use pelton_client::{Client as _, ClusterChange, ClusterClient, ClusterOptions, Role};
use pelton_dispatcher::{CircuitOptions, Dispatcher};
use pelton_env::SeededChance;
use pelton_log::{Disk, FatalHook, Identity, Log, OnDamage};
use pelton_peer::{Network, Pool, Security, Versions};
use pelton_resource::{Resource, ResourceKey};
use tokio::sync::{Notify, mpsc};

use super::clients::{self, Client};
use super::world::{Alive, Whole};
use crate::invariants::Violation;
use crate::network::{TurmoilNetwork, close_what_was_left};
use crate::witness::{PORT, host};

/// A silent node's replicas are made again elsewhere after that long: less than some crashes and partitions last.
const LOST_AFTER: Duration = Duration::from_secs(8);

/// What the one in charge of the cluster wants.
#[derive(Debug, Clone)]
pub enum Order {
    Apply(Vec<Resource>),
    Delete(ResourceKey),
    Change(ClusterChange),
}

fn log_options(identity: Identity, on_fatal: FatalHook) -> pelton_log::Options {
    let segment_size_bytes = 512 << 10;
    pelton_log::Options {
        segment_size_bytes,
        initial_segment_size_bytes: segment_size_bytes,
        // One of them is a reserve that events do not get.
        spare_segments: 2,
        on_fatal: Some(on_fatal),
        on_damage: OnDamage::Keep,
        max_flush_bytes: 128 << 10,
        max_record_bytes: 400 << 10,
        ..pelton_log::Options::small(identity)
    }
}

/// Runs a node until it crashes.
pub async fn run(me: u64, world: Arc<Whole>) -> turmoil::Result {
    let life = world.hosts[&me].begin_life();
    close_what_was_left(&host(me));
    let seed = crate::world::seed_for(world.seed, me, life);
    let chance = |nth| SeededChance::new(seed + nth);
    let network: Arc<dyn Network> = Arc::new(TurmoilNetwork);
    let node = match open(me, seed, &world, &network).await {
        Ok(node) => node,
        Err(_) if world.hosts[&me].disk.power_fails.load(Ordering::Relaxed) => return pending().await,
        Err(error) => return fails(&world, "a node opens after a crash", me, &error).await,
    };
    node.set_ingress(format!("http://{}", host(me)));

    let connector = Connector::new(
        Arc::new(Pool::new(network.clone(), Security::Plaintext)),
        node.identity().cluster,
        Versions::OURS,
    );
    let local = node.client();
    let client = ClusterClient::beside(local.clone(), connector, ClusterOptions::default(), Arc::new(chance(3)));
    let options = pelton_dispatcher::Options {
        // So that a subscriber that was away for long is found in time for the end of a run.
        circuit: CircuitOptions { last_probe: Duration::from_secs(4), ..CircuitOptions::default() },
        ..pelton_dispatcher::Options::default()
    };
    let clock = world.hosts[&me].clock.clone();
    let _dispatcher = Dispatcher::start(client.clone(), network, None, options, clock, Arc::new(chance(4)));
    let (orders, ordered) = mpsc::channel(8);
    world.oracle.note(format_args!("node {me} starts, life {life}, as {}", node.identity().node));
    world.alive.lock().insert(me, Alive { life, node, orders });
    tokio::spawn(clients::produce(me, chance(5), client.clone(), world.clone()));
    tokio::spawn(clients::audit(chance(6), local, world.clone()));
    tokio::spawn(clients::watch_sessions(me, client.clone(), world.clone()));
    obey(me, client, ordered, &world).await;
    pending().await
}

async fn open(
    me: u64,
    seed: u64,
    world: &Arc<Whole>,
    network: &Arc<dyn Network>,
) -> Result<Node, pelton_broker::OpenError> {
    let place = &world.hosts[&me];
    let (disk, clock) = (place.disk.clone(), place.clock.clone());
    let listener = network.listen(([0, 0, 0, 0], PORT).into()).await.expect("a port of its own");
    let address = |node| format!("{}:{PORT}", host(node)).parse().expect("a name and a port");
    let join = world.hosts.keys().take(world.first_nodes).map(|node| address(*node)).collect();
    let member = Member {
        name: host(me),
        peer_advertise: address(me),
        join,
        zone: String::new(),
        roles: BTreeSet::from([Role::Broker, Role::Ingress, Role::Dispatcher]),
        version: "simulated".to_owned(),
        network: network.clone(),
        security: Security::Plaintext,
        listener: listener.into(),
        replicas: 3,
        node_lost_after: LOST_AFTER,
        timing: Timing::default(),
        on_waiting: OnWaiting(Arc::new(|_| {})),
    };
    let (watched, ended) = (world.clone(), world.clone());
    let on_fatal: FatalHook = Arc::new(move |error| {
        if !watched.hosts[&me].disk.power_fails.load(Ordering::Relaxed) {
            let what = format!("node {me}: {error}");
            watched.oracle.judge(Err(Violation { invariant: "a node does not fail by itself", what }));
        }
    });
    let options = Options {
        data: world.data.path().join(host(me)),
        retention: Retention::default(),
        clock: clock.clone(),
        chance: Arc::new(SeededChance::new(seed)),
        observer: Arc::new(pelton_log::NoObserver),
        on_fatal: on_fatal.clone(),
        on_ended: Arc::new(move |why| {
            let what = format!("node {me}: {why}");
            ended.oracle.judge(Err(Violation { invariant: "a node does not end by itself", what }));
        }),
        direct_io: pelton_log::DirectIo::Off,
        store: RegistryStore::None,
        scrub_bytes_per_second: 64 << 10,
        versions: Versions::OURS,
        raise_version_after: LOST_AFTER,
        blocking: Blocking::Inline,
        member: None,
    };
    let open_log = move |identity| {
        let work = Arc::new(Notify::new());
        let (hook, mounted) = (work.clone(), disk.disk.lock().clone());
        let chance = Arc::new(SeededChance::new(seed + 1));
        let opened = Log::open_stepped(
            Arc::new(mounted) as Arc<dyn Disk>,
            clock,
            chance,
            log_options(identity, on_fatal),
            Arc::new(move || hook.notify_one()),
        );
        let (log, stepper, report) = opened?;
        tokio::spawn(disk.drive(work, stepper, SeededChance::new(seed + 2)));
        Ok((log, report))
    };
    Node::open_over(options, member, open_log).await
}

async fn fails(world: &Whole, invariant: &'static str, node: u64, why: &dyn std::error::Error) -> turmoil::Result {
    let mut what = format!("node {node}: {why}");
    let mut cause = why.source();
    while let Some(why) = cause {
        what.push_str(&format!(": {why}"));
        cause = why.source();
    }
    world.oracle.judge(Err(Violation { invariant, what }));
    pending().await
}

/// Does one order after the other.
async fn obey(me: u64, client: Client, mut ordered: mpsc::Receiver<Order>, world: &Whole) {
    while let Some(order) = ordered.recv().await {
        let done = match &order {
            Order::Apply(resources) => client.apply(resources.clone()).await.map(|_| ()).map_err(|e| e.to_string()),
            Order::Delete(key) => client.delete(key.clone()).await.map_err(|e| e.to_string()),
            Order::Change(change) => client.change_cluster(*change).await.map_err(|e| e.to_string()),
        };
        let what = match order {
            Order::Apply(resources) => {
                format!("apply {:?}", resources.iter().map(|resource| resource.key().name).collect::<Vec<_>>())
            }
            Order::Delete(key) => format!("delete {}", key.name),
            Order::Change(change) => format!("{change:?}"),
        };
        world.oracle.note(format_args!("node {me} was told to {what}: {done:?}"));
    }
}
