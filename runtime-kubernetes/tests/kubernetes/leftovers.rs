//! What a gateway leaves that was killed.

use std::sync::Arc;
use std::time::Duration;

use pelton_env::{OsChance, SystemClock};
use pelton_runtime_kubernetes::{KubernetesOptions, KubernetesRuntime};
use pelton_serving_gateway::logs::{LogOptions, Logs};
use pelton_serving_gateway::runtime::conformance::{Deployed, Fixture};
use serde_json::{Value, json};

use crate::stub::{Kind, Stub};
use crate::support::{open, spec};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_killed_leaves_nothing_to_the_next() {
    let there = Stub::start().await;
    let (kubeconfig, folder) = (there.kubeconfig(), there.folder());
    let life = {
        let (kubeconfig, folder) = (kubeconfig.clone(), folder.clone());
        // Of its own threads, so that it can be ended with no time to tidy up.
        std::thread::spawn(move || {
            let threads = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let left = threads.block_on(async {
                let (runtime, logs) = open(kubeconfig, &folder, Duration::from_secs(60));
                let fixture = Fixture { runtime: Arc::new(runtime), spec: spec(), logs, keep: Box::new(()) };
                let mut deployed = Deployed::new(fixture, &["serve"], |_| {}).await;
                deployed.serve().await;
                deployed
            });
            threads.shutdown_background();
            drop(left);
        })
    };
    tokio::task::spawn_blocking(move || life.join().unwrap()).await.unwrap();
    assert_eq!(there.all(Kind::Pods).len(), 1, "it was left");
    let foreign = |gateway: &str| {
        json!({
            "metadata": {"name": gateway, "labels": {"pelton.dev/gateway": gateway, "pelton.dev/gateway-life": "1"}},
            "spec": {"replicas": 0, "template": {}, "selector": {"matchLabels": {}}},
        })
    };
    there.state.put(Kind::Deployments, "default", foreign("another"));
    let (_runtime, _logs) = open(kubeconfig, &folder, Duration::from_secs(60));
    there.until("what was left is gone", |there| there.all(Kind::Pods).is_empty()).await;
    let names: Vec<Value> = there.all(Kind::Deployments).iter().map(|d| d["metadata"]["name"].clone()).collect();
    assert_eq!(names, ["another"]);
}

/// Whoever never used a cluster looks for none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_cluster_is_looked_for_before_a_revision_asks_for_one() {
    let folder = tempfile::tempdir().unwrap();
    let logs = Logs::open(folder.path(), LogOptions::default(), Arc::new(SystemClock)).unwrap();
    let options = KubernetesOptions {
        kubeconfig: Some(folder.path().join("none-such")),
        ..KubernetesOptions::new(folder.path().to_owned())
    };
    let runtime = KubernetesRuntime::open(options, logs, Arc::new(OsChance)).unwrap();
    let runtime: &dyn pelton_serving_gateway::runtime::Runtime = &runtime;
    let refused = runtime.deploy(Arc::new(spec()), tokio::sync::mpsc::unbounded_channel().0).await.unwrap_err();
    assert!(refused.to_string().contains("the cluster cannot be found"), "{refused}");
    assert!(!folder.path().join("kubernetes-owner").exists());
}
