//! What came of one attempt.

use bytes::Bytes;
use pelton_event::Event;

use super::RetryAfter;

/// The most of an error's body that is kept: 768 bytes are 1,024 characters of base64 (Knative Eventing,
/// `knativeerrordata`).
pub const KEPT_BODY_BYTES: usize = 768;

/// What an answer's body was.
#[derive(Debug, Clone)]
pub enum Content {
    /// Nothing.
    Empty,
    /// Something that does not claim to be a CloudEvent, or that nobody looked into: its beginning, at most
    /// [`KEPT_BODY_BYTES`].
    Other(Bytes),
    /// A CloudEvent where one is looked for.
    Event(Box<Event>),
    /// It says that it is a CloudEvent, and is none, or is more than is read of one. The text says why.
    Broken(String),
}

/// An HTTP answer, as far as it matters.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code, 100 to 999.
    pub status: u16,
    /// The `Retry-After` header, when there was one that could be read.
    pub retry_after: Option<RetryAfter>,
    /// The body.
    pub content: Content,
}

/// Why there was no answer. It is not an answer that says no: nobody knows what the subscriber did.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// No connection.
    #[error("no connection: {0}")]
    Connect(String),
    /// It is a service of this process, and no instance of it took the event. Nothing was sent.
    #[error("the service did not take it: {0}")]
    NotServed(String),
    /// The time for the attempt ran out.
    #[error("no answer within the time allowed")]
    Timeout,
    /// The connection broke, or what came was no HTTP.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The answer has a reply for which there was no room here. It is not the subscriber's fault.
    #[error("no room for the reply at the moment")]
    NoRoom,
    /// There is no way to ask: the URL's scheme is not spoken, or the event cannot be put into a request.
    #[error("cannot be asked: {0}")]
    Impossible(String),
}

/// What came of one attempt.
pub type Attempted = Result<Answer, NoAnswer>;
