//! From openraft's answer to the one who waits.

use std::any::Any;
use std::marker::PhantomData;
use std::sync::Arc;

use openraft::OptionalSend;
use openraft::errors::ClientWriteError;
use openraft::raft::ClientWriteResult;
use openraft::raft::responder::Responder;
use pelton_log::LogIndex;

use crate::types::{LogId, Types};
use crate::{Outcome, ProposeError};

/// Hands a proposal's fate to its [`Outcome`], at commit and not at apply.
///
/// Both calls come from the core's own tasks. A proposal whose responder is dropped without a call, as when the core
/// ends, has an unknown outcome; that is told, too.
pub(crate) struct AckResponder<T> {
    outcome: Option<Arc<dyn Outcome>>,
    answer: PhantomData<fn(T)>,
}

impl<T> AckResponder<T> {
    pub(crate) fn new(outcome: Arc<dyn Outcome>) -> Self {
        Self { outcome: Some(outcome), answer: PhantomData }
    }
}

impl<T> Drop for AckResponder<T> {
    fn drop(&mut self) {
        if let Some(outcome) = self.outcome.take() {
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
        let answer = (&answer as &dyn Any).downcast_ref::<ClientWriteResult<Types>>();
        match answer {
            Some(Ok(written)) => outcome.committed(LogIndex(written.log_id.index)),
            Some(Err(ClientWriteError::ForwardToLeader(forward))) => {
                outcome.failed(ProposeError::NotLeader { leader: forward.leader_id });
            }
            Some(Err(
                ClientWriteError::ChangeMembershipError(_)
                | ClientWriteError::LogEntryDiscarded(_)
                | ClientWriteError::PreconditionFailed(_),
            ))
            | None => outcome.failed(ProposeError::OutcomeUnknown),
        }
    }
}
