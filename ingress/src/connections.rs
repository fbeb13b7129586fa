//! What the ingress brings to its connections: their bounds, an answer for one too many, and counters.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use pelton_client::Client;
use pelton_http_front::{FrontOptions, Handler, Occurrence, OpenRequest, Refusal};

use crate::Options;
use crate::handler::{self, Shared};
use crate::metrics::Reason;

/// The answer to a connection beyond the bound, with the length of its body.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nAllow: POST, OPTIONS\r\nRetry-After: 1\r\n\
Connection: close\r\nContent-Type: application/problem+json\r\nContent-Length: 149\r\n\r\n\
{\"type\":\"urn:pelton:problem:too-many-connections\",\"title\":\"Too many connections\",\"status\":503,\
\"detail\":\"this node has as many connections as it may\"}";

impl Options {
    /// What of these is about connections. The rest is as the defaults have it: an event is stored whether or not its
    /// producer waits for the answer, and an answer is a few hundred bytes.
    pub(crate) fn front(&self) -> FrontOptions {
        FrontOptions {
            max_connections: self.max_connections,
            turned_away: FULL,
            max_header_bytes: self.max_header_bytes,
            header_timeout: self.header_timeout,
            idle_timeout: self.idle_timeout,
            write_stall: self.write_stall,
            linger_bytes: self.linger_bytes,
            linger: self.linger,
            max_concurrent_streams: self.max_concurrent_streams,
            ..FrontOptions::default()
        }
    }
}

impl<C: Client> Handler for Shared<C> {
    type Body = Full<Bytes>;

    fn answer(
        open: OpenRequest<Self>,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Self::Body>, Infallible>> + Send + 'static {
        handler::answer(open, request)
    }

    fn count(&self, occurrence: Occurrence) {
        let metrics = &self.metrics;
        match occurrence {
            Occurrence::Opened => metrics.connections.increment(1.0),
            Occurrence::Closed => metrics.connections.decrement(1.0),
            Occurrence::TimedOut => metrics.connection_timeouts.increment(1),
            Occurrence::AcceptFailed => metrics.accept_errors.increment(1),
            Occurrence::Refused(refusal) => metrics.refused(reason(refusal), 1),
        }
    }
}

fn reason(refusal: Refusal) -> Reason {
    match refusal {
        Refusal::TooManyConnections => Reason::TooManyConnections,
        Refusal::HeadTooLarge => Reason::HeadersTooLarge,
        Refusal::NotHttp => Reason::NotHttp,
        Refusal::HeadsHoldTooMuch => Reason::NodeBusy,
    }
}
