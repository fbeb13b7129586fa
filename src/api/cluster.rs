//! Routes for the cluster: how it is, and how it is to be.

mod summary;

use std::collections::BTreeMap;
use std::time::Duration;

use http::StatusCode;
use pelton_client::{Client, ClusterChange, ClusterError, ClusterView, GroupId, NodeId, NodePhase, NodeReport};
use pelton_resource::Time;
use tokio::task::JoinSet;

use super::Api;
use super::cluster_view::ChangeBody;
use super::problem::Problem;
use super::router::{Outcome, ok};
use super::view::Count;

/// How long a node may take to report. All are asked at once, so this is how long the answer takes when one is down.
const REPORT_WITHIN: Duration = Duration::from_secs(2);

/// How the cluster is, as each node that answers says.
pub async fn show<C: Client>(api: &Api<C>) -> Outcome {
    let view = api.client.cluster().borrow().clone();
    let reports = reports(&api.client, &view).await;
    let now = Time::from_unix_millis(api.clock.now().0);
    ok(&summary::summarise(&view, &reports, now))
}

/// Has the cluster changed.
pub async fn change<C: Client>(api: &Api<C>, body: &ChangeBody) -> Outcome {
    let view = api.client.cluster().borrow().clone();
    api.client.change_cluster(resolve(&view, body)?).await?;
    ok(&Count { count: 1 })
}

async fn reports<C: Client>(client: &C, view: &ClusterView) -> BTreeMap<NodeId, NodeReport> {
    let mut asked = JoinSet::new();
    for (&id, _) in view.nodes.iter().filter(|(_, node)| node.phase != NodePhase::Removed) {
        let client = client.clone();
        asked.spawn(async move { (id, tokio::time::timeout(REPORT_WITHIN, client.report(id)).await.ok().flatten()) });
    }
    let mut reports = BTreeMap::new();
    while let Some(told) = asked.join_next().await {
        match told {
            Ok((id, report)) => reports.extend(report.map(|report| (id, report))),
            Err(error) => tracing::error!(%error, "a node could not be asked for its report"),
        }
    }
    reports
}

/// Names become identities. A name that was given again means the node that has it now.
fn resolve(view: &ClusterView, body: &ChangeBody) -> Result<ClusterChange, Problem> {
    let node = |name: &str| {
        let mut members = view.nodes.iter().filter(|(_, node)| node.phase != NodePhase::Removed);
        let found = members.find(|(_, node)| node.name == name).map(|(id, _)| *id);
        found.ok_or_else(|| Problem::not_found(format!("there is no node {name:?} in the cluster")))
    };
    let group = |number: u32| {
        let id = GroupId(number);
        let known = view.groups.contains_key(&id);
        if known { Ok(id) } else { Err(Problem::not_found(format!("there is no log group {number}"))) }
    };
    Ok(match body {
        ChangeBody::Drain { node: name } => ClusterChange::Drain(node(name)?),
        ChangeBody::Undrain { node: name } => ClusterChange::Undrain(node(name)?),
        ChangeBody::Remove { node: name, lost } => ClusterChange::Remove { node: node(name)?, lost: *lost },
        ChangeBody::Move { group: number, from, to } => {
            ClusterChange::Move { group: group(*number)?, from: node(from)?, to: node(to)? }
        }
        ChangeBody::Lead { group: number, node: name } => {
            ClusterChange::Lead { group: group(*number)?, node: node(name)? }
        }
    })
}

impl From<ClusterError> for Problem {
    fn from(error: ClusterError) -> Self {
        let status = match &error {
            ClusterError::Refused(_) => StatusCode::CONFLICT,
            ClusterError::NotLeader { .. } | ClusterError::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            ClusterError::OutcomeUnknown => StatusCode::GATEWAY_TIMEOUT,
        };
        Self::new(status, error.to_string())
    }
}

#[cfg(test)]
mod tests;
