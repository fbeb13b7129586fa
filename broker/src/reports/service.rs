//! Reports between nodes.

use std::sync::Arc;

use bytes::Bytes;
use pelton_client::{GroupId, NodeId};
use pelton_log::Identity;
use pelton_peer::{Channels, Versions};
use pelton_proto::cluster::v1::reports_client::ReportsClient;
use pelton_proto::cluster::v1::reports_server::Reports;
use pelton_proto::cluster::v1::{self as proto};
use tonic::{Request, Response, Status};

use super::GroupReport;
use crate::node::Shared;

/// Most groups in one message: far above what a node leads.
const MAX_GROUPS: usize = 4_096;

/// The receiving end. Only the registry's leader takes reports.
#[derive(Clone)]
pub(crate) struct ReportService(pub(crate) Shared);

#[tonic::async_trait]
impl Reports for ReportService {
    async fn tell(&self, request: Request<proto::TellRequest>) -> Result<Response<proto::TellResponse>, Status> {
        let shared = &self.0;
        let cluster = shared.registry.state.current_cluster();
        shared.options.versions.since(cluster.protocol()).check(request.metadata())?;
        let request = request.into_inner();
        if request.cluster[..] != shared.identity.cluster.to_be_bytes() || request.to != shared.this.0 {
            return Err(Status::failed_precondition("meant for another node or cluster"));
        }
        if cluster.member(NodeId(request.from)).is_none() {
            return Err(Status::failed_precondition("the sender is no member"));
        }
        if request.groups.len() > MAX_GROUPS {
            return Err(Status::invalid_argument("more than a node can lead"));
        }
        if !shared.registry.raft.serves() {
            return Err(Status::not_found("this node does not lead the registry"));
        }
        shared.reports.take(
            request
                .groups
                .into_iter()
                .map(|report| GroupReport { group: GroupId(report.group), started: report.started }),
        );
        Ok(Response::new(proto::TellResponse {}))
    }
}

/// Tells the node `to`.
pub(super) async fn tell(
    channels: &Arc<Channels>,
    identity: Identity,
    speaks: Versions,
    to: NodeId,
    reports: Vec<GroupReport>,
) -> Result<(), String> {
    let groups =
        reports.into_iter().map(|report| proto::GroupReport { group: report.group.0, started: report.started });
    let mut request = Request::new(proto::TellRequest {
        cluster: Bytes::copy_from_slice(&identity.cluster.to_be_bytes()),
        from: identity.node,
        to: to.0,
        groups: groups.collect(),
    });
    speaks.tell(request.metadata_mut());
    let told = ReportsClient::new(channels.control()).tell(request).await;
    told.map(drop).map_err(|status| status.message().to_owned())
}
