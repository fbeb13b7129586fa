//! The dispatcher against subscribers that do as they are told. Numbers in the tests are those of the conformance
//! list that they follow (Knative Eventing, data plane and reconciler suites).

#![allow(clippy::unwrap_used, reason = "a test fails where something is not as it says")]

mod bytes;
mod counted;
mod damage;
mod faults;
mod gauges;
mod lifecycle;
mod ordered;
mod policies;
mod replies;
mod responses;
mod routing;
mod service;
mod services;
mod sessions;
mod sink;
mod world;
