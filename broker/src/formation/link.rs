//! How a node reaches the registry's leader, wherever that is, with what it has to say of itself and of its groups.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use pelton_client::{GroupId, NodeId, NodeInfo, OperationError};
use pelton_peer::{PeerAddress, Pool};

use super::calls::{JoinAnswer, SettleAnswer, join, settle};
use super::hello::Presence;
use super::service::{Registrar, leader_of};
use crate::cluster::{ClusterCommand, Refusal};

/// Between two attempts to reach the registry's leader.
const PAUSE: Duration = Duration::from_millis(500);

/// A node's way to the registry's leader: itself, or another node.
pub(crate) struct RegistryLink {
    pub(crate) registrar: Arc<dyn Registrar>,
    pub(crate) presence: Arc<Presence>,
    pub(crate) pool: Arc<Pool>,
    /// Asked when nobody else is known.
    pub(crate) listed: Vec<PeerAddress>,
}

/// Why a node could not tell where it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AnnounceError {
    /// It is no node of the cluster any more, and never will be again.
    #[error("this node is not wanted in its cluster any more: {0}")]
    Removed(String),
    /// What it says of itself does not fit.
    #[error("the cluster does not take what this node says of itself: {0}")]
    Refused(String),
}

/// Why a group's voters were not recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SettleError {
    /// Asking again as it is changes nothing.
    #[error("the registry refused it: {0}")]
    Refused(String),
    /// Nobody said whether it is.
    #[error("the registry did not answer: {0}")]
    NoAnswer(String),
}

impl RegistryLink {
    /// Tells what the node is called and where it is reached now. Tries until it is done.
    ///
    /// # Errors
    /// See [`AnnounceError`].
    pub(crate) async fn announce(&self, info: &NodeInfo) -> Result<(), AnnounceError> {
        let identity = self.presence.identity().expect("a node is announced once it has an identity");
        loop {
            let (node, info, nonce) = (NodeId(identity.node), info.clone(), self.presence.nonce());
            let speaks = self.presence.speaks().into();
            let command = ClusterCommand::Update { node, info: info.clone(), nonce, speaks };
            let error = match self.registrar.commit(command).await {
                Ok(Ok(_)) => return Ok(()),
                // Its first node forms it, soon.
                Ok(Err(Refusal::NotFormed)) => OperationError::Unavailable,
                Ok(Err(refusal @ Refusal::Removed { .. })) => return Err(AnnounceError::Removed(refusal.to_string())),
                Ok(Err(refusal)) => return Err(AnnounceError::Refused(refusal.to_string())),
                Err(error) => error,
            };
            match join(&self.pool, &self.presence, &info, self.others(&error)).await {
                JoinAnswer::Joined { .. } => return Ok(()),
                JoinAnswer::Removed(text) => return Err(AnnounceError::Removed(text)),
                JoinAnswer::Refused(text) => return Err(AnnounceError::Refused(text)),
                JoinAnswer::Later(why) => tracing::debug!(%why, "the node could not be announced yet"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Records the voters of a group that this node leads in `term`.
    ///
    /// # Errors
    /// See [`SettleError`]. Whoever leads the group tries again for as long as it does.
    pub(crate) async fn settle(&self, group: GroupId, term: u64, voters: &BTreeSet<NodeId>) -> Result<(), SettleError> {
        let command = ClusterCommand::Settle { group, term, voters: voters.clone() };
        let error = match self.registrar.commit(command).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(refusal)) => return Err(SettleError::Refused(refusal.to_string())),
            Err(error) => error,
        };
        let Some(identity) = self.presence.identity() else {
            return Err(SettleError::NoAnswer("the node has no identity yet".to_owned()));
        };
        match settle(&self.pool, identity, group, term, voters, self.others(&error)).await {
            SettleAnswer::Settled => Ok(()),
            SettleAnswer::Refused(text) => Err(SettleError::Refused(text)),
            SettleAnswer::Later(why) => Err(SettleError::NoAnswer(why)),
        }
    }

    /// Whom to ask: the leader that this node's registry knows, then every other node, then the list.
    fn others(&self, error: &OperationError) -> Vec<PeerAddress> {
        let this = self.presence.identity().map(|identity| NodeId(identity.node));
        let cluster = self.registrar.cluster();
        let state = cluster.borrow().clone();
        let members =
            state.members().filter(|(node, _)| Some(*node) != this).map(|(_, info)| info.peer_address.clone());
        let known = leader_of(self.registrar.as_ref(), error).into_iter().chain(members);
        known.filter_map(|address| address.parse().ok()).chain(self.listed.iter().cloned()).collect()
    }
}
