//! What is told while the API is away, and once it is back: nothing that was not seen.

use std::time::Duration;

use pelton_serving_gateway::runtime::Exit;
use pelton_serving_gateway::runtime::conformance::{Deployed, ask};

use crate::stub::Kind;
use crate::support::{deployed, fixture_with, one_does_not_start, stub};

/// What was asked for meanwhile is done then, and nothing was told in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_that_was_away_goes_on_where_it_was() {
    let mut deployed = deployed(&["serve"]).await;
    let (first, address) = deployed.serve().await;
    let (second, _) = deployed.serve().await;
    stub(&deployed).go_away();
    deployed.workload.stop(&second);
    deployed.workload.start();
    assert!(ask(address, "/").await.is_ok(), "what runs runs on");
    stub(&deployed).come_back();
    // In whatever order: one goes, one comes. Nothing else.
    let mut told = [deployed.event().await, deployed.event().await].map(|event| format!("{event:?}"));
    told.sort();
    assert!(told[0].starts_with("Exited") && told[0].contains(&*second.0) && told[0].contains("Stopped"), "{told:?}");
    assert!(told[1].starts_with("Started"), "{told:?}");
    deployed.workload.stop(&first);
    assert_eq!(deployed.exit(&first).await, Exit::Stopped);
}

/// 410 Gone: what became of Pods is forgotten, so they are listed; only the one that is missing has ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_that_has_to_begin_anew_invents_no_exit() {
    let mut deployed = deployed(&["serve"]).await;
    let (first, address) = deployed.serve().await;
    let (second, _) = deployed.serve().await;
    let there = stub(&deployed);
    there.go_away();
    there.state.delete(Kind::Pods, "default", &second.0, None);
    let is_gone = |id: &str| there.all(Kind::Pods).iter().all(|pod| pod["metadata"]["name"] != *id);
    there.until("the Pod is gone", |_| is_gone(&second.0)).await;
    there.until("another is in its place", |there| there.all(Kind::EndpointSlices).len() == 2).await;
    there.state.store.lock().forget();
    there.come_back();
    let mut told = [deployed.event().await, deployed.event().await].map(|event| format!("{event:?}"));
    told.sort();
    assert!(told[0].starts_with("Exited") && told[0].contains(&*second.0) && told[0].contains("Lost"), "{told:?}");
    assert!(told[1].starts_with("Started"), "{told:?}");
    assert!(ask(address, "/").await.is_ok());
    deployed.workload.stop(&first);
    assert_eq!(deployed.exit(&first).await, Exit::Stopped);
}

/// 410 in the middle of a watch, with nothing missed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_that_is_told_that_it_is_late_goes_on() {
    let mut deployed = deployed(&["serve"]).await;
    let (first, _) = deployed.serve().await;
    {
        let there = stub(&deployed);
        there.state.store.lock().forget();
        there.state.changed.send_modify(|count| *count += 1);
    }
    let (second, _) = deployed.serve().await;
    for id in [&first, &second] {
        deployed.workload.stop(id);
        assert_eq!(deployed.exit(id).await, Exit::Stopped);
    }
    deployed.is_over().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_fails_when_the_api_is_away_for_too_long() {
    let fixture = fixture_with(Duration::from_millis(500)).await;
    let mut deployed = Deployed::new(fixture, &["serve"], |_| {}).await;
    stub(&deployed).go_away();
    deployed.workload.start();
    let why = one_does_not_start(&mut deployed).await;
    assert!(why.contains("it did not start within") && why.contains("did not answer"), "{why}");
}

/// Somebody deletes what is not his.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_that_somebody_deletes_is_made_again() {
    let mut deployed = deployed(&["serve"]).await;
    let (id, _) = deployed.serve().await;
    let there = stub(&deployed);
    let name = there.all(Kind::Deployments)[0]["metadata"]["name"].as_str().unwrap().to_owned();
    there.state.delete(Kind::Deployments, "default", &name, None);
    let mut told = [deployed.event().await, deployed.event().await].map(|event| format!("{event:?}"));
    told.sort();
    assert!(told[0].contains(&*id.0) && told[0].contains("its Pod was deleted"), "{told:?}");
    assert!(told[1].starts_with("Started"), "{told:?}");
    assert_eq!(stub(&deployed).all(Kind::Deployments).len(), 1);
}
