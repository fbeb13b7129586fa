//! Containers, by a stub of the Engine API or a real engine (`support.rs`).

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails where something is not as it says")]

mod ahead;
mod away;
mod broken;
mod ends;
mod orphans;
mod pause;
mod pull;
mod stub;
mod support;

use pelton_serving_gateway::runtime::conformance;

use self::support::Place;

#[tokio::test]
async fn containers_do_what_every_runtime_must() {
    let place = Place::new();
    conformance::runtime(|| std::future::ready(place.fixture())).await;
    place.until_none().await;
}
