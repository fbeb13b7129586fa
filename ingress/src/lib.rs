//! The way in: CloudEvents over HTTP/1.1 and HTTP/2 to [`pelton_client::Client::append`].
//!
//! `POST /{namespace}/{broker}` with an event in binary, structured or batched mode is answered 202 once the log has it
//! in synced storage. The checks and codes are those of Knative Eventing's shared broker ingress, with these
//! choices where it says nothing or differs:
//!
//! | what | answer |
//! | --- | --- |
//! | `OPTIONS`, any path | 200 with `WebHook-Allowed-Origin: *` and `WebHook-Allowed-Rate: *` |
//! | another method | 405 |
//! | `/` / not two segments / a segment that is no DNS label | 404 / 400 / 400; a query string is ignored |
//! | unknown Broker | 404, told before the body is read |
//! | body, batch or batch length beyond the limit | 413, without reading it all |
//! | more than 100 headers, or too many bytes of them | 431 |
//! | an event format that is not read, or any `Content-Encoding` | 415 |
//! | not an event, or not a valid one; `specversion` 0.3 | 400 |
//! | `knativebrokerttl` of 1 or less | 400; otherwise it is taken off and becomes the hop count |
//! | body too slow | 408 |
//! | too many bytes held for the Broker / for the node | 429 / 503 with `Retry-After`, at once; half of each bound is closed to bodies still on their way |
//! | too many connections | 503 with `Retry-After`, then closed |
//! | log overloaded, full, without leader | 503 with `Retry-After` |
//! | log silent for too long | 503 with `Retry-After`; the outcome is not known |
//!
//! A batch is stored whole or not at all; an empty one is 202. Its events share one hop count, the lowest.
//! `knativearrivaltime` is put on once and then kept. Refusals carry `application/problem+json` (RFC 9457) of
//! the type `urn:pelton:problem:...`, with `attribute`, `rule` and `index` where they apply. Every answer that is ours
//! has `Allow: POST, OPTIONS`; to what is not HTTP, and to heads beyond the limits, hyper answers by itself: 400 or 431
//! without a problem.
//!
//! **Invariant:** 202 is sent only after `append` said that the events are durable.
//! **Invariant:** the bytes of requests that are held have a bound a Broker and a node, whatever producers do
//! ([`Options`]). Not counted are 8 KiB a connection, which hyper's buffer takes anyway, and the header block that an
//! HTTP/2 connection is in the middle of; both are bounded by the number of connections.
//! **Invariant:** no label of a metric is under a producer's control.
//!
//! A request costs one timer (the deadline of its append) and, beside what hyper does, the allocations of its event;
//! no span, no boxed body, no header map of its own. Connections, and all deadlines that are theirs, are in
//! [`pelton_http_front`].

mod admission;
mod body;
mod brokers;
mod connections;
mod handler;
mod ingress;
mod metrics;
mod options;
mod problem;
mod route;
mod stamp;

pub use ingress::{Ingress, IngressHandle, OnAppend, ServeError};
pub use options::{Options, OptionsError};
