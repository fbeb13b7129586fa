//! What one node of the cluster answers.

use std::future::Future;
use std::sync::Arc;

use pelton_event::Event;
use pelton_resource::{Resource, ResourceKey};
use tokio::sync::watch;

use crate::serving::{RevisionsTold, Scales};
use crate::{
    AppendError, Appended, ApplyError, BrokerName, ClusterChange, ClusterError, ClusterView, DeadLetter, DispatchQuery,
    DispatchReport, EventBatch, GroupCursors, GroupId, Hops, NodeReport, Offset, OperationError, Position, ProducerKey,
    Progress, ReadError, Resources, Selection, Serving, Session, Start, TriggerId, Warning, Write,
};

/// One node: what it leads, it does; what it does not, it refuses with `NotLeader`, which says who does. In process it
/// is a function call, between machines it is gRPC; [`crate::Client`] for a whole cluster stands on these.
///
/// Whatever names a group is answered by the group's leader only, after it made sure that it still leads.
pub trait NodeClient: Clone + Send + Sync + 'static {
    /// The answer to come of an [`append`](Self::append).
    type Append: Future<Output = Result<Appended, AppendError>> + Send + 'static;

    /// Appends `events`, all of one broker, to `group` as one unit. With a key, a second try of the same call is not
    /// written again: it gets the first one's place.
    ///
    /// Encoding happens before the future is polled, so nothing is borrowed by it.
    fn append(
        &self,
        group: GroupId,
        broker: &BrokerName,
        events: &[Event],
        hops: Hops,
        key: Option<ProducerKey>,
    ) -> Self::Append;

    /// The end (exclusive) of what is committed in a group, and how it moves on, for as long as this node leads it.
    ///
    /// # Errors
    /// [`ReadError::UnknownGroup`], [`ReadError::NotLeader`].
    fn committed(&self, group: GroupId) -> Result<watch::Receiver<Offset>, ReadError>;

    /// As [`crate::Client::read`].
    fn read(
        &self,
        group: GroupId,
        from: Offset,
        max_bytes: usize,
    ) -> impl Future<Output = Result<Vec<EventBatch>, ReadError>> + Send;

    /// As [`crate::Client::first`].
    fn first(&self, group: GroupId) -> impl Future<Output = Result<Offset, ReadError>> + Send;

    /// As [`crate::Client::cursors`].
    fn cursors(&self, group: GroupId) -> impl Future<Output = Result<GroupCursors, ReadError>> + Send;

    /// As [`crate::Client::cursor_changes`].
    ///
    /// # Errors
    /// [`ReadError::UnknownGroup`], [`ReadError::NotLeader`].
    fn cursor_changes(&self, group: GroupId) -> Result<watch::Receiver<u64>, ReadError>;

    /// The right to deliver a group's events, for as long as the receiver holds [`Serving::Granted`]. It may come later,
    /// when another dispatcher has it. It is given back by dropping the receiver.
    ///
    /// # Errors
    /// [`ReadError::UnknownGroup`], [`ReadError::NotLeader`].
    fn serve(&self, group: GroupId) -> Result<watch::Receiver<Serving>, ReadError>;

    /// As [`crate::Client::progress`].
    fn progress(
        &self,
        group: GroupId,
        session: Session,
        progress: Progress,
    ) -> impl Future<Output = Result<(), OperationError>> + Send;

    /// Puts a trigger's cursor in one group somewhere else.
    fn rewind(
        &self,
        group: GroupId,
        trigger: TriggerId,
        to: Start,
    ) -> impl Future<Output = Result<(), OperationError>> + Send;

    /// Kept dead letters of one group, as [`crate::Client::dead_letters`].
    fn dead_letters(
        &self,
        group: GroupId,
        trigger: Option<TriggerId>,
        after: Option<(TriggerId, Position)>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<DeadLetter>, ReadError>> + Send;

    /// Sends dead letters of one group again. Returns how many.
    fn redrive(&self, group: GroupId, selection: Selection)
    -> impl Future<Output = Result<u64, OperationError>> + Send;

    /// Drops dead letters of one group. Returns how many.
    fn discard(&self, group: GroupId, selection: Selection)
    -> impl Future<Output = Result<u64, OperationError>> + Send;

    /// The resources as this node has applied them, and how they change.
    fn resources(&self) -> watch::Receiver<Arc<Resources>>;

    /// As [`crate::Client::apply`]; only the registry's leader does it.
    fn apply(&self, resources: Vec<Resource>) -> impl Future<Output = Result<Vec<Resource>, ApplyError>> + Send;

    /// Deletes a resource; only the registry's leader does it.
    fn delete(&self, key: ResourceKey) -> impl Future<Output = Result<(), ApplyError>> + Send;

    /// Changes one resource if it still is what the change was worked out from. Returns the log index of the change, once
    /// it is applied at the leader.
    fn write(&self, write: Write) -> impl Future<Output = Result<u64, ApplyError>> + Send;

    /// As [`crate::Client::warn`]; only the registry's leader does it.
    fn warn(&self, trigger: TriggerId, warning: Option<Warning>)
    -> impl Future<Output = Result<(), ApplyError>> + Send;

    /// As [`crate::Client::tell_revisions`]; only the registry's leader takes it.
    fn tell_revisions(&self, told: RevisionsTold) -> impl Future<Output = Result<(), ApplyError>> + Send;

    /// As [`crate::Client::scales`]; only the registry's leader knows.
    fn scales(&self, gateway: &str, seen: u64) -> impl Future<Output = Result<Scales, ApplyError>> + Send;

    /// The cluster as this node knows it, and how it changes.
    fn cluster(&self) -> watch::Receiver<Arc<ClusterView>>;

    /// The node's own report. `None` when it did not answer.
    fn report(&self) -> impl Future<Output = Option<NodeReport>> + Send;

    /// What the node's dispatcher remembers. `None` when it did not answer, or has no dispatcher.
    fn dispatch_report(&self, query: DispatchQuery) -> impl Future<Output = Option<DispatchReport>> + Send;

    /// Has the cluster changed; only the registry's leader does it.
    fn change_cluster(&self, change: ClusterChange) -> impl Future<Output = Result<(), ClusterError>> + Send;
}
