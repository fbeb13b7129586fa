//! A node's way into the cluster, up to the point where it has an identity.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pelton_client::{NodeId, NodeInfo};
use pelton_env::Chance;
use pelton_log::Identity;
use pelton_peer::{PeerAddress, Pool};
use tokio::time::Instant;

use super::calls::{JoinAnswer, hello_all, join};
use super::decide::{Answers, Applicant, CannotEnter, Step, check_known, decide, distinct};
use super::hello::Presence;
use crate::identity::{self, Directory};
use crate::node::OpenError;

/// Between two rounds of hellos.
const ROUND_PAUSE: Duration = Duration::from_millis(500);

/// How often a node says what it waits for.
const SAY_EVERY: Duration = Duration::from_secs(5);

/// What a node needs to come in.
pub(crate) struct Formation {
    pub(crate) data: PathBuf,
    /// Served to the others already.
    pub(crate) presence: Arc<Presence>,
    /// The address at which the others reach this node.
    pub(crate) own: PeerAddress,
    /// The addresses of the nodes that the cluster begins with, or of some that it has. Empty: a cluster of one.
    pub(crate) join: Vec<PeerAddress>,
    pub(crate) info: NodeInfo,
    pub(crate) pool: Arc<Pool>,
    pub(crate) chance: Arc<dyn Chance>,
}

/// A node with an identity. It is in its data directory, and in the node's presence.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Started {
    pub(crate) identity: Identity,
    /// For [`crate::cluster::ClusterCommand::Form`], which the node with id 1 proposes whenever it leads a registry
    /// that is not formed.
    pub(crate) initial_nodes: u32,
    /// Where the other nodes are, as far as it was told, until the registry says it.
    pub(crate) members: BTreeMap<NodeId, PeerAddress>,
}

impl Formation {
    /// Goes on as what the data directory says, or comes in and writes it there. Waits for as long as it takes: until
    /// the other nodes of the list are there, or the cluster has a leader. May be dropped and called again at any time.
    ///
    /// # Errors
    /// The data directory cannot be used, or the cluster does not want the node: see [`CannotEnter`].
    pub(crate) async fn start(&self) -> Result<Started, OpenError> {
        match identity::examine(&self.data)? {
            Directory::Known { identity, alone } => self.go_on(identity, alone).await,
            Directory::New => self.come_in().await,
        }
    }

    async fn go_on(&self, identity: Identity, alone: bool) -> Result<Started, OpenError> {
        // Nodes that start together hear who the others are.
        self.presence.set_identity(identity);
        let answers = self.ask().await;
        check_known(&self.applicant(), identity, &answers)?;
        let members = self.named(answers);
        // What one node held by itself is there from the beginning, whoever joins it.
        let initial_nodes = if alone { 1 } else { self.listed() };
        Ok(Started { identity, initial_nodes, members })
    }

    async fn come_in(&self) -> Result<Started, OpenError> {
        if let Some(first) = self.join.first() {
            self.presence.set_forms(first);
        }
        let mut said: Option<Instant> = None;
        loop {
            let why = match decide(&self.applicant(), &self.ask().await)? {
                Step::Form { initial_nodes } => {
                    let identity = identity::found(&*self.chance);
                    return self.take(identity, initial_nodes, BTreeMap::new());
                }
                Step::Join { at } => match join(&self.pool, &self.presence, &self.info, at).await {
                    JoinAnswer::Joined { identity, mut members } => {
                        members.remove(&NodeId(identity.node));
                        return self.take(identity, self.listed(), members);
                    }
                    JoinAnswer::Removed(text) | JoinAnswer::Refused(text) => {
                        return Err(CannotEnter::Refused { text }.into());
                    }
                    JoinAnswer::Later(why) => format!("the cluster does not let the node in yet; {why}"),
                },
                Step::Wait(why) => why,
            };
            if said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
                tracing::info!("{why}");
                said = Some(Instant::now());
            }
            tokio::time::sleep(ROUND_PAUSE).await;
        }
    }

    /// Writes the identity before anything is done under it.
    fn take(
        &self,
        identity: Identity,
        initial_nodes: u32,
        members: BTreeMap<NodeId, PeerAddress>,
    ) -> Result<Started, OpenError> {
        identity::take(&self.data, identity)?;
        self.presence.set_identity(identity);
        Ok(Started { identity, initial_nodes, members })
    }

    /// Where the other nodes of the list are, as far as they answer.
    pub(crate) async fn members(&self) -> BTreeMap<NodeId, PeerAddress> {
        self.named(self.ask().await)
    }

    fn named(&self, answers: Answers) -> BTreeMap<NodeId, PeerAddress> {
        let own = self.presence.identity().map(|identity| identity.node);
        let members = answers.into_iter().filter_map(|(address, answer)| Some((answer.ok()?.node()?, address)));
        members.filter(|(node, _)| Some(node.0) != own).collect()
    }

    async fn ask(&self) -> Answers {
        hello_all(&self.pool, &distinct(&self.join), &self.presence).await
    }

    fn applicant(&self) -> Applicant<'_> {
        let (nonce, versions) = (self.presence.nonce(), self.presence.versions());
        Applicant { own: &self.own, nonce, versions, join: &self.join }
    }

    fn listed(&self) -> u32 {
        u32::try_from(distinct(&self.join).len()).unwrap_or(u32::MAX).max(1)
    }
}
