//! Everything of the broker that lives in one data directory.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use pelton_client::serving::{GatewayAddress, Policy};
use pelton_client::{
    ClusterView, DispatchSource, GroupId, NodeId, NodeInfo, NodePhase, Offset, OperationError, Role, Start,
};
use pelton_consensus::{Begun, Group, GroupError, GroupOptions, Peers};
use pelton_env::{Chance, Clock};
use pelton_log::{FatalHook, Identity, Log, Observer, OnDamage, RealDisk};
use pelton_peer::{Pool, Versions};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::blocking::Blocking;
use crate::cluster::{Answer, ClusterCommand, NodeRecord, Refusal};
use crate::controller::ControllerInput;
use crate::ended::{Ended, EndedHook};
use crate::enter::{self, Opening, Seams};
use crate::formation::{CannotEnter, Keeper, Patience, Presence, RegistryLink, SettleError, Started};
use crate::groups::{DataGroup, Groups, OpenAs};
use crate::health::{self, Health};
use crate::ids;
use crate::local_node::LocalNode;
use crate::member::{self, AddressBook, Member, MemberParts};
use crate::metrics::BrokerMetrics;
use crate::protocol::NotSpoken;
use crate::registrar::Registry;
use crate::registry::RegistryState;
use crate::reports::Reports;
use crate::sessions::Caller;
use crate::view::{self, Problems};
use crate::{controller, groups, identity, protocol, reports, retention, scrub};

/// The registry's group.
const REGISTRY: pelton_log::GroupId = pelton_log::GroupId(0);

/// The node that formed the cluster.
const FIRST_NODE: NodeId = NodeId(1);

/// How a node by itself is called.
const ALONE: &str = "local";

/// Largest body of a log record: a sealed batch, or a checkpoint of very many cursors.
pub(crate) const MAX_RECORD_BYTES: u64 = 28 << 20;

/// The first segments hold one record of that size.
const FIRST_SEGMENT_BYTES: u64 = 32 << 20;

/// How long events are kept.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Bytes of log that the node keeps. What a trigger still needs is kept beyond it, as an alarm. Default 10 GiB.
    pub bytes: u64,
    /// How long dead letters are kept. Default 7 days.
    pub dead_letters: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self { bytes: 10 << 30, dead_letters: Duration::from_secs(7 * 24 * 3600) }
    }
}

/// How a node is opened.
#[derive(Clone)]
pub struct Options {
    /// The data directory. Made when it is not there.
    pub data: PathBuf,
    /// How long events are kept. Each Broker's own time is in its `pelton.dev/retention`.
    pub retention: Retention,
    /// Wall-clock time.
    pub clock: Arc<dyn Clock>,
    /// Identities.
    pub chance: Arc<dyn Chance>,
    /// Told about every flush of the log, for metrics.
    pub observer: Arc<dyn Observer>,
    /// Called when the disk failed to write or sync. It should say so and end the process: nothing is tried again.
    pub on_fatal: FatalHook,
    /// Called when the node cannot go on for another reason. It should say so and end the process.
    pub on_ended: EndedHook,
    /// Whether the log passes the page cache.
    pub direct_io: pelton_log::DirectIo,
    /// Where the registry's applied state is kept beside the log.
    pub store: RegistryStore,
    /// How much of the log is read a second to look for damage; 0: none.
    pub scrub_bytes_per_second: u64,
    /// Where work is done that waits for the disk.
    pub blocking: Blocking,
    /// The versions of the protocol that the program speaks: [`Versions::OURS`], but in tests of an upgrade.
    pub versions: Versions,
    /// The cluster goes on to the next version of the protocol once all of its nodes have spoken it for so long.
    pub raise_version_after: Duration,
    /// What makes the node one of several. `None`: a node by itself, which no other reaches.
    pub member: Option<Member>,
}

/// Where the registry's applied state is kept beside the log, which has everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RegistryStore {
    /// In sled, in the data directory.
    #[default]
    Sled,
    /// Nowhere: a start reads it from the log. For simulations, which have no files.
    None,
}

/// Why a node could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The data directory cannot be used.
    #[error("data directory {path}: {why}", path = path.display())]
    Directory {
        /// The directory or file in question.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The log refused to open. It is as it was.
    #[error("the log in {path} cannot be opened: {source}", path = path.display())]
    Log {
        /// The log's directory.
        path: PathBuf,
        /// Why.
        source: pelton_log::OpenError,
    },
    /// A log group did not come up.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// The node cannot come into the cluster, or not go on in it.
    #[error(transparent)]
    Enter(#[from] CannotEnter),
    /// The registry did not take what a new node by itself writes first.
    #[error("the registry of the new node could not be written")]
    Registry(#[source] OperationError),
    /// The program is too old for what the data directory holds, or too new.
    #[error(transparent)]
    Protocol(#[from] NotSpoken),
    /// The registry holds what contradicts a node by itself.
    #[error("{why}")]
    Cluster {
        /// For the operator.
        why: String,
    },
}

/// A running broker. Dropping it without [`Node::shutdown`] is like a crash: nothing acknowledged is lost.
pub struct Node {
    pub(crate) shared: Shared,
    pub(crate) tasks: Vec<JoinHandle<()>>,
    pub(crate) report: pelton_log::Report,
    /// The listener for other nodes, and what ends it.
    pub(crate) listener: Option<(JoinHandle<()>, oneshot::Sender<()>)>,
}

/// What the parts of a node share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Parts>);

impl std::ops::Deref for Shared {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

pub(crate) struct Parts {
    pub(crate) identity: Identity,
    pub(crate) this: NodeId,
    pub(crate) log: Log,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) chance: Arc<dyn Chance>,
    pub(crate) options: Options,
    pub(crate) metrics: BrokerMetrics,
    pub(crate) groups: Groups,
    pub(crate) registry: Arc<Registry>,
    pub(crate) controller: ControllerInput,
    pub(crate) reports: Reports,
    pub(crate) view: watch::Sender<Arc<ClusterView>>,
    pub(crate) problems: Problems,
    /// How the dispatcher of this process answers, if there is one.
    pub(crate) dispatch: OnceLock<DispatchSource>,
    pub(crate) health: watch::Sender<Health>,
    pub(crate) group_options: GroupOptions,
    pub(crate) peers: Peers,
    /// What a node has that others can reach; `None` on a node by itself.
    pub(crate) member: Option<MemberParts>,
}

impl Parts {
    /// Whether this node is a cluster by itself, and can never be more.
    pub(crate) fn is_alone(&self) -> bool {
        self.member.is_none()
    }

    pub(crate) fn open_as(&self) -> OpenAs {
        if self.is_alone() { OpenAs::Only } else { OpenAs::One }
    }

    /// Whether a dispatcher in this process serves what the node leads.
    pub(crate) fn has_dispatcher(&self) -> bool {
        self.member.as_ref().is_none_or(|member| member.roles.contains(&Role::Dispatcher))
    }

    /// The URL under which Brokers are reached.
    pub(crate) fn ingress(&self) -> Option<String> {
        let own = self.controller.ingress.lock().clone();
        if self.is_alone() {
            return own;
        }
        // The same, whichever node asks: addresses that change with the registry's leader would be of no use.
        let cluster = self.registry.state.current_cluster();
        cluster.members().find_map(|(_, info)| info.ingress.clone()).or(own)
    }

    /// Has the registry record the voters of a group that this node leads in `term`.
    pub(crate) async fn settle(&self, group: GroupId, term: u64, voters: &BTreeSet<NodeId>) -> Result<(), SettleError> {
        if let Some(member) = &self.member {
            return member.link.settle(group, term, voters).await;
        }
        let command = ClusterCommand::Settle { group, term, voters: voters.clone() };
        match self.registry.change_cluster(command).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(refusal)) => Err(SettleError::Refused(refusal.to_string())),
            Err(error) => Err(SettleError::NoAnswer(error.to_string())),
        }
    }
}

impl Node {
    /// Opens a data directory, or makes one. A node by itself leads every group in it when this returns. One of several
    /// is a member of its cluster then, which may have taken as long as it took the others to be there; its groups may
    /// still have no leader ([`waits_for`](Self::waits_for)).
    ///
    /// # Errors
    /// See [`OpenError`]; what is on disk is then unchanged, but for the identity of a new node.
    pub async fn open(options: Options) -> Result<Self, OpenError> {
        match options.member.clone() {
            Some(member) => enter::open(options, member, Seams::default()).await,
            None => Self::open_alone(options).await,
        }
    }

    /// As [`open`](Self::open), of a node that is one of several and whose log is not in its data directory: `log` opens it.
    /// For simulations, whose disks are no files.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_over(
        options: Options,
        member: Member,
        log: impl FnOnce(Identity) -> Result<(Log, pelton_log::Report), pelton_log::OpenError> + Send + 'static,
    ) -> Result<Self, OpenError> {
        let path = options.data.join("log");
        let open = move |_: Options, identity| async move {
            // The data directory has to show that there is a log.
            let made = std::fs::create_dir_all(path.join("elsewhere"));
            made.map_err(|error| OpenError::Directory { path: path.clone(), why: error.to_string() })?;
            log(identity).map_err(|source| OpenError::Log { path, source })
        };
        let log = Box::new(|options: Options, identity| Box::pin(open(options, identity)) as Opening);
        enter::open(options, member, Seams { log, ..Seams::default() }).await
    }

    async fn open_alone(options: Options) -> Result<Self, OpenError> {
        let identity = identity::read_or_make(&options.data, &*options.chance)?;
        let (log, report) = open_log(&options, OnDamage::Refuse).await?;
        // Now, and not at the next start, which may be on a disk that is full.
        identity::log_was_made(&options.data)?;
        let shared = assemble(options, identity, log, BrokerMetrics::register()).await?;
        let tasks = start_tasks(&shared);
        for group in shared.groups.all().values() {
            // The sender is in the group, which is open.
            let _ = group.serving.subscribe().wait_for(|serves| *serves).await;
        }
        view::publish(&shared);
        Ok(Self { shared, tasks, report, listener: None })
    }

    /// What a node that was opened still waits for, in a sentence; `None` when it is ready.
    #[must_use]
    pub fn waits_for(&self) -> Option<String> {
        member::waits_for(&self.shared)
    }

    /// A handle for the other roles of this process.
    #[must_use]
    pub fn client(&self) -> LocalNode {
        LocalNode { shared: self.shared.clone(), caller: Caller::Own }
    }

    /// Which node of which cluster this is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.shared.identity
    }

    /// What opening the log found and did.
    #[must_use]
    pub fn report(&self) -> &pelton_log::Report {
        &self.report
    }

    /// The log, for its sizes and figures.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.shared.log
    }

    /// Tells under which URL ingress is reached, without a path. Brokers get their addresses from it.
    pub fn set_ingress(&self, url: String) {
        if let Some(member) = &self.shared.member {
            member.info.lock().ingress = Some(url.clone());
        }
        *self.shared.controller.ingress.lock() = Some(url);
        self.shared.controller.nudge();
    }

    /// Tells how the dispatcher of this process answers what other nodes ask of it. Said once.
    pub fn set_dispatch(&self, source: DispatchSource) {
        let _ = self.shared.dispatch.set(source);
    }

    /// Tells where the gateway is reached: Routes get their URLs from it, and the other nodes read `host:port` in the
    /// registry.
    pub fn set_gateway(&self, gateway: GatewayAddress, address: String) {
        if let Some(member) = &self.shared.member {
            member.info.lock().gateway = Some(address);
        }
        *self.shared.controller.gateway.lock() = Some(gateway);
        self.shared.controller.nudge();
    }

    /// Tells what the operator has set for all revisions.
    pub fn set_serving_policy(&self, policy: Policy) {
        *self.shared.controller.policy.lock() = policy;
        self.shared.controller.nudge();
    }

    /// Tells where the node's administration API is: `host:port`. The other nodes read it in the registry.
    pub fn set_api(&self, address: String) {
        if let Some(member) = &self.shared.member {
            member.info.lock().api = Some(address);
        }
        self.shared.controller.nudge();
    }

    /// Hands every group that this node leads to another replica, where one is ready to take it. Producers then wait
    /// for a moment, and not for an election. From then on the node says that it is about to stop, so that it is
    /// given none of them back. To be called before [`shutdown`](Self::shutdown).
    pub async fn hand_over(&self) {
        member::hand_over(&self.shared).await;
    }

    /// Writes what was taken, stores checkpoints and closes the log. Appends are refused from the first moment on.
    pub async fn shutdown(self) {
        let groups = self.shared.groups.all();
        groups.values().for_each(|group| group.proposer.close());
        futures_util::future::join_all(groups.values().map(|group| group.proposer.drained())).await;
        self.tasks.iter().for_each(JoinHandle::abort);
        self.shared.groups.end_all_mending();
        for group in groups.values() {
            group.stop_tasks();
            if let Err(error) = group.raft.shutdown().await {
                tracing::warn!(%error, "no checkpoint at shutdown; the next start applies more of the log again");
            }
        }
        if let Err(error) = self.shared.registry.raft.shutdown().await {
            tracing::warn!(%error, "no checkpoint of the registry at shutdown");
        }
        if let Some((served, stop)) = self.listener {
            // It ends by itself when it is gone already.
            let _ = stop.send(());
            let _ = served.await;
        }
        self.shared.registry.state.flush();
        self.shared.log.shutdown();
    }
}

pub(crate) fn start_tasks(shared: &Shared) -> Vec<JoinHandle<()>> {
    vec![
        tokio::spawn(controller::run(shared.clone())),
        tokio::spawn(controller::scale(shared.clone())),
        tokio::spawn(retention::run(shared.clone())),
        tokio::spawn(scrub::run(shared.clone())),
        tokio::spawn(reports::run(shared.clone())),
        tokio::spawn(view::run(shared.clone())),
        tokio::spawn(health::run(shared.clone())),
        tokio::spawn(groups::follow_cluster(shared.clone())),
        tokio::spawn(protocol::follow(shared.clone())),
        tokio::spawn(protocol::raise_alone(shared.clone())),
        tokio::spawn(watch_registry(shared.clone())),
    ]
}

/// Everything of a node by itself over an open log, with nobody yet who tends it.
pub(crate) async fn assemble(
    options: Options,
    identity: Identity,
    log: Log,
    metrics: BrokerMetrics,
) -> Result<Shared, OpenError> {
    let group_options = GroupOptions::new(pelton_consensus::NodeId(identity.node));
    let state = open_registry_state(&options, &log);
    protocol::check(options.versions, &state.current_cluster())?;
    let raft = Group::open_single(REGISTRY, log.clone(), state.clone(), &group_options).await?;
    let registry = Arc::new(Registry::new(raft, state));
    let shared = share(options, identity, log, metrics, group_options, registry, Peers::none(), None);
    be_a_cluster(&shared).await?;
    let cluster = shared.registry.state.current_cluster();
    groups::open_held(&shared, &cluster).await?;
    Ok(shared)
}

#[expect(clippy::too_many_arguments, reason = "each is a part of the node, named by its type")]
fn share(
    options: Options,
    identity: Identity,
    log: Log,
    metrics: BrokerMetrics,
    group_options: GroupOptions,
    registry: Arc<Registry>,
    peers: Peers,
    member: Option<MemberParts>,
) -> Shared {
    Shared(Arc::new(Parts {
        identity,
        this: NodeId(identity.node),
        log,
        clock: options.clock.clone(),
        chance: options.chance.clone(),
        options,
        metrics,
        groups: Groups::default(),
        registry,
        controller: ControllerInput::default(),
        reports: Reports::default(),
        view: watch::Sender::default(),
        problems: Problems::default(),
        dispatch: OnceLock::new(),
        health: watch::Sender::default(),
        group_options,
        peers,
        member,
    }))
}

/// How a member reaches the others.
pub(crate) struct Reach {
    pub(crate) member: Member,
    pub(crate) started: Started,
    pub(crate) presence: Arc<Presence>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) peers: Peers,
    pub(crate) book: Arc<AddressBook>,
}

/// As [`assemble`], of a node that is one of several.
pub(crate) async fn assemble_member(
    options: Options,
    log: Log,
    metrics: BrokerMetrics,
    reach: Reach,
) -> Result<Shared, OpenError> {
    let Reach { member, started, presence, pool, peers, book } = reach;
    let Started { identity, initial_nodes, members } = started;
    let this = NodeId(identity.node);
    let group_options = GroupOptions {
        heartbeat: member.timing.heartbeat,
        election_timeout: member.timing.election_timeout,
        ..GroupOptions::new(ids::raft_node(this))
    };
    let state = open_registry_state(&options, &log);
    let told: BTreeSet<NodeId> = members.keys().copied().collect();
    protocol::check(options.versions, &state.current_cluster())?;
    presence.agree(state.current_cluster().protocol());
    book.fill(members, state.clone());
    let replicas = ids::raft_nodes(&(&state.current_cluster().registry.holders() | &told));
    let registry_options = GroupOptions { replicas, ..group_options.clone() };
    let raft = match Group::begin(REGISTRY, log.clone(), state.clone(), &registry_options, peers.clone()).await? {
        Begun::Open(raft) => raft,
        // It has to be repaired before anything else is known, however long nobody answers who has copies.
        Begun::Damaged(mending) => {
            let what = "the registry is damaged here, and is repaired from the other replicas";
            tracing::warn!("{what}");
            (member.on_waiting.0)(what.to_owned());
            mending.mended().await?
        }
    };
    if this == FIRST_NODE {
        // It forms the cluster, once. A registry that holds anything stays what it is.
        raft.initialize(&[ids::raft_node(this)].into()).await?;
    }
    let registry = Arc::new(Registry::new(raft, state));
    let patience = Patience { lost_after: member.node_lost_after, raise_after: options.raise_version_after };
    let keeper = Keeper::new(registry.clone(), presence.clone(), pool.clone(), peers.clone(), patience);
    let link = RegistryLink {
        registrar: registry.clone(),
        presence: presence.clone(),
        pool: pool.clone(),
        listed: member.join.clone(),
    };
    let parts = MemberParts {
        roles: member.roles.clone(),
        pool,
        link,
        keeper,
        presence,
        info: parking_lot::Mutex::new(member.info()),
        initial_nodes,
        replicas: member.replicas,
    };
    let shared = share(options, identity, log, metrics, group_options, registry, peers, Some(parts));
    let cluster = shared.registry.state.current_cluster();
    if let Err(error) = groups::open_held(&shared, &cluster).await {
        if matches!(error, GroupError::Damaged { .. }) {
            return Err(error.into());
        }
        // It is shown as failed, and the node's other replicas go on.
        tracing::error!(%error, "a log group could not be opened");
    }
    view::publish(&shared);
    Ok(shared)
}

/// A node by itself is a cluster of one, with one group of events: that of a directory from before there were clusters,
/// or a new one.
async fn be_a_cluster(shared: &Shared) -> Result<(), OpenError> {
    if !shared.registry.state.current_cluster().is_formed() {
        let info = NodeInfo {
            name: ALONE.to_owned(),
            peer_address: String::new(),
            ingress: None,
            api: None,
            gateway: None,
            zone: String::new(),
            roles: BTreeSet::from([Role::Broker, Role::Ingress, Role::Dispatcher]),
            phase: NodePhase::Active,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let nonce = identity::nonce(&shared.options.data, &*shared.chance)?;
        let speaks = shared.options.versions.into();
        change(shared, ClusterCommand::Form { initial_nodes: 1, replication: 1, info, nonce, speaks }).await?;
    }
    let cluster = shared.registry.state.current_cluster();
    if cluster.brokers().any(|node| node != shared.this) {
        let why = "this data directory belongs to a node of a cluster with others: start it with `pelton server`";
        return Err(OpenError::Cluster { why: why.to_owned() });
    }
    let speaks = shared.options.versions.into();
    if let Some(NodeRecord { info, nonce, .. }) = cluster.nodes.get(&shared.this).filter(|known| known.speaks != speaks)
    {
        let (info, nonce) = (info.clone(), *nonce);
        change(shared, ClusterCommand::Update { node: shared.this, info, nonce, speaks }).await?;
    }
    if cluster.groups.is_empty() {
        let (group, home) = (GroupId(1), shared.this);
        change(shared, ClusterCommand::CreateGroup { group, replicas: [home].into(), home, keyed: true }).await?;
    }
    Ok(())
}

async fn change(shared: &Shared, command: ClusterCommand) -> Result<Answer, OpenError> {
    let outcome = shared.registry.change_cluster(command).await.map_err(OpenError::Registry)?;
    outcome.map_err(|refusal: Refusal| OpenError::Cluster { why: refusal.to_string() })
}

/// Ends the process when the registry fails here: the node would never hear of a change again and look alive.
async fn watch_registry(shared: Shared) {
    let why = shared.registry.raft.failed().await;
    replica_ended(&shared, GroupId(REGISTRY.0), why);
}

/// A replica that the node cannot do without has ended. When the disk did that, the log has said so itself.
pub(crate) fn replica_ended(shared: &Shared, group: GroupId, why: String) {
    if shared.log.failure().is_none() {
        (shared.options.on_ended)(&Ended::Replica { group, why });
    }
}

/// Why a node does not start on a log that holds the only replica of what is damaged: as the log says it that keeps no
/// damage. `open` is the log as it was opened.
pub(crate) async fn refusal(options: &Options, open: &Log, error: OpenError) -> OpenError {
    open.shutdown();
    match open_log(options, OnDamage::Refuse).await {
        Err(refusal) => refusal,
        Ok((log, _)) => {
            log.shutdown();
            error
        }
    }
}

/// How a node's log is opened, whoever opens it.
pub(crate) fn log_options(identity: Identity) -> pelton_log::Options {
    pelton_log::Options {
        max_record_bytes: MAX_RECORD_BYTES,
        initial_segment_size_bytes: FIRST_SEGMENT_BYTES,
        ..pelton_log::Options::new(identity)
    }
}

pub(crate) async fn open_log(options: &Options, on_damage: OnDamage) -> Result<(Log, pelton_log::Report), OpenError> {
    let identity = identity::of_log(&options.data)?;
    let path = options.data.join("log");
    let io = |error: io::Error| OpenError::Directory { path: path.clone(), why: error.to_string() };
    let disk = Arc::new(RealDisk::new(&path).map_err(io)?);
    let (clock, chance) = (options.clock.clone(), options.chance.clone());
    let settings = pelton_log::Options {
        observer: options.observer.clone(),
        on_fatal: Some(options.on_fatal.clone()),
        direct_io: options.direct_io,
        on_damage,
        ..log_options(identity)
    };
    let opened = options.blocking.run(move || Log::open(disk, clock, chance, settings)).await;
    let opened = opened.map_err(|error| OpenError::Directory { path: path.clone(), why: error.to_string() })?;
    opened.map_err(|source| OpenError::Log { path, source })
}

fn open_registry_state(options: &Options, log: &Log) -> Arc<RegistryState> {
    let path = match options.store {
        RegistryStore::Sled => Some(options.data.join(identity::REGISTRY_STORE)),
        RegistryStore::None => None,
    };
    // A log that was purged to its end holds no entry, and still reflects them.
    let view = log.group(REGISTRY);
    let last_index = view.last.max(view.purged).map_or(0, |(_, _, index)| index.0);
    Arc::new(RegistryState::open(path.as_deref(), last_index, options.clock.now().0, options.versions))
}

/// Where a start is in a group now; `None` is after the last event.
pub(crate) fn offset_of_start(
    shared: &Shared,
    group: &DataGroup,
    start: Start,
) -> Result<Option<Offset>, OperationError> {
    let id = group.raft.id();
    let first = retention::first_offset(shared, id);
    Ok(match start {
        Start::Latest => None,
        Start::Earliest => Some(first),
        Start::Offset(offset) => Some(offset.max(first).min(group.state.tail())),
        Start::Time(time) => {
            let offset = shared.log.offset_at_time(id, time).map_err(|_| OperationError::Unavailable)?;
            Some(Offset(offset.0).max(first))
        }
    })
}

#[cfg(test)]
mod tests;
