//! One request, from the moment at which its revision is known: it waits for a slot, goes to an instance, and its answer
//! comes back as the instance sends it.

use std::net::IpAddr;
use std::sync::Arc;

use http::header::HOST;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::{Body as _, Incoming};
use tokio::time::Instant;

use super::answer::{Answer, Relay, own};
use super::connection::SendFailed;
use super::headers::{self, Asked};
use super::hop;
use super::line::Answered;
use super::outgoing::Outgoing;
use super::timers::{TimeUp, Timers};
use super::upgrade;
use crate::revision::{Lease, NotServed, Reach, Revision};

/// Instances that are tried for one request, at most.
pub const MAX_TRIES: u32 = 4;

/// Whether an instance had to be started or resumed for the request: `true` or `false`.
const COLD_START: HeaderName = HeaderName::from_static("pelton-cold-start");
/// How long the request waited for an instance, in milliseconds with three decimals. Only when it did.
const WAITED: HeaderName = HeaderName::from_static("pelton-waited-ms");

/// What of a body may lie in memory while its request waits, in bytes: HTTP/1.1's read buffer, a stream's window.
const HTTP1_READ_AHEAD: usize = 64 * 1024;
const HTTP2_READ_AHEAD: usize = 1024 * 1024;

/// Where a request goes.
#[derive(Debug)]
pub struct Destination<'a> {
    /// The revision.
    pub revision: &'a Arc<Revision>,
    /// The host that the request named.
    pub host: &'a str,
    /// The host that the instance is to see, when it came by a custom domain.
    pub rewritten: Option<&'a str>,
    /// Where the request came from.
    pub peer: Option<IpAddr>,
}

/// Answers a request.
pub async fn forward(to: Destination<'_>, request: Request<Incoming>) -> Response<Answer> {
    let wanted = upgrade::wanted(&request);
    let held = held_while_waiting(&request);
    // What was passed on to a gateway that was here before goes no further: it would go round.
    let reach = if request.headers().contains_key(hop::PASS) { Reach::Here } else { Reach::Anywhere };
    let (mut parts, body) = request.into_parts();
    if parts.version >= Version::HTTP_2 {
        headers::join_cookies(&mut parts.headers);
    }
    headers::for_instance(&mut parts.headers, Asked { peer: to.peer, host: to.host, rewritten: to.rewritten });
    let to = Way { revision: to.revision, reach, held };
    send(to, Request::from_parts(parts, body), wanted).await
}

/// Answers a request that another gateway has passed on, with the headers that the instance is to see.
pub async fn forward_passed_on(revision: &Arc<Revision>, request: Request<Incoming>) -> Response<Answer> {
    let wanted = headers::upgrade(request.version(), request.headers());
    let held = held_while_waiting(&request);
    let (mut parts, body) = request.into_parts();
    headers::strip_hop_by_hop(&mut parts.headers);
    // Over HTTP/2 the host came as a part of the target.
    if let Some(authority) = parts.uri.authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        parts.headers.insert(HOST, host);
    }
    let to = Way { revision, reach: Reach::Here, held };
    let response = send(to, Request::from_parts(parts, body), wanted).await;
    if response.extensions().get::<NotTaken>().is_some() { not_taken(response) } else { response }
}

/// Says to the other gateway that no instance has had the request.
pub fn not_taken(mut response: Response<Answer>) -> Response<Answer> {
    response.headers_mut().insert(hop::NOT_TAKEN, HeaderValue::from_static("true"));
    response
}

/// Of an answer: no instance has had the request.
#[derive(Debug, Clone, Copy)]
struct NotTaken;

/// How a request gets its instance.
#[derive(Debug, Clone, Copy)]
pub struct Way<'a> {
    /// The revision.
    pub revision: &'a Arc<Revision>,
    /// Which instances may take it.
    pub reach: Reach,
    /// Bytes that it holds while it waits.
    pub held: usize,
}

async fn send(to: Way<'_>, request: Request<Incoming>, wanted: Option<HeaderValue>) -> Response<Answer> {
    let (mut parts, body) = request.into_parts();
    origin_form(&mut parts);
    let is_stream = parts.version >= Version::HTTP_2;
    parts.version = Version::HTTP_11;
    if let Some(protocol) = wanted {
        return upgrade::forward(to, parts, body, protocol).await;
    }
    let mut attempt = Attempt { request: Request::from_parts(parts, Outgoing::of(body)), is_stream, timers: None };
    let mut last = String::new();
    for _ in 0..MAX_TRIES {
        let asked = Instant::now();
        let lease = match to.revision.acquire(to.held, to.reach).await {
            Ok(lease) => lease,
            Err(why) => return not_served(&why),
        };
        match attempt.make(lease, asked).await {
            Ended::Answered(response) => return response,
            Ended::Again(next, why) => (attempt, last) = (*next, why),
        }
    }
    own(StatusCode::BAD_GATEWAY, &format!("no instance took the request: {last}"))
}

struct Attempt {
    request: Request<Outgoing>,
    /// Whether it came as a stream of HTTP/2.
    is_stream: bool,
    timers: Option<Timers>,
}

enum Ended {
    Answered(Response<Answer>),
    Again(Box<Attempt>, String),
}

impl Attempt {
    /// `asked` is when an instance was asked for.
    async fn make(self, lease: Lease, asked: Instant) -> Ended {
        let Self { mut request, is_stream, timers } = self;
        let mut timers = match timers {
            None => Timers::begin(lease.timeouts()),
            Some(mut timers) => {
                timers.go_on(lease.timeouts(), asked.elapsed());
                timers
            }
        };
        hop::show(lease.line().hop(), request.headers_mut());
        let copy = Repeat::if_safe(&request);
        let sent = request.body().progress();
        let outcome = tokio::select! {
            biased;
            outcome = lease.line().send(request) => outcome,
            up = timers.up() => {
                lease.timed_out(up);
                return Ended::Answered(timed_out(up));
            }
        };
        match outcome {
            Ok(Answered { response, carrier }) => {
                if hop::was_not_taken(lease.line().hop(), response.headers()) {
                    let why = format!("the gateway that has the instances did not take it: {}", response.status());
                    lease.unreachable(&why);
                    if let Some(copy) = copy {
                        let request = copy.into_request();
                        return Ended::Again(Box::new(Self { request, is_stream, timers: Some(timers) }), why);
                    }
                }
                timers.started();
                let (mut parts, body) = response.into_parts();
                headers::for_client(&mut parts.headers);
                // The version is that of a connection (RFC 9110, section 6.2); the client's is not the instance's.
                parts.version = Version::HTTP_11;
                mark(&mut parts.headers, &lease);
                lease.answered(parts.status);
                let relay = Relay::new(body, carrier, sent, lease, timers);
                let relay = if is_stream { relay.for_stream() } else { relay };
                Ended::Answered(Response::from_parts(parts, Answer::Relayed(Box::new(relay))))
            }
            Err(SendFailed::Unsent(request, why)) => {
                lease.unreachable(&why);
                Ended::Again(Box::new(Self { request: *request, is_stream, timers: Some(timers) }), why)
            }
            Err(SendFailed::Broken(_)) if sent.as_ref().is_some_and(|sent| sent.has_broken()) => {
                // The instance did nothing wrong, and what is left of the client's connection cannot be read.
                let sentence = "the body of the request broke off or is badly framed";
                Ended::Answered(own(StatusCode::BAD_REQUEST, sentence))
            }
            Err(SendFailed::Broken(why)) => {
                lease.unreachable(&why);
                match copy {
                    Some(copy) => {
                        let request = copy.into_request();
                        Ended::Again(Box::new(Self { request, is_stream, timers: Some(timers) }), why)
                    }
                    None => {
                        let sentence = format!("the instance broke off before it answered: {why}");
                        Ended::Answered(own(StatusCode::BAD_GATEWAY, &sentence))
                    }
                }
            }
        }
    }
}

/// What is needed to make a request once more. It hardly ever is: a list is cheaper to make than a map.
struct Repeat {
    method: Method,
    uri: Uri,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Repeat {
    /// Of a request that may be made again although an instance may have seen it: its method is idempotent (RFC 9110,
    /// section 9.2.2), and there is no body that is gone by then.
    fn if_safe(request: &Request<Outgoing>) -> Option<Self> {
        let is_idempotent = matches!(
            *request.method(),
            Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
        );
        if !is_idempotent || !request.body().is_empty() {
            return None;
        }
        let headers = request.headers().iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        Some(Self { method: request.method().clone(), uri: request.uri().clone(), headers })
    }

    fn into_request(self) -> Request<Outgoing> {
        let mut request = Request::new(Outgoing::Empty);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        for (name, value) in self.headers {
            request.headers_mut().append(name, value);
        }
        request
    }
}

/// The bytes that a request holds in memory while it waits: its head, and what is read ahead of its body.
fn held_while_waiting(request: &Request<Incoming>) -> usize {
    let head: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    let ahead = if request.version() >= Version::HTTP_2 { HTTP2_READ_AHEAD } else { HTTP1_READ_AHEAD };
    let body = request.body().size_hint().upper().map_or(ahead, |bytes| (bytes as usize).min(ahead));
    head + request.uri().path().len() + body
}

/// The path and query as they came, without scheme and host: what an origin server reads (RFC 9112, section 3.2.1).
fn origin_form(parts: &mut Parts) {
    if parts.uri.scheme().is_some() || parts.uri.authority().is_some() {
        let path = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        parts.uri = path.parse().unwrap_or_else(|_| http::Uri::from_static("/"));
    }
}

/// Says whether the request had to wait for an instance, and for how long.
pub fn mark(headers: &mut http::HeaderMap, lease: &Lease) {
    if lease.line().hop().is_some() {
        // The gateway that had the instance has said so.
        return;
    }
    let cold = if lease.was_cold() { "true" } else { "false" };
    headers.insert(COLD_START, HeaderValue::from_static(cold));
    if let Some(waited) = lease.waited()
        && let Ok(value) = HeaderValue::try_from(format!("{:.3}", waited.as_secs_f64() * 1_000.0))
    {
        headers.insert(WAITED, value);
    }
}

/// The answer to a request whose time is up before an answer began.
pub fn timed_out(up: TimeUp) -> Response<Answer> {
    let which = match up {
        TimeUp::Total => "timeoutSeconds",
        TimeUp::ResponseStart => "responseStartTimeoutSeconds",
        TimeUp::Idle => "idleTimeoutSeconds",
    };
    own(StatusCode::GATEWAY_TIMEOUT, &format!("request timeout: the instance did not answer within {which}"))
}

/// The answer to a request that no instance took.
pub fn not_served(why: &NotServed) -> Response<Answer> {
    let status = match why {
        NotServed::Full(_) | NotServed::CrashLoop(_) | NotServed::NotInTime(_) | NotServed::NotDeployed(_) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        NotServed::Retired => StatusCode::NOT_FOUND,
    };
    let mut response = own(status, &why.to_string());
    response.extensions_mut().insert(NotTaken);
    response
}
