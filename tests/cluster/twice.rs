//! Producers that send an event again, and a Broker that is told to keep only the first.

use crate::cluster::{Cluster, Scene};
use crate::one_at_a_time;

/// Longer than the test.
const BROKER: &str = "apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata:\n  name: default\n  annotations: \
                      {pelton.dev/deduplication-window: PT1H}\n";

/// F20: inside the window an event is in the log once, however often and wherever it was sent, and whoever died.
#[test]
fn what_is_sent_twice_is_kept_once_inside_the_window() {
    let _one = one_at_a_time();
    let cluster = Cluster::start(3, |_, start| start);
    cluster.apply(BROKER);
    let mut scene = Scene::new(cluster, true);
    for machine in 0..3 {
        scene.cluster.kill(machine);
        scene.all_take(&format!("without node {machine}"));
        scene.cluster.restart(&[machine]);
        scene.all_take(&format!("with node {machine} again"));
    }
    let (outcome, kept) = scene.ends("sent twice");
    assert_eq!(kept, outcome.events() as u64, "events in the logs, and different events that came");
}
