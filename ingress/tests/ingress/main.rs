//! The ingress over real sockets, raw bytes in and raw bytes out.

#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]

mod abuse;
mod admission;
mod answers;
mod decoders;
mod events;
mod http2;
mod http2_abuse;
mod lifecycle;
mod metrics;
mod panics;
mod support;
