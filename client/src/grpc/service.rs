//! The server over a node of this process.

use bytes::Bytes;
use futures_util::stream::{BoxStream, iter};
use pelton_peer::Versions;
use pelton_peer::limits::MAX_MESSAGE_BYTES;
use pelton_proto::broker::v1 as wire;
use serde::Serialize;
use tonic::{Request, Response, Status, Streaming};
use wire::node_server::{Node, NodeServer};
use wire::watch_request::Subject;
use wire::watch_response::News;

use super::identity::check;
use super::refusal::Wire;
use super::told::told_from_wire;
use super::{MAX_READ_BYTES, PART_BYTES, appending, parts, telling};
use crate::codec::Undecodable;
use crate::serving::Scales;
use crate::{
    ApplyError, EventBatch, GroupId, MAX_DEAD_LETTERS, NodeClient, NodeId, Offset, OperationError, Position, ReadError,
    Session, Start, Warning,
};

/// Answers other nodes for a node of this process.
#[derive(Debug, Clone)]
pub struct NodeService<N> {
    node: N,
    cluster: u128,
    this: NodeId,
    speaks: Versions,
}

impl<N: NodeClient> NodeService<N> {
    /// The service over `node`, which is `this` of `cluster` and speaks these versions of the protocol, as far as the
    /// cluster has not left them behind.
    #[must_use]
    pub fn new(node: N, cluster: u128, this: NodeId, speaks: Versions) -> Self {
        Self { node, cluster, this, speaks }
    }

    /// As a route of the listener for nodes.
    #[must_use]
    pub fn into_route(self) -> NodeServer<Self> {
        NodeServer::new(self).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// What is asked, if it is this node that is meant, by one who speaks as it does.
    fn admitted<T>(&self, request: Request<T>) -> Result<T, Status> {
        let speaks = self.speaks.since(self.node.cluster().borrow().protocol);
        check(request.metadata(), self.cluster, self.this, speaks)?;
        Ok(request.into_inner())
    }
}

type Parts = BoxStream<'static, Result<wire::BytesResponse, Status>>;

/// JSON whose parts in a row are all of it.
fn json_in_pieces<T: Serialize>(value: &T) -> Vec<Bytes> {
    let json = Bytes::from(serde_json::to_vec(value).expect("its keys are text or numbers"));
    let starts = (0..json.len()).step_by(PART_BYTES);
    starts.map(|at| json.slice(at..json.len().min(at + PART_BYTES))).collect()
}

fn unreadable(why: Undecodable) -> Status {
    Status::invalid_argument(why.to_string())
}

fn number<E: Wire>(result: Result<u64, E>) -> Response<wire::NumberResponse> {
    Response::new(match result {
        Ok(number) => wire::NumberResponse { number, refusal: None },
        Err(error) => wire::NumberResponse { number: 0, refusal: Some(error.to_wire()) },
    })
}

fn in_parts<E: Wire>(result: Result<Vec<bytes::Bytes>, E>) -> Response<Parts> {
    let responses = match result {
        Ok(all) => {
            let groups = parts::grouped(all, bytes::Bytes::len);
            groups.into_iter().map(|parts| wire::BytesResponse { parts, refusal: None }).collect()
        }
        Err(error) => vec![wire::BytesResponse { parts: Vec::new(), refusal: Some(error.to_wire()) }],
    };
    Response::new(Box::pin(iter(responses.into_iter().map(Ok))))
}

fn batch(batch: EventBatch) -> wire::Batch {
    wire::Batch {
        base_offset: batch.base.0,
        event_count: batch.count,
        sealed_unix_millis: batch.sealed.0,
        body: batch.body,
    }
}

#[tonic::async_trait]
impl<N: NodeClient> Node for NodeService<N> {
    type AppendStream = BoxStream<'static, Result<wire::AppendResponse, Status>>;

    async fn append(
        &self,
        request: Request<Streaming<wire::AppendRequest>>,
    ) -> Result<Response<Self::AppendStream>, Status> {
        Ok(Response::new(Box::pin(appending::answers(self.node.clone(), self.admitted(request)?))))
    }

    type ReadStream = BoxStream<'static, Result<wire::ReadResponse, Status>>;

    async fn read(&self, request: Request<wire::ReadRequest>) -> Result<Response<Self::ReadStream>, Status> {
        let wire::ReadRequest { group, from_offset, max_bytes } = self.admitted(request)?;
        let max_bytes = usize::try_from(max_bytes).unwrap_or(usize::MAX).min(MAX_READ_BYTES);
        let responses = match self.node.read(GroupId(group), Offset(from_offset), max_bytes).await {
            Ok(batches) => {
                let groups = parts::grouped(batches.into_iter().map(batch), |batch| batch.body.len());
                groups.into_iter().map(|batches| wire::ReadResponse { batches, refusal: None }).collect()
            }
            Err(error) => vec![wire::ReadResponse { batches: Vec::new(), refusal: Some(error.to_wire()) }],
        };
        Ok(Response::new(Box::pin(iter(responses.into_iter().map(Ok)))))
    }

    type WatchStream = telling::Told;

    async fn watch(&self, request: Request<wire::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let subject = self.admitted(request)?.subject.ok_or_else(|| Status::invalid_argument("there is no subject"))?;
        let told = match subject {
            Subject::Cluster(_) => telling::newest(self.node.cluster(), |view| {
                News::Cluster(serde_json::to_vec(view.as_ref()).expect("its keys are numbers").into())
            }),
            Subject::Resources(_) => telling::resources(self.node.resources()),
            Subject::Committed(group) => match self.node.committed(GroupId(group)) {
                Ok(committed) => telling::newest(committed, |end| News::Number(end.0)),
                Err(error) => telling::refused(&error),
            },
            Subject::CursorChanges(group) => match self.node.cursor_changes(GroupId(group)) {
                Ok(changes) => telling::newest(changes, |index| News::Number(*index)),
                Err(error) => telling::refused(&error),
            },
            Subject::Session(group) => match self.node.serve(GroupId(group)) {
                Ok(serving) => telling::newest(serving, telling::serving),
                Err(error) => telling::refused(&error),
            },
        };
        Ok(Response::new(told))
    }

    async fn first(&self, request: Request<wire::GroupRequest>) -> Result<Response<wire::NumberResponse>, Status> {
        let first = self.node.first(GroupId(self.admitted(request)?.group)).await;
        Ok(number(first.map(|offset| offset.0)))
    }

    type CursorsStream = Parts;

    async fn cursors(&self, request: Request<wire::GroupRequest>) -> Result<Response<Parts>, Status> {
        let cursors = self.node.cursors(GroupId(self.admitted(request)?.group)).await;
        Ok(in_parts(cursors.map(|cursors| parts::cursors_to_wire(&cursors))))
    }

    async fn progress(
        &self,
        request: Request<wire::ProgressRequest>,
    ) -> Result<Response<wire::NumberResponse>, Status> {
        let wire::ProgressRequest { group, session, progress } = self.admitted(request)?;
        let group = GroupId(group);
        let session = session.ok_or_else(|| Status::invalid_argument("there is no session"))?;
        let session = Session { term: session.term, grant: session.grant };
        let progress = parts::progress_from_wire(progress, group).map_err(unreadable)?;
        Ok(number(self.node.progress(group, session, progress).await.map(|()| 0)))
    }

    async fn rewind(&self, request: Request<wire::RewindRequest>) -> Result<Response<wire::NumberResponse>, Status> {
        use wire::rewind_request::To;
        let wire::RewindRequest { group, trigger, to } = self.admitted(request)?;
        let trigger = parts::trigger_from_wire(&trigger).map_err(unreadable)?;
        let to = match to.ok_or_else(|| Status::invalid_argument("it does not say where to"))? {
            To::Latest(_) => Start::Latest,
            To::Earliest(_) => Start::Earliest,
            To::Offset(offset) => Start::Offset(Offset(offset)),
            To::UnixMillis(millis) => Start::Time(pelton_env::UnixMillis(millis)),
        };
        Ok(number(self.node.rewind(GroupId(group), trigger, to).await.map(|()| 0)))
    }

    type DeadLettersStream = Parts;

    async fn dead_letters(&self, request: Request<wire::DeadLettersRequest>) -> Result<Response<Parts>, Status> {
        let wire::DeadLettersRequest { group, trigger, after, limit } = self.admitted(request)?;
        let trigger = match trigger.is_empty() {
            true => None,
            false => Some(parts::trigger_from_wire(&trigger).map_err(unreadable)?),
        };
        let after = match after {
            Some(after) => {
                let position = Position { group: GroupId(after.group), offset: Offset(after.offset) };
                Some((parts::trigger_from_wire(&after.trigger).map_err(unreadable)?, position))
            }
            None => None,
        };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(MAX_DEAD_LETTERS);
        let letters = self.node.dead_letters(GroupId(group), trigger, after, limit).await;
        Ok(in_parts(letters.map(|letters| parts::letters_to_wire(&letters))))
    }

    async fn redrive(
        &self,
        request: Request<wire::SelectionRequest>,
    ) -> Result<Response<wire::NumberResponse>, Status> {
        let wire::SelectionRequest { group, selection } = self.admitted(request)?;
        let selection = parts::selection_from_wire(selection, GroupId(group)).map_err(unreadable)?;
        Ok(number::<OperationError>(self.node.redrive(GroupId(group), selection).await))
    }

    async fn discard(
        &self,
        request: Request<wire::SelectionRequest>,
    ) -> Result<Response<wire::NumberResponse>, Status> {
        let wire::SelectionRequest { group, selection } = self.admitted(request)?;
        let selection = parts::selection_from_wire(selection, GroupId(group)).map_err(unreadable)?;
        Ok(number::<OperationError>(self.node.discard(GroupId(group), selection).await))
    }

    type ApplyStream = Parts;

    async fn apply(&self, request: Request<wire::ApplyRequest>) -> Result<Response<Parts>, Status> {
        let resources = self.admitted(request)?.resources;
        let resources: Result<_, _> = resources.iter().map(parts::resource_from_wire).collect();
        let stored = self.node.apply(resources.map_err(unreadable)?).await;
        Ok(in_parts(stored.map(|stored| stored.iter().map(parts::resource_to_wire).collect())))
    }

    async fn delete(&self, request: Request<wire::ResourceKey>) -> Result<Response<wire::NumberResponse>, Status> {
        let key = parts::key_from_wire(self.admitted(request)?).map_err(unreadable)?;
        Ok(number(self.node.delete(key).await.map(|()| 0)))
    }

    async fn write(&self, request: Request<wire::WriteRequest>) -> Result<Response<wire::NumberResponse>, Status> {
        let write = parts::write_from_wire(self.admitted(request)?).map_err(unreadable)?;
        Ok(number::<ApplyError>(self.node.write(write).await))
    }

    async fn warn(&self, request: Request<wire::WarnRequest>) -> Result<Response<wire::NumberResponse>, Status> {
        let wire::WarnRequest { trigger, warning } = self.admitted(request)?;
        let trigger = parts::trigger_from_wire(&trigger).map_err(unreadable)?;
        let warning = warning.map(|wire::Warning { reason, message }| Warning { reason, message });
        Ok(number(self.node.warn(trigger, warning).await.map(|()| 0)))
    }

    async fn tell_revisions(
        &self,
        request: Request<wire::TellRevisionsRequest>,
    ) -> Result<Response<wire::NumberResponse>, Status> {
        let told = told_from_wire(self.admitted(request)?);
        Ok(number(self.node.tell_revisions(told).await.map(|()| 0)))
    }

    type ScalesStream = Parts;

    async fn scales(&self, request: Request<wire::ScalesRequest>) -> Result<Response<Parts>, Status> {
        let wire::ScalesRequest { gateway, seen } = self.admitted(request)?;
        let scales = self.node.scales(&gateway, seen).await;
        Ok(in_parts(scales.map(|scales: Scales| json_in_pieces(&scales))))
    }

    type DispatchReportStream = Parts;

    async fn dispatch_report(&self, request: Request<wire::DispatchReportRequest>) -> Result<Response<Parts>, Status> {
        let query = serde_json::from_slice(&self.admitted(request)?.query);
        let query = query.map_err(|_| Status::invalid_argument("a question that is not known here"))?;
        let Some(report) = self.node.dispatch_report(query).await else {
            return Err(Status::unavailable("there is no dispatcher"));
        };
        Ok(in_parts(Ok::<_, ReadError>(json_in_pieces(&report))))
    }

    async fn change_cluster(
        &self,
        request: Request<wire::ChangeClusterRequest>,
    ) -> Result<Response<wire::NumberResponse>, Status> {
        let change = serde_json::from_slice(&self.admitted(request)?.change);
        let change = change.map_err(|_| Status::invalid_argument("a change that is not known here"))?;
        Ok(number(self.node.change_cluster(change).await.map(|()| 0)))
    }

    async fn report(&self, request: Request<wire::ReportRequest>) -> Result<Response<wire::BytesResponse>, Status> {
        let wire::ReportRequest {} = self.admitted(request)?;
        let Some(report) = self.node.report().await else { return Err(Status::unavailable("there is no report")) };
        let report = serde_json::to_vec(&report).expect("its keys are numbers").into();
        Ok(Response::new(wire::BytesResponse { parts: vec![report], refusal: None }))
    }
}
