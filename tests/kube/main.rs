//! kubectl and Helm as they are against the built binary: command lines, how they end, and what they print.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/pelton.rs"]
mod command;
#[path = "../support/mod.rs"]
mod support;

mod access;
mod access_audit;
mod access_certificates;
mod access_issuer;
mod access_nodes;
mod access_roles;
mod access_tokens;
mod apply;
mod bodies;
mod changing;
mod cluster;
mod conformance;
mod creating;
mod crowd;
mod deleting;
mod describing;
mod editing;
mod events;
mod examples;
mod explaining;
mod guarded;
mod helm;
mod informer;
mod metadata;
mod namespaces;
mod prune;
mod python;
mod reading;
mod rust;
mod scene;
mod server_side;
mod status;
mod tools;
mod validation;
mod waiting;
mod watching;
mod words;
