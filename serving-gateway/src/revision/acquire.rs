//! A request gets its slot, or the reason why not.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::core::{Arrival, Reach, Refusal};
use super::waiting::{Full, Ticket};
use super::{Lease, Revision};

/// How long a delivery stays away from a queue that requests have filled.
const QUEUE_PAUSE: Duration = Duration::from_millis(100);

/// Why no instance took a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotServed {
    /// As many requests wait as may.
    #[error("pending request queue full")]
    Full(Full),
    /// No instance comes up.
    #[error("no instance of this revision comes up; the last one: {0}")]
    CrashLoop(String),
    /// None was ready in the time that a request waits for one.
    #[error("no instance was ready within the activation timeout{}", .0.as_deref().map(|why| format!("; the last one: {why}")).unwrap_or_default())]
    NotInTime(Option<String>),
    /// The runtime cannot run this revision.
    #[error("the revision cannot be run: {0}")]
    NotDeployed(String),
    /// The revision is gone.
    #[error("the revision is gone")]
    Retired,
}

impl Revision {
    /// Waits for a slot at an instance within `reach`. A request holds `bytes` while it waits. Dropping the future gives up.
    ///
    /// # Errors
    /// [`NotServed`].
    pub async fn acquire(self: &Arc<Self>, bytes: usize, reach: Reach) -> Result<Lease, NotServed> {
        self.wait_for_slot(bytes, reach).await.inspect_err(|why| self.metrics.refused(why))
    }

    /// Waits for a slot for a delivery, which loses nothing by it: while instances answer and are only busy, it goes on.
    ///
    /// # Errors
    /// [`NotServed`], but never that too much waits.
    pub async fn acquire_patiently(self: &Arc<Self>) -> Result<Lease, NotServed> {
        loop {
            // One that was lost meanwhile had its successor begun in the middle of this time.
            let had_instances = self.state.lock().core.has_instances();
            match self.wait_for_slot(0, Reach::Anywhere).await {
                Err(NotServed::Full(_)) => sleep(QUEUE_PAUSE).await,
                Err(NotServed::NotInTime(_)) if had_instances || self.state.lock().core.has_instances() => {}
                outcome => return outcome.inspect_err(|why| self.metrics.refused(why)),
            }
        }
    }

    /// A slot that is free now. Whoever waits goes before.
    #[must_use]
    pub fn try_acquire(self: &Arc<Self>) -> Option<Lease> {
        let now = self.now();
        let (granted, actions) = {
            let mut state = self.state.lock();
            let granted = state
                .core
                .take_free(Reach::Anywhere, now)
                .map(|key| (key, Arc::clone(state.lines.get(&key).expect("a ready instance has a line"))));
            (granted, self.actions(&mut state, now))
        };
        self.perform(actions);
        granted.map(|(key, line)| Lease::new(Arc::clone(self), key, line))
    }

    async fn wait_for_slot(self: &Arc<Self>, bytes: usize, reach: Reach) -> Result<Lease, NotServed> {
        let mut receiver = None;
        let now = self.now();
        let (arrival, was_cold, line, actions) = {
            let mut state = self.state.lock();
            let arrival = state.core.arrive(bytes, reach, now, || {
                let (waiter, granted) = oneshot::channel();
                receiver = Some(granted);
                waiter
            });
            let (was_cold, line) = match &arrival {
                Arrival::Granted(key) => (false, state.lines.get(key).cloned()),
                Arrival::Waits(_) => {
                    let counts = state.core.counts();
                    if counts.ready == 0 {
                        state.cold_since.get_or_insert(now);
                    }
                    (state.core.is_cold(), None)
                }
                Arrival::Refused(_) => (false, None),
            };
            (arrival, was_cold, line, self.actions(&mut state, now))
        };
        self.perform(actions);
        match arrival {
            Arrival::Granted(key) => {
                let line = line.expect("a ready instance has a line");
                Ok(Lease::new(Arc::clone(self), key, line))
            }
            Arrival::Refused(refusal) => Err(self.refused(refusal)),
            Arrival::Waits(ticket) => {
                let receiver = receiver.expect("who waits has a channel");
                let lease = Waiter { revision: self, ticket, receiver: Some(receiver) }.wait().await?;
                Ok(lease.after(self.now().saturating_sub(now), was_cold))
            }
        }
    }

    fn refused(&self, refusal: Refusal) -> NotServed {
        match refusal {
            Refusal::Full(full) => NotServed::Full(full),
            Refusal::CrashLoop(why) => NotServed::CrashLoop(why),
            Refusal::Retired => self.given_up(),
        }
    }

    /// Why nobody is served any more.
    fn given_up(&self) -> NotServed {
        match &self.state.lock().deployed {
            Some(Err(why)) => NotServed::NotDeployed(why.clone()),
            _ => NotServed::Retired,
        }
    }
}

/// A request that waits. Dropped, it does not wait any longer.
struct Waiter<'a> {
    revision: &'a Arc<Revision>,
    ticket: Ticket,
    receiver: Option<oneshot::Receiver<Lease>>,
}

impl Waiter<'_> {
    async fn wait(mut self) -> Result<Lease, NotServed> {
        let receiver = self.receiver.as_mut().expect("it waits");
        let limit = self.revision.spec.activation_timeout;
        if let Ok(granted) = timeout(limit, &mut *receiver).await {
            self.receiver = None;
            return granted.map_err(|_| self.revision.given_up());
        }
        if self.revision.with_core(|core, now| core.leave(self.ticket, now)) {
            self.receiver = None;
            let last = self.revision.state.lock().core.last_failure().map(str::to_owned);
            return Err(NotServed::NotInTime(last));
        }
        // It was granted at the last moment, and is on its way.
        let granted = receiver.await;
        self.receiver = None;
        granted.map_err(|_| self.revision.given_up())
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        if self.receiver.is_some() {
            // If it was granted meanwhile, the lease goes with the channel and gives the slot back.
            self.revision.with_core(|core, now| core.leave(self.ticket, now));
        }
    }
}
