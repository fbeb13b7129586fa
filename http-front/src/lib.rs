//! The connections of an HTTP listener: accepted, bounded, watched and let go. HTTP/1.1, and HTTP/2 by prior
//! knowledge, on the same port.
//!
//! This crate knows nothing of events, Brokers and revisions. Its owner brings a [`Handler`], which answers requests
//! and counts what happens to connections; [`Front::serve`] does the rest. It is generic over the handler, so that a
//! request costs what hyper makes of it and one reference counted: no boxed future or body, no lock, no timer.
//!
//! - A peer may be silent, slow or stuck only so long: one coarse timer a connection looks at marks that requests leave
//!   (`watchdog.rs`). Bodies are not looked at from there, as only who reads one knows whether it waits for the peer or
//!   the peer for it: a handler puts those that must come at a [`Pace`] into [`Paced`].
//! - Connections have a bound, and so have the heads that are not complete: they share a [`Budget`] that the owner
//!   gives, and which may be the one that it takes its requests from.
//! - How long a request is open is a value, [`OpenRequest`]: it goes where the request goes, into the body of an answer
//!   that streams or the task that takes an upgraded stream, and the connection is busy meanwhile.
//! - A request that says twice where it ends is told from others ([`OpenRequest::has_two_lengths`]), which takes a look at
//!   the bytes: hyper chooses one and drops the other.
//! - [`Driven`] is the other side: a client's connection without a task of its own. What passes requests on and what
//!   delivers events both use it.
//! - An upgraded HTTP/1 connection ([`FrontOptions::upgrades`]) leaves the front: its watchdog and its task end, and it
//!   is neither cut nor waited for on shutdown. Its place among the connections goes with it. A stream of HTTP/2 that
//!   was upgraded ([`FrontOptions::connect_protocol`]) stays on its connection.
//!
//! **Invariant:** connections, those upgraded included, are never more than [`FrontOptions::max_connections`], and
//! their incomplete heads hold no more than the budget and 8 KiB each. (`tests/front`)
//! **Invariant:** a panic in a handler ends its connection and gives back its place; no error of a connection ends the
//! listener. (`tests/front`, and the tests of `ingress`)

mod budget;
mod connection;
mod driven;
mod framing;
mod front;
mod handler;
mod head;
mod lifecycle;
mod listener;
mod open_request;
mod options;
mod pace;
mod socket;
mod watchdog;

pub use budget::{Budget, Gauge};
pub use driven::{Driven, SendFailed, text_of};
pub use front::{Front, FrontError, FrontHandle};
pub use handler::{Handler, Occurrence, Refusal};
pub use listener::prepare;
pub use open_request::{OpenBody, OpenRequest};
pub use options::{FrontOptions, FrontOptionsError};
pub use pace::{Pace, Paced, PacedError};
