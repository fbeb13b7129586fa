//! Ends that the gateway did not ask for, and starts that come to nothing.

use pelton_serving_gateway::runtime::conformance::{Deployed, ask};
use pelton_serving_gateway::runtime::{Exit, RuntimeError};

use crate::support::{Place, why_not_started};

#[tokio::test]
async fn one_that_somebody_removes_is_lost() {
    let place = Place::new();
    let mut deployed = place.deployed().await;
    let (id, address) = deployed.serve().await;
    assert_eq!(place.api("DELETE", &format!("/containers/{id}?force=true")).await.0, 204);
    assert_eq!(deployed.exit(&id).await, Exit::Lost("somebody removed its container".to_owned()));
    assert!(ask(address, "/").await.is_err(), "nobody is there");
    let refused = deployed.workload.pause(&id).await;
    assert!(matches!(refused, Err(RuntimeError::Gone(_))), "{refused:?}");
    // The next one is as good as any.
    let (id, _) = deployed.serve().await;
    crate::support::stop(&mut deployed, &id).await;
    deployed.is_over().await;
    place.until_none().await;
}

#[tokio::test]
async fn one_that_somebody_kills_was_ended_by_a_signal() {
    let place = Place::new();
    let mut deployed = place.deployed().await;
    let (id, _) = deployed.serve().await;
    assert_eq!(place.api("POST", &format!("/containers/{id}/kill?signal=SIGKILL")).await.0, 204);
    assert_eq!(deployed.exit(&id).await, Exit::Signal(9));
    deployed.is_over().await;
    place.until_none().await;
}

#[tokio::test]
async fn one_that_took_too_much_memory_is_told() {
    let place = Place::with_stub();
    let mut deployed = place.deployed().await;
    let (id, _) = deployed.serve().await;
    place.stub().next_end_is_out_of_memory(&id.0);
    assert_eq!(place.api("POST", &format!("/containers/{id}/kill?signal=SIGKILL")).await.0, 204);
    assert_eq!(deployed.exit(&id).await, Exit::OutOfMemory);
    deployed.is_over().await;
}

#[tokio::test]
async fn limits_are_said_to_the_engine_and_its_refusal_to_people() {
    let place = Place::with_stub();
    let mut deployed = Deployed::new(place.fixture(), &["serve"], |spec| {
        spec.memory_bytes = Some(64 << 20);
        spec.cpu_millis = Some(500);
    })
    .await;
    let (id, _) = deployed.serve().await;
    let host = &place.stub().config(&id.0)["HostConfig"];
    assert_eq!((host["Memory"].as_u64(), host["NanoCpus"].as_u64()), (Some(64 << 20), Some(500_000_000)));
    drop(deployed);
    let why = place.why_not(|spec| spec.memory_bytes = Some(1)).await;
    assert!(why.contains("Minimum memory limit allowed is 6MB"), "{why}");
}

#[tokio::test]
async fn a_program_that_is_not_in_the_image_is_named() {
    let place = Place::new();
    let change = |spec: &mut pelton_serving_gateway::runtime::WorkloadSpec| {
        spec.command = vec!["/none/such/program".to_owned()];
    };
    let mut deployed = Deployed::new(place.fixture(), &[], change).await;
    for _ in 0..2 {
        let why = why_not_started(&mut deployed).await;
        assert!(why.contains("/none/such/program"), "{why}");
    }
    deployed.is_over().await;
    place.until_none().await;
}
