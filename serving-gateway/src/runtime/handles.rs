//! By what the tasks of a revision's instances are reached, for runtimes that have a task for each.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};

use super::{InstanceId, RuntimeError};

/// How many orders of one instance wait for each other. Whoever gives one more waits, too.
const MOST_ORDERS: usize = 4;

/// What an instance is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    /// It runs, or is paused.
    Running,
    /// It is asked to end, and has its time for it.
    Stopped,
    /// It ends now.
    Killed,
}

/// What an instance is asked to do while it runs. Whoever asked hears what came of it.
#[derive(Debug)]
pub enum Order {
    /// To stand still.
    Pause(oneshot::Sender<Result<(), RuntimeError>>),
    /// To go on.
    Resume(oneshot::Sender<Result<(), RuntimeError>>),
}

impl Order {
    /// Says that there is no such instance any more.
    pub fn refuse(self, id: &InstanceId) {
        let (Self::Pause(answer) | Self::Resume(answer)) = self;
        let _ = answer.send(Err(RuntimeError::Gone(id.clone())));
    }
}

/// The instances of one revision that can be found. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Handles(Arc<Mutex<BTreeMap<InstanceId, Handle>>>);

#[derive(Debug, Clone)]
struct Handle {
    orders: mpsc::Sender<Order>,
    wanted: watch::Sender<Wanted>,
}

/// What the task of an instance hears.
#[derive(Debug)]
pub struct Ears {
    /// What it is asked to do.
    pub orders: mpsc::Receiver<Order>,
    /// What it is to be.
    pub wanted: watch::Receiver<Wanted>,
    /// By this it is found; dropped, it is not any more.
    pub registered: Registered,
}

/// An instance that can be found. Dropped, it cannot any more.
#[derive(Debug)]
pub struct Registered {
    id: InstanceId,
    handles: Handles,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.handles.0.lock().remove(&self.id);
    }
}

impl Handles {
    /// An instance that can be found from now on, by the first of `names` that no other of these has.
    pub fn add(&self, mut names: impl FnMut() -> InstanceId) -> (InstanceId, Ears) {
        let (orders, order_receiver) = mpsc::channel(MOST_ORDERS);
        let (wanted, wanted_receiver) = watch::channel(Wanted::Running);
        let mut known = self.0.lock();
        let id = loop {
            let id = names();
            if !known.contains_key(&id) {
                break id;
            }
        };
        known.insert(id.clone(), Handle { orders, wanted });
        drop(known);
        let registered = Registered { id: id.clone(), handles: self.clone() };
        (id, Ears { orders: order_receiver, wanted: wanted_receiver, registered })
    }

    /// Lets an instance stand still.
    ///
    /// # Errors
    /// [`RuntimeError`].
    pub fn pause(&self, id: &InstanceId) -> BoxFuture<'_, Result<(), RuntimeError>> {
        self.order(id.clone(), Order::Pause).boxed()
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// [`RuntimeError`].
    pub fn resume(&self, id: &InstanceId) -> BoxFuture<'_, Result<(), RuntimeError>> {
        self.order(id.clone(), Order::Resume).boxed()
    }

    async fn order(
        &self,
        id: InstanceId,
        order: fn(oneshot::Sender<Result<(), RuntimeError>>) -> Order,
    ) -> Result<(), RuntimeError> {
        let gone = || RuntimeError::Gone(id.clone());
        let handle = self.0.lock().get(&id).cloned().ok_or_else(gone)?;
        let (answer, answered) = oneshot::channel();
        handle.orders.send(order(answer)).await.map_err(|_| gone())?;
        answered.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Asks an instance to end, if it is there.
    pub fn stop(&self, id: &InstanceId) {
        if let Some(handle) = self.0.lock().get(id) {
            handle.want(Wanted::Stopped);
        }
    }

    /// Ends all of them now.
    pub fn kill_all(&self) {
        for handle in self.0.lock().values() {
            handle.want(Wanted::Killed);
        }
    }
}

impl Handle {
    fn want(&self, wanted: Wanted) {
        self.wanted.send_if_modified(|now| {
            let is_more = wanted > *now;
            *now = wanted.max(*now);
            is_more
        });
    }
}

/// Waits until that or more is wanted. Whoever is gone wants nothing to run.
pub async fn at_least(receiver: &mut watch::Receiver<Wanted>, least: Wanted) -> Wanted {
    receiver.wait_for(|wanted| *wanted >= least).await.map_or(Wanted::Killed, |wanted| *wanted)
}
