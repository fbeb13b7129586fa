//! One target: its queue, how many attempts it has at once, and its circuit.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;
use pelton_peer::Network;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::gate::{Gate, Refusals};
use super::shown::Shown;
use super::{Budgets, Circuit, Job, Permit, Share, Ticket, worker};
use crate::Options;
use crate::delivery::{Attempted, speaks_against_target};
use crate::endpoint::Authority;
use crate::service::{Service, Slot};

/// Connections that may be on their way to be made at once. One that hangs does not keep all the others waiting, and
/// a burst does not open a hundred where four will do.
const MAX_CONNECTING: usize = 16;

/// Why no attempt may start now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The trigger has its share of the target's attempts, or of all bytes, on its way. The end of one of them makes
    /// room.
    Full,
    /// The circuit is open; ask again then.
    Open(Instant),
    /// The service has no free slot. [`Target::wait_for_slot`] has one asked for.
    NoSlot,
}

/// Leave to make one attempt.
#[derive(Debug)]
pub struct Admitted {
    /// By the circuit.
    pub permit: Permit,
    /// By the service, when it is one of this process: what is sent goes there.
    pub slot: Option<Box<dyn Slot>>,
}

/// One host and port.
pub struct Target {
    authority: Authority,
    network: Arc<dyn Network>,
    /// The way into a service of this process.
    gate: Option<Gate>,
    options: Arc<Options>,
    budgets: Arc<Budgets>,
    shown: Arc<Shown>,
    state: Mutex<State>,
    wake: Notify,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").field("authority", &self.authority).field("state", &self.state).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct State {
    queue: VecDeque<Job>,
    circuit: Circuit,
    /// Jobs that were admitted and are not concluded. Each may have a connection of its own, so none waits for
    /// another.
    outstanding: usize,
    workers: usize,
    idle: usize,
    connecting: usize,
    /// The dispatcher is gone: nothing more goes out.
    closed: bool,
}

impl Target {
    /// A target nobody asked yet.
    #[must_use]
    pub(super) fn new(
        authority: Authority,
        network: Arc<dyn Network>,
        service: Option<Arc<dyn Service>>,
        options: Arc<Options>,
        budgets: Arc<Budgets>,
        shown: Arc<Shown>,
    ) -> Self {
        let state = State {
            queue: VecDeque::new(),
            circuit: Circuit::new(options.circuit),
            outstanding: 0,
            workers: 0,
            idle: 0,
            connecting: 0,
            closed: false,
        };
        let gate = service.map(Gate::new);
        Self { authority, network, gate, options, budgets, shown, state: Mutex::new(state), wake: Notify::new() }
    }

    /// Host and port.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// How connections come about.
    pub(super) fn network(&self) -> &dyn Network {
        &*self.network
    }

    /// The way into it, when it is a service of this process.
    pub(super) fn gate(&self) -> Option<&Gate> {
        self.gate.as_ref()
    }

    /// The bounds.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The bounds on bytes.
    #[must_use]
    pub fn budgets(&self) -> &Arc<Budgets> {
        &self.budgets
    }

    /// Asks for leave to make one attempt, for the trigger whose `share` it is. It must be followed by
    /// [`submit`](Self::submit) or [`give_back`](Self::give_back).
    ///
    /// # Errors
    /// Why not now.
    pub fn admit(&self, share: &Share, now: Instant) -> Result<Admitted, Refusal> {
        let permit = self.permit(share, now)?;
        let Some(gate) = &self.gate else { return Ok(Admitted { permit, slot: None }) };
        let slot = gate.take();
        if slot.is_none() {
            self.give_back(share, permit);
            return Err(Refusal::NoSlot);
        }
        Ok(Admitted { permit, slot })
    }

    /// Has a slot asked for, of a service that has none free. `wake` is told when to look again. Gives how often the service
    /// took nothing, so that who waited for longer knows that it has failed.
    pub fn wait_for_slot(self: &Arc<Self>, wake: &Arc<Notify>) -> Option<Refusals> {
        Some(Gate::wait(self, self.gate.as_ref()?, wake))
    }

    /// Leave for an attempt of which it is known that nobody takes it. Otherwise as [`admit`](Self::admit).
    ///
    /// # Errors
    /// Why not now.
    pub fn permit(&self, share: &Share, now: Instant) -> Result<Permit, Refusal> {
        let refused_bytes = share.refused_bytes.load(Ordering::Relaxed);
        if !self.budgets.events.has_room(&share.event_bytes, refused_bytes) {
            return Err(Refusal::Full);
        }
        let mut state = self.state.lock();
        if !share.begin(state.outstanding, self.options.max_connections) {
            return Err(Refusal::Full);
        }
        match state.circuit.admit(now) {
            Ok(permit) => {
                state.outstanding += 1;
                Ok(permit)
            }
            Err(until) => {
                share.end();
                Err(Refusal::Open(until))
            }
        }
    }

    /// When the next probe is due, if the circuit is open.
    pub(super) fn open_until(&self, now: Instant) -> Option<Instant> {
        self.state.lock().circuit.open_until(now)
    }

    /// Takes the bytes of the event of an attempt that was admitted. `false` when there is no room for them now; then
    /// the leave is to be given back. The job gives the bytes back when it ends.
    #[must_use]
    pub fn take_bytes(&self, share: &Share, bytes: usize) -> bool {
        let fits = self.budgets.events.take(&share.event_bytes, 0, bytes);
        share.refused_bytes.store(if fits { 0 } else { bytes }, Ordering::Relaxed);
        fits
    }

    /// Gives leave back that was not used.
    pub fn give_back(&self, share: &Share, permit: Permit) {
        let mut state = self.state.lock();
        state.circuit.not_sent(permit);
        state.outstanding -= 1;
        share.end();
    }

    /// Queues a job that was admitted.
    pub fn submit(self: &Arc<Self>, job: Job) {
        let mut state = self.state.lock();
        if state.closed {
            drop(state);
            drop(job);
            return;
        }
        state.queue.push_back(job);
        self.call_worker(&mut state);
    }

    /// Lets nothing more go out. What is on its way stays so.
    pub fn close(&self) {
        let queued = {
            let mut state = self.state.lock();
            state.closed = true;
            std::mem::take(&mut state.queue)
        };
        // Outside the lock: a job that is dropped gives its leave back.
        drop(queued);
        if let Some(gate) = &self.gate {
            gate.close();
        }
    }

    /// Takes what came of a job into account. `true` when that closed the circuit.
    pub fn concluded(&self, share: &Share, permit: Permit, ticket: Ticket, attempted: Option<&Attempted>) -> bool {
        let mut state = self.state.lock();
        state.outstanding -= 1;
        share.end();
        match attempted {
            None => {
                state.circuit.not_sent(permit);
                false
            }
            Some(attempted) if speaks_against_target(attempted) => {
                let event = ticket.offset.0 ^ (u64::from(ticket.slot) << 44);
                if state.circuit.failed(permit, event, Instant::now()) {
                    self.shown.set(&self.authority, true);
                    tracing::warn!(host = %self.authority.host, port = self.authority.port, "circuit opened");
                }
                false
            }
            Some(_) => {
                let closed = state.circuit.succeeded();
                if closed {
                    self.shown.set(&self.authority, false);
                }
                closed
            }
        }
    }

    /// Whether an admitted job may still go out.
    pub(super) fn still_admits(&self, permit: Permit) -> bool {
        self.state.lock().circuit.still_admits(permit)
    }

    /// Takes the next job, without waiting. Calls another worker when there are more.
    pub(super) fn take(self: &Arc<Self>) -> Option<Job> {
        let mut state = self.state.lock();
        let job = state.queue.pop_front()?;
        if !state.queue.is_empty() {
            self.call_worker(&mut state);
        }
        Some(job)
    }

    /// A worker is about to wait, unless there is a job by now.
    pub(super) fn rest(self: &Arc<Self>) -> Option<Job> {
        let mut state = self.state.lock();
        match state.queue.pop_front() {
            Some(job) => Some(job),
            None => {
                state.idle += 1;
                None
            }
        }
    }

    /// A worker that rested is awake. It gets a job, or it stays (`stays`) and looks again, or it is counted out.
    pub(super) fn rise(self: &Arc<Self>, stays: bool) -> Option<Job> {
        let mut state = self.state.lock();
        state.idle -= 1;
        let job = state.queue.pop_front();
        if job.is_none() && !stays {
            state.workers -= 1;
        }
        if !state.queue.is_empty() {
            self.call_worker(&mut state);
        }
        job
    }

    /// Waits until there may be a job.
    pub(super) async fn called(&self) {
        self.wake.notified().await;
    }

    /// A worker has its first connection, or has given up on it.
    pub(super) fn settled(self: &Arc<Self>) {
        let mut state = self.state.lock();
        state.connecting -= 1;
        if !state.queue.is_empty() {
            self.call_worker(&mut state);
        }
    }

    /// A worker ended without being counted out: it was dropped with its runtime, or it panicked.
    pub(super) fn lost_worker(&self, rested: bool) {
        let mut state = self.state.lock();
        state.workers -= 1;
        state.idle -= usize::from(rested);
    }

    fn call_worker(self: &Arc<Self>, state: &mut State) {
        if state.idle > 0 {
            self.wake.notify_one();
        } else if state.workers < state.outstanding && state.connecting < MAX_CONNECTING {
            state.workers += 1;
            state.connecting += 1;
            tokio::spawn(worker::run(self.clone()));
        }
    }
}

impl Drop for Target {
    /// Nobody asks there any more.
    fn drop(&mut self) {
        if self.state.get_mut().circuit.is_open() {
            self.shown.set(&self.authority, false);
        }
    }
}
