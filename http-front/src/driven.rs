//! One HTTP/1.1 connection of a client, driven by the task that uses it: a request costs no hop to another task.

use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

/// The largest header section of an answer that is read, in bytes.
const MAX_ANSWER_HEAD_BYTES: usize = 256 * 1024;

/// Why a request was not answered.
#[derive(Debug)]
pub enum SendFailed<B> {
    /// Nothing of it was sent.
    Unsent(Box<Request<B>>, String),
    /// Something of it may have been.
    Broken(String),
}

type Driver<S, B> = Option<Pin<Box<http1::Connection<TokioIo<S>, B>>>>;

/// A connection over `S`, for requests with bodies `B`.
pub struct Driven<S: AsyncRead + AsyncWrite + Unpin, B: Body + 'static> {
    sender: http1::SendRequest<B>,
    /// `None` once it has ended.
    driver: Driver<S, B>,
    was_used: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin, B: Body + 'static> fmt::Debug for Driven<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driven").field("was_used", &self.was_used).finish_non_exhaustive()
    }
}

impl<S, B> Driven<S, B>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    /// Begins HTTP/1.1 on a stream.
    ///
    /// # Errors
    /// What went wrong, as text.
    pub async fn begin(stream: S) -> Result<Self, String> {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(MAX_ANSWER_HEAD_BYTES);
        let (sender, driver) = builder.handshake(TokioIo::new(stream)).await.map_err(|why| text_of(&why))?;
        Ok(Self { sender, driver: Some(Box::pin(driver)), was_used: false })
    }

    /// Whether a request went over it before: then the other side may have closed it meanwhile.
    #[must_use]
    pub const fn was_used(&self) -> bool {
        self.was_used
    }

    /// Whether another request may go over it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.driver.is_some() && !self.sender.is_closed()
    }

    /// Whether it has ended: nothing more comes of a body that waits for it.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.driver.is_none()
    }

    /// Waits until another request may be sent. `false` when it has ended.
    pub async fn ready(&mut self) -> bool {
        self.was_used = true;
        let Self { sender, driver, .. } = self;
        matches!(drive(driver, sender.ready()).await, Some(Ok(()))) && driver.is_some()
    }

    /// Waits until the other side closes it.
    pub async fn closed(&mut self) {
        self.drive(poll_fn(|_| Poll::<()>::Pending)).await;
    }

    /// Sends a request and reads the head of the answer.
    ///
    /// # Errors
    /// [`SendFailed`].
    pub async fn send(&mut self, request: Request<B>) -> Result<Response<Incoming>, SendFailed<B>> {
        let sent = self.sender.try_send_request(request);
        match drive(&mut self.driver, sent).await {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(mut failed)) => {
                let unsent = failed.take_message();
                let why = text_of(failed.error());
                Err(match unsent {
                    Some(request) => SendFailed::Unsent(Box::new(request), why),
                    None => SendFailed::Broken(why),
                })
            }
            None => Err(SendFailed::Broken("the connection ended".to_owned())),
        }
    }

    /// Runs `work`, such as reading a body, while the connection does its part. `None` when it ended and the work waits
    /// for it.
    pub async fn drive<F: Future>(&mut self, work: F) -> Option<F::Output> {
        drive(&mut self.driver, work).await
    }

    /// Does the connection's part of the work once.
    pub fn poll_drive(&mut self, cx: &mut Context<'_>) {
        poll_driver(&mut self.driver, cx);
    }
}

fn poll_driver<D: Future>(driver: &mut Option<Pin<Box<D>>>, cx: &mut Context<'_>) {
    if let Some(connection) = driver
        && connection.as_mut().poll(cx).is_ready()
    {
        *driver = None;
    }
}

async fn drive<D: Future, F: Future>(driver: &mut Option<Pin<Box<D>>>, work: F) -> Option<F::Output> {
    let mut work = pin!(work);
    poll_fn(|cx| {
        poll_driver(driver, cx);
        match work.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            // Dropping the connection tells the work; should it still wait, nothing would ever wake it.
            Poll::Pending if driver.is_none() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// An error with its causes, which hyper leaves out.
#[must_use]
pub fn text_of(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
