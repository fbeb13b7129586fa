//! Runtimes, run for real.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails where something is not as it says")]

mod leftovers;
mod neighbours;
mod process;
mod support;

use pelton_serving_gateway::runtime::conformance;

#[tokio::test]
async fn processes_do_what_every_runtime_must() {
    conformance::runtime(support::fixture).await;
}
