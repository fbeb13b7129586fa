//! From openraft's answer to the one who waits.
//!
//! What openraft (alpha.37) does with a proposal's responder, read in its `core/raft_core.rs`:
//!
//! - It answers `ForwardToLeader` only before it gives the proposal a place (`write_entries`,
//!   `ensure_writable_leader_handler`): nothing was written, nothing will be. That is [`ProposeError::NotLeader`].
//! - Once the entry has its place, the responder stays in the core, also when this node stops leading. `on_commit` comes
//!   when the node learns that the entry is committed, whoever leads then (`apply_to_state_machine`).
//! - When the entry is cut from this node's log (`run_truncate_log`), or a snapshot covers it (`run_purge_log`), the
//!   answer is `LogEntryDiscarded`. Whether it is committed elsewhere is open; [`Discarded`] finds out.
//! - When the core ends, the responder is dropped: the outcome is unknown.

use std::any::Any;
use std::marker::PhantomData;
use std::sync::Arc;

use openraft::OptionalSend;
use openraft::errors::ClientWriteError;
use openraft::raft::ClientWriteResult;
use openraft::raft::responder::Responder;
use pelton_log::LogIndex;

use crate::leadership::other_leader;
use crate::proposal::{Discarded, Ticket};
use crate::types::{LogId, Types};
use crate::{NodeId, Outcome, ProposeError};

/// Hands a proposal's fate to its [`Outcome`], at commit and not at apply.
///
/// Both calls come from the core's own tasks.
pub(crate) struct AckResponder<T> {
    outcome: Option<Arc<dyn Outcome>>,
    node: NodeId,
    ticket: Arc<Ticket>,
    discarded: Arc<Discarded>,
    answer: PhantomData<fn(T)>,
}

impl<T> AckResponder<T> {
    pub(crate) fn new(outcome: Arc<dyn Outcome>, node: NodeId, ticket: Arc<Ticket>, discarded: Arc<Discarded>) -> Self {
        Self { outcome: Some(outcome), node, ticket, discarded, answer: PhantomData }
    }
}

impl<T> Drop for AckResponder<T> {
    fn drop(&mut self) {
        if let Some(outcome) = self.outcome.take() {
            #[cfg(feature = "bugs")]
            if pelton_env::bugs::Bug::RefusedThoughWritten.is_on() {
                return outcome.failed(ProposeError::NotLeader { leader: None });
            }
            outcome.failed(ProposeError::OutcomeUnknown);
        }
    }
}

impl<T: OptionalSend + 'static> Responder<Types, T> for AckResponder<T> {
    fn on_commit(&mut self, log_id: LogId) {
        if let Some(outcome) = self.outcome.take() {
            outcome.committed(LogIndex(log_id.index));
        }
    }

    fn on_complete(mut self, answer: T) {
        // Only a proposal that was never committed still has its waiter here.
        let Some(outcome) = self.outcome.take() else { return };
        #[cfg(feature = "bugs")]
        if pelton_env::bugs::Bug::RefusedThoughWritten.is_on() {
            return outcome.failed(ProposeError::NotLeader { leader: None });
        }
        let answer = (&answer as &dyn Any).downcast_ref::<ClientWriteResult<Types>>();
        match (answer, self.ticket.place()) {
            (Some(Ok(written)), _) => outcome.committed(LogIndex(written.log_id.index)),
            (Some(Err(ClientWriteError::ForwardToLeader(forward))), None) => {
                outcome.failed(ProposeError::NotLeader { leader: other_leader(forward.leader_id, self.node) });
            }
            // Whatever the core says of an entry that was in the log: "not leader" would be a promise.
            (Some(Err(_)), Some(place)) => self.discarded.wait(place, outcome),
            (Some(Err(_)) | None, _) => outcome.failed(ProposeError::OutcomeUnknown),
        }
    }
}
