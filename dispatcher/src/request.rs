//! An event as an HTTP request.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Request};
use http_body_util::Full;
use pelton_event::Event;
use pelton_event::http::{STRUCTURED_JSON, binary_cost, encode_binary, encode_structured};
use pelton_event::limits::{MAX_DELIVERY_HEADER_BYTES, MAX_HEADER_COUNT};

use crate::endpoint::Route;
use crate::plan::Plan;
use crate::trigger::Asked;

const PREFER: HeaderName = HeaderName::from_static("prefer");
const KN_NAMESPACE: HeaderName = HeaderName::from_static("kn-namespace");

/// Headers that are no attributes: `Host`, `Content-Length`, `Prefer`, `Kn-Namespace`.
const OTHER_HEADERS: usize = 4;

/// The request that delivers `event` to the subscriber or the dead-letter sink of `plan`, which is at `route`.
///
/// Binary mode, unless the trigger asks for JSON or the headers would be more than many servers read. `data` shares
/// the event's memory.
#[must_use]
pub fn delivery_request(plan: &Plan, asked: Asked, route: &Route, event: &Event) -> Request<Full<Bytes>> {
    let mut headers = HeaderMap::with_capacity(16);
    headers.insert(HOST, route.host.clone());
    let is_binary = !plan.structured
        && binary_cost(event, plan.encoding).fits(MAX_HEADER_COUNT - OTHER_HEADERS, MAX_DELIVERY_HEADER_BYTES);
    let body = if is_binary {
        encode_binary(event, plan.encoding, &mut headers)
    } else {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(STRUCTURED_JSON));
        encode_structured(event)
    };
    headers.insert(KN_NAMESPACE, plan.namespace.clone());
    if asked == Asked::Subscriber {
        headers.insert(PREFER, HeaderValue::from_static("reply"));
    }
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = route.path.clone();
    *request.headers_mut() = headers;
    request
}
