//! Services run by the built binary: started by a request or an event, paused, stopped, replaced.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/pelton.rs"]
mod command;
#[path = "../support/mod.rs"]
mod support;

mod bad;
mod commands;
mod consumer;
mod consumer_h2c;
mod cycles;
mod docker;
mod domains;
mod events;
mod neighbours;
mod probes;
mod requests;
mod revisions;
mod scaling;
mod service;
mod shared;
mod smuggling;
mod streams;
mod websocket;
