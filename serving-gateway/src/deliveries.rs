//! The services of a gateway for the dispatcher of the same process: slots, without a socket, and how much waits for them.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use http_body_util::Full;
use http_body_util::combinators::UnsyncBoxBody;
use pelton_client::serving::Unroutable;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

use crate::gateway::Shared;
use crate::proxy::{Unanswered, deliver};
use crate::revision::{Lease, NotServed, Revision, WaitingEvents};

/// How long a delivery waits for a Route to have a revision: a new Service has one after seconds, one that does not come up never.
const UNROUTED_FOR: Duration = Duration::from_secs(10);

/// Why there is no slot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoSlot {
    /// No Service has the host, or its Route has no revision.
    #[error(transparent)]
    Unroutable(#[from] Unroutable),
    /// The revision serves nobody.
    #[error(transparent)]
    NotServed(#[from] NotServed),
}

/// A gateway's services, by their hosts.
#[derive(Debug, Clone)]
pub struct Deliveries {
    shared: Arc<Shared>,
    /// Goes round the percents of splits.
    dice: Arc<AtomicU64>,
}

/// The right to send one request to an instance. Dropped, the place there is free.
#[derive(Debug)]
pub struct Slot {
    lease: Lease,
    rewritten: Option<String>,
    runtime: Handle,
}

impl Deliveries {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, dice: Arc::default() }
    }

    /// A slot of the revision that `host` means, if one is free.
    #[must_use]
    pub fn try_slot(&self, host: &str) -> Option<Slot> {
        let (revision, rewritten) = self.find(host).ok()?;
        Some(self.slot_of(revision.try_acquire()?, rewritten))
    }

    /// Waits for a slot, first come first served among requests: while the revision starts up to its activation timeout, while
    /// its instances answer and are busy as long as that takes. Follows `host` when it comes to mean another revision.
    ///
    /// # Errors
    /// [`NoSlot`].
    pub async fn slot(&self, host: &str) -> Result<Slot, NoSlot> {
        let mut routed = self.shared.routed();
        let until = Instant::now() + UNROUTED_FOR;
        loop {
            routed.mark_unchanged();
            let why = match self.find(host) {
                Ok((revision, rewritten)) => {
                    let acquiring = async {
                        let mut acquired = pin!(revision.acquire_patiently());
                        loop {
                            tokio::select! {
                                biased;
                                acquired = &mut acquired => return Some(acquired),
                                changed = routed.changed() => {
                                    if changed.is_err() || !self.leads_to(host, &revision) {
                                        return None;
                                    }
                                }
                            }
                        }
                    };
                    match acquiring.await {
                        Some(Ok(lease)) => return Ok(self.slot_of(lease, rewritten)),
                        Some(Err(why @ NotServed::Retired)) => NoSlot::NotServed(why),
                        Some(Err(why)) => return Err(why.into()),
                        None => continue,
                    }
                }
                Err(why @ Unroutable::UnknownHost) => return Err(why.into()),
                Err(why @ Unroutable::NoRevision) => NoSlot::Unroutable(why),
            };
            // It is about to have another revision, or a first one.
            if !matches!(timeout_at(until, routed.changed()).await, Ok(Ok(()))) {
                return Err(why);
            }
        }
    }

    /// From now on so many events wait for `host`, and so many have matched since that was said last.
    pub fn waits(&self, host: &str, waiting: WaitingEvents, matched: u64) {
        self.shared.events_wait(host, waiting, matched);
    }

    /// An event for `host` is about to be stored: the revision that it means is started or resumed, if nothing of it runs.
    pub fn expects(&self, host: &str) {
        if let Ok((revision, _)) = self.find(host) {
            revision.expects_event();
        }
    }

    fn find(&self, host: &str) -> Result<(Arc<Revision>, Option<String>), Unroutable> {
        let routing = self.shared.routing();
        // As requests do: those in a row do not all fall to one revision.
        let target = routing.table.resolve(host, None, self.dice.fetch_add(61, Ordering::Relaxed))?;
        let revision = self.shared.revision(&routing, target.revision).ok_or(Unroutable::NoRevision)?;
        Ok((revision, target.rewrite_host.map(str::to_owned)))
    }

    fn leads_to(&self, host: &str, revision: &Arc<Revision>) -> bool {
        let routing = self.shared.routing();
        let shares = routing.table.shares(host);
        shares
            .iter()
            .any(|(said, _)| self.shared.revision(&routing, said).is_some_and(|its| Arc::ptr_eq(&its, revision)))
    }

    fn slot_of(&self, lease: Lease, rewritten: Option<String>) -> Slot {
        Slot { lease, rewritten, runtime: self.shared.runtime().clone() }
    }
}

impl Slot {
    /// How long the request may wait for its instance although there is a slot: another gateway has it.
    #[must_use]
    pub fn may_wait(&self) -> Duration {
        self.lease.may_wait()
    }

    /// Sends a request in the form of one to an origin server, and gives the answer of the instance. It has the times that
    /// the revision gives a request.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub async fn send(
        self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<UnsyncBoxBody<Bytes, io::Error>>, Unanswered> {
        let Self { lease, rewritten, runtime } = self;
        let delivering = pin!(deliver(lease, rewritten.as_deref(), request));
        let response = Within { runtime, work: delivering }.await?;
        Ok(response.map(|body| body.boxed_unsync()))
    }
}

/// Polls within the gateway's runtime: connections to instances outlive whoever asked for them.
struct Within<F> {
    runtime: Handle,
    work: F,
}

impl<F: Future + Unpin> Future for Within<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Self { runtime, work } = &mut *self;
        let _within = runtime.enter();
        Pin::new(work).poll(cx)
    }
}
