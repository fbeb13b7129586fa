//! The Kubernetes runtime, against a stub of a cluster, and against a real one where there is one.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails where something is not as it says")]

mod away;
mod images;
mod leftovers;
mod lost;
mod scale;
mod stub;
mod support;
mod victims;

use std::io::Write as _;

use pelton_serving_gateway::runtime::conformance;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_do_what_every_runtime_must() {
    conformance::runtime(support::fixture).await;
}

/// With `PELTON_TEST_KUBECONFIG` (a kubeconfig) and `PELTON_TEST_KUBERNETES_IMAGE` (an image whose entry point is the test
/// consumer): the same on a real cluster, in its namespace `default`. The Pods' network must be reachable from here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_of_a_real_cluster_do_what_every_runtime_must() {
    let said = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let (Some(kubeconfig), Some(image)) = (said("PELTON_TEST_KUBECONFIG"), said("PELTON_TEST_KUBERNETES_IMAGE")) else {
        // Past the test harness's capture.
        let why = "PELTON_TEST_KUBECONFIG and PELTON_TEST_KUBERNETES_IMAGE are not set";
        let _ = writeln!(std::io::stderr(), "SKIPPED: a real cluster: {why}");
        return;
    };
    conformance::runtime(|| support::real_fixture(kubeconfig.clone().into(), image.clone())).await;
}
