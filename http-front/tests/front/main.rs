//! A front over real sockets, raw bytes in and raw bytes out.

#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]

mod bounds;
mod gone;
mod http2;
mod open;
mod stopping;
mod support;
mod upgrades;
