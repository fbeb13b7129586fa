//! One HTTP/1.1 connection, driven by the task that uses it: a request costs no hop to another task.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use bytes::Bytes;
use http::Request;
use http::response::Parts;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use pelton_peer::{BoxedIo, Network};

use crate::endpoint::Authority;
use crate::reply::Collected;

type Driver = http1::Connection<TokioIo<BoxedIo>, Full<Bytes>>;

/// The largest header section of an answer that is read, in bytes.
const MAX_ANSWER_HEAD_BYTES: usize = 256 * 1024;

/// A connection to a target.
pub struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    /// `None` once it has ended.
    driver: Option<Pin<Box<Driver>>>,
    used: bool,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// What went wrong, as text.
    pub async fn open(network: &dyn Network, authority: &Authority) -> Result<Self, String> {
        let stream = network.connect(&authority.host, authority.port).await.map_err(|why| why.to_string())?;
        let (sender, driver) = http1::Builder::new()
            .max_buf_size(MAX_ANSWER_HEAD_BYTES)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|why| text_of(&why))?;
        Ok(Self { sender, driver: Some(Box::pin(driver)), used: false })
    }

    /// Whether a request went over it before.
    #[must_use]
    pub fn was_used(&self) -> bool {
        self.used
    }

    /// Whether another request may go over it.
    #[must_use]
    pub fn is_reusable(&self) -> bool {
        self.driver.is_some() && !self.sender.is_closed()
    }

    /// Waits until another request may be sent. `false` when it has ended.
    pub async fn ready(&mut self) -> bool {
        self.used = true;
        let Self { sender, driver, .. } = self;
        matches!(drive(driver, sender.ready()).await, Some(Ok(()))) && driver.is_some()
    }

    /// Waits until the other side closes it.
    pub async fn closed(&mut self) {
        drive(&mut self.driver, poll_fn(|_| Poll::<()>::Pending)).await;
    }

    /// Sends a request and reads the head of the answer.
    ///
    /// # Errors
    /// What went wrong, and the request when nothing of it was sent.
    pub async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<(Parts, Incoming), (String, Option<Request<Full<Bytes>>>)> {
        let sent = self.sender.try_send_request(request);
        match drive(&mut self.driver, sent).await {
            Some(Ok(answer)) => Ok(answer.into_parts()),
            Some(Err(mut failed)) => {
                let unsent = failed.take_message();
                Err((text_of(failed.error()), unsent))
            }
            None => Err(("the connection ended".to_owned(), None)),
        }
    }

    /// Reads a body. `false` when it is longer than `collected` takes; the connection is of no use then.
    ///
    /// # Errors
    /// The connection broke first, or there was no room for what came.
    pub async fn collect(
        &mut self,
        body: &mut Incoming,
        collected: &mut Collected,
    ) -> Result<bool, crate::delivery::NoAnswer> {
        while !body.is_end_stream() {
            match drive(&mut self.driver, body.frame()).await {
                Some(Some(Ok(frame))) => {
                    if let Ok(piece) = frame.into_data()
                        && !collected.take(piece)?
                    {
                        return Ok(false);
                    }
                }
                Some(Some(Err(why))) => return Err(crate::delivery::NoAnswer::Broken(text_of(&why))),
                Some(None) | None => break,
            }
        }
        Ok(true)
    }
}

/// Runs `work` while the connection does its part. `None` when the connection ended and the work waits for it.
async fn drive<F: Future>(driver: &mut Option<Pin<Box<Driver>>>, work: F) -> Option<F::Output> {
    let mut work = pin!(work);
    poll_fn(|context| {
        let ended_now = match driver {
            Some(connection) => connection.as_mut().poll(context).is_ready(),
            None => false,
        };
        if ended_now {
            *driver = None;
        }
        match work.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            // Dropping the connection tells the work; should it still wait, nothing would ever wake it.
            Poll::Pending if driver.is_none() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// An error with its causes, which hyper leaves out.
fn text_of(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
