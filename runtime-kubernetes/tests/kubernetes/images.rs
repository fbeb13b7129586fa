//! Starts that come to nothing.

use std::time::Duration;

use pelton_serving_gateway::runtime::conformance::Deployed;

use crate::stub::Kind;
use crate::support::{deployed, fixture, fixture_with, one_does_not_start, one_starts, stub};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_cannot_be_pulled_is_told_in_the_words_of_kubernetes() {
    let change =
        |spec: &mut pelton_serving_gateway::runtime::WorkloadSpec| spec.image = "registry.test/none:1".to_owned();
    let mut deployed = Deployed::new(fixture().await, &["serve"], change).await;
    for _ in 0..2 {
        deployed.workload.start();
        let why = one_does_not_start(&mut deployed).await;
        for want in ["ImagePullBackOff", "ErrImagePull", "registry.test/none:1", "not found"] {
            assert!(why.contains(want), "{why}");
        }
    }
    stub(&deployed).until("no Pod is left", |there| there.all(Kind::Pods).is_empty()).await;
    deployed.is_over().await;
}

/// The quota of a namespace: what there is runs on, and the next start has what becomes free.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_is_told_in_the_words_of_kubernetes() {
    let mut deployed = deployed(&["serve"]).await;
    let (first, _) = deployed.serve().await;
    stub(&deployed).state.faults.lock().quota = Some(1);
    deployed.workload.start();
    let why = one_does_not_start(&mut deployed).await;
    assert!(why.contains("FailedCreate") && why.contains("exceeded quota"), "{why}");
    let replicas = |there: &crate::stub::Stub| there.all(Kind::Deployments)[0]["spec"]["replicas"] == 1;
    stub(&deployed).until("no more are asked for than there can be", replicas).await;
    let is_well =
        |there: &crate::stub::Stub| there.all(Kind::Deployments)[0]["status"]["conditions"] == serde_json::json!([]);
    stub(&deployed).until("the failure is over", is_well).await;
    stub(&deployed).state.faults.lock().quota = None;
    deployed.workload.start();
    assert_ne!(one_starts(&mut deployed).await, first);
}

/// Nothing comes, and nobody says why.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_comes_to_nothing_ends() {
    let mut deployed = Deployed::new(fixture_with(Duration::from_millis(300)).await, &["serve"], |_| {}).await;
    stub(&deployed).state.faults.lock().scale_conflicts = u32::MAX;
    deployed.workload.start();
    let why = one_does_not_start(&mut deployed).await;
    assert!(why.contains("the object has been modified"), "{why}");
}
