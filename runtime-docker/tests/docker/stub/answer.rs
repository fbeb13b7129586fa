//! Answers in the form of the API.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::stream;
use http::{Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::sync::mpsc;

pub type Answer = Response<BoxBody<Bytes, Infallible>>;

/// A status and a text.
pub fn text(status: u16, text: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(text.into()).boxed());
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    answer
}

/// Nothing but a status.
pub fn empty(status: u16) -> Answer {
    text(status, "")
}

/// A value.
pub fn json(status: u16, value: &Value) -> Answer {
    let mut answer = text(status, value.to_string());
    answer.headers_mut().insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
    answer
}

/// Every error has this form.
pub fn error(status: u16, message: impl std::fmt::Display) -> Answer {
    json(status, &json!({ "message": message.to_string() }))
}

/// Whatever comes out of a channel, until it is closed.
pub fn streamed(pieces: mpsc::Receiver<Bytes>) -> Answer {
    let frames = stream::unfold(pieces, |mut pieces| async {
        let piece = pieces.recv().await?;
        Some((Ok(Frame::data(piece)), pieces))
    });
    Response::new(StreamBody::new(frames).boxed())
}
