//! What the tests with real processes share: the built binary as a child, a sink that records, a producer, and one way
//! to wait.
//!
//! Everything here speaks HTTP/1.1 by hand over blocking sockets: a test must be able to send and answer what no
//! library would, and must know exactly which bytes were acknowledged.

#![allow(dead_code, unused_imports, reason = "each test crate uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

pub mod dice;
pub mod event;
pub mod http;
pub mod mount;
pub mod node;
pub mod producers;
pub mod recorder;
pub mod resources;
pub mod sink;
pub mod skip;
pub mod villains;
pub mod wait;

pub use dice::Dice;
pub use event::TestEvent;
pub use http::Connection;
pub use node::{Node, Start};
pub use recorder::Recorder;
pub use sink::Sink;
pub use skip::{Unable, skipped};
pub use wait::{wait_for, wait_until};

/// A Trigger of the Broker `default/default` as YAML. `more` are further lines of its `spec`, each indented by two.
pub fn trigger(name: &str, sink: &str, more: &str) -> String {
    format!(
        "apiVersion: eventing.knative.dev/v1\nkind: Trigger\nmetadata: {{name: {name}}}\nspec:\n  broker: default\n  \
         subscriber: {{uri: '{sink}'}}\n{more}---\n"
    )
}
