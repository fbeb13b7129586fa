//! What the registry's leader does for the cluster: it asks every node whether it is there, and has put in order what
//! is not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pelton_client::{ClusterChange, ClusterError, NodeId, OperationError};
use pelton_consensus::Peers;
use pelton_peer::{Channels, PeerAddress, Pool, Versions};
use tokio::time::{Instant, MissedTickBehavior};

use super::calls::hello;
use super::hello::Presence;
use super::service::Registrar;
use crate::cluster::{ClusterCommand, ClusterState, Observed, Silence, command_for, plan};
use crate::ids;

/// How often nodes are asked, and placement looks at what they answered.
const EVERY: Duration = Duration::from_secs(1);

/// How long a node may take to say whether it should lead.
const FITNESS_WITHIN: Duration = Duration::from_millis(300);

/// A node that has not answered for so long may have been stopped, to come back as another program.
const DOUBTED_AFTER: Duration = Duration::from_secs(3);

/// The part of a node that acts while the node leads the registry.
pub(crate) struct Keeper {
    registrar: Arc<dyn Registrar>,
    presence: Arc<Presence>,
    pool: Arc<Pool>,
    peers: Peers,
    patience: Patience,
    pub(super) silence: Mutex<Watched>,
    /// Nodes that said they should lead nothing when they were last heard.
    unfit: Mutex<BTreeSet<NodeId>>,
}

/// Who is listened to, and since when. Begun anew each time that the node becomes the leader.
pub(super) struct Watched {
    begin: Instant,
    pub(super) silence: Silence,
    /// What each node said last that it speaks.
    speak: BTreeMap<NodeId, Versions>,
    /// The version that the cluster could go on to, and since when all have spoken it.
    next: Option<(u32, Instant)>,
}

impl Watched {
    fn new() -> Self {
        Self { begin: Instant::now(), silence: Silence::default(), speak: BTreeMap::new(), next: None }
    }
}

/// How long the keeper waits before it acts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// A node that is silent for so long is lost.
    pub(crate) lost_after: Duration,
    /// The cluster goes on to a version of the protocol once all have spoken it for so long.
    pub(crate) raise_after: Duration,
}

impl Keeper {
    pub(crate) fn new(
        registrar: Arc<dyn Registrar>,
        presence: Arc<Presence>,
        pool: Arc<Pool>,
        peers: Peers,
        patience: Patience,
    ) -> Self {
        let silence = Mutex::new(Watched::new());
        Self { registrar, presence, pool, peers, patience, silence, unfit: Mutex::default() }
    }

    /// Runs until it is dropped: for as long as the node leads the registry.
    pub(crate) async fn run(&self) {
        *self.silence.lock() = Watched::new();
        // Before anything is placed, or leaders would go back to where the last keeper took them from.
        self.ask_who_is_fit().await;
        tokio::join!(self.listen(), self.follow_fitness(), self.tend());
    }

    /// For how long each node has not answered. True only while [`run`](Self::run) runs.
    pub(crate) fn observed(&self) -> Observed {
        let watched = self.silence.lock();
        let silent = watched.silence.at(watched.begin.elapsed());
        Observed { silent, lost_after: self.patience.lost_after, unfit: self.unfit.lock().clone() }
    }

    /// Has the cluster changed as an operator asks. To be called after a ReadIndex of the registry.
    ///
    /// # Errors
    /// See [`ClusterError`].
    pub(crate) async fn change(&self, change: ClusterChange) -> Result<(), ClusterError> {
        let refused = |refusal: crate::cluster::Refusal| ClusterError::Refused(refusal.to_string());
        let state = self.registrar.cluster().borrow().clone();
        let Some(command) = command_for(&state, &self.observed(), change).map_err(refused)? else { return Ok(()) };
        match self.registrar.commit(command).await {
            Ok(outcome) => outcome.map(|_| ()).map_err(refused),
            Err(OperationError::NotLeader { leader }) => Err(ClusterError::NotLeader { leader }),
            Err(OperationError::OutcomeUnknown) => Err(ClusterError::OutcomeUnknown),
            Err(_) => Err(ClusterError::Unavailable),
        }
    }

    /// The command by which the cluster goes on to the next version of the protocol, if it is time: every node has said
    /// just now that it speaks it, and has so without a break since. A node that is away may come back as an older one.
    pub(super) fn raise(&self, state: &ClusterState) -> Option<ClusterCommand> {
        let others: BTreeSet<_> = self.others().into_keys().collect();
        let mut watched = self.silence.lock();
        let now = watched.begin.elapsed();
        let silent = watched.silence.at(now);
        let there = |node: &NodeId| silent.get(node).is_some_and(|silent| *silent < DOUBTED_AFTER);
        let spoken = |to: u32| {
            others.iter().all(|node| there(node) && watched.speak.get(node).is_some_and(|speaks| speaks.contains(to)))
        };
        let next = state.next_protocol().filter(|to| spoken(*to));
        watched.next = next.map(|to| match watched.next {
            Some((known, since)) if known == to => (to, since),
            _ => (to, Instant::now()),
        });
        let (to, since) = watched.next?;
        (since.elapsed() >= self.patience.raise_after).then_some(ClusterCommand::RaiseProtocol { to })
    }

    /// Asks every other node, again and again.
    async fn listen(&self) {
        // Held so that a node is asked over the same connection each time.
        let mut held: Vec<Arc<Channels>> = Vec::new();
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let others = self.others();
            let fresh = others.values().map(|address| self.pool.channels(address)).collect();
            drop(std::mem::replace(&mut held, fresh));
            let nodes: BTreeSet<_> = others.keys().copied().collect();
            {
                let mut watched = self.silence.lock();
                let now = watched.begin.elapsed();
                watched.silence.look_at(&nodes, now);
            }
            let asked = others.iter().map(|(node, address)| self.ask(*node, address));
            futures_util::future::join_all(asked).await;
        }
    }

    /// The node has answered, and said what it speaks.
    pub(super) fn heard(&self, node: NodeId, speaks: Versions) {
        let mut watched = self.silence.lock();
        let now = watched.begin.elapsed();
        watched.silence.answered(node, now);
        watched.speak.insert(node, speaks);
    }

    pub(super) async fn ask(&self, node: NodeId, address: &PeerAddress) {
        let cluster = self.presence.identity().map(|identity| identity.cluster);
        match hello(&self.pool, address, &self.presence).await {
            // Another node may have the address by now; it answers for itself only.
            Ok(hello) if hello.node() == Some(node) && hello.member.map(|identity| identity.cluster) == cluster => {
                self.heard(node, hello.versions);
            }
            Ok(hello) => tracing::debug!(%node, %address, name = %hello.name, "another node answers there"),
            Err(error) => tracing::debug!(%node, %address, %error, "a node does not answer"),
        }
    }

    async fn follow_fitness(&self) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.ask_who_is_fit().await;
        }
    }

    /// Asks every other node once whether it should lead. Of one that does not answer the last answer holds.
    async fn ask_who_is_fit(&self) {
        let others: BTreeSet<_> = self.others().into_keys().collect();
        let asked = others.iter().map(|node| async {
            let fit = self.peers.is_fit(ids::raft_node(*node), FITNESS_WITHIN).await;
            (*node, fit)
        });
        let answers = futures_util::future::join_all(asked).await;
        let this = self.presence.identity().map(|identity| (NodeId(identity.node), Some(!self.peers.is_unfit())));
        let mut unfit = self.unfit.lock();
        unfit.retain(|node| others.contains(node));
        for (node, fit) in answers.into_iter().chain(this) {
            match fit {
                Some(true) => drop(unfit.remove(&node)),
                Some(false) => drop(unfit.insert(node)),
                None => {}
            }
        }
    }

    /// The other members with an address.
    fn others(&self) -> BTreeMap<NodeId, PeerAddress> {
        let this = self.presence.identity().map(|identity| NodeId(identity.node));
        let cluster = self.registrar.cluster();
        let state = cluster.borrow().clone();
        let address = |(node, info): (NodeId, &pelton_client::NodeInfo)| Some((node, info.peer_address.parse().ok()?));
        state.members().filter(|(node, _)| Some(*node) != this).filter_map(address).collect()
    }

    /// Proposes what placement finds, at each change and each tick.
    async fn tend(&self) {
        let mut cluster = self.registrar.cluster();
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let state = cluster.borrow_and_update().clone();
            for command in plan(&state, &self.observed()) {
                if !self.propose(command).await {
                    break;
                }
            }
            if let Some(command) = self.raise(&state) {
                self.propose(command).await;
            }
            tokio::select! {
                biased;
                changed = cluster.changed() => if changed.is_err() { return },
                _ = ticks.tick() => {}
            }
        }
    }

    /// Whether the next command of the plan still fits.
    async fn propose(&self, command: ClusterCommand) -> bool {
        match self.registrar.commit(command.clone()).await {
            Ok(Ok(_)) => {
                tracing::info!(?command, "the cluster was put in order");
                true
            }
            // Something came between; the next plan is of the state as it is then.
            Ok(Err(refusal)) => {
                tracing::debug!(%refusal, ?command, "a change of the cluster does not fit any more");
                false
            }
            Err(error) => {
                tracing::debug!(%error, "the registry took no change of the cluster");
                false
            }
        }
    }
}
