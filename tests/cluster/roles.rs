//! Roles on machines of their own: brokers that keep, one node that takes events in, one that delivers.

use crate::cluster::{Cluster, Scene};
use crate::scene::FAILOVER;

const INGRESS: usize = 3;
const DISPATCHER: usize = 4;

#[test]
fn ingress_and_dispatcher_on_their_own_follow_the_leaders() {
    let mut cluster = Cluster::start(3, |_, start| start.args(&["--role", "broker"]));
    for (machine, role) in [(INGRESS, "ingress"), (DISPATCHER, "dispatcher")] {
        let start = cluster.prepared(machine, role, 3).args(&["--role", role]);
        cluster.replace(machine, role, start);
        cluster.restart(&[machine]);
    }
    let mut scene = Scene::new(cluster, false);
    scene.may_be_unavailable = Some(FAILOVER);
    for machine in 0..3 {
        scene.strike(machine, |scene, _| {
            scene.cluster.kill(machine);
            scene.all_take(&format!("without broker {machine}"));
            scene.cluster.restart(&[machine]);
        });
    }
    // What nobody delivers is kept.
    scene.strike(DISPATCHER, |scene, _| {
        scene.cluster.kill(DISPATCHER);
        scene.all_take("without a dispatcher");
        scene.cluster.restart(&[DISPATCHER]);
    });
    scene.strike(INGRESS, |scene, _| {
        scene.cluster.stop(INGRESS);
        scene.cluster.restart(&[INGRESS]);
    });
    scene.ends("roles apart");
}
