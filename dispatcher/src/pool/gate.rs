//! The way into a service of this process. Attempts go in as there are slots for them.
//!
//! A backlog takes no places in the service's queue: what finds no free slot stays in the log, and one call asks for the
//! next slot on behalf of all of it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};

use super::Target;
use super::teller::Teller;
use crate::service::{NotServed, Service, Slot, Waiting};

/// How long a slot is held for who waited for it. Those that are told take it at once, or are gone.
const OFFERED_FOR: Duration = Duration::from_millis(200);

/// The pause after a service took nothing before it is asked again.
const REFUSED_FOR: Duration = Duration::from_secs(1);

/// So many requests one after the other may fail to be sent before one of them counts as an attempt: instances go, but a
/// service whose instances are always gone is one that does not answer.
const MAX_UNSENT: u32 = 4;

/// The slots of one service, for all triggers that deliver to it.
#[derive(Debug)]
pub(super) struct Gate {
    service: Arc<dyn Service>,
    teller: Arc<Teller>,
    state: Mutex<State>,
    taken: Notify,
}

#[derive(Debug)]
struct State {
    /// A slot that was waited for.
    offered: Option<Box<dyn Slot>>,
    is_asking: bool,
    /// Groups that have something to send.
    waiting: Vec<Arc<Notify>>,
    refusals: Refusals,
    unsent: u32,
    /// When the last of them was found not to be sent.
    unsent_at: Option<Instant>,
    is_closed: bool,
}

/// How often a service took nothing, and why it was the last time.
#[derive(Debug, Clone)]
pub struct Refusals {
    /// How often.
    pub count: u64,
    /// Why.
    pub why: Arc<str>,
}

impl Gate {
    pub fn new(service: Arc<dyn Service>) -> Self {
        let state = State {
            offered: None,
            is_asking: false,
            waiting: Vec::new(),
            refusals: Refusals { count: 0, why: Arc::from("") },
            unsent: 0,
            unsent_at: None,
            is_closed: false,
        };
        Self { teller: Teller::new(Arc::clone(&service)), service, state: Mutex::new(state), taken: Notify::new() }
    }

    /// A slot that is free now.
    pub fn take(&self) -> Option<Box<dyn Slot>> {
        let offered = self.state.lock().offered.take();
        match offered {
            Some(slot) => {
                self.taken.notify_one();
                Some(slot)
            }
            None => self.service.try_slot(),
        }
    }

    /// Has a slot asked for. `wake` is told once there may be one, and when the service takes nothing.
    pub fn wait(target: &Arc<Target>, gate: &Self, wake: &Arc<Notify>) -> Refusals {
        let mut state = gate.state.lock();
        if !state.waiting.iter().any(|known| Arc::ptr_eq(known, wake)) {
            state.waiting.push(Arc::clone(wake));
        }
        if !state.is_closed && !std::mem::replace(&mut state.is_asking, true) {
            tokio::spawn(ask(Arc::clone(target)));
        }
        state.refusals.clone()
    }

    /// A request was sent.
    pub fn sent(&self) {
        self.state.lock().unsent = 0;
    }

    /// A request could not be sent that was begun at that moment. `true` when that is to count as an attempt. Those that were on
    /// their way together when an instance went say no more than one.
    pub fn unsent(&self, began: Instant) -> bool {
        let mut state = self.state.lock();
        if state.unsent_at.is_some_and(|at| began < at) {
            return false;
        }
        state.unsent_at = Some(Instant::now());
        state.unsent += 1;
        let counts = state.unsent >= MAX_UNSENT;
        if counts {
            state.unsent = 0;
        }
        counts
    }

    /// What waits for one trigger has changed.
    pub fn waits(&self, before: Waiting, now: Waiting, matched: u64) {
        Teller::change(&self.teller, before, now, matched);
    }

    /// Nobody sends anything any more.
    pub fn close(&self) {
        let offered = {
            let mut state = self.state.lock();
            state.is_closed = true;
            state.waiting.clear();
            state.offered.take()
        };
        drop(offered);
        self.taken.notify_one();
    }

    fn offer(&self, slot: Box<dyn Slot>) {
        self.tell(|state| state.offered = Some(slot));
    }

    fn refuse(&self, why: &NotServed) {
        self.tell(|state| state.refusals = Refusals { count: state.refusals.count + 1, why: why.0.as_str().into() });
    }

    fn tell(&self, change: impl FnOnce(&mut State)) {
        let waiting = {
            let mut state = self.state.lock();
            change(&mut state);
            std::mem::take(&mut state.waiting)
        };
        for group in waiting {
            group.notify_one();
        }
    }

    fn has_offer(&self) -> bool {
        self.state.lock().offered.is_some()
    }

    /// Whether somebody waits for another slot. What is still offered nobody wants.
    fn goes_on(&self) -> bool {
        let (offered, goes_on) = {
            let mut state = self.state.lock();
            state.is_asking = !state.waiting.is_empty();
            (state.offered.take(), state.is_asking)
        };
        drop(offered);
        goes_on
    }
}

/// Asks for one slot after the other while somebody waits for one.
async fn ask(target: Arc<Target>) {
    let Some(gate) = target.gate() else { return };
    let _asking = Asking(gate);
    loop {
        match gate.service.slot().await {
            Ok(slot) => {
                gate.offer(slot);
                let until = Instant::now() + OFFERED_FOR;
                while gate.has_offer() && timeout_at(until, gate.taken.notified()).await.is_ok() {}
            }
            Err(why) => {
                tracing::debug!(host = %target.authority().host, %why, "a service takes no events");
                gate.refuse(&why);
                sleep(REFUSED_FOR).await;
            }
        }
        if !gate.goes_on() {
            return;
        }
    }
}

/// That somebody asks. Cut off with its runtime, it asks no more.
struct Asking<'a>(&'a Gate);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.state.lock().is_asking = false;
        }
    }
}
