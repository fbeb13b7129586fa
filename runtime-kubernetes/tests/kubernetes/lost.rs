//! Pods that others take away.

use pelton_serving_gateway::runtime::Exit;

use crate::stub::Kind;
use crate::support::{deployed, is_lost, one_starts, stub};

/// The node evicts it: what is told is why, and what Kubernetes does about it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_is_evicted_is_lost_and_replaced() {
    let mut deployed = deployed(&["serve"]).await;
    let (id, _) = deployed.serve().await;
    let there = stub(&deployed);
    there.state.kubelet.evict("default", &id.0, "Evicted", "The node was low on resource: memory.");
    // The other comes as soon as Kubernetes notices; the order is that of the cluster.
    let first = deployed.event().await;
    let second = deployed.event().await;
    let mut told = [format!("{first:?}"), format!("{second:?}")];
    told.sort();
    assert!(told[0].contains(&*id.0) && told[0].contains("Evicted: The node was low on resource: memory."), "{told:?}");
    assert!(told[1].starts_with("Started"), "{told:?}");
    let there = stub(&deployed);
    // What is left of it is deleted.
    there.until("one Pod is left", |there| there.all(Kind::Pods).len() == 1).await;
    let again = there.all(Kind::Pods)[0]["metadata"]["name"].as_str().unwrap().to_owned();
    assert!(told[1].contains(&again), "{told:?}");
    deployed.workload.stop(&pelton_serving_gateway::runtime::InstanceId(again.as_str().into()));
    let id = pelton_serving_gateway::runtime::InstanceId(again.into());
    assert_eq!(deployed.exit(&id).await, Exit::Stopped);
    stub(&deployed).until("none is left", |there| there.all(Kind::Pods).is_empty()).await;
    deployed.is_over().await;
}

/// As `kubectl delete pod` or a drain does: it has its time to end, and is lost when it has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_somebody_deletes_is_lost_when_it_is_gone() {
    let mut deployed = deployed(&["serve", "--ignore-sigterm"]).await;
    let (id, _) = deployed.serve().await;
    stub(&deployed).state.delete(Kind::Pods, "default", &id.0, None);
    // It does not go, and another is there already.
    let again = one_starts(&mut deployed).await;
    stub(&deployed).state.delete(Kind::Pods, "default", &id.0, Some(0));
    is_lost(&mut deployed, &id, "its Pod was deleted").await;
    assert_ne!(again, id);
}
