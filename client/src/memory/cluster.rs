//! Several nodes in memory, whose leaders a test moves.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pelton_event::Event;
use pelton_peer::PROTOCOL_MIN;
use pelton_resource::{Resource, ResourceKey};
use tokio::sync::watch;

use super::MemoryClient;
use crate::serving::{RevisionsTold, Scales};
use crate::{
    AppendError, Appended, ApplyError, BrokerName, Client as _, ClusterChange, ClusterError, ClusterView, Connect,
    DeadLetter, DispatchQuery, DispatchReport, EventBatch, GroupCursors, GroupId, GroupInfo, Hops, Moment, NodeClient,
    NodeId, NodeInfo, NodePhase, NodeReport, Offset, OperationError, Position, ProducerKey, Progress, ReadError,
    Resources, Role, Selection, Serving, Session, Speaks, Start, TriggerId, Warning, Write,
};

/// A cluster in memory. What it stores is one and the same for all its nodes; what they do not share is who leads. Clones
/// are handles of the same one.
#[derive(Debug, Clone)]
pub struct MemoryCluster(Arc<Cluster>);

#[derive(Debug)]
struct Cluster {
    registry: MemoryClient,
    groups: BTreeMap<GroupId, MemoryClient>,
    state: Mutex<State>,
    /// Counts the changes of leaders.
    moves: watch::Sender<u64>,
    /// What each node takes for true.
    views: BTreeMap<NodeId, watch::Sender<Arc<ClusterView>>>,
}

#[derive(Debug, Default)]
struct State {
    view: ClusterView,
    leads: BTreeMap<GroupId, Lead>,
    /// Nodes that learn nothing new.
    blind: BTreeSet<NodeId>,
    /// Nodes that do not answer.
    away: BTreeSet<NodeId>,
    /// Nodes that do what they are asked and do not say so.
    mute: BTreeSet<NodeId>,
    /// How long the answer to an apply waits for the controllers.
    settles: Duration,
    /// Nodes that are not reached.
    gone: BTreeSet<NodeId>,
    /// Groups whose replicas reach none of each other.
    apart: BTreeSet<GroupId>,
    lost_answers: u32,
    changes: Vec<ClusterChange>,
}

impl State {
    fn term(&self, group: GroupId) -> u64 {
        self.view.groups.get(&group).map_or(0, |info| info.term)
    }

    /// What a replica says when too many of the others are gone.
    fn no_quorum(&self, group: GroupId) -> Option<AppendError> {
        let replicas = &self.view.groups.get(&group)?.replicas;
        let voters = replicas.len() as u32;
        let reached = if self.apart.contains(&group) { 1 } else { replicas.difference(&self.gone).count() as u32 };
        (2 * reached <= voters).then_some(AppendError::NoQuorum { group, reached, voters })
    }
}

/// What a group's leader keeps.
#[derive(Debug, Default)]
struct Lead {
    /// Appends with a key, which every leader knows.
    known: BTreeMap<(u64, u64), Appended>,
    /// Who wants to deliver; the first may.
    waiting: Vec<watch::Sender<Serving>>,
    grants: u64,
}

/// One node of a [`MemoryCluster`].
#[derive(Debug, Clone)]
pub struct MemoryNode {
    cluster: MemoryCluster,
    id: NodeId,
}

impl MemoryCluster {
    /// Nodes 1, 2, ... and groups 1, 2, ..., all of them for keys, led each by the next node. Node 1 leads the registry.
    /// No node has a dispatcher.
    #[must_use]
    pub fn new(nodes: u64, groups: u32) -> Self {
        let ids: BTreeSet<_> = (1..=nodes).map(NodeId).collect();
        let led = |leader: u64| GroupInfo {
            term: 1,
            leader: Some(NodeId(leader)),
            replicas: ids.clone(),
            preferred: Some(NodeId(leader)),
            keyed: true,
        };
        let info = |id: &NodeId| NodeInfo {
            name: format!("n{id}"),
            peer_address: address(*id),
            ingress: None,
            api: None,
            gateway: None,
            zone: String::new(),
            roles: [Role::Broker, Role::Ingress].into(),
            phase: NodePhase::Active,
            version: "test".to_owned(),
        };
        let view = ClusterView {
            version: 1,
            this: None,
            nodes: ids.iter().map(|id| (*id, info(id))).collect(),
            groups: (1..=groups).map(|group| (GroupId(group), led((u64::from(group) - 1) % nodes + 1))).collect(),
            registry: GroupInfo { keyed: false, ..led(1) },
            protocol: PROTOCOL_MIN,
            speaks: ids.iter().map(|id| (*id, Speaks::default())).collect(),
        };
        let seen_by = |id: &NodeId| Arc::new(ClusterView { this: Some(*id), ..view.clone() });
        let cluster = Self(Arc::new(Cluster {
            registry: MemoryClient::new(),
            groups: view.groups.keys().map(|group| (*group, MemoryClient::of(*group))).collect(),
            views: ids.iter().map(|id| (*id, watch::Sender::new(seen_by(id)))).collect(),
            moves: watch::Sender::default(),
            state: Mutex::default(),
        }));
        cluster.0.state.lock().view = view;
        cluster
    }

    /// The node with this id.
    #[must_use]
    pub fn node(&self, id: NodeId) -> MemoryNode {
        MemoryNode { cluster: self.clone(), id }
    }

    /// Says where a node is reached, for a client that connects for real. Until then it is a name that only
    /// [`Connect`] of the cluster itself knows.
    pub fn set_address(&self, node: NodeId, address: &str) {
        let mut state = self.0.state.lock();
        if let Some(info) = state.view.nodes.get_mut(&node) {
            address.clone_into(&mut info.peer_address);
        }
        state.view.version += 1;
        self.0.tell(&state);
    }

    /// What a group stores.
    ///
    /// # Panics
    /// When there is no such group.
    #[must_use]
    pub fn group(&self, group: GroupId) -> &MemoryClient {
        &self.0.groups[&group]
    }

    /// From now on this node leads the group, or nobody does. Its sessions end.
    pub fn lead(&self, group: GroupId, leader: Option<NodeId>) {
        let mut state = self.0.state.lock();
        if let Some(info) = state.view.groups.get_mut(&group) {
            info.term += 1;
            info.leader = leader;
        }
        if let Some(lead) = state.leads.get_mut(&group) {
            lead.waiting.clear();
            lead.grants = 0;
        }
        self.0.moves.send_modify(|moves| *moves += 1);
        self.0.tell(&state);
    }

    /// The leader of the group has its dispatcher finish, as before a planned hand-over.
    pub fn finish_session(&self, group: GroupId) {
        let state = self.0.state.lock();
        let first = state.leads.get(&group).and_then(|lead| lead.waiting.first());
        if let Some(first) = first {
            first.send_modify(|serving| {
                if let Serving::Granted(grant) = serving {
                    grant.is_to_finish = true;
                }
            });
        }
    }

    /// The views no longer say who leads the group, though somebody does.
    pub fn forget_leader(&self, group: GroupId) {
        let mut state = self.0.state.lock();
        let mut view = state.view.clone();
        if let Some(info) = view.groups.get_mut(&group) {
            info.leader = None;
        }
        std::mem::swap(&mut state.view, &mut view);
        self.0.tell(&state);
        state.view = view;
    }

    /// From now on this node leads the registry, or nobody does.
    pub fn lead_registry(&self, leader: Option<NodeId>) {
        let mut state = self.0.state.lock();
        state.view.registry.term += 1;
        state.view.registry.leader = leader;
        self.0.tell(&state);
    }

    /// A blind node learns of no new leader until it sees again, though it knows when it is none itself.
    pub fn blind(&self, node: NodeId, is_blind: bool) {
        let mut state = self.0.state.lock();
        if is_blind {
            state.blind.insert(node)
        } else {
            state.blind.remove(&node)
        };
        self.0.tell(&state);
    }

    /// A node that is away never answers.
    pub fn away(&self, node: NodeId, is_away: bool) {
        let mut state = self.0.state.lock();
        if is_away {
            state.away.insert(node)
        } else {
            state.away.remove(&node)
        };
    }

    /// A node that is mute takes appends and never answers them.
    pub fn mute(&self, node: NodeId, is_mute: bool) {
        let mut state = self.0.state.lock();
        if is_mute {
            state.mute.insert(node)
        } else {
            state.mute.remove(&node)
        };
    }

    /// What is applied is stored at once, and answered so much later.
    pub fn settle_within(&self, settles: Duration) {
        self.0.state.lock().settles = settles;
    }

    /// A node that is gone takes no connection. What a majority of whose replicas are gone, the others refuse.
    pub fn gone(&self, node: NodeId, is_gone: bool) {
        let mut state = self.0.state.lock();
        if is_gone {
            state.gone.insert(node)
        } else {
            state.gone.remove(&node)
        };
    }

    /// The group's replicas find none of each other, or do again.
    pub fn lose_quorum(&self, group: GroupId, is_lost: bool) {
        let mut state = self.0.state.lock();
        if is_lost {
            state.apart.insert(group)
        } else {
            state.apart.remove(&group)
        };
    }

    /// The answers to the next appends are lost: they are stored, and nobody is told.
    pub fn lose_answers(&self, appends: u32) {
        self.0.state.lock().lost_answers = appends;
    }

    /// The changes that were asked for.
    #[must_use]
    pub fn changes(&self) -> Vec<ClusterChange> {
        self.0.state.lock().changes.clone()
    }
}

fn address(id: NodeId) -> String {
    format!("n{id}.test:7400")
}

impl Connect for MemoryCluster {
    type Node = MemoryNode;

    fn connect(&self, node: Option<NodeId>, at: &str) -> Option<MemoryNode> {
        let found = self.0.views.keys().find(|id| address(**id) == at)?;
        node.is_none_or(|node| node == *found).then(|| self.node(*found))
    }
}

impl Cluster {
    fn tell(&self, state: &State) {
        for (id, view) in self.views.iter().filter(|(id, _)| !state.blind.contains(id)) {
            view.send_replace(Arc::new(ClusterView { this: Some(*id), ..state.view.clone() }));
        }
    }

    /// Gives a group's session to the first who still wants it.
    fn give_session(&self, group: GroupId) {
        let mut state = self.state.lock();
        let term = state.term(group);
        let Some(lead) = state.leads.get_mut(&group) else { return };
        lead.waiting.retain(|waiting| !waiting.is_closed());
        if let Some(first) = lead.waiting.first()
            && *first.borrow() == Serving::Waits
        {
            lead.grants += 1;
            let session = Session { term, grant: lead.grants };
            self.groups[&group].give_session(session);
            first.send_replace(Serving::Granted(session.into()));
        }
    }

    fn adopt(&self) {
        let resources = self.registry.resources().borrow().clone();
        self.groups.values().for_each(|group| group.adopt(&resources));
    }
}

/// Who leads instead.
enum Refused {
    UnknownGroup,
    NotLeader(Option<NodeId>),
}

impl MemoryNode {
    /// The group, if this node leads it.
    fn led(&self, group: GroupId) -> Result<&MemoryClient, Refused> {
        let stored = self.cluster.0.groups.get(&group).ok_or(Refused::UnknownGroup)?;
        self.leads(self.cluster.0.state.lock().view.groups.get(&group)).map(|()| stored)
    }

    fn leads(&self, info: Option<&GroupInfo>) -> Result<(), Refused> {
        match info.and_then(|info| info.leader) {
            Some(leader) if leader == self.id => Ok(()),
            leader => Err(Refused::NotLeader(leader)),
        }
    }

    fn to_read(&self, group: GroupId) -> Result<&MemoryClient, ReadError> {
        self.led(group).map_err(|refused| match refused {
            Refused::UnknownGroup => ReadError::UnknownGroup(group),
            Refused::NotLeader(leader) => ReadError::NotLeader { leader },
        })
    }

    fn to_change(&self, group: GroupId) -> Result<&MemoryClient, OperationError> {
        self.led(group).map_err(|refused| match refused {
            Refused::UnknownGroup => OperationError::UnknownGroup(group),
            Refused::NotLeader(leader) => OperationError::NotLeader { leader },
        })
    }

    fn registry(&self) -> Result<&MemoryClient, ApplyError> {
        let state = self.cluster.0.state.lock();
        match self.leads(Some(&state.view.registry)) {
            Ok(()) => Ok(&self.cluster.0.registry),
            Err(_) => Err(ApplyError::NotLeader { leader: state.view.registry.leader }),
        }
    }

    async fn here(&self) {
        if self.cluster.0.state.lock().away.contains(&self.id) {
            std::future::pending::<()>().await;
        }
    }
}

impl NodeClient for MemoryNode {
    type Append = Pin<Box<dyn Future<Output = Result<Appended, AppendError>> + Send>>;

    fn append(
        &self,
        group: GroupId,
        broker: &BrokerName,
        events: &[Event],
        hops: Hops,
        key: Option<ProducerKey>,
    ) -> Self::Append {
        let refusal = {
            let state = self.cluster.0.state.lock();
            let gone = state.gone.contains(&self.id).then_some(AppendError::Unavailable);
            gone.or_else(|| state.no_quorum(group))
        };
        if let Some(refusal) = refusal {
            return Box::pin(std::future::ready(Err(refusal)));
        }
        let stored = match self.led(group) {
            Ok(stored) => stored,
            Err(Refused::UnknownGroup) => return Box::pin(std::future::ready(Err(AppendError::Unavailable))),
            Err(Refused::NotLeader(leader)) => {
                return Box::pin(std::future::ready(Err(AppendError::NotLeader { leader })));
            }
        };
        let mut state = self.cluster.0.state.lock();
        if state.away.contains(&self.id) {
            return Box::pin(std::future::pending());
        }
        let known = key.map(|key| (key.producer, key.sequence));
        let repeated = known.and_then(|known| state.leads.entry(group).or_default().known.get(&known).copied());
        if let Some(appended) = repeated {
            return Box::pin(std::future::ready(Ok(Appended { duplicates: events.len() as u32, ..appended })));
        }
        let answer = stored.store(broker, events, hops);
        if let (Ok(appended), Some(known)) = (&answer, known) {
            state.leads.entry(group).or_default().known.insert(known, *appended);
        }
        if state.mute.contains(&self.id) {
            return Box::pin(std::future::pending());
        }
        if state.lost_answers > 0 {
            state.lost_answers -= 1;
            return Box::pin(std::future::ready(Err(AppendError::OutcomeUnknown)));
        }
        Box::pin(std::future::ready(answer))
    }

    fn committed(&self, group: GroupId) -> Result<watch::Receiver<Offset>, ReadError> {
        self.to_read(group)?.committed(group)
    }

    async fn read(&self, group: GroupId, from: Offset, max_bytes: usize) -> Result<Vec<EventBatch>, ReadError> {
        self.here().await;
        self.to_read(group)?.read(group, from, max_bytes).await
    }

    async fn first(&self, group: GroupId) -> Result<Offset, ReadError> {
        self.here().await;
        self.to_read(group)?.first(group).await
    }

    async fn cursors(&self, group: GroupId) -> Result<GroupCursors, ReadError> {
        self.here().await;
        self.to_read(group)?.cursors(group).await
    }

    fn cursor_changes(&self, group: GroupId) -> Result<watch::Receiver<u64>, ReadError> {
        self.to_read(group)?.cursor_changes(group)
    }

    fn serve(&self, group: GroupId) -> Result<watch::Receiver<Serving>, ReadError> {
        self.to_read(group)?;
        let (sender, receiver) = watch::channel(Serving::Waits);
        let term = {
            let mut state = self.cluster.0.state.lock();
            state.leads.entry(group).or_default().waiting.push(sender.clone());
            state.term(group)
        };
        let mut moves = self.cluster.0.moves.subscribe();
        let cluster = Arc::downgrade(&self.cluster.0);
        tokio::spawn(async move {
            let mut is_wanted = true;
            while is_wanted {
                is_wanted = tokio::select! {
                    biased;
                    () = sender.closed() => false,
                    moved = moves.changed() => moved.is_ok(),
                };
                let Some(cluster) = cluster.upgrade() else { return };
                is_wanted &= cluster.state.lock().term(group) == term;
            }
            // The receiver ends with the last sender.
            drop(sender);
            if let Some(cluster) = cluster.upgrade() {
                cluster.give_session(group);
            }
        });
        self.cluster.0.give_session(group);
        Ok(receiver)
    }

    async fn progress(&self, group: GroupId, session: Session, progress: Progress) -> Result<(), OperationError> {
        self.here().await;
        self.to_change(group)?.progress(group, session, progress).await
    }

    async fn rewind(&self, group: GroupId, trigger: TriggerId, to: Start) -> Result<(), OperationError> {
        self.here().await;
        self.to_change(group)?.rewind(trigger, to).await
    }

    async fn dead_letters(
        &self,
        group: GroupId,
        trigger: Option<TriggerId>,
        after: Option<(TriggerId, Position)>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, ReadError> {
        self.here().await;
        self.to_read(group)?.dead_letters(trigger, after, limit).await
    }

    async fn redrive(&self, group: GroupId, selection: Selection) -> Result<u64, OperationError> {
        self.here().await;
        self.to_change(group)?.redrive(selection).await
    }

    async fn discard(&self, group: GroupId, selection: Selection) -> Result<u64, OperationError> {
        self.here().await;
        self.to_change(group)?.discard(selection).await
    }

    fn resources(&self) -> watch::Receiver<Arc<Resources>> {
        self.cluster.0.registry.resources()
    }

    async fn apply(&self, resources: Vec<Resource>) -> Result<Vec<Resource>, ApplyError> {
        self.here().await;
        let stored = self.registry()?.apply(resources).await?;
        self.cluster.0.adopt();
        let settles = self.cluster.0.state.lock().settles;
        tokio::time::sleep(settles).await;
        Ok(stored)
    }

    async fn delete(&self, key: ResourceKey) -> Result<(), ApplyError> {
        self.here().await;
        self.registry()?.delete(key).await?;
        self.cluster.0.adopt();
        Ok(())
    }

    async fn write(&self, write: Write) -> Result<u64, ApplyError> {
        self.here().await;
        let index = self.registry()?.write(write).await?;
        self.cluster.0.adopt();
        Ok(index)
    }

    async fn warn(&self, trigger: TriggerId, warning: Option<Warning>) -> Result<(), ApplyError> {
        self.here().await;
        self.registry()?.warn(trigger, warning).await?;
        self.cluster.0.adopt();
        Ok(())
    }

    async fn tell_revisions(&self, told: RevisionsTold) -> Result<(), ApplyError> {
        self.here().await;
        self.registry()?.tell_revisions(told).await
    }

    async fn scales(&self, gateway: &str, seen: u64) -> Result<Scales, ApplyError> {
        self.here().await;
        self.registry()?.scales(gateway, seen).await
    }

    fn cluster(&self) -> watch::Receiver<Arc<ClusterView>> {
        self.cluster.0.views[&self.id].subscribe()
    }

    async fn report(&self) -> Option<NodeReport> {
        self.here().await;
        Some(NodeReport { log_bytes: self.id.0, ..NodeReport::default() })
    }

    async fn dispatch_report(&self, query: DispatchQuery) -> Option<DispatchReport> {
        self.here().await;
        // As if it had asked itself something: the question comes back as what it is about.
        let since = match query {
            DispatchQuery::Attempts(events) => {
                events.iter().map(|event| (event.group, Moment(event.offset.0))).collect()
            }
            DispatchQuery::Counts => BTreeMap::new(),
        };
        Some(DispatchReport { since, ..DispatchReport::default() })
    }

    async fn change_cluster(&self, change: ClusterChange) -> Result<(), ClusterError> {
        self.here().await;
        let mut state = self.cluster.0.state.lock();
        match self.leads(Some(&state.view.registry)) {
            Ok(()) => {
                state.changes.push(change);
                Ok(())
            }
            Err(_) => Err(ClusterError::NotLeader { leader: state.view.registry.leader }),
        }
    }
}
