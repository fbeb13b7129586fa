//! One attempt to be made, and what came of it.

use std::sync::Arc;

use pelton_client::{Hops, Offset};
use pelton_event::Event;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::Instant;

use super::{Admitted, Permit, ReplyCharge, Target};
use crate::delivery::{Attempted, NoAnswer};
use crate::plan::Plan;
use crate::service::Slot;
use crate::trigger::Asked;

/// Whose attempt it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// The trigger's place in its group's table.
    pub slot: u32,
    /// Which user of that place: an outcome for an earlier one is ignored.
    pub generation: u32,
    /// The event.
    pub offset: Offset,
    /// Hops left to the event.
    pub hops: Hops,
    /// Who is asked.
    pub asked: Asked,
    /// When it was begun.
    pub begun: Instant,
}

/// What came of a job.
#[derive(Debug)]
pub struct Outcome {
    /// Whose.
    pub ticket: Ticket,
    /// The plan it was made by.
    pub plan: Arc<Plan>,
    /// Who was asked.
    pub target: Arc<Target>,
    /// What came of it; `None` when the attempt was not made, which costs the event nothing.
    pub attempted: Option<Attempted>,
    /// Whether this closed the target's circuit.
    pub closed_circuit: bool,
    /// The bytes of the reply that is in the answer.
    pub reply: Option<ReplyCharge>,
}

/// One attempt to be made. It always comes to an [`Outcome`]: dropped, it says that nothing was sent.
#[derive(Debug)]
pub struct Job {
    /// Whose.
    pub ticket: Ticket,
    /// How.
    pub plan: Arc<Plan>,
    /// The event, as it is to be sent.
    pub event: Event,
    /// Leave by the target's circuit.
    pub permit: Permit,
    /// Where it is sent, when that is a service of this process.
    pub slot: Option<Box<dyn Slot>>,
    /// Who is asked.
    pub target: Arc<Target>,
    /// The bytes of the reply, once it is read.
    pub reply: Option<ReplyCharge>,
    /// Something of it may have been sent: dropped, it is an attempt that failed.
    pub is_sent: bool,
    answer_to: Option<mpsc::Sender<Outcome>>,
}

impl Job {
    /// A job whose outcome goes to `answer_to`. It was admitted, and the bytes of the event's frame are taken.
    #[must_use]
    pub fn new(
        ticket: Ticket,
        plan: Arc<Plan>,
        event: Event,
        admitted: Admitted,
        target: Arc<Target>,
        answer_to: mpsc::Sender<Outcome>,
    ) -> Self {
        let Admitted { permit, slot } = admitted;
        Self { ticket, plan, event, permit, slot, target, reply: None, is_sent: false, answer_to: Some(answer_to) }
    }

    /// What a reply is counted by.
    #[must_use]
    pub fn charge_for_reply(&self) -> ReplyCharge {
        ReplyCharge::new(self.target.budgets().clone(), self.plan.shares[self.ticket.asked as usize].clone())
    }

    /// Hands over what came of the attempt.
    pub async fn finish(mut self, attempted: Option<Attempted>) {
        let outcome = self.outcome(attempted);
        if let Some(answer_to) = self.answer_to.take() {
            // The event goes first: it is not counted any more.
            drop(self);
            // Nobody listens any more when the dispatcher is gone.
            let _ = answer_to.send(outcome).await;
        }
    }

    fn outcome(&mut self, attempted: Option<Attempted>) -> Outcome {
        let share = self.plan.share(self.ticket.asked);
        self.target.budgets().events.release(&share.event_bytes, self.event.frame_len());
        let closed_circuit = self.target.concluded(share, self.permit, self.ticket, attempted.as_ref());
        Outcome {
            ticket: self.ticket,
            plan: self.plan.clone(),
            target: self.target.clone(),
            attempted,
            closed_circuit,
            reply: self.reply.take(),
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if let Some(answer_to) = self.answer_to.take() {
            let broken = || Err(NoAnswer::Broken("the attempt was cut off by a fault of the dispatcher".to_owned()));
            let outcome = self.outcome(self.is_sent.then(broken));
            if let Err(TrySendError::Full(outcome)) = answer_to.try_send(outcome)
                && let Ok(runtime) = Handle::try_current()
            {
                runtime.spawn(async move { answer_to.send(outcome).await });
            }
        }
    }
}
