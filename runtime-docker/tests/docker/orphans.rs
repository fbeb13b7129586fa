//! What is left behind: nothing.

use std::sync::Arc;

use pelton_env::SystemClock;
use pelton_serving_gateway::logs::{LogOptions, Logs};
use pelton_serving_gateway::runtime::Runtime as _;

use crate::stub::Fault;
use crate::support::Place;

/// In place of a gateway that is killed: all of its tasks end at once, with nothing done.
#[test]
fn a_gateway_that_is_killed_leaves_nothing_to_the_next() {
    let threads = tokio::runtime::Runtime::new().unwrap();
    let killed = tokio::runtime::Runtime::new().unwrap();
    let (place, other) = threads.block_on(async { (Place::new(), Place::new()) });
    // Whose it is decides: this one goes on.
    let neighbour = threads.block_on(async {
        let mut deployed = other.deployed().await;
        deployed.serve().await;
        deployed
    });
    let dead = killed.block_on(async {
        let mut deployed = place.deployed().await;
        deployed.serve().await;
        let (paused, _) = deployed.serve().await;
        deployed.workload.pause(&paused).await.unwrap();
        place.until_ahead().await;
        deployed
    });
    killed.shutdown_background();
    threads.block_on(async {
        let left: Vec<String> = place.containers().await.into_iter().map(|(name, _)| name).collect();
        assert_eq!(left.len(), 3, "{left:?}");
        let mut deployed = place.deployed().await;
        let (id, _) = deployed.serve().await;
        let now = place.containers().await;
        assert!(now.iter().any(|(name, state)| *name == *id.0 && state == "running"), "{now:?}");
        assert!(!now.iter().any(|(name, _)| left.contains(name)), "{now:?}, and {left:?} are of the one before");
        assert_ne!(other.containers().await.len(), 0, "those of another gateway stay");
        drop(deployed);
        place.until_none().await;
        drop(neighbour);
        other.until_none().await;
    });
    // None of its tasks has heard of this.
    drop(dead);
}

#[tokio::test]
async fn a_revision_that_is_dropped_takes_all_with_it() {
    let place = Place::new();
    let mut deployed = place.deployed().await;
    deployed.serve().await;
    let (paused, _) = deployed.serve().await;
    deployed.workload.pause(&paused).await.unwrap();
    // One that is on its way.
    deployed.workload.start();
    drop(deployed);
    place.until_none().await;
}

#[tokio::test]
async fn a_gateway_that_stops_leaves_nothing() {
    let place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let logs = Logs::open(folder.path(), LogOptions::default(), Arc::new(SystemClock)).unwrap();
    let runtime = place.open(logs);
    let (events, _told) = tokio::sync::mpsc::unbounded_channel();
    let workload = runtime.deploy(Arc::new(place.spec()), events).await.unwrap();
    place.until_ahead().await;
    runtime.close().await;
    assert_eq!(place.containers().await, []);
    drop(workload);
}

/// The engine did what it was asked, and its answer did not come through.
#[tokio::test]
async fn a_deployment_that_fails_leaves_nothing() {
    // An engine is met twice, when that fails: when the runtime is opened, and for the deployment, in any order.
    for (needle, times, fault) in [
        ("POST /containers/create", 1, Fault::CutOff),
        ("POST /containers/create", 1, Fault::Garbage),
        ("POST /containers/create", 1, Fault::Refused(500, "no space left on device".to_owned())),
        ("GET /containers/json", 2, Fault::Garbage),
        ("GET /info", 2, Fault::CutOff),
        ("GET /_ping", 2, Fault::Garbage),
    ] {
        let place = Place::with_stub();
        for _ in 0..times {
            place.stub().break_next(needle, fault.clone());
        }
        let why = place.why_not(|_| {}).await;
        assert!(!why.is_empty(), "{needle}: {fault:?}");
        place.stub().mend();
        place.until_none().await;
        // And again, with all in order.
        drop(place.deployed().await);
        place.until_none().await;
    }
}

/// The engine is busy for a while.
#[tokio::test]
async fn what_cannot_be_removed_is_tried_again() {
    let place = Place::with_stub();
    let mut deployed = place.deployed().await;
    let (id, _) = deployed.serve().await;
    for _ in 0..2 {
        place.stub().break_next("DELETE /containers/", Fault::Refused(500, "device or resource busy".to_owned()));
    }
    crate::support::stop(&mut deployed, &id).await;
    assert!(!place.containers().await.iter().any(|(name, _)| *name == *id.0));
    deployed.is_over().await;
    place.until_none().await;
}
