//! The client for a whole cluster.
//!
//! It stands on one [`NodeClient`] for each node: the one in this process, when there is one, and those that a [`Connect`]
//! reaches. What it adds is whom to ask, and what to do when that one is not the one.
//!
//! **Where an event goes.** One with a `partitionkey` to the group of its key; where the Broker has a deduplication
//! window, any other by `source` and `id`; the rest to a group that this node leads, else to any that has a leader. The
//! groups for keys are fixed when the cluster is formed, so a key never changes its group. A call whose keys belong to
//! several groups is several appends: it is acknowledged when all are, and when some are not, the others may be in the log.
//!
//! **Tries.** A refusal that names the leader is followed at once; what may be done later is tried again until
//! [`ClusterOptions::patience`] is over. An append that left this process has a producer key, which all its tries share, so
//! that it is written once whatever answers were lost. One whose outcome is not known stays with its group. A try at a
//! node that another has succeeded as leader is not waited for, if it may be repeated: that node may be cut off. While a caller
//! waits for one append before it begins the next, events of one key keep their order.
//!
//! **No quorum.** An election is waited for, a majority that is gone is not: once the replica in this process says that it
//! reaches too few of the others, or every replica says so or is not reached, an append is refused with
//! [`AppendError::NoQuorum`](crate::AppendError::NoQuorum). One that may go to any group is tried in the others first.
//!
//! **Reads, cursors, dead letters** are asked of the group's leader, resources and the cluster of the registry's. What
//! changes something there has no producer key and is not repeated once its outcome is not known.

mod append;
mod lost;
mod nodes;
mod retries;
mod serving;
mod views;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::try_join_all;
use parking_lot::Mutex;
use pelton_env::Chance;
use pelton_event::Event;
use pelton_resource::{Resource, ResourceKey};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

pub use append::ClusterAppend;
pub use nodes::Connect;
use nodes::{Nodes, Place, info_of};

use crate::either::Either;
use crate::retry::{Next, Refused, Tries};
use crate::routing::{Deduplicating, Routes};
use crate::serving::{RevisionsTold, Scales};
use crate::version::{index_of, version_of};
use crate::{
    ApplyError, BrokerName, Client, ClusterChange, ClusterError, ClusterView, DeadLetter, DispatchQuery,
    DispatchReport, EventBatch, Grant, GroupCursors, GroupId, Hops, NodeClient, NodeId, NodeReport, Offset,
    OperationError, Position, Progress, ReadError, Resources, Selection, Session, Start, TriggerId, Warning, Write,
};

/// How long a change of resources made on another node may take to be seen here before its maker is answered all the same.
const SEEN_WITHIN: Duration = Duration::from_secs(2);

/// How a [`ClusterClient`] waits.
#[derive(Debug, Clone, Copy)]
pub struct ClusterOptions {
    /// How long a call is tried. Then it was not done, or nobody knows.
    pub patience: Duration,
    /// How long one try may take. An append has its producer key and is tried again; of any other change of a group nobody
    /// knows then. A change in the registry has all of `patience`: its answer waits for the controllers, which can take
    /// seconds where it is of thousands of resources, and a second try would follow nothing.
    pub try_timeout: Duration,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self { patience: Duration::from_secs(10), try_timeout: Duration::from_secs(3) }
    }
}

/// A client of the whole cluster. Clones are handles of the same one; the last takes its tasks with it.
pub struct ClusterClient<L: NodeClient, C: Connect>(Arc<Inner<L, C>>);

struct Inner<L, C: Connect> {
    nodes: Arc<Nodes<L, C>>,
    routes: Arc<ArcSwap<Routes>>,
    options: ClusterOptions,
    chance: Arc<dyn Chance>,
    /// Names this process in producer keys.
    producer: u64,
    sequence: AtomicU64,
    /// Spreads what may go anywhere.
    turn: AtomicU64,
    /// Sessions that were given back.
    released: Arc<serving::Released>,
    served: OnceLock<watch::Sender<Arc<BTreeMap<GroupId, Grant>>>>,
    /// What follows views and sessions. Ends with the last handle.
    tasks: Mutex<JoinSet<()>>,
}

/// Why a try failed.
struct Failed<E> {
    error: E,
    /// Who leads since, where that was not waited out.
    successor: Option<NodeId>,
}

impl<E> From<E> for Failed<E> {
    fn from(error: E) -> Self {
        Self { error, successor: None }
    }
}

type NodeOf<L, C> = Either<L, <C as Connect>::Node>;

impl<L: NodeClient, C: Connect> Clone for ClusterClient<L, C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<L: NodeClient, C: Connect> std::fmt::Debug for ClusterClient<L, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClusterClient").field("options", &self.0.options).finish_non_exhaustive()
    }
}

impl<L: NodeClient, C: Connect> ClusterClient<L, C> {
    /// A client beside a node: what that one leads is a function call away. Must be called within a tokio runtime.
    pub fn beside(local: L, connect: C, options: ClusterOptions, chance: Arc<dyn Chance>) -> Self {
        let (view, resources) = (local.cluster(), local.resources());
        Self::new(Nodes::new(Some(local), connect, view, resources), JoinSet::new(), options, chance)
    }

    /// A client on a machine that keeps no log: it learns of the cluster from the nodes at `seeds`, `host:port` each, and
    /// then from all that keep one. The kind of local node is whatever a process has that may be either. `this` is its own process's id, if it is a member. Must be called within a tokio
    /// runtime.
    pub fn apart(
        this: Option<NodeId>,
        seeds: Vec<String>,
        connect: C,
        options: ClusterOptions,
        chance: Arc<dyn Chance>,
    ) -> Self {
        let gathered = views::Gathered::new(this);
        let nodes = Nodes::new(None, connect, gathered.view(), gathered.resources());
        let client = Self::new(nodes, JoinSet::new(), options, chance);
        client.0.tasks.lock().spawn(views::gather(client.0.nodes.clone(), seeds, gathered));
        client
    }

    fn new(nodes: Nodes<L, C>, mut tasks: JoinSet<()>, options: ClusterOptions, chance: Arc<dyn Chance>) -> Self {
        retries::describe();
        let nodes = Arc::new(nodes);
        let now = Routes::of(&nodes.view(), Deduplicating::of(&nodes.resources.borrow()));
        let routes = Arc::new(ArcSwap::from_pointee(now));
        tasks.spawn(views::keep_routes(nodes.view.clone(), nodes.resources.clone(), routes.clone()));
        Self(Arc::new(Inner {
            nodes,
            routes,
            options,
            producer: chance.bits(),
            chance,
            sequence: AtomicU64::new(0),
            turn: AtomicU64::new(0),
            released: Arc::default(),
            served: OnceLock::new(),
            tasks: Mutex::new(tasks),
        }))
    }

    /// The groups there are, or the error for a group that there is not.
    fn known(&self, group: GroupId) -> Result<Arc<ClusterView>, ReadError> {
        let view = self.0.nodes.view();
        if view.groups.contains_key(&group) { Ok(view) } else { Err(ReadError::UnknownGroup(group)) }
    }

    fn groups_now(&self) -> Vec<GroupId> {
        self.0.nodes.view.borrow().groups.keys().copied().collect()
    }

    /// Watches something at the leader as far as it is known now, or at the one that it names instead.
    fn watch<T>(&self, group: GroupId, watch: impl Fn(&NodeOf<L, C>) -> Result<T, ReadError>) -> Result<T, ReadError> {
        let view = self.known(group)?;
        let node = |id| self.0.nodes.node(&view, id);
        let leader = self.0.nodes.leader(&view, Place::Group(group), 0).and_then(node);
        match watch(&leader.ok_or(ReadError::Unavailable)?) {
            Err(ReadError::NotLeader { leader: Some(named) }) => {
                self.0.nodes.leads(&view, Place::Group(group), named);
                watch(&node(named).ok_or(ReadError::Unavailable)?)
            }
            watched => watched,
        }
    }
}

impl<L: NodeClient, C: Connect> Inner<L, C> {
    /// Asks whoever leads, until it is done, refused for good, or time is up. `repeatable`: see [`Tries::new`].
    async fn ask<T, E: Refused, F>(
        &self,
        place: Place,
        is_repeatable: bool,
        mut call: impl FnMut(NodeOf<L, C>) -> F,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let deadline = Instant::now() + self.options.patience;
        let mut tries = Tries::new(is_repeatable);
        let mut named = None;
        loop {
            let view = self.nodes.view();
            let asked = named.take().or_else(|| self.nodes.leader(&view, place, tries.failed()));
            let reached = asked.and_then(|id| Some((id, self.nodes.node(&view, id)?)));
            let answer = match reached {
                Some((id, node)) => {
                    let succeeded = async {
                        match is_repeatable {
                            true => self.nodes.succeeded(&view, place, id).await,
                            false => std::future::pending().await,
                        }
                    };
                    let until = match place {
                        Place::Registry if !is_repeatable => deadline,
                        _ => self.end_of_try(deadline),
                    };
                    answer(call(node), succeeded, until).await
                }
                None => Err(Failed::from(E::unavailable())),
            };
            let Failed { error, successor } = match (answer, asked) {
                (Ok(value), Some(leader)) => {
                    self.nodes.leads(&view, place, leader);
                    return Ok(value);
                }
                (Ok(value), None) => return Ok(value),
                (Err(failed), _) => failed,
            };
            match self.after(&mut tries, &error, place, &view, asked, deadline).await {
                Some(next) => named = next.or(successor),
                None => return Err(tries.verdict(error)),
            }
        }
    }

    /// When a try that begins now is given up.
    fn end_of_try(&self, deadline: Instant) -> Instant {
        deadline.min(Instant::now() + self.options.try_timeout)
    }

    /// What follows from a try that failed: whom to ask next, if somebody was named, after the wait that it takes. `None`
    /// when it is over.
    async fn after<E: Refused>(
        &self,
        tries: &mut Tries,
        error: &E,
        place: Place,
        view: &ClusterView,
        asked: Option<NodeId>,
        deadline: Instant,
    ) -> Option<Option<NodeId>> {
        let next = tries.after(error);
        if next != Next::GiveUp {
            retries::count(error);
        }
        if next != Next::GiveUp
            && let Some(asked) = asked
        {
            self.nodes.leads_not(place, asked);
        }
        match next {
            Next::GiveUp => None,
            Next::Follow(leader) if Instant::now() < deadline => {
                self.nodes.leads(view, place, leader);
                Some(Some(leader))
            }
            Next::Follow(_) => None,
            Next::Wait(wait) => {
                let wait = wait.mul_f64(0.5 + 0.5 * self.chance.unit());
                if Instant::now() + wait >= deadline {
                    return None;
                }
                sleep(wait).await;
                Some(None)
            }
        }
    }

    /// Waits until the resources are seen here as they are stored, or for a while: who reads what it wrote expects it.
    async fn seen(&self, mut is_seen: impl FnMut(&Resources) -> bool) {
        let mut resources = self.nodes.resources.clone();
        // Too slow is no error: it is stored.
        let _ = timeout(SEEN_WITHIN, resources.wait_for(|resources| is_seen(resources))).await;
    }
}

/// Waits for the answer to a try, until its time is up or the node that was asked is `succeeded`: one that is cut off or
/// stands still does not even refuse. Nobody knows then whether it was done.
async fn answer<T, E: Refused>(
    call: impl Future<Output = Result<T, E>>,
    succeeded: impl Future<Output = NodeId>,
    until: Instant,
) -> Result<T, Failed<E>> {
    tokio::select! {
        biased;
        answer = call => answer.map_err(Failed::from),
        leader = succeeded => Err(Failed { error: E::unknown(), successor: Some(leader) }),
        () = sleep_until(until) => Err(Failed::from(E::unknown())),
    }
}

impl<L: NodeClient, C: Connect> Client for ClusterClient<L, C>
where
    L::Append: Unpin,
{
    type Append = ClusterAppend<L, C>;

    fn append(&self, broker: &BrokerName, events: &[Event], hops: Hops) -> Self::Append {
        Inner::append(&self.0, broker, events, hops)
    }

    fn groups(&self) -> Vec<GroupId> {
        self.groups_now()
    }

    fn committed(&self, group: GroupId) -> Result<watch::Receiver<Offset>, ReadError> {
        self.watch(group, |leader| leader.committed(group))
    }

    async fn read(&self, group: GroupId, from: Offset, max_bytes: usize) -> Result<Vec<EventBatch>, ReadError> {
        self.known(group)?;
        let read = async |node: NodeOf<L, C>| node.read(group, from, max_bytes).await;
        self.0.ask(Place::Group(group), true, read).await
    }

    async fn first(&self, group: GroupId) -> Result<Offset, ReadError> {
        self.known(group)?;
        self.0.ask(Place::Group(group), true, async |node: NodeOf<L, C>| node.first(group).await).await
    }

    async fn cursors(&self, group: GroupId) -> Result<GroupCursors, ReadError> {
        self.known(group)?;
        self.0.ask(Place::Group(group), true, async |node: NodeOf<L, C>| node.cursors(group).await).await
    }

    fn cursor_changes(&self, group: GroupId) -> Result<watch::Receiver<u64>, ReadError> {
        self.watch(group, |leader| leader.cursor_changes(group))
    }

    fn served(&self) -> watch::Receiver<Arc<BTreeMap<GroupId, Grant>>> {
        let served = self.0.served.get_or_init(|| {
            let served = watch::Sender::default();
            let follow = serving::follow(self.0.nodes.clone(), self.0.released.clone(), served.clone());
            self.0.tasks.lock().spawn_on(follow, &self.0.nodes.runtime);
            served
        });
        served.subscribe()
    }

    fn release(&self, group: GroupId, session: Session) {
        self.0.released.add(group, session);
    }

    async fn progress(&self, group: GroupId, session: Session, progress: Progress) -> Result<(), OperationError> {
        self.known(group).map_err(|_| OperationError::UnknownGroup(group))?;
        // Twice is the same as once, but who holds the session sends it again by itself, and knows when not to.
        let store = |node: NodeOf<L, C>| {
            let progress = progress.clone();
            async move { node.progress(group, session, progress).await }
        };
        self.0.ask(Place::Group(group), false, store).await
    }

    async fn rewind(&self, trigger: TriggerId, to: Start) -> Result<(), OperationError> {
        for group in self.groups_now() {
            let rewind = async |node: NodeOf<L, C>| node.rewind(group, trigger, to).await;
            self.0.ask(Place::Group(group), false, rewind).await?;
        }
        Ok(())
    }

    async fn dead_letters(
        &self,
        trigger: Option<TriggerId>,
        after: Option<(TriggerId, Position)>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, ReadError> {
        let in_each = self.groups_now().into_iter().map(|group| {
            let list = move |node: NodeOf<L, C>| async move { node.dead_letters(group, trigger, after, limit).await };
            self.0.ask(Place::Group(group), true, list)
        });
        let mut letters: Vec<_> = try_join_all(in_each).await?.into_iter().flatten().collect();
        letters.sort_by_key(|letter: &DeadLetter| (letter.trigger, letter.position));
        letters.truncate(limit);
        Ok(letters)
    }

    async fn dead_letter(&self, trigger: TriggerId, position: Position) -> Result<Option<DeadLetter>, ReadError> {
        let Position { group, offset } = position;
        self.known(group)?;
        let before = offset.0.checked_sub(1).map(|before| (trigger, Position { group, offset: Offset(before) }));
        let next = async |node: NodeOf<L, C>| node.dead_letters(group, Some(trigger), before, 1).await;
        let next: Vec<DeadLetter> = self.0.ask(Place::Group(group), true, next).await?;
        Ok(next.into_iter().find(|letter| letter.position == position))
    }

    async fn redrive(&self, selection: Selection) -> Result<u64, OperationError> {
        let mut sent = 0;
        for group in self.groups_of(selection)? {
            let redrive = async |node: NodeOf<L, C>| node.redrive(group, selection).await;
            sent += self.0.ask::<u64, OperationError, _>(Place::Group(group), false, redrive).await?;
        }
        Ok(sent)
    }

    async fn discard(&self, selection: Selection) -> Result<u64, OperationError> {
        let mut dropped = 0;
        for group in self.groups_of(selection)? {
            let discard = async |node: NodeOf<L, C>| node.discard(group, selection).await;
            dropped += self.0.ask::<u64, OperationError, _>(Place::Group(group), false, discard).await?;
        }
        Ok(dropped)
    }

    fn resources(&self) -> watch::Receiver<Arc<Resources>> {
        self.0.nodes.resources.clone()
    }

    async fn apply(&self, resources: Vec<Resource>) -> Result<Vec<Resource>, ApplyError> {
        let apply = |node: NodeOf<L, C>| {
            let resources = resources.clone();
            async move { node.apply(resources).await }
        };
        let stored: Vec<Resource> = self.0.ask(Place::Registry, false, apply).await?;
        let newest = stored.iter().filter_map(version_of).max().map_or(0, index_of);
        self.0.seen(|seen| seen.version >= newest).await;
        Ok(stored)
    }

    async fn delete(&self, key: ResourceKey) -> Result<(), ApplyError> {
        // What is there again by then is another one.
        let before = self.0.nodes.resources.borrow().find(&key).and_then(|resource| resource.meta().uid.clone());
        let delete = |node: NodeOf<L, C>| {
            let key = key.clone();
            async move { node.delete(key).await }
        };
        self.0.ask::<(), ApplyError, _>(Place::Registry, false, delete).await?;
        self.0.seen(|seen| seen.find(&key).is_none_or(|found| found.meta().uid != before)).await;
        Ok(())
    }

    async fn write(&self, write: Write) -> Result<u64, ApplyError> {
        let made = |node: NodeOf<L, C>| {
            let write = write.clone();
            async move { node.write(write).await }
        };
        let index: u64 = self.0.ask(Place::Registry, false, made).await?;
        self.0.seen(|seen| seen.version >= index).await;
        Ok(index)
    }

    fn cluster(&self) -> watch::Receiver<Arc<ClusterView>> {
        self.0.nodes.view.clone()
    }

    async fn report(&self, node: NodeId) -> Option<NodeReport> {
        let node = self.0.nodes.node(&self.0.nodes.view(), node)?;
        timeout(self.0.options.try_timeout, node.report()).await.ok().flatten()
    }

    async fn dispatch_report(&self, node: NodeId, query: DispatchQuery) -> Option<DispatchReport> {
        let node = self.0.nodes.node(&self.0.nodes.view(), node)?;
        timeout(self.0.options.try_timeout, node.dispatch_report(query)).await.ok().flatten()
    }

    async fn change_cluster(&self, change: ClusterChange) -> Result<(), ClusterError> {
        let change = async |node: NodeOf<L, C>| node.change_cluster(change).await;
        self.0.ask(Place::Registry, false, change).await
    }

    async fn warn(&self, trigger: TriggerId, warning: Option<Warning>) -> Result<(), ApplyError> {
        let warn = |node: NodeOf<L, C>| {
            let warning = warning.clone();
            async move { node.warn(trigger, warning).await }
        };
        self.0.ask(Place::Registry, false, warn).await
    }

    async fn tell_revisions(&self, told: RevisionsTold) -> Result<(), ApplyError> {
        let tell = |node: NodeOf<L, C>| {
            let told = told.clone();
            async move { node.tell_revisions(told).await }
        };
        self.0.ask(Place::Registry, false, tell).await
    }

    async fn scales(&self, gateway: &str, seen: u64) -> Result<Scales, ApplyError> {
        self.0.ask(Place::Registry, false, async |node: NodeOf<L, C>| node.scales(gateway, seen).await).await
    }
}

impl<L: NodeClient, C: Connect> ClusterClient<L, C> {
    /// The groups with these dead letters: one letter is in its own, all may be anywhere.
    fn groups_of(&self, selection: Selection) -> Result<Vec<GroupId>, OperationError> {
        match selection {
            Selection::One(_, position) if info_of(&self.0.nodes.view(), Place::Group(position.group)).is_none() => {
                Err(OperationError::UnknownGroup(position.group))
            }
            Selection::One(_, position) => Ok(vec![position.group]),
            Selection::Trigger(_) | Selection::All => Ok(self.groups_now()),
        }
    }
}
