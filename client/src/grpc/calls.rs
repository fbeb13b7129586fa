//! One question, one answer.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use pelton_peer::limits::MAX_MESSAGE_BYTES;
use pelton_peer::{Channels, Versions};
use pelton_proto::broker::v1 as wire;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Response, Status, Streaming};
use wire::node_client::NodeClient as Stub;

use super::CALL_TIMEOUT;
use super::identity::Addressed;
use super::refusal::Wire;
use crate::NodeId;

pub(super) type NodeStub = Stub<InterceptedService<Channel, Addressed>>;

/// Which of a node's connections carries what. What is small must not wait behind what is large.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lane {
    Small,
    Appends,
    Reads,
}

/// Asks a node.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    channels: Arc<Channels>,
    /// Where the node's handle was made, and has its tasks.
    pub(super) runtime: Handle,
    addressed: Addressed,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// The node was not reached, or turned the question away: nothing was done.
    NotDone,
    /// Nobody knows.
    Unknown,
}

impl NoAnswer {
    pub(super) fn of(status: &Status) -> Self {
        let was_not_sent = {
            let mut source = std::error::Error::source(status);
            let mut found = false;
            while let Some(error) = source {
                found |= error.is::<tonic::ConnectError>();
                source = error.source();
            }
            found
        };
        // What the node itself said has no cause here; what became of the connection has.
        let is_said = std::error::Error::source(status).is_none();
        match status.code() {
            Code::Unavailable if is_said => Self::NotDone,
            Code::FailedPrecondition | Code::InvalidArgument | Code::Unimplemented => {
                tracing::warn!(%status, "a node turned a request away");
                Self::NotDone
            }
            _ if was_not_sent => Self::NotDone,
            _ => Self::Unknown,
        }
    }

    pub(super) fn error<E: Wire>(self) -> E {
        match self {
            Self::NotDone => E::unavailable(),
            Self::Unknown => E::unknown(),
        }
    }
}

impl Caller {
    pub(super) fn new(channels: Arc<Channels>, cluster: u128, node: Option<NodeId>, speaks: Versions) -> Self {
        Self { channels, runtime: Handle::current(), addressed: Addressed::new(cluster, node, speaks) }
    }

    pub(super) fn stub(&self, lane: Lane) -> NodeStub {
        let channel = match lane {
            Lane::Small => self.channels.control(),
            Lane::Appends => self.channels.data(0),
            Lane::Reads => self.channels.data(1),
        };
        Stub::with_interceptor(channel, self.addressed.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// The answer within [`CALL_TIMEOUT`].
    async fn within<T>(call: impl Future<Output = Result<T, Status>>) -> Result<T, NoAnswer> {
        match timeout(CALL_TIMEOUT, call).await {
            Ok(answer) => answer.map_err(|status| NoAnswer::of(&status)),
            Err(_) => Err(NoAnswer::Unknown),
        }
    }

    /// A number, or a refusal.
    pub(super) async fn number<E: Wire>(
        call: impl Future<Output = Result<Response<wire::NumberResponse>, Status>>,
    ) -> Result<u64, E> {
        let answer = Self::within(call).await.map_err(NoAnswer::error)?.into_inner();
        match answer.refusal {
            Some(refusal) => Err(E::from_wire(refusal)),
            None => Ok(answer.number),
        }
    }

    /// All parts of an answer, or a refusal.
    pub(super) async fn parts<E: Wire>(
        call: impl Future<Output = Result<Response<Streaming<wire::BytesResponse>>, Status>>,
        max_bytes: usize,
    ) -> Result<Vec<Bytes>, E> {
        let all = async {
            let mut stream = call.await?.into_inner();
            let (mut parts, mut bytes) = (Vec::new(), 0);
            while let Some(response) = stream.message().await? {
                if let Some(refusal) = response.refusal {
                    return Ok(Err(E::from_wire(refusal)));
                }
                bytes += response.parts.iter().map(Bytes::len).sum::<usize>();
                if bytes > max_bytes {
                    return Err(Status::out_of_range("the answer has more bytes than there can be"));
                }
                parts.extend(response.parts);
            }
            Ok(Ok(parts))
        };
        Self::within(all).await.map_err(NoAnswer::error)?
    }

    /// The batches of a read, or a refusal.
    pub(super) async fn batches<E: Wire>(
        call: impl Future<Output = Result<Response<Streaming<wire::ReadResponse>>, Status>>,
    ) -> Result<Vec<wire::Batch>, E> {
        let all = async {
            let mut stream = call.await?.into_inner();
            let (mut batches, mut bytes) = (Vec::new(), 0);
            while let Some(response) = stream.message().await? {
                if let Some(refusal) = response.refusal {
                    return Ok(Err(E::from_wire(refusal)));
                }
                bytes += response.batches.iter().map(|batch| batch.body.len()).sum::<usize>();
                if bytes > super::MAX_READ_BYTES + MAX_MESSAGE_BYTES {
                    return Err(Status::out_of_range("the answer has more bytes than a read may bring"));
                }
                batches.extend(response.batches);
            }
            Ok(Ok(batches))
        };
        Self::within(all).await.map_err(NoAnswer::error)?
    }

    /// The node's report, if it answers.
    pub(super) async fn report(&self) -> Option<Bytes> {
        let mut stub = self.stub(Lane::Small);
        let answer = Self::within(stub.report(wire::ReportRequest {})).await.ok()?.into_inner();
        answer.parts.into_iter().next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_status_says_about_what_was_done() {
        let broken = || Status::from_error(Box::new(std::io::Error::from(std::io::ErrorKind::ConnectionReset)));
        let lost = || Status::from_error(Box::new(tonic::TimeoutExpired(())));
        for (status, want) in [
            (Status::failed_precondition("another node"), NoAnswer::NotDone),
            (Status::invalid_argument("garbage"), NoAnswer::NotDone),
            (Status::unimplemented("older"), NoAnswer::NotDone),
            (Status::unavailable("only starting"), NoAnswer::NotDone),
            (Status::internal("a bug"), NoAnswer::Unknown),
            (Status::cancelled("gone"), NoAnswer::Unknown),
            (Status::out_of_range("too large"), NoAnswer::Unknown),
            (broken(), NoAnswer::Unknown),
            (lost(), NoAnswer::Unknown),
        ] {
            assert_eq!(NoAnswer::of(&status), want, "{status:?}");
        }
    }
}
