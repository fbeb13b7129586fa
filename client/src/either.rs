//! A node in this process, or one that is not.

use std::sync::Arc;

use futures_util::future::Either as EitherFuture;
use pelton_event::Event;
use pelton_resource::{Resource, ResourceKey};
use tokio::sync::watch;

use crate::serving::{RevisionsTold, Scales};
use crate::{
    ApplyError, BrokerName, ClusterChange, ClusterError, ClusterView, DeadLetter, DispatchQuery, DispatchReport,
    EventBatch, GroupCursors, GroupId, Hops, NodeClient, NodeReport, Offset, OperationError, Position, ProducerKey,
    Progress, ReadError, Resources, Selection, Serving, Session, Start, TriggerId, Warning, Write,
};

/// One of two kinds of node.
#[derive(Debug, Clone)]
pub(crate) enum Either<L, R> {
    Local(L),
    Remote(R),
}

macro_rules! either {
    ($self:ident, $node:ident => $call:expr) => {
        match $self {
            Self::Local($node) => $call,
            Self::Remote($node) => $call,
        }
    };
}

impl<L: NodeClient, R: NodeClient> NodeClient for Either<L, R> {
    type Append = EitherFuture<L::Append, R::Append>;

    fn append(
        &self,
        group: GroupId,
        broker: &BrokerName,
        events: &[Event],
        hops: Hops,
        key: Option<ProducerKey>,
    ) -> Self::Append {
        match self {
            Self::Local(node) => EitherFuture::Left(node.append(group, broker, events, hops, key)),
            Self::Remote(node) => EitherFuture::Right(node.append(group, broker, events, hops, key)),
        }
    }

    fn committed(&self, group: GroupId) -> Result<watch::Receiver<Offset>, ReadError> {
        either!(self, node => node.committed(group))
    }

    async fn read(&self, group: GroupId, from: Offset, max_bytes: usize) -> Result<Vec<EventBatch>, ReadError> {
        either!(self, node => node.read(group, from, max_bytes).await)
    }

    async fn first(&self, group: GroupId) -> Result<Offset, ReadError> {
        either!(self, node => node.first(group).await)
    }

    async fn cursors(&self, group: GroupId) -> Result<GroupCursors, ReadError> {
        either!(self, node => node.cursors(group).await)
    }

    fn cursor_changes(&self, group: GroupId) -> Result<watch::Receiver<u64>, ReadError> {
        either!(self, node => node.cursor_changes(group))
    }

    fn serve(&self, group: GroupId) -> Result<watch::Receiver<Serving>, ReadError> {
        either!(self, node => node.serve(group))
    }

    async fn progress(&self, group: GroupId, session: Session, progress: Progress) -> Result<(), OperationError> {
        either!(self, node => node.progress(group, session, progress).await)
    }

    async fn rewind(&self, group: GroupId, trigger: TriggerId, to: Start) -> Result<(), OperationError> {
        either!(self, node => node.rewind(group, trigger, to).await)
    }

    async fn dead_letters(
        &self,
        group: GroupId,
        trigger: Option<TriggerId>,
        after: Option<(TriggerId, Position)>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, ReadError> {
        either!(self, node => node.dead_letters(group, trigger, after, limit).await)
    }

    async fn redrive(&self, group: GroupId, selection: Selection) -> Result<u64, OperationError> {
        either!(self, node => node.redrive(group, selection).await)
    }

    async fn discard(&self, group: GroupId, selection: Selection) -> Result<u64, OperationError> {
        either!(self, node => node.discard(group, selection).await)
    }

    fn resources(&self) -> watch::Receiver<Arc<Resources>> {
        either!(self, node => node.resources())
    }

    async fn apply(&self, resources: Vec<Resource>) -> Result<Vec<Resource>, ApplyError> {
        either!(self, node => node.apply(resources).await)
    }

    async fn delete(&self, key: ResourceKey) -> Result<(), ApplyError> {
        either!(self, node => node.delete(key).await)
    }

    async fn write(&self, write: Write) -> Result<u64, ApplyError> {
        either!(self, node => node.write(write).await)
    }

    async fn warn(&self, trigger: TriggerId, warning: Option<Warning>) -> Result<(), ApplyError> {
        either!(self, node => node.warn(trigger, warning).await)
    }

    async fn tell_revisions(&self, told: RevisionsTold) -> Result<(), ApplyError> {
        either!(self, node => node.tell_revisions(told).await)
    }

    async fn scales(&self, gateway: &str, seen: u64) -> Result<Scales, ApplyError> {
        either!(self, node => node.scales(gateway, seen).await)
    }

    fn cluster(&self) -> watch::Receiver<Arc<ClusterView>> {
        either!(self, node => node.cluster())
    }

    async fn report(&self) -> Option<NodeReport> {
        either!(self, node => node.report().await)
    }

    async fn dispatch_report(&self, query: DispatchQuery) -> Option<DispatchReport> {
        either!(self, node => node.dispatch_report(query).await)
    }

    async fn change_cluster(&self, change: ClusterChange) -> Result<(), ClusterError> {
        either!(self, node => node.change_cluster(change).await)
    }
}
