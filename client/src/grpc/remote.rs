//! A node elsewhere.

use std::sync::Arc;

use pelton_env::UnixMillis;
use pelton_event::Event;
use pelton_peer::limits::MAX_MESSAGE_BYTES;
use pelton_peer::{Channels, Versions};
use pelton_proto::broker::v1 as wire;
use pelton_resource::{Resource, ResourceKey};
use tokio::sync::watch;

use super::appends::{Appends, RemoteAppend};
use super::calls::{Caller, Lane};
use super::parts;
use super::told::told_to_wire;
use super::watches::Watches;
use crate::serving::{RevisionsTold, Scales};
use crate::{
    ApplyError, BrokerName, ClusterChange, ClusterError, ClusterView, DeadLetter, DispatchQuery, DispatchReport,
    EventBatch, GroupCursors, GroupId, Hops, NodeClient, NodeId, NodeReport, Offset, OperationError, Position,
    ProducerKey, Progress, ReadError, Resources, Selection, Serving, Session, Start, TriggerId, Warning, Write,
};

/// Most bytes of an answer that is not a read: cursors of a group, dead letters, resources.
const MAX_ANSWER_BYTES: usize = 256 * 1024 * 1024;

/// A node that is reached over gRPC. Clones are handles of the same one; its streams end with the last.
///
/// What only a leader knows is watched from afar: [`committed`](NodeClient::committed),
/// [`cursor_changes`](NodeClient::cursor_changes) and [`serve`](NodeClient::serve) give a receiver at once, and when the
/// node turns out not to lead, that ends. Its tasks run where it was made.
#[derive(Debug, Clone)]
pub struct RemoteNode(Arc<Remote>);

#[derive(Debug)]
struct Remote {
    caller: Caller,
    appends: Appends,
    watches: Watches,
}

impl RemoteNode {
    /// The node at the end of `channels`, which is in `cluster` and, when that is known, is `node`: another one turns the
    /// calls away. This process speaks these versions of the protocol. Must be called within a tokio runtime, and used as long as that one lasts.
    #[must_use]
    pub fn new(channels: Arc<Channels>, cluster: u128, node: Option<NodeId>, speaks: Versions) -> Self {
        let caller = Caller::new(channels, cluster, node, speaks);
        let (appends, watches) = (Appends::new(caller.clone()), Watches::new(caller.clone()));
        Self(Arc::new(Remote { caller, appends, watches }))
    }

    fn caller(&self) -> &Caller {
        &self.0.caller
    }

    async fn on_letters(&self, group: GroupId, selection: Selection, is_redrive: bool) -> Result<u64, OperationError> {
        let request = wire::SelectionRequest { group: group.0, selection: parts::selection_to_wire(selection) };
        let mut stub = self.caller().stub(Lane::Small);
        if is_redrive {
            Caller::number(stub.redrive(request)).await
        } else {
            Caller::number(stub.discard(request)).await
        }
    }
}

/// An answer that cannot be read is none.
fn unreadable<E>(_: E) -> ReadError {
    ReadError::Unavailable
}

fn resources_too_large() -> ApplyError {
    let errors = "the resources are too large to be stored together: apply them in parts".to_owned();
    ApplyError::Invalid { kind: "List".to_owned(), name: "(all)".to_owned(), errors }
}

impl NodeClient for RemoteNode {
    type Append = RemoteAppend;

    fn append(
        &self,
        group: GroupId,
        broker: &BrokerName,
        events: &[Event],
        hops: Hops,
        key: Option<ProducerKey>,
    ) -> RemoteAppend {
        self.0.appends.append(group, broker, events, hops, key)
    }

    fn committed(&self, group: GroupId) -> Result<watch::Receiver<Offset>, ReadError> {
        Ok(self.0.watches.committed(group))
    }

    async fn read(&self, group: GroupId, from: Offset, max_bytes: usize) -> Result<Vec<EventBatch>, ReadError> {
        let request = wire::ReadRequest { group: group.0, from_offset: from.0, max_bytes: max_bytes as u64 };
        let mut stub = self.caller().stub(Lane::Reads);
        let batches = Caller::batches(stub.read(request)).await?;
        let batch = |batch: wire::Batch| EventBatch {
            group,
            base: Offset(batch.base_offset),
            count: batch.event_count,
            sealed: UnixMillis(batch.sealed_unix_millis),
            body: batch.body,
        };
        Ok(batches.into_iter().map(batch).collect())
    }

    async fn first(&self, group: GroupId) -> Result<Offset, ReadError> {
        let mut stub = self.caller().stub(Lane::Small);
        Caller::number(stub.first(wire::GroupRequest { group: group.0 })).await.map(Offset)
    }

    async fn cursors(&self, group: GroupId) -> Result<GroupCursors, ReadError> {
        let mut stub = self.caller().stub(Lane::Reads);
        let request = wire::GroupRequest { group: group.0 };
        let parts = Caller::parts::<ReadError>(stub.cursors(request), MAX_ANSWER_BYTES).await?;
        parts::cursors_from_wire(parts).map_err(unreadable)
    }

    fn cursor_changes(&self, group: GroupId) -> Result<watch::Receiver<u64>, ReadError> {
        Ok(self.0.watches.cursor_changes(group))
    }

    fn serve(&self, group: GroupId) -> Result<watch::Receiver<Serving>, ReadError> {
        Ok(self.0.watches.session(group))
    }

    async fn progress(&self, group: GroupId, session: Session, progress: Progress) -> Result<(), OperationError> {
        let progress = parts::progress_to_wire(&progress);
        if progress.len() + 1_024 > MAX_MESSAGE_BYTES {
            return Err(OperationError::TooLarge);
        }
        let session = Some(wire::Session { term: session.term, grant: session.grant });
        let mut stub = self.caller().stub(Lane::Small);
        Caller::number(stub.progress(wire::ProgressRequest { group: group.0, session, progress })).await.map(|_| ())
    }

    async fn rewind(&self, group: GroupId, trigger: TriggerId, to: Start) -> Result<(), OperationError> {
        use wire::rewind_request::To;
        let to = match to {
            Start::Latest => To::Latest(true),
            Start::Earliest => To::Earliest(true),
            Start::Offset(offset) => To::Offset(offset.0),
            Start::Time(time) => To::UnixMillis(time.0),
        };
        let request = wire::RewindRequest { group: group.0, trigger: parts::trigger_to_wire(trigger), to: Some(to) };
        let mut stub = self.caller().stub(Lane::Small);
        Caller::number(stub.rewind(request)).await.map(|_| ())
    }

    async fn dead_letters(
        &self,
        group: GroupId,
        trigger: Option<TriggerId>,
        after: Option<(TriggerId, Position)>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, ReadError> {
        let after = after.map(|(trigger, position)| wire::dead_letters_request::After {
            trigger: parts::trigger_to_wire(trigger),
            group: position.group.0,
            offset: position.offset.0,
        });
        let trigger = trigger.map(parts::trigger_to_wire).unwrap_or_default();
        let request = wire::DeadLettersRequest { group: group.0, trigger, after, limit: limit as u64 };
        let mut stub = self.caller().stub(Lane::Reads);
        let parts = Caller::parts::<ReadError>(stub.dead_letters(request), MAX_ANSWER_BYTES).await?;
        parts::letters_from_wire(parts, group).map_err(unreadable)
    }

    async fn redrive(&self, group: GroupId, selection: Selection) -> Result<u64, OperationError> {
        self.on_letters(group, selection, true).await
    }

    async fn discard(&self, group: GroupId, selection: Selection) -> Result<u64, OperationError> {
        self.on_letters(group, selection, false).await
    }

    fn resources(&self) -> watch::Receiver<Arc<Resources>> {
        self.0.watches.resources()
    }

    async fn apply(&self, resources: Vec<Resource>) -> Result<Vec<Resource>, ApplyError> {
        let resources: Vec<_> = resources.iter().map(parts::resource_to_wire).collect();
        if resources.iter().map(|resource| resource.len() + 16).sum::<usize>() > MAX_MESSAGE_BYTES {
            return Err(resources_too_large());
        }
        let mut stub = self.caller().stub(Lane::Reads);
        let call = stub.apply(wire::ApplyRequest { resources });
        let stored = Caller::parts::<ApplyError>(call, MAX_ANSWER_BYTES).await?;
        let stored: Result<_, _> = stored.iter().map(parts::resource_from_wire).collect();
        // It is stored; as what cannot be read.
        stored.map_err(|_| ApplyError::OutcomeUnknown)
    }

    async fn delete(&self, key: ResourceKey) -> Result<(), ApplyError> {
        let mut stub = self.caller().stub(Lane::Small);
        Caller::number(stub.delete(parts::key_to_wire(&key))).await.map(|_| ())
    }

    async fn write(&self, write: Write) -> Result<u64, ApplyError> {
        let request = parts::write_to_wire(&write);
        if prost::Message::encoded_len(&request) > MAX_MESSAGE_BYTES {
            return Err(resources_too_large());
        }
        let mut stub = self.caller().stub(Lane::Reads);
        Caller::number(stub.write(request)).await
    }

    async fn warn(&self, trigger: TriggerId, warning: Option<Warning>) -> Result<(), ApplyError> {
        let warning = warning.map(|Warning { reason, message }| wire::Warning { reason, message });
        let mut stub = self.caller().stub(Lane::Small);
        let request = wire::WarnRequest { trigger: parts::trigger_to_wire(trigger), warning };
        Caller::number(stub.warn(request)).await.map(|_| ())
    }

    async fn tell_revisions(&self, told: RevisionsTold) -> Result<(), ApplyError> {
        let mut stub = self.caller().stub(Lane::Small);
        Caller::number(stub.tell_revisions(told_to_wire(told))).await.map(|_| ())
    }

    async fn scales(&self, gateway: &str, seen: u64) -> Result<Scales, ApplyError> {
        let mut stub = self.caller().stub(Lane::Small);
        let call = stub.scales(wire::ScalesRequest { gateway: gateway.to_owned(), seen });
        let parts = Caller::parts::<ApplyError>(call, MAX_ANSWER_BYTES).await?;
        serde_json::from_slice(&parts.concat()).map_err(|_| ApplyError::OutcomeUnknown)
    }

    fn cluster(&self) -> watch::Receiver<Arc<ClusterView>> {
        self.0.watches.cluster()
    }

    async fn report(&self) -> Option<NodeReport> {
        let report = self.caller().report().await?;
        serde_json::from_slice(&report).ok()
    }

    async fn dispatch_report(&self, query: DispatchQuery) -> Option<DispatchReport> {
        let query = serde_json::to_vec(&query).expect("a query has no map at all").into();
        let mut stub = self.caller().stub(Lane::Reads);
        let call = stub.dispatch_report(wire::DispatchReportRequest { query });
        let parts = Caller::parts::<ReadError>(call, MAX_ANSWER_BYTES).await.ok()?;
        serde_json::from_slice(&parts.concat()).ok()
    }

    async fn change_cluster(&self, change: ClusterChange) -> Result<(), ClusterError> {
        let change = serde_json::to_vec(&change).expect("a change has no map at all").into();
        let mut stub = self.caller().stub(Lane::Small);
        Caller::number(stub.change_cluster(wire::ChangeClusterRequest { change })).await.map(|_| ())
    }
}
