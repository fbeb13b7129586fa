//! One HTTP/1.1 connection to a target.

use bytes::Bytes;
use http::Request;
use http::response::Parts;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use pelton_http_front::{Driven, SendFailed, text_of};
use pelton_peer::{BoxedIo, Network};

use crate::delivery::NoAnswer;
use crate::endpoint::Authority;
use crate::reply::Collected;

/// A connection to a target.
pub struct Connection(Driven<BoxedIo, Full<Bytes>>);

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// What went wrong, as text.
    pub async fn open(network: &dyn Network, authority: &Authority) -> Result<Self, String> {
        let stream = network.connect(&authority.host, authority.port).await.map_err(|why| why.to_string())?;
        Driven::begin(stream).await.map(Self)
    }

    /// Whether a request went over it before.
    #[must_use]
    pub fn was_used(&self) -> bool {
        self.0.was_used()
    }

    /// Whether another request may go over it.
    #[must_use]
    pub fn is_reusable(&self) -> bool {
        self.0.is_open()
    }

    /// Waits until another request may be sent. `false` when it has ended.
    pub async fn ready(&mut self) -> bool {
        self.0.ready().await
    }

    /// Waits until the other side closes it.
    pub async fn closed(&mut self) {
        self.0.closed().await;
    }

    /// Sends a request and reads the head of the answer.
    ///
    /// # Errors
    /// [`SendFailed`].
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<(Parts, Incoming), SendFailed<Full<Bytes>>> {
        self.0.send(request).await.map(http::Response::into_parts)
    }

    /// Reads a body. `false` when it is longer than `collected` takes; the connection is of no use then.
    ///
    /// # Errors
    /// The connection broke first, or there was no room for what came.
    pub async fn collect(&mut self, body: &mut Incoming, collected: &mut Collected) -> Result<bool, NoAnswer> {
        while !body.is_end_stream() {
            match self.0.drive(body.frame()).await {
                Some(Some(Ok(frame))) => {
                    if let Ok(piece) = frame.into_data()
                        && !collected.take(piece)?
                    {
                        return Ok(false);
                    }
                }
                Some(Some(Err(why))) => return Err(NoAnswer::Broken(text_of(&why))),
                Some(None) | None => break,
            }
        }
        Ok(true)
    }
}
