//! A node of the simulated cluster: a log on its disk, one group, a listener for the others, and clients beside it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures_util::future::pending;
use parking_lot::Mutex;
use pelton_consensus::{ConsensusService, Group, GroupOptions, GrpcTransport, MembershipError, NodeId, Peers};
use pelton_env::{Clock, SeededChance, UnixMillis};
use pelton_log::{Disk, Identity, Log, OnDamage, Options};
use pelton_peer::{Network, Pool, Routes, Security, ServeOptions, limits, serve};
use pelton_proto::consensus::v1::consensus_server::ConsensusServer;
use tokio::sync::{Notify, mpsc};

use crate::clients;
use crate::invariants::Violation;
use crate::ledger::Ledger;
use crate::mangle::Mangle;
use crate::network::{TurmoilNetwork, close_what_was_left};
use crate::oracle::{GROUP, Oracle};
use crate::witness::{ByName, PORT, Witness};
use crate::world::{Alive, World};

/// Times of the groups: the product's own.
const HEARTBEAT: Duration = Duration::from_millis(200);
pub const ELECTION: (Duration, Duration) = (Duration::from_millis(800), Duration::from_millis(1_400));

/// When the simulated clocks start.
const EPOCH_MILLIS: u64 = 1_800_000_000_000;

/// How long a new member may take to catch up before the voters are changed anyhow.
const CATCH_UP: Duration = Duration::from_secs(3);

/// What the one in charge of the cluster wants. Each is asked of whoever leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// These shall be the voters.
    Voters(BTreeSet<NodeId>),
    /// This node shall lead.
    Leader(NodeId),
}

/// The wall clock of a node: simulated time, and how wrong it is.
#[derive(Debug, Default)]
pub struct SkewedClock {
    pub millis: std::sync::atomic::AtomicU64,
    pub skew_millis: AtomicI64,
}

impl Clock for SkewedClock {
    fn now(&self) -> UnixMillis {
        let now = EPOCH_MILLIS + self.millis.load(Ordering::Relaxed);
        UnixMillis(now.saturating_add_signed(self.skew_millis.load(Ordering::Relaxed)))
    }
}

fn log_options(node: u64) -> Options {
    let identity = Identity { cluster: 7, node };
    let segment_size_bytes = 512 << 10;
    Options {
        segment_size_bytes,
        initial_segment_size_bytes: segment_size_bytes,
        spare_segments: 2,
        max_flush_bytes: 128 << 10,
        max_record_bytes: 256 << 10,
        on_damage: OnDamage::Keep,
        ..Options::small(identity)
    }
}

/// Runs a node until it crashes.
pub async fn run(me: u64, world: Arc<World>) -> turmoil::Result {
    let oracle = world.oracle.clone();
    let host = &world.hosts[&me];
    let life = host.begin_life();
    close_what_was_left(&crate::witness::host(me));
    let seed = world.seed_for(me, life);
    let work = Arc::new(Notify::new());
    let hook = work.clone();
    let disk = host.disk.disk.lock().clone();
    let opened = Log::open_stepped(
        Arc::new(disk) as Arc<dyn Disk>,
        host.clock.clone(),
        Arc::new(SeededChance::new(seed)),
        log_options(me),
        Arc::new(move || hook.notify_one()),
    );
    let (log, stepper, _) = match opened {
        Ok(opened) => opened,
        Err(_) if host.disk.power_fails.load(Ordering::Relaxed) => return pending().await,
        Err(error) => return fails(&oracle, "a log opens after a crash", me, &error).await,
    };
    tokio::spawn(host.disk.clone().drive(work, stepper, SeededChance::new(seed + 1)));

    let identity = log_options(me).identity;
    let pool = Arc::new(Pool::new(Arc::new(TurmoilNetwork), Security::Plaintext));
    let transport = Arc::new(GrpcTransport::new(pool, Arc::new(ByName), identity));
    let transport = Mangle::new(transport, seed + 2, world.twice_per_mille.clone());
    let peers = Peers::new(Arc::new(transport));
    let listener = TurmoilNetwork.listen(([0, 0, 0, 0], PORT).into()).await?;
    let service = ConsensusService::new(peers.clone(), identity, pelton_peer::Versions::OURS);
    let service = Witness { service, node: me, oracle: oracle.clone() };
    let service = ConsensusServer::new(service).max_decoding_message_size(limits::MAX_MESSAGE_BYTES);
    let routes = Routes::default().with(service);
    tokio::spawn(serve(listener, Security::Plaintext, routes, ServeOptions::default(), pending()));

    let ledger = Arc::new(Ledger { node: me, lines: Mutex::default(), oracle: oracle.clone() });
    let options = GroupOptions {
        heartbeat: HEARTBEAT,
        election_timeout: ELECTION,
        // The registry is told of them at once, groups of events are not.
        tell_commits_at_once: world.seed.is_multiple_of(2),
        ..GroupOptions::new(NodeId(me))
    };
    let group = match Group::open(GROUP, log, ledger, &options, peers).await {
        Ok(group) => group,
        Err(_) if host.disk.power_fails.load(Ordering::Relaxed) => return pending().await,
        Err(error) => return fails(&oracle, "a group opens after a crash", me, &error).await,
    };
    let (orders, ordered) = mpsc::channel(8);
    world.alive.lock().insert(me, Alive { life, group: group.clone(), orders });
    oracle.note(format_args!("node {me} starts, life {life}"));
    if world.first_voters.contains(&NodeId(me))
        && let Err(error) = group.initialize(&world.first_voters).await
        && !host.disk.power_fails.load(Ordering::Relaxed)
    {
        return fails(&oracle, "a group can be made", me, &error).await;
    }
    tokio::spawn(obey(me, group.clone(), ordered, oracle.clone()));
    clients::start(me, seed, &group, &world);
    let why = group.failed().await;
    if host.disk.power_fails.load(Ordering::Relaxed) {
        // The disk failed because the power is going.
        return pending().await;
    }
    fails(&oracle, "a group does not fail by itself", me, &why).await
}

async fn fails(oracle: &Oracle, invariant: &'static str, node: u64, why: &dyn std::fmt::Display) -> turmoil::Result {
    oracle.judge(Err(Violation { invariant, what: format!("node {node}: {why}") }));
    pending().await
}

async fn obey(me: u64, group: Group<Ledger>, mut ordered: mpsc::Receiver<Order>, oracle: Arc<Oracle>) {
    while let Some(order) = ordered.recv().await {
        let done = match &order {
            Order::Voters(voters) => change_voters(&group, voters).await,
            Order::Leader(node) => group.transfer_leader(*node).await,
        };
        oracle.note(format_args!("node {me} was told {order:?}: {done:?}"));
    }
}

/// Learners first, and when they have caught up, voters.
async fn change_voters(group: &Group<Ledger>, voters: &BTreeSet<NodeId>) -> Result<(), MembershipError> {
    for voter in voters {
        group.add_learner(*voter).await?;
    }
    let caught_up = || {
        let status = group.status();
        let last = status.last_index.map_or(0, |last| last.0);
        let matched = |node: &NodeId| status.followers.get(node).and_then(|follower| follower.matched);
        let leader = status.leader;
        voters.iter().all(|node| Some(*node) == leader || matched(node).is_some_and(|at| at.0 + 20 >= last))
    };
    let wait = async {
        while !caught_up() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    // A node that is down never catches up; the change is asked for all the same, as an operator might.
    let _ = tokio::time::timeout(CATCH_UP, wait).await;
    group.change_voters(voters.clone()).await
}
