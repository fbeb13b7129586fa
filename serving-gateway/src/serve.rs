//! A request as it comes in: whom it is for, and what is answered when that is nobody.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::HOST;
use http::uri::Authority;
use http::{HeaderName, Method, Request, Response, StatusCode, Version};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::ext::Protocol;
use metrics::{Counter, Gauge, counter, gauge};
use pelton_client::serving::Unroutable;
use pelton_http_front::{Handler, Occurrence, OpenRequest, Refusal};

use crate::gateway::Shared;
use crate::proxy::{
    Answer, BadRequest, Destination, Kept, check, forward, forward_passed_on, not_taken, own, own_and_close, passed_on,
};

/// Chooses a revision by its tag (spec/serving.md, 5.3).
const TAG: HeaderName = HeaderName::from_static("knative-serving-tag");

/// Answers the requests of a gateway.
#[derive(Debug)]
pub(crate) struct Serving {
    shared: Arc<Shared>,
    /// Goes round the percents of splits: each hundred requests in a row are split exactly.
    dice: AtomicU64,
    unknown_hosts: Counter,
    bad_requests: Counter,
    connections: Gauge,
    timed_out: Counter,
    refused: [Counter; 4],
}

impl Serving {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let refused = |reason: &'static str| counter!("pelton_gateway_connections_refused_total", "reason" => reason);
        Self {
            shared,
            dice: AtomicU64::new(0),
            unknown_hosts: counter!("pelton_gateway_unknown_host_total"),
            bad_requests: counter!("pelton_gateway_bad_requests_total"),
            connections: gauge!("pelton_gateway_connections"),
            timed_out: counter!("pelton_gateway_connection_timeouts_total"),
            refused: ["too-many", "head-too-large", "not-http", "heads-hold-too-much"].map(refused),
        }
    }

    async fn serve(&self, request: Request<Incoming>, peer: std::net::IpAddr) -> Response<Answer> {
        if request.method() == Method::CONNECT && request.extensions().get::<Protocol>().is_none() {
            // What follows on HTTP/1 was meant for whom it wanted to reach.
            let answer = if request.version() < Version::HTTP_2 { own_and_close } else { own };
            return answer(StatusCode::METHOD_NOT_ALLOWED, "CONNECT is not served here");
        }
        if request.uri().scheme().is_none() && request.uri().authority().is_some() {
            // Only CONNECT names a place and nothing there (RFC 9112, section 3.2.3).
            self.bad_requests.increment(1);
            return own_and_close(StatusCode::BAD_REQUEST, "the target of the request is neither a path nor a URL");
        }
        if let Some(uid) = passed_on(request.headers(), self.shared.pass()).map(str::to_owned) {
            let revision = self.shared.revision_of(&self.shared.routing(), &uid);
            return match revision {
                Some(revision) => forward_passed_on(&revision, request).await,
                None => not_taken(own(StatusCode::SERVICE_UNAVAILABLE, "the revision is not known here yet")),
            };
        }
        let Some(host) = host_of(&request).map(str::to_owned) else {
            self.bad_requests.increment(1);
            return own(StatusCode::BAD_REQUEST, "the request names no host");
        };
        if !is_host(&host) {
            self.bad_requests.increment(1);
            return own(
                StatusCode::BAD_REQUEST,
                "the host of the request is none: a name or an address, and perhaps a port",
            );
        }
        let tag = request.headers().get(TAG).and_then(|tag| tag.to_str().ok());
        let routing = self.shared.routing();
        // 61 has no factor in common with 100: requests in a row do not all fall to one revision.
        let dice = self.dice.fetch_add(61, Ordering::Relaxed);
        let target = match routing.table.resolve(&host, tag, dice) {
            Ok(target) => target,
            Err(Unroutable::UnknownHost) => {
                self.unknown_hosts.increment(1);
                return own(StatusCode::NOT_FOUND, "no service has this host");
            }
            Err(why @ Unroutable::NoRevision) => return own(StatusCode::SERVICE_UNAVAILABLE, &why.to_string()),
        };
        let Some(revision) = self.shared.revision(&routing, target.revision) else {
            return own(StatusCode::SERVICE_UNAVAILABLE, "the revision is not known here yet");
        };
        let rewritten = target.rewrite_host.map(str::to_owned);
        drop(routing);
        let to = Destination { revision: &revision, host: &host, rewritten: rewritten.as_deref(), peer: Some(peer) };
        forward(to, request).await
    }
}

/// Whether it can be one (RFC 9112, section 3.2; empty where the target has none): a reader of its beginning alone would take
/// another for one.
fn is_host(host: &str) -> bool {
    host.is_empty() || is_plain(host) || (!host.contains('@') && host.parse::<Authority>().is_ok())
}

/// A name or an IPv4 address, and perhaps a port: what nearly every host is.
fn is_plain(host: &str) -> bool {
    let (name, port) = host.split_once(':').unwrap_or((host, "0"));
    let is_name =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
    is_name && (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// The host that a request is for: that of its target if it has one, else the header (RFC 9112, section 3.2.2).
fn host_of(request: &Request<Incoming>) -> Option<&str> {
    if let Some(authority) = request.uri().authority() {
        return Some(authority.as_str());
    }
    if request.version() >= Version::HTTP_2 {
        return None;
    }
    request.headers().get(HOST)?.to_str().ok()
}

impl Handler for Serving {
    type Body = Held;

    async fn answer(open: OpenRequest<Self>, mut request: Request<Incoming>) -> Result<Response<Held>, Infallible> {
        if request.extensions().get::<Protocol>().is_some() {
            // It stays a part of its connection, which is busy as long as the stream lives.
            let open = Arc::new(open);
            request.extensions_mut().insert(Kept(Arc::clone(&open) as _));
            let answer = open.handler().serve(request, open.peer().ip()).await;
            return Ok(answer.map(|answer| Held { answer, _open: None, _kept: Some(Kept(open)) }));
        }
        let two_lengths = if open.has_two_lengths() { Err(BadRequest::TwoLengths) } else { Ok(()) };
        let answer = match two_lengths.and_then(|()| check(request.version(), request.headers())) {
            Ok(()) => open.handler().serve(request, open.peer().ip()).await,
            Err(why) => {
                open.handler().bad_requests.increment(1);
                open.leave_body_unread();
                own_and_close(StatusCode::BAD_REQUEST, &why.to_string())
            }
        };
        Ok(answer.map(|answer| {
            let open = matches!(answer, Answer::Relayed(_)).then_some(open);
            Held { answer, _open: open, _kept: None }
        }))
    }

    fn count(&self, occurrence: Occurrence) {
        match occurrence {
            Occurrence::Opened => self.connections.increment(1.0),
            Occurrence::Closed => self.connections.decrement(1.0),
            Occurrence::TimedOut => self.timed_out.increment(1),
            Occurrence::AcceptFailed => {}
            Occurrence::Refused(refusal) => {
                let at = match refusal {
                    Refusal::TooManyConnections => 0,
                    Refusal::HeadTooLarge => 1,
                    Refusal::NotHttp => 2,
                    Refusal::HeadsHoldTooMuch => 3,
                };
                self.refused[at].increment(1);
            }
        }
    }
}

/// An answer, and that its request is open until it has been passed on.
#[derive(Debug)]
pub(crate) struct Held {
    answer: Answer,
    _open: Option<OpenRequest<Serving>>,
    /// The same, of one that the task of a stream keeps open as well.
    _kept: Option<Kept>,
}

impl Body for Held {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Pin::new(&mut self.answer).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.answer.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.answer.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_looks_plain_is_an_authority(host in "[a-zA-Z0-9.:@_/\\[\\]-]{0,12}(:[0-9]{0,6})?") {
            if is_plain(&host) {
                prop_assert!(host.parse::<Authority>().is_ok(), "{}", host);
            }
        }
    }
}
