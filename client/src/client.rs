//! The trait.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use pelton_event::Event;
use pelton_resource::{Resource, ResourceKey};
use tokio::sync::watch;

use crate::serving::{RevisionsTold, Scales};
use crate::{
    AppendError, ApplyError, BrokerName, ClusterChange, ClusterError, ClusterView, DeadLetter, DispatchQuery,
    DispatchReport, EventBatch, Grant, GroupCursors, GroupId, Hops, NodeId, NodeReport, Offset, OperationError,
    Position, Progress, ReadError, Resources, Selection, Session, Start, TriggerId, Write,
};

/// An append that was acknowledged: a quorum has it in synced storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Where the first of the call's events stands. For a duplicate, where the event it repeats stands.
    pub position: Position,
    /// How many of the call's events were in the deduplication window already and were not written again.
    pub duplicates: u32,
}

/// Something a dispatcher learnt about a trigger that its owner should see as a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// One CamelCase word.
    pub reason: String,
    /// A sentence.
    pub message: String,
}

/// How a role talks to the broker.
///
/// Ingress appends; a dispatcher reads, appends replies and reports progress; the API changes resources and handles
/// dead letters. In process it is a function call; between machines the same calls go over the wire.
pub trait Client: Clone + Send + Sync + 'static {
    /// The answer to come of an [`append`](Self::append).
    type Append: Future<Output = Result<Appended, AppendError>> + Send + 'static;

    /// Appends `events`, all of one broker, as one unit: all of them become durable or none.
    ///
    /// Encoding happens before the future is polled, so nothing is borrowed by it. The future may be dropped: the
    /// events may then still be written.
    fn append(&self, broker: &BrokerName, events: &[Event], hops: Hops) -> Self::Append;

    /// The log groups that hold events.
    fn groups(&self) -> Vec<GroupId>;

    /// The end (exclusive) of what is committed in a group, and how it moves on.
    ///
    /// # Errors
    /// [`ReadError::UnknownGroup`].
    fn committed(&self, group: GroupId) -> Result<watch::Receiver<Offset>, ReadError>;

    /// Committed batches from the one that holds `from` on: at least one when there is one, else about `max_bytes`.
    /// Empty at the tail. The first batch may begin below `from`.
    ///
    /// # Errors
    /// [`ReadError::Purged`] when `from` is no longer kept.
    fn read(
        &self,
        group: GroupId,
        from: Offset,
        max_bytes: usize,
    ) -> impl Future<Output = Result<Vec<EventBatch>, ReadError>> + Send;

    /// The first offset that is kept.
    fn first(&self, group: GroupId) -> impl Future<Output = Result<Offset, ReadError>> + Send;

    /// Every started trigger's cursor.
    fn cursors(&self, group: GroupId) -> impl Future<Output = Result<GroupCursors, ReadError>> + Send;

    /// Moves on when a trigger was started, rewound or dropped or when a dead letter was sent again: the log index of
    /// the latest such change. Then [`cursors`](Self::cursors) has cursors whose `changed` is that high.
    ///
    /// # Errors
    /// [`ReadError::UnknownGroup`].
    fn cursor_changes(&self, group: GroupId) -> Result<watch::Receiver<u64>, ReadError>;

    /// The groups whose events the dispatcher behind this client is to deliver now, and by which right. It starts and
    /// stops as they come and go.
    fn served(&self) -> watch::Receiver<Arc<BTreeMap<GroupId, Grant>>>;

    /// Gives a session back: whoever held it has stored what it did, and does nothing more.
    fn release(&self, group: GroupId, session: Session);

    /// Stores what a dispatcher did while it held `session`. Returns once it is committed.
    ///
    /// # Errors
    /// [`OperationError::SessionEnded`] when another one serves the group since: what was done is then not stored, and
    /// that other one does it again.
    fn progress(
        &self,
        group: GroupId,
        session: Session,
        progress: Progress,
    ) -> impl Future<Output = Result<(), OperationError>> + Send;

    /// Puts a trigger's cursor somewhere else, in every group.
    fn rewind(&self, trigger: TriggerId, to: Start) -> impl Future<Output = Result<(), OperationError>> + Send;

    /// Kept dead letters, oldest event first within a trigger: those after `after`, at most `limit`.
    fn dead_letters(
        &self,
        trigger: Option<TriggerId>,
        after: Option<(TriggerId, Position)>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<DeadLetter>, ReadError>> + Send;

    /// The dead letter that the event at a position became for a trigger, if it is kept. Only the group of the event is asked.
    fn dead_letter(
        &self,
        trigger: TriggerId,
        position: Position,
    ) -> impl Future<Output = Result<Option<DeadLetter>, ReadError>> + Send;

    /// Sends dead letters again: each becomes pending with no attempts made. Returns how many.
    fn redrive(&self, selection: Selection) -> impl Future<Output = Result<u64, OperationError>> + Send;

    /// Drops dead letters. Returns how many.
    fn discard(&self, selection: Selection) -> impl Future<Output = Result<u64, OperationError>> + Send;

    /// The resources, and how they change.
    fn resources(&self) -> watch::Receiver<Arc<Resources>>;

    /// Creates or changes resources, all or none: defaults are filled in, rules checked, uid, generation and
    /// resourceVersion given. Returns them as stored.
    fn apply(&self, resources: Vec<Resource>) -> impl Future<Output = Result<Vec<Resource>, ApplyError>> + Send;

    /// Deletes a resource.
    fn delete(&self, key: ResourceKey) -> impl Future<Output = Result<(), ApplyError>> + Send;

    /// Changes one resource if it still is what the change was worked out from. Returns the log index of the change, once
    /// it is seen here too, as a rule. Unlike with [`apply`](Self::apply) nothing is waited for that follows from it.
    fn write(&self, write: Write) -> impl Future<Output = Result<u64, ApplyError>> + Send;

    /// The cluster as this client knows it, and how it changes.
    fn cluster(&self) -> watch::Receiver<Arc<ClusterView>>;

    /// Asks a node for its report. `None` when it did not answer.
    fn report(&self, node: NodeId) -> impl Future<Output = Option<NodeReport>> + Send;

    /// Asks what a node's dispatcher remembers. `None` when it did not answer, or has no dispatcher.
    fn dispatch_report(
        &self,
        node: NodeId,
        query: DispatchQuery,
    ) -> impl Future<Output = Option<DispatchReport>> + Send;

    /// Has the cluster changed. Returns once the change is committed; moves and hand-overs follow.
    fn change_cluster(&self, change: ClusterChange) -> impl Future<Output = Result<(), ClusterError>> + Send;

    /// Shows a warning on a trigger's status, or takes it away.
    fn warn(&self, trigger: TriggerId, warning: Option<Warning>)
    -> impl Future<Output = Result<(), ApplyError>> + Send;

    /// Tells controllers what a gateway knows of revisions, in the place of what it told before. They forget it after
    /// [`crate::serving::TOLD_FOR`], and when the registry has another leader: a gateway tells it again before that.
    fn tell_revisions(&self, told: RevisionsTold) -> impl Future<Output = Result<(), ApplyError>> + Send;

    /// What a gateway that shares its work is to do. Waits until that is something else than the version `seen`, for
    /// [`crate::serving::SCALES_WAIT`] at most.
    fn scales(&self, gateway: &str, seen: u64) -> impl Future<Output = Result<Scales, ApplyError>> + Send;
}
