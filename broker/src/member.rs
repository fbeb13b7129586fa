//! A node that is one of several: what it is given, and how it comes in.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use pelton_client::{NodeId, NodeInfo, NodePhase, Role};
use pelton_consensus::GroupStatus;
use pelton_peer::{BoxedIo, Network, PeerAddress, PeerListener, Pool, Security};

use crate::cluster::{ClusterCommand, REGISTRY};
use crate::ended::Ended;
use crate::formation::{AnnounceError, Formation, Keeper, Presence, RegistryLink};
use crate::groups::{Wanted, heir, is_unheard, tend_members};
use crate::ids;
use crate::node::Shared;
use crate::registry::RegistryState;

/// How often the registry's members are looked at, besides when something changed.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How long a node waits before it tells the registry again where it is.
const ANNOUNCE_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How often a node looks whether the registry knows where it is.
const LOOK_WHETHER_KNOWN_EVERY: Duration = Duration::from_secs(5);

/// How often the other nodes are asked who they are while the registry does not say it.
const LEARN_EVERY: Duration = Duration::from_millis(500);

/// What makes a node one of several.
#[derive(Clone)]
pub struct Member {
    /// Its name: a DNS label, unique in the cluster.
    pub name: String,
    /// Where the others reach it.
    pub peer_advertise: PeerAddress,
    /// The addresses of the nodes that the cluster begins with, or of some that it has. Empty: a cluster of one.
    pub join: Vec<PeerAddress>,
    /// What fails together with it.
    pub zone: String,
    /// What it does; [`Role::Broker`] is among it.
    pub roles: BTreeSet<Role>,
    /// The program's version.
    pub version: String,
    /// How connections come about.
    pub network: Arc<dyn Network>,
    /// Who may connect.
    pub security: Security,
    /// The listener for the other nodes, bound.
    pub listener: Arc<dyn PeerListener>,
    /// Replicas that a group has when there are nodes enough. Taken from the node that forms the cluster.
    pub replicas: u32,
    /// A node that is silent for so long is lost: its replicas are made again elsewhere.
    pub node_lost_after: Duration,
    /// Of all groups.
    pub timing: Timing,
    /// Told, in a sentence, what the node waits for while it is opened.
    pub on_waiting: OnWaiting,
}

/// Takes what a node waits for.
#[derive(Clone)]
pub struct OnWaiting(pub Arc<dyn Fn(String) + Send + Sync>);

impl std::fmt::Debug for OnWaiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OnWaiting")
    }
}

/// How fast a group finds out that its leader is gone. The same on all nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Time between heartbeats of a leader.
    pub heartbeat: Duration,
    /// Shortest and longest time without one before a follower stands for election.
    pub election_timeout: (Duration, Duration),
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(150),
            // A follower waits for the longest of these and then for one of them by chance, so that a group is without a
            // leader for 1.0 to 1.2 s. The shortest is also how long a leader acts as one without an answer: two
            // heartbeats and a slow disk.
            election_timeout: (Duration::from_millis(400), Duration::from_millis(600)),
        }
    }
}

/// What a node has that others can reach.
pub(crate) struct MemberParts {
    pub(crate) roles: BTreeSet<Role>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) link: RegistryLink,
    pub(crate) keeper: Keeper,
    pub(crate) presence: Arc<Presence>,
    /// What it says of itself.
    pub(crate) info: Mutex<NodeInfo>,
    /// For the one that forms the cluster.
    pub(crate) initial_nodes: u32,
    pub(crate) replicas: u32,
}

/// Where the other nodes are: as the registry says, and until it does, as the node was told.
#[derive(Default)]
pub(crate) struct AddressBook(OnceLock<Known>);

struct Known {
    told: Mutex<BTreeMap<NodeId, PeerAddress>>,
    registry: Arc<RegistryState>,
}

impl AddressBook {
    pub(crate) fn fill(&self, told: BTreeMap<NodeId, PeerAddress>, registry: Arc<RegistryState>) {
        let known = Known { told: Mutex::new(told), registry };
        assert!(self.0.set(known).is_ok(), "a node has one registry");
    }

    fn tell(&self, told: impl IntoIterator<Item = (NodeId, PeerAddress)>) {
        if let Some(known) = self.0.get() {
            known.told.lock().extend(told);
        }
    }
}

impl pelton_consensus::AddressBook for AddressBook {
    fn address(&self, node: pelton_consensus::NodeId) -> Option<String> {
        let Known { told, registry } = self.0.get()?;
        let node = ids::node(node);
        let cluster = registry.current_cluster();
        // What the registry knows counts, whatever was told.
        match cluster.nodes.get(&node) {
            Some(_) => cluster.address(node).map(str::to_owned),
            None => told.lock().get(&node).map(PeerAddress::to_string),
        }
    }

    fn protocol(&self) -> u32 {
        self.0.get().map_or(pelton_peer::PROTOCOL_MIN, |known| known.registry.current_cluster().protocol())
    }
}

impl Member {
    /// As the registry records it.
    pub(crate) fn info(&self) -> NodeInfo {
        NodeInfo {
            name: self.name.clone(),
            peer_address: self.peer_advertise.to_string(),
            ingress: None,
            api: None,
            gateway: None,
            zone: self.zone.clone(),
            // A node of the version before knows no such role, and would refuse the node, or not read the registry: that a node
            // has a gateway is told by its address.
            roles: self.roles.iter().copied().filter(|role| *role != Role::Gateway).collect(),
            phase: NodePhase::Active,
            version: self.version.clone(),
        }
    }
}

/// A listener that is lent out.
pub(crate) struct Lent(pub(crate) Arc<dyn PeerListener>);

impl PeerListener for Lent {
    fn accept(&self) -> BoxFuture<'_, io::Result<(BoxedIo, SocketAddr)>> {
        self.0.accept()
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// What the registry's leader does: forms the cluster, keeps it in order, brings the registry's own members about.
pub(crate) async fn lead_registry(shared: Shared) {
    let Some(member) = &shared.member else { return };
    let mut leadership = shared.registry.raft.leadership();
    loop {
        if leadership.borrow_and_update().serves {
            let leads = async {
                form(&shared, member).await;
                tokio::join!(member.keeper.run(), tend_registry(&shared));
            };
            let ends = async {
                // The sender ends with the group.
                let _ = leadership.wait_for(|now| !now.serves).await;
            };
            tokio::select! {
                biased;
                () = ends => {}
                () = leads => {}
            }
        }
        if leadership.changed().await.is_err() {
            return;
        }
    }
}

async fn form(shared: &Shared, member: &MemberParts) {
    while !shared.registry.state.current_cluster().is_formed() {
        let (info, nonce) = (member.info.lock().clone(), member.presence.nonce());
        let (initial_nodes, replication) = (member.initial_nodes, member.replicas);
        let speaks = shared.options.versions.into();
        let form = ClusterCommand::Form { initial_nodes, replication, info, nonce, speaks };
        match shared.registry.change_cluster(form).await {
            Ok(Ok(_)) => tracing::info!(initial_nodes, "the cluster is formed"),
            Ok(Err(refusal)) => {
                tracing::error!(%refusal, "the cluster cannot be formed");
                return;
            }
            Err(error) => {
                tracing::debug!(%error, "the cluster is not formed yet");
                tokio::time::sleep(ANNOUNCE_AGAIN_AFTER).await;
            }
        }
    }
}

async fn tend_registry(shared: &Shared) {
    let registry = &shared.registry;
    let mut cluster = registry.state.cluster();
    let mut not_before = None;
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let state = cluster.borrow_and_update().clone();
        if state.is_formed() {
            let wanted = Wanted {
                voters: state.registry.replicas.clone(),
                learners: state.registry_learners(),
                preferred: state.registry.preferred,
            };
            let hand_over = |heir| registry.raft.transfer_leader(ids::raft_node(heir));
            let done =
                tend_members(shared.this, &registry.raft, &wanted, &registry.settled, &mut not_before, hand_over).await;
            if let Err(error) = done {
                tracing::debug!(%error, "the registry's members are not changed yet");
            }
            let settled = registry.settled.lock().clone();
            if let Some((term, voters)) = settled.filter(|(_, voters)| *voters != state.registry.settled) {
                let command = ClusterCommand::Settle { group: REGISTRY, term, voters };
                if let Err(error) = registry.change_cluster(command).await {
                    tracing::debug!(%error, "the registry does not record its voters yet");
                }
            }
        }
        tokio::select! {
            biased;
            changed = cluster.changed() => if changed.is_err() { return },
            _ = ticks.tick() => {}
        }
    }
}

/// Asks the nodes of the list who they are until the registry says where everybody is. After a loss of power that took
/// the registry's store from all nodes, none knows where the others are but from this, and they may be up at any time.
pub(crate) async fn learn_addresses(shared: Shared, formation: Formation, book: Arc<AddressBook>) {
    let mut cluster = shared.registry.state.cluster();
    while !cluster.borrow_and_update().is_formed() {
        book.tell(formation.members().await);
        // The sender is in the registry, which is here.
        let _ = tokio::time::timeout(LEARN_EVERY, cluster.changed()).await;
    }
}

/// Sees to it that the registry knows what the node is called and where it is, again and again: a node that was removed
/// while nobody reached it hears of that from nobody else. It ends the process once it votes in no group any more.
pub(crate) async fn announce(shared: Shared) {
    let Some(member) = &shared.member else { return };
    let mut nudged = shared.controller.nudge.subscribe();
    loop {
        nudged.borrow_and_update();
        let info = member.info.lock().clone();
        // A registry that nobody keeps current here says nothing.
        if !shared.registry.raft.is_current() || !is_known(&shared, &info) {
            match member.link.announce(&info).await {
                Ok(()) => {}
                Err(error @ AnnounceError::Removed(_)) if !is_needed(&shared) => {
                    tracing::error!(%error, "the node ends");
                    (shared.options.on_ended)(&Ended::Removed { why: error.to_string() });
                    return;
                }
                Err(error @ AnnounceError::Removed(_)) => {
                    tracing::warn!(%error, "the node ends once its groups do without it");
                }
                Err(error) => tracing::error!(%error, "the registry does not know where this node is"),
            }
        }
        tokio::select! {
            biased;
            changed = nudged.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(LOOK_WHETHER_KNOWN_EVERY) => {}
        }
    }
}

fn is_known(shared: &Shared, info: &NodeInfo) -> bool {
    let cluster = shared.registry.state.current_cluster();
    let speaks = cluster.nodes.get(&shared.this).map(|node| node.speaks.versions());
    speaks == Some(shared.options.versions)
        && cluster.member(shared.this).is_some_and(|known| NodeInfo { phase: info.phase, ..known.clone() } == *info)
}

/// Whether some group still counts on its replica here: the change that takes it out may need its vote.
fn is_needed(shared: &Shared) -> bool {
    let groups = shared.groups.all();
    groups.values().any(|open| open.raft.serves() || !is_unheard(shared, open))
}

/// What the node waits for, in a sentence.
pub(crate) fn waits_for(shared: &Shared) -> Option<String> {
    let registry = &shared.registry;
    if registry.leader().is_none() {
        return Some("the registry has no leader".to_owned());
    }
    if !registry.raft.is_current() {
        // What was stored while the node was down would seem not to be there.
        return Some("the registry is not read to its end yet".to_owned());
    }
    let cluster = registry.state.current_cluster();
    if cluster.member(shared.this).is_none() {
        return Some("the registry does not list this node yet".to_owned());
    }
    if cluster.groups.is_empty() {
        let (there, wanted) = (cluster.brokers().count(), cluster.initial_nodes);
        return Some(format!("there are no log groups yet: {there} of {wanted} nodes are there"));
    }
    let failed = shared.groups.failures();
    let unsound = shared.groups.unsound();
    for (group, _) in cluster.held_by(shared.this).filter(|(group, _)| !failed.contains_key(group)) {
        match shared.groups.find(group) {
            None if unsound.get(&group).is_some_and(|unsound| unsound.is_everywhere) => {}
            None if unsound.contains_key(&group) => {
                return Some(format!("log group {group} is repaired from the other replicas"));
            }
            None => return Some(format!("log group {group} is not open yet")),
            Some(open) if open.leader().is_none() => return Some(format!("log group {group} has no leader")),
            Some(_) => {}
        }
    }
    None
}

/// Hands over what this node leads, all of it at once, and takes nothing back.
pub(crate) async fn hand_over(shared: &Shared) {
    shared.peers.leave();
    let groups = shared.groups.all();
    let cluster = shared.registry.state.current_cluster();
    let events = groups.iter().map(|(id, group)| async {
        let preferred = cluster.groups.get(id).and_then(|group| group.preferred);
        if let Some(heir) = heir(shared.this, &group.raft.status(), preferred) {
            give(group.hand_over(ids::node(heir)).await, group.raft.id().0);
        }
    });
    let registry = async {
        if let Some(heir) = heir(shared.this, &shared.registry.raft.status(), cluster.registry.preferred) {
            give(shared.registry.raft.transfer_leader(heir).await, REGISTRY.0);
        }
    };
    tokio::join!(futures_util::future::join_all(events), registry);
}

fn give(given: Result<(), pelton_consensus::MembershipError>, group: u32) {
    if let Err(error) = given {
        tracing::warn!(group, %error, "the group was not handed over; the others elect a leader");
    }
}

/// The voter that is furthest of those that answer and `may` lead.
pub(crate) fn heir_among(
    this: NodeId,
    status: &GroupStatus,
    may: impl Fn(NodeId) -> bool,
) -> Option<pelton_consensus::NodeId> {
    let votes = |node: &pelton_consensus::NodeId| {
        *node != ids::raft_node(this) && status.voters.contains(node) && may(ids::node(*node))
    };
    let answering = status.followers.iter().filter(|(node, follower)| votes(node) && follower.answered.is_some());
    let furthest = answering.max_by_key(|(node, follower)| (follower.matched, std::cmp::Reverse(**node)));
    furthest.filter(|_| status.is_leader()).map(|(node, _)| *node)
}
