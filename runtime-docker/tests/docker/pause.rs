//! Pauses that an engine does not make.

use pelton_serving_gateway::runtime::conformance::ask;
use pelton_serving_gateway::runtime::{Exit, RuntimeError};
use serde_json::json;

use crate::stub::Fault;
use crate::support::{Place, stop};

/// Podman without root, with cgroups of version 1.
#[tokio::test]
async fn it_is_asked_whether_anything_can_be_paused() {
    let place = Place::with_stub();
    place.stub().set_info(json!({ "CgroupVersion": "1", "SecurityOptions": ["name=seccomp", "name=rootless"] }));
    let deployed = place.deployed().await;
    assert!(!deployed.fixture.runtime.can_pause());
    let place = Place::with_stub();
    assert!(place.deployed().await.fixture.runtime.can_pause());
}

/// It runs on, in doubt.
#[tokio::test]
async fn an_instance_that_cannot_be_paused_runs_on() {
    for fault in [Fault::Refused(500, "cannot freeze".to_owned()), Fault::Garbage, Fault::CutOff] {
        let place = Place::with_stub();
        let mut deployed = place.deployed().await;
        let (id, address) = deployed.serve().await;
        place.stub().break_next("/pause", fault.clone());
        let paused = deployed.workload.pause(&id).await;
        match &fault {
            Fault::Refused(..) => {
                let Err(RuntimeError::Failed { what, .. }) = &paused else { panic!("{paused:?}") };
                assert!(what.contains("could not be paused"), "{what}");
            }
            // What counts is what it is: it may have come about.
            Fault::Garbage | Fault::CutOff => {}
        }
        if paused.is_err() {
            assert!(ask(address, "/").await.is_ok(), "{fault:?}");
        }
        deployed.workload.resume(&id).await.unwrap();
        assert!(ask(address, "/").await.is_ok(), "{fault:?}");
        stop(&mut deployed, &id).await;
        deployed.is_over().await;
        place.until_none().await;
    }
}

/// By hand: the engine refuses what is so already.
#[tokio::test]
async fn a_pause_by_somebody_else_is_a_pause() {
    let place = Place::new();
    let mut deployed = place.deployed().await;
    let (id, address) = deployed.serve().await;
    assert_eq!(place.api("POST", &format!("/containers/{id}/pause")).await.0, 204);
    deployed.workload.pause(&id).await.unwrap();
    assert_eq!(place.api("POST", &format!("/containers/{id}/unpause")).await.0, 204);
    deployed.workload.resume(&id).await.unwrap();
    assert!(ask(address, "/").await.is_ok());
    // One that stands still when it is to end is asked as any other.
    deployed.workload.pause(&id).await.unwrap();
    deployed.workload.stop(&id);
    assert_eq!(deployed.exit(&id).await, Exit::Stopped);
    deployed.is_over().await;
    place.until_none().await;
}
