//! One node goes on alone: for a cluster most of whose nodes are gone for ever.
//!
//! On the data directory of a node that does not run. [`Recovery::open`] looks and changes nothing, [`Recovery::plan`]
//! says what would become of what, [`Recovery::perform`] does it:
//! 1. `identity.json` names the new cluster that the directory is to become. No node starts in it from now on.
//! 2. In the log this node becomes the only voter of each group that it has a replica of, the registry last, whose log
//!    then also says what has become of the other nodes and groups.
//! 3. `identity.json` says that the directory is the new cluster's.
//!
//! What is cut off in between is done again from the beginning, to the same end. The cluster is a new one so that a
//! node of the old one that comes back after all is a stranger: two clusters of one name would both acknowledge.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pelton_client::{GroupId, NodeId};
use pelton_consensus::{Command, Survivor, SurvivorError};
use pelton_env::{Chance, Clock};
use pelton_log::{Log, RealDisk, verify};
use pelton_peer::Versions;

use crate::cluster::{ClusterCommand, ClusterState, REGISTRY};
use crate::identity::{self, Recoverable};
use crate::ids;
use crate::node::{OpenError, log_options};
use crate::protocol;
use crate::registrar::encoded;
use crate::registry::{RegistryCommand, RegistryState};

/// A data directory that was looked at. Nobody else can open it meanwhile.
pub struct Recovery {
    data: PathBuf,
    log: Log,
    this: NodeId,
    /// The version of the protocol that the cluster is at.
    protocol: u32,
    registry: Survivor,
    /// What this node goes on with.
    held: BTreeMap<GroupId, Survivor>,
    plan: RecoveryPlan,
}

/// What a recovery would make of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryPlan {
    /// The cluster that the directory belongs to.
    pub cluster: u128,
    /// The node that is left.
    pub node: (NodeId, String),
    /// Nodes that are taken out for ever.
    pub lost_nodes: Vec<(NodeId, String)>,
    /// The registry first, then the groups that hold events.
    pub groups: Vec<(GroupId, GroupFate)>,
    /// Whether it was begun before, and cut off.
    pub goes_on: bool,
}

/// What a recovery would make of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupFate {
    /// It goes on with what this node's replica holds.
    GoesOn {
        /// Its last entry, and the term of that.
        last: (u64, u64),
        /// The last entry that is known here to be committed.
        committed: u64,
        /// Entries after that one, which become committed.
        uncertain_entries: u64,
        /// Events in them.
        uncertain_events: u64,
        /// The voters as far as the replica knows.
        voters: BTreeSet<NodeId>,
        /// The replica had no vote: it was only being made.
        follows: bool,
    },
    /// It never held anything, and is begun here.
    NotBegun,
    /// No replica of it is here: all of its events and dead letters are lost, and it begins anew, empty.
    Lost {
        /// The nodes that have it.
        holders: BTreeSet<NodeId>,
    },
}

/// Why a directory cannot become a cluster of its own. Unless said otherwise nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The directory or its log does not open: it is in use, damaged, or no node's.
    #[error(transparent)]
    Open(Box<OpenError>),
    /// Records of the log cannot be read.
    #[error(
        "the log in {path} is damaged in {places} places (`pelton log verify` names them), so it is not made the whole of \
         a cluster: recover another node, or repair this one first",
        path = path.display()
    )]
    Damaged {
        /// The log.
        path: PathBuf,
        /// How many findings.
        places: usize,
    },
    /// The directory was never part of a cluster.
    #[error("the registry in this directory knows of no cluster: the node had only begun to join one")]
    NotFormed,
    /// The node has no vote on what the cluster is.
    #[error(
        "node {node} does not vote in the registry (its voters are {}), so what it has of it may be old: recover one \
         that does",
        list(voters)
    )]
    NotAVoter {
        /// This node.
        node: NodeId,
        /// Those that do.
        voters: BTreeSet<NodeId>,
    },
    /// The node was taken out.
    #[error("node {0} was removed from its cluster: there is nothing that it may go on with")]
    Removed(NodeId),
    /// Nobody is missing.
    #[error("this node is a cluster of one already: there is nothing to recover, start it")]
    NothingLost,
    /// A group's part of the log cannot be used. While a recovery is performed: it is cut off, and has to be run again.
    #[error(transparent)]
    Group(#[from] SurvivorError),
}

impl From<OpenError> for RecoveryError {
    fn from(error: OpenError) -> Self {
        Self::Open(Box::new(error))
    }
}

fn list(nodes: &BTreeSet<NodeId>) -> String {
    nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Recovery {
    /// Looks at the data directory of a node that does not run: all of its log is read.
    ///
    /// # Errors
    /// See [`RecoveryError`].
    pub fn open(
        data: &Path,
        clock: Arc<dyn Clock>,
        chance: Arc<dyn Chance>,
        versions: Versions,
    ) -> Result<Self, RecoveryError> {
        let path = data.join("log");
        let failed = |why: String| OpenError::Directory { path: path.clone(), why };
        // Before anything is made: a mistyped path is no directory.
        let disk = RealDisk::existing(&path).map_err(|error| failed(format!("there is no log: {error}")))?;
        let Recoverable { identity, log: log_identity, recovering } = identity::recoverable(data)?;
        let unopened = |source| OpenError::Log { path: path.clone(), source };
        let report = verify(&disk).map_err(unopened)?;
        let places = report.damaged.len();
        if let Some(refusal) = report.refusal {
            return Err(unopened(refusal).into());
        }
        if places > 0 {
            return Err(RecoveryError::Damaged { path, places });
        }
        let (log, _) = Log::open(Arc::new(disk), clock, chance, log_options(log_identity)).map_err(unopened)?;
        let this = NodeId(identity.node);
        match look(&log, this, versions) {
            Ok((registry, state, held)) => {
                let plan = plan(&state, this, &registry, &held, identity.cluster, recovering.is_some());
                let is_alone = |survivor: &Survivor| survivor.is_alone(ids::raft_node(this));
                if !plan.goes_on && plan.lost_nodes.is_empty() && is_alone(&registry) && held.values().all(is_alone) {
                    log.shutdown();
                    return Err(RecoveryError::NothingLost);
                }
                Ok(Self { data: data.to_owned(), log, this, protocol: state.protocol(), registry, held, plan })
            }
            Err(error) => {
                log.shutdown();
                Err(error)
            }
        }
    }

    /// What [`perform`](Self::perform) would do.
    #[must_use]
    pub fn plan(&self) -> &RecoveryPlan {
        &self.plan
    }

    /// Does it. Returns the identity of the new cluster once everything is durable.
    ///
    /// # Errors
    /// The log or `identity.json` could not be written. What was begun is finished by running it again.
    pub async fn perform(self, chance: &dyn Chance) -> Result<u128, RecoveryError> {
        let cluster = identity::begin_recovery(&self.data, chance)?;
        let done = self.take_over().await;
        self.log.shutdown();
        done?;
        identity::finish_recovery(&self.data)?;
        Ok(cluster)
    }

    async fn take_over(&self) -> Result<(), RecoveryError> {
        let (node, mut held) = (ids::raft_node(self.this), BTreeMap::new());
        for (group, survivor) in &self.held {
            let term = survivor.take_over(&self.log, node, Vec::new()).await?;
            held.insert(*group, term.0);
        }
        held.insert(REGISTRY, self.registry.term.0 + 1);
        let command = ClusterCommand::Survive { node: self.this, held };
        let command = encoded(&RegistryCommand::Cluster(Box::new(command)), self.protocol);
        self.registry.take_over(&self.log, node, vec![command]).await?;
        Ok(())
    }
}

type Looked = (Survivor, ClusterState, BTreeMap<GroupId, Survivor>);

fn look(log: &Log, this: NodeId, versions: Versions) -> Result<Looked, RecoveryError> {
    let node = ids::raft_node(this);
    let registry = Survivor::of(log, ids::log_group(REGISTRY))?.ok_or(RecoveryError::NotFormed)?;
    if !registry.voters.contains(&node) {
        return Err(RecoveryError::NotAVoter { node: this, voters: ids::nodes(&registry.voters) });
    }
    let state = RegistryState::open(None, 0, 0, versions);
    let readable = |command: &Command| {
        RegistryCommand::decode(command.kind, &command.body, versions.max).map(drop).map_err(|error| error.to_string())
    };
    registry.replay(log, &state, readable)?;
    let state = (*state.current_cluster()).clone();
    if !state.is_formed() {
        return Err(RecoveryError::NotFormed);
    }
    protocol::check(versions, &state).map_err(OpenError::from)?;
    if state.member(this).is_none() {
        return Err(RecoveryError::Removed(this));
    }
    let mut held = BTreeMap::new();
    for (group, _) in state.held_by(this) {
        let is_member = |survivor: &Survivor| survivor.voters.contains(&node) || survivor.learners.contains(&node);
        if let Some(survivor) = Survivor::of(log, ids::log_group(group))?.filter(is_member) {
            held.insert(group, survivor);
        }
    }
    Ok((registry, state, held))
}

fn plan(
    state: &ClusterState,
    this: NodeId,
    registry: &Survivor,
    held: &BTreeMap<GroupId, Survivor>,
    cluster: u128,
    goes_on: bool,
) -> RecoveryPlan {
    let name = |node: NodeId| state.nodes.get(&node).map(|record| record.info.name.clone()).unwrap_or_default();
    let others = state.members().filter(|(node, _)| *node != this).map(|(node, _)| (node, name(node)));
    let groups = state.groups.iter().map(|(group, record)| {
        let fate = match held.get(group) {
            Some(survivor) => on_with(survivor, this),
            None if record.settled.is_empty() => GroupFate::NotBegun,
            None => GroupFate::Lost { holders: record.settled.clone() },
        };
        (*group, fate)
    });
    RecoveryPlan {
        cluster,
        node: (this, name(this)),
        lost_nodes: others.collect(),
        groups: [(REGISTRY, on_with(registry, this))].into_iter().chain(groups).collect(),
        goes_on,
    }
}

fn on_with(survivor: &Survivor, this: NodeId) -> GroupFate {
    let (term, index) = survivor.last;
    GroupFate::GoesOn {
        last: (term.0, index.0),
        committed: survivor.committed.0,
        uncertain_entries: survivor.uncertain_entries,
        uncertain_events: survivor.uncertain_events,
        voters: ids::nodes(&survivor.voters),
        follows: !survivor.voters.contains(&ids::raft_node(this)),
    }
}

#[cfg(test)]
mod tests;
