//! Which instance ends: the one that was chosen.

use pelton_serving_gateway::runtime::Exit;
use pelton_serving_gateway::runtime::conformance::ask;

use crate::stub::Kind;
use crate::support::{deployed, stub};

/// Of several, Kubernetes would end the youngest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_chosen_one_ends_and_no_other() {
    let mut deployed = deployed(&["serve"]).await;
    let mut all = Vec::new();
    for _ in 0..3 {
        all.push(deployed.serve().await);
    }
    let (oldest, _) = all.remove(0);
    deployed.workload.stop(&oldest);
    assert_eq!(deployed.exit(&oldest).await, Exit::Stopped);
    for (id, address) in &all {
        assert!(ask(*address, "/").await.is_ok(), "{id} runs on");
    }
    assert_eq!(stub(&deployed).all(Kind::Pods).len(), 2);
}

/// Should Kubernetes end another all the same: the chosen one ends, the other is lost, and one comes in its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_chosen_one_ends_also_when_kubernetes_chose_another() {
    let mut deployed = deployed(&["serve"]).await;
    let (chosen, _) = deployed.serve().await;
    let (other, _) = deployed.serve().await;
    stub(&deployed).state.faults.lock().ends_the_wrong_one = true;
    deployed.workload.stop(&chosen);
    let mut told = Vec::new();
    for _ in 0..3 {
        told.push(format!("{:?}", deployed.event().await));
    }
    told.sort();
    let is_told = |what: &str, id: &str| told.iter().any(|event| event.contains(what) && event.contains(id));
    assert!(is_told("Stopped", &chosen.0) && is_told("Lost", &other.0), "{told:?}");
    assert!(told[2].starts_with("Started"), "{told:?}");
    stub(&deployed).until("one is left", |there| there.all(Kind::Pods).len() == 1).await;
}

/// An end and a start that come together need no change of the scale: the chosen one is replaced.
#[tokio::test]
async fn the_chosen_one_ends_when_another_is_started_at_once() {
    let mut deployed = deployed(&["serve"]).await;
    let (first, _) = deployed.serve().await;
    deployed.workload.stop(&first);
    deployed.workload.start();
    let mut told = [deployed.event().await, deployed.event().await].map(|event| format!("{event:?}"));
    told.sort();
    assert!(told[0].contains(&*first.0) && told[0].contains("Stopped"), "{told:?}");
    assert!(told[1].starts_with("Started"), "{told:?}");
    assert_eq!(stub(&deployed).state.faults.lock().scaled, [1]);
}
