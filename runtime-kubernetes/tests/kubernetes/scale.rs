//! The scale of a Deployment.

use std::sync::Arc;

use pelton_serving_gateway::runtime::RuntimeError;
use pelton_serving_gateway::runtime::conformance::Deployed;
use serde_json::json;

use crate::stub::{Kind, Stub};
use crate::support::{deployed, fixture, one_starts, stub};

fn replicas(there: &Stub) -> u64 {
    there.all(Kind::Deployments)[0]["spec"]["replicas"].as_u64().unwrap()
}

/// Starts that come together are one call; a conflict is tried again.
#[tokio::test]
async fn starts_are_taken_together_and_conflicts_are_tried_again() {
    let mut deployed = deployed(&["serve"]).await;
    assert_eq!(replicas(stub(&deployed)), 0, "it begins with none");
    stub(&deployed).state.faults.lock().scale_conflicts = 2;
    for _ in 0..3 {
        deployed.workload.start();
    }
    for _ in 0..3 {
        one_starts(&mut deployed).await;
    }
    assert_eq!(stub(&deployed).state.faults.lock().scaled, [3, 3, 3]);
    assert_eq!(replicas(stub(&deployed)), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scale_that_somebody_else_sets_is_set_back() {
    let mut deployed = deployed(&["serve"]).await;
    let (id, _) = deployed.serve().await;
    let there = stub(&deployed);
    let mut deployment = there.all(Kind::Deployments).remove(0);
    deployment["spec"]["replicas"] = json!(0);
    there.state.put(Kind::Deployments, "default", deployment);
    there.until("there is a replica again", |there| replicas(there) == 1).await;
    // Whether it was ended in between or not, one runs in the end.
    there.until("one runs", |there| there.all(Kind::EndpointSlices).len() == 1).await;
    drop(id);
}

/// serving.md, 1.1, and the names of Knative.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_says_whose_it_is_and_what_runs() {
    let deployed = deployed(&["serve"]).await;
    let there = stub(&deployed);
    let made = there.all(Kind::Deployments).remove(0);
    let service = there.all(Kind::Services).remove(0);
    for object in [&made, &service] {
        let labels = &object["metadata"]["labels"];
        assert_eq!(labels["serving.knative.dev/revision"], "consumer-00001");
        assert_eq!(labels["app.kubernetes.io/managed-by"], "pelton");
        assert!(labels["pelton.dev/gateway"].is_string(), "{labels}");
    }
    assert_eq!(service["spec"]["clusterIP"], "None");
    assert_eq!(service["spec"]["selector"], made["spec"]["selector"]["matchLabels"]);
    assert_eq!(service["metadata"]["ownerReferences"][0]["uid"], made["metadata"]["uid"]);
    let image = &made["spec"]["template"]["spec"]["containers"][0]["image"];
    assert_eq!(image, crate::stub::IMAGE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revision_that_cannot_be_deployed_says_why_and_leaves_nothing() {
    let fixture = fixture().await;
    let deploy = |spec| fixture.runtime.deploy(Arc::new(spec), tokio::sync::mpsc::unbounded_channel().0);
    let mut spec = fixture.spec.clone();
    spec.image.clear();
    let refused = deploy(spec).await.unwrap_err();
    assert!(matches!(refused, RuntimeError::Unsupported { field: "spec.containers[0].image", .. }), "{refused}");
    let mut spec = fixture.spec.clone();
    spec.namespace = "nowhere".to_owned();
    let refused = deploy(spec).await.unwrap_err();
    let RuntimeError::Failed { what, source } = &refused else { panic!("{refused}") };
    assert!(what.contains("in the namespace nowhere"), "{what}");
    assert_eq!(source.to_string(), "namespaces \"nowhere\" not found");
    let there: &Stub = fixture.keep.downcast_ref().unwrap();
    assert_eq!(there.all(Kind::Deployments).len() + there.all(Kind::Services).len(), 0);
}

/// With its Deployment goes all that belonged to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_revision_leaves_nothing() {
    let mut deployed = deployed(&["serve"]).await;
    deployed.serve().await;
    let Deployed { workload, events, fixture } = deployed;
    drop(workload);
    let there: &Stub = fixture.keep.downcast_ref().unwrap();
    let kinds = [Kind::Deployments, Kind::Services, Kind::Pods, Kind::EndpointSlices];
    there.until("nothing is left", |there| kinds.iter().all(|kind| there.all(*kind).is_empty())).await;
    drop(events);
}
