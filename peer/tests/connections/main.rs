//! Connections between nodes: what is let in, what is turned away, and what is cut.

#![allow(clippy::unwrap_used, reason = "tests")]

mod bounds;
mod pool;
mod stopping;
mod support;
mod tls;
