//! Requests that change the protocol of their connection: WebSocket, and any other (RFC 9110, section 7.8).
//!
//! Nothing that comes after the request is passed on before the instance has agreed: until then it could be another
//! request (CVE-2026-2833).
//!
//! What a client asks for over HTTP/2 (RFC 8441) the instance is asked for over HTTP/1.1 all the same.

use std::any::Any;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;

use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use pelton_http_front::text_of;

use super::answer::{Answer, Relay, own, own_and_close};
use super::connection::connect;
use super::forward::{MAX_TRIES, Way, mark, not_served, timed_out};
use super::line::Carrier;
use super::outgoing::Outgoing;
use super::timers::Timers;
use super::tunnel;
use super::{headers, hop};
use crate::revision::Lease;

/// What is kept as long as a stream of HTTP/2 lives that was upgraded.
#[derive(Debug, Clone)]
pub struct Kept(#[allow(dead_code, reason = "it is only dropped")] pub Arc<dyn Any + Send + Sync>);

/// The protocol that a request wants to change to.
pub fn wanted<B>(request: &Request<B>) -> Option<HeaderValue> {
    match request.extensions().get::<Protocol>() {
        Some(protocol) => HeaderValue::from_str(protocol.as_str()).ok(),
        None => headers::upgrade(request.version(), request.headers()),
    }
}

/// Passes on a request that wants another protocol, and then whatever the two ends say to each other. `parts` are what
/// the instance is to see.
pub async fn forward(to: Way<'_>, mut parts: Parts, body: Incoming, protocol: HeaderValue) -> Response<Answer> {
    if !body.is_end_stream() {
        return own_and_close(StatusCode::BAD_REQUEST, "a request that changes the protocol has no body");
    }
    let Some(client) = parts.extensions.remove::<OnUpgrade>() else {
        return own(StatusCode::BAD_REQUEST, "the protocol of this connection cannot be changed");
    };
    let kept = parts.extensions.remove::<Kept>();
    if parts.method == Method::CONNECT {
        as_http1(&mut parts);
    }
    ask_for(&mut parts.headers, protocol);
    let mut last = String::new();
    for _ in 0..MAX_TRIES {
        let lease = match to.revision.acquire(to.held, to.reach).await {
            Ok(lease) => lease,
            Err(why) => return not_served(&why),
        };
        match connect(lease.line().address()).await {
            Ok(stream) => return through(stream, &parts, client, kept, lease).await,
            Err(why) => {
                last = why.to_string();
                lease.unreachable(&last);
            }
        }
    }
    own(StatusCode::BAD_GATEWAY, &format!("no instance could be connected to: {last}"))
}

fn ask_for(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, protocol);
}

/// What is CONNECT over HTTP/2 is GET over HTTP/1.1, with a key that only the two ends of that connection look at (RFC 8441,
/// section 5).
fn as_http1(parts: &mut Parts) {
    parts.method = Method::GET;
    let random = || RandomState::new().build_hasher().finish();
    // Base64 of 16 bytes: digits and small letters are part of it, and its last letter has no more than two bits.
    let key = format!("{:016x}{:016x}", random(), random());
    if let Ok(key) = HeaderValue::try_from(format!("{}A==", &key[..21])) {
        parts.headers.insert(SEC_WEBSOCKET_KEY, key);
    }
}

/// Asks the instance over a connection of its own. `kept` is there when the client speaks HTTP/2.
async fn through(
    stream: tokio::net::TcpStream,
    parts: &Parts,
    client: OnUpgrade,
    kept: Option<Kept>,
    lease: Lease,
) -> Response<Answer> {
    let mut timers = Timers::begin(lease.timeouts());
    let mut request = Request::new(Outgoing::Empty);
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = parts.uri.clone();
    *request.headers_mut() = parts.headers.clone();
    hop::show(lease.line().hop(), request.headers_mut());
    let asking = async {
        let (mut sender, driver) = http1::handshake(TokioIo::new(stream)).await.map_err(|why| text_of(&why))?;
        tokio::spawn(async move {
            if let Err(error) = driver.with_upgrades().await {
                tracing::debug!(%error, "a connection to an instance ended");
            }
        });
        sender.send_request(request).await.map_err(|why| text_of(&why))
    };
    let outcome = tokio::select! {
        biased;
        outcome = asking => outcome,
        up = timers.up() => {
            lease.timed_out(up);
            return timed_out(up);
        }
    };
    let mut response = match outcome {
        Ok(response) => response,
        Err(why) => {
            lease.unreachable(&why);
            return own(StatusCode::BAD_GATEWAY, &format!("the instance broke off before it answered: {why}"));
        }
    };
    if hop::was_not_taken(lease.line().hop(), response.headers()) {
        lease.unreachable("the gateway that has the instances did not take it");
    }
    lease.answered(response.status());
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let instance = hyper::upgrade::on(&mut response);
        let mut head = response.into_parts().0;
        let protocol = head.headers.remove(UPGRADE);
        headers::for_client(&mut head.headers);
        if kept.is_some() {
            head.status = StatusCode::OK;
            head.headers.remove(SEC_WEBSOCKET_ACCEPT);
        } else if let Some(protocol) = protocol.clone() {
            ask_for(&mut head.headers, protocol);
        }
        mark(&mut head.headers, &lease);
        tokio::spawn(async move {
            tunnel::run(client, instance, protocol, lease).await;
            drop(kept);
        });
        return Response::from_parts(head, Answer::Own(None));
    }
    if kept.is_some() && response.status().is_success() {
        // To CONNECT that would mean that it agrees.
        return own(StatusCode::BAD_GATEWAY, "the instance did not change the protocol");
    }
    timers.started();
    let (mut head, body) = response.into_parts();
    head.version = Version::HTTP_11;
    headers::for_client(&mut head.headers);
    mark(&mut head.headers, &lease);
    let relay = Relay::new(body, Carrier::Task, None, lease, timers);
    let relay = if kept.is_some() { relay.for_stream() } else { relay };
    Response::from_parts(head, Answer::Relayed(Box::new(relay)))
}
