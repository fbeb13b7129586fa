//! Where is my event? The commands that answer it, against a real process.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/pelton.rs"]
mod command;
#[path = "../support/mod.rs"]
mod support;

mod listing;
mod scene;
mod testing;
mod top;
mod tracing;
