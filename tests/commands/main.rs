//! The commands about resources as a user runs them: real processes, the API of a real server.
//!
//! What the server does is tested with kubectl in `tests/kube`; here it is what the commands make of it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/pelton.rs"]
mod command;
#[path = "../support/skip.rs"]
#[allow(dead_code, reason = "a part of it is used here")]
mod skip;

mod applying;
mod contexts;
mod deleting;
mod editing;
mod mistakes;
mod reading;
mod scene;
mod screen;
mod tls;
mod verbs;
mod waiting;
