//! Producers that send an event again: 20 % after its acknowledgement, and 20 % before anybody can have answered.

use crate::cluster::{Cluster, Scene};
use crate::rounds;
use crate::scene::FAILOVER;

/// Longer than the test.
const BROKER: &str = "apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata:\n  name: default\n  annotations: \
                      {pelton.dev/deduplication-window: PT1H}\n";

/// F20: inside the window an event is in the log once, however often and wherever it was sent, and whoever died.
#[test]
fn what_is_sent_twice_is_kept_once_inside_the_window() {
    let cluster = Cluster::start(3, |_, start| start);
    cluster.apply(BROKER);
    let mut scene = Scene::new(cluster, true);
    scene.keeps_one = true;
    suffers_kills(scene, "sent twice, kept once");
}

/// F20 without a window: an event is in the log as often as its producer sent it with an outcome, and for each try of which
/// it does not know one way or the other. What a node tries again by itself adds nothing.
#[test]
fn what_is_sent_twice_without_a_window_is_kept_as_often_as_it_was_sent() {
    let scene = Scene::new(Cluster::start(3, |_, start| start), true);
    suffers_kills(scene, "sent twice, kept twice");
}

#[track_caller]
fn suffers_kills(mut scene: Scene, what: &str) {
    scene.may_be_unavailable = Some(FAILOVER);
    for nth in 0..3 * rounds() {
        scene.strike(nth, |scene, nth| {
            let machine = nth % 3;
            scene.cluster.kill(machine);
            scene.all_take(&format!("without node {machine}"));
            scene.cluster.restart(&[machine]);
        });
    }
    scene.ends(what);
}
