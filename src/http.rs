//! Small HTTP/1.1 on both sides, for the listeners that are not on the data path (API, metrics, `display`, `demo`)
//! and for the commands that call them, over TLS as well. Bodies are read whole, with a bound; an answer may also come piece by piece.

mod body;
mod client;
mod security;
mod server;
mod stall;
mod tls;

pub use body::Body;
pub use client::{Answer, BadUrl, CallError, Connection, Endpoint, Streamed, Url};
pub use security::{Peer, Security};
pub use server::{Admit, Door, Limits, Server, bind};
pub use tls::{ClientTls, Identity, TlsParts};

/// A response with a body of that media type.
#[must_use]
pub fn response(
    status: http::StatusCode,
    media_type: &str,
    body: impl Into<bytes::Bytes>,
) -> http::Response<bytes::Bytes> {
    let mut response = http::Response::new(body.into());
    *response.status_mut() = status;
    if let Ok(value) = http::HeaderValue::from_str(media_type) {
        response.headers_mut().insert(http::header::CONTENT_TYPE, value);
    }
    response
}
