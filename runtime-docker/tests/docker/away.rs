//! Engines that are away, and come back.

use std::sync::Arc;

use pelton_serving_gateway::runtime::InstanceEvent;
use pelton_serving_gateway::runtime::conformance::{Deployed, ask};

use crate::support::{PATIENCE, Place, stop, why_not_started};

#[tokio::test]
async fn a_deployment_says_who_is_away_and_succeeds_once_they_are_there() {
    let place = Place::with_stub();
    place.stub().go_away().await;
    let fixture = place.fixture();
    let spec = Arc::new(fixture.spec.clone());
    let (events, _told) = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..2 {
        let refused = fixture.runtime.deploy(spec.clone(), events.clone()).await.unwrap_err();
        let why = pelton_http_front::text_of(&refused);
        let socket = place.stub().socket();
        let want = format!("no container can be run: no engine can be reached at {}: No such file", socket.display());
        assert!(why.starts_with(&want), "{why}");
    }
    place.stub().come_back();
    let workload = fixture.runtime.deploy(spec, events).await.unwrap();
    drop(workload);
    place.until_none().await;
}

#[tokio::test]
async fn a_start_says_who_is_away_and_leaves_nothing() {
    let place = Place::with_stub();
    let mut deployed = place.deployed().await;
    let ahead = place.until_ahead().await;
    place.stub().go_away().await;
    // The one that is ahead, and one that is not.
    for _ in 0..2 {
        let why = why_not_started(&mut deployed).await;
        assert!(why.contains("no engine can be reached"), "{why}");
    }
    place.stub().come_back();
    let (id, _) = deployed.serve().await;
    assert_ne!(&*id.0, ahead);
    stop(&mut deployed, &id).await;
    deployed.is_over().await;
    place.until_none().await;
}

/// Starts are tried again for as long as it is away, and none of them leaves something that waits for it.
#[tokio::test]
async fn starts_that_fail_leave_no_tasks() {
    const MANY: usize = 100;
    let place = Place::with_stub();
    let mut deployed = place.deployed().await;
    place.until_ahead().await;
    place.stub().go_away().await;
    for _ in 0..MANY {
        why_not_started(&mut deployed).await;
    }
    let settled = async {
        // Others of this test are a few.
        while tokio::runtime::Handle::current().metrics().num_alive_tasks() >= MANY {
            tokio::task::yield_now().await;
        }
    };
    let settled = tokio::time::timeout(PATIENCE, settled).await;
    assert!(settled.is_ok(), "each start has left a task");
}

/// As when Docker is upgraded with `live-restore`.
#[tokio::test]
async fn an_instance_outlives_a_restart_of_its_engine() {
    let place = Place::with_stub();
    let mut deployed = place.deployed().await;
    let (id, address) = deployed.serve().await;
    place.stub().go_away().await;
    assert!(ask(address, "/").await.is_ok(), "it is still there");
    assert!(deployed.workload.pause(&id).await.is_err());
    place.stub().come_back();
    assert_eq!(ask(address, "/count").await.unwrap().as_deref(), Some("1"));
    deployed.workload.pause(&id).await.unwrap();
    deployed.workload.resume(&id).await.unwrap();
    stop(&mut deployed, &id).await;
    deployed.is_over().await;
    place.until_none().await;
}

/// Its end is told once it is known.
#[tokio::test]
async fn an_end_that_nobody_saw_is_told_when_the_engine_is_back() {
    let place = Place::with_stub();
    let mut deployed = place.deployed().await;
    let (id, address) = deployed.serve().await;
    place.stub().go_away().await;
    assert!(ask(address, "/exit/3").await.is_err(), "it has no time to answer");
    place.stub().come_back();
    assert_eq!(
        deployed.event().await,
        InstanceEvent::Exited { id, exit: pelton_serving_gateway::runtime::Exit::Code(3) }
    );
    deployed.is_over().await;
    place.until_none().await;
}

#[tokio::test]
async fn whoever_is_stopped_while_the_engine_is_away_ends_when_it_is_back() {
    let place = Place::with_stub();
    let change = |spec: &mut pelton_serving_gateway::runtime::WorkloadSpec| {
        spec.grace = std::time::Duration::from_millis(50);
    };
    let mut deployed = Deployed::new(place.fixture(), &["serve"], change).await;
    let (id, _) = deployed.serve().await;
    place.stub().go_away().await;
    deployed.workload.stop(&id);
    place.stub().come_back();
    assert_eq!(deployed.exit(&id).await, pelton_serving_gateway::runtime::Exit::Stopped);
    deployed.is_over().await;
    place.until_none().await;
}
