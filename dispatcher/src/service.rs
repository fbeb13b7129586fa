//! Subscribers that are run by this process: asked without a socket, and only once they have a slot.
//!
//! What waits for a slot is an event in the log. No attempt has begun, so none of its time runs and none is counted, and
//! the service's own queue is left to requests.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body_util::Full;
use http_body_util::combinators::UnsyncBoxBody;

/// The body of a service's answer. What breaks off because its time is up says so by its kind of error.
pub type AnswerBody = UnsyncBoxBody<Bytes, io::Error>;

/// The services of a process.
pub trait Services: fmt::Debug + Send + Sync {
    /// The service that a host and port mean; `None` for what is asked over the network. What a name means here never
    /// changes; whether there is such a service is found out when it is asked for a slot.
    fn find(&self, host: &str, port: u16) -> Option<Arc<dyn Service>>;
}

/// One service, by one of its names.
pub trait Service: fmt::Debug + Send + Sync {
    /// A slot that is free now.
    fn try_slot(&self) -> Option<Box<dyn Slot>>;

    /// Waits for a slot: as long as the service starts, within a bound of its own, and as long as it answers and is busy.
    ///
    /// # Errors
    /// [`NotServed`]: each event that waits for it has failed once.
    fn slot(&self) -> BoxFuture<'_, Result<Box<dyn Slot>, NotServed>>;

    /// How much waits for it from now on. `matched` events have matched since this was said last.
    fn waits(&self, waiting: Waiting, matched: u64);
}

/// The right to send one request. Dropped, somebody else gets it.
pub trait Slot: fmt::Debug + Send {
    /// How long the request may wait all the same before anything is done with it. The time of an attempt is longer by that.
    fn may_wait(&self) -> Duration {
        Duration::ZERO
    }

    /// Sends a request, in the form of a request to an origin server, and waits for the head of the answer.
    ///
    /// # Errors
    /// [`Unanswered`].
    fn send(
        self: Box<Self>,
        request: Request<Full<Bytes>>,
    ) -> BoxFuture<'static, Result<Response<AnswerBody>, Unanswered>>;
}

/// Why a service takes nothing: no instance comes up, or there is no such service. For people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotServed(pub String);

/// Why a request was not answered by the service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// Nothing of it was sent: the instance has gone since the slot was given.
    #[error("not sent: {0}")]
    Unsent(String),
    /// The time that the service gives a request is up.
    #[error("no answer within the time that the service gives a request")]
    TimeUp,
    /// The instance broke off.
    #[error("the instance broke off: {0}")]
    Broken(String),
}

/// Events that could be on their way to a service now and are not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// How many.
    pub events: u64,
    /// How many deliveries there may be at once: by the bounds of the triggers, and one for each key where order is kept.
    pub at_once: u64,
}
