//! The registry as this node has it: read here, written by its leader only.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use pelton_client::{NodeId, OperationError};
use pelton_consensus::{Command, Group, Outcome, ProposeError, ReadIndexError, Space};
use pelton_log::{LogIndex, Term};
use tokio::sync::{oneshot, watch};

use crate::cluster::{self, ClusterCommand, ClusterState};
use crate::formation::Registrar;
use crate::ids;
use crate::registry::{RegistryCommand, RegistryState};

/// The group that holds resources and the cluster.
pub(crate) struct Registry {
    pub(crate) raft: Group<RegistryState>,
    pub(crate) state: Arc<RegistryState>,
    /// Held from reading the resources until what follows from them is applied.
    pub(crate) writing: tokio::sync::Mutex<()>,
    /// As [`crate::groups::DataGroup::settled`].
    pub(crate) settled: Mutex<Option<(u64, BTreeSet<NodeId>)>>,
    was_current: AtomicBool,
}

impl Registry {
    pub(crate) fn new(raft: Group<RegistryState>, state: Arc<RegistryState>) -> Self {
        Self {
            raft,
            state,
            writing: tokio::sync::Mutex::new(()),
            settled: Mutex::default(),
            was_current: AtomicBool::new(false),
        }
    }

    /// Whether the state here was current once in this process. Until then it is what the disk had of it, or nothing, and no
    /// Broker's settings may be read from it.
    pub(crate) fn was_current(&self) -> bool {
        let was = self.was_current.load(Ordering::Relaxed) || self.raft.is_current();
        if was {
            self.was_current.store(true, Ordering::Relaxed);
        }
        was
    }

    /// Who leads it, as far as this node knows.
    pub(crate) fn leader(&self) -> Option<NodeId> {
        self.raft.leadership().borrow().leader.map(ids::node)
    }

    /// Makes sure that this node leads, and that what it has applied is the newest there is. Returns the term: what is
    /// decided from the state holds only as long as it does ([`commit_in`](Self::commit_in)).
    pub(crate) async fn confirm(&self) -> Result<Term, OperationError> {
        // Read before: a leadership that began later is not the one whose state was confirmed.
        let term = self.raft.leadership().borrow().term;
        match self.raft.read_index().await {
            Ok(_) => Ok(term),
            Err(ReadIndexError::NotLeader { leader }) => Err(not_leader(leader)),
            Err(ReadIndexError::Unavailable | ReadIndexError::Ended { .. }) => Err(OperationError::Unavailable),
        }
    }

    /// Commits a command and returns the log index at which it is applied. The caller holds `writing`.
    pub(crate) async fn commit(&self, command: &RegistryCommand) -> Result<u64, OperationError> {
        let (outcome, answer) = committed();
        self.raft.propose(self.encoded(command), outcome).await;
        self.applied(answer).await
    }

    /// As [`commit`](Self::commit), refused when this node does not lead in `term`: for what was decided from the state
    /// there, which a leader in between may have changed.
    pub(crate) async fn commit_in(&self, term: Term, command: &RegistryCommand) -> Result<u64, OperationError> {
        let (outcome, answer) = committed();
        self.raft.propose_in(term, self.encoded(command), outcome).await;
        self.applied(answer).await
    }

    fn encoded(&self, command: &RegistryCommand) -> Command {
        encoded(command, self.state.current_cluster().protocol())
    }

    async fn applied(&self, answer: Answer) -> Result<u64, OperationError> {
        let index = match answer.await {
            Ok(Ok(index)) => index,
            Ok(Err(error)) => return Err(refused(error)),
            Err(_) => return Err(OperationError::OutcomeUnknown),
        };
        let mut applied = self.raft.applied();
        applied.wait_for(|applied| *applied >= index).await.map_err(|_| OperationError::OutcomeUnknown)?;
        Ok(index.0)
    }

    /// Commits a change of the cluster and returns what came of it.
    pub(crate) async fn change_cluster(&self, command: ClusterCommand) -> Result<cluster::Outcome, OperationError> {
        let _one_at_a_time = self.writing.lock().await;
        let index = self.commit(&RegistryCommand::Cluster(Box::new(command))).await?;
        self.state.outcome(index).ok_or(OperationError::OutcomeUnknown)
    }
}

impl Registrar for Registry {
    fn cluster(&self) -> watch::Receiver<Arc<ClusterState>> {
        self.state.cluster()
    }

    fn commit(&self, command: ClusterCommand) -> BoxFuture<'_, Result<cluster::Outcome, OperationError>> {
        Box::pin(self.change_cluster(command))
    }
}

/// As the one who asked for a change reads it.
pub(crate) fn refused(error: ProposeError) -> OperationError {
    match error {
        ProposeError::NotLeader { leader } => not_leader(leader),
        // No replica has it: whoever leads now may be asked.
        ProposeError::Discarded => OperationError::NotLeader { leader: None },
        ProposeError::StorageFull => OperationError::Unavailable,
        ProposeError::TooLarge => OperationError::TooLarge,
        ProposeError::OutcomeUnknown => OperationError::OutcomeUnknown,
    }
}

fn not_leader(leader: Option<pelton_consensus::NodeId>) -> OperationError {
    OperationError::NotLeader { leader: leader.map(ids::node) }
}

/// As an entry of the registry's log,
/// of a cluster that is at this version of the protocol.
pub(crate) fn encoded(command: &RegistryCommand, protocol: u32) -> Command {
    let (kind, body) = command.encode(protocol);
    Command { kind, event_count: 0, body, space: Space::Reserve }
}

type Answer = oneshot::Receiver<Result<LogIndex, ProposeError>>;

fn committed() -> (Arc<Committed>, Answer) {
    let (told, answer) = oneshot::channel();
    (Arc::new(Committed(Mutex::new(Some(told)))), answer)
}

/// Tells one waiter where its command was committed.
struct Committed(Mutex<Option<oneshot::Sender<Result<LogIndex, ProposeError>>>>);

impl Committed {
    fn tell(&self, fate: Result<LogIndex, ProposeError>) {
        if let Some(told) = self.0.lock().take() {
            // The receiver is gone only when the caller gave up waiting.
            let _ = told.send(fate);
        }
    }
}

impl Outcome for Committed {
    fn committed(&self, index: LogIndex) {
        self.tell(Ok(index));
    }

    fn failed(&self, error: ProposeError) {
        self.tell(Err(error));
    }
}
